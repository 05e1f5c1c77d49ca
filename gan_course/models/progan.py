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

from gan_course.layers import Bias, EqualisedConv2D, EqualisedDense, MinibatchStdDev, PixelNorm, blend, downsample
from gan_course.models.growing import Growing, GrowingGenerator, active, with_condition


@keras.saving.register_keras_serializable(package="gan_course", name="ProGANGenerator")
class Generator(GrowingGenerator):
    """G: latent (batch, latent_dim) -> pictures (batch, 2^level, 2^level, 3), about in [-1, 1].

        PixelNorm(z), Dense to 4x4, conv 3x3;  each further level: up + conv 3x3, conv 3x3;  to RGB: conv 1x1

    Each convolution but 'to RGB' is followed by leaky ReLU 0.2 and PixelNorm. There is no tanh: the discriminator keeps
    the pictures in range, and `show.to_uint8` clips. With `condition_dim` the input is the pair [latent, condition], joined
    to one vector before the first PixelNorm.

    The fade and `full_size`: see `GrowingGenerator`. With the paper's budget (the defaults) it has 22,490,383 parameters
    at 64x64, 22,933,394 at 128, 23,044,309 at 256 and 23,079,115 at 1024, all its 'to RGB' layers included. For a laptop
    at 64x64, base 1024 and max_width 128 give maps of 128, 128, 128, 64 and 32 channels.
    """

    def __init__(
        self, resolution=64, latent_dim=512, base=8192, max_width=512, condition_dim=0, fused=True, full_size=False,
        name="generator",
    ):  # fmt: skip
        super().__init__(resolution, base, max_width, condition_dim, fused, name, full_size=full_size)
        self.latent_dim = latent_dim
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

    def layers_in_use(self):
        """Return the layers with weights that the level uses."""
        count = self.level - 2
        rgb = self._rgb_in_use(self.to_rgb)
        return [self.dense, self.bias, self.first, *self.ups[:count], *self.convs[:count], *rgb]

    def call(self, inputs):
        latent = ops.concatenate(inputs, axis=-1) if self.condition_dim else inputs
        x = self.dense(self.norm(latent))
        x = self.bias(ops.reshape(x, (-1, 4, 4, self.channels(1))))
        x = self.norm(active(x))
        x = before = self.norm(active(self.first(x)))
        count = self.level - 2
        for up, conv in zip(self.ups[:count], self.convs[:count], strict=True):
            before = x
            x = self.norm(active(up(x)))
            x = self.norm(active(conv(x)))
        return self.pictures(x, before)

    def get_config(self):
        return super().get_config() | {"latent_dim": self.latent_dim}


@keras.saving.register_keras_serializable(package="gan_course", name="ProGANDiscriminator")
class Discriminator(Growing):
    """D: pictures (batch, 2^level, 2^level, 3) -> scores (batch, 1).

        from RGB: conv 1x1;  each level down to 8x8: conv 3x3, conv 3x3 + down;  at 4x4: minibatch deviation,
        conv 3x3, Dense, Dense(1)

    Leaky ReLU 0.2 after each but the last; no norm. A score depends on the whole batch (`MinibatchStdDev`). With
    `condition_dim` the input is the pair [pictures, condition]: the vector joins the maps at 4x4, the same at each pixel.

    While it fades, the maps that reach the level before are (1 - alpha) * from_rgb(downsample(x)) + alpha * block(x).
    With the paper's budget it has 22,498,049 parameters at 64x64, 22,941,313 at 128, 23,052,353 at 256 and 23,087,249 at
    1024, all its 'from RGB' layers included.
    """

    def __init__(
        self, resolution=64, base=8192, max_width=512, condition_dim=0, group_size=4, fused=True, name="discriminator"
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

    def before_down(self, x):
        """Return what the convolution that halves the maps gets; StyleGAN blurs it."""
        return x

    def maps(self, pictures):
        """Return what D makes of pictures before it knows a condition: maps (batch, 4, 4, channels)."""
        count = self.level - 2
        x = active(self.from_rgb[count](pictures))
        for i in reversed(range(count)):
            x = active(self.convs[i](x))
            x = active(self.downs[i](self.before_down(x)))
            if self.fading and i == count - 1:
                x = blend(active(self.from_rgb[i](downsample(pictures))), x, self.alpha)
        return self.deviation(x)

    def head(self, x, condition=None):
        """Return the scores of `maps`."""
        if condition is not None:  # after the deviation, which is to tell how the pictures differ, not the conditions
            x = with_condition(x, condition)
        x = active(self.last(x))
        x = ops.reshape(x, (-1, 16 * self.channels(1)))
        return self.score(active(self.dense(x)))

    def call(self, inputs):
        pictures, condition = inputs if self.condition_dim else (inputs, None)
        return self.head(self.maps(pictures), condition)

    def get_config(self):
        return super().get_config() | {"group_size": self.group_size}


build_generator, build_discriminator = Generator, Discriminator  # the names that every family of networks has
