"""What precision does not see: pictures that are no faces, measured as generated faces are.

Validation faces, and what is left of them after three ways of spoiling, against as many test faces, in the features of
the judge of photographs. About a minute.

    python benchmarks/precision.py --real FOLDER

Prints a table. No picture is stored.
"""

import argparse

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import numpy as np

from gan_course import metrics
from gan_course.data.pipeline import load

RESOLUTION = 64


def shuffled_blocks(picture, random, size=16):
    n = RESOLUTION // size
    blocks = picture.reshape(n, size, n, size, 3).swapaxes(1, 2).reshape(n * n, size, size, 3)
    return random.permutation(blocks).reshape(n, n, size, size, 3).swapaxes(1, 2).reshape(picture.shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", required=True, help="a CelebA folder")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    real, faces = (load(options.real, RESOLUTION, part)[0] for part in ("test", "val"))
    count = min(len(real), len(faces))
    real, faces = real[:count], faces[:count]
    halves = faces.copy()
    halves[:, :, RESOLUTION // 2 :] = random.permutation(faces)[:, :, RESOLUTION // 2 :]
    rows = {
        "real faces": faces,
        "the left half of a face beside the right half of another": halves,
        "faces cut into 16 blocks, shuffled": np.stack([shuffled_blocks(face, random) for face in faces]),
        "plain grey": np.full_like(faces, 128),
    }
    network = metrics.FaceFeatures("attributes-celeba-judge")
    features = network(real)
    print(f"{count} pictures against {count} real faces\n\n| pictures | FFD | precision | recall |\n|---|---|---|---|")
    for name, pictures in rows.items():
        d = metrics.distances(features, network(pictures))
        print(f"| {name} | {d['frechet']:.1f} | {d['precision']:.2f} | {d['recall']:.2f} |")


if __name__ == "__main__":
    main()
