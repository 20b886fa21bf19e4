"""An exception that nobody has foreseen names what around the process it comes from, and claims nothing else."""

import errno
import os
import resource
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest

from difair_hpc.runs.suspects import diagnosis, tight_limits

BOTH = "Only one of `TORCH_FORCE_WEIGHTS_ONLY_LOAD` or `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` should be set"


@pytest.mark.parametrize(
    ("error", "environment", "named"),
    [
        (ValueError("Failed to convert 'abc' for MLFLOW_HTTP_REQUEST_TIMEOUT"), {"MLFLOW_HTTP_REQUEST_TIMEOUT": "abc"},
         ["MLFLOW_HTTP_REQUEST_TIMEOUT=abc is set"]),
        (RuntimeError(BOTH), {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
         ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 is set", "TORCH_FORCE_WEIGHTS_ONLY_LOAD=1 is set"]),
        (ValueError("invalid literal for int() with base 10: 'many'"), {"OMP_NUM_THREADS": "many", "LANG": "C"},
         ["OMP_NUM_THREADS=many is set"]),
        (FileNotFoundError(2, "No such file", "/gone/tmp7/x"), {"TMPDIR": "/gone"}, ["TMPDIR=/gone is set"]),
        (UnicodeEncodeError("ascii", "ü", 0, 1, "ordinal"), {"LC_ALL": "POSIX"}, ["LC_ALL=POSIX is set"]),
        (DeprecationWarning("old"), {"PYTHONWARNINGS": "error"}, ["PYTHONWARNINGS=error makes errors of warnings"]),
        (ImportError("/lib/libx.so: undefined symbol: a"), {"LD_LIBRARY_PATH": "/opt/lib", "LD_PRELOAD": ""},
         ["LD_LIBRARY_PATH=/opt/lib is set"]),
        (ValueError("invalid value '1'"), {"CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "1"}, []),
        (ValueError("the LANGUAGES of MYLANG"), {"LANG": "C", "LANGUAGE": "de"}, []),
        (KeyError("missing"), {"MLFLOW_TRACKING_URI": "x", "TORCH_LOGS": "all"}, []),
        (KeyError("secret"), {"MY_PASSWORD": "secret"}, []),
    ],
)  # fmt: skip
def test_a_variable_that_the_message_names_is_named(
    error: Exception, environment: Mapping[str, str], named: list[str]
) -> None:
    assert list(diagnosis(error, environment).certain) == named


def test_what_the_cause_names_counts_too() -> None:
    error = RuntimeError("it does not start")
    error.__cause__ = ValueError("KMP_AFFINITY is odd")
    assert diagnosis(error, {"KMP_AFFINITY": "sideways"}).certain == ("KMP_AFFINITY=sideways is set",)


def test_variables_of_the_library_that_raised_are_possible_and_no_more() -> None:
    import torch

    with pytest.raises(RuntimeError) as raised:
        torch.nn.Linear(2, 2)(torch.zeros(3))
    found = diagnosis(raised.value, {"TORCH_LOGS": "+dynamo", "OPTUNA_X": "1", "HOME": "/root"})
    assert (found.certain, found.possible) == ((), ("TORCH_LOGS=+dynamo",))
    assert str(found) == "this may come from TORCH_LOGS=+dynamo"
    assert str(diagnosis(raised.value, {"HOME": "/root"})) == ""


def test_a_foreign_package_is_named_where_it_stands_for_one_that_is_installed(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": f"/elsewhere{os.pathsep}{tmp_path}"}
    for name, code in (("numpy", "raise ImportError('cannot import name core')"), ("own", "raise ImportError('no')")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(code)
        with pytest.raises(ImportError) as raised:
            exec(compile(code, str(tmp_path / name / "__init__.py"), "exec"))
        (named,) = diagnosis(raised.value, environment).certain or ("",)
        assert (f"brings {tmp_path}/numpy/__init__.py in place of the package that is installed" in named) is (
            name == "numpy"
        )


LIMITS = {
    "ulimit -v": (resource.RLIMIT_AS, 2**33, "ulimit -v allows 8 GB of addresses here"),
    "ulimit -n": (resource.RLIMIT_NOFILE, 64, "ulimit -n allows 64 open files here"),
    "ulimit -u": (resource.RLIMIT_NPROC, 100, "ulimit -u allows 100 processes and threads of yours here"),
}


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (MemoryError(), "ulimit -v"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "ulimit -v"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"), "ulimit -v"),
        (RuntimeError("std::bad_alloc"), "ulimit -v"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "ulimit -v"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (ValueError("something else"), ""),
    ],
)
def test_a_limit_is_named_where_there_is_one(monkeypatch: pytest.MonkeyPatch, error: Exception, limit: str) -> None:
    low = {kind: (value, value) for kind, value, _ in LIMITS.values()}
    none = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr("resource.getrlimit", lambda kind: low.get(kind, none))
    certain = diagnosis(error, {}).certain
    assert any(LIMITS[limit][2] in line for line in certain) if limit else certain == ()
    monkeypatch.setattr("resource.getrlimit", lambda _: none)
    assert diagnosis(error, {}).certain == ()


@pytest.mark.parametrize(("gb", "tight"), [(4, True), (64, False), (None, False)])
def test_a_limit_in_which_torch_dies_is_told_before(
    monkeypatch: pytest.MonkeyPatch, gb: int | None, tight: bool
) -> None:
    soft = resource.RLIM_INFINITY if gb is None else gb * 2**30
    monkeypatch.setattr("resource.getrlimit", lambda _: (soft, soft))
    assert [line.partition(" allows ")[0] for line in tight_limits()] == ["ulimit -v"] * tight


def test_a_file_on_a_mount_that_executes_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "_core.so"
    library.write_bytes(b"")
    error = ImportError(f"{library}: failed to map segment from shared object")
    monkeypatch.setattr("resource.getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert diagnosis(error, {}).certain == ()
    real = os.statvfs(tmp_path)

    class Mounted:
        f_flag = real.f_flag | os.ST_NOEXEC

    monkeypatch.setattr("os.statvfs", lambda _: Mounted)
    (named,) = diagnosis(error, {}).certain
    assert named == f"{library} lies on a file system that is mounted noexec: install difair elsewhere"


def test_nothing_is_said_of_an_exception_of_ours_in_a_plain_shell() -> None:
    with warnings.catch_warnings():
        assert str(diagnosis(ZeroDivisionError("division by zero"), {"HOME": "/root", "PATH": "/bin"})) == ""
