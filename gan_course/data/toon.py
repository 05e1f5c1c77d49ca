"""Cartoon faces with true labels, written as a CelebA folder: what every lesson trains on by default.

The drawing is DiceBear's style `avataaars` (a remix of Pablo Stanley's Avataaars, https://avataaars.com,
free for personal and commercial use), with a few parts of our own (eyes, brows, mouths, lips, goatee,
earrings, cheeks, bags under the eyes), rendered by resvg.

How a face comes about: two hidden causes, Male and Young, are drawn first. They are never seen in the
picture. They only change how likely each visible part is, as in CelebA: beards and short hair with Male,
lipstick and earrings with not Male, grey hair, baldness and glasses with not Young. `FACTORS` holds
every such probability, `ATTRIBUTE_RULES` says when each attribute is true, and `best_guess()` computes how well
anybody could guess the two causes from the picture.

A face depends on (seed, index) alone, not on the count, nor on the number of processes.
"""

import io
import json
import multiprocessing
import os
import random
import re
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, reduce
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from gan_course import settings
from gan_course.data import captions
from gan_course.data.archive import find_images, is_image
from gan_course.errors import CourseError, CourseWarning, whole_number
from gan_course.files import atomic_write
from gan_course.progress import progress

VERSION = 1  # of the drawing and of the probabilities: raise it when a face would change
IMAGES = "img_align_celeba"
SETTINGS = "toon.json"

# --- the probabilities -------------------------------------------------------------------------------

STRAIGHT = set("shortFlat shortRound theCaesar theCaesarAndSidePart straight01 straight02 miaWallace".split())
WAVY = set("shortWaved shortCurly dreads01 shaggy bigHair curly curvy fro".split())  # a bun is neither
BANGS = {"miaWallace", "curvy", "shaggy"}
BEARDS = {"beardLight", "beardMedium"}


def _yes(p):
    return {True: p, False: 1 - p}


def _top(face):
    """The hair style, or `bald`, or `hat`."""
    if face["male"]:
        styles = {
            "shortFlat": 0.19, "shortRound": 0.16, "theCaesar": 0.12, "theCaesarAndSidePart": 0.09, "shortWaved": 0.16,
            "shortCurly": 0.08, "dreads01": 0.05, "shaggy": 0.08, "straight02": 0.02, "curly": 0.03, "fro": 0.02,
        }  # fmt: skip
        bald, hat = (0.02, 0.07) if face["young"] else (0.20, 0.07)
    else:
        styles = {
            "straight01": 0.17, "straight02": 0.14, "miaWallace": 0.14, "bigHair": 0.13, "curvy": 0.10, "curly": 0.13,
            "fro": 0.04, "bun": 0.08, "shaggy": 0.03, "shortRound": 0.02, "shortWaved": 0.02,
        }  # fmt: skip
        bald, hat = 0.002, 0.04
    return {"bald": bald, "hat": hat} | {style: p * (1 - bald - hat) for style, p in styles.items()}


def _hair(face):
    """The colour of the hair of head and beard."""
    gray = 0.01 if face["young"] else 0.48
    if face["skin"] in ("pale", "light"):
        blond = 0.22 if face["male"] else 0.36
        rest = {"black": 0.22, "brown": 0.68 - blond, "blond": blond, "red": 0.10}
    elif face["skin"] == "tan":
        rest = {"black": 0.46, "brown": 0.42, "blond": 0.08, "red": 0.04}
    else:
        rest = {"black": 0.82, "brown": 0.18}
    return {"gray": gray} | {colour: p * (1 - gray) for colour, p in rest.items()}


def _facial_hair(face):
    if not face["male"]:
        return {"none": 1.0}
    kinds = "none stubble beardLight beardMedium goatee moustacheMagnum".split()
    young, old = (0.52, 0.18, 0.12, 0.05, 0.07, 0.06), (0.46, 0.08, 0.13, 0.10, 0.09, 0.14)
    return dict(zip(kinds, young if face["young"] else old, strict=True))


def _glasses(face):
    p = (0.10 if face["young"] else 0.34) if face["male"] else (0.05 if face["young"] else 0.26)
    return {"none": 1 - p, "prescription02": p / 2, "round": p / 2}


def _brows(face):
    if face["male"]:
        return {"plain": 0.60, "arched": 0.07, "bushy": 0.33}
    return {"plain": 0.50, "arched": 0.42, "bushy": 0.08}


