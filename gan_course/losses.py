"""Adversarial losses and penalties: pure functions of the discriminator's scores.

A score is the discriminator's raw output (a *logit*), one number per picture, shape (batch, 1);
the probability that a picture is real is D = sigmoid(score). A discriminator therefore
ends in a plain Dense(1), without a sigmoid: softplus(score) keeps its digits where log(sigmoid) does not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from gan_course.backend import ops
from gan_course.errors import CourseError


@dataclass(frozen=True)
class AdversarialLoss:
    """A pair of losses, one per player; both return a scalar, the mean over the batch.

    `discriminator(real_scores, fake_scores)` and `generator(fake_scores)`.
    `probabilities` says whether sigmoid(score) is a probability under this loss.
    `ratio(fake_scores)`, where there is one, is (dL_G / ds) / (dL_D / ds) for the score s of a fake picture.
    `lowest` is the smallest value of the discriminator's loss: it has won where its loss comes near.
    """

    name: str
    discriminator: Callable
    generator: Callable
    probabilities: bool
    ratio: Callable | None = None
    lowest: float = 0.0


def _cross_entropy(real, fake):
    # -log D(x) = softplus(-score), and -log(1 - D(x)) = softplus(score).
    return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))


def _ratio(fake):
    # -sigmoid(-s) / sigmoid(s) = -exp(-s). Beyond 60 both sides of the division leave float32.
    return -ops.exp(-ops.maximum(fake, -60.0))


LOSSES = {
    loss.name: loss
    for loss in (
        # Goodfellow et al. 2014, section 3: the generator maximises log D(G(z)).
        AdversarialLoss("non_saturating", _cross_entropy, lambda fake: ops.mean(ops.softplus(-fake)), True, _ratio),
        # Goodfellow et al. 2014, equation 1: the generator minimises log(1 - D(G(z))), a negative number.
        AdversarialLoss(
            "minimax",
            _cross_entropy,
            lambda fake: -ops.mean(ops.softplus(fake)),
            True,
            lambda fake: -ops.ones_like(fake),
        ),
        # Mao et al. 2017, equation 9: real to 1, fake to 0.
        AdversarialLoss(
            "least_squares",
            lambda real, fake: 0.5 * ops.mean(ops.square(real - 1.0)) + 0.5 * ops.mean(ops.square(fake)),
            lambda fake: 0.5 * ops.mean(ops.square(fake - 1.0)),
            False,
        ),
        # Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17.
        AdversarialLoss(
            "hinge",
            lambda real, fake: ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake)),
            lambda fake: -ops.mean(fake),
            False,
        ),
        # Arjovsky et al. 2017, algorithm 1. The discriminator ('critic') must be kept from steep slopes: by
        # clipping its weights or, better, by `gradient_penalty`.
        AdversarialLoss(
            "wasserstein",
            lambda real, fake: ops.mean(fake) - ops.mean(real),
            lambda fake: -ops.mean(fake),
            False,
            lambda fake: -ops.ones_like(fake),
            lowest=-math.inf,
        ),
    )
}


def adversarial_loss(name):
    """Return the `AdversarialLoss` called `name`; raise `CourseError` for an unknown one."""
    if name not in LOSSES:
        raise CourseError(f"There is no loss called '{name}'; choose one of {', '.join(LOSSES)}.")
    return LOSSES[name]


def _squared_norms(gradients):
    return ops.sum(ops.square(gradients), axis=tuple(range(1, len(gradients.shape))))


def _norms(x):
    return ops.sqrt(ops.maximum(_squared_norms(x), 1e-16))  # the root has no finite slope at 0


def missed(logits, told):
    """Return the cross-entropy of logits (batch, attributes) against what is told, in -1 (absent), 0 (not told) and 1 (present).

    mean over all that is told of  softplus(-told * logit)
    """
    told = ops.cast(told, "float32")
    each = ops.abs(told) * ops.softplus(-told * logits)
    return ops.sum(each) / ops.maximum(ops.sum(ops.abs(told)), 1.0)


def alike(features, real, share=1.0):
    """Return how much too near to each other the pictures of a pair are, from 0 (not at all) to 1 (they are the same).

        max(0, 1 - mean distance within a pair / (share * mean distance between two real pictures))

    features: (2 * pairs, d), rows i and pairs + i are a pair; real: (batch, d), each row is compared with the next. After
    mode seeking (Mao et al. 2019, "Mode Seeking Generative Adversarial Networks", section 3.2), which asks two pictures of
    one condition to be far apart for the distance of their latent vectors, without a limit.
    """
    first, second = ops.split(ops.cast(features, "float32"), 2)
    real = ops.cast(real, "float32")
    ours, theirs = (ops.mean(_norms(a - b)) for a, b in ((first, second), (real, ops.roll(real, 1, axis=0))))
    return ops.relu(1.0 - ours / (share * theirs))


def r1_penalty(gradients):
    """Return R1 = mean over the batch of ||dD(x)/dx||^2 (Mescheder et al. 2018, equation 9).

    `gradients`: of the summed scores with respect to *real* pictures, shape (batch, ...).
    The caller multiplies by gamma / 2. It keeps the discriminator's slope small where the real
    pictures are, so that the generator keeps a useful gradient.
    """
    return ops.mean(_squared_norms(gradients))


def gradient_penalty(gradients):
    """Return the mean over the batch of (||dD(x)/dx|| - 1)^2 (Gulrajani et al. 2017, equation 3; 'WGAN-GP').

    `gradients`: of the summed scores with respect to pictures, shape (batch, ...), each on the straight line
    between a real picture and a fake one at a random place. The norm is over all numbers of a picture. The
    caller multiplies by lambda, 10 in the paper. It holds the critic's slope near 1, as the Wasserstein distance wants.
    """
    return ops.mean(ops.square(_norms(gradients) - 1.0))
