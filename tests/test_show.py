"""Pictures: bytes, the layout of a sheet to the pixel, files that are whole, and GIFs that play right."""

import numpy as np
import pytest
from PIL import Image

from gan_course import show
from gan_course.errors import CourseError


def test_to_uint8():
    x = np.array([-1.0, 0.0, 1.0, -3.0, 3.0, np.nan, -1 + 1 / 127.5])
    assert show.to_uint8(x).tolist() == [0, 128, 255, 0, 255, 0, 1]
    assert show.to_uint8(x).dtype == np.uint8
    every = np.arange(256, dtype=np.uint8)
    assert show.to_uint8(every) is every
    np.testing.assert_array_equal(show.to_uint8(every / 127.5 - 1), every)  # there and back
    assert show.to_uint8(x.astype("float16")).tolist()[:3] == [0, 128, 255]


def test_sheet_layout():
    faces = np.stack([np.full((2, 3, 3), 10 * (i + 1), np.uint8) for i in range(5)])
    page = show.sheet(faces, columns=3, gap=1)
    x = 255
    assert page[:, :, 0].tolist() == [
        [10, 10, 10, x, 20, 20, 20, x, 30, 30, 30],
        [10, 10, 10, x, 20, 20, 20, x, 30, 30, 30],
        [x] * 11,
        [40, 40, 40, x, 50, 50, 50, x, x, x, x],
        [40, 40, 40, x, 50, 50, 50, x, x, x, x],
    ]
    np.testing.assert_array_equal(page[:, :, 0], page[:, :, 2])
    doubled = show.sheet(faces, columns=3, gap=1, scale=2)
    np.testing.assert_array_equal(doubled[::2, ::2], page)
    np.testing.assert_array_equal(doubled[1::2, 1::2], page)


@pytest.mark.parametrize("count, shape", [(1, (4, 4)), (2, (4, 10)), (36, (34, 34)), (10, (16, 22))])
def test_sheet_is_as_square_as_can_be(count, shape):
    assert show.sheet(np.zeros((count, 4, 4, 3), np.uint8)).shape == (*shape, 3)


def test_sheet_keeps_the_pixels():
    faces = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3), dtype=np.uint8)
    page = show.sheet(faces)
    np.testing.assert_array_equal(page[7:12, 7:12], faces[3])


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (4, 4, 3)])
def test_a_sheet_of_nothing(shape):
    with pytest.raises(CourseError, match="shape"):
        show.sheet(np.zeros(shape))


def test_save_reads_back(tmp_path):
    page = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    for name in ("new/folder/a.png", "b.PNG"):
        show.save(tmp_path / name, page)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name)), page)
    show.save(tmp_path / "c.jpg", page)
    assert Image.open(tmp_path / "c.jpg").format == "JPEG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.PNG", "c.jpg", "new"]


