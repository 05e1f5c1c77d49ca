"""The start: which library does the arithmetic, and what a computer's own settings may not change."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DRAW = (
    "from gan_course import backend, pretrained; print(backend.NAME, pretrained.find('progan-toon-64').sample(1).shape)"
)


def started(code, **environment):
    """Run Python code in a process of its own; environment: None takes a variable away."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    variables = {name: value for name, value in variables.items() if value is not None}
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["jax", "theano", "openvino", "TensorFlow "])
def test_another_backend_is_refused_in_one_sentence(name):
    code = "import sys; from gan_course.__main__ import main; sys.exit(main(['sample', 'dcgan-toon-64']))"
    done = started(code, KERAS_BACKEND=name)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"gan_course: KERAS_BACKEND is '{name}'; set KERAS_BACKEND to tensorflow or torch")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "settings",
    [{"backend": "torch", "image_data_format": "channels_first"}, {"backend": "theano"}],
    ids=str,
)
def test_keras_json_changes_nothing(settings, tmp_path):
    """A file that another course has left there."""
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    done = started(DRAW, KERAS_HOME=str(tmp_path), KERAS_BACKEND=None)
    assert (done.returncode, done.stdout, done.stderr) == (0, "tensorflow (1, 64, 64, 3)\n", "")  # quiet, too


def test_keras_that_was_imported_before_with_another_backend_is_told(tmp_path):
    fake = "import sys, types; k = types.ModuleType('keras'); k.config = types.SimpleNamespace(backend=lambda: 'jax')\n"
    done = started(fake + "sys.modules['keras'] = k\nimport gan_course.backend")
    assert "Keras was imported with the backend 'jax'; set KERAS_BACKEND to tensorflow or torch" in done.stderr


def test_a_backend_that_is_not_installed_is_told():
    """As on a computer with neither, and with one only."""
    hide = "import importlib.util as u; found = u.find_spec; u.find_spec = lambda n, *r: None if n in {names!r} else found(n, *r)\n"
    done = started(hide.format(names=("torch", "tensorflow")) + "import gan_course.backend", KERAS_BACKEND=None)
    assert "tensorflow is not installed; run 'pip install -r requirements.txt'." in done.stderr
    done = started(hide.format(names=("torch",)) + "import gan_course.backend", KERAS_BACKEND="torch")
    assert (
        "torch is not installed; run 'pip install -e \".[torch]\"', or set KERAS_BACKEND to tensorflow." in done.stderr
    )
