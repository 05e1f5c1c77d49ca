"""The self-checks of lesson 03 about distances: a right answer passes, a typical mistake gets the fitting hint."""

import numpy as np
import pytest

from gan_course import metrics
from gan_course.checks import NotYet, lesson03


def frechet(a, b, ddof=1, roots=lambda product: np.sqrt(np.maximum(np.linalg.eigvals(product).real, 0)).sum()):
    covariances = [np.cov(x, rowvar=False, ddof=ddof) for x in (a, b)]
    away = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    return away + np.trace(sum(covariances)) - 2 * roots(covariances[0] @ covariances[1])


@pytest.mark.parametrize("right", [frechet, metrics.frechet_distance, lambda a, b: np.float32(frechet(a, b))])
def test_frechet_right(right, capsys):
    lesson03.check_frechet(right)
    assert capsys.readouterr().out.startswith("Right:")


def away(a, b):
    return np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda a, b: None, "return"),
        (lambda a, b: "far", "must return numbers"),
        (lambda a, b: frechet(a, b) + 0j, "complex"),
        (lambda a, b: (a.mean(axis=0) - b.mean(axis=0)) ** 2, "shape"),
        (lambda a, b: np.nan, "not finite"),
        (lambda a, b: frechet(a, b, ddof=0), "n - 1"),
        (lambda a, b: frechet(a, b) - away(a, b) + np.sqrt(away(a, b)), "not squared"),
        (lambda a, b: frechet(a, b) - away(a, b), "means are missing"),
        (lambda a, b: frechet(a, b, roots=lambda product: 0.0), "subtract 2 times"),
        (lambda a, b: frechet(a, b) + (frechet(a, b, roots=lambda p: 0.0) - frechet(a, b)) / 2, "factor 2"),
        (lambda a, b: frechet(a, b, roots=lambda p: np.trace(np.sqrt(np.abs(p)))), "every number of the matrix"),
        (lambda a, b: frechet(a, b, roots=np.trace), "root is missing"),
        (lambda a, b: frechet(a, b, roots=lambda p: np.sqrt(np.trace(p))), "root of the sum"),
        (lambda a, b: np.trace(np.cov(a) @ np.cov(b)), "rowvar"),
        (lambda a, b: frechet(a, b) + 1, "one feature"),
        (lambda a, b: np.nan if len(a) < 4 else frechet(a, b), "smaller than 0"),
        (lambda a, b: frechet(a, b) + (0j if len(a) < 4 else 0), "smaller than 0"),
        (lambda a, b: frechet(a, b) + (len(a) < 4), "should be"),
    ],
)
def test_frechet_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson03.check_frechet(wrong)


def comparable(records, keys=lesson03.MUST_AGREE):
    for one in records:
        for other in records:
            same = all(one[key] == other[key] for key in keys)
            if same and one is not other and one["FFD"] < other["FFD"]:
                return [one["name"], other["name"]]


def test_comparable_right(capsys):
    lesson03.check_comparable(comparable)
    assert comparable(lesson03.RECORDS) == ["S", "P"]
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda records: None, "return"),
        (lambda records: "SP", "list"),
        (lambda records: ["S"], "two different names"),
        (lambda records: ["S", "S"], "two different names"),
        (lambda records: ["S", ["P"]], "two different names"),
        (lambda records: ["T", "S"], "by heart"),
        (lambda records: ["P", "Q"], "different numbers of drawn faces"),
        (lambda records: ["P", "R"], "different networks"),
        (lambda records: comparable(records)[::-1], "order"),
        (lambda records: ["S", "P"], "not the names"),
        (lambda records: comparable(records, ("network", "fake_count")), "by heart"),
    ],
)
def test_comparable_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson03.check_comparable(wrong)