def test_a_failure_while_saving_leaves_the_old_picture(tmp_path, monkeypatch):
    path = show.save(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    film = show.save_gif(tmp_path / "a.gif", [np.zeros((4, 4, 3), np.uint8)])
    old = path.read_bytes(), film.read_bytes()

    def broken(file, *args, **kwargs):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(show.iio, "imwrite", broken)
    with pytest.raises(OSError, match="disk full"):
        show.save(path, np.ones((4, 4, 3), np.uint8))
    with pytest.raises(OSError, match="disk full"):
        show.save_gif(film, [np.ones((4, 4, 3), np.uint8)])
    assert (path.read_bytes(), film.read_bytes()) == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.gif", "a.png"]


def film(path):
    """Return (first pixel of each frame, its milliseconds, loop) of a GIF, as Pillow reads it."""
    pixels, times = [], []
    with Image.open(path) as gif:
        loop = gif.info.get("loop")
        for i in range(gif.n_frames):
            gif.seek(i)
            pixels.append(gif.convert("RGB").getpixel((0, 0))[0])
            times.append(gif.info["duration"])
    return pixels, times, loop


def pages(count):
    """Pages that differ, each with some colours of its own."""
    faces = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    faces[:, :2, :2] = np.linspace(0, 255, count).astype(np.uint8)[:, None, None, None]
    return list(faces)


def test_gif_rests_on_its_last_page(tmp_path):
    pixels, times, loop = film(show.save_gif(tmp_path / "a.gif", pages(6), seconds=1.2, hold=2.5))
    assert len(pixels) == 6 and pixels == sorted(pixels)
    assert times == [200] * 5 + [2500] and loop == 0


def test_gif_of_many_pages(tmp_path):
    pixels, times, _ = film(show.save_gif(tmp_path / "a.gif", pages(250), seconds=6))
    assert len(pixels) == 100 and times == [60] * 99 + [1500]
    assert abs(pixels[0] - 0) < 8 and abs(pixels[-1] - 255) < 8  # a GIF has 256 colours


def test_gif_of_one_page_and_of_equal_pages(tmp_path):
    pixels, _, _ = film(show.save_gif(tmp_path / "a.gif", pages(1)))
    assert len(pixels) == 1
    _, times, _ = film(show.save_gif(tmp_path / "b.gif", pages(1) * 3, seconds=0.6, hold=1.0))
    assert sum(times) == 1400  # Pillow may join equal frames, but not lose their time


def test_gif_of_nothing(tmp_path):
    with pytest.raises(CourseError, match="a.gif"):
        show.save_gif(tmp_path / "a.gif", [])


@pytest.mark.parametrize("count, most", [(1, 5), (5, 5), (6, 5), (99, 5), (250, 100)])
def test_evenly(count, most):
    chosen = show.evenly(range(count), most)
    assert len(chosen) == min(count, most) and chosen[0] == 0 and chosen[-1] == count - 1
    gaps = np.diff(chosen)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
    assert show.evenly([]) == []


def test_curves_are_labelled_at_their_end():
    from matplotlib.figure import Figure

    axes = show.curves(Figure().subplots(), [1, 2], {"a": [3, 4], "b": [5, 6]}, {"a": "first"})
    assert [(text.get_text(), text.xy) for text in axes.texts] == [("first", (2, 4)), ("b", (2, 6))]
    show.curves(Figure().subplots(), [], {"a": []})  # before the first epoch


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif"])
def test_a_picture_keeps_its_alt_text(kind, tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a", kind)
    html = show.picture((tmp_path / "a").read_bytes(), 'a "smile" & more', width=20).data
    assert html.startswith(f'<img src="data:image/{kind};base64,') and ' width="20">' in html
    assert 'alt="a &quot;smile&quot; &amp; more"' in html


@pytest.mark.parametrize("noisy, kind", [(True, "jpeg"), (False, "png")])
def test_a_figure_takes_the_smaller_format(noisy, kind, monkeypatch):
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr("IPython.display.display", lambda x: shown.append(x.data))
    fig, ax = plt.subplots()
    ax.imshow(np.random.default_rng(0).random((600, 600, 3))) if noisy else ax.plot([0, 1])
    show.figure(fig, "alt")
    assert f"image/{kind}" in shown[0] and not plt.fignum_exists(fig.number)


def test_rows_have_labels():
    black = np.zeros((40, 60, 3), np.uint8)
    page = show.labelled({"one": black, "two\nlines": black}, width=50, gap=4)
    assert page.shape == (84, 110, 3) and (page[40:44] == 255).all() and (page[:40, 50:] == 0).all()
    assert (page[:40, :50] < 128).any() and (page[44:, :50] < 128).any()


def test_pictures_beside_each_other_have_titles(monkeypatch):
    shown = []
    monkeypatch.setattr(show, "display_picture", lambda page, alt: shown.append(page))
    black = np.zeros((8, 60, 3), np.uint8)
    show.beside({"left": black, "right": black}, "alt", gap=4)
    (page,) = shown
    assert page.shape == (8 + 22, 60 + 4 + 60, 3) and (page[:, 60:64] == 255).all()
    assert (page[22:, :60] == 0).all() and (page[:22, :60] < 128).any() and (page[:22, 64:] < 128).any()


@pytest.mark.parametrize("gradients", ["DG", "D", "G", ""])
def test_the_drawing_of_the_game_says_what_it_shows(gradients):
    from gan_course import diagrams

    figure, alt = diagrams.game(np.zeros((4, 4, 3), np.uint8), -np.ones((4, 4, 3)), gradients)
    figure.canvas.draw()
    texts = " ".join(text.get_text() for text in figure.axes[0].texts)
    for player in "DG":
        assert (f"gradient of {player}:" in texts) == (player in gradients) == (f"gradient of {player} runs" in alt)


@pytest.mark.parametrize("levels", [(4, 8), (4, 8, 16)])
def test_the_drawing_of_the_style_generator_has_its_layers_in_their_order(levels):
    from gan_course import diagrams

    figure, alt = diagrams.style_generator(levels)
    figure.canvas.draw()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("AdaIN") == texts.count("+ noise") == 2 * len(levels)
    first = texts.index("constant 4x4")
    assert texts[first + 1 : first + 6] == [
        "+ noise",
        "B   random numbers, one a pixel",
        "bias, leaky ReLU",
        "AdaIN",
        "A",
    ]
    assert all(f"two at {side}x{side}" in alt for side in levels)
