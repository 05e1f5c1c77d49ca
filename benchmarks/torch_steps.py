"""The networks and training steps of `gan_course` once more, as one writes them in PyTorch, for `steps.py` and `growing.py`.

Channels first, eager, `torch.optim.Adam`, an average by `lerp_`. Weights come from ours (`load`), so that both sides compute the
same numbers; `check` asserts it. Two things are done in more than one way (`Training`):

- resampling: nearest neighbours and then a convolution, a convolution and then the mean of 2x2, as the papers' codes do; or
  fused into one convolution, as ours does.
- passes: as few as ours makes; or, as codes in PyTorch usually do, a generator pass for each player, and D's pass of the fake
  pictures once more for G.
"""

import copy
import math
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SQRT2 = math.sqrt(2)


def active(x):
    return F.leaky_relu(x, 0.2)


class Scaled(nn.Module):
    """A convolution or, with size=0, a dense layer, whose weights are scaled when it runs (equalised; else He's constant is in them).

    resample: 'up' (double the size, then convolve) or 'down' (convolve, then halve). flat: 'in' or 'out' numbers that ours keeps
    with the places before the channels, for `load`.
    """

    def __init__(
        self, inputs, outputs, size=3, gain=SQRT2, bias=True, resample=None, flat=None, slow=1.0, equalised=True
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *(size, size)[: 2 * bool(size)]))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.size, self.resample, self.flat, self.slow, self.fused = size, resample, flat, slow, False
        self.scale = slow * gain / math.sqrt(inputs * max(size, 1) ** 2) if equalised else 1.0

    def forward(self, x):
        weight, bias = self.weight if self.scale == 1 else self.weight * self.scale, self.bias
        if bias is not None and self.slow != 1:
            bias = bias * self.slow
        if not self.size:
            return F.linear(x, weight, bias)
        if self.resample and self.fused:
            if self.resample == "down":
                return F.conv2d(x, four_shifted(weight / 4), bias, stride=2, padding=1)
            return F.conv_transpose2d(x, four_shifted(weight.flip(2, 3).transpose(0, 1)), bias, stride=2, padding=1)
        if self.resample == "up":
            x = F.interpolate(x, scale_factor=2)
        x = F.conv2d(x, weight, bias, padding=self.size // 2)
        return F.avg_pool2d(x, 2) if self.resample == "down" else x


def four_shifted(kernel):
    wide = F.pad(kernel, (1, 1, 1, 1))
    return wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]


def pixel_norm(x):
    return x * x.square().mean(dim=1, keepdim=True).add(1e-8).rsqrt()


def with_deviation(x, group=4):
    """Append minibatch standard deviation; 4 divides the batch."""
    groups = x.view(group, -1, *x.shape[1:])
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3)).repeat(group)
    return torch.cat([x, deviation.view(-1, 1, 1, 1).expand(-1, 1, 4, 4)], 1)


