"""Exercises about convolutions: stamps, the transposed convolution, its parameters, and a direction in latent space."""

# ruff: noqa: E501  (a mistake a line)
from functools import partial

import numpy as np

from gan_course.exercises.engine import Exercise

_rng = np.random.default_rng(2)

# --- stamps on one channel ----------------------------------------------------------------------------


def _page(image, kernel, stride, put=np.add, channels=None):
    """The stamps of all pixels on a page of the full size; `put` joins what is there and a stamp."""
    (height, width, _), k = image.shape, len(kernel)
    page = np.zeros(((height - 1) * stride + k, (width - 1) * stride + k, kernel.shape[2]))
    for i, j in np.ndindex(height, width):
        place = page[i * stride : i * stride + k, j * stride : j * stride + k]
        place[:] = put(place, kernel[..., :channels] @ image[i, j, :channels])
    return page


def _stamp(image, kernel, stride, **mistake):
    return _page(image[..., None], kernel[..., None, None], stride, **mistake)[..., 0]


def _onto(shape, dtype=float):
    """Return the loop for a page of shape(height, width, k, stride); NumPy's own message says what does not fit."""

    def loop(image, kernel, stride):
        k, page = len(kernel), np.zeros(shape(*image.shape, len(kernel), stride), dtype)
        for i, j in np.ndindex(*image.shape):
            page[i * stride : i * stride + k, j * stride : j * stride + k] += image[i, j] * kernel
        return page

    return loop


def _flat(height, width, k, stride, dtype="float64"):
    return _rng.normal(size=(height, width)).astype(dtype), _rng.normal(size=(k, k)).astype(dtype), stride


ENOUGH = "the last stamp begins in row (h - 1) * stride and is k rows high; the columns likewise."
WHOLE = "Your page holds whole numbers only. np.zeros(shape), without int, makes one for all numbers."
STAMP = Exercise(
    _stamp,
    cases=[
        (np.array([[1, 2], [3, 4]]), np.array([[1, 10], [100, 1000]]), 1),
        (np.array([[1, 2], [3, 4]]), np.arange(1, 10).reshape(3, 3), 2),
        _flat(2, 3, 4, 2), _flat(3, 2, 3, 3), _flat(3, 1, 2, 3), _flat(2, 5, 5, 2, "float32"), _flat(4, 2, 3, 1), _flat(1, 1, 3, 2),
    ],
    mistakes=[
        ("Where two stamps overlap the later one wins; they must be added (+=, not =).", lambda i, k, s: _stamp(i, k, s, put=lambda old, new: new)),
        ("The stamp is not multiplied by the pixel's value.", lambda i, k, s: _stamp(np.ones_like(i), k, s)),
        ("The kernel is turned by 180 degrees; a stamp uses it as it is.", lambda i, k, s: _stamp(i, k[::-1, ::-1], s)),
        ("The rows and columns of the kernel are exchanged.", lambda i, k, s: _stamp(i, k.T, s)),
        ("The stride is not used: pixel (i, j) stamps at row i * stride, column j * stride.", lambda i, k, s: _stamp(i, k, 1)),
        ("The stride is 2 in your function, whatever the argument says.", lambda i, k, s: _stamp(i, k, 2)),
        (WHOLE, _onto(lambda h, w, k, s: ((h - 1) * s + k, (w - 1) * s + k), int), lambda i, k, s: _stamp(i, k, s, put=lambda old, new: np.trunc(old + new))),
        (f"Your page is too large: {ENOUGH}", lambda i, k, s: np.pad(_stamp(i, k, s), (0, s)), lambda i, k, s: np.pad(_stamp(i, k, s), (0, 1))),
        (f"Your page is too small: {ENOUGH}", _onto(lambda h, w, k, s: (h * s, w * s)), _onto(lambda h, w, k, s: (h, w)), _onto(lambda h, w, k, s: ((h - 1) * s, (w - 1) * s))),
        ("Your page is square, and the picture need not be: the height and the width count for themselves.", _onto(lambda h, w, k, s: ((h - 1) * s + k, (h - 1) * s + k)), _onto(lambda h, w, k, s: ((w - 1) * s + k, (w - 1) * s + k))),
    ],
    rule=f"Pixel (i, j) stamps at row i * stride, column j * stride, and {ENOUGH}",
    praise="each pixel multiplies the kernel by its value and stamps it, and overlaps add.",
)  # fmt: skip

# --- the transposed convolution -----------------------------------------------------------------------


