"""`evaluate` and the distance during training: the same number everywhere, and all that repeats it."""

import csv
import hashlib
import json
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from gan_course import metrics, weights  # first: it imports TensorFlow quietly
from gan_course.__main__ import main
from gan_course.data import pipeline, toon
from gan_course.errors import CourseError, CourseWarning
from gan_course.latent import sampling
from gan_course.metrics import callback, evaluation, features
from gan_course.models import attributes
from gan_course.runs import load_run
from gan_course.training import callbacks
from gan_course.widgets import monitor

import keras  # isort: skip

TINY = "--resolution 16 --latent-dim 8 --width 4 --max-width 8 --batch-size 8 --epoch 5".split()


def train(faces, run, *options):
    return main(["train", "dcgan", "--data", str(faces), "--out", str(run), *TINY, *options])


@pytest.fixture(scope="module")
def judge():
    keras.utils.set_random_seed(1)
    return metrics.FaceFeatures(attributes.build(["Smiling"], width=2, resolution=32))


@pytest.fixture(autouse=True)
def small_judge(judge, monkeypatch):
    """An untrained judge in the place of the shipped ones, and few faces without a caution."""
    for module in (evaluation, callback):
        monkeypatch.setattr(module, "feature_network", lambda choice, data: judge)
    monkeypatch.setattr(evaluation, "FEW", 2)


@pytest.fixture(scope="module")
def faces(make_faces, tmp_path_factory):
    """A CelebA folder with 8 faces in its test part, and 64 to train on."""
    return make_faces(tmp_path_factory.mktemp("faces") / "celeba", count=80, seed=3)


@pytest.fixture(scope="module")
def others(make_faces, tmp_path_factory):
    """A plain folder of 20 other pictures."""
    return make_faces(tmp_path_factory.mktemp("faces") / "others", count=20, seed=4) / "img_align_celeba"


@pytest.fixture(scope="module")
def run(faces, tmp_path_factory):
    """A finished run of 10 steps."""
    path = tmp_path_factory.mktemp("evaluate") / "run"
    assert train(faces, path, "--steps", "10") == 0
    return path


# --- evaluate ----------------------------------------------------------------------------------------------


def test_a_run_by_hand(run, faces, judge):
    result = metrics.evaluate(str(run), faces, split="train", count=30, seed=5)
    generator = load_run(run)[0].ema_generator
    fake = generator.predict(sampling.fixed_latent(30, 8, 5), verbose=0)
    images, names = pipeline.load(faces, 16, "train")
    rows = np.linspace(0, 63, 30).round().astype(int)
    a, b = judge(images[rows]), judge(fake)
    found = result["results"]
    assert found["frechet"] == pytest.approx(metrics.frechet_distance(a, b), rel=1e-6)
    assert (found["kernel"], found["kernel_error"]) == pytest.approx(metrics.kernel_distance(a, b), rel=1e-6)
    assert (found["precision"], found["recall"]) == metrics.precision_recall(a, b)

    assert result["measure"] == {
        "distance": "face-feature Frechet distance (FFD)",
        "network": "attributes",
        "network_sha256": metrics.weights_sha256(judge.model),
        "resize": judge.resize,
        "data": "celeba",
        "split": "train",
        "crop": "square",
        "resolution": 16,
        "real_count": 30,
        "fake_count": 30,
        "precision_recall_count": 30,
        "neighbours": 3,
        "kernel_subsets": 100,
        "kernel_subset_size": 15,
    }
    assert result["evaluated"] == {
        "kind": "run",
        "name": "run",
        "step": 10,
        "weights_sha256": metrics.weights_sha256(generator),
    }
    assert result["seed"] == 5 and result["versions"]["keras"] == keras.__version__
    data = b"".join((faces / "img_align_celeba" / name).read_bytes() for name in names[rows])
    assert result["real_faces_sha256"] == hashlib.sha256(data).hexdigest()
    assert str(faces.parent) not in json.dumps(result)  # no path of this machine


def test_the_seed_draws_the_faces_and_not_the_real_ones(run, faces, monkeypatch):
    seen = []
    monkeypatch.setattr(evaluation, "distances", lambda real, fake: seen.append((real, fake)) or {})
    for seed in (0, 0, 1):
        metrics.evaluate(run, faces, "train", 20, seed)
    (real, fake), (_, again), (same, other) = seen
    np.testing.assert_array_equal(fake, again)
    np.testing.assert_array_equal(real, same)
    assert np.abs(fake - other).max() > 0


