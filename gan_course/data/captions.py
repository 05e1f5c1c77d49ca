"""Sentences about faces: a grammar that writes them, readers of files that hold them, and words as numbers.

`caption` makes an English sentence from the yes/no attributes of a face. It tells a random part of what is true, in
random words and order, also what is *absent* ('without glasses', 'clean-shaven'), and it knows what it told: `told` is
{attribute: 1 or -1}. So one can measure whether a face that was drawn from the sentence does what it says.

    text, told = caption({"Male": 0, "Eyeglasses": 1, ...}, seed=0, name="000001.jpg", k=0)

`of_faces` gives the captions of a folder: those of its captions.json where it has one (`data toon` writes it), else the
grammar's, from its attributes. People's own sentences: `face2text`.
"""

import json
import random
import re
import unicodedata
import zlib
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_course.data.archive import some
from gan_course.errors import CourseError
from gan_course.settings import expand

VERSION = 1  # of the grammar: raise it when a caption would change
FILE = "captions.json"
EACH = 5  # captions of a face


class Caption(NamedTuple):
    """A sentence, and what it tells: {CelebA's name: 1 (has it) or -1 (has it not)}."""

    text: str
    told: dict


# --- the grammar -----------------------------------------------------------------------------------------


def _says(name, value, weight, of="mf", **phrases):
    """Return a way to say that an attribute has a value: (name, value, weight, of, {kind: phrases}).

    weight: how likely it is told, beside others. of: 'm' or 'f' where one would say it of men or of women only. Kinds of
    phrases: is_: adjectives; has: what a face has; wears; no: what it has not; off: what it does not wear.
    """
    return name, value, weight, of, phrases


