"""Feature axes: directions in latent space that change one attribute of a face (TL-GAN, Guan 2018).

A generator G turns latent vectors into faces, and an attribute network F tells their attributes. So F(G(z)) labels as many
z as one wants, and a regression from z to the label has a slope: the direction in which the attribute grows most. With
it a trained generator can be steered, and nothing is trained again:

    found = find_axes(generator, network, attributes)
    latent = sampling.fixed_latent(6, 128)
    older = found.move(latent, {"Young": -15}, locked=["Male"])       # 15 degrees; the prediction of Male stays

The article, "Generating custom photo-realistic faces using AI": https://blog.insightdatascience.com, its code:
https://github.com/SummitKwan/transparent_latent_gan.
"""

import json
import warnings
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from scipy.linalg import qr
from sklearn.linear_model import LinearRegression, LogisticRegression

from gan_course.backend import bfloat16, compiled, no_gradient, ops, to_numpy
from gan_course.errors import CourseError, CourseWarning, whole_number
from gan_course.files import atomic_write
from gan_course.latent import sampling
from gan_course.layers import fitted
from gan_course.progress import progress
from gan_course.weights import weights_sha256

METHODS = ("linear", "logistic", "means")
PRECISIONS = ("float32", "mixed_bfloat16")
STEPS = {"z": (5.0, "degrees"), "w": (0.5, "standard deviations of w")}  # one step of an editor
SUREST = 6.0  # logits beyond -6..6 all mean 'sure'; the official code cuts at the same probability
LEAST = 0.1  # of an axis must be left after the locks; what is less is mostly the noise of the estimate
POLE = 30.0  # degrees: a walk on the sphere comes no nearer to its axis
BATCH = 50  # faces at once


def find_axes(
    generator,
    network,
    names,
    *,
    space="z",
    count=20000,
    seed=0,
    method="linear",
    ridge=0.0,
    precision="float32",
    **about,
):
    """Return the `Axes` of a generator: draw, tell the attributes, fit.

    network: an attribute network whose logits are those of `names`, such as 'attributes-toon-steer'. Never the judge: it
    shall tell afterwards how good the axes are. space: 'z', or 'w' of a StyleGAN. count, seed: of the random latent
    vectors. method: see `fit`. ridge: of `dual`, 0: none. precision: see `label`. about: `generator_name` and
    `network_name`, to write down.

    An attribute that never changes has no axis; it is left out, and a `CourseWarning` names it. Raises `CourseError` for
    wrong values.
    """
    _checked_ridge(ridge)  # before the long work
    codes, logits = label(generator, network, space=space, count=count, seed=seed, precision=precision)
    directions = dual(fit(codes, logits, method), ridge)
    has = directions.any(axis=1)
    if not has.all():
        lost = ", ".join(name for name, ok in zip(names, has, strict=True) if not ok)
        warnings.warn(f"The drawn faces are all alike in {lost}; that has no axis.", CourseWarning, stacklevel=2)
    if not has.any():
        raise CourseError("The drawn faces are alike in every attribute; give a generator that is trained.")
    return Axes(
        names=tuple(name for name, ok in zip(names, has, strict=True) if ok),
        directions=directions[has],
        space=space,
        unit=1.0 if space == "z" else float(np.sqrt(codes.var(axis=0).mean())),
        method=method,
        ridge=ridge,
        precision=precision,
        count=count,
        seed=seed,
        weights_sha256=weights_sha256(generator),
        network_sha256=weights_sha256(network),
        **about,
    )


