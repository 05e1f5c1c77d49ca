"""The pages in a real browser: what they show is compared with the notebook's FaceEditor and TextToFace, and with DomainEditor.

Needs Playwright and a Chromium (README, 'For instructors and contributors'), and once the internet for what npm holds.
"""

import json
import queue
import threading

import keras
import numpy as np
import pytest
import requests
from PIL import Image

from gan_course import editing, pretrained
from gan_course.__main__ import main
from gan_course.data import captions, npm, toon
from gan_course.errors import CourseError
from gan_course.latent.axes import Axes, unit
from gan_course.latent.sampling import fixed_latent
from gan_course.models import dcgan, l2m_gan, stylegan
from gan_course.training.l2m import L2MConfig
from gan_course.training.stylegan import StyleGANConfig
from gan_course.weights import weights_sha256
from gan_course.widgets import page as web
from gan_course.widgets.face_editor import FaceEditor
from gan_course.widgets.text_to_face import TextToFace

pytest.importorskip("tf2onnx")
NAMES = ("Male", "Young", "Smiling", "No_Beard", "Rosy_Cheeks", "Goatee")
CLOSE = 2  # of 255


def axes_for(generator, d, space="z"):
    random = np.random.default_rng(123)
    rows = unit(random.normal(size=(6, d)) + 0.3 * random.normal(size=d))
    rows[5] = unit(rows[3] + 0.001 * rows[0])  # Goatee is nearly No_Beard
    return Axes(NAMES, rows, space, 1.0 if space == "z" else 0.7, "linear", 9, 0, weights_sha256(generator), "1")


@pytest.fixture(scope="module")
def progan():
    generator = pretrained.load("progan-toon-64")
    return generator, axes_for(generator, 128)


@pytest.fixture(scope="module")
def folder(progan, fetched, tmp_path_factory):
    """A page of the shipped ProGAN, written by the command."""
    fetched(npm.ONNX_RUNTIME)
    place = tmp_path_factory.mktemp("page")
    progan[1].save(place / "axes.npz")
    assert (
        main(["page", "--weights", "progan-toon-64", "--axes", str(place / "axes.npz"), "--out", str(place / "site")])
        == 0
    )
    return place / "site"


class Visit:
    """A page that is open: what it asked for, what it complained of, and what it shows."""

    def __init__(self, browser, address, **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        self.ready()

    def ready(self):
        self.page.locator("#words", has_text=":").wait_for(timeout=240_000)
        self.page.evaluate("""() => {
            const face = document.getElementById("face");
            window.drawn = 0;
            face.addEventListener("drawn", () => window.drawn++);
            return new Promise((done) => {
                if (face.ariaLabel !== "no face yet") done();
                else face.addEventListener("drawn", done, { once: true });
            });
        }""")

    def act(self, action):
        """Do something that changes the picture; return how many pictures were drawn."""
        before = self.page.evaluate("window.drawn")
        action()
        for _ in range(1200):
            if self.page.evaluate("window.drawn") > before:
                break
            self.page.wait_for_timeout(50)
        self.page.wait_for_timeout(100)  # one too many would come now
        return self.page.evaluate("window.drawn") - before

    def pixels(self, canvas="face"):
        width, data = self.page.evaluate(
            "(id) => { const c = document.getElementById(id); const w = c.width;"
            " return [w, Array.from(c.getContext('2d').getImageData(0, 0, w, w).data)]; }", canvas
        )  # fmt: skip
        return np.array(data, "uint8").reshape(width, width, 4)[..., :3]

    def slide(self, name, amount):
        """Move a slider as a hand does: the browser sends 'input'."""
        self.page.locator(f"#axis-{name}").evaluate(
            "(s, x) => { s.value = x; s.dispatchEvent(new Event('input', { bubbles: true })); }", amount
        )

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)


@pytest.fixture
def visit(browser, folder):
    opened = Visit(browser, (folder / "index.html").as_uri())
    yield opened
    opened.context.close()
    assert opened.complaints == []


@pytest.fixture
def editor(progan):
    return FaceEditor(*progan, seed=0)


def same(seen, wanted):
    difference = np.abs(seen.astype(int) - wanted.astype(int))
    assert difference.max() <= CLOSE, (difference.max(), difference.mean())


def different(a, b):
    assert np.abs(a.astype(int) - b.astype(int)).max() > 4 * CLOSE


# --- the picture and the arithmetic ------------------------------------------------------------------------


def test_the_page_draws_the_faces_of_keras(visit, editor):
    for seed in (0, 3, 123456, 2**32 - 1):
        editor.change(seed=seed)
        if seed:
            visit.act(lambda seed=seed: (visit.page.fill("#seed", str(seed)), visit.page.press("#seed", "Enter")))
        same(visit.pixels(), editor.pictures()[1])
    different(visit.pixels(), FaceEditor(editor.generator, editor.axes, seed=0).pictures()[1])


