"""The glossary: its terms are linked where a lesson uses them first, and rare words must be in it.

    python tools/glossary.py          show which rare words of the lessons are neither explained nor taken as known

notebooks/glossary.md holds one line a term:

    - <a id="mode-collapse"></a>**mode collapse** (collapse, collapsed): the generator draws few kinds of pictures.

A link carries the line as its title, so that a student who points at the word reads it without leaving the lesson.
tools/known_words.txt holds the rare words that a reader must know.
"""

import re
from functools import cache
from pathlib import Path

import form

GLOSSARY = form.ROOT / "notebooks" / "glossary.md"
KNOWN = form.ROOT / "tools" / "known_words.txt"
COMMON = 3000  # times in pyspellchecker's count of spoken English; 'slope' has 2,758
LINE = re.compile(r'^- <a id="([a-z0-9-]+)"></a>\*\*(.+?)\*\*(?: \((.+?)\))?: (.+)$')
LETTER = r"[^\W\d_]"
# Where no link may be put: code, formulas, links and pictures, HTML, headings, and the titles of further reading.
CLOSED = re.compile(
    r"""^```.*?^```|`[^`\n]+`|\$\$.*?\$\$|(?<!\\)\$[^$\n]+\$|!?\[[^\]]*\]\([^)]*\)
    |<summary>.*?</summary>|<[^>\n]+>|^\#\#\ Further\ reading$.*?(?=^\*\*Next|\Z)|^\#+\ .*?$|https?://\S+""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


@cache
def terms(path=GLOSSARY):
    """Return {anchor: (term, [ways to write it], what it is)} of the glossary."""
    found = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if match := LINE.match(line):
            anchor, term, others, meaning = match.groups()
            found[anchor] = term, [term, *(others.split(", ") if others else [])], meaning
    return found


def _pattern(ways):
    either = "|".join(re.escape(way) for way in sorted(ways, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{either})(?:s|es)?(?![\w-])", re.IGNORECASE)


@cache
def _patterns():
    return [(anchor, _pattern(ways)) for anchor, (_, ways, _) in terms().items()]


def link(notebook):
    """Link the first use of every term in the Markdown of a lesson (a dict), in place; older links go."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    texts = [form.LINK.sub(r"\1", form.source(cell)) for cell in cells]
    used = set()
    for i, text in enumerate(texts):
        taken = [match.span() for match in CLOSED.finditer(text)]
        matches = [(match.span(), anchor) for anchor, pattern in _patterns() for match in pattern.finditer(text)]
        # Long ones first: 'mode' in any 'mode collapse' is no use of 'mode'.
        free = []
        for (begin, end), anchor in sorted(matches, key=lambda found: found[0][0] - found[0][1]):
            if not any(start < end and begin < stop for start, stop in taken):
                taken.append((begin, end))
                free.append(((begin, end), anchor))
        links = []
        for span, anchor in sorted(free):
            if anchor not in used:
                used.add(anchor)
                links.append((span, anchor))
        for (begin, end), anchor in sorted(links, reverse=True):
            meaning = re.sub(r"[*`$]", "", terms()[anchor][2]).replace('"', "'")
            text = f'{text[:begin]}[{text[begin:end]}](glossary.md#{anchor} "{meaning}"){text[end:]}'
        texts[i] = text
    for cell, text in zip(cells, texts, strict=True):
        cell["source"] = text.splitlines(keepends=True)
    return used


def prose(notebook):
    """Return the words of a lesson's Markdown, in small letters, without code, formulas and addresses."""
    found = set()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", form.LINK.sub(r"\1", form.source(cell)))
            text = re.sub(r"(?m)^#+ ", "", text)
            found |= set(re.findall(rf"{LETTER}{{3,}}(?:-{LETTER}+)*", CLOSED.sub(" ", text).lower()))
    return found


def unexplained(notebooks):
    """Return the rare words of the lessons (dicts) that are neither in the glossary nor in tools/known_words.txt."""
    from spellchecker import SpellChecker

    count = SpellChecker().word_frequency
    known = set(KNOWN.read_text(encoding="utf-8").split())
    explained = {
        word for _, ways, _ in terms().values() for way in ways for word in re.findall(rf"{LETTER}+", way.lower())
    }

    def familiar(word):
        stems = {word, re.sub(r"'?s$", "", word), re.sub(r"e?s$", "", word), re.sub(r"ies$", "y", word)}
        return stems & (known | explained) or any(count[stem] >= COMMON for stem in stems)

    rare = set()
    for word in set().union(*map(prose, notebooks)):
        if not familiar(word):
            rare |= {part for part in word.split("-") if len(part) > 2 and not familiar(part)}
    return sorted(rare)


if __name__ == "__main__":
    import readme

    print(*unexplained(readme.read(path) for path in readme.lessons()), sep="\n")
