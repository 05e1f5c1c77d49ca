"""Read a folder (or zip) of faces in any layout that CelebA is found in.

CelebA (Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015) has 202,599 aligned faces of
178x218 pixels with 40 yes/no attributes. `open_faces` accepts

- the official folder: `img_align_celeba/000001.jpg`, with `list_attr_celeba.txt`, `list_eval_partition.txt`
  and `identity_CelebA.txt` beside it, or in the folders `Img`, `Anno` and `Eval` of its Google Drive;
- the official `img_align_celeba.zip`, read without unpacking, the text files beside it;
- Kaggle's `jessicali9530/celeba-dataset`: nested image folders and CSV files, unpacked or as the zip;
- partial copies, and folders of JPEG or PNG images without any annotation, at any depth: one folder per person
  (LFW), one per group (`male`, `female`), or `train`, `val` and `test`.

The cartoon faces of `gan_course.data.toon` are written in the same layout, so lessons read both alike.
`gan_course.data.archive` finds the pictures, `gan_course.data.fetch` downloads the real CelebA.
"""

import hashlib
import io
import os
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from gan_course.data.archive import find_images, is_image, is_page, left_out_count, some
from gan_course.errors import CourseError
from gan_course.settings import expand

PARTS = ("train", "val", "test")
PART_FOLDERS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}
LFW_NAME = re.compile(r"(.*/)?([^/]+)/\2_\d{4}")
NUMBERED_PERSON = re.compile(r"(.*/)?(person|people|subject|identity|id|actor|s|n|p)[ _-]?\d+", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class FaceFolder:
    """Faces and what is known about them. Made by `open_faces`; `names` is the order of all other arrays."""

    path: Path  # what the user gave
    names: np.ndarray  # (n,) str, sorted: the images that exist, as paths below the folder that all share
    parts: np.ndarray  # (n,) int8: 0 train, 1 val, 2 test
    attributes: pd.DataFrame | None  # index: names; columns: CelebA's names; values 0 or 1, int8
    identity: np.ndarray | None  # (n,) int32: the same number is the same person
    folders: np.ndarray  # (n,) str: the folder of each name, '' where there is none; groups, such as 'male', 'female'
    missing: int  # annotation rows without an image (skipped)
    left_out: tuple[str, ...]  # one phrase each: which pictures were found and are not in `names`, and why
    notes: tuple[str, ...]  # one sentence each: the above, how the split was made, what was assumed
    store: object = field(repr=False)  # what `find_images` returns: where the bytes come from

    def __len__(self):
        return len(self.names)

    def read(self, name):
        """Return the bytes of one image file as they are stored (JPEG or PNG). Many threads may call it.

        Raises CourseError if the image is unknown, cannot be read or fails the zip's checksum.
        """
        return self.store.read(str(name))

    def split(self, part):
        """Return the names of one part: 'train', 'val', 'test', or 'all'."""
        if part == "all":
            return self.names
        if part not in PARTS:
            raise CourseError(f"There is no part '{part}'; choose one of {', '.join(PARTS)}, all.")
        return self.names[self.parts == PARTS.index(part)]

    def summary(self, part="train", used=None):
        """Return one sentence: how many faces of `part` are used, of how many, and what was left out and why.

        used: how many of the part, where it is not all (broken ones are known only when they are read).
        """
        used = len(self.split(part)) if used is None else used
        text = f"{used:,} of {len(self):,} faces are used (part {part}) of {self.path}"
        return "; ".join([text, *self.left_out]) + "."

    def fingerprint(self):
        """Return 16 hexadecimal digits of the names and sizes of all images: the same faces have the same ones.

        A zip and the folder that it unpacks to are the same faces. Pixels are not read.
        """
        digest = hashlib.sha256()
        for name in self.names.tolist():
            digest.update(f"{name}\0{self.store.size(name)}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:16]

    def labels(self, names, attributes):
        """Return 0/1 labels of `names` for a list of attributes: float32, (len(names), len(attributes))."""
        if self.attributes is None:
            raise CourseError(
                f"'{self.path}' has no attributes; put list_attr_celeba.txt beside its images to use them."
            )
        unknown = [name for name in attributes if name not in self.attributes.columns]
        if unknown:
            raise CourseError(
                f"There is no attribute '{unknown[0]}' in '{self.path}'; choose from "
                f"{', '.join(self.attributes.columns)}."
            )
        rows = self.attributes.index.get_indexer(np.asarray(names))
        if (rows < 0).any():
            raise CourseError(f"'{self.path}' has no image '{np.asarray(names)[rows < 0][0]}'; see its `names`.")
        return self.attributes[list(attributes)].to_numpy("float32")[rows]


def open_faces(path):
    """Open a folder or zip of faces in any layout that this module's docstring lists.

    Where there is no official split, or it leaves a part empty here (as in the first 10,000 images, which
    are all 'train'), faces are split 80/10/10 by a hash of the person, so that nobody is in two parts.
    The hash makes the split stable: a face stays in its part when more images are added.

    Raises CourseError if the path does not exist or holds no images, and if a zip or an annotation file is
    damaged (naming the file and the line).
    """
    path = expand(path)
    store = find_images(path)
    images = np.array(sorted(store.names), dtype=str)
    kinds = {"attributes": ATTRIBUTES, "parts": PARTITION, "identity": IDENTITY}
    tables = {key: _read_table(store, kind) for key, kind in kinds.items()}
    tables = {key: table for key, table in tables.items() if table is not None}
    names, tables, missing, left_out, notes = _join(path, images, tables)
    left_out = (*store.left_out, *left_out)
    notes = [f"{phrase[0].upper()}{phrase[1:]}." for phrase in left_out] + notes

    attributes = tables.get("attributes")
    if attributes is None:
        notes.append("There is no list_attr_celeba file, so no attributes.")
    else:
        attributes = (attributes > 0).astype("int8")  # CelebA writes -1 and 1, some copies 0 and 1
    folders = np.array([name.rpartition("/")[0] for name in names.tolist()], dtype=str)
    identity = tables["identity"].iloc[:, 0].to_numpy("int32") if "identity" in tables else None
    official = tables["parts"].iloc[:, 0].to_numpy("int8") if "parts" in tables else None
    parts, identity, more = _split(names, official, identity, folders)
    return FaceFolder(path, names, parts, attributes, identity, folders, missing, left_out, (*notes, *more), store)


# --- annotation files ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    """One kind of annotation file: its names, what its cells are, and their smallest and largest value."""

    files: tuple[str, str]
    cell: str
    low: int
    high: int


ATTRIBUTES = _Kind(("list_attr_celeba.txt", "list_attr_celeba.csv"), "-1, 0 or 1", -1, 1)
PARTITION = _Kind(("list_eval_partition.txt", "list_eval_partition.csv"), "0, 1 or 2", 0, 2)
IDENTITY = _Kind(("identity_CelebA.txt", "identity_CelebA.csv"), "a person's number", 0, 2**31 - 1)


def _read_table(store, kind):
    """Return the annotation file of this kind as a table (index: image names; whole numbers), or None.

    Official files are text with columns divided by spaces, a number of rows in line 1 and names in line 2
    (only the attributes), and no name for the image column. Kaggle's are CSV with a line of names. Both
    forms, and mixtures of them (with commas, semicolons or tabs), are told apart by what the first lines hold.
    """
    found = store.find(kind.files)
    if found is None:
        return None
    file, data = found
    if is_page(data):
        raise CourseError(f"'{file}' is a web page (perhaps a quota notice), not a list; download it again.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # a spreadsheet's "Unicode text"
        data = data.decode("utf-16", errors="replace").encode()
    lines = data[:10_000].decode("utf-8-sig", errors="replace").splitlines()[:10] + ["", ""]
    skip = 1 if lines[0].strip(" ,;\t").isdecimal() else 0
    announced = int(lines[0].strip(" ,;\t")) if skip else 0
    divider = next((mark for mark in ";,\t" if mark in lines[skip].strip()), None)  # None: spaces
    header = [_bare(cell) for cell in lines[skip].split(divider)]
    if not header or is_image(header[0]) or _is_whole(header[-1]):  # no names: the rows begin here
        header = []
    if not header and kind is ATTRIBUTES:
        raise CourseError(f"'{file}' has no line with the attributes' names; download it again.")
    usual = statistics.mode([len(line.split(divider)) for line in lines[skip + 1 :] if line.strip()] or [0])
    named = len(header) >= usual  # has a name for the image column
    columns = len(header) + (not named) if header else 2
    skip += bool(header)
    try:
        table = pd.read_csv(
            io.BytesIO(data), sep=divider or r"\s+", header=None, skiprows=skip, dtype={0: str},
            low_memory=False, encoding="utf-8-sig", skipinitialspace=True,
        ).set_index(0)  # fmt: skip
        values = table.to_numpy()
        good = values.dtype.kind == "i" and values.shape[1] == columns - 1
        good = good and values.min() >= kind.low and values.max() <= kind.high
    except (ValueError, OverflowError):  # pandas' ParserError and EmptyDataError are ValueErrors
        good = False
    if not good:
        raise _blame(file, data, kind, skip, divider, columns)
    if table.index.has_duplicates:
        raise CourseError(f"'{file}' lists '{table.index[table.index.duplicated()][0]}' twice; download it again.")
    if header:
        table.columns = header[named:]
    table.attrs = {"file": file, "name": Path(file).name, "announced": announced}
    return table


def _bare(cell):
    return cell.strip().strip('"')


def _is_whole(cell):
    try:
        int(_bare(cell))
    except ValueError:
        return False
    return True


def _blame(file, data, kind, skip, divider, columns):
    """Return the CourseError that names the first bad line of an annotation file.

    Only called after the quick parser has failed, so a slow loop over lines does no harm.
    """
    for number, line in enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), start=1):
        if number <= skip or not line.strip():
            continue
        cells = line.split(divider)
        if len(cells) != columns:
            return CourseError(f"'{file}' line {number} has {len(cells)} columns, not {columns}; download it again.")
        for cell in cells[1:]:
            if not _is_whole(cell) or not kind.low <= int(_bare(cell)) <= kind.high:
                return CourseError(f"'{file}' line {number} has '{cell}' instead of {kind.cell}; download it again.")
    return CourseError(f"'{file}' has no rows; download it again.")


# --- putting it together -------------------------------------------------------------------------------


def _join(path, images, tables):
    """Keep the images that every annotation file lists.

    Returns (names, tables with a row for each name in this order, rows without an image, phrases about images
    left out, notes).
    """
    keep = np.ones(len(images), bool)
    rows, without, left_out, notes = {}, {}, [], []
    for key, table in tables.items():
        file, announced = table.attrs["name"], table.attrs["announced"]
        if len(table) < announced:
            notes.append(f"{file} announces {announced:,} rows and holds only {len(table):,}.")
        row = _match(images, table.index)
        listed = row >= 0
        if not listed.any():
            raise CourseError(
                f"None of the {len(images):,} images of '{path}' (such as '{images[0]}') is listed in "
                f"'{table.attrs['file']}' (which lists '{table.index[0]}'); give the images the names of the list, "
                "or move the list away."
            )
        unlisted = images[~listed & keep]
        if len(unlisted):
            left_out.append(f"{left_out_count(len(unlisted))} because {file} does not list them ({some(unlisted)})")
        rows[key] = row
        without[file] = len(table) - int(listed.sum())
        keep &= listed
    missing = max(without.values(), default=0)
    if missing:  # of one file only: a partial copy lacks the same images in all of them
        file = max(without, key=without.get)
        notes.append(f"{missing:,} rows of {file} were skipped because their images are not here.")
    names = images[keep]
    tables = {key: table.iloc[rows[key][keep]].set_axis(names) for key, table in tables.items()}
    return names, tables, missing, left_out, notes


def _match(images, listed):
    """Return the row of each image in the list, or -1: by its name, else without ending and case where this is clear.

    A copy converted to PNG keeps the numbers, and the official list says .jpg. Where nothing fits, folders do not
    count: people sort the official images into folders, and the list has none.
    """
    rows = listed.get_indexer(images)
    for key in (_stem, lambda name: _stem(name).replace("\\", "/").rpartition("/")[2]):
        ours = np.flatnonzero(rows < 0)
        if len(ours) == 0 or (key is not _stem and (rows >= 0).any()):
            break
        free = np.ones(len(listed), bool)
        free[rows[rows >= 0]] = False
        free = np.flatnonzero(free)
        theirs = pd.Series(free, [key(name) for name in listed[free]])
        theirs = theirs[~theirs.index.duplicated(keep=False)]
        keys = pd.Index([key(name) for name in images[ours]])
        found = theirs.reindex(keys).fillna(-1).to_numpy(int)
        rows[ours] = np.where(keys.duplicated(keep=False), -1, found)
    return rows


def _stem(name):
    return os.path.splitext(name)[0].lower()


def _split(names, official, identity, folders):
    """Return ((n,) int8 parts, identity or that which the folders tell, sentences that say how they were made)."""
    notes, whose = [], "CelebA's official ones"
    tops, _, below = np.strings.partition(folders, "/")
    if official is None and all(top.lower() in PART_FOLDERS for top in set(tops.tolist())):
        official = np.array([PART_FOLDERS[top.lower()] for top in tops], "int8")
        folders, whose = below, "those of its folders"
    if identity is not None:
        keys, group = np.unique(identity, return_inverse=True)
    else:
        keys, people, notes = _people(names, folders)
        keys, group = np.unique(keys, return_inverse=True)
        identity = group.astype("int32") if people else None
    if official is not None and len(np.unique(official)) == len(PARTS):
        return official, identity, [*notes, f"The parts are {whose}."]
    if official is None:
        why = "there is no list_eval_partition file"
    else:
        empty = [part for number, part in enumerate(PARTS) if number not in official]
        split = "official split" if "CelebA" in whose else "split by folders"
        why = f"the {split} leaves {' and '.join(empty)} empty here"
    if identity is not None:
        how = "by a hash of the person, so that nobody is in two parts"
    else:
        how = "by a hash of the file name (one person may be in two parts, as there is no identity_CelebA.txt)"
    digests = [hashlib.sha256(str(key).encode(errors="surrogateescape")).digest() for key in keys]
    tenth = np.array([int.from_bytes(digest[:8], "big") % 10 for digest in digests])
    parts = np.where(tenth < 8, 0, tenth - 7).astype("int8")[group]
    empty = [part for number, part in enumerate(PARTS) if number not in parts]
    also = f"; with so few faces {' and '.join(empty)} came out empty" if empty else ""
    return parts, identity, [*notes, f"Faces were split 80/10/10 {how}, because {why}{also}."]


def _people(names, folders):
    """Return (a key of the person in each image, whether folders are persons, sentences that say what was assumed).

    Folders are taken as one person each where they are at least as many as the images in one of them, or where their
    names are those of LFW (`Ada_Byron/Ada_Byron_0001.jpg`) or numbered persons (`subject12`); else as groups.
    """
    stems = np.array([os.path.splitext(name)[0] for name in names.tolist()])
    sizes = Counter(folders[folders != ""].tolist())
    if len(sizes) + ("" in folders) < 2:
        return stems, False, []
    several = len(sizes) > 1 and 2 * sizes.total() > len(names)  # pictures beside the folders are exceptions
    named = all(map(NUMBERED_PERSON.fullmatch, sizes)) or (
        sum("_" in folder for folder in sizes) > len(sizes) / 2
        and all(LFW_NAME.fullmatch(stem) for stem, folder in zip(stems, folders, strict=True) if folder)
    )
    if several and (named or len(sizes) ** 2 >= sizes.total()):
        note = f"Each of the {len(sizes):,} folders was taken as one person (they are many, or have names of persons)."
        return np.where(folders == "", stems, folders), True, [note]
    sizes = ", ".join([f"{folder} {count:,}" for folder, count in sizes.most_common(4)] + ["..."] * (len(sizes) > 4))
    return stems, False, [f"The folders ({sizes}) were taken as groups, not as one person each."]
