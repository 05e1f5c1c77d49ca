"""Exercises about growing: a layer's scale, the minibatch deviation, the fade, the schedule, neighbours, a walk."""

# ruff: noqa: E501  (a mistake a line)
import math
from functools import partial

import numpy as np

from gan_course.exercises.engine import Exercise

_rng = np.random.default_rng(5)

# --- the scale of a layer -----------------------------------------------------------------------------


def _equalised(kernel_shape, gain):
    return gain / math.sqrt(math.prod(kernel_shape[:-1]))


EQUALISED = Exercise(
    _equalised,
    cases=[
        ((3, 3, 32, 16), math.sqrt(2)), ((1, 1, 64, 3), 1.0), ((128, 2048), math.sqrt(2) / 4), ((3, 3, 5, 7), 0.3),
        ((4, 4, 48, 24), 2.0), ((10, 3), 1.0), ((7, 6), math.sqrt(2)), ((5, 5, 2, 11), 1.0),
    ],
    mistakes=[
        ("The root is missing: gain / sqrt(fan_in).", lambda s, g: g / math.prod(s[:-1])),
        ("fan_in is not the channels in alone: an output of a convolution sees all k * k places of the kernel.", lambda s, g: g / math.sqrt(s[-2])),
        ("fan_in is not the places of the kernel alone: count the channels in, too.", lambda s, g: g / math.sqrt(math.prod(s[:-2]))),
        ("fan_in counts k only once; a kernel has k * k places.", lambda s, g: g / math.sqrt((s[0] if len(s) > 2 else 1) * s[-2])),
        ("You count the outputs; fan_in counts the inputs of one output.", lambda s, g: g / math.sqrt(math.prod(s[:-2]) * s[-1])),
        ("fan_in counts all weights; leave the last axis (the outputs) out.", lambda s, g: g / math.sqrt(math.prod(s))),
        ("The gain is missing.", lambda s, g: 1 / math.sqrt(math.prod(s[:-1]))),
        ("The gain is always sqrt(2); use the argument.", lambda s, g: math.sqrt(2 / math.prod(s[:-1]))),
        ("The gain is under the root; only fan_in is.", lambda s, g: math.sqrt(g / math.prod(s[:-1]))),
        ("You multiply by sqrt(fan_in); divide by it.", lambda s, g: g * math.sqrt(math.prod(s[:-1]))),
        ("Wanted is one number, the scale, and not the weights.", lambda s, g: np.full(s, g / math.sqrt(math.prod(s[:-1])))),
    ],
    rule="It is gain / sqrt(the number of inputs of one output).",
    praise="gain / sqrt(inputs of one output), for convolutions and for dense layers.",
)  # fmt: skip

# --- the minibatch deviation --------------------------------------------------------------------------


def _minibatch_deviation(x, group, ddof=0, root=lambda v: np.sqrt(v + 1e-8), mean=np.mean, near=False):
    x, count = np.asarray(x, "float64"), len(x) // group
    rows = [x[j * group : (j + 1) * group] if near else x[j::count] for j in range(count)]
    return np.array([mean(root(row.var(axis=0, ddof=ddof if group > 1 else 0))) for row in rows])


def _pictures(n, *shape, scale=1.0, dtype="float64"):
    x = _rng.normal(size=(n, *shape)) * np.linspace(0.5, 3, n)[:, None, None, None] + _rng.normal(size=shape)
    return (scale * x).astype(dtype)


