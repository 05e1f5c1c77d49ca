"""Exercises about StyleGAN: AdaIN, mixing, truncation, the mixing table, the path length, StyleGAN2's kernel."""

# ruff: noqa: E501  (a mistake a line)
from functools import partial

import numpy as np

from gan_course.exercises.engine import Exercise

_rng = np.random.default_rng(6)

# --- adaptive instance normalisation ------------------------------------------------------------------


def _normed(x, axes=(1, 2), ddof=0, root=lambda v: np.sqrt(v + 1e-8), centre=True):
    x = np.asarray(x, "float64")
    mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, ddof=ddof, keepdims=True)
    return (x - mean * centre) / root(variance)


def _adain(x, scale, shift, one=1.0, **options):
    return _normed(x, **options) * (one + scale[:, None, None, :]) + shift[:, None, None, :]


def _maps(n, height, width, channels, size=1.0, dtype="float64"):
    x = _rng.normal(size=(n, height, width, channels)) * _rng.uniform(0.5, 3, (n, 1, 1, channels))
    x += _rng.normal(size=(n, 1, 1, channels))
    scale, shift = _rng.normal(size=(2, n, channels))
    return (size * x).astype(dtype), scale.astype(dtype), shift.astype(dtype)


def _flat(n, height, width, channels):
    x, scale, shift = _maps(n, height, width, channels)
    x[:, :, :, 0] = 3.0
    return x, scale, shift


FLAT = "A map here is the same everywhere, so its variance is 0. The 1e-8 belongs under the root: then 0 / 1e-4 + shift comes out."
PLACES = "Mean and variance are taken over the places of *one map of one picture*: axis=(1, 2), keepdims=True."
ADAIN = Exercise(
    _adain,
    cases=[
        _maps(1, 2, 3, 2), _maps(2, 4, 5, 3), _maps(3, 6, 2, 4), _maps(5, 4, 3, 2, dtype="float32"), _maps(2, 8, 7, 1),
        _maps(4, 3, 5, 6, size=10.0), _maps(3, 4, 5, 2, size=1e-4), _maps(2, 5, 6, 4, size=1e-4),
    ],
    edges=[(FLAT, _flat(2, 3, 4, 3)), (FLAT, _flat(3, 5, 2, 2))],
    mistakes=[
        ("Multiply by 1 + scale, not by scale: then a style of zeros leaves the normalised maps as they are.", partial(_adain, one=0.0)),
        (f"You take mean and variance over the pictures, too; that is batch norm. {PLACES}", partial(_adain, axes=(0, 1, 2))),
        (f"You take mean and variance over the channels, too; so a map keeps its size next to the others. {PLACES}", partial(_adain, axes=(1, 2, 3))),
        (f"You normalise over the channels at each pixel, nearly as PixelNorm does. {PLACES}", partial(_adain, axes=(3,))),
        (f"You normalise over the height only. {PLACES}", partial(_adain, axes=(1,))),
        (f"You normalise over the width only. {PLACES}", partial(_adain, axes=(2,))),
        ("You divide the sum of squares by the count less 1 (ddof=1); NumPy's default divides by the count.", partial(_adain, ddof=1)),
        ("You divide by the variance; divide by its root.", partial(_adain, root=lambda v: v + 1e-8)),
        ("The 1e-8 is missing under the root.", partial(_adain, root=lambda v: np.sqrt(v) + 1e-8), partial(_adain, root=np.sqrt)),
        ("You do not subtract the mean of the map.", partial(_adain, centre=False)),
        ("You subtract the mean, but do not divide by the deviation.", partial(_adain, root=np.ones_like)),
        ("scale and shift are exchanged.", lambda x, s, b: _adain(x, b, s)),
        ("The shift is added before the scale multiplies; add it last.", lambda x, s, b: (_normed(x) + b[:, None, None]) * (1 + s[:, None, None])),
        ("The shift is missing.", lambda x, s, b: _adain(x, s, 0 * b)),
        ("The scale is missing.", lambda x, s, b: _adain(x, 0 * s, b)),
        ("The 1 belongs to the scale only, not to the shift.", lambda x, s, b: _adain(x, s, 1 + b)),
        ("You use one number for a whole picture. Each channel has a scale and a shift of its own.", lambda x, s, b: _adain(x, s.mean(1, keepdims=True) + 0 * s, b.mean(1, keepdims=True) + 0 * b)),
        ("Every picture gets the style of the first one; scale and shift have a row for each picture.", lambda x, s, b: _adain(x, s[:1], b[:1])),
        ("scale and shift are (n, c) and must meet (n, h, w, c): give them two more axes, scale[:, None, None, :].", lambda x, s, b: _normed(x) * (1 + s) + b),
    ],
    rule="Normalise each map of each picture over its places, then (1 + scale) times that, plus shift.",
    praise="each map of each picture has now the mean `shift` and the deviation |1 + scale|.",
)  # fmt: skip

