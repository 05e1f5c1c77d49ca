"""An attribute network measured group by group."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gan_course import metrics
from gan_course.__main__ import main
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError, CourseWarning
from gan_course.metrics import groups
from gan_course.training import classifier

NAN = np.nan


@pytest.fixture
def small(monkeypatch):
    """Groups of 2 are large enough."""
    monkeypatch.setattr(groups, "LEAST", 2)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The folder of an untrained network that knows Smiling and Bald."""
    folder = tmp_path_factory.mktemp("groups") / "network"
    folder.mkdir()
    config = classifier.AttributesConfig(attributes=["Smiling", "Bald"], width=2, resolution=16)
    config.network().save_weights(folder / classifier.WEIGHTS)
    (folder / classifier.REPORT).write_text(json.dumps({"settings": config.to_dict()}))
    return folder


def columns(table, attribute, group):
    return table.loc[(attribute, group), ["share", "accuracy", "balanced", "auc", "says"]].astype(float).tolist()


# --- the table ---------------------------------------------------------------------------------------------


def test_the_table_against_numbers_by_hand(small):
    group = np.array(["old"] * 5 + ["young"] * 4 + ["one"] + [""])
    smiling = [(2, 1), (-1, 1), (1, 0), (-2, 0), (-3, 0)]  # logit, label; old
    smiling += [(3, 1), (1, 1), (-1, 0), (-2, 0)]  # young: all right
    smiling += [(-9, 1), (-9, 1)]  # alone in its group, and in none
    bald = [(1, 1), (1, 0), (-1, 0), (-1, 0), (-1, 0)] + [(-1, 0)] * 4 + [(0, 0)] * 2
    logits, labels = np.stack([np.array(smiling), np.array(bald)], axis=2).transpose(1, 0, 2).astype("float32")
    table = groups.by_group(logits, labels, group, ["Smiling", "Bald"])
    assert table.index.tolist() == [(a, g) for a in ("Smiling", "Bald") for g in ("old", "young", "gap")]
    assert table["faces"].tolist() == [5, 4, pd.NA] * 2

    # Old: of 2 who smile 1 is found, of 3 who do not 2; 5 of the 6 pairs are in the right order; 2 decisions are 'yes'.
    old = [2 / 5, 3 / 5, (1 / 2 + 2 / 3) / 2, 5 / 6, 2 / 5]
    np.testing.assert_allclose(columns(table, "Smiling", "old"), old)
    np.testing.assert_allclose(columns(table, "Smiling", "young"), [1 / 2, 1, 1, 1, 1 / 2])
    np.testing.assert_allclose(columns(table, "Smiling", "gap"), [0.1, 0.4, 1 - 7 / 12, 1 / 6, 0.1], atol=1e-7)
    # One bald face is too few for balanced accuracy and AUC; none of the young ones is said to be bald.
    np.testing.assert_allclose(columns(table, "Bald", "old"), [1 / 5, 4 / 5, NAN, NAN, 2 / 5])
    np.testing.assert_allclose(columns(table, "Bald", "young"), [0, 1, NAN, NAN, 0])
    np.testing.assert_allclose(columns(table, "Bald", "gap"), [1 / 5, 1 / 5, NAN, NAN, 2 / 5])

    means = groups.means(table)
    np.testing.assert_allclose(means.loc["old"], [(2 / 5 + 1 / 5) / 2, (3 / 5 + 4 / 5) / 2, *old[2:4], 2 / 5])
    np.testing.assert_allclose(means.loc["gap"], [0.05, 0.3, 1 - 7 / 12, 1 / 6, 0.15], atol=1e-7)
    assert means.loc["attributes"].tolist() == [2, 2, 1, 1, 2]

    text = groups.groups_text(table)
    assert text.splitlines()[3].split() == ["young", "4", "0.500", "1.000", "1.000", "1.000", "0.500"]
    assert text.splitlines()[4].split() == ["gap", "-", "0.100", "0.400", "0.417", "0.167", "0.100"]
    assert "'-': fewer than 2 faces of the group have the attribute, or have it not (2 rows)." in text
    assert "(share 2, accuracy 2, balanced 1, auc 1, says 2)" in text


