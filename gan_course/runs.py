"""A run: one training in one folder, that can be stopped at any moment and goes on where it was.

RUN/settings.json     what was asked for; a resumed run reads it
RUN/checkpoints/      the newest two states
RUN/log.csv           one row an epoch: step, images, seconds, losses, and a distance where one was measured
RUN/sheets/           the same 36 faces, every epoch
RUN/training.gif      the sheets as a film
RUN/.lock             held while a process trains there
"""

import json
import math
import re
import warnings
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import filelock

from gan_course import backend
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError, CourseWarning
from gan_course.files import atomic_write, clear_partials
from gan_course.layers import BLOCK
from gan_course.systems import system
from gan_course.training import checkpoints
from gan_course.training.callbacks import Bar, Guard, Limit, Log, Sheets


def read_settings(run):
    """Return (configuration, what else settings.json holds) of the folder `run`; raise `CourseError` where it is no run."""
    path = Path(run) / "settings.json"
    if not path.is_file():
        raise CourseError(
            f"{run} holds no run (there is no settings.json); start one with 'python -m gan_course train'."
        )
    try:
        values = json.loads(path.read_text())
        config = system(values.get("model", "dcgan")).from_dict(values)
    except (ValueError, TypeError, AttributeError) as error:
        raise CourseError(f"{path} is damaged ({error}); restore it or choose another folder.") from error
    return config, {name: values[name] for name in ("changes", "fingerprint", "start_from") if name in values}


def load_run(run):
    """Return (trainer, configuration) of the folder `run` with its newest sound checkpoint."""
    config, _ = read_settings(run)
    trainer = config.build()
    if checkpoints.restore(Path(run) / "checkpoints", trainer) is None:
        raise CourseError(f"{run} has no checkpoint yet; train it a little longer.")
    return trainer, config


