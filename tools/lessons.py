"""Execute lessons, store their outputs, and measure minutes and memory.

    python tools/lessons.py --profile laptop                     every lesson, in order
    python tools/lessons.py --profile laptop 02_dcgan            this one
    python tools/lessons.py --profile laptop solutions/02_dcgan_solutions
    python tools/lessons.py --profile smoke                      measure only: smoke's pictures are worthless
    python tools/lessons.py --profile gpu --steps 2              does every lesson run with its GPU sizes? Nothing is
                                                                 stored; what each training needs of a GPU is counted

A lesson is written back only when all of it ran, and only when its outputs are fit to be published: no warnings,
no paths of this computer, not too large. The measurements go to benchmarks/results/lessons.json, and from there
into README.md and the lesson itself (tools/readme.py).
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import form
import nbformat
import psutil
import readme
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from gan_course.files import atomic_write

ROOT = readme.ROOT
LIMIT = 3_000_000  # bytes of a stored notebook
T4, CUDA = 16e9, 1e9  # bytes of Colab's GPU, and what CUDA itself takes of them
EXPECTED = ("NotImplementedError", "NotYet")  # the errors of an exercise that is not solved yet
PRIVATE = re.compile(r"/(?:work|home|root|tmp|Users)/[^\s\"']*")
ENCODED = re.compile(r"data:image/\w+;base64,[\w+/=]+")
BAR = re.compile(r"\d%\||\[\d\d:\d\d.*\]\s*$")  # a line of tqdm
CONTROLS = "*Run this cell to get its controls.*"


class Meter:
    """Measure wall time and the peak of the resident memory of all our child processes, in a `with` block.

    Memory that processes share is counted once for each, so with several processes the peak is an upper bound.
    """

    def __init__(self, interval=0.2):
        self.interval, self.peak, self.seconds = interval, 0, 0.0

    def __enter__(self):
        self.start, self.done = time.perf_counter(), threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self):
        me = psutil.Process()
        while not self.done.wait(self.interval):
            total = 0
            for child in me.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:  # it has just ended
                    continue
            self.peak = max(self.peak, total)

    def __exit__(self, *exception):
        self.done.set()
        self.thread.join()
        self.seconds = time.perf_counter() - self.start


def execute(notebook, folder):
    """Run all cells of `notebook` in place, in a new kernel whose working directory is `folder`."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        coalesce_streams=True,
    ).execute()


def clean(notebook):
    """Remove in place what belongs to this run or computer only: paths, progress bars, controls."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
        if cell.cell_type == "code":
            cell.outputs = [new for new in map(_clean_output, cell.outputs) if new is not None]


def _clean_output(output):
    if output.output_type == "stream":
        output.text = _relative(output.text)
        if output.name == "stderr":
            lines = re.split(r"[\r\n]+", output.text)
            output.text = "".join(f"{line}\n" for line in lines if line.strip() and not BAR.search(line))
        return output if output.text else None
    if output.output_type == "error":
        output.evalue = _relative(output.evalue)
        output.traceback = [_relative(line) for line in output.traceback]
        return output
    data = output.data
    if "application/vnd.jupyter.widget-view+json" in data:
        # A live control cannot be stored. A progress bar leaves nothing, anything else a note where it will be.
        if BAR.search(data.get("text/plain", "").strip()):
            return None
        return nbformat.v4.new_output("display_data", {"text/markdown": CONTROLS, "text/plain": CONTROLS})
    for kind, value in data.items():
        if isinstance(value, str) and kind.startswith("text/") and "data:image" not in value:
            data[kind] = _relative(value)
    return output


def _relative(text):
    for path, short in ((sys.prefix, ".venv"), (str(ROOT), "."), (str(Path.home()), "~")):
        text = text.replace(path + os.sep, "" if short == "." else short + "/")
        text = re.sub(re.escape(path) + r"(?![\w.-])", short, text)
    return text


def problems(notebook, executed=True):
    """Return one sentence for each thing that keeps `notebook` from being published.

    executed: also demand that every code cell has run, in order.
    """
    found = []
    size = len(nbformat.writes(notebook).encode())
    if size > LIMIT:
        found.append(f"it takes {size / 1e6:.1f} MB, more than {LIMIT / 1e6:.0f} MB: show fewer or smaller pictures")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    if (executed or any(counts)) and counts != list(range(1, len(code) + 1)):
        found.append("its cells have not been executed from top to bottom: run make lessons")
    for number, cell in enumerate(notebook.cells):
        where = f"cell {number} ({cell.source.strip().splitlines()[0][:50] if cell.source.strip() else 'empty'})"
        for alt in re.findall(r"!\[([^\]]*)\]\(", cell.source) if cell.cell_type == "markdown" else []:
            if not alt.strip():
                found.append(f"{where}: a picture without alt text")
        if match := PRIVATE.search(cell.source):
            found.append(f"{where}: a path of one computer, {match[0]}")
        for output in cell.get("outputs", []):
            found += [f"{where}: {problem}" for problem in _output_problems(output)]
    return found


def _output_problems(output):
    if output.output_type == "error":
        if output.ename not in EXPECTED:
            yield f"{output.ename}: {output.evalue}"
        text = "\n".join(output.traceback)
        if "\n" in text.strip():
            yield "an error of more than one line shows code: the cell comes before the check, or uses a stub itself"
    elif output.output_type == "stream":
        text = output.text
        if output.name == "stderr":
            yield f"a message on stderr: {text.strip().splitlines()[0][:150]}"
    else:
        data = output.data
        text = "\n".join(ENCODED.sub("", value) for kind, value in data.items() if kind.startswith("text/"))
        if any(kind.startswith("image/") for kind in data):
            yield "a picture whose alt text gets lost: show it with gan_course.show"
        if re.search(r"<img(?![^>]*\balt=)", data.get("text/html", "")):
            yield "an <img> without alt text"
        if any("widget" in kind for kind in data):
            yield "a stored widget: run make lessons"
    if match := PRIVATE.search(text):
        yield f"a path of one computer, {match[0]}"
    if match := re.search(r"\b\w{0,60}Warning: .*", text):
        yield f"a warning: {match[0][:150]}"
    if match := re.search(r"\bat 0x[0-9a-fA-F]{6,}", text):
        yield f"an address in memory, which nobody wants to read: {match[0]}"
    if len(platform.node()) > 5 and platform.node() in text:
        yield f"the name of this computer, {platform.node()}"


def device(profile):
    """Return what did the work: `2 CPU cores`, or the GPU's name."""
    if profile == "gpu" and shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return f"{len(psutil.Process().cpu_affinity()) if sys.platform == 'linux' else os.cpu_count()} CPU cores"