def test_sliders_and_locks_move_the_face_as_in_the_notebook(visit, editor):
    start = visit.pixels()
    visit.page.locator("details").evaluate_all("all => all.forEach((d) => d.open = true)")
    for there, here, changes in (
        (lambda: visit.slide("Male", 10), lambda: editor.set("Male", 10), True),
        (lambda: visit.button("lock Male").click(), lambda: editor.lock("Male"), False),
        (lambda: visit.slide("Smiling", 40), lambda: editor.set("Smiling", 40), True),
        (lambda: visit.slide("Young", -35), lambda: editor.set("Young", -35), True),
        (lambda: visit.button("more Rosy Cheeks").click(), lambda: editor.set("Rosy_Cheeks", 5), True),
        (lambda: visit.slide("Goatee", 30), lambda: editor.set("Goatee", 30), True),
        (lambda: visit.button("lock No Beard").click(), lambda: editor.lock("No_Beard"), True),  # no more Goatee
    ):
        before = visit.pixels()
        assert visit.act(there) == 1  # one picture for one change
        here()
        same(visit.pixels(), editor.pictures()[1])
        if changes:
            different(visit.pixels(), before)
        else:
            same(visit.pixels(), before)
    different(visit.pixels(), start)
    assert visit.page.locator("#axis-Male").is_disabled() and visit.page.locator("#axis-Goatee").is_disabled()
    assert visit.page.get_by_text("leaves nothing of this axis").count() == 1
    assert visit.page.locator("#axis-Smiling").is_enabled()
    # The lock is not without effect: unlocked, the same sliders give another face.
    there = visit.pixels()
    visit.act(lambda: visit.button("lock Male").click())
    different(visit.pixels(), there)


def test_undo_redo_reset_and_compare(visit):
    begin = visit.pixels()
    assert visit.button("undo").get_attribute("aria-disabled") == "true"
    visit.act(lambda: [visit.slide("Smiling", x) for x in (10, 20, 30)])  # dragged: one change
    smiling = visit.pixels()
    visit.act(lambda: visit.button("lock Young").click())
    visit.act(lambda: visit.slide("Male", -30))
    last = visit.pixels()
    different(last, smiling)
    visit.act(lambda: visit.button("undo").click())
    visit.act(lambda: visit.page.keyboard.press("Control+z"))
    np.testing.assert_array_equal(visit.pixels(), smiling)
    assert visit.button("lock Young").get_attribute("aria-pressed") == "false"
    visit.act(lambda: visit.button("undo").click())
    np.testing.assert_array_equal(visit.pixels(), begin)
    for _ in range(3):
        visit.act(lambda: visit.button("redo").click())
    np.testing.assert_array_equal(visit.pixels(), last)

    visit.page.check("#beside")
    np.testing.assert_array_equal(visit.pixels("start"), begin)
    assert visit.page.locator("#start").is_visible()
    visit.button("show start").click()
    np.testing.assert_array_equal(visit.pixels(), begin)
    assert visit.page.locator("#face").get_attribute("aria-label") == "the face at the start"
    visit.button("show start").click()
    visit.page.locator("#face").hover()
    visit.page.mouse.down()
    np.testing.assert_array_equal(visit.pixels(), begin)
    visit.page.mouse.up()
    np.testing.assert_array_equal(visit.pixels(), last)

    visit.act(lambda: visit.button("reset").click())
    np.testing.assert_array_equal(visit.pixels(), begin)
    assert visit.button("lock Young").get_attribute("aria-pressed") == "true"  # the locks stay
    seed = visit.page.input_value("#seed")
    visit.act(lambda: visit.button("random face").click())
    assert visit.page.input_value("#seed") != seed


def test_a_stylegan_moves_some_layers_in_w(browser, fetched, tmp_path):
    fetched(npm.ONNX_RUNTIME)
    keras.utils.set_random_seed(0)
    generator = stylegan.build_generator(16, 8, base=128, max_width=16, mapping=2, spread=1.0)
    axes = axes_for(generator, 8, "w")
    config = StyleGANConfig(data="toon", resolution=16, latent_dim=8)
    found = pretrained.Found(generator, config, {"kind": "run", "name": "<mine>", "step": 7})
    site = web.site(found, axes)
    assert not site.photographs and "&lt;mine&gt;" in web.save(site, tmp_path / "site").read_text(encoding="utf-8")
    visit, editor = (
        Visit(browser, (tmp_path / "site" / "index.html").as_uri() + "#seed=5"),
        FaceEditor(generator, axes, seed=5),
    )
    same(visit.pixels(), editor.pictures()[1])
    editor.set("Smiling", 3)
    visit.act(lambda: visit.slide("Smiling", 3))
    whole = visit.pixels()
    same(whole, editor.pictures()[1])
    editor.change(layers=(2, 3))
    visit.page.fill("#first", "2")
    visit.act(lambda: visit.page.press("#first", "Enter"))
    visit.page.fill("#last", "3")
    visit.act(lambda: visit.page.press("#last", "Enter"))
    same(visit.pixels(), editor.pictures()[1])
    different(visit.pixels(), whole)
    visit.page.fill("#last", "1")
    visit.page.press("#last", "Enter")
    assert "the smaller one first" in visit.page.inner_text("#said")
    # A projected face of one's own comes as settings of the notebook's editor.
    own = FaceEditor(generator, axes, start=np.random.default_rng(1).normal(size=(1, 6, 8)).astype("float32"))
    own.set("Male", 2)
    _, settings = own.save(tmp_path / "own.png")
    visit.act(lambda: visit.page.set_input_files("#load", settings))
    same(visit.pixels(), own.pictures()[1])
    visit.context.close()
    assert visit.complaints == []


