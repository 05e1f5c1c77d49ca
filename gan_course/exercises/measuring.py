"""Exercises about distances: the Frechet distance, and which numbers may be compared."""

# ruff: noqa: E501  (a mistake a line)
from functools import partial

import numpy as np

from gan_course.exercises.engine import Exercise

_rng = np.random.default_rng(3)

# --- the Frechet distance -----------------------------------------------------------------------------


def _roots(product):
    return np.sqrt(np.maximum(np.linalg.eigvals(product).real, 0)).sum()


def _frechet(a, b, ddof=1, root=_roots, power=2, factor=2.0, rowvar=False):
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    cov_a, cov_b = (np.cov(x, rowvar=rowvar, ddof=ddof) for x in (a, b))
    away = np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)) ** power if power else 0
    return away + np.trace(cov_a) + np.trace(cov_b) - factor * root(cov_a @ cov_b)


def _clouds(n, m, d, scale=1.0, dtype="float64"):
    """Two clouds with correlated features, other means and other spreads."""
    a, b = _rng.normal(size=(n, d)) @ _rng.normal(size=(d, d)), _rng.normal(size=(m, d)) @ _rng.normal(size=(d, d))
    return (scale * a).astype(dtype), (scale * (b + 1 + _rng.normal(size=d))).astype(dtype)


def _plain(a, b):
    return np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)


N1 = "The covariance is divided by n; divide by n - 1, as np.cov does by default."
FEW = (
    "There are fewer pictures than features here: rounding makes some eigenvalues a little smaller than 0, or complex. "
    "Take .real, and set them to 0 (np.maximum) before the root."
)
FRECHET = Exercise(
    _frechet,
    cases=[
        _clouds(5, 4, 2), _clouds(60, 40, 4), _clouds(30, 50, 3, 10.0), _clouds(40, 40, 8, 0.1), _clouds(200, 100, 16),
        _clouds(50, 30, 5, dtype="float32"),
    ],
    edges=[(FEW, _clouds(n, m, d)) for n, m, d in ((3, 3, 4), (4, 6, 12), (6, 5, 12), (8, 30, 32), (3, 4, 64))],
    mistakes=[
        (N1, partial(_frechet, ddof=0)),
        ("The distance of the means is not squared; the formula has |mean_a - mean_b|^2.", partial(_frechet, power=1)),
        ("The means are missing: add the sum of (mean_a - mean_b)^2.", partial(_frechet, power=0)),
        ("The distance of the means has one mean of all numbers; take the mean of each feature (axis=0).", lambda a, b: _frechet(a, b, power=0) + (a.mean() - b.mean()) ** 2),
        ("You take the mean of (mean_a - mean_b)^2; take the sum over the features.", lambda a, b: _frechet(a, b, power=0) + np.mean((a.mean(0) - b.mean(0)) ** 2)),
        ("Only the two traces are there; subtract 2 times the sum of the roots of the eigenvalues.", partial(_frechet, factor=0)),
        ("The last term has a factor 2: C_a + C_b - 2 (C_a C_b)^(1/2).", partial(_frechet, factor=1)),
        ("You took the root of every number of the matrix (np.sqrt); a matrix root is something else: use the eigenvalues.", partial(_frechet, root=lambda p: np.trace(np.sqrt(p))), partial(_frechet, root=lambda p: np.trace(np.sqrt(np.abs(p)))), partial(_frechet, root=lambda p: np.trace(np.sqrt(np.maximum(p, 0))))),
        ("The root is missing: take the root of every eigenvalue of C_a C_b before you add them up.", partial(_frechet, root=np.trace)),
        ("You took the root of the sum; take the root of every eigenvalue first, then add them up.", partial(_frechet, root=lambda p: np.sqrt(np.trace(p)))),
        ("You use only the spread of each feature. What goes together counts too: the whole covariance matrix.", lambda a, b: _plain(a, b) + np.sum((a.std(0, ddof=1) - b.std(0, ddof=1)) ** 2), lambda a, b: _plain(a, b) + np.sum((a.std(0) - b.std(0)) ** 2)),
        ("Does np.cov know that a row is a picture, not a feature? Give it rowvar=False: a covariance must have the shape (d, d).", partial(_frechet, rowvar=True)),
    ],
    tolerance=2e-3,
    praise="the means, the spreads and what goes together; a real number also with fewer pictures than features.",
)  # fmt: skip

# --- which numbers may be compared --------------------------------------------------------------------

