"""Feature axes by the word of the judge: which kind of axis changes one attribute of a face, and what else changes.

    python benchmarks/steering.py --data data/toon                      all kinds of axes, two seeds, progan-toon-64
    python benchmarks/steering.py --data data/toon --times              what each stage costs, against the official way

Axes come from the steering network, and every number from the judge. Each face walks along an axis until the judge changes
its mind about the attribute ("at the flip"): how far that is, how many of the other attributes have changed by then, and
how like itself the face still is. The floor are random directions: what changes when one walks that far anywhere.

Kinds of axes: the regressions of `gan_course.latent.axes`; the difference of the means; SVM normals of the faces
that the network is surest of (InterFaceGAN, Shen et al. 2020), also with its conditional projection; unsupervised directions,
each attribute getting the one nearest to its axis: principal directions of early features (GANSpace, Harkonen et al. 2020) and of
the first weights (SeFa, Shen and Zhou 2021); locks; the ridge dual, which locks all others softly; the symmetric way between raw
and dual; and, no axes any more, a ridge dual of the network's own slopes at each face (local).

Writes results/steering.json beside this file, or --out. A run that is there already is not made again.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
import numpy as np
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.svm import LinearSVC

from gan_course import metrics, pretrained, show
from gan_course.backend import Tape, keras, to_numpy
from gan_course.latent import axes
from gan_course.latent.sampling import fixed_latent, latent_dim
from gan_course.metrics.distances import cosines as row_cosines
from gan_course.metrics.steering import Look, flips, leakage
from gan_course.models.growing import active
from gan_course.training.classifier import attribute_network

RESULTS = Path(__file__).parent / "results" / "steering.json"
ATTRIBUTES = ["Smiling", "Eyeglasses", "Male", "Young", "No_Beard", "Bangs", "Blond_Hair", "Mouth_Slightly_Open"]
STOPS = {"z": np.arange(3, 61, 3), "w": np.arange(0.5, 12.01, 0.5)}  # degrees; standard deviations of w
FIXED = {"z": (10, 20, 30), "w": (1.0, 2.0, 3.0)}  # for random directions
COMPONENTS = 40
ONE_BY_ONE = 200  # faces of the official way: it is slow, and every face costs the same


# --- kinds of axes ----------------------------------------------------------------------------------------


def svm(codes, logits):
    """Normals of linear support vector machines between the 2% of faces with the highest and with the lowest logit."""
    normals, few = [], max(50, len(codes) // 50)
    for column in logits.T:
        order = np.argsort(column, kind="stable")
        chosen = np.concatenate([order[:few], order[-few:]])
        machine = LinearSVC(C=0.1, max_iter=5000).fit(codes[chosen], np.arange(2 * few) >= few)
        normals.append(machine.coef_[0])
    return axes.unit(np.array(normals))


def first_weights(generator, space):
    """The matrix that a code meets first, (d, outputs): SeFa's A; of all styles together in w."""
    if space == "w":
        layers = [layer.finish.affine if layer.style == "adain" else layer.conv.affine for layer in generator.styled
                  if layer.style == "adain" or layer.conv]  # fmt: skip
        return np.concatenate([to_numpy(layer.kernel) for layer in layers], axis=1)
    return to_numpy(generator.dense.kernel)


def sefa(generator, space):
    """Eigenvectors of A A^T, the largest first."""
    a = first_weights(generator, space)
    return np.linalg.eigh(a @ a.T)[1].T[::-1][:COMPONENTS]


def ganspace(generator, codes, space):
    """Principal directions: of w itself, or of the maps after the first convolution, carried back to z by least squares."""
    if space == "w":
        return PCA(min(COMPONENTS, codes.shape[1])).fit(codes).components_
    g, maps = generator, []
    for start in range(0, min(len(codes), 5000), 500):
        x = g.dense(g.norm(codes[start : start + 500]))
        x = g.norm(active(g.bias(x.numpy().reshape(-1, 4, 4, g.channels(1)))))
        maps.append(to_numpy(active(g.first(x))).reshape(len(x), -1))
    scores = PCA(min(COMPONENTS, codes.shape[1]), random_state=0).fit_transform(np.concatenate(maps))
    back = LinearRegression().fit(scores, codes[: len(scores)])
    return axes.unit(back.coef_.T)


