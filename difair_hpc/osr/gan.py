"""The generator and the discriminator of ARPL+CS (Chen et al. 2021; the authors' models/gan.py), which are DCGAN's.

Both are drawn as DCGAN's are: convolutions from N(0, 0.02), scales of batch norm from N(1, 0.02). The authors have a
form for 32 and one for 64 pixels; the rule that joins them goes on here to smaller powers of 2: the generator leaves
its last stages out, the discriminator its last halvings, so that 8 pixels are 1 -> 4 -> 8 and 8 -> 4 -> 1.
Shapes: B batch, C image channels, H, W size, Z noise.
"""

import torch
from torch import Tensor, nn

from difair_hpc.osr.vgg32 import undrawn

_FIRST = 4
"""Size of the generator's first maps and of the discriminator's last but one."""
_SLOPE = 0.2
"""Of the discriminator's LeakyReLU."""


def _doublings(size: int) -> int:
    doublings = (size // _FIRST).bit_length() - 1
    assert doublings >= 1, f"no generator for {size} pixels"
    assert size == _FIRST << doublings, f"no generator for {size} pixels"
    return doublings


def _draw(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights from the generator; a linear layer's as PyTorch's default would be."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02, generator=generator)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02, generator=generator)
        elif isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


class Generator(nn.Module):
    """Noise to images: 4x4 maps of 512 channels, then each stage doubles the size and halves the channels."""

    def __init__(self, *, channels: int, size: int, noise: int, generator: torch.Generator) -> None:
        """Make the network on the CPU and draw its weights.

        Args:
            channels: Channels C of the images.
            size: Height and width of the images in pixels: 8, 16, 32, 64...
            noise: Random numbers Z per image.
            generator: CPU generator, the only source of randomness.
        """
        super().__init__()
        layers: list[nn.Module] = []
        inputs = noise
        for stage in range(_doublings(size)):
            filters = 512 >> stage
            stride, padding = (2, 1) if stage else (1, 0)
            layers.append(_transposed(inputs, filters, stride, padding))
            layers += [nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
            inputs = filters
        self.layers = nn.Sequential(*layers, _transposed(inputs, channels, 2, 1), nn.Sigmoid())
        _draw(self, generator)

    def forward(self, noise_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W) from 0 to 1, not normalised."""
        images_BCHW: Tensor = self.layers(noise_BZ[:, :, None, None])
        return images_BCHW


class Discriminator(nn.Module):
    """Images to the belief that they are real: at most three halvings, a 4x4 convolution, Sigmoid, mean, linear."""

    def __init__(self, *, channels: int, size: int, generator: torch.Generator) -> None:
        """Make the network on the CPU and draw its weights; arguments as `Generator`'s."""
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for stage in range(min(3, _doublings(size))):
            filters = 128 << stage
            layers.append(_convolution(inputs, filters, 2, 1))
            layers += [nn.BatchNorm2d(filters)] if stage else []
            layers.append(nn.LeakyReLU(_SLOPE, inplace=True))
            inputs = filters
        self.layers = nn.Sequential(*layers, _convolution(inputs, 1024, 1, 0), nn.Sigmoid())
        self.linear = undrawn(nn.Linear(1024, 1, device="meta"))
        _draw(self, generator)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the logit (B,) of an image being real: what the authors' last Sigmoid takes."""
        logits_B1: Tensor = self.linear(self.layers(images_BCHW).mean(dim=(2, 3)))
        return logits_B1[:, 0]


def _transposed(inputs: int, filters: int, stride: int, padding: int) -> nn.ConvTranspose2d:
    return undrawn(nn.ConvTranspose2d(inputs, filters, 4, stride, padding, bias=False, device="meta"))


def _convolution(inputs: int, filters: int, stride: int, padding: int) -> nn.Conv2d:
    return undrawn(nn.Conv2d(inputs, filters, 4, stride, padding, bias=False, device="meta"))
