"""The command line: python -m gan_course data|train|sample|evaluate|attributes|measure-attributes|frame|axes|edit|page."""

import argparse
import sys
import textwrap
import warnings
from contextlib import suppress
from pathlib import Path

from gan_course import settings
from gan_course.errors import CourseError, CourseWarning

COMMANDS = "data|train|sample|evaluate|attributes|measure-attributes|frame|axes|edit|page"
GOES_ON = ("data", "train")  # after Ctrl-C


def toon(options):
    from gan_course.data import toon

    folder = toon.render(options.out or settings.data_folder() / "toon", count=options.count, seed=options.seed)
    print(f"{options.count} faces are in {folder}.")


def celeba(options):
    from gan_course.data import fetch

    folder = options.out or settings.data_folder() / "celeba"
    faces = fetch.fetch(options.source, folder, accept=options.yes)
    print("\n".join(faces.notes))
    print(f"{len(faces)} faces are in {folder}. Train with --data {folder}; for lessons, set GAN_COURSE_FACES to it.")


def train(options):
    from gan_course import pretrained, runs
    from gan_course.systems import system

    chosen = {f.name: getattr(options, f.name) for f in system(options.model).options()}
    chosen |= {"model": options.model, "data": str(options.data)}
    distance = None
    if options.distance_every is not None:
        from gan_course import metrics

        distance = metrics.Distance(options.data, options.distance_every, split="val")  # for choosing
    start = pretrained.find(options.start_from) if options.start_from else None
    trainer = runs.train(
        options.out,
        options.steps,
        options.minutes,
        options.tensorboard,
        distance,
        options.data_changed,
        start,
        **chosen,
    )
    print(f"{options.out}: {trainer.step} steps. Look at sheets/ and training.gif there.")


def sample(options):
    from gan_course import pretrained, show

    if options.count < 1:
        raise CourseError(f"--count is {options.count}; give 1 or more.")
    if options.seed < 0:
        raise CourseError(f"--seed is {options.seed}; give 0 or more.")
    if options.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise CourseError(f"--out is '{options.out}'; give a file that ends in .png or .jpg.")
    texts = getattr(options, "text", None)
    show.save(options.out, _sheet(pretrained.find(options.name), texts, options))
    print(f"{options.count * len(texts or [''])} faces are in {options.out}.")


def _sheet(found, texts, options):
    """Return a picture of faces; with sentences, a row for each, and say what was understood of it."""
    from gan_course import show
    from gan_course.training.text import captioned

    if texts is None:
        return show.sheet(found.sample(options.count, options.seed, options.psi))
    found.must_read()
    understood = [found.config.understand(found.network, text) for text in texts]  # all, before the work
    for text, one in zip(texts, understood, strict=True):
        print(f"'{textwrap.shorten(text, 60)}': {one}.")
    return captioned({
        textwrap.shorten(text, 130): found.sample(options.count, options.seed, options.psi, [text]) for text in texts
    })  # fmt: skip


def _evaluate_edits(options):
    import json

    from gan_course import files, metrics

    judge = {"toon": "attributes-toon-judge", "celeba": "attributes-celeba-judge"}.get(
        options.features, options.features
    )
    if options.compare:
        raise CourseError("--compare shows generators of new faces side by side; leave it out for one that edits.")
    if options.psi != 1:
        raise CourseError(
            f"'{options.target}' edits faces, and psi is {options.psi}; psi is for a StyleGAN, leave it out."
        )
    table, curves = metrics.measure_edits(
        options.target, options.data, options.split, judge, options.count, strength=options.strength
    )
    print(metrics.edits_text(table))
    if options.out:
        written = {"target": options.target, "data": str(options.data), "split": options.split, "judge": judge}
        written["strength"] = options.strength
        rows = json.loads(table.to_json(orient="index", double_precision=6))
        with files.atomic_write(options.out) as partial:
            partial.write_text(json.dumps({**written, "directions": rows, "curves": curves}, indent=1) + "\n")


