"""What around a process an unforeseen exception comes from: a variable, a foreign package, a limit, a file system.

Nobody can foresee all that a shell, a login node or a container does to the libraries below. So the exception is held
beside what is set and what is limited here: `certain` says what it names itself, `possible` what may be behind it.
"""

import errno
import os
import re
import resource
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_STEERS = re.compile(
    r"(ACC|AOT|ATEN|BLIS|CUBLAS(LT)?|CUDA|CUDNN|DNNL|GOMP|HIP|HSA|ITT|KMP|LIBOMP|MALLOC|MKL|MLFLOW|MPL|NCCL|NPY|"
    r"NUMEXPR|NUMPY|NVIDIA|OMP|ONEDNN|OPENBLAS|OPTUNA|PIP|PYTHON|PYTORCH|ROCR|SCIPY|SKLEARN|SQLALCHEMY|TORCH|"
    r"TORCHINDUCTOR|TRITON|VECLIB|XDG)_?[A-Z0-9_]*|LD_[A-Z_]+|LC_[A-Z]+|LANG|LANGUAGE|TMPDIR|TEMP|TMP|GLIBC_TUNABLES|"
    r"(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SSL_CERT_(FILE|DIR)|SOURCE_DATE_EPOCH|HOME"
)
"""Names of variables that change what Python and the libraries below do."""
_BY_PACKAGE: Mapping[str, tuple[str, ...]] = {
    "torch": ("TORCH", "PYTORCH", "CUDA", "CUBLAS", "CUDNN", "OMP", "MKL", "KMP", "ATEN", "ONEDNN", "DNNL", "NVIDIA"),
    "numpy": ("NPY", "NUMPY", "OPENBLAS", "OMP", "MKL"),
    "scipy": ("SCIPY", "OPENBLAS", "OMP"),
    "sklearn": ("SKLEARN", "OMP", "OPENBLAS"),
    "mlflow": ("MLFLOW", "HTTP", "http", "SSL", "REQUESTS"),
    "requests": ("MLFLOW", "HTTP", "http", "REQUESTS", "CURL", "SSL"),
    "urllib3": ("MLFLOW", "HTTP", "http", "SSL"),
    "optuna": ("OPTUNA",),
    "sqlalchemy": ("SQLALCHEMY",),
    "matplotlib": ("MPL", "XDG"),
    "tempfile": ("TMPDIR", "TEMP", "TMP"),
    "locale": ("LC_", "LANG"),
}
"""Package in whose code an exception was raised, and with what the variables begin that it reads."""
_MEMORY = re.compile(
    r"bad_alloc|cannot allocate memory|can't allocate memory|not enough memory|out of memory|unable to mmap|"
    r"failed to map segment|cannot map|DefaultCPUAllocator|MemoryError",
    re.IGNORECASE,
)
_THREADS = re.compile(r"can't start new thread|thread creation failed|Resource temporarily unavailable", re.IGNORECASE)
_LIBRARY = re.compile(r"undefined symbol|version `\w+_[\d.]+' not found|cannot open shared object|wrong ELF class")
_ROOMY = 16 * 2**30
"""Bytes of addresses: libraries of torch and CUDA take five gigabytes of them before anything is computed."""
_TEMPORARY = ("TMPDIR", "TEMP", "TMP")
_COMMON = {"0", "1", "2", "true", "false", "yes", "no", "on", "off", "none", "auto", "error", "default", ""}
"""Values of variables that stand in a message for many reasons."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What is known of where an exception comes from."""

    certain: tuple[str, ...] = ()
    """Sentences without an end; what the exception itself names."""
    possible: tuple[str, ...] = ()
    """What may be behind it."""

    def __str__(self) -> str:
        """Say all that is known; nothing is known: nothing."""
        parts = [*self.certain]
        if self.possible and not parts:
            parts.append(f"this may come from {', '.join(self.possible)}")
        return "; ".join(parts)


