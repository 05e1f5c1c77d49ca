"""The training engine: what one step does, to the number; policies, XLA, Keras's own callbacks."""

import math
import shutil
import warnings

import numpy as np
import pytest

from gan_course.errors import CourseError, CourseWarning
from gan_course.losses import adversarial_loss
from gan_course.training import GAN, checkpoints  # first: it imports TensorFlow quietly
from gan_course.training.callbacks import Guard, Limit, Log, Sheets
from gan_course.widgets import monitor

import keras  # isort: skip
import tensorflow as tf  # isort: skip
from keras import layers  # isort: skip

STEP = {"batch_size": 8, "verbose": 0, "shuffle": False}


def values(variables):
    return [np.asarray(v).copy() for v in variables]


def moved(before, variables):
    return [not np.array_equal(a, np.asarray(b)) for a, b in zip(before, variables, strict=True)]


@pytest.fixture(scope="module")
def compiled(tiny_gan):
    return {dense: tiny_gan(dense=dense) for dense in (True, False)}


@pytest.fixture
def dense(compiled):
    """A GAN at step 0 for tests that ask nothing of its weights: its step is compiled once for all of them."""
    compiled[True].counter.assign(0)
    compiled[True].stop_training = False
    return compiled[True]


@pytest.fixture
def convolutional(compiled):
    """The same with convolutions and batch norm."""
    compiled[False].counter.assign(0)
    return compiled[False]


# --- one step --------------------------------------------------------------------------------------------


def test_one_step_moves_both_players_and_the_average(tiny_gan, pictures):
    gan = tiny_gan()
    networks = gan.generator, gan.discriminator
    before = [values(network.trainable_variables) for network in networks]
    average = values(gan.ema_generator.weights)
    logs = gan.fit(pictures[:8], **STEP).history
    for old, network in zip(before, networks, strict=True):
        assert all(moved(old, network.trainable_variables)), network.name
    assert all(moved(average, gan.ema_generator.weights))
    assert gan.step == 1 and not gan.ema_generator.trainable_variables
    assert set(logs) == {"d_loss", "g_loss", "real", "fake", "r1"} and np.isfinite(list(logs.values())).all()


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_player_with_rate_0_stays(tiny_gan, pictures, player):
    """So no gradient of one player reaches the other's weights."""
    rates = [0.0 if player == name else 1e-2 for name in ("generator", "discriminator")]
    gan = tiny_gan(dense=True, optimizers=[keras.optimizers.SGD(rate) for rate in rates])
    still, other = gan.generator, gan.discriminator
    if player == "discriminator":
        still, other = other, still
    before = values(still.weights), values(other.weights)
    gan.fit(pictures, **STEP)
    assert not any(moved(before[0], still.weights))
    assert any(moved(before[1], other.weights))


def linear_players(loss="non_saturating", **options):
    """D(x) = w.x + b on 4x4 pictures, and a G that draws one and the same picture for any latent vector."""
    latent, picture = keras.Input((3,)), keras.Input((4, 4, 3))
    flat = layers.Dense(48, kernel_initializer="zeros", bias_initializer=keras.initializers.RandomNormal(seed=2))
    generator = keras.Model(latent, layers.Reshape((4, 4, 3))(flat(latent)))
    score = layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(seed=3))
    discriminator = keras.Model(picture, score(layers.Flatten()(picture)))
    gan = GAN(generator, discriminator, loss=loss, **options)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1))
    return gan


