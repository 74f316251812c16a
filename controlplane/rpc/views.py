"""`POST /rpc`: `{"method", "params"}` in, `{"result"}` or `{"error": {"message"}}` (422) out.

JSON, or YAML by Content-Type and Accept. Source: platform specification, "RPC API".
"""

from __future__ import annotations

import json
from io import BytesIO, StringIO
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from controlplane.rpc.caller import find_caller
from controlplane.rpc.errors import RpcError
from controlplane.rpc.methods import call_method
from controlplane.unstorable import SENTENCE, UNSTORABLE
from tenants.errors import TenantsError

FAILURE_STATUS = 422
MAX_YAML_BYTES = 64 * 1024
_YAML_TYPES = ("text/yaml", "application/yaml", "application/x-yaml")


@csrf_exempt  # checked by find_caller where a session and not a password speaks
@require_POST
def rpc(request: HttpRequest) -> HttpResponse:
    try:
        caller = find_caller(request)
        method, params = _parse(request)
        answer, status = {"result": call_method(caller, method, params)}, 200
    except (RpcError, TenantsError) as error:
        answer, status = {"error": {"message": str(error)}}, FAILURE_STATUS
    except UNSTORABLE:
        answer, status = {"error": {"message": SENTENCE}}, FAILURE_STATUS
    return _render(request, answer, status)


def _parse(request: HttpRequest) -> tuple[str, dict[str, Any]]:
    """Return method and params. Raises RpcError."""
    body = request.body
    try:
        call = _parse_yaml(body) if request.content_type in _YAML_TYPES else json.loads(body)
    except (ValueError, YAMLError, RecursionError):
        raise RpcError("The body could not be read") from None
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        raise RpcError("The body must be an object with method and params")
    params = call.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise RpcError("params must be an object")
    return call["method"], params


def _parse_yaml(body: bytes) -> Any:
    """Plain data only, no tags; aliases are refused, for a few of them can unfold to gigabytes."""
    if len(body) > MAX_YAML_BYTES:
        raise ValueError("too large")
    reader = YAML(typ="safe", pure=True)
    for event in reader.parse(BytesIO(body)):
        if type(event).__name__ == "AliasEvent":
            raise ValueError("aliases are not accepted")
    return YAML(typ="safe", pure=True).load(BytesIO(body))


def _render(request: HttpRequest, answer: dict[str, Any], status: int) -> HttpResponse:
    accept = request.headers.get("accept", "")
    if any(media in accept for media in _YAML_TYPES):
        writer = YAML(typ="safe", pure=True)
        writer.default_flow_style = False
        text = StringIO()
        writer.dump(answer, text)
        return HttpResponse(text.getvalue(), status=status, content_type="text/yaml; charset=utf-8")
    return HttpResponse(json.dumps(answer), status=status, content_type="application/json")
