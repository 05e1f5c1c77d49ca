"""Straight and spherical ways between latent vectors, against what geometry says."""

import numpy as np
import pytest

from gan_course.errors import CourseError
from gan_course.latent.mixing import lerp, slerp

A, B = np.random.default_rng(0).normal(size=(2, 64)).astype("float32")


def angle(a, b):
    return np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


@pytest.mark.parametrize("way", [lerp, slerp])
def test_both_ways_lead_from_a_to_b(way):
    path = way(A, B, [0.0, 0.5, 1.0])
    assert path.shape == (3, 64) and path.dtype == np.float32
    np.testing.assert_allclose(path[0], A, atol=1e-6)
    np.testing.assert_allclose(path[2], B, atol=1e-6)
    np.testing.assert_allclose(way(B, A, 0.25), way(A, B, 0.75), atol=1e-6)


def test_lerp_is_the_straight_line():
    np.testing.assert_allclose(lerp([0.0, 4.0], [8.0, 0.0], 0.25), [2.0, 3.0])
    assert lerp([0, 4], [8, 0], 0.25).dtype.kind == "f"  # whole numbers are not cut


def test_slerp_keeps_the_length_and_walks_at_equal_angles():
    u, v = 5 * np.eye(4)[0], 5 * np.array([0.5, np.sqrt(3) / 2, 0, 0])  # 60 degrees apart
    path = slerp(u, v, np.linspace(0, 1, 7))
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 5)
    np.testing.assert_allclose([angle(path[0], p) for p in path[1:]], 10.0 * np.arange(1, 7))
    np.testing.assert_allclose(path[:, 2:], 0)


def test_slerp_between_other_lengths_goes_the_same_arc():
    u, v = np.array([1.0, 0.0]), np.array([0.0, 3.0])
    np.testing.assert_allclose(slerp(u, v, 0.5), np.array([1.0, 3.0]) / np.sqrt(2))


def test_a_column_of_vectors_gives_a_row_of_paths():
    starts, times = np.stack([A, A + B])[:, None], np.linspace(0, 1, 5)
    for way in (lerp, slerp):
        paths = way(starts, B, times)
        assert paths.shape == (2, 5, 64)
        np.testing.assert_allclose(paths[1, 2], way(A + B, B, times[2]), rtol=1e-5)


def test_parallel_vectors_take_the_straight_line():
    np.testing.assert_array_equal(slerp(A, A, 0.3), lerp(A, A, 0.3))
    np.testing.assert_allclose(slerp(A, 3 * A, 0.5), 2 * A, rtol=1e-6)
    # One pair that is parallel, and one that is not, in one call.
    both = slerp(A, np.stack([A, B]), 0.5)
    np.testing.assert_allclose(both, np.stack([A, slerp(A, B, 0.5)]), rtol=1e-6)
    # Where the arc begins, both agree.
    a = A.astype("float64")
    near = a + 3e-6 * np.roll(a, 1)
    np.testing.assert_allclose(slerp(a, near, 0.3), lerp(a, near, 0.3), rtol=1e-9)


def test_what_has_no_arc_is_refused():
    for a, b, words in (
        (A, -2 * A, "opposite"),
        (A, np.stack([B, -A]), "opposite"),
        (A, 0 * A, "length 0"),
        (A, B[:5], r"\(64,\) and \(5,\)"),
        (1.0, 2.0, "shapes"),
    ):
        with pytest.raises(CourseError, match=words):
            slerp(a, b, 0.5)
