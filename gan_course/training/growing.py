"""Progressive growing: the schedule of levels, and the training engine that follows it (Karras et al. 2018).

    schedule = Schedule(64)
    gan = GrowingGAN(progan.build_generator(64), progan.build_discriminator(64), schedule)
    gan.compile()
    gan.fit(scheduled_faces("data/toon", schedule), epochs=...)

All that a stage decides is a function of the step alone: level, alpha, batch size and rate. So a training that is
resumed at step k goes on with the very pictures, the very alpha and the same compiled arithmetic.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import keras
from keras import ops

from gan_course.backend import of_batch_size, replicas
from gan_course.data import pipeline
from gan_course.errors import CourseError
from gan_course.layers import blend, downsample, upsample
from gan_course.models import progan
from gan_course.training.base import ABOVE_0, FROM_0, WHOLE, option
from gan_course.training.gan import GAN, GANConfig

# The paper's, for one GPU (the values of its second code release): from which resolution on which value holds.
PAPER_BATCHES = {4: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}
PAPER_RATES = {4: 1e-3, 1024: 1.5e-3}


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one level, one batch size and one rate.

    first_step, first_image: how many steps were taken and pictures shown before it. steps: its length; the last stage
    goes on for as long as one trains. images: its nominal length in pictures (its steps may show a part of a batch more).
    """

    level: int
    fading: bool
    batch_size: int
    rate: float
    first_step: int
    first_image: int
    steps: int
    images: int

    @property
    def resolution(self):
        return 2**self.level


class Schedule:
    """Which level is trained when, counted in pictures shown to the discriminator.

    The first level is trained for `stable` pictures. Each further one is faded in over `fade` pictures and then trained
    for `stable` (Karras et al. 2018, appendix A: 800,000 each; 600,000 in its second code release). In step i of a
    fade, counted from 0,

        alpha = i * batch_size / fade

    and in all other steps alpha = 1. A stage takes as many whole batches as it needs, the last one overlapping its end.

    fade, stable, batch_size, rate: one number for all levels, or {resolution: value}, each value from this resolution on:
        {4: 64, 32: 32, 64: 16} gives 64 up to 16x16, 32 at 32x32 and 16 from 64x64 on. fade=0 leaves the fade out. Choose
        batch sizes that 4 divides (see `gan_course.layers.MinibatchStdDev`).
    start: the first resolution. With `start=resolution` there is one stage only: the same networks, not grown.
    """

    def __init__(self, resolution, fade=600_000, stable=600_000, batch_size=PAPER_BATCHES, rate=PAPER_RATES, start=4):
        for value in (resolution, start):
            if value not in (powers := [2**level for level in range(2, 11)]):
                raise CourseError(f"The schedule has the resolution {value}; choose one of {powers}.")
        if start > resolution:
            raise CourseError(f"The schedule starts at {start}, above its resolution {resolution}; give less.")
        self.resolution = resolution
        self.stages = []
        step = image = 0
        for level in range(int(math.log2(start)), int(math.log2(resolution)) + 1):
            values = [_at(value, 2**level) for value in (batch_size, rate, fade, stable)]
            size, speed, *lengths = values
            if size != int(size) or size < 1 or not 0 < speed < math.inf or min(lengths) < 0 or not lengths[1]:
                raise CourseError(
                    f"The schedule at {2**level} has batch_size {size}, rate {speed}, fade {lengths[0]} and stable "
                    f"{lengths[1]}; give a whole number, a number above 0, 0 or more pictures, and 1 or more."
                )
            for fading, images in zip((True, False), map(int, lengths), strict=True):
                if fading and (not images or 2**level == start):
                    continue
                steps = math.ceil(images / size)
                self.stages.append(Stage(level, fading, int(size), float(speed), step, image, steps, images))
                step, image = step + steps, image + steps * int(size)
        self.steps = step  # to the nominal end

    def stage_at(self, step):
        """Return the `Stage` of the step after `step` steps."""
        return max((s for s in self.stages if s.first_step <= step), key=lambda s: s.first_step)

    def alpha_at(self, step):
        """Return alpha in the step after `step` steps, a float from 0 to 1."""
        stage = self.stage_at(step)
        return (step - stage.first_step) * stage.batch_size / stage.images if stage.fading else 1.0

    def images_at(self, step):
        """Return how many pictures `step` steps have shown."""
        stage = self.stage_at(step)
        return stage.first_image + (step - stage.first_step) * stage.batch_size


def _at(value, resolution):
    """Return a number, or the value of the largest key of a mapping that is not above `resolution`."""
    if not isinstance(value, Mapping):
        return value
    below = [key for key in value if key <= resolution]
    if not below:
        raise CourseError(f"The schedule has no value at the resolution {resolution}; add one for it or below.")
    return value[max(below)]


