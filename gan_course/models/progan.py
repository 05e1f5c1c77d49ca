"""ProGAN: a generator and a discriminator that grow, from 4x4 pictures up (Karras et al. 2018).

Level r draws pictures of 2^r x 2^r, so the levels are 2 (4x4), 3 (8x8), ... 6 (64x64) ... 10 (1024x1024). One object
holds the layers of all levels. `grow(level, alpha)` says which of them are at work, and how far the newest is faded in:

    generator = build_generator(64)
    generator(latent)                    # 64x64: a new network is fully grown
    generator.grow(4)                    # now it is a 16x16 network
    generator.grow(5, alpha=0.25)        # 32x32: a quarter of it from the new layers, the rest upsampled from 16x16

The weights stay where they are. Layers above the level cost no time, and are not among `trainable_variables`.
"""

import math

import keras
from keras import ops

from gan_course.errors import CourseError
from gan_course.layers import (
    Bias,
    EqualisedConv2D,
    EqualisedDense,
    MinibatchStdDev,
    PixelNorm,
    blend,
    downsample,
    upsample,
)

RESOLUTIONS = tuple(2**level for level in range(2, 11))


def _active(x):
    return ops.leaky_relu(x, negative_slope=0.2)


def _is_number(alpha):
    return isinstance(alpha, (int, float))


