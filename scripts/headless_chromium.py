# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window, driven by Selenium, to test and time pages. Debian: chromium and chromium-driver."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def programs() -> tuple[str, str] | None:
    """Paths of the browser and of its driver, None if one is not installed."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return None if browser is None or driver is None else (browser, driver)


@contextmanager
def chromium(width: int = 1440, height: int = 900) -> Iterator[Chrome]:
    """A fresh browser with an empty profile, gone at the end of the block.

    Args:
        width, height: of the window in pixels.

    Yields:
        The driver; it keeps the logs `browser` (console) and `performance` (network, see `requests`).

    Raises:
        RuntimeError: if Chromium or its driver is not installed.
    """
    found = programs()
    if found is None:
        raise RuntimeError("chromium and chromedriver must be on PATH, found none; install Debian's chromium-driver")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location, driver_path = found
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = Service(driver_path, env={**os.environ, "SE_OFFLINE": "true"})
        driver = Chrome(options=options, service=service)
        try:
            yield driver
        finally:
            driver.quit()


def requests(driver: Chrome) -> list[str]:
    """Addresses of all that pages have asked for since this was last called."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
