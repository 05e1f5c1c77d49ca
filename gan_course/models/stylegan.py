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
    ModulatedConv2D,
    Noise,
    PixelNorm,
)
from gan_course.models import dcgan, progan
from gan_course.models.growing import Growing, GrowingGenerator, active

STYLES = ("adain", "modulated", None)
CUTOFF = 8  # of the paper's truncation: styles of maps up to 32x32


@keras.saving.register_keras_serializable(package="gan_course")
class Mapping(keras.layers.Layer):
    """The mapping network f: z (batch, latent_dim) -> w (batch, latent_dim) (section 2).

    PixelNorm, then `depth` dense layers with leaky ReLU 0.2, also after the last. They learn with 1/100 of the others'
    rate (`lr_multiplier`): eight layers in a row are quick to blow up.
    """

    def __init__(self, latent_dim=512, depth=8, lr_multiplier=0.01, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim, self.depth, self.lr_multiplier = latent_dim, depth, lr_multiplier
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

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        names = ("latent_dim", "depth", "lr_multiplier")
        return super().get_config() | {name: getattr(self, name) for name in names}


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
        self.channels, self.convolve, self.style, self.fused = channels, convolve, style, fused
        self.has_noise = noise
        self.conv = None
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

    def compute_output_shape(self, input_shape, *others):
        factor = 2 if self.convolve == "up" else 1
        return (input_shape[0], *(n and factor * n for n in input_shape[1:3]), self.channels)

    def get_config(self):
        names = ("channels", "convolve", "style", "fused")
        return super().get_config() | {name: getattr(self, name) for name in names} | {"noise": self.has_noise}


@keras.saving.register_keras_serializable(package="gan_course", name="StyleGANGenerator")
class Generator(GrowingGenerator):
    """G: latent (batch, latent_dim) -> pictures (batch, 2^level, 2^level, 3), about in [-1, 1].

        w = mapping(z);  constant 4x4, layer 0, layer 1;  each further level: layer (up), layer;  to RGB: conv 1x1

    mapping: the depth of the mapping network; 0: w is the normalised z. style: 'adain' (the paper), 'modulated'
    (StyleGAN2's repair; layer 0 has no convolution, and so no style) or None (w goes in at the start only). constant:
    without it, the 4x4 maps are a dense layer of w, as in the ProGAN. noise: without it, nothing is random beside w.
    spread: see `Constant`. The fade and `full_size`: see `GrowingGenerator`.

    Beside the trainable weights it holds the average of w (for truncation) and a fixed noise for each layer, so that a w
    always gives the same picture. In training the noise is new in every step.
    """

    def __init__(
        self,
        resolution=64,
        latent_dim=512,
        base=8192,
        max_width=512,
        mapping=8,
        style="adain",
        constant=True,
        noise=True,
        spread=0.0,
        fused=True,
        full_size=False,
        name="generator",
    ):
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
        self.planes = [
            self.add_weight(
                shape=(1, s, s, 1), initializer=keras.initializers.RandomNormal(stddev=1.0), name=f"noise_{i}", **fixed
            )
            for i, s in enumerate(self.sizes)
        ]
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

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.output_shape[1:])

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
class PlainDiscriminator(Growing):
    """D: the DCGAN's (`gan_course.models.dcgan.build_discriminator`), for a StyleGAN that is not grown.

    No layer works at the full resolution, so a step costs a fraction of the paper's D (benchmarks/README.md).
    """

    def __init__(self, resolution=64, width=32, max_width=256, name="discriminator"):
        super().__init__(resolution, width * resolution, max_width, 0, True, name)
        self.width = width
        self.network = dcgan.build_discriminator(resolution, width, max_width)
        self.built = True

    def grow(self, level=None, alpha=1.0):
        if level not in (None, self.full_level):
            raise CourseError(f"The DCGAN's discriminator cannot grow; start at {self.resolution}.")
        return super().grow(level, alpha)

    @property
    def input_shape(self):
        return self.network.input_shape

    @property
    def output_shape(self):
        return self.network.output_shape

    def layers_in_use(self):
        """Return the layers with weights."""
        return self.network.layers

    def call(self, pictures):
        return self.network(pictures)

    def get_config(self):
        return {name: getattr(self, name) for name in ("resolution", "width", "max_width", "name")}


def build_generator(resolution=64, latent_dim=512, base=8192, max_width=512, **parts):
    """Return a new `Generator`, fully grown: latent (batch, latent_dim) -> pictures (batch, resolution, resolution, 3).

    With the paper's budget it has 25,137,935 trainable parameters at 64x64, 25,843,858 at 128, 26,086,229 at 256 and
    26,219,627 at 1024. parts: `mapping`, `style`, `constant`, `noise`, `spread`.
    """
    return Generator(resolution, latent_dim, base, max_width, **parts)


def build_discriminator(resolution=64, base=8192, max_width=512, group_size=4):
    """Return a new `Discriminator`, fully grown: pictures (batch, resolution, resolution, 3) -> scores (batch, 1)."""
    return Discriminator(resolution, base, max_width, group_size=group_size)
