"""Tests and notebooks run in the smoke profile on the cartoon faces, whatever the shell has set."""

import gc
import os

os.environ["GAN_COURSE_PROFILE"] = "smoke"
os.environ.pop("GAN_COURSE_FACES", None)


def pytest_collection_finish():
    """The modules that are imported now stay to the end: Python need not look through all of TensorFlow for garbage."""
    gc.freeze()
