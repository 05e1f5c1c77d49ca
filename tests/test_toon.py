"""The cartoon faces: labels are true, files are CelebA's, and nothing is lost, mixed or half written."""

import io
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from gan_course.data import toon
from gan_course.errors import CourseError, CourseWarning

CELEBA = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair "
    "Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup "
    "High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose "
    "Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat "
    "Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young"
).split()
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
PLAIN = {
    "male": False, "young": True, "skin": "light", "top": "shortFlat", "hair": "brown", "facial_hair": "none",
    "glasses": "none", "lipstick": False, "earrings": False, "cheeks": False, "bags": False, "brows": "plain",
    "mouth": "serious", "eyes": "open",
}  # fmt: skip


def pixels(index=1, **changes):
    """A plain face with some factors changed, 128x128, as int (height, width, 3)."""
    return np.asarray(toon.picture(PLAIN | changes, 0, index, 128)).astype(int)


def patch(index, x, y, r=2, **changes):
    """The median colour of face `index` about a point of the style's own 280x280 canvas (chin: 140, 190)."""
    look = toon.options(PLAIN, 0, index)
    turn = np.radians(look["rotate"])
    dx, dy = (x - 140) * look["scale"], (y - 140) * look["scale"]
    x = 140 + np.cos(turn) * dx - np.sin(turn) * dy + 2.8 * look["translateX"]
    y = 140 + np.sin(turn) * dx + np.cos(turn) * dy + 2.8 * look["translateY"]
    x, y = round(x * 128 / 280), round(y * 128 / 280)
    return np.median(pixels(index, **changes)[y - r : y + r + 1, x - r : x + r + 1].reshape(-1, 3), axis=0)


def nearest(colour, palette):
    return min(palette, key=lambda name: np.abs(toon._rgb(palette[name]) - colour).sum())


def images(folder):
    return {p.name: p.read_bytes() for p in (folder / toon.IMAGES).iterdir()}


def table(folder):
    """list_attr_celeba.txt read by hand: names of attributes, {file: values}."""
    count, names, *rows = (folder / "list_attr_celeba.txt").read_text().splitlines()
    assert int(count) == len(rows)
    return names.split(), {row.split()[0]: [int(v) for v in row.split()[1:]] for row in rows}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toon.render(tmp_path_factory.mktemp("faces") / "toon", count=40, seed=3)


# --- the files ---------------------------------------------------------------------------------------


def test_the_folder_is_celebas(folder):
    names, rows = table(folder)
    assert len(names) >= 20 and names == [n for n in CELEBA if n in names]  # official names, official order
    assert set(toon.ATTRIBUTE_RULES) == set(names)
    files = sorted(p.name for p in (folder / toon.IMAGES).iterdir())
    assert files == sorted(rows) == [f"{i:06d}.jpg" for i in range(1, 41)]
    assert all(set(values) <= {-1, 1} and len(values) == len(names) for values in rows.values())
    for name in files:
        image = Image.open(folder / toon.IMAGES / name)
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (128, 128))
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4
    identity = [line.split() for line in (folder / "identity_CelebA.txt").read_text().splitlines()]
    assert [name for name, _ in identity] == files and len({who for _, who in identity}) == 40


def test_labels_in_the_file_are_the_drawn_ones(folder):
    names, rows = table(folder)
    for index in (1, 17, 40):
        true = toon.labels(toon.draw(3, index))
        assert rows[f"{index:06d}.jpg"] == [1 if true[n] else -1 for n in names]


def test_partition(folder):
    parts = [int(line.split()[1]) for line in (folder / "list_eval_partition.txt").read_text().splitlines()]
    assert parts == [0] * 32 + [1] * 4 + [2] * 4
    assert toon._part(1, 1) == 0
    assert np.bincount([toon._part(i, 12000) for i in range(1, 12001)]).tolist() == [9600, 1200, 1200]


