"""Nothing is unpickled from an output root: whoever can write there could have put any code into a pickle.

Seen in three ways: no file of the package names what unpickles; hostile pickles at every name from which submitit took
its jobs run nothing; and no process of a whole study looks up a name for a pickle (the audit event of every unpickler).
"""

import ast
import os
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.cluster import LocalCluster
from difair_hpc.sweep.jobs import Order
from tests import layout_rules as rules
from tests import short
from tests.cli.made import created, typed
from tests.waiting import eventually

PACKAGE = Path(rules.__file__).parents[1] / rules.PACKAGE
UNPICKLING = ("pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "submitit")
"""Modules that unpickle."""
LOADERS = ("torch.load", "torch.jit.load", "torch.export.load", "torch.package", "numpy.load")
"""Functions of others that may."""
LOADING = (".read_pickle", ".load_model", ".JournalRedisBackend")
"""Ends of the names of further ones."""
SAFE_WORDS = {"torch.load": "weights_only=True", "numpy.load": "allow_pickle=False"}
"""With this word they do not."""
ALLOWED = {
    ("train/checkpoint.py", "pickle.UnpicklingError"): "an exception",
    ("data/readers.py", "pickle.UnpicklingError"): "an exception",
    ("data/readers.py", "pickle.Unpickler"): "reads data sets, and imports nothing that a pickle names",
    ("sweep/sbatch.py", "submitit.slurm.slurm._make_sbatch_string"): "makes text",
    ("runs/model.py", "torch.export.load"): "reads what the lines above it wrote, in a temporary folder of its own",
}


def named(file: str, source: str) -> Iterator[str]:
    """Yield the names in a file of what could unpickle."""
    tree = ast.parse(source)
    found = list(rules.imports(file, tree))
    names = {one.local: one.means for one in found}
    with_safe_word = {
        call.func
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for word in call.keywords
        if f"{word.arg}={ast.unparse(word.value)}" == SAFE_WORDS.get(rules._dotted(call.func, names))
    }
    yield from (one.dotted for one in found if one.dotted != "pickle")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and node not in with_safe_word:
            name = rules._dotted(node, names)
            if "." in name:
                yield name


def unpickles(file: str, source: str) -> list[str]:
    """Return what unpickles, of all that a file of the package names, and is not allowed there."""
    return sorted(
        name
        for name in set(named(file, source))
        if (name.partition(".")[0] in UNPICKLING or name in LOADERS or name.endswith(LOADING))
        and not name.startswith(f"{rules.PACKAGE}.")
        and (file.removeprefix(f"{rules.PACKAGE}/"), name) not in ALLOWED
    )


def test_no_file_of_the_package_names_what_unpickles() -> None:
    files = {f"{rules.PACKAGE}/{path.relative_to(PACKAGE)}": path for path in PACKAGE.rglob("*.py")}
    found = {file: unpickles(file, path.read_text()) for file, path in files.items()}
    assert {file: names for file, names in found.items() if names} == {}
    for file, name in ALLOWED:
        assert name in set(named(file, (PACKAGE / file).read_text())), f"{file} needs no leave for {name} any more"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(file)",
        "import pickle as p\np.loads(text)",
        "from pickle import Unpickler",
        "import cloudpickle",
        "import submitit\nsubmitit.LocalExecutor('jobs')",
        "from submitit.core.utils import DelayedSubmission",
        "import torch\ntorch.load(file)",
        "import torch\ntorch.load(file, weights_only=False)",
        "import torch\nread = torch.load",
        "import numpy as np\nnp.load(file, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle(file)",
        "import mlflow\nmlflow.pytorch.load_model(uri)",
        "import importlib\nimportlib.import_module('joblib')",
    ],
)
def test_what_unpickles_is_found(source: str) -> None:
    assert unpickles("difair_hpc/runs/job.py", source)


