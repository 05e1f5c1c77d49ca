"""The part `--estimate` of `growing.py`: hours for CelebA on one T4, from counted multiply-adds. Nothing is timed here.

Counted are convolutions and matrix products alone. The time of all else (norms, activations, the optimiser, reading faces)
is part of what the assumed share of the peak stands for.
"""

from gan_course import backend  # noqa: F401  isort: skip  (before TensorFlow)
import tensorflow as tf

from gan_course.layers import Bias, EqualisedDense
from gan_course.models import progan
from gan_course.training.growing import Schedule


def multiply_adds(network):
    """Return the multiply-adds of one forward pass of one picture, at a network's level and alpha, from its shapes."""
    resampled = network.ups if hasattr(network, "ups") else network.downs
    rgb = network.to_rgb if hasattr(network, "to_rgb") else network.from_rgb
    sizes = {id(layer): 2 ** (i + 3) for group in (network.convs, resampled) for i, layer in enumerate(group)}
    sizes |= {id(layer): 2 ** (i + 2) for i, layer in enumerate(rgb)}
    total = 0
    for layer in network.layers_in_use():
        if isinstance(layer, Bias):
            continue
        size, pairs = sizes.get(id(layer), 4), layer.kernel.shape.num_elements()
        if isinstance(layer, EqualisedDense):
            total += pairs
        elif layer.resample:  # fused: a kernel larger by one pixel, once for each pixel of the small map
            total += pairs // layer.kernel_size**2 * (layer.kernel_size + 1) ** 2 * (size // 2) ** 2
        else:
            total += pairs * size**2
    return total


def profiled(function, *inputs):
    """Return the multiply-adds of a function's convolutions and matrix products, counted by TensorFlow's profiler.

    Only of what runs: TensorFlow leaves out, when it runs a graph, what no output or assignment needs.
    """
    profiler = tf.compat.v1.profiler
    graph = tf.function(function).get_concrete_function(*(tf.TensorSpec(shape) for shape in inputs)).graph
    needed, todo = set(), [*(x.op for x in graph.outputs), *graph.control_outputs]
    while todo:
        op = todo.pop()
        if op not in needed:
            needed.add(op)
            todo += [*(x.op for x in op.inputs), *op.control_inputs]
    kinds = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "MatMul")
    names = {op.name for op in needed if op.type in kinds}
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    nodes, total = [profiler.profile(graph, cmd="scope", options=options.with_empty_output().build())], 0
    while nodes:
        node = nodes.pop()
        nodes += node.children
        total += node.float_ops * (node.name in names)
    return total // 2


# A step of WGAN-GP costs FACTOR_G forward passes of G and FACTOR_D of D. Each layer's backward pass is two products as large
# as its forward one: the slope at its input, and that at its weights.
#   G: forward 1, backward 2. D: forward on real and on fake 2; backward on both 4, which G's slope at the fake pictures is
#   part of (`GAN.shares_backward`). The penalty: forward 1, slope at the pictures 1; then the derivative of all that by
#   the weights, 2 for each of the two (the forward pass counts, as the minibatch deviation is not linear).
FACTOR_G, FACTOR_D = 3, 2 + 4 + 1 + 1 + 2 + 2
T4 = {"float32": 8.1e12, "mixed_float16": 65e12}  # NVIDIA's peak, in floating point operations per second
SHARES = 0.25, 0.35  # ASSUMED: the part of the peak that a training reaches


def estimate(gan):
    """Print and return the ESTIMATE of the hours for CelebA at 128x128 on one T4.

    gan: a small `GrowingGAN` with WGAN-GP, at its last stage; on it the counting is checked.
    """
    batch, size = gan.stage.batch_size, gan.stage.resolution
    g, d = multiply_adds(gan.generator), multiply_adds(gan.discriminator)
    for network, count in ((gan.generator, g), (gan.discriminator, d)):
        profile = profiled(network.call, (1, *network.input_shape[1:]))
        assert profile == count, f"{network.name}: {count} multiply-adds by the shapes, {profile} by the profiler"
    step = profiled(gan.train_step, (batch, size, size, 3)) / batch
    off = (FACTOR_G * g + FACTOR_D * d) / step - 1
    print(f"Counted as TensorFlow's profiler counts: forward passes exactly, a whole step within {abs(off):.1%}.")
    assert abs(off) < 0.03, f"a step counts {step:.0f} multiply-adds, the factors give {1 + off:.2f} of it"

    result = {"assumed_shares": SHARES, "peaks": T4, "step_against_profiler": round(off, 4), "widths": {}}
    print("\nESTIMATE, from counted multiply-adds; not measured. CelebA, 128x128, one T4, WGAN-GP, paper's schedule.")
    print(f"Assumed: {SHARES[0]:.0%} to {SHARES[1]:.0%} of the peak is reached, in float32 and in float16 alike.")
    for base, widest in ((8192, 512), (2048, 256)):
        networks = progan.build_generator(128, 512, base, widest), progan.build_discriminator(128, base, widest)
        work, rows = {}, []
        for stage in Schedule(128).stages:
            g, d = (multiply_adds(n.grow(stage.level, 0.5 if stage.fading else 1.0)) for n in networks)
            gflop = 2 * (FACTOR_G * g + FACTOR_D * d) / 1e9
            work.setdefault(stage.resolution, []).append((stage, gflop))
        print(f"\nbase {base}, at most {widest} channels ({networks[0].channels(6)} at 128x128)")
        for size, parts in [*work.items(), ("all", sum(work.values(), []))]:
            images = sum(stage.images for stage, _ in parts)
            total = sum(stage.images * gflop * 1e9 for stage, gflop in parts)
            hours = {name: [total / (peak * share) / 3600 for share in SHARES[::-1]] for name, peak in T4.items()}
            batch, gflop = "-" if size == "all" else parts[0][0].batch_size, round(total / images / 1e9, 2)
            row = {"resolution": size, "batch": batch, "pictures": images, "gflop_per_picture": gflop}
            rows.append(row | {"hours": {name: [round(h, 2) for h in both] for name, both in hours.items()}})
            text = "   ".join(f"{name} {low:6.1f} to {high:6.1f} h" for name, (low, high) in hours.items())
            print(f"{size:>5}  batch {batch:>3}  {images:9,} pictures  {gflop:7.1f} GFLOP each   {text}")
        result["widths"][f"base {base}, max {widest}"] = rows
    return result
