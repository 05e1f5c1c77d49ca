"""StyleGAN: parameters, the order of its parts, growth, mixing, truncation, and its training."""

import numpy as np
import pytest

from gan_course import layers, metrics
from gan_course.backend import keras, to_numpy
from gan_course.errors import CourseError
from gan_course.models import stylegan
from gan_course.models.growing import active
from gan_course.systems import build, recipe

SMALL = dict(resolution=16, latent_dim=6, base=64, max_width=8)
RNG = np.random.default_rng(0)


def latent(count=4, size=6, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size)).astype("float32")


@pytest.fixture
def generator():
    keras.utils.set_random_seed(0)
    made = stylegan.build_generator(**SMALL, mapping=3, spread=1.0)
    for layer in made.styled:  # at first they are 0, and nothing could be seen of them
        layer.noise.weight.assign(RNG.normal(size=layer.channels))
        layer.bias.bias.assign(0.1 * RNG.normal(size=layer.channels))
    return made


# --- the paper's network --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "count"), [(64, 25_137_935), (128, 25_843_858), (256, 26_086_229), (1024, 26_219_627)]
)
def test_the_papers_parameters(resolution, count):
    network = stylegan.build_generator(resolution)
    layers = [network.mapping, network.start, *network.styled, *network.to_rgb]
    assert sum(v.value.shape.num_elements() for layer in layers for v in layer.trainable_variables) == count
    assert f"{count:,}" in stylegan.build_generator.__doc__
    assert len(network.styled) == 2 * np.log2(resolution) - 2 and len(network.mapping.dense) == 8


@pytest.mark.parametrize("resolution", [8, 64, 512])
def test_shapes(resolution):
    network = stylegan.build_generator(resolution, 5, base=1024, max_width=4)
    pictures = to_numpy(network(latent(2, 5)))
    assert pictures.shape == (2, resolution, resolution, 3) and np.isfinite(pictures).all() and pictures.std() > 0
    scores = to_numpy(stylegan.build_discriminator(resolution, base=1024, max_width=4)(pictures))
    assert scores.shape == (2, 1) and np.isfinite(scores).all()


def lrelu(x):
    return np.maximum(x, 0.2 * x)


def test_the_smallest_network_by_hand():
    """4x4: mapping, constant; noise, bias, leaky ReLU, instance norm, style; a convolution, and the same again; to RGB."""
    keras.utils.set_random_seed(1)
    network = stylegan.build_generator(4, 6, base=16, max_width=8, mapping=2, spread=1.0)
    z = latent().astype("float64")
    w = z / np.sqrt((z**2).mean(1, keepdims=True) + 1e-8)
    for layer in network.mapping.dense:
        assert abs(np.std(layer.kernel) - 100) < 30  # stored a hundred times too large, used a hundredth
        w = lrelu(w @ np.asarray(layer.kernel) * 0.01 * 2**0.5 / 6**0.5 + 0.01 * np.asarray(layer.bias))
    x = np.repeat(np.asarray(network.start.value, "float64"), 4, axis=0)
    for layer, plane in zip(network.styled, network.planes, strict=True):
        if layer.conv:
            kernel = np.asarray(layer.conv.kernel) * 2**0.5 / 72**0.5
            wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            x = sum(wide[:, i : i + 4, j : j + 4] @ kernel[i, j] for i in range(3) for j in range(3))
        layer.noise.weight.assign(strength := RNG.normal(size=8))
        layer.bias.bias.assign(bias := RNG.normal(size=8))
        x = lrelu(x + np.asarray(plane) * strength + bias)
        x = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-8)
        y = w @ np.asarray(layer.finish.affine.kernel) / 6**0.5
        x = x * (1 + y[:, None, None, :8]) + y[:, None, None, 8:]
    expected = x @ np.asarray(network.to_rgb[0].kernel)[0, 0] / 8**0.5
    np.testing.assert_allclose(to_numpy(network(latent())), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "parts",
    [
        dict(style="modulated"),
        dict(constant=False),
        dict(style=None, constant=False),
        dict(noise=False),
        dict(mapping=0),
    ],
    ids=str,
)
def test_parts_can_be_switched_off(parts, tmp_path):
    network = stylegan.build_generator(**SMALL, **parts)
    pictures = to_numpy(network(latent()))
    assert np.isfinite(pictures).all() and np.abs(pictures[0] - pictures[1]).max() > 1e-2
    network.save(tmp_path / "g.keras")
    np.testing.assert_array_equal(to_numpy(keras.models.load_model(tmp_path / "g.keras")(latent())), pictures)
    if "mapping" in parts:
        w = to_numpy(network.map(latent()))[:, 0]
        np.testing.assert_allclose((w**2).mean(1), 1, rtol=1e-4)


def test_what_cannot_be_is_told():
    for parts, says in (
        (dict(style="batch"), "no style 'batch'"),
        (dict(style=None), "same face"),
        (dict(resolution=48), "48"),
    ):
        with pytest.raises(CourseError, match=says):
            stylegan.build_generator(**SMALL | parts)
    network = stylegan.build_generator(**SMALL)
    with pytest.raises(CourseError, match="no noise 'loud'"):
        network.synthesize(network.map(latent()), noise="loud")


