"""Feature axes: a direction that was put in is found, locks hold exactly, and walks stay on the sphere."""

import json

import numpy as np
import pytest

from gan_course.backend import keras, ops, to_numpy
from gan_course.errors import CourseError, CourseWarning
from gan_course.latent import axes
from gan_course.latent.axes import Axes, basis, disentangle, dual, find_axes, fit, label, turn, unit
from gan_course.latent.sampling import fixed_latent
from gan_course.models import attributes, progan, stylegan
from gan_course.weights import weights_sha256

RNG = np.random.default_rng(0)
NAMES = ("Male", "Smiling", "Young")


def correlated(k=8, d=32, shared=1.5):
    """Unit rows that have a part in common."""
    return unit(RNG.normal(size=(k, d)) + shared * RNG.normal(size=d))


def angle(a, b):
    return np.degrees(np.arccos(np.clip((unit(a) * unit(b)).sum(-1), -1, 1)))


@pytest.fixture(scope="module")
def planted():
    """A generator whose pixels are linear in z, and a network that reads them: every logit has a known axis."""
    true = unit(RNG.normal(size=(3, 12)))
    kernel = np.zeros((12, 8 * 8 * 3), "float32")
    kernel[:, :3] = 0.1 * true.T  # small: nothing is clipped
    generator = keras.Sequential([keras.Input((12,)), keras.layers.Dense(192), keras.layers.Reshape((8, 8, 3))])
    generator.layers[0].set_weights([kernel, np.zeros(192, "float32")])
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    reader = np.zeros((192, 3), "float32")
    reader[:3] = 20 * np.eye(3)
    network.layers[1].set_weights([reader, np.array([0.3, -0.2, 0.0], "float32")])
    return generator, network, true


@pytest.fixture(scope="module")
def style():
    keras.utils.set_random_seed(0)
    generator = stylegan.build_generator(16, 8, base=128, max_width=16, mapping=2, spread=1.0)
    return generator, attributes.build(NAMES, width=4, resolution=32)  # of another size


@pytest.fixture(scope="module")
def found(style):
    return find_axes(*style, NAMES, space="w", count=120, seed=2, generator_name="tiny", network_name="reader")


def make(directions, space="z", unit=1.0, **more):
    names = tuple(f"a{i}" for i in range(len(directions)))
    return Axes(names, directions, space, unit, "linear", 2, 0, "0", "1", **more)


# --- found ------------------------------------------------------------------------------------------------


def test_axes_that_were_put_in_are_found(planted):
    generator, network, true = planted
    for method, most in (("linear", 0.1), ("logistic", 6.0), ("means", 9.0)):
        found = find_axes(generator, network, NAMES, count=3000, method=method)
        assert angle(found.directions, true).max() < most, method
        assert found.names == NAMES and found.count == 3000 and found.unit == 1.0
        assert found.weights_sha256 == weights_sha256(generator) != found.network_sha256 == weights_sha256(network)


def test_what_the_network_says_belongs_to_its_code(planted, style):
    generator, network, _ = planted
    latent, logits = label(generator, network, count=57, seed=4)  # not a multiple of the batch
    np.testing.assert_array_equal(latent, fixed_latent(57, 12, 4))
    np.testing.assert_allclose(logits, to_numpy(network(generator(latent))), rtol=1e-4, atol=1e-4)
    generator, network = style
    w, logits = label(generator, network, space="w", count=7)
    np.testing.assert_allclose(w, to_numpy(generator.mapping(fixed_latent(7, 8))), rtol=1e-4, atol=1e-5)
    pictures = ops.clip(generator(fixed_latent(7, 8)), -1, 1)
    resized = ops.image.resize(pictures, (32, 32), antialias=True)
    np.testing.assert_allclose(logits, to_numpy(network(resized)), rtol=1e-3, atol=1e-3)


def test_what_never_changes_is_left_out():
    codes = RNG.normal(size=(200, 5))
    logits = np.stack([codes[:, 0], np.full(200, 4.0), codes[:, 1] + 100], axis=1)
    rows = fit(codes, logits, "logistic")
    assert rows[0].any() and not rows[1].any() and not rows[2].any()
    rows = fit(codes, np.minimum(logits, 4.0), "linear")
    assert not rows[1].any()
    assert rows[0].any() and not fit(codes, logits, "means")[1:].any()
    with pytest.raises(CourseError, match="no method 'svm'; choose one of linear, logistic, means"):
        fit(codes, logits, "svm")


