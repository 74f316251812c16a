"""The application a box host serves by default: the box runtime itself.

The only module of the box host that imports the box; another may be named in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import boxruntime.app
from boxruntime.host.errors import HostError
from boxruntime.settings import BoxSettings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxruntime.http.application import Application


def preload(fhir_version: str) -> None:
    """Build everything that all boxes of a FHIR version share."""
    boxruntime.app.preload(fhir_version)


def create(environment: Mapping[str, str]) -> Application:
    """Return the application of one box. Raises HostError if its settings are wrong."""
    try:
        settings = BoxSettings.from_environment(environment)
    except SettingsError as error:
        raise HostError(str(error)) from None
    return boxruntime.app.create_application(settings)
