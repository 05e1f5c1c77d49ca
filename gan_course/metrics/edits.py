"""How good are edits of given faces? Is the target reached, and does all else stay?

The judge tells, a network that took no part in training or steering. All test faces of a domain are edited into each other domain,
once: a *direction*.
"""

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gan_course.data import domains as domains_of_faces
from gan_course.data import toon
from gan_course.data.celeba import open_faces
from gan_course.editing import DomainEditor, open_editor
from gan_course.errors import CourseError
from gan_course.metrics.distances import cosines, evenly_spaced, frechet_distance
from gan_course.metrics.features import FaceFeatures
from gan_course.progress import progress
from gan_course.training import classifier

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
LEAST = 5  # faces of a direction
COLUMNS = "faces target real kept kept_free error identity strangers frechet unedited floor spearman".split()


def wanted_values(domain, count):
    """Return the values, bool (count,), that `count` attributes have in a domain: see `domains.names_of`."""
    return (domain >> np.arange(count) & 1) > 0


def target_accuracy(logits, wanted):
    """Return the share of faces in whose logits (n, k) all k decisions `logits > 0` are the wanted ones, bool (k,)."""
    return float(((logits > 0) == wanted).all(axis=1).mean())


def agreement(before, after):
    """Return the share of decisions `logits > 0` that two arrays of logits (n, k) have in common; NaN for k = 0."""
    return float(((before > 0) == (after > 0)).mean()) if before.shape[1] else float("nan")


def reconstruction_error(pictures, given_back):
    """Return the mean absolute error between two arrays of bytes, in [-1, 1] (so up to 2)."""
    return float(np.abs(pictures.astype("float64") - given_back).mean() / 127.5)


def strength_curve(logits, wanted, changed):
    """Return the mean probability of the wanted values, over faces and the changed attributes: one number a strength.

    logits: (strengths, n, k). wanted, changed: bool (k,).
    """
    probability = expit(np.where(wanted, logits, -logits))
    return probability[:, :, changed].mean(axis=(1, 2))


def rises(curve, strengths=STRENGTHS):
    """Return Spearman's rank correlation of a curve with the strengths: 1 where each more is more, -1 where it is less."""
    return float(spearmanr(strengths, curve).statistic)


class Judge:
    """The judge's logits and features of bytes (n, h, w, 3)."""

    def __init__(self, target):
        self.network, self.attributes = classifier.attribute_network(target)
        self.features = FaceFeatures(self.network)
        self.head = self.network.get_layer("logits").get_weights()

    def __call__(self, pictures):
        features = self.features(pictures)
        return features @ self.head[0] + self.head[1], features


class _Attributes:
    """Who says that a target is reached, where domains are made of attributes: the judge's decisions on them."""

    def __init__(self, judge, names):
        self.columns = [judge.attributes.index(name) for name in names]

    def share(self, judged, t):
        """Return the share of `judged`, (logits, features) of faces, in domain t."""
        return target_accuracy(judged[0][:, self.columns], wanted_values(t, len(self.columns)))

    def curve(self, judged, s, t):
        """Return the probabilities of domain t of faces of domain s: one number for each (logits, features) of `judged`."""
        wanted = wanted_values(t, len(self.columns))
        logits = np.stack([logits[:, self.columns] for logits, _ in judged])
        return strength_curve(logits, wanted, wanted != wanted_values(s, len(wanted)))


class _Folders:
    """The same where domains are folders: a regression on the judge's features, fitted to training pictures of each folder."""

    def __init__(self, features):
        numbers = np.concatenate([np.full(len(x), d) for d, x in features.items()])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))
        self.model = model.fit(np.concatenate(list(features.values())), numbers)

    def share(self, judged, t):
        return float((self.model.predict(judged[1]) == t).mean())

    def curve(self, judged, s, t):
        return np.array([self.model.predict_proba(features)[:, t].mean() for _, features in judged])


