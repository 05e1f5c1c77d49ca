"""Read a folder (or zip) of faces in any layout that CelebA is found in.

CelebA (Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015) has 202,599 aligned faces of
178x218 pixels with 40 yes/no attributes. `open_faces` accepts

- the official folder: `img_align_celeba/000001.jpg`, with `list_attr_celeba.txt`, `list_eval_partition.txt`
  and `identity_CelebA.txt` beside it, or in the folders `Img`, `Anno` and `Eval` of its Google Drive;
- the official `img_align_celeba.zip`, read without unpacking, the text files beside it;
- Kaggle's `jessicali9530/celeba-dataset`: nested image folders and CSV files, unpacked or as the zip;
- partial copies, and plain folders of JPEG or PNG images without any annotation.

The cartoon faces of `gan_course.data.toon` are written in the same layout, so lessons read both alike.
`gan_course.data.fetch` downloads the real CelebA.
"""

import hashlib
import io
import itertools
import os
import threading
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from gan_course.errors import CourseError

# What `zipfile` raises for damaged, encrypted and unsupported entries.
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError)
PARTS = ("train", "val", "test")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
# Where images may lie under the path that the user gives; the first that holds images wins.
IMAGE_FOLDERS = (
    "img_align_celeba/img_align_celeba",  # Kaggle
    "img_align_celeba",
    "Img/img_align_celeba",  # the official Drive folder
    "img_align_celeba_png",
    "Img/img_align_celeba_png",
)
IMAGE_ZIPS = ("img_align_celeba.zip", "Img/img_align_celeba.zip", "celeba-dataset.zip", "archive.zip")


@dataclass(frozen=True, eq=False)
class FaceFolder:
    """Faces and what is known about them. Made by `open_faces`; `names` is the order of all other arrays."""

    path: Path  # what the user gave
    names: np.ndarray  # (n,) str, sorted file names of the images that exist
    parts: np.ndarray  # (n,) int8: 0 train, 1 val, 2 test
    attributes: pd.DataFrame | None  # index: names; columns: CelebA's names; values 0 or 1, int8
    identity: np.ndarray | None  # (n,) int32: the same number is the same person
    missing: int  # annotation rows without an image (skipped)
    notes: tuple[str, ...]  # one sentence each: how the split was made, what was skipped
    store: object = field(repr=False)  # _Folder or _Zip: where the bytes come from

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

    def summary(self, part="train"):
        return f"{len(self.split(part)):,} of {len(self):,} faces are used (part {part}) of {self.path}."

    def fingerprint(self):
        return hashlib.sha256("".join(self.names).encode()).hexdigest()[:16]

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
    path = Path(path).expanduser()
    store = find_images(path)
    images = np.array(sorted(store.names), dtype=str)
    kinds = {"attributes": ATTRIBUTES, "parts": PARTITION, "identity": IDENTITY}
    tables = {key: _read_table(store, kind) for key, kind in kinds.items()}
    tables = {key: table for key, table in tables.items() if table is not None}
    names, tables, missing, notes = _join(path, images, tables)
    notes = list(store.notes) + notes

    attributes = tables.get("attributes")
    if attributes is None:
        notes.append("There is no list_attr_celeba file, so no attributes.")
    else:
        attributes = (attributes > 0).astype("int8")  # CelebA writes -1 and 1, some copies 0 and 1
    identity = tables["identity"].iloc[:, 0].to_numpy("int32") if "identity" in tables else None
    official = tables["parts"].iloc[:, 0].to_numpy("int8") if "parts" in tables else None
    parts, note = _split(names, official, identity)
    return FaceFolder(path, names, parts, attributes, identity, missing, tuple(notes + [note]), store)


# --- where the bytes are -------------------------------------------------------------------------------


class _Folder:
    """Images in one folder, annotation files in it or around it."""

    notes = ()

    def __init__(self, folder):
        self.place = folder
        with os.scandir(folder) as entries:
            self.names = {entry.name for entry in entries if is_image(entry.name)}

    def read(self, name):
        try:
            return (self.place / name).read_bytes()
        except OSError as error:
            raise CourseError(f"Cannot read '{self.place / name}' ({error.strerror}); copy it again.") from error

    def annotation(self, file_names):
        return _annotation_beside(self.place, file_names)


