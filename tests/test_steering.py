"""What the judge says of faces that move: numbers that can be computed by hand."""

import numpy as np
import pytest
from scipy.special import expit

from gan_course.backend import keras, ops, to_numpy
from gan_course.errors import CourseError
from gan_course.metrics.steering import Look, flips, leakage
from gan_course.models import attributes, stylegan


class Linear:
    """A judge that reads the codes themselves: logit j = code j; its features are the codes."""

    names = ["a", "b", "c"]

    def __call__(self, codes):
        return np.asarray(codes, "float64"), np.asarray(codes, "float64")


def test_the_judge_sees_what_the_generator_draws():
    keras.utils.set_random_seed(0)
    generator = stylegan.build_generator(16, 8, base=128, max_width=16, mapping=1, spread=1.0)
    judge = attributes.build(["a", "b"], width=4, resolution=32)
    z = np.random.default_rng(0).normal(size=(53, 8)).astype("float32")
    pictures = ops.image.resize(ops.clip(generator(z), -1, 1), (32, 32), antialias=True)
    logits, features = to_numpy(judge(pictures)), to_numpy(attributes.feature_extractor(judge)(pictures))
    for space, codes in (("z", z), ("w", to_numpy(generator.map(z)))):
        seen = Look(generator, judge, ["a", "b"], space)(codes)
        np.testing.assert_allclose(seen[0], logits, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(seen[1], features, rtol=1e-3, atol=1e-4)


def test_leakage_is_the_mean_change():
    codes = np.array([[0.0, 1.0, -2.0], [1.0, 0.0, 0.0]])
    directions = {"a": np.array([1.0, 0.5, 0.0]), "c": np.array([0.0, 0.0, 1.0])}
    table = leakage(Linear(), lambda x, name, amount: x + amount * directions[name], codes, ["a", "c"], 2.0)
    assert list(table.index) == ["a", "c"] and list(table.columns) == Linear.names
    expected = np.mean([(expit(x + 1) - expit(x - 1)) / 2 for x in (1.0, 0.0)])
    assert table.loc["a", "b"] == pytest.approx(expected)
    assert table.loc["a", "c"] == 0 and table.loc["c", "a"] == 0 and table.loc["c", "c"] > 0.2


def test_a_face_stops_where_the_judge_changes_its_mind():
    """0.5 is passed at 1; 1.5 at 2; -2.5 never within 2; b follows at half the speed, the other way."""
    codes = np.array([[-0.5, 0.4, 1.0], [1.5, -0.9, 1.0], [-2.5, 9.0, 1.0]])
    way = np.array([1.0, -0.5, 0.0])
    asked = []

    def move(rows, amounts):
        asked.append(list(rows))
        return codes[rows] + amounts[:, None] * way

    found = flips(Linear(), move, codes, "a", [1.0, 2.0])
    np.testing.assert_array_equal(found.amount, [1.0, 2.0, np.nan])
    np.testing.assert_array_equal(found.changed, [0.5, 0.5, np.nan])  # b of the two others changed, c did not
    assert found.success == pytest.approx(2 / 3)
    assert asked == [[0, 1, 2], [1, 2]]  # who has flipped walks no further
    after = codes[0] + way
    cosine = after @ codes[0] / np.linalg.norm(after) / np.linalg.norm(codes[0])
    assert found.kept[0] == pytest.approx(cosine) and np.isnan(found.kept[2])
    with pytest.raises(CourseError, match="knows no 'x'; choose from a, b, c"):
        flips(Linear(), move, codes, "x", [1.0])
