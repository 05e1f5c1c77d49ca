"""Exercises about the game of two networks: the losses, both players' gradients, the way between two latent vectors."""

# ruff: noqa: E501  (a mistake a line)
import keras
import numpy as np

from gan_course.backend import Tape
from gan_course.exercises.engine import Exercise, Failure, NotYet, array, difference, expect, passed, run, same

# --- the losses ---------------------------------------------------------------------------------------

_rng = np.random.default_rng(1)
DIGITS = "For large scores like these, log(sigmoid(score)) and log(1 + exp(score)) are inexact or infinite: use ops.softplus."


def _scores(*shape, scale=2.0, shift=0.0):
    return (scale * _rng.normal(size=shape) + shift).astype("float32")


def _plus(scores):
    return np.logaddexp(0, np.asarray(scores, "float64")).mean()


def _sigmoid(scores):
    return 1 / (1 + np.exp(-np.asarray(scores, "float64")))


def _discriminator_loss(real_scores, fake_scores):
    return _plus(-real_scores) + _plus(fake_scores)


SMALL = np.array([[2.0], [-0.5]], "float32"), np.array([[0.25], [-1.0]], "float32")
D_LOSS = Exercise(
    _discriminator_loss,
    cases=[
        SMALL, (_scores(4, 1, shift=1), _scores(4, 1)), (_scores(7, 1, scale=5), _scores(7, 1, scale=5)),
        (_scores(3, 1, scale=0.1), _scores(3, 1, scale=0.1, shift=-1)), (_scores(1, 1), _scores(1, 1)),
    ],
    edges=[
        (DIGITS, tuple(np.array([[s], [0.5]], "float32") for s in (-200.0, 200.0))),
        (DIGITS, tuple(np.array([[s], [-1.0]], "float32") for s in (200.0, -200.0))),
        (DIGITS, tuple(np.array([[s], [0.1]], "float32") for s in (-30.0, 30.0))),
    ],
    mistakes=[
        ("Both signs are turned round, or real and fake are exchanged: -log D is softplus(-score) of the real ones, and -log(1 - D) is softplus(score) of the fakes.", lambda r, f: _plus(r) + _plus(-f)),
        ("The fake part has the wrong sign: -log(1 - D) is softplus(+score).", lambda r, f: _plus(-r) + _plus(-f)),
        ("The real part has the wrong sign: -log D is softplus(-score).", lambda r, f: _plus(r) + _plus(f)),
        ("The sign is turned round. The discriminator maximises V, so what it *minimises* is -V.", lambda r, f: -_discriminator_loss(r, f)),
        ("That is half of the loss. V adds its two means; do not average them, and do not take one mean over all scores.", lambda r, f: _discriminator_loss(r, f) / 2),
        ("You subtract the fake part; add it.", lambda r, f: _plus(-r) - _plus(f)),
        ("The fakes are missing: add the part of the fake scores.", lambda r, f: _plus(-r)),
        ("The real pictures are missing: add the part of the real scores.", lambda r, f: _plus(f)),
        ("You sum over the batch. Take the mean, or the loss grows with the batch.", lambda r, f: len(r) * _discriminator_loss(r, f)),
        ("A loss is one number: take the mean over the batch.", lambda r, f: np.logaddexp(0, -r) + np.logaddexp(0, f)),
        ("softplus wants the raw score; do not apply sigmoid before it.", lambda r, f: _discriminator_loss(_sigmoid(r), _sigmoid(f))),
        ("That is the Wasserstein loss; here D is sigmoid(score), and the loss is made of logarithms.", lambda r, f: f.mean() - r.mean()),
    ],
    tensors=True, loose=True,
)  # fmt: skip


def _generator_loss(fake_scores):
    return _plus(-fake_scores)