def test_a_ridge_locks_all_others_softly():
    rows = unit(RNG.normal(size=(6, 20)) + 1.5)  # neighbours: one direction is common to all
    np.testing.assert_array_equal(dual(rows, 0.0), rows)
    beside = ~np.eye(6, dtype=bool)
    leaks = [np.abs((dual(rows, ridge) @ rows.T)[beside]).mean() for ridge in (1e-9, 0.1, 1.0, 1e9)]
    assert leaks[0] < 1e-6 and leaks == sorted(leaks)
    np.testing.assert_allclose(dual(rows, 1e9), rows, atol=1e-6)
    for i in range(6):  # with nearly no ridge it is what locking all others gives
        np.testing.assert_allclose(
            dual(rows, 1e-9)[i], disentangle(rows, [j for j in range(6) if j != i])[0][i], atol=1e-6
        )
    with_none = np.vstack([rows, np.zeros(20)])
    assert not dual(with_none, 1.0)[6].any()


def test_bfloat16_tells_nearly_the_same(style):
    from gan_course import backend

    exact, quick = (label(*style, count=60, precision=p)[1] for p in ("float32", "mixed_bfloat16"))
    np.testing.assert_allclose(quick, exact, atol=0.1 * np.abs(exact).max())
    if backend.NAME == "tensorflow":
        assert not backend.tf.config.optimizer.get_experimental_options().get("auto_mixed_precision_onednn_bfloat16")


def test_a_network_that_says_always_the_same(planted):
    generator, network, true = planted
    dull = keras.models.clone_model(network)
    kernel, bias = network.layers[1].get_weights()
    kernel[:, 1] = 0
    dull.layers[1].set_weights([kernel, bias])
    with pytest.warns(CourseWarning, match="all alike in Smiling"):
        found = find_axes(generator, dull, NAMES, count=200)
    assert found.names == ("Male", "Young") and angle(found.directions, true[[0, 2]]).max() < 3
    dull.layers[1].set_weights([0 * kernel, bias])
    with pytest.raises(CourseError, match="alike in every attribute"), pytest.warns(CourseWarning):
        find_axes(generator, dull, NAMES, count=200)


def test_mistakes_are_told(planted, style):
    generator, network, _ = planted
    for options, says in (
        (dict(space="w"), "no w, because it is no StyleGAN"),
        (dict(space="x"), "no latent space 'x'"),
        (dict(count=1), "count is 1"),
        (dict(method="svm", count=50), "no method 'svm'"),
        (dict(precision="float16"), "no precision 'float16' here; choose one of float32, mixed_bfloat16"),
        (dict(ridge=-1.0, count=50), "ridge is -1.0"),
    ):
        with pytest.raises(CourseError, match=says):
            find_axes(generator, network, NAMES, **options)
    conditional = progan.build_generator(8, 6, 32, 4, condition_dim=2)
    with pytest.raises(CourseError, match="draws from a condition as well"):
        find_axes(conditional, style[1], NAMES, count=50)


# --- disentangled -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("locked", [[0], [3, 1], [7, 2, 4, 0, 5]])
def test_locked_axes_are_left_alone_exactly(locked):
    directions = correlated()
    result, left = disentangle(directions, locked)
    others = [i for i in range(8) if i not in locked]
    assert np.abs(result[others] @ directions[locked].T).max() < 1e-12
    np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1)
    np.testing.assert_array_equal(result[locked], directions[locked])
    again, _ = disentangle(directions, locked[::-1])
    np.testing.assert_allclose(again, result, atol=1e-12)  # in whatever order one locks
    assert np.linalg.matrix_rank(np.concatenate([directions, result]), tol=1e-9) == 8  # the span is kept
    for i in others:  # the sine of the angle to the locked space, from least squares
        rest = directions[i] - directions[locked].T @ np.linalg.lstsq(directions[locked].T, directions[i])[0]
        assert left[i] == pytest.approx(np.linalg.norm(rest))


def test_without_locks_nothing_changes():
    directions = correlated()
    result, left = disentangle(directions, [])
    np.testing.assert_allclose(result, directions, atol=1e-15)
    np.testing.assert_allclose(left, 1)


