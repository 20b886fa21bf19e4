"""The layout rules of the package, each a function of source text read with `ast`; docs: CONTRIBUTING.md, Layout."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

PACKAGE = "difair_hpc"

RANKS = {
    room: rank
    for rank, rooms in enumerate(
        [
            "errors nofollow user words",
            "disk folders",
            "files launch",
            "osr data",
            "train",
            "runs",
            "sweep report",
            "config",
            "drill",
            "cli",
            "__main__",
        ]
    )
    for room in rooms.split()
}
"""A room imports itself and rooms of a lower rank; `files` (atomic writing) stands between errors and the rest."""

PURE = (
    "words.py",
    "osr/*.py",
    "data/splits.py",
    "data/augment.py",
    "data/batches.py",
    "data/grids.py",
    "data/operations.py",
    "data/randaugment.py",
    "data/transfer.py",
    "train/schedule.py",
    "sweep/address.py",
    "sweep/describe.py",
    "sweep/space.py",
    "sweep/stages.py",
    "sweep/rules.py",
    "sweep/plan.py",
    "sweep/ends.py",
    "sweep/jobs.py",
    "sweep/cost.py",
    "sweep/select.py",
    "sweep/checks.py",
    "report/paper.py",
    "report/tables.py",
    "report/ablation.py",
    "report/grid.py",
    "report/latex.py",
    "report/comparison.py",
    "report/places.py",
    "report/pairs.py",
    "report/tables_of.py",
    "drill/plan.py",
    "drill/outcome.py",
)
"""Files, relative to the package, whose functions depend on their arguments alone."""

FILE_LINES, FUNCTION_LINES = 300, 60
"""Counted whole, documentation included."""

# fmt: off
_IMPURE_MODULES = {
    "os", "io", "time", "random", "secrets", "uuid", "shutil", "subprocess", "socket", "tempfile",
    "glob", "sqlite3", "logging", "threading",
}
_IMPURE_CALLS = {"open", "print", "input"}
_IMPURE_METHODS = {
    "read_text", "write_text", "read_bytes", "write_bytes", "open", "touch", "mkdir", "rmdir", "unlink",
    "rename", "exists", "is_file", "is_dir", "stat", "iterdir", "glob", "rglob", "cwd", "home", "resolve",
}
_CLOCK_READS = {f"datetime.{name}" for name in ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")}
_GLOBAL_RANDOM = re.compile(
    r"torch\.(manual_seed|seed|set_rng_state|get_rng_state|random\..+|cuda\.(manual_seed|seed)(_all)?)$"
    r"|numpy\.random\.(?!(Generator|default_rng|SeedSequence|BitGenerator|PCG64|Philox)$).+"
)
_NEEDS_GENERATOR = re.compile(r"torch\.(rand|randn|randint|randperm|bernoulli|multinomial|normal|rand\w*_like)$")
_DRAWING_METHODS = {
    "random_", "uniform_", "normal_", "bernoulli_", "exponential_", "geometric_", "log_normal_", "cauchy_",
}
# fmt: on
_RUNS_TEXT = {
    *("eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "yaml.load", "yaml.unsafe_load"),
}
_UNPICKLES = "difair_hpc/data/readers.py"
"""The one reader of pickles: it imports nothing that a pickle names."""
_FORBIDDEN_WORDS = re.compile(r"^(experiment|helper|util|utilitie|manager|processor)s?$", re.IGNORECASE)


class Violation(NamedTuple):
    """One place that breaks a rule."""

    file: str
    line: int
    rule: str

    def __str__(self) -> str:
        """Return file:line and the rule, as compilers do."""
        return f"{self.file}:{self.line}: {self.rule}"


class Import(NamedTuple):
    """One imported module or name, by its full dotted name; `local` is the name it binds, and `means` what that is."""

    line: int
    dotted: str
    local: str
    means: str


def imports(file: str, tree: ast.AST) -> Iterator[Import]:
    """Yield what the file imports at any depth, `importlib.import_module("...")` included."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    bound = alias.name if alias.asname else alias.name.partition(".")[0]
                    yield Import(node.lineno, alias.name, alias.asname or bound, bound)
            case ast.ImportFrom(module=module, names=names, level=level):
                parents = PurePosixPath(file).parts[:-1]
                base = [*parents[: len(parents) - level + 1]] if level else []
                prefix = ".".join([*base, *([module] if module else [])])
                for alias in names:
                    dotted = f"{prefix}.{alias.name}"
                    yield Import(node.lineno, dotted, alias.asname or alias.name, dotted)
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]):
                if ast.unparse(func) in {"importlib.import_module", "import_module", "__import__"}:
                    yield Import(node.lineno, name, "", "")


def room_of(file: str) -> str:
    """Return the room of a file such as difair_hpc/osr/losses.py, "" for the package's own __init__.py."""
    part = PurePosixPath(file).parts[1].removesuffix(".py")
    return "" if part == "__init__" else part


