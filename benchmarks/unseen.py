"""Edits of faces from a domain that the network never saw: another drawing style, cartoons by a network of photographs, ...

`editing.py --unseen` runs it. Whatever is edited, a judge that knows the *other* kind of faces may be blind. So three things are
measured beside its decisions: what it says of the unedited faces, whose truth is known; what a judge says that was fitted to the
faces' own kind (a logistic regression on the same features); and where the pictures change.
"""

import io
import json
from importlib.resources import files

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gan_course import show
from gan_course.data import domains, toon
from gan_course.data.celeba import open_faces
from gan_course.data.framing import frame_face
from gan_course.editing import open_editor
from gan_course.metrics import edits
from gan_course.metrics.distances import cosines, evenly_spaced

# Of each style only mouths that anybody calls a smile, or none, and glasses that are glasses. `eyes`: in shares of the drawing's
# side, where the eyes are. Those of pixel-art are too far apart for our frame: these two points take the whole drawing.
STYLES = {
    "micah": dict(  # by Micah Lanier, CC BY 4.0
        eyes=((0.439, 0.412), (0.622, 0.380)),
        smiles=["laughing", "smile"],
        others=["frown", "pucker", "sad", "surprised"],
        glasses=["round", "square"],
        colours=dict(base=toon.SKINS, hair=toon.HAIRS, facialHair=toon.HAIRS, eyebrows=toon.HAIRS, glasses=toon.FRAMES),
    ),
    "pixel-art": dict(  # by DiceBear, CC0 1.0
        eyes=((0.389, 0.435), (0.611, 0.435)),
        smiles=["happy06", "happy07", "happy08", "happy09"],
        others=["sad01", "sad04", "sad05", "sad06", "sad07"],
        glasses=["light01", "light02", "light03", "light05", "light06"],
        colours=dict(skin=toon.SKINS, hair=toon.HAIRS, glasses=toon.FRAMES),
    ),
    "lorelei": dict(  # by Lisa Wischofsky, CC0 1.0; black and white
        eyes=((0.470, 0.467), (0.680, 0.452)),
        smiles=["happy01", "happy02", "happy05", "happy06", "happy15"],
        others=["sad04", "sad05", "sad06", "sad07", "sad09"],
        glasses=["variant01", "variant03", "variant04", "variant05"],
        colours={},
    ),
}
ATTRIBUTES = ("Eyeglasses", "Smiling")
# Where glasses and mouth are in our frame: rows from, to, columns from, to, in shares of the side.
REGIONS = {"eyes": (0.36, 0.60, 0.20, 0.80), "mouth": (0.62, 0.88, 0.24, 0.78)}
FITTED_TO = 2000  # faces of the part train, for the judge of the faces' own kind


def draw_style(style, folder, people=500, size=64):
    """Draw faces of a DiceBear style into a folder in CelebA's layout: each person four times, with and without smile and glasses.

    Skin, hair, frames and ground have the colours of the course's cartoons, where the style has colours: what is new is the
    drawing. Framed by `framing.frame_face` at the eyes, whose place in the style is known.
    """
    from dicebear import Avatar, Style
    from resvg_py import svg_to_bytes

    chosen = STYLES[style]
    drawing = Style(json.loads(files("dicebear_styles").joinpath(f"{style}.json").read_text("utf-8")))
    (folder / "img").mkdir(parents=True, exist_ok=True)
    rows, number = [], 0
    for person in range(people):
        random = np.random.default_rng([7, person])
        options = {"seed": str(person), "backgroundColor": random.choice(toon.BACKGROUNDS)}
        for part, colours in chosen["colours"].items():
            options[f"{part}Color"] = random.choice(list(colours.values()) if isinstance(colours, dict) else colours)
        if "eyebrowsColor" in options:
            options["eyebrowsColor"] = options["facialHairColor"] = options["hairColor"]
        options["glassesVariant"] = random.choice(chosen["glasses"])
        mouths = [random.choice(chosen[kind]) for kind in ("others", "smiles")]
        options = {key: str(value) for key, value in options.items()}
        for glasses in (0, 1):
            for smile in (0, 1):
                number += 1
                more = {"glassesProbability": 100 * glasses, "mouthVariant": str(mouths[smile])}
                svg = Avatar(drawing, options | more).to_string()
                png = svg_to_bytes(svg_string=svg, width=400, height=400, skip_system_fonts=True)
                image = Image.open(io.BytesIO(png)).convert("RGB")
                eyes = 400 * np.array(chosen["eyes"])
                show.save(folder / "img" / f"{number:06d}.png", frame_face(image, eyes, size))
                rows.append((f"{number:06d}.png", person, 2 * glasses - 1, 2 * smile - 1))
    lines = [str(number), " ".join(ATTRIBUTES), *(f"{name} {a} {b}" for name, _, a, b in rows)]
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    (folder / "identity_CelebA.txt").write_text("".join(f"{name} {person}\n" for name, person, *_ in rows))


