"""Latent space: what goes into a generator, ways between latent vectors, and the w of a given face. (Later lessons add axes.)"""

from gan_course import backend  # before Keras, in every module of this package
