"""Tests and notebooks run in the smoke profile on the cartoon faces, whatever the shell has set."""

import os

os.environ["GAN_COURSE_PROFILE"] = "smoke"
os.environ.pop("GAN_COURSE_FACES", None)
