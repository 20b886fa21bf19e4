"""A SLURM site that answers with what the testbed's SLURM 22.05 printed (recorded/), unless a test says otherwise."""

from collections.abc import Sequence
from pathlib import Path

RECORDED = {path.stem: path.read_text() for path in (Path(__file__).parent / "recorded").glob("*.txt")}
"""config, nodes, accounts, qos: what the commands printed."""


class Site:
    """Answers SLURM's commands; an answer that is an exception is raised."""

    def __init__(self, **answers: str | Exception) -> None:
        self.answers: dict[str, str | Exception] = {"squeue": "", "sbatch": "", **RECORDED, **answers}
        self.asked: list[list[str]] = []

    def __call__(self, words: Sequence[str]) -> str:
        self.asked.append(list(words))
        name = {"scontrol": "config", "sinfo": "nodes", "sacctmgr": "accounts"}.get(words[0], words[0])
        answer = self.answers["qos" if words[0] == "sacctmgr" and "qos" in words else name]
        if isinstance(answer, Exception):
            raise answer
        return answer
