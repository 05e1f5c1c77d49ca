"""The reader of CelebA folders and zips, on small images made here."""

import hashlib
import io
import os
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_course.data import celeba
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError

COUNT = 30
NAMES = [f"{number:06d}.jpg" for number in range(1, COUNT + 1)]
COLUMNS = ["Bald", "Male", "Smiling"]


def jpeg(seed=0, kind="JPEG"):
    noise = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()


def label(number, column):
    return (number >> column) % 2


def person(number):
    return number // 3 + 1


def annotation(parts=None, low=-1, comma=False):
    """Return {file name: text} of the three annotation files; `parts`: a function of the number 1..COUNT."""
    parts = parts or (lambda number: 0 if number <= 24 else 1 if number <= 27 else 2)
    numbers = range(1, COUNT + 1)
    values = [[1 if label(n, c) else low for c in range(len(COLUMNS))] for n in numbers]
    if comma:
        head = ",".join(["image_id", *COLUMNS])
        rows = [",".join([name, *map(str, row)]) for name, row in zip(NAMES, values, strict=True)]
        split = [f"{name},{parts(n)}" for name, n in zip(NAMES, numbers, strict=True)]
        return {
            "list_attr_celeba.csv": "\n".join([head, *rows]) + "\n",
            "list_eval_partition.csv": "\n".join(["image_id,partition", *split]) + "\n",
        }
    rows = [f"{name} " + " ".join(f"{v:2d}" for v in row) for name, row in zip(NAMES, values, strict=True)]
    return {
        "list_attr_celeba.txt": "\r\n".join([str(COUNT), " ".join(COLUMNS) + " ", *rows]) + "\r\n",
        "list_eval_partition.txt": "".join(f"{name} {parts(n)}\n" for name, n in zip(NAMES, numbers, strict=True)),
        "identity_CelebA.txt": "".join(f"{name} {person(n)}\r\n" for name, n in zip(NAMES, numbers, strict=True)),
    }


def write(root, files):
    for name, data in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


def images(prefix="img_align_celeba/", names=NAMES):
    return {prefix + name: jpeg(int(name[:6])) for name in names}


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def layout(name, root):
    """Write one layout that users have; return what they would give to `open_faces`."""
    text, table = annotation(), annotation(low=0, comma=True)
    if name == "folder":
        return write(root, {**images(), **text})
    if name == "image folder":
        return write(root, {**images(), **text}) / "img_align_celeba"
    if name == "wrapped":
        return write(root / "celeba", {**images(), **text}).parent
    if name in ("drive", "drive zip"):
        places = {"list_eval_partition.txt": "Eval/"}
        write(root, {places.get(file, "Anno/") + file: data for file, data in text.items()})
        if name == "drive":
            return write(root, images("Img/img_align_celeba/"))
        write_zip(root / "Img/img_align_celeba.zip", images())
        return root
    if name in ("zip", "folder with zip"):
        write(root, text)
        file = write_zip(root / "img_align_celeba.zip", {**images(), "__MACOSX/img_align_celeba/._000001.jpg": b""})
        return file if name == "zip" else root
    nested = images("img_align_celeba/img_align_celeba/")
    if name == "kaggle":
        return write(root, {**nested, **table})
    if name == "kaggle images":
        return write(root, {**nested, **table}) / "img_align_celeba/img_align_celeba"
    assert name == "kaggle zip"
    return write_zip(root / "archive.zip", {**nested, **table})


