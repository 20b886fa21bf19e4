"""MLflow's own pages after a real study: runs with their metrics, two of them compared, the report to read."""

import base64
import http.client
import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import short
from tests.browser import Browser, opened
from tests.cli.made import Running, until
from tests.conftest import FOREIGN_PREFIXES
from tests.mlflow_server import free_port
from tests.waiting import HANG_SECONDS

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

STUDY = short.study(1)
NAMES = {"alpha=6", "alpha=10", "digits cross_entropy split=0 seed=0", "digits difair split=0 seed=0 alpha=10"}
WINDOW = (1700, 1100)
RUNS = "/api/2.0/mlflow/experiments/search?max_results=1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A study's store behind MLflow's server."""

    root: Path
    server: str
    page: str
    """What `difair ui` printed for the study."""
    password: str
    """What it printed to log in with."""

    @property
    def rights(self) -> dict[str, str]:
        """The header by which a client logs in."""
        return logged_in(self.password)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    here = tmp_path_factory.mktemp("ui")
    (here / "sweeps").mkdir()
    (here / "sweeps/mini.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:  # the fixture that does this for a test comes too late here
        for name in [name for name in os.environ if name.startswith(FOREIGN_PREFIXES)]:
            patch.delenv(name)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        with Running("sweep", "mini", "root=o", "cluster.parallel=2", "cluster.threads=1", cwd=here) as sweep:
            assert sweep.process.wait() == 0, sweep.text()
        server = f"http://127.0.0.1:{free_port()}"  # when it is needed: another may take it meanwhile
        umask = os.umask(0o077)  # what it prints into may be read by nobody else
        try:
            ui = Running("ui", "--port", server.rpartition(":")[2], "root=o", cwd=here)
        finally:
            os.umask(umask)
        with ui:
            until(lambda: "with the password" in ui.text() or not ui.alive(), running=ui)
            assert ui.alive(), ui.text()
            assert f"MLflow on {server} " in ui.text()
            (line,) = (line for line in ui.text().splitlines() if line.startswith("mini "))
            password = ui.text().partition("with the password ")[2].split()[0]
            until(lambda: answers(f"{server}/health", password) or not ui.alive(), running=ui)
            yield Served(root=here / "o", server=server, page=line.split()[1], password=password)
            os.kill(ui.pid, signal.SIGTERM)
            assert ui.process.wait() == 0


@pytest.fixture(scope="module")
def browser(served: Served) -> Iterator[Browser]:
    """Chromium after a login: the browser keeps name and password for this address."""
    with opened() as browser:
        browser.open(served.server.replace("http://", f"http://difair:{served.password}@"))
        yield browser


def answers(url: str, password: str) -> bool:
    request = urllib.request.Request(url, headers=logged_in(password))
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError):
        return False


def logged_in(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'difair:{password}'.encode()).decode()}"}


def study_run(served: Served) -> str:
    """Return the address of the MLflow run that stands for the study."""
    question = {"experiment_ids": [experiment(served)], "filter": "tags.`difair.kind` = 'study'"}
    url = f"{served.server}/api/2.0/mlflow/runs/search"
    headers = {"Content-Type": "application/json", **served.rights}
    request = urllib.request.Request(url, json.dumps(question).encode(), headers)
    with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
        (run,) = json.load(answer)["runs"]
    return f"{served.server}/#/experiments/{experiment(served)}/runs/{run['info']['run_id']}"


def experiment(served: Served) -> str:
    return served.page.partition("/experiments/")[2].partition("/")[0]


def waited(browser: Browser, code: str, picture: Path) -> Any:
    """Return what a script says once that is something true; keep a picture of what was there then."""
    try:
        until(lambda: browser.script(code))
        return browser.script(code)
    finally:
        browser.picture(picture, whole=False)


ROWS = """
const rows = {};
for (const cell of document.querySelectorAll('.ag-row .ag-cell')) {
  const row = cell.closest('.ag-row').getAttribute('row-index');
  (rows[row] ??= {})[cell.getAttribute('col-id')] = cell.innerText.trim().split('\\n').pop();
}
const complete = Object.values(rows).filter(row => Object.keys(row).some(name => name.includes('closed_set_accuracy')));
return complete.length >= 4 && complete;
"""


