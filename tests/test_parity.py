"""TensorFlow and PyTorch take the same steps: same weights, same latent vectors, same pictures, every loss and penalty.

    python tests/test_parity.py          writes tests/data/parity.npz, the numbers under TensorFlow

The test compares the numbers of the backend at hand with those. `.ci/run` runs it twice: with TensorFlow, and with
PyTorch in an environment in which TensorFlow is not installed.
"""

from pathlib import Path

import numpy as np
import pytest

from gan_course import backend
from gan_course.models import dcgan, dense_gan, progan
from gan_course.training import GAN
from gan_course.training.growing import GrowingGAN, Schedule

import keras  # isort: skip
from keras import ops  # isort: skip

REFERENCE = Path(__file__).resolve().parent / "data" / "parity.npz"
STEPS = 4


def dense(**options):
    return GAN(dense_gan.build_generator(4, 6, 4), dense_gan.build_discriminator(4, 4), **options)


def conv(**options):
    return GAN(dcgan.build_generator(16, 6, 4, 8), dcgan.build_discriminator(16, 4, 8), **options)


def growing(condition=0, **options):
    networks = progan.build_generator(8, 6, 32, 8, condition), progan.build_discriminator(8, 32, 8, condition)
    schedule = Schedule(8, fade=16, stable={4: 8, 8: 100}, batch_size=8, rate=0.02)  # 4x4, fade, fade, 8x8
    return GrowingGAN(*networks, schedule, **options)


R1 = dict(r1_gamma=2.0, r1_interval=2)
CASES = {
    "non_saturating": lambda: dense(),
    "minimax": lambda: dense(loss="minimax"),
    "least_squares": lambda: dense(loss="least_squares"),
    "hinge": lambda: dense(loss="hinge"),
    "wasserstein": lambda: dense(loss="wasserstein", gp_weight=0.1, drift=0.001),
    "clipping": lambda: dense(loss="wasserstein", clip=0.05, g_every=2),
    "slow discriminator": lambda: dense(d_every=2),
    "smoothing": lambda: dense(smoothing=0.1, **R1),
    "instance noise": lambda: dense(instance_noise=0.2, noise_steps=10),
    "dcgan": lambda: conv(**R1),
    "progan": lambda: growing(),
    "progan with R1": lambda: growing(loss="non_saturating", gp_weight=0.0, drift=0.0, **R1),
    "conditional progan": lambda: growing(3, loss="non_saturating", gp_weight=0.0, drift=0.0, **R1),
}


def drawn(self, distribution, shape):
    """In the place of `Trainer.draw`: the same numbers on both backends, at every step."""
    random = np.random.default_rng(len(shape))
    numbers = (
        random.normal(size=(8, *shape[1:])) if distribution is keras.random.normal else random.random((8, *shape[1:]))
    )
    return ops.convert_to_tensor(numbers.astype("float32"))


def trained(case):
    """Return all numbers of the training `case` after its steps: networks, average, optimisers."""
    keras.utils.set_random_seed(0)
    gan, random = CASES[case](), np.random.default_rng(1)
    for network in (gan.generator, gan.discriminator, gan.ema_generator):
        network.set_weights([0.3 * random.normal(size=w.shape) + (w.ndim == 1) for w in network.get_weights()])
    # Not compiled: that takes longer than these few steps.
    gan.compile(keras.optimizers.SGD(0.02), keras.optimizers.SGD(0.02), run_eagerly=True)
    pictures = random.uniform(-1, 1, (8, *gan.ema_generator.output_shape[1:])).astype("float32")
    labels = np.eye(3, dtype="float32")[np.arange(8) % 3]
    for _ in range(STEPS):
        gan.fit(pictures, *([labels] * gan.conditional), batch_size=8, shuffle=False, verbose=0)
    assert gan.step == STEPS
    state = [v for v in gan.state() if v is not gan.seeds.state]
    return [ops.convert_to_numpy(v).astype("float64") for v in state]


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as file:
        return dict(file)


@pytest.mark.parametrize("case", CASES)
def test_both_backends_take_the_same_steps(case, reference, monkeypatch):
    monkeypatch.setattr(GAN, "draw", drawn)
    ours = trained(case)
    assert len(ours) == sum(name.startswith(f"{case}/") for name in reference)
    for i, numbers in enumerate(ours):
        np.testing.assert_allclose(numbers, reference[f"{case}/{i:03d}"], rtol=1e-5, atol=1e-5)


if __name__ == "__main__":
    assert backend.NAME == "tensorflow"
    GAN.draw = drawn
    REFERENCE.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        REFERENCE,
        **{f"{case}/{i:03d}": x for case in CASES for i, x in enumerate(np.float32(y) for y in trained(case))},
    )
