"""The base under every training: what a system of another shape needs of it, and what callbacks may rely on."""

import numpy as np
import pytest

from gan_course.training import GAN, checkpoints
from gan_course.training.base import Phase, Trainer
from gan_course.training.callbacks import Bar, Guard, Limit, Log, Sheets
from gan_course.training.gan import Batch

import keras  # isort: skip
from keras import ops  # isort: skip


class Pair(Trainer):
    """Four networks, two optimisers and a cycle: pictures to codes and back, and two judges (a sketch of L2M-GAN)."""

    def __init__(self, seed=0):
        super().__init__(name="pair")

        def network(inputs, outputs):
            return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)])

        self.encoder, self.decoder = network(12, 3), network(3, 12)
        self.judge, self.critic = network(12, 1), network(3, 1)
        self.smooth = self.averaged_copy(self.decoder)
        large = Phase("m", "size", 2, lambda: 0.1, lambda codes: ops.mean(ops.square(self.encoder(codes))))
        self.start(seed=seed, ema_decay=0.5, phases=[large], metrics=("m_loss", "d_loss"))

    @property
    def players(self):
        return {"m": [self.encoder, self.decoder], "d": [self.judge, self.critic]}

    @property
    def averages(self):
        return [(self.smooth, self.decoder)]

    def sample(self, count, seed=0):
        codes = np.random.default_rng(seed).normal(size=(count, 3)).astype("float32")
        return ops.convert_to_numpy(ops.reshape(self.smooth(codes), (-1, 2, 2, 3)))

    def train_step(self, data):
        from gan_course.backend import Tape

        x = ops.reshape(data, (-1, 12))
        noise = self.draw(keras.random.normal, (ops.shape(x)[0], 3))
        with Tape() as tape:
            codes = self.encoder(x)
            back, made = self.decoder(codes), self.decoder(noise)
            cycle = ops.mean(ops.square(back - x))
            m_loss = cycle + ops.mean(ops.softplus(-self.judge(made))) + ops.mean(ops.softplus(-self.critic(codes)))
            d_loss = ops.mean(ops.softplus(-self.judge(x)) + ops.softplus(self.judge(made)))
            d_loss += ops.mean(ops.softplus(-self.critic(noise)) + ops.softplus(self.critic(codes)))
            scaled = {"m": self.scaled("m", m_loss), "d": self.scaled("d", d_loss)}
        gradients = {player: tape.gradient(loss, self.weights_of(player)) for player, loss in scaled.items()}
        self.apply("m", self.regularised("m", gradients["m"], x))
        self.apply("d", gradients["d"])
        self.update_averages()
        return self.logged(m_loss=m_loss, d_loss=d_loss)


X = np.random.default_rng(3).uniform(-1, 1, (16, 2, 2, 3)).astype("float32")


def numbers(trainer):
    return [ops.convert_to_numpy(v).copy() for v in trainer.state()]


def trained(seed=0, epochs=2, callbacks=(), **options):
    keras.utils.set_random_seed(seed)
    pair = Pair(seed)
    pair.compile(**options)
    history = pair.fit(X, batch_size=4, epochs=epochs, verbose=0, shuffle=False, callbacks=list(callbacks)).history
    return pair, history


def test_four_networks_two_players_and_an_average():
    pair, history = trained()
    assert pair.step == 8 and set(history) == {"m_loss", "d_loss", "size"}
    assert np.isfinite(list(history.values())).all()
    # Both players' networks, the average, two optimisers, the random state and the counter.
    networks = [pair.encoder, pair.decoder, pair.judge, pair.critic, pair.smooth]
    expected = [v for network in networks for v in network.variables]
    expected += [*pair.m_optimizer.variables, *pair.d_optimizer.variables, pair.seeds.state, pair.counter]
    assert [id(v) for v in pair.state()] == [id(v) for v in expected]
    assert pair.curves == {"loss": {"m_loss": "M", "d_loss": "D"}}


def test_optimisers_by_place_and_by_name():
    pair, _ = trained(m_optimizer=keras.optimizers.SGD(0.0))
    assert isinstance(pair.m_optimizer, keras.optimizers.SGD) and isinstance(pair.d_optimizer, keras.optimizers.Adam)
    first = Pair()
    first.compile(keras.optimizers.SGD(0.1))
    assert isinstance(first.m_optimizer, keras.optimizers.SGD) and isinstance(first.d_optimizer, keras.optimizers.Adam)


def test_a_phase_acts_in_its_interval():
    """'size' in steps 0, 2, 4, 6: a fit of one step at a time logs 0 between."""
    keras.utils.set_random_seed(0)
    pair = Pair()
    pair.compile()
    sizes = [pair.fit(X[:4], batch_size=4, verbose=0).history["size"][0] for _ in range(4)]
    assert [size > 0 for size in sizes] == [True, False, True, False]


