"""How evenly a picture changes along a path in latent space: the path length of Karras et al. 2019, section 4.1.

Walk a small step in latent space, and look how far the features of the picture move. Where a path between two faces
goes through faces that neither of them asks for (hair comes and goes), it is longer than it had to be.
"""

import math

import numpy as np

from gan_course.backend import no_gradient, to_numpy
from gan_course.errors import CourseError
from gan_course.latent import sampling
from gan_course.latent.mixing import lerp, slerp
from gan_course.progress import progress

EPSILON = 1e-4
PLACES = ("full", "end")


def path_length(generator, features, space="z", place="full", count=1000, *, epsilon=EPSILON, batch_size=64, seed=0):
    """Return (mean, standard error) of the path length of a generator in the features f of the course's judge.

        mean over pairs of |f(G(t)) - f(G(t + epsilon))|^2 / epsilon^2

    Each of the `count` pairs is a path between two random latent vectors. space: 'z', with `slerp` as the path, or 'w'
    (StyleGAN only), with `lerp`. place: t is drawn evenly from 0 to 1 ('full'), or is 0 ('end': only points that are
    drawn in training). As in the paper's code, the lowest and the highest percent of the pairs are left out, and the
    noise of a StyleGAN is the same for all. features: a `gan_course.metrics.FaceFeatures`.

    The paper takes LPIPS, a distance in VGG's features. This is another network, so it is no "PPL": compare with numbers
    of the same judge only. The standard error says how much chance is in the mean.

    epsilon: the default is the paper's. Measured with float32 on a CPU, for a ProGAN and a StyleGAN of the course: from 1e-5
    to 1e-3 the length changes by 5 percent at most. At 1e-6 rounding makes the StyleGAN's half again to nearly twice as
    long, at 1e-7 every one far too long. From 3e-2 on the step cuts the curves of the ProGAN, and its length is too small.

    Raises `CourseError` for an unknown space or place, a generator without w, one with a condition, a count below 2, and
    an epsilon beyond 0..0.1.
    """
    sampling.needs_space(generator, space)
    if place not in PLACES:
        raise CourseError(f"There is no place '{place}'; choose full or end.")
    if count < 2 or not 0 < epsilon <= 0.1:
        raise CourseError(f"The count is {count} and epsilon {epsilon}; give 2 or more, and above 0 up to 0.1.")
    ends = np.split(sampling.fixed_latent(2 * count, sampling.latent_dim(generator), seed), 2)
    times = np.random.default_rng(seed).uniform(size=count) * (place == "full")
    lengths = []
    for start in progress(range(0, count, batch_size), desc="paths", unit="batch"):
        a, b, t = (x[start : start + batch_size] for x in (*ends, times))
        with no_gradient():
            if space == "w":
                a, b, t = to_numpy(generator.map(a)), to_numpy(generator.map(b)), t[:, None]
            way, draw = (slerp, generator) if space == "z" else (lerp, generator.synthesize)
            pictures = to_numpy(draw(np.concatenate([way(a, b, t), way(a, b, t + epsilon)])))
        before, after = np.split(features.unrounded(pictures), 2)
        lengths.append(((after - before) ** 2).sum(axis=1) / epsilon**2)
    tail = count // 100
    kept = np.sort(np.concatenate(lengths))[tail : count - tail]
    return float(kept.mean()), float(kept.std(ddof=1) / math.sqrt(len(kept)))
