"""Text to face: the encoder, the cloud around a sentence, the critic that reads, training, and what one types."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gan_course import losses, pretrained, runs, systems
from gan_course.__main__ import main
from gan_course.backend import keras, to_numpy
from gan_course.data import captions, toon
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError
from gan_course.models import text_to_face
from gan_course.models.attributes import feature_extractor
from gan_course.training import text
from gan_course.training.classifier import attribute_network
from gan_course.training.gan import Batch

SMALL = dict(words=9, attributes=3, length=6, text_dim=8, embedding=5, condition_dim=4, resolution=8, latent_dim=6,
             base=32, max_width=8)  # fmt: skip
TINY = dict(resolution=16, latent_dim=6, width=4, max_width=8, batch_size=8, max_batch=8, epoch=2, start=8, fade_images=16,
            stable_images=16, length=24, text_dim=12, condition_dim=4, reading_steps=20, r1_interval=2)  # fmt: skip
ONE = TINY | dict(start=16)  # one stage: compiled once
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def generator():
    keras.utils.set_random_seed(0)
    return text_to_face.build_generator(**SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toon.render(tmp_path_factory.mktemp("text") / "toon", count=40, seed=3)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory, in_python):
    """A run of 6 steps: level 8, its fade to 16, and 16."""
    path = tmp_path_factory.mktemp("text") / "run"
    with in_python():
        runs.train(path, steps=6, model="text", data=str(folder), say=lambda text: None, **TINY)
    return path


# --- the networks ------------------------------------------------------------------------------------------


def test_the_encoder_reads_the_last_word_and_no_padding(generator):
    short, padded = [[3, 4, 5]], [[3, 4, 5, 0, 0, 0]]
    psi = to_numpy(generator.encoder(np.array(padded)))
    np.testing.assert_allclose(to_numpy(generator.encoder(np.array(short))), psi, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose((psi**2).mean(), 1, rtol=1e-2)
    for other in ([[3, 4, 6, 0, 0, 0]], [[3, 4, 5, 5, 0, 0]], [[4, 3, 5, 0, 0, 0]]):
        assert np.abs(to_numpy(generator.encoder(np.array(other))) - psi).max() > 1e-3
    assert np.isfinite(to_numpy(generator.encoder(np.zeros((1, 6), "int32")))).all()


def test_the_encoder_by_hand(generator):
    """An LSTM step by step: gates i, f, c, o; then mean square 1."""
    table = to_numpy(generator.encoder.embedding.embeddings)
    kernel, recurrent, bias = (to_numpy(v) for v in generator.encoder.lstm.weights)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    h = c = np.zeros(8)
    for word in (3, 7, 2):
        i, f, g, o = np.split(table[word] @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    expected = h / np.sqrt((h**2).mean() + 1e-8)
    np.testing.assert_allclose(
        to_numpy(generator.encoder(np.array([[3, 7, 2, 0, 0, 0]])))[0], expected, rtol=1e-4, atol=1e-5
    )


def test_the_cloud_and_its_divergence():
    keras.utils.set_random_seed(0)
    layer = text_to_face.Augmentation(3)
    layer.build((None, 5))
    layer.log_variance.kernel.assign(10 * RNG.normal(size=(5, 3)))
    psi, noise = RNG.normal(size=(4, 5)).astype("float32"), RNG.normal(size=(4, 3)).astype("float32")
    mean = psi @ to_numpy(layer.mean.kernel) / 5**0.5
    log_variance = 0.1 * psi @ to_numpy(layer.log_variance.kernel) / 5**0.5 - 2
    np.testing.assert_allclose(
        to_numpy(layer(psi, noise)), mean + np.exp(log_variance / 2) * noise, rtol=1e-4, atol=1e-5
    )
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(1).mean()
    np.testing.assert_allclose(float(layer.divergence(psi)), kl, rtol=1e-4)
    layer.log_variance.bias.assign(np.full(3, 2.0))  # a standard normal: nothing of the sentence is left
    for dense in (layer.mean, layer.log_variance):
        dense.kernel.assign(np.zeros((5, 3)))
    assert float(layer.divergence(psi)) == pytest.approx(0, abs=1e-6)
    plain = text_to_face.Augmentation(3, spread=False)
    np.testing.assert_array_equal(to_numpy(plain(psi, noise)), to_numpy(plain(psi, 0 * noise)))


def test_a_generator_of_sentences(generator, tmp_path):
    latent, psi = RNG.normal(size=(2, 10)).astype("float32"), RNG.normal(size=(2, 8)).astype("float32")
    pictures = to_numpy(generator([latent, psi]))
    assert pictures.shape == (2, 8, 8, 3)
    for moved in (
        [latent, -psi],
        [latent + np.eye(10, dtype="float32")[0], psi],
        [latent + np.eye(10, dtype="float32")[9], psi],
    ):
        assert np.abs(to_numpy(generator(moved)) - pictures).max() > 1e-3  # the sentence, z, the noise of the cloud
    assert to_numpy(generator.told(psi)).shape == (2, 3, 3)
    trained = {id(v) for v in generator.trainable_variables}
    assert not trained & {id(v) for v in [*generator.encoder.weights, *generator.heads.weights]}
    assert {id(v) for v in generator.augmentation.weights} <= trained
    generator.save(tmp_path / "g.keras")
    np.testing.assert_array_equal(to_numpy(keras.models.load_model(tmp_path / "g.keras")([latent, psi])), pictures)


def test_a_discriminator_of_sentences():
    keras.utils.set_random_seed(0)
    d = text_to_face.build_discriminator(8, 4, 8, base=32, max_width=8)
    x, psi = RNG.normal(size=(4, 8, 8, 3)).astype("float32"), RNG.normal(size=(4, 8)).astype("float32")
    scores = to_numpy(d([x, psi]))
    np.testing.assert_array_equal(to_numpy(d.head(d.maps(x), psi)), scores)
    assert np.abs(to_numpy(d([x, psi[::-1]])) - scores).max() > 1e-3


# --- wrong sentences ---------------------------------------------------------------------------------------------


def test_contradictions_by_hand():
    truth = np.array([[1, -1, 1], [-1, -1, 0]])
    told = np.array([[1, 0, 0], [0, 1, -1], [-1, 1, 1]])
    np.testing.assert_array_equal(to_numpy(text.contradictions(told, truth)), [[0, 2, 2], [1, 1, 1]])


def test_wrong_captions_are_never_ones_own_and_contradict_where_one_can():
    random = np.random.default_rng(1)
    truth = np.where(random.random((16, 5)) < 0.5, 1, -1)
    told = truth * (random.random((16, 5)) < 0.4)
    chosen = np.array(
        [to_numpy(text.wrong_captions(told, truth, random.random((16, 16)).astype("float32"))) for _ in range(200)]
    )
    assert (chosen != np.arange(16)).all()
    false = to_numpy(text.contradictions(told, truth)) > 0
    assert false.any(1).all() and false[np.arange(16), chosen].all()
    assert all(set(chosen[:, i]) == set(np.flatnonzero(false[i])) for i in range(16))  # each of them, in turn
    alike = np.ones((4, 2))
    rows = to_numpy(text.wrong_captions(alike, alike, random.random((4, 4)).astype("float32")))
    assert (rows != np.arange(4)).all()  # none contradicts: another face's all the same


@pytest.fixture(scope="module")
def config(folder):
    return systems.recipe(model="text", data=str(folder), **TINY)


def test_the_critics_loss_is_balanced(config):
    """What is added to all scores does not change a Wasserstein critic's loss; T2F's grows by as much."""
    gan = systems.build(replace(config, loss="wasserstein", drift=0.0))
    right, fake, wrong = (RNG.normal(size=(8, 1)).astype("float32") for _ in range(3))
    loss = float(gan.losses(right, fake, wrong)[0])
    assert loss == pytest.approx(0.5 * fake.mean() + 0.5 * wrong.mean() - right.mean(), abs=1e-5)
    assert float(gan.losses(right + 5, fake + 5, wrong + 5)[0]) == pytest.approx(loss, abs=1e-5)
    assert float(gan.losses(right, fake, wrong)[2]) == pytest.approx(-fake.mean(), abs=1e-5)


def test_the_generators_loss_asks_what_a_network_sees(config):
    told = np.array([[1, 0, -1], [0, -1, 0]])
    logits = np.array([[2.0, 9.0, 1.0], [9.0, -3.0, 9.0]], "float32")
    wanted = np.mean([np.log1p(np.exp(-2.0)), np.log1p(np.exp(1.0)), np.log1p(np.exp(-3.0))])
    assert float(losses.missed(logits, told)) == pytest.approx(wanted, rel=1e-5)
    assert float(losses.missed(logits, 0 * told)) == 0.0
    gan = systems.build(replace(config, match=0.5, steering="attributes-toon-steer"))
    scores = RNG.normal(size=(3, 8, 1)).astype("float32")
    without, asked = gan.losses(*scores), gan.losses(*scores, 2.0)
    assert float(asked[2] - without[2]) == pytest.approx(1.0, abs=1e-5) and asked[0] == without[0]
    assert float(gan.trackers["match"].result()) == 2.0
    # It sees in pictures what the network sees, each attribute in its own column.
    network, known = attribute_network("attributes-toon-steer")
    x = RNG.uniform(-1, 1, (2, 16, 16, 3)).astype("float32")
    seen = to_numpy(network(np.repeat(np.repeat(x, 4, 1), 4, 2)))
    found, features = (to_numpy(part) for part in gan.look(x))
    wanted = to_numpy(feature_extractor(network)(np.repeat(np.repeat(x, 4, 1), 4, 2)))
    np.testing.assert_allclose(features, wanted, rtol=1e-4, atol=1e-4)
    for i, name in enumerate(config.attributes):
        np.testing.assert_allclose(
            found[:, i], seen[:, known.index(name)] if name in known else 0.0, rtol=1e-4, atol=1e-4
        )
    for weight in ("match", "vary"):
        with pytest.raises(CourseError, match=f"{weight} asks .*--steering auto"):
            systems.build(replace(config, **{weight: 0.5}))


def test_the_discriminator_tells_what_it_sees(config):
    gan = systems.build(replace(config, start=16, tell=0.5))
    scores = RNG.normal(size=(3, 8, 1)).astype("float32")
    without, asked = gan.losses(*scores), gan.losses(*scores, None, (2.0, 3.0))
    assert float(asked[0] - without[0]) == pytest.approx(1.0, abs=1e-5)
    assert float(asked[2] - without[2]) == pytest.approx(1.5, abs=1e-5)
    assert float(gan.trackers["tell"].result()) == 3.0
    d, count = gan.discriminator, len(config.attributes)
    real, fake = RNG.uniform(-1, 1, (2, 8, 16, 16, 3)).astype("float32")
    told, true = RNG.integers(-1, 2, (2, 8, count))
    psi = RNG.normal(size=(8, config.text_dim)).astype("float32")
    *_, both = gan.scores(real, fake, text.Sentences(psi, None, np.roll(np.arange(8), 1), told, true))
    for pictures, target, value in zip((real, fake), (true, told), both, strict=True):
        seen = d.tell(d.maps(pictures))
        assert seen.shape == (8, count) and float(value) == pytest.approx(float(losses.missed(seen, target)), rel=1e-5)
    other = systems.build(config).discriminator  # without it no weights for it: older checkpoints still load
    assert len(d.weights) == len(other.weights) + 2


def test_two_faces_of_a_sentence_are_pushed_apart(config):
    pairs = np.array([[0, 0], [3, 4], [0, 1], [3, 4]], "float32")  # distances 1 and 0
    real = np.array([[0, 0], [0, 2]], "float32")  # 2 and 2
    assert float(losses.alike(pairs, real)) == pytest.approx(0.75, abs=1e-4)
    assert float(losses.alike(pairs, real, 0.5)) == pytest.approx(0.5, abs=1e-4)
    assert float(losses.alike(10 * pairs, real)) == 0.0  # farther than real ones: enough
    gan = systems.build(replace(config, start=16, vary=2.0, steering="attributes-toon-steer"))
    (alike,) = (phase for phase in gan.phases if phase.name == "alike")
    assert alike.player == "g" and float(alike.weight()) == 2.0 and alike.interval > 1
    drawn = []
    gan.look = lambda x: (drawn.append(to_numpy(x)), keras.ops.convert_to_tensor(x)[:, 0, :, 0])  # (logits, features)
    psi = RNG.normal(size=(8, config.text_dim)).astype("float32")
    real = RNG.uniform(-1, 1, (8, 16, 16, 3)).astype("float32")
    gan.alike_value(Batch(real, None, None, text.Sentences(psi, None, None, None, None)))
    fake = drawn[0]
    assert fake.shape == (8, 16, 16, 3) and np.array_equal(drawn[1], real)
    assert np.abs(fake[:4] - fake[4:]).max(axis=(1, 2, 3)).min() > 0  # other latent vectors


# --- training -----------------------------------------------------------------------------------------------------


def state(path):
    return [to_numpy(v) for v in runs.load_run(path)[0].state()]


def test_a_run(run, folder, config):
    trainer, found = runs.load_run(run)
    assert found == config and trainer.step == 6
    log = (run / "log.csv").read_text().splitlines()
    assert set("step resolution alpha d_loss g_loss real fake wrong r1 kl".split()) <= set(log[0].split(","))
    assert len(list((run / "sheets").iterdir())) == 4 and (run / "training.gif").exists()
    fresh = systems.build(config)
    for part in (
        lambda gan: gan.generator.augmentation.mean,
        lambda gan: gan.generator.dense,
        lambda gan: gan.discriminator.text,
    ):
        assert np.abs(to_numpy(part(trainer).kernel) - to_numpy(part(fresh).kernel)).max() > 1e-3  # it has moved
    for a, b in zip(trainer.generator.encoder.weights, trainer.ema_generator.encoder.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))  # taught before, then frozen


@pytest.mark.usefixtures("eagerly")
def test_resumed_bit_for_bit(run, folder, tmp_path, as_after):
    again = as_after(run, 4, tmp_path / "run")
    runs.train(again, steps=6, model="text", data=str(folder), say=lambda text: None)
    for a, b in zip(state(run), state(again), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("eagerly")
def test_a_tuned_encoder_moves_slowly(folder, tmp_path):
    command = dict(
        model="text", data=str(folder), say=lambda text: None, encoder="tuned", augmentation=False, mismatch=0.0
    )
    trainer = runs.train(tmp_path / "run", steps=2, **command, **ONE | dict(epoch=2, reading_steps=2))
    before = to_numpy(trainer.generator.encoder.lstm.weights[0]).copy()
    assert float(to_numpy(trainer.text_optimizer.learning_rate)) == pytest.approx(0.05 * 2e-3)
    trainer = runs.train(tmp_path / "run", steps=4, **command)
    moved = np.abs(to_numpy(trainer.generator.encoder.lstm.weights[0]) - before).max()
    assert 0 < moved < 2 * 0.05 * 2e-3 * 10
    assert not {"wrong", "kl"} & set((tmp_path / "run/log.csv").read_text().splitlines()[0].split(","))


def test_new_words_come_between_the_others():
    random = np.random.default_rng(0)
    numbers = random.integers(2, 9, (200, 20)).astype("int16")
    numbers[:, 15:], numbers[0] = 0, 0
    made = text.with_new_words(numbers, random)
    assert made.shape == numbers.shape and made.dtype == numbers.dtype and not made[0].any()
    for old, new in zip(numbers, made, strict=True):
        kept = new[new > 1]
        np.testing.assert_array_equal(kept, old[: len(kept)])  # in their order
        assert len(kept) == 15 or new.all() or not old.any()  # only what does not fit is lost, and at the end
        assert (np.diff(new != 0) == 0).sum() >= 18  # the padding is at the end
    assert 0.05 < (made == 1).sum() / (made != 0).sum() < 0.15
    np.testing.assert_array_equal(text.with_new_words(numbers, random, rate=0.0), numbers)


def test_the_encoder_is_taught_to_read():
    keras.utils.set_random_seed(0)
    faces = [{"Smiling": i % 2, "Eyeglasses": i // 2 % 2} for i in range(64)]
    made = [captions.caption(face, k=k, name=str(i)) for i, face in enumerate(faces) for k in range(8)]
    known, names = captions.vocabulary(c.text for c in made), ["Eyeglasses", "Smiling"]
    numbers = captions.Reader(known, 24)([c.text for c in made])
    told = captions.told_table(made, names)
    network = text_to_face.build_generator(
        **SMALL | dict(words=len(known) + 2, attributes=2, length=24, text_dim=24, embedding=16)
    )
    before = text.read_well(network, numbers[400:], told[400:])
    text.teach(network, numbers[:400], told[:400], steps=300, batch_size=32, rate=1e-2)
    after = text.read_well(network, numbers[400:], told[400:])
    assert before["whole"] < 0.5 and after["whole"] > 0.9 and after["told"] > 0.95, after


def test_peoples_sentences_are_mixed_in(folder, tmp_path):
    pages = [f"{i}.jpg" for i in range(10)]
    rows = [
        {"image": page, "caption": f"a {'xylophone' if captions.held_out(page) else 'bespectacled'} lady with glasses"}
        for page in pages
    ]
    (tmp_path / "captions.json").write_text(json.dumps(rows))
    command = dict(model="text", data=str(folder), say=lambda text: None, human=str(tmp_path / "captions.json"))
    command |= dict(precision="mixed_bfloat16")
    trainer = runs.train(tmp_path / "run", steps=4, **command, **ONE)
    assert "bespectacled" in trainer.config.words and "xylophone" not in trainer.config.words
    assert trainer.generator.first.compute_dtype == "bfloat16" and trainer.generator.encoder.compute_dtype == "float32"
    held = [row for row in rows if "xylophone" in row["caption"]]
    (tmp_path / "held.json").write_text(json.dumps(held))
    with pytest.raises(CourseError, match="kept for measuring"):
        systems.recipe(model="text", data=str(folder), human=str(tmp_path / "held.json"))
    with pytest.raises(CourseError, match="Cannot read"):
        runs.train(tmp_path / "none", steps=4, **command | dict(human=str(tmp_path / "none.json")), **ONE)


def test_own_sentences_and_wrong_settings(folder, tmp_path, make_faces):
    own = make_faces(tmp_path / "own", count=40)
    rows = {name: [{"text": f"A {'red' if i % 2 else 'blue'} thing."}] for i, name in enumerate(open_faces(own).names)}
    (own / captions.FILE).write_text(json.dumps({"captions": rows}))
    with pytest.raises(CourseError, match="do not say what they tell"):
        systems.recipe(model="text", data=str(own))
    for i, few in enumerate(rows.values()):
        few[0]["told"] = {"Red": 1 if i % 2 else -1}  # no attribute of CelebA
    (own / captions.FILE).write_text(json.dumps({"captions": rows}))
    trainer = runs.train(tmp_path / "run", steps=4, model="text", data=str(own), say=lambda text: None, **ONE)
    assert trainer.config.words == [".", "a", "blue", "red", "thing"] and trainer.config.attributes == ["Red"]
    for wrong, says in (
        (dict(mismatch=1.0), "mismatch is 1.0"),
        (dict(batch_size=1, max_batch=1), "a wrong sentence is another face's"),
        (
            dict(batch_size=1, max_batch=1, mismatch=0.0, vary=1.0, steering="attributes-toon-steer"),
            "2 or more, or vary 0",
        ),
        (dict(encoder="bert"), "encoder is bert"),
        (dict(kl=-1.0), "kl is -1.0"),
    ):
        with pytest.raises(CourseError, match=says):
            runs.train(tmp_path / "none", steps=4, model="text", data=str(folder), **ONE | wrong)
    assert not (tmp_path / "none").exists()


# --- what one types -------------------------------------------------------------------------------------------------


def test_understood(run):
    found = pretrained.find(run)
    said = found.config.understand(found.network, "A tall man, with glasses")
    assert [word for word, _, _ in said.words] == ["a", "tall", "man", ",", "with", "glasses"] and said.unknown == [
        "tall"
    ]
    assert all(0 <= share <= 1 and (name in said.told or not name) for _, name, share in said.words)
    assert "not known: tall" in str(said) and said.left_out == 0
    long = found.config.understand(found.network, "man " * 2000)
    assert long.left_out == 2000 - 24 and len(long.words) == 24 and "the last 1,976 words" in str(long)


def test_a_face_or_one_sentence(run, tmp_path, capsys, refused):
    out = tmp_path / "sheet.png"
    command = ["sample", str(run), "--count", "3", "--out", str(out), "--text"]
    for typed in ("A man with glasses.", "A xylophone, man", "man " * 2000, "A man\u2019s caf\u00e9!"):
        out.unlink(missing_ok=True)
        assert main([*command, typed]) == 0 and out.exists()
    assert "not known: xylophone" in capsys.readouterr().out
    for typed, says in (("", "is empty"), ("  \n", "is empty"), ("Eine Frau mit Brille", "No word of 'Eine Frau mit Brille' is known"),
                        ("\u4e00\u4f4d\u5e74\u8f7b\u5973\u5b50", "No word of"), ("?!", "No word of")):  # fmt: skip
        out.unlink(missing_ok=True)
        refused(main([*command, typed]), says)
        assert not out.exists()
    refused(main([*command, "A man.", "--psi", "0.5"]), "no average w", begun=True)
    refused(main(["sample", "dcgan-toon-64", "--text", "A man."]), "A dcgan reads no sentences")


def test_a_sentence_decides_and_a_seed_varies(run):
    found = pretrained.find(run)
    a, b = (found.sample(2, seed=1, texts=[sentence]) for sentence in ("A bald man.", "A young woman with long hair."))
    assert (a != b).any() and (a[0] != a[1]).any()
    np.testing.assert_array_equal(found.sample(2, seed=1, texts=["A bald man."]), a)


def test_measured_with_the_captions_of_the_part(run, folder, monkeypatch, tmp_path, capsys):
    from gan_course.metrics import FaceFeatures, evaluation
    from gan_course.models import attributes

    names = ["Male", "Smiling", "Eyeglasses"]
    judge = FaceFeatures(attributes.build(names, width=2, resolution=32), names)
    monkeypatch.setattr(evaluation, "feature_network", lambda choice, data: judge)
    command = [
        "evaluate",
        str(run),
        "--data",
        str(folder),
        "--split",
        "all",
        "--count",
        "40",
        "--out",
        str(tmp_path / "r.json"),
    ]
    assert main(command) == 0
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "r.json").read_text())["text"]
    assert "agreement of 40 captions" in out and set(result["attributes"]) == set(names)
    assert 0 <= result["agreement"] <= 1 and 0 <= result["chance"] <= 1
