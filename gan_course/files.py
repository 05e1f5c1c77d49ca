"""Writing files so that nobody ever sees half of one."""

import os
import re
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path):
    """Give the block a name beside `path` to write to; it becomes `path` at the block's end, in one move.

    Where the block fails, `path` stays as it was and nothing is left behind; an OSError (a full disk) then names
    `path`. The folder is made if it is missing; the name keeps its endings, by which Keras, Pillow and others tell
    the format.
    """
    path = Path(path)
    stem, dot, endings = path.name.partition(".")
    partial = path.with_name(f".{stem}.{os.getpid()}{dot}{endings}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        ours = {error.filename, error.filename2} & {str(partial), partial} or error.filename is None
        if error.errno is not None and ours:
            error.filename, error.filename2 = str(path), None
        raise


def clear_partials(folder):
    """Remove what killed processes have left half written in `folder`; only where no other process writes there."""
    for path in Path(folder).glob("*"):
        if re.fullmatch(r"\.[^.]+\.\d+(\..*)?|.*\.partial", path.name):
            path.unlink()