# --- mixing -------------------------------------------------------------------------------------------


def _mix(first, second, crossover):
    layer = np.arange(first.shape[1])[None, :, None]
    return np.where(layer < crossover, first, second)


def _two(n, layers, size, crossover, dtype="float64"):
    first, second = _rng.normal(size=(2, n, layers, size)).astype(dtype)
    return first, second, crossover


MIX = Exercise(
    _mix,
    cases=[
        _two(1, 4, 3, 2), _two(3, 6, 2, 1), _two(2, 10, 5, 4, "float32"), _two(4, 6, 7, 5), _two(5, 8, 4, 3),
        _two(2, 6, 4, 6), _two(3, 4, 5, 0),
    ],
    mistakes=[
        ("The roles are exchanged: the layers *before* the crossover are the first face's.", lambda a, b, c: _mix(b, a, c)),
        ("The crossover is one too late: the layer `crossover` is the first one of the second face.", lambda a, b, c: _mix(a, b, c + 1)),
        ("The crossover is one too early: the layers 0 to crossover - 1 are the first face's.", lambda a, b, c: _mix(a, b, c - 1)),
        ("Only the layer `crossover` itself comes from the second face; all later ones do.", lambda a, b, c: np.where(np.arange(a.shape[1])[None, :, None] == c, b, a)),
        ("You cut along the pictures (axis 0). The layers are axis 1: first[:, :crossover].", lambda a, b, c: np.concatenate([a[:c], b[c:]])),
        ("You cut along the numbers of w (axis 2). The layers are axis 1: first[:, :crossover].", lambda a, b, c: np.concatenate([a[..., :c], b[..., c:]], axis=2)),
        ("You return the mean of both; each layer takes all of its w from one face.", lambda a, b, c: (a + b) / 2),
        ("You join whole faces; take only the layers before the crossover from the first, and only the others from the second.", lambda a, b, c: np.concatenate([a, b], axis=1)),
    ],
    rule="Layers 0 to crossover - 1 from `first`, all others from `second`.",
    praise="coarse layers from the first face, the others from the second; no w is changed.",
)  # fmt: skip

# --- truncation ---------------------------------------------------------------------------------------


def _truncate(w, average, psi, cutoff, at=np.less, towards=lambda w, average, psi: average + psi * (w - average)):
    layer = np.arange(w.shape[1])[None, :, None]
    return np.where(at(layer, cutoff), towards(w, average, psi), w)


def _styles(n, layers, size, psi, cutoff, dtype="float64"):
    w = _rng.normal(size=(n, layers, size)) + 1.5
    return w.astype(dtype), (_rng.normal(size=size) + 1).astype(dtype), psi, cutoff


