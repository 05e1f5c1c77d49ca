"""A face, a slider and a lock for each of its attributes: `gan_course.latent.axes` to play with."""

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from gan_course import show
from gan_course.errors import CourseError, whole_number
from gan_course.files import atomic_write
from gan_course.latent.axes import LEAST, STEPS, drawer
from gan_course.latent.sampling import fixed_latent, latent_dim

GROUPS = {  # as in the article; what a generator has no axis for is left out, all others are under 'more'
    "person": ["Male", "Young", "Pale_Skin"],
    "hair": ["Bangs", "Receding_Hairline", "Bald", "Wavy_Hair", "Blond_Hair", "Black_Hair", "Gray_Hair"],
    "expression": ["Smiling", "Mouth_Slightly_Open", "Big_Nose", "Pointy_Nose", "Heavy_Makeup", "Wearing_Lipstick"],
    "beard": ["No_Beard", "Goatee", "Sideburns"],
    "worn": ["Eyeglasses", "Wearing_Earrings", "Wearing_Necktie", "Wearing_Hat"],
}
REACH = 8  # steps from the middle of a slider to its end
TOGETHER = 1.0  # seconds: changes of one slider that come quicker are one change for 'undo'


def grouped(names):
    """Return {title: names} of the groups that have any of `names`; the last is 'more'."""
    groups = {title: [name for name in members if name in names] for title, members in GROUPS.items()}
    known = {name for members in groups.values() for name in members}
    groups["more"] = [name for name in names if name not in known]
    return {title: members for title, members in groups.items() if members}


SCRIPT = """
function render({ model, el }) {
  const row = document.createElement("div");
  row.style = "display: flex; flex-wrap: wrap; gap: 8px";
  const [start, face] = ["start", "face"].map(() => {
    const canvas = document.createElement("canvas");
    canvas.style = "image-rendering: pixelated; user-select: none; touch-action: none";
    canvas.setAttribute("role", "img");
    row.append(canvas);
    return canvas;
  });
  face.tabIndex = 0;
  face.title = "press and hold, or hold the space bar: the face at the start";
  let held = false;
  const draw = (canvas, name) => {
    const side = model.get("side"), { buffer, byteOffset, byteLength } = model.get(name);
    canvas.width = canvas.height = side;
    canvas.style.width = canvas.style.height = model.get("size") + "px";
    canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(buffer, byteOffset, byteLength), side, side), 0, 0);
    canvas.setAttribute("aria-label", name === "start" ? "the face at the start" : model.get("words"));
  };
  const paint = () => {
    draw(start, "start");
    draw(face, held ? "start" : "face");
    start.style.display = model.get("beside") ? "" : "none";
  };
  const hold = (on) => (event) => {
    if (event.key !== undefined && event.key !== " ") return;
    if (event.key) event.preventDefault();
    held = on;
    paint();
  };
  face.onpointerdown = face.onkeydown = hold(true);
  face.onpointerup = face.onpointerleave = face.onpointercancel = face.onkeyup = hold(false);
  face.onblur = hold(false);
  const events = ["face", "start", "words", "beside"].map((name) => `change:${name}`);
  for (const event of events) model.on(event, paint);
  paint();
  el.append(row);
  return () => { for (const event of events) model.off(event, paint); };
}
export default { render };
"""


class Face(anywidget.AnyWidget):
    """A picture that shows another one while it is pressed.

    face, start: the bytes of square pictures, RGBA, of `side` x `side` pixels: no PNG, so the page shows them at once. beside:
    also show the start. size: on screen. words: alternative text.
    """

    _esm = SCRIPT
    face = traitlets.Bytes().tag(sync=True)
    start = traitlets.Bytes().tag(sync=True)
    side = traitlets.Int(64).tag(sync=True)
    beside = traitlets.Bool(False).tag(sync=True)
    size = traitlets.Int(256).tag(sync=True)
    words = traitlets.Unicode("").tag(sync=True)