G_LOSS = Exercise(
    _generator_loss,
    cases=[(SMALL[1],), (_scores(4, 1),), (_scores(7, 1, scale=5),), (_scores(3, 1, scale=0.1),), (_scores(1, 1),)],
    edges=[(DIGITS, (np.array([[-200.0], [0.5]], "float32"),)), (DIGITS, (np.array([[200.0], [-30.0]], "float32"),))],
    mistakes=[
        ("That pushes the scores of the fakes *down*. The generator wants them up: softplus(-score).", lambda f: _plus(f)),
        ("That is the minimax loss log(1 - D): right in theory, but its gradient vanishes while D wins. Use -log D = softplus(-score).", lambda f: -_plus(f)),
        ("The sign is turned round: a loss is minimised, and log D should grow.", lambda f: -_plus(-f)),
        ("You sum over the batch; take the mean.", lambda f: len(f) * _plus(-f)),
        ("A loss is one number: take the mean over the batch.", lambda f: np.logaddexp(0, -f)),
        ("softplus wants the raw score; do not apply sigmoid before it.", lambda f: _plus(-_sigmoid(f))),
        ("That is the Wasserstein loss; the non-saturating one is -log D.", lambda f: -f.mean()),
    ],
    tensors=True, loose=True,
)  # fmt: skip


def game_losses(discriminator_loss, generator_loss):
    """Check the non-saturating losses from raw scores of shape (batch, 1)."""
    D_LOSS.judge(discriminator_loss)
    G_LOSS.judge(generator_loss)
    passed("both losses, and they keep their digits for scores as large as 200.")


# --- the two players' gradients -----------------------------------------------------------------------


# The package has no such functions, because its GAN draws the fakes once for both players. A lesson goes on with these
# two until the student has written them.
def right_discriminator_gradients(generator, discriminator, real, latent):
    """Return D's loss and its gradient by each of D's weights."""
    with Tape() as tape:
        loss = _down(discriminator(real), discriminator(generator(latent)))
    return loss, tape.gradient(loss, discriminator.trainable_variables)


def right_generator_gradients(generator, discriminator, latent):
    """Return G's loss and its gradient by each of G's weights."""
    with Tape() as tape:
        loss = _p(-discriminator(generator(latent)))
    return loss, tape.gradient(loss, generator.trainable_variables)


def _p(scores):
    return keras.ops.mean(keras.ops.softplus(scores))


def _down(r, f):
    return _p(-r) + _p(f)


# (hint, the loss of real and fake scores that was used): the gradients tell which one it was.
WRONG_D = [
    ("The signs are turned round, so D would climb. An optimiser goes *down*: take the gradient of the loss -V, not of V.", lambda r, f: -_down(r, f)),
    ("D learns from the real pictures alone. The loss needs the fakes as well: discriminator(generator(latent)), inside the tape.", lambda r, f: _p(-r)),
    ("D learns from the fakes alone. The loss needs the real pictures as well: discriminator(real), inside the tape.", lambda r, f: _p(f)),
    ("All is half as large as it should be: add the real and the fake part, do not average them.", lambda r, f: _down(r, f) / 2),
    ("All is twice as large as it should be: the loss has one real and one fake part.", lambda r, f: 2 * _down(r, f)),
    ("All is too large by the size of the batch: the loss is a mean, not a sum.", lambda r, f: len(r) * _down(r, f)),
    ("That is the generator's loss. The discriminator has its own: it wants low scores for fakes and high ones for real pictures.", lambda r, f: _p(-f)),
    ("Real and fake are exchanged: D learns to say 'real' to the fakes. The real scores come first.", lambda r, f: _p(r) + _p(-f)),
    ("The fake part has the wrong sign: it pushes the scores of the fakes up.", lambda r, f: _p(-r) + _p(-f)),
    ("The real part has the wrong sign: it pushes the scores of the real pictures down.", lambda r, f: _p(r) + _p(f)),
    ("softplus wants the raw score; do not apply sigmoid before it.", lambda r, f: _down(keras.ops.sigmoid(r), keras.ops.sigmoid(f))),
    ("That is the Wasserstein loss; the one of this lesson is made of logarithms: softplus.", lambda r, f: keras.ops.mean(f) - keras.ops.mean(r)),
]  # fmt: skip

