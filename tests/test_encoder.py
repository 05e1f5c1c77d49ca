"""The encoder for projection: it learns the way back of a generator, and a search begins at its guess."""

import numpy as np
import pytest

from gan_course import pretrained, runs
from gan_course.__main__ import main
from gan_course.backend import keras, ops, to_numpy
from gan_course.errors import CourseError
from gan_course.latent.projection import distance, look, project
from gan_course.models.encoder import Encoder
from gan_course.training.encoder import EncoderTrainer, config_of, trained_generator

SMALL = "--resolution 16 --latent-dim 8 --width 4 --max-width 8 --batch-size 4 --epoch 4".split()


@pytest.fixture
def trainer_of(tiny_stylegan):
    """A function: (features, options) -> a compiled `EncoderTrainer` of tiny networks."""

    def build(features=None, **options):
        generator = tiny_stylegan(base=64, max_width=8)
        keras.utils.set_random_seed(2)
        trainer = EncoderTrainer(generator, Encoder(16, 6, 8, width=8), features, **options)
        trainer.compile(keras.optimizers.Adam(4e-3))
        return trainer

    return build


def test_shapes_and_what_it_is_before_it_learns():
    encoder = Encoder(32, 8, 16, width=4)
    faces = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32, 3)).astype("float32")
    w = encoder(faces)
    assert w.shape == (3, 8, 16) and encoder.output_shape == (None, 8, 16) and encoder.input_shape == (None, 32, 32, 3)
    shared, offsets = encoder.parts(faces)
    assert np.std(offsets) < 0.3 * np.std(shared)
    encoder.average.assign(np.full(16, 5.0))
    encoder.spread.assign(np.full(16, 2.0))
    np.testing.assert_allclose(encoder(faces), 5 + 2 * (shared + offsets), rtol=1e-5)
    again = Encoder.from_config(encoder.get_config())
    again.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(again(faces), encoder(faces))
    with pytest.raises(CourseError, match="resolution is 24"):
        Encoder(24)


def test_it_learns_the_way_back(trainer_of, tiny_features):
    trainer, features = trainer_of(tiny_features), tiny_features
    generator = trainer.generator
    before = [to_numpy(v) for v in generator.weights]
    latent = np.random.default_rng(7).normal(size=(64, 8)).astype("float32")
    w = to_numpy(generator.map(latent))
    faces = to_numpy(generator.synthesize(w))

    def apart():
        drawn = to_numpy(generator.synthesize(trainer(faces)))
        return np.mean((drawn - faces) ** 2) / faces.var(axis=0).mean()

    np.testing.assert_allclose(trainer.encoder.average, w.mean(axis=(0, 1)), atol=0.5 * w.std())
    first = apart()
    trainer.fit(faces, batch_size=16, epochs=60, verbose=0)
    assert apart() < 0.3 * first
    for a, b in zip(before, generator.weights, strict=True):  # the generator stays as it was
        np.testing.assert_array_equal(a, b)
    guess = to_numpy(trainer(faces[:4]))
    near = project(generator, faces[:4], features, start=guess, steps=1)
    far = project(generator, faces[:4], features, start=np.broadcast_to(w.mean(axis=0), guess.shape), steps=1)
    assert near.begun.mean() < 0.5 * far.begun.mean()


def test_the_losses_are_those_of_the_docstring(trainer_of, tiny_features):
    """A step at rate 0 on constant random numbers: the logged parts from the definitions, in NumPy."""
    features = tiny_features
    trainer = trainer_of(features, known=0.5, offset=0.25)
    trainer.compile(keras.optimizers.SGD(0.0))
    faces = np.random.default_rng(1).uniform(-1, 1, (4, 16, 16, 3)).astype("float32")
    latent = np.random.default_rng(2).normal(size=(4, 8)).astype("float32")
    trainer.draw = lambda distribution, shape: ops.convert_to_tensor(latent)
    logs = {name: float(value) for name, value in trainer.train_step(ops.convert_to_tensor(faces)).items()}
    generator, encoder = trainer.generator, trainer.encoder
    w = to_numpy(generator.map(latent))
    guess = to_numpy(encoder(generator.synthesize(w)))
    known = np.mean(((guess - w) / to_numpy(encoder.spread)) ** 2)
    pictures = generator.synthesize(encoder(faces))
    face = to_numpy(distance(pictures, look(features, pictures), faces, look(features, faces))).mean()
    both = np.concatenate([to_numpy(generator.synthesize(w)), faces])
    offset = np.mean(to_numpy(encoder.parts(both)[1]) ** 2)
    expected = dict(known=known, face=face, offset=offset, loss=0.5 * known + face + 0.25 * offset)
    assert logs == pytest.approx(expected, rel=1e-3)


def test_the_rate_falls_at_the_end(trainer_of):
    trainer = trainer_of(rate=0.01, last_step=100)
    rates = []
    for step in (0, 60, 80, 100, 1000):
        trainer.follow_schedule(step)
        rates.append(float(to_numpy(trainer.e_optimizer.learning_rate)))
    assert rates == pytest.approx([0.01, 0.01, 0.00525, 0.0005, 0.0005])


@pytest.mark.usefixtures("eagerly")
def test_trained_by_the_command_resumed_with_the_same_bits_and_used(face_folder, tmp_path, capsys, as_after):
    faces, stylegan_run = str(face_folder), str(tmp_path / "stylegan")
    assert main(["train", "stylegan", "--data", faces, "--out", stylegan_run, *SMALL, "--steps", "4"]) == 0
    train = ["train", "encoder", "--data", faces, "--out"]
    options = ["--generator", stylegan_run, "--steering", "none", *"--width 4 --batch-size 4 --epoch 4".split()]
    assert main([*train, str(tmp_path / "whole"), *options, "--steps", "8"]) == 0
    assert main([*train, str(as_after(tmp_path / "whole", 4, tmp_path / "run")), "--steps", "8"]) == 0
    whole, run = (runs.load_run(tmp_path / name)[0] for name in ("whole", "run"))
    for a, b in zip(whole.state(), run.state(), strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    sheets = [(tmp_path / name / "sheets/step-000000008.png").read_bytes() for name in ("whole", "run")]
    assert sheets[0] == sheets[1]
    generator = trained_generator(stylegan_run)
    latent = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    np.testing.assert_array_equal(generator(latent), pretrained.find(stylegan_run).network(latent))
    assert config_of(stylegan_run).latent_dim == 8
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "run"), "--out", str(tmp_path / "x.png")]) == 2
    assert "draws none" in capsys.readouterr().err
    with pytest.raises(CourseError, match="is no StyleGAN"):
        config_of("dcgan-toon-64")