def test_a_face_depends_on_seed_and_index_only(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(toon, "ALONE", 0)  # so that 40 faces go through real processes
    two = toon.render(tmp_path / "two", count=40, seed=3, workers=2)
    few = toon.render(tmp_path / "few", count=7, seed=3, workers=1)
    other = toon.render(tmp_path / "other", count=7, seed=4, workers=1)
    assert images(two) == images(folder)
    assert table(two) == table(folder)
    assert images(few).items() <= images(folder).items()
    assert not set(images(other).values()) & set(images(few).values())


def test_the_default_faces_do_not_change():
    # Trained weights are shipped for these faces: raise toon.VERSION if this has to change.
    faces = [toon.draw(0, i) for i in range(1, 2001)]
    assert [f["top"] for f in faces[:4]] == ["straight01", "curly", "straight02", "shaggy"]
    assert sum(f["male"] for f in faces) == 924


# --- interrupted, damaged, mixed ---------------------------------------------------------------------


def test_killed_render_goes_on(folder, tmp_path):
    out = tmp_path / "toon"
    code = f"from gan_course.data import toon; toon.render({str(out)!r}, count=40, seed=3, workers=1)"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=toon.settings.ROOT)
    limit = time.monotonic() + 120  # a busy machine imports slowly
    done = "[0-9]*.jpg"  # an image that is being written has a name that begins with a dot, which * matches too
    while len(list((out / toon.IMAGES).glob(done) if out.exists() else ())) < 8:
        assert time.monotonic() < limit and child.poll() is None
        time.sleep(0.002)
    child.kill()
    child.wait()
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (out / toon.IMAGES).glob(done)}
    assert 8 <= len(before) < 40
    for _, data in before.values():
        Image.open(io.BytesIO(data)).load()  # whole
    assert not any((out / name).exists() for name in toon.ANNOTATIONS)
    stale = out / toon.IMAGES / ".000009.1.jpg"  # what a kill may leave behind
    stale.write_bytes(b"half")
    os.utime(stale, (1, 1))
    toon.ensure(out)  # goes on with the folder's own count and seed
    assert images(out) == images(folder) and table(out) == table(folder)
    assert all((out / toon.IMAGES / name).stat().st_mtime_ns == when for name, (when, _) in before.items())


def test_interrupted_annotation_goes_on(tmp_path, monkeypatch):
    out, whole = tmp_path / "toon", toon.atomic_write

    def stop(path):
        if path.name == "list_attr_celeba.txt":
            raise KeyboardInterrupt
        return whole(path)

    monkeypatch.setattr(toon, "atomic_write", stop)
    with pytest.raises(KeyboardInterrupt):
        toon.render(out, count=3, resolution=16)
    assert not (out / "list_attr_celeba.txt").exists()
    monkeypatch.undo()
    toon.render(out, count=3, resolution=16)
    assert len(table(out)[1]) == 3


def test_a_lost_or_empty_image_is_drawn_again(folder, tmp_path):
    out = toon.render(tmp_path / "toon", count=7, seed=3)
    whole = images(out)
    (out / toon.IMAGES / "000002.jpg").unlink()
    (out / toon.IMAGES / "000005.jpg").write_bytes(b"")
    toon.ensure(out)
    assert images(out) == whole


@pytest.mark.parametrize("other", [{"seed": 1}, {"resolution": 32}, {"count": 4}])
def test_settings_are_not_mixed(tmp_path, other):
    same = {"count": 3, "seed": 0, "resolution": 16}
    out = toon.render(tmp_path / "toon", **same)
    before = images(out)
    with pytest.raises(CourseError, match=r"toon\.json"):
        toon.render(out, **same | other)
    assert images(out) == before


def test_another_version_is_not_mixed(tmp_path, monkeypatch):
    out = toon.render(tmp_path / "toon", count=2, resolution=16)
    monkeypatch.setattr(toon, "VERSION", toon.VERSION + 1)
    with pytest.raises(CourseError, match="version=1"):
        toon.ensure(out)


def test_folders_that_are_not_ours(tmp_path):
    (tmp_path / "celeba" / toon.IMAGES).mkdir(parents=True)
    with pytest.raises(CourseError, match="other images"):
        toon.render(tmp_path / "celeba", count=2)
    for own in ("me.jpg", "holiday/IMG_1.JPG", "img_align_celeba/me.png"):
        path = tmp_path / own.replace("/", "-") / own
        path.parent.mkdir(parents=True)
        path.write_bytes(b"mine")
        with pytest.raises(CourseError, match=rf"other images \(such as .*{path.name}\).*give another folder"):
            toon.render(tmp_path / own.replace("/", "-"), count=2)
        assert [p for p in (tmp_path / own.replace("/", "-")).rglob("*") if p.is_file()] == [path]
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(CourseError, match="file"):
            toon.render(out, count=2)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "toon.json").write_text("{")
    with pytest.raises(CourseError, match=r"toon\.json"):
        toon.ensure(tmp_path / "broken")