def test_a_network_that_was_never_called_is_exported():
    assert len(web.to_onnx(dcgan.build_generator(16, 8, 4, 8))) > 1000


def test_a_dcgan_and_photographs(fetched, tmp_path):
    fetched(npm.ONNX_RUNTIME)
    onnxruntime = pytest.importorskip("onnxruntime")
    found = pretrained.find("dcgan-celeba-64")
    site = web.site(found, axes_for(found.network, 64))
    session = onnxruntime.InferenceSession(site.data["draw"])
    z = fixed_latent(4, 64)
    (pictures,) = session.run(None, {session.get_inputs()[0].name: z})
    np.testing.assert_allclose(pictures, np.asarray(found.network(z, training=False)), rtol=0, atol=2 * CLOSE / 255)
    stored = sum(w.size for w in found.network.get_weights())
    assert len(site.data["draw"]) < 2.2 * stored  # float16
    text = web.save(site, tmp_path / "site").read_text(encoding="utf-8")
    assert "non-commercial research and education only" in text and "people who were not asked" in text.replace(
        "\n", " "
    )
    assert (tmp_path / "site/card.md").read_text().startswith("# Model card: `dcgan-celeba-64`")


# --- state, files, and the world outside -----------------------------------------------------------------------


def test_an_address_shows_the_same_face(visit, browser, folder):
    visit.act(lambda: visit.slide("Smiling", 20))
    visit.act(lambda: visit.button("lock Male").click())
    visit.act(lambda: (visit.page.fill("#seed", "77"), visit.page.press("#seed", "Enter")))
    visit.page.wait_for_timeout(600)
    address = visit.page.url
    assert address.endswith("#seed=77&Smiling=20&lock=Male")
    other = Visit(browser, address)
    np.testing.assert_array_equal(other.pixels(), visit.pixels())
    assert other.button("undo").get_attribute("aria-disabled") == "true"
    other.act(lambda: other.page.evaluate("location.hash = '#seed=77&Smiling=-20&Smile=3&lock=Beard&seed=x'"))
    different(other.pixels(), visit.pixels())
    said = other.page.inner_text("#said")
    assert "Smile=3, lock=Beard, seed=x" in said
    other.act(lambda: other.button("undo").click())
    np.testing.assert_array_equal(other.pixels(), visit.pixels())
    other.context.close()
    assert other.complaints == []


def test_pictures_and_settings_are_saved_and_come_back(visit, editor, tmp_path):
    visit.act(lambda: visit.slide("Smiling", 20))
    visit.act(lambda: visit.button("lock Male").click())
    for name in ("picture", "settings"):
        with visit.page.expect_download() as waiting:
            visit.button(f"save {name}").click()
        waiting.value.save_as(tmp_path / waiting.value.suggested_filename)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "face-0.png"))[..., :3], visit.pixels())
    editor.load(tmp_path / "face-0.json")  # in the notebook
    same(visit.pixels(), editor.pictures()[1])
    editor.set("Young", -15)
    _, settings = editor.save(tmp_path / "mine.png")
    visit.act(lambda: visit.page.set_input_files("#load", settings))  # and back
    same(visit.pixels(), editor.pictures()[1])

    good, before = json.loads(settings.read_text()), visit.pixels()
    for wrong, says in (
        ("{", "holds no settings"),
        (good | {"weights_sha256": "0"}, "another generator"),
        (good | {"seed": -1}, "the seed is -1"),
        (good | {"seed": None}, "holds no settings"),  # and no start
        (good | {"amounts": {"Smile": 1}}, "no axis 'Smile'"),
        (good | {"amounts": {"Male": 99}}, "an amount is 99"),
        (good | {"layers": [0, 1]}, "the layers are"),
    ):
        settings.write_text(wrong if isinstance(wrong, str) else json.dumps(wrong))
        visit.page.locator("#said").evaluate("(x) => x.textContent = ''")
        visit.page.set_input_files("#load", settings)
        visit.page.locator("#said", has_text="'mine.json'").wait_for()
        assert says in visit.page.inner_text("#said")
        np.testing.assert_array_equal(visit.pixels(), before)
    own = FaceEditor(editor.generator, editor.axes, start=fixed_latent(1, 128, 9))
    own.set("Young", 10)
    own.save(tmp_path / "own.png")
    visit.act(lambda: visit.page.set_input_files("#load", tmp_path / "own.json"))
    same(visit.pixels(), own.pictures()[1])