def label(generator, network, *, space="z", count=20000, seed=0, precision="float32"):
    """Return (codes float32 (count, d), logits float32 (count, k)): random latent vectors, and what the network says.

    The codes are z ~ N(0, I), or w = f(z) for the space 'w'. Pictures never leave the graph: nothing is written to disk.
    They are resized for the network where its input has another size.

    precision: 'mixed_bfloat16' lets TensorFlow multiply in bfloat16 where the CPU is quick at it (`backend.bfloat16`): then it takes
    about half the time, and about 2 decisions of 1,000 are others. Elsewhere it changes nothing, so bits differ between computers.
    """
    if precision not in PRECISIONS:
        raise CourseError(f"There is no precision '{precision}' here; choose one of {', '.join(PRECISIONS)}.")
    sampling.needs_space(generator, space)
    count = whole_number("count", count, 2, 10**7)
    latent = sampling.fixed_latent(count, sampling.latent_dim(generator), seed)

    @compiled
    def told(z):
        w = generator.map(z) if space == "w" else None
        pictures = generator(z, training=False) if w is None else generator.synthesize(w)
        pictures = fitted(ops.clip(pictures, -1.0, 1.0), network)
        return (z if w is None else w[:, 0]), network(pictures, training=False)

    parts = []
    for start in progress(range(0, count, BATCH), desc="faces", unit="batch"):
        part = latent[start : start + BATCH]
        with no_gradient(), bfloat16(precision != "float32"):
            # The last batch is filled up: one shape, so one graph.
            parts.append([to_numpy(x)[: len(part)] for x in told(np.resize(part, (BATCH, latent.shape[1])))])
    codes, logits = (np.concatenate(x) for x in zip(*parts, strict=True))
    if not np.isfinite(logits).all():
        raise CourseError("The generator draws NaN or infinity; train it anew with a smaller learning rate.")
    return codes, logits


def fit(codes, logits, method="linear"):
    """Return unit axes float64 (k, d) from codes (n, d) to logits (n, k).

        linear      slopes of least squares of the logits, cut to -6..6       (as in the article's code)
        logistic    slopes of logistic regression of the decisions logits > 0
        means       the mean code of the faces that have the attribute, minus that of the others

    'means' follows what the attribute goes along with in the drawn faces; a regression takes out what other coordinates
    explain. A row is 0 where all faces are alike.
    """
    if method not in METHODS:
        raise CourseError(f"There is no method '{method}'; choose one of {', '.join(METHODS)}.")
    codes, logits = np.asarray(codes, "float64"), np.asarray(logits, "float64")
    if method == "linear":
        return unit(LinearRegression().fit(codes, np.clip(logits, -SUREST, SUREST)).coef_)
    slopes = np.zeros((logits.shape[1], codes.shape[1]))
    for k, has in enumerate((logits > 0).T):
        if 0 < has.sum() < len(has):
            if method == "logistic":
                slopes[k] = LogisticRegression(max_iter=1000).fit(codes, has).coef_[0]
            else:
                slopes[k] = codes[has].mean(axis=0) - codes[~has].mean(axis=0)
    return unit(slopes)


def _checked_ridge(ridge):
    if not (np.isfinite(ridge) and ridge >= 0):
        raise CourseError(f"The ridge is {ridge}; give 0 (none) or a positive number.")
    return ridge


def dual(directions, ridge):
    """Return unit axes (k, d) that leave the others alone a little: a soft lock of all other axes at once.

        A' = (A A^T + ridge I)^-1 A,   each row then of length 1

    A: unit rows (k, d). ridge 0: A as it is. A small ridge locks all others nearly, and leaves little of an axis that has close
    neighbours; a large one leaves the axes as they are. Raises `CourseError` for a negative number.
    """
    directions = np.asarray(directions, "float64")
    if not _checked_ridge(ridge):
        return directions
    gram = directions @ directions.T
    return unit(np.linalg.solve((gram + ridge * np.eye(len(gram))) / (1 + ridge), directions))