class Growing(keras.Model):
    """What the two networks share: the budget of channels, the level and the fade.

    resolution: of the last level. base, max_width: the maps of a block have min(max_width, base / 2^s) channels, see
    `channels`. condition_dim: numbers in an extra vector that goes in beside the first input; 0: there is none.
    fused: see `gan_course.layers.EqualisedConv2D`; the function and the weights are the same either way.

    `level` and `alpha` are the state of growth. They are not weights: a saved network loads fully grown.
    """

    def __init__(self, resolution, base, max_width, condition_dim, fused, name):
        # float32 here leaves the policy to the layers, and keeps the digits of alpha and of the pictures.
        super().__init__(name=name, dtype="float32")
        if resolution not in RESOLUTIONS:
            raise CourseError(f"The ProGAN's resolution is {resolution}; choose one of {RESOLUTIONS}.")
        if min(base // resolution, max_width) < 1 or condition_dim < 0:
            raise CourseError(
                f"base is {base}, max_width is {max_width} and condition_dim is {condition_dim}; give a base of "
                f"{resolution} or more, a max_width of 1 or more and a condition_dim of 0 or more."
            )
        self.resolution, self.base, self.max_width = resolution, base, max_width
        self.condition_dim, self.fused = condition_dim, fused
        self.full_level = int(math.log2(resolution))
        self.level, self.alpha = self.full_level, 1.0

    def channels(self, s):
        """Return nf(s) = min(max_width, base / 2^s). The maps of level r have nf(r - 1) channels."""
        return min(self.max_width, self.base // 2**s)

    def grow(self, level=None, alpha=1.0):
        """Set the level (None: the last one) and the weight `alpha` of its newest layers, from 0 to 1; return self.

        `alpha` may be a tensor: then one compiled step serves the whole fade. The number 1 means that nothing is
        faded, and the layers of the level before that only the fade needs are left out.
        """
        level = self.full_level if level is None else level
        number = _is_number(alpha)
        if not 2 <= level <= self.full_level or (number and not 0 <= alpha <= 1):
            raise CourseError(
                f"level is {level} and alpha is {alpha}; give a level from 2 to {self.full_level}, alpha from 0 to 1."
            )
        if level == 2 and not (number and alpha == 1):
            raise CourseError("Level 2 is the first and has nothing to fade from; give it alpha=1.")
        same = level == self.level and number and _is_number(self.alpha) and alpha == self.alpha
        self.level, self.alpha = level, alpha
        if not same:
            self.predict_function = None  # Keras compiled it for another level
        return self

    @property
    def fading(self):
        """Whether the level before is still blended in."""
        return not (_is_number(self.alpha) and self.alpha == 1)

    @property
    def trainable_variables(self):
        """The trainable weights of the layers that the level uses. (`weights` are those of all levels.)"""
        return [v for layer in self.layers_in_use() for v in layer.trainable_variables]

    @property
    def trainable_weights(self):
        return self.trainable_variables

    def _rgb_in_use(self, rgb):
        return rgb[self.level - 2 - self.fading : self.level - 1]

    def _build(self, layer, *shape):
        # Built at once: copies, saved weights and optimisers need all levels from the start.
        layer.build((None, *shape))
        return layer

    def export(self, *args, input_signature=None, **kwargs):
        """Write the network at its present level for other programs, as `keras.Model.export` (format='onnx', ...)."""
        if input_signature is None:
            shapes = self.input_shape if self.condition_dim else [self.input_shape]
            specs = [keras.InputSpec(shape=shape, dtype="float32") for shape in shapes]
            input_signature = [specs] if self.condition_dim else specs
        return super().export(*args, input_signature=input_signature, **kwargs)

    def get_config(self):
        names = ("resolution", "base", "max_width", "condition_dim", "fused", "name")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="gan_course", name="ProGANGenerator")
class Generator(Growing):
    """G: latent (batch, latent_dim) -> pictures (batch, 2^level, 2^level, 3), about in [-1, 1].

        PixelNorm(z), Dense to 4x4, conv 3x3;  each further level: up + conv 3x3, conv 3x3;  to RGB: conv 1x1

    Each convolution but 'to RGB' is followed by leaky ReLU 0.2 and PixelNorm. There is no tanh: the discriminator keeps
    the pictures in range, and `show.to_uint8` clips. With `condition_dim` the input is the pair [latent, condition], joined
    to one vector before the first PixelNorm.

    While it fades, G = (1 - alpha) * upsample(to_rgb(level - 1)) + alpha * to_rgb(level).

    full_size: give pictures of the last level's resolution whatever the level, smaller ones as blocks of equal pixels.
    """

    def __init__(
        self,
        resolution=64,
        latent_dim=512,
        base=8192,
        max_width=512,
        condition_dim=0,
        fused=True,
        full_size=False,
        name="generator",
    ):
        super().__init__(resolution, base, max_width, condition_dim, fused, name)
        self.latent_dim, self.full_size = latent_dim, full_size
        wide = self.channels(1)
        self.norm = self._build(PixelNorm(), 4, 4, wide)  # without weights, but Keras asks whether it is built
        # The gain sqrt(2)/4 is as if this were a transposed convolution: fan_in 16 times as large.
        self.dense = EqualisedDense(16 * wide, gain=math.sqrt(2) / 4, use_bias=False)
        self._build(self.dense, latent_dim + condition_dim)
        self.bias = self._build(Bias(), 4, 4, wide)
        self.first = self._build(EqualisedConv2D(wide), 4, 4, wide)
        self.ups, self.convs, self.to_rgb = [], [], []
        for level in range(2, self.full_level + 1):
            before, here, size = self.channels(level - 2), self.channels(level - 1), 2**level
            if level > 2:
                up = EqualisedConv2D(here, resample="up", fused=fused)
                self.ups.append(self._build(up, size // 2, size // 2, before))
                self.convs.append(self._build(EqualisedConv2D(here), size, size, here))
            rgb = EqualisedConv2D(3, 1, gain=1.0, dtype="float32")  # also under mixed precision
            self.to_rgb.append(self._build(rgb, size, size, here))
        self.built = True

    @property
    def input_shape(self):
        latent = (None, self.latent_dim)
        return [latent, (None, self.condition_dim)] if self.condition_dim else latent

    @property
    def output_shape(self):
        size = self.resolution if self.full_size else 2**self.level
        return (None, size, size, 3)

    def layers_in_use(self):
        """Return the layers with weights that the level uses."""
        count = self.level - 2
        rgb = self._rgb_in_use(self.to_rgb)
        return [self.dense, self.bias, self.first, *self.ups[:count], *self.convs[:count], *rgb]

    def call(self, inputs):
        latent = ops.concatenate(inputs, axis=-1) if self.condition_dim else inputs
        x = self.dense(self.norm(latent))
        x = self.bias(ops.reshape(x, (-1, 4, 4, self.channels(1))))
        x = self.norm(_active(x))
        x = before = self.norm(_active(self.first(x)))
        count = self.level - 2
        for up, conv in zip(self.ups[:count], self.convs[:count], strict=True):
            before = x
            x = self.norm(_active(up(x)))
            x = self.norm(_active(conv(x)))
        pictures = self.to_rgb[count](x)
        if self.fading:
            pictures = blend(upsample(self.to_rgb[count - 1](before)), pictures, self.alpha)
        if self.full_size and self.level < self.full_level:
            pictures = upsample(pictures, 2 ** (self.full_level - self.level))
        return pictures

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0] if self.condition_dim else input_shape[0], *self.output_shape[1:])

    def get_config(self):
        return super().get_config() | {"latent_dim": self.latent_dim, "full_size": self.full_size}


@keras.saving.register_keras_serializable(package="gan_course", name="ProGANDiscriminator")
class Discriminator(Growing):
    """D: pictures (batch, 2^level, 2^level, 3) -> scores (batch, 1).

        from RGB: conv 1x1;  each level down to 8x8: conv 3x3, conv 3x3 + down;  at 4x4: minibatch deviation,
        conv 3x3, Dense, Dense(1)

    Leaky ReLU 0.2 after each but the last; no norm. A score depends on the whole batch (`MinibatchStdDev`). With
    `condition_dim` the input is the pair [pictures, condition]: the vector joins the maps at 4x4, the same at each pixel.

    While it fades, the maps that reach the level before are (1 - alpha) * from_rgb(downsample(x)) + alpha * block(x).
    """

    def __init__(
        self,
        resolution=64,
        base=8192,
        max_width=512,
        condition_dim=0,
        group_size=4,
        fused=True,
        name="discriminator",
    ):
        super().__init__(resolution, base, max_width, condition_dim, fused, name)
        self.group_size = group_size
        self.from_rgb, self.convs, self.downs = [], [], []
        for level in range(2, self.full_level + 1):
            here, after, size = self.channels(level - 1), self.channels(level - 2), 2**level
            self.from_rgb.append(self._build(EqualisedConv2D(here, 1), size, size, 3))
            if level > 2:
                self.convs.append(self._build(EqualisedConv2D(here), size, size, here))
                down = EqualisedConv2D(after, resample="down", fused=fused)
                self.downs.append(self._build(down, size, size, here))
        wide = self.channels(1)
        self.deviation = self._build(MinibatchStdDev(group_size), 4, 4, wide)
        self.last = self._build(EqualisedConv2D(wide), 4, 4, wide + condition_dim + 1)
        self.dense = self._build(EqualisedDense(self.channels(0)), 16 * wide)
        self.score = self._build(EqualisedDense(1, gain=1.0, dtype="float32"), self.channels(0))
        self.built = True

    @property
    def input_shape(self):
        pictures = (None, 2**self.level, 2**self.level, 3)
        return [pictures, (None, self.condition_dim)] if self.condition_dim else pictures

    @property
    def output_shape(self):
        return (None, 1)

    def layers_in_use(self):
        """Return the layers with weights that the level uses."""
        count = self.level - 2
        rgb = self._rgb_in_use(self.from_rgb)
        return [*rgb, *self.convs[:count], *self.downs[:count], self.last, self.dense, self.score]

    def call(self, inputs):
        pictures, condition = inputs if self.condition_dim else (inputs, None)
        count = self.level - 2
        x = _active(self.from_rgb[count](pictures))
        for i in reversed(range(count)):
            x = _active(self.convs[i](x))
            x = _active(self.downs[i](x))
            if self.fading and i == count - 1:
                x = blend(_active(self.from_rgb[i](downsample(pictures))), x, self.alpha)
        x = self.deviation(x)
        if condition is not None:  # after the deviation, which is to tell how the pictures differ, not the conditions
            everywhere = ops.ones_like(x[..., :1]) * ops.cast(condition, x.dtype)[:, None, None, :]
            x = ops.concatenate([x, everywhere], axis=-1)
        x = _active(self.last(x))
        x = ops.reshape(x, (-1, 16 * self.channels(1)))
        return self.score(_active(self.dense(x)))

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0] if self.condition_dim else input_shape[0], 1)

    def get_config(self):
        return super().get_config() | {"group_size": self.group_size}


def build_generator(resolution=64, latent_dim=512, base=8192, max_width=512, condition_dim=0, fused=True):
    """Return a new `Generator`, fully grown: latent (batch, latent_dim) -> pictures (batch, resolution, resolution, 3).

    With the paper's budget it has 22,490,383 parameters at 64x64, 22,933,394 at 128, 23,044,309 at 256 and 23,079,115
    at 1024, all its 'to RGB' layers included. For a laptop at 64x64, base 1024 and max_width 128 give maps of 128, 128,
    128, 64 and 32 channels.
    """
    return Generator(resolution, latent_dim, base, max_width, condition_dim, fused)


def build_discriminator(resolution=64, base=8192, max_width=512, condition_dim=0, group_size=4, fused=True):
    """Return a new `Discriminator`, fully grown: pictures (batch, resolution, resolution, 3) -> scores (batch, 1).

    With the paper's budget it has 22,498,049 parameters at 64x64, 22,941,313 at 128, 23,052,353 at 256 and 23,087,249
    at 1024, all its 'from RGB' layers included.
    """
    return Discriminator(resolution, base, max_width, condition_dim, group_size, fused)
