"""What a convolution knows: dense against convolutional networks at 32x32, on faces and on shuffled pixels.

Every candidate trains with the same loss and Adam for the same CPU time (of all threads, so that other work on the
machine does not decide). `shuffled`: the pixels of all faces in one other order, the same for every face. For a dense
network that is no change; a convolution's neighbours are then any pixels. Drawn pictures are put back in order before
they are measured: FFD of 2,000 against the faces of the part val (`attributes-toon-judge`, enlarged to 64x64).

    python benchmarks/neighbours.py --data data/toon --cpu-seconds 120 --seeds 1 --out runs/neighbours

A run that is in --out already is not trained again. Writes results/neighbours.json beside this file, and with --picture
a row of faces for each candidate.
"""

import argparse
import json
import time
from pathlib import Path

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import keras
import numpy as np

from gan_course import metrics, show
from gan_course.data.pipeline import faces, load
from gan_course.models import dcgan, dense_gan
from gan_course.training.gan import GAN

RESOLUTION, COUNT, RATE = 32, 2000, 5e-4
ORDER = np.random.default_rng(0).permutation(RESOLUTION**2)
LESSON_01, LESSON_02 = dict(batch=64, r1_gamma=1.0), dict(batch=16, r1_gamma=10.0)
CANDIDATES = {
    "dense, lesson 01": dict(width=256, **LESSON_01),
    "dense, lesson 01, shuffled": dict(width=256, shuffled=True, **LESSON_01),
    "dense, lesson 01, settings of 02": dict(width=256, **LESSON_02),
    "dense, equal size": dict(width=24, **LESSON_02),
    "dense, equal size, settings of 01": dict(width=24, **LESSON_01),
    "convolution": dict(**LESSON_02),
    "convolution, shuffled": dict(shuffled=True, **LESSON_02),
    "convolution, settings of 01": dict(**LESSON_01),
}


def rearrange(pictures, order):
    """Return pictures (n, 32, 32, 3) with their pixels in another order; the same order for all."""
    return pictures.reshape(-1, RESOLUTION**2, 3)[:, order].reshape(-1, RESOLUTION, RESOLUTION, 3)


