"""ProGAN's layers against their formulas, written out in NumPy; on every Keras backend that is installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gan_course import layers as our  # first: it imports TensorFlow quietly
from gan_course.errors import CourseError

import keras  # isort: skip
from keras import ops  # isort: skip

ROOT = Path(__file__).resolve().parent.parent
HERE = keras.config.backend()
CLOSE = dict(rtol=2e-5, atol=5e-6)


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_all_of_this_on_another_backend(backend):
    if backend == HERE or "GAN_COURSE_TEST_BACKEND" in os.environ:
        pytest.skip("this is that backend")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "GAN_COURSE_TEST_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout


def test_this_is_the_backend_that_was_asked_for():
    assert HERE == os.environ.get("GAN_COURSE_TEST_BACKEND", HERE)


# --- the formulas ----------------------------------------------------------------------------------------------


def convolve(x, w):
    """Cross-correlation with zeros outside: out[p] = sum over d of x[p + d] w[d]."""
    k = w.shape[0]
    padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    height, width = x.shape[1:3]
    return sum(padded[:, i : i + height, j : j + width] @ w[i, j] for i in range(k) for j in range(k))


def up(x):
    out = np.zeros((len(x), 2 * x.shape[1], 2 * x.shape[2], x.shape[3]))
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            out[:, i, j] = x[:, i // 2, j // 2]
    return out


def down(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def run(layer, *inputs):
    return ops.convert_to_numpy(layer(*map(ops.convert_to_tensor, inputs)))


def with_bias(layer, shape):
    """Build `layer` and give its bias other numbers than 0; return kernel and bias as float64."""
    layer.build(shape)
    layer.bias.assign(noise(*layer.bias.shape, seed=9))
    return [ops.convert_to_numpy(v).astype("float64") for v in (layer.kernel, layer.bias)]


# --- equalised learning rate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain, multiplier", [(2**0.5, 1.0), (1.0, 1.0), (2**0.5 / 4, 1.0), (2**0.5, 0.01)])
def test_equalised_dense(gain, multiplier):
    layer = our.EqualisedDense(7, gain=gain, lr_multiplier=multiplier)
    w, b = with_bias(layer, (None, 50))
    x = noise(3, 50)
    np.testing.assert_allclose(run(layer, x), x @ (w * multiplier * gain / 50**0.5) + b * multiplier, **CLOSE)


@pytest.mark.parametrize("size, gain, multiplier", [(1, 1.0, 1.0), (3, 2**0.5, 1.0), (3, 2**0.5, 0.1)])
def test_equalised_convolution(size, gain, multiplier):
    layer = our.EqualisedConv2D(4, size, gain=gain, lr_multiplier=multiplier)
    w, b = with_bias(layer, (None, 6, 5, 3))
    x = noise(2, 6, 5, 3)
    expected = convolve(x, w * multiplier * gain / (size * size * 3) ** 0.5) + b * multiplier
    np.testing.assert_allclose(run(layer, x), expected, **CLOSE)


def test_the_defaults_are_the_papers():
    for layer in (our.EqualisedDense(2), our.EqualisedConv2D(2)):
        assert layer.gain == pytest.approx(2**0.5) and layer.lr_multiplier == 1 and layer.use_bias


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_stored_weights_are_normal_with_deviation_1_by_m_and_the_signal_keeps_its_size(multiplier):
    keras.utils.set_random_seed(1)
    for layer, x in (
        (our.EqualisedDense(100, gain=1.0, lr_multiplier=multiplier), noise(100, 100)),
        (our.EqualisedConv2D(32, gain=1.0, lr_multiplier=multiplier), noise(4, 16, 16, 32)),
    ):
        y = run(layer, x)
        kernel = ops.convert_to_numpy(layer.kernel) * multiplier
        assert kernel.std() == pytest.approx(1, rel=0.03) and abs(kernel.mean()) < 0.03
        assert not ops.convert_to_numpy(layer.bias).any()
        assert y[..., :].std() == pytest.approx(1, rel=0.1)  # a little less at the edges


def test_without_bias():
    layer = our.EqualisedConv2D(4, use_bias=False)
    layer.build((None, 4, 4, 3))
    assert [w.path.split("/")[-1] for w in layer.weights] == ["kernel"]


# --- up and down ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_up_and_down(fused, kernel_size):
    x = noise(2, 8, 6, 3)
    layer = our.EqualisedConv2D(4, kernel_size, resample="up", fused=fused)
    w, b = with_bias(layer, x.shape)
    scaled = w * (2 / (kernel_size**2 * 3)) ** 0.5
    np.testing.assert_allclose(run(layer, x), convolve(up(x), scaled) + b, **CLOSE)
    layer = our.EqualisedConv2D(4, kernel_size, resample="down", fused=fused)
    layer.build(x.shape)
    layer.set_weights([w, b])
    np.testing.assert_allclose(run(layer, x), down(convolve(x, scaled)) + b, **CLOSE)


def test_without_the_turn_by_180_degrees_up_would_be_another_function():
    """So the test above can tell."""
    x, w = noise(1, 4, 4, 2), noise(3, 3, 2, 2, seed=1)
    assert np.abs(convolve(up(x), w) - convolve(up(x), w[::-1, ::-1])).max() > 0.1


def test_resampled_shapes():
    assert our.EqualisedConv2D(5, resample="up")(keras.Input((4, 4, 3))).shape == (None, 8, 8, 5)
    assert our.EqualisedConv2D(5, resample="down")(keras.Input((4, None, 3))).shape == (None, 2, None, 5)
    with pytest.raises(CourseError, match="'sideways'.*'up' and 'down'"):
        our.EqualisedConv2D(5, resample="sideways")
    with pytest.raises(CourseError, match="kernel_size is 4"):
        our.EqualisedConv2D(5, 4, resample="up")


def test_upsample_downsample_blend():
    x = noise(2, 4, 6, 3)
    np.testing.assert_array_equal(run(our.upsample, x), up(x).astype("float32"))
    np.testing.assert_allclose(run(our.downsample, x), down(x), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(run(lambda x: our.upsample(x, 4), x), up(up(x)).astype("float32"))
    np.testing.assert_allclose(
        run(lambda x: our.downsample(x, 4), x[:, :, :4]), down(down(x[:, :, :4])), rtol=1e-4, atol=1e-6
    )
    old, new = x, noise(2, 4, 6, 3, seed=1)
    both = [ops.convert_to_tensor(v) for v in (old, new)]
    np.testing.assert_array_equal(ops.convert_to_numpy(our.blend(*both, 0.0)), old)
    np.testing.assert_array_equal(ops.convert_to_numpy(our.blend(*both, 1.0)), new)
    quarter = ops.convert_to_numpy(our.blend(*both, ops.convert_to_tensor(0.25)))
    np.testing.assert_allclose(quarter, new + (old - new) * (1 - 0.25), **CLOSE)


# --- PixelNorm, minibatch deviation, bias --------------------------------------------------------------------------


def test_pixel_norm():
    for x in (noise(3, 5), noise(2, 3, 4, 5)):
        expected = x / np.sqrt((x.astype("float64") ** 2).mean(-1, keepdims=True) + 1e-8)
        np.testing.assert_allclose(run(our.PixelNorm(), x), expected, **CLOSE)
    small = np.full((1, 4), 1e-4, "float32")  # here the 1e-8 counts: 1e-4 / sqrt(2e-8)
    np.testing.assert_allclose(run(our.PixelNorm(), small), np.full((1, 4), 0.5**0.5), rtol=1e-5)
    assert not run(our.PixelNorm(), np.zeros((1, 4), "float32")).any()


def deviation(x, group_size):
    """SEED: groups of samples m, m + N/G, ...; sqrt(var + 1e-8), mean over C, H, W; one scalar a group."""
    count = len(x)
    group = next(g for g in range(group_size, 0, -1) if count % g == 0)
    out = np.zeros((*x.shape[:3], 1))
    for m in range(count // group):
        members = list(range(m, count, count // group))
        assert len(members) == group
        out[members] = np.sqrt(x[members].astype("float64").var(axis=0) + 1e-8).mean()
    return np.concatenate([x, out], axis=-1)


@pytest.mark.parametrize("batch", [1, 2, 4, 5, 6, 7, 8, 9, 12])
@pytest.mark.parametrize("group_size", [4, 16])
def test_minibatch_deviation(batch, group_size):
    x = noise(batch, 3, 2, 5) * np.arange(1, batch + 1, dtype="float32")[:, None, None, None]
    layer = our.MinibatchStdDev(group_size)
    np.testing.assert_allclose(run(layer, x), deviation(x, group_size), **CLOSE)


def test_minibatch_deviation_of_one_picture_alone_is_1e_4():
    np.testing.assert_allclose(run(our.MinibatchStdDev(), noise(7, 2, 2, 3))[..., -1], 1e-4, rtol=1e-4)


@pytest.mark.skipif(HERE != "tensorflow", reason="only TensorFlow compiles a step without the batch's size")
def test_minibatch_deviation_of_a_batch_whose_size_comes_late():
    import tensorflow as tf

    step = tf.function(our.MinibatchStdDev(), input_signature=[tf.TensorSpec((None, 2, 2, 3))])
    for batch in (1, 6, 7, 8):
        x = noise(batch, 2, 2, 3)
        np.testing.assert_allclose(step(tf.constant(x)), deviation(x, 4), **CLOSE)


def test_bias():
    layer, x = our.Bias(), noise(2, 3, 3, 4)
    np.testing.assert_array_equal(run(layer, x), x)
    layer.bias.assign([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(run(layer, x), x + np.array([1, 2, 3, 4], "float32"))


# --- StyleGAN's --------------------------------------------------------------------------------------------------


def instance_norm(x):
    return (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-8)


def test_constant_is_the_same_for_all_and_begins_with_ones_or_random():
    layer, x = our.Constant(3), noise(5, 12)
    np.testing.assert_array_equal(run(layer, x), np.ones((5, 4, 4, 3)))
    block = noise(1, 4, 4, 3)
    layer.value.assign(block)
    np.testing.assert_array_equal(run(layer, x), np.repeat(block, 5, axis=0))
    assert abs(run(our.Constant(512, spread=0.5), x).std() - 0.5) < 0.02


def test_noise_is_weighted_by_channel():
    layer, x, plane = our.Noise(), noise(2, 3, 4, 5), noise(2, 3, 4, 1)
    np.testing.assert_array_equal(run(layer, x, plane), x)  # its weights begin with 0
    layer.weight.assign(weights := noise(5))
    np.testing.assert_allclose(run(layer, x, plane), x + plane * weights, **CLOSE)


def test_instance_norm():
    x = 3 + 10 * noise(2, 4, 5, 3)
    np.testing.assert_allclose(run(our.InstanceNorm(), x), instance_norm(x), **CLOSE)
    assert np.isfinite(run(our.InstanceNorm(), np.ones((1, 4, 4, 2), "float32"))).all()


def test_adain():
    layer, x, w = our.AdaIN(), 5 * noise(2, 4, 4, 3), noise(2, 7)
    np.testing.assert_allclose(run(layer, x, 0 * w), instance_norm(x), **CLOSE)
    layer.affine.bias.assign(bias := noise(6))
    y = w @ np.asarray(layer.affine.kernel) / 7**0.5 + bias
    scale, shift = y[:, None, None, :3], y[:, None, None, 3:]
    np.testing.assert_allclose(run(layer, x, w), instance_norm(x) * (1 + scale) + shift, rtol=1e-4, atol=1e-5)


def test_blur():
    x, kernel = noise(2, 5, 4, 3), np.outer([1, 2, 1], [1, 2, 1]) / 16
    np.testing.assert_allclose(run(our.Blur(), x), convolve(x, kernel[:, :, None, None] * np.eye(3)), **CLOSE)


@pytest.mark.parametrize("resample", [None, "up"])
def test_modulated_convolution_has_a_kernel_of_its_own_for_each_picture(resample):
    layer, x, w = our.ModulatedConv2D(4, resample=resample), noise(2, 4, 5, 3), noise(2, 6)
    made = run(layer, x, w)
    style = 1 + w @ np.asarray(layer.affine.kernel) / 6**0.5
    for i in range(2):
        kernel = np.asarray(layer.kernel) * 2**0.5 / 27**0.5 * style[i][:, None]
        kernel = kernel / np.sqrt((kernel**2).sum((0, 1, 2)) + 1e-8)
        expected = convolve(up(x[i : i + 1]) if resample else x[i : i + 1], kernel)
        np.testing.assert_allclose(made[i : i + 1], expected, rtol=1e-4, atol=1e-5)


# --- as Keras layers -----------------------------------------------------------------------------------------------


def stack():
    """A model of all layers with options that are not the defaults."""
    inputs = keras.Input((12,))
    x = our.PixelNorm()(inputs)
    x = our.EqualisedDense(4 * 4 * 3, gain=0.5, lr_multiplier=0.1, use_bias=False)(x)
    x = our.Bias()(keras.layers.Reshape((4, 4, 3))(x))
    x = our.EqualisedConv2D(5, 3, resample="up", gain=0.7)(x)
    x = our.EqualisedConv2D(4, 1, lr_multiplier=2.0)(x)
    x = our.EqualisedConv2D(6, 3, resample="down", fused=False)(x)
    x = our.MinibatchStdDev(group_size=2)(x)
    return keras.Model(inputs, our.blend(our.downsample(our.upsample(x)), x, 0.5))


def test_saved_and_loaded(tmp_path):
    model, z = stack(), noise(4, 12)
    assert model.output_shape == (None, 4, 4, 7)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert run(again, z).std() > 0
    np.testing.assert_array_equal(run(again, z), run(model, z))
    for layer in model.layers:
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("policy, dtype", [("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")])
def test_mixed_precision(policy, dtype):
    x = ops.convert_to_tensor(noise(4, 4, 4, 8) * 300)  # 300^2 is beyond float16
    for layer in (
        our.EqualisedConv2D(3, resample="up", dtype=policy),
        our.EqualisedConv2D(3, resample="down", dtype=policy),
        our.PixelNorm(dtype=policy),
        our.MinibatchStdDev(dtype=policy),
        our.Bias(dtype=policy),
        our.InstanceNorm(dtype=policy),
        our.Blur(dtype=policy),
    ):
        y = layer(x)
        assert keras.backend.standardize_dtype(y.dtype) == dtype
        assert np.isfinite(ops.convert_to_numpy(ops.cast(y, "float32"))).all()
        assert all(w.dtype == "float32" for w in layer.weights)
    small = ops.cast(our.PixelNorm(dtype=policy)(x), "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(ops.mean(ops.square(small), axis=-1)), 1, rtol=2e-2)