@pytest.mark.parametrize("interval", [1, 3])
def test_lazy_r1_on_a_linear_discriminator(interval):
    """R1 = ||w||^2, so its share of the update is -rate * gamma * interval * w, at steps 0, interval, ..."""
    gamma, rate = 0.5, 0.1
    gan = linear_players(r1_gamma=gamma, r1_interval=interval)
    x = np.random.default_rng(5).uniform(-1, 1, (7, 8, 4, 4, 3)).astype("float32")
    fake = np.asarray(gan.generator.weights[1]).astype("float64")
    w, b = (np.asarray(v).astype("float64") for v in gan.discriminator.weights)
    w = w[:, 0]
    for step in range(7):
        norm = (w**2).sum()
        real = x[step].reshape(8, 48).astype("float64")
        p_real, p_fake = 1 / (1 + np.exp(-(real @ w + b))), 1 / (1 + np.exp(-(fake @ w + b)))
        d_loss = -np.log(p_real).mean() - np.log(1 - p_fake).mean()
        # d/ds of -log sigmoid(s) is -(1 - sigmoid(s)), and of -log(1 - sigmoid(s)) it is sigmoid(s).
        d_w = -((1 - p_real)[:, None] * real).mean(0) + p_fake * fake
        d_b = -(1 - p_real).mean() + p_fake
        w = w - rate * (d_w + (gamma * interval * w if step % interval == 0 else 0))
        b = b - rate * d_b

        logs = gan.fit(x[step], **STEP).history
        np.testing.assert_allclose(np.asarray(gan.discriminator.weights[0])[:, 0], w, rtol=2e-4, atol=2e-6)
        np.testing.assert_allclose(np.asarray(gan.discriminator.weights[1]), b, rtol=2e-4, atol=2e-6)
        assert logs["d_loss"][0] == pytest.approx(d_loss, rel=1e-5)
        assert logs["real"][0] == pytest.approx(p_real.mean(), rel=1e-5)
        assert logs["fake"][0] == pytest.approx(p_fake.item(), rel=1e-5)
        # A fit of one step: the metric is of that step alone, and 0 where the penalty was left out.
        assert logs["r1"][0] == pytest.approx(norm if step % interval == 0 else 0.0, rel=1e-5)


def test_without_r1_there_is_no_r1_metric():
    gan = linear_players(r1_gamma=0.0)
    assert set(gan.fit(np.ones((8, 4, 4, 3), "float32"), **STEP).history) == {"d_loss", "g_loss", "real", "fake"}


def test_scores_are_shown_raw_where_the_loss_has_no_probabilities():
    gan = linear_players("hinge")
    w, b = values(gan.discriminator.weights)
    x = np.full((8, 4, 4, 3), 2.0, "float32")
    logs = gan.fit(x, **STEP).history
    assert logs["real"][0] == pytest.approx(2 * w.sum() + b[0], rel=1e-4)


