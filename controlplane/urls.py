"""Every path of the control plane."""

from __future__ import annotations

from django.urls import include, path
from oauth2_provider.views import RevokeTokenView, TokenView

from controlplane.health import healthcheck
from controlplane.rpc.views import rpc

urlpatterns = [
    path("__healthcheck", healthcheck),
    path("rpc", rpc, name="rpc"),
    path("o/token/", TokenView.as_view(), name="token"),
    path("o/revoke_token/", RevokeTokenView.as_view(), name="revoke-token"),
    path("api/v1/", include("controlplane.api.urls")),
    path("", include("controlplane.console.urls")),
]

handler400 = "controlplane.console.errors.bad_request"
handler403 = "controlplane.console.errors.forbidden"
handler404 = "controlplane.console.errors.not_found"
handler500 = "controlplane.console.errors.server_error"
