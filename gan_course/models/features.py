"""A second discriminator that looks through a network which has learned something else.

A discriminator that begins with random weights must first learn what an eye or a beard is, from nothing but real or fake. A
network that tells attributes knows. Sauer et al. 2021 ("Projected GANs converge faster") let the discriminators see such
features only; Kumari et al. 2022 ("Ensembling off-the-shelf models for GAN training") add one that sees them to the
usual one, which here stays as well: what the features do not show, such as grain, only pixels can tell.
"""

import keras
from keras import ops

from gan_course.errors import CourseError
from gan_course.layers import EqualisedConv2D, EqualisedDense, MinibatchStdDev, downsample, upsample
from gan_course.models import attributes
from gan_course.models.growing import active, built, with_condition


def to_size(pictures, size):
    """Return square pictures repeated or averaged to `size`, a multiple or a part of theirs.

    (`ops.image.resize` has no second derivative in TensorFlow, and R1 needs one.)
    """
    height = pictures.shape[1]
    if height < size:
        return upsample(pictures, size // height)
    return downsample(pictures, height // size) if height > size else pictures


class FeatureDiscriminator(keras.Model):
    """Pictures (batch, h, w, 3) in [-1, 1] -> scores (batch, 1), no sigmoid, from the maps of a frozen attribute network.

        x = conv(maps of 16x16);  x = conv([maps of 8x8, halved x]);  x = conv([maps of 4x4, halved x])
        minibatch deviation, conv 3x3, Dense, Dense(1)

    (sizes of a network for 64x64). With a `condition_dim` it takes [pictures, conditions (batch, condition_dim)]; a dense
    layer makes `width` numbers of a condition, which join the maps after the deviation, as in
    `gan_course.models.text_to_face.Discriminator`: D.head(D.maps(pictures), condition).

    `network`: see `gan_course.models.attributes.build`; it is frozen, and its weights are not among this model's.
    resolution: of the pictures; they may also be smaller by powers of two, as those of networks that grow. Pixels are
    repeated or averaged to the network's size. width: channels. All layers have the equalised rate, so it learns at the
    rate of the discriminator beside it.
    Raises `CourseError` where one of the sizes is no multiple of the other.
    """

    def __init__(self, network, resolution, width=64, group_size=4, condition_dim=0, name="feature_discriminator"):
        super().__init__(name=name, dtype="float32")  # its layers have the policy
        self.size = network.input_shape[1]
        if max(resolution, self.size) % min(resolution, self.size):
            raise CourseError(
                f"The attribute network is for pictures of {self.size} pixels and the GAN for {resolution}; "
                "take one whose size divides the other's."
            )
        network.trainable = False
        seen = attributes.maps(network)
        # A function: an attribute with the network itself would count among the weights.
        self.seen = lambda pictures: seen(pictures, training=False)
        self.condition_dim = condition_dim
        self.look, self.down, before = [], [], 0
        for _, size, _, channels in seen.output_shape:
            self.look.append(built(EqualisedConv2D(width), size, size, channels + before))
            if size != seen.output_shape[-1][1]:
                self.down.append(built(EqualisedConv2D(width, resample="down"), size, size, width))
            before = width
        self.deviation = built(MinibatchStdDev(group_size), size, size, width)
        if condition_dim:
            self.reduce = built(EqualisedDense(width), condition_dim)
        self.last = built(EqualisedConv2D(2 * width), size, size, width + 1 + (width if condition_dim else 0))
        self.dense = built(EqualisedDense(2 * width), size * size * 2 * width)
        self.score = built(EqualisedDense(1, gain=1.0, dtype="float32"), 2 * width)
        self.built = True

    def maps(self, pictures):
        """Return the maps of 4x4 from which `head` scores pictures."""
        first, *others = self.seen(to_size(pictures, self.size))
        x = active(self.look[0](first))
        for look, down, maps in zip(self.look[1:], self.down, others, strict=True):
            x = active(down(x))
            x = active(look(ops.concatenate([ops.cast(maps, x.dtype), x], axis=-1)))
        return self.deviation(x)

    def head(self, x, condition=None):
        """Return the scores of `maps`."""
        if condition is not None:
            x = with_condition(x, active(self.reduce(condition)))
        x = active(self.last(x))
        return self.score(active(self.dense(ops.reshape(x, (-1, self.dense.kernel.shape[0])))))

    def call(self, inputs):
        pictures, condition = inputs if self.condition_dim else (inputs, None)
        return self.head(self.maps(pictures), condition)

    @property
    def output_shape(self):
        return (None, 1)
