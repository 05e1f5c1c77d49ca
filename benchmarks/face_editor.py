"""From slider to picture: how long the face editor takes for one change, seen from the browser.

    python benchmarks/face_editor.py [--generator stylegan-toon-64] [--changes 100] [--plain] [--browser /usr/bin/chromium]

Starts JupyterLab with a notebook that holds the editor of a network of cartoons (in the space w, if it has one), opens it in
Chromium, and presses the arrow key on a slider. Measured is the time from the key to the new picture in the page; so it
holds the way to the kernel, the move, the network and the way back. Goal: 95% of the changes within 50 ms at 64x64 on two
cores.

Needs Playwright (`pip install playwright`) and a Chromium. Writes results/face_editor.json beside this file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import nbformat
import psutil
from page import report, summary

ROOT = Path(__file__).resolve().parent.parent
PORT = 8899
CELL = """
from gan_course import backend
from gan_course import pretrained
from gan_course.latent.axes import find_axes
from gan_course.training.classifier import attribute_network
from gan_course.widgets.face_editor import FaceEditor

generator = pretrained.load("{}")
space = "w" if hasattr(generator, "synthesize") else "z"
axes = find_axes(generator, *attribute_network("attributes-toon-steer"), space=space, count=500)
FaceEditor(generator, axes).controls()
"""
FACE = "canvas[title^='press and hold']"
PRESS = """
async (face) => {
  const handle = [...document.querySelectorAll(".noUi-handle")].find((x) => x.offsetParent);
  const canvas = document.querySelector(face), old = canvas.ariaLabel, begin = performance.now();
  const changed = new Promise((resolve) => {  // the label says the amount, and is written when the picture is in its place
    const seen = new MutationObserver(() => { if (canvas.ariaLabel !== old) { seen.disconnect(); resolve(performance.now() - begin); } });
    seen.observe(canvas, { attributes: true, attributeFilter: ["aria-label"] });
  });
  handle.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  return await changed;
}
"""


def measure(generator, changes, browser, promptly):
    """Return the milliseconds of each change of a face of shipped weights. promptly: start the server as `make lab` does."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.format(generator))])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, Path(folder) / "editor.ipynb")
        options = [
            f"--port={PORT}",
            "--no-browser",
            "--allow-root",
            "--IdentityProvider.token=",
            f"--ServerApp.root_dir={folder}",
            *(["--ServerApp.kernel_websocket_connection_class=gan_course.widgets.server.Promptly"] if promptly else []),
        ]
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options],
            env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{PORT}/api", server)
            with sync_playwright() as play:
                chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
                page = chromium.new_page(viewport={"width": 1400, "height": 1000})
                page.goto(f"http://127.0.0.1:{PORT}/lab/tree/editor.ipynb", timeout=600_000)
                page.get_by_text("| Idle").wait_for(timeout=600_000)  # else the kernel may miss what follows
                page.locator(".jp-Notebook .jp-Cell").first.click(timeout=600_000)
                page.keyboard.press("Shift+Enter")
                page.locator(FACE).wait_for(timeout=1_200_000)
                for _ in range(20):  # the first pictures compile the network and the page's script
                    page.evaluate(PRESS, FACE)
                times = []
                for i in range(changes):
                    if i % 30 == 0:  # back from the end of the slider
                        page.get_by_role("button", name="reset").click()
                        page.wait_for_timeout(1000)
                    times.append(page.evaluate(PRESS, FACE))
                chromium.close()
        finally:
            server.terminate()
            server.wait(60)
    return times


def _wait(address, server, seconds=600):
    """Wait until the server answers."""
    for _ in range(seconds):
        if server.poll() is not None:
            sys.exit("JupyterLab did not start; is it installed, and is the port free?")
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(1)
    sys.exit("JupyterLab does not answer.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="progan-toon-64", help="name of shipped weights that draw cartoons")
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--browser", default="/usr/bin/chromium", help="Chromium's program")
    parser.add_argument("--plain", action="store_true", help="start JupyterLab without the server class of `make lab`")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "face_editor.json")
    options = parser.parse_args()
    load = psutil.getloadavg()[0]
    times = measure(options.generator, options.changes, options.browser, not options.plain)
    what = "milliseconds from a key on a slider to the new 64x64 picture in the page, "
    what += f"{options.generator} in JupyterLab"
    what += ", plain server" if options.plain else ", server of make lab"
    report(options.out, load, what=what, changes=len(times), **summary(times))


if __name__ == "__main__":
    main()
