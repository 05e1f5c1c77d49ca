"""Bring the real CelebA to this computer: download and check it.

    fetch("kaggle")              # the archive of kaggle.com/datasets/jessicali9530/celeba-dataset
    fetch("drive")               # the official files on Google Drive
    fetch("~/Downloads/celeba")  # files that a browser downloaded, or any folder or zip `open_faces` reads

A download goes to `NAME.part`, goes on where it stopped when the same call is made again, and gets its final
name only after its size and checksum are right. The zip is not unpacked: `gan_course.data.celeba` reads it as it is.

Why not `gdown` or `kagglehub`, the usual libraries (both alive): kagglehub always unpacks 202,599 files into
its own cache, neither looks at the disk's free space, and gdown cannot be tested without the internet. What
they do for a public file is one GET request, done here once for both.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import sys
import time
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from gan_course import settings
from gan_course.data import celeba
from gan_course.data.archive import BROKEN_ZIP, IMAGE_COUNT, find_images, is_image, is_official, left_out_count, some
from gan_course.errors import CourseError, CourseWarning
from gan_course.files import atomic_write
from gan_course.progress import progress

LICENCE = """\
CelebA, by the Multimedia Laboratory (MMLAB) of the Chinese University of Hong Kong
https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html  (the full agreement; this is a summary)

- For non-commercial research and education only.
- The images were collected on the internet. They stay the property of their owners, not of MMLAB, and
  MMLAB does not answer for what they show. The people in them were not asked.
- Do not sell or use commercially any part of the images or of what is derived from them.
- Do not copy, publish or distribute any part of the dataset, except inside your own organisation.
- MMLAB may end your access at any time.
"""
SPARE = 200 * 2**20  # bytes left free on the disk beside what is written
IMAGE_ZIPS = ("img_align_celeba.zip", "celeba-dataset.zip", "archive.zip")
SOURCE = ".source"  # in the half-copied folder of images: which source they come from
CHUNK = 2**16  # bytes: what a connection that breaks may lose of what has come
TRIES = 6  # connections in a row that bring nothing new, before giving up


@dataclass(frozen=True)
class Official:
    """One official file: its id on Google Drive, size in bytes, and md5 checksum."""

    name: str
    drive_id: str
    size: int
    md5: str


# Small files first, so that a quota or a login shows before 1.4 GB. Ids and checksums: torchvision's
# `CelebA` dataset; sizes: TensorFlow Datasets.
# fmt: off
OFFICIAL = (
    Official("list_eval_partition.txt", "0B7EVK8r0v71pY0NSMzRuSXJEVkk", 2_836_386,
             "d32c9cbf5e040fd4025c592c306e6668"),
    Official("identity_CelebA.txt", "1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS", 3_424_458,
             "32bd1bd63d3c78cd57e08160ec5ed1e2"),
    Official("list_attr_celeba.txt", "0B7EVK8r0v71pblRyaVFSWGxPY0U", 26_721_026,
             "75e246fa4810816ffd6ee81facbd244c"),
    Official("img_align_celeba.zip", "0B7EVK8r0v71pZjFTYXZWM3FlRnM", 1_443_490_838,
             "00d2c5bc6d35e252742224ab0c1e8fcb"),
)
# fmt: on
KAGGLE_NAME = "celeba-dataset.zip"
KAGGLE_SIZE = 1_450_000_000  # about; the server names the exact size
KAGGLE_URL = "https://www.kaggle.com/api/v1/datasets/download/jessicali9530/celeba-dataset"
DRIVE_URL = "https://drive.usercontent.google.com/download"

ADVICE = {
    "kaggle": (
        "put your token (kaggle.com, Settings, Create New Token) in ~/.kaggle/kaggle.json, or download "
        "https://www.kaggle.com/datasets/jessicali9530/celeba-dataset in a browser and give the zip with "
        "--from PATH"
    ),
    "drive": (
        "use --from kaggle, or download it in a browser from "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and give the folder with --from PATH"
    ),
    "npm": "fetch it on another computer with 'npm pack NAME@VERSION' and put the .tgz into data/cache/npm",
}


class _Incomplete(Exception):
    """The connection broke; what has come is kept in the .part file."""


def fetch(source, out=None, accept=False, kaggle_url=KAGGLE_URL, drive_url=DRIVE_URL):
    """Put CelebA into the folder `out` and return it opened (`gan_course.data.celeba.FaceFolder`).

    `source`: 'kaggle', 'drive', or the path of a folder or zip (of a folder of that name: './kaggle').
    `out`: default `data/celeba`.
    `accept`: True where the user has accepted the licence; else it is shown and the terminal asked. A path needs
    no acceptance: its files were accepted when they were downloaded.
    `kaggle_url`, `drive_url`: for tests.

    A file that is there already is not downloaded again. Of a path, files are hard-linked into `out` where
    the disk allows it (no time, no space) and copied elsewhere; the originals stay as they are.

    Warns (CourseWarning) where a file of a path is not the official one. Raises CourseError with the remedy
    when the licence is not accepted, the disk is too full, the network breaks, a quota or login stops the
    download, or a file is damaged.
    """
    out = settings.expand(out) if out is not None else settings.data_folder() / "celeba"
    try:
        if source in ("kaggle", "drive"):
            _agree(accept)
            out.mkdir(parents=True, exist_ok=True)
            if source == "kaggle":
                _from_kaggle(out, kaggle_url)
            else:
                _from_drive(out, drive_url)
        else:
            _from_path(settings.expand(source), out)
        shutil.rmtree(_part(out / "img_align_celeba"), ignore_errors=True)  # of a source that broke off before
    except OSError as error:
        raise CourseError(
            f"Cannot read or write '{error.filename or out}' ({error.strerror or error}); make room, check your "
            "rights, or choose another folder with --out."
        ) from error
    return celeba.open_faces(out)


def _agree(accept):
    print(LICENCE)
    if not accept and (not sys.stdin or not sys.stdin.isatty()):
        raise CourseError("CelebA's licence must be accepted before the download; read it and add --yes.")
    if not accept and input("Do you accept these terms? [y/n] ").strip().lower() not in ("y", "yes"):
        raise CourseError(
            "CelebA's licence was not accepted, so nothing was downloaded; lessons use the cartoon faces."
        )


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
                    while file.read(2**20):  # the end compares the checksum
                        pass
    except BROKEN_ZIP as error:
        raise CourseError(f"'{path}' is damaged ({error}); fetch it again.") from error
    names = (entry.filename.replace("\\", "/") for entry in entries)
    return sum(is_image(name.rpartition("/")[2]) for name in names if not name.startswith("__MACOSX/"))


# --- the three sources ---------------------------------------------------------------------------------


def _from_kaggle(out, url):
    """Download Kaggle's archive, which has no official checksum: its server's, the zip's and the count do."""
    final = out / KAGGLE_NAME
    if final.exists() or _unpacked(out):
        return
    need_space(out, KAGGLE_SIZE - _size(_part(final)))
    login, headers = _kaggle_login()
    md5 = download(url, final, "kaggle", auth=login, headers=headers)
    part = _part(final)
    if md5 and _md5(part) != md5:
        _reject(part, f"'{KAGGLE_NAME}' came damaged (its md5 is not the one that Kaggle names)")
    try:
        count = check_zip(part)
    except CourseError:
        _reject(part, f"'{KAGGLE_NAME}' came damaged")
    if count != IMAGE_COUNT:
        _reject(part, f"'{KAGGLE_NAME}' came with {count:,} images, not {IMAGE_COUNT:,}")
    os.replace(part, final)


