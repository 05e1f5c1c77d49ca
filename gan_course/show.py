"""Pictures of many faces: sheets, GIFs and curves. No mathematics here."""

import base64
import io
from html import escape
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from gan_course.errors import CourseError
from gan_course.files import atomic_write


def to_uint8(images):
    """Return pictures in [-1, 1] as bytes: clip(round((x + 1) * 127.5), 0, 255), NaN as 0. Bytes pass unchanged."""
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    pixels = np.clip(np.rint((images.astype("float32") + 1.0) * 127.5), 0, 255)
    return np.nan_to_num(pixels).astype(np.uint8)


def sheet(images, columns=None, gap=2, scale=1):
    """Return one uint8 picture (height, width, 3) with `images` (n, h, w, 3) in rows of `columns`.

    Without `columns` the sheet is as square as it can be. `gap` is the white space between faces and `scale`
    repeats every pixel, both in whole pixels: nothing is smoothed, you see what the network drew.
    """
    images = to_uint8(images)
    if images.ndim != 4 or not len(images):
        raise CourseError(f"A sheet needs pictures of shape (n, h, w, 3), and got {images.shape}.")
    count, height, width, depth = images.shape
    columns = min(count, columns or int(np.ceil(np.sqrt(count))))
    rows = -(-count // columns)
    page = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, depth), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        page[top : top + height, left : left + width] = image
    return page.repeat(scale, axis=0).repeat(scale, axis=1)


def save(path, page):
    """Write one uint8 picture to `path` (.png, .jpg) so that no half-written file is ever seen."""
    with atomic_write(path) as partial:
        iio.imwrite(partial, page)
    return Path(path)


def evenly(items, most=100):
    """Return at most `most` of `items` in their order, evenly spaced, the first and the last among them."""
    items = list(items)
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).astype(int))]


def save_gif(path, pages, seconds=6.0, hold=1.5):
    """Write `pages` (uint8, equal shapes) as a GIF of about `seconds` that rests on its last page for `hold`.

    At most 100 of the pages are used (see `evenly`).
    """
    path = Path(path)
    chosen = evenly(pages)
    if not chosen:
        raise CourseError(f"There is no picture to put into {path}; train at least until the first sheet.")
    each = max(40, 1000 * seconds / len(chosen))  # milliseconds; browsers slow down anything quicker
    # Pillow takes no list for a single page.
    times = [each] * (len(chosen) - 1) + [1000 * hold] if len(chosen) > 1 else 1000 * hold
    with atomic_write(path) as partial:
        iio.imwrite(partial, np.stack(chosen), duration=times, loop=0)
    return path


def show(images, columns=None, scale=1, alt="A sheet of faces"):
    """Show a sheet in the notebook as a picture, with alt text for screen readers."""
    display_picture(sheet(images, columns, scale=scale), alt)


def picture(data, alt, width=None):
    """Return an encoded picture (bytes of a PNG, JPEG or GIF) as HTML, for `IPython.display.display`.

    As HTML, and not as an `Image`, because JupyterLab and a rendered page drop the alt text of an `Image`, and the page
    drops GIFs.
    """
    from IPython.display import HTML

    kind = {b"\x89P": "png", b"\xff\xd8": "jpeg", b"GI": "gif"}[data[:2]]
    size = f' width="{width}"' if width else ""
    return HTML(f'<img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" alt="{escape(alt)}"{size}>')


def display_picture(page, alt, width=None):
    """Show one uint8 picture (h, w, 3) in the notebook; JPEG keeps a stored lesson small."""
    from IPython.display import display

    data = iio.imwrite("<bytes>", page, extension=".jpg", quality=90)
    display(picture(data, alt, width or page.shape[1]))


def beside(pages, alt, gap=16):
    """Show uint8 pictures of one height side by side, each under its title: `pages` is {title: picture}."""
    from PIL import Image, ImageDraw

    parts = []
    for title, page in pages.items():
        head = Image.new("RGB", (page.shape[1], 22), "white")
        ImageDraw.Draw(head).text((2, 3), title, fill="black", font_size=14)
        parts += [np.concatenate([np.asarray(head), page]), np.full((len(page) + 22, gap, 3), 255, np.uint8)]
    display_picture(np.concatenate(parts[:-1], axis=1), alt)


def labelled(pages, width=190, gap=6):
    """Return one picture of {label: uint8 picture}, one below the other, each with its label to its left."""
    from PIL import Image, ImageDraw

    rows = []
    for text, page in pages.items():
        label = Image.new("RGB", (width, len(page)), "white")
        ImageDraw.Draw(label).text((4, len(page) // 2 - 7 * (text.count("\n") + 1)), text, fill="black", font_size=12)
        row = np.concatenate([np.asarray(label), page], axis=1)
        rows += [row, np.full((gap, row.shape[1], 3), 255, np.uint8)]
    return np.concatenate(rows[:-1])


def film(path, alt, width=None):
    """Show a GIF in the notebook."""
    from IPython.display import display

    display(picture(Path(path).read_bytes(), alt, width))


def figure(fig, alt):
    """Show a matplotlib figure in the notebook with alt text, and close it.

    As PNG, or as JPEG where that takes less than half the bytes: photographs, faces.
    """
    import matplotlib.pyplot as plt
    from IPython.display import display

    png, jpeg = io.BytesIO(), io.BytesIO()
    fig.savefig(png, format="png", dpi=80, bbox_inches="tight", pil_kwargs={"optimize": True})
    fig.savefig(jpeg, format="jpeg", dpi=80, bbox_inches="tight", pil_kwargs={"optimize": True, "quality": 90})
    plt.close(fig)
    smaller = jpeg if 2 * len(jpeg.getvalue()) < len(png.getvalue()) else png
    display(picture(smaller.getvalue(), alt))


def curves(ax, steps, values, labels=None):
    """Draw named curves into `ax`, each labelled at its end instead of in a legend.

    `values`: {name: list of numbers as long as `steps`}.
    """
    lines = {name: ax.plot(steps, numbers, linewidth=1.5)[0] for name, numbers in values.items()}
    if len(steps):
        # Two labels must not lie on each other where the curves end at one place: one goes up, one goes down.
        place = dict.fromkeys(values, "center")
        if len(values) == 2:
            low, high = sorted(values, key=lambda name: values[name][-1])
            place = {low: "top", high: "bottom"}
        for name, numbers in values.items():
            text, style = (labels or {}).get(name, name), dict(color=lines[name].get_color(), va=place[name])
            ax.annotate(text, (steps[-1], numbers[-1]), (4, 0), textcoords="offset points", **style)
    ax.set_xlabel("training step")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
