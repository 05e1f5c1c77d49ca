"""Exercises about the game of two networks: the losses, the discriminator's step, the way between two latent vectors."""

# ruff: noqa: E501  (a mistake a line)
import keras
import numpy as np

from gan_course.exercises.engine import Exercise, Failure, NotYet, difference, expect, passed, run, same

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


# --- the discriminator's step -------------------------------------------------------------------------


def _network(inputs, *widths):
    start = [keras.initializers.RandomNormal(stddev=0.5, seed=n) for n in widths]
    dense = [keras.layers.Dense(n, "tanh", kernel_initializer=s) for n, s in zip(widths, start, strict=True)]
    dense[-1].activation = keras.activations.linear
    return keras.Sequential([keras.Input((inputs,)), *dense])


def _gradients(losses, generator, discriminator, real, latent):
    """For each loss(real scores, fake scores): its gradients by the discriminator's weights, and its value."""
    import tensorflow as tf

    with tf.GradientTape(persistent=True) as tape:
        scores = discriminator(real), discriminator(generator(latent))
        values = [loss(*scores) for loss in losses]
    for value in values:
        gradients = tape.gradient(value, discriminator.trainable_variables, unconnected_gradients="zero")
        yield [np.asarray(g, "float64") for g in gradients], (np.asarray(value, "float64"),)


def _p(scores):
    return keras.ops.mean(keras.ops.softplus(scores))


# (hint, what the step goes down): the gradient by the discriminator's weights tells which one it was.
WRONG_STEPS = [
    ("It climbs: its loss grows. An optimiser goes *down*; give it the gradient of the loss, not of V.", lambda r, f: -_p(-r) - _p(f)),
    ("It learns from the real pictures alone. The loss needs the fakes as well: discriminator(generator(latent)), inside the tape.", lambda r, f: _p(-r)),
    ("It learns from the fakes alone. The loss needs the real pictures as well: discriminator(real), inside the tape.", lambda r, f: _p(f)),
    ("The step is half as long as it should be: add the real and the fake part, do not average them.", lambda r, f: (_p(-r) + _p(f)) / 2),
    ("The step is twice as long as it should be. Do you apply the gradients once?", lambda r, f: 2 * (_p(-r) + _p(f))),
    ("The step is too long by the size of the batch: the loss is a mean, not a sum.", lambda r, f: len(r) * (_p(-r) + _p(f))),
    ("It goes down the generator's loss. The discriminator has its own: it wants low scores for fakes and high ones for real pictures.", lambda r, f: _p(-f)),
    ("Real and fake are exchanged: the discriminator learns to say 'real' to the fakes. The real scores come first.", lambda r, f: _p(r) + _p(-f)),
    ("The fake part has the wrong sign: it pushes the scores of the fakes up.", lambda r, f: _p(-r) + _p(-f)),
    ("The real part has the wrong sign: it pushes the scores of the real pictures down.", lambda r, f: _p(r) + _p(f)),
    ("softplus wants the raw score; do not apply sigmoid before it.", lambda r, f: _p(-keras.ops.sigmoid(r)) + _p(keras.ops.sigmoid(f))),
]  # fmt: skip


TAPE = "Between the weights and the loss all must be computed with tensors, inside the tape."
APPLY = "The call is optimizer.apply(gradients, variables): two lists, in this order."
ADVICE = {"No gradients": TAPE, "has no attribute '_id'": TAPE, "'_unique_id'": APPLY, "'zip'": APPLY}


def advice(failure, table=ADVICE):
    """Return what helps with an error of TensorFlow that few understand, or ''."""
    return next((words for part, words in table.items() if part in failure), "") if isinstance(failure, Failure) else ""


def _down(r, f):
    return _p(-r) + _p(f)


def _steps(optimizer, gradients):
    return tuple(-float(optimizer.learning_rate) * g for g in gradients)


def _moved(before, network):
    return tuple(after - old for old, after in zip(before, network.get_weights(), strict=True))