def _kaggle_login():
    """Return (basic auth or None, headers) from Kaggle's usual places; a public dataset needs neither."""
    if os.environ.get("KAGGLE_API_TOKEN"):
        return None, {"Authorization": f"Bearer {os.environ['KAGGLE_API_TOKEN']}"}
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        return (os.environ["KAGGLE_USERNAME"], os.environ["KAGGLE_KEY"]), {}
    file = Path(os.environ.get("KAGGLE_CONFIG_DIR", Path.home() / ".kaggle")) / "kaggle.json"
    if not file.is_file():
        return None, {}
    try:
        token = json.loads(file.read_text())
        return (token["username"], token["key"]), {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"'{file}' is not a Kaggle token; create a new one or delete it.") from error


def _from_drive(out, url):
    """Download the four official files, each checked by its md5."""
    missing = [file for file in OFFICIAL if _size(out / file.name) != file.size]
    if _unpacked(out):
        missing = [file for file in missing if not file.name.endswith(".zip")]
    need_space(out, sum(file.size - _size(_part(out / file.name)) for file in missing))
    for file in missing:
        final = out / file.name
        query = {"id": file.drive_id, "export": "download", "authuser": "0", "confirm": "t"}
        download(url, final, "drive", size=file.size, params=query)
        if _md5(_part(final)) != file.md5:
            _reject(_part(final), f"'{file.name}' came damaged (its md5 is not the official one)")
        os.replace(_part(final), final)


def _unpacked(out):
    """Return whether all images lie unpacked in `out`, so that no zip is needed there."""
    folder = out / "img_align_celeba"
    if not folder.is_dir():
        return False
    count = len(find_images(folder).names)
    if count != IMAGE_COUNT:
        raise CourseError(
            f"'{folder}' exists already and holds {count:,} images, not {IMAGE_COUNT:,}; move it away or choose "
            "another folder with --out."
        )
    return True


