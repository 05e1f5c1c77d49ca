"""Exercises about whose faces a generator draws: shares, alarms of a detector, a watermark, a membership test."""

# ruff: noqa: E501  (a mistake a line)
import math

import numpy as np
from scipy.spatial.distance import cdist

from gan_course.exercises.engine import Exercise
from gan_course.metrics import provenance

_rng = np.random.default_rng(10)

# --- a share and what one knows of it ------------------------------------------------------------------


def _share(count, total, z=1.96, squared=2, root=math.sqrt, centre=None):
    z2, p = z**squared, count / total
    middle = (p + z2 / (2 * total)) / (1 + z2 / total) if centre is None else centre(p)
    half = z / (1 + z2 / total) * root(p * (1 - p) / total + z2 / (4 * total**2))
    return p, middle - half, middle + half


def _plain(count, total):
    p = count / total
    half = 1.96 * math.sqrt(p * (1 - p) / total)
    return p, p - half, p + half


SHARE = Exercise(
    _share,
    cases=[(0, 50), (5, 50), (50, 50), (11, 1000), (3, 7), (400, 2000), (1, 3)],
    mistakes=[
        ("This is the plain error, p ± 1.96 √(p(1 - p)/n). For 0 of 50 it is 0, as if you were sure. Take the formula with z².", _plain),
        ("The interval lies around p in yours; its middle is m, which is a little nearer to 1/2.", lambda c, n: _share(c, n, centre=lambda p: p)),
        ("The three numbers are in the wrong order: share, lower end, upper end.", lambda c, n: (*_share(c, n)[1:], _share(c, n)[0]), lambda c, n: (_share(c, n)[0], *_share(c, n)[:0:-1])),
        ("The first number is the share itself, count / total, not the middle of the interval.", lambda c, n: (sum(_share(c, n)[1:]) / 2, *_share(c, n)[1:])),
        ("z is 1.96; yours is 1 (68%, not 95%).", lambda c, n: _share(c, n, z=1.0)),
        ("z is not squared where the formula has z².", lambda c, n: _share(c, n, squared=1)),
        ("The root is missing in h.", lambda c, n: _share(c, n, root=lambda x: x)),
        ("You return percent; a share goes from 0 to 1.", lambda c, n: tuple(100 * x for x in _share(c, n))),
        ("You return the half width h; wanted are both ends, m - h and m + h.", lambda c, n: (_share(c, n)[0], (_share(c, n)[2] + _share(c, n)[1]) / 2, (_share(c, n)[2] - _share(c, n)[1]) / 2)),
    ],
    names=("share", "low", "high"),
    rule="p = count / total; m = (p + z²/2n) / (1 + z²/n); h = z / (1 + z²/n) · √(p(1 - p)/n + z²/4n²); p, m - h, m + h.",
    praise="the share and its interval, also for 0 of n.",
)  # fmt: skip

# --- a detector's alarms ----------------------------------------------------------------------------------


def _alarms(
    real_scores,
    fake_scores,
    allowed,
    base,
    limit=None,
    mix=lambda found, allowed, base: base * found / (base * found + (1 - base) * allowed),
):
    limit = np.quantile(real_scores, 1 - allowed) if limit is None else limit
    found = np.mean(fake_scores > limit)
    return found, mix(found, allowed, base)


def _pair(n, m, shift, allowed, base):
    return _rng.normal(size=n), _rng.normal(size=m) + shift, allowed, base


