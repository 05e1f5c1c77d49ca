"""Write everything in README.md and the notebooks that is made from something else.

    python tools/readme.py            rewrite what is out of date
    python tools/readme.py --check    only say what is out of date; exit status 1 if anything is

Made from `[project.urls] Repository` in pyproject.toml: badges, "Open in Colab" links, clone lines, and the
set-up cell of each notebook. Made from benchmarks/results/lessons.json (tools/lessons.py writes it): minutes and
memory. Made from gan_course.__version__: the version in CITATION.cff. Made from section 5 of lesson 04, with its
stored pictures: the page notebooks/reading_the_curves.md. Made from tools/lessons/NAME.toml (see form.py): a lesson's
first and last cell. Made from notebooks/glossary.md (see glossary.py): the links of terms. Made from the lessons: the
plans, core paths and quizzes in INSTRUCTORS.md. Needs nothing but Python.
"""

import argparse
import base64
import json
import math
import re
import sys
import tomllib
from html import unescape
from pathlib import Path

import form
import glossary

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "lessons.json"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
PROFILES = ("laptop", "gpu", "smoke")


def repository():
    """Return the course's public address, without a slash at its end."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].rstrip("/").removesuffix(".git")


def version():
    text = (ROOT / "gan_course" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'__version__ = "(.+)"', text)[1]


def folder():
    """Return the folder that `git clone` makes."""
    return repository().rsplit("/", 1)[1]


def badge(path):
    """Return a button in Markdown that opens the notebook `path` (relative to the repository) in Colab."""
    place = repository().removeprefix("https://github.com/")
    return f"[![Open in Colab]({BADGE})](https://colab.research.google.com/github/{place}/blob/main/{path})"


def results():
    """Return the measurements as {(lesson, profile): record}."""
    if not RESULTS.exists():
        return {}
    return {(r["lesson"], r["profile"]): r for r in json.loads(RESULTS.read_text(encoding="utf-8"))}


def cost(record):
    """Return minutes and memory as a reader wants them: `8.9 min, 1.9 GB`."""
    seconds = 60 * record["minutes"]
    time = f"{record['minutes']:.0f} min" if seconds >= 570 else f"{record['minutes']:.1f} min"
    time = f"{seconds:.0f} s" if seconds < 60 else time
    return f"{time}, {record['peak_mib'] * 2**20 / 1e9:.1f} GB"


def conditions(records):
    """Return one sentence: on what the records were measured."""
    devices = sorted({f"`{r['profile']}` on {r['device']}" for r in records})
    libraries = sorted({f"Python {r['python']}, TensorFlow {r['tensorflow']}, Keras {r['keras']}" for r in records})
    return f"Measured ({max(r['date'] for r in records)}): {', '.join(devices)}; {'; '.join(libraries)}."


def times(notebook, name):
    """Return `form.minutes` of a lesson, with the machine minutes of the `laptop` profile."""
    record = results().get((name, "laptop"), {})
    return form.minutes(notebook, form.words(name), record.get("minutes", 0), record.get("core_minutes", 0))


def whole(parts):
    """Return the sum of minutes, each rounded as in the head of a lesson, so that the tables agree."""
    return sum(round(x) for x in parts)


def lesson_table():
    measured, used = results(), []
    rows = ["| lesson | what you do | core path | all | " + " | ".join(f"`{p}`" for p in PROFILES) + " | |"]
    rows.append("|---" * (5 + len(PROFILES)) + "|")
    for name in form.names():
        path = f"notebooks/{name}.ipynb"
        records = [measured.get((name, profile)) for profile in PROFILES]
        used += [r for r in records if r]
        costs = [cost(r) if r else "-" for r in records]
        people = [f"{whole(t)} min" for t in times(read(ROOT / path), name).values()]
        if not name[0].isdigit():
            people[0] = "-"  # an appendix
        cells = [f"[{form.label(name)}]({path})", form.words(name)["what"], *people, *costs, badge(path)]
        rows.append("| " + " | ".join(cells) + " |")
    note = [
        "",
        "Core path and all: a student's minutes to read, to wait for the machine (`laptop`) and for the exercises. "
        + (conditions(used) + " " if used else "")
        + "Memory is the most that the lesson's processes held at once.",
    ]
    return "\n".join(rows + note)


# --- INSTRUCTORS.md -----------------------------------------------------------------------------------

DAYS = ((0, 1, 2, 3), (4, 5, 6, 7))  # the lessons of the workshop
START, BREAK, LUNCH = 9 * 60, 15, 60  # minutes; lunch comes after a day's second lesson


def numbered():
    """Return {number: name} of the lessons."""
    return {int(name[:2]): name for name in form.names() if name[0].isdigit()}


def core_minutes(number):
    """Return (read, run, do) of a lesson's core path."""
    name = numbered()[number]
    return times(read(ROOT / f"notebooks/{name}.ipynb"), name)["core"]