def discriminator_step(step):
    """Check `step(generator, discriminator, optimizer, real, latent)` -> loss; it moves the discriminator downhill."""
    generator, discriminator = _network(3, 6, 4), _network(4, 5, 1)
    start = [network.get_weights() for network in (generator, discriminator)]
    rng, steps, optimizers = np.random.default_rng(0), [], keras.optimizers
    for optimizer, batch in ((optimizers.SGD(0.1), 6), (optimizers.SGD(0.03), 4), (optimizers.Adam(0.01), 6)):
        for network, weights in zip((generator, discriminator), start, strict=True):
            network.set_weights([(1 + 0.1 * len(steps)) * w + 0.05 * len(steps) for w in weights])
        before = [network.get_weights() for network in (generator, discriminator)]
        real, latent = (
            keras.ops.convert_to_tensor((rng.normal(size=(batch, n)) + shift).astype("float32"))
            for n, shift in ((4, 1.5), (3, 0))
        )
        players = generator, discriminator, real, latent
        [(right, loss)] = _gradients([_down], *players)
        if steps:  # a step inside `tf.function` may make an optimiser's variables only in its first call
            optimizer.build(discriminator.trainable_variables)
        rule = f"{type(optimizer).__name__}({float(optimizer.learning_rate):.2g})"
        answer = run(
            "discriminator_step",
            lambda o=optimizer, r=real, z=latent: step(generator, discriminator, o, r, z),
            {},
            what=f"two small networks, {rule} and {batch} pictures",
        )
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            frozen = not all(layer.trainable for layer in (network, *network.layers))
            for layer in (network, *network.layers):
                layer.trainable = True
            expect(not frozen, f"discriminator_step leaves {name}.trainable = False behind. It is not needed here.")
        moved = [_moved(old, network) for old, network in zip(before, players[:2], strict=True)]
        which = [any(np.abs(m).max() > 0 for m in moves) for moves in moved]
        fails = isinstance(answer, Failure) and answer.startswith("fails")
        for problem, hint in [
            (which == [True, False], "You moved the generator and not the discriminator: ask the tape for discriminator.trainable_variables, and give the optimiser the same list."),
            (which[0], "The generator moved as well. In this step only discriminator.trainable_variables may move: no other variables for the tape or an optimiser. (No `trainable = False` is needed.)"),
            (fails, f"discriminator_step {answer} {advice(answer)}".rstrip()),
            (not which[1], "The discriminator did not move. Do you call optimizer.apply(gradients, variables) after the tape?"),
        ]:  # fmt: skip
            expect(not problem, hint)
        steps.append((rule, optimizer, moved[1], right, (before, real, latent), answer, loss))

    *plain, adam = steps
    rights = [_steps(optimizer, right) for _, optimizer, _, right, *_ in plain]
    if not all(same(s[2], right, 1e-3) for s, right in zip(plain, rights, strict=True)):
        fits = WRONG_STEPS
        for _, optimizer, moved, _, (before, *batch), *_ in plain:
            for network, weights in zip((generator, discriminator), before, strict=True):
                network.set_weights(weights)
            found = _gradients([loss for _, loss in fits], generator, discriminator, *batch)
            moves = [_steps(optimizer, gradients) for gradients, _ in found]
            fits = [x for x, move in zip(fits, moves, strict=True) if same(moved, move, 1e-3)]
        expect(not fits, fits and fits[0][0])
        rule, _, moved, *_ = plain[0]
        raise NotYet(
            "The discriminator moves, but not by the gradient of its loss. How far the last bias should move with "
            f"{rule}: {difference((moved[-1],), (rights[0][-1],), 1e-3).replace('you return', 'yours moves by')}"
            if not same(moved[-1:], rights[0][-1:], 1e-3)
            else "Some weights of the discriminator move as they should, others do not. Do all of them get their own gradient?"
        )
    rule, optimizer, moved, right, *_ = adam
    signs = tuple(-float(optimizer.learning_rate) * np.sign(g) for g in right)  # Adam's first step
    expect(
        same(moved, signs, 1e-2),
        f"The step is right with SGD, but not with {rule}: let the given optimizer move the weights.",
    )
    for *_, answer, loss in steps:
        expect(not isinstance(answer, Failure), f"The step is right, but discriminator_step {answer} Return the loss.")
        answer = tuple(x.reshape(()) if x.size == 1 else x for x in answer)
        if not same(answer, loss, 1e-4):
            raise NotYet(f"The step is right, but not the loss: {difference(answer, loss, 1e-4)}")
    passed("one step down the discriminator's own loss, and the generator stays where it was.")


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
