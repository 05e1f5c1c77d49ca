"""The course as a static site (tools/site): built from two lessons, then looked at in a real browser.

    GAN_COURSE_SITE=build/site python -m pytest -n 0 tests/test_site.py       checks a site that `make site` has built

Needs the extra `site`, Playwright with a Chromium (README, 'For instructors and contributors'), and once the internet for npm.
"""

import functools
import html
import json
import os
import re
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
import readme

from gan_course.data import npm

if not (find_spec("myst_nb") and find_spec("sphinx_book_theme")):
    pytest.skip("the extra 'site' is not installed", allow_module_level=True)

LESSONS = ["00_start_here", "03_measuring_faces"]
SOURCES = ["README.md", "CONTRIBUTING.md", "notebooks/glossary.md", *(f"notebooks/{name}.ipynb" for name in LESSONS)]


@pytest.fixture(scope="module")
def site(fetched, tmp_path_factory):
    """The folder of a site: a small one, or the one that GAN_COURSE_SITE names."""
    if "GAN_COURSE_SITE" in os.environ:
        return Path(os.environ["GAN_COURSE_SITE"]).resolve()
    fetched(npm.KATEX)
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-d", place / "doctrees", "-c", "tools/site"]
    command += ["-D", "include_patterns=" + ",".join(SOURCES), ".", place / "site"]
    done = subprocess.run(command, cwd=readme.ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return place / "site"


@pytest.fixture(scope="module")
def pages(site):
    """{path below the site: the parsed page}, of all pages that Sphinx has made."""
    from bs4 import BeautifulSoup  # comes with the theme

    found = {path.relative_to(site).as_posix(): path for path in sorted(site.rglob("*.html"))}
    return {
        name: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for name, path in found.items()
        if not name.startswith(("_static", "editor"))
    }


@pytest.fixture(scope="module")
def home(site):
    """The address of a server of the site."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def visit(browser, home):
    """A function that opens a page; afterwards: nothing was asked of another server, nothing failed, nothing complained."""
    contexts, wrong = [], []

    def see(name, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("request", lambda r: r.url.startswith((home, "data:")) or wrong.append(f"asked for {r.url}"))
        page.on("response", lambda r: r.status < 400 or wrong.append(f"{r.status} {r.url}"))
        page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(home + name)
        return page

    yield see
    for context in contexts:
        context.close()
    assert wrong == []


# --- what is in the folder ------------------------------------------------------------------------------------


def test_no_link_and_no_picture_is_broken(site, pages):
    ids = {
        name: {tag[key] for key in ("id", "name") for tag in page.find_all(attrs={key: True})}
        for name, page in pages.items()
    }
    broken, anchors = [], 0
    for name, page in pages.items():
        for tag in page.find_all(["a", "img", "link", "script"]):
            target = urlsplit(urljoin(name, tag.get("href") or tag.get("src") or ""))
            path = unquote(target.path)
            if target.scheme or target.netloc:
                if tag.name in ("img", "script") or "stylesheet" in tag.get("rel", ()):
                    broken.append(f"{name}: {tag.name} comes from elsewhere, {target.geturl()[:80]}")
            elif not (site / path).is_file():
                broken.append(f"{name}: {path} is missing")
            elif target.fragment and path in ids:
                anchors += 1
                if unquote(target.fragment) not in ids[path]:
                    broken.append(f"{name}: {path} has no #{target.fragment}")
    assert broken == [] and anchors > 100


def test_links_to_other_files_go_to_the_repository(pages):
    for page, path in (("index", "LICENSE"), ("CONTRIBUTING", "pyproject.toml"), ("CONTRIBUTING", "tools/form.py")):
        links = {a["href"] for a in pages[f"{page}.html"].find_all("a", href=True)}
        assert f"{readme.repository()}/blob/main/{path}" in links
    links = {a["href"] for a in pages["index.html"].find_all("a", href=True)}
    assert "notebooks/00_start_here.html" in links and "#colab" in links


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_shows_its_pictures_films_and_outputs(site, pages, name):
    page = pages[f"notebooks/{name}.html"]
    shown = {(Path(img["src"]).suffix, img["alt"]) for img in page.find_all("img", src=True)}
    text = re.sub(r"\s+", " ", page.get_text())
    outputs = 0
    for cell in readme.read(readme.ROOT / f"notebooks/{name}.ipynb")["cells"]:
        for output in cell.get("outputs", []):
            stored = "".join(output.get("data", {}).get("text/html", ""))
            for kind, alt in re.findall(r'<img src="data:image/(\w+);[^"]*" alt="([^"]*)"', stored):
                assert (f".{kind}", html.unescape(alt)) in shown
                outputs += 1
            for line in "".join(output.get("text", "")).splitlines():
                assert re.sub(r"\s+", " ", line).strip() in text
    assert outputs > 3
    assert "data:image" not in (site / f"notebooks/{name}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LESSONS)
def test_buttons_of_a_lesson(site, pages, name):
    path = f"notebooks/{name}.ipynb"
    links = [a["href"] for a in pages[f"notebooks/{name}.html"].find_all("a", href=True)]
    colab = readme.badge(path).rsplit("(", 1)[1].rstrip(")")
    assert links.count(colab) == 2  # in the bar and in the text
    assert f"../_sources/{path}" in links
    assert json.loads((site / "_sources" / path).read_text(encoding="utf-8")) == readme.read(readme.ROOT / path)


def test_previous_and_next(pages):
    page = pages[f"notebooks/{LESSONS[0]}.html"]
    assert page.find("a", class_="left-prev")["href"] == "../README.html"
    following = page.find("a", class_="right-next")["href"]
    back = pages[f"notebooks/{following}"].find("a", class_="left-prev")
    assert back["href"] == f"{LESSONS[0]}.html"


# --- in a browser ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_every_page_is_whole_and_accessible(visit, fetched, pages, width, scheme):
    axe = (fetched(npm.AXE) / "axe.min.js").read_text(encoding="utf-8")
    found = []
    for name in pages:
        page = visit(name, viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.evaluate("Promise.all([...document.images].map(async (i) => { i.loading = 'eager'; await i.decode(); }))")
        page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        wide, seen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if wide > seen:
            found.append(f"{name}: {wide} pixels wide, {seen} are seen")
        page.evaluate(axe)
        told = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        found += [
            f"{name}: {v['impact']} {v['id']} {v['nodes'][0]['html'][:200]}"
            for v in told
            if v["impact"] in ("serious", "critical")
        ]
        page.close()
    assert found == []


def test_formulas_are_drawn_and_answers_open(visit):
    page = visit("notebooks/03_measuring_faces.html")
    formulas = page.locator(".math")
    assert formulas.count() == page.locator(".math > .katex, .math > .katex-display").count() > 10
    assert page.locator(".katex-error").count() == 0
    sizes = formulas.evaluate_all("all => all.map((f) => f.checkVisibility() ? f.getBoundingClientRect().height : 20)")
    assert min(sizes) > 8
    details = page.locator("details", has=page.locator(".math")).first
    assert not details.locator(".katex").first.is_visible()
    details.locator("summary").click()
    assert details.locator(".katex").first.is_visible()
    assert "$" not in details.inner_text()


def test_a_term_tells_what_it_is_and_leads_to_the_glossary(visit):
    page = visit("notebooks/03_measuring_faces.html")
    term = page.locator("a[href='glossary.html#recall']").first
    assert "real faces" in term.get_attribute("title")
    term.click()
    assert page.url.endswith("glossary.html#recall")
    assert page.locator("#recall").bounding_box()["y"] < 720


def test_search_finds_a_word(visit):
    page = visit("index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("Fréchet")
    page.keyboard.press("Enter")
    page.locator("#search-results a[href^='notebooks/03_measuring_faces.html']").first.wait_for()
    page.locator("#search-results .context, #search-results p.search-summary").last.wait_for()


def test_dark_mode_is_chosen_and_stays(visit):
    def brightness(page):
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    page = visit("index.html", color_scheme="light")
    assert brightness(page) > 200
    page.locator(".theme-switch-button:visible").first.click()
    page.locator(".theme-change-button[data-mode=dark]:visible").first.click()
    assert brightness(page) < 60
    page.goto(page.url.replace("index", "notebooks/glossary"))
    assert brightness(page) < 60
