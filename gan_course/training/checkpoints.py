"""Checkpoints: everything that training changes, in one file that is whole or not there.

A checkpoint is a NumPy `.npz` (no pickle; every array has its own CRC) with the variables of
`Trainer.state()` in order and a JSON record: step, seconds trained, and the variables' names.
"""

import json
import os
import re
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np

from gan_course.backend import to_numpy
from gan_course.errors import CourseError, CourseWarning
from gan_course.files import atomic_write, clear_partials

# What a truncated or overwritten file makes NumPy and zipfile raise.
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error)
DAMAGED += (KeyError, IndexError, ValueError, TypeError, EOFError, OSError, RuntimeError)


def save(path, trainer, seconds=0.0):
    """Write the state of `trainer` to `path`; a crash at any moment leaves the old file or none."""
    variables = trainer.state()
    record = {"step": trainer.step, "seconds": seconds, "names": [v.path for v in variables]}
    arrays = {f"{i:05d}": to_numpy(v) for i, v in enumerate(variables)}
    with atomic_write(path) as partial, open(partial, "wb") as file:
        np.savez(file, record=np.frombuffer(json.dumps(record).encode(), np.uint8), **arrays)
        file.flush()
        os.fsync(file.fileno())  # the bytes reach the disk before the name does


def load(path, trainer):
    """Set the state of `trainer` from `path` and return its record (step, seconds, names).

    All arrays are read and compared in shape before the first variable changes. Raises `CourseError` where the
    file belongs to another model, and one of `DAMAGED` where the file is not whole.
    """
    variables = trainer.state()
    with np.load(path, allow_pickle=False) as file:
        record = json.loads(file["record"].tobytes())
        arrays = [file[f"{i:05d}"] for i in range(len(record["names"]))]
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise CourseError(f"{path} belongs to a network of other sizes; build it with the settings of its run.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    trainer.follow_schedule()
    return record


def existing(folder):
    """Return the checkpoints in `folder`, newest first."""
    # A copy that a file manager made has another name, such as 'step-000000009 (1).npz'.
    found = [path for path in Path(folder).glob("step-*.npz") if re.fullmatch(r"step-\d+\.npz", path.name)]
    return sorted(found, reverse=True)


def newest_step(folder):
    """Return the step of the newest checkpoint in `folder`, 0 where there is none."""
    return max((int(path.stem.removeprefix("step-")) for path in existing(folder)), default=0)


def restore(folder, trainer):
    """Load the newest sound checkpoint in `folder`; return its record, or None where there is no checkpoint.

    A damaged one is named in a `CourseWarning` and the one before it is used. Raises `CourseError` when all are damaged.
    """
    found = existing(folder)
    for path in found:
        try:
            return load(path, trainer)
        except DAMAGED as error:
            warnings.warn(
                f"The checkpoint {path} is damaged ({type(error).__name__}); trying the one before it.",
                CourseWarning,
                stacklevel=2,
            )
    if found:
        raise CourseError(f"All {len(found)} checkpoints in {folder} are damaged; delete the folder to start again.")
    return None


class Checkpoints(keras.callbacks.Callback):
    """Save at the end of every epoch and keep the newest `keep` files.

    A state with a NaN in its losses or weights is not saved: the last sound one stays the newest.
    `clock` returns the seconds trained so far.
    """

    def __init__(self, folder, keep=2, clock=lambda: 0.0):
        super().__init__()
        self.folder, self.keep, self.clock = Path(folder), keep, clock

    def on_train_begin(self, logs=None):
        clear_partials(self.folder)

    def on_epoch_end(self, epoch, logs=None):
        # The weights as well: a loss is of the weights before its step.
        numbers = [list((logs or {}).values()), *map(to_numpy, self.model.state())]
        if not all(np.isfinite(x).all() for x in numbers):
            return
        save(self.folder / f"step-{self.model.step:09d}.npz", self.model, self.clock())
        for old in existing(self.folder)[self.keep :]:
            old.unlink()
