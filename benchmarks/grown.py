"""Does growing save time? The same networks grown and not grown, with R1 and with the paper's loss, in equal CPU time.

    python benchmarks/grown.py --data data/toon --resolution 32 --cpu-seconds 180 --images 4800 --out FILE.json
    python benchmarks/grown.py --resolution 16 --cpu-seconds 90 --images 3200 --seeds 3 --out FILE.json \\
        --ways "R1, grown" "no PixelNorm" "no minibatch deviation" "no equalised rate" "no equalised rate, a tenth of it"

A grown run begins at 4x4 and gives each fade and each stable stage `--images` pictures; what is left of the time goes
to the last resolution. The ways 'no ...' are the grown run without one of the paper's parts. FFD of 1,000 drawn faces
against 1,000 of the part `val` at eight moments; lower is better. The time of measuring is not counted; that of compiling is.

CPU time (of all threads) and not time on the clock, so that other work on the machine does not decide.
"""

import argparse
import json
import time
from pathlib import Path

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import keras
import numpy as np

from gan_course import metrics, show, systems
from gan_course.files import atomic_write
from gan_course.latent.sampling import fixed_latent
from gan_course.layers import Equalised
from gan_course.training import growing

COUNT, MOMENTS = 1000, 8
PAPER = dict(loss="wasserstein", gp_weight=10.0, drift=1e-3, r1_gamma=0.0)
WAYS = {
    "R1, grown": {},
    "R1, not grown": dict(start=None),  # None: the last resolution
    "WGAN-GP, grown": PAPER,
    "WGAN-GP, grown, the paper's rate": PAPER | dict(rate=1e-3),
    "WGAN-GP, not grown": PAPER | dict(start=None),
    "no PixelNorm": {},
    "no minibatch deviation": {},
    "no equalised rate": {},
    "no equalised rate, a tenth of it": dict(rate=3e-4),
}


class NoDeviation(keras.layers.Layer):
    """In the place of the minibatch deviation: a channel of zeros."""

    def call(self, x):
        return keras.ops.concatenate([x, keras.ops.zeros_like(x[..., :1])], axis=-1)


def take_out(gan, part):
    """Take one of the paper's parts out of the networks of `gan`."""
    for network in (gan.generator, gan.ema_generator, gan.discriminator):
        if part == "PixelNorm" and network is not gan.discriminator:
            network.norm = keras.layers.Identity()
        if part == "minibatch deviation" and network is gan.discriminator:
            network.deviation = NoDeviation()
        if part == "equalised rate":
            for layer in network.layers:
                if isinstance(layer, Equalised):  # the same function at the start, but He's numbers are stored
                    layer.kernel.assign(layer.kernel * layer.scale)
                    layer.scale = 1.0


class Budget(keras.callbacks.Callback):
    """Measure at `MOMENTS` moments of `seconds` CPU seconds, and stop at their end."""

    def __init__(self, seconds, measure):
        super().__init__()
        self.seconds, self.measure, self.rows = seconds, measure, []
        self.start = time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        used = time.process_time() - self.start
        if used < self.seconds * (len(self.rows) + 1) / MOMENTS:
            return
        self.rows.append({"cpu_seconds": round(used, 1)} | self.measure())
        self.start += time.process_time() - self.start - used
        self.model.stop_training = len(self.rows) == MOMENTS


def train(way, options, seed):
    """Train one way; return its rows and a sheet of faces."""
    chosen = dict(model="progan", data=str(options.data), resolution=options.resolution, width=options.width,
                  rate=3e-3, max_batch=32, fade_images=options.images, stable_images=options.images, ema_decay=0.995,
                  seed=seed) | WAYS[way]  # fmt: skip
    chosen["start"] = options.resolution if chosen.get("start", 4) is None else 4
    settings = systems.recipe(**chosen)
    gan = systems.build(settings)
    if way.startswith("no "):
        take_out(gan, way.removeprefix("no ").split(",")[0])
    judge = metrics.feature_network("auto", options.data)
    real = judge(metrics.real_pictures(options.data, options.resolution, "val", COUNT)[0])

    def measure():
        ffd = metrics.frechet_distance(real, judge(metrics.generate(gan.ema_generator, COUNT, seed=1)))
        step = gan.schedule.stage_at(gan.step - 1)
        return {"pictures": gan.schedule.images_at(gan.step), "resolution": step.resolution, "ffd": round(ffd, 1)}

    batches = growing.scheduled_faces(options.data, gan.schedule, seed=seed)
    budget = Budget(options.cpu_seconds, measure)
    gan.fit(batches, steps_per_epoch=1000, epochs=10**9, verbose=0, callbacks=[budget])
    return budget.rows, show.sheet(gan(fixed_latent(24, settings.latent_dim, seed)), columns=12)


def every_run(parser, options, asked, run, said):
    """Make a run of each way with each seed; return {"settings": ..., "runs": {name: numbers}}.

    asked: the settings that decide the numbers; `options.out` with others is refused, and the runs that it holds are not
    made again. run: (way, options, seed) -> (numbers, sheet of faces). said: numbers -> what is printed of them.
    """
    results = {"settings": asked | {"data": options.data.name}, "runs": {}}
    if options.out and options.out.exists():
        known = json.loads(options.out.read_text())
        if known["settings"] != results["settings"]:
            parser.error(f"{options.out} holds runs of {known['settings']}; choose another --out.")
        results = known
    for seed in range(options.seeds):
        for way in options.ways:
            name = f"{way}, seed {seed}"
            if name in results["runs"]:
                continue
            keras.backend.clear_session()
            results["runs"][name], sheet = run(way, options, seed)
            print(name, said(results["runs"][name]), flush=True)
            if options.sheets:
                show.save(options.sheets / f"{name.replace(', ', '-').replace(' ', '_')}.png", sheet)
            if options.out:
                with atomic_write(options.out) as partial:
                    partial.write_text(json.dumps(results, indent=1) + "\n")
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/toon"), help="a CelebA folder (default: data/toon)")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--width", type=int, default=32, help="channels at the last resolution (default: 32)")
    parser.add_argument("--images", type=int, default=4800, help="of each fade and of each stable stage")
    parser.add_argument("--cpu-seconds", type=float, default=180, help="for each run (about 100 on two free cores)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--out", type=Path, help="write the numbers as JSON; runs that it has are not repeated")
    parser.add_argument("--sheets", type=Path, help="a folder for a sheet of faces of each run")
    options = parser.parse_args()
    asked = {key: getattr(options, key) for key in ("resolution", "width", "images", "cpu_seconds")}
    results = every_run(parser, options, asked, train, lambda run: [(row["resolution"], row["ffd"]) for row in run])
    shares = [f"{i / MOMENTS:.0%}" for i in range(1, MOMENTS + 1)]
    print(f"\nFFD after these parts of {options.cpu_seconds:g} CPU seconds (mean of {options.seeds} seeds)")
    print("| | " + " | ".join(shares) + " | pictures |\n|" + "---|" * (MOMENTS + 2))
    for way in options.ways:
        runs = [rows for name, rows in results["runs"].items() if name.rsplit(", seed", 1)[0] == way]
        ffds = np.mean([[row["ffd"] for row in rows] for rows in runs], axis=0)
        pictures = np.mean([rows[-1]["pictures"] for rows in runs])
        print(f"| {way} | " + " | ".join(f"{value:.0f}" for value in ffds) + f" | {pictures:,.0f} |")


if __name__ == "__main__":
    main()
