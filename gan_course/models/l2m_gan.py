"""L2M-GAN: change one attribute of a given face and keep the rest (Yang et al. 2021, 'Learning to manipulate latent space semantics').

A *domain* is one combination of the values of the edited attributes. The networks, with StarGAN v2's blocks (Choi et al. 2020):

    s = E_y(x)                                      style of face x of domain y: `build_style_encoder`, one output a domain
    s_un = P(s),   s_re = s - s_un                  decomposer: the part that has nothing to do with the domain, and the rest
    s_re' = T_t(s_re)                               domain transformer: that rest as it would be in the domain t
    s'(strength) = s + strength * (s_re' - s_re)    0: the face's own style; 1: a style of the domain t
    picture = G(x, s')                              `build_generator`: it takes the face itself, and the style steers its decoder

`Editor` holds them. Domains are given as vectors with a single 1, (batch, K). `build_discriminator` has one score a domain.

With the paper's widths at 256x256 and two domains, all trainable parameters: generator 43,467,395 (`downs=5, middle=2, skip='none',
last_norm=True`), discriminator 20,852,290, style encoder with decomposer and transformers 20,954,368. With the high-pass skip the official
generator counts as many, but 172,032 of them are shortcuts that it never uses; here they are left out: 43,295,363.
"""

import math

import keras
from keras import layers, ops

from gan_course.errors import CourseError
from gan_course.layers import SQRT2, EqualisedConv2D, downsample, upsample

SKIPS = ("gate", "high_pass", "none")
STYLES = ("split", "whole", "label")
EPSILON = 1e-5  # of the instance norm
HALF = math.sqrt(0.5)  # the sum of a block and its shortcut has the size of each
AFFINE_GAIN = 0.3  # of a style's first influence; with 1 the styles were seen to shrink tenfold (prototype)


def lrelu(x):
    return ops.leaky_relu(x, 0.2)


def dense(units, gain=SQRT2, **options):
    """Return a dense layer with He's first weights times gain / sqrt(2)."""
    normal = keras.initializers.VarianceScaling(gain**2, "fan_in", "untruncated_normal")
    return layers.Dense(units, kernel_initializer=normal, **options)


