"""Latent space: what goes into a generator, ways between latent vectors, axes, and the w of a given face."""

from gan_course import backend  # before Keras, in every module of this package
