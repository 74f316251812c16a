"""A real browser on a real installation. `tab` fails its test on any console error.

Playwright's asynchronous API, because its synchronous one keeps an event loop running in the
main thread, where the other asynchronous tests of the session could then start none.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    async_playwright,
    expect,
)

from infra.local.chromium import find_browser
from tests.fixtures_installation import Installation

TIMEOUT_MS = 60_000  # the machine may build the database template meanwhile
expect.set_options(timeout=TIMEOUT_MS)


@pytest_asyncio.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    program = find_browser()
    assert program, "The browser tests need chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        # --no-sandbox: its sandbox needs rights that root in a container lacks.
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        await browser.close()


@dataclass
class Person:
    """Someone at a browser of their own."""

    tab: Page
    base_url: str
    email: str = field(default_factory=lambda: f"person{secrets.token_hex(5)}@example.org")
    password: str = "violet kettle orbit"

    async def goto(self, path: str) -> None:
        await self.tab.goto(self.base_url + path)

    async def sign_up_and_in(self) -> None:
        tab = self.tab
        await self.goto("/sign-up")
        await tab.get_by_label("Email").fill(self.email)
        await tab.get_by_label("Password").fill(self.password)
        await tab.get_by_role("button", name="Sign up").click()
        await tab.get_by_role("link", name="Confirm my address").click()
        await tab.get_by_role("button", name="Confirm").click()
        await tab.get_by_role("main").get_by_role("link", name="Sign in").click()
        await tab.get_by_label("Email").fill(self.email)
        await tab.get_by_label("Password").fill(self.password)
        await tab.get_by_role("button", name="Sign in").click()
        await tab.get_by_role("heading", name="Boxes", exact=True).wait_for()

    async def ask_for_box(self, name: str) -> None:
        tab = self.tab
        await self.goto("/boxes/new")
        await tab.get_by_label("Box name").fill(name)
        await tab.get_by_role("button", name="Create box").click()
        await tab.wait_for_url(f"**/boxes/{name}")


NewPerson = Callable[..., Awaitable[Person]]


@pytest_asyncio.fixture
async def new_person(chromium: Browser, installation: Installation) -> AsyncIterator[NewPerson]:
    """Open a browser for one more person: `await new_person(width=360, java_script_enabled=…)`."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        """Boxes have their own origins; a browser asks them for icons they do not have."""
        if message.type == "error" and message.location["url"].startswith(installation.base_url):
            errors.append(f"{message.text} {message.location['url']}")

    async def open_browser(width: int = 1280, **options: object) -> Person:
        context = await chromium.new_context(viewport={"width": width, "height": 800}, **options)
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        tab = await context.new_page()
        tab.on("console", note)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        return Person(tab, installation.base_url)

    yield open_browser
    for context in contexts:
        await context.close()
    assert errors == [], "the browser's console shows errors"


@pytest.fixture
def box_name() -> str:
    return "b" + secrets.token_hex(5)