def _transposed(image, kernel, stride, cut=lambda k, stride: (k - stride) // 2, **mistake):
    top = cut(len(kernel), stride)
    height, width = image.shape[0] * stride, image.shape[1] * stride
    return _page(image, kernel, stride, **mistake)[top : top + height, top : top + width]


def _case(height, width, c_in, c_out, k, stride, dtype="float64"):
    image, kernel = _rng.normal(size=(height, width, c_in)), _rng.normal(size=(k, k, c_out, c_in))
    return image.astype(dtype), kernel.astype(dtype), stride


CUT = "(k - stride) // 2 rows go at the top, as many columns at the left, and the rest at the other sides."
TRANSPOSED = Exercise(
    _transposed,
    cases=[
        _case(2, 3, 1, 1, 4, 2),
        _case(3, 2, 2, 3, 4, 2),
        _case(3, 3, 2, 1, 5, 3),
        _case(2, 3, 1, 2, 3, 2),  # one row to cut: it goes at the bottom
        _case(3, 4, 2, 2, 5, 2, "float32"),
        _case(2, 2, 3, 3, 4, 2),
        _case(4, 2, 2, 2, 3, 1),
        _case(1, 1, 3, 2, 6, 2),
        _case(2, 3, 2, 3, 2, 2),
        _case(3, 1, 1, 2, 7, 4),
    ],
    mistakes=[
        ("Where two stamps overlap the later one wins; they must be added (+=, not =).", lambda i, k, s: _transposed(i, k, s, put=lambda old, new: new)),
        ("The kernel is turned by 180 degrees; a stamp uses it as it is.", lambda i, k, s: _transposed(i, k[::-1, ::-1], s)),
        ("The rows and columns of the kernel are exchanged.", lambda i, k, s: _transposed(i, np.swapaxes(k, 0, 1), s)),
        ("Only the first input channel is used; sum the stamps of all input channels.", lambda i, k, s: _transposed(i, k, s, channels=1)),
        ("The kernel's third axis holds the output channels, its fourth axis the input channels. You exchange them.", lambda i, k, s: _transposed(i, np.swapaxes(k, 2, 3), s)),
        (f"You return the full page; padding='same' cuts it: {CUT}", _page),
        (f"You cut only off the bottom and the right; {CUT}", lambda i, k, s: _transposed(i, k, s, cut=lambda k, s: 0)),
        (f"You cut only off the top and the left; {CUT}", lambda i, k, s: _transposed(i, k, s, cut=lambda k, s: k - s)),
        (f"Where k - stride is odd you cut one row too many off the top; {CUT}", lambda i, k, s: _transposed(i, k, s, cut=lambda k, s: (k - s + 1) // 2)),
        (f"You cut as if the stride were 1; {CUT}", lambda i, k, s: _transposed(i, k, s, cut=lambda k, s: (k - 1) // 2)),
        ("The stride is not used: neighbour i starts at row i * stride.", lambda i, k, s: _transposed(i, k, 1)),
        ("The stride is 2 in your function, whatever the argument says.", lambda i, k, s: _transposed(i, k, 2)),
    ],
    rule="Try a picture of zeros with a single 1 in its middle: the kernel must appear in the result.",
    praise="each pixel stamps the kernel, overlaps add, channels are summed, and the border is cut like Keras's.",
)  # fmt: skip

# --- the parameters -----------------------------------------------------------------------------------


def _generator_parameters(latent_dim, channels, kernel=16, norm=4, places=16, last=3, first=True):
    pairs = [a * b for a, b in zip(channels, (*channels[1:], 3), strict=True)]
    norms = norm * (sum(channels) - (0 if first else channels[0]))
    return latent_dim * places * channels[0] + norms + kernel * sum(pairs) + last


def _plus(change):
    return lambda n, c: _generator_parameters(n, c) + change(n, c)


NO_BIAS = "You count biases of layers before a batch norm; they have none."
PARAMETERS = Exercise(
    _generator_parameters,
    cases=[(7, (40, 20)), (64, (128, 64, 32, 16)), (100, (8,)), (16, (32, 48, 8)), (3, (5, 7, 11, 13, 17)), (1, (2, 1))],
    mistakes=[
        ("2 numbers per channel are missing: batch norm has four (scale, shift, and the moving mean and variance, which are not trained but counted).", partial(_generator_parameters, norm=2)),
        ("Batch norm is missing: four numbers per channel, after the Dense layer too.", partial(_generator_parameters, norm=0)),
        ("The first batch norm, right after the Dense layer, is missing.", partial(_generator_parameters, first=False)),
        ("You count a batch norm after the last layer; none follows it.", _plus(lambda n, c: 12)),
        ("The batch norm after the Dense layer is on each of its 4x4 places in your count; it has four numbers per channel.", _plus(lambda n, c: 60 * c[0])),
        ("The last layer's 3 biases are missing: no batch norm follows it, so it has them.", partial(_generator_parameters, last=0)),
        (NO_BIAS, _plus(lambda n, c: sum(c[1:])), _plus(lambda n, c: sum(c)), _plus(lambda n, c: 16 * c[0]), _plus(lambda n, c: 16 * c[0] + sum(c[1:])), _plus(lambda n, c: sum(c[1:]) - 3), _plus(lambda n, c: 16 * c[0] + sum(c[1:]) - 3)),
        ("The Dense layer is missing: latent_dim times 4 * 4 * channels[0].", partial(_generator_parameters, places=0)),
        ("The Dense layer makes 4x4 positions, each with channels[0] numbers.", partial(_generator_parameters, places=1)),
        ("The Dense layer makes 4x4 positions: 16 of them, not 4.", partial(_generator_parameters, places=4)),
        ("The last transposed convolution, to 3 colours, is missing its kernel.", _plus(lambda n, c: -48 * c[-1])),
        ("The last transposed convolution, to 3 colours, is missing.", _plus(lambda n, c: -48 * c[-1] - 3)),
        ("The last transposed convolution makes 3 colours, not 1.", _plus(lambda n, c: -32 * c[-1])),
        ("A kernel is 4x4 here, so 16 numbers for each pair of channels, not 9.", partial(_generator_parameters, kernel=9)),
        ("A kernel is 4x4 here, so 16 numbers for each pair of channels, not 25.", partial(_generator_parameters, kernel=25)),
        ("A kernel is 4x4 here, so 16 numbers for each pair of channels, not 1.", partial(_generator_parameters, kernel=1)),
        ("A kernel is 4x4 here, so 16 numbers for each pair of channels, not 4.", partial(_generator_parameters, kernel=4)),
    ],
    tolerance=1e-12,
    praise=f"a generator with channels (128, 64, 32, 16) has {_generator_parameters(64, (128, 64, 32, 16)):,} parameters.",
)  # fmt: skip

# --- a direction in latent space ----------------------------------------------------------------------


def _direction(latents, scores, share=0.25, high=1.0, low=1.0):
    order, count = np.argsort(scores), max(1, int(len(scores) * share))
    return _unit(high * latents[order[-count:]].mean(0) - low * latents[order[:count]].mean(0))


def _unit(v):
    return v / np.linalg.norm(v)


def _length(latents, scores, length):
    """The difference of the means, divided by another length or by none."""
    order, count = np.argsort(scores), len(scores) // 4
    way = latents[order[-count:]].mean(0) - latents[order[:count]].mean(0)
    return way / length(way)


def _scored(n, d, scale=1.0, dtype="float64"):
    """Latent vectors, not centred, so that one mean alone is not enough; scores that are more often low than high."""
    latents = _rng.normal(size=(n, d)) + _rng.normal(size=d)
    scores = scale * (np.exp(latents @ _rng.normal(size=d) / np.sqrt(d) + 0.3 * _rng.normal(size=n)) - 1)
    return latents.astype(dtype), scores.astype(dtype)


DIRECTION = Exercise(
    _direction,
    cases=[_scored(4, 2), _scored(8, 3), _scored(400, 16), _scored(40, 5, 100.0), _scored(200, 64, 0.01, "float32")],
    mistakes=[
        ("The sign is wrong: the direction must go from low scores to high ones (high minus low).", lambda z, s: -_direction(z, s)),
        ("This is the mean of the high quarter alone; subtract the mean of the low quarter.", lambda z, s: _direction(z, s, low=0)),
        ("This is the mean of the high quarter alone; subtract the mean of the low quarter, and divide by the length.", lambda z, s: z[np.argsort(s)[-len(s) // 4 :]].mean(0)),
        ("You compare the two halves; compare the highest quarter with the lowest.", lambda z, s: _direction(z, s, 0.5)),
        ("You compare the two halves, above and below the mean score; compare the highest quarter with the lowest.", lambda z, s: _unit(z[s > s.mean()].mean(0) - z[s <= s.mean()].mean(0))),
        ("You compare one single face with another; take the means of two quarters.", lambda z, s: _unit(z[np.argmax(s)] - z[np.argmin(s)])),
        ("You do not sort by the scores: these are the last and the first quarter of the rows as they come.", lambda z, s: _unit(z[-(len(s) // 4) :].mean(0) - z[: len(s) // 4].mean(0))),
        ("You take the quarters of the *range* of the scores; a quarter of the faces is meant.", lambda z, s: _unit(z[s >= s.min() + 0.75 * np.ptp(s)].mean(0) - z[s <= s.min() + 0.25 * np.ptp(s)].mean(0))),
        ("The direction is right, but not divided by its length.", lambda z, s: _length(z, s, lambda way: 1)),
        ("The direction is right, but divided by its squared length; the root is missing.", lambda z, s: _length(z, s, lambda way: way @ way)),
        ("The direction is right, but divided by the sum of absolute values; its length is np.linalg.norm.", lambda z, s: _length(z, s, lambda way: np.abs(way).sum())),
    ],
    rule="np.argsort(scores) gives the rows from the lowest score to the highest.",
    praise="one unit vector, from the low quarter to the high quarter.",
)  # fmt: skip

stamp, transposed, generator_parameters = STAMP.check, TRANSPOSED.check, PARAMETERS.check
direction = DIRECTION.check
# What a lesson goes on with until the student's own function is right.
right_stamp, right_generator_parameters, right_direction = _stamp, _generator_parameters, _direction