@dataclass(frozen=True)
class State:
    """What an edit is: a start and the way from there. seed None: a face of one's own. layers: (first, last) of w."""

    seed: int | None = 0
    amounts: dict = field(default_factory=dict)
    locked: tuple = ()
    layers: tuple | None = None


class FaceEditor:
    """Moves a face along the axes of its generator.

    generator: a ProGAN, DCGAN (axes in z) or StyleGAN (z or w). axes: its `gan_course.latent.axes.Axes`. seed: of the first face. start:
    the codes of a face of one's own, such as `Projection.w[:1]`, (1, d) or (1, L, d), in place of a random one. psi: of StyleGAN's
    truncation, in w. size: width of the face on screen, in pixels.

    The face is always computed from the start and all amounts, never from the last face; so no click is lost or counted
    twice, and every setting can be undone. Amounts that were set before an attribute was locked stay; then its slider is
    fast, and the others go around it. Raises `CourseError` for axes of another generator.
    """

    def __init__(self, generator, axes, seed=0, start=None, psi=1.0, size=256):
        axes.check(generator)
        self.generator, self.axes, self.psi, self.size = generator, axes, psi, size
        self.most = REACH * STEPS[axes.space][0]  # of an amount
        self.count = len(generator.styled) if axes.space == "w" else 0  # layers to choose from
        self.own = None if start is None else self._codes(start)
        self.state = State(seed=seed if start is None else None)
        self.past, self.future = [], []
        self.last = (None, 0.0)  # which slider was moved, and when
        self.draw = drawer(generator, axes.space)
        self.drawn = None  # (codes of the start, its picture): it stays while the sliders move

    def _codes(self, start):
        start, d = np.asarray(start, "float32"), self.axes.directions.shape[1]
        wish = (1, self.count, d) if self.count else (1, d)
        if start.shape != wish or not np.isfinite(start).all():
            raise CourseError(f"The start has the shape {start.shape}; give finite numbers {wish}.")
        return start

    # --- the face ------------------------------------------------------------------------------------------------

    def start(self):
        """Return the codes of the start, (1, d) or (1, L, d)."""
        if self.state.seed is None:
            return self.own
        latent = fixed_latent(1, latent_dim(self.generator), self.state.seed)
        return self.axes.start(latent, self.generator, self.psi)

    def codes(self):
        """Return the codes of the edited face: first moved by what is locked, from there by the others."""
        state, (_, left) = self.state, self.axes.locked(self.state.locked)
        layers = None if state.layers is None else range(state.layers[0], state.layers[1] + 1)
        free = {
            n: a for n, a in state.amounts.items() if n not in state.locked and left[self.axes.names.index(n)] >= LEAST
        }
        fast = {n: a for n, a in state.amounts.items() if n in state.locked}
        return self.axes.move(self.axes.move(self.start(), fast, (), layers), free, state.locked, layers)

    def pictures(self):
        """Return the face at the start and the edited face, uint8 (2, height, width, 3)."""
        start = self.start()
        if self.drawn is None or not np.array_equal(self.drawn[0], start):
            self.drawn = start, self.draw(start)
        return show.to_uint8(np.concatenate([self.drawn[1], self.draw(self.codes())]))

    # --- changes -------------------------------------------------------------------------------------------------

    def change(self, moved=None, **values):
        """Go on to another state. moved: whose slider it was; quick changes of one slider count as one."""
        new = replace(self.state, **values)
        if new == self.state:
            return
        now = time.monotonic()
        if moved is None or moved != self.last[0] or now - self.last[1] > TOGETHER:
            self.past.append(self.state)
        self.last, self.future, self.state = (moved, now), [], new

    def set(self, name, amount):
        """Move an attribute to `amount`, in degrees or in units of w, 0 being the start."""
        self.axes.numbers([name])
        amounts = self.state.amounts | {name: float(np.clip(amount, -self.most, self.most))}
        self.change(name, amounts={n: a for n, a in amounts.items() if a})

    def lock(self, name, on=True):
        """Lock an attribute, or unlock it."""
        self.axes.numbers([name])
        others = tuple(n for n in self.state.locked if n != name)
        self.change(locked=(*others, name) if on else others)

    def undo(self):
        """Take the last change back."""
        if self.past:
            self.future.append(self.state)
            self.state, self.last = self.past.pop(), (None, 0.0)

    def redo(self):
        """Make the change again that was taken back."""
        if self.future:
            self.past.append(self.state)
            self.state, self.last = self.future.pop(), (None, 0.0)

    def reset(self):
        """Go back to the start: all amounts 0. The locks stay."""
        self.change(amounts={})

    # --- stored --------------------------------------------------------------------------------------------------

    def save(self, path):
        """Write the edited face as `path` (.png), and the settings beside it as .json; return both paths."""
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise CourseError(f"The picture is '{path}'; give a file that ends in .png.")
        values = dict(vars(self.state), space=self.axes.space, psi=self.psi, weights_sha256=self.axes.weights_sha256)
        if self.state.seed is None:
            values["start"] = self.own.tolist()
        show.save(path, self.pictures()[1])
        with atomic_write(path.with_suffix(".json")) as partial:
            partial.write_text(json.dumps(values, indent=1) + "\n")
        return path, path.with_suffix(".json")

    def load(self, path):
        """Take the settings that `save` wrote; raise `CourseError` for a file that is something else, and change nothing."""
        try:
            values = json.loads(Path(path).read_text())
            if values["weights_sha256"] != self.axes.weights_sha256 or values["space"] != self.axes.space:
                raise CourseError(f"'{path}' belongs to another generator or space; load it where it was saved.")
            seed = values["seed"]
            if seed is not None:
                whole_number("seed", seed, 0, 2**32 - 1)
            own = self._codes(values["start"]) if seed is None else self.own
            amounts, locked = {n: float(a) for n, a in values["amounts"].items()}, tuple(values["locked"])
            self.axes.numbers([*amounts, *locked])
            layers, psi = values["layers"] and tuple(map(int, values["layers"])), float(values["psi"])
            if not np.isfinite([psi, *amounts.values()]).all() or np.abs([0, *amounts.values()]).max() > self.most:
                raise ValueError("a number is too large")
            if layers and not 0 <= layers[0] <= layers[1] < self.count:
                raise ValueError(f"layers {layers}")
        except FileNotFoundError:
            raise CourseError(f"There is no file '{path}'; give settings that 'save' wrote.") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CourseError(f"'{path}' holds no settings of an edit ({error!r}); give what 'save' wrote.") from error
        self.own, self.psi = own, psi
        self.change(seed=seed, amounts=amounts, locked=locked, layers=layers)

    # --- the widget ----------------------------------------------------------------------------------------------

    def controls(self):
        """Return the widget. Each change draws one picture."""
        import ipywidgets as widgets

        step, word = STEPS[self.axes.space]
        rows, busy = {}, [False]
        face = Face(size=self.size)
        said = widgets.HTML("press and hold the face to see its start")
        narrow, wide = (widgets.Layout(width=width) for width in ("36px", "46px"))

        def refresh():
            """Draw once, and bring every control in line with the state."""
            state, (_, left) = self.state, self.axes.locked(self.state.locked)
            pictures = self.pictures()
            start, edited = (np.pad(p, ((0, 0), (0, 0), (0, 1)), constant_values=255).tobytes() for p in pictures)
            moved = ", ".join(f"{n.replace('_', ' ')} {a:+g}" for n, a in state.amounts.items())
            with face.hold_sync():  # one message, and the first: the controls may come a little later
                face.words, face.side = f"a generated face, {moved or 'as at the start'}", pictures.shape[1]
                face.start, face.face = start, edited
            time.sleep(0.001)  # the thread that sends gets its turn now, not after the loop
            busy[0] = True  # what is set here must not count as a change
            for name, (minus, slider, plus, lock) in rows.items():
                slider.value, lock.value = state.amounts.get(name, 0.0), name in state.locked
                lock.icon = "lock" if lock.value else "unlock"
                gone = bool(left[self.axes.names.index(name)] < LEAST)
                for widget in (minus, slider, plus):
                    widget.disabled = lock.value or gone
                slider.tooltip = "what is locked leaves nothing of this axis" if gone else ""
            undo.disabled, redo.disabled = not self.past, not self.future
            seed.value = -1 if state.seed is None else state.seed
            if layers:
                layers.value = state.layers or (layers.min, layers.max)
            busy[0] = False

        def act(function):
            """Return a handler that changes the state and then draws; mistakes are told below the face."""

            def handle(change):
                if busy[0]:
                    return
                try:
                    text = function(change)
                except CourseError as error:
                    text = str(error)
                said.value = text or ""
                refresh()

            return handle

        def button(text, function, tooltip, icon=""):
            made = widgets.Button(
                description=text, tooltip=tooltip, icon=icon, layout=widgets.Layout(width="auto", flex="0 0 auto")
            )
            made.on_click(act(function))
            return made

        def row(name):
            """A line of the table: name, minus, slider, plus, lock."""
            label = name.replace("_", " ")
            slider = widgets.FloatSlider(0, min=-self.most, max=self.most, step=step / 5, readout_format="+.1f")
            minus, plus = (
                widgets.Button(description=sign, tooltip=f"{label} {sign}", layout=narrow) for sign in ("-", "+")
            )
            lock = widgets.ToggleButton(False, icon="unlock", tooltip=f"lock {label}", layout=wide)
            slider.observe(act(lambda change: self.set(name, change["new"])), "value")
            minus.on_click(act(lambda _: self.set(name, self.state.amounts.get(name, 0.0) - strength.value)))
            plus.on_click(act(lambda _: self.set(name, self.state.amounts.get(name, 0.0) + strength.value)))
            lock.observe(act(lambda change: self.lock(name, change["new"])), "value")
            rows[name] = (minus, slider, plus, lock)
            return widgets.HBox([widgets.Label(label, layout=widgets.Layout(width="140px")), *rows[name]])

        strength = widgets.FloatSlider(step, min=step / 5, max=2 * step, step=step / 5, description="a step")
        strength.tooltip = word
        seed = widgets.IntText(0, description="seed")
        seed.observe(
            act(lambda change: self.change(seed=whole_number("The seed", change["new"], 0, 2**32 - 1))), "value"
        )
        layers = None
        if self.count:
            last = self.count - 1
            layers = widgets.IntRangeSlider(value=(0, last), min=0, max=last, description="layers")
            layers.observe(act(lambda change: self.change("layers", layers=tuple(change["new"]))), "value")
        random = np.random.default_rng()
        another = button("random face", lambda _: self.change(seed=int(random.integers(10**6))), "draw another face")
        undo = button("undo", lambda _: self.undo(), "take the last change back", "undo")
        redo = button("redo", lambda _: self.redo(), "make it again", "repeat")
        reset = button("reset", lambda _: self.reset(), "all sliders to 0; the locks stay")
        beside = widgets.Checkbox(False, description="start beside it", indent=False)
        widgets.link((beside, "value"), (face, "beside"))
        place = widgets.Text("face.png", description="file")

        def settings_file():
            return Path(place.value).with_suffix(".json")

        save = button(
            "save", lambda _: "saved: " + " and ".join(map(str, self.save(place.value))), "picture and settings"
        )
        load = button("load", lambda _: self.load(settings_file()), "take the settings of this file")

        shown = grouped(self.axes.names)
        tabs = widgets.Tab([widgets.VBox([row(name) for name in names]) for names in shown.values()])
        for i, title in enumerate(shown):
            tabs.set_title(i, title)
        refresh()
        buttons = [
            widgets.HBox([another, seed]),
            widgets.HBox([undo, redo, reset, beside]),
            widgets.HBox([place, save, load]),
        ]
        right = [tabs, strength, *([layers] if layers else [])]
        return widgets.HBox([widgets.VBox([face, said, *buttons]), widgets.VBox(right)])
