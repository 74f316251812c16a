"""GET /: the front page of a box, for a person who opens its address in a browser.

Says which box this is, who the caller is to it, and where its two APIs are. It shows nothing that
the caller may not read: it is judged by the policies like any other request. Programs, which do not
ask for a page, are told that there is no search over all types at root.
Source: platform specification, "Box web UI"; core specification, "Two APIs, one store".
"""

from __future__ import annotations

from html import escape

from boxruntime import __version__
from boxruntime.api.box import Box
from boxruntime.api.call import Call, Result
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.http.negotiation import names_html

_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    ),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{box} · Halebox</title>
<style>
:root {{ color-scheme: light dark; --page: #f4f6f6; --card: #fff; --line: #dde3e1; --text: #17211f;
  --soft: #52605d; --accent: #0b6e5f; }}
@media (prefers-color-scheme: dark) {{ :root {{ --page: #0f1514; --card: #17201e; --line: #2a3835;
  --text: #e8efed; --soft: #9fb0ac; --accent: #4fd1b5; }} }}
body {{ font: 16px/1.6 system-ui, sans-serif; margin: 0; padding: 10vh 1rem; background: var(--page);
  color: var(--text); }}
main {{ max-width: 44rem; margin: auto; padding: 2rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 14px; }}
h1 {{ margin: 0; font-size: 1.75rem; }}
p {{ margin: 0 0 1.5rem; color: var(--soft); }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .75rem 2rem; margin: 0; }}
dt {{ color: var(--soft); }}
dd {{ margin: 0; font: .9rem/1.8 ui-monospace, monospace; overflow-wrap: anywhere; }}
a {{ color: var(--accent); text-underline-offset: 3px; }}
a:focus-visible {{ outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 3px; }}
@media (max-width: 30rem) {{ main {{ padding: 1.25rem }} dl {{ grid-template-columns: 1fr; gap: 0 }}
  dd {{ margin-bottom: 1rem }} }}
</style>
<main>
<h1>{box}</h1>
<p>A Halebox box, FHIR {fhir}, release {release}</p>
<dl>
<dt>FHIR API</dt><dd><a href="/fhir/metadata">{base}/fhir</a></dd>
<dt>Aidbox API</dt><dd><a href="/Patient">{base}/</a></dd>
<dt>Patients</dt><dd><a href="/fhir/Patient?_pretty=true">{base}/fhir/Patient</a></dd>
<dt>Health</dt><dd><a href="/health">{base}/health</a></dd>
<dt>You are</dt><dd>{caller}</dd>
</dl>
</main>
</html>
"""


async def front(call: Call, box: Box) -> Result:
    """Return the page. Raises OutcomeError NOT_FOUND for whoever asks for something else."""
    if call.query or not names_html(call.header(b"accept")):
        raise OutcomeError(Fault.NOT_FOUND, "The route does not exist.")
    principal = call.principal
    person = principal.user.get("email") or principal.user["id"] if principal.user else None
    caller = person or principal.client_id or "not signed in"
    if principal.role:
        caller = f"{caller} ({principal.role})"
    page = _PAGE.format(
        box=escape(box.settings.box_id),
        fhir=escape(box.metadata.fhir_version),
        release=escape(__version__),
        base=escape(call.base),
        caller=escape(str(caller)),
    )
    return Result(status=200, raw=page.encode(), headers=_HEADERS)