GLASSES = ("glasses", "eyeglasses", "spectacles")
SAYINGS = (
    _says("Smiling", 1, 1.0, is_=("smiling", "happy", "cheerful", "grinning"), has=("a smile", "a big smile",
           "a friendly smile", "a happy face")),
    _says("Smiling", 0, 0.6, is_=("serious", "unsmiling", "not smiling"), has=("a serious look",
           "a serious expression"), no=("a smile",)),
    _says("Mouth_Slightly_Open", 1, 0.5, has=("an open mouth", "parted lips", "{own} mouth open",
           "{own} mouth slightly open")),
    _says("Mouth_Slightly_Open", 0, 0.3, has=("a closed mouth", "closed lips", "{own} mouth closed")),
    _says("Eyeglasses", 1, 3.0, has=("glasses",), wears=GLASSES),
    _says("Eyeglasses", 0, 0.35, off=GLASSES),
    _says("Wearing_Hat", 1, 3.0, has=("a hat",), wears=("a hat", "a cap", "something on {own} head")),
    _says("Wearing_Hat", 0, 0.15, off=("a hat", "a cap")),
    _says("Wearing_Earrings", 1, 1.0, has=("earrings",), wears=("earrings", "ear rings")),
    _says("Wearing_Earrings", 0, 0.2, "f", off=("earrings",)),
    _says("Wearing_Necklace", 1, 0.7, wears=("a necklace",)),
    _says("Wearing_Necktie", 1, 1.5, wears=("a tie", "a necktie", "a suit and tie", "a shirt and tie")),
    _says("Wearing_Necktie", 0, 0.15, "m", off=("a tie", "a necktie")),
    _says("Wearing_Lipstick", 1, 0.8, "f", has=("red lips", "painted lips"), wears=("lipstick", "red lipstick")),
    _says("Wearing_Lipstick", 0, 0.3, "f", off=("lipstick",)),
    _says("Heavy_Makeup", 1, 0.7, "f", wears=("makeup", "heavy makeup", "a lot of makeup")),
    _says("Heavy_Makeup", 0, 0.3, "f", off=("makeup", "heavy makeup")),
    _says("Bald", 1, 3.0, is_=("bald",), has=("a bald head",), no=("hair",)),
    _says("Receding_Hairline", 1, 0.8, has=("a receding hairline", "receding hair", "a high forehead")),
    _says("Bangs", 1, 1.0, has=("bangs", "a fringe", "hair over {own} forehead")),
    _says("Bangs", 0, 0.15, no=("bangs", "a fringe")),
    _says("5_o_Clock_Shadow", 1, 1.2, "m", is_=("unshaven",), has=("stubble", "some stubble",
           "a five o'clock shadow", "a short stubble")),
    _says("Goatee", 1, 1.5, "m", has=("a goatee", "a chin beard", "a small beard on {own} chin")),
    _says("Mustache", 1, 1.5, "m", has=("a moustache", "a mustache")),
    _says("Mustache", 0, 0.2, "m", no=("a moustache", "a mustache")),
    _says("Sideburns", 1, 0.8, "m", has=("sideburns", "long sideburns")),
    _says("No_Beard", 1, 0.8, "m", is_=("clean-shaven",), has=("a clean-shaven face", "a smooth chin"),
           no=("a beard", "facial hair")),
    _says("No_Beard", 0, 0.5, "m", has=("facial hair", "some facial hair")),
    _says("Bushy_Eyebrows", 1, 0.7, has=("bushy eyebrows", "thick eyebrows", "thick brows", "heavy eyebrows")),
    _says("Arched_Eyebrows", 1, 0.7, has=("arched eyebrows", "arched brows", "high eyebrows")),
    _says("Narrow_Eyes", 1, 0.8, has=("narrow eyes", "small eyes", "half closed eyes", "squinting eyes")),
    _says("Bags_Under_Eyes", 1, 0.7, is_=("tired",), has=("bags under {own} eyes", "tired eyes",
           "dark circles under {own} eyes")),
    _says("Big_Nose", 1, 0.5, has=("a big nose", "a large nose", "a broad nose")),
    _says("Pointy_Nose", 1, 0.4, has=("a pointy nose", "a pointed nose", "a thin nose")),
    _says("Big_Lips", 1, 0.4, has=("big lips", "full lips", "thick lips")),
    _says("High_Cheekbones", 1, 0.3, has=("high cheekbones", "prominent cheekbones")),
    _says("Rosy_Cheeks", 1, 1.0, has=("rosy cheeks", "red cheeks", "pink cheeks")),
    _says("Oval_Face", 1, 0.3, has=("an oval face", "a long face")),
    _says("Pale_Skin", 1, 1.0, is_=("pale",), has=("pale skin", "a pale face", "very fair skin")),
    _says("Chubby", 1, 0.8, is_=("chubby",), has=("a chubby face", "a round face", "chubby cheeks")),
    _says("Double_Chin", 1, 0.8, has=("a double chin",)),
)  # fmt: skip
BEARD = _says("No_Beard", 0, 1.5, "m", is_=("bearded",), has=("a beard", "a full beard"))
COLOURS = {
    "Black_Hair": ("black", "jet black"),
    "Blond_Hair": ("blond", "blonde", "golden", "light blond"),
    "Brown_Hair": ("brown", "chestnut", "dark brown", "light brown"),
    "Gray_Hair": ("gray", "grey", "silver", "white"),
}
HAIRED = {
    "Black_Hair": ("black-haired",),
    "Blond_Hair": ("blond", "blonde", "fair-haired"),
    "Brown_Hair": ("brown-haired", "brunette"),
    "Gray_Hair": ("gray-haired", "grey-haired"),
}
TEXTURES = {"Straight_Hair": ("straight", "sleek"), "Wavy_Hair": ("wavy", "curly")}
AGES = {1: ("young", "youthful"), 0: ("old", "older", "middle-aged", "elderly", "mature")}
NOUNS = {"m": ("man", "man", "man", "male", "guy", "gentleman"), "f": ("woman", "woman", "woman", "female", "lady"),
         "": ("person",)}  # fmt: skip
CHILDREN = {"m": "boy", "f": "girl"}  # who is young
PRONOUNS = {"m": ("he", "he", "the man", "this man"), "f": ("she", "she", "the woman", "this woman"),
            "": ("they", "the person", "this person")}  # fmt: skip
