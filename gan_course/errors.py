"""The one exception that stands for a user's mistake, and a check that raises it."""

from numbers import Real


class CourseError(Exception):
    """A mistake that the user can mend.

    Its text is one sentence that names the file or value and the remedy. The command line
    prints it without a traceback and exits with status 2.
    """


class CourseWarning(UserWarning):
    """Something was skipped or repaired, and the work goes on."""


def whole_number(name, value, low, high):
    """Return `value` as an int; raise `CourseError` unless it is a whole number from `low` to `high`."""
    if not isinstance(value, Real) or not low <= value <= high or value != int(value):
        raise CourseError(f"{name} is {value!r}; give a whole number from {low} to {high}.")
    return int(value)
