"""How well an attribute network does for each group of faces: women and men, young and old, the folders of a class.

A mean over all faces hides whom a network fails. So the same numbers are taken once for each group, side by side.
"""

import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from gan_course.data import toon
from gan_course.data.archive import is_image, some
from gan_course.data.celeba import open_faces
from gan_course.data.pipeline import load
from gan_course.errors import CourseError, CourseWarning
from gan_course.metrics.evaluation import framing
from gan_course.training import classifier

LEAST = 20  # faces; a share of fewer is luck
GAP, NOBODY = "gap", ""  # the row below an attribute's groups; the group of a face that is in none


def groups_of(source, groups):
    """Return the group of each face of an opened folder, an array of str in the order of `source.names`.

    groups: names of attributes with commas (`Male,Young` makes four groups), 'folders' (the folder of each picture),
    'skin' (of the course's own cartoons: what the program chose), or a CSV file: a picture's name, then its group's
    name; other columns and a line of titles are skipped, and a face that is not listed is in no group ('').
    Raises `CourseError` for what is none of these.
    """
    if groups == "folders":
        folders = getattr(source, "folders", None)
        if folders is None or not any(folders):
            raise CourseError(f"The pictures of '{source.path}' lie in no folders; name attributes or a CSV file.")
        return np.array(folders, dtype=str)
    if groups == "skin":
        return toon.true_skins(source.path, source.names)
    if groups.lower().endswith(".csv"):
        return _listed(source, Path(groups).expanduser())
    names = [name.strip() for name in groups.split(",")]
    labels = source.labels(source.names, names) > 0.5
    words = [np.where(has, name, f"not {name}") for name, has in zip(names, labels.T, strict=True)]
    return np.array([", ".join(parts) for parts in zip(*words, strict=True)], dtype=str)


