"""Exercises about text: words as numbers, the cloud's divergence, a critic that reads, agreement."""

# ruff: noqa: E501  (a mistake a line)
import numpy as np

from gan_course.backend import ops
from gan_course.exercises.engine import Exercise

_rng = np.random.default_rng(8)

# --- words as numbers ---------------------------------------------------------------------------------


def _to_numbers(words, known, length, unknown=1, first=2, padding=0, front=False, keep=None):
    numbers = [known.index(word) + first if word in known else unknown for word in words]
    numbers = [n for n in numbers if n is not None]
    numbers = numbers[-length:] if keep == "end" else numbers[:length]
    gap = [padding] * (length - len(numbers))
    return gap + numbers if front else numbers + gap


KNOWN = "a and glasses man smiling with woman".split()
NUMBERS = Exercise(
    _to_numbers,
    cases=[
        ("a man".split(), KNOWN, 4), ("a tall woman with glasses".split(), KNOWN, 6),
        ("a smiling man with a smiling woman".split(), KNOWN, 5), ("zebra".split(), KNOWN, 3), ([], KNOWN, 2),
        ("man with glasses and a hat".split(), ["man", "hat"], 6), ("a woman and a man with glasses".split(), KNOWN, 3),
    ],
    mistakes=[
        ("Your numbers of the known words begin with 0, which stands for padding: add 2.", lambda w, k, n: _to_numbers(w, k, n, first=0)),
        ("Your numbers of the known words begin with 1, which stands for an unknown word: add 2.", lambda w, k, n: _to_numbers(w, k, n, first=1)),
        ("An unknown word has the number 1, not 0: 0 stands for padding, where no word is.", lambda w, k, n: _to_numbers(w, k, n, unknown=0)),
        ("You leave unknown words out. They keep their place, with the number 1.", lambda w, k, n: _to_numbers(w, k, n, unknown=None)),
        ("The padding comes after the words, not before them.", lambda w, k, n: _to_numbers(w, k, n, front=True)),
        ("You fill up with 1; padding has the number 0.", lambda w, k, n: _to_numbers(w, k, n, padding=1)),
        ("Of a sentence that is too long the *first* words are kept.", lambda w, k, n: _to_numbers(w, k, n, keep="end")),
        ("The padding is missing: the list has `length` numbers, however short the sentence.", lambda w, k, n: _to_numbers(w, k, n)[: len(w)]),
        ("A long sentence gives a long list: cut it after `length` words.", lambda w, k, n: _to_numbers(w, k, max(n, len(w)))),
    ],
    rule="Known words: their place in `known` + 2; unknown ones: 1; then 0 up to `length` numbers.",
    praise="known words by their place, unknown words by 1, padding by 0.",
)  # fmt: skip

# --- the divergence of the cloud ------------------------------------------------------------------------


def _divergence(mean, log_variance, half=0.5, one=1.0, over=np.sum, square=np.square, spread=np.exp, sign=1.0):
    each = square(mean) + spread(log_variance) - sign * log_variance - one
    return half * np.mean(over(each, axis=1))


def _cloud(n, d, scale=1.0, shift=0.0):
    return scale * _rng.normal(size=(n, d)), scale * _rng.normal(size=(n, d)) + shift


