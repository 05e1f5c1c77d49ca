"""The one exception that stands for a user's mistake."""


class CourseError(Exception):
    """A mistake that the user can mend.

    Its text is one sentence that names the file or value and the remedy. The command line
    prints it without a traceback and exits with status 2.
    """


class CourseWarning(UserWarning):
    """Something was skipped or repaired, and the work goes on."""