TRUNCATE = Exercise(
    _truncate,
    cases=[
        _styles(1, 4, 3, 0.5, 2), _styles(3, 6, 2, 0.7, 4), _styles(2, 10, 5, 0.7, 8, "float32"), _styles(4, 6, 7, 0.3, 1),
        _styles(2, 8, 3, -0.5, 5), _styles(3, 6, 4, 0.0, 3), _styles(2, 6, 5, 1.0, 4), _styles(5, 4, 6, 0.7, 0),
    ],
    mistakes=[
        ("You multiply w itself, so it shrinks to 0. It shall come nearer to the average: average + psi * (w - average).", partial(_truncate, towards=lambda w, a, psi: psi * w)),
        ("psi works the wrong way round: psi = 1 leaves w as it is, psi = 0 gives the average.", partial(_truncate, towards=lambda w, a, psi: w + psi * (a - w))),
        ("You forget to add the average again: average + psi * (w - average).", partial(_truncate, towards=lambda w, a, psi: psi * (w - a))),
        ("The sign is wrong: it is average *plus* psi * (w - average).", partial(_truncate, towards=lambda w, a, psi: a - psi * (w - a))),
        ("You change the average by psi and keep w whole: average + psi * (w - average).", partial(_truncate, towards=lambda w, a, psi: psi * a + w - a)),
        ("You go to the mean of these few w; `average` is the mean over very many.", lambda w, a, psi, c: _truncate(w, w.mean(axis=(0, 1)), psi, c)),
        ("You go to the mean of each face's own layers (which are all alike). Use `average`.", lambda w, a, psi, c: _truncate(w, w.mean(axis=1, keepdims=True), psi, c)),
        ("You truncate all layers; only those below `cutoff`.", lambda w, a, psi, c: _truncate(w, a, psi, w.shape[1])),
        ("You truncate the wrong layers: those below `cutoff` (the coarse ones), not the others.", partial(_truncate, at=np.greater_equal)),
        ("You truncate one layer too many: layer < cutoff, not <=.", partial(_truncate, at=np.less_equal)),
        ("You truncate one layer too few: the last one is cutoff - 1.", lambda w, a, psi, c: _truncate(w, a, psi, c - 1)),
        ("You return the truncated layers only; the others belong to the answer, unchanged.", lambda w, a, psi, c: (a + psi * (w - a))[:, :c]),
        ("You cut along the pictures (axis 0). The layers are axis 1.", lambda w, a, psi, c: np.where(np.arange(len(w))[:, None, None] < c, a + psi * (w - a), w)),
    ],
    rule="average + psi * (w - average) in the layers below `cutoff`, w in all others.",
    praise="psi = 1 changes nothing, psi = 0 gives the average face, and the layers from `cutoff` on stay as they are.",
)  # fmt: skip

# --- the mixing table ---------------------------------------------------------------------------------


def _mixing_table(destinations, sources, layers):
    table = np.repeat(np.asarray(destinations)[:, None], len(sources), axis=1)
    table[:, :, layers] = np.asarray(sources)[None][:, :, layers]
    return table


def _groups(m, n, count, size, layers, dtype="float64"):
    return _rng.normal(size=(m, count, size)).astype(dtype), _rng.normal(size=(n, count, size)).astype(dtype), layers


