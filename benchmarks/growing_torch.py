"""The PyTorch side of `growing.py`: the ProGAN's networks, trained as the package pro_gan_pytorch trains its own.

Eager, without fused resampling: a step of the discriminator, then one of the generator with a pass of its own. Left out
is what would only cost time: the package's test of every gradient for NaN, the second halving of the real pictures, and
the fade where alpha is 1. The layers follow the paper where the package does not (SEED_SPECS, section 1), so that both
sides compute the same numbers.
"""

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SQRT2 = math.sqrt(2)
R1_GAMMA, R1_INTERVAL, GP, DRIFT = 10.0, 16, 10.0, 1e-3  # as in growing.py


def networks(options):
    """Return (G, D) in PyTorch, of the shapes and with the names of `gan_course.models.progan`."""

    def nf(s):
        return min(options.max_width, options.width * options.resolution // 2 // 2**s)

    class Scaled(nn.Module):
        """A convolution or, with size=0, a dense layer, whose weights are scaled when it runs."""

        def __init__(self, inputs, outputs, size=3, gain=SQRT2, bias=True):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(outputs, inputs, *(size, size)[: 2 * bool(size)]))
            self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
            self.size, self.scale = size, gain / math.sqrt(inputs * max(size, 1) ** 2)

        def forward(self, x):
            if not self.size:
                return F.linear(x, self.weight * self.scale, self.bias)
            return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.size // 2)

    def active(x):
        return F.leaky_relu(x, 0.2)

    def norm(x):
        return x / x.pow(2).mean(dim=1, keepdim=True).add(1e-8).sqrt()

    levels = range(3, options.level + 1)

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = Scaled(options.latent_dim, 16 * nf(1), 0, math.sqrt(2) / 4, bias=False)
            self.bias = nn.Parameter(torch.zeros(nf(1)))
            self.first = Scaled(nf(1), nf(1))
            self.ups = nn.ModuleList(Scaled(nf(r - 2), nf(r - 1)) for r in levels)
            self.convs = nn.ModuleList(Scaled(nf(r - 1), nf(r - 1)) for r in levels)
            self.to_rgb = nn.ModuleList(Scaled(nf(r - 1), 3, 1, gain=1.0) for r in (2, *levels))

        def forward(self, latent, level, alpha):
            x = self.dense(norm(latent)).view(-1, nf(1), 4, 4) + self.bias.view(1, -1, 1, 1)
            x = before = norm(active(self.first(norm(active(x)))))
            for up, conv in zip(self.ups[: level - 2], self.convs[: level - 2], strict=True):
                before = x
                x = norm(active(up(F.interpolate(x, scale_factor=2))))
                x = norm(active(conv(x)))
            pictures = self.to_rgb[level - 2](x)
            if alpha < 1:
                old = F.interpolate(self.to_rgb[level - 3](before), scale_factor=2)
                pictures = alpha * pictures + (1 - alpha) * old
            return pictures

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.from_rgb = nn.ModuleList(Scaled(3, nf(r - 1), 1) for r in (2, *levels))
            self.convs = nn.ModuleList(Scaled(nf(r - 1), nf(r - 1)) for r in levels)
            self.downs = nn.ModuleList(Scaled(nf(r - 1), nf(r - 2)) for r in levels)
            self.last = Scaled(nf(1) + 1, nf(1))
            self.dense = Scaled(16 * nf(1), nf(0), 0)
            self.score = Scaled(nf(0), 1, 0, gain=1.0)

        def forward(self, pictures, level, alpha):
            x = active(self.from_rgb[level - 2](pictures))
            for i in reversed(range(level - 2)):
                x = active(F.avg_pool2d(self.downs[i](active(self.convs[i](x))), 2))
                if alpha < 1 and i == level - 3:
                    x = alpha * x + (1 - alpha) * active(self.from_rgb[i](F.avg_pool2d(pictures, 2)))
            groups = x.view(4, -1, *x.shape[1:])
            deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3)).repeat(4)
            x = torch.cat([x, deviation.view(-1, 1, 1, 1).expand(-1, 1, 4, 4)], 1)
            return self.score(active(self.dense(active(self.last(x)).flatten(1))))

    return Generator(), Discriminator()


