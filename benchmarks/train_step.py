"""One training step of the 64x64 DCGAN, ours against the same two networks trained in the usual ways.

    python benchmarks/train_step.py [--batch-size 16] [--repeats 7]

- ours:            gan_course's GAN, one `fit` step (R1 off, as the others have none; averaged weights on)
- train_on_batch:  (a) the article's way, repaired for Keras 3: `predict`, two batches through `train_on_batch`
- two_tapes:       (b) the `train_step` of the well-known Keras DCGAN example: two tapes, two generator passes
- two_tapes_xla:   (b) the same with `jit_compile=True`
- torch_eager:     (c) PyTorch, the usual loop; left out where PyTorch is not installed

Every way runs in a process of its own (thread pools of two frameworks disturb each other) and in turns, so that
a slow minute of the machine meets all of them; the best of all turns counts. `peak` is this machine's float32
matrix multiply in the same run, and `fraction` what a way reaches of it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

WAYS = ("ours", "ours_xla", "train_on_batch", "two_tapes", "two_tapes_xla", "torch_eager")
LATENT = 64


def networks():
    from gan_course.models import dcgan

    return dcgan.build_generator(), dcgan.build_discriminator()


def count(network):
    """Multiply-adds of one forward pass of one picture through a Keras network."""
    import keras

    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            total += layer.kernel.shape.num_elements() * layer.input.shape[1] * layer.input.shape[2]
        elif isinstance(layer, keras.layers.Conv2D):
            total += layer.kernel.shape.num_elements() * layer.output.shape[1] * layer.output.shape[2]
        elif isinstance(layer, keras.layers.Dense):
            total += layer.kernel.shape.num_elements()
    return total


def keras_loop(model, pictures):
    """Return a function that makes n steps by Keras's own compiled loop."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensors(pictures).repeat()
    return lambda n: model.fit(dataset, steps_per_epoch=n, epochs=1, verbose=0, shuffle=False)


def ours(batch, xla=False):
    import tensorflow as tf

    from gan_course.training.gan import GAN

    gan = GAN(*networks())
    gan.compile(jit_compile=xla)
    return keras_loop(gan, tf.random.uniform((batch, 64, 64, 3), -1, 1))


def train_on_batch(batch):
    import keras
    import numpy as np

    def adam():
        return keras.optimizers.Adam(5e-4, beta_1=0.0, beta_2=0.99)

    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    generator, discriminator = networks()
    discriminator.compile(adam(), loss)
    # Repaired: the discriminator's train function is traced, with this very batch shape, before it is frozen for the
    # combined model. Keras 3 looks up what is trainable when it traces; frozen first, D would never move.
    real = np.random.default_rng(0).uniform(-1, 1, (batch, 64, 64, 3)).astype("float32")
    discriminator.train_on_batch(np.concatenate([real, real]), np.zeros((2 * batch, 1)))
    discriminator.trainable = False
    combined = keras.Sequential([generator, discriminator])
    combined.compile(adam(), loss)
    rng = np.random.default_rng(1)
    labels = np.concatenate([np.ones((batch, 1)), np.zeros((batch, 1))])

    def run(n):
        for _ in range(n):
            fake = generator.predict(rng.normal(size=(batch, LATENT)).astype("float32"), verbose=0)
            discriminator.train_on_batch(np.concatenate([fake, real]), labels + 0.05 * rng.random(labels.shape))
            combined.train_on_batch(rng.normal(size=(batch, LATENT)).astype("float32"), np.zeros((batch, 1)))

    return run


def two_tapes(batch, xla=False):
    import keras
    import tensorflow as tf

    class TwoTapes(keras.Model):
        def __init__(self):
            super().__init__()
            self.generator, self.discriminator = networks()
            self.seed = keras.random.SeedGenerator(0)
            self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)
            self.d_mean, self.g_mean = keras.metrics.Mean(name="d"), keras.metrics.Mean(name="g")
            self.built = True

        def train_step(self, real):
            n = tf.shape(real)[0]
            fake = self.generator(keras.random.normal((n, LATENT), seed=self.seed))
            both = tf.concat([fake, real], 0)
            labels = tf.concat([tf.ones((n, 1)), tf.zeros((n, 1))], 0)
            labels += 0.05 * tf.random.uniform(tf.shape(labels))
            with tf.GradientTape() as tape:
                d_loss = self.loss_fn(labels, self.discriminator(both))
            d_weights = self.discriminator.trainable_weights
            self.d_optimizer.apply(tape.gradient(d_loss, d_weights), d_weights)
            latent = keras.random.normal((n, LATENT), seed=self.seed)
            with tf.GradientTape() as tape:
                scores = self.discriminator(self.generator(latent, training=True))
                g_loss = self.loss_fn(tf.zeros((n, 1)), scores)
            g_weights = self.generator.trainable_weights
            self.g_optimizer.apply(tape.gradient(g_loss, g_weights), g_weights)
            self.d_mean.update_state(d_loss)
            self.g_mean.update_state(g_loss)
            return {"d": self.d_mean.result(), "g": self.g_mean.result()}

    model = TwoTapes()
    model.compile(optimizer=None, jit_compile=xla)
    for player in ("g", "d"):
        setattr(model, f"{player}_optimizer", keras.optimizers.Adam(5e-4, beta_1=0.0, beta_2=0.99))
    model.g_optimizer.build(model.generator.trainable_variables)
    model.d_optimizer.build(model.discriminator.trainable_variables)
    return keras_loop(model, tf.random.uniform((batch, 64, 64, 3), -1, 1))


