"""Self-checks of lesson 00: bytes and units, the crop, the correlation."""

import numpy as np

from gan_course.checks import expect, passed


def units(to_unit, from_unit):
    """`to_unit`: bytes 0..255 -> float32 -1..1. `from_unit`: back, rounded and clipped."""
    every = np.arange(256, dtype=np.uint8)
    unit = to_unit(every)
    expect(unit is not None, "to_unit returns nothing; end it with `return ...`.")
    unit = np.asarray(unit)
    expect(unit.shape == every.shape, f"to_unit changes the shape from {every.shape} to {unit.shape}.")
    low, high = float(unit[0]), float(unit[-1])
    expect(
        not (np.isclose(low, 0) and np.isclose(high, 1)),
        "to_unit gives 0..1. Here black is -1 and white is 1: the range is twice as wide and begins at -1.",
    )
    expect(
        not np.isclose(high, 255 / 128 - 1),
        "to_unit divides by 128, so white becomes 0.992. The middle of 0..255 is 127.5.",
    )
    expect(
        np.isclose(low, -1, atol=1e-6) and np.isclose(high, 1, atol=1e-6),
        f"to_unit turns 0 into {low:.3f} and 255 into {high:.3f}; they should become -1 and 1. "
        "If one of them looks wild, a byte has overflowed: make it float32 before you calculate.",
    )
    exact = every.astype("float64") / 127.5 - 1
    expect(
        np.allclose(unit, exact, atol=1e-5),
        "The two ends of to_unit are right, the middle is not: it is a straight line.",
    )
    expect(unit.dtype == np.float32, f"to_unit gives {unit.dtype}; networks here want float32.")

    back = from_unit(exact.astype("float32"))
    expect(back is not None, "from_unit returns nothing; end it with `return ...`.")
    back = np.asarray(back)
    expect(back.dtype == np.uint8, f"from_unit gives {back.dtype}; a picture on disk is uint8.")
    lost = int((back != every).sum())
    expect(
        lost == 0,
        f"{lost} of the 256 bytes come back changed. `astype` cuts decimals off: use np.rint before it.",
    )
    outside = np.asarray(from_unit(np.array([-1.2, 1.2], "float32")))
    expect(
        outside.tolist() == [0, 255],
        f"from_unit turns -1.2 and 1.2 into {outside.tolist()}. Bytes wrap around: use np.clip before astype.",
    )
    passed("0..255 becomes -1..1, and every byte finds its way back.")


def square_crop(crop):
    """`crop(width, height)` -> (left, upper, right, lower) of the largest centred square."""
    for width, height in ((178, 218), (218, 178), (128, 128), (89, 109), (3, 10)):
        box = crop(width, height)
        expect(box is not None, "Your function returns nothing; end it with `return left, upper, right, lower`.")
        expect(len(tuple(box)) == 4, f"A box has four numbers, yours has {len(tuple(box))}.")
        left, upper, right, lower = box
        name = f"For {width}x{height} your box is {tuple(box)}. "
        expect(
            all(float(v).is_integer() for v in box),
            name + "A box is in whole pixels: use // instead of /.",
        )
        side = min(width, height)
        expect(
            (width, height) != (178, 218) or upper != 15,
            name + "That is the article's slip: it takes the height for 208. Use `height`, not a fixed number.",
        )
        expect(
            0 <= left and 0 <= upper and right <= width and lower <= height,
            name + "It reaches outside of the picture. Is it the shorter side that gives the square's side?",
        )
        expect(right > left and lower > upper, name + "The last two numbers are positions (right, lower), not sizes.")
        expect(
            right - left == lower - upper,
            name + f"It is {right - left} wide and {lower - upper} high: no square. "
            "The last two numbers are positions (right, lower), not sizes.",
        )
        expect(right - left == side, name + f"The largest square has the side {side}, the shorter side of the picture.")
        expected = (width - side) // 2, (height - side) // 2
        expect(
            abs(left - expected[0]) <= 1 and abs(upper - expected[1]) <= 1,
            name + f"It is not centred: the same space is left on both sides, here {expected}.",
        )
        expect(
            (left, upper) == expected,
            name + "Where the space is odd, let // round down, as the package does.",
        )
    passed("the largest centred square, for any size of picture.")


def correlation(correlate):
    """`correlate(a, b)`: the correlation of two arrays of 0 and 1, from -1 to 1."""
    rng = np.random.default_rng(0)
    a = (rng.random(500) < 0.3).astype("float32")
    b = np.where(rng.random(500) < 0.7, a, 1 - a).astype("float32")
    right = float(np.corrcoef(a, b)[0, 1])
    covariance = float(np.mean((a - a.mean()) * (b - b.mean())))
    got = correlate(a, b)
    expect(got is not None, "Your function returns nothing; end it with `return ...`.")
    expect(np.ndim(got) == 0, f"A correlation is one number; yours has the shape {np.shape(got)}.")
    got = float(got)
    for ddof in (0, 1):
        expect(
            not np.isclose(got, covariance * 500 / (500 - ddof), atol=1e-4),
            "That is the covariance. Divide it by both standard deviations, and it lies between -1 and 1.",
        )
    variances = float(a.var() * b.var())
    expect(
        not np.isclose(got, covariance / variances, atol=1e-3),
        "You divide by the variances. Divide by the standard deviations: np.std, or the square root of np.var.",
    )
    raw = float(np.mean(a * b) / (a.std() * b.std()))
    expect(
        not np.isclose(got, raw, atol=1e-3),
        "Subtract each mean before you multiply: correlation asks whether both are *above their own average* together.",
    )
    expect(not np.isclose(got, -right, atol=1e-3), "The sign is turned round: two equal arrays should give +1.")
    expect(not np.isclose(got, right**2, atol=1e-4), "That is the square of it; the sign is lost.")
    expect(np.isclose(got, right, atol=3e-3), f"Here {right:.3f} is right, and you give {got:.3f}.")
    expect(np.isclose(float(correlate(a, 1 - a)), -1, atol=5e-3), "An attribute and its opposite should give -1.")
    with np.errstate(all="ignore"):
        flat = float(correlate(a, np.zeros_like(a)))
    expect(
        flat == 0,
        f"An attribute that nobody has gives {flat}. Its standard deviation is 0; return 0.0 before you divide.",
    )
    passed("from -1 through 0 to 1, and safe for an attribute that nobody has.")
