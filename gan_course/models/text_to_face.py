"""Text to face: a text encoder, conditioning augmentation, and a ProGAN whose two players know the sentence.

    sentence -> word numbers -> `TextEncoder` -> psi -> `Augmentation` -> c;   [z, c] -> ProGAN's generator -> face
    face, psi -> ProGAN's discriminator, which meets the sentence at 4x4 -> score

After T2F (A. Karnewar 2018, https://github.com/akanimax/T2F), which joined StackGAN's conditioning augmentation (Zhang
et al. 2017) with a growing GAN. What differs: the encoder reads the last *word* (T2F's: the last step, mostly padding), it
has been taught what a caption tells, and the augmentation's spread cannot die (its logarithm is predicted).
"""

import keras
from keras import layers, ops

from gan_course.layers import EqualisedDense, PixelNorm
from gan_course.models import progan
from gan_course.models.growing import active

TOLD = (-1, 0, 1)  # the classes of `Generator.told`: has it not, not told, has it


@keras.saving.register_keras_serializable(package="gan_course")
class TextEncoder(keras.Model):
    """Word numbers (batch, length), 0 after the end -> psi (batch, units), of mean square 1.

    psi = PixelNorm(state of an LSTM after the last word), the words as learnt vectors (Hochreiter and Schmidhuber 1997).
    The steps of the padding are masked: the state goes through them as it is. words: how many numbers there are.
    """

    def __init__(self, words, length, embedding=64, units=128, name="encoder"):
        super().__init__(name=name, dtype="float32")
        self.sizes = dict(words=words, length=length, embedding=embedding, units=units)
        self.embedding = layers.Embedding(words, embedding, dtype="float32")
        self.lstm = layers.LSTM(units, dtype="float32")
        self.norm = PixelNorm(dtype="float32")
        self.embedding.build((None, length))
        self.lstm.build((None, length, embedding))
        self.norm.build((None, units))  # without weights, but Keras asks whether it is built
        self.built = True

    def call(self, numbers):
        numbers = ops.cast(numbers, "int32")
        return self.norm(self.lstm(self.embedding(numbers), mask=ops.not_equal(numbers, 0)))

    def get_config(self):
        return self.sizes | {"name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="gan_course")
class Augmentation(layers.Layer):
    """Conditioning augmentation (Zhang et al. 2017, StackGAN, section 3.2): c ~ N(mu(psi), diag sigma(psi)^2).

        c = mu + sigma * noise,      noise ~ N(0, I)

    So one sentence stands for a small cloud of conditions, and the generator must draw faces between sentences, too. mu
    and log sigma^2 are dense layers of psi; sigma begins at 0.37. With `spread=False` there is no noise: c = mu.
    """

    def __init__(self, units, spread=True, **kwargs):
        super().__init__(**kwargs)
        self.units, self.spread = units, spread

    def build(self, psi_shape, noise_shape=None):
        self.mean = EqualisedDense(self.units, gain=1.0, dtype="float32")
        self.mean.build(psi_shape)
        if self.spread:
            self.log_variance = EqualisedDense(self.units, gain=0.1, dtype="float32")
            self.log_variance.build(psi_shape)

    def statistics(self, psi):
        """Return (mu, log sigma^2), the second within -10 and 4."""
        return self.mean(psi), ops.clip(self.log_variance(psi) - 2.0, -10.0, 4.0)

    def divergence(self, psi):
        """Return KL(N(mu, sigma^2) || N(0, I)) in nats, the mean over the batch: sum of (mu^2 + sigma^2 - log sigma^2 - 1) / 2.

        How much of the sentence goes into c. Where it is 0, all sentences give the same cloud.
        """
        mean, log_variance = self.statistics(psi)
        each = ops.square(mean) + ops.exp(log_variance) - log_variance - 1.0
        return ops.mean(ops.sum(0.5 * each, axis=-1))

    def call(self, psi, noise):
        if not self.spread:
            return self.mean(psi)
        mean, log_variance = self.statistics(psi)
        return mean + ops.exp(0.5 * log_variance) * noise


@keras.saving.register_keras_serializable(package="gan_course", name="TextToFaceGenerator")
class Generator(progan.Generator):
    """G: [latent (batch, latent_dim + condition_dim), psi (batch, text_dim)] -> pictures (batch, 2^level, 2^level, 3).

    The latent vector holds z and the augmentation's noise. psi comes from `encoder`, which is a part of this network but
    not trained with it: psi = network.encoder(word numbers).

    `told`: what psi is taught to say before the GAN's training, (batch, attributes, 3) logits: the sentence says that
    the face has the attribute not / does not tell / says that it has it.

    words: how many word numbers there are; attributes: how many may be told; length: words of a sentence.
    """

    def __init__(
        self, words, attributes, length=48, text_dim=128, embedding=64, condition_dim=32, spread=True, resolution=64,
        latent_dim=128, base=8192, max_width=512, fused=True, full_size=False, name="generator",
    ):  # fmt: skip
        super().__init__(resolution, latent_dim, base, max_width, condition_dim, fused, full_size, name)
        self.words, self.attributes, self.length = words, attributes, length
        self.text_dim, self.embedding, self.spread = text_dim, embedding, spread
        self.encoder = TextEncoder(words, length, embedding, text_dim)
        self.heads = self._build(layers.Dense(3 * attributes, dtype="float32", name="told"), text_dim)
        self.augmentation = Augmentation(condition_dim, spread, dtype="float32")
        self.augmentation.build((None, text_dim))
        self.built = True

    @property
    def input_shape(self):
        return [(None, self.latent_dim + self.condition_dim), (None, self.text_dim)]

    def layers_in_use(self):
        return [*super().layers_in_use(), self.augmentation]

    def told(self, psi):
        return ops.reshape(self.heads(psi), (-1, self.attributes, len(TOLD)))

    def call(self, inputs):
        latent, psi = inputs
        z, noise = latent[:, : self.latent_dim], latent[:, self.latent_dim :]
        return super().call([z, self.augmentation(psi, noise)])

    def get_config(self):
        names = ("words", "attributes", "length", "text_dim", "embedding", "spread")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="gan_course", name="TextToFaceDiscriminator")