LAYOUTS = [
    "folder", "image folder", "wrapped", "drive", "drive zip", "zip", "folder with zip", "kaggle",
    "kaggle images", "kaggle zip",
]  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_read_alike(name, tmp_path):
    faces = open_faces(layout(name, tmp_path))
    assert faces.names.tolist() == NAMES and len(faces) == COUNT
    assert faces.read("000007.jpg") == jpeg(7)
    assert faces.parts.dtype == np.int8 and np.bincount(faces.parts).tolist() == [24, 3, 3]
    assert faces.split("val").tolist() == NAMES[24:27] and faces.split("all").tolist() == NAMES
    assert list(faces.attributes.columns) == COLUMNS and list(faces.attributes.index) == NAMES
    assert (faces.attributes.dtypes == "int8").all()
    expected = [[label(number, 2), label(number, 0)] for number in (5, 2)]
    labels = faces.labels(["000005.jpg", "000002.jpg"], ["Smiling", "Bald"])
    assert labels.dtype == np.float32 and labels.tolist() == expected
    assert faces.missing == 0 and any("official" in note for note in faces.notes)
    if "kaggle" in name:
        assert faces.identity is None
    else:
        assert faces.identity.dtype == np.int32
        assert faces.identity.tolist() == [person(n) for n in range(1, COUNT + 1)]


def test_plain_folder(tmp_path):
    write(tmp_path, {"b.PNG": jpeg(2, "PNG"), "a.jpeg": jpeg(1), "notes.txt": "x", "._a.jpeg": b"x"})
    faces = open_faces(str(tmp_path))
    assert faces.names.tolist() == ["a.jpeg", "b.PNG"]
    assert faces.attributes is None and faces.identity is None and faces.missing == 0
    assert any("hash of the file name" in note and "no identity_CelebA.txt" in note for note in faces.notes)
    with pytest.raises(CourseError, match="no attributes"):
        faces.labels(faces.names, ["Male"])


def test_partial_copy_is_counted(tmp_path):
    text = annotation()
    lines = text["list_attr_celeba.txt"].splitlines()
    text["list_attr_celeba.txt"] = "\n".join(lines[:2] + lines[2:22]) + "\n"  # 20 of 30 rows
    write(tmp_path, {**images(names=NAMES[5:25]), **text})
    faces = open_faces(tmp_path)
    assert faces.names.tolist() == NAMES[5:20]  # has an image and a row in every file
    assert faces.missing == 10
    notes = " ".join(faces.notes)
    assert "5 images were left out because list_attr_celeba.txt" in notes
    assert "announces 30 rows and holds only 20" in notes


def test_empty_part_splits_by_person(tmp_path):
    write(tmp_path, {**images(), **annotation(parts=lambda number: 0)})
    faces = open_faces(tmp_path)
    assert "leaves val and test empty" in faces.notes[-1] and "hash of the person" in faces.notes[-1]
    people = [set(faces.identity[faces.parts == part]) for part in range(3)]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
    assert people[0]

    # Stable: with fewer images every face stays in its part.
    for name in NAMES[::2]:
        (tmp_path / "img_align_celeba" / name).unlink()
    fewer = open_faces(tmp_path)
    assert fewer.parts.tolist() == faces.parts[1::2].tolist()


def test_hash_split_is_80_10_10_and_never_changes():
    names = np.array([f"{number:06d}.jpg" for number in range(20_000)])
    parts, identity, (note,) = celeba._split(names, None, None, np.full(len(names), ""))
    assert np.abs(np.bincount(parts) / len(parts) - [0.8, 0.1, 0.1]).max() < 0.01
    assert "no list_eval_partition" in note and identity is None
    assert parts[:20].tolist() == [0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 2, 0]


def test_png_copy_keeps_its_annotation(tmp_path):
    pngs = {f"img_align_celeba_png/{name[:6]}.png": jpeg(1, "PNG") for name in NAMES}
    faces = open_faces(write(tmp_path, {**pngs, **annotation()}))
    assert faces.names[0] == "000001.png" and faces.missing == 0
    assert faces.labels(["000003.png"], COLUMNS).tolist() == [[label(3, column) for column in range(3)]]


