"""Weights that the course ships, as networks; and what a command means by RUN|NAME. The files: `gan_course.weights`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan_course import weights
from gan_course.errors import CourseError
from gan_course.weights import index


def config(name):
    """Return the configuration (`gan_course.training.base.Config`) of shipped weights.

    Raises `CourseError` for an unknown name.
    """
    from gan_course.systems import system

    settings = weights.entry_of(name)["settings"]
    return system(settings["model"]).from_dict(settings)


def names(draws):
    """Return the names of shipped weights that draw faces, or of those that do not (attribute networks, encoders)."""
    return [name for name in index() if config(name).draws == draws]


def load(name):
    """Return the network called `name` with its weights: an averaged generator or an attribute network.

    An attribute network's logits are in the order of `config(name).attributes`.
    Raises `CourseError` for an unknown name and for a file whose size or sha256 is not the recorded one.
    """
    network = config(name).network()
    network.load_weights(weights.file_of(name))
    return called(network)


def encoder_of(generator):
    """Return the shipped encoder for projection into a shipped StyleGAN's w, or None where there is none of this name."""
    own = [name for name in names(draws=False) if getattr(config(name), "generator", None) == str(generator)]
    return load(own[0]) if own else None


def called(network):
    """Return a network after a first call: Keras exports (to ONNX, say) only what was called once."""
    shapes = network.input_shape if isinstance(network.input_shape, list) else [network.input_shape]
    inputs = [np.zeros([size or 1 for size in shape], "float32") for shape in shapes]
    network(inputs if len(inputs) > 1 else inputs[0])
    return network


@dataclass(frozen=True)
class Found:
    """What a RUN|NAME stands for: a trained network, its configuration, what to write down about it, and a run's trainer."""

    network: object
    config: object
    about: dict
    trainer: object = None

    def sample(self, count, seed=0, psi=1.0, texts=None):
        """Return `count` pictures, uint8. psi: of StyleGAN's truncation; other networks have only 1.

        texts: sentences to draw in turn, for a network that reads.
        """
        chosen = {}
        if texts:
            self.must_read()
            chosen["texts"] = texts
        if psi != 1:
            if not hasattr(self.network, "average"):
                raise CourseError(f"A {self.config.model} has no average w to truncate to; leave out psi.")
            chosen["psi"] = psi
        return self.config.sample(self.network, count, seed, **chosen)

    def must_read(self):
        """Raise `CourseError` unless the network draws what a sentence says."""
        if not self.config.reads:
            raise CourseError(f"A {self.config.model} reads no sentences; give a network of the system 'text'.")


def find(target):
    """Return the `Found` generator of a run's folder or of shipped weights. The one rule for every command:

    a folder with a settings.json is a run; anything else is the name of shipped weights.
    Raises `CourseError` for what is neither, and for a network that draws no faces.
    """
    from gan_course import runs

    path = Path(target)
    if (path / "settings.json").exists():
        trainer, config_of_run = runs.load_run(path)
        about = {"kind": "run", "name": path.resolve().name, "step": trainer.step}
        return Found(trainer.averages[0][0], config_of_run, about, trainer)
    name = str(target)
    if path.exists() and name not in index():
        raise CourseError(
            f"{path} holds no run (there is no settings.json); start one with 'python -m gan_course train'."
        )
    if not config(name).draws:
        raise CourseError(
            f"'{name}' draws no faces (it is of the kind '{config(name).model}'); give the name of a generator."
        )
    return Found(load(name), config(name), {"kind": "shipped weights", "name": name})
