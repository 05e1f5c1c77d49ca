"""The walk through latent space: a closed way, and controls that redraw."""

import keras
import numpy as np
import pytest

from gan_course.widgets.latent_walk import LatentWalk


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
