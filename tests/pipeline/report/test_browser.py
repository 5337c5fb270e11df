"""The report in a real browser; skipped where Chromium is not installed."""

import json

import pytest

from ..hospital.page_browser import CHROMIUM, DRIVER, start, visit

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed")


@pytest.fixture(scope="module")
def browser(report_path, tmp_path_factory):
    driver = start(pytest.importorskip("selenium.webdriver"), tmp_path_factory.mktemp("browser"))
    try:
        visit(driver, "about:blank")
        driver.get_log("performance")  # the start page's own requests
        visit(driver, report_path.as_uri())
        yield driver
    finally:
        driver.quit()


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert any(url.endswith("report.html") for url in asked)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1
    assert browser.get_log("browser") == []


def test_every_picture_is_drawn(browser):
    widths = browser.execute_script("return [...document.images].map(image => image.complete && image.naturalWidth)")
    assert len(widths) > 18
    assert min(widths) > 0


@pytest.mark.parametrize("width", [1100, 400])
def test_the_page_never_scrolls_sideways(browser, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return innerWidth") == width
    root = "document.documentElement"
    assert browser.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")


def test_folded_configuration_opens_without_script(browser):
    browser.execute_script("document.querySelector('details > summary').click()")
    assert "image_size" in browser.execute_script("return document.querySelector('details[open] pre').innerText")
