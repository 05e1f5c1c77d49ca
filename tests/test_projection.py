"""Projection into w: what a StyleGAN drew itself is found again."""

import numpy as np
import pytest

from gan_course.backend import ops, to_numpy
from gan_course.errors import CourseError
from gan_course.latent import projection
from gan_course.latent.projection import project
from gan_course.models import dcgan

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def generator(tiny_stylegan):
    return tiny_stylegan()


@pytest.fixture(scope="module")
def features(tiny_features):
    return tiny_features


@pytest.fixture(scope="module")
def drawn(generator):
    """(w of each layer, faces): three that the generator drew."""
    w = to_numpy(generator.map(np.random.default_rng(5).normal(size=(3, 8)).astype("float32")))
    return w, to_numpy(generator.synthesize(w))


@pytest.fixture(scope="module")
def found(generator, features, drawn):
    return project(generator, drawn[1], features)


def test_a_face_that_it_drew_is_found_again(generator, drawn, found):
    assert (found.distance < 0.02 * found.begun).all() and found.steps <= 150
    assert found.w.shape == (3, 6, 8) and found.pictures.shape == drawn[1].shape and found.distance.shape == (3,)
    assert (found.w == found.w[:, :1]).all()  # one w for all layers
    np.testing.assert_allclose(to_numpy(generator.synthesize(found.w)), found.pictures, atol=1e-4)
    assert ((found.pictures - drawn[1]) ** 2).mean() < 0.02 * drawn[1].var()


def test_the_distance_is_as_the_docstring_says(features, drawn, found):
    pictures, faces = found.pictures.astype("float64"), drawn[1].astype("float64")
    seen, goals = (to_numpy(features(ops.image.resize(x.astype("float32"), (32, 32)))) for x in (pictures, faces))
    expected = ((pictures - faces) ** 2).mean((1, 2, 3)) + 0.3 * ((seen - goals) ** 2).sum(1) / (goals**2).sum(1)
    np.testing.assert_allclose(found.distance, expected, rtol=1e-3, atol=1e-6)


def test_a_w_a_layer_comes_nearer(generator, features):
    """To faces of two kinds at once, which no single w draws."""
    w = to_numpy(generator.map(RNG.normal(size=(4, 8)).astype("float32")))
    mixed = np.concatenate([w[:2, :3], w[2:, 3:]], axis=1)
    faces = to_numpy(generator.synthesize(mixed))
    one, many = (project(generator, faces, features, space=space) for space in ("w", "w+"))
    np.testing.assert_allclose(many.begun, one.begun, rtol=1e-4)
    assert (many.distance <= one.distance).all() and many.distance.sum() < 0.8 * one.distance.sum()
    assert not (many.w == many.w[:, :1]).all()


def test_a_start_is_taken_and_left_where_it_is_right(generator, drawn, features):
    w, faces = drawn
    for space in ("w", "w+"):
        there = project(generator, faces, features, space=space, start=w)
        assert (there.distance <= there.begun).all() and there.begun.max() < 1e-6
    near = project(generator, faces, start=w + 0.01, steps=3)
    assert near.begun.max() < 0.01 and (near.distance <= near.begun).all()


def test_it_starts_at_the_nearest_of_random_w(generator, drawn):
    """With pixels alone: the least mean square among the candidates, one by one."""
    begun = project(generator, drawn[1], steps=1, seed=3).begun
    latent = np.random.default_rng(3).normal(size=(projection.LATENTS, 8)).astype("float32")
    pictures = to_numpy(generator(latent[: projection.CANDIDATES]))
    away = [[np.mean((picture - face) ** 2) for picture in pictures] for face in drawn[1]]
    np.testing.assert_allclose(begun, np.min(away, axis=1), rtol=1e-4)


def test_it_stops_where_nothing_improves(generator, drawn, monkeypatch):
    monkeypatch.setattr(projection, "LITTLE", 0.99)
    stopped = project(generator, drawn[1], start=drawn[0] + 0.1, steps=400)
    assert projection.PATIENCE <= stopped.steps < 200


def test_the_seed_decides(generator, features, drawn):
    one, again, other = (project(generator, drawn[1], features, steps=3, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(again.w, one.w)
    assert np.abs(other.w - one.w).max() > 1e-3


def test_mistakes_are_told(generator, drawn):
    w, faces = drawn
    for options, says in (
        (dict(faces=faces[0]), r"shape \(16, 16, 3\); give \(n, 16, 16, 3\)"),
        (dict(faces=faces[:, :8]), r"give \(n, 16, 16, 3\)"),
        (dict(faces=faces[:0]), "shape"),
        (dict(faces=np.full((1, 16, 16, 3), 200, np.uint8)), r"not in \[-1, 1\]"),
        (dict(faces=faces * np.nan), r"not in \[-1, 1\]"),
        (dict(space="z"), "no space 'z'"),
        (dict(steps=0), "steps are 0"),
        (dict(start=w[:, 0]), r"start has the shape \(3, 8\); give finite numbers \(3, 6, 8\)"),
        (dict(start=w * np.nan), "finite"),
        (dict(generator=dcgan.build_generator(16, 6, 4, 8)), "no StyleGAN"),
    ):
        with pytest.raises(CourseError, match=says) as error:
            project(**{"generator": generator, "faces": faces, **options})
        assert str(error.value).count("\n") == 0