def test_the_average_follows_its_formula(tiny_gan, pictures):
    """ema = ema + (1 - decay) (G - ema), with decay = min(ema_decay, (1 + step) / (10 + step)), step = 0, 1, ..."""
    gan = tiny_gan(ema_decay=0.2)
    expected = values(gan.ema_generator.weights)
    # Batch norm's moving statistics are among the weights.
    assert len(expected) == len(gan.generator.weights) > len(gan.generator.trainable_variables)
    for decay in (0.1, 2 / 11, 0.2, 0.2):  # 3/12 and 4/13 are above 0.2
        gan.fit(pictures[:8], **STEP)
        expected = [e + (1 - decay) * (w - e) for e, w in zip(expected, values(gan.generator.weights), strict=True)]
        for e, average in zip(expected, values(gan.ema_generator.weights), strict=True):
            np.testing.assert_allclose(average, e, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", ["non_saturating", "minimax", "least_squares", "hinge"])
def test_a_step_by_hand_with_two_tapes(tiny_gan, pictures, loss):
    """The shared pass and the persistent tape give what the textbook's two separate updates give."""
    gan, hand = (tiny_gan(dense=True, loss=loss, r1_gamma=2.0, r1_interval=2, weights=3) for _ in range(2))
    gan.fit(pictures[:24], **STEP)

    g, d, seeds = hand.generator, hand.discriminator, keras.random.SeedGenerator(0)
    g_adam, d_adam = (keras.optimizers.Adam(5e-4, beta_1=0.0, beta_2=0.99) for _ in range(2))
    for step in range(3):
        real = tf.constant(pictures[8 * step : 8 * step + 8])
        z = keras.random.normal((8, 8), seed=seeds)
        with tf.GradientTape() as tape:
            s, t = d(real), d(g(z))
            d_loss = {
                "least_squares": lambda s, t: tf.reduce_mean((s - 1) ** 2) / 2 + tf.reduce_mean(t**2) / 2,
                "hinge": lambda s, t: tf.reduce_mean(tf.nn.relu(1 - s)) + tf.reduce_mean(tf.nn.relu(1 + t)),
            }.get(loss, lambda s, t: -tf.reduce_mean(tf.math.log_sigmoid(s) + tf.math.log_sigmoid(-t)))(s, t)
            if step % 2 == 0:
                with tf.GradientTape() as inner:
                    inner.watch(real)
                    s = d(real)
                slope = inner.gradient(s, real)
                d_loss += 2 * 2.0 / 2 * tf.reduce_mean(tf.reduce_sum(slope**2, [1, 2, 3]))
        d_gradients = tape.gradient(d_loss, d.trainable_variables)
        with tf.GradientTape() as tape:
            t = d(g(z))
            g_loss = {
                "non_saturating": lambda t: -tf.reduce_mean(tf.math.log_sigmoid(t)),
                "minimax": lambda t: tf.reduce_mean(tf.math.log_sigmoid(-t)),
                "least_squares": lambda t: tf.reduce_mean((t - 1) ** 2) / 2,
                "hinge": lambda t: -tf.reduce_mean(t),
            }[loss](t)
        g_gradients = tape.gradient(g_loss, g.trainable_variables)
        d_adam.apply(d_gradients, d.trainable_variables)
        g_adam.apply(g_gradients, g.trainable_variables)

    # Adam divides by the gradient's own size, which makes much of the rounding of very small gradients.
    for ours, by_hand in zip(gan.generator.weights + gan.discriminator.weights, g.weights + d.weights, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(by_hand), rtol=1e-4, atol=2e-5)


def test_the_same_seed_gives_the_same_bits(tiny_gan, pictures):
    first, second, other = (tiny_gan(seed=seed) for seed in (4, 4, 5))
    for gan in (first, second, other):
        gan.fit(pictures, **STEP)
    assert not any(moved(values(first.state()), second.state()))
    assert any(moved(values(first.generator.weights), other.generator.weights))


def test_the_graph_optimiser_changes_nothing(tiny_gan, pictures):
    """Smoke tests go without it (`gan_course.backend`), and users with it: the same numbers, to rounding."""
    states = []
    try:
        for without in (True, False):
            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": without})
            gan = tiny_gan(dense=True)
            gan.fit(pictures, **STEP)
            states.append(values(gan.state()))
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    for a, b in zip(*states, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_xla_agrees(tiny_gan, pictures, monkeypatch):
    """To rounding, for the same latent vectors: XLA's random numbers are others."""
    latent = tf.constant(np.random.default_rng(0).normal(size=(8, 8)), "float32")
    monkeypatch.setattr(GAN, "draw", lambda self, *_: latent)
    plain, compiled = (tiny_gan(dense=True, jit_compile=jit) for jit in (False, True))
    histories = [gan.fit(pictures, **STEP).history for gan in (plain, compiled)]
    for name, numbers in histories[0].items():
        assert numbers == pytest.approx(histories[1][name], rel=1e-4), name
    for a, b in zip(values(plain.state()), values(compiled.state()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(tiny_gan, pictures, policy):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        gan = tiny_gan()
        networks = gan.generator, gan.discriminator
        assert networks[0].layers[1].compute_dtype == policy.removeprefix("mixed_")
        old = [values(network.trainable_variables) for network in networks]
        scaled = isinstance(gan.g_optimizer, keras.optimizers.LossScaleOptimizer)
        assert scaled == (policy == "mixed_float16")
        logs = gan.fit(pictures, epochs=2, **STEP).history
        for a, network in zip(old, networks, strict=True):
            assert all(moved(a, network.trainable_variables)), network.name
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert np.isfinite(list(logs.values())).all()
    for variable in gan.generator.weights + gan.discriminator.weights + gan.ema_generator.weights:
        assert variable.dtype == "float32" and np.isfinite(np.asarray(variable)).all()
    assert gan(np.zeros((2, 8), "float32")).dtype == "float32"


def test_float16_takes_nearly_the_float32_step(tiny_gan, pictures):
    """Neither player's gradient, nor R1's, loses or keeps the factor of the loss scale. (Adam would hide that.)"""
    before = keras.mixed_precision.dtype_policy()
    steps = []
    for policy in ("float32", "mixed_float16"):
        keras.mixed_precision.set_dtype_policy(policy)
        try:
            gan = tiny_gan(dense=True, optimizers=[keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)])
            weights = gan.generator.weights + gan.discriminator.weights
            old = values(weights)
            gan.fit(pictures[:8], **STEP)
        finally:
            keras.mixed_precision.set_dtype_policy(before)
        steps.append([new - a for new, a in zip(values(weights), old, strict=True)])
    for full, half in zip(*steps, strict=True):
        np.testing.assert_allclose(half, full, atol=0.03 * np.abs(full).max())


# --- a good Keras model ----------------------------------------------------------------------------------


def test_fit_takes_datasets_with_and_without_labels(dense, pictures):
    gan = dense
    plain = tf.data.Dataset.from_tensor_slices(pictures).batch(8)
    labelled = tf.data.Dataset.zip((plain, plain))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        gan.fit(plain, verbose=0)
        gan.fit(labelled.repeat(), steps_per_epoch=2, verbose=0)
    assert gan.step == 6


def test_fit_shuffles_arrays(tiny_gan, pictures):
    results = []
    for shuffle in ({}, {"shuffle": False}):
        gan = tiny_gan(dense=True)
        gan.fit(pictures, batch_size=8, verbose=0, **shuffle)
        results.append(values(gan.discriminator.weights))
    assert any(moved(*results))


def test_predict_and_call_use_the_average(convolutional, pictures):
    gan = convolutional
    gan.fit(pictures, **STEP)
    latent = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    average = np.asarray(gan.ema_generator(latent))
    np.testing.assert_allclose(gan.predict(latent, verbose=0), average, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(gan(latent)), average)
    assert np.abs(np.asarray(gan.generator(latent)) - average).max() > 1e-4


def all_but_the_seed(gan):
    """What Keras's own weight files hold: they leave random states out. (Our checkpoints hold all.)"""
    return [v for v in gan.state() if v is not gan.seeds.state]


def test_weights_are_saved_and_loaded(convolutional, tiny_gan, pictures, tmp_path):
    gan = convolutional
    gan.fit(pictures, **STEP)
    gan.save_weights(tmp_path / "gan.weights.h5")
    gan.generator.save_weights(tmp_path / "g.weights.h5")
    other = tiny_gan(weights=1)
    assert any(moved(values(gan.generator.weights), other.generator.weights))
    other.load_weights(tmp_path / "gan.weights.h5")
    assert not any(moved(values(all_but_the_seed(gan)), all_but_the_seed(other)))
    third = tiny_gan(weights=2)
    third.generator.load_weights(tmp_path / "g.weights.h5")
    assert not any(moved(values(gan.generator.weights), third.generator.weights))


def test_keras_callbacks(dense, tiny_gan, pictures, tmp_path):
    gan = dense
    callbacks = [
        keras.callbacks.TensorBoard(tmp_path / "logs", histogram_freq=1),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True),
        keras.callbacks.EarlyStopping("d_loss", min_delta=1e9, patience=1, mode="min"),
        keras.callbacks.CSVLogger(tmp_path / "keras.csv"),
    ]
    history = gan.fit(pictures, epochs=9, callbacks=callbacks, **STEP)
    assert len(history.history["d_loss"]) == 2  # nothing is 1e9 better than the first epoch
    assert list((tmp_path / "logs" / "train").glob("events*")) and (tmp_path / "2.weights.h5").exists()
    assert len((tmp_path / "keras.csv").read_text().splitlines()) == 3
    other = tiny_gan(dense=True, weights=1)
    other.load_weights(tmp_path / "2.weights.h5")
    assert not any(moved(values(all_but_the_seed(gan)), all_but_the_seed(other)))


def test_metrics_start_anew_each_epoch(tiny_gan, pictures):
    gan = tiny_gan(dense=True, optimizers=[keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0)])
    real = gan.fit(pictures, epochs=3, **STEP).history["real"]
    np.testing.assert_allclose(real, real[0], rtol=1e-6)  # nothing learns, so every epoch is the same


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "foo"},
        {"ema_decay": 2.0},
        {"ema_decay": math.nan},
        {"r1_interval": 0},
        {"r1_gamma": -1.0},
        {"r1_gamma": math.nan},
    ],
)
def test_wrong_options(tiny_gan, options):
    (value,) = options.values()
    with pytest.raises(CourseError, match=str(value)):
        tiny_gan(dense=True, **options)


