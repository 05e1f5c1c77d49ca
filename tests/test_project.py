"""The repository itself: README in date, lessons fit to be published, one version, tidy code."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import form
import lessons
import nbformat
import pytest
import readme
import sizes
import tensorflow as tf
import yaml

from gan_course import __version__, settings
from gan_course.errors import CourseError

ROOT = readme.ROOT
LESSONS = readme.lessons()
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))


def test_generated_parts_are_in_date(capsys):
    assert readme.main(check=True) == 0, capsys.readouterr().out


def test_every_lesson_has_its_words_and_its_solutions():
    assert {path.stem for path in LESSONS} == set(form.names())
    numbered = [name for name in form.names() if name[0].isdigit()]
    assert [int(name[:2]) for name in numbered] == list(range(11))
    assert {path.stem for path in SOLUTIONS} == {f"{name}_solutions" for name in numbered}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_is_fit_to_be_published(path):
    assert lessons.problems(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_solution_is_fit_to_be_published(path):
    notebook = nbformat.read(path, as_version=4)
    assert lessons.problems(notebook, executed=False) == []
    errors = [output.ename for cell in notebook.cells for output in cell.get("outputs", []) if "ename" in output]
    assert not errors, "a solved exercise raises nothing"


def test_pictures_and_links_of_the_markdown_files_exist():
    for path in [*ROOT.glob("*.md"), ROOT / "data/README.md", ROOT / "benchmarks/README.md"]:
        for alt, target in re.findall(r"(!?\[[^\]]*\])\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            assert alt != "![]", f"{path.name}: {target} has no alt text"
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target} does not exist"


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_name_the_versions_of_their_actions_and_commands_that_exist(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", True, "permissions", "jobs"} <= set(workflow)  # YAML reads the key `on` as True
    for job in workflow["jobs"].values():
        assert "runs-on" in job and job["timeout-minutes"] <= 90
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])
            elif step["run"].startswith("."):
                assert os.access(ROOT / step["run"], os.X_OK)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for used in re.findall(r'-e "?\.\[([\w,]+)\]', path.read_text(encoding="utf-8")):
        assert set(used.split(",")) <= set(extras)


def test_there_is_one_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" in project["dynamic"], "it stands in gan_course/__init__.py"


def test_the_two_backends_are_extras_and_requirements_is_the_default():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["-e .[tensorflow]"]
    for without in (project["dependencies"], project["optional-dependencies"]["torch"]):
        assert not any("tensor" in package for package in without)


def test_a_fork_changes_its_address_in_one_place():
    """No file but those that tools/readme.py writes may hold the address."""
    address = readme.repository().removeprefix("https://")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("not a git checkout")
    generated = {path for path, _ in readme.expected()} | {ROOT / "pyproject.toml"}
    for path in (ROOT / name for name in files.stdout.splitlines()):
        if path.suffix in (".py", ".md", ".toml", ".ipynb", "") and path.is_file() and path not in generated:
            assert address not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff(command):
    pytest.importorskip("ruff")
    done = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


# --- the tools ----------------------------------------------------------------------------------------


def notebook(*outputs, source="1", **more):
    cell = nbformat.v4.new_code_cell(source, execution_count=1, outputs=list(outputs), **more)
    return nbformat.v4.new_notebook(cells=[cell])


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def test_cleaning_keeps_what_the_student_wants_and_nothing_of_this_computer():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    book = notebook(
        stream(f"faces are in {ROOT}/data/toon\n"),
        stream("training:  12%|█▏   | 12/100 [00:01<00:09]\rtraining: 100%|██| 100/100 [00:09<00:00]\n", "stderr"),
        nbformat.v4.new_output("display_data", view | {"text/plain": "  0%|          | 0/3 [00:00<?, ?it/s]"}),
        nbformat.v4.new_output("display_data", view | {"text/plain": "interactive(children=(FloatSlider(...)))"}),
        metadata={"tags": ["keep"], "execution": {"iopub.status.busy": "2026-01-01"}},
    )
    book.metadata["widgets"] = {"state": {}}
    lessons.clean(book)
    text, control = book.cells[0].outputs
    assert text.text == "faces are in data/toon\n"
    assert control.data["text/markdown"] == lessons.CONTROLS
    assert book.cells[0].metadata == {"tags": ["keep"]} and "widgets" not in book.metadata
    assert lessons.problems(book) == []


@pytest.mark.parametrize(
    ("output", "word"),
    [
        (stream("oops\n", "stderr"), "stderr"),
        (stream("DeprecationWarning: old\n"), "warning"),
        (stream("/home/me/faces\n"), "path"),
        (stream("<object at 0x7f0011223344>\n"), "address"),
        (nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[]), "ValueError"),
        (nbformat.v4.new_output("error", ename="NotYet", evalue="no", traceback=["a\nb"]), "shows code"),
        (nbformat.v4.new_output("display_data", {"image/png": ""}), "alt text"),
        (
            nbformat.v4.new_output("display_data", {"text/html": '<img src="data:image/png;base64,/home/x">'}),
            "alt text",
        ),
        (stream("x" * lessons.LIMIT), "MB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_problems_are_found(output, word):
    found = lessons.problems(notebook(output))
    assert len(found) == 1 and word in found[0], found


def test_unsolved_exercises_are_no_problem_and_cells_run_in_order():
    stub = nbformat.v4.new_output("error", ename="NotImplementedError", evalue="", traceback=[])
    book = notebook(stub)
    assert lessons.problems(book) == []
    book.cells[0].execution_count = 2
    assert "top to bottom" in lessons.problems(book)[0]
    book.cells[0].execution_count = None
    assert lessons.problems(book, executed=False) == []


def test_the_meter_sees_memory_and_time_of_child_processes():
    with lessons.Meter(interval=0.02) as meter:
        subprocess.run([sys.executable, "-c", "import time; x = bytearray(200 * 2**20); time.sleep(0.5)"], check=True)
    assert 200 < meter.peak / 2**20 < 400
    assert 0.5 < meter.seconds < 30


def test_steps_of_a_lesson_can_be_lowered(monkeypatch):
    by_profile = dict(smoke=5, laptop=3000, gpu=9000)
    assert settings.training_steps(**by_profile) == 5
    for most, steps in (("2", 2), ("7", 5), ("", 5)):
        monkeypatch.setenv("GAN_COURSE_STEPS", most)
        assert settings.training_steps(**by_profile) == steps
    monkeypatch.setenv("GAN_COURSE_STEPS", "few")
    with pytest.raises(CourseError, match="GAN_COURSE_STEPS is 'few'; give a whole number"):
        settings.training_steps(**by_profile)


def test_the_memory_of_a_training_is_counted(tmp_path, monkeypatch, pictures):
    import keras

    from gan_course.training.base import Trainer
    from gan_course.training.gan import GAN

    g = keras.Sequential([keras.Input((3,)), keras.layers.Dense(768), keras.layers.Reshape((16, 16, 3))])
    d = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    gan = GAN(g, d, r1_gamma=1.0)
    gan.compile()
    monkeypatch.setattr(Trainer, "fit", Trainer.fit)  # watch() replaces it
    sizes.watch(tmp_path / "trainings")
    dataset = tf.data.Dataset.from_tensor_slices(pictures).batch(8)
    gan.fit(dataset, steps_per_epoch=1, verbose=0)
    gan.fit(dataset, steps_per_epoch=1, verbose=0)
    line, again = (json.loads(x) for x in (tmp_path / "trainings").read_text().splitlines())
    trained, drawing, looking = (3 + 1) * 768 + 769, 2 * 768, 768 + 1
    assert line == again and line["picture"] == [16, 16, 3] and line["batch"] == 8 and line["weights"] == trained
    averaged = 4 * 768
    assert line["bytes"] == 4 * (4 * trained + averaged) + 4 * 2 * 8 * (drawing + 2 * looking) * 2


@pytest.fixture
def small_course(tmp_path, monkeypatch):
    """A copy of the repository's shape in which a test may run and store a lesson."""
    for name in ("README.md", "INSTRUCTORS.md", "CITATION.cff", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "gan_course").mkdir()
    shutil.copy(ROOT / "gan_course/__init__.py", tmp_path / "gan_course")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "tools/lessons").mkdir(parents=True)
    shutil.copy(ROOT / "tools/lessons/00_start_here.toml", tmp_path / "tools/lessons")
    for module in (readme, lessons, form):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(readme, "RESULTS", tmp_path / "benchmarks/results/lessons.json")
    # The set-up cell imports TensorFlow; in this copy it need not.
    (tmp_path / "gan_course/backend.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def write_lesson(course, *sources):
    title = nbformat.v4.new_markdown_cell("# Title")
    new = {True: nbformat.v4.new_markdown_cell, False: nbformat.v4.new_code_cell}
    cells = [new[source.startswith("## ")](source) for source in sources]
    path = course / "notebooks/00_start_here.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[title, *cells]), path)
    return path


def test_a_lesson_is_measured_and_stored_and_the_readme_tells(small_course):
    path = write_lesson(small_course, "import os\nprint(6 * 7, os.getcwd())")
    assert lessons.run(path, "laptop", store=True) == []
    assert nbformat.read(path, as_version=4).cells[-2].outputs[0].text == "42 notebooks\n"
    measured = readme.results()["00_start_here", "laptop"]
    assert 0 < measured["minutes"] < 1 and measured["peak_mib"] > 20
    readme.main()
    assert readme.main(check=True) == 0
    assert "Measured: `laptop`" in path.read_text(encoding="utf-8")
    assert readme.cost(measured) in (small_course / "README.md").read_text(encoding="utf-8")


def test_the_core_path_runs_without_the_optional_cells(small_course):
    path = write_lesson(
        small_course, "## 1 A · core", "a = 1", "## 2 B · optional", "1 / 0", "## 3 C · core", "print(a)"
    )
    assert "division by zero" in lessons.run(path, "smoke", store=False)[0]
    before = path.read_text()
    assert lessons.run(path, "smoke", store=False, core=True) == []
    assert path.read_text() == before and not readme.RESULTS.exists()


def test_a_lesson_with_a_warning_is_not_stored(small_course):
    path = write_lesson(small_course, "import warnings\nwarnings.warn('old')")
    before = path.read_text()
    assert "stderr" in lessons.run(path, "laptop", store=True)[0]
    assert path.read_text() == before and not readme.RESULTS.exists()


def test_a_lesson_that_fails_is_not_stored(small_course):
    path = write_lesson(small_course, "print('so far')", "raise ValueError('too bad')")
    before = path.read_text()
    assert "too bad" in lessons.run(path, "laptop", store=True)[0]
    assert path.read_text() == before and not readme.RESULTS.exists()


def test_a_fork_gets_its_own_links(small_course):
    path = write_lesson(small_course, "print(1)")
    project = small_course / "pyproject.toml"
    project.write_text(
        re.sub(r'Repository = ".*"', 'Repository = "https://github.com/me/my-course"', project.read_text())
    )
    assert readme.main() == 4 and readme.main(check=True) == 0  # README, INSTRUCTORS, CITATION, the lesson
    assert "OWNER" not in (small_course / "README.md").read_text()
    book = nbformat.read(path, as_version=4)
    assert "github/me/my-course/blob/main/notebooks/00_start_here.ipynb" in book.cells[0].source
    assert "git clone -q --depth 1 https://github.com/me/my-course /content/my-course" in book.cells[1].source
