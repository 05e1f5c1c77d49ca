"""A run: one training in one folder, that can be stopped at any moment and goes on where it was.

RUN/settings.json     what was asked for; a resumed run reads it
RUN/checkpoints/      the newest two states
RUN/log.csv           one row an epoch: step, images, seconds, losses, and a distance where one was measured
RUN/sheets/           the same 36 faces, every epoch
RUN/training.gif      the sheets as a film
"""

import json
import math
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import keras

from gan_course.data import toon
from gan_course.data.pipeline import faces
from gan_course.errors import CourseError
from gan_course.models import dcgan, progan
from gan_course.training import checkpoints, growing
from gan_course.training.adversarial import GAN
from gan_course.training.callbacks import Bar, Guard, Limit, Log, Sheets


@dataclass(frozen=True)
class Settings:
    """What decides a training's result. The defaults are the recipe that `benchmarks/recipe_search.py` found.

    `recipe` changes some of them for another model, and one for cartoon faces.
    """

    model: str = "dcgan"
    data: str = "data/toon"
    resolution: int = 64
    latent_dim: int = 64
    width: int = 32
    max_width: int = 256
    batch_size: int = 16
    rate: float = 5e-4
    loss: str = "non_saturating"
    r1_gamma: float = 2.0
    r1_interval: int = 16
    gp_weight: float = 0.0
    drift: float = 0.0
    g_every: int = 1
    ema_decay: float = 0.999
    mirror: bool = True
    seed: int = 0
    epoch: int = 200  # steps between two sheets, log rows and checkpoints
    # For a network that grows; see `growing.Schedule`. `batch_size` is that of the last resolution; each halving of
    # the resolution doubles it, up to `max_batch`.
    start: int = 4
    fade_images: int = 0
    stable_images: int = 1
    max_batch: int = 64
    # 'mixed_bfloat16' computes in 16 bits and keeps the weights in 32: 1.2 to 1.3x as fast on a CPU with AVX-512
    # BF16 (benchmarks/README.md). 'mixed_float16' is for GPUs.
    precision: str = "float32"


# What other models than the DCGAN have instead of the defaults.
RECIPES = {
    "dcgan": {},
    # Channels and pictures that two cores can afford. Karras et al. 2018 have loss='wasserstein', gp_weight=10,
    # drift=1e-3, r1_gamma=0 and rate=1e-3: fit for their millions of pictures, far behind in a training of minutes
    # (benchmarks/README.md).
    "progan": dict(latent_dim=128, max_width=128, rate=2e-3, max_batch=32, fade_images=40_000, stable_images=60_000),
}

# What may change while a run goes on: it decides how the next step is taken, not what the saved numbers mean.
STEERED = ("rate", "r1_gamma")

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def recipe(**chosen):
    """Return the `Settings` that the course found best for a model and the faces in `data`, with what was chosen instead.

    Cartoons get a stronger R1 penalty: it is better there, above all in a short training. On photographs a long run
    was stable with the careful default (`benchmarks/README.md`).
    """
    model = chosen.get("model", Settings.model)
    if model not in RECIPES:
        raise CourseError(f"There is no model called '{model}'; choose one of {', '.join(RECIPES)}.")
    best = dict(RECIPES[model])
    if toon.is_cartoon(chosen.get("data", Settings.data)):
        best["r1_gamma"] = 10.0
    return Settings(**best | chosen)


