"""`train progan`: the same commands and the same RUN as for the other models."""

import csv
import json

import imageio.v3 as iio
import numpy as np
import pytest

from gan_course import runs, systems
from gan_course.__main__ import main
from gan_course.errors import CourseError

TINY = "--resolution 8 --latent-dim 6 --width 4 --max-width 8 --batch-size 4 --epoch 3 --max-batch 8".split()
TINY += ["--fade-images", "16", "--stable-images", "16"]  # 2 steps of 8 at 4x4; 4 and 4 of 4 at 8x8


def train(folder, out, steps):
    return main(["train", "progan", "--data", str(folder), "--out", str(out), "--steps", str(steps), *TINY])


@pytest.fixture(scope="module")
def whole(face_folder, tmp_path_factory, in_python):
    out = tmp_path_factory.mktemp("progan") / "run"
    with in_python():
        assert train(face_folder, out, 12) == 0
    return out


def arrays(out):
    with np.load(out / "checkpoints" / "step-000000012.npz") as file:
        return {name: file[name] for name in file.files if name != "record"}


def test_a_run_holds_what_every_run_holds(whole):
    names = [".lock", "checkpoints", "log.csv", "settings.json", "sheets", "training.gif"]
    assert sorted(path.name for path in whole.iterdir()) == names
    with open(whole / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["images"]) for row in rows] == [20, 32, 44, 56]
    assert [float(row["resolution"]) for row in rows] == [8, 8, 8, 8]
    assert [float(row["alpha"]) for row in rows] == [0, 0.75, 1, 1]
    assert len({iio.imread(path).shape for path in whole.glob("sheets/*.png")}) == 1
    settings = json.loads((whole / "settings.json").read_text())
    assert (settings["model"], settings["loss"], settings["rate"]) == ("progan", "non_saturating", 2e-3)


@pytest.mark.usefixtures("eagerly")
def test_in_two_pieces_it_is_the_same_run(whole, face_folder, tmp_path):
    """Stopped in the fade."""
    assert train(face_folder, tmp_path / "run", 4) == 0
    assert runs.load_run(tmp_path / "run")[0].ema_generator.alpha == 0.5
    assert train(face_folder, tmp_path / "run", 12) == 0
    expected, found = arrays(whole), arrays(tmp_path / "run")
    assert expected.keys() == found.keys()
    assert all(found[name].tobytes() == array.tobytes() for name, array in expected.items())
    sheets = [[path.read_bytes() for path in sorted(out.glob("sheets/*"))[-1:]] for out in (whole, tmp_path / "run")]
    assert sheets[0] == sheets[1]


def test_sampled_and_shipped(whole, tmp_path):
    assert main(["sample", str(whole), "--count", "4", "--out", str(tmp_path / "sheet.png")]) == 0
    assert iio.imread(tmp_path / "sheet.png").shape[0] > 16
    gan, config = runs.load_run(whole)
    generator = config.network()
    gan.ema_generator.save_weights(tmp_path / "g.weights.h5")
    generator.load_weights(tmp_path / "g.weights.h5")
    z = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    np.testing.assert_array_equal(generator(z), gan(z))


def test_the_papers_batches_for_one_gpu():
    settings = systems.recipe(model="progan", resolution=128, batch_size=16, max_batch=128)
    sizes = {s.resolution: s.batch_size for s in settings.schedule().stages}
    assert sizes == {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16}


def test_another_precision_computes_in_16_bits_and_keeps_the_weights_in_32():
    chosen = dict(model="progan", resolution=8, latent_dim=6, width=4, max_width=8)
    gan = systems.build(systems.recipe(**chosen, precision="mixed_bfloat16"))
    for network in (gan.generator, gan.discriminator, gan.ema_generator):
        assert network.dense.compute_dtype == "bfloat16"
        assert {weight.dtype for weight in network.weights} == {"float32"}
    assert systems.build(systems.recipe(**chosen)).generator.dense.compute_dtype == "float32"
    with pytest.raises(CourseError, match="precision is half; give one of float32, mixed_bfloat16"):
        systems.build(systems.recipe(**chosen, precision="half"))
