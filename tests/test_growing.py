"""Growing: the schedule's arithmetic, the order of the pictures, one compiled step a stage, resume inside a fade."""

import warnings

import numpy as np
import pytest

from gan_course import losses
from gan_course.errors import CourseError
from gan_course.layers import downsample
from gan_course.models import progan
from gan_course.training import checkpoints, growing
from gan_course.training.growing import GrowingGAN, Schedule

import keras  # isort: skip
import tensorflow as tf  # isort: skip

BATCH = {4: 8, 8: 4}
# 30 pictures of 4x4 in 4 steps of 8; 8x8: 38 fade in 10 steps of 4, then 20 in 5 steps.
SCHEDULE = dict(resolution=8, fade=38, stable={4: 30, 8: 20}, batch_size=BATCH, rate={4: 2e-3, 8: 1e-3})
STEPS = 22


def values(variables):
    return [np.asarray(v).copy() for v in variables]


def moved(before, variables):
    return [not np.array_equal(a, np.asarray(b)) for a, b in zip(before, variables, strict=True)]


def build(schedule=None, resolution=8, seed=0, **options):
    keras.utils.set_random_seed(seed)
    gan = GrowingGAN(
        progan.build_generator(resolution, 6, 64, 8),
        progan.build_discriminator(resolution, 64, 8),
        schedule or Schedule(**SCHEDULE),
        seed=seed,
        **options,
    )
    gan.compile()
    return gan


# --- the schedule --------------------------------------------------------------------------------------------------


def test_the_papers_schedule():
    schedule = Schedule(1024)
    assert [(s.resolution, s.fading) for s in schedule.stages[:4]] == [(4, False), (8, True), (8, False), (16, True)]
    assert len(schedule.stages) == 1 + 2 * 8 and {s.images for s in schedule.stages} == {600_000}
    batches = {s.resolution: s.batch_size for s in schedule.stages}
    assert batches == {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4, 1024: 4}
    assert {s.resolution: s.rate for s in schedule.stages} == dict.fromkeys(batches, 1e-3) | {1024: 1.5e-3}


def test_the_stages_and_their_boundaries():
    schedule = Schedule(**SCHEDULE)
    rows = [
        (s.resolution, s.fading, s.batch_size, s.rate, s.first_step, s.first_image, s.steps) for s in schedule.stages
    ]
    assert rows == [
        (4, False, 8, 2e-3, 0, 0, 4),
        (8, True, 4, 1e-3, 4, 32, 10),
        (8, False, 4, 1e-3, 14, 72, 5),
    ]
    assert schedule.steps == 19
    for step in range(30):  # the last stage has no end
        stage = schedule.stages[0 if step < 4 else 1 if step < 14 else 2]
        assert schedule.stage_at(step) is stage
        # alpha = i * batch_size / fade; 1 where nothing fades
        assert schedule.alpha_at(step) == ((step - 4) * 4 / 38 if 4 <= step < 14 else 1.0)
        assert schedule.images_at(step) == sum(8 if s < 4 else 4 for s in range(step))


def test_not_grown_and_without_fade():
    (only,) = Schedule(64, start=64).stages
    assert (only.resolution, only.fading, only.batch_size) == (64, False, 32)
    assert not any(s.fading for s in Schedule(32, fade=0).stages) and len(Schedule(32, fade=0).stages) == 4
    assert [s.resolution for s in Schedule(16, start=8).stages] == [8, 16, 16]


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(resolution=48), "resolution 48"),
        (dict(resolution=8, start=16), "starts at 16"),
        (dict(resolution=8, batch_size=0), "batch_size 0"),
        (dict(resolution=8, batch_size={8: 4}), "no value at the resolution 4"),
        (dict(resolution=8, stable=0), "stable 0"),
        (dict(resolution=8, fade=-1), "fade -1"),
        (dict(resolution=8, rate=0.0), "rate 0.0"),
    ],
)
def test_a_wrong_schedule_is_told(options, words):
    with pytest.raises(CourseError, match=words):
        Schedule(**options)


# --- the pictures --------------------------------------------------------------------------------------------------


def batches(face_folder, start_step, count, seed=3):
    dataset = growing.scheduled_faces(face_folder, Schedule(**SCHEDULE), start_step=start_step, seed=seed)
    return [x.numpy() for x in dataset.take(count)]


