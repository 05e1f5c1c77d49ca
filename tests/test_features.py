"""The second discriminator, which looks through a frozen attribute network."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from gan_course import pretrained, runs
from gan_course.backend import to_numpy
from gan_course.errors import CourseError
from gan_course.models import attributes, dcgan
from gan_course.models.features import FeatureDiscriminator
from gan_course.training import GAN


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return attributes.build(["Smiling", "Male"], width=4, resolution=16)


@pytest.fixture
def gan(network):
    keras.utils.set_random_seed(1)
    second = FeatureDiscriminator(network, 16, width=4)
    networks = dcgan.build_generator(16, 8, 4, 8), dcgan.build_discriminator(16, 4, 8)
    gan = GAN(*networks, second=second, r1_gamma=1.0, r1_interval=2)
    gan.compile()
    return gan


def test_the_maps_of_the_blocks_end_in_the_features(network, pictures):
    maps = attributes.maps(network)(pictures)
    assert [tuple(m.shape[1:]) for m in maps] == [(4, 4, 8), (2, 2, 16), (1, 1, 32)]
    assert all((to_numpy(m) >= 0).all() for m in maps)
    features = to_numpy(attributes.feature_extractor(network)(pictures))
    np.testing.assert_allclose(to_numpy(maps[-1]).mean((1, 2)), features, rtol=1e-5, atol=1e-6)
    assert [m.shape[1] for m in attributes.maps(attributes.build(["Male"], width=2)).outputs] == [16, 8, 4]


def test_it_owns_its_head_only_and_takes_pictures_of_any_size(network):
    second = FeatureDiscriminator(network, 16, width=4)
    assert not network.trainable_weights
    theirs = {id(weight) for weight in network.weights}
    assert not theirs & {id(weight) for weight in second.weights}
    # Three convolutions that look, two that halve, one at the end and two dense layers; each with a bias.
    assert len(second.trainable_weights) == 2 * 8
    for size in (8, 16, 32):
        assert second(np.zeros((4, size, size, 3), "float32")).shape == (4, 1)
    with pytest.raises(CourseError, match="for pictures of 16 pixels and the GAN for 24"):
        FeatureDiscriminator(network, 24)


def test_with_a_condition_it_says_whether_a_picture_fits(network, pictures):
    keras.utils.set_random_seed(2)
    second = FeatureDiscriminator(network, 16, width=4, condition_dim=3)
    x, conditions = pictures[:4], np.eye(4, 3, dtype="float32")
    scores = to_numpy(second([x, conditions]))
    assert scores.shape == (4, 1) and len(second.trainable_weights) == 2 * 9
    np.testing.assert_allclose(scores, to_numpy(second.head(second.maps(x), conditions)), rtol=1e-6)
    other = to_numpy(second([x, conditions[::-1].copy()]))
    assert (np.abs(scores - other) > 1e-6).all()


def test_a_new_discriminator_learns_first_alone(network, pictures):
    networks = dcgan.build_generator(16, 8, 4, 8), dcgan.build_discriminator(16, 4, 8)
    gan = GAN(*networks, second=FeatureDiscriminator(network, 16, width=4), d_first=2)
    gan.compile()
    parts = gan.generator, gan.ema_generator, gan.discriminator, gan.second

    def weights(part):  # the averaged network has none to train
        return part.trainable_weights or part.weights

    def moved(steps):
        before = [[to_numpy(w).copy() for w in weights(part)] for part in parts]
        gan.fit(pictures[: 8 * steps], batch_size=8, verbose=0)
        return [
            any((a != to_numpy(b)).any() for a, b in zip(old, weights(part), strict=True))
            for old, part in zip(before, parts, strict=True)
        ]

    assert moved(2) == [False, False, True, True] and moved(1) == [True] * 4
    with pytest.raises(CourseError, match="d_first is 0.5"):
        GAN(*networks, d_first=0.5)


def test_both_discriminators_learn_and_the_network_does_not(gan, network, pictures):
    frozen = network.get_weights()
    parts = gan.generator, gan.discriminator, gan.second
    before = [part.get_weights() for part in parts]
    logs = gan.fit(pictures, batch_size=8, epochs=2, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values()) and {"r1", "d_loss"} <= set(logs)
    for old, new in zip(frozen, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for part, old in zip(parts, before, strict=True):
        moved = [not np.array_equal(a, b) for a, b in zip(old, part.get_weights(), strict=True)]
        assert all(m for m, weight in zip(moved, part.weights, strict=True) if weight.trainable), part.name


def test_the_losses_are_the_means_over_both_and_r1_that_of_the_sum(gan, pictures):
    x, z = ops.convert_to_tensor(pictures[:8]), keras.random.normal((8, 8), seed=0)
    plain, second = to_numpy(gan.discriminator(x, training=True)), to_numpy(gan.second(x))
    scores = gan.score(x, None)
    np.testing.assert_allclose(to_numpy(scores), np.concatenate([plain, second], axis=1), rtol=1e-5, atol=1e-6)
    fake = gan.score(gan.generator(z), None)
    d_loss, _, g_loss = map(float, gan.losses(scores, fake))
    real, made = to_numpy(scores), to_numpy(fake)

    def softplus(s):
        return np.log1p(np.exp(s))

    assert d_loss == pytest.approx((softplus(-real).mean(0) + softplus(made).mean(0)).mean(), rel=1e-5)
    assert g_loss == pytest.approx(softplus(-made).mean(0).mean(), rel=1e-5)
    # R1's slope in one direction, against the change of the summed scores.
    way = np.random.default_rng(0).normal(size=x.shape).astype("float32") * 1e-3
    change = [float(ops.sum(gan.score(x + sign * way, None))) for sign in (1, -1)]
    assert (change[0] - change[1]) / 2 == pytest.approx(float((to_numpy(gan.slope(x, None)) * way).sum()), rel=0.05)
    assert not gan.shares_backward  # one picture has two scores, each with a ratio of its own


def test_a_gradient_penalty_is_refused(network):
    networks = dcgan.build_generator(16, 8, 4, 8), dcgan.build_discriminator(16, 4, 8)
    with pytest.raises(CourseError, match="set gp_weight to 0"):
        GAN(*networks, second=FeatureDiscriminator(network, 16), loss="wasserstein", gp_weight=10.0)


GROWN = dict(start=8, fade_images=8, stable_images=8, max_batch=8)


@pytest.mark.parametrize("model", ["dcgan", "stylegan", "text"])
@pytest.mark.usefixtures("eagerly")
def test_a_run_with_it_resumes_with_the_same_bits(model, face_folder, tmp_path, as_after):
    small = dict(resolution=16, latent_dim=6, width=4, max_width=8, batch_size=8, epoch=1)
    small |= {
        "dcgan": {},
        "text": dict(start=16, reading_steps=2, tell=0.5, match=0.5, vary=0.5, d_first=1),
        "stylegan": GROWN | dict(mapping=2),
    }[model]
    small |= dict(model=model, data=str(face_folder), steering="auto", say=lambda text: None)
    whole = runs.train(tmp_path / "whole", steps=2, **small)
    place = as_after(tmp_path / "whole", 1, tmp_path / "again")
    again = runs.train(place, steps=2, **small)  # the same command; "auto" means the network that it meant
    assert json.loads((tmp_path / "whole/settings.json").read_text())["steering"] == "attributes-celeba-steer"
    for one, two in zip(whole.state(), again.state(), strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(two), err_msg=one.path)
    assert again.sample(2).shape == (2, 16, 16, 3)


@pytest.mark.usefixtures("eagerly")
def test_a_run_begins_with_both_discriminators_of_another(face_folder, tmp_path):
    small = dict(model="dcgan", data=str(face_folder), resolution=16, latent_dim=6, width=4, max_width=8, batch_size=8)
    small |= dict(epoch=2, steering="auto")
    said = []
    first = runs.train(tmp_path / "first", steps=2, say=said.append, **small)
    found = pretrained.find(str(tmp_path / "first"))
    second = runs.train(tmp_path / "second", steps=2, start_from=found, say=said.append, **small | dict(rate=1e-12))
    assert said[-1].endswith("and so does its discriminator, and so does its second discriminator.")
    for one, two in zip(first.second.trainable_weights, second.second.trainable_weights, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(two), atol=1e-6)