def evaluate(options):
    from gan_course import editing, metrics

    if options.out and options.out.is_dir():
        raise CourseError(f"--out is '{options.out}', a folder; give a file to write, such as result.json.")
    if editing.is_editor(options.target):
        return _evaluate_edits(options)
    if options.strength != 1:
        raise CourseError(f"'{options.target}' edits no faces, and --strength is of edits; leave it out.")
    others = [metrics.read(options.compare)] if options.compare else []  # told before the long work
    chosen = {name: getattr(options, name) for name in "split count seed features part resolution psi".split()}
    result = metrics.evaluate(options.target, options.data, **chosen)
    try:
        print("\n".join(metrics.comparison_table(result, *others)))
    except CourseError:  # not to be compared; what was measured is not lost
        print("\n".join(metrics.comparison_table(result)))
        raise
    finally:  # after the numbers were shown, in case the file cannot be written
        if options.out:
            metrics.save(options.out, result)


def attributes(options):
    from gan_course.training import classifier

    chosen = dict(width=options.width, seed=options.seed, epochs=options.epochs)
    _, table = classifier.train(options.data, options.out, **chosen)
    print(classifier.table_text(table))
    print(f"The network is in {options.out}; report.json there holds these numbers.")


def measure_attributes(options):
    from gan_course import files, metrics

    if options.out and options.out.is_dir():
        raise CourseError(f"--out is '{options.out}', a folder; give a file to write, such as table.csv.")
    table = metrics.measure_groups(options.target, options.data, options.groups, options.part)
    print(metrics.groups_text(table))
    if options.out:
        with files.atomic_write(options.out) as partial:
            table.to_csv(partial, float_format="%.6f")


def frame(options):
    import numpy as np

    from gan_course import show
    from gan_course.data import framing
    from gan_course.progress import progress

    eyes, count, failed = None, len(options.photos), 0
    if options.out.exists() and not options.out.is_dir():
        raise CourseError(f"--out is '{options.out}', a file; give a folder.")
    if options.eyes is None:
        framing.opencv()  # where it is missing, that is said once
    elif count > 1:
        raise CourseError(f"--eyes is for one photograph, and there are {count}; give one at a time.")
    else:
        try:
            eyes = np.array(options.eyes.split(","), "float64").reshape(2, 2)
        except ValueError:
            text = f"--eyes is '{options.eyes}'; give X,Y,X,Y in pixels, first the eye on the left of the picture."
            raise CourseError(text) from None
    bar = progress(options.photos, desc="photographs", unit="img")
    for photo in bar:
        try:
            out = options.out / f"{photo.stem}.png"
            if out.exists():
                raise CourseError(f"'{photo}' is not framed, since '{out}' exists; move that, or give another --out.")
            image = framing.open_photograph(photo)
            try:
                show.save(out, framing.frame_face(image, eyes))
            except CourseError as error:
                raise CourseError(f"'{photo}': {error}") from None
        except CourseError as error:
            if count == 1:
                raise
            failed += 1
            bar.clear()
            _failed(error)
    if failed:
        raise CourseError(
            f"{failed} of {count} photographs are not framed; {count - failed} faces are in {options.out}."
        )
    print(f"{count} faces are in {options.out}.")


def axes(options):
    from gan_course import pretrained
    from gan_course.data import toon
    from gan_course.data.celeba import open_faces
    from gan_course.latent.axes import find_axes
    from gan_course.training.classifier import attribute_network

    if options.out.suffix != ".npz":
        raise CourseError(f"--out is '{options.out}'; give a file that ends in .npz.")
    name = options.network
    if name is None:
        open_faces(options.data)  # raises for what holds no faces
        name = f"attributes-{'toon' if toon.is_cartoon(options.data) else 'celeba'}-steer"
    found = pretrained.find(options.name)
    network, names = attribute_network(name)
    chosen = {key: getattr(options, key) for key in "space count seed method ridge precision".split()}
    result = find_axes(
        found.network, network, names, **chosen, generator_name=found.about["name"], network_name=Path(name).name
    )
    result.save(options.out)
    print(f"{len(result.names)} axes in {result.space} from {result.count:,} faces are in {options.out}.")