def _mouth(face):
    if face["male"]:
        return {"smile": 0.26, "smileClosed": 0.18, "serious": 0.28, "open": 0.16, "sad": 0.12}
    return {"smile": 0.36, "smileClosed": 0.22, "serious": 0.20, "open": 0.15, "sad": 0.07}


# Each factor is drawn given those before it: name -> function(face so far) -> {choice: probability}.
FACTORS = {
    "male": lambda face: _yes(0.45),
    "young": lambda face: _yes(0.64 if face["male"] else 0.8),
    "skin": lambda face: {"pale": 0.14, "light": 0.36, "tan": 0.24, "brown": 0.16, "dark": 0.10},
    "top": _top,
    "hair": _hair,
    "facial_hair": _facial_hair,
    "glasses": _glasses,
    "lipstick": lambda face: _yes(0.004 if face["male"] else 0.75 if face["young"] else 0.6),
    "earrings": lambda face: _yes(0.02 if face["male"] else 0.33),
    "cheeks": lambda face: _yes(0.02 if face["male"] else 0.22),
    "bags": lambda face: _yes((0.20 if face["male"] else 0.08) if face["young"] else (0.50 if face["male"] else 0.28)),
    "brows": _brows,
    "mouth": _mouth,
    "eyes": lambda face: {"open": 0.84, "narrow": 0.16},
}


def _rng(seed, index, what):
    # Of all generators' methods, Python promises only for random() that later versions give the same numbers.
    return random.Random(f"gan-course toon {seed} {index} {what}")


def _pick(rng, chances):
    """Return one key of {key: probability}."""
    left = rng.random()
    for key, p in chances.items():
        left -= p
        if left < 0:
            return key
    return key  # rounding


def draw(seed, index):
    """Return the factors of face `index` (1, 2, ...) as a dict: name of the factor -> its value."""
    rng, face = _rng(seed, index, "factors"), {}
    for name, table in FACTORS.items():
        face[name] = _pick(rng, table(face))
    return face


def _seen_hair(colour):
    return lambda face: face["top"] not in ("bald", "hat") and face["hair"] == colour


# When an attribute is true of a face, in CelebA's order. Male and Young are hidden causes, which are not drawn.
ATTRIBUTE_RULES = {
    "5_o_Clock_Shadow": lambda face: face["facial_hair"] == "stubble",
    "Arched_Eyebrows": lambda face: face["brows"] == "arched",  # a hat or hair may cover their top
    "Bags_Under_Eyes": lambda face: face["bags"],
    "Bald": lambda face: face["top"] == "bald",
    "Bangs": lambda face: face["top"] in BANGS,  # down to the brows or close above them
    "Black_Hair": _seen_hair("black"),
    "Blond_Hair": _seen_hair("blond"),
    "Brown_Hair": _seen_hair("brown"),  # red hair has no attribute, as in CelebA
    "Bushy_Eyebrows": lambda face: face["brows"] == "bushy",
    "Eyeglasses": lambda face: face["glasses"] != "none",
    "Goatee": lambda face: face["facial_hair"] == "goatee",
    "Gray_Hair": _seen_hair("gray"),
    "Male": lambda face: face["male"],
    "Mouth_Slightly_Open": lambda face: face["mouth"] in ("smile", "open"),
    "Mustache": lambda face: face["facial_hair"] in BEARDS | {"moustacheMagnum"},  # not stubble
    "Narrow_Eyes": lambda face: face["eyes"] == "narrow",
    "No_Beard": lambda face: face["facial_hair"] == "none",
    "Pale_Skin": lambda face: face["skin"] == "pale",
    "Rosy_Cheeks": lambda face: face["cheeks"],
    "Sideburns": lambda face: face["facial_hair"] in BEARDS,  # they reach up to the ears
    "Smiling": lambda face: face["mouth"] in ("smile", "smileClosed"),
    "Straight_Hair": lambda face: face["top"] in STRAIGHT,
    "Wavy_Hair": lambda face: face["top"] in WAVY,
    "Wearing_Earrings": lambda face: face["earrings"],
    "Wearing_Hat": lambda face: face["top"] == "hat",  # a woollen one, which hides all hair of the head
    "Wearing_Lipstick": lambda face: face["lipstick"],
    "Young": lambda face: face["young"],
}
ATTRIBUTES = tuple(ATTRIBUTE_RULES)