def test_a_small_split_is_used_whole(run, faces, others):
    """8 faces in the test part against 30 generated ones; precision and recall from 8 of each."""
    measure = metrics.evaluate(run, faces, count=30)["measure"]
    assert (measure["real_count"], measure["fake_count"], measure["precision_recall_count"]) == (8, 30, 8)
    measure = metrics.evaluate(others, faces, count=15)["measure"]
    assert (measure["real_count"], measure["fake_count"], measure["resolution"]) == (8, 15, 64)
    measure = metrics.evaluate(others, faces, count=50, resolution=32)["measure"]
    assert (measure["real_count"], measure["fake_count"], measure["resolution"]) == (8, 20, 32)


def test_the_same_part_of_another_folder_is_no_cause_for_a_warning(faces, make_faces, tmp_path, recwarn):
    other = make_faces(tmp_path / "other", count=80, seed=5)
    metrics.evaluate(other, faces, part="test", split="test")
    assert not [w for w in recwarn if "against itself" in str(w.message)]


def test_parts_of_a_folder(faces):
    """Real against real, and the same faces in both sets, which is told."""
    result = metrics.evaluate(faces, faces, part="train")
    assert result["evaluated"] == {"kind": "folder", "name": "celeba", "part": "train"}
    assert result["measure"]["fake_count"] == 64 and result["results"]["frechet"] > 0
    for part, split in (("test", "test"), ("all", "test"), ("test", "all")):
        with pytest.warns(CourseWarning, match="measured against itself"):
            result = metrics.evaluate(faces, faces, part=part, split=split)
        if part == split:
            assert result["results"]["frechet"] < 1e-6
            assert (result["results"]["precision"], result["results"]["recall"]) == (1.0, 1.0)


