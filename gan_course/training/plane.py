"""A GAN for points in the plane, all of which can be seen: its points, what the discriminator thinks, every push.

The model behind `gan_course.widgets.gan_lab`, after GAN Lab (Kahng et al. 2019). No drawing here.
"""

import math
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from gan_course.data import points
from gan_course.errors import CourseError, whole_number
from gan_course.latent.sampling import fixed_latent
from gan_course.models import point_gan
from gan_course.training.gan import GAN

DATA = {"ring": points.ring, "grid": points.grid}
# Weights that suit the plane. The penalty on lines is 0.1 as in Gulrajani et al. 2017's own code for toy data.
PENALTIES = {
    "none": {},
    "R1": {"r1_gamma": 0.1, "r1_interval": 1},
    "gradient penalty": {"gp_weight": 0.1, "drift": 0.001},
    "clipping": {"clip": 0.1},
}
BETAS = (0.5, 0.99)
RATES = (1e-5, 1.0)
EVERY = 50  # steps between two measurements of the coverage
COUNT = 2500  # points of one measurement (Srivastava et al. 2017)


@dataclass(frozen=True)
class Look:
    """All that a picture needs of one moment.

    samples: float32 (2500, 2), the generator's points, of latent vectors that never change.
    push: float32 (2500, 2), where G's gradient pushes each of them: minus the slope of the point's own loss, in
        loss per unit of the plane.
    scores: float32 (k, k), D on a square grid from -extent to extent, rows from below to above: the probability
        'real', or the raw score for the losses that have no probabilities.
    middle: what stands between 'generated' and 'real' on the scale of `scores`.
    """

    samples: np.ndarray
    push: np.ndarray
    scores: np.ndarray
    middle: float


def _rate(name, value):
    if not RATES[0] <= value <= RATES[1]:  # also NaN
        raise CourseError(f"{name} is {value}; give a learning rate from {RATES[0]:f} to {RATES[1]:g}.")
    return float(value)


