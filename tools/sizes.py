"""Count the GPU memory that the trainings of a lesson would need, on whatever machine they run.

`tools/lessons.py --steps 2` puts `watch(path)` before a lesson's first cell. At the end of every `fit` a line of JSON
goes to `path`: what was trained, on how many pictures of what shape, and the bytes.

    bytes = 4 (4 P + A) + 4 * 2 * batch * (a_G + 2 a_D) * r

P: the players' weights, each with its gradient and Adam's two means. A: the averaged copies' weights. a_G, a_D: the
numbers in the outputs of all layers for one picture, kept for the backward pass and each with a gradient; D sees real
and drawn pictures. r: 2 where a penalty differentiates twice, else 1. It is a count from above for float32, without
CUDA's own memory (about 1 GB).
"""

import json
import math
from contextlib import contextmanager


@contextmanager
def _outputs():
    """Count the numbers in the outputs of all layers that are called."""
    import keras

    found, call = [], keras.layers.Layer.__call__

    def counting(layer, *args, **kwargs):
        result = call(layer, *args, **kwargs)
        if not list(layer._flatten_layers(include_self=False)):  # not a network, whose layers are counted
            found.extend(math.prod(x.shape) for x in keras.tree.flatten(result))
        return result

    keras.layers.Layer.__call__ = counting
    try:
        yield found
    finally:
        keras.layers.Layer.__call__ = call


def _numbers_per_picture(trainer):
    """Return how many numbers the layers of G give for one drawing, those of D for one look, and the drawing's shape."""
    import numpy as np

    with _outputs() as drawn:
        picture = trainer.generator(np.zeros((1, *trainer.generator.input_shape[1:]), "float32"))
    with _outputs() as looked:
        trainer.discriminator(picture)
    return sum(drawn), sum(looked), tuple(picture.shape[1:])


def count(trainer, batch):
    """Return {what: number} of one training; `batch` pictures a step."""
    players = [network for group in trainer.players.values() for network in group]
    trained = sum(math.prod(v.shape) for network in players for v in network.trainable_variables)
    averaged = sum(math.prod(v.shape) for copy, _ in trainer.averages for v in copy.variables)
    drawing, looking, shape = _numbers_per_picture(trainer)
    twice = 2 if trainer.phases else 1
    need = 4 * (4 * trained + averaged) + 4 * 2 * batch * (drawing + 2 * looking) * twice
    return {
        "class": type(trainer).__name__,
        "weights": trained,
        "batch": batch,
        "picture": shape,
        "bytes": need,
    }


def watch(path):
    """From now on, write a line to `path` at the end of every training of networks that draw pictures."""
    from gan_course.training.base import Trainer

    fit = Trainer.fit

    def watched(self, x=None, *args, **kwargs):
        history = fit(self, x, *args, **kwargs)
        if hasattr(self, "generator") and hasattr(self, "discriminator"):
            stages = getattr(getattr(self, "schedule", None), "stages", None)
            batch = stages[-1].batch_size if stages else len(next(iter(x)))
            with open(path, "a", encoding="utf-8") as lines:
                lines.write(json.dumps(count(self, batch)) + "\n")
        return history

    Trainer.fit = watched
