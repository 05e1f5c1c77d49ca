"""L2M-GAN: parameters, parts by hand, domains, losses, training, editing, measures."""

import functools
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from gan_course import editing, pretrained, runs
from gan_course.__main__ import main
from gan_course.backend import keras, ops, to_numpy
from gan_course.data import domains
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError
from gan_course.metrics import edits
from gan_course.metrics.distances import cosines
from gan_course.models import attributes, l2m_gan
from gan_course.systems import build, recipe
from gan_course.training import checkpoints, l2m

RNG = np.random.default_rng(0)
SMALL = dict(resolution=16, width=4, style_width=2, style_dim=6, downs=2)
FLAGS = "--resolution 16 --width 4 --style-width 2 --style-dim 6 --downs 2 --batch-size 8 --r1-interval 2".split()


def random(*shape):
    return RNG.uniform(-1, 1, shape).astype("float32")


def one_hot(numbers, count):
    return np.eye(count, dtype="float32")[numbers]


# --- the networks ---------------------------------------------------------------------------------------


def test_the_papers_parameters():
    paper = dict(resolution=256, width=64, downs=5, middle=2, last_norm=True)
    counts = [l2m_gan.build_generator(**paper, skip=skip, skips=3).count_params() for skip in ("none", "high_pass")]
    assert counts == [43_467_395, 43_467_395 - 172_032]
    assert l2m_gan.build_discriminator(256, 2, 64).count_params() == 20_852_290
    transformer = l2m_gan.Transformer(2, 64)
    transformer.build()
    assert l2m_gan.build_style_encoder(256, 2, 64).count_params() + transformer.count_params() == 20_954_368
    for number in (*counts, 20_852_290, 20_954_368, 172_032):
        assert f"{number:,}" in l2m_gan.__doc__