def test_a_number_that_only_one_group_has_makes_no_gap(small):
    """Nobody of the group 'b' has it: its accuracy is known, its AUC is not."""
    labels = np.array([[1], [1], [0], [0], [0], [0]], "float32")
    table = groups.by_group(labels - 0.5, labels, np.array(list("aaaabb")), ["Bald"])
    np.testing.assert_allclose(columns(table, "Bald", "a"), [1 / 2, 1, 1, 1, 1 / 2])
    np.testing.assert_allclose(columns(table, "Bald", "gap"), [1 / 2, 0, NAN, NAN, 1 / 2])


def test_without_labels_only_the_decisions_are_counted(small):
    logits = np.array([[1, -1], [-1, -1], [1, 1], [1, -1]], "float32")
    labels = np.stack([np.full(4, NAN), np.array([0, 1, 1, 0])], axis=1)
    table = groups.by_group(logits, labels, np.array(list("aabb")), ["Smiling", "Bald"])
    np.testing.assert_allclose(columns(table, "Smiling", "a"), [NAN, NAN, NAN, NAN, 1 / 2])
    np.testing.assert_allclose(columns(table, "Smiling", "gap"), [NAN, NAN, NAN, NAN, 1 / 2])
    assert columns(table, "Bald", "b")[:2] == [1 / 2, 1]

    text = groups.groups_text(
        groups.by_group(logits, np.full((4, 2), NAN), np.array(list("aabb")), ["Smiling", "Bald"])
    )
    assert text.splitlines()[0].split() == ["faces", "says"] and "(says 2)" in text and "'-'" not in text


def test_small_groups_are_left_out():
    logits = labels = np.ones((25, 1))
    table = groups.by_group(logits, labels, np.array(["many"] * 20 + ["few"] * 5), ["Smiling"])
    assert table.index.get_level_values("group").tolist() == ["many", "gap"]
    with pytest.raises(CourseError, match="No group has 20 faces"):
        groups.by_group(logits, labels, np.array([*"abcde"] * 5), ["Smiling"])


# --- the groups --------------------------------------------------------------------------------------------


@pytest.fixture
def source():
    labels = pd.DataFrame({"Male": [1, 1, 0, 0], "Young": [1, 0, 1, 0]})

    def of(names, attributes):
        if set(attributes) - set(labels):
            raise CourseError(f"There is no attribute '{attributes[0]}'.")
        return labels[list(attributes)].to_numpy("float32")

    return SimpleNamespace(path="faces", names=np.array(["1.jpg", "2.jpg", "3.jpg", "4.jpg"]), labels=of)


def test_groups_of_attributes(source):
    assert groups.groups_of(source, "Male").tolist() == ["Male", "Male", "not Male", "not Male"]
    both = ["Male, Young", "Male, not Young", "not Male, Young", "not Male, not Young"]
    assert groups.groups_of(source, "Male, Young").tolist() == both
    with pytest.raises(CourseError, match="no attribute 'Bald'"):
        groups.groups_of(source, "Bald")


def test_groups_of_folders(source):
    for folders in (None, np.array([""] * 4)):
        source.folders = folders
        with pytest.raises(CourseError, match="lie in no folders"):
            groups.groups_of(source, "folders")
    source.folders = np.array(["a", "a", "", "b"])
    assert groups.groups_of(source, "folders").tolist() == ["a", "a", "", "b"]


@pytest.mark.parametrize("header", ["", "image,group,age\n"])
def test_groups_of_a_file(source, header, tmp_path):
    """A face that is not listed, or has no group there, is in none; other pictures and columns do no harm."""
    file = tmp_path / "groups.csv"
    file.write_text(header + "1.jpg,old,70\n3.jpg, young ,20\n4.jpg,,20\n9.jpg,old,80\n", encoding="utf-8-sig")
    assert groups.groups_of(source, str(file)).tolist() == ["old", "", "young", ""]