# --- our callbacks ---------------------------------------------------------------------------------------


class Stub:
    """What a callback sees of a model."""

    def __init__(self, step=0, loss="non_saturating"):
        self.step, self.stop_training, self.latent_dim = step, False, 4
        self.lowest_d_loss = adversarial_loss(loss).lowest


def called(callback, model):
    callback.set_model(model)
    callback.on_train_begin()
    return callback


def test_guard_stops_on_nan(capsys):
    guard = called(Guard(), Stub(30))
    guard.on_epoch_end(0, {"d_loss": 1.0, "g_loss": 2.0})
    assert guard.reason is None and not guard.model.stop_training
    guard.on_epoch_end(1, {"d_loss": 1.0, "g_loss": math.nan})
    assert guard.model.stop_training
    assert "step 30" in guard.reason and "g_loss is nan" in guard.reason and "learning rate" in guard.reason
    assert guard.reason in capsys.readouterr().out


def test_guard_counts_epochs_in_a_row(capsys):
    guard = called(Guard(won=0.1, patience=2), Stub())
    for d_loss, stop in ((0.05, False), (0.2, False), (0.05, False), (0.05, True)):
        guard.on_epoch_end(0, {"d_loss": d_loss})
        assert guard.model.stop_training == stop
    assert "discriminator has won" in guard.reason


