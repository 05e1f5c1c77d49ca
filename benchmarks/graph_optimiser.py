"""What TensorFlow's graph optimiser costs before the first step, and what it gives afterwards, on a CPU.

    python benchmarks/graph_optimiser.py

Each system of the course is built twice: compiled with the optimiser (as everywhere), and without it (as in the smoke profile).
Then both train in turns, on random pictures of 64x64. Printed: seconds of the first two steps (the networks are traced and
compiled), and the median time of a later step.
"""

import argparse
import time

from gan_course import backend  # noqa: F401  isort: skip
import keras
import numpy as np
import tensorflow as tf

from gan_course.models import dcgan, l2m_gan, progan, stylegan
from gan_course.training import GAN
from gan_course.training.growing import GrowingGAN, Schedule
from gan_course.training.l2m import L2M
from gan_course.training.stylegan import StyleGAN

SIZE, BATCH = 64, 16


def optimise(on):
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not on})


def compiled(gan, rate=5e-4):
    gan.compile(*(keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.99) for _ in range(2)))
    return gan


def build(name):
    """Return a GAN of the course at 64x64, ready to train."""
    keras.utils.set_random_seed(0)
    whole = Schedule(SIZE, start=SIZE, fade=BATCH, stable=10**6, batch_size=BATCH)
    narrow = dict(base=1024, max_width=128)
    if name == "dcgan":
        networks = dcgan.build_generator(SIZE), dcgan.build_discriminator(SIZE)
        return compiled(GAN(*networks, r1_gamma=2.0, r1_interval=16))
    if name == "progan":
        networks = progan.build_generator(SIZE, 128, **narrow), progan.build_discriminator(SIZE, **narrow)
        return compiled(GrowingGAN(*networks, whole, loss="non_saturating", gp_weight=0, drift=0, r1_gamma=2.0))
    if name == "stylegan":
        networks = stylegan.build_generator(SIZE, 128, **narrow), stylegan.build_discriminator(SIZE, **narrow)
        return compiled(StyleGAN(*networks, whole))
    networks = l2m_gan.Editor(SIZE, 2, 16, 8, 64, downs=3), l2m_gan.build_discriminator(SIZE, 2, 16)
    return compiled(L2M(*networks), 1e-4)


def main(turns, steps):
    build("dcgan").fit(
        np.zeros((2, SIZE, SIZE, 3), "float32"), batch_size=1, verbose=0
    )  # what only the first GAN waits for
    random = np.random.default_rng(0)
    pictures = tf.data.Dataset.from_tensor_slices(random.uniform(-1, 1, (8 * BATCH, SIZE, SIZE, 3)).astype("float32"))
    domains = tf.data.Dataset.from_tensor_slices(np.eye(2, dtype="float32")[np.arange(8 * BATCH) % 2])
    print(f"{'':10}{'first two steps, s':>28}{'a later step, ms':>28}")
    print(f"{'':10}{'with':>10}{'without':>10}{'ratio':>8}{'with':>10}{'without':>10}{'ratio':>8}")
    for name in ("dcgan", "progan", "stylegan", "l2m"):
        data = tf.data.Dataset.zip(pictures, domains) if name == "l2m" else pictures
        data, gans, first, later = data.batch(BATCH).repeat(), {}, {}, {True: [], False: []}
        for on in (True, False):
            optimise(on)
            gans[on], start = build(name), time.perf_counter()
            gans[on].fit(data, steps_per_epoch=2, verbose=0)
            first[on] = time.perf_counter() - start
        for _ in range(turns):
            for on in (True, False):
                optimise(on)
                start = time.perf_counter()
                gans[on].fit(data, steps_per_epoch=steps, verbose=0)
                later[on].append((time.perf_counter() - start) / steps * 1000)
        with_it, without = (float(np.median(later[on])) for on in (True, False))
        print(
            f"{name:10}{first[True]:10.1f}{first[False]:10.1f}{first[True] / first[False]:8.2f}"
            f"{with_it:10.0f}{without:10.0f}{with_it / without:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, help="how often each trains; the median counts")
    parser.add_argument("--steps", type=int, default=16, help="steps of a turn")
    main(**vars(parser.parse_args()))