def test_shipped_weights(run, faces, tmp_path, monkeypatch):
    """A run and the weights shipped from it: the same numbers and the same sha256."""
    generator = load_run(run)[0].ema_generator
    generator.save_weights(tmp_path / "tiny.weights.h5")
    data = (tmp_path / "tiny.weights.h5").read_bytes()
    settings = json.loads((run / "settings.json").read_text())
    entry = {"file": "tiny.weights.h5", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    judge = {"settings": {"model": "attributes"}}
    (tmp_path / "index.json").write_text(json.dumps({"tiny": {**entry, "settings": settings}, "judge": judge}))
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    shipped, trained = (metrics.evaluate(target, faces) for target in ("tiny", run))
    assert shipped["results"] == trained["results"] and shipped["measure"] == trained["measure"]
    assert shipped["evaluated"]["kind"] == "shipped weights"
    assert shipped["evaluated"]["weights_sha256"] == trained["evaluated"]["weights_sha256"]
    with pytest.raises(CourseError, match="'judge' draws no faces .it is of the kind 'attributes'"):
        metrics.evaluate("judge", faces)


# --- cautions ----------------------------------------------------------------------------------------------


def cautions(target, data, **options):
    """Return what `evaluate` warns of; the result must say the same."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", CourseWarning)
        result = metrics.evaluate(target, data, **options)
    told = [str(w.message) for w in told if w.category is CourseWarning]
    assert told == result["cautions"]
    return told


def test_few_faces_are_told(faces, others, monkeypatch):
    monkeypatch.setattr(evaluation, "FEW", 20)
    assert cautions(others, faces, split="train") == []  # 20 against 64
    [text] = cautions(others, faces, split="test")
    assert text.startswith("Only 8 faces of a kind") and "take 20 or more" in text
    assert cautions(others, faces, split="train", count=19)[0].startswith("Only 19 faces")
    monkeypatch.undo()
    assert evaluation.FEW == 500


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((178, 218), False),  # CelebA's
        ((89, 109), False),  # at half size
        ((250, 250), True),  # LFW, and most collections of drawn faces
        ((64, 64), True),
        ((218, 178), True),
        ((178, 230), True),
    ],
)
def test_faces_in_another_frame_are_told(size, told, others, tmp_path, judge, monkeypatch):
    """Whatever a picture shows, the judge of photographs knows faces only where CelebA's lie."""
    for i in range(8):
        Image.new("RGB", size, (30 * i, 90, 120)).save(tmp_path / f"{i}.jpg")
    monkeypatch.setattr(judge, "name", "attributes-celeba-judge")
    found = cautions(others, tmp_path, split="all")
    assert len(found) == told
    if told:
        assert f"{size[0]}x{size[1]}" in found[0] and "attributes-celeba-judge" in found[0]


def test_cartoons_have_a_judge_of_their_own(others, tmp_path, judge, monkeypatch):
    """They are square, too; but `auto` takes the network that was trained on them."""
    cartoons = toon.render(tmp_path / "toon", count=10, seed=1, resolution=32, workers=1)

    def named(name):
        judge.name = name
        return judge

    monkeypatch.setattr(judge, "name", "")
    monkeypatch.setattr(features, "FaceFeatures", named)
    monkeypatch.setattr(evaluation, "feature_network", features.feature_network)
    assert cautions(others, cartoons, split="train") == [] and judge.name == "attributes-toon-judge"
    (cartoons / toon.SETTINGS).unlink()  # then they are some folder of square pictures
    [text] = cautions(others, cartoons, split="train")
    assert "attributes-celeba-judge was trained" in text


def test_a_broken_generator(faces, tiny_gan):
    generator = tiny_gan().ema_generator
    generator.set_weights([w * np.nan for w in generator.get_weights()])
    with pytest.raises(CourseError, match="NaN or infinity"):
        metrics.generate(generator, 4)


# --- the command -------------------------------------------------------------------------------------------


def command(target, faces, *options):
    return main(["evaluate", str(target), "--data", str(faces), "--count", "20", *options])


def test_the_command(run, faces, others, tmp_path, capsys):
    assert command(run, faces, "--out", str(tmp_path / "new/a.json")) == 0
    out, err = capsys.readouterr()
    assert err == "" and [p.name for p in (tmp_path / "new").iterdir()] == ["a.json"]
    result = json.loads((tmp_path / "new/a.json").read_text())
    lines = out.splitlines()
    assert lines[1].split() == [*"face-feature Frechet distance (FFD)".split(), f"{result['results']['frechet']:.3f}"]
    assert lines[2].endswith("{kernel:.5f} +- {kernel_error:.5f}".format(**result["results"]))
    assert lines[3].split() == ["precision", f"{result['results']['precision']:.3f}"]
    assert lines[4].split() == ["recall", f"{result['results']['recall']:.3f}"]
    assert "20 faces against 8 of celeba (test), 16x16" in lines[5] and "8 of each" in lines[5]
    assert (
        lines[6].startswith("Precision says whether a face lies among real ones for this network") and len(lines) == 7
    )
    assert "FID" not in out

    # Beside another one.
    assert command(others, faces, "--resolution", "16", "--compare", str(tmp_path / "new/a.json")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["img_align_celeba", "run"]
    assert lines[1].split()[-1] == f"{result['results']['frechet']:.3f}" and len(lines[1].split()) == 6


def test_what_is_not_alike_is_not_compared(run, faces, tmp_path, capsys):
    result = metrics.evaluate(run, faces, count=20)
    for key in "distance network_sha256 resize data split resolution real_count fake_count".split():
        other = {**result, "measure": result["measure"] | {key: "other"}}
        with pytest.raises(CourseError, match=f"cannot be compared.*because {key} is"):
            metrics.comparison_table(result, other)
    metrics.save(tmp_path / "a.json", other)
    assert command(run, faces, "--compare", str(tmp_path / "a.json")) == 2
    out, err = capsys.readouterr()
    assert "cannot be compared" in err and err.count("\n") == 1
    assert len(out.splitlines()) == 7  # what was measured is shown all the same
    metrics.save(tmp_path / "a.json", {**result, "real_faces_sha256": "0"})
    assert command(run, faces, "--compare", str(tmp_path / "a.json")) == 0
    assert "not the same files" in capsys.readouterr().err


def test_mistakes(run, faces, make_faces, tmp_path, refused):
    refused(command("nobody", faces), "nobody")
    refused(command(run, tmp_path / "nowhere"), "nowhere")
    (tmp_path / "empty").mkdir()
    refused(command(tmp_path / "empty", faces), "empty", "holds no JPEG")
    refused(command(run, faces, "--count", "3"), "count is 3")
    refused(command(run, faces, "--seed", "-1"), "seed is -1")
    refused(command(run, faces, "--part", "train"), "has no part 'train'")
    refused(command(run, faces, "--resolution", "32"), "16x16", "32")
    refused(command(run, faces, "--out", str(tmp_path)), tmp_path, "a folder")
    refused(command(run, faces, "--compare", str(tmp_path / "none.json")), "no file", "none.json")
    for text in ("", "{", "[]", "{}", '{"measure": {}}', '{"measure": {"a": 1}, "evaluated": {"name": "x"}}'):
        (tmp_path / "bad.json").write_text(text)
        refused(command(run, faces, "--compare", str(tmp_path / "bad.json")), "bad.json", "measure again")
    few = make_faces(tmp_path / "few", count=20)  # two in the test part
    refused(command(run, few), "needs 4 faces or more", "few' has 2")


def test_a_failure_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    metrics.save(tmp_path / "a.json", {"old": 1})

    def full(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gan_course.files.os.replace", full)
    with pytest.raises(OSError):
        metrics.save(tmp_path / "a.json", {"new": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}


# --- during training ---------------------------------------------------------------------------------------


def rows(run):
    with open(run / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def checkpoint(run, step):
    with np.load(run / "checkpoints" / f"step-{step:09d}.npz") as file:
        return {name: file[name].tobytes() for name in file.files if name != "record"}


@pytest.fixture(scope="module")
def measured(faces, tmp_path_factory):
    """A run of 25 steps with epochs of 5, measured every 10 steps."""
    path = tmp_path_factory.mktemp("distance") / "run"
    with pytest.MonkeyPatch.context() as patch:
        keras.utils.set_random_seed(1)
        judge = metrics.FaceFeatures(attributes.build(["Smiling"], width=2, resolution=32))
        patch.setattr(callback, "feature_network", lambda choice, data: judge)
        assert train(faces, path, "--steps", "25", "--distance-every", "10") == 0
    return path


def test_the_log_has_a_column(measured):
    assert [bool(row["ffd"]) for row in rows(measured)] == [False, True, False, True, False]
    assert [int(row["step"]) for row in rows(measured)] == [5, 10, 15, 20, 25]
    assert all(None not in row and None not in row.values() for row in rows(measured))


def test_it_is_what_evaluate_gives(faces, measured, tmp_path):
    """For the same count and seed, from the checkpoint of that step."""
    shutil.copytree(measured, tmp_path / "run")
    (tmp_path / "run/checkpoints/step-000000025.npz").unlink()
    result = metrics.evaluate(tmp_path / "run", faces, split="val")  # test is for the end
    assert result["evaluated"]["step"] == 20
    assert float(rows(measured)[3]["ffd"]) == pytest.approx(result["results"]["frechet"], rel=1e-3, abs=1e-5)


def test_measuring_does_not_change_the_training(faces, measured, tmp_path):
    assert train(faces, tmp_path / "plain", "--steps", "25") == 0
    assert checkpoint(tmp_path / "plain", 25) == checkpoint(measured, 25)
    assert "ffd" not in rows(tmp_path / "plain")[0]


def test_a_resumed_run_measures_at_the_same_steps(faces, measured, tmp_path):
    for steps in ("15", "25"):
        assert train(faces, tmp_path / "run", "--steps", steps, "--distance-every", "10") == 0
    without_clock = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in rows(r)] for r in (measured, tmp_path / "run")
    ]
    assert without_clock[0] == without_clock[1]
    # Left out, the column stays; and it comes late where it was not asked for at first.
    assert train(faces, tmp_path / "run", "--steps", "30") == 0
    assert len(rows(tmp_path / "run")) == 6 and rows(tmp_path / "run")[-1]["ffd"] == ""


def test_the_time_of_measuring_is_not_the_runs(tiny_gan, monkeypatch):
    """A run of 7 seconds goes on for 30, of which 10 were for measuring; 50 more were before it went on."""
    now, pause = [1000.0], [50.0]
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: now[0])
    limit = callbacks.Limit(minutes=1, trained=7.0, paused=lambda: pause[0])
    limit.set_model(tiny_gan())
    limit.on_train_begin()
    assert limit.clock() == 7.0
    now[0], pause[0] = 1030.0, 60.0
    assert limit.clock() == 27.0


def test_a_broken_epoch_is_not_measured(faces, tiny_gan):
    distance = metrics.Distance(faces, every=2, count=8)
    distance.set_model(tiny_gan())
    distance.on_train_begin()
    distance.model.counter.assign(5)
    logs = {"d_loss": float("nan")}
    distance.on_epoch_end(0, logs)
    assert set(logs) == {"d_loss"}
    distance.on_epoch_end(1, logs := {"d_loss": 1.0})
    assert logs["ffd"] > 0 and distance.pause > 0
    distance.on_epoch_end(2, logs := {"d_loss": 1.0})  # no further 2 steps
    assert set(logs) == {"d_loss"}


def test_the_monitor_draws_it(faces, tiny_gan, pictures, capsys):
    gan = tiny_gan(dense=True)
    live = monitor.LiveMonitor(count=4)
    distance = metrics.Distance(faces, every=8, count=8)
    gan.fit(pictures, epochs=5, batch_size=8, verbose=0, shuffle=False, callbacks=[distance, live])
    assert live.distances["ffd"][0] == [8, 16] and live.steps == [4, 8, 12, 16, 20]
    assert "ffd" not in live.history and ["ffd" in line for line in capsys.readouterr().out.splitlines()][:2] == [
        False,
        True,
    ]
    figure = live.figure()
    assert figure.axes[3].get_title() == "distance to real faces"
    np.testing.assert_allclose(figure.axes[3].lines[0].get_ydata(), live.distances["ffd"][1])
    monitor.plt.close(figure)


def test_wrong_distances(faces, make_faces, tmp_path, refused):
    refused(train(faces, tmp_path / "run", "--steps", "5", "--distance-every", "0"), "every 0 steps")
    plain = make_faces(tmp_path / "plain", count=4)  # none in the part val
    refused(train(plain, tmp_path / "run", "--steps", "5", "--distance-every", "5"), "'val'", "plain")
    assert not (tmp_path / "run").exists()
    with pytest.raises(CourseError, match="on 1 faces"):
        metrics.Distance(faces, 5, count=1)
