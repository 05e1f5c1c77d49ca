"""One set of faces against the real ones: all numbers, and all that is needed to repeat them."""

import hashlib
import io
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from gan_course import pretrained
from gan_course.data import pipeline
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError, CourseWarning
from gan_course.files import atomic_write
from gan_course.metrics.distances import NEIGHBOURS, SUBSET_SIZE, SUBSETS, distances, evenly_spaced
from gan_course.metrics.features import feature_network
from gan_course.metrics.text import agreement_text, measure_text
from gan_course.weights import weights_sha256

FEW = 500  # faces; with fewer a distance says little
CAPTIONS = 1000  # of a part, on which a network that reads is measured


def real_pictures(folder, resolution, part="test", count=2000):
    """Return (pictures uint8, names): `count` faces evenly spaced in the names' order, or all where there are fewer.

    They do not depend on a seed: every measurement against this part has the same faces to compare with.
    """
    images, names = pipeline.load(folder, resolution, part)
    rows = evenly_spaced(len(images), count)
    return images[rows], names[rows]


def evaluate(target, data, split="test", count=2000, seed=0, features="auto", part="all", resolution=None, psi=1.0):
    """Measure `target` against the faces of `data` in `split`; return all that is needed to repeat it (a dict for JSON).

    `target`: the folder of a run (its averaged generator is measured), the name of shipped weights, or a folder of
    faces, of which `part` is measured. `features`: see `feature_network`. `resolution`: of all pictures; that of the
    generator, or 64 for a folder. `count`: at most so many real faces (`real_pictures`) and exactly so many generated
    ones; of a folder at most so many, drawn by `seed`. `psi`: of a StyleGAN's truncation.

    For a network that draws sentences, the entry `text` holds `measure_text`'s numbers.
    The entry `measure` holds what two measurements must share to be compared (see `comparison_table`), `results` the
    numbers of `distances`. Raises `CourseError` for a target of no kind, a wrong part, too few faces, etc. Warns
    (`CourseWarning`) where the numbers mean little: few faces, or faces that the judge was not made for.
    """
    least = max(4, NEIGHBOURS + 1)
    for name, value, lowest in (("count", count, least), ("seed", seed, 0), ("resolution", resolution, 4)):
        if value is not None and value < lowest:
            raise CourseError(f"{name} is {value}; give {lowest} or more.")
    found, evaluated = _target(target, part)
    if psi != 1 and not found:
        raise CourseError(f"'{target}' holds faces, and psi is {psi}; psi is for a StyleGAN, leave it out.")
    source = open_faces(data)
    network = feature_network(features, data)
    size = found.network.output_shape[1] if found else resolution or 64
    if resolution not in (None, size):
        raise CourseError(f"'{target}' draws faces of {size}x{size}; leave out the resolution of {resolution}.")
    if found:
        asked = (source, split, count, seed)
        fake = found.config.sample_for(found.network, *asked) if psi == 1 else found.sample(count, seed, psi)
    else:
        fake = _drawn(target, size, part, count, seed)
        if Path(target).resolve() == Path(data).resolve() and (part == split or "all" in (part, split)):
            text = f"'{target}' is measured against itself, '{part}' against '{split}', so some faces are in both sets."
            warnings.warn(text, CourseWarning, stacklevel=2)
    real, names = real_pictures(source, size, split, count)
    for what, pictures in ((f"the part '{split}' of '{data}'", real), (f"'{target}'", fake)):
        if len(pictures) < least:
            raise CourseError(f"A distance needs {least} faces or more, and {what} has {len(pictures)}.")
    cautions = _cautions(source, names, network, min(len(real), len(fake)))
    for text in cautions:
        warnings.warn(text, CourseWarning, stacklevel=2)
    digest = hashlib.sha256()
    for name in names:
        digest.update(source.read(name))
    text = {}
    if found and found.config.reads and set(found.config.attributes) & set(getattr(network, "attributes", [])):
        text = {"text": measure_text(found, source, split, network, min(count, CAPTIONS), seed)}
    return {
        "measure": {
            "distance": network.distance,
            "network": network.name,
            "network_sha256": network.sha256,
            "resize": network.resize,
            "data": Path(data).resolve().name,
            "split": split,
            "crop": "square",  # see `pipeline.crop_box`; the course trains on the same
            "resolution": size,
            "real_count": len(real),
            "fake_count": len(fake),
            "precision_recall_count": min(len(real), len(fake)),
            "neighbours": NEIGHBOURS,
            "kernel_subsets": SUBSETS,
            "kernel_subset_size": min(SUBSET_SIZE, min(len(real), len(fake)) // 2),
        },
        "evaluated": evaluated,
        "seed": seed,
        "psi": psi,
        "real_faces_sha256": digest.hexdigest(),
        "results": distances(network(real), network(fake)),
        **text,
        "cautions": cautions,
        "versions": {name: version(name) for name in ("keras", "numpy", "pillow")},
    }


def _cautions(source, names, network, count):
    """Return a sentence for each reason not to trust the numbers too much."""
    found = []
    if count < FEW:
        found.append(
            f"Only {count} faces of a kind: distances come out too large and recall too high; take {FEW} or more."
        )
    return found + framing(source, names, network.name)


def framing(source, names, network):
    """Return a list of one sentence where the shipped network of this name was made for faces in another frame.

    Only the shape of the first picture is looked at: a square one was cut in another way than CelebA's, however large.
    """
    with Image.open(io.BytesIO(source.read(names[0]))) as first:
        width, height = first.size
    if not network.startswith("attributes-celeba") or abs(height / width / (218 / 178) - 1) <= 0.02:
        return []
    return [
        f"The faces of '{source.path}' are not framed as CelebA's aligned 178x218 pictures ({width}x{height}), on which "
        f"{network} was trained: its numbers may measure framing and style more than faces."
    ]


def _target(target, part):
    """Return (what `pretrained.find` found, or None for a folder of faces; what to write down about the target)."""
    path = Path(target)
    if path.exists() and not (path / "settings.json").exists() and str(target) not in pretrained.index():
        return None, {"kind": "folder", "name": path.resolve().name, "part": part}
    found = pretrained.find(target)
    if part != "all":
        raise CourseError(f"'{target}' has no part '{part}'; a part is of a folder of faces.")
    return found, found.about | {"weights_sha256": weights_sha256(found.network)}


def _drawn(folder, resolution, part, count, seed):
    images, _ = pipeline.load(folder, resolution, part)
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
    return images[rows]


def save(path, result):
    """Write what `evaluate` returned as JSON, so that no half-written file is ever seen."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(result, indent=1) + "\n")


def read(path):
    """Return what `save` wrote; raise `CourseError` for a file that is something else."""
    try:
        result = json.loads(Path(path).read_text())
        if not result["measure"] or not result["evaluated"]["name"]:
            raise KeyError("measure")
        [float(result["results"][name]) for name in ("frechet", "kernel", "kernel_error", "precision", "recall")]
    except FileNotFoundError:
        raise CourseError(f"There is no file '{path}'; give a result that 'evaluate --out' wrote.") from None
    except (ValueError, TypeError, KeyError) as error:
        raise CourseError(f"'{path}' is no result of 'evaluate --out' ({error!r}); measure again.") from error
    return result


def comparison_table(*results):
    """Return the numbers of one or more results as lines of text, side by side.

    Results of another kind, network, resizing, split, resolution or count have no common scale: such a set raises
    `CourseError`. Real faces that are only not the same bytes (another Pillow wrote the cartoons) get a `CourseWarning`.
    """
    first = results[0]
    for other in results[1:]:
        for key in sorted({*first["measure"], *other["measure"]}):
            ours, theirs = (r["measure"].get(key, "nothing") for r in (first, other))
            if ours != theirs:
                names = first["evaluated"]["name"], other["evaluated"]["name"]
                raise CourseError(
                    f"The measurements of '{names[0]}' and '{names[1]}' cannot be compared, because {key} is "
                    f"{ours} in one and {theirs} in the other; measure both alike."
                )
        if first["real_faces_sha256"] != other["real_faces_sha256"]:
            text = f"The real faces of '{first['measure']['data']}' were not the same files in both measurements."
            warnings.warn(text, CourseWarning, stacklevel=2)
    m = first["measure"]
    rows = [("", [r["evaluated"]["name"] for r in results])]
    rows.append((m["distance"], [f"{r['results']['frechet']:.3f}" for r in results]))
    error = ["{kernel:.5f} +- {kernel_error:.5f}".format(**r["results"]) for r in results]
    rows.append(("kernel distance +- standard error", error))
    for name in ("precision", "recall"):
        rows.append((name, [f"{r['results'][name]:.3f}" for r in results]))
    wide = max(len(label) for label, _ in rows)
    widths = [max(len(cells[i]) for _, cells in rows) for i in range(len(results))]
    text = [
        f"{label:<{wide}}  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
        for label, cells in rows
    ]
    return text + [
        f"{m['fake_count']:,} faces against {m['real_count']:,} of {m['data']} ({m['split']}), "
        f"{m['resolution']}x{m['resolution']}, features of {m['network']}, resized {m['resize']}; "
        f"precision and recall from {m['precision_recall_count']:,} of each.",
        "Precision says whether a face lies among real ones for this network, not whether it looks good (data/README.md).",
        *(line for r in results if "text" in r for line in [f"{r['evaluated']['name']}:", *agreement_text(r["text"])]),
    ]