def sessions():
    rows = [
        "| session | lesson | core path | all of it on the machine (`laptop`) | left of 90 min |",
        "|---|---|---|---|---|",
    ]
    for number, name in sorted(numbered().items()):
        session, total = number or "before", whole(core_minutes(number))
        record = results().get((name, "laptop"))
        link = f"[{form.label(name)}](notebooks/{name}.ipynb)"
        left = f"{form.CORE_MINUTES - total} min" if number else "-"
        rows.append(f"| {session} | {link} | {total} min | {cost(record) if record else 'not measured'} | {left} |")
    return "\n".join(rows)


def workshop():
    names = numbered()
    rows = ["| day | from | to | lesson |", "|---|---|---|---|"]
    for day, lessons_of_day in enumerate(DAYS, 1):
        now = START
        for place, number in enumerate(n for n in lessons_of_day if n in names):
            end = now + 5 * math.ceil(sum(core_minutes(number)) / 5)
            title = form.label(names[number])
            rows.append(f"| {day} | {now // 60}:{now % 60:02} | {end // 60}:{end % 60:02} | {title} |")
            now = end + (LUNCH if place == 1 else BREAK)
    return "\n".join(rows)


def core_path(number):
    """Return a lesson's core path, section by section, and its quiz, both folded."""
    name = numbered()[number]
    reading, machine, _ = core_minutes(number)
    parts = [s for s in form.sections(read(ROOT / f"notebooks/{name}.ipynb")) if s.mark == "core"]
    rows = [(s.title, s.words / form.WORDS_PER_MINUTE, s.exercise + s.predictions) for s in parts]
    rows.append(("Header, *What to remember*, quiz", reading - sum(row[1] for row in rows), 0))
    table = [f"| {title} | {words:.1f} | {do or ''} |" for title, words, do in rows]
    measured = f"{machine:.1f} min" if machine else "not measured"
    quiz = [
        f"{i}. {q['question'].strip()} **Answer:** {q['answer'].strip()}"
        for i, q in enumerate(form.words(name)["quiz"], 1)
    ]
    return "\n".join(
        [
            f"<details>\n<summary>Core path: {whole(core_minutes(number))} minutes, section by section</summary>\n",
            "| section | read | do |\n|---|---|---|",
            *table,
            f"\nThe machine, in the core path: {measured}.\n\n</details>\n",
            "<details>\n<summary>Quiz with answers</summary>\n",
            *quiz,
            "\n</details>",
        ]
    )


def clone():
    return f"```bash\ngit clone {repository()}\ncd {folder()}\nmake lab\n```"


def windows():
    return (
        f"```powershell\ngit clone {repository()}\ncd {folder()}\n"
        "py -3.12 -m venv .venv\n"
        ".venv\\Scripts\\activate\n"
        'pip install -e ".[lab]"\n'
        "python -m gan_course data toon\n"
        "jupyter lab notebooks/00_start_here.ipynb\n```"
    )


