"""Exercises about pictures and what is written about them: bytes and units, the crop, the correlation."""

# ruff: noqa: E501  (a mistake a line)
import numpy as np

from gan_course.exercises.engine import Exercise, passed

_rng = np.random.default_rng(0)
EVERY = np.arange(256, dtype="uint8")


def _to_unit(images):
    return np.asarray(images, "float32") / np.float32(127.5) - 1


OVERFLOW = "It begins with uint8, and a byte holds nothing above 255 or below 0: make it float32 before you calculate."
TO_UNIT = Exercise(
    _to_unit,
    cases=[
        (np.array([[10, 20], [30, 200]], "uint8"),), (EVERY,), (np.array([7, 7, 7], "uint8"),),
        (_rng.integers(40, 200, (2, 3, 4, 3), dtype="uint8"),), (_rng.integers(0, 256, (5, 2), dtype="uint8"),),
    ],
    mistakes=[
        ("You give 0..1. Here black is -1 and white is 1: the range is twice as wide and begins at -1.", lambda x: x / 255),
        ("You divide by 128, so white becomes 0.992. The middle of 0..255 is 127.5.", lambda x: x / 128 - 1),
        ("You subtract 128 and divide by 128. The middle of 0..255 is 127.5.", lambda x: (x - 128.0) / 127.5),
        ("The -1 is missing: you give 0..2.", lambda x: x / 127.5),
        ("You only shift the range. Divide by 127.5 as well.", lambda x: x - 127.5),
        ("Black and white are exchanged: black is -1.", lambda x: 1 - x / 127.5),
        ("You stretch from the darkest to the brightest byte. Black is 0 and white is 255 in all pictures.", lambda x: 2 * (x - 1.0 * x.min()) / np.ptp(x) - 1),
        (OVERFLOW, lambda x: (x * 2) / 255 - 1, lambda x: (x * np.uint8(2) - np.uint8(255)) / 255, lambda x: (x - np.uint8(127)) / 127.5),
    ],
    dtypes=(np.float32,), tolerance=1e-5, rule="It is a straight line from 0 -> -1 to 255 -> 1.",
)  # fmt: skip


def _from_unit(images):
    return np.clip(np.rint((np.asarray(images, "float64") + 1) * 127.5), 0, 255).astype("uint8")


def _units(values):
    """Numbers like a network's, for bytes with a part of a byte: never half-way, where two ways of rounding differ."""
    return (np.asarray(values) / 127.5 - 1).astype("float32")


WRAPS = "What lies outside of -1..1 must become 0 or 255. Bytes wrap around: use np.clip before astype."
FROM_UNIT = Exercise(
    _from_unit,
    cases=[
        (_units([[20.3, 99.8], [200.2, 254.7]]),), (_units(EVERY + np.tile([0.3, -0.3], 128)),),
        (_units(EVERY - np.tile([0.3, -0.3], 128)),),
        (_units(_rng.integers(1, 255, (2, 3, 4, 3)) + _rng.uniform(-0.4, 0.4, (2, 3, 4, 3))),),
        (_units([[-40.2, 30.7, 270.3], [300.6, -9.8, 256.1]]),),
        (np.array([1.02, -1.2, 3.5, 0.3333, -7.0], "float32"),),
    ],
    mistakes=[
        ("`astype` cuts the decimals off: use np.rint before it.", lambda x: np.clip((x + 1) * 127.5, 0, 255).astype("uint8")),
        (WRAPS, lambda x: np.rint((x + 1) * 127.5).astype("int64").astype("uint8"), lambda x: np.rint((x + 1) * 127.5).astype("uint8")),
        ("Two things are missing: np.rint against cut decimals, and np.clip against what lies outside.", lambda x: ((x + 1) * 127.5).astype("uint8")),
        ("You multiply by 128, or by 256 / 2. A byte ends at 255, and 255 / 2 is 127.5.", lambda x: np.clip(np.rint((x + 1) * 128), 0, 255).astype("uint8")),
        ("You multiply by 255, so your input is 0..1. Here it is -1..1.", lambda x: np.clip(np.rint(x * 255), 0, 255).astype("uint8")),
        ("The + 1 is missing: -1 must become 0.", lambda x: np.clip(np.rint(x * 127.5), 0, 255).astype("uint8")),
        ("You round up, so your bytes are up to one too large. np.rint rounds to the nearest whole number.", lambda x: np.clip(np.ceil((x + 1) * 127.5), 0, 255).astype("uint8")),
        ("The numbers are right but not rounded, and not bytes: np.rint, then astype.", lambda x: np.clip((x + 1) * 127.5, 0, 255)),
        ("Black and white are exchanged.", lambda x: np.clip(np.rint((1 - x) * 127.5), 0, 255).astype("uint8")),
    ],
    dtypes=(np.uint8,), tolerance=1e-5,
)  # fmt: skip


def units(to_unit, from_unit):
    """Check `to_unit`: bytes 0..255 -> float32 -1..1, and `from_unit`: back, rounded and clipped."""
    TO_UNIT.judge(to_unit)
    FROM_UNIT.judge(from_unit)
    passed("0..255 becomes -1..1, and every byte finds its way back.")


# --- the crop -----------------------------------------------------------------------------------------