def labels(face):
    """Return the attributes of a face from `draw` as {CelebA's name: bool}, in CelebA's order."""
    return {name: rule(face) for name, rule in ATTRIBUTE_RULES.items()}


# --- the drawing -------------------------------------------------------------------------------------

SKINS = {"pale": "#f8e1d3", "light": "#f2c6a0", "tan": "#d79f70", "brown": "#a06a45", "dark": "#6b452f"}
HAIRS = {"black": "#211c1c", "brown": "#6b4026", "blond": "#e3bd6c", "gray": "#bcbcc0", "red": "#a9502a"}
BACKGROUNDS = ("#d8d2c8", "#ccd6dc", "#d9d3de", "#d2dccd", "#e4dbc9", "#c6d2e0", "#c4c8cc")
CLOTHES = ("#3c4f5c", "#5b7fa6", "#8a9a8c", "#a65e5e", "#e8e6e1", "#2f3338", "#b59a6d", "#7a6a93")
HATS = ("#3c4f5c", "#8c3f3f", "#4f6b57", "#4b5d8a", "#6b5b4b")
FRAMES = ("#23282c", "#4a2f22", "#3a4656")
LIPS = ("#b3283e", "#c23a4c", "#a12c55")
IRISES = {"dark": ("#3d2616", "#4a2f1b"), "light": ("#3d2616", "#5a7f9c", "#5f7d52")}
SHADE = {"fill": "black", "fill_opacity": ".7"}


def _shape(name, **attributes):
    """An SVG element in DiceBear's form, which wants text for every value (or a named colour)."""
    attributes = {k.replace("_", "-"): v if isinstance(v, dict) else str(v) for k, v in attributes.items()}
    return {"type": "element", "name": name, "attributes": attributes}


def _path(d, **attributes):
    return _shape("path", d=d, **attributes)


def _ellipse(cx, cy, rx, ry, **attributes):
    return _shape("ellipse", cx=cx, cy=cy, rx=rx, ry=ry, **attributes)


def _line(d, width, opacity=0.7):
    return _path(d, fill="none", stroke="black", stroke_opacity=opacity, stroke_width=width, stroke_linecap="round")


def _colour(name):
    return {"type": "color", "name": name}


def _own_eyes():
    """Eyes with white and iris: the style's own dots vanish at 64x64, above all on dark skin."""
    parts = {"open": [], "narrow": []}
    for x in (16, 68):
        parts["open"] += [
            _ellipse(x, 14, 13.5, 10.5, fill="white"),
            _ellipse(x, 14, 7.5, 7.5, fill=_colour("iris")),
            _ellipse(x, 14, 3.5, 3.5, fill="#15100d"),
            _line(f"M{x - 14} 13 Q{x - 9} 3.5 {x} 3.5 T{x + 14} 13", 3.5),
        ]
        parts["narrow"] += [
            _path(f"M{x - 14} 14 Q{x} 9 {x + 14} 14 Q{x} 23 {x - 14} 14", fill="white"),
            _path(
                f"M{x - 6.5} 12.2 Q{x} 11 {x + 6.5} 12.2 Q{x + 6} 18.3 {x} 18.3 T{x - 6.5} 12.2", fill=_colour("iris")
            ),
            _line(f"M{x - 14.5} 14 Q{x} 8.5 {x + 14.5} 14", 4.5),
        ]
    return parts


def _own_mouths(smile):
    """Five mouths, each also with painted lips (`...Lips`)."""
    teeth = _path("M36 10 Q46 6 56 10 Q56 13.5 53 13.5 H39 Q36 13.5 36 10", fill="white")
    plain = {
        "smile": smile,
        "smileClosed": [_line("M27 11 Q46 27 65 11", 4.5)],
        "serious": [_line("M33 15 H59", 5)],
        "open": [_ellipse(46, 15, 13, 9.5, **SHADE), teeth],
        "sad": [_line("M30 21 Q46 9 62 21", 4.5)],
    }
    red = _colour("lips")
    outline = {"fill": red, "stroke": red, "stroke_width": "6", "stroke_linejoin": "round"}
    lips = {
        "smile": _path("M27 9A19 19 0 0 0 65 9Q65 7 63 7H29Q27 7 27 9", **outline),
        "smileClosed": _path("M24 9 Q38 6 46 11 Q54 6 68 9 Q60 28 46 28 T24 9", fill=red),
        "serious": _path("M28 15 Q39 6 46 10 Q53 6 64 15 Q55 25 46 25 T28 15", fill=red),
        "open": _ellipse(46, 15, 13, 9.5, **outline),
        "sad": _path("M26 23 Q38 6 46 10 Q54 6 66 23 Q54 23 46 26 T26 23", fill=red),
    }
    inner = {
        "smileClosed": [_line("M30 12 Q46 22 62 12", 3)],
        "serious": [_line("M33 15.5 H59", 3)],
        "sad": [_line("M32 20.5 Q46 12 60 20.5", 3)],
    }
    painted = {f"{name}Lips": [lips[name], *inner.get(name, parts)] for name, parts in plain.items()}
    return plain | painted


