"""Check and unpack zips that came from elsewhere, and see whether the disk has room."""

import os
import shutil
import stat
import zipfile
from pathlib import Path, PureWindowsPath

from gan_course.data.celeba import BROKEN_ZIP, is_image
from gan_course.errors import CourseError
from gan_course.progress import progress

MEGABYTE = 2**20
SPARE = 200 * MEGABYTE  # left free on the disk beside what is written


def need_space(folder, size):
    """Raise CourseError unless the disk of `folder` has room for `size` bytes and some spare."""
    free = shutil.disk_usage(folder).free
    needed = size + SPARE
    if size > 0 and free < needed:
        raise CourseError(
            f"'{folder}' has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are needed; make room "
            "or choose a folder on another disk with --out."
        )


def check_zip(path):
    """Read every entry of a zip against its checksum and return the number of images.

    Raises CourseError if an entry is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            for entry in progress(entries, desc="checking", unit="file"):
                with archive.open(entry) as file:
                    while file.read(MEGABYTE):  # the end compares the checksum
                        pass
    except BROKEN_ZIP as error:
        raise CourseError(f"'{path}' is damaged ({error}); delete it and fetch it again.") from error
    names = (entry.filename.replace("\\", "/") for entry in entries)
    return sum(is_image(name.rpartition("/")[2]) for name in names if not name.startswith("__MACOSX/"))


def unpack_zip(path, out):
    """Unpack a zip into `out`, safely: nothing lands outside it, and nothing half-written stays.

    Entries that would leave the folder (absolute paths, drive letters, '..') and links make the whole zip
    refused before anything is written. Everything is unpacked into a temporary folder inside `out`, whose
    content is then moved. Raises CourseError for these, for a damaged zip, for a full disk, and if something
    of the same name is there already.
    """
    out.mkdir(parents=True, exist_ok=True)
    half = out / ".unpacking"
    shutil.rmtree(half, ignore_errors=True)  # of a run that was killed
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            targets = [_safe_parts(entry, path) for entry in entries]
            tops = sorted({parts[0] for parts in targets})
            for top in tops:
                if (out / top).exists():
                    raise CourseError(f"'{out / top}' exists already; delete it or choose another folder.")
            need_space(out, sum(entry.file_size for entry in entries))
            for entry, parts in zip(progress(entries, desc="unpacking", unit="file"), targets, strict=True):
                target = Path(half, *parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, open(target, "wb") as file:
                    shutil.copyfileobj(packed, file, MEGABYTE)
            for top in tops:
                os.replace(Path(half, top), out / top)
    except BROKEN_ZIP as error:
        raise CourseError(f"'{path}' cannot be unpacked ({error}); check the disk or fetch it again.") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _safe_parts(entry, path):
    """Return the folders and name of an entry, refused if they could lead out of the target folder."""
    # A Windows path knows both kinds of slash and drive letters, so it is the stricter reader anywhere.
    inside = PureWindowsPath(entry.orig_filename)
    link = stat.S_ISLNK(entry.external_attr >> 16)
    if inside.drive or inside.root or ".." in inside.parts or not inside.parts or link or "\0" in str(inside):
        raise CourseError(
            f"'{path}' holds '{entry.orig_filename}', which leads outside its folder; do not use this zip."
        )
    return inside.parts
