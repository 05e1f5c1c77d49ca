"""A GAN in the plane that one watches while it learns, after GAN Lab (Kahng et al. 2019).

Three parts: `training.plane.PlaneGAN` trains, `Picture` draws one moment of it, and `GanLab` holds the controls.
"""

import asyncio
import html
import io
import time

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from gan_course.data import points
from gan_course.errors import CourseError, whole_number
from gan_course.losses import LOSSES
from gan_course.models.point_gan import NORMS
from gan_course.training.plane import DATA, PENALTIES, RATES, PlaneGAN

# Blue and vermilion of Okabe and Ito: told apart with any colour vision, and by their shapes too.
REAL, FAKE = "#0072B2", "#D55E00"
SCALE = LinearSegmentedColormap.from_list("generated to real", ["#F2A56B", "#FBE3D0", "#FFFFFF", "#D3E6F3", "#79B7DE"])
SHOWN, ARROWS = 400, 40  # of the generator's points
DRAWING = "my own drawing"


def _round_up(value):
    """Return the least of 1, 2, 5, 10, 20, ... (and of 0.5, 0.2, ...) that is `value` or more."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * next(step for step in (1, 2, 5, 10) if step * power >= value * 0.999))


def _names(data):
    """Return what the coverage counts, in words: a drawing has no modes."""
    return ("places", "the line") if data.name == "drawing" else ("modes", "a mode")


def blocks(values, most=150):
    """Return (steps, means) of at most `most` equal parts of one number a step; the rest at the end is left out.

    A loss jumps from step to step, and a curve of a few hundred pixels has no room for thousands of them.
    """
    size = int(_round_up(max(1, len(values) / most)))
    count = len(values) // size
    means = np.asarray(values[: count * size], "float64").reshape(count, size).mean(1)
    return size * np.arange(1, count + 1), means


class Picture:
    """Draws a `PlaneGAN`, 920x540: the plane, beside it the losses and the coverage over the steps.

    small: the height in pixels of a picture of the plane alone, a little higher than wide.

    One picture is drawn again and again: axes, titles and numbers are kept as pixels, and only what moves is drawn
    anew, unless a scale changes. That takes a fifth of the time.
    """

    def __init__(self, model, small=None):
        self.model, self.small = model, small
        width, height = (2.4, 2.64) if small else (9.2, 5.4)
        self.figure = Figure(figsize=(width, height), dpi=small / height if small else 100, facecolor="white")
        FigureCanvasAgg(self.figure)
        self.back, self.scales = None, None
        extent = model.data.extent
        self.plane = self.figure.add_axes([0.02, 0.01, 0.96, 0.8727] if small else [0.025, 0.135, 0.465, 0.7922])
        self.plane.set(xlim=(-extent, extent), ylim=(-extent, extent), xticks=[], yticks=[])
        self.plane.set_aspect("equal")
        self.heat = self.plane.imshow(
            np.zeros((2, 2)), cmap=SCALE, extent=(-extent, extent) * 2, origin="lower", interpolation="bilinear"
        )
        self.real = self._dots(model.data.sample(SHOWN), REAL, "o", 5.5)
        self.fake = self._dots(np.zeros((SHOWN, 2)), FAKE, "^", 5)
        self.arrows = self.plane.quiver(
            *np.zeros((4, ARROWS)), angles="xy", scale_units="xy", scale=1, color="#3B1F00", width=0.0035, zorder=4
        )
        style = dict(transform=self.plane.transAxes, fontsize=8 if small else 11, fontweight="bold")
        self.title = self.plane.text(0, 1.02, "", **style)
        self.moving = [self.heat, self.real, self.fake, self.arrows, self.title]
        if not small:
            self._legend()
            self._curves()
        for artist in self.moving:
            artist.set_animated(True)

    def _dots(self, xy, colour, marker, size):
        (dots,) = self.plane.plot(
            *xy.T, marker, color=colour, markersize=size * (0.6 if self.small else 1), markeredgewidth=0.4,
            markeredgecolor="white",
        )  # fmt: skip
        return dots

    def _legend(self):
        """Name what is in the plane, and the heat map's scale, below it."""
        box = self.plane.get_position()
        low = self.figure.add_axes([box.x0, 0.0, box.width, 0.13])
        low.set(xlim=(0, 1), ylim=(0, 1))
        low.set_axis_off()
        for x, colour, marker, text in ((0.01, REAL, "o", "real"), (0.14, FAKE, "^", "generated")):
            low.plot(x + 0.01, 0.72, marker, color=colour, markersize=6)
            low.text(x + 0.035, 0.72, text, color=colour, va="center", fontsize=10)
        low.annotate("", (0.42, 0.72), (0.37, 0.72), arrowprops=dict(arrowstyle="-|>", color="#3B1F00"))
        low.text(0.43, 0.72, "push on G (long: strong)", va="center", fontsize=10, color="#3B1F00")
        probabilities = self.model.gan.adversarial.probabilities
        low.text(0.0, 0.36, "D thinks (colour):" if probabilities else "D's score (colour):", va="center", fontsize=10)
        bar = low.inset_axes([0.34, 0.27, 0.64, 0.18])
        bar.imshow(np.linspace(0, 1, 100)[None], cmap=SCALE, aspect="auto", extent=(0, 1, 0, 1))
        bar.set(xticks=[], yticks=[])
        self.ticks = [
            low.text(0.34 + 0.64 * i / 2, 0.14, "", ha=place, va="center", fontsize=9)
            for i, place in enumerate(("left", "center", "right"))
        ]
        self.moving += self.ticks

    def _curves(self):
        count = len(self.model.data.centres)
        places, here = _names(self.model.data)
        tops = [0.93, 0.61, 0.29]
        names = ["loss", f"{places} found, of {count}", f"share of points on {here}"]
        self.axes = [self.figure.add_axes([0.56, top - 0.215, 0.365, 0.215]) for top in tops]
        for axes, name in zip(self.axes, names, strict=True):
            axes.set_title(name, loc="left", fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=8)
        self.axes[2].set_xlabel("training step", fontsize=9)
        self.axes[1].set_ylim(0, count * 1.05)
        self.axes[2].set_ylim(0, 1.05)
        self.axes[2].set_yticks([0, 0.5, 1], ["0", "50%", "100%"])
        colours = dict(D="#333333", G=FAKE, modes=FAKE, share=FAKE)
        self.lines, self.ends = {}, {}
        for (name, colour), axes in zip(colours.items(), [self.axes[0], *self.axes], strict=True):
            (self.lines[name],) = axes.plot([], [], color=colour, linewidth=1.6)
            self.ends[name] = axes.text(0, 0, "", color=colour, fontsize=9, va="center" if name in "DG" else "bottom")
        self.moving += [*self.lines.values(), *self.ends.values()]

    def draw(self):
        """Bring the picture to the model's present; return it as uint8 (height, width, 3)."""
        model, look = self.model, self.model.look()
        if model.broken:  # nothing to see of weights that are not numbers
            look.scores[:] = look.middle
        reach = self._reach(look)
        self.heat.set_data(look.scores)
        self.heat.set_clim(look.middle - reach, look.middle + reach)
        if not self.small:
            for text, place in zip(self.ticks, (-1, 0, 1), strict=True):
                text.set_text(self._tick(look.middle + place * reach, place))
        self.fake.set_data(*look.samples[:SHOWN].T)
        # At most 0.15 of the picture, half of it for a push of 1: long arrows would cover the points, and
        # a push that has vanished must look so.
        push = look.push[:ARROWS]
        push = push / (1 + np.linalg.norm(push, axis=1, keepdims=True)) * 0.3 * model.data.extent
        self.arrows.set_offsets(look.samples[:ARROWS])
        self.arrows.set_UVC(*push.T)
        self.title.set_text(self._title())
        scales = [] if self.small else self._set_curves()
        canvas = self.figure.canvas
        if scales != self.scales:
            self.scales = scales
            canvas.draw()
            self.back = canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self.back)
        for artist in self.moving:
            artist.axes.draw_artist(artist)
        # The frame was covered by the heat map.
        for spine in self.plane.spines.values():
            self.plane.draw_artist(spine)
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    def _title(self):
        history, count = self.model.history, len(self.model.data.centres)
        if self.small:
            return f"step {self.model.step:,}: {history['modes'][-1]} of {count}"
        outside = (np.abs(self.fake.get_xydata()) > self.model.data.extent).any(1).sum()
        return f"step {self.model.step:,}" + (f"   ({outside} of {SHOWN} points outside)" if outside else "")

    def _reach(self, look):
        """Return how far the heat map's scale goes on each side of its middle."""
        if self.model.gan.adversarial.probabilities:
            return 0.5
        far = np.percentile(np.abs(look.scores - look.middle), 95)
        return _round_up(max(float(far), 1e-3))

    def _tick(self, value, place):
        if self.model.gan.adversarial.probabilities:
            return ("0: generated", "0.5: unsure", "1: real")[place + 1]
        return (f"{value:.3g}: generated", f"{value:.3g}", f"{value:.3g}: real")[place + 1]

    def _set_curves(self):
        """Move the curves to the model's history; return the scales of their axes."""
        history = self.model.history
        series = {name: blocks(history[key]) for name, key in (("D", "d_loss"), ("G", "g_loss"))}
        series |= {name: (history["step"], history[name]) for name in ("modes", "share")}
        right = _round_up(max(500, self.model.step))
        both = np.concatenate([series["D"][1], series["G"][1], [0.0]])
        low, high = both.min(), max(both.max(), both.min() + 1e-3)
        step = _round_up((high - low) / 4)
        low, high = float(np.floor(low / step) * step), float(np.ceil(high / step) * step)
        for axes in self.axes:
            axes.set_xlim(0, right)
        self.axes[0].set_ylim(low, high)
        for name, (steps, values) in series.items():
            self.lines[name].set_data(steps, values)
            text = {"D": "D", "G": "G", "modes": f"{values[-1]:.0f}" if len(values) else ""}.get(name)
            self.ends[name].set_text((text or f"{values[-1]:.0%}") if len(values) else "")
            if len(values):
                self.ends[name].set_position((steps[-1] + 0.015 * right, values[-1]))
        if len(series["D"][1]):  # keep the two names apart
            names = sorted("DG", key=lambda name: series[name][1][-1])
            gap = 0.13 * (high - low) - abs(series["D"][1][-1] - series["G"][1][-1])
            for name, sign in zip(names, (-0.5, 0.5), strict=True):
                x, y = self.ends[name].get_position()
                self.ends[name].set_position((x, y + sign * max(0.0, gap)))
        return [right, low, high]


