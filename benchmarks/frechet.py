"""Time the course's Frechet distance against `scipy.linalg.sqrtm` on Inception's 2048 features.

    python benchmarks/frechet.py

The usual way (the original FID code, clean-fid, torch-fidelity) takes the root of the product of the two
covariance matrices with `scipy.linalg.sqrtm`; ours needs only singular values (see `metrics.frechet_distance`).
Both get the same features and take turns in one process, so that other work on the machine hits both; told are the
medians over the rounds, on the clock and in CPU seconds of all threads. Ours is timed from the features to the
distance. Of the usual way the root alone is timed, and the whole beside it. With 2,000 pictures the covariances are
singular, with 5,000 they are not. The features are made up: correlated, none negative, of falling size.

On a machine that is busy with other work, threads wait for each other and the clock says little: run it with
OPENBLAS_NUM_THREADS=1 there and look at the CPU seconds.

Writes results/frechet.json beside this file: numbers and versions, no names. Needs SciPy, which scikit-learn brings.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import scipy
from scipy.linalg import sqrtm

from gan_course import metrics

FEATURES, COUNTS = 2048, (2000, 5000)


def clouds(count):
    random = np.random.default_rng(count)
    mix = random.normal(size=(FEATURES, FEATURES)) * np.exp(-np.arange(FEATURES) / 300) / 40
    sets = (np.maximum(random.normal(size=(count, FEATURES)) @ mix + shift, 0) for shift in (0.0, 0.05))
    return [points + 0.01 * random.normal(size=points.shape) for points in sets]


def usual(a, b):
    """Return (distance, [clock, CPU] seconds of the root alone)."""
    c_a, c_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root, seconds = timed(sqrtm, c_a @ c_b)
    trace = np.trace(root).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c_a) + np.trace(c_b) - 2 * trace, seconds


def timed(function, *arguments):
    clock, cpu = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return result, [time.perf_counter() - clock, time.process_time() - cpu]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default: 3)")
    options = parser.parse_args()
    results = {}
    for count in COUNTS:
        a, b = clouds(count)
        times = {"ours": [], "sqrtm": [], "sqrtm_whole": []}
        for _ in range(options.rounds):
            ours, seconds = timed(metrics.frechet_distance, a, b)
            times["ours"].append(seconds)
            (theirs, root), whole = timed(usual, a, b)
            times["sqrtm"].append(root)
            times["sqrtm_whole"].append(whole)
            print(count, {name: [round(x, 2) for x in values[-1]] for name, values in times.items()}, flush=True)
        median = {
            name: {
                "seconds": round(statistics.median(clock for clock, _ in values), 3),
                "cpu_seconds": round(statistics.median(cpu for _, cpu in values), 3),
            }
            for name, values in times.items()
        }
        results[count] = {
            **median,
            "root_alone_takes_times_our_seconds": round(median["sqrtm"]["seconds"] / median["ours"]["seconds"], 1),
            "root_alone_takes_times_our_cpu": round(median["sqrtm"]["cpu_seconds"] / median["ours"]["cpu_seconds"], 1),
            "distance": ours,
            "relative_difference": abs(ours / theirs - 1),
        }
    report = {
        "features": FEATURES,
        "rounds": options.rounds,
        "cpu_count": os.cpu_count(),
        "openblas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "all"),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__},
        "pictures": results,
    }
    path = Path(__file__).parent / "results" / "frechet.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
