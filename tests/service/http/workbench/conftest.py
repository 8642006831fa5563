"""One service for all tests of the page, a Chromium for each file of them, a page for each test."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.service.http.workbench.browser import LIMIT, chromium, opened, service


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with service(tmp_path_factory.mktemp("service"), STRIATE_MAX_UPLOAD_BYTES=str(LIMIT)) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for the whole session: tests of coroutines cannot run beside it."""
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url) as page:
        expect(page.locator(".sample").last).to_be_visible()
        yield page
