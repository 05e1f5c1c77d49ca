"""Projection: the w whose picture is nearest to a given face (Karras et al. 2020, "Analyzing ... StyleGAN", section 5).

A StyleGAN turns w into a face; no network turns a face into w. So w is searched for by gradient descent:

    network = pretrained.load("attributes-toon-steer")
    found = project(generator, faces, attributes.feature_extractor(network))
    smiling = generator.synthesize(found.w + axis)
"""

from dataclasses import dataclass

import numpy as np

from gan_course.backend import Tape, compiled, keras, no_gradient, ops, to_numpy
from gan_course.errors import CourseError
from gan_course.layers import fitted
from gan_course.progress import progress

SPACES = ("w", "w+")
LATENTS, CANDIDATES, BATCH = 4096, 512, 64  # random w: to know their spread; to start at the nearest; drawn at once
FEATURES_WEIGHT = 0.3
RATE = 0.2  # of Adam, in standard deviations of w
PATIENCE, LITTLE = 25, 0.01  # steps in which no face comes nearer by this share: the end
BYTES = 10.0  # no picture in [-1, 1] has such values, although what a generator draws goes beyond 1


@dataclass(frozen=True)
class Projection:
    """What was found for n faces, the best of all steps for each.

    w: float32 (n, L, latent_dim), for `generator.synthesize`. pictures: float32 (n, h, w, 3), what it draws then.
    distance: (n,), what was made small. begun: (n,), the same at the start. steps: how many were taken.
    """

    w: np.ndarray
    pictures: np.ndarray
    distance: np.ndarray
    begun: np.ndarray
    steps: int


def project(generator, faces, features=None, *, space="w", steps=150, start=None, seed=0):
    """Return the `Projection` of `faces`, float32 (n, h, w, 3) in [-1, 1], into the space of w of a StyleGAN generator.

        distance(w) = mean (G(w) - face)^2 + 0.3 |f(G(w)) - f(face)|^2 / |f(face)|^2

    features: the network f, pictures -> (n, d), such as the steering network up to its features; it stands for the
    paper's LPIPS. Never give the judge: it shall tell afterwards how good the result is. None: pixels alone. Pictures are
    resized for f where its input has another size.

    space: 'w' (one vector for all layers), or 'w+' (one a layer; Abdal et al. 2019, "Image2StyleGAN"): nearer to the
    face, but outside of what the mapping network gives, so that an edit may look worse. start: w (n, L, latent_dim), such
    as an encoder's guess (in the space 'w' the mean over its layers), or None: the nearest of 512 random w.

    Adam walks at a rate that rises and falls, and stops where no face comes nearer. The noise of the generator stays as it
    is: the face shall be found in w. Faces must be framed like those of the training, or nothing alike is found. `seed`
    decides the random w. Not the paper's: it adds noise to w that falls to 0, so that its 1000 steps leave the first hollow.
    Here, with 150 steps from a near start, such noise was measured to end farther from the face.

    Raises `CourseError` for a generator without w, faces or a start of another shape or range, and an unknown space.
    """
    faces, start = _checked(generator, faces, space, steps, start)
    count, layers, random = len(faces), len(generator.styled), np.random.default_rng(seed)
    faces = ops.convert_to_tensor(faces)
    with no_gradient():
        known = to_numpy(generator.map(random.normal(size=(LATENTS, generator.latent_dim)).astype("float32")))[:, 0]
        goals = look(features, faces)
        if start is None:
            start = _nearest(generator, features, faces, goals, known[:CANDIDATES])
    rate = RATE * float(known.std(axis=0).mean())
    if space == "w":
        start = start.mean(axis=1, keepdims=True)
    elif start.shape[1] == 1:
        start = np.repeat(start, layers, axis=1)
    point = keras.Variable(start, dtype="float32", name="w")
    optimizer = keras.optimizers.Adam(rate)

    @compiled
    def look_around():
        """Return what lies at the point: w, pictures, distances, and the slope of their sum."""
        with Tape() as tape:
            w = ops.broadcast_to(point, (count, layers, generator.latent_dim))
            pictures = generator.synthesize(w)
            values = distance(pictures, look(features, pictures), faces, goals)
            total = ops.sum(values)
        return w, pictures, values, tape.gradient(total, [point])[0]

    best = np.full(count, np.inf, "float32")
    best_w, best_pictures = np.zeros((count, layers, generator.latent_dim), "float32"), np.zeros(faces.shape, "float32")
    mark, quiet = best.copy(), 0  # the distances when a face last came nearer, and the steps since then
    bar = progress(range(steps + 1), desc="projection", unit="step")
    for step in bar:
        w, pictures, now, slope = look_around()
        now = to_numpy(now)
        if not np.isfinite(now).all():
            raise CourseError("The distance became NaN or infinity; train the generator anew with a smaller rate.")
        if step == 0:
            begun = now
        better = now < best
        for kept, new in ((best, now), (best_w, to_numpy(w)), (best_pictures, to_numpy(pictures))):
            kept[better] = new[better]
        quiet += 1
        if (best < (1 - LITTLE) * mark).any():
            mark, quiet = best.copy(), 0
        bar.set_postfix(distance=f"{best.mean():.4f}", refresh=False)
        if quiet == PATIENCE:
            bar.close()
            break
        rise, fall = min(1.0, (step + 1) / (0.05 * steps)), min(1.0, 4 * (1 - step / (steps + 1)))
        optimizer.learning_rate = rate * rise * (0.5 - 0.5 * np.cos(np.pi * fall))
        optimizer.apply([slope], [point])
    return Projection(best_w, best_pictures, best, begun, step)