TABLE = Exercise(
    _mixing_table,
    cases=[
        _groups(2, 3, 4, 2, [0, 1]), _groups(3, 2, 6, 3, [2, 3]), _groups(4, 2, 6, 5, [5], "float32"), _groups(1, 3, 4, 2, [1]),
        _groups(2, 4, 10, 3, [0, 1, 2, 3]), _groups(3, 1, 6, 2, [0, 4]), _groups(2, 3, 6, 4, []),
    ],
    mistakes=[
        ("Rows and columns are exchanged: the destinations are the rows (axis 0), the sources the columns (axis 1).", lambda d, s, layers: _mixing_table(d, s, layers).swapaxes(0, 1)),
        ("The roles are exchanged: `layers` come from the source, all others from the destination.", lambda d, s, layers: _mixing_table(s, d, layers).swapaxes(0, 1), lambda d, s, layers: _mixing_table(s, d, layers)),
        ("You return one long list of faces. Wanted is a table: (m, n, L, d).", lambda d, s, layers: _mixing_table(d, s, layers).reshape(-1, *d.shape[1:])),
        ("You replace the layers 0 to len(layers) - 1; take the layers that are named.", lambda d, s, layers: _mixing_table(d, s, list(range(len(layers))))),
        ("You mix the source in with a half; each layer takes all of its w from one face.", lambda d, s, layers: (_mixing_table(d, s, layers) + d[:, None]) / 2),
        ("All columns are alike: take the j-th source in column j.", lambda d, s, layers: _mixing_table(d, s[:1].repeat(len(s), 0), layers)),
        ("All rows are alike: take the i-th destination in row i.", lambda d, s, layers: _mixing_table(d[:1].repeat(len(d), 0), s, layers)),
        ("You return the replaced layers only. The others are part of the face.", lambda d, s, layers: _mixing_table(d, s, layers)[:, :, layers]),
    ],
    rule="table[i, j] is destination i, with `layers` of source j.",
    praise="every destination with `layers` of every source; an empty list gives the destinations themselves.",
)  # fmt: skip

# --- the path length ----------------------------------------------------------------------------------


def _lengths(before, after, epsilon):
    return ((np.asarray(after, "float64") - np.asarray(before, "float64")) ** 2).sum(axis=1) / epsilon**2