def _from_path(source, out):
    """Check a folder or zip and link or copy its images and annotation files to `out`."""
    faces = celeba.open_faces(source)  # says what is wrong if nothing can be read there
    store = faces.store
    place, names = store.place, sorted(store.names)
    for phrase in store.left_out:
        _warn(f"{phrase[0].upper()}{phrase[1:]}.")
    kinds = (celeba.ATTRIBUTES, celeba.PARTITION, celeba.IDENTITY)
    found = (store.find(kind.files) for kind in kinds)
    files = [file for one in found if one and (file := Path(one[0])).is_file()]  # others are in the zip
    if place.is_dir():
        listed = set(faces.names.tolist()) if files else set()
        meant = [name for name in names if name in listed or is_official(name)]
        if files or 2 * len(meant) > len(names):
            names, other = meant, set(names) - set(meant)
            if other:  # pictures that came between
                _warn(f"{left_out_count(len(other))} because they are not CelebA's ({some(other)}).")
    known = {file.name: file for file in OFFICIAL}
    for file in files:
        if not _is_official(file, known.get(file.name)):
            _warn(f"'{file}' is not CelebA's official file (its size or md5 differs).")
    if place.is_dir() or not _is_official(place, known.get(place.name)):
        count = len(names) if place.is_dir() else check_zip(place)
        if count != IMAGE_COUNT:
            _warn(f"'{place}' holds {count:,} images; CelebA has {IMAGE_COUNT:,}.")
    if source.resolve() == out.resolve():
        return
    out.mkdir(parents=True, exist_ok=True)
    wanted = [] if _holds(out, store, names) else [place / name for name in names] if place.is_dir() else [place]
    there = [out / name for name in ("img_align_celeba", *IMAGE_ZIPS) if wanted and (out / name).exists()]
    for old in (out / name for kind in kinds for name in kind.files if (out / name).is_file()):
        same = any(old.name == file.name and _md5(old) == _md5(file) for file in files)
        there += [] if same or _is_official(old, known.get(old.name)) else [old]  # about the images of another source
    if there:
        raise CourseError(f"'{there[0]}' exists already; move it away or choose another folder with --out.")
    if not _same_disk(place, out):  # files must be copied
        need_space(out, sum(_size(file) for file in [*files, *wanted]))
    if wanted == [place]:
        _place(place, out / (place.name if place.name in IMAGE_ZIPS else "img_align_celeba.zip"))
    elif wanted:
        _place_all(place, names, out / "img_align_celeba", f"{place.resolve()}\n{faces.fingerprint()}")
    for file in files:  # after the images, so that those of another source never find them
        _place(file, out / file.name)


def _place_all(place, names, final, source):
    """Link or copy images into the folder `final`, which appears as a whole; what a broken run left is gone on with.

    `source` is kept in the half folder: what another source left there is thrown away.
    """
    half = _part(final)
    record = half / SOURCE
    if not record.is_file() or record.read_text(encoding="utf-8") != source:
        shutil.rmtree(half, ignore_errors=True)
        with atomic_write(record) as partial:
            partial.write_text(source, encoding="utf-8")
    for name in progress(names, desc="images", unit="image"):
        _place(place / name, half / name)
    for hidden in half.rglob(".*"):  # the record, and what a killed run was writing
        hidden.unlink()
    os.replace(half, final)


def _same_disk(one, other):
    return os.stat(one).st_dev == os.stat(other).st_dev


def _holds(out, store, names):
    """Return whether these images, of the same sizes, lie in `out` already."""
    try:
        there = find_images(out)
    except CourseError:
        return False
    return set(names) <= set(there.names) and all(there.size(name) == store.size(name) for name in names)


def _is_official(file, official):
    return official is not None and _size(file) == official.size and _md5(file) == official.md5


def _warn(message):
    warnings.warn(message, CourseWarning, stacklevel=2)


def _place(source, target):
    """Link or copy one file to `target`, which appears only when it is complete."""
    if target.exists():
        if _size(target) == _size(source):
            return
        raise CourseError(f"'{target}' exists already and differs from '{source}'; choose another folder with --out.")
    with atomic_write(target) as half:
        try:
            os.link(os.path.realpath(source), half)
        except OSError:  # another disk, or one that has no links
            shutil.copyfile(source, half)


# --- downloading ---------------------------------------------------------------------------------------