def _jpeg(page):
    buffer = io.BytesIO()
    Image.fromarray(page).save(buffer, "JPEG", quality=80, subsampling=0)  # coloured text stays sharp
    return buffer.getvalue()


def _pace(value):
    """Return a number of steps as people write it: 5, or 1/5."""
    return f"{value:g}" if value >= 1 else f"1/{1 / value:.0f}"


class GanLab:
    """A GAN in the plane with controls: play, pause, step, restart, and every setting that decides how it goes.

    data: 'ring', 'grid', or any `points.Points`; without a mouse, draw by `GanLab(points.drawing(array))`.
    settings: the other arguments of `PlaneGAN`.
    limit: after so many steps play stops by itself, so that a forgotten notebook comes to rest.
    steps_per_picture: training steps between two pictures; it changes the speed and not the result.

    `controls()` returns the widget. `advance`, `picture`, `figure` and `film` do without one.
    """

    FPS = 15  # pictures a second at most: more would queue up in a browser far away

    def __init__(self, data="ring", *, limit=20_000, steps_per_picture=10, **settings):
        self.limit = whole_number("limit", limit, 1, 10**9)
        self.steps_per_picture = whole_number("steps_per_picture", steps_per_picture, 1, 10**9)
        self._task = self._box = None
        self._begin(data=data, **settings)

    def _begin(self, **settings):
        self.model = PlaneGAN(**settings)
        self._view = Picture(self.model)
        self._show()

    def restart(self, **changes):
        """Begin again at step 0, with these settings changed. A wrong one raises `CourseError` and changes nothing."""
        self._begin(**(self.model.settings | changes))

    def set_rates(self, d_rate=None, g_rate=None):
        """Change the players' learning rates; the training goes on."""
        for name, value in (("d_rate", d_rate), ("g_rate", g_rate)):
            if value is not None:
                setattr(self.model, name, value)

    def advance(self, steps):
        """Train `steps` steps and draw once."""
        self.model.advance(steps)
        self._show()

    def picture(self):
        """Return the picture of now, uint8 (540, 920, 3)."""
        return self._view.draw()

    def figure(self):
        """Return the picture of now as a matplotlib figure of its own."""
        view = Picture(self.model)
        view.draw()
        for artist in view.moving:
            artist.set_animated(False)  # else savefig leaves them out
        return view.figure

    @property
    def alt(self):
        """The picture of now in words, one sentence."""
        history, data = self.model.history, self.model.data
        places, here = _names(data)
        return (
            f"Real points of a {data.name} and a GAN's points at step {self.model.step} over the discriminator's heat map: "
            f"{history['modes'][-1]} of {len(data.centres)} {places} found, {history['share'][-1]:.0%} of the points "
            f"on {here}."
        )

    def film(self, steps, pages=6, size=264):
        """Train `steps` steps; return `pages` pictures of the plane alone, evenly spaced, the first of now.

        They are uint8 of equal shape, `size` pixels high: for `show.show` as a strip, or `show.save_gif`.
        """
        if pages < 2 or steps < pages - 1:
            raise CourseError(f"A film of {pages} pages over {steps} steps is not possible; give 2 pages or more.")
        view, start = Picture(self.model, size), self.model.step
        found = [view.draw()]
        for i in range(1, pages):
            self.model.advance(start + steps * i // (pages - 1) - self.model.step)
            found.append(view.draw())
        self._show()
        return found

    @property
    def playing(self):
        return self._task is not None and not self._task.done()

    def play(self):
        """Train and draw in the background, until `pause` or the limit; other cells run in between.

        A task on the kernel's own event loop: training, drawing, your cells and the buttons take turns, so that
        nothing is changed while something else reads it. A cell that runs for long makes the lab wait.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise CourseError("Play needs a notebook; elsewhere call advance(steps).") from None
        if not self.playing:
            self._task = loop.create_task(self._play())

    def pause(self):
        """Stop playing after the picture of now."""
        if self.playing:
            self._task.cancel()
        self._task = None
        self._say("paused")

    async def _play(self):
        self._say("playing" if self.model.step else "getting ready ...")
        left = self.limit
        try:
            while left and not self.model.broken:
                await asyncio.sleep(0.02)  # let the buttons and other cells in
                start = time.perf_counter()
                steps = min(left, self.steps_per_picture)
                self.advance(steps)
                left -= steps
                self._say("playing")
                await asyncio.sleep(max(0.0, 1 / self.FPS - 0.02 - (time.perf_counter() - start)))
        except Exception as error:  # a task has nobody to raise it to
            self._say(f"stopped: {error}")
            raise
        if not self.model.broken:
            self._say(f"stopped after {self.limit:,} steps; press play to go on")

    def _say(self, text):
        if self._box:
            self.status.value = f"<b>{html.escape(self.model.broken or text)}</b>"

    def _show(self):
        if self._box:
            self.image.value = _jpeg(self.picture())
            self.readout.value = self.words()
            if self.model.broken:
                self._say("")

    def words(self):
        """Return the read-out: step, modes, share, losses and push."""
        history, data = self.model.history, self.model.data
        places, here = _names(data)
        words = [
            f"step {self.model.step:,}",
            f"{places} found {history['modes'][-1]} of {len(data.centres)}",
            f"share on {here} {history['share'][-1]:.0%}",
        ]
        if history["d_loss"]:
            words += [f"loss of {player.upper()} {np.mean(history[f'{player}_loss'][-50:]):.2f}" for player in "dg"]
        words.append(f"mean push on G {history['push'][-1]:.2g}")
        return " &nbsp;·&nbsp; ".join(words)

    def controls(self):
        """Return the widget: picture, buttons, read-out and settings."""
        import ipywidgets as widgets

        if self._box:
            return self._box
        from gan_course.widgets.draw_pad import DrawPad

        style, narrow = dict(description_width="132px"), widgets.Layout(width="284px")

        def control(text, help_text, kind=widgets.Dropdown, **options):
            made = kind(description=text, style=style, layout=narrow, **options)
            # ipywidgets 7 (Colab) calls it otherwise.
            setattr(made, "tooltip" if made.has_trait("tooltip") else "description_tooltip", help_text)
            return made

        self.image = widgets.Image(format="jpeg", layout=widgets.Layout(width="920px", max_width="100%"))
        self.readout, self.status = widgets.HTML(), widgets.HTML()
        self.buttons = {
            name: widgets.Button(description=name, icon=icon, tooltip=text, layout=widgets.Layout(width="104px"))
            for name, icon, text in (
                ("play", "play", "Train, and draw a new picture again and again"),
                ("pause", "pause", "Stop; the training stays where it is"),
                ("step", "step-forward", "Train as many steps as lie between two pictures, and draw once"),
                ("restart", "refresh", "Begin again at step 0 with the same settings and the same seed"),
            )
        }
        now = self.model.settings
        # A label for each distribution, and what it stands for.
        self.data = {made().name: name for name, made in DATA.items()}
        if not isinstance(now["data"], str):
            self.data["given in the call"] = now["data"]
        label = next(key for key, value in self.data.items() if value is now["data"] or value == now["data"])
        norms = dict(options=[norm or "none" for norm in NORMS], value=now["norm"] or "none")
        paces = [(_pace(pace), pace) for pace in sorted({1 / 5, 1 / 2, 1, 2, 5, now["d_steps"]})]
        speeds = sorted({1, 2, 5, 10, 20, 50, 100, self.steps_per_picture})
        whole = dict(kind=widgets.BoundedIntText)
        rate = dict(kind=widgets.FloatLogSlider, base=10, step=0.1, readout_format=".2g")
        rate |= dict(min=np.log10(RATES[0]), max=np.log10(RATES[1]))
        table = (
            ("data", "data", "What the generator has to imitate", dict(options=[*self.data, DRAWING], value=label)),
            ("loss", "loss", "What each player wants", dict(options=list(LOSSES))),
            ("penalty", "penalty", "Keeps the discriminator's slopes from growing", dict(options=list(PENALTIES))),
            ("norm", "norm", "batch: batch norm in both players; spectral: spectral norm in the discriminator", norms),
            ("d_rate", "learning rate of D", "How far the discriminator moves in one step", rate),
            ("g_rate", "learning rate of G", "How far the generator moves in one step", rate),
            ("d_steps", "D steps per G step", "How often D moves for each move of G", dict(options=paces)),
            ("latent_dim", "latent size", "How many random numbers G makes a point of", dict(whole, min=1, max=256)),
            ("seed", "seed", "Another seed: other first weights, other points", dict(whole, min=0, max=2**31 - 1)),
        )
        self.fields = {
            name: control(text, help_text, **({"value": now.get(name)} | options))
            for name, text, help_text, options in table
        }
        slider = dict(kind=widgets.SelectionSlider, options=speeds, value=self.steps_per_picture)
        self.speed = control("steps per picture", "Changes the speed, not the result", **slider)
        self.pad = DrawPad()
        self.clear = widgets.Button(description="clear", layout=widgets.Layout(width="104px"))
        self.use = widgets.Button(description="use the drawing", layout=widgets.Layout(width="140px"))
        hint = widgets.HTML("Draw one line or several with the mouse, then press <b>use the drawing</b>.")
        self.own = widgets.VBox([hint, self.pad, widgets.HBox([self.use, self.clear])])
        self.own.layout.display = "none"

        columns = []
        for note, names in (
            ("change while it plays", "d_rate g_rate"),
            ("a change here restarts", "data loss penalty"),
            ("a change here restarts", "norm d_steps latent_dim seed"),
        ):
            columns.append([widgets.HTML(f"<i>{note}</i>"), *(self.fields[name] for name in names.split())])
        columns[0].append(self.speed)
        settings = widgets.HBox([widgets.VBox(column) for column in columns])
        buttons = widgets.HBox([*self.buttons.values(), self.status])
        self._box = widgets.VBox([buttons, self.image, self.readout, settings, self.own])
        self._connect()
        self._say("press play")
        self._show()
        return self._box

    def _connect(self):
        """Let every control do what its label says."""
        actions = {"play": self.play, "pause": self.pause, "step": self._step, "restart": self._again}
        for name, action in actions.items():
            self.buttons[name].on_click(lambda _, action=action: self._try(action))
        for name, field in self.fields.items():
            if name in ("d_rate", "g_rate"):
                field.observe(lambda change, name=name: self._try(self.set_rates, **{name: change["new"]}), "value")
            elif name == "data":
                field.observe(lambda change: self._try(self._choose), "value")
            else:
                none = {"none": None} if name == "norm" else {}  # a Dropdown shows no label for None

                def again(change, name=name, none=none):
                    self._try(self._again, **{name: none.get(change["new"], change["new"])})

                field.observe(again, "value")
        self.speed.observe(lambda change: setattr(self, "steps_per_picture", change["new"]), "value")
        self.use.on_click(lambda _: self._try(self._choose))
        self.clear.on_click(lambda _: setattr(self.pad, "lines", []))

    def _try(self, action, **arguments):
        try:
            action(**arguments)
        except CourseError as error:
            self.pause()
            self._say(str(error))

    def _step(self):
        self.pause()
        self.advance(self.steps_per_picture)

    def _again(self, **changes):
        self.restart(**changes)
        if not self.playing:
            self._say("at the start; press play")

    def _choose(self):
        chosen = self.fields["data"].value
        self.own.layout.display = "" if chosen == DRAWING else "none"
        if chosen != DRAWING:
            self._again(data=self.data[chosen])
        elif not self.pad.lines:
            self.pause()
            self._say("draw a line in the square below, then press 'use the drawing'")
        else:
            from gan_course.widgets.draw_pad import evenly_spaced

            self._again(data=points.drawing(evenly_spaced(self.pad.lines)))