@pytest.mark.parametrize(
    "wrong",
    [{"count": 0}, {"count": 1_000_000}, {"count": 2.5}, {"seed": -1}, {"resolution": 4}, {"workers": 0}],
)
def test_wrong_numbers(tmp_path, wrong):
    with pytest.raises(CourseError, match=f"{next(iter(wrong))} is"):
        toon.render(tmp_path / "toon", **wrong)
    assert not (tmp_path / "toon").exists()


def test_one_process_goes_on_when_others_end(tmp_path, monkeypatch):
    class Broken:
        def __init__(self, *_, **__):
            pass

        def submit(self, *_):
            raise toon.BrokenProcessPool

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(toon, "ALONE", 0)
    monkeypatch.setattr(toon, "ProcessPoolExecutor", Broken)
    with pytest.warns(CourseWarning, match="one goes on"):
        out = toon.render(tmp_path / "toon", count=3, resolution=16, workers=2)
    assert len(images(out)) == 3


def test_ensure(tmp_path, monkeypatch):
    monkeypatch.delenv("GAN_COURSE_FACES", raising=False)
    monkeypatch.setenv("GAN_COURSE_PROFILE", "smoke")
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path))
    monkeypatch.setattr(toon, "picture", lambda *_: Image.new("RGB", (16, 16)))
    out = toon.ensure()
    assert out == tmp_path / "toon-smoke"
    assert json.loads((out / "toon.json").read_text())["count"] == 256
    stamp = (out / "list_attr_celeba.txt").stat().st_mtime_ns
    assert toon.ensure() == out and (out / "list_attr_celeba.txt").stat().st_mtime_ns == stamp
    mine = tmp_path / "mine"
    mine.mkdir()
    monkeypatch.setenv("GAN_COURSE_FACES", str(mine))
    assert toon.ensure() == mine and not any(mine.iterdir())
    assert toon.is_cartoon(out) and not toon.is_cartoon(mine)


def test_cartoons_are_known_in_every_way_they_are_given(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    home = shutil.copytree(folder, tmp_path / "toon")
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "toon")
    shutil.make_archive(str(tmp_path / "inside"), "zip", home)
    (tmp_path / "link").symlink_to(home / toon.IMAGES)
    zipped = home / "copy"  # only the images are zipped; toon.json lies beside
    zipped.mkdir()
    shutil.copy(home / toon.SETTINGS, zipped)
    shutil.make_archive(str(zipped / "img_align_celeba"), "zip", home, toon.IMAGES)
    for path in (home, home / toon.IMAGES, f"{home}/img_align_celeba/", "~/toon", "~/toon/img_align_celeba",
                 tmp_path / "packed.zip", tmp_path / "inside.zip", tmp_path / "link", zipped,
                 zipped / "img_align_celeba.zip"):  # fmt: skip
        assert toon.is_cartoon(path), path
    monkeypatch.chdir(home / toon.IMAGES)
    assert toon.is_cartoon(".")
    other = tmp_path / "real" / toon.IMAGES
    other.mkdir(parents=True)
    (other / "000001.jpg").write_bytes(b"x")
    for path in (tmp_path / "real", other, tmp_path / "nowhere", "~/nowhere"):
        assert not toon.is_cartoon(path), path


def test_home_folder_and_full_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert toon.render("~/toon", count=2, resolution=16) == tmp_path / "toon"
    monkeypatch.setenv("GAN_COURSE_DATA", "~/faces")
    assert toon.settings.data_folder() == tmp_path / "faces"
    monkeypatch.setenv("GAN_COURSE_FACES", "~/toon")
    assert toon.ensure() == toon.settings.faces_folder() == tmp_path / "toon"

    write = toon.Path.write_bytes

    def full(path, data):
        if "000003" in path.name:
            write(path, data[:100])
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(toon.Path, "write_bytes", full)
    with pytest.raises(CourseError, match=r"Cannot write .*000003.jpg \(No space left on device\); free the disk"):
        toon.render(tmp_path / "full", count=4, resolution=16)
    assert sorted(images(tmp_path / "full")) == ["000001.jpg", "000002.jpg"]
    monkeypatch.undo()
    assert len(images(toon.render(tmp_path / "full", count=4, resolution=16))) == 4