def prepare_torch(options):
    """Return a function (level, fading) -> (batch size, function that trains n steps)."""
    torch.set_num_threads(options.threads)
    generator, discriminator = networks(options)
    average = copy.deepcopy(generator).requires_grad_(False)
    g_adam, d_adam = (
        torch.optim.Adam(network.parameters(), 1e-3, betas=(0.0, 0.99), eps=1e-8)
        for network in (generator, discriminator)
    )
    wasserstein, count = options.loss == "wasserstein", 0

    def slopes(x, level, alpha):
        x = x.detach().requires_grad_(True)
        slope = torch.autograd.grad(discriminator(x, level, alpha).sum(), x, create_graph=True)[0]
        return slope.flatten(1).square().sum(1)

    def step(pictures, level, alpha):
        nonlocal count
        factor = options.resolution // 2**level
        real = F.avg_pool2d(pictures, factor) if factor > 1 else pictures
        if alpha < 1:
            real = alpha * real + (1 - alpha) * F.interpolate(F.avg_pool2d(real, 2), scale_factor=2)
        latent = torch.randn(len(real), options.latent_dim)
        fake = generator(latent, level, alpha).detach()
        real_scores, fake_scores = discriminator(real, level, alpha), discriminator(fake, level, alpha)
        if wasserstein:
            loss = fake_scores.mean() - real_scores.mean() + DRIFT * real_scores.square().mean()
            place = torch.rand(len(real), 1, 1, 1)
            squares = slopes(real + place * (fake - real), level, alpha)
            loss = loss + GP * (squares.sqrt() - 1).square().mean()
        else:
            loss = F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()
            if count % R1_INTERVAL == 0:
                loss = loss + 0.5 * R1_GAMMA * R1_INTERVAL * slopes(real, level, alpha).mean()
        d_adam.zero_grad()
        loss.backward()
        d_adam.step()
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), generator.parameters(), strict=True):
                mean.lerp_(weight, 1e-3)
        scores = discriminator(generator(latent, level, alpha), level, alpha)
        g_loss = -scores.mean() if wasserstein else F.softplus(-scores).mean()
        g_adam.zero_grad()
        g_loss.backward()
        g_adam.step()
        count += 1
        return loss.item(), g_loss.item()

    def prepare(level, fading):
        batch = min(max(options.max_batch, options.batch_size), options.batch_size * options.resolution // 2**level)
        pictures = torch.rand(batch, 3, options.resolution, options.resolution) * 2 - 1
        return batch, lambda n: [step(pictures, level, 0.5 if fading else 1.0) for _ in range(n)]

    return prepare


def check(options, gan, stages):
    """Assert that both pairs of networks have equally many weights and, with the same weights, equal outputs."""
    random = np.random.default_rng(0)
    generator, discriminator = networks(options)
    for network, other in ((gan.generator, generator), (gan.discriminator, discriminator)):
        count = sum(p.numel() for p in other.parameters())
        assert network.count_params() == count, f"{network.name}: {network.count_params()} weights, PyTorch {count}"
        for name, theirs in other.named_children():
            layers = getattr(network, name)
            for layer, target in zip(layers, theirs, strict=True) if isinstance(layers, list) else [(layers, theirs)]:
                kernel = layer.kernel.numpy()
                if layer is gan.generator.dense:  # ours keeps the 4x4 places before the channels, PyTorch after
                    kernel = kernel.reshape(len(kernel), 16, -1).swapaxes(1, 2).reshape(kernel.shape)
                if layer is gan.discriminator.dense:
                    kernel = kernel.reshape(16, -1, kernel.shape[1]).swapaxes(0, 1).reshape(kernel.shape)
                target.weight.data = torch.tensor(kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T.copy())
                if layer.use_bias:
                    layer.bias.assign(random.normal(size=layer.bias.shape))
                    target.bias.data = torch.tensor(layer.bias.numpy())
    worst, latent = 0.0, random.normal(size=(8, options.latent_dim)).astype("float32")
    for level, fading in stages:
        alpha = 0.3 if fading else 1.0
        pictures = gan.generator.grow(level, alpha)(latent).numpy()
        scores = gan.discriminator.grow(level, alpha)(pictures).numpy()
        with torch.no_grad():
            their_pictures = generator(torch.tensor(latent), level, alpha)
            their_scores = discriminator(their_pictures, level, alpha).numpy()
        for a, b in ((pictures, their_pictures.permute(0, 2, 3, 1).numpy()), (scores, their_scores)):
            worst = max(worst, float(abs(a - b).max() / a.std()))
    assert worst < 1e-3, f"the outputs differ by {worst:.1e} of their spread"
    print(f"equal counts of weights; outputs differ by at most {worst:.0e} of their spread", flush=True)