def test_a_chain_of_projections_is_not_enough():
    """What the exercise warns of: for locks that are not orthogonal, one after the other leaves a rest."""
    directions = correlated()
    chained = directions[5].copy()
    for i in (0, 1):
        chained -= (chained @ directions[i]) * directions[i]
    assert abs(chained @ directions[0]) > 0.01
    assert abs(disentangle(directions, [0, 1])[0][5] @ directions[0]) < 1e-12


def test_nearly_parallel_axes_are_told_and_not_amplified():
    directions = np.eye(4, 10)
    directions[1] = unit(directions[0] + 0.05 * directions[3] + 1e-3 * RNG.normal(size=10))
    found = make(directions)
    result, left = found.locked(["a0"])
    assert left[1] == pytest.approx(0.05, abs=0.01) and not result[1].any() and left[2] == 1
    with pytest.raises(CourseError, match=r"a1 is nearly the same as what is locked \(5% of its axis is left\)"):
        found.move(fixed_latent(1, 10), {"a1": 5}, locked=["a0"])
    assert (found.move(fixed_latent(1, 10), {"a1": 0}, locked=["a0"]) == fixed_latent(1, 10)).all()


def test_a_lock_that_others_span_takes_nothing_more_away():
    directions = correlated(4)
    directions = np.concatenate([directions, unit(directions[:1] + directions[1:2])])
    assert basis(directions[[0, 1, 4]]).shape == (32, 2)
    np.testing.assert_allclose(disentangle(directions, [0, 1, 4])[0][2:4], disentangle(directions, [0, 1])[0][2:4])


# --- walks on the sphere ----------------------------------------------------------------------------------


def test_a_turn_is_a_great_circle():
    z, way = RNG.normal(size=(5, 64)), unit(RNG.normal(size=64))
    for degrees in (1, 10, 45):
        turned = turn(z, way, degrees)
        np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(z, axis=1))
        np.testing.assert_allclose(angle(turned, z), degrees, atol=1e-6)
        np.testing.assert_allclose(angle(turned, way), angle(z, way) - degrees, atol=1e-6)  # straight to the pole
        np.testing.assert_allclose(turn(turned, -way, degrees), z, atol=1e-9)
    np.testing.assert_array_equal(turn(z, np.zeros(64), 10), z)
    assert turn(z.astype("float32"), way, 3).dtype == np.float32


def test_repeated_clicks_do_not_drift_to_the_pole():
    """The official way, z + 0.4 axis, ends with one face for all; a walk ends 30 degrees before its pole."""
    z, way = RNG.normal(size=(2, 64)), unit(RNG.normal(size=64))
    there = z
    for _ in range(300):
        there = turn(there, way, 5)
    np.testing.assert_allclose(angle(there, way), 30, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(there, axis=1), np.linalg.norm(z, axis=1))
    official = z + 300 * 0.4 * way
    assert angle(*there) > 30 and angle(*official) < 10
    close = unit(way + 0.1 * unit(RNG.normal(size=64)))[None]  # begins within the 30 degrees
    np.testing.assert_allclose(turn(close, way, 20), close)
    assert angle(turn(close, -way, 20), close) == pytest.approx(20)


def test_locks_keep_what_the_regression_predicts():
    """To 1e-6, on the sphere: the locked coordinates are the same before and after."""
    directions, z = correlated(6, 24), RNG.normal(size=(3, 24))
    found = make(directions)
    moved = found.move(z, {"a2": 40, "a5": -25}, locked=["a0", "a4", "a1"])
    np.testing.assert_allclose(moved @ directions[[0, 4, 1]].T, z @ directions[[0, 4, 1]].T, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(z, axis=1))
    assert angle(moved, z).min() > 10
    free = found.move(z, {"a2": 40, "a5": -25})
    assert np.abs(free @ directions[0] - z @ directions[0]).max() > 0.1


