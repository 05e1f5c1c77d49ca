"""The cures of lesson 04 on faces: equal CPU time for each, the same networks and data, several seeds.

Every candidate is plain non-saturating training with one thing changed (`CURES`). Afterwards all drawn faces are
measured in the features of the judge: 2,000 of them against the validation part, because a cure is a choice. (The numbers
in `results/` are older and of the test part: `--part test`.)

    python benchmarks/cures.py --data data/toon --cpu-seconds 40 --seeds 3 --out runs/cures

CPU time (of all threads) and not time on the clock, so that other work on the machine does not decide. A run that
is in --out already is not trained again; distances are always measured anew, so a new judge needs no new training.
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
from gan_course.models import dcgan
from gan_course.training.gan import GAN

COUNT = 2000  # pictures drawn by each, and of the training part for the floor
BATCH = 16
BASE = dict(rate=5e-4, d_rate=None, norm=None, ema_decay=0.998)
R1 = dict(r1_gamma=2.0, r1_interval=16)
WASSERSTEIN = dict(loss="wasserstein", drift=1e-3)
CURES = {
    "saturating": dict(loss="minimax"),
    "non-saturating": {},
    "label smoothing": dict(smoothing=0.1),
    "instance noise": dict(instance_noise=0.2, noise_steps=2000),
    "two time scales": dict(rate=2.5e-4, d_rate=1e-3),
    "batch norm in D": dict(norm="batch"),
    "spectral norm": dict(norm="spectral"),
    "WGAN, clipping": dict(loss="wasserstein", clip=0.01, g_every=5),
    "WGAN-GP": WASSERSTEIN | dict(gp_weight=10.0),
    "WGAN-GP, 5 critic steps": WASSERSTEIN | dict(gp_weight=10.0, g_every=5),
    "R1, gamma 2": R1,
    "R1, gamma 10": R1 | dict(r1_gamma=10.0),
    "R1 and spectral norm": R1 | dict(norm="spectral"),
}


def build(cure, resolution, seed):
    """Return a compiled `GAN` of width 32 with one cure of `CURES`."""
    keras.utils.set_random_seed(seed)
    chosen = BASE | cure
    rate, d_rate, norm = (chosen.pop(name) for name in ("rate", "d_rate", "norm"))
    gan = GAN(dcgan.build_generator(resolution), dcgan.build_discriminator(resolution, norm=norm), seed=seed, **chosen)
    gan.compile(*(keras.optimizers.Adam(r, beta_1=0.0, beta_2=0.99) for r in (rate, d_rate or rate)))
    return gan


class Budget(keras.callbacks.Callback):
    """Stop after so many seconds of CPU time; note the losses of every `every` steps."""

    def __init__(self, seconds, every=50):
        super().__init__()
        self.seconds, self.every = seconds, every
        self.steps, self.curves = 0, {}

    def on_train_begin(self, logs=None):
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps % self.every == 0:
            for name, value in logs.items():
                self.curves.setdefault(name, []).append(round(float(value), 4))
        if time.process_time() - self.cpu > self.seconds:
            self.wall = time.perf_counter() - self.wall
            self.model.stop_training = True


def train(cure, data, resolution, seconds, seed):
    """Train one candidate; return (what to write down, pictures uint8)."""
    gan = build(cure, resolution, seed)
    batches = faces(data, resolution, BATCH, seed=seed)
    gan.fit(batches, steps_per_epoch=16, verbose=0)  # compiles the step, R1's branch too, before the clock starts
    budget = Budget(seconds)
    # Epochs of 50 steps: Keras's means start anew in each, so a curve's point is the mean of its 50 steps.
    gan.fit(batches, steps_per_epoch=budget.every, epochs=100_000, verbose=0, callbacks=[budget])
    pictures = metrics.generate(gan.ema_generator, COUNT, seed=1)
    steps = {"steps": budget.steps, "pictures": budget.steps * BATCH, "seconds": round(budget.wall, 1)}
    return steps | {"curves": budget.curves}, pictures


def measure(results, options):
    """Add each run's distances to `results`, and the floor: training faces against the same real ones."""
    network = metrics.feature_network("auto", options.data)
    real = network(metrics.real_pictures(options.data, options.resolution, options.part, COUNT)[0])
    pictures = {name: np.load(options.out / entry["file"])["pictures"] for name, entry in results["runs"].items()}
    floor = load(options.data, options.resolution, "train")[0]
    pictures["real"] = floor[np.linspace(0, len(floor) - 1, COUNT).astype(int)]
    for name, fake in pictures.items():
        entry = results["floor"] if name == "real" else results["runs"][name]
        entry.update({key: round(value, 4) for key, value in metrics.distances(real, network(fake)).items()})
    results["measured"] = {
        "distance": network.distance, "network": network.name, "network_sha256": network.sha256,
        "resize": network.resize, "real": f"{len(real)} of the part {options.part}", "drawn": COUNT,
    }  # fmt: skip


