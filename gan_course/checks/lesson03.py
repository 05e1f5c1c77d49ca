"""Self-checks of lesson 03: counting modes, smoothing, the gradient penalty, telling failures, mending, distances."""

import numpy as np
from scipy.spatial.distance import cdist

from gan_course import backend  # noqa: F401  isort: skip  (before Keras)
from keras import ops

from gan_course.checks import expect, numbers, passed
from gan_course.data import points
from gan_course.errors import CourseError


def _number(answer, what):
    """Return `answer` as one float, or tell what it is instead."""
    value = numbers(answer, what)
    expect(value.ndim == 0, f"{what} must return one number, not something of shape {value.shape}; forgot ops.mean?")
    return float(value)


# --- exercise 1 ---------------------------------------------------------------------------------------


def _coverage(samples, centres, spread, within=3.0, squared=False, far=False, per_mode=False):
    """Reference and its typical mistakes."""
    distances = np.linalg.norm(samples[:, None] - centres, axis=-1)
    near = (distances**2 if squared else distances).min(axis=1) <= within * spread
    found = len(np.unique(distances[slice(None) if far else near].argmin(axis=1)))
    return found, (found / len(centres) if per_mode else float(near.mean()))


def check_coverage(function):
    """Exercise 1: `function(samples, centres, spread)` returns (modes found, share of samples on a mode)."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0], [-2.0, 0.0]])
    # Four spots are hit, one of them only at 2.5 spreads; points beside the fifth are on none.
    samples = np.concatenate(
        [
            centres[[0, 0, 0, 1, 1, 2]] + 0.02 * rng.uniform(-1, 1, (6, 2)),
            [[2.0, 2.25], [-2.0, 0.5], [-2.0, -0.6], [-1.0, 1.0]],
        ]
    )
    right = _coverage(samples, centres, 0.1)
    answer = function(samples.copy(), centres.copy(), 0.1)
    expect(answer is not None, "coverage returns nothing; did you forget 'return'?")
    expect(
        isinstance(answer, tuple | list) and len(answer) == 2,
        "coverage must return two numbers: modes found, share on a mode.",
    )
    modes, share = (_number(value, "coverage") for value in answer)

    def same(**mistake):
        return np.allclose((modes, share), _coverage(samples, centres, 0.1, **mistake))

    if not same():
        expect(not np.allclose((share, modes), right), "The two numbers are in the wrong order: first the modes found.")
        expect(
            not same(within=1.0),
            "You count only samples nearer than one spread; a normal spot is wider: take 3 * spread.",
        )
        expect(
            not same(squared=True),
            "You compare the squared distance with 3 * spread; take the root, or square both sides.",
        )
        expect(
            share <= 1.0,
            f"The share is {share:g}, and a share is at most 1: divide the number of samples on a spot by all samples.",
        )
        expect(
            not same(per_mode=True),
            "Your share is the share of the *spots* that are found; wanted is the share of the *samples* on a spot.",
        )
        expect(
            modes != 5,
            "You count 5 spots, but one of them has only samples beside it: a spot is found only by a sample that "
            "is on it, not by the samples whose nearest spot it is.",
        )
        expect(
            modes != 7,
            "You count samples (7 are on a spot); count *different* spots: np.unique helps.",
        )
        expect(
            modes == right[0],
            f"You find {modes:g} spots and there are {right[0]}. For each sample: which spot is nearest, and is it near?",
        )
        expect(
            False,
            f"The modes are right, but the share is {share:.2f} and should be {right[1]:.2f}: "
            "samples on any spot, divided by all samples.",
        )
    nothing = function(np.full((4, 2), 9.0), centres.copy(), 0.1)
    expect(
        np.allclose([float(x) for x in nothing], 0),
        f"When all samples are far from every spot you return {tuple(nothing)}; it must be (0, 0).",
    )
    passed(f"{right[0]} of 5 spots are found, and {right[1]:.0%} of the samples are on a spot.")


# --- exercise 2 ---------------------------------------------------------------------------------------


def check_smoothed_loss(function):
    """Exercise 2: `function(real_scores, fake_scores, epsilon)` is D's cross entropy with one-sided smoothing."""
    rng = np.random.default_rng(0)
    real, fake = (rng.normal(size=(8, 1)).astype("float32") * 2 + shift for shift in (1.0, -0.5))
    epsilon = 0.2

    def softplus(x):
        return np.logaddexp(0, x)

    def loss(high=1 - epsilon, low=0.0, mean=np.mean, swap=False):
        a, b = (fake, real) if swap else (real, fake)
        first = high * softplus(-a) + (1 - high) * softplus(a)
        return float(mean(first) + mean(low * softplus(-b) + (1 - low) * softplus(b)))

    answer = _number(function(ops.convert_to_tensor(real), ops.convert_to_tensor(fake), epsilon), "smoothed_loss")
    plain = loss(high=1.0)
    mistakes = [
        (plain, "This is the loss without smoothing; the target for real points is 1 - epsilon, not 1."),
        (
            loss(low=epsilon),
            "You smoothed both sides. One-sided means: the target for generated points stays 0. (With epsilon there, "
            "D would reward generated points wherever G already draws.)",
        ),
        (loss(high=1.0, low=epsilon), "You smoothed the wrong side: the target of the *real* points changes."),
        (
            float(np.mean((1 - epsilon) * softplus(-real)) + np.mean(softplus(fake))),
            "You only made the real part smaller. A target of 1 - epsilon has two parts: "
            "(1 - epsilon) * softplus(-s) + epsilon * softplus(s).",
        ),
        (
            loss(high=epsilon),
            "The two weights are exchanged: 1 - epsilon belongs to softplus(-s), epsilon to softplus(s).",
        ),
        (loss(high=1 + epsilon), "The target is 1 - epsilon; yours is 1 + epsilon."),
        (loss(mean=np.sum), "You return the sum over the batch; take the mean."),
        (loss(swap=True), "Real and generated scores are exchanged."),
        (loss() / 2, "You return half of the loss: add the real part and the generated part, do not average them."),
        (-loss(), "The sign is wrong: the discriminator *minimises* this number, and it is positive."),
    ]
    if not np.isclose(answer, loss(), atol=1e-4):
        for value, hint in mistakes:
            expect(not np.isclose(answer, value, atol=1e-4), hint)
        expect(
            False,
            f"For the test scores the loss is {answer:.4f} and should be {loss():.4f}. With epsilon = 0 it should be "
            f"{plain:.4f}: try that first.",
        )
    zero = _number(function(ops.convert_to_tensor(real), ops.convert_to_tensor(fake), 0.0), "smoothed_loss")
    expect(
        np.isclose(zero, plain, atol=1e-4), "With epsilon = 0 it must be the loss without smoothing. Is 0.2 a constant?"
    )
    passed("only the real target is smoothed, and D is never asked to be surer than 1 - epsilon.")


