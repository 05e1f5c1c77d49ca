"""Import TensorFlow without the notes that its C++ part prints at start.

Import this before Keras or TensorFlow. Real trouble still shows: a failed import raises, and Python's warnings
are printed as ever.
"""

import os
import sys

# 3: also without the graph optimiser's harmless "remapper failed". What matters is raised as an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if "tensorflow" not in sys.modules and os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    # The notes come before TensorFlow reads its log level, straight to file descriptor 2.
    sys.stderr.flush()
    kept = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        import tensorflow
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)
    # A lesson builds many small networks, each with a step of its own; TensorFlow would warn of "retracing".
    tensorflow.get_logger().setLevel("ERROR")
