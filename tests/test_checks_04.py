"""The self-checks of lesson 04: a right answer passes, and a typical wrong one gets the fitting hint."""

import math

import numpy as np
import pytest

from gan_course import layers
from gan_course.checks import NotYet, lesson04

# --- exercise 1 ---------------------------------------------------------------------------------------


def test_equalised_right(capsys):
    lesson04.check_equalised(lambda shape, gain: gain * np.prod(shape[:-1]) ** -0.5)
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda s, g: None, "return"),
        (lambda s, g: "scale", "must return numbers"),
        (lambda s, g: np.ones(s) * g, "not the weights"),
        (lambda s, g: g / math.prod(s[:-1]), "root is missing"),
        (lambda s, g: g / math.sqrt(s[-2]), "without the 9 places"),
        (lambda s, g: g / math.sqrt(math.prod(s[:-2])), "without its 32 channels"),
        (lambda s, g: g / math.sqrt(math.prod(s[:-2]) * s[-1]), "counts the inputs of one output"),
        (lambda s, g: g / math.sqrt(math.prod(s)), "leave the last axis"),
        (lambda s, g: 1 / math.sqrt(math.prod(s[:-1])), "gain is missing"),
        (lambda s, g: math.sqrt(2 / math.prod(s[:-1])), "always sqrt"),
        (lambda s, g: math.sqrt(g / math.prod(s[:-1])), "under the root"),
        (lambda s, g: g * math.sqrt(math.prod(s[:-1])), "divide by it"),
        (lambda s, g: 0.02, "sum over 288 inputs"),
        (lambda s, g: g / math.sqrt(s[0] ** 2 * s[-2]), "kernel \\(128, 2048\\)"),
    ],
)
def test_equalised_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson04.check_equalised(wrong)


# --- exercise 2 ---------------------------------------------------------------------------------------


def deviation(x, group):
    """A second way to the right answer: one group at a time."""
    count = len(x) // group
    return [np.sqrt(x[j::count].var(axis=0) + 1e-8).mean() for j in range(count)]


def test_minibatch_deviation_right(capsys):
    lesson04.check_minibatch_deviation(deviation)
    assert capsys.readouterr().out.startswith("Right:")


