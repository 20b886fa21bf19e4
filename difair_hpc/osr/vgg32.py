"""VGG32, the network of Neal et al. (2018) as DIFAIR uses it (appendix A.1): three encoder blocks and one head.

The linear head is that of the baselines (global average pooling, then a fully connected layer); the feature head is
DIFAIR's (a convolution with N filters per class, then global average pooling); the point head averages, and learns one
point per class (ARPL, DCHS). No layer has a bias.
Shapes: B batch, C image channels, H, W size, K known classes, N features per class, D = 128 or K*N features.
"""

from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True, slots=True)
class PointSpec:
    """A head that only averages the maps, and learns one point per class among the features."""

    scale: float
    """Standard deviation of the normal distribution that the points begin with."""
    radius: bool
    """Whether one scalar, the radius of all classes, is learned too; it begins with 0."""


class NetworkOutput(NamedTuple):
    """What the network says about a batch."""

    features_BD: Tensor
    """Representation z after global average pooling: K*N (feature head), else D = 128."""
    logits_BK: Tensor | None
    """Output of the fully connected layer; None for the other heads, which have none."""


def undrawn(layer: Layer) -> Layer:
    """Give a layer of the meta device memory, but no values: PyTorch's own draw would advance the global generator."""
    return layer.to_empty(device="cpu")


class ConvUnit(nn.Module):
    """3x3 convolution, batch norm, LeakyReLU 0.2; stride 2 halves an even height and width."""

    def __init__(
        self, inputs: int, filters: int, *, stride: int, spec: NetworkSpec, auxiliary_norm: bool = False
    ) -> None:
        """Make the layers; the convolution's weights stay undefined until the network initialises them."""
        super().__init__()
        # Keras' 'same' padding of an even size under stride 2 is one row below and one column to the right.
        self.pad_end_only = stride == 2 and spec.padding == "keras"
        padding = 0 if self.pad_end_only else 1
        self.conv = undrawn(nn.Conv2d(inputs, filters, 3, stride=stride, padding=padding, bias=False, device="meta"))
        self.norm = nn.BatchNorm2d(filters, eps=spec.batch_norm_epsilon, momentum=spec.batch_norm_momentum)
        self.generated_norm: nn.BatchNorm2d | None = None
        if auxiliary_norm:
            self.generated_norm = nn.BatchNorm2d(
                filters, eps=spec.batch_norm_epsilon, momentum=spec.batch_norm_momentum
            )

    def forward(self, maps_BCHW: Tensor, *, generated: bool = False) -> Tensor:
        """(B, C, H, W) -> (B, filters, H/stride, W/stride)."""
        norm = self.generated_norm if generated else self.norm
        assert norm is not None, "generated images need the auxiliary norm"
        if self.pad_end_only:
            maps_BCHW = F.pad(maps_BCHW, (0, 1, 0, 1))
        return F.leaky_relu(norm(self.conv(maps_BCHW)), 0.2, inplace=True)


def _encoder(channels: int, spec: NetworkSpec, *, auxiliary_norm: bool) -> nn.Sequential:
    dropout = nn.Dropout if spec.dropout == "element" else nn.Dropout2d
    layers: list[nn.Module] = []
    inputs = channels
    for block in BLOCKS:
        layers.append(dropout(spec.dropout_rate))
        for filters, stride in block:
            layers.append(ConvUnit(inputs, filters, stride=stride, spec=spec, auxiliary_norm=auxiliary_norm))
            inputs = filters
    return nn.Sequential(*layers)


class VGG32(nn.Module):
    """VGG32 with DIFAIR's feature head (`features_per_class`), a point head (`points`) or the linear head (neither)."""

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        features_per_class: int | None,
        points: PointSpec | None = None,
        auxiliary_norm: bool = False,
        spec: NetworkSpec,
        generator: torch.Generator,
    ) -> None:
        """Make the network on the CPU and draw its weights.

        Args:
            channels: Channels C of the images, 1 or 3.
            classes: Known classes K.
            features_per_class: Filters N per class of the feature head; None: another head.
            points: What the point head learns; None: another head.
            auxiliary_norm: Give the encoder a second set of batch norms, for generated images (ARPL's code, ABN.py).
            spec: Dropout, batch norm and padding.
            generator: CPU generator, the only source of randomness: the global one is neither read nor advanced.
        """
        super().__init__()
        self.encoder = _encoder(channels, spec, auxiliary_norm=auxiliary_norm)
        self.last_conv: nn.Conv2d | None = None
        self.linear: nn.Linear | None = None
        self.points: nn.Parameter | None = None
        self.radius: nn.Parameter | None = None
        if features_per_class is not None:
            filters = classes * features_per_class
            self.last_conv = undrawn(nn.Conv2d(WIDTH, filters, 3, padding=1, bias=False, device="meta"))
        elif points is not None:
            self.points = nn.Parameter(torch.empty(classes, WIDTH))
            self.radius = nn.Parameter(torch.zeros(())) if points.radius else None
        else:
            self.linear = undrawn(nn.Linear(WIDTH, classes, bias=False, device="meta"))
        self._initialise(generator, points)

    def _initialise(self, generator: torch.Generator, points: PointSpec | None) -> None:
        """Draw encoder weights from N(0, 0.05) (Neal), the head's Glorot uniform (Keras' default) or its points."""
        for unit in self.encoder:
            if isinstance(unit, ConvUnit):
                nn.init.normal_(unit.conv.weight, 0.0, 0.05, generator=generator)
        if (layer := self.linear or self.last_conv) is not None:
            nn.init.xavier_uniform_(layer.weight, generator=generator)
        if self.points is not None and points is not None:
            nn.init.normal_(self.points, 0.0, points.scale, generator=generator)

    @property
    def head(self) -> dict[str, Tensor]:
        """Tensors of the head by name: weight (K, 128) or (D, 128, 3, 3), points (K, 128), radius ().

        Class c owns rows c*N to c*N+N-1 of the feature head's weight.
        """
        layer = self.linear or self.last_conv
        named = {"weight": None if layer is None else layer.weight, "points": self.points, "radius": self.radius}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def forward(self, images_BCHW: Tensor, *, generated: bool = False) -> NetworkOutput:
        """Compute features and logits.

        Args:
            images_BCHW: Normalised images, float; height and width divisible by 8.
            generated: Whether they are generated images, which the auxiliary norms take.

        Returns:
            Features and logits in the precision of the weights, under autocast too.
        """
        maps_BCHW = images_BCHW
        for layer in self.encoder:
            maps_BCHW = layer(maps_BCHW, generated=generated) if isinstance(layer, ConvUnit) else layer(maps_BCHW)
        # bfloat16 keeps three digits: scores would tie and distances be off by 0.05, so the small head is spared.
        with torch.autocast(device_type=images_BCHW.device.type, enabled=False):
            if self.last_conv is not None:
                maps_BCHW = self.last_conv(maps_BCHW.to(self.last_conv.weight.dtype))
                return NetworkOutput(maps_BCHW.mean(dim=(2, 3)), None)
            weight = next(iter(self.head.values()))
            features_BD = maps_BCHW.to(weight.dtype).mean(dim=(2, 3))
            return NetworkOutput(features_BD, None if self.linear is None else self.linear(features_BD))
