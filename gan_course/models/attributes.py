"""The attribute network: which of CelebA's attributes does a face have?

A small residual network (He, Zhang, Ren and Sun, 'Deep residual learning for image recognition', 2016) with one
output per attribute. Its scores judge what a generator drew, and its last hidden layer, `features`, is a space in
which faces with the same visible properties lie close together.
"""

import keras
from keras import layers

from gan_course.errors import CourseError

LEVELS = 3  # halvings after the first convolution's


def build(attributes, width=32, resolution=64):
    """Return the network: pictures (batch, resolution, resolution, 3) in [-1, 1] -> logits (batch, k).

    attributes: the k names, in the order of the logits. A logit above 0 says 'has it'.
    width: channels at half the resolution; they double at each halving, so the layer `features` has 8 * width
    numbers, never negative. With width 32 the network has about 1.2 million parameters.

    A 4x4 convolution of stride 2, then a residual block per halving down to an eighth of that, the average over
    all places (so it matters little where a thing is), dropout and one dense layer.
    Raises `CourseError` for no attribute, for one named twice, and for a wrong width or resolution.
    """
    attributes = list(attributes)
    if not attributes or len(set(attributes)) < len(attributes):
        raise CourseError(f"The attributes are {attributes}; name one or more, each once.")
    if width < 1:
        raise CourseError(f"The attribute network's width is {width}; give 1 or more.")
    if resolution < 16 or resolution % 16:
        raise CourseError(f"The attribute network's resolution is {resolution}; give a multiple of 16.")
    x = inputs = keras.Input((resolution, resolution, 3), name="pictures")
    x = layers.Conv2D(width, 4, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.95)(x)
    x = layers.ReLU()(x)
    for level in range(1, LEVELS + 1):
        x = _block(x, width * 2**level)
    x = layers.GlobalAveragePooling2D(dtype="float32", name="features")(x)
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(len(attributes), dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name="attributes")


def _block(x, channels):
    """Half the size: relu(two convolutions + a shortcut), batch norm after each convolution."""
    shortcut = layers.Conv2D(channels, 1, use_bias=False)(layers.AveragePooling2D(2)(x))
    shortcut = layers.BatchNormalization(momentum=0.95)(shortcut)
    x = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.95)(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.95)(x)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def maps(model):
    """Return the network up to the maps of its residual blocks: pictures -> [(batch, 16, 16, 2 * width), ...] (for 64x64).

    It shares `model`'s weights. The maps are those after each block's last ReLU, from fine to coarse, never negative.
    """
    ends = [
        relu.output for add, relu in zip(model.layers, model.layers[1:], strict=False) if isinstance(add, layers.Add)
    ]
    return keras.Model(model.input, ends, name="maps")


def feature_extractor(model):
    """Return the network up to its layer `features`: pictures -> (batch, 8 * width), sharing `model`'s weights."""
    return keras.Model(model.input, model.get_layer("features").output, name="features")
