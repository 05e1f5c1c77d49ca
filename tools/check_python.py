"""Stop with one sentence where TensorFlow has no wheel for this Python. Runs on any Python, even an old one."""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        "GAN Course needs Python 3.11, 3.12 or 3.13 and this is %d.%d: install one of them and give its name, "
        "as in 'make lab PYTHON=python3.12'." % sys.version_info[:2]
    )
