"""Exercises about steering a face: an axis from a regression, a walk on the sphere, locks, leakage at the flip."""

# ruff: noqa: E501  (a mistake a line)
import numpy as np

from gan_course.exercises.engine import Exercise

_rng = np.random.default_rng(7)


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


# --- axes ---------------------------------------------------------------------------------------------


def _slopes(latent, logits, intercept=True):
    latent, logits = np.asarray(latent, "float64"), np.asarray(logits, "float64")
    given = np.column_stack([latent, np.ones(len(latent))]) if intercept else latent
    return np.linalg.lstsq(given, logits, rcond=None)[0][: latent.shape[1]].T


def _feature_axes(latent, logits):
    return _unit(_slopes(latent, logits))


def _labelled(n, d, k, noise=0.3, dtype="float64"):
    """Latent vectors (their mean is not 0, and their spread not even), and logits that mostly follow a line."""
    latent = _rng.normal(size=(n, d)) * np.linspace(0.5, 2, d) + 0.7
    logits = latent @ _rng.normal(size=(d, k)) + 3 * _rng.normal(size=k) + noise * _rng.normal(size=(n, k))
    return latent.astype(dtype), logits.astype(dtype)


def _correlations(latent, logits):
    a, b = latent - latent.mean(0), logits - logits.mean(0)
    return _unit((a.T @ b).T)


FEATURE_AXES = Exercise(
    _feature_axes,
    cases=[_labelled(12, 2, 2), _labelled(40, 5, 3), _labelled(30, 4, 4), _labelled(60, 8, 1), _labelled(50, 6, 2, dtype="float32"), _labelled(200, 3, 5, noise=2.0)],
    mistakes=[
        ("The intercept is missing: the line need not go through 0. (LinearRegression has one; np.linalg.lstsq needs a column of ones.)", lambda z, y: _unit(_slopes(z, y, False))),
        ("These are the slopes themselves. Divide each row by its length.", _slopes),
        ("A row for each attribute: yours are columns. (coef_ of LinearRegression has the right shape.)", lambda z, y: _unit(_slopes(z, y)).T),
        ("You divided the columns by their lengths; an axis is a row: axis=1, keepdims=True.", lambda z, y: _slopes(z, y) / np.linalg.norm(_slopes(z, y), axis=0)),
        ("You divided by the largest or the summed numbers; the *length* of a row is np.linalg.norm(..., axis=1).", lambda z, y: _slopes(z, y) / np.abs(_slopes(z, y)).sum(1, keepdims=True), lambda z, y: _slopes(z, y) / np.abs(_slopes(z, y)).max(1, keepdims=True)),
        ("All rows are divided by one number; each has a length of its own: axis=1, keepdims=True.", lambda z, y: _slopes(z, y) / np.linalg.norm(_slopes(z, y))),
        ("These are covariances, not slopes. They agree only where all numbers of z have the same spread and do not depend on each other.", _correlations),
        ("Your axes point the other way: along an axis the logit must rise.", lambda z, y: -_unit(_slopes(z, y))),
    ],
    tolerance=1e-3, rule="Wanted: least squares with an intercept, one row an attribute, each of length 1.",
    praise="one row an attribute, of length 1, in the direction in which its logit rises.",
)  # fmt: skip

# --- the walk on the sphere ---------------------------------------------------------------------------


def _turn(z, axis, degrees):
    z, length, angle = np.asarray(z, "float64"), np.linalg.norm(z), np.radians(degrees)
    u = z / length
    return length * (np.cos(angle) * u + np.sin(angle) * _tangent(u, axis))


def _tangent(u, axis):
    return _unit(axis - (axis @ u) * u)


def _walk(d, degrees, dtype="float64"):
    z = 2 * _rng.normal(size=d) + 0.8
    return z.astype(dtype), _unit(_rng.normal(size=d)).astype(dtype), degrees