def build_generator(settings):
    """Return an untrained generator for `settings` (a `Settings`)."""
    s = settings
    if s.model == "progan":  # width: the channels at the last resolution
        return progan.build_generator(s.resolution, s.latent_dim, s.width * s.resolution // 2, s.max_width)
    return dcgan.build_generator(s.resolution, s.latent_dim, s.width, s.max_width)


def _schedule(s):
    powers = [2**level for level in range(2, 11)]
    batches = {r: min(max(s.max_batch, s.batch_size), s.batch_size * s.resolution // r) for r in powers}
    return growing.Schedule(s.resolution, s.fade_images, s.stable_images, batches, s.rate, s.start)


def build(settings):
    """Return a compiled `GAN` for `settings`; the same settings give the same first weights."""
    s = settings
    if s.model not in RECIPES:
        raise CourseError(f"There is no model called '{s.model}'; choose one of {', '.join(RECIPES)}.")
    for name in ("latent_dim", "width", "max_width", "batch_size", "epoch", "rate", "max_batch", "stable_images"):
        if not 0 < getattr(s, name) < math.inf:
            raise CourseError(f"{name} is {getattr(s, name)}; give a number above 0.")
    if not 0 <= s.seed < 2**32:
        raise CourseError(f"seed is {s.seed}; give a whole number from 0 to {2**32 - 1}.")
    if s.precision not in PRECISIONS:
        raise CourseError(f"precision is '{s.precision}'; choose one of {', '.join(PRECISIONS)}.")
    keras.utils.set_random_seed(s.seed)
    options = dict(
        loss=s.loss,
        r1_gamma=s.r1_gamma,
        r1_interval=s.r1_interval,
        gp_weight=s.gp_weight,
        drift=s.drift,
        g_every=s.g_every,
        ema_decay=s.ema_decay,
        seed=s.seed,
    )
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(s.precision)  # layers take it when they are made
    try:
        return _build(s, options)
    finally:
        keras.config.set_dtype_policy(policy)


def _build(s, options):
    if s.model == "progan":
        discriminator = progan.build_discriminator(s.resolution, s.width * s.resolution // 2, s.max_width)
        gan = growing.GrowingGAN(build_generator(s), discriminator, _schedule(s), **options)
        gan.compile()
        return gan
    gan = GAN(build_generator(s), dcgan.build_discriminator(s.resolution, s.width, s.max_width), **options)
    gan.compile(*(keras.optimizers.Adam(s.rate, beta_1=0.0, beta_2=0.99) for _ in range(2)))
    return gan


def read_settings(run):
    """Return the `Settings` of the folder `run`; raise `CourseError` where it holds no run."""
    path = Path(run) / "settings.json"
    if not path.is_file():
        raise CourseError(
            f"{run} holds no run (there is no settings.json); start one with 'python -m gan_course train'."
        )
    try:
        values = json.loads(path.read_text())
        if not isinstance(values, dict):
            raise TypeError("it is not a JSON object")
        # A run of an older version lacks the newer fields; it gets their defaults.
        chosen = Settings(**{f.name: values[f.name] for f in fields(Settings) if f.name in values})
        for f in fields(Settings):
            value = getattr(chosen, f.name)
            if type(value) is not f.type and not (f.type is float and type(value) is int):
                raise TypeError(f"{f.name} is {value!r}")
    except (ValueError, TypeError) as error:
        raise CourseError(f"{path} is damaged ({error}); restore it or choose another folder.") from error
    return chosen


def load(run):
    """Return the `GAN` of the folder `run` with its newest sound checkpoint."""
    gan = build(read_settings(run))
    if checkpoints.restore(Path(run) / "checkpoints", gan) is None:
        raise CourseError(f"{run} has no checkpoint yet; train it a little longer.")
    return gan


def train(run, steps=None, minutes=None, tensorboard=False, distance=None, **chosen):
    """Train in the folder `run` until `steps` or `minutes` in all are reached; return the `GAN`.

    A folder that already holds a run is resumed: with its own settings, from its newest checkpoint. `chosen` are
    fields of `Settings` (None: not chosen). Those in `STEERED` may differ from the run's: a long training often ends
    with a lower rate. settings.json then has the new values, and under `changes` the steps at which they came.
    `distance`: a `metrics.Distance` that measures meanwhile; its time is left out of the run's minutes. Raises
    `CourseError` when another chosen one differs from the run's, when training had to be stopped (NaN, a discriminator
    that has won), and for wrong values.
    """
    run = Path(run)
    chosen = {name: value for name, value in chosen.items() if value is not None}
    for name, value in (("steps", steps), ("minutes", minutes)):
        if value is not None and not 0 < value < math.inf:
            raise CourseError(f"{name} is {value}; give a number above 0.")
    if steps is None and minutes is None:
        minutes = 10
    if run.exists() and not run.is_dir():
        raise CourseError(f"{run} is a file; give a folder for the run.")
    changed = {}  # name: [old, new]
    if (run / "settings.json").exists():
        settings = read_settings(run)
        for name, value in chosen.items():
            old = getattr(settings, name)
            if name == "data" or old == value:  # the faces may have moved
                continue
            if name not in STEERED:
                raise CourseError(
                    f"{run} was started with {name} {old}, not {value}; "
                    "leave the option out to go on, or choose another folder."
                )
            changed[name] = [old, value]
        data = chosen.get("data", settings.data)
        settings = replace(settings, **{name: new for name, (_, new) in changed.items()})
    else:
        if run.exists() and any(path.suffix != ".partial" for path in run.iterdir()):
            raise CourseError(f"{run} is not empty and holds no run; choose a new folder.")
        settings = recipe(**chosen)
        data = settings.data
    gan = build(settings)
    record = checkpoints.restore(run / "checkpoints", gan) or {"step": 0, "seconds": 0.0}
    sheets = Sheets(run / "sheets", seed=settings.seed)
    if (steps and record["step"] >= steps) or (minutes and record["seconds"] >= 60 * minutes):
        print(
            f"{run} has {record['step']} steps and {record['seconds'] / 60:.1f} minutes already; ask for more to go on."
        )
        if not (run / "training.gif").exists():  # killed while it was written
            sheets.gif(run / "training.gif")
        return gan
    for optimizer in (gan.g_optimizer, gan.d_optimizer):
        optimizer.learning_rate = settings.rate  # the checkpoint has brought back the old one
    for name, (old, new) in changed.items():
        print(f"{run} goes on from step {record['step']} with {name} {new:g} instead of {old:g}.")
    options = dict(mirror=settings.mirror, seed=settings.seed, start_step=record["step"])
    if settings.model == "progan":
        dataset, images = growing.faces(data, gan.schedule, **options), gan.schedule.images_at
    else:
        dataset, images = faces(data, settings.resolution, settings.batch_size, **options), settings.batch_size
    _write_settings(run, settings, [{"step": record["step"], **changed}] if changed else [])

    limit = Limit(steps, minutes, record["seconds"], paused=lambda: distance.pause if distance else 0.0)
    guard = Guard(say=lambda reason: None)  # raised below
    bar = Bar(limit)
    callbacks = [
        limit,
        *([distance] if distance else []),  # before those that read its number in the logs
        guard,
        Log(run / "log.csv", images, limit.clock),
        sheets,
        checkpoints.Checkpoints(run / "checkpoints", clock=limit.clock),
        bar,
    ]
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(run / "tensorboard", write_graph=False))
    # Epochs without end: the limit stops them. TensorBoard's curves go on at the epoch where they stopped.
    first = record["step"] // settings.epoch
    epochs = {"steps_per_epoch": settings.epoch, "initial_epoch": first, "epochs": 10**9}
    try:
        gan.fit(dataset, **epochs, verbose=0, callbacks=callbacks)
    finally:
        bar.close()  # Ctrl-C
    sheets.gif(run / "training.gif")
    if guard.reason:
        raise CourseError(guard.reason)
    return gan


def _write_settings(run, settings, changes):
    run.mkdir(parents=True, exist_ok=True)
    path = run / "settings.json"
    changes = (json.loads(path.read_text()).get("changes", []) if path.exists() else []) + changes
    for left in run.glob("*.partial"):  # of a process that was killed
        left.unlink()
    partial = run / f"settings.{os.getpid()}.partial"
    values = asdict(settings) | ({"changes": changes} if changes else {})
    partial.write_text(json.dumps(values, indent=1) + "\n")
    os.replace(partial, path)