# --- the labels against the picture ------------------------------------------------------------------


INDICES = pytest.mark.parametrize("index", [1, 2, 3, 4, 5])


@INDICES
def test_hair_colour_is_seen(index):
    for hair in toon.HAIRS:
        for top in ("miaWallace", "curly"):
            assert nearest(patch(index, 140, 50, hair=hair, top=top), toon.HAIRS) == hair
        beard = patch(index, 140, 186, hair=hair, top="bald", facial_hair="beardMedium")
        assert nearest(beard, toon.HAIRS) == hair


@INDICES
def test_skin_colour_is_seen(index):
    for skin in toon.SKINS:
        for x, y in ((112, 152), (140, 50)):  # the cheek and the bald head
            assert nearest(patch(index, x, y, skin=skin, top="bald"), toon.SKINS) == skin


@INDICES
def test_a_hat_hides_the_hair(index):
    assert patch(index, 140, 68, top="hat").min() > 230  # its white brim
    assert np.array_equal(pixels(index, top="hat", hair="blond"), pixels(index, top="hat", hair="black"))


@INDICES
def test_bangs_cover_the_forehead(index):
    for top in (*toon.STRAIGHT, *toon.WAVY, "bun"):
        covered = patch(index, 150, 70, 0, top=top, hair="black").max() < 60
        assert covered == (top in toon.BANGS), top


# factor, its value, and the box (left, top, right, bottom) outside which nothing may change
@pytest.mark.parametrize(
    ("factor", "value", "box"),
    [
        ("glasses", "round", (10, 30, 118, 95)),
        ("glasses", "prescription02", (10, 30, 118, 95)),
        ("lipstick", True, (40, 80, 90, 115)),
        ("earrings", True, (10, 65, 118, 105)),
        ("cheeks", True, (24, 70, 104, 105)),
        ("bags", True, (30, 55, 100, 95)),
        ("brows", "arched", (25, 30, 103, 70)),
        ("brows", "bushy", (25, 30, 103, 70)),
        ("mouth", "smile", (40, 80, 90, 115)),
        ("mouth", "open", (40, 80, 90, 115)),
        ("eyes", "narrow", (25, 45, 103, 85)),
        ("facial_hair", "goatee", (40, 90, 90, 128)),
        ("facial_hair", "moustacheMagnum", (35, 75, 95, 110)),
        ("facial_hair", "stubble", (10, 45, 118, 128)),
    ],
)
def test_each_part_is_drawn_where_it_belongs(factor, value, box):
    for index in (1, 2, 3):
        changed = np.abs(pixels(index, **{factor: value}) - pixels(index)).max(axis=2) > 24
        left, top, right, bottom = box
        assert changed[top:bottom, left:right].sum() >= 20
        changed[top:bottom, left:right] = False
        assert not changed.any()


def test_colours_of_the_parts():
    def differs(**change):
        before, after = pixels(), pixels(**change)
        return after[np.abs(after - before).max(axis=2) > 40].mean(axis=0)

    red, green, blue = differs(lipstick=True)
    assert red > green + 60 and red > blue + 40
    red, green, blue = differs(earrings=True)
    assert red > blue + 80 and green > blue + 50  # gold
    assert differs(glasses="round").max() < 120  # a dark frame
    dark = {mouth: (pixels(mouth=mouth)[82:112, 42:88].max(axis=2) < 110).sum() for mouth in
            ("smile", "open", "smileClosed", "serious", "sad")}  # fmt: skip
    assert min(dark["smile"], dark["open"]) > max(dark["smileClosed"], dark["serious"], dark["sad"])
    chin = {kind: patch(1, 140, 182, facial_hair=kind).mean() for kind in ("none", "stubble", "beardLight")}
    assert chin["beardLight"] + 30 < chin["stubble"] < chin["none"] - 10