def _changed(z, axis, degrees, length=1.0, angle=None, tangent=_tangent):
    u = z / np.linalg.norm(z)
    angle = np.radians(degrees) if angle is None else angle(degrees)
    return np.linalg.norm(z) ** length * (np.cos(angle) * u + np.sin(angle) * tangent(u, axis))


def _far(z, axis, degrees):
    """The straight step as long as the arc, back on the sphere."""
    z = np.asarray(z, "float64")
    moved = z + np.radians(degrees) * np.linalg.norm(z) * axis
    return np.linalg.norm(z) * _unit(moved)


TURN = Exercise(
    _turn,
    cases=[
        (np.array([3.0, 0.0]), np.array([0.6, 0.8]), 90.0), _walk(2, 30.0), _walk(3, 10.0), _walk(8, -25.0), _walk(64, 45.0),
        _walk(16, 5.0, "float32"), _walk(5, 120.0), _walk(6, 0.0), _walk(4, 1.0),
    ],
    mistakes=[
        ("np.cos and np.sin want radians: np.radians(degrees).", lambda *a: _changed(*a, angle=lambda x: x)),
        ("Your result has the length 1. z keeps its length: multiply by np.linalg.norm(z).", lambda *a: _changed(*a, length=0.0)),
        ("That is a straight step of `degrees` along the axis: it leaves the sphere.", lambda z, a, t: z + t * a, lambda z, a, t: z + np.radians(t) * a, lambda z, a, t: z + np.radians(t) * np.linalg.norm(z) * a),
        ("You step straight and pull the point back to the sphere; its angle to z is then not `degrees`.", _far, lambda z, a, t: np.linalg.norm(z) * _unit(z + np.radians(t) * np.linalg.norm(z) * _tangent(z / np.linalg.norm(z), a))),
        ("The axis is not perpendicular to z. Take its part along z away first: axis - (axis . u) u.", lambda *a: _changed(*a, tangent=lambda u, axis: axis)),
        ("The part of the axis that is perpendicular to z is shorter than 1; divide it by its length.", lambda *a: _changed(*a, tangent=lambda u, axis: axis - (axis @ u) * u)),
        ("Take away the part along u = z / |z|, not along z: (axis . u) u, with u of length 1.", lambda z, a, t: _changed(z, a, t, tangent=lambda u, axis: _unit(axis - (axis @ z) * z))),
        ("Your walk goes away from the axis: for positive degrees it must come nearer.", lambda z, a, t: _turn(z, a, -t)),
        ("cos belongs to z, sin to the axis: at 0 degrees the result is z.", lambda z, a, t: _turn(z, a, 90 - t)),
    ],
    tolerance=1e-4, rule="Wanted: |z| (cos t u + sin t s), u = z / |z|, s the unit part of the axis perpendicular to u.",
    praise="the length stays, the angle is exact, and the way back is the same way.",
)  # fmt: skip

# --- locks --------------------------------------------------------------------------------------------


def _lock(axes, locked, rescale=True, keep=True):
    axes, locked = np.asarray(axes, "float64"), list(locked)
    q = np.linalg.qr(axes[locked].T)[0] if locked else np.zeros((axes.shape[1], 0))
    rest = axes - axes @ q @ q.T
    if keep:
        rest[locked] = axes[locked]
    if rescale:
        lengths = np.linalg.norm(rest, axis=1, keepdims=True)
        rest = np.where(lengths > 1e-6, rest / np.maximum(lengths, 1e-6), 0.0)
    return rest


def _chained(axes, locked):
    result = np.array(axes, "float64")
    for i in locked:
        for j in set(range(len(axes))) - set(locked):
            result[j] -= (result[j] @ axes[i]) * axes[i]
    return _unit(result)


def _at_once(axes, locked):
    locked = list(locked)
    result = axes - axes @ axes[locked].T @ axes[locked]
    result[locked] = axes[locked]
    return _unit(result)