def _path_length(before, after, epsilon, lengths=_lengths, low=100, high=100, mean=np.mean):
    found = np.sort(lengths(before, after, epsilon))
    count = len(found)
    return mean(found[count // low if low else 0 : count - (count // high if high else 0)])


def _steps(n, d, epsilon, dtype="float64"):
    before = _rng.normal(size=(n, d))
    way = _rng.normal(size=(n, d)) * _rng.uniform(0.5, 6, (n, 1)) ** 2
    return before.astype(dtype), (before + epsilon * way).astype(dtype), epsilon


TRIM = "Leave out the count // 100 smallest and the count // 100 largest lengths: sort, then cut both ends."
PATH = Exercise(
    _path_length,
    cases=[
        _steps(5, 3, 0.1), _steps(1, 4, 0.05), _steps(100, 2, 0.1), _steps(250, 5, 0.01), _steps(330, 3, 0.02),
        _steps(199, 4, 0.05), _steps(400, 1, 0.1, "float32"),
    ],
    mistakes=[
        ("Divide by epsilon squared: the distance above it is squared, too.", partial(_path_length, lengths=lambda b, a, e: _lengths(b, a, e) * e)),
        ("You do not divide by epsilon ** 2, so the number depends on how small a step you took.", partial(_path_length, lengths=lambda b, a, e: _lengths(b, a, e) * e**2)),
        ("The distance is not squared: |after - before| ** 2 / epsilon ** 2.", partial(_path_length, lengths=lambda b, a, e: np.sqrt(_lengths(b, a, e))), partial(_path_length, lengths=lambda b, a, e: np.sqrt(_lengths(b, a, e)) / e)),
        ("You take the mean over the features; a squared distance is their sum.", partial(_path_length, lengths=lambda b, a, e: _lengths(b, a, e) / b.shape[1])),
        ("You sum absolute differences; take squares.", partial(_path_length, lengths=lambda b, a, e: np.abs(a - b).sum(axis=1) ** 2 / e**2), partial(_path_length, lengths=lambda b, a, e: np.abs(a - b).sum(axis=1) / e**2)),
        (f"You keep all pairs. {TRIM}", partial(_path_length, low=0, high=0)),
        (f"You cut the largest only. {TRIM}", partial(_path_length, low=0)),
        (f"You cut the smallest only. {TRIM}", partial(_path_length, high=0)),
        (f"You cut half a percent at each end. {TRIM}", partial(_path_length, low=200, high=200)),
        (f"You cut two percent at each end. {TRIM}", partial(_path_length, low=50, high=50)),
        (f"You cut before you sort. {TRIM}", lambda b, a, e: _lengths(b, a, e)[len(a) // 100 : len(a) - len(a) // 100].mean()),
        ("You add the lengths up; take their mean.", partial(_path_length, mean=np.sum)),
        ("You take the median; wanted is the mean of what is left.", partial(_path_length, mean=np.median)),
        ("You return a length for each pair; wanted is their mean, one number.", lambda b, a, e: _lengths(b, a, e)),
    ],
    rule="|after - before| ** 2 / epsilon ** 2 for each pair, without one percent at each end, then the mean.",
    praise="the squared speed of the features, averaged over the pairs, without the tails.",
)  # fmt: skip

# --- StyleGAN2's kernel -------------------------------------------------------------------------------


def _demodulated(kernel, style, one=1.0, axes=(0, 1, 2), root=np.sqrt, total=np.sum):
    modulated = np.asarray(kernel, "float64") * (one + np.asarray(style))[:, None]
    return modulated / root(total(modulated**2, axis=axes, keepdims=True) + 1e-8)


def _kernel(size, channels_in, out, scale=1.0, dtype="float64"):
    kernel = scale * _rng.normal(size=(size, size, channels_in, out)) * _rng.uniform(0.5, 2, out)
    return kernel.astype(dtype), _rng.normal(size=channels_in).astype(dtype)


DEMODULATED = Exercise(
    _demodulated,
    cases=[
        _kernel(3, 2, 3), _kernel(1, 5, 2), _kernel(3, 4, 4), _kernel(3, 8, 5, dtype="float32"), _kernel(5, 1, 3),
        _kernel(3, 6, 2, 10.0), _kernel(3, 3, 4, 2e-5), _kernel(1, 4, 3, 5e-5),
    ],
    mistakes=[
        ("Modulate with 1 + style, not with style.", partial(_demodulated, one=0.0)),
        ("You modulate only: divide by the size of each output's weights as well.", lambda k, s: k * (1 + s)[:, None]),
        ("You demodulate only: multiply by 1 + style first.", lambda k, s: _demodulated(k, 0 * s)),
        ("The order is wrong: first modulate, then divide by the size that the weights have *then*.", lambda k, s: _demodulated(k, 0 * s) * (1 + s)[:, None]),
        ("Each *output* map has a size of its own: sum over the places and the maps in, axes 0, 1 and 2, and not over the outputs.", partial(_demodulated, axes=(0, 1, 2, 3))),
        ("You sum over the outputs (axis 3). Sum over the places and the maps in: axes 0, 1 and 2.", partial(_demodulated, axes=(0, 1, 3))),
        ("You sum over the places only; the maps in (axis 2) count, too.", partial(_demodulated, axes=(0, 1))),
        ("You sum over the maps in only; the places (axes 0 and 1) count, too.", partial(_demodulated, axes=(2,))),
        ("You divide by the sum of squares; divide by its root.", partial(_demodulated, root=lambda v: v)),
        ("You divide by the root of the *mean* square; take the sum.", partial(_demodulated, total=np.mean)),
        ("The 1e-8 is missing under the root.", lambda k, s: _demodulated(k, s, root=lambda v: np.sqrt(np.maximum(v - 1e-8, 0)) + 1e-8)),
        ("The style belongs to the maps *in* (axis 2 of the kernel): (1 + style)[:, None].", lambda k, s: k * (1 + s)),
    ],
    rule="(1 + style) times the kernel along axis 2, then divided by the root of the sum of squares over axes 0, 1 and 2.",
    praise="the weights of each output have the size 1, whatever the style is.",
)  # fmt: skip

adain, mix, truncate = ADAIN.check, MIX.check, TRUNCATE.check
mixing_table, path_length, demodulated = TABLE.check, PATH.check, DEMODULATED.check

# What a lesson goes on with where the student's own answer is not right yet.
right_adain, right_mix, right_truncate = ADAIN.right, MIX.right, TRUNCATE.right
right_mixing_table, right_path_length, right_demodulated = TABLE.right, PATH.right, DEMODULATED.right