def change(a, b):
    """Return the mean absolute difference of two arrays of bytes within each of `REGIONS` and elsewhere, in [-1, 1]."""
    apart = np.abs(a.astype("float64") - b).mean(axis=(0, 3)) / 127.5
    left, found = np.ones(apart.shape, bool), {}
    for name, box in REGIONS.items():
        top, bottom, start, end = (round(edge * len(apart)) for edge in box)
        found[name] = apart[top:bottom, start:end].mean()
        left[top:bottom, start:end] = False
    return found | {"elsewhere": apart[left].mean()}


def fitted(judge, pictures, labels):
    """Return a function pictures -> yes/no (n, k): regressions on the judge's features, fitted to these faces' true labels."""
    features = judge(pictures)[1]
    heads = [
        make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)).fit(
            features, column
        )
        for column in labels.T
    ]
    return lambda seen: np.stack([head.predict(seen) for head in heads], axis=1) > 0


def measure(name, data, judge, limit=100):
    """Edit at most `limit` test faces of each domain of a folder, one attribute at a time; return (rows, faces, edited).

    The source domain is the label's. A row for each attribute and wanted value: faces; knows, fitted_knows, told: balanced accuracy
    for the attribute on the *unedited* faces, of the judge, of the judge fitted to this folder's part train, and of the network that
    tells an editor the domain; before, after: share in which the judge sees the attribute as wanted, and the same of the fitted
    judge; moved: share of faces whose logit moved towards the wanted value, whatever the decision; kept: all other decisions of the judge
    that stay; identity, strangers, error: as `metrics.measure_edits`; eyes, mouth, elsewhere: `change` from strength 0 to 1.
    """
    editor, source, judge = open_editor(name), open_faces(data), edits.Judge(judge)
    names = editor.attributes
    read = (editor.resolution, editor.config.attributes, editor.domains)
    pictures, numbers = domains.read(source, read[0], "test", *read[1:])
    rows = [np.flatnonzero(numbers == d) for d in range(len(editor.domains))]
    rows = np.concatenate([group[evenly_spaced(len(group), limit)] for group in rows])
    pictures, numbers = pictures[rows], numbers[rows]
    own_pictures, own_numbers = domains.read(source, read[0], "train", *read[1:], limit=FITTED_TO)
    truth, own_truth = (n[:, None] >> np.arange(len(names)) & 1 for n in (numbers, own_numbers))
    head = fitted(judge, own_pictures, own_truth)
    logits, features = judge(pictures)
    own = head(features)
    told = editor.tell(pictures)[:, None] >> np.arange(len(names)) & 1
    given_back = editor.edit(pictures, numbers, 0.0, source=numbers)
    found, shown = [], []
    for bit, attribute in enumerate(names):
        column = judge.attributes.index(attribute)
        others = [i for i in range(len(judge.attributes)) if i != column]
        knows = {
            key: balanced_accuracy_score(truth[:, bit], said)
            for key, said in (("knows", logits[:, column] > 0), ("fitted_knows", own[:, bit]), ("told", told[:, bit]))
        }
        for wanted in (1, 0):
            few = truth[:, bit] != wanted
            edited = editor.edit(pictures[few], numbers[few] ^ 1 << bit, source=numbers[few])
            after, now = judge(edited)
            shown.append((attribute, wanted, np.flatnonzero(few), edited))
            found.append(
                {"attribute": attribute, "wanted": wanted, "faces": int(few.sum())}
                | knows
                | dict(
                    before=((logits[few, column] > 0) == wanted).mean(),
                    after=((after[:, column] > 0) == wanted).mean(),
                    fitted_before=(own[few, bit] == wanted).mean(),
                    fitted_after=(head(now)[:, bit] == wanted).mean(),
                    moved=((after[:, column] > logits[few, column]) == wanted).mean(),
                    kept=edits.agreement(logits[few][:, others], after[:, others]),
                    identity=cosines(features[few], now).mean(),
                    strangers=cosines(features[few], np.roll(features[few], 1, axis=0)).mean(),
                    error=edits.reconstruction_error(pictures, given_back),
                )
                | change(given_back[few], edited)
            )
    rounded = [{k: round(float(v), 4) if isinstance(v, float) else v for k, v in row.items()} for row in found]
    return rounded, pictures, shown


def table(results):
    """Return what `editing.py --unseen` kept as a table: a row for each attribute, put on and taken away."""
    head = "judge knows (fitted),put on (fitted),taken away (fitted),kept,identity (strangers),error"
    head = ["faces edited", "attribute", "told", *head.split(","), "change on: eyes / mouth / elsewhere"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, entry in results.items():
        for on, off in zip(entry["rows"][::2], entry["rows"][1::2], strict=True):
            edits = [f"{r['before']:.2f} → {r['after']:.2f} ({r['fitted_after']:.2f})" for r in (on, off)]
            kept, identity, strangers = ((on[key] + off[key]) / 2 for key in ("kept", "identity", "strangers"))
            cells = [
                name,
                on["attribute"],
                f"{on['told']:.2f}",
                f"{on['knows']:.2f} ({on['fitted_knows']:.2f})",
                *edits,
            ]
            cells += [f"{kept:.3f}", f"{identity:.2f} ({strangers:.2f})", f"{on['error']:.3f}"]
            cells += [" / ".join(f"{on[key]:.3f}" for key in (*REGIONS, "elsewhere"))]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
