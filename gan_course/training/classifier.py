"""Train an attribute network, and measure on faces that it has not seen how good it is.

OUT/attributes.weights.h5   the network; `gan_course.models.attributes.build` with the report's settings loads it
OUT/report.json             settings, minutes, epochs, and the test part's table; written last
"""

import json
import math
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from gan_course import weights
from gan_course.data import toon
from gan_course.data.celeba import open_faces
from gan_course.data.pipeline import faces, for_fit, load
from gan_course.errors import CourseError, CourseWarning
from gan_course.files import atomic_write
from gan_course.models import attributes as networks
from gan_course.training.base import WHOLE, Config, option

WEIGHTS = "attributes.weights.h5"
REPORT = "report.json"


class Augment(keras.layers.Layer):
    """While training, each picture a little moved, turned, enlarged, lighter and flatter; else as it is.

    Up to 3 of 64 pixels, 6 degrees, 8%, 0.1 and 10%. Pictures (batch, r, r, 3) in [-1, 1]. `seed`: of the variations.
    """

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        if not training:
            return x
        batch, size = ops.shape(x)[0], x.shape[1]
        numbers = keras.random.uniform((batch, 6), -1.0, 1.0, seed=self.seeds)
        dx, dy, turn, zoom, light, contrast = (numbers[:, i] for i in range(6))
        angle, scale = turn * (6 * math.pi / 180), 1 / (1 + 0.08 * zoom)
        a, b, centre = scale * ops.cos(angle), scale * ops.sin(angle), (size - 1) / 2
        shift_x, shift_y = dx * (3 * size / 64), dy * (3 * size / 64)
        # Where each output pixel comes from: a turn and a scale about the centre, then a shift.
        rows = [a, -b, centre * (1 - a + b) + shift_x, b, a, centre * (1 - a - b) + shift_y, 0 * a, 0 * a]
        x = ops.image.affine_transform(x, ops.stack(rows, axis=1), fill_mode="nearest")
        x = x * (1 + 0.1 * contrast)[:, None, None, None] + 0.1 * light[:, None, None, None]
        return ops.clip(x, -1.0, 1.0)


def read(source, attributes, resolution, part):
    """Return (pictures float32 in [-1, 1], labels 0/1 (n, k)) of a part of an opened folder."""
    images, names = load(source, resolution, part)
    return images.astype("float32") / 127.5 - 1, source.labels(names, attributes)


def calibrate(model, logits, labels):
    """Rescale the last layer so that a logit above 0 is the decision with the best balanced accuracy.

    Platt's method (1999): a logistic regression from each logit to its label, here with both classes weighted
    alike, on validation faces. It changes each logit's scale and bias in the last layer, nothing else; then
    sigmoid(logit) is the probability among as many faces with the attribute as without.
    An attribute that has one class only among these faces, or is not learnt at all, stays as it is.
    """
    kernel, bias = (np.array(value) for value in model.get_layer("logits").get_weights())
    for k in range(labels.shape[1]):
        if labels[:, k].min() == labels[:, k].max():
            continue
        fit = LogisticRegression(class_weight="balanced").fit(logits[:, [k]], labels[:, k])
        scale = fit.coef_[0, 0]
        if scale > 0:
            kernel[:, k] *= scale
            bias[k] = bias[k] * scale + fit.intercept_[0]
    model.get_layer("logits").set_weights([kernel, bias])