def channels(s, level):
    """Return nf(s) of `gan_course.models.growing`."""
    return min(s.max_width, s.width * s.resolution // 2 // 2**level)


# --- ProGAN, and text to face ----------------------------------------------------------------------------------


class ProGANGenerator(nn.Module):
    def __init__(self, s, inputs):
        super().__init__()
        self.nf = [channels(s, i) for i in range(s.level + 1)]
        nf, levels = self.nf, range(3, s.level + 1)
        self.bias = nn.Parameter(torch.zeros(nf[1]))
        self.dense = Scaled(inputs, 16 * nf[1], 0, SQRT2 / 4, bias=False, flat="out")
        self.first = Scaled(nf[1], nf[1])
        self.ups = nn.ModuleList(Scaled(nf[r - 2], nf[r - 1], resample="up") for r in levels)
        self.convs = nn.ModuleList(Scaled(nf[r - 1], nf[r - 1]) for r in levels)
        self.to_rgb = nn.ModuleList(Scaled(nf[r - 1], 3, 1, gain=1.0) for r in (2, *levels))

    def forward(self, latent, level=None, alpha=1.0):
        level = level or len(self.nf) - 1
        x = self.dense(pixel_norm(latent)).view(-1, self.nf[1], 4, 4) + self.bias.view(1, -1, 1, 1)
        x = before = pixel_norm(active(self.first(pixel_norm(active(x)))))
        for up, conv in zip(self.ups[: level - 2], self.convs[: level - 2], strict=True):
            before = x
            x = pixel_norm(active(up(x)))
            x = pixel_norm(active(conv(x)))
        pictures = self.to_rgb[level - 2](x)
        if alpha < 1:
            old = F.interpolate(self.to_rgb[level - 3](before), scale_factor=2)
            pictures = alpha * pictures + (1 - alpha) * old
        return pictures


class ProGANDiscriminator(nn.Module):
    """condition: how many maps join at 4x4. blur: before each convolution that halves (StyleGAN)."""

    def __init__(self, s, condition=0, blur=False):
        super().__init__()
        nf, levels = [channels(s, i) for i in range(s.level + 1)], range(3, s.level + 1)
        self.level, self.blur = s.level, blur
        self.from_rgb = nn.ModuleList(Scaled(3, nf[r - 1], 1) for r in (2, *levels))
        self.convs = nn.ModuleList(Scaled(nf[r - 1], nf[r - 1]) for r in levels)
        self.downs = nn.ModuleList(Scaled(nf[r - 1], nf[r - 2], resample="down") for r in levels)
        self.last = Scaled(nf[1] + condition + 1, nf[1])
        self.dense = Scaled(16 * nf[1], nf[0], 0, flat="in")
        self.score = Scaled(nf[0], 1, 0, gain=1.0)

    def maps(self, pictures, level=None, alpha=1.0):
        level = level or self.level
        x = active(self.from_rgb[level - 2](pictures))
        for i in reversed(range(level - 2)):
            x = active(self.convs[i](x))
            x = active(self.downs[i](blurred(x) if self.blur else x))
            if alpha < 1 and i == level - 3:
                x = alpha * x + (1 - alpha) * active(self.from_rgb[i](F.avg_pool2d(pictures, 2)))
        return with_deviation(x)

    def head(self, x):
        return self.score(active(self.dense(active(self.last(x)).flatten(1))))

    def forward(self, pictures, level=None, alpha=1.0):
        return self.head(self.maps(pictures, level, alpha))


class TextGenerator(ProGANGenerator):
    def __init__(self, s):
        super().__init__(s, s.latent_dim + s.condition_dim)
        self.latent_dim = s.latent_dim
        self.mean = Scaled(s.text_dim, s.condition_dim, 0, gain=1.0)
        self.log_variance = Scaled(s.text_dim, s.condition_dim, 0, gain=0.1)
        self.embedding = nn.Embedding(len(s.words) + 2, s.text_dim // 2)
        self.lstm = nn.LSTM(s.text_dim // 2, s.text_dim, batch_first=True)
        for part in (self.embedding, self.lstm):
            part.requires_grad_(False)

    def psi(self, numbers):
        states, _ = self.lstm(self.embedding(numbers))
        return pixel_norm(states[torch.arange(len(numbers)), (numbers > 0).sum(1) - 1])

    def statistics(self, psi):
        return self.mean(psi), (self.log_variance(psi) - 2).clamp(-10, 4)

    def divergence(self, psi):
        mean, log_variance = self.statistics(psi)
        return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()

    def forward(self, latent, psi):
        mean, log_variance = self.statistics(psi)
        z, noise = latent[:, : self.latent_dim], latent[:, self.latent_dim :]
        return super().forward(torch.cat([z, mean + (0.5 * log_variance).exp() * noise], 1))


class TextDiscriminator(ProGANDiscriminator):
    def __init__(self, s):
        super().__init__(s, condition=64)
        self.text = Scaled(s.text_dim, 64, 0)

    def head(self, maps, psi):
        condition = active(self.text(psi))[:, :, None, None].expand(-1, -1, 4, 4)
        return super().head(torch.cat([maps, condition], 1))

    def forward(self, pictures, psi):
        return self.head(self.maps(pictures), psi)


# --- StyleGAN --------------------------------------------------------------------------------------------------


def blurred(x):
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    return F.conv2d(x, (line[:, None] * line).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])


class StyledLayer(nn.Module):
    """style: 'adain' (the paper) or 'modulated' (StyleGAN2). convolve: None, 'same' or 'up'."""

    def __init__(self, inputs, outputs, latent_dim, convolve, style):
        super().__init__()
        self.modulated, self.up = style == "modulated", convolve == "up"
        self.noise, self.bias = (nn.Parameter(torch.zeros(outputs)) for _ in range(2))
        up = "up" if self.up else None
        self.conv = Scaled(inputs, outputs, bias=False, resample=up) if convolve else None
        self.affine = None
        if not self.modulated or convolve:
            self.affine = Scaled(latent_dim, inputs if self.modulated else 2 * outputs, 0, gain=1.0)

    def forward(self, x, w, noise):
        if self.conv and self.modulated:  # scale, convolve, scale: one convolution for the whole batch
            size = 1 + self.affine(w)
            power = (self.conv.weight * self.conv.scale).square().sum((2, 3))
            demodulate = (size.square() @ power.T + 1e-8).rsqrt()
            x = self.conv(x * size[:, :, None, None]) * demodulate[:, :, None, None]
        elif self.conv:
            x = self.conv(x)
        if self.up:
            x = blurred(x)
        x = active(x + noise * self.noise.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1))
        if self.modulated:
            return x * SQRT2
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, 1)
        return F.instance_norm(x, eps=1e-8) * (1 + scale) + shift