def test_a_wasserstein_critic_cannot_win():
    guard = called(Guard(patience=1), Stub(loss="wasserstein"))
    guard.on_epoch_end(0, {"d_loss": -50.0})
    assert guard.reason is None and not guard.model.stop_training


def test_a_discriminator_that_wins_is_stopped(tiny_gan, capsys):
    """Against a generator that never learns, on data that no generator's first pictures resemble."""
    optimizers = [keras.optimizers.Adam(0.0), keras.optimizers.Adam(0.01)]
    gan = tiny_gan(dense=True, optimizers=optimizers, r1_gamma=0.0)
    guard = Guard(patience=3)
    gan.fit(np.ones((32, 16, 16, 3), "float32"), epochs=200, callbacks=[guard], **STEP)
    assert "the discriminator has won" in guard.reason and gan.step < 800


def test_limit_counts_steps(dense, pictures):
    gan = dense
    gan.fit(pictures, epochs=9, callbacks=[Limit(steps=6)], **STEP)
    assert gan.step == 6
    gan.fit(pictures, epochs=9, callbacks=[Limit(steps=7)], **STEP)  # in all
    assert gan.step == 7
    limit = Limit(minutes=0.5, trained=29.99)  # seconds of earlier sessions count
    gan.fit(pictures, epochs=10**6, callbacks=[limit], **STEP)
    assert gan.step < 10**4 and limit.clock() >= 30


