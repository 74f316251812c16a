"""Who calls the admin API: a bearer token of an application, which acts as its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from rest_framework.permissions import SAFE_METHODS, BasePermission

from controlplane.environment import get_environment

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from rest_framework.request import Request

    from tenants.models import Account


class ApplicationBearer(OAuth2Authentication):
    """Client-credentials tokens carry no user: the account that owns the application stands in."""

    def authenticate(self, request: Request) -> tuple[Account, Any] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        token = found[1]
        owner = token.application.user if token.application else None
        if owner is None or not owner.is_active:
            return None
        return owner, token


class ApplicationBearerScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI document tells generated clients to get a token."""

    target_class = ApplicationBearer
    name = "oauth"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        flow = {
            "tokenUrl": f"{get_environment().base_url}{reverse('token')}",
            "scopes": settings.OAUTH2_PROVIDER["SCOPES"],
        }
        return {"type": "oauth2", "flows": {"clientCredentials": flow}}

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict[str, list[str]]:
        return {self.name: ["read" if auto_schema.method in SAFE_METHODS else "write"]}


class ScopePermission(BasePermission):
    """Reading needs the scope `read`, anything else `write`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        token = request.auth
        needed = "read" if request.method in SAFE_METHODS else "write"
        return token is not None and token.is_valid([needed])
