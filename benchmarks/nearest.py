"""Does a generator copy? How far its faces are from the nearest training face, beside faces that it has not seen.

A generator that draws its training faces again has a perfect FFD. So for each drawn face this looks for the nearest of
all training faces, mirrored ones too (trainings mirror at random), in two ways: in the features of the judge, and by
pixels of 16x16 (where a small shift matters little). The same is done for real faces of val and test: a copier's faces
are nearer to the training faces than those are.

    python benchmarks/nearest.py --weights dcgan-toon-64 --data data/toon --picture benchmarks/pictures/nearest.jpg
    python benchmarks/nearest.py --weights dcgan-celeba-64 --data FOLDER    # numbers only

Of photographs only the numbers are written, never a face. Adds to results/nearest.json beside this file.
"""

import argparse
import json
from pathlib import Path

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import numpy as np
from sklearn.neighbors import NearestNeighbors

from gan_course import metrics, pretrained, show
from gan_course.data import toon
from gan_course.data.pipeline import load

SIZE = 64
WAYS = ("features", "pixels")


def describe(pictures, way, judge):
    """Return one row of numbers for each picture."""
    if way == "features":
        return judge(pictures)
    blocks = pictures.astype("float32").reshape(len(pictures), 16, SIZE // 16, 16, SIZE // 16, 3)
    return blocks.mean((2, 4)).reshape(len(pictures), -1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="a generator that the course ships")
    parser.add_argument("--data", type=Path, required=True, help="the faces that it was trained on")
    parser.add_argument("--count", type=int, default=1000, help="drawn faces, and at most so many of val and of test")
    parser.add_argument("--picture", type=Path, help="cartoons only: drawn faces, each beside its nearest")
    options = parser.parse_args()
    cartoons = (options.data / toon.SETTINGS).exists()
    if options.picture and not cartoons:
        parser.error("These are photographs: their nearest faces are not shown, only their distances.")
    judge = metrics.feature_network("auto", options.data)
    known, _ = load(options.data, SIZE, "train")
    sets = {"drawn": metrics.generate(pretrained.load(options.weights), options.count, seed=6)}
    for part in ("val", "test"):
        sets[f"real, part {part}"] = metrics.real_pictures(options.data, SIZE, part, options.count)[0]
    # Trainings mirror at random, so a copy may be mirrored: each face is compared both ways round.
    result, nearest = {}, {}
    for way in WAYS:
        search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(describe(known, way, judge))
        limit = None
        for name, pictures in reversed(sets.items()):
            both = [search.kneighbors(describe(x, way, judge)) for x in (pictures, pictures[:, :, ::-1])]
            ways, rows = (np.stack([pair[i][:, 0] for pair in both]) for i in range(2))
            chosen = ways.argmin(0), np.arange(len(pictures))
            distances = ways[chosen]
            nearest[way, name] = distances, rows[chosen], chosen[0]
            limit = np.quantile(distances, 0.01) if limit is None else limit  # of the part test, which comes first
            result.setdefault(name, {"count": len(pictures)})[way] = {
                "median": round(float(np.median(distances)), 2),
                "smallest": round(float(distances.min()), 2),
                "nearer_than_1_percent_of_test": round(float((distances < limit).mean()), 4),
            }
    file = Path(__file__).parent / "results" / "nearest.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    results[options.weights] = {"training_faces": len(known), "judge": judge.name, **dict(reversed(result.items()))}
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results[options.weights], indent=1))
    if options.picture:  # the twelve drawn faces that are nearest of all by features: where a copy would be
        distances, rows, turned = nearest["features", "drawn"]
        first = np.argsort(distances)[:12]
        found = [known[rows[i]][:, ::-1] if turned[i] else known[rows[i]] for i in first]
        show.save(options.picture, show.sheet(np.concatenate([sets["drawn"][first], np.stack(found)]), columns=12))


if __name__ == "__main__":
    main()
