"""Training an encoder for projection: from faces that the StyleGAN drew, whose w is known, and from real ones."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from keras import ops

from gan_course import show, weights
from gan_course.backend import Tape, no_gradient, to_numpy
from gan_course.data import pipeline, toon
from gan_course.errors import CourseError
from gan_course.latent.projection import LATENTS, distance, look
from gan_course.models import attributes
from gan_course.models.encoder import Encoder
from gan_course.models.stylegan import layer_count
from gan_course.training import checkpoints, classifier
from gan_course.training.base import ABOVE_0, COUNT, FROM_0, WHOLE, Config, Trainer, falling, option
from gan_course.training.stylegan import StyleGANConfig

EXAMPLES = 64  # faces for the sheets


class EncoderTrainer(Trainer):
    """Teach an `Encoder` E the way back of a StyleGAN generator G, which stays as it is.

    In a step, on a batch of real faces x and as many drawn faces G(w), w = f(z):

        known   = mean (E(G(w)) - w)^2 / variance of w              the drawn faces' w is known
        face    = distance(G(E(x)), x)                              that of `gan_course.latent.projection`: pixels and features
        offset  = mean offsets^2                                    the layers' w stay near each other
        loss    = known_weight * known + face + offset_weight * offset

    features: the network of the distance, such as the steering network up to its features; None: pixels alone.
    """

    def __init__(
        self, generator, encoder, features=None, *, known=0.1, offset=0.02, ema_decay=0.999, rate=None, last_step=0,
        seed=0, name="encoder_trainer",
    ):  # fmt: skip
        super().__init__(name=name)
        self.generator, self.features, self.encoder = generator, features, encoder
        for network in (generator, features):
            if network is not None:
                network.trainable = False
        latent = np.random.default_rng(0).normal(size=(LATENTS, generator.latent_dim)).astype("float32")
        with no_gradient():
            w = to_numpy(generator.map(latent))[:, 0]
        encoder.average.assign(w.mean(axis=0))
        encoder.spread.assign(np.maximum(w.std(axis=0), 1e-6))
        self.factors, self.rate, self.last_step = dict(known=known, offset=offset), rate, last_step
        self.ema_encoder, self.examples = self.averaged_copy(encoder), None
        self.start(seed=seed, ema_decay=ema_decay, metrics=("loss", "known", "face", "offset"))

    @property
    def players(self):
        return {"e": [self.encoder]}

    @property
    def averages(self):
        return [(self.ema_encoder, self.encoder)]

    @property
    def curves(self):
        return {"loss": {"loss": "E"}, "parts": {"known": "w", "face": "face"}}

    def call(self, pictures):
        return self.ema_encoder(pictures)

    def train_step(self, data):
        faces = data[0] if isinstance(data, (tuple, list)) else data  # PyTorch's `fit` gives a list
        latent = self.draw(keras.random.normal, (ops.shape(faces)[0], self.generator.latent_dim))
        w = ops.stop_gradient(self.generator.map(latent)[:, :1])
        drawn = ops.stop_gradient(self.generator.synthesize(ops.repeat(w, self.encoder.count, axis=1)))
        goals = look(self.features, faces)
        with Tape() as tape:
            shared, offsets = self.encoder.parts(ops.concatenate([drawn, faces]))
            guess = self.encoder.w_of(shared, offsets)
            count = ops.shape(faces)[0]
            known = ops.mean(ops.square((guess[:count] - w) / self.encoder.spread))
            pictures = self.generator.synthesize(guess[count:])
            face = ops.mean(distance(pictures, look(self.features, pictures), faces, goals))
            offset = ops.mean(ops.square(offsets))
            loss = self.factors["known"] * known + face + self.factors["offset"] * offset
            scaled = self.scaled("e", loss)
        self.apply("e", tape.gradient(scaled, self.weights_of("e")))
        self.update_averages()
        return self.logged(loss=loss, known=known, face=face, offset=offset)

    def follow_schedule(self, step=None):
        """Set the rate of `step`; see `falling`."""
        if self.rate is None:
            return
        step = self.step if step is None else step
        self.e_optimizer.learning_rate = self.rate * falling(step, self.last_step)

    def sample(self, count, seed=0):
        """Return `count` pictures: rows of `examples`, and below each row what G draws for E's guesses."""
        if self.examples is None:
            raise CourseError("This encoder has no faces to guess; set `examples` to pictures.")
        columns = max(1, math.ceil(math.sqrt(count)))
        faces = np.resize(self.examples, (columns * math.ceil(count / columns / 2), *self.examples.shape[1:]))
        rows = (part.reshape(-1, 1, columns, *faces.shape[1:]) for part in (faces, self.found(faces)))
        return np.concatenate(list(rows), axis=1).reshape(-1, *faces.shape[1:])[:count]

    def found(self, faces, batch_size=64):
        """Return what G draws for E's guesses of faces, uint8 in and out."""
        made = []
        for start in range(0, len(faces), batch_size):
            x = faces[start : start + batch_size].astype("float32") / 127.5 - 1
            with no_gradient():
                made.append(show.to_uint8(to_numpy(self.generator.synthesize(self(ops.convert_to_tensor(x))))))
        return np.concatenate(made)

    def sample_for(self, source, part, count, seed=0):
        """Return what G draws for E's guesses of `count` faces of a part."""
        return self.found(pipeline.load(source, self.encoder.resolution, part)[0][:count])