def test_wrong_files_of_groups(source, tmp_path):
    file = tmp_path / "groups.csv"
    with pytest.raises(CourseError, match="Cannot read .*No such file"):
        groups.groups_of(source, str(file))
    for text, words in [
        (b"", "not two columns"),
        (b"1.jpg\n2.jpg\n", "not two columns"),
        (b"1.jpg,\xff\xfe\n", "not two columns"),
        (b"1.jpg,old\n1.jpg,young\n", "lists '1.jpg' twice"),
        (b"8.jpg,old\n9.jpg,young\n", "lists no picture of 'faces', such as '1.jpg'"),
        (b"1.jpg,\n", "lists no picture"),
    ]:
        file.write_bytes(text)
        with pytest.raises(CourseError, match=words):
            groups.groups_of(source, str(file))


# --- the command -------------------------------------------------------------------------------------------


def command(target, data, *options):
    return main(["measure-attributes", str(target), "--data", str(data), *options])


def test_the_command(network, face_folder, tmp_path, capsys):
    """40 faces, every second of which smiles; nobody wrote down who is bald."""
    out = tmp_path / "new" / "table.csv"
    assert command(network, face_folder, "--groups", "Smiling", "--part", "all", "--out", str(out)) == 0
    text, said = capsys.readouterr()
    assert said.count("\n") == 1 and "no labels of Bald." in said
    table = pd.read_csv(out).set_index(["attribute", "group"])
    assert table.loc[("Smiling", "Smiling"), ["faces", "share"]].tolist() == [20, 1]
    assert table.loc[("Smiling", "not Smiling"), ["faces", "share"]].tolist() == [20, 0]
    model, attributes = classifier.load_trained(network)
    pictures, labels = classifier.read(open_faces(face_folder), ["Smiling"], 16, "all")
    says = model.predict(pictures, verbose=0)[labels[:, 0] == 1] > 0
    np.testing.assert_allclose(table["says"][:, "Smiling"][attributes], says.mean(axis=0), atol=1e-4)
    assert table.loc[("Smiling", "Smiling"), "accuracy"] == pytest.approx(says[:, 0].mean(), abs=1e-4)
    assert "Means over the attributes" in text


def test_what_the_table_does_not_show_is_told(network, make_faces, tmp_path, capsys):
    """A folder without annotations: 25 faces of one group, 5 of another, 10 of none."""
    folder = make_faces(tmp_path / "faces", count=40) / "img_align_celeba"
    for file in folder.parent.glob("list_*"):
        file.unlink()
    file = tmp_path / "groups.csv"
    file.write_text("".join(f"{i + 1:06d}.jpg,{'many' if i < 25 else 'few'}\n" for i in range(30)))
    assert command(network, folder, "--groups", str(file), "--part", "all") == 0
    text, said = capsys.readouterr()
    assert text.split()[:2] == ["faces", "says"]
    for words in ("in no group, which are left out: 10 of 40", "left out: 1 (few)", "no labels of these attributes"):
        assert words in said
    assert said.count("\n") == 3


def test_faces_in_another_frame_are_told(make_faces, tmp_path):
    """The shipped judge of photographs on square pictures."""
    folder = make_faces(tmp_path / "faces", count=40)
    with pytest.warns(CourseWarning, match="not framed as CelebA's .*24x24"):
        metrics.measure_groups("attributes-celeba-judge", folder, "Smiling", "all")


def test_mistakes(network, face_folder, tmp_path, refused):
    options = ["--groups", "Smiling"]
    refused(command("dcgan-toon-64", face_folder, *options), "tells no attributes", "attributes-toon-judge")
    refused(command("nobody", face_folder, *options), "nobody", "shipped")
    refused(command(tmp_path, face_folder, *options), tmp_path, "report.json")
    refused(command(network, tmp_path / "nowhere", *options), "nowhere")
    refused(command(network, face_folder, "--groups", "Beautiful"), "no attribute 'Beautiful'")
    refused(command(network, face_folder, "--groups", "folders"), "in no folders")
    refused(command(network, face_folder, *options), "No group has 20 faces")  # four in the test part
    refused(command(network, face_folder, *options, "--out", str(tmp_path)), tmp_path, "a folder")