def unit(rows):
    """Return rows (k, d) of length 1; rows that are (nearly) 0 become 0."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.where(lengths > 1e-9, rows / np.maximum(lengths, 1e-9), 0.0)


def basis(directions):
    """Return an orthonormal basis (d, m) of the space that the rows of `directions` span; m may be less than their number.

    A QR decomposition with pivots: it does not ask for an order, and a direction that others span already adds nothing.
    """
    directions = np.asarray(directions, "float64")
    if not len(directions):
        return np.zeros((directions.shape[1], 0))
    q, r, _ = qr(directions.T, mode="economic", pivoting=True)
    return q[:, : (np.abs(np.diag(r)) > 1e-8).sum()]


def disentangle(directions, locked):
    """Return (directions (k, d), left (k,)): every axis but the locked ones made orthogonal to all locked ones.

        a' = a - Q Q^T a,   then length 1,   Q an orthonormal basis of the locked axes

    directions: unit rows. locked: their numbers; these rows stay as they are. left: how long a' was before it got length 1
    again, so the sine of the angle between the axis and the locked space. Where less than `LEAST` is left, the row is 0 and not
    what rounding and chance have left of it: such an axis says nothing that the locked ones do not.
    """
    directions, locked = np.asarray(directions, "float64"), list(locked)
    q = basis(directions[locked])
    rest = directions - (directions @ q) @ q.T
    rest -= (rest @ q) @ q.T  # again: the first time leaves rounding errors, large beside a small rest
    left = np.linalg.norm(rest, axis=1)
    result = np.where(left[:, None] >= LEAST, unit(rest), 0.0)
    result[locked], left[locked] = directions[locked], 1.0
    return result, left


def turn(latent, way, degrees, kept=None):
    """Return latent vectors (n, d) turned by `degrees` on their sphere towards `way`, (d,) or (n, d), along a great circle.

        z' = |z| (cos t u + sin t s),    u = z / |z|,   s: the unit vector of (way - (way . u) u)

    A ProGAN divides z by its length, so only its direction counts, and steps are angles. All great circles towards `way` end
    at its pole, where every start gives the same face; so the walk ends 30 degrees before it.

    kept: an orthonormal basis (d, m) of what shall stay, orthogonal to `way`: then only the rest of z turns, and the
    coordinates in the basis are the same before and after. z keeps its length in any case.
    """
    latent = np.asarray(latent)
    z, way = latent.astype("float64"), np.asarray(way, "float64")
    stays = 0.0 if kept is None else (z @ kept) @ kept.T
    free = z - stays
    length = np.linalg.norm(free, axis=-1, keepdims=True)
    u, way = unit(free), unit(way)
    near = (u * way).sum(axis=-1, keepdims=True)
    s = unit(way - near * u)
    most = np.maximum(0.0, np.degrees(np.arccos(np.clip(near, -1, 1))) - POLE)
    angle = np.radians(np.minimum(degrees, most))
    turned = stays + length * (np.cos(angle) * u + np.sin(angle) * s)
    moves = s.any(axis=-1, keepdims=True) & (angle != 0)  # else exactly as it was
    return np.where(moves, turned, z).astype(latent.dtype)


def drawer(generator, space="z"):
    """Return a function: codes -> pictures, as one graph. Codes: z (n, d), or w (n, L, d) for the space 'w'."""
    draw = compiled(generator.synthesize if space == "w" else lambda z: generator(z, training=False))

    def pictures(codes):
        with no_gradient():
            return to_numpy(draw(ops.convert_to_tensor(codes, "float32")))

    return pictures


@dataclass(frozen=True)
class Axes:
    """The axes of one generator. names: k attributes. directions: unit rows, float64 (k, d).

    space: 'z' (steps in degrees on the sphere) or 'w' (steps along a straight line, in `unit`s: the standard deviation of a
    coordinate of w). method, count, seed, ridge and precision: how they were found. weights_sha256, network_sha256: of the generator
    they belong to, and of the attribute network. generator_name, network_name: what people call them.
    """

    names: tuple
    directions: np.ndarray
    space: str
    unit: float
    method: str
    count: int
    seed: int
    weights_sha256: str
    network_sha256: str
    generator_name: str = ""
    network_name: str = ""
    ridge: float = 0.0
    precision: str = "float32"

    def numbers(self, names):
        """Return the row numbers of `names`; raise `CourseError` for an unknown one."""
        for name in names:
            if name not in self.names:
                raise CourseError(f"There is no axis '{name}'; choose from {', '.join(self.names)}.")
        return [self.names.index(name) for name in names]

    def locked(self, names):
        """Return `disentangle` with the axes of these names locked."""
        return disentangle(self.directions, self.numbers(names))

    def move(self, codes, amounts, locked=(), layers=None):
        """Return codes moved along axes: z (n, d) turned on its sphere, or w (n, L, d) shifted.

        amounts: {name: degrees, or `unit`s of w}, negative for the other way. Several ways are added to one, so the order does
        not matter, and the opposite amounts are not needed to come back: keep the start. locked: names whose axes shall not be
        followed; what the regression predicts of them stays. layers: of w, which to move; None: all.

        Raises `CourseError` for an unknown name, for one that is locked, and for one of which the locks leave nothing.
        """
        directions, left = self.locked(locked)
        way = np.zeros(directions.shape[1])
        for name, amount in amounts.items():
            (i,) = self.numbers([name])
            if not np.isfinite(amount):
                raise CourseError(f"The amount of {name} is {amount}; give a number.")
            if amount and name in locked:
                raise CourseError(f"{name} is locked; unlock it, or do not move it.")
            if amount and left[i] < LEAST:
                raise CourseError(
                    f"{name} is nearly the same as what is locked ({left[i]:.0%} of its axis is left); unlock a part of it."
                )
            way += amount * directions[i]
        if self.space == "z":
            kept = basis(self.directions[self.numbers(locked)])
            return turn(codes, way, np.linalg.norm(way), kept)
        codes = np.asarray(codes)
        all_layers = range(codes.shape[1])
        layers = all_layers if layers is None else layers
        if not set(layers) <= set(all_layers):
            raise CourseError(f"The layers are {list(layers)}; choose from 0 to {len(all_layers) - 1}.")
        chosen = np.isin(all_layers, list(layers))[:, None]
        return (codes + chosen * self.unit * way).astype(codes.dtype)

    def start(self, latent, generator, psi=1.0):
        """Return the codes of latent vectors in the space of the axes; psi: of StyleGAN's truncation, in the space 'w'."""
        if self.space == "z":
            return np.asarray(latent, "float32")
        with no_gradient():
            return to_numpy(generator.map(latent, psi=psi))

    def check(self, generator, name="this generator"):
        """Raise `CourseError` unless these are the axes of `generator`."""
        if weights_sha256(generator) != self.weights_sha256:
            whose = self.generator_name or "another generator"
            raise CourseError(
                f"The axes are of other weights ({whose}) than those of {name}; find its own with "
                "'python -m gan_course axes'."
            )

    def save(self, path):
        """Write an .npz file without pickle, whole or not at all."""
        values = asdict(self)
        arrays = {"names": np.array(values.pop("names")), "directions": values.pop("directions")}
        with atomic_write(path) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, about=np.array(json.dumps(values)), **arrays)

    @classmethod
    def load(cls, path):
        """Return what `save` wrote; raise `CourseError` for a file that is something else."""
        try:
            with np.load(Path(path)) as stored:
                names, directions = tuple(stored["names"].tolist()), stored["directions"]
                values = json.loads(str(stored["about"]))
            if directions.shape != (len(names), directions.shape[-1]) or not np.isfinite(directions).all():
                raise ValueError("its axes have another shape than its names")
            known = {f.name for f in fields(cls)}
            return cls(names=names, directions=directions, **{k: v for k, v in values.items() if k in known})
        except FileNotFoundError:
            raise CourseError(f"There is no file '{path}'; make it with 'python -m gan_course axes'.") from None
        except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise CourseError(f"'{path}' holds no axes ({error}); make it with 'python -m gan_course axes'.") from error
