"""The outputs of a run in its folder, `outputs.safetensors`: scores, tables and figures come from them without a GPU.

The format runs no code when it is read; it is written whole, before result.json.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as unpacked
from safetensors.torch import save as packed

from difair_hpc.errors import DataDamaged
from difair_hpc.files import read_bytes, write_atomically
from difair_hpc.osr.outputs import Outputs, Part

NAME = "outputs.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SavedOutputs:
    """What the file holds."""

    outputs: Outputs
    """On the CPU."""
    class_names: tuple[str, ...]
    """Names of the known classes by label."""
    unknown_names: Mapping[int, str]
    """Name of each unknown class by its original number."""


def save(folder: Path, saved: SavedOutputs) -> Path:
    """Write the outputs into a run folder.

    Raises:
        DiskFull: No space is left.
    """
    outputs = saved.outputs
    tensors = {f"head.{name}": tensor for name, tensor in outputs.head.items()}
    for name, part in (("train", outputs.train), ("known", outputs.known), ("unknown", outputs.unknown)):
        tensors |= {f"{name}.features": part.features_BD, f"{name}.labels": part.labels_B}
        if part.logits_BK is not None:
            tensors[f"{name}.logits"] = part.logits_BK
    names = {
        "class_names": list(saved.class_names),
        "unknown_names": {str(k): v for k, v in saved.unknown_names.items()},
    }
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return write_atomically(folder / NAME, packed(plain, {"names": json.dumps(names)}))


def load(folder: Path) -> SavedOutputs | None:
    """Read the outputs of a run folder; None where there are none (the run diverged, or is of an earlier version).

    Raises:
        DataDamaged: The file cannot be read.
    """
    path = folder / NAME
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        tensors, names = unpacked(content), json.loads(_metadata(content)["names"])
        return SavedOutputs(
            outputs=Outputs(
                train=_part(tensors, "train"),
                known=_part(tensors, "known"),
                unknown=_part(tensors, "unknown"),
                head={key.removeprefix("head."): value for key, value in tensors.items() if key.startswith("head.")},
            ),
            class_names=tuple(names["class_names"]),
            unknown_names={int(number): name for number, name in names["unknown_names"].items()},
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _unusable(path, error) from error


def _metadata(content: bytes) -> Mapping[str, str]:
    """Return the texts that stand beside the tensors: the length of a JSON header in 8 bytes, then the header."""
    length = int.from_bytes(content[:8], "little")
    found: Mapping[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


def _unusable(path: Path, error: Exception) -> DataDamaged:
    return DataDamaged(f"{path} cannot be read ({error}); its scores and figures are left out.")


def _part(tensors: Mapping[str, torch.Tensor], name: str) -> Part:
    return Part(
        features_BD=tensors[f"{name}.features"],
        logits_BK=tensors.get(f"{name}.logits"),
        labels_B=tensors[f"{name}.labels"],
    )
