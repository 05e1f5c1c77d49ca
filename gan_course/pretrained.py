"""Weights that the course ships, in `data/weights/`.

`index.json` there names each file with its size, sha256 and network; beside it lies a model card. The files are
Keras's `.weights.h5`, which hold numbers only (no pickle, no code) and load on any Keras backend.
"""

import hashlib
import json

from gan_course.errors import CourseError
from gan_course.settings import ROOT

FOLDER = ROOT / "data" / "weights"


def index():
    """Return {name: entry} of the shipped weights; an entry has file, bytes, sha256, settings and summary."""
    path = FOLDER / "index.json"
    return json.loads(path.read_text()) if path.is_file() else {}  # an installed copy ships none


def tells_attributes(name):
    """Return whether `name` is a shipped attribute network (and no generator)."""
    return index().get(name, {}).get("settings", {}).get("model") == "attributes"


def load(name):
    """Return the network called `name` with its weights: an averaged generator or an attribute network.

    An attribute network's logits are in the order of `index()[name]["settings"]["attributes"]`.
    Raises `CourseError` for an unknown name and for a file whose size or sha256 is not the recorded one.
    """
    entries = index()
    if name not in entries:
        shipped = ", ".join(entries) or "none in this copy"
        raise CourseError(f"'{name}' is neither the folder of a run nor shipped weights; shipped: {shipped}.")
    entry = entries[name]
    path = FOLDER / entry["file"]
    data = path.read_bytes() if path.is_file() else b""
    if len(data) != entry["bytes"] or hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise CourseError(f"{path} is missing or damaged; run 'git checkout -- {path.relative_to(ROOT).as_posix()}'.")
    settings = entry["settings"]
    if settings["model"] == "attributes":
        from gan_course.models import attributes

        network = attributes.build(settings["attributes"], settings["width"], settings["resolution"])
    else:
        from gan_course.training.run import Settings, build_generator

        network = build_generator(Settings(**settings))
    network.load_weights(path)
    return network
