"""The GAN lab: the numbers behind its picture, the picture, play and pause, and every control."""

import asyncio

import numpy as np
import pytest

from gan_course.data import points
from gan_course.errors import CourseError
from gan_course.losses import LOSSES
from gan_course.training import plane
from gan_course.widgets import draw_pad, gan_lab
from gan_course.widgets.gan_lab import GanLab

SMALL = dict(width=8, depth=1, batch_size=16)


def model(data="ring", **options):
    return plane.PlaneGAN(data, **SMALL, **options)


def test_the_pace_does_not_change_the_result():
    whole, parts = model(seed=3, d_steps=2), model(seed=3, d_steps=2)
    whole.advance(120)
    for steps in (1, 49, 3, 60, 7):
        parts.advance(steps)
    assert whole.step == parts.step == 120 and whole.history == parts.history
    assert len(whole.history["d_loss"]) == 120 and whole.history["step"] == [0, 50, 100]
    for name in ("samples", "push", "scores"):
        np.testing.assert_array_equal(getattr(whole.look(), name), getattr(parts.look(), name))
    other = model(seed=4, d_steps=2)
    other.advance(120)
    assert other.history["d_loss"] != whole.history["d_loss"]


@pytest.mark.parametrize("loss", LOSSES)
def test_arrows_point_down_the_generators_loss(loss):
    made = model(loss=loss)
    look, gan = made.look(), made.gan
    x, push, h = look.samples[:40], look.push[:40], 2e-3
    assert np.linalg.norm(push, axis=1).min() > 0

    def own_loss(x):
        scores = np.asarray(gan.discriminator(x))
        return np.array([float(gan.adversarial.generator(score[None])) for score in scores])

    for axis in range(2):
        shift = h * np.eye(2, dtype="float32")[axis]
        slope = (own_loss(x + shift) - own_loss(x - shift)) / (2 * h)
        close = np.isclose(-slope, push[:, axis], rtol=0.01, atol=0.01 * np.abs(push).max())
        assert close.mean() > 0.9  # some lie on a kink of D, where the slope jumps
    assert made.history["push"][0] == pytest.approx(np.linalg.norm(model(loss=loss).look().push, axis=1).mean())


@pytest.mark.parametrize("loss", ["non_saturating", "hinge"])
def test_the_heat_map_is_the_discriminator(loss):
    made = model("grid", loss=loss)
    made.advance(10)
    look = made.look(side=9)
    x, y = -made.data.extent, made.data.extent * 0.5  # column 0, row 6: rows go upwards
    score = float(np.asarray(made.gan.discriminator(np.array([[x, y]], "float32")))[0, 0])
    expected = 1 / (1 + np.exp(-score)) if loss == "non_saturating" else score
    assert look.scores[6, 0] == pytest.approx(expected, rel=1e-4)
    assert look.middle == (0.5 if loss == "non_saturating" else 0.0)
    assert np.ptp(look.scores) > 0


def test_the_scale_follows_a_wasserstein_critic():
    made = model(loss="wasserstein", penalty="clipping")
    bias = made.gan.discriminator.weights[-1]
    before = made.look()
    bias.assign(bias + 7.0)  # changes nothing for this loss
    after = made.look()
    assert after.middle == pytest.approx(before.middle + 7.0, abs=1e-4)


@pytest.mark.parametrize("penalty", plane.PENALTIES)
def test_penalties_reach_the_engine(penalty):
    made = model(loss="wasserstein", penalty=penalty)
    assert [phase.name for phase in made.gan.phases] == {"R1": ["r1"], "gradient penalty": ["gp"]}.get(penalty, [])
    assert made.gan.clip == plane.PENALTIES[penalty].get("clip", 0.0)
    made.advance(2)
    assert made.broken is None


@pytest.mark.parametrize(("pace", "every"), [(1, (1, 1)), (5, (1, 5)), (1 / 3, (3, 1)), (0.2, (5, 1))])
def test_steps_per_player(pace, every):
    made = model(d_steps=pace)
    assert (made.gan.d_every, made.gan.g_every) == every


