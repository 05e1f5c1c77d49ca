"""Layers that ProGAN and StyleGAN are made of. All run on every Keras backend.

Each is the paper's formula (Karras et al. 2018, 'Progressive Growing of GANs'; Karras et al. 2019, StyleGAN),
checked in `tests/test_layers.py` against the same formula in NumPy. Maps are (batch, height, width, channels).
"""

import math

from gan_course.backend import keras, ops
from gan_course.errors import CourseError

SQRT2 = math.sqrt(2.0)  # He's gain for a layer that a (leaky) ReLU follows
BLOCK = "block_"  # how the names of a residual block's layers begin: a trained network may be given such blocks


def upsample(x, factor=2):
    """Return maps (batch, h, w, c) with every pixel as a block of `factor` x `factor` (nearest neighbour)."""
    return ops.repeat(ops.repeat(x, factor, axis=1), factor, axis=2)


def downsample(x, factor=2):
    """Return maps (batch, h, w, c) with every block of `factor` x `factor` pixels as its mean."""
    return ops.average_pool(x, factor, strides=factor, padding="valid", data_format="channels_last")


def fitted(pictures, network):
    """Return pictures (batch, h, w, c) in the size of a network's input; what shrinks is averaged (antialias)."""
    size = tuple(network.input_shape[1:3])
    if tuple(pictures.shape[1:3]) == size:
        return pictures
    return ops.image.resize(pictures, size, antialias=True, data_format="channels_last")


def blend(old, new, alpha):
    """Return (1 - alpha) * old + alpha * new: the fade. Exactly `old` at alpha 0 and `new` at alpha 1.

    ProGAN's code writes it new + (old - new) * (1 - alpha). `alpha`: a number or a tensor of one.
    """
    alpha = ops.cast(alpha, new.dtype)
    return (1.0 - alpha) * old + alpha * new


