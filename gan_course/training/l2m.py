"""Training L2M-GAN: an editor of faces against a discriminator of domains."""

import math
from dataclasses import dataclass, field, replace

import keras
import numpy as np
from keras import ops

from gan_course import losses, show, weights
from gan_course.backend import Tape, no_gradient, to_numpy
from gan_course.data import domains as domains_of_faces
from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError
from gan_course.layers import fitted
from gan_course.models import l2m_gan
from gan_course.models.l2m_gan import pick
from gan_course.training import classifier
from gan_course.training.augment import random_crop
from gan_course.training.base import ABOVE_0, COUNT, FROM_0, WHOLE, Config, Phase, Trainer, falling, option, require

PERPENDICULAR = ("cosine", "product")
WARM_UP = 100  # steps in which the rate rises
TIED = 0.25  # |phi|: an attribute tied so to an edited one may change with it
RARE = 0.01  # share of faces: an attribute that hardly varies says nothing
EXAMPLES = 256  # faces of the part val, of which the sheets show some


def perpendicular_loss(kind, unrelated, related):
    """Return how far two parts of a style, each (batch, n), are from a right angle; a scalar, 0 for right angles.

    'cosine': the mean of cos^2 of the angle between them; their sizes do not matter. 'product': the mean of |u_i * r_i| over all
    numbers, as the official code has it. That asks for more than a right angle: no place may be used by both, since it is 0 only
    where in each place one of the two is 0; and it can be made small by making the parts small.
    """
    if kind == "product":
        return ops.mean(ops.abs(unrelated * related))
    dot = ops.sum(unrelated * related, axis=-1)
    sizes = ops.sum(ops.square(unrelated), axis=-1) * ops.sum(ops.square(related), axis=-1)
    return ops.mean(ops.square(dot) / (sizes + 1e-6))


def relative_distance(found, wanted):
    """Return the mean over the batch of |found - wanted|_1 / |wanted|_1, both (batch, n); `wanted` gets no gradient.

    So nothing is gained by making the wanted numbers small.
    """
    wanted = ops.stop_gradient(wanted)
    sizes = ops.maximum(ops.mean(ops.abs(wanted), axis=-1), 1e-2)
    return ops.mean(ops.mean(ops.abs(found - wanted), axis=-1) / sizes)