class Hostile:
    """Makes a file when it is unpickled as pickles usually are."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


@contextmanager
def planted(jobs: Path, mark: Path) -> Iterator[list[int]]:
    """Put hostile pickles, again and again, wherever submitit had its own: for each process of this session.

    Yields:
        How often that was done.
    """
    text, over, rounds = pickle.dumps(Hostile(mark)), threading.Event(), [0]
    jobs.mkdir(parents=True, exist_ok=True)

    def plant() -> None:
        copy = jobs / ".copy"
        while not over.is_set():
            last = int(Path("/proc/sys/kernel/ns_last_pid").read_text())
            pids = {*range(last - 100, last + 100), *(int(path.name.partition("_")[0]) for path in logs())}
            names = [f"{pid}{end}" for pid in pids for end in ("_submitted.pkl", "_0_result.pkl")]
            for path in (*(jobs / name for name in names), *jobs.glob("*.pkl")):
                copy.write_bytes(text)
                copy.replace(path)
            rounds[0] += 1
            time.sleep(0.01)

    def logs() -> list[Path]:
        return [path for path in jobs.glob("*_log.*") if path.name.partition("_")[0].isdecimal()]

    thread = threading.Thread(target=plant)
    thread.start()
    try:
        yield rounds
    finally:
        over.set()
        thread.join()


def test_a_planted_pickle_would_run_its_code(tmp_path: Path) -> None:
    with planted(tmp_path / "jobs", tmp_path / "mark") as rounds:
        assert eventually(lambda: rounds[0])
    name = f"{os.getpid()}_submitted.pkl"
    (tmp_path / "jobs" / name).write_bytes(next((tmp_path / "jobs").glob("*.pkl")).read_bytes())
    pickle.loads((tmp_path / "jobs" / name).read_bytes())
    assert (tmp_path / "mark").exists()


@pytest.mark.slow
def test_pickles_that_a_colleague_plants_while_local_jobs_start_run_nothing(tmp_path: Path) -> None:
    root, mark = tmp_path / "o", tmp_path / "mark"
    folders = [created(root, seed=seed) for seed in range(2)]
    cluster = LocalCluster(root, ExecutionSpec(device="cpu", threads=1))
    with planted(root / "jobs", mark) as rounds:
        assert eventually(lambda: rounds[0])
        cluster.submit([Order(runs=(folder.signature,)) for folder in folders])
        assert eventually(lambda: not cluster.jobs())
    assert not mark.exists()
    assert [folder.state().status for folder in folders] == ["done", "done"]


AUDIT = """
import os, sys, traceback

def told(event, given, folder=os.environ["SEEN"]):
    if event == "pickle.find_class":
        with open(os.path.join(folder, str(os.getpid())), "a") as file:
            called = [frame.f_code.co_filename for frame, _ in traceback.walk_stack(None)]
            file.write(f"{'.'.join(given)} for {[name for name in called if 'difair_hpc' in name][:1]}\\n")

sys.addaudithook(told)
with open(os.path.join(os.environ["SEEN"], str(os.getpid())), "a") as file:
    file.write("")
"""
"""Executed by each Python process at its start: it writes which names are looked up for pickles, and in which file."""


@pytest.mark.slow
def test_no_process_of_a_study_looks_up_a_name_for_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "seen"
    for name in ("seen", "sweeps", "audit"):
        (tmp_path / name).mkdir()
    (tmp_path / "audit/sitecustomize.py").write_text(AUDIT)
    (tmp_path / "sweeps/mini.yaml").write_text(short.search(1, "[6]"))
    monkeypatch.setenv("SEEN", str(seen))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "audit"))
    done = typed("sweep", "mini", "root=o", "cluster.device=cpu", "cluster.threads=1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(seen.iterdir())) >= 2, "the command, and its job"
    found = {line for path in seen.iterdir() for line in path.read_text().splitlines()}
    own = f"for ['{PACKAGE / 'runs/model.py'}']"
    assert {line for line in found if not line.endswith(own)} == set()