def measure(logits, labels, attributes):
    """Return a table (pandas), a row per attribute, of decisions `logits > 0` against 0/1 labels, both (n, k).

    share: of faces that have the attribute. majority: the accuracy of always saying what is more frequent.
    accuracy: share of right decisions. balanced: mean of the accuracy among those who have it and those who have
    not. auc: the chance that a face with it scores above one without. The last two are empty (None) where all
    faces are of one class, and a `CourseWarning` names these attributes.
    """
    rows, single = [], []
    for k, name in enumerate(attributes):
        truth, share = labels[:, k] > 0.5, float(labels[:, k].mean())
        row = {"attribute": name, "share": share, "majority": max(share, 1 - share)}
        row |= {"accuracy": float(accuracy_score(truth, logits[:, k] > 0)), "balanced": None, "auc": None}
        if 0 < share < 1:
            row["balanced"] = float(balanced_accuracy_score(truth, logits[:, k] > 0))
            row["auc"] = float(roc_auc_score(truth, logits[:, k]))
        else:
            single.append(name)
        rows.append(row)
    if single:
        warnings.warn(
            f"Balanced accuracy and AUC are not defined for {', '.join(single)}: these {len(labels)} faces "
            "are all alike in it.",
            CourseWarning,
            stacklevel=2,
        )
    return pd.DataFrame(rows).set_index("attribute").astype(float)


def table_text(table):
    """Return the table of `measure` as text, with the mean of each column in the last line."""
    with_mean = pd.concat([table, table.mean().to_frame("mean").T])
    return with_mean.to_string(float_format="%.3f", na_rep="-")


def report(model, data, attributes, part="test"):
    """Return the table of `measure` for the faces of one part of the folder `data`."""
    pictures, labels = read(open_faces(data), attributes, model.input_shape[1], part)
    return measure(model.predict(pictures, batch_size=256, verbose=0), labels, attributes)


class _Keep(keras.callbacks.Callback):
    """Write the network whenever its mean AUC on the validation faces is the best so far; `best_epoch` counts from 1.

    So a full disk shows after the first epoch, and a training that is stopped has not been for nothing.
    """

    def __init__(self, network, path):
        super().__init__()
        self.network, self.path = network, path
        self.best, self.best_epoch, self.epochs, self.history = -1.0, 0, 0, {}

    def on_epoch_end(self, epoch, logs=None):
        self.epochs = epoch + 1
        for name, value in logs.items():
            self.history.setdefault(name, []).append(_number(value))
        if logs["val_auc"] > self.best:
            self.best, self.best_epoch = logs["val_auc"], epoch + 1
            with atomic_write(self.path) as partial:
                self.network.save_weights(partial)


def train(data, out, attributes=None, width=32, seed=0, epochs=30, resolution=64, batch_size=64, rate=2e-3):
    """Train a network on the folder `data`, write it into the folder `out`, and return (model, table).

    attributes: default all that the folder has. The table is `measure`'s on the test part. AdamW with cosine
    decay, binary cross-entropy averaged over attributes; the epoch with the best mean AUC on the validation part
    is kept, and calibrated there. Ctrl-C ends the training early, with the best network so far.
    Raises `CourseError` for a folder without attributes, an unknown one, wrong numbers and an `out` with files, and
    OSError, before the work begins, for one that cannot be written.
    """
    out = Path(out)
    if epochs < 1 or seed < 0 or not rate > 0:
        raise CourseError(f"epochs is {epochs}, seed is {seed}, rate is {rate}; give at least 1, 0 and above 0.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CourseError(f"'{out}' is not an empty folder; give a new one for the network.")
    source = open_faces(data)
    if attributes is None:
        source.labels(source.names[:1], [])  # raises where there are none
        attributes = list(source.attributes.columns)
    keras.utils.set_random_seed(seed)
    config = AttributesConfig(attributes=list(attributes), width=width, resolution=resolution, seed=seed)
    network = config.network()
    dataset = faces(source, resolution, batch_size, attributes=attributes, seed=seed)
    steps = dataset.steps_per_epoch
    validation = read(source, attributes, resolution, "val")
    test = read(source, attributes, resolution, "test")  # before the work: a part may be empty
    with atomic_write(out / WEIGHTS) as partial:  # a folder that cannot be written is told now, too
        partial.touch()
    (out / WEIGHTS).unlink()

    model = keras.Sequential([keras.Input(network.input_shape[1:]), Augment(seed), network])
    schedule = keras.optimizers.schedules.CosineDecay(0.0, epochs * steps, warmup_target=rate, warmup_steps=steps)
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.05),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.AUC(multi_label=True, num_labels=len(attributes), from_logits=True, name="auc")],
    )
    keep, begin = _Keep(network, out / WEIGHTS), time.perf_counter()
    length = {"epochs": epochs, "steps_per_epoch": steps, "shuffle": False}  # the dataset shuffles
    try:
        model.fit(for_fit(dataset), **length, validation_data=validation, callbacks=[keep])
    except KeyboardInterrupt:
        if not keep.best_epoch:
            raise
        print(f"Stopped after {keep.epochs} of {epochs} epochs; the best network so far is kept.")
    minutes = (time.perf_counter() - begin) / 60
    network.load_weights(out / WEIGHTS)
    calibrate(network, network.predict(validation[0], batch_size=256, verbose=0), validation[1])
    table = measure(network.predict(test[0], batch_size=256, verbose=0), test[1], attributes)
    written = {
        "settings": config.to_dict(),
        "data": Path(data).resolve().name,
        "faces": {part: len(source.split(part)) for part in ("train", "val", "test")},
        "epochs": keep.epochs,
        "best_epoch": keep.best_epoch,
        "minutes": round(minutes, 1),
        "mean_balanced": _number(table["balanced"].mean()),
        "mean_auc": _number(table["auc"].mean()),
        "test": {name: {key: _number(value) for key, value in row.items()} for name, row in table.T.items()},
        "history": keep.history,
    }
    with atomic_write(out / WEIGHTS) as partial:
        network.save_weights(partial)
    with atomic_write(out / REPORT) as partial:
        partial.write_text(json.dumps(written, indent=1) + "\n")
    return network, table


