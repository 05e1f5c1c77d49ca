"""Whose faces? The measurements of lesson 10 that take too long for a lesson.

    python benchmarks/whose.py --data data/toon --photographs FOLDER --out runs/whose

Each part is written as soon as it is there, and not done again (delete its entry to do it again):

- detectors: a detector for each shipped generator (1,500 real and 1,500 drawn faces of 64x64), tested on all of them
  (600 of each; the limit lets 1% of the real faces cry), and after JPEG, blur and shrinking; and one that saw damaged
  faces in its training.
- data: the networks of lesson 02 at 32x32 and half their width, trained anew on cartoons with another mix of skins.
  `rare`: of the dark skin only one face in ten is kept (1% of all). `rare, repeated`: the same faces, those with dark
  skin shown so often that they are a fifth. `balanced`: all faces, each skin a fifth.
- marked: the same on all cartoons, each with a watermark: is it drawn?
- members: the same networks on photographs, 100 and all of the training part. Does the test of the lesson tell
  faces that were in the training from faces (of other people) that were not? Numbers only: no photograph, and no
  picture drawn after one, is written.
- judge: its balanced accuracy by group.

One seed. Writes results/whose.json beside this file.
"""

import argparse
import json
import time
from pathlib import Path

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from gan_course import metrics, pretrained
from gan_course.data import toon
from gan_course.data.pipeline import load
from gan_course.files import atomic_write
from gan_course.metrics import provenance as whose
from gan_course.models import dcgan
from gan_course.training.gan import GAN

FILE = Path(__file__).parent / "results" / "whose.json"
SKINS = list(toon.SKINS)
DRAWERS = {
    "cartoons": ("dcgan-toon-64", "progan-toon-64", "stylegan-toon-64", "t2f-toon-64"),
    "photographs": ("dcgan-celeba-64", "progan-celeba-64", "t2f-celeba-64"),
}
DAMAGE = {
    "none": (whose.jpeg, None),
    "JPEG 90": (whose.jpeg, 90),
    "JPEG 75": (whose.jpeg, 75),
    "blur 0.6": (whose.blur, 0.6),
    "48 pixels": (whose.smaller, 48),
}
RESOLUTION, BATCH = 32, 16
WIDTH = 16  # of the networks; lesson 02 has 32
MARK = dict(key=10, resolution=RESOLUTION, block=2)


def short(value, digits=4):
    return round(float(value), digits)


# --- detectors -----------------------------------------------------------------------------------------------------


def changed(pictures, name):
    change, size = DAMAGE[name]
    return pictures if size is None else whose.damaged(pictures, change, size)