ALARMS = Exercise(
    _alarms,
    cases=[
        (np.array([-2.0, -1.0, 0.5, 1.0]), np.array([0.2, 0.9, 3.0]), 0.25, 0.5), _pair(200, 100, 2.0, 0.05, 0.1), _pair(300, 50, 1.0, 0.1, 0.01),
        _pair(101, 80, 3.0, 0.01, 0.001), _pair(50, 50, 2.0, 0.2, 0.9), _pair(400, 200, 1.5, 0.02, 0.3),
    ],
    mistakes=[
        ("Your limit is 0. It must come from the real pictures: a share `allowed` of them is above it.", lambda r, f, a, b: _alarms(r, f, a, b, limit=0.0)),
        ("np.quantile(x, q) has the share q *below* it: take 1 - allowed.", lambda r, f, a, b: _alarms(r, f, a, b, limit=np.quantile(r, a))),
        ("Your limit comes from the fakes. A limit is set where one knows what is real: false alarms first.", lambda r, f, a, b: _alarms(r, f, a, b, limit=np.quantile(f, 1 - a)), lambda r, f, a, b: _alarms(r, f, a, b, limit=np.quantile(f, a))),
        ("`right` does not use the base rate: of all pictures, only `base` are fakes.", lambda r, f, a, b: _alarms(r, f, a, b, mix=lambda s, a, b: s / (s + a))),
        ("`right` is the share of *alarms* that are fakes. Yours is the share of fakes among which it cries.", lambda r, f, a, b: (_alarms(r, f, a, b)[0],) * 2),
        ("base and 1 - base are the wrong way round: `base` is the share of fakes.", lambda r, f, a, b: _alarms(r, f, a, b, mix=lambda s, a, b: (1 - b) * s / ((1 - b) * s + b * a))),
        ("The false alarms come from the real pictures, a share 1 - base of all: (1 - base) * allowed.", lambda r, f, a, b: _alarms(r, f, a, b, mix=lambda s, a, b: b * s / (b * s + a))),
        ("You return how often a picture is a fake *and* found; divide by how often there is an alarm.", lambda r, f, a, b: _alarms(r, f, a, b, mix=lambda s, a, b: b * s)),
        ("`found` is the share of fakes above the limit; yours is the share below it.", lambda r, f, a, b: (1 - _alarms(r, f, a, b)[0], _alarms(r, f, a, b)[1])),
        ("The two numbers are in the wrong order: found, right.", lambda r, f, a, b: _alarms(r, f, a, b)[::-1]),
    ],
    names=("found", "right"),
    rule="limit = np.quantile(real_scores, 1 - allowed); found = share of fakes above it; right = base · found / (base · found + (1 - base) · allowed).",
    praise="the limit comes from the real pictures, and the base rate decides what an alarm is worth.",
)  # fmt: skip

# --- reading a watermark -----------------------------------------------------------------------------------


def _read_mark(rests, secret, centre=True, pattern=True, by=lambda x, s: np.linalg.norm(x, axis=1) * np.linalg.norm(s)):
    x, s = rests.reshape(len(rests), -1), secret.ravel()
    x = x - x.mean(axis=1, keepdims=True) if centre else x
    s = s - s.mean() if pattern else s
    return x @ s / by(x, s)


def _marked(n, size, strength, level=3.0):
    secret = np.where(_rng.random((size, size)) < 0.6, 1.0, -1.0)
    return level + _rng.normal(size=(n, size, size)) + strength * secret, secret


READ_MARK = Exercise(
    _read_mark,
    cases=[
        (np.array([[[2.0, 1.0], [1.0, 1.0]], [[4.0, 0.0], [1.0, 0.0]]]), np.array([[1.0, -1.0], [-1.0, -1.0]])), _marked(3, 4, 1.0),
        _marked(5, 6, 0.0), _marked(2, 8, -0.5), _marked(4, 3, 2.0, -5.0), _marked(6, 5, 0.3, 0.5),
    ],
    mistakes=[
        ("Take its own mean away from each picture first: a light picture is no marked picture.", lambda x, s: _read_mark(x, s, centre=False), lambda x, s: _read_mark(x, s, centre=False, pattern=False)),
        ("Take the mean away from the secret, too.", lambda x, s: _read_mark(x, s, pattern=False)),
        ("This is a scalar product. Divide by the length of the picture's numbers and by the length of the secret's.", lambda x, s: _read_mark(x, s, by=lambda x, s: 1), lambda x, s: _read_mark(x, s, centre=False, pattern=False, by=lambda x, s: 1)),
        ("This is a covariance. Divide by both standard deviations as well.", lambda x, s: _read_mark(x, s, by=lambda x, s: len(s))),
        ("You divide by the length of the secret only.", lambda x, s: _read_mark(x, s, by=lambda x, s: np.linalg.norm(s))),
        ("You divide by the length of the picture's numbers only.", lambda x, s: _read_mark(x, s, by=lambda x, s: np.linalg.norm(x, axis=1))),
        ("You return one number for all pictures together; wanted is one for each.", lambda x, s: _read_mark(x, s).mean(), lambda x, s: np.corrcoef(x.mean(0).ravel(), s.ravel())[0, 1]),
        ("The sign says something: a negative correlation is not this watermark.", lambda x, s: np.abs(_read_mark(x, s))),
        ("The correlation itself, not its square.", lambda x, s: _read_mark(x, s) ** 2),
    ],
    rule="The correlation of the picture's numbers with the secret's, for each picture: from -1 to 1.",
    praise="one correlation for each picture.",
)  # fmt: skip