# --- exercise 3 ---------------------------------------------------------------------------------------


def _recording(critic):
    """Return a critic with the same scores, and the list of all that it was asked about."""
    asked = []

    def recorder(x):
        asked.append(np.asarray(x, "float64"))
        return critic(x)

    return recorder, asked


def check_penalty(function):
    """Exercise 3: `function(critic, real, fake)` is WGAN-GP's penalty, for examples of any shape."""
    rng = np.random.default_rng(0)
    for shape in ((64, 2), (16, 4, 4, 3)):
        what = "points" if len(shape) == 2 else "pictures"
        real, fake = (ops.convert_to_tensor(rng.normal(size=shape).astype("float32") + s) for s in (2.0, -2.0))
        weight = rng.normal(size=shape[1:]).astype("float32")
        axes, squares = tuple(range(1, len(shape))), float(np.sum(weight**2))

        def plane(x, weight=weight, axes=axes):
            return ops.sum(x * weight, axis=axes)[:, None]

        def value(norm):
            return float((norm - 1) ** 2)

        right = value(np.sqrt(squares))
        answer = _number(function(plane, real, fake), "penalty_of")
        if not np.isclose(answer, right, rtol=1e-4):
            each = np.sqrt(np.sum(weight**2, axis=0))
            mistakes = [
                (value(squares), "The root is missing: the length of the gradient is sqrt(sum of squares)."),
                (squares, "This is the mean squared length, as in R1; the penalty is (length - 1)^2."),
                (np.sqrt(squares), "This is the mean length; the penalty is (length - 1)^2."),
                (abs(np.sqrt(squares) - 1), "You forgot to square length - 1."),
                (right * shape[0], "You return the sum over the batch; take the mean."),
                (right * 10, "You multiplied by lambda = 10; return the penalty without it."),
                (
                    value(np.sqrt(squares * shape[0])),
                    "You took one length of the whole batch; each example has its own: sum over all axes but the first.",
                ),
                (
                    value(np.sqrt(squares) / shape[0]),
                    "The critic's scores were averaged before the gradient, so each gradient is divided by the batch "
                    "size: differentiate the *sum* of the scores.",
                ),
                (value(np.sqrt(np.mean(weight**2))), "The length needs the sum of the squares, not their mean."),
                (
                    float(np.mean((np.abs(weight) - 1) ** 2)),
                    "You took each number's own slope; sum the squares over all numbers of an example first.",
                ),
            ]
            if len(shape) > 2:
                mistakes += [
                    (
                        float(np.mean((each - 1) ** 2)),
                        "For pictures you sum over one axis only; a picture's length is over height, width and colours.",
                    )
                ]
            for wrong, hint in mistakes:
                expect(not np.isclose(answer, wrong, rtol=1e-4), f"For {what}: {hint}")
            expect(
                answer == answer,
                f"For {what} the penalty is NaN. Is a root taken of something negative?",
            )
            expect(
                False,
                f"For {what} and a plane whose slope is {np.sqrt(squares):.3f} everywhere, the penalty is {answer:.4f} and should be "
                f"{right:.4f} = (slope - 1)^2. Is the gradient taken with respect to the points between, not the weights?",
            )

        recorder, asked = _recording(lambda x, axes=axes: 0.5 * ops.sum(ops.square(x), axis=axes)[:, None])
        answer = _number(function(recorder, real, fake), "penalty_of")
        expect(
            len(asked) > 0 and asked[-1].shape == shape, "The critic must be asked about points of the shape of `real`."
        )
        first, last, x = (np.asarray(v, "float64") for v in (real, fake, asked[-1]))
        u = (x - first) / (last - first)  # one place for each number
        spread_within = np.ptp(u.reshape(shape[0], -1), axis=1).max()
        places = u.reshape(shape[0], -1).mean(axis=1)
        expect(
            not np.allclose(u, 0, atol=1e-4),
            f"For {what} you penalise the slope at the real ones only; WGAN-GP asks on the lines to the generated ones.",
        )
        expect(
            not np.allclose(u, 1, atol=1e-4),
            f"For {what} you penalise the slope at the generated ones only; draw a place u on each line.",
        )
        expect(
            spread_within < 1e-2,
            f"For {what} each number has its own u, so the places are not on the line between a real and a generated "
            f"one; draw u with the shape (batch, {', '.join('1' for _ in shape[1:])}).",
        )
        expect(
            np.ptp(places) > 1e-3,
            f"For {what} all examples use the same u = {places[0]:.2f}; draw one u for *each* example.",
        )
        expect(
            places.min() > -1e-3 and places.max() < 1 + 1e-3,
            f"For {what} some places have u = {places[np.abs(places - 0.5).argmax()]:.2f}, outside the line; "
            "use keras.random.uniform, not normal.",
        )
        recorder, again = _recording(plane)
        function(recorder, real, fake)
        expect(not np.allclose(again[-1], x), f"For {what} u is the same in every call; draw it inside the function.")
        right = float(np.mean((np.sqrt(np.sum(x**2, axis=axes)) - 1) ** 2))
        expect(
            np.isclose(answer, right, rtol=1e-3),
            f"For {what} and the bowl the penalty at your places is {answer:.4f} and should be {right:.4f}. "
            "Take each example's (length - 1)^2 first, and the mean over the batch last.",
        )
    passed("slope 1 costs nothing, at random places on the lines, for points and for pictures.")


