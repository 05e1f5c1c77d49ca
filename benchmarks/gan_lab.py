"""Pictures per second of the GAN lab: train some steps, draw, compress, again.

    python benchmarks/gan_lab.py [--pictures 100] [--steps 10]

The parts take turns in one run: `train` (`PlaneGAN.advance`), `draw` (`GanLab.picture`: the networks' answers for the
heat map and the arrows, and the drawing) and `jpeg`. Told are medians on the clock, and CPU time of all threads
beside them, which other work on the machine disturbs less. The first picture of a training takes longer, because
TensorFlow traces the step: `start`. In the notebook `GanLab.FPS` is the upper limit.

Writes results/gan_lab.json beside this file: numbers and versions, no paths and no names.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import psutil

from gan_course.widgets.gan_lab import GanLab, _jpeg

SETTINGS = {
    "ring": dict(data="ring"),
    "grid, R1": dict(data="grid", penalty="R1"),
    "grid, WGAN-GP": dict(data="grid", loss="wasserstein", penalty="gradient penalty", d_steps=5),
    "ring, batch norm": dict(data="ring", norm="batch"),
}


def measure(settings, pictures, steps):
    """Return milliseconds of each part, on the clock and of CPU, and how long the first picture took."""
    start = time.perf_counter()
    lab = GanLab(**settings)
    lab.advance(steps)
    lab.picture()
    first = time.perf_counter() - start
    clock, cpu = ({part: [] for part in ("train", "draw", "jpeg")} for _ in range(2))

    def timed(part, work, *arguments):
        begin = time.perf_counter(), time.process_time()
        result = work(*arguments)
        clock[part].append(time.perf_counter() - begin[0])
        cpu[part].append(time.process_time() - begin[1])
        return result

    for _ in range(pictures):
        timed("train", lab.model.advance, steps)
        timed("jpeg", _jpeg, timed("draw", lab.picture))
    whole = statistics.median(map(sum, zip(*clock.values(), strict=True)))
    return {
        "pictures_per_second": round(1 / whole, 1),
        "cpu_milliseconds_per_picture": round(1000 * statistics.median(map(sum, zip(*cpu.values(), strict=True))), 1),
        "milliseconds": {part: round(1000 * statistics.median(times), 1) for part, times in clock.items()},
        "cpu_milliseconds": {part: round(1000 * statistics.median(times), 1) for part, times in cpu.items()},
        "start_seconds": round(first, 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=100, help="default: 100")
    parser.add_argument("--steps", type=int, default=10, help="training steps between two pictures; default: 10")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gan_lab.json")
    options = parser.parse_args()

    import keras
    import matplotlib
    import tensorflow as tf

    result = {
        "what": f"{options.steps} training steps, one picture of 920x540, one JPEG; medians of {options.pictures}",
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_before": round(psutil.getloadavg()[0], 1),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "matplotlib": matplotlib.__version__},
        "settings": {},
    }
    for name, settings in SETTINGS.items():
        found = result["settings"][name] = measure(settings, options.pictures, options.steps)
        print(
            f"{name:18} {found['pictures_per_second']:5.1f} pictures/s   {found['milliseconds']} ms, CPU {found['cpu_milliseconds']}",
            flush=True,
        )
    result["load_after"] = round(psutil.getloadavg()[0], 1)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(
        f"load {result['load_before']} to {result['load_after']} on {result['cores']} cores; written to {options.out.name}"
    )


if __name__ == "__main__":
    main()
