"""The networks, one file a family. All are written with `keras.ops`, so their weights load on any backend."""

from gan_course import backend  # before Keras, in every module of this package
