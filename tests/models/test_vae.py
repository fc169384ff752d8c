"""The VAE: shapes, bounds, pictures, and that it can learn a few frames by heart."""

from __future__ import annotations

import pytest
import torch

from dreamenv.models.vae import MAX_LOG_VARIANCE, MIN_LOG_VARIANCE, VAE, VAESizes


def tiny(**sizes: int) -> VAE:
    torch.manual_seed(0)
    return VAE(VAESizes(**(dict(height=16, width=16, latent=4, base=4) | sizes)))


def frames(n: int, height: int = 16, width: int = 16, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (n, height, width, channels)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("height", "width", "channels"), [(16, 16, 3), (32, 16, 1), (48, 80, 4), (64, 64, 3)]
)
def test_shapes(height, width, channels):
    vae = tiny(height=height, width=width, channels=channels)
    seen = frames(2, height, width, channels)
    before = seen.clone()
    mean, log_variance = vae.encode(seen)
    assert mean.shape == log_variance.shape == (2, 4)
    assert mean.dtype == log_variance.dtype == torch.float32
    assert vae.decode(mean).shape == (2, channels, height, width)
    picture = vae.picture(mean)
    assert (picture.shape, picture.dtype) == (seen.shape, torch.uint8)
    assert picture.is_contiguous()
    assert torch.equal(seen, before)


def test_the_log_variance_is_bounded():
    vae = tiny()
    with torch.no_grad():
        vae.encoder[-1].weight.zero_()
        vae.encoder[-1].bias.copy_(torch.tensor([0.0] * 4 + [-99.0, 99.0, 1.0, -2.0]))
    _, log_variance = vae.encode(frames(1))
    assert log_variance.tolist() == [[MIN_LOG_VARIANCE, MAX_LOG_VARIANCE, 1.0, -2.0]]


def test_frames_are_scaled_to_one_and_axes_are_kept():
    """The encoder sees frame[row, column, channel] / 255 at [channel, row, column]."""
    vae, seen = tiny(), frames(1)
    caught = []
    vae.encoder[0].register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    vae.encode(seen)
    assert caught[0][0, 2, 5, 7] == seen[0, 5, 7, 2].item() / 255
    assert torch.equal(caught[0].permute(0, 2, 3, 1), seen.float() / 255)


def test_a_picture_is_rounded_and_cut(monkeypatch):
    vae = tiny(channels=1)
    values = torch.tensor([-0.3, 0.0, 0.4 / 255, 0.6 / 255, 99.6 / 255, 1.0, 1.7])
    pixels = torch.zeros(1, 1, 16, 16)
    pixels[0, 0, 3, : len(values)] = values
    monkeypatch.setattr(vae, "decode", lambda latents: pixels.clone())
    picture = vae.picture(torch.zeros(1, 4))
    assert picture[0, 3, : len(values), 0].tolist() == [0, 0, 0, 1, 100, 255, 255]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"height": 84}, "height: expected a multiple of 16 from 16 to 512, got 84; resize"),
        ({"width": 0}, "width: expected a multiple of 16 from 16 to 512, got 0"),
        ({"width": 528}, "width: expected a multiple of 16 from 16 to 512, got 528"),
        ({"channels": 0}, "channels: expected 1 to 16, got 0"),
        ({"latent": 1025}, "latent: expected 1 to 1024, got 1025"),
        ({"base": -1}, "base: expected 1 to 256, got -1"),
    ],
)
def test_bad_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        VAESizes(**sizes)


def test_it_learns_four_frames_by_heart():
    """Encoder and decoder fit each other: colours and places come back, in the right order."""
    vae = tiny(base=8, latent=8)
    seen = torch.zeros(4, 16, 16, 3, dtype=torch.uint8)
    for i, colour in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))):
        seen[i, 4 * i : 4 * i + 4, 2 * i : 2 * i + 6] = torch.tensor(colour, dtype=torch.uint8)
    target = seen.permute(0, 3, 1, 2) / 255.0
    optimiser = torch.optim.Adam(vae.parameters(), lr=5e-3)
    for _ in range(250):
        loss = (vae.decode(vae.encode(seen)[0]) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        error = (vae.picture(vae.encode(seen)[0]).int() - seen.int()).abs()
    assert error.float().mean() < 6
    assert (error > 100).float().mean() < 0.005
