"""The self-checks of lesson 03: a right answer passes, and a typical wrong one gets the fitting hint."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from gan_course.checks import NotYet, lesson03

# --- exercise 1 ---------------------------------------------------------------------------------------


def coverage(samples, centres, spread):
    """A second way to the right answer: one spot at a time."""
    on = [((samples - centre) ** 2).sum(1) <= (3 * spread) ** 2 for centre in centres]
    return sum(o.any() for o in on), np.any(on, axis=0).mean()


def test_coverage_right(capsys):
    lesson03.check_coverage(coverage)
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda s, c, r: None, "return"),
        (lambda s, c, r: 4, "two numbers"),
        (lambda s, c, r: ("a", "b"), "must return numbers"),
        (lambda s, c, r: coverage(s, c, r)[::-1], "wrong order"),
        (lambda s, c, r: lesson03._coverage(s, c, r, within=1.0), "3 \\* spread"),
        (lambda s, c, r: lesson03._coverage(s, c, r, squared=True), "squared distance"),
        (lambda s, c, r: (4, 7), "at most 1"),
        (lambda s, c, r: lesson03._coverage(s, c, r, per_mode=True), "share of the \\*spots"),
        (lambda s, c, r: lesson03._coverage(s, c, r, far=True), "samples beside it"),
        (lambda s, c, r: (7, 0.7), "different"),
        (lambda s, c, r: (3, 0.7), "find 3 spots"),
        (lambda s, c, r: (4, 0.6), "share is 0.60"),
        (lambda s, c, r: coverage(s, c, r) if len(s) > 4 else (1, 0.0), "far from every spot"),
    ],
)
def test_coverage_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson03.check_coverage(wrong)


# --- exercise 2 ---------------------------------------------------------------------------------------


def smoothed(real, fake, epsilon, low=0.0, high=None, mean=ops.mean):
    high = 1 - epsilon if high is None else high
    return mean(-high * ops.log_sigmoid(real) - (1 - high) * ops.log_sigmoid(-real)) + mean(
        -low * ops.log_sigmoid(fake) - (1 - low) * ops.log_sigmoid(-fake)
    )


def test_smoothed_loss_right(capsys):
    lesson03.check_smoothed_loss(smoothed)
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda r, f, e: None, "return"),
        (lambda r, f, e: r, "one number"),
        (lambda r, f, e: smoothed(r, f, 0.0), "without smoothing"),
        (lambda r, f, e: smoothed(r, f, e, low=e), "both sides"),
        (lambda r, f, e: smoothed(r, f, e, high=1.0, low=e), "wrong side"),
        (lambda r, f, e: ops.mean((1 - e) * ops.softplus(-r)) + ops.mean(ops.softplus(f)), "real part smaller"),
        (lambda r, f, e: smoothed(r, f, e, high=e), "exchanged: 1 - epsilon"),
        (lambda r, f, e: smoothed(r, f, e, high=1 + e), "1 \\+ epsilon"),
        (lambda r, f, e: smoothed(r, f, e, mean=ops.sum), "take the mean"),
        (lambda r, f, e: smoothed(f, r, e), "scores are exchanged"),
        (lambda r, f, e: smoothed(r, f, e) / 2, "half"),
        (lambda r, f, e: -smoothed(r, f, e), "sign"),
        (lambda r, f, e: 3 * smoothed(r, f, e), "try that first"),
        (lambda r, f, e: smoothed(r, f, 0.2), "constant"),
    ],
)
def test_smoothed_loss_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson03.check_smoothed_loss(wrong)


# --- exercise 3 ---------------------------------------------------------------------------------------


def penalty(critic, real, fake, u=None, end=None, mean_score=False, axes=None):
    batch = tuple(real.shape)[:1] + (1,) * (len(real.shape) - 1)
    u = keras.random.uniform(batch) if u is None else u(real)
    x = ops.convert_to_tensor(fake + (1 - u) * (real - fake))
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = (ops.mean if mean_score else ops.sum)(critic(x))
    g = tape.gradient(score, x)
    if end:
        return end(g)
    return ops.mean((ops.sqrt(ops.sum(g**2, axis=axes or tuple(range(1, len(g.shape))))) - 1) ** 2)


def lengths(g):
    return ops.sqrt(squares(g))


def squares(g):
    return ops.sum(g**2, axis=tuple(range(1, len(g.shape))))


def ones(x):
    return (1,) * (len(x.shape) - 1)


def test_penalty_right(capsys):
    lesson03.check_penalty(penalty)
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "mistake, hint",
    [
        (dict(end=lambda g: None), "return"),
        (dict(end=lambda g: (lengths(g) - 1) ** 2), "one number"),
        (dict(end=lambda g: ops.mean((squares(g) - 1) ** 2)), "root is missing"),
        (dict(end=lambda g: ops.mean(squares(g))), "as in R1"),
        (dict(end=lambda g: ops.mean(lengths(g))), "mean length"),
        (dict(end=lambda g: ops.mean(ops.abs(lengths(g) - 1))), "forgot to square"),
        (dict(end=lambda g: ops.sum((lengths(g) - 1) ** 2)), "take the mean"),
        (dict(end=lambda g: 10 * ops.mean((lengths(g) - 1) ** 2)), "lambda"),
        (dict(end=lambda g: (ops.sqrt(ops.sum(g**2)) - 1) ** 2), "whole batch"),
        (dict(mean_score=True), "divided by the batch"),
        (dict(end=lambda g: ops.mean((ops.sqrt(squares(g) / g[0].numpy().size) - 1) ** 2)), "not their mean"),
        (dict(end=lambda g: ops.mean((ops.abs(g) - 1) ** 2)), "own slope"),
        (dict(axes=1), "For pictures: .*one axis"),
        (dict(end=lambda g: ops.sum(g) * np.nan), "NaN"),
        (dict(end=lambda g: ops.mean((lengths(g) - 2) ** 2)), "should be"),
        (dict(u=lambda x: ops.zeros((len(x), *ones(x)))), "real ones only"),
        (dict(u=lambda x: ops.ones((len(x), *ones(x)))), "generated ones only"),
        (dict(u=lambda x: keras.random.uniform(x.shape)), "its own u"),
        (dict(u=lambda x: keras.random.uniform((1, *ones(x)))), "same u"),
        (dict(u=lambda x: keras.random.normal((len(x), *ones(x)))), "outside the line"),
        (dict(u=lambda x: keras.random.uniform((len(x), *ones(x)), seed=1)), "every call"),
        (dict(end=lambda g: (ops.mean(lengths(g)) - 1) ** 2), "mean over the batch last"),
    ],
)
def test_penalty_wrong(mistake, hint):
    with pytest.raises(NotYet, match=hint):
        lesson03.check_penalty(lambda critic, real, fake: penalty(critic, real, fake, **mistake))


# --- exercise 4 ---------------------------------------------------------------------------------------

RIGHT = {"A": "discriminator wins", "B": "memorised", "C": "mode collapse", "D": "healthy", "E": "oscillation"}


def test_diagnosis_right(capsys):
    lesson03.check_diagnosis(RIGHT)
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "wrong, hint",
    [
        ("oscillation", "dictionary"),
        ({"A": "healthy"}, "dictionary"),
        (RIGHT | {"C": None}, "Patient C has no diagnosis"),
        (RIGHT | {"C": "collapse"}, "not one of the words"),
        (RIGHT | {"A": "oscillation"}, "A is not 'oscillation'.*D's loss"),
        (RIGHT | {"B": "mode collapse"}, "B .*held-out"),
        (RIGHT | {"C": "healthy"}, "C .*count the spots"),
        (RIGHT | {"D": "memorised"}, "D .*stays low"),
        (RIGHT | {"E": "discriminator wins"}, "E .*come to rest"),
    ],
)
def test_diagnosis_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson03.check_diagnosis(wrong)


def test_no_diagnosis_yet_is_an_unsolved_exercise():
    with pytest.raises(NotImplementedError):
        lesson03.check_diagnosis(dict.fromkeys(RIGHT))


def test_each_patient_has_one_failure_and_can_be_trained():
    from gan_course.models import point_gan
    from gan_course.training.gan import GAN

    assert sorted(RIGHT.values()) == sorted(lesson03.NAMES)
    for name, (data, unseen, recipe) in lesson03.patients().items():
        options = {key: value for key, value in recipe.items() if key not in ("rates", "momentum")}
        GAN(point_gan.build_generator(width=4), point_gan.build_discriminator(4), **options)
        assert unseen.shape == (len(unseen), 2) and data.sample(3).shape == (3, 2)
        assert (data.spread == 0) == (RIGHT[name] == "memorised")


# --- exercise 5 ---------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(lesson03, "BUDGET", 50)


@pytest.mark.parametrize(
    "settings, hint",
    [
        (None, "dictionary"),
        (dict(d_steps=1), "stays as it is"),
        (dict(seed=3), "not one of the settings"),
        (dict(d_rate=-1), "do not work"),
        (dict(d_rate="quick"), "do not work"),
        (dict(loss="kl"), "do not work"),
    ],
)
def test_mended_wrong_settings(settings, hint, short):
    with pytest.raises(NotYet, match=hint):
        lesson03.check_mended(lambda: settings)


@pytest.mark.parametrize(
    "settings, hint",
    [
        (dict(g_rate=1e-5), "hardly moved"),
        (dict(norm="batch", g_rate=0.01), "Batch norm"),
        (dict(d_rate=0.01, g_rate=0.01), "three times less often"),
        (dict(d_rate=0.5, g_rate=0.01), "far apart"),
        (dict(d_rate=0.02, g_rate=0.01), "larger ratio"),
    ],
)
def test_mended_not_yet(settings, hint, short):
    with pytest.raises(NotYet, match=hint):
        lesson03.check_mended(lambda: settings)


def test_mended_passes_when_enough_modes_are_found(short, monkeypatch, capsys):
    monkeypatch.setattr(lesson03, "NEEDED", 0)
    monkeypatch.setattr(lesson03, "NEAR", 99.0)
    lesson03.check_mended(dict)
    assert capsys.readouterr().out.startswith("Right:")


def test_mended_is_not_satisfied_with_modes_found_by_luck(short, monkeypatch):
    monkeypatch.setattr(lesson03, "NEEDED", 0)
    with pytest.raises(NotYet, match=r"energy distance is \d"):
        lesson03.check_mended(dict)