def test_a_page_of_another_name_reads_nothing(served: Served) -> None:
    place = served.server.removeprefix("http://")
    port = place.rpartition(":")[2]
    answered = {}
    for host in (place, f"localhost:{port}", f"evil.example:{port}", f"10.evil.example:{port}"):
        connection = http.client.HTTPConnection(place, timeout=HANG_SECONDS)
        connection.request("GET", RUNS, headers={"Host": host, **served.rights})
        answered[host.partition(":")[0]] = connection.getresponse().status
        connection.close()
    assert answered == {"127.0.0.1": 200, "localhost": 200, "evil.example": 403, "10.evil.example": 403}


def test_the_table_of_runs_shows_their_metrics_best_first(browser: Browser, served: Served, tmp_path: Path) -> None:
    browser.open(served.page, size=WINDOW)
    rows = waited(browser, ROWS, tmp_path / "runs.png")
    assert {name for row in rows for name in NAMES if name in row.values()} == NAMES
    (column,) = (name for name in rows[0] if "closed_set_accuracy" in name)
    shown = [float(row[column]) for row in rows]
    results = [json.loads(path.read_text()) for path in served.root.glob("runs/*/result.json")]
    assert shown == sorted(shown, reverse=True)
    assert set(shown) == {result["evaluation"]["closed_set_accuracy"] for result in results}


def test_two_runs_are_compared_with_parameters_metrics_and_parallel_coordinates(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    browser.open(served.page, size=WINDOW)
    waited(browser, ROWS, tmp_path / "before.png")
    for row in (0, 3):
        browser.script(f"document.querySelector('.ag-row[row-index=\"{row}\"] input[type=checkbox]').click()")
    button = "document.querySelector('[data-testid=\"runs-compare-button\"]')"
    waited(browser, f"return {button} !== null && !{button}.disabled", tmp_path / "selected.png")
    browser.script(f"{button}.click()")
    plot = "return document.querySelectorAll('.parcoords .y-axis').length > 1"
    waited(browser, plot, tmp_path / "compared.png")
    text = browser.script("return document.body.innerText")
    assert "Comparing 2 Runs from 1 Experiment" in text
    for word in ("protocol.batch_size", "method.name", "closed_set_accuracy", "auroc.mos"):
        assert word in text
    # Whole names: alpha=10 is also the end of another run's.
    assert len(NAMES & {part.strip() for part in re.split(r"[\n\t]", text)}) == 2


def test_charts_show_every_run_without_unfolding(browser: Browser, served: Served, tmp_path: Path) -> None:
    browser.open(f"{served.page}&compareRunsMode=CHART", size=WINDOW)
    drawn = "return document.querySelectorAll('.js-plotly-plot').length > 2"
    waited(browser, drawn, tmp_path / "charts.png")
    text = browser.script("return document.body.innerText")
    assert all(name in text for name in ("alpha=6", "alpha=10"))


def test_the_report_is_read_on_the_run_of_the_study(browser: Browser, served: Served, tmp_path: Path) -> None:
    browser.open(f"{study_run(served)}/artifacts/report/report.html", size=WINDOW)
    waited(browser, "return document.querySelector('iframe.mlflow-html-iframe') !== null", tmp_path / "frame.png")
    browser.driver.switch_to.frame(0)
    try:
        loaded = "return document.readyState === 'complete' && document.querySelectorAll('table').length > 5"
        waited(browser, loaded, tmp_path / "report.png")
        assert browser.script("return document.title") == "Report of the study mini"
        widths = browser.script("return [...document.images].map(one => one.naturalWidth)")
        assert len(widths) >= 2
        assert min(widths) > 0
    finally:
        browser.driver.switch_to.default_content()


def test_tables_and_the_description_are_shown(browser: Browser, served: Served, tmp_path: Path) -> None:
    browser.open(f"{study_run(served)}/artifacts/report/table2.csv", size=WINDOW)
    waited(browser, "return document.body.innerText.includes('digits mean')", tmp_path / "table.png")
    browser.open(study_run(served), size=WINDOW)
    waited(browser, "return document.body.innerText.includes('Study mini')", tmp_path / "study.png")
    tables = browser.script("return [...document.querySelectorAll('table')].map(one => one.innerText)")
    assert any("Cross-entropy" in table for table in tables)


def test_the_page_stays_closed_without_the_password(served: Served) -> None:
    with opened() as browser:
        browser.open(served.page, size=WINDOW)
        assert browser.requests()[1] == ["net::ERR_INVALID_AUTH_CREDENTIALS"], "nobody answers its question for them"
        assert browser.script("return document.body.innerText") == ""
