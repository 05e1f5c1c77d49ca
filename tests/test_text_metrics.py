"""Agreement, chance, R-precision and diversity: known answers."""

from types import SimpleNamespace

import numpy as np
import pytest

from gan_course.backend import to_numpy
from gan_course.data import captions, toon
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError
from gan_course.metrics import FaceFeatures
from gan_course.metrics import text as measures
from gan_course.models import attributes
from gan_course.pretrained import Found

RNG = np.random.default_rng(0)
TOLD = np.array([[1, 0, -1], [0, -1, 1], [1, 1, 0], [-1, 0, 0]])
TRUE = np.array([[1, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]], bool)  # what every caption tells is so


def test_agreement():
    assert measures.agreement(TRUE, TOLD) == 1 and measures.agreement(~TRUE, TOLD) == 0
    said = TRUE.copy()
    said[0, 0] = False  # one of seven told things
    said[0, 1] = False  # not told: it does not count
    assert measures.agreement(said, TOLD) == pytest.approx(6 / 7)
    assert measures.by_attribute(said, TOLD, "abc") == {"a": (0.5, 1.0), "b": (1.0, 1.0), "c": (1.0, 1.0)}
    assert measures.by_attribute(said[:1], TOLD[:1], "abc") == {"a": (0.0, None), "b": (None, None), "c": (None, 1.0)}


def test_chance_is_the_mean_over_all_deals():
    truth = RNG.random((200, 4)) < [0.5, 0.1, 0.9, 0.3]
    told = np.where(truth, 1, -1) * (RNG.random((200, 4)) < 0.4)
    deals = [measures.agreement(truth, told[RNG.permutation(200)]) for _ in range(400)]
    assert measures.chance(truth, told) == pytest.approx(np.mean(deals), abs=3e-3)
    assert measures.agreement(truth, told) == 1
    assert measures.chance(TRUE, TOLD) == pytest.approx((2 * 0.5 + 0.5 + 0.75 + 0.25 + 0.5 + 0.5) / 7)


def test_placed():
    assert measures.placed(0.8, 0.5, 0.9) == pytest.approx(0.75)
    assert measures.placed(0.5, 0.5, 0.9) == 0 and measures.placed(0.9, 0.5, 0.9) == 1
    assert measures.placed(0.5, 0.5, 0.5) == 0


def test_r_precision_of_a_perfect_judge_and_of_none():
    truth = (RNG.permutation(2**12)[:300, None] >> np.arange(12)) % 2 > 0
    told, prior = np.where(truth, 1, -1), np.full(12, 0.5)  # all is told: no two captions fit one face
    assert measures.r_precision(np.where(truth, 4.0, -4.0), told, prior) == 1
    wrong = measures.r_precision(np.where(truth[::-1], 4.0, -4.0), told, prior)
    assert wrong < 0.05
    assert measures.r_precision(np.zeros((300, 12)), told, prior) == pytest.approx(
        0.01
    )  # a judge that knows nothing: 1/100
    with pytest.raises(CourseError, match="100 captions or more, and there are 20"):
        measures.r_precision(np.zeros((20, 2)), np.ones((20, 2)), np.full(2, 0.5))


def test_r_precision_weighs_rare_things():
    """A hat, which few have, tells more than a smile: the face with both is found by the caption with the hat."""
    prior = np.array([0.5, 0.05])
    told = np.zeros((100, 2), int)
    told[:, 0], told[0] = 1, [0, 1]
    logits = np.tile([4.0, -4.0], (100, 1))
    logits[0] = [4.0, 4.0]
    found = measures.r_precision(logits, told, prior)
    assert found == pytest.approx((1 + 99 / 99) / 100, abs=1e-6)  # the hat's own; the other 99 tie among 99


def test_spread():
    groups = np.array([[[0, 0], [3, 4], [0, 0]], [[1, 1], [1, 1], [1, 1]]], float)
    np.testing.assert_allclose(measures.spread(groups), [10 / 3, 0])
    cloud = RNG.normal(size=(1, 400, 50))
    np.testing.assert_allclose(measures.spread(cloud), 10, rtol=0.05)  # sqrt(2 * 50)


def test_fitting():
    truth = np.array([[1, -1, 1], [-1, -1, 1]])
    np.testing.assert_array_equal(
        measures.fitting(np.array([[1, 0, 0], [0, -1, 1], [0, 1, 0]]), truth), [[1, 0], [1, 1], [0, 0]]
    )


def test_logits_of_a_judge():
    network = attributes.build(["A", "B"], width=2, resolution=16)
    bytes_ = RNG.integers(0, 256, (3, 16, 16, 3)).astype("uint8")
    expected = to_numpy(network(bytes_.astype("float32") / 127.5 - 1))
    np.testing.assert_allclose(FaceFeatures(network, ["A", "B"]).logits(bytes_), expected, rtol=1e-3, atol=1e-5)


def test_measured_from_captions_to_numbers(tmp_path):
    """A network that draws what is told in three pixels, and one that draws black; a judge that knows two of the three."""
    names = ["Male", "Smiling", "Eyeglasses"]

    class Obeys:
        input_shape, output_shape = [(None, 2), (None, 3)], (None, 8, 8, 3)

        def __call__(self, inputs, training=False):
            pictures = np.full((len(inputs[1]), 8, 8, 3), -1.0)
            pictures[:, :3, 0, 0] = inputs[1]
            return pictures

    class Black(Obeys):
        def __call__(self, inputs, training=False):
            return np.full((len(inputs[1]), 8, 8, 3), -1.0)

    class Judge:
        name, attributes = "judge", ["Eyeglasses", "Young", "Male"]

        def logits(self, pictures):
            return pictures[:, [2, 7, 0], 0, 0] - 127.5

        def __call__(self, pictures):
            return pictures.reshape(len(pictures), -1).astype("float64")

    def measured(network):
        return measures.measure_text(Found(network, config, {}), source, "all", Judge(), count=100)

    config = SimpleNamespace(
        attributes=names, psi=lambda network, made: captions.told_table(made, names).astype("float32")
    )
    source = open_faces(toon.render(tmp_path / "toon", count=100, seed=2))
    found = measured(Obeys())
    assert found["captions"] == 100 and list(found["attributes"]) == ["Male", "Eyeglasses"]
    assert found["agreement"] == 1 and found["chance"] < 0.8 and found["attributes"]["Male"][:2] == [1, 1]
    assert found["diversity"] == 0 < found["diversity_real"] and found["r_precision"] > 0.01
    black = measured(Black())
    assert black["agreement"] == pytest.approx(black["chance"]) and black["placed"] == pytest.approx(0, abs=1e-6)
    assert black["attributes"]["Male"][:2] == [0, 1]


def test_as_text():
    result = dict(captions=1000, agreement=0.8, chance=0.4, ceiling=0.9, placed=0.8, r_precision=0.5, r_precision_ceiling=0.7,
                  diversity=10.0, diversity_real=20.0, diversity_ratio=0.5,
                  attributes={"Smiling": [0.9, 0.8, 1.0, 1.0], "Goatee": [0.2, None, 1.0, None], "Big_Nose": [None] * 4})  # fmt: skip
    lines = measures.agreement_text(result)
    assert "1,000 captions" in lines[0] and "0.800 of the way" in lines[0] and "ratio 0.500" in lines[2]
    assert [line.split(":")[0].strip() for line in lines[4:]] == ["Smiling", "Goatee"]
    assert lines[5].endswith("0.20 / - (1.00 / -)")
