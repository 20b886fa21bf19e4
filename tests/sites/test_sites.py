"""The same short study in strange environments: it ends as everywhere else, or says what is wrong and what to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.sites.site import FILES, Site, read

SITES = sorted(path.stem for path in FILES.glob("*.yaml"))


@pytest.fixture(params=SITES)
def content(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    return read(request.param)


@pytest.mark.slow
def test_the_study_is_carried_to_its_end_by_the_code_that_was_submitted(
    tmp_path: Path, content: Mapping[str, Any]
) -> None:
    site = Site(tmp_path, content)
    said = site.sweep("cluster.report=false")
    assert site.code == 0, said + site.logs()
    result = site.run().result()
    assert result is not None
    assert result["attempts"] == 1
    if site.executor == "slurm":
        site.await_end()
        states = [task.state for job in site.slurm().jobs.values() for task in job.tasks.values()]
        assert states == ["COMPLETED"], "one job, once"
        imported = {path.name.split(".")[0] for path in (site.root / "code").glob("*/difair_hpc/*/__pycache__/*.pyc")}
        assert {"trainer", "lease"} <= imported, "run and last step are of the frozen copy"
    assert "Traceback" not in site.logs()