def conv(x, layer):
    """A 3x3 or 1x1 convolution with zeros outside, in NumPy."""
    kernel, wide = np.asarray(layer.kernel, "float64"), np.asarray(x, "float64")
    size, (h, w) = kernel.shape[0], x.shape[1:3]
    wide = np.pad(wide, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    out = sum(wide[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(size) for j in range(size))
    return out + np.asarray(layer.bias) if layer.use_bias else out


def norm(x, scale, shift):
    x = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    return x * (1 + scale[:, None, None]) + shift[:, None, None]


def lrelu(x):
    return np.maximum(x, 0.2 * x)


def halved(x):
    return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).mean((2, 4))


def shake(layer):
    """Give every weight random values: at first many are 0, and nothing could be seen of them."""
    for weight in layer.weights:
        weight.assign(weight + 0.3 * RNG.normal(size=weight.shape))


def test_a_block_by_hand():
    block, x = l2m_gan.Block(5, down=True), random(2, 8, 8, 3)
    block(x)
    shake(block)
    scale = [np.asarray(n.scale) for n in block.norms]
    shift = [np.asarray(n.shift) for n in block.norms]
    h = halved(conv(lrelu(norm(x, scale[0], shift[0])), block.conv1))
    h = conv(lrelu(norm(h, scale[1], shift[1])), block.conv2)
    expected = (conv(halved(x), block.shortcut) + h) / 2**0.5
    np.testing.assert_allclose(to_numpy(block(x)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shortcut", [True, False])
def test_a_styled_block_by_hand(shortcut):
    block, x, style = l2m_gan.StyledBlock(3, up=True, shortcut=shortcut), random(2, 4, 4, 5), random(2, 6)
    block(x, style)
    shake(block)

    def styled(x, layer):
        scale, shift = np.split(style @ np.asarray(layer.affine.kernel) + np.asarray(layer.affine.bias), 2, axis=1)
        return norm(x, scale, shift)

    def doubled(x):
        return x.repeat(2, axis=1).repeat(2, axis=2)

    h = conv(doubled(lrelu(styled(x, block.norm1))), block.conv1)
    expected = conv(lrelu(styled(h, block.norm2)), block.conv2)
    if shortcut:
        expected = (doubled(conv(x, block.shortcut)) + expected) / 2**0.5
    np.testing.assert_allclose(to_numpy(block(x, style)), expected, rtol=1e-3, atol=1e-4)
    assert (block.shortcut is not None) == shortcut


def test_the_skips():
    decoder, encoder = random(2, 5, 5, 3), random(2, 5, 5, 3)
    np.testing.assert_allclose(to_numpy(l2m_gan.Gate()(decoder, encoder)), decoder + encoder / 2, rtol=1e-5)
    flat = np.ones((1, 5, 5, 3), "float32")
    inner = to_numpy(l2m_gan.HighPass()(decoder[:1], flat))[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inner, decoder[:1, 1:-1, 1:-1], rtol=1e-5)
    dot = np.zeros((1, 5, 5, 3), "float32")
    dot[0, 2, 2] = 1
    np.testing.assert_allclose(
        to_numpy(l2m_gan.HighPass()(0 * dot, dot))[0, 1:4, 1:4, 0], [[-1] * 3, [-1, 8, -1], [-1] * 3]
    )


def editor(**chosen):
    keras.utils.set_random_seed(0)
    made = l2m_gan.Editor(**SMALL | {"domains": 3} | chosen)
    shake(made.generator)
    return made


@pytest.mark.parametrize(
    "chosen", [{}, dict(styles="whole", skip="none"), dict(styles="label", skip="high_pass")], ids=str
)
def test_an_edit_goes_in_a_straight_line_through_the_styles(chosen, tmp_path):
    network = editor(**chosen)
    faces, source, target = map(
        ops.convert_to_tensor, (random(3, 16, 16, 3), one_hot([0, 1, 2], 3), one_hot([1, 2, 1], 3))
    )

    def at(strength):
        return ops.full((3, 1), strength)

    style = network.style(faces, source)
    unrelated, related, moved = network.transformer.parts(style, target)
    if network.styles == "split":
        np.testing.assert_allclose(to_numpy(unrelated + related), to_numpy(style), rtol=1e-4, atol=1e-5)
    else:
        assert unrelated is None
    made = {}
    for strength in (0.0, 0.5, 1.25):
        made[strength] = to_numpy(network([faces, source, target, at(strength)]))
        expected = network.generator([faces, style + strength * (moved - related)])
        np.testing.assert_allclose(made[strength], to_numpy(expected), rtol=1e-4, atol=1e-5)
    own = to_numpy(network([faces, source, source, at(0.0)]))
    np.testing.assert_allclose(made[0.0], own, atol=1e-6)  # at strength 0 the target has no say
    assert np.abs(made[0.0] - made[1.25]).max() > 1e-3
    inputs = [faces, source, target, at(1.0)]
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    network.save(tmp_path / "e.keras")
    for other in (copy, keras.models.load_model(tmp_path / "e.keras")):
        np.testing.assert_array_equal(to_numpy(other(inputs)), to_numpy(network(inputs)))


def test_another_program_makes_the_same_edits(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    keras.utils.set_random_seed(0)
    network, path = l2m_gan.Editor(**SMALL | {"domains": 3}), tmp_path / "editor.onnx"
    network.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    inputs = [wanted.name for wanted in session.get_inputs()]
    kinds = network.domains
    given = [random(3, *network.input_shape[0][1:]), one_hot([0, 1, 0], kinds), one_hot([1, 1, 0], kinds)]
    given.append(np.float32([[0.0], [1.0], [0.5]]))
    (pictures,) = session.run(None, dict(zip(inputs, given, strict=True)))
    np.testing.assert_allclose(pictures, np.asarray(network(given, training=False)), rtol=0, atol=2e-5)


def test_each_domain_has_an_output_of_its_own():
    network, faces = editor(), random(2, 16, 16, 3)
    styles = to_numpy(network.encoder(faces))
    assert styles.shape == (2, 3, 6)
    for d in range(3):
        np.testing.assert_allclose(to_numpy(network.style(faces, one_hot([d, d], 3))), styles[:, d], atol=1e-6)
    scores = to_numpy(l2m_gan.build_discriminator(16, 3, 4)(faces))
    assert scores.shape == (2, 3)
    np.testing.assert_allclose(to_numpy(l2m_gan.pick(scores, one_hot([2, 0], 3))), scores[[0, 1], [2, 0]])
    # The transformer of one domain is not that of another, and each is three dense layers.
    style, transformer = random(2, 6), network.transformer
    _, related, moved = transformer.parts(style, one_hot([1, 2], 3))
    x = to_numpy(related)
    for i, layer in enumerate(transformer.to_domain):
        kernel, bias = np.asarray(layer.kernel)[[1, 2]], np.asarray(layer.bias)[[1, 2]]
        x = np.einsum("bi,bio->bo", np.maximum(x, 0) if i else x, kernel) + bias
    np.testing.assert_allclose(to_numpy(moved), x, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_is_told():
    for make, words in (
        (lambda: editor(skip="wide"), "no skip 'wide'; choose one of gate"),
        (lambda: editor(styles="own"), "no styles 'own'; choose one of split"),
        (lambda: editor(domains=1), "There are 1 domains"),
        (lambda: l2m_gan.build_generator(20, downs=3), "resolution is 20"),
        (lambda: l2m_gan.build_discriminator(48), "power of two"),
        (lambda: l2m.L2M(editor(), None, perpendicular="right"), "no perpendicular loss 'right'"),
        (lambda: l2m.L2M(editor(), None, factors=dict(cycle=-1)), "cycle is -1"),
    ):
        with pytest.raises(CourseError, match=words):
            make()


# --- domains --------------------------------------------------------------------------------------------


def write(folder, table, seed=0):
    """Write noise faces with the attributes of `table` (pandas), every fifth to test and every sixth to val."""
    images = folder / "img_align_celeba"
    images.mkdir(parents=True)
    names = [f"{i:06d}.png" for i in range(len(table))]
    for name, value in zip(names, np.random.default_rng(seed).integers(0, 255, (len(table), 16, 16, 3)), strict=True):
        Image.fromarray(value.astype("uint8")).save(images / name)
    rows = [f"{n} " + " ".join("1" if v else "-1" for v in row) for n, row in zip(names, table.to_numpy(), strict=True)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(len(rows)), " ".join(table.columns), *rows]) + "\n")
    parts = [2 if i % 5 == 4 else 1 if i % 6 == 5 else 0 for i in range(len(names))]
    rows = [f"{n} {p}" for n, p in zip(names, parts, strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """400 faces: Smiling with probability 1/2, Eyeglasses 1/4; Male and Lips follow Smiling, Hat follows nothing."""
    random = np.random.default_rng(1)
    table = pd.DataFrame({"Smiling": random.random(400) < 0.5, "Eyeglasses": random.random(400) < 0.25})
    table["Lips"] = np.where(random.random(400) < 0.9, table["Smiling"], ~table["Smiling"])
    for name in ("Hat", "Bangs", "Young"):
        table[name] = random.random(400) < 0.5
    table["Bald"] = False
    return write(tmp_path_factory.mktemp("domains") / "faces", table)


def test_domains_of_attributes(folder):
    source = open_faces(folder)
    names = domains.names_of(source, "Smiling, Eyeglasses")
    assert names == [
        "not Smiling, not Eyeglasses", "Smiling, not Eyeglasses", "not Smiling, Eyeglasses", "Smiling, Eyeglasses"
    ]  # fmt: skip
    numbers = domains.numbers_of(source, source.names, "Smiling,Eyeglasses", names)
    labels = source.labels(source.names, ["Smiling", "Eyeglasses"])
    np.testing.assert_array_equal(numbers, labels[:, 0] + 2 * labels[:, 1])
    for text, words in (
        ("Smiling,Smiling", "each once"),
        ("", "name one to four"),
        ("Smiling,Wings", "no attribute 'Wings'"),
        ("folders", "lie in 0 folders"),
    ):
        with pytest.raises(CourseError, match=words):
            domains.names_of(source, text)


def test_every_domain_is_seen_equally_often_and_a_batch_is_a_function_of_the_step(folder):
    source, text = open_faces(folder), "Smiling,Eyeglasses"
    names = domains.names_of(source, text)
    options = dict(seed=3, mirror=False)

    def batches(start, count):
        dataset = iter(domains.faces(source, 16, 8, text, names, start_step=start, **options))
        return [tuple(map(np.asarray, next(dataset))) for _ in range(count)]

    _, numbers = domains.read(source, 16, "train", text, names)
    most = np.bincount(numbers).max()
    epoch = 4 * most // 8
    assert domains.faces(source, 16, 8, text, names).steps_per_epoch == epoch
    whole = batches(0, epoch)
    shown = np.concatenate([y for _, y in whole]).sum(axis=0)
    assert shown.sum() == 8 * epoch and (shown >= most - 7).all()
    # The labels are those of the pictures.
    pictures, numbers = domains.read(source, 16, "train", text, names)
    known = {x.tobytes(): d for x, d in zip(pictures, numbers, strict=True)}
    for x, y in whole[:4]:
        found = [known[np.rint((p + 1) * 127.5).astype("uint8").tobytes()] for p in x]
        np.testing.assert_array_equal(found, y.argmax(axis=1))
    for (x, y), (a, b) in zip(whole[5:8], batches(5, 3), strict=True):
        np.testing.assert_array_equal(x, a)
        np.testing.assert_array_equal(y, b)


def test_a_rare_combination_is_named(folder):
    source = open_faces(folder)
    names = domains.names_of(source, "Smiling,Bald")
    with pytest.raises(CourseError, match="'not Smiling, Bald' has 0 faces to train on in .* needs 20"):
        domains.faces(source, 16, 8, "Smiling,Bald", names)


def test_what_shall_stay(folder):
    source = open_faces(folder)
    known = ["Smiling", "Lips", "Hat", "Bangs", "Young", "Bald", "Wings"]
    # Lips is tied to Smiling, Bald never varies, the folder knows no Wings.
    assert l2m.kept_attributes(source, ["Smiling"], known) == ["Hat", "Bangs", "Young"]
    assert l2m.kept_attributes(source, ["Smiling"], ["Lips", "Hat", "Smiling"]) == ["Lips", "Hat"]  # fewer than three
    assert l2m.kept_attributes(source, ["Smiling"], ["Wings"]) == []


# --- losses ---------------------------------------------------------------------------------------------


def test_only_a_network_that_knows_the_edited_can_see_them(folder):
    chosen = dict(data=str(folder), attributes="Smiling,Eyeglasses", resolution=16, width=4, style_width=4, match=0.5)
    made = l2m.L2MConfig.recipe(**chosen, steering="attributes-celeba-steer").trainer()
    columns, told = made.shown
    known = pretrained.config("attributes-celeba-steer").attributes
    assert [known[c] for c in columns] == ["Smiling", "Eyeglasses"]
    np.testing.assert_array_equal(told, [[-1, -1], [1, -1], [-1, 1], [1, 1]])  # neither, Smiling, Eyeglasses, both
    with pytest.raises(CourseError, match="match asks a network that tells the edited attributes"):
        l2m.L2MConfig.recipe(**chosen, steering="none").trainer()


def test_right_angles():
    loss = lambda *parts: [float(l2m.perpendicular_loss(kind, *parts)) for kind in l2m.PERPENDICULAR]  # noqa: E731
    axis, other = np.array([[2.0, 0.0]], "float32"), np.array([[0.0, 3.0]], "float32")
    np.testing.assert_allclose(loss(axis, other), [0, 0], atol=1e-6)
    np.testing.assert_allclose(loss(axis, axis), [1, 2], rtol=1e-5)  # cos^2 = 1; |2 * 2| and 0, their mean
    # A right angle that is not along the axes: the product is not 0.
    one, two = np.array([[1.0, 1.0]], "float32"), np.array([[1.0, -1.0]], "float32")
    np.testing.assert_allclose(loss(one, two), [0, 1], atol=1e-6)
    # Smaller parts: the same angle, a smaller product.
    np.testing.assert_allclose(loss(axis / 10, axis / 10), [1, 0.02], rtol=1e-2)


def test_a_relative_distance():
    found, wanted = np.array([[1.0, 3.0], [0.0, 0.0]], "float32"), np.array([[2.0, 2.0], [4.0, 0.0]], "float32")
    np.testing.assert_allclose(float(l2m.relative_distance(found, wanted)), (2 / 4 + 4 / 4) / 2)


def steering(known=("Smiling", "Hat", "Bangs")):
    keras.utils.set_random_seed(5)
    return attributes.build(known, width=2, resolution=32)


def trainer(kinds=3, seed=0, editor_options=None, **options):
    """A small `L2M`; eager, because to compile its step takes ten seconds, and the runs below do it."""
    network = editor(domains=kinds, **editor_options or {})
    d = l2m_gan.build_discriminator(16, kinds, 4)
    options = dict(keep=steering(), columns=[1, 2], r1_interval=2) | options
    made = l2m.L2M(network, d, seed=seed, **options)
    made.compile(run_eagerly=True)
    return made


def batch(kinds=3, count=8):
    return random(count, 16, 16, 3), one_hot(np.arange(count) % kinds, kinds)


def test_targets_are_other_domains_and_some_faces_are_given_back():
    made = trainer(own_every=4)
    source = ops.convert_to_tensor(batch(count=600)[1])
    target, amount = map(to_numpy, made.targets(source))
    source = to_numpy(source)
    own = np.arange(600) % 4 == 0
    np.testing.assert_array_equal(amount[:, 0], ~own)
    np.testing.assert_array_equal(target[own], source[own])
    step = (target.argmax(1) - source.argmax(1)) % 3
    assert (np.abs(np.bincount(step[~own], minlength=3) - [0, 225, 225]) <= 50).all()
    made.own_every = 0
    assert (to_numpy(made.targets(ops.convert_to_tensor(source))[1]) == 1).all()


def test_one_backward_pass_serves_both_players():
    from gan_course.backend import Tape

    made, (x, y) = trainer(), map(ops.convert_to_tensor, batch())
    with Tape() as tape:
        fake = ops.tanh(x)
        tape.watch(fake)
        score = l2m_gan.pick(made.discriminator(fake), y)
        d_loss, g_loss = ops.mean(ops.softplus(score)), ops.mean(ops.softplus(-score))
    gradients, slope = made._backward(tape, d_loss, g_loss, fake, score)
    np.testing.assert_allclose(to_numpy(slope), to_numpy(tape.gradient(g_loss, fake)), rtol=1e-3, atol=1e-7)
    for a, b in zip(gradients, tape.gradient(d_loss, made.weights_of("d")), strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-4, atol=1e-7)


def test_the_step_is_the_sum_of_its_losses():
    """One step of gradient descent, against the whole loss written out once."""
    from gan_course.backend import Tape

    keras.utils.set_random_seed(1)
    told = np.array([[-1], [1], [1]], "float32")  # the second and the third domain have the attribute
    made = trainer(
        perpendicular="product", factors=dict(cycle=2.0, wrong=0.5, match=0.7), shown=([0], told), r1_gamma=0.0
    )
    made.compile(*(keras.optimizers.SGD(0.1) for _ in range(2)))
    x, y = batch()
    target, amount = (np.asarray(a) for a in made.targets(ops.convert_to_tensor(y)))
    made.targets = lambda source: (ops.convert_to_tensor(target), ops.convert_to_tensor(amount))
    network, d = made.editor, made.discriminator
    x, y, target, amount = map(ops.convert_to_tensor, (x, y, target, amount))
    with Tape() as tape:
        style = network.style(x, y)
        un, re, moved = network.transformer.parts(style, target)
        new = style + amount * (moved - re)
        fake = network.generator([x, new])
        scores, made_up = d(x), d(fake)
        wrong = ops.sum(ops.softplus(scores) * (1 - y)) / (len(x) * 2)
        d_loss = ops.mean(ops.softplus(-ops.sum(scores * y, 1))) + ops.mean(ops.softplus(ops.sum(made_up * target, 1)))
        asked = made.look(fake)
        said, wanted = asked[:, 1:], made.look(x)[:, 1:]
        seen = ops.where(ops.argmax(target, axis=1) > 0, asked[:, 0], -asked[:, 0])
        read = network.style(fake, target)
        terms = [
            ops.mean(ops.softplus(-ops.sum(made_up * target, 1))),
            2.0 * ops.mean(ops.abs(network.generator([fake, style]) - x)),
            3.0 * ops.mean(ops.abs(fake - x)[::4]),
            ops.mean(ops.mean(ops.abs(read - to_numpy(new)), 1) / to_numpy(ops.mean(ops.abs(new), 1))),
            ops.mean(ops.mean(ops.abs(said - wanted), 1) / ops.mean(ops.abs(wanted), 1)),
            0.7 * ops.mean(ops.softplus(-seen)),
            ops.mean(ops.abs(un * re)) + ops.mean(ops.abs(un * moved)),
            0.01 * (ops.mean(style**2) + ops.mean(new**2)),
        ]
        g_loss = sum(terms)
        d_loss = d_loss + 0.5 * wrong
    expected = [
        to_numpy(w) - 0.1 * to_numpy(g)
        for player, loss in (("g", g_loss), ("d", d_loss))
        for w, g in zip(made.weights_of(player), tape.gradient(loss, made.weights_of(player)), strict=True)
    ]
    made.train_step((x, y))
    for weight, wanted in zip([*made.weights_of("g"), *made.weights_of("d")], expected, strict=True):
        np.testing.assert_allclose(to_numpy(weight), wanted, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, "wrong cycle own style perceptual perpendicular"),
        (dict(editor_options=dict(styles="whole", skip="none"), keep=None, own_every=0), "wrong cycle style"),
        (dict(editor_options=dict(styles="label", skip="high_pass"), r1_gamma=0.0), "wrong cycle own perceptual"),
    ],
    ids=["split", "whole", "label"],
)
def test_all_weights_move_and_the_averages_follow(options, names):
    made = trainer(**options)
    before = [np.array(v) for v in made.weights_of("g") + made.weights_of("d")]
    watched = [np.array(v) for v in made.keep.weights] if made.keep else []
    x, y = batch()
    logs = made.fit(x, y, batch_size=4, verbose=0).history
    assert np.isfinite([*logs.values()]).all() and made.step == 2
    expected = {*"d_loss g_loss real fake unrelated related".split(), *names.split()}
    assert set(logs) == (expected if "r1_gamma" in options else {*expected, "r1"})
    now = made.weights_of("g") + made.weights_of("d")
    still = [v.path for v, old in zip(now, before, strict=True) if np.array_equal(np.asarray(v), old)]
    assert not still, "these did not move"
    for old, v in zip(watched, made.keep.weights if made.keep else [], strict=True):
        np.testing.assert_array_equal(old, np.asarray(v))  # the steering network is only asked
    assert any(
        np.abs(np.asarray(a) - np.asarray(b)).max() > 0
        for a, b in zip(made.ema_editor.weights, made.editor.weights, strict=True)
    )


def test_the_rate_warms_up_and_falls():
    made = trainer(rate=1e-3, last_step=1000)
    rates = []
    for step in (0, 99, 600, 800, 1000, 2000):
        made.follow_schedule(step)
        rates.append(float(to_numpy(made.g_optimizer.learning_rate)) / 1e-3)
        assert rates[-1] == float(to_numpy(made.d_optimizer.learning_rate)) / 1e-3
    np.testing.assert_allclose(rates, [0.01, 1, 1, 0.525, 0.05, 0.05], rtol=1e-5)


def test_half_precision_and_a_sheet():
    for precision in ("mixed_bfloat16", "mixed_float16"):
        keras.config.set_dtype_policy(precision)
        try:
            made = trainer(keep=None)
        finally:
            keras.config.set_dtype_policy("float32")
        logs = made.fit(*batch(), batch_size=8, verbose=0).history
        assert np.isfinite([*logs.values()]).all()
        assert made.editor.generator.layers[1].compute_dtype == precision.removeprefix("mixed_")
    with pytest.raises(CourseError, match="no faces to edit"):
        made.sample(4)
    faces = RNG.integers(0, 256, (5, 16, 16, 3)).astype("uint8")
    made.examples = faces, np.array([0, 1, 2, 0, 1])
    page = made.sample(9)  # three rows of three: a face, strength 0, strength 1
    np.testing.assert_array_equal(page[::3], faces[:3])
    ask = [faces[:3] / 127.5 - 1, one_hot([0, 1, 2], 3), one_hot([1, 2, 0], 3)]
    for place, strength in ((1, 0.0), (2, 1.0)):
        inputs = [*map(np.float32, ask), np.full((3, 1), strength, "float32")]
        made_now = to_numpy(made([ops.convert_to_tensor(a) for a in inputs]))
        expected = np.clip(np.rint((made_now + 1) * 127.5), 0, 255)
        assert np.abs(page[place::3] - expected).max() <= 1
    np.testing.assert_array_equal(made.sample(9), page)


# --- runs, editing, measuring ---------------------------------------------------------------------------


def command(folder, run, *more):
    return [
        "train",
        "l2m",
        "--data",
        str(folder),
        "--out",
        str(run),
        *FLAGS,
        "--attributes",
        "Smiling,Eyeglasses",
        *more,
    ]


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory, as_after, in_python):
    """A run of 4 steps, and the same resumed from its checkpoint of step 2."""
    place = tmp_path_factory.mktemp("runs")
    with in_python():
        assert main(command(folder, place / "whole", "--steps", "4", "--epoch", "2")) == 0
        as_after(place / "whole", 2, place / "run")
        assert main(command(folder, place / "run", "--steps", "4")) == 0
    return place / "run"


def test_it_resumes_with_the_same_bits(run):
    whole, again = (runs.load_run(run.parent / name)[0] for name in ("whole", "run"))
    assert whole.step == again.step == 4
    for a, b in zip(whole.state(), again.state(), strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    sheets = [(run.parent / name / "sheets/step-000000004.png").read_bytes() for name in ("whole", "run")]
    assert sheets[0] == sheets[1] and (run / "training.gif").exists()
    settings = json.loads((run / "settings.json").read_text())
    assert settings["domains"][3] == "Smiling, Eyeglasses" and settings["keep"] == ["Bangs", "Young"]
    assert settings["steering"] == "attributes-celeba-steer"


@pytest.fixture
def opened_once(monkeypatch):
    """Each network is loaded once, not by every command."""
    opened = functools.cache(editing.open_editor)
    for module in (editing, edits):
        monkeypatch.setattr(module, "open_editor", lambda target: opened(str(target)))


def face_file(folder):
    return folder / "img_align_celeba/000004.png"


@pytest.mark.usefixtures("opened_once")
def test_the_command_edits(folder, run, tmp_path, capsys, refused):
    out = tmp_path / "edited.png"
    words = ["edit", str(run), "--image", str(face_file(folder)), "--out", str(out)]
    assert main([*words, "--set", "Smiling=1", "--source", "Smiling=0,Eyeglasses=1", "--strength", "0.8"]) == 0
    assert "not Smiling, Eyeglasses -> Smiling, Eyeglasses" in capsys.readouterr().out
    made = np.asarray(Image.open(out))
    editor = editing.open_editor(run)
    face = editing.read_face(face_file(folder), 16)
    np.testing.assert_array_equal(face, np.asarray(Image.open(face_file(folder))))
    np.testing.assert_array_equal(made, editor.edit(face[None], 3, 0.8, source=2)[0])
    assert main([*words, "--set", "Smiling, Eyeglasses"]) == 0  # a domain's name; the source is told
    assert main([*words, "--set", "Smiling=1", "--source", "Smiling=0", "--strength", "enough"]) == 0
    assert f"strength {editor.enough(face[None], 1, 0)[0]:g}." in capsys.readouterr().out
    capsys.readouterr()
    for more, said in (
        (["--set", "Smiling=2"], "is no setting"),
        (["--set", "Hat=1", "--source", "Smiling=0"], "Hat=1 cannot be set"),
        (["--set", "Laughing"], "no domain 'Laughing'"),
        (["--set", "Smiling=1", "--strength", "-1"], "strength is -1"),
        (["--set", "Smiling=1", "--strength", "much"], "--strength is 'much'; give a number, or enough"),
        (["--set", "Smiling=1", "--image", str(folder / "list_attr_celeba.txt")], "cannot be read"),
    ):
        refused(main([*words, *more]), said)
    refused(main(["edit", "dcgan-toon-64", *words[2:], "--set", "Smiling=1"]), "draws new faces and edits none")
    refused(main(["sample", str(run), "--out", str(out)]), "edits faces and draws none")


def test_domains_are_asked_for_in_three_ways(run):
    editor = editing.open_editor(run)
    assert editor.domain({"Smiling": 1}, start=2) == 3 and editor.domain({"Eyeglasses": 0}, start=3) == 1
    np.testing.assert_array_equal(editor.domain({"Smiling": 0}, start=np.array([0, 1, 3])), [0, 0, 2])
    assert editor.domain("Smiling, not Eyeglasses") == 1 and editor.domain(2) == 2
    with pytest.raises(CourseError, match="no domain 4"):
        editor.domain(4)
    with pytest.raises(CourseError, match="have the shape"):
        editor.edit(np.zeros((1, 8, 8, 3), "uint8"), 1, source=0)
    with pytest.raises(CourseError, match="is 'much'; give a number, or 'enough'"):
        editor.edit(np.zeros((1, 16, 16, 3), "uint8"), 1, "much", source=0)


def test_as_little_as_is_enough(run, monkeypatch):
    """A steering network that sees a smile where a face is bright enough, and an edit that brightens by its strength."""
    editor, tried = editing.open_editor(run), list(editing.ENOUGH)
    monkeypatch.setattr(editor, "steering", lambda: None)
    brightness = np.array([20.0, 60.0, 100.0, 250.0])
    faces = np.broadcast_to(brightness[:, None, None, None], (4, 16, 16, 3)).astype("uint8")
    drawn = []

    def edit(pictures, target, strength=1.0, source=None):
        drawn.append(strength)
        return np.clip(pictures + 100 * strength, 0, 255)

    def said(pictures):
        smile = (pictures.mean(axis=(1, 2, 3)) - 150) / 10
        return np.stack([smile, np.full(len(smile), -9.0)], axis=1)  # never glasses

    monkeypatch.setattr(editor, "said", said)
    with monkeypatch.context() as patch:
        patch.setattr(editor, "edit", edit)
        # 165 is sure: 20 + 100 * 1.5, 60 + 100 * 1.125, 100 + 100 * 0.75; the last is bright at once.
        np.testing.assert_array_equal(editor.enough(faces, 1, source=0), [1.5, 1.125, 0.75, 0.5])
        assert drawn == tried
        np.testing.assert_array_equal(editor.enough(faces[:1] // 20, 1, source=0), [1.5])  # never sure: the nearest
        # Glasses are never seen, and no strength is nearer than another.
        np.testing.assert_array_equal(editor.enough(faces, {"Smiling": 0}, source=3), [0.5] * 4)
    whole = editor.edit(faces, 1, "enough", source=0)
    for i, strength in enumerate(editor.enough(faces, 1, source=0)):
        np.testing.assert_array_equal(whole[i], editor.edit(faces[i : i + 1], 1, strength, source=0)[0])


def test_the_steering_network_tells_the_source(run, monkeypatch):
    editor = editing.open_editor(run)
    network = attributes.build(["Hat", "Eyeglasses", "Smiling"], width=2, resolution=32)
    bias = np.array([5.0, 1.0, -1.0])  # always glasses, never a smile
    network.get_layer("logits").set_weights([np.zeros((16, 3)), bias])
    monkeypatch.setattr(
        editing.classifier, "attribute_network", lambda name: (network, ["Hat", "Eyeglasses", "Smiling"])
    )
    faces = RNG.integers(0, 256, (70, 16, 16, 3)).astype("uint8")
    np.testing.assert_array_equal(editor.tell(faces), np.full(70, 2))
    np.testing.assert_array_equal(editor.edit(faces[:2], {"Smiling": 1}), editor.edit(faces[:2], 3, source=2))


@pytest.mark.usefixtures("opened_once")
def test_edits_are_measured(folder, run, tmp_path, monkeypatch, capsys):
    known = ["Smiling", "Eyeglasses", "Hat", "Bangs", "Young"]
    keras.utils.set_random_seed(2)
    judge = attributes.build(known, width=2, resolution=16)
    monkeypatch.setattr(edits.classifier, "attribute_network", lambda name: (judge, known))
    out = tmp_path / "edits.json"
    assert main(["evaluate", str(run), "--data", str(folder), "--split", "all", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Smiling, Eyeglasses -> not Smiling, Eyeglasses" in printed and "strangers" in printed
    written = json.loads(out.read_text())
    assert len(written["directions"]) == 13 and len(written["curves"]) == 12
    row = written["directions"]["Smiling, not Eyeglasses -> not Smiling, Eyeglasses"]
    # The same by hand.
    editor, source = editing.open_editor(run), open_faces(folder)
    pictures, numbers = domains.read(source, 16, "all", "Smiling,Eyeglasses", editor.domains)
    faces = pictures[numbers == 1]
    look = lambda x: judge.predict(x.astype("float32") / 127.5 - 1, verbose=0)  # noqa: E731
    before, after = look(faces), look(editor.edit(faces, 2, 1.0, source=1))
    assert row["faces"] == len(faces)
    assert row["target"] == pytest.approx(((after[:, 0] <= 0) & (after[:, 1] > 0)).mean(), abs=1e-5)
    assert row["kept"] == pytest.approx(((before[:, 2:] > 0) == (after[:, 2:] > 0)).mean(), abs=1e-5)
    back = editor.edit(faces, 2, 0.0, source=1).astype(float)
    assert row["error"] == pytest.approx(np.abs(back - faces).mean() / 127.5, abs=1e-5)
    assert 0 < row["floor"] and 0 < row["frechet"] and written["strength"] == 1
    # And at another strength.
    monkeypatch.setattr(editor, "enough", lambda faces, target, source: np.full(len(faces), 0.5))
    table, curves = edits.measure_edits(editor, folder, "all", strength="enough")
    after, half = (
        look(editor.edit(faces, 2, 0.5, source=1)),
        table.loc["Smiling, not Eyeglasses -> not Smiling, Eyeglasses"],
    )
    assert half["target"] == pytest.approx(((after[:, 0] <= 0) & (after[:, 1] > 0)).mean(), abs=1e-5)
    assert half["kept"] == pytest.approx(((before[:, 2:] > 0) == (after[:, 2:] > 0)).mean(), abs=1e-5)
    assert half["error"] == pytest.approx(row["error"]) and curves == written["curves"]


def test_measures_with_known_answers():
    wanted = edits.wanted_values(2, 3)
    assert wanted.tolist() == [False, True, False]
    logits = np.array([[-1, 2, -3], [1, 2, -3], [-1, -2, -3], [-1, 1, -1]])
    assert edits.target_accuracy(logits, wanted) == 0.5
    assert edits.agreement(logits, -logits) == 0 and edits.agreement(logits, 3 * logits) == 1
    assert edits.agreement(np.array([[1, 1]]), np.array([[1, -1]])) == 0.5 and np.isnan(
        edits.agreement(logits[:, :0], logits[:, :0])
    )
    black, white = np.zeros((2, 4, 4, 3), "uint8"), np.full((2, 4, 4, 3), 255, "uint8")
    assert edits.reconstruction_error(black, white) == 2 and edits.reconstruction_error(black, black) == 0
    np.testing.assert_array_equal(cosines(np.array([[1.0, 0], [0, 2]]), np.array([[3.0, 0], [5, 0]])), [1, 0])
    assert edits.rises([0.1, 0.2, 0.3, 0.5, 0.7, 0.9]) == 1 and edits.rises([6, 5, 4, 3, 2, 1]) == -1
    assert edits.rises([1, 2, 3, 4, 6, 5]) == pytest.approx(1 - 6 * 2 / (6 * 35))
    # Two strengths, one face: attribute 0 is to be 0, attribute 1 does not change.
    curve = edits.strength_curve(
        np.array([[[0.0, 9.0]], [[-100.0, 9.0]]]), np.array([False, True]), np.array([True, False])
    )
    np.testing.assert_allclose(curve, [0.5, 1.0])


# --- two drawn classes, without attributes --------------------------------------------------------------


def draw_animal(kind, random, size=16):
    """A cat, whose ears stand, or a dog, whose ears hang; coat, ground and place are drawn alike for both."""
    side = 8 * size
    ground, coat = (tuple(random.integers(low, high, 3).tolist()) for low, high in ((120, 230), (30, 200)))
    dark, black = tuple(c // 2 for c in coat), (15, 15, 15)
    picture = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(picture)
    x, y, r = (side * random.uniform(*bounds) for bounds in ((0.46, 0.54), (0.52, 0.58), (0.24, 0.29)))

    def ellipse(left, top, right, bottom, colour):  # in radii of the head, from its middle
        pen.ellipse((x + left * r, y + top * r, x + right * r, y + bottom * r), fill=colour)

    if kind == "cat":
        for s in (-1, 1):
            corners = ((0.95, -0.2), (0.85, -1.6), (0.1, -0.8))
            pen.polygon([(x + s * across * r, y + down * r) for across, down in corners], fill=dark)
    ellipse(-1, -1, 1, 1, coat)
    for s in (-1, 1):
        if kind == "dog":
            ellipse(s - 0.32, -0.7, s + 0.32, 1.1, dark)
        ellipse(0.4 * s - 0.12, -0.3, 0.4 * s + 0.12, -0.02, black)
    ellipse(-0.15, 0.2, 0.15, 0.45, black)
    return picture.resize((size, size), Image.Resampling.LANCZOS)


@pytest.fixture
def animals(tmp_path):
    """Drawn cats and dogs, in one folder a class and without attributes."""
    random, place = np.random.default_rng(4), tmp_path / "animals"
    for kind in ("cat", "dog"):
        (place / kind).mkdir(parents=True)
        for i in range(120):
            draw_animal(kind, random).save(place / kind / f"{kind}{i:03d}.png")
    return place


def hanging(pictures):
    """Return how dark it is beside the head, where ears hang, against above it, where they stand: a number a picture."""
    grey = pictures.astype(float).mean(-1)
    beside = np.concatenate([grey[:, 8:12, 2:4], grey[:, 8:12, 12:14]], axis=2)
    return grey[:, 3:6, 4:12].mean((1, 2)) - beside.mean((1, 2))


@pytest.mark.usefixtures("opened_once")
def test_folders_are_domains_and_cats_become_dogs(animals, tmp_path, capsys, refused):
    source, run, out = open_faces(animals), tmp_path / "run", tmp_path / "edits.json"
    assert domains.names_of(source, "folders") == ["cat", "dog"]
    assert (domains.numbers_of(source, source.names[:1], "folders", ["dog"]) == -1).all()
    words = ["train", "l2m", "--data", str(animals), "--out", str(run), "--attributes", "folders", *FLAGS]
    assert main([*words, "--rate", "2e-3", "--steps", "200", "--epoch", "200", "--ema-decay", "0.95"]) == 0
    editor = editing.open_editor(run)
    pictures, numbers = domains.read(animals, 16, "test", "folders", editor.domains)
    apart = hanging(pictures)[numbers == 1].mean() - hanging(pictures)[numbers == 0].mean()
    edited = hanging(editor.edit(pictures, 1 - numbers, source=numbers))
    assert edited[numbers == 0].mean() - edited[numbers == 1].mean() > apart / 2  # cats became dogs, and dogs cats
    given_back = hanging(editor.edit(pictures, numbers, strength=0.0, source=numbers))
    assert given_back[numbers == 1].mean() - given_back[numbers == 0].mean() > apart / 2

    capsys.readouterr()
    one = ["edit", str(run), "--image", str(animals / "cat/cat000.png"), "--out", str(tmp_path / "x.png"), "--set"]
    refused(main([*one, "dog"]), "say what the face is (source), such as 'cat'")
    refused(main([*one, "dog=1", "--source", "cat"]), "give the name of one: cat, dog")
    refused(main([*one, "bird", "--source", "cat"]), "choose one of cat; dog")
    refused(main([*one, "dog", "--source", "cat", "--strength", "enough"]), "is enough; give a number")
    assert main([*one, "dog", "--source", "cat"]) == 0
    assert "cat -> dog" in capsys.readouterr().out

    assert main(["evaluate", str(run), "--data", str(animals), "--out", str(out)]) == 0
    for name, row in json.loads(out.read_text())["directions"].items():
        assert row["real"] > 0.8 and row["target"] > 0.5, name  # by a regression on the features of a network of faces
        assert row["kept"] is None and row["frechet"] > 0 and row["error"] < 0.5
    capsys.readouterr()
    shutil.rmtree(animals / "dog")
    (animals / "bird").mkdir()
    Image.new("RGB", (16, 16)).save(animals / "bird/bird.png")
    refused(main(["evaluate", str(run), "--data", str(animals)]), "domain 'dog' has no training faces")


def test_a_checkpoint_of_other_domains_is_refused(folder, run, tmp_path):
    other = build(recipe(model="l2m", data=str(folder), **SMALL, attributes="Smiling"))
    with pytest.raises(CourseError, match="other sizes"):
        checkpoints.load(checkpoints.existing(run / "checkpoints")[0], other)
