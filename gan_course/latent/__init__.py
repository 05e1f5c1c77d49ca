"""Latent space: what goes into a generator, and ways between latent vectors. (Later lessons add axes and projection.)"""

from gan_course import backend  # noqa: F401  (before Keras, in every module of this package)
