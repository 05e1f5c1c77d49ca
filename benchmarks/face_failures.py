"""Failures on faces, made on purpose, for lesson 04: small cartoon GANs that collapse, lose to D, or copy.

Every run has the networks of lesson 02 at 32x32 (width 32) and batches of 16. The settings of a run stand in `RUNS`.
What is drawn and measured comes from the generator itself and not from its average, because an average hides swings.
On the way 500 faces are measured against the validation part, after the last step 2,000 against the test part, in the
features of the judge of cartoons.

    python benchmarks/face_failures.py --data data/toon --out runs/failures
    python benchmarks/face_failures.py --data data/toon --out runs/few --few      # few faces, with and without DiffAugment

One to two minutes for each run on two CPU cores. A run that is in --out already is not trained again.
"""

import argparse
import json
import time
from pathlib import Path

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import keras
import numpy as np
from scipy.spatial.distance import cdist

from gan_course import metrics, show
from gan_course.data.pipeline import faces, load
from gan_course.models import dcgan
from gan_course.training.gan import GAN

SIZE, BATCH, EVERY = 32, 16, 50  # pixels, faces in a batch, steps of a curve's point
COUNT, ON_THE_WAY, IN_A_ROW = 2000, 500, 8
BASE = dict(rate=5e-4, d_rate=None, beta_1=0.0, limit=None, steps=2000, r1_interval=16)
TOO_FAST = dict(rate=2e-3, beta_1=0.9)  # four times the recipe's rate, and the memory that the recipe leaves out
R1 = dict(r1_gamma=10.0)
RUNS = {
    "healthy, with R1": R1,
    "too fast": TOO_FAST,
    "too fast, with R1": TOO_FAST | R1,
    "mode collapse": dict(rate=2e-3, d_rate=3e-5),
    "D wins": dict(loss="minimax", rate=1e-4, d_rate=4e-3),
    "memorised, 32 faces": dict(limit=32, steps=6000) | R1,
}
AUGMENT = dict(augment="translation,colour,cutout", augment_p=0.8)
FEW = {  # the cure for a memorised training set
    f"{count} faces, gamma {gamma:g}{', DiffAugment' if cure else ''}": dict(limit=count, steps=6000, r1_gamma=gamma)
    | cure
    for count in (32, 300)
    for gamma in (1.0, 10.0)
    for cure in ({}, AUGMENT)
}


def build(run, seed):
    """Return (a compiled `GAN`, how many faces it may learn from or None for all, its steps)."""
    keras.utils.set_random_seed(seed)
    options = BASE | run
    rate, d_rate, beta_1, limit, steps = (options.pop(n) for n in ("rate", "d_rate", "beta_1", "limit", "steps"))
    gan = GAN(dcgan.build_generator(SIZE), dcgan.build_discriminator(SIZE), seed=seed, **options)
    gan.compile(*(keras.optimizers.Adam(r, beta_1=beta_1, beta_2=0.99) for r in (rate, d_rate or rate)))
    return gan, limit, steps


class Ruler:
    """The judge's features of the real faces, and what is measured with them."""

    def __init__(self, data):
        self.judge = metrics.feature_network("auto", data)
        self.few = load(data, SIZE, "train", 32)[0]  # what the memorising run learns from
        self.few_unseen = load(data, SIZE, "val", 32)[0]
        self.val, self.test = (self.judge(load(data, SIZE, part)[0]) for part in ("val", "test"))
        self.train = self.judge(load(data, SIZE, "train", COUNT)[0])
        self.near, self.near_unseen = self.judge(self.few), self.judge(self.few_unseen)

    def measure(self, features, real):
        """Return the numbers of one cloud of drawn faces."""
        values = metrics.distances(real, features)
        some = features[:ON_THE_WAY]
        apart = cdist(some[::2], some[1::2])
        return {
            "frechet": values["frechet"], "precision": values["precision"], "recall": values["recall"],
            "apart": np.median(apart),  # the distance of two faces of the cloud: 0 if all are alike
            "to_32_training": np.median(cdist(some, self.near).min(axis=1)),
            "to_32_unseen": np.median(cdist(some, self.near_unseen).min(axis=1)),
        }  # fmt: skip


def nearest(pictures, real):
    """Return (the nearest of the real faces and their mirror images for each picture, how far it is), by pixels."""
    real = np.concatenate([real, real[:, :, ::-1]])  # the training mirrors, too
    ways = cdist(*(x.reshape(len(x), -1) / 255 for x in (pictures, real)))
    return real[ways.argmin(axis=1)], ways.min(axis=1)


def rounded(values):
    return {name: round(float(value), 4) for name, value in values.items()}