# --- exercise 4 ---------------------------------------------------------------------------------------

NAMES = ("healthy", "mode collapse", "discriminator wins", "oscillation", "memorised")
_ANSWERS = {"A": 2, "B": 4, "C": 1, "D": 0, "E": 3}


def patients():
    """Return {name: (data, held-out points, options for `trial`)}, one for each of `NAMES`."""
    cloud = points.Points("cloud", np.zeros((1, 2), "float32"), 1.3)
    few = points.Points("few", cloud.sample(12, seed=20), 0.0)
    ring, far, spot = (
        points.ring(spread=0.15),
        *(
            points.Points(name, np.array([at], "float32"), spread)
            for name, at, spread in (("far", (0, -6), 0.1), ("spot", (-2, 1), 0.3))
        ),
    )
    recipes = {
        "discriminator wins": (
            far,
            far.sample(300, seed=21),
            dict(loss="minimax", g_every=10, rates=(1e-4, 1e-3), momentum=0.5),
        ),
        "memorised": (few, cloud.sample(12, seed=22), dict(momentum=0.0)),
        "mode collapse": (ring, ring.sample(300, seed=23), dict(d_every=3, momentum=0.5)),
        "healthy": (ring, ring.sample(300, seed=24), dict(momentum=0.5)),
        "oscillation": (spot, spot.sample(300, seed=25), dict(momentum=0.9)),
    }
    return {name: recipes[NAMES[answer]] for name, answer in _ANSWERS.items()}