def test_steps_are_degrees_and_their_order_does_not_matter():
    found, z = make(correlated()), fixed_latent(4, 32)
    moved = found.move(z, {"a3": 12.5})
    np.testing.assert_allclose(angle(moved, z), 12.5, atol=1e-4)
    assert moved.dtype == np.float32
    assert ((moved - z) @ found.directions[3] > 0).all()
    np.testing.assert_allclose(
        found.move(z, {"a0": 5, "a1": -9}), found.move(z, {"a1": -9, "a0": 5}), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(found.move(z, {"a0": 0.0}), z)


def test_wrong_names_and_locked_ones_are_refused():
    found, z = make(correlated(3)), fixed_latent(1, 32)
    with pytest.raises(CourseError, match="no axis 'smile'; choose from a0, a1, a2"):
        found.move(z, {"smile": 1})
    with pytest.raises(CourseError, match="no axis 'b'"):
        found.move(z, {}, locked=["b"])
    with pytest.raises(CourseError, match="a1 is locked; unlock it"):
        found.move(z, {"a1": 1}, locked=["a1"])


# --- w ----------------------------------------------------------------------------------------------------


def test_straight_lines_in_w(style, found):
    generator, _ = style
    assert found.space == "w" and found.directions.shape == (3, 8)
    many = to_numpy(generator.mapping(fixed_latent(120, 8, 2)))
    assert found.unit == pytest.approx(np.sqrt(many.var(axis=0).mean()), rel=1e-4)
    w = found.start(fixed_latent(2, 8, 1), generator)
    assert w.shape == (2, 6, 8)
    once = found.move(w, {"Smiling": 1.5})
    np.testing.assert_allclose(once - w, np.broadcast_to(1.5 * found.unit * found.directions[1], w.shape), atol=1e-5)
    np.testing.assert_allclose(found.move(once, {"Smiling": 1.5}) - w, 2 * (once - w), atol=1e-5)
    some = found.move(w, {"Smiling": 1.5}, layers=range(2, 4))
    np.testing.assert_array_equal(some[:, [0, 1, 4, 5]], w[:, [0, 1, 4, 5]])
    np.testing.assert_array_equal(some[:, 2:4], once[:, 2:4])
    kept = found.move(w, {"Smiling": 3}, locked=["Male", "Young"])
    np.testing.assert_allclose((kept - w) @ found.directions[[0, 2]].T, 0, atol=1e-5)
    average = found.start(fixed_latent(2, 8, 1), generator, psi=0.0)
    np.testing.assert_allclose(average[0], average[1])


def test_pictures_are_the_generators(style, found, planted):
    generator, _ = style
    w = found.start(fixed_latent(2, 8, 1), generator)
    np.testing.assert_allclose(axes.drawer(generator, "w")(w), to_numpy(generator.synthesize(w)), atol=1e-4)
    z = fixed_latent(3, 12)
    np.testing.assert_allclose(axes.drawer(planted[0])(z), to_numpy(planted[0](z)), atol=1e-5)


# --- stored -----------------------------------------------------------------------------------------------


def test_what_is_stored_is_read_again(found, style, tmp_path):
    path = tmp_path / "new" / "axes.npz"
    found.save(path)
    again = Axes.load(path)
    np.testing.assert_array_equal(again.directions, found.directions)
    assert {**vars(again), "directions": 0} == {**vars(found), "directions": 0}
    again.check(style[0])
    assert [x.name for x in path.parent.iterdir()] == ["axes.npz"]


def test_axes_of_other_weights_are_refused(found):
    keras.utils.set_random_seed(1)
    other = stylegan.build_generator(16, 8, base=128, max_width=16, mapping=2, spread=1.0)
    with pytest.raises(CourseError, match=r"of other weights \(tiny\) than those of mine; find its own with") as error:
        found.check(other, "mine")
    assert str(error.value).count("\n") == 0


def test_a_file_that_is_something_else(found, tmp_path):
    path = tmp_path / "axes.npz"
    with pytest.raises(CourseError, match="There is no file"):
        Axes.load(path)
    path.write_bytes(b"no")
    with pytest.raises(CourseError, match="holds no axes"):
        Axes.load(path)
    found.save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CourseError, match="holds no axes"):
        Axes.load(path)
    for wrong in (
        dict(names=np.array(["a"])),
        dict(names=np.array(["a"]), directions=np.ones((2, 3)), about=np.array("{}")),
        dict(names=np.array(["a"]), directions=np.full((1, 3), np.nan), about=np.array("{}")),
        dict(names=np.array(["a"]), directions=np.ones((1, 3)), about=np.array(json.dumps({"space": "z"}))),
        dict(names=np.array([{"a": 1}], dtype=object), directions=np.ones((1, 3)), about=np.array("{}")),  # a pickle
    ):
        np.savez(path, **wrong)
        with pytest.raises(CourseError, match="holds no axes"):
            Axes.load(path)