class Equalised(keras.layers.Layer):
    """What the two layers with an equalised learning rate share (Karras et al. 2018, section 4.1).

    The stored weights are W ~ N(0, (1/m)^2); the layer computes with

        W * m * gain / sqrt(fan_in),        bias * m

    where fan_in is the count of inputs of one output and m is `lr_multiplier`. At the start that is He's initialisation.
    But He's constant stays outside the weights, so all stored weights have one size and Adam, whose steps do not depend
    on the gradient's size, moves them all at one relative speed. A smaller m slows the whole layer.
    """

    def __init__(self, gain=SQRT2, lr_multiplier=1.0, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.gain, self.lr_multiplier, self.use_bias = gain, lr_multiplier, use_bias

    def _add_weights(self, shape):
        self.scale = self.lr_multiplier * self.gain / math.sqrt(math.prod(shape[:-1]))
        normal = keras.initializers.RandomNormal(stddev=1.0 / self.lr_multiplier)
        self.kernel = self.add_weight(shape=shape, initializer=normal, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias")

    def _biased(self, x):
        return x + self.bias * self.lr_multiplier if self.use_bias else x


@keras.saving.register_keras_serializable(package="gan_course")
class EqualisedDense(Equalised):
    """Dense layer with an equalised learning rate: x (..., n) -> x W * m * gain / sqrt(n) + m * b, (..., units).

    See `Equalised` for the formula. `gain`: sqrt(2) before a leaky ReLU, 1 for a layer that ends a network.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self._add_weights((input_shape[-1], self.units))

    def call(self, x):
        return self._biased(ops.matmul(x, self.kernel * self.scale))


@keras.saving.register_keras_serializable(package="gan_course")
class EqualisedConv2D(Equalised):
    """Convolution with an equalised learning rate, stride 1, zero padding; fan_in = kernel_size^2 * channels in.

    `resample`: None, 'up' (upsample by 2, then convolve) or 'down' (convolve, then average by 2). With `fused=True` that
    is one convolution of stride 2, whose kernel is the sum of four copies of W, each shifted by 0 or 1 pixel in both
    directions (times 1/4 for 'down'). It computes the same numbers to rounding from the same stored weights, with fewer
    multiplications: 16 instead of 36 for a 3x3 kernel, per pixel of the small map and pair of channels.

    Going up, it is a *transposed* convolution, which lays its kernel down around each input instead of gathering with it;
    so W must be turned by 180 degrees first. (ProGAN's code does not turn it. That network trains as well, but its
    stored weights mean another function where it is not fused.)
    """

    def __init__(self, filters, kernel_size=3, resample=None, fused=True, **kwargs):
        super().__init__(**kwargs)
        if resample not in (None, "up", "down"):
            raise CourseError(f"There is no resample '{resample}'; choose one of None, 'up' and 'down'.")
        if resample and kernel_size % 2 == 0:
            raise CourseError(f"kernel_size is {kernel_size}; to resample, give an odd number.")
        self.filters, self.kernel_size, self.resample, self.fused = filters, kernel_size, resample, fused

    def build(self, input_shape):
        self._add_weights((self.kernel_size, self.kernel_size, input_shape[-1], self.filters))

    def call(self, x):
        options = dict(padding="same", data_format="channels_last")
        kernel = self.kernel * self.scale
        if self.resample == "up" and self.fused:
            kernel = ops.transpose(ops.flip(kernel, (0, 1)), (0, 1, 3, 2))  # (height, width, out, in)
            return self._biased(ops.conv_transpose(x, _four_shifted(kernel), strides=2, **options))
        if self.resample == "down" and self.fused:
            return self._biased(ops.conv(x, _four_shifted(kernel * 0.25), strides=2, **options))
        if self.resample == "up":
            x = upsample(x)
        x = ops.conv(x, kernel, strides=1, **options)
        return self._biased(downsample(x) if self.resample == "down" else x)


def _four_shifted(kernel):
    """Return the sum of four copies of a kernel (k, k, a, b), shifted by 0 or 1 each way: (k + 1, k + 1, a, b)."""
    # Padded four times: to slice one padded kernel gives the same, but TensorFlow's gradient of it took a third of a step.
    ends = (0, 1), (1, 0)
    a, b, c, d = (ops.pad(kernel, (rows, columns, (0, 0), (0, 0))) for columns in ends for rows in ends)
    return a + b + c + d


@keras.saving.register_keras_serializable(package="gan_course")
class Bias(keras.layers.Layer):
    """Add one learnt number per channel, at first 0. For places where a layer's own bias would come too early."""

    def build(self, input_shape):
        self.bias = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="bias")

    def call(self, x):
        return x + self.bias


class Weightless(keras.layers.Layer):
    """A layer without weights, built from the start: PyTorch's `fit` refuses a network that holds a layer to be built later."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True


@keras.saving.register_keras_serializable(package="gan_course")
class PixelNorm(Weightless):
    """x / sqrt(mean over channels of x^2 + 1e-8), at each pixel or for each vector (Karras et al. 2018, section 4.2).

    It keeps the generator's signal at one size however the players push each other. It has no weights.
    """

    def call(self, x):
        exact = ops.cast(x, "float32")  # in half precision the square overflows and 1e-8 is 0
        power = ops.mean(ops.square(exact), axis=-1, keepdims=True)
        return ops.cast(exact * ops.rsqrt(power + 1e-8), x.dtype)


@keras.saving.register_keras_serializable(package="gan_course")
class MinibatchStdDev(keras.layers.Layer):
    """Append a channel that says how much the pictures of a group differ (Karras et al. 2018, section 3).

    A batch of N is cut into N/G groups of G; group j holds the pictures j, j + N/G, j + 2N/G, ... For each group

        s = mean over all places and channels of sqrt(variance over the group + 1e-8)

    fills the new channel of all its pictures: (batch, h, w, c) -> (batch, h, w, c + 1). A generator that always draws
    the same face is found out by its s near 0.

    G is the largest number up to `group_size` that divides N, for any N: 4 for a batch of 16, 3 for 9, and 1 for 7,
    where s is always 1e-4. So train with a batch that 4 divides.
    """

    def __init__(self, group_size=4, **kwargs):
        super().__init__(**kwargs)
        self.group_size = group_size

    def call(self, x):
        batch, height, width, channels = ops.shape(x)
        sizes = range(1, self.group_size + 1)
        if isinstance(batch, int):
            group = max(n for n in sizes if batch % n == 0)
        else:  # TensorFlow, where the batch's size is known only when the step runs
            sizes = ops.convert_to_tensor(list(sizes), dtype=batch.dtype)
            group = ops.max(ops.where(batch % sizes == 0, sizes, ops.ones_like(sizes)))
        exact = ops.cast(x, "float32")
        groups = ops.reshape(exact, (group, batch // group, height, width, channels))
        deviation = ops.sqrt(ops.var(groups, axis=0) + 1e-8)
        number = ops.mean(deviation, axis=(1, 2, 3))  # one for each group
        number = ops.reshape(ops.tile(number, [group]), (batch, 1, 1, 1))
        channel = ops.broadcast_to(number, (batch, height, width, 1))
        return ops.concatenate([x, ops.cast(channel, x.dtype)], axis=-1)


# --- StyleGAN (Karras et al. 2019) ---------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="gan_course")
class Constant(keras.layers.Layer):
    """A learnt block of 4x4 maps, the same for every picture: anything of (batch, ...) -> (batch, 4, 4, channels).

    StyleGAN's synthesis begins here and not with a latent vector (section 3.1, configuration D). `spread` 0 begins with
    ones, as the paper; another number draws the first values from N(0, spread^2), which lets the first convolution tell
    one place from another before it has learnt.
    """

    def __init__(self, channels, spread=0.0, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.spread = channels, spread

    def build(self, input_shape):
        start = keras.initializers.RandomNormal(stddev=self.spread) if self.spread else "ones"
        self.value = self.add_weight(shape=(1, 4, 4, self.channels), initializer=start, name="constant")

    def call(self, x):
        return ops.broadcast_to(ops.cast(self.value, x.dtype), (ops.shape(x)[0], 4, 4, self.channels))


@keras.saving.register_keras_serializable(package="gan_course")
class Noise(keras.layers.Layer):
    """x + weight * noise: noise (batch or 1, h, w, 1) ~ N(0, 1), one learnt weight a channel, at first 0 (section 3.2).

    The network needs no numbers of its own for where each hair lies: it takes them from here.
    """

    def build(self, x_shape, noise_shape=None):
        self.weight = self.add_weight(shape=x_shape[-1:], initializer="zeros", name="weight")

    def call(self, x, noise):
        return x + ops.cast(noise, x.dtype) * self.weight


@keras.saving.register_keras_serializable(package="gan_course")
class InstanceNorm(Weightless):
    """(x - mean) / sqrt(variance + 1e-8), for each map of each picture over its places. It has no weights."""

    def call(self, x):
        exact = ops.cast(x, "float32")
        centred = exact - ops.mean(exact, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(1, 2), keepdims=True)
        return ops.cast(centred * ops.rsqrt(variance + 1e-8), x.dtype)


@keras.saving.register_keras_serializable(package="gan_course")
class AdaIN(keras.layers.Layer):
    """A style w (batch, n) decides the mean and the size of each map (section 3, equation 1):

        AdaIN(x, w) = InstanceNorm(x) * (1 + y_s) + y_b,        [y_s, y_b] = A w

    y_s and y_b have one number a channel. A is a dense layer of gain 1, its bias at first 0: so a style begins near
    the plain `InstanceNorm`. (The paper's equation has y_s alone; its code adds the 1.)
    """

    def build(self, x_shape, style_shape):
        channels = x_shape[-1]
        self.norm = InstanceNorm()
        self.affine = EqualisedDense(2 * channels, gain=1.0)
        self.affine.build(style_shape)

    def call(self, x, style):
        scale, shift = ops.split(self.affine(style)[:, None, None, :], 2, axis=-1)
        return self.norm(x) * (1.0 + scale) + shift


@keras.saving.register_keras_serializable(package="gan_course")
class Blur(Weightless):
    """Each map convolved with [1, 2, 1] x [1, 2, 1] / 16, zeros outside: a low-pass filter (section 2, 'Tuned').

    After an upsampling it smooths the blocks; before a downsampling it keeps fine patterns from turning into coarse ones.
    """

    def call(self, x):
        kernel = ops.cast(ops.convert_to_tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]), x.dtype) / 16
        kernel = ops.tile(kernel[:, :, None, None], (1, 1, x.shape[-1], 1))
        x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))  # by hand: backends differ in what 'same' does
        return ops.depthwise_conv(x, kernel, strides=1, padding="valid", data_format="channels_last")


@keras.saving.register_keras_serializable(package="gan_course")
class ModulatedConv2D(EqualisedConv2D):
    """StyleGAN2's repair of AdaIN (Karras et al. 2020, section 2.2): the style scales the *kernel*, not the maps.

        w'_ijk = (1 + s_i) w_ijk,      w''_ijk = w'_ijk / sqrt(sum over i, k of w'_ijk^2 + 1e-8),      s = A style

    i: map in, j: map out, k: place in the kernel. The division ('demodulation') holds the size of the output where
    it would be for inputs of size 1, and looks at no map: so no map can smuggle its size past it, which is what
    StyleGAN's 'droplets' do. Computed as scale, convolve, scale: the same numbers from one convolution for the whole batch.
    It has no bias.
    """

    def __init__(self, filters, kernel_size=3, **kwargs):
        super().__init__(filters, kernel_size, **kwargs | {"use_bias": False})

    def build(self, x_shape, style_shape):
        super().build(x_shape)
        self.affine = EqualisedDense(x_shape[-1], gain=1.0)
        self.affine.build(style_shape)

    def call(self, x, style):
        size = 1.0 + self.affine(style)  # (batch, channels in)
        power = ops.sum(ops.square(self.kernel * self.scale), axis=(0, 1))  # (in, out)
        demodulate = ops.rsqrt(ops.matmul(ops.square(size), ops.cast(power, size.dtype)) + 1e-8)
        return super().call(x * size[:, None, None, :]) * demodulate[:, None, None, :]
