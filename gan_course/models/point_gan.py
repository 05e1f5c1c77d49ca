"""A GAN for points in the plane: two small dense networks, quick enough to watch while they learn."""

import keras
from keras import layers

from gan_course.errors import CourseError

NORMS = (None, "batch", "spectral")


def _hidden(x, width, norm):
    dense = layers.Dense(width)
    if norm == "spectral":
        dense = layers.SpectralNormalization(dense)
    x = dense(x)
    if norm == "batch":
        x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.LeakyReLU(negative_slope=0.2)(x)


def _check(width, depth, norm):
    if width < 1 or depth < 1:
        raise CourseError(f"width is {width} and depth is {depth}; give at least 1 for both.")
    if norm not in NORMS:
        raise CourseError(f"There is no norm '{norm}'; choose one of None, 'batch' and 'spectral'.")


def build_generator(latent_dim=2, width=128, depth=2, norm=None):
    """Return G: latent (batch, latent_dim) -> points (batch, 2), any size. `depth` hidden layers of `width` units.

    `norm`: None, or 'batch' for batch norm after each hidden Dense.
    """
    _check(width, depth, norm)
    x = inputs = keras.Input((latent_dim,), name="latent")
    for _ in range(depth):
        x = _hidden(x, width, norm)
    return keras.Model(inputs, layers.Dense(2, dtype="float32", name="points")(x), name="generator")


def build_discriminator(width=128, depth=2, norm=None):
    """Return D: points (batch, 2) -> scores (batch, 1), no sigmoid. `depth` hidden layers of `width` units.

    `norm`: None, 'batch', or 'spectral', which divides every kernel by its largest singular value, so that no
    layer makes a difference larger (Miyato et al. 2018).
    """
    _check(width, depth, norm)
    x = inputs = keras.Input((2,), name="points")
    for _ in range(depth):
        x = _hidden(x, width, norm)
    score = layers.Dense(1, dtype="float32", name="score")
    if norm == "spectral":
        score = layers.SpectralNormalization(score, name="normalised_score")
    return keras.Model(inputs, score(x), name="discriminator")
