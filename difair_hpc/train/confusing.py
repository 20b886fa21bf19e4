"""The generated images of ARPL+CS: a generator and a discriminator that train beside the classifier (train_cs).

Before the classifier's step on a batch come one of the discriminator and one of the generator, which is to fool the
discriminator and to end as far from one reciprocal point as from another. The authors' images lie in [0, 1], and so do
their generator's. Where Vaze et al. normalise the real ones they leave the generated ones as they are; here both are
normalised alike, which is our choice. Generator and discriminator compute in float32 throughout.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from difair_hpc.data.batches import generator, normalise
from difair_hpc.data.sets import OpenSetData
from difair_hpc.data.transfer import sent
from difair_hpc.osr.gan import Discriminator, Generator
from difair_hpc.osr.method import Head
from difair_hpc.osr.rivals import ArplCs
from difair_hpc.osr.vgg32 import NetworkOutput
from difair_hpc.train.optimizer import restore_optimizer

_BETAS = (0.5, 0.999)
"""Of Adam, as in the authors' code."""
_PARTS = ("generator", "discriminator", "generator_optimizer", "discriminator_optimizer")

Classifier = Callable[[Tensor], NetworkOutput]
"""What the classifier says of generated images (B, C, H, W), normalised."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Confusing:
    """What a run trains beside its classifier; all of it belongs to a checkpoint."""

    generator: Generator
    discriminator: Discriminator
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    method: ArplCs
    mean_C: Tensor
    std_C: Tensor

    @classmethod
    def begin(cls, method: ArplCs, data: OpenSetData, *, seed: int) -> "Confusing":
        """Return both networks untrained on the data's device, drawn from the seed alone."""
        spec, device = method.spec, data.mean_C.device
        shape = {"channels": data.channels, "size": data.size}
        maker = Generator(**shape, noise=spec.noise, generator=generator(seed, "generator")).to(device)
        judge = Discriminator(**shape, generator=generator(seed, "discriminator")).to(device)
        adam: dict[str, Any] = {"lr": spec.gan_learning_rate, "betas": _BETAS, "fused": True}
        return cls(
            generator=maker,
            discriminator=judge,
            generator_optimizer=torch.optim.Adam(maker.parameters(), **adam),
            discriminator_optimizer=torch.optim.Adam(judge.parameters(), **adam),
            method=method,
            mean_C=data.mean_C,
            std_C=data.std_C,
        )

    def payload(self) -> dict[str, Any]:
        """Return weights and both Adams as tensors and plain values."""
        return {name: getattr(self, name).state_dict() for name in _PARTS}

    def restore(self, payload: Mapping[str, Any]) -> None:
        """Take over what `payload` returned in an earlier process."""
        for name, part in ((name, getattr(self, name)) for name in _PARTS):
            if isinstance(part, torch.optim.Adam):
                restore_optimizer(part, payload[name])
            else:
                part.load_state_dict(payload[name])

    def term(
        self,
        real_BCHW: Tensor,
        classifier: Classifier,
        head: Head,
        *,
        noise: torch.Generator,
        scaler: GradScaler,
    ) -> Tensor:
        """Take a step of the discriminator and one of the generator, then judge new images for the classifier's step.

        Args:
            real_BCHW: The batch of the classifier, augmented and normalised.
            classifier: In the state before this batch.
            head: Its trained tensors.
            noise: On the CPU, made for this batch.
            scaler: That of the classifier's step. The generator's gradient passes through the classifier as well, so
                that float16 would lose it; the discriminator's does not.

        Returns:
            The new images' term of the classifier's loss, a scalar; its gradient reaches the classifier only.
        """
        generated_BCHW, judge = self._generated(len(real_BCHW), noise), self.discriminator
        loss = _belief(judge(real_BCHW), 1.0) + _belief(judge(generated_BCHW.detach()), 0.0)
        _step(self.discriminator_optimizer, loss, judge)
        confusion = self.method.confusion(classifier(generated_BCHW), head)
        loss = _belief(judge(generated_BCHW), 1.0) + confusion
        _step(self.generator_optimizer, scaler.scale(loss), self.generator, scaler)
        with torch.no_grad():
            new_BCHW = self._generated(len(real_BCHW), noise)
        return self.method.confusion(classifier(new_BCHW), head)

    def _generated(self, count: int, noise: torch.Generator) -> Tensor:
        noise_BZ = sent(torch.randn(count, self.method.spec.noise, generator=noise), self.mean_C.device)
        return normalise(self.generator(noise_BZ) * 255, self.mean_C, self.std_C)


def _belief(logits_B: Tensor, target: float) -> Tensor:
    """Binary cross-entropy to one target for the whole batch; of logits, so that it does not saturate."""
    return F.binary_cross_entropy_with_logits(logits_B, torch.full_like(logits_B, target))


def _step(
    optimizer: torch.optim.Adam, loss: Tensor, network: torch.nn.Module, scaler: GradScaler | None = None
) -> None:
    """Take one step of Adam, with `scaler` of a loss that it has scaled; no other network keeps a gradient of it."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss, inputs=list(network.parameters()))
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
