"""Make assignments for nbgrader of a lesson's exercises, and grade what students hand in.

    python tools/assignment.py make 03_measuring_faces            a notebook for the students
    python tools/assignment.py grade 03_measuring_faces FOLDER    FOLDER has ada.ipynb, bob.ipynb ...: points, and a page
                                                                  for each that says what is wrong

An assignment holds the exercises only, so grading takes seconds: for each exercise its text, the lesson's stub, a
locked cell that grades, and the self-check. The solution of `notebooks/solutions` stands between nbgrader's marks
BEGIN SOLUTION and END SOLUTION, the check between those of hidden tests; nbgrader takes both out of the release.
A point is a minute of the exercise's heading. Needs `pip install -e ".[lab,teach]"`.
"""

import argparse
import ast
import builtins
import csv
import itertools
import json
import os
import posixpath
import re
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import form
import readme

COURSE = readme.ROOT / "build" / "assignments"
SECONDS = 600  # for one cell of a student's notebook


@dataclass
class Exercise:
    """One exercise of a lesson, as the sources of the cells that an assignment needs."""

    title: str
    points: int
    core: bool
    text: list  # (cell_type, source): its words, and code that shows something
    solved: str  # the stub with the solution between nbgrader's marks
    names: list  # of its functions
    test: str  # calls the check
    check: str  # what the student runs


def statements(cells):
    """Yield (statement, source) for every top-level statement of code cells that are Python."""
    for cell in cells:
        text = form.source(cell)
        if re.search(r"(?m)^\s*[!%]", text):  # a magic
            continue
        for node in ast.parse(text).body:
            yield node, ast.get_source_segment(text, node)


def stubs(cell):
    """Return the functions of a cell that are still to be written."""
    return [
        node
        for node, _ in statements([cell])
        if isinstance(node, ast.FunctionDef) and ast.unparse(node.body[-1]) == "raise NotImplementedError"
    ]


def filled_in(stub, functions, solutions):
    """Return the stub's source with each function's body between nbgrader's marks."""
    lines = stub.splitlines()
    for function in reversed(functions):
        node, text = solutions[function.name]
        if ast.unparse(node.args) != ast.unparse(function.args):
            sys.exit(f"{function.name} takes other arguments in the solutions than in the lesson; make them the same.")
        body = node.body[1:] if ast.get_docstring(node) else node.body
        body = text.splitlines()[body[0].lineno - node.lineno :]
        at = function.body[-1].lineno - 1
        lines[at : at + 1] = ["    ### BEGIN SOLUTION", *body, "    ### END SOLUTION"]
    return "\n".join(lines)


def markdown(lines):
    """Return the text of an exercise as it can stand alone: without links into the glossary, other links in full."""
    text = form.LINK.sub(r"\1", "\n".join(lines)).strip()
    home = f"{readme.repository()}/blob/main"
    return re.sub(r"\]\((?!\w+:|#)([^)\s]+)", lambda m: f"]({home}/{posixpath.normpath('notebooks/' + m[1])}", text)


def exercises(name):
    """Return (imports, exercises) of a lesson. imports: {name: line} of all that lesson and solutions import."""
    lesson = readme.read(readme.ROOT / f"notebooks/{name}.ipynb")
    solved = readme.read(readme.ROOT / f"notebooks/solutions/{name}_solutions.ipynb")
    code = [cell for book in (lesson, solved) for cell in book["cells"] if cell["cell_type"] == "code"]
    imports = {}
    for node, _ in statements(code):
        for alias in getattr(node, "names", ()) if isinstance(node, ast.Import | ast.ImportFrom) else ():
            bound = alias.asname or alias.name.split(".")[0]
            one = ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], 0)
            imports[bound] = ast.unparse(one)
    answers = list(statements(cell for cell in solved["cells"] if cell["cell_type"] == "code"))
    solutions = {node.name: (node, text) for node, text in answers if isinstance(node, ast.FunctionDef)}

    found = []
    for section in form.sections(lesson):
        place = next((i for i, p in enumerate(section.parts) if not isinstance(p, str) and stubs(p)), None)
        if place is None:
            continue
        functions = stubs(section.parts[place])
        names = [function.name for function in functions]
        calls = [
            text
            for node, text in answers
            if names_given(node, imports) and set(names_given(node, imports)) <= set(names)
        ]
        if not calls:
            sys.exit(f"The solutions of {name} have no line that hands {', '.join(names)} to a check; add it.")
        call = "\n".join(dict.fromkeys(calls))
        stub = form.source(section.parts[place])
        after = [form.source(p) for p in section.parts[place + 1 :] if not isinstance(p, str)]
        check = next((text for text in after if "yours_or_ours" in text), call)
        text = []
        for is_text, group in itertools.groupby(section.parts[:place], lambda part: isinstance(part, str)):
            if is_text:
                text.append(("markdown", markdown(group)))
            else:
                sources = (form.source(cell) for cell in group)
                text += [("code", source) for source in sources if not missing([source], imports)]
        found.append(
            Exercise(
                title=section.title,
                points=section.exercise,
                core=section.mark == "core",
                text=text,
                solved=filled_in(stub, functions, solutions),
                names=names,
                test=f"{imports[call.split('.')[0]]}\n\n{call}",
                check=call if missing([stub, check], imports) else check,
            )
        )
    return imports, found


