"""Text to face: what each part is good for, in equal CPU time; and how long a sentence takes to become a face.

    python benchmarks/text.py --data data/toon --resolution 32 --cpu-seconds 600 --out FILE.json
    python benchmarks/text.py --speed t2f-toon-64
    python benchmarks/text.py --human FACE2TEXT --network t2f-toon-64
    python benchmarks/text.py --apart

The ways: all parts (the recipe); without wrong sentences; without the cloud; the text encoder tuned by the critic's
loss; the told attributes as a vector of -1, 0, 1 in the place of psi; the article's loss (WGAN-GP); with a second
discriminator, which looks through the steering network and reads as well, and then with a generator that also hears
what that network sees in its faces; with a critic that tells what it sees itself, and a generator that hears it; and a
ProGAN of the same sizes that reads nothing. Measured at the end on 1,000 captions of `val`: agreement placed between
chance and ceiling, R-precision, diversity, and FFD (of the ProGAN only this). The encoder's own training is not counted;
compiling is. CPU time (of all threads) and not time on the clock, so that other work does not decide.

--speed: one sentence to one face, milliseconds on the clock (median, 95th percentile), and captions a second.
--apart: how far apart two real faces are of which one sentence is true, and any two (`APART` in training/text.py).
--human: agreement on the 100 captions of Face2Text whose told attributes were read by hand (tests/data).
"""

import argparse
import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

from gan_course import backend  # isort: skip  (before Keras)
import keras
import numpy as np
from grown import every_run
from keras import ops

from gan_course import metrics, pretrained, settings, show, systems
from gan_course.data import captions
from gan_course.data.celeba import open_faces
from gan_course.data.pipeline import load
from gan_course.latent.sampling import generate
from gan_course.metrics import text as measures
from gan_course.pretrained import Found
from gan_course.training.text import TextConfig

UNCONDITIONAL = "no sentences"
WAYS = {
    "all parts": {},
    "no wrong sentences": dict(mismatch=0.0),
    "no cloud": dict(augmentation=False),
    "tuned encoder": dict(encoder="tuned"),
    "attributes, no text": {},
    "WGAN-GP": dict(loss="wasserstein", gp_weight=10.0, drift=1e-3, r1_gamma=0.0, rate=1e-3),
    "second discriminator": dict(steering="auto"),
    "and the matching loss": dict(steering="auto", match=0.25),
    "a critic that tells": dict(tell=2.0),
    UNCONDITIONAL: dict(model="progan", start=8, r1_gamma=1.0, drift=1e-3),
}
TOLD = settings.ROOT / "tests" / "data" / "face2text_told.json"


class ToldAsItIs(keras.layers.Layer):
    """In the place of the text encoder: the 'words' are what is told, plus 1; psi is twice what is told."""

    def call(self, numbers):
        return 2.0 * (ops.cast(numbers, "float32") - 1.0)


@dataclass(frozen=True)
class AttributeConfig(TextConfig):
    """A `TextConfig` that gives the networks what captions tell, without words."""

    def tables(self, source, names):
        _, told, truth = super().tables(source, names)
        return told.astype("int16") + 1, told, truth

    def psi(self, network, made):
        return 2.0 * captions.told_table(made, self.attributes).astype("float32")


class Budget(keras.callbacks.Callback):
    """Stop after `seconds` of CPU time."""

    def __init__(self, seconds):
        super().__init__()
        self.end = time.process_time() + seconds

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = time.process_time() >= self.end


def train(way, options, seed):
    """Train one way; return its numbers and a sheet of its faces."""
    chosen = dict(
        model="text", data=str(options.data), resolution=options.resolution, width=options.width, max_batch=32, seed=seed,
        fade_images=options.images, stable_images=options.images, ema_decay=0.995,
    )  # fmt: skip
    config = systems.recipe(**chosen | WAYS[way])
    if way == "attributes, no text":
        config = AttributeConfig(**config.to_dict())
        config = replace(config, text_dim=len(config.attributes), length=len(config.attributes))
    source, gan = open_faces(options.data), systems.build(config)
    if way == "attributes, no text":
        gan.generator.encoder = gan.ema_generator.encoder = ToldAsItIs()
    else:
        config.begin(gan, source)
    gan.fit(
        config.dataset(source), steps_per_epoch=1000, epochs=10**9, verbose=0, callbacks=[Budget(options.cpu_seconds)]
    )
    judge = metrics.feature_network("auto", options.data)
    found = {}
    if way != UNCONDITIONAL:
        found = metrics.measure_text(Found(gan.ema_generator, config, {}), source, "val", judge, seed=1)
    real = judge(metrics.real_pictures(options.data, options.resolution, "val", 1000)[0])
    faces = config.sample_for(gan.ema_generator, source, "val", 1000, seed=1)
    ffd = metrics.frechet_distance(real, judge(faces))
    numbers = {"pictures": config.images_at(gan.step), "ffd": round(ffd, 1)}
    numbers |= {name: value for name, value in found.items() if name != "attributes"}
    return numbers, show.sheet(faces[:24], columns=12)