def test_log_drops_the_rows_of_steps_that_were_lost(tmp_path):
    path = tmp_path / "log.csv"
    log = called(Log(path, 32, clock=lambda: 1.25), Stub())
    for step in (10, 20, 30):
        log.model.step = step
        log.on_epoch_end(0, {"d_loss": 0.123456, "g_loss": 1.0})
    whole = path.read_text()
    assert whole.splitlines()[:2] == ["step,images,seconds,d_loss,g_loss", "10,320,1.2,0.12346,1.0"]
    path.write_text(whole + "40,12")  # killed while writing
    called(Log(path, 32, lambda: 0.0), Stub(20))
    assert path.read_text().splitlines() == whole.splitlines()[:3]
    path.write_text("")  # killed before the first row
    log = called(Log(path, 32, lambda: 1.25), Stub(10))
    log.on_epoch_end(0, {"d_loss": 0.123456, "g_loss": 1.0})
    assert path.read_text().splitlines() == whole.splitlines()[:2]


def test_sheets_draw_the_same_latent_vectors(convolutional, pictures, tmp_path):
    gan = convolutional
    sheets = Sheets(tmp_path / "sheets", count=4)
    gan.fit(pictures, epochs=2, callbacks=[sheets], **STEP)
    names = [path.name for path in sheets.files()]
    assert names == ["step-000000000.png", "step-000000004.png", "step-000000008.png"]
    pages = [monitor.show.iio.imread(path) for path in sheets.files()]
    assert pages[0].shape == (34, 34, 3) and not np.array_equal(pages[0], pages[2])
    sheets.gif(tmp_path / "film.gif")
    assert len(monitor.show.iio.imread(tmp_path / "film.gif")) == 3

    (tmp_path / "sheets/.step-000000012.99.png").write_bytes(b"half")  # of a process that was killed
    gan.counter.assign(4)
    sheets.on_train_begin()
    left = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert left == names[:2]

    kept = Sheets(count=4)  # in memory, for lessons
    gan.fit(pictures, epochs=1, callbacks=[kept], **STEP)
    assert len(kept.pages) == 1 and kept.pages[0].shape == (34, 34, 3)


def test_the_monitor_prints_outside_jupyter(dense, pictures, capsys):
    dense.fit(pictures, epochs=2, callbacks=[monitor.LiveMonitor(count=4)], **STEP)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("step      8") and "d_loss" in lines[1]


