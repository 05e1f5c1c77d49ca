"""Fetching CelebA, from a server on this machine that misbehaves as the real ones do. No internet needed."""

import base64
import hashlib
import io
import os
import re
import threading
import warnings
import zipfile
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from test_celeba import COUNT, NAMES, annotation, images, jpeg, layout, write, write_zip

from gan_course.data import celeba, fetch
from gan_course.errors import CourseError, CourseWarning

QUOTA_PAGE = b"<!DOCTYPE html><title>Google Drive - Quota exceeded</title>Too many users have viewed this file."
LOGIN_PAGE = b"<!DOCTYPE html><title>Sign in</title>"
CONFIRM_PAGE = b'<html>Virus scan warning <form><input type="hidden" name="uuid" value="abc-1"></form></html>'


class Server:
    """Serves `files` ({id or path: bytes}) and, before that, the misbehaviours queued in `plan`.

    A plan entry: ('cut', n) sends n bytes of the answer and breaks the connection; ('status', code, headers)
    ; ('page', bytes) answers 200 with HTML; ('no range',) ignores Range.
    """

    def __init__(self):
        self.files, self.plan, self.requests, self.md5 = {}, [], [], False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/get"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, handler):
        query = parse_qs(urlsplit(handler.path).query)
        self.requests.append((query, dict(handler.headers)))
        step = self.plan.pop(0) if self.plan else ("ok",)
        if step[0] == "status":
            return self.send(handler, step[1], b"", step[2])
        if step[0] == "page":
            return self.send(handler, 200, step[1], {"Content-Type": "text/html; charset=utf-8"})
        data = self.files[query.get("id", ["kaggle"])[0]]
        headers = {"Content-Type": "application/octet-stream"}
        if self.md5:
            md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
            headers["X-Goog-Hash"] = f"crc32c=AAAAAA==, md5={md5}"
        begin = re.match(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        status, start = 200, 0
        if begin and step[0] != "no range":
            start = int(begin.group(1))
            if start >= len(data):
                return self.send(handler, 416, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.send(handler, status, data[start:], headers, step[1] if step[0] == "cut" else None)

    def send(self, handler, status, data, headers, cut=None):
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:cut])
        handler.close_connection = True


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", "nowhere")
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(fetch, "CHUNK", 50)
    monkeypatch.setattr(fetch, "IMAGE_COUNT", COUNT)
    yield server
    server.http.shutdown()
    server.http.server_close()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def kaggle(server):
    server.files["kaggle"] = zipped({**images("img_align_celeba/img_align_celeba/"), **annotation(comma=True, low=0)})
    return server


@pytest.fixture
def drive(server, monkeypatch):
    files = {name: text.encode() for name, text in annotation().items()}
    files["img_align_celeba.zip"] = zipped(images())
    official = []
    for number, (name, data) in enumerate(files.items()):
        server.files[f"id{number}"] = data
        official.append(fetch.Official(name, f"id{number}", len(data), hashlib.md5(data).hexdigest()))
    monkeypatch.setattr(fetch, "OFFICIAL", tuple(official))
    return server


def get(server, source, out, **options):
    options = {"accept": True, **options}
    return fetch.fetch(source, out, kaggle_url=server.url, drive_url=server.url, **options)


# --- download ------------------------------------------------------------------------------------------


def test_kaggle(kaggle, tmp_path, capsys):
    faces = get(kaggle, "kaggle", tmp_path)
    assert len(faces) == COUNT and faces.attributes is not None
    assert sorted(file.name for file in tmp_path.iterdir()) == ["celeba-dataset.zip"]
    assert "non-commercial" in capsys.readouterr().out
    assert "Authorization" not in kaggle.requests[0][1]
    get(kaggle, "kaggle", tmp_path)
    assert len(kaggle.requests) == 1  # nothing is downloaded twice


def test_kaggle_login(kaggle, tmp_path, monkeypatch):
    write(tmp_path, {"kaggle.json": '{"username": "ada", "key": "k"}', "bad/kaggle.json": "{"})
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    get(kaggle, "kaggle", tmp_path / "a")
    assert kaggle.requests[-1][1]["Authorization"] == "Basic " + base64.b64encode(b"ada:k").decode()
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t")
    get(kaggle, "kaggle", tmp_path / "b")
    assert kaggle.requests[-1][1]["Authorization"] == "Bearer t"
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "bad"))
    with pytest.raises(CourseError, match="not a Kaggle token"):
        get(kaggle, "kaggle", tmp_path / "c")