class L2M(Trainer):
    """An `Editor` and a discriminator that train against each other by plain `fit` (Yang et al. 2021, section 3).

    A batch: faces x and their domains y (batch, K), a single 1 in each row. For each face another domain t is drawn:

        s = E_y(x);   s_un, s_re = parts of s;   s_re' = T_t(s_re);   s' = s + s_re' - s_re;   fake = G(x, s')

        d_loss = -log D_y(x) - log(1 - D_t(fake))  [+ wrong] + R1                   moves D
        editor = -log D_t(fake)
                 + cycle |G(fake, s) - x|            back again, with the source's style
                 + style |E_t(fake) - s'| / |s'|     the style can be read from the edit
                 + perceptual                        the steering network says the same of all that shall stay
                 [+ match]                           ... and sees the target in the edit
                 + perpendicular                     s_un is at right angles to s_re and to s_re'
                 [+ own |G(x, s) - x|]               every so many-th face gets strength 0 instead of an edit

    One generator pass serves both players. In brackets: what the paper does not have. wrong: D also rejects *real* faces in the
    name of the domains that they are not of; without it edits stay timid. The paper's own style loss is not divided by |s'|
    and has a gradient for it, and so shrinks the styles; here they are kept from growing by `style_size`, the weight of their
    mean square.

    Arguments:
        editor, discriminator: of `gan_course.models.l2m_gan`.
        keep: a network, pictures (any size it is built for) -> (batch, d), such as the logits of the steering network; None: no
            perceptual loss. columns: which of its numbers shall stay; None: all.
        shown: (columns, told), for the loss `match`: which numbers of `keep` tell the edited attributes, and what they are in
            each domain, (K, attributes) in -1 and 1 (`losses.missed`, as in text to face).
        factors: weights of the losses: wrong, cycle, own, style, perceptual, match (0 unless given), perpendicular, style_size.
        crop: share of the faces that are cut a little (`augment.random_crop`).
        own_every: every so many-th face of a batch is given back (0: none).
        perpendicular: 'cosine' or 'product', see `perpendicular_loss`.
        rate: of both optimisers, after a warm-up of 100 steps; with `last_step` it falls in a line from 0.6 of that step on, to a
            twentieth. None: the optimisers' own stays.

    Metrics: `d_loss` and `g_loss` (adversarial only), `real` and `fake` (mean probabilities), each other loss without its weight,
    `unrelated` and `related`: the mean length of s_un and s_re. (If s_un goes to 0, right angles mean nothing.)
    """

    lowest_d_loss = 0.0

    def __init__(
        self, editor, discriminator, *, keep=None, columns=None, shown=None, factors=None, crop=0.0, own_every=4,
        perpendicular="cosine", r1_gamma=1.0, r1_interval=4, ema_decay=0.999, rate=None, last_step=0, seed=0, name="l2m",
    ):  # fmt: skip
        super().__init__(name=name)
        if perpendicular not in PERPENDICULAR:
            raise CourseError(
                f"There is no perpendicular loss '{perpendicular}'; choose one of {', '.join(PERPENDICULAR)}."
            )
        require("own_every", own_every, (lambda n: n == int(n) and n >= 0, "a whole number, or 0 for never"))
        usual = dict(
            wrong=1.0, cycle=3.0, own=3.0, style=1.0, perceptual=1.0, match=0.0, perpendicular=1.0, style_size=0.01
        )
        self.factors = usual | (factors or {})
        for loss, weight in self.factors.items():
            require(loss, weight, FROM_0)
        if self.factors["match"] and (keep is None or shown is None):
            raise CourseError(
                "match asks a network that tells the edited attributes; give one (--steering), or set it to 0."
            )
        self.editor, self.discriminator = editor, discriminator
        self.keep, self.columns, self.shown = keep, columns, shown
        if keep is not None:
            keep.trainable = False
        require("crop", crop, (lambda share: 0 <= share <= 1, "a share from 0 to 1"))
        self.crop, self.own_every, self.perpendicular = crop, own_every, perpendicular
        self.rate, self.last_step = rate, last_step
        self.adversarial = losses.adversarial_loss("non_saturating")
        self.ema_editor = self.averaged_copy(editor)
        self.examples = None  # (pictures uint8, numbers of their domains), for `sample`
        self.names = ["wrong", "cycle"] + ["own"] * bool(own_every) + ["style"] * (editor.encoder is not None)
        self.names += ["perceptual"] * (keep is not None) + ["match"] * bool(self.factors["match"])
        self.names += ["perpendicular"] * (editor.styles == "split")
        r1 = Phase("d", "r1", r1_interval, lambda: 0.5 * r1_gamma, self.r1_value)
        self.start(
            seed=seed,
            ema_decay=ema_decay,
            phases=[r1] * bool(r1_gamma),
            metrics=("d_loss", "g_loss", "real", "fake", *self.names, "unrelated", "related"),
        )

    @property
    def players(self):
        return {"g": [self.editor], "d": [self.discriminator]}

    @property
    def averages(self):
        return [(self.ema_editor, self.editor)]

    @property
    def curves(self):
        shown = {name: name for name in self.names if name in ("cycle", "own", "perceptual")}
        return {"loss": {"d_loss": "D", "g_loss": "G"}, "what shall stay": shown}

    def call(self, inputs):
        return self.ema_editor(inputs, training=False)

    # --- the step ------------------------------------------------------------------------------------------------

    def train_step(self, data):
        x, source = data
        if self.crop:
            x = random_crop(x, self.crop, self.draw)
        target, amount = self.targets(source)
        seen = self.look(x)
        with Tape() as g_tape:
            style = self.editor.style(x, source, training=True)
            unrelated, related, moved = self.editor.transformer.parts(style, target)
            edited = style + amount * (moved - related)
            fake = self.editor.generator([x, edited], training=True)
            found = self.staying(x, fake, style, edited, target, amount, seen)
            if "perpendicular" in self.names:
                kind = self.perpendicular
                found["perpendicular"] = perpendicular_loss(kind, unrelated, related) + perpendicular_loss(
                    kind, unrelated, moved
                )
            size = ops.mean(ops.square(style)) + ops.mean(ops.square(edited))
            stay = self.factors["style_size"] * size + sum(self.factors[n] * v for n, v in found.items())
            g_scaled = self.scaled("g", stay)
        with Tape() as d_tape:
            d_tape.watch(fake)
            scores = self.discriminator(x, training=True)
            real_score = pick(scores, source)
            fake_score = pick(self.discriminator(fake, training=True), target)
            others = ops.sum(ops.softplus(scores), axis=1) - ops.softplus(real_score)
            found["wrong"] = ops.mean(others) / (scores.shape[1] - 1)
            d_loss = self.adversarial.discriminator(real_score, fake_score)
            g_loss = self.adversarial.generator(fake_score)
            d_scaled = self.scaled("d", d_loss + self.factors["wrong"] * found["wrong"])
            slope_scaled = self.scaled("g", g_loss)
        d_gradients, slope = self._backward(d_tape, d_scaled, slope_scaled, fake, fake_score)
        gradients = g_tape.gradient([g_scaled, fake], self.weights_of("g"), [ops.ones_like(g_scaled), slope])
        self.apply("g", gradients)
        self.apply("d", self.regularised("d", d_gradients, (x, source)))
        self.update_averages()
        probability = dict(real=ops.mean(ops.sigmoid(real_score)), fake=ops.mean(ops.sigmoid(fake_score)))
        lengths = dict(related=_length(related), unrelated=ops.zeros(()) if unrelated is None else _length(unrelated))
        return self.logged(d_loss=d_loss, g_loss=g_loss, **probability, **found, **lengths)

    def targets(self, source):
        """Return (target domains (batch, K), strengths (batch, 1)): another domain and 1, or a face's own and 0."""
        batch, count = ops.shape(source)[0], source.shape[1]
        step = self.draw(lambda shape, seed: keras.random.randint(shape, 1, count, seed=seed), (batch,))
        place = self.draw(lambda shape, seed: ops.arange(shape[0]), (batch,))  # in the batch of all replicas
        own = place % self.own_every == 0 if self.own_every else place < 0
        number = ops.cast(ops.argmax(source, axis=1), step.dtype)
        target = ops.where(own, number, (number + step) % count)
        return ops.one_hot(target, count, dtype="float32"), 1.0 - ops.cast(own, "float32")[:, None]

    def staying(self, x, fake, style, edited, target, amount, seen):
        """Return {name: loss} of all that keeps the editor from changing more than it shall."""
        back = self.editor.generator([fake, style], training=True)
        found = {"cycle": ops.mean(ops.abs(back - x))}
        if self.own_every:
            apart = ops.mean(ops.abs(fake - x), axis=(1, 2, 3)) * (1.0 - amount[:, 0])
            found["own"] = ops.mean(apart) * self.own_every
        if self.editor.encoder is not None:
            found["style"] = relative_distance(self.editor.style(fake, target, training=True), edited)
        if self.keep is not None:
            said = self.look(fake)
            found["perceptual"] = relative_distance(self.staying_of(said), self.staying_of(seen))
        if "match" in self.names:
            columns, told = self.shown
            found["match"] = losses.missed(ops.take(said, columns, axis=1), target @ told)
        return found

    def look(self, pictures):
        """Return all that the network `keep` says of pictures, (batch, d)."""
        return None if self.keep is None else self.keep(fitted(pictures, self.keep), training=False)

    def staying_of(self, said):
        """Return those numbers of `look` that shall stay."""
        return said if self.columns is None else ops.take(said, self.columns, axis=1)

    def _backward(self, tape, d_scaled, g_scaled, fake, fake_score):
        """Return D's gradients, and how the editor's adversarial loss changes with each number of each picture."""
        own = self.weights_of("d")
        if isinstance(
            self.d_optimizer, keras.optimizers.LossScaleOptimizer
        ):  # the players' losses are scaled differently
            return tape.gradient(d_scaled, own), tape.gradient(g_scaled, fake)
        # Both losses reach a picture through one score: one backward pass serves both (see `GAN.shares_backward`).
        *gradients, slope = tape.gradient(d_scaled, [*own, fake])
        return gradients, slope * ops.stop_gradient(self.adversarial.ratio(fake_score))[:, None, None, None]

    def r1_value(self, batch):
        """Return R1 of the real pictures in their own domain."""
        pictures, source = batch
        with Tape() as tape:
            tape.watch(pictures)
            score = ops.sum(pick(self.discriminator(pictures, training=True), source))
        return losses.r1_penalty(tape.gradient(score, pictures))

    def follow_schedule(self, step=None):
        """Set the rate of `step`; see `rate` and `last_step` above."""
        if self.rate is None:
            return
        step = self.step if step is None else step
        share = min(1.0, (step + 1) / WARM_UP) * falling(step, self.last_step)
        for player in self.players:
            self.optimizer_of(player).learning_rate = self.rate * share

    def sample(self, count, seed=0):
        """Return `count` pictures in rows: a face of `examples`, and edited with strengths from 0 to 1.

        A row has as many pictures as a sheet of `count` (`show.sheet`) has columns.
        """
        if self.examples is None:
            raise CourseError(
                "This L2M-GAN has no faces to edit; set `examples` to (pictures, numbers of their domains)."
            )
        columns = max(2, math.ceil(math.sqrt(count)))
        pictures, numbers = self.examples
        kinds, rows = self.editor.domains, np.arange(math.ceil(count / columns))
        rows, turn = rows % len(pictures), rows // kinds % (kinds - 1)
        faces, source = pictures[rows].astype("float32") / 127.5 - 1, numbers[rows]
        source, target = (np.eye(kinds, dtype="float32")[n] for n in (source, (source + 1 + turn) % kinds))
        made = [pictures[rows]]
        for strength in np.linspace(0, 1, columns - 1):
            with no_gradient():
                edited = self([faces, source, target, np.full((len(rows), 1), strength, "float32")])
            made.append(show.to_uint8(to_numpy(edited)))
        return np.stack(made, axis=1).reshape(-1, *pictures.shape[1:])[:count]


