"""Faces as batches for training: decode, crop, resize and cache once; then shuffle, mirror, batch.

The slow work (decoding a JPEG, resizing it) is done once per picture and kept as bytes. An epoch after
that is only a gather from one array, so the training step never waits for its pictures.

    dataset = faces("data/toon", resolution=64, batch_size=32)
    model.fit(dataset, steps_per_epoch=dataset.steps_per_epoch)

The batch at step k depends on `seed` and k alone. A training that was stopped at step k goes on with
`start_step=k` and sees the very batches that it would have seen.
"""

import hashlib
import io
import json
import math
import os
import shutil
import struct
import time
import uuid
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import reduce

import numpy as np
import psutil
from PIL import Image, ImageOps

from gan_course import settings
from gan_course.data.archive import some
from gan_course.data.celeba import PARTS, FaceFolder, open_faces
from gan_course.errors import CourseError, CourseWarning
from gan_course.progress import progress

CACHE_VERSION = 2  # raise it when the same file would give other pixels
KEEP_FILE_ABOVE = 2000  # pictures; fewer are decoded again in about a second
CACHES = ("auto", "memory", "disk")
# What Pillow raises for a file that is no picture or is cut short.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
warnings.filterwarnings("ignore", message="Corrupt EXIF data")  # Pillow's; the picture itself may be sound


def crop_box(width, height):
    """Return the square to cut out of a picture, the shorter side, centred: (left, upper, right, lower) in pixels.

    For CelebA's 178x218 it is (0, 20, 178, 198). The DCGAN article cuts (0, 15, 178, 193), because it takes the
    height for 208: five pixels too high.
    """
    side = min(width, height)
    left, upper = (width - side) // 2, (height - side) // 2
    return left, upper, left + side, upper + side


def upright(data):
    """Bytes of a JPEG or PNG -> RGB image (Pillow's), upright as the camera says that it was held. Raises one of `BROKEN`."""
    # No other format, whatever the file is called: Pillow hands PostScript to another program.
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
        image.load()
        with suppress(Exception):  # damaged EXIF data raises many kinds, and the picture may be sound
            ImageOps.exif_transpose(image, in_place=True)
        return image.convert("RGB")


def _decode(data, resolution):
    """Bytes of a JPEG or PNG -> uint8 (resolution, resolution, 3), see `upright`.

    Lanczos is the article's filter (Pillow's old name for it was ANTIALIAS) and ProGAN's. When it shrinks
    a picture, Pillow widens it to cover every source pixel, so fine stripes turn grey instead of into false
    patterns; it keeps more detail than the box or triangle filter. JPEG's own quick shrinking
    (`Image.draft`) is not used: a second filter before the first would change the result.
    """
    image = upright(data)
    box = crop_box(*image.size)
    return np.asarray(image.resize((resolution,) * 2, Image.Resampling.LANCZOS, box=box))


def _decode_all(source, names, resolution):
    """Yield (name, picture) in the order of `names`; the picture is None where the file is broken."""

    def one(name):
        try:
            data = source.read(name)
        except CourseError:
            return name, None
        try:
            return name, _decode(data, resolution)
        except BROKEN:
            return name, None

    bar = progress(total=len(names), desc="faces", unit="img")
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for start in range(0, len(names), 1024):  # in slices, so that results never pile up in memory
            for result in pool.map(one, names[start : start + 1024]):
                bar.update()
                yield result


