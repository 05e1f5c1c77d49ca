"""One progress bar for every long piece of work."""

from tqdm.auto import tqdm


def progress(iterable=None, *, total=None, desc="", unit="it"):
    """Wrap `iterable` in a bar: a widget in a notebook, a line in a terminal, silent elsewhere.

    `disable=None` is tqdm's own rule for "quiet when the output is no terminal".
    The bar vanishes when done, so that stored notebooks stay clean.
    """
    return tqdm(iterable, total=total, desc=desc, unit=unit, leave=False, disable=None)
