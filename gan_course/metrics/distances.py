"""Distances between two clouds of points: the features of real pictures and of generated ones."""

import math

import numpy as np

from gan_course.errors import CourseError

NEIGHBOURS = 3  # of precision and recall, as in the paper
SUBSETS, SUBSET_SIZE = 100, 1000  # of the kernel distance, as in the paper's code


def _clouds(a, b, least=2):
    """Return both feature arrays as float64; raise `CourseError` for what has no distance."""
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not a.shape[1]:
        raise CourseError(f"The features have the shapes {a.shape} and {b.shape}; give (n, d) and (m, d).")
    if min(len(a), len(b)) < least:
        raise CourseError(f"There are {len(a)} and {len(b)} pictures; give at least {least} of each kind.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise CourseError("The features hold NaN or infinity; look at the pictures and the network they come from.")
    return a, b


def _finite(value):
    if not np.isfinite(value):
        raise CourseError("The features are too large for float64, so their distance is not finite; scale them down.")
    return float(value)


def frechet_distance(a, b):
    """Return the Frechet distance between normal distributions fitted to two sets of features.

        |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))

    `a`: (n, d), `b`: (m, d); n and m may be smaller than d. The covariances C are the unbiased ones (divided by
    n - 1), as in clean-fid and torch-fidelity. 0 for equal clouds; no upper limit. The fewer pictures, the larger
    the distance (even real against real is not 0), so compare only distances of equal counts.

    No matrix root is needed. With C_a = A^T A and C_b = B^T B, where A are the centred features / sqrt(n - 1),
    the eigenvalues of C_a C_b are those of (A B^T)(A B^T)^T, so the trace of the root is the sum of the singular
    values of A B^T. That is real and exact for singular covariances too, where `scipy.linalg.sqrtm` may become
    complex. Where n > d, a d x d triangle takes A's place (see `_factor`): the same C_a, fewer rows.

    Heusel et al. 2017 ("GANs Trained by a Two Time-Scale Update Rule..."), equation 6. Raises `CourseError` for
    other shapes, fewer than 2 pictures, and features that are not finite.
    """
    a, b = _clouds(a, b)
    with np.errstate(over="ignore", invalid="ignore"):  # told by `_finite`
        mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
        a, b = (a - mean_a) / math.sqrt(len(a) - 1), (b - mean_b) / math.sqrt(len(b) - 1)
        parts = _finite(((mean_a - mean_b) ** 2).sum() + (a**2).sum() + (b**2).sum())
        root = np.linalg.svd(_factor(a) @ _factor(b).T, compute_uv=False).sum()
    return max(0.0, _finite(parts - 2.0 * root))  # rounding takes equal clouds to either side of 0


def _factor(x):
    """Return R with R^T R = x^T x and no more rows than columns.

    The Cholesky factor takes a fifth of the time of QR. But x^T x has lost the small directions of x, by up to the
    root of float64's rounding; so where a pivot is small (or there is no factor), R comes from x = QR instead.
    """
    if len(x) <= x.shape[1]:
        return x
    try:
        triangle = np.linalg.cholesky(x.T @ x).T
        pivots = triangle.diagonal()
        if pivots.min() > 1e-4 * pivots.max():
            return triangle
    except np.linalg.LinAlgError:
        pass
    return np.linalg.qr(x, mode="r")


def kernel_distance(a, b, subsets=SUBSETS, size=SUBSET_SIZE, seed=0):
    """Return (mean, standard error) of the kernel distance, the squared MMD with a polynomial kernel.

        k(x, y) = (x.y / d + 1)^3
        MMD^2   = mean of k over pairs in a + mean of k over pairs in b - 2 mean of k over pairs of a and b

    A picture is not paired with itself, which makes the estimate unbiased: its expected value does not depend on
    the counts, and for equal distributions it is 0 (so it may come out a little below 0). `a`: (n, d), `b`: (m, d).

    The mean is over `subsets` subsets of `size` pictures of each set, drawn without replacement; `size` is cut to
    half of the smaller set. The subsets overlap, so their spread divided by sqrt(subsets) would be far too small
    an error; the standard error given is the delete-d jackknife's, spread * sqrt(size / (n - size)), n the
    smaller count: how much another draw of all the pictures would move the mean. Where both sets come from one
    distribution it is too large, by sqrt(1 + n / size) and so at least 1.7 times. (Papers often give the spread.)

    Binkowski et al. 2018 ("Demystifying MMD GANs"), section 4, there called KID; Shao and Wu 1989 for the error.
    Raises `CourseError` as `frechet_distance`, for fewer than 4 pictures, and for wrong `subsets` or `size`.
    """
    a, b = _clouds(a, b, least=4)
    if subsets < 2 or size < 2:
        raise CourseError(f"There are {subsets} subsets of size {size}; give at least 2 for both.")
    count = min(len(a), len(b))
    size = min(size, count // 2)
    random = np.random.default_rng(seed)

    def choose(points):  # (points, subsets), 1 where a point belongs to a subset
        chosen = np.zeros((points, subsets))
        for column in chosen.T:
            column[random.choice(points, size, replace=False)] = 1.0
        return chosen

    in_a, in_b = choose(len(a)), choose(len(b))
    with np.errstate(over="ignore", invalid="ignore"):
        within = _kernel_sums(a, a, in_a, in_a) + _kernel_sums(b, b, in_b, in_b)
        for x, chosen in ((a, in_a), (b, in_b)):
            within -= ((x**2).mean(axis=1) + 1.0) ** 3 @ chosen  # a picture with itself
        values = within / (size * (size - 1)) - 2.0 * _kernel_sums(a, b, in_a, in_b) / size**2
    spread = values.std(ddof=1)
    return _finite(values.mean()), _finite(spread * math.sqrt(size / (count - size)))


def _kernel_sums(x, y, in_x, in_y, rows=1024):
    """Return (subsets,): the sum of k over all pairs of each subset.

    The kernel of every pair is computed once for all subsets, a block of `rows` at a time so that memory stays small.
    """
    total = np.zeros(in_x.shape[1])
    for start in range(0, len(x), rows):
        block = slice(start, start + rows)
        kernel = (x[block] @ y.T / x.shape[1] + 1.0) ** 3
        total += (in_x[block] * (kernel @ in_y)).sum(axis=0)
    return total


def precision_recall(real, fake, k=NEIGHBOURS):
    """Return (precision, recall), both from 0 to 1.

    A set's region is the union of balls around its points, each as wide as the distance to the point's k-th nearest
    neighbour in the same set. Precision: the share of `fake` (m, d) in the region of `real` (n, d), so how many
    faces lie among real ones. Recall: the share of `real` in the region of `fake`, so how much of the variety is there.
    Both depend on the counts; compare only equal ones. Give as many fakes as reals.

    Precision is no judge of a single picture: it sees what the feature network sees, and one ball of a rare real face
    is large. With the judge of photographs, plain grey pictures got 1.00, faces cut into shuffled blocks 0.85 and real
    faces 0.88 (data/README.md). The Frechet distance tells them apart.

    Kynkaanniemi et al. 2019 ("Improved Precision and Recall Metric..."), equations 1 to 3. Distances are computed
    in blocks, so memory stays small. Raises `CourseError` as `frechet_distance`, and for k below 1 or too large.
    """
    if k < 1:
        raise CourseError(f"k is {k}; give 1 or more neighbours.")
    real, fake = _clouds(real, fake, least=k + 1)
    middle = real.mean(axis=0)  # distances stay the same and lose fewer digits
    real, fake = real - middle, fake - middle
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def _share_inside(points, centres, k, rows=1024):
    """Return the share of `points` that lie in the region of `centres`."""
    radii = []
    for start, squares in _squared_distances(centres, centres, rows):
        squares[np.arange(len(squares)), start + np.arange(len(squares))] = np.inf  # nobody is its own neighbour
        radii.append(np.partition(squares, k - 1, axis=1)[:, k - 1])
    radii = np.concatenate(radii)
    inside = [(squares <= radii).any(axis=1) for _, squares in _squared_distances(points, centres, rows)]
    return float(np.concatenate(inside).mean())


def _squared_distances(x, y, rows):
    norms = (y**2).sum(axis=1)
    for start in range(0, len(x), rows):
        block = x[start : start + rows]
        yield start, np.maximum((block**2).sum(axis=1)[:, None] + norms - 2.0 * block @ y.T, 0.0)


def evenly_spaced(length, count):
    """Return `count` of the rows 0 .. length - 1, evenly spaced; all where there are fewer."""
    return np.linspace(0, length - 1, min(count, length)).round().astype(int)


def cosines(a, b):
    """Return the cosine of the angle between each row of `a` and the same row of `b`, both (n, d): (n,)."""
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.maximum(sizes, 1e-12)


def distances(real, fake):
    """Return {frechet, kernel, kernel_error, precision, recall} of two sets of features.

    The first two use all of both sets. Precision and recall use as many of each as the smaller set has.
    """
    equal = min(len(real), len(fake))
    kernel, error = kernel_distance(real, fake)
    precision, recall = precision_recall(real[evenly_spaced(len(real), equal)], fake[evenly_spaced(len(fake), equal)])
    return {
        "frechet": frechet_distance(real, fake),
        "kernel": kernel,
        "kernel_error": error,
        "precision": precision,
        "recall": recall,
    }
