"""Does a face show what its sentence says? Agreement, R-precision, diversity: measured by a judge that took no part.

A caption tells things of a face (`gan_course.data.captions`), and an attribute network looks at the face drawn from it. All
numbers stand between two that no generator decides: what chance gives, and what *real* faces reach with their own captions.
"""

import numpy as np

from gan_course.data import captions
from gan_course.data.pipeline import load
from gan_course.errors import CourseError
from gan_course.latent import sampling
from gan_course.metrics.distances import evenly_spaced

POOL = 100  # captions among which the right one is to be found
GROUP = 8  # faces of one caption, whose distances are its diversity
GROUPS = 100  # captions


def agreement(said, told):
    """Return the share of told things that a judge sees as told.

    said: (n, attributes) bool, the judge's decisions; told: (n, attributes), 1, -1 or 0 (not told).
    """
    return float(((said == (told > 0)) & (told != 0)).sum() / (told != 0).sum())


def chance(said, told):
    """Return the agreement to expect where captions are dealt to the faces anew, each as likely as the others.

    For each attribute: the share of faces that have it, times how often it is told; the rest, times how often its
    absence is. No random number is needed.
    """
    share, yes, no = said.mean(0), (told > 0).sum(0), (told < 0).sum(0)
    return float((yes * share + no * (1 - share)).sum() / (yes + no).sum())


def placed(value, low, high):
    """Return where a value lies between chance (0) and the ceiling (1); 0 where these are one."""
    return (value - low) / (high - low) if high != low else 0.0


def by_attribute(said, told, attributes):
    """Return {attribute: (agreement where it is told, where its absence is told)}, None where that is never told."""

    def share(k, value):
        rows = told[:, k] == value
        return float((said[rows, k] == (value > 0)).mean()) if rows.any() else None

    return {name: (share(k, 1), share(k, -1)) for k, name in enumerate(attributes)}


def r_precision(logits, told, prior, pool=POOL, seed=0):
    """Return how often a face's own caption is the one that fits it best among `pool`, the others random ones.

    Fit: the sum over told things of log P(thing | face) / P(thing) (Xu et al. 2018, AttnGAN, have the measure; there an
    encoder of the generator's own training compares, here the judge). A tie counts as a share of one. logits: (n, k) of
    a judge whose sigmoid is the probability among as many faces with an attribute as without; prior: (k,) how many have
    it really.
    """
    n = len(told)
    if n < pool:
        raise CourseError(f"R-precision needs {pool} captions or more, and there are {n}.")
    ratio = np.exp(np.clip(logits.astype("float64"), -4, 4))  # P(face | has it) / P(face | has not); a judge may err
    evidence = prior * ratio + 1 - prior
    score = (told > 0) @ np.log(ratio / evidence).T - (told < 0) @ np.log(evidence).T  # (captions, faces)
    others = (np.arange(n)[:, None] + np.random.default_rng(seed).permuted(
        np.tile(np.arange(1, n), (n, 1)), axis=1)[:, : pool - 1]) % n  # fmt: skip
    own, rest = score.diagonal()[:, None], score[others, np.arange(n)[:, None]]
    ties = (np.abs(rest - own) < 1e-9).sum(1)
    return float(np.mean((rest <= own + 1e-9).all(1) / (1 + ties)))


def spread(features):
    """Return the mean distance between two different members of a group: (groups, members, d) -> (groups,)."""
    squares = (features**2).sum(-1)
    products = features @ features.transpose(0, 2, 1)
    distances = np.sqrt(np.maximum(squares[:, :, None] + squares[:, None] - 2 * products, 0))
    members = features.shape[1]
    return distances.sum((1, 2)) / (members * (members - 1))


def fitting(told, truth):
    """Return which faces a caption tells nothing false of: (captions, faces) bool. told: -1, 0, 1; truth: -1, 1."""
    return (told > 0).astype(int) @ (truth < 0).T + (told < 0).astype(int) @ (truth > 0).T == 0


