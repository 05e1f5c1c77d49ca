"""Distances against independent arithmetic, and the networks whose features they compare."""

import math
import sys
import warnings

import numpy as np
import pytest

from gan_course import metrics  # first: it imports TensorFlow quietly
from gan_course.errors import CourseError
from gan_course.metrics import features
from gan_course.models import attributes

import keras  # isort: skip

clouds_module = sys.modules["gan_course.metrics.distances"]  # `metrics.distances` is the function


def clouds(n, m, d, seed=0):
    """Two sets of features as networks make them: not negative, correlated, of very different sizes."""
    random = np.random.default_rng(seed)
    mix = random.normal(size=(d, d)) * np.exp(-np.arange(d) / (d / 8))
    return np.maximum(random.normal(size=(n, d)) @ mix, 0), np.maximum(random.normal(size=(m, d)) @ mix + 0.1, 0)


# --- Frechet distance --------------------------------------------------------------------------------------


def by_sqrtm(a, b):
    """clean-fid's and torch-fidelity's way: the root of the product of the covariances, its real part."""
    from scipy.linalg import sqrtm

    c_a, c_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.trace(sqrtm(c_a @ c_b)).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c_a) + np.trace(c_b) - 2 * root


def by_eigenvalues(a, b):
    """tr (C_a C_b)^(1/2) = sum of the roots of the eigenvalues of C_a C_b."""
    c_a, c_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values = np.linalg.eigvals(c_a @ c_b).real
    root = np.sqrt(np.maximum(values, 0)).sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c_a) + np.trace(c_b) - 2 * root