# --- w --------------------------------------------------------------------------------------------------


def test_a_picture_is_a_function_of_w_and_the_noise(generator):
    z = latent()
    w = generator.map(z)
    assert w.shape == (4, 6, 6)
    fixed = to_numpy(generator(z))
    np.testing.assert_array_equal(to_numpy(generator.synthesize(w)), fixed)
    none, random, again = (to_numpy(generator.synthesize(w, noise)) for noise in (None, "random", "random"))
    assert min(np.abs(a - b).max() for a, b in ((fixed, none), (none, random), (random, again))) > 1e-2
    given = to_numpy(generator.synthesize(w, [np.asarray(plane) for plane in generator.planes]))
    np.testing.assert_array_equal(given, fixed)
    assert np.abs(to_numpy(generator(z, training=True)) - fixed).max() > 1e-2


def test_each_layer_takes_its_own_w(generator):
    one, other = (to_numpy(generator.map(latent(seed=s))) for s in (0, 1))
    pictures = to_numpy(generator.synthesize(one))
    for layer in range(6):
        mixed = one.copy()
        mixed[:, layer] = other[:, layer]
        assert np.abs(to_numpy(generator.synthesize(mixed)) - pictures).max() > 1e-3


def test_truncation_pulls_the_first_layers_to_the_average(generator):
    w = to_numpy(generator.map(latent(5000, seed=9)))
    generator.average.assign(average := w[:, 0].mean(0))
    for psi in (0.5, 0, -1):
        short = to_numpy(generator.map(latent(5000, seed=9), psi=psi, cutoff=4))
        np.testing.assert_allclose(short[:, :4], average + psi * (w[:, :4] - average), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(short[:, 4:], w[:, 4:])


@pytest.mark.parametrize("level", [3, 4])
def test_the_fade_begins_with_the_level_before_and_ends_with_the_level(generator, level):
    before = to_numpy(generator.grow(level - 1)(latent()))
    stable = to_numpy(generator.grow(level)(latent()))
    begin = to_numpy(generator.grow(level, 0.0)(latent()))
    np.testing.assert_array_equal(begin, before.repeat(2, axis=1).repeat(2, axis=2))
    half = to_numpy(generator.grow(level, 0.5)(latent()))
    np.testing.assert_allclose(half, (begin + stable) / 2, rtol=1e-4, atol=1e-5)
    assert stable.shape == (4, 2**level, 2**level, 3) == (4, *generator.output_shape[1:])


def test_onnx_gives_the_same_pictures(generator, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    generator.grow().export(tmp_path / "g.onnx", format="onnx", verbose=False)
    session = runtime.InferenceSession(tmp_path / "g.onnx")
    [pictures] = session.run(None, {session.get_inputs()[0].name: latent()})
    np.testing.assert_allclose(pictures, to_numpy(generator(latent())), rtol=1e-4, atol=2e-5)


# --- training -------------------------------------------------------------------------------------------


GROWN = dict(start=4, d_network="stylegan")


def trainer(**chosen):
    small = dict(resolution=16, latent_dim=6, width=4, max_width=8, batch_size=8, max_batch=8, mapping=2)
    return build(recipe(model="stylegan", **small | dict(fade_images=16, stable_images=16) | chosen))


def fit(gan, pictures, steps):
    pictures = pictures[:, : gan.generator.resolution, : gan.generator.resolution]
    gan.fit(np.tile(pictures, (steps, 1, 1, 1))[: 8 * steps], batch_size=8, verbose=0, shuffle=False)
    return gan


@pytest.fixture(scope="module")
def faces():
    return np.random.default_rng(7).uniform(-1, 1, (8, 16, 16, 3)).astype("float32")


# The networks are small and change in two ways at once.
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("chosen", [{}, dict(GROWN), dict(style="modulated", mixing=0.0)], ids=str)
def test_all_weights_move_and_the_averages_follow(faces, chosen):
    gan = trainer(resolution=8, **chosen)
    before = [[np.array(v) for v in network.weights] for network in (gan.generator, gan.discriminator)]
    fit(gan, faces, 12)
    assert gan.generator.level == gan.generator.full_level
    for network, old in zip((gan.generator, gan.discriminator), before, strict=True):
        used = {id(v) for v in network.trainable_variables}
        still = [v.path for v, o in zip(network.weights, old, strict=True) if id(v) in used and np.array_equal(v, o)]
        assert not still, "these did not move"
    assert all(np.isfinite(v).all() for v in gan.ema_generator.weights)
    # Each average is of its own mapping.
    for network in (gan.generator, gan.ema_generator):
        assert np.abs(np.asarray(network.average)).max() > 0
    np.testing.assert_array_equal(gan.ema_generator.planes[2], gan.generator.planes[2])


def test_the_light_discriminator_by_hand(tmp_path):
    network = stylegan.LightDiscriminator(16, base=16, max_width=8, group_size=2)
    assert [tuple(v.shape) for v in network.trainable_variables][::2] == [
        (3, 3, 3, 4), (3, 3, 4, 8), (3, 3, 9, 8), (128, 8), (8, 1)
    ]  # fmt: skip

    def halved(conv, x):  # unfused: convolve, then average 2x2
        plain = layers.EqualisedConv2D(conv.filters)
        plain.build(x.shape)
        plain.set_weights(conv.get_weights())
        return to_numpy(active(layers.downsample(plain(x))))

    def scores(x):
        x = to_numpy(active(network.last(layers.MinibatchStdDev(2)(x)))).reshape(4, -1)
        return to_numpy(network.score(active(network.dense(x))))

    near = dict(rtol=1e-4, atol=1e-5)
    pictures = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype("float32")
    deep = halved(network.downs[3], halved(network.firsts[4], pictures))
    np.testing.assert_allclose(to_numpy(network(pictures)), scores(deep), **near)
    small = to_numpy(layers.downsample(pictures))
    shallow = halved(network.firsts[3], small)
    np.testing.assert_allclose(to_numpy(network.grow(4, 0.25)(pictures)), scores(0.25 * deep + 0.75 * shallow), **near)
    assert len(network.trainable_variables) == 2 * 6
    np.testing.assert_allclose(to_numpy(network.grow(3)(small)), scores(shallow), **near)
    assert network.input_shape == (None, 8, 8, 3) and len(network.trainable_variables) == 2 * 4

    network.grow().save(tmp_path / "d.keras")
    again = keras.models.load_model(tmp_path / "d.keras")
    np.testing.assert_array_equal(to_numpy(network(pictures)), to_numpy(again(pictures)))
    for level, alpha in ((2, 1.0), (3, 0.5)):
        with pytest.raises(CourseError, match="begins at 8x8"):
            network.grow(level, alpha)
    with pytest.raises(CourseError, match="d_network is vgg; give one of light, stylegan"):
        trainer(d_network="vgg")


def test_mixing_takes_the_later_layers_from_another_face(faces):
    gan = trainer(mixing=1.0, batch_size=8)
    seen, places = [], set()
    gan.generator.synthesize = lambda w, noise: seen.append(to_numpy(w))
    for _ in range(40):
        gan.generate(keras.ops.convert_to_tensor(latent(8)), None)
        w = seen[-1]
        same = [np.array_equal(w[:, 0], w[:, i]) for i in range(w.shape[1])]
        place = same.index(False)
        assert not any(same[place:]) and all(np.array_equal(w[:, place], w[:, i]) for i in range(place, w.shape[1]))
        places.add(place)
    assert places == {1, 2, 3, 4, 5}
    gan.mixing = 0.0
    gan.generate(keras.ops.convert_to_tensor(latent(8)), None)
    assert (seen[-1] == seen[-1][:, :1]).all()


@pytest.mark.usefixtures("eagerly")
def test_resumed_it_ends_with_the_same_bits(faces, tmp_path):
    from gan_course.training import checkpoints

    whole, second = (trainer(**GROWN, resolution=8, fade_images=64) for _ in range(2))
    whole.counter.assign(2)  # where the fade begins; all stages one after the other: tests/test_growing.py
    fit(whole, faces, 2)
    assert whole.stage.fading and whole.step == 4
    checkpoints.save(tmp_path / "4.npz", whole)
    checkpoints.load(tmp_path / "4.npz", second)
    for gan in (whole, second):
        fit(gan, faces, 2)
    for a, b in zip(whole.state(), second.state(), strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


@pytest.mark.usefixtures("eagerly")
def test_the_command_trains_samples_with_psi_and_tells_where_there_is_none(face_folder, tmp_path, refused, capsys):
    from gan_course.__main__ import main

    run, small = (
        str(tmp_path / "run"),
        "--resolution 8 --width 4 --max-width 8 --batch-size 8 --latent-dim 6 --mapping 2",
    )
    options = f"train stylegan --data {face_folder} --out {run} --steps 2 --epoch 2 {small}".split()
    refused(main([*options, "--start", "4"]), "begins at 8x8", "--start 8")
    assert main(options) == 0
    for psi in ("1", "0.5"):
        assert main(["sample", run, "--count", "4", "--psi", psi, "--out", str(tmp_path / f"{psi}.png")]) == 0
    assert (tmp_path / "1.png").read_bytes() != (tmp_path / "0.5.png").read_bytes()
    capsys.readouterr()
    refused(main(["sample", "dcgan-toon-64", "--psi", "0.7", "--out", str(tmp_path / "x.png")]), "no average w")
    usual, all_alike = (metrics.evaluate(run, face_folder, count=20, psi=psi) for psi in (1.0, 0.0))
    assert all_alike["psi"] == 0.0 and all_alike["results"] != usual["results"]
    refused(main(["evaluate", str(face_folder), "--data", str(face_folder), "--psi", "0.7"]), "psi is for a StyleGAN")
