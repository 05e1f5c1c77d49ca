"""The vanilla GAN: two dense networks (Goodfellow et al. 2014).

Every pixel is a number of its own to these networks: nothing tells them which pixels are neighbours.
"""

import math

import keras
from keras import layers


def build_generator(resolution=32, latent_dim=64, width=256):
    """Return G: latent (batch, latent_dim) -> pictures (batch, resolution, resolution, 3) in [-1, 1].

    Dense `width`, 2 `width`, 4 `width` with LeakyReLU 0.2, then one Dense unit per number in the picture and tanh.
    """
    shape = (resolution, resolution, 3)
    x = inputs = keras.Input((latent_dim,), name="latent")
    for factor in (1, 2, 4):
        x = layers.Dense(factor * width)(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Dense(math.prod(shape))(x)
    x = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(inputs, layers.Reshape(shape, name="pictures", dtype="float32")(x), name="generator")


def build_discriminator(resolution=32, width=256):
    """Return D: pictures (batch, resolution, resolution, 3) -> scores (batch, 1).

    Dense 2 `width`, then `width`, with LeakyReLU 0.2. No batch norm: a score depends on its own picture only.
    """
    x = inputs = keras.Input((resolution, resolution, 3), name="pictures")
    x = layers.Flatten()(x)
    for factor in (2, 1):
        x = layers.Dense(factor * width)(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    return keras.Model(inputs, layers.Dense(1, dtype="float32", name="score")(x), name="discriminator")