def _listed(source, file):
    """Return the groups that a CSV file gives."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        table = pd.read_csv(io.StringIO(text), header=None, dtype=str, usecols=[0, 1], skipinitialspace=True)
    except OSError as error:
        raise CourseError(f"Cannot read '{file}' ({error.strerror}); give a CSV file of groups.") from error
    except ValueError as error:  # other bytes than UTF-8, no rows, one column
        raise CourseError(f"'{file}' has not two columns, a picture's name and its group's ({error}).") from error
    if not is_image(str(table.iloc[0, 0])):
        table = table.iloc[1:]  # the columns' titles
    table = table.set_index(0)[1].fillna(NOBODY).str.strip()
    if table.index.has_duplicates:
        raise CourseError(f"'{file}' lists '{table.index[table.index.duplicated()][0]}' twice; give each picture once.")
    groups = table.reindex(source.names).fillna(NOBODY).to_numpy(dtype=str)
    if not any(groups):
        raise CourseError(f"'{file}' lists no picture of '{source.path}', such as '{source.names[0]}', with its group.")
    return groups


def by_group(logits, labels, groups, attributes):
    """Return a table, a row per attribute and group, of decisions `logits > 0` against 0/1 labels, both (n, k).

    groups: (n,) str, '' for a face in none. labels: NaN in the column of an attribute that nobody labelled.
    Columns: faces of the group; share that has the attribute; accuracy, balanced and auc as in `classifier.measure`;
    says, the share of decisions 'has it' (much above share: it overclaims). Below the groups, the row 'gap': the
    largest number less the smallest, so of the best group and the worst.
    balanced and auc are empty (NaN) where fewer than 20 faces of the group have the attribute, or have it not.
    A group of fewer than 20 faces is left out. Raises `CourseError` where no group is left.
    """
    large = _sorted_out(groups)[0]
    tables = {name: _group(logits[groups == name], labels[groups == name], attributes) for name in large}
    joined = pd.concat(tables, names=["group", "attribute"]).swaplevel()
    by_attribute = joined.drop(columns="faces").groupby(level="attribute")
    several = by_attribute.count() > 1
    gaps = (by_attribute.max() - by_attribute.min()).where(several)
    gaps.index = pd.MultiIndex.from_product([gaps.index, [GAP]], names=["attribute", "group"])
    rows = pd.MultiIndex.from_product([attributes, [*large, GAP]], names=["attribute", "group"])
    return pd.concat([joined, gaps]).reindex(rows).astype({"faces": "Int64"})


def _sorted_out(groups):
    """Return the names of the groups that are large enough, and of those that are not; raise where all are small."""
    names, counts = np.unique(groups[groups != NOBODY], return_counts=True)
    if not (counts >= LEAST).any():
        raise CourseError(f"No group has {LEAST} faces or more here; take another part, more faces or larger groups.")
    return names[counts >= LEAST].tolist(), names[counts < LEAST].tolist()


def _group(logits, labels, attributes):
    """Return the rows of one group, a row per attribute."""
    known = ~np.isnan(labels).any(axis=0)
    table = pd.DataFrame(np.nan, attributes, ["share", "accuracy", "balanced", "auc"])
    if known.any():
        names = np.array(attributes)[known]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CourseWarning)  # attributes of one class: `by_group` says so
            table.loc[names] = classifier.measure(logits[:, known], labels[:, known], names)[table.columns]
    having = labels.sum(axis=0)
    table.loc[~(np.minimum(having, len(labels) - having) >= LEAST), ["balanced", "auc"]] = np.nan
    table.insert(0, "faces", len(labels))
    table["says"] = (logits > 0).mean(axis=0)
    return table


def means(table):
    """Return the mean over attributes for each group and the gap between these means, of a table of `by_group`.

    Each column has its own mean, over the attributes for which every group has a number; how many these are is in the
    row `attributes`. So all groups are asked the same.
    """
    wide = table.drop(columns="faces").drop(index=GAP, level="group").unstack("group")
    found = {}
    for column in wide.columns.levels[0]:
        complete = wide[column].dropna()
        found[column] = {**complete.mean(), GAP: np.ptp(complete.mean()), "attributes": len(complete)}
    return pd.DataFrame(found)[["share", "accuracy", "balanced", "auc", "says"]]


def measure_groups(target, data, groups, part="test"):
    """Measure an attribute network on one part of the folder `data`, group by group; return the table of `by_group`.

    target: see `gan_course.training.classifier.attribute_network`. groups: see `groups_of`. A folder without labels has
    only the columns faces and says filled. Warns (`CourseWarning`) about faces in no group, groups that are left out,
    attributes without labels, and faces that the network was not made for.
    """
    network, attributes = classifier.attribute_network(target)
    source = open_faces(data)
    group = pd.Series(groups_of(source, groups), index=source.names)
    images, names = load(source, network.input_shape[1], part)
    group = group[names].to_numpy(dtype=str)
    small = _sorted_out(group)[1]  # before the work
    labels = pd.DataFrame(np.nan, names, attributes)
    if source.attributes is not None:
        known = [name for name in attributes if name in source.attributes.columns]
        labels[known] = source.labels(names, known)
    pieces = (images[i : i + 1024].astype("float32") / 127.5 - 1 for i in range(0, len(images), 1024))  # little memory
    logits = np.concatenate([network.predict(piece, batch_size=256, verbose=0) for piece in pieces])
    table = by_group(logits, labels.to_numpy(), group, attributes)
    for text in _cautions(source, names, str(target), labels, group, small):
        warnings.warn(text, CourseWarning, stacklevel=2)
    return table


def _cautions(source, names, network, labels, groups, small):
    """Return a sentence for all that the table does not show."""
    found = framing(source, names, network)
    if nobody := int((groups == NOBODY).sum()):
        found.append(f"Faces in no group, which are left out: {nobody} of {len(groups)}.")
    if small:
        found.append(f"Groups of fewer than {LEAST} faces are left out: {len(small)} ({some(small)}).")
    unknown = labels.columns[labels.isna().all()].tolist()
    if len(unknown) == len(labels.columns):
        found.append(f"'{source.path}' has no labels of these attributes, so only what the network says is measured.")
    elif unknown:
        found.append(f"'{source.path}' has no labels of {some(unknown)}.")
    return found


def groups_text(table):
    """Return a table of `by_group` as text, the means of `means` below it, and what a '-' stands for."""
    shown = {"float_format": "{:.3f}".format, "na_rep": "-"}
    filled = table.assign(faces=table["faces"].astype(str).replace("<NA>", "-")).dropna(axis=1, how="all")
    text = filled.to_string(**shown)
    gap = table.index.get_level_values("group") == GAP
    empty = table[~gap & table["balanced"].isna() & table["share"].notna()]
    if len(empty):
        text += f"\n'-': fewer than {LEAST} faces of the group have the attribute, or have it not ({len(empty)} rows)."
    overall = means(table)
    counts = overall.loc["attributes"].astype(int)
    overall = overall.drop("attributes").loc[:, counts > 0]
    counted = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    text += f"\n\nMeans over the attributes that have a number in every group ({counted}):\n"
    return text + overall.to_string(**shown)
