"""The form of the lessons: header and footer, core and optional, folded answers, glossary, and the rendered page."""

import base64
import re
from html.parser import HTMLParser

import form
import glossary
import nbformat
import pytest
import readme

LESSONS = [path for path in readme.lessons() if path.stem in form.names()]
ALL = readme.notebooks()
ABOUT = {"intro": "", "see": "", "goals": ["a"] * 3, "needs": ["a"] * 2, "recap": ["a"] * 5, "quiz": [{}] * 4}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_has_the_form(path):
    notebook, about = readme.read(path), form.words(path.stem)
    if path.stem.startswith("appendix"):
        about = about | {"recap": ["a"] * 5, "quiz": [{}] * 4}  # it need not have any
    record = readme.results().get((path.stem, "laptop"), {})
    assert form.problems(notebook, about, record.get("core_minutes", 0)) == []
    table = form.minutes(notebook, about, record.get("minutes", 0), record.get("core_minutes", 0))
    print(path.stem, {name: round(sum(times)) for name, times in table.items()})


def book(*cells):
    title = nbformat.v4.new_markdown_cell("# Title")
    return nbformat.v4.new_notebook(cells=[title, *cells])


def text(source):
    return nbformat.v4.new_markdown_cell(source)


def code(source, **metadata):
    return nbformat.v4.new_code_cell(source, metadata=metadata)


def test_sections_end_at_the_next_heading_and_know_their_cells():
    one, two, three = form.sections(
        book(
            text("## 1 Idea\n\n### 1.1 A game · core\n\none two three"),
            code("x = 1"),
            text("four\n\n```\n## no heading\n```\n\n### Exercise 1: a step · optional · 10 min\n\nfive"),
            code("y = 2"),
        )
    )
    assert (one.mark, two.mark, three.mark) == (None, "core", "optional")
    assert [cell.source for cell in two.code] == ["x = 1"] and three.exercise == 10
    assert two.words == 3 + 3 + 1 + 5  # text, code, "four", the block


def test_minutes_count_words_predictions_and_exercises():
    prediction = f"{form.PREDICTION} {'word ' * 198}"
    notebook = book(text(f"## 1 · core · 7 min\n\n{prediction}"), text(f"## 2 · optional\n\n{'word ' * 400}"))
    about = ABOUT | {"goals": [], "needs": [], "recap": [], "quiz": []}
    table = form.minutes(notebook, about, run=5, core_run=2)
    assert table["core"] == pytest.approx((1, 2, 8), abs=0.05) and table["all"] == pytest.approx((3, 5, 8), abs=0.05)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([text("## 1 Idea\n\ntext")], "needs a mark"),
        ([text("## 1 Idea · core\n\n### 1.1 A · core\n\ntext")], "it is empty"),
        ([text(f"## 1 · core\n\n{form.PREDICTION} What?")], "folded answer"),
        ([text("## 1 · core\n\n<details>\n\nopen")], "not closed"),
        ([text("## 1 · core\n\na"), code("x = 1  # noqa")], "use a tag"),
        ([text(f"## 1 · core\n\n{'word ' * 18_100}")], "more than 90"),
        ([text("## 1 · optional\n\na"), code("n = 1"), text("## 2 · core\n\nb"), code("print(n)")], "'2' is core"),
        ([text("## 1 · optional\n\na"), code("n = 1"), text("## 2 · core\n\nb"), code("def f():\n    return n")], "n,"),
    ],
)
def test_what_is_not_in_the_form_is_told(cells, says):
    found = form.problems(book(*cells), ABOUT)
    assert len(found) == 1 and says in found[0], found


def test_core_code_may_define_anew_what_an_optional_section_defines():
    optional = [text("## 1 · optional\n\na"), code("n = 1\ndef f(): return n")]
    own = "for n in range(3):\n    print(n)\nprint([f for f in 'ab'], (lambda f: f)(1))\ndef g(n): return n\nn = 2\n%time n"
    assert form.problems(book(*optional, text("## 2 · core\n\nb"), code(own)), ABOUT) == []


def test_the_count_of_words_is_asked_for():
    assert "2 quiz" in form.problems(book(), ABOUT | {"quiz": [{}] * 2})[0]


# --- the glossary -------------------------------------------------------------------------------------


