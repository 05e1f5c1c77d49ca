"""Losses against numbers worked out by hand, and R1 against its closed form."""

import math

import numpy as np
import pytest

from gan_course import losses
from gan_course.errors import CourseError

# Two real scores, two fake scores; s(x) = 1 / (1 + exp(-x)).
REAL = np.array([[2.0], [-1.0]], "float32")
FAKE = np.array([[0.0], [3.0]], "float32")


def log_sigmoid(x):
    return math.log(1 / (1 + math.exp(-x)))


CROSS_ENTROPY = -(log_sigmoid(2) + log_sigmoid(-1)) / 2 - (log_sigmoid(-0.0) + log_sigmoid(-3)) / 2
BY_HAND = {
    # name: (discriminator, generator)
    "non_saturating": (CROSS_ENTROPY, -(log_sigmoid(0) + log_sigmoid(3)) / 2),
    "minimax": (CROSS_ENTROPY, (log_sigmoid(-0.0) + log_sigmoid(-3)) / 2),
    # real: ((2-1)^2 + (-1-1)^2) / 2 / 2 = 1.25; fake: (0 + 9) / 2 / 2 = 2.25; generator: (1 + 4) / 2 / 2
    "least_squares": (3.5, 1.25),
    # real: max(0, 1-2) = 0, max(0, 1+1) = 2; fake: 1 + 0 = 1, 1 + 3 = 4; generator: -(0 + 3) / 2
    "hinge": (1.0 + 2.5, -1.5),
    "wasserstein": (1.5 - 0.5, -1.5),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_values(name):
    loss = losses.adversarial_loss(name)
    discriminator, generator = BY_HAND[name]
    assert float(loss.discriminator(REAL, FAKE)) == pytest.approx(discriminator, rel=1e-6)
    assert float(loss.generator(FAKE)) == pytest.approx(generator, rel=1e-6)
    assert loss.probabilities == (name in ("non_saturating", "minimax"))


def test_every_loss_is_tested():
    assert set(BY_HAND) == set(losses.LOSSES)


@pytest.mark.parametrize("name", BY_HAND)
def test_each_player_wants_the_right_direction(name):
    loss = losses.adversarial_loss(name)
    low, middle, high = (np.full((2, 1), score, "float32") for score in (0.0, 0.5, 1.0))
    assert loss.generator(high) < loss.generator(middle)
    assert loss.discriminator(high, middle) < loss.discriminator(middle, middle)
    assert loss.discriminator(middle, low) < loss.discriminator(middle, middle)


def test_large_scores_stay_finite():
    for name in ("non_saturating", "minimax"):
        loss = losses.adversarial_loss(name)
        high = np.full((1, 1), 1000, "float32")
        assert float(loss.discriminator(-high, high)) == pytest.approx(2000)
        assert np.isfinite(float(loss.generator(high))) and np.isfinite(float(loss.generator(-high)))


def test_unknown_name():
    with pytest.raises(CourseError, match="relativistic.*non_saturating, minimax, least_squares, hinge, wasserstein"):
        losses.adversarial_loss("relativistic")


def test_r1_is_the_mean_of_squared_norms():
    gradients = np.zeros((2, 2, 2, 1), "float32")
    gradients[0, :, :, 0] = [[1, 2], [3, 4]]  # norm^2 = 30
    gradients[1, 0, 0, 0] = 2.0  # norm^2 = 4
    assert float(losses.r1_penalty(gradients)) == pytest.approx(17.0)


def test_gradient_penalty_is_the_mean_squared_distance_of_the_norms_from_1():
    gradients = np.zeros((3, 2, 2, 1), "float32")
    gradients[0, 0, :, 0] = [3, 4]  # norm 5
    gradients[1, 1, 1, 0] = -1.0  # norm 1; the third has norm 0
    assert float(losses.gradient_penalty(gradients)) == pytest.approx((16 + 0 + 1) / 3, rel=1e-6)


@pytest.mark.parametrize("name", [name for name, loss in losses.LOSSES.items() if loss.ratio])
def test_ratio_of_the_players_slopes(name):
    """The generator's slope at a fake score divided by the discriminator's, by finite differences."""
    loss = losses.LOSSES[name]
    for score in (-3.0, 0.0, 2.5):
        below, above = np.array([[score - 1e-2]]), np.array([[score + 1e-2]])
        generator = float(loss.generator(above)) - float(loss.generator(below))
        real = np.zeros((1, 1))
        discriminator = float(loss.discriminator(real, above)) - float(loss.discriminator(real, below))
        assert float(loss.ratio(np.array([[score]]))[0, 0]) == pytest.approx(generator / discriminator, rel=1e-2)
    assert np.isfinite(np.asarray(loss.ratio(np.array([[-500.0]])))).all()
