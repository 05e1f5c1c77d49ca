"""Make slides of the lessons: build/slides/NAME.html, which need no internet.

    python tools/slides.py                      every lesson
    python tools/slides.py 03_measuring_faces   this one
    python tools/slides.py --all                with the optional sections

Nobody tags cells: a rule chooses. The header gives the title, its picture and the goals; each core section but the
parameters its heading, its first paragraph, lists, tables and formulas that stand alone, questions (*Predict first*), and
the stored results: pictures, films, short printed text. What follows a question comes below it (arrow down). An exercise
shows the function to write. The footer gives *What to remember* and the quiz. Other text and code stay in the notebook.
Needs `pip install -e ".[lab]"`, and the internet once: reveal.js and KaTeX come from npm.
"""

import argparse
import html
import re
import shutil
import sys
from pathlib import Path

import assignment
import form
import readme

OUT = readme.ROOT / "build" / "slides"
WORDS = 100  # on one slide
ANSWER = re.compile(r"<details>\n<summary>(.*?)</summary>\n(.*?)</details>", re.DOTALL)
SCRIPT = """
for (const place of document.querySelectorAll(".math")) {
  katex.render(place.textContent, place, { displayMode: place.classList.contains("display"), throwOnError: false });
}
Reveal.initialize({ hash: true, width: 1280, height: 720, margin: 0.04, center: false, transition: "none", slideNumber: "c/t" });
"""
STYLE = """
body { background: #fff; color: #1a1a1a; font: 32px/1.35 system-ui, sans-serif; }
.reveal section { text-align: left; line-height: 1.35; }
.reveal h1 { font-size: 52px; margin: 0 0 24px; }
.reveal h2 { font-size: 40px; margin: 0 0 20px; color: #1f4e79; }
.reveal p, .reveal ul, .reveal ol { margin: 0 0 16px; }
.reveal ul, .reveal ol { padding-left: 36px; }
.reveal img { display: block; width: 100%; height: 520px; object-fit: contain; }
.reveal pre { font: 22px/1.4 ui-monospace, monospace; background: #f3f3f3; padding: 16px; white-space: pre-wrap; }
.reveal code { font-family: ui-monospace, monospace; }
.reveal table { border-collapse: collapse; font-size: 22px; }
.reveal th, .reveal td { border: 1px solid #999; padding: 6px 12px; vertical-align: top; text-align: left; }
.reveal .question { border-left: 8px solid #c55a11; padding-left: 20px; }
.reveal .answer { border-left: 8px solid #2e7d32; padding-left: 20px; }
.reveal a { color: #1f4e79; }
.reveal .slide-number { left: 8px; right: auto; background: #444; }
"""


