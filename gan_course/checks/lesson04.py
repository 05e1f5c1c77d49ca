"""Self-checks of lesson 04: the scale of a layer, the minibatch deviation, the fade, the schedule, neighbours, a walk."""

import math

import numpy as np

from gan_course.checks import expect, numbers, passed

# --- exercise 1 ---------------------------------------------------------------------------------------


def check_equalised(function):
    """Exercise 1: `function(kernel_shape, gain)` is the number that an equalised layer multiplies its kernel by."""
    for shape, gain in (((3, 3, 32, 16), math.sqrt(2)), ((1, 1, 64, 3), 1.0), ((128, 2048), math.sqrt(2) / 4)):
        what = f"For the kernel {shape} and gain {gain:.3f}"
        answer = numbers(function(shape, gain), "equalised")
        expect(
            answer.shape == (),
            f"{what} you return an array of shape {answer.shape}; wanted is one number, the scale, not the weights.",
        )
        answer, places, before, after = float(answer), math.prod(shape[:-2]), shape[-2], shape[-1]
        fan_in = places * before
        right = gain / math.sqrt(fan_in)
        mistakes = [
            (gain / fan_in, "the root is missing: gain / sqrt(fan_in)."),
            (
                gain / math.sqrt(before),
                f"fan_in is {before}, the channels in, without the {places} places of the kernel.",
            ),
            (
                gain / math.sqrt(places),
                f"fan_in is {places}, the places of the kernel, without its {before} channels in.",
            ),
            (
                gain / math.sqrt(places * after),
                f"you count the {after} outputs; fan_in counts the inputs of one output.",
            ),
            (gain / math.sqrt(fan_in * after), "fan_in counts all weights; leave the last axis (the outputs) out."),
            (1 / math.sqrt(fan_in), "the gain is missing."),
            (math.sqrt(2 / fan_in), "the gain is always sqrt(2); use the argument."),
            (math.sqrt(gain / fan_in), "the gain is under the root; only fan_in is."),
            (gain * math.sqrt(fan_in), "you multiply by sqrt(fan_in); divide by it."),
        ]
        if not math.isclose(answer, right, rel_tol=1e-5):
            for wrong, hint in mistakes:
                # Where two formulas agree (a gain of 1, a 1x1 kernel) they agree with the right one as well.
                expect(not math.isclose(answer, wrong, rel_tol=1e-5), f"{what}: {hint}")
            expect(
                False,
                f"{what} you return {answer:.5f}; it should be {right:.5f} = {gain:.3f} / sqrt({fan_in}), because "
                f"each output is a sum over {fan_in} inputs.",
            )
    passed("gain / sqrt(inputs of one output), for convolutions and for dense layers.")


# --- exercise 2 ---------------------------------------------------------------------------------------


def _deviation(x, group, contiguous=False, ddof=0, root=np.sqrt, mean_first=False):
    """Reference and its typical mistakes: one number per group."""
    count = len(x) // group
    groups = x.reshape(group, count, *x.shape[1:])
    if contiguous:
        groups = np.swapaxes(x.reshape(count, group, *x.shape[1:]), 0, 1)
    variance = groups.var(axis=0, ddof=ddof)
    axes = tuple(range(1, variance.ndim))
    return root(variance.mean(axis=axes) + 1e-8) if mean_first else root(variance + 1e-8).mean(axis=axes)


