"""DCGAN: a generator of transposed convolutions against a discriminator of strided convolutions.

Radford, Metz and Chintala 2016. Two pairs of networks:

- `build_generator`, `build_discriminator`: the course's own, for any power-of-two resolution from 16 to 256.
- `build_article_generator`, `build_article_discriminator`: the 128x128 networks of the article
  'Generate realistic human face using GAN' (KDnuggets 2020), to the parameter.
"""

import keras
from keras import layers

from gan_course.errors import CourseError
from gan_course.layers import BLOCK


def _check(resolution):
    if resolution not in (16, 32, 64, 128, 256):
        raise CourseError(f"The DCGAN's resolution is {resolution}; choose 16, 32, 64, 128 or 256.")


def _normal():
    # The paper's weights (section 4): normal, mean 0, standard deviation 0.02.
    return keras.initializers.RandomNormal(stddev=0.02)


def _halving():
    """Options of a convolution that halves the maps, or doubles them where it is transposed."""
    return dict(strides=2, padding="same", kernel_initializer=_normal())


def channels_at(size, resolution, width, max_width):
    """Return the channels of the maps of `size` x `size`: `width` at half the resolution, doubling downwards."""
    return min(max_width, width * resolution // (2 * size))


def _block(x, name):
    """Return ReLU(x + two 3x3 convolutions of x), with batch norm: a residual block (He et al. 2016, figure 2).

    The second batch norm begins with gamma 0 (Goyal et al. 2017, section 5.1) and x comes from a ReLU, so at first the block
    changes nothing.
    """
    y = layers.Conv2D(x.shape[-1], 3, padding="same", use_bias=False, kernel_initializer=_normal(), name=f"{name}_a")(x)
    y = layers.ReLU()(layers.BatchNormalization(momentum=0.9, name=f"{name}_a_norm")(y))
    y = layers.Conv2D(x.shape[-1], 3, padding="same", use_bias=False, kernel_initializer=_normal(), name=f"{name}_b")(y)
    y = layers.BatchNormalization(momentum=0.9, gamma_initializer="zeros", name=f"{name}_b_norm")(y)
    return layers.ReLU()(layers.Add()([x, y]))


def build_generator(resolution=64, latent_dim=64, width=32, max_width=256, blocks=0):
    """Return G: latent (batch, latent_dim) -> pictures (batch, resolution, resolution, 3) in [-1, 1].

    Dense to 4x4, then one transposed 4x4 convolution of stride 2 per doubling; batch norm and ReLU between,
    tanh at the end. A kernel of 4 with stride 2 covers every output pixel by the same number of taps,
    which a kernel of 5 or 3 does not (the 'checkerboard' of Odena et al. 2016).
    Its default size, 64x64 with width 32, has 953,731 parameters.

    blocks: residual blocks on the maps of each size below the last. They begin as nothing, so that a trained generator can be
    made deeper and go on learning (Chen, Goodfellow and Shlens 2016, 'Net2Net'): `train --start-from`. A training that began
    with them drew one face for all latent vectors (benchmarks/README.md).
    """
    _check(resolution)
    wide = channels_at(4, resolution, width, max_width)
    x = inputs = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(4 * 4 * wide, use_bias=False, kernel_initializer=_normal())(x)
    x = layers.Reshape((4, 4, wide))(x)
    size = 4
    while True:
        # A short memory (momentum 0.9): the statistics of a generator that learns move fast.
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
        for k in range(blocks):
            x = _block(x, f"{BLOCK}{size}_{k}")
        size *= 2
        if size == resolution:
            break
        channels = channels_at(size, resolution, width, max_width)
        x = layers.Conv2DTranspose(channels, 4, use_bias=False, **_halving())(x)  # batch norm has a bias
    x = layers.Conv2DTranspose(3, 4, **_halving())(x)
    # float32 also under mixed precision: pictures and scores keep their digits.
    x = layers.Activation("tanh", dtype="float32", name="pictures")(x)
    return keras.Model(inputs, x, name="generator")


def build_discriminator(resolution=64, width=32, max_width=256, norm=None):
    """Return D: pictures (batch, resolution, resolution, 3) -> scores (batch, 1).

    4x4 convolutions of stride 2 down to 4x4, LeakyReLU 0.2, then Dense(1). No batch norm, unlike the paper:
    with it the discriminator wins on clean cartoon faces, and an R1 penalty needs scores that do not
    depend on the rest of the batch. Its default size, 64x64 with width 32, has 694,241 parameters.

    `norm` is for comparison (lesson 04): 'batch' for batch norm after every convolution but the first, as in the
    paper, or 'spectral' for spectral normalisation of every kernel (Miyato et al. 2018).
    """
    _check(resolution)
    if norm not in (None, "batch", "spectral"):
        raise CourseError(f"There is no norm '{norm}'; choose one of None, 'batch' and 'spectral'.")
    spectral = layers.SpectralNormalization if norm == "spectral" else lambda layer: layer
    x = inputs = keras.Input((resolution, resolution, 3), name="pictures")
    size = resolution
    while size > 4:
        size //= 2
        x = spectral(layers.Conv2D(channels_at(size, resolution, width, max_width), 4, **_halving()))(x)
        if norm == "batch" and size < resolution // 2:
            x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Flatten()(x)
    x = spectral(layers.Dense(1, dtype="float32", kernel_initializer=_normal(), name="score"))(x)
    return keras.Model(inputs, x, name="discriminator")


def build_article_generator(latent_dim=32):
    """Return the article's G: latent (batch, 32) -> pictures (batch, 128, 128, 3); 14,953,987 parameters."""
    x = inputs = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(16 * 16 * 128)(x)
    x = layers.LeakyReLU()(x)  # Keras's default slope, 0.3
    x = layers.Reshape((16, 16, 128))(x)
    x = layers.Conv2D(256, 5, padding="same")(x)
    x = layers.LeakyReLU()(x)
    for _ in range(3):  # 16 -> 32 -> 64 -> 128
        x = layers.Conv2DTranspose(256, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU()(x)
    for _ in range(2):
        x = layers.Conv2D(512, 5, padding="same")(x)
        x = layers.LeakyReLU()(x)
    x = layers.Conv2D(3, 7, padding="same")(x)
    x = layers.Activation("tanh", dtype="float32", name="pictures")(x)
    return keras.Model(inputs, x, name="generator")


def build_article_discriminator():
    """Return the article's D: pictures (batch, 128, 128, 3) -> scores (batch, 1); 4,211,713 parameters.

    Its sigmoid moved into the loss (a score is a logit here), which changes no parameter.
    """
    x = inputs = keras.Input((128, 128, 3), name="pictures")
    x = layers.Conv2D(256, 3)(x)  # no padding: 128 -> 126
    x = layers.LeakyReLU()(x)
    for _ in range(4):  # 126 -> 62 -> 30 -> 14 -> 6
        x = layers.Conv2D(256, 4, strides=2)(x)
        x = layers.LeakyReLU()(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.4)(x)
    x = layers.Dense(1, dtype="float32", name="score")(x)
    return keras.Model(inputs, x, name="discriminator")