WRONG_G = [
    ("That is the discriminator's loss: it pushes the scores of the fakes *down*. The generator wants them up: softplus(-score).", lambda r, f: _p(f)),
    ("That is the minimax loss log(1 - D): right in theory, but its gradient vanishes while D wins. Use -log D = softplus(-score).", lambda r, f: -_p(f)),
    ("The signs are turned round, so G would climb. An optimiser goes *down*: the loss is -log D, without another minus.", lambda r, f: -_p(-f)),
    ("All is half as large as it should be: the loss is one mean over the fakes, and nothing is divided by two.", lambda r, f: _p(-f) / 2),
    ("All is twice as large as it should be: take the loss once.", lambda r, f: 2 * _p(-f)),
    ("All is too large by the size of the batch: the loss is a mean, not a sum.", lambda r, f: len(f) * _p(-f)),
    ("softplus wants the raw score; do not apply sigmoid before it.", lambda r, f: _p(-keras.ops.sigmoid(f))),
    ("The logarithm is missing: the loss is -log D, and softplus(-score) is just that.", lambda r, f: -keras.ops.mean(keras.ops.sigmoid(f))),
    ("That is the Wasserstein loss; the non-saturating one is -log D.", lambda r, f: -keras.ops.mean(f)),
]  # fmt: skip

TAPE = "Between the weights and the loss all must be computed with tensors, inside the tape."
ADVICE = {"has no attribute '_id'": TAPE, "argument `type_value`": TAPE}


def advice(failure, table=ADVICE):
    """Return what helps with an error of TensorFlow that few understand, or ''."""
    return next((words for part, words in table.items() if part in failure), "") if isinstance(failure, Failure) else ""


def _network(inputs, *widths):
    start = [keras.initializers.RandomNormal(stddev=0.5, seed=n) for n in widths]
    dense = [keras.layers.Dense(n, "tanh", kernel_initializer=s) for n, s in zip(widths, start, strict=True)]
    dense[-1].activation = keras.activations.linear
    return keras.Sequential([keras.Input((inputs,)), *dense])


def _untouched(networks, before):
    """Raise `NotYet` where a student's function has changed a network."""
    for (name, network), weights in zip(networks.items(), before, strict=True):
        frozen = not all(layer.trainable for layer in (network, *network.layers))
        expect(not frozen, f"You leave {name}.trainable = False behind. It is not needed: the list of weights decides.")
        same_weights = all(map(np.array_equal, network.get_weights(), weights))
        expect(
            same_weights, f"The {name} has moved. Only give back the loss and the gradients; the players move later."
        )


def _loss_and_gradients(answer, networks, player):
    """Return (loss, gradient, gradient ...) of what a student's function returns; `NotYet` where it is something else."""
    [other] = set(networks) - {player}
    mine, theirs = ([tuple(w.shape) for w in networks[name].trainable_variables] for name in (player, other))
    mine_only = f"Ask the tape for {player}.trainable_variables, and for no others."
    expect(answer is not None, "It returns nothing; end it with `return loss, gradients`.")
    two = isinstance(answer, tuple | list) and len(answer) == 2
    expect(two, "It must return two things: the loss, and the list that tape.gradient gives: `return loss, gradients`.")
    loss, gradients = answer
    expect(not isinstance(loss, tuple | list), "The loss comes first, then the gradients: `return loss, gradients`.")
    expect(
        isinstance(gradients, tuple | list),
        "The second thing must be a list of gradients, as tape.gradient(loss, list of weights) gives it.",
    )
    expect(len(gradients) != len(mine + theirs), f"You return gradients for both networks. {mine_only}")
    if gradients and all(g is None for g in gradients):
        raise NotYet(
            f"No gradient arrives: tape.gradient gives None for each weight. The way from the {player}'s weights to the "
            f"loss must be computed inside the tape, and with tensors, not with NumPy. {mine_only}"
        )
    shapes = [None if g is None else array(g).shape for g in gradients]
    expect(shapes != theirs, f"These are gradients for the {other}'s weights. {mine_only}")
    expect(
        shapes == mine,
        f"The {player} has {len(mine)} arrays of weights; return one gradient for each of {player}.trainable_variables, "
        "in this order and each of its shape.",
    )
    return loss, *gradients


def _values(losses, networks, player, real, latent):
    """Return, for each loss(real scores, fake scores), its `parts` and those of its gradients by the player's weights."""
    with Tape() as tape:
        scores = networks["discriminator"](real), networks["discriminator"](networks["generator"](latent))
        values = [loss(*scores) for loss in losses]
    weights = networks[player].trainable_variables
    return [tuple(map(array, (value, *tape.gradient(value, weights)))) for value in values]


