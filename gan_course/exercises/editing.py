"""Exercises about editing a face: domains, the edited style, right angles, what shall stay, and how edits are judged."""

# ruff: noqa: E501  (a mistake a line)
import numpy as np

from gan_course.exercises.engine import Exercise

_rng = np.random.default_rng(9)

# --- domains ------------------------------------------------------------------------------------------


def _to_domain(domain, attribute, value):
    bit = 2**attribute
    without = domain - bit if domain // bit % 2 else domain
    return without + bit * value


TO_DOMAIN = Exercise(
    _to_domain,
    cases=[
        (0, 0, 1), (0, 1, 1), (1, 1, 1), (3, 0, 0), (3, 1, 0), (2, 1, 1), (1, 1, 0), (5, 1, 1), (6, 2, 0), (12, 0, 1), (7, 1, 1),
    ],
    mistakes=[
        ("You add the attribute's number where the face has it already. Then nothing changes.", lambda d, a, v: d + 2**a if v else d - 2**a),
        ("Attribute 0 counts 1 and attribute 1 counts 2: it is 2**attribute, not 2 * attribute.", lambda d, a, v: d - (2 * a if d // 2**a % 2 else 0) + 2 * a * v),
        ("You change the attribute to the other value. It shall have the value `value`, which may be the one that it has.", lambda d, a, v: d ^ 2**a),
        ("You forget the other attributes: they stay as they are.", lambda d, a, v: 2**a * v),
        ("You only set attributes; with value 0 the attribute is taken away.", lambda d, a, v: d | 2**a),
        ("You only take attributes away; with value 1 the attribute comes.", lambda d, a, v: d & ~(2**a)),
        ("You have 0 and 1 of `value` the wrong way round.", lambda d, a, v: _to_domain(d, a, 1 - v)),
        ("The attributes are counted from 0: attribute b counts 2**b.", lambda d, a, v: _to_domain(d, a + 1, v), lambda d, a, v: _to_domain(d, max(a - 1, 0), v)),
    ],
    rule="Attribute b counts 2**b where the face has it, and 0 where it has not; all others stay.",
    praise="one attribute changes, the others stay.",
)  # fmt: skip

# --- the edited style -----------------------------------------------------------------------------------


def _edited_style(style, unrelated, moved, strength):
    return style + strength * (moved - (style - unrelated))


def _styles(n, d):
    return tuple(_rng.normal(size=(n, d)) for _ in range(3))


STYLE = Exercise(
    _edited_style,
    cases=[
        (np.array([[3.0, 1.0]]), np.array([[0.0, 1.0]]), np.array([[-2.0, 0.0]]), 0.0), (np.array([[3.0, 1.0]]), np.array([[0.0, 1.0]]), np.array([[-2.0, 0.0]]), 1.0),
        (*_styles(3, 2), 0.5), (*_styles(2, 4), 1.25), (*_styles(5, 3), 0.25), (*_styles(4, 8), 0.0), (*_styles(4, 8), 1.0),
    ],
    mistakes=[
        ("s_un is missing: with it you would come back to the whole style.", lambda s, u, m, a: s - u + a * (m - (s - u))),
        ("s_re is missing: strength 0 must give the whole style back, s_un + s_re.", lambda s, u, m, a: u + a * (m - (s - u))),
        ("s_un counts twice: s holds it already.", lambda s, u, m, a: u + _edited_style(s, u, m, a)),
        ("You move towards s_re' from s; the way goes from s_re = s - s_un to s_re'.", lambda s, u, m, a: s + a * (m - s)),
        ("You add s_re' and do not take s_re away.", lambda s, u, m, a: s + a * m),
        ("Your strength has no effect: it multiplies the way, (s_re' - s_re).", lambda s, u, m, a: u + m),
        ("Strength 0 must give the face's own style back, and 1 the edited one; yours has them the wrong way round.", lambda s, u, m, a: _edited_style(s, u, m, 1 - a)),
        ("The strength multiplies s_re' only; it multiplies the whole way, (s_re' - s_re).", lambda s, u, m, a: u + a * m, lambda s, u, m, a: s + a * m - (s - u)),
        ("The way goes from s_re to s_re', not back: s_re' - s_re.", lambda s, u, m, a: s - a * (m - (s - u))),
        ("You take s_un for s_re: s_re is what is left of s, s - s_un.", lambda s, u, m, a: s + a * (m - u)),
    ],
    rule="s + strength * (s_re' - s_re), with s_re = s - s_un.",
    praise="0 gives the face's own style, 1 its style in the other domain, and s_un never moves.",
)  # fmt: skip

# --- right angles ----------------------------------------------------------------------------------------


def _perpendicular(unrelated, related, power=2):
    dot = (unrelated * related).sum(axis=1)
    sizes = np.linalg.norm(unrelated, axis=1) * np.linalg.norm(related, axis=1)
    return np.mean((dot / sizes) ** power)


def _pairs(n, d, scale=1.0):
    return scale * _rng.normal(size=(n, d)), _rng.normal(size=(n, d))


PERPENDICULAR = Exercise(
    _perpendicular,
    cases=[
        (np.array([[1.0, 1.0]]), np.array([[1.0, -1.0]])), (np.array([[2.0, 0.0]]), np.array([[1.0, 1.0]])), _pairs(3, 2), _pairs(4, 5),
        _pairs(6, 3, 10.0), _pairs(2, 8, 0.2), _pairs(9, 4),
    ],
    mistakes=[
        ("This is the official code's loss. It is 0 only where no place is used by both; the angle asks for the *sum* of the products.", lambda u, r: np.mean(np.abs(u * r)), lambda u, r: np.mean(np.abs(u * r).sum(1))),
        ("You do not divide by the two lengths: short vectors would look perpendicular.", lambda u, r: np.mean((u * r).sum(1) ** 2), lambda u, r: np.mean((u * r).sum(1)), lambda u, r: np.mean((u * r).mean(1) ** 2)),
        ("Each row has lengths of its own: np.linalg.norm needs `axis=1`.", lambda u, r: np.mean(((u * r).sum(1) / np.linalg.norm(u) / np.linalg.norm(r)) ** 2)),
        ("Square the dot product of two rows, not each of its products.", lambda u, r: np.mean(((u * r) ** 2).sum(1) / (u**2).sum(1) / (r**2).sum(1))),
        ("The square is missing: an angle of 180 degrees has the cosine -1, and would make up for one of 0.", lambda u, r: _perpendicular(u, r, 1)),
        ("You take the size of the cosine; take its square.", lambda u, r: np.mean(np.abs((u * r).sum(1)) / np.linalg.norm(u, axis=1) / np.linalg.norm(r, axis=1))),
        ("You take the mean first and square then; square each cosine.", lambda u, r: _perpendicular(u, r, 1) ** 2),
        ("You divide by the squared lengths, but the dot product is not squared.", lambda u, r: np.mean((u * r).sum(1) / (u**2).sum(1) / (r**2).sum(1)), lambda u, r: np.mean(((u * r).sum(1) / (u**2).sum(1) / (r**2).sum(1)) ** 2)),
        ("Yours is 1 for a right angle; the loss is 0 there.", lambda u, r: 1 - _perpendicular(u, r)),
        ("You add up over the batch; take the mean.", lambda u, r: _perpendicular(u, r) * len(u)),
        ("You return one number for each pair; take their mean.", lambda u, r: ((u * r).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(r, axis=1)) ** 2),
        ("You compare the columns; a vector is a row.", lambda u, r: _perpendicular(u.T, r.T)),
    ],
    loose=True,
    rule="The mean over the rows of (u . r)^2 / (|u|^2 |r|^2).",
    praise="0 for right angles, 1 for parallel vectors, whatever their lengths.",
)  # fmt: skip

# --- what shall stay -------------------------------------------------------------------------------------


def _staying(x, fake, back, strength):
    own = strength == 0
    return np.mean(np.abs(back - x)), np.mean(np.abs(fake - x)[own])


def _faces(n, own):
    x, fake, back = (_rng.uniform(-1, 1, size=(n, 2, 2, 3)) for _ in range(3))
    return x, fake, back, np.where(np.arange(n) % own == 0, 0.0, 1.0)


STAYING = Exercise(
    _staying,
    cases=[_faces(4, 2), _faces(6, 3), _faces(8, 4), _faces(3, 3), _faces(5, 2), _faces(4, 1)],
    mistakes=[
        ("For the cycle compare the face that went there and *back* with the original.", lambda x, f, b, a: (np.mean(np.abs(f - x)), _staying(x, f, b, a)[1]), lambda x, f, b, a: (np.mean(np.abs(b - f)), _staying(x, f, b, a)[1])),
        ("'own' counts only the faces with strength 0; yours counts all.", lambda x, f, b, a: (_staying(x, f, b, a)[0], np.mean(np.abs(f - x)))),
        ("'own' counts the faces that were edited; it must count those with strength 0.", lambda x, f, b, a: (_staying(x, f, b, a)[0], np.mean(np.abs(f - x)[a != 0])), lambda x, f, b, a: (_staying(x, f, b, a)[0], np.mean(np.abs(f - x) * a[:, None, None, None]))),
        ("'own' takes every fourth face; take those whose strength is 0.", lambda x, f, b, a: (_staying(x, f, b, a)[0], np.mean(np.abs(f - x)[::4]))),
        ("'own' divides by all faces of the batch; take the mean over those with strength 0.", lambda x, f, b, a: (_staying(x, f, b, a)[0], np.mean(np.abs(f - x) * (a == 0)[:, None, None, None]))),
        ("You square the differences; take their size, np.abs.", lambda x, f, b, a: (np.mean((b - x) ** 2), np.mean(((f - x) ** 2)[a == 0]))),
        ("You do not take the size of the differences (np.abs), so plus and minus cancel out.", lambda x, f, b, a: (np.mean(b - x), np.mean((f - x)[a == 0]))),
        ("You add up; take means.", lambda x, f, b, a: (np.abs(b - x).sum(), np.abs(f - x)[a == 0].sum())),
        ("You have the two the wrong way round: cycle first.", lambda x, f, b, a: _staying(x, f, b, a)[::-1]),
        ("For 'own' compare `fake` with the original: with strength 0 nothing was to change.", lambda x, f, b, a: (_staying(x, f, b, a)[0], np.mean(np.abs(b - x)[a == 0]))),
    ],
    names=("cycle", "own"),
    rule="cycle: the mean of |back - x|; own: the mean of |fake - x| over the faces whose strength is 0.",
    praise="the way back for all faces, and the same face for those that were not to be edited.",
)  # fmt: skip

# --- how an edit is judged ---------------------------------------------------------------------------------


def _target_and_kept(before, after, edited, wanted):
    others = [i for i in range(before.shape[1]) if i not in edited]
    reached = ((after[:, edited] > 0) == np.array(wanted)).all(axis=1)
    return reached.mean(), ((before[:, others] > 0) == (after[:, others] > 0)).mean()


def _judged(n, k, edited, wanted):
    before = 3 * _rng.normal(size=(n, k))
    after = before + 2 * _rng.normal(size=(n, k))
    after[0, edited] = np.where(wanted, 2.0, -2.0)
    return before, after, edited, wanted


JUDGED = Exercise(
    _target_and_kept,
    cases=[
        (np.array([[2.0, -1.0, 3.0]]), np.array([[-2.0, -1.0, 3.0]]), [0], [False]), _judged(5, 4, [1], [True]), _judged(8, 5, [0, 2], [True, False]),
        _judged(20, 6, [3, 1], [False, True]), _judged(12, 4, [2], [False]), _judged(30, 7, [0, 6], [True, True]),
    ],
    mistakes=[
        ("A face has reached its target only if *all* edited attributes have the wanted value (`.all(axis=1)`).", lambda b, a, e, w: (((a[:, e] > 0) == np.array(w)).mean(), _target_and_kept(b, a, e, w)[1]), lambda b, a, e, w: (((a[:, e] > 0) == np.array(w)).any(1).mean(), _target_and_kept(b, a, e, w)[1])),
        ("'kept' counts the edited attributes as well; leave them out: they shall change.", lambda b, a, e, w: (_target_and_kept(b, a, e, w)[0], ((b > 0) == (a > 0)).mean())),
        ("'kept' asks that *all* others stay; count the decisions one by one.", lambda b, a, e, w: (_target_and_kept(b, a, e, w)[0], ((np.delete(b, e, 1) > 0) == (np.delete(a, e, 1) > 0)).all(1).mean())),
        ("A logit above 0 says yes (its sigmoid is then above 0.5); yours asks for more than 0.5.", lambda b, a, e, w: _target_and_kept(b - 0.5, a - 0.5, e, w)),
        ("'target' looks at the faces *before* the edit.", lambda b, a, e, w: (((b[:, e] > 0) == np.array(w)).all(1).mean(), _target_and_kept(b, a, e, w)[1])),
        ("'target' asks whether the attribute has changed; it must have the wanted value, whatever it was.", lambda b, a, e, w: (((b[:, e] > 0) != (a[:, e] > 0)).all(1).mean(), _target_and_kept(b, a, e, w)[1])),
        ("You return the share that did *not* stay.", lambda b, a, e, w: (_target_and_kept(b, a, e, w)[0], 1 - _target_and_kept(b, a, e, w)[1])),
        ("You forget `wanted`: where it is False, the judge must say no.", lambda b, a, e, w: ((a[:, e] > 0).all(1).mean(), _target_and_kept(b, a, e, w)[1]), lambda b, a, e, w: ((a[:, e] > 0).mean(), _target_and_kept(b, a, e, w)[1])),
        ("You have the two the wrong way round: target first.", lambda b, a, e, w: _target_and_kept(b, a, e, w)[::-1]),
        ("You return counts; return shares, from 0 to 1.", lambda b, a, e, w: (_target_and_kept(b, a, e, w)[0] * len(b), _target_and_kept(b, a, e, w)[1] * len(b) * (b.shape[1] - len(e)))),
    ],
    names=("target", "kept"),
    rule="target: the share of rows in which all edited columns have the wanted sign; kept: of all other numbers, the share whose sign stays.",
    praise="reached by all edited attributes at once, kept decision by decision.",
)  # fmt: skip

to_domain, edited_style, perpendicular = TO_DOMAIN.check, STYLE.check, PERPENDICULAR.check
staying, target_and_kept = STAYING.check, JUDGED.check

# What a lesson goes on with where the student's own answer is not right yet.
right_to_domain, right_edited_style, right_perpendicular = TO_DOMAIN.right, STYLE.right, PERPENDICULAR.right
right_staying, right_target_and_kept = STAYING.right, JUDGED.right