DIVERGENCE = Exercise(
    _divergence,
    cases=[
        (np.array([[0.0]]), np.array([[0.0]])), (np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])), _cloud(3, 2),
        _cloud(5, 4, 0.5, -2.0), _cloud(2, 7, 0.1), _cloud(8, 3, 1.5), _cloud(4, 6, 1.0, 1.0),
    ],
    mistakes=[
        ("The factor 1/2 is missing.", lambda m, v: _divergence(m, v, half=1.0)),
        ("The - 1 is missing: a cloud that is N(0, I) must have the divergence 0.", lambda m, v: _divergence(m, v, one=0.0)),
        ("You take the mean over the numbers of a sentence; add them up (and take the mean over the sentences).", lambda m, v: _divergence(m, v, over=np.mean)),
        ("You add up the sentences as well; take the mean over them.", lambda m, v: _divergence(m, v) * len(m)),
        ("The mean is not squared.", lambda m, v: _divergence(m, v, square=lambda x: x), lambda m, v: _divergence(m, v, square=np.abs)),
        ("`log_variance` is the logarithm of sigma^2: where the formula has sigma^2, take np.exp of it.", lambda m, v: _divergence(m, v, spread=lambda x: x), lambda m, v: _divergence(m, v, spread=np.square)),
        ("np.exp(log_variance) is sigma^2 already; you square it once more, or take the root.", lambda m, v: _divergence(m, v, spread=lambda x: np.exp(2 * x)), lambda m, v: _divergence(m, v, spread=lambda x: np.exp(x / 2))),
        ("The sign of log sigma^2 is wrong: it is subtracted.", lambda m, v: _divergence(m, v, sign=-1.0)),
        ("You return one number for each sentence; take their mean.", lambda m, v: 0.5 * (m**2 + np.exp(v) - v - 1).sum(1)),
    ],
    rule="Half of the sum of mean^2 + exp(log_variance) - log_variance - 1, the mean over the sentences.",
    praise="0 for N(0, I), and more for each number that the sentence moves or makes surer.",
)  # fmt: skip

# --- the critic that reads ----------------------------------------------------------------------------------


def _softplus(x):
    return np.logaddexp(0, x)


def _critic_loss(right, fake, wrong, parts=(1.0, 0.5, 0.5), signs=(-1, 1, 1)):
    return sum(p * np.mean(_softplus(s * x)) for p, s, x in zip(parts, signs, (right, fake, wrong), strict=True))


def _scores(n, scale=1.0):
    return tuple((scale * _rng.normal(size=(n, 1)) + shift).astype("float32") for shift in (1.0, -1.0, 0.3))


CRITIC = Exercise(
    _critic_loss,
    cases=[
        (np.array([[0.0]]), np.array([[0.0]]), np.array([[0.0]])), (np.array([[2.0]]), np.array([[-1.0]]), np.array([[1.0]])),
        _scores(4), _scores(8, 3.0), _scores(3, 0.2), _scores(16), _scores(2, 30.0),
    ],
    mistakes=[
        ("Two negatives with the weight 1 outweigh the one positive (T2F's loss): give each 1/2.", lambda r, f, w: _critic_loss(r, f, w, (1, 1, 1))),
        ("The score of the real face under the wrong sentence is missing.", lambda r, f, w: _critic_loss(r, f, w, (1, 1, 0)), lambda r, f, w: _critic_loss(r, f, w, (1, 0.5, 0))),
        ("The drawn face is missing.", lambda r, f, w: _critic_loss(r, f, w, (1, 0, 1)), lambda r, f, w: _critic_loss(r, f, w, (1, 0, 0.5))),
        ("The pair of face and right sentence is missing.", lambda r, f, w: _critic_loss(r, f, w, (0, 0.5, 0.5))),
        ("A real face under a wrong sentence is an example of what does *not* fit: its score must go down, softplus(wrong).", lambda r, f, w: _critic_loss(r, f, w, signs=(-1, 1, -1))),
        ("The signs are the wrong way round: the right pair's score must go up, softplus(-right), the others down.", lambda r, f, w: _critic_loss(r, f, w, signs=(1, -1, -1))),
        ("The right pair has only half of its weight: 1 for it, 1/2 for each of the others.", lambda r, f, w: _critic_loss(r, f, w, (0.5, 0.5, 0.5))),
        ("Your three weights are equal: 1 for the right pair, 1/2 for each of the others.", lambda r, f, w: _critic_loss(r, f, w, (1 / 3, 1 / 3, 1 / 3))),
        ("The score of the right pair must go *up*: softplus(-right).", lambda r, f, w: _critic_loss(r, f, w, signs=(1, 1, 1))),
        ("The score of the drawn face must go down: softplus(fake).", lambda r, f, w: _critic_loss(r, f, w, signs=(-1, -1, 1))),
        ("You return a number for each face; take means over the batch.", lambda r, f, w: _softplus(-r) + 0.5 * _softplus(f) + 0.5 * _softplus(w)),
        ("You take sums over the batch; take means.", lambda r, f, w: _critic_loss(r, f, w) * len(r)),
    ],
    tensors=True, tolerance=1e-3, loose=True,
    rule="mean softplus(-right) + mean softplus(fake) / 2 + mean softplus(wrong) / 2.",
    praise="one positive, two negatives of half the weight.",
)  # fmt: skip

