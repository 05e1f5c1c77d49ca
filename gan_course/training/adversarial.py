"""Two players, one `fit`: the training engine of the course."""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from gan_course import losses
from gan_course.errors import CourseError

# Layers whose output for one picture does not depend on the others in the batch.
PER_PICTURE = (
    keras.layers.InputLayer,
    keras.layers.Dense,
    keras.layers.Conv2D,
    keras.layers.Activation,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Reshape,
)


def _per_picture(part):
    """Whether every part of a network is known to treat each picture on its own (a class of one's own is not known)."""
    if type(part) is keras.Sequential:
        return all(map(_per_picture, part.layers))
    if type(part).__name__ == "Functional":
        return all(map(_per_picture, part.operations))
    return type(part) in PER_PICTURE


class GAN(keras.Model):
    """A generator and a discriminator that train against each other by plain `fit`.

    One step, on a batch of real pictures x and latent vectors z ~ N(0, I) (Goodfellow et al. 2014, algorithm 1,
    with one step of each player, both from the same weights):

        fake   = G(z)                                   one generator pass, shared by both losses (and, where
                                                        it can be, one backward pass: see `shares_backward`)
        d_loss = L_D(D(x), D(fake)) + gamma/2 * R1(x)   its gradient moves D
        g_loss = L_G(D(fake))                           its gradient moves G
        ema    = ema + (1 - decay) * (G - ema)          the averaged generator, used to look

    Arguments:
        generator: (batch, latent_dim) -> pictures (batch, height, width, channels) in [-1, 1].
        discriminator: pictures -> scores (batch, 1), no sigmoid.
        loss: 'non_saturating', 'minimax', 'least_squares' or 'hinge' (see `gan_course.losses`).
        r1_gamma: weight of the R1 penalty (Mescheder et al. 2018); 0 leaves it out.
        r1_interval: compute R1 only every so many steps, with its weight multiplied by as many
            ('lazy regularisation', Karras et al. 2020, section 2.2): nearly the same effect, much cheaper.
        ema_decay: decay of the averaged weights at the end of its ramp min(ema_decay, (1 + step) / (10 + step)).
        seed: of the latent vectors. The same seed, data and machine give the same weights bit for bit on a CPU;
            another CPU or a GPU may round differently.

    `fit` takes a dataset of pictures, or of (pictures, labels), whose labels are ignored here.
    Metrics: `d_loss` (without the penalty), `g_loss`, `real` and `fake` (the mean of D(x) and D(G(z)) as
    probabilities, or as raw scores for the losses that have none), and `r1` where it is used.

    Works under `tf.distribute.MirroredStrategy` (each replica takes its own slice of one draw of latent vectors,
    so two replicas make the update of one replica with the joined batch) and with a mixed precision policy.
    """

    def __init__(
        self,
        generator,
        discriminator,
        *,
        loss="non_saturating",
        r1_gamma=0.0,
        r1_interval=16,
        ema_decay=0.998,
        seed=0,
        name="gan",
    ):
        super().__init__(name=name)
        if not 0.0 <= r1_gamma < math.inf:
            raise CourseError(f"r1_gamma is {r1_gamma}; give a number from 0 (no penalty) on.")
        if r1_interval < 1:
            raise CourseError(f"r1_interval is {r1_interval}; give a whole number of steps, 1 or more.")
        if not 0.0 <= ema_decay < 1.0:
            raise CourseError(f"ema_decay is {ema_decay}; give a number from 0 (no averaging) to below 1.")
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = generator.input_shape[-1]
        self.adversarial = losses.adversarial_loss(loss)
        self.r1_gamma = r1_gamma
        self.r1_interval = r1_interval
        self.ema_decay = ema_decay
        self.seeds = keras.random.SeedGenerator(seed)
        # Same weights, but never trained: only averaged.
        self.ema_generator = keras.models.clone_model(generator)
        self.ema_generator.set_weights(generator.get_weights())
        self.ema_generator.trainable = False
        # Replicas count the same steps, so the first one's count is everyone's.
        self.counter = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, aggregation="only_first_replica", name="step"
        )
        means = ["d_loss", "g_loss", "real", "fake"] + (["r1"] if r1_gamma else [])
        self.means = {key: keras.metrics.Mean(name=key) for key in means}
        self.built = True

    def compile(self, g_optimizer=None, d_optimizer=None, *, jit_compile=False, **kwargs):
        """Set one optimiser per player. Default: Adam 5e-4 with betas (0, 0.99).

        `jit_compile=True` asks XLA to compile the step. On a GPU it helps; on CPUs it depends on the
        processor (see `benchmarks/`), so it is off unless asked for. XLA has its own random numbers: with it, the
        same seed gives other latent vectors.
        """
        super().compile(optimizer=None, jit_compile=jit_compile, **kwargs)
        self.g_optimizer = self._prepared(g_optimizer, self.generator)
        self.d_optimizer = self._prepared(d_optimizer, self.discriminator)

    def _prepared(self, optimizer, network):
        optimizer = optimizer or keras.optimizers.Adam(5e-4, beta_1=0.0, beta_2=0.99)
        half = keras.mixed_precision.dtype_policy().compute_dtype == "float16"
        if half and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # Small float16 gradients would round to zero.
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(network.trainable_variables)
        return optimizer

    @property
    def step(self):
        """The training steps taken so far, a whole number."""
        return int(np.asarray(self.counter))  # int() alone fails on a variable with replicas

    @property
    def shares_backward(self):
        """Whether one backward pass through D serves both players.

        Both losses reach a fake picture through its score s alone: dL/dx = dL/ds * ds/dx. So G's gradient at the
        picture is D's times (dL_G/ds) / (dL_D/ds), one number per picture: no second pass for ds/dx. This holds
        where a score depends on its own picture only (no batch norm in D), for losses whose ratio is finite, and
        where both losses are scaled alike. Elsewhere the tape is asked twice, with the same result but slower.
        """
        return (
            self.adversarial.ratio is not None
            and _per_picture(self.discriminator)
            and not isinstance(self.d_optimizer, keras.optimizers.LossScaleOptimizer)
        )

    @property
    def metrics(self):
        # Listed here so that Keras resets them at the start of every epoch.
        return list(self.means.values())

    def fit(self, x=None, *args, **kwargs):
        """Train, as `keras.Model.fit`. A dataset shuffles itself, so Keras is not asked to (it would warn).

        The endless datasets of `gan_course.data.pipeline.faces` know the length of their epoch.
        """
        kwargs.setdefault("shuffle", isinstance(x, np.ndarray))
        kwargs.setdefault("steps_per_epoch", getattr(x, "steps_per_epoch", None))
        return super().fit(x, *args, **kwargs)

    def call(self, latent):
        """Return the averaged generator's pictures for latent vectors (batch, latent_dim)."""
        return self.ema_generator(latent, training=False)

    def train_step(self, data):
        real = data[0] if isinstance(data, (tuple, list)) else data
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        latent = self._latent(ops.shape(real)[0], replicas)
        generator_weights = self.generator.trainable_variables
        discriminator_weights = self.discriminator.trainable_variables

        with tf.GradientTape() as g_tape:
            fake = self.generator(latent, training=True)
        # persistent: the tape is asked twice, once for each player.
        with tf.GradientTape(persistent=True) as d_tape:
            d_tape.watch(fake)
            real_scores = self.discriminator(real, training=True)
            fake_scores = self.discriminator(fake, training=True)
            d_loss = self.adversarial.discriminator(real_scores, fake_scores)
            g_loss = self.adversarial.generator(fake_scores)
            # Optimisers *sum* the replicas' gradients; each replica's loss is a mean over its share.
            d_scaled = self.d_optimizer.scale_loss(d_loss / replicas)
            g_scaled = self.g_optimizer.scale_loss(g_loss / replicas)
        if self.shares_backward:
            *d_gradients, slope = d_tape.gradient(d_scaled, [*discriminator_weights, fake])
            ratio = self.adversarial.ratio(fake_scores)
            slope = slope * ops.reshape(ratio, (-1,) + (1,) * (len(fake.shape) - 1))
        else:
            d_gradients = d_tape.gradient(d_scaled, discriminator_weights)
            slope = d_tape.gradient(g_scaled, fake)  # how G's loss changes with each pixel
        del d_tape
        g_gradients = g_tape.gradient(fake, generator_weights, output_gradients=slope)

        if self.r1_gamma:
            d_gradients = self._add_r1(d_gradients, real, replicas)
        self.d_optimizer.apply(d_gradients, discriminator_weights)
        self.g_optimizer.apply(g_gradients, generator_weights)
        self._update_average()
        self.counter.assign_add(1)

        show = ops.sigmoid if self.adversarial.probabilities else ops.convert_to_tensor
        self.means["d_loss"].update_state(d_loss)
        self.means["g_loss"].update_state(g_loss)
        self.means["real"].update_state(ops.mean(show(real_scores)))
        self.means["fake"].update_state(ops.mean(show(fake_scores)))
        return {metric.name: metric.result() for metric in self.metrics}

    def _latent(self, batch, replicas):
        # All replicas draw the same numbers and take their own rows: no two see the same latent vector.
        latent = keras.random.normal((batch * replicas, self.latent_dim), seed=self.seeds)
        if replicas == 1:
            return latent
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * batch
        return latent[first : first + batch]

    def _add_r1(self, gradients, real, replicas):
        """Add the gradient of gamma/2 * R1 to the discriminator's, every `r1_interval`-th step."""
        weights = self.discriminator.trainable_variables

        def penalised():
            with tf.GradientTape() as outer:
                with tf.GradientTape() as inner:
                    inner.watch(real)
                    score = ops.sum(self.discriminator(real, training=True))
                penalty = losses.r1_penalty(inner.gradient(score, real))
                loss = penalty * (0.5 * self.r1_gamma * self.r1_interval / replicas)
                scaled = self.d_optimizer.scale_loss(loss)
            extra = outer.gradient(scaled, weights)
            self.means["r1"].update_state(penalty)
            # The last layer's bias does not change the slope: its gradient is None.
            return [a if b is None else a + b for a, b in zip(gradients, extra, strict=True)]

        if self.r1_interval == 1:
            return penalised()
        return tf.cond(self.counter.value % self.r1_interval == 0, penalised, lambda: list(gradients))

    def _update_average(self):
        step = ops.cast(self.counter, "float32")
        decay = ops.minimum(self.ema_decay, (1.0 + step) / (10.0 + step))
        # Batch norm's moving statistics are averaged too: they belong to the weights of their time.
        for average, weight in zip(self.ema_generator.weights, self.generator.weights, strict=True):
            if "float" in weight.dtype:
                average.assign(average + (1.0 - decay) * (weight - average))
            else:
                average.assign(weight)

    def state(self):
        """Return every variable that training changes, in a fixed order, for checkpoints.

        Both players, the average, both optimisers, the random state and the step.
        """
        networks = [self.generator, self.discriminator, self.ema_generator]
        return (
            [v for network in networks for v in network.variables]
            + list(self.g_optimizer.variables)
            + list(self.d_optimizer.variables)
            + [self.seeds.state, self.counter]
        )
