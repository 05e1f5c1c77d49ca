"""The command line: what it writes, what it says, and one sentence for every mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_course import pretrained, weights
from gan_course.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
TINY = "--resolution 16 --latent-dim 8 --width 4 --max-width 8 --batch-size 8 --epoch 5".split()


def train(folder, run, *options):
    return main(["train", "dcgan", "--data", str(folder), "--out", str(run), *TINY, *options])


@pytest.fixture(scope="module")
def run(face_folder, tmp_path_factory):
    """A finished run of 10 steps."""
    path = tmp_path_factory.mktemp("cli") / "run"
    assert train(face_folder, path, "--steps", "10") == 0
    return path


# --- help ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "",
        "data",
        "data toon",
        "data celeba",
        "train",
        "sample",
        "evaluate",
        "attributes",
        "measure-attributes",
        "frame",
        "axes",
        "edit",
        "page",
    ],
)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and out.startswith("usage: python -m gan_course " + command)
    assert "(default: None)" not in out


def test_every_option_has_help():
    from gan_course.__main__ import parser

    def actions(p):
        for action in p._actions:
            yield action
            if hasattr(action, "choices") and isinstance(action.choices, dict):
                for sub in action.choices.values():
                    yield from actions(sub)

    for action in actions(parser()):
        assert action.help or isinstance(action.choices, dict), action


def test_help_is_quick():
    """Nothing slow is imported before there is work to do."""
    code = "import sys, gan_course.__main__ as m; m.parser(systems=False).format_help(); print([*sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"tensorflow", "keras", "numpy", "pandas", "matplotlib", "requests"} & set(eval(out))


@pytest.mark.parametrize("arguments", [[], ["train"], ["data", "toon", "--count", "many"], ["train", "biggan"]])
def test_argparse_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("train dcgan --data faces --out run", "stopped; give the same command to go on."),
        ("data toon", "stopped; give the same command to go on."),
        ("sample dcgan-toon-64", "stopped."),
        ("evaluate dcgan-toon-64 --data faces", "stopped."),
        ("attributes --data faces --out judge", "stopped."),
        ("measure-attributes attributes-toon-judge --data faces --groups Male", "stopped."),
        ("frame me.jpg --out faces", "stopped."),
        ("axes dcgan-toon-64 --data faces --out a.npz", "stopped."),
        ("edit dcgan-toon-64 --axes a.npz --set Male=1", "stopped."),
    ],
)
def test_ctrl_c_promises_only_what_is_true(command, text, monkeypatch, capsys):
    """Faces and runs go on where they were; the other commands begin anew."""
    from gan_course import __main__ as cli

    def stop(options):
        raise KeyboardInterrupt

    for name in ("toon", "train", "sample", "evaluate", "attributes", "measure_attributes", "frame", "axes", "edit"):
        monkeypatch.setattr(cli, name, stop)
    assert main(command.split()) == 130
    assert capsys.readouterr() == ("", f"gan_course: {text}\n")


# --- train -----------------------------------------------------------------------------------------------


def test_resuming_keeps_the_settings(run, face_folder, tmp_path, capsys, refused):
    """Options that are left out come from the run; one that differs is refused; the faces may move."""
    settings = json.loads((run / "settings.json").read_text())
    assert settings["width"] == 4 and settings["batch_size"] == 8 and settings["epoch"] == 5
    status = main(["train", "dcgan", "--data", str(face_folder), "--out", str(run), "--steps", "10"])
    assert status == 0 and "10 steps" in capsys.readouterr().out
    refused(train(face_folder, run, "--seed", "3"), run, "seed 0, not 3", "leave the option out")


@pytest.mark.parametrize("model", [["dcgan"], ["progan", "--resolution", "8", "--start", "8"]])
@pytest.mark.usefixtures("eagerly")
def test_rate_and_gamma_may_change(model, face_folder, tmp_path, capsys):
    """The optimisers take the new rate (a checkpoint has the old one), and settings.json tells what came when."""
    command = ["train", model[0], "--data", str(face_folder), "--out", str(tmp_path / "run"), *TINY, *model[1:]]
    assert main([*command, "--steps", "5", "--rate", "0.002", "--r1-gamma", "2"]) == 0
    assert main([*command, "--steps", "10", "--rate", "0.001", "--ttur", "2", "--r1-gamma", "0.5"]) == 0
    assert "from step 5 with rate 0.001 instead of 0.002" in capsys.readouterr().out
    if model == ["dcgan"]:
        assert main([*command, "--steps", "15"]) == 0  # left out: the newest values stay
    settings = json.loads((tmp_path / "run/settings.json").read_text())
    assert settings["rate"] == 0.001 and settings["r1_gamma"] == 0.5
    assert settings["changes"] == [{"step": 5, "rate": [0.002, 0.001], "ttur": [1.0, 2.0], "r1_gamma": [2.0, 0.5]}]
    from gan_course.runs import load_run

    gan, _ = load_run(tmp_path / "run")
    assert gan.r1_gamma == 0.5
    assert np.isclose([float(o.learning_rate) for o in (gan.g_optimizer, gan.d_optimizer)], [0.001, 0.002]).all()


def test_a_wrong_rate_changes_nothing(face_folder, run, refused):
    before = (run / "settings.json").read_text()
    refused(train(face_folder, run, "--steps", "99", "--rate", "-1"), "rate is -1", "above 0")
    assert (run / "settings.json").read_text() == before


def test_minutes(face_folder, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(face_folder, run, "--minutes", "0.02") == 0
    assert capsys.readouterr().err == ""
    assert "0.0 minutes already" not in (run / "log.csv").read_text()
    seconds = float((run / "log.csv").read_text().splitlines()[-1].split(",")[2])
    assert seconds >= 1.2
    assert train(face_folder, run, "--minutes", "0.02") == 0  # reached: nothing more is trained
    assert "already" in capsys.readouterr().out


def test_tensorboard(face_folder, tmp_path):
    assert train(face_folder, tmp_path / "run", "--steps", "5", "--tensorboard") == 0
    assert list((tmp_path / "run/tensorboard/train").glob("events*"))


WRONG = [
    ("--steps", "0"),
    ("--steps", "-5"),
    ("--minutes", "-1"),
    ("--minutes", "0"),
    ("--minutes", "nan"),
    ("--minutes", "inf"),
    ("--batch-size", "-1"),
    ("--batch-size", "0"),
    ("--batch-size", "33"),  # there are 32 faces to train on
    ("--resolution", "60"),
    ("--resolution", "-16"),
    ("--rate", "0"),
    ("--rate", "nan"),
    ("--rate", "inf"),
    ("--loss", "foo"),
    ("--ema-decay", "2"),
    ("--ema-decay", "-0.1"),
    ("--epoch", "0"),
    ("--width", "0"),
    ("--max-width", "-1"),
    ("--latent-dim", "0"),
    ("--r1-gamma", "-1"),
    ("--r1-gamma", "nan"),
    ("--r1-interval", "0"),
    ("--seed", "-1"),
    ("--seed", str(2**32)),
]


@pytest.mark.parametrize("option, value", WRONG)
def test_wrong_values(face_folder, tmp_path, refused, option, value):
    steps = [] if option in ("--steps", "--minutes") else ["--steps", "5"]
    status = train(face_folder, tmp_path / "run", *steps, f"{option}={value}")
    refused(status, option.strip("-").replace("-", "_") if option != "--loss" else "loss", value)
    assert not (tmp_path / "run").exists()  # a mistake leaves nothing behind


def test_wrong_faces(tmp_path, refused):
    refused(train(tmp_path / "nowhere", tmp_path / "run", "--steps", "5"), "nowhere")
    (tmp_path / "empty").mkdir()
    refused(train(tmp_path / "empty", tmp_path / "run", "--steps", "5"), "empty")
    assert not (tmp_path / "run").exists()


def test_wrong_out(face_folder, tmp_path, refused):
    file = tmp_path / "file"
    file.write_text("mine")
    refused(train(face_folder, file, "--steps", "5"), file, "is a file")
    refused(train(face_folder, file / "below", "--steps", "5"), file)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("mine")
    refused(train(face_folder, tmp_path / "full", "--steps", "5"), "full is not empty")
    assert file.read_text() == "mine" and [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_unwritable_out(face_folder, run, tmp_path, refused):
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(train(face_folder, tmp_path / "locked/run", "--steps", "5"), "locked")
    refused(main(["sample", str(run), "--out", str(tmp_path / "locked/a.png")]), "locked")


def test_a_folder_that_a_killed_start_left_is_used(face_folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/settings.77.partial").write_text("{")
    assert train(face_folder, tmp_path / "run", "--steps", "5") == 0
    assert not list((tmp_path / "run").glob("*.partial"))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"abc"', '{"width": "4"}', '{"width": 4.5}', "\x00\x01"])
def test_damaged_settings(face_folder, tmp_path, refused, text):
    (tmp_path / "settings.json").write_text(text)
    refused(train(face_folder, tmp_path, "--steps", "5"), tmp_path / "settings.json", "is damaged")
    refused(main(["sample", str(tmp_path)]), tmp_path / "settings.json", "is damaged")


def test_a_full_disk_is_one_sentence(face_folder, tmp_path, monkeypatch, capsys):
    from gan_course.training import checkpoints

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    assert train(face_folder, tmp_path / "run", "--steps", "5") == 2
    err = capsys.readouterr().err
    assert err.startswith("gan_course: ") and "No space left on device" in err and err.count("\n") == 1
    monkeypatch.undo()
    assert train(face_folder, tmp_path / "run", "--steps", "5") == 0


def test_nan_stops_and_is_not_saved(face_folder, tmp_path, refused, capsys):
    run = tmp_path / "run"
    status = train(face_folder, run, "--steps", "500", "--rate", "1e30", "--loss", "least_squares")
    refused(status, "Training stopped at step", "nan", "smaller learning rate", begun=True)
    for path in (run / "checkpoints").glob("*"):
        with np.load(path) as file:
            assert all(np.isfinite(file[name]).all() for name in file.files)


def test_a_discriminator_that_has_won_stops(face_folder, tmp_path, refused, monkeypatch):
    """The threshold is made easy to reach; that a real one is reached is in test_training."""
    from gan_course import runs

    guard = runs.Guard
    monkeypatch.setattr(runs, "Guard", lambda **options: guard(won=10.0, patience=2, **options))
    status = train(face_folder, tmp_path / "run", "--steps", "50")
    refused(status, "Training stopped at step 10", "the discriminator has won", "r1_gamma", begun=True)
    assert (tmp_path / "run/training.gif").exists()


def test_out_of_memory_is_one_sentence(face_folder, tmp_path, refused, monkeypatch):
    import tensorflow as tf

    from gan_course.training.gan import GAN

    def full(self, *args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(GAN, "fit", full)
    refused(train(face_folder, tmp_path / "run", "--steps", "5"), "memory", "--batch-size", begun=True)


def test_a_missing_package_is_one_sentence(refused, monkeypatch):
    def missing(options):
        import no_such_package  # noqa: F401

    monkeypatch.setattr("gan_course.__main__.sample", missing)
    refused(main(["sample", "nobody"]), "no_such_package", "requirements.txt")


def test_a_programming_error_keeps_its_traceback(face_folder, tmp_path, monkeypatch):
    from gan_course.training.gan import GAN

    monkeypatch.setattr(GAN, "fit", lambda self, *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(face_folder, tmp_path / "run", "--steps", "5")


# --- sample ----------------------------------------------------------------------------------------------


def test_sample_of_a_run(run, tmp_path, capsys):
    for out, seed in (("a.png", "0"), ("b.png", "0"), ("new/folder/c.jpg", "1")):
        assert main(["sample", str(run), "--count", "10", "--seed", seed, "--out", str(tmp_path / out)]) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out.splitlines()[0] == f"10 faces are in {tmp_path / 'a.png'}."
    a, b, c = (np.asarray(Image.open(tmp_path / name)) for name in ("a.png", "b.png", "new/folder/c.jpg"))
    assert a.shape == c.shape == (3 * 18 - 2, 4 * 18 - 2, 3)
    np.testing.assert_array_equal(a, b)
    assert np.abs(a.astype(int) - c).max() > 20  # more than what JPEG changes


def test_a_sample_is_the_runs_last_sheet(run, tmp_path):
    """Both are of the averaged generator and the same latent vectors."""
    assert main(["sample", str(run), "--out", str(tmp_path / "a.png")]) == 0
    sheet, last = Image.open(tmp_path / "a.png"), Image.open(run / "sheets/step-000000010.png")
    assert np.abs(np.asarray(sheet, int) - np.asarray(last, int)).max() <= 1


def test_wrong_samples(run, tmp_path, refused, monkeypatch):
    out = ["--out", str(tmp_path / "a.png")]
    refused(main(["sample", "nobody", *out]), "nobody")
    refused(main(["sample", str(tmp_path), *out]), tmp_path, "no run")
    refused(main(["sample", str(run), "--count", "0", *out]), "--count is 0")
    refused(main(["sample", str(run), "--seed", "-1", *out]), "--seed is -1")
    refused(main(["sample", str(run), "--out", str(tmp_path / "a.txt")]), "a.txt", ".png")
    refused(main(["sample", str(run), "--out", str(tmp_path)]), tmp_path, ".png")
    (tmp_path / "folder.png").mkdir()
    refused(main(["sample", str(run), "--out", str(tmp_path / "folder.png")]), "folder.png")
    (tmp_path / "file").write_text("")
    refused(main(["sample", str(run), "--out", str(tmp_path / "file/a.png")]), "file")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/settings.json").write_text((run / "settings.json").read_text())
    refused(main(["sample", str(tmp_path / "new"), *out]), "no checkpoint yet")
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "none")
    refused(main(["sample", "nobody", *out]), "nobody", "none in this copy")
    assert not (tmp_path / "a.png").exists()


def test_sample_of_shipped_weights(run, tmp_path, monkeypatch, refused, capsys):
    """By name; and a file that is not the recorded one is refused."""
    import hashlib

    from gan_course.runs import load_run

    generator = load_run(run)[0].ema_generator
    generator.save_weights(tmp_path / "tiny.weights.h5")
    data = (tmp_path / "tiny.weights.h5").read_bytes()
    settings = json.loads((run / "settings.json").read_text())
    entry = {"file": "tiny.weights.h5", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (tmp_path / "index.json").write_text(json.dumps({"tiny": {**entry, "settings": settings}}))
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    monkeypatch.setattr(weights, "ROOT", tmp_path)
    for name, out in ((str(run), "a.png"), ("tiny", "b.png")):
        assert main(["sample", name, "--out", str(tmp_path / out)]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    capsys.readouterr()

    (tmp_path / "tiny.weights.h5").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused(main(["sample", "tiny", "--out", str(tmp_path / "c.png")]), "tiny.weights.h5", "damaged", "git checkout")


# --- axes and edit ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def axes_of(run, face_folder):
    """Axes of the finished run, by the shipped network for cartoons (of another size)."""
    out = run.parent / "axes.npz"
    chosen = ["--network", "attributes-toon-steer", "--count", "120", "--seed", "3"]
    assert main(["axes", str(run), *chosen, "--out", str(out)]) == 0
    return out


def test_faces_are_edited_along_axes(run, axes_of, tmp_path, capsys):
    from gan_course.latent.axes import Axes, drawer
    from gan_course.latent.sampling import fixed_latent
    from gan_course.show import to_uint8

    out, found = tmp_path / "faces.png", Axes.load(axes_of)
    a, b, c, d, *_ = found.names  # an untrained GAN has no axis for what it never draws
    command = ["edit", str(run), "--axes", str(axes_of), "--set", f"{a}=+2, {b}=-1", "--lock", f"{c},{d}"]
    assert main([*command, "--count", "3", "--seed", "5", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said == f"Above 3 faces, below the same with {a} +10, {b} -5 degrees: {out}.\n"
    picture = np.asarray(Image.open(out)).astype(int)
    assert picture.shape == (2 * 18 - 2, 3 * 18 - 2, 3)
    generator, start = pretrained.find(run).network, fixed_latent(3, 8, 5)
    moved = found.move(start, {a: 10, b: -5}, [c, d])
    for row, codes in enumerate((start, moved)):
        for column, face in enumerate(to_uint8(drawer(generator)(codes))):
            there = picture[18 * row : 18 * row + 16, 18 * column : 18 * column + 16]
            assert np.abs(there - face).max() <= 1
    assert (picture[:16] != picture[18:]).any()


def test_axes_of_a_stylegan_are_moved_in_w(axes_of, tmp_path, monkeypatch, capsys, refused):
    import keras

    from gan_course.latent.axes import Axes
    from gan_course.models import stylegan

    keras.utils.set_random_seed(0)
    generator = stylegan.build_generator(16, 8, base=128, max_width=16, mapping=2, spread=1.0)
    found = pretrained.Found(generator, None, {"kind": "run", "name": "tiny"})
    monkeypatch.setattr(pretrained, "find", lambda name: found)
    out, picture = tmp_path / "w.npz", tmp_path / "a.png"
    command = ["axes", "tiny", "--network", "attributes-toon-steer", "--space", "w", "--method", "logistic"]
    assert main([*command, "--count", "200", "--out", str(out)]) == 0
    axes = Axes.load(out)
    assert (axes.space, axes.method, axes.count, axes.generator_name) == ("w", "logistic", 200, "tiny")
    said = capsys.readouterr()
    assert f"{len(axes.names)} axes in w from 200 faces" in said.out
    assert said.err.startswith("gan_course: The drawn faces are all alike in ")  # it is not trained
    edit = ["edit", "tiny", "--axes", str(out), "--set", f"{axes.names[0]}=3", "--out", str(picture)]
    for layers in ([], ["--layers", "0-1"], ["--layers", "5"]):
        assert main([*edit, *layers]) == 0
    assert f"{axes.names[0]} +1.5 standard deviations of w" in capsys.readouterr().out
    refused(main([*edit, "--layers", "4-6"]), "[4, 5, 6]", "0 to 5")
    refused(main([*edit[:2], "--axes", str(axes_of), *edit[4:]]), "other weights", "python -m gan_course axes")
    # A face of one's own: given, found, moved; from an encoder's guess where the course ships one for the generator.
    face, starts = tmp_path / "face.png", []
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype="uint8")).save(face)
    own = [*edit, "--image", str(face)]
    assert main(own) == 0 and np.asarray(Image.open(picture)).shape == (16, 3 * 18 - 2, 3)
    assert f"what was found in w+, and this with {axes.names[0]} +1.5" in capsys.readouterr().out
    monkeypatch.setattr(
        pretrained, "encoder_of", lambda name: lambda x: starts.append(x) or np.zeros((1, 6, 8), "float32")
    )
    assert main([*own, "--search", "w"]) == 0 and starts[0].shape == (1, 16, 16, 3)
    assert "found in w, and" in capsys.readouterr().out
    refused(main([*own, "--count", "3"]), "--count is for drawn faces")
    refused(main([*edit, "--search", "w"]), "--search belongs to --axes with --image")
    refused(main([*own, "--strength", "1"]), "--strength belongs to --image without --axes")
    refused(main([*edit, "--image", str(tmp_path / "none.png")]), "none.png")


def test_wrong_axes_and_edits(run, face_folder, axes_of, tmp_path, refused):
    from gan_course.latent.axes import Axes

    out = ["--out", str(tmp_path / "a.npz")]
    refused(main(["axes", "nobody", "--data", str(face_folder), *out]), "nobody")
    refused(main(["axes", str(run), "--data", str(tmp_path / "nowhere"), *out]), "nowhere")
    refused(main(["axes", str(run), "--network", str(run), *out]), "report.json")
    refused(main(["axes", str(run), "--data", str(face_folder), "--out", str(tmp_path / "a.txt")]), "a.txt", ".npz")
    refused(main(["axes", str(run), "--data", str(face_folder), "--space", "w", *out]), "no StyleGAN")
    refused(main(["axes", str(run), "--data", str(face_folder), "--count", "1", *out]), "count is 1")
    assert not list(tmp_path.iterdir())
    picture = ["--out", str(tmp_path / "a.png")]
    name, other, *_ = Axes.load(axes_of).names
    edit = ["edit", str(run), "--axes", str(axes_of), "--set", f"{name}=2"]
    refused(main([*edit[:3], str(tmp_path / "none.npz"), *edit[4:], *picture]), "none.npz")
    refused(main([*edit[:3], str(run / "settings.json"), *edit[4:], *picture]), "holds no axes")
    refused(main([*edit[:-1], "Smile=2", *picture]), "no axis 'Smile'", other)
    refused(main([*edit[:-1], f"{name}=nan", *picture]), f"{name} is nan")
    refused(main([*edit, "--lock", name, *picture]), f"{name} is locked")
    refused(main([*edit, "--layers", "1", *picture]), "--layers is for axes in w")
    refused(main([*edit, "--count", "0", *picture]), "--count is 0")
    refused(main([*edit, "--image", "a.png", *picture]), "found in w only")
    refused(main(["edit", str(run), "--set", f"{name}=2", *picture]), "needs --axes AXES.npz, --image FILE, or both")
    refused(main([*edit, "--out", str(tmp_path / "a.txt")]), "a.txt", ".png")
    for text in ("Smiling", ""):
        refused(main([*edit[:-1], text, *picture]), f"--set is '{text}'", "Smiling=+2")
    for wrong in ("--strength", "--source"):
        refused(main([*edit, wrong, "1", *picture]), f"{wrong} belongs to --image")
    refused(
        main(["edit", "l2m", "--image", "a.jpg", "--set", "Male=1", "--lock", "Young", *picture]),
        "--lock belongs to --axes",
    )
    with pytest.raises(SystemExit):
        main([*edit, "--layers", "3-1", *picture])
    assert not list(tmp_path.iterdir())


# --- data ------------------------------------------------------------------------------------------------


def test_data_toon(tmp_path, capsys, refused):
    assert main(["data", "toon", "--count", "10", "--out", str(tmp_path / "toon")]) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out == f"10 faces are in {tmp_path / 'toon'}.\n"
    assert len(list((tmp_path / "toon/img_align_celeba").glob("*.jpg"))) == 10
    refused(main(["data", "toon", "--count", "0", "--out", str(tmp_path / "none")]), "count", "0")
    refused(main(["data", "toon", "--seed", "-1", "--out", str(tmp_path / "none")]), "seed", "-1")
    refused(main(["data", "toon", "--seed", "5", "--out", str(tmp_path / "toon")]), "toon")


def test_data_celeba_from_a_path(face_folder, tmp_path, capsys, refused):
    assert main(["data", "celeba", "--from", str(face_folder), "--out", str(tmp_path / "celeba")]) == 0
    captured = capsys.readouterr()
    assert f"40 faces are in {tmp_path / 'celeba'}." in captured.out and "GAN_COURSE_FACES" in captured.out
    # One sentence for each file that is not the official one, and no Python file names.
    assert all(line.startswith("gan_course: ") for line in captured.err.splitlines())
    refused(main(["data", "celeba", "--from", str(tmp_path / "nowhere"), "--out", str(tmp_path / "b")]), "nowhere")


# --- frame -----------------------------------------------------------------------------------------------


def test_frame(generated_photograph, tmp_path, capsys, monkeypatch):
    """Photographs that do not work, one sentence each, do not stop the others; faces that are there stay."""
    pytest.importorskip("cv2")
    page, _, face = generated_photograph
    good, other, empty, note = (tmp_path / name for name in ("me.jpg", "other.png", "sky.jpg", "note.jpg"))
    Image.fromarray(page).save(good, quality=95)
    Image.fromarray(page[:, ::-1]).save(other)
    Image.new("RGB", (300, 200), (90, 120, 200)).save(empty)
    note.write_text("no picture")
    out = tmp_path / "new/faces"
    command = ["frame", *map(str, (good, empty, note, tmp_path / "none.jpg", other)), "--out", str(out)]
    assert main(command) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == "" and len(lines) == 4 and all(line.startswith("gan_course: ") for line in lines)
    assert f"'{empty}': No face was found" in lines[0] and f"'{note}' cannot be read" in lines[1]
    assert "none.jpg" in lines[2] and f"3 of 5 photographs are not framed; 2 faces are in {out}." in lines[3]
    assert sorted(path.name for path in out.iterdir()) == ["me.png", "other.png"]
    framed = np.asarray(Image.open(out / "me.png")).astype(int)
    assert framed.shape == (64, 64, 3) and np.abs(framed - face)[8:56, 8:56].mean() < 12

    (out / "me.png").write_text("mine")
    assert main(["frame", str(good), str(other), "--out", str(out)]) == 2
    assert capsys.readouterr().err.count("exists; move that, or give another --out") == 2
    assert (out / "me.png").read_text() == "mine"
    assert main(["frame", str(good), str(other), "--out", str(tmp_path / "b")]) == 0
    assert capsys.readouterr() == (f"2 faces are in {tmp_path / 'b'}.\n", "")


def test_frame_with_eyes_needs_no_opencv(generated_photograph, tmp_path, capsys, monkeypatch):
    page, eyes, face = generated_photograph
    monkeypatch.setitem(sys.modules, "cv2", None)
    Image.fromarray(page).save(tmp_path / "me.png")
    text = ",".join(f"{value:.1f}" for eye in eyes for value in eye)
    assert main(["frame", str(tmp_path / "me.png"), "--eyes", text, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr() == (f"1 faces are in {tmp_path / 'out'}.\n", "")
    framed = np.asarray(Image.open(tmp_path / "out/me.png")).astype(int)
    assert np.abs(framed - face)[8:56, 8:56].mean() < 4


def test_wrong_frames(generated_photograph, tmp_path, refused, monkeypatch):
    page, eyes, _ = generated_photograph
    photo, out = tmp_path / "me.png", ["--out", str(tmp_path / "out")]
    Image.fromarray(page).save(photo)
    for text in ("1,2,3", "a,b,c,d", "", "1,2,3,4,5,6"):
        refused(main(["frame", str(photo), f"--eyes={text}", *out]), f"--eyes is '{text}'", "give X,Y,X,Y")
    refused(main(["frame", str(photo), "--eyes", "9,9,9999,9", *out]), photo, "not inside the picture of 600x500")
    refused(main(["frame", str(photo), "--eyes", "nan,9,99,9", *out]), photo, "not inside the picture of 600x500")
    refused(main(["frame", str(photo), str(photo), "--eyes", "1,2,3,4", *out]), "there are 2", "one at a time")
    refused(main(["frame", str(photo), "--eyes", "100,100,150,100", "--out", str(photo)]), photo, "a file")
    refused(main(["frame", str(tmp_path), "--eyes", "1,2,3,4", *out]), tmp_path, "cannot be read")
    monkeypatch.setitem(sys.modules, "cv2", None)
    refused(main(["frame", str(photo), str(photo), *out]), "install OpenCV", "or give the eyes")
    assert not (tmp_path / "out").exists()
