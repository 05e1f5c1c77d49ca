"""Training StyleGAN: the growing GAN with style mixing and an average of w."""

from dataclasses import dataclass

import keras
from keras import ops

from gan_course.backend import no_gradient
from gan_course.latent import sampling
from gan_course.models import stylegan
from gan_course.training.base import ABOVE_0, FROM_0, WHOLE, option, require
from gan_course.training.growing import GrowingGAN, ProGANConfig

AVERAGE_DECAY = 0.995  # of w, for a step
DISCRIMINATORS = ("light", "stylegan")


class StyleGAN(GrowingGAN):
    """A `GrowingGAN` of StyleGAN's networks (Karras et al. 2019).

    What differs from `GrowingGAN`:

    - Mixing regularisation (section 3.1): with the probability `mixing` the pictures of a step are drawn from two latent
      vectors each. The layers from a random one on, the same for the whole batch, take their w from the second. So a layer
      cannot count on the layers before it having the same face in mind.
    - The noise is new in every step.
    - Each generator keeps the average of its own w: the averaged generator that of the averaged mapping, for `Generator.map(psi=...)`.
    - The default loss is the non-saturating one with R1.
    """

    def __init__(self, generator, discriminator, schedule, *, mixing=0.9, name="stylegan", **options):
        require("mixing", mixing, (lambda value: 0 <= value <= 1, "a probability from 0 to 1"))
        options = dict(loss="non_saturating", gp_weight=0.0, drift=0.0, r1_gamma=10.0) | options
        super().__init__(generator, discriminator, schedule, name=name, **options)
        self.mixing = mixing

    def generate(self, latent, condition):
        generator = self.generator
        w = generator.map(latent)
        self._follow(generator, w[:, 0])
        if self.mixing and generator.count > 1:
            other = generator.map(self.draw(keras.random.normal, ops.shape(latent)))
            layer = ops.arange(len(generator.styled))[None, :, None]
            # One crossover for all replicas and pictures: 1 to count - 1; beyond the last layer where nothing is mixed.
            place = keras.random.randint((), 1, generator.count, seed=self.seeds)
            mixed = keras.random.uniform((), seed=self.seeds) < self.mixing
            w = ops.where(ops.logical_and(mixed, layer >= place), other, w)
        return generator.synthesize(w, generator.random_noise(ops.shape(latent)[0], self.draw))

    def _follow(self, generator, w):
        """Move a generator's average of w a little towards the mean of a batch."""
        with no_gradient():
            mean = ops.stop_gradient(ops.mean(w, axis=0))
            generator.average.assign(AVERAGE_DECAY * generator.average + (1 - AVERAGE_DECAY) * mean)

    def update_averages(self):
        average = self.ema_generator
        before = ops.copy(average.average)  # the mean over the weights is not of this mapping
        super().update_averages()
        with no_gradient():
            average.average.assign(before)
            latent = self.draw(keras.random.normal, (self.stage.batch_size, average.latent_dim))
            self._follow(average, average.map(latent)[:, 0])


@dataclass(frozen=True)
class StyleGANConfig(ProGANConfig):
    """The course's StyleGAN (lesson 06)."""

    model: str = "stylegan"
    # Weights of size 1 move slowly in a short training, and D must not lag behind (benchmarks/README.md).
    rate: float = option(8e-3, "Adam's learning rate of the generator", ABOVE_0, steered=True)
    ttur: float = option(2.0, "D's learning rate in multiples of --rate: two time scales", ABOVE_0, steered=True)
    mapping: int = option(4, "layers of the mapping network", WHOLE)
    style: str = option("adain", "how a style steers a layer: adain or modulated (StyleGAN2)")
    d_network: str = option(
        "light",
        "the discriminator: light, or stylegan (the paper's, which can grow)",
        (DISCRIMINATORS.__contains__, f"one of {', '.join(DISCRIMINATORS)}"),
    )
    mixing: float = option(0.9, "share of the steps in which two faces are mixed", FROM_0)
    spread: float = option(1.0, "standard deviation of the constant's first values; 0: ones, as in the paper", FROM_0)
    start: int = option(1024, "first resolution; from that of --resolution on the networks are not grown")

    def network(self):
        parts = dict(mapping=self.mapping, style=self.style, spread=self.spread)
        return stylegan.build_generator(self.resolution, self.latent_dim, self.base, self.max_width, **parts)

    def sample(self, network, count, seed=0, psi=1.0):
        """Return `count` pictures, uint8; psi: see `gan_course.models.stylegan.Generator.map`."""
        return sampling.generate(network, count, seed, draw=lambda z: network.synthesize(network.map(z, psi)))

    def discriminator(self):
        if self.d_network == "light":
            return stylegan.LightDiscriminator(self.resolution, self.base, 2 * self.max_width)
        return stylegan.build_discriminator(self.resolution, self.base, self.max_width)

    def trainer(self):
        gan = StyleGAN(self.network(), self.discriminator(), self.schedule(), mixing=self.mixing, **self.gan_options())
        gan.compile()
        return gan
