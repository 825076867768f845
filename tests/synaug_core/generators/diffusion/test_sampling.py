"""The samplers against closed forms, and guidance."""

import diffusers
import pytest
import torch

from synaug_core.generators.diffusion import guided_denoiser, sample_deterministic
from synaug_core.nets.denoiser import make_solver, signal_shares
from synaug_core.seeds import stream

LEVELS = 1000
BOUNDS = (torch.tensor(-1.0), torch.tensor(1.0))


class Velocity(torch.nn.Module):
    """Velocity = `slope` of the condition's first number, everywhere; counts the images it sees."""

    seen = 0

    def forward(self, noisy, level, condition):
        self.seen += len(noisy)
        return condition[:, :1, None, None].expand_as(noisy) * 0.3 + 0.05 * noisy


def noise(n=3):
    return torch.randn(n, 1, 4, 4, generator=stream(5))


def shares():
    return signal_shares(LEVELS)


def test_the_schedule_falls_from_all_signal_to_none():
    table = shares()
    assert table.shape == (LEVELS,)
    assert (table.diff() < 0).all()
    assert table[0] > 0.999
    assert table[-1] < 1e-6
    cosine = torch.cos((torch.arange(1, LEVELS + 1) / LEVELS + 0.008) / 1.008 * torch.pi / 2) ** 2
    start = torch.cos(torch.tensor(0.008 / 1.008 * torch.pi / 2)) ** 2
    assert torch.allclose(table[:-10], (cosine / start)[:-10].double(), atol=1e-4)


@pytest.mark.parametrize("kind", ["ddim", "dpm"])
@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_data_at_one_point_is_found(kind, steps):
    """The exact denoiser of a data set of one image says that image at every level."""
    point = torch.rand(1, 1, 4, 4, generator=stream(6)) * 2 - 1
    made = sample_deterministic(lambda x, level: point.expand_as(x), noise(), make_solver(kind, LEVELS, steps))
    assert torch.allclose(made, point.expand_as(made), atol=1e-6)


@pytest.mark.parametrize("kind", ["ddim", "dpm"])
def test_an_exact_velocity_network_finds_the_point(kind):
    """The same through the velocity: (alpha x_t - image) / sigma, whatever the noise."""
    point, table = torch.rand(1, 1, 4, 4, generator=stream(6)) * 1.8 - 0.9, shares()

    def network(noisy, levels, conditions):
        alpha, sigma = (s.float().view(-1, 1, 1, 1) for s in (table[levels].sqrt(), (1 - table[levels]).sqrt()))
        return (alpha * noisy - point) / sigma

    denoise = guided_denoiser(network, table, torch.ones(1), torch.zeros(1), 1.0, BOUNDS)
    made = sample_deterministic(denoise, noise(), make_solver(kind, LEVELS, 10))
    assert torch.allclose(made, point.expand_as(made), atol=1e-4)


@pytest.mark.parametrize("kind", ["ddim", "dpm"])
def test_gaussian_data_are_transported_in_closed_form(kind):
    """For N(m, s^2) pixels the flow maps noise e to m + s e; the error falls with the steps."""
    mean, spread, table = 0.1, 0.2, shares()

    def denoise(x, levels):
        alpha, variance = table[levels].sqrt().float().view(-1, 1, 1, 1), (1 - table[levels]).float().view(-1, 1, 1, 1)
        return mean + spread**2 * alpha / (spread**2 * alpha**2 + variance) * (x - alpha * mean)

    start = noise().clamp(-2, 2)
    errors = []
    for steps in (10, 100):
        made = sample_deterministic(denoise, start, make_solver(kind, LEVELS, steps))
        errors.append(float((made - (mean + spread * start)).abs().max()))
    assert errors[1] < 0.05
    assert errors[1] < errors[0] / 3


def test_ddim_is_that_of_diffusers_where_the_steps_divide_the_levels():
    def denoise(x, levels):
        return (0.4 * x).tanh()

    other = diffusers.DDIMScheduler(
        num_train_timesteps=LEVELS, beta_schedule="squaredcos_cap_v2", prediction_type="sample",
        timestep_spacing="trailing", clip_sample=False,
    )  # fmt: skip
    other.set_timesteps(10)
    x = noise()
    for level in other.timesteps:
        x = other.step(denoise(x, level), level, x, eta=0.0).prev_sample
    made = sample_deterministic(denoise, noise(), make_solver("ddim", LEVELS, 10))
    assert torch.allclose(made, x, atol=1e-4)


def test_guidance_1_is_the_conditional_prediction_in_one_pass():
    network, table, levels = Velocity(), shares(), torch.tensor([500, 200, 10])
    condition, hidden = torch.tensor([1.0, 0.0]), torch.zeros(2)
    guess = {w: guided_denoiser(network, table, condition, hidden, w, BOUNDS)(noise(), levels) for w in (0.0, 1.0)}
    assert network.seen == 6
    alpha, sigma = (s.float().view(-1, 1, 1, 1) for s in (table[levels].sqrt(), (1 - table[levels]).sqrt()))
    for w, of in ((1.0, condition), (0.0, hidden)):
        velocity = network(noise(), levels, of.expand(3, -1))
        assert torch.equal(guess[w], (alpha * noise() - sigma * velocity).clamp(-1, 1))


def test_guidance_exaggerates_the_difference_linearly():
    network, table, levels = Velocity(), shares(), torch.tensor([500, 500, 500])
    small = 0.1 * noise()
    guess = [
        guided_denoiser(network, table, torch.ones(1), torch.zeros(1), w, BOUNDS)(small, levels)
        for w in (0.0, 1.0, 1.5)
    ]
    assert torch.allclose(guess[2], guess[0] + 1.5 * (guess[1] - guess[0]), atol=1e-6)


def test_images_are_clipped():
    made = guided_denoiser(Velocity(), shares(), torch.full((1,), 50.0), torch.zeros(1), 3.0, BOUNDS)(
        noise(), torch.full((3,), 900)
    )
    assert float(made.abs().max()) == 1.0