class StyleGenerator(nn.Module):
    def __init__(self, s):
        super().__init__()
        nf = [channels(s, i) for i in range(s.level + 1)]
        self.constant = nn.Parameter(torch.ones(1, nf[1], 4, 4))
        self.register_buffer("average", torch.zeros(s.latent_dim))
        self.mapping = nn.ModuleList(Scaled(s.latent_dim, s.latent_dim, 0, slow=0.01) for _ in range(s.mapping))
        layers = []
        for r in range(2, s.level + 1):
            layers += [StyledLayer(nf[r - 2], nf[r - 1], s.latent_dim, "up" if r > 2 else None, s.style)]
            layers += [StyledLayer(nf[r - 1], nf[r - 1], s.latent_dim, "same", s.style)]
        self.layers = nn.ModuleList(layers)
        self.to_rgb = Scaled(nf[s.level - 1], 3, 1, gain=1.0)

    def map(self, z):
        x = pixel_norm(z)
        for layer in self.mapping:
            x = active(layer(x))
        return x

    @torch.no_grad()
    def follow(self, w):
        self.average.lerp_(w.mean(0), 0.005)

    def forward(self, w, noise):
        """w: one for each layer, (batch, layers, n)."""
        x = self.constant.expand(len(w), -1, -1, -1)
        for i, layer in enumerate(self.layers):
            x = layer(x, w[:, i], noise[i])
        return self.to_rgb(x)


class LightDiscriminator(nn.Module):
    """Convolutions 4x4 of stride 2: the resampling is fused in any case, since nobody would write them otherwise."""

    def __init__(self, s):
        super().__init__()
        s = SimpleNamespace(**vars(s) | {"max_width": 2 * s.max_width})
        nf, levels = [channels(s, i) for i in range(s.level + 1)], range(3, s.level)
        self.first = Scaled(3, nf[s.level - 2], resample="down")
        self.downs = nn.ModuleList(Scaled(nf[r - 1], nf[r - 2], resample="down") for r in levels)
        self.last = Scaled(nf[1] + 1, nf[1])
        self.dense = Scaled(16 * nf[1], nf[1], 0, flat="in")
        self.score = Scaled(nf[1], 1, 0, gain=1.0)

    def forward(self, pictures):
        x = active(self.first(pictures))
        for down in reversed(self.downs):
            x = active(down(x))
        return self.score(active(self.dense(active(self.last(with_deviation(x))).flatten(1))))


# --- L2M-GAN: the blocks of the official code, which has them from StarGAN v2 -----------------------------------


def Conv(inputs, outputs, size=3, **options):
    return Scaled(inputs, outputs, size, equalised=False, **options)