def test_minibatch_deviation_is_the_layers():
    x = np.random.default_rng(3).normal(size=(12, 2, 3, 5)).astype("float32")
    channel = np.asarray(layers.MinibatchStdDev(4)(x))[:3, 0, 0, -1]
    np.testing.assert_allclose(channel, lesson04._deviation(x, 4), rtol=1e-5)


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda x, g: None, "return"),
        (lambda x, g: np.mean(deviation(x, g)), "one number for the whole batch"),
        (lambda x, g: np.sqrt(x.reshape(g, -1, *x.shape[1:]).var(axis=0) + 1e-8), "every place and channel"),
        (lambda x, g: np.sqrt(x.var(axis=0) + 1e-8), "every place and channel"),
        (lambda x, g: lesson04._deviation(x, len(x) // g), "there are 3 groups"),
        (lambda x, g: np.tile(deviation(x, g), g), "does not"),
        (lambda x, g: np.asarray(layers.MinibatchStdDev(g)(x)), "does not"),
        (lambda x, g: np.reshape(deviation(x, g), (-1, 1, 1, 1)), "must give shape \\(3,\\)"),
        (lambda x, g: lesson04._deviation(x, g, contiguous=True), "neighbours"),
        (lambda x, g: lesson04._deviation(x, g, root=np.asarray), "variances"),
        (lambda x, g: lesson04._deviation(x, g, mean_first=True), "First the root"),
        (lambda x, g: lesson04._deviation(x, g, ddof=1), "ddof"),
        (lambda x, g: [x[j :: len(x) // g].std() for j in range(len(x) // g)], "even for equal pictures"),
        (lambda x, g: deviation(x, g)[::-1], "wrong order"),
        (lambda x, g: 2 * np.array(deviation(x, g)), "it should be"),
        (lambda x, g: deviation(x, 4 if len(x) > 4 else g), "groups of 2"),
        (lambda x, g: [x[j :: len(x) // g].std(axis=0).mean() for j in range(len(x) // g)], "1e-8"),
    ],
)
def test_minibatch_deviation_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson04.check_minibatch_deviation(wrong)


# --- exercise 3 ---------------------------------------------------------------------------------------


def fade(old, new, alpha, up=lambda x: np.asarray(layers.upsample(x))):
    return new + (up(old) - new) * (1 - alpha)


def test_fade_right(capsys):
    lesson04.check_fade(fade)
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda o, n, a: None, "return"),
        (lambda o, n, a: (1 - a) * o + a * n, "Upsample it first"),
        (lambda o, n, a: (1 - a) * o + a * n[:, ::2, ::2], "small size"),
        (lambda o, n, a: o.repeat(2, axis=1), "axis 2"),
        (lambda o, n, a: fade(o, n, 1 - a), "wrong way round"),
        (lambda o, n, a: fade(o, n, a, lambda x: np.tile(x, (1, 2, 2, 1))), "tile"),
        (lambda o, n, a: fade(o, n, a, lambda x: np.resize(x, n.shape)), "np.resize"),
        (lambda o, n, a: fade(o, n, 0) + a * n, "keeps its full weight"),
        (lambda o, n, a: (1 - a) * fade(o, n, 0) + n, "from the start"),
        (lambda o, n, a: fade(o, n, 0.5), "no effect"),
        (lambda o, n, a: fade(o, n, a**2), "up to"),
        (lambda o, n, a: fade(o, n, np.clip(a, 0.1, 0.9)), "at alpha 0 "),
        (lambda o, n, a: fade(o, n, min(a, 0.9)), "at alpha 1 "),
    ],
)
def test_fade_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson04.check_fade(wrong)


def test_fade_shows_other_errors_as_they_are():
    def strange(old, new, alpha):
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        lesson04.check_fade(strange)


# --- exercise 4 ---------------------------------------------------------------------------------------


def alpha_at(images, fade, stable, resolution):
    """A second way to the right answer: by the number of the stage."""
    done, rest = divmod(images - stable, fade + stable)
    size = 4 * 2 ** int(done + 1)
    if size > resolution or images < stable:
        return max(4, min(size, resolution)), 1.0
    return size, rest / fade if rest < fade else 1.0


def test_alpha_at_right(capsys):
    lesson04.check_alpha_at(alpha_at)
    lesson04.check_alpha_at(lesson04._alpha_at)
    assert capsys.readouterr().out.count("Right:") == 2


def mistaken(**mistake):
    return lambda *case: lesson04._alpha_at(*case, **mistake)


def changed(change):
    return lambda *case: change(*alpha_at(*case), *case)


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda *case: None, "return"),
        (lambda *case: 0.5, "two numbers"),
        (changed(lambda s, a, *case: (a, s)), "wrong order"),
        (changed(lambda s, a, *case: (np.log2(s), a)), "2 \\*\\* level"),
        (mistaken(first=True), "nothing to fade from"),
        (mistaken(swapped=True), "first the fade"),
        (mistaken(late=True), "compare with"),
        (mistaken(last=False), "never left"),
        (changed(lambda s, a, *case: (s, 1 - a if a < 1 else 1.0)), "falls from 1 to 0"),
        (changed(lambda s, a, *case: (s, 1 - a)), "1 minus"),
        (changed(lambda s, a, *case: (s, a if a < 1 else 0.0)), "outside a fade"),
        (changed(lambda s, a, n, fade, stable, _: (s, n / fade if n >= stable else 1.0)), "above 1"),
        (
            changed(
                lambda s, a, n, fade, stable, r: (s, (n - stable) % (fade + stable) / (fade + stable) if a < 1 else a)
            ),
            "fade \\+ stable",
        ),
        (changed(lambda s, a, *case: (s, round(a))), "pictures shown in"),
        (changed(lambda s, a, *case: (4, a)), "size is 4 and should be 8"),
        (lambda n, fade, *rest: (n / fade, alpha_at(n, fade, *rest))[1], "division by zero"),
        (lambda n, fade, *rest: alpha_at(n, fade or 100, *rest), "fade=0"),
    ],
)
def test_alpha_at_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson04.check_alpha_at(wrong)


def test_alpha_at_agrees_with_the_schedule():
    from gan_course.training.growing import Schedule

    schedule = Schedule(32, fade=64, stable=96, batch_size=16)
    for step in range(60):
        size, alpha = alpha_at(schedule.images_at(step), 64, 96, 32)
        assert (size, alpha) == (schedule.stage_at(step).resolution, schedule.alpha_at(step))


