"""Edit given faces with a trained L2M-GAN: a run's, or shipped weights.

editor = open_editor("l2m-toon-64")
face = read_face("me.jpg", editor.resolution)
edited = editor.edit(face[None], {"Smiling": 1}, strength=0.8)       # uint8 (1, r, r, 3)
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from gan_course import pretrained, show
from gan_course.backend import compiled, no_gradient, ops, to_numpy
from gan_course.data import domains as domains_of_faces
from gan_course.data.framing import frame_face
from gan_course.data.pipeline import BROKEN, crop_box, upright
from gan_course.errors import CourseError
from gan_course.layers import fitted
from gan_course.training import classifier

BATCH = 64
MOST = 3.0  # of the strength: beyond, there are no faces any more
ENOUGH = np.linspace(0.5, 1.5, 9)  # the strengths of which "enough" takes the smallest that does
SURE = 1.5  # the logit from which on the steering network counts as sure: a probability of 0.82


def is_editor(target):
    """Return whether a RUN|NAME is a system that edits; False also where it is neither a run nor shipped weights."""
    from gan_course import runs

    try:
        config = (
            runs.read_settings(target)[0] if (Path(target) / "settings.json").exists() else pretrained.config(target)
        )
    except CourseError:
        return False
    return config.edits


def open_editor(target):
    """Return the `DomainEditor` of a run's folder or of shipped weights; raise `CourseError` for what edits no faces."""
    found = pretrained.find(target)
    if not found.config.edits:
        known = [name for name in pretrained.names(draws=True) if pretrained.config(name).edits]
        raise CourseError(
            f"'{target}' draws new faces and edits none; give a run of 'train l2m'{f', or {known[0]}' if known else ''}."
        )
    return DomainEditor(found.network, found.config)


def read_face(path, resolution):
    """Return the picture in a file as uint8 (resolution, resolution, 3); see `face_of`."""
    try:
        return face_of(Path(path).read_bytes(), resolution, path)
    except OSError as error:
        raise CourseError(f"'{path}' cannot be read ({error.strerror}); give a JPEG or PNG picture.") from None


def face_of(data, resolution, name="the picture"):
    """Return the bytes of a JPEG or PNG as uint8 (resolution, resolution, 3).

    One that may be framed as the course's faces (178x218 as CelebA's, or a square of at most 256) is cut as they are
    (`pipeline.crop_box`); in any other the eyes are found first (`gan_course.data.framing`). Raises `CourseError` for what is no
    picture, and where no face is found. name: for its sentence.
    """
    try:
        image = upright(data)
    except BROKEN as error:
        raise CourseError(f"'{name}' cannot be read as a JPEG or PNG picture: {error}.") from None
    if image.size == (178, 218) or (image.size[0] == image.size[1] and image.size[0] <= 256):
        return np.asarray(image.resize((resolution,) * 2, Image.Resampling.LANCZOS, box=crop_box(*image.size)))
    return frame_face(np.asarray(image), size=resolution)