@pytest.mark.parametrize("n, m, d", [(300, 200, 20), (500, 400, 1), (64, 64, 64), (40, 300, 60), (30, 50, 100)])
@pytest.mark.parametrize("other", [by_sqrtm, by_eigenvalues])
def test_frechet_agrees(n, m, d, other):
    """More pictures than features, as many, fewer in one set, fewer in both."""
    a, b = clouds(n, m, d) if d > 1 else (np.random.default_rng(1).normal(size=(x, 1)) for x in (n, m))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy: "Matrix is singular"
        expected = other(a, b) if d > 1 else (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert metrics.frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_dead_and_repeated_features():
    """Covariances without full rank although there are enough pictures."""
    a, b = clouds(200, 150, 10)
    distance = metrics.frechet_distance(a, b)
    zero = [np.hstack([x, np.zeros((len(x), 5))]) for x in (a, b)]
    assert metrics.frechet_distance(*zero) == pytest.approx(distance, rel=1e-12)
    double = [np.hstack([x, x]) for x in (a, b)]  # every length and every standard deviation times sqrt(2)
    assert metrics.frechet_distance(*double) == pytest.approx(2 * distance, rel=1e-10)


@pytest.mark.parametrize("smallest, by_qr", [(1e-2, False), (1e-6, True), (0.0, True)])
def test_small_directions_are_kept(smallest, by_qr, monkeypatch):
    """Two clouds that differ only in how wide one direction is; Cholesky's factor alone would lose it."""
    used = []
    qr = np.linalg.qr
    monkeypatch.setattr(np.linalg, "qr", lambda *rest, **more: used.append(1) or qr(*rest, **more))
    x = np.random.default_rng(0).normal(size=(50, 6))
    narrow = (x - x.mean(0)) * [1, 1, 1, 1, 1, smallest]
    factor = clouds_module._factor(narrow)
    assert bool(used) == by_qr and factor.shape == (6, 6)
    expected = np.linalg.svd(narrow, compute_uv=False)
    np.testing.assert_allclose(np.linalg.svd(factor, compute_uv=False), expected, rtol=1e-9, atol=1e-15)


def test_frechet_in_closed_form():
    """Clouds of the same shape: only the means count; one twice as wide: tr C as well."""
    a, _ = clouds(100, 2, 30)
    assert metrics.frechet_distance(a, a + 3.0) == pytest.approx(30 * 9.0, rel=1e-10)
    wide = a.mean(0) + 2 * (a - a.mean(0))
    assert metrics.frechet_distance(a, wide) == pytest.approx(a.var(0, ddof=1).sum(), rel=1e-10)
    assert 0.0 <= metrics.frechet_distance(a, a[::-1]) < 1e-10


def test_frechet_takes_float32_and_is_a_float():
    a, b = clouds(60, 50, 20)
    distance = metrics.frechet_distance(a.astype("float32"), b.astype("float32"))
    assert type(distance) is float and distance == pytest.approx(metrics.frechet_distance(a, b), rel=1e-5)


@pytest.mark.parametrize("measure", [metrics.frechet_distance, metrics.kernel_distance, metrics.precision_recall])
def test_wrong_features(measure):
    good = np.random.default_rng(0).normal(size=(9, 3))
    for value in (np.nan, np.inf):
        bad = good.copy()
        bad[4, 1] = value
        for pair in ((good, bad), (bad, good)):
            with pytest.raises(CourseError, match="NaN or infinity"):
                measure(*pair)
    for pair in ((good, good[:1]), (good[:0], good)):
        with pytest.raises(CourseError, match="give at least"):
            measure(*pair)
    for wrong in (good[:, :2], good[0], good[:, :0]):
        with pytest.raises(CourseError, match=r"shapes.*\(n, d\)"):
            measure(wrong, good)


def test_features_that_leave_float64():
    huge = np.random.default_rng(0).normal(size=(9, 3)) * 1e300
    for measure in (metrics.frechet_distance, metrics.kernel_distance):
        with pytest.raises(CourseError, match="too large"):
            measure(huge, huge + 1)


# --- kernel distance ---------------------------------------------------------------------------------------


def by_loops(x, y):
    """The unbiased squared MMD, pair by pair."""

    def mean(pairs):
        values = [(sum(p * q for p, q in zip(u, v, strict=True)) / len(u) + 1) ** 3 for u, v in pairs]
        return sum(values) / len(values)

    def within(z):
        return mean([(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])

    return within(x) + within(y) - 2 * mean([(u, v) for u in x for v in y])


def test_kernel_distance_agrees(monkeypatch):
    a, b = clouds(23, 19, 5)
    random = np.random.default_rng(3)
    chosen = [[random.choice(len(x), 8, replace=False) for _ in range(6)] for x in (a, b)]
    values = [by_loops(a[i], b[j]) for i, j in zip(*chosen, strict=True)]
    mean, error = metrics.kernel_distance(a, b, subsets=6, size=8, seed=3)
    assert mean == pytest.approx(np.mean(values), rel=1e-10)
    assert error == pytest.approx(np.std(values, ddof=1) * math.sqrt(8 / (19 - 8)), rel=1e-10)
    # In blocks that do not end where the pictures do, and subsets of at most half of the smaller set.
    blocks = clouds_module._kernel_sums
    monkeypatch.setattr(clouds_module, "_kernel_sums", lambda *rest: blocks(*rest, rows=7))
    assert metrics.kernel_distance(a, b, 6, 8, 3) == pytest.approx((mean, error), rel=1e-12)
    assert metrics.kernel_distance(a, b, 6, 9, 3) == metrics.kernel_distance(a, b, 6, 1000, 3)


def test_kernel_distance_is_unbiased_and_knows_its_error():
    """Drawn 100 times from normal distributions: the mean of all draws, and how far one is from it."""
    random = np.random.default_rng(5)
    for shift, low, high in ((0.0, 1.4, 2.1), (0.5, 0.7, 1.4)):  # sqrt(3) and 1
        draws = [
            metrics.kernel_distance(random.normal(size=(60, 4)), random.normal(size=(60, 4)) + shift, 60, 30, i)
            for i in range(100)
        ]
        means, errors = np.array(draws).T
        x, y = random.normal(size=(2, 4000, 4))
        expected = metrics.kernel_distance(x, y + shift, 20, 2000)[0] if shift else 0.0
        assert abs(means.mean() - expected) < 4 * means.std() / math.sqrt(100) + (0.02 if shift else 0)
        assert low < np.mean(errors) / means.std() < high
    assert means.mean() > 5 * means.std() / math.sqrt(100)  # the shift is seen


def test_wrong_subsets():
    a, b = clouds(20, 20, 4)
    for options in ({"subsets": 1}, {"subsets": 0}, {"size": 1}):
        with pytest.raises(CourseError, match="give at least 2"):
            metrics.kernel_distance(a, b, **options)
    with pytest.raises(CourseError, match="give at least 4"):
        metrics.kernel_distance(a[:3], b)


# --- precision and recall ----------------------------------------------------------------------------------


def share_by_loops(points, centres, k):
    inside = 0
    radii = [sorted(math.dist(c, o) for j, o in enumerate(centres) if j != i)[k - 1] for i, c in enumerate(centres)]
    for p in points:
        inside += any(math.dist(p, c) <= r for c, r in zip(centres, radii, strict=True))
    return inside / len(points)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_recall_agrees(k):
    random = np.random.default_rng(2)
    real, fake = random.normal(size=(60, 3)) + 100, random.normal(size=(45, 3)) * 0.6 + 100.5
    expected = share_by_loops(fake, real, k), share_by_loops(real, fake, k)
    assert metrics.precision_recall(real, fake, k) == pytest.approx(expected, abs=1e-12)
    assert 0 < expected[1] < expected[0] < 1


def test_precision_recall_in_blocks():
    """More points than a block has, against scikit-learn's neighbours."""
    from sklearn.neighbors import NearestNeighbors

    random = np.random.default_rng(2)
    real, fake = random.normal(size=(1100, 4)), random.normal(size=(1050, 4)) * 0.7 + 0.5
    for points, centres, ours in zip((fake, real), (real, fake), metrics.precision_recall(real, fake), strict=True):
        radii = NearestNeighbors(n_neighbors=3).fit(centres).kneighbors()[0][:, -1]
        far = np.sqrt(((points[:, None] - centres) ** 2).sum(-1))
        assert ours == pytest.approx((far <= radii).any(1).mean(), abs=1e-12)


def test_precision_recall_of_known_failures():
    random = np.random.default_rng(4)
    real = random.normal(size=(300, 6))
    assert metrics.precision_recall(real, real) == (1.0, 1.0)
    assert metrics.precision_recall(real, real + 100) == (0.0, 0.0)
    collapsed = real[0] + random.normal(size=(300, 6)) * 1e-3
    precision, recall = metrics.precision_recall(real, collapsed)
    assert precision == 1.0 and recall <= 0.01
    noise = random.normal(size=(300, 6)) * 4
    precision, recall = metrics.precision_recall(real, noise)
    assert precision < 0.3 and recall > 0.7
    for k in (0, 300):
        with pytest.raises(CourseError):
            metrics.precision_recall(real, real, k)


# --- resizing ----------------------------------------------------------------------------------------------


def test_resizing_down_is_clean():
    """Stripes of one pixel turn grey; taking every other pixel would make them black or white."""
    stripes = np.zeros((1, 128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    grey = metrics.resize(stripes, 64)
    assert grey.shape == (1, 64, 64, 3) and grey.dtype == np.float32
    assert np.abs(grey[0, 4:-4] - 127.5).max() < 1.0


@pytest.mark.parametrize("size, new", [((96, 96), 64), ((178, 218), 64), ((64, 64), 75)])
def test_resizing_agrees_with_tensorflow(size, new):
    """Another implementation of the same bicubic filter, up and down; channels apart, nothing rounded."""
    pictures = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    expected = keras.ops.image.resize(pictures.astype("float32"), (new, new), "bicubic", antialias=True)
    found = metrics.resize(pictures, new)
    np.testing.assert_allclose(found, np.clip(np.asarray(expected), 0, 255), atol=0.01)
    assert np.abs(found - np.rint(found)).mean() > 0.1


def test_pictures_of_the_size_stay():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(metrics.resize(pictures, 64), pictures)


# --- feature networks --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge():
    keras.utils.set_random_seed(1)
    return attributes.build(["Smiling", "Male"], width=2, resolution=32)


def test_face_features(judge):
    features = metrics.FaceFeatures(judge)
    assert features.short == "FFD" and features.distance == "face-feature Frechet distance (FFD)"
    assert "32x32" in features.resize and "antialias" in features.resize
    pictures = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    found = features(pictures, batch_size=3)
    expected = attributes.feature_extractor(judge)(pictures / np.float32(127.5) - 1, training=False)
    assert found.shape == (7, 16) and found.dtype == np.float64 and found.std() > 0
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-4, atol=1e-6)
    # Float pictures are rounded to the same bytes; other sizes are resized.
    floats = pictures / 127.5 - 1 + np.random.default_rng(1).uniform(-0.003, 0.003, pictures.shape)
    np.testing.assert_array_equal(features(floats.astype("float32"), batch_size=3), found)
    large = pictures.repeat(2, axis=1).repeat(2, axis=2)
    by_hand = features(np.rint(metrics.resize(large, 32)).astype(np.uint8))
    np.testing.assert_allclose(features(large), by_hand, atol=0.05 * found.std())


def test_the_sha256_is_of_the_weights(judge):
    before = metrics.FaceFeatures(judge).sha256
    assert before == metrics.FaceFeatures(judge).sha256 and len(before) == 64
    other = keras.models.clone_model(judge)
    assert metrics.weights_sha256(other) != metrics.weights_sha256(judge)
    other.set_weights(judge.get_weights())
    assert metrics.weights_sha256(other) == metrics.weights_sha256(judge)


def test_wrong_pictures(judge):
    features = metrics.FaceFeatures(judge)
    for shape in ((32, 32, 3), (2, 32, 32, 1), (0, 32, 32, 3)):
        with pytest.raises(CourseError, match=r"\(n, h, w, 3\)"):
            features(np.zeros(shape, "float32"))
    with pytest.raises(CourseError, match="NaN"):
        features(np.full((2, 32, 32, 3), np.nan, "float32"))


def test_a_generator_has_no_features():
    with pytest.raises(CourseError, match="'dcgan-toon-64' is no attribute network"):
        metrics.FaceFeatures("dcgan-toon-64")


def inception(**options):
    """A small network in the place of Inception-v3, with its input and the kind of its output."""
    assert options == {"include_top": False, "pooling": "avg", "weights": "imagenet"}
    picture = keras.Input((None, None, 3))
    return keras.Model(picture, keras.layers.GlobalAveragePooling2D()(picture))


def test_inception_features(monkeypatch):
    monkeypatch.setattr(keras.applications, "InceptionV3", inception)
    features = metrics.InceptionFeatures()
    assert features.short == "FID" and "Keras Inception-v3" in features.distance and "299x299" in features.resize
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    seen = []
    usual = features.model.predict_on_batch
    monkeypatch.setattr(features.model, "predict_on_batch", lambda x: seen.append(x) or usual(x))
    # The colours' means survive the resizing: it is scaled to [-1, 1], not to [0, 1] or [0, 255].
    np.testing.assert_allclose(features(pictures), pictures.mean((1, 2)) / 127.5 - 1, atol=0.01)
    assert seen[0].shape == (3, 299, 299, 3) and -1 <= seen[0].min() < -0.9 and 0.9 < seen[0].max() <= 1


def test_inception_without_internet(monkeypatch):
    def fails(**options):
        raise Exception("URL fetch failure on https://storage.example: None -- [Errno -2] Name or service not known\nx")

    monkeypatch.setattr(keras.applications, "InceptionV3", fails)
    with pytest.raises(CourseError, match="weights cannot be had .*connect to the internet.*face features") as error:
        metrics.InceptionFeatures()
    assert "\n" not in str(error.value)


def test_features_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr(features, "FaceFeatures", lambda name: name)
    monkeypatch.setattr(features, "InceptionFeatures", lambda: "inception")
    assert metrics.feature_network("auto", tmp_path) == "attributes-celeba-judge"
    assert metrics.feature_network("toon", tmp_path) == "attributes-toon-judge"
    (tmp_path / "toon.json").write_text("{}")
    assert metrics.feature_network("auto", tmp_path) == "attributes-toon-judge"
    assert metrics.feature_network("celeba", tmp_path) == "attributes-celeba-judge"
    assert metrics.feature_network("inception", tmp_path) == "inception"
    assert metrics.feature_network("my-judge", tmp_path) == "my-judge"
