"""The one place that knows which library does the arithmetic: TensorFlow (the default) or PyTorch.

Importing it starts Keras quietly on that library. Everything else in the package is `keras.ops`, so the same weights,
losses and networks work on both; what the two do not share is here: the tape that a gradient is taken from, replicas,
and the question for a GPU.

Environment variable `KERAS_BACKEND`: `tensorflow` or `torch`. Default: TensorFlow where it is installed, else PyTorch.
(The file keras.json is not asked: the course must run alike on every computer.)
"""

import os
import sys
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec

from gan_course.errors import CourseError

BACKENDS = ("tensorflow", "torch")


def _choose():
    """Return the backend that Keras is to use, or the one that it uses already."""
    installed = [name for name in BACKENDS if find_spec(name)]
    if "keras" in sys.modules and hasattr(sys.modules["keras"], "config"):
        name, place = sys.modules["keras"].config.backend(), "Keras was imported with the backend"
    else:
        name, place = os.environ.get("KERAS_BACKEND") or (installed or BACKENDS)[0], "KERAS_BACKEND is"
    if name not in BACKENDS:
        raise CourseError(f"{place} '{name}'; set KERAS_BACKEND to tensorflow or torch, and start Python anew.")
    if name not in installed:
        packages = {"tensorflow": "pip install -r requirements.txt", "torch": 'pip install -e ".[torch]"'}
        other = f", or set KERAS_BACKEND to {installed[0]}" if installed else ""
        raise CourseError(f"The package {name} is not installed; run '{packages[name]}'{other}.")
    return name


def _import_tensorflow_quietly():
    """Import TensorFlow without the notes that its C++ part prints at start. Real trouble still shows: it raises."""
    # 3: also without the graph optimiser's harmless "remapper failed".
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules:
        return
    # The notes come before TensorFlow reads its log level, straight to file descriptor 2.
    sys.stderr.flush()
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        import tensorflow
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)
    # A lesson builds many small networks, each with a step of its own; TensorFlow would warn of "retracing".
    tensorflow.get_logger().setLevel("ERROR")


NAME = _choose()
os.environ["KERAS_BACKEND"] = NAME
if NAME == "tensorflow":
    _import_tensorflow_quietly()

import keras  # noqa: E402
from keras import ops  # noqa: E402, F401  (for modules that want both from here)

keras.config.set_image_data_format("channels_last")  # pictures are (batch, height, width, channels) everywhere

if NAME == "tensorflow":
    import numpy as np
    import tensorflow as tf

    def Tape():
        """Return a tape: it records what happens in its `with` block, and gives gradients as often as it is asked.

            with Tape() as tape:
                tape.watch(x)                       # not needed for weights
                y = f(x)
            slope = tape.gradient(y, x)             # also a list of sources; None where y does not depend on one

        `gradient(y, sources, output_gradients)` goes on from a gradient with respect to y. A tape whose gradient is taken
        inside the block of another is itself recorded, so that a slope may be part of a loss. (TensorFlow's own.)
        """
        return tf.GradientTape(persistent=True)

    def compiled(function):
        """Return a function of tensors as one graph: quicker where it is called often (TensorFlow's `tf.function`)."""
        return tf.function(function)

    def no_gradient():
        """Return a context in which nothing is recorded for gradients (TensorFlow records on tapes only)."""
        return nullcontext()

    @contextmanager
    def bfloat16(on=True):
        """Return a context: graphs that run for the first time in it may multiply in bfloat16, 8 bits, where the CPU is quick at it.

        That is where it has AVX512-BF16 or AMX; on others, and for what runs on a GPU, nothing changes.
        """
        name = "auto_mixed_precision_onednn_bfloat16"
        before = tf.config.optimizer.get_experimental_options().get(name, False)
        tf.config.optimizer.set_experimental_options({name: on})
        try:
            yield
        finally:
            tf.config.optimizer.set_experimental_options({name: before})

    def to_numpy(x):
        """Return a tensor's or a variable's numbers. (Keras's own way warns of NumPy 2.)"""
        return np.asarray(x)

    def replicas():
        """Return (how many replicas take this step together, the number of this one)."""
        context = tf.distribute.get_replica_context()
        count = context.num_replicas_in_sync
        return count, context.replica_id_in_sync_group if count > 1 else 0

    def of_batch_size(x, size):
        """Return `x`; fail in the step whose batch has another size."""
        return tf.ensure_shape(x, (size, *x.shape[1:]))

    def has_gpu():
        """Return whether the backend sees a GPU."""
        return bool(tf.config.list_physical_devices("GPU"))

    # TensorFlow rewrites every function that it compiles: up to a quarter of the wait before the first steps of a training, too
    # long for the few steps of a smoke test (benchmarks/graph_optimiser.py).
    if os.environ.get("GAN_COURSE_PROFILE") == "smoke":
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

else:
    import torch

    class Tape:
        """A tape as TensorFlow's, on PyTorch's own record (which is always on)."""

        depth = 0  # of blocks that are open: a gradient taken inside one is part of a loss

        def __enter__(self):
            Tape.depth += 1
            return self

        def __exit__(self, *error):
            Tape.depth -= 1

        def watch(self, x):
            x.requires_grad_()

        def gradient(self, target, sources, output_gradients=None):
            several = isinstance(sources, (list, tuple))
            tensors = [s.value if isinstance(s, keras.Variable) else s for s in (sources if several else [sources])]
            found = torch.autograd.grad(
                target, tensors, output_gradients, retain_graph=True, create_graph=Tape.depth > 0, allow_unused=True
            )
            return list(found) if several else found[0]

    def compiled(function):
        """Return the function as it is: PyTorch runs each operation at once."""
        return function

    def no_gradient():
        """Return a context in which nothing is recorded for gradients."""
        return torch.no_grad()

    def bfloat16(on=True):
        """Return a context in which nothing changes (TensorFlow only)."""
        return nullcontext()

    def to_numpy(x):
        """Return a tensor's or a variable's numbers."""
        return (x.value if isinstance(x, keras.Variable) else x).detach().cpu().numpy()

    def replicas():
        """Return (1, 0): under PyTorch one device trains."""
        return 1, 0

    def of_batch_size(x, size):
        """Return `x`; raise `CourseError` where its batch has another size."""
        if len(x) != size:
            raise CourseError(f"A batch has {len(x)} pictures, and this stage of the schedule wants {size}.")
        return x

    def has_gpu():
        """Return whether the backend sees a GPU (NVIDIA's, AMD's or Apple's)."""
        return torch.cuda.is_available() or torch.backends.mps.is_available()
