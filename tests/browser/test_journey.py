"""What a newcomer does, in a real browser, on a platform started as `make up` starts it."""

from __future__ import annotations

import contextlib
import re
from itertools import pairwise

import httpx
import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import expect

from tests.browser.conftest import NewPerson
from tests.fixtures_installation import Installation

pytestmark = pytest.mark.browser


def ask(
    installation: Installation, name: str, method: str, path: str, **options: object
) -> httpx.Response:
    """Send a request to a box by its own host, which Python's resolver may not know."""
    with httpx.Client(base_url=f"http://127.0.0.1:{installation.port}", trust_env=False) as client:
        return client.request(
            method, path, headers={"host": f"{name}.localhost:{installation.port}"}, **options
        )


async def test_sign_up_make_a_box_use_it_delete_it(
    new_person: NewPerson, installation: Installation, box_name: str
):
    person = await new_person()
    tab = person.tab
    await person.sign_up_and_in()
    await expect(tab.get_by_text("No boxes yet")).to_be_visible()

    await tab.get_by_role("link", name="Make your first box").click()
    name = tab.get_by_label("Box name")
    await name.press_sequentially("ab")
    await expect(tab.locator("#name-check")).to_contain_text("starts with a lower-case letter")
    await name.fill("")
    await name.press_sequentially(box_name)
    await expect(tab.locator("#name-check")).to_have_text(f"{box_name} is free.")
    await tab.get_by_label("Description").fill("Pilot")
    await tab.get_by_text("Staging", exact=True).click()
    await tab.get_by_label("FHIR version").select_option("4.0.1")
    await tab.get_by_role("button", name="Create box").click()

    await expect(tab.locator(".heading .state")).to_have_text("Ready")
    base_url = installation.box_url(box_name)
    await expect(tab.locator("#base-url")).to_have_text(base_url)
    await expect(tab.locator("#curl")).to_have_text(f"curl -u root:SECRET {base_url}/fhir/Patient")
    assert ask(installation, box_name, "GET", "/fhir/Patient").status_code == 403

    await tab.get_by_role("button", name="Show the secret").click()
    secret = await tab.locator("#client-secret").inner_text()
    await expect(tab.locator("#curl")).to_contain_text(secret)
    await tab.reload()  # repeats the form
    await expect(tab.locator("#client-secret")).to_have_count(0)
    await person.goto(f"/boxes/{box_name}")
    assert secret not in await tab.content()

    patient = {"resourceType": "Patient", "id": "p-1", "name": [{"family": "Byron"}]}
    made = ask(
        installation, box_name, "PUT", "/fhir/Patient/p-1", json=patient, auth=("root", secret)
    )
    assert made.status_code == 201, made.text

    await tab.get_by_role("link", name="Resources").click()
    await tab.get_by_role("link", name="Patient", exact=True).first.click()
    await expect(tab.get_by_role("row", name=re.compile("p-1 Byron"))).to_be_visible()
    await tab.get_by_role("link", name="p-1").click()
    await expect(tab.locator("#json")).to_contain_text('"family": "Byron"')

    await tab.get_by_role("link", name="Open box").click()
    await tab.wait_for_url(f"{base_url}/**")
    assert "__sudo" not in tab.url
    await expect(tab.get_by_role("heading", name=box_name)).to_be_visible()
    await tab.get_by_role("link", name=re.compile("fhir$")).click()
    await expect(tab.locator("body")).to_contain_text("CapabilityStatement")

    await person.goto(f"/boxes/{box_name}/settings")
    await tab.get_by_role("link", name="Delete box").click()
    await tab.get_by_label("to confirm").fill("something else")
    await tab.get_by_role("button", name="Delete for good").click()
    await expect(tab.locator(".error")).to_contain_text(f"Type {box_name} to confirm")
    await tab.get_by_label("to confirm").fill(box_name)
    await tab.get_by_role("button", name="Delete for good").click()
    await expect(tab.get_by_text("No boxes yet")).to_be_visible()
    assert ask(installation, box_name, "GET", "/fhir/Patient").status_code == 404

    await tab.get_by_role("button", name="Sign out").click()
    await person.goto("/boxes")
    await expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_the_same_without_scripts(new_person: NewPerson, box_name: str):
    person = await new_person(java_script_enabled=False)
    await person.sign_up_and_in()
    await person.ask_for_box(box_name)
    await expect(person.tab.locator(".heading .state")).to_have_text("Ready")
    await person.tab.get_by_role("button", name="Show the secret").click()
    await expect(person.tab.locator("#client-secret")).to_be_visible()
    await expect(person.tab.get_by_role("button", name="Copy")).to_have_count(0)


async def test_progress_is_seen_live(new_person: NewPerson, box_name: str):
    person = await new_person()
    await person.sign_up_and_in()
    await person.ask_for_box(box_name)
    seen = set()
    while (state := await person.tab.locator(".heading .state").inner_text()) != "Ready":
        seen.add(state)
        with contextlib.suppress(PlaywrightError):  # the page went on while we looked
            seen.update(await person.tab.locator(".steps li").all_inner_texts())
        await person.tab.wait_for_timeout(50)
    assert any("Make" in text or "Copy" in text for text in seen) or not seen - {"Waiting"}
    await expect(person.tab.get_by_role("heading", name="Connect")).to_be_visible()


async def test_two_people_do_not_see_each_others_boxes(new_person: NewPerson, box_name: str):
    owner, stranger = await new_person(), await new_person()
    await owner.sign_up_and_in()
    await owner.ask_for_box(box_name)
    await stranger.sign_up_and_in()
    await expect(stranger.tab.get_by_text("No boxes yet")).to_be_visible()
    response = await stranger.tab.request.get(f"{stranger.base_url}/boxes/{box_name}")
    assert response.status == 404


PATHS = ("/boxes", "/boxes/new", "", "/settings", "/resources", "/resources/Patient", "/delete")


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_every_page_fits_a_phone_and_names_its_fields(
    new_person: NewPerson, box_name: str, color_scheme: str
):
    person = await new_person(width=360, color_scheme=color_scheme)
    await person.sign_up_and_in()
    await person.ask_for_box(box_name)
    await expect(person.tab.locator(".heading .state")).to_have_text("Ready")
    for path in PATHS:
        await person.goto(path if path.startswith("/boxes") else f"/boxes/{box_name}{path}")
        await check_page(person.tab)
    for path in ("/account", "/sign-up/sent"):
        await person.goto(path)
        await check_page(person.tab)


async def check_page(tab) -> None:
    width = await tab.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, f"{tab.url} is {width} px wide"
    nameless = await tab.evaluate(
        """[...document.querySelectorAll('input:not([type=hidden]):not([hidden]), select, textarea')]
           .filter(field => !field.labels.length).map(field => field.outerHTML)"""
    )
    assert nameless == []
    levels = await tab.evaluate(
        "[...document.querySelectorAll('h1,h2,h3')].map(heading => +heading.tagName[1])"
    )
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    await tab.keyboard.press("Tab")
    outline = await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", f"{tab.url}: focus is invisible"