def _checked(generator, faces, space, steps, start):
    """Return faces and start as float32, or raise `CourseError`."""
    if not hasattr(generator, "synthesize"):
        raise CourseError("This generator has no w, because it is no StyleGAN; give one that was trained as stylegan.")
    if space not in SPACES:
        raise CourseError(f"There is no space '{space}'; choose w or w+.")
    if steps < 1:
        raise CourseError(f"The steps are {steps}; give 1 or more.")
    faces, shape = np.asarray(faces, "float32"), generator.output_shape[1:]
    if faces.ndim != 4 or faces.shape[1:] != shape or not len(faces):
        wish = ", ".join(map(str, shape))
        raise CourseError(f"The faces have the shape {faces.shape}; give (n, {wish}), as the generator draws.")
    if not np.abs(faces).max() <= BYTES:  # also NaN
        raise CourseError("The faces are not in [-1, 1]; give bytes / 127.5 - 1.")
    if start is not None:
        start, wish = np.asarray(start, "float32"), (len(faces), len(generator.styled), generator.latent_dim)
        if start.shape != wish or not np.isfinite(start).all():
            raise CourseError(f"The start has the shape {start.shape}; give finite numbers {wish}: a w for each layer.")
    return faces, start


def look(features, pictures):
    """Return the features of pictures (n, d), or None without a network; pictures get the size of its input."""
    return None if features is None else features(fitted(pictures, features))


def distance(pictures, seen, faces, goals):
    """Return the distance of each picture to its face (n,), or of all pictures to one face (1, ...). seen, goals: features."""
    pixels = ops.mean(ops.square(pictures - faces), axis=(1, 2, 3))
    if goals is None:
        return pixels
    return pixels + FEATURES_WEIGHT * ops.sum(ops.square(seen - goals), axis=1) / (
        ops.sum(ops.square(goals), axis=1) + 1e-8
    )


def _nearest(generator, features, faces, goals, known):
    """Return for each face the w of `known` (m, latent_dim) whose picture is nearest, (n, 1, latent_dim)."""
    found = []
    for part in np.split(known, range(BATCH, len(known), BATCH)):
        pictures = generator.synthesize(np.repeat(part[:, None], len(generator.styled), axis=1))
        seen = look(features, pictures)
        rows = [slice(i, i + 1) for i in range(len(faces))]
        away = [distance(pictures, seen, faces[i], goals if goals is None else goals[i]) for i in rows]
        found.append([to_numpy(x) for x in away])
    return known[np.concatenate(found, axis=1).argmin(axis=1)][:, None]
