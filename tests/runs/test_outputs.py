"""The saved outputs of a run: what was written comes back, and a damaged file is named."""

from pathlib import Path

import pytest
import torch

from difair_hpc.errors import DataDamaged
from difair_hpc.osr.outputs import Outputs, Part
from difair_hpc.runs.outputs import NAME, SavedOutputs, load, save


def _saved(*, logits: bool = True) -> SavedOutputs:
    def part(images: int) -> Part:
        return Part(
            features_BD=torch.rand(images, 4),
            logits_BK=torch.rand(images, 2) if logits else None,
            labels_B=torch.arange(images),
        )

    outputs = Outputs(train=part(5), known=part(3), unknown=part(0), head={"weight": torch.rand(2, 4)})
    return SavedOutputs(outputs=outputs, class_names=("cat", "a|b"), unknown_names={17: "potter's wheel"})


@pytest.mark.parametrize("logits", [True, False])
def test_what_was_saved_comes_back(tmp_path: Path, *, logits: bool) -> None:
    saved = _saved(logits=logits)
    save(tmp_path, saved)
    found = load(tmp_path)
    assert found is not None
    assert (found.class_names, found.unknown_names) == (saved.class_names, saved.unknown_names)
    assert torch.equal(found.outputs.head["weight"], saved.outputs.head["weight"])
    for name in ("train", "known", "unknown"):
        mine, theirs = getattr(saved.outputs, name), getattr(found.outputs, name)
        assert torch.equal(mine.features_BD, theirs.features_BD)
        assert torch.equal(mine.labels_B, theirs.labels_B)
        assert (theirs.logits_BK is None) != logits
        assert not logits or torch.equal(mine.logits_BK, theirs.logits_BK)


def test_a_run_without_outputs_has_none(tmp_path: Path) -> None:
    assert load(tmp_path) is None


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("spoilt", [_cut, lambda _: b"", lambda _: b"{}" * 20], ids=["cut", "empty", "other"])
def test_a_damaged_file_is_named(tmp_path: Path, spoilt: object) -> None:
    assert callable(spoilt)
    path = save(tmp_path, _saved())
    path.write_bytes(spoilt(path.read_bytes()))
    with pytest.raises(DataDamaged, match=NAME):
        load(tmp_path)
