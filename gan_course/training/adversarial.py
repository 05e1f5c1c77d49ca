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
    if type(part) is keras.layers.SpectralNormalization:
        return _per_picture(part.layer)
    return type(part) in PER_PICTURE


class GAN(keras.Model):
    """A generator and a discriminator that train against each other by plain `fit`.

    One step, on a batch of real pictures x and latent vectors z ~ N(0, I) (Goodfellow et al. 2014, algorithm 1,
    with one step of each player, both from the same weights):

        fake   = G(z)                                   one generator pass, shared by both losses (and, where
                                                        it can be, one backward pass: see `shares_backward`)
        d_loss = L_D(D(x), D(fake)) + penalties         its gradient moves D
        g_loss = L_G(D(fake))                           its gradient moves G
        ema    = ema + (1 - decay) * (G - ema)          the averaged generator, used to look

    Arguments:
        generator: (batch, latent_dim) -> pictures (batch, height, width, channels) in [-1, 1], or points (batch, 2).
        discriminator: pictures (or points) -> scores (batch, 1), no sigmoid.
        loss: 'non_saturating', 'minimax', 'least_squares', 'hinge' or 'wasserstein' (see `gan_course.losses`).
        smoothing: one-sided label smoothing (Salimans et al. 2016, section 3.4): the discriminator's target for
            real pictures is 1 - smoothing. For the two cross entropy losses only.
        instance_noise: standard deviation of the normal noise added to all that the discriminator sees
            (Soenderby et al. 2017), falling to 0 in a straight line over `noise_steps` steps (0: it stays).
        r1_gamma: weight of the R1 penalty, gamma/2 * R1(x) (Mescheder et al. 2018); 0 leaves it out.
        r1_interval: compute R1 only every so many steps, with its weight multiplied by as many
            ('lazy regularisation', Karras et al. 2020, section 2.2): nearly the same effect, much cheaper.
        gp_weight: weight of WGAN-GP's penalty on lines between real and fake pictures (10 in the paper).
        drift: weight of E[D(x)^2], which keeps a Wasserstein critic's scores near 0 (Karras et al. 2018, appendix
            A.1: 0.001).
        clip: after each of its steps, clip the discriminator's weights to [-clip, clip] (Arjovsky et al. 2017).
        d_every, g_every: the discriminator moves on every `d_every`-th step, the generator on every `g_every`-th.
            WGAN's 'five critic steps' is g_every=5.
        ema_decay: decay of the averaged weights at the end of its ramp min(ema_decay, (1 + step) / (10 + step)).
        seed: of the latent vectors. The same seed, data and machine give the same weights bit for bit on a CPU;
            another CPU or a GPU may round differently.

    `fit` takes a dataset of pictures, or of (pictures, labels), whose labels are ignored here.
    Metrics: `d_loss` (without the penalties), `g_loss`, `real` and `fake` (the mean of D(x) and D(G(z)) as
    probabilities, or as raw scores for the losses that have none), and `r1` and `gp` where they are used.

    Works under `tf.distribute.MirroredStrategy` (each replica takes its own slice of one draw of latent vectors,
    so two replicas make the update of one replica with the joined batch) and with a mixed precision policy.
    """

    def __init__(
        self,
        generator,
        discriminator,
        *,
        loss="non_saturating",
        smoothing=0.0,
        instance_noise=0.0,
        noise_steps=0,
        r1_gamma=0.0,
        r1_interval=16,
        gp_weight=0.0,
        drift=0.0,
        clip=0.0,
        d_every=1,
        g_every=1,
        ema_decay=0.998,
        seed=0,
        name="gan",
    ):
        super().__init__(name=name)
        weights = dict(r1_gamma=r1_gamma, gp_weight=gp_weight, drift=drift, clip=clip, instance_noise=instance_noise)
        for option, value in weights.items():
            if not 0.0 <= value < math.inf:
                raise CourseError(f"{option} is {value}; give a number from 0 (without it) on.")
        for option, value in (("r1_interval", r1_interval), ("d_every", d_every), ("g_every", g_every)):
            if value < 1:
                raise CourseError(f"{option} is {value}; give a whole number of steps, 1 or more.")
        if min(d_every, g_every) > 1:
            raise CourseError(f"d_every is {d_every} and g_every is {g_every}; one of them must be 1.")
        if noise_steps < 0:
            raise CourseError(f"noise_steps is {noise_steps}; give a whole number of steps, or 0 for noise that stays.")
        if not 0.0 <= ema_decay < 1.0:
            raise CourseError(f"ema_decay is {ema_decay}; give a number from 0 (no averaging) to below 1.")
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = generator.input_shape[-1]
        self.adversarial = losses.adversarial_loss(loss)
        if not 0.0 <= smoothing < 0.5:
            raise CourseError(f"smoothing is {smoothing}; give a number from 0 (none) to below 0.5.")
        if smoothing and not self.adversarial.probabilities:
            raise CourseError(f"The loss {loss} has no labels to smooth; set smoothing to 0 or choose non_saturating.")
        self.smoothing = smoothing
        self.instance_noise, self.noise_steps = instance_noise, noise_steps
        self.r1_gamma = r1_gamma
        self.r1_interval = r1_interval
        self.gp_weight, self.drift, self.clip = gp_weight, drift, clip
        self.d_every, self.g_every = d_every, g_every
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
        means = ["d_loss", "g_loss", "real", "fake"] + ["r1"] * bool(r1_gamma) + ["gp"] * bool(gp_weight)
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
        where a score depends on its own picture only (no batch norm in D) or the ratio is the same for all scores
        ('wasserstein' and 'minimax': -1), for losses whose ratio is finite, and where both losses are
        scaled alike, and where both players move. Elsewhere the tape is asked twice, with the same result but slower.
        """
        return (
            self.adversarial.ratio is not None
            and self.d_every == self.g_every == 1
            and (self.adversarial.name in ("wasserstein", "minimax") or _per_picture(self.discriminator))
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
        if replicas > 1 and self.d_every * self.g_every > 1:
            raise CourseError("d_every and g_every must be 1 where several replicas train together.")
        latent = self._draw(keras.random.normal, (ops.shape(real)[0], self.latent_dim), replicas)
        generator_weights = self.generator.trainable_variables
        discriminator_weights = self.discriminator.trainable_variables
        real = self._noisy(real, replicas)

        with tf.GradientTape() as g_tape:
            fake = self._noisy(self.generator(latent, training=True), replicas)
        # persistent: the tape is asked twice, once for each player.
        with tf.GradientTape(persistent=True) as d_tape:
            d_tape.watch(fake)
            real_scores = self.discriminator(real, training=True)
            fake_scores = self.discriminator(fake, training=True)
            d_loss = self.adversarial.discriminator(real_scores, fake_scores)
            if self.smoothing:  # -(1-s) log D - s log(1-D) = softplus(-score) + s * score
                d_loss += self.smoothing * ops.mean(real_scores)
            g_loss = self.adversarial.generator(fake_scores)
            drift = self.drift * ops.mean(ops.square(real_scores)) if self.drift else 0.0
            # Optimisers *sum* the replicas' gradients; each replica's loss is a mean over its share.
            d_scaled = self.d_optimizer.scale_loss((d_loss + drift) / replicas)
            g_scaled = self.g_optimizer.scale_loss(g_loss / replicas)
        if self.shares_backward:
            *d_gradients, slope = d_tape.gradient(d_scaled, [*discriminator_weights, fake])
            ratio = self.adversarial.ratio(fake_scores)
            slope = slope * ops.reshape(ratio, (-1,) + (1,) * (len(fake.shape) - 1))
        else:
            d_gradients = slope = None

        def move_discriminator():
            gradients = d_gradients or d_tape.gradient(d_scaled, discriminator_weights)
            if self.r1_gamma:
                gradients = self._add_r1(gradients, real, replicas)
            if self.gp_weight:
                place = self._draw(keras.random.uniform, (ops.shape(real)[0],) + (1,) * (len(real.shape) - 1), replicas)
                between = real + place * (ops.stop_gradient(fake) - real)
                gradients = self._add("gp", losses.gradient_penalty, self.gp_weight, gradients, between, replicas)
            self.d_optimizer.apply(gradients, discriminator_weights)
            if self.clip:
                for weight in discriminator_weights:
                    weight.assign(ops.clip(weight, -self.clip, self.clip))

        def move_generator():
            # How G's loss changes with each number of each picture.
            at_fake = d_tape.gradient(g_scaled, fake) if slope is None else slope
            self.g_optimizer.apply(g_tape.gradient(fake, generator_weights, at_fake), generator_weights)
            self._update_average()

        # Both players' gradients come from the weights before the step: what moves second has them already,
        # since the tapes keep what the forward pass computed.
        self._every(self.d_every, move_discriminator)
        self._every(self.g_every, move_generator)
        self.counter.assign_add(1)

        show = ops.sigmoid if self.adversarial.probabilities else ops.convert_to_tensor
        self.means["d_loss"].update_state(d_loss)
        self.means["g_loss"].update_state(g_loss)
        self.means["real"].update_state(ops.mean(show(real_scores)))
        self.means["fake"].update_state(ops.mean(show(fake_scores)))
        return {metric.name: metric.result() for metric in self.metrics}

    def _every(self, steps, move):
        if steps == 1:
            return move()
        return tf.cond(self.counter.value % steps == 0, lambda: (move(), 0)[1], lambda: 0)

    def _draw(self, distribution, shape, replicas):
        # All replicas draw the same numbers and take their own rows: no two see the same latent vector.
        batch, *rest = shape
        numbers = distribution((batch * replicas, *rest), seed=self.seeds)
        if replicas == 1:
            return numbers
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * batch
        return numbers[first : first + batch]

    def _noisy(self, x, replicas):
        """Return what the discriminator sees of `x`: instance noise added, its size after the step's number."""
        if not self.instance_noise:
            return x
        left = 1.0
        if self.noise_steps:
            left = ops.maximum(0.0, 1.0 - ops.cast(self.counter, "float32") / self.noise_steps)
        return x + self.instance_noise * left * self._draw(
            keras.random.normal, (ops.shape(x)[0], *x.shape[1:]), replicas
        )

    def _gamma(self):
        return self.r1_gamma

    def _add_r1(self, gradients, real, replicas):
        """Add the gradient of gamma/2 * R1 to the discriminator's, every `r1_interval`-th step."""
        weight = 0.5 * self._gamma() * self.r1_interval

        def penalised():
            return self._add("r1", losses.r1_penalty, weight, gradients, real, replicas)

        if self.r1_interval == 1:
            return penalised()
        return tf.cond(self.counter.value % self.r1_interval == 0, penalised, lambda: list(gradients))

    def _add(self, name, penalty, weight, gradients, x, replicas):
        """Add the gradient of weight * penalty(slope of D at x) to the discriminator's gradients."""
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                score = ops.sum(self.discriminator(x, training=True))
            value = penalty(inner.gradient(score, x))
            scaled = self.d_optimizer.scale_loss(value * (weight / replicas))
        extra = outer.gradient(scaled, self.discriminator.trainable_variables)
        self.means[name].update_state(value)
        # The last layer's bias does not change the slope: its gradient is None.
        return [a if b is None else a + b for a, b in zip(gradients, extra, strict=True)]

    def _update_average(self):
        # Batch norm's moving statistics are averaged too: they belong to the weights of their time.
        for average, weight, age in zip(self.ema_generator.weights, self.generator.weights, self._ages(), strict=True):
            if "float" in weight.dtype:
                decay = ops.minimum(self.ema_decay, (1.0 + age) / (10.0 + age))
                average.assign(average + (1.0 - decay) * (weight - average))
            else:
                average.assign(weight)

    def _ages(self):
        """Return for each of the generator's weights for how many steps it has learned; here it is the same for all."""
        return [ops.cast(self.counter, "float32")] * len(self.generator.weights)

    def settle(self):
        """Bring up to date what follows from the step; called after a checkpoint was loaded. Nothing in this class."""

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