def check_minibatch_deviation(function):
    """Exercise 2: `function(x, group)` is the mean deviation of each strided group, a vector."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 2, 3, 5)) * np.linspace(0.5, 3, 12)[:, None, None, None]
    count = 3
    right = _deviation(x, 4)
    answer = numbers(function(x.copy(), 4), "minibatch_deviation")
    expect(
        answer.shape != (),
        "minibatch_deviation returns one number for the whole batch; wanted is one for each group: 12 pictures in "
        "groups of 4 give 3 numbers.",
    )
    expect(
        answer.shape != x.shape[1:] and answer.shape != (count, *x.shape[1:]),
        f"You return something of shape {answer.shape}: a deviation for every place and channel. Take the mean of them.",
    )
    expect(
        answer.shape != (4,),
        "You return 4 numbers for 12 pictures in groups of 4; there are 3 groups. Is the shape of groups "
        "(group, N / group, h, w, c), and the variance over its first axis?",
    )
    expect(
        answer.shape != (12,) and answer.shape != (*x.shape[:-1], 6),
        f"You return something of shape {answer.shape}; wanted is one number per group, shape (3,). (The layer repeats "
        "it for every picture; this function does not.)",
    )
    expect(
        answer.shape == (count,),
        f"You return something of shape {answer.shape}; 12 pictures in groups of 4 must give shape (3,).",
    )

    def same(**mistake):
        wrong = _deviation(x, 4, **mistake)
        return wrong.shape == answer.shape and np.allclose(answer, wrong, rtol=1e-5)

    if not np.allclose(answer, right, rtol=1e-5):
        expect(
            not same(contiguous=True),
            "Your groups are neighbours: pictures 0, 1, 2, 3 together. They should be strided: 0, 3, 6, 9. "
            "Reshape to (group, N / group, ...), then the first axis runs through one group.",
        )
        expect(
            not same(root=np.asarray),
            "These are variances; take the root of each before the mean.",
        )
        expect(
            not same(mean_first=True),
            "You take the mean of the variances and then the root. First the root at each place, then the mean.",
        )
        expect(
            not same(ddof=1),
            "You divide the sum of squares by group - 1 (ddof=1); the formula divides by group, NumPy's default.",
        )
        expect(
            not np.allclose(answer, [x[i::count].std() for i in range(count)], rtol=1e-5),
            "You take one deviation over all numbers of a group. That is large even for equal pictures, because a "
            "picture has different pixels: take the variance over the *pictures*, at each place.",
        )
        expect(
            not np.allclose(answer, right[::-1], rtol=1e-5),
            "The numbers are right, but in the wrong order: group j holds the pictures j, j + 3, ...",
        )
        shown = ", ".join(f"{value:.3f}" for value in answer)
        expect(
            False,
            f"For the test batch you return ({shown}); it should be ({', '.join(f'{v:.3f}' for v in right)}). "
            "Variance over the pictures of a group, + 1e-8, root, mean over the rest.",
        )
    # 6 pictures in groups of 2; then 4 equal ones
    fewer = numbers(function(x[:6].copy(), 2), "minibatch_deviation")
    expect(
        fewer.shape == (3,) and np.allclose(fewer, _deviation(x[:6], 2), rtol=1e-5),
        "Groups of 4 are right, but groups of 2 are not. Is the 4 a constant? Use the argument `group`.",
    )
    equal = numbers(function(np.repeat(x[:1], 4, axis=0), 4), "minibatch_deviation")
    expect(
        np.allclose(equal, 1e-4, rtol=1e-3),
        f"Four equal pictures give {float(equal.ravel()[0]):.2g}, and it should be 1e-4: the 1e-8 belongs under the "
        "root. (It keeps the root's gradient finite where the variance is 0.)",
    )
    passed("strided groups, one number for each; four equal pictures give 1e-4.")


# --- exercise 3 ---------------------------------------------------------------------------------------


def _fade(old, new, alpha, up=None):
    up = (lambda x: x.repeat(2, axis=1).repeat(2, axis=2)) if up is None else up
    return (1 - alpha) * up(old) + alpha * new


def check_fade(function):
    """Exercise 3: `function(old, new, alpha)`: pictures of half the size, upsampled and blended with the new ones."""
    rng = np.random.default_rng(0)
    old, new = rng.uniform(-1, 1, (2, 4, 6, 3)), rng.uniform(-1, 1, (2, 8, 12, 3))
    alpha = 0.25
    right = _fade(old, new, alpha)
    try:
        answer = function(old.copy(), new.copy(), alpha)
    except ValueError as error:  # NumPy's: shapes that do not fit
        expect(
            "broadcast" not in str(error),
            "The shapes do not fit: `old` has half the height and half the width. Upsample it first.",
        )
        raise
    answer = numbers(answer, "fade")
    expect(
        answer.shape != old.shape,
        "fade returns pictures of the old, small size: upsample the old ones, do not shrink the new ones.",
    )
    expect(
        answer.shape == new.shape,
        f"fade returns shape {answer.shape} and should return {new.shape}. Repeat each pixel twice along the height "
        "(axis 1) and twice along the width (axis 2).",
    )

    def like(wrong):
        return np.allclose(answer, wrong, atol=1e-5)

    if not like(right):
        expect(
            not like(_fade(old, new, 1 - alpha)),
            "alpha works the wrong way round: at alpha 0 there must be only the old pictures, at alpha 1 only the new.",
        )
        expect(
            not like(_fade(old, new, alpha, lambda x: np.tile(x, (1, 2, 2, 1)))),
            "You put four copies of the small picture side by side (tile). Each *pixel* must become a 2x2 block: np.repeat.",
        )
        expect(
            not like(_fade(old, new, alpha, lambda x: np.resize(x, new.shape))),
            "np.resize mixes up the pixels; use np.repeat along the axes 1 and 2.",
        )
        expect(
            not like(_fade(old, new, alpha) + alpha * _fade(old, new, 0))
            and not like(_fade(old, new, 0) + alpha * new),
            "The old picture keeps its full weight: it must go down to 1 - alpha while the new one comes.",
        )
        expect(
            not like((1 - alpha) * _fade(old, new, 0) + new),
            "The new picture has its full weight from the start: multiply it by alpha.",
        )
        expect(not like(_fade(old, new, 0.5)), "You return the mean of the two; alpha has no effect.")
        worst = np.abs(answer - right).max()
        expect(
            False,
            f"At alpha {alpha} your pictures differ from the right ones by up to {worst:.2f}. "
            "Wanted: (1 - alpha) * upsampled old + alpha * new.",
        )
    for end, want, name in ((0.0, _fade(old, new, 0), "the upsampled old"), (1.0, new, "the new")):
        expect(
            np.allclose(numbers(function(old.copy(), new.copy(), end), "fade"), want, atol=1e-5),
            f"At alpha {alpha} it is right, but at alpha {end:g} it is not exactly {name} pictures.",
        )
    passed("only the old pictures at alpha 0, only the new at alpha 1, and each old pixel is a 2x2 block.")


# --- exercise 4 ---------------------------------------------------------------------------------------


def _alpha_at(images, fade, stable, resolution, first=False, last=True, swapped=False, late=False):
    """Reference and its typical mistakes: (size, alpha) after so many pictures."""
    size, images = 4, images if first else images - stable
    if first:  # the first level is faded as well
        if images < fade:
            return size, images / fade
        images -= fade + stable
    while (images > 0 if late else images >= 0) and (not last or size < resolution):
        size *= 2
        if swapped:  # stable first, then the fade
            if images < stable:
                return size, 1.0
            if images < stable + fade:
                return size, (images - stable) / fade
        elif images < fade:
            return size, images / fade
        images -= fade + stable
    return size, 1.0


# (images, fade, stable, resolution); fade and stable differ, or two mistakes could cancel.
SHOWN = [
    *[(images, 100, 300, 32) for images in (0, 120, 299, 300, 325, 399, 400, 550, 699, 700, 790, 800, 1190, 1300)],
    *[(images, 200, 50, 16) for images in (0, 49, 50, 150, 250, 299, 300, 480, 500, 9999)],
]


def check_alpha_at(function):
    """Exercise 4: `function(images, fade, stable, resolution)` gives (size, alpha) after so many pictures shown."""
    answers = []
    for case in SHOWN:
        answer = function(*case)
        expect(answer is not None, "alpha_at returns nothing; did you forget 'return'?")
        expect(
            isinstance(answer, (tuple, list)) and len(answer) == 2,
            f"alpha_at must return two numbers, the size and alpha; it returned {answer!r}.",
        )
        answers.append(tuple(float(x) for x in answer))
    right = [_alpha_at(*case) for case in SHOWN]

    def same(other):
        return np.allclose(answers, other)

    expect(not same([(a, s) for s, a in right]), "The two numbers are in the wrong order; return the size first.")
    expect(
        not same([(np.log2(s), a) for s, a in right]),
        "You return the level (2, 3, ...); wanted is the size in pixels: 2 ** level.",
    )
    expect(
        not same([_alpha_at(*case, first=True) for case in SHOWN]),
        "You fade in the first size as well. Before 4x4 there is nothing to fade from: it begins with `stable`.",
    )
    expect(
        not same([_alpha_at(*case, swapped=True) for case in SHOWN]),
        "The order of a size is the other way round: first the fade, then `stable` pictures with alpha 1.",
    )
    expect(
        not same([(s, 1 - a if a < 1 else a) for s, a in right]),
        "Your alpha falls from 1 to 0. It is the weight of the *new* layers: a fade begins at 0.",
    )
    expect(
        not same([(s, 1 - a) for s, a in right]),
        "Your alpha is 1 minus the right one. It is the weight of the *new* layers: 0 at the start of a fade, 1 after it.",
    )
    expect(
        not same([(s, a if a < 1 else 0.0) for s, a in right]),
        "Your alpha is 0 outside a fade; there the new layers are all there is, so it is 1.",
    )
    for case, (size, alpha), (right_size, right_alpha) in zip(SHOWN, answers, right, strict=True):
        images, fade, stable, resolution = case
        what = f"After {images} pictures (fade={fade}, stable={stable}, resolution={resolution})"
        expect(
            size <= resolution,
            f"{what} your size is {size:g}: the last size is never left, however many pictures follow.",
        )
        expect(0 <= alpha <= 1, f"{what} alpha is {alpha:g}; it is never below 0 or above 1.")
        edge = images == stable or (images - stable) % (fade + stable) in (0, fade)
        expect(
            size == right_size or not edge,
            f"{what} the size is {size:g} and should be {right_size}: when {images} pictures have been shown, this "
            "stage is full, and the next picture belongs to the next stage (compare with < or >=).",
        )
        expect(size == right_size, f"{what} the size is {size:g} and should be {right_size}.")
        inside = (images - stable) % (fade + stable)
        expect(
            np.isclose(alpha, right_alpha) or not np.isclose(alpha, inside / (fade + stable)),
            f"{what} alpha is {alpha:.3f}: you divide by fade + stable. It reaches 1 at the end of the fade.",
        )
        expect(
            np.isclose(alpha, right_alpha),
            f"{what} the size is right, but alpha is {alpha:.3f} and should be {right_alpha:.3f}: the pictures shown in "
            "*this* fade, divided by `fade`; 1 in a stable stage.",
        )
    for fade, answer in ((0, (8, 1.0)), (0.0, (8, 1.0))):
        try:
            got = function(350, fade, 300, 32)
        except ZeroDivisionError:
            got = "a division by zero"
        expect(
            got != "a division by zero" and np.allclose(got, answer),
            f"With fade=0 (no fading) and 350 pictures, stable=300, you give {got}; it should be {answer}.",
        )
    passed(
        "4x4 is not faded; each later size begins at alpha 0, reaches 1 after `fade` pictures, and the last one stays."
    )


# --- exercise 5 ---------------------------------------------------------------------------------------


def check_nearest(function):
    """Exercise 5: `function(features, training_features, k)` gives indices and distances (n, k), the nearest first."""
    rng = np.random.default_rng(3)
    training = 3 * rng.normal(size=(9, 4)) + 20
    features = np.concatenate([training[[6]], training[[2, 5, 7]] + rng.normal(size=(3, 4))])  # one is a copy
    ways = np.sqrt(((features[:, None] - training) ** 2).sum(-1))
    for k in (3, 1):
        order = np.argsort(ways, axis=1)[:, :k]
        right = np.take_along_axis(ways, order, axis=1)
        with np.errstate(invalid="ignore"):
            answer = function(features.copy(), training.copy(), k)
        expect(answer is not None, "nearest returns nothing; did you forget 'return'?")
        expect(
            isinstance(answer, (tuple, list)) and len(answer) == 2,
            "Return two arrays: the indices and the distances.",
        )
        first, second = (np.asarray(x) for x in answer)
        what = f"For {len(features)} faces, {len(training)} training faces and k={k}"
        for name, array in (("indices", first), ("distances", second)):
            shape = (len(features), k)
            expect(
                array.shape != (len(features), len(training)),
                f"{what} the {name} have the shape {array.shape}: all training faces. Keep the first k columns.",
            )
            expect(
                array.shape == shape,
                f"{what} the {name} have the shape {array.shape} and should have {shape}: a row for each face, a column "
                "for each neighbour.",
            )
        expect(
            not (np.allclose(first, right) and np.array_equal(second, order)),
            "The two arrays are in the wrong order; return the indices first.",
        )
        expect(first.dtype.kind in "iu", f"The indices must be whole numbers, not {first.dtype}.")
        expect(
            not np.isnan(second).any(),
            "A distance is NaN. One face here is an exact copy, and |a|^2 + |b|^2 - 2ab comes out a little below 0; "
            "np.maximum(..., 0) before the root, or subtract first.",
        )
        for power, hint in (
            (np.sum((features[:, None] - training) ** 2, -1), "The distances are squared; the root is missing."),
            (ways / 2, "Your distances are roots of the *mean* square; take the sum over the features."),
            (
                np.abs(features[:, None] - training).sum(-1),
                "You sum absolute differences; take the Euclidean distance.",
            ),
        ):
            other = np.take_along_axis(power, np.argsort(power, axis=1)[:, :k], axis=1)
            expect(not np.allclose(second, other), hint)
        far = np.argsort(-ways, axis=1)[:, :k]
        expect(
            not np.array_equal(np.sort(first), np.sort(far)),
            "These are the farthest training faces; sort the other way.",
        )
        later = np.argsort(ways, axis=1)[:, 1 : k + 1]
        expect(
            not np.array_equal(first, later),
            "You leave out the nearest one, as one does when the faces themselves are in the list. Here they are not.",
        )
        expect(
            np.array_equal(np.sort(first), np.sort(order)),
            f"{what} the indices are\n{first}\nand should be\n{order}\nSort each face's own row (axis=1).",
        )
        expect(
            np.array_equal(first, order),
            "You found the right neighbours, but not in order: the nearest comes first. (np.argpartition does not sort.)",
        )
        expect(
            np.allclose(second, right, atol=1e-5),
            "The indices are right, but the distances do not belong to them: np.take_along_axis(distances, indices, axis=1).",
        )
    passed("the nearest first, each with its own distance; and an exact copy has the distance 0.")


# --- exercise 6 ---------------------------------------------------------------------------------------


def check_even_times(function):
    """Exercise 6: `function(times, features, count)` gives times at which a walk has equal steps in feature space."""
    times = np.array([0.0, 0.1, 0.3, 0.4, 0.8, 1.0])
    ways = np.array([3.0, 1.0, 5.0, 2.0, 1.0])  # between neighbours; 12 in all
    turns = np.array([0.3, 2.0, -1.0, 0.5, 1.1])
    steps = ways[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1)
    features = np.concatenate([[[4.0, -2.0]], [4.0, -2.0] + np.cumsum(steps, axis=0)])
    for count in (7, 4):
        along = np.append(0.0, np.cumsum(ways))
        right = np.interp(np.linspace(0, 12, count), along, times)
        answer = function(times.copy(), features.copy(), count)
        expect(answer is not None, "even_times returns nothing; did you forget 'return'?")
        answer = np.asarray(answer, "float64")
        expect(
            answer.shape == (count,),
            f"For count={count} the result has the shape {answer.shape}; it should be ({count},), both ends among them.",
        )

        def same(way, ways=ways, answer=answer, count=count):
            """Whether the answer is the one for another measure of the way."""
            along = np.append(0.0, np.cumsum(way))
            return np.allclose(answer, np.interp(np.linspace(0, along[-1], count), along, times), atol=1e-6)

        expect(
            not np.allclose(answer, np.linspace(0, 12, count)),
            "You return the ways (0 to 12 here), not the times at which they are reached: np.interp(ways, along, times).",
        )
        expect(
            not np.allclose(answer, np.linspace(0, 1, count)),
            "These are equal steps in *time*. Where the pictures change quickly, the times must lie closer together.",
        )
        expect(not same(ways**2), "You add up squared steps; a step is the length of the difference: np.linalg.norm.")
        expect(
            not same(np.abs(steps).sum(1)),
            "You measure a step by the sum of absolute differences; take its length, np.linalg.norm(..., axis=1).",
        )
        expect(
            not same(np.linalg.norm(features[1:], axis=1)) and not same(np.linalg.norm(features[:-1], axis=1)),
            "You measure how long the features are. A step is between neighbours: np.diff(features, axis=0).",
        )
        chord = np.linalg.norm(features - features[0], axis=1)
        expect(
            not np.allclose(answer, np.interp(np.linspace(0, chord[-1], count), chord, times)),
            "You measure the distance from the start. Add up the steps: the walk may turn.",
        )
        expect(
            not np.allclose(answer, np.interp(np.linspace(0, 1, count), times, along / 12)),
            "np.interp has its arguments exchanged: it asks 'at which time is this way reached?', so the way is x.",
        )
        short = np.cumsum(ways)
        expect(
            not any(
                np.allclose(answer, np.interp(np.linspace(start, 12, count), short, times[1:]))
                for start in (0.0, short[0])
            ),
            "The way begins with 0 at the first time; np.cumsum alone leaves this 0 out.",
        )
        expect(
            np.isclose(answer[0], 0) and np.isclose(answer[-1], 1),
            f"The walk goes from {answer[0]:g} to {answer[-1]:g}; it should go from {times[0]:g} to {times[-1]:g}.",
        )
        where = int(np.argmax(np.abs(answer - right)))
        expect(
            np.allclose(answer, right, atol=1e-6),
            f"Time number {where} of {count} is {answer[where]:.4f} and should be {right[where]:.4f}: there the walk has "
            f"{12 * where / (count - 1):.2f} of its 12 behind it.",
        )
    passed("equal steps in feature space, from the first time to the last.")
