"""Files of an npm package: fetched once, checked, never half."""

import hashlib
import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gan_course.data import npm
from gan_course.errors import CourseError

CONTENT = {"dist/a.js": b"1 + 1", "b.txt": b"hello"}


def pack(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry with one package; the list of what was asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, form, *values):
            asked.append(self.path)

    place = tmp_path / "registry" / "thing" / "-" / "thing-1.2.tgz"
    pack(place, CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "registry")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "data"))
    yield place, asked
    server.shutdown()
    server.server_close()


def thing(place, **changed):
    known = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
    return npm.Package("thing", "1.2", place.stat().st_size, known | changed)


def test_fetched_once_and_kept(registry):
    place, asked = registry
    folder = npm.files(thing(place))
    assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
    assert npm.files(thing(place)) == folder and asked == ["/thing/-/thing-1.2.tgz"]
    (folder / "b.txt").write_bytes(b"harm")  # a file that was changed is fetched again
    assert (npm.files(thing(place)) / "b.txt").read_bytes() == b"hello" and len(asked) == 2
    assert [path.name for path in folder.parent.iterdir()] == ["thing-1.2"]


def test_an_archive_that_was_brought_by_hand_is_taken(registry, tmp_path):
    place, asked = registry
    pack(tmp_path / "data/cache/npm/thing-1.2.tgz", CONTENT)
    npm.files(thing(place))
    assert asked == []


def test_other_files_and_sizes_are_refused(registry, tmp_path):
    place, _ = registry
    for wrong, says in (
        (thing(place, **{"b.txt": "0" * 64}), "its b.txt is another file"),
        (thing(place, **{"c.txt": "0" * 64}), "c.txt"),
        (npm.Package("thing", "1.2", 99, {"b.txt": "0" * 64}), "not 99"),
        (npm.Package("thing", "9", 99, {"b.txt": "0" * 64}), "HTTP 404|asks for a login"),
    ):
        with pytest.raises(CourseError, match=says):
            npm.files(wrong)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