def test_drive(drive, tmp_path):
    faces = get(drive, "drive", tmp_path)
    assert len(faces) == COUNT and faces.identity is not None
    assert len(list(tmp_path.iterdir())) == 4 and len(drive.requests) == 4
    (tmp_path / "identity_CelebA.txt").unlink()
    get(drive, "drive", tmp_path)
    assert len(drive.requests) == 5 and drive.requests[-1][0]["id"] == ["id2"]


@pytest.mark.parametrize("source", ["kaggle", "drive"])
def test_broken_connection_goes_on_by_itself(source, request, tmp_path):
    server = request.getfixturevalue(source)
    server.plan = [("cut", 100), ("status", 503, {}), ("cut", 100)]
    assert len(get(server, source, tmp_path)) == COUNT
    ranges = [headers.get("Range") for _, headers in server.requests[:4]]
    assert ranges == [None, "bytes=100-", "bytes=100-", "bytes=200-"]
    assert not list(tmp_path.glob("*.part"))


def test_next_run_goes_on_where_it_stopped(kaggle, tmp_path):
    whole = kaggle.files["kaggle"]
    kaggle.plan = [("cut", 500)] + [("status", 500, {})] * fetch.TRIES
    with pytest.raises(CourseError, match="broke off .*run the same command again"):
        get(kaggle, "kaggle", tmp_path)
    part = tmp_path / "celeba-dataset.zip.part"
    assert part.read_bytes() == whole[:500] and not (tmp_path / "celeba-dataset.zip").exists()
    get(kaggle, "kaggle", tmp_path)
    assert kaggle.requests[-1][1]["Range"] == "bytes=500-"
    assert (tmp_path / "celeba-dataset.zip").read_bytes() == whole


def test_part_that_is_complete_or_too_long(kaggle, tmp_path):
    whole = kaggle.files["kaggle"]
    part = tmp_path / "celeba-dataset.zip.part"
    part.write_bytes(whole)
    get(kaggle, "kaggle", tmp_path)
    assert len(kaggle.requests) == 1
    (tmp_path / "celeba-dataset.zip").unlink()
    part.write_bytes(whole + b"more")
    get(kaggle, "kaggle", tmp_path)
    assert (tmp_path / "celeba-dataset.zip").read_bytes() == whole


def test_server_without_range_starts_again(kaggle, tmp_path):
    (tmp_path / "celeba-dataset.zip.part").write_bytes(kaggle.files["kaggle"][:300])
    kaggle.plan = [("no range",)]
    assert len(get(kaggle, "kaggle", tmp_path)) == COUNT


def test_nobody_answers(kaggle, tmp_path):
    kaggle.http.server_close()
    with pytest.raises(CourseError, match="from 127.0.0.1 broke off"):
        get(kaggle, "kaggle", tmp_path)


