"""A real Chromium without a window, and what a test may ask of the page in it."""

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PHONE, DESK = (360, 740), (1280, 900)
"""Width and height of windows in CSS pixels."""


def missing() -> str:
    """Return which of the two programs is not here; empty: both are."""
    return next((name for name in ("chromium", "chromedriver") if shutil.which(name) is None), "")


class Browser:
    """One window, whose console and requests are listened to."""

    def __init__(self, driver: "Chrome") -> None:
        self.driver = driver

    def open(self, url: str, *, size: tuple[int, int] = DESK, dark: bool = False) -> None:
        """Load a page in a window of this size; what was heard before is forgotten."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get("about:blank")
        self.console(), self._events()
        self.driver.get(url)

    def script(self, code: str) -> Any:
        """Return what a script says of the page."""
        return self.driver.execute_script(code)

    def console(self) -> list[str]:
        """Return what the console of the page has shown since the last look."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> tuple[list[str], list[str]]:
        """Return the addresses that were asked for since the last look, and the errors of those that failed."""
        events = self._events()
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        failed = [e["params"]["errorText"] for e in events if e["method"] == "Network.loadingFailed"]
        return asked, failed

    def picture(self, path: Path, *, whole: bool = True) -> Path:
        """Keep a picture of the page, or of the window."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole, "format": "png"})
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def _events(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        return [json.loads(entry["message"])["message"] for entry in entries]


@contextmanager
def opened() -> Iterator[Browser]:
    """Start Chromium through Debian's driver, so that nothing is downloaded, and end both."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