class Block(nn.Module):
    """StarGAN v2's ResBlk."""

    def __init__(self, inputs, outputs, norm=True, down=False):
        super().__init__()
        self.down = down
        self.conv1, self.conv2 = Conv(inputs, inputs, resample="down" if down else None), Conv(inputs, outputs)
        self.shortcut = Conv(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        self.norms = nn.ModuleList(nn.InstanceNorm2d(inputs, affine=True) if norm else nn.Identity() for _ in range(2))

    def forward(self, x):
        h = self.conv2(active(self.norms[1](self.conv1(active(self.norms[0](x))))))
        x = self.shortcut(x)
        return ((F.avg_pool2d(x, 2) if self.down else x) + h) * math.sqrt(0.5)


class AdaIN(nn.Module):
    def __init__(self, maps, style_dim):
        super().__init__()
        self.affine = nn.Linear(style_dim, 2 * maps)

    def forward(self, x, style):
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, 1)
        return (1 + scale) * F.instance_norm(x) + shift


class StyledBlock(nn.Module):
    """StarGAN v2's AdainResBlk."""

    def __init__(self, inputs, outputs, style_dim, up=False):
        super().__init__()
        self.up = up
        self.conv1, self.conv2 = Conv(inputs, outputs, resample="up" if up else None), Conv(outputs, outputs)
        self.norm1, self.norm2 = AdaIN(inputs, style_dim), AdaIN(outputs, style_dim)
        self.shortcut = Conv(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x, style):
        h = self.conv2(active(self.norm2(self.conv1(active(self.norm1(x, style))), style)))
        x = F.interpolate(x, scale_factor=2) if self.up else x
        return (self.shortcut(x) + h) * math.sqrt(0.5)


class Gate(nn.Module):
    """The course's skip, in the place of the landmarks' masks."""

    def __init__(self, maps, level):
        super().__init__()
        self.conv, self.level = Conv(maps, 1), level

    def forward(self, decoder, encoder):
        return decoder + torch.sigmoid(self.conv(decoder)) * encoder


def widths(width, levels):
    return [min(width * 2**i, 8 * width) for i in range(levels + 1)]


class Editor(nn.Module):
    """The generator with two skips; `downs`, `middle` as in `gan_course.models.l2m_gan`."""

    def __init__(self, s):
        super().__init__()
        w = widths(s.width, s.downs)
        self.encode = nn.ModuleList([Conv(3, w[0])])
        self.encode.extend(Block(a, b, down=True) for a, b in zip(w, w[1:], strict=False))
        self.encode.extend(Block(w[-1], w[-1]) for _ in range(s.middle))
        self.decode = nn.ModuleList(StyledBlock(w[-1], w[-1], s.style_dim) for _ in range(s.middle))
        for level in reversed(range(s.downs)):
            self.decode.append(StyledBlock(w[level + 1], w[level], s.style_dim, up=True))
            if 1 <= level <= 2:
                self.decode.append(Gate(w[level], level))
        self.to_rgb = Conv(w[0], 3, 1)

    def forward(self, x, style):
        kept = []
        for layer in self.encode:
            x = layer(x)
            kept.append(x)
        for layer in self.decode:
            x = layer(x, kept[layer.level] if isinstance(layer, Gate) else style)
        return self.to_rgb(active(x))


class Trunk(nn.Sequential):
    """Style encoder or discriminator: down to 4x4, a convolution over all of it, a dense layer."""

    def __init__(self, s, width, outputs):
        w = widths(width, s.level - 2)
        blocks = [Block(a, b, norm=False, down=True) for a, b in zip(w, w[1:], strict=False)]
        rest = [nn.LeakyReLU(0.2), nn.Conv2d(w[-1], w[-1], 4), nn.Flatten(), nn.LeakyReLU(0.2)]
        super().__init__(Conv(3, width), *blocks, *rest, nn.Linear(w[-1], outputs))


class PerDomain(nn.Module):
    def __init__(self, domains, n):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(domains, n, n)), nn.Parameter(torch.zeros(domains, n))

    def forward(self, x):
        return torch.einsum("bki,kio->bko", x, self.weight) + self.bias


class Transformer(nn.Module):
    def __init__(self, domains, n):
        super().__init__()
        self.decomposer = nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU(), nn.Linear(n, n))
        steps = [PerDomain(domains, n) for _ in range(3)]
        self.to_domain = nn.Sequential(steps[0], nn.ReLU(), steps[1], nn.ReLU(), steps[2])
        self.domains = domains

    def forward(self, style, target):
        unrelated = self.decomposer(style)
        related = style - unrelated
        return unrelated, related, pick(self.to_domain(related[:, None].expand(-1, self.domains, -1)), target)