def edit(options):
    if not (options.axes or options.image):
        raise CourseError("edit needs --axes AXES.npz, --image FILE, or both; see 'python -m gan_course edit --help'.")
    axes, image = bool(options.axes), bool(options.image)
    for chosen, allowed, why in (
        (("lock", "step", "layers"), axes, "belongs to --axes"),
        (("count", "seed"), axes and not image, "is for drawn faces, so for --axes without --image"),
        (("search",), axes and image, "belongs to --axes with --image"),
        (("strength", "source"), image and not axes, "belongs to --image without --axes"),
    ):
        for name in chosen:
            if not allowed and getattr(options, name) is not None:
                raise CourseError(f"--{name} {why}; leave it out.")
    run = _edit_drawn if options.axes else _edit_given
    if options.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise CourseError(f"--out is '{options.out}'; give a file that ends in .png or .jpg.")
    run(options)


def _edit_drawn(options):
    import numpy as np

    from gan_course import pretrained, show
    from gan_course.latent.axes import STEPS, Axes, drawer
    from gan_course.latent.sampling import fixed_latent, latent_dim

    count, seed = 6 if options.count is None else options.count, options.seed or 0
    for name, value, least in (("count", count, 1), ("seed", seed, 0)):
        if value < least:
            raise CourseError(f"--{name} is {value}; give {least} or more.")
    found, chosen = pretrained.find(options.name), Axes.load(options.axes)
    chosen.check(found.network, options.name)
    if options.layers and chosen.space == "z":
        raise CourseError("--layers is for axes in w; these are in z.")
    step = STEPS[chosen.space][0] if options.step is None else options.step
    amounts = {name: number * step for name, number in steps(options.set).items()}
    told = ", ".join(f"{name} {amount:+g}" for name, amount in amounts.items())
    if options.image:
        given, codes = _found_face(options, found, chosen)
    else:
        codes = chosen.start(fixed_latent(count, latent_dim(found.network), seed), found.network)
    moved = chosen.move(codes, amounts, options.lock or [], options.layers)
    pictures = show.to_uint8(drawer(found.network, chosen.space)(np.concatenate([codes, moved])))
    if options.image:
        show.save(options.out, show.sheet(np.concatenate([given, pictures]), columns=3))
        print(
            f"The face, what was found in {options.search or 'w+'}, and this with {told} {STEPS['w'][1]}: {options.out}."
        )
    else:
        show.save(options.out, show.sheet(pictures, columns=count))
        print(f"Above {count} faces, below the same with {told} {STEPS[chosen.space][1]}: {options.out}.")


def _found_face(options, found, chosen):
    """Return (the face of --image uint8 (1, r, r, 3), its w (1, L, d)), searched for from an encoder's guess where there is one."""
    from gan_course import backend, editing, pretrained
    from gan_course.latent.projection import project
    from gan_course.models.attributes import feature_extractor
    from gan_course.training.classifier import attribute_network

    if chosen.space == "z":
        raise CourseError(
            "A given face can be found in w only; give the axes of a StyleGAN that 'axes --space w' wrote."
        )
    face = editing.read_face(options.image, found.network.output_shape[1])[None]
    x = face.astype("float32") / 127.5 - 1
    encoder = pretrained.encoder_of(options.name)
    guess = None if encoder is None else backend.to_numpy(encoder(x))
    features = feature_extractor(attribute_network(chosen.network_name)[0])
    return face, project(found.network, x, features, space=options.search or "w+", start=guess).w


def _edit_given(options):
    from gan_course import editing, show

    target = editing.settings_of(options.set)
    editor = editing.open_editor(options.name)
    face = editing.read_face(options.image, editor.resolution)
    source = (
        editor.tell(face[None])[0] if options.source is None else editor.domain(editing.settings_of(options.source))
    )
    strength = 1.0 if options.strength is None else options.strength
    if strength == "enough":
        strength = editor.enough(face[None], target, source)[0]
    edited = editor.edit(face[None], target, strength, source)[0]
    show.save(options.out, edited)
    told = f"{editor.domains[source]} -> {editor.domains[editor.domain(target, source)]}"
    print(f"{options.out}: {told}, strength {strength:g}.")


def page(options):
    import webbrowser

    from gan_course.widgets import page

    index = page.write(options.weights, options.axes, options.out)
    print(f"The page is {index} ({index.stat().st_size / 1e6:.0f} MB); open it, or put the folder on a web server.")
    if options.serve:
        with page.server(options.out) as server, suppress(KeyboardInterrupt):
            address = f"http://127.0.0.1:{server.server_port}/"
            print(f"It is served at {address} until Ctrl-C.", flush=True)
            webbrowser.open(address)
            server.serve_forever()