@dataclass
class DomainEditor:
    """An `Editor` network with the names of its domains, and the steering network that tells a face's domain."""

    network: object  # `gan_course.models.l2m_gan.Editor`
    config: object  # `gan_course.training.l2m.L2MConfig`
    _kept: dict = field(default_factory=dict, repr=False)  # what is loaded or compiled at its first use

    @property
    def resolution(self):
        return self.network.resolution

    @property
    def domains(self):
        """The names of the domains, in their order."""
        return list(self.config.domains)

    @property
    def attributes(self):
        """The attributes that it edits; [] where the domains are folders."""
        return domains_of_faces.attributes_of(self.config.attributes)

    def tell(self, pictures):
        """Return the domains of faces, uint8 (n, r, r, 3), as the steering network sees them: int64 (n,)."""
        return ((self.said(pictures) > 0) << np.arange(len(self.attributes))).sum(axis=1)

    def said(self, pictures):
        """Return the steering network's logits of the edited attributes, (n, attributes); above 0: yes."""
        steering, known = self.steering()
        rows, said = [known.index(name) for name in self.attributes], []
        for start in range(0, len(pictures), BATCH):
            x = ops.convert_to_tensor(pictures[start : start + BATCH].astype("float32") / 127.5 - 1)
            with no_gradient():
                said.append(to_numpy(steering(fitted(x, steering), training=False))[:, rows])
        return np.concatenate(said)

    def enough(self, pictures, target, source=None):
        """Return for each face the smallest strength of `ENOUGH` at which the steering network sees the target, (n,).

        It sees it where its logits are at least `SURE` on the target's side, in all edited attributes. Where they never are, the
        strength at which they come nearest. pictures, target, source: see `edit`. Raises `CourseError` where no steering network is.
        """
        try:
            self.steering()
        except CourseError:
            raise CourseError("No steering network says here which strength is enough; give a number.") from None
        pictures = show.to_uint8(pictures)
        source = self.tell(pictures) if source is None else self.domain(source)
        target = np.broadcast_to(self.domain(target, source), len(pictures))
        sides = 2 * (target[:, None] >> np.arange(len(self.attributes)) & 1) - 1
        sure = np.array([(sides * self.said(self.edit(pictures, target, a, source))).min(axis=1) for a in ENOUGH])
        seen = sure >= SURE
        return ENOUGH[np.where(seen.any(axis=0), seen.argmax(axis=0), sure.argmax(axis=0))]

    def steering(self):
        """Return the attribute network that tells the domains, and its attributes; raise `CourseError` where there is none."""
        if "steering" not in self._kept:
            if self.config.steering == "none" or not self.attributes:
                raise CourseError(
                    f"No steering network tells the domain of a face here; say what the face is (source), such as '{self.domains[0]}'."
                )
            network, known = classifier.attribute_network(self.config.steering)
            if unknown := [name for name in self.attributes if name not in known]:
                raise CourseError(f"The steering network does not know {unknown[0]}; say what the face is (source).")
            self._kept["steering"] = network, known
        return self._kept["steering"]

    def _choices(self):
        if self.attributes:
            return f"the attributes, each 0 or 1, are: {', '.join(self.attributes)}"
        return f"the domains are folders, so give the name of one: {', '.join(self.domains)}"

    def domain(self, wanted, start=0):
        """Return the domain that `wanted` asks for: a name or number of a domain, or {attribute: 0 or 1}.

        start: the domain whose other attributes stay (a number, or one for each face). Raises `CourseError` for an unknown one.
        """
        if isinstance(wanted, dict):
            result = np.array(start)
            for name, value in wanted.items():
                if name not in self.attributes or value not in (0, 1):
                    raise CourseError(f"{name}={value} cannot be set; {self._choices()}.")
                bit = 1 << self.attributes.index(name)
                result = result | bit if value else result & ~bit
            return result
        if isinstance(wanted, str):
            if wanted not in self.domains:
                raise CourseError(f"There is no domain '{wanted}'; choose one of {'; '.join(self.domains)}.")
            return self.domains.index(wanted)
        if (np.asarray(wanted) < 0).any() or (np.asarray(wanted) >= len(self.domains)).any():
            raise CourseError(f"There is no domain {wanted}; the numbers go from 0 to {len(self.domains) - 1}.")
        return np.asarray(wanted)

    def edit(self, pictures, target, strength=1.0, source=None):
        """Return edited faces, uint8 (n, r, r, 3).

        pictures: uint8 (n, r, r, 3), or float in [-1, 1]. target, source: see `domain`; numbers may be given one a face. A
        dictionary as target changes these attributes and leaves the others as the source has them. source None: `tell`.
        strength: a number, or (n,), from 0 (the face given back) to 1 (the edit) and a little on; "enough": see `enough`.
        """
        pictures = show.to_uint8(pictures)
        shape = (self.resolution, self.resolution, 3)
        if pictures.ndim != 4 or pictures.shape[1:] != shape or not len(pictures):
            raise CourseError(f"The faces have the shape {pictures.shape}; give (n, {', '.join(map(str, shape))}).")
        if isinstance(strength, str):
            if strength != "enough":
                raise CourseError(f"The strength is '{strength}'; give a number, or 'enough'.")
            strength = self.enough(pictures, target, source)
        strength = np.asarray(strength, "float32")
        if not ((strength >= 0) & (strength <= MOST)).all():
            raise CourseError(f"The strength is {strength}; give a number from 0 to {MOST:g}, usually to 1.")
        source = self.tell(pictures) if source is None else self.domain(source)
        target = self.domain(target, source)
        count, one_hot = len(pictures), np.eye(len(self.domains), dtype="float32")
        source, target, strength = (np.broadcast_to(a, count) for a in (source, target, strength))
        if "draw" not in self._kept:
            network = self.network
            self._kept["draw"] = compiled(lambda inputs: network(inputs, training=False))
        made = []
        for start in range(0, count, BATCH):
            rows = slice(start, start + BATCH)
            x = pictures[rows].astype("float32") / 127.5 - 1
            inputs = [x, one_hot[source[rows]], one_hot[target[rows]], strength[rows, None]]
            with no_gradient():
                made.append(show.to_uint8(to_numpy(self._kept["draw"]([ops.convert_to_tensor(a) for a in inputs]))))
        return np.concatenate(made)


def settings_of(text):
    """Return {attribute: 0 or 1} of a text such as 'Smiling=1,Eyeglasses=0', or the text itself where it has no '='."""
    if "=" not in text:
        return text.strip()
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if value.strip() not in ("0", "1") or name.strip() in found:
            raise CourseError(f"'{text}' is no setting; write such as Smiling=1 or Smiling=1,Eyeglasses=0, each once.")
        found[name.strip()] = int(value)
    return found
