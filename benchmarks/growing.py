"""One training step of the growing GAN at every level: time, memory, traces, and an estimate for a GPU.

    python benchmarks/growing.py [--resolution 128] [--loss non_saturating]      about 6 minutes at 64x64
    python benchmarks/growing.py --estimate                                      CelebA on one T4, by counting

- ours:       gan_course's GrowingGAN, by `fit`; ours_bf16: the same with precision='mixed_bfloat16'
- not_grown:  (a) the same networks at the full resolution from the start (`start=resolution`)
- torch:      (b) networks of equal shapes in PyTorch, trained as the package pro_gan_pytorch does: eager, a step of D,
              then a step of G with a generator pass of its own, no fused resampling. `growing_torch.py` says what is left out.

A step trains both players on one batch and updates the averaged generator. Every way runs in a process of its own and in
turns, so that a slow minute of the machine meets all of them; the best of all turns counts. First, one process checks that
both pairs of networks have equally many weights and, with the same weights, equal outputs. Memory: each level in a fresh
process, the peak less what it held after its imports. Traces: a tiny schedule is trained through all its stages; a second
trace of any ends the script with an error.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

WAYS = ("ours", "ours_bf16", "not_grown", "torch")
R1_INTERVAL = 16


def build(options, **chosen):
    """Return our GAN for the script's options, with other settings in `chosen`."""
    from gan_course import systems

    # All is said here that decides the work of a step, so that the course's recipe may change.
    penalties = dict(r1_gamma=0.0, gp_weight=10.0, drift=1e-3)
    if options.loss == "non_saturating":
        penalties = dict(r1_gamma=10.0, r1_interval=R1_INTERVAL, gp_weight=0.0, drift=0.0)
    same = ("loss", "resolution", "latent_dim", "width", "max_width", "batch_size", "max_batch")
    asked = {name: getattr(options, name) for name in same} | penalties
    # Stages so long that none ends while it is timed.
    asked |= dict(model="progan", rate=1e-3, fade_images=10**9, stable_images=10**9)
    return systems.build(systems.recipe(**asked | chosen))


