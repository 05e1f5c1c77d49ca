"""How well a flat plane in latent space parts the faces with an attribute from those without it (linear separability).

Karras et al. 2019, section 4.2. Where each attribute has a direction of its own in latent space, a linear classifier
finds it, and knows from the latent vector what the judge will say of the face.
"""

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from gan_course.backend import no_gradient, to_numpy
from gan_course.errors import CourseError, CourseWarning
from gan_course.latent import sampling
from gan_course.metrics.features import resize

LEAST = 50  # faces with the attribute, and without: fewer teach the classifier chance


def conditional_entropy(codes, logits):
    """Return H(Y|X) of one attribute in nats: what is still unknown of the judge's word Y when a linear classifier says X.

        H(Y|X) = - sum over x, y of p(x, y) ln p(y|x)         0: X tells all; H(Y) (at most ln 2): X tells nothing

    codes: latent vectors (n, d). logits: the judge's (n,); Y is `logits > 0`. The half of the faces of which the judge is
    surest is kept, as in the paper. X comes from a linear support vector machine. Here each half of them is classified by
    a machine that learnt from the other half; the paper asks about the faces it learnt from, which flatters where there
    are not many more faces than dimensions. NaN where fewer than `LEAST` of the kept faces are of one kind.
    """
    surest = np.sort(np.argsort(-np.abs(logits), kind="stable")[: len(logits) // 2])
    codes, labels = codes[surest], logits[surest] > 0
    if min(labels.sum(), (~labels).sum()) < LEAST:
        return float("nan")
    machine = make_pipeline(StandardScaler(), LinearSVC())
    said = cross_val_predict(machine, codes, labels, cv=2)
    joint = np.array([[np.mean((said == x) & (labels == y)) for y in (False, True)] for x in (False, True)])
    given = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-12)
    return float(-(joint * np.log(np.where(joint > 0, given, 1.0))).sum())


def separability(generator, judge, attributes, spaces=("z",), count=4000, seed=0, batch_size=64):
    """Return (score, table): how well the attributes of drawn faces can be told from their latent vectors.

        score = exp(sum over attributes of H(Y|X))      1: every attribute is cut off by a plane; larger is worse

    score: {space: number}. table: a row per attribute, with `share` (of all drawn faces, by the judge) and H(Y|X) of each
    space in nats (`conditional_entropy`). spaces: 'z', and 'w' for a StyleGAN: all are asked about the same faces.
    judge: an attribute network that gives logits; attributes: their names (`gan_course.training.classifier.attribute_network`
    returns both).

    An attribute that hardly occurs has almost no entropy to begin with, so it would make the score better without being
    separable: it gets NaN, a `CourseWarning` names it, and it is left out of the sum. So compare two generators by the
    rows that both tables have. Raises `CourseError` where none is left, and for an unknown space or no StyleGAN.
    """
    for space in spaces:
        sampling.needs_space(generator, space)
    latent = sampling.fixed_latent(count, sampling.latent_dim(generator), seed)
    pictures = sampling.generate(generator, count, seed, batch_size=batch_size)
    faces = (resize(pictures[i : i + 1024], judge.input_shape[1]) / 127.5 - 1 for i in range(0, count, 1024))
    logits = np.concatenate([judge.predict(x, batch_size=256, verbose=0) for x in faces])
    with no_gradient():
        codes = {s: latent if s == "z" else to_numpy(generator.map(latent))[:, 0] for s in spaces}
    table = pd.DataFrame({"share": (logits > 0).mean(axis=0)}, index=list(attributes))
    for space in spaces:
        table[space] = [conditional_entropy(codes[space], column) for column in logits.T]
    known = table[list(spaces)].dropna()
    if not len(known):
        raise CourseError(f"No attribute is seen in {LEAST} of the surest faces, and missing in {LEAST}; draw more.")
    if len(known) < len(table):
        rare = ", ".join(table.index.difference(known.index, sort=False))
        text = f"Left out, because too few of the faces that the judge is sure of have it or have it not: {rare}."
        warnings.warn(text, CourseWarning, stacklevel=2)
    return np.exp(known.sum()).to_dict(), table