@pytest.fixture
def two_terms(tmp_path, monkeypatch):
    path = tmp_path / "glossary.md"
    path.write_text(
        '# Glossary\n\n- <a id="mode"></a>**mode**: a hill of the *density*.\n'
        '- <a id="mode-collapse"></a>**mode collapse** (collapse, collapsed): `G` draws "few" kinds.\n'
    )
    found = glossary.terms(path)
    glossary._patterns.cache_clear()
    monkeypatch.setattr(glossary, "terms", lambda: found)
    yield
    glossary._patterns.cache_clear()


def test_the_first_use_of_a_term_is_linked_and_only_there(two_terms):
    first = text(
        "## Mode collapse\n\nNo `mode`, $mode$, [a mode](x.md) or models. Mode collapse here; modes; a collapse."
    )
    notebook = book(first, text("A mode."))
    for _ in range(2):  # the second time changes nothing
        assert glossary.link(notebook) == {"mode", "mode-collapse"}
        assert "".join(notebook.cells[1].source) == (
            "## Mode collapse\n\nNo `mode`, $mode$, [a mode](x.md) or models. "
            "[Mode collapse](glossary.md#mode-collapse \"G draws 'few' kinds.\") here; "
            '[modes](glossary.md#mode "a hill of the density."); a collapse.'
        )
    assert "".join(notebook.cells[2].source) == "A mode."
    assert form.count("".join(notebook.cells[1].source)) == 16  # as without the links


def test_every_line_of_the_glossary_is_a_term_with_a_short_meaning():
    lines = [line for line in glossary.GLOSSARY.read_text(encoding="utf-8").splitlines() if line.startswith("- ")]
    assert len(lines) == len(glossary.terms()) > 100
    names = [name for name, _, _ in glossary.terms().values()]
    assert names == sorted(names, key=str.casefold), "in the order of the alphabet"
    for name, _, meaning in glossary.terms().values():
        assert len(meaning.split()) <= 30 and meaning.endswith("."), name


def test_every_term_is_used_and_every_rare_word_is_explained_or_known():
    books = [readme.read(path) for path in LESSONS]
    unused = set(glossary.terms()).difference(*map(glossary.link, books))
    assert not unused, f"no lesson uses {sorted(unused)}"
    rare = glossary.unexplained(books)
    assert not rare, f"{rare}: put each into notebooks/glossary.md, or into tools/known_words.txt if readers know it"


# --- the rendered page --------------------------------------------------------------------------------


class Pictures(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.folded, self.inside = [], 0, False

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.found.append({k: v or "" for k, v in attributes})
        if tag == "details":
            self.inside = True
        elif tag == "p" and self.inside:  # a folded answer, and not only its summary
            self.folded, self.inside = self.folded + 1, False

    def handle_endtag(self, tag):
        self.inside &= tag != "details"


def shown(notebook):
    """Yield (alt text, data or None) of every picture and film that a reader of the notebook sees."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from ((alt, None) for alt in re.findall(r"(?<!\[)!\[([^\]]*)\]\(", cell.source))
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            page = Pictures()
            page.feed(data.get("text/html", ""))
            yield from ((picture["alt"], picture["src"]) for picture in page.found)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_the_rendered_page_shows_every_picture_film_and_alt_text(path):
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)
    page, resources = Pictures(), {"metadata": {"path": str(path.parent)}}
    page.feed(HTMLExporter().from_notebook_node(notebook, resources)[0])
    for alt, data in shown(notebook):
        found = [picture for picture in page.found if picture.get("alt") == alt]
        assert found, f"the page has no picture with the alt text '{alt}'"
        assert data is None or any(picture["src"].endswith(data) for picture in found), f"'{alt}' is not the picture"
    folded = sum(cell.source.count("<details>") for cell in notebook.cells if cell.cell_type == "markdown")
    assert page.folded == folded


def test_films_are_in_the_lessons_as_html():
    films = [
        picture["src"]
        for path in LESSONS
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
        for picture in [*_images(output)]
        if "image/gif" in picture["src"]
    ]
    assert films
    for film in films:
        assert base64.b64decode(film.partition(",")[2])[:4] == b"GIF8"


def _images(output):
    page = Pictures()
    page.feed(output.get("data", {}).get("text/html", ""))
    return page.found