def strength(text):
    """Return the number of `0.8`, or the word `enough`."""
    try:
        return text if text == "enough" else float(text)
    except ValueError:
        raise CourseError(f"--strength is '{text}'; give a number, or enough.") from None


def names(text):
    """Return the attributes of `Male,Young`."""
    return [name.strip() for name in text.split(",") if name.strip()]


def steps(text):
    """Return {attribute: how many steps} of `Smiling=+2,Young=-1`."""
    pairs = (part.partition("=") for part in names(text))
    try:
        found = {name.strip(): float(number) for name, _, number in pairs}
    except ValueError:
        found = {}
    if not found:
        raise CourseError(f"--set is '{text}'; give attributes and numbers of steps, such as Smiling=+2.")
    return found


def layers(text):
    """Return the layers of `2` or `0-3`."""
    first, _, last = text.partition("-")
    chosen = list(range(int(first), int(last or first) + 1))
    if not chosen:
        raise ValueError(text)  # 3-0; argparse says so
    return chosen


def path(text):
    """Return a path of the command line; `~` is the home folder also where the shell leaves it, as in --out=~/run."""
    return Path(text).expanduser()


def parser(systems=True):
    """Return the parser of all commands. `systems`: with those of `train`, whose options come from slow imports."""
    top = argparse.ArgumentParser(prog="python -m gan_course", description="Faces, training and samples of GAN Course.")
    commands = top.add_subparsers(required=True, metavar=COMMANDS)
    defaults = argparse.ArgumentDefaultsHelpFormatter

    data = commands.add_parser("data", help="get faces to train on").add_subparsers(
        required=True, metavar="toon|celeba"
    )
    p = data.add_parser("toon", help="render labelled cartoon faces (about a minute)")
    p.add_argument("--count", type=int, default=12000, help="how many faces (default: 12000)")
    p.add_argument("--seed", type=int, default=0, help="another seed draws other faces (default: 0)")
    p.add_argument("--out", type=path, help="the folder to write (default: data/toon)")
    p.set_defaults(run=toon)

    p = data.add_parser("celeba", help="fetch and verify CelebA, real faces (1.4 GB)")
    p.add_argument("--from", dest="source", required=True, metavar="kaggle|drive|PATH", help="where CelebA comes from")
    p.add_argument("--out", type=path, help="the folder to write (default: data/celeba)")
    p.add_argument("--yes", action="store_true", help="I have read CelebA's licence and agree; do not ask")
    p.set_defaults(run=celeba)

    p = commands.add_parser("train", help="train a GAN, or go on with a run that was stopped")
    if systems:
        _add_systems(p.add_subparsers(required=True, dest="model", metavar="MODEL", help="which system"))

    p = commands.add_parser("sample", help="draw a sheet of faces", formatter_class=defaults)
    p.add_argument("name", metavar="RUN|NAME", help="folder of a run, or the name of weights that the course ships")
    p.add_argument("--count", type=int, default=36, help="how many faces")
    p.add_argument("--seed", type=int, default=0, help="another seed draws other faces")
    p.add_argument(
        "--text",
        action="append",
        default=argparse.SUPPRESS,
        metavar="SENTENCE",
        help="text: what to draw, such as 'A man with a beard.'; may be repeated",
    )
    p.add_argument("--psi", type=float, default=1.0, help="StyleGAN: below 1, more usual faces and fewer kinds of them")
    p.add_argument("--out", type=path, default=Path("sheet.png"), help="the picture to write")
    p.set_defaults(run=sample)

    p = commands.add_parser(
        "evaluate",
        help="measure the distance of generated faces to real ones",
        description="Measure generated faces, or those of a folder, against real ones: Frechet and kernel distance, "
        "precision and recall. The floor is real against real: evaluate FOLDER --part train --data FOLDER. A system that edits "
        "(l2m) edits all faces of the split: how many reach the target, what stays, how far from real faces of the target. Where its "
        "domains are folders, a regression that was fitted to the training pictures says what reaches the target.",
    )
    p.add_argument(
        "target", metavar="RUN|NAME|FOLDER", help="folder of a run, name of shipped weights, or folder of faces"
    )
    p.add_argument("--data", required=True, type=path, metavar="FOLDER", help="the real faces: a CelebA folder or zip")
    parts = {"choices": ["train", "val", "test", "all"]}
    p.add_argument("--split", default="test", help="which part of the real faces (default: test)", **parts)
    p.add_argument("--part", default="all", help="which part of the FOLDER that is measured (default: all)", **parts)
    p.add_argument(
        "--count", type=int, default=2000, help="faces of each kind; all of a part that has fewer (default: 2000)"
    )
    p.add_argument(
        "--seed", type=int, default=0, help="draws the measured faces; the real ones stay the same (default: 0)"
    )
    p.add_argument(
        "--features",
        default="auto",
        metavar="auto|toon|celeba|inception|NAME",
        help="feature network: the judge of cartoon or of real faces (auto: by the data), Inception-v3, or the name "
        "of shipped weights (default: auto)",
    )
    p.add_argument("--resolution", type=int, help="height and width of a FOLDER's faces in pixels (default: 64)")
    p.add_argument("--psi", type=float, default=1.0, help="of a StyleGAN, as in sample (default: 1)")
    p.add_argument(
        "--strength", type=strength, default=1.0, metavar="NUMBER|enough", help="of edits, as in edit (default: 1)"
    )
    p.add_argument("--out", type=path, metavar="JSON", help="write the numbers and all that repeats them")
    p.add_argument("--compare", type=path, metavar="JSON", help="show an earlier result beside; refused if not alike")
    p.set_defaults(run=evaluate)

    p = commands.add_parser(
        "attributes",
        help="train a network that tells the attributes of a face",
        description="Train a network that tells the attributes of a 64x64 face, and measure it on the test part.",
    )
    p.add_argument("--data", required=True, type=path, metavar="FOLDER", help="faces: a CelebA folder or zip")
    p.add_argument("--out", required=True, type=path, metavar="FOLDER", help="a new folder for network and report")
    p.add_argument("--width", type=int, default=32, help="channels of the first layer (default: 32)")
    p.add_argument("--seed", type=int, default=0, help="first weights, order and variation of the faces (default: 0)")
    p.add_argument("--epochs", type=int, default=30, help="times that every training face is seen (default: 30)")
    p.set_defaults(run=attributes)

    p = commands.add_parser(
        "measure-attributes",
        help="measure such a network for each group of faces",
        description="Measure an attribute network group by group (women and men, young and old, ...): accuracy, "
        "balanced accuracy, AUC, how often it says 'has it', and the gap between the best and the worst group.",
    )
    p.add_argument(
        "target", metavar="NAME|FOLDER", help="name of a shipped network, or a folder that 'attributes' wrote"
    )
    p.add_argument("--data", required=True, type=path, metavar="FOLDER", help="faces: a CelebA folder or zip")
    p.add_argument(
        "--groups",
        required=True,
        help="attributes of the faces, such as Male,Young (four groups); 'folders', the folder of each picture; "
        "'skin', of the cartoons; or a CSV file: a picture's name, its group's name",
    )
    p.add_argument("--part", default="test", help="which part of the faces (default: test)", **parts)
    p.add_argument("--out", type=path, metavar="CSV", help="write the table as well")
    p.set_defaults(run=measure_attributes)

    p = commands.add_parser(
        "frame",
        help="cut faces out of photographs as the course's faces are cut",
        description="Cut the largest face out of each photograph, 64x64, its eyes at the places where CelebA has them: "
        "a picture to project or to edit. Eyes are found by OpenCV (pip install -e '.[photos]'), or given.",
    )
    p.add_argument("photos", nargs="+", type=path, metavar="PHOTO", help="JPEG or PNG pictures")
    p.add_argument("--out", required=True, type=path, metavar="FOLDER", help="where PHOTO.png is written")
    p.add_argument(
        "--eyes", metavar="X,Y,X,Y", help="of one photograph: the eyes in pixels, first that on the picture's left"
    )
    p.set_defaults(run=frame)

    p = commands.add_parser(
        "axes",
        help="find the axes of a generator: the directions that change one attribute of a face",
        description="Draw random faces, let an attribute network tell their attributes, and fit a direction in latent "
        "space for each attribute (TL-GAN). 'edit' moves faces along them.",
    )
    p.add_argument("name", metavar="RUN|NAME", help="folder of a run, or the name of weights that the course ships")
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data",
        type=path,
        metavar="FOLDER",
        help="faces of the same kind: cartoons or photographs; chooses the network",
    )
    source.add_argument("--network", metavar="NAME|FOLDER", help="another attribute network; never the judge")
    p.add_argument("--out", required=True, type=path, metavar="AXES.npz", help="the file to write")
    p.add_argument("--space", default="z", choices=["z", "w"], help="latent space; w: of a StyleGAN (default: z)")
    p.add_argument("--count", type=int, default=20000, help="faces to draw (default: 20000)")
    p.add_argument("--seed", type=int, default=0, help="another seed draws other faces (default: 0)")
    p.add_argument(
        "--method",
        default="linear",
        choices=["linear", "logistic", "means"],
        help="a regression, or the difference of the means (default: linear)",
    )
    p.add_argument(
        "--ridge",
        type=float,
        default=0.0,
        metavar="R",
        help="lock all other axes softly; 1 is good, smaller is stricter (default: 0, no lock)",
    )
    p.add_argument(
        "--precision",
        default="mixed_bfloat16",
        choices=["float32", "mixed_bfloat16"],
        help="for drawing and telling; mixed_bfloat16 takes half the time where the CPU can, and changes nothing elsewhere "
        "(default: mixed_bfloat16)",
    )
    p.set_defaults(run=axes)

    p = commands.add_parser(
        "edit",
        help="change attributes of faces: drawn ones along axes, or a given one by L2M-GAN",
        description="With --axes: draw faces, and the same faces moved along axes that 'axes' found; a step is 5 degrees on "
        "the sphere of z, or half a standard deviation of w. With --image: change a given face by a network of 'train l2m'. With "
        "both: search for the w of a given face (of a StyleGAN), and move it along axes that 'axes --space w' found.",
    )
    p.add_argument("name", metavar="RUN|NAME", help="the generator that the axes belong to, or the network that edits")
    p.add_argument("--axes", type=path, metavar="AXES.npz", help="a file that 'axes' wrote")
    p.add_argument("--image", type=path, metavar="FILE", help="the face: a JPEG or PNG picture")
    p.add_argument(
        "--set",
        required=True,
        metavar="Smiling=+2,...",
        help="attributes; with --axes how many steps, with --image 0 or 1; or with --image the name of a domain, such as the "
        "folder 'dog' of a network that was trained with '--attributes folders'",
    )
    p.add_argument("--out", type=path, default=Path("edited.png"), help="the picture (default: edited.png)")
    p.set_defaults(run=edit)
    drawn, given = p.add_argument_group("with --axes"), p.add_argument_group("with --image")
    drawn.add_argument("--lock", type=names, metavar="Male,...", help="attributes that shall stay as they are")
    drawn.add_argument("--step", type=float, help="degrees (z) or standard deviations (w) of one step")
    drawn.add_argument("--layers", type=layers, metavar="0-3", help="of w: move only these layers")
    drawn.add_argument(
        "--search",
        choices=["w", "w+"],
        help="with --image as well: one w for all layers, or one for each, which comes nearer (default: w+)",
    )
    drawn.add_argument("--count", type=int, help="how many faces (default: 6)")
    drawn.add_argument("--seed", type=int, help="another seed draws other faces (default: 0)")
    given.add_argument(
        "--strength",
        type=strength,
        metavar="NUMBER|enough",
        help="from 0, the face given back, to 1, the edit, and beyond; enough: as little as lets the steering network see the "
        "target (default: 1)",
    )
    given.add_argument(
        "--source",
        help="what the face is, as --set, such as 'cat'; not given: the steering network tells, which knows no folders",
    )

    p = commands.add_parser(
        "page",
        help="write the face editor, or the text box, as a page of the web",
        description="Write a page in which visitors steer faces along the axes that 'axes' found; or, with a network of 'train "
        "l2m', edit a picture of their own, which stays on their computer; or, with one of 'train text', write a sentence and see "
        "faces drawn from it. The network runs in their browser: no server, no account. The first time it "
        "fetches ONNX Runtime Web from npm (33 MB).",
    )
    p.add_argument(
        "--weights",
        required=True,
        metavar="RUN|NAME",
        help="the generator that the axes belong to, or the network that edits or reads",
    )
    p.add_argument(
        "--axes", type=path, metavar="AXES.npz", help="a file that 'axes' wrote; not for a network that edits or reads"
    )
    p.add_argument("--out", type=path, default=Path("site"), metavar="FOLDER", help="the folder (default: site)")
    p.add_argument("--serve", action="store_true", help="open the page in the browser, served from this computer")
    p.set_defaults(run=page)
    return top


