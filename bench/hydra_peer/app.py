"""The peer's trial: sleep for the time that belongs to its number, put on record when, and return a number.

It runs in the peer's environment (requirements.txt), which knows nothing of difair_hpc. Hydra numbers its jobs in the
order in which the sweeper proposes them, so hydra.job.num is the number of the trial.
"""

import json
import os
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def trial(settings: DictConfig) -> float:
    """Sleep as long as this trial has to."""
    started = time.time()
    folder, number = Path(settings.folder), int(HydraConfig.get().job.num)
    time.sleep(json.loads((folder / "durations.json").read_text())[number])
    slot = f"{os.environ['SLURMD_NODENAME']} {os.environ['CUDA_VISIBLE_DEVICES']}"
    torch = "torch" in sys.modules
    content = {"number": number, "started": started, "ended": time.time(), "slot": slot, "torch": torch}
    (folder / "trials" / f"{number}.json").write_text(json.dumps(content))
    return -abs(float(settings.alpha) - 6.0)


if __name__ == "__main__":
    trial()
