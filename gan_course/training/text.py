"""Training text to face: sentences in each batch, an encoder that is taught to read first, a critic that reads."""

import textwrap
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from gan_course import losses, show
from gan_course.backend import compiled, no_gradient, to_numpy
from gan_course.data import captions
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError
from gan_course.latent import sampling
from gan_course.models import text_to_face
from gan_course.models.features import to_size
from gan_course.progress import progress
from gan_course.training import classifier
from gan_course.training.base import FROM_0, WHOLE, Phase, option, require
from gan_course.training.growing import GrowingGAN, ProGANConfig, scheduled_faces

ENCODERS = ("frozen", "tuned")
TUNED_RATE = 0.05  # of the players' rate: more, and the encoder forgets what it was taught
LEAST_FALL = 0.05  # of a probability, for which a word gets the credit
VARY_EVERY = 4  # steps
# The distance of two real faces of which one sentence is true, as a share of that of any two: `benchmarks/text.py --apart`.
APART = 0.77
SHARE = (lambda value: 0 <= value < 1, "a number from 0 (without) to below 1")
VOCABULARY_FROM = 2000  # training faces, of whose captions the words are taken
EXAMPLE = "'A young woman with glasses and black hair'"


def contradictions(told, truth):
    """Return how many things caption j tells that are false of face i: (faces, captions).

    told: (captions, attributes), 1 or -1, 0 for not told. truth: (faces, attributes), 1 or -1, 0 for not known.
    """
    told, truth = ops.cast(told, "float32"), ops.cast(truth, "float32")
    both, agree = ops.matmul(ops.abs(truth), ops.transpose(ops.abs(told))), ops.matmul(truth, ops.transpose(told))
    return 0.5 * (both - agree)


def wrong_captions(told, truth, numbers):
    """Return for each face of a batch the row of a wrong caption, never its own.

    It is one that tells something false of the face, where there is one. told, truth: as in `contradictions`. numbers:
    (batch, batch) uniform random numbers, which choose among several.
    """
    false = ops.cast(contradictions(told, truth) > 0.5, "float32")
    liked = 2.0 * false - 4.0 * ops.eye(numbers.shape[0])
    return ops.argmax(liked + ops.convert_to_tensor(numbers), axis=1)


class Sentences(NamedTuple):
    """What a step knows of its captions. A step's condition."""

    psi: object  # (batch, text_dim), no gradient goes through it
    numbers: object  # (batch, length) word numbers
    wrong: object  # (batch,) the row of a caption that is wrong for the picture of this row
    told: object  # (batch, attributes) what the captions tell, in -1, 0, 1
    true: object  # (batch, attributes) what is true of the pictures, as far as it is known, in -1, 0, 1


