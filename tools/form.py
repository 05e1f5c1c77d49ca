"""The form of a lesson: its header and footer, its sections, and the minutes that they take.

A lesson's words about itself stand in tools/lessons/NAME.toml. `header` and `footer` make its first and last cell of
them. Every section is marked core or optional, in its heading; a heading with minutes is an exercise:

    ### 1.3 A network finds the same · optional
    ### Exercise 2: the losses · core · 10 min

`problems` names what is not in this form. Needs nothing but Python.

    python tools/form.py          print the minutes of every lesson, and what is not in the form
"""

import ast
import re
import symtable
import tomllib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORDS_PER_MINUTE = 200  # of text and of code: slow, because the words are new
CORE_MINUTES = 90  # what a class has
PREDICTION, ANSWER = "**Predict first.**", "<summary>Compare with your guess</summary>"
HEADING = re.compile(r"^(#{2,3}) (.+?)(?: · (core|optional))?(?: · (\d+) min)?$")
LINK = re.compile(r'\[([^\[\]]+)\]\((?:\.\./)?glossary\.md#[a-z0-9-]+ "[^"]*"\)')  # of the glossary
FENCE = re.compile(r"^(```|~~~)")


@dataclass
class Section:
    """A heading and what stands under it, up to the next heading of level 2 or 3."""

    title: str
    mark: str | None = None
    exercise: int = 0  # minutes
    parts: list = field(default_factory=list)  # lines of Markdown, and code cells, in order

    @property
    def text(self):
        return [part for part in self.parts if isinstance(part, str) and part.strip()]

    @property
    def code(self):
        return [part for part in self.parts if not isinstance(part, str)]

    @property
    def words(self):
        return count("\n".join([*self.text, *(source(cell) for cell in self.code)]))

    @property
    def predictions(self):
        return "\n".join(self.text).count(PREDICTION)


def count(text):
    """Return how many words a reader reads: links of the glossary do not add any."""
    return len(LINK.sub(r"\1", text).split())


def source(cell):
    return "".join(cell["source"])


def tags(cell):
    return cell["metadata"].get("tags", [])


def sections(notebook):
    """Return the sections of a notebook (a dict), without its header and footer."""
    found = []
    for cell in notebook["cells"][1:]:
        if "footer" in tags(cell):
            continue
        if cell["cell_type"] == "code":
            if found:
                found[-1].parts.append(cell)
            continue
        fenced = False
        for line in ["", *source(cell).splitlines()]:
            fenced ^= bool(FENCE.match(line))
            heading = None if fenced else HEADING.match(line)
            if heading:
                _, title, mark, minutes = heading.groups()
                found.append(Section(title, mark, int(minutes or 0)))
            elif found:
                found[-1].parts.append(line)
    return found


def seconds(cells):
    """Return how long code cells ran, from the times that nbclient has recorded in them."""
    total = 0.0
    for cell in cells:
        times = cell["metadata"].get("execution", {})
        if "iopub.execute_input" in times and "shell.execute_reply" in times:
            begin, end = (datetime.fromisoformat(times[k]) for k in ("iopub.execute_input", "shell.execute_reply"))
            total += (end - begin).total_seconds()
    return total


def optional_cells(notebook):
    """Return the code cells of all optional sections."""
    return [cell for section in sections(notebook) if section.mark == "optional" for cell in section.code]


def minutes(notebook, about, run=0.0, core_run=0.0):
    """Return {"core" and "all": (read, run, exercises)}, in minutes. about: the lesson's `words`.

    Reading: the words of text and code, at 200 a minute. Run: as measured. Exercises: as their headings say, and one
    minute for each prediction.
    """
    around = count(str([about[key] for key in ("intro", "see", "goals", "needs", "recap")] + about.get("quiz", [])))
    table = {}
    for name, machine in (("core", core_run), ("all", run)):
        chosen = [s for s in sections(notebook) if name == "all" or s.mark != "optional"]
        reading = (around + sum(s.words for s in chosen)) / WORDS_PER_MINUTE
        table[name] = reading, machine, sum(s.exercise + s.predictions for s in chosen)
    return table


# --- header and footer --------------------------------------------------------------------------------


def words(name):
    """Return what a lesson says about itself (a dict), or None where it has no such file."""
    path = ROOT / "tools" / "lessons" / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def names():
    """Return the names of all lessons that have words, in order; the appendices come last."""
    return sorted(path.stem for path in (ROOT / "tools" / "lessons").glob("*.toml"))


def label(name):
    """Return `02 DCGAN`, or the short title of an appendix."""
    short = words(name)["short"]
    return f"{name[:2]} {short}" if name[0].isdigit() else short


def neighbours(name):
    """Return the names of the lessons before and after this one (None at an end)."""
    lessons = [None, *(n for n in names() if n[0].isdigit()), None]
    if name not in lessons:
        return None, None
    place = lessons.index(name)
    return lessons[place - 1], lessons[place + 1]


def bullets(lines):
    return "\n".join(f"- {line.strip()}" for line in lines)


