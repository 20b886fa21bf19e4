"""SLURM's commands: what their complaints mean, foreign bytes in what they say, and their environment."""

import ast
import os
from pathlib import Path

import pytest

import difair_hpc
from difair_hpc.errors import ClusterUnreachable, Failure, JobRefused, LimitReached
from difair_hpc.sweep.commands import Pauses, run_command, submitted

READING = (
    ["squeue", "--me"],
    ["sinfo", "-h"],
    ["sacct", "-X"],
    ["sacctmgr", "show", "qos"],
    ["scontrol", "show", "config"],
    ["scontrol", "ping"],
)
ACTING = (["sbatch", "x"], ["scontrol", "requeue", "7"], ["scontrol", "release", "7"], ["scancel", "7"])
OUTAGES = (
    "slurm_load_jobs error: Slurm backup controller in standby mode",
    "slurm_load_jobs error: Zero Bytes were transmitted or received",
    "slurm_load_jobs error: Unexpected message received",
    'error: Munge encode failed: Failed to access "/run/munge/munge.socket.2": Permission denied',
    "Batch job submission failed: Protocol authentication error",
    "error: Invalid authentication credential",
    "Unable to contact slurm controller (connect failure)",
    "slurm_load_jobs error: Socket timed out on send/recv operation",
    "Batch job submission failed: I/O error writing script/environment to file",
    "error: slurm_persist_conn_open: failed to send persistent connection init message",
    "fatal: Could not establish a configuration source",
    "Batch job submission failed: Transport endpoint is not connected",
    "error: Resource temporarily unavailable",
)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let SLURM's commands be one script of the test's."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def say(folder: Path, name: str, body: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/bash\n{body}\n")
    program.chmod(0o755)


def complaint(folder: Path, words: list[str], text: str, code: str = "exit 1") -> Failure:
    say(folder, words[0], f"cat >&2 <<'END'\n{text}\nEND\n{code}")
    with pytest.raises(Failure) as caught:
        run_command(words)
    assert text in str(caught.value)
    return caught.value


@pytest.mark.parametrize("words", [*READING, *ACTING], ids=" ".join)
@pytest.mark.parametrize("text", OUTAGES)
def test_an_outage_is_one_for_every_command(programs: Path, words: list[str], text: str) -> None:
    assert type(complaint(programs, words, text)) is ClusterUnreachable


@pytest.mark.parametrize("words", READING, ids=" ".join)
@pytest.mark.parametrize("text", ["something new", "l'hôte ne répond pas", ""])
def test_a_command_that_reads_is_asked_again_whatever_it_says(programs: Path, words: list[str], text: str) -> None:
    assert type(complaint(programs, words, text)) is ClusterUnreachable


@pytest.mark.parametrize("words", READING, ids=" ".join)
@pytest.mark.parametrize(
    "text",
    [
        "squeue: unrecognized option '--me'",
        "squeue: option '-o' requires an argument",
        "slurm_load_jobs error: Access/permission denied",
        "Invalid user: nobody",
    ],
)
def test_a_mistake_is_no_outage(programs: Path, words: list[str], text: str) -> None:
    assert type(complaint(programs, words, text)) is JobRefused


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("sbatch: error: AssocMaxSubmitJobLimit", LimitReached),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", LimitReached),
        ("invalid partition specified: x", JobRefused),
        ("sbatch: unrecognized option '--gress'", JobRefused),
        ("Requested node configuration is not available", JobRefused),
        ("More processors requested than permitted", JobRefused),
        ("something new", Failure),
    ],
)
def test_what_sbatch_says_is_told_apart(programs: Path, text: str, kind: type[Failure]) -> None:
    assert type(complaint(programs, ["sbatch", "x"], text)) is kind


@pytest.mark.parametrize("words", [READING[0], ACTING[0]], ids=" ".join)
def test_a_command_that_is_killed_has_not_answered(programs: Path, words: list[str]) -> None:
    say(programs, words[0], "kill -9 $$")
    with pytest.raises(ClusterUnreachable, match=r"signal 9"):
        run_command(words)


