"""Is it the decomposition? L2M-GAN, the same networks without its parts, and the recipe's additions, in equal CPU time.

    python benchmarks/editing.py --data data/toon --cpu-seconds 360 --out benchmarks/results/editing.json
    python benchmarks/editing.py --axis 40          the axes of lesson 07 after a projection, 40 faces a direction
    python benchmarks/editing.py --nearest --data FOLDER --attributes Smiling   what a real face of the target would keep
    python benchmarks/editing.py --speed l2m-toon-64
    python benchmarks/editing.py --table benchmarks/results/editing.json        what was measured, all seeds
    python benchmarks/editing.py --unseen l2m-toon-64 --style micah --data runs/micah --out benchmarks/results/unseen.json
    python benchmarks/editing.py --unseen l2m-toon-64 --data FOLDER --judge attributes-celeba-judge

All test faces in every direction, once (`metrics.measure_edits`); the means over directions. CPU time (of all threads) and not
time on the clock, so that other work on the machine does not decide; compiling is counted.

--axis: faces are projected into w+ of `stylegan-toon-64` (150 steps from the encoder's guess), and walk along the axis of the
attribute (difference of the means, ridge dual). It goes as far as reaches the target most often, by the judge itself: a favour that
L2M-GAN does not get. No training is needed here.
--nearest: for each test face, the training face of the target (by its label and by the judge) that shares most of the judge's other
decisions. So much of "kept" has who takes the most similar real face in the place of an edit.
--speed: one edit of one face, milliseconds on the clock.
--unseen: how a network edits faces that are not of its kind, such as another drawing style (--style draws them into the folder
first) or photographs: see `unseen.py`. --data: any folder of faces with the attributes that the network edits. Never commit a sheet of
photographs.
"""

import argparse
import json
import time
from pathlib import Path

from gan_course import backend  # isort: skip  (before Keras)
import keras
import numpy as np
import unseen
from grown import every_run

from gan_course import metrics, pretrained, show, systems
from gan_course.data import domains, toon
from gan_course.data.celeba import open_faces
from gan_course.editing import DomainEditor, open_editor
from gan_course.files import atomic_write
from gan_course.latent.axes import find_axes
from gan_course.latent.projection import project
from gan_course.metrics import edits
from gan_course.metrics.distances import cosines, evenly_spaced
from gan_course.models.attributes import feature_extractor
from gan_course.training.classifier import attribute_network

WAYS = {
    "L2M-GAN": {},
    "no decomposition": dict(styles="whole"),
    "a label, as StarGAN": dict(styles="label"),
    "no perpendicular loss": dict(perpendicular=0.0),
    "D sees no wrong domains": dict(wrong=0.0),
    "no faces given back": dict(own_every=0),
    "product, as the official code": dict(perpendicular_loss="product"),
    "no skips": dict(skip="none"),
    "high-pass skips": dict(skip="high_pass"),
    "the steering network sees the target": dict(match=0.2),
}
COLUMNS = ("target", "real", "kept", "kept_free", "error", "identity", "frechet", "unedited", "floor", "spearman")
UNITS = (1, 2, 3, 4, 6, 8, 12)  # of w, along an axis


