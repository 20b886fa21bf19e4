"""A login node in small: a root that a team shares, the victim's home beside it, and what must not happen to either.

The victim is whoever types the commands. The colleague may write in the root, since its mode says so, and nowhere else.
"""

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.security.commands import LIMIT_SECONDS, TERMINAL, Command, Said, run_as
from tests.security.kept import Kept, everything, remove
from tests.security.made import filling, put_site
from tests.security.outside import LARGE_BYTES, PASSWORD, SECRET, TOKEN, differences, furnish, snapshot
from tests.security.users import Team, User, acting, end_processes
from tests.security.watch import Watch

_SHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\udc80-\udcff]")
"""What reaches a terminal as a command, not as a sign: control characters, those of bidirectional text, odd bytes."""


@dataclass(kw_only=True)
class Scene:
    """All folders, and who is there."""

    base: Path
    team: Team
    watch: Watch | None = None
    before: dict[str, object] = field(default_factory=dict, repr=False)
    modes: dict[Path, int] = field(default_factory=dict, repr=False)
    kept: list[Kept] = field(default_factory=list, repr=False)
    names: dict[str, list[str]] = field(default_factory=dict, repr=False)
    store: bytes = field(default=b"", repr=False)
    """What the victim's MLflow store holds, as he could have given it to the colleague."""
    heard: Path | None = None
    """What a listener of the colleague's was sent."""

    @property
    def root(self) -> Path:
        return self.base / "root"

    @property
    def home(self) -> Path:
        """The victim's."""
        return self.base / "homes/victim"

    @property
    def work(self) -> Path:
        """Where he types his commands."""
        return self.home / "work"

    @property
    def outside(self) -> Path:
        """A folder of the same team that is no root."""
        return self.base / "outside"

    @property
    def own(self) -> Path:
        """The victim's own folder for the root: his MLflow store, code, logs and scripts."""
        (place,) = (self.base / "state-victim/difair").iterdir()
        return place

    @property
    def lair(self) -> Path:
        """The colleague's home, which all can read."""
        return self.base / "homes/colleague"

    @property
    def loot(self) -> Path:
        """A folder that all can write; nobody of the tests' commands has a reason to."""
        return self.base / "loot"

    @property
    def secret(self) -> Path:
        return self.home / "secret.txt"

    @property
    def rc(self) -> Path:
        """What the victim's shell executes."""
        return self.home / ".bashrc"

    @property
    def prey(self) -> Path:
        """A folder of the victim's with files named as difair's are."""
        return self.home / "prey"

    def build(self) -> None:
        """Make all folders, let the victim fill the root, and keep a copy of it all."""
        for name in ("private", "kept"):
            (self.base / name).mkdir(mode=0o700)
        put_site(self.base / "bin")
        for name in ("homes", "outside", "tmp", "loot"):
            (self.base / name).mkdir()
        for name in ("tmp", "loot"):
            (self.base / name).chmod(0o1777)
        for folder, mode in ((self.outside, 0o2770), (self.root, 0o2770)):
            folder.mkdir(exist_ok=True)
            os.chown(folder, self.team.victim.uid, self.team.group)
            folder.chmod(mode)
        for user, name in ((self.team.victim, "victim"), (self.team.colleague, "colleague")):
            for folder in (
                self.base / "homes" / name,
                self.base / f"cache-{name}",
                self.base / f"state-{name}",
                self.base / f"slurm-{name}",
            ):
                folder.mkdir()
                os.chown(folder, user.uid, user.gid)
        with acting(self.team.victim, umask=0o022):
            furnish(self.home, self.outside / "common.txt")
        (said,) = self.victim(filling(self.root, self.work))
        assert said.code == 0, f"the victim's own commands fail: {said}"
        self.names = self._named()
        self._lighten()
        self.store = (self.own / "mlflow.db").read_bytes()
        self.kept = [
            Kept(self.base / name, self.base / "kept" / name) for name in ("root", "homes", "outside", "state-victim")
        ]

    def _lighten(self) -> None:
        """Take from the root what is large and that no command of the tests reads, since it is copied often."""
        single = self.runs("train")[0]
        for pattern in ("runs/*/checkpoint-*", "runs/*/model.pt", "mlartifacts/**/model.pt2"):
            for path in self.root.glob(pattern):
                if path.parent != single:
                    os.truncate(path, 1000)

    def lay(self) -> None:
        """Put everything back as it was after `build`, and watch it from here on."""
        self.leave()
        for one in self.kept:
            one.restore()
        for name in ("loot", "tmp", "slurm-victim", "cache-victim"):
            for path in (self.base / name).iterdir():
                remove(path)
        self.heard = None

    def leave(self) -> None:
        """End what a test has left running."""
        for user in (self.team.victim, self.team.colleague, self.team.stranger):
            end_processes(user.uid)
        if self.watch is not None:
            self.watch.close()
            self.watch = None

    @contextlib.contextmanager
    def colleague(self) -> Iterator[None]:
        """Touch files as the colleague does; then all is as he wants it, and what happens from there is looked at."""
        with acting(self.team.colleague):
            yield
        self.look()

    def look(self) -> None:
        """Take note of how all is outside of the root."""
        self.before = snapshot(self.home, self.outside, self.lair, self.loot)
        self.modes = {path: os.lstat(path).st_mode for path in everything(self.root)}
        if self.watch is not None:
            self.watch.close()
        self.watch = Watch([self.secret, self.rc, self.prey, *sorted(self.prey.iterdir()), *self._baits()])

    def _baits(self) -> list[Path]:
        folder = self.home / "baits"
        return [folder, *folder.iterdir(), self.home / "diary.err", self.home / "diary.out"]

    def bait(self, path: Path, *, made: bool = True) -> Path:
        """Return a file of the victim's for what is planted at a path to lead to; not `made`: there is none yet."""
        bait = self.home / "baits" / str(path.relative_to(self.root)).replace("/", ":")
        if made:
            with acting(self.team.victim):
                bait.write_text(f"{SECRET}\n", "utf-8")
                bait.chmod(0o600)
        return bait

    @staticmethod
    def named(word: str, said: Sequence[Said]) -> bool:
        """Whether a line says something of it."""
        return any(word in line for one in said for line in one.text.splitlines())

    def environment(self, user: User) -> dict[str, str]:
        name = "victim" if user == self.team.victim else "colleague"
        path = os.environ.get("PATH", "/usr/bin:/bin")
        plain = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MPLBACKEND": "Agg", "COLUMNS": "200"}
        return {
            **plain,
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            "HOME": str(self.base / "homes" / name),
            "USER": user.name,
            "LOGNAME": user.name,
            "PATH": f"{self.base / 'bin'}:{path}",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.base / "tmp"),
            "XDG_CACHE_HOME": str(self.base / f"cache-{name}"),
            "XDG_STATE_HOME": str(self.base / f"state-{name}"),
            "MPLCONFIGDIR": str(self.base / f"cache-{name}"),
            "FAKE_SITE": str(self.base / f"slurm-{name}"),
            "AWS_SECRET_ACCESS_KEY": TOKEN,
        }

    def victim(self, *commands: Command) -> list[Said]:
        """Run the victim's commands in his folder."""
        user, place = self.team.victim, self.base / "private"
        return run_as(user, commands, cwd=self.work, environment=self.environment(user), place=place)

    def difair(self, *verbs: Sequence[str], terminal: bool = False) -> list[Said]:
        """Let the victim run verbs on the root."""
        return self.victim(*(self.command(*verb, terminal=terminal) for verb in verbs))

    def command(self, *words: str, terminal: bool = False) -> Command:
        code = "tests.security.commands:ui" if words[0] == "ui" else ""
        return Command(words=(*words[bool(code) :], f"root={self.root}"), code=code, terminal=terminal)

    def assert_spared(self, said: Sequence[Said]) -> None:
        """Fail with a line for each thing that must not have happened."""
        found = self.harm(said)
        assert not found, "\n".join(["the attack succeeded:", *found])

    def harm(self, said: Sequence[Said]) -> list[str]:
        """Return what was done that must not happen, and what went wrong; each in a line."""
        found = [f"read or changed: {event}" for event in (self.watch.events() if self.watch else [])]
        found += differences(self.before, snapshot(self.home, self.outside, self.lair, self.loot))
        found += self._leaks(said)
        found += self._open_to_others()
        for one in said:
            if one.hung:
                found.append(f"{one.command}: hung for {LIMIT_SECONDS:.0f} s at {one.hung}")
            elif not one.sane:
                found.append(f"{one.command}: ended with {one.code}: {_tail(one.text)}")
            if not one.command.endswith(TERMINAL) and (odd := _SHOWN.search(one.text)):
                around = one.text[max(0, odd.start() - 40) : odd.end() + 20]
                found.append(f"{one.command}: printed {odd[0]!r} raw: {around!r}")
        return found

    def _leaks(self, said: Sequence[Said]) -> Iterator[str]:
        for what in (SECRET, PASSWORD, TOKEN):
            yield from (f"{one.command}: printed {what}" for one in said if what in one.text)
            if self.heard is not None and self.heard.exists() and what in self.heard.read_text("utf-8", "replace"):
                yield f"{what} was sent to the colleague"
        words = [what.encode() for what in (SECRET, PASSWORD, TOKEN)]
        new = [path for one in self.kept for path in one.changed() if not path.is_relative_to(self.home)]
        for path in (*new, *everything(self.loot)):
            info = os.lstat(path)
            if stat.S_ISREG(info.st_mode) and info.st_size < LARGE_BYTES:
                content = path.read_bytes()
                yield from (f"{what.decode()} is in {path}" for what in words if what in content)

    def _open_to_others(self) -> Iterator[str]:
        for path in everything(self.root):
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode) and mode & stat.S_IWOTH and self.modes.get(path) != mode:
                yield f"{path} was made so that everybody can write it (mode {stat.S_IMODE(mode):04o})"

    def submitted(self) -> str:
        """Return the scripts that the victim has submitted."""
        path = self.base / "slurm-victim/scripts"
        return path.read_text("utf-8", errors="replace") if path.exists() else ""

    def told_slurm(self) -> list[str]:
        """Return the victim's commands to SLURM that change something."""
        path = self.base / "slurm-victim/commands"
        return path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []

    def runs(self, study: str) -> list[Path]:
        """Return the folders of the runs of a study, in its order; `train`: the single ones, the done one first."""
        return [self.root / "runs" / name for name in self.names[study]]

    def path(self, text: str) -> Path:
        """Return a path below the root, in which {done}, {failed}, {stopped}, {single}, {begun}, {book} are names."""
        mini = dict(zip(("done", "failed", "stopped"), self.names["mini"], strict=True))
        single = dict(zip(("single", "begun"), self.names["train"], strict=True))
        return self.root / text.format(book=self.names["book"][0], **mini, **single)

    def _named(self) -> dict[str, list[str]]:
        """Return the names of the runs of each study, and of the book of the study `mini`."""
        found = {study: _signatures(self.root / f"studies/{study}/study.json") for study in ("mini", "seek")}
        others = {path.name for path in (self.root / "runs").iterdir()} - {*found["mini"], *found["seek"]}
        found["train"] = sorted(others, key=lambda name: not (self.root / f"runs/{name}/result.json").exists())
        return {**found, "book": [path.stem for path in (self.root / "studies/mini").glob("coarse-*.jsonl")]}


def _signatures(study: Path) -> list[str]:
    return [trial["signature"] for trial in json.loads(study.read_text("utf-8"))["stages"][0]["trials"]]


def _tail(text: str) -> str:
    return " / ".join(text.strip().splitlines()[-4:])[-600:]
