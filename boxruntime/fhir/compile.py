"""Compiles metadata into converters: per object, which members need work and what work.

A member is listed only if something at or below it can change (a Reference, a choice, a resource,
a first-class extension); everything else is copied by reference. The three directions differ in
their `Rules` only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, ElementPath, Metadata

Convert: TypeAlias = Callable[[dict[str, Any], Any, Any], Any]
"""(object, path, state) -> converted object."""
Handler: TypeAlias = Callable[[dict[str, Any], str, Any, Any, Any], None]
"""(result, key, value, path, state): puts the converted member into `result`."""


class Node:
    """One kind of object: the handlers of its members. Filled after it is made (recursion)."""

    __slots__ = ("first_class", "handlers")

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.first_class: tuple[FirstClass, ...] = ()


class FirstClass:
    """An element that is an extension on the FHIR side. Source: "First-class extensions"."""

    __slots__ = ("array", "convert", "member", "name", "order", "type_name", "url", "value_key")

    def __init__(
        self, element: Element, url: str, value_key: str | None, convert: Convert | None
    ) -> None:
        self.name = element.name
        self.url = url
        self.array = element.array
        self.type_name = element.type
        self.order = element.order
        self.member = "modifierExtension" if element.modifier else "extension"
        self.value_key = value_key
        """valueString and the like; None for a group, whose parts are nested extensions."""
        self.convert = convert


class Rules(NamedTuple):
    """How one direction treats what needs work."""

    kind: str
    """Names the cache of compiled nodes."""
    run: Callable[[Node], Convert]
    one: Callable[[Convert], Handler]
    many: Callable[[Convert], Handler]
    reference: Callable[[Element], Convert | None]
    resource: Callable[[Element], Convert]
    types: Mapping[str, Convert]
    """Complex types with a treatment of their own: Narrative, Extension."""
    union: Callable[[Element, dict[str, Convert | None], dict[str, Element]], dict[str, Handler]]
    """(element, converters of its alternatives, all elements of the object) -> handlers."""
    first_class: Callable[[Node, list[FirstClass]], dict[str, Handler]]


def node_of(metadata: Metadata, type_name: str, rules: Rules) -> Node:
    """Return the compiled converter of one type, shared with the metadata it comes from.

    A node without handlers means that nothing in this type ever changes.
    """
    cache = metadata.artefacts(rules.kind)
    node: Node | None = cache.get(type_name)
    if node is None:
        home = metadata.home_of(type_name)
        if home is metadata:
            elements = metadata.types[type_name].elements
            node = _Compiler(metadata, type_name, rules).node((), elements)
        else:
            node = node_of(home, type_name, rules)
        cache[type_name] = node
    return node


class _Compiler:
    """Compiles one type; groups inside it are known by their path, for content references."""

    def __init__(self, metadata: Metadata, owner: str, rules: Rules) -> None:
        self._metadata = metadata
        self._owner = owner
        self._rules = rules
        self._nodes: dict[ElementPath, Node] = {}
        self._open: set[Node] = set()

    def node(self, path: ElementPath, elements: dict[str, Element]) -> Node:
        node = self._nodes.get(path)
        if node is not None:
            return node
        node = self._nodes[path] = Node()
        self._open.add(node)
        first_class: list[FirstClass] = []
        for name, element in elements.items():
            if element.extension_url is not None:
                first_class.append(self._first_class(element))
            elif element.union:
                alternatives = {
                    alternative: self._value(below)
                    for alternative, below in element.children.items()
                    if alternative in element.union
                }
                node.handlers.update(self._rules.union(element, alternatives, elements))
            else:
                convert = self._value(element)
                if convert is not None:
                    wrap = self._rules.many if element.array else self._rules.one
                    node.handlers[name] = wrap(convert)
        if first_class:
            node.handlers.update(self._rules.first_class(node, first_class))
        self._open.discard(node)
        return node

    def _value(self, element: Element) -> Convert | None:
        """Return the converter of one value of this element, None if it never changes."""
        if element.content_ref is not None:
            target = self._metadata.find_element(self._owner, element.content_ref)
            if target is None:
                return None
            node = self.node(element.content_ref, target.children)
            # A node still being filled contains this element: what it needs is not known yet.
            return self._rules.run(node) if node in self._open else self._needed(node)
        if element.type == "Reference":
            return self._rules.reference(element)
        if element.type == "Resource":
            return self._rules.resource(element)
        if element.type is not None and element.type in self._rules.types:
            return self._rules.types[element.type]
        if element.type == "Extension":
            return None  # kept as received
        if element.type is not None and not element.children:
            type_def = self._metadata.types.get(element.type)
            if type_def is None or type_def.kind == "primitive":
                return None
            return self._needed(node_of(self._metadata, element.type, self._rules))
        if element.type is not None:
            # A complex type with attributes of this place: its own node.
            _, children = self._metadata.children_of(self._owner, element)
            return self._needed(self.node(element.path, children))
        return self._needed(self.node(element.path, element.children))

    def _needed(self, node: Node) -> Convert | None:
        return self._rules.run(node) if node.handlers or node.first_class else None

    def _first_class(self, element: Element) -> FirstClass:
        url = element.extension_url or ""
        if element.type is None:
            inner = self.node(element.path, element.children)
            return FirstClass(element, url, None, self._rules.run(inner))
        return FirstClass(
            element, url, "value" + _suffix(fhir_type(element.type)), self._value(element)
        )


_OUR_PRIMITIVES = {
    "keyword": "code",
    "email": "string",
    "number": "decimal",
    "password": "string",
    "secret": "string",
}


def fhir_type(type_name: str) -> str:
    """Return the FHIR type that carries a value of ours in an extension."""
    return _OUR_PRIMITIVES.get(type_name, type_name)


def _suffix(type_name: str) -> str:
    return type_name[:1].upper() + type_name[1:]


def choice_key(name: str, type_name: str) -> str:
    """Return the FHIR member of a choice: value, dateTime -> valueDateTime."""
    return name + _suffix(type_name)
