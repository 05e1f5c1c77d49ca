"""Files of a package of npm, the registry of JavaScript: fetched once, checked, and kept.

    folder = files(ONNX_RUNTIME)     # its files lie there, each with the sha256 that stands below

The web page (`gan_course.widgets.page`) needs the runtime; its 14 MB are too many for the course's repository. The course
as a site (`tools/site`) and as slides (`tools/slides.py`) needs KaTeX, which draws formulas; the slides need reveal.js, too.
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
KATEX = Package(  # MIT, https://katex.org; the course as a site (tools/site) draws its formulas with it
    "katex", "0.19.1", 1_499_956,
    {
        "LICENSE": "766ccc1f306c885aa45542a9846bbd0a505b27a0374f146778171c2254ce18e3",
        "dist/katex.min.css": "00e0b094171b07f58422075f469b4feac2b2f7bce1aeec943c08da4d697f4dcf",
        "dist/katex.min.js": "fa140498b8cfc8302cbe5e7cb1bdbc1f952bc38b3fa258ede09e73edbf9a74bc",
        "dist/fonts/KaTeX_AMS-Regular.woff2": "0cdd387c9590a1a9f9794560022dbb59654a7d86f187aa0c81495ad42d3a7308",
        "dist/fonts/KaTeX_Caligraphic-Bold.woff2": "de7701e42cf1f4cf0b766c03fb27977207eee2f4fd5d76fa82188406da43ea4c",
        "dist/fonts/KaTeX_Caligraphic-Regular.woff2": "5d53e70ad607c2352162dec9e0923fb54ecdafaccbf604cd8dcf7d00facb989b",
        "dist/fonts/KaTeX_Fraktur-Bold.woff2": "74444efd593c005e3f4573b44524704c0af0a937fe911cca9e94068d0d140d3f",
        "dist/fonts/KaTeX_Fraktur-Regular.woff2": "51814d270d06ff0255dba0799994fa4d8c84d11f09951d47595f4abb1f3602dc",
        "dist/fonts/KaTeX_Main-Bold.woff2": "0f60d1b897938ec918c8ce073092411baf9438f6739465693ff18b0f9d20b021",
        "dist/fonts/KaTeX_Main-BoldItalic.woff2": "99cd42a3c072d918f2f44984a807cf7aa16e13545fd0875fc07c6c65f99e715b",
        "dist/fonts/KaTeX_Main-Italic.woff2": "97479ca6cce906abc961ecac96faa5f9ca2e61b8e7670d475826bcdee9a7c267",
        "dist/fonts/KaTeX_Main-Regular.woff2": "c2342cd8b869e01752a9321dc17213fc40d4d04c79688c1d43f2cf316abd7866",
        "dist/fonts/KaTeX_Math-BoldItalic.woff2": "dc47344dbb6cb5b655c8460d561f4df5f501b90c804ad3c6cec65fe322351ab1",
        "dist/fonts/KaTeX_Math-Italic.woff2": "7af58c5ec8f132a2ddde9027c6d7814decce4d3b822a11192a42a20e2e973264",
        "dist/fonts/KaTeX_SansSerif-Bold.woff2": "e99ae51144bf1232efcc1bfe5add36262c6866b0faab24fa75740e1b98577a62",
        "dist/fonts/KaTeX_SansSerif-Italic.woff2": "00b26ac825e2095056396e0553b8ac26d3f8ad158c3826e28b4c45b385c4714a",
        "dist/fonts/KaTeX_SansSerif-Regular.woff2": "68e8c73ef42afd3ccec58bf0fba302cce448938e7fc020a5e31f8a952eee1342",
        "dist/fonts/KaTeX_Script-Regular.woff2": "036d4e95149b69ff9bcc0cd55771efeb25ffa3947293e69acd78d5ac328c684b",
        "dist/fonts/KaTeX_Size1-Regular.woff2": "6b47c40166b6dbe21a5dfca7718413f2147fd2399be1ba605d8ad39cedf25dfe",
        "dist/fonts/KaTeX_Size2-Regular.woff2": "d04c54219f9eaec6d4d4fd42dfb28785975a4794d6b2fc71e566b9cd6db842dd",
        "dist/fonts/KaTeX_Size3-Regular.woff2": "73d591271b1604960cb10bb90fee021670af7297017e0e98480b332d11f51995",
        "dist/fonts/KaTeX_Size4-Regular.woff2": "a4af7d414440a1c1790825cfb700cf9cf43b0f2c4b04f0ebc523011ad9853ec0",
        "dist/fonts/KaTeX_Typewriter-Regular.woff2": "71d517d67827787cfabdf186914cc3358eda539e37931941f2b2fd4a21f68c0b",
    },
)  # fmt: skip
REVEAL = Package(  # MIT, Hakim El Hattab and others, https://revealjs.com; slides of the lessons (tools/slides.py)
    "reveal.js", "5.2.1", 2_377_747,
    {
        "LICENSE": "34014800f4126ac2525e224166f099f26628612e95c41f76d70841b63138c989",
        "dist/reveal.css": "68f915a11ebf7203c0446576b7e952ff61c5dd02134a8a226ffaf62ed42136d2",
        "dist/reveal.js": "46538b52db48724192f59bf46f5e851a18e302777c46f4a34c32709d010d6a29",
    },
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