OWN = {"m": "his", "f": "her", "": "their"}
OPENINGS = ("{}",) * 6 + ("this is {}", "a picture of {}", "a photo of {}", "a portrait of {}", "the face of {}",
            "i see {}", "i saw {}", "it was {}", "it is {}", "draw {}", "show me {}", "i am looking for {}")  # fmt: skip
COUNTS = (0.08, 0.16, 0.21, 0.20, 0.16, 0.12, 0.07)  # how often 1, 2, ... things are told beside sex and age
SEX_TOLD, AGE_TOLD, CHILD_SAID = 0.88, 0.55, 0.2
# What captions can tell, in CelebA's order. (Not: Attractive, which is a judgement, and Blurry, which is of the photo.)
ATTRIBUTES = tuple(
    sorted({name for name, *_ in SAYINGS} | {*COLOURS, *TEXTURES, "Male", "Young"}, key=lambda name: name.lower())
)


class _Random:
    """Random choices from `random()` alone: of all generators' methods, Python promises only that one for all versions."""

    def __init__(self, key):
        self.random = random.Random(key).random

    def one(self, values):
        return values[int(self.random() * len(values))]

    def weighted(self, weights):
        """Return a place in a list of weights."""
        left = self.random() * sum(weights)
        for place, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return place
        return len(weights) - 1  # rounding

    def shuffled(self, values):
        return [values[i] for _, i in sorted((self.random(), i) for i in range(len(values)))]


def _sayings_of(face, who, rng):
    """Return all that can be told of a face besides sex and age: [(weight, told, {kind: phrases})]."""
    bearded = face.get("No_Beard") == 0 and not face.get("5_o_Clock_Shadow")
    # A moustache alone or a goatee alone is not called a beard.
    bearded = bearded and (face.get("Sideburns") or face.get("Goatee", 0) == face.get("Mustache", 0))
    # Noise in CelebA's labels: 'no beard', and yet a moustache.
    noisy = face.get("No_Beard") == 1 and any(face.get(n) for n in ("Mustache", "Goatee", "5_o_Clock_Shadow"))
    hair = any(face.get(name) for name in COLOURS)
    pool = []
    for name, value, weight, of, phrases in (*SAYINGS, BEARD) if bearded else SAYINGS:
        if face.get(name) != value or who not in of or (not who and of != "mf"):
            continue
        if (name == "No_Beard" and value and noisy) or (name == "Bangs" and not value and not hair):
            continue
        if name == "Mustache" and not value and face.get("No_Beard") == 1:
            continue  # 'clean-shaven' says it better
        pool.append((weight, {name: 1 if value else -1}, phrases))
    colours, textures = ([name for name in names if face.get(name)] for names in (COLOURS, TEXTURES))
    colour, texture = (rng.one(names) if names else None for names in (colours, textures))
    if colour and texture and rng.random() < 0.5:
        pair = rng.one(TEXTURES[texture]), rng.one(COLOURS[colour])
        pair = rng.one((pair, pair[::-1]))
        phrase = rng.one(("{} {} hair", "{}, {} hair")).format(*pair)
        pool.append((2.5, {colour: 1, texture: 1}, {"has": (phrase,)}))
    else:
        if colour:
            plain = tuple(f"{word} hair" for word in COLOURS[colour])
            pool.append((2.5, {colour: 1}, {"has": plain, "is_": HAIRED[colour]}))
        if texture:
            pool.append((1.0, {texture: 1}, {"has": tuple(f"{word} hair" for word in TEXTURES[texture])}))
    return pool