def _add_systems(models):
    """Add a parser for each system; a flag for each hyperparameter of its configuration."""
    from gan_course.systems import system, trained_by_command

    for name in trained_by_command():
        config = system(name)
        p = models.add_parser(name, help=config.__doc__.partition(":")[0].partition(".")[0].replace("\n", " "))
        p.add_argument("--data", required=True, type=path, metavar="FOLDER", help="faces: a CelebA folder or zip")
        p.add_argument(
            "--out", required=True, type=path, metavar="RUN", help="folder of the run; resumed if it holds one"
        )
        length = p.add_mutually_exclusive_group()
        length.add_argument("--steps", type=int, help="train until so many steps in all")
        length.add_argument("--minutes", type=float, help="train until so many minutes in all (default: 10)")
        p.add_argument("--tensorboard", action="store_true", help="write RUN/tensorboard as well")
        p.add_argument(
            "--start-from",
            metavar="RUN|NAME",
            help="begin a new run with the averaged weights of another (and its discriminator), or of shipped ones, instead of random ones",
        )
        p.add_argument(
            "--data-changed", action="store_true", help="go on with a run although its faces are not those of before"
        )
        p.add_argument(
            "--distance-every",
            type=int,
            metavar="STEPS",
            help="measure FFD (2,000 faces, part val) every so many steps, at the next end of an epoch; written to "
            "log.csv; its time is not counted in --minutes",
        )
        # No defaults here: what is not given comes from the run's settings.json, or from the recipe.
        for f in config.options():
            kind = {bool: {"action": argparse.BooleanOptionalAction}}.get(f.type, {"type": f.type, "metavar": "X"})
            text = f"{f.metadata['help']} (default: {f.default}"
            text += f", for cartoons {f.metadata['cartoons']}" if f.metadata["cartoons"] is not None else ""
            text += "; may change when a run goes on)" if f.metadata["steered"] else ")"
            p.add_argument(f"--{f.name.replace('_', '-')}", default=None, help=text, **kind)
        p.set_defaults(run=train)


