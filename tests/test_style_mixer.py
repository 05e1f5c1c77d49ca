"""The style mixer: which layer takes whose style, and controls that redraw once."""

import keras
import numpy as np
import pytest

from gan_course.backend import to_numpy
from gan_course.models import stylegan
from gan_course.widgets.style_mixer import StyleMixer, bands


@pytest.fixture
def mixer():
    keras.utils.set_random_seed(0)
    generator = stylegan.build_generator(16, 6, base=64, max_width=8, mapping=2, spread=1.0)
    for layer in generator.styled:
        layer.noise.weight.assign(np.ones(layer.channels))
    return StyleMixer(generator, seeds=(3, 4), size=16)


def test_bands():
    def of(resolution):
        return bands(stylegan.build_generator(resolution, 4, base=1024, max_width=4))

    assert of(64) == {"coarse": [0, 1, 2, 3], "middle": [4, 5, 6, 7], "fine": [8, 9]}
    assert of(1024) == {"coarse": [0, 1, 2, 3], "middle": [4, 5, 6, 7], "fine": list(range(8, 18))}  # the paper's


def test_each_layer_takes_its_style_from_the_face_that_is_chosen(mixer):
    mixer.from_second = {1, 4}
    first, second, mixed = mixer.styles()
    for layer in range(6):
        np.testing.assert_array_equal(mixed[layer], (second if layer in (1, 4) else first)[layer])
    for chosen, which in ((set(), 0), (set(range(6)), 1)):
        mixer.from_second = chosen
        np.testing.assert_array_equal(mixer.faces()[2], mixer.faces()[which])


def test_noise_and_truncation(mixer):
    fixed = mixer.faces()
    mixer.noise_seed = 7
    other = mixer.faces()
    np.testing.assert_array_equal(other, mixer.faces())
    assert (other != fixed).any()
    mixer.psi = 0
    first, second, _ = mixer.styles()
    np.testing.assert_allclose(first, second, atol=1e-6)  # everybody is the average
    np.testing.assert_allclose(first[0], to_numpy(mixer.generator.average), atol=1e-6)


def test_controls_redraw_and_save(mixer, tmp_path):
    box = mixer.controls()
    columns, (layers, right) = box.children[0].children, box.children[1].children
    face = columns[2].children[1]
    _, *boxes, buttons = layers.children
    first, second, noise, psi, path, save = right.children
    count, draw = [0], mixer.faces
    mixer.faces = lambda: count.__setitem__(0, count[0] + 1) or draw()
    pictures = {face.value}
    for change in (
        lambda: setattr(boxes[5], "value", True),
        lambda: setattr(first, "value", 9),
        lambda: setattr(noise, "value", 2),
        lambda: setattr(psi, "value", 0.5),
        buttons.children[1].click,
    ):
        before = count[0]
        change()
        assert count[0] == before + 1, "one picture for one change"
        pictures.add(face.value)
    assert len(pictures) == 6 and mixer.from_second == {4, 5}
    path.value = str(tmp_path / "mixture.png")
    save.click()
    assert (tmp_path / "mixture.png").exists()
