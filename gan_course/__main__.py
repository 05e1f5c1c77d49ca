"""The command line: python -m gan_course data|train|sample."""

import argparse
import sys
import warnings
from pathlib import Path

from gan_course import settings
from gan_course.errors import CourseError, CourseWarning


def toon(options):
    from gan_course.data import toon

    folder = toon.render(options.out or settings.data_folder() / "toon", count=options.count, seed=options.seed)
    print(f"{options.count} faces are in {folder}.")


def celeba(options):
    from gan_course.data import fetch

    folder = options.out or settings.data_folder() / "celeba"
    faces = fetch.fetch(options.source, folder, accept=options.yes or None)
    print("\n".join(faces.notes))
    print(
        f"{len(faces)} faces are in {folder}. Train with --data {folder}; for the lessons, set GAN_COURSE_FACES to it."
    )


def train(options):
    from gan_course.training import run

    names = ("model", "data", "resolution", "batch_size", "seed", "latent_dim", "width", "max_width")
    names += ("rate", "loss", "r1_gamma", "r1_interval", "gp_weight", "drift", "g_every", "ema_decay", "epoch")
    chosen = {name: getattr(options, name) for name in names}
    gan = run.train(options.out, options.steps, options.minutes, options.tensorboard, **chosen)
    print(f"{options.out}: {int(gan.step)} steps. Look at sheets/ and training.gif there.")


def sample(options):
    from gan_course import pretrained, show
    from gan_course.training import run
    from gan_course.training.callbacks import fixed_latent

    if options.count < 1:
        raise CourseError(f"--count is {options.count}; give 1 or more.")
    if options.seed < 0:
        raise CourseError(f"--seed is {options.seed}; give 0 or more.")
    if options.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise CourseError(f"--out is '{options.out}'; give a file that ends in .png or .jpg.")
    is_run = Path(options.name).is_dir()
    generator = run.load(options.name).ema_generator if is_run else pretrained.load(options.name)
    latent = fixed_latent(options.count, generator.input_shape[-1], options.seed)
    pictures = generator.predict(latent, batch_size=64, verbose=0)
    show.save(options.out, show.sheet(pictures))
    print(f"{options.count} faces are in {options.out}.")


def parser():
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="python -m gan_course", description="Faces, training and samples of GAN Course.")
    commands = top.add_subparsers(required=True, metavar="data|train|sample")
    defaults = argparse.ArgumentDefaultsHelpFormatter

    data = commands.add_parser("data", help="get faces to train on").add_subparsers(
        required=True, metavar="toon|celeba"
    )
    p = data.add_parser("toon", help="render labelled cartoon faces (about a minute)")
    p.add_argument("--count", type=int, default=12000, help="how many faces (default: 12000)")
    p.add_argument("--seed", type=int, default=0, help="another seed draws other faces (default: 0)")
    p.add_argument("--out", type=Path, help="the folder to write (default: data/toon)")
    p.set_defaults(run=toon)

    p = data.add_parser("celeba", help="fetch and verify CelebA, real faces (1.4 GB)")
    p.add_argument("--from", dest="source", required=True, metavar="kaggle|drive|PATH", help="where CelebA comes from")
    p.add_argument("--out", type=Path, help="the folder to write (default: data/celeba)")
    p.add_argument("--yes", action="store_true", help="I have read CelebA's licence and agree; do not ask")
    p.set_defaults(run=celeba)

    p = commands.add_parser("train", help="train a GAN, or go on with a run that was stopped")
    p.add_argument("model", choices=["dcgan"], help="which network")
    p.add_argument("--data", required=True, metavar="FOLDER", help="faces: a CelebA folder or zip")
    p.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of the run; resumed if it holds one")
    length = p.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="train until so many steps in all")
    length.add_argument("--minutes", type=float, help="train until so many minutes in all (default: 10)")
    # No defaults here: what is not given comes from the run's settings.json, or from the recipe (`run.Settings`).
    p.add_argument("--resolution", type=int, help="height and width of a face in pixels (default: 64)")
    p.add_argument("--batch-size", type=int, help="pictures in one step")
    p.add_argument("--seed", type=int, help="first weights, latent vectors and order of the faces (default: 0)")
    p.add_argument("--latent-dim", type=int, help="numbers in a latent vector")
    p.add_argument("--width", type=int, help="channels at half the resolution; they double downwards")
    p.add_argument("--max-width", type=int, help="most channels of any layer")
    p.add_argument("--rate", type=float, help="Adam's learning rate, both players")
    p.add_argument("--loss", help="non_saturating, minimax, least_squares, hinge or wasserstein")
    p.add_argument("--r1-gamma", type=float, help="weight of the R1 penalty; 0 leaves it out")
    p.add_argument("--r1-interval", type=int, help="steps between two R1 penalties")
    p.add_argument("--gp-weight", type=float, help="weight of WGAN-GP's penalty, 10 in its paper; 0 leaves it out")
    p.add_argument("--drift", type=float, help="weight of the mean squared score of real faces (ProGAN: 0.001)")
    p.add_argument("--g-every", type=int, help="discriminator steps for one step of the generator")
    p.add_argument("--ema-decay", type=float, help="decay of the averaged weights")
    p.add_argument("--epoch", type=int, help="steps between two sheets, log rows and checkpoints")
    p.add_argument("--tensorboard", action="store_true", help="write RUN/tensorboard as well")
    p.set_defaults(run=train)

    p = commands.add_parser("sample", help="draw a sheet of faces", formatter_class=defaults)
    p.add_argument("name", metavar="RUN|NAME", help="folder of a run, or the name of weights that the course ships")
    p.add_argument("--count", type=int, default=36, help="how many faces")
    p.add_argument("--seed", type=int, default=0, help="another seed draws other faces")
    p.add_argument("--out", type=Path, default=Path("sheet.png"), help="the picture to write")
    p.set_defaults(run=sample)
    return top


def main(arguments=None):
    """Run one command; return the exit status: 0, 2 after a user's mistake, 130 after Ctrl-C."""
    options = parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _one_line(warnings.showwarning)
            options.run(options)
    except CourseError as error:
        return _failed(error)
    except OSError as error:  # no rights, a file in the place of a folder, a full disk
        return _failed(f"{error}; check the path, your rights and the free space.")
    except ModuleNotFoundError as error:
        if (error.name or "gan_course").startswith("gan_course"):
            raise
        return _failed(f"{error}; install what is missing with 'pip install -r requirements.txt'.")
    except KeyboardInterrupt:
        return _failed("stopped; give the same command to go on.", status=130)
    except Exception as error:
        if type(error).__name__ not in ("MemoryError", "ResourceExhaustedError"):
            raise
        return _failed("The memory is full; give a smaller --batch-size, --width or --resolution.")
    return 0


def _failed(sentence, status=2):
    print(f"gan_course: {sentence}", file=sys.stderr)
    return status


def _one_line(usual):
    def showwarning(message, category, *rest, **more):
        if issubclass(category, CourseWarning):
            print(f"gan_course: {message}", file=sys.stderr)
        else:
            usual(message, category, *rest, **more)

    return showwarning


if __name__ == "__main__":
    sys.exit(main())
