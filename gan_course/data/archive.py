"""Find the pictures in a folder or zip, at any depth, and read them.

A picture's name is its path below the folder that all pictures share, such as `000001.jpg` or `Ada_Byron/1.jpg`.
So one tree of pictures has the same names as a folder and as a zip. Where several sets of pictures lie under one
path (a download beside holiday pictures), the set that looks most like CelebA is read, and the rest is named.
"""

import os
import posixpath
import re
import struct
import threading
import zipfile
import zlib
from collections import Counter
from contextlib import suppress

from gan_course.errors import CourseError
from gan_course.settings import expand

# What `zipfile` raises for damaged, encrypted and unsupported entries.
BROKEN_ZIP = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError
)  # fmt: skip
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png")
OTHER_PICTURES = (".heic", ".heif", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
CELEBA_FOLDERS = ("img_align_celeba", "img_align_celeba_png")
IMAGE_COUNT = 202_599  # of the whole CelebA
OFFICIAL_NAME = re.compile(r"\d{6}\.(jpe?g|png)", re.IGNORECASE)


def is_image(name):
    """Return whether a file of this name is an image that the course reads."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")  # macOS leaves ._000001.jpg


def is_official(name):
    """Return whether an image has a name such as CelebA gives: `000001.jpg`, in any folder."""
    return OFFICIAL_NAME.fullmatch(_base(name)) is not None


def is_page(data):
    """Return whether the bytes are a web page: a login or a quota notice, saved under another name."""
    return data[:1000].lstrip().lower().startswith((b"<!doctype html", b"<html", b"<head"))


def left_out_count(count):
    """Return how a phrase about left-out pictures begins."""
    return f"{count:,} image was left out" if count == 1 else f"{count:,} images were left out"


def some(names):
    """Return the first names as text, those of the top folder before others: 'a.jpg, b.jpg, c/d.jpg and others'."""
    first = sorted(names, key=lambda name: (name.count("/"), name))
    return ", ".join(first[:3]) + (" and others" if len(first) > 3 else "")


class _Store:
    """The files below one folder or in one zip; `choose` says which of its pictures are read."""

    left_out = ()  # phrases: which pictures were found and are not among `names`, and why

    def __init__(self, place):
        self.place = place  # the zip; or the folder, after `choose` that of the images
        self.images, self.others = {}, []  # {folder: names of images}, paths of other files

    def _add(self, folder, name):
        if is_image(name):
            self.images.setdefault(folder, []).append(name)
        else:
            self.others.append(f"{folder}/{name}" if folder else name)

    def sets(self):
        """Return [(root, names below it)]: the pictures of each folder with CelebA's name, and all others."""
        together, found = {}, []
        for folder in self.images:
            together.setdefault(_celeba_root(folder), []).append(folder)
        for _, folders in sorted(together.items(), key=lambda item: (item[0] is None, item[0])):
            root = posixpath.commonpath(folders)
            names = []
            for folder in folders:
                below = folder[len(root) :].lstrip("/")
                names += [f"{below}/{name}" for name in self.images[folder]] if below else self.images[folder]
            found.append((root, names))
        return found

    def choose(self, root, names):
        """Read these pictures, one of `sets()`."""
        self.root, self.prefix, self.names = root, f"{root}/" if root else "", names
        kinds = Counter(_suffix(file) for file in sorted(self.others) if file.startswith(self.prefix))
        kinds = {kind: count for kind, count in kinds.items() if kind in OTHER_PICTURES}
        if kinds:
            self.left_out += (
                f"{left_out_count(sum(kinds.values()))} because the course reads only JPEG and PNG ({', '.join(kinds)})",
            )

    def near(self, file_names, root):
        """Return the path of the file of one of these names that lies nearest to the folder `root`, or None.

        A file in a folder of other pictures is about those, so it does not count.
        """
        wanted = [name.lower() for name in file_names]
        files = [file for file in self.others if _base(file).lower() in wanted]
        if not files:
            return None
        around = set(_parents(root))
        elsewhere = {parent for folder in self.images for parent in _parents(folder)} - around

        def distance(file):
            folders = _parents(file.rpartition("/")[0])
            steps = len(around) + len(folders) - 2 * len(around.intersection(folders))
            return steps, wanted.index(_base(file).lower())

        below = root + "/" if root else ""
        own = (f for f in files if f.startswith(below) or f.rpartition("/")[0] not in elsewhere)
        return min(own, key=distance, default=None)


class _Folder(_Store):
    """The files of a folder and of those below it. Hidden ones and unfinished copies (`.part`) do not count."""

    def __init__(self, place):
        super().__init__(place)
        self.top, seen, todo = place, set(), [""]
        inside = os.path.join(os.path.realpath(place), "")
        while todo:
            below = todo.pop()
            folder = os.path.join(place, below)
            real = os.path.realpath(folder)
            if real in seen or (below and os.path.islink(folder) and os.path.join(real, "").startswith(inside)):
                continue  # a link to a folder that is read anyway
            seen.add(real)
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        name = entry.name
                        if name.startswith((".", "__MACOSX")):
                            continue
                        if not entry.is_dir():
                            self._add(below, name)
                        elif not name.endswith(".part"):
                            todo.append(f"{below}/{name}" if below else name)
            except OSError as error:
                if not below:
                    raise CourseError(f"Cannot read the folder '{place}' ({error.strerror}).") from error
                self.left_out += (f"the folder '{folder}' was left out because it cannot be read",)

    def choose(self, root, names):
        super().choose(root, names)
        self.place = self.top / root

    def read(self, name):
        try:
            return (self.place / name).read_bytes()
        except OSError as error:
            raise CourseError(f"Cannot read '{self.place / name}' ({error.strerror}); copy it again.") from error

    def size(self, name):
        try:
            return os.stat(f"{self.place}/{name}").st_size
        except OSError:
            return 0

    def find(self, file_names):
        """Return (path, bytes) of the nearest file of one of these names, in the folder or around it, or None."""
        file = self.near(file_names, self.root)
        return _bytes(self.top / file if file else _around(self.top, file_names))


class _Zip(_Store):
    """The files of a zip. `outside`: the folder that was searched when the zip was found.

    One handle and a lock: a handle per thread would parse the central directory of 202,599 entries again in
    each (about a second), and reading an image under the lock takes a fraction of decoding it.
    """

    def __init__(self, place, outside=None):
        super().__init__(place)
        self.outside = outside
        try:
            self.zip = zipfile.ZipFile(place)
        except BROKEN_ZIP as error:
            raise _not_a_zip(place) from error
        self.lock = threading.Lock()
        self.entries, twice = {}, 0  # path in the zip: the zip's entry
        for entry in self.zip.infolist():
            file = _name(entry)
            if file.endswith("/") or file.startswith((".", "__MACOSX")) or "/." in file or "/__MACOSX" in file:
                continue
            twice += file in self.entries
            self.entries[file] = entry  # of two, the last: so does every program that unpacks
            if entry.flag_bits & 1:
                raise CourseError(f"'{place}' has a password; unpack it with the password and give the folder.")
            if entry.compress_type not in (0, 8, 12, 14):
                raise CourseError(
                    f"'{place}' is packed in a way that Python cannot read; unpack it and give the folder."
                )
        for file in self.entries:
            folder, _, name = file.rpartition("/")
            self._add(folder, name)
        if twice:
            self.left_out += (
                f"'{place.name}' holds {twice:,} of its files twice under one name, and the last were taken",
            )

    def read(self, name):
        file = self.prefix + name
        if file not in self.entries:
            raise CourseError(f"'{self.place}' holds no image '{name}'; see the `names` of the opened faces.")
        return self._read(file)

    def size(self, name):
        return self.entries[self.prefix + name].file_size

    def find(self, file_names):
        """Return (path, bytes) of the nearest file of one of these names, in the zip or around it, or None."""
        file = self.near(file_names, self.root)
        if file:
            return f"{self.place}/{file}", self._read(file)
        if self.outside:
            inside = self.place.parent.relative_to(self.outside.top).as_posix()
            file = self.outside.near(file_names, "" if inside == "." else inside)
            if file:
                return _bytes(self.outside.top / file)
        return _bytes(_around(self.outside.top if self.outside else self.place.parent, file_names))

    def _read(self, file):
        try:
            with self.lock:
                return self.zip.read(self.entries[file])
        except BROKEN_ZIP as error:
            raise CourseError(f"'{file}' in '{self.place}' is damaged ({error}); fetch the zip again.") from error


def find_images(path):
    """Return the folder or zip that holds the images of `path`: `names`, `read`, `size`, `find`, `left_out`.

    `path`: a folder, whose pictures and zips at any depth are looked at, or a zip. Raises CourseError where there
    are no images, with what was found instead.
    """
    path = expand(path)
    if not path.exists():
        raise CourseError(f"'{path}' does not exist; give a CelebA folder or zip.")
    first = _Zip(path) if path.is_file() else _Folder(path)
    found, problems = [(first, *one) for one in first.sets()], []
    if path.is_dir() and not any(_likeness(*one)[0] >= IMAGE_COUNT for one in found):
        for file in sorted(first.others):
            if _suffix(file) == ".zip" or (_suffix(file) in ARCHIVES and "celeba" in _base(file).lower()):
                try:
                    store = _Zip(path / file, first)
                except CourseError as error:
                    problems.append((_base(file).lower(), error))
                else:
                    found += [(store, *one) for one in store.sets()]
    if len(found) > 1:
        found.sort(key=lambda one: _likeness(*one), reverse=True)  # stable: of equals, a folder before a zip
    for name, error in problems:  # pictures beside the zip that was meant are not CelebA
        if not found or (("celeba" in name or name == "archive.zip") and not _likeness(*found[0])[0]):
            raise error
    if not found:
        kinds = Counter(_suffix(file) or "without ending" for file in sorted(first.others)).most_common(5)
        there = f"other files: {len(first.others):,}; {', '.join(f'{n:,} {kind}' for kind, n in kinds)}"
        raise CourseError(
            f"'{path}' holds no JPEG or PNG images ({there if kinds else 'it is empty'}); give a folder or zip of "
            "faces, unpack archives in it, and convert other pictures to JPEG."
        )
    store, root, names = found[0]
    store.left_out += tuple(str(error).rstrip(".") for name, error in problems if name.endswith(".zip"))
    store.choose(root, names)
    if len(found) > 1:
        rest = [name for one in found[1:] for name in _named(*one)]
        count = sum(len(names) for _, _, names in found[1:])
        store.left_out += (f"{left_out_count(count)} because the faces are read from '{store.place}' ({some(rest)})",)
    return store


def _likeness(store, root, names):
    """Rank a set of pictures: how many are known as CelebA's, by a folder or by their names; then how many others."""
    named = _celeba_root(root) is not None or (isinstance(store, _Zip) and "celeba" in store.place.name.lower())
    known = len(names) if named else sum(map(is_official, names))
    return known, known - len(names) if known else len(names)


def _named(store, root, names):
    """Return the paths of these pictures; of a zip, how many there are."""
    if isinstance(store, _Zip):
        return [f"{len(names):,} in {store.place.name}"]
    return [f"{root}/{name}" if root else name for name in names]


def _celeba_root(folder):
    """Return the part of a path that ends with the last folder of CelebA's images, or None."""
    parts = folder.split("/")
    ends = [i for i, part in enumerate(parts, 1) if part.lower() in CELEBA_FOLDERS]
    return "/".join(parts[: ends[-1]]) if ends else None


def _name(entry):
    """Return the path of a zip's entry; macOS writes UTF-8 without saying so, and Windows may write backslashes."""
    name = entry.filename
    if not name.isascii() and not entry.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _base(file):
    return file.rpartition("/")[2]  # PurePosixPath would take 1 s for all faces


def _suffix(file):
    return posixpath.splitext(file)[1].lower()


def _parents(folder):
    """Return the folder, those around it, and '' (the top)."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:i]) for i in range(len(parts) + 1)]


def _bytes(file):
    try:
        return None if file is None else (str(file), file.read_bytes())
    except OSError as error:
        raise CourseError(f"Cannot read '{file}' ({error.strerror}); check your rights.") from error


def _around(place, file_names):
    """Return the path of the first of `file_names` in the folder `place` or in those of CelebA around it, else None."""
    for start in (place, place.resolve()):  # a link's neighbours, then those of what it leads to
        home = start
        while home.name.lower() in (*CELEBA_FOLDERS, "img"):
            home = home.parent
        for folder in (start, home, home / "Anno", home / "Eval"):
            for name in file_names:
                if (folder / name).is_file():
                    return folder / name
    return None


def _not_a_zip(path):
    """Return the CourseError for a file that does not open as a zip: what it is, and the remedy."""
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as unreadable:
        return CourseError(f"Cannot read '{path}' ({unreadable.strerror}); check your rights.")
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) or head[257:262] == b"ustar":
        return CourseError(f"'{path}' is a tar archive; unpack it with 'tar xf {path.name}' and give the folder.")
    if head.startswith((b"7z\xbc\xaf", b"Rar!")):
        return CourseError(f"'{path}' is a 7z or rar archive; unpack it with 7-Zip and give the folder.")
    if is_page(head):
        return CourseError(f"'{path}' is a web page (perhaps a quota notice), not a zip; fetch it again.")
    if head.startswith((b"\xff\xd8", b"\x89PNG")):
        return CourseError(f"'{path}' is one picture; give the folder that it lies in.")
    if head.startswith(b"PK") or path.suffix.lower() == ".zip":
        return CourseError(f"'{path}' is damaged or was not downloaded completely; fetch it again.")
    return CourseError(f"'{path}' is neither a folder nor a zip; give a CelebA folder or zip.")
