"""The page for people in a real browser, with real clicks and keys; skipped where Chromium is not installed."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from mammo.pipeline.hospital.page import write_page

from .page_browser import CHROMIUM, CONTRASTS, DRIVER, Shown, start, visit
from .page_studies import FACTOR, drawn, failed, in_part, not_analysed, planted

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed")

HOSTILE = "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'>\"><svg onload='window.hit = 3'>"
LESION = "R MLO"  # one of the two views with the lesion
COLUMNS = 2 * 450  # of a stored image of the phantom


def hostile():
    views = tuple(replace(view, messages=(HOSTILE,), path=HOSTILE) for view in in_part().views)
    return replace(not_analysed(), views=views, reason=HOSTILE)


STUDIES = {
    "analysed": planted,
    "turned": lambda: planted(mirrored=("R CC", "R MLO"), upside_down=("R MLO",)),
    "part": in_part,
    "not": not_analysed,
    "failed": failed,
    "hostile": hostile,
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return {name: write_page(make(), folder / f"{name}.html").as_uri() for name, make in STUDIES.items()}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    running = start(pytest.importorskip("selenium.webdriver"), tmp_path_factory.mktemp("browser"))
    try:
        yield running
    finally:
        running.quit()


@pytest.fixture
def show(driver, pages):
    """A function that opens a page in a window of a size."""

    def opened(name, width=1366, height=768):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        visit(driver, "about:blank")
        driver.get_log("performance")  # what went before
        driver.get_log("browser")
        visit(driver, pages[name])
        return Shown(driver)

    return opened


@pytest.fixture
def page(show):
    """The page of an analysed study with a lesion in the right breast."""
    return show("analysed")


@pytest.fixture
def mouse(driver):
    from selenium.webdriver import ActionChains

    return ActionChains(driver)


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_is_asked_of_the_network_and_nothing_complains(show, driver, name):
    page = show(name)
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert len([url for url in asked if url.startswith("file:")]) == 1
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert driver.get_log("browser") == []
    assert page.run("return window.hit") is None


@pytest.mark.parametrize("size", [(1366, 768), (390, 844), (320, 568), (768, 1024), (2048, 2560)])
@pytest.mark.parametrize("name", ["analysed", "part", "hostile"])
def test_no_size_of_window_scrolls_sideways(show, name, size):
    assert show(name, *size).run("return document.documentElement.scrollWidth") <= size[0]


def test_the_answer_and_all_four_views_are_seen_without_scrolling(page):
    for selector in ("h1", "#tools", *(f'[data-name="{name}"] .tools' for name in ("R CC", "L CC", "R MLO", "L MLO"))):
        _, top, _, bottom = page.place(selector)
        assert 0 <= top < bottom <= 768


def test_the_notice_is_seen_wherever_one_scrolls(page):
    for share in (0, 0.5, 1):
        page.run("scrollTo(0, arguments[0] * document.documentElement.scrollHeight)", share)
        _, top, _, bottom = page.place(".notice")
        assert 0 <= top < bottom < 768
        assert page.run("return document.elementFromPoint(700, arguments[0]).className", (top + bottom) / 2) == "notice"


def test_the_notice_is_printed_and_controls_are_not(page, driver):
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert page.one(".notice").is_displayed()
        assert not page.one("#tools").is_displayed()
        assert page.style("body", "backgroundColor") == "rgb(255, 255, 255)"
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_an_analysed_study_prints_on_two_sheets_of_a4_with_what_was_folded(page, driver):
    opened = "document.querySelector('details').open"
    page.run(f"addEventListener('beforeprint', () => {{ window.seen = {opened}; }})")
    printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert printed.count(b"/Type /Page\n") == 2
    assert b"/MediaBox [0 0 594.9" in printed  # points
    assert page.run("return window.seen")
    assert not page.run(f"return {opened}")


def test_the_slider_changes_the_opacity_of_every_heat_map(page):
    for keys, expected in ((["ARROW_RIGHT"], 0.45), (["HOME"], 0), (["END"], 1), (["ARROW_LEFT"] * 4, 0.8)):
        page.press("#heat", *keys)
        assert [float(page.style(layer, "opacity")) for layer in page.all(".heat")] == [pytest.approx(expected)] * 2
        assert page.one("#heat").get_attribute("aria-valuetext") == f"{expected * 100:.0f} %"


def test_the_slider_follows_the_mouse(page, mouse):
    slider = page.one("#heat")
    mouse.move_to_element_with_offset(slider, slider.size["width"] // 4, 0).click().perform()
    assert 0.65 <= page.opacity() <= 0.85


def test_boxes_are_switched_by_mouse_and_key(page):
    box = page.one("rect.line")
    assert box.is_displayed()
    page.click("#boxes")
    assert not box.is_displayed()
    page.press("#boxes", " ")
    assert box.is_displayed()
    page.press(page.port("R CC"), "b")
    assert not box.is_displayed()
    assert not page.one("#boxes").is_selected()


def test_the_heat_map_is_switched_by_key_and_comes_back(page):
    page.press("#heat", "ARROW_RIGHT")
    for expected in (0, 0.45):
        page.press(page.port("R CC"), "h")
        assert page.opacity() == pytest.approx(expected)


def test_zoom_and_move_by_keyboard(page):
    view = page.port("R CC")
    page.press(view, "+", "+")
    assert page.zoom("R CC")[0] == pytest.approx(1.5625)
    assert page.one('[data-name="R CC"] output').text == "156 %"
    assert page.zoom("L CC")[0] == 1
    before = page.zoom("R CC")[1]
    page.press(view, "ARROW_RIGHT")
    assert page.zoom("R CC")[1] == pytest.approx(before - 0.12 * COLUMNS)
    page.press(view, *["ARROW_RIGHT"] * 20)
    assert page.zoom("R CC")[1] == pytest.approx(COLUMNS * (1 - 1.5625))  # not beyond the picture's edge
    page.press(view, "-", "-", "-")
    assert page.zoom("R CC") == (1, 0, 0)
    page.press(view, "+", "0")
    assert page.zoom("R CC") == (1, 0, 0)


def test_zoom_by_buttons_of_one_view_and_of_all(page):
    page.click('[data-name="L MLO"] [data-do="in"]')
    page.click("#all-in")
    assert page.zoom("L MLO")[0] == pytest.approx(1.5625)
    assert page.zoom("R CC")[0] == pytest.approx(1.25)
    page.click('[data-name="L MLO"] [data-do="fit"]')
    assert page.zoom("L MLO")[0] == 1
    page.click("#all-out")
    assert page.zoom("R CC")[0] == 1


def test_the_wheel_zooms_where_it_points_in_the_chosen_view_and_scrolls_elsewhere(page, mouse):
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    spot = ScrollOrigin.from_element(page.port("R CC"), 60, 60)
    mouse.scroll_from_origin(spot, 0, -120).perform()
    assert page.zoom("R CC")[0] == 1
    page.port("R CC").click()
    before = page.under("R CC", 60, 60)
    mouse.scroll_from_origin(spot, 0, -120).perform()
    assert page.zoom("R CC")[0] > 1.2
    assert page.under("R CC", 60, 60) == pytest.approx(before, abs=3)  # a pixel of the screen is 3 of the image
    assert page.run("return scrollY") == 0


def test_a_zoomed_view_is_dragged(page, mouse):
    view = page.port("R CC")
    page.press(view, "+", "+", "+")
    before = page.under("R CC", 0, 0)
    mouse.click_and_hold(view).move_by_offset(20, -10).release().perform()
    assert page.under("R CC", 20, -10) == pytest.approx(before, abs=0.5)


def test_window_sliders_change_the_filter_and_what_is_seen(page):
    seen = '[data-name="L CC"] .port'
    before = page.pixels(seen)[..., 0]
    assert "#window" in page.style(".image", "filter")
    page.press("#centre", *["ARROW_LEFT"] * 30)
    assert _window(page) == pytest.approx((1, 0.3))
    assert page.pixels(seen)[..., 0][before > 60].mean() > before[before > 60].mean() + 50
    page.press("#width", *["ARROW_LEFT"] * 10)
    slope, intercept = _window(page)
    assert (slope, intercept) == pytest.approx((2, 0.5 - 0.2 * 2))
    inside = (before > 10) & (before < 90)
    expected = np.clip(before * slope + 255 * intercept, 0, 255)
    assert np.median(np.abs(page.pixels(seen)[..., 0] - expected)[inside]) <= 3  # 8 bits, twice as steep


def test_reset_brings_everything_back(page):
    before = page.pixels("#stage")
    for selector in ("#heat", "#centre", "#width"):
        page.press(selector, "ARROW_LEFT", "ARROW_LEFT")
    page.click("#boxes")
    page.click("#all-in")
    page.press(page.port("R CC"), "ENTER")
    page.click("#reset")
    assert page.zoom("R CC") == (1, 0, 0)
    page.run("scrollTo(0, 0)")
    np.testing.assert_allclose(page.pixels("#stage"), before, atol=2)


def test_a_view_is_enlarged_by_key_and_comes_back(page):
    small = page.place('[data-name="R MLO"] svg')
    page.press(page.port("R MLO"), "ENTER")
    large = page.place('[data-name="R MLO"] svg')
    assert large[2] - large[0] > 3 * (small[2] - small[0])
    assert not page.port("L CC").is_displayed()
    assert page.one('[data-name="R MLO"] [data-do="large"]').get_attribute("aria-pressed") == "true"
    page.press(page.port("R MLO"), "ESCAPE")
    assert page.port("L CC").is_displayed()


@pytest.mark.parametrize("name", ["analysed", "turned"])
@pytest.mark.parametrize("keys", [[], ["ENTER"]], ids=["small", "large"])
def test_heat_and_box_lie_on_the_lesion(show, name, keys):
    page = show(name)
    page.press("#heat", "END")
    page.press(page.port(LESION), *keys)
    left, top, right, bottom = _lesion_on_screen(page)
    assert page.place(f'[data-name="{LESION}"] rect.line') == pytest.approx([left, top, right, bottom], abs=1.5)
    page.press(page.port(LESION), "b")
    seen, origin = page.pixels(f'[data-name="{LESION}"] .port'), page.place(f'[data-name="{LESION}"] .port')
    rows, columns = np.nonzero((seen[..., 0] > 200) & (seen[..., 1] < 120))  # red: the map's peak
    assert len(rows) > 100
    assert rows.mean() + origin[1] == pytest.approx((top + bottom) / 2, abs=(bottom - top) / 8)
    assert columns.mean() + origin[0] == pytest.approx((left + right) / 2, abs=(right - left) / 8)


@pytest.mark.parametrize("view", ["R CC", "R MLO"])
def test_a_turned_picture_looks_as_one_that_was_not(show, view):
    seen = []
    for name in ("analysed", "turned"):
        page = show(name)
        page.press("#boxes", " ")  # the place of a box's number may differ
        seen.append(page.pixels(f'[data-name="{view}"] .port'))
    assert np.abs(seen[0] - seen[1]).mean() < 1


@pytest.mark.parametrize("name", ["analysed", "turned"])
def test_box_buttons_bring_the_box_into_the_middle(show, name):
    page = show(name)
    page.click(f'[data-name="{LESION}"] [data-box="0"]')
    box, frame = page.place(f'[data-name="{LESION}"] rect.line'), page.place(f'[data-name="{LESION}"] .port')
    assert page.zoom(LESION)[0] > 1
    assert (box[0] + box[2]) / 2 == pytest.approx((frame[0] + frame[2]) / 2, abs=(frame[2] - frame[0]) / 8)
    assert (box[1] + box[3]) / 2 == pytest.approx((frame[1] + frame[3]) / 2, abs=(frame[3] - frame[1]) / 8)


@pytest.mark.parametrize("size", [(1366, 768), (390, 844)])
def test_chest_walls_face_each_other(show, size):
    page = show("turned", *size)
    for view in ("CC", "MLO"):
        right, left = (page.place(f'[data-name="{side} {view}"] .image') for side in "RL")
        assert 0 <= left[0] - right[2] < 8
        assert left[1] == pytest.approx(right[1])
        seen = [page.pixels(f'[data-name="{side} {view}"] .port').mean(axis=(0, 2)) for side in "RL"]
        half = len(seen[0]) // 2
        assert seen[0][half:].mean() > seen[0][:half].mean()
        assert seen[1][:half].mean() > seen[1][half:].mean()


@pytest.mark.parametrize("name", ["analysed", "part", "not"])
def test_tab_reaches_everything_in_order_and_shows_where_it_is(show, driver, name):
    page = show(name)
    every = page.run(
        "window.every = [...document.querySelectorAll('button, input, [tabindex], summary, a')]"
        ".filter((one) => one.checkVisibility()); return every.length"
    )
    reached = []
    for _ in range(every):
        page.press(driver.switch_to.active_element, "TAB")
        reached.append(page.run("return every.indexOf(document.activeElement)"))
        active = driver.switch_to.active_element
        assert page.style(active, "outlineStyle") == "solid"
        assert float(page.style(active, "outlineWidth").removesuffix("px")) >= 2
    assert reached == list(range(every))
    assert every >= (1 if name == "not" else 15)


def test_everything_that_acts_has_a_name_of_its_own(page):
    names = page.run(
        "return [...document.querySelectorAll('button, input, [tabindex], summary')].map((one) => "
        "one.ariaLabel || one.textContent.trim() || (one.labels ? one.labels[0].textContent.trim() : ''))"
    )
    assert "" not in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["analysed", "part", "failed"])
def test_texts_stand_out_from_what_is_behind_them(show, name):
    """WCAG 2.2 asks for 4.5 to 1 (1.4.3), and at its highest level for 7 to 1 (1.4.6)."""
    page = show(name)
    page.click("summary")
    ratios = page.run(CONTRASTS)
    assert len(ratios) > 10
    assert min(ratios) >= 7


def test_without_script_pictures_and_words_are_there(show, driver):
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page = show("analysed")
        assert page.one("h1").is_displayed()
        assert page.opacity() == pytest.approx(0.4)
        assert not page.one("#tools").is_displayed()
        assert page.pixels('[data-name="L CC"] .port').max() > 100
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def _window(page):
    part = page.one("#window [slope]")
    return float(part.get_attribute("slope")), float(part.get_attribute("intercept"))


def _lesion_on_screen(page):
    """Where the lesion is seen: the truth as it was drawn, chest wall on the usual side, and the picture's place."""
    view = next(one for one in drawn() if f"{one.laterality[0]} {one.view}" == LESION)
    left, top, right, bottom = page.place(f'[data-name="{LESION}"] .image')
    rows, columns = view.image.shape
    assert columns * FACTOR == COLUMNS
    across, down = (right - left) / columns, (bottom - top) / rows
    row0, column0, row1, column1 = view.lesion.box
    return left + column0 * across, top + row0 * down, left + column1 * across, top + row1 * down