def speed(name, count=200):
    """Print how long a typed sentence takes to become a face, and how many captions a second are made and read."""
    found = pretrained.find(name)
    made = [captions.caption({"Male": i % 2, "Smiling": 1, "Eyeglasses": 1}, name=str(i)).text for i in range(count)]
    draw = backend.compiled(lambda latent, psi: found.network([latent, psi]))
    latent = np.zeros((1, found.network.input_shape[0][-1]), "float32")
    times = []
    for text in made:
        start = time.perf_counter()
        np.asarray(draw(latent, found.config.read(found.network, [text])))
        times.append(1000 * (time.perf_counter() - start))
    times = times[5:]  # the first are compiled
    print(f"a sentence to a face: median {np.median(times):.0f} ms, 95% within {np.percentile(times, 95):.0f} ms")
    start = time.perf_counter()
    for i in range(5000):
        captions.caption({"Male": i % 2, "Smiling": 1, "Eyeglasses": 1, "Young": 1}, name=str(i))
    print(f"{5000 / (time.perf_counter() - start):,.0f} captions a second")


def human(path, name):
    """Print the agreement on the captions of Face2Text that were read by hand; of those that a network did not learn."""
    found, told = pretrained.find(name), json.loads(TOLD.read_text())["told"]
    texts = {
        hashlib.sha256(text.encode()).hexdigest()[:16]: text
        for picture, few in captions.face2text(path).items()
        if not found.config.human or captions.held_out(picture)
        for text in few
    }
    judge = metrics.feature_network("toon" if "toon" in found.config.data else "celeba", found.config.data)
    names = [n for n in judge.attributes if n in found.config.attributes]
    marks = {key: {m[:-1]: 1 if m[-1] == "+" else -1 for m in line.split()} for key, line in told.items()}
    made = [
        captions.Caption(texts[key], says) for key, says in marks.items() if key in texts and set(says) & set(names)
    ]
    table = captions.told_table(made, names)
    pictures = generate(found.network, len(made), 1, found.config.psi(found.network, made))
    said = judge.logits(pictures)[:, [judge.attributes.index(n) for n in names]] > 0
    low = measures.chance(said, table)
    print(f"{len(made)} captions of people: agreement {measures.agreement(said, table):.3f}, chance {low:.3f}")


def apart(folder, part="val"):
    """Print how far apart two real faces are of which one sentence is true, as a share of any two, in both networks' features."""
    source, random = open_faces(folder), np.random.default_rng(0)
    for name in ("attributes-toon-judge", "attributes-toon-steer"):
        features = metrics.FaceFeatures(pretrained.load(name), pretrained.config(name).attributes)
        images, names = load(source, 64, part)
        made = [few[0] for few in captions.of_faces(source, names)]
        told = captions.told_table(made, features.attributes)
        _, alike = measures.groups(told, source.labels(names, features.attributes))
        seen = features(images)
        ours, every = (
            measures.spread(seen[rows]).mean() for rows in (alike, random.integers(len(seen), size=alike.shape))
        )
        print(f"{name}: {ours:.2f} of one sentence, {every:.2f} any: {ours / every:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/toon"), help="a CelebA folder (default: data/toon)")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--width", type=int, default=16, help="channels at the last resolution (default: 16)")
    parser.add_argument("--images", type=int, default=4800, help="of each fade and of each stable stage")
    parser.add_argument("--cpu-seconds", type=float, default=600, help="for each run")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--out", type=Path, help="write the numbers as JSON; runs that it has are not repeated")
    parser.add_argument("--sheets", type=Path, help="a folder for a sheet of faces of each run")
    parser.add_argument("--speed", metavar="NAME")
    parser.add_argument("--apart", action="store_true", help="distances between real faces")
    parser.add_argument("--human", type=Path, metavar="FACE2TEXT")
    parser.add_argument("--network", default="t2f-toon-64", help="for --human")
    options = parser.parse_args()
    if options.speed:
        return speed(options.speed)
    if options.apart:
        return apart(options.data)
    if options.human:
        return human(options.human, options.network)
    asked = {key: getattr(options, key) for key in ("resolution", "width", "images", "cpu_seconds")}
    every_run(parser, options, asked, train, lambda numbers: numbers)


if __name__ == "__main__":
    main()
