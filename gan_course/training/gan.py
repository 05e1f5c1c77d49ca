"""Two players, one `fit`: the training engine of the course's GANs, and the DCGAN's configuration."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import keras
from keras import ops

from gan_course import losses
from gan_course.backend import Tape, no_gradient, replicas
from gan_course.errors import CourseError
from gan_course.latent import sampling
from gan_course.models import dcgan
from gan_course.models.features import FeatureDiscriminator
from gan_course.training import augment as augmentation
from gan_course.training import classifier
from gan_course.training.base import ABOVE_0, COUNT, FROM_0, WHOLE, Config, Phase, Trainer, option, require

# Layers whose output for one picture does not depend on the others in the batch.
PER_PICTURE = [
    getattr(keras.layers, name)
    for name in "InputLayer Dense Conv2D Activation LeakyReLU ReLU Dropout Flatten Reshape".split()
]


def scores_each_picture_alone(part):
    """Return whether every part of a network is known to treat each picture on its own (one's own layers are not known)."""
    if type(part) is keras.Sequential:
        return all(map(scores_each_picture_alone, part.layers))
    if type(part).__name__ == "Functional":
        return all(map(scores_each_picture_alone, part.operations))
    if type(part) is keras.layers.SpectralNormalization:
        return scores_each_picture_alone(part.layer)
    return type(part) in PER_PICTURE


class Batch(NamedTuple):
    """What one step is about; a `Phase` computes its value from it."""

    real: object  # pictures, as the discriminator sees them
    fake: object
    latent: object
    condition: object  # None where the networks have none


class GAN(Trainer):
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
            With two inputs, [latent vectors, conditions], the GAN is conditional.
        discriminator: pictures (or points) -> scores (batch, 1), no sigmoid; of a conditional GAN [pictures, conditions].
        loss: 'non_saturating', 'minimax', 'least_squares', 'hinge' or 'wasserstein' (see `gan_course.losses`).
        smoothing: one-sided label smoothing (Salimans et al. 2016, section 3.4): the discriminator's target for
            real pictures is 1 - smoothing. For the two cross entropy losses only.
        instance_noise: standard deviation of the normal noise added to all that the discriminator sees
            (Soenderby et al. 2017), falling to 0 in a straight line over `noise_steps` steps (0: it stays).
        augment: ways to change all that the discriminator sees, such as 'translation,colour' (see
            `gan_course.training.augment`), each picture with the probability `augment_p`.
        r1_gamma: weight of the R1 penalty, gamma/2 * R1(x) (Mescheder et al. 2018); 0 leaves it out.
        r1_interval: compute R1 only every so many steps, with its weight multiplied by as many (see `Phase`).
        gp_weight: weight of WGAN-GP's penalty on lines between real and fake pictures (10 in the paper).
        drift: weight of E[D(x)^2], which keeps a Wasserstein critic's scores near 0 (Karras et al. 2018, appendix
            A.1: 0.001).
        clip: after each of its steps, clip the discriminator's weights to [-clip, clip] (Arjovsky et al. 2017).
        d_every, g_every: the discriminator moves on every `d_every`-th step, the generator on every `g_every`-th.
            WGAN's 'five critic steps' is g_every=5.
        d_first: steps at the beginning in which the discriminator learns alone. One that knows nothing yet would spoil a
            trained generator.
        ema_decay: decay of the averaged weights at the end of its ramp min(ema_decay, (1 + step) / (10 + step)).
        second: another discriminator that scores as well, such as `gan_course.models.features.FeatureDiscriminator`; it takes
            what the first takes. The losses are the means over both scores, and R1 is that of their sum.
        seed: of the latent vectors. The same seed, data and machine give the same weights on a CPU, as a rule bit for
            bit. (Of 15,614 pairs of short WGAN-GP trainings one differed, by 0.02; why is not known.) Another CPU or a
            GPU rounds differently.

    `fit` takes a dataset of pictures, or of (pictures, labels). A GAN without a condition ignores the labels. A
    conditional one trains on them: real pictures come with their own, and each fake is drawn for one of them.
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
        augment="",
        augment_p=1.0,
        r1_gamma=0.0,
        r1_interval=16,
        gp_weight=0.0,
        drift=0.0,
        clip=0.0,
        d_every=1,
        g_every=1,
        d_first=0,
        ema_decay=0.998,
        second=None,
        seed=0,
        name="gan",
    ):
        super().__init__(name=name)
        weights = dict(r1_gamma=r1_gamma, gp_weight=gp_weight, drift=drift, clip=clip, instance_noise=instance_noise)
        for option_name, value in weights.items():
            require(option_name, value, FROM_0)
        for option_name, value in dict(r1_interval=r1_interval, d_every=d_every, g_every=g_every).items():
            require(option_name, value, WHOLE)
        require("noise_steps", noise_steps, (lambda n: n >= 0, "a whole number of steps, or 0 for noise that stays"))
        require("d_first", d_first, COUNT)
        require("smoothing", smoothing, (lambda value: 0.0 <= value < 0.5, "a number from 0 (none) to below 0.5"))
        require("augment_p", augment_p, (lambda value: 0 <= value <= 1, "a probability from 0 to 1"))
        if min(d_every, g_every) > 1:
            raise CourseError(f"d_every is {d_every} and g_every is {g_every}; one of them must be 1.")
        if second is not None and gp_weight:
            raise CourseError(
                "WGAN-GP's penalty asks for one discriminator; set gp_weight to 0, or leave out the second."
            )
        self.adversarial = losses.adversarial_loss(loss)
        if smoothing and not self.adversarial.probabilities:
            raise CourseError(f"The loss {loss} has no labels to smooth; set smoothing to 0 or choose non_saturating.")
        self.generator = generator
        self.discriminator, self.second = discriminator, second
        self.latent_dim = sampling.latent_dim(generator)
        self.conditional = bool(sampling.condition_dim(generator))
        self.smoothing = smoothing
        self.instance_noise, self.noise_steps = instance_noise, noise_steps
        self.augment, self.augment_p = augmentation.names(augment), augment_p
        self.r1_gamma, self.drift, self.clip = r1_gamma, drift, clip
        self.d_every, self.g_every, self.d_first = d_every, g_every, d_first
        self.ema_generator = self.averaged_copy(generator)
        r1 = Phase("d", "r1", r1_interval, self.r1_weight, self.r1_value)
        gp = Phase("d", "gp", 1, lambda: gp_weight, self.gp_value)
        self.start(
            seed=seed,
            ema_decay=ema_decay,
            phases=[r1] * bool(r1_gamma) + [gp] * bool(gp_weight),
            metrics=("d_loss", "g_loss", "real", "fake"),
        )

    @property
    def players(self):
        return {"g": [self.generator], "d": [self.discriminator, *([self.second] if self.second else [])]}

    @property
    def averages(self):
        return [(self.ema_generator, self.generator)]

    @property
    def curves(self):
        title = "probability 'real'" if self.adversarial.probabilities else "score"
        return {"loss": {"d_loss": "D", "g_loss": "G"}, title: {"real": "D(x)", "fake": "D(G(z))"}}

    @property
    def lowest_d_loss(self):
        return self.adversarial.lowest

    @property
    def shares_backward(self):
        """Whether one backward pass through D serves both players.

        Both losses reach a fake picture through its score s alone: dL/dx = dL/ds * ds/dx. So G's gradient at the
        picture is D's times (dL_G/ds) / (dL_D/ds), one number per picture: no second pass for ds/dx. This holds
        where a score depends on its own picture only (no batch norm in D) or the ratio is the same for all scores
        ('wasserstein' and 'minimax': -1), for losses whose ratio is finite, and where both losses are
        scaled alike, where both players move, and D is one network. Elsewhere the tape is asked twice, with the same result but slower.
        """
        return (
            self.adversarial.ratio is not None
            and self.second is None
            and self.d_every == self.g_every == 1
            and not self.d_first
            and (self.adversarial.name in ("wasserstein", "minimax") or scores_each_picture_alone(self.discriminator))
            and not isinstance(self.d_optimizer, keras.optimizers.LossScaleOptimizer)
        )

    def call(self, inputs):
        """Return the averaged generator's pictures for latent vectors (batch, latent_dim), or [latent, condition]."""
        return self.ema_generator(inputs, training=False)

    def sample(self, count, seed=0):
        """Return `count` pictures of the averaged generator as bytes, the same latent vectors at every call."""
        return sampling.generate(self.ema_generator, count, seed)

    def train_step(self, data):
        real, condition = self.unpack(data)
        count = ops.shape(real)[0]
        if replicas()[0] > 1 and (self.d_every * self.g_every > 1 or self.d_first):
            raise CourseError("d_every and g_every must be 1, and d_first 0, where several replicas train together.")
        latent = self.draw(keras.random.normal, (count, self.latent_dim))
        real = self.seen(real)

        with Tape() as g_tape:
            fake = self.seen(self.generate(latent, condition))
        with Tape() as d_tape:
            d_tape.watch(fake)
            real_scores, fake_scores, *others = self.scores(real, fake, condition)
            d_loss, drift, g_loss = self.losses(real_scores, fake_scores, *others)
            d_scaled, g_scaled = self.scaled("d", d_loss + drift), self.scaled("g", g_loss)
        batch = Batch(real, fake, latent, condition)
        d_gradients, slope_at_fake = self._backward(d_tape, d_scaled, g_scaled, fake, fake_scores)

        def move_generator():
            gradients = g_tape.gradient(fake, self.weights_of("g"), slope_at_fake())
            self.apply("g", self.regularised("g", gradients, batch))
            self.update_averages()

        def move_discriminator():
            self.apply("d", self.regularised("d", d_gradients(), batch))
            self._clip()

        # Both players' gradients come from the weights before the step. The generator is first, since PyTorch changes
        # weights in place, and its gradient still passes through D.
        self.in_interval(self.g_every, move_generator, self.d_first)
        self.in_interval(self.d_every, move_discriminator)
        show = ops.sigmoid if self.adversarial.probabilities else ops.convert_to_tensor
        return self.logged(
            d_loss=d_loss, g_loss=g_loss, real=ops.mean(show(real_scores)), fake=ops.mean(show(fake_scores))
        )

    # --- the parts of a step, each to be replaced by a GAN of another kind -----------------------------------------

    def unpack(self, data):
        """Return (real pictures, their conditions or None) of a batch of the dataset."""
        pictures, *labels = data if isinstance(data, (tuple, list)) else (data,)
        if not self.conditional:
            return pictures, None
        if not labels:
            raise CourseError(
                "This GAN is conditional; train it on (pictures, conditions), such as faces(attributes=...)."
            )
        return pictures, labels[0]

    def generate(self, latent, condition):
        """Return G's pictures."""
        return self.generator(latent if condition is None else [latent, condition], training=True)

    def scores(self, real, fake, condition):
        """Return D's scores of the real pictures, of the fake ones, and what other scores `losses` wants."""
        return self.score(real, condition), self.score(fake, condition)

    def score(self, pictures, condition):
        """Return D's scores (batch, 1), with a second discriminator (batch, 2)."""
        seen = pictures if condition is None else [pictures, condition]
        return ops.concatenate([d(seen, training=True) for d in self.players["d"]], axis=-1)

    def losses(self, real_scores, fake_scores):
        """Return (D's loss, what is added to it and not logged, G's loss)."""
        d_loss = self.adversarial.discriminator(real_scores, fake_scores)
        if self.smoothing:  # -(1-s) log D - s log(1-D) = softplus(-score) + s * score
            d_loss += self.smoothing * ops.mean(real_scores)
        drift = self.drift * ops.mean(ops.square(real_scores)) if self.drift else 0.0
        return d_loss, drift, self.adversarial.generator(fake_scores)

    def seen(self, x):
        """Return what the discriminator sees of `x`: augmented, with instance noise of a size after the step's number."""
        x = augmentation.augment(x, self.augment, self.augment_p, self.draw)
        if not self.instance_noise:
            return x
        left = 1.0
        if self.noise_steps:
            left = ops.maximum(0.0, 1.0 - ops.cast(self.counter, "float32") / self.noise_steps)
        return x + self.instance_noise * left * self.draw(keras.random.normal, (ops.shape(x)[0], *x.shape[1:]))

    def r1_weight(self):
        return 0.5 * self.r1_gamma

    def r1_value(self, batch):
        """Return R1 of the real pictures."""
        return losses.r1_penalty(self.slope(batch.real, batch.condition))

    def gp_value(self, batch):
        """Return WGAN-GP's penalty, each picture at a random place between a real and a fake one."""
        place = self.draw(keras.random.uniform, (ops.shape(batch.real)[0],) + (1,) * (len(batch.real.shape) - 1))
        between = batch.real + place * (ops.stop_gradient(batch.fake) - batch.real)
        return losses.gradient_penalty(self.slope(between, batch.condition))

    def slope(self, pictures, condition):
        """Return the gradient of D's summed scores with respect to the pictures."""
        with Tape() as tape:
            tape.watch(pictures)
            score = ops.sum(self.score(pictures, condition))
        return tape.gradient(score, pictures)

    def _backward(self, tape, d_scaled, g_scaled, fake, fake_scores):
        """Return two functions: D's gradients, and how G's loss changes with each number of each picture."""
        weights = self.weights_of("d")
        if not self.shares_backward:
            return lambda: tape.gradient(d_scaled, weights), lambda: tape.gradient(g_scaled, fake)
        *d_gradients, slope = tape.gradient(d_scaled, [*weights, fake])
        ratio = ops.stop_gradient(self.adversarial.ratio(fake_scores))
        slope = slope * ops.reshape(ratio, (-1,) + (1,) * (len(fake.shape) - 1))
        return lambda: d_gradients, lambda: slope

    def _clip(self):
        if self.clip:
            with no_gradient():
                for weight in self.weights_of("d"):
                    weight.assign(ops.clip(weight, -self.clip, self.clip))