def _length(x):
    return ops.mean(ops.sqrt(ops.sum(ops.square(x), axis=-1)))


def kept_attributes(source, edited, known):
    """Return the attributes of `known` that an edit of the attributes `edited` shall leave alone.

    Those of a folder's training faces that vary (1% at least) and are not tied to an edited one (|phi| < 0.25, the correlation of
    two yes/no properties): who puts lipstick on a face may let it look less male. Fewer than three: all others that vary.
    """
    if source.attributes is None:
        return []
    names = [name for name in known if name in source.attributes.columns and name not in edited]
    labels = source.labels(source.split("train"), [*names, *edited])
    share = labels.mean(axis=0)
    varies = np.minimum(share, 1 - share) >= RARE
    names = [name for name, v in zip(names, varies, strict=False) if v]
    labels = labels[:, varies]
    if not names or labels.shape[1] == len(names):
        return names
    ties = np.abs(np.corrcoef(labels.T))[: len(names), len(names) :].max(axis=1)
    free = [name for name, tie in zip(names, ties, strict=True) if tie < TIED]
    return free if len(free) >= 3 else names


@dataclass(frozen=True)
class L2MConfig(Config):
    """An L2M-GAN, which edits attributes of given faces (lesson 09)."""

    model: str = "l2m"
    attributes: str = option(
        "Smiling", "what is edited: attributes with commas; or folders: each subfolder is a domain"
    )
    batch_size: int = option(32, "pictures in one step", WHOLE)
    crop: float = option(0.5, "share of the faces that are cut a little")
    width: int = option(24, "channels at the full resolution; they double downwards, up to 8 times as many", WHOLE)
    style_width: int = option(12, "the same of the style encoder", WHOLE)
    style_dim: int = option(64, "numbers in a style", WHOLE)
    downs: int = option(3, "halvings of the generator's encoder", WHOLE)
    middle: int = option(1, "blocks at its smallest size, before and after the style comes in (the paper: 2)", WHOLE)
    skip: str = option("gate", f"from encoder to decoder: {', '.join(l2m_gan.SKIPS)} (the paper: high_pass)")
    styles: str = option("split", "split (L2M-GAN), whole (without decomposition) or label (as StarGAN)")
    steering: str = option(
        "auto", "attribute network of the perceptual loss: a name, a folder, none; auto: that of the cartoons or CelebA"
    )
    rate: float = option(3e-4, "Adam's learning rate, both players", ABOVE_0, steered=True)
    last_step: int = option(
        0,
        "the rate falls from 0.6 of this step on, to a twentieth (0: it stays)",
        COUNT,
        steered=True,
    )
    wrong: float = option(1.0, "weight: D rejects real faces in a wrong domain (the paper: 0)", FROM_0, steered=True)
    cycle: float = option(3.0, "weight: there and back again", FROM_0, steered=True)
    own: float = option(3.0, "weight: strength 0 gives the face back", FROM_0, steered=True)
    own_every: int = option(4, "every so many-th face of a batch gets strength 0 (the paper: 0, none)")
    style: float = option(1.0, "weight: the style can be read from the edit", FROM_0, steered=True)
    perceptual: float = option(
        1.0, "weight: the steering network says the same of what shall stay", FROM_0, steered=True
    )
    match: float = option(
        0.0, "weight: the steering network sees the target in the edit (the paper: 0)", FROM_0, steered=True
    )
    perpendicular: float = option(1.0, "weight: the parts of a style are at right angles", FROM_0, steered=True)
    perpendicular_loss: str = option("cosine", "cosine, or product (the official code)")
    style_size: float = option(0.01, "weight: the styles' mean square", FROM_0, steered=True)
    r1_gamma: float = option(1.0, "weight of the R1 penalty; 0: without", FROM_0, steered=True)
    r1_interval: int = option(4, "steps between two R1 penalties", WHOLE)
    ema_decay: float = option(0.999, "decay of the averaged weights")
    # Decided by the faces at the start of a run (`recipe`).
    domains: list = field(default_factory=list)
    keep: list = field(default_factory=list)

    edits = True

    @classmethod
    def recipe(cls, **chosen):
        """Return the configuration for the faces in `data`: also their domains, the steering network, and what shall stay."""
        config = super().recipe(**chosen)
        source = open_faces(config.data)
        edited = domains_of_faces.attributes_of(config.attributes)
        names, steering = domains_of_faces.names_of(source, config.attributes), config.steering
        if steering == "auto":
            steering = classifier.steering_for(config.data)
            steering = steering if steering in weights.index() and source.attributes is not None else "none"
        keep = []
        if steering != "none":
            known = classifier.attribute_network(steering)[1]
            keep = kept_attributes(source, edited, known) if edited else known
        return replace(config, domains=names, keep=list(keep), steering=steering if keep else "none")

    def network(self):
        """Return an untrained `Editor`."""
        parts = dict(width=self.width, style_width=self.style_width, style_dim=self.style_dim, styles=self.styles)
        parts |= dict(downs=self.downs, middle=self.middle, skip=self.skip)
        return l2m_gan.Editor(self.resolution, len(self.domains), **parts)

    def trainer(self):
        keep = columns = shown = None
        if self.keep and (self.perceptual or self.match):
            keep, known = classifier.attribute_network(self.steering)
            columns = [known.index(name) for name in self.keep]
            edited = domains_of_faces.attributes_of(self.attributes)
            if edited and set(edited) <= set(known):
                bits = np.arange(len(self.domains))[:, None] >> np.arange(len(edited)) & 1
                shown = [known.index(name) for name in edited], (2.0 * bits - 1).astype("float32")
        names = ("wrong", "cycle", "own", "style", "perceptual", "match", "perpendicular", "style_size")
        l2m = L2M(
            self.network(),
            l2m_gan.build_discriminator(self.resolution, len(self.domains), self.width),
            keep=keep,
            columns=columns,
            shown=shown,
            factors={name: getattr(self, name) for name in names},
            crop=self.crop,
            own_every=self.own_every,
            perpendicular=self.perpendicular_loss,
            r1_gamma=self.r1_gamma,
            r1_interval=self.r1_interval,
            ema_decay=self.ema_decay,
            rate=self.rate,
            last_step=self.last_step,
            seed=self.seed,
        )
        l2m.compile(*(keras.optimizers.Adam(self.rate, beta_1=0.0, beta_2=0.99) for _ in range(2)))
        return l2m

    def dataset(self, source, start_step=0):
        """Return the endless dataset of `gan_course.data.domains.faces`: (pictures, domains), all domains equally often."""
        options = dict(mirror=self.mirror, seed=self.seed, start_step=start_step)
        return domains_of_faces.faces(
            source, self.resolution, self.batch_size, self.attributes, self.domains, **options
        )

    def prepare(self, trainer, source):
        """Give the trainer faces of the part val (or train, where it is empty) to show on its sheets, the domains in turn."""
        part = "val" if len(source.split("val")) else "train"
        pictures, numbers = domains_of_faces.read(
            source, self.resolution, part, self.attributes, self.domains, limit=EXAMPLES
        )
        groups = [np.flatnonzero(numbers == d) for d in range(len(self.domains))]
        order = [row for turn in range(max(map(len, groups))) for group in groups for row in group[turn : turn + 1]]
        trainer.examples = pictures[order], numbers[order]

    def sample(self, network, count, seed=0):
        raise CourseError("An L2M-GAN edits faces and draws none; use 'python -m gan_course edit'.")
