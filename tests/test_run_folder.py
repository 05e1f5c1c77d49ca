"""What people do to a run's folder while nobody looks: copies, spreadsheets, other faces, two processes at once."""

import csv
import json
import shutil
import subprocess
import sys
import warnings

import filelock
import imageio.v3 as iio
import pytest
from PIL import Image

from gan_course import runs
from gan_course.__main__ import main
from gan_course.backend import to_numpy
from gan_course.errors import CourseError, CourseWarning
from gan_course.latent.sampling import fixed_latent
from gan_course.training.callbacks import Log, Sheets

TINY = "--resolution 16 --latent-dim 8 --width 4 --max-width 8 --batch-size 8 --epoch 5".split()


def train(faces, run, *options):
    return main(["train", "dcgan", "--data", str(faces), "--out", str(run), *options])


@pytest.fixture(scope="module")
def made(face_folder, tmp_path_factory):
    """A run of 10 steps that no test changes."""
    path = tmp_path_factory.mktemp("folder") / "run"
    assert train(face_folder, path, *TINY, "--steps", "10") == 0
    return path


@pytest.fixture
def run(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "run")


def rows(run):
    with open(run / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


# --- copies ----------------------------------------------------------------------------------------------


def test_copies_of_sheets_and_checkpoints_are_left_alone(run, face_folder, capsys):
    """As Google Drive, the Finder and the Explorer name them."""
    copies = ["step-000000010 (1)", "step-000000010 copy", "Kopie von step-000000010", "step-x"]
    for copy in copies:
        for folder, ending in (("sheets", ".png"), ("checkpoints", ".npz")):
            shutil.copy(run / folder / f"step-000000010{ending}", run / folder / f"{copy}{ending}")
    assert train(face_folder, run, "--steps", "15") == 0
    assert capsys.readouterr().err == "" and all((run / f"sheets/{copy}.png").exists() for copy in copies)
    assert runs.load_run(run)[0].step == 15 and len(iio.imread(run / "training.gif")) == 4


# --- sheets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["empty", "cut", "text", "rgba", "grey", "cropped"])
def test_a_sheet_that_somebody_changed_does_not_spoil_the_film(kind, run, face_folder, capsys):
    path = run / "sheets/step-000000005.png"
    picture = Image.open(path).copy()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:300])
    elif kind == "text":
        path.write_text("my notes")
    else:
        changed = {
            "rgba": picture.convert("RGBA"),
            "grey": picture.convert("L"),
            "cropped": picture.crop((0, 0, 20, 30)),
        }
        changed[kind].save(path)
    (run / "training.gif").unlink()  # so the finished run makes it anew
    assert train(face_folder, run, "--steps", "10") == 0
    err = capsys.readouterr().err
    frames = 3 if kind in ("rgba", "grey") else 2
    assert len(iio.imread(run / "training.gif")) == frames
    assert err.count("\n") == (frames == 2) and "Traceback" not in err


def test_no_sheet_at_all_is_no_reason_to_fail(tmp_path):
    with pytest.warns(CourseWarning, match="no film"):
        Sheets(tmp_path).gif(tmp_path / "training.gif")


# --- the log ---------------------------------------------------------------------------------------------


def as_saved_by(program, text):
    table = [line.split(",") for line in text.splitlines()]
    if program == "Excel, German":
        return ("﻿" + "\r\n".join(";".join(row) for row in table)).encode("utf-8")
    if program == "Excel, Unicode text":
        return "\r\n".join("\t".join(row) for row in table).encode("utf-16")
    if program == "pandas":
        return "\n".join([text.splitlines()[0], *(f"{float(r[0])}," + ",".join(r[1:]) for r in table[1:])]).encode()
    return ("﻿" + text.replace("\n", "\r\n")).encode("utf-8")


class Model:
    """What `Log` sees."""

    step = 10


def goes_on(run):
    """A training of 5 steps more, as far as the log sees it."""
    log = Log(run / "log.csv", 8, clock=lambda: 1.0)
    log.set_model(Model())
    log.on_train_begin()
    log.model.step = 15
    log.on_epoch_end(0, {"d_loss": 1.0})


