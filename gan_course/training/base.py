"""What every training of the course shares: the configuration of a system, and the engine below its `train_step`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields

import keras
import numpy as np
from keras import ops

from gan_course import show
from gan_course.backend import NAME, Tape, no_gradient, replicas, to_numpy
from gan_course.data import pipeline, toon
from gan_course.errors import CourseError
from gan_course.latent import sampling

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
ABOVE_0 = (lambda value: 0 < value < math.inf, "a number above 0")
FROM_0 = (lambda value: 0 <= value < math.inf, "a number from 0 (without it) on")
WHOLE = (lambda value: value >= 1 and value == int(value), "a whole number, 1 or more")
COUNT = (lambda value: value >= 0 and value == int(value), "a whole number, 0 or more")


def require(name, value, rule):
    """Raise `CourseError` unless `value` keeps to `rule`, a pair (test, what to give)."""
    allowed, wanted = rule
    if not allowed(value):
        raise CourseError(f"{name} is {value}; give {wanted}.")


def falling(step, last_step):
    """Return the share of the rate at `step`: 1 up to 0.6 of `last_step`, then in a line to a twentieth (0: it stays 1)."""
    late = min(1.0, max(0.0, step / last_step - 0.6) / 0.4) if last_step else 0.0
    return 1 - 0.95 * late


def option(default, text, rule=None, *, cartoons=None, steered=False):
    """Return a field of a `Config`: a hyperparameter with its default, and what it does.

    text: also the help of the command line's flag. rule: see `require`. cartoons: the default for cartoon faces, where
    it is another. steered: it may change while a run goes on, since it decides how the next step is taken, and not what
    the saved numbers mean.
    """
    return field(default=default, metadata=dict(help=text, rule=rule, cartoons=cartoons, steered=steered))


@dataclass(frozen=True)
class Config:
    """All that decides a training's result. One class a system (`gan_course.systems`), each hyperparameter once.

    A system says in its own file, below this class, what its hyperparameters are (`option`) and has

    - `network()`: the untrained network that the course ships: the averaged generator, or what it has instead;
    - `build()`: a compiled `Trainer`;
    - `dataset(source, start_step)`: endless batches, the one of step k being a function of the seed and k;
    - `images_at(step)`: how many pictures `step` steps have shown;
    - `sample(network, count, seed)`: pictures of a trained `network()`, uint8; for systems that draw;
    - `sample_for(network, source, part, count, seed)`: the same, to be measured against a part of some faces;
    - `begin(trainer, source)`: what comes before the first step of a new run, such as another network's training.

    The command line's flags, a run's settings.json and the index of shipped weights follow from the fields.
    """

    model: str = ""  # the system's name
    data: str = "data/toon"
    resolution: int = option(64, "height and width of a face in pixels")
    batch_size: int = option(16, "pictures in one step", WHOLE)
    mirror: bool = option(True, "flip each picture left to right with probability 1/2")
    seed: int = option(
        0,
        "first weights, latent vectors and order of the faces",
        (lambda value: 0 <= value < 2**32, f"a whole number from 0 to {2**32 - 1}"),
    )
    epoch: int = option(200, "steps between two sheets, log rows and checkpoints", WHOLE)
    # 'mixed_bfloat16' computes in 16 bits and keeps the weights in 32: 1.2 to 1.3x as fast on a CPU with AVX-512
    # BF16 (benchmarks/README.md). 'mixed_float16' is for GPUs.
    precision: str = option(
        "float32",
        "float32, mixed_bfloat16 (fast on new CPUs) or mixed_float16 (for GPUs)",
        (lambda value: value in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
    )

    draws = True  # faces; a system that does not is a tool, such as a judge
    edits = False  # draws faces that are given to it
    reads = False  # draws what a sentence says

    def rate_of(self, player):
        """Return the learning rate of a player, such as 'd'."""
        return self.rate

    @classmethod
    def options(cls):
        """Return the fields that a user may choose, as `dataclasses.Field`s."""
        return [f for f in fields(cls) if "help" in f.metadata]

    @classmethod
    def recipe(cls, **chosen):
        """Return the configuration that the course found best for the faces in `data`, with what was chosen instead."""
        cartoons = toon.is_cartoon(chosen.get("data", cls.data))
        best = {f.name: f.metadata["cartoons"] for f in cls.options() if f.metadata["cartoons"] is not None}
        return cls(**(best if cartoons else {}) | chosen)

    @classmethod
    def from_dict(cls, values):
        """Return the configuration of a settings.json. One of an older version gets the newer fields' defaults.

        Raises TypeError or ValueError where the values are of another kind.
        """
        if not isinstance(values, Mapping):
            raise TypeError("it is not a JSON object")
        config = cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})
        for f in fields(cls):
            value = getattr(config, f.name)
            if type(value) is not f.type and not (f.type is float and type(value) is int):
                raise TypeError(f"{f.name} is {value!r}")
        return config

    def to_dict(self):
        """Return what settings.json holds."""
        return asdict(self)

    def check(self):
        """Raise `CourseError` for the first hyperparameter that has a wrong value."""
        for f in self.options():
            if f.metadata["rule"]:
                require(f.name, getattr(self, f.name), f.metadata["rule"])

    def build(self):
        """Return a compiled `Trainer`; the same configuration gives the same first weights."""
        self.check()
        keras.utils.set_random_seed(self.seed)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.precision)  # layers take it when they are made
        try:
            return self.trainer()
        finally:
            keras.config.set_dtype_policy(policy)

    def dataset(self, source, start_step=0):
        """Return the endless dataset of `gan_course.data.pipeline.faces` for this training."""
        options = dict(mirror=self.mirror, seed=self.seed, start_step=start_step)
        return pipeline.faces(source, self.resolution, self.batch_size, **options)

    def prepare(self, trainer, source):
        """Give a trainer what else it needs of the opened folder, such as faces to edit on its sheets. Here: nothing."""

    def images_at(self, step):
        """Return how many pictures `step` steps have shown."""
        return step * self.batch_size

    def sample(self, network, count, seed=0):
        """Return `count` pictures of a trained `network()`, uint8 (count, height, width, 3)."""
        return sampling.generate(network, count, seed)

    def sample_for(self, network, source, part, count, seed=0):
        """Return `count` pictures to be measured against a part of an opened folder; here `sample`'s."""
        return self.sample(network, count, seed)

    def begin(self, trainer, source):
        """Do what comes before the first step of a new run; here: nothing."""