_HINTS = {
    "healthy": "its samples lie on all the data, its distance falls and stays low, and it is as near to held-out points "
    "as to training points",
    "mode collapse": "count the spots of the data, then the spots that have samples on them; are all samples together?",
    "discriminator wins": "look at D's loss, and at the mean of D for real and for generated points; do the samples move?",
    "oscillation": "the data is simple, and the samples are near it, but does the distance ever come to rest?",
    "memorised": "compare the distance from a sample to training points with the distance to held-out points",
}


def check_diagnosis(diagnosis):
    """Exercise 4: `diagnosis` is {"A": one of `NAMES`, ...}, as measured in the cell above."""
    expect(
        isinstance(diagnosis, dict) and set(diagnosis) == set(_ANSWERS),
        f"Give a dictionary with the patients {', '.join(_ANSWERS)}.",
    )
    if set(diagnosis.values()) == {None}:
        raise NotImplementedError("Write your diagnosis first.")
    for name, word in diagnosis.items():
        expect(word is not None, f"Patient {name} has no diagnosis yet; choose one of {', '.join(NAMES)}.")
        expect(word in NAMES, f"'{word}' is not one of the words; choose from {', '.join(NAMES)}.")
    for name, answer in _ANSWERS.items():
        right = NAMES[answer]
        expect(
            diagnosis[name] == right,
            f"Patient {name} is not '{diagnosis[name]}'. Look again: {_HINTS[right]}.",
        )
    passed("four failures, four pictures, and one GAN that is well.")


# --- exercise 5 ---------------------------------------------------------------------------------------

SETTINGS = ("d_rate", "g_rate", "loss", "penalty", "norm")
BUDGET, NEEDED = 2000, 23  # steps, modes of 25
NEAR = 0.035  # energy distance to real points; one broad cloud that knows no modes has 0.041 to 0.049, and finds all 25