def torch_eager(batch):
    import torch
    from torch import nn

    g_widths, d_widths = [256, 128, 64, 32], [32, 64, 128, 256]

    class Start(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(LATENT, 16 * 256, bias=False)

        def forward(self, z):
            return self.dense(z).view(-1, 256, 4, 4)

    layers = [Start()]
    for a, b in zip(g_widths, g_widths[1:], strict=False):
        layers += [nn.BatchNorm2d(a), nn.ReLU(True), nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(32), nn.ReLU(True), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()]
    generator = nn.Sequential(*layers)
    layers = []
    for a, b in zip([3, *d_widths], d_widths, strict=False):
        layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    discriminator = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 256, 1))
    g_adam = torch.optim.Adam(generator.parameters(), 5e-4, betas=(0.0, 0.99))
    d_adam = torch.optim.Adam(discriminator.parameters(), 5e-4, betas=(0.0, 0.99))
    real = torch.rand(batch, 3, 64, 64) * 2 - 1
    loss = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)

    def run(n):
        for _ in range(n):  # the loop of PyTorch's DCGAN tutorial
            discriminator.zero_grad()
            loss(discriminator(real), ones).backward()
            fake = generator(torch.randn(batch, LATENT))
            loss(discriminator(fake.detach()), zeros).backward()
            d_adam.step()
            generator.zero_grad()
            loss(discriminator(fake), ones).backward()
            g_adam.step()

    return run


def worker(way, batch):
    """Serve turns: read the number of steps from stdin, write the seconds to stdout."""
    if way == "peak":
        import tensorflow as tf

        from gan_course import backend

        a = tf.random.normal((2048, 2048))

        def run(n):
            for _ in range(n):
                tf.matmul(a, a).numpy()

    else:
        if way != "torch_eager":
            from gan_course import backend  # noqa: F401
        base, _, xla = way.partition("_xla")
        run = {"ours": ours, "two_tapes": two_tapes, "train_on_batch": train_on_batch, "torch_eager": torch_eager}[
            base
        ](batch, **({"xla": True} if way.endswith("_xla") else {}))
    run(3)
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        run(int(line))
        print(time.perf_counter() - start, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=32, help="pictures in one step (default 32)")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each way (default 7)")
    parser.add_argument("--steps", type=int, default=20, help="steps in one turn (default 20)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "train_step.json")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker, options.batch_size)

    workers = {}
    for way in ("peak", *WAYS):
        command = [sys.executable, __file__, "--worker", way, "--batch-size", str(options.batch_size)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if process.stdout.readline().strip() == "ready":
            workers[way] = process
        else:
            print(f"{way}: not run (could not start; is its framework installed?)")
    seconds = {way: [] for way in workers}
    for _ in range(options.repeats):
        for way, process in workers.items():
            print(options.steps, file=process.stdin, flush=True)
            seconds[way].append(float(process.stdout.readline()) / options.steps)
    for process in workers.values():
        process.stdin.close()
        process.wait()

    from gan_course import backend  # noqa: F401  isort: skip
    import keras
    import tensorflow as tf

    generator, discriminator = networks()
    best = {way: min(times) for way, times in seconds.items()}
    peak = 2 * 2048**3 / best.pop("peak") / 1e9
    # G forward and both backward products: 3. D: 3 on real, 3 on fake, and one more backward pass for G's gradient.
    work = 2 * (3 * count(generator) + 7 * count(discriminator)) / 1e9
    result = {
        "what": "64x64 DCGAN, one training step",
        "batch_size": options.batch_size,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "python": platform.python_version()},
        "matmul_gflops": round(peak),
        "gflop_per_picture": round(work, 3),
        "ways": {},
    }
    for way, time_ in best.items():
        rate = options.batch_size / time_
        result["ways"][way] = {
            "pictures_per_second": round(rate, 1),
            "ours_is_faster_by": round(time_ / best["ours"], 2),
            "fraction_of_matmul": round(rate * work / peak, 2),
        }
        print(
            f"{way:16} {rate:7.1f} pictures/s   ours is {time_ / best['ours']:.2f}x   {rate * work / peak:.0%} of matmul"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"matrix multiply {peak:.0f} GFLOP/s; {work:.2f} GFLOP a picture; written to {options.out.name}")


if __name__ == "__main__":
    main()