def measure_edits(target, data, part="test", judge="auto", limit=None, strengths=STRENGTHS, strength=1.0):
    """Edit all faces of `part` of the folder `data` into each other domain, and measure; return (table, curves).

    target: a run, shipped weights, or what `open_editor` returns for them. judge: an attribute network
    (`classifier.attribute_network`); auto: that of the cartoons or of CelebA. limit: at most so many faces of a domain, evenly
    spaced. The source domain of a face is its label's. strength: of the edits, a number or "enough" (`DomainEditor.enough`); error,
    spearman and the curves are always those of `strengths`.

    The table (pandas) has a row for each direction, and a last one, 'mean':
    faces; target: share of edited faces that the judge sees in the target domain; real: the same of real faces of the target, its
    ceiling; kept: share of the judge's decisions on all other attributes that stay; kept_free: on those that are not tied to an
    edited one (`config.keep`); error: mean absolute error at strength 0 (in [-1, 1]); identity: cosine of the judge's features
    before and after, and strangers: of two faces of the source domain; frechet: distance of the edited faces to *real* training
    faces of the target, unedited: of the source's faces to them, floor: of real faces of the same part (features of the judge; all
    three with equally many faces, so compare only along a row); spearman: see `rises`, of the probability over `strengths`.
    curves: {direction: the probabilities}.

    Where domains are folders (animals, say), no judge knows them. Then a regression on the judge's features tells them, which is
    fitted to the training pictures; `real` says how well it does. Both kept are NaN.

    Raises `CourseError` where no domain has 5 faces, and for a judge that does not know the attributes.
    """
    editor, source = target if isinstance(target, DomainEditor) else open_editor(target), open_faces(data)
    judge = Judge(f"attributes-{'toon' if toon.is_cartoon(data) else 'celeba'}-judge" if judge == "auto" else judge)
    names = editor.attributes
    if unknown := [name for name in names if name not in judge.attributes]:
        raise CourseError(
            f"The judge does not know {unknown[0]}; give one that does, see 'python -m gan_course attributes'."
        )
    if 0.0 not in strengths or 1.0 not in strengths:
        raise CourseError(f"The strengths are {strengths}; 0 and 1 must be among them.")
    parts = [part, "train"]
    (pictures, numbers), (reference, of_reference) = (
        domains_of_faces.read(source, editor.resolution, p, editor.config.attributes, editor.domains) for p in parts
    )
    others = [i for i, name in enumerate(judge.attributes) if name not in names] if names else []
    free = [i for i in others if judge.attributes[i] in editor.config.keep]
    groups = {d: _spread(np.flatnonzero(numbers == d), limit) for d in range(len(editor.domains))}
    groups = {d: rows for d, rows in groups.items() if len(rows) >= LEAST}
    if not groups:
        raise CourseError(f"No domain has {LEAST} faces in the part '{part}' of '{data}'; take another part.")
    for d, name in enumerate(editor.domains):
        if not (of_reference == d).any():
            raise CourseError(f"The domain '{name}' has no training faces in '{data}' to compare with; add some.")
    before = {d: judge(pictures[rows]) for d, rows in groups.items()}
    real = {
        d: judge(reference[_spread(np.flatnonzero(of_reference == d), 2000)])[1] for d in range(len(editor.domains))
    }
    told = _Attributes(judge, names) if names else _Folders(real)
    rows, curves = {}, {}
    directions = [(s, t) for s in groups for t in range(len(editor.domains)) if s != t]
    for s, t in progress(directions, desc="edits", unit="direction"):
        faces, (logits, features) = pictures[groups[s]], before[s]
        made = {a: editor.edit(faces, t, a, source=s) for a in strengths}
        judged = {a: judge(x) for a, x in made.items()}
        edited = judged[1.0] if strength == 1.0 else judge(editor.edit(faces, t, strength, source=s))
        after, now = edited
        curve = told.curve([judged[a] for a in strengths], s, t)
        name = f"{editor.domains[s]} -> {editor.domains[t]}"
        curves[name] = [round(float(p), 4) for p in curve]
        has_floor = t in before
        count = min(len(faces), len(groups[t])) if has_floor else len(faces)
        few = _spread(np.arange(len(faces)), count)
        rows[name] = dict(
            faces=len(faces),
            target=told.share(edited, t),
            real=told.share(before[t], t) if has_floor else np.nan,
            kept=agreement(logits[:, others], after[:, others]),
            kept_free=agreement(logits[:, free], after[:, free]),
            error=reconstruction_error(faces, made[0.0]),
            identity=cosines(features, now).mean(),
            strangers=cosines(features, np.roll(features, 1, axis=0)).mean(),
            frechet=frechet_distance(now[few], real[t]),
            unedited=frechet_distance(features[few], real[t]),
            floor=frechet_distance(_spread(before[t][1], count), real[t]) if has_floor else np.nan,
            spearman=rises(curve, strengths),
        )
    table = pd.DataFrame.from_dict(rows, orient="index")[COLUMNS]
    mean = table.mean().to_frame("mean").T
    mean["faces"] = table["faces"].sum()
    return pd.concat([table, mean]), curves


def _spread(rows, limit):
    """Return at most `limit` of `rows`, evenly spaced."""
    return rows if limit is None else rows[evenly_spaced(len(rows), limit)]


def edits_text(table):
    """Return a table of `measure_edits` as text, and what its columns are."""
    text = table.astype({"faces": int}).to_string(float_format="{:.3f}".format, na_rep="-")
    return (
        f"{text}\n"
        "target, real: in the target domain by the judge (of folders: a regression on its features), edited and real faces;\n"
        "kept: decisions on other attributes that stay;\n"
        "error: mean absolute, at strength 0, in [-1, 1]; frechet: to real faces of the target, edited, unedited and real (floor)."
    )