class TextToFaceGAN(GrowingGAN):
    """A `GrowingGAN` whose critic also learns from real faces under wrong sentences (Reed et al. 2016, 'GAN-CLS').

    What differs from `GrowingGAN`:

    - A batch is (pictures, (captions, told, truth)): word numbers (batch, k, length) of k captions, of which the step
      draws one; what they tell (batch, k, attributes); what is true (batch, attributes), both in -1, 0, 1.
    - The discriminator's loss is, with the share m = `mismatch` (0: none)

          (1 - m) L(D(x, t), D(G(z, t), t)) + m L(D(x, t), D(x, t'))

      where t' is a wrong caption for the real face x (`wrong_captions`). T2F adds the third score with weight 1: two
      negatives for one positive, so a Wasserstein critic's loss is no longer blind to what is added to all scores.
    - The generator's loss gets kl * KL (`Augmentation.divergence`), whose weight rises from 0 in the first `warm` steps.
    - With `tell`, D also says for each attribute whether it sees it in a face (AC-GAN, Odena et al. 2017). Its loss gets
      `tell` times the cross-entropy of what it says of x against what is true of x (where that is not known, what t
      tells), the generator's `tell` times that of what it says of G(z, t) against what t tells.
    - With a `look`, a frozen network that tells attributes, the generator's loss gets `match` times the cross-entropy of what
      it sees in G(z, t) against what t tells (AttnGAN's matching loss, Xu et al. 2018, with attributes in the place of
      words), and `vary` times how much nearer to each other, in its features, two faces of one sentence lie than two real
      faces of which one sentence is true (`losses.alike`, every fourth step).
    - `encoder` 'tuned': the discriminator's loss moves the text encoder as well, slowly. 'frozen': nothing moves it.

    look: picture -> (logits of `config.attributes`, features), see `TextConfig.look`.
    config: the `TextConfig`, which knows the words. examples: (n, length) word numbers of the sentences that `sample` draws.
    """

    def __init__(
        self, generator, discriminator, schedule, config, examples, *, mismatch=0.5, kl=0.02, warm=1000,
        tell=0.0, match=0.0, vary=0.0, look=None, encoder="frozen", name="text_to_face_gan", **options,
    ):  # fmt: skip
        require("mismatch", mismatch, SHARE)
        require("kl", kl, FROM_0)
        require("tell", tell, FROM_0)
        for weight, value in dict(match=match, vary=vary).items():
            require(weight, value, FROM_0)
            if value and look is None:
                raise CourseError(
                    f"{weight} asks a network that tells attributes; give one (--steering auto), or set it to 0."
                )
        pairs = [(mismatch, "mismatch", "a wrong sentence is another face's"), (vary, "vary", "it compares two faces")]
        for value, weight, why in pairs:
            if value and min(stage.batch_size for stage in schedule.stages) < 2:
                raise CourseError(f"batch_size is 1, and {why}; give 2 or more, or {weight} 0.")
        self.tuned = encoder == "tuned"
        options = dict(loss="non_saturating", gp_weight=0.0, r1_gamma=1.0) | options
        super().__init__(generator, discriminator, schedule, name=name, **options)
        self.config, self.examples = config, examples
        self.mismatch, self.kl, self.warm = mismatch, kl, warm
        self.tell, self.match, self.look = tell, match, look
        new = ["wrong"] * bool(mismatch) + ["tell"] * bool(tell) + ["match"] * bool(match)
        if kl and generator.spread:
            self.phases += (Phase("g", "kl", 1, self.kl_weight, self.kl_value),)
            new.append("kl")
        if vary:
            self.phases += (Phase("g", "alike", VARY_EVERY, lambda: vary, self.alike_value),)
            new.append("alike")
        self.trackers |= {name: keras.metrics.Mean(name=name) for name in new}

    @property
    def players(self):
        return super().players | ({"text": [self.generator.encoder]} if self.tuned else {})

    @property
    def curves(self):
        first, second = super().curves.items()
        wrong = {"wrong": "D(x), wrong"} if self.mismatch else {}
        return dict([first, (second[0], second[1] | wrong)])

    @property
    def shares_backward(self):
        return False  # D's loss weighs fake pictures otherwise than G's

    def weights_to_train(self, network):
        encoder = {id(weight) for weight in self.generator.encoder.weights}
        weights = super().weights_to_train(network)
        return weights if network is self.generator.encoder else [w for w in weights if id(w) not in encoder]

    def follow_schedule(self, step=None):
        super().follow_schedule(step)
        if self.tuned:
            self.text_optimizer.learning_rate = TUNED_RATE * self.stage.rate

    # --- a step --------------------------------------------------------------------------------------------------

    def unpack(self, data):
        real, (numbers, told, truth) = super().unpack(data)
        batch, each = real.shape[0], numbers.shape[1]
        place = ops.cast(each * self.draw(keras.random.uniform, (batch,)), "int32")
        chosen = ops.expand_dims(ops.one_hot(place, each, dtype="float32"), -1)
        numbers = ops.cast(ops.sum(ops.cast(numbers, "float32") * chosen, axis=1), "int32")
        told = ops.sum(ops.cast(told, "float32") * chosen, axis=1)
        with no_gradient():
            psi = ops.stop_gradient(self.generator.encoder(numbers))
            wrong = wrong_captions(told, truth, self.draw(keras.random.uniform, (batch, batch)))
        truth = ops.cast(truth, "float32")
        return real, Sentences(psi, numbers, wrong, told, ops.where(truth == 0, told, truth))

    def generate(self, latent, condition):
        return super().generate(latent, condition.psi)

    def score(self, pictures, condition):
        return super().score(pictures, condition.psi)

    def scores(self, real, fake, condition):
        psi = self.generator.encoder(condition.numbers) if self.tuned else condition.psi
        critics = self.players["d"]
        seen, made = ([d.maps(pictures) for d in critics] for pictures in (real, fake))

        def of(maps, psi):
            return ops.concatenate([d.head(x, psi) for d, x in zip(critics, maps, strict=True)], axis=-1)

        wrong = of(seen, ops.take(psi, condition.wrong, axis=0)) if self.mismatch else None
        missed = losses.missed(self.look(fake)[0], condition.told) if self.match else None
        told = None
        if self.tell:
            pairs = (seen, condition.true), (made, condition.told)
            told = [losses.missed(self.discriminator.tell(maps[0]), target) for maps, target in pairs]
        return of(seen, psi), of(made, psi), wrong, missed, told

    def losses(self, real_scores, fake_scores, wrong_scores=None, missed=None, told=None):
        d_loss, drift, g_loss = super().losses(real_scores, fake_scores)
        if wrong_scores is not None:
            wrong_loss = self.adversarial.discriminator(real_scores, wrong_scores)
            d_loss = (1.0 - self.mismatch) * d_loss + self.mismatch * wrong_loss
            show_score = ops.sigmoid if self.adversarial.probabilities else ops.convert_to_tensor
            self.trackers["wrong"].update_state(ops.stop_gradient(ops.mean(show_score(wrong_scores))))
        if missed is not None:
            g_loss += self.match * missed
            self.trackers["match"].update_state(ops.stop_gradient(missed))
        if told is not None:
            of_real, of_fake = told
            d_loss += self.tell * of_real
            g_loss += self.tell * of_fake
            self.trackers["tell"].update_state(ops.stop_gradient(of_fake))
        return d_loss, drift, g_loss

    def _backward(self, tape, d_scaled, g_scaled, fake, fake_scores):
        d_gradients, slope = super()._backward(tape, d_scaled, g_scaled, fake, fake_scores)
        if not self.tuned:
            return d_gradients, slope

        def with_text():
            gradients = d_gradients(), tape.gradient(d_scaled, self.weights_of("text"))
            self.apply("text", gradients[1])
            return gradients[0]

        return with_text, slope

    def kl_weight(self):
        return self.kl * ops.minimum(1.0, ops.cast(self.counter, "float32") / max(self.warm, 1))

    def kl_value(self, batch):
        return self.generator.augmentation.divergence(batch.condition.psi)

    def alike_value(self, batch):
        """Return `losses.alike` of two faces for each of half the batch's sentences."""
        psi = batch.condition.psi[: batch.real.shape[0] // 2]
        latent = self.draw(keras.random.normal, (2 * psi.shape[0], self.latent_dim))
        fake = super().generate(latent, ops.concatenate([psi, psi]))
        return losses.alike(self.look(fake)[1], self.look(batch.real)[1], APART)

    # --- looking -------------------------------------------------------------------------------------------------

    def _places(self, count):
        """Return which example each of `count` pictures shows: equally many of each, those of one in a row."""
        return np.arange(count) * len(self.examples) // count

    def sample(self, count, seed=0):
        """Return `count` pictures of the averaged generator, equally many of each example."""
        psi = to_numpy(self.ema_generator.encoder(self.examples))
        return sampling.generate(self.ema_generator, count, seed, psi[self._places(count)])

    def sample_for(self, source, part, count, seed=0):
        return self.config.sample_for(self.ema_generator, source, part, count, seed)

    def page(self, count, seed=0, gap=2):
        """Return one picture of `sample`'s faces, each row beside its sentence."""
        faces, places = self.sample(count, seed), self._places(count)
        return captioned({self.config.examples()[i]: faces[places == i] for i in np.unique(places)}, gap)


def captioned(rows, gap=2):
    """Return one uint8 picture of {sentence: faces}: each sentence to the left of its faces, which lie in rows of 8."""
    size = max(faces.shape[1] for faces in rows.values())
    scale = max(1, 64 // size)  # a sentence needs room
    pages = {textwrap.fill(text, 34): show.sheet(faces, min(8, len(faces)), gap, scale) for text, faces in rows.items()}
    widest = max(page.shape[1] for page in pages.values())
    wide = {
        text: np.pad(page, ((0, 0), (0, widest - page.shape[1]), (0, 0)), constant_values=255)
        for text, page in pages.items()
    }
    return show.labelled(wide, width=216, gap=gap)


# --- the encoder's own training -----------------------------------------------------------------------------


def with_new_words(numbers, random, rate=0.1):
    """Return rows of word numbers with unknown words put between the others: before each, k with probability ~ rate^k.

    What is taught stays the same, so the encoder learns that a word which it does not know tells nothing. (To *replace*
    known words would teach it to guess.) Of rows that become too long, the end is lost. random: a NumPy generator.
    """
    new = random.geometric(1 - rate, numbers.shape) - 1
    places = np.arange(numbers.shape[1]) + np.cumsum(new, axis=1)  # of the known words
    wide = np.full((len(numbers), places.max() + 1), captions.UNKNOWN, numbers.dtype)
    np.put_along_axis(wide, places, numbers, axis=1)
    ends = np.where(numbers != captions.PADDING, places, -1).max(axis=1)
    wide[np.arange(wide.shape[1]) > ends[:, None]] = captions.PADDING
    return wide[:, : numbers.shape[1]]


def teach(generator, numbers, told, steps, weights=None, batch_size=128, rate=3e-3, seed=0):
    """Teach a generator's text encoder to tell what captions tell: cross-entropy of `generator.told` for each attribute.

    numbers: (n, length) word numbers; told: (n, attributes) in -1, 0, 1; weights: (n, attributes), 0 where nobody knows
    what the caption tells. Adam, the rate falling to 0 by cosine; the order of the captions belongs to the seed.
    """
    random = np.random.default_rng(seed)
    inputs = keras.Input((generator.length,), dtype="int32")
    model = keras.Model(inputs, generator.told(generator.encoder(inputs)))
    adam = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    model.compile(adam, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for _ in progress(range(steps), desc="reading", unit="step"):
        rows = random.integers(0, len(numbers), batch_size)
        model.train_on_batch(
            with_new_words(numbers[rows], random).astype("int32"),
            told[rows].astype("int32") + 1,
            sample_weight=None if weights is None else weights[rows].astype("float32"),
        )


def read_well(generator, numbers, told, batch_size=512):
    """Return how well the encoder reads captions, as three shares.

    told: of the things told, those that it tells rightly; not_told: of those not told, those of which it says so; whole:
    of the captions, those without an error.
    """
    said = np.concatenate([
        to_numpy(generator.told(generator.encoder(numbers[i : i + batch_size]))).argmax(-1) - 1
        for i in range(0, len(numbers), batch_size)
    ])  # fmt: skip
    right = said == told
    return {
        "told": float(right[told != 0].mean()),
        "not_told": float(right[told == 0].mean()),
        "whole": float(right.all(axis=1).mean()),
    }


@lru_cache(maxsize=2)
def encoder_of(network):
    """Return a network's text encoder as one graph: word by word it takes a fifth of a second for a sentence."""
    return compiled(network.encoder)


class Understood(NamedTuple):
    """What a network makes of a sentence.

    told: {attribute: 1 or -1}. words: [(word, attribute, share)], for each word read: when it is forgotten, which of the
    things told loses most ('' for none), and how far its probability falls, 0 to 1. unknown: words that the network has
    never seen. left_out: how many words at the end were not read.
    """

    told: dict
    words: list
    unknown: list
    left_out: int

    def __str__(self):
        says = ", ".join(f"{name} {'yes' if value > 0 else 'no'}" for name, value in self.told.items())
        parts = [f"understood: {says or 'nothing about a face'}"]
        if self.unknown:
            parts.append(f"not known: {', '.join(self.unknown[:8])}{' ...' if len(self.unknown) > 8 else ''}")
        if self.left_out:
            parts.append(f"not read: the last {self.left_out:,} words")
        return "; ".join(parts)


def _people(path):
    """Return the sentences of a file of Face2Text that may be learnt from; [] without a file."""
    if not path:
        return []
    found = sorted(captions.face2text(path).items())
    texts = [text for picture, few in found if not captions.held_out(picture) for text in few]
    if not texts:
        raise CourseError(f"All sentences of '{path}' are kept for measuring; give a file of more pictures.")
    return texts


# --- the system ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextConfig(ProGANConfig):
    """Text to face (lesson 08): a ProGAN that draws what a sentence says."""

    model: str = "text"
    words: list = field(default_factory=list)  # of the training captions and people's, in the order of their numbers
    attributes: list = field(default_factory=list)  # that captions tell
    r1_gamma: float = option(1.0, "weight of the R1 penalty; 0: without", FROM_0, cartoons=1.0, steered=True)
    drift: float = option(1e-3, "weight of the mean squared score of real faces (ProGAN: 0.001)", FROM_0)
    start: int = option(8, "first resolution; from that of --resolution on the networks are not grown")
    length: int = option(48, "words of a sentence that are read", WHOLE)
    text_dim: int = option(128, "numbers that a sentence becomes", WHOLE)
    condition_dim: int = option(32, "numbers of them that reach the generator", WHOLE)
    augmentation: bool = option(True, "draw these numbers from a cloud around the sentence")
    kl: float = option(0.02, "weight of the cloud's divergence from N(0, I), in nats; 0: without", FROM_0, steered=True)
    mismatch: float = option(0.5, "share of wrong sentences in the discriminator's loss; 0: without", SHARE)
    tell: float = option(
        0.0, "weight: the discriminator tells what it sees, the generator hears it; 0: without", FROM_0
    )
    match: float = option(
        0.0, "weight: the --steering network sees in a face what its sentence tells; 0: without", FROM_0, steered=True
    )
    vary: float = option(
        0.0, "weight: two faces of a sentence are no more alike, to the --steering network, than real ones; 0: without",
        FROM_0, steered=True,
    )  # fmt: skip
    encoder: str = option(
        "frozen", "the text encoder during the GAN's training: frozen, or tuned by the discriminator's loss",
        (ENCODERS.__contains__, f"one of {', '.join(ENCODERS)}"),
    )  # fmt: skip
    reading_steps: int = option(
        1500, "steps in which the text encoder is taught before; their time is not counted", WHOLE
    )
    human: str = option(
        "", "file of Face2Text: sentences that people wrote, mixed into what the encoder is taught with"
    )

    reads = True

    @classmethod
    def recipe(cls, **chosen):
        config = super().recipe(**chosen)
        if config.words:
            return config
        source = open_faces(config.data)
        names = source.split("train")
        names = names[:: max(1, len(names) // VOCABULARY_FROM)]
        every = [c for few in captions.of_faces(source, names) for c in few]
        told = {name for c in every for name in c.told}
        if not told:
            raise CourseError(f"The captions of '{config.data}' do not say what they tell; add 'told' to some of them.")
        texts = [*(c.text for c in every), *_people(config.human)]
        return replace(config, words=captions.vocabulary(texts), attributes=sorted(told, key=str.lower))

    @property
    def reader(self):
        return captions.Reader(self.words, self.length)

    def network(self):
        return text_to_face.build_generator(
            len(self.words) + 2, len(self.attributes), self.length, self.text_dim, self.text_dim // 2,
            self.condition_dim, self.augmentation, self.resolution, self.latent_dim, self.base, self.max_width,
        )  # fmt: skip

    def discriminator(self):
        tells = len(self.attributes) if self.tell else 0
        return text_to_face.build_discriminator(
            self.text_dim, 64, self.resolution, self.base, self.max_width, tells=tells
        )

    def second(self):
        return super().second(self.text_dim)

    def look(self):
        """Return the steering network as a function picture -> (logits of `attributes`, features); None where there is none.

        An attribute that it does not know has the logit 0.
        """
        if self.steering == "none":
            return None
        network, known = classifier.attribute_network(self.steering)
        table = np.array([[name == other for other in self.attributes] for name in known], "float32")
        size = network.input_shape[1]
        both = keras.Model(network.input, [network.output, network.get_layer("features").output])

        def look(pictures):
            logits, features = both(to_size(pictures, size), training=False)
            return ops.matmul(logits, table), features

        return look

    def trainer(self):
        schedule = self.schedule()
        warm = max(1, schedule.steps // 4)
        own = dict(
            mismatch=self.mismatch, kl=self.kl, warm=warm, tell=self.tell, match=self.match, vary=self.vary,
            encoder=self.encoder,
        )  # fmt: skip
        own["look"] = self.look() if self.match or self.vary else None
        gan = TextToFaceGAN(
            self.network(),
            self.discriminator(),
            schedule,
            self,
            self.reader(self.examples()),
            **own,
            **self.gan_options(),
        )
        gan.compile()
        return gan

    def examples(self):
        """Return the sentences that sheets show: those of `captions.EXAMPLES` whose words the network knows."""
        reader = self.reader
        return [text for text in captions.EXAMPLES if not reader.unknown(text)] or [captions.EXAMPLES[0]]

    def tables(self, source, names):
        """Return of pictures: captions as word numbers (n, k, length), what they tell (n, k, a), what is true (n, a)."""
        found = captions.of_faces(source, names)
        each = max(map(len, found))
        found = [[few[k % len(few)] for k in range(each)] for few in found]
        every = [c for few in found for c in few]
        numbers = self.reader([c.text for c in every]).astype("int16").reshape(len(names), each, self.length)
        told = captions.told_table(every, self.attributes).reshape(len(names), each, -1)
        truth = np.zeros((len(names), len(self.attributes)), "int8")
        known = [] if source.attributes is None else [n for n in self.attributes if n in source.attributes.columns]
        if known:
            columns = [self.attributes.index(name) for name in known]
            truth[:, columns] = 2 * source.labels(names, known).astype("int8") - 1
        return numbers, told, truth

    def dataset(self, source, start_step=0):
        return scheduled_faces(
            source, self.schedule(), start_step=start_step, mirror=self.mirror, seed=self.seed,
            labels=lambda names: self.tables(source, names),
        )  # fmt: skip

    def begin(self, trainer, source):
        """Teach the text encoder to read: from the training captions, and one in ten from people's where there are some."""
        numbers, told, _ = self.tables(source, source.split("train"))
        numbers, told, weights = numbers.reshape(-1, self.length), told.reshape(-1, told.shape[-1]), None
        if self.human:
            texts = _people(self.human)
            seen = captions.told_table([captions.Caption(text, captions.spot(text)) for text in texts], self.attributes)
            rows = np.arange(len(numbers) // 9) % len(texts)
            # What the rule did not find may be told all the same: only what it found counts.
            weights = np.concatenate([np.ones_like(told), np.abs(seen[rows])])
            numbers, told = np.concatenate([numbers, self.reader(texts)[rows]]), np.concatenate([told, seen[rows]])
        teach(trainer.generator, numbers, told, self.reading_steps, weights, seed=self.seed)
        for name in ("encoder", "heads"):
            getattr(trainer.ema_generator, name).set_weights(getattr(trainer.generator, name).get_weights())

    # --- sentences -----------------------------------------------------------------------------------------------

    def numbers(self, texts):
        """Return sentences as word numbers. Raises `CourseError` where nothing of one can be read."""
        reader = self.reader
        for text in texts:
            found = captions.words(text)
            if not found:
                raise CourseError(f"The sentence is empty; write one, such as {EXAMPLE}.")
            if not any(word in reader.numbers for word in found[: self.length] if word.isalpha()):
                short = textwrap.shorten(str(text), 60)
                raise CourseError(f"No word of '{short}' is known; write English about a face, such as {EXAMPLE}.")
        return reader(texts)

    def read(self, network, texts):
        """Return psi of sentences, float32 (n, text_dim); errors as in `numbers`."""
        numbers, encode = self.numbers(texts), encoder_of(network)
        with no_gradient():
            psi = [to_numpy(encode(ops.convert_to_tensor(numbers[i : i + 256]))) for i in range(0, len(numbers), 256)]
        return np.concatenate(psi)

    def psi(self, network, made):
        """Return psi of `Caption`s, float32 (n, text_dim)."""
        return self.read(network, [c.text for c in made])

    def understand(self, network, text):
        """Return what the network makes of a sentence (`Understood`); errors as in `numbers`."""
        numbers, reader, found = self.numbers([text]), self.reader, captions.words(text)
        count = min(len(found), self.length)
        without = np.repeat(numbers, self.length, axis=0)  # in each row another word is forgotten
        np.fill_diagonal(without[:count], captions.UNKNOWN)
        with no_gradient():
            psi = encoder_of(network)(ops.convert_to_tensor(np.concatenate([numbers, without])))
            p = to_numpy(ops.softmax(network.told(psi), axis=-1))[: count + 1]
        said = p[0].argmax(-1) - 1
        told = {name: int(v) for name, v in zip(self.attributes, said, strict=True) if v}
        words = [(word, "", 0.0) for word in found[:count]]
        if told:
            rows = np.flatnonzero(said)
            falls = (p[:1] - p[1:])[:, rows, said[rows] + 1]  # (words, told)
            for i, best in enumerate(falls.argmax(axis=1)):
                if falls[i, best] > LEAST_FALL:
                    words[i] = (found[i], self.attributes[rows[best]], float(falls[i, best]))
        return Understood(told, words, reader.unknown(text), len(found) - count)

    def sample(self, network, count, seed=0, texts=None):
        """Return `count` pictures, uint8, of sentences in turn; default: the examples."""
        psi = self.read(network, texts or self.examples())
        return sampling.generate(network, count, seed, psi[np.arange(count) % len(psi)])

    def sample_for(self, network, source, part, count, seed=0):
        """Return `count` pictures, one for each caption of a part: the first of each face, then the second, ..."""
        names = source.split(part)
        names = names[np.unique(np.linspace(0, len(names) - 1, min(count, len(names))).astype(int))]
        found = captions.of_faces(source, names)
        turns = [divmod(i, len(names)) for i in range(count)]
        made = [found[face][turn % len(found[face])] for turn, face in turns]
        return sampling.generate(network, count, seed, self.psi(network, made))
