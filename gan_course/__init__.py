"""GAN Course: the helper package behind the notebooks."""

__version__ = "0.1.0"
