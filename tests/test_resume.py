"""Runs that are killed: they go on where they stopped and end with the same bits."""

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gan_course.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
TINY = "--resolution 16 --latent-dim 8 --width 4 --max-width 8 --batch-size 8 --epoch 10 --r1-interval 4".split()
STEPS = 400  # about 2 seconds, so that there is something to interrupt


def command(folder, run, steps=STEPS):
    return ["train", "dcgan", "--data", str(folder), "--out", str(run), "--steps", str(steps), *TINY]


def newest(run):
    """The step of the newest checkpoint, or -1."""
    steps = [int(path.stem.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*.npz")]
    return max(steps, default=-1)


RUN = """
import sys
from gan_course.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def start(arguments, code=RUN):
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process, run, step):
    while newest(run) < step:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


# Dies in the middle of writing the checkpoint of step 170: the file is half there, under its partial name.
DIES_WHILE_SAVING = """
import os, sys, signal
from gan_course.__main__ import main
from gan_course.training import checkpoints
def fsync(handle):
    os.ftruncate(handle, os.fstat(handle).st_size // 2)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
real = checkpoints.save
def save(path, *rest):
    if "170" in path.name:
        checkpoints.os.fsync = fsync
    real(path, *rest)
checkpoints.save = save
main(sys.argv[1:])
"""


def losses(run):
    """The log without its clock."""
    with open(run / "log.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def files(run, pattern):
    return {path.name: path.read_bytes() for path in sorted(run.glob(pattern))}


def state(run):
    with np.load(run / "checkpoints" / f"step-{STEPS:09d}.npz") as file:
        arrays = {name: file[name] for name in file.files}
    record = json.loads(arrays.pop("record").tobytes())
    return record, arrays


@pytest.fixture(scope="module")
def whole(face_folder, tmp_path_factory):
    """A run that was never stopped, made by a process of its own, and what that process printed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    process = start(command(face_folder, run))
    out, err = process.communicate(timeout=300)
    return run, process.returncode, out, err


def test_a_run_is_quiet_without_a_terminal(whole):
    run, status, out, err = whole
    assert status == 0 and err == ""
    faces, done = out.splitlines()
    assert "32 of 40 faces are used (part train)" in faces
    assert [done] == [f"{run}: {STEPS} steps. Look at sheets/ and training.gif there."]


def test_a_run_holds_its_files(whole):
    run = whole[0]
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock",
        "checkpoints",
        "log.csv",
        "settings.json",
        "sheets",
        "training.gif",
    ]
    assert newest(run) == STEPS and len(list((run / "checkpoints").iterdir())) == 2
    rows = losses(run)
    assert [int(row["step"]) for row in rows] == list(range(10, STEPS + 1, 10))
    assert rows[1]["images"] == "160" and {"d_loss", "g_loss", "real", "fake", "r1"} < set(rows[0])
    assert len(list((run / "sheets").iterdir())) == 1 + STEPS // 10
    assert json.loads((run / "settings.json").read_text())["resolution"] == 16


def test_a_killed_run_ends_with_the_same_bits(whole, face_folder, tmp_path, capsys):
    run, arguments = tmp_path / "run", command(face_folder, tmp_path / "run")
    # Killed at any moment.
    process = start(arguments)
    wait_for(process, run, 20)
    time.sleep(random.uniform(0, 0.3))
    process.kill()
    process.communicate()
    assert process.returncode != 0 and 20 <= newest(run) < 170

    # Killed while it wrote a checkpoint.
    process = start(arguments, DIES_WHILE_SAVING)
    process.communicate(timeout=300)
    assert process.returncode != 0 and newest(run) == 160
    assert len(list((run / "checkpoints").glob(".step-*"))) == 1

    # Ctrl-C.
    def stop():
        while newest(run) < 200:
            time.sleep(0.005)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may let what it starts ignore Ctrl-C
    threading.Thread(target=stop, daemon=True).start()
    assert main(arguments) == 130
    signal.signal(signal.SIGINT, before)
    out, err = capsys.readouterr()
    assert err.startswith("gan_course: stopped; ") and err.count("\n") == 1 and out.count("\n") == 1
    assert newest(run) < STEPS

    # And on to the end.
    assert main(arguments) == 0
    assert capsys.readouterr().err == ""
    (_, expected), (record, arrays) = state(whole[0]), state(run)
    assert record["step"] == STEPS and set(arrays) == set(expected)
    for name, array in expected.items():
        assert array.dtype == arrays[name].dtype and array.tobytes() == arrays[name].tobytes(), name
    assert losses(run) == losses(whole[0])
    assert files(run, "sheets/*") == files(whole[0], "sheets/*")
    assert files(run, "training.gif") == files(whole[0], "training.gif")
    assert sorted(p.name for p in run.rglob("*")) == sorted(p.name for p in whole[0].rglob("*"))
    seconds = [float(row["seconds"]) for row in csv.DictReader(io.StringIO((run / "log.csv").read_text()))]
    assert seconds == sorted(seconds)  # the clock goes on as well


def test_a_finished_run_is_left_alone_and_a_damaged_checkpoint_is_no_loss(whole, face_folder, capsys):
    """The last test with this run: it changes it."""
    run = whole[0]
    kept = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert main(command(face_folder, run)) == 0
    assert f"has {STEPS} steps" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in kept}

    (_, expected), rows = state(run), losses(run)
    newest_file = run / "checkpoints" / f"step-{STEPS:09d}.npz"
    newest_file.write_bytes(newest_file.read_bytes()[:1000])
    (run / "training.gif").unlink()
    assert main(command(face_folder, run)) == 0
    error = capsys.readouterr().err
    assert error.startswith("gan_course: The checkpoint") and "damaged" in error and error.count("\n") == 1
    assert all(a.tobytes() == expected[name].tobytes() for name, a in state(run)[1].items())
    assert losses(run) == rows and (run / "training.gif").exists()

    (run / "training.gif").unlink()  # killed while the film was written
    assert main(command(face_folder, run)) == 0
    assert (run / "training.gif").exists()

    # More steps than asked for at first.
    assert main(command(face_folder, run, STEPS + 15)) == 0
    assert [int(row["step"]) for row in losses(run)][-3:] == [STEPS, STEPS + 10, STEPS + 15]
