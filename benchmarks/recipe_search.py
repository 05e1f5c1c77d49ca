"""The search for the 64x64 DCGAN's recipe: equal CPU time for each candidate, one sheet and one number.

The number is the sliced Wasserstein distance of ProGAN (Karras et al. 2018, section 5): 7x7 patches of
Laplacian pyramid levels 64, 32 and 16, 128 random directions, lower is better, times 1000. It needs no
pretrained network. Look at the sheets as well: a number alone has never made a face.

    python benchmarks/recipe_search.py --data data/toon --cpu-minutes 6 --out runs/search

CPU time (of all threads) and not time on the clock, so that other work on the machine does not decide.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from gan_course import show
from gan_course.data.pipeline import faces, load
from gan_course.models import dcgan
from gan_course.training.gan import GAN

BASE = dict(
    width=32, max_width=256, latent_dim=64, batch_size=32, rate=5e-4, beta_2=0.99, r1_gamma=1.0, r1_interval=16,
    ema_decay=0.998, loss="non_saturating",
)  # fmt: skip
SMALL = dict(batch_size=16)
RECIPES = {
    "base": {},
    "rate_1e-3": dict(rate=1e-3),
    "width_48": dict(width=48, max_width=384),
    "batch_16": SMALL,
    "batch_16_gamma_5": SMALL | dict(r1_gamma=5.0),
    "batch_16_gamma_20": SMALL | dict(r1_gamma=20.0),
    "batch_16_gamma_20_rate_1e-3": SMALL | dict(r1_gamma=20.0, rate=1e-3),
    "batch_16_gamma_10_rate_1e-3_ema_0.999": SMALL | dict(r1_gamma=10.0, rate=1e-3, ema_decay=0.999),
    "recipe": SMALL | dict(r1_gamma=2.0, ema_decay=0.999),
}


def pyramid(images, levels=3):
    """float32 (n, 64, 64, 3) -> Laplacian levels at 64, 32 and the 16x16 rest, by box filters."""
    result = []
    for _ in range(levels - 1):
        n, h, w, c = images.shape
        small = images.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
        result.append(images - small.repeat(2, 1).repeat(2, 2))
        images = small
    return result + [images]


def sliced_wasserstein(a, b, seed=0, patches=32, directions=128, repeats=4):
    """Mean over the levels of the sliced Wasserstein distance of 7x7 patches, times 1000."""
    rng = np.random.default_rng(seed)
    total = []
    for level_a, level_b in zip(pyramid(a), pyramid(b), strict=True):
        sets = []
        for level in (level_a, level_b):
            windows = np.lib.stride_tricks.sliding_window_view(level, (7, 7), axis=(1, 2))
            n, rows, columns = windows.shape[:3]
            i = np.repeat(np.arange(n), patches)
            x = windows[i, rng.integers(0, rows, len(i)), rng.integers(0, columns, len(i))].reshape(len(i), -1)
            sets.append((x - x.mean(0)) / x.std())
        for _ in range(repeats):
            way = rng.normal(size=(sets[0].shape[1], directions))
            way /= np.linalg.norm(way, axis=0)
            pair = [np.sort(x @ way, axis=0) for x in sets]
            total.append(np.abs(pair[0] - pair[1]).mean())
    return 1000 * float(np.mean(total))


def train(recipe, data, cpu_minutes, out, resolution=64, seed=0):
    """Train one candidate for `cpu_minutes` of CPU time; return its numbers."""
    keras.utils.set_random_seed(seed)
    r = BASE | recipe
    size = dict(resolution=resolution, width=r["width"], max_width=r["max_width"])
    gan = GAN(
        dcgan.build_generator(latent_dim=r["latent_dim"], **size),
        dcgan.build_discriminator(**size),
        loss=r["loss"], r1_gamma=r["r1_gamma"], r1_interval=r["r1_interval"], ema_decay=r["ema_decay"], seed=seed,
    )  # fmt: skip
    gan.compile(*[keras.optimizers.Adam(r["rate"], beta_1=0.0, beta_2=r["beta_2"]) for _ in "gd"])
    batches = faces(data, resolution, r["batch_size"], seed=seed)
    gan.fit(batches, steps_per_epoch=2, verbose=0)  # compile before the clock starts

    class Budget(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.cpu, self.wall, self.steps = time.process_time(), time.perf_counter(), 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if time.process_time() - self.cpu > 60 * cpu_minutes:
                self.model.stop_training = True
                self.wall = time.perf_counter() - self.wall

    budget = Budget()
    # Keras looks at stop_training after every batch.
    history = gan.fit(batches, steps_per_epoch=100, epochs=100_000, verbose=0, callbacks=[budget])
    latent = np.random.default_rng(1).normal(size=(2000, r["latent_dim"])).astype("float32")
    fake = np.concatenate([gan(latent[i : i + 200]) for i in range(0, 2000, 200)])
    real, _ = load(data, resolution, part="val", limit=1000)
    fake = show.to_uint8(fake)
    Image.fromarray(show.sheet(fake[:60], columns=12, gap=0)).save(out)
    images = budget.steps * r["batch_size"]
    return dict(
        images=images,
        swd=round(sliced_wasserstein(fake[: len(real)] / 127.5 - 1, real / 127.5 - 1), 1),
        **{k: round(v[-1], 3) for k, v in history.history.items()},
        parameters=[gan.generator.count_params(), gan.discriminator.count_params()],
        seconds=round(budget.wall),
        recipe=recipe,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a CelebA folder")
    parser.add_argument("--cpu-minutes", type=float, default=6, help="CPU minutes for each (default 6: 3 on two cores)")
    parser.add_argument("--recipes", default=",".join(RECIPES), help="names, separated by commas")
    parser.add_argument("--out", type=Path, required=True, help="folder for sheets and results.json")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for name in options.recipes.split(","):
        keras.backend.clear_session()
        results[name] = train(RECIPES[name], options.data, options.cpu_minutes, options.out / f"{name}.png")
        print(name, results[name], flush=True)
        file.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