class Budget(keras.callbacks.Callback):
    """Stop after so many seconds of CPU time."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        self.cpu, self.wall, self.steps = time.process_time(), time.perf_counter(), 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if time.process_time() - self.cpu > self.seconds:
            self.wall = time.perf_counter() - self.wall
            self.model.stop_training = True


def train(data, seconds, seed, batch, r1_gamma, width=None, shuffled=False):
    """Train one candidate; return (what to write down, pictures uint8 in their own order). width: of dense networks."""
    keras.utils.set_random_seed(seed)
    networks = (
        (dense_gan.build_generator(RESOLUTION, width=width), dense_gan.build_discriminator(RESOLUTION, width))
        if width
        else (dcgan.build_generator(RESOLUTION), dcgan.build_discriminator(RESOLUTION))
    )
    gan = GAN(*networks, r1_gamma=r1_gamma, ema_decay=0.998, seed=seed)
    gan.compile(*(keras.optimizers.Adam(RATE, beta_1=0.0, beta_2=0.99) for _ in "GD"))
    batches = faces(data, RESOLUTION, batch, seed=seed)
    if shuffled:
        batches = batches.map(
            lambda x: keras.ops.reshape(
                keras.ops.take(keras.ops.reshape(x, (batch, RESOLUTION**2, 3)), ORDER, axis=1),
                (batch, RESOLUTION, RESOLUTION, 3),
            )
        )
    gan.fit(batches, steps_per_epoch=16, verbose=0)  # compiles the step, R1's branch too, before the clock starts
    budget = Budget(seconds)
    history = gan.fit(batches, steps_per_epoch=50, epochs=100_000, verbose=0, callbacks=[budget]).history
    entry = {
        "parameters": [network.count_params() for network in networks],
        "steps": budget.steps,
        "pictures": budget.steps * batch,
        "seconds": round(budget.wall, 1),
        "d_loss": round(float(np.mean(history["d_loss"][-5:])), 3),
    }
    return entry, metrics.generate(gan.ema_generator, COUNT, seed=1)


def steps_between_neighbours(pictures):
    """Return the mean difference of neighbouring pixels, in steps of brightness from 0 to 255."""
    x = pictures.astype("float32")
    return float(np.abs(np.diff(x, axis=1)).mean() + np.abs(np.diff(x, axis=2)).mean())


def picture(rows, count=12):
    """Return a labelled row of faces for each of {label: pictures}."""
    return show.labelled({name: show.sheet(x[:count], columns=count, scale=2) for name, x in rows.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of cartoon faces")
    parser.add_argument("--cpu-seconds", type=float, default=120, help="for each run (60 on two free cores)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--candidates", nargs="*", default=list(CANDIDATES), help="names of CANDIDATES")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and results.json")
    parser.add_argument("--picture", type=Path, help="where to write a picture with a row of faces for each candidate")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {"runs": {}}
    results |= {"cpu_seconds": options.cpu_seconds, "resolution": RESOLUTION, "rate": RATE, "ema_decay": 0.998}
    network = metrics.feature_network("auto", options.data)
    real, _ = metrics.real_pictures(options.data, RESOLUTION, "val", COUNT)
    features = network(real)
    floor = metrics.real_pictures(options.data, RESOLUTION, "train", COUNT)[0]
    results["real"] = {"ffd": round(metrics.frechet_distance(features, network(floor)), 2)}
    results["measured"] = f"{COUNT} drawn against {len(real)} of the part val, FFD of {network.name}"
    for seed in range(options.seeds):
        for name in options.candidates:
            key, stem = f"{name}, seed {seed}", "".join(c if c.isalnum() else "_" for c in f"{name} {seed}")
            if key in results["runs"]:
                continue
            keras.backend.clear_session()
            chosen = CANDIDATES[name]
            entry, drawn = train(options.data, options.cpu_seconds, seed, **chosen)
            back = rearrange(drawn, np.argsort(ORDER)) if chosen.get("shuffled") else drawn
            entry["ffd"] = round(metrics.frechet_distance(features, network(back)), 1)
            entry["noise"] = round(steps_between_neighbours(back) / steps_between_neighbours(real), 2)
            np.savez_compressed(options.out / f"{stem}.npz", pictures=back, drawn=drawn[:36])
            results["runs"][key] = {"candidate": name, "seed": seed, **chosen, **entry}
            file.write_text(json.dumps(results, indent=1) + "\n")
            (Path(__file__).parent / "results" / "neighbours.json").write_text(json.dumps(results, indent=1) + "\n")
            print(key, entry, flush=True)
    if options.picture:
        rows = {"real": load(options.data, RESOLUTION, limit=12)[0]}
        for name in ("dense, lesson 01", "dense, lesson 01, shuffled", "dense, equal size", "convolution"):
            stem = "".join(c if c.isalnum() else "_" for c in f"{name} 0")
            rows[name.replace(", ", ",\n")] = np.load(options.out / f"{stem}.npz")["pictures"]
        stored = np.load(options.out / "convolution__shuffled_0.npz")
        rows |= {"convolution,\nshuffled, as drawn": stored["drawn"], "the same,\nput in order": stored["pictures"]}
        show.save(options.picture, picture(rows))
    print("\n| candidate | parameters of G, D | pictures | FFD | noise |\n|---|---|---|---|---|")
    for key, run in sorted(results["runs"].items(), key=lambda pair: pair[1]["ffd"]):
        sizes = ", ".join(f"{count:,}" for count in run["parameters"])
        print(f"| {key} | {sizes} | {run['pictures']:,} | {run['ffd']} | {run['noise']} |")
    print(f"| real, part train | | | {results['real']['ffd']} | |")


if __name__ == "__main__":
    main()
