"""Two replicas make the update of one replica with the joined batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def found(face_folder):
    """What two_replicas.py measured."""
    result = subprocess.run(
        [sys.executable, HERE / "two_replicas.py", face_folder],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


def test_two_replicas_are_one_with_the_joined_batch(found):
    """R1, the average, both optimisers and the random state included."""
    assert found["replicas"] == 2
    assert found["difference"] < 1e-6 < 1e-3 < found["moved"]
    assert found["replicas_differ"] == 0.0


def test_the_metrics_are_of_the_joined_batch(found):
    one, two = found["history_one"], found["history_two"]
    assert set(one) == {"d_loss", "g_loss", "real", "fake", "r1"}
    for name in one:
        assert two[name] == pytest.approx(one[name], rel=1e-5), name


def test_a_checkpoint_of_one_device_goes_on_on_two(found):
    assert found["difference_resumed"] < 5e-6


def test_batch_norm_the_pipeline_and_our_callbacks_work_on_two(found):
    assert found["finite"] and found["steps"] == 6
    steps = (0, 3, 6)
    files = [f"step-{step:09d}.png" for step in steps] + [f"step-{step:09d}.npz" for step in steps[1:]]
    assert found["files"] == sorted(["log.csv", *files])


def test_an_editor_on_two(found):
    assert found["difference_editor"] < 1e-3 * found["moved_editor"]


def test_half_precision_on_two(found):
    assert found["difference_half"] < 0.01 * found["moved_half"]  # a float16 has 11 bits
