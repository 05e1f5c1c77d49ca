"""The face framer: eyes found or clicked, the face beside them, and no file of somebody else's overwritten."""

import sys

import numpy as np
import pytest
from PIL import Image

from gan_course.data.framing import frame_face
from gan_course.errors import CourseError
from gan_course.widgets.face_framer import FaceFramer


@pytest.fixture
def parts(generated_photograph):
    """Return a function: framer -> its sentence, photograph, face, path and button."""

    def take(framer):
        said, row = framer.controls().children
        photo, column = row.children
        return said, photo, *column.children

    return take


def test_found_eyes_are_marked_and_clicks_correct_them(generated_photograph, parts):
    pytest.importorskip("cv2")
    page, eyes, _ = generated_photograph
    framer = FaceFramer(page, size=300)
    said, photo, face, _, _ = parts(framer)
    assert np.allclose(photo.eyes, framer.eyes / np.array([600, 500])) and "click both" in said.value
    assert np.abs(np.array(framer.eyes) - eyes).max() < 12
    np.testing.assert_array_equal(framer.face, frame_face(page, framer.eyes))
    first, shown = framer.face, face.value
    photo.eyes = [[0.5, 0.4]]
    assert "other eye" in said.value and framer.face is first and face.value == shown
    photo.eyes = [[0.5, 0.4], [0.4, 0.3]]  # the right one first
    assert framer.eyes == ((240, 150), (300, 200)) and photo.eyes == [[0.4, 0.3], [0.5, 0.4]]
    np.testing.assert_array_equal(framer.face, frame_face(page, ((240, 150), (300, 200))))
    assert face.value != shown and "clicked" in said.value


def test_wrong_clicks_are_told_and_taken_back(generated_photograph, parts):
    pytest.importorskip("cv2")
    framer = FaceFramer(generated_photograph[0])
    said, photo, face, _, _ = parts(framer)
    eyes, before, shown = photo.eyes, framer.face, face.value
    photo.eyes = [[0.5, 0.4]]
    photo.eyes = [[0.5, 0.4], [0.502, 0.4]]
    assert "1 pixels apart" in said.value
    assert photo.eyes == eyes and framer.face is before and face.value == shown


@pytest.mark.parametrize("opencv", [True, False])
def test_without_found_eyes_one_clicks(generated_photograph, parts, monkeypatch, opencv):
    page, eyes, _ = generated_photograph
    if opencv:
        pytest.importorskip("cv2")
        page = page.copy()
        page[..., :] = 90, 120, 90
    else:
        monkeypatch.setitem(sys.modules, "cv2", None)
    framer = FaceFramer(page)
    said, photo, face, _, save = parts(framer)
    assert ("No face" if opencv else "install OpenCV") in said.value and said.value.endswith("Or click both eyes.")
    assert framer.face is None and photo.eyes == []
    shown = face.value
    save.click()
    assert "no face to save" in said.value
    photo.eyes = [[x / 600, y / 500] for x, y in eyes]
    np.testing.assert_array_equal(framer.face, frame_face(page, eyes))
    assert face.value != shown or opencv  # of a picture that is one grey, the face is grey too


def test_it_writes_over_its_own_file_only(generated_photograph, parts, tmp_path):
    page, eyes, _ = generated_photograph
    mine = tmp_path / "me.png"
    Image.fromarray(page).save(mine)
    framer = FaceFramer(mine)
    said, photo, _, path, save = parts(framer)
    photo.eyes = [[x / 600, y / 500] for x, y in eyes]
    for name, words in (("me.png", "exists already"), ("a.txt", ".png or .jpg"), ("me.png/a.png", "me.png")):
        path.value = str(tmp_path / name)
        save.click()
        assert words in said.value
    assert [file.name for file in tmp_path.iterdir()] == ["me.png"] and Image.open(mine).size == (600, 500)
    path.value = str(tmp_path / "face.png")
    for eye in (0.4, 0.42):
        photo.eyes = [[eye, 0.4], [0.5, 0.4]]
        save.click()
        assert "saved to" in said.value
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "face.png")), framer.face)


def test_a_file_that_is_no_picture_is_told(tmp_path):
    with pytest.raises(CourseError, match=r"none\.jpg"):
        FaceFramer(tmp_path / "none.jpg")
