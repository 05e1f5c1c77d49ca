"""Measure the cached pipeline against Keras's `image_dataset_from_directory`.

    python benchmarks/pipeline.py --data FOLDER_OF_CELEBA

Both give shuffled, mirrored batches of the same pictures, cropped to a square, 64x64, in [-1, 1]. Timed is
epochs after the first (ours has its cache by then). They take turns in one process, so that other work on
the machine hits both; the ratio is of the medians. CPU time (of all threads) is told beside the time on the
clock: it is what the input takes away from training on the same cores, and other work disturbs it less.
Keras's dataset with `.cache()` before the shuffle (float32, so four times our memory) is timed as well.

Then a training step is imitated (matrix products on all cores, about 0.25 s, the time of a 64x64 DCGAN step
on two cores): which share of the step waits for its batch, and how large a batch's work is beside the step's.

Writes results/pipeline.json beside this file: numbers and versions, no paths and no names.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from gan_course.data.celeba import open_faces
from gan_course.data.pipeline import faces

RESOLUTION, BATCH, STEP = 64, 32, 0.25


def keras_dataset(folder, interpolation):
    """The usual way: JPEGs decoded, cropped and resized anew in every epoch."""
    return keras.utils.image_dataset_from_directory(
        folder,
        labels=None,
        image_size=(RESOLUTION, RESOLUTION),
        crop_to_aspect_ratio=True,
        interpolation=interpolation,
        batch_size=BATCH,
        seed=0,
        verbose=False,
    )


def finish(dataset):
    """Mirror, scale and prefetch, as ours does."""

    def batch(x):
        return tf.image.random_flip_left_right(x) / 127.5 - 1.0

    return dataset.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def measure(dataset, epochs):
    """Read `epochs` epochs; return (pictures per second on the clock, CPU microseconds per picture)."""
    endless = hasattr(dataset, "steps_per_epoch")
    iterator = iter(dataset)
    next(iterator)
    clock, cpu, count = time.perf_counter(), time.process_time(), 0
    for number in range(epochs):
        iterator = iterator if endless or number == 0 else iter(dataset)
        for images in itertools.islice(iterator, dataset.steps_per_epoch if endless else None):
            count += images.shape[0]
    return count / (time.perf_counter() - clock), (time.process_time() - cpu) / count * 1e6


def waiting(dataset, steps=30):
    """Return (seconds per step waiting for the batch, seconds per step) beside imitated training steps."""
    side = tf.random.normal((2048, 2048))

    @tf.function
    def work(products):
        x = side
        for _ in tf.range(products):
            x = tf.matmul(x, side) * 1e-2
        return tf.reduce_sum(x)

    work(2).numpy()
    start = time.perf_counter()
    work(8).numpy()
    products = max(1, round(STEP / ((time.perf_counter() - start) / 8)))
    iterator = iter(dataset)
    next(iterator)
    waited, begin = 0.0, time.perf_counter()
    for _ in range(steps):
        work(products).numpy()
        start = time.perf_counter()
        next(iterator)
        waited += time.perf_counter() - start
    return waited / steps, (time.perf_counter() - begin) / steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a CelebA folder with JPEG files (not a zip)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--interpolation", default="area", help="Keras's; 'area' is its antialiased one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "pipeline.json")
    arguments = parser.parse_args()

    start = time.perf_counter()
    source = open_faces(arguments.data)
    ours = faces(source, RESOLUTION, BATCH, part="all")
    first_load = time.perf_counter() - start
    plain = keras_dataset(source.store.place, arguments.interpolation)
    cached = finish(plain.unbatch().cache().shuffle(1000).batch(BATCH))
    theirs = finish(plain)

    turns = {"ours": (ours, 10), "keras": (theirs, 1), "keras_cached": (cached, 5)}  # epochs: a second or so
    clock, cpu = ({name: [] for name in turns} for _ in range(2))
    for repeat in range(-1, arguments.repeats):  # the first turn fills caches and is not counted
        for name, (dataset, epochs) in turns.items():
            speed, cost = measure(dataset, epochs if repeat >= 0 else 1)
            print(f"{repeat + 1}: {name:13}{speed:9,.0f} images/s {cost:8.1f} us CPU per image", flush=True)
            if repeat >= 0:
                clock[name].append(round(speed))
                cpu[name].append(round(cost, 2))

    speed, cost = ({name: statistics.median(values) for name, values in kind.items()} for kind in (clock, cpu))
    waits = {name: waiting(dataset) for name, dataset in (("ours", ours), ("keras", theirs))}
    result = {
        "images": len(source.split("all")),
        "resolution": RESOLUTION,
        "batch_size": BATCH,
        "images_per_second": clock,
        "cpu_microseconds_per_image": cpu,
        "ratio_to_keras": round(speed["ours"] / speed["keras"], 1),
        "ratio_to_keras_in_cpu_time": round(cost["keras"] / cost["ours"], 1),
        "ratio_to_keras_cached": round(speed["ours"] / speed["keras_cached"], 1),
        "ratio_to_keras_cached_in_cpu_time": round(cost["keras_cached"] / cost["ours"], 1),
        "seconds_to_open_and_decode_or_read_cache": round(first_load, 2),
        "step_seconds": {name: round(step, 3) for name, (_, step) in waits.items()},
        "waiting_share_of_step": {name: round(wait / step, 5) for name, (wait, step) in waits.items()},
        "cpu_of_a_batch_over_cpu_of_a_0.25_s_step": round(BATCH * cost["ours"] / 1e6 / STEP / os.cpu_count(), 5),
        "keras_interpolation": arguments.interpolation,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
