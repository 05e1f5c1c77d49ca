"""Faces to batches: crops to the pixel, the cache, the order of batches, and users' mistakes."""

import io
import json
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_course.data import pipeline
from gan_course.data.pipeline import crop_box, faces, load
from gan_course.errors import CourseError, CourseWarning

REAL = os.environ.get("GAN_COURSE_REAL_FACES")


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Caches go to a folder of this test."""
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def coordinates(width, height):
    """A picture whose red is x and whose green is y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 7)], -1).astype(np.uint8)


def write(path, pixels):
    """Write a PNG under any name: no pixel changes, and Pillow looks at the bytes, not at the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")


def left_bright(value, size=16):
    """A square picture of one blue value, red on the left half only: shows who it is and if mirrored."""
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[..., 2] = value
    pixels[:, : size // 2, 0] = 255
    return pixels


@pytest.fixture
def people(tmp_path):
    """A CelebA folder of 23 faces: face i has blue value 10 i; Male is i odd, Young is i above 10."""
    folder = tmp_path / "people"
    rows = []
    for i in range(1, 24):
        write(folder / "img_align_celeba" / f"{i:06}.jpg", left_bright(10 * i))
        rows.append(f"{i:06}.jpg {1 if i % 2 else -1} {1 if i > 10 else -1}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(["23", "Male Young", *rows]) + "\n")
    parts = [f"{i:06}.jpg {0 if i <= 20 else i - 20 if i < 23 else 2}" for i in range(1, 24)]
    (folder / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    return folder


def take(dataset, count):
    return list(dataset.take(count).as_numpy_iterator())


def who(images):
    """Return the numbers of the faces in a batch of the folder `people`."""
    return np.rint((images[:, 0, 0, 2] + 1) * 127.5 / 10).astype(int)


# --- crops ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((178, 218), (0, 20, 178, 198)),
        ((89, 109), (0, 10, 89, 99)),
        ((128, 128), (0, 0, 128, 128)),
        ((200, 120), (40, 0, 160, 120)),
    ],
)
def test_square_crop_to_the_pixel(tmp_path, size, box):
    assert crop_box(*size) == box
    folder = tmp_path / "faces" / "img_align_celeba"
    write(folder / "000001.jpg", coordinates(*size))
    side = box[2] - box[0]
    images, names = load(folder.parent, side, "all")  # no resize: the very pixels
    left, upper, right, lower = box
    assert np.array_equal(images[0], coordinates(*size)[upper:lower, left:right])
    assert list(names) == ["000001.jpg"]

    small = 32  # the centre of each small pixel lies where the large picture has it
    images, _ = load(folder.parent, small, "all")
    centres = (np.arange(small) + 0.5) * side / small - 0.5
    inner = slice(2, -2)  # a wide filter at the edge sees one side only
    np.testing.assert_allclose(images[0, 5, inner, 0], (left + centres)[inner], atol=0.6)
    np.testing.assert_allclose(images[0, inner, 5, 1], (upper + centres)[inner], atol=0.6)


def test_half_size_copy_gives_the_same_view(tmp_path):
    y, x = np.mgrid[:218, :178] / 218
    smooth = np.stack([np.sin(9 * x + 4 * y), np.cos(7 * y), np.sin(5 * x * y)], -1)
    whole = Image.fromarray(np.uint8(127.5 * smooth + 127.5))
    write(tmp_path / "whole" / "000001.jpg", np.asarray(whole))
    write(tmp_path / "half" / "000001.jpg", np.asarray(whole.resize((89, 109), Image.Resampling.BOX)))
    a, b = (load(tmp_path / name, 32, "all")[0].astype(float) for name in ("whole", "half"))
    assert np.abs(a - b).mean() < 1


@pytest.mark.skipif(not REAL, reason="GAN_COURSE_REAL_FACES is not set")
def test_real_faces_at_both_sizes():
    whole, names = load(f"{REAL}/celeba_fullres/img_align_celeba.zip", 64, "all", limit=200)
    half, same = load(f"{REAL}/celeba_half", 64, "all", limit=200)
    assert list(names) == list(same)
    whole, half = whole.astype(float), half.astype(float)
    assert np.abs(whole - half).mean() < 5  # of 255; the half-size JPEGs have lost some detail
    right, left, down, up = (
        np.abs(a - b).mean()  # what a crop wrong by one pixel would cost
        for a, b in (
            (whole[:, :, 1:], half[:, :, :-1]),
            (whole[:, :, :-1], half[:, :, 1:]),
            (whole[:, 1:], half[:, :-1]),
            (whole[:, :-1], half[:, 1:]),
        )
    )
    assert np.abs(whole - half).mean() < min(right, left, down, up) / 2
    assert abs(right / left - 1) < 0.01 and abs(down / up - 1) < 0.01  # not off by part of a pixel either


def test_resize_is_antialiased(tmp_path):
    stripes = np.zeros((218, 178, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than 64 pixels can show: must turn grey
    write(tmp_path / "faces" / "000001.jpg", stripes)
    images, _ = load(tmp_path / "faces", 64, "all")
    assert np.abs(images[0, :, 2:-2].astype(int) - 127).max() < 12


def test_grey_and_transparent_pictures_become_rgb(tmp_path):
    write(tmp_path / "faces" / "000001.jpg", np.full((20, 20), 90, np.uint8))
    write(tmp_path / "faces" / "000002.jpg", np.full((20, 20, 4), 90, np.uint8))
    images, _ = load(tmp_path / "faces", 8, "all")
    assert images.shape == (2, 8, 8, 3) and (images == 90).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_phone_photographs_lie_upright(tmp_path, orientation, kind):
    """A camera stores what its sensor saw, and says in EXIF how it was held."""
    upright = Image.fromarray(coordinates(40, 40))
    T = Image.Transpose  # what the sensor saw, for each orientation
    turns = [None, None, T.FLIP_LEFT_RIGHT, T.ROTATE_180, T.FLIP_TOP_BOTTOM, T.TRANSPOSE, T.ROTATE_90, T.TRANSVERSE,
             T.ROTATE_270]  # fmt: skip
    stored = upright if turns[orientation] is None else upright.transpose(turns[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "faces").mkdir()
    stored.save(tmp_path / "faces" / "me.jpg", kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))
    images, _ = load(tmp_path / "faces", 40, "all")
    assert np.abs(images[0].astype(int) - coordinates(40, 40)).max() < 8
    data = (tmp_path / "faces" / "me.jpg").read_bytes()
    if kind == "JPEG":
        (tmp_path / "faces" / "me.jpg").write_bytes(data[:-300])  # still broken, not half a face
        with pytest.raises(CourseError, match="1 broken: me.jpg"):
            load(tmp_path / "faces", 40, "all")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_is_no_damaged_picture(tmp_path):
    write(tmp_path / "faces" / "b.jpg", coordinates(40, 40))
    for number, exif in enumerate(
        [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 9]
    ):
        Image.fromarray(coordinates(40, 40)).save(tmp_path / "faces" / f"{number}.jpg", "JPEG", exif=exif)
    assert len(load(tmp_path / "faces", 8, "all")[1]) == 4


@pytest.mark.parametrize("kind", ["EPS", "WEBP", "GIF", "BMP", "TIFF", "PPM", "PDF"])
def test_only_jpeg_and_png_are_opened(tmp_path, kind, monkeypatch):
    """Above all PostScript, which Pillow hands to Ghostscript."""
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was asked"))
    write(tmp_path / "faces" / "000001.jpg", coordinates(20, 20))
    Image.fromarray(coordinates(20, 20)).save(tmp_path / "faces" / "000002.jpg", kind)
    with pytest.warns(CourseWarning, match="1 of 2 pictures .* are broken and skipped: 000002.jpg"):
        assert load(tmp_path / "faces", 8, "all")[1].tolist() == ["000001.jpg"]


# --- batches -------------------------------------------------------------------------------------------


def test_batches(people):
    dataset = faces(people, 16, 6, attributes=["Young", "Male"])
    assert (dataset.image_count, dataset.steps_per_epoch) == (20, 3)
    assert dataset.element_spec[0] == tf.TensorSpec((6, 16, 16, 3), tf.float32)
    batches = take(dataset, 12)
    x = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    assert x.min() == -1 and x.max() == 1 and x.dtype == np.float32
    assert labels.dtype == np.float32 and labels.shape == (72, 2)
    assert np.array_equal(labels[:, 0], who(x) > 10) and np.array_equal(labels[:, 1], who(x) % 2 == 1)
    epochs = who(x).reshape(4, 18)
    assert all(len(set(epoch)) == 18 for epoch in epochs)  # each face at most once
    assert len({tuple(epoch) for epoch in epochs}) == 4  # in another order each time
    assert set(epochs.ravel()) == set(range(1, 21))  # and the left-out ones change; none of val and test
    one_name = faces(people, 16, 6, attributes="Male")
    assert one_name.element_spec[1].shape == (6, 1)


def test_fit(people):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(loss="mse")
    dataset = faces(people, 8, 4, attributes=["Male"])
    history = model.fit(dataset, steps_per_epoch=dataset.steps_per_epoch, epochs=2, shuffle=False, verbose=0)
    assert len(history.history["loss"]) == 2


def test_mirror(people):
    x = np.concatenate(take(faces(people, 16, 20, seed=3), 100))
    mirrored = x[:, 0, 0, 0] < 0
    assert abs(mirrored.mean() - 0.5) < 0.05  # 2,000 throws: three standard deviations are 0.034
    assert np.array_equal(
        x[mirrored][:, :, ::-1, 0], np.broadcast_to(x[~mirrored][0, :, :, 0], (mirrored.sum(), 16, 16))
    )
    each = [mirrored[who(x) == face].mean() for face in range(1, 21)]
    assert min(each) > 0.25 and max(each) < 0.75  # every face is seen both ways
    assert not (np.concatenate(take(faces(people, 16, 20, mirror=False), 20))[:, 0, 0, 0] < 0).any()


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_start_step_goes_on_with_the_same_stream(people, cache):
    def batches(count, **options):
        return take(faces(people, 16, 6, attributes=["Male"], seed=5, cache=cache, **options), count)

    whole = batches(14)
    for start in (0, 1, 3, 7, 9):  # steps_per_epoch is 3
        for ours, theirs in zip(batches(14 - start, start_step=start), whole[start:], strict=True):
            assert np.array_equal(ours[0], theirs[0]) and np.array_equal(ours[1], theirs[1])
    far = batches(2, start_step=3 * 10**12 + 1)  # at no cost
    assert far[0][0].shape == (6, 16, 16, 3)
    other = take(faces(people, 16, 6, seed=6, cache=cache), 1)
    assert not np.array_equal(other[0], whole[0][0])


def test_memory_and_disk_give_the_same_batches(people):
    a, b = (take(faces(people, 16, 4, cache=cache), 7) for cache in ("memory", "disk"))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_orders_do_not_repeat(people):
    x = np.concatenate(take(faces(people, 4, 20, mirror=False), 600))
    assert len({tuple(epoch) for epoch in who(x).reshape(600, 20)}) == 600


def test_two_replicas(people):
    """Two logical CPU devices share each batch; the devices must be made before TensorFlow starts."""
    code = f"""
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from gan_course.data.pipeline import faces
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
dataset = faces({str(people)!r}, 16, 6)
for both, whole in zip(strategy.experimental_distribute_dataset(dataset), dataset.take(7)):
    parts = strategy.experimental_local_results(both)
    assert [part.shape[0] for part in parts] == [3, 3]
    assert bool(tf.reduce_all(tf.concat(parts, 0) == whole))