def train(run, data, ruler, pages, seed):
    """Train one run; return (what to write down, its faces uint8 (pages, IN_A_ROW, ...), its last COUNT faces)."""
    gan, limit, steps = build(run, seed)
    latent = np.random.default_rng(1).normal(size=(IN_A_ROW, gan.latent_dim)).astype("float32")
    curves, looks, looked, sheets = {}, [], [], []
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(pages):
        batches = faces(data, SIZE, BATCH, seed=seed, start_step=gan.step, limit=limit)
        # Epochs of 50 steps: Keras's means start anew in each, so a curve's point is the mean of its 50 steps.
        fit = gan.fit(batches, steps_per_epoch=EVERY, epochs=steps // pages // EVERY, verbose=0)
        for key, values in fit.history.items():
            curves.setdefault(key, []).extend(round(float(v), 4) for v in values)
        sheets.append(show.to_uint8(gan.generator(latent, training=False)))
        drawn = metrics.generate(gan.generator, ON_THE_WAY, seed=2)
        looks.append(rounded(ruler.measure(ruler.judge(drawn), ruler.val)))
        looked.append(gan.step)
    last = metrics.generate(gan.generator, COUNT, seed=3)
    opinions = {
        key: np.mean(1 / (1 + np.exp(-gan.discriminator.predict(x / np.float32(127.5) - 1, verbose=0))))
        for key, x in (("D_of_32_training", ruler.few), ("D_of_32_unseen", ruler.few_unseen))
    }
    entry = {
        "settings": BASE | run, "steps": gan.step, "seed": seed, "seconds": round(time.perf_counter() - start),
        "cpu_seconds": round(time.process_time() - cpu), "curves": curves, "looked_at": looked, "looks": looks,
        "last": rounded(ruler.measure(ruler.judge(last), ruler.test)), "opinions": rounded(opinions),
    }  # fmt: skip
    return entry, np.stack(sheets), last


def picture(results, folder, names):
    """A row for each run: the same latent vectors at three quarters of the training and at its end."""
    rows = {}
    for name in names:
        stored = np.load(folder / results["runs"][name]["file"])
        sheets = stored["sheets"]
        page = np.concatenate([sheets[len(sheets) * 3 // 4 - 1], np.full_like(sheets[0, :1], 255), sheets[-1]])
        rows[f"{name}\nFFD {results['runs'][name]['last']['frechet']:.0f}"] = show.sheet(page, len(page))
    return show.labelled(rows, width=210)


def copies(results, folder, name, ruler):
    """Drawn faces, below each its nearest of the 32 training faces, and its nearest of 32 that were never seen."""
    drawn = np.load(folder / results["runs"][name]["file"])["last"][:16]
    near, unseen = (nearest(drawn, real)[0] for real in (ruler.few, ruler.few_unseen))
    labels = "drawn", "nearest of the\n32 training faces", "nearest of\n32 unseen faces"
    pages = [show.sheet(row, 16) for row in (drawn, near, unseen)]
    return show.labelled(dict(zip(labels, pages, strict=True)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of cartoons, in CelebA's layout")
    parser.add_argument("--pages", type=int, default=8, help="how often to look and measure on the way")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--few", action="store_true", help="the runs of FEW in the place of those of RUNS")
    parser.add_argument("--runs", nargs="*", help="names of runs (default: all)")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and results.json")
    parser.add_argument(
        "--pictures", type=Path, help="where to write face_failures.jpg and face_copies.jpg, or face_few.jpg"
    )
    options = parser.parse_args()
    runs = FEW if options.few else RUNS
    names = options.runs or list(runs)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {"runs": {}}
    ruler = Ruler(options.data)
    for name in names:
        if name in results["runs"]:
            continue
        keras.backend.clear_session()
        entry, sheets, last = train(runs[name], options.data, ruler, options.pages, options.seed)
        stem = "".join(c if c.isalnum() else "_" for c in name)
        np.savez_compressed(options.out / f"{stem}.npz", sheets=sheets, last=last[:64])
        show.save(options.out / f"{stem}.png", show.sheet(sheets.reshape(-1, *sheets.shape[2:]), columns=IN_A_ROW))
        results["runs"][name] = entry | {"file": f"{stem}.npz"}
        file.write_text(json.dumps(results))
        print(name, f"{entry['seconds']} s", {k: v[-1] for k, v in entry["curves"].items()}, entry["last"],
              entry["opinions"], flush=True)  # fmt: skip
    for entry in results["runs"].values():
        last = np.load(options.out / entry["file"])["last"]
        ways = {
            f"to_32_{key}": nearest(last, real)[1]
            for key, real in (("training", ruler.few), ("unseen", ruler.few_unseen))
        }
        entry["pixels"] = rounded({key: np.median(way) for key, way in ways.items()})
    real = ruler.measure(ruler.train, ruler.test)
    results["real"] = rounded(real)
    results["real"] |= {"unseen_to_32_training": round(float(np.median(cdist(ruler.test, ruler.near).min(axis=1))), 4)}
    results["measured"] = {"network": ruler.judge.name, "network_sha256": ruler.judge.sha256,
                           "drawn": COUNT, "real": f"{len(ruler.test)} of the test part"}  # fmt: skip
    file.write_text(json.dumps(results))
    print("real", results["real"])
    if options.pictures and options.few:
        show.save(options.pictures / "face_few.jpg", picture(results, options.out, names))
    elif options.pictures:
        show.save(options.pictures / "face_failures.jpg", picture(results, options.out, names))
        name = next(name for name in names if runs[name].get("limit"))
        show.save(options.pictures / "face_copies.jpg", copies(results, options.out, name, ruler))


if __name__ == "__main__":
    main()
