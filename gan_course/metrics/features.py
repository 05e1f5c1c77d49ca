"""Feature networks: each turns a picture into d numbers, in which two sets of pictures are compared."""

import keras
import numpy as np
from PIL import Image

from gan_course import pretrained, show
from gan_course.data import toon
from gan_course.errors import CourseError
from gan_course.models.attributes import feature_extractor
from gan_course.progress import progress
from gan_course.weights import weights_sha256


def resize(pictures, size):
    """Return `pictures`, uint8 (n, h, w, 3), as float32 (n, size, size, 3), still from 0 to 255.

    Pillow's bicubic filter on float channels, as clean-fid does (Parmar et al. 2022, "On Aliased Resizing..."). When
    it shrinks a picture, it widens to cover every pixel, so fine stripes turn grey instead of into false patterns;
    and nothing is rounded to whole numbers. Pictures of that size already stay as they are.
    """
    pictures = pictures.astype("float32")
    if pictures.shape[1:3] == (size, size):
        return pictures
    out = np.empty((len(pictures), size, size, 3), "float32")
    for i, picture in enumerate(pictures):
        for c in range(3):
            channel = Image.fromarray(np.ascontiguousarray(picture[..., c]))  # float32: Pillow's mode F
            out[i, ..., c] = channel.resize((size, size), Image.Resampling.BICUBIC)
    return np.clip(out, 0, 255)  # the filter overshoots at sharp edges


class _Features:
    """A feature network: call it with pictures (n, h, w, 3), uint8 or float in [-1, 1], to get float64 (n, d).

    Float pictures are first rounded to bytes, as real ones are. `distance`: what the Frechet distance in these
    features is called. `name`, `sha256`: of the network. `resize`: how pictures become `size` x `size`, in words.
    """

    def __init__(self, name, model, size, distance, short):
        self.name, self.model, self.size, self.distance, self.short = name, model, size, distance, short
        self.resize = f"to {size}x{size}, Pillow bicubic (antialiased) on float32, clipped to 0..255"

    @property
    def sha256(self):
        return weights_sha256(self.model)

    def __call__(self, pictures, batch_size=64):
        return self._through(self.model, pictures, batch_size).astype("float64")

    def _through(self, model, pictures, batch_size):
        pictures = np.asarray(pictures)
        if pictures.ndim != 4 or pictures.shape[3] != 3 or not len(pictures):
            raise CourseError(f"Features need pictures of shape (n, h, w, 3), and got {pictures.shape}.")
        if not np.isfinite(pictures).all():
            raise CourseError("The pictures hold NaN or infinity; look at the generator they come from.")
        pictures = show.to_uint8(pictures)
        features = []
        for start in progress(range(0, len(pictures), batch_size), desc="features", unit="batch"):
            x = resize(pictures[start : start + batch_size], self.size) / 127.5 - 1.0
            features.append(model.predict_on_batch(x))
        return np.concatenate(features)

    def unrounded(self, pictures):
        """Return the features of one batch of float pictures as they are: for those that differ by less than a byte."""
        pictures = np.clip(pictures, -1, 1)
        if pictures.shape[1] != self.size:
            pictures = resize((pictures + 1) * 127.5, self.size) / 127.5 - 1
        return self.model.predict_on_batch(pictures).astype("float64")


class FaceFeatures(_Features):
    """The features of an attribute network at 64x64; works offline. The distance in them is called FFD.

    `network`: the name of shipped weights (a judge, such as 'attributes-toon-judge'), or a network that
    `models.attributes.build` made, with the attributes of its logits.
    """

    def __init__(self, network, attributes=()):
        name = network
        if isinstance(name, str):
            if name not in (judges := pretrained.names(draws=False)):
                known = ", ".join(judges) or "none in this copy"
                raise CourseError(f"'{name}' is no attribute network that the course ships; shipped: {known}.")
            network, attributes = pretrained.load(name), pretrained.config(name).attributes
        else:
            name = network.name
        self.judge, self.attributes = network, list(attributes)
        size, model = network.input_shape[1], feature_extractor(network)
        super().__init__(name, model, size, "face-feature Frechet distance (FFD)", "FFD")

    def logits(self, pictures, batch_size=64):
        """Return the network's logits of pictures, float32 (n, attributes), in the order of `attributes`."""
        return self._through(self.judge, pictures, batch_size)


class InceptionFeatures(_Features):
    """Inception-v3's 2048 pooled features (Szegedy et al. 2016), Keras's ImageNet weights. The distance is called FID.

    These weights are not those of the original FID, which TensorFlow published in 2015: compare such a number with
    others that were measured here, never with a paper's. Needs the internet once (88 MB, kept in ~/.keras).
    """

    def __init__(self):
        try:
            model = keras.applications.InceptionV3(include_top=False, pooling="avg", weights="imagenet")
        except Exception as error:  # Keras raises a bare Exception when a download fails
            raise CourseError(
                f"The Inception-v3 weights cannot be had ({str(error).splitlines()[0]}); connect to the internet, "
                "copy that file into ~/.keras/models, or measure with the course's own face features."
            ) from error
        super().__init__("Keras Inception-v3", model, 299, "FID (Keras Inception-v3)", "FID")


def feature_network(choice, data):
    """Return the feature network of a name: 'toon', 'celeba', 'inception', shipped weights, or 'auto'.

    'auto' looks at the folder `data`: the cartoons' judge for cartoon faces, else that of real faces.
    """
    if choice == "auto":
        choice = "toon" if toon.is_cartoon(data) else "celeba"
    if choice == "inception":
        return InceptionFeatures()
    return FaceFeatures(f"attributes-{choice}-judge" if choice in ("toon", "celeba") else choice)
