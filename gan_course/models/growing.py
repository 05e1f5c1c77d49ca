"""What the networks that grow share (ProGAN, StyleGAN): the budget of channels, the level and the fade.

Level r draws pictures of 2^r x 2^r, so the levels are 2 (4x4), 3 (8x8), ... 6 (64x64) ... 10 (1024x1024).
"""

import math

import keras
from keras import ops

from gan_course.errors import CourseError
from gan_course.layers import blend, upsample

RESOLUTIONS = tuple(2**level for level in range(2, 11))


def active(x):
    """Return the leaky ReLU of both networks, slope 0.2."""
    return ops.leaky_relu(x, negative_slope=0.2)


def with_condition(x, condition):
    """Return maps (batch, h, w, c) with conditions (batch, d) at every place: (batch, h, w, c + d)."""
    everywhere = ops.ones_like(x[..., :1]) * ops.cast(condition, x.dtype)[:, None, None, :]
    return ops.concatenate([x, everywhere], axis=-1)


def built(layer, *shape):
    """Return `layer` with its weights, made for (batch, *shape): copies, saved weights and optimisers need them from the start."""
    layer.build((None, *shape))
    return layer


def _is_number(alpha):
    return isinstance(alpha, (int, float))


class Growing(keras.Model):
    """What the two networks share: the budget of channels, the level and the fade.

    resolution: of the last level. base, max_width: the maps of a block have min(max_width, base / 2^s) channels, see
    `channels`. condition_dim: numbers in an extra vector that goes in beside the first input; 0: there is none.
    fused: see `gan_course.layers.EqualisedConv2D`; the function and the weights are the same either way.

    `level` and `alpha` are the state of growth. They are not weights: a saved network loads fully grown.
    """

    def __init__(self, resolution, base, max_width, condition_dim, fused, name):
        # float32 here leaves the policy to the layers, and keeps the digits of alpha and of the pictures.
        super().__init__(name=name, dtype="float32")
        if resolution not in RESOLUTIONS:
            raise CourseError(f"The resolution is {resolution}; choose one of {RESOLUTIONS}.")
        if min(base // resolution, max_width) < 1 or condition_dim < 0:
            raise CourseError(
                f"base is {base}, max_width is {max_width} and condition_dim is {condition_dim}; give a base of "
                f"{resolution} or more, a max_width of 1 or more and a condition_dim of 0 or more."
            )
        self.resolution, self.base, self.max_width = resolution, base, max_width
        self.condition_dim, self.fused = condition_dim, fused
        self.full_level = int(math.log2(resolution))
        self.level, self.alpha = self.full_level, 1.0

    def channels(self, s):
        """Return nf(s) = min(max_width, base / 2^s). The maps of level r have nf(r - 1) channels."""
        return min(self.max_width, self.base // 2**s)

    def grow(self, level=None, alpha=1.0):
        """Set the level (None: the last one) and the weight `alpha` of its newest layers, from 0 to 1; return self.

        `alpha` may be a tensor: then one compiled step serves the whole fade. The number 1 means that nothing is
        faded, and the layers of the level before that only the fade needs are left out.
        """
        level = self.full_level if level is None else level
        number = _is_number(alpha)
        if not 2 <= level <= self.full_level or (number and not 0 <= alpha <= 1):
            raise CourseError(
                f"level is {level} and alpha is {alpha}; give a level from 2 to {self.full_level}, alpha from 0 to 1."
            )
        if level == 2 and not (number and alpha == 1):
            raise CourseError("Level 2 is the first and has nothing to fade from; give it alpha=1.")
        same = level == self.level and number and _is_number(self.alpha) and alpha == self.alpha
        self.level, self.alpha = level, alpha
        if not same:
            self.predict_function = None  # Keras compiled it for another level
        return self

    @property
    def fading(self):
        """Whether the level before is still blended in."""
        return not (_is_number(self.alpha) and self.alpha == 1)

    @property
    def trainable_variables(self):
        """The trainable weights of the layers that the level uses. (`weights` are those of all levels.)"""
        return [v for layer in self.layers_in_use() for v in layer.trainable_variables]

    @property
    def trainable_weights(self):
        return self.trainable_variables

    def _rgb_in_use(self, rgb):
        return rgb[self.level - 2 - self.fading : self.level - 1]

    _build = staticmethod(built)

    def export(self, *args, input_signature=None, **kwargs):
        """Write the network at its present level for other programs, as `keras.Model.export` (format='onnx', ...)."""
        if input_signature is None:
            shapes = self.input_shape if self.condition_dim else [self.input_shape]
            specs = [keras.InputSpec(shape=shape, dtype="float32") for shape in shapes]
            input_signature = [specs] if self.condition_dim else specs
        return super().export(*args, input_signature=input_signature, **kwargs)

    def get_config(self):
        names = ("resolution", "base", "max_width", "condition_dim", "fused", "name")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class GrowingGenerator(Growing):
    """What the two generators share: how maps become pictures.

    full_size: give pictures of the last level's resolution whatever the level, smaller ones as blocks of equal pixels.
    """

    def __init__(self, *args, full_size=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.full_size = full_size

    @property
    def output_shape(self):
        size = self.resolution if self.full_size else 2**self.level
        return (None, size, size, 3)

    def pictures(self, x, before):
        """Return the pictures of the level's maps `x`; while it fades, those of the level before are blended in:

        (1 - alpha) * upsample(to_rgb(before)) + alpha * to_rgb(x)
        """
        last = self.level - 2
        pictures = self.to_rgb[last](x)
        if self.fading:
            pictures = blend(upsample(self.to_rgb[last - 1](before)), pictures, self.alpha)
        if self.full_size and self.level < self.full_level:
            pictures = upsample(pictures, 2 ** (self.full_level - self.level))
        return pictures

    def get_config(self):
        return super().get_config() | {"full_size": self.full_size}
