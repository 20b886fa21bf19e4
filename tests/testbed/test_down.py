"""`slurm/testbed/down` knows its own jobs: another testbed, whose folder has a longer name, is none of its business."""

import shutil
import subprocess
from pathlib import Path

import pytest

DOWN = Path(__file__).parents[2] / "slurm" / "testbed" / "down"
ASK = """
source <(sed '$d' {down})  # all but its last line, which calls main
state=$1
is_of_a_job $2
"""


@pytest.mark.parametrize(
    ("setting", "own"), [("{state}/etc/slurm.conf", True), ("{state}", True), ("{state}-2/etc/slurm.conf", False)]
)
def test_a_step_belongs_to_the_testbed_whose_folder_it_names(tmp_path: Path, setting: str, *, own: bool) -> None:
    program = tmp_path / "slurmstepd"
    shutil.copy2("/bin/sleep", program)
    script = tmp_path / "ask.sh"
    script.write_text(ASK.replace("{down}", str(DOWN)))
    state = str(tmp_path / "bed")
    process = subprocess.Popen([str(program), "60"], cwd="/", env={"SLURM_CONF": setting.replace("{state}", state)})
    try:
        asked = subprocess.run(
            ["bash", str(script), state, str(process.pid)], cwd=DOWN.parent, capture_output=True, text=True, check=False
        )
        assert (asked.returncode == 0) is own, asked.stderr
    finally:
        process.kill()
        process.wait()