def check_mended(function):
    """Exercise 5: `function()` returns settings of `PlaneGAN` with which a GAN with a slow D finds the grid's modes."""
    from gan_course.training.plane import PlaneGAN

    settings = function()
    expect(isinstance(settings, dict), "mended must return a dictionary, for example dict(d_rate=0.01).")
    expect("d_steps" not in settings, "d_steps stays as it is: the discriminator moves in every third step.")
    for name in settings:
        expect(name in SETTINGS, f"'{name}' is not one of the settings; choose from {', '.join(SETTINGS)}.")
    found = []
    for seed in (0, 1):
        try:
            model = PlaneGAN(points.grid(spread=0.15), d_steps=1 / 3, width=128, seed=seed, **settings)
        except (CourseError, TypeError) as error:
            expect(False, f"These settings do not work: {error}")
        start, quick = model.samples(), model.d_rate / model.g_rate
        model.advance(BUDGET)
        expect(not model.broken, f"With seed {seed}: {model.broken}")
        samples, real = model.samples(), model.data.sample(2500, seed=1)
        modes, _ = model.data.coverage(samples)
        distance = 2 * cdist(samples, real).mean() - cdist(samples, samples).mean() - cdist(real, real).mean()
        found.append(modes)
        result = (
            f"With seed {seed} the samples are on {modes} of 25 spots (needed: {NEEDED}), "
            f"and the energy distance is {distance:.3f} (needed: {NEAR} or less)."
        )
        if modes >= NEEDED and distance <= NEAR:
            continue
        expect(
            np.abs(model.samples() - start).max() > 1.0,
            f"{result} The points have hardly moved in {BUDGET} steps: the generator's learning rate is too small.",
        )
        expect(
            settings.get("norm") != "batch",
            f"{result} Batch norm in D hides where a batch is (part 3.5); try without it.",
        )
        expect(
            quick > 1,
            f"{result} The discriminator moves three times less often than the generator. "
            "What else could make it quicker than the generator?",
        )
        expect(quick <= 30, f"{result} The two learning rates are very far apart now; try a smaller ratio.")
        expect(
            False, f"{result} A good direction; try a larger ratio of the two learning rates, or other sizes of both."
        )
    passed(f"with two seeds the samples are on {found[0]} and {found[1]} of 25 spots after {BUDGET} steps.")


# --- exercise 6 ---------------------------------------------------------------------------------------


def _roots(product):
    return np.sqrt(np.maximum(np.linalg.eigvals(product).real, 0)).sum()


def _frechet(a, b, divisor=1, root=_roots, mean=True, squared=True, cross=True):
    """The Frechet distance and its typical mistakes; `divisor`: subtracted from n in the covariance."""
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(axis=0), np.cov(x, rowvar=False, ddof=divisor)) for x in (a, b))
    product = cov_a @ cov_b
    between = np.sum((mean_a - mean_b) ** 2)
    spread = np.trace(cov_a) + np.trace(cov_b) - 2 * cross * root(product)
    return mean * (between if squared else np.sqrt(between)) + spread


