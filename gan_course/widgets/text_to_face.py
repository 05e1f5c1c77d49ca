"""A box for a sentence, the faces that are drawn from it, and what the network understood, word by word."""

from html import escape

import imageio.v3 as iio
import numpy as np

from gan_course import show
from gan_course.backend import compiled, no_gradient, to_numpy
from gan_course.errors import CourseError
from gan_course.latent.sampling import fixed_latent, latent_dim


class TextToFace:
    """Draws faces from a sentence.

    found: a network that reads, of `pretrained.find`. count: faces at once. variety: what the random numbers are
    multiplied by; 0 leaves only the sentence, so all faces are alike. size: width of a face on screen, in pixels.

    `draw()` draws `text` with `seed` and `variety`, and adds them to `history`, newest last.
    """

    def __init__(
        self, found, text="A young woman with glasses and black hair.", seed=0, variety=1.0, count=4, size=128
    ):
        found.must_read()
        self.network, self.config = found.network, found.config
        self.text, self.seed, self.variety, self.count, self.size = text, seed, variety, count, size
        self.history, self.understood = [], None
        self.generate = compiled(lambda latent, psi: self.network([latent, psi]))  # quicker, after the first picture

    def draw(self):
        """Return the faces, uint8 (count, height, width, 3). Raises `CourseError` where the sentence cannot be read."""
        self.understood = self.config.understand(self.network, self.text)
        psi = np.repeat(self.config.read(self.network, [self.text]), self.count, axis=0)
        latent = np.float32(self.variety) * fixed_latent(self.count, latent_dim(self.network), self.seed)
        with no_gradient():
            faces = show.to_uint8(to_numpy(self.generate(latent, psi)))
        now = self.text, self.seed, self.variety
        if now not in self.history:
            self.history.append(now)
        return faces

    def highlighted(self):
        """Return the sentence of the last `draw` as HTML: the more a word told, the darker; unknown words struck out.

        Below it, what was told as a list, so that nobody needs the colours.
        """
        parts = []
        for word, attribute, share in self.understood.words:
            if word in self.understood.unknown:
                parts.append(f'<s title="never seen">{escape(word)}</s>')
            elif attribute:
                style = f"background: rgba(255, 190, 60, {0.25 + 0.75 * share:.2f}); color: black"
                parts.append(f'<span style="{style}" title="{escape(attribute)}: {share:.2f}">{escape(word)}</span>')
            else:
                parts.append(escape(word))
        return f"<p>{' '.join(parts)}</p><p>{escape(str(self.understood))}</p>"

    def controls(self):
        """Return the widget: a box for the sentence, seed, variety, the faces, what was understood, and the history."""
        import ipywidgets as widgets

        box = widgets.Text(self.text, description="sentence", layout={"width": "95%"}, continuous_update=False)
        seed = widgets.IntText(self.seed, description="seed")
        variety = widgets.FloatSlider(
            self.variety, min=0, max=1.5, step=0.1, description="variety", continuous_update=False
        )
        faces = widgets.Image(format="jpeg", width=self.count * self.size)
        said = widgets.HTML()
        history = widgets.Dropdown(options=[], description="history")

        def draw(_=None):
            self.text, self.seed, self.variety = box.value, abs(seed.value), variety.value
            try:
                pictures = self.draw()
            except CourseError as error:
                said.value = f"<p>{escape(str(error))}</p>"
                return
            page = show.sheet(pictures, columns=self.count, scale=max(1, self.size // pictures.shape[1]))
            faces.value = iio.imwrite("<bytes>", page, extension=".jpg", quality=90)
            said.value = self.highlighted()
            history.unobserve(again, "value")
            names = [f"{text} (seed {number}, variety {much:.1f})" for text, number, much in self.history]
            history.options = list(zip(names, range(len(names)), strict=True))
            history.value = self.history.index((self.text, self.seed, self.variety))
            history.observe(again, "value")

        def again(change):
            for widget in (box, seed, variety):
                widget.unobserve(draw, "value")
            box.value, seed.value, variety.value = self.history[change["new"]]
            for widget in (box, seed, variety):
                widget.observe(draw, "value")
            draw()

        for widget in (box, seed, variety):
            widget.observe(draw, "value")
        history.observe(again, "value")
        draw()
        return widgets.VBox([box, widgets.HBox([seed, variety]), faces, said, history])