class Until(keras.callbacks.Callback):
    """Stop when the training has taken so many seconds of CPU time."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        self.begin = time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        if time.process_time() - self.begin >= self.seconds:
            self.model.stop_training = True


def train(way, options, seed):
    """Train one way; return its row, and a sheet of edits."""
    chosen = dict(data=str(options.data), attributes=options.attributes, resolution=options.resolution, seed=seed)
    chosen |= dict(width=options.width, style_width=options.width // 2, batch_size=16)
    keras.backend.clear_session()
    config = systems.recipe(model="l2m", **chosen | WAYS[way])
    trainer, source = config.build(), open_faces(config.data)
    config.prepare(trainer, source)
    until = Until(options.cpu_seconds)
    trainer.fit(config.dataset(source), steps_per_epoch=config.epoch, epochs=10**9, verbose=0, callbacks=[until])
    table, _ = metrics.measure_edits(DomainEditor(trainer.ema_editor, config), config.data)
    row = {"steps": trainer.step} | {name: round(float(table.loc["mean", name]), 4) for name in COLUMNS}
    return row, show.sheet(trainer.sample(36))


def axis(options):
    """Print how well faces are edited by a projection and the axes of lesson 07, direction by direction."""
    generator, (steer, names) = pretrained.load("stylegan-toon-64"), attribute_network("attributes-toon-steer")
    found = find_axes(generator, steer, names, space="w", method="means", ridge=1.0)
    encoder, judge = pretrained.load("encoder-toon-64"), edits.Judge("attributes-toon-judge")
    edited = domains.attributes_of(options.attributes)
    columns = [judge.attributes.index(name) for name in edited]
    others = [i for i in range(len(judge.attributes)) if i not in columns]
    kinds = domains.names_of(open_faces(options.data), options.attributes)
    pictures, of = domains.read(options.data, generator.resolution, "test", options.attributes, kinds)
    print("projected", "error", "kept", "identity", sep="\t")
    for d, kind in enumerate(kinds):
        faces = pictures[of == d][: options.axis]
        given = faces.astype("float32") / 127.5 - 1
        guess = backend.to_numpy(encoder(given))
        projected = project(generator, given, features=feature_extractor(steer), space="w+", start=guess)
        (before, features), (now, near) = judge(faces), judge(show.to_uint8(projected.pictures))
        numbers = (
            edits.reconstruction_error(faces, show.to_uint8(projected.pictures)),
            edits.agreement(before[:, others], now[:, others]),
        )
        print(kind, *(f"{x:.3f}" for x in (*numbers, cosines(features, near).mean())), sep="\t", flush=True)
        for b, name in enumerate(edited):
            target, sign = d ^ 1 << b, -1 if d >> b & 1 else 1
            rows = []
            for units in UNITS:
                w = found.move(projected.w, {name: sign * units})
                after, moved = judge(show.to_uint8(backend.to_numpy(generator.synthesize(w.astype("float32")))))
                reached = edits.target_accuracy(after[:, columns], edits.wanted_values(target, len(edited)))
                kept = edits.agreement(before[:, others], after[:, others])
                rows.append((reached, kept, cosines(features, moved).mean(), units))
            reached, kept, same, units = max(rows)
            print(
                f"-> {kinds[target]}\ttarget {reached:.3f}\tkept {kept:.3f}\tidentity {same:.3f}\t{units} units",
                flush=True,
            )


def nearest(options):
    """Print for each direction how many other decisions of the judge the most similar real face of the target shares."""
    source = open_faces(options.data)
    judge = edits.Judge(f"attributes-{'toon' if toon.is_cartoon(options.data) else 'celeba'}-judge")
    kinds, edited = domains.names_of(source, options.attributes), domains.attributes_of(options.attributes)
    columns = [judge.attributes.index(name) for name in edited]
    others = [i for i in range(len(judge.attributes)) if i not in columns]
    (faces, of), (real, of_real) = (
        domains.read(source, 64, part, options.attributes, kinds) for part in ("test", "train")
    )
    said, said_of_real, means = judge(faces)[0] > 0, judge(real)[0] > 0, []
    for s, t in ((s, t) for s in range(len(kinds)) for t in range(len(kinds)) if s != t):
        seen = (said_of_real[:, columns] == edits.wanted_values(t, len(edited))).all(axis=1)
        there, here = said_of_real[(of_real == t) & seen][:, others], said[of == s][:, others]
        shared = np.stack([(there == row).mean(axis=1) for row in here])
        means.append([shared.max(axis=1).mean(), shared.mean()])
        print(f"{kinds[s]} -> {kinds[t]}: nearest {means[-1][0]:.3f}, any {means[-1][1]:.3f} of {len(there)} faces")
    print("mean: nearest {:.3f}, any {:.3f}".format(*np.mean(means, axis=0)))


def speed(name, count=200):
    """Print how long one edit of one face takes."""
    editor = open_editor(name)
    face, times = np.full((1, editor.resolution, editor.resolution, 3), 128, "uint8"), []
    for i in range(count + 5):  # the first are compiled
        start = time.perf_counter()
        editor.edit(face, i % len(editor.domains), source=0)
        times.append(1000 * (time.perf_counter() - start))
    print(f"an edit: median {np.median(times[5:]):.0f} ms, 95% within {np.percentile(times[5:], 95):.0f} ms")


def table(path):
    """Print a file of results as a table: the means over the seeds and in brackets each seed, or what --unseen measured."""
    results = json.loads(path.read_text())
    if "runs" not in results:
        return print(unseen.table(results))
    runs, ways = results["runs"], {}
    for name, row in runs.items():
        ways.setdefault(name.rsplit(", seed", 1)[0], []).append(row)
    shown = dict(steps=",.0f", target=".3f", kept=".3f", kept_free=".3f", error=".3f", identity=".3f", frechet=".0f")
    print("| | seeds | " + " | ".join(shown) + " |\n|" + "---|" * (len(shown) + 2))
    for way, rows in ways.items():
        cells = []
        for column, form in shown.items():
            numbers = [row[column] for row in rows]
            each = f" ({', '.join(format(n, form) for n in numbers)})" if len(rows) > 1 else ""
            cells.append(f"{np.mean(numbers):{form}}{each}")
        print(f"| {way} | {len(rows)} | " + " | ".join(cells) + " |")


def unseen_faces(options):
    """Measure the edits of one network of one folder's faces, print and keep them."""
    if options.style and not options.data.exists():
        unseen.draw_style(options.style, options.data, options.people)
    kind = "toon" if options.style or toon.is_cartoon(options.data) else "celeba"
    judge = options.judge or f"attributes-{kind}-judge"
    rows, faces, shown = unseen.measure(options.unseen, options.data, judge, options.faces)
    for row in rows:
        print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if options.sheets:
        columns = [evenly_spaced(len(picked), 12) for _, _, picked, _ in shown]
        sheets = [
            x for (_, _, picked, made), few in zip(shown, columns, strict=True) for x in (faces[picked[few]], made[few])
        ]
        show.save(
            options.sheets / f"{options.unseen}-{options.data.name}.png",
            show.sheet(np.concatenate(sheets), 12, scale=2),
        )
    if options.out:
        known = json.loads(options.out.read_text()) if options.out.exists() else {}
        known[f"{options.unseen} edits {options.data.name}"] = {"judge": judge, "rows": rows}
        with atomic_write(options.out) as partial:
            partial.write_text(json.dumps(known, indent=1) + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--data", type=Path, default=Path("data/toon"))
    p.add_argument("--attributes", default="Smiling,Eyeglasses")
    p.add_argument("--resolution", type=int, default=32)
    p.add_argument("--width", type=int, default=16)
    p.add_argument("--cpu-seconds", type=float, default=360)
    p.add_argument("--seeds", type=int, default=1)
    p.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    p.add_argument("--out", type=Path, help="write the numbers as JSON; runs that it has are not repeated")
    p.add_argument("--sheets", type=Path, help="a folder for a sheet of edits of each run")
    p.add_argument("--axis", type=int, metavar="FACES")
    p.add_argument("--nearest", action="store_true")
    p.add_argument("--speed", metavar="NAME")
    p.add_argument("--table", type=Path, metavar="JSON")
    p.add_argument("--unseen", metavar="RUN|NAME")
    p.add_argument("--style", choices=unseen.STYLES, help="of --unseen: draw such faces into --data, unless it exists")
    p.add_argument(
        "--judge", metavar="NAME", help="of --unseen: who judges (default: that of cartoons or of photographs)"
    )
    p.add_argument("--people", type=int, default=500, help="of --style: each is drawn four times")
    p.add_argument("--faces", type=int, default=100, help="of --unseen: of each domain, at most")
    options = p.parse_args()
    if options.table:
        return table(options.table)
    if options.unseen:
        return unseen_faces(options)
    if options.axis:
        return axis(options)
    if options.nearest:
        return nearest(options)
    if options.speed:
        return speed(options.speed)
    asked = {key: getattr(options, key) for key in ("attributes", "resolution", "width", "cpu_seconds")}
    every_run(p, options, asked, train, lambda row: row)


if __name__ == "__main__":
    main()
