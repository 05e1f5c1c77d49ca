"""The engine of the exercises: an exercise is data, and `Exercise.check` says what an answer is not yet.

An answer may come as numbers, lists, tuples, maps, NumPy arrays or tensors. A *cause* is named only where its wrong
variant gives the student's own results on at least two inputs. Else the sentence shows an input, what the student's
function returns for it, and what is right.
"""

import copy
import inspect
import re
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gan_course.backend import ops, to_numpy

LIBRARIES = ("keras", "numpy", "scipy", "sklearn", "tensorflow", "torch")


class NotYet(AssertionError):
    """The answer is not right yet; the text says what is wrong."""

    def _render_traceback_(self):  # IPython calls this: a student needs the sentence, not our stack
        return [f"Not yet: {self}"]


class Failure(str):
    """Stands for an answer that is no numbers; the text says what happened: 'fails for ...', 'returns nothing ...'."""


NOTHING = Failure("returns nothing; end it with `return ...`.")


def expect(condition, hint):
    """Raise `NotYet(hint)` unless `condition` holds."""
    if not condition:
        raise NotYet(hint)


def passed(what):
    """Print the one line that a student wants to see."""
    print(f"Right: {what}")


def not_written(name):
    """Return the one-line error of an exercise that has not been begun."""
    error = NotImplementedError(f"Not written yet: {name}")
    error._render_traceback_ = lambda: [str(error)]
    return error


def yours_or_ours(check, yours, ours):
    """Check the student's function `yours` and return it if it is right; else say why not, and return `ours`.

    So a lesson goes on with the student's own code, and never stops where an exercise is not solved. Two functions that
    `check` takes together come as two tuples.
    """
    together = isinstance(yours, tuple)
    try:
        check(*yours) if together else check(yours)
    except (NotYet, NotImplementedError) as error:
        said = error._render_traceback_()[0].rstrip(".") if hasattr(error, "_render_traceback_") else str(error)
        print(f"{said}. Until then the lesson goes on with the package's {'functions' if together else 'function'}.")
        return ours
    return yours


def array(value):
    """Return `value` (tensor, list, map, number ...) as an array."""
    if isinstance(value, np.ndarray | float | int):  # first: to ask TensorFlow takes longer
        return np.asarray(value)
    if ops.is_tensor(value):
        return to_numpy(value)
    if isinstance(value, Iterable) and not hasattr(value, "__array__") and not isinstance(value, str | dict | set):
        value = [array(x) for x in value]
    return np.asarray(value)


def parts(answer, names=(), words=False):
    """Return the answer as a tuple of arrays, one for each name, or a `Failure`."""
    if answer is None:
        return NOTHING
    if len(names) > 1:
        wanted = f"must return {len(names)} values ({', '.join(names)})"
        if isinstance(answer, str | dict | set) or not np.iterable(answer):
            return Failure(f"{wanted}, not one {type(answer).__name__}.")
        answer = list(answer)
        if len(answer) != len(names):
            return Failure(f"{wanted}, and returns {len(answer)}.")
    else:
        answer = [answer]
    try:
        answer = tuple(map(array, answer))
    except ValueError as error:
        if "inhomogeneous" not in str(error):  # a map that fails only now
            raise
        return Failure("returns lists of different lengths; they do not make an array.")
    for x in answer:
        if np.iscomplexobj(x):
            return Failure("returns complex numbers, and the right answer is real.")
        if x.dtype.kind not in ("U" if words else "biuf"):
            kind = ("a list of " if x.ndim else "") + type(np.asarray(next(iter(x.flat), 0)).item()).__name__
            kind = kind if x.size else "an empty list"
            return Failure(f"must return {'words' if words else 'numbers'}, not {kind}.")
    return answer


def described(arguments):
    """Return {name: value} as words: small values as they are, large ones as their shape."""
    words = []
    for name, x in arguments.items():
        if hasattr(x, "shape"):
            x = array(x)
            shown = np.round(x.astype("float64"), 4) if x.dtype.kind == "f" else x
            words.append(f"{name} = {shown.tolist()}" if x.size <= 8 else f"{name} of shape {x.shape}")
        elif isinstance(x, float):
            words.append(f"{name} = {x:.4g}")
        elif not callable(x):
            words.append(f"{name} = {x!r}" if len(repr(x)) < 60 else f"a {type(x).__name__} of {len(x)} {name}")
    return ", ".join(words)