def test_without_slurm_the_way_out_is_named() -> None:
    with pytest.raises(JobRefused, match="cluster=local"):
        run_command(["sbatch-that-is-not-there"])


def test_a_program_that_may_not_be_executed_is_named(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(programs))
    (programs / "squeue").write_text("")
    with pytest.raises(JobRefused, match="squeue may not be executed"):
        run_command(["squeue"])


def test_foreign_bytes_become_signs_on_both_streams(programs: Path) -> None:
    say(programs, "squeue", r"printf '7|N/A|RUNNING|n1|None|caf\xe9 \xc2\x85\xff\n8|x|'; printf 'caf\xe9' >&2")
    assert run_command(["squeue"]).startswith("7|N/A|RUNNING|n1|None|caf\ufffd ")
    say(programs, "squeue", r"printf 'kaputt \xfcberall' >&2; exit 1")
    with pytest.raises(ClusterUnreachable, match="kaputt \ufffdberall"):
        run_command(["squeue"])


def test_no_variable_changes_the_answer_or_goes_on_into_jobs(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SQUEUE_PARTITION", "SLURM_JOB_ID", "SBATCH_QOS", "DIFAIR_LEAVING", "SACCT_FORMAT", "SLURM_CLUSTERS"):
        monkeypatch.setenv(name, "foreign")
    for name in ("SLURM_CONF", "SLURM_JWT", "DIFAIR_ROOT"):
        monkeypatch.setenv(name, "kept")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    for name in ("squeue", "sbatch"):
        say(programs, name, "env")
    for words in (["squeue"], ["sbatch"]):
        found = run_command(words)
        assert "foreign" not in found
        assert found.count("=kept") == 3
    assert "LC_ALL=C\n" in run_command(["squeue"])
    assert "LC_ALL=de_DE.UTF-8\n" in run_command(["sbatch"])


def test_ctrl_c_in_the_terminal_is_not_for_the_commands(programs: Path) -> None:
    say(programs, "sbatch", "ps -o pgid= -p $$")
    assert int(run_command(["sbatch"])) != os.getpgrp()


def test_pauses_grow_to_the_longest_and_end_with_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pauses, waited = [0.0], Pauses(longest=60), []
    monkeypatch.setattr("difair_hpc.sweep.commands.time.monotonic", lambda: clock[0])
    for number in range(7):
        pauses.check()
        pauses.failed(Failure(f"failure {number}"))
        begin = clock[0]
        with pytest.raises(ClusterUnreachable, match=f"failure {number}"):
            pauses.check()
        while not _free(pauses):
            clock[0] += 1
        waited.append(clock[0] - begin)
    assert waited == [5, 10, 20, 40, 60, 60, 60]
    pauses.answered()
    pauses.failed(Failure(""))
    clock[0] += 5
    pauses.check()


def _free(pauses: Pauses) -> bool:
    try:
        pauses.check()
    except ClusterUnreachable:
        return False
    return True


def test_no_program_of_others_is_read_as_if_its_bytes_were_certain() -> None:
    """A call that decodes what a program says, without `errors=`, fails at the first byte that is no UTF-8."""
    strict = []
    for path in sorted(Path(difair_hpc.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("subprocess."):
                keys = {keyword.arg for keyword in node.keywords}
                if keys & {"text", "encoding", "universal_newlines"} and "errors" not in keys:
                    strict.append(f"{path.name}:{node.lineno}")
    assert strict == []


@pytest.mark.parametrize(
    "text",
    [
        "4711\n",
        "4711;cluster\n",
        "Submitted batch job 4711\n",
        "INFO: default account used\n4711;c1\n",
        "*** Maintenance on 12 May ***\n\n4711\n* 2 GPUs left *\n",
        "4711",
    ],
)
def test_the_number_of_a_job_is_found_among_a_sites_words(text: str) -> None:
    assert submitted(text) == "4711"


@pytest.mark.parametrize("text", ["", "\n", "Submitted batch job\n", "Welcome; 12;\n", "\ufffd\ufffd"])
def test_where_there_is_no_number_nobody_knows_whether_a_job_came_of_it(text: str) -> None:
    with pytest.raises(ClusterUnreachable, match="no number of a job"):
        submitted(text)