# --- exercise 5 ---------------------------------------------------------------------------------------


def nearest(features, training, k, ways=None, sign=1, skip=0, sort=True):
    """A second way to the right answer: one face at a time."""
    found, distances = [], []
    for feature in features:
        way = np.linalg.norm(training - feature, axis=1) if ways is None else ways(training - feature)
        rows = np.argsort(sign * way)[skip : k + skip]
        rows = rows if sort else rows[::-1]
        found.append(rows), distances.append(way[rows])
    return np.array(found), np.array(distances)


def by_squares(features, training, k):
    squares = (features**2).sum(1)[:, None] + (training**2).sum(1) - 2 * features @ training.T - 1e-6
    order = np.argsort(squares, axis=1)[:, :k]
    return order, np.sqrt(np.take_along_axis(squares, order, axis=1))


def test_nearest_right(capsys):
    lesson04.check_nearest(nearest)
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda f, t, k: None, "return"),
        (lambda f, t, k: nearest(f, t, k)[0], "two arrays"),
        (lambda f, t, k: nearest(f, t, len(t)), "first k columns"),
        (lambda f, t, k: nearest(t, f, k), "a row for each face"),
        (lambda f, t, k: [x.T for x in nearest(f, t, k)], "a row for each face"),
        (lambda f, t, k: nearest(f, t, k)[::-1], "wrong order"),
        (lambda f, t, k: (nearest(f, t, k)[0] * 1.0, nearest(f, t, k)[1]), "whole numbers"),
        (by_squares, "NaN"),
        (lambda f, t, k: nearest(f, t, k, ways=lambda d: (d**2).sum(1)), "squared"),
        (lambda f, t, k: nearest(f, t, k, ways=lambda d: np.sqrt((d**2).mean(1))), "mean"),
        (lambda f, t, k: nearest(f, t, k, ways=lambda d: np.abs(d).sum(1)), "absolute differences"),
        (lambda f, t, k: nearest(f, t, k, sign=-1), "farthest"),
        (lambda f, t, k: nearest(f, t, k, skip=1), "leave out the nearest"),
        (lambda f, t, k: nearest(f, t, k, sort=False), "not in order"),
        (lambda f, t, k: nearest(f[::-1], t, k), "own row"),
        (lambda f, t, k: (nearest(f, t, k)[0], nearest(f, t, k)[1] + 1), "do not belong"),
    ],
)
def test_nearest_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson04.check_nearest(wrong)


# --- exercise 6 ---------------------------------------------------------------------------------------


def lengths(features):
    return np.linalg.norm(np.diff(features, axis=0), axis=1)


def even_times(times, features, count, steps=lengths, zero=True):
    along = np.cumsum(steps(features))
    along = np.append(0.0, along) if zero else along
    return np.interp(np.linspace(0, along[-1], count), along, times if zero else times[1:])


def along_of(features):
    return np.append(0.0, np.cumsum(lengths(features)))


def test_even_times_right(capsys):
    lesson04.check_even_times(even_times)
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda t, f, n: None, "return"),
        (lambda t, f, n: even_times(t, f, n + 1), "shape"),
        (lambda t, f, n: np.linspace(0, along_of(f)[-1], n), "not the times"),
        (lambda t, f, n: np.linspace(0, 1, n), "steps in \\*time"),
        (lambda t, f, n: even_times(t, f, n, lambda f: lengths(f) ** 2), "squared"),
        (lambda t, f, n: even_times(t, f, n, lambda f: np.abs(np.diff(f, axis=0)).sum(1)), "absolute"),
        (lambda t, f, n: even_times(t, f, n, lambda f: np.linalg.norm(f[1:], axis=1)), "between neighbours"),
        (lambda t, f, n: np.interp(np.linspace(0, (w := np.linalg.norm(f - f[0], axis=1))[-1], n), w, t), "may turn"),
        (lambda t, f, n: np.interp(np.linspace(0, 1, n), t, along_of(f) / along_of(f)[-1]), "exchanged"),
        (lambda t, f, n: even_times(t, f, n, zero=False), "leaves this 0 out"),
        (lambda t, f, n: even_times(t, f, n + 2)[1:-1], "should go from 0 to 1"),
        (lambda t, f, n: even_times(t, f, n) ** 1.1, "should be"),
    ],
)
def test_even_times_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson04.check_even_times(wrong)
