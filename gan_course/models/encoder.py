"""An encoder for projection: it guesses the w of a given face in one pass, so that the search begins near its end.

Zhu et al. 2020 ("In-domain GAN inversion for real image editing") begin the search of `gan_course.latent.projection` at such a guess;
Richardson et al. 2021 ("Encoding in style") guess a w for each layer.
"""

import keras
from keras import ops

from gan_course.errors import CourseError
from gan_course.layers import EqualisedConv2D, EqualisedDense
from gan_course.models.growing import active


@keras.saving.register_keras_serializable(package="gan_course")
class Encoder(keras.Model):
    """E: pictures (batch, r, r, 3) in [-1, 1] -> w (batch, layers, latent_dim), for a StyleGAN's `synthesize`.

        maps: conv 3x3 that halves, down to 4x4, with `width` channels at half the size, doubled downwards, at most 8 times as many
        w of layer i = average + spread * (Dense(maps) + offset_i),   offset_i = Dense(maps), small at first

    One vector for all layers and a small offset for each (Tov et al. 2021, "Designing an encoder for StyleGAN image manipulation"):
    what is far from any w of the mapping network cannot be edited well.

    average, spread: numbers (latent_dim,), mean and standard deviation of the generator's w; they are weights that are not
    trained. layers: L, the generator's styled layers.
    """

    def __init__(self, resolution=64, layers=10, latent_dim=128, width=32, name="encoder"):
        super().__init__(name=name, dtype="float32")
        if resolution < 8 or resolution & (resolution - 1) or min(layers, latent_dim, width) < 1:
            raise CourseError(
                f"resolution is {resolution}, layers {layers}, latent_dim {latent_dim} and width {width}; give a power of two "
                "from 8 on, and 1 or more for the others."
            )
        self.resolution, self.count, self.latent_dim, self.width = resolution, layers, latent_dim, width
        self.downs, channels, size = [], 3, resolution
        while size > 4:
            wide = min(8 * width, width * resolution // size)
            down = EqualisedConv2D(wide, resample="down")
            down.build((None, size, size, channels))
            self.downs.append(down)
            channels, size = wide, size // 2
        self.dense, self.shared = EqualisedDense(8 * width), EqualisedDense(latent_dim, gain=1.0, dtype="float32")
        self.offsets = EqualisedDense(layers * latent_dim, gain=0.1, dtype="float32")
        self.dense.build((None, 16 * channels))
        self.shared.build((None, 8 * width))
        self.offsets.build((None, 8 * width))
        fixed = dict(trainable=False, dtype="float32", shape=(latent_dim,))
        self.average = self.add_weight(initializer="zeros", name="average_w", **fixed)
        self.spread = self.add_weight(initializer="ones", name="spread_w", **fixed)
        self.built = True

    @property
    def input_shape(self):
        return (None, self.resolution, self.resolution, 3)

    @property
    def output_shape(self):
        return (None, self.count, self.latent_dim)

    def parts(self, pictures):
        """Return (shared (batch, 1, latent_dim), offsets (batch, layers, latent_dim)), both in standard deviations of w."""
        x = pictures
        for down in self.downs:
            x = active(down(x))
        x = active(self.dense(ops.reshape(x, (-1, 16 * x.shape[-1]))))
        return self.shared(x)[:, None], ops.reshape(self.offsets(x), (-1, self.count, self.latent_dim))

    def w_of(self, shared, offsets):
        """Return w (batch, layers, latent_dim) of what `parts` gave."""
        return self.average + self.spread * (shared + offsets)

    def call(self, pictures, training=False):
        return self.w_of(*self.parts(pictures))

    def get_config(self):
        names = dict(resolution=self.resolution, layers=self.count, latent_dim=self.latent_dim, width=self.width)
        return names | {"name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
