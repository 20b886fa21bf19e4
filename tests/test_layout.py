"""The layout holds (rooms, pure files, lengths, torch-free specs, names), and each rule finds a breach of it."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests import layout_rules as rules

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / rules.PACKAGE

Rule = Callable[[str, str], Iterable[rules.Violation]]


def sources(*tops: str) -> list[tuple[str, str]]:
    """Return the name, relative to the checkout, and the text of every Python file under these folders."""
    paths = sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))
    return [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def pure_files() -> set[str]:
    return {path.relative_to(ROOT).as_posix() for pattern in rules.PURE for path in PACKAGE.glob(pattern)}


def report(violations: Iterable[rules.Violation]) -> str:
    return "\n".join(str(violation) for violation in violations)


@pytest.mark.parametrize(
    "rule", [rules.import_order, rules.torch_free, rules.words, rules.no_foreign_code], ids=lambda rule: rule.__name__
)
def test_package_keeps_the_rule(rule: Rule) -> None:
    files = sources(rules.PACKAGE)
    assert files
    found = report(violation for file, text in files for violation in rule(file, text))
    assert not found, f"\n{found}"


def test_files_and_functions_are_short() -> None:
    found = report(v for file, text in sources(rules.PACKAGE, "tests", "bench") for v in rules.lengths(file, text))
    assert not found, f"\n{found}"


def test_pure_files_are_pure() -> None:
    pure = pure_files()
    found = report(v for file, text in sources(rules.PACKAGE) if file in pure for v in rules.purity(file, text))
    assert not found, f"\n{found}"


@pytest.mark.parametrize("pattern", rules.PURE)
def test_every_name_in_the_pure_list_exists(pattern: str) -> None:
    assert list(PACKAGE.glob(pattern)), f"tests/layout_rules.py: PURE names {pattern}, which is not in the package"


def test_specs_import_without_torch_even_through_others() -> None:
    names = [
        file.removesuffix(".py").replace("/", ".") for file, _ in sources(rules.PACKAGE) if file.endswith("/spec.py")
    ]
    code = f"import {', '.join(names)}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", f"importing {', '.join(names)} imports torch"


ANY = "difair_hpc/osr/losses.py"


@pytest.mark.parametrize(
    ("rule", "file", "source", "line", "message"),
    [
        (
            rules.import_order,
            ANY,
            "import torch\nfrom difair_hpc.train import trainer",
            2,
            "'osr' must not import 'train'",
        ),
        (rules.import_order, ANY, "from difair_hpc.data.spec import BenchmarkSpec", 1, "'osr' must not import 'data'"),
        (rules.import_order, "difair_hpc/sweep/plan.py", "import difair_hpc.report.rows", 1, "not import 'report'"),
        (rules.import_order, "difair_hpc/errors.py", "def f():\n    from difair_hpc import files", 2, "import 'files'"),
        (
            rules.import_order,
            "difair_hpc/__init__.py",
            "from .osr import losses",
            1,
            "'difair_hpc' must not import 'osr'",
        ),
        (rules.import_order, ANY, "from ..runs import run", 1, "'osr' must not import 'runs'"),
        (rules.import_order, ANY, "import importlib\nimportlib.import_module('difair_hpc.cli')", 2, "import 'cli'"),
        (rules.import_order, "difair_hpc/attic/old.py", "x = 1", 1, "room 'attic' is not in the layout"),
        (rules.purity, ANY, "import os.path", 1, "must not import os.path"),
        (rules.purity, ANY, "def f():\n    from time import monotonic", 2, "must not import time.monotonic"),
        (rules.purity, ANY, "def f(x):\n    print(x)", 2, "must not call print()"),
        (rules.purity, ANY, "text = open('a').read()", 1, "must not call open()"),
        (
            rules.purity,
            ANY,
            "from pathlib import Path\nPath('a').read_text()",
            2,
            "must not touch files (.read_text())",
        ),
        (rules.purity, ANY, "import datetime as d\nd.datetime.now()", 2, "must not read the clock"),
        (rules.purity, ANY, "from datetime import datetime\ndatetime.now()", 2, "must not read the clock"),
        (rules.purity, ANY, "from datetime import date\nx = date.today", 2, "must not read the clock"),
        (rules.purity, ANY, "import torch\ntorch.manual_seed(0)", 2, "global random state (torch.manual_seed)"),
        (rules.purity, ANY, "import numpy as np\nnp.random.rand(3)", 2, "global random state (numpy.random.rand)"),
        (rules.purity, ANY, "from numpy import random as r\nr.seed(0)", 2, "global random state (numpy.random.seed)"),
        (rules.purity, ANY, "import numpy as np\nnp.random.default_rng()", 2, "default_rng() needs a seed"),
        (rules.purity, ANY, "import torch\ntorch.rand(3)", 2, "torch.rand() needs generator="),
        (rules.purity, ANY, "def f(x):\n    x.normal_()", 2, "needs generator="),
        (rules.no_foreign_code, ANY, "import subprocess\nsubprocess.run('ls', shell=True)", 2, "no shell=True"),
        (rules.no_foreign_code, ANY, "from os import system\nsystem('ls')", 2, "os.system executes"),
        (rules.no_foreign_code, ANY, "x = eval('1')", 1, "eval executes"),
        (rules.no_foreign_code, ANY, "import pickle\nclass A(pickle.Unpickler): pass", 2, "pickle.Unpickler executes"),
        (rules.no_foreign_code, ANY, "import numpy as np\nnp.load('x', allow_pickle=True)", 2, "no allow_pickle=True"),
        (rules.no_foreign_code, ANY, "import torch\ntorch.load('x')", 2, "needs weights_only=True"),
        (rules.lengths, ANY, "x = 1\n" * 301, 301, "file length: 301 lines"),
        (rules.lengths, ANY, "\ndef f():\n" + "    x = 1\n" * 60, 2, "function length: f has 61 lines"),
        (rules.torch_free, "difair_hpc/osr/spec.py", "def f():\n    import torch.nn", 2, "must not import torch.nn"),
        (rules.words, "difair_hpc/osr/loss_utils.py", "x = 1", 1, "module loss_utils contains 'utils'"),
        (rules.words, ANY, "x = 1\nclass RunManager: pass", 2, "class RunManager contains 'manager'"),
        (rules.words, ANY, "class DIFAIRExperiment: pass", 1, "contains 'experiment'"),
    ],
)
def test_a_breach_is_found(rule: Rule, file: str, source: str, line: int, message: str) -> None:
    (violation,) = rule(file, source)
    assert str(violation).startswith(f"{file}:{line}: ")
    assert message in str(violation)


@pytest.mark.parametrize(
    ("rule", "file", "source"),
    [
        (
            rules.import_order,
            "difair_hpc/train/trainer.py",
            "from difair_hpc.osr import losses\nimport difair_hpc.data",
        ),
        (rules.import_order, "difair_hpc/train/trainer.py", "from difair_hpc import __version__, errors"),
        (rules.import_order, ANY, "from difair_hpc.osr.anchors import anchors\nimport torch"),
        (rules.purity, ANY, "import torch\ntorch.rand(3, generator=g)\nx.normal_(generator=g)"),
        (rules.purity, ANY, "import numpy as np\nnp.random.default_rng(7).normal(size=3)"),
        (rules.purity, ANY, "from pathlib import Path\ndef name(path: Path) -> str:\n    return path.name"),
        (
            rules.purity,
            ANY,
            "from datetime import datetime\ndef day(now: datetime) -> str:\n    return str(now.date())",
        ),
        (rules.no_foreign_code, "difair_hpc/data/readers.py", "import pickle\nclass A(pickle.Unpickler): pass"),
        (rules.no_foreign_code, ANY, "import torch\nnetwork.eval()\ntorch.load('x', weights_only=True)"),
        (rules.lengths, ANY, "def f():\n" + "    x = 1\n" * 59),
        (rules.lengths, ANY, "x = 1\n" * 300),
        (rules.torch_free, ANY, "import torch"),
        (rules.words, "difair_hpc/config.py", "class Plan: pass"),
    ],
)
def test_what_is_allowed_passes(rule: Rule, file: str, source: str) -> None:
    assert not list(rule(file, source))