@lru_cache(maxsize=1)
def _style():
    """DiceBear's `avataaars` with our own parts, ready to draw."""
    from dicebear import Style

    definition = json.loads(files("dicebear_styles").joinpath("avataaars.json").read_text("utf-8"))
    components, canvas = definition["components"], definition["canvas"]["elements"]

    def variants(component, parts):
        components[component]["variants"] = {name: {"elements": elements} for name, elements in parts.items()}

    tops = components["top"]["variants"]
    for name in ("bigHair", "curvy"):  # their last layer is white strands or a second hair colour
        tops[name]["elements"] = tops[name]["elements"][:-1]
    variants("mouth", _own_mouths(components["mouth"]["variants"]["smile"]["elements"]))
    variants("eyes", _own_eyes())
    brows = components["eyebrows"]["variants"]
    variants("eyebrows", {
        "plain": brows["defaultNatural"]["elements"],
        "arched": [_line("M5 17 Q16 -6 36 7", 4), _line("M91.3 17 Q80.3 -6 60.3 7", 4)],
        "bushy": [_line("M9 13 Q20 5 33 10", 9), _line("M87.3 13 Q76.3 5 63.3 10", 9)],
    })  # fmt: skip
    goatee = _path("M44 75 Q59 69 74 75 C79 86 73 101 59 101 S39 86 44 75", fill=_colour("facialHair"))
    components["facialHair"]["variants"]["goatee"] = {"elements": [goatee]}

    def add(name, elements, before=None):
        variants = {"on": {"elements": elements}}
        components[name] = {"width": 280, "height": 280, "probability": 0, "variants": variants}
        at = next((i for i, e in enumerate(canvas) if e["name"] == before), len(canvas))
        canvas.insert(at, {"type": "component", "name": name, "attributes": {}})

    pink = {"fill": "#ea5a64", "fill_opacity": ".5"}
    add("cheeks", [_ellipse(102, 143, 12, 9, **pink), _ellipse(178, 143, 12, 9, **pink)], before="mouth")
    bags = [_line(f"M{x - 11} 127 Q{x} 134 {x + 11} 127", 4, 0.32) for x in (114, 166)]
    add("bags", bags, before="eyes")
    gold = {"fill": "none", "stroke": "#e0a82e", "stroke_width": "4.5"}
    add("earrings", [_ellipse(x, 141, 6, 7, **gold) for x in (77, 203)])
    for name in ("iris", "lips"):
        definition["colors"][name] = {"values": ["#000000"]}
    return Style(definition)


def _one(rng, values):
    return values[int(rng.random() * len(values))]


def _between(rng, low, high):
    return low + (high - low) * rng.random()


def _rgb(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)


def _hex(rgb):
    return "#" + bytes(np.clip(np.round(rgb), 0, 255).astype(np.uint8)).hex()


def _jitter(rng, colour, spread=7):
    """Return the colour a little lighter or darker, and a little redder or bluer."""
    light, tint = _between(rng, -spread, spread), _between(rng, -spread / 3, spread / 3)
    return _hex(_rgb(colour) + light + tint * np.array([1, 0, -1]))


def _mix(a, b, share):
    return _hex(_rgb(a) + (_rgb(b) - _rgb(a)) * share)