def _cache_key(source, names, resolution):
    """Return a hash of all that decides the pixels; files count by path, size and time of change."""
    path = str(source.path.resolve())
    digest = hashlib.sha256(
        "\n".join([repr((CACHE_VERSION, path, resolution)), *names]).encode(errors="surrogateescape")
    )
    place = source.store.place  # the folder of the images, or the zip
    files = [place / name for name in names] if place.is_dir() else [place]
    for file in files:
        try:
            stat = os.stat(file)
        except OSError:
            continue  # reading it will fail as well, and tell
        digest.update(f"{file.name}|{stat.st_size}|{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:20]


def _write_cache(folder, pictures, count, resolution):
    """Write images.npy and names.json into `folder`; the folder appears whole or not at all.

    Pictures are appended as they come, so a full disk is an ordinary error here. (Writing through a memory
    map would kill the process instead.) NumPy's header leaves room for the final count.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob("*.partial"):  # of a process that was killed
        if time.time() - left.stat().st_mtime > 86400:
            shutil.rmtree(left, ignore_errors=True)
    partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    partial.mkdir()
    try:
        names, broken = [], []
        header = {"descr": "|u1", "fortran_order": False}
        shape = (resolution, resolution, 3)
        with open(partial / "images.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(file, {**header, "shape": (count, *shape)})
            for name, picture in pictures:
                (broken if picture is None else names).append(str(name))
                if picture is not None:
                    file.write(picture.tobytes())
            file.seek(0)
            np.lib.format.write_array_header_1_0(file, {**header, "shape": (len(names), *shape)})
            file.flush()
            os.fsync(file.fileno())
        (partial / "names.json").write_text(json.dumps({"names": names, "broken": broken}))
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one, or one that another process just wrote
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read_cache(folder, resolution, mapped):
    """Return (images, names, broken), or None when there is no sound cache in `folder`."""
    try:
        info = json.loads((folder / "names.json").read_text())
        images = np.load(folder / "images.npy", mmap_mode="r" if mapped else None)
    except (OSError, ValueError, EOFError):
        return None
    if images.shape != (len(info["names"]), resolution, resolution, 3):
        return None
    return images, info["names"], info["broken"]


def _open(folder):
    return folder if isinstance(folder, FaceFolder) else open_faces(folder)


def load(folder, resolution, part="train", limit=None, cache="auto"):
    """Return (images, names): every face of `part`, cropped and resized; decoded once, then cached.

    `images`: uint8 (n, resolution, resolution, 3), read-only. `names`: (n,) str, the file of each row.
    `folder`: a CelebA folder or zip (or what `open_faces` returned). `part`: train, val, test or all.
    `limit`: the first so many names. How a picture is cropped: see `crop_box`.

    `cache`: `memory` keeps no file. `disk` keeps `images.npy` in a folder below `data/cache` (delete it
    whenever you like) and maps it, so the pictures need no memory. `auto` keeps the file when there are
    more than 2,000 pictures, since reading it back takes a twentieth of the time of decoding, and maps it
    only when the pictures would fill more than a quarter of the free memory.

    A broken picture is skipped, and one `CourseWarning` names the first ones and counts them. Raises
    `CourseError` for a wrong path, part, resolution, limit or cache, and when no picture is left.
    """
    if resolution != int(resolution) or resolution < 4:
        raise CourseError(f"The resolution is {resolution}; give a whole number of pixels from 4 on.")
    if limit is not None and limit < 1:
        raise CourseError(f"The limit is {limit}; give the number of faces to load, or None for all.")
    if cache not in CACHES:
        raise CourseError(f"There is no cache '{cache}'; use one of {', '.join(CACHES)}.")
    source = _open(folder)
    wanted = source.split(part)[:limit]
    if len(wanted) == 0:
        found = ", ".join(f"{name} {len(source.split(name)):,}" for name in PARTS)
        raise CourseError(f"'{source.path}' has no face in its part {part} (faces: {found}); add more faces.")

    size = len(wanted) * resolution**2 * 3
    mapped = cache == "disk" or (cache == "auto" and size > psutil.virtual_memory().available / 4)
    found = None
    if mapped or (cache == "auto" and len(wanted) > KEEP_FILE_ABOVE):
        key = _cache_key(source, wanted, resolution)
        kept = settings.data_folder() / "cache" / f"{source.path.stem}-{part}-{resolution}-{key}"
        found = _read_cache(kept, resolution, mapped)
        if found is None:
            failure = None
            try:
                _write_cache(kept, _decode_all(source, wanted, resolution), len(wanted), resolution)
            except OSError as error:  # no room, no permission; or another process was first, which is fine
                failure = error
            found = _read_cache(kept, resolution, mapped)
            if found is None and mapped:
                raise CourseError(
                    f"'{kept.parent}' cannot take {size / 1e9:.1f} GB of faces ({failure}); "
                    "make room there, or set GAN_COURSE_DATA to another folder."
                ) from failure
    if found is None:
        images, names, broken = np.empty((len(wanted), resolution, resolution, 3), np.uint8), [], []
        for name, picture in _decode_all(source, wanted, resolution):
            if picture is None:
                broken.append(str(name))
            else:
                images[len(names)] = picture
                names.append(str(name))
        found = images[: len(names)], names, broken

    images, names, broken = found
    if broken:
        which = some(broken)
        if not names:
            raise CourseError(
                f"No picture of '{source.path}' can be read ({len(broken)} broken: {which}); copy them again."
            )
        text = f"{len(broken)} of {len(wanted)} pictures in '{source.path}' are broken and skipped: {which}."
        warnings.warn(text, CourseWarning, stacklevel=2)
    images.flags.writeable = False
    return images, np.array(names)


def faces(
    folder, resolution, batch_size, part="train", attributes=None, mirror=True, seed=0, start_step=0, cache="auto",
    limit=None,
):  # fmt: skip
    """Return an endless dataset of image batches for training: a `tf.data.Dataset`, or `Batches` under PyTorch.

    A batch is float32 (batch_size, resolution, resolution, 3) in [-1, 1]. With `attributes`, a list of k of
    CelebA's names, an element is (images, labels), and labels are float32 (batch_size, k), 0 or 1.
    `mirror`: flip each picture left to right with probability 1/2 (labels stay: no attribute of CelebA
    tells left from right). `folder`, `part`, `cache`, `limit`: see `load`.

    Each epoch shows every picture at most once, in an order of its own; the last pictures that fill no
    batch are left out. The batch at step k is a pure function of `seed` and k; `start_step=k` starts there
    at no cost. (TensorFlow and NumPy draw other random numbers, so the order is another under PyTorch.)
    The dataset carries `image_count` and `steps_per_epoch`. Give the latter to `fit`, or its
    first epoch never ends. Under `tf.distribute`, `batch_size` is the sum over replicas, without sharding.

    Raises `CourseError` like `load`, for an unknown attribute, and for fewer pictures than a batch.
    """
    if batch_size < 1 or start_step < 0:
        raise CourseError(f"batch_size is {batch_size} and start_step is {start_step}; give at least 1 and 0 for them.")
    options = dict(part=part, attributes=attributes, mirror=mirror, seed=seed, cache=cache, limit=limit)
    return faces_in_stages(folder, resolution, [(0, batch_size)], start_step * batch_size, **options)


def faces_in_stages(
    folder, resolution, stages, start_image, steps_per_epoch=None, part="train", attributes=None, mirror=True, seed=0,
    cache="auto", limit=None, labels=None,
):  # fmt: skip
    """Return an endless dataset as `faces`, whose batches have another size from certain pictures on.

    stages: [(first picture, batch size), ...]. The n-th picture shown is a function of the seed and n; the dataset
    begins with picture `start_image`. `steps_per_epoch`: what `fit` is to call an epoch; None: all pictures once.
    labels: in the place of attributes, a function: the pictures' names -> a tuple of arrays (n, ...), of which each batch
    gets the rows of its pictures.
    """
    unit = math.gcd(*(size for _, size in stages))
    source = _open(folder)
    attributes = [attributes] if isinstance(attributes, str) else attributes
    if attributes is not None:
        source.labels(source.split(part)[:1], attributes)  # a wrong name is told before the long work
    images, names = load(source, resolution, part, limit, cache)
    if len(names) < unit:
        raise CourseError(
            f"The part {part} of '{source.path}' has fewer than one batch of faces (faces {len(names)}, batch_size "
            f"{unit}); add more faces or make the batch smaller."
        )
    if labels is not None:
        labels = labels(names)
    elif attributes is not None:
        labels = source.labels(names, attributes)
    return dataset(Batches(images, labels, unit, stages, start_image, mirror, seed), steps_per_epoch)


def dataset(batches, steps_per_epoch=None):
    """Return what `fit` takes: the `Batches`, or a `tf.data.Dataset` of the same, with `image_count` and `steps_per_epoch`."""
    from gan_course import backend

    made = _tf_dataset(batches) if backend.NAME == "tensorflow" else batches
    made.image_count, made.steps_per_epoch = len(batches.images), steps_per_epoch or len(batches.rows) // batches.unit
    return made


class Batches:
    """Endless batches without TensorFlow; `Trainer.fit` takes it as it takes a dataset.

    Iterating gives (pictures,) or (pictures, labels), NumPy arrays. Which pictures, and which of them mirrored, is a
    function of the seed and of how many were shown before. An epoch's order is drawn anew, and its pictures that fill no
    `unit` are left out. rows: those that an epoch shows, where it is not each picture once.
    """

    def __init__(self, images, labels, unit, stages, start_image, mirror, seed, rows=None):
        self.images, self.labels, self.unit, self.stages = images, labels, unit, stages
        self.rows = np.arange(len(images)) if rows is None else rows
        self.start_image, self.mirror, self.seed = start_image, mirror, seed
        self.known = None, None  # an epoch, and its order

    def __iter__(self):
        image = self.start_image
        while True:
            size = max((first, size) for first, size in self.stages if first <= image)[1]
            yield self.batch(image, size)
            image += size

    def batch(self, image, size):
        """Return the batch of `size` pictures that begins with the picture number `image`."""
        rows, flips = zip(*(self._drawn(n) for n in range(image, image + size)), strict=True)
        rows, flips = np.array(rows), np.array(flips)
        pictures = self.images[rows]
        pictures[flips] = pictures[flips][:, :, ::-1]
        pictures = pictures.astype("float32") / 127.5 - 1.0
        if self.labels is None:
            return (pictures,)
        return pictures, (tuple(x[rows] for x in self.labels) if isinstance(self.labels, tuple) else self.labels[rows])

    def _drawn(self, n):
        """Return (row, whether it is mirrored) of the n-th picture."""
        length = len(self.rows) // self.unit * self.unit
        epoch, place = divmod(n, length)
        if self.known[0] != epoch:
            random = np.random.default_rng([self.seed, epoch])
            order = random.permutation(self.rows)[:length]
            self.known = epoch, list(zip(order, (random.random(length) < 0.5) & self.mirror, strict=True))
        return self.known[1][place]


def for_fit(dataset):
    """Return what Keras's `fit` takes for a dataset of `faces`, or for any other `tf.data.Dataset`."""
    if isinstance(dataset, Batches):
        return iter(dataset)
    return dataset.with_options(_untuned()) if hasattr(dataset, "with_options") else dataset


def of_arrays(arrays, batch_size, shuffle):
    """Return the `tf.data.Dataset` of an array or of a tuple of arrays, as Keras makes it, but with options of ours."""
    import tensorflow as tf

    with tf.device("CPU"):
        tensors = tf.nest.map_structure(tf.convert_to_tensor, arrays)
    count = len(tf.nest.flatten(tensors)[0])
    order = tf.data.Dataset.range(count)
    order = order.shuffle(count) if shuffle else order
    return order.batch(batch_size).map(lambda rows: tf.nest.map_structure(lambda x: tf.gather(x, rows), tensors))


def _untuned():
    """Return the options of a dataset that does not tune its own speed while it is used.

    The thread that tunes sleeps for longer and longer, up to a minute, and TensorFlow 2.21 often lets the end of an
    iterator, so the end of `fit`, wait until it wakes: up to 20 seconds after a training of 20.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _tf_dataset(batches):
    """Return the same as a `tf.data.Dataset` (with TensorFlow's random numbers): parallel, and ahead of the training."""
    import tensorflow as tf

    images, unit, seed = batches.images, batches.unit, batches.seed
    resolution, steps_per_epoch = images.shape[1], len(batches.rows) // unit
    with tf.device("CPU"):  # a GPU's memory is for the networks
        labels = None if batches.labels is None else tf.nest.map_structure(tf.constant, batches.labels)
        table = None if isinstance(images, np.memmap) else tf.constant(images)
        rows = tf.constant(batches.rows, tf.int32)

    def pick(indices):
        if table is not None:
            return tf.gather(table, indices)
        x = tf.numpy_function(lambda rows: images[rows], [indices], tf.uint8, stateful=False)
        return tf.ensure_shape(x, (None, *images.shape[1:]))

    def epoch_indices(epoch):
        # Not `index_shuffle`, which needs no array: it knows only 256 orders for a seed and an epoch number.
        order = tf.random.experimental.stateless_shuffle(rows, tf.stack([seed, epoch]))
        order = order[: steps_per_epoch * unit]
        return tf.data.Dataset.from_tensor_slices(tf.reshape(order, (steps_per_epoch, unit)))

    def mirror_all(x):
        rows = tf.reshape(x, (-1, resolution, 3))  # TensorFlow has a quick reverse for this rank only
        return tf.reshape(tf.reverse(rows, [1]), tf.shape(x))

    def batch(step, indices):
        if batches.mirror:  # gather both kinds apart: half the work of mirroring all and choosing afterwards
            flip = tf.cast(tf.random.stateless_uniform((unit,), tf.stack([seed, step])) < 0.5, tf.int32)
            plain, mirrored = tf.dynamic_partition(indices, flip, 2)
            places = tf.dynamic_partition(tf.range(unit), flip, 2)
            x = tf.dynamic_stitch(places, [pick(plain), mirror_all(pick(mirrored))])
        else:
            x = pick(indices)
        x = tf.ensure_shape(x, (unit, resolution, resolution, 3))
        x = tf.cast(x, tf.float32) / 127.5 - 1.0
        return x if labels is None else (x, tf.nest.map_structure(lambda y: tf.gather(y, indices), labels))

    def flat(*element):
        joined = tf.nest.map_structure(lambda x: tf.reshape(x, (-1, *x.shape[2:])), element)
        return joined if len(joined) > 1 else joined[0]

    def stage(image, end, size):
        """Return the batches of `size` from the picture number `image` on, to `end` where there is one."""
        first = image // unit
        epoch, done = divmod(first, steps_per_epoch)
        units = tf.data.Dataset.counter(start=epoch).flat_map(epoch_indices).skip(done).enumerate(start=first)
        units = (units if end is None else units.take(end // unit - first)).map(batch, num_parallel_calls=4)
        return units if size == unit else units.batch(size // unit).map(flat)

    start, ends = batches.start_image, [*(first for first, _ in batches.stages[1:]), None]
    parts = [
        stage(max(first, start), end, size)
        for (first, size), end in zip(batches.stages, ends, strict=True)
        if end is None or start < end
    ]
    options = _untuned()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return reduce(tf.data.Dataset.concatenate, parts).prefetch(8).with_options(options)