def detectors(folder, drawers, count=1500, test=600):
    """Return {trained on: {tested on: {auc, found}}}, and for the first drawer what damage does."""
    real, unseen = load(folder, 64, "train")[0][:count], load(folder, 64, "test")[0][:test]
    drawn = {name: pretrained.find(name).sample(count + test, seed=10) for name in drawers}
    table = {}
    for name in drawers:
        detect = whose.train_detector(real, drawn[name][:count])
        quiet = detect(unseen)
        table[name] = {}
        for other in drawers:
            loud = detect(drawn[other][count:])
            auc = roc_auc_score(np.repeat([0, 1], [len(quiet), len(loud)]), np.concatenate([quiet, loud]))
            table[name][other] = {"auc": short(auc), "found": short(whose.alarms(quiet, loud)[0])}
    first, damage = drawers[0], {}
    kinds = [[kind] * (count // len(DAMAGE)) for kind in DAMAGE]
    kinds = np.random.default_rng(0).permutation(np.concatenate(kinds))
    hardened = [
        np.concatenate([changed(x[i : i + 1], kind) for i, kind in enumerate(kinds)]) for x in (real, drawn[first])
    ]
    for name, pair in {"clean": (real, drawn[first][:count]), "damaged": hardened}.items():
        detect = whose.train_detector(*pair)
        limit = np.quantile(detect(unseen), 0.99)
        damage[name] = {
            kind: {
                "false alarms": short((detect(changed(unseen, kind)) > limit).mean()),
                "found": short((detect(changed(drawn[first][count:], kind)) > limit).mean()),
            }
            for kind in DAMAGE
        }
    return {"real": len(real), "tested": [len(unseen), test], "between": table, "damage": damage}


# --- training --------------------------------------------------------------------------------------------------------


def batches(pictures, seed):
    """Yield (batch,) of pictures uint8 in a random order, half of them mirrored, for ever."""
    rng = np.random.default_rng(seed)
    while True:
        rows = rng.integers(len(pictures), size=BATCH)
        batch = pictures[rows] / np.float32(127.5) - 1
        flip = rng.random(BATCH) < 0.5
        batch[flip] = batch[flip, :, ::-1]
        yield (batch,)  # a tuple: Keras wants one of a generator


def train(pictures, steps, file, seed=0):
    """Return (a trained GAN, seconds of CPU time or None); its weights are kept in `file`."""
    keras.utils.set_random_seed(seed)
    networks = dcgan.build_generator(RESOLUTION, width=WIDTH), dcgan.build_discriminator(RESOLUTION, WIDTH)
    gan = GAN(*networks, r1_gamma=10.0, ema_decay=0.998)
    gan.compile(*(keras.optimizers.Adam(5e-4, beta_1=0.0, beta_2=0.99) for _ in "GD"))
    if file.exists():
        gan.build((None, gan.latent_dim))
        gan.load_weights(file)
        return gan, None
    cpu = time.process_time()
    gan.fit(batches(pictures, seed), steps_per_epoch=steps, epochs=1, verbose=0)
    file.parent.mkdir(parents=True, exist_ok=True)
    gan.save_weights(file)
    return gan, round(time.process_time() - cpu)


def mixes(skins):
    """Return {name: rows of the training faces}."""
    rng, rows = np.random.default_rng(0), np.arange(len(skins))
    dark = rows[skins == "dark"]
    kept = rng.permutation(dark)[: len(dark) // 10]
    others = rows[skins != "dark"]
    fifth = len(skins) // 5
    return {
        "as they are": rows,
        "rare": np.concatenate([others, kept]),
        "rare, repeated": np.concatenate([others, rng.choice(kept, len(others) // 4)]),
        "balanced": np.concatenate([rng.choice(rows[skins == skin], fifth) for skin in SKINS]),
    }


def data(folder, steps, out, results, write, count=5000):
    """Fill results["data"]: who is drawn, after which training faces."""
    pictures, names = load(folder, RESOLUTION, "train")
    skins = toon.true_skins(folder, names)
    features = metrics.feature_network("auto", folder)
    rows_of = {skin: np.flatnonzero(skins == skin)[:300] for skin in SKINS}
    f_real = {skin: features(pictures[rows]) for skin, rows in rows_of.items()}
    f_test = features(load(folder, RESOLUTION, "test")[0])
    table = results.setdefault("data", {"steps": steps, "width": WIDTH, "drawn": count, "runs": {}})
    table["seen as chosen"] = short((toon.seen_skins(pictures) == skins).mean())
    # Real against real, 100 faces of each: what a distance within a skin is at least.
    table["floor"] = {
        s: short(metrics.frechet_distance(f[:100], f[100:200]), 1) for s, f in f_real.items() if len(f) >= 200
    }
    for name, rows in mixes(skins).items():
        if name in table["runs"]:
            continue
        gan, cpu = train(pictures[rows], steps, out / f"{name.replace(', ', '-').replace(' ', '-')}.weights.h5")
        drawn = gan.sample(count, seed=7)
        seen = toon.seen_skins(drawn)
        table["runs"][name] = {
            "cpu_seconds": cpu,
            "training": {skin: short((skins[rows] == skin).mean()) for skin in SKINS},
            "ffd": short(metrics.frechet_distance(f_test, features(drawn[:1200])), 1),
            "skins": {skin: within(drawn, seen == skin, f_real[skin], features) for skin in SKINS},
        }
        write()


def within(drawn, chosen, f_real, features, least=100):
    """Return the share of the drawn faces that are of a skin, and the FFD of 100 of them against 100 real ones with it."""
    rows = np.flatnonzero(chosen)
    entry = dict(zip(("share", "low", "high"), map(short, whose.share(len(rows), len(drawn))), strict=True))
    if min(len(rows), len(f_real)) >= least:
        entry["ffd"] = short(metrics.frechet_distance(f_real[:least], features(drawn[rows[:least]])), 1)
    return entry


def marked(folder, steps, out, results, write):
    """Fill results["marked"]: is a watermark of the training faces drawn? (After `data`: it needs the unmarked network.)"""
    pictures, _ = load(folder, RESOLUTION, "train")
    features = metrics.feature_network("auto", folder)
    secret = whose.pattern(**MARK)
    gan, cpu = train(whose.write_mark(pictures, secret), steps, out / "marked.weights.h5")
    plain, _ = train(pictures, steps, out / "as-they-are.weights.h5")
    drawn = {k: g.sample(2000, seed=7) for k, g in {"marked": gan, "unmarked": plain}.items()}
    drawn["training faces"] = whose.write_mark(pictures[:2000], secret)
    rests = {k: whose.rest(x) for k, x in drawn.items()}
    read = {k: whose.read_mark(x, secret) for k, x in rests.items()}
    others = [whose.read_mark(rests["marked"], whose.pattern(**MARK | {"key": k})).mean() for k in range(100, 120)]
    # Of 20 pictures together: the mean of their correlations.
    of_20 = {k: x.reshape(-1, 20).mean(axis=1) for k, x in read.items()}
    f_test = features(load(folder, RESOLUTION, "test")[0])
    ffds = {k: short(metrics.frechet_distance(f_test, features(drawn[k][:1200])), 1) for k in ("marked", "unmarked")}
    results["marked"] = {
        "cpu_seconds": cpu,
        "correlation": {k: short(x.mean()) for k, x in read.items()},
        "other keys, at most": short(np.abs(others).max()),
        "found at 1% false alarms": short((read["marked"] > np.quantile(read["unmarked"], 0.99)).mean()),
        "of 20 pictures": short((of_20["marked"] > of_20["unmarked"].max()).mean()),
        "ffd": ffds,
    }
    write()


# --- members -----------------------------------------------------------------------------------------------------


def auc(members, others):
    return short(roc_auc_score(np.repeat([1, 0], [len(members), len(others)]), np.concatenate([members, others])))


def tested(gan, known, unseen, features, count=1000):
    """Return how well members are told from others: AUC by three scores, and the median distances."""
    drawn = gan.sample(count, seed=9)
    found = {"known": len(known), "unseen": len(unseen)}
    for name, rows in {"pixels": whose.rows_of, "features": features}.items():
        cloud = np.concatenate([rows(drawn), rows(drawn[:, :, ::-1])])
        pair = [whose.membership(rows(x), cloud) for x in (known, unseen)]
        near = [np.array([np.linalg.norm(cloud - x, axis=1).min() for x in rows(y)]) for y in (known, unseen)]
        found[name] = {
            "auc, nearest": auc(-near[0], -near[1]),
            "auc, compared": auc(*pair),
            "median, known": short(np.median(near[0]), 2),
            "median, unseen": short(np.median(near[1]), 2),
        }
    d = [gan.discriminator.predict(x / np.float32(127.5) - 1, verbose=0)[:, 0] for x in (known, unseen)]
    found["D's score"] = {"auc": auc(*d), "at 1% false alarms": short((d[0] > np.quantile(d[1], 0.99)).mean())}
    return found


def members(folder, steps, out, results, write):
    """Fill results["members"]."""
    features = metrics.feature_network("auto", folder)
    pictures, unseen = load(folder, RESOLUTION, "train")[0], load(folder, RESOLUTION, "val")[0]
    real = features(load(folder, RESOLUTION, "test")[0])
    table = results.setdefault("members", {"steps": steps, "runs": {}})
    for count in (100, len(pictures)):
        if str(count) in table["runs"]:
            continue
        gan, cpu = train(pictures[:count], steps, out / f"members-{count}.weights.h5")
        known = pictures[:count][:500]
        table["runs"][str(count)] = {
            "cpu_seconds": cpu,
            "ffd": short(metrics.frechet_distance(real, features(gan.sample(1000, seed=9))), 1),
            **tested(gan, known, unseen[:500], features),
        }
        write()


def judged(folder, judge, groups):
    """Return the means of the judge's errors by group, and the worst gap."""
    table = metrics.measure_groups(judge, folder, groups)
    balanced = table["balanced"].drop(index="gap", level="group").unstack("group").dropna()
    gaps = (balanced.max(axis=1) - balanced.min(axis=1)).sort_values(ascending=False)
    return {
        "attributes": len(balanced),
        "balanced": {name: short(value) for name, value in balanced.mean().items()},
        "largest gaps": {
            name: {"gap": short(gaps[name]), **{g: short(v) for g, v in balanced.loc[name].items()}}
            for name in gaps.index[:3]
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the cartoons")
    parser.add_argument("--photographs", type=Path, help="CelebA, or a part of it; without it only cartoons")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--steps", type=int, default=1500, help="of each training")
    options = parser.parse_args()
    results = json.loads(FILE.read_text()) if FILE.exists() else {}

    def write():
        with atomic_write(FILE) as partial:
            partial.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{time.process_time():.0f} s of CPU time", flush=True)

    folders = {"cartoons": options.data, "photographs": options.photographs}
    for kind, folder in folders.items():
        if folder and kind not in results.setdefault("detectors", {}):
            results["detectors"][kind] = detectors(folder, DRAWERS[kind])
            write()
    if options.photographs:
        members(options.photographs, options.steps, options.out, results, write)
    data(options.data, options.steps, options.out, results, write)
    if "marked" not in results:
        marked(options.data, options.steps, options.out, results, write)
    if "judge" not in results:
        results["judge"] = {"cartoons, skin": judged(options.data, "attributes-toon-judge", "skin")}
        if options.photographs:
            results["judge"]["photographs, Male"] = judged(options.photographs, "attributes-celeba-judge", "Male")
            results["judge"]["photographs, Young"] = judged(options.photographs, "attributes-celeba-judge", "Young")
        write()


if __name__ == "__main__":
    main()
