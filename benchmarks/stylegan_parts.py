"""What is each part of StyleGAN worth? One generator, part after part, in equal CPU time, against one discriminator.

    python benchmarks/stylegan_parts.py --data data/toon --seeds 3 --out benchmarks/results/stylegan_parts.json

The ways follow the paper's table 1 (Karras et al. 2019). The discriminator is that of the course's recipe, the same for all; none is grown.

    ProGAN                  w = z with length 1, a dense layer to 4x4, PixelNorm, no noise
    + mapping and styles    w = f(z) of four layers, AdaIN in each layer; w also goes in at the start
    + constant              the start is a learned constant
    + noise                 in each layer
    + mixing                two faces a picture in 0.9 of the steps: the whole StyleGAN
    modulated               the same with StyleGAN2's layers (modulated convolutions)

For each run: FFD, precision and recall of `--count` drawn faces against those of the part `val`; the path length in the
judge's features, in z and (where there is one) in w, over whole paths and at their ends; and for each attribute what a
plane in z and in w leaves unknown of it (`gan_course.metrics.separability`).

`--minutes` is CPU time of all threads divided by the number of cores, so that other work on the machine does not decide:
on a free machine a little less than minutes on the clock. Compiling counts, measuring does not.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import keras
import numpy as np
from grown import every_run

from gan_course import metrics, show, systems
from gan_course.errors import CourseError, CourseWarning
from gan_course.latent.sampling import fixed_latent
from gan_course.models import stylegan
from gan_course.training import growing
from gan_course.training.classifier import attribute_network
from gan_course.training.stylegan import StyleGAN

PROGAN = dict(mapping=0, style=None, constant=False, noise=False, mixing=0.0)
WAYS = {
    "ProGAN": PROGAN,
    "+ mapping and styles": dict(constant=False, noise=False, mixing=0.0),
    "+ constant": dict(noise=False, mixing=0.0),
    "+ noise": dict(mixing=0.0),
    "+ mixing": {},
    "modulated": dict(style="modulated"),
}


class Budget(keras.callbacks.Callback):
    """Stop after `minutes` of CPU time for each core."""

    def __init__(self, minutes):
        super().__init__()
        self.seconds, self.start = 60 * minutes * os.cpu_count(), time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = time.process_time() - self.start > self.seconds


def trainer(way, options, seed):
    """Return (config, GAN) of a way: the parts of its generator, everything else the same."""
    parts = {"mapping": 4, "mixing": 0.9} | WAYS[way]
    config = systems.recipe(model="stylegan", data=str(options.data), resolution=options.resolution, width=options.width,
                            rate=options.rate, ema_decay=0.995, start=options.resolution, seed=seed)  # fmt: skip
    keras.utils.set_random_seed(seed)
    mixing, base = parts.pop("mixing"), config.width * config.resolution // 2
    spread = config.spread if parts.get("constant", True) else 0.0
    generator = stylegan.build_generator(
        config.resolution, config.latent_dim, base, config.max_width, spread=spread, **parts
    )
    gan = StyleGAN(generator, config.discriminator(), config.schedule(), mixing=mixing, **config.gan_options())
    gan.compile()
    return config, gan


def measure(generator, options):
    """Return all numbers of a trained generator."""
    judge = metrics.feature_network("auto", options.data)
    real = judge(metrics.real_pictures(options.data, options.resolution, "val", options.count)[0])
    drawn = judge(metrics.generate(generator, options.count, seed=1))
    equal = min(len(real), len(drawn))
    precision, recall = metrics.precision_recall(real[:equal], drawn[:equal])
    found = {"ffd": metrics.frechet_distance(real, drawn), "precision": precision, "recall": recall}
    spaces = ("z", "w") if generator.depth else ("z",)
    found["path"] = {
        f"{space} {place}": metrics.path_length(generator, judge, space, place, options.pairs)
        for space in spaces
        for place in ("full", "end")
    }
    network, names = attribute_network(judge.name)
    try:
        with warnings.catch_warnings(action="ignore", category=CourseWarning):  # rare attributes: NaN in the table
            table = metrics.separability(generator, network, names, spaces, options.faces)[1]
        found["entropy"] = {name: row.dropna().to_dict() for name, row in table.iterrows()}
    except CourseError:  # it draws one kind of face only
        found["entropy"] = {}
    return found


def run(way, options, seed):
    """Train and measure one way; return its numbers and a sheet of faces."""
    config, gan = trainer(way, options, seed)
    batches = growing.scheduled_faces(options.data, gan.schedule, mirror=config.mirror, seed=seed)
    gan.fit(batches, steps_per_epoch=1000, epochs=10**9, verbose=0, callbacks=[Budget(options.minutes)])
    generator = gan.ema_generator
    row = {"steps": gan.step, "pictures": gan.schedule.images_at(gan.step)}
    row |= {"parameters": generator_parameters(gan.generator)} | measure(generator, options)
    return rounded(row), show.sheet(gan(fixed_latent(24, config.latent_dim, seed)), columns=12)


def generator_parameters(generator):
    return int(sum(np.prod(v.shape) for v in generator.trainable_variables))


def rounded(value):
    """Return numbers with four digits, in dicts and tuples."""
    if isinstance(value, dict):
        return {key: rounded(x) for key, x in value.items()}
    if isinstance(value, tuple | list):
        return [rounded(x) for x in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def known_everywhere(runs):
    """Return the attributes for which every run has an entropy in z, and in w where it has a w."""

    def known(row, name):
        spaces = {space for space in "zw" if f"{space} full" in row["path"]}
        return spaces <= set(row["entropy"].get(name, ()))

    first = next(iter(runs.values()))["entropy"]
    return [name for name in first if all(known(row, name) for row in runs.values())]


def mean_entropy(row, names, space):
    """Return H(Y|X) in nats, the mean over the attributes `names`; None where the run has no such space."""
    if not names or f"{space} full" not in row["path"]:
        return None
    return float(np.mean([row["entropy"][name][space] for name in names]))


def table(results, ways):
    """Return the lines of a Markdown table: the mean over the seeds, and for the FFD each run."""
    runs = results["runs"]
    names = known_everywhere(runs)
    yield (
        "| way | pictures | FFD | each seed | recall | path length z, w (full) | (end) | unknown in z, w (nats) |\n"
        + "|---" * 8
        + "|"
    )

    def mean(numbers, digits):
        known = [x for x in numbers if x is not None]
        return f"{np.mean(known):.{digits}f}" if known else "-"

    for way in ways:
        rows = [row for name, row in runs.items() if name.rsplit(", seed", 1)[0] == way]
        if not rows:
            continue
        paths = [
            ", ".join(mean([row["path"].get(f"{space} {place}", [None])[0] for row in rows], 0) for space in "zw")
            for place in ("full", "end")
        ]
        left = ", ".join(mean([mean_entropy(row, names, space) for row in rows], 3) for space in "zw")
        each = ", ".join(f"{row['ffd']:.0f}" for row in rows)
        cells = [way, f"{np.mean([row['pictures'] for row in rows]):,.0f}", mean([row["ffd"] for row in rows], 0), each]
        cells += [mean([row["recall"] for row in rows], 2), *paths, left]
        yield "| " + " | ".join(cells) + " |"
    yield f"\nUnknown: the mean over the {len(names)} attributes that every run has in both kinds: {', '.join(names)}."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/toon"), help="a CelebA folder (default: data/toon)")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--width", type=int, default=16, help="channels at the last resolution (default: 16)")
    parser.add_argument("--rate", type=float, default=8e-3, help="of Adam; D has twice as much (default: 0.008)")
    parser.add_argument("--minutes", type=float, default=3.0, help="for each run: CPU time for each core (default: 3)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--count", type=int, default=2000, help="faces behind FFD, precision and recall (default: 2000)"
    )
    parser.add_argument("--pairs", type=int, default=1000, help="paths behind a path length (default: 1000)")
    parser.add_argument("--faces", type=int, default=4000, help="faces behind the separability (default: 4000)")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--out", type=Path, help="write the numbers as JSON; runs that it has are not repeated")
    parser.add_argument("--sheets", type=Path, help="a folder for a sheet of faces of each run")
    options = parser.parse_args()
    keys = ("resolution", "width", "rate", "minutes", "count", "pairs", "faces")
    asked = {key: getattr(options, key) for key in keys}
    results = every_run(
        parser, options, asked, run, lambda row: {key: row[key] for key in ("pictures", "ffd", "recall")}
    )
    print(*table(results, options.ways), sep="\n")


if __name__ == "__main__":
    main()