def test_no_request_leaves_the_folder(browser, folder):
    with web.server(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_port}/"
        visit = Visit(browser, home)
        visit.act(lambda: visit.slide("Smiling", 20))
        asked = [url for url in visit.requests if not url.startswith(("blob:", "data:"))]
        assert asked == [home]
        for link in visit.page.locator("a[href$='.md'], a[href$='.txt']").all():
            assert visit.context.request.get(home + link.get_attribute("href")).ok
        refused = visit.page.evaluate("fetch(location.href).then(() => 'sent', (error) => error.name)")
        assert refused == "TypeError"  # the page forbids itself every request
        visit.context.close()
        server.shutdown()
    assert all("Content Security Policy" in line or "connect-src" in line for line in visit.complaints)


def test_it_runs_inside_a_page_that_trusts_it_little(browser, folder, tmp_path):
    """As in JupyterLab, which shows a page in a frame that may run scripts and nothing else."""
    (folder.parent / "frame.html").write_text('<iframe sandbox="allow-scripts" src="site/index.html"></iframe>')
    page = browser.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto((folder.parent / "frame.html").as_uri())
    inside = page.frame_locator("iframe")
    inside.locator("#words", has_text=":").wait_for(timeout=240_000)
    inside.locator("#axis-Smiling").press("ArrowRight")
    inside.locator("#face[aria-label*='Smiling +1']").wait_for()
    page.wait_for_timeout(600)
    assert complaints == []
    page.close()


# --- for everyone -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_accessible(browser, fetched, folder, scheme, width):
    axe = (fetched(npm.AXE) / "axe.min.js").read_text(encoding="utf-8")
    visit = Visit(
        browser, (folder / "index.html").as_uri(), color_scheme=scheme, viewport={"width": width, "height": 800}
    )
    visit.act(lambda: visit.button("lock No Beard").click())
    visit.page.locator("details").evaluate_all("all => all.forEach((d) => d.open = true)")
    for_everyone(visit, axe)
    visit.context.close()


def for_everyone(visit, axe):
    visit.page.evaluate(axe)
    found = visit.page.evaluate("axe.run()")
    told = [(v["id"], v["impact"], [n["html"] for n in v["nodes"]]) for v in found["violations"]]
    assert told == []
    assert len(found["passes"]) > 15 and any(rule["id"] == "color-contrast" for rule in found["passes"])
    wide, seen = visit.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= seen  # nothing sticks out


def test_the_keyboard_is_enough(visit):
    page = visit.page
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.tagName"
            )
        )
        if "axis-Smiling" in reached:
            break
    for wanted in ("random", "seed", "hold", "beside", "load", "strength", "axis-Male", "lock Male", "axis-Smiling"):
        assert wanted in reached, (wanted, reached)
    visit.act(lambda: page.keyboard.press("ArrowRight"))
    slider = page.locator("#axis-Smiling")
    assert slider.get_attribute("aria-valuetext") == "+1 degrees"
    assert page.get_by_role("slider", name="Smiling").count() == 1
    assert page.locator("#face").get_attribute("aria-label") == "a generated face, Smiling +1"
    page.locator("#words", has_text="seed 0: Smiling +1").wait_for()
    page.keyboard.press("Tab")
    visit.act(lambda: page.keyboard.press("Enter"))  # plus
    assert slider.get_attribute("aria-valuetext") == "+6 degrees"


def written(name, fetched, folders):
    """Return the index.html that the command writes for shipped weights without axes."""
    fetched(npm.ONNX_RUNTIME)
    out = folders.mktemp(name) / "site"
    assert main(["page", "--weights", name, "--out", str(out)]) == 0
    return out / "index.html"


# --- the page that edits a given face --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edits(fetched, tmp_path_factory):
    """(index.html of the shipped editor's page, written by the command; its `DomainEditor`)."""
    return written("l2m-toon-64", fetched, tmp_path_factory), editing.open_editor("l2m-toon-64")


def strength(visit, amount):
    visit.act(
        lambda: visit.page.locator("#strength").evaluate(
            "(s, x) => { s.value = x; s.dispatchEvent(new Event('input', { bubbles: true })); }", amount
        )
    )


def box(visit, name):
    return visit.page.get_by_role("checkbox", name=name, exact=True)


