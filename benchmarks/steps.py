"""One training step of ours against the same step in PyTorch: L2M-GAN, text to face, StyleGAN, at 64x64.

    python benchmarks/steps.py --torch-python /other/bin/python [--systems l2m text] [--batch-size 16] [--blocks 5]

Widths and recipes are those of the shipped weights, in float32 and from random weights.

- ours:         Keras 3 on TensorFlow, compiled as `fit` does it
- torch:        PyTorch, eager, with as many passes through the networks as ours makes
- torch_fused:  the same, with each resampling and its convolution in one, as ours
- torch_usual:  as codes in PyTorch have it: a generator pass for each player, D's pass of the fakes again for G

PyTorch's networks (`torch_steps.py`) take our weights, a batch and our random numbers, and make the step: losses, gradients,
moved weights and the average must be ours, or the script ends with an error. Then each way runs in a process of its own, and they
train in turns, a *block* of steps each. A ratio is of two ways in one block; the median over the blocks is reported, of the time
on the clock and of CPU time (all threads), which other programs disturb less. Not in the step: reading pictures, and the crop of
L2M-GAN's faces. Memory: the peak of each process's resident set.
"""

import argparse
import dataclasses
import json
import os
import pickle
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

SYSTEMS = {
    "l2m": ("l2m-toon-64", {}),
    "text": ("t2f-toon-64", dict(steering="none", match=0.0, vary=0.0, d_first=0)),  # as PyTorch's step has it
    "stylegan": ("stylegan-toon-64", dict(steering="none")),  # the light discriminator alone
    "stylegan, the paper's": ("stylegan-toon-64", dict(style="adain", d_network="stylegan", steering="none")),
}
WAYS = {"torch": {}, "torch_fused": dict(fused=True), "torch_usual": dict(usual=True)}
COUNT = 16  # steps taken before the one that is checked: R1's turn, and the price of the cloud is not 0


# --- ours ------------------------------------------------------------------------------------------------------


def build(system, batch_size=16, **chosen):
    """Return (configuration, our trainer) of a system of `SYSTEMS`, not grown; `chosen`: other settings."""
    from gan_course import systems, weights

    name, parts = SYSTEMS[system]
    settings = weights.entry_of(name)["settings"]
    config = systems.system(settings["model"]).from_dict(settings)
    same = dict(precision="float32", batch_size=batch_size) | parts | chosen
    names = {field.name for field in dataclasses.fields(config)}
    same |= {"start": chosen.get("resolution", config.resolution), "crop": 0.0}
    config = dataclasses.replace(config, **{name: value for name, value in same.items() if name in names})
    return config, systems.build(config)


