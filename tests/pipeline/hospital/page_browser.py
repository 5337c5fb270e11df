"""Chromium without a window, and how tests look at the page in it and act on it."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
SWITCHES = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "disable-dev-shm-usage",
    "hide-scrollbars",
)

CONTRASTS = r"""
const light = (text) => {
  const [r, g, b] = text.match(/[\d.]+/g).slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (one) => {
  for (; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (!/, 0\)$/.test(colour)) return colour;
  }
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), ratios = [];
while (texts.nextNode()) {
  const one = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || one.closest("script, svg") || !one.checkVisibility()) continue;
  const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
  ratios.push((a + 0.05) / (b + 0.05));
}
return ratios;
"""
"""Contrast of every text with its background, as WCAG 2.2 defines it."""

UNDER = """
const frame = document.querySelector(`[data-name="${arguments[0]}"]`);
const port = frame.querySelector(".port").getBoundingClientRect();
const middle = new DOMPoint(port.left + port.width / 2 + arguments[1], port.top + port.height / 2 + arguments[2]);
const place = middle.matrixTransform(frame.querySelector(".turn").getScreenCTM().inverse());
return [place.x, place.y];
"""


def start(webdriver: Any, home: Path) -> Any:
    """Chromium under the driver's control; the caller quits it."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"user-data-dir={home}"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})  # or keys may go to no page at all
    return driver


def visit(driver: Any, url: str) -> None:
    """Open a page and wait until all of it is there: the driver may come back while the one before still stands."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(url)
    there = "return document.readyState === 'complete' && location.href === arguments[0]"
    waiting = WebDriverWait(driver, 30, poll_frequency=0.02, ignored_exceptions=[WebDriverException])
    waiting.until(lambda driver: driver.execute_script(there, url))


class Shown:
    """A page in a browser; CSS selectors name its parts, and views have their names."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def run(self, code: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(code, *arguments)

    def one(self, selector: str) -> Any:
        """The first element."""
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        """All elements."""
        return self.driver.find_elements("css selector", selector)

    def port(self, view: str) -> Any:
        """Where a view's picture is seen."""
        return self.one(f'[data-name="{view}"] .port')

    def click(self, selector: str) -> None:
        """With the mouse, as people do."""
        self.one(selector).click()

    def press(self, element: Any, *keys: str) -> None:
        """Keys by their names or characters; ``element`` is one or a selector."""
        from selenium.webdriver.common.keys import Keys

        target = self.one(element) if isinstance(element, str) else element
        target.send_keys(*(getattr(Keys, key, key) for key in keys))

    def style(self, element: Any, name: str) -> str:
        """A computed style."""
        target = self.one(element) if isinstance(element, str) else element
        return self.run("return getComputedStyle(arguments[0])[arguments[1]]", target, name)

    def opacity(self) -> float:
        """Of the first heat map."""
        return float(self.style(".heat", "opacity"))

    def zoom(self, view: str) -> tuple[float, float, float]:
        """How large a view is shown, and its shift in pixels of the stored image."""
        transform = self.style(f'[data-name="{view}"] .layers', "transform")
        values = [1, 0, 0, 1, 0, 0] if transform == "none" else json.loads(f"[{transform[7:-1]}]")
        return values[0], values[4], values[5]

    def under(self, view: str, x: int, y: int) -> list[float]:
        """Column and row of the picture that lie ``x, y`` pixels of the screen from the middle of a view."""
        return self.run(UNDER, view, x, y)

    def place(self, selector: str) -> list[float]:
        """Left, top, right and bottom on the screen."""
        code = "const r = arguments[0].getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]"
        return self.run(code, self.one(selector))

    def pixels(self, selector: str) -> np.ndarray:
        """``(H, W, 3)`` in [0, 255] of what is seen of an element."""
        picture = Image.open(io.BytesIO(self.one(selector).screenshot_as_png))
        return np.asarray(picture.convert("RGB")).astype(float)
