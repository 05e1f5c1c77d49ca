"""A face of one's own in a StyleGAN: how near is what a search finds, what does it cost, and can it be edited?

    python benchmarks/projection.py --data data/toon --out benchmarks/results/projection.json
    python benchmarks/projection.py --generator stylegan-celeba-64 --encoder encoder-celeba-64 --data FOLDER

Faces of the part test are searched for in w and in w+, from the nearest of 512 random w and from the encoder's guess
(`gan_course.latent.projection`, with the steering network). The judge then says how near the result is. What was found walks along
axes in w (`gan_course.latent.axes`) until the judge changes its mind, beside drawn faces on the same axes: what a w+ that comes
nearer costs. Last, the child of two faces: the coarse layers of one, the others of the other.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from gan_course import pretrained, settings
from gan_course.backend import keras, no_gradient, to_numpy
from gan_course.data import toon
from gan_course.files import atomic_write
from gan_course.latent.axes import find_axes
from gan_course.latent.projection import project
from gan_course.latent.sampling import fixed_latent
from gan_course.metrics import real_pictures
from gan_course.metrics.distances import cosines
from gan_course.metrics.steering import Look, flips
from gan_course.models.attributes import feature_extractor
from gan_course.training.classifier import attribute_network

TOGETHER = 50  # faces in one search
EDITS = {"toon": ("Smiling", "Eyeglasses", "Male", "Young"), "celeba": ("Smiling", "Male", "Young")}
STOPS = np.arange(0.5, 12.01, 0.5)  # units of w
CHILD = 4  # layers that the child has of its first parent: up to 8x8


def search(generator, features, faces, encoder, space, begin):
    """Return (w (n, L, d), steps of the longest search) of faces (n, h, w, 3)."""
    found, steps = [], []
    for start in range(0, len(faces), TOGETHER):
        part = faces[start : start + TOGETHER]
        guess = to_numpy(encoder(part)) if begin == "encoder" else None
        result = project(generator, part, features, space=space, start=guess)
        found.append(result.w)
        steps.append(result.steps)
    return np.concatenate(found), max(steps)


def seconds(generator, features, faces, encoder, space, begin):
    """Return the median seconds of the search for one face, the graph made new each time, as for a user."""
    taken = []
    for face in faces[:3]:
        start = time.perf_counter()
        search(generator, features, face[None], encoder, space, begin)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def nearness(generator, seen, wanted, faces, w):
    """Return how near the faces of w are to the given ones: pixels (of 255), cosine of the judge's features, decisions kept."""
    parts = np.array_split(w, max(1, len(w) // TOGETHER))
    with no_gradient():
        pictures = np.concatenate([to_numpy(generator.synthesize(part.astype("float32"))) for part in parts])
    logits, features = seen(w)
    return {
        "pixels": float(127.5 * np.abs(np.clip(pictures, -1, 1) - faces).mean()),
        "identity": float(cosines(wanted[1], features).mean()),
        "kept": float(((logits > 0) == (wanted[0] > 0)).mean()),
    }


def along(axes, w, name, amounts):
    """Return w (n, L, d) moved along an axis, each face by its own amount (n,) in units of w."""
    (i,) = axes.numbers([name])
    return (w + amounts[:, None, None] * axes.unit * axes.directions[i]).astype("float32")


def walks(axes, look, w, names):
    """Return {attribute: what happens on the way to the flip} for faces with these w."""
    found = {}
    for name in names:
        walk = flips(look, lambda rows, t, name=name: along(axes, w[rows], name, t), w, name, STOPS)
        found[name] = {
            "flipped": walk.success,
            "units": float(np.nanmedian(walk.amount)),
            "others": float(np.nanmean(walk.changed)),
            "identity": float(np.nanmean(walk.kept)),
        }
    return found


def child(look, w):
    """Return what the children of neighbouring faces have of their parents."""
    other = np.roll(w, 1, axis=0)
    mixed = np.concatenate([w[:, :CHILD], other[:, CHILD:]], axis=1)
    (a, fa), (b, fb), (c, fc) = look(w), look(other), look(mixed)
    a, b, c = a > 0, b > 0, c > 0
    return {
        "kept where the parents agree": float((c == a)[a == b].mean()),
        "as the first where they differ": float((c == a)[a != b].mean()),
        "identity: first parent": float(cosines(fc, fa).mean()),
        "identity: second parent": float(cosines(fc, fb).mean()),
        "identity: a stranger": float(cosines(fc, np.roll(fa, 7, axis=0)).mean()),
    }


def measure(options):
    kind = "toon" if toon.is_cartoon(options.data) else "celeba"
    generator, encoder = pretrained.load(options.generator), pretrained.load(options.encoder)
    steer, names = attribute_network(f"attributes-{kind}-steer")
    judge, judged = attribute_network(f"attributes-{kind}-judge")
    features, look = feature_extractor(steer), Look(generator, judge, judged, "w")
    faces = real_pictures(options.data, generator.resolution, "test", options.count)[0].astype("float32") / 127.5 - 1
    both = keras.Model(judge.input, [judge.output, feature_extractor(judge).output])
    wanted = [np.asarray(x) for x in both.predict(faces, verbose=0, batch_size=TOGETHER)]
    strangers = float(cosines(wanted[1], np.roll(wanted[1], 1, axis=0)).mean())
    guess = np.concatenate([to_numpy(encoder(part)) for part in np.array_split(faces, 8)])
    result = {
        "generator": options.generator,
        "data": Path(options.data).name,
        "faces": len(faces),
        "strangers": strangers,
    }
    rows, found = {"the encoder's guess": nearness(generator, look, wanted, faces, guess)}, {}
    for space in ("w", "w+"):
        for begin in ("random", "encoder"):
            w, steps = search(generator, features, faces, encoder, space, begin)
            row = {"steps": steps, "seconds": seconds(generator, features, faces, encoder, space, begin)}
            rows[f"{space}, from {begin}"] = row | nearness(generator, look, wanted, faces, w)
            found[space] = w
            print(f"{space}, from {begin}", rows[f"{space}, from {begin}"], flush=True)
    axes = find_axes(generator, steer, names, space="w", method="means", ridge=1.0)
    drawn = to_numpy(generator.map(fixed_latent(len(faces), generator.latent_dim, seed=1)))
    chosen = [name for name in EDITS[kind] if name in axes.names]
    edits = {title: walks(axes, look, w, chosen) for title, w in {"drawn": drawn, **found}.items()}
    children = {title: child(look, w) for title, w in {"drawn": drawn, **found}.items()}
    return result | {"near": rows, "edits": edits, "children": children}


def table(result):
    """Return the tables of a result as Markdown."""
    lines = [
        "| | steps | seconds, one face | pixels, of 255 | identity | decisions kept |",
        "|---|---|---|---|---|---|",
    ]
    for title, row in result["near"].items():
        start = f"{row['steps']} | {row['seconds']:.1f}" if "steps" in row else "- | -"
        lines.append(f"| {title} | {start} | {row['pixels']:.1f} | {row['identity']:.3f} | {row['kept']:.3f} |")
    lines += [
        "",
        "| faces | attribute | flipped | units of w | others changed | identity |",
        "|---|---|---|---|---|---|",
    ]
    for title, rows in result["edits"].items():
        for name, row in rows.items():
            numbers = f"{row['flipped']:.2f} | {row['units']:.2f} | {row['others']:.3f} | {row['identity']:.3f}"
            lines.append(f"| {title} | {name} | {numbers} |")
    columns = list(next(iter(result["children"].values())))
    lines += ["", "| children | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for title, row in result["children"].items():
        lines.append(f"| {title} | " + " | ".join(f"{row[name]:.3f}" for name in columns) + " |")
    return "\n".join([f"{result['faces']} faces; identity of two strangers {result['strangers']:.3f}", "", *lines])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--generator", default="stylegan-toon-64")
    p.add_argument("--encoder", default="encoder-toon-64")
    p.add_argument("--data", default=str(settings.ROOT / "data" / "toon"))
    p.add_argument("--count", type=int, default=200)
    p.add_argument("--out", type=Path, metavar="FILE.json")
    options = p.parse_args()
    result = measure(options)
    print(table(result))
    if options.out:
        with atomic_write(options.out) as partial:
            partial.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
