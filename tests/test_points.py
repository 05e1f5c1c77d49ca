"""Points in the plane: distributions, coverage, their networks, and the engine's cures on them."""

import numpy as np
import pytest

from gan_course.data import points
from gan_course.errors import CourseError
from gan_course.models import point_gan
from gan_course.training import GAN

import keras  # isort: skip


@pytest.mark.parametrize(("data", "modes"), [(points.ring(), 8), (points.grid(), 25), (points.grid(3), 9)])
def test_samples_lie_on_all_modes(data, modes):
    samples = data.sample(2500)
    assert samples.dtype == "float32" and np.abs(samples).max() < data.extent
    found, share = data.coverage(samples)
    assert found == modes
    assert share == pytest.approx(1 - np.exp(-4.5), abs=0.01)  # Rayleigh: within three spreads in the plane
    np.testing.assert_array_equal(samples, data.sample(2500))
    assert not np.array_equal(samples, data.sample(2500, seed=1))


def test_coverage_counts_modes_and_strays():
    data = points.grid(2, step=2.0, spread=0.1)  # centres at (+-1, +-1)
    assert data.coverage([[1, 1], [1, 1.29], [1, 1.31], [0, 0]]) == (1, 0.5)
    assert data.coverage([[1, 1], [-1, -1]]) == (2, 1.0)
    assert data.coverage([[np.nan, 1], [5, 5]]) == (0, 0.0)
    with pytest.raises(CourseError, match=r"\(3,\)"):
        data.coverage([1, 2, 3])


def test_the_dataset_is_the_distribution_and_repeats_with_its_seed():
    data = points.grid()
    first = np.concatenate([x for _, x in zip(range(10), data.dataset(seed=3), strict=False)])
    again = np.concatenate([x for _, x in zip(range(10), data.dataset(seed=3), strict=False)])
    other = np.concatenate([x for _, x in zip(range(10), data.dataset(seed=4), strict=False)])
    np.testing.assert_array_equal(first, again)
    assert (first == other).mean() < 0.01 and len(np.unique(first, axis=0)) == len(first)
    assert data.coverage(first) == (25, pytest.approx(0.989, abs=0.01))
    counts = np.bincount(np.linalg.norm(first[:, None] - data.centres, axis=-1).argmin(1), minlength=25)
    assert 60 < counts.min() and counts.max() < 150  # 2,560 in 25 equal parts


def test_a_drawing():
    line = np.stack([np.linspace(-1, 1, 50), np.zeros(50)], 1)
    data = points.drawing(line, spread=0.01)
    samples = data.sample(1000)
    assert np.abs(samples[:, 1]).max() < 0.06 and np.ptp(samples[:, 0]) > 1.8
    for wrong in (line[:1], line[:, :1], np.full((5, 2), np.nan)):
        with pytest.raises(CourseError, match="drawing"):
            points.drawing(wrong)


def test_network_shapes_and_errors():
    assert point_gan.build_generator(4, 16, 3).output_shape == (None, 2)
    for norm in point_gan.NORMS:
        network = point_gan.build_discriminator(16, 2, norm)
        assert network(np.zeros((5, 2), "float32")).shape == (5, 1)
    for options in ({"norm": "layer"}, {"width": 0}, {"depth": 0}):
        with pytest.raises(CourseError):
            point_gan.build_discriminator(**options)


def test_spectral_norm_makes_every_kernel_norm_1():
    network = point_gan.build_discriminator(16, 2, "spectral")
    x = np.zeros((4, 2), "float32")
    for _ in range(50):  # one power iteration a call
        network(x, training=True)
    kernels = [np.asarray(w) for w in network.trainable_weights if w.ndim == 2]
    assert len(kernels) == 3
    for kernel in kernels:
        assert np.linalg.norm(kernel, 2) == pytest.approx(1, abs=0.02)


def untrained(norm=None, optimizers=None, **options):
    keras.utils.set_random_seed(0)
    gan = GAN(point_gan.build_generator(2, 8), point_gan.build_discriminator(8, norm=norm), **options)
    gan.compile(*(optimizers or (keras.optimizers.SGD(0.05) for _ in range(2))))
    return gan