def test_the_monitor_renews_one_picture_in_jupyter(dense, pictures, monkeypatch):
    import IPython.display

    shown, renewed = [], []

    class Handle:
        def update(self, picture):
            renewed.append(picture)

    def display(picture, display_id):
        shown.append(picture)
        return Handle()

    monkeypatch.setattr(monitor, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    live = monitor.LiveMonitor(count=4, seconds=0.0)
    dense.fit(pictures, epochs=2, callbacks=[live], **STEP)
    assert len(shown) == 1 and len(renewed) == 2  # after each epoch and at the end
    assert "image/jpeg" in renewed[-1].data and live.pause > 0
    assert 'alt="Training: step 8: a sheet' in renewed[-1].data
    for loss, title in (("non_saturating", "probability 'real'"), ("hinge", "score")):
        monkeypatch.setattr(dense, "adversarial", adversarial_loss(loss))
        figure = live.figure()
        assert [axes.get_title() for axes in figure.axes] == ["Training: step 8", "loss", title]
        assert figure.axes[0].images[0].get_array().shape == (34, 34, 3)
        lines = figure.axes[1].lines
        np.testing.assert_allclose(lines[0].get_ydata(), live.history["d_loss"])
        np.testing.assert_allclose(lines[1].get_xdata(), [4, 8])
        monitor.plt.close(figure)
    assert monitor.plt.get_fignums() == []


def test_the_monitor_tells_resolution_and_fade_of_a_growing_network(dense):
    live = monitor.LiveMonitor(count=4, title="ProGAN")
    live.set_model(dense)
    live.on_train_begin()
    logs = {"d_loss": 1.0, "g_loss": 1.0, "real": 0.5, "fake": 0.5}
    live.on_epoch_end(0, logs)
    assert live.caption() == "ProGAN: step 0"  # a network that does not grow
    live.on_epoch_end(1, logs | {"resolution": 16.0, "alpha": 0.25})
    figure = live.figure()
    assert figure.axes[0].get_title() == live.caption() == "ProGAN: step 0\n16x16, alpha 0.25"
    monitor.plt.close(figure)


# --- checkpoints -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_checkpoints(tiny_gan, pictures, tmp_path_factory):
    folder, gan, states = tmp_path_factory.mktemp("saved"), tiny_gan(dense=True), []
    for step in (1, 2):
        gan.fit(pictures[8 * step - 8 : 8 * step], **STEP)
        checkpoints.save(folder / f"step-{step:09d}.npz", gan, seconds=10.0 * step)
        states.append(values(gan.state()))
    return folder, states


@pytest.fixture
def saved(two_checkpoints, tmp_path):
    """A folder with two checkpoints, and the states in them."""
    folder, states = two_checkpoints
    return shutil.copytree(folder, tmp_path / "checkpoints"), states


def test_a_checkpoint_holds_everything(tiny_gan, pictures, saved):
    folder, states = saved
    gan = tiny_gan(dense=True, weights=1, seed=9)
    record = checkpoints.restore(folder, gan)
    assert record["step"] == 2 and record["seconds"] == 20.0 and len(record["names"]) == len(states[1])
    assert not any(moved(states[1], gan.state()))
    # Nothing that training uses is missing: both go on alike, though they were built with other seeds.
    other = tiny_gan(dense=True)
    checkpoints.restore(folder, other)
    for either in (gan, other):
        either.fit(pictures, **STEP)
    assert not any(moved(values(gan.state()), other.state()))


def test_no_checkpoint(tiny_gan, tmp_path):
    assert checkpoints.restore(tmp_path / "nowhere", tiny_gan(dense=True)) is None


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "empty":
        data = b""
    elif how == "cut":
        data = data[: len(data) // 2]
    elif how == "zeros":
        data = bytes(len(data))
    elif how == "flip":
        data[len(data) // 2] ^= 1
    elif how == "other":
        data = b"not a checkpoint at all"
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["empty", "cut", "zeros", "flip", "other"])
def test_a_damaged_checkpoint_falls_back(tiny_gan, saved, how):
    folder, states = saved
    damage(folder / "step-000000002.npz", how)
    gan = tiny_gan(dense=True, weights=1)
    with pytest.warns(CourseWarning, match="step-000000002.npz is damaged"):
        assert checkpoints.restore(folder, gan)["step"] == 1
    assert not any(moved(states[0], gan.state()))


def test_any_flipped_bit_is_noticed_or_harmless(tiny_gan, saved):
    """Whatever NumPy and zipfile raise is caught, and no wrong number is ever loaded."""
    folder, states = saved
    path = folder / "step-000000002.npz"
    data = path.read_bytes()
    gan = tiny_gan(dense=True)
    random = np.random.default_rng(0)
    # In the numbers, and in the zip's directory at the end, where every byte has another meaning.
    places = [*random.integers(0, len(data), 10), *random.integers(len(data) - 3000, len(data), 50)]
    for place in places:
        broken = bytearray(data)
        broken[place] ^= 1 << random.integers(8)
        path.write_bytes(broken)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CourseWarning)
            step = checkpoints.restore(folder, gan)["step"]
        assert not any(moved(states[step - 1], gan.state())), place


def test_all_checkpoints_damaged(tiny_gan, saved):
    folder, _ = saved
    for path in folder.glob("*.npz"):
        damage(path, "cut")
    gan = tiny_gan(dense=True)
    before = values(gan.state())
    with pytest.warns(CourseWarning), pytest.raises(CourseError, match="All 2 checkpoints .* damaged"):
        checkpoints.restore(folder, gan)
    assert not any(moved(before, gan.state()))


def test_another_networks_checkpoint(tiny_gan, saved):
    folder, _ = saved
    with pytest.raises(CourseError, match="other sizes"):
        checkpoints.restore(folder, tiny_gan())


def test_a_failure_while_saving_leaves_the_old_one(tiny_gan, saved, monkeypatch):
    folder, states = saved
    path = folder / "step-000000002.npz"

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    gan = tiny_gan(dense=True, weights=1)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(path, gan)
    assert sorted(p.name for p in folder.iterdir()) == ["step-000000001.npz", "step-000000002.npz"]
    assert checkpoints.restore(folder, gan)["step"] == 2
    assert not any(moved(states[1], gan.state()))


def test_the_newest_two_are_kept(dense, pictures, tmp_path):
    (tmp_path / "step-000000001.77.partial").write_bytes(b"of a process that was killed")
    dense.fit(pictures, epochs=3, callbacks=[checkpoints.Checkpoints(tmp_path, clock=lambda: 7.0)], **STEP)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000008.npz", "step-000000012.npz"]
    assert checkpoints.restore(tmp_path, dense)["seconds"] == 7.0


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_no_state_with_a_nan_is_saved(tiny_gan, tmp_path, where):
    callback = checkpoints.Checkpoints(tmp_path)
    callback.set_model(tiny_gan(dense=True))
    if where == "weights":  # spoilt by the last step, after its loss was computed
        weight = callback.model.generator.weights[0]
        weight.assign(np.asarray(weight) * np.nan)
    callback.on_epoch_end(0, {"d_loss": math.nan if where == "loss" else 1.0})
    assert not list(tmp_path.iterdir())


# --- one backward pass for both players ---------------------------------------------------------------


def _score_network(*middle):
    return keras.Sequential([keras.Input((4, 4, 3)), *middle, layers.Flatten(), layers.Dense(1)])


class _Mixed(layers.Dense):
    """A layer of one's own: the engine cannot know that it leaves the batch alone."""


@pytest.mark.parametrize(
    ("middle", "loss", "shared"),
    [
        ((), "non_saturating", True),
        ((layers.Conv2D, 2, 3), "minimax", True),
        ((layers.BatchNormalization,), "non_saturating", False),
        ((_Mixed, 2), "non_saturating", False),
        ((layers.SpectralNormalization, layers.Dense(2)), "non_saturating", True),
        ((layers.SpectralNormalization, _Mixed(2)), "non_saturating", False),
        ((), "wasserstein", True),
        ((), "hinge", False),
        ((), "least_squares", False),
    ],
)
def test_who_shares_the_backward_pass(middle, loss, shared):
    kind, *arguments = middle or (layers.ReLU,)
    generator = keras.Sequential([keras.Input((2,)), layers.Dense(48), layers.Reshape((4, 4, 3))])
    gan = GAN(generator, _score_network(kind(*arguments)), loss=loss)
    gan.compile()
    assert gan.shares_backward is shared


def test_an_operation_across_the_batch_is_not_shared():
    x = inputs = keras.Input((4, 4, 3))
    x = layers.Dense(1)(layers.Flatten()(x))
    network = keras.Model(inputs, x - keras.ops.mean(x, axis=0, keepdims=True))
    generator = keras.Sequential([keras.Input((2,)), layers.Dense(48), layers.Reshape((4, 4, 3))])
    gan = GAN(generator, network)
    gan.compile()
    assert not gan.shares_backward


def test_shared_and_separate_backward_passes_agree(pictures, tiny_gan, monkeypatch):
    def trained():
        gan = tiny_gan(optimizers=(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)))
        gan.fit(pictures, batch_size=8, epochs=2, verbose=0, shuffle=False)
        return gan.shares_backward, [np.asarray(v).astype("float64") for v in gan.state()]

    shared, ours = trained()
    monkeypatch.setattr(GAN, "shares_backward", False)
    separate, plain = trained()
    assert shared and not separate
    assert max(np.abs(a - b).max() for a, b in zip(ours, plain, strict=True)) < 1e-6
