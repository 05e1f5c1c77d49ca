"""Train one run on an NVIDIA GPU under PyTorch, many times as fast: the whole step as a CUDA graph.

    python tools/captured.py RUN --minutes 9 [--data FOLDER] [--after 0.5 --r1-gamma 0.5] [--fall 0.6]

PyTorch runs each operation at once. A step of the course's networks has a few thousand small ones, and the GPU waits for
Python between them. A CUDA graph records a step's operations and runs all of them by one call. The step is
`Trainer.train_step`, unchanged; what a graph cannot record is put in other words (`without_stops`).

RUN is a folder with the settings.json of `python -m gan_course train`; a checkpoint there is where it goes on. (A text
encoder that was taught elsewhere may lie there as encoder.npz: the arrays encoder0, encoder1, ..., heads0, ....) The faces
lie on the GPU as bytes, in the order that `Batches` gives them. So the n-th picture is that of a run under PyTorch on a
CPU, and the random numbers are others: the GPU's own.

In a graph all is fixed but the numbers in its variables. So there is one for each stage of a schedule, and in it one for
steps with a lazy regulariser and one for those without; a change of `--r1-gamma` begins them anew.

At the end RUN has `averaged.weights.h5` (`tools/ship_weights.py` takes it), log.csv, sheets and, with `--checkpoint`, a
checkpoint. Several runs at once on one GPU: start NVIDIA's MPS before, and each of them as a process.
"""

import argparse
import csv
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import torch

from gan_course import runs
from gan_course.backend import to_numpy
from gan_course.data.celeba import open_faces
from gan_course.training import checkpoints

WARM = 3  # steps of each kind that run as always before their graph is recorded, as CUDA wants it
KEPT = {}  # Python's numbers as tensors


def keep_constants():
    """Let Keras make each constant of a step once: to copy a number to the GPU is not allowed while a graph is recorded."""
    plain = torch.as_tensor

    def as_tensor(data, dtype=None, device=None):
        if torch.is_tensor(data) or not KEPT.get("on"):
            return plain(data, dtype=dtype, device=device)
        array = np.asarray(data)
        key = array.tobytes(), array.shape, str(array.dtype), dtype
        if key not in KEPT:
            KEPT[key] = plain(data, dtype=dtype, device=device)
        return KEPT[key]

    torch.as_tensor = as_tensor


def draw_on_the_gpu():
    """Let Keras draw from the GPU's own generator, whose state a graph moves on; a seed of its own would stop the GPU at each draw."""
    from keras.src.backend.torch import random

    random.torch_seed_generator = lambda seed: None


def average_at_once(trainer):
    """As `Trainer.update_averages`, all weights of one age in three operations (one by one they take a dozen each)."""
    with torch.no_grad():
        for averaged, network in trainer.averages:
            firsts = getattr(trainer, "first_steps", [0] * len(network.weights))  # equal ones have equal ages
            ages = trainer.steps_trained(network)
            for first in sorted(set(firsts)):
                rows = [i for i, f in enumerate(firsts) if f == first and "float" in network.weights[i].dtype]
                decay = torch.clamp((1.0 + ages[rows[0]]) / (10.0 + ages[rows[0]]), max=trainer.ema_decay)
                old, new = ([part.weights[i].value for i in rows] for part in (averaged, network))
                change = torch._foreach_sub(new, old)
                torch._foreach_mul_(change, 1.0 - decay)
                torch._foreach_add_(old, change)
            for average, weight in zip(averaged.weights, network.weights, strict=True):
                if "float" not in weight.dtype:
                    average.assign(weight)


def read_at_once(encoder, numbers):
    """As `TextEncoder.call`, by PyTorch's own LSTM: word by word it is a thousand operations."""
    cell, numbers = encoder.lstm.cell, numbers.long()
    weights = [w.value.T.contiguous() for w in (cell.kernel, cell.recurrent_kernel)]
    weights += [cell.bias.value, torch.zeros_like(cell.bias.value)]
    start = torch.zeros(1, len(numbers), cell.units, device=numbers.device)
    states = torch._VF.lstm(encoder.embedding(numbers), (start, start), weights, True, 1, 0.0, False, False, True)[0]
    length = (numbers != 0).sum(1)
    last = states[torch.arange(len(numbers), device=numbers.device), torch.clamp(length - 1, min=0)]
    return encoder.norm(last * (length > 0)[:, None])