def fit(gan, steps=3):
    return gan.fit(points.grid().dataset(32), steps_per_epoch=steps, verbose=0).history


def trained(steps=3, **options):
    gan = untrained(**options)
    gan.history_ = fit(gan, steps)
    return gan


def weights(network):
    return [np.asarray(w).copy() for w in network.trainable_variables]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


CURES = [
    {"loss": "minimax"},
    {"smoothing": 0.1},
    {"instance_noise": 0.5, "noise_steps": 10},
    {"norm": "spectral"},
    {"norm": "batch"},
    {"loss": "wasserstein", "clip": 0.1},
    {"loss": "wasserstein", "gp_weight": 10.0, "drift": 0.001},
    {"loss": "wasserstein", "gp_weight": 10.0, "g_every": 3},
    {"r1_gamma": 1.0, "r1_interval": 1},
    {"d_every": 2},
]


@pytest.mark.parametrize("options", CURES, ids=str)
def test_every_cure_trains_and_repeats(options):
    """Two trainings agree. (WGAN-GP failed here twice in CI, and once in 15,614 pairs elsewhere; the cause is not found.)"""
    gan = untrained(**options)  # one, brought back to its start for the second training: to compile takes long
    start, players, ends = [np.array(v) for v in gan.state()], (gan.generator, gan.discriminator), []
    before = [weights(network) for network in players]
    for _ in range(2):
        for variable, value in zip(gan.state(), start, strict=True):
            variable.assign(value)
        assert np.isfinite(list(fit(gan).values())).all()
        ends.append([np.array(v) for v in gan.state()])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    for old, network in zip(before, players, strict=True):
        assert max(np.abs(a - b).max() for a, b in zip(old, weights(network), strict=True)) > 1e-3


@pytest.mark.parametrize(("options", "moves"), [({"g_every": 3}, "100100"), ({"d_every": 2}, "101010"), ({}, "111111")])
def test_who_moves_when(options, moves):
    gan = trained(steps=1, **options)  # step 0: both
    player, other = ("discriminator", "generator") if "d_every" in options else ("generator", "discriminator")
    data = iter(points.grid().dataset(32))
    seen = "1"
    for _ in range(5):
        before = weights(getattr(gan, player)), weights(getattr(gan, other)), weights(gan.ema_generator)
        ema = [np.asarray(w).copy() for w in gan.ema_generator.weights]
        gan.fit(np.asarray(next(data)), batch_size=32, verbose=0)
        still = all(np.array_equal(a, b) for a, b in zip(before[0], weights(getattr(gan, player)), strict=True))
        seen += "0" if still else "1"
        assert not all(np.array_equal(a, b) for a, b in zip(before[1], weights(getattr(gan, other)), strict=True))
        if player == "generator":  # the average takes part only in the generator's steps
            after = [np.asarray(w) for w in gan.ema_generator.weights]
            assert still == all(np.array_equal(a, b) for a, b in zip(ema, after, strict=True))
    assert seen == moves


def test_clipping():
    gan = trained(loss="wasserstein", clip=0.02)
    assert max(np.abs(w).max() for w in weights(gan.discriminator)) == pytest.approx(0.02)


def test_gradient_penalty_on_a_linear_critic():
    """D(x) = w.x has the slope w everywhere, so the penalty is (||w|| - 1)^2: by hand, on any line between."""
    keras.utils.set_random_seed(1)
    point, latent = keras.Input((2,)), keras.Input((2,))
    critic = keras.Model(point, keras.layers.Dense(1, use_bias=False)(point))
    generator = keras.Model(latent, keras.layers.Dense(2)(latent))
    gan = GAN(generator, critic, loss="wasserstein", gp_weight=10.0, drift=0.01)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1))
    critic.set_weights([np.array([[3.0], [4.0]], "float32")])
    generator.set_weights([np.zeros((2, 2), "float32"), np.array([0.5, -1.0], "float32")])  # always the same point
    x = np.array([[1.0, 2.0], [-1.0, 0.0]], "float32")
    logs = gan.fit(x, batch_size=2, verbose=0).history
    assert logs["gp"][0] == pytest.approx(16.0, rel=1e-5)  # (5 - 1)^2
    w, fake = np.array([3.0, 4.0]), np.array([0.5, -1.0])
    scores = x @ w  # 11, -3
    assert logs["d_loss"][0] == pytest.approx(fake @ w - scores.mean(), rel=1e-5)
    slope = fake - x.mean(0) + 10 * 2 * (5 - 1) * w / 5 + 0.01 * (2 * scores[:, None] * x).mean(0)
    np.testing.assert_allclose(np.asarray(critic.weights[0])[:, 0], w - 0.1 * slope, rtol=1e-5)