DAMAGE = {
    "column missing": ("list_attr_celeba.txt", 7, "000005.jpg -1 1", "line 7 has 3 columns, not 4"),
    "column too many": ("list_attr_celeba.txt", 9, "000007.jpg -1 1 1 1", "line 9 has 5 columns, not 4"),
    "no number": ("list_attr_celeba.txt", 5, "000003.jpg -1 yes 1", "line 5 has 'yes' instead of -1, 0 or 1"),
    "out of range": ("list_attr_celeba.txt", 5, "000003.jpg -1 7 1", "line 5 has '7'"),
    "cut off": ("list_attr_celeba.txt", 32, "000030.jpg -1", "line 32 has 2 columns"),
    "no names": ("list_attr_celeba.txt", 2, "", "no line with the attributes' names"),
    "part": ("list_eval_partition.txt", 4, "000004.jpg 3", "line 4 has '3' instead of 0, 1 or 2"),
    "first part": ("list_eval_partition.txt", 1, "000001.jpg", "line 1 has 1 columns"),
    "person": ("identity_CelebA.txt", 2, "000002.jpg 1.5", "line 2 has '1.5' instead of a person's number"),
    "twice": ("identity_CelebA.txt", 2, "000001.jpg 1", "lists '000001.jpg' twice"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_annotation_names_file_and_line(damage, tmp_path):
    file, line, text, message = DAMAGE[damage]
    files = annotation()
    lines = files[file].splitlines()
    lines[line - 1] = text
    files[file] = "\n".join(lines)
    write(tmp_path, {**images(), **files})
    with pytest.raises(CourseError) as error:
        open_faces(tmp_path)
    assert file in str(error.value) and message in str(error.value)


def test_damaged_csv_names_line(tmp_path):
    files = annotation(comma=True)
    files["list_attr_celeba.csv"] = files["list_attr_celeba.csv"].replace("000004.jpg,", "000004.jpg,,")
    write(tmp_path, {**images(), **files})
    with pytest.raises(CourseError, match=r"list_attr_celeba.csv' line 5 has 5 columns, not 4"):
        open_faces(tmp_path)


@pytest.mark.parametrize("data", [b"", b"30\n", b"\x00\xff\xfe\x80" * 50, b"<html><body>Quota exceeded</body></html>"])
def test_annotation_that_is_something_else(data, tmp_path):
    write(tmp_path, {**images(), **annotation(), "list_attr_celeba.txt": data})
    with pytest.raises(CourseError, match="list_attr_celeba.txt"):
        open_faces(tmp_path)


@pytest.mark.parametrize("file", ["list_eval_partition.txt", "list_eval_partition.csv", "identity_CelebA.txt"])
@pytest.mark.parametrize(
    "data", [b"", b"30\n", b"image_id,partition\n", b"\n\n\n", b"PK\x03\x04\x00", b";;;", b"30;\n;"]
)
def test_list_without_rows(file, data, tmp_path):
    write(tmp_path, {**images(), file: data})
    with pytest.raises(CourseError, match=file):
        open_faces(tmp_path)


@pytest.mark.parametrize("count", [1, 2])
def test_a_list_of_few_rows(count, tmp_path):
    text = annotation()
    text["list_attr_celeba.txt"] = "\n".join(text["list_attr_celeba.txt"].splitlines()[: 2 + count])
    faces = open_faces(
        write(tmp_path, {**images(names=NAMES[:count]), "list_attr_celeba.txt": text["list_attr_celeba.txt"]})
    )
    assert faces.names.tolist() == NAMES[:count] and list(faces.attributes.columns) == COLUMNS


def test_annotation_of_other_images(tmp_path):
    write(tmp_path, {"img_align_celeba/me.jpg": jpeg(), **annotation()})
    with pytest.raises(CourseError, match="None of the 1 images"):
        open_faces(tmp_path)


def test_mistakes_in_one_sentence(tmp_path):
    with pytest.raises(CourseError, match="does not exist"):
        open_faces(tmp_path / "nowhere")
    with pytest.raises(CourseError, match="holds no JPEG or PNG"):
        open_faces(tmp_path)
    write_zip(tmp_path / "empty.zip", {"readme.txt": b"x"})
    with pytest.raises(CourseError, match="holds no JPEG or PNG"):
        open_faces(tmp_path / "empty.zip")
    whole = write_zip(tmp_path / "img_align_celeba.zip", images()).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CourseError, match="damaged or was not downloaded completely"):
        open_faces(tmp_path / "cut.zip")

    faces = open_faces(write(tmp_path / "good", {**images(), **annotation()}))
    with pytest.raises(CourseError, match="no part 'valid'; choose one of train, val, test, all"):
        faces.split("valid")
    with pytest.raises(CourseError, match="no attribute 'Hat'.*Bald, Male, Smiling"):
        faces.labels(faces.names, ["Male", "Hat"])
    with pytest.raises(CourseError, match="no image 'x.jpg'"):
        faces.labels(["x.jpg"], ["Male"])
    with pytest.raises(CourseError, match="x.jpg"):
        faces.read("x.jpg")


def test_damaged_zip_entry_is_named(tmp_path):
    file = write_zip(tmp_path / "img_align_celeba.zip", images())
    data = bytearray(file.read_bytes())
    data[data.index(jpeg(2)) + 50] ^= 255
    file.write_bytes(data)
    faces = open_faces(file)
    assert faces.read("000001.jpg") == jpeg(1)
    with pytest.raises(CourseError, match="000002.jpg"):
        faces.read("000002.jpg")
    with pytest.raises(CourseError, match="no image 'x.jpg'"):
        faces.read("x.jpg")


def test_random_damage_to_a_zip_never_ends_in_another_error(tmp_path):
    whole = np.frombuffer(write_zip(tmp_path / "a.zip", images()).read_bytes(), np.uint8)
    random, opened = np.random.default_rng(0), 0
    for i in range(400):
        data = whole.copy() if i % 2 else whole[: random.integers(1, len(whole))].copy()
        tail = max(0, len(data) - 3000)  # where the list of the entries is
        data[random.integers(tail, len(data), 4)] = random.integers(0, 256, 4)
        (tmp_path / "b.zip").write_bytes(data.tobytes())
        try:
            faces = open_faces(tmp_path / "b.zip")
            opened += 1
            for name in faces.names:
                faces.read(name)
        except CourseError as error:
            assert "b.zip" in str(error)
    assert opened > 50


def test_zip_is_read_by_many_threads(tmp_path):
    faces = open_faces(write_zip(tmp_path / "img_align_celeba.zip", images()))
    expected = {name: jpeg(int(name[:6])) for name in NAMES}
    wrong = []

    def work():
        wrong.extend(name for _ in range(20) for name in NAMES if faces.read(name) != expected[name])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- folders that people have ----------------------------------------------------------------------------


def both(tmp_path, files):
    """Write the same tree as a folder and as a zip; yield both opened."""
    folder = open_faces(write(tmp_path / "tree", files))
    zipped = open_faces(write_zip(tmp_path / "tree.zip", files))
    assert folder.names.tolist() == zipped.names.tolist() and folder.parts.tolist() == zipped.parts.tolist()
    assert folder.folders.tolist() == zipped.folders.tolist() and folder.fingerprint() == zipped.fingerprint()
    assert folder.notes == zipped.notes and all(folder.read(n) == zipped.read(n) for n in folder.names)
    return folder


def people(count, each, name="Name_{0:02}/Name_{0:02}_{1:04}.jpg"):
    return {f"lfw/{name.format(p, i)}": jpeg(100 * p + i) for p in range(count) for i in range(1, each + 1)}


@pytest.mark.parametrize(
    "files",
    [
        people(40, 3, "Name{0}/{1}.jpg"),  # many folders, few pictures in each: equal names, too
        people(7, 12),  # LFW's names
        people(5, 9, "subject{0}/{1}.png"),
        people(40, 3, "{0}/{1}.JPG") | {"lfw/cover.jpg": jpeg(5)},
    ],
)
def test_one_folder_per_person(files, tmp_path):
    faces = both(tmp_path, files)
    assert len(faces) == len(files) and "lfw" not in faces.folders[0]
    for folder in set(faces.folders) - {""}:
        assert len(set(faces.parts[faces.folders == folder])) == 1  # nobody is in two parts
        assert len(set(faces.identity[faces.folders == folder])) == 1
    assert len(set(faces.identity)) == len(set(faces.folders))
    assert any("folders was taken as one person" in note for note in faces.notes)
    assert "hash of the person" in faces.notes[-1]


def test_class_folders(tmp_path):
    files = {f"{group}/{i:04d}.jpg": jpeg(i) for group in ("faces/male", "faces/female") for i in range(30)}
    faces = both(tmp_path, files)
    assert len(faces) == 60 and set(faces.folders) == {"male", "female"} and faces.identity is None
    assert "The folders (female 30, male 30) were taken as groups, not as one person each." in faces.notes
    for group in ("male", "female"):
        assert len(set(faces.parts[faces.folders == group])) > 1


def test_folders_named_as_parts(tmp_path):
    files = {f"{p}/{g}/{i}.png": jpeg(i, "PNG") for p in ("train", "valid", "test") for g in "ab" for i in range(8)}
    faces = both(tmp_path, files)
    for name, part in zip(faces.names, faces.parts, strict=True):
        assert name.startswith(("train", "valid", "test")[part])
    assert faces.notes[-1] == "The parts are those of its folders."
    two = open_faces(write(tmp_path / "two", {name: data for name, data in files.items() if "test" not in name}))
    assert "leaves test empty" in two.notes[-1] and len(two.split("all")) == 32


def test_equal_names_in_a_zip_are_different_faces(tmp_path):
    files = {f"person{p}/0001.jpg": jpeg(p) for p in range(50)} | {f"person{p}/0002.jpg": jpeg(p) for p in range(50)}
    assert len(both(tmp_path, files)) == 100
    once = write_zip(tmp_path / "a.zip", files)
    with zipfile.ZipFile(once, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("person7/0001.jpg", jpeg(99))
    faces = open_faces(once)
    assert faces.read("person7/0001.jpg") == jpeg(99) and len(faces) == 100  # as unpacking it would give
    assert "'a.zip' holds 1 of its files twice under one name" in faces.notes[0]


def test_names_in_any_letters(tmp_path):
    files = {f"{folder}/{i}.jpg": jpeg(i) for folder in ("Zoë Ångström", "李 明", "🙂", "a\nb") for i in range(3)}
    both(tmp_path, files)
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:  # UTF-8 that is not marked as such
        for name, data in files.items():
            archive.writestr(name, data)
    data = bytearray((tmp_path / "mac.zip").read_bytes())
    for mark, flags in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
        for at in [at for at in range(len(data)) if data.startswith(mark, at)]:
            data[at + flags] &= ~8
    (tmp_path / "mac.zip").write_bytes(data)
    assert open_faces(tmp_path / "mac.zip").fingerprint() == open_faces(tmp_path / "tree").fingerprint()
    windows = write_zip(tmp_path / "windows.zip", {name.replace("/", "\\"): data for name, data in files.items()})
    assert open_faces(windows).names.tolist() == open_faces(tmp_path / "tree").names.tolist()


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such names")
def test_names_that_are_no_text(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(jpeg())
    faces = open_faces(tmp_path)
    assert len(faces) == 1 and faces.read(faces.names[0]) == jpeg() and len(faces.fingerprint()) == 16


def test_a_tree_with_links(tmp_path):
    write(tmp_path / "tree", {"a/1.jpg": jpeg(1), "b/2.jpg": jpeg(2)})
    (tmp_path / "tree/a/up").symlink_to(tmp_path / "tree")  # a circle
    (tmp_path / "tree/0").symlink_to(tmp_path / "tree/b")  # the same folder again
    write(tmp_path / "elsewhere", {"3.jpg": jpeg(3)})
    (tmp_path / "tree/c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(tmp_path / "tree")
    assert open_faces(tmp_path / "link").names.tolist() == ["a/1.jpg", "b/2.jpg", "c/3.jpg"]


STRAYS = {"Screenshot 1.png": jpeg(3, "PNG"), **{f"holiday/IMG_{i}.jpg": jpeg(i) for i in range(60)}}


@pytest.mark.parametrize("name", LAYOUTS)
def test_pictures_beside_celeba_are_named_and_not_read(name, tmp_path):
    layout(name, tmp_path / "Downloads")
    faces = open_faces(write(tmp_path / "Downloads", STRAYS))
    assert faces.names.tolist() == NAMES and faces.attributes is not None
    assert "61 images were left out" in faces.notes[0] and "Screenshot 1.png" in faces.notes[0]
    assert "61 images were left out" in faces.summary("train")


@pytest.mark.parametrize("name", ["archive (2).zip", "celeba/faces.zip", "img_align_celeba (1).zip"])
def test_a_zip_of_another_name_beside_other_pictures(name, tmp_path):
    table = annotation(comma=True)
    write_zip(write(tmp_path / "d", STRAYS) / name, {**images("img_align_celeba/img_align_celeba/"), **table})
    write(tmp_path / "d", {"broken.zip": b"PK\3\4", "paper.tar.gz": b"\x1f\x8b"})
    faces = open_faces(tmp_path / "d")
    assert faces.names.tolist() == NAMES and faces.attributes is not None
    assert "broken.zip' is damaged" in faces.notes[0] and "Screenshot" in faces.notes[1]


@pytest.mark.parametrize("place", ["img_align_celeba/", ""])
def test_a_zip_beside_a_few_unpacked_files(place, tmp_path):
    write(tmp_path, {**images(place, NAMES[:3]), **annotation()})
    write_zip(tmp_path / "img_align_celeba.zip", images())
    faces = open_faces(tmp_path)
    assert len(faces) == COUNT and "3 images were left out" in faces.notes[0] and ".zip' (" in faces.notes[0]
    write(tmp_path, images(place))
    assert open_faces(tmp_path).store.place.is_dir()  # of equals, the folder


@pytest.mark.parametrize("data", [b"PK\3\4cut", b"<!DOCTYPE html><html>quota", b"\x1f\x8btar"])
def test_pictures_beside_a_bad_download_are_not_taken_for_it(data, tmp_path):
    name = "img_align_celeba.tar.gz" if data.startswith(b"\x1f") else "img_align_celeba.zip"
    write(tmp_path, {**STRAYS, name: data})
    with pytest.raises(CourseError, match=name):
        open_faces(tmp_path)


def test_every_picture_left_out_is_counted(tmp_path):
    own = {"img_align_celeba/me.jpg": jpeg(1), "img_align_celeba/more/000031.jpg": jpeg(2), "loose.jpg": jpeg(3)}
    write(
        tmp_path, {**images(), **annotation(), **own, "img_align_celeba/a.HEIC": b"x", "img_align_celeba/b.webp": b""}
    )
    faces = open_faces(tmp_path)
    assert faces.names.tolist() == NAMES and len(faces.left_out) == 3
    text = faces.summary("val")
    assert text.startswith(f"3 of 30 faces are used (part val) of {tmp_path}; ") and text.count(".") >= 1
    assert "2 images were left out because the course reads only JPEG and PNG" in text and ".heic, .webp" in text
    assert "1 image was left out because the faces are read from" in text and "(loose.jpg)" in text
    assert "2 images were left out because list_attr_celeba.txt does not list them (me.jpg, more/000031.jpg)" in text
    assert all(any(phrase[-40:] in note for note in faces.notes) for phrase in faces.left_out)
    assert faces.summary("train", used=20).startswith("20 of 30 faces are used (part train)")


def test_own_pictures_without_annotation_are_all_used(tmp_path):
    write(tmp_path, {**images("", NAMES[:20]), "me.jpg": jpeg(1), "A.JPG": jpeg(2), "sub/me.jpg": jpeg(3)})
    faces = open_faces(tmp_path)
    assert len(faces) == 23 and not faces.left_out and set(faces.folders) == {"", "sub"} and faces.identity is None


# --- annotation in other forms ---------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".JPG", ".jpeg", ".png", ".PNG", "half"])
@pytest.mark.parametrize("listed", [".jpg", ".JPG", ".png", ""])
def test_other_endings_than_the_list_says(ending, listed, tmp_path):
    text = {name: data.replace(".jpg", listed) for name, data in annotation().items()}
    names = [name[:6] + (ending if ending != "half" else (".jpg", ".JPG")[i % 2]) for i, name in enumerate(NAMES)]
    faces = open_faces(write(tmp_path, {**images(names=names), **text}))
    assert faces.names.tolist() == names and faces.missing == 0
    assert faces.labels([names[4]], COLUMNS).tolist() == [[label(5, column) for column in range(3)]]


def test_an_ending_is_only_guessed_where_it_is_clear(tmp_path):
    names = [*NAMES[:10], "000001.png", "000011.png", "000011.JPG"]
    faces = open_faces(write(tmp_path, {**images(names=names), **annotation()}))
    assert faces.names.tolist() == NAMES[:10] and "3 images were left out" in faces.notes[0]


def test_official_images_sorted_into_folders_keep_their_labels(tmp_path):
    names = [f"{('female', 'male')[i % 2]}/{name}" for i, name in enumerate(NAMES)]
    files = {name: jpeg(int(name[-10:-4])) for name in names}
    faces = both(tmp_path, {**files, **annotation()})
    assert sorted(faces.names) == sorted(names) and faces.identity is not None
    assert faces.labels(["female/000005.jpg"], COLUMNS).tolist() == [[label(5, column) for column in range(3)]]


@pytest.mark.parametrize("ending", ["csv", "txt"])
@pytest.mark.parametrize("mark", [";", "\t", ",", "; ", ", ", " ;"])
@pytest.mark.parametrize("change", ["", "no name", "count", "quotes", "utf-16", "bom"])
def test_other_dividers(mark, ending, change, tmp_path):
    files = {}
    for name, data in annotation(comma=True).items():
        if change == "no name":
            data = data.replace("image_id,", "") if "attr" in name else data
        data = data.replace(",", mark)
        if change == "quotes":
            data = (
                "\n".join(f'"{line}"'.replace(mark, f'"{mark}"') for line in data.splitlines())
                if mark in ",;\t"
                else data
            )
        data = f"{COUNT}\n{data}" if change == "count" else data
        encoding = {"utf-16": "utf-16", "bom": "utf-8-sig"}.get(change, "utf-8")
        files[f"{name[:-3]}{ending}"] = data.encode(encoding)
    faces = open_faces(write(tmp_path, {**images(), **files}))
    assert list(faces.attributes.columns) == COLUMNS and np.bincount(faces.parts).tolist() == [24, 3, 3]
    assert faces.labels(["000005.jpg"], COLUMNS).tolist() == [[label(5, column) for column in range(3)]]


def test_a_web_page_is_no_list(tmp_path):
    write(tmp_path, {**images(), "list_eval_partition.txt": b"\n<!DOCTYPE html><title>Quota exceeded</title>"})
    with pytest.raises(CourseError, match="list_eval_partition.txt' is a web page"):
        open_faces(tmp_path)


def test_lists_beside_other_pictures_are_not_ours(tmp_path):
    write(tmp_path / "celeba", images())
    write(tmp_path / "toon", {**images(names=NAMES[:20]), **annotation()})
    faces = open_faces(tmp_path)
    assert len(faces) == COUNT and faces.attributes is None


# --- what is no folder of faces --------------------------------------------------------------------------


def locked(path):
    """Mark every entry of a zip as encrypted."""
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(mark, at + 1)
    path.write_bytes(data)
    return path


def test_sound_files_that_cannot_be_read_in_place(tmp_path):
    with tarfile.open(tmp_path / "faces.tar.gz", "w:gz") as archive:
        archive.add(write(tmp_path / "a", images()), "a")
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        archive.add(tmp_path / "a", "a")
    files = {"x.7z": b"7z\xbc\xaf\x27\x1c", "x.rar": b"Rar!\x1a", "me.jpg": jpeg(), "x.txt": b"hello", "empty.zip": b""}
    write(tmp_path, files)
    locked(write_zip(tmp_path / "locked.zip", images()))
    for name, message in {
        "faces.tar.gz": "is a tar archive; unpack it with 'tar xf faces.tar.gz' and give the folder",
        "faces.tar": "is a tar archive; unpack it",
        "x.7z": "unpack it with 7-Zip and give the folder",
        "x.rar": "unpack it with 7-Zip and give the folder",
        "locked.zip": "has a password; unpack it with the password and give the folder",
        "me.jpg": "is one picture; give the folder",
        "x.txt": "is neither a folder nor a zip",
        "empty.zip": "is damaged or was not downloaded completely; fetch it again",
    }.items():
        with pytest.raises(CourseError, match=message) as error:
            open_faces(tmp_path / name)
        assert "delete" not in str(error.value) and name in str(error.value) and str(error.value).count(".\n") == 0


def test_what_was_found_instead_of_images(tmp_path):
    write(tmp_path, {"a.heic": b"x", "b.HEIC": b"x", "c.txt": b"x", "README": b"x"})
    with pytest.raises(CourseError, match=r"\(other files: 4; 2 .heic, 1 without ending, 1 .txt\); .*convert"):
        open_faces(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match="it is empty"):
        open_faces(tmp_path / "empty")
    nested = write_zip(tmp_path / "drive.zip", {"Img/img_align_celeba.zip": b"PK"})
    with pytest.raises(CourseError, match=r"other files: 1; 1 .zip.*unpack archives in it"):
        open_faces(nested)


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "faces", images())
    assert len(open_faces("~/faces")) == COUNT
    with pytest.raises(CourseError, match="names a home folder that does not exist"):
        open_faces("~nobody-of-this-name/faces")


def test_fingerprint(tmp_path):
    faces = both(tmp_path, {**images(), **annotation()})
    first = faces.fingerprint()
    assert len(first) == 16 and int(first, 16) and first == open_faces(tmp_path / "tree").fingerprint()
    file = tmp_path / "tree/img_align_celeba/000003.jpg"
    file.write_bytes(jpeg(3) + b"more")
    changed = open_faces(tmp_path / "tree").fingerprint()
    file.rename(file.with_name("000003.png"))
    assert len({first, changed, open_faces(tmp_path / "tree").fingerprint()}) == 3


REAL = Path(os.environ.get("GAN_COURSE_REAL_FACES", "nowhere"))


@pytest.mark.skipif(not REAL.is_dir(), reason="GAN_COURSE_REAL_FACES does not name a folder of real faces")
def test_real_faces():
    half = open_faces(REAL / "celeba_half")
    assert len(half) == 10_000 and half.missing == 192_599 and half.attributes.shape == (10_000, 40)
    order = hashlib.sha256("\n".join(half.names).encode() + half.parts.tobytes()).hexdigest()
    assert order.startswith("ff31f15446306144")  # shipped weights and stored numbers are of these parts
    people = [set(half.identity[half.parts == part]) for part in range(3)]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
    assert np.abs(np.bincount(half.parts) / 10_000 - [0.8, 0.1, 0.1]).max() < 0.02

    lfw = open_faces(REAL / "face2text")
    assert len(lfw) == 400 and len(set(lfw.folders)) == 400 and "taken as one person" in " ".join(lfw.notes)

    full = open_faces(REAL / "celeba_fullres" / "img_align_celeba.zip")
    assert len(full) == 558 and full.attributes is None
    assert Image.open(io.BytesIO(full.read("000558.jpg"))).size == (178, 218)