def own_picture(path):
    """Write a picture of 178x218 pixels, as CelebA's, with a face of no part of the examples."""
    toon.picture(toon.draw(0, 1), 0, 1, 178).resize((178, 218)).save(path)
    return path


def test_examples_are_edited_as_in_keras(browser, edits):
    index, editor = edits
    faces = web.examples(editor.attributes, 64)[..., :3]
    sources = editor.tell(faces)
    assert len(faces) == 8 and set(sources) == {0, 1, 2, 3}
    visit = Visit(browser, index.as_uri() + "#face=5&Smiling=0&strength=0.8&Hat=1")
    assert "Hat=1, which this page does not know" in visit.page.inner_text("#said")
    np.testing.assert_array_equal(visit.pixels("start"), faces[4])
    first = visit.pixels()
    same(first, editor.edit(faces[4:5], {"Smiling": 0}, 0.8)[0])
    for i in (0, 1, 2, 3, 5, 6, 7):
        visit.act(visit.button(f"example face {i + 1}").click)
        words = visit.page.locator("#start").get_attribute("aria-label")
        assert words == f"example face {i + 1}, {editor.domains[sources[i]]}"
        for b, name in enumerate(editor.attributes):
            assert box(visit, name).is_checked() == bool(sources[i] >> b & 1)
    assert visit.page.input_value("#strength") == "0.8"  # it stays; what the face shall have does not
    wanted = int(not sources[7] >> 1 & 1)
    visit.act(box(visit, "Eyeglasses").click)
    visit.page.wait_for_timeout(600)
    address = visit.page.url.partition("#")[2]
    assert address == f"face=8&Eyeglasses={wanted}&strength=0.8"
    same(visit.pixels(), editor.edit(faces[7:], {"Eyeglasses": wanted}, 0.8)[0])
    strength(visit, 0)
    back = np.abs(visit.pixels().astype(float) - faces[7])
    same(visit.pixels(), editor.edit(faces[7:], {"Eyeglasses": wanted}, 0.0)[0])
    assert back.mean() < 10  # of 255
    visit.act(visit.button("reset").click)
    assert visit.page.input_value("#strength") == "1"
    same(visit.pixels(), editor.edit(faces[7:], {}, 1.0)[0])
    visit.act(lambda: visit.page.evaluate("location.hash = '#face=5&Smiling=0&strength=0.8'"))
    np.testing.assert_array_equal(visit.pixels(), first)
    visit.context.close()
    assert visit.complaints == []


def test_a_picture_of_ones_own_stays_here(browser, edits, tmp_path):
    index, editor = edits
    visit, path = Visit(browser, index.as_uri()), own_picture(tmp_path / "me.png")
    before = visit.pixels()
    face = editing.read_face(path, 64)
    visit.act(lambda: visit.page.set_input_files("#file", path))
    same(visit.pixels("start"), face)
    visit.act(box(visit, "Eyeglasses").click)
    wanted = int(not editor.tell(face[None])[0] >> 1 & 1)
    same(visit.pixels(), editor.edit(face[None], {"Eyeglasses": wanted})[0])
    assert visit.page.locator("#face").get_attribute("aria-label").startswith("your picture, edited: ")
    with visit.page.expect_download() as waiting:
        visit.button("save picture").click()
    waiting.value.save_as(tmp_path / "saved.png")
    assert waiting.value.suggested_filename == "edited-own.png"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "saved.png"))[..., :3], visit.pixels())
    visit.page.get_by_role("link", name="What is real?").click()  # a place on the page is no other face
    visit.page.wait_for_timeout(400)
    shown = visit.pixels()
    (tmp_path / "text.png").write_text("no picture")
    visit.page.set_input_files("#file", tmp_path / "text.png")
    visit.page.locator("#said", has_text="'text.png' cannot be read as a picture").wait_for()
    np.testing.assert_array_equal(visit.pixels(), shown)
    different(shown, before)
    # Dropped on the page: a JPEG lies on its side, and says so.
    image, data = Image.open(path), Image.Exif()
    data[0x0112] = 6  # orientation
    image.rotate(90, expand=True).save(tmp_path / "me.jpg", quality=95, subsampling=0, exif=data)
    visit.act(
        lambda: visit.page.evaluate(
            """(numbers) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(numbers)], "me.jpg", { type: "image/jpeg" }));
                document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
            }""",
            list((tmp_path / "me.jpg").read_bytes()),
        )
    )
    visit.page.wait_for_timeout(600)
    difference = np.abs(visit.pixels("start").astype(int) - editing.read_face(tmp_path / "me.jpg", 64))
    assert difference.mean() < 1 and difference.max() < 16  # decoders differ a little
    asked = [url for url in visit.requests if not url.startswith(("blob:", "data:"))]
    assert {url.partition("#")[0] for url in asked} == {index.as_uri()}
    assert not visit.page.url.partition("#")[2]  # nothing of it in the address
    visit.context.close()
    assert visit.complaints == []


