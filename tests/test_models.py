"""Shapes, ranges and parameter counts of the networks."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gan_course.errors import CourseError
from gan_course.layers import BLOCK  # first: it imports TensorFlow quietly
from gan_course.models import dcgan, dense_gan

import keras  # isort: skip

ROOT = Path(__file__).resolve().parent.parent


def test_the_articles_networks_have_its_parameters():
    generator, discriminator = dcgan.build_article_generator(), dcgan.build_article_discriminator()
    assert generator.count_params() == 14_953_987
    assert discriminator.count_params() == 4_211_713
    assert generator.output_shape == (None, 128, 128, 3) and generator.input_shape == (None, 32)
    assert discriminator.input_shape == (None, 128, 128, 3) and discriminator.output_shape == (None, 1)


def test_our_networks_have_the_documented_parameters():
    assert dcgan.build_generator().count_params() == 953_731
    assert dcgan.build_discriminator().count_params() == 694_241
    assert "953,731" in dcgan.build_generator.__doc__ and "694,241" in dcgan.build_discriminator.__doc__


@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256])
def test_dcgan_shapes(resolution):
    generator = dcgan.build_generator(resolution, latent_dim=5, width=2, max_width=8)
    discriminator = dcgan.build_discriminator(resolution, width=2, max_width=8)
    latent = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    pictures = keras.ops.convert_to_numpy(generator(latent))
    assert pictures.shape == (2, resolution, resolution, 3) and pictures.dtype == np.float32
    assert np.abs(pictures).max() <= 1 and pictures.std() > 0
    scores = keras.ops.convert_to_numpy(discriminator(pictures))
    assert scores.shape == (2, 1) and scores[0] != scores[1]
    # The channels of the maps, from 4x4 on: double `width` for every halving, at most `max_width`.
    widths = [layer.output.shape[-1] for layer in generator.layers if isinstance(layer, keras.layers.ReLU)]
    assert widths[-1] == 2 and widths == sorted(widths, reverse=True) and max(widths) <= 8


@pytest.mark.parametrize("resolution", [0, 8, 60, 512])
def test_dcgan_refuses_other_resolutions(resolution):
    for build in (dcgan.build_generator, dcgan.build_discriminator):
        with pytest.raises(CourseError, match=f"{resolution}.*16, 32, 64, 128 or 256"):
            build(resolution)


def test_a_score_depends_on_its_own_picture_only():
    """R1 differentiates the sum of the scores: it needs networks without batch statistics."""
    pictures = np.random.default_rng(1).uniform(-1, 1, (3, 16, 16, 3)).astype("float32")
    for network in (dcgan.build_discriminator(16, 4, 8), dense_gan.build_discriminator(16, 8)):
        alone = keras.ops.convert_to_numpy(network(pictures[:1], training=True))
        together = keras.ops.convert_to_numpy(network(pictures, training=True))[:1]
        np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-7)


def test_dense_shapes():
    generator, discriminator = dense_gan.build_generator(24, 7, 8), dense_gan.build_discriminator(24, 8)
    pictures = keras.ops.convert_to_numpy(generator(np.ones((3, 7), "float32")))
    assert pictures.shape == (3, 24, 24, 3) and np.abs(pictures).max() <= 1
    assert discriminator(pictures).shape == (3, 1)
    hidden = [layer.units for layer in generator.layers if isinstance(layer, keras.layers.Dense)]
    assert hidden == [8, 16, 32, 24 * 24 * 3]


def test_networks_and_losses_know_no_backend():
    """They use Keras only, so that weights load on any backend; and `models` read no files."""
    files = [*(ROOT / "gan_course/models").glob("*.py"), ROOT / "gan_course/losses.py", ROOT / "gan_course/layers.py"]
    for path in filter(Path.exists, files):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                assert top in {"gan_course", "keras", "math", "dataclasses", "collections"}, f"{path.name}: {name}"


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_weights_load_on_another_backend(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    generator = dcgan.build_generator(16, 8, 4, 8)
    for weight in generator.weights:  # also what batch norm has moved
        weight.assign(np.random.default_rng(0).uniform(0.1, 1, weight.shape))
    latent = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    generator.save_weights(tmp_path / "g.weights.h5")
    np.save(tmp_path / "latent.npy", latent)
    code = f"""
import numpy as np
from gan_course.models import dcgan
import keras
assert keras.config.backend() == "{backend}"
g = dcgan.build_generator(16, 8, 4, 8)
g.load_weights("g.weights.h5")
np.save("there.npy", keras.ops.convert_to_numpy(g(np.load("latent.npy"))))
"""
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    here = keras.ops.convert_to_numpy(generator(latent))
    np.testing.assert_allclose(np.load(tmp_path / "there.npy"), here, atol=1e-5)


def test_a_deeper_generator_begins_as_the_one_below():
    flat, deep = dcgan.build_generator(16, 5, 4, 8), dcgan.build_generator(16, 5, 4, 8, blocks=2)
    shared = [weight for weight in deep.weights if not weight.path.split("/")[-2].startswith(BLOCK)]
    assert [w.shape for w in shared] == [w.shape for w in flat.weights]
    for weight, value in zip(shared, flat.weights, strict=True):
        weight.assign(value)
    latent = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    for training in (False, True):
        np.testing.assert_allclose(flat(latent, training=training), deep(latent, training=training), atol=1e-5)
    # At 4x4 and at 8x8, the maps below 16x16: two blocks each, of two kernels (3, 3, c, c) and eight numbers a channel.
    assert deep.count_params() - flat.count_params() == sum(2 * (2 * 9 * c * c + 8 * c) for c in (8, 4))
    assert dcgan.build_generator(blocks=1).count_params() == 2_524_291


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_discriminators_for_comparison(norm):
    plain, network = dcgan.build_discriminator(16, 4, 8), dcgan.build_discriminator(16, 4, 8, norm=norm)
    assert network(np.zeros((3, 16, 16, 3), "float32"), training=True).shape == (3, 1)
    shapes = [tuple(w.shape) for w in network.trainable_weights]
    extra = {"batch": 2, "spectral": 0}[norm]  # scale and shift of the one batch norm
    assert len(shapes) == len(plain.trainable_weights) + extra
    with pytest.raises(CourseError, match="layer"):
        dcgan.build_discriminator(16, norm="layer")
