"""StyleGAN: a generator in which a style steers every layer (Karras et al. 2019), and its discriminator.

A mapping network turns the latent vector z into the style vector w. The synthesis network begins with a learnt constant,
and each of its L = 2 log2(resolution) - 2 layers is told by w how strong each of its maps shall be. So the layers can be given the
w of different faces (mixing), an average w (truncation), or a w that was searched for (projection):

    generator = build_generator(64)
    w = generator.map(latent, psi=0.7)              # (batch, L, latent_dim): one w a layer
    w[:, :4] = generator.map(other)[:, :4]          # the coarse layers of another face
    pictures = generator.synthesize(w)

It grows like the ProGAN (`gan_course.models.growing`), or starts at its full size. Each part can be switched off, so that one can
see what it is worth.
"""

import keras
from keras import ops

from gan_course.errors import CourseError
from gan_course.layers import (
    AdaIN,
    Bias,
    Blur,
    Constant,
    EqualisedConv2D,
    EqualisedDense,
    MinibatchStdDev,
    ModulatedConv2D,
    Noise,
    PixelNorm,
    blend,
    downsample,
)
from gan_course.models import progan
from gan_course.models.growing import Growing, GrowingGenerator, active

STYLES = ("adain", "modulated", None)
CUTOFF = 8  # of the paper's truncation: styles of maps up to 32x32


def layer_count(resolution):
    """Return L = 2 log2(resolution) - 2, the styled layers of a generator."""
    return 2 * resolution.bit_length() - 4