EQUAL = "The pictures of this group are equal. The 1e-8 belongs under the root, so that 1e-4 comes out."
STDDEV = Exercise(
    _minibatch_deviation,
    cases=[
        (_pictures(4, 1, 1, 2), 2), (_pictures(12, 2, 3, 5), 4), (_pictures(6, 2, 2, 3), 2),
        (_pictures(8, 4, 3, 1), 8), (_pictures(12, 2, 2, 2, scale=3e-4), 3), (_pictures(9, 3, 2, 2, scale=20.0), 3),
        (_pictures(16, 2, 2, 4, dtype="float32"), 4),
        (1e-8 * np.arange(72.0).reshape(6, 2, 2, 3), 3),  # here sqrt(v + 1e-16) is not sqrt(v) + 1e-8
    ],
    edges=[
        (EQUAL, (np.repeat(_pictures(1, 2, 2, 3), 4, axis=0), 4)),
        (EQUAL, (np.tile(_pictures(2, 2, 2, 3), (4, 1, 1, 1)), 4)), (EQUAL, (_pictures(3, 2, 2, 3), 1)),
    ],
    mistakes=[
        ("Your groups are neighbours: with 12 pictures in groups of 4, the pictures 0, 1, 2, 3 together. They should be strided: 0, 3, 6, 9. Reshape to (group, N / group, ...), then the first axis runs through one group.", partial(_minibatch_deviation, near=True)),
        ("You make `group` groups of N / group pictures; wanted are N / group groups of `group` pictures.", lambda x, g: _minibatch_deviation(x, len(x) // g)),
        ("These are variances; take the root of each before the mean.", partial(_minibatch_deviation, root=lambda v: v), partial(_minibatch_deviation, root=lambda v: v + 1e-8)),
        ("You take the mean of the variances and then the root. First the root at each place, then the mean.", partial(_minibatch_deviation, root=lambda v: v, mean=lambda v: np.sqrt(v.mean() + 1e-8))),
        ("You divide the sum of squares by group - 1 (ddof=1); the formula divides by group, NumPy's default.", partial(_minibatch_deviation, ddof=1)),
        ("The 1e-8 is missing under the root. (It keeps the root's gradient finite where the variance is 0.)", partial(_minibatch_deviation, root=np.sqrt)),
        ("The 1e-8 belongs under the root, not behind it.", partial(_minibatch_deviation, root=lambda v: np.sqrt(v) + 1e-8)),
        ("You sum over places and channels; take the mean.", partial(_minibatch_deviation, mean=np.sum)),
        ("You take one deviation over all numbers of a group. That is large even for equal pictures, because a picture has different pixels: take the variance over the *pictures*, at each place.", lambda x, g: np.sqrt([x[j :: len(x) // g].var() + 1e-8 for j in range(len(x) // g)]), lambda x, g: [x[j :: len(x) // g].std() for j in range(len(x) // g)]),
        ("The numbers are right, but in the wrong order: group j holds the pictures j, j + N / group, ...", lambda x, g: _minibatch_deviation(x, g)[::-1]),
        ("You return one number for the whole batch; wanted is one for each group.", lambda x, g: _minibatch_deviation(x, g).mean(), lambda x, g: _minibatch_deviation(x, len(x))[0]),
        ("You return a deviation for every place and channel. Take the mean of them.", lambda x, g: np.sqrt(x.reshape(g, -1, *x.shape[1:]).var(axis=0) + 1e-8)),
        ("You return a number for every picture; wanted is one for each group. (The layer repeats it; this function does not.)", lambda x, g: np.tile(_minibatch_deviation(x, g), g)),
        ("The group is 4 in your function, whatever the argument says.", lambda x, g: _minibatch_deviation(x, 4)),
    ],
    rule="Variance over the pictures of a group, + 1e-8, root, mean over the rest.",
    praise="strided groups, one number for each; four equal pictures give 1e-4.",
)  # fmt: skip

# --- the fade -----------------------------------------------------------------------------------------


def _up(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def _fade(old, new, alpha, up=_up):
    return (1 - alpha) * up(old) + alpha * new


def _two(n, height, width, channels, alpha, dtype="float64"):
    old, new = (_rng.uniform(-1, 1, (n, k * height, k * width, channels)).astype(dtype) for k in (1, 2))
    return old, new, alpha


TILE = "You put four copies of the small picture side by side (tile). Each *pixel* must become a 2x2 block: np.repeat."
SMALL = "You return pictures of the old, small size: enlarge the old ones, do not shrink the new ones."
BOTH = "Repeat each pixel twice along the height (axis 1) and twice along the width (axis 2)."
FADE = Exercise(
    _fade,
    cases=[
        _two(1, 1, 2, 1, 0.25), _two(2, 4, 6, 3, 0.25), _two(3, 2, 2, 3, 0.6, "float32"), _two(2, 3, 3, 2, 0.5),
        _two(1, 5, 4, 3, 0.0), _two(2, 2, 3, 1, 1.0), _two(2, 2, 2, 2, 0.0), _two(2, 2, 2, 4, 1.0),
        _two(4, 2, 3, 3, 0.9),
    ],
    mistakes=[
        ("alpha works the wrong way round: at alpha 0 there must be only the old pictures, at alpha 1 only the new.", lambda o, n, a: _fade(o, n, 1 - a)),
        (TILE, lambda o, n, a: _fade(o, n, a, lambda x: np.tile(x, (1, 2, 2, 1)))),
        ("The old picture keeps its full weight: it must go down to 1 - alpha while the new one comes.", lambda o, n, a: _up(o) + a * n),
        ("The new picture has its full weight from the start: multiply it by alpha.", lambda o, n, a: (1 - a) * _up(o) + n),
        ("You return the mean of the two; alpha has no effect.", lambda o, n, a: _fade(o, n, 0.5)),
        ("alpha is squared; the weights go in a straight line.", lambda o, n, a: _fade(o, n, a**2)),
        (SMALL, lambda o, n, a: (1 - a) * o + a * n[:, ::2, ::2], lambda o, n, a: (1 - a) * o + a * n.reshape(len(n), o.shape[1], 2, o.shape[2], 2, -1).mean((2, 4))),
        (f"`old` is still small when you mix. {BOTH}", lambda o, n, a: _fade(o, n, a, lambda x: x)),
        (f"You enlarge the height only. {BOTH}", lambda o, n, a: _fade(o, n, a, lambda x: x.repeat(2, axis=1))),
        (f"You enlarge the width only. {BOTH}", lambda o, n, a: _fade(o, n, a, lambda x: x.repeat(2, axis=2))),
        (f"You repeat the pictures and the rows. {BOTH}", lambda o, n, a: _fade(o, n, a, lambda x: x.repeat(2, axis=0).repeat(2, axis=1))),
    ],
    tolerance=1e-5, rule="Wanted: (1 - alpha) * enlarged old + alpha * new.",
    praise="only the old pictures at alpha 0, only the new at alpha 1, and each old pixel is a 2x2 block.",
)  # fmt: skip

# --- the schedule -------------------------------------------------------------------------------------


def _alpha_at(images, fade, stable, resolution, first=False, last=True, swapped=False, late=False):
    size, images = 4, images if first else images - stable
    if first:  # the first level is faded as well
        if images < fade:
            return size, images / fade
        images -= fade + stable
    while (images > 0 if late else images >= 0) and (not last or size < resolution):
        size *= 2
        if swapped:  # stable first, then the fade
            if images < stable:
                return size, 1.0
            if images < stable + fade:
                return size, (images - stable) / fade
        elif images < fade:
            return size, images / fade
        images -= fade + stable
    return size, 1.0


def _changed(change):
    return lambda images, fade, stable, resolution: change(
        *_alpha_at(images, fade, stable, resolution), images, fade, stable
    )


NO_FADE = "`fade` is 0: alpha is always 1, and the sizes come one after the other as before. Do not divide by `fade`."
ALPHA_AT = Exercise(
    _alpha_at,
    # fade and stable differ, or two mistakes could cancel.
    cases=[
        *[(n, 100, 300, 32) for n in (0, 120, 299, 300, 325, 399, 400, 550, 699, 700, 790, 800, 1190, 1300, 1499, 1510, 1590, 9910)],
        *[(n, 200, 50, 16) for n in (0, 49, 50, 150, 250, 299, 300, 480, 500, 9999)],
        *[(n, 600, 1000, 128) for n in (999, 1300, 2600, 2750, 5000, 7000, 7499, 10**6, 10**6 + 1900)],
    ],
    edges=[(NO_FADE, (n, 0, stable, 32)) for stable in (300, 70) for n in (10, 350, 300, 2 * stable, 600, 5000)],
    mistakes=[
        ("The two numbers are in the wrong order; return the size first.", lambda *case: _alpha_at(*case)[::-1]),
        ("You return the level (2, 3, ...); wanted is the size in pixels: 2 ** level.", _changed(lambda s, a, *_: (math.log2(s), a))),
        ("You fade in the first size as well. Before 4x4 there is nothing to fade from: it begins with `stable`.", partial(_alpha_at, first=True)),
        ("The order of a size is the other way round: first the fade, then `stable` pictures with alpha 1.", partial(_alpha_at, swapped=True)),
        ("Where a stage ends, the next one begins at once: at exactly this number of pictures it is the new one already (>= or <, not > or <=).", partial(_alpha_at, late=True)),
        ("`resolution` is the last size: after it no other one begins, however many pictures follow.", partial(_alpha_at, last=False)),
        ("Your alpha falls from 1 to 0. It is the weight of the *new* layers: a fade begins at 0.", _changed(lambda s, a, *_: (s, 1 - a if a < 1 else a))),
        ("Your alpha is 1 minus the right one. It is the weight of the *new* layers: 0 at the start of a fade, 1 after it.", _changed(lambda s, a, *_: (s, 1 - a))),
        ("Your alpha is 0 outside a fade; there the new layers are all there is, so it is 1.", _changed(lambda s, a, *_: (s, a if a < 1 else 0.0))),
        ("Your alpha is always 1; in a fade it goes from 0 to 1.", _changed(lambda s, a, *_: (s, 1.0))),
        ("Your alpha is rounded; in a fade it goes from 0 to 1 in a straight line.", _changed(lambda s, a, *_: (s, round(a)))),
        ("You divide by fade + stable. alpha reaches 1 at the end of the fade: divide by `fade`.", _changed(lambda s, a, n, f, t: (s, (n - t) % (f + t) / (f + t) if a < 1 else a))),
        ("You divide by `stable`. alpha reaches 1 at the end of the fade: divide by `fade`.", _changed(lambda s, a, n, f, t: (s, a * f / t if a < 1 else a))),
        ("alpha is never above 1: count the pictures of *this* fade, and stop at 1.", _changed(lambda s, a, n, f, t: (s, n / f if n >= t else 1.0))),
        ("alpha is never above 1: after the fade it stays 1.", _changed(lambda s, a, n, f, t: (s, ((n - t) % (f + t)) / f if n >= t else 1.0))),
        (NO_FADE, lambda n, fade, *rest: (n / fade, _alpha_at(n, fade, *rest))[1]),
    ],
    names=("size", "alpha"), tolerance=1e-6,
    praise="4x4 is not faded; each later size begins at alpha 0, reaches 1 after `fade` pictures, and the last one stays.",
)  # fmt: skip

# --- neighbours ---------------------------------------------------------------------------------------


def _euclidean(features, training):
    return np.sqrt(((features[:, None] - training) ** 2).sum(-1))


def _nearest(features, training_features, k, distance=_euclidean, first=0, sign=1):
    ways = distance(*(np.asarray(x, "float64") for x in (features, training_features)))
    order = np.argsort(sign * ways, axis=1)[:, first : first + k]
    return order, np.take_along_axis(ways, order, axis=1)


def _faces(n, m, d, k, copies=0, dtype="float64"):
    """n faces near some of m training faces; the first `copies` of them are exact copies."""
    training = 3 * _rng.normal(size=(m, d)) + _rng.normal(size=d)
    chosen = training[_rng.permutation(np.arange(n) % m)]
    chosen[copies:] += 1.5 * _rng.normal(size=(n - copies, d))
    return chosen.astype(dtype), training.astype(dtype), k


COPY = (
    "Some faces here are exact copies: they are neighbours as well, with the distance 0. (|a|^2 + |b|^2 - 2ab comes out a "
    "little below 0 for them: np.maximum(..., 0) before the root, or subtract first.)"
)
NEAREST = Exercise(
    _nearest,
    cases=[
        _faces(1, 4, 2, 2), _faces(3, 9, 4, 3), _faces(4, 9, 4, 1), _faces(6, 6, 3, 4),
        _faces(20, 12, 16, 5, dtype="float32"), _faces(5, 30, 2, 29), _faces(2, 7, 1, 7), _faces(2, 1500, 3, 600),
    ],
    edges=[(COPY, _faces(9, 9, 5, 2, copies=8)), (COPY, _faces(20, 20, 8, 3, copies=19))],
    mistakes=[
        ("The two arrays are in the wrong order; return the indices first.", lambda f, t, k: _nearest(f, t, k)[::-1]),
        ("The distances are squared; the root is missing.", partial(_nearest, distance=lambda f, t: _euclidean(f, t) ** 2)),
        ("Your distances are roots of the *mean* square; take the sum over the features.", partial(_nearest, distance=lambda f, t: _euclidean(f, t) / np.sqrt(f.shape[1]))),
        ("You sum absolute differences; take the Euclidean distance.", partial(_nearest, distance=lambda f, t: np.abs(f[:, None] - t).sum(-1))),
        ("These are the farthest training faces; sort the other way.", partial(_nearest, sign=-1)),
        ("You leave out the nearest one, as one does when the faces themselves are in the list. Here they are not.", partial(_nearest, first=1)),
        ("Return k columns; you return all training faces.", lambda f, t, k: _nearest(f, t, len(t))),
        ("The roles are exchanged: for each of the *faces* the nearest *training faces*.", lambda f, t, k: _nearest(t, f, k)),
        ("The axes are exchanged: a row for each face, a column for each neighbour.", lambda f, t, k: [x.T for x in _nearest(f, t, k)]),
        ("You found the right neighbours, but not in order: the nearest comes first.", lambda f, t, k: [x[:, ::-1] for x in _nearest(f, t, k)]),
        ("The indices are right, but the distances do not belong to them: np.take_along_axis(distances, indices, axis=1).", lambda f, t, k: (_nearest(f, t, k)[0], _euclidean(f, t)[:, :k])),
        ("Sort each face's own row (axis=1).", lambda f, t, k: (np.argsort(_euclidean(f, t), axis=0)[:, :k], np.sort(_euclidean(f, t), axis=0)[:, :k])),
    ],
    names=("indices", "distances"), dtypes=(np.integer, None), tolerance=1e-3,
    rule="A row for each face, the nearest training face first (np.argpartition does not sort).",
    praise="the nearest first, each with its own distance; and an exact copy has the distance 0.",
)  # fmt: skip

# --- a walk with even steps ---------------------------------------------------------------------------


def _lengths(features):
    return np.linalg.norm(np.diff(features, axis=0), axis=1)


def _even_times(times, features, count, steps=_lengths):
    way = np.append(0.0, np.cumsum(steps(np.asarray(features, "float64"))))
    return np.interp(np.linspace(0, way[-1], count), way, times)


def _path(n, d, count, start=0.0, end=1.0, scale=1.0, dtype="float64"):
    times = np.sort(np.append([0, 1], _rng.uniform(0.02, 0.98, n - 2)))
    steps = _rng.normal(size=(n - 1, d)) * np.linspace(0.3, 3, n - 1)[_rng.permutation(n - 1), None]
    features = np.concatenate([np.zeros((1, d)), np.cumsum(steps, axis=0)]) + 4
    return (start + (end - start) * times).astype(dtype), (scale * features).astype(dtype), count


def _way(f):
    return np.append(0.0, np.cumsum(_lengths(f)))


ZERO = "np.interp(ways, way_so_far, times): the way so far is one number for each of `times`, and begins with 0. (np.cumsum alone leaves this 0 out.)"
EVEN = Exercise(
    _even_times,
    cases=[
        (np.array([0.0, 0.5, 1.0]), np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]]), 4), _path(6, 2, 7), _path(6, 2, 4),
        _path(40, 8, 11, -1.0, 2.5, 10.0), _path(5, 3, 20, 0.2, 0.6, 0.1), _path(12, 4, 2, 0.0, 5.0),
        _path(30, 16, 6, dtype="float32"), _path(4, 1, 5, 2.0, 3.0),
    ],
    mistakes=[
        ("You return the ways, not the times at which they are reached: np.interp(ways, way_so_far, times).", lambda t, f, n: np.linspace(0, _way(f)[-1], n)),
        ("These are equal steps in *time*. Where the pictures change quickly, the times must lie closer together.", lambda t, f, n: np.linspace(t[0], t[-1], n)),
        ("Your walk goes from 0 to 1. The first and the last time are those of `times`.", lambda t, f, n: np.interp(np.linspace(0, _way(f)[-1], n), _way(f), (t - t[0]) / (t[-1] - t[0]))),
        ("Your walk supposes that `times` are equally far apart; use the argument.", lambda t, f, n: np.interp(np.linspace(0, _way(f)[-1], n), _way(f), np.linspace(t[0], t[-1], len(t))), lambda t, f, n: np.interp(np.linspace(0, _way(f)[-1], n), _way(f), np.linspace(0, 1, len(t)))),
        ("You add up squared steps; a step is the length of the difference: np.linalg.norm.", partial(_even_times, steps=lambda f: _lengths(f) ** 2)),
        ("You measure a step by the sum of absolute differences; take its length, np.linalg.norm(..., axis=1).", partial(_even_times, steps=lambda f: np.abs(np.diff(f, axis=0)).sum(1))),
        ("You measure how long the features are. A step is between neighbours: np.diff(features, axis=0).", partial(_even_times, steps=lambda f: np.linalg.norm(f[1:], axis=1)), partial(_even_times, steps=lambda f: np.linalg.norm(f[:-1], axis=1))),
        ("You measure the distance from the start. Add up the steps: the walk may turn.", lambda t, f, n: np.interp(np.linspace(0, np.linalg.norm(f[-1] - f[0]), n), np.linalg.norm(f - f[0], axis=1), t)),
        ("np.interp has its arguments exchanged: it asks 'at which time is this way reached?', so the way is x.", lambda t, f, n: np.interp(np.linspace(t[0], t[-1], n), t, _way(f) / _way(f)[-1]), lambda t, f, n: np.interp(np.linspace(t[0], t[-1], n), t, _way(f)), lambda t, f, n: np.interp(np.linspace(0, _way(f)[-1], n), t, _way(f))),
        (ZERO, lambda t, f, n: np.interp(np.linspace(0, _way(f)[-1], n), _way(f)[1:], t[1:]), lambda t, f, n: np.interp(np.linspace(_way(f)[1], _way(f)[-1], n), _way(f)[1:], t[1:]), lambda t, f, n: np.interp(np.linspace(0, _way(f)[-1], n), np.cumsum(_lengths(f)), t)),
        ("The last time is missing: both ends belong to the walk (np.linspace with endpoint).", lambda t, f, n: np.interp(np.linspace(0, _way(f)[-1], n, endpoint=False), _way(f), t)),
        ("There is one time too many: `count` counts both ends.", lambda t, f, n: _even_times(t, f, n + 1)),
        ("There is one time too few: `count` counts both ends.", lambda t, f, n: _even_times(t, f, n - 1)),
        ("Both ends belong to the walk: the first and the last time are those of `times`.", lambda t, f, n: _even_times(t, f, n + 2)[1:-1]),
    ],
    tolerance=1e-4, rule="Equal parts of the whole way, and for each the time at which it is reached.",
    praise="equal steps in feature space, from the first time to the last.",
)  # fmt: skip

equalised, minibatch_deviation, fade = EQUALISED.check, STDDEV.check, FADE.check
alpha_at, nearest, even_times = ALPHA_AT.check, NEAREST.check, EVEN.check

# What a lesson goes on with where the student's own answer is not right yet.
right_equalised, right_minibatch_deviation, right_fade = EQUALISED.right, STDDEV.right, FADE.right
right_alpha_at, right_even_times = ALPHA_AT.right, EVEN.right
