"""Distributions in the plane: the smallest data on which a GAN fails in all the ways that it fails on faces.

Their modes are known, so that mode collapse can be counted instead of guessed.
"""

from dataclasses import dataclass

import numpy as np

from gan_course.errors import CourseError


@dataclass(frozen=True)
class Points:
    """A mixture of round Gaussians in the plane, all of equal weight and equal `spread`.

    centres: float32 (k, 2), the modes. spread: the standard deviation of each mode, in the plane's unit.
    """

    name: str
    centres: np.ndarray
    spread: float

    @property
    def extent(self):
        """Half the side of a square around 0 that holds all of the distribution, with some room."""
        return float(np.abs(self.centres).max() * 1.25 + 3 * self.spread)

    def sample(self, count, seed=0):
        """Return float32 (count, 2) points, the same for the same seed."""
        rng = np.random.default_rng(seed)
        chosen = self.centres[rng.integers(len(self.centres), size=count)]
        return (chosen + self.spread * rng.normal(size=(count, 2))).astype("float32")

    def batch(self, batch_size, seed, step):
        """Return the tensor float32 (batch_size, 2) that belongs to `seed` and `step`; for use inside `tf.function`."""
        import tensorflow as tf

        pick, noise = (tf.stack([tf.cast(2 * seed + i, tf.int64), tf.cast(step, tf.int64)]) for i in range(2))
        chosen = tf.random.stateless_uniform((batch_size,), pick, maxval=len(self.centres), dtype=tf.int32)
        return tf.gather(self.centres, chosen) + self.spread * tf.random.stateless_normal((batch_size, 2), noise)

    def dataset(self, batch_size=256, seed=0, steps_per_epoch=500):
        """Return an endless `tf.data.Dataset` of fresh batches float32 (batch_size, 2), for `GAN.fit`.

        Batch k is a pure function of `seed` and k. `steps_per_epoch` is what `fit` calls an epoch.
        """
        import tensorflow as tf

        dataset = tf.data.Dataset.counter().map(lambda step: self.batch(batch_size, seed, step)).prefetch(8)
        dataset.steps_per_epoch = steps_per_epoch
        return dataset

    def coverage(self, samples, within=3.0):
        """Return (modes found, share of samples on a mode) of `samples` (n, 2).

        A sample is on a mode when it lies within `within` spreads of it. A mode is found when a sample is on it.
        (Srivastava et al. 2017, 'VEEGAN', section 4.1, with 2,500 samples.)
        """
        samples = np.asarray(samples, "float64")
        if samples.ndim != 2 or samples.shape[1] != 2 or not len(samples):
            raise CourseError(f"Coverage needs samples of shape (n, 2), and got {samples.shape}.")
        distances = np.linalg.norm(samples[:, None] - self.centres, axis=-1)
        near = distances.min(axis=1) <= within * self.spread  # False for NaN
        return len(np.unique(distances[near].argmin(axis=1))), float(near.mean())


def ring(modes=8, radius=2.0, spread=0.02):
    """Return `modes` Gaussians on a circle (Metz et al. 2017, 'Unrolled GAN', section 3.1)."""
    angles = np.arange(modes) * 2 * np.pi / modes
    return Points(f"ring of {modes}", radius * np.stack([np.cos(angles), np.sin(angles)], 1).astype("float32"), spread)


def grid(side=5, step=2.0, spread=0.05):
    """Return side x side Gaussians, `step` apart; 5x5 is the usual test of mode collapse (Srivastava et al. 2017)."""
    line = (np.arange(side) - (side - 1) / 2) * step
    return Points(
        f"grid of {side}x{side}", np.stack(np.meshgrid(line, line), -1).reshape(-1, 2).astype("float32"), spread
    )


def drawing(points, spread=0.05):
    """Return a distribution along `points` (n, 2): a line that someone drew, as many modes as points."""
    points = np.asarray(points, "float32")
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2 or not np.isfinite(points).all():
        raise CourseError(f"A drawing needs at least two points of shape (n, 2), and got {points.shape}; draw a line.")
    return Points("drawing", points, spread)