def options(face, seed, index):
    """Return what DiceBear is told to draw: the face's factors, and the small variations of (seed, index)."""
    rng = _rng(seed, index, "look")
    skin, hair = _jitter(rng, SKINS[face["skin"]]), _jitter(rng, HAIRS[face["hair"]])
    light_eyes = face["skin"] in ("pale", "light")
    stubble = face["facial_hair"] == "stubble"
    chosen = {
        "seed": "face",
        "skinColor": skin,
        "hairColor": hair,
        "facialHairColor": _mix(skin, _mix(hair, "#404040", 0.6), 0.3) if stubble else _mix(hair, "#000000", 0.12),
        "backgroundColor": _jitter(rng, _one(rng, BACKGROUNDS), 9),
        "clothesColor": _jitter(rng, _one(rng, CLOTHES)),
        "hatColor": _jitter(rng, _one(rng, HATS)),
        "accessoriesColor": _one(rng, FRAMES),
        "lipsColor": _jitter(rng, _one(rng, LIPS)),
        "irisColor": _one(rng, IRISES["light" if light_eyes else "dark"]),
        "clothesVariant": _one(rng, ["shirtCrewNeck", "shirtVNeck", "collarAndSweater"]),
        # The style's canvas is 280 wide; a window of 196 about (140, 114) has the eyes at half its height.
        "scale": 280 / 196 * _between(rng, 0.95, 1.05),
        "rotate": 9 * (rng.random() + rng.random() - 1),  # degrees
        "translateX": _between(rng, -2.5, 2.5),
        "translateY": 13.3 + _between(rng, -2, 2),
        "eyesVariant": face["eyes"],
        "eyebrowsVariant": face["brows"],
        "mouthVariant": face["mouth"] + ("Lips" if face["lipstick"] else ""),
        "topProbability": 0 if face["top"] == "bald" else 100,
        "topVariant": {"bald": "shortFlat", "hat": "winterHat03"}.get(face["top"], face["top"]),
        "facialHairProbability": 0 if face["facial_hair"] == "none" else 100,
        "facialHairVariant": {"none": "goatee", "stubble": "beardLight"}.get(face["facial_hair"], face["facial_hair"]),
        "accessoriesProbability": 0 if face["glasses"] == "none" else 100,
        "accessoriesVariant": "round" if face["glasses"] == "none" else face["glasses"],
    }
    for name in ("cheeks", "bags", "earrings"):
        chosen |= {f"{name}Probability": 100 if face[name] else 0, f"{name}Variant": "on"}
    return chosen


def picture(face, seed, index, resolution=128):
    """Draw one face; returns a PIL image, RGB, resolution x resolution."""
    from dicebear import Avatar
    from resvg_py import svg_to_bytes

    svg = Avatar(_style(), options(face, seed, index)).to_string()
    png = svg_to_bytes(svg_string=svg, width=resolution, height=resolution, skip_system_fonts=True)
    return Image.open(io.BytesIO(png)).convert("RGB")


# --- the folder --------------------------------------------------------------------------------------

# Written last and in this order, so that a folder with all three is complete.
ANNOTATIONS = ("identity_CelebA.txt", "list_eval_partition.txt", "list_attr_celeba.txt")
CHUNK = 32  # faces that a process draws at one go
LEFT_OVER = re.compile(r"\.\w+\.\d+\.(jpg|txt|json)")  # see `files.atomic_write`
ALONE = 320  # so few faces are drawn sooner than processes start


def _draw_files(folder, indices, seed, resolution):
    """Draw some faces into files (runs in a process of its own); returns how many."""
    for index in indices:
        buffer = io.BytesIO()
        image = picture(draw(seed, index), seed, index, resolution)
        image.save(buffer, "JPEG", quality=95, subsampling=0)
        with atomic_write(Path(folder) / f"{index:06d}.jpg") as partial:
            partial.write_bytes(buffer.getvalue())
    return len(indices)


def _part(index, count):
    """0 train, 1 validation, 2 test: the first 80%, the next 10%, the rest, as CelebA is split."""
    return 0 if 10 * index <= 8 * count or index == 1 else 1 if 10 * index <= 9 * count else 2


def _annotate(out, count, seed):
    rows = [labels(draw(seed, i)) for i in range(1, count + 1)]
    with atomic_write(out / captions.FILE) as partial:  # before those that say that all is there
        captions.write(partial, {f"{i:06d}.jpg": row for i, row in enumerate(rows, 1)})
    texts = {
        "identity_CelebA.txt": [f"{i:06d}.jpg {i}" for i in range(1, count + 1)],  # everyone is somebody else
        "list_eval_partition.txt": [f"{i:06d}.jpg {_part(i, count)}" for i in range(1, count + 1)],
        "list_attr_celeba.txt": [str(count), " ".join(ATTRIBUTES)]
        + [f"{i:06d}.jpg " + " ".join(" 1" if v else "-1" for v in row.values()) for i, row in enumerate(rows, 1)],
    }
    for name in ANNOTATIONS:
        with atomic_write(out / name) as partial:
            partial.write_bytes(("\n".join(texts[name]) + "\n").encode())