def renderer():
    """Return a function from Markdown to HTML that leaves formulas to KaTeX and puts pictures into the page."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Slides(IPythonRenderer):
        def inline_math(self, body):
            return f'<span class="math">{self.escape_html(body)}</span>'

        def block_math(self, body):
            return f'<span class="math display">{self.escape_html(body)}</span>'

    options = dict(escape=False, embed_images=True, exclude_anchor_links=True, path=str(readme.ROOT / "notebooks"))
    markdown = MarkdownWithMath(renderer=Slides(**options))

    def render(text):
        text = form.LINK.sub(r"\1", text)
        return markdown.render(re.sub(r"(?<!!)\[([^\[\]]+)\]\((?!\w+:)[^)]*\)", r"\1", text))  # links into the course

    return render


def blocks(lines):
    """Yield (kind, text) of the parts of a Markdown text: question, answer, formula, picture, table, list, text."""
    text, answers = "\n".join(lines), []

    def keep(match):
        answers.append(match[2].strip())
        return f"\n\nanswer {len(answers) - 1}\n\n"

    text = ANSWER.sub(keep, text)
    text = re.sub(r"(?ms)^```.*?^```$", "", text)
    for block in re.split(r"\n\s*\n", text):
        block = block.strip()
        starts = {"$$": "formula", "![": "picture", "|": "table", "- ": "list", "1. ": "list"}
        kind = next((kind for start, kind in starts.items() if block.startswith(start)), "text")
        if form.PREDICTION in block:
            kind = "question"
        if match := re.fullmatch(r"answer (\d+)", block):
            kind, block = "answer", answers[int(match[1])]
        if block:
            yield kind, block


def pictures(cell):
    """Yield the <img> of each picture and film that a cell shows."""
    for output in cell.get("outputs", []):
        yield from re.findall(r"<img [^>]*>", "".join(output.get("data", {}).get("text/html", "")))


def printed(cell):
    """Yield each text that a cell printed and that is small enough for a slide."""
    for output in cell.get("outputs", []):
        text = "".join(output.get("text", "")).rstrip()
        lines = text.splitlines()
        if text and "Not written yet" not in text and len(lines) <= 14 and max(map(len, lines)) <= 90:
            yield text


def split(table):
    """Yield a Markdown table in parts that each fit a slide, with its two lines of heading."""
    head, rows = table.splitlines()[:2], []
    for row in table.splitlines()[2:]:
        if rows and form.count(" ".join([*rows, row])) > 1.5 * WORDS:  # its letters are smaller
            yield "\n".join([*head, *rows])
            rows = []
        rows.append(row)
    yield "\n".join([*head, *rows])


def section_slides(section, render):
    """Return the slides of one section, as lists of HTML: the first has the heading. A question ends its slide."""
    title = render(section.title)[3:-5]  # without <p> and </p>
    minutes = f" · {section.exercise} min" if section.exercise else ""
    slides, words, started = [[f"<h2>{title}{minutes}</h2>"]], 0, False

    def put(content, count, alone=False):
        nonlocal words
        if len(slides[-1]) > 1 and (alone or words + count > WORDS):
            slides.append([f"<h2>{title}</h2>"])
            words = 0
        slides[-1].append(content)
        words += WORDS if alone else count

    lines = []
    for part in [*section.parts, None]:
        if isinstance(part, str):
            lines.append(part)
            continue
        for kind, text in blocks(lines):
            count = form.count(text)
            if kind == "question":
                put(f'<div class="question">{render(text)}</div>', count)
                words = WORDS
            elif kind == "answer":
                put(f'<div class="answer">{render(text)}</div>', count)
            elif kind == "picture":
                put(render(text), 0, alone=True)
            elif kind == "table":
                for rows in split(text):
                    put(render(rows), 0, alone=True)
            elif kind == "formula":
                put(render(text), 1)  # below the sentence that announces it
            elif kind == "list" and count <= WORDS:
                put(render(text), count)
            elif kind == "text" and not started:
                put(render(text), count)
                started = True
        lines = []
        if part and assignment.stubs(part):
            put(f"<pre>{html.escape(form.source(part))}</pre>", form.count(form.source(part)))
        elif part:
            for text in printed(part):
                put(f"<pre>{html.escape(text)}</pre>", max(form.count(text), 8 * (text.count("\n") + 3)))
            for picture in pictures(part):
                put(picture, 0, alone=True)
    return slides


def lesson(name, everything=False):
    """Return the page with the slides of one lesson."""
    about, render = form.words(name), renderer()
    number = f"{name[:2]} · " if name[0].isdigit() else ""
    picture = render(f"![{about['alt']}]({about['picture']})")
    stacks = [
        [[f"<h1>{number}{render(about['title'])[3:-5]}</h1>", picture]],
        [["<h2>Afterwards you can</h2>", render(form.bullets(about["goals"]))]],
    ]
    for section in form.sections(readme.read(readme.ROOT / f"notebooks/{name}.ipynb")):
        if not section.title.startswith("0 ") and (section.mark == "core" or (everything and section.mark)):
            stacks.append(section_slides(section, render))
    stacks.append([["<h2>What to remember</h2>", render(form.bullets(about.get("recap", [])))]])
    for i, item in enumerate(about.get("quiz", []), 1):
        question = f'<div class="question">{render(item["question"])}</div>'
        answer = f'<div class="answer">{render(item["answer"])}</div>'
        stacks.append([[f"<h2>Quiz {i}</h2>", question], [f"<h2>Quiz {i}</h2>", question, answer]])
    slides = "\n".join(
        "<section>" + "\n".join(f"<section>{''.join(slide).strip()}</section>" for slide in stack) + "</section>"
        for stack in stacks
    )
    return page(f"{number}{about['title']}", f'<div class="reveal"><div class="slides">\n{slides}\n</div></div>')


def page(title, body, scripts=True):
    assets = '<link rel="stylesheet" href="assets/reveal.css"><link rel="stylesheet" href="assets/katex.min.css">'
    end = (
        f'<script src="assets/katex.min.js"></script><script src="assets/reveal.js"></script><script>{SCRIPT}</script>'
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{assets if scripts else ""}'
        f"<style>{STYLE}</style></head>\n<body>{body}{end if scripts else ''}</body></html>\n"
    )


def assets(folder):
    """Copy what the slides need, with its licences, to a folder."""
    from gan_course.data import npm

    for package in (npm.REVEAL, npm.KATEX):
        source = npm.files(package)
        for path in package.sha256:
            target = folder / path.removeprefix("dist/").replace("LICENSE", f"LICENSE-{package.name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, target)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="for example 03_measuring_faces; default: every lesson")
    parser.add_argument("--all", action="store_true", help="with the optional sections")
    parser.add_argument("--out", type=Path, default=OUT, help="default: build/slides")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in form.names():
            parser.error(f"there is no lesson {name}; give some of {', '.join(form.names())}")
    assets(options.out / "assets")
    for name in options.names or form.names():
        # An appendix is optional as a whole.
        text = lesson(name, options.all or not name[0].isdigit())
        (options.out / f"{name}.html").write_text(text, encoding="utf-8")
        print(options.out / f"{name}.html")


if __name__ == "__main__":
    sys.exit(main())