def caption(face, seed=0, name="", k=0):
    """Return the `Caption` number `k` of a face: the same for the same (face, seed, name, k).

    face: {attribute: 0 or 1}; attributes that are missing are not told. name: of the picture, a part of the seed.
    """
    rng = _Random(f"gan-course captions {seed} {name} {k}")
    told, who, age = {}, "", None
    if "Male" in face and rng.random() < SEX_TOLD:
        who = "m" if face["Male"] else "f"
        told["Male"] = 1 if face["Male"] else -1
    if "Young" in face and rng.random() < AGE_TOLD:
        age = int(face["Young"])
        told["Young"] = 1 if age else -1
    pool, chosen = _sayings_of(face, who, rng), []
    wanted = 1 + rng.weighted(COUNTS)
    while pool and len(chosen) < wanted:
        _, says, phrases = pool.pop(rng.weighted([weight for weight, _, _ in pool]))
        if says.keys() & told.keys():  # 'a beard' and 'facial hair'
            continue
        told |= says
        kind = rng.one(list(phrases))
        chosen.append((kind, rng.one(phrases[kind]).format(own=OWN[who])))
    return Caption(_written(who, age, chosen, rng), {n: told[n] for n in ATTRIBUTES if n in told})


def _written(who, age, sayings, rng):
    """Return sentences that say [(kind, phrase)] of a person."""
    if rng.random() < 0.15:
        return _notes(who, age, sayings, rng)
    first = len(sayings) if len(sayings) <= 4 and rng.random() < 0.6 else int(rng.random() * 4)
    past = rng.random() < 0.15  # a witness
    sentences = [_opening(who, age, sayings[:first], rng)]
    rest = sayings[first:]
    while rest:
        some_, rest = rest[:3], rest[3:]
        sentences.append(_sentence(rng.one(PRONOUNS[who]), some_, past, rng))
    return " ".join(f"{s[0].upper()}{s[1:]}." for s in sentences)


def _of(kind, sayings):
    return [phrase for k, phrase in sayings if k == kind]


def _notes(who, age, sayings, rng):
    """'young woman, blond hair, no glasses'"""
    parts = [_person(who, age, [], rng)]
    for kind, phrase in sayings:
        parts.append(rng.one(("no ", "without ")) + _bare(phrase) if kind in ("no", "off") else phrase)
    text = rng.one((", ", ", ", ". ")).join(parts)
    return text + rng.one((".", ""))


def _bare(phrase):
    return phrase.removeprefix("a ").removeprefix("an ")


def _person(who, age, adjectives, rng):
    """Return a noun with its adjectives, without an article."""
    if age == 1 and who and rng.random() < CHILD_SAID:
        return " ".join([*adjectives, CHILDREN[who]])
    adjectives = [*adjectives, *([rng.one(AGES[age])] if age is not None else [])]
    return " ".join([*rng.shuffled(adjectives), rng.one(NOUNS[who])])


def _opening(who, age, sayings, rng):
    """'a picture of a smiling young man with a beard, wearing glasses'"""
    adjectives = _of("is_", sayings)
    before = [a for a in adjectives if not a.startswith("not ")][:2]
    after = [a for a in adjectives if a not in before]
    if before and rng.random() < 0.25:  # 'who is smiling' instead of 'a smiling ...'
        after.append(before.pop())
    person = _person(who, age, before, rng)
    text = rng.one(OPENINGS).format(("an " if person[0] in "aeiou" else "a ") + person)
    parts = []
    if held := _of("has", sayings):
        parts.append(rng.one((" with ", " with ", " who has ")) + _joined(held, "and", rng))
    if worn := _of("wears", sayings):
        parts.append(rng.one((" wearing ", ", wearing ", " who wears ", " with ")) + _joined(worn, "and", rng))
    if absent := [*_of("no", sayings), *_of("off", sayings)]:
        parts.append(rng.one((" without ", ", without ")) + _joined(absent, "or", rng))
    if after:
        parts.append(rng.one((" who is ", ", who is ")) + _joined(after, "and", rng))
    return text + "".join(rng.shuffled(parts))


VERBS = {  # (singular or plural) now, past
    "is_": (("is", "are"), ("was", "were")),
    "has": (("has", "have"), ("had", "had")),
    "wears": (("wears", "wear"), ("wore", "wore")),
    "no": (("does not have", "do not have"), ("did not have", "did not have")),
    "off": (("does not wear", "do not wear"), ("did not wear", "did not wear")),
}