def test_white_of_the_eyes():
    for index in range(1, 6):
        white = {eyes: (pixels(index, skin="brown", eyes=eyes)[50:80, 30:98].min(axis=2) > 220).sum()
                 for eyes in ("open", "narrow")}  # fmt: skip
        assert white["open"] > 2 * white["narrow"] > 0


def test_no_contradictions():
    for index in range(1, 3001):
        true = toon.labels(toon.draw(1, index))
        colours = sum(true[name] for name in HAIR_COLOURS)
        assert colours <= 1
        if true["Bald"] or true["Wearing_Hat"]:
            assert not (colours or true["Bangs"] or true["Straight_Hair"] or true["Wavy_Hair"])
        assert not (true["Bald"] and true["Wearing_Hat"])
        assert not (true["Straight_Hair"] and true["Wavy_Hair"])
        assert not (true["Arched_Eyebrows"] and true["Bushy_Eyebrows"])
        hairy = true["Goatee"] or true["Mustache"] or true["Sideburns"] or true["5_o_Clock_Shadow"]
        assert true["No_Beard"] is not hairy
        assert not (true["Goatee"] and true["Sideburns"])


# --- the probabilities -------------------------------------------------------------------------------

CAUSES = [{"male": m, "young": y} for m in (True, False) for y in (True, False)]


def test_probabilities_sum_to_one():
    for cause in CAUSES:
        for skin in toon.SKINS:
            for name, factor in toon.FACTORS.items():
                chances = factor(PLAIN | cause | {"skin": skin})
                assert sum(chances.values()) == pytest.approx(1), name
                assert min(chances.values()) >= 0


def test_frequencies_are_the_probabilities():
    faces = [toon.draw(5, i) for i in range(4000)]
    for cause in CAUSES:
        group = [f for f in faces if all(f[k] == v for k, v in cause.items())]
        for name in ("mouth", "glasses", "brows", "top"):
            for choice, p in toon.FACTORS[name](cause).items():
                seen = np.mean([f[name] == choice for f in group])
                assert abs(seen - p) < 4.5 * np.sqrt(p * (1 - p) / len(group)) + 1e-3


def test_best_guess_against_drawn_faces():
    """Guess by Bayes' rule, face by face, and count: the same two numbers, found another way."""

    def chance(face, cause):
        p = 1.0
        for name, factor in toon.FACTORS.items():
            if name == "hair" and face["top"] in ("bald", "hat") and face["facial_hair"] == "none":
                continue  # not seen
            p *= factor(face | cause).get((face | cause)[name], 0)
        return p

    right = {"male": 0, "young": 0}
    n = 6000
    for index in range(n):
        face = toon.draw(9, index)
        p = [chance(face, cause) for cause in CAUSES]
        for name in right:
            yes = sum(q for q, cause in zip(p, CAUSES, strict=True) if cause[name])
            right[name] += (yes > sum(p) / 2) == face[name]
    best = toon.best_guess()
    assert right["male"] / n == pytest.approx(best["Male"], abs=0.008)
    assert right["young"] / n == pytest.approx(best["Young"], abs=0.015)
    assert 0.95 < best["Male"] < 0.995 and 0.8 < best["Young"] < 0.95  # far above chance, never certain


def test_correlations_are_celebas_in_sign():
    rows = [toon.labels(toon.draw(0, i)) for i in range(1, 4001)]
    c = dict(zip(rows[0], np.corrcoef([list(row.values()) for row in rows], rowvar=False), strict=True))
    c = {name: dict(zip(rows[0], row, strict=True)) for name, row in c.items()}
    for name in ("Mustache", "Goatee", "Sideburns", "5_o_Clock_Shadow", "Bald", "Bushy_Eyebrows", "Eyeglasses"):
        assert c["Male"][name] > 0.1, name
    for name in ("No_Beard", "Wearing_Lipstick", "Wearing_Earrings", "Arched_Eyebrows", "Rosy_Cheeks", "Smiling"):
        assert c["Male"][name] < -0.08, name
    for name in ("Gray_Hair", "Bald", "Eyeglasses", "Bags_Under_Eyes", "Male"):
        assert c["Young"][name] < -0.1, name