REFUSALS = {
    "429": (("status", 429, {}), "no quota left.* again in 24 hours.*use --from kaggle"),
    "429 with a time": (("status", 429, {"Retry-After": "90"}), "again in 90 seconds"),
    "quota page": (("page", QUOTA_PAGE), "no quota left.*use --from kaggle"),
    "login page": (("page", LOGIN_PAGE), "asks for a login.*--from PATH"),
    "403": (("status", 403, {}), "asks for a login"),
    "404": (("status", 404, {}), r"HTTP 404\)"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_drive_refuses(refusal, drive, tmp_path):
    step, message = REFUSALS[refusal]
    kept = drive.files["id0"][:20]
    part = tmp_path / f"{fetch.OFFICIAL[0].name}.part"
    part.write_bytes(kept)
    drive.plan = [step]
    with pytest.raises(CourseError, match=message) as error:
        get(drive, "drive", tmp_path)
    assert "\n" not in str(error.value) and len(drive.requests) == 1
    assert part.read_bytes() == kept  # a refusal costs nothing that was downloaded
    assert len(get(drive, "drive", tmp_path)) == COUNT


@pytest.mark.parametrize("code", [401, 403])
def test_kaggle_asks_for_a_login(code, kaggle, tmp_path):
    kaggle.plan = [("status", code, {})]
    with pytest.raises(CourseError, match="Kaggle asks for a login .*kaggle.json.*--from PATH"):
        get(kaggle, "kaggle", tmp_path)


def test_drive_asks_to_confirm(drive, tmp_path):
    drive.plan = [("page", CONFIRM_PAGE)]
    assert len(get(drive, "drive", tmp_path)) == COUNT
    assert drive.requests[1][0]["uuid"] == ["abc-1"]


def test_damaged_download_gets_no_name(drive, tmp_path):
    data = bytearray(drive.files["id3"])
    data[200] ^= 255
    drive.files["id3"] = bytes(data)
    with pytest.raises(CourseError, match="'img_align_celeba.zip' came damaged .*md5"):
        get(drive, "drive", tmp_path)
    assert not list(tmp_path.glob("img_align_celeba*"))
    drive.files["id3"] += b"x"
    with pytest.raises(CourseError, match="The server offers 'img_align_celeba.zip' with"):
        get(drive, "drive", tmp_path)


def test_kaggle_archive_is_checked(kaggle, tmp_path, monkeypatch):
    whole = kaggle.files["kaggle"]
    for data, message in [
        (whole.replace(jpeg(2), jpeg(3)), "came damaged"),  # the zip's own checksum
        (whole[:-100], "came damaged"),
        (zipped(images(names=NAMES[:4])), "with 4 images, not 30"),
    ]:
        kaggle.files["kaggle"] = data
        with pytest.raises(CourseError, match=message):
            get(kaggle, "kaggle", tmp_path)
        assert not list(tmp_path.iterdir())
    kaggle.files["kaggle"], kaggle.md5 = whole, True
    get(kaggle, "kaggle", tmp_path / "good")
    monkeypatch.setattr(fetch, "_named_md5", lambda answer: "0" * 32)
    with pytest.raises(CourseError, match="the one that Kaggle names"):
        get(kaggle, "kaggle", tmp_path / "bad")


def test_licence_must_be_accepted(kaggle, tmp_path, monkeypatch, capsys):
    with pytest.raises(CourseError, match="--yes"):
        get(kaggle, "kaggle", tmp_path / "a", accept=False)  # pytest's input is no terminal
    assert "property of their owners" in capsys.readouterr().out
    monkeypatch.setattr(fetch.sys, "stdin", namedtuple("Terminal", "isatty")(lambda: True))
    monkeypatch.setattr("builtins.input", lambda question: "no")
    with pytest.raises(CourseError, match="was not accepted"):
        get(kaggle, "kaggle", tmp_path / "a", accept=False)
    assert not (tmp_path / "a").exists() and not kaggle.requests
    monkeypatch.setattr("builtins.input", lambda question: "Y")
    assert len(get(kaggle, "kaggle", tmp_path / "a", accept=False)) == COUNT


@pytest.mark.parametrize("source", ["kaggle", "drive"])
def test_full_disk_stops_before_the_download(source, request, tmp_path, monkeypatch):
    server = request.getfixturevalue(source)
    usage = namedtuple("Usage", "free")(fetch.SPARE)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(CourseError, match="0.2 GB free and .* are needed"):
        get(server, source, tmp_path)
    assert not server.requests


def test_unpacked_images_are_not_downloaded(kaggle, tmp_path):
    write(tmp_path, images())
    assert len(get(kaggle, "kaggle", tmp_path)) == COUNT and not kaggle.requests
    (tmp_path / "img_align_celeba" / NAMES[0]).unlink()
    with pytest.raises(CourseError, match="holds 29 images, not 30; move it away"):
        get(kaggle, "kaggle", tmp_path)


# --- files that are here already -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["folder", "drive", "drive zip", "zip", "kaggle", "kaggle zip"])
@pytest.mark.parametrize("linked", [True, False])
def test_path(name, linked, tmp_path, monkeypatch):
    if not linked:
        monkeypatch.setattr(fetch.os, "link", lambda source, target: (_ for _ in ()).throw(OSError("no links")))
    monkeypatch.setattr(fetch, "IMAGE_COUNT", COUNT)
    given = layout(name, tmp_path / "given")
    out = tmp_path / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CourseWarning)  # the annotation of 30 images is not the official one
        faces = fetch.fetch(given, out)
        again = fetch.fetch(given, out)
    before = celeba.open_faces(given)
    for opened in (faces, again):
        assert opened.names.tolist() == before.names.tolist()
        assert opened.parts.tolist() == before.parts.tolist()
        assert opened.attributes.equals(before.attributes)
        assert opened.read(NAMES[3]) == jpeg(4)
    assert not list(out.rglob("*.part"))


def test_path_says_what_is_not_official(tmp_path):
    given = layout("zip", tmp_path / "given")
    with pytest.warns(CourseWarning) as caught:
        fetch.fetch(given, tmp_path / "out")
    messages = " ".join(str(warning.message) for warning in caught)
    assert "holds 30 images; CelebA has 202,599" in messages
    assert "list_attr_celeba.txt' is not CelebA's official file" in messages


def test_official_files_pass_in_silence(drive, tmp_path):
    get(drive, "drive", tmp_path / "given")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fetch.fetch(tmp_path / "given", tmp_path / "out")
        fetch.fetch(tmp_path / "given", tmp_path / "given")


@pytest.mark.filterwarnings("ignore::gan_course.errors.CourseWarning")
def test_path_does_not_overwrite(tmp_path):
    given = layout("folder", tmp_path / "given")
    out = tmp_path / "out"
    assert len(fetch.fetch(given, out)) == COUNT
    write(tmp_path / "other", {"img_align_celeba/x.jpg": jpeg(99)})
    with pytest.raises(CourseError, match="exists already; move it away or choose another"):
        fetch.fetch(tmp_path / "other", out)
    with pytest.raises(CourseError, match="does not exist"):
        fetch.fetch(tmp_path / "nowhere", out)


def test_path_to_another_full_disk(tmp_path, monkeypatch):
    given = layout("zip", tmp_path / "given")
    usage = namedtuple("Usage", "free")(fetch.SPARE)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setattr(fetch, "_same_disk", lambda one, other: False)
    with pytest.raises(CourseError, match="are needed"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fetch.fetch(given, tmp_path / "out")


def broken_off(monkeypatch, given, out, after=12):
    """Copy from `given` and break after so many files, as a full disk does."""
    left, link = [after], fetch.os.link

    def full(source, target):
        left[0] -= 1
        if left[0] < 0:
            target.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(source), None, str(target))  # as shutil does
        link(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(fetch.os, "link", full)
        patched.setattr(fetch.shutil, "copyfile", full)
        with pytest.raises(CourseError, match=r"'.*part/000013.jpg' \(No space left on device\); make room") as error:
            fetch.fetch(given, out)
    assert "\n" not in str(error.value)
    half = out / "img_align_celeba.part"
    assert sorted(path.name for path in half.iterdir()) == [fetch.SOURCE, *NAMES[:12]]  # nothing half-written
    assert [path.name for path in out.iterdir()] == [half.name]
    return half


@pytest.mark.filterwarnings("ignore::gan_course.errors.CourseWarning")
@pytest.mark.parametrize("second", ["the same", "other folder", "changed", "zip", "kaggle", "drive"])
def test_faces_of_two_sources_are_never_mixed(second, tmp_path, monkeypatch, request):
    monkeypatch.setattr(fetch, "IMAGE_COUNT", COUNT)
    given, out = write(tmp_path / "a", {**images(), **annotation()}), tmp_path / "out"
    half = broken_off(monkeypatch, given, out)
    write(half, {".000013.77.jpg": b"of a run that was killed"})
    first = (half / NAMES[0]).stat().st_ino
    other = {f"img_align_celeba/{name}": jpeg(1000 + int(name[:6])) for name in NAMES}  # the same names
    if second in ("kaggle", "drive"):
        server = request.getfixturevalue(second)
        faces = get(server, second, out)
        assert [faces.read(name) for name in NAMES] == [jpeg(int(name[:6])) for name in NAMES]
    elif second == "the same":
        faces = fetch.fetch(given, out)
        assert (out / "img_align_celeba" / NAMES[0]).stat().st_ino == first and len(faces) == COUNT
        assert sorted(path.name for path in (out / "img_align_celeba").iterdir()) == NAMES  # no record, no half file
        assert faces.attributes is not None
    else:
        path = given if second == "changed" else tmp_path / "b"
        for file in given.glob("*.txt"):
            file.unlink()
        write(path, other)
        if second == "zip":
            path = write_zip(tmp_path / "b.zip", other)
        faces = fetch.fetch(path, out)
        assert [faces.read(name) for name in NAMES] == list(other.values()) and faces.attributes is None
    assert not half.exists()


@pytest.mark.filterwarnings("ignore::gan_course.errors.CourseWarning")
def test_lists_of_another_source_are_not_used(tmp_path):
    out = write(tmp_path / "out", annotation())  # left by an earlier source
    write(tmp_path / "b", {f"img_align_celeba/{name}": jpeg(7) for name in NAMES})
    with pytest.raises(CourseError, match=r"out/list_attr_celeba.txt' exists already; move it away"):
        fetch.fetch(tmp_path / "b", out)
    assert not list(out.glob("img*"))


@pytest.mark.filterwarnings("ignore::gan_course.errors.CourseWarning")
def test_other_faces_of_the_same_names_are_not_taken_for_those_that_are_here(tmp_path):
    fetch.fetch(write(tmp_path / "a", images()), tmp_path / "out")
    write(tmp_path / "b", {f"img_align_celeba/{name}": jpeg(7) + b"x" for name in NAMES})
    with pytest.raises(CourseError, match=r"out/img_align_celeba' exists already"):
        fetch.fetch(tmp_path / "b", tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "archive.zip", "unpacked", "loose"])
def test_a_screenshot_beside_the_download(kind, tmp_path, monkeypatch):
    """The README says: give the browser's folder. It holds other pictures, too."""
    monkeypatch.setattr(fetch, "IMAGE_COUNT", COUNT)
    strays = {"Screenshot (1).png": jpeg(5, "PNG"), **{f"2024/{i}.jpg": jpeg(i) for i in range(60)}}
    home = write(tmp_path / "Downloads", strays)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    if kind == "zip":
        write_zip(write(home, annotation()) / "img_align_celeba.zip", images())
    elif kind == "archive.zip":
        nested = images("img_align_celeba/img_align_celeba/")
        write_zip(home / "archive.zip", {**nested, **annotation(comma=True)})
    else:
        write(home, {**images("" if kind == "loose" else "img_align_celeba/"), **annotation()})
    with pytest.warns(CourseWarning) as caught:
        faces = fetch.fetch("~/Downloads", "~/celeba")
    assert faces.path == tmp_path / "celeba" and faces.names.tolist() == NAMES and faces.attributes is not None
    (said,) = [str(warning.message) for warning in caught if "left out" in str(warning.message)]
    assert said.startswith("61 images were left out") and "Screenshot (1).png" in said and said.endswith(".")


@pytest.mark.filterwarnings("ignore::gan_course.errors.CourseWarning")
def test_own_pictures_are_fetched_as_well(tmp_path):
    own = {f"IMG_{i}.jpg": jpeg(i) for i in range(8)} | {"202406.jpg": jpeg(9)}  # one has a name like CelebA's
    assert len(fetch.fetch(write(tmp_path / "own", own), tmp_path / "out")) == 9


@pytest.mark.filterwarnings("ignore::gan_course.errors.CourseWarning")
def test_folders_of_people_keep_their_folders(tmp_path):
    given = {f"lfw/Ada_{p}/Ada_{p}_{i:04d}.jpg": jpeg(p + i) for p in range(6) for i in range(1, 4)}
    faces = fetch.fetch(write(tmp_path / "given", given), tmp_path / "out")
    before = celeba.open_faces(tmp_path / "given")
    assert faces.names.tolist() == before.names.tolist() and faces.fingerprint() == before.fingerprint()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_rights(kaggle, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(CourseError, match="Permission denied"):
        get(kaggle, "kaggle", tmp_path / "out")


@pytest.mark.parametrize("place", ["file", "file/inside"])
def test_a_file_in_the_place_of_the_folder(place, kaggle, tmp_path):
    write(tmp_path, {"file": b"x", "given/a.jpg": jpeg()})
    for source in ("kaggle", tmp_path / "given"):
        with (
            pytest.raises(CourseError, match=r"Cannot read or write '.*file.*'.* choose another folder"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            get(kaggle, source, tmp_path / place)