class _Zip:
    """Images in a zip at any depth, annotation files in the zip or around it.

    One handle and a lock: a handle per thread would parse the central directory of 202,599 entries again in
    each (about a second), and reading an image under the lock takes a fraction of decoding it.
    """

    def __init__(self, path):
        self.place = path
        try:
            self.zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise CourseError(
                f"'{path}' is damaged or was not downloaded completely; delete it and fetch it again."
            ) from error
        self.lock = threading.Lock()
        self.members = {}  # file name -> the zip's entry
        self.others = {}
        doubles = 0
        for entry in self.zip.infolist():
            name = entry.filename.rpartition("/")[2]  # PurePosixPath would take 1 s for all faces
            if entry.filename.startswith("__MACOSX/") or entry.is_dir():
                continue
            if is_image(name):
                doubles += name in self.members
                self.members.setdefault(name, entry)
            else:
                self.others.setdefault(name, entry)
        self.names = self.members.keys()
        note = f"{doubles:,} images are in '{path.name}' twice; the first was taken."
        self.notes = (note,) if doubles else ()

    def read(self, name):
        if name not in self.members:
            raise CourseError(f"'{self.place}' holds no image '{name}'; see the `names` of the opened faces.")
        return self._read(self.members[name])

    def annotation(self, file_names):
        for name in file_names:
            if name in self.others:
                return f"{self.place}/{name}", self._read(self.others[name])
        return _annotation_beside(self.place.parent, file_names)

    def _read(self, entry):
        try:
            with self.lock:
                return self.zip.read(entry)
        except BROKEN_ZIP as error:
            raise CourseError(
                f"'{entry.filename}' in '{self.place}' is damaged ({error}); fetch the zip again."
            ) from error


def is_image(name):
    """Return whether a file of this name is an image that the course reads."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")  # macOS leaves ._000001.jpg


def find_images(path):
    """Return the _Folder or _Zip that holds the images of `path`."""
    if not path.exists():
        raise CourseError(f"'{path}' does not exist; give a CelebA folder or zip.")
    if path.is_file():
        stores = [_Zip(path)]
    else:
        bases = [path, path / "celeba", path / "CelebA"]  # torchvision and others add a folder
        folders = [base / name for base in bases for name in IMAGE_FOLDERS] + [path]
        stores = (_Folder(folder) for folder in folders if folder.is_dir())
        zips = (_Zip(base / name) for base in bases for name in IMAGE_ZIPS if (base / name).is_file())
        stores = itertools.chain(stores, zips)  # both lazy: opening a zip of all faces takes a second
    for store in stores:
        if store.names:
            return store
    raise CourseError(
        f"'{path}' holds no JPEG or PNG images; give the folder that img_align_celeba is in, or img_align_celeba.zip."
    )


def find_beside(place, file_names):
    """Return the path of the first of `file_names` in the folder `place` or in those around it, else None."""
    home = place
    while home.name.lower() in ("img_align_celeba", "img_align_celeba_png", "img"):
        home = home.parent
    for folder in (place, home, home / "Anno", home / "Eval"):
        for name in file_names:
            if (folder / name).is_file():
                return folder / name
    return None


def _annotation_beside(place, file_names):
    file = find_beside(place, file_names)
    return None if file is None else (str(file), file.read_bytes())


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
    forms, and mixtures of them, are told apart by what the first lines hold.
    """
    found = store.annotation(kind.files)
    if found is None:
        return None
    file, data = found
    lines = data[:10_000].decode("utf-8-sig", errors="replace").splitlines()[:2] + ["", ""]
    comma = "," if file.lower().endswith(".csv") else None
    skip = 1 if lines[0].strip().isdigit() else 0
    announced = int(lines[0]) if skip else 0
    header = [_bare(cell) for cell in lines[skip].split(comma)]
    if not header or is_image(header[0]) or _is_whole(header[-1]):  # no names: the rows begin here
        header = []
    if not header and kind is ATTRIBUTES:
        raise CourseError(f"'{file}' has no line with the attributes' names; download it again.")
    named = bool(header) and (comma is not None or header[0] == "image_id")  # has a name for the image column
    columns = len(header) + (not named) if header else 2
    skip += bool(header)
    try:
        table = pd.read_csv(
            io.BytesIO(data), sep=comma or r"\s+", header=None, skiprows=skip, dtype={0: str},
            low_memory=False, encoding="utf-8-sig",
        ).set_index(0)  # fmt: skip
        values = table.to_numpy()
        good = values.dtype.kind == "i" and values.shape[1] == columns - 1
        good = good and values.min() >= kind.low and values.max() <= kind.high
    except (ValueError, OverflowError):  # pandas' ParserError and EmptyDataError are ValueErrors
        good = False
    if not good:
        raise _blame(file, data, kind, skip, comma, columns)
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


