"""Sliders that walk through latent space, and the same walk as a strip for paper."""

import imageio.v3 as iio
import numpy as np

from gan_course import show
from gan_course.latent.sampling import fixed_latent


class LatentWalk:
    """A walk around a circle in latent space.

    Two latent vectors a, b ~ N(0, I) span a plane, and the walk in it is

        z(angle) = radius * (cos(angle) * a + sin(angle) * b).

    At radius 1 every stop is itself a draw from N(0, I) (independent normal numbers, weights whose squares sum
    to 1): no stop is less likely in training than another. A straight line from a to b has no such promise.

    model: a `GAN`, or any generator that maps (batch, latent_dim) to pictures in [-1, 1].
    seed: which a and b. size: width of the picture on screen, in pixels.
    """

    def __init__(self, model, seed=0, size=192):
        self.model, self.seed, self.size = model, seed, size
        self.latent_dim = getattr(model, "latent_dim", None) or model.input_shape[-1]

    def latent(self, angles, radius=1.0):
        """Return the latent vectors (n, latent_dim) at these angles, in degrees."""
        a, b = fixed_latent(2, self.latent_dim, self.seed)
        angles = np.radians(np.atleast_1d(angles)).astype("float32")[:, None]
        return np.float32(radius) * (np.cos(angles) * a + np.sin(angles) * b)

    def faces(self, angles, radius=1.0):
        """Return the pictures (n, height, width, 3) at these angles, uint8."""
        return show.to_uint8(self.model(self.latent(angles, radius), training=False))

    def strip(self, count=9, radius=1.0, scale=2):
        """Return `count` stops of the whole circle side by side, as one uint8 picture; the last is the first again."""
        return show.sheet(self.faces(np.linspace(0, 360, count), radius), columns=count, scale=scale)

    def controls(self):
        """Return the widget: a face, a slider for the angle, one for the radius, and a button for another circle."""
        import ipywidgets as widgets

        angle = widgets.IntSlider(0, 0, 360, 5, description="angle")
        radius = widgets.FloatSlider(1.0, min=0.0, max=2.0, step=0.1, description="radius")
        button = widgets.Button(description="another circle")
        face = widgets.Image(format="jpeg", width=self.size)

        def draw(_=None):
            (picture,) = self.faces(angle.value, radius.value)
            picture = picture.repeat(max(1, self.size // len(picture)), 0).repeat(max(1, self.size // len(picture)), 1)
            face.value = iio.imwrite("<bytes>", picture, extension=".jpg", quality=90)

        def another(_):
            self.seed += 1
            draw()

        angle.observe(draw, "value")
        radius.observe(draw, "value")
        button.on_click(another)
        draw()
        return widgets.HBox([face, widgets.VBox([angle, radius, button])])