def _inside(axes, locked):
    q = np.linalg.qr(axes[locked].T)[0]
    result = axes @ q @ q.T
    result[locked] = axes[locked]
    return _unit(result)


def _orthonormal(axes, locked):
    """The official code: the locked axes themselves become perpendicular to each other."""
    result = _lock(axes, locked)
    done = []
    for i in locked:
        for b in done:
            result[i] = result[i] - (result[i] @ b) * b
        result[i] /= np.linalg.norm(result[i])
        done.append(result[i])
    return result


def _related(k, d, locked, dtype="float64"):
    """k unit rows that share a part."""
    return _unit(_rng.normal(size=(k, d)) + 0.7 * _rng.normal(size=d)).astype(dtype), locked


LOCK = Exercise(
    _lock,
    cases=[
        _related(3, 4, [0]), _related(4, 8, [2, 0]), _related(5, 9, [1, 3, 4]), _related(6, 32, [5, 2]), _related(4, 6, [3]),
        _related(5, 12, [0, 1, 2], "float32"), _related(8, 16, [7, 0, 3, 4]),
    ],
    edges=[("No lock: the axes stay as they are.", _related(3, 5, []))],
    mistakes=[
        ("One lock after the other is not enough where the locked axes are not perpendicular to each other: the second projection brings some of the first lock back. Take an orthonormal basis: np.linalg.qr(axes[locked].T)[0].", _chained),
        ("Subtracting the part along each locked axis is right only where these are perpendicular to each other. Take an orthonormal basis first: np.linalg.qr(axes[locked].T)[0].", _at_once),
        ("The axes are shorter than 1 now; divide each row by its length.", lambda a, locked: _lock(a, locked, rescale=False)),
        ("The locked axes themselves must stay as they are; yours became 0.", lambda a, locked: _lock(a, locked, keep=False)),
        ("You keep the part *inside* the locked space; take it away instead: a - Q Q^T a.", _inside),
        ("Your locked axes were made perpendicular to each other. They stay as they are; only the others change.", _orthonormal),
        ("Only the first lock has an effect.", lambda a, locked: _lock(a, locked[:1])),
        ("Only the last lock has an effect.", lambda a, locked: _lock(a, locked[-1:])),
        ("You return only the axes that are not locked; keep all rows, in their order.", lambda a, locked: np.delete(_lock(a, locked), locked, axis=0)),
    ],
    tolerance=1e-4, rule="Wanted: a - Q Q^T a, each row of length 1, and the locked rows unchanged.",
    praise="every other axis is perpendicular to all locked ones, in whatever order they are locked.",
)  # fmt: skip

# --- leakage at the flip ------------------------------------------------------------------------------


def _leakage_at_flip(before, after, target, only=True, others=True, share=True, nobody=0.0):
    changed = (np.asarray(before) > 0) != (np.asarray(after) > 0)
    flipped = changed[:, target]
    rows = changed[flipped] if only else changed
    rows = np.delete(rows, target, axis=1) if others else rows
    if not len(rows):
        return 0.0, nobody
    return flipped.mean() if share else flipped.sum(), rows.mean() if share else rows.sum(1).mean()


