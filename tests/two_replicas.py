"""Run by test_distribution.py in a process of its own: two CPU devices must be asked for before TensorFlow starts.

Prints one JSON object of what was found.
"""

import json
import sys
import tempfile
from pathlib import Path

from gan_course import backend  # noqa: F401  isort: skip
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

import keras  # noqa: E402
import numpy as np  # noqa: E402

from gan_course.data.pipeline import faces  # noqa: E402
from gan_course.models import dcgan, dense_gan, l2m_gan  # noqa: E402
from gan_course.training import GAN, checkpoints, l2m  # noqa: E402
from gan_course.training.callbacks import Guard, Limit, Log, Sheets  # noqa: E402


def build(dense=True, optimizers=(), **options):
    keras.utils.set_random_seed(0)
    if dense:
        networks = dense_gan.build_generator(16, 8, 8), dense_gan.build_discriminator(16, 8)
    else:
        networks = dcgan.build_generator(16, 8, 4, 8), dcgan.build_discriminator(16, 4, 8)
    gan = GAN(*networks, **{"r1_gamma": 1.0, "r1_interval": 2, **options})
    gan.compile(*optimizers)
    return gan


def build_editor(**options):
    keras.utils.set_random_seed(0)
    networks = l2m_gan.Editor(16, 2, 4, 2, 6, downs=1), l2m_gan.build_discriminator(16, 2, 4)
    editor = l2m.L2M(*networks, r1_interval=2, own_every=4)
    # Adam would turn the rounding of weights without a slope (a bias before a norm) into whole steps.
    editor.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01), **options)
    return editor


def difference(one, two):
    """The largest difference of any number in the two states."""
    return max(
        float(np.abs(np.asarray(a).astype("float64") - np.asarray(b)).max())
        for a, b in zip(one.state(), two.state(), strict=True)
    )


def main(folder):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    pictures = np.random.default_rng(0).uniform(-1, 1, (40, 16, 16, 3)).astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices(pictures).batch(8)
    found = {"replicas": strategy.num_replicas_in_sync}

    # Two replicas with 4 pictures each, one with 8: the same updates, the same metrics.
    one = build()
    first = [np.asarray(v).copy() for v in one.state()]
    found["history_one"] = one.fit(dataset, verbose=0).history
    with strategy.scope():
        two = build()
    found["history_two"] = two.fit(dataset, verbose=0).history
    found["difference"] = difference(one, two)
    found["moved"] = max(
        float(np.abs(a - np.asarray(b)).max()) for a, b in zip(first[:6], one.state()[:6], strict=True)
    )
    # Each replica must hold the same numbers, also of what no gradient moves.
    found["replicas_differ"] = max(
        float(np.ptp([np.asarray(copy).astype("float64") for copy in v.value.values], axis=0).max())
        for v in two.state()
    )

    # A checkpoint of one device goes on on two.
    with tempfile.TemporaryDirectory() as scratch:
        checkpoints.save(Path(scratch) / "step-000000005.npz", one)
        two.fit(dataset, verbose=0)  # somewhere else
        checkpoints.restore(scratch, two)
    one.fit(dataset, verbose=0)
    two.fit(dataset, verbose=0)
    found["difference_resumed"] = difference(one, two)

    # Batch norm counts each replica's own pictures, so only: it trains, and with the course's own dataset.
    data = faces(folder, 16, 8, seed=1)
    with strategy.scope():
        gan = build(dense=False)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        limit = Limit(steps=6)
        ours = [
            limit,
            Guard(),
            Log(scratch / "log.csv", 8, limit.clock),
            Sheets(scratch),
            checkpoints.Checkpoints(scratch),
        ]
        history = gan.fit(data, steps_per_epoch=3, epochs=5, verbose=0, callbacks=ours).history
        found["files"] = sorted(path.name for path in scratch.iterdir())
    found["finite"] = bool(np.isfinite([*history.values()]).all())
    found["steps"] = gan.step

    # Faces and their domains: targets, faces that are given back and all losses of an L2M-GAN.
    domains = tf.data.Dataset.from_tensor_slices((pictures, np.eye(2, dtype="float32")[np.arange(40) // 3 % 2])).batch(
        8
    )
    one = build_editor(run_eagerly=True)  # the same updates, and nothing to compile
    first = [np.asarray(v).copy() for v in one.weights_of("g")]
    one.fit(domains, verbose=0)
    with strategy.scope():
        two = build_editor()
    two.fit(domains, verbose=0)
    found["difference_editor"] = difference(one, two)
    now = one.weights_of("g")
    found["moved_editor"] = max(float(np.abs(a - np.asarray(b)).max()) for a, b in zip(first, now, strict=True))

    # Half precision: the loss scale is divided out again on every replica. (Adam would hide a wrong factor.)
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    half = build(optimizers=[keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)])
    first = [np.asarray(v).copy() for v in half.discriminator.weights]
    half.fit(dataset, verbose=0)
    with strategy.scope():
        halves = build(optimizers=[keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)])
    halves.fit(dataset, verbose=0)
    one, two = ([np.asarray(v) for v in gan.discriminator.weights] for gan in (half, halves))
    found["difference_half"] = max(float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True))
    found["moved_half"] = max(float(np.abs(a - b).max()) for a, b in zip(one, first, strict=True))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