def _sentence(subject, sayings, past, rng):
    """'she has brown hair and wears glasses'"""
    clauses, several = [], subject == "they"
    for kind, verbs in VERBS.items():
        if not (phrases := _of(kind, sayings)):
            continue
        verb, absent = verbs[past][several], kind in ("no", "off")
        if kind in ("wears", "off") and not past and rng.random() < 0.4:
            verb = VERBS["is_"][0][several] + (" not wearing" if absent else " wearing")
        if absent and rng.random() < 0.4:  # 'has no glasses'
            clauses.append(f"{VERBS['has'][past][several]} no {_joined(list(map(_bare, phrases)), 'and no', rng)}")
        else:
            clauses.append(f"{verb} {_joined(phrases, 'or' if absent else 'and', rng)}")
    return f"{subject} {' and '.join(rng.shuffled(clauses))}"


def _joined(parts, word, rng):
    """a; a and b; a, b and c"""
    if len(parts) == 1:
        return parts[0]
    comma = "," if len(parts) > 2 and rng.random() < 0.3 else ""
    return f"{', '.join(parts[:-1])}{comma} {word} {parts[-1]}"


# Sentences to look at while a network trains, the same in every run, in the grammar's words.
EXAMPLES = (
    "A young woman with wavy blond hair and a big smile.",
    "An older man with gray hair and glasses. He is not smiling.",
    "A bald man with a full beard.",
    "A woman with straight black hair and bangs, without glasses.",
    "A man with black hair and a moustache. He has bushy eyebrows.",
    "A clean-shaven young man with brown hair, his mouth open.",
    "This lady wears red lipstick and earrings. She has black hair.",
    "A person wearing a hat.",
    "A pale girl with brown hair and rosy cheeks.",
)


# --- the captions of a folder ----------------------------------------------------------------------------


def write(path, faces, seed=0, each=EACH):
    """Write `each` captions of every face of {name of the picture: {attribute: 0 or 1}} to the file `path`."""
    made = {name: [caption(face, seed, name, k) for k in range(each)] for name, face in faces.items()}
    rows = [f"{json.dumps(name)}: {json.dumps([c._asdict() for c in few])}" for name, few in made.items()]
    head = f'{{"version": {VERSION}, "seed": {seed}, "captions": {{\n'
    Path(path).write_text(head + ",\n".join(rows) + "\n}}\n", encoding="utf-8")


def of_faces(source, names, seed=0, each=EACH):
    """Return the captions of pictures of an opened folder (`open_faces`): for each name a list of `Caption`s.

    Those of the folder's captions.json, where it has one: {"captions": {picture: [{"text": .., "told": {..}}, ..]}}, in
    which "told" may be missing. Else `each` of the grammar's, from the folder's attributes (`write` would write the same).
    Raises `CourseError` where there are neither, for a damaged file and for a picture without a caption.
    """
    found = source.store.find((FILE,))
    if found:
        written = _read(*found)
        missing = [str(name) for name in names if not written.get(Path(str(name)).name)]
        if missing:
            raise CourseError(f"'{found[0]}' has no caption of {some(missing)}; add them, or delete the file.")
        return [written[Path(str(name)).name] for name in names]
    if source.attributes is None:
        raise CourseError(
            f"'{source.path}' has neither {FILE} nor attributes; put list_attr_celeba.txt beside its images."
        )
    known = [name for name in ATTRIBUTES if name in source.attributes.columns]
    if not known:
        raise CourseError(f"'{source.path}' has no attribute that a caption can tell, such as Smiling; write {FILE}.")
    rows = source.labels(names, known).astype(int).tolist()
    faces = [dict(zip(known, row, strict=True)) for row in rows]
    return [
        [caption(face, seed, Path(str(name)).name, k) for k in range(each)]
        for name, face in zip(names, faces, strict=True)
    ]


