"""The methods of the RPC API, one function each, and their table.

Source: platform specification, "RPC API".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controlplane import boxes as verbs
from controlplane.addresses import box_url
from controlplane.environment import get_environment
from controlplane.rpc.errors import RpcError
from tenants import selectors
from tenants.errors import NoSuchBoxError
from tenants.names import InvalidBoxNameError, check_box_name
from tenants.services.boxes import BoxDraft
from tenants.states import BoxState
from tenants.versions import FHIR_VERSIONS

if TYPE_CHECKING:
    from controlplane.rpc.caller import Caller
    from tenants.models import Account, Box

CREATE_LIMIT_S = 60.0
DELETE_LIMIT_S = 60.0
RELOAD_LIMIT_S = 60.0
SUPERUSER_TIER = "dedicated"

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    call: Callable[[Caller, Params], Any]
    anonymous: bool = False


def call_method(caller: Caller, name: str, params: Params) -> Any:
    """Return the method's result. Raises RpcError, TenantsError."""
    method = METHODS.get(name)
    if method is None:
        raise RpcError(f"Method {name} not found")
    if caller.account is None and not method.anonymous:
        raise RpcError("No user session")
    return method.call(caller, params)


def _text(params: Params, name: str, *, required: bool = True) -> str:
    value = params.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise RpcError(f"Parameter {name} is required and must be a text")
    return value


def _account(caller: Caller) -> Account:
    assert caller.account is not None
    return caller.account


def _get_box(caller: Caller, name: str) -> Box:
    """Raises RpcError: an unknown box and a foreign one differ only for the superuser's eyes."""
    return selectors.get_box(_account(caller), name, as_superuser=caller.is_superuser)


def render_box(box: Box) -> dict[str, Any]:
    """Return the box in the form that clients of the RPC API know."""
    version = f"fhir-{box.fhir_version}"
    return {
        "resourceType": "Box",
        "id": box.name,
        "description": box.description,
        "fhirVersion": version,
        "import": {version: {}},
        "env": box.environment,
        "participant": [
            {"role": row["role"], "user": {"resourceType": "User", "id": row["user"]}}
            for row in selectors.participants(box)
        ],
        "meta": {
            "versionId": str(box.generation),
            "lastUpdated": box.updated_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        },
    }


def _fhir_versions(caller: Caller, params: Params) -> list[str]:
    return [f"fhir-{version}" for version in FHIR_VERSIONS]


def _check_id(caller: Caller, params: Params) -> dict[str, Any]:
    name = _text(params, "id")
    try:
        check_box_name(name)
    except InvalidBoxNameError as error:
        raise RpcError(str(error)) from None
    if selectors.box_exists(name):
        raise RpcError(f"Box {name} already exists")
    return {"id": name, "available": True}


def _create_box(caller: Caller, params: Params) -> dict[str, Any]:
    """Block until the box serves; on failure remove what was made."""
    environment = params.get("env") or {}
    if not isinstance(environment, Mapping):
        raise RpcError("Parameter env must be an object")
    draft = BoxDraft(
        name=_text(params, "id"),
        fhir_version=_text(params, "fhirVersion"),
        description=_text(params, "description", required=False),
        environment=dict(environment),
        tier=SUPERUSER_TIER if caller.is_superuser else "free",
    )
    # Nobody signs in to pages as the superuser, so nobody could ever be shown its secrets.
    created = verbs.create_box(_account(caller), draft, show_later=not caller.is_superuser)
    if created.sent:
        state = verbs.wait_until_settled(created.box.id, CREATE_LIMIT_S)
        if state == BoxState.READY:
            created.box.refresh_from_db()
            return render_box(created.box)
    _remove(caller, draft.name)
    raise RpcError("Can not create box")


def _remove(caller: Caller, name: str) -> None:
    try:
        verbs.delete_box(_account(caller), name, as_superuser=caller.is_superuser)
    except NoSuchBoxError:
        return


def _list_boxes(caller: Caller, params: Params) -> dict[str, Any]:
    boxes = [
        {"id": box.name, "fhirVersion": f"fhir-{box.fhir_version}"}
        for box in selectors.boxes_of(_account(caller))
    ]
    return {"list": boxes, "constraints": None}


def _get(caller: Caller, params: Params) -> dict[str, Any]:
    box = _get_box(caller, _text(params, "id"))
    access = verbs.grant_access(_account(caller), box, as_superuser=caller.is_superuser)
    return render_box(box) | {
        "box-url": box_url(box.name, get_environment()),
        "access-url": access.url,
        "access-token": access.token,
    }


def _delete_box(caller: Caller, params: Params) -> dict[str, Any]:
    """Block until the box is gone; one that is being made is waited for."""
    name = _text(params, "id")
    box = _get_box(caller, name)
    rendered = render_box(box)
    verbs.delete_box(_account(caller), name, as_superuser=caller.is_superuser)
    if not verbs.wait_until_gone(box.id, DELETE_LIMIT_S):
        raise RpcError("Cannot delete box: it is still in use and is deleted as soon as possible")
    return rendered


def _add_collaborator(caller: Caller, params: Params) -> dict[str, Any]:
    box = verbs.add_collaborator(
        _account(caller),
        _text(params, "box"),
        _text(params, "user"),
        _text(params, "role"),
        as_superuser=caller.is_superuser,
    )
    return render_box(box)


def _drop_box_caches(caller: Caller, params: Params) -> str:
    """Boxes see every change by themselves, and this process keeps nothing about them."""
    return "ok"


def _reload_box(caller: Caller, params: Params) -> dict[str, Any]:
    """Block until the box has a new process."""
    name = _text(params, "id")
    job, sent = verbs.restart_box(_account(caller), name, as_superuser=caller.is_superuser)
    if not sent or not verbs.wait_until_done(job.id, RELOAD_LIMIT_S):
        raise RpcError("Can not reload box")
    return _status(_get_box(caller, name))


def _get_box_status(caller: Caller, params: Params) -> dict[str, Any]:
    return _status(_get_box(caller, _text(params, "id")))


def _list_box_statuses(caller: Caller, params: Params) -> list[dict[str, Any]]:
    return [_status(box) for box in selectors.boxes_of(_account(caller))]


def _status(box: Box) -> dict[str, Any]:
    made = box.ready_at is not None
    return {
        "id": box.name,
        "loaded": box.state == BoxState.READY,
        "exists": True,
        "database": made,
        "changed": False,
    }


METHODS: Mapping[str, Method] = {
    "multibox/fhir-versions": Method(_fhir_versions, anonymous=True),
    "multibox/versions": Method(_fhir_versions, anonymous=True),
    "multibox/check-id": Method(_check_id, anonymous=True),
    "multibox/create-box": Method(_create_box),
    "multibox/list-boxes": Method(_list_boxes),
    "multibox/get-box": Method(_get),
    "multibox/delete-box": Method(_delete_box),
    "multibox/add-collaborator": Method(_add_collaborator),
    "multibox/drop-box-caches": Method(_drop_box_caches),
    "multibox/reload-box": Method(_reload_box),
    "multibox/get-box-status": Method(_get_box_status),
    "multibox/list-box-statuses": Method(_list_box_statuses),
}
