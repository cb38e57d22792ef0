# SPDX-License-Identifier: GPL-2.0-only
"""The HTML page in a real browser: Debian's chromium, headless, driven by its own chromium-driver."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kfunctest import proc
from kfunctest.reports import html
from kfunctest.reports.sanitize import printable
from kfunctest.results import Run
from tests.reportruns import GOOD, HOSTILE, RUN

if TYPE_CHECKING:  # every host has this file collected, and few have selenium
    from selenium import webdriver
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.browser

#: The longest that a page with flooded logs may take until it can be used, in seconds.
LOAD_SECONDS = 20


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = proc.need("chromium")
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(proc.need("chromedriver")))
    yield driver
    driver.quit()


class Page:
    """The report of a run, opened."""

    def __init__(self, browser: webdriver.Chrome, folder: Path, source: str) -> None:
        file = folder / "report.html"
        file.write_text(source)
        self.browser = browser
        browser.set_window_size(1200, 900)
        browser.get_log("browser")  # what an earlier page said
        browser.get(file.as_uri())

    def all(self, selector: str) -> list[WebElement]:
        return list(self.browser.find_elements("css selector", selector))

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element("css selector", selector)

    @property
    def visible(self) -> list[str]:
        """The outcomes of the tests that are shown, in their order."""
        return [str(test.get_attribute("data-outcome")) for test in self.all("details.test") if test.is_displayed()]

    @property
    def said(self) -> list[dict[str, str]]:
        """What the browser's console says: errors, refused scripts."""
        return list(self.browser.get_log("browser"))


@pytest.fixture
def page(browser: webdriver.Chrome, tmp_path: Path) -> Page:
    return Page(browser, tmp_path, html.render(RUN))


def test_hostile_text_is_shown_and_does_nothing(page: Page) -> None:
    assert page.browser.title == "fail: 7.2-slim by v7.0, 6.12#2 by v2"
    shown = [pre.get_property("textContent") for pre in page.all("pre")]
    assert printable(HOSTILE) in shown
    assert len(page.all("script")) == 1
    assert page.said == []


def test_the_page_asks_for_nothing(page: Page) -> None:
    assert page.browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_a_script_that_is_not_ours_does_not_run(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The page's policy, should text ever get into it unescaped."""
    forged = html.render(RUN).replace("<main>", "<main><script>document.title = 'broken'</script>")
    page = Page(browser, tmp_path, forged)
    assert page.browser.title.startswith("fail")
    assert any("Content Security Policy" in line["message"] for line in page.said)


def test_outcomes_are_filtered(page: Page) -> None:
    assert page.visible[:3] == ["crashed", "hung", "failed"]
    assert page.one("#shown").text == "10 of 10 shown"
    page.one("input[name=passed]").click()
    page.one("input[name=skipped]").click()
    assert set(page.visible) == {"crashed", "hung", "failed", "xpassed", "infra", "xfailed"}
    assert page.one("#shown").text == "7 of 10 shown"
    page.one("input[name=passed]").click()
    assert page.one("#shown").text == "9 of 10 shown"


def test_a_test_is_found_by_its_name_and_by_its_log(page: Page) -> None:
    page.one("#search").send_keys("TEST_HANGS")
    assert page.visible == ["hung"]
    page.one("#search").clear()
    page.one("#search").send_keys("R1=ctx()")
    assert page.visible == ["failed"]


def test_a_test_opens_and_closes(page: Page) -> None:
    test = next(test for test in page.all("details.test") if test.get_attribute("data-outcome") == "infra")
    assert not test.find_element("tag name", "pre").is_displayed()
    test.find_element("tag name", "summary").click()
    assert "scripts/kfunc --kernel 7.2-slim" in test.find_element("tag name", "pre").text


def test_the_matrix_leads_to_the_test_even_where_it_is_filtered(page: Page) -> None:
    page.one("input[name=infra]").click()
    page.one("#matrix summary").click()
    page.one("#matrix a.infra").click()
    target = page.one("details.test[data-outcome=infra]")
    assert target.is_displayed()
    assert target.get_attribute("open")


@pytest.mark.parametrize("width", [500, 1200])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.browser.set_window_size(width, 900)
    wide, window = page.browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window


def test_a_page_of_flooded_logs_can_be_used(browser: webdriver.Chrome, tmp_path: Path) -> None:
    flooded = replace(RUN.results[1], log="<flood> " * 1_300_000)
    run: Run = replace(RUN, results=(flooded,) * 30)
    began = time.monotonic()
    page = Page(browser, tmp_path, html.render(run))
    page.one("#search").send_keys("flood")
    assert page.one("#shown").text.startswith("30 of ")
    assert time.monotonic() - began < LOAD_SECONDS


def test_a_good_run_says_so(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = Page(browser, tmp_path, html.render(GOOD))
    assert page.one("#verdict").text == "pass"
    assert page.visible == ["passed"]
    assert page.said == []
