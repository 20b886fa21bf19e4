"""A forked command is what a started one is: its own process, environment, folder and streams, and the same words."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests import forked
from tests.cli.made import command, members, typed
from tests.waiting import eventually

LOOK = """
import json, os, sys, threading
from pathlib import Path
seen = {"pid": os.getpid(), "session": os.getsid(0), "folder": os.getcwd(), "words": sys.argv[1:]}
seen |= {"environment": dict(os.environ), "in": sys.stdin.read(), "open": os.listdir("/proc/self/fd")}
print(json.dumps(seen | {"threads": threading.active_count()}))
sys.exit("bad end" if sys.argv[1:] else 3)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("words", "code", "complaint"), [([], 3, ""), (["a b"], 1, "bad end\n")])
def test_a_forked_process_is_its_own(tmp_path: Path, words: list[str], code: int, complaint: str) -> None:
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = forked.started(words, cwd=tmp_path, out=out, err=err, environment={"ONLY": "this"}, code=LOOK)
        assert process.wait() == code
    seen = json.loads((tmp_path / "out").read_text())
    assert (seen["pid"], seen["session"]) == (process.pid, process.pid)
    assert seen["pid"] != os.getpid()
    assert (seen["folder"], seen["words"], seen["environment"]) == (str(tmp_path), words, {"ONLY": "this"})
    assert (seen["in"], seen["threads"], len(seen["open"])) == ("", 1, 4), "three streams, and the folder that is read"
    assert (tmp_path / "err").read_text().endswith(complaint)


@pytest.mark.slow
def test_a_forked_process_has_its_session_from_the_first_moment(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        for _ in range(20):
            process = forked.started([], cwd=tmp_path, out=out, code="import time; time.sleep(600)")
            assert members(process.pid) == [process.pid]
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_forked_process_is_killed_like_any_other(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        process = forked.started([], cwd=tmp_path, out=out, code="import time; print(1, flush=True); time.sleep(600)")
    assert eventually((tmp_path / "out").read_text)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -9
    assert not Path(f"/proc/{process.pid}").exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", [["status", "root=o"], ["train", "benchmark=none"], ["sweep"], ["--help"]])
def test_a_forked_command_says_what_a_started_one_says(tmp_path: Path, words: list[str]) -> None:
    one, other = command(*words, cwd=tmp_path), typed(*words, cwd=tmp_path)
    assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)
