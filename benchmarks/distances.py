"""One table of distances: shipped generators, real faces against real ones, and spoilt training faces.

Every row has 2,000 pictures, measured against all faces of the test part, in the features of the judge of that kind
of faces (FFD, never FID), and in those of Inception-v3 where its weights can be had. The last two rows have fewer:
they ask whether the judge, which was trained on the training part, takes its faces for better than as many others.

    python benchmarks/distances.py --toon data/toon --real FOLDER

Writes results/distances.json and prints the tables. No picture is stored.
"""

import argparse
import io
import json
from importlib.metadata import version
from pathlib import Path

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import numpy as np
from PIL import Image, ImageFilter

from gan_course import metrics, pretrained
from gan_course.data.pipeline import load
from gan_course.errors import CourseError

COUNT = 2000
RESOLUTION = 64


def spoilt(pictures, change):
    return np.stack([np.asarray(change(Image.fromarray(picture))) for picture in pictures])


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=quality)
    return Image.open(buffer)


def rows(kind, folder):
    """Yield (name, pictures uint8) for each row."""
    shipped = f"dcgan-{kind}-64"
    entry = pretrained.index()[shipped]
    name = f"`{shipped}`, {entry['minutes']:.0f} minutes, {entry['images']:,} pictures seen"
    yield name, metrics.generate(pretrained.load(shipped), COUNT, seed=0)
    every = load(folder, RESOLUTION, "train")[0]

    def spread(count):
        return every[np.linspace(0, len(every) - 1, count).astype(int)]

    train = spread(COUNT)
    yield "real: training faces", train
    for radius in (0.5, 1.0):
        blurred = spoilt(train, lambda image, r=radius: image.filter(ImageFilter.GaussianBlur(r)))
        yield f"training faces, blurred (Gaussian, {radius} pixels)", blurred
    yield "training faces, JPEG of quality 50", spoilt(train, lambda image: jpeg(image, 50))
    validation = load(folder, RESOLUTION, "val")[0][:COUNT]
    yield f"real: {len(validation):,} training faces", spread(len(validation))
    yield f"real: {len(validation):,} validation faces", validation


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toon", required=True, help="the folder of cartoon faces")
    parser.add_argument("--real", required=True, help="a CelebA folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "distances.json")
    options = parser.parse_args()
    results = {"versions": {name: version(name) for name in ("keras", "numpy", "pillow")}, "tables": []}
    try:
        inception = [metrics.InceptionFeatures()]
    except CourseError as error:
        print(error)
        inception = []
    for kind, folder in (("toon", options.toon), ("celeba", options.real)):
        test, _ = metrics.real_pictures(folder, RESOLUTION, "test", COUNT)
        for network in [metrics.feature_network(kind, folder), *inception]:
            table = {
                "data": Path(folder).resolve().name, "distance": network.distance, "network": network.name,
                "network_sha256": network.sha256, "resize": network.resize, "resolution": RESOLUTION,
                "real": f"all {len(test)} faces of the test part", "pictures": COUNT,
                "precision_recall_count": min(COUNT, len(test)), "rows": {},
            }  # fmt: skip
            real = network(test)
            print(f"\n{table['data']}: {COUNT:,} pictures against {table['real']}, {network.name}\n")
            print(f"| pictures | {network.short} | KID ± standard error | precision | recall |\n|---|---|---|---|---|")
            for name, pictures in rows(kind, folder):
                d = table["rows"][name] = {"count": len(pictures), **metrics.distances(real, network(pictures))}
                kid = f"{d['kernel']:.4f} ± {d['kernel_error']:.4f}"
                print(f"| {name} | {d['frechet']:.2f} | {kid} | {d['precision']:.3f} | {d['recall']:.3f} |", flush=True)
            results["tables"].append(table)
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
