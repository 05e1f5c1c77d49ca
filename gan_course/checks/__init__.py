"""Self-checks of the exercises: one module per lesson, and what they share.

A check runs the student's answer on small inputs. When something is wrong it raises `NotYet` with a sentence that
says *what* is wrong (the shape, the sign, the forgotten mean ...) and where to look, never only that it is wrong.
"""

import numpy as np


class NotYet(AssertionError):
    """The answer is not right yet; the text says what is wrong."""

    def _render_traceback_(self):  # IPython calls this: a student needs the sentence, not our stack
        return [f"Not yet: {self}"]


def expect(condition, hint):
    """Raise `NotYet(hint)` unless `condition` holds."""
    if not condition:
        raise NotYet(hint)


def passed(what):
    """Print the one line that a student wants to see."""
    print(f"Right: {what}")


def numbers(answer, what):
    """Return `answer` as a float64 array; raise `NotYet` where it is nothing or no numbers."""
    expect(answer is not None, f"{what} returns nothing; did you forget 'return'?")
    try:
        return np.asarray(answer, "float64")
    except (TypeError, ValueError):
        expect(False, f"{what} must return numbers, not {type(answer).__name__}.")
