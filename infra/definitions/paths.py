"""Compiles expression trees to routes: PathArrays over the Aidbox format with their guards.

Source: search specification, SearchParameter meta-resource (PathArray steps, guards).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from infra.definitions.expressions import (
    Binary,
    Call,
    ExpressionError,
    Index,
    Literal,
    Name,
    Tree,
    Variable,
)
from infra.definitions.model import Node, TypeModel

Step = str | int | dict[str, Any]

# Datatypes a parameter of each type can be searched on (search specification, Type x datatype
# matrix). They choose among the alternatives of a choice written without `as`.
DATATYPES: dict[str, frozenset[str]] = {
    "number": frozenset({"integer", "decimal", "positiveInt", "unsignedInt"}),
    "date": frozenset({"date", "dateTime", "instant", "Period", "Timing"}),
    "string": frozenset({"string", "markdown", "HumanName", "Address"}),
    "token": frozenset(
        {"CodeableConcept", "Coding", "Identifier", "ContactPoint", "code", "boolean", "id"}
        | {"string", "uri"}
    ),
    "reference": frozenset({"Reference", "canonical", "uri"}),
    "quantity": frozenset(
        {"Quantity", "Age", "Count", "Distance", "Duration", "Money", "Range", "SampledData"}
    ),
    "uri": frozenset({"uri", "url", "canonical", "oid", "uuid"}),
}

_PARTS = {
    ("CodeableReference", "token"): "concept",
    ("CodeableReference", "reference"): "reference",
    ("Duration", "number"): "value",
    ("Quantity", "number"): "value",
}


@dataclass(frozen=True, slots=True)
class Route:
    """One way through a document.

    `node` is where it ends (None inside a raw extension) and `choice` the choice element that
    it entered last; `types` are the reference targets that `where(resolve() is T)` leaves;
    `extension` is the URL of the raw extension it enters.
    """

    steps: tuple[Step, ...]
    node: Node | None
    choice: Node | None = None
    types: frozenset[str] | None = None
    extension: str | None = None
    from_root: bool = False


class PathCompiler:
    """Compiles the expressions of parameters with one base type."""

    def __init__(self, model: TypeModel, base: str) -> None:
        self.model = model
        self.base = base

    def routes(self, tree: Tree, contexts: tuple[Node, ...] = ()) -> list[Route]:
        """Return the routes of a tree in written order, none for parts that start at another type.

        With `contexts` (the base nodes of a composite) the first name is a member of them and
        the steps are relative; all contexts must give the same steps.
        Raises ExpressionError for what cannot be compiled.
        """
        if not contexts:
            return self._compile(tree, None)
        per_context = [self._compile(tree, node) for node in contexts]
        first, *others = [[route.steps for route in routes] for routes in per_context]
        if any(steps != first for steps in others):
            raise ExpressionError("the component differs between the bases of its composite")
        return per_context[0]

    def _compile(self, tree: Tree, context: Node | None) -> list[Route]:
        match tree:
            case Binary("|", left, right):
                return self._compile(left, context) + self._compile(right, context)
            case Binary("as", owner, Name(name, None)):
                return self._cast(self._compile(owner, context), name)
            case Name(name, None):
                return self._first(name, context)
            case Name(name, owner) if owner is not None:
                return self._each(self._compile(owner, context), name)
            case Variable("resource"):
                return [Route((), Node(self.base), from_root=True)]
            case Index(owner, position):
                return [
                    replace(route, steps=(*route.steps, position))
                    for route in self._compile(owner, context)
                ]
            case Call(function, arguments, owner) if owner is not None:
                return self._call(function, arguments, self._compile(owner, context))
            case _:
                raise ExpressionError(f"unsupported: {tree}")

    def _first(self, name: str, context: Node | None) -> list[Route]:
        if context is not None:
            return self._each([Route((), context)], name)
        if name == self.base:
            return [Route((), Node(name))]
        if name in self.model.types:
            return []  # a part of a shared parameter that belongs to another base
        # InsurancePlan-name is written without its type: "name | alias".
        return self._each([Route((), Node(self.base))], name)

    def _each(self, routes: list[Route], name: str) -> list[Route]:
        return [found for route in routes for found in self._member(route, name)]

    def _member(self, route: Route, name: str) -> list[Route]:
        """Follow a member; a choice on the way is entered through each alternative that has it."""
        if route.node is None:
            if name == "value":
                return [route]  # extension(...).value: every route into an extension ends there
            raise ExpressionError(f"cannot enter {name} of a raw extension")
        found = []
        for each in self.spread(route):
            assert each.node is not None
            member = self.model.find_member(each.node, name)
            if member is not None:
                found.append(replace(each, steps=(*each.steps, name), node=member, choice=None))
        if not found:
            raise ExpressionError(f"no element {name} in {route.node}")
        return found

    def into_part(self, route: Route, parameter_type: str) -> Route:
        """Return the route to the part that is searched, where an expression ends at the whole.

        R4B searches a CodeableReference both as token and as reference, STU3 a Duration as number.
        """
        datatype = None if route.node is None else self.model.type_of(route.node)
        part = _PARTS.get((datatype or "", parameter_type))
        return route if part is None else self._member(route, part)[0]

    def spread(self, route: Route) -> list[Route]:
        """Return one route per alternative of a choice, the route itself for other nodes."""
        alternatives = [] if route.node is None else self.model.alternatives(route.node)
        if not alternatives:
            return [route]
        return [
            replace(route, steps=(*route.steps, name), node=Node(name), choice=route.node)
            for name in alternatives
        ]

    def _cast(self, routes: list[Route], written: str) -> list[Route]:
        found = []
        for route in routes:
            if route.node is None:
                raise ExpressionError(f"cannot cast a raw extension to {written}")
            if self.model.type_of(route.node) == "Resource" and written in self.model.types:
                found.append(route)  # Bundle.entry[0].resource as Composition
                continue
            # R4 writes value.as(DateTime) in Observation-code-value-date.
            matches = [
                each
                for each in self.spread(route)
                if each.node is not None
                and (self.model.type_of(each.node) or "").lower() == written.lower()
            ]
            if not matches:
                raise ExpressionError(f"{route.node} is never {written}")
            found.extend(matches)
        return found

    def _call(self, function: str, arguments: tuple[Tree, ...], routes: list[Route]) -> list[Route]:
        match function, arguments:
            case (("as" | "ofType"), (Name(name, None),)):
                return self._cast(routes, name)
            case "where", (criterion,):
                return [self._where(route, criterion) for route in routes]
            case "extension", (Literal(str(url)),):
                return [
                    replace(
                        route,
                        steps=(*route.steps, "extension", {"url": url}),
                        node=None,
                        extension=url,
                    )
                    for route in routes
                ]
            case _:
                raise ExpressionError(f"unsupported function {function}()")

    def _where(self, route: Route, criterion: Tree) -> Route:
        match criterion:
            case Binary("is", Call("resolve", (), None), Name(name, None)):
                return replace(route, types=frozenset({name}))
            case Binary("=", Name(name, None), Literal(value)):
                return replace(route, steps=(*route.steps, {name: value}))
            case Call("hasExtension", (Literal(str(url)),), None) | Call(
                "exists", (), Call("extension", (Literal(str(url)),), None)
            ):
                return replace(route, steps=(*route.steps, {"extension": [{"url": url}]}))
            case _:
                raise ExpressionError(f"unsupported criterion {criterion}")


def existence_subject(tree: Tree) -> Tree | None:
    """Return X of `X.exists() and X != false` or `X.exists()`, None for any other tree."""
    match tree:
        case Binary("and", Call("exists", (), left), Binary("!=", right, Literal(False))) if (
            left == right
        ):
            return left
        case Call("exists", (), owner):
            return owner
        case _:
            return None