def pick(outputs, number):
    return outputs[torch.arange(len(outputs)), number]


class Same(nn.Conv2d):
    """A convolution padded as TensorFlow's 'same': where it is uneven, more at the end."""

    def __init__(self, inputs, outputs, size, stride):
        super().__init__(inputs, outputs, size, stride, bias=False)
        before = (size - stride) // 2
        self.around = (before, size - stride - before) * 2

    def forward(self, x):
        return super().forward(F.pad(x, self.around))


class AttributeNetwork(nn.Module):
    def __init__(self, width, outputs):
        super().__init__()

        class Residual(nn.Module):
            def __init__(self, n):
                super().__init__()
                self.conv1, self.norm1 = Same(n, 2 * n, 3, 2), nn.BatchNorm2d(2 * n, 1e-3)
                self.conv2, self.short = Same(2 * n, 2 * n, 3, 1), nn.Conv2d(n, 2 * n, 1, bias=False)
                self.norm2, self.norm3 = nn.BatchNorm2d(2 * n, 1e-3), nn.BatchNorm2d(2 * n, 1e-3)

            def forward(self, x):
                h = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
                return F.relu(h + self.norm3(self.short(F.avg_pool2d(x, 2))))

        blocks = [Residual(width * 2**i) for i in range(3)]
        self.body = nn.Sequential(Same(3, width, 4, 2), nn.BatchNorm2d(width, 1e-3), nn.ReLU(), *blocks)
        self.logits = nn.Linear(8 * width, outputs)

    def forward(self, x):
        return self.logits(self.body(x).mean((2, 3)))


# --- steps -----------------------------------------------------------------------------------------------------


def random(kind, shape, *limits):
    """Return random numbers; `check` puts those of our step in its place."""
    if kind == "integers":
        return torch.randint(*limits, shape)
    return torch.randn(shape) if kind == "normal" else torch.rand(shape)