def train(
    run,
    steps=None,
    minutes=None,
    tensorboard=False,
    distance=None,
    data_changed=False,
    start_from=None,
    say=print,
    **chosen,
):
    """Train in the folder `run` until `steps` or `minutes` in all are reached; return the trainer.

    A folder that already holds a run is resumed: with its own settings, from its newest checkpoint. `chosen` are
    fields of the system's configuration (None: not chosen), `model` among them. Those that are `steered` may differ from
    the run's: a long training often ends with a lower rate. settings.json then has the new values, and under `changes`
    the steps at which they came. A run remembers a fingerprint of its faces; `data_changed=True` goes on with others.
    `start_from`: a `pretrained.Found`, with whose averaged network a new run begins (`_begin_with`).
    `distance`: a `metrics.Distance` that measures meanwhile; its time is left out of the run's minutes.
    `say`: gets one sentence on the faces that are used, and on what changes.
    Raises `CourseError` when another chosen one differs from the run's, when training had to be stopped (NaN, a
    discriminator that has won), when another process trains there, and for wrong values.
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
    if tensorboard and backend.NAME != "tensorflow":
        raise CourseError("--tensorboard works with TensorFlow only; leave it out and look at log.csv.")
    config, kept, changed = _settings(run, chosen)
    if start_from:
        if (run / "settings.json").exists():
            raise CourseError(f"{run} was begun already; leave --start-from out to go on, or choose another folder.")
        kept["start_from"] = start_from.about["name"]
        _same_kind(config, start_from)
    source = open_faces(chosen.get("data", config.data))
    changed |= _faces_changed(run, config, kept, source, data_changed)
    trainer = config.build()
    taken = _begin_with(trainer, start_from) if start_from else None
    # Before anything is written: a dataset that cannot be had leaves no folder behind.
    dataset = config.dataset(source, checkpoints.newest_step(run / "checkpoints"))
    config.prepare(trainer, source)
    with _locked(run):
        record = checkpoints.restore(run / "checkpoints", trainer) or {"step": 0, "seconds": 0.0}
        if record["step"] != checkpoints.newest_step(run / "checkpoints"):  # the newest is damaged
            dataset = config.dataset(source, record["step"])
        sheets = Sheets(run / "sheets", seed=config.seed)
        if (steps and record["step"] >= steps) or (minutes and record["seconds"] >= 60 * minutes):
            done = f"{record['step']} steps and {record['seconds'] / 60:.1f} minutes"
            say(f"{run} has {done} already; ask for more to go on.")
            if not (run / "training.gif").exists():  # killed while it was written
                sheets.gif(run / "training.gif")
            return trainer
        say(source.summary("train"))
        for name, (old, new) in changed.items():
            say(f"{run} goes on from step {record['step']} with {name} {_short(new)} instead of {_short(old)}.")
        if start_from:
            say(taken)
        elif not record["step"]:
            config.begin(trainer, source)
        for player in trainer.players:  # the checkpoint has brought back the old rate
            trainer.optimizer_of(player).learning_rate = config.rate_of(player)
        changes = kept.get("changes", []) + ([{"step": record["step"], **changed}] if changed else [])
        written = (
            config.to_dict() | kept | {"fingerprint": source.fingerprint()} | ({"changes": changes} if changes else {})
        )
        clear_partials(run)
        with atomic_write(run / "settings.json") as partial:
            partial.write_text(json.dumps(written, indent=1) + "\n")
        limit = Limit(steps, minutes, record["seconds"], paused=lambda: distance.pause if distance else 0.0)
        guard = Guard(say=lambda reason: None)  # raised below
        callbacks = [*([distance] if distance else []), guard, Log(run / "log.csv", config.images_at, limit.clock)]
        callbacks += [sheets, checkpoints.Checkpoints(run / "checkpoints", clock=limit.clock)]
        _fit(trainer, dataset, config.epoch, limit, callbacks, run / "tensorboard" if tensorboard else None)
        sheets.gif(run / "training.gif")
        if guard.reason:
            raise CourseError(guard.reason)
    return trainer


def _same_kind(config, found):
    """Raise `CourseError` where a run of `config` cannot begin with the weights of a network of another kind."""
    other, name = found.config, found.about["name"]
    if other.model != config.model:
        raise CourseError(f"{name} is a {other.model} and the run a {config.model}; start from one of the same kind.")
    for field in ("words", "attributes") if config.reads else ():  # a number of another word would mean nothing
        if getattr(other, field) != getattr(config, field):
            raise CourseError(f"{name} was taught with other {field}; start from a network of the same faces.")


def _begin_with(trainer, start):
    """Give the trained networks that are averaged, and their averages, the weights of another; return one sentence on it.

    Where shapes differ (the layers that know the domains, of an editor of other domains) the fresh weights stay, and so do
    those of residual blocks that the other has not: they change nothing yet. The discriminator of a run comes too, if it
    has the same layers; shipped weights hold none, so there it is fresh.
    """
    network, name = start.network, start.about["name"]
    taken = total = 0
    for networks in trainer.averages:
        for one in networks:
            weights = one.weights
            if len(weights) > len(network.weights):
                weights = [weight for weight in weights if not weight.path.split("/")[-2].startswith(BLOCK)]
            if len(weights) != len(network.weights):
                raise CourseError(f"{name} has other layers than the run's network; give the same sizes.")
            for weight, found in zip(weights, network.weights, strict=True):
                total += 1
                if weight.shape == found.shape:
                    weight.assign(found)
                    taken += 1
    if taken < total / 2:
        raise CourseError(
            f"Most layers of {name} have another size than the run's; give the same --width and --resolution."
        )
    said = f"The run begins with {name}: {taken // 2} of {total // 2} arrays of weights fit"
    for name, critic in {"discriminator": "discriminator", "second": "second discriminator"}.items():
        old, new = (getattr(t, name, None) for t in (start.trainer, trainer))
        if new is None:
            continue
        if old is None or [w.shape for w in old.weights] != [w.shape for w in new.weights]:
            said += f". The {critic} is fresh"
            continue
        for weight, found in zip(new.weights, old.weights, strict=True):
            weight.assign(found)
        said += f", and so does its {critic}"
    return f"{said}."


def _short(value):
    return f"{value:g}" if isinstance(value, float) else value


def _settings(run, chosen):
    """Return (configuration, what else the old settings.json holds, {name: [old, new]}) of a new or an old run."""
    if not (run / "settings.json").exists():
        # What a start that was killed has left does no harm.
        if run.exists() and any(not re.fullmatch(r"\..*|.*\.partial", path.name) for path in run.iterdir()):
            raise CourseError(f"{run} is not empty and holds no run; choose a new folder.")
        model = chosen.get("model", "dcgan")
        return system(model).recipe(**chosen | {"model": model}), {}, {}
    config, kept = read_settings(run)
    changed = {}
    steered = {f.name for f in config.options() if f.metadata["steered"]}
    known = {f.name for f in fields(config)}
    for name, value in chosen.items():
        old = getattr(config, name) if name in known else None
        if value == "auto" != old:  # the recipe of a new run puts its choice in the place of this word
            again = {f.name: getattr(config, f.name) for f in config.options()} | {"data": config.data} | chosen
            value = getattr(config.recipe(**again), name)
        if name == "data" or old == value:  # the faces may have moved
            continue
        if name not in steered:
            raise CourseError(
                f"{run} was started with {name} {old}, not {value}; "
                "leave the option out to go on, or choose another folder."
            )
        changed[name] = [old, value]
    new = {name: value for name, (_, value) in changed.items()} | {"data": chosen.get("data", config.data)}
    return replace(config, **new), kept, changed


def _faces_changed(run, config, kept, source, allowed):
    """Return {} where the faces are the run's, or the change; raise `CourseError` unless it is `allowed`."""
    old, new = kept.get("fingerprint"), source.fingerprint()
    if old in (None, new):  # a new run, or one of an older version, which did not note it
        return {}
    if not allowed:
        raise CourseError(
            f"The faces in {config.data} are not those that {run} was trained on; give those, or add --data-changed to go "
            "on with others, or choose another folder."
        )
    return {"fingerprint": [old, new]}


@contextmanager
def _locked(run):
    """Keep other processes from training in the folder `run`."""
    run.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise CourseError(f"Another process trains in {run}; wait for its end, or choose another folder.") from None
    except (OSError, NotImplementedError):  # a drive without locks, such as some network drives
        warnings.warn(f"{run} cannot be locked; do not train there twice at once.", CourseWarning, stacklevel=3)
    try:
        yield
    finally:
        lock.release()


def _fit(trainer, dataset, epoch, limit, callbacks, tensorboard):
    """Train until the limit says stop."""
    import keras

    bar = Bar(limit)
    callbacks = [limit, *callbacks, bar]
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(tensorboard, write_graph=False))
    # Epochs without end: the limit stops them. TensorBoard's curves go on at the epoch where they stopped.
    epochs = {"steps_per_epoch": epoch, "initial_epoch": trainer.step // epoch, "epochs": 10**9}
    try:
        trainer.fit(dataset, **epochs, verbose=0, callbacks=callbacks)
    finally:
        bar.close()  # Ctrl-C