def test_an_editor_of_photographs_brings_no_face(browser, fetched, tmp_path):
    fetched(npm.ONNX_RUNTIME)
    keras.utils.set_random_seed(0)
    network = l2m_gan.Editor(16, 4, 4, 2, 6, downs=1)
    network.generator.get_layer("to_rgb").kernel.assign(np.random.default_rng(1).normal(size=(1, 1, 4, 3)))
    domains = ["neither", "Smiling", "Eyeglasses", "both"]
    options = dict(attributes="Smiling,Eyeglasses", resolution=16, data="mine", domains=domains)
    config = L2MConfig(**options, steering="attributes-toon-steer")  # for 64x64: pictures are made larger for it
    site = web.site(pretrained.Found(network, config, {"kind": "run", "name": "mine", "step": 7}))
    index = web.save(site, tmp_path / "site")
    text, editor = index.read_text(encoding="utf-8"), editing.DomainEditor(network, config)
    assert "non-commercial research and education only" in text and "real people" in text and "{{" not in text
    visit = Visit(browser, index.as_uri())
    assert visit.page.inner_text("#words") == "No face yet: choose a picture."
    assert visit.button("save picture").is_disabled() and visit.page.locator("#faces").is_hidden()
    path = own_picture(tmp_path / "me.png")
    visit.act(lambda: visit.page.set_input_files("#file", path))
    face = editing.read_face(path, 16)
    same(visit.pixels("start"), face)
    source = editor.tell(face[None])[0]
    assert domains[source] in visit.page.locator("#start").get_attribute("aria-label")
    visit.act(box(visit, "Smiling").click)
    same(visit.pixels(), editor.edit(face[None], int(source ^ 1))[0])
    visit.context.close()
    assert visit.complaints == []
    folders = L2MConfig(attributes="folders", domains=["cat", "dog"])
    with pytest.raises(CourseError, match="domains are folders"):
        web.site(pretrained.Found(network, folders, {"kind": "run", "name": "mine", "step": 1}))