def _settings_of(out):
    """Return the settings that `out` was rendered with, or None for a folder without them."""
    try:
        return dict(json.loads((out / SETTINGS).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, OSError):
        raise CourseError(f"{out / SETTINGS} cannot be read; delete the folder {out} and render again.") from None


def _claim(out, wanted):
    """Make `out` ours for these settings, or say why not. Faces of two settings are never mixed."""
    if out.exists() and not out.is_dir():
        raise CourseError(f"{out} is a file; give the name of a folder for the faces.")
    found = _settings_of(out)
    if found is None:
        own = next((path for path in out.rglob("*") if is_image(path.name)), None)  # those would be hidden by ours
        if own or any((out / name).exists() for name in (IMAGES, *ANNOTATIONS)):
            raise CourseError(
                f"{out} holds other images{f' (such as {own})' if own else ''} and no {SETTINGS}; give another folder "
                "for the faces."
            )
        with atomic_write(out / SETTINGS) as partial:
            partial.write_text(json.dumps(wanted, indent=1))
    elif found != wanted:
        differs = ", ".join(f"{k}={found.get(k)} (now {v})" for k, v in wanted.items() if found.get(k) != v)
        raise CourseError(f"{out / SETTINGS} says the faces there have {differs}; delete {out} or give another folder.")
    (out / IMAGES).mkdir(exist_ok=True)


def render(out, count=12000, seed=0, resolution=128, workers=None):
    """Render `count` labelled faces into the folder `out`, in CelebA's layout; returns its path.

    out: folder, made if missing. An interrupted render goes on where it stopped; a finished one is kept.
    count: 1 to 999,999 faces, 80/10/10 train/validation/test in order. seed: which faces.
    resolution: width and height of the JPEG files, in pixels.
    workers: processes; default one per core. A script of your own must call this below
    `if __name__ == "__main__":` (Python's rule for processes); otherwise one process draws alone.
    Raises CourseError for a wrong number, a folder of other images or settings, or a full disk.
    """
    out = settings.expand(out)
    count = whole_number("count", count, 1, 999_999)
    seed = whole_number("seed", seed, 0, 2**63 - 1)
    resolution = whole_number("resolution", resolution, 16, 2048)
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = whole_number("workers", workers, 1, 1024)
    try:
        _claim(out, {"version": VERSION, "seed": seed, "resolution": resolution, "count": count})
        _draw_missing(out, count, seed, resolution, min(workers, 61))  # 61: the most that Windows allows
        if not all((out / name).exists() for name in ANNOTATIONS):
            _annotate(out, count, seed)
        for left in (*out.glob(".*"), *(out / IMAGES).glob(".*")):  # by processes that were killed
            if LEFT_OVER.fullmatch(left.name) and time.time() - left.stat().st_mtime > 60:
                left.unlink(missing_ok=True)
    except OSError as error:
        raise CourseError(
            f"Cannot write {error.filename or out} ({error.strerror or error}); free the disk or give another folder."
        ) from error
    return out


def _draw_missing(out, count, seed, resolution, workers):
    with os.scandir(out / IMAGES) as entries:
        there = {entry.name for entry in entries if entry.stat().st_size}
    missing = [i for i in range(1, count + 1) if f"{i:06d}.jpg" not in there]
    jobs = [missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)]
    folder = str(out / IMAGES)
    with progress(total=count, desc="drawing faces", unit="face") as bar:
        bar.update(count - len(missing))
        if workers == 1 or len(missing) <= ALONE:
            for job in jobs:
                bar.update(_draw_files(folder, job, seed, resolution))
            return
        # "spawn" because a forked child of a process that runs TensorFlow may hang.
        broken = False
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        try:
            for done in as_completed([pool.submit(_draw_files, folder, job, seed, resolution) for job in jobs]):
                bar.update(done.result())
        except BrokenProcessPool:  # killed, or started from code that Python cannot import again
            warnings.warn(f"A process that draws faces into {out} ended; one goes on.", CourseWarning, stacklevel=3)
            broken = True
        finally:
            pool.shutdown(cancel_futures=True)  # on an error or Ctrl-C: do not draw the rest first
    if broken:
        _draw_missing(out, count, seed, resolution, workers=1)