def names_given(node, imports):
    """Return the names that a statement hands to a check of the course, or none where it is another statement."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return []
    checker = getattr(getattr(node.value.func, "value", None), "id", "")
    known = "gan_course.exercises" in imports.get(checker, "")
    return [argument.id for argument in node.value.args if isinstance(argument, ast.Name)] if known else []


def missing(sources, imports):
    """Return the names that code uses, and neither defines nor imports."""
    stored, loaded = set(), set()
    for text in sources:
        for statement in ast.parse(text).body:
            new, used = form.names_in(statement)
            loaded |= used - stored
            stored |= new
    return loaded - set(imports) - set(dir(builtins)) - stored


def assignment(name, everything=False):
    """Return the notebook from which nbgrader makes the students' version and its own."""
    import nbformat

    imports, found = exercises(name)
    found = [exercise for exercise in found if exercise.points and (everything or exercise.core)]
    if not found:
        sys.exit(f"{name} has no exercise with a function to write.")
    sources = [text for x in found for text in (x.solved, x.test, x.check)]
    sources += [text for x in found for kind, text in x.text if kind == "code"]
    used = set().union(*(form.names_in(node)[1] for text in sources for node in ast.parse(text).body))
    lines = sorted({imports[bound] for bound in used & set(imports)})
    title = (
        f"# {form.label(name)}: exercises\n\nWrite each function in the place of `raise NotImplementedError`, and run the "
        "cell below it: it says what is not right yet. The cells that grade look empty; leave them as they are. Your "
        "function may use what stands in the first cell.\n\n"
        f"{sum(x.points for x in found)} points in all. Hand in this file under your own name: `yourname.ipynb`."
    )
    new = nbformat.v4
    cells = [
        new.new_markdown_cell(title),
        new.new_code_cell(
            "\n".join(["from gan_course import backend", "", *lines]), metadata=marks("set-up", locked=True)
        ),
    ]
    for number, x in enumerate(found, 1):
        key = f"{number:02}-{x.names[0]}"
        cells += [
            new.new_markdown_cell(f"## {x.title} ({x.points} points)"),
            *(getattr(new, f"new_{kind}_cell")(text) for kind, text in x.text),
            new.new_code_cell(x.solved, metadata=marks(f"{key}-solution", solution=True)),
            new.new_code_cell(
                f"# This cell grades {' and '.join(x.names)}: {x.points} points.\n"
                f"### BEGIN HIDDEN TESTS\n{x.test}\n### END HIDDEN TESTS",
                metadata=marks(key, grade=True, locked=True, points=x.points),
            ),
            new.new_code_cell(x.check),
        ]
    book = new.new_notebook(cells=cells)
    book.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return book


def marks(key, grade=False, solution=False, locked=False, **more):
    """Return the metadata by which nbgrader knows a cell."""
    cell = dict(grade_id=key, grade=grade, solution=solution, locked=locked, task=False, schema_version=3, **more)
    return {"nbgrader": cell}


# --- nbgrader -----------------------------------------------------------------------------------------


