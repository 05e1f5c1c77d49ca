"""Checkpoints: everything that training changes, in one file that is whole or not there.

A checkpoint is a NumPy `.npz` (no pickle; every array has its own CRC) with the variables of `GAN.state()`
in order and a JSON record: step, seconds trained, and the variables' names.
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

from gan_course.errors import CourseError, CourseWarning

# What a truncated or overwritten file makes NumPy and zipfile raise.
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error)
DAMAGED += (KeyError, IndexError, ValueError, TypeError, EOFError, OSError, RuntimeError)


def save(path, gan, seconds=0.0):
    """Write the state of `gan` to `path`; a crash at any moment leaves the old file or none."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    variables = gan.state()
    record = {"step": int(gan.step), "seconds": seconds, "names": [v.path for v in variables]}
    arrays = {f"{i:05d}": np.asarray(v) for i, v in enumerate(variables)}
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            np.savez(file, record=np.frombuffer(json.dumps(record).encode(), np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())  # the bytes reach the disk before the name does
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(path, gan):
    """Set the state of `gan` from `path` and return its record (step, seconds, names).

    All arrays are read and compared in shape before the first variable changes. Raises `CourseError` where the
    file belongs to another model, and one of `DAMAGED` where the file is not whole.
    """
    variables = gan.state()
    with np.load(path, allow_pickle=False) as file:
        record = json.loads(file["record"].tobytes())
        arrays = [file[f"{i:05d}"] for i in range(len(record["names"]))]
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise CourseError(f"{path} belongs to a network of other sizes; build the GAN with the settings of its run.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    gan.settle()
    return record


def existing(folder):
    """Return the checkpoints in `folder`, newest first."""
    return sorted(Path(folder).glob("step-*.npz"), reverse=True)


def restore(folder, gan):
    """Load the newest sound checkpoint in `folder`; return its record, or None where there is no checkpoint.

    A damaged one is named in a `CourseWarning` and the one before it is used. Raises `CourseError` when all are damaged.
    """
    found = existing(folder)
    for path in found:
        try:
            return load(path, gan)
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

    def on_epoch_end(self, epoch, logs=None):
        # The weights as well: a loss is of the weights before its step.
        if not all(np.isfinite(x).all() for x in [list((logs or {}).values()), *map(np.asarray, self.model.state())]):
            return
        save(self.folder / f"step-{int(self.model.step):09d}.npz", self.model, self.clock())
        for old in existing(self.folder)[self.keep :]:
            old.unlink()
        for left in self.folder.glob("*.partial"):  # of a process that was killed while it saved
            if not re.search(rf"\.{os.getpid()}\.partial$", left.name):
                left.unlink()