def diagnosis(error: BaseException, environment: Mapping[str, str] = os.environ) -> Diagnosis:
    """Hold an exception beside what is set and limited around this process."""
    text = " ".join(f"{type(one).__name__}: {one}" for one in _chain(error))
    named = [*_named(text, environment), *_foreign(error, text, environment), *_mounts(text), *_limits(error, text)]
    if isinstance(error, Warning):
        named += [f"PYTHONWARNINGS={environment['PYTHONWARNINGS']} makes errors of warnings"] * (
            "PYTHONWARNINGS" in environment
        )
    if isinstance(error, UnicodeError):
        named += [
            _set(name, environment)
            for name in ("LC_ALL", "LC_CTYPE", "LANG", "PYTHONIOENCODING")
            if environment.get(name)
        ]
    if _LIBRARY.search(text):
        named += [_set(name, environment) for name in ("LD_PRELOAD", "LD_LIBRARY_PATH") if environment.get(name)]
    if isinstance(error, ModuleNotFoundError) and not named:
        named.append(f"{sys.executable} lacks a package: make install (or pip install difair-hpc) completes it")
    return Diagnosis(certain=tuple(dict.fromkeys(named)), possible=tuple(_possible(error, environment)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and those that it came from."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _named(text: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the variables whose name stands in the text, or whose unusual value does."""
    for name, value in sorted(environment.items()):
        if not _STEERS.fullmatch(name):
            continue
        by_name = len(name) > len("HOME") and re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text)
        is_usual = len(value) < 2 or value.isdigit() or value.lower() in _COMMON
        by_value = not is_usual and re.search(rf"""['"`]{re.escape(value)}['"`]""", text)
        below = name in _TEMPORARY and value.startswith("/") and f"{value.rstrip('/')}/" in text
        if by_name or by_value or below:
            yield _set(name, environment)


def _set(name: str, environment: Mapping[str, str]) -> str:
    value = environment[name]
    return f"{name}={value if len(value) <= 100 else value[:100] + '…'} is set"


def _foreign(error: BaseException, text: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what PYTHONPATH brings in place of an installed package: where the exception goes through it, or names it.

    An import that fails need not name the package that is too old or too new for it: then it is enough to be imported.
    """
    folders = [Path(part).absolute() for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    paths = {frame.filename for one in _chain(error) for frame in traceback.extract_tb(one.__traceback__)}
    paths |= set(re.findall(r"/[^\s'\"():,]+", text))
    if any(isinstance(one, ImportError | AttributeError) for one in _chain(error)):
        paths |= {str(getattr(module, "__file__", None) or "") for module in [*sys.modules.values()]}
    for folder in folders:
        inside = [
            Path(path).relative_to(folder) for path in sorted(paths) if path and Path(path).is_relative_to(folder)
        ]
        shadows = [path for path in inside if path.parts and _is_installed(path.parts[0], besides=folder)]
        if shadows:
            file = folder / next((path for path in shadows if path.name == "__init__.py"), shadows[0])
            said = environment["PYTHONPATH"]
            yield f"PYTHONPATH={said} brings {file} in place of the package that is installed: unset it"


def _is_installed(name: str, *, besides: Path) -> bool:
    """Whether a package or module of that name lies in this Python's own folders."""
    homes = {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib", "stdlib")} - {besides}
    stem = name.partition(".")[0]
    return any((home / word).exists() for home in homes for word in (name, stem, f"{stem}.py"))


def _mounts(text: str) -> Iterator[str]:
    """Yield the files of the text from which nothing may be executed."""
    if not re.search(r"failed to map segment|Operation not permitted|Permission denied", text):
        return
    for word in re.findall(r"/[^\s'\":]+", text):
        path = next((one for one in (Path(word), *Path(word).parents) if one.exists()), Path("/"))
        if path.is_file() and os.statvfs(path).f_flag & os.ST_NOEXEC:
            yield f"{path} lies on a file system that is mounted noexec: install difair elsewhere"


def _limits(error: BaseException, text: str) -> Iterator[str]:
    """Yield the limits of this process that fit the exception."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _MEMORY.search(text):
        yield from _finite("ulimit -v", resource.RLIMIT_AS, 2**20, " GB of addresses", 2**10)
        yield from _finite("ulimit -d", resource.RLIMIT_DATA, 2**20, " GB of data", 2**10)
    if number == errno.EMFILE or "Too many open files" in text:
        yield from _finite("ulimit -n", resource.RLIMIT_NOFILE, 1, " open files")
    if number == errno.EAGAIN or _THREADS.search(text):
        yield from _finite("ulimit -u", resource.RLIMIT_NPROC, 1, " processes and threads of yours")
        yield from _finite("ulimit -v", resource.RLIMIT_AS, 2**20, " GB of addresses", 2**10)
    if number == errno.EFBIG:
        yield from _finite("ulimit -f", resource.RLIMIT_FSIZE, 2**10, " MB of a file", 2**10)


def tight_limits() -> list[str]:
    """Return the limits of this process in which torch may end without a message, one sentence each."""
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return [*_finite("ulimit -v", resource.RLIMIT_AS, 2**20, " GB of addresses", 2**10)] if 0 <= soft < _ROOMY else []


def _finite(command: str, kind: int, unit: int, words: str, more: int = 1) -> Iterator[str]:
    soft = resource.getrlimit(kind)[0]
    if soft != resource.RLIM_INFINITY:
        yield f"{command} allows {soft / unit / more:.3g}{words} here: raise it, or go where it is higher"


def _possible(error: BaseException, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the variables that are set and that the package reads in whose code the exception was raised."""
    names = [
        name
        for one in _chain(error)
        for frame in traceback.extract_tb(one.__traceback__)
        for name in Path(frame.filename).parts
    ]
    stems = {name.removesuffix(".py") for name in names}
    begins = tuple(prefix for package, prefixes in _BY_PACKAGE.items() if package in stems for prefix in prefixes)
    for name in sorted(environment):
        if begins and name.startswith(begins) and _STEERS.fullmatch(name):
            yield f"{name}={environment[name][:60]}"
