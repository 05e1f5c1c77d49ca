"""Where files live, and how much work a lesson does (its profile).

Environment variables, all optional:

- `GAN_COURSE_PROFILE`: `smoke`, `laptop` or `gpu`. Default: `gpu` if the backend sees one, else `laptop`.
- `GAN_COURSE_FACES`: a CelebA folder or zip that every lesson reads. Default: the cartoon faces.
- `GAN_COURSE_STEPS`: at most so many steps for each training of a lesson (`tools/lessons.py --steps` sets it).
- `GAN_COURSE_DATA`: where faces are rendered and downloads are kept. Default: `data/` of the repository.
"""

import os
from pathlib import Path

from gan_course.errors import CourseError

PROFILES = ("smoke", "laptop", "gpu")
ROOT = Path(__file__).resolve().parent.parent


def profile():
    """Return the name of the profile: `smoke` (tests), `laptop` (2 cores) or `gpu` (a Colab T4)."""
    name = os.environ.get("GAN_COURSE_PROFILE")
    if name is None:
        from gan_course import backend  # slow to import, so only when it is asked

        return "gpu" if backend.has_gpu() else "laptop"
    if name not in PROFILES:
        raise CourseError(f"GAN_COURSE_PROFILE is '{name}'; set it to one of {', '.join(PROFILES)}.")
    return name


def choose(**by_profile):
    """Return the value for this profile: `choose(smoke=2, laptop=1500, gpu=20000)`."""
    return by_profile[profile()]


def training_steps(**by_profile):
    """Return how many steps (or epochs, or pictures of a schedule) a lesson trains in this profile.

    `choose`, but `GAN_COURSE_STEPS` may lower it: with 2 steps a lesson shows in minutes whether its sizes fit.
    """
    wanted, most = choose(**by_profile), os.environ.get("GAN_COURSE_STEPS", "")
    if most and not most.isdecimal():
        raise CourseError(f"GAN_COURSE_STEPS is '{most}'; give a whole number, or unset it.")
    return min(wanted, int(most)) if most else wanted


def expand(path):
    """Return `path` as a `Path`, with `~` replaced by the home folder: shells do not do it in quotes or after `=`."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise CourseError(f"'{path}' names a home folder that does not exist; give the whole path.") from error


def data_folder():
    """Return the folder for rendered, downloaded and cached files (git-ignored)."""
    return expand(os.environ.get("GAN_COURSE_DATA") or ROOT / "data")


def faces_folder():
    """Return the folder (or zip) of faces that the lessons read: `GAN_COURSE_FACES` or the cartoons."""
    chosen = os.environ.get("GAN_COURSE_FACES")
    if chosen:
        # A notebook runs in notebooks/, but the variable is set from the repository's folder.
        for path in (expand(chosen), ROOT / chosen):
            if path.exists():
                return path
        raise CourseError(f"GAN_COURSE_FACES is '{chosen}', which does not exist; give a CelebA folder or zip.")
    return data_folder() / ("toon-smoke" if os.environ.get("GAN_COURSE_PROFILE") == "smoke" else "toon")