@dataclass(frozen=True)
class Phase:
    """A regulariser: every `interval` steps, weight * interval * value is added to the loss of one player.

    A table of these takes the place of branches in a training step. With an interval above 1 it is 'lazy
    regularisation' (Karras et al. 2020, StyleGAN2, section 3.1; there, too, the weight is multiplied by the interval):
    nearly the same effect, much cheaper.

    player: whose loss. name: of its metric. weight: a function without arguments, asked when the step is compiled.
    value: batch -> scalar; `batch` is what `train_step` hands to `Trainer.regularised`.
    """

    player: str
    name: str
    interval: int
    weight: Callable
    value: Callable


class _Follow(keras.callbacks.Callback):
    """Keep a training on its schedule, step by step."""

    def on_epoch_begin(self, epoch, logs=None):
        self.first = self.model.step

    def on_train_batch_end(self, batch, logs=None):
        self.model.follow_schedule(self.first + batch + 1)


class Trainer(keras.Model):
    """The engine: what trainings of one, two or four networks share, whatever their `train_step` does.

    A subclass sets its networks as attributes and then calls `start`. It has a property `players`, {name: [networks]},
    each with one optimiser, and a property `averages`, [(averaged copy, network)]. Its `train_step` reads

        draw          self.draw(keras.random.normal, shape)           numbers that belong to the seed and the step
        score         with Tape() as tape: ...
        gradients     tape.gradient(self.scaled(player, loss), weights), self.regularised(player, gradients, batch)
        apply         self.apply(player, gradients), self.in_interval(steps, action, first)
        average       self.update_averages()
        return        self.logged(loss=..., ...)                      which also counts the step

    What callbacks, checkpoints and commands may rely on (tests/test_base.py):

    - `step`: the steps taken so far, a whole number; `counter` is its variable.
    - `state()`: every variable that training changes, in a fixed order. Loading all of them, and then calling
      `follow_schedule()`, goes on bit for bit (on one kind of processor).
    - `sample(count, seed)`: pictures (n, height, width, 3) that are the same at every call, to be looked at and measured;
      `sample_for(source, part, count, seed)`: those to be measured against a part; `page(count, seed, gap)`: one sheet.
    - `curves`: {title: {metric: short name}}, what a live picture shows; its first entry holds the losses.
    - `lowest_d_loss`: the smallest value that the metric `d_loss` can have: a discriminator near it has won.
    """

    lowest_d_loss = -math.inf

    def start(self, *, seed, ema_decay=0.0, phases=(), metrics=()):
        """Make what training needs beside the networks; to be called once, when they are there.

        ema_decay: decay of the averaged weights at the end of its ramp min(ema_decay, (1 + n) / (10 + n)), n the
        steps for which a weight was trained. phases: a list of `Phase`. metrics: names of the means that are logged,
        those of the phases not among them.
        """
        require("ema_decay", ema_decay, (lambda value: 0.0 <= value < 1.0, "a number from 0 (no averaging) to below 1"))
        self.ema_decay = ema_decay
        self.phases = tuple(phases)
        self.seeds = keras.random.SeedGenerator(seed)
        # Replicas count the same steps, so the first one's count is everyone's.
        self.counter = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, aggregation="only_first_replica", name="step"
        )
        names = [*metrics, *(phase.name for phase in self.phases)]
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def averaged_copy(self, network):
        """Return a copy with the same weights that is never trained, only averaged."""
        copy = keras.models.clone_model(network)
        copy.set_weights(network.get_weights())
        copy.trainable = False
        return copy

    # --- what a subclass says ------------------------------------------------------------------------------------

    @property
    def players(self):
        """{player: its networks}, in the order of `compile`'s optimisers."""
        raise NotImplementedError

    @property
    def averages(self):
        """[(averaged copy, network)]; none by default."""
        return []

    @property
    def curves(self):
        return {"loss": {f"{player}_loss": player.upper() for player in self.players}}

    def sample(self, count, seed=0):
        """Return `count` pictures to look at and to measure, the same at every call with this seed."""
        raise NotImplementedError

    def sample_for(self, source, part, count, seed=0):
        """Return `count` pictures to be measured against a part of an opened folder; here `sample`'s."""
        return self.sample(count, seed)

    def page(self, count, seed=0, gap=2):
        """Return one picture of `sample`'s faces."""
        return show.sheet(self.sample(count, seed), gap=gap)

    def steps_trained(self, network):
        """Return for each weight of `network` for how many steps it has been trained; here the same for all."""
        return [ops.cast(self.counter, "float32")] * len(network.weights)

    def follow_schedule(self, step=None):
        """Bring up to date what follows from `step` (None: the model's own): a level, a rate. Here: nothing.

        Called when `fit` begins, after every step, and when a checkpoint was loaded.
        """

    # --- Keras ---------------------------------------------------------------------------------------------------

    def compile(self, *optimizers, jit_compile=False, **kwargs):
        """Set one optimiser per player, in the order of `players`, or by name: `g_optimizer=...`. Default: Adam.

        `jit_compile=True` asks XLA to compile the step (TensorFlow). On a GPU it helps; on CPUs it depends on the
        processor (see `benchmarks/`), so it is off unless asked for. XLA has its own random numbers: with it, the
        same seed gives other latent vectors.
        """
        chosen = dict(zip(self.players, optimizers, strict=False))
        chosen |= {
            player: kwargs.pop(f"{player}_optimizer") for player in self.players if f"{player}_optimizer" in kwargs
        }
        super().compile(optimizer=None, jit_compile=jit_compile, **kwargs)
        for player, networks in self.players.items():
            setattr(self, f"{player}_optimizer", self._prepared(chosen.get(player), networks))

    def default_optimizer(self):
        """Return the optimiser of a player that `compile` is given none for: Adam 5e-4 with betas (0, 0.99)."""
        return keras.optimizers.Adam(5e-4, beta_1=0.0, beta_2=0.99)

    def _prepared(self, optimizer, networks):
        optimizer = optimizer or self.default_optimizer()
        half = keras.mixed_precision.dtype_policy().compute_dtype == "float16"
        if half and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # Small float16 gradients would round to zero.
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build([v for network in networks for v in self.weights_to_train(network)])
        return optimizer

    def weights_to_train(self, network):
        """Return the weights that the optimiser must know from the start; later ones cannot be added."""
        return network.trainable_variables

    def fit(self, x=None, y=None, *, callbacks=(), batch_size=None, shuffle=True, **kwargs):
        """Train, as `keras.Model.fit`; arrays are shuffled unless `shuffle=False`, a dataset shuffles itself.

        The endless datasets of `gan_course.data.pipeline` know the length of their epoch.
        """
        self.follow_schedule()
        kwargs.setdefault("steps_per_epoch", getattr(x, "steps_per_epoch", None))
        shuffle = shuffle and isinstance(x, np.ndarray)
        if isinstance(x, np.ndarray) and NAME == "tensorflow":
            x = pipeline.of_arrays(x if y is None else (x, y), batch_size or 32, shuffle)
            y, batch_size, shuffle = None, None, False
        callbacks = [_Follow(), *keras.tree.flatten(callbacks or [])]
        return super().fit(
            pipeline.for_fit(x), y, batch_size=batch_size, shuffle=shuffle, callbacks=callbacks, **kwargs
        )

    @property
    def metrics(self):
        # Listed here so that Keras resets them at the start of every epoch.
        return list(self.trackers.values())

    # --- what a step is made of ----------------------------------------------------------------------------------

    def optimizer_of(self, player):
        return getattr(self, f"{player}_optimizer")

    def weights_of(self, player):
        """Return the trainable weights of a player's networks."""
        return [v for network in self.players[player] for v in network.trainable_variables]

    def draw(self, distribution, shape):
        """Return random numbers of `shape`, whose first number is the batch of this replica.

        All replicas draw the same numbers and take their own rows: no two see the same, and together they see what one
        replica with the joined batch would.
        """
        count, this = replicas()
        batch, *rest = shape
        numbers = distribution((batch * count, *rest), seed=self.seeds)
        return numbers if count == 1 else numbers[this * batch : (this + 1) * batch]

    def scaled(self, player, loss):
        """Return a loss as the optimiser wants it: a replica's share, and enlarged where small gradients would vanish."""
        # Optimisers *sum* the replicas' gradients; each replica's loss is a mean over its share.
        return self.optimizer_of(player).scale_loss(loss / replicas()[0])

    def regularised(self, player, gradients, batch):
        """Return a player's gradients with those of its phases added, where the step is one of theirs."""
        for phase in self.phases:
            if phase.player == player:
                gradients = self._with_phase(phase, gradients, batch)
        return gradients

    def _with_phase(self, phase, gradients, batch):
        def added():
            with Tape() as tape:
                value = phase.value(batch)
                loss = self.scaled(phase.player, value * (phase.weight() * phase.interval))
            extra = tape.gradient(loss, self.weights_of(phase.player))
            self.trackers[phase.name].update_state(value)
            # A last layer's bias does not change a slope: its gradient is None.
            return [a if b is None else a + b for a, b in zip(gradients, extra, strict=True)]

        if phase.interval == 1:
            return added()
        return ops.cond(self.is_due(phase.interval), added, lambda: list(gradients))

    def is_due(self, interval, first=0):
        """Return whether this step is one of 0, interval, 2 interval, ..., and not before `first`."""
        due = self.counter.value % interval == 0
        return ops.logical_and(due, self.counter.value >= first) if first else due

    def in_interval(self, interval, action, first=0):
        """Call `action` in the steps 0, interval, 2 interval, ... that are not before `first`."""

        def act():
            action()
            return 0

        if interval == 1 and not first:
            act()
        else:
            ops.cond(self.is_due(interval, first), act, lambda: 0)

    def apply(self, player, gradients):
        """Move a player's weights."""
        with no_gradient():
            self.optimizer_of(player).apply(gradients, self.weights_of(player))

    def update_averages(self):
        """Move every averaged weight towards its weight: average + (1 - decay) * (weight - average)."""
        # Batch norm's moving statistics are averaged too: they belong to the weights of their time.
        with no_gradient():
            for averaged, network in self.averages:
                ages = self.steps_trained(network)
                for average, weight, age in zip(averaged.weights, network.weights, ages, strict=True):
                    if "float" in weight.dtype:
                        decay = ops.minimum(self.ema_decay, (1.0 + age) / (10.0 + age))
                        average.assign(average + (1.0 - decay) * (weight - average))
                    else:
                        average.assign(weight)

    def logged(self, **numbers):
        """Count the step, take `numbers` into the means of their names, and return what `fit` is to show."""
        self.counter.assign_add(1)
        for name, number in numbers.items():
            self.trackers[name].update_state(ops.stop_gradient(number))
        return {metric.name: metric.result() for metric in self.metrics}

    # --- what callbacks and checkpoints ask ----------------------------------------------------------------------

    @property
    def step(self):
        """The training steps taken so far, a whole number."""
        return int(to_numpy(self.counter))

    def state(self):
        """Return every variable that training changes, in a fixed order, for checkpoints.

        All networks, the averages, the optimisers, the random state and the step.
        """
        networks = [network for group in self.players.values() for network in group]
        networks += [averaged for averaged, _ in self.averages]
        variables = [v for network in networks for v in network.variables]
        variables += [v for player in self.players for v in self.optimizer_of(player).variables]
        return [*variables, self.seeds.state, self.counter]
