"""The elements of a profile as a tree, with what its base profiles say merged in.

Source: FHIR R4, StructureDefinition and ElementDefinition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ElementDefinition = dict[str, Any]


class Node:
    """One element of a profile, or one slice of it.

    `name` is the last step of its path (`value[x]`, `valueQuantity`, `code`); `slice` names the
    slice that it is. `facts` are the ElementDefinition's; a slice has those of its own only.
    """

    __slots__ = ("children", "facts", "name", "slice", "slices")

    def __init__(self, name: str, slice_name: str | None = None) -> None:
        self.name = name
        self.slice = slice_name
        self.facts: dict[str, Any] = {}
        self.children: dict[str, Node] = {}
        self.slices: dict[str, Node] = {}

    @property
    def minimum(self) -> int:
        value = self.facts.get("min", 0)
        return value if isinstance(value, int) else 0

    @property
    def maximum(self) -> int | None:
        """The largest number of times it may occur; None where nothing is said or it is `*`."""
        value = self.facts.get("max")
        return int(value) if isinstance(value, str) and value.isdigit() else None

    @property
    def types(self) -> list[dict[str, Any]]:
        """The types that are allowed; [] where nothing is said."""
        found = self.facts.get("type")
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    @property
    def type_codes(self) -> list[str]:
        return [str(item.get("code", "")).rpartition("/")[2] for item in self.types]

    @property
    def is_closed(self) -> bool:
        """Whether only what lies in a slice may be there."""
        return bool(self.slices) and self.facts.get("slicing", {}).get("rules") == "closed"

    def value(self, *kinds: str) -> tuple[str, str, Any] | None:
        """Return what fixed[x] or pattern[x] demands: ("fixed", "CodeableConcept", {...})."""
        for key, value in self.facts.items():
            for kind in kinds or ("fixed", "pattern"):
                if key.startswith(kind) and key != kind and key[len(kind)].isupper():
                    return kind, key[len(kind) :], value
        return None

    def profiles(self, type_name: str | None = None) -> list[str]:
        """Return the canonical URLs, without versions, of the profiles on its types (or one)."""
        return [
            url
            for item, code in zip(self.types, self.type_codes, strict=True)
            if type_name in (None, code)
            for url in canonicals(item, "profile")
        ]

    def value_set(self, strength: str = "required") -> str | None:
        """Return the URL of the value set that it is bound to with this strength."""
        binding = self.facts.get("binding")
        if not isinstance(binding, dict) or binding.get("strength") != strength:
            return None
        return bound_value_set(binding)


def canonicals(item: dict[str, Any], member: str) -> list[str]:
    """Return the canonical URLs of a type, without versions; STU3 has one where R4 has a list."""
    found = item.get(member)
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list):
        return []
    return [url.partition("|")[0] for url in found if isinstance(url, str)]


def bound_value_set(binding: dict[str, Any]) -> str | None:
    """Return the URL of a binding's value set; STU3 has it as a choice of uri and Reference."""
    reference = binding.get("valueSetReference")
    found = binding.get("valueSet") or binding.get("valueSetUri")
    if found is None and isinstance(reference, dict):
        found = reference.get("reference")
    return found.partition("|")[0] if isinstance(found, str) else None


def element_tree(layers: Iterable[list[ElementDefinition]]) -> Node:
    """Return the root of the tree of element lists, base first; later ones refine earlier ones.

    Raises ValueError for a list that is none.
    """
    root: Node | None = None
    for elements in layers:
        for steps, definition in _located(elements):
            if root is None:
                root = Node(steps[0][0])
            node = root
            for name, slice_name in steps[1:]:
                node = _child(node, name, slice_name)
            node.facts.update(definition)
            stated = definition.get("sliceName")
            if node.slice is not None and isinstance(stated, str):
                node.slice = stated  # published ids have it in lower case
    if root is None:
        raise ValueError("there are no elements")
    return root


def _child(node: Node, name: str, slice_name: str | None) -> Node:
    child = node.children.get(name)
    if child is None:
        child = node.children[name] = Node(name)
    if slice_name is None:
        return child
    key = slice_name.lower()  # published ids and slice names differ in case
    found = child.slices.get(key)
    if found is None:
        found = child.slices[key] = Node(name, slice_name)
    return found


_Step = tuple[str, str | None]


def _located(
    elements: list[ElementDefinition],
) -> Iterator[tuple[list[_Step], ElementDefinition]]:
    """Yield each definition with its steps: (name, slice) from the root on.

    The id tells them (`Observation.component:systolic.code`). Where it does not fit the path, the
    slice is that of the element listed last at each step.
    """
    last: dict[str, list[_Step]] = {}
    for definition in elements:
        path = definition.get("path")
        if not isinstance(path, str) or not path:
            raise ValueError("an element has no path")
        steps = _from_id(definition.get("id"), path) or _from_order(definition, path, last)
        last = {known: where for known, where in last.items() if not known.startswith(f"{path}.")}
        last[path] = steps
        yield steps, definition


def _from_id(id_: Any, path: str) -> list[_Step] | None:
    if not isinstance(id_, str):
        return None
    steps: list[_Step] = []
    for part in id_.split("."):
        name, _, slice_name = part.partition(":")
        steps.append((name, slice_name or None))
    return steps if ".".join(name for name, _ in steps) == path else None


def _from_order(
    definition: ElementDefinition, path: str, last: dict[str, list[_Step]]
) -> list[_Step]:
    above, _, name = path.rpartition(".")
    slice_name = definition.get("sliceName")
    step = (name, slice_name if isinstance(slice_name, str) else None)
    if not above:
        return [step]
    known = last.get(above)
    return [*(known or [(part, None) for part in above.split(".")]), step]
