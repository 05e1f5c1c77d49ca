"""Two faces, and a box for each layer of a StyleGAN that says whose style the layer takes."""

import imageio.v3 as iio
import numpy as np

from gan_course import show
from gan_course.backend import compiled, no_gradient, to_numpy
from gan_course.latent.sampling import fixed_latent

BANDS = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1024)}  # sides of the maps in pixels, as in the paper


def bands(generator):
    """Return {name: [layers]}: which layers of a generator are coarse, middle and fine."""
    return {
        name: [i for i, side in enumerate(generator.sizes) if low <= side <= high]
        for name, (low, high) in BANDS.items()
    }


class StyleMixer:
    """Mixes the styles of two faces, layer by layer.

    generator: a `gan_course.models.stylegan.Generator`. seeds: of the first and of the second face. psi: of the truncation. size: width of
    a face on screen, in pixels. `from_second` is the set of layers that take the second face's style.
    """

    def __init__(self, generator, seeds=(0, 1), psi=1.0, size=192):
        self.generator, self.seeds, self.psi, self.size = generator, list(seeds), psi, size
        self.from_second = set(bands(generator)["coarse"])
        self.noise_seed = 0  # 0: the generator's fixed noise
        self.synthesize = compiled(generator.synthesize)  # quicker, after the first picture

    def styles(self):
        """Return the w of the first face, of the second, and of the mixture, (3, L, latent_dim)."""
        latent = np.concatenate([fixed_latent(1, self.generator.latent_dim, seed) for seed in self.seeds])
        w = to_numpy(self.generator.map(latent, psi=self.psi))
        chosen = np.isin(np.arange(w.shape[1]), list(self.from_second))
        return np.stack([*w, np.where(chosen[:, None], w[1], w[0])])

    def noise(self):
        """Return the noise of each layer: the generator's own, or what `noise_seed` draws."""
        if not self.noise_seed:
            return "fixed"
        random = np.random.default_rng(self.noise_seed)
        return [random.normal(size=(1, side, side, 1)).astype("float32") for side in self.generator.sizes]

    def faces(self):
        """Return the first face, the second and the mixture, uint8 (3, height, width, 3)."""
        with no_gradient():
            return show.to_uint8(to_numpy(self.synthesize(self.styles(), self.noise())))

    def controls(self):
        """Return the widget: three faces, a box a layer, the seeds, the noise, the truncation, and a button that saves."""
        import ipywidgets as widgets

        faces = [widgets.Image(format="jpeg", width=self.size) for _ in range(3)]
        titles = [widgets.Label(text) for text in ("first face", "second face", "mixture")]
        names = [f"layer {i}: {side}x{side}" for i, side in enumerate(self.generator.sizes)]
        boxes = [
            widgets.Checkbox(i in self.from_second, description=name, indent=False) for i, name in enumerate(names)
        ]
        buttons = [
            widgets.Button(description=f"only {name}", tooltip="only these layers from the second face")
            for name in BANDS
        ]
        seeds = [
            widgets.IntText(seed, description=text) for seed, text in zip(self.seeds, ("first", "second"), strict=True)
        ]
        noise = widgets.IntSlider(0, 0, 50, description="noise", tooltip="0: always the same noise")
        psi = widgets.FloatSlider(self.psi, min=-1, max=1.5, step=0.1, description="psi")
        save, path = widgets.Button(description="save picture"), widgets.Text("mixture.png", description="to")
        said = widgets.Label("layers with a tick take the second face's style")

        def draw(_=None):
            self.from_second = {i for i, box in enumerate(boxes) if box.value}
            self.seeds, self.noise_seed, self.psi = [abs(seed.value) for seed in seeds], noise.value, psi.value
            for widget, picture in zip(faces, self.faces(), strict=True):
                picture = show.sheet(picture[None], scale=max(1, self.size // len(picture)))
                widget.value = iio.imwrite("<bytes>", picture, extension=".jpg", quality=90)

        def only(layers):
            def act(_):
                for box in boxes:
                    box.unobserve(draw, "value")
                for i, box in enumerate(boxes):
                    box.value = i in layers
                    box.observe(draw, "value")
                draw()

            return act

        def save_picture(_):
            said.value = f"saved to {show.save(path.value, show.sheet(self.faces(), columns=3))}"

        for widget in (*boxes, *seeds, noise, psi):
            widget.observe(draw, "value")
        for button, layers in zip(buttons, bands(self.generator).values(), strict=True):
            button.on_click(only(layers))
        save.on_click(save_picture)
        draw()
        columns = [widgets.VBox([title, face]) for title, face in zip(titles, faces, strict=True)]
        layers = widgets.VBox([said, *boxes, widgets.HBox(buttons)])
        return widgets.VBox(
            [widgets.HBox(columns), widgets.HBox([layers, widgets.VBox([*seeds, noise, psi, path, save])])]
        )
