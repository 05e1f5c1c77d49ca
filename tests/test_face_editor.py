"""The face editor: one picture for one change, locks, undo, and settings that come back."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from gan_course.errors import CourseError
from gan_course.latent.axes import Axes, unit
from gan_course.latent.sampling import fixed_latent
from gan_course.models import stylegan
from gan_course.weights import weights_sha256
from gan_course.widgets import face_editor
from gan_course.widgets.face_editor import FaceEditor

RNG = np.random.default_rng(0)
NAMES = ("Male", "Young", "Smiling", "No_Beard", "Rosy_Cheeks", "Goatee")


def axes_for(generator, d, space="z"):
    rows = unit(RNG.normal(size=(6, d)) + RNG.normal(size=d))
    rows[5] = unit(rows[3] + 0.001 * rows[0])  # Goatee is nearly No_Beard
    return Axes(NAMES, rows, space, 1.0 if space == "z" else 0.7, "linear", 9, 0, weights_sha256(generator), "1")


@pytest.fixture(scope="module")
def plain():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((12,)), keras.layers.Dense(192, "tanh"), keras.layers.Reshape((8, 8, 3))]
    generator = keras.Sequential(layers)
    return generator, axes_for(generator, 12)


@pytest.fixture(scope="module")
def style():
    keras.utils.set_random_seed(0)
    generator = stylegan.build_generator(16, 8, base=128, max_width=16, mapping=2, spread=1.0)
    return generator, axes_for(generator, 8, "w")


@pytest.fixture
def editor(plain):
    return FaceEditor(*plain, seed=3)


def everything(box):
    """Yield every widget in a box."""
    yield box
    for child in getattr(box, "children", ()):
        yield from everything(child)


def one(box, **wanted):
    """Return the widget of a box whose traits have these values."""
    found = [w for w in everything(box) if all(getattr(w, k, None) == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, found)
    return found[0]


def row(box, name):
    """Return minus, slider, plus and lock of an attribute."""
    return next(w.children[1:] for w in everything(box) if getattr(w, "children", ()) and
                getattr(w.children[0], "value", None) == name)  # fmt: skip


# --- the edit ---------------------------------------------------------------------------------------------


def test_the_face_follows_the_axes(editor, plain):
    generator, axes = plain
    start = fixed_latent(1, 12, 3)
    np.testing.assert_array_equal(editor.codes(), start)
    np.testing.assert_array_equal(*editor.pictures())
    editor.set("Smiling", 10)
    editor.set("Young", -5)
    np.testing.assert_allclose(editor.codes(), axes.move(start, {"Young": -5, "Smiling": 10}), rtol=1e-5)
    assert (editor.pictures()[1] != editor.pictures()[0]).any()
    editor.set("Smiling", 1000)
    assert editor.state.amounts["Smiling"] == 40  # the end of the slider
    editor.set("Smiling", 0)
    assert editor.state.amounts == {"Young": -5.0}


def test_clicks_there_and_back_end_at_the_start(editor):
    start = editor.codes()
    for amount in (*range(0, 45, 5), *range(40, -45, -5), 0):
        editor.set("Smiling", amount)
    np.testing.assert_array_equal(editor.codes(), start)


def test_a_locked_attribute_keeps_its_amount_and_the_others_go_around_it(editor, plain):
    _, axes = plain
    editor.set("Male", 10)
    there = editor.codes()
    editor.lock("Male")
    np.testing.assert_allclose(editor.codes(), there)
    editor.set("Smiling", 20)
    moved = editor.codes()
    np.testing.assert_allclose((moved - there) @ axes.directions[0], 0, atol=1e-5)
    assert np.abs(moved - there).max() > 0.1
    editor.lock("Male", False)
    assert abs(((editor.codes() - there) @ axes.directions[0])[0]) > 1e-3


def test_what_the_locks_leave_nothing_of_does_not_move(editor):
    editor.set("Goatee", 20)
    editor.lock("No_Beard")
    np.testing.assert_array_equal(editor.codes(), editor.start())
    editor.lock("No_Beard", False)
    assert (editor.codes() != editor.start()).any()


def test_undo_and_redo(editor, monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(face_editor.time, "monotonic", lambda: seconds[0])
    states = [editor.state]
    for change in (
        lambda: editor.set("Smiling", 5),
        lambda: editor.lock("Male"),
        lambda: editor.change(seed=8),
        lambda: editor.reset(),
    ):
        change()
        states.append(editor.state)
    for state in states[-2::-1]:
        editor.undo()
        assert editor.state == state
    editor.undo()  # nothing is left
    assert editor.state == states[0]
    for state in states[1:]:
        editor.redo()
        assert editor.state == state
    assert editor.state == face_editor.State(seed=8, locked=("Male",))  # the locks stay
    editor.undo()
    editor.set("Young", 5)
    editor.redo()  # a new change ends the old future
    assert editor.state.amounts == {"Smiling": 5.0, "Young": 5.0}
    for amount in (6, 7, 8):  # dragged: one change
        editor.set("Young", amount)
    editor.undo()
    assert editor.state.amounts == {"Smiling": 5.0}
    editor.redo()
    seconds[0] += 60
    editor.set("Young", 9)
    editor.undo()
    assert editor.state.amounts["Young"] == 8


def test_axes_of_another_generator_and_unknown_names_are_refused(editor, plain, style):
    with pytest.raises(CourseError, match="other weights"):
        FaceEditor(plain[0], style[1])
    for act in (lambda: editor.set("Smile", 1), lambda: editor.lock("Smile")):
        with pytest.raises(CourseError, match="no axis 'Smile'"):
            act()


# --- StyleGAN, and a face of one's own -----------------------------------------------------------------------


def test_a_stylegan_moves_some_layers_in_w(style):
    generator, axes = style
    editor = FaceEditor(generator, axes, seed=1)
    start = editor.codes()
    editor.set("Smiling", 2)
    editor.change(layers=(2, 3))
    changed = np.abs(editor.codes() - start).max(axis=(0, 2)) > 0
    np.testing.assert_array_equal(changed, [False, False, True, True, False, False])
    assert editor.pictures().shape == (2, 16, 16, 3)


def test_a_face_of_ones_own(style, tmp_path):
    generator, axes = style
    own = RNG.normal(size=(1, 6, 8)).astype("float32")
    editor = FaceEditor(generator, axes, start=own)
    np.testing.assert_array_equal(editor.codes(), own)
    editor.set("Male", 1)
    editor.save(tmp_path / "mine.png")
    editor.change(seed=5)
    assert (editor.start() != own).any()
    editor.undo()
    np.testing.assert_array_equal(editor.start(), own)
    other = FaceEditor(generator, axes)
    other.load(tmp_path / "mine.json")
    np.testing.assert_allclose(other.codes(), editor.codes())
    for wrong in (own[0], own[:, :2], own * np.nan):
        with pytest.raises(CourseError, match=r"give finite numbers \(1, 6, 8\)"):
            FaceEditor(generator, axes, start=wrong)


# --- stored -----------------------------------------------------------------------------------------------


def test_settings_come_back(editor, plain, tmp_path):
    editor.set("Smiling", 15)
    editor.lock("Male")
    picture, settings = editor.save(tmp_path / "new" / "face.png")
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), editor.pictures()[1])
    other = FaceEditor(*plain)
    other.load(settings)
    assert other.state == editor.state
    other.undo()
    assert other.state == face_editor.State(seed=0)
    with pytest.raises(CourseError, match=r"ends in \.png"):
        editor.save(tmp_path / "face.jpg")


def test_wrong_settings_change_nothing(editor, tmp_path):
    _, file = editor.save(tmp_path / "face.png")
    good, before = json.loads(file.read_text()), editor.state
    with pytest.raises(CourseError, match="no file"):
        editor.load(tmp_path / "none.json")
    for wrong, says in (
        ("{", "no settings"),
        ([], "no settings"),
        (good | {"weights_sha256": "0"}, "another generator"),
        (good | {"space": "w"}, "another generator or space"),
        (good | {"seed": -1}, "seed is -1"),
        (good | {"seed": None}, "no settings"),  # and no start
        (good | {"amounts": {"Smile": 1}}, "no axis 'Smile'"),
        (good | {"amounts": {"Male": "much"}}, "no settings"),
        (good | {"amounts": {"Male": float("nan")}}, "too large"),
        (good | {"amounts": {"Male": 99}}, "too large"),
        (good | {"locked": ["Smile"]}, "no axis"),
        (good | {"layers": [0, 9]}, "layers"),
    ):
        file.write_text(wrong if isinstance(wrong, str) else json.dumps(wrong))
        with pytest.raises(CourseError, match=says):
            editor.load(file)
        assert editor.state == before


# --- the widget -------------------------------------------------------------------------------------------


def test_one_picture_for_one_change(editor, tmp_path):
    box = editor.controls()
    count, draw = [0], editor.pictures
    editor.pictures = lambda: count.__setitem__(0, count[0] + 1) or draw()
    face = next(w for w in everything(box) if isinstance(w, face_editor.Face))
    minus, slider, plus, lock = row(box, "Smiling")
    seed, undo = one(box, description="seed"), one(box, description="undo")
    seen = {face.face}
    for change, new in (
        (plus.click, True),
        (plus.click, True),
        (minus.click, False),  # back at one step
        (lambda: setattr(slider, "value", -20.0), True),
        (lambda: setattr(row(box, "Male")[3], "value", True), True),
        (undo.click, False),
        (one(box, description="redo").click, False),
        (one(box, description="reset").click, False),
        (lambda: setattr(seed, "value", 11), True),
        (one(box, description="random face").click, True),
    ):
        before = count[0]
        change()
        assert count[0] == before + 1, change
        assert (face.face not in seen) == new
        seen.add(face.face)
    assert editor.state.locked == ("Male",) and row(box, "Male")[1].disabled and not slider.disabled
    shown = np.frombuffer(face.face, "uint8").reshape(face.side, face.side, 4)
    np.testing.assert_array_equal(shown[..., :3], draw()[1])
    assert (shown[..., 3] == 255).all()


def test_controls_say_what_the_state_is(editor, tmp_path):
    box = editor.controls()
    minus, slider, plus, lock = row(box, "Smiling")
    one(box, description="a step").value = 2.0
    plus.click()
    assert slider.value == 2.0 and editor.state.amounts == {"Smiling": 2.0}
    face = next(w for w in everything(box) if isinstance(w, face_editor.Face))
    assert face.words == "a generated face, Smiling +2" and face.start != face.face
    row(box, "No Beard")[3].value = True
    assert row(box, "Goatee")[1].disabled  # nothing of it is left
    one(box, description="undo").click()
    assert not row(box, "Goatee")[1].disabled and not row(box, "No Beard")[3].value
    one(box, description="file").value = str(tmp_path / "a.png")
    one(box, description="save").click()
    assert (tmp_path / "a.png").exists() and (tmp_path / "a.json").exists()
    one(box, description="reset").click()
    one(box, description="load").click()
    assert slider.value == 2.0
    one(box, description="file").value = str(tmp_path / "none.png")
    one(box, description="load").click()
    assert any("There is no file" in str(getattr(w, "value", "")) for w in everything(box))
    one(box, description="seed").value = -4
    assert one(box, description="seed").value == 3  # refused, and told
    one(box, description="start beside it").value = True
    assert face.beside


def test_attributes_stand_in_groups_and_all_others_under_more(editor, style):
    tabs = next(w for w in everything(editor.controls()) if type(w).__name__ == "Tab")
    titles = [tabs.get_title(i) for i in range(len(tabs.children))]
    assert titles == ["person", "expression", "beard", "more"]
    rows = [[r.children[0].value for r in page.children] for page in tabs.children]
    assert rows == [["Male", "Young"], ["Smiling"], ["No Beard", "Goatee"], ["Rosy Cheeks"]]
    box = FaceEditor(*style).controls()
    layers = one(box, description="layers")
    assert (layers.min, layers.max) == (0, 5)
    assert not [w for w in everything(editor.controls()) if getattr(w, "description", "") == "layers"]


def test_the_server_of_make_lab_sends_at_once(monkeypatch):
    from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
    from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

    from gan_course.widgets.server import Promptly

    monkeypatch.setattr(ZMQChannelsWebsocketConnection, "connect", lambda self: "connected")
    said = []
    monkeypatch.setattr(KernelWebsocketHandler, "set_nodelay", lambda self, on: said.append(on))
    connection = Promptly.__new__(Promptly)
    connection.websocket_handler = KernelWebsocketHandler.__new__(KernelWebsocketHandler)
    assert connection.connect() == "connected" and said == [True]
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    assert f"PROMPTLY = {Promptly.__module__}.{Promptly.__name__}\n" in makefile