def test_batches_have_their_stages_size_and_start_anywhere(face_folder):
    whole = batches(face_folder, 0, 20)
    assert [len(x) for x in whole] == [8] * 4 + [4] * 16
    assert all(x.shape[1:] == (8, 8, 3) and x.dtype == np.float32 and np.abs(x).max() <= 1 for x in whole)
    for start in (1, 7, 14):
        for a, b in zip(batches(face_folder, start, 20 - start), whole[start:], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(batches(face_folder, 0, 1, seed=4)[0], whole[0])


def test_every_picture_comes_once_before_one_comes_again(face_folder):
    dataset = growing.scheduled_faces(face_folder, Schedule(**SCHEDULE), mirror=False)
    stream = np.concatenate([x.numpy() for x in dataset.take(12)])  # 32 in the first stage, 32 in the second
    for epoch in (stream[:32], stream[32:64]):
        assert len({x.tobytes() for x in epoch}) == 32


# --- training ------------------------------------------------------------------------------------------------------


class Watch(keras.callbacks.Callback):
    """Keep what each step has logged, and a checkpoint after each of `at` steps."""

    def __init__(self, folder=None, at=()):
        super().__init__()
        self.folder, self.at, self.rows = folder, at, []

    def on_train_batch_end(self, batch, logs=None):
        self.rows.append({name: np.asarray(value) for name, value in logs.items()})
        if self.model.step in self.at:
            checkpoints.save(self.folder / f"{self.model.step}.npz", self.model)


@pytest.fixture(scope="module")
def grown(face_folder, tmp_path_factory):
    """(gan, its rows, folder of checkpoints, first weights): trained in one piece, by two epochs."""
    watch = Watch(tmp_path_factory.mktemp("checkpoints"), at=(2, 4, 5, 6, 9, 14))
    gan = build()
    first = [values(network.weights) for network in (gan.generator, gan.discriminator)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # such as Keras's of missing gradients
        gan.fit(
            growing.scheduled_faces(face_folder, gan.schedule, epoch=STEPS // 2), epochs=2, verbose=0, callbacks=[watch]
        )
    return gan, watch.rows, watch.folder, first


def test_level_and_alpha_are_exact_at_every_step(grown):
    gan, rows, *_ = grown
    assert len(rows) == gan.step == STEPS
    for step, row in enumerate(rows):
        assert row["alpha"] == np.float32(gan.schedule.alpha_at(step)), step
        assert row["resolution"] == gan.schedule.stage_at(step).resolution
        assert all(np.isfinite(value) for value in row.values()), step
    assert set(rows[0]) == {"d_loss", "g_loss", "real", "fake", "gp", "resolution", "alpha"}


def test_one_compiled_step_a_stage(grown):
    gan, *_ = grown
    assert gan.traces == dict.fromkeys(gan.schedule.stages, 1)


def test_both_players_move_and_layers_that_are_not_in_use_stay(grown):
    gan, _, folder, first = grown
    for network, old in zip((gan.generator, gan.discriminator), first, strict=True):
        new = [w for w, m in zip(network.weights, moved(old, network.weights), strict=True) if m]
        assert len(new) == len(network.weights)
    there = build()
    checkpoints.load(folder / "2.npz", there)
    for network, old in zip((there.generator, there.discriminator), first, strict=True):
        used = {id(v) for v in network.grow(2).trainable_variables}
        assert moved(old, network.weights) == [id(w) in used for w in network.weights]
    there.follow_schedule()
    average = [id(w) for w in there.ema_generator.grow(2).layers_in_use() for w in w.weights]
    changed = moved(first[0], there.ema_generator.weights)
    assert changed == [id(w) in average for w in there.ema_generator.weights]


@pytest.mark.parametrize("step, end", [(4, 9), (9, STEPS)])
def test_resumed_in_a_fade_it_ends_with_the_same_bits(grown, face_folder, step, end):
    """From its first step to its middle, and from its middle over the next boundary."""
    gan, rows, saved, _ = grown
    again = build(seed=1)  # all must come from the file
    checkpoints.load(saved / f"{step}.npz", again)
    watch = Watch()
    data = growing.scheduled_faces(face_folder, again.schedule, start_step=step, epoch=end - step)
    again.fit(data, verbose=0, callbacks=[watch])
    assert again.step == end and [row["alpha"] for row in watch.rows] == [row["alpha"] for row in rows[step:end]]
    if end < STEPS:
        checkpoints.load(saved / f"{end}.npz", gan := build())
    for whole, resumed in zip(gan.state(), again.state(), strict=True):
        assert np.asarray(whole).tobytes() == np.asarray(resumed).tobytes(), whole.path


def test_the_average_ramps_anew_for_new_layers(grown):
    """Without it the random first weights of new layers would stay in the average for long."""
    there = build()
    pairs = [(n.first.kernel, n.to_rgb[1].kernel) for n in (there.ema_generator, there.generator)]
    for step in (5, 6):  # in the fade's first step, 4, alpha is 0, and new layers do not learn yet
        before = values(pairs[0])
        checkpoints.load(grown[2] / f"{step}.npz", there)
    for average, old, weight, age in zip(pairs[0], before, pairs[1], (5, 1), strict=True):
        decay = min(there.ema_decay, (1 + age) / (10 + age))
        expected = decay * old + (1 - decay) * np.asarray(weight)
        np.testing.assert_allclose(np.asarray(average), expected, rtol=1e-4, atol=1e-6)
        assert moved([old], [average]) == [True]


def test_optimisers_are_reset_where_a_stage_begins(grown):
    saved, there = grown[2], build()
    for step, fresh, rate in ((2, False, 2e-3), (4, True, 1e-3), (9, False, 1e-3), (14, True, 1e-3)):
        checkpoints.load(saved / f"{step}.npz", there)
        there.follow_schedule()
        for optimizer in (there.g_optimizer, there.d_optimizer):
            assert float(optimizer.learning_rate) == pytest.approx(rate)
            rest = [v for v in optimizer.variables if v is not optimizer.learning_rate]
            assert (not any(np.asarray(v).any() for v in rest)) == fresh, step
            assert int(optimizer.iterations) == {2: 2, 4: 0, 9: 5, 14: 0}[step]


def test_the_average_draws_at_the_level_and_alpha_of_the_step(grown):
    saved, there = grown[2], build()
    z = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    for step, level, alpha in ((2, 2, 1.0), (4, 3, 0.0), (9, 3, 20 / 38), (14, 3, 1.0)):
        checkpoints.load(saved / f"{step}.npz", there)
        there.follow_schedule()
        shown = np.asarray(there(z))
        assert shown.shape == (4, 8, 8, 3) == (4, *there.ema_generator.output_shape[1:])
        assert (there.ema_generator.level, there.ema_generator.alpha) == (level, alpha)
        np.testing.assert_allclose(there.ema_generator.predict(z, verbose=0), shown, rtol=1e-5, atol=1e-6)
        if level == 2:
            np.testing.assert_array_equal(shown[:, ::2, ::2].repeat(2, 1).repeat(2, 2), shown)


def test_real_pictures_are_averaged_down_and_faded():
    gan = build(Schedule(16, start=4), resolution=16)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype("float32")

    def down(x):
        return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4

    def up(x):
        return x.repeat(2, axis=1).repeat(2, axis=2)

    close = dict(rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(gan.real_at(x, 4), x)
    np.testing.assert_allclose(gan.real_at(x, 2), down(down(x)), **close)
    at8 = down(x)
    lod = 0.7  # SEED: x + (up(down x) - x) * lod's fraction
    np.testing.assert_allclose(gan.real_at(x, 3, 1 - lod), at8 + (up(down(at8)) - at8) * lod, **close)
    np.testing.assert_allclose(gan.real_at(x, 3, 0.0), up(down(at8)), **close)


def test_a_step_in_a_fade_by_hand():
    """WGAN-GP with drift at level 3 and alpha 20/38: the engine's step is the textbook's, for both players."""
    gan, hand = build(), build()
    for each in (gan, hand):
        each.counter.assign(9)
        each.follow_schedule()
    x = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype("float32")
    alpha = 20 / 38
    logs = gan.fit(x, batch_size=4, verbose=0, shuffle=False).history

    g, d = (network.grow(3, alpha) for network in (hand.generator, hand.discriminator))
    real = tf.constant(hand.real_at(x, 3, alpha))
    z = keras.random.normal((4, 6), seed=hand.seeds)
    place = keras.random.uniform((4, 1, 1, 1), seed=hand.seeds)
    with tf.GradientTape(persistent=True) as tape:
        fake = g(z)
        between = real + place * (tf.stop_gradient(fake) - real)
        with tf.GradientTape() as inner:
            inner.watch(between)
            score = tf.reduce_sum(d(between))
        slope = inner.gradient(score, between)
        penalty = tf.reduce_mean((tf.sqrt(tf.reduce_sum(slope**2, [1, 2, 3])) - 1) ** 2)
        critic = tf.reduce_mean(d(fake)) - tf.reduce_mean(d(real))
        d_loss = critic + 10 * penalty + 0.001 * tf.reduce_mean(d(real) ** 2)
        g_loss = -tf.reduce_mean(d(fake))
    for network, loss in ((d, d_loss), (g, g_loss)):
        adam = keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99, epsilon=1e-8)
        variables = network.trainable_variables
        adam.apply(tape.gradient(loss, variables), variables)
    assert logs["d_loss"][0] == pytest.approx(float(critic), rel=1e-4, abs=1e-5)
    assert logs["gp"][0] == pytest.approx(float(penalty), rel=1e-4)
    for ours, by_hand in zip((gan.generator, gan.discriminator), (g, d), strict=True):
        for a, b in zip(ours.weights, by_hand.weights, strict=True):
            # Adam divides by the gradient's own size: where that is rounding alone, the sign is anyone's.
            close = np.isclose(np.asarray(a), np.asarray(b), rtol=1e-3, atol=1e-5)
            assert close.mean() > 0.99, a.path


def test_non_saturating_loss_with_r1(face_folder):
    schedule = Schedule(8, start=8, batch_size=4)
    gan = build(schedule, loss="non_saturating", gp_weight=0.0, drift=0.0, r1_gamma=5.0, r1_interval=2)
    before = [values(network.trainable_variables) for network in (gan.generator, gan.discriminator)]
    history = gan.fit(growing.scheduled_faces(face_folder, schedule, epoch=4), verbose=0).history
    assert set(history) == {"d_loss", "g_loss", "real", "fake", "r1", "resolution", "alpha"}
    assert np.isfinite(list(history.values())).all() and history["resolution"] == [8.0]
    for old, network in zip(before, (gan.generator, gan.discriminator), strict=True):
        assert all(moved(old, network.trainable_variables))
    assert list(gan.traces.values()) == [1]


def test_r1_weighs_a_picture_as_at_full_size():
    """gamma falls by 4 with each halving: so much larger are the squared slopes of the same D on fewer pixels."""
    gan = build(Schedule(16, start=4), resolution=16, loss="non_saturating", gp_weight=0, drift=0, r1_gamma=5.0)
    x = tf.random.stateless_uniform((8, 16, 16, 3), (1, 2), -1, 1)
    d = gan.discriminator.grow(2)
    small = downsample(x, 4)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, small])
        at_full, at_4 = d(downsample(x, 4)), d(small)
    full, low = (float(losses.r1_penalty(tape.gradient(score, y))) for score, y in ((at_full, x), (at_4, small)))
    weights = []
    for stage in gan.schedule.stages:
        gan.follow_schedule(stage.first_step)
        weights.append(2 * gan.r1_weight())
    assert weights == [5 / 16, 5 / 4, 5 / 4, 5, 5]
    assert weights[0] * low == pytest.approx(5 * full, rel=1e-4)


def test_mixed_precision_in_a_fade():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        gan = build()
        gan.counter.assign(9)
        gan.follow_schedule()
        scale = float(gan.g_optimizer.dynamic_scale)
        assert scale > 1 and float(gan.d_optimizer.inner_optimizer.learning_rate) == pytest.approx(1e-3)
        x = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype("float32")
        logs = gan.fit(x, batch_size=4, verbose=0).history
        assert np.isfinite(list(logs.values())).all() and logs["alpha"] == [np.float32(20 / 38)]
        gan.counter.assign(14)
        gan.follow_schedule()
        assert float(gan.g_optimizer.dynamic_scale) >= 1  # not reset to 0
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def test_networks_and_schedule_of_other_sizes():
    with pytest.raises(CourseError, match=r"for \(8, 8, 16\) pixels"):
        build(Schedule(16))
