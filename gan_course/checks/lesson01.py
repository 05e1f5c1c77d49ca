"""Self-checks of lesson 01: the losses, the discriminator's step, the way between two latent vectors."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from gan_course import losses
from gan_course.checks import expect, passed


def _number(value, name):
    expect(value is not None, f"{name} returns nothing; end it with `return ...`.")
    value = np.asarray(ops.convert_to_numpy(value), "float64")
    expect(
        value.size == 1,
        f"{name} gives {value.size} numbers (shape {value.shape}). A loss is one number: the mean over the batch.",
    )
    return float(value.reshape(()))


def _same(a, b):
    return bool(np.isclose(a, b, rtol=1e-4, atol=1e-5))


def game_losses(discriminator_loss, generator_loss):
    """The non-saturating losses from raw scores of shape (batch, 1)."""
    real = np.array([[2.0], [0.5], [-1.0]], "float32")
    fake = np.array([[-3.0], [1.0], [0.2], [-0.4]], "float32")
    pair = losses.adversarial_loss("non_saturating")
    softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
    right = float(pair.discriminator(real, fake))

    got = _number(discriminator_loss(ops.convert_to_tensor(real), ops.convert_to_tensor(fake)), "discriminator_loss")
    plus, minus = (lambda s: float(softplus(s).mean())), (lambda s: float(softplus(-s).mean()))
    hints = [
        (plus(real) + minus(fake), "Both signs are turned round: -log D is softplus(-score), and -log(1 - D) is softplus(score)."),
        (minus(real) + minus(fake), "The fake part has the wrong sign: -log(1 - D) is softplus(+score)."),
        (plus(real) + plus(fake), "The real part has the wrong sign: -log D is softplus(-score)."),
        (-right, "The sign is turned round. The discriminator maximises V, so what it *minimises* is -V."),
        (right / 2, "You take the mean of the two parts. V adds them, so at D = 1/2 the loss is log 4."),
        ((3 * minus(real) + 4 * plus(fake)) / 7, "You take one mean over real and fake scores together. "
                      "V has two means: take the mean of each kind, and add the two."),
        (minus(real), "The fakes are missing: add the part of the fake scores."),
        (plus(fake), "The real pictures are missing: add the part of the real scores."),
        (float(softplus(-real).sum() + softplus(fake).sum()), "You sum over the batch. Take the mean, or the loss grows with the batch."),
    ]  # fmt: skip
    for wrong, hint in hints:
        expect(not _same(got, wrong), "discriminator_loss: " + hint)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    squashed = minus(sigmoid(real)) + plus(sigmoid(fake))
    expect(
        not _same(got, squashed), "discriminator_loss: softplus wants the raw score; do not apply sigmoid before it."
    )
    expect(_same(got, right), f"discriminator_loss: here {right:.4f} is right, and you give {got:.4f}.")

    right_g = minus(fake)
    got = _number(generator_loss(ops.convert_to_tensor(fake)), "generator_loss")
    hints = [
        (plus(fake), "That pushes the scores of the fakes *down*. The generator wants them up: softplus(-score)."),
        (-plus(fake), "That is the minimax loss log(1 - D): right in theory, but its gradient vanishes while D wins. "
                      "Use -log D = softplus(-score)."),
        (-right_g, "The sign is turned round: a loss is minimised, and log D should grow."),
        (float(softplus(-fake).sum()), "You sum over the batch; take the mean."),
    ]  # fmt: skip
    for wrong, hint in hints:
        expect(not _same(got, wrong), "generator_loss: " + hint)
    expect(_same(got, right_g), f"generator_loss: here {right_g:.4f} is right, and you give {got:.4f}.")

    sure = np.array([[200.0]], "float32")
    large = _number(discriminator_loss(ops.convert_to_tensor(-sure), ops.convert_to_tensor(sure)), "discriminator_loss")
    expect(
        np.isfinite(large) and abs(large - 400) < 1,
        f"discriminator_loss: for scores of -200 and 200 the loss should be 400, and is {large}. "
        "log(sigmoid(score)) runs out of digits: use ops.softplus.",
    )
    large = _number(generator_loss(ops.convert_to_tensor(-sure)), "generator_loss")
    expect(
        np.isfinite(large) and abs(large - 200) < 1,
        f"generator_loss: for a score of -200 the loss should be 200, and is {large}. Use ops.softplus.",
    )
    passed("both losses, and they keep their digits for scores as large as 200.")


def _players():
    generator = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, kernel_initializer=keras.initializers.RandomNormal(seed=1))]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(
                5, activation="tanh", kernel_initializer=keras.initializers.RandomNormal(stddev=0.5, seed=2)
            ),
            keras.layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.5, seed=3)),
        ]
    )
    return generator, discriminator


def _moved(before, network):
    return [after - old for old, after in zip(before, network.get_weights(), strict=True)]


def discriminator_step(step):
    """`step(generator, discriminator, optimizer, real, latent)` -> loss; moves the discriminator only, downhill."""
    generator, discriminator = _players()
    rng = np.random.default_rng(0)
    real = ops.convert_to_tensor(rng.normal(2.0, 1.0, (6, 4)).astype("float32"))
    latent = ops.convert_to_tensor(rng.normal(size=(6, 3)).astype("float32"))
    pair = losses.adversarial_loss("non_saturating")
    rate = 0.1
    optimizer = keras.optimizers.SGD(rate)
    before_g, before_d = generator.get_weights(), discriminator.get_weights()

    with tf.GradientTape() as tape:
        right = pair.discriminator(discriminator(real), discriminator(generator(latent)))
    gradients = [np.asarray(g) for g in tape.gradient(right, discriminator.trainable_variables)]
    with tf.GradientTape() as tape:  # what a step against the real pictures alone would do
        half = pair.discriminator(discriminator(real), ops.full((6, 1), -1e9))
    wrong_losses = {
        "You use the generator's loss. The discriminator has its own: log D for real pictures is in it too, and it "
        "wants low scores for fakes.": lambda: pair.generator(discriminator(generator(latent))),
        "You swapped real and fake: the discriminator learns to say 'real' to the fakes. The real scores come first.": (
            lambda: pair.discriminator(discriminator(generator(latent)), discriminator(real))
        ),
    }
    wrong_gradients = {}
    for text, wrong in wrong_losses.items():
        with tf.GradientTape() as wrong_tape:
            value = wrong()
        wrong_gradients[text] = [np.asarray(g) for g in wrong_tape.gradient(value, discriminator.trainable_variables)]
    only_real = [np.asarray(g) for g in tape.gradient(half, discriminator.trainable_variables)]

    loss = step(generator, discriminator, optimizer, real, latent)
    moved_g, moved_d = _moved(before_g, generator), _moved(before_d, discriminator)
    generator_moved = any(np.abs(m).max() > 0 for m in moved_g)
    discriminator_moved = any(np.abs(m).max() > 0 for m in moved_d)
    expect(
        discriminator_moved or not generator_moved,
        "You moved the generator and not the discriminator: ask the tape for discriminator.trainable_variables, "
        "and give the optimiser the same list.",
    )
    expect(
        not generator_moved,
        "The generator moved as well. Ask the tape only for the gradient of discriminator.trainable_variables: "
        "no `trainable = False` is needed.",
    )
    expect(
        discriminator_moved,
        "The discriminator did not move. Do you call optimizer.apply(gradients, variables) after the tape?",
    )
    close = lambda a, b: all(np.allclose(x, y, rtol=1e-3, atol=1e-6) for x, y in zip(a, b, strict=True))  # noqa: E731
    expected = [-rate * g for g in gradients]
    expect(
        not close(moved_d, [-m for m in expected]),
        "It climbs: its loss grows. An optimiser goes *down*; give it the gradient of the loss, not of V.",
    )
    expect(
        not close(moved_d, [-rate * g for g in only_real]),
        "It learns from the real pictures alone. It must see fakes as well: discriminator(generator(latent)).",
    )
    expect(
        not close(moved_d, [m / 2 for m in expected]),
        "The step is half as long as it should be: add the real and the fake part, do not average them.",
    )
    for text, wrong in wrong_gradients.items():
        expect(not close(moved_d, [-rate * g for g in wrong]), text)
    expect(
        close(moved_d, expected),
        "The discriminator moves, but not by the gradient of its loss. Is the loss computed *inside* the tape, "
        "from real scores first and fake scores second?",
    )
    loss = _number(loss, "discriminator_step")
    expect(
        _same(loss, float(right)), f"The step is right; return the loss too: here {float(right):.4f}, not {loss:.4f}."
    )
    passed("one step down the discriminator's own loss, and the generator stays where it was.")


def between(lerp, slerp):
    """`lerp(a, b, t)`: on the line. `slerp(a, b, t)`: on the sphere. a, b: (n,); t from 0 to 1."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 64)).astype("float32")
    for name, way in (("lerp", lerp), ("slerp", slerp)):
        start, end = way(a, b, 0.0), way(a, b, 1.0)
        expect(start is not None and end is not None, f"{name} returns nothing; end it with `return ...`.")
        start, end = np.asarray(start), np.asarray(end)
        expect(start.shape == a.shape, f"{name} gives the shape {start.shape}; a latent vector here is {a.shape}.")
        expect(
            not (np.allclose(start, b, atol=1e-3) and np.allclose(end, a, atol=1e-3)),
            f"{name} walks backwards: t = 0 should give a, and t = 1 should give b.",
        )
        expect(np.allclose(start, a, atol=1e-3), f"{name}: at t = 0 it should be a.")
        expect(np.allclose(end, b, atol=1e-3), f"{name}: at t = 1 it should be b.")
    middle = np.asarray(lerp(a, b, 0.25))
    expect(np.allclose(middle, 0.75 * a + 0.25 * b, atol=1e-4), "lerp: at t = 1/4 it should be 3/4 a + 1/4 b.")

    # Two vectors of equal length, 60 degrees apart: everything is known.
    u, v = np.zeros(4, "float32"), np.zeros(4, "float32")
    u[0], v[0], v[1] = 5.0, 2.5, 5.0 * np.sqrt(3) / 2
    middle = np.asarray(slerp(u, v, 0.5), "float64")
    length = float(np.linalg.norm(middle))
    expect(
        not np.allclose(middle, (u + v) / 2, atol=1e-3),
        "slerp is still the straight line. Its middle is nearer to the centre than its ends are.",
    )
    expect(
        np.isfinite(middle).all(),
        "slerp gives 'not a number'. The cosine of the angle needs a and b divided by their lengths first.",
    )
    expect(
        np.isclose(length, 5.0, atol=1e-2),
        f"slerp: both ends have the length 5, and the middle has {length:.2f}. Is the angle in radians, and computed "
        "from a and b divided by their lengths?",
    )
    third = np.asarray(slerp(u, v, 1 / 3), "float64")
    degrees = float(np.degrees(np.arctan2(third[1], third[0])))
    expect(np.isclose(degrees, 20, atol=0.5), f"slerp: a third of 60 degrees is 20, and you are at {degrees:.1f}.")
    with np.errstate(all="ignore"):
        same = np.asarray(slerp(u, u, 0.5))
    expect(
        np.isfinite(same).all() and np.allclose(same, u, atol=1e-3),
        "slerp from a to a itself divides by sin(0). When the angle is (nearly) 0, use the straight line; "
        "and np.clip the cosine to -1..1, because rounding can make it 1.0000001.",
    )
    passed("both ways lead from a to b, and slerp keeps its distance from the centre.")