def _judge_gradients(name, function, right, mistakes):
    """Raise `NotYet` unless function(generator, discriminator, [real,] latent) -> (loss, gradients) does as `right`."""
    player = name.removesuffix("_gradients")
    networks = {"generator": _network(3, 6, 4), "discriminator": _network(4, 5, 1)}
    start = [network.get_weights() for network in networks.values()]
    rng, seen = np.random.default_rng(0), []
    for i, count in enumerate((6, 4, 5)):
        for network, weights in zip(networks.values(), start, strict=True):
            network.set_weights([(1 + 0.1 * i) * w + 0.05 * i for w in weights])
        before = [network.get_weights() for network in networks.values()]
        real, latent = (
            keras.ops.convert_to_tensor((rng.normal(size=(count, n)) + shift).astype("float32"))
            for n, shift in ((4, 1.5), (3, 0))
        )
        batch = {"discriminator": (real, latent), "generator": (latent,)}[player]

        def answered(batch=batch, before=before):
            answer = function(*networks.values(), *batch)
            _untouched(networks, before)
            return _loss_and_gradients(answer, networks, player)

        names = ("loss", *(f"gradient {j}" for j in range(len(before[-1]))))
        try:
            answer = run(name, answered, {}, names, what=f"two small networks and {count} pictures")
        except NotYet as problem:
            raise NotYet(f"{name}: {problem}") from None
        expect(not isinstance(answer, Failure), f"{name} {answer} {advice(answer)}".rstrip())
        seen.append((answer, _values([right, *(loss for _, loss in mistakes)], networks, player, real, latent)))

    rights = [values[0] for _, values in seen]
    if not all(same(answer[1:], values[0][1:], 1e-3) for answer, values in seen):
        for i, (hint, _) in enumerate(mistakes, 1):
            expect(not all(same(answer[1:], values[i][1:], 1e-3) for answer, values in seen), f"{name}: {hint}")
        answer = seen[0][0]
        if any(same((a,), (b,), 1e-3) for a, b in zip(answer[1:], rights[0][1:], strict=True)):
            raise NotYet(f"{name}: some gradients are right, others are not. All must come from one loss, as they are.")
        said = difference(answer[-1:], rights[0][-1:], 1e-3)
        raise NotYet(f"{name}: these are not the gradients of the {player}'s loss. For its last bias {said}")
    for (loss, *_), (value, *_) in zip((answer for answer, _ in seen), rights, strict=True):
        loss = loss.reshape(()) if loss.size == 1 else loss
        if not same((loss,), (value,), 1e-4):
            raise NotYet(f"{name}: the gradients are right, but not the loss: {difference((loss,), (value,), 1e-4)}")


def discriminator_gradients(function):
    """Check `function(generator, discriminator, real, latent)` -> (D's loss, its gradients by D's weights)."""
    _judge_gradients("discriminator_gradients", function, _down, WRONG_D)
    passed("the discriminator's own loss, and how it changes with each of the discriminator's weights.")


def generator_gradients(function):
    """Check `function(generator, discriminator, latent)` -> (G's loss, its gradients by G's weights)."""
    _judge_gradients("generator_gradients", function, lambda r, f: _p(-f), WRONG_G)
    passed("the generator's own loss, and its gradient flows through the discriminator into the generator's weights.")


# --- the way between two latent vectors ---------------------------------------------------------------


def _lerp(a, b, t):
    return (1 - t) * a + t * b


def _vectors(n, scale=1.0, dtype="float64"):
    return (scale * _rng.normal(size=(2, n))).astype(dtype)


_TIMES = (0.25, 0.5, 0.9, 0.0, 1.0)
BACKWARDS = "It walks backwards: t = 0 should give a, and t = 1 should give b."
LERP = Exercise(
    _lerp,
    cases=[
        (*pair, t)
        for pair in (np.array([[1.0, 2.0], [3.0, -2.0]]), _vectors(64, dtype="float32"), _vectors(5, 30.0))
        for t in _TIMES
    ],
    mistakes=[
        (BACKWARDS, lambda a, b, t: _lerp(b, a, t)),
        ("a must lose weight while b comes: (1 - t) a + t b.", lambda a, b, t: a + t * b),
        ("b has its full weight from the start: (1 - t) a + t b.", lambda a, b, t: (1 - t) * a + b),
        ("That is the middle for every t.", lambda a, b, t: (a + b) / 2),
        (
            "The steps are not equal: t itself is the weight of b.",
            lambda a, b, t: _lerp(a, b, t * t * (3 - 2 * t)),
            lambda a, b, t: _lerp(a, b, t**2),
        ),
    ],
    rule="The weights are 1 - t for a and t for b.",
)