def measure_text(found, source, part, features, count=1000, seed=0):
    """Measure a network that draws sentences on `count` captions of a part; return the numbers (a dict for JSON).

    found: of `pretrained.find`; features: `FaceFeatures` of an attribute network that took no part in the training. Only
    attributes that both the captions and the judge know are counted.

    agreement, chance, ceiling (real faces with their own captions), placed; r_precision and its ceiling; diversity (mean
    distance in features between faces of one caption), that of real faces of which the same is true, and the ratio;
    attributes: {name: [agreement where told, where absence is told, ceilings of both]}.
    """
    config, network = found.config, found.network
    attributes = [name for name in config.attributes if name in features.attributes]
    columns = [features.attributes.index(name) for name in attributes]
    images, names = load(source, network.output_shape[1], part)
    rows = evenly_spaced(len(names), count)
    chosen = [few[0] for few in captions.of_faces(source, names[rows])]
    told = captions.told_table(chosen, attributes)
    if not told.any():
        raise CourseError(f"The captions of '{source.path}' tell nothing that {features.name} knows; give them 'told'.")
    psi = config.psi(network, chosen)
    fake = sampling.generate(network, len(rows), seed, psi)

    logits, real = (features.logits(pictures)[:, columns] for pictures in (fake, images[rows]))
    low, high, reached = chance(logits > 0, told), agreement(real > 0, told), agreement(logits > 0, told)
    prior = source.labels(source.split("train"), attributes).mean(0).clip(0.005, 0.995)
    drawn, ceilings = by_attribute(logits > 0, told, attributes), by_attribute(real > 0, told, attributes)
    result = {
        "captions": len(rows),
        "agreement": reached,
        "chance": low,
        "ceiling": high,
        "placed": placed(reached, low, high),
        "attributes": {name: [*drawn[name], *ceilings[name]] for name in attributes},
    }
    if len(rows) >= POOL:
        result["r_precision"] = r_precision(logits, told, prior)
        result["r_precision_ceiling"] = r_precision(real, told, prior)
    return result | _diversity(network, features, images, source.labels(names, attributes), told, psi, seed)


def groups(told, labels):
    """Return the first `GROUPS` captions that `GROUP` faces or more fit, and so many faces of each: rows (captions, GROUP).

    told: as in `fitting`; labels: (faces, attributes) bool.
    """
    fits = fitting(told, 2 * labels.astype(int) - 1)
    some = np.flatnonzero(fits.sum(1) >= GROUP)[:GROUPS]
    random = np.random.default_rng(0)
    rows = [random.permutation(np.flatnonzero(fits[i]))[:GROUP] for i in some]
    return some, np.reshape(rows, (-1, GROUP)).astype(int)


def _diversity(network, features, images, labels, told, psi, seed):
    """Return the numbers of diversity: of captions that `GROUP` real faces or more fit."""
    some, rows = groups(told, labels)
    if not len(some):
        return {}
    fake = sampling.generate(network, rows.size, seed + 1, np.repeat(psi[some], GROUP, axis=0))
    ours, real = (spread(features(x).reshape(len(some), GROUP, -1)).mean() for x in (fake, images[rows.ravel()]))
    return {"diversity": float(ours), "diversity_real": float(real), "diversity_ratio": float(ours / real)}


def agreement_text(result):
    """Return the numbers of `measure_text` as lines of text, the hardest attributes last."""
    lines = [
        f"agreement of {result['captions']:,} captions with their faces {result['agreement']:.3f}, chance "
        f"{result['chance']:.3f}, real faces {result['ceiling']:.3f}: {result['placed']:.3f} of the way"
    ]
    if "r_precision" in result:
        lines.append(
            f"right caption first among {POOL}: {result['r_precision']:.3f}, real faces {result['r_precision_ceiling']:.3f}"
        )
    if "diversity" in result:
        lines.append(
            f"diversity of one caption's faces {result['diversity']:.2f}, of real ones {result['diversity_real']:.2f}: "
            f"ratio {result['diversity_ratio']:.3f}"
        )
    table = {name: values for name, values in result["attributes"].items() if any(v is not None for v in values)}
    least = {name: min(v for v in values[:2] if v is not None) for name, values in table.items()}
    lines.append("attribute: told / absence told (real faces)")
    for name in sorted(table, key=least.get, reverse=True):
        yes, no, real_yes, real_no = ("-" if v is None else f"{v:.2f}" for v in table[name])
        lines.append(f"  {name}: {yes} / {no} ({real_yes} / {real_no})")
    return lines
