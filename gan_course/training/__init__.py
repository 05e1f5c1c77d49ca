"""Training: two players, one `fit`; callbacks, checkpoints, and runs that resume."""

from gan_course import quiet  # noqa: F401  isort: skip  (before Keras)
from gan_course.training.adversarial import GAN

__all__ = ["GAN"]
