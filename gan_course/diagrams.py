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


def style_generator(levels=(4, 8)):
    """Return (figure, alt text) of StyleGAN's generator: the mapping network, and the layers of its first levels.

    levels: the sides of the maps that are drawn; the last block stands for all further ones.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    parts = {"plain": ("0.35", "0.93"), "style": (COLOURS["D"], PALE["D"]), "noise": (COLOURS["G"], PALE["G"])}
    rows = []  # (text, kind), from the top
    for i, side in enumerate(levels):
        first = [("constant 4x4", "start")] if i == 0 else [("upsample, conv 3x3, blur", "plain")]
        for head in (first, [("conv 3x3", "plain")]):
            rows += [(*head[0], side), ("+ noise", "noise", side), ("bias, leaky ReLU", "plain", side)]
            rows.append(("AdaIN", "style", side))
    height = 0.62 * len(rows) + 1.7
    figure = Figure(figsize=(9.5, 0.52 * height))
    ax = figure.add_axes([0, 0, 1, 1])
    ax.set(xlim=(0, 12), ylim=(-height + 0.6, 1.0))
    ax.set_axis_off()

    def box(x, y, text, kind="plain", wide=2.5):
        edge, face = parts["plain"] if kind == "start" else parts[kind]
        patch = FancyBboxPatch((x - wide / 2, y - 0.2), wide, 0.4, boxstyle="round,pad=0.03", linewidth=1.3)
        patch.set(facecolor="white" if kind == "start" else face, edgecolor=edge)
        ax.add_patch(patch)
        ax.text(x, y, text, ha="center", va="center", fontsize=10, color="black" if kind == "start" else edge)

    def arrow(start, end, colour="0.35"):
        ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, linewidth=1.3, color=colour))

    left, trunk, right = 1.7, 6.6, 10.2
    ax.text(left, 0.65, "mapping network f", ha="center", fontsize=11.5, fontweight="bold")
    ax.text(trunk, 0.65, "synthesis network", ha="center", fontsize=11.5, fontweight="bold")
    steps = ["z ~ N(0, I)", "PixelNorm", "dense, leaky ReLU", "dense, leaky ReLU", "…", "dense, leaky ReLU", "w = f(z)"]
    for i, text in enumerate(steps):
        y = -0.62 * i
        box(left, y, text, {0: "start", len(steps) - 1: "style"}.get(i, "plain"))
        if i:
            arrow((left, y + 0.39), (left, y + 0.23))
    bus, end = 4.0, -0.62 * (len(steps) - 1)
    style = COLOURS["D"]
    places = [-0.62 * i for i, row in enumerate(rows) if row[1] == "style"]
    ax.plot([left + 1.28, bus], [end, end], color=style, linewidth=1.6)
    ax.plot([bus, bus], [max(places[0], end), min(places[-1], end)], color=style, linewidth=1.6)
    for i, (text, kind, side) in enumerate(rows):
        y = -0.62 * i
        box(trunk, y, text, kind)
        if i:
            arrow((trunk, y + 0.39), (trunk, y + 0.23))
        if kind == "style":
            arrow((bus, y), (trunk - 1.3, y), style)
            ax.text(bus + 0.62, y + 0.1, "A", ha="center", va="bottom", fontsize=10.5, color=style, fontweight="bold")
        if kind == "noise":
            arrow((right - 0.1, y), (trunk + 1.3, y), COLOURS["G"])
            text = "B" if i > 1 else "B   random numbers, one a pixel"
            ax.text(right, y, text, va="center", fontsize=10.5, color=COLOURS["G"])
        if i % 8 == 3:
            ax.text(trunk + 1.6, y - 0.31, f"{side}x{side}", va="center", fontsize=10, color="0.35")
    last = -0.62 * len(rows)
    arrow((trunk, last + 0.39), (trunk, last + 0.2))
    ax.text(trunk, last, "… further levels, then to RGB …", ha="center", va="center", fontsize=10, color="0.35")
    for i, note in enumerate(
        (
            "A: dense, w to 2C numbers",
            "(C: maps of the layer);",
            "another one for each AdaIN",
            "B: one learned factor a map",
        )
    ):
        ax.text(0.42, end - 1.5 - 0.5 * i, note, va="center", fontsize=9.5, color="0.25")
    alt = (
        "Drawing: on the left the mapping network turns z into w by PixelNorm and dense layers. On the right the "
        f"synthesis network begins with a constant of 4x4; its layers, here two at {' and two at '.join(f'{s}x{s}' for s in levels)}, "
        "each do: convolution (the first one has none), plus noise, bias and leaky ReLU, AdaIN. w goes into every AdaIN, "
        "noise into every layer; z goes nowhere else."
    )
    return figure, alt
