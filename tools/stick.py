"""Make a folder for a USB stick: all that a room without internet needs.

    python tools/stick.py /media/stick --platforms linux windows macos --python 3.12
    python tools/stick.py /media/stick --no-wheels       the course and the faces only
    python tools/stick.py /media/stick --no-solutions    the course without notebooks/solutions

The folder holds wheels/ (the packages), gan-course.zip (the course as it was last committed), faces.zip (the cartoon
faces) and README.txt (how to install from it). `uv` resolves the packages, because pip chooses them by the computer that
it runs on: a wheel that only Windows needs would be missing. Needs `pip install -e ".[teach]"`, Git and the internet.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

import readme

# {platform: (what uv calls it, the tags of wheels that run there)}
PLATFORMS = {
    "linux": ("x86_64-manylinux_2_28", ["manylinux2014_x86_64", *(f"manylinux_2_{n}_x86_64" for n in range(17, 29))]),
    "windows": ("x86_64-pc-windows-msvc", ["win_amd64"]),
    "macos": ("aarch64-apple-darwin", ["macosx_14_0_arm64"]),
}
README = """GAN Course: install without internet
====================================

You need Python {python}, 64 bit. This stick has packages for that version only, and for: {platforms}.

1. Copy this folder to your computer, and open a terminal (on Windows: PowerShell) in the copy.

2. Linux, macOS:

    python{python} -m zipfile -e {course}.zip . && python{python} -m zipfile -e faces.zip {course}/data
    python{python} -m venv {course}/.venv
    {course}/.venv/bin/pip install --no-index --find-links wheels -e "./{course}[lab]"

   Windows:

    py -{python} -m zipfile -e {course}.zip . ; py -{python} -m zipfile -e faces.zip {course}/data
    py -{python} -m venv {course}\\.venv
    {course}\\.venv\\Scripts\\pip install --no-index --find-links wheels -e "./{course}[lab]"

3. Open the course:

    cd {course}
    .venv/bin/jupyter lab notebooks/00_start_here.ipynb                (Linux, macOS)
    .venv\\Scripts\\jupyter lab notebooks\\00_start_here.ipynb            (Windows)

The lessons ask for nothing from the internet. Links to papers and the Colab buttons do.
"""


def requirements(extras):
    """Return what the course needs with these extras, and what builds it, as lines for pip."""
    text = tomllib.loads((readme.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    optional, lines = text["project"]["optional-dependencies"], [*text["build-system"]["requires"]]
    lines += text["project"]["dependencies"]
    for extra in extras:
        for line in optional[extra]:
            if line.startswith("gan-course["):
                lines += requirements(line[len("gan-course[") : -1].split(","))
            else:
                lines.append(line)
    return list(dict.fromkeys(lines))


def pinned(lines, platform, python):
    """Return the packages that the lines bring on that platform, each with its version."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.in"
        wanted.write_text("\n".join(lines), encoding="utf-8")
        command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:"]
        command += ["--python-platform", PLATFORMS[platform][0], "--python-version", python, str(wanted)]
        return run([sys.executable, "-m", *command]).split()


def wheels(out, lines, platforms, python):
    """Download into `out` the wheels of all that the lines bring on these platforms."""
    for platform in platforms:
        tags = [part for tag in PLATFORMS[platform][1] for part in ("--platform", tag)]
        command = ["pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(out)]
        command += ["--implementation", "cp", "--python-version", python, *tags, *pinned(lines, platform, python)]
        run([sys.executable, "-m", *command])
        print(f"wheels for {platform}: done")


def run(command):
    """Run a command and return what it printed; stop with its own words where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=readme.ROOT)
    if done.returncode:
        sys.exit(f"'{' '.join(command[:6])} ...' failed:\n{done.stderr.strip()}")
    return done.stdout


def course(out, solutions=True):
    """Write the course, as it was last committed, as a zip with one folder in it."""
    only = [] if solutions else [":(exclude)notebooks/solutions"]
    run(["git", "archive", "--format=zip", f"--prefix={readme.folder()}/", f"--output={out}", "HEAD", "--", ".", *only])


def faces(out, folder):
    """Write a folder of faces as a zip. Nothing is compressed: JPEGs get no smaller."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, f"toon/{path.relative_to(folder).as_posix()}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder, for example on a stick; it is made")
    parser.add_argument("--platforms", nargs="+", choices=PLATFORMS, default=list(PLATFORMS), help="default: all three")
    parser.add_argument("--python", default="3.12", choices=["3.11", "3.12", "3.13"], help="default: 3.12")
    parser.add_argument("--no-wheels", action="store_true", help="without the packages")
    parser.add_argument("--no-solutions", action="store_true", help="without the solutions of the exercises")
    parser.add_argument("--faces", type=Path, help="a folder that holds cartoon faces; default: draw them in data/toon")
    options = parser.parse_args(arguments)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)

    from gan_course.data import toon

    if options.faces and not (options.faces / toon.SETTINGS).is_file():
        parser.error(f"{options.faces} holds no cartoon faces of the course (it has no {toon.SETTINGS})")
    course(out / f"{readme.folder()}.zip", not options.no_solutions)
    faces(out / "faces.zip", options.faces or toon.ensure(readme.ROOT / "data" / "toon"))
    if not options.no_wheels:
        wheels(out / "wheels", requirements(["lab"]), options.platforms, options.python)
    names = ", ".join(options.platforms)
    text = README.format(python=options.python, platforms=names, course=readme.folder())
    (out / "README.txt").write_text(text, encoding="utf-8")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:,.0f} MB. README.txt there says how to install from it.")


if __name__ == "__main__":
    main()