def local_slopes(generator, network, z):
    """Slopes of every logit at each face itself, unit rows (n, k, d)."""
    found = []
    for start in range(0, len(z), 25):
        x = keras.Variable(z[start : start + 25])
        with Tape() as tape:
            columns = keras.ops.unstack(network(keras.ops.clip(generator(x), -1, 1), training=False), axis=1)
            sums = [keras.ops.sum(column) for column in columns]
        found.append(np.stack([to_numpy(tape.gradient(total, [x])[0]) for total in sums], axis=1))
    return axes.unit(np.concatenate(found))


def neighbours(rows, i, count):
    """Return the numbers of the axes with the largest cosine to axis i."""
    close = np.abs(rows @ rows[i])
    close[i] = -1
    return np.argsort(-close)[:count]


def nearest(components, direction):
    """Return the component, with its sign, that is nearest to an axis."""
    cosines = components @ direction
    best = np.abs(cosines).argmax()
    return np.sign(cosines[best]) * components[best]


def kinds(generator, network, space, codes, logits, start):
    """Yield (name, ways: attribute number -> unit direction (d,) or (n, d), locks: attribute number -> basis of what is kept).

    start: the codes of the n faces that will walk.
    """
    none = lambda i: None  # noqa: E731
    linear = axes.fit(codes, logits)
    fitted = {
        "linear": linear, "logistic": axes.fit(codes, logits, "logistic"), "means": axes.fit(codes, logits, "means"),
        "SVM": svm(codes, logits),
    }  # fmt: skip
    for name, rows in fitted.items():
        yield name, rows.__getitem__, none

    def locked(rows, count):
        return lambda i: axes.disentangle(rows, neighbours(rows, i, count))[0][i]

    yield "SVM, conditional on 1", locked(fitted["SVM"], 1), none
    for count in (1, 3, 10):
        kept = lambda i, count=count: axes.basis(linear[neighbours(linear, i, count)])  # noqa: E731
        yield f"lock {count} nearest", locked(linear, count), kept
    for of, rows, ridges in (("", linear, (0.03, 0.1, 0.3, 1.0)), ("means, ", fitted["means"], (0.3, 1.0, 3.0))):
        for ridge in ridges:
            yield f"{of}ridge dual {ridge}", axes.dual(rows, ridge).__getitem__, none
    u, sizes, vt = np.linalg.svd(linear, full_matrices=False)
    yield "symmetric", axes.unit(u @ np.diag(sizes / (sizes + 0.3)) @ vt).__getitem__, none
    if hasattr(generator, "dense") or space == "w":  # a ProGAN, or a StyleGAN in w
        for name, found in (("SeFa", sefa(generator, space)), ("GANSpace", ganspace(generator, codes, space))):
            yield name, (lambda i, found=found: nearest(found, linear[i])), none
    if space == "z" and network.input_shape[1] == generator.output_shape[1]:
        slopes = local_slopes(generator, network, start)
        for ridge in (0.1, 1.0):
            gram = slopes @ slopes.swapaxes(1, 2) + ridge * np.eye(slopes.shape[1])
            dual = axes.unit(np.linalg.solve(gram, slopes))
            yield f"local, ridge dual {ridge}", (lambda i, dual=dual: dual[:, i]), none


# --- measured ---------------------------------------------------------------------------------------------


def mover(space, codes, unit, way, kept):
    """Return move(rows, amounts) for `flips`."""
    way = np.asarray(way)

    def move(rows, amounts):
        amounts = np.asarray(amounts)[:, None]
        if space == "z":
            own = way[rows] if way.ndim == 2 else way
            return axes.turn(codes[rows], np.sign(amounts) * own, np.abs(amounts), kept)
        return codes[rows] + (amounts * unit * way)[:, None, :]

    return move