def record(lesson, profile, meter, optional):
    """Write one measurement to the results; an older one of the same lesson and profile is replaced.

    optional: the seconds that its optional cells took.
    """
    tensorflow = importlib.metadata.packages_distributions()["tensorflow"][0]  # or tensorflow-cpu
    entry = {
        "lesson": lesson,
        "profile": profile,
        "minutes": round(meter.seconds / 60, 2),
        "core_minutes": round((meter.seconds - optional) / 60, 2),
        "peak_mib": round(meter.peak / 2**20),
        "device": device(profile),
        "python": platform.python_version(),
        "tensorflow": importlib.metadata.version(tensorflow),
        "keras": importlib.metadata.version("keras"),
        "date": datetime.date.today().isoformat(),
    }
    entries = readme.results() | {(lesson, profile): entry}
    readme.RESULTS.parent.mkdir(parents=True, exist_ok=True)
    _write(readme.RESULTS, json.dumps([entries[key] for key in sorted(entries)], indent=1) + "\n")


def _write(path, text):
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def run(path, profile, store, core=False, trainings=None):
    """Execute one notebook; return a list of what is wrong with it (empty: it was stored or measured).

    core: leave out the code of its optional sections. trainings: a file for what each training needs (see sizes.py).
    """
    notebook = readme.read(path)
    readme.refresh(notebook, path.relative_to(ROOT))
    if core:
        left_out = form.optional_cells(notebook)
        notebook["cells"] = [cell for cell in notebook["cells"] if not any(cell is x for x in left_out)]
    notebook = nbformat.reads(json.dumps(notebook), as_version=4)
    if trainings:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(f"import sizes\n\nsizes.watch({str(trainings)!r})"))
    try:
        with Meter() as meter:
            execute(notebook, path.parent)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return [str(error)]
    optional = form.seconds(form.optional_cells(notebook))
    if not trainings:
        clean(notebook)
        found = problems(notebook)
        if found:
            return found
    if path.parent.name == "notebooks" and not core and not trainings:
        record(path.stem, profile, meter, optional)
    if store:
        _write(path, nbformat.writes(notebook) + "\n")
    print(f"{path.stem}: {meter.seconds / 60:.1f} minutes, {meter.peak / 2**20:.0f} MiB{', stored' if store else ''}")
    return []


def tell_needs(trainings):
    """Print each training of a lesson once, with the GPU memory that it needs by count."""
    lines = trainings.read_text(encoding="utf-8").splitlines() if trainings.exists() else []
    for line in dict.fromkeys(lines):
        t = json.loads(line)
        fits = "fits" if t["bytes"] < T4 - CUDA else "DOES NOT FIT"
        print(
            f"    {t['class']}: {t['weights']:,} weights, {t['batch']} pictures of {'x'.join(map(str, t['picture']))} a step: "
            f"{t['bytes'] / 1e9:.2f} GB, {fits} into a T4"
        )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="02_dcgan or solutions/02_dcgan_solutions; default: every lesson")
    parser.add_argument("--profile", choices=["smoke", "laptop", "gpu"], default="laptop", help="default: laptop")
    parser.add_argument("--solutions", action="store_true", help="the solutions of all lessons instead of the lessons")
    parser.add_argument("--no-store", action="store_true", help="measure only")
    parser.add_argument("--steps", type=int, help="at most so many steps for each training; nothing is stored")
    parser.add_argument("--core", action="store_true", help="without the optional sections; nothing is stored")
    options = parser.parse_args(arguments)

    home = ROOT / "notebooks"
    paths = [home / f"{name.removesuffix('.ipynb')}.ipynb" for name in options.names]
    paths = paths or sorted((home / "solutions" if options.solutions else home).glob("*.ipynb"))
    for path in paths:
        if not path.is_file():
            parser.error(f"{path} does not exist; give names as in notebooks/, for example 02_dcgan")
    store = not (options.no_store or options.core or options.steps or options.profile == "smoke")
    if store and os.environ.get("GAN_COURSE_FACES"):
        print("GAN_COURSE_FACES is set, so nothing is stored: photographs of people do not belong into the lessons.")
        store = False

    os.environ["GAN_COURSE_PROFILE"] = options.profile
    if options.steps:
        os.environ["GAN_COURSE_STEPS"] = str(options.steps)
    search = [str(ROOT), str(ROOT / "tools"), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, search))
    sys.path.insert(0, str(ROOT))
    from gan_course.data import toon

    toon.ensure()  # not part of a lesson's minutes
    failed = 0
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            trainings = Path(folder) / "trainings" if options.steps else None
            found = run(path, options.profile, store, options.core, trainings)
            if trainings:
                tell_needs(trainings)
        failed += bool(found)
        if found:
            print("\n  ".join([f"{path.relative_to(ROOT)} was not stored:", *found]), file=sys.stderr)
    readme.main()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