def main(arguments=None):
    """Run one command; return the exit status: 0, 2 after a user's mistake, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console that does not know a letter of a file's name shows a ?
            stream.reconfigure(errors="replace")
    try:
        options = parser(systems=arguments[:1] == ["train"]).parse_args(arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("always", CourseWarning)  # also under `python -W error`
            warnings.showwarning = _one_line(warnings.showwarning)
            options.run(options)
    except CourseError as error:
        return _failed(error)
    except OSError as error:  # no rights, a file in the place of a folder, a full disk
        return _failed(f"{error}; check the path, your rights and the free space.")
    except ModuleNotFoundError as error:
        if (error.name or "gan_course").startswith("gan_course"):
            raise
        return _failed(f"{error}; install what is missing with 'pip install -r requirements.txt'.")
    except KeyboardInterrupt:
        goes_on = arguments and arguments[0] in GOES_ON
        return _failed("stopped; give the same command to go on." if goes_on else "stopped.", status=130)
    except Exception as error:
        if type(error).__name__ not in ("MemoryError", "ResourceExhaustedError"):
            raise
        return _failed("The memory is full; give a smaller --batch-size, --width or --resolution.")
    return 0


def _failed(sentence, status=2):
    print(f"gan_course: {sentence}", file=sys.stderr)
    return status


def _one_line(usual):
    def showwarning(message, category, *rest, **more):
        if issubclass(category, CourseWarning):
            print(f"gan_course: {message}", file=sys.stderr)
        else:
            usual(message, category, *rest, **more)

    return showwarning


if __name__ == "__main__":
    sys.exit(main())
