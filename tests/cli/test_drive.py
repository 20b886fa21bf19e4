"""How an attended command leaves: it says so at once, starts nothing more, and a second Ctrl-C waits for nothing."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from difair_hpc import config
from difair_hpc.cli import drive
from difair_hpc.cli.drive import Drive
from difair_hpc.errors import ClusterUnreachable
from difair_hpc.runs.shipping import Shipping
from difair_hpc.runs.stop import stop_on_signal
from tests.waiting import eventually


@dataclass
class Ticks:
    """Stands for the reconciler, the progress and the cluster: counts looks, and does in each what the test says."""

    acts: list[Callable[[], object]] = field(default_factory=list)
    looks: int = 0
    said: list[str] = field(default_factory=list)
    pressure: str = ""

    def tick(self) -> list[Any]:
        self.looks += 1
        if self.acts:
            self.acts.pop(0)()
        return []

    def show(self, _: object) -> None:
        pass

    def outage(self, text: str) -> None:
        self.said.append(text)


def driven(root: Path, cluster: str = "local") -> Drive:
    where = config.settings({"root": str(root)})
    return Drive(config.study("digits", {}), config.profile(cluster, {}), where)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "TICK_SECONDS", {"local": 0.001, "slurm": 0.001})


def loop(command: Drive, ticks: Ticks, *, once: bool = False) -> None:
    command._loop(ticks, ticks, once=once)  # type: ignore[arg-type]


def test_after_ctrl_c_between_two_looks_nothing_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, ticks = driven(tmp_path), Ticks()

    def rest(_: float) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(command, "_rest", rest)
    with stop_on_signal(command.say_stop) as command.flag:
        loop(command, ticks)
    assert ticks.looks == 1


@pytest.mark.parametrize(
    ("cluster", "words"),
    [("local", "SIGTERM: runs save and leave"), ("v100", "SIGTERM: this command leaves, jobs go on without it")],
)
def test_a_signal_is_acknowledged_while_a_look_is_still_under_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cluster: str, words: str
) -> None:
    command, heard = driven(tmp_path, cluster), list[str]()

    def act() -> None:
        signal.raise_signal(signal.SIGTERM)
        assert eventually(lambda: heard.append(capsys.readouterr().out) or words in "".join(heard))  # type: ignore[func-returns-value]

    with stop_on_signal(command.say_stop) as command.flag:
        loop(command, Ticks([act]))
    assert "Ctrl-C again leaves" in "".join(heard)


def test_an_outage_is_told_by_the_words_of_its_beginning_and_its_end(tmp_path: Path) -> None:
    command = driven(tmp_path, "v100")

    def out(text: str) -> Callable[[], None]:
        def act() -> None:
            raise ClusterUnreachable(text)

        return act

    def stop() -> None:
        command.flag.reason = "SIGTERM"

    ticks = Ticks([out("one."), out("two."), lambda: None, stop])
    loop(command, ticks)
    assert ticks.said == [f"{word} Jobs that run go on; trying again." for word in ("one.", "two.")] + ["", ""]


def test_who_interrupts_does_not_wait_for_the_store() -> None:
    shipping, told = Shipping(lambda _: None), list[str]()
    with pytest.raises(KeyboardInterrupt), shipping.beside(lambda: eventually(lambda: told)):
        raise KeyboardInterrupt
    told.append("let the thread go")
