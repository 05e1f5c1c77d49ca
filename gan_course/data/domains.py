"""Domains: the combinations of some attributes' values (or the subfolders), as the faces of a folder have them.

StarGAN v2 (Choi et al. 2020) and L2M-GAN (Yang et al. 2021) call a set of alike pictures a domain. With the attributes Smiling and
Eyeglasses there are four: neither, Smiling, Eyeglasses, both. A folder without CelebA's attributes, such as animals, has one domain for
each of its subfolders.
"""

import numpy as np

from gan_course.data import pipeline
from gan_course.data.celeba import PART_FOLDERS, open_faces
from gan_course.errors import CourseError

FOLDERS = "folders"  # in the place of attributes: each subfolder is a domain
LEAST = 20  # faces of a domain to train on


def attributes_of(text):
    """Return the attributes of a text such as 'Smiling,Eyeglasses'; none for 'folders'.

    Raises `CourseError` for an empty one, for one named twice, and for more than four (16 domains).
    """
    if text.strip() == FOLDERS:
        return []
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names) or len(names) > 4:
        raise CourseError(f"The attributes are '{text}'; name one to four with commas, each once, or say '{FOLDERS}'.")
    return names


def names_of(source, text):
    """Return the names of the domains that the attributes `text` make of an opened folder.

    Domain d has attribute b where bit b of d is 1: 'not Smiling, not Eyeglasses', 'Smiling, not Eyeglasses', ...
    """
    attributes = attributes_of(text)
    if attributes:
        source.labels(source.names[:1], attributes)  # raises where one is unknown
        count = 2 ** len(attributes)
        return [
            ", ".join(name if d >> b & 1 else f"not {name}" for b, name in enumerate(attributes)) for d in range(count)
        ]
    names = sorted(set(_folders(source)) - {""})
    if len(names) < 2:
        raise CourseError(
            f"The pictures of '{source.path}' lie in {len(names)} folders below it; put those of each class into a folder of "
            "its own, two or more."
        )
    return names


def _folders(source):
    """Return the last folder of each picture, '' where there is none; a folder of a part, such as 'train', is none."""
    last = [folder.rpartition("/")[2] for folder in source.folders.tolist()]
    return ["" if folder.lower() in PART_FOLDERS else folder for folder in last]


def numbers_of(source, names, text, domains):
    """Return the domain of each picture in `names`, int64 (n,): an index of `domains`, or -1 where it is in none of them."""
    attributes = attributes_of(text)
    if attributes:
        labels = source.labels(names, attributes) > 0.5
        return (labels << np.arange(len(attributes))).sum(axis=1)
    rows = np.searchsorted(source.names, names)
    places = {name: place for place, name in enumerate(domains)}
    folders = _folders(source)
    return np.array([places.get(folders[row], -1) for row in rows], "int64")


def read(source, resolution, part, text, domains, limit=None):
    """Return (pictures uint8 (n, r, r, 3), domains (n,)) of one part of a folder; those in no domain are left out.

    limit: look at the first so many.
    """
    source = source if hasattr(source, "labels") else open_faces(source)
    images, names = pipeline.load(source, resolution, part, limit)
    numbers = numbers_of(source, names, text, domains)
    return (images, numbers) if (numbers >= 0).all() else (images[numbers >= 0], numbers[numbers >= 0])


def balanced(numbers, count):
    """Return rows in which each of `count` domains is as frequent as the largest: faces of a small one come several times."""
    groups = [np.flatnonzero(numbers == d) for d in range(count)]
    most = max(map(len, groups))
    return np.concatenate([np.resize(group, most) for group in groups])


def faces(source, resolution, batch_size, text, domains, mirror=True, seed=0, start_step=0):
    """Return an endless dataset of (pictures, domains) of the part train, all domains equally often.

    A batch: float32 (batch_size, r, r, 3) in [-1, 1], and float32 (batch_size, K) with a single 1 in each row. As with
    `pipeline.faces`, the batch at step k is a function of seed and k. An epoch shows each domain as often as the largest has
    faces. Raises `CourseError` for a domain with fewer than 20 faces.
    """
    images, numbers = read(source, resolution, "train", text, domains)
    for d, name in enumerate(domains):
        if (found := int((numbers == d).sum())) < LEAST:
            raise CourseError(
                f"The domain '{name}' has {found} faces to train on in '{source.path}', and needs {LEAST}; choose other attributes "
                "or add faces."
            )
    labels = np.eye(len(domains), dtype="float32")[numbers]
    stages = [(0, batch_size)]
    rows = balanced(numbers, len(domains))
    return pipeline.dataset(
        pipeline.Batches(images, labels, batch_size, stages, start_step * batch_size, mirror, seed, rows)
    )