def scheduled_faces(folder, schedule, *, start_step=0, epoch=200, **options):
    """Return the endless dataset of a schedule: float32 (batch, resolution, resolution, 3) in [-1, 1].

    The batch at step k has the size of its stage; all are of the last resolution (`GrowingGAN` makes them smaller). The
    n-th picture shown is a function of the seed and n: `start_step=k` goes on exactly where k steps have ended.

    `epoch`: steps of what `fit` calls an epoch. `options`: those of `gan_course.data.pipeline.faces`, such as `seed`,
    `mirror`, `part`, `attributes` and `limit`.
    """
    sizes = [(s.first_image, s.batch_size) for s in schedule.stages]
    first = schedule.images_at(start_step)
    return pipeline.faces_in_stages(folder, schedule.resolution, sizes, first, steps_per_epoch=epoch, **options)


def _first_steps(generator, schedule):
    """Return for each of the generator's weights the step at which its level comes."""
    steps = {}
    for stage in schedule.stages:
        for layer in generator.grow(stage.level).layers_in_use():
            steps |= {id(weight): stage.first_step for weight in layer.weights if id(weight) not in steps}
    return [steps.get(id(weight), 0) for weight in generator.weights]


class GrowingGAN(GAN):
    """A `GAN` of two networks that grow by a `Schedule`; trained by plain `fit` with a dataset of `scheduled_faces`.

    What differs from `GAN`:

    - Each step works at its stage's level. Pictures come at the last resolution and are averaged down to the level's, and
      faded as the generator's are: x = (1 - alpha) * up(down(x)) + alpha * x. Otherwise D would know real pictures by
      their sharpness.
    - Each stage has one compiled step of its own, traced once: alpha is a variable. `traces` counts
      (under PyTorch nothing is compiled, and each step counts).
    - When a stage begins, both optimisers forget (their averages and counts become 0), as in the paper's code: what they
      knew of the gradients' size was of another network. The rates are the schedule's.
    - The default loss is WGAN-GP with drift (appendix A.1). For the non-saturating loss with R1, give
      loss='non_saturating', gp_weight=0, drift=0, r1_gamma=... . That gamma is the last level's; a level below has a
      quarter of it, and so on: the same slopes count alike on few pixels and on many.
    - The averaged generator draws at the level and alpha of the step, as pictures of the full resolution (`full_size`).
      The average's ramp (see `GAN`: ema_decay) begins anew for the layers of each new level. The paper's code has none,
      and needs none in its long fades: without it the random first weights of new layers stay in the average for
      thousands of steps, and its pictures are grey or tinted even where G's own are not.

    - ttur: D's rate in multiples of the schedule's (two time scales, Heusel et al. 2017, section 2).

    The logs also hold `resolution` and `alpha`, those of an epoch's last step. `steps_per_execution` must be 1.
    """

    def __init__(self, generator, discriminator, schedule, *, ttur=1.0, name="growing_gan", **options):
        sizes = generator.resolution, discriminator.resolution, schedule.resolution
        if len(set(sizes)) > 1:
            raise CourseError(f"Generator, discriminator and schedule are for {sizes} pixels; build all for one size.")
        self.first_steps = _first_steps(generator, schedule)
        options = dict(loss="wasserstein", gp_weight=10.0, drift=1e-3, ema_decay=0.999) | options
        super().__init__(generator.grow(), discriminator.grow(), name=name, **options)
        self.ema_generator.full_size = True
        self.schedule, self.stage, self.traces, self.ttur = schedule, None, {}, ttur
        # Alpha for the compiled step. (Computed there it would need float64, which Apple's GPUs lack.)
        self.fade = self.add_weight(
            shape=(),
            dtype="float32",
            initializer="ones",
            trainable=False,
            aggregation="only_first_replica",
            name="fade",
        )

    def default_optimizer(self):
        """Return Adam with betas (0, 0.99) and epsilon 1e-8, as in the paper. The rate is the schedule's."""
        return keras.optimizers.Adam(beta_1=0.0, beta_2=0.99, epsilon=1e-8)

    def compile(self, *optimizers, **kwargs):
        super().compile(*optimizers, **kwargs)
        self.stage = None
        self.follow_schedule()

    def weights_to_train(self, network):
        return network.weights  # for all levels, also those that come later

    def steps_trained(self, network):
        step = ops.cast(self.counter, "float32")
        ages = {first: ops.maximum(step - first, 0.0) for first in set(self.first_steps)}
        return [ages[first] for first in self.first_steps]

    def follow_schedule(self, step=None):
        """Bring level, alpha, rates and compiled step to those of `step` (None: the model's).

        Where a stage has just begun, the optimisers are reset as well.
        """
        step = self.step if step is None else step
        stage, alpha = self.schedule.stage_at(step), self.schedule.alpha_at(step)
        for network in (self.generator, self.discriminator, self.ema_generator):
            # A float: 1.0 is not faded, and in a fade alpha stays below 1.
            network.grow(stage.level, alpha)
        self.fade.assign(alpha)
        if stage is self.stage:
            return
        self.stage = stage
        for optimizer in (self.g_optimizer, self.d_optimizer):
            optimizer.learning_rate = stage.rate * (self.ttur if optimizer is self.d_optimizer else 1.0)
            inner = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales the loss
            if step == stage.first_step:
                for variable in inner.variables:
                    if variable is not inner.learning_rate:
                        variable.assign(ops.zeros_like(variable))
        self.make_train_function(force=True)

    def train_step(self, data):
        # Under TensorFlow this Python code runs when the step is traced, once a stage.
        stage = self.stage
        self.traces[stage] = self.traces.get(stage, 0) + 1
        alpha = ops.stop_gradient(self.fade.value) if stage.fading else 1.0
        networks = self.generator, self.discriminator
        before = [network.alpha for network in networks]
        try:
            for network in networks:
                network.grow(stage.level, alpha)
            logs = super().train_step(data)
        finally:  # a tensor of this step means nothing outside
            for network, number in zip(networks, before, strict=True):
                network.grow(stage.level, number)
        return logs | {"resolution": ops.convert_to_tensor(float(stage.resolution)), "alpha": ops.ones(()) * alpha}

    def unpack(self, data):
        """Return real pictures as D sees them in this step, and their conditions."""
        real, condition = super().unpack(data)
        real = of_batch_size(real, self.stage.batch_size // replicas()[0])  # another would make alpha wrong
        return self.real_at(real, self.stage.level, self.discriminator.alpha if self.stage.fading else None), condition

    def r1_weight(self):
        # A pixel of 4x4 stands for 256 pixels of 64x64, and the slope with respect to it is the sum of theirs. The
        # squares of these slopes, summed over the fewer pixels, are 256 times those of the same D at 64x64.
        return super().r1_weight() / 4 ** (self.discriminator.full_level - self.stage.level)

    def real_at(self, pictures, level, alpha=None):
        """Return real pictures as D sees them at `level`: averaged down and, with an `alpha`, faded."""
        factor = pictures.shape[1] // 2**level
        pictures = downsample(pictures, factor) if factor > 1 else pictures
        return pictures if alpha is None else blend(upsample(downsample(pictures)), pictures, alpha)


@dataclass(frozen=True)
class ProGANConfig(GANConfig):
    """The course's ProGAN (lesson 05): channels and pictures that two cores can afford.

    Karras et al. 2018 have loss='wasserstein', gp_weight=10, drift=1e-3, r1_gamma=0 and rate=1e-3: fit for their
    millions of pictures, far behind in a training of minutes (benchmarks/README.md).
    """

    model: str = "progan"
    batch_size: int = option(16, "pictures in one step at the last resolution; it doubles with each halving", WHOLE)
    latent_dim: int = option(128, "numbers in a latent vector", WHOLE)
    width: int = option(32, "channels at the last resolution; they double downwards", WHOLE)
    max_width: int = option(128, "most channels of any layer", WHOLE)
    rate: float = option(2e-3, "Adam's learning rate, both players", ABOVE_0, steered=True)
    start: int = option(4, "first resolution; from that of --resolution on the networks are not grown")
    fade_images: int = option(40_000, "pictures in which a new resolution is faded in", FROM_0)
    stable_images: int = option(60_000, "pictures for a resolution after its fade", WHOLE)
    max_batch: int = option(32, "most pictures in one step, at the low resolutions", WHOLE)

    def schedule(self):
        """Return the `Schedule`."""
        largest = max(self.max_batch, self.batch_size)
        powers = [2**level for level in range(2, 11)]
        batches = {r: min(largest, self.batch_size * self.resolution // r) for r in powers}
        return Schedule(
            self.resolution, self.fade_images, self.stable_images, batches, self.rate, min(self.start, self.resolution)
        )

    @property
    def base(self):
        """The networks' `base`, which gives `width` channels at the last resolution."""
        return self.width * self.resolution // 2

    def network(self):
        return progan.build_generator(self.resolution, self.latent_dim, self.base, self.max_width)

    def discriminator(self):
        return progan.build_discriminator(self.resolution, self.base, self.max_width)

    def gan_options(self):
        return super().gan_options() | {"ttur": self.ttur}

    def trainer(self):
        gan = GrowingGAN(self.network(), self.discriminator(), self.schedule(), **self.gan_options())
        gan.compile()
        return gan

    def dataset(self, source, start_step=0):
        return scheduled_faces(source, self.schedule(), start_step=start_step, mirror=self.mirror, seed=self.seed)

    def images_at(self, step):
        return self.schedule().images_at(step)
