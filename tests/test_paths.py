"""Path length and linear separability, against cases with a known answer."""

from types import SimpleNamespace

import numpy as np
import pytest

from gan_course.backend import keras, ops
from gan_course.errors import CourseError, CourseWarning
from gan_course.latent import sampling
from gan_course.metrics import FaceFeatures, path_length, separability
from gan_course.metrics.separability import LEAST, conditional_entropy
from gan_course.models import attributes, dcgan, progan, stylegan

RNG = np.random.default_rng(0)
PIXELS = SimpleNamespace(unrounded=lambda pictures: pictures.reshape(len(pictures), -1).astype("float64"))


class Known:
    """A generator whose pictures are 4 x 4 x 3 = 48 numbers of w, and w a function of z that one chooses."""

    input_shape, output_shape = (None, 48), (None, 4, 4, 3)

    def __init__(self, to_w=lambda z: z, draw=lambda w: w):
        self.to_w, self.draw = to_w, draw

    def map(self, z):
        w = ops.convert_to_tensor(self.to_w(z))
        return ops.stack([w, w], axis=1)  # two layers

    def synthesize(self, w):
        return ops.reshape(self.draw(ops.convert_to_tensor(w)[:, 0]), (-1, 4, 4, 3))

    def __call__(self, z, training=False):
        return self.synthesize(self.map(z))


def ends(count, seed=0):
    return np.split(sampling.fixed_latent(2 * count, 48, seed).astype("float64"), 2)


# --- path length ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["full", "end"])
def test_a_straight_line_is_as_long_as_its_ends_are_apart(place):
    """f(w) = 3w. So each pair has 9 |b - a|^2, wherever one looks; two of 200 are cut off at either end."""
    a, b = ends(200)
    lengths = np.sort(9 * ((b - a) ** 2).sum(axis=1))[2:-2]
    mean, error = path_length(Known(draw=lambda w: 3 * w), PIXELS, "w", place, count=200, batch_size=64)
    assert mean == pytest.approx(lengths.mean(), rel=1e-3)
    assert error == pytest.approx(lengths.std(ddof=1) / 14, rel=1e-2)


def test_an_arc_is_longer_than_the_line():
    """Two latent vectors are nearly perpendicular: the arc is pi/2 sqrt(d) long, the line sqrt(2d)."""
    (arc, _), (line, _) = (path_length(Known(), PIXELS, space, count=1000) for space in ("z", "w"))
    assert arc == pytest.approx((np.pi / 2) ** 2 * 48, rel=0.05) and line == pytest.approx(2 * 48, rel=0.05)


def test_end_looks_where_the_path_begins():
    """f(w) = w^2, so the length at t is |2 w(t) (b - a)|^2."""
    a, b = ends(500)
    generator = Known(draw=lambda w: w * w)
    for place, t in (("end", np.zeros((500, 1))), ("full", np.linspace(0, 1, 500)[:, None])):
        lengths = np.sort(((2 * (a + t * (b - a)) * (b - a)) ** 2).sum(axis=1))[5:-5]
        mean, error = path_length(generator, PIXELS, "w", place, count=500)
        assert mean == pytest.approx(lengths.mean(), rel=1e-2 if place == "end" else 0, abs=4 * error)


def test_batches_and_seeds():
    generator = Known(draw=lambda w: w * w)
    numbers = [path_length(generator, PIXELS, "z", count=20, **o) for o in ({}, {"batch_size": 7}, {"seed": 1})]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-3) and abs(numbers[0][0] / numbers[2][0] - 1) > 1e-2


@pytest.fixture(scope="module")
def judge():
    keras.utils.set_random_seed(0)
    return attributes.build(["Smiling", "Male"], width=2, resolution=16)


def test_unrounded_features(judge):
    features = FaceFeatures(judge)
    pictures = RNG.uniform(-1, 1, (5, 16, 16, 3)).astype("float32")
    found = features.unrounded(pictures)
    assert found.shape == (5, 16) and found.dtype == np.float64
    np.testing.assert_allclose(found, features(pictures), atol=0.02 * found.std())
    assert np.abs(features.unrounded(pictures + np.float32(1e-3)) - found).max() > 0  # a quarter of a byte
    np.testing.assert_allclose(features.unrounded(3 * np.sign(pictures)), features.unrounded(np.sign(pictures)))
    large = pictures.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(features.unrounded(large), features(large), atol=0.02 * found.std())