def batch(config):
    """Return a batch of random numbers, in the dataset's structure."""
    random = np.random.default_rng(0)
    count, size = config.batch_size, config.resolution
    pictures = random.uniform(-1, 1, (count, size, size, 3)).astype("float32")
    if config.model == "l2m":
        return pictures, np.eye(len(config.domains), dtype="float32")[np.arange(count) // 2 % len(config.domains)]
    if config.model == "stylegan":
        return pictures
    numbers = random.integers(2, len(config.words) + 2, (count, 4, config.length)).astype("int16")
    numbers[np.arange(config.length) >= random.integers(5, config.length, (count, 4, 1))] = 0
    told = random.integers(-1, 2, (count, 4, len(config.attributes))).astype("int8")
    return pictures, (numbers, told, told[:, 0] | 1)


def weights_of(trainer, name):
    """Return {network: its weights}, in the order of `torch_steps.slots`: an averaged one's with name='averages'."""
    averages = name == "averages"
    if hasattr(trainer, "editor"):
        editor = trainer.ema_editor if averages else trainer.editor
        networks = {part: getattr(editor, part).weights for part in ("generator", "encoder", "transformer")}
        return networks if averages else networks | {"discriminator": trainer.discriminator.weights}
    g, d = trainer.ema_generator if averages else trainer.generator, trainer.discriminator
    if hasattr(g, "styled"):
        g_parts = [g.start, g.mapping]
        for layer in g.styled:
            g_parts += [layer.noise, layer.bias, layer.conv, layer.finish or getattr(layer.conv, "affine", None)]
        g_parts.append(g.to_rgb[-1])
    else:
        g_parts = [g.bias, g.dense, g.first, g.ups, g.convs, g.to_rgb, g.augmentation, g.encoder]
    if hasattr(d, "firsts"):
        d_parts = [d.firsts[d.level], *(d.downs[level] for level in range(3, d.level))]
    else:
        d_parts = [d.from_rgb, d.convs, d.downs]
    d_parts += [d.last, d.dense, d.score, getattr(d, "text", None)]

    def listed(parts):
        layers = [layer for part in parts for layer in (part if isinstance(part, list) else [part]) if layer]
        found = [weight for layer in layers for weight in layer.weights]
        return list({id(weight): weight for weight in found}.values())  # a modulated convolution holds its affine layer

    networks = {"generator": listed(g_parts)}
    if hasattr(g, "average"):
        networks["generator"].insert(1, g.average)
    return networks if averages else networks | {"discriminator": listed(d_parts)}


def numbers(config, trainer):
    """Return all of one step, as arrays: settings, weights, batch, random numbers, losses, gradients, moved weights and averages."""
    import keras

    from gan_course.backend import ops, to_numpy

    def copies(name="networks"):
        return {part: [np.array(to_numpy(w)) for w in found] for part, found in weights_of(trainer, name).items()}

    random = np.random.default_rng(1)
    networks, averaged = weights_of(trainer, "networks"), weights_of(trainer, "averages")
    for part, found in networks.items():  # zeros would hide a bias in the wrong place
        for weight in found:
            if not np.any(to_numpy(weight)):
                weight.assign(0.1 * random.normal(size=weight.shape))
        for mean, weight in zip(averaged.get(part, []), found, strict=False):
            mean.assign(to_numpy(weight))
    trainer.counter.assign(COUNT)
    trainer.follow_schedule()
    given = dict(settings=dataclasses.asdict(config), count=COUNT, weights=copies(), randoms=[])
    given["settings"]["warm"] = getattr(trainer, "warm", 0)
    given["rates"] = {p: float(to_numpy(trainer.optimizer_of(p).learning_rate)) for p in "gd"}
    given["epsilons"] = {p: trainer.optimizer_of(p).epsilon for p in "gd"}
    if config.model == "l2m":
        given["weights"]["keep"] = [np.array(to_numpy(w)) for w in trainer.keep.weights]
        given["columns"] = list(trainer.columns)
    example = batch(config)
    given["batch"] = keras.tree.flatten(example)
    gradients, seen = {}, {}

    def recorded(distribution):
        def draw(*args, **kwargs):
            result = distribution(*args, **kwargs)
            given["randoms"].append(to_numpy(result))
            return result

        return draw

    def apply(player, found):
        names = map(id, trainer.weights_of(player))
        gradients.update({i: np.array(to_numpy(g)) for i, g in zip(names, found, strict=True) if g is not None})
        type(trainer).apply(trainer, player, found)

    def backward(tape, d_scaled, g_scaled, fake, fake_scores):
        seen.update(fake=np.array(to_numpy(fake)), d_loss=float(to_numpy(d_scaled)), g_loss=float(to_numpy(g_scaled)))
        return type(trainer)._backward(trainer, tape, d_scaled, g_scaled, fake, fake_scores)

    patches = [mock.patch.object(keras.random, n, recorded(getattr(keras.random, n))) for n in DRAWN]
    patches += [mock.patch.object(trainer, "apply", apply), mock.patch.object(trainer, "_backward", backward)]
    for patch in patches:
        patch.start()
    try:
        trainer.train_step(keras.tree.map_structure(ops.convert_to_tensor, example))
    finally:
        for patch in patches:
            patch.stop()
    found = {part: [gradients.get(id(weight)) for weight in weights] for part, weights in networks.items()}
    given |= dict(fake=seen["fake"], losses=[seen["d_loss"], seen["g_loss"]], gradients=found)
    return given | dict(after=copies(), averages=copies("averages"))


DRAWN = ("normal", "uniform", "randint")


def prepare_ours(options):
    import tensorflow as tf

    for kind in ("intra", "inter"):
        getattr(tf.config.threading, f"set_{kind}_op_parallelism_threads")(options.threads)
    config, trainer = build(options.system, options.batch_size)
    dataset = tf.data.Dataset.from_tensors(batch(config)).repeat()
    return lambda n: trainer.fit(dataset, steps_per_epoch=n, verbose=0)


def prepare_torch(options, way):
    import torch
    import torch_steps

    torch.set_num_threads(options.threads)
    given = pickle.loads(Path(options.numbers).read_bytes())
    system, example = torch_steps.training(given, **WAYS[way]), torch_steps.batch_of(given)
    return lambda n: [system.step(*example) for _ in range(n)]


def worker(options):
    """Serve the parent: read counts of steps, answer with seconds on the clock and of the CPU; or 'memory', with MiB."""
    way = options.worker
    if way == "numbers":
        config, trainer = build(options.system, options.batch_size)
        return Path(options.numbers).write_bytes(pickle.dumps(numbers(config, trainer)))
    if way == "check":
        import torch_steps

        given = pickle.loads(Path(options.numbers).read_bytes())
        found = {name: torch_steps.check(given, **kind) for name, kind in WAYS.items()}
        return print(json.dumps(found))
    import psutil

    if way == "ours":
        from gan_course import systems  # noqa: F401
    else:
        import torch_steps
    before = psutil.Process().memory_info().rss / 2**20
    train = prepare_ours(options) if way == "ours" else prepare_torch(options, way)
    for line in sys.stdin:
        request = json.loads(line)
        if request == "memory":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            answer = [peak / (2**20 if sys.platform == "darwin" else 2**10), before]
        else:
            start = time.perf_counter(), time.process_time()
            train(request)
            answer = [time.perf_counter() - start[0], time.process_time() - start[1]]
        print(json.dumps(answer), flush=True)


# --- the parent ------------------------------------------------------------------------------------------------


def measure(options, system, folder):
    """Return the result of one system."""
    from growing import Child

    file = Path(folder) / "numbers.pickle"
    arguments = ["--system", system, "--numbers", str(file), "--batch-size", str(options.batch_size)]
    arguments += ["--threads", str(options.threads)]

    def child(way):
        return Child(way, __file__, sys.executable if way == "ours" else options.torch_python, arguments)

    def run(way, python):
        return subprocess.run([python, __file__, *arguments, "--worker", way], check=True, stdout=subprocess.PIPE)

    run("numbers", sys.executable)
    checked = json.loads(run("check", options.torch_python).stdout)
    worst = {what: max(value for found in checked.values() for n, value in found.items() if n.startswith(what)) for what in
             ("pictures", "losses", "gradients", "moved", "average")}  # fmt: skip
    worst = {what: float(f"{value:.0e}") for what, value in worst.items()}
    print(f"{system}: PyTorch's step is ours; largest differences {worst}", flush=True)
    # Whole rounds of R1, so that each block has as many penalties.
    steps = options.rounds * pickle.loads(file.read_bytes())["settings"]["r1_interval"]
    ways = ["ours", *WAYS]
    children = {way: child(way) for way in ways}
    for way in ways:
        children[way].ask(1)  # traces, and touches the memory that a step needs
    seconds = {way: [] for way in ways}
    for _ in range(options.blocks):
        for way in ways:
            seconds[way].append([t / steps for t in children[way].ask(steps)])
        print("CPU seconds of a step:", *(f"{way} {seconds[way][-1][1]:.3f}" for way in ways), flush=True)
    result = dict(batch=options.batch_size, steps_in_a_block=steps, differs_by_at_most=worst, ways={})
    print("|  | step, s | CPU, s | peak MiB | above imports | ours is faster by | blocks | by CPU time | blocks |")
    for way in ways:
        peak, imports = children[way].ask("memory")
        children[way].close()
        clock, cpu = (statistics.median(t[i] for t in seconds[way]) for i in range(2))
        row = dict(
            seconds=round(clock, 4), cpu_seconds=round(cpu, 4), peak_mib=round(peak), above_mib=round(peak - imports)
        )
        if way != "ours":
            for i, name in enumerate(("faster_by", "faster_by_cpu")):
                ratios = [theirs[i] / ours[i] for theirs, ours in zip(seconds[way], seconds["ours"], strict=True)]
                row |= {name: round(statistics.median(ratios), 2), f"{name}_blocks": [round(r, 2) for r in ratios]}
        result["ways"][way] = row
        print("|", " | ".join(map(str, [way, *row.values()])), "|", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", default=sys.executable, help="Python with PyTorch (default: this one)")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--blocks", type=int, default=5, help="turns of each way (default 5)")
    parser.add_argument("--rounds", type=int, default=1, help="R1 penalties in a block (default 1)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "steps.json")
    for name in ("--worker", "--system", "--numbers"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    if options.worker:
        return worker(options)
    machine = dict(machine=platform.machine(), cores=os.cpu_count(), threads=options.threads)
    for system in options.systems:
        with tempfile.TemporaryDirectory() as folder:
            result = machine | dict(load=round(os.getloadavg()[0], 1)) | measure(options, system, folder)
        old = json.loads(options.out.read_text()) if options.out.exists() else {}
        options.out.write_text(json.dumps(old | {system: result}, indent=1) + "\n")
    print(f"written to {options.out.name}")


if __name__ == "__main__":
    main()
