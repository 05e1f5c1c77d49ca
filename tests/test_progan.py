"""The ProGAN's networks: parameters, shapes, the fade at every level, and what grows where."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gan_course.errors import CourseError
from gan_course.models import growing, progan  # first: it imports TensorFlow quietly

import keras  # isort: skip
import tensorflow as tf  # isort: skip

ROOT = Path(__file__).resolve().parent.parent
LEVELS = range(2, 6)  # of the tiny networks
SMALL = dict(resolution=32, base=64, max_width=8)  # maps of 8, 8, 8 and 4 channels


def tiny(seed=0, **options):
    """A 32x32 pair with other biases than 0."""
    keras.utils.set_random_seed(seed)
    pair = progan.build_generator(latent_dim=6, **SMALL, **options), progan.build_discriminator(**SMALL, **options)
    for network in pair:
        for weight in network.weights:
            if weight.name == "bias":
                weight.assign(np.random.default_rng(seed).normal(size=weight.shape))
    return pair


@pytest.fixture(scope="module")
def pair():
    return tiny()


def draw(network, *inputs):
    return keras.ops.convert_to_numpy(network(inputs[0] if len(inputs) == 1 else list(inputs)))


def latent(count=4, size=6, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size)).astype("float32")


def pictures(level, count=4):
    return np.random.default_rng(level).uniform(-1, 1, (count, 2**level, 2**level, 3)).astype("float32")


def up(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def down(x):
    return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).mean((2, 4))


# --- parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "resolution, generator, discriminator",
    [
        (64, 22_490_383, 22_498_049),
        (128, 22_933_394, 22_941_313),
        (256, 23_044_309, 23_052_353),
        (1024, 23_079_115, 23_087_249),
    ],
)
def test_the_papers_parameters(resolution, generator, discriminator):
    assert progan.build_generator(resolution).count_params() == generator
    assert progan.build_discriminator(resolution).count_params() == discriminator
    assert f"{generator:,}" in progan.build_generator.__doc__
    assert f"{discriminator:,}" in progan.build_discriminator.__doc__


def test_the_papers_channels():
    network = progan.Generator(4)
    channels = {2**level: network.channels(level - 1) for level in range(2, 11)}
    assert channels == {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}


# --- every level ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", growing.RESOLUTIONS)
def test_shapes_at_every_resolution(resolution):
    generator = progan.build_generator(resolution, 5, base=1024, max_width=4)
    discriminator = progan.build_discriminator(resolution, base=1024, max_width=4)
    assert generator.input_shape == (None, 5) and discriminator.output_shape == (None, 1)
    made = draw(generator, latent(2, 5))
    assert made.shape == (2, resolution, resolution, 3) == (2, *generator.output_shape[1:])
    assert made.dtype == np.float32 and np.isfinite(made).all() and made.std() > 0
    scores = draw(discriminator, made)
    assert scores.shape == (2, 1) and np.isfinite(scores).all() and scores[0] != scores[1]


@pytest.mark.parametrize("level", LEVELS)
def test_every_stage_has_its_shape_and_no_nan(pair, level):
    generator, discriminator = pair
    for alpha in (0.0, 0.3, 1.0)[2 * (level == 2) :]:
        x = draw(generator.grow(level, alpha), latent())
        assert x.shape == (4, 2**level, 2**level, 3) == (4, *generator.output_shape[1:])
        scores = draw(discriminator.grow(level, alpha), x)
        assert scores.shape == (4, 1) and discriminator.input_shape[1:] == x.shape[1:]
        assert np.isfinite(x).all() and np.isfinite(scores).all() and scores.std() > 0


@pytest.mark.parametrize("level", LEVELS[1:])
def test_the_generators_fade(pair, level):
    generator, z = pair[0], latent()
    before, stable = (draw(generator.grow(at), z) for at in (level - 1, level))
    np.testing.assert_array_equal(draw(generator.grow(level, 0.0), z), up(before))
    np.testing.assert_array_equal(draw(generator.grow(level, tf.constant(1.0)), z), stable)
    assert np.abs(up(before) - stable).max() > 0.1
    lod = 0.7  # SEED: rgb_k + (up(rgb_prev) - rgb_k) * lod's fraction
    np.testing.assert_allclose(
        draw(generator.grow(level, 1 - lod), z), stable + (up(before) - stable) * lod, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("level", LEVELS[1:])
def test_the_discriminators_fade(pair, level):
    discriminator, x = pair[1], pictures(level)
    before, stable = draw(discriminator.grow(level - 1), down(x)), draw(discriminator.grow(level), x)
    np.testing.assert_allclose(draw(discriminator.grow(level, 0.0), x), before, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(draw(discriminator.grow(level, tf.constant(1.0)), x), stable)
    half = draw(discriminator.grow(level, 0.5), x)
    assert np.abs(before - stable).max() > 1e-3
    assert np.abs(half - before).max() > 1e-4 and np.abs(half - stable).max() > 1e-4


def lrelu(x):
    return np.maximum(x, 0.2 * x)


def norm(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)


def convolve(x, layer, gain=2**0.5):
    w, b = (np.asarray(v).astype("float64") for v in (layer.kernel, layer.bias))
    k, (height, width) = w.shape[0], x.shape[1:3]
    x = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    w = w * gain / (k * k * w.shape[2]) ** 0.5
    return sum(x[:, i : i + height, j : j + width] @ w[i, j] for i in range(k) for j in range(k)) + b


def test_an_8x8_generator_by_hand(pair):
    """SEED: PixelNorm, Dense (g = sqrt2/4), 4x4, lrelu, PixelNorm, conv; up+conv, conv; every conv: lrelu, PixelNorm."""
    generator, z, alpha = pair[0], latent(), 0.4
    w = np.asarray(generator.dense.kernel).astype("float64") * 2**0.5 / 4 / 6**0.5
    x = (norm(z) @ w).reshape(4, 4, 4, 8) + np.asarray(generator.bias.bias)
    x = norm(lrelu(x))
    x = norm(lrelu(convolve(x, generator.first)))
    small = convolve(x, generator.to_rgb[0], gain=1)
    x = norm(lrelu(convolve(up(x), generator.ups[0])))
    x = norm(lrelu(convolve(x, generator.convs[0])))
    expected = (1 - alpha) * up(small) + alpha * convolve(x, generator.to_rgb[1], gain=1)
    np.testing.assert_allclose(draw(generator.grow(3, alpha), z), expected, rtol=1e-4, atol=1e-5)


def test_an_8x8_discriminator_by_hand(pair):
    """SEED: fromRGB, lrelu; conv, conv+down; at 4x4 deviation, conv, Dense, Dense 1 (g = 1); lrelu after each but the last."""
    discriminator, pixels, alpha = pair[1], pictures(3).astype("float64"), 0.4
    x = lrelu(convolve(pixels, discriminator.from_rgb[1]))
    x = lrelu(convolve(x, discriminator.convs[0]))
    x = lrelu(down(convolve(x, discriminator.downs[0])))
    x = (1 - alpha) * lrelu(convolve(down(pixels), discriminator.from_rgb[0])) + alpha * x
    deviation = np.sqrt(x.var(axis=0) + 1e-8).mean()  # the batch of 4 is one group
    x = np.concatenate([x, np.full((4, 4, 4, 1), deviation)], axis=-1)
    x = lrelu(convolve(x, discriminator.last)).reshape(4, -1)
    for layer, gain in ((discriminator.dense, 2**0.5), (discriminator.score, 1)):
        w, b = (np.asarray(v).astype("float64") for v in (layer.kernel, layer.bias))
        x = (lrelu(x) if layer is discriminator.score else x) @ (w * gain / len(w) ** 0.5) + b
    np.testing.assert_allclose(draw(discriminator.grow(3, alpha), pictures(3)), x, rtol=1e-4, atol=1e-5)


def test_fused_or_not_the_networks_are_the_same(pair):
    others = tiny(fused=False)
    inputs = latent(), pictures(5)
    for network, other, x in zip(pair, others, inputs, strict=True):
        other.set_weights(network.get_weights())
        np.testing.assert_allclose(draw(network.grow(), x), draw(other, x), rtol=1e-4, atol=1e-5)


def test_only_the_direction_of_a_latent_vector_counts(pair):
    generator, z = pair[0].grow(), latent()
    np.testing.assert_allclose(draw(generator, 3 * z), draw(generator, z), rtol=1e-3, atol=1e-4)


# --- growing -------------------------------------------------------------------------------------------------------


def test_trainable_variables_are_those_that_have_a_gradient(pair):
    """Weights of later levels are not touched; in a fade, the colours of the level before are."""
    for network, make in zip(pair, (lambda level: latent(), pictures), strict=True):
        sizes = []
        for level in LEVELS:
            for alpha in (0.5, 1.0)[level == 2 :]:
                network.grow(level, alpha)
                with tf.GradientTape() as tape:
                    value = tf.reduce_sum(network(make(level)) ** 2)
                gradients = tape.gradient(value, [w.value for w in network.weights])
                moved = {id(w) for w, g in zip(network.weights, gradients, strict=True) if g is not None}
                assert moved == {id(v) for v in network.trainable_variables} and moved
                sizes.append(len(moved))
        assert sizes[-1] < len(network.weights)  # without the colours of the levels below
        assert [b - a for a, b in zip(sizes, sizes[1:], strict=False)] == [6, -2, 6, -2, 6, -2]


def test_growing_keeps_the_weights_and_is_not_saved(pair, tmp_path):
    generator, z = pair[0].grow(), latent()
    before = generator.get_weights()
    whole = draw(generator, z)
    generator.grow(3, 0.5).save_weights(tmp_path / "g.weights.h5")
    for a, b in zip(before, generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    again = tiny(seed=1)[0]
    again.load_weights(tmp_path / "g.weights.h5")
    np.testing.assert_array_equal(draw(again, z), whole)
    clone = keras.models.clone_model(generator)
    clone.set_weights(generator.get_weights())
    np.testing.assert_array_equal(draw(clone, z), whole)


def test_a_saved_model_loads_without_its_code_being_told(pair, tmp_path):
    for network, x in zip(pair, (latent(), pictures(5)), strict=True):
        network.grow().save(tmp_path / "network.keras")
        np.testing.assert_array_equal(draw(keras.models.load_model(tmp_path / "network.keras"), x), draw(network, x))


def test_predict_follows_the_level(pair):
    generator, z = pair[0], latent()
    for growth in ({}, dict(level=3), dict(level=3, alpha=0.5), dict(level=3, alpha=0.25), {}):
        generator.grow(**growth)
        np.testing.assert_allclose(generator.predict(z, verbose=0), draw(generator, z), rtol=1e-5, atol=1e-6)


def test_full_size_pictures(pair):
    generator, z = pair[0], latent()
    small = draw(generator.grow(3, 0.5), z)
    generator.full_size = True
    try:
        assert generator.output_shape == (None, 32, 32, 3)
        np.testing.assert_array_equal(draw(generator, z), up(up(small)))
        assert keras.models.clone_model(generator).full_size
    finally:
        generator.full_size = False


def test_a_condition_joins_the_latent_and_reaches_the_discriminator(pair):
    generator, discriminator = tiny(condition_dim=3)
    assert generator.input_shape == [(None, 6), (None, 3)]
    assert discriminator.input_shape == [(None, 32, 32, 3), (None, 3)]
    wide = 8
    assert generator.count_params() - pair[0].count_params() == 3 * 16 * wide
    assert discriminator.count_params() - pair[1].count_params() == 3 * 9 * wide
    no, yes = np.zeros((4, 3), "float32"), np.eye(4, 3, dtype="float32")
    for level, alpha in ((2, 1.0), (4, 0.5), (5, 1.0)):
        made = [draw(generator.grow(level, alpha), latent(), c) for c in (no, yes)]
        scores = [draw(discriminator.grow(level, alpha), pictures(level), c)[:, 0] for c in (no, yes)]
        assert (np.abs(made[0] - made[1]).max((1, 2, 3)) > 1e-3).tolist() == [True, True, True, False]
        # The deviation of the group is shared, so that the fourth score may move too.
        assert (np.abs(scores[0] - scores[1]) > 1e-3)[:3].all()
    # Without a condition, the networks are those that have none: the same weights less the condition's rows.
    plain = tiny(seed=1)[1]
    weights = discriminator.get_weights()
    last = [w.path for w in discriminator.weights].index(discriminator.last.kernel.path)
    weights[last] = np.delete(weights[last], [9, 10, 11], axis=2) * ((9 * 9) / (9 * 12)) ** 0.5
    plain.set_weights(weights)
    x = pictures(5)
    np.testing.assert_allclose(draw(plain.grow(), x), draw(discriminator.grow(), x, no), rtol=1e-4, atol=1e-5)


def test_mixed_precision_keeps_pictures_and_scores_in_float32():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        generator, discriminator = tiny()
        assert generator.convs[0].compute_dtype == "float16"
        for alpha in (1.0, 0.5, tf.constant(0.999)):
            x = generator.grow(4, alpha)(latent())
            score = discriminator.grow(4, alpha)(x)
            assert x.dtype == score.dtype == "float32" and np.isfinite(x).all() and np.isfinite(score).all()
    finally:
        keras.mixed_precision.set_dtype_policy(before)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_weights_load_on_another_backend(pair, backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    generator, z = pair[0], latent()
    generator.save_weights(tmp_path / "g.weights.h5")
    np.save(tmp_path / "latent.npy", z)
    code = f"""
