"""What goes into a generator: latent vectors and conditions; and the pictures that come out."""

import numpy as np

from gan_course import show
from gan_course.backend import no_gradient, to_numpy
from gan_course.errors import CourseError
from gan_course.progress import progress

SPACES = ("z", "w")


def fixed_latent(count, latent_dim, seed=0, limit=None):
    """Return latent vectors float32 (count, latent_dim) ~ N(0, I) that are the same in every run with this seed.

    limit: draw every number beyond -limit..limit again (the truncation trick in z of Brock et al. 2019, BigGAN, section
    3.1): the smaller it is, the more usual and the more alike are the faces. None: no limit.
    """
    random = np.random.default_rng(seed)
    latent = random.normal(size=(count, latent_dim))
    if limit is not None:
        if not limit >= 0.1:  # also NaN; below, nearly all numbers would be drawn again and again
            raise CourseError(f"The limit of the latent numbers is {limit}; give 0.1 or more, or None.")
        while (far := np.abs(latent) > limit).any():
            latent[far] = random.normal(size=far.sum())
    return latent.astype("float32")


def fixed_condition(count, condition_dim):
    """Return conditions float32 (count, condition_dim): each label in turn, as a vector with a single 1."""
    return np.eye(condition_dim, dtype="float32")[np.arange(count) % condition_dim]


def condition_dim(generator):
    """Return how many numbers a generator wants beside the latent vector; 0: none."""
    return generator.input_shape[1][-1] if isinstance(generator.input_shape, list) else 0


def latent_dim(generator):
    """Return how many numbers a latent vector of `generator` has."""
    return (generator.input_shape[0] if condition_dim(generator) else generator.input_shape)[-1]


def needs_space(generator, space):
    """Raise `CourseError` where `space` is no latent space of the generator, or where a condition is needed as well."""
    if space not in SPACES:
        raise CourseError(f"There is no latent space '{space}'; choose z or w.")
    if space == "w" and not hasattr(generator, "synthesize"):
        raise CourseError("This generator has no w, because it is no StyleGAN; choose the space z.")
    if condition_dim(generator):
        raise CourseError("This generator draws from a condition as well; give one that draws from z alone.")


def inputs(generator, count, seed=0, condition=None, limit=None):
    """Return what `generator` draws `count` pictures from: latent vectors, or the pair [latent vectors, conditions].

    condition: (count, k) numbers, or (k,) for all; default `fixed_condition`. Only for a generator that has one.
    """
    latent, wanted = fixed_latent(count, latent_dim(generator), seed, limit), condition_dim(generator)
    if condition is None:
        return [latent, fixed_condition(count, wanted)] if wanted else latent
    condition = np.asarray(condition, "float32")
    if condition.shape not in ((wanted,), (count, wanted)) or not wanted:
        wish = f"({wanted},) or ({count}, {wanted})" if wanted else "none: this generator has no condition"
        raise CourseError(f"The condition has the shape {condition.shape}; give {wish}.")
    return [latent, np.broadcast_to(condition, (count, wanted))]


def generate(generator, count, seed=0, condition=None, limit=None, batch_size=64, draw=None):
    """Return `count` pictures of a generator as bytes, from `inputs` that `seed` decides.

    draw: what makes pictures of a batch of inputs; default: the generator itself.
    """
    draw = draw or (lambda part: generator(part, training=False))
    given = inputs(generator, count, seed, condition, limit)
    pictures = []
    for start in progress(range(0, count, batch_size), desc="faces", unit="batch"):
        rows = slice(start, start + batch_size)
        part = [x[rows] for x in given] if isinstance(given, list) else given[rows]
        with no_gradient():
            made = to_numpy(draw(part))
        if not np.isfinite(made).all():
            raise CourseError("The generator draws NaN or infinity; train it anew with a smaller learning rate.")
        pictures.append(show.to_uint8(made))
    return np.concatenate(pictures)