def _square_crop(width, height, side=min, half=lambda space: space // 2):
    side = side(width, height)
    left, upper = half(width - side), half(height - side)
    return left, upper, left + side, upper + side


def _box(change):
    return lambda w, h: change(*_square_crop(w, h), w, h)


SIZES = "The last two numbers are positions (right, lower), not sizes."
OFF = "Your square is one pixel smaller than it can be: right = left + side, and lower = upper + side."
SQUARE_CROP = Exercise(
    _square_crop,
    cases=[(178, 218), (218, 178), (128, 128), (89, 109), (3, 10), (10, 3), (640, 481), (63, 200), (1, 8), (255, 256)],
    mistakes=[
        ("That is the article's mistake: it takes the height for 208. Use `height`, not a fixed number.", lambda w, h: (0, 15, w, 15 + w), lambda w, h: (0, 15, 178, 193)),
        ("You take the box of 178x218 for every picture. Use `width` and `height`.", lambda w, h: (0, 20, 178, 198)),
        ("A box is in whole pixels: use // instead of /.", lambda w, h: _square_crop(w, h, half=lambda s: s / 2)),
        ("Where the space is odd, round down: use //.", lambda w, h: _square_crop(w, h, half=lambda s: (s + 1) // 2)),
        ("Where the space is odd, round down: use //, not round.", lambda w, h: _square_crop(w, h, half=lambda s: round(s / 2))),
        ("The side of the square is the shorter side of the picture, not always the width.", lambda w, h: _square_crop(w, h, side=lambda w, h: w)),
        ("The side of the square is the shorter side of the picture, not always the height.", lambda w, h: _square_crop(w, h, side=lambda w, h: h)),
        ("The side of the square is the shorter side of the picture, not the longer one.", lambda w, h: _square_crop(w, h, side=max)),
        (SIZES, _box(lambda x, y, r, b, w, h: (x, y, r - x, b - y))),
        ("The square is not centred: the same space is left on both sides.", _box(lambda x, y, r, b, w, h: (0, 0, r - x, b - y))),
        (OFF, _box(lambda x, y, r, b, w, h: (x, y, r - 1, b - 1))),
        ("The order is (left, upper, right, lower), from `width` and `height` in this order.", _box(lambda x, y, r, b, w, h: (y, x, b, r)), _box(lambda x, y, r, b, w, h: (x, r, y, b))),
        ("Where the space is odd, your box is no square: right is left + side, and lower is upper + side.", _box(lambda x, y, r, b, w, h: (x, y, w - x, h - y))),
        ("You give the whole picture; it is no square.", lambda w, h: (0, 0, w, h)),
    ],
    names=("left", "upper", "right", "lower"), tolerance=1e-9,
    praise="the largest centred square, for any size of picture.",
)  # fmt: skip


# --- correlation --------------------------------------------------------------------------------------


def _covariance(a, b, ddof=0):
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    return np.sum((a - a.mean()) * (b - b.mean())) / (len(a) - ddof)


def _correlate(a, b):
    spread = np.std(a, dtype="float64") * np.std(b, dtype="float64")
    return _covariance(a, b) / spread if spread else 0.0


def _pair(count, share, agree, dtype="float32"):
    a = _rng.permutation((np.arange(count) < share * count).astype(dtype))
    return a, np.where(_rng.permutation(np.arange(count) < agree * count), a, 1 - a).astype(dtype)


DDOF = "The mean divides by n in one place and by n - 1 in the other (ddof): take np.mean and np.std, which both divide by n."
FLAT = "Where an attribute is the same for all, its standard deviation is 0: return 0.0 before you divide."
some, equal = _pair(9, 0.4, 1)
_two = _pair(8, 0.5, 0.6)[0]
CORRELATION = Exercise(
    _correlate,
    cases=[
        _pair(6, 0.4, 0.6), _pair(500, 0.3, 0.8), _pair(200, 0.6, 0.2), _pair(12, 0.3, 0.7, "int8"),
        _pair(25, 0.5, 0.9, "int64"), (some, equal), (some, 1 - some),
    ],
    edges=[
        (FLAT, (some, np.zeros_like(some))), (FLAT, (np.zeros_like(_two), _two)), (FLAT, (_two, np.ones_like(_two))),
        (FLAT, (np.zeros_like(_two), np.zeros_like(_two))),
    ],
    mistakes=[
        ("That is the covariance. Divide it by both standard deviations, and it lies between -1 and 1.", _covariance, lambda a, b: _covariance(a, b, 1)),
        ("You divide by the variances. Divide by the standard deviations: np.std, or the square root of np.var.", lambda a, b: _covariance(a, b) / (a.var() * b.var())),
        ("You divide by one standard deviation only; divide by both.", lambda a, b: _covariance(a, b) / a.std(), lambda a, b: _covariance(a, b) / b.std()),
        ("Subtract each mean before you multiply: correlation asks whether both are *above their own average* together.", lambda a, b: np.mean(a * b) / (a.std() * b.std()), lambda a, b: np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))),
        ("You sum the products; take their mean.", lambda a, b: len(a) * _correlate(a, b)),
        ("The sign is turned round: two equal arrays should give +1.", lambda a, b: -_correlate(a, b)),
        ("The sign is lost: an attribute and its opposite should give -1.", lambda a, b: abs(_correlate(a, b))),
        ("That is the square of it; the sign is lost.", lambda a, b: _correlate(a, b) ** 2),
        ("You count how often the two are equal. Two attributes that nearly nobody has agree often by chance: use the formula.", lambda a, b: np.mean(a == b), lambda a, b: 2 * np.mean(a == b) - 1),
        (DDOF, lambda a, b: _covariance(a, b, 1) / (a.std() * b.std()), lambda a, b: _covariance(a, b) / (a.std(ddof=1) * b.std(ddof=1))),
        ("That is a table of four numbers. The correlation of a with b is the one at [0, 1].", lambda a, b: np.corrcoef(a, b)),
    ],
    praise="from -1 through 0 to 1, and safe for an attribute that nobody has.",
)  # fmt: skip

square_crop, correlation = SQUARE_CROP.check, CORRELATION.check
