"""What happens beside the training: guards, limits, sheets of faces, the log."""

import csv
import math
import os
import time
from pathlib import Path

import imageio.v3 as iio
import keras
import numpy as np

from gan_course import show


def fixed_latent(count, latent_dim, seed=0):
    """Return latent vectors (count, latent_dim) ~ N(0, I) that are the same in every run with this seed."""
    return np.random.default_rng(seed).normal(size=(count, latent_dim)).astype("float32")


class Guard(keras.callbacks.Callback):
    """Stop a training that cannot recover, and say why: `reason` is then one sentence, else None.

    - A loss that is not a number: the weights are spoilt.
    - A discriminator that has won: its loss stays below `won` (sure of nearly every picture) for `patience`
      epochs. The saturated generator then gets next to no gradient.

    `say` is called with the sentence.
    """

    def __init__(self, won=0.02, patience=5, say=print):
        super().__init__()
        self.won, self.patience, self.say = won, patience, say
        self.reason, self.count = None, 0

    def on_train_begin(self, logs=None):
        self.reason, self.count = None, 0

    def on_epoch_end(self, epoch, logs=None):
        broken = [name for name, value in logs.items() if not np.isfinite(value)]
        self.count = self.count + 1 if logs["d_loss"] < self.model.adversarial.lowest + self.won else 0
        if broken:
            self.reason = (
                f"Training stopped at step {int(self.model.step)}: {broken[0]} is {logs[broken[0]]}; "
                "start again with a smaller learning rate."
            )
        elif self.count >= self.patience:
            self.reason = (
                f"Training stopped at step {int(self.model.step)}: the discriminator has won (d_loss below {self.won} "
                f"for {self.patience} epochs); try r1_gamma=1 or more, or a smaller learning rate for it."
            )
        if self.reason:
            self.model.stop_training = True
            self.say(self.reason)


class Limit(keras.callbacks.Callback):
    """Stop after `steps` training steps in all, or after `minutes`; whichever comes first. None: no limit.

    `trained`: seconds that earlier sessions of the same run have taken. `clock()` gives the seconds in all, less
    those that `paused()` counts (of other callbacks' work, such as measuring a distance).
    """

    def __init__(self, steps=None, minutes=None, trained=0.0, paused=lambda: 0.0):
        super().__init__()
        self.steps, self.minutes, self.trained, self.paused = steps, minutes, trained, paused
        self.start = None

    def clock(self):
        return self.trained + (0.0 if self.start is None else time.perf_counter() - self.paused() - self.start)

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter() - self.paused()
        self.step = int(self.model.step)

    def on_epoch_begin(self, epoch, logs=None):
        self.first = int(self.model.step)

    def on_train_batch_end(self, batch, logs=None):
        self.step = self.first + batch + 1  # cheaper than to ask the model; right for steps_per_execution too
        late = self.minutes is not None and self.clock() >= 60 * self.minutes
        if late or (self.steps is not None and self.step >= self.steps):
            self.model.stop_training = True


class Sheets(keras.callbacks.Callback):
    """Draw the same latent vectors with the averaged generator at the end of every epoch.

    The sheets go to `folder` (PNG, named by step) when one is given, and the newest is `pages[-1]`. `gif(path)`
    writes all of them as a film. Sheets of steps after the model's own (of a run that was killed) are removed.
    """

    def __init__(self, folder=None, count=36, seed=0, gap=2):
        super().__init__()
        self.folder = Path(folder) if folder else None
        self.count, self.seed, self.gap = count, seed, gap
        self.pages = []

    def _draw(self):
        latent = fixed_latent(self.count, self.model.latent_dim, self.seed)
        page = show.sheet(self.model(latent), gap=self.gap)
        if self.folder:
            show.save(self.folder / f"step-{int(self.model.step):09d}.png", page)
        else:
            self.pages.append(page)

    def on_train_begin(self, logs=None):
        step = int(self.model.step)
        for path in self.files():
            if int(path.stem.removeprefix("step-")) > step:
                path.unlink()
        for left in self.folder.glob(".step-*") if self.folder else []:  # half a file, of a killed process
            left.unlink()
        if step == 0:
            self._draw()

    def on_epoch_end(self, epoch, logs=None):
        if np.isfinite(list((logs or {}).values())).all():
            self._draw()

    def files(self):
        return sorted(self.folder.glob("step-*.png")) if self.folder else []

    def gif(self, path, **kwargs):
        """Write the sheets as a GIF in the order of their steps; see `show.save_gif`."""
        # Chosen before they are read: a long run has more sheets than fit into memory.
        return show.save_gif(path, [iio.imread(p) for p in show.evenly(self.files())] or self.pages, **kwargs)


class Log(keras.callbacks.Callback):
    """Write one row an epoch to a CSV file: step, images, seconds, and every metric.

    `batch_size`: pictures in a step, or a function of the step that gives all pictures until then.

    On resume, rows after the model's step (of a run that was killed) are removed first. A metric that is not there
    in every epoch (see `metrics.Distance`) gets its column when it first comes, and stays blank where it was not.
    """

    def __init__(self, path, batch_size, clock):
        super().__init__()
        self.path, self.batch_size, self.clock = Path(path), batch_size, clock
        self.columns = []

    def on_train_begin(self, logs=None):
        rows = self._rows()
        if rows:
            self.columns = rows[0]
            kept = [r for r in rows[1:] if len(r) == len(self.columns) and int(r[0]) <= int(self.model.step)]
            self._rewrite([self.columns, *kept])

    def _rows(self):
        if not self.path.exists():
            return []
        with open(self.path, newline="") as file:
            return list(csv.reader(file))

    def _rewrite(self, rows):
        partial = self.path.with_suffix(".partial")
        with open(partial, "w", newline="") as file:
            csv.writer(file).writerows(rows)
        os.replace(partial, self.path)

    def on_epoch_end(self, epoch, logs=None):
        step = int(self.model.step)
        images = self.batch_size(step) if callable(self.batch_size) else step * self.batch_size
        row = {"step": step, "images": images, "seconds": round(self.clock(), 1)}
        row |= {name: round(value, 5) for name, value in logs.items()}
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns = self.columns + new
            self._rewrite([self.columns] + [r + [""] * len(new) for r in self._rows()[1:]])
        with open(self.path, "a", newline="") as file:
            csv.writer(file).writerow([row.get(name, "") for name in self.columns])


class Bar(keras.callbacks.Callback):
    """A progress bar over the whole training, in steps, or in seconds where time is the limit."""

    def __init__(self, limit):
        super().__init__()
        self.limit, self.bar = limit, None

    def on_train_begin(self, logs=None):
        from gan_course.progress import progress

        options = {"total": self.limit.steps, "unit": "step"}
        if self.limit.steps is None:  # no rate: tqdm's seconds per second would say nothing
            form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s{postfix}"
            options = {"total": math.ceil(60 * self.limit.minutes), "bar_format": form}
        self.bar = progress(desc="training", initial=self._now(), **options)

    def _now(self):
        return int(self.limit.clock() if self.limit.steps is None else self.limit.step)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(min(self.bar.total, self._now()) - self.bar.n)

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix_str(f"losses D {logs['d_loss']:.2f} G {logs['g_loss']:.2f}")

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Remove the bar; also to be called where `fit` ended by an exception, such as Ctrl-C."""
        if self.bar is not None:
            self.bar.close()
