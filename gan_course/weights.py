"""The files of weights that the course ships, in `data/weights/`, and the fingerprint of any weights.

`gan_course.pretrained` makes networks of the files.

`index.json` there names each file with its size, sha256 and network; beside it lies a model card. The files are
Keras's `.weights.h5`, which hold numbers only (no pickle, no code) and load on any Keras backend.
"""

import hashlib
import json

import numpy as np

from gan_course.errors import CourseError
from gan_course.settings import ROOT

FOLDER = ROOT / "data" / "weights"


def index():
    """Return {name: entry} of the shipped weights; an entry has file, bytes, sha256, settings and summary."""
    path = FOLDER / "index.json"
    return json.loads(path.read_text()) if path.is_file() else {}  # an installed copy ships none


def entry_of(name):
    """Return the entry of shipped weights; raise `CourseError` for an unknown name."""
    entries = index()
    if name not in entries:
        shipped = ", ".join(entries) or "none in this copy"
        raise CourseError(f"'{name}' is neither the folder of a run nor shipped weights; shipped: {shipped}.")
    return entries[name]


def file_of(name):
    """Return the path of shipped weights; raise `CourseError` where size or sha256 is not the recorded one."""
    entry = entry_of(name)
    path = FOLDER / entry["file"]
    data = path.read_bytes() if path.is_file() else b""
    if len(data) != entry["bytes"] or hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise CourseError(f"{path} is missing or damaged; run 'git checkout -- {path.relative_to(ROOT).as_posix()}'.")
    return path


def weights_sha256(model):
    """Return the sha256 of a network's numbers, in order: the same for a run and for the weights shipped from it."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
