"""Drawings that explain, for more than one lesson. They show no results."""

import numpy as np

from gan_course import show

# Blue and vermilion of Okabe and Ito: told apart with any colour vision. The same as in the GAN lab: D judges, G draws.
COLOURS = {"D": "#0072B2", "G": "#D55E00"}
PALE = {"D": "#D3E6F3", "G": "#FBE3D0"}


def _smile(noise):
    """Return a face of 16x16 pixels, uint8, with so much noise."""
    y, x = np.mgrid[-1:1:16j, -1:1:16j]
    face = np.where((x**2 + y**2 < 0.85)[..., None], (240, 200, 150), (200, 215, 230)).astype("float32")
    face[((abs(abs(x) - 0.33) < 0.1) & (abs(y + 0.33) < 0.2)) | ((abs(x) < 0.45) & (abs(y - 0.4) < 0.1))] = 40
    return np.clip(face + noise * np.random.default_rng(0).normal(size=face.shape), 0, 255).astype(np.uint8)


def game(real=None, drawn=None, gradients="DG"):
    """Return (figure, alt text) of the game: what goes from network to network, and the gradient of each player.

    real, drawn: one picture each (height, width, 3), bytes or in [-1, 1]; without them stands a simple face.
    gradients: which of the players' gradients to draw: 'DG', 'D', 'G' or ''.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    figure = Figure(figsize=(11, 4.0))
    ax = figure.add_axes([0, 0, 1, 1])
    ax.set(xlim=(0, 11), ylim=(-0.1, 3.9))
    ax.set_axis_off()

    def arrow(start, end, colour="0.35", bend=0.0, dashed=False):
        style = dict(arrowstyle="-|>", mutation_scale=16, linewidth=2.4 if dashed else 1.6, color=colour)
        line = FancyArrowPatch(
            start, end, connectionstyle=f"arc3,rad={bend}", linestyle=(0, (4, 2)) if dashed else "-", **style
        )
        ax.add_patch(line)

    def network(x, y, name, below):
        box = FancyBboxPatch((x - 0.6, y - 0.45), 1.2, 0.9, boxstyle="round,pad=0.05", linewidth=2)
        box.set(facecolor=PALE[name], edgecolor=COLOURS[name])
        ax.add_patch(box)
        ax.text(x, y + 0.08, name, ha="center", va="center", fontsize=19, fontweight="bold", color=COLOURS[name])
        ax.text(x, y - 0.29, below, ha="center", va="center", fontsize=9.5, color=COLOURS[name])

    def face(x, y, image, text):
        ax.imshow(show.to_uint8(image), extent=(x - 0.5, x + 0.5, y - 0.5, y + 0.5), interpolation="nearest", zorder=2)
        ax.text(x, y - 0.66, text, ha="center", va="center", fontsize=10.5)

    def loss(x, y, name, formula):
        box = FancyBboxPatch((x - 1.1, y - 0.34), 2.2, 0.68, boxstyle="square,pad=0.02", linewidth=1.4)
        box.set(facecolor="white", edgecolor=COLOURS[name])
        ax.add_patch(box)
        ax.text(x, y + 0.14, f"loss of {name}", ha="center", va="center", fontsize=10.5, color=COLOURS[name])
        ax.text(x, y - 0.14, formula, ha="center", va="center", fontsize=9.5, color=COLOURS[name])

    ax.text(0.55, 2.45, "0.3\n–1.2\n0.7\n…", ha="center", va="center", fontsize=11, family="monospace")
    ax.text(0.55, 1.62, "latent\nvector z", ha="center", va="center", fontsize=10.5)
    network(2.3, 2.45, "G", "generator")
    face(4.3, 2.45, _smile(25) if drawn is None else drawn, "drawn, G(z)")
    face(4.3, 0.8, _smile(0) if real is None else real, "real, x")
    network(6.4, 1.6, "D", "discriminator")
    ax.text(7.72, 1.6, "score", ha="center", va="center", fontsize=10.5)
    loss(9.75, 2.45, "G", "small if D says 'real' to G(z)")
    loss(9.75, 0.8, "D", "small if D is right on both")
    arrow((0.95, 2.45), (1.62, 2.45))
    arrow((2.98, 2.45), (3.78, 2.45))
    arrow((4.82, 2.35), (5.72, 1.85))
    arrow((4.82, 0.9), (5.72, 1.4))
    arrow((7.07, 1.6), (7.42, 1.6))
    arrow((8.02, 1.72), (8.6, 2.2))
    arrow((8.02, 1.48), (8.6, 1.05))
    told = []
    if "G" in gradients:
        arrow((8.95, 2.86), (6.6, 2.15), COLOURS["G"], 0.18, dashed=True)
        arrow((6.15, 2.15), (4.75, 3.0), COLOURS["G"], 0.14, dashed=True)
        arrow((4.05, 3.05), (2.45, 3.0), COLOURS["G"], 0.2, dashed=True)
        text = "gradient of G: back through D and through the picture, to the weights of G"
        ax.text(5.6, 3.62, text, ha="center", va="center", fontsize=11, color=COLOURS["G"])
        told.append(
            "the gradient of G runs from G's loss back through D and through the drawn picture to the weights of G"
        )
    if "D" in gradients:
        arrow((8.95, 0.38), (6.4, 1.05), COLOURS["D"], -0.25, dashed=True)
        text = "gradient of D: to the weights of D, and no further"
        ax.text(7.3, 0.02, text, ha="center", va="center", fontsize=11, color=COLOURS["D"])
        told.append("the gradient of D runs from D's loss back to the weights of D and ends there")
    alt = (
        "Drawing: a latent vector goes into G, which draws a picture; D gets drawn and real pictures and gives a score; "
        "from the scores come two losses, one for G and one for D."
    )
    return figure, alt + "".join(f" Dashed: {line}." for line in told)