def config_of(target):
    """Return the `StyleGANConfig` of a run's folder or of shipped weights; raise `CourseError` for what is no StyleGAN."""
    path = Path(target) / "settings.json"
    settings = json.loads(path.read_text()) if path.is_file() else weights.entry_of(str(target))["settings"]
    if settings.get("model") != StyleGANConfig.model:
        raise CourseError(f"'{target}' is no StyleGAN, so a face has no w there; give a run of 'train stylegan'.")
    return StyleGANConfig.from_dict(settings)


def trained_generator(target):
    """Return the averaged StyleGAN generator of a run's folder, or that of shipped weights."""
    config = config_of(target)
    if not (Path(target) / "settings.json").is_file():
        generator = config.network()
        generator.load_weights(weights.file_of(str(target)))
        return generator
    trainer = config.build()
    if checkpoints.restore(Path(target) / "checkpoints", trainer) is None:
        raise CourseError(f"{target} has no checkpoint yet; train it a little longer.")
    return trainer.ema_generator.grow()


@dataclass(frozen=True)
class EncoderConfig(Config):
    """An encoder for projection into the w of a StyleGAN (lesson 06)."""

    model: str = "encoder"
    generator: str = option("auto", "the StyleGAN: a run, or shipped weights; auto: those of the cartoons or of CelebA")
    steering: str = option(
        "auto", "attribute network of the distance: a name, a folder, none; auto: cartoons' or CelebA's"
    )
    width: int = option(32, "channels at half the resolution; they double downwards, up to 8 times as many", WHOLE)
    rate: float = option(2e-3, "Adam's learning rate", ABOVE_0, steered=True)
    last_step: int = option(
        0, "the rate falls from 0.6 of this step on, to a twentieth (0: it stays)", COUNT,
        steered=True,
    )  # fmt: skip
    known: float = option(0.1, "weight: the w of drawn faces", FROM_0, steered=True)
    offset: float = option(0.02, "weight: the layers' w stay near each other", FROM_0, steered=True)
    ema_decay: float = option(0.999, "decay of the averaged weights")
    # The generator's, decided at the start of a run (`recipe`).
    layers: int = 10
    latent_dim: int = 128

    draws = False

    @classmethod
    def recipe(cls, **chosen):
        """Return the configuration for the faces in `data`: also the generator's sizes."""
        config = super().recipe(**chosen)
        kind = "toon" if toon.is_cartoon(config.data) else "celeba"
        generator = f"stylegan-{kind}-64" if config.generator == "auto" else config.generator
        steering = classifier.steering_for(config.data) if config.steering == "auto" else config.steering
        known = config_of(generator)
        sizes = dict(resolution=known.resolution, layers=layer_count(known.resolution), latent_dim=known.latent_dim)
        return replace(config, generator=generator, steering=steering, **sizes)

    def network(self):
        return Encoder(self.resolution, self.layers, self.latent_dim, self.width)

    def trainer(self):
        features = None
        if self.steering != "none":
            features = attributes.feature_extractor(classifier.attribute_network(self.steering)[0])
        options = {name: getattr(self, name) for name in "known offset ema_decay rate last_step seed".split()}
        trainer = EncoderTrainer(trained_generator(self.generator), self.network(), features, **options)
        trainer.compile(keras.optimizers.Adam(self.rate, beta_1=0.9, beta_2=0.99))
        return trainer

    def prepare(self, trainer, source):
        """Give the trainer faces of the part val (or train, where it is empty) to show on its sheets."""
        part = "val" if len(source.split("val")) else "train"
        trainer.examples = pipeline.load(source, self.resolution, part, limit=EXAMPLES)[0]

    def sample(self, network, count, seed=0):
        raise CourseError("An encoder finds faces and draws none; use the StyleGAN that it belongs to.")
