"""The face editor as a page of the web: one folder, no server, no account; the generator runs in the visitor's browser.

    write("progan-toon-64", "axes.npz", "site")      # then open site/index.html, or put the folder on GitHub Pages

`index.html` holds all that it needs (style, script, axes, weights, runtime), since a page that is opened as a file, or
inside JupyterLab, may not load other files. What is in it: `index.html`, `page.css` and `editor.js` beside this file, as
they are; ONNX Runtime Web, from npm; the networks as ONNX with float16 weights. Beside it lie the model card and the licences.
"""

import base64
import gzip
import html
import json
import tempfile
import tomllib
import warnings
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from gan_course import backend, pretrained, weights
from gan_course.data import npm, toon
from gan_course.errors import CourseError
from gan_course.files import atomic_write
from gan_course.latent.axes import LEAST, POLE, STEPS, Axes
from gan_course.latent.sampling import latent_dim, needs_space
from gan_course.settings import ROOT
from gan_course.widgets.face_editor import REACH, grouped

HERE = Path(__file__).parent
SMALL = 64  # numbers: smaller arrays stay float32
NOTE = (
    "<p><strong>For non-commercial research and education only.</strong> The network learned from photographs of people "
    "who were not asked. The licence of their pictures (CelebA) holds for what is made from them, and so for this page.</p>"
)
LICENCES = """\
This page holds:

- GAN Course: the page and its script. MIT.
- The weights of the network: see card.md.
- ONNX Runtime Web {version} (https://www.npmjs.com/package/onnxruntime-web), from npm, unchanged. MIT:

{mit}

  Parts of it by others: https://github.com/microsoft/onnxruntime/blob/main/ThirdPartyNotices.txt

The files of ONNX Runtime Web, and their sha256:

{hashes}
"""


@dataclass(frozen=True)
class Site:
    """What the page shows. draw: ONNX bytes of codes -> pictures; map: of z -> w, or None. card: Markdown.

    photographs: the network learned from photographs of people.
    """

    axes: Axes
    draw: bytes
    map: bytes | None
    latent: int  # numbers in a latent vector
    layers: int  # of w; 0 in z
    size: int  # of a picture, in pixels
    summary: str
    card: str
    photographs: bool


def write(target, axes, out):
    """Write the page of a generator and its axes to the folder `out`; return the path of its index.html.

    target: RUN|NAME, see `gan_course.pretrained.find`. axes: path of an .npz file, or the `Axes`. Raises `CourseError` for axes of
    another generator, a folder that holds other things, and where the runtime cannot be fetched.
    """
    out = Path(out)
    ours = {"index.html", "card.md", "licences.txt", "CNAME"}  # CNAME and hidden files: of GitHub Pages
    if out.exists() and not (out.is_dir() and {x.name for x in out.iterdir() if x.name[0] != "."} <= ours):
        raise CourseError(f"'{out}' holds other files already; give --out a new folder.")
    axes = axes if isinstance(axes, Axes) else Axes.load(axes)
    found = pretrained.find(target)
    axes.check(found.network, str(target))
    npm.files(npm.ONNX_RUNTIME)  # what cannot be fetched is told before the long work
    return save(site(found, axes), out)


def site(found, axes):
    """Return the `Site` of a generator (`pretrained.Found`) and its axes."""
    network = found.network
    needs_space(network, axes.space)
    layers = len(network.styled) if axes.space == "w" else 0
    latent = latent_dim(network)
    if layers:
        draw, mapping = (
            to_onnx(_part(network, "synthesize", (layers, latent))),
            to_onnx(_part(network, "map", (latent,))),
        )
    else:
        draw, mapping = to_onnx(network), None
    name = found.about["name"]
    entry = pretrained.index().get(name, {}) if found.about["kind"] == "shipped weights" else {}
    summary = f"{entry['summary']}, '{name}'" if entry else f"a {found.config.model} of the training '{name}'"
    data = found.config.data
    photographs = not (data == "toon" or toon.is_cartoon(data))  # what cannot be found is taken for photographs
    if entry:
        card = (weights.FOLDER / f"{name}.md").read_text(encoding="utf-8")
    else:
        rows = json.dumps(found.config.to_dict() | {"step": found.about["step"]}, indent=1)
        card = f"# Model card: `{name}`\n\nA training of one's own; its settings:\n\n```json\n{rows}\n```\n"
        card += "\nTrained on photographs of people: for non-commercial research only.\n" if photographs else ""
    card += (
        "\n**On this page** the weights are rounded to float16, in ONNX. The axes: "
        f"{len(axes.names)} in {axes.space}, {axes.method}, from {axes.count:,} faces told by `{axes.network_name}`.\n"
    )
    size = network.output_shape[1]
    return Site(axes, draw, mapping, latent, layers, size, summary, card, photographs)


