"""From slider, or sentence, to picture on the web page: how long one change takes in a browser, on this computer's processor.

    python benchmarks/page.py [--weights progan-toon-64] [--axes AXES.npz] [--changes 200] [--browser /usr/bin/chromium]
    python benchmarks/page.py --weights l2m-toon-64      # the page that edits a given face: its slider 'strength'
    python benchmarks/page.py --weights t2f-toon-64      # the page that draws from words: a new sentence

Writes the page to a temporary folder, opens it as a file in Chromium without a window, moves a slider, and measures the time from
the 'input' event to the new picture on the canvas, next frame included. Goal: 95% of the changes within 50 ms at 64x64. For the
page of words: from Enter to the large face, 60 ms; each sentence is another one of the captions. What comes after it (the other
three faces, and which word told what) is not measured.
Also: the CPU time of the page's thread, which does all of this work (on a busy computer it tells what an idle one would take); the
seconds from opening the file to the first face; and the size of the file.

Without --axes they are found anew, from 500 faces: how good they are changes no time. Needs Playwright and a Chromium.
Writes results/page.json beside this file, results/edit_page.json or results/text_page.json.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import psutil

MOVE = """
async ([id, amount]) => {
  const face = document.getElementById("face"), slider = document.getElementById(id);
  const drawn = new Promise((done) => face.addEventListener("drawn", done, { once: true }));
  const begin = performance.now();
  slider.value = amount;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  await drawn;
  const computed = performance.now() - begin;
  await new Promise(requestAnimationFrame);
  return [computed, performance.now() - begin];
}
"""
WRITE = """
async ([id, text]) => {
  const face = document.getElementById("face"), box = document.getElementById(id), held = [];
  const frame = requestAnimationFrame.bind(window), all = new Promise((done) => face.addEventListener("drawn", done, { once: true }));
  window.requestAnimationFrame = (then) => held.push(then); // for which the page waits before it draws the other faces
  window.rest = () => {
    window.requestAnimationFrame = frame;
    for (const then of held) then();
    return all.then(() => null);
  };
  const large = new Promise((done) => new MutationObserver((_, watch) => {
    if (!face.ariaLabel.endsWith(text)) return;
    watch.disconnect();
    done(performance.now());
  }).observe(face, { attributeFilter: ["aria-label"] }));
  const begin = performance.now();
  box.value = text;
  box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
  const computed = await large - begin;
  await new Promise(frame);
  return [computed, performance.now() - begin];
}
"""


def measure(index, change, control, amounts, browser):
    """Set a control to each of some amounts, by the script `change`; 10 of them also before.

    Return (seconds to the first face, then lists in milliseconds: CPU time, to the picture, to the next frame).
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page()
        begin = time.perf_counter()
        page.goto(index.as_uri())
        page.locator("#face:not([aria-label='no face yet'])").wait_for(timeout=600_000)
        opened = time.perf_counter() - begin
        tools = page.context.new_cdp_session(page)
        tools.send("Performance.enable", {"timeDomain": "threadTicks"})

        def cpu():
            metrics = tools.send("Performance.getMetrics")["metrics"]
            return 1000 * next(x["value"] for x in metrics if x["name"] == "TaskDuration")

        for amount in amounts[:10]:  # the first are slower: the browser compiles
            page.evaluate(change, [control, amount])
            page.evaluate("window.rest?.()")
        times = []
        for amount in amounts:
            before = cpu()
            computed, shown = page.evaluate(change, [control, amount])
            times.append((cpu() - before, computed, shown))
            page.evaluate("window.rest?.()")
        chromium.close()
    return opened, *zip(*times, strict=True)


def summary(times):
    """Return median, 95% point and largest of milliseconds."""
    p95 = statistics.quantiles(times, n=20)[-1]
    return {"median": round(statistics.median(times), 1), "p95": round(p95, 1), "most": round(max(times), 1)}


def sentences(count):
    """Return different captions of cartoon faces of the test part."""
    from gan_course.data import captions, toon
    from gan_course.widgets.page import TEST

    texts = {captions.caption(toon.labels(toon.draw(0, i)), name=f"{i}").text: None for i in TEST[: 2 * count]}
    return list(texts)[:count]


def report(out, load, **result):
    """Write and print a result, with the computer's cores and how busy it was before."""
    text = json.dumps(result | {"cores": os.cpu_count(), "load_before": round(load, 1)}, indent=1)
    out.write_text(text + "\n")
    print(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="progan-toon-64")
    parser.add_argument("--axes", type=Path)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--browser", default="/usr/bin/chromium", help="Chromium's program")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    from gan_course import pretrained
    from gan_course.latent.axes import find_axes
    from gan_course.training.classifier import attribute_network
    from gan_course.widgets import page

    config = pretrained.find(options.weights).config
    axes, name, change, what = options.axes, "page.json", MOVE, "a slider's 'input' event"
    control, amounts = "axis-Smiling", [(7 * i) % 80 - 40 for i in range(options.changes)]
    if config.edits:
        name, control, amounts = "edit_page.json", "strength", [0.05 * (7 * i % 30) for i in range(options.changes)]
    elif config.reads:
        name, control, change, what = "text_page.json", "text", WRITE, "a new sentence's Enter"
        amounts = sentences(options.changes)
    elif axes is None:
        found = pretrained.find(options.weights)
        axes = find_axes(found.network, *attribute_network("attributes-toon-steer"), count=500)
    with tempfile.TemporaryDirectory() as folder:
        index = page.write(options.weights, axes, Path(folder) / "site")
        size, load = index.stat().st_size, psutil.getloadavg()[0]
        opened, cpu, computed, shown = measure(index, change, control, amounts, options.browser)

    report(
        options.out or Path(__file__).parent / "results" / name,
        load,
        what=f"milliseconds from {what} to the new picture on the canvas, ONNX Runtime Web, one thread",
        weights=options.weights,
        changes=options.changes,
        cpu=summary(cpu),
        picture=summary(computed),
        picture_and_next_frame=summary(shown),
        seconds_to_first_face=round(opened, 1),
        page_bytes=size,
    )


if __name__ == "__main__":
    main()