def _judged(n, k, target):
    """Logits before and after; a third of the faces flip, and every decision about another attribute may change."""
    before = _rng.normal(size=(n, k))
    after = before * np.where(_rng.uniform(size=(n, k)) < 0.3, -1.5, 0.8)
    after[:, target] = before[:, target] * np.where(np.arange(n) < max(1, n // 3), -0.5, 1.2)
    return before, after, target


def _nobody(n, k, target):
    before, after, _ = _judged(n, k, target)
    after[:, target] = 2 * before[:, target]
    return before, after, target


NOBODY = "Nobody flipped here, so there is nothing to average: return 0.0 for the second number, before you divide."
LEAKAGE_AT_FLIP = Exercise(
    _leakage_at_flip,
    cases=[_judged(4, 3, 0), _judged(10, 5, 2), _judged(30, 27, 26), _judged(7, 4, 1), _judged(50, 8, 3)],
    edges=[(NOBODY, _nobody(3, 4, 1)), (NOBODY, _nobody(12, 3, 0))],
    mistakes=[
        (NOBODY, lambda *a: _leakage_at_flip(*a, nobody=np.nan)),
        ("The target itself is counted as leakage: leave its column out.", lambda *a: _leakage_at_flip(*a, others=False)),
        ("You average over all faces; leakage at the flip is of those that flipped.", lambda *a: _leakage_at_flip(*a, only=False)),
        ("The two values are in the wrong order: first the share that flipped.", lambda *a: _leakage_at_flip(*a)[::-1]),
        ("You count; wanted are shares, from 0 to 1.", lambda *a: _leakage_at_flip(*a, share=False)),
        ("These are the attributes that stayed; wanted are those that changed.", lambda *a: (_leakage_at_flip(*a)[0], 1 - _leakage_at_flip(*a)[1])),
        ("Your first number is the share of faces that did *not* flip.", lambda *a: (1 - _leakage_at_flip(*a)[0], _leakage_at_flip(*a)[1])),
        ("That is how much the logits moved. A decision is `logit > 0`, and it changes where before and after disagree.", lambda b, a, t: (_leakage_at_flip(b, a, t)[0], np.abs(np.delete(a - b, t, 1)).mean()), lambda b, a, t: (_leakage_at_flip(b, a, t)[0], np.abs(np.delete(a - b, t, 1))[((b > 0) != (a > 0))[:, t]].mean())),
    ],
    names=("success", "changed"), tolerance=1e-6,
    praise="the share of faces that flipped, and what else changed in those.",
)  # fmt: skip

# --- an axis of one's own -----------------------------------------------------------------------------


def _brightness(pictures):
    return np.asarray(pictures, "float64").mean(axis=(1, 2, 3))


def _drawn(n, height, width, dtype="float64"):
    return _rng.uniform(-1, 1, (n, height, width, 3)).astype(dtype) * 0.5 + _rng.uniform(
        -0.5, 0.5, (n, 1, 1, 3)
    ).astype(dtype)


BRIGHTNESS = Exercise(
    _brightness,
    cases=[(_drawn(2, 2, 3),), (_drawn(5, 4, 4),), (_drawn(3, 8, 6, "float32"),), (_drawn(1, 4, 4),)],
    mistakes=[
        ("You return one number for all pictures; wanted is one for each: mean(axis=(1, 2, 3)).", np.mean),
        ("You keep the channels apart; take the mean over them as well: axis=(1, 2, 3).", lambda x: x.mean((1, 2))),
        ("You sum; take the mean.", lambda x: x.sum((1, 2, 3))),
        ("You average over the pictures too; the first axis must stay.", lambda x: x.mean((0, 1, 2)), lambda x: x.mean(0)),
        ("Take the mean of the numbers as they are, from -1 (black) to 1 (white), not of their sizes.", lambda x: np.abs(x).mean((1, 2, 3))),
        ("Only one channel is averaged; take all three.", *[lambda x, c=c: x[..., c].mean((1, 2)) for c in range(3)]),
    ],
    tolerance=1e-4, praise="one number for each picture, and so an attribute like any other.",
)  # fmt: skip

feature_axes, turn, lock, leakage_at_flip, brightness = (
    FEATURE_AXES.check, TURN.check, LOCK.check, LEAKAGE_AT_FLIP.check, BRIGHTNESS.check,
)  # fmt: skip

# What the lesson goes on with where the student's own answer is not right yet.
right_feature_axes, right_turn, right_lock, right_leakage_at_flip, right_brightness = (
    FEATURE_AXES.right, TURN.right, LOCK.right, LEAKAGE_AT_FLIP.right, BRIGHTNESS.right,
)  # fmt: skip