WRONG = [
    ({"d_rate": 0.0}, "d_rate is 0.0"),
    ({"g_rate": -1e-3}, "g_rate is -0.001"),
    ({"g_rate": float("nan")}, "g_rate is nan"),
    ({"d_rate": 5.0}, "d_rate is 5.0"),
    ({"d_steps": 0}, "d_steps is 0"),
    ({"d_steps": 11}, "d_steps is 11"),
    ({"d_steps": 1.5}, "d_steps is 1.5"),
    ({"loss": "best"}, "no loss called 'best'"),
    ({"penalty": "high"}, "no penalty 'high'"),
    ({"norm": "layer"}, "no norm 'layer'"),
    ({"latent_dim": 0}, "latent_dim is 0"),
    ({"seed": -1}, "seed is -1"),
    ({"data": "moon"}, "data is 'moon'"),
    ({"data": np.zeros((5, 2))}, "data is a ndarray"),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_wrong_settings(options, sentence):
    with pytest.raises(CourseError, match=sentence):
        GanLab(**options)


def test_wrong_steps():
    for name in ("limit", "steps_per_picture"):
        with pytest.raises(CourseError, match=f"{name} is 0"):
            GanLab(**SMALL, **{name: 0})
    lab = GanLab(**SMALL)
    with pytest.raises(CourseError, match="steps is 0"):
        lab.advance(0)
    with pytest.raises(CourseError, match="film of 1 pages"):
        lab.film(100, pages=1)
    with pytest.raises(CourseError, match="notebook"):
        lab.play()


def test_a_drawing_of_one_point():
    with pytest.raises(CourseError, match="at least two points"):
        GanLab(points.drawing([[0.0, 0.0]]))


def has(page, colour):
    """Whether the picture has pixels of this '#rrggbb'."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(page.astype(int) - rgb).max(-1) < 12).sum() > 20


def test_the_picture():
    lab = GanLab("grid", **SMALL)
    first = lab.picture()
    assert first.shape == (540, 920, 3) and first.dtype == np.uint8
    assert has(first, gan_lab.REAL) and has(first, gan_lab.FAKE)
    np.testing.assert_array_equal(first, lab.picture())
    lab.advance(60)
    moved = lab.picture()
    assert (first != moved).any(-1)[:, :460].sum() > 200 and (first != moved).any(-1)[:, 500:].sum() > 200
    # What is kept as pixels from picture to picture is what a fresh drawing gives.
    np.testing.assert_array_equal(moved, gan_lab.Picture(lab.model).draw())
    assert "60" in lab.alt and "of 25 modes" in lab.alt
    assert lab.figure().get_size_inches().tolist() == [9.2, 5.4]


def test_the_heat_map_is_the_right_way_up():
    lab = GanLab("grid", **SMALL, loss="hinge")
    *_, kernel, bias = lab.model.gan.discriminator.weights
    network = lab.model.gan.discriminator
    zeros = [np.zeros(w.shape, "float32") for w in network.weights]
    zeros[0][1, :2] = 1, -1  # two hidden units see y and -y ...
    zeros[2][:2, 0] = 1, -1  # ... and the score is their difference: y, real is above
    network.set_weights(zeros)
    page = lab.picture().astype(int)
    above, below = page[60:120, 60:400].reshape(-1, 3).mean(0), page[380:440, 60:400].reshape(-1, 3).mean(0)
    assert above[2] > above[0] + 10 and below[0] > below[2] + 10  # blue is real, orange is generated


def test_a_film():
    lab = GanLab(**SMALL)
    pages = lab.film(60, pages=4)
    assert [page.shape for page in pages] == [(264, 240, 3)] * 4 and lab.model.step == 60
    assert (pages[0] != pages[-1]).any()


@pytest.fixture
def box(monkeypatch):
    lab = GanLab(**SMALL, limit=100, steps_per_picture=5)
    lab.controls()
    return lab


def test_controls_change_what_they_say(box):
    fields, first = box.fields, box.model
    box.buttons["step"].click()
    assert box.model.step == 5 and "step 5" in box.readout.value
    fields["d_rate"].value, fields["g_rate"].value = 1e-2, 1e-4
    assert box.model is first  # learning rates do not restart
    assert float(np.asarray(first.gan.d_optimizer.learning_rate)) == pytest.approx(1e-2)
    assert float(np.asarray(first.gan.g_optimizer.learning_rate)) == pytest.approx(1e-4)
    changes = dict(loss="hinge", penalty="R1", norm="spectral", d_steps=5, latent_dim=4, seed=9)
    for name, value in changes.items():
        before = box.model
        fields[name].value = value
        assert box.model is not before and box.model.step == 0 and box.model.settings[name] == value
    fields["norm"].value = "none"
    assert box.model.settings["norm"] is None
    gan = box.model.gan
    assert (gan.adversarial.name, gan.r1_gamma, gan.g_every, gan.latent_dim) == ("hinge", 0.1, 5, 4)
    assert box.model.d_rate == pytest.approx(1e-2)  # what was changed stays over a restart
    fields["data"].value = "grid of 5x5"
    assert len(box.model.data.centres) == 25 and box.model.seed == 9
    box.buttons["step"].click()
    picture = box.image.value
    box.buttons["restart"].click()
    assert box.model.step == 0 and box.image.value != picture
    box.speed.value = 20
    box.buttons["step"].click()
    assert box.model.step == 20


def test_labels_and_helps(box):
    for field in [*box.fields.values(), box.speed, *box.buttons.values()]:
        assert field.description and (getattr(field, "tooltip", "") or field.description_tooltip)
    assert box.image.value[:2] == b"\xff\xd8"


def test_play_and_pause(box):
    async def watch():
        box.buttons["play"].click()
        assert box.playing
        box.play()  # a second time: the same task
        seen = 0
        while box.model.step < 15:  # other work goes on meanwhile
            await asyncio.sleep(0.001)
            seen += 1
        assert seen > 2 and box.playing
        box.buttons["pause"].click()
        step = box.model.step
        assert not box.playing and "paused" in box.status.value
        await asyncio.sleep(0.1)
        assert box.model.step == step < 100
        return step

    step = asyncio.run(watch())

    async def to_the_limit():
        box.play()
        await box._task

    asyncio.run(to_the_limit())
    assert box.model.step == step + 100 and not box.playing and "stopped after 100 steps" in box.status.value
    # The same as without playing.
    other = model()
    other.advance(step + 100)
    assert other.history == box.model.history


def test_a_change_while_it_plays(box):
    async def watch():
        box.play()
        while box.model.step < 10:
            await asyncio.sleep(0.001)
        first = box.model
        box.fields["loss"].value = "least_squares"
        assert box.model is not first and box.playing
        while box.model.step < 10:
            await asyncio.sleep(0.001)
        box.pause()

    asyncio.run(watch())


def test_nan_stops_and_says_so(box):
    box.advance(7)
    kernel = box.model.gan.generator.weights[0]
    kernel.assign(np.full(kernel.shape, np.nan, "float32"))

    async def watch():
        box.play()
        await box._task

    asyncio.run(watch())
    assert not box.playing and box.model.broken in box.status.value.replace("&#x27;", "'")
    assert "step 8" in box.model.broken and np.isfinite(box.model.history["d_loss"]).all()
    assert len(box.model.history["d_loss"]) == 7
    step = box.model.step
    box.model.advance(5)
    assert box.model.step == step
    box.buttons["restart"].click()
    assert box.model.broken is None and "broke" not in box.status.value


def test_a_drawing_with_the_mouse(box):
    first = box.model
    assert box.own.layout.display == "none"
    box.fields["data"].value = gan_lab.DRAWING
    assert box.own.layout.display != "none" and box.model is first and "draw" in box.status.value
    box.pad.lines = [[[-1, 0], [1, 0]], [[0, 0.5], [0, 0.5]]]
    box.use.click()
    centres = box.model.data.centres
    assert box.model.data.name == "drawing" and len(centres) == 42
    assert centres[:, 0].min() == -2 and centres[:, 0].max() == pytest.approx(2) and centres[-1].tolist() == [0, 1]
    box.pad.lines = [[[0.5, 0.5]]]
    box.use.click()
    assert "at least two points" in box.status.value and len(box.model.data.centres) == 42
    box.clear.click()
    assert box.pad.lines == []


def test_a_drawing_is_spaced_evenly():
    slow_then_quick = [[x, x * 0] for x in [*np.linspace(-1, 0, 500), 1.0]]
    found = draw_pad.evenly_spaced([slow_then_quick], half=2.0, gap=0.1)
    np.testing.assert_allclose(np.diff(found[:, 0]), 0.1, rtol=1e-3)
    assert len(draw_pad.evenly_spaced([slow_then_quick] * 40)) <= 300
    assert draw_pad.evenly_spaced([]).shape == (0, 2)


def test_a_lab_of_its_own_drawing():
    line = np.stack([np.linspace(-1, 1, 30), np.zeros(30)], 1)
    lab = GanLab(points.drawing(line), **SMALL)
    lab.controls()
    assert lab.fields["data"].value == "given in the call" and len(lab.model.data.centres) == 30
    lab.fields["data"].value = "ring of 8"
    lab.fields["data"].value = "given in the call"
    assert len(lab.model.data.centres) == 30


def test_blocks_of_a_long_curve():
    steps, means = gan_lab.blocks(np.arange(1000.0), most=100)
    assert steps.tolist()[:2] == [10, 20] and means[0] == 4.5 and len(means) == 100
    assert gan_lab.blocks([])[1].size == 0 and gan_lab.blocks([3.0])[1].tolist() == [3.0]
