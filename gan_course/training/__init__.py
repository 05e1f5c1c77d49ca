"""Training: two players, one `fit`; callbacks, checkpoints, and trainings that resume."""

from gan_course import backend  # before Keras, in every module of this package
from gan_course.training.gan import GAN
