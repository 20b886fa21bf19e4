"""Generator and discriminator of ARPL+CS: the authors' sizes, and weights from the given generator alone."""

import pytest
import torch
from torch import nn

from difair_hpc.osr.gan import Discriminator, Generator


def drawn(channels: int, size: int, seed: int = 0) -> tuple[Generator, Discriminator]:
    source = torch.Generator().manual_seed(seed)
    maker = Generator(channels=channels, size=size, noise=100, generator=source)
    return maker, Discriminator(channels=channels, size=size, generator=source)


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


@pytest.mark.parametrize(
    ("channels", "size", "made", "judged"),
    [
        (3, 32, 3_448_576, 11_018_753),
        (3, 64, 3_576_704, 11_018_753),
        # 1 -> 4 -> 8: 100*512*16 + 2*512 + 512*16; 8 -> 4 -> 1: 128*16 + 128*1024*16 + 1025.
        (1, 8, 828_416, 2_100_225),
    ],
)
def test_number_of_parameters(channels: int, size: int, made: int, judged: int) -> None:
    assert tuple(parameters(network) for network in drawn(channels, size)) == (made, judged)


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 16), (1, 32), (3, 64)])
def test_images_from_0_to_1_and_one_judgement_each(channels: int, size: int) -> None:
    maker, judge = drawn(channels, size)
    with torch.no_grad():
        images = maker(10 * torch.randn(4, 100, generator=torch.Generator().manual_seed(1)))
        logits = judge(images)
    assert images.shape == (4, channels, size, size)
    assert 0 <= images.min() < 0.45
    assert 0.55 < images.max() <= 1
    assert logits.shape == (4,)


def test_weights_follow_from_the_generator_alone() -> None:
    torch.manual_seed(7)
    untouched = torch.get_rng_state()
    one = drawn(3, 32)
    assert torch.equal(torch.get_rng_state(), untouched)
    torch.manual_seed(8)
    other, another = drawn(3, 32), drawn(3, 32, seed=1)
    for mine, same, different in zip(one, other, another, strict=True):
        first, second, third = (network.state_dict() for network in (mine, same, different))
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert not any(torch.equal(first[name], third[name]) for name in first if name.endswith("weight"))


def test_weights_are_drawn_as_dcgan_draws_them() -> None:
    for network in drawn(3, 32):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
                assert layer.bias is None
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.mean().item() == pytest.approx(1.0, abs=0.01)
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.2)
                assert layer.bias.abs().max().item() == 0
            if isinstance(layer, nn.Linear):
                assert layer.weight.abs().max().item() <= 1 / 32
                assert layer.weight.std().item() == pytest.approx(1 / 32 / 3**0.5, rel=0.1)


def test_no_generator_ends_in_24_pixels() -> None:
    with pytest.raises(AssertionError, match="24 pixels"):
        drawn(1, 24)
