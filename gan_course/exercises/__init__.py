"""Self-checks of the exercises, one file a subject. A check says what is wrong with an answer, not only that it is."""

from gan_course import backend  # noqa: F401  (before Keras, in every module of this package)