class Discriminator(progan.Discriminator):
    """D: [pictures, psi (batch, text_dim)] -> scores (batch, 1): is this a real face, and does it fit the sentence?

    psi, made shorter by a dense layer and leaky ReLU, joins the maps at 4x4. Two sentences about one picture share its
    maps: D.head(D.maps(pictures), psi).

    tells: of how many attributes it also tells whether it sees them, before it knows the sentence, as logits
    (batch, tells): D.tell(D.maps(pictures)) (Odena et al. 2017, AC-GAN).
    """

    def __init__(
        self, text_dim=128, condition_dim=64, resolution=64, base=8192, max_width=512, group_size=4, fused=True,
        tells=0, name="discriminator",
    ):  # fmt: skip
        super().__init__(resolution, base, max_width, condition_dim, group_size, fused, name)
        self.text_dim, self.tells = text_dim, tells
        self.text = self._build(EqualisedDense(condition_dim), text_dim)
        if tells:
            self.eye = self._build(EqualisedDense(tells, gain=1.0, dtype="float32"), 16 * (self.channels(1) + 1))
        self.built = True

    @property
    def input_shape(self):
        return [super().input_shape[0], (None, self.text_dim)]

    def layers_in_use(self):
        return [*super().layers_in_use(), self.text, *([self.eye] if self.tells else [])]

    def tell(self, maps):
        return self.eye(ops.reshape(maps, (-1, 16 * (self.channels(1) + 1))))

    def head(self, maps, psi):
        return super().head(maps, active(self.text(psi)))

    def get_config(self):
        return super().get_config() | {"text_dim": self.text_dim, "tells": self.tells}


build_generator, build_discriminator = Generator, Discriminator
