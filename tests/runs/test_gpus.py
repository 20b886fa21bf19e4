"""A run inherits one of the GPUs that the user was given, by the name by which it was given."""

import pytest

from difair_hpc.errors import InvalidValue
from difair_hpc.runs.device import chosen_device
from difair_hpc.runs.gpus import given_gpus
from difair_hpc.runs.spec import ExecutionSpec

ONE, TWO = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-11"
PARTS = "MIG-41b36db3-1111-5a46-9bd1-5f9ba2b9b2f8,MIG-GPU-8932f937-d72c/1/0"


@pytest.mark.parametrize(
    ("said", "seen", "names"),
    [
        (None, 3, ["0", "1", "2"]),
        ("2,3", 2, ["2", "3"]),
        (" 3 , 2 ", 2, ["3", "2"]),
        ("5", 1, ["5"]),
        (f"{ONE},{TWO}", 2, [ONE, TWO]),
        (PARTS, 1, PARTS.split(",")),
        (f"{PARTS},{ONE}", 1, [PARTS.split(",", maxsplit=1)[0]]),
        ("2,7", 1, ["2"]),
        ("2,-1,3", 1, ["2"]),
        ("", 0, []),
        ("-1", 0, []),
        ("NoDevFiles", 0, []),
        ("NoDevFiles", 2, []),
        ("2,3", 0, []),
        (PARTS, 0, []),
    ],
)
def test_the_names_of_the_gpus_that_are_seen(said: str | None, seen: int, names: list[str]) -> None:
    environment = {} if said is None else {"CUDA_VISIBLE_DEVICES": said}
    assert list(given_gpus(seen, environment)) == names


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"HIP_VISIBLE_DEVICES": "4,6"}, ("4", "6")),
        ({"HIP_VISIBLE_DEVICES": "4,6", "CUDA_VISIBLE_DEVICES": "1,2"}, ("4", "6")),
        ({"CUDA_VISIBLE_DEVICES": "1,2"}, ("1", "2")),
        ({"ROCR_VISIBLE_DEVICES": "5,7"}, ("0", "1")),
    ],
)
def test_the_gpus_of_amd_have_a_variable_of_their_own(environment: dict[str, str], names: tuple[str, ...]) -> None:
    assert given_gpus(2, environment, amd=True) == names


def test_a_gpu_beyond_those_that_are_seen_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    assert str(chosen_device(ExecutionSpec(device="cuda:1"))) == "cuda:1"
    with pytest.raises(InvalidValue, match=r"cuda:0 to cuda:1, since torch sees 2 here \(CUDA_VISIBLE_DEVICES=4,5\)"):
        chosen_device(ExecutionSpec(device="cuda:4"))
