"""Every system of the course, by name. This is the only file that names them all.

A system is its configuration (`gan_course.training.base.Config`): a frozen dataclass, in the file of its training, with
the hyperparameters and the methods that build, feed and sample it. The command line's flags, runs, shipped weights and
measurements follow from it.
"""

from gan_course.errors import CourseError
from gan_course.training.classifier import AttributesConfig
from gan_course.training.encoder import EncoderConfig
from gan_course.training.gan import DCGANConfig
from gan_course.training.growing import ProGANConfig
from gan_course.training.l2m import L2MConfig
from gan_course.training.stylegan import StyleGANConfig
from gan_course.training.text import TextConfig

CONFIGS = (DCGANConfig, ProGANConfig, StyleGANConfig, TextConfig, L2MConfig, EncoderConfig, AttributesConfig)
SYSTEMS = {config.model: config for config in CONFIGS}


def system(name):
    """Return the configuration class called `name`; raise `CourseError` for an unknown one."""
    if name not in SYSTEMS:
        raise CourseError(f"There is no model called '{name}'; choose one of {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]


def trained_by_command():
    """Return the names of the systems that `python -m gan_course train` trains."""
    return [name for name in SYSTEMS if name != AttributesConfig.model]


def recipe(model="dcgan", **chosen):
    """Return the configuration that the course found best for a model and the faces in `data`, and what was chosen."""
    return system(model).recipe(**chosen)


def build(config):
    """Return a compiled `Trainer` for a configuration; the same one gives the same first weights."""
    return config.build()