class PlaneGAN:
    """Two small networks and a distribution in the plane, trained step by step.

    Arguments:
        data: 'ring' (8 modes), 'grid' (25 modes), or any `points.Points`, such as `points.drawing(array)`.
        loss: a name from `gan_course.losses.LOSSES`.
        penalty: 'none', 'R1', 'gradient penalty' or 'clipping', with the weights in `PENALTIES`.
        norm: None, 'batch' (batch norm in both players) or 'spectral' (in the discriminator).
        d_rate, g_rate: Adam's learning rate of each player, also to be changed while it trains.
        d_steps: discriminator steps per generator step: 1 to 10, or a part 1/2 to 1/10.
        latent_dim: size of the latent vector. seed: of weights, data and latent vectors.
        width, depth: units of a hidden layer, and their number, in both players. batch_size: points a step.

    The same arguments give the same numbers, however the steps are cut into calls of `advance`. Setting up resets
    the random state of Keras, NumPy and Python (`keras.utils.set_random_seed`).

    settings: all of the arguments, with the learning rates of now.
    history: {'d_loss', 'g_loss'}: one number a step; {'step', 'modes', 'share', 'push'}: one every 50 steps, where
    'modes' and 'share' are `Points.coverage` and 'push' is the mean length of `Look.push`.
    broken: None, or one sentence that says when a loss was not a number any more; `advance` then does nothing.
    """

    def __init__(
        self, data="ring", loss="non_saturating", penalty="none", norm=None, d_rate=1e-3, g_rate=1e-3, d_steps=1,
        latent_dim=2, seed=0, width=64, depth=3, batch_size=256,
    ):  # fmt: skip
        if not isinstance(data, points.Points) and (not isinstance(data, str) or data not in DATA):
            given = f"'{data}'" if isinstance(data, str) else f"a {type(data).__name__}"
            raise CourseError(f"data is {given}; give {', '.join(map(repr, DATA))} or points.drawing(array).")
        if penalty not in PENALTIES:
            raise CourseError(f"There is no penalty '{penalty}'; choose one of {', '.join(PENALTIES)}.")
        d_rate, g_rate = _rate("d_rate", d_rate), _rate("g_rate", g_rate)
        pace = float(d_steps)
        whole = pace if pace >= 1 else 1 / pace if pace > 0 else 0
        if abs(whole - round(whole)) > 1e-3 or not 1 <= round(whole) <= 10:
            raise CourseError(f"d_steps is {d_steps}; give a whole number from 1 to 10, or a part 1/2 to 1/10.")
        latent_dim = whole_number("latent_dim", latent_dim, 1, 256)
        self.settings = dict(data=data, loss=loss, penalty=penalty, norm=norm, d_rate=d_rate, g_rate=g_rate)
        self.settings |= dict(d_steps=pace, latent_dim=latent_dim, seed=seed)
        self.settings |= dict(width=width, depth=depth, batch_size=batch_size)
        self.seed = whole_number("seed", seed, 0, 2**31 - 1)
        self.data = DATA[data]() if isinstance(data, str) else data
        self.batch_size = whole_number("batch_size", batch_size, 2, 65536)

        keras.utils.set_random_seed(self.seed)
        self.gan = GAN(
            point_gan.build_generator(latent_dim, width, depth, norm="batch" if norm == "batch" else None),
            point_gan.build_discriminator(width, depth, norm=norm),
            loss=loss,
            **{"g_every" if pace >= 1 else "d_every": round(whole)},
            **PENALTIES[penalty],
            seed=self.seed,
        )
        self.gan.compile(*(keras.optimizers.Adam(rate, beta_1=BETAS[0], beta_2=BETAS[1]) for rate in (g_rate, d_rate)))
        self.latent = tf.constant(fixed_latent(COUNT, latent_dim, self.seed))
        self.step, self.broken = 0, None
        self.history = {name: [] for name in ("d_loss", "g_loss", "step", "modes", "share", "push")}
        self._measure()

    @property
    def d_rate(self):
        return self.settings["d_rate"]

    @d_rate.setter
    def d_rate(self, value):
        self.settings["d_rate"] = self.gan.d_optimizer.learning_rate = _rate("d_rate", value)

    @property
    def g_rate(self):
        return self.settings["g_rate"]

    @g_rate.setter
    def g_rate(self, value):
        self.settings["g_rate"] = self.gan.g_optimizer.learning_rate = _rate("g_rate", value)

    def advance(self, steps):
        """Train `steps` steps. Nothing happens where training is already broken."""
        steps = whole_number("steps", steps, 1, 10**9)
        while steps and not self.broken:
            # Measurements fall on the same steps whatever the caller's pace.
            count = min(steps, EVERY - self.step % EVERY)
            losses = self._train(tf.constant(count)).numpy()
            good = int(np.isfinite(losses).all(axis=1).argmin()) if not np.isfinite(losses).all() else count
            for name, values in zip(("d_loss", "g_loss"), losses[:good].T, strict=True):
                self.history[name] += values.tolist()
            self.step += count
            steps -= count
            if good < count:
                self.broken = (
                    f"Training broke at step {self.step - count + good + 1}: a loss is not a number any more; "
                    "restart with a smaller learning rate or with a penalty."
                )
            elif self.step % EVERY == 0:
                self._measure()

    @tf.function(input_signature=[tf.TensorSpec((), tf.int32)])
    def _train(self, count):
        losses = tf.TensorArray(tf.float32, size=count)
        for i in tf.range(count):
            for metric in self.gan.metrics:  # a mean over one step
                metric.reset_state()
            logs = self.gan.train_step(self.data.batch(self.batch_size, self.seed, self.gan.counter.value))
            losses = losses.write(i, tf.stack([logs["d_loss"], logs["g_loss"]]))
        return losses.stack()

    @tf.function(input_signature=[])
    def _samples(self):
        samples = self.gan.generator(self.latent, training=False)
        with tf.GradientTape() as tape:
            tape.watch(samples)
            # The loss is a mean over the points; times their number, each point has its own.
            loss = COUNT * self.gan.adversarial.generator(self.gan.discriminator(samples, training=False))
        return samples, -tape.gradient(loss, samples)

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32)])
    def _scores(self, x):
        scores = self.gan.discriminator(x, training=False)[:, 0]
        return ops.sigmoid(scores) if self.gan.adversarial.probabilities else scores

    def _measure(self):
        samples, push = (x.numpy() for x in self._samples())
        modes, share = self.data.coverage(samples)
        push = float(np.linalg.norm(push, axis=1).mean())
        for name, value in dict(step=self.step, modes=modes, share=share, push=push).items():
            self.history[name].append(value)

    def samples(self):
        """Return the generator's points float32 (2500, 2), of latent vectors that never change."""
        return self._samples()[0].numpy()

    def scores(self, x):
        """Return D at the points `x` (n, 2), float32 (n,): probabilities 'real', or raw scores."""
        return self._scores(tf.constant(x, tf.float32)).numpy()

    def grid(self, side=72):
        """Return the points float32 (side * side, 2) of the heat map, row by row from below."""
        line = np.linspace(-self.data.extent, self.data.extent, side, dtype="float32")
        return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)

    def look(self, side=72):
        """Return the `Look` of this moment; the heat map has `side` x `side` points."""
        samples, push = (x.numpy() for x in self._samples())
        scores = self.scores(self.grid(side)).reshape(side, side)
        middle = {"hinge": 0.0}.get(self.gan.adversarial.name, 0.5)
        if math.isinf(self.gan.adversarial.lowest):
            # A Wasserstein critic is free to add any number to all its scores: only differences mean something.
            middle = float(0.5 * (self.scores(self.data.sample(500)).mean() + self.scores(samples[:500]).mean()))
        return Look(samples, push, scores, middle)
