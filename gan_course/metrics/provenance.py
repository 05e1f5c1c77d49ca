"""Where does a picture come from? Detectors of drawn faces, watermarks, and whether a network knows a face (lesson 10)."""

import io
import math

import numpy as np
from PIL import Image, ImageFilter
from scipy.fft import dctn
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gan_course import show
from gan_course.errors import CourseError

# --- shares ---------------------------------------------------------------------------------------------------


def share(count, total, z=1.96):
    """Return (share, low, high): count / total, and Wilson's interval around it (1927); z = 1.96 is for 95%.

        middle = (p + z^2 / 2n) / (1 + z^2 / n),   half = z / (1 + z^2 / n) * sqrt(p (1 - p) / n + z^2 / 4n^2)

    Also for 0 of n, where the plain standard error is 0 and says that one is sure.
    """
    p, grown = count / total, 1 + z**2 / total
    middle = (p + z**2 / (2 * total)) / grown
    half = z / grown * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    return p, middle - half, middle + half


# --- what happens to a picture on its way ------------------------------------------------------------------------


def jpeg(image, quality):
    """Return the PIL image as JPEG stores it; quality 100 is the best."""
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=quality)
    return Image.open(buffer)


def blur(image, radius):
    """Return the PIL image, each pixel mixed with its neighbours up to about `radius` pixels away."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def smaller(image, size):
    """Return the PIL image, shrunk to `size` x `size` and enlarged again, as when someone sends a preview."""
    return image.resize((size, size), Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)


def cut(image, pixels):
    """Return the PIL image without `pixels` at its left and upper edge, enlarged again."""
    width, height = image.size
    return image.crop((pixels, pixels, width, height)).resize(image.size, Image.Resampling.BICUBIC)


def damaged(pictures, change, size):
    """Return pictures uint8 (n, h, w, 3), each after change(PIL image, size)."""
    return np.stack([np.asarray(change(Image.fromarray(picture), size), "uint8") for picture in pictures])


# --- detectors ----------------------------------------------------------------------------------------------------


def frequencies(pictures):
    """Return how strong each spatial frequency is in each picture, as logarithms: (n, r * r).

    pictures: uint8 (n, r, r, 3), of which the mean of the colours is taken; then a discrete cosine transform.
    """
    grey = pictures.astype("float64").mean(axis=3)
    return np.log(np.abs(dctn(grey, axes=(1, 2), norm="ortho")) + 1e-3).reshape(len(pictures), -1)


def train_detector(real, fake):
    """Return a detector, to be called with pictures uint8 (n, r, r, 3): scores (n,); above 0, they look drawn.

    A logistic regression on `frequencies`, so a linear one: Frank et al. 2020 ('Leveraging frequency analysis for deep
    fake image recognition') found that this suffices for GANs. It needs seconds, and can be looked at.
    """
    answers = np.repeat([0, 1], [len(real), len(fake)])
    line = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=500))
    line.fit(frequencies(np.concatenate([real, fake])), answers)
    return lambda pictures: line.decision_function(frequencies(pictures))


def alarms(real_scores, fake_scores, allowed=0.01, base=0.5):
    """Return (found, right) of a detector whose limit lets it cry at `allowed` of the real pictures.

    found: the share of the fakes above the limit. right: of all its alarms, the share that are fakes, where `base` of
    the pictures are fakes: base * found / (base * found + (1 - base) * allowed). 0 where it never cries.
    """
    limit = np.quantile(real_scores, 1 - allowed)
    found = float(np.mean(np.asarray(fake_scores) > limit))
    cries = base * found + (1 - base) * allowed
    return found, base * found / cries if cries else 0.0


def spectrum(pictures):
    """Return the mean power of each spatial frequency, as log10: (r, r), frequency 0 in the middle.

    pictures: uint8 (n, r, r, 3), of which the mean of the colours is taken; each loses its own mean first. A Hann
    window keeps the edges of the pictures from making lines of their own. Durall et al. 2020, Frank et al. 2020.
    """
    grey = pictures.astype("float64").mean(axis=3)
    window = np.hanning(grey.shape[1] + 2)[1:-1]
    grey = (grey - grey.mean(axis=(1, 2), keepdims=True)) * np.outer(window, window)
    power = (np.abs(np.fft.fft2(grey)) ** 2).mean(axis=0)
    return np.fft.fftshift(np.log10(power + 1e-12))


def rings(power):
    """Return the mean of a `spectrum` (r, r) over each ring of equal frequency: (r / 2,), from coarse to fine."""
    middle = len(power) // 2
    rows, columns = np.indices(power.shape) - middle
    way = np.hypot(rows, columns).round().astype(int)
    return np.array([power[way == radius].mean() for radius in range(middle)])


# --- a watermark -------------------------------------------------------------------------------------------------


def pattern(key, resolution=64, block=4):
    """Return the secret of a watermark: (resolution, resolution), blocks of +1 and -1 that `key` decides, mean 0.

    Who does not know the key (a whole number) sees noise. Blocks, because fine noise does not survive JPEG.
    """
    if resolution % (2 * block):
        raise CourseError(f"The watermark's block is {block}; {resolution} pixels must be a multiple of two of them.")
    cells = (resolution // block) ** 2
    signs = np.random.default_rng(key).permutation(np.repeat([-1.0, 1.0], cells // 2))
    return np.kron(signs.reshape(resolution // block, -1), np.ones((block, block)))


def write_mark(pictures, secret, strength=4.0):
    """Return pictures uint8 (n, r, r, 3) with `strength` of 255 added where `secret` is 1, taken away where it is -1.

    Cox et al. 1997 ('Secure spread spectrum watermarking for multimedia'): many small changes, each too weak to see.
    """
    return np.clip(np.round(pictures + strength * secret[..., None]), 0, 255).astype("uint8")


def rest(pictures, radius=2):
    """Return the grey pictures without all that is coarse, (n, r, r): what a watermark can be read in."""
    grey = [Image.fromarray(x).convert("L") for x in pictures]
    return np.stack([np.asarray(x, float) - np.asarray(blur(x, radius), float) for x in grey])


def read_mark(rests, secret):
    """Return the correlation of each of `rests` (n, r, r) with the secret: near 0 without this watermark."""
    x = rests.reshape(len(rests), -1)
    x, s = x - x.mean(axis=1, keepdims=True), secret.ravel() - secret.mean()
    return x @ s / (np.linalg.norm(x, axis=1) * np.linalg.norm(s) + 1e-12)


# --- who was in the training data? --------------------------------------------------------------------------------


def membership(candidates, drawn, k=10):
    """Return how much each candidate looks like one that the generator has learned by heart: (n,), higher is more.

        score = 1 - distance to the nearest drawn face / mean distance to the k nearest drawn faces

    candidates (n, d), drawn (m, d): features or pixels. 0: the nearest is as far as the next ones; 1: one is a copy. The
    comparison with the next ones is Carlini et al. 2023's: a plain face is near to many, and that is no sign of memory.
    """
    if not 1 <= k <= len(drawn):
        raise CourseError(f"k is {k}; give 1 to {len(drawn)}, the number of drawn faces.")
    ways = np.sort(np.stack([np.linalg.norm(drawn - x, axis=1) for x in candidates]), axis=1)[:, :k]
    return 1 - ways[:, 0] / np.maximum(ways.mean(axis=1), 1e-12)


def rows_of(pictures, size=16):
    """Return each picture, uint8 (n, r, r, 3), as one row of size * size * 3 numbers: means of blocks, from 0 to 255."""
    block = pictures.shape[1] // size
    return (
        show.to_uint8(pictures)
        .reshape(len(pictures), size, block, size, block, 3)
        .mean((2, 4))
        .reshape(len(pictures), -1)
    )