def _kept(before, after):
    if hasattr(before, "shape"):
        before, after = array(before), array(after)
        return before.dtype == after.dtype and np.array_equal(before, after)
    return before == after


def run(name, function, arguments, names=(), words=False, what=None):
    """Return the `parts` of what `function` gives for copies of `arguments` ({name: value}), or a `Failure`.

    Raises `NotYet` where the function changes an argument, and the one-line error where it is not written yet.
    """
    given = copy.deepcopy(arguments)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = parts(function(*given.values()), names, words)
    except NotYet:
        raise
    except Exception as error:
        kind, said = type(error).__name__, str(error).strip()
        if said.startswith("in user code:"):  # tf.function: what Python said is in the last line
            said = said.splitlines()[-1].strip().removeprefix(f"{kind}:").strip()
        last = traceback.extract_tb(error.__traceback__)[-1].filename.replace("\\", "/")
        if kind == "NotImplementedError" and "symbolic" not in said and not any(f"/{x}/" in last for x in LIBRARIES):
            raise not_written(name) from None
        # What was wrong comes after Keras's first line, in bold.
        said = re.sub(r"^Exception encountered when calling .*\s+|\x1b\[\d*m", "", said)
        said = re.sub(r"\{\{.*?\}\} ?| ?\[Op:.*", "", said.split("\n")[0])[:300]
        answer = Failure(f"fails for {what or described(arguments)}: {kind}: {said}".rstrip(": .") + ".")
    for key, before in arguments.items():
        expect(_kept(before, given[key]), f"{name} changes its argument {key}. Work on a copy, or make a new array.")
    return answer


def same(answer, other, tolerance):
    """Whether two outcomes (`parts` or `Failure`) are the same."""
    if isinstance(answer, Failure) or isinstance(other, Failure):
        return answer == other
    return all(_close(a, b, tolerance) for a, b in zip(answer, other, strict=True))


def _size(x):
    return np.abs(x[np.isfinite(x)]).max(initial=0)


def _close(a, b, tolerance, size=None):
    if a.shape != b.shape or "U" in (a.dtype.kind, b.dtype.kind):
        return np.array_equal(a, b)
    size = _size(b) if size is None else size
    tolerance = 1e-12 if b.dtype.kind in "iu" else tolerance
    return np.allclose(a, b, rtol=tolerance, atol=tolerance * size + 1e-9, equal_nan=True)


def difference(answer, right, tolerance, names=()):
    """Say where two unequal `parts` differ, with enough digits to see it."""
    which = [f" for '{name}'" for name in names] or [""]
    for a, b, where in zip(answer, right, which, strict=True):
        if a.shape != b.shape:
            return f"you return the shape {a.shape}{where}; it should be {b.shape}."
    where = ""
    if any(x.ndim for x in right):  # only the first wrong array
        answer, right, where = next(
            ((a,), (b,), where) for a, b, where in zip(answer, right, which, strict=True) if not _close(a, b, tolerance)
        )
    if sum(x.size for x in right) > 6:  # only its first wrong number
        (a,), (b,) = answer, right
        place = next(i for i in np.ndindex(a.shape) if not _close(a[i], b[i], tolerance, _size(b)))
        answer, right, where = (a[place],), (b[place],), f" at the place {list(place)}{where}"
    for digits in range(4, 18):
        got, wanted = (_text(x, digits) for x in (answer, right))
        if got != wanted:
            break
    return f"you return {got}{where}; it should be {wanted}."


def _text(values, digits):
    flat = [x for value in values for x in np.ravel(value).tolist()]
    words = [f"{x:.{digits}g}" if isinstance(x, float) else repr(x) for x in flat]
    return words[0] if len(words) == 1 else f"({', '.join(words)})"


