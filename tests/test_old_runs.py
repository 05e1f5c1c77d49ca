"""A run folder of an earlier version goes on as it would have then.

tests/data/runs_of_904438c holds two runs at step 6 that commit 904438c made (24 cartoon faces of 16x16), and what the same
commit had at step 12. On the processor that made them the numbers agree bit for bit; another may round differently.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gan_course import runs

DATA = Path(__file__).resolve().parent / "data" / "runs_of_904438c"


@pytest.mark.parametrize("model", ["dcgan", "progan"])
def test_it_goes_on_with_the_same_numbers(model, tmp_path):
    run = shutil.copytree(DATA / model, tmp_path / "run")
    said = []
    trainer = runs.train(run, steps=12, data=str(DATA / "faces"), say=said.append)
    assert trainer.step == 12
    with np.load(run / "checkpoints/step-000000012.npz") as found, np.load(run / "step-000000012-expected.npz") as file:
        for name in set(file.files) - {"record"}:
            np.testing.assert_allclose(found[name], file[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert (run / "log.csv").read_text().splitlines()[-1].startswith("12,")
    old, new = (json.loads((folder / "settings.json").read_text()) for folder in (DATA / model, run))
    assert new["model"] == model and new["fingerprint"] and new["width"] == old["width"]
    assert "changes" not in new  # faces that were not noted are not faces that changed
