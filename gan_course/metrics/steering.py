"""What moving a face along an axis does to it, by the word of the judge, which took no part in finding the axis."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from gan_course.backend import compiled, keras, no_gradient, ops, to_numpy
from gan_course.errors import CourseError
from gan_course.layers import fitted
from gan_course.metrics.distances import cosines
from gan_course.models import attributes

BATCH = 20  # faces at once: a walk ends for most faces soon, and the last few are filled up to so many


class Look:
    """What the judge sees in the faces of codes: call it with codes (n, ...) to get (logits (n, k), features (n, d)).

    generator, space: as of `gan_course.latent.axes.drawer`. judge: an attribute network; names: of its logits. Its pictures
    are clipped, and resized where its input has another size.
    """

    def __init__(self, generator, judge, names, space="z"):
        self.names, self.size = list(names), 1
        both = keras.Model(judge.input, [judge.output, attributes.feature_extractor(judge).output])

        @compiled
        def see(codes):
            pictures = generator.synthesize(codes) if space == "w" else generator(codes, training=False)
            return both(fitted(ops.clip(pictures, -1.0, 1.0), judge), training=False)

        self.see = see

    def __call__(self, codes):
        codes, parts = np.asarray(codes, "float32"), []
        self.size = max(self.size, min(len(codes), BATCH))  # one shape, one graph: fewer faces are filled up
        for start in range(0, len(codes), self.size):
            part = codes[start : start + self.size]
            full = np.concatenate([part, np.repeat(part[:1], self.size - len(part), axis=0)])
            with no_gradient():
                parts.append([to_numpy(x)[: len(part)] for x in self.see(ops.convert_to_tensor(full))])
        return tuple(np.concatenate(x) for x in zip(*parts, strict=True))


def leakage(look, move, codes, names, amount):
    """Return a table of what moving along each axis does to each attribute: rows axes, columns the judge's attributes.

        entry = mean over faces of (p(+amount) - p(-amount)) / 2,       p: the judge's probability of the column's attribute

    From -0.5 to 0.5. The diagonal is the effect that is wanted, the rest is leakage. move(codes, name, amount) -> codes.
    codes: of the faces. names: the axes. amount: how far, in degrees or in units of w.
    """
    rows = {}
    for name in names:
        there, back = (expit(look(move(codes, name, sign * amount))[0]) for sign in (1, -1))
        rows[name] = (there - back).mean(axis=0) / 2
    return pd.DataFrame(rows, index=look.names).T


@dataclass(frozen=True)
class Flips:
    """What happened to n faces on the way to the first point where the judge changes its mind about one attribute.

    amount: (n,), how far that was; NaN where it did not happen. changed: (n,), the share of the *other* attributes about
    which the judge changed its mind as well. kept: (n,), the cosine of its features before and after.
    """

    amount: np.ndarray
    changed: np.ndarray
    kept: np.ndarray

    @property
    def success(self):
        """The share of faces that flipped."""
        return float(np.mean(~np.isnan(self.amount)))


def flips(look, move, codes, attribute, amounts):
    """Walk each face away from what it is, until the judge changes its mind about `attribute`; return the `Flips`.

    A face without the attribute walks forwards, one with it backwards. move(rows, amounts) -> codes of the faces number
    `rows`, each moved by its own amount (n,). codes: of all faces. amounts: the stops, rising, such as 3, 6, ... 60 degrees.

    "Leakage at the flip" can be compared between axes of any kind: a weak axis needs a longer way, and pays for it. So no axis
    looks clean because it does nothing.
    """
    if attribute not in look.names:
        raise CourseError(f"The judge knows no '{attribute}'; choose from {', '.join(look.names)}.")
    column, count = look.names.index(attribute), len(codes)
    before, features = look(codes)
    sign = np.where(before[:, column] > 0, -1.0, 1.0)
    found = [np.full(count, np.nan) for _ in range(3)]
    others = np.arange(before.shape[1]) != column
    waiting = np.arange(count)
    for amount in amounts:
        logits, seen = look(move(waiting, sign[waiting] * amount))
        flipped = (logits[:, column] > 0) != (before[waiting, column] > 0)
        rows = waiting[flipped]
        found[0][rows] = amount
        found[1][rows] = ((logits[flipped] > 0) != (before[rows] > 0))[:, others].mean(axis=1)
        found[2][rows] = cosines(features[rows], seen[flipped])
        waiting = waiting[~flipped]
        if not len(waiting):
            break
    return Flips(*found)