@dataclass(frozen=True)
class Exercise:
    """One function for a student to write.

    right: the right answer; its name (without _) and its arguments' names are those of the notebook.
    cases: tuples of arguments. edges: (rule, arguments): a case that needs a rule of its own, which the student hears.
    mistakes: (hint, wrong answer, another way to the same mistake ...).
    praise: what a student hears who is right. rule: what is added where no cause is known.
    names: of the values, where it returns several. dtypes: a NumPy type for each value, where the text asks for one.
    tolerance: relative to each number and to the largest one. tensors: arrays are given as the backend's tensors.
    loose: one number may come in an array. words: it returns words, not numbers.
    explain: (arguments, parts) -> what is wrong, in place of the right answer, which the student should not read.
    """

    right: Callable
    cases: list
    mistakes: list
    praise: str = ""
    edges: list = ()
    rule: str = ""
    names: tuple = ()
    dtypes: tuple = ()
    tolerance: float = 1e-4
    tensors: bool = False
    loose: bool = False
    words: bool = False
    explain: Callable | None = None

    @property
    def name(self):
        return self.right.__name__.lstrip("_")

    def check(self, function):
        """Raise `NotYet` with what is wrong, or print the praise."""
        self.judge(function)
        passed(self.praise)

    def judge(self, function):
        """Raise `NotYet` with what is wrong."""
        rules, cases = self._all
        rights = self._rights
        answers = [self.outcome(function, case, self.tensors) for case in cases]
        bad = [i for i, pair in enumerate(zip(answers, rights, strict=True)) if not self._good(*pair)]
        if not bad:
            return
        hint = self._cause(answers, rights, cases)
        case, answer, right, rule = (x[bad[0]] for x in (cases, answers, rights, rules))
        if answer == NOTHING and any(x != NOTHING for x in answers):  # it does return something, but not always
            where = described(self._arguments(case))
            answer = Failure(f"returns nothing for {where}; it must return a result for every input.")
            rule = rule or self.rule
        if isinstance(answer, Failure):
            raise NotYet(" ".join(filter(None, (f"{self.name} {answer}", hint or rule))))
        if not hint and self.explain:
            hint = self.explain(*case, answer)
        expect(not hint, f"{self.name}: {hint}")
        for x, dtype in zip(answer, self.dtypes, strict=False):
            if same(answer, right, self.tolerance) and dtype and not np.issubdtype(x.dtype, dtype):
                raise NotYet(f"{self.name}: the numbers are right, but their type is {x.dtype}, not {dtype.__name__}.")
        said = difference(answer, right, self.tolerance, self.names)
        raise NotYet(f"{self.name}: for {described(self._arguments(case))} {said} {rule or self.rule}".rstrip())

    @cached_property
    def _all(self):
        return tuple(zip(*[("", case) for case in self.cases], *self.edges, strict=True))

    @cached_property
    def _rights(self):
        return [self.outcome(self.right, case) for case in self._all[1]]

    def outcome(self, function, case, tensors=False):
        """Return the `parts` that `function` gives for one case, or a `Failure`."""
        if tensors:
            case = [ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x for x in case]
        answer = run(self.name, function, self._arguments(case), self.names, self.words)
        if self.loose and not isinstance(answer, Failure):
            answer = tuple(x.reshape(()) if x.size == 1 else x for x in answer)
        return answer

    def _arguments(self, case):
        return dict(zip(self._names, case, strict=False))

    @cached_property
    def _names(self):
        return tuple(inspect.signature(self.right).parameters)

    def _good(self, answer, right):
        types = zip(answer, self.dtypes, strict=False)
        return same(answer, right, self.tolerance) and all(not t or np.issubdtype(x.dtype, t) for x, t in types)

    def _cause(self, answers, rights, cases):
        """Return the hint of the first mistake that gives the student's results, wrong ones for two inputs or more."""
        for hint, *wrongs in self.mistakes:
            for wrong in wrongs:
                found = 0
                for answer, right, case in zip(answers, rights, cases, strict=True):
                    other = self.outcome(wrong, case)
                    firm = self.words or isinstance(answer, Failure) or all(np.isfinite(x).all() for x in answer)
                    if same(answer, other, self.tolerance):
                        found += firm and not same(other, right, self.tolerance)
                    elif firm and not isinstance(answer, Failure):
                        break
                else:
                    if found >= 2:
                        return hint
        return ""
