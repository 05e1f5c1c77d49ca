"""Where a picture comes from: skins, shares, detectors, watermarks, members."""

import json
import re

import numpy as np
import pytest
import readme
from scipy.spatial.distance import cdist

from gan_course.data import toon
from gan_course.data.celeba import open_faces
from gan_course.data.pipeline import load
from gan_course.errors import CourseError
from gan_course.metrics import groups, provenance

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def cartoons(tmp_path_factory):
    return toon.render(tmp_path_factory.mktemp("provenance") / "toon", count=60, seed=3, resolution=64, workers=1)


# --- skins --------------------------------------------------------------------------------------------------


def test_the_skin_that_is_seen_is_the_one_that_was_chosen(cartoons):
    """Of 3,000 faces 99.5% agree at 64x64, and 97% at 32x32."""
    for resolution, least in ((64, 0.95), (32, 0.9)):
        pictures, names = load(cartoons, resolution, "all")
        agree = toon.seen_skins(pictures) == toon.true_skins(cartoons, names)
        assert agree.mean() >= least


def test_lesson_03_sees_the_same(cartoons):
    cells = readme.read(readme.ROOT / "notebooks/03_measuring_faces.ipynb")["cells"]
    (code,) = ["".join(cell["source"]) for cell in cells if cell["id"] == "skin-sheets"]
    names = {"toon": toon, "np": np, "cdist": cdist}
    exec(re.split(r"(?m)^if kind", code)[0], names)
    pictures = load(cartoons, 64, "all")[0]
    assert (names["seen_skin"](pictures) == toon.seen_skins(pictures)).all()


def test_skin_is_a_group_of_cartoons_only(cartoons, face_folder):
    found = groups.groups_of(open_faces(cartoons), "skin")
    assert set(found) <= set(toon.SKINS) and len(found) == 60
    with pytest.raises(CourseError, match=r"toon\.json"):
        groups.groups_of(open_faces(face_folder), "skin")


# --- shares and alarms ---------------------------------------------------------------------------------------


def test_a_share_of_nothing_has_an_upper_end():
    assert provenance.share(0, 50) == pytest.approx((0, 0, 0.0713), abs=1e-3)
    assert provenance.share(50, 50)[2] == pytest.approx(1)
    # Newcombe 1998, table I: 81 of 263.
    assert provenance.share(81, 263)[1:] == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_an_alarm_is_worth_what_the_base_rate_says():
    real, fake = np.arange(100.0), np.full(50, 200.0)
    found, right = provenance.alarms(real, fake, allowed=0.01, base=0.001)
    assert found == 1 and right == pytest.approx(0.001 / (0.001 + 0.999 * 0.01))
    assert provenance.alarms(real, fake - 300, allowed=0.0, base=0.5) == (0.0, 0.0)


# --- detectors ------------------------------------------------------------------------------------------------


def noise(count, fine):
    """Pictures with a board of one pixel, of this strength."""
    board = np.indices((16, 16)).sum(axis=0) % 2 * 2.0 - 1
    x = 120 + 20 * RNG.normal(size=(count, 4, 4, 3)).repeat(4, 1).repeat(4, 2) + RNG.normal(size=(count, 16, 16, 3))
    return np.clip(x + fine * board[..., None], 0, 255).astype("uint8")


def test_a_trace_is_found_and_blur_hides_it():
    detect = provenance.train_detector(noise(60, 0), noise(60, 6))
    real, fake = noise(40, 0), noise(40, 6)
    assert (detect(fake) > 0).mean() > 0.95 and (detect(real) > 0).mean() < 0.05
    blurred = provenance.damaged(fake, provenance.blur, 2.0)
    assert detect(blurred).mean() < detect(fake).mean()


def test_a_spectrum_shows_the_wave():
    power = provenance.spectrum(noise(20, 6)) - provenance.spectrum(noise(20, 0))
    assert power.shape == (16, 16) and np.unravel_index(power.argmax(), power.shape) == (0, 0)  # the finest of all
    rings = provenance.rings(np.arange(256.0).reshape(16, 16))
    assert rings.shape == (8,) and rings[0] == 8 * 16 + 8  # frequency 0


@pytest.mark.parametrize(
    ("change", "size"),
    [(provenance.jpeg, 50), (provenance.blur, 1.0), (provenance.smaller, 8), (provenance.cut, 2)],
)
def test_damage_keeps_the_shape(change, size):
    x = noise(3, 5)
    changed = provenance.damaged(x, change, size)
    assert changed.shape == x.shape and changed.dtype == np.uint8 and (changed != x).any()


# --- watermarks -------------------------------------------------------------------------------------------------


def test_a_watermark_is_read_with_its_key_only():
    pictures = RNG.integers(40, 200, (30, 4, 4, 3)).repeat(16, 1).repeat(16, 2).astype("uint8")
    secret = provenance.pattern(5)
    assert secret.shape == (64, 64) and secret.mean() == 0 and set(np.unique(secret)) == {-1, 1}
    marked = provenance.write_mark(pictures, secret)
    assert np.abs(marked.astype(int) - pictures).max() == 4
    read = {
        key: provenance.read_mark(provenance.rest(x), provenance.pattern(k))
        for key, x, k in (("right", marked, 5), ("wrong", marked, 6), ("unmarked", pictures, 5))
    }
    assert read["right"].min() > max(read["wrong"].max(), read["unmarked"].max())
    assert read["right"] == pytest.approx(
        [np.corrcoef(x.ravel(), secret.ravel())[0, 1] for x in provenance.rest(marked)], abs=1e-6
    )
    with pytest.raises(CourseError, match="block is 3"):
        provenance.pattern(1, 64, block=3)


# --- members -----------------------------------------------------------------------------------------------------


def test_a_copy_has_the_score_1():
    drawn = RNG.normal(size=(30, 6))
    candidates = np.concatenate([drawn[:2], RNG.normal(size=(4, 6))])
    scores = provenance.membership(candidates, drawn, k=5)
    assert scores[:2] == pytest.approx([1, 1]) and (scores[2:] < 0.9).all() and (scores >= 0).all()
    with pytest.raises(CourseError, match="k is 31"):
        provenance.membership(candidates, drawn, k=31)


def test_rows_are_means_of_blocks():
    x = RNG.integers(0, 255, (2, 32, 32, 3)).astype("uint8")
    rows = provenance.rows_of(x)
    assert rows.shape == (2, 768) and rows[0, 0] == pytest.approx(x[0, :2, :2, 0].mean())


# --- the benchmark -----------------------------------------------------------------------------------------------


def test_the_lesson_finds_its_measurements():
    found = json.loads((readme.ROOT / "benchmarks/results/whose.json").read_text())
    assert {"detectors", "judge", "members", "data", "marked"} <= set(found)
    assert {"as they are", "rare", "rare, repeated"} <= set(found["data"]["runs"])
