"""Self-checks of lesson 02: transposed convolution, counting parameters, walking in latent space."""

import numpy as np

from gan_course.checks import expect, numbers, passed

# --- exercise 1 ---------------------------------------------------------------------------------------

CUT = "(k - stride) // 2 rows go at the top, as many columns at the left, and the rest at the other sides."


def _stamp(image, kernel, stride, overwrite=False, flip=False, one_channel=False, crop=None):
    """Reference and its typical mistakes: full transposed convolution, then the crop to height * stride."""
    if flip:
        kernel = kernel[::-1, ::-1]
    (height, width, _), size = image.shape, len(kernel)
    page = np.zeros(((height - 1) * stride + size, (width - 1) * stride + size, kernel.shape[2]))
    for i in range(height):
        for j in range(width):
            part = kernel[..., 0] * image[i, j, 0] if one_channel else kernel @ image[i, j]
            place = page[i * stride : i * stride + size, j * stride : j * stride + size]
            place[:] = part if overwrite else place + part
    first = (size - stride) // 2 if crop is None else crop
    return page[first : first + height * stride, first : first + width * stride]


def check_transposed(function):
    """Exercise 1: `function(image, kernel, stride)` is Conv2DTranspose with padding='same', without bias.

    image (h, w, c_in), kernel (k, k, c_out, c_in) -> (h * stride, w * stride, c_out).
    """
    rng = np.random.default_rng(0)
    for height, width, c_in, c_out, size, stride in (
        (2, 3, 1, 1, 4, 2),
        (3, 2, 2, 3, 4, 2),
        (3, 3, 2, 1, 5, 3),
        (2, 3, 1, 2, 3, 2),  # one row to cut: it goes at the bottom
    ):
        image, kernel = rng.normal(size=(height, width, c_in)), rng.normal(size=(size, size, c_out, c_in))
        case = f"a picture {image.shape}, a kernel {kernel.shape} and stride {stride}"
        right = _stamp(image, kernel, stride)
        answer = numbers(function(image.copy(), kernel.copy(), stride), "transposed")
        full = ((height - 1) * stride + size, (width - 1) * stride + size)
        expect(
            answer.ndim == 3,
            f"For {case} the result has {answer.ndim} axes; it needs three: height, width and channels.",
        )
        expect(
            answer.shape[:2] != full,
            f"For {case} the result has the full size {full}; padding='same' keeps {right.shape[:2]}: {CUT}",
        )
        expect(
            answer.shape[:2] == right.shape[:2],
            f"For {case} the result is {answer.shape[0]}x{answer.shape[1]} and should be "
            f"{right.shape[0]}x{right.shape[1]}, which is size times stride. "
            "Does neighbour i start at row i * stride?",
        )
        expect(
            answer.shape == right.shape,
            f"For {case} the result has {answer.shape[2]} channels, not {c_out}: the kernel's third axis "
            "holds the output channels, its fourth axis the input channels.",
        )
        if np.allclose(answer, right, atol=1e-5):
            continue
        mistakes = [
            (
                {"overwrite": True},
                "Where two stamps overlap the later one wins; they must be added (+=, not =).",
            ),
            ({"flip": True}, "The kernel is turned by 180 degrees; a stamp uses it as it is."),
            (
                {"one_channel": True},
                "Only the first input channel is used; sum the stamps of all input channels.",
            ),
            ({"crop": 0}, f"You cut only off the bottom and the right; {CUT}"),
            ({"crop": size - stride}, f"You cut only off the top and the left; {CUT}"),
        ]
        for mistake, hint in mistakes:
            if mistake.get("one_channel") and c_in == 1:
                continue
            expect(not np.allclose(answer, _stamp(image, kernel, stride, **mistake), atol=1e-5), hint)
        where = np.argwhere(~np.isclose(answer, right, atol=1e-5))[0]
        expect(
            False,
            f"The size is right, but the number at row {where[0]}, column {where[1]}, channel {where[2]} is "
            f"{answer[tuple(where)]:.3f} and should be {right[tuple(where)]:.3f} (for {case}). "
            "Try a picture with a single 1 in it: the kernel must appear in the result.",
        )
    passed("each pixel stamps the kernel, overlaps add, channels are summed, and the border is cut like Keras's.")


# --- exercise 2 ---------------------------------------------------------------------------------------


def check_parameters(function):
    """Exercise 2: `function(latent_dim, channels)` counts the parameters of the course's DCGAN generator."""
    from gan_course.models import dcgan

    for latent_dim, width, resolution in ((7, 10, 16), (64, 16, 64)):
        levels = int(np.log2(resolution)) - 2
        channels = tuple(width * 2**k for k in reversed(range(levels)))
        right = dcgan.build_generator(resolution, latent_dim, width, max_width=channels[0]).count_params()
        answer = numbers(function(latent_dim, channels), "generator_parameters")
        expect(answer.ndim == 0, f"Return one whole number, not something of shape {answer.shape}.")
        pairs = sum(a * b for a, b in zip(channels, channels[1:] + (3,), strict=True))
        dense, norm = latent_dim * 16 * channels[0], sum(channels)
        hints = {
            -2 * norm: "2 numbers per channel are missing: batch norm has four (scale, shift, and the moving mean and "
            "variance, which are not trained but counted).",
            -4 * norm: "batch norm is missing: four numbers per channel, after the Dense layer too.",
            -4 * channels[0]: "the first batch norm, right after the Dense layer, is missing.",
            -3: "the last layer's 3 biases are missing: no batch norm follows it, so it has them.",
            norm - channels[0]: "you counted biases of transposed convolutions before a batch norm; they have none.",
            16 * channels[0]: "you counted biases of the Dense layer; batch norm follows it, so it has none.",
            16 * channels[0] + norm - channels[0]: "you counted biases of layers before a batch norm; they have none.",
            -dense: "the Dense layer is missing: latent_dim times 4 * 4 * channels[0].",
            -15 * latent_dim * channels[0]: "the Dense layer makes 4x4 positions, each with channels[0] numbers.",
            -16 * channels[-1] * 3: "the last transposed convolution, to 3 colours, is missing its kernel.",
            -16 * channels[-1] * 3 - 3: "the last transposed convolution, to 3 colours, is missing.",
            -7 * pairs: "a kernel is 4x4 here, so 16 numbers for each pair of channels, not 9.",
            9 * pairs: "a kernel is 4x4 here, so 16 numbers for each pair of channels, not 25.",
        }
        difference = round(float(answer)) - right
        expect(
            difference == 0,
            f"for latent_dim={latent_dim} and channels={channels} you count {int(answer):,} and Keras counts {right:,}: "
            + hints.get(difference, f"{abs(difference):,} {'too many' if difference > 0 else 'too few'}."),
        )
    passed(f"a generator with channels {channels} has {right:,} parameters.")