def download(url, final, source, size=None, params=None, auth=None, headers=None, wait=2.0):
    """Download `url` to `final` + '.part' and return the md5 that the server names (hex) or None.

    Goes on from what the .part file holds. A broken connection is tried again, with `wait`, 2 `wait`, ...
    seconds between, until `TRIES` in a row bring nothing new. The caller checks the file and renames it.

    `source`: 'kaggle', 'drive' or 'npm', for the advice in errors. `size`: expected bytes.
    """
    part = _part(final)
    session = requests.Session()
    failures = 0
    while True:
        had = _size(part)
        try:
            return _download_once(session, url, part, final.name, source, size, params, auth, headers)
        except (requests.RequestException, _Incomplete) as error:
            failures = failures + 1 if _size(part) <= had else 1
            if failures >= TRIES:
                why = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
                raise CourseError(
                    f"The download of '{final.name}' from {urlsplit(url).hostname} broke off "
                    f"({why}); run the same command again and it goes on where it stopped."
                ) from error
            time.sleep(wait * failures)


def _download_once(session, url, part, name, source, size, params, auth, headers):
    had = _size(part)
    if size is not None and had == size:
        return None
    # Unpacked on the way, sizes and ranges would not count the file's own bytes.
    headers = {**(headers or {}), "Accept-Encoding": "identity"}
    if had:
        headers["Range"] = f"bytes={had}-"
    with session.get(url, params=params, auth=auth, headers=headers, stream=True, timeout=(20, 60)) as answer:
        if answer.status_code == 416:  # nothing beyond what is here: complete, or another file's rest
            if had and answer.headers.get("Content-Range", "").endswith(f"/{had}"):
                return _named_md5(answer)
            part.unlink(missing_ok=True)
            raise _Incomplete("the server refused to go on")
        _stop_on_refusal(answer, name, source, params)
        start = had if answer.status_code == 206 else 0  # 200: this server cannot go on, so from the start
        if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise _Incomplete("the server sent another range")
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else size
        if total is not None:
            if size is not None and total != size:
                raise CourseError(f"The server offers '{name}' with {total:,} bytes, not {size:,}; {ADVICE[source]}.")
            need_space(part.parent, total - start)
        bar = progress(total=total, desc=name, unit="B")
        bar.unit_scale = True
        bar.update(start)
        with bar, open(part, "ab" if start else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
                try:
                    file.write(chunk)
                except OSError as error:
                    raise CourseError(
                        f"Cannot write '{part}' ({error.strerror}); make room and run the command again."
                    ) from error
                bar.update(len(chunk))
    if total is not None and _size(part) != total:
        raise _Incomplete(f"{_size(part):,} of {total:,} bytes came")
    return _named_md5(answer)


def _stop_on_refusal(answer, name, source, params):
    """Raise CourseError for an answer that is not the file: a quota, a login, an error, a page of HTML."""
    code = answer.status_code
    page = "text/html" in answer.headers.get("Content-Type", "").lower()
    if code >= 500:
        raise _Incomplete(f"HTTP {code}")  # the server's own trouble often passes: try again
    if code < 400 and not page:
        return
    text = answer.text if page else ""
    uuid = re.search(r'name="uuid"\s+value="([^"]+)"', text)
    if page and uuid and params is not None and "uuid" not in params:
        # Drive asks to confirm a file too large for its virus scan; the button sends this number.
        params["uuid"] = uuid.group(1)
        raise _Incomplete("Google Drive asked to confirm")
    quota = "quota" in text.lower() or "too many users" in text.lower()
    where = {"kaggle": "Kaggle", "drive": "Google Drive", "npm": "The npm registry"}[source]
    if code == 429 or quota:
        when = answer.headers.get("Retry-After", "")
        usual = {"kaggle": "in an hour", "drive": "in 24 hours", "npm": "in an hour"}[source]
        when = f"in {when} seconds" if when.isdigit() else usual
        raise CourseError(
            f"{where} has no quota left for '{name}'; run the same command again {when} (it goes on where it "
            f"stopped), or {ADVICE[source]}."
        )
    if page or code in (401, 403):
        raise CourseError(f"{where} asks for a login before it gives '{name}'; {ADVICE[source]}.")
    raise CourseError(f"{where} does not give '{name}' (HTTP {code}); {ADVICE[source]}.")


def _named_md5(answer):
    """Return the md5 (hex) in Google Storage's header, where Kaggle's files lie, or None."""
    match = re.search(r"md5=([A-Za-z0-9+/]+=*)", answer.headers.get("X-Goog-Hash", ""))
    return base64.b64decode(match.group(1)).hex() if match else None


def _part(final):
    return final.with_name(final.name + ".part")


def _size(file):
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _md5(file):
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _reject(part, what):
    """Delete a damaged download, so that the next run starts afresh, and say so."""
    part.unlink()
    raise CourseError(f"{what} and was deleted; run the same command again.")