@pytest.mark.parametrize(("scheme", "width"), [("light", 360), ("dark", 1200)])
def test_the_editing_page_is_accessible(browser, fetched, edits, scheme, width):
    axe = (fetched(npm.AXE) / "axe.min.js").read_text(encoding="utf-8")
    visit = Visit(browser, edits[0].as_uri(), color_scheme=scheme, viewport={"width": width, "height": 800})
    for_everyone(visit, axe)
    reached = []
    for _ in range(20):
        visit.page.keyboard.press("Tab")
        reached.append(visit.page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
    for wanted in ("example face 1", "example face 8", "file", "has-Smiling", "has-Eyeglasses", "strength", "picture"):
        assert wanted in reached, (wanted, reached)
    visit.page.focus("#has-Smiling")
    visit.act(lambda: visit.page.keyboard.press("Space"))
    visit.page.focus("#strength")
    visit.act(lambda: visit.page.keyboard.press("ArrowLeft"))
    visit.page.wait_for_timeout(600)
    assert "Edited: " in visit.page.inner_text("#words") and "Smiling=" in visit.page.url
    assert visit.page.url.endswith("&strength=0.95")
    visit.context.close()
    assert visit.complaints == []


# --- the page that draws from words ----------------------------------------------------------------------------

ODD = (
    "A BALD Man, with a FULL beard!",
    'He doesn\u2019t smile -- "never"; (5 o\'clock shadow_) 42% \u00bd x\u00b2.',
    "Une fianc\u00e9e na\u00efve, young; \u00c5ngstr\u00f6m \u0130stanbul \ufb01ne \u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3",
    "a smiling \U0001f600 woman \u2764\ufe0f \U0001f469\U0001f3fd\u200d\U0001f9b1 \U0001f1e9\U0001f1ea",
    "\u092f\u0939 \u090f\u0915 \u092e\u0939\u093f\u0932\u093e \u0939\u0948\u0964 \u7b11\u3063\u3066\u3044\u308b\u5973\u6027 man",
    "\u0e1c\u0e39\u0e49\u0e2b\u0e0d\u0e34\u0e07 \u05e9\u05c1\u05dc\u05d5\u05b9\u05dd a man",
    "tab\tline\nnew\x1cfile\x85next\u00a0no-break\u3000wide\ufeffmark man",
    "<b>man</b> & {{title}} \\ `${1}`",
    "  ",
    "",
    "young man, " * 700,
)


@pytest.fixture(scope="module")
def reads(fetched, tmp_path_factory):
    """(index.html of the page of the shipped network, written by the command; the network as `Found`)."""
    return written("t2f-toon-64", fetched, tmp_path_factory), pretrained.find("t2f-toon-64")


def write_sentence(visit, text):
    visit.page.fill("#text", text)
    visit.page.press("#text", "Enter")


def test_what_reads_is_exported_exactly(reads):
    onnxruntime = pytest.importorskip("onnxruntime")
    found = reads[1]
    numbers = keras.Input((None,))
    data = web.to_onnx(keras.Model(numbers, found.network.encoder(numbers)), half=False)
    session = onnxruntime.InferenceSession(data)
    for text in ("Man", found.config.examples()[0], "a young man with a hat, " * 20):
        padded = found.config.numbers([text])
        short = padded[:, : np.count_nonzero(padded)].astype("float32")
        (psi,) = session.run(None, {session.get_inputs()[0].name: short})
        np.testing.assert_allclose(psi, found.config.read(found.network, [text]), rtol=0, atol=1e-5)


def test_words_are_those_of_python(browser, reads):
    """The page's script is a module, which shows nothing to the outside: its functions are taken out of it."""
    text = (web.HERE / "text.js").read_text(encoding="utf-8")
    script = text[text.index("const isAccent") : text.index("/** Return why a text cannot be read")]
    page = browser.new_page()
    page.add_script_tag(content=script + "window.wordsOf = wordsOf;")
    signs = [f"a{chr(code)}B{chr(code)}" for code in range(0x3000) if chr(code).isprintable() or code < 0x100]
    for text, found in zip([*ODD, *signs], page.evaluate("(all) => all.map(wordsOf)", [*ODD, *signs]), strict=True):
        assert found == captions.words(text), ascii(text)
    page.close()


def test_faces_are_those_of_keras_and_the_words_that_tell(browser, reads):
    index, found = reads
    visit = Visit(browser, index.as_uri() + "#text=A+bald+man.&seed=3&face=2&variety=9&Hat=1")
    assert "variety=9, Hat=1, which this page does not know" in visit.page.inner_text("#said")
    widget = TextToFace(found, "A bald man.", seed=3)
    faces = widget.draw()
    visit.page.locator("#marked:not(:empty)").wait_for()  # which is done last
    same(visit.pixels(), faces[1])
    small = visit.page.locator("#faces canvas")
    assert small.count() == 4
    for i in (1, 0, 2, 3):
        if i != 1:
            visit.act(visit.button(f"face {i + 1}").click)
        same(visit.pixels(), faces[i])
    different(visit.pixels(), faces[0])

    for text in (ODD[0], ODD[3], ODD[7], ODD[-1], "A young zorro with glasses, without a smile.", "."):
        before, widget.text = visit.pixels(), text.strip()
        try:
            wanted = widget.draw()[3]
        except CourseError as error:
            write_sentence(visit, text)
            visit.page.locator("#said", has_text=str(error)[:40]).wait_for()
            np.testing.assert_array_equal(visit.pixels(), before)
            continue
        visit.act(lambda text=text: write_sentence(visit, text.strip()))
        same(visit.pixels(), wanted)
        visit.page.wait_for_timeout(400)
        told, words = str(widget.understood).replace("_", " "), visit.page.inner_text("#words")
        assert words == f"{told[0].upper()}{told[1:]}."
        read = widget.understood.words
        assert visit.page.inner_text("#marked").split() == [word for word, _, _ in read]
        marks = visit.page.locator("mark").evaluate_all("all => all.map((m) => [m.textContent, m.title])")
        expected = [(word, name.replace("_", " "), share) for word, name, share in read if name]
        assert [(word, title.partition(":")[0]) for word, title in marks] == [x[:2] for x in expected]
        for (_, title), (_, _, share) in zip(marks, expected, strict=True):
            assert abs(float(title.partition(":")[2]) - share) < 0.011
        unknown = set(visit.page.locator("s").all_inner_texts())
        assert unknown == {w for w, _, _ in read if w in widget.understood.unknown}

    visit.act(lambda: write_sentence(visit, "A person wearing a hat."))
    widget.text, widget.seed, widget.variety = "A person wearing a hat.", 2**32 - 1, 0.3
    visit.act(lambda: (visit.page.fill("#seed", str(2**32 - 1)), visit.page.press("#seed", "Enter")))
    visit.act(
        lambda: visit.page.locator("#variety").evaluate(
            "(s) => { s.value = 0.3; s.dispatchEvent(new Event('input', { bubbles: true })); }"
        )
    )
    same(visit.pixels(), widget.draw()[3])
    visit.page.wait_for_timeout(400)
    address = visit.page.url.partition("#")[2]
    assert address == f"text=A+person+wearing+a+hat.&seed={2**32 - 1}&variety=0.3&face=4"
    with visit.page.expect_download() as waiting:
        visit.button("save picture").click()
    assert waiting.value.suggested_filename == f"face-{2**32 - 1}-4.png"
    assert np.array_equal(np.asarray(Image.open(waiting.value.path()))[..., :3], visit.pixels())
    last = visit.pixels()
    visit.act(visit.button("other faces").click)
    different(visit.pixels(), last)
    visit.act(visit.button("A bald man with a full beard.").click)
    options = visit.page.locator("#history option").all_inner_texts()
    assert options[0] == "A bald man. (seed 3, variety 1.0)"
    number = options.index(f"A person wearing a hat. (seed {2**32 - 1}, variety 0.3)")
    visit.act(lambda: visit.page.select_option("#history", index=number))
    np.testing.assert_array_equal(visit.pixels(), last)
    assert visit.page.input_value("#text") == "A person wearing a hat."
    visit.context.close()
    assert visit.complaints == []


def test_a_sentence_that_cannot_be_read_is_told(browser, reads):
    visit = Visit(browser, reads[0].as_uri() + "#text=qwerty")
    assert "text=qwerty, which this page does not know" in visit.page.inner_text("#said")
    before, said = visit.pixels(), visit.page.locator("#said")
    for text, says in (
        (" \n ", "The sentence is empty; write one, such as 'A young woman"),
        ("Qwerty <uiop>!", "No word of 'Qwerty <uiop>!' is known; write English about a face, such as"),
        ("zzz " * 2000 + "man", "zzz ...' is known"),
        ("\u7b11\u3063\u3066\u3044\u308b\u5973\u6027 \U0001f600", "is known; write English"),
    ):
        visit.page.fill("#text", text)
        visit.button("draw").click()
        assert says in said.inner_text() and said.inner_text().count(";") == 1
    visit.page.press("#text", "Tab")
    np.testing.assert_array_equal(visit.pixels(), before)
    assert visit.page.input_value("#text").startswith("\u7b11")  # what was typed stays
    visit.act(lambda: write_sentence(visit, "a man"))
    assert said.inner_text() == ""
    asked = [url for url in visit.requests if not url.startswith(("blob:", "data:"))]
    assert {url.partition("#")[0] for url in asked} == {reads[0].as_uri()}
    visit.context.close()
    assert visit.complaints == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_the_page_of_words_is_accessible(browser, fetched, reads, scheme, width):
    axe = (fetched(npm.AXE) / "axe.min.js").read_text(encoding="utf-8")
    visit = Visit(browser, reads[0].as_uri(), color_scheme=scheme, viewport={"width": width, "height": 800})
    visit.act(lambda: write_sentence(visit, "A smiling zorro with glasses"))
    for_everyone(visit, axe)
    visit.button("face 1").focus()
    reached = []
    for _ in range(20):
        reached.append(visit.page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
        visit.page.keyboard.press("Tab")
    for wanted in ("face 1", "face 4", "text", "go", "history", "random", "seed", "variety", "picture"):
        assert wanted in reached, (wanted, reached)
    label = visit.page.locator("#face").get_attribute("aria-label")
    assert label == "face 1 of 4, drawn from the words: A smiling zorro with glasses"
    visit.context.close()
    assert visit.complaints == []


# --- mistakes -----------------------------------------------------------------------------------------------


def test_the_command_serves_the_page_until_it_is_stopped(tmp_path, monkeypatch, capsys):
    (tmp_path / "index.html").write_text("the page")
    monkeypatch.setattr(web, "write", lambda weights, axes, out: out / "index.html")
    got = queue.Queue()

    def visit(address):
        threading.Thread(target=lambda: got.put(requests.get(address, timeout=60).text)).start()

    def one_visit(server):
        server.handle_request()
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", visit)
    monkeypatch.setattr(web.ThreadingHTTPServer, "serve_forever", one_visit)
    assert main(["page", "--weights", "x", "--axes", "y.npz", "--out", str(tmp_path), "--serve"]) == 0
    assert got.get(timeout=60) == "the page" and "http://127.0.0.1:" in capsys.readouterr().out


def test_mistakes_are_told_and_nothing_is_written(progan, fetched, tmp_path, refused, monkeypatch):
    fetched(npm.ONNX_RUNTIME)
    good = tmp_path / "axes.npz"
    progan[1].save(good)
    command = ["page", "--weights", "progan-toon-64", "--axes", str(good), "--out"]
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    refused(main([*command, str(full)]), full, "other files", "new folder")
    refused(
        main(["page", "--weights", "dcgan-toon-64", "--axes", str(good), "--out", str(tmp_path / "a")]), "other weights"
    )
    refused(main(["page", "--weights", "l2m-toon-64", *command[3:], str(tmp_path / "a")]), "leave out --axes")
    refused(main(["page", "--weights", "t2f-toon-64", *command[3:], str(tmp_path / "a")]), "leave out --axes")
    refused(main([*command[:3], "--out", str(tmp_path / "a")]), "give --axes")
    monkeypatch.setattr(web, "find_spec", lambda name: None)
    refused(main([*command, str(tmp_path / "a")]), "tf2onnx", "pip install")
    assert not (tmp_path / "a").exists() and [x.name for x in full.iterdir()] == ["thesis.txt"]