def setup(here):
    """Return the source of the set-up cell of a notebook in the folder `here` (relative to the repository)."""
    home = f"/content/{folder()}"
    return (
        "# On Google Colab this fetches the course; on your own computer it only hides TensorFlow's start-up notes.\n"
        "import sys\n"
        "\n"
        'if "google.colab" in sys.modules:\n'
        f"    ![ -d {home} ] || git clone -q --depth 1 {repository()} {home}\n"
        f'    %pip install -q -e "{home}[tensorflow]"\n'
        f"    %cd -q {home}/{here}\n"
        f'    sys.path.insert(0, "{home}")\n'
        "\n"
        "from gan_course import backend"
    )


def fill(text, name, new, where):
    """Return `text` with what stands between the comments name:begin and name:end replaced by `new`."""
    pattern = rf"(<!-- {name}:begin -->).*?(<!-- {name}:end -->)"
    if not re.search(pattern, text, re.DOTALL):
        sys.exit(f"{where} has no <!-- {name}:begin --> ... <!-- {name}:end -->; put the two comments back.")
    space = "\n\n" if "\n" in new.strip() else ""  # a table or a block of code stands alone
    return re.sub(pattern, lambda m: f"{m[1]}{space}{new}{space}{m[2]}", text, flags=re.DOTALL)


def measured(lesson):
    """Return the line that a lesson shows about itself."""
    records = [r for (name, _), r in results().items() if name == lesson]
    if not records:
        return "Minutes and memory: not measured yet."
    records.sort(key=lambda r: PROFILES.index(r["profile"]))
    return "Measured: " + "; ".join(f"`{r['profile']}` {cost(r)} ({r['device']})" for r in records) + "."


def refresh(notebook, path):
    """Bring the header, footer, links and the set-up cell of one notebook (a dict) up to date, in place.

    path: its place relative to the repository, a `PurePath`.
    """
    cells = notebook["cells"]
    first = cells[0]
    text = form.source(first)
    if first["cell_type"] != "markdown" or not text.startswith("# "):
        sys.exit(f"{path} does not begin with a Markdown cell that holds its title ('# ...'); give it one.")
    if form.words(path.stem):
        first["source"] = form.header(
            path.stem, notebook, badge(path.as_posix()), times(notebook, path.stem), measured(path.stem)
        )
        if "footer" not in form.tags(cells[-1]):
            cells.append({"cell_type": "markdown", "id": "footer", "metadata": {"tags": ["footer"]}, "source": []})
        cells[-1]["source"] = form.footer(path.stem)
        for cell in (first, cells[-1]):
            cell["source"] = cell["source"].splitlines(keepends=True)
        glossary.link(notebook)
    else:
        links = f"<!-- links:begin -->\n{badge(path.as_posix())}\n<!-- links:end -->"
        if "<!-- links:begin -->" not in text:
            title, _, rest = text.partition("\n")
            text = f"{title}\n\n{links}\n{rest}"
        text = re.sub(r"<!-- links:begin -->.*?<!-- links:end -->", lambda _: links, text, flags=re.DOTALL)
        first["source"] = text.splitlines(keepends=True)

    tagged = [cell for cell in cells if "colab" in form.tags(cell)]
    if not tagged:
        place = next((i for i, cell in enumerate(cells) if cell["cell_type"] == "code"), len(cells))
        cell = {"cell_type": "code", "execution_count": None, "id": "set-up", "metadata": {"tags": ["colab"]}}
        cells.insert(place, cell | {"outputs": [], "source": []})
        tagged = [cells[place]]
    tagged[0]["source"] = setup(path.parent.as_posix()).splitlines(keepends=True)


