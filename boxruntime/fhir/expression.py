"""Where an issue is, as the reader of the outcome sees it.

Source: core specification, "Errors"; FHIR R4 OperationOutcome.issue.expression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from boxruntime.fhir.compile import choice_key
from boxruntime.fhir.outcome import Dialect, Issue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from boxruntime.fhir.metadata import Element, Metadata

_TARGET_MEMBERS = frozenset({"id", "uri", "localRef"})


def render_expression(
    metadata: Metadata,
    issue: Issue,
    dialect: Dialect,
    document: Any = None,
    owner: str | None = None,
) -> str:
    """Return the expression of an issue; "" when the issue has no place.

    Root: Patient.name.0.given. FHIR: a FHIRPath over the FHIR format, Patient.name[0].given[0],
    Observation.value.ofType(Quantity). The path may use Aidbox or FHIR members. `document` tells
    the types of resources inside the resource; without it choices inside those stay as they are.
    `owner` is the type in the metadata where its name differs (`Metadata.fhir_type`).
    """
    if issue.type_name is None:
        return ""
    if dialect is Dialect.AIDBOX:
        return ".".join([issue.type_name, *map(str, issue.path)])
    place = _Place(metadata, issue.type_name, owner or issue.type_name, document)
    for position, step in enumerate(issue.path):
        following = issue.path[position + 1 : position + 2]
        place.enter(step, indexed=bool(following) and isinstance(following[0], int))
    return place.text


def located(metadata: Metadata, issue: Issue, dialect: Dialect, document: Any, owner: str) -> Issue:
    """Return the issue with its expression filled in, unless it has one."""
    if issue.expression is not None:
        return issue
    expression = render_expression(metadata, issue, dialect, document, owner)
    return structs.replace(issue, expression=expression or None)


def sorted_issues(issues: Iterable[Issue]) -> list[Issue]:
    """Return each finding once, in the order of its place, whatever found it first."""
    unique = {(issue.path, issue.message, issue.profile): issue for issue in issues}
    return sorted(
        unique.values(),
        key=lambda issue: (
            [(0, step, "") if isinstance(step, int) else (1, 0, step) for step in issue.path],
            issue.message,
            issue.profile or "",
        ),
    )


def without_explained(found: list[Issue], others: list[Issue]) -> list[Issue]:
    """Return those of `others` that stand at no place of `found`, nor below one.

    Both have expressions. What a conversion or the schema stumbles over is often the
    consequence of what was found at the document itself. Another missing property at the same
    place is a finding of its own.
    """
    return [issue for issue in others if not any(_explains(known, issue) for known in found)]


def _explains(known: Issue, issue: Issue) -> bool:
    place, inner = known.expression or "", issue.expression or ""
    if inner == place:
        return known.message == issue.message or (
            "." in place and not issue.message.startswith("Property ")
        )
    return "." in place and inner.startswith((f"{place}.", f"{place}["))


class _Place:
    """Walks down a path and writes FHIRPath."""

    def __init__(self, metadata: Metadata, text: str, owner: str, document: Any) -> None:
        self.text = text
        self._metadata = metadata
        self._document = document
        self._owner = owner
        self._children = self._elements(owner)
        self._choice = False
        self._after_index = ""

    def enter(self, step: str | int, *, indexed: bool) -> None:
        self._document = _below(self._document, step)
        if isinstance(step, int):
            self.text += f"[{step}]{self._after_index}"
            self._after_index = ""
            self._resource()
        elif self._choice:
            self._choice = False
            self.text += f".ofType({step.removeprefix('_')})"
            self._go("Element" if step.startswith("_") else step)
        else:
            self._member(step, indexed=indexed)
            self._resource()

    def _member(self, step: str, *, indexed: bool) -> None:
        bare = step.removeprefix("_")
        element = self._children.get(step)
        if self._owner == "Reference" and step in _TARGET_MEMBERS:
            self.text += ".reference"
            self._go("")
        elif element is not None and element.extension_url is not None:
            member = "modifierExtension" if element.modifier else "extension"
            self.text += f".{member}.where(url = '{element.extension_url}')"
            if element.type is not None:
                self._after_index = ".value" if indexed else ""
                self.text += "" if indexed else ".value"
            self._owner, self._children = self._metadata.children_of(self._owner, element)
        elif element is not None:
            self.text += f".{step}"
            self._choice = bool(element.union)
            self._owner, self._children = self._metadata.children_of(self._owner, element)
        else:
            alternative = self._alternative(bare)
            if alternative is not None:
                name, type_name = alternative
                self.text += f".{name}.ofType({type_name})"
                self._go("Element" if step != bare else type_name)
            else:
                self.text += f".{bare}"
                self._go("Element" if bare in self._children else "")

    def _alternative(self, key: str) -> tuple[str, str] | None:
        for name, element in self._children.items():
            for type_name in element.union:
                if choice_key(name, type_name) == key:
                    return name, type_name
        return None

    def _resource(self) -> None:
        """Inside a resource its own type tells what follows."""
        if self._owner == "Resource" and isinstance(self._document, dict):
            type_name = self._document.get("resourceType")
            if isinstance(type_name, str):
                self._go(self._metadata.fhir_type(type_name))

    def _go(self, type_name: str) -> None:
        self._owner, self._children = type_name, self._elements(type_name)

    def _elements(self, type_name: str) -> dict[str, Element]:
        type_def = self._metadata.find_type(type_name)
        return type_def.elements if type_def is not None else {}


def _below(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return value[step] if isinstance(value, list) and step < len(value) else None
    return value.get(step) if isinstance(value, dict) else None