@lru_cache(maxsize=1)
def _read(file, data):
    try:
        found = json.loads(data)["captions"]
        captions = {
            name: [Caption(str(c["text"]), {a: int(v) for a, v in c.get("told", {}).items()}) for c in few]
            for name, few in found.items()
        }
        if any(v not in (1, -1) for few in captions.values() for c in few for v in c.told.values()):
            raise ValueError("told is 1 or -1")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CourseError(f"'{file}' is no file of captions ({error!r}); render the faces again, or mend it.") from None
    return captions


def face2text(path):
    """Return the sentences that people wrote about photographs: {picture: [cleaned text, ...]}.

    Face2Text (Gatt et al. 2018, LREC): descriptions of 400 faces of LFW; later releases have CelebA's. Ask its authors
    for version 0.1, or fetch a later one from Zenodo; its terms and those of the photographs (research) go with it, and
    the course passes none of it on. `path`: a JSON file: a list of {"image": name, "caption": text}, or
    "descriptions": a list of texts or of {"text": ..}. The texts are cleaned as in T2F (see `words`).
    """
    path = expand(path)
    if path.is_dir():
        releases = [path / name for name in ("captions.json", "clean.json", "raw.json")]
        path = next(filter(Path.is_file, releases), path)
    try:
        rows, found = json.loads(path.read_text(encoding="utf-8")), {}
        for row in rows:
            texts = row["caption"] if "caption" in row else row["descriptions"]
            for text in [texts] if isinstance(texts, str) else texts:
                text = " ".join(words(text if isinstance(text, str) else text["text"]))
                if text:
                    found.setdefault(str(row.get("image") or row["filename"]), []).append(text)
    except OSError as error:
        raise CourseError(f"Cannot read '{path}' ({error.strerror}); give Face2Text's JSON file.") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CourseError(
            f"'{path}' is no file of Face2Text ({error!r}); give its captions.json or clean.json."
        ) from None
    if not found:
        raise CourseError(f"'{path}' holds no caption; give Face2Text's captions.json or clean.json.")
    return found


def held_out(picture):
    """Return whether people's sentences about a picture are for measuring only: those of every second one, by its name."""
    return zlib.crc32(picture.encode()) % 2 == 1


# Words of people that the grammar does not use; what they tell.
_MORE = {
    "he": ("Male", 1), "his": ("Male", 1), "him": ("Male", 1), "mustache": ("Mustache", 1), "she": ("Male", -1),
    "her": ("Male", -1), "women": ("Male", -1), "twenties": ("Young", 1), "teens": ("Young", 1), "thirties": ("Young", 1),
    "aged": ("Young", -1), "forties": ("Young", -1), "fifties": ("Young", -1), "sixties": ("Young", -1),
    "seventies": ("Young", -1), "smile": ("Smiling", 1), "smiles": ("Smiling", 1), "laughing": ("Smiling", 1),
    "smiley": ("Smiling", 1), "frowning": ("Smiling", -1), "sunglasses": ("Eyeglasses", 1), "beret": ("Wearing_Hat", 1),
    "tie": ("Wearing_Necktie", 1), "make up": ("Heavy_Makeup", 1), "fat": ("Chubby", 1), "balding": ("Bald", 1),
    "curls": ("Wavy_Hair", 1), "brunette": ("Brown_Hair", 1), "necklace": ("Wearing_Necklace", 1),
    "eye glasses": ("Eyeglasses", 1), "specs": ("Eyeglasses", 1), "unshaved": ("5_o_Clock_Shadow", 1),
}  # fmt: skip
_NOT = {"no", "not", "without", "t", "never", "nor"}
_OF_HAIR = {w: a for table in (COLOURS, TEXTURES) for a, few in table.items() for w in few if " " not in w}
_OF_HAIR |= {"greyish": "Gray_Hair", "greying": "Gray_Hair", "blondish": "Blond_Hair", "brownish": "Brown_Hair"}