def test_the_gradient_penalty_is_taken_between_real_and_fake():
    """D(x) = |x|^2 / 2 has the slope x: the penalty tells where it was measured."""
    point, latent = keras.Input((2,)), keras.Input((2,))
    critic = keras.Model(point, keras.layers.Dense(1, kernel_initializer="ones")(point**2))
    generator = keras.Model(latent, keras.layers.Dense(2, kernel_initializer="zeros")(latent))  # the point 0
    gan = GAN(generator, critic, loss="wasserstein", gp_weight=1.0, seed=5)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    logs = gan.fit(np.tile(np.array([[0.5, 0.0]], "float32"), (2000, 1)), batch_size=2000, verbose=0).history
    # slope 2 x = u on the line from 0.5 to 0: E (u - 1)^2 = 1/3 for u uniform on [0, 1]
    assert logs["gp"][0] == pytest.approx(1 / 3, abs=0.02)


def test_label_smoothing_by_hand():
    gan = trained(steps=1, smoothing=0.1, optimizers=[keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0)])
    x = points.grid().sample(32)
    probability = 1 / (1 + np.exp(-np.asarray(gan.discriminator(x)).astype("float64")))
    smoothed = -(0.9 * np.log(probability) + 0.1 * np.log(1 - probability)).mean()
    plain = trained(steps=1, optimizers=[keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0)])
    # The fakes' part is the same in both: only real pictures are smoothed.
    gap = gan.fit(x, batch_size=32, verbose=0).history["d_loss"][0]
    gap -= plain.fit(x, batch_size=32, verbose=0).history["d_loss"][0]
    assert gap == pytest.approx(smoothed + np.log(probability).mean(), rel=1e-3)
    assert abs(gap) > 1e-3


def test_instance_noise_falls_to_zero():
    """D(x) = x_0^2 on real points at 0: its mean score is the variance of the noise it sees."""
    point = keras.Input((2,))
    critic = keras.Model(point, keras.layers.Dense(1, kernel_initializer="ones")(point[:, :1] ** 2))
    gan = GAN(point_gan.build_generator(2, 4), critic, loss="wasserstein", instance_noise=2.0, noise_steps=4)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    zeros = np.zeros((4000, 2), "float32")
    seen = [gan.fit(zeros, batch_size=4000, verbose=0).history["real"][0] for _ in range(6)]
    np.testing.assert_allclose(seen, [4.0, 2.25, 1.0, 0.25, 0.0, 0.0], rtol=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"smoothing": 0.7},
        {"instance_noise": -1.0},
        {"noise_steps": -3},
        {"gp_weight": float("nan")},
        {"drift": -0.5},
        {"clip": -0.25},
        {"g_every": 0},
    ],
    ids=str,
)
def test_wrong_options(options):
    ((name, value),) = options.items()
    with pytest.raises(CourseError, match=f"{name} is {value}"):
        GAN(point_gan.build_generator(), point_gan.build_discriminator(), **options)


def test_options_that_exclude_each_other():
    networks = point_gan.build_generator(), point_gan.build_discriminator()
    with pytest.raises(CourseError, match="one of them must be 1"):
        GAN(*networks, d_every=2, g_every=2)
    with pytest.raises(CourseError, match="hinge has no labels"):
        GAN(*networks, loss="hinge", smoothing=0.1)
