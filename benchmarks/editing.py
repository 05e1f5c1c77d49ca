"""Is it the decomposition? L2M-GAN, the same networks without its parts, and the recipe's additions, in equal CPU time.

    python benchmarks/editing.py --data data/toon --attributes Smiling,Eyeglasses --cpu-minutes 60 --seeds 2 --out FILE.json

All test faces in every direction, once (`metrics.measure_edits`); the means over directions. Row by row the file is written, and a
row that it has already is not trained again. TL-GAN's axis after a projection is another script's: it needs no training here.

CPU time (of all threads) and not time on the clock, so that other work on the machine does not decide.
"""

import argparse
import json
import time
from pathlib import Path

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import keras

from gan_course import metrics, systems
from gan_course.data.celeba import open_faces
from gan_course.editing import DomainEditor
from gan_course.files import atomic_write

WAYS = {
    "L2M-GAN": {},
    "product, as the official code": dict(perpendicular_loss="product"),
    "no perpendicular loss": dict(perpendicular=0.0),
    "no decomposition": dict(styles="whole"),
    "a label, as StarGAN": dict(styles="label"),
    "D sees no wrong domains": dict(wrong=0.0),
    "no faces given back": dict(own_every=0),
    "no skips": dict(skip="none"),
    "high-pass skips": dict(skip="high_pass"),
}
COLUMNS = ("target", "real", "kept", "kept_free", "error", "identity", "frechet", "unedited", "floor", "spearman")


class Until(keras.callbacks.Callback):
    """Stop when the training has taken so many seconds of CPU time."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        self.begin = time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        if time.process_time() - self.begin >= self.seconds:
            self.model.stop_training = True


def measured(config, minutes):
    """Train with one configuration and return its row."""
    trainer = config.build()
    dataset = config.dataset(open_faces(config.data))
    trainer.fit(dataset, steps_per_epoch=config.epoch, epochs=10**9, verbose=0, callbacks=[Until(60 * minutes)])
    table, _ = metrics.measure_edits(DomainEditor(trainer.ema_editor, config), config.data)
    return {"steps": trainer.step, **{name: round(float(table.loc["mean", name]), 4) for name in COLUMNS}}


def main():
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--data", default="data/toon")
    p.add_argument("--attributes", default="Smiling,Eyeglasses")
    p.add_argument("--resolution", type=int, default=32)
    p.add_argument("--width", type=int, default=16)
    p.add_argument("--cpu-minutes", type=float, default=60)
    p.add_argument("--seeds", type=int, default=2)
    p.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    p.add_argument("--out", type=Path, required=True)
    options = p.parse_args()
    rows = json.loads(options.out.read_text()) if options.out.exists() else {}
    for seed in range(options.seeds):
        for way in options.ways:
            key = f"{way}, seed {seed}"
            if key in rows:
                continue
            chosen = dict(data=options.data, attributes=options.attributes, resolution=options.resolution, seed=seed)
            chosen |= dict(width=options.width, style_width=options.width // 2, batch_size=16)
            keras.backend.clear_session()
            rows[key] = measured(systems.recipe(model="l2m", **chosen | WAYS[way]), options.cpu_minutes)
            print(key, rows[key], flush=True)
            with atomic_write(options.out) as partial:
                partial.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