class Training:
    """Two players: `step(*batch)` moves both and the average, and returns their losses. Both gradients are of the weights before.

    fused: resample as ours does. usual: a generator pass for each player, and D's pass of the fake pictures again for G.
    """

    ratio = False  # ours takes G's gradient at the picture from D's: where a score depends on its own picture only

    def __init__(self, given, fused=False, usual=False):
        self.s = s = SimpleNamespace(**given["settings"])
        s.level = int(math.log2(s.resolution))
        self.usual, self.count, self.draw = usual, 0, random
        self.networks = self.build(s, given)
        for name, network in self.networks.items():
            load(network, given["weights"][name])
            for module in network.modules():
                if isinstance(module, Scaled):
                    module.fused = fused
        self.players = {"d": self.networks["discriminator"]}
        self.players["g"] = nn.ModuleList(n for name, n in self.networks.items() if name in self.moved)
        self.averages = copy.deepcopy(self.players["g"]).requires_grad_(False)
        self.adam = {
            player: torch.optim.Adam(
                network.parameters(), given["rates"][player], (0.0, 0.99), given["epsilons"][player]
            )
            for player, network in self.players.items()
        }

    def play(self, make, score, d_loss, stay=lambda *made: None):
        """Add both players' gradients. make: () -> (fake, whatever `stay`, what else G has to keep small, wants)."""
        d = self.players["d"]
        if self.usual:
            with torch.no_grad():
                fake = make()[0]
            loss = d_loss(score(fake))
            loss.backward()
            d.requires_grad_(False)
            made = make()
            g_loss = adversarial = F.softplus(-score(made[0])).mean()
            if (rest := stay(*made)) is not None:
                g_loss = g_loss + rest
            g_loss.backward()
            d.requires_grad_(True)
            return loss, adversarial
        made = make()
        seen = made[0].detach().requires_grad_()
        scores = score(seen)
        loss, adversarial = d_loss(scores), F.softplus(-scores).mean()
        if self.ratio:
            loss.backward()
            slope = seen.grad * -torch.exp(-scores.detach().clamp(min=-60)).view(-1, 1, 1, 1)
        else:
            (slope,) = torch.autograd.grad(adversarial, seen, retain_graph=True)
            loss.backward(inputs=list(d.parameters()))
        if (rest := stay(*made)) is None:
            made[0].backward(slope)
        else:
            torch.autograd.backward([made[0], rest], [slope, None])
        return loss, adversarial

    def step(self, *batch):
        for adam in self.adam.values():
            adam.zero_grad()
        losses, real, score = self.gradients(*batch)
        if self.s.r1_gamma and self.count % self.s.r1_interval == 0:
            real = real.detach().requires_grad_()
            (slope,) = torch.autograd.grad(score(real).sum(), real, create_graph=True)
            penalty = slope.square().sum((1, 2, 3)).mean() * (0.5 * self.s.r1_gamma * self.s.r1_interval)
            penalty.backward(inputs=list(self.players["d"].parameters()))
        for adam in self.adam.values():
            adam.step()
        with torch.no_grad():
            decay = min(self.s.ema_decay, (1 + self.count) / (10 + self.count))
            for mean, weight in zip(self.averages.parameters(), self.players["g"].parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
        self.count += 1
        return [loss.item() for loss in losses]


class Text(Training):
    moved = ("generator",)

    def build(self, s, given):
        return {"generator": TextGenerator(s), "discriminator": TextDiscriminator(s)}

    def gradients(self, real, numbers, told, truth):
        g, d, batch = self.networks["generator"], self.networks["discriminator"], len(real)
        with torch.no_grad():
            place = (numbers.shape[1] * self.draw("uniform", (batch,))).long()
            numbers, told = (x[torch.arange(batch), place] for x in (numbers, told))
            psi = g.psi(numbers)
            told, truth = told.float(), truth.float()
            false = 0.5 * (truth.abs() @ told.abs().T - truth @ told.T) > 0.5
            liked = 2.0 * false - 4 * torch.eye(batch) + self.draw("uniform", (batch, batch))
            wrong = psi[liked.argmax(1)]
        latent = self.draw("normal", (batch, self.s.latent_dim + self.s.condition_dim))

        def d_loss(made):
            maps, m = d.maps(real), self.s.mismatch
            right, other = d.head(maps, psi), d.head(maps, wrong)
            rejected = (1 - m) * F.softplus(made).mean() + m * F.softplus(other).mean()
            return F.softplus(-right).mean() + rejected + self.s.drift * right.square().mean()

        kl = self.s.kl * min(1.0, self.count / self.s.warm)
        losses = self.play(lambda: (g(latent, psi),), lambda x: d(x, psi), d_loss, lambda fake: kl * g.divergence(psi))
        return losses, real, lambda x: d(x, psi)


class Style(Training):
    moved = ("generator",)

    def build(self, s, given):
        light = s.d_network == "light"
        return {
            "generator": StyleGenerator(s),
            "discriminator": LightDiscriminator(s) if light else ProGANDiscriminator(s, blur=True),
        }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        d = self.networks["discriminator"]
        if isinstance(d, LightDiscriminator):
            for module in (d.first, *d.downs):
                module.fused = True

    def gradients(self, real):
        g, d, s, batch = self.networks["generator"], self.networks["discriminator"], self.s, len(real)
        latent, other = (self.draw("normal", (batch, s.latent_dim)) for _ in range(2))
        count = len(g.layers)
        place = self.draw("integers", (), 1, count)
        mixed = self.draw("uniform", ()) < s.mixing
        sides = [2**r for r in range(2, s.level + 1) for _ in range(2)]
        noise = [self.draw("normal", (batch, 1, side, side)) for side in sides]
        second = mixed & (torch.arange(count)[None, :, None] >= place)

        def make():
            w = g.map(latent)
            return g(torch.where(second, g.map(other)[:, None], w[:, None]), noise), w

        def d_loss(scores):
            return F.softplus(-d(real)).mean() + F.softplus(scores).mean()

        return self.play(make, d, d_loss, lambda fake, w: g.follow(w)), real, d

    def step(self, *batch):
        losses = super().step(*batch)
        average = self.averages[0]
        with torch.no_grad():
            average.follow(average.map(self.draw("normal", (len(batch[0]), self.s.latent_dim))))
        return losses


class L2M(Training):
    moved, ratio = ("generator", "encoder", "transformer"), True

    def build(self, s, given):
        domains = len(s.domains)
        first, last = given["weights"]["keep"][0], given["weights"]["keep"][-1]
        self.keep = AttributeNetwork(first.shape[-1], len(last)).eval().requires_grad_(False)
        self.columns = torch.tensor(given["columns"])
        return {
            "generator": Editor(s),
            "encoder": Trunk(s, s.style_width, domains * s.style_dim),
            "transformer": Transformer(domains, s.style_dim),
            "discriminator": Trunk(s, s.width, domains),
            "keep": self.keep,
        }

    def look(self, pictures):
        if pictures.shape[-1] != 64:
            pictures = F.interpolate(pictures, size=(64, 64), mode="bilinear", antialias=True)
        return self.keep(pictures)[:, self.columns]

    def gradients(self, x, source):
        g, encoder, transformer, d = (
            self.networks[n] for n in ("generator", "encoder", "transformer", "discriminator")
        )
        s, batch, domains = self.s, len(x), len(self.s.domains)
        step = self.draw("integers", (batch,), 1, domains)
        own = torch.arange(batch) % s.own_every == 0
        target, amount = torch.where(own, source, (source + step) % domains), 1 - own.float()[:, None]
        with torch.no_grad():
            seen = self.look(x)

        def style_of(pictures, number):
            return pick(encoder(pictures).view(-1, domains, s.style_dim), number)

        def make():
            style = style_of(x, source)
            unrelated, related, moved = transformer(style, target)
            edited = style + amount * (moved - related)
            return g(x, edited), style, edited, unrelated, related, moved

        def d_loss(scores):
            real = d(x)
            right = pick(real, source)
            wrong = (F.softplus(real).sum(1) - F.softplus(right)).mean() / (domains - 1)
            return F.softplus(-right).mean() + F.softplus(scores).mean() + s.wrong * wrong

        def stay(fake, style, edited, unrelated, related, moved):
            right_angles = cosine(unrelated, related) + cosine(unrelated, moved)
            apart = (fake - x).abs().mean((1, 2, 3)) * own
            return (
                s.cycle * F.l1_loss(g(fake, style), x)
                + s.own * s.own_every * apart.mean()
                + s.style * distance(style_of(fake, target), edited.detach())
                + s.perceptual * distance(self.look(fake), seen)
                + s.perpendicular * right_angles
                + s.style_size * (style.square().mean() + edited.square().mean())
            )

        losses = self.play(make, lambda pictures: pick(d(pictures), target), d_loss, stay)
        return losses, x, lambda pictures: pick(d(pictures), source)


def cosine(a, b):
    return ((a * b).sum(1).square() / (a.square().sum(1) * b.square().sum(1) + 1e-6)).mean()


def distance(found, wanted):
    return ((found - wanted).abs().mean(1) / wanted.abs().mean(1).clamp(min=1e-2)).mean()


SYSTEMS = {"text": Text, "stylegan": Style, "l2m": L2M}


def training(given, **ways):
    """Return the `Training` of what `steps.numbers` has written."""
    return SYSTEMS[given["settings"]["model"]](given, **ways)


def batch_of(given):
    """Return a batch as PyTorch wants it: channels first, a domain as its number."""
    numbers = [torch.tensor(x) for x in given["batch"]]
    pictures, *rest = (x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x for x in numbers)
    return [pictures, *(x.argmax(1) if given["settings"]["model"] == "l2m" else x.long() for x in rest)]


# --- weights across --------------------------------------------------------------------------------------------


def slots(network):
    """Return [(module, tensor)] of all weights, in the order in which ours come."""
    return [
        (module, tensor)
        for module in network.modules()
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        if name not in ("bias_hh_l0", "num_batches_tracked")
    ]


def as_theirs(array, module, shape):
    """Return one of our weights, or its gradient, in PyTorch's layout."""
    if getattr(module, "flat", None) and array.ndim == 2:  # ours keeps the 4x4 places before the channels
        wide = array.reshape(len(array), 16, -1) if module.flat == "out" else array.reshape(16, -1, array.shape[1])
        array = (wide.swapaxes(1, 2) if module.flat == "out" else wide.swapaxes(0, 1)).reshape(array.shape)
    if isinstance(module, (nn.Embedding, PerDomain)):
        return array
    if isinstance(module, nn.InstanceNorm2d):
        return array.ravel()
    if isinstance(module, StyleGenerator):
        return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array
    if array.ndim == 2 and len(shape) == 4:  # a dense layer of the flattened 4x4
        array = array.reshape(4, 4, -1, array.shape[1])
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def converted(array, module, tensor, gradient=False):
    """Return one of our weights, or its gradient, as PyTorch's `tensor` is; their shapes must be equal."""
    array = as_theirs(array, module, tensor.shape)
    assert array.shape == tensor.shape, f"{module}: {array.shape}, PyTorch {tuple(tensor.shape)}"
    # Of an instance norm the official code stores the whole scale, ours what it has above 1.
    more = isinstance(module, nn.InstanceNorm2d) and tensor is module.weight and not gradient
    return torch.tensor(np.ascontiguousarray(array)) + float(more)


@torch.no_grad()
def load(network, arrays):
    """Give a network our weights, in order."""
    for (module, tensor), array in zip(slots(network), arrays, strict=True):
        tensor.copy_(converted(array, module, tensor))
    for module in network.modules():
        if isinstance(module, nn.LSTM):
            module.bias_hh_l0.zero_()  # ours has one bias


def check(given, **ways):
    """Take our step again, with its weights, batch and random numbers; return {what: how far it is from ours}; fail where it is far.

    Pictures, losses, gradients: the largest difference, as a share of the size of ours (gradients: of all of a network, since
    where they are near 0 only rounding is left). Moved weights and averages: the mean difference, as a share of the mean
    movement: Adam's first step is little more than the gradient's sign.
    """
    system, randoms, pictures, found = training(given, **ways), iter(given["randoms"]), [], {}
    system.count = given["count"]
    for adam in system.adam.values():  # Keras adds epsilon before it corrects the second average, PyTorch after
        adam.param_groups[0]["eps"] /= math.sqrt(1 - 0.99)
    play = system.play

    def draw(kind, shape, *limits):
        return torch.tensor(np.ascontiguousarray(next(randoms))).reshape(shape)

    def watched(make, *rest):
        def made():
            result = make()
            pictures.append(result[0].detach().permute(0, 2, 3, 1).numpy())
            return result

        return play(made, *rest)

    system.draw, system.play = draw, watched
    before = {name: [t.clone() for _, t in slots(network)] for name, network in system.networks.items()}
    losses = system.step(*batch_of(given))
    assert next(randoms, None) is None, "our step draws more random numbers"
    for name, ours, theirs in ("pictures", given["fake"], pictures[0]), ("losses", given["losses"], losses):
        found[name] = float(np.abs(np.subtract(ours, theirs)).max() / np.sqrt(np.square(ours).mean()))

    def moved(network, arrays, old):
        """Return how far a network is from where it should be, as a share of how far it has moved."""
        there = [(converted(array, *slot), slot[1]) for slot, array in zip(slots(network), arrays, strict=True)]
        missed = sum((wanted - now).abs().sum() for wanted, now in there)
        return float(missed / sum((wanted - t).abs().sum() for (wanted, _), t in zip(there, old, strict=True)))

    with torch.no_grad():
        averages = dict(zip(system.moved, system.averages, strict=True))
        for name, ours in given["gradients"].items():
            network, worst, squares = system.networks[name], 0.0, 0.0
            for (module, tensor), gradient in zip(slots(network), ours, strict=True):
                assert (gradient is None) == (tensor.grad is None), f"{name}, {module}: one side has no gradient"
                if gradient is not None:
                    worst = max(worst, (converted(gradient, module, tensor, True) - tensor.grad).abs().max().item())
                    squares += np.square(gradient).sum()
            found[f"gradients, {name}"] = worst / math.sqrt(squares)
            found[f"moved, {name}"] = moved(network, given["after"][name], before[name])
            if name in averages:
                found[f"average, {name}"] = moved(averages[name], given["averages"][name], before[name])
    for name, value in found.items():
        limit = {"pictures": 1e-4, "losses": 1e-4, "gradients": 1e-3}.get(name.split(",")[0], 1e-2)
        assert value < limit, f"{name}: {value:.1e} apart"
    return found
