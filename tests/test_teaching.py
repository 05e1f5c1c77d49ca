"""What an instructor takes to class: INSTRUCTORS.md, assignments for nbgrader, a stick, slides."""

import ast
import csv
import importlib.util
import re
import shutil
import subprocess
import zipfile

import assignment
import form
import nbformat
import pytest
import readme
import slides
import stick

from gan_course.data import npm

NUMBERED = [name for name in form.names() if name[0].isdigit()]
LESSON = "03_measuring_faces"


# --- INSTRUCTORS.md -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMBERED)
def test_the_instructors_page_has_every_lesson(name):
    text = (readme.ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
    part = next(part for part in re.split(r"(?m)^### ", text) if part.startswith(f"{name[:2]} "))
    assert len(re.findall(r"(?m)^\d\. \*.+\* .*A good answer", part)) == 3, "three prompts with a good answer each"
    assert "**What goes wrong**\n\n| you see | remedy |" in part and "**Before class**" in part


def test_the_minutes_of_a_core_path_are_those_of_its_sections():
    for number in range(len(NUMBERED)):
        table = re.findall(r"(?m)^\| .* \| ([\d.]+) \| (\d*) \|$", readme.core_path(number))
        reading, machine, doing = readme.core_minutes(number)
        assert sum(int(do or 0) for _, do in table) == doing
        assert sum(float(words) for words, _ in table) == pytest.approx(reading, abs=0.05 * len(table))
        assert f"{readme.whole((reading, machine, doing))} minutes" in readme.core_path(number)


def test_a_day_of_the_workshop_has_its_breaks(monkeypatch):
    monkeypatch.setattr(readme, "core_minutes", lambda number: (50, 8, 0))
    rows = [line for line in readme.workshop().splitlines() if line.startswith("| 1 ")]
    times = [re.findall(r"\d+:\d\d", row) for row in rows]
    assert times == [["9:00", "10:00"], ["10:15", "11:15"], ["12:15", "13:15"], ["13:30", "14:30"]]


# --- assignments --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMBERED)
def test_every_function_to_write_becomes_an_exercise_with_its_check(name):
    """What a cell uses must stand above it, so that an assignment runs alone."""
    notebook = assignment.assignment(name, everything=True)
    wanted = [
        f.name
        for section in form.sections(readme.read(readme.ROOT / f"notebooks/{name}.ipynb"))
        if section.exercise
        for cell in section.code
        for f in assignment.stubs(cell)
    ]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    graded = [cell for cell in code if cell.metadata.get("nbgrader", {}).get("grade")]
    assert wanted and [word for cell in graded for word in handed_to_check(cell)] == wanted
    stored, missing = set(dir(__builtins__)) | set(__builtins__), set()
    for cell in code:
        for statement in ast.parse(cell.source).body:
            new, used = form.names_in(statement)
            missing |= used - stored - new
            stored |= new
    assert not missing
    minutes = re.findall(r"(?m)^## .* \((\d+) points\)$", "\n".join(cell.source for cell in notebook.cells))
    assert [cell.metadata.nbgrader.points for cell in graded] == [int(x) for x in minutes]


def handed_to_check(cell):
    """The names that a graded cell hands to its checks."""
    calls = [node.value for node in ast.parse(cell.source).body if isinstance(node, ast.Expr)]
    return [argument.id for call in calls for argument in call.args]


def test_a_solution_with_other_arguments_is_refused():
    node = ast.parse("def f(a):\n    return a").body[0]
    stub = "def f(b):\n    raise NotImplementedError"
    with pytest.raises(SystemExit, match="f takes other arguments"):
        assignment.filled_in(stub, ast.parse(stub).body, {"f": (node, "def f(a):\n    return a")})


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    """(course, folder): an assignment, and what four students hand in; the last is no notebook."""
    if not importlib.util.find_spec("nbgrader"):
        pytest.skip("nbgrader is not installed; it is in the extra 'teach'")
    course, folder = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("handed_in")
    release = nbformat.read(assignment.make(LESSON, course), as_version=4)
    source = nbformat.read(course / "source" / LESSON / f"{LESSON}.ipynb", as_version=4)
    everything = "\n".join(cell.source for cell in release.cells)
    assert "SOLUTION" not in everything and "HIDDEN" not in everything and "eigvals(cov_a" not in everything
    shutil.copy(course / "release" / LESSON / f"{LESSON}.ipynb", folder / "empty.ipynb")
    for student in ("right", "wrong"):
        for cell, full in zip(release.cells, source.cells, strict=True):
            about = cell.metadata.get("nbgrader", {})
            if about.get("solution"):
                cell.source = re.sub(r" +### (BEGIN|END) SOLUTION\n?", "", full.source)
                if (
                    student == "wrong"
                ):  # the distance is not squared, the order is turned round, and the check is spoilt
                    cell.source = cell.source.replace("np.sum((", "np.linalg.norm((").replace(" ** 2)", ")")
                    cell.source = cell.source.replace('[one["name"], other["name"]]', '[other["name"], one["name"]]')
                    cell.source += "\ncheck = None"
            elif about.get("grade") and student == "wrong":
                cell.source = "pass"
        nbformat.write(release, folder / f"{student}.ipynb")
    (folder / "torn.ipynb").write_text('{"cells": [', encoding="utf-8")
    return course, folder


def test_right_wrong_and_empty_are_graded(handed_in, capsys):
    course, folder = handed_in
    path, rows = assignment.grade(LESSON, folder, course)
    assert "torn.ipynb is no notebook of an assignment" in capsys.readouterr().out
    points = {student: [row[2:4] for row in rows if row[0] == student] for student in ("right", "wrong", "empty")}
    assert points["right"] == [(12, 12), (8, 8)] and points["wrong"] == points["empty"] == [(0, 12), (0, 8)]
    said = {(row[0], row[1]): row[4] for row in rows}
    assert said["right", "02-comparable"].startswith("Right: only S and P")
    assert "The distance of the means is not squared" in said["wrong", "01-frechet"]
    assert "The pair is right, but not its order" in said["wrong", "02-comparable"]
    assert "Not written yet: frechet" in said["empty", "01-frechet"]
    with open(path, newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 6
    page = (course / "feedback" / "wrong" / LESSON / f"{LESSON}.html").read_text(encoding="utf-8")
    assert "The distance of the means is not squared" in page and "Traceback (most" not in page


def test_a_folder_without_notebooks_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"holds no student\.ipynb"):
        assignment.collect(LESSON, tmp_path, tmp_path)
    with pytest.raises(SystemExit, match="is not an assignment of"):
        assignment.grade(LESSON, tmp_path, tmp_path)


# --- the stick ----------------------------------------------------------------------------------------


def git_checkout():
    if subprocess.run(["git", "rev-parse"], cwd=readme.ROOT, capture_output=True).returncode:
        pytest.skip("not a git checkout")


def test_a_stick_holds_the_course_the_faces_and_how_to_install(tmp_path):
    git_checkout()
    from gan_course.data import toon

    toon.render(tmp_path / "toon", 24, 0, 64)
    stick.main([str(tmp_path / "stick"), "--no-wheels", "--no-solutions", "--faces", str(tmp_path / "toon")])
    assert {path.name for path in (tmp_path / "stick").iterdir()} == {"README.txt", "faces.zip", "gan-course.zip"}
    for name, place in (("gan-course.zip", tmp_path), ("faces.zip", tmp_path / "gan-course/data")):
        with zipfile.ZipFile(tmp_path / "stick" / name) as archive:
            archive.extractall(place)
    course = tmp_path / "gan-course"
    assert (course / f"notebooks/{LESSON}.ipynb").exists() and (course / "pyproject.toml").exists()
    assert not (course / "notebooks/solutions").exists()
    times = {path: path.stat().st_mtime_ns for path in (course / "data/toon").rglob("*.jpg")}
    assert len(times) == 24 and toon.ensure(course / "data/toon")
    assert times == {path: path.stat().st_mtime_ns for path in (course / "data/toon").rglob("*.jpg")}, (
        "nothing is drawn"
    )
    with pytest.raises(SystemExit):
        stick.main([str(tmp_path / "stick"), "--no-wheels", "--faces", str(course)])


def test_the_stick_asks_for_all_that_the_lab_needs():
    lines = stick.requirements(["lab"])
    assert {"keras", "setuptools", "tensorflow", "jupyterlab"} <= {re.match(r"[\w-]+", line)[0] for line in lines}
    assert not any("gan-course" in line for line in lines)


# --- slides -------------------------------------------------------------------------------------------


def test_the_rule_that_chooses_what_a_slide_shows():
    text = (
        "First words.\n\nSecond words.\n\n**Predict first.** What?\n\n$$ x^2 $$\n\n- a\n- b\n\n| a | b |\n|---|---|\n| 1 | 2 |"
        "\n\n<details>\n<summary>Compare with your guess</summary>\n\nThis.\n\n</details>\n\n```\ncode\n\n- no list\n```"
    )
    kinds = "text text question formula list table answer".split()
    found = list(slides.blocks(text.splitlines()))
    assert [kind for kind, _ in found] == kinds and found[6][1] == "This."
    picture = '<img src="data:image/png;base64,eA==" alt="A face">'
    output = nbformat.v4.new_output("display_data", {"text/html": picture})
    cell = nbformat.v4.new_code_cell("draw()", outputs=[output])
    section = form.Section("1 Look", "core", 0, [*text.splitlines(), cell])
    pages = ["".join(slide) for slide in slides.section_slides(section, slides.renderer())]
    everything = "".join(pages)
    assert all(page.startswith("<h2>1 Look</h2>") for page in pages)
    assert "First words" in pages[0] and "Second words" not in everything and "no list" not in everything
    assert everything.index("What?") < everything.index("This.") and picture in pages[-1]
    assert not any("What?" in page and "This." in page for page in pages), "a question and its answer share no slide"


def test_a_long_table_is_split_and_keeps_its_heading():
    table = "| a |\n|---|\n" + "\n".join(f"| {'word ' * 60} |" for _ in range(5))
    parts = list(slides.split(table))
    assert len(parts) == 3 and all(part.startswith("| a |\n|---|\n| word") for part in parts)


def test_slides_show_every_picture_of_the_core_path_and_ask_no_server():
    page = slides.lesson(LESSON)
    notebook = readme.read(readme.ROOT / f"notebooks/{LESSON}.ipynb")
    core = [cell for section in form.sections(notebook) if section.mark == "core" for cell in section.code]
    shown = [picture for cell in core for picture in slides.pictures(cell)]
    assert shown and all(picture in page for picture in shown)
    assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(?!assets/|data:)', page) == []
    for item in form.words(LESSON)["quiz"]:
        assert page.count(slides.renderer()(item["question"]).strip()) == 2  # alone, and with its answer


LAID_OUT = """() => Reveal.getSlides().map((slide) => {
  const { h, v } = Reveal.getIndices(slide);
  Reveal.slide(h, v);
  const frame = slide.getBoundingClientRect(), scale = Reveal.getScale();
  const boxes = [...slide.querySelectorAll(":not(svg, svg *, .katex-mathml, .katex-mathml *)")]
    .map((part) => part.getBoundingClientRect());
  return {
    place: [h, v],
    width: Math.round(Math.max(...boxes.map((box) => box.right - frame.left)) / scale),
    height: Math.round(Math.max(...boxes.map((box) => box.bottom - frame.top)) / scale),
    math: slide.querySelectorAll(".math").length,
  };
})"""


def test_slides_in_a_browser(browser, fetched, tmp_path):
    """Every slide fits its frame and draws its formulas; keys turn the pages; nothing is asked for, nothing complains."""
    for package in (npm.REVEAL, npm.KATEX):
        fetched(package)
    slides.main([LESSON, "--all", "--out", str(tmp_path)])
    wrong = []
    with browser.new_context(viewport={"width": 1280, "height": 720}) as context:
        page = context.new_page()
        page.on("request", lambda r: r.url.startswith((tmp_path.as_uri(), "data:")) or wrong.append(r.url))
        page.on("requestfailed", lambda r: wrong.append(f"failed: {r.url}"))
        page.on("console", lambda m: wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((tmp_path / f"{LESSON}.html").as_uri())
        page.wait_for_function("Reveal.isReady()")
        assert page.locator("section.present h1").inner_text().startswith(LESSON[:2])
        page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
        assert all(page.locator("img").evaluate_all("all => all.map((image) => image.alt.trim())"))
        for key, place in (("ArrowRight", [1, 0]), ("ArrowRight", [2, 0]), ("ArrowDown", [2, 1]), ("ArrowUp", [2, 0])):
            page.keyboard.press(key)
            assert page.evaluate("(({ h, v }) => [h, v])(Reveal.getIndices())") == place

        seen = page.evaluate(LAID_OUT)
        assert len(seen) > 20 and [s for s in seen if s["width"] > 1280 or s["height"] > 720] == []
        assert sum(s["math"] for s in seen) == page.locator(".math > .katex, .math > .katex-display").count() > 10
        assert page.locator(".katex-error").count() == 0

        page.evaluate((fetched(npm.AXE) / "axe.min.js").read_text(encoding="utf-8"))
        for place in ([0, 0], next(s["place"] for s in seen if s["math"]), seen[-1]["place"]):
            page.evaluate("([h, v]) => Reveal.slide(h, v)", place)
            told = page.evaluate("axe.run(document, { resultTypes: ['violations'], preload: false })")["violations"]
            wrong += [
                f"{place}: {v['id']} {v['nodes'][0]['html']}" for v in told if v["impact"] in ("serious", "critical")
            ]
    assert wrong == []
