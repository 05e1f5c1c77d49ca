"""The self-checks of lesson 02: a right answer passes, and a typical wrong one gets the fitting hint."""

import numpy as np
import pytest

from gan_course.checks import NotYet, lesson02


def transposed(image, kernel, stride, **mistake):
    """A second way to the right answer: one output channel at a time, from Keras."""
    import keras

    channels, size = kernel.shape[2], len(kernel)
    layer = keras.layers.Conv2DTranspose(channels, size, stride, padding="same", use_bias=False)
    layer.build((None, *image.shape))
    layer.set_weights([kernel])
    return np.asarray(layer(image[None]))[0]


def test_transposed_right(capsys):
    lesson02.check_transposed(transposed)
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda i, k, s: None, "return"),
        (lambda i, k, s: "a", "numbers"),
        (lambda i, k, s: transposed(i, k, s)[..., 0], "axes"),
        (
            lambda i, k, s: np.zeros(((len(i) - 1) * s + len(k), (i.shape[1] - 1) * s + len(k), k.shape[2])),
            "full size",
        ),
        (lambda i, k, s: transposed(i, k, s)[:-1], "size times stride"),
        (lambda i, k, s: i @ k[0, 0].T, "size times stride"),  # no stride at all
        (lambda i, k, s: lesson02._stamp(i, k, s, overwrite=True), "added"),
        (lambda i, k, s: lesson02._stamp(i, k, s, flip=True), "180"),
        (lambda i, k, s: lesson02._stamp(i, k, s, one_channel=True), "first input channel"),
        (lambda i, k, s: lesson02._stamp(i, k, s, crop=0), "only off the bottom"),
        (lambda i, k, s: lesson02._stamp(i, k, s, crop=len(k) - s), "only off the top"),
        (lambda i, k, s: np.repeat(transposed(i, k, s), 2, -1), "third axis"),
        (lambda i, k, s: 2 * transposed(i, k, s), "single 1"),
    ],
)
def test_transposed_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson02.check_transposed(wrong)


def parts(latent_dim, channels):
    dense = latent_dim * 16 * channels[0]
    norm = [4 * c for c in channels]
    kernels = [16 * a * b for a, b in zip(channels, (*channels[1:], 3), strict=True)]
    return dense, norm, kernels


def count(latent_dim, channels):
    dense, norm, kernels = parts(latent_dim, channels)
    return dense + sum(norm) + sum(kernels) + 3


def test_parameters_right():
    lesson02.check_parameters(count)
    assert count(64, (256, 128, 64, 32)) == 953_731


@pytest.mark.parametrize(
    "change, hint",
    [
        (lambda d, n, k: -sum(n) // 2, "moving mean"),
        (lambda d, n, k: -sum(n), "batch norm is missing"),
        (lambda d, n, k: -n[0], "first batch norm"),
        (lambda d, n, k: -3, "3 biases"),
        (lambda d, n, k: sum(n[1:]) // 4, "they have none"),
        (lambda d, n, k: 4 * n[0], "Dense layer; batch norm"),
        (lambda d, n, k: -d, "Dense layer is missing"),
        (lambda d, n, k: -d * 15 // 16, "4x4 positions"),
        (lambda d, n, k: -k[-1] - 3, "to 3 colours"),
        (lambda d, n, k: -sum(k) * 7 // 16, "not 9"),
        (lambda d, n, k: 1, "1 too many"),
    ],
)
def test_parameters_wrong(change, hint):
    with pytest.raises(NotYet, match=hint):
        lesson02.check_parameters(lambda latent, channels: count(latent, channels) + change(*parts(latent, channels)))


def slerp(a, b, t):
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def stretched(a, b, t):
    line = (1 - t) * a + t * b
    return line / np.linalg.norm(line) * np.linalg.norm(a)


def test_slerp_right():
    lesson02.check_slerp(slerp)


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda a, b, t: None, "return"),
        (lambda a, b, t: slerp(b, a, t), "swapped"),
        (lambda a, b, t: (1 - t) * a + t * b, "straight line"),
        (stretched, "18.4"),
        (lambda a, b, t: np.cos(t * np.pi / 2) * a + np.sin(t * np.pi / 2) * b, "not always 90"),
        (lambda a, b, t: a[:3], "shape"),
        (lambda a, b, t: np.full_like(a, np.nan), "both lengths"),
        (lambda a, b, t: 0.9 * slerp(a, b, t), "t = 0 must give a|At t = 0"),
    ],
)
def test_slerp_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson02.check_slerp(wrong)


def direction(latents, scores, share=0.25):
    order, count = np.argsort(scores), int(len(scores) * share)
    way = latents[order[-count:]].mean(0) - latents[order[:count]].mean(0)
    return way / np.linalg.norm(way)


def test_direction_right():
    lesson02.check_direction(direction)


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda z, s: -direction(z, s), "sign"),
        (lambda z, s: 3 * direction(z, s), "length is 3.000"),
        (lambda z, s: direction(z, s, 0.5), "halves"),
        (lambda z, s: z[np.argsort(s)[-100:]].mean(0), "high quarter alone"),
        (lambda z, s: direction(z, s[::-1]), "argsort"),
        (lambda z, s: z, "one latent vector"),
    ],
)
def test_direction_wrong(wrong, hint):
    with pytest.raises(NotYet, match=hint):
        lesson02.check_direction(wrong)