@keras.saving.register_keras_serializable(package="gan_course")
class Mapping(keras.layers.Layer):
    """The mapping network f: z (batch, latent_dim) -> w (batch, latent_dim) (section 2).

    PixelNorm, then `depth` dense layers with leaky ReLU 0.2, also after the last. They learn with 1/100 of the others'
    rate (`lr_multiplier`): eight layers in a row are quick to blow up.
    """

    def __init__(self, latent_dim=512, depth=8, lr_multiplier=0.01, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = latent_dim
        self.norm = PixelNorm()
        self.dense = [EqualisedDense(latent_dim, lr_multiplier=lr_multiplier) for _ in range(depth)]

    def build(self, input_shape):
        for layer in self.dense:
            layer.build((None, self.latent_dim))

    def call(self, latent):
        x = self.norm(latent)
        for layer in self.dense:
            x = active(layer(x))
        return x


@keras.saving.register_keras_serializable(package="gan_course")
class StyledLayer(keras.layers.Layer):
    """One layer of the synthesis network: maps, style w and noise -> maps.

        style 'adain':      [up +] conv, [blur,] noise, bias, leaky ReLU, AdaIN(w)      (the order of the paper's code)
        style 'modulated':  [up +] conv scaled by w, [blur,] noise, bias, leaky ReLU    (StyleGAN2)
        style None:         [up +] conv, [blur,] noise, bias, leaky ReLU, PixelNorm     (ProGAN: w is not used)

    convolve: None (the layer right behind the constant has no convolution), 'same' or 'up'.
    """

    def __init__(self, channels, convolve="same", style="adain", noise=True, fused=True, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.style, self.conv = channels, style, None
        if convolve:
            kind = ModulatedConv2D if style == "modulated" else EqualisedConv2D
            self.conv = kind(channels, use_bias=False, resample="up" if convolve == "up" else None, fused=fused)
        self.blur = Blur() if convolve == "up" else None
        self.noise = Noise() if noise else None
        self.bias = Bias()
        self.finish = {"adain": AdaIN, None: PixelNorm}.get(style, lambda: None)()

    def build(self, shape, style_shape):
        if self.conv:
            self.conv.build(*((shape, style_shape) if self.style == "modulated" else (shape,)))
        out = (*shape[:-1], self.channels)
        if self.noise:
            self.noise.build(out)
        self.bias.build(out)
        if self.finish:
            self.finish.build(*((out, style_shape) if self.style == "adain" else (out,)))

    def call(self, x, style, noise=None):
        if self.conv:
            x = self.conv(x, style) if self.style == "modulated" else self.conv(x)
        if self.blur:
            x = self.blur(x)
        if self.noise and noise is not None:
            x = self.noise(x, noise)
        x = active(self.bias(x))
        if self.style == "modulated":
            return x * 2**0.5  # what the ReLU has taken; elsewhere the kernel's gain makes up for it
        return self.finish(x, style) if self.style == "adain" else self.finish(x)


@keras.saving.register_keras_serializable(package="gan_course", name="StyleGANGenerator")
class Generator(GrowingGenerator):
    """G: latent (batch, latent_dim) -> pictures (batch, 2^level, 2^level, 3), about in [-1, 1].

        w = mapping(z);  constant 4x4, layer 0, layer 1;  each further level: layer (up), layer;  to RGB: conv 1x1

    mapping: the depth of the mapping network; 0: w is the normalised z. style: 'adain' (the paper), 'modulated'
    (StyleGAN2's repair; layer 0 has no convolution, and so no style) or None (w goes in at the start only). constant:
    without it, the 4x4 maps are a dense layer of w, as in the ProGAN. noise: without it, nothing is random beside w.
    spread: see `Constant`. The fade and `full_size`: see `GrowingGenerator`.

    Beside the trainable weights it holds the average of w (for truncation) and a fixed noise for each layer, so that a w
    always gives the same picture. In training the noise is new in every step. With the paper's budget (the defaults) it
    has 25,137,935 trainable parameters at 64x64, 25,843,858 at 128, 26,086,229 at 256 and 26,219,627 at 1024.
    """

    def __init__(
        self, resolution=64, latent_dim=512, base=8192, max_width=512, mapping=8, style="adain", constant=True,
        noise=True, spread=0.0, fused=True, full_size=False, name="generator",
    ):  # fmt: skip
        super().__init__(resolution, base, max_width, 0, fused, name, full_size=full_size)
        if style not in STYLES:
            raise CourseError(f"There is no style '{style}'; choose one of {', '.join(map(str, STYLES))}.")
        if constant and style is None:
            raise CourseError("Without styles a constant would give the same face always; set constant=False as well.")
        self.latent_dim, self.depth, self.style = latent_dim, mapping, style
        self.has_constant, self.has_noise, self.spread = constant, noise, spread
        wide, vector = self.channels(1), (None, latent_dim)
        self.mapping = self._build(Mapping(latent_dim, mapping) if mapping else PixelNorm(), latent_dim)
        if constant:
            self.start = self._build(Constant(wide, spread), latent_dim)
        else:
            self.start = self._build(EqualisedDense(16 * wide, gain=2**0.5 / 4, use_bias=False), latent_dim)
        self.styled, self.to_rgb = [], []
        options = dict(style=style, noise=noise, fused=fused)
        for level in range(2, self.full_level + 1):
            before, here, size = self.channels(level - 2), self.channels(level - 1), 2**level
            first = StyledLayer(here, "up" if level > 2 else None, **options)
            first.build((None, size // 2, size // 2, before) if level > 2 else (None, 4, 4, wide), vector)
            second = StyledLayer(here, "same", **options)
            second.build((None, size, size, here), vector)
            self.styled += [first, second]
            self.to_rgb.append(self._build(EqualisedConv2D(3, 1, gain=1.0, dtype="float32"), size, size, here))
        fixed = dict(trainable=False, dtype="float32")
        self.average = self.add_weight(shape=(latent_dim,), initializer="zeros", name="average_w", **fixed)
        self.planes = []
        for i, side in enumerate(self.sizes):
            normal = keras.initializers.RandomNormal(stddev=1.0)
            plane = self.add_weight(shape=(1, side, side, 1), initializer=normal, name=f"noise_{i}", **fixed)
            self.planes.append(plane)
        self.seeds = keras.random.SeedGenerator(0)
        self.built = True

    @property
    def sizes(self):
        """The side of the maps of each of the L layers."""
        return [2**level for level in range(2, self.full_level + 1) for _ in range(2)]

    @property
    def count(self):
        """How many styled layers the level has; at the last level it is L."""
        return 2 * self.level - 2

    @property
    def input_shape(self):
        return (None, self.latent_dim)

    def layers_in_use(self):
        """Return the layers with weights that the level uses."""
        return [self.mapping, self.start, *self.styled[: self.count], *self._rgb_in_use(self.to_rgb)]

    def map(self, latent, psi=1.0, cutoff=CUTOFF):
        """Return the w of each layer (batch, L, latent_dim) for latent vectors (batch, latent_dim).

        psi: the truncation trick (appendix B), average + psi * (w - average) in the layers below `cutoff`: less than 1
        gives more usual faces, and fewer kinds of them; 1 changes nothing, 0 is the average face.
        """
        w = ops.cast(self.mapping(latent), "float32")
        layers = ops.repeat(w[:, None, :], len(self.styled), axis=1)
        if isinstance(psi, (int, float)) and psi == 1:
            return layers
        weight = ops.cast(ops.arange(len(self.styled)) < cutoff, "float32")[:, None]
        return layers + weight * (psi - 1.0) * (layers - self.average)

    def random_noise(self, batch, draw=None):
        """Return new noise for each layer of the level, (batch, side, side, 1). draw: (distribution, shape) -> numbers."""
        draw = draw or (lambda distribution, shape: distribution(shape, seed=self.seeds))
        return [draw(keras.random.normal, (batch, size, size, 1)) for size in self.sizes[: self.count]]

    def synthesize(self, w, noise="fixed"):
        """Return pictures for the w of each layer (batch, L, latent_dim).

        noise: 'fixed' (the network's own, always the same), 'random', None (without), or one array (batch or 1, side, side, 1) a
        layer. Layers beyond the level are not used.
        """
        planes = self.planes if isinstance(noise, str) and noise == "fixed" else noise
        if isinstance(noise, str) and noise == "random":
            planes = self.random_noise(ops.shape(w)[0])
        elif isinstance(noise, str) and noise != "fixed":
            raise CourseError(f"There is no noise '{noise}'; give 'fixed', 'random', None or one array a layer.")
        x = self.start(w[:, 0])
        if not self.has_constant:
            x = ops.reshape(x, (-1, 4, 4, self.channels(1)))
        for i, layer in enumerate(self.styled[: self.count]):
            if i == self.count - 2:
                before = x  # of the level before
            x = layer(x, w[:, i], planes[i] if planes is not None else None)
        return self.pictures(x, before)

    def call(self, latent, training=False):
        return self.synthesize(self.map(latent), "random" if training else "fixed")

    def get_config(self):
        config = super().get_config()
        del config["condition_dim"]
        names = ("latent_dim", "style", "spread")
        config |= {name: getattr(self, name) for name in names}
        return config | {"mapping": self.depth, "constant": self.has_constant, "noise": self.has_noise}


@keras.saving.register_keras_serializable(package="gan_course", name="StyleGANDiscriminator")
class Discriminator(progan.Discriminator):
    """D: the ProGAN's, with a `Blur` before each convolution that halves the maps."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.blur = Blur()

    def before_down(self, x):
        return self.blur(x)


@keras.saving.register_keras_serializable(package="gan_course")
class LightDiscriminator(Growing):
    """D for a laptop: the DCGAN's form, of the ProGAN's parts. It grows from 8x8 on.

        each size down to 8x8: conv 4x4 of stride 2;  at 4x4: minibatch deviation, conv 3x3, Dense, Dense(1)

    The first convolution takes the pictures themselves, so no layer works on many maps of the full size: a step costs a
    fraction of the paper's D. Each level has a first convolution of its own, and a fade blends its maps with those that
    the first convolution of the level before makes of the smaller pictures. All layers have the equalised rate, so D
    learns at G's rate. The maps at half the size have base / (resolution / 4) channels, and double downwards.
    """

    def __init__(self, resolution=64, base=512, max_width=256, group_size=4, name="discriminator"):
        super().__init__(resolution, base, max_width, 0, True, name)
        self.group_size, self.firsts, self.downs = group_size, {}, {}
        for level in range(3, self.full_level + 1):
            after, size = self.channels(level - 2), 2**level
            self.firsts[level] = self._build(EqualisedConv2D(after, resample="down"), size, size, 3)
            if level < self.full_level:
                down = EqualisedConv2D(after, resample="down")
                self.downs[level] = self._build(down, size, size, self.channels(level - 1))
        wide = self.channels(1)
        self.deviation = self._build(MinibatchStdDev(group_size), 4, 4, wide)
        self.last = self._build(EqualisedConv2D(wide), 4, 4, wide + 1)
        self.dense = self._build(EqualisedDense(wide), 16 * wide)
        self.score = self._build(EqualisedDense(1, gain=1.0, dtype="float32"), wide)
        self.built = True

    def grow(self, level=None, alpha=1.0):
        if level == 2 or (level == 3 and not (isinstance(alpha, (int, float)) and alpha == 1)):
            raise CourseError("The light discriminator begins at 8x8; give --start 8 or more, or --d-network stylegan.")
        return super().grow(level, alpha)

    @property
    def input_shape(self):
        return (None, 2**self.level, 2**self.level, 3)

    @property
    def output_shape(self):
        return (None, 1)

    def layers_in_use(self):
        """Return the layers with weights that the level uses."""
        firsts = [self.firsts[level] for level in range(self.level - self.fading, self.level + 1)]
        downs = [self.downs[level] for level in range(3, self.level)]
        return [*firsts, *downs, self.last, self.dense, self.score]

    def call(self, pictures):
        x = active(self.firsts[self.level](pictures))
        for level in reversed(range(3, self.level)):
            x = active(self.downs[level](x))
            if self.fading and level == self.level - 1:
                x = blend(active(self.firsts[level](downsample(pictures))), x, self.alpha)
        x = active(self.last(self.deviation(x)))
        return self.score(active(self.dense(ops.reshape(x, (-1, 16 * x.shape[-1])))))

    def get_config(self):
        return {name: getattr(self, name) for name in ("resolution", "base", "max_width", "group_size", "name")}


build_generator, build_discriminator = Generator, Discriminator