def _slerp(a, b, t, omega=None, line=True):
    size = np.linalg.norm(a) * np.linalg.norm(b)
    omega = np.arccos(np.clip(a @ b / size, -1, 1)) if omega is None else omega
    if line and abs(np.sin(omega)) < 1e-4:
        return _lerp(a, b, t)
    return (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)


def _with(omega):
    return lambda a, b, t: _slerp(a, b, t, omega(a, b), line=False)


def _unit(v):
    return v / np.linalg.norm(v)


def _walks():
    """(a, b) of many kinds: two that are easy to draw, other lengths and angles, both types of numbers."""
    a, b = _vectors(64)
    yield np.array([5.0, 0.0]), np.array([0.0, 5.0])
    yield np.array([4.0, 0.0, 3.0]), np.array([1.0, 2.0, -2.0])
    yield 8 * _unit(a), 8 * _unit(b)
    yield from (_vectors(64, dtype="float32"), _vectors(3, 20.0), _vectors(7, 0.05))
    yield a, a + 0.3 * b
    yield 2 * a, b - 1.2 * a


def _parallel():
    """Pairs with no angle between them; for some of them rounding makes the cosine larger than 1."""
    for n in range(2, 42):
        a = _vectors(n)[0].astype("float32" if n % 2 else "float64")
        yield a, (a if n % 3 else 2 * a)


PARALLEL = "The angle is 0: return the straight line here, and np.clip the cosine to -1..1 before np.arccos."
SLERP = Exercise(
    _slerp,
    cases=[(*pair, t) for pair in _walks() for t in _TIMES],
    edges=[(PARALLEL, (*pair, 0.25)) for pair in _parallel()],
    mistakes=[
        ("That is still the straight line. Its middle is nearer to the centre than its ends are.", _lerp),
        (BACKWARDS, lambda a, b, t: _slerp(b, a, t)),
        ("That is the straight line, stretched to another length: its steps on the sphere are not equal.", lambda a, b, t: _unit(_lerp(a, b, t)) * np.linalg.norm(a), lambda a, b, t: _unit(_lerp(a, b, t)) * _lerp(np.linalg.norm(a), np.linalg.norm(b), t), lambda a, b, t: _unit(_lerp(a, b, t))),
        ("The angle is not always 90 degrees. Take it from a and b.", _with(lambda a, b: np.pi / 2)),
        ("The cosine of the angle is a @ b / (|a| |b|): divide by both lengths.", _with(lambda a, b: np.arccos(np.clip(a @ b, -1, 1))), _with(lambda a, b: np.arccos(a @ b))),
        ("The cosine of the angle is a @ b / (|a| |b|): divide by both lengths, not by one of them.", _with(lambda a, b: np.arccos(np.clip(a @ b / np.linalg.norm(a) ** 2, -1, 1)))),
        ("omega is the angle, and you use its cosine: np.arccos.", _with(lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b))),
        ("The sines want radians, not degrees.", _with(lambda a, b: np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))))),
        ("You return unit vectors: multiply the sines with a and b themselves.", lambda a, b, t: _slerp(_unit(a), _unit(b), t)),
        ("You walk between unit vectors and stretch the result. The formula has a and b themselves.", lambda a, b, t: _slerp(_unit(a), _unit(b), t) * _lerp(np.linalg.norm(a), np.linalg.norm(b), t), lambda a, b, t: _slerp(_unit(a), _unit(b), t) * np.linalg.norm(a), lambda a, b, t: _unit(_slerp(a, b, t)) * np.linalg.norm(a)),
        ("The division by sin(omega) is missing.", lambda a, b, t: _slerp(a, b, t) * np.sin(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))),
        ("That is the middle for every t.", lambda a, b, t: _slerp(a, b, 0.5)),
    ],
    praise="equal steps on the sphere, from a to b.",
)  # fmt: skip


def between(lerp, slerp):
    """Check `lerp(a, b, t)`: on the line, and `slerp(a, b, t)`: on the sphere; a and b (n,), t from 0 to 1."""
    LERP.judge(lerp)
    SLERP.judge(slerp)
    passed("both ways lead from a to b, and slerp keeps its distance from the centre.")