print("same")
"""
    root = Path(pipeline.__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert result.stdout == "same\n", result.stderr[-2000:]


# --- cache ---------------------------------------------------------------------------------------------


def forbid_decoding(monkeypatch):
    def fail(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(pipeline, "_decode", fail)


def test_disk_cache_is_used_again(people, data_folder, monkeypatch):
    first, names = load(people, 8, cache="disk")
    assert isinstance(first, np.memmap) and first.dtype == np.uint8 and not first.flags.writeable
    assert [path.name for path in (data_folder / "cache").glob("*/*")] != []
    assert not list(data_folder.glob("cache/*.partial"))
    forbid_decoding(monkeypatch)
    again, same = load(people, 8, cache="disk")
    assert np.array_equal(first, again) and np.array_equal(names, same)


@pytest.mark.parametrize("change", ["file", "resolution", "part", "limit", "damage", "cut", "no names"])
def test_disk_cache_is_made_anew(people, data_folder, change):
    before, _ = load(people, 8, cache="disk")
    before = np.array(before)
    options = {}
    (kept,) = (data_folder / "cache").iterdir()
    if change == "file":
        write(people / "img_align_celeba" / "000003.jpg", np.full((109, 89, 3), 200, np.uint8))
    elif change == "damage":
        (kept / "images.npy").write_bytes(b"no array")
    elif change == "cut":
        os.truncate(kept / "images.npy", 300)
    elif change == "no names":
        (kept / "names.json").unlink()
    else:
        options = {change: {"resolution": 9, "part": "val", "limit": 4}[change]}
    after, names = load(people, cache="disk", **{"resolution": 8, **options})
    fresh, fresh_names = load(people, cache="memory", **{"resolution": 8, **options})
    assert np.array_equal(after, fresh) and np.array_equal(names, fresh_names)
    if change == "file":
        assert (after[2] == 200).all() and not np.array_equal(before, after)


def test_auto_keeps_a_file_for_many_faces_only(people, data_folder, monkeypatch):
    assert not isinstance(load(people, 8)[0], np.memmap)
    assert not (data_folder / "cache").exists()
    monkeypatch.setattr(pipeline, "KEEP_FILE_ABOVE", 10)
    images, _ = load(people, 8)
    assert not isinstance(images, np.memmap) and len(list((data_folder / "cache").iterdir())) == 1
    memory = pipeline.psutil.virtual_memory()._replace(available=4 * images.nbytes - 1)
    monkeypatch.setattr(pipeline.psutil, "virtual_memory", lambda: memory)
    forbid_decoding(monkeypatch)
    mapped, _ = load(people, 8)
    assert isinstance(mapped, np.memmap) and np.array_equal(mapped, images)


def test_cache_folder_that_cannot_be_written(people, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "file"))
    monkeypatch.setattr(pipeline, "KEEP_FILE_ABOVE", 10)
    assert len(load(people, 8)[1]) == 20  # auto does without
    with pytest.raises(CourseError, match="set GAN_COURSE_DATA"):
        load(people, 8, cache="disk")


# --- broken pictures and other input -------------------------------------------------------------------


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_broken_pictures_are_named_once_and_skipped(people, cache):
    images = people / "img_align_celeba"
    (images / "000002.jpg").write_bytes(b"")
    (images / "000004.jpg").write_bytes(b"<html>quota exceeded</html>")
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(buffer, "JPEG")
    (images / "000006.jpg").write_bytes(buffer.getvalue()[:700])  # a download that stopped
    (images / "000007.jpg").write_bytes((images / "000007.jpg").read_bytes()[:-40])
    for _ in range(2):  # the second time from the cache
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dataset = faces(people, 16, 16, attributes=["Male"], cache=cache)
        (warning,) = [w for w in caught if issubclass(w.category, CourseWarning)]
        assert "4 of 20 pictures" in str(warning.message)
        assert "000002.jpg, 000004.jpg, 000006.jpg and others" in str(warning.message)
        assert dataset.image_count == 16
        ((x, labels),) = take(dataset, 1)
        assert sorted(who(x)) == [1, 3, 5, *range(8, 21)]
        assert np.array_equal(labels[:, 0], who(x) % 2)  # labels follow the faces that are left


def test_random_damage_never_ends_in_another_error(tmp_path):
    generator = np.random.default_rng(1)
    buffer = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (40, 40, 3), np.uint8)).save(buffer, "JPEG")
    good = np.frombuffer(buffer.getvalue(), np.uint8)
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(300):
        bad = good[: generator.integers(1, len(good))].copy() if i % 2 else good.copy()
        bad[generator.integers(0, len(bad), 3)] = generator.integers(0, 256, 3)
        (folder / f"{i:06}.jpg").write_bytes(bad.tobytes())
    with pytest.warns(CourseWarning, match="of 300 pictures"):
        images, names = load(folder, 8, "all")
    assert 0 < len(names) < 300 and len(images) == len(names)


def test_all_broken(tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "000001.jpg").write_bytes(b"no picture")
    for cache in pipeline.CACHES:
        with pytest.raises(CourseError, match=r"No picture of .* \(1 broken: 000001.jpg\); copy them again"):
            load(tmp_path / "faces", 8, "all", cache=cache)


def test_zip(people, tmp_path):
    archive = tmp_path / "img_align_celeba.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for image in sorted((people / "img_align_celeba").iterdir()):
            file.write(image, f"img_align_celeba/{image.name}")
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (tmp_path / name).write_bytes((people / name).read_bytes())
    expected, names = load(people, 8)
    for cache in ("memory", "disk", "disk"):
        images, same = load(archive, 8, cache=cache)
        assert np.array_equal(images, expected) and np.array_equal(names, same)
    assert faces(archive, 8, 5, attributes=["Male"]).image_count == 20


def test_folders_of_people(tmp_path):
    for i in range(12):
        write(tmp_path / "lfw" / f"Ada_{i}" / "0001.jpg", left_bright(10 * i))
    expected, names = load(tmp_path / "lfw", 8, "all", cache="memory")
    assert sorted(names) == sorted(f"Ada_{i}/0001.jpg" for i in range(12))
    for _ in range(2):
        images, same = load(tmp_path / "lfw", 8, "all", cache="disk")
        assert np.array_equal(images, expected) and list(names) == list(same)


def test_limit_takes_the_first_names(people):
    images, names = load(people, 8, limit=7)
    assert list(names) == [f"{i:06}.jpg" for i in range(1, 8)] and len(images) == 7
    assert load(people, 8, "val")[1].tolist() == ["000021.jpg"]
    assert len(load(pipeline.open_faces(people), 8, "all")[1]) == 23  # an opened folder will do


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folder": "no/such/folder"}, "no/such/folder"),
        ({"resolution": 3}, "resolution is 3"),
        ({"resolution": 8.5}, "resolution is 8.5"),
        ({"batch_size": 21}, r"fewer than one batch of faces \(faces 20, batch_size 21\); add more faces or make"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"start_step": -1}, "start_step is -1"),
        ({"part": "training"}, "training"),
        ({"attributes": ["Smiling"]}, "Smiling"),
        ({"limit": 0}, "limit is 0"),
        ({"cache": "ram"}, "no cache 'ram'"),
    ],
)
def test_mistakes_get_one_sentence(people, options, message):
    with pytest.raises(CourseError, match=message) as caught:
        faces(**{"folder": people, "resolution": 8, "batch_size": 4, **options})
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")


def test_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match="empty"):
        load(tmp_path / "empty", 8)


def test_empty_part(people):
    (people / "list_eval_partition.txt").unlink()
    for image in (people / "img_align_celeba").iterdir():
        if image.name != "000001.jpg":
            image.unlink()
    opened = pipeline.open_faces(people)
    (empty, *_) = [part for part in ("train", "val", "test") if len(opened.split(part)) == 0]
    with pytest.raises(CourseError, match=rf"no face in its part {empty} \(faces: .*{empty} 0.*\); add more faces"):
        load(people, 8, empty)


def test_cache_holds_plain_files(people, data_folder):
    """Anyone can look into a cache with NumPy and a text editor."""
    images, names = load(people, 8, cache="disk")
    (kept,) = (data_folder / "cache").iterdir()
    assert np.array_equal(np.load(kept / "images.npy"), images)
    assert json.loads((kept / "names.json").read_text()) == {"names": list(names), "broken": []}