def import_order(file: str, source: str) -> Iterator[Violation]:
    """Rooms import themselves and rooms to their left: see RANKS."""
    room = room_of(file)
    if room and room not in RANKS:
        yield Violation(file, 1, f"room '{room}' is not in the layout; rooms: {', '.join(RANKS)}")
        return
    for line, dotted, *_ in imports(file, ast.parse(source)):
        package, _, rest = dotted.partition(".")
        other = rest.partition(".")[0]
        if package != PACKAGE or other not in RANKS or other == room:
            continue
        if not room or RANKS[other] >= RANKS[room]:
            yield Violation(file, line, f"import order: room '{room or PACKAGE}' must not import '{other}'")


def purity(file: str, source: str) -> Iterator[Violation]:
    """Pure files do no I/O, read no clock and draw from no global random state."""
    tree = ast.parse(source)
    found = list(imports(file, tree))
    for line, dotted, *_ in found:
        if dotted.partition(".")[0] in _IMPURE_MODULES or dotted.startswith("concurrent."):
            yield Violation(file, line, f"pure file: must not import {dotted}")
    names = {entry.local: entry.means for entry in found}
    uses_paths = any(dotted.partition(".")[0] == "pathlib" for _, dotted, *_ in found)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = _dotted(node, names)
            if name in _CLOCK_READS:
                yield Violation(file, node.lineno, f"pure file: must not read the clock ({name})")
            if _GLOBAL_RANDOM.fullmatch(name):
                yield Violation(file, node.lineno, f"pure file: must not touch global random state ({name})")
        if isinstance(node, ast.Call):
            yield from _impure_call(file, node, names, uses_paths=uses_paths)


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Return `np.random.rand` as numpy.random.rand; "" where it is not a chain of names."""
    match node:
        case ast.Name(id=name):
            return names.get(name, name)
        case ast.Attribute(value=value, attr=attr):
            base = _dotted(value, names)
            return f"{base}.{attr}" if base else ""
    return ""


def _impure_call(file: str, call: ast.Call, names: dict[str, str], *, uses_paths: bool) -> Iterator[Violation]:
    name = _dotted(call.func, names)
    seeded = any(keyword.arg == "generator" for keyword in call.keywords)
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name in _IMPURE_CALLS:
        yield Violation(file, call.lineno, f"pure file: must not call {name}()")
    if uses_paths and method in _IMPURE_METHODS:
        yield Violation(file, call.lineno, f"pure file: must not touch files (.{method}())")
    if not seeded and (_NEEDS_GENERATOR.match(name) or method in _DRAWING_METHODS):
        yield Violation(file, call.lineno, f"pure file: {name or method}() needs generator=")
    if name == "numpy.random.default_rng" and not (call.args or call.keywords):
        yield Violation(file, call.lineno, "pure file: default_rng() needs a seed")


def no_foreign_code(file: str, source: str) -> Iterator[Violation]:
    """No text or data of a user is executed: no shell, no eval, no pickle but in its reader, no unsafe loading."""
    tree = ast.parse(source)
    names = {entry.local: entry.means for entry in imports(file, tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and _dotted(node, names) in _RUNS_TEXT and file != _UNPICKLES:
            yield Violation(file, node.lineno, f"no foreign code: {_dotted(node, names)} executes what it is given")
        if not isinstance(node, ast.Call):
            continue
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if given.get("shell", "False") != "False" or given.get("allow_pickle", "False") != "False":
            yield Violation(file, node.lineno, "no foreign code: no shell=True, no allow_pickle=True")
        if _dotted(node.func, names) == "torch.load" and given.get("weights_only") != "True":
            yield Violation(file, node.lineno, "no foreign code: torch.load needs weights_only=True")


def lengths(file: str, source: str) -> Iterator[Violation]:
    """Files have at most FILE_LINES lines, functions at most FUNCTION_LINES, docstring included."""
    count = len(source.splitlines())
    if count > FILE_LINES:
        yield Violation(file, count, f"file length: {count} lines, at most {FILE_LINES}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > FUNCTION_LINES:
                yield Violation(
                    file, node.lineno, f"function length: {node.name} has {count} lines, at most {FUNCTION_LINES}"
                )


def torch_free(file: str, source: str) -> Iterator[Violation]:
    """spec.py files are plain values: commands that only read them start fast."""
    if PurePosixPath(file).name == "spec.py":
        for line, dotted, *_ in imports(file, ast.parse(source)):
            if dotted.partition(".")[0] in {"torch", "torchvision"}:
                yield Violation(file, line, f"spec files are torch-free: must not import {dotted}")


def words(file: str, source: str) -> Iterator[Violation]:
    """Modules and classes have names that say what they are."""
    for part in PurePosixPath(file).with_suffix("").parts:
        yield from _forbidden(file, 1, "module", part)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            yield from _forbidden(file, node.lineno, "class", node.name)


def _forbidden(file: str, line: int, kind: str, name: str) -> Iterator[Violation]:
    for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name):
        if _FORBIDDEN_WORDS.match(word):
            yield Violation(file, line, f"forbidden word: {kind} {name} contains '{word.lower()}'")
