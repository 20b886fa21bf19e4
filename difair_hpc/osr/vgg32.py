"""VGG32, the network of Neal et al. (2018) as DIFAIR uses it (appendix A.1): three encoder blocks and one of two heads.

The linear head is that of the baselines (global average pooling, then a fully connected layer); the feature head is
DIFAIR's (a convolution with N filters per class, then global average pooling). No layer has a bias.
Shapes: B batch, C image channels, H, W size, K known classes, N features per class, D = 128 or K*N features.
"""

from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from difair_hpc.osr.spec import NetworkSpec

WIDTH = 128
"""Channels that the encoder ends in."""
BLOCKS = (((64, 1), (64, 1), (128, 2)), ((128, 1), (128, 1), (128, 2)), ((128, 1), (128, 1), (128, 2)))
"""Filters and stride of each convolution, by encoder block (A.1)."""


Layer = TypeVar("Layer", bound=nn.Module)


class NetworkOutput(NamedTuple):
    """What the network says about a batch."""

    features_BD: Tensor
    """Representation z after global average pooling: D = 128 (linear head) or K*N (feature head)."""
    logits_BK: Tensor | None
    """Output of the fully connected layer; None for the feature head, which has none."""


def _undrawn(layer: Layer) -> Layer:
    """Give a layer of the meta device memory, but no values: PyTorch's own draw would advance the global generator."""
    return layer.to_empty(device="cpu")


class ConvUnit(nn.Module):
    """3x3 convolution, batch norm, LeakyReLU 0.2; stride 2 halves an even height and width."""

    def __init__(self, inputs: int, filters: int, *, stride: int, spec: NetworkSpec) -> None:
        """Make the layers; the convolution's weights stay undefined until the network initialises them."""
        super().__init__()
        # Keras' 'same' padding of an even size under stride 2 is one row below and one column to the right.
        self.pad_end_only = stride == 2 and spec.padding == "keras"
        padding = 0 if self.pad_end_only else 1
        self.conv = _undrawn(nn.Conv2d(inputs, filters, 3, stride=stride, padding=padding, bias=False, device="meta"))
        self.norm = nn.BatchNorm2d(filters, eps=spec.batch_norm_epsilon, momentum=spec.batch_norm_momentum)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, filters, H/stride, W/stride)."""
        if self.pad_end_only:
            maps_BCHW = F.pad(maps_BCHW, (0, 1, 0, 1))
        return F.leaky_relu(self.norm(self.conv(maps_BCHW)), 0.2, inplace=True)


def _encoder(channels: int, spec: NetworkSpec) -> nn.Sequential:
    dropout = nn.Dropout if spec.dropout == "element" else nn.Dropout2d
    layers: list[nn.Module] = []
    inputs = channels
    for block in BLOCKS:
        layers.append(dropout(spec.dropout_rate))
        for filters, stride in block:
            layers.append(ConvUnit(inputs, filters, stride=stride, spec=spec))
            inputs = filters
    return nn.Sequential(*layers)


class VGG32(nn.Module):
    """VGG32 with a linear head (`features_per_class` None) or DIFAIR's feature head."""

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        features_per_class: int | None,
        spec: NetworkSpec,
        generator: torch.Generator,
    ) -> None:
        """Make the network on the CPU and draw its weights.

        Args:
            channels: Channels C of the images, 1 or 3.
            classes: Known classes K.
            features_per_class: Filters N per class of the feature head; None: the linear head.
            spec: Dropout, batch norm and padding.
            generator: CPU generator, the only source of randomness: the global one is neither read nor advanced.
        """
        super().__init__()
        self.encoder = _encoder(channels, spec)
        self.last_conv: nn.Conv2d | None = None
        self.linear: nn.Linear | None = None
        if features_per_class is None:
            self.linear = _undrawn(nn.Linear(WIDTH, classes, bias=False, device="meta"))
        else:
            filters = classes * features_per_class
            self.last_conv = _undrawn(nn.Conv2d(WIDTH, filters, 3, padding=1, bias=False, device="meta"))
        self._initialise(generator)

    def _initialise(self, generator: torch.Generator) -> None:
        """Draw encoder weights from N(0, 0.05) (Neal) and the head's Glorot uniform (Keras' default)."""
        for unit in self.encoder:
            if isinstance(unit, ConvUnit):
                nn.init.normal_(unit.conv.weight, 0.0, 0.05, generator=generator)
        head = self.linear or self.last_conv
        assert head is not None
        nn.init.xavier_uniform_(head.weight, generator=generator)

    @property
    def last_conv_weight(self) -> Tensor | None:
        """(D, 128, 3, 3) weight of the feature head, class c owning rows c*N to c*N+N-1; None for the linear head."""
        return None if self.last_conv is None else self.last_conv.weight

    def forward(self, images_BCHW: Tensor) -> NetworkOutput:
        """Compute features and logits.

        Args:
            images_BCHW: Normalised images, float; height and width divisible by 8.

        Returns:
            Features and logits in the precision of the weights, under autocast too.
        """
        maps_BCHW = self.encoder(images_BCHW)
        # bfloat16 keeps three digits: scores would tie and distances be off by 0.05, so the small head is spared.
        with torch.autocast(device_type=images_BCHW.device.type, enabled=False):
            if self.last_conv is not None:
                maps_BCHW = self.last_conv(maps_BCHW.to(self.last_conv.weight.dtype))
                return NetworkOutput(maps_BCHW.mean(dim=(2, 3)), None)
            assert self.linear is not None
            features_BD = maps_BCHW.to(self.linear.weight.dtype).mean(dim=(2, 3))
            return NetworkOutput(features_BD, self.linear(features_BD))