RECORDS = [
    {"name": "P", "network": "attributes-toon-judge", "fake_count": 2000, "real_count": 1200, "split": "test", "FFD": 9.1},
    {"name": "Q", "network": "attributes-toon-judge", "fake_count": 500, "real_count": 1200, "split": "test", "FFD": 11.0},
    {"name": "R", "network": "Keras Inception-v3", "fake_count": 2000, "real_count": 1200, "split": "test", "FFD": 38.2},
    {"name": "S", "network": "attributes-toon-judge", "fake_count": 2000, "real_count": 1200, "split": "test", "FFD": 7.4},
    {"name": "T", "network": "attributes-toon-judge", "fake_count": 2000, "real_count": 1200, "split": "train", "FFD": 6.8},
]  # fmt: skip
WHY = {
    "network": "were measured in the features of different networks; these are different spaces.",
    "fake_count": "used different numbers of drawn faces; fewer pictures make the distance larger.",
    "real_count": "used different numbers of real faces; fewer pictures make the distance larger.",
    "split": "were measured against different real faces; a generator may know the training part by heart.",
}


def _comparable(records, keys=tuple(WHY)):
    for one in records:
        for other in records:
            agree = all(one[key] == other[key] for key in keys)
            if one is not other and agree and one["FFD"] <= other["FFD"]:
                return [one["name"], other["name"]]
    return []


def _records(names, distances, odd, other=False):
    """One pair that agrees, and for each key in `odd` a record that differs from the pair in this key alone."""
    pair = {"network": "attributes-toon-judge", "fake_count": 1000, "real_count": 600, "split": "test"}
    others = {"network": "Keras Inception-v3", "fake_count": 3000, "real_count": 900, "split": "train"}
    pair, others = (others, pair) if other else (pair, others)
    rows = [pair, *({**pair, key: others[key]} for key in odd), pair]
    return [{"name": name, **row, "FFD": ffd} for name, row, ffd in zip(names, rows, distances, strict=True)]


def _explain(records, answer):
    """Say why two records may not be compared; the right pair is for the student to find."""
    names, by_name = [str(x) for x in answer[0].ravel()], {record["name"]: record for record in records}
    if answer[0].shape != (2,) or len(set(names)) < 2 or not set(names) <= set(by_name):
        return f"Return two different names of {', '.join(by_name)} in a list; you returned {answer[0].tolist()}."
    first, second = (by_name[name] for name in names)
    for key, why in WHY.items():
        if first[key] != second[key]:
            return f"{names[0]} and {names[1]} {why} ({key}: {first[key]} and {second[key]}.)"
    return (
        f"The pair is right, but not its order: {names[0]} has {first['FFD']}, {names[1]} has {second['FFD']}, and the "
        "smaller distance is the better one. (Compare the distances as numbers; names and places say nothing.)"
    )


COMPARABLE = Exercise(
    _comparable,
    cases=[
        (RECORDS,),
        # The same names, other numbers and places: only what the records say can help.
        ([record | {"FFD": 20 - record["FFD"]} for record in RECORDS[::-1] if record["name"] != "Q"],),
        *((_records("BAC", (5.0 + s, 4.0, 5.0 - s), [key]),) for key in WHY for s in (1, -1)),
        *((_records("CAB", (5.0 + s, 7.0, 5.0 - s), [key], True),) for key in WHY for s in (1, -1)),
        (_records(["mine", "a", "b", "c", "d", "yours"], (30.5, 1.0, 2.0, 90.0, 4.0, 112.0), list(WHY)),),
        (_records(["mine", "a", "b", "c", "d", "yours"], (112.0, 1.0, 200.0, 3.0, 4.0, 30.5), list(WHY)[::-1], True),),
        (_records(["z", "y"], (2.0, 3.0), []),),
        # The sums of the counts agree, the counts do not.
        ([_records("FG", (4.0, 9.0), [])[0] | {"fake_count": 600, "real_count": 1000}, *_records("DE", (6.0, 3.0), [])],),
        ([_records("FG", (4.0, 9.0), [])[0] | {"fake_count": 600, "real_count": 1000}, *_records("ED", (3.0, 6.0), [])],),
    ],
    mistakes=[
        ("The pair is right, but not its order: the smaller distance is the better one.", lambda records: _comparable(records)[::-1]),
    ],
    words=True, explain=_explain,
    rule="In every list two records agree in network, both counts and split; names, places and distances change.",
    praise="only S and P share network, counts and real faces, and the smaller distance is the better one.",
)  # fmt: skip

check_frechet, check_comparable = FRECHET.check, COMPARABLE.check