def ensure(path=None, count=None):
    """Return a folder of faces to train on, and render it first if it is missing or not complete.

    path: default `settings.faces_folder()`; with GAN_COURSE_FACES set that folder is returned untouched.
    count: default what the folder was begun with, else 12,000 (256 in the smoke profile, two seconds).
    """
    if path is None and os.environ.get("GAN_COURSE_FACES"):
        return settings.faces_folder()
    out = settings.expand(path or settings.faces_folder())
    begun = _settings_of(out) or {}
    default = 256 if os.environ.get("GAN_COURSE_PROFILE") == "smoke" else 12000
    count = begun.get("count", default) if count is None else count
    return render(out, count, begun.get("seed", 0), begun.get("resolution", 128))


def is_cartoon(path):
    """Return whether the faces of `path` were drawn by this module: they need another judge than photographs do.

    path: a folder or zip, in any way that `open_faces` reads; toon.json lies in or around the images.
    """
    try:
        return (settings.expand(path) / SETTINGS).is_file() or find_images(path).find((SETTINGS,)) is not None
    except CourseError:  # no faces there: whoever reads them says so
        return False


# --- skin, which no attribute tells ------------------------------------------------------------------


def true_skins(folder, names):
    """Return the skin that the program chose for each file of a rendered folder: an array of keys of `SKINS`.

    It is a choice of colours in a program, and no person's. Raises `CourseError` where `folder` was not rendered here.
    """
    found = _settings_of(settings.expand(folder))
    if found is None:
        raise CourseError(f"'{folder}' holds no {SETTINGS}: only of faces drawn by the course is the skin known.")
    return np.array([draw(found["seed"], int(Path(name).stem))["skin"] for name in names])


def seen_skins(pictures):
    """Return the key of `SKINS` whose colour is nearest to a patch on the nose of each picture.

    pictures: uint8 (n, r, r, 3), drawn here or by a network. Of 64x64 pixels the patch has 4 rows and 6 columns; its
    median is taken. What was chosen and what is seen differ for a few faces in a thousand (see tests).
    """
    size = pictures.shape[1] / 64
    top, bottom, left, right = (round(size * edge) for edge in (34, 38, 29, 35))
    patch = np.median(pictures[:, top:bottom, left:right].reshape(len(pictures), -1, 3), axis=1)
    colours = np.stack([_rgb(colour) for colour in SKINS.values()])
    return np.array(list(SKINS))[((patch[:, None] - colours) ** 2).sum(axis=2).argmin(axis=1)]


# --- what the labels say about each other ------------------------------------------------------------


def best_guess():
    """Return how often Male and Young can be guessed at best from a picture: {"Male": .., "Young": ..}.

    This is the Bayes accuracy, summed exactly over all faces that can be drawn: sum over x of
    max over c of P(c, x), where x is all that is seen. No network can do better on new faces.
    """
    causes = [{"male": m, "young": y} for m in (True, False) for y in (True, False)]
    together = "skin top hair facial_hair".split()  # they depend on each other; given the causes, the rest do not
    alone = [name for name in FACTORS if name not in (*together, "male", "young")]
    tables, seen = [], {}
    for cause in causes:
        p = FACTORS["male"](cause)[cause["male"]] * FACTORS["young"](cause)[cause["young"]]
        table = {}
        for face, chance in _all_faces(cause, together, p):
            hidden = face["top"] in ("bald", "hat") and face["facial_hair"] == "none"
            key = (face["skin"], face["top"], None if hidden else face["hair"], face["facial_hair"])
            table[key] = table.get(key, 0) + chance
            seen.setdefault(key, len(seen))
        tables.append(table)
    joint = []
    for cause, table in zip(causes, tables, strict=True):
        rest = reduce(np.multiply.outer, [list(FACTORS[name](cause).values()) for name in alone]).ravel()
        joint.append(np.outer([table.get(key, 0) for key in seen], rest).ravel())
    mm, mo, fm, fo = joint  # as `causes` is ordered
    return {"Male": float(np.maximum(mm + mo, fm + fo).sum()), "Young": float(np.maximum(mm + fm, mo + fo).sum())}


def _all_faces(face, names, chance):
    """Yield every completion of `face` by these factors, with its probability."""
    if not names:
        yield face, chance
        return
    for choice, p in FACTORS[names[0]](face).items():
        yield from _all_faces(face | {names[0]: choice}, names[1:], chance * p)
