"""Files of a package of npm, the registry of JavaScript: fetched once, checked, and kept.

    folder = files(ONNX_RUNTIME)     # its files lie there, each with the sha256 that stands below

The web page (`gan_course.widgets.page`) needs the runtime; its 14 MB are too many for the course's repository.
"""

import hashlib
import os
import tarfile
from dataclasses import dataclass

from gan_course import settings
from gan_course.data.fetch import download
from gan_course.errors import CourseError
from gan_course.files import atomic_write


@dataclass(frozen=True)
class Package:
    """One version of a package: the size of its archive in bytes, and {path in it: sha256} of the files that are wanted."""

    name: str
    version: str
    size: int
    sha256: dict

    @property
    def archive(self):
        return f"{self.name}-{self.version}.tgz"


ONNX_RUNTIME = Package(  # MIT, Microsoft; https://www.npmjs.com/package/onnxruntime-web
    "onnxruntime-web", "1.30.0", 33_106_585,
    {
        "dist/ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
        "dist/ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    },
)  # fmt: skip
AXE = Package(  # MPL 2.0, Deque; tests of the page use it, and it is not part of the page
    "axe-core", "4.14.1", 708_405,
    {"axe.min.js": "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"},
)  # fmt: skip


def files(package):
    """Return the folder with the package's wanted files, below `data/cache/npm`; download them where they are missing.

    A file whose sha256 is another is fetched again. Raises `CourseError` where the archive does not come, or has other files.
    The environment variable `NPM_CONFIG_REGISTRY` names another registry, as for npm itself.
    """
    folder = settings.data_folder() / "cache" / "npm" / f"{package.name}-{package.version}"
    if all(_sha256(folder / path) == known for path, known in package.sha256.items()):
        return folder
    archive = folder.with_name(package.archive)
    if not archive.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
        download(f"{registry}/{package.name}/-/{package.archive}", archive, "npm", size=package.size)
        os.replace(archive.with_name(archive.name + ".part"), archive)
    try:
        with tarfile.open(archive) as opened:
            contents = {path: opened.extractfile(f"package/{path}").read() for path in package.sha256}
        for path, known in package.sha256.items():
            if hashlib.sha256(contents[path]).hexdigest() != known:
                raise ValueError(f"its {path} is another file")
    except (tarfile.TarError, KeyError, ValueError, EOFError, OSError) as error:
        archive.unlink()
        raise CourseError(f"'{archive}' was damaged ({error}) and is deleted; run the same command again.") from error
    for path, content in contents.items():
        with atomic_write(folder / path) as partial:
            partial.write_bytes(content)
    archive.unlink()
    return folder


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
