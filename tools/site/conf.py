"""The course as one static site, made by Sphinx from the files as they are (README.md, notebooks, cards).

    python -m sphinx -E -c tools/site . build/site          -t solutions: with the solved exercises
                                                            -t editor: with a link to a page in build/site/editor

Nothing runs: a lesson shows its stored outputs. The functions below change what Sphinx reads, never the files.
Formulas are drawn in the browser by KaTeX, which comes from npm once (as for the face editor's page).
"""

import base64
import fnmatch
import hashlib
import html
import json
import re
import shutil
import sys
from io import BytesIO
from pathlib import Path

from docutils import nodes
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import readme  # noqa: E402

from gan_course.data import npm  # noqa: E402

KATEX = npm.files(npm.KATEX)

project = html_title = "GAN Course"
author = "The GAN Course authors"
copyright = f"{author}. Text and pictures: CC BY 4.0; code: MIT"
root_doc = "README"
include_patterns = ["*.md", "notebooks/*", "data/README.md", "data/weights/*", "benchmarks/README.md"]
include_patterns += ["notebooks/solutions/*"] if tags.has("solutions") else []  # noqa: F821 (Sphinx gives `tags`)
exclude_patterns = [".*", "build", "dist", "runs", "data/cache", "data/toon*", "data/celeba*"]  # large: not searched

extensions = ["myst_nb"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # as on GitHub: README.md#colab
# Links are checked in the finished pages (tests/test_site.py); the targets of the glossary are HTML, unknown to MyST.
# A cell with `![ -d ...` or %pip is not plain Python, and is shown all the same.
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]

html_theme = "sphinx_book_theme"
html_theme_options = {
    "repository_url": readme.repository(),
    "repository_branch": "main",
    "use_repository_button": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "home_page_in_toc": True,
    "navbar_persistent": [],  # one search button, in the side bar
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's computer
html_favicon = "static/face.svg"
html_static_path = ["static", str(KATEX / "dist"), str(KATEX / "LICENSE")]
html_css_files = ["katex.min.css", "site.css"]
html_js_files = [("katex.min.js", {"defer": "defer"}), ("site.js", {"defer": "defer"})]
html_math_renderer = "katex"
html_show_sphinx = False

CONTENTS = {
    "Lessons": ("notebooks/[0-9]*", "notebooks/appendix*"),
    "Solutions": ("notebooks/solutions/*",),
    "Look it up": ("notebooks/glossary", "notebooks/reading*", "benchmarks/README"),
    "Networks and data": ("data/README", "data/weights/*"),
    "Teach and contribute": ("INSTRUCTORS", "CONTRIBUTING", "CHANGELOG"),
}
EDITOR = '<p><a href="editor/index.html"><strong>Open the face editor</strong></a>: it runs in your browser.</p>\n\n'


def read(app, docname, content):
    """Bring what a source file says into the form of the site (Sphinx's event `source-read`)."""
    if app.env.doc2path(docname).suffix == ".ipynb":
        notebook = json.loads(content[0])
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = links(app, docname, "".join(cell["source"]))
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if "text/html" in data:
                    data["text/html"] = pictures(app, docname, "".join(data["text/html"]))
        content[0] = json.dumps(notebook)
    else:
        content[0] = links(app, docname, content[0])
    if docname == root_doc:
        editor = EDITOR if app.tags.has("editor") else ""
        content[0] = content[0].replace("## Start\n", editor + "## Start\n", 1) + contents(app.env.found_docs)


def contents(found):
    """Return the site's table of contents, in Markdown of MyST."""
    lists = ""
    for caption, patterns in CONTENTS.items():
        pages = [page for pattern in patterns for page in sorted(fnmatch.filter(found, pattern))]
        if pages:
            lists += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n" + "\n".join(pages) + "\n```\n"
    return lists


def links(app, docname, text):
    """Return Markdown whose links to files that are no page of the site go to the repository.

    The badge 'Open in Colab' becomes words: its picture lies on another server.
    """

    def link(match):
        path = (ROOT / docname).parent.joinpath(match[1]).resolve()
        if not path.is_relative_to(ROOT) or not path.exists() or path.suffix in (".jpg", ".png", ".gif"):
            return match[0]
        page = path.relative_to(ROOT).as_posix()
        known = page.rsplit(".", 1)[0] in app.env.found_docs
        return match[0] if known else f"]({readme.repository()}/blob/main/{page}"

    text = text.replace(f"![Open in Colab]({readme.BADGE})", "Open in Colab")
    return re.sub(r"\]\(([^)#:\s]+)", link, text)


def pictures(app, docname, text):
    """Return the HTML of an output whose pictures are files, loaded when they come into sight: films are large."""

    def picture(match):
        kind, data, rest = match.groups()
        content = base64.b64decode(data)
        name = f"_images/{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
        (Path(app.outdir) / "_images").mkdir(parents=True, exist_ok=True)
        (Path(app.outdir) / name).write_bytes(content)
        width, height = Image.open(BytesIO(content)).size
        size = "" if " width=" in rest else f' width="{width}"'
        return (
            f'<img loading="lazy" style="aspect-ratio: {width} / {height}" src="{"../" * docname.count("/")}{name}"'
            f"{rest}{size}>"
        )

    return re.sub(r'<img src="data:image/(\w+);base64,([^"]+)"([^>]*)>', picture, text)


def formula(translator, node):
    """Write a formula as TeX, for KaTeX (site.js)."""
    tag = "div" if isinstance(node, nodes.math_block) else "span"
    translator.body.append(f'<{tag} class="math">{html.escape(node.astext())}</{tag}>')
    raise nodes.SkipNode


def finish(app, exception):
    if not exception:
        shutil.copy(app.outdir / "README.html", app.outdir / "index.html")


def setup(app):
    app.connect("source-read", read)
    app.connect("build-finished", finish)
    app.add_html_math_renderer("katex", (formula, None), (formula, None))