# --- agreement ------------------------------------------------------------------------------------------------


def _agreement(said, told, count=lambda told: told != 0, right=lambda said, told: said == (told > 0)):
    return (right(said, told) & count(told)).sum() / count(told).sum()


def _facts(n, k, often=0.4):
    said = _rng.random((n, k)) < 0.5
    told = np.where(_rng.random((n, k)) < 0.7, 1, -1) * np.where(said, 1, -1) * (_rng.random((n, k)) < often)
    told[0, 0] = 1
    return said, told


AGREEMENT = Exercise(
    _agreement,
    cases=[
        (np.array([[True, False]]), np.array([[1, -1]])), (np.array([[True, True, False]]), np.array([[1, -1, 0]])),
        _facts(3, 4), _facts(10, 5), _facts(20, 8, 0.2), _facts(6, 3, 0.9), _facts(30, 6),
    ],
    mistakes=[
        ("Things that are not told (0) count in yours. Leave them out, above and below.", lambda s, t: (s == (t > 0)).mean(), lambda s, t: _agreement(s, t, right=lambda s, t: s == (t > 0)) * (t != 0).mean()),
        ("`said` holds True and False, `told` 1, -1 and 0: compare `said` with `told > 0`, and leave out where told is 0.", lambda s, t: (s == t).sum() / (t != 0).sum(), lambda s, t: (s == t).mean()),
        ("You count only what is told to be there; what is told to be absent counts, too.", lambda s, t: _agreement(s, t, count=lambda t: t > 0)),
        ("You count only what is told to be absent.", lambda s, t: (~s & (t < 0)).sum() / max((t < 0).sum(), 1)),
        ("You count what the judge says and is told, but not what is told absent and not there.", lambda s, t: (s & (t > 0)).sum() / (t != 0).sum()),
        ("This is the share that does *not* agree.", lambda s, t: 1 - _agreement(s, t)),
        ("You return a number for each face; wanted is one share over all told things.", lambda s, t: ((s == (t > 0)) & (t != 0)).sum(1) / np.maximum((t != 0).sum(1), 1)),
        ("You take the share of each face and then the mean: a sentence that tells much must count more.", lambda s, t: np.mean([((a == (b > 0)) & (b != 0)).sum() / (b != 0).sum() for a, b in zip(s, t, strict=True) if b.any()])),
        ("You return how many agree; divide by how many are told.", lambda s, t: ((s == (t > 0)) & (t != 0)).sum()),
    ],
    rule="Of all things that are told (told is not 0): the share that the judge sees as told.",
    praise="the told things that are seen as told, of all that are told.",
)  # fmt: skip

to_numbers, divergence, critic_loss, agreement = NUMBERS.check, DIVERGENCE.check, CRITIC.check, AGREEMENT.check

# What a lesson goes on with where the student's own answer is not right yet.
right_to_numbers, right_divergence, right_agreement = NUMBERS.right, DIVERGENCE.right, AGREEMENT.right


def right_critic_loss(right, fake, wrong):
    """The loss of the critic that reads, for tensors."""
    return ops.mean(ops.softplus(-right)) + 0.5 * ops.mean(ops.softplus(fake)) + 0.5 * ops.mean(ops.softplus(wrong))