def summary(results):
    """Return the numbers of several `Flips` together."""
    amount, changed, kept = (np.concatenate([getattr(r, n) for r in results]) for n in ("amount", "changed", "kept"))
    values = {"success": np.mean(~np.isnan(amount)), "amount": np.nanmedian(amount), "changed": np.nanmean(changed),
              "kept": np.nanmean(kept)}  # fmt: skip
    return {name: round(float(value), 4) for name, value in values.items()}


def random_floor(look, space, codes, unit, seed):
    """Return for each fixed amount the share of attributes that change on the way into random directions."""
    before, features = look(codes)
    random, floor = np.random.default_rng(seed + 1000), {}
    for amount in FIXED[space]:
        ways = axes.unit(random.normal(size=(len(codes), codes.shape[-1])))
        move = mover(space, codes, unit, ways, None)
        logits, seen = look(move(np.arange(len(codes)), np.full(len(codes), amount)))
        floor[str(amount)] = {"changed": round(float(((logits > 0) != (before > 0)).mean()), 4),
                              "kept": round(float(row_cosines(features, seen).mean()), 4)}  # fmt: skip
    return floor


def leaves(look, real, space, codes, unit, way):
    """Return {amount: precision}: the share of walked faces that lie among the real ones."""
    found = {}
    for amount in (0, *FIXED[space], 2 * FIXED[space][-1]):
        moved = mover(space, codes, unit, way, None)(np.arange(len(codes)), np.full(len(codes), float(amount)))
        found[str(amount)] = round(metrics.precision_recall(real, look(moved)[1])[0], 4)
    return found


def measure(options, name, space, seed, say=print):
    """Return all numbers of one generator, space and seed."""
    generator = pretrained.find(name).network
    steer, judge = f"attributes-{options.kind}-steer", f"attributes-{options.kind}-judge"
    (network, names), (judge_network, judge_names) = attribute_network(steer), attribute_network(judge)
    codes, logits = axes.label(generator, network, space=space, count=options.count, seed=seed)
    unit = 1.0 if space == "z" else float(np.sqrt(codes.var(axis=0).mean()))
    look = Look(generator, judge_network, judge_names, space)
    latent = fixed_latent(options.faces, latent_dim(generator), 10_000 + seed)  # faces that no axis was fitted to
    start = latent if space == "z" else to_numpy(generator.map(latent))
    linear = axes.fit(codes, logits)
    cosines = np.abs(linear @ linear.T)[np.triu_indices(len(linear), 1)]
    result = {
        "axes": {"mean_cosine": round(float(cosines.mean()), 4), "largest_cosine": round(float(cosines.max()), 4),
                 "smallest_singular_value": round(float(np.linalg.svd(linear)[1].min()), 4)},
        "random": random_floor(look, space, start, unit, seed),
        "kinds": {},
    }  # fmt: skip
    for kind, ways, locks in kinds(generator, network, space, codes, logits, start):
        each = {}
        for attribute in ATTRIBUTES:
            i = names.index(attribute)
            if np.any(ways(i)):  # zeros: the locks leave no axis
                move = mover(space, start, unit, ways(i), locks(i))
                each[attribute] = flips(look, move, start, attribute, STOPS[space])
        result["kinds"][kind] = summary(each.values()) | {"each": {a: summary([f]) for a, f in each.items()}}
        say(kind, {k: v for k, v in result["kinds"][kind].items() if k != "each"}, flush=True)
    return result, (look, linear, names, unit)