# --- exercise 3 ---------------------------------------------------------------------------------------


def check_slerp(function):
    """Exercise 3: `function(a, b, t)` walks on the sphere from a (t = 0) to b (t = 1)."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 64))
    b -= a * (a @ b) / (a @ a)  # perpendicular
    a, b = 8 * a / np.linalg.norm(a), 8 * b / np.linalg.norm(b)

    def at(t, a=a, b=b):
        answer = numbers(function(a.copy(), b.copy(), t), "slerp")
        expect(answer.shape == a.shape, f"slerp returns shape {answer.shape}; it should be that of a, {a.shape}.")
        expect(
            np.isfinite(answer).all(),
            "slerp returns numbers that are not finite. The cosine of the angle is "
            "a @ b / (|a| |b|): did you divide by both lengths?",
        )
        return answer

    expect(
        not (np.allclose(at(0.0), b, atol=1e-4) and np.allclose(at(1.0), a, atol=1e-4)),
        "The ends are swapped: t = 0 must give a, and t = 1 must give b.",
    )
    expect(np.allclose(at(0.0), a, atol=1e-4), "At t = 0 slerp must give a.")
    expect(np.allclose(at(1.0), b, atol=1e-4), "At t = 1 slerp must give b.")
    length = np.linalg.norm(at(0.5))
    expect(
        abs(length - 8 / np.sqrt(2)) > 0.01,
        f"Halfway between two perpendicular vectors of length 8 your vector has length {length:.2f}: "
        "that is the straight line through the inside of the sphere. Weight a and b by sines of the angle.",
    )
    expect(
        abs(length - 8) < 0.01,
        f"Halfway between two perpendicular vectors of length 8 your vector has length {length:.2f}, not 8.",
    )
    angle = np.degrees(np.arccos(np.clip(at(0.25) @ a / 64, -1, 1)))
    expect(
        abs(angle - 22.5) < 0.5,
        f"After a quarter of a walk of 90 degrees you have turned {angle:.1f} degrees, not 22.5. "
        "(A straight line, stretched to the right length, gives 18.4: its steps are not equal.)",
    )
    c = 8 * (0.6 * a + 0.8 * b) / 8  # another angle than 90 degrees
    angle = np.degrees(np.arccos(np.clip(at(0.5, a, c) @ a / 64, -1, 1)))
    half = np.degrees(np.arccos(0.6)) / 2
    expect(
        abs(angle - half) < 0.5,
        f"For two vectors {2 * half:.1f} degrees apart the middle is {angle:.1f} degrees from a, not {half:.1f}. "
        "Take the angle from a and b; it is not always 90 degrees.",
    )
    passed("equal steps on the sphere, from a to b.")


# --- exercise 4 ---------------------------------------------------------------------------------------


def check_direction(function):
    """Exercise 4: `function(latents, scores)` is the unit vector from the low quarter's mean to the high quarter's."""
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(400, 16)) + 0.3  # not centred, so that one mean alone is not enough
    scores = latents @ rng.normal(size=16) + 0.5 * rng.normal(size=400)

    def reference(share, low=True):
        order, count = np.argsort(scores), int(400 * share)
        way = latents[order[-count:]].mean(0) - (latents[order[:count]].mean(0) if low else 0)
        return way

    answer = numbers(function(latents.copy(), scores.copy()), "direction")
    expect(
        answer.shape == (16,),
        f"direction returns shape {answer.shape}; it is one latent vector, shape (16,) here.",
    )
    length = np.linalg.norm(answer)
    unit = answer / max(length, 1e-12)

    def same(way):
        return unit @ way / np.linalg.norm(way) > 0.99999

    right = reference(0.25)
    expect(
        not same(-right),
        "The sign is wrong: the direction must go from low scores to high ones (high minus low).",
    )
    expect(
        not same(reference(0.25, low=False)),
        "This is the mean of the high quarter alone; subtract the mean of the low quarter.",
    )
    expect(not same(reference(0.5)), "You compare the two halves; compare the highest quarter with the lowest.")
    expect(
        same(right),
        "This is not the difference of the two means. np.argsort(scores) gives the rows from the lowest score to the "
        "highest; the last quarter of them is high, the first quarter is low.",
    )
    expect(abs(length - 1) < 1e-4, f"The direction is right but its length is {length:.3f}; divide by it.")
    passed("one unit vector, from the low quarter to the high quarter.")
