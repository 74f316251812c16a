"""Creates, of which people may let an Operation with the action `sdc/create` override some.

Then the source and what its AlphaSDC template makes of it are stored together, or nothing is.
Source: core specification, "Structured data capture".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.api.atomic import atomically
from boxruntime.api.call import Body, Call, Result
from boxruntime.api.create_or_replace import replace, store_new
from boxruntime.api.dispatch import GOVERNING, authorize_type
from boxruntime.api.intake import ValidResource, check_id, take_resource
from boxruntime.fhir.capture import extract
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError

if TYPE_CHECKING:
    from boxruntime.api.box import Box


async def store_created(
    call: Call, box: Box, valid: ValidResource, *, id_: str | None = None
) -> Result:
    """Store what a create brings, as `store_new` does, and what is captured from it."""
    if not is_captured(call, box):
        return await store_new(call, box, valid, id_=id_)
    return await atomically(
        box, call.dialect, lambda inner: _store_all(call, inner, valid, id_), one_version=True
    )


def is_captured(call: Call, box: Box) -> bool:
    """Tell whether creates of the call's type are overridden."""
    return box.own_operations.captures(call.dialect, call.type) is not None


async def _store_all(call: Call, box: Box, valid: ValidResource, id_: str | None) -> Result:
    result = await store_new(call, box, valid, id_=id_)
    template = await box.store.find("AlphaSDC", call.type)
    if result.stored is None or template is None:
        raise OutcomeError(Fault.UNPROCESSABLE, f"There is no AlphaSDC/{call.type}.")
    for resource in extract(template.resource().get("template"), result.stored.resource()):
        inner = _call_of(call, box, resource)
        await replace(inner, box, await take_resource(inner, box), inner.id)
    return result


def _call_of(call: Call, box: Box, resource: dict[str, Any]) -> Call:
    """Return the update that stores a captured resource.

    Whoever may send the source may store what the template makes of it, since administrators
    write templates; but nobody comes by administrative rights that way.
    """
    resource_type = resource["resourceType"]
    id_ = check_id(resource.get("id"), resource_type)
    found = box.routes.find(Dialect.AIDBOX, "PUT", (resource_type, id_))
    if found is None or resource_type not in box.metadata.resource_types:
        raise OutcomeError(Fault.UNPROCESSABLE, "The template makes an unknown resource type.")
    if resource_type in GOVERNING:
        authorize_type(call, box, resource_type)
    route, parameters = found
    return msgspec.structs.replace(
        call,
        route=route,
        method="PUT",
        dialect=Dialect.AIDBOX,
        uri=f"/{resource_type}/{id_}",
        parameters=parameters,
        query=[],
        headers={},
        body=Body(value=resource, within=call.body),
        rewrite=None,
    )