@lru_cache(maxsize=1)
def _phrases():
    """Return {phrase as words: (attribute, 1 or -1)} of all that stands for a thing in the grammar's tables."""
    found = {}
    for name, value, _, _, phrases in (*SAYINGS, BEARD):
        for phrase in (phrase for kind in ("is_", "has", "wears") for phrase in phrases.get(kind, ())):
            bare = tuple(w for w in words(phrase.replace("{own}", "")) if w not in ("a", "an", "some"))
            found[bare] = (name, 1 if value else -1)
    for table, value in ((NOUNS["m"], 1), (NOUNS["f"], -1), (("boy",), 1), (("girl",), -1)):
        found |= {(noun,): ("Male", value) for noun in table}
    found |= {tuple(words(age)): ("Young", 1 if young else -1) for young, few in AGES.items() for age in few}
    found |= {tuple(words(haired)): (name, 1) for name, few in HAIRED.items() for haired in few if "-" in haired}
    return found | {tuple(words(phrase)): says for phrase, says in _MORE.items()}


def spot(text):
    """Return what a sentence that people wrote seems to tell, {attribute: 1 or -1}: found by the grammar's phrases.

    A rule, not a reader: a thing with 'no', 'not' or 'without' among the three words before it is told to be absent, a
    colour belongs to the hair that follows within four words. It labels people's sentences for the encoder's training.
    """
    found, told, i = words(text), {}, 0
    table = _phrases()
    while i < len(found):
        phrase = next((p for n in (4, 3, 2, 1) if (p := tuple(found[i : i + n])) in table and len(p) == n), None)
        if phrase:
            name, value = table[phrase]
            denied = name not in ("Male", "Young") and _NOT & set(found[max(0, i - 3) : i])
            told.setdefault(name, -value if denied else value)
        elif found[i] in "23456789" and found[i + 1 : i + 2] == ["0"]:  # 'in his 4 0 s'
            told.setdefault("Young", 1 if found[i] in "23" else -1)
        elif found[i] in ("hair", "haired"):
            for word in reversed(found[max(0, i - 4) : i]):
                if word in ".,;" or word in ("eyes", "skin"):
                    break
                if word in _OF_HAIR:
                    told.setdefault(_OF_HAIR[word], 1)
        i += len(phrase) if phrase else 1
    return told


# --- words as numbers ------------------------------------------------------------------------------------

PADDING, UNKNOWN = 0, 1


def words(text):
    """Return the words of a text: lower case, without accents; every other sign is a word of its own (as in T2F)."""
    text = unicodedata.normalize("NFKD", str(text).replace("\u2019", "'")).lower()
    text = "".join(c for c in text if not unicodedata.combining(c))
    return re.findall(r"[^\W\d_]+|[^\w\s]|[\d_]", text)


def vocabulary(texts, least=2):
    """Return the words that texts use at least so often, in alphabetical order."""
    count = Counter(word for text in texts for word in words(text))
    return sorted(word for word, n in count.items() if n >= least)


class Reader:
    """Texts as rows of numbers: 0 after their end (padding), 1 for an unknown word, 2, 3, ... for the words known."""

    def __init__(self, known, length):
        self.length = length
        self.numbers = {word: i for i, word in enumerate(known, UNKNOWN + 1)}

    def __call__(self, texts):
        """Return the numbers, int32 (n, length); of longer texts the first `length` words."""
        rows = np.full((len(texts), self.length), PADDING, "int32")
        for row, text in zip(rows, texts, strict=True):
            numbers = [self.numbers.get(word, UNKNOWN) for word in words(text)[: self.length]]
            row[: len(numbers)] = numbers
        return rows

    def unknown(self, text):
        """Return the words (not signs) of a text that are not known, each once."""
        return list(dict.fromkeys(w for w in words(text) if w not in self.numbers and w.isalpha()))


def told_table(captions, attributes):
    """Return what captions tell, int8 (n, attributes): 1 has it, -1 has it not, 0 not told."""
    return np.array([[c.told.get(name, 0) for name in attributes] for c in captions], "int8").reshape(
        -1, len(attributes)
    )