def nbgrader(course):
    """Return nbgrader's API for the course folder."""
    try:
        from nbgrader.apps import NbGraderAPI
        from sqlalchemy.exc import SAWarning
        from traitlets.config import Config
    except ImportError:
        sys.exit('nbgrader is not installed: pip install -e ".[lab,teach]"')
    warnings.simplefilter("ignore", SAWarning)  # of nbgrader 0.9.6 with SQLAlchemy 2.1, about its own objects
    # nbgrader starts `alembic` by its name, and finds it only in an activated environment.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    config = Config()
    config.CourseDirectory.root = str(Path(course).resolve())
    config.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
    config.Execute.timeout = SECONDS
    return NbGraderAPI(config=config)


def done(result, what):
    """Stop with nbgrader's own words where it failed."""
    if not result["success"]:
        sys.exit(f"nbgrader could not {what}:\n{result.get('log') or result.get('error')}")


def make(name, course=COURSE, everything=False):
    """Write the source of an assignment and its release; return the path of the release."""
    import nbformat

    source = Path(course) / "source" / name / f"{name}.ipynb"
    source.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(assignment(name, everything), source)
    done(nbgrader(course).generate_assignment(name, force=True, create=True), f"make the release of {name}")
    return Path(course) / "release" / name / f"{name}.ipynb"


def collect(name, folder, course=COURSE):
    """Copy FOLDER/student.ipynb to where nbgrader looks for it; return the students' names."""
    students = []
    for path in sorted(Path(folder).glob("*.ipynb")):
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            known = any("nbgrader" in cell["metadata"] for cell in cells)
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            print(f"{path.name} is no notebook of an assignment, and is left out; ask {path.stem} for another file.")
            continue
        target = Path(course) / "submitted" / path.stem / name / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        students.append(path.stem)
    if not students:
        sys.exit(f"{folder} holds no student.ipynb.")
    return students


def grade(name, folder, course=COURSE):
    """Grade the notebooks of a folder; write grades.csv and a page for each student; return the rows."""
    if not (Path(course) / "source" / name).exists():
        sys.exit(f"{name} is not an assignment of {course}; make it first.")
    os.environ.setdefault("GAN_COURSE_PROFILE", "smoke")  # the kernels inherit it
    api, rows = nbgrader(course), []
    for student in collect(name, folder, course):
        done(api.autograde(name, student, force=True, create=True), f"grade {student}")
        done(api.generate_feedback(name, student, force=True), f"write the page of {student}")
        graded = readme.read(Path(course) / "autograded" / student / name / f"{name}.ipynb")
        said = dict(verdicts(graded))
        with api.gradebook as book:
            grades = book.find_submission_notebook(name, name, student).grades
            for entry in sorted(grades, key=lambda entry: entry.cell.name):
                rows.append((student, entry.cell.name, entry.score, entry.max_score, said.get(entry.cell.name, "")))
    path = Path(course) / "grades" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("student", "exercise", "points", "of", "what the check says"))
        writer.writerows(rows)
    return path, rows


def verdicts(notebook):
    """Yield (cell's name, what its check said) for the cells that grade."""
    for cell in notebook["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        if about.get("grade"):
            said = []
            for output in cell.get("outputs", []):
                kind = output.get("ename", "NotYet")  # its sentence is enough
                said.append("" if kind in ("NotYet", "NotImplementedError") else f"{kind}: ")
                said.append(output.get("evalue", "".join(output.get("text", ""))))
            text = "".join(said)
            yield about["grade_id"], text.strip()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["make", "grade"])
    parser.add_argument("lesson", help="for example 03_measuring_faces")
    parser.add_argument("folder", nargs="?", help="grade: the folder with the students' notebooks")
    parser.add_argument("--all", action="store_true", help="make: optional exercises, too")
    parser.add_argument("--course", default=COURSE, type=Path, help="nbgrader's folder (default: build/assignments)")
    options = parser.parse_args(arguments)
    if options.lesson not in form.names():
        parser.error(f"there is no lesson {options.lesson}; give one of {', '.join(form.names())}")
    if options.what == "make":
        print(f"For the students: {make(options.lesson, options.course, options.all)}")
        return
    if not options.folder:
        parser.error("give the folder with the students' notebooks")
    path, rows = grade(options.lesson, options.folder, options.course)
    for student in dict.fromkeys(row[0] for row in rows):
        own = [row for row in rows if row[0] == student]
        print(f"{student}: {sum(row[2] for row in own):g} of {sum(row[3] for row in own):g} points")
    print(f"Points: {path}. A page for each student: {options.course / 'feedback'}.")


if __name__ == "__main__":
    main()