@keras.saving.register_keras_serializable(package="gan_course")
class Conv(EqualisedConv2D):
    """`EqualisedConv2D` without the equalised rate: He's constant is in the stored weights, as in StarGAN v2."""

    def _add_weights(self, shape):
        self.scale = 1.0
        normal = keras.initializers.RandomNormal(stddev=self.gain / math.sqrt(math.prod(shape[:-1])))
        self.kernel = self.add_weight(shape=shape, initializer=normal, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias")


def normalise(x, scale, shift):
    """Return InstanceNorm(x) * (1 + scale) + shift; scale, shift: (batch or 1, channels)."""
    exact = ops.cast(x, "float32")
    mean, variance = ops.moments(exact, axes=(1, 2), keepdims=True)
    size = (1.0 + scale[:, None, None, :]) * ops.rsqrt(variance + EPSILON)
    return ops.cast(exact * size + (shift[:, None, None, :] - mean * size), x.dtype)


@keras.saving.register_keras_serializable(package="gan_course")
class Norm(keras.layers.Layer):
    """Instance norm with a learnt scale and shift for each map: `normalise`."""

    def build(self, shape):
        self.scale, self.shift = (
            self.add_weight(shape=(1, shape[-1]), initializer="zeros", dtype="float32", name=name)
            for name in ("scale", "shift")
        )

    def call(self, x):
        return normalise(x, ops.cast(self.scale, "float32"), ops.cast(self.shift, "float32"))


@keras.saving.register_keras_serializable(package="gan_course")
class StyledNorm(keras.layers.Layer):
    """Adaptive instance norm: `normalise`, with scale and shift of each map from the style by a dense layer."""

    def build(self, x_shape, style_shape):
        self.affine = dense(2 * x_shape[-1], gain=AFFINE_GAIN * SQRT2, dtype="float32")
        self.affine.build(style_shape)

    def call(self, x, style):
        return normalise(x, *ops.split(self.affine(ops.cast(style, "float32")), 2, axis=-1))


@keras.saving.register_keras_serializable(package="gan_course")
class Block(keras.layers.Layer):
    """A residual block that keeps the size or halves it: (shortcut + conv(lrelu(norm(conv(lrelu(norm(x))))))) / sqrt(2).

    The mean of 2x2 pixels comes after the first convolution; both are computed as one of stride 2 (see `EqualisedConv2D`).
    """

    def __init__(self, channels, norm=True, down=False, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.norm, self.down = channels, norm, down

    def build(self, shape):
        inner = (*shape[:-1], shape[-1])
        self.conv1, self.conv2 = Conv(shape[-1], resample="down" if self.down else None), Conv(self.channels)
        self.shortcut = Conv(self.channels, 1, use_bias=False) if shape[-1] != self.channels else None
        self.norms = [Norm(), Norm()] if self.norm else []
        for layer in [self.conv1, self.conv2, *([self.shortcut] if self.shortcut else []), *self.norms]:
            layer.build(inner)

    def compute_output_shape(self, shape):  # else Keras runs `call` once more to find it out
        batch, height, width, _ = shape
        return (batch, height // 2, width // 2, self.channels) if self.down else (batch, height, width, self.channels)

    def call(self, x):
        h = self.conv1(lrelu(self.norms[0](x) if self.norm else x))
        h = self.conv2(lrelu(self.norms[1](h) if self.norm else h))
        x = downsample(x) if self.down else x
        return ((self.shortcut(x) if self.shortcut else x) + h) * HALF


@keras.saving.register_keras_serializable(package="gan_course")
class StyledBlock(keras.layers.Layer):
    """`Block` with styled norms, that keeps the size or doubles it, as the first convolution does.

    shortcut: without it, only the convolutions' way is there (the paper's, where the high-pass skip takes its place).
    """

    def __init__(self, channels, up=False, shortcut=True, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.up, self.has_shortcut, self.shortcut = channels, up, shortcut, None

    def build(self, x_shape, style_shape):
        self.conv1, self.conv2 = Conv(self.channels, resample="up" if self.up else None), Conv(self.channels)
        self.norm1, self.norm2 = StyledNorm(), StyledNorm()
        after = (*x_shape[:-1], self.channels)
        self.conv1.build(x_shape)
        self.conv2.build(after)
        self.norm1.build(x_shape, style_shape)
        self.norm2.build(after, style_shape)
        if self.has_shortcut and x_shape[-1] != self.channels:
            self.shortcut = Conv(self.channels, 1, use_bias=False)
            self.shortcut.build(x_shape)

    def compute_output_shape(self, x_shape, style_shape):
        batch, height, width, _ = x_shape
        return (batch, 2 * height, 2 * width, self.channels) if self.up else (batch, height, width, self.channels)

    def call(self, x, style):
        h = self.conv1(lrelu(self.norm1(x, style)))
        h = self.conv2(lrelu(self.norm2(h, style)))
        if not self.has_shortcut:
            return h
        x = self.shortcut(x) if self.shortcut else x
        return ((upsample(x) if self.up else x) + h) * HALF


@keras.saving.register_keras_serializable(package="gan_course")
class Gate(keras.layers.Layer):
    """decoder + m * encoder, with a learnt mask m (batch, h, w, 1) from 0 to 1 that the decoder's maps decide; at first 1/2.

    It lets details of the source pass where the edit leaves them alone. (The paper masks its skips with a network that finds
    the landmarks of human faces.)
    """

    def build(self, decoder_shape, encoder_shape):
        self.conv = Conv(1, gain=0.0, dtype="float32")
        self.conv.build(decoder_shape)

    def mask(self, decoder):
        return ops.sigmoid(self.conv(decoder))

    def call(self, decoder, encoder):
        return decoder + ops.cast(self.mask(decoder), encoder.dtype) * encoder


@keras.saving.register_keras_serializable(package="gan_course")
class HighPass(keras.layers.Layer):
    """decoder + high-pass filtered encoder: each pixel times 8 less its eight neighbours (without the paper's landmark mask)."""

    def call(self, decoder, encoder):
        kernel = ops.cast(ops.convert_to_tensor([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]), encoder.dtype)
        kernel = ops.tile(kernel[:, :, None, None], (1, 1, encoder.shape[-1], 1))
        wide = ops.pad(encoder, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return decoder + ops.depthwise_conv(wide, kernel, padding="valid", data_format="channels_last")


def _channels(width, level):
    return min(width * 2**level, 8 * width)


def build_generator(
    resolution=64, width=24, style_dim=64, downs=3, middle=1, skip="gate", skips=2, last_norm=False, name="generator"
):
    """Return G: [pictures (batch, r, r, 3) in [-1, 1], styles (batch, style_dim)] -> pictures, about in [-1, 1].

    Conv 3x3; `downs` blocks that halve the size (channels: width, doubling up to 8 width); `middle` blocks; `middle` styled
    blocks; `downs` styled blocks that double the size; conv 1x1 to RGB.
    skip: how the encoder's maps reach the decoder at the `skips` sizes below the full one: 'gate' (`Gate`), 'high_pass' (the
    paper's) or 'none'. last_norm: an instance norm before the last convolution (the paper's; without it, the picture's
    overall brightness need not pass through a norm).
    """
    if skip not in SKIPS:
        raise CourseError(f"There is no skip '{skip}'; choose one of {', '.join(SKIPS)}.")
    if downs < 1 or resolution % 2**downs or resolution < 2 ** (downs + 1):
        raise CourseError(f"The resolution is {resolution}; give a multiple of {2**downs}, {2 ** (downs + 1)} or more.")
    pictures = keras.Input((resolution, resolution, 3), name="pictures")
    style = keras.Input((style_dim,), name="style")
    x = Conv(width)(pictures)
    kept = [x]
    for level in range(downs):
        x = Block(_channels(width, level + 1), down=True)(x)
        kept.append(x)
    for _ in range(middle):
        x = Block(x.shape[-1])(x)
    plain = skip != "high_pass"
    for _ in range(middle):
        x = StyledBlock(x.shape[-1], shortcut=plain)(x, style)
    for level in reversed(range(downs)):
        x = StyledBlock(_channels(width, level), up=True, shortcut=plain)(x, style)
        if skip != "none" and 1 <= level <= skips:
            size = resolution // 2**level
            x = (Gate if skip == "gate" else HighPass)(name=f"{skip}_{size}")(x, kept[level])
    x = Norm()(x) if last_norm else x
    x = layers.Activation(lrelu)(x)
    # Near grey at first, so that the pixel losses do not shrink the styles at once.
    x = Conv(3, 1, gain=0.1 * SQRT2, dtype="float32", name="to_rgb")(x)
    return keras.Model([pictures, style], x, name=name)


def _trunk(resolution, width):
    """Return (input, vector): a picture halved down to 4x4 and looked at as a whole."""
    if resolution < 8 or resolution & (resolution - 1):
        raise CourseError(f"The resolution is {resolution}; give a power of two, 8 or more.")
    x = pictures = keras.Input((resolution, resolution, 3), name="pictures")
    x = Conv(width)(x)
    for level in range(int(math.log2(resolution)) - 2):
        x = Block(_channels(width, level + 1), norm=False, down=True)(x)
    x = layers.Flatten()(layers.Activation(lrelu)(x))
    return pictures, layers.Activation(lrelu)(dense(x.shape[-1] // 16)(x))


def build_style_encoder(resolution=64, domains=2, width=12, style_dim=64, name="style_encoder"):
    """Return E: pictures (batch, r, r, 3) -> styles (batch, domains, style_dim), one for each domain that a face may be of."""
    pictures, x = _trunk(resolution, width)
    x = dense(domains * style_dim, dtype="float32")(x)
    return keras.Model(pictures, layers.Reshape((domains, style_dim), dtype="float32")(x), name=name)


def build_discriminator(resolution=64, domains=2, width=24, name="discriminator"):
    """Return D: pictures (batch, r, r, 3) -> scores (batch, domains): is this a real face of the domain? No sigmoid."""
    pictures, x = _trunk(resolution, width)
    return keras.Model(pictures, dense(domains, dtype="float32")(x), name=name)


@keras.saving.register_keras_serializable(package="gan_course")
class PerDomain(keras.layers.Layer):
    """A dense layer for each domain: (batch, K, n) -> (batch, K, units)."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        normal = keras.initializers.RandomNormal(stddev=math.sqrt(2 / shape[-1]))
        self.kernel = self.add_weight(shape=(*shape[1:], self.units), initializer=normal, name="kernel")
        self.bias = self.add_weight(shape=(shape[1], self.units), initializer="zeros", name="bias")

    def call(self, x):
        return ops.einsum("bki,kio->bko", x, self.kernel) + self.bias


def pick(outputs, domain):
    """Return of outputs (batch, K) or (batch, K, n) those of each picture's own domain; domain: (batch, K), a single 1 in each row."""
    n = "n" if len(outputs.shape) == 3 else ""  # ONNX knows no '...' in an einsum
    return ops.einsum(f"bk{n},bk->b{n}", outputs, domain)


@keras.saving.register_keras_serializable(package="gan_course")
class Transformer(keras.layers.Layer):
    """What a style becomes in another domain: `parts(style, target)` -> (s_un, s_re, s_re').

    styles 'split': L2M-GAN: decomposer P and domain transformers T, three dense layers each, ReLU between them.
    'whole', without decomposition: s_un is None, s_re = s, s_re' = T_t(s).
    'label', as StarGAN: a learnt vector for each domain takes the style's place; the face has no say in it.
    """

    def __init__(self, domains, style_dim, styles="split", **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.domains, self.style_dim, self.styles = domains, style_dim, styles
        self.decomposer, self.to_domain = [], []
        if styles == "split":
            self.decomposer = [dense(style_dim, activation=a, dtype="float32") for a in ("relu", "relu", None)]
        if styles != "label":
            self.to_domain = [PerDomain(style_dim, dtype="float32") for _ in range(3)]

    def build(self):
        for layer in self.decomposer:
            layer.build((None, self.style_dim))
        for layer in self.to_domain:
            layer.build((None, self.domains, self.style_dim))
        if self.styles == "label":
            normal = keras.initializers.RandomNormal(stddev=1.0)
            self.table = self.add_weight(shape=(self.domains, self.style_dim), initializer=normal, name="table")
        self.built = True

    def parts(self, style, target):
        if self.styles == "label":
            return None, style, ops.matmul(target, self.table)
        unrelated = style if self.decomposer else None
        for layer in self.decomposer:
            unrelated = layer(unrelated)
        related = style if unrelated is None else style - unrelated
        x = ops.repeat(related[:, None], self.domains, axis=1)
        for i, layer in enumerate(self.to_domain):
            x = layer(ops.relu(x) if i else x)
        return unrelated, related, pick(x, target)

    def call(self, style, target):
        return self.parts(style, target)[2]


@keras.saving.register_keras_serializable(package="gan_course", name="L2MEditor")
class Editor(keras.Model):
    """Style encoder, transformer and generator as one network:

        [pictures (batch, r, r, 3), source (batch, K), target (batch, K), strength (batch, 1)] -> edited pictures

    source, target: domains, a single 1 in each row. strength: 0 gives the face back, 1 is the edit, more exaggerates.
    `style`, `transformer.parts` and `generator` are the steps in between. styles: see `Transformer`.
    """

    def __init__(
        self, resolution=64, domains=2, width=24, style_width=12, style_dim=64, styles="split", name="editor", **parts
    ):  # fmt: skip
        super().__init__(name=name, dtype="float32")  # its parts have the policy's; Keras would cast what goes in
        if styles not in STYLES:
            raise CourseError(f"There are no styles '{styles}'; choose one of {', '.join(STYLES)}.")
        if domains < 2:
            raise CourseError(f"There are {domains} domains; give 2 or more.")
        self.config = dict(resolution=resolution, domains=domains, width=width, style_width=style_width)
        self.config |= dict(style_dim=style_dim, styles=styles, name=name, **parts)
        self.resolution, self.domains, self.styles = resolution, domains, styles
        self.generator = build_generator(resolution, width, style_dim, **parts)
        self.encoder = None
        if styles != "label":
            self.encoder = build_style_encoder(resolution, domains, style_width, style_dim)
        self.transformer = Transformer(domains, style_dim, styles)
        self.transformer.build()
        self.built = True

    @property
    def input_shape(self):
        return [(None, self.resolution, self.resolution, 3), (None, self.domains), (None, self.domains), (None, 1)]

    @property
    def output_shape(self):
        return (None, self.resolution, self.resolution, 3)

    def style(self, pictures, source, training=False):
        """Return the style s (batch, style_dim) of faces of the domain `source`."""
        if self.encoder is None:
            return ops.matmul(source, self.transformer.table)
        return pick(self.encoder(pictures, training=training), source)

    def call(self, inputs, training=False):
        pictures, source, target, strength = inputs
        style = self.style(pictures, source, training)
        _, related, moved = self.transformer.parts(style, target)
        return self.generator([pictures, style + strength * (moved - related)], training=training)

    def export(self, *args, input_signature=None, **kwargs):
        """As `keras.Model.export`; Keras asks a class of its own for the shapes of its inputs."""
        if input_signature is None:
            names = ("pictures", "source", "target", "strength")
            shapes = zip(names, self.input_shape, strict=True)
            input_signature = [[keras.InputSpec(shape=shape, dtype="float32", name=name) for name, shape in shapes]]
        return super().export(*args, input_signature=input_signature, **kwargs)

    def get_config(self):
        return dict(self.config)
