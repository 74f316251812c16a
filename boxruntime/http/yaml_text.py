"""YAML text to JSON values, in the box's dialect.

YAML 1.2 core schema, but timestamps, yes/no/on/off, sexagesimals and numbers with leading zeros
stay strings, `{a: present?}` parses, custom tags are refused and aliases are limited.
Source: core specification, "Media types"; platform specification, "REST Console".
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode
from ruamel.yaml.resolver import BaseResolver

MAX_ALIASES = 100  # expansion bombs need far more; hand-written documents far fewer
MAX_CHARACTERS = 2_000_000  # read at 90 kB a second, while the process does nothing else
MAX_DEPTH = 200
MAX_NODES = 5_000_000  # a Bundle of 10,000 resources has about 2 million

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


class YamlError(ValueError):
    """The text is not YAML of our dialect; the message has a line, never the text itself."""


class _Resolver(BaseResolver):
    """Only what JSON has resolves to something other than a string."""

    processing_version = (1, 2)

    def __init__(self, version: object = None, loader: Any = None, loadumper: Any = None) -> None:
        del version  # the dialect has one
        super().__init__(loadumper=loader if loader is not None else loadumper)


_Resolver.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Resolver.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    list("tTfF"),
)
_Resolver.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(f"^(?:{_DECIMAL.pattern})$"), list("-0123456789")
)


class _Constructor(SafeConstructor):
    def construct_object(self, node: Any, deep: bool = False) -> Any:
        if node in self.recursive_objects:
            # The inherited answer is None, as if nothing had stood there.
            raise ConstructorError(None, None, "an alias inside of its anchor", node.start_mark)
        return super().construct_object(node, deep=deep)

    def construct_number(self, node: ScalarNode) -> int | Decimal:
        text: str = node.value
        return int(text) if _INTEGER.fullmatch(text) else Decimal(text)

    def construct_plain_mapping(self, node: MappingNode) -> Any:
        value: dict[str, Any] = {}
        yield value
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                if not isinstance(key_node, ScalarNode):
                    raise ConstructorError(
                        None, None, "a key must be a scalar", key_node.start_mark
                    )
                key = key_node.value
            if key in value:
                raise ConstructorError(None, None, "a key is repeated", key_node.start_mark)
            value[key] = self.construct_object(value_node, deep=True)

    def construct_undefined(self, node: Any) -> None:
        raise ConstructorError(None, None, "tags are not supported", node.start_mark)


_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.construct_number)
_Constructor.add_constructor("tag:yaml.org,2002:map", _Constructor.construct_plain_mapping)
_Constructor.add_constructor(None, _Constructor.construct_undefined)
for _tag in ("binary", "timestamp", "omap", "pairs", "set", "int"):
    _Constructor.add_constructor(f"tag:yaml.org,2002:{_tag}", _Constructor.construct_undefined)


def decode_yaml(text: str) -> Any:
    """Return the value of one YAML document. Raises YamlError."""
    if len(text) > MAX_CHARACTERS:
        raise YamlError("too large as YAML; send it as JSON")
    reader = YAML(typ="safe", pure=True)
    reader.Resolver = _Resolver
    reader.Constructor = _Constructor
    if (
        text.count("*") > MAX_ALIASES
        and len(re.findall(r"(?:^|[\s\[{,:-])\*\w", text)) > MAX_ALIASES
    ):
        raise YamlError("too many aliases")
    try:
        value = reader.load(text)
        _check_size(value, [MAX_NODES], 0)
    except RecursionError:
        raise YamlError("nested too deeply") from None
    except YamlError:
        raise
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        raise YamlError(f"not valid YAML{place}") from None
    except (ValueError, ArithmeticError):
        raise YamlError("not valid YAML") from None
    return value


def _check_size(value: Any, left: list[int], depth: int) -> None:
    """Refuse what aliases can blow up: cycles, and trees far larger than their text."""
    left[0] -= 1
    if depth > MAX_DEPTH or left[0] < 0:
        raise YamlError("nested too deeply or too large")
    if isinstance(value, dict):
        for item in value.values():
            _check_size(item, left, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_size(item, left, depth + 1)