@pytest.mark.parametrize(
    ("generator", "space"),
    [
        (lambda: stylegan.build_generator(16, 6, base=64, max_width=8, mapping=2, spread=1.0), "z"),
        (lambda: stylegan.build_generator(16, 6, base=64, max_width=8, mapping=2, spread=1.0), "w"),
        (lambda: progan.build_generator(16, 6, 64, 8), "z"),
        (lambda: dcgan.build_generator(16, 6, 4, 8), "z"),
    ],
)
def test_every_generator_of_the_course(generator, space, judge):
    keras.utils.set_random_seed(0)
    network, features = generator(), FaceFeatures(judge)
    (mean, error), (other, _) = (path_length(network, features, space, count=6, epsilon=e) for e in (1e-4, 1e-3))
    assert mean > error > 0 and other == pytest.approx(mean, rel=0.3)


def test_what_has_no_path_is_told(judge):
    for generator, options, says in (
        (Known(), dict(space="x"), "no latent space 'x'"),
        (Known(), dict(place="middle"), "no place 'middle'"),
        (Known(), dict(count=1), "count is 1"),
        (Known(), dict(epsilon=0.5), "epsilon 0.5"),
        (dcgan.build_generator(16, 6, 4, 8), dict(space="w"), "no w"),
        (progan.build_generator(8, 6, 32, 8, 3), {}, "condition"),
    ):
        with pytest.raises(CourseError, match=says):
            path_length(generator, PIXELS, **options)


# --- separability ---------------------------------------------------------------------------------------


def test_entropy_of_known_labels():
    codes = RNG.normal(size=(4000, 8))
    plane, chance = codes @ RNG.normal(size=8), RNG.normal(size=4000)
    assert conditional_entropy(codes, plane) < 0.02
    assert conditional_entropy(codes, chance) == pytest.approx(np.log(2), abs=0.01)
    assert conditional_entropy(codes, codes[:, 0] * codes[:, 1]) == pytest.approx(np.log(2), abs=0.02)  # needs a bend
    # The classifier is wrong of one in ten.
    wrong = np.where(RNG.random(4000) < 0.1, -plane, plane)
    assert conditional_entropy(codes, wrong) == pytest.approx(-0.1 * np.log(0.1) - 0.9 * np.log(0.9), abs=0.06)
    # Of rare labels that mean nothing, their own entropy is left.
    rare = np.where(RNG.random(4000) < 0.1, 1.0, -1.0)
    assert conditional_entropy(codes, rare) == pytest.approx(-0.1 * np.log(0.1) - 0.9 * np.log(0.9), abs=0.06)


def test_entropy_is_of_the_surest_half():
    codes = RNG.normal(size=(2000, 4))
    unsure = np.where(np.abs(codes[:, 0]) < np.median(np.abs(codes[:, 0])), -codes[:, 0], codes[:, 0])
    assert conditional_entropy(codes, unsure) < 0.02


def test_entropy_is_not_flattered_by_many_dimensions():
    assert conditional_entropy(RNG.normal(size=(400, 300)), RNG.normal(size=400)) > 0.6


def reading(*columns):
    """A judge that says what some of the 48 numbers are; in `columns`: (number, bias)."""
    picture = keras.Input((4, 4, 3))
    network = keras.Model(picture, keras.layers.Dense(len(columns))(keras.layers.Flatten()(picture)))
    kernel = np.zeros((48, len(columns)))
    kernel[[number for number, _ in columns], range(len(columns))] = 1
    network.set_weights([kernel, np.array([bias for _, bias in columns])])
    return network


def test_w_is_flat_where_z_is_bent():
    """w = z sign(z_0). So w_1 > 0 is a plane in w; in z it is bent: z_0 and z_1 of one sign."""
    generator = Known(lambda z: z * np.sign(z[:, :1]), lambda w: w / 4)
    score, table = separability(generator, reading((1, 0.0), (2, 0.0)), ["A", "B"], ("z", "w"), count=2000)
    assert score["w"] < 1.1 and score["z"] == pytest.approx(4, abs=0.1)  # e^(2 ln 2)
    assert list(table) == ["share", "z", "w"] and list(table.index) == ["A", "B"]
    np.testing.assert_allclose(table["share"], 0.5, atol=0.05)
    assert score["z"] == pytest.approx(np.exp(table["z"].sum()))


def test_an_attribute_that_hardly_occurs_is_left_out():
    generator = Known(draw=lambda w: w / 4)
    with pytest.warns(CourseWarning, match="have it or have it not: Rare, Always"):
        score, table = separability(
            generator, reading((1, 0.0), (2, -1.0), (3, 1.0)), "A Rare Always".split(), count=500
        )
    assert table["z"].isna().tolist() == [False, True, True] and table.loc["Rare", "share"] < LEAST / 500
    assert score["z"] == pytest.approx(np.exp(table.loc["A", "z"]))
    with pytest.raises(CourseError, match="No attribute"):
        separability(generator, reading((1, -2.0)), ["Rare"], count=200)
    with pytest.raises(CourseError, match="no w"):
        separability(dcgan.build_generator(16, 6, 4, 8), None, ["A"], ("z", "w"))
