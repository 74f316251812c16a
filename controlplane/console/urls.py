"""The pages' paths."""

from __future__ import annotations

from django.urls import path, register_converter
from django.views.generic import RedirectView

from controlplane.console import account, boxes, resources, sign_up, signing_in, team
from controlplane.console.resources import RESOURCE_ID


class BoxNameConverter:
    """Only texts that may name a box reach a view; anything else is a 404."""

    regex = "[a-z][a-z0-9]{4,39}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class TypeConverter(BoxNameConverter):
    regex = "[A-Z][A-Za-z0-9]{1,63}"


class ResourceIdConverter(BoxNameConverter):
    regex = RESOURCE_ID


register_converter(BoxNameConverter, "box")
register_converter(TypeConverter, "type")
register_converter(ResourceIdConverter, "rid")

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="boxes"), name="home"),
    path("sign-up", sign_up.sign_up, name="sign-up"),
    path("sign-up/sent", sign_up.sent, name="sign-up-sent"),
    path("confirm/<str:token>", sign_up.confirm, name="confirm"),
    path("sign-in", signing_in.sign_in, name="sign-in"),
    path("sign-out", signing_in.sign_out, name="sign-out"),
    path("password", signing_in.request_reset, name="request-reset"),
    path("password/sent", signing_in.reset_sent, name="reset-sent"),
    path("password/<str:token>", signing_in.reset, name="reset"),
    path("account", account.account_page, name="account"),
    path("account/password", account.change_password, name="change-password"),
    path("account/credentials", account.create_credential, name="create-credential"),
    path(
        "account/credentials/<int:pk>/delete", account.delete_credential, name="delete-credential"
    ),
    path("boxes", boxes.box_list, name="boxes"),
    path("boxes/new", boxes.new_box, name="new-box"),
    path("boxes/check-name", boxes.check_name, name="check-name"),
    path("boxes/<box:name>", boxes.box_page, name="box"),
    path("boxes/<box:name>/progress", boxes.progress, name="box-progress"),
    path("boxes/<box:name>/secret", boxes.show_secret, name="box-secret"),
    path("boxes/<box:name>/retry", boxes.retry, name="box-retry"),
    path("boxes/<box:name>/restart", boxes.restart, name="box-restart"),
    path("boxes/<box:name>/open", boxes.open_box, name="box-open"),
    path("boxes/<box:name>/settings", team.box_settings, name="box-settings"),
    path("boxes/<box:name>/collaborators", team.add, name="box-collaborators"),
    path("boxes/<box:name>/collaborators/remove", team.remove, name="box-collaborator-remove"),
    path("boxes/<box:name>/transfer", team.transfer, name="box-transfer"),
    path("boxes/<box:name>/delete", boxes.delete, name="box-delete"),
    path("boxes/<box:name>/resources", resources.types, name="resources"),
    path("boxes/<box:name>/resources/<type:kind>", resources.listing, name="resource-list"),
    path("boxes/<box:name>/resources/<type:kind>/<rid:rid>", resources.one, name="resource"),
]