@dataclass(frozen=True)
class GANConfig(Config):
    """What the trainings of two players share. The defaults are those of the DCGAN: `benchmarks/recipe_search.py`."""

    latent_dim: int = option(64, "numbers in a latent vector", WHOLE)
    width: int = option(32, "channels at half the resolution; they double downwards", WHOLE)
    max_width: int = option(256, "most channels of any layer", WHOLE)
    rate: float = option(5e-4, "Adam's learning rate, both players", ABOVE_0, steered=True)
    ttur: float = option(1.0, "D's learning rate in multiples of --rate: two time scales", ABOVE_0, steered=True)
    loss: str = option("non_saturating", f"one of {', '.join(losses.LOSSES)}")
    # Cartoons: better, above all in a short training. On photographs a long run was stable with 2
    # (benchmarks/README.md).
    r1_gamma: float = option(2.0, "weight of the R1 penalty; 0: without", FROM_0, cartoons=10.0, steered=True)
    r1_interval: int = option(16, "steps between two R1 penalties", WHOLE)
    gp_weight: float = option(0.0, "weight of WGAN-GP's penalty, 10 in its paper; 0: without", FROM_0)
    drift: float = option(0.0, "weight of the mean squared score of real faces (ProGAN: 0.001)", FROM_0)
    g_every: int = option(1, "discriminator steps for one step of the generator", WHOLE)
    d_first: int = option(
        0, "steps at the beginning in which the discriminator learns alone, after --start-from NAME", COUNT
    )
    ema_decay: float = option(0.999, "decay of the averaged weights")
    augment: str = option("", "changes to all that the discriminator sees, such as translation,colour,cutout")
    augment_p: float = option(1.0, "probability of each change", FROM_0, steered=True)
    steering: str = option(
        "none",
        "attribute network through which a second discriminator looks: a name, a folder, none; auto: that of the cartoons or CelebA",
    )

    @classmethod
    def recipe(cls, **chosen):
        config = super().recipe(**chosen)
        return replace(config, steering=classifier.steering_for(config.data)) if config.steering == "auto" else config

    def network(self):
        """Return an untrained generator."""
        raise NotImplementedError

    def discriminator(self):
        """Return an untrained discriminator."""
        raise NotImplementedError

    def second(self, condition_dim=0):
        """Return the second discriminator, or None where there is no `steering`."""
        if self.steering == "none":
            return None
        network = classifier.attribute_network(self.steering)[0]
        return FeatureDiscriminator(network, self.resolution, condition_dim=condition_dim)

    def gan_options(self):
        """Return the arguments of `GAN` that are hyperparameters, and the second discriminator."""
        names = ("loss", "r1_gamma", "r1_interval", "gp_weight", "drift", "g_every", "d_first", "ema_decay", "seed")
        names += ("augment", "augment_p")
        return {name: getattr(self, name) for name in names} | {"second": self.second()}

    def trainer(self):
        gan = GAN(self.network(), self.discriminator(), **self.gan_options())
        gan.compile(*(keras.optimizers.Adam(self.rate_of(player), beta_1=0.0, beta_2=0.99) for player in "gd"))
        return gan

    def rate_of(self, player):
        return self.rate * (self.ttur if player == "d" else 1.0)


@dataclass(frozen=True)
class DCGANConfig(GANConfig):
    """The course's DCGAN (lesson 02)."""

    model: str = "dcgan"
    blocks: int = option(0, "residual blocks of G at each size; put them into a trained one, by --start-from", COUNT)

    def network(self):
        return dcgan.build_generator(self.resolution, self.latent_dim, self.width, self.max_width, self.blocks)

    def discriminator(self):
        return dcgan.build_discriminator(self.resolution, self.width, self.max_width)