def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """As Keras's for the last axis; PyTorch's own looks whether a number is too large, and stops the GPU for it."""
    found = x.long()[..., None] == torch.arange(num_classes, device=x.device)
    return found.to(getattr(torch, dtype or "float32"))


def without_stops():
    """Put in the place of what a graph cannot record, or what is slow in it, the same in other words."""
    from keras.src.backend.torch import nn

    from gan_course.models.text_to_face import TextEncoder
    from gan_course.training.base import Trainer

    nn.one_hot = one_hot
    TextEncoder.call = read_at_once
    Trainer.update_averages = average_at_once


class Captured:
    """A trainer whose steps are CUDA graphs (on a CPU: plain steps, to be tested)."""

    def __init__(self, trainer, batches):
        self.trainer, self.batches = trainer, batches
        self.gpu = torch.cuda.is_available()
        self.device = torch.device("cuda" if self.gpu else "cpu")
        self.step = trainer.step
        self.first = getattr(trainer, "d_first", 0)
        self.intervals = sorted({phase.interval for phase in trainer.phases if phase.interval > 1})
        trainer.is_due = lambda interval, first=0: self.step % interval == 0 and self.step >= first
        self.images = torch.from_numpy(np.array(batches.images)).to(self.device)
        labels = batches.labels if isinstance(batches.labels, tuple) else (batches.labels,)
        self.labels = [torch.from_numpy(np.array(x)).to(self.device) for x in labels if x is not None]
        self.shown = batches.start_image
        self.forget()

    def forget(self):
        """Record anew from the next step on."""
        self.graphs, self.warmed, self.rows = {}, {}, None

    def data(self):
        """Return the batch of the rows that lie in `rows` and `flips`."""
        pictures = self.images[self.rows]
        pictures = torch.where(self.flips[:, None, None, None], pictures.flip(2), pictures).float() / 127.5 - 1.0
        labels = tuple(x[self.rows] for x in self.labels)
        if not labels:
            return pictures
        return pictures, labels if isinstance(self.batches.labels, tuple) else labels[0]

    def one(self):
        KEPT["on"] = True
        try:
            self.logs = self.trainer.train_step(self.data())
        finally:
            KEPT["on"] = False

    def take(self, size):
        """Take one step with `size` pictures."""
        rows, flips = zip(*(self.batches._drawn(n) for n in range(self.shown, self.shown + size)), strict=True)
        rows, flips = torch.tensor(rows), torch.tensor(flips)
        if self.rows is None or len(self.rows) != size:
            self.graphs, self.warmed = {}, {}
            self.rows, self.flips = rows.to(self.device), flips.to(self.device)
        else:
            self.rows.copy_(rows)
            self.flips.copy_(flips)
        kind = (self.step >= self.first, *(self.step % interval == 0 for interval in self.intervals))
        if kind in self.graphs:
            self.graphs[kind].replay()
        elif not self.gpu or self.warmed.get(kind, 0) < WARM:
            self.plain()
            self.warmed[kind] = self.warmed.get(kind, 0) + 1
        else:
            graph = torch.cuda.CUDAGraph()
            torch.cuda.synchronize()
            with torch.cuda.graph(graph):
                self.one()
            graph.replay()  # recording takes no step
            self.graphs[kind] = graph
        self.step += 1
        self.shown += size

    def plain(self):
        if not self.gpu:
            return self.one()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self.one()
        torch.cuda.current_stream().wait_stream(side)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float, required=True, help="on the clock, all that comes before counted in")
    parser.add_argument("--data", help="the faces, where they lie elsewhere")
    parser.add_argument("--after", type=float, default=1.0, help="share of the minutes after which --r1-gamma holds")
    parser.add_argument("--r1-gamma", type=float)
    parser.add_argument(
        "--fall", type=float, default=1.0, help="share of the minutes from which on the rate falls in a line"
    )
    parser.add_argument("--last-rate", type=float, default=0.05, help="to this share of it")
    parser.add_argument("--every", type=int, default=500, help="steps between two rows of log.csv")
    parser.add_argument(
        "--begin", type=float, default=time.time(), help="when the minutes began, in seconds of time.time()"
    )
    parser.add_argument("--checkpoint", action="store_true", help="also write a checkpoint at the end")
    asked = parser.parse_args()
    begin = asked.begin
    gone = lambda: (time.time() - begin) / (60 * asked.minutes)  # noqa: E731  (share of the minutes)

    config, _ = runs.read_settings(asked.run)
    config = replace(config, data=asked.data or config.data)
    source = open_faces(config.data)
    if torch.cuda.is_available():
        keep_constants()
        draw_on_the_gpu()
        without_stops()
    torch.manual_seed(config.seed)
    trainer = config.build()
    record = checkpoints.restore(asked.run / "checkpoints", trainer) or {"step": 0, "seconds": 0.0}
    batches = config.dataset(source, record["step"])
    config.prepare(trainer, source)
    if (taught := asked.run / "encoder.npz").exists():
        with np.load(taught) as file:
            for network in (trainer.generator, trainer.ema_generator):
                for name in ("encoder", "heads"):
                    part = getattr(network, name)
                    part.set_weights([file[f"{name}{i}"] for i in range(len(part.weights))])
    elif not record["step"]:
        config.begin(trainer, source)
    trainer.follow_schedule()
    captured = Captured(trainer, batches)
    sheets = asked.run / "sheets"
    sheets.mkdir(exist_ok=True)
    averaged = trainer.averages[0][0]
    rates, stage, reduced, start = None, None, False, time.time()
    rows = []

    def log():
        numbers = {metric.name: float(to_numpy(metric.result())) for metric in trainer.metrics}
        for metric in trainer.metrics:
            metric.reset_state()
        seconds = record["seconds"] + time.time() - start
        rows.append(
            dict(step=captured.step, images=config.images_at(captured.step), seconds=round(seconds, 1), **numbers)
        )
        short = " ".join(f"{k} {v:.3f}" for k, v in numbers.items())
        print(f"{asked.run.name} {captured.step} {rows[-1]['images']} {seconds:.0f}s {short}", flush=True)
        return all(np.isfinite(list(numbers.values())))

    sound, next_sheet, next_save = True, 0.0, 0.7
    while gone() < 1.0 and sound:
        trainer.follow_schedule(captured.step)
        now = getattr(trainer, "stage", None)
        if asked.r1_gamma is not None and gone() > asked.after and not reduced:
            trainer.r1_gamma, reduced = asked.r1_gamma, True
            print(f"{asked.run.name} {captured.step}: r1_gamma {asked.r1_gamma}", flush=True)
            captured.forget()
        if now is not stage:
            captured.forget()
            stage = now
            rates = {p: float(to_numpy(trainer.optimizer_of(p).learning_rate)) for p in trainer.players}
        rates = rates or {p: config.rate_of(p) for p in trainer.players}
        if gone() > asked.fall and captured.step % 20 == 0:
            share = max(asked.last_rate, 1 - (1 - asked.last_rate) * (gone() - asked.fall) / (0.97 - asked.fall))
            if getattr(trainer, "rate", None):  # sets its optimisers' rates itself, at each step
                trainer.rate = config.rate * share
            else:
                for player, rate in rates.items():
                    trainer.optimizer_of(player).learning_rate = rate * share
        captured.take(now.batch_size if now else config.batch_size)
        if captured.step % asked.every == 0:
            sound = log()
            if sound and gone() > next_save:  # a machine may be taken away
                next_save = gone() + 0.06
                averaged.save_weights(asked.run / "averaged.weights.h5")
            if gone() > next_sheet:
                next_sheet = gone() + 0.1
                page(trainer, sheets / f"step-{captured.step:08d}.jpg")
    if sound and (not rows or rows[-1]["step"] != captured.step):
        sound = log()
    if not sound:
        sys.exit(f"{asked.run.name}: a loss is not a number at step {captured.step}; start again with a smaller rate.")
    page(trainer, sheets / f"step-{captured.step:08d}.jpg")
    averaged.save_weights(asked.run / "averaged.weights.h5")
    with open(asked.run / "log.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[-1])
        writer.writeheader()
        writer.writerows(rows)
    done = {"step": captured.step, "images": config.images_at(captured.step), "seconds": rows[-1]["seconds"]}
    (asked.run / "captured.json").write_text(json.dumps(done | {k: str(v) for k, v in vars(asked).items()}, indent=1))
    if asked.checkpoint:
        checkpoints.save(asked.run / "checkpoints" / f"step-{captured.step:09d}.npz", trainer, rows[-1]["seconds"])
    print(f"{asked.run.name} done {done}", flush=True)


def page(trainer, path):
    from PIL import Image

    Image.fromarray(trainer.page(64)).save(path, quality=85)


if __name__ == "__main__":
    main()
