"""Framing: the eyes come to their places, whatever the size, turn and place of a face in its photograph."""

import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from gan_course.data.framing import EYES, find_eyes, frame_face
from gan_course.errors import CourseError


@pytest.fixture(scope="module")
def face():
    """A smooth picture of 178x178 with two dark eyes where the course has them."""
    y, x = np.mgrid[:178, :178] / 178
    page = np.stack([200 - 40 * y, 150 + 60 * x, 120 + 50 * np.sin(6 * x + 4 * y)], axis=-1)
    for a, b in EYES:
        page[(x - a) ** 2 + (y - b) ** 2 < 0.03**2] = 20
    return page.round().astype("uint8")


def photograph(face, zoom, turn, place, size=(900, 700)):
    """Return (photograph, eyes): the face `zoom` times as large, turned by degrees, its middle at `place`."""
    side = int(178 * zoom)
    page = Image.new("RGB", size, (90, 120, 90))
    page.paste(
        Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC),
        (place[0] - side // 2, place[1] - side // 2),
    )
    page = page.rotate(turn, Image.Resampling.BICUBIC, center=place)
    angle = np.radians(-turn)
    turning = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    eyes = [turning @ ((np.array(eye) - 0.5) * side) + place for eye in EYES]
    return np.asarray(page), eyes


@pytest.mark.parametrize("zoom, turn", [(1, 0), (2.5, 20), (0.6, -35), (3, 0)])
def test_the_face_comes_back(face, zoom, turn):
    page, eyes = photograph(face, zoom, turn, (450, 350))
    wanted = np.asarray(Image.fromarray(face).resize((64, 64), Image.Resampling.LANCZOS)).astype(int)
    inner = slice(6, 58)  # the border mixes with what lies around
    difference = np.abs(frame_face(page, eyes).astype(int) - wanted)[inner, inner]
    assert difference.mean() < 2.5 and np.quantile(difference, 0.99) < 30


def test_a_face_at_the_edge_is_filled_by_its_mirror_image(face):
    page, eyes = photograph(face, 1.5, 0, (100, 120))
    framed = frame_face(page, eyes, size=32)
    assert framed.shape == (32, 32, 3) and framed.dtype == np.uint8
    assert framed.min(axis=-1).max() > 0 and not (framed == 0).all(axis=-1).any()


def test_the_camera_was_turned(face, tmp_path):
    page, eyes = photograph(face, 1, 0, (450, 350))
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned by 90 degrees
    Image.fromarray(np.rot90(page, -1).copy()).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(frame_face(tmp_path / "turned.png", eyes), frame_face(page, eyes))


def test_what_cannot_be_framed_is_told(face, tmp_path):
    page, eyes = photograph(face, 1, 0, (450, 350))
    for wrong, words in (
        (((0, 0), (5, 0)), "5 pixels apart"),
        ((eyes[1], eyes[0]), "wrong order"),
        (((10, 10), (2000, 10)), "not inside the picture of 900x700"),
        ((1, 2, 3), "give"),
    ):
        with pytest.raises(CourseError, match=words):
            frame_face(page, wrong)
    with pytest.raises(CourseError, match="give uint8"):
        frame_face(page.astype("float32"), eyes)
    (tmp_path / "note.jpg").write_text("no picture")
    with pytest.raises(CourseError, match=r"note\.jpg.* cannot be read"):
        frame_face(tmp_path / "note.jpg", eyes)
    with pytest.raises(CourseError, match=r"none\.jpg") as told:
        frame_face(tmp_path / "none.jpg", eyes)
    assert str(told.value).count("none.jpg") == 1


def test_without_opencv_the_remedy_is_named(face, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(CourseError, match="install OpenCV"):
        frame_face(face)


def test_no_face_is_told(face):
    pytest.importorskip("cv2")
    with pytest.raises(CourseError, match="No face was found"):
        find_eyes(face // 4 + 60)


def test_the_eyes_of_a_generated_face_are_found(generated_photograph):
    """Also where the photograph is twice as large as the finder looks at, and turned a little."""
    pytest.importorskip("cv2")
    page, eyes, _ = generated_photograph
    for scale, turn in ((1, 0), (4, 0), (1, 8)):
        photo = Image.fromarray(page).resize((600 * scale, 500 * scale)).rotate(turn, center=(328 * scale, 228 * scale))
        angle = np.radians(-turn)
        turning = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        wanted = (np.array(eyes) - (328, 228)) @ turning.T + (328, 228)
        apart = np.linalg.norm(wanted[1] - wanted[0])
        found = np.array(find_eyes(np.asarray(photo))) / scale
        assert np.abs(found - wanted).max() < 0.15 * apart, (scale, turn)


def test_a_large_photograph_takes_little_memory(face):
    """Twelve million pixels: what is kept beside them is a few of the framed face's size."""
    page, eyes = photograph(face, 1, 0, (450, 350), size=(900, 700))
    large = Image.fromarray(page).resize((3600, 2800), Image.Resampling.BICUBIC)
    tracemalloc.start()
    framed = frame_face(large, np.array(eyes) * 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert np.abs(framed.astype(int) - frame_face(page, eyes)).mean() < 2
