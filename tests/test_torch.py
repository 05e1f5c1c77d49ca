"""Every system of the course on PyTorch, where TensorFlow is not installed: `.ci/run` runs this in such an environment."""

import importlib
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gan_course import backend, pretrained, runs
from gan_course.__main__ import main
from gan_course.data import pipeline
from gan_course.training import growing

pytestmark = pytest.mark.skipif(backend.NAME != "torch", reason="for KERAS_BACKEND=torch")

TINY = "--resolution 16 --latent-dim 8 --width 4 --max-width 8 --batch-size 4 --epoch 4 --r1-interval 2".split()
GROWN = [*TINY, *"--start 8 --fade-images 16 --stable-images 16 --max-batch 8".split()]
TEXT = [*GROWN, *"--length 24 --text-dim 8 --condition-dim 4 --reading-steps 4".split()]
SYSTEMS = {"dcgan": TINY, "progan": GROWN, "stylegan": GROWN, "text": TEXT}


def train(system, faces, run, *options):
    return main(["train", system, "--data", str(faces), "--out", str(run), *options])


def state(run):
    trainer, _ = runs.load_run(run)
    return [backend.ops.convert_to_numpy(v) for v in trainer.state()]


def test_tensorflow_is_not_there():
    assert importlib.util.find_spec("tensorflow") is None


