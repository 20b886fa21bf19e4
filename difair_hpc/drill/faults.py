"""The faults of a plan as they are injected, and what each of them took to recover from.

A fault of one run may come while another run still recovers; one that all runs feel waits until nothing is open.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from difair_hpc.drill.kinds import KINDS
from difair_hpc.drill.outcome import Record
from difair_hpc.drill.plan import Fault
from difair_hpc.drill.scene import Scene, Standing, saved_epochs, standing
from difair_hpc.errors import Failure
from difair_hpc.files import append_line
from difair_hpc.runs.attempts import view
from difair_hpc.words import counted

Tell = Callable[[str], None]


@dataclass(kw_only=True, slots=True)
class _Recovery:
    """A fault until its run is further than it was before."""

    record: Record
    before: Standing
    over: float
    """When its cause had ended, on the monotonic clock."""
    furthest: int
    """Epochs that had been finished when the attempt ended."""
    ended: bool = False
    """Whether the attempt that was hit has ended, or was given up."""

    def notice(self) -> Standing:
        """Look where the run stands; if its attempt has just ended or was given up, count what was lost."""
        now = standing(self.before.folder)
        assert now is not None, "it was begun"
        if not self.ended and (now.attempt.number != self.before.attempt.number or now.attempt.pid is None):
            self.ended = True
            old = view(now.folder.path, self.before.attempt.number)
            self.furthest = max(self.furthest, now.finished, old.position[0])
            lost = 0 if now.done else max(0, self.furthest - saved_epochs(now.folder))
            self.record = replace(self.record, lost=lost)
        return now

    def complete(self, scene: Scene) -> bool:
        """Look once, and return whether the run is further than before and the study driven."""
        now = self.notice()
        further = now.done or (now.attempt.alive and now.own > self.furthest)
        if not (scene.over or (scene.driven and further)):
            return False
        self.record = replace(self.record, seconds=round(time.monotonic() - self.over, 2))
        return True


class Injection:
    """Injects the faults of a plan into a scene."""

    def __init__(self, scene: Scene, log: Path, tell: Tell) -> None:
        """Keep where to log each fault, as a line of JSON, and whom to tell of it."""
        self.records: list[Record] = []
        """What came of each fault, in the order of the recoveries."""
        self._scene = scene
        self._log = log
        self._tell = tell
        self._open: list[_Recovery] = []
        self._since: float | None = None

    def run(self, faults: Sequence[Fault]) -> None:
        """Inject all, or those for which the study lasts.

        Raises:
            Failure: a run does not recover.
        """
        for fault in faults:
            alone = KINDS[fault.kind].alone
            self._scene.wait(f"a run at work for fault {fault.number}", partial(self._ready, fault.pause, alone=alone))
            if not (runs := self._free()):
                break
            found = self._injected(fault, runs[int(fault.target * len(runs))])
            self._open.append(found)  # not in one line: the list is another one after the fault
            self._since = None
        self._scene.wait("recovery from the last faults", lambda: not self._settled())

    def _ready(self, pause: float, *, alone: bool) -> bool:
        """Whether a run can be hit and that has been so for `pause` seconds, or the study is over."""
        waiting = self._settled()
        if self._scene.over:
            return True
        if not (self._scene.driven and self._free()) or (alone and waiting):
            self._since = None
            return False
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since >= pause

    def _free(self) -> list[Standing]:
        busy = {recovery.record.run for recovery in self._open}
        return [run for run in self._scene.at_work() if run.folder.signature not in busy]

    def _settled(self) -> list[_Recovery]:
        """Log what has recovered, and return what has not."""
        done = [recovery for recovery in self._open if recovery.complete(self._scene)]
        self._open = [recovery for recovery in self._open if recovery not in done]
        for record in (recovery.record for recovery in done):
            self.records.append(record)
            append_line(self._log, json.dumps(asdict(record)))
            lost = f", {counted(record.lost, 'epoch')} lost" if record.lost else ""
            self._tell(
                f"{record.number:4} {record.kind:16}{record.seconds:6.1f} s{lost}  {record.problem or record.what}"
            )
        return self._open

    def _injected(self, fault: Fault, target: Standing) -> _Recovery:
        record = Record(
            number=fault.number, kind=fault.kind, run=target.folder.signature, what="", time=time.time(), held=0.0,
            seconds=0.0, lost=0,
        )  # fmt: skip
        found = _Recovery(record=record, before=target, over=time.monotonic(), furthest=target.finished)
        began, self._scene.look = found.over, lambda: (found.notice(), self._settled())
        what, problem = "", ""
        try:
            what = KINDS[fault.kind].act(self._scene, fault, target)
        except Failure as error:
            problem = str(error)
        self._scene.look = None
        found.over = time.monotonic()
        found.record = replace(found.record, held=round(found.over - began, 2), what=what, problem=problem)
        return found
