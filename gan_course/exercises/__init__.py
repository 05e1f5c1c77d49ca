"""Self-checks of the exercises, one file a subject. A check says what is wrong with an answer, not only that it is."""

from gan_course import backend  # before Keras, in every module of this package
from gan_course.exercises.engine import yours_or_ours
