"""One progress bar for every long piece of work."""

from tqdm.auto import tqdm


def progress(iterable=None, *, total=None, desc="", unit="it", **options):
    """Wrap `iterable` in a bar: a widget in a notebook, a line in a terminal, silent elsewhere.

    `disable=None` is tqdm's own rule for "quiet when the output is no terminal".
    `options` are further ones of tqdm. Work that ends within half a second shows no bar. A longer bar vanishes when done.
    """
    return tqdm(iterable, total=total, desc=desc, unit=unit, leave=False, disable=None, delay=0.5, **options)
