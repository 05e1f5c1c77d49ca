"""What happens beside the training: guards, limits, sheets of faces, the log."""

import codecs
import csv
import io
import math
import re
import time
import warnings
from collections import Counter
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from gan_course import show
from gan_course.errors import CourseWarning
from gan_course.files import atomic_write, clear_partials


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
        sure = logs.get("d_loss", math.inf) < self.model.lowest_d_loss + self.won
        self.count = self.count + 1 if sure else 0
        if broken:
            self.reason = (
                f"Training stopped at step {self.model.step}: {broken[0]} is {logs[broken[0]]}; "
                "start again with a smaller learning rate."
            )
        elif self.count >= self.patience:
            self.reason = (
                f"Training stopped at step {self.model.step}: the discriminator has won (d_loss below {self.won} "
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
        self.step = self.model.step

    def on_epoch_begin(self, epoch, logs=None):
        self.first = self.model.step

    def on_train_batch_end(self, batch, logs=None):
        self.step = self.first + batch + 1  # cheaper than to ask the model; right for steps_per_execution too
        late = self.minutes is not None and self.clock() >= 60 * self.minutes
        if late or (self.steps is not None and self.step >= self.steps):
            self.model.stop_training = True


class Sheets(keras.callbacks.Callback):
    """Draw the same faces (`Trainer.page`) at the end of every epoch.

    The sheets go to `folder` (PNG, named by step) when one is given, and the newest is `pages[-1]`. `gif(path)`
    writes all of them as a film. Sheets of steps after the model's own (of a run that was killed) are removed. A sheet
    that cannot be written or read is named in a `CourseWarning`, and the training goes on.
    """

    def __init__(self, folder=None, count=36, seed=0, gap=2):
        super().__init__()
        self.folder = Path(folder) if folder else None
        self.count, self.seed, self.gap = count, seed, gap
        self.pages = []

    def _draw(self):
        page = self.model.page(self.count, self.seed, self.gap)
        if not self.folder:
            self.pages.append(page)
            return
        path = self.folder / f"step-{self.model.step:09d}.png"
        try:
            show.save(path, page)
        except OSError as error:
            warnings.warn(f"The sheet {path} cannot be written ({error}).", CourseWarning, stacklevel=2)

    def on_train_begin(self, logs=None):
        step = self.model.step
        for path in self.files():
            if int(path.stem.removeprefix("step-")) > step:
                path.unlink()
        if self.folder:
            clear_partials(self.folder)
        if step == 0:
            self._draw()

    def on_epoch_end(self, epoch, logs=None):
        if np.isfinite(list((logs or {}).values())).all():
            self._draw()

    def files(self):
        """Return the sheets in the folder in the order of their steps; a file manager's copies are not among them."""
        paths = sorted(self.folder.glob("step-*.png")) if self.folder else []
        return [path for path in paths if re.fullmatch(r"step-\d+\.png", path.name)]

    def gif(self, path, **kwargs):
        """Write the sheets as a GIF in the order of their steps, and return its path, or None without a sheet; see `show.save_gif`."""
        # Chosen before they are read: a long run has more sheets than fit into memory.
        pages = [page for page in map(self._read, show.evenly(self.files())) if page is not None] or self.pages
        sizes = Counter(page.shape for page in pages)
        usual = [page for page in pages if page.shape == sizes.most_common(1)[0][0]]
        if len(usual) < len(pages):
            text = f"{len(pages) - len(usual)} sheets in {self.folder} have another size and are left out of the film."
            warnings.warn(text, CourseWarning, stacklevel=2)
        if usual or not self.folder:  # without a folder, no page is a mistake of the caller
            return show.save_gif(path, usual, **kwargs)
        warnings.warn(f"There is no sheet in {self.folder} yet, so no film.", CourseWarning, stacklevel=2)
        return None

    @staticmethod
    def _read(path):
        try:
            with Image.open(path, formats=["PNG"]) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            warnings.warn(
                f"The sheet {path} cannot be read ({error}); the film leaves it out.", CourseWarning, stacklevel=2
            )
            return None


class Log(keras.callbacks.Callback):
    """Write one row an epoch to a CSV file: step, images, seconds, and every metric.

    `images_at`: a function of the step that gives all pictures shown until then, or the number of a step.

    On resume, rows after the model's step (of a run that was killed) are removed first. A metric that is not there
    in every epoch (see `metrics.Distance`) gets its column when it first comes, and stays blank where it was not.

    A table that a spreadsheet has open (Windows lets nobody else write it then) is written at the next chance; one that
    it saved with semicolons or in UTF-16 is read all the same. One that cannot be read is put aside, with a warning.
    """

    def __init__(self, path, images_at, clock):
        super().__init__()
        self.path, self.images_at, self.clock = Path(path), images_at, clock
        self.columns, self.rows = [], []  # rows: {column: text}

    def on_train_begin(self, logs=None):
        self.columns, self.rows = self._read()
        kept = [row for row in self.rows if int(float(row["step"])) <= self.model.step]
        if self.rows:
            self.rows = kept
            self._write()

    def _read(self):
        if not self.path.exists() or not self.path.stat().st_size:
            return [], []
        data = self.path.read_bytes()
        wide = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        try:
            text = data.decode("utf-16" if wide else "utf-8-sig")
            mark = next((mark for mark in ",;\t" if mark in text), ",")
            columns, *rows = csv.reader(io.StringIO(text), delimiter=mark)
            # A shorter last row is one whose process was killed while it wrote.
            rows = [dict(zip(columns, row, strict=True)) for row in rows if len(row) == len(columns)]
            if "step" not in columns:
                raise ValueError("it has no column 'step'")
            [float(row["step"]) for row in rows]
        except (ValueError, KeyError, csv.Error) as error:
            aside = self.path.with_name(f"{self.path.stem}-unreadable-{int(time.time())}.csv")
            self.path.replace(aside)
            text = f"{self.path} cannot be read ({error}); it is now {aside.name}, and a new one begins."
            warnings.warn(text, CourseWarning, stacklevel=2)
            return [], []
        return columns, rows

    def on_epoch_end(self, epoch, logs=None):
        step = self.model.step
        images = self.images_at(step) if callable(self.images_at) else step * self.images_at
        row = {"step": step, "images": images, "seconds": round(self.clock(), 1)}
        row |= {name: round(float(value), 5) for name, value in logs.items()}
        self.columns += [name for name in row if name not in self.columns]
        self.rows.append({name: str(value) for name, value in row.items()})
        self._write()

    def _write(self):
        try:
            with atomic_write(self.path) as partial, open(partial, "w", newline="") as file:
                writer = csv.DictWriter(file, self.columns, restval="")
                writer.writeheader()
                writer.writerows(self.rows)
        except OSError as error:
            warnings.warn(
                f"{self.path} cannot be written now ({error}); its rows come with the next.",
                CourseWarning,
                stacklevel=2,
            )


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
        losses = next(iter(self.model.curves.values()))
        self.bar.set_postfix_str("losses " + " ".join(f"{short} {logs[name]:.2f}" for name, short in losses.items()))

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Remove the bar; also to be called where `fit` ended by an exception, such as Ctrl-C."""
        if self.bar is not None:
            self.bar.close()
