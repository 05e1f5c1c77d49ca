"""The PyTorch side of `growing.py`: the ProGAN's networks, trained as the package pro_gan_pytorch trains its own.

Eager, without fused resampling: a step of the discriminator, then one of the generator with a pass of its own. Left out
is what would only cost time: the package's test of every gradient for NaN, the second halving of the real pictures, and
the fade where alpha is 1. The layers follow the paper where the package does not (SEED_SPECS, section 1), so that both
sides compute the same numbers.
"""

import copy

import numpy as np
import torch
from torch.nn import functional as F
from torch_steps import ProGANDiscriminator, ProGANGenerator, load

R1_GAMMA, R1_INTERVAL, GP, DRIFT = 10.0, 16, 10.0, 1e-3  # as in growing.py
PARTS = (
    "bias dense first ups convs to_rgb",
    "from_rgb convs downs last dense score",
)  # in the order of PyTorch's weights


def networks(options):
    """Return (G, D) in PyTorch, of the shapes of `gan_course.models.progan`."""
    return ProGANGenerator(options, options.latent_dim), ProGANDiscriminator(options)


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
    for network, other, names in zip(
        (gan.generator, gan.discriminator), (generator, discriminator), PARTS, strict=True
    ):
        count = sum(p.numel() for p in other.parameters())
        assert network.count_params() == count, f"{network.name}: {network.count_params()} weights, PyTorch {count}"
        parts = [getattr(network, name) for name in names.split()]
        layers = [layer for part in parts for layer in (part if isinstance(part, list) else [part])]
        for layer in layers:
            if getattr(layer, "use_bias", False):
                layer.bias.assign(random.normal(size=layer.bias.shape))
        load(other, [weight.numpy() for layer in layers for weight in layer.weights])
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
