"""Projection: the w whose picture is nearest to a given face (Karras et al. 2020, StyleGAN2, appendix D)."""

from dataclasses import dataclass

import numpy as np

from gan_course.backend import Tape, keras, ops, to_numpy
from gan_course.errors import CourseError
from gan_course.progress import progress

LATENTS = 4096  # behind the mean and the spread of w, and the candidates for a start


@dataclass(frozen=True)
class Projection:
    """What was found for n faces.

    w: (n, L, latent_dim), for `generator.synthesize`. pictures: float32 (n, h, w, 3), what it draws. distance: (n,), the
    value that was made small. steps: how many were taken.
    """

    w: np.ndarray
    pictures: np.ndarray
    distance: np.ndarray
    steps: int


def project(
    generator, faces, features=None, *, space="w", steps=150, rate=0.05, features_weight=0.3, start=None, seed=0
):
    """Return the `Projection` of faces float32 (n, h, w, 3) in [-1, 1] into the space of w of a StyleGAN generator.

        distance(w) = mean (G(w) - face)^2 + features_weight * mean (f(G(w)) - f(face))^2 / mean f(face)^2

    features: a function f from pictures to (n, d), such as a steering network's; None: pixels alone. space: 'w' (one vector for all
    layers) or 'w+' (one a layer: nearer to the face, but such a w is one that no latent vector has). start: (n, L, latent_dim)
    or None: of `LATENTS` random w, the one whose face is nearest. Adam searches with a rate that falls to 0, and noise on w that
    falls as well, so that the search does not stay in the first hollow. The best of all steps is returned, for each face.

    The fixed noise of the generator stays as it is: the face must be found in w.
    """
    faces = np.asarray(faces, "float32")
    side = generator.output_shape[1]
    if faces.ndim != 4 or faces.shape[1:] != (side, side, 3):
        raise CourseError(
            f"The faces have the shape {faces.shape}; give (n, {side}, {side}, 3), as the generator draws."
        )
    if space not in ("w", "w+"):
        raise CourseError(f"There is no space '{space}'; choose w or w+.")
    count, layers = len(faces), len(generator.styled)
    random = np.random.default_rng(seed)
    known = to_numpy(generator.mapping(random.normal(size=(LATENTS, generator.latent_dim)).astype("float32")))
    spread = float(known.std())
    f = features or (lambda pictures: ops.zeros((count, 1)))
    goal = f(ops.convert_to_tensor(faces))
    size = ops.mean(ops.square(goal)) + 1e-8

    def distances(w):
        pictures = generator.synthesize(w)
        pixels = ops.mean(ops.square(pictures - faces), axis=(1, 2, 3))
        return pixels + features_weight * ops.mean(ops.square(f(pictures) - goal), axis=1) / size, pictures

    if start is None:
        start = _nearest(generator, faces, known)[:, None]
    start = np.asarray(start, "float32")
    start = np.repeat(start[:, :1], layers if space == "w+" else 1, axis=1) if start.shape[1] != layers else start
    point = keras.Variable(start if space == "w+" else start.mean(axis=1, keepdims=True), name="w")
    optimizer = keras.optimizers.Adam(rate, beta_1=0.9, beta_2=0.999)
    best = np.full(count, np.inf, "float32")
    best_w, best_pictures = np.zeros((count, layers, generator.latent_dim), "float32"), np.zeros_like(faces)
    for step in progress(range(steps + 1), desc="projection", unit="step"):
        left = max(0.0, 1 - step / (0.75 * steps))
        shake = (0.05 * spread * left**2 * random.normal(size=point.shape)).astype("float32")
        optimizer.learning_rate = rate * min(1.0, 4 * (1 - step / (steps + 1)), 20 * (step + 1) / steps)
        with Tape() as tape:
            w = ops.broadcast_to(point + shake, (count, layers, generator.latent_dim))
            value, pictures = distances(w)
            total = ops.sum(value)
        values = to_numpy(value)
        better = values < best
        best[better], best_w[better], best_pictures[better] = (
            values[better],
            to_numpy(w)[better],
            to_numpy(pictures)[better],
        )
        optimizer.apply([tape.gradient(total, [point])[0]], [point])
    return Projection(best_w, best_pictures, best, steps)


def _nearest(generator, faces, known):
    """Return for each face the w of `known` whose picture is nearest in 16 x 16 pixels, (n, latent_dim)."""

    def small(pictures):
        side = pictures.shape[1] // 16
        return pictures.reshape(len(pictures), 16, side, 16, side, 3).mean((2, 4)).reshape(len(pictures), -1)

    layers, found = len(generator.styled), []
    for part in np.array_split(known[:512], 8):
        w = np.repeat(part[:, None], layers, axis=1)
        found.append(small(to_numpy(generator.synthesize(w))))
    drawn, wanted = np.concatenate(found), small(faces)
    return known[((wanted[:, None] - drawn[None]) ** 2).sum(-1).argmin(1)]
