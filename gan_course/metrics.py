"""How far generated faces are from real ones: distances between two sets of pictures.

A network that was trained for something else turns each picture into d numbers, its *features*; two sets of pictures
are then compared as two clouds of points. So a distance always belongs to a feature network, to a way of resizing, to
the real pictures and to both counts, and means nothing without them:

- `FaceFeatures`: the course's judge of face attributes. Its Frechet distance is called FFD here. It works offline.
- `InceptionFeatures`: Inception-v3, trained on ImageNet. Its Frechet distance is called FID.

`evaluate` measures all numbers of one set of faces and says everything that is needed to repeat it.
"""

import hashlib
import json
import math
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from gan_course import quiet  # noqa: F401  isort: skip  (before Keras)
import keras

from gan_course import pretrained, show
from gan_course.data import pipeline, toon
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError, CourseWarning
from gan_course.files import whole
from gan_course.progress import progress
from gan_course.training.callbacks import fixed_latent

CROP = "square"  # how the real pictures are cut (see `pipeline.crop_box`); the course trains on the same
NEIGHBOURS = 3  # of precision and recall, as in the paper
SUBSETS, SUBSET_SIZE = 100, 1000  # of the kernel distance, as in the paper's code

# --- distances between two clouds of points ----------------------------------------------------------------