def _blame(file, data, kind, skip, comma, columns):
    """Return the CourseError that names the first bad line of an annotation file.

    Only called after the quick parser has failed, so a slow loop over lines does no harm.
    """
    for number, line in enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), start=1):
        if number <= skip or not line.strip():
            continue
        cells = line.split(comma)
        if len(cells) != columns:
            return CourseError(f"'{file}' line {number} has {len(cells)} columns, not {columns}; download it again.")
        for cell in cells[1:]:
            if not _is_whole(cell) or not kind.low <= int(_bare(cell)) <= kind.high:
                return CourseError(f"'{file}' line {number} has '{cell}' instead of {kind.cell}; download it again.")
    return CourseError(f"'{file}' has no rows; download it again.")


# --- putting it together -------------------------------------------------------------------------------


def _join(path, images, tables):
    """Keep the images that every annotation file lists.

    Returns (names, tables with a row for each name in this order, rows without an image, notes).
    """
    index, keep = pd.Index(images), np.ones(len(images), bool)
    rows, without, notes = {}, {}, []
    for key, table in tables.items():
        file, announced = table.attrs["name"], table.attrs["announced"]
        if len(table) < announced:
            notes.append(f"{file} announces {announced:,} rows and holds only {len(table):,}.")
        row = table.index.get_indexer(index)
        if (row < 0).all() and not index[0].lower().endswith(".jpg"):
            # A copy converted to PNG keeps the numbers; the official annotation says .jpg.
            row = pd.Index(_stems(table.index)).get_indexer(_stems(images))
        listed = row >= 0
        if not listed.any():
            raise CourseError(f"None of the {len(images):,} images of '{path}' is listed in '{table.attrs['file']}'.")
        if not (listed | ~keep).all():
            notes.append(f"{(~listed & keep).sum():,} images were skipped because {file} does not list them.")
        rows[key] = row
        without[file] = len(table) - int(listed.sum())
        keep &= listed
    missing = max(without.values(), default=0)
    if missing:  # of one file only: a partial copy lacks the same images in all of them
        file = max(without, key=without.get)
        notes.append(f"{missing:,} rows of {file} were skipped because their images are not here.")
    names = images[keep]
    tables = {key: table.iloc[rows[key][keep]].set_axis(names) for key, table in tables.items()}
    return names, tables, missing, notes


def _stems(names):
    return [os.path.splitext(name)[0] for name in names]


def _split(names, official, identity):
    """Return ((n,) int8 parts, a sentence that says how they were made)."""
    if official is not None and len(np.unique(official)) == len(PARTS):
        return official, "The parts are CelebA's official ones."
    if official is None:
        why = "there is no list_eval_partition file"
    else:
        empty = [part for number, part in enumerate(PARTS) if number not in official]
        why = f"the official split leaves {' and '.join(empty)} empty here"
    if identity is not None:
        keys, group = np.unique(identity, return_inverse=True)
        how = "by a hash of the person, so that nobody is in two parts"
    else:
        keys = _stems(names)
        group = np.arange(len(names))
        how = "by a hash of the file name (one person may be in two parts, as there is no identity_CelebA.txt)"
    digests = [hashlib.sha256(str(key).encode()).digest() for key in keys]
    tenth = np.array([int.from_bytes(digest[:8], "big") % 10 for digest in digests])
    parts = np.where(tenth < 8, 0, tenth - 7).astype("int8")[group]
    empty = [part for number, part in enumerate(PARTS) if number not in parts]
    also = f"; with so few faces {' and '.join(empty)} came out empty" if empty else ""
    return parts, f"Faces were split 80/10/10 {how}, because {why}{also}."