def _part(network, method, shape):
    """Return a method of a StyleGAN as a network: 'map' or 'synthesize'."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, _Method(network, method)(inputs))


class _Method(keras.layers.Layer):
    def __init__(self, network, method):
        super().__init__(dtype="float32")
        self.network, self.method = network, method

    def call(self, x):
        return getattr(self.network, self.method)(x)


def to_onnx(network):
    """Return a network as ONNX bytes with its weights as float16: half the size, and at most 2^-11 of a weight is lost.

    It computes in float32: its first operations bring the weights back. Raises `CourseError` where the packages are missing.
    """
    if backend.NAME != "tensorflow" or not find_spec("tf2onnx") or not find_spec("onnx"):
        raise CourseError(
            "A network is written as ONNX with TensorFlow and tf2onnx; run 'pip install -e \".[tensorflow,onnx]\"'."
        )
    import onnx

    network(np.zeros((1, *network.input_shape[1:]), "float32"))  # Keras exports only what was called once
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of Keras's own code, about NumPy
            network.export(path, format="onnx", verbose=False)
        model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        numbers, name = onnx.numpy_helper.to_array(tensor), tensor.name
        if numbers.dtype != np.float32 or numbers.size < SMALL or np.abs(numbers).max() > np.finfo("float16").max:
            continue
        tensor.CopyFrom(onnx.numpy_helper.from_array(numbers.astype("float16"), f"{name}/float16"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}/float16"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def save(site, out):
    """Write a `Site` to the folder `out`; return the path of its index.html, which is written last."""
    runtime, out = npm.files(npm.ONNX_RUNTIME), Path(out)
    paths = list(npm.ONNX_RUNTIME.sha256)
    values = {
        "style": (HERE / "page.css").read_text(encoding="utf-8"),
        "script": (HERE / "editor.js").read_text(encoding="utf-8"),
        "about": json.dumps(_about(site)).replace("<", "\\u003c"),
        "directions": _base64(np.ascontiguousarray(site.axes.directions, "<f8").tobytes()),
        "draw": _packed(site.draw),
        "map": _packed(site.map) if site.map else "",
        "runtime": _packed((runtime / paths[0]).read_bytes()),
        "wasm": _packed((runtime / paths[1]).read_bytes()),
        "summary": html.escape(site.summary),
        "people": "It learned from photographs of real people, and may keep something of theirs."
        if site.photographs
        else "It learned from drawings; no photograph was used.",
        "note": NOTE if site.photographs else "",
        "lesson": _lesson(),
        "repository": html.escape(_repository()),
        "version": npm.ONNX_RUNTIME.version,
    }
    page = (HERE / "index.html").read_text(encoding="utf-8")
    for name, value in values.items():
        page = page.replace("{{" + name + "}}", value)
    mit = (HERE / "MIT-onnxruntime.txt").read_text(encoding="utf-8").rstrip()
    hashes = "\n".join(f"    {sha256}  {path}" for path, sha256 in npm.ONNX_RUNTIME.sha256.items())
    texts = {
        "card.md": site.card,
        "licences.txt": LICENCES.format(version=npm.ONNX_RUNTIME.version, mit=mit, hashes=hashes),
        "index.html": page,
    }
    for name, text in texts.items():
        with atomic_write(out / name) as partial_file:
            partial_file.write_text(text, encoding="utf-8", newline="\n")
    return out / "index.html"


def _about(site):
    """Return what the script must know beside the numbers."""
    axes, (step, word) = site.axes, STEPS[site.axes.space]
    return dict(
        names=axes.names,
        groups=list(grouped(axes.names).items()),
        space=axes.space,
        unit=axes.unit,
        step=step,
        word=word,
        most=REACH * step,
        least=LEAST,
        pole=POLE,
        latent=site.latent,
        layers=site.layers,
        size=site.size,
        weights_sha256=axes.weights_sha256,
    )


def _packed(data):
    return _base64(gzip.compress(data, 9, mtime=0))


def _base64(data):
    return base64.b64encode(data).decode()


def _repository():
    """Return the course's public address."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].rstrip("/")


def _lesson():
    """Return a sentence with a link to the lesson on whose faces these are; until it is written, to where that begins."""
    name, words = "10_whose_faces", "Whose faces these are, and what follows from it, is a lesson of the course"
    if not (ROOT / "notebooks" / f"{name}.ipynb").exists():
        name, words = "00_start_here", "The course says in its first lesson whose faces these are"
    return f'<a href="{html.escape(_repository())}/blob/main/notebooks/{name}.ipynb">{words}</a>.'


def server(folder):
    """Return a server of a folder, for this computer only, on a free port; it tells nothing on the terminal."""
    return ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