def ranked(results):
    """Return [(cure, its runs)], the smallest mean FFD first."""
    rows = {}
    for entry in results["runs"].values():
        rows.setdefault(entry["cure"], []).append(entry)
    return sorted(rows.items(), key=lambda row: np.mean([run["frechet"] for run in row[1]]))


def picture(results, folder, faces_in_row=14):
    """Return a labelled row of faces for each cure, of its first seed, the best mean first."""
    rows = {}
    for cure, runs in ranked(results):
        faces_of_one = np.load(folder / runs[0]["file"])["pictures"][:faces_in_row]
        ffd = np.mean([run["frechet"] for run in runs])
        rows[f"{cure}\nFFD {ffd:.0f}"] = show.sheet(faces_of_one, columns=faces_in_row)
    return show.labelled(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a CelebA folder")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--cpu-seconds", type=float, default=40, help="for each run (20 on two free cores)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cures", nargs="*", default=list(CURES), help="names of CURES")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and results.json")
    parser.add_argument(
        "--part", default="val", help="which real faces to measure against: val to choose, test at the end"
    )
    parser.add_argument("--measure", action="store_true", help="train nothing, only measure")
    parser.add_argument("--picture", type=Path, help="where to write a picture with a row of faces for each cure")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {"runs": {}, "floor": {}}
    asked = {"data": Path(options.data).resolve().name, "resolution": options.resolution, "batch": BATCH,
             "cpu_seconds": options.cpu_seconds}  # fmt: skip
    if results.setdefault("settings", asked) != asked:
        parser.error(f"{file} holds runs of {results['settings']}; choose another --out.")
    for seed in range(options.seeds):
        for cure in options.cures:
            name = f"{cure}, seed {seed}"
            if name in results["runs"] or options.measure:
                continue
            keras.backend.clear_session()
            entry, pictures = train(CURES[cure], options.data, options.resolution, options.cpu_seconds, seed)
            stem = "".join(c if c.isalnum() else "_" for c in name)
            np.savez_compressed(options.out / f"{stem}.npz", pictures=pictures)
            show.save(options.out / f"{stem}.png", show.sheet(pictures[:32], columns=16, gap=0))
            results["runs"][name] = {"cure": cure, "seed": seed, **CURES[cure], **entry, "file": f"{stem}.npz"}
            file.write_text(json.dumps(results))
            print(name, entry["pictures"], {k: v[-1] for k, v in entry["curves"].items()}, flush=True)
    measure(results, options)
    file.write_text(json.dumps(results))
    if options.picture:
        show.save(options.picture, picture(results, options.out))
    print("\n| cure | pictures seen | FFD, mean | of each seed | precision | recall |\n|---|---|---|---|---|---|")
    for cure, runs in ranked(results):
        mean = {key: np.mean([r[key] for r in runs]) for key in ("pictures", "frechet", "precision", "recall")}
        each = ", ".join(f"{r['frechet']:.1f}" for r in runs)
        numbers = f"{mean['frechet']:.1f} | {each} | {mean['precision']:.2f} | {mean['recall']:.2f}"
        print(f"| {cure} | {mean['pictures']:,.0f} | {numbers} |")
    f = results["floor"]
    print(f"| real (training part) | | {f['frechet']:.1f} | | {f['precision']:.2f} | {f['recall']:.2f} |")


if __name__ == "__main__":
    main()