def curves_page(lesson, cells):
    """Yield (path, content) of the page 'Reading the curves' and its pictures: section 5 of lesson 04, without code."""
    folder = lesson.parent
    heads = ["".join(cell["source"]) if cell["cell_type"] == "markdown" else "" for cell in cells]
    first = next(i for i, text in enumerate(heads) if text.startswith("## 5 "))
    last = next(i for i, text in enumerate(heads) if text.startswith("## 6 "))
    parts = [
        "# Reading the curves",
        f"<!-- Made by tools/readme.py from section 5 of {lesson.name}: change it there. -->",
        f"This is section 5 of [lesson 04]({lesson.name}), with the results of its stored run. The numbers of sections "
        "(3.1, 2.5 ...) are the lesson's.",
    ]
    pictures = 0
    for cell, text in zip(cells[first:last], heads[first:last], strict=True):
        if text:
            parts.append(
                re.sub(r"(?m)^(#+) 5\S* (.+?)(?: · \w+)?\n*$", lambda m: f"## {m[2]}" if m[1] == "###" else "", text)
            )
        for output in cell.get("outputs", []):
            html = "".join(output.get("data", {}).get("text/html", ""))
            for kind, data, alt in re.findall(r'<img src="data:image/(\w+);base64,([^"]+)" alt="([^"]*)"', html):
                pictures += 1
                name = f"pictures/reading_the_curves_{pictures}.{kind.replace('jpeg', 'jpg')}"
                parts.append(f"![{unescape(alt)}]({name})")
                yield folder / name, base64.b64decode(data)
            if "text" in output:
                parts.append(f"```text\n{''.join(output['text']).rstrip()}\n```")
    yield folder / "reading_the_curves.md", "\n\n".join(part.strip() for part in parts) + "\n"


def expected():
    """Yield (path, the text or bytes it should have) of every file that holds something generated."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    parts = {"lessons": lesson_table(), "clone": clone(), "windows": windows()}
    parts["colab"] = badge("notebooks/00_start_here.ipynb")
    for name, new in parts.items():
        text = fill(text, name, new, "README.md")
    yield path, text

    path = ROOT / "INSTRUCTORS.md"
    text = path.read_text(encoding="utf-8")
    parts = {"sessions": sessions(), "workshop": workshop()}
    parts |= {f"lesson-{number:02}": core_path(number) for number in numbered()}
    for name, new in parts.items():
        text = fill(text, name, new, "INSTRUCTORS.md")
    yield path, text

    path = ROOT / "CITATION.cff"
    text = re.sub(r"(?m)^version: .*$", f"version: {version()}", path.read_text(encoding="utf-8"))
    yield path, re.sub(r"(?m)^repository-code: .*$", f'repository-code: "{repository()}"', text)

    for path in notebooks():
        notebook = read(path)
        refresh(notebook, path.relative_to(ROOT))
        yield path, dump(notebook)
        if path.stem == "04_stable_training":
            yield from curves_page(path, notebook["cells"])


def lessons():
    """Return the paths of all lessons and appendices, in order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def notebooks():
    """Return the paths of all lessons and solutions, in order."""
    return lessons() + sorted((ROOT / "notebooks/solutions").glob("*.ipynb"))


def read(path):
    """Return a notebook as a dict."""
    return json.loads(path.read_text(encoding="utf-8"))


def dump(notebook):
    """Return a notebook as Jupyter writes it."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main(check=False):
    """Rewrite the files, or with `check` only name those that are out of date; return how many."""
    count = 0
    for path, new in expected():
        old = path.read_bytes() if path.exists() else b""
        if isinstance(new, str):
            new, old = new.encode("utf-8"), old.replace(b"\r\n", b"\n")  # as Git checks it out on Windows
        # How a notebook is spaced and ordered is no one's business; what it says is.
        same = old == new or (path.suffix == ".ipynb" and json.loads(old) == json.loads(new))
        if not same:
            count += 1
            print(f"{path.relative_to(ROOT)} {'is out of date: run python tools/readme.py' if check else 'rewritten'}")
            if not check:
                path.write_bytes(new)
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if anything is out of date")
    options = parser.parse_args()
    if main(options.check) and options.check:
        sys.exit(1)