def check_frechet(function):
    """Exercise 6: `function(a, b)` is the Frechet distance of features a (n, d) and b (m, d)."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(4, 4))
    a, b = rng.normal(size=(60, 4)) @ mix, 1.0 + rng.normal(size=(40, 4)) * (1, 2, 0.5, 1)
    right = _frechet(a, b)
    try:
        answer = function(a.copy(), b.copy())
    except ValueError as error:  # shapes that do not fit
        expect(
            False,
            f"NumPy says '{error}'. Does np.cov know that a row is a picture, not a feature? Give it rowvar=False: "
            "a covariance must have the shape (d, d).",
        )
    expect(answer is not None, "frechet returns nothing; did you forget 'return'?")
    expect(
        not np.iscomplexobj(answer),
        "The result is a complex number, and a distance is real: rounding gives some eigenvalues a tiny imaginary "
        "part, so take .real of them before the root.",
    )
    expect(np.ndim(answer) == 0, f"Return one number, not something of shape {np.shape(answer)}; is a sum missing?")
    answer = _number(answer, "frechet")
    expect(np.isfinite(answer), "The result is not finite: is there a root of a number below 0, or a division by 0?")
    mistakes = [
        (
            dict(divisor=0),
            "The covariance is divided by n; divide by n - 1 (np.cov does, its default), as all tools do.",
        ),
        (dict(squared=False), "The distance of the means is not squared; the formula has |mean_a - mean_b|^2."),
        (dict(mean=False), "The means are missing: add the sum of (mean_a - mean_b)^2."),
        (dict(cross=False), "Only the two traces are there; subtract 2 times the sum of the roots of the eigenvalues."),
        (dict(cross=0.5), "The last term has a factor 2: C_a + C_b - 2 (C_a C_b)^(1/2)."),
        (
            dict(root=lambda product: np.trace(np.sqrt(np.abs(product)))),
            "You took the root of every number of the matrix (np.sqrt); a matrix root is something else: use the eigenvalues.",
        ),
        (
            dict(root=lambda product: np.trace(product)),
            "The root is missing: take the root of every eigenvalue of C_a C_b before you add them up.",
        ),
        (
            dict(root=lambda product: np.sqrt(np.trace(product))),
            "You took the root of the sum; take the root of every eigenvalue first, then add them up.",
        ),
    ]
    for mistake, hint in mistakes:
        expect(not np.isclose(answer, _frechet(a, b, **mistake)), hint)
    expect(
        np.isclose(answer, right),
        f"For two small clouds the result is {answer:.4f} and should be {right:.4f}. Test with one feature: it must be "
        "(mean_a - mean_b)^2 + (std_a - std_b)^2, with ddof=1 in the standard deviations.",
    )
    few = function(a[:3].copy(), b[:3].copy())  # fewer pictures than features: the covariances are singular
    with np.errstate(invalid="ignore"):
        few = np.asarray(few)
    expect(
        not np.iscomplexobj(few) and np.isfinite(few),
        f"With 3 pictures and 4 features the result is {few}: rounding makes some eigenvalues a little smaller than 0. "
        "Set them to 0 (np.maximum) before the root.",
    )
    expect(
        np.isclose(few, _frechet(a[:3], b[:3])),
        f"With 3 pictures and 4 features the result is {few:.4f} and should be {_frechet(a[:3], b[:3]):.4f}.",
    )
    passed("the means, the spreads and what goes together; a real number also with fewer pictures than features.")


# --- exercise 7 ---------------------------------------------------------------------------------------

RECORDS = [
    {"name": "P", "network": "attributes-toon-judge", "fake_count": 2000, "real_count": 1200, "split": "test", "FFD": 9.1},
    {"name": "Q", "network": "attributes-toon-judge", "fake_count": 500, "real_count": 1200, "split": "test", "FFD": 11.0},
    {"name": "R", "network": "Keras Inception-v3", "fake_count": 2000, "real_count": 1200, "split": "test", "FFD": 38.2},
    {"name": "S", "network": "attributes-toon-judge", "fake_count": 2000, "real_count": 1200, "split": "test", "FFD": 7.4},
    {"name": "T", "network": "attributes-toon-judge", "fake_count": 2000, "real_count": 1200, "split": "train", "FFD": 6.8},
]  # fmt: skip
MUST_AGREE = ("network", "fake_count", "real_count", "split")


def check_comparable(function):
    """Exercise 7: `function(records)` gives the names of the two records that may be compared, the better one first."""
    _compare(function, RECORDS)
    # The same places and names, other numbers: only what the records say can help.
    _compare(function, [record | {"FFD": 20 - record["FFD"]} for record in RECORDS[::-1] if record["name"] != "Q"])
    passed("only S and P share network, counts and real faces, and the smaller distance is the better one.")


def _compare(function, records):
    answer = function([dict(record) for record in records])
    expect(answer is not None, "comparable returns nothing; did you forget 'return'?")
    expect(isinstance(answer, (list, tuple)), "Return two names in a list, such as ['P', 'Q'].")
    by_name = {record["name"]: record for record in records}
    expect(
        len(answer) == 2 and answer[0] != answer[1] and all(name in list(by_name) for name in answer),
        f"Return two different names of {', '.join(by_name)}; you returned {answer}.",
    )
    first, second = (by_name[name] for name in answer)
    why = {
        "network": "were measured in the features of different networks; these are different spaces.",
        "fake_count": "used different numbers of drawn faces; fewer pictures make the distance larger.",
        "real_count": "used different numbers of real faces; fewer pictures make the distance larger.",
        "split": "were measured against different real faces; a generator may know the training part by heart.",
    }
    for key in MUST_AGREE:
        expect(
            first[key] == second[key],
            f"{answer[0]} and {answer[1]} {why[key]} ({key}: {first[key]} and {second[key]}.)",
        )
    expect(
        first["FFD"] < second["FFD"],
        f"The pair is right, but not its order: {answer[0]} has {first['FFD']}, {answer[1]} has {second['FFD']}, and the "
        "smaller distance is the better one. (Read the distances, not the names.)",
    )
