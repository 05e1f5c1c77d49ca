"""Steering a face, editing one, or drawing one from words, as a page of the web: one folder, no server, no account; the network
runs in the visitor's browser.

    write("progan-toon-64", "axes.npz", "site")      # then open site/index.html, or put the folder on GitHub Pages
    write("l2m-toon-64", None, "site")               # a network that edits given faces has no axes
    write("t2f-toon-64", None, "site")               # and one that draws what a sentence says has none either

`index.html` holds all that it needs (style, script, weights, runtime), since a page that is opened as a file, or inside JupyterLab,
may not load other files. What is in it, from beside this file: `index.html`, the frame; `steer.html` and `steer.js`, or `edit.*`, or
`text.*`; `common.js` and `page.css`; ONNX Runtime Web, from npm; the networks as ONNX with float16 weights. Beside it lie the model
card and the licences.
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
from PIL import Image

from gan_course import backend, pretrained, weights
from gan_course.data import npm, toon
from gan_course.editing import DomainEditor
from gan_course.errors import CourseError
from gan_course.files import atomic_write
from gan_course.latent.axes import LEAST, POLE, STEPS, Axes
from gan_course.latent.sampling import latent_dim, needs_space
from gan_course.settings import ROOT
from gan_course.training.text import EXAMPLE, LEAST_FALL
from gan_course.widgets.face_editor import REACH, grouped

HERE = Path(__file__).parent
SMALL = 8192  # numbers: smaller arrays stay float32; of a sentence's cloud, rounded means change a picture by up to 3 of 255
TEST = range(10_801, 12_001)  # the cartoons of the test part, where 12,000 are drawn
MOST = 1.5  # of an edit's strength
FACES = 4  # of a sentence, as in the notebook
FRAMING = {  # what a picture must be like, for cartoons and for photographs
    False: "It must be framed as the examples are: one face, upright, in the middle and as large. The network has seen only "
    "cartoon faces: do not expect a good edit of a photograph.",
    True: "It must be framed as the faces of the training: one face, upright, the eyes a little below half the height, and apart by "
    "two ninths of the width. The course's command <code>frame</code> cuts a photograph so.",
}
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
    """What a page shows.

    kind: 'steer', 'edit' or 'text': which .html and .js. about: what the script must know, for JSON. data: {name: bytes} for the script,
    as ONNX networks. words: {name: HTML} of the page's own places. card: Markdown. photographs: the network learned from photographs of
    people.
    """

    kind: str
    about: dict
    data: dict
    words: dict
    summary: str
    card: str
    photographs: bool


def write(target, axes, out):
    """Write a page to the folder `out`; return the path of its index.html.

    target: RUN|NAME, see `gan_course.pretrained.find`: a generator, whose faces are steered, or a network that edits given faces
    or draws what a sentence says. axes: of the generator, path of an .npz file or the `Axes`; None for the others. Raises
    `CourseError` for axes of another generator, a folder that holds other things, and where the runtime cannot be fetched.
    """
    out = Path(out)
    ours = {"index.html", "card.md", "licences.txt", "CNAME"}  # CNAME and hidden files: of GitHub Pages
    if out.exists() and not (out.is_dir() and {x.name for x in out.iterdir() if x.name[0] != "."} <= ours):
        raise CourseError(f"'{out}' holds other files already; give --out a new folder.")
    axes = axes if axes is None or isinstance(axes, Axes) else Axes.load(axes)
    found = pretrained.find(target)
    does = "edits given faces" if found.config.edits else "draws what a sentence says" if found.config.reads else ""
    if does and axes is not None:
        raise CourseError(f"'{target}' {does} and has no axes; leave out --axes.")
    if not does:
        if axes is None:
            raise CourseError(
                f"'{target}' draws faces, which are steered along axes; give --axes, a file that 'axes' wrote."
            )
        axes.check(found.network, str(target))
    npm.files(npm.ONNX_RUNTIME)  # what cannot be fetched is told before the long work
    return save(site(found, axes), out)


def site(found, axes=None):
    """Return the `Site` of a generator (`pretrained.Found`) and its axes, or of a network that edits or reads."""
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
    card += "\n**On this page** the weights are rounded to float16, in ONNX. "
    if found.config.reads:
        kind, (about, data, words) = "text", _text(found.network, found.config)
        card += "Those of the part that reads are not rounded.\n"
    elif found.config.edits:
        kind, (about, data, words) = "edit", _edit(found, photographs)
        card += f"`{found.config.steering}` tells what a face is at first.\n"
    else:
        kind, (about, data, words) = "steer", _steer(found.network, axes)
        card += f"The axes: {len(axes.names)} in {axes.space}, {axes.method}, from {axes.count:,} faces told by `{axes.network_name}`.\n"
    return Site(kind, about, data, words, summary, card, photographs)


def _steer(network, axes):
    """Return (about, data, words) of the page on which drawn faces are steered."""
    needs_space(network, axes.space)
    layers = len(network.styled) if axes.space == "w" else 0
    latent = latent_dim(network)
    if layers:
        data = {
            "draw": to_onnx(_part(network, "synthesize", (layers, latent))),
            "map": to_onnx(_part(network, "map", (latent,))),
        }
    else:
        data = {"draw": to_onnx(network)}
    step, word = STEPS[axes.space]
    about = dict(
        names=axes.names,
        directions=np.asarray(axes.directions, "float64").tolist(),  # JSON keeps every digit
        groups=list(grouped(axes.names).items()),
        space=axes.space,
        unit=axes.unit,
        step=step,
        word=word,
        most=REACH * step,
        least=LEAST,
        pole=POLE,
        latent=latent,
        layers=layers,
        size=network.output_shape[1],
        weights_sha256=axes.weights_sha256,
    )
    return about, data, {"title": "Steer a face"}


def _edit(found, photographs):
    """Return (about, data, words) of the page on which given faces are edited."""
    editor = DomainEditor(found.network, found.config)
    size, attributes = editor.resolution, editor.attributes
    if not attributes:
        raise CourseError("The page sets attributes, and this editor's domains are folders; use 'edit --image'.")
    steering, known = editor.steering()
    pictures = keras.Input((size, size, 3))
    logits = keras.ops.take(steering(_fitted(pictures, steering)), [known.index(name) for name in attributes], axis=1)
    data = {"edit": to_onnx(found.network), "steering": to_onnx(keras.Model(pictures, logits))}
    if not photographs:
        data["examples"] = examples(attributes, size).tobytes()
    about = dict(attributes=attributes, domains=editor.domains, size=size, most=MOST)
    return about, data, {"title": "Edit a face", "most": str(MOST), "framing": FRAMING[photographs]}


def _text(network, config):
    """Return (about, data, words) of the page on which faces are drawn from a sentence."""
    numbers, psi = (
        keras.Input((None,)),
        keras.Input((config.text_dim,)),
    )  # no padding, so a short sentence takes a short time
    data = {
        "read": to_onnx(keras.Model(numbers, network.encoder(numbers)), half=False),
        "tell": to_onnx(keras.Model(psi, keras.ops.softmax(network.told(psi), axis=-1)), half=False),
        "draw": to_onnx(network),
    }
    about = dict(
        words=config.words,
        attributes=config.attributes,
        length=config.length,
        units=config.text_dim,
        latent=latent_dim(network),
        size=network.output_shape[1],
        count=FACES,
        least=LEAST_FALL,
        example=EXAMPLE,
        examples=config.examples(),
    )
    words = {"title": "Draw a face from words", "count": str(FACES), "length": str(config.length)}
    return about, data, words | {"known": str(len(config.words))}


def _fitted(pictures, network):
    """Return what `layers.fitted` returns, in sums of pixels: ONNX is not given its smoothed resize."""
    size, wanted = pictures.shape[1], network.input_shape[1]
    if size == wanted:
        return pictures
    one = np.eye(size, dtype="float32")[None, :, :, None]
    rows = keras.ops.image.resize(one, (wanted, size), antialias=True, data_format="channels_last")
    rows = backend.to_numpy(rows)[0, :, :, 0]  # a tensor would become an input
    return keras.ops.einsum("yh,bhwc,xw->byxc", rows, pictures, rows)


def examples(attributes, size):
    """Return cartoon faces of the test part, RGBA (n, size, size, 4): the first of each combination of attributes, 8 or more in all."""
    wanted, chosen = max(1, 8 // 2 ** len(attributes)), {}
    for index in TEST:
        labels = toon.labels(toon.draw(0, index))
        rows = chosen.setdefault(tuple(labels.get(name, False) for name in attributes), [])
        if len(rows) < wanted:
            rows.append(index)
    rows = sorted(index for rows in chosen.values() for index in rows)
    faces = [toon.picture(toon.draw(0, index), 0, index).convert("RGBA") for index in rows]
    return np.stack([np.asarray(face.resize((size, size), Image.Resampling.LANCZOS)) for face in faces])


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


def to_onnx(network, half=True):
    """Return a network as ONNX bytes with its weights as float16: half the size, and at most 2^-11 of a weight is lost.

    It computes in float32: its first operations bring the weights back. half=False: float32 as they are.
    Raises `CourseError` where the packages are missing.
    """
    if backend.NAME != "tensorflow" or not find_spec("tf2onnx") or not find_spec("onnx"):
        raise CourseError(
            "A network is written as ONNX with TensorFlow and tf2onnx; run 'pip install -e \".[tensorflow,onnx]\"'."
        )
    import onnx

    pretrained.called(network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of Keras's own code, about NumPy
            network.export(path, format="onnx", verbose=False)
        model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        numbers, name = onnx.numpy_helper.to_array(tensor), tensor.name
        if (
            not half
            or numbers.dtype != np.float32
            or numbers.size < SMALL
            or np.abs(numbers).max() > np.finfo("float16").max
        ):
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
    data = site.data | {"runtime": (runtime / paths[0]).read_bytes(), "wasm": (runtime / paths[1]).read_bytes()}
    people = "It learned from drawings; no photograph was used."
    if site.photographs:
        people = "It learned from photographs of real people, and may keep something of theirs."
    values = {
        "body": _file(f"{site.kind}.html"),
        "style": _file("page.css"),
        "script": _file("common.js") + _file(f"{site.kind}.js"),
        "about": json.dumps(site.about).replace("<", "\\u003c"),
        "data": "\n".join(f'<script type="text/plain" id="{name}">{_packed(x)}</script>' for name, x in data.items()),
        "summary": html.escape(site.summary),
        "people": people,
        "note": NOTE if site.photographs else "",
        "lesson": _lesson(),
        "repository": html.escape(_repository()),
        "version": npm.ONNX_RUNTIME.version,
        **site.words,
    }
    page = _file("index.html")
    for name, value in values.items():
        page = page.replace("{{" + name + "}}", value)
    mit = _file("MIT-onnxruntime.txt").rstrip()
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


def _file(name):
    return (HERE / name).read_text(encoding="utf-8")


def _packed(data):
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


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
