"""Tests and notebooks run in the smoke profile on the cartoon faces, whatever the shell has set."""

import gc
import os

os.environ["GAN_COURSE_PROFILE"] = "smoke"
os.environ.pop("GAN_COURSE_FACES", None)

# Hundreds of endless datasets are made here. To collect the garbage of many of them at once stalls a test for 20 seconds;
# so it is collected seldom.
gc.set_threshold(200_000, 10, 10)