@pytest.mark.parametrize("system", SYSTEMS)
def test_trained_resumed_with_the_same_bits_sampled_and_measured(system, face_folder, tmp_path, capsys):
    options = SYSTEMS[system]
    assert train(system, face_folder, tmp_path / "whole", *options, "--steps", "12") == 0
    assert train(system, face_folder, tmp_path / "run", *options, "--steps", "8") == 0
    assert train(system, face_folder, tmp_path / "run", "--steps", "12") == 0
    for a, b in zip(state(tmp_path / "whole"), state(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(a, b)
    sheets = [(tmp_path / run / "sheets/step-000000012.png").read_bytes() for run in ("whole", "run")]
    assert sheets[0] == sheets[1] and (tmp_path / "run/training.gif").exists()
    assert main(["sample", str(tmp_path / "run"), "--count", "4", "--out", str(tmp_path / "sheet.png")]) == 0
    capsys.readouterr()
    result = tmp_path / "result.json"
    command = ["evaluate", str(tmp_path / "run"), "--data", str(face_folder), "--split", "all", "--count", "40"]
    assert main([*command, "--out", str(result)]) == 0
    assert np.isfinite(json.loads(result.read_text())["results"]["frechet"])


def test_an_editor_is_trained_resumed_with_the_same_bits_and_edits(make_faces, tmp_path):
    from gan_course import editing

    faces = make_faces(tmp_path / "faces", count=80)
    small = "--resolution 16 --width 4 --style-width 2 --style-dim 6 --downs 2 --batch-size 4 --epoch 4".split()
    assert train("l2m", faces, tmp_path / "whole", *small, "--steps", "8") == 0
    assert train("l2m", faces, tmp_path / "run", *small, "--steps", "4") == 0
    assert train("l2m", faces, tmp_path / "run", "--steps", "8") == 0
    for a, b in zip(state(tmp_path / "whole"), state(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(a, b)
    editor = editing.open_editor(tmp_path / "run")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype("uint8")
    assert editor.edit(pictures, {"Smiling": 1}, source=0).shape == pictures.shape


def test_an_encoder_is_trained_and_resumed_with_the_same_bits(face_folder, tmp_path):
    assert train("stylegan", face_folder, tmp_path / "stylegan", *TINY, "--steps", "4") == 0
    small = [*"--steering none --width 4 --batch-size 4 --epoch 4 --generator".split(), str(tmp_path / "stylegan")]
    assert train("encoder", face_folder, tmp_path / "whole", *small, "--steps", "8") == 0
    assert train("encoder", face_folder, tmp_path / "run", *small, "--steps", "4") == 0
    assert train("encoder", face_folder, tmp_path / "run", "--steps", "8") == 0
    for a, b in zip(state(tmp_path / "whole"), state(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_half_precision(face_folder, tmp_path):
    assert train("dcgan", face_folder, tmp_path / "run", *TINY, "--steps", "4", "--precision", "mixed_bfloat16") == 0
    trainer, _ = runs.load_run(tmp_path / "run")
    assert trainer.generator.layers[1].compute_dtype == "bfloat16"
    assert all(np.isfinite(x).all() for x in state(tmp_path / "run"))


@pytest.mark.parametrize("name", ["dcgan-toon-64", "progan-toon-64"])
def test_shipped_weights_draw(name):
    pictures = pretrained.find(name).sample(4)
    assert pictures.shape == (4, 64, 64, 3) and pictures.std() > 30


def test_an_attribute_network_is_trained_and_read(face_folder, tmp_path, capsys):
    from gan_course.training import classifier

    out = tmp_path / "judge"
    network, table = classifier.train(face_folder, out, width=2, resolution=16, epochs=2, batch_size=8)
    assert list(table.index) == ["Smiling"] and (out / "report.json").exists()
    again = classifier.AttributesConfig(attributes=["Smiling"], width=2, resolution=16).network()
    again.load_weights(out / classifier.WEIGHTS)
    for a, b in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_face_is_found_again_in_w_and_its_paths_are_measured():
    from gan_course.latent.projection import project
    from gan_course.metrics import FaceFeatures, path_length
    from gan_course.models import attributes, stylegan

    backend.keras.utils.set_random_seed(0)
    generator = stylegan.build_generator(16, 8, base=128, max_width=16, mapping=2, spread=1.0)
    for layer in generator.to_rgb:
        layer.kernel.assign(layer.kernel / 4)
    judge = attributes.build(["Smiling"], width=4, resolution=32)
    latent = np.random.default_rng(5).normal(size=(2, 8)).astype("float32")
    faces = backend.to_numpy(generator(latent))
    found = project(generator, faces, attributes.feature_extractor(judge), steps=50)
    assert (found.distance < 0.2 * found.begun).all()
    assert path_length(generator, FaceFeatures(judge), "w", count=4)[0] > 0


def test_the_batch_at_a_step_is_a_function_of_seed_and_step(face_folder):
    def batches(start, count, **options):
        dataset = iter(pipeline.faces(face_folder, 16, 8, start_step=start, **{"seed": 3, **options}))
        return [next(dataset)[0] for _ in range(count)]

    whole = batches(0, 9)  # two epochs of four batches, and one more
    for start in (1, 4, 6):
        for a, b in zip(batches(start, 9 - start), whole[start:], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(batches(0, 1, seed=4)[0], whole[0])
    plain = np.concatenate(batches(0, 4, mirror=False))
    assert len({x.tobytes() for x in plain}) == 32 and np.abs(plain).max() <= 1  # every face once
    assert 0.2 < np.mean([not (x == plain).all((1, 2, 3)).any() for x in np.concatenate(whole[:4])]) < 0.8  # mirrored
    pictures, labels = next(iter(pipeline.faces(face_folder, 16, 8, attributes=["Smiling"])))
    assert pictures.shape == (8, 16, 16, 3) and labels.shape == (8, 1)


def test_batches_of_a_schedule(face_folder):
    schedule = growing.Schedule(8, fade=16, stable=16, batch_size={4: 8, 8: 4})

    def batches(start, count):
        dataset = iter(growing.scheduled_faces(face_folder, schedule, start_step=start, seed=1))
        return [next(dataset)[0] for _ in range(count)]

    whole = batches(0, 8)
    assert [len(x) for x in whole] == [8, 8, 4, 4, 4, 4, 4, 4]
    for a, b in zip(batches(3, 5), whole[3:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_checkpoint_falls_back(face_folder, tmp_path):
    run = tmp_path / "run"
    assert train("dcgan", face_folder, run, *TINY, "--steps", "8") == 0
    shutil.copy(run / "settings.json", run / "checkpoints/step-000000008.npz")
    assert train("dcgan", face_folder, run, "--steps", "8") == 0
    assert runs.load_run(run)[0].step == 8


def test_tensorboard_is_refused(face_folder, tmp_path, refused):
    status = train("dcgan", face_folder, tmp_path / "run", *TINY, "--steps", "4", "--tensorboard")
    refused(status, "--tensorboard", "TensorFlow")


@pytest.mark.parametrize("system", ["text", "progan"])
def test_steps_for_a_cuda_graph_are_those_of_fit(system, face_folder, tmp_path, monkeypatch):
    """On a CPU nothing is recorded, but all that `tools/captured.py` puts in other words is used."""
    import captured
    from keras.src.backend.torch import nn

    from gan_course.data.celeba import open_faces
    from gan_course.models.text_to_face import TextEncoder
    from gan_course.training.base import Trainer

    assert train(system, face_folder, tmp_path / "run", *SYSTEMS[system], "--steps", "8") == 0
    config, _ = runs.read_settings(tmp_path / "run")
    trainer, source = config.build(), open_faces(config.data)
    batches = config.dataset(source)
    config.begin(trainer, source)
    for owner, name in ((nn, "one_hot"), (TextEncoder, "call"), (Trainer, "update_averages")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back at the end
    captured.without_stops()
    steps = captured.Captured(trainer, batches)
    for step in range(8):
        trainer.follow_schedule(step)
        steps.take(trainer.stage.batch_size)
    # Of a gradient near 0 Adam makes nearly a whole step (here 2e-3), so the rounding of another LSTM moves a few numbers.
    pairs = [(a, backend.to_numpy(b)) for a, b in zip(state(tmp_path / "run"), trainer.state(), strict=True)]
    same = np.concatenate([np.isclose(a, b, rtol=1e-3, atol=1e-5).ravel() for a, b in pairs])
    assert same.mean() > 0.998 and all(np.abs(a - b).max() < 2e-3 for a, b in pairs)


SMALL = dict(resolution=16, width=4, batch_size=8, latent_dim=8, max_width=8)
STEPS = {
    "l2m": dict(style_width=2, style_dim=6, downs=2),
    "text": dict(length=6, text_dim=8, condition_dim=4),
    "stylegan": dict(mapping=2),
    "stylegan, the paper's": dict(mapping=2),
}


@pytest.mark.parametrize("system", STEPS)
def test_the_step_that_a_benchmark_compares_with_is_ours(system, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    steps, torch_steps = importlib.import_module("steps"), importlib.import_module("torch_steps")
    given = steps.numbers(*steps.build(system, **SMALL | STEPS[system]))
    for way in steps.WAYS.values():
        torch_steps.check(given, **way)
    given["losses"][0] *= 1.001
    with pytest.raises(AssertionError, match="losses"):
        torch_steps.check(given)
