"""Augmentation of all that the discriminator sees, for small sets of pictures (Zhao et al. 2020, 'DiffAugment').

A discriminator that sees the same few thousand faces again and again learns them by heart, and then teaches nothing. If only the
real pictures were changed, the generator would learn to draw changed ones. So the real *and* the drawn pictures are changed, at
random and in the same ways, and G's gradient passes through the change.
"""

import keras
from keras import ops

from gan_course.errors import CourseError

MOVE, CUT = 0.125, 0.5  # of the picture's side, as in the paper


def _uniform(draw, x, low, high, shape=(1, 1, 1)):
    """One random number a picture, (batch, 1, 1, 1)."""
    return low + (high - low) * ops.cast(draw(keras.random.uniform, (ops.shape(x)[0], *shape)), x.dtype)


def colour(x, draw):
    """Change brightness (by up to 0.5 of 2), saturation (times 0 to 2) and contrast (times 0.5 to 1.5), in this order."""
    x = x + _uniform(draw, x, -0.5, 0.5)
    grey = ops.mean(x, axis=-1, keepdims=True)
    x = grey + (x - grey) * _uniform(draw, x, 0.0, 2.0)
    level = ops.mean(x, axis=(1, 2, 3), keepdims=True)
    return level + (x - level) * _uniform(draw, x, 0.5, 1.5)


def _whole(draw, x, low, high):
    """One random whole number a picture from low to high, (batch, 1, 1)."""
    return ops.floor(_uniform(draw, x, low, high + 1.0, (1, 1)))


def translation(x, draw):
    """Move each picture by up to an eighth of its side, both ways; what comes in is 0 (grey)."""
    for axis in (1, 2):
        size = x.shape[axis]
        most = int(size * MOVE + 0.5)
        place = ops.arange(size, dtype=x.dtype)
        # Row i of the new picture is row i + shift of the old one: a matrix with a single 1 in each row.
        moved = ops.cast(place[None, None, :] == place[None, :, None] + _whole(draw, x, -most, most), x.dtype)
        x = ops.einsum("bij,bjwc->biwc" if axis == 1 else "bij,bhjc->bhic", moved, x)
    return x


def cutout(x, draw):
    """Set a square of half the side to 0, at a random place; at the edge a part of it lies outside."""
    inside = 1.0
    for axis in (1, 2):
        size = x.shape[axis]
        side = int(size * CUT + 0.5)
        start = _whole(draw, x, -(side // 2), size - side // 2 - 1)[..., 0]  # (batch, 1)
        place = ops.arange(size, dtype=x.dtype)[None, :]
        within = ops.cast(ops.logical_and(place >= start, place < start + side), x.dtype)
        inside = inside * (within[:, :, None, None] if axis == 1 else within[:, None, :, None])
    return x * (1.0 - inside)


CHANGES = {"translation": translation, "colour": colour, "cutout": cutout}


def names(text):
    """Return the names in a text such as 'translation,colour'; raise `CourseError` for an unknown one."""
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    for name in chosen:
        if name not in CHANGES:
            raise CourseError(f"There is no augmentation '{name}'; choose from {', '.join(CHANGES)}.")
    return chosen


def augment(x, chosen, probability, draw):
    """Return pictures (batch, h, w, c), each changed in each of the `chosen` ways with this probability.

    draw: (distribution, shape) -> random numbers.
    """
    for name in chosen:
        changed = CHANGES[name](x, draw)
        if probability < 1:
            changed = ops.where(_uniform(draw, x, 0.0, 1.0) < probability, changed, x)
        x = changed
    return x


def random_crop(x, share, draw):
    """Return pictures of which a `share` is cut to 80 to 100% of the area, sides 0.9 to 1.1 alike, and enlarged to the old size.

    For the training faces themselves, and not only for what D sees (StarGAN v2, appendix: 'random-resized crop').
    draw: (distribution, shape) -> random numbers, the first axis being the batch.
    """
    numbers = draw(keras.random.uniform, (ops.shape(x)[0], 5))
    area, ratio, chosen, *place = (numbers[:, i] for i in range(5))
    area, ratio = 1.0 - 0.2 * area, 0.9 + 0.2 * ratio
    for axis, side in ((1, area / ratio), (2, area * ratio)):
        size = x.shape[axis]
        side = ops.where(chosen < share, ops.minimum(1.0, ops.sqrt(side)), 1.0)[:, None]
        pixels = ops.arange(size, dtype="float32")
        # Where each new pixel lies in the old picture; between two pixels, a share of both.
        at = (place[axis - 1][:, None] * (1.0 - side) * size) + side * (pixels + 0.5) - 0.5
        weights = ops.maximum(0.0, 1.0 - ops.abs(ops.clip(at, 0, size - 1)[:, :, None] - pixels))
        x = ops.einsum("bij,bjwc->biwc" if axis == 1 else "bij,bhjc->bhic", weights, x)
    return x
