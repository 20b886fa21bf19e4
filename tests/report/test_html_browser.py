"""report.html in a real Chromium: whole without a network, readable on a phone, deaf to markup of users."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from difair_hpc.report.page import write_report
from difair_hpc.report.rows import StageRows, StudyRows
from tests.browser import DESK, PHONE, Browser
from tests.report.made import diverged, row, searched
from tests.report.test_html import EVIL, cost

if TYPE_CHECKING:
    from difair_hpc.report.rows import ResultRow

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = "a_folder_name_without_a_place_to_break_it_that_goes_on_and_on_and_on_for_more_than_a_phone_is_wide"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a page with everything on it, markup of a user and words without end included."""
    coarse = tuple(searched(a, c, 0.9 + a / 1000) for a in (8, 10) for c in (0.4, 0.6))
    rows: list[ResultRow] = [diverged("cac", split=3), row(split=0, warnings=[EVIL, f"{LONG}/{LONG}"])]
    rows += [row(method, split=split, auroc={"mos": 0.8}) for method in ("difair", "cross_entropy") for split in (1, 2)]
    stages = (
        StageRows(stage="coarse", rows=coarse, planned=4, reasons=(EVIL, LONG), chosen=({"alpha": 10.0},)),
        StageRows(stage="final", rows=tuple(rows), planned=9, problems=(EVIL,)),
    )
    history = [{"epoch": epoch, "loss": 1 / (epoch + 1), "weight_spread.cat": 0.02} for epoch in range(6)]
    waiting = cost(LONG, running=True, ended=None, node=EVIL, machine={"gpu": EVIL, "cpu": LONG})
    written = write_report(
        StudyRows(study=EVIL, stages=stages),
        tmp_path_factory.mktemp("page"),
        histories={rows[1].signature: history},
        costs={"final": [*(cost(one.signature) for one in rows), waiting]},
    )
    (page,) = (path for path in written if path.name == "report.html")
    return page.as_uri()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_page_needs_nothing_but_itself(browser: Browser, address: str, size: tuple[int, int]) -> None:
    browser.open(address, size=size)
    asked, failed = browser.requests()
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert failed == []
    assert browser.console() == []
    sizes = browser.script("return [...document.images].map(one => [one.naturalWidth, one.complete, one.alt.length])")
    assert len(sizes) == 6
    assert all(width > 0 and complete and alt > 0 for width, complete, alt in sizes)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_only_tables_scroll_to_the_side(browser: Browser, address: str, size: tuple[int, int], tmp_path: Path) -> None:
    browser.open(address, size=size)
    width, window = browser.script("return [document.documentElement.scrollWidth, innerWidth]")
    assert window == size[0]
    assert width <= window
    boxes = browser.script("return [...document.querySelectorAll('.scroll')].map(b => [b.tabIndex, b.offsetWidth])")
    assert len(boxes) >= 8
    assert all(index == 0 and 200 < box < window for index, box in boxes)
    assert browser.picture(tmp_path / "page.png").stat().st_size > 20_000


def test_every_link_inside_the_page_has_its_target(browser: Browser, address: str) -> None:
    browser.open(address)
    links, ids = browser.script(
        "return [[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1)),"
        " [...document.querySelectorAll('[id]')].map(e => e.id)]"
    )
    assert len(ids) == len(set(ids))
    assert {unquote(link) for link in links} <= set(ids)
    assert sum(link.startswith("run-") for link in links) > 5


def test_markup_of_a_user_is_text(browser: Browser, address: str) -> None:
    browser.open(address)
    assert browser.script("return document.querySelectorAll('script, [onerror]').length") == 0
    assert browser.script("return document.title") == f"Report of the study {EVIL}"
    assert EVIL in browser.script("return document.getElementById('warnings').parentElement.textContent")


def test_the_page_follows_the_colours_of_the_system(browser: Browser, address: str) -> None:
    def brightness(*, dark: bool) -> list[int]:
        browser.open(address, dark=dark)
        style = browser.script("const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]")
        return [sum(map(int, colour[4:-1].split(","))) for colour in style]

    light_paper, light_ink = brightness(dark=False)
    dark_paper, dark_ink = brightness(dark=True)
    assert light_paper - light_ink > 500
    assert dark_ink - dark_paper > 500


def test_everything_is_reached_by_the_keyboard(browser: Browser, address: str) -> None:
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.support.wait import WebDriverWait

    browser.open(address, size=PHONE)
    ActionChains(browser.driver).send_keys(Keys.TAB, Keys.ENTER).perform()
    assert browser.script("return location.hash") == "#run"
    box = "document.activeElement.closest('.scroll')"
    for _ in range(20):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        if browser.script(f"return {box} === document.activeElement && {box}.scrollWidth > {box}.clientWidth"):
            break
    ActionChains(browser.driver).send_keys(*[Keys.ARROW_RIGHT] * 4).perform()
    WebDriverWait(browser.driver, 5).until(lambda _: browser.script(f"return {box}.scrollLeft") > 0)
