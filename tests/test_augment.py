"""Augmentation of what the discriminator sees: each change against NumPy, gradients, and the training."""

import numpy as np
import pytest

from gan_course.backend import Tape, keras, to_numpy
from gan_course.errors import CourseError
from gan_course.training import augment

ops = keras.ops
RNG = np.random.default_rng(0)


def pictures(count=6, height=16, width=24):
    return RNG.uniform(-1, 1, (count, height, width, 3)).astype("float32")


class Drawn:
    """Random numbers that a test knows."""

    def __init__(self):
        self.seeds, self.numbers = keras.random.SeedGenerator(3), []

    def __call__(self, distribution, shape):
        self.numbers.append(to_numpy(distribution(shape, seed=self.seeds)))
        return ops.convert_to_tensor(self.numbers[-1])


def test_colour():
    x, drawn = pictures(), Drawn()
    made = to_numpy(augment.colour(ops.convert_to_tensor(x), drawn))
    bright, saturation, contrast = drawn.numbers
    y = x + bright - 0.5
    grey = y.mean(-1, keepdims=True)
    y = grey + (y - grey) * 2 * saturation
    level = y.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(made, level + (y - level) * (0.5 + contrast), rtol=1e-4, atol=1e-5)


def test_translation():
    x, drawn = pictures(60), Drawn()
    made = to_numpy(augment.translation(ops.convert_to_tensor(x), drawn))
    down, right = (
        np.floor(-most + (2 * most + 1) * u).astype(int).ravel() for most, u in zip((2, 3), drawn.numbers, strict=True)
    )
    assert set(down) == set(range(-2, 3)) and set(right) == set(range(-3, 4))
    for before, after, i, j in zip(x, made, down, right, strict=True):
        wide = np.pad(before, ((2, 2), (3, 3), (0, 0)))
        np.testing.assert_allclose(after, wide[2 + i : 18 + i, 3 + j : 27 + j], rtol=1e-6)


def test_cutout():
    x = pictures(200) + 3  # nowhere 0
    gone = to_numpy(augment.cutout(ops.convert_to_tensor(x), Drawn())) == 0
    assert (gone == gone[..., :1]).all()
    for picture in gone[..., 0]:
        rows, columns = picture.any(1), picture.any(0)
        assert (picture == np.outer(rows, columns)).all()  # one rectangle
        assert 4 <= rows.sum() <= 8 and 6 <= columns.sum() <= 12  # half the side, or what of it lies inside
    assert gone.mean((0, 3)).min() > 0  # every place is hit


def test_each_picture_is_changed_with_its_probability():
    x = pictures(400)
    for p in (0.0, 0.3, 1.0):
        made = to_numpy(augment.augment(ops.convert_to_tensor(x), ["cutout"], p, Drawn()))
        changed = (made != x).any((1, 2, 3)).mean()
        assert abs(changed - p) < 0.08
    assert augment.augment(x, [], 1.0, Drawn()) is x


@pytest.mark.parametrize("name", augment.CHANGES)
def test_gradients_pass(name):
    x = ops.convert_to_tensor(pictures())
    with Tape() as tape:
        tape.watch(x)
        value = ops.sum(augment.augment(x, [name], 1.0, Drawn()))
    slope = to_numpy(tape.gradient(value, x))
    assert np.isfinite(slope).all() and (slope != 0).any((1, 2, 3)).all()


def test_names():
    assert augment.names("translation, colour") == ["translation", "colour"] and augment.names("") == []
    with pytest.raises(CourseError, match="no augmentation 'colur'; choose from translation, colour, cutout"):
        augment.names("colur")


@pytest.mark.usefixtures("eagerly")
def test_real_and_drawn_pictures_are_changed_and_a_seed_repeats_it(tiny_gan, pictures):
    def trained(**options):
        gan = tiny_gan(**options)
        seen, score = [], gan.score
        gan.score = lambda x, condition: seen.append(x.shape) or score(x, condition)
        gan.fit(pictures, batch_size=8, epochs=1, verbose=0)
        return gan.get_weights()

    chosen = dict(augment="translation,colour,cutout", augment_p=0.5)
    one, again, without = trained(**chosen), trained(**chosen), trained()
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(one, without, strict=True))
    gan = tiny_gan(augment="cutout")
    assert (to_numpy(gan.seen(ops.ones((8, 16, 16, 3)))) == 0).any((1, 2, 3)).all()


def test_a_random_crop_of_a_ramp_is_a_ramp():
    ramp = np.broadcast_to(np.arange(16, dtype="float32")[:, None] + 100 * np.arange(16), (3, 16, 16))[..., None]
    # Area, ratio, whether (below the share), and the place: of a crop of 80%, square, at the upper left and the lower right; and none.
    numbers = np.array([[1, 0.5, 0.2, 0, 0], [1, 0.5, 0.2, 1, 1], [1, 0.5, 0.9, 0, 0]], "float32")
    cut = np.asarray(augment.random_crop(np.array(ramp), 0.5, lambda distribution, shape: numbers))
    side = 0.8**0.5
    for i in range(2):
        place = np.clip(side * (np.arange(16) + 0.5) - 0.5 + i * 16 * (1 - side), 0, 15)
        np.testing.assert_allclose(cut[i, ..., 0], place[:, None] + 100 * place, rtol=1e-4, atol=1e-2)
    np.testing.assert_array_equal(cut[2], ramp[2])
