"""Ways between two latent vectors: in a straight line, and on the sphere."""

import numpy as np

from gan_course.errors import CourseError

NEARLY = 1e-6  # radians; below it, sin of the angle has lost too many digits to divide by


def _prepared(a, b, t):
    """Return a, b (..., d) and t (..., 1) as float64, and the type of the result."""
    a, b = np.asarray(a), np.asarray(b)
    kind = np.result_type(a, b, np.float16)  # float32 stays float32, whole numbers become floats
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-1]:
        raise CourseError(f"The latent vectors have the shapes {a.shape} and {b.shape}; give (..., d) for both.")
    return a.astype("float64"), b.astype("float64"), np.asarray(t, "float64")[..., None], kind


def lerp(a, b, t):
    """Return the points at `t` on the straight line from a (t = 0) to b (t = 1).

        lerp(a, b, t) = (1 - t) a + t b

    a, b: (..., d). t: a number, or an array that is broadcast with the axes of a and b before the last. Two vectors
    (d,) and 10 times give (10, d); vectors (n, 1, d) and 10 times give (n, 10, d).

    Between two vectors from N(0, I) in many dimensions, which are nearly perpendicular and of length sqrt(d), the middle
    has the length sqrt(d / 2) only.
    """
    a, b, t, kind = _prepared(a, b, t)
    return ((1 - t) * a + t * b).astype(kind)


def slerp(a, b, t):
    """Return the points at `t` on the arc from a (t = 0) to b (t = 1), at equal angles for equal steps of t.

        slerp(a, b, t) = sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b,    w the angle between a and b

    Shoemake 1985 ("Animating rotation with quaternion curves"), section 3.3; for latent vectors: White 2016 ("Sampling
    generative networks"). Arguments as of `lerp`. Vectors of one length keep it all the way; else the length goes over
    from that of a to that of b.

    Parallel vectors have no arc between them: there the formula's limit, `lerp`, takes its place. Raises `CourseError`
    for opposite vectors (which of the many arcs?) and for a vector of length 0 (which has no direction).
    """
    a, b, t, kind = _prepared(a, b, t)
    lengths = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b)]
    if not all(length.all() for length in lengths):
        raise CourseError("A latent vector has length 0, so it has no direction; slerp needs two that have one.")
    u, v = a / lengths[0], b / lengths[1]
    # Kahan's form of the angle: exact where arccos(u . v) has lost half of its digits.
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=-1, keepdims=True), np.linalg.norm(u + v, axis=-1, keepdims=True))
    if (np.pi - angle < NEARLY).any():
        raise CourseError("Two latent vectors are opposite, and many arcs lead from one to the other; choose another.")
    parallel = angle < NEARLY
    sine = np.where(parallel, 1.0, np.sin(angle))
    arc = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / sine
    return np.where(parallel, (1 - t) * a + t * b, arc).astype(kind)
