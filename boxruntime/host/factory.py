"""From `module:factory` to a function that makes a box's application.

The factory gets the spec's environment. A function `preload(fhir_version)` in the same module, if
there is one, runs once in a mould and must start no thread, event loop or connection.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TypeAlias

from boxruntime.http.application import Application

Factory: TypeAlias = Callable[[Mapping[str, str]], Application]
DEFAULT = "boxruntime.host.application:create"


def load(path: str, fhir_version: str) -> Factory:
    """Import `module:factory` and preload one version. Raises whatever the module raises."""
    module_name, _, name = path.partition(":")
    module = importlib.import_module(module_name)
    preload_module = getattr(module, "preload", None)
    if preload_module is not None:
        preload_module(fhir_version)
    factory: Factory = getattr(module, name)
    return factory