def matrices(look, names, linear, space, codes, unit):
    """Return {kind: leakage table of all axes}, raw and with each axis's 10 nearest locked; see `metrics.steering.leakage`."""
    amount, found = FIXED[space][0], {}
    for kind, count in (("raw", 0), ("lock 10 nearest", 10)):

        def move(z, name, t, count=count):
            i = names.index(name)
            close = neighbours(linear, i, count)
            way = axes.disentangle(linear, close)[0][i]
            return mover(space, z, unit, way, axes.basis(linear[close]))(np.arange(len(z)), np.full(len(z), float(t)))

        found[kind] = leakage(look, move, codes, names, amount)
    return found


def heat_map(tables, path):
    """Draw leakage tables side by side, the attributes in the order of `tables`."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(tables), figsize=(8 * len(tables), 8), sharey=True, layout="constrained")
    for ax, (kind, table) in zip(panels, tables.items(), strict=True):
        ax.imshow(table[list(table.index)], cmap="RdBu_r", vmin=-0.4, vmax=0.4)
        ax.set_title(kind)
        ax.set_xticks(range(len(table)), [name.replace("_", " ") for name in table.index], rotation=90)
        ax.set_yticks(range(len(table)), [name.replace("_", " ") for name in table.index])
    figure.savefig(path, dpi=70)
    plt.close(figure)


def matrix_numbers(table):
    """Return the effect of each axis on its own attribute, and the mean size of what stands beside the diagonal."""
    values = table[list(table.index)].to_numpy()
    beside = np.abs(values[~np.eye(len(values), dtype=bool)]).mean()
    effect = {name: round(float(x), 3) for name, x in zip(table.index, np.diag(values), strict=True)}
    return {"mean_effect": round(float(np.diag(values).mean()), 4), "beside": round(float(beside), 4), "effect": effect}


# --- time -------------------------------------------------------------------------------------------------


def times(options, name):
    """Return the CPU seconds of each stage, of the course's way and of the official one.

    The official way: faces one at a time, each written as a JPEG, read again, and told one at a time. It is measured on
    200 faces and multiplied. Its generator draws in batches of 32; with one at a time as its labelling does, it is as here.
    """
    generator = pretrained.find(name).network
    network, _ = attribute_network(f"attributes-{options.kind}-steer")
    axes.label(generator, network, count=50)  # compiles

    clock, stages, wall, told = time.process_time, {}, {}, {}
    for precision in axes.PRECISIONS:
        begin, start = clock(), time.perf_counter()
        told[precision] = axes.label(generator, network, count=options.count, precision=precision)
        stages[f"draw and tell, {precision}"], wall[precision] = clock() - begin, round(time.perf_counter() - start, 1)
    codes, logits = told["float32"]
    half = told["mixed_bfloat16"][1]
    cosines = row_cosines(axes.fit(codes, logits), axes.fit(codes, half))
    for method in axes.METHODS:
        begin = clock()
        axes.fit(codes, logits, method)
        stages[f"fit, {method}"] = clock() - begin
    official = {}
    latent = fixed_latent(ONE_BY_ONE, latent_dim(generator))
    generator.predict(latent[:1], verbose=0), network.predict(np.zeros((1, *network.input_shape[1:])), verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        begin = clock()
        pictures = [show.to_uint8(generator.predict(z[None], verbose=0))[0] for z in latent]
        official["draw"], begin = clock() - begin, clock()
        for i, picture in enumerate(pictures):
            Image.fromarray(picture).save(f"{folder}/{i}.jpg", quality=95)
        official["write JPEG"], begin = clock() - begin, clock()
        read = [np.asarray(Image.open(f"{folder}/{i}.jpg"), "float32") / 127.5 - 1 for i in range(ONE_BY_ONE)]
        official["read JPEG"], begin = clock() - begin, clock()
        for picture in read:
            network.predict(picture[None], verbose=0)
        official["tell"] = clock() - begin
    official = {stage: seconds * options.count / ONE_BY_ONE for stage, seconds in official.items()}
    official["fit"] = stages["fit, linear"]
    ours = stages["draw and tell, float32"] + stages["fit, linear"]
    return {"count": options.count, "attributes": logits.shape[1], "seconds_are": "CPU time of all threads",
            "seconds_on_the_clock": wall,
            "bfloat16": {"other_decisions": round(float(((logits > 0) != (half > 0)).mean()), 5),
                         "least_cosine_of_an_axis": round(float(cosines[cosines > 0].min()), 5)},
            "ours": {k: round(v, 2) for k, v in stages.items()}, "official": {k: round(v, 1) for k, v in official.items()},
            "quicker": round(sum(official.values()) / ours, 1)}  # fmt: skip


def table(results):
    """Print the kinds of axes, the mean over the seeds."""
    print("\n| axis | seeds | attributes with an axis | success | way (median) | others changed | features kept |")
    print("|---|---|---|---|---|---|---|")
    kinds_of = {}
    for run in results["runs"].values():
        for kind, values in run["kinds"].items():
            kinds_of.setdefault((run["name"], run["space"], kind), []).append(values)
    for (name, space, kind), values in kinds_of.items():
        means = [np.mean([v[key] for v in values]) for key in ("success", "amount", "changed", "kept")]
        each = ", ".join(f"{v['changed']:.3f}" for v in values)
        standing = min(len(v["each"]) for v in values)
        print(f"| {name}, {space}: {kind} | {len(values)} | {standing} | {means[0]:.2f} | {means[1]:.1f} | {means[2]:.3f} ({each}) "
              f"| {means[3]:.3f} |")  # fmt: skip
    for run in results["runs"].values():
        where = f"{run['name']}, {run['space']}, seed {run['seed']}"
        numbers = {k: {n: v[n] for n in ("mean_effect", "beside")} for k, v in run["leakage"].items()}
        print(f"{where}: random directions {run['random']}; precision {run['precision']}; leakage {numbers}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="faces of the generator's kind, in CelebA's layout")
    parser.add_argument("--kind", default="toon", choices=["toon", "celeba"], help="whose judge and steering network")
    parser.add_argument("--names", nargs="*", default=["progan-toon-64"], help="generators: RUN|NAME")
    parser.add_argument("--spaces", nargs="*", default=["z"], help="z, w")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--count", type=int, default=20000, help="faces that the axes are fitted to")
    parser.add_argument("--faces", type=int, default=100, help="faces that walk")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file of results")
    parser.add_argument("--picture", type=Path, help="where to write the heat map of the leakage, of the first seed")
    parser.add_argument("--times", action="store_true", help="measure the time of the stages instead")
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.exists() else {"runs": {}}
    if options.times:
        results["times"] = times(options, options.names[0])
        options.out.write_text(json.dumps(results, indent=1) + "\n")
        print(json.dumps(results["times"], indent=1))
        return
    for name in options.names:
        for space in options.spaces:
            for seed in range(options.seeds):
                key = f"{Path(name).name}, {space}, {options.count}, seed {seed}"
                if key in results["runs"]:
                    continue
                result, (look, linear, names, unit) = measure(options, name, space, seed)
                real, _ = metrics.real_pictures(options.data, 64, "test", 500)
                real = metrics.FaceFeatures(f"attributes-{options.kind}-judge")(real)
                generator = pretrained.find(name).network
                latent = fixed_latent(len(real), latent_dim(generator), 20_000 + seed)
                start = latent if space == "z" else to_numpy(generator.map(latent))
                result["precision"] = {
                    a: leaves(look, real, space, start, unit, linear[names.index(a)]) for a in ("Smiling", "Male")
                }
                tables = matrices(look, names, linear, space, start[: options.faces // 2], unit)
                result["leakage"] = {kind: matrix_numbers(table) for kind, table in tables.items()}
                if options.picture and seed == 0:
                    heat_map(tables, options.picture)
                results["runs"][key] = {"name": Path(name).name, "space": space, "seed": seed, "count": options.count,
                                        "faces": options.faces, "attributes": ATTRIBUTES, **result}  # fmt: skip
                options.out.write_text(json.dumps(results, indent=1) + "\n")
    table(results)


if __name__ == "__main__":
    main()
