"""The house: a row imports only rows above it, and its own package where that is a row of its own."""

import ast
from pathlib import Path

import gan_course

HOUSE = Path(gan_course.__file__).resolve().parent
# From above to below; names in one row do not import each other.
ROWS = [
    ["errors"],
    ["backend"],
    ["files", "progress", "settings"],
    ["layers", "losses", "show", "weights"],
    ["models", "data", "latent", "diagrams"],
    ["training"],
    ["systems"],
    ["runs"],
    ["pretrained"],
    ["editing"],
    ["metrics"],
    ["exercises", "widgets"],
    ["__main__"],
]
ROW = {name: number for number, row in enumerate(ROWS) for name in row}


def imports(path):
    """Yield (line, name) of each part of the package that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "gan_course":
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gan_course."):
            yield node.lineno, node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            yield from ((node.lineno, name[1]) for name in names if name[0] == "gan_course" and len(name) > 1)


def test_every_file_has_a_row():
    parts = {path.stem for path in HOUSE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} == set(ROW)


def test_a_row_imports_only_rows_above_it():
    wrong = []
    for path in HOUSE.rglob("*.py"):
        part = path.relative_to(HOUSE).parts[0].removesuffix(".py")
        for line, name in imports(path):
            if name in ROW and name != part and ROW[name] >= ROW[part]:
                wrong.append(f"{path.relative_to(HOUSE)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_only_the_backend_and_datasets_touch_tensorflow():
    """Besides them: a GAN in the plane, which is only for lessons."""
    allowed = {"backend.py", "data/pipeline.py", "data/points.py", "training/plane.py"}
    found = set()
    for path in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.split(".")[0] in ("tensorflow", "torch") for name in names):
                found.add(path.relative_to(HOUSE).as_posix())
    assert found <= allowed, found - allowed
