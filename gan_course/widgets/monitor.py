"""A live picture of the training: the same faces again and again, the two losses, and a distance if one is measured."""

import io
import time

import keras
import matplotlib.pyplot as plt

from gan_course import show

DISTANCES = ("ffd", "fid")  # what `metrics.Distance` adds to the logs, in the epochs in which it measures


def in_notebook():
    """Return whether the output goes to a Jupyter notebook (also on Colab)."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class LiveMonitor(keras.callbacks.Callback):
    """Show, while `fit` runs, one picture that renews itself: faces on the left, curves on the right.

    The `count` faces are of latent vectors that stay the same (`Trainer.page`), so that you see them change. The
    picture is drawn at the end of an epoch, at most every `seconds`; the last one stays in the notebook. Outside Jupyter
    one line of text an epoch takes its place. With a `metrics.Distance` before it in the list of callbacks, the distance
    is a further curve. Of a network that grows (`training.growing`) the title also tells the resolution and the fade.

    `pause`: seconds that the drawing took in all, to leave out of a measured training time.
    """

    def __init__(self, count=25, seed=0, seconds=4.0, title="Training"):
        super().__init__()
        self.count, self.seed, self.seconds, self.title = count, seed, seconds, title
        self.steps, self.history = [], {}
        self.distances = {}  # name: (steps, values), for not every epoch has one
        self.handle, self.pause, self.last = None, 0.0, 0.0
        self.batches = self.whole = 0

    def on_train_begin(self, logs=None):
        self.notebook = in_notebook()

    def on_train_batch_end(self, batch, logs=None):
        self.batches = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        for name in set(DISTANCES) & set(logs):
            for numbers, number in zip(
                self.distances.setdefault(name, ([], [])), (self.model.step, logs[name]), strict=True
            ):
                numbers.append(number)
        self.whole = max(self.whole, self.batches)
        if self.batches < self.whole / 2:  # cut short by a limit: a mean of so few steps would be a false jump
            return
        self.steps.append(self.model.step)
        for name in set(logs) - set(DISTANCES):
            self.history.setdefault(name, []).append(logs[name])
        if not self.notebook:
            print(f"step {self.steps[-1]:>6}  " + "  ".join(f"{k} {v:.3f}" for k, v in sorted(logs.items())))
        elif time.perf_counter() - self.last >= self.seconds:
            self._draw()

    def on_train_end(self, logs=None):
        if self.notebook and self.steps:
            self._draw()

    def caption(self):
        """Return the title with the step and, of a network that grows, where it is."""
        text = f"{self.title}: step {self.steps[-1]}"
        if "alpha" in self.history:
            size = round(self.history["resolution"][-1])
            text += f"\n{size}x{size}, alpha {self.history['alpha'][-1]:.2f}"
        return text

    def _draw(self):
        from IPython.display import display

        start = time.perf_counter()
        figure = self.figure()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="jpeg", dpi=80, pil_kwargs={"quality": 85})
        plt.close(figure)
        where = self.caption().replace("\n", ", ")
        alt = f"{where}: a sheet of {self.count} faces beside the loss curves."
        picture = show.picture(buffer.getvalue(), alt)
        if self.handle is None:
            self.handle = display(picture, display_id=True)
        else:
            self.handle.update(picture)
        self.last = time.perf_counter()
        self.pause += self.last - start

    def figure(self):
        """Return the picture as a matplotlib figure (the caller closes it)."""
        curves = self.model.curves
        panels = 1 + len(curves) + bool(self.distances)
        figure, axes = plt.subplots(1, panels, figsize=(4.3 * panels, 4.2), width_ratios=[1.1] + [1] * (panels - 1))
        axes[0].imshow(self.model.page(self.count, self.seed))
        axes[0].set_axis_off()
        axes[0].set_title(self.caption())
        for ax, (title, names) in zip(axes[1:], curves.items(), strict=False):
            show.curves(ax, self.steps, {name: self.history[name] for name in names}, names)
            ax.set_title(title)
            if title.startswith("probability"):
                ax.set_ylim(0, 1)
        for name, (steps, values) in self.distances.items():
            show.curves(axes[-1], steps, {name: values}, {name: name.upper()})
            axes[-1].set_title("distance to real faces")
            axes[-1].set_ylim(bottom=0)
        figure.tight_layout()
        return figure
