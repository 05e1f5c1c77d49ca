"""One registry: a system that is added to it has a command, runs that resume, samples and measurements."""

import json
from dataclasses import dataclass

import pytest

from gan_course import pretrained, runs, systems
from gan_course.__main__ import main
from gan_course.errors import CourseError
from gan_course.metrics import FaceFeatures, evaluation
from gan_course.models import attributes, dense_gan
from gan_course.training.base import WHOLE, option
from gan_course.training.gan import GANConfig


@dataclass(frozen=True)
class ToyConfig(GANConfig):
    """Two dense networks."""

    model: str = "toy"
    units: int = option(4, "units of the smallest layer", WHOLE)

    def network(self):
        return dense_gan.build_generator(self.resolution, self.latent_dim, self.units)

    def discriminator(self):
        return dense_gan.build_discriminator(self.resolution, self.units)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(systems.SYSTEMS, "toy", ToyConfig)


def test_a_toy_system_is_trained_resumed_sampled_and_measured(toy, face_folder, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    command = ["train", "toy", "--data", str(face_folder), "--out", str(run)]
    small = "--resolution 16 --units 2 --latent-dim 4 --batch-size 8 --epoch 5".split()
    assert main([*command, *small, "--steps", "5"]) == 0
    assert main([*command, "--steps", "10"]) == 0
    trainer, config = runs.load_run(run)
    assert trainer.step == 10 and isinstance(config, ToyConfig) and config.units == 2
    assert json.loads((run / "settings.json").read_text())["units"] == 2
    assert main(["sample", str(run), "--count", "4", "--out", str(tmp_path / "sheet.png")]) == 0
    judge = FaceFeatures(attributes.build(["Smiling"], width=2, resolution=32))
    monkeypatch.setattr(evaluation, "feature_network", lambda choice, data: judge)
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(face_folder), "--split", "all", "--count", "40"]) == 0
    assert "precision" in capsys.readouterr().out


def test_flags_and_help_follow_from_the_configuration(toy, capsys):
    for words in (["train", "toy", "--help"], ["train", "dcgan", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
        out = capsys.readouterr().out
        assert ("--units" in out) == ("toy" in words) and "--r1-gamma" in out
    with pytest.raises(SystemExit) as stop:
        main(["train", "dcgan", "--data", "x", "--out", "y", "--fade-images", "5"])
    assert stop.value.code == 2 and "--fade-images" in capsys.readouterr().err


def test_every_option_says_what_it_is_and_is_checked():
    for name, config in systems.SYSTEMS.items():
        assert config().model == name
        assert all(f.metadata["help"] for f in config.options())
    with pytest.raises(CourseError, match="no model called 'biggan'; choose one of dcgan"):
        systems.recipe(model="biggan")
    with pytest.raises(CourseError, match="width is 0; give a whole number"):
        systems.build(systems.recipe(width=0))


def test_shipped_weights_know_their_system():
    assert set(pretrained.names(draws=True)) | set(pretrained.names(draws=False)) == set(pretrained.index())
    for name in pretrained.index():
        assert pretrained.config(name).model == pretrained.index()[name]["settings"]["model"]


def test_one_rule_for_run_and_name(face_folder, tmp_path, monkeypatch):
    """A folder with settings.json is a run; anything else is a name, even where a folder is called so."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dcgan-toon-64").mkdir()
    assert pretrained.find("dcgan-toon-64").about["kind"] == "shipped weights"
    with pytest.raises(CourseError, match="holds no run"):
        pretrained.find(str(face_folder))
    with pytest.raises(CourseError, match="neither the folder of a run nor shipped weights"):
        pretrained.find("nobody")
    with pytest.raises(CourseError, match="draws no faces"):
        pretrained.find("attributes-toon-judge")
