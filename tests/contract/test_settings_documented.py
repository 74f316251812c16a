"""Every setting of a box stands in docs/settings.md, with the default it has, and no other does."""

from __future__ import annotations

import re
from collections import UserDict
from pathlib import Path

from boxruntime.settings import BoxSettings

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
ROW = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \|(.*)\|$", re.MULTILINE)


class Asked(UserDict):
    """An environment that remembers what it was asked for."""

    def __init__(self):
        super().__init__({"AIDBOX_CLIENT_SECRET": "x"})
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)


def documented():
    return {
        name: (text, default.strip()) for name, text, default in ROW.findall(DOCUMENT.read_text())
    }


def test_the_document_lists_exactly_what_is_read():
    environment = Asked()
    BoxSettings.from_environment(environment)
    assert environment.names == documented().keys()


def test_the_documented_defaults_change_nothing():
    plain = BoxSettings.from_environment({"AIDBOX_CLIENT_SECRET": "x"})
    defaults = {
        name: default.strip("`")
        for name, (_, default) in documented().items()
        if default.startswith("`") and "<" not in default
    }
    assert len(defaults) > 12
    assert BoxSettings.from_environment({"AIDBOX_CLIENT_SECRET": "x", **defaults}) == plain