def test_it_resumes_with_the_same_bits(tmp_path):
    whole, _ = trained(epochs=3)
    part, _ = trained(epochs=1)
    checkpoints.save(tmp_path / "step-000000004.npz", part)
    keras.utils.set_random_seed(9)
    again = Pair(seed=9)  # all must come from the file
    again.compile()
    checkpoints.restore(tmp_path, again)
    again.fit(X, batch_size=4, epochs=2, verbose=0, shuffle=False)
    for a, b in zip(numbers(whole), numbers(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_our_callbacks_need_nothing_else(tmp_path):
    """The course's callbacks with a system that is no GAN: sheets, log, checkpoints, guard, limit, bar."""
    limit = Limit(steps=6)
    callbacks = [limit, Guard(), Log(tmp_path / "log.csv", 4, limit.clock), Sheets(tmp_path / "sheets", count=4)]
    callbacks += [checkpoints.Checkpoints(tmp_path / "checkpoints"), Bar(limit)]
    pair, _ = trained(epochs=9, callbacks=callbacks)
    assert pair.step == 6
    assert [p.name for p in sorted((tmp_path / "sheets").iterdir())] == [f"step-{s:09d}.png" for s in (0, 4, 6)]
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "step,images,seconds,d_loss,m_loss,size"
    assert checkpoints.newest_step(tmp_path / "checkpoints") == 6


class Scheduled(Pair):
    """Notes the steps at which it is told to follow a schedule."""

    def follow_schedule(self, step=None):
        self.__dict__.setdefault("told", []).append(self.step if step is None else step)


def test_a_schedule_is_followed_at_the_start_and_after_every_step():
    pair = Scheduled()
    pair.compile()
    pair.fit(X, batch_size=4, verbose=0)
    pair.fit(X, batch_size=8, verbose=0)
    assert pair.told == [0, 1, 2, 3, 4, 4, 5, 6]


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_a_wrong_decay(decay):
    from gan_course.errors import CourseError

    pair = Pair()
    with pytest.raises(CourseError, match="ema_decay is"):
        pair.start(seed=0, ema_decay=decay)


# --- a GAN of another kind: what its hooks are for -----------------------------------------------------------------


def test_a_conditional_gan_trains_on_labels():
    """The condition reaches both networks: labels tell dark from bright pictures, and G learns which is which."""
    from gan_course.models import progan
    from gan_course.training.growing import GrowingGAN, Schedule

    keras.utils.set_random_seed(0)
    networks = (
        progan.build_generator(8, 4, 32, 8, condition_dim=2),
        progan.build_discriminator(8, 32, 8, condition_dim=2),
    )
    schedule = Schedule(8, batch_size=8, stable=10**6, start=8, rate=1e-2)
    gan = GrowingGAN(*networks, schedule, loss="non_saturating", gp_weight=0.0, drift=0.0, r1_gamma=1.0)
    gan.compile()
    labels = np.eye(2, dtype="float32")[np.arange(8 * 160) % 2]
    pictures = np.where(labels[:, 1, None, None, None] > 0, 0.8, -0.8) * np.ones((1, 8, 8, 3))
    gan.fit(pictures.astype("float32"), labels, batch_size=8, verbose=0)
    drawn = gan.sample(8).astype("float32") / 127.5 - 1  # the labels in turn
    assert drawn[1::2].mean() > drawn[::2].mean() + 0.8


def test_a_conditional_gan_without_conditions_is_told():
    from gan_course.errors import CourseError
    from gan_course.models import progan
    from gan_course.training.growing import GrowingGAN, Schedule

    networks = (
        progan.build_generator(8, 4, 32, 8, condition_dim=2),
        progan.build_discriminator(8, 32, 8, condition_dim=2),
    )
    gan = GrowingGAN(*networks, Schedule(8, batch_size=8, start=8))
    gan.compile()
    with pytest.raises(CourseError, match="conditional"):
        gan.fit(np.zeros((8, 8, 8, 3), "float32"), batch_size=8, verbose=0)


class Mixing(GAN):
    """A GAN whose generator pass is another (as style mixing is), and with a regulariser of the generator."""

    def __init__(self, *networks, **options):
        super().__init__(*networks, **options)
        self.phases += (Phase("g", "length", 2, lambda: 0.5, self.length),)
        self.trackers["length"] = keras.metrics.Mean(name="length")

    def generate(self, latent, condition):
        swap = self.draw(keras.random.uniform, (ops.shape(latent)[0], 1)) < 0.5
        return super().generate(ops.where(swap, ops.flip(latent, 0), latent), condition)

    def length(self, batch: Batch):
        return ops.mean(ops.square(self.generator(batch.latent, training=True)))


def test_hooks_of_a_style_gan(tiny_gan):
    plain = tiny_gan(dense=True)
    gan = Mixing(plain.generator, plain.discriminator, r1_gamma=1.0)
    gan.compile()
    pictures = np.random.default_rng(0).uniform(-1, 1, (16, 16, 16, 3)).astype("float32")
    logs = gan.fit(pictures, batch_size=8, epochs=2, verbose=0).history
    assert logs["length"][0] > 0 and np.isfinite(list(logs.values())).all()