@pytest.mark.parametrize("program", ["Excel", "Excel, German", "Excel, Unicode text", "pandas"])
def test_a_log_that_another_program_saved_is_read(program, run):
    path = run / "log.csv"
    path.write_bytes(as_saved_by(program, path.read_text()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        goes_on(run)
    assert [float(row["step"]) for row in rows(run)] == [5, 10, 15]


@pytest.mark.parametrize("content", [b"\x00\x01\x02\xff", b"my notes\n", b"a,b\n1,2\n", "\ufeffstep\nfive\n".encode()])
def test_a_log_that_cannot_be_read_is_put_aside(content, run):
    (run / "log.csv").write_bytes(content)
    with pytest.warns(CourseWarning, match="log-unreadable-"):
        goes_on(run)
    assert [row["step"] for row in rows(run)] == ["15"]
    assert [path.read_bytes() for path in run.glob("log-unreadable-*.csv")] == [content]


def test_a_log_that_is_locked_is_written_later(tmp_path, monkeypatch):
    """As on Windows while Excel has it open: the training goes on, and no row is lost."""
    from gan_course.training import callbacks

    log = Log(tmp_path / "log.csv", 8, clock=lambda: 1.0)
    log.set_model(Model())
    log.on_train_begin()
    usual = callbacks.atomic_write

    def locked(path):
        raise PermissionError(13, "The process cannot access the file", str(path))

    for step in (5, 10, 15):
        log.model.step = step
        monkeypatch.setattr(callbacks, "atomic_write", usual if step == 15 else locked)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            log.on_epoch_end(0, {"d_loss": 1.0})
        assert len(caught) == (step < 15)
    assert [row["step"] for row in rows(tmp_path)] == ["5", "10", "15"]


# --- two at once -----------------------------------------------------------------------------------------


def test_two_processes_do_not_train_in_one_folder(run, face_folder, refused):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    code = f"import filelock; lock = filelock.FileLock({str(run / '.lock')!r}); lock.acquire(); print('mine', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "mine\n"
        refused(train(face_folder, run, "--steps", "15"), "Another process trains in", run)
        assert before == {path: path.read_bytes() for path in before}
        other.kill()  # a process that dies leaves no lock behind
    assert train(face_folder, run, "--steps", "10") == 0  # nothing to do, but in the folder


def test_a_drive_without_locks_gets_a_warning(run, face_folder, monkeypatch, capsys):
    def none(self, **options):
        raise NotImplementedError

    monkeypatch.setattr(filelock.FileLock, "acquire", none)
    assert train(face_folder, run, "--steps", "10") == 0
    assert "cannot be locked" in capsys.readouterr().err


# --- the weights of another run --------------------------------------------------------------------------


@pytest.mark.usefixtures("eagerly")
def test_a_run_begins_with_the_weights_of_another(made, face_folder, tmp_path, capsys, refused):
    new = tmp_path / "new"
    assert train(face_folder, new, *TINY, "--rate", "1e-12", "--steps", "5", "--start-from", str(made)) == 0
    count = len(runs.load_run(made)[0].ema_generator.weights)
    said = f"The run begins with {made.name}: {count} of {count} arrays of weights fit, and so does its discriminator"
    assert said in capsys.readouterr().out
    first, second = (runs.load_run(folder)[0] for folder in (made, new))
    pairs = zip(first.discriminator.trainable_weights, second.discriminator.trainable_weights, strict=True)
    assert all(abs(old.numpy() - weight.numpy()).max() < 1e-6 for old, weight in pairs)
    learned = [i for i, weight in enumerate(second.generator.weights) if weight.trainable]  # others are statistics
    for network in (second.generator, second.ema_generator):
        assert learned and all(
            abs(first.ema_generator.weights[i].numpy() - network.weights[i].numpy()).max() < 1e-6 for i in learned
        )
    assert json.loads((new / "settings.json").read_text())["start_from"] == made.name
    refused(train(face_folder, new, "--steps", "9", "--start-from", str(made)), "was begun already", "--start-from")
    assert train(face_folder, new, "--steps", "10") == 0  # goes on
    capsys.readouterr()
    assert json.loads((new / "settings.json").read_text())["start_from"] == made.name
    deep = [*TINY, "--blocks", "1", "--rate", "1e-12", "--start-from", str(made)]
    assert train(face_folder, tmp_path / "deep", *deep, "--steps", "5") == 0  # blocks that the other has not
    capsys.readouterr()
    deeper = runs.load_run(tmp_path / "deep")[0].ema_generator
    assert len(deeper.weights) > count
    latent = fixed_latent(4, 8)
    faces = [to_numpy(network(latent, training=False)) for network in (first.ema_generator, deeper)]
    assert abs(faces[0] - faces[1]).max() < 0.02  # the same, but for five steps of batch norm's statistics
    refused(train(face_folder, tmp_path / "flat", *TINY, "--start-from", str(tmp_path / "deep")), "other layers")
    wide = [*TINY, "--width", "6", "--max-width", "12", "--start-from", str(made)]
    refused(train(face_folder, tmp_path / "wide", *wide, "--steps", "5"), "another size", "--width")
    refused(train(face_folder, tmp_path / "none", *TINY, "--start-from", "nobody"), "nobody")
    other = ["train", "progan", "--data", str(face_folder), "--out", str(tmp_path / "p"), "--start-from", str(made)]
    refused(main(other), "is a dcgan", "same kind")
    assert not (tmp_path / "p" / "settings.json").exists() and not (tmp_path / "wide" / "settings.json").exists()


# --- other faces -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eagerly")
def test_a_run_refuses_other_faces_unless_told(run, face_folder, make_faces, tmp_path, refused):
    others = make_faces(tmp_path / "others", seed=9)
    refused(train(others, run, "--steps", "15"), "not those that", "--data-changed")
    assert runs.load_run(run)[0].step == 10
    moved = shutil.copytree(face_folder, tmp_path / "moved")  # the same faces in another place
    assert train(moved, run, "--steps", "15") == 0
    settings = json.loads((run / "settings.json").read_text())
    assert settings["data"] == str(moved) and "changes" not in settings
    assert train(others, run, "--steps", "20", "--data-changed") == 0
    changed = json.loads((run / "settings.json").read_text())
    assert changed["data"] == str(others) and changed["fingerprint"] != settings["fingerprint"]
    (change,) = changed["changes"]
    assert change == {"step": 15, "fingerprint": [settings["fingerprint"], changed["fingerprint"]]}
    assert train(others, run, "--steps", "20") == 0  # they are the run's now


# --- paths and consoles ----------------------------------------------------------------------------------


def test_a_tilde_is_the_home_folder_after_an_equals_sign_too(face_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "dcgan", f"--data={face_folder}", "--out=~/run", *TINY, "--steps", "5"]) == 0
    assert (tmp_path / "run/settings.json").exists() and not (tmp_path / "~").exists()
    first = capsys.readouterr().out.splitlines()[0]  # which faces it uses
    assert "32 of 40 faces" in first and "part train" in first and str(face_folder) in first


def test_a_console_without_our_letters_prints_question_marks(made, tmp_path):
    out = tmp_path / "Gesichter-\u0142\u20ac\u65e5.png"
    code = "import sys; from gan_course.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "sample", str(made), "--count", "4", "--out", str(out)]
    import os

    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONPATH": str(runs.Path(runs.__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert out.exists() and b"4 faces are in" in done.stdout and b"?" in done.stdout


def test_warnings_stay_warnings_where_python_makes_them_errors(face_folder, tmp_path, capsys):
    """`python -W error` with a broken picture in the folder."""
    faces = shutil.copytree(face_folder, tmp_path / "faces")
    (faces / "img_align_celeba/000003.jpg").write_bytes(b"no picture")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Keras has deprecations of its own
        assert train(faces, tmp_path / "run", *TINY, "--steps", "5") == 0
    assert "broken and skipped" in capsys.readouterr().err


def test_numbers_are_shown_before_the_file_that_cannot_be_written(made, face_folder, tmp_path, monkeypatch, capsys):
    from gan_course.metrics import FaceFeatures, evaluation
    from gan_course.models import attributes

    judge = FaceFeatures(attributes.build(["Smiling"], width=2, resolution=32))
    monkeypatch.setattr(evaluation, "feature_network", lambda choice, data: judge)
    (tmp_path / "file").write_text("")
    command = ["evaluate", str(made), "--data", str(face_folder), "--split", "all", "--count", "40"]
    assert main([*command, "--out", str(tmp_path / "file/result.json")]) == 2
    captured = capsys.readouterr()
    assert "precision" in captured.out and "file" in captured.err
    assert main([*command, "--resolution", "0"]) == 2 and "resolution is 0" in capsys.readouterr().err


def test_wrong_arguments_of_the_python_function(tmp_path):
    with pytest.raises(CourseError, match="steps is 0"):
        runs.train(tmp_path / "run", steps=0)
    assert not list(tmp_path.iterdir())
