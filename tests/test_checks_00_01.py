"""The self-checks of lessons 00 and 01: right answers pass, typical mistakes get the hint that fits."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from gan_course.checks import NotYet, lesson00, lesson01
from gan_course.data.pipeline import crop_box
from gan_course.widgets.latent_walk import LatentWalk


def hint(check, *answers):
    """Return the sentence that a wrong answer gets."""
    with pytest.raises(NotYet) as caught:
        check(*answers)
    return str(caught.value)


# --- lesson 00 -----------------------------------------------------------------------------------------


def to_unit(images):
    return images.astype("float32") / 127.5 - 1.0


def from_unit(images):
    return np.clip(np.rint((images + 1.0) * 127.5), 0, 255).astype("uint8")


def test_units(capsys):
    lesson00.units(to_unit, from_unit)
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "forth, back, says",
    [
        (lambda x: None, from_unit, "returns nothing"),
        (lambda x: x.astype("float32") / 255, from_unit, "gives 0..1"),
        (lambda x: x.astype("float32") / 128 - 1, from_unit, "divides by 128"),
        (lambda x: (x * 2) / 255 - 1, from_unit, "overflowed"),
        (lambda x: x / 127.5 - 1, from_unit, "float64"),
        (to_unit, lambda x: (np.clip(x, -1, 1) + 1) * 127.5, "uint8"),
        (to_unit, lambda x: ((np.clip(x, -1, 1) + 1) * 127.4999).astype("uint8"), "np.rint"),
        (to_unit, lambda x: np.rint((x + 1) * 127.5).astype("int64").astype("uint8"), "np.clip"),
    ],
)
def test_units_hints(forth, back, says):
    assert says in hint(lesson00.units, forth, back)


def test_square_crop():
    lesson00.square_crop(crop_box)
    lesson00.square_crop(lambda w, h: list(crop_box(w, h)))


@pytest.mark.parametrize(
    "crop, says",
    [
        (lambda w, h: None, "returns nothing"),
        (lambda w, h: (0, 15, 178, 193), "takes the height for 208"),
        (lambda w, h: ((w - min(w, h)) / 2 + 0.5, 0, 1, 1), "//"),
        (lambda w, h: (0, (h - w) // 2, w, (h - w) // 2 + w), "shorter side"),
        (lambda w, h: ((w - min(w, h)) // 2, (h - min(w, h)) // 2, min(w, h), min(w, h)), "positions"),
        (lambda w, h: (0, 0, min(w, h), min(w, h)), "not centred"),
        (lambda w, h: (0, 20, 178, 199), "no square"),
    ],
)
def test_square_crop_hints(crop, says):
    assert says in hint(lesson00.square_crop, crop)


def covariance(a, b):
    return np.mean((a - a.mean()) * (b - b.mean()))


def correlate(a, b):
    spread = a.std() * b.std()
    return covariance(a, b) / spread if spread else 0.0


def test_correlation():
    lesson00.correlation(correlate)


@pytest.mark.parametrize(
    "answer, says",
    [
        (lambda a, b: None, "returns nothing"),
        (covariance, "covariance"),
        (lambda a, b: covariance(a, b) / (a.var() * b.var()), "variances"),
        (lambda a, b: np.mean(a * b) / (a.std() * b.std()), "Subtract each mean"),
        (lambda a, b: np.corrcoef(a, b), "one number"),
        (lambda a, b: -correlate(a, b), "sign"),
        (lambda a, b: correlate(a, b) ** 2, "square"),
        (lambda a, b: covariance(a, b) / np.float64(a.std() * b.std()), "nobody has"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_correlation_hints(answer, says):
    assert says in hint(lesson00.correlation, answer)


# --- lesson 01 -----------------------------------------------------------------------------------------

mean, softplus = ops.mean, ops.softplus


def d_loss(real, fake):
    return mean(softplus(-real)) + mean(softplus(fake))


def g_loss(fake):
    return mean(softplus(-fake))


def test_game_losses():
    lesson01.game_losses(d_loss, g_loss)


@pytest.mark.parametrize(
    "d, g, says",
    [
        (lambda r, f: None, g_loss, "returns nothing"),
        (lambda r, f: softplus(-r[:3]) + softplus(f[:3]), g_loss, "mean over the batch"),
        (lambda r, f: mean(softplus(r)) + mean(softplus(-f)), g_loss, "Both signs"),
        (lambda r, f: mean(softplus(-r)) + mean(softplus(-f)), g_loss, "fake part has the wrong sign"),
        (lambda r, f: -d_loss(r, f), g_loss, "what it *minimises* is -V"),
        (lambda r, f: d_loss(r, f) / 2, g_loss, "mean of the two parts"),
        (lambda r, f: ops.sum(softplus(-r)) + ops.sum(softplus(f)), g_loss, "sum over the batch"),
        (lambda r, f: d_loss(ops.sigmoid(r), ops.sigmoid(f)), g_loss, "do not apply sigmoid"),
        (lambda r, f: -mean(ops.log(ops.sigmoid(r))) - mean(ops.log(1 - ops.sigmoid(f))), g_loss, "runs out of digits"),
        (lambda r, f: mean(ops.concatenate([softplus(-r), softplus(f)])), g_loss, "one mean over real and fake"),
        (d_loss, lambda f: mean(softplus(f)), "*down*"),
        (d_loss, lambda f: -mean(softplus(f)), "minimax"),
        (d_loss, lambda f: -mean(softplus(-f)), "sign is turned round"),
        (d_loss, lambda f: -mean(ops.log(ops.sigmoid(f))), "ops.softplus"),
    ],
)
def test_game_losses_hints(d, g, says):
    assert says in hint(lesson01.game_losses, d, g)


def step(
    generator,
    discriminator,
    optimizer,
    real,
    latent,
    *,
    who="discriminator",
    sign=1.0,
    fakes=True,
    apply=True,
    loss=d_loss,
):
    """One step of the discriminator, with a choice of mistakes."""
    with tf.GradientTape() as tape:
        fake_scores = discriminator(generator(latent)) if fakes else ops.full((1, 1), -1e9)
        value = loss(discriminator(real), fake_scores)
        down = sign * value
    networks = {"discriminator": [discriminator], "generator": [generator], "both": [discriminator, generator]}[who]
    variables = [v for network in networks for v in network.trainable_variables]
    gradients = tape.gradient(down, variables)
    if apply:
        optimizer.apply(gradients, variables)
    return value


def test_discriminator_step():
    lesson01.discriminator_step(step)
    lesson01.discriminator_step(lambda *a: float(step(*a)))


@pytest.mark.parametrize(
    "mistake, says",
    [
        ({"who": "generator"}, "moved the generator and not"),
        ({"who": "both"}, "generator moved as well"),
        ({"sign": -1.0}, "It climbs"),
        ({"sign": 0.5}, "half as long"),
        ({"fakes": False}, "real pictures alone"),
        ({"loss": lambda real, fake: g_loss(fake)}, "use the generator's loss"),
        ({"loss": lambda real, fake: d_loss(fake, real)}, "swapped real and fake"),
        ({"apply": False}, "did not move"),
    ],
)
def test_discriminator_step_hints(mistake, says):
    assert says in hint(lesson01.discriminator_step, lambda *a: step(*a, **mistake))


def test_discriminator_step_wants_the_loss():
    def silent(*a):
        step(*a)

    assert "returns nothing" in hint(lesson01.discriminator_step, silent)


def lerp(a, b, t):
    return (1 - t) * a + t * b


def slerp(a, b, t, cosine=None, safe=True):
    cosine = np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)) if cosine is None else cosine(a, b)
    omega = np.arccos(np.clip(cosine, -1, 1) if safe else cosine)
    if safe and np.sin(omega) < 1e-3:
        return lerp(a, b, t)
    return (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)


def test_between():
    lesson01.between(lerp, slerp)


@pytest.mark.parametrize(
    "line, arc, says",
    [
        (lambda a, b, t: None, slerp, "returns nothing"),
        (lambda a, b, t: t * a + (1 - t) * b, slerp, "backwards"),
        (lambda a, b, t: a + t * b, slerp, "at t = 1"),
        (lerp, lerp, "still the straight line"),
        (lerp, lambda a, b, t: slerp(b, a, t), "backwards"),
        (lerp, lambda a, b, t: slerp(a, b, t, lambda a, b: 0.2), "length"),
        (lerp, lambda a, b, t: slerp(a, b, t, safe=False), "sin(0)"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_between_hints(line, arc, says):
    assert says in hint(lesson01.between, line, arc)


# --- the walk through latent space ---------------------------------------------------------------------


@pytest.fixture
def generator():
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(48, "tanh"), keras.layers.Reshape((4, 4, 3))])


def test_walk_is_closed_and_likely_everywhere(generator):
    walk = LatentWalk(generator)
    assert np.allclose(walk.latent(0), walk.latent(360), atol=1e-5)
    assert np.allclose(walk.latent(30, radius=2), 2 * walk.latent(30))
    many = [LatentWalk(generator, seed=seed).latent(77)[0] for seed in range(2000)]
    assert np.allclose(np.std(many), 1, atol=0.03)
    assert walk.strip(count=5, scale=2).shape == (8, 2 * (5 * 6 - 2), 3)


def test_walk_controls_redraw(generator):
    box = LatentWalk(generator).controls()
    face, (angle, radius, button) = box.children[0], box.children[1].children
    pictures = {face.value}
    for change in (lambda: setattr(angle, "value", 90), lambda: setattr(radius, "value", 0.5), button.click):
        change()
        pictures.add(face.value)
    assert len(pictures) == 4