# --- a membership test ------------------------------------------------------------------------------------


def _membership(
    candidates, drawn, k, first=0, ways=cdist, mean=np.mean, nearest=0, score=lambda near, typical: 1 - near / typical
):
    ways = np.sort(ways(candidates, drawn), axis=1)
    return score(ways[:, nearest], mean(ways[:, first : first + k], axis=1))


def _faces(n, m, d, k):
    return _rng.normal(size=(n, d)), _rng.normal(size=(m, d)), k


MEMBERSHIP = Exercise(
    _membership,
    cases=[
        (np.array([[0.0, 0.0], [4.0, 3.0]]), np.array([[0.0, 1.0], [0.0, 0.0], [4.0, 0.0]]), 2), _faces(4, 9, 3, 3), _faces(5, 30, 8, 10),
        _faces(3, 12, 2, 4), _faces(6, 20, 5, 2), _faces(2, 15, 4, 15),
    ],
    mistakes=[
        ("The `1 -` is missing: a copy must get 1, a face like any other 0.", lambda c, d, k: 1 - _membership(c, d, k)),
        ("You compare with the mean distance to *all* drawn faces; take only the k nearest.", lambda c, d, k: _membership(c, d, len(d))),
        ("The nearest itself belongs to the k nearest.", lambda c, d, k: _membership(c, d, k, first=1), lambda c, d, k: _membership(c, d, max(k - 1, 1), first=1)),
        ("Your distances are squared; take the root.", lambda c, d, k: _membership(c, d, k, ways=lambda c, d: cdist(c, d) ** 2)),
        ("These are sums of absolute differences; take the root of the sum of squares.", lambda c, d, k: _membership(c, d, k, ways=lambda c, d: cdist(c, d, "cityblock"))),
        ("One score for each candidate, not for each drawn face: for each candidate look for the nearest drawn ones.", lambda c, d, k: _membership(d, c, min(k, len(c)))),
        ("You take the farthest in place of the nearest.", lambda c, d, k: _membership(c, d, k, nearest=-1)),
        ("You divide by the distance to the k-th nearest; take the mean of the k nearest.", lambda c, d, k: 1 - np.sort(cdist(c, d), 1)[:, 0] / np.sort(cdist(c, d), 1)[:, k - 1]),
        ("You divide by the sum of the k nearest distances; take their mean.", lambda c, d, k: _membership(c, d, k, mean=np.sum)),
        ("The distance alone is returned, with a minus. Compare it with the mean of the k nearest.", lambda c, d, k: -cdist(c, d).min(1), lambda c, d, k: cdist(c, d).min(1)),
    ],
    rule="1 - (distance to the nearest drawn face) / (mean distance to the k nearest), one number for each candidate.",
    praise="near to one drawn face, but not to the next ones: that is suspicious.",
)  # fmt: skip

share, alarms, read_mark, membership = SHARE.check, ALARMS.check, READ_MARK.check, MEMBERSHIP.check

# What a lesson goes on with where the student's own answer is not right yet.
right_share, right_alarms = provenance.share, provenance.alarms
right_read_mark, right_membership = provenance.read_mark, provenance.membership