def ours(options, way):
    """Return a function (level, fading) -> (batch size, function that trains n steps)."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    start = options.resolution if way == "not_grown" else 4
    gan = build(options, start=start, precision="mixed_bfloat16" if way == "ours_bf16" else "float32")

    def prepare(level, fading):
        stage = next(s for s in gan.schedule.stages if (s.level, s.fading) == (level, fading))
        gan.counter.assign(stage.first_step + stage.steps // 2)
        shape = (stage.batch_size, options.resolution, options.resolution, 3)
        dataset = tf.data.Dataset.from_tensors(tf.random.uniform(shape, -1, 1)).repeat()
        return stage.batch_size, lambda n: gan.fit(dataset, steps_per_epoch=n, verbose=0)

    return prepare


def traces(options):
    """Train a tiny schedule through all its stages; exit with 1 where a stage was traced more than once."""
    import tensorflow as tf

    gan = build(options, width=2, latent_dim=8, batch_size=4, max_batch=4, fade_images=8, stable_images=12)
    dataset = tf.data.Dataset.from_tensors(tf.zeros((4, options.resolution, options.resolution, 3))).repeat()
    for _ in range(2):  # stages change inside a `fit`, and one goes on in the next
        gan.fit(dataset, steps_per_epoch=gan.schedule.steps // 2 + 1, verbose=0)
    counts = [gan.traces.get(stage, 0) for stage in gan.schedule.stages]
    print("traces of the training step at each stage:", *counts, flush=True)
    sys.exit(set(counts) != {1})


def worker(options):
    """Serve the parent. Read (level, fading), answer with the batch size; read counts of steps, answer with seconds."""
    import psutil

    way = options.worker
    if way != "torch":
        from gan_course import systems  # noqa: F401
    if way in ("torch", "check"):
        import growing_torch
    if way == "check":
        return growing_torch.check(options, build(options), stages(options))
    if way == "traces":
        return traces(options)
    before = psutil.Process().memory_info().rss
    prepare = growing_torch.prepare_torch(options) if way == "torch" else ours(options, way)
    for line in sys.stdin:
        match json.loads(line):
            case [level, fading]:
                answer, train = prepare(level, fading)
                train(options.unit)  # traces, and touches all the memory that a step needs
            case "memory":
                import resource

                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                answer = (peak * (1 if sys.platform == "darwin" else 1024) - before) / 2**20
            case steps:
                start = time.perf_counter()
                train(steps)
                answer = time.perf_counter() - start
        print(json.dumps(answer), flush=True)


class Child:
    """A worker process of a script; `ask` sends it a request and returns the answer."""

    def __init__(self, way, script=__file__, python=sys.executable, arguments=()):
        command = [python, script, *(arguments or sys.argv[1:]), "--worker", way]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer else sys.exit(f"{self.process.args} ended; its message is above")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def stages(options):
    return [
        (level, fading) for level in range(2, options.level + 1) for fading in (True, False) if level > 2 or not fading
    ]


def measure_speed(options, ways):
    """Return one dictionary a stage: pictures per second of every way."""
    children = {way: Child(way) for way in ways}
    rows = []
    for level, fading in stages(options):
        at = [way for way in ways if way != "not_grown" or (level, fading) == (options.level, False)]
        batches = {way: children[way].ask([level, fading]) for way in at}
        assert len(set(batches.values())) == 1, f"the ways have different batches: {batches}"
        batch, best = batches[at[0]], {}
        # Whole rounds of R1, as many as fit into the time of a turn.
        steps = {way: options.unit * max(1, round(options.seconds / children[way].ask(options.unit))) for way in at}
        for _ in range(options.repeats):
            for way in at:
                best[way] = min(best.get(way, math.inf), children[way].ask(steps[way]) / steps[way])
        rates = {way: round(batch / seconds, 1) for way, seconds in best.items()}
        rows.append(
            dict(resolution=2**level, stage="fade" if fading else "stable", batch=batch, pictures_per_second=rates)
        )
        print(
            f"{2**level:5} {rows[-1]['stage']:6} batch {batch:3}  ",
            *(f"{w} {r:.0f}" for w, r in rates.items()),
            flush=True,
        )
    for child in children.values():
        child.close()
    return rows


def measure_memory(options, ways):
    """Return {resolution: {way: MiB}}: the peak of each level, in its fade, above the imports."""
    peaks = {}
    for level in range(2, options.level + 1):
        for way in ways:
            child = Child(way)
            child.ask([level, level > 2])
            child.ask(options.unit)
            peaks.setdefault(2**level, {})[way] = round(child.ask("memory"))
            child.close()
    return peaks


def measure(options):
    """Run all that is measured; return the result."""
    import importlib.metadata
    import importlib.util

    import psutil

    ways = [way for way in WAYS if way != "torch" or importlib.util.find_spec("torch")]
    load = round(psutil.getloadavg()[0], 1)
    if load > 0.5:
        # With a core taken away, each of PyTorch's many small parallel parts waits for its late thread.
        print(f"WARNING: other work is running (load {load}). PyTorch suffers more from it: these ratios mean nothing.")
    for way in ("check", "traces")[not importlib.util.find_spec("torch") :]:
        if subprocess.run([sys.executable, __file__, *sys.argv[1:], "--worker", way]).returncode:
            sys.exit(f"{way}: failed")
    rows = measure_speed(options, ways)
    full = rows[-1]["pictures_per_second"]["not_grown"]
    print(
        "\n| level | batch | ours | bfloat16 | PyTorch | ours is faster by | than not grown |\n|---|---|---|---|---|---|---|"
    )
    for row in rows:
        rates = row["pictures_per_second"]
        row["faster_than_not_grown"] = round(rates["ours"] / full, 2)
        row["bf16_faster_than_float32"] = round(rates["ours_bf16"] / rates["ours"], 2)
        if "torch" in rates:
            row["faster_than_torch"] = round(rates["ours"] / rates["torch"], 2)
        cells = [rates["ours"], rates["ours_bf16"], rates.get("torch", "-")]
        cells = [f"{x:,.0f}" if x != "-" else x for x in cells]
        cells += [f"{row.get('faster_than_torch', '-')}x", f"{row['faster_than_not_grown']}x"]
        print(f"| {row['resolution']}, {row['stage']} | {row['batch']} |", " | ".join(cells), "|")
    # Equally many pictures in every stage; not grown, all of them at the full resolution.
    saved = len(rows) / full / sum(1 / row["pictures_per_second"]["ours"] for row in rows)
    print(f"not grown: {full:.0f} pictures/s. The same number of pictures takes {saved:.1f}x as long as grown.")
    packages = importlib.metadata.packages_distributions()  # TensorFlow has more than one name
    torch = ["torch"] * ("torch" in ways)
    peaks = measure_memory(options, [way for way in ways if way != "not_grown"])
    for size, peak in peaks.items():
        print(f"{size:5}  peak memory above the imports, MiB: ", *(f"{way} {mib}" for way, mib in peak.items()))
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "threads": options.threads,
        "load": [load, round(psutil.getloadavg()[0], 1)],
        "versions": {name: importlib.metadata.version(packages[name][0]) for name in ("keras", "tensorflow", *torch)},
        "width": options.width,
        "stages": rows,
        "not_grown_takes": round(saved, 2),
        "peak_mib": peaks,
        "traces": 1,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=64, help="the last level (default 64)")
    parser.add_argument("--loss", choices=("wasserstein", "non_saturating"), default="wasserstein")
    parser.add_argument("--width", type=int, default=16, help="channels at the last level (default 16, as lesson 05)")
    parser.add_argument("--max-width", type=int, default=128, help="most channels of a level (default 128)")
    parser.add_argument("--latent-dim", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16, help="at the last level; doubled downwards")
    parser.add_argument("--max-batch", type=int, default=64, help="the largest batch of a level (default 64)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=4, help="turns of each way at each stage (default 4)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn, about (default 1)")
    parser.add_argument("--estimate", action="store_true", help="only the estimate for CelebA at 128x128 on one T4")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "growing.json")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.level = int(math.log2(options.resolution))
    options.unit = R1_INTERVAL if options.loss == "non_saturating" else 4
    if options.worker:
        return worker(options)
    if options.estimate:
        from growing_estimate import estimate

        options.loss = "wasserstein"
        key, result = "estimate", estimate(build(options, start=options.resolution))
    else:
        key, result = f"{options.loss} {options.resolution}", measure(options)
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    options.out.write_text(json.dumps(results | {key: result}, indent=1) + "\n")
    print(f"written to {options.out.name} under '{key}'")


if __name__ == "__main__":
    main()
