"""The attribute network: its shapes, its training, its report, and the weights that the course ships."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from gan_course import pretrained, weights
from gan_course.__main__ import main
from gan_course.data import toon
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError, CourseWarning
from gan_course.models import attributes as networks
from gan_course.training import classifier

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = [f"attributes-{faces}-{role}" for faces in ("toon", "celeba") for role in ("steer", "judge")]
HIDDEN = ["Male", "Young"]  # causes that are not drawn
SHORT = {"attributes": ["Black_Hair", "Wearing_Lipstick", "Eyeglasses", "Bald"], "seed": 3}  # no test face is Bald
SHORT |= {"width": 8, "resolution": 32, "batch_size": 16, "epochs": 5}
TINY = {"width": 4, "resolution": 16, "batch_size": 16, "epochs": 2}


@pytest.fixture(scope="module")
def cartoons(tmp_path_factory):
    """A folder of 320 faces that no shipped network was trained on."""
    return toon.render(tmp_path_factory.mktemp("attributes") / "toon", count=320, seed=99, resolution=64)


@pytest.fixture(scope="module")
def seen(cartoons):
    """(pictures, labels) of all of them."""
    return classifier.read(open_faces(cartoons), toon.ATTRIBUTES, 64, "all")


class Watched(classifier._Keep):
    """Notes the weights after the first epoch; with `stop`, Ctrl-C comes then."""

    first, stop = None, False

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if epoch == 0:
            Watched.first = self.network.get_weights()
            if self.stop:
                raise KeyboardInterrupt


@pytest.fixture(scope="module")
def trained(cartoons, tmp_path_factory):
    """What a short training returns, its folder, and the weights after its first epoch. The only long one here."""
    out = tmp_path_factory.mktemp("attributes") / "out"
    with pytest.MonkeyPatch.context() as patch, pytest.warns(CourseWarning, match="not defined for Bald"):
        patch.setattr(classifier, "_Keep", Watched)
        return (*classifier.train(cartoons, out, **SHORT), out, Watched.first)


@pytest.fixture
def no_fit(monkeypatch):
    """A training that gets to `fit` fails: what has to be told before must be."""

    def fit(*args, **kwargs):
        pytest.fail("the training began")

    monkeypatch.setattr(keras.Sequential, "fit", fit)


def values(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


# --- the network -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "resolution"), [(32, 64), (4, 16), (6, 128)])
def test_shapes(width, resolution):
    model = networks.build(["Male", "Smiling", "Bald"], width, resolution)
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, resolution, resolution, 3)).astype("float32")
    assert model(pictures).shape == (2, 3)
    features = networks.feature_extractor(model)(pictures)
    assert features.shape == (2, 8 * width) and np.min(features) >= 0
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(features @ kernel + bias, model(pictures), atol=1e-5)  # dropout sleeps


def test_the_network_is_small():
    assert 4 * networks.build([f"a{i}" for i in range(40)]).count_params() < 6e6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([],), "name one or more"),
        ((["Male", "Bald", "Male"],), "each once"),
        ((["Male"], 0), "width is 0"),
        ((["Male"], 8, 40), "resolution is 40"),
    ],
)
def test_wrong_networks(arguments, words):
    with pytest.raises(CourseError, match=words):
        networks.build(*arguments)


# --- variation -------------------------------------------------------------------------------------------


def varied_by(seed, pictures):
    return np.array(classifier.Augment(seed)(pictures, training=True))


def test_variation_moves_a_face_a_little_and_repeats_itself():
    pictures = np.full((200, 64, 64, 3), -0.5, "float32")
    pictures[:, 30:34, 30:34] = 0.5  # a dot in the middle
    varied = varied_by(3, pictures)
    assert varied.shape == pictures.shape and np.abs(varied).max() <= 1
    np.testing.assert_array_equal(varied, varied_by(3, pictures))
    assert not np.array_equal(varied, varied_by(4, pictures))

    ground = varied[:, 5, 5, 0]
    assert ground.std() > 0.03 and np.abs(ground + 0.5).max() < 0.16  # 0.1 lighter, 10% of 0.5
    dot = varied[..., 0] - ground[:, None, None]
    weight = dot.sum(axis=(1, 2))
    y, x = ((dot * grid).sum(axis=(1, 2)) / weight for grid in np.mgrid[:64, :64])
    for centre in (x, y):  # the dot's is 31.5
        assert 2.5 < np.abs(centre - 31.5).max() < 3.3 and abs(centre.mean() - 31.5) < 0.5


def test_variation_turns_and_enlarges_about_the_middle():
    pictures = np.full((400, 64, 64, 3), -1.0, "float32")
    for x in (12, 50):  # two dots, 38 pixels apart
        pictures[:, 30:34, x : x + 2] = 1.0
    varied = varied_by(0, pictures)[..., 0]
    dot = np.where(varied > -0.5, varied + 0.5, 0)
    y, x = np.mgrid[:64, :64]
    found = []
    for half in (x < 32, x >= 32):
        weight = (dot * half).sum(axis=(1, 2))
        found.append([(dot * half * grid).sum(axis=(1, 2)) / weight for grid in (x, y)])
    dx, dy = np.subtract(found[1], found[0])
    distance, angle = np.hypot(dx, dy) / 38, np.degrees(np.arctan2(dy, dx))
    assert 1.05 < distance.max() < 1.1 and 0.9 < distance.min() < 0.95
    assert 5 < angle.max() < 6.5 and -6.5 < angle.min() < -5


# --- measuring -------------------------------------------------------------------------------------------


def test_the_table_against_numbers_by_hand():
    labels = np.array([[1, 0], [1, 0], [0, 0], [0, 0], [0, 1]], "float32")
    logits = np.array([[2, -1], [-1, -2], [1, -3], [-2, -1], [-3, 5]], "float32")
    table = classifier.measure(logits, labels, ["Male", "Bald"])
    # Male: of 2 with it 1 is found, of 3 without it 2; 5 of the 6 pairs are in the right order.
    np.testing.assert_allclose(table.loc["Male"], [2 / 5, 3 / 5, 3 / 5, (1 / 2 + 2 / 3) / 2, 5 / 6])
    np.testing.assert_allclose(table.loc["Bald"], [1 / 5, 4 / 5, 1, 1, 1])
    assert list(table.columns) == ["share", "majority", "accuracy", "balanced", "auc"]
    assert classifier.table_text(table).splitlines()[-1].split() == "mean 0.300 0.700 0.800 0.792 0.917".split()


def test_an_attribute_of_one_class_is_named_and_not_a_number_silently():
    labels = np.array([[1, 0], [1, 1], [1, 1]], "float32")
    with pytest.warns(CourseWarning, match="not defined for Male: these 3 faces"):
        table = classifier.measure(labels - 0.5, labels, ["Male", "Bald"])
    assert table.loc["Male", ["balanced", "auc"]].isna().all() and table.loc["Male", "accuracy"] == 1
    assert classifier.table_text(table).splitlines()[1].split()[-2:] == ["-", "-"]
    assert table["auc"].mean() == 1  # of those that have one


def test_calibration_moves_the_decisions_and_keeps_the_order():
    random = np.random.default_rng(0)
    model = networks.build(["a", "b"], 4, 16)
    pictures = random.uniform(-1, 1, (400, 16, 16, 3)).astype("float32")
    before = model.predict(pictures, verbose=0)
    # The truth: the tenth with the largest first logit, blurred. For b, all faces are alike.
    noisy = before[:, 0] + random.normal(0, before[:, 0].std() / 5, 400)
    labels = np.stack([noisy > np.quantile(noisy, 0.9), np.ones(400)], axis=1).astype("float32")
    model.get_layer("logits").set_weights([model.get_layer("logits").get_weights()[0], np.array([-3.0, 2.0])])
    logits = model.predict(pictures, verbose=0)
    classifier.calibrate(model, logits, labels)
    after = model.predict(pictures, verbose=0)
    np.testing.assert_allclose(after[:, 1], logits[:, 1], atol=1e-6)
    ordered = after[np.argsort(logits[:, 0]), 0]
    assert (np.diff(ordered) >= -1e-6).all()  # two nearly equal logits may be rounded to either order
    first, second = (classifier.measure(z[:, :1], labels[:, :1], ["a"]) for z in (logits, after))
    assert first.loc["a", "balanced"] == 0.5 and second.loc["a", "balanced"] > 0.85


# --- training --------------------------------------------------------------------------------------------


def test_training_learns_and_leaves_a_report(trained, cartoons):
    model, table, out, _ = trained
    report = json.loads((out / classifier.REPORT).read_text())
    loss = report["history"]["loss"]
    assert loss[-1] < 0.8 * loss[0]
    assert table.loc["Black_Hair", "auc"] > 0.9  # a colour: learnt within seconds
    assert report["test"]["Black_Hair"]["auc"] == round(table.loc["Black_Hair", "auc"], 4)
    assert report["faces"] == {"train": 256, "val": 32, "test": 32} and report["epochs"] == 5
    assert 1 <= report["best_epoch"] <= 5
    assert sorted(path.name for path in out.iterdir()) == [classifier.WEIGHTS, classifier.REPORT]

    settings = report["settings"]
    again = networks.build(settings["attributes"], settings["width"], settings["resolution"])
    again.load_weights(out / classifier.WEIGHTS)
    for a, b in zip(values(model), values(again), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.warns(CourseWarning, match="Bald"):
        np.testing.assert_allclose(classifier.report(again, cartoons, settings["attributes"]), table, atol=1e-6)

    loaded, names = classifier.load_trained(out)
    assert names == SHORT["attributes"]
    for a, b in zip(values(model), values(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_attributes_of_one_class_leave_no_nan_in_the_report(trained):
    text = (trained[2] / classifier.REPORT).read_text()
    assert "NaN" not in text and json.loads(text)["test"]["Bald"]["auc"] is None


def test_ctrl_c_keeps_the_best_network_so_far_and_a_seed_repeats_a_training(
    trained, cartoons, tmp_path, monkeypatch, capsys
):
    """Stopped after one of 5 epochs: network and report are there, and that epoch is bit for bit the other training's."""
    monkeypatch.setattr(classifier, "_Keep", Watched)
    monkeypatch.setattr(Watched, "stop", True)
    out = tmp_path / "again"
    with pytest.warns(CourseWarning, match="Bald"):
        network, table = classifier.train(cartoons, out, **SHORT)
    assert "Stopped after 1 of 5 epochs; the best network so far is kept." in capsys.readouterr().out
    assert all(np.array_equal(a, b) for a, b in zip(trained[3], Watched.first, strict=True))

    assert sorted(path.name for path in out.iterdir()) == [classifier.WEIGHTS, classifier.REPORT]
    report, whole = (json.loads((folder / classifier.REPORT).read_text()) for folder in (out, trained[2]))
    assert report["epochs"] == report["best_epoch"] == 1
    assert {name: numbers[:1] for name, numbers in whole["history"].items()} == report["history"]
    assert report["test"]["Eyeglasses"]["auc"] == round(table.loc["Eyeglasses", "auc"], 4)
    for a, b in zip(values(network), values(classifier.load_trained(out)[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_ctrl_c_before_the_first_epoch_leaves_nothing(cartoons, tmp_path, monkeypatch, capsys):
    def fit(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Sequential, "fit", fit)
    out = tmp_path / "out"
    assert main(["attributes", "--data", str(cartoons), "--out", str(out), "--width", "4"]) == 130
    assert capsys.readouterr() == ("", "gan_course: stopped.\n")
    assert list(out.iterdir()) == []  # so the same command may begin anew


def test_each_better_epoch_is_written_and_no_other(tmp_path):
    model = networks.build(["a"], 2, 16)
    keep = classifier._Keep(model, tmp_path / classifier.WEIGHTS)
    written = []
    for epoch, auc in enumerate([0.6, 0.5, 0.7, 0.7]):
        keep.on_epoch_end(epoch, {"val_auc": auc, "loss": float("nan")})
        written.append((tmp_path / classifier.WEIGHTS).read_bytes())
        model.get_layer("logits").bias.assign_add([1.0])
    assert written[0] == written[1] != written[2] == written[3]
    assert keep.best_epoch == 3 and keep.epochs == 4
    assert keep.history == {"val_auc": [0.6, 0.5, 0.7, 0.7], "loss": [None] * 4}


def test_a_folder_that_cannot_be_written_is_told_before_the_work(cartoons, tmp_path, no_fit, refused):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"  # not even root can make it
    with pytest.raises(OSError):
        classifier.train(cartoons, out, **TINY)
    refused(main(["attributes", "--data", str(cartoons), "--out", str(out)]), tmp_path / "file", "check the path")


def test_a_damaged_or_unfinished_network_is_refused(trained, tmp_path):
    with pytest.raises(CourseError, match=r"holds no report\.json"):
        classifier.load_trained(tmp_path)
    (tmp_path / classifier.REPORT).write_bytes((trained[2] / classifier.REPORT).read_bytes())
    with pytest.raises(CourseError, match="is damaged"):
        classifier.load_trained(tmp_path)
    (tmp_path / classifier.WEIGHTS).write_bytes((trained[2] / classifier.WEIGHTS).read_bytes()[:1000])
    with pytest.raises(CourseError, match="is damaged"):
        classifier.load_trained(tmp_path)
    (tmp_path / classifier.REPORT).write_text("[]")
    with pytest.raises(CourseError, match="is damaged"):
        classifier.load_trained(tmp_path)


def test_mistakes(cartoons, tmp_path, no_fit):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("")
    for options, words in [
        ({"attributes": ["Beautiful"]}, "no attribute 'Beautiful'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"width": 0}, "width is 0"),
        ({"batch_size": 1000}, "fewer than one batch"),
        ({"out": tmp_path / "full"}, "not an empty folder"),
    ]:
        with pytest.raises(CourseError, match=words):
            classifier.train(**{"data": cartoons, "out": tmp_path / "out", **TINY, **options})
    plain = tmp_path / "plain"
    plain.mkdir()
    Image.new("RGB", (20, 20)).save(plain / "a.png")
    with pytest.raises(CourseError, match=r"list_attr_celeba\.txt"):
        classifier.train(plain, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(trained, cartoons, tmp_path, capsys, refused, monkeypatch):
    """It hands its options on and prints the table; the training itself is tested above."""
    command = ["attributes", "--data", str(cartoons), "--width", "4", "--seed", "2", "--epochs", "1", "--out"]
    refused(main([*command, str(trained[2])]), trained[2], "not an empty folder")
    given = []
    monkeypatch.setattr(classifier, "train", lambda *a, **k: given.append((a, k)) or trained[:2])
    assert main([*command, str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert given == [((cartoons, tmp_path / "out"), {"width": 4, "seed": 2, "epochs": 1})]
    assert "Wearing_Lipstick" in out and "balanced" in out and str(tmp_path / "out") in out


# --- what the course ships -------------------------------------------------------------------------------


def test_the_shipped_networks_are_small_and_differ():
    entries = pretrained.index()
    for faces in ("toon", "celeba"):
        steer, judge = (entries[f"attributes-{faces}-{role}"]["settings"] for role in ("steer", "judge"))
        assert steer["seed"] != judge["seed"] and steer["width"] != judge["width"]
        assert steer["attributes"] == judge["attributes"] and steer["resolution"] == judge["resolution"] == 64
    for name in SHIPPED:
        assert entries[name]["bytes"] < 6e6
        card = (weights.FOLDER / f"{name}.md").read_text(encoding="utf-8")
        assert all(f"| {a} |" in card for a in entries[name]["settings"]["attributes"])
        assert f"{entries[name]['mean_auc']:.3f}" in card


@pytest.mark.parametrize("name", SHIPPED[:2])
def test_shipped_networks_know_new_cartoon_faces(name, seen):
    pictures, labels = seen
    names = pretrained.index()[name]["settings"]["attributes"]
    assert tuple(names) == toon.ATTRIBUTES
    table = classifier.measure(pretrained.load(name).predict(pictures, verbose=0), labels, names)
    visible = table.drop(HIDDEN)
    assert visible["balanced"].mean() > 0.99 and visible["balanced"].min() > 0.95, visible
    assert table.loc["Male", "balanced"] > 0.93 and table.loc["Young", "balanced"] > 0.7


def test_weights_load_on_another_backend(seen, tmp_path):
    pytest.importorskip("torch")
    np.save(tmp_path / "pictures.npy", seen[0][:3])
    code = """
import numpy as np
from gan_course import pretrained
import keras
assert keras.config.backend() == "torch"
model = pretrained.load("attributes-toon-judge")
np.save("there.npy", model.predict(np.load("pictures.npy"), verbose=0))
"""
    environment = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    here = pretrained.load("attributes-toon-judge").predict(seen[0][:3], verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "there.npy"), here, rtol=1e-3, atol=1e-3)


def test_an_attribute_network_draws_no_faces(tmp_path, refused):
    refused(main(["sample", "attributes-toon-judge", "--out", str(tmp_path / "a.png")]), "draws no faces")


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    entry = pretrained.index()["attributes-toon-steer"]
    data = bytearray((weights.FOLDER / entry["file"]).read_bytes())
    data[-1] ^= 1
    (tmp_path / entry["file"]).write_bytes(data)
    (tmp_path / "index.json").write_text(json.dumps({"attributes-toon-steer": entry}))
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    monkeypatch.setattr(weights, "ROOT", tmp_path)
    with pytest.raises(CourseError, match="damaged"):
        pretrained.load("attributes-toon-steer")