def header(name, notebook, badge, table, measured):
    """Return the Markdown of a lesson's first cell. table: `minutes`. measured: one line about the machine."""
    about = words(name)
    before, after = neighbours(name)
    links = [badge]
    links += [f"back: [{label(before)}]({before}.ipynb)"] if before else []
    links += [f"on: [{label(after)}]({after}.ipynb)"] if after else []
    if (ROOT / "notebooks" / "solutions" / f"{name}_solutions.ipynb").exists():
        links += [f"[solutions](solutions/{name}_solutions.ipynb)"]
    links += ["[glossary](glossary.md)"]
    number = f"{name[:2]} · " if name[0].isdigit() else ""
    rows = [("everything", table["all"])]
    marks = "All of this notebook is optional."
    if any(s.mark == "core" for s in sections(notebook)):  # not an appendix
        rows.insert(0, ("core path", table["core"]))
        marks = (
            "Sections marked *core* make the core path; those marked *optional* can be left out, and everything after "
            "them still works."
        )
    times = [
        "| minutes | to read | to run | exercises and predictions | in all |",
        "|---|---|---|---|---|",
        *(
            f"| {row} | {' | '.join(f'{x:.0f}' for x in times)} | **{sum(round(x) for x in times)}** |"
            for row, times in rows
        ),
    ]
    parts = [
        f"# {number}{about['title']}",
        "<!-- This cell is made by tools/readme.py from tools/lessons. -->",
        " · ".join(links),
        about["intro"],
        f"![{about['alt']}]({about['picture']})\n\n**What you will see.** {about['see']}",
        f"**Afterwards you can**\n\n{bullets(about['goals'])}",
        f"**You need to know**\n\n{bullets(about['needs'])}",
        "\n".join(times),
        f"{marks} {measured}",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def footer(name):
    """Return the Markdown of a lesson's last cell."""
    about = words(name)
    parts = ["## What to remember", bullets(about["recap"])]
    if "quiz" in about:
        parts += ["## Quiz", "Answer first, then open the answer."]
        for i, item in enumerate(about["quiz"], 1):
            parts += [
                f"**{i}.** {item['question'].strip()}",
                f"<details>\n<summary>Answer</summary>\n\n{item['answer'].strip()}\n\n</details>",
            ]
    parts += ["## Further reading", bullets(about["reading"])]
    _, after = neighbours(name)
    if after:
        parts.append(f"**Next:** [{label(after)}]({after}.ipynb), {about['next'].strip().rstrip('.')}.")
    return "\n\n".join(part.strip() for part in parts) + "\n"


# --- what is not in the form --------------------------------------------------------------------------


def problems(notebook, about, core_run=0.0):
    """Return one sentence for everything in a lesson that is not in this form. about: the lesson's `words`."""
    found = []
    wanted = {"goals": (3, 5), "needs": (2, 4), "recap": (5, 5), "quiz": (4, 5)}
    for key, (least, most) in wanted.items():
        if not least <= len(about.get(key, ())) <= most:
            found.append(f"its words in tools/lessons have {len(about.get(key, ()))} {key}; give {least} to {most}")
    parts = sections(notebook)
    for s, following in zip(parts, [*parts, None][1:], strict=True):
        empty = not s.text and not s.code and following is not None
        if bool(s.mark) == empty:
            found.append(f"'{s.title}' needs {'no mark: it is empty' if empty else 'a mark, core or optional'}")
        if s.predictions != "\n".join(s.text).count(ANSWER):
            found.append(f"'{s.title}' has {s.predictions} predictions; each needs one folded answer: {ANSWER}")
    text = "\n".join(line for s in parts for line in s.text)
    if len(re.findall(r"(?m)^<details>$", text)) != len(re.findall(r"(?m)^</details>$", text)):
        found.append("a <details> is not closed: <details> and </details> stand on lines of their own")
    for cell in notebook["cells"]:
        if match := re.search(r"# (?:NBVAL_\w+|noqa|isort|fmt:).*", source(cell)):
            found.append(f"'{match[0]}' stands in a cell, where a student reads it: use a tag of the cell")
    core = sum(minutes(notebook, about, core_run=core_run)["core"])
    if core > CORE_MINUTES:
        found.append(
            f"the core path takes {core:.0f} minutes, more than {CORE_MINUTES}: shorten it, or mark more of it optional"
        )
    for name, title in missing_names(parts):
        found.append(f"'{title}' is core and uses {name}, which only an optional section before it defines")
    return found


def missing_names(parts):
    """Yield (name, section) for each name that core code uses and only optional code defines."""
    core, optional = set(), set()
    for s in parts:
        for cell in s.code:
            lines = (re.sub(r"^(\s*)[!%].*", r"\1pass", line) for line in source(cell).splitlines())
            for statement in ast.parse("\n".join(lines)).body:
                stored, loaded = names_in(statement)
                if s.mark == "optional":
                    optional |= stored
                else:
                    yield from ((name, s.title) for name in sorted((loaded & optional) - core))
                    core |= stored


def names_in(statement):
    """Return the global names that a statement stores and those that it loads."""
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    stored = {x.get_name() for x in table.get_symbols() if x.is_assigned() or x.is_imported()}
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        stored.add(statement.name)
    loaded = {x.get_name() for x in table.get_symbols() if x.is_referenced()}
    if not isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr):
        loaded -= stored  # a loop's own variable
    inner = list(table.get_children())
    while inner:
        scope = inner.pop()
        inner += scope.get_children()
        loaded |= {x.get_name() for x in scope.get_symbols() if x.is_global() and x.is_referenced()}
    return stored, loaded


if __name__ == "__main__":
    import readme

    for name in names():
        notebook = readme.read(ROOT / "notebooks" / f"{name}.ipynb")
        for path, (reading, machine, doing) in readme.times(notebook, name).items():
            total = f"{reading + machine + doing:4.0f} min"
            print(
                f"{name:26} {path:5}{total}   read {reading:.0f}, run {machine:.1f}, exercises and predictions {doing}"
            )
        for problem in problems(notebook, words(name), readme.times(notebook, name)["core"][1]):
            print(f"    {problem}")