def _clouds(a, b, least=2):
    """Return both feature arrays as float64; raise `CourseError` for what has no distance."""
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not a.shape[1]:
        raise CourseError(f"The features have the shapes {a.shape} and {b.shape}; give (n, d) and (m, d).")
    if min(len(a), len(b)) < least:
        raise CourseError(f"There are {len(a)} and {len(b)} pictures; give at least {least} of each kind.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise CourseError("The features hold NaN or infinity; look at the pictures and the network they come from.")
    return a, b


def _finite(value):
    if not np.isfinite(value):
        raise CourseError("The features are too large for float64, so their distance is not finite; scale them down.")
    return float(value)


def frechet_distance(a, b):
    """Return the Frechet distance between normal distributions fitted to two sets of features.

        |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))

    `a`: (n, d), `b`: (m, d); n and m may be smaller than d. The covariances C are the unbiased ones (divided by
    n - 1), as in clean-fid and torch-fidelity. 0 for equal clouds; no upper limit. The fewer pictures, the larger
    the distance (even real against real is not 0), so compare only distances of equal counts.

    No matrix root is needed. With C_a = A^T A and C_b = B^T B, where A are the centred features / sqrt(n - 1),
    the eigenvalues of C_a C_b are those of (A B^T)(A B^T)^T, so the trace of the root is the sum of the singular
    values of A B^T. That is real and exact for singular covariances too, where `scipy.linalg.sqrtm` may become
    complex. Where n > d, a d x d triangle takes A's place (see `_factor`): the same C_a, fewer rows.

    Heusel et al. 2017 ("GANs Trained by a Two Time-Scale Update Rule..."), equation 6. Raises `CourseError` for
    other shapes, fewer than 2 pictures, and features that are not finite.
    """
    a, b = _clouds(a, b)
    with np.errstate(over="ignore", invalid="ignore"):  # told by `_finite`
        mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
        a, b = (a - mean_a) / math.sqrt(len(a) - 1), (b - mean_b) / math.sqrt(len(b) - 1)
        parts = _finite(((mean_a - mean_b) ** 2).sum() + (a**2).sum() + (b**2).sum())
        root = np.linalg.svd(_factor(a) @ _factor(b).T, compute_uv=False).sum()
    return max(0.0, _finite(parts - 2.0 * root))  # rounding takes equal clouds to either side of 0


def _factor(x):
    """Return R with R^T R = x^T x and no more rows than columns.

    The Cholesky factor takes a fifth of the time of QR. But x^T x has lost the small directions of x, by up to the
    root of float64's rounding; so where a pivot is small (or there is no factor), R comes from x = QR instead.
    """
    if len(x) <= x.shape[1]:
        return x
    try:
        triangle = np.linalg.cholesky(x.T @ x).T
        pivots = triangle.diagonal()
        if pivots.min() > 1e-4 * pivots.max():
            return triangle
    except np.linalg.LinAlgError:
        pass
    return np.linalg.qr(x, mode="r")


def kernel_distance(a, b, subsets=SUBSETS, size=SUBSET_SIZE, seed=0):
    """Return (mean, standard error) of the kernel distance, the squared MMD with a polynomial kernel.

        k(x, y) = (x.y / d + 1)^3
        MMD^2   = mean of k over pairs in a + mean of k over pairs in b - 2 mean of k over pairs of a and b

    A picture is not paired with itself, which makes the estimate unbiased: its expected value does not depend on
    the counts, and for equal distributions it is 0 (so it may come out a little below 0). `a`: (n, d), `b`: (m, d).

    The mean is over `subsets` subsets of `size` pictures of each set, drawn without replacement; `size` is cut to
    half of the smaller set. The subsets overlap, so their spread divided by sqrt(subsets) would be far too small
    an error; the standard error given is the delete-d jackknife's, spread * sqrt(size / (n - size)), n the
    smaller count: how much another draw of all the pictures would move the mean. Where both sets come from one
    distribution it is too large, by sqrt(1 + n / size) and so at least 1.7 times. (Papers often give the spread.)

    Binkowski et al. 2018 ("Demystifying MMD GANs"), section 4, there called KID; Shao and Wu 1989 for the error.
    Raises `CourseError` as `frechet_distance`, for fewer than 4 pictures, and for wrong `subsets` or `size`.
    """
    a, b = _clouds(a, b, least=4)
    if subsets < 2 or size < 2:
        raise CourseError(f"There are {subsets} subsets of size {size}; give at least 2 for both.")
    count = min(len(a), len(b))
    size = min(size, count // 2)
    random = np.random.default_rng(seed)

    def choose(points):  # (points, subsets), 1 where a point belongs to a subset
        chosen = np.zeros((points, subsets))
        for column in chosen.T:
            column[random.choice(points, size, replace=False)] = 1.0
        return chosen

    in_a, in_b = choose(len(a)), choose(len(b))
    with np.errstate(over="ignore", invalid="ignore"):
        within = _kernel_sums(a, a, in_a, in_a) + _kernel_sums(b, b, in_b, in_b)
        for x, chosen in ((a, in_a), (b, in_b)):
            within -= ((x**2).mean(axis=1) + 1.0) ** 3 @ chosen  # a picture with itself
        values = within / (size * (size - 1)) - 2.0 * _kernel_sums(a, b, in_a, in_b) / size**2
    spread = values.std(ddof=1)
    return _finite(values.mean()), _finite(spread * math.sqrt(size / (count - size)))


def _kernel_sums(x, y, in_x, in_y, rows=1024):
    """Return (subsets,): the sum of k over all pairs of each subset.

    The kernel of every pair is computed once for all subsets, a block of `rows` at a time so that memory stays small.
    """
    total = np.zeros(in_x.shape[1])
    for start in range(0, len(x), rows):
        block = slice(start, start + rows)
        kernel = (x[block] @ y.T / x.shape[1] + 1.0) ** 3
        total += (in_x[block] * (kernel @ in_y)).sum(axis=0)
    return total


def precision_recall(real, fake, k=NEIGHBOURS):
    """Return (precision, recall), both from 0 to 1.

    A set's region is the union of balls around its points, each as wide as the distance to the point's k-th nearest
    neighbour in the same set. Precision: the share of `fake` (m, d) in the region of `real` (n, d), so how many
    faces look real. Recall: the share of `real` in the region of `fake`, so how much of the variety is there.
    Both depend on the counts; compare only equal ones. Give as many fakes as reals.

    Kynkaanniemi et al. 2019 ("Improved Precision and Recall Metric..."), equations 1 to 3. Distances are computed
    in blocks, so memory stays small. Raises `CourseError` as `frechet_distance`, and for k below 1 or too large.
    """
    if k < 1:
        raise CourseError(f"k is {k}; give 1 or more neighbours.")
    real, fake = _clouds(real, fake, least=k + 1)
    middle = real.mean(axis=0)  # distances stay the same and lose fewer digits
    real, fake = real - middle, fake - middle
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def _share_inside(points, centres, k, rows=1024):
    """Return the share of `points` that lie in the region of `centres`."""
    radii = []
    for start, squares in _squared_distances(centres, centres, rows):
        squares[np.arange(len(squares)), start + np.arange(len(squares))] = np.inf  # nobody is its own neighbour
        radii.append(np.partition(squares, k - 1, axis=1)[:, k - 1])
    radii = np.concatenate(radii)
    inside = [(squares <= radii).any(axis=1) for _, squares in _squared_distances(points, centres, rows)]
    return float(np.concatenate(inside).mean())


def _squared_distances(x, y, rows):
    norms = (y**2).sum(axis=1)
    for start in range(0, len(x), rows):
        block = x[start : start + rows]
        yield start, np.maximum((block**2).sum(axis=1)[:, None] + norms - 2.0 * block @ y.T, 0.0)


# --- feature networks --------------------------------------------------------------------------------------


def resize(pictures, size):
    """Return `pictures`, uint8 (n, h, w, 3), as float32 (n, size, size, 3), still from 0 to 255.

    Pillow's bicubic filter on float channels, as clean-fid does (Parmar et al. 2022, "On Aliased Resizing..."). When
    it shrinks a picture, it widens to cover every pixel, so fine stripes turn grey instead of into false patterns;
    and nothing is rounded to whole numbers. Pictures of that size already stay as they are.
    """
    pictures = pictures.astype("float32")
    if pictures.shape[1:3] == (size, size):
        return pictures
    out = np.empty((len(pictures), size, size, 3), "float32")
    for i, picture in enumerate(pictures):
        for c in range(3):
            channel = Image.fromarray(np.ascontiguousarray(picture[..., c]))  # float32: Pillow's mode F
            out[i, ..., c] = channel.resize((size, size), Image.Resampling.BICUBIC)
    return np.clip(out, 0, 255)  # the filter overshoots at sharp edges


def weights_sha256(model):
    """Return the sha256 of a network's numbers, in order: the same for a run and for the weights shipped from it."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class _Features:
    """A feature network: call it with pictures (n, h, w, 3), uint8 or float in [-1, 1], to get float64 (n, d).

    Float pictures are first rounded to bytes, as real ones are. `distance`: what the Frechet distance in these
    features is called. `name`, `sha256`: of the network. `resize`: how pictures become `size` x `size`, in words.
    """

    def __init__(self, name, model, size, distance, short):
        self.name, self.model, self.size, self.distance, self.short = name, model, size, distance, short
        self.resize = f"to {size}x{size}, Pillow bicubic (antialiased) on float32, clipped to 0..255"

    @property
    def sha256(self):
        return weights_sha256(self.model)

    def __call__(self, pictures, batch_size=64):
        pictures = np.asarray(pictures)
        if pictures.ndim != 4 or pictures.shape[3] != 3 or not len(pictures):
            raise CourseError(f"Features need pictures of shape (n, h, w, 3), and got {pictures.shape}.")
        if not np.isfinite(pictures).all():
            raise CourseError("The pictures hold NaN or infinity; look at the generator they come from.")
        pictures = show.to_uint8(pictures)
        features = []
        for start in progress(range(0, len(pictures), batch_size), desc="features", unit="batch"):
            x = resize(pictures[start : start + batch_size], self.size) / 127.5 - 1.0
            features.append(self.model.predict_on_batch(x))
        return np.concatenate(features).astype("float64")


class FaceFeatures(_Features):
    """The features of an attribute network at 64x64; works offline. The distance in them is called FFD.

    `network`: the name of shipped weights (a judge, such as 'attributes-toon-judge'), or a network that
    `models.attributes.build` made.
    """

    def __init__(self, network):
        from gan_course.models import attributes

        name = network
        if isinstance(name, str):
            if not pretrained.tells_attributes(name):
                known = ", ".join(filter(pretrained.tells_attributes, pretrained.index())) or "none in this copy"
                raise CourseError(f"'{name}' is no attribute network that the course ships; shipped: {known}.")
            network = pretrained.load(name)
        else:
            name = network.name
        size, model = network.input_shape[1], attributes.feature_extractor(network)
        super().__init__(name, model, size, "face-feature Frechet distance (FFD)", "FFD")


class InceptionFeatures(_Features):
    """Inception-v3's 2048 pooled features (Szegedy et al. 2016), Keras's ImageNet weights. The distance is called FID.

    These weights are not those of the original FID, which TensorFlow published in 2015: compare such a number with
    others that were measured here, never with a paper's. Needs the internet once (88 MB, kept in ~/.keras).
    """

    def __init__(self):
        try:
            model = keras.applications.InceptionV3(include_top=False, pooling="avg", weights="imagenet")
        except Exception as error:  # Keras raises a bare Exception when a download fails
            raise CourseError(
                f"The Inception-v3 weights cannot be had ({str(error).splitlines()[0]}); connect to the internet, "
                "copy that file into ~/.keras/models, or measure with the course's own face features."
            ) from error
        super().__init__("Keras Inception-v3", model, 299, "FID (Keras Inception-v3)", "FID")


def feature_network(choice, data):
    """Return the feature network of a name: 'toon', 'celeba', 'inception', shipped weights, or 'auto'.

    'auto' looks at the folder `data`: the cartoons' judge for cartoon faces, else that of real faces.
    """
    if choice == "auto":
        choice = "toon" if toon.is_cartoon(data) else "celeba"
    if choice == "inception":
        return InceptionFeatures()
    return FaceFeatures(f"attributes-{choice}-judge" if choice in ("toon", "celeba") else choice)


# --- one set of faces against a split ----------------------------------------------------------------------


def distances(real, fake):
    """Return {frechet, kernel, kernel_error, precision, recall} of two sets of features.

    The first two use all of both sets. Precision and recall use as many of each as the smaller set has.
    """
    equal = min(len(real), len(fake))
    kernel, error = kernel_distance(real, fake)
    precision, recall = precision_recall(real[_evenly(len(real), equal)], fake[_evenly(len(fake), equal)])
    return {
        "frechet": frechet_distance(real, fake),
        "kernel": kernel,
        "kernel_error": error,
        "precision": precision,
        "recall": recall,
    }


def real_pictures(folder, resolution, part="test", count=2000):
    """Return (pictures uint8, names): `count` faces evenly spaced in the names' order, or all where there are fewer.

    They do not depend on a seed: every measurement against this part has the same faces to compare with.
    """
    images, names = pipeline.load(folder, resolution, part, crop=CROP)
    rows = _evenly(len(images), count)
    return images[rows], names[rows]


def _evenly(length, count):
    return np.linspace(0, length - 1, min(count, length)).round().astype(int)


def generate(generator, count, seed=0, batch_size=64):
    """Return `count` pictures of a generator as bytes, from latent vectors that `seed` decides."""
    latent = fixed_latent(count, generator.input_shape[-1], seed)
    pictures = []
    for start in progress(range(0, count, batch_size), desc="faces", unit="batch"):
        made = generator.predict_on_batch(latent[start : start + batch_size])
        if not np.isfinite(made).all():
            raise CourseError("The generator draws NaN or infinity; train it anew with a smaller learning rate.")
        pictures.append(show.to_uint8(made))
    return np.concatenate(pictures)


def evaluate(target, data, split="test", count=2000, seed=0, features="auto", part="all", resolution=None):
    """Measure `target` against the faces of `data` in `split`; return all that is needed to repeat it (a dict for JSON).

    `target`: the folder of a run (its averaged generator is measured), the name of shipped weights, or a folder of
    faces, of which `part` is measured. `features`: see `feature_network`. `resolution`: of all pictures; that of the
    generator, or 64 for a folder. `count`: at most so many real faces (`real_pictures`) and exactly so many generated
    ones; of a folder at most so many, drawn by `seed`.

    The entry `measure` holds what two measurements must share to be compared (see `compare`), `results` the
    numbers of `distances`. Raises `CourseError` for a target of no kind, a wrong part, too few faces, etc.
    """
    least = max(4, NEIGHBOURS + 1)
    if count < least:
        raise CourseError(f"count is {count}; give {least} faces or more.")
    if seed < 0:
        raise CourseError(f"seed is {seed}; give 0 or more.")
    made, evaluated = _target(target, part)
    source = open_faces(data)
    network = feature_network(features, data)
    size = made.output_shape[1] if made is not None else resolution or 64
    if resolution not in (None, size):
        raise CourseError(f"'{target}' draws faces of {size}x{size}; leave out the resolution of {resolution}.")
    if made is not None:
        fake = generate(made, count, seed)
    else:
        fake = _drawn(target, size, part, count, seed)
        if Path(target).resolve() == Path(data).resolve() and (part == split or "all" in (part, split)):
            text = f"'{target}' is measured against itself, '{part}' against '{split}', so some faces are in both sets."
            warnings.warn(text, CourseWarning, stacklevel=2)
    real, names = real_pictures(source, size, split, count)
    for what, pictures in ((f"the part '{split}' of '{data}'", real), (f"'{target}'", fake)):
        if len(pictures) < least:
            raise CourseError(f"There are only {len(pictures)} faces in {what}; a distance needs {least} or more.")
    digest = hashlib.sha256()
    for name in names:
        digest.update(source.read(name))
    return {
        "measure": {
            "distance": network.distance,
            "network": network.name,
            "network_sha256": network.sha256,
            "resize": network.resize,
            "data": Path(data).resolve().name,
            "split": split,
            "crop": CROP,
            "resolution": size,
            "real_count": len(real),
            "fake_count": len(fake),
            "precision_recall_count": min(len(real), len(fake)),
            "neighbours": NEIGHBOURS,
            "kernel_subsets": SUBSETS,
            "kernel_subset_size": min(SUBSET_SIZE, min(len(real), len(fake)) // 2),
        },
        "evaluated": evaluated,
        "seed": seed,
        "real_faces_sha256": digest.hexdigest(),
        "results": distances(network(real), network(fake)),
        "versions": {name: version(name) for name in ("keras", "numpy", "pillow")},
    }


def _target(target, part):
    """Return (generator or None, what to write down about the target)."""
    path = Path(target)
    if (path / "settings.json").exists():
        from gan_course.training import run

        gan = run.load(path)
        generator = gan.ema_generator
        evaluated = {"kind": "run", "name": path.resolve().name, "step": int(gan.step)}
    elif path.exists():
        return None, {"kind": "folder", "name": path.resolve().name, "part": part}
    else:
        if pretrained.tells_attributes(str(target)):
            raise CourseError(
                f"'{target}' is an attribute network, not a generator; 'python -m gan_course attributes' "
                "reports how well such a network sees."
            )
        generator = pretrained.load(str(target))
        evaluated = {"kind": "shipped weights", "name": str(target)}
    if part != "all":
        raise CourseError(f"'{target}' has no part '{part}'; a part is of a folder of faces.")
    return generator, evaluated | {"weights_sha256": weights_sha256(generator)}


def _drawn(folder, resolution, part, count, seed):
    images, _ = pipeline.load(folder, resolution, part, crop=CROP)
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
    return images[rows]


def save(path, result):
    """Write what `evaluate` returned as JSON, so that no half-written file is ever seen."""
    with whole(path) as partial:
        partial.write_text(json.dumps(result, indent=1) + "\n")


def read(path):
    """Return what `save` wrote; raise `CourseError` for a file that is something else."""
    try:
        result = json.loads(Path(path).read_text())
        if not result["measure"] or not result["evaluated"]["name"]:
            raise KeyError("measure")
        [float(result["results"][name]) for name in ("frechet", "kernel", "kernel_error", "precision", "recall")]
    except FileNotFoundError:
        raise CourseError(f"There is no file '{path}'; give a result that 'evaluate --out' wrote.") from None
    except (ValueError, TypeError, KeyError) as error:
        raise CourseError(f"'{path}' is no result of 'evaluate --out' ({error!r}); measure again.") from error
    return result


def lines(*results):
    """Return the numbers of one or more results as lines of text, side by side.

    Results of another kind, network, resizing, split, resolution or count have no common scale: such a set raises
    `CourseError`. Real faces that are only not the same bytes (another Pillow wrote the cartoons) get a `CourseWarning`.
    """
    first = results[0]
    for other in results[1:]:
        for key in sorted({*first["measure"], *other["measure"]}):
            ours, theirs = (r["measure"].get(key, "nothing") for r in (first, other))
            if ours != theirs:
                names = first["evaluated"]["name"], other["evaluated"]["name"]
                raise CourseError(
                    f"The measurements of '{names[0]}' and '{names[1]}' cannot be compared, because {key} is "
                    f"{ours} in one and {theirs} in the other; measure both alike."
                )
        if first["real_faces_sha256"] != other["real_faces_sha256"]:
            text = f"The real faces of '{first['measure']['data']}' were not the same files in both measurements."
            warnings.warn(text, CourseWarning, stacklevel=2)
    m = first["measure"]
    rows = [("", [r["evaluated"]["name"] for r in results])]
    rows.append((m["distance"], [f"{r['results']['frechet']:.3f}" for r in results]))
    error = ["{kernel:.5f} +- {kernel_error:.5f}".format(**r["results"]) for r in results]
    rows.append(("kernel distance +- standard error", error))
    for name in ("precision", "recall"):
        rows.append((name, [f"{r['results'][name]:.3f}" for r in results]))
    wide = max(len(label) for label, _ in rows)
    widths = [max(len(cells[i]) for _, cells in rows) for i in range(len(results))]
    text = [
        f"{label:<{wide}}  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
        for label, cells in rows
    ]
    return text + [
        f"{m['fake_count']:,} faces against {m['real_count']:,} of {m['data']} ({m['split']}), "
        f"{m['resolution']}x{m['resolution']}, features of {m['network']}, resized {m['resize']}; "
        f"precision and recall from {m['precision_recall_count']:,} of each."
    ]


# --- during training ---------------------------------------------------------------------------------------


class Distance(keras.callbacks.Callback):
    """Measure the averaged generator at the end of every epoch in which `every` further steps were completed.

    The number is the one that `evaluate` gives for the same `count`, `split`, `features` and `seed`. It is added to
    the epoch's logs as `ffd` (`fid` for Inception-v3) when it was measured, and only then; so give this callback to
    `fit` *before* those that read it (`Log`, `LiveMonitor`). Training is not changed by it: its latent vectors are
    its own.

    `pause`: seconds that the measuring took in all, to leave out of a measured training time (see `Limit`).
    Raises `CourseError` at once for wrong values, unknown features and a part without faces.
    """

    def __init__(self, folder, every, count=2000, split="test", features="auto", seed=0):
        super().__init__()
        if every < 1:
            raise CourseError(f"The distance is to be measured every {every} steps; give 1 or more.")
        if count < 2:
            raise CourseError(f"The distance is to be measured on {count} faces; give 2 or more.")
        self.source = open_faces(folder)
        if len(self.source.split(split)) < 2:
            raise CourseError(f"The part '{split}' of '{folder}' has fewer than 2 faces; choose another part.")
        self.network = feature_network(features, folder)
        self.every, self.count, self.split, self.seed = every, count, split, seed
        self.real, self.last, self.pause = None, 0, 0.0

    def on_train_begin(self, logs=None):
        start = time.perf_counter()
        self.last = self.model.step // self.every
        if self.real is None:
            resolution = self.model.ema_generator.output_shape[1]
            self.real = self.network(real_pictures(self.source, resolution, self.split, self.count)[0])
        self.pause += time.perf_counter() - start

    def on_epoch_end(self, epoch, logs=None):
        done = self.model.step // self.every
        if done == self.last or not np.isfinite(list(logs.values())).all():
            return
        start = time.perf_counter()
        self.last = done
        fake = self.network(generate(self.model.ema_generator, self.count, self.seed))
        logs[self.network.short.lower()] = frechet_distance(self.real, fake)
        self.pause += time.perf_counter() - start
