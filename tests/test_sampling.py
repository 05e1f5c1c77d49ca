"""What goes into a generator and what comes out; and shipped generators in other programs (ONNX)."""

import keras
import numpy as np
import pytest

from gan_course import pretrained
from gan_course.errors import CourseError
from gan_course.latent import sampling
from gan_course.models import dense_gan, progan


def test_latent_vectors_are_the_same_in_every_run():
    a = sampling.fixed_latent(4, 8, seed=3)
    assert a.shape == (4, 8) and a.dtype == np.float32
    np.testing.assert_array_equal(a, sampling.fixed_latent(4, 8, seed=3))
    # The numbers that every stored sheet was drawn from.
    np.testing.assert_array_equal(a, np.random.default_rng(3).normal(size=(4, 8)).astype("float32"))


def test_truncated_latent_vectors_are_drawn_again_and_not_clipped():
    z = sampling.fixed_latent(500, 40, seed=0, limit=0.7)
    assert np.abs(z).max() <= 0.7 and (np.abs(z) > 0.699).mean() < 0.01 and abs(z.mean()) < 0.02
    # The standard deviation of a normal number that is known to lie within 0.7.
    density = np.exp(-0.245) / np.sqrt(2 * np.pi)
    inside = 0.516073
    assert z.std() == pytest.approx(np.sqrt(1 - 2 * 0.7 * density / inside), rel=0.02)
    for limit in (0.0, -1.0, float("nan")):
        with pytest.raises(CourseError, match="limit of the latent numbers"):
            sampling.fixed_latent(2, 3, limit=limit)


def test_pictures_as_bytes_in_parts_as_at_once():
    keras.utils.set_random_seed(0)
    generator = dense_gan.build_generator(8, 6, 8)
    pictures = sampling.generate(generator, 10, seed=1)
    assert pictures.shape == (10, 8, 8, 3) and pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures, sampling.generate(generator, 10, seed=1, batch_size=3))
    assert sampling.latent_dim(generator) == 6 and sampling.condition_dim(generator) == 0
    generator.set_weights([w * np.nan for w in generator.get_weights()])
    with pytest.raises(CourseError, match="draws NaN"):
        sampling.generate(generator, 2)


def test_conditions():
    generator = progan.build_generator(8, 6, 32, 8, condition_dim=3)
    assert sampling.latent_dim(generator) == 6 and sampling.condition_dim(generator) == 3
    latent, condition = sampling.inputs(generator, 4)
    np.testing.assert_array_equal(condition, np.eye(3)[[0, 1, 2, 0]])
    for given in ([0, 1, 0], [[0, 1, 0]] * 4):
        np.testing.assert_array_equal(sampling.inputs(generator, 4, condition=given)[1], [[0, 1, 0]] * 4)
    same, other = (sampling.generate(generator, 4, condition=c) for c in ([5.0, 0, 0], [0, 0, 5.0]))
    assert np.abs(same.astype(int) - other).max() > 0
    with pytest.raises(CourseError, match=r"shape \(2,\); give \(3,\) or \(4, 3\)"):
        sampling.inputs(generator, 4, condition=[1, 0])
    with pytest.raises(CourseError, match="has no condition"):
        sampling.inputs(dense_gan.build_generator(8, 6, 8), 4, condition=[1, 0])


@pytest.mark.parametrize("name", [n for n in pretrained.names(draws=True) if not pretrained.config(n).edits])
def test_every_shipped_generator_is_exported_to_onnx(name, tmp_path):
    """Another program draws the same faces: to 1e-5 of a picture's range, which is 2. (Seen: 1e-6 DCGAN, 1.8e-5 ProGAN.)"""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    generator = pretrained.load(name)
    path = tmp_path / "generator.onnx"
    generator.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    names = [wanted.name for wanted in session.get_inputs()]
    for count in (1, 3):  # any number of faces
        given = [sampling.fixed_latent(count, sampling.latent_dim(generator))]
        if pretrained.config(name).reads:  # psi of a sentence
            given.append(sampling.fixed_latent(count, generator.text_dim, seed=1))
        (pictures,) = session.run(None, dict(zip(names, given, strict=True)))
        drawn = generator(given if len(given) > 1 else given[0], training=False)
        np.testing.assert_allclose(pictures, np.asarray(drawn), rtol=0, atol=2e-5)