def load_trained(folder):
    """Return the network that `train` wrote into `folder`, and its attributes in the order of its logits.

    Raises `CourseError` for a folder without a finished network, and for one that is damaged.
    """
    folder = Path(folder)
    if not (folder / REPORT).is_file():
        raise CourseError(f"'{folder}' holds no {REPORT} of a finished attribute network; train one there.")
    try:
        config = AttributesConfig.from_dict(json.loads((folder / REPORT).read_text())["settings"])
        network = config.network()
        network.load_weights(folder / WEIGHTS)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CourseError(f"The network in '{folder}' is damaged ({error!r}); train it again.") from error
    return network, config.attributes


def attribute_network(target):
    """Return (network, attributes) of a folder that `python -m gan_course attributes` wrote, or of shipped weights.

    Raises `CourseError` for what is neither, and for a network that draws faces.
    """
    name, path = str(target), Path(target)
    entries = weights.index()
    if name not in entries and path.is_dir():
        return load_trained(path)
    settings = weights.entry_of(name)["settings"]
    if settings["model"] != AttributesConfig.model:
        known = ", ".join(n for n in entries if entries[n]["settings"]["model"] == AttributesConfig.model)
        raise CourseError(f"'{name}' tells no attributes; give one of {known}, or a folder.")
    config = AttributesConfig.from_dict(settings)
    network = config.network()
    network.load_weights(weights.file_of(name))
    return network, config.attributes


def steering_for(data):
    """Return the name of the shipped steering network for the faces in the folder `data`."""
    return f"attributes-{'toon' if toon.is_cartoon(data) else 'celeba'}-steer"


def _number(value):
    """Four digits; None where there is no number, since JSON knows no NaN."""
    return round(float(value), 4) if np.isfinite(value) else None


@dataclass(frozen=True)
class AttributesConfig(Config):
    """The attribute networks. They draw nothing; `python -m gan_course attributes` trains them (`train`)."""

    model: str = "attributes"
    attributes: list = field(default_factory=list)
    width: int = option(32, "channels of the first layer", WHOLE)

    draws = False

    def network(self):
        return networks.build(self.attributes, self.width, self.resolution)

    def to_dict(self):
        return {name: getattr(self, name) for name in ("model", "attributes", "width", "resolution", "seed")}
