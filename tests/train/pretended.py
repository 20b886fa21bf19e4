"""A second device that does not exist: it computes on the CPU, and notes what passes between it and the host.

Its name is cpu:1. PyTorch's kernels for the CPU run on what is inside, so that values are real, but to PyTorch a tensor
there is as far from the host as one of a GPU: it has to be copied or read. A GPU by name would need its driver.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("cpu", 1)
aten = torch.ops.aten
READING = {
    aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default, aten.nonzero.default,
    aten.masked_select.default, aten._unique2.default, aten.unique_dim.default, aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor,
}  # fmt: skip
"""Operations after which the host has to know something that the device computed: a GPU would be waited for."""
BY_INDEX = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
"""With a mask they have to know how many places it names."""


class There(Tensor):
    """A tensor on the pretended device."""

    inner: Tensor  # type: ignore[assignment]  # hides the method of that name

    @staticmethod
    def __new__(cls, inner: Tensor) -> "There":
        made: There = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, *_: Any) -> Any:
        raise AssertionError("used outside of the pretence")

    def tolist(self) -> Any:
        raise AssertionError("unseen read: PyTorch would look for memory that a wrapper has not")

    numpy = tolist  # type: ignore[assignment]


@dataclass
class Traffic:
    """What passed since the last `clear`."""

    reads: list[str] = field(default_factory=list)
    """Names of the operations that made the host wait."""
    sent: list[int] = field(default_factory=list)
    """Bytes of each copy to the device."""

    def clear(self) -> None:
        self.reads.clear()
        self.sent.clear()


class Pretence(TorchDispatchMode):
    """While it is entered, DEVICE exists."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.traffic = Traffic()

    def __enter__(self) -> "Pretence":
        # A module of a real other device gets new parameters; to PyTorch this one is the same as the CPU there.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        torch.__future__.set_overwrite_module_params_on_conversion(False)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        leaves = tree_leaves((args, given))
        there = any(isinstance(leaf, There) for leaf in leaves)
        if not there and DEVICE not in [leaf for leaf in leaves if isinstance(leaf, torch.device)]:
            return func(*args, **given)
        leaving = there and "device" in given and given["device"] not in (None, DEVICE)
        masked = func in BY_INDEX and any(
            index.dtype == torch.bool for index in tree_leaves(args[1]) if index is not None
        )
        if masked or func in READING or leaving or (func is aten.copy_.default and not isinstance(args[0], There)):
            self.traffic.reads.append(str(func))
        if any(isinstance(leaf, Tensor) and not isinstance(leaf, There) and leaf.ndim for leaf in leaves):
            self.traffic.sent.append(sum(leaf.nbytes for leaf in leaves if type(leaf) is Tensor))
        before = {id(leaf.inner): leaf for leaf in leaves if isinstance(leaf, There)}
        inner_args, inner_kwargs = tree_map_only(There, lambda tensor: tensor.inner, (args, given))
        if inner_kwargs.get("device") == DEVICE:
            inner_kwargs["device"] = torch.device("cpu")
        if func is aten._to_copy.default:  # a copy even where PyTorch would see nothing to do
            inner_kwargs["device"] = None
        result = func(*inner_args, **inner_kwargs)
        if leaving:
            return result
        return tree_map_only(Tensor, lambda leaf: before[id(leaf)] if id(leaf) in before else There(leaf), result)
