"""FaceEdit: what it asks the editor for, and controls that redraw."""

from datetime import datetime

import numpy as np
import pytest

from gan_course import editing
from gan_course.backend import keras
from gan_course.errors import CourseError
from gan_course.models import l2m_gan
from gan_course.training.l2m import L2MConfig
from gan_course.widgets.face_edit import FaceEdit

FACES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype("uint8")
DOMAINS = ["not Smiling, not Hat", "Smiling, not Hat", "not Smiling, Hat", "Smiling, Hat"]


def editor(attributes="Smiling,Hat", domains=DOMAINS):
    keras.utils.set_random_seed(0)
    network = l2m_gan.Editor(16, len(domains), 4, 2, 6, downs=2)
    network.generator.get_layer("to_rgb").kernel.assign(np.random.default_rng(1).normal(size=(1, 1, 4, 3)))
    return editing.DomainEditor(network, L2MConfig(attributes=attributes, domains=domains, steering="none"))


@pytest.fixture
def widget():
    return FaceEdit(editor(), FACES, sources=[1, 0, 2], size=16)


def test_a_face_begins_as_it_is(widget):
    assert widget.source == 1 and widget.wanted == {"Smiling": 1, "Hat": 0}
    before, after = widget.pictures()
    np.testing.assert_array_equal(before, FACES[0])
    np.testing.assert_array_equal(after, widget.editor.edit(FACES[:1], 1, 1.0, source=1)[0])
    widget.wanted, widget.strength = {"Smiling": 0, "Hat": 1}, 0.5
    np.testing.assert_array_equal(widget.pictures()[1], widget.editor.edit(FACES[:1], 2, 0.5, source=1)[0])
    widget.take(FACES[2], 2)
    assert widget.wanted == {"Smiling": 0, "Hat": 1}
    np.testing.assert_array_equal(widget.pictures()[0], FACES[2])


def test_without_sources_the_steering_network_is_asked(monkeypatch):
    monkeypatch.setattr(editing.DomainEditor, "tell", lambda self, pictures: np.array([3]))
    assert FaceEdit(editor(), FACES).wanted == {"Smiling": 1, "Hat": 1}
    with pytest.raises(CourseError, match="domains are folders"):
        FaceEdit(editor("folders", ["cat", "dog"]), FACES)


def test_controls(widget, tmp_path, monkeypatch):
    pytest.importorskip("ipywidgets")
    before, after, right = widget.controls().children
    number, upload, smiling, hat, strength, enough, said, path, save = right.children
    assert (smiling.value, hat.value) == (True, False) and "Smiling, not Hat" in said.value
    shown = after.children[1].value
    hat.value = True
    assert widget.wanted == {"Smiling": 1, "Hat": 1} and after.children[1].value != shown
    strength.value = 0.0
    assert widget.strength == 0
    enough.click()
    assert "which strength is enough; give a number" in said.value and widget.strength == 0
    monkeypatch.setattr(editing.DomainEditor, "enough", lambda self, faces, wanted, source: np.array([0.625]))
    enough.click()
    assert widget.strength == strength.value == 0.625
    face = before.children[1].value
    number.value = 2
    assert widget.source == 2 and (smiling.value, hat.value) == (False, True) and before.children[1].value != face
    path.value = str(tmp_path / "edited.png")
    save.click()
    assert (tmp_path / "edited.png").exists() and "saved" in said.value
    monkeypatch.setattr(editing.DomainEditor, "tell", lambda self, pictures: np.array([0]))
    file = {"name": "me.png", "type": "image/png", "size": 3, "content": b"abc", "last_modified": datetime.now()}
    upload.value = (file,)
    assert "'me.png' cannot be read" in said.value and widget.source == 2
    upload.value = (dict(file, content=(tmp_path / "edited.png").read_bytes()),)
    assert widget.source == 0 and (smiling.value, hat.value) == (False, False)