import numpy as np
from gan_course.models import progan
import keras
assert keras.config.backend() == "{backend}"
g = progan.build_generator(latent_dim=6, **{SMALL})
g.load_weights("g.weights.h5")
z = np.load("latent.npy")
for level, alpha in ((5, 1.0), (4, 0.5)):
    np.save(f"{{level}}.npy", keras.ops.convert_to_numpy(g.grow(level, alpha)(z)))
"""
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    for level, alpha in ((5, 1.0), (4, 0.5)):
        here = draw(generator.grow(level, alpha), z)
        np.testing.assert_allclose(np.load(tmp_path / f"{level}.npy"), here, rtol=1e-4, atol=1e-5)


def test_mistakes_are_told(pair):
    for build in (progan.build_generator, progan.build_discriminator):
        with pytest.raises(CourseError, match="resolution is 48.*1024"):
            build(48)
        with pytest.raises(CourseError, match="base is 32"):
            build(64, base=32)
    for network in pair:
        for growth in (dict(level=6), dict(level=1), dict(level=3, alpha=1.5), dict(level=3, alpha=-0.1)):
            with pytest.raises(CourseError, match="level is .* and alpha is .* from 2 to 5"):
                network.grow(**growth)
        with pytest.raises(CourseError, match="nothing to fade from"):
            network.grow(2, 0.5)
