"""One `key=value` of a search request as a condition on rows of a type.

Source: search specification, 4 Value semantics by type, 4.8 matrix, 5 Chains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.search.dots import parse_dot
from boxruntime.fhir.search.errors import UnknownParameterError, invalid, not_supported
from boxruntime.fhir.search.escapes import split_escaped, unescape
from boxruntime.fhir.search.parameters import find_parameter
from boxruntime.fhir.search.query import (
    NEVER,
    AllOf,
    AnyOf,
    Chain,
    Condition,
    Hierarchy,
    InValueSet,
    Match,
    Missing,
    Modifier,
    Not,
    Parameter,
    ReverseChain,
    Subsumption,
)
from boxruntime.fhir.search.scope import Scope, read_values
from boxruntime.fhir.search.special import (
    SPECIAL,
    TIME_COLUMNS,
    parse_id,
    parse_near,
    parse_time,
)
from boxruntime.fhir.search.values import (
    Joined,
    MalformedValueError,
    ReferenceValue,
    Text,
    Value,
    parse_date,
    parse_number,
    parse_quantity,
    parse_reference,
    parse_token,
    parse_typed_identifier,
)

if TYPE_CHECKING:
    from collections.abc import Callable


CODED = frozenset({"CodeableConcept", "Coding", "code"})
_PLAIN_MODIFIERS: dict[str, frozenset[Modifier]] = {
    "number": frozenset(),
    "date": frozenset(),
    "quantity": frozenset(),
    "string": frozenset({Modifier.EXACT, Modifier.CONTAINS, Modifier.STARTS, Modifier.ENDS}),
    "token": frozenset(
        {
            Modifier.TEXT,
            Modifier.NOT,
            Modifier.IN,
            Modifier.NOT_IN,
            Modifier.ABOVE,
            Modifier.BELOW,
            Modifier.OF_TYPE,
            Modifier.CASELESS,
        }
    ),
    "reference": frozenset(
        {Modifier.TEXT, Modifier.NOT, Modifier.ABOVE, Modifier.BELOW, Modifier.IDENTIFIER}
    ),
    "uri": frozenset({Modifier.CONTAINS, Modifier.NOT, Modifier.ABOVE, Modifier.BELOW}),
}


def parse_condition(scope: Scope, type_name: str, key: str, value: str) -> Condition | None:
    """Return the condition of one pair, None if its value is empty.

    Raises UnknownParameterError if the type has no such parameter, and OutcomeError for a wrong
    modifier or value.
    """
    if key.startswith("."):
        return parse_dot(key, value)
    if key.startswith("_has:"):
        return _parse_reverse(scope, type_name, key, value)
    hop, dot, rest = key.partition(".")
    if dot:
        return _parse_chain(scope, type_name, hop, rest, value)
    name, colon, modifier = key.partition(":")
    if not value.strip():
        return None
    special = SPECIAL.get(name)
    if special is not None:
        if colon:
            raise invalid(key, "it takes no modifier")
        return special(scope, type_name, name, value)
    if name == "_id":
        return parse_id(name, modifier, value)
    if name in TIME_COLUMNS:
        return parse_time(scope, name, modifier, value)
    parameter = find_parameter(scope.metadata, type_name, name)
    if parameter is None:
        raise UnknownParameterError(name)
    if parameter.type == "special":
        if colon:
            raise invalid(key, "it takes no modifier")
        if name == "near":
            return parse_near(parameter, value)
        raise not_supported(name)
    return _parse_match(scope, parameter, key, modifier, value)


# Own parameters -----------------------------------------------------------------------------


def _parse_match(
    scope: Scope, parameter: Parameter, key: str, modifier: str, value: str
) -> Condition | None:
    if modifier == "missing":
        return _parse_missing(parameter, key, value)
    if parameter.type == "composite":
        if modifier:
            raise invalid(key, "a composite takes no modifier")
        _check_components(parameter, key)
        return _match(
            parameter, Modifier.NONE, read_values(key, value, _composite_of(scope, parameter))
        )
    narrowed: str | None = None
    kind = Modifier.NONE
    if modifier:
        known = _PLAIN_MODIFIERS.get(parameter.type, frozenset())
        if modifier in {m.value for m in known}:
            kind = Modifier(modifier)
        elif parameter.type == "reference" and modifier in scope.metadata.resource_types:
            narrowed = modifier
            if parameter.targets is not None and narrowed not in parameter.targets:
                raise invalid(key, f"it never refers to {narrowed}")
        else:
            raise invalid(key, "the modifier is unknown or does not apply")
        _check_datatypes(parameter, key, kind)
    if parameter.type == "token":
        return _parse_token_match(parameter, key, kind, value)
    if parameter.type == "reference":
        return _parse_reference_match(scope, parameter, key, kind, narrowed, value)
    if parameter.type == "uri" and kind in (Modifier.ABOVE, Modifier.BELOW):
        values = read_values(key, value, lambda text: Text(unescape(text)))
        if any(isinstance(v, Text) and v.text.startswith("urn:") for v in values):
            raise invalid(key, "it applies to hierarchical URLs only")
        return _match(parameter, kind, values)
    values = read_values(key, value, _reader(scope, parameter))
    if kind is Modifier.NOT:
        return Not(_match(parameter, Modifier.NONE, values)) if values else None
    return _match(parameter, kind, values)


def _match(parameter: Parameter, modifier: Modifier, values: tuple[Value, ...]) -> Condition:
    return Match(parameter, values, modifier) if values else AllOf(())


def _reader(scope: Scope, parameter: Parameter) -> Callable[[str], Value]:
    """Return how one value of the parameter's type is read."""
    match parameter.type:
        case "date":
            return lambda text: parse_date(text.strip(), now=scope.now)
        case "number":
            return lambda text: parse_number(text.strip())
        case "quantity":
            return lambda text: parse_quantity(text.strip())
        case "token":
            return parse_token
        case "reference":
            return lambda text: parse_reference(text.strip(), bases=scope.bases)
        case _:
            return lambda text: Text(unescape(text))


def _check_components(parameter: Parameter, key: str) -> None:
    """Raise NOT_SUPPORTED_PARAMETER for components that have no values to compare."""
    for base in parameter.bases:
        if any(component.type in ("composite", "special") for component, _ in base.components):
            raise not_supported(key, "a component is composite or special")


def _composite_of(scope: Scope, parameter: Parameter) -> Callable[[str], Joined]:
    components = parameter.bases[0].components if parameter.bases else ()
    readers = [_reader(scope, component) for component, _ in components]

    def read(text: str) -> Joined:
        parts = split_escaped(text, "$")
        if len(parts) != len(readers) or not all(parts):
            raise MalformedValueError(f"no composite: expected {len(readers)} parts joined by $")
        values = [reader(part) for reader, part in zip(readers, parts, strict=True)]
        return Joined(tuple(v for v in values if not isinstance(v, Joined)))

    return read


def _check_datatypes(parameter: Parameter, key: str, modifier: Modifier) -> None:
    """Raise where no datatype of the parameter knows the modifier; unknown datatypes may."""
    datatypes = {location.datatype for location in parameter.locations}
    if None in datatypes or parameter.exists:
        if parameter.exists and modifier in (Modifier.IN, Modifier.NOT_IN, Modifier.OF_TYPE):
            raise invalid(key, "the modifier does not apply to true and false")
        return
    fits: bool
    match (parameter.type, modifier):
        case ("token", Modifier.IN | Modifier.NOT_IN | Modifier.ABOVE | Modifier.BELOW):
            fits = bool(datatypes & CODED)
        case ("token", Modifier.OF_TYPE):
            fits = "Identifier" in datatypes
        case ("reference", Modifier.NOT):
            fits = True
        case ("reference", _):
            fits = "Reference" in datatypes
        case _:
            fits = True
    if not fits:
        raise invalid(key, "the modifier does not apply to this element")


def _parse_missing(parameter: Parameter, key: str, value: str) -> Condition:
    if parameter.type == "composite" or value not in ("true", "false"):
        raise invalid(
            key,
            "missing does not apply" if parameter.type == "composite" else "expected true or false",
        )
    if parameter.exists:
        # true or false is known of every row
        return NEVER if value == "true" else AllOf(())
    return Missing(parameter, value == "true")


def _parse_token_match(
    parameter: Parameter, key: str, modifier: Modifier, value: str
) -> Condition | None:
    match modifier:
        case Modifier.IN | Modifier.NOT_IN:
            sets = tuple(
                InValueSet(parameter, unescape(part).strip())
                for part in split_escaped(value, ",")
                if part.strip()
            )
            if not sets:
                return None
            inside = AnyOf(sets)
            return Not(inside) if modifier is Modifier.NOT_IN else inside
        case Modifier.ABOVE | Modifier.BELOW:
            tokens = (parse_token(part) for part in split_escaped(value, ",") if part)
            return AnyOf(
                tuple(Subsumption(parameter, token, modifier is Modifier.BELOW) for token in tokens)
            )
        case Modifier.OF_TYPE:
            return _match(parameter, modifier, read_values(key, value, parse_typed_identifier))
        case Modifier.TEXT:
            return _match(parameter, modifier, read_values(key, value, lambda t: Text(unescape(t))))
        case _:
            values = read_values(key, value, parse_token)
            if not values:
                return None
            if modifier is Modifier.NOT:
                return Not(Match(parameter, values))
            return Match(parameter, values, modifier)


def _parse_reference_match(
    scope: Scope,
    parameter: Parameter,
    key: str,
    modifier: Modifier,
    narrowed: str | None,
    value: str,
) -> Condition | None:
    if modifier is Modifier.IDENTIFIER:
        return _match(parameter, modifier, read_values(key, value, parse_token))
    if modifier is Modifier.TEXT:
        return _match(parameter, modifier, read_values(key, value, lambda t: Text(unescape(t))))
    values = read_values(key, value, _reader(scope, parameter))
    if not values:
        return None
    if modifier in (Modifier.ABOVE, Modifier.BELOW):
        return _hierarchy(scope, parameter, key, values, below=modifier is Modifier.BELOW)
    if narrowed is not None:
        values = tuple(
            ReferenceValue(type=narrowed, id=v.id)
            for v in values
            if isinstance(v, ReferenceValue) and v.id is not None and v.type in (None, narrowed)
        )
        if not values:
            return NEVER
    found = Match(parameter, values)
    return Not(found) if modifier is Modifier.NOT else found


def _hierarchy(
    scope: Scope, parameter: Parameter, key: str, values: tuple[Value, ...], *, below: bool
) -> Condition:
    """The rows form a hierarchy by a reference to their own type: of the same name, or "partof"."""
    found: list[Condition] = []
    for value in values:
        if not isinstance(value, ReferenceValue) or value.id is None:
            raise invalid(key, "expected an id or Type/id")
        types = parameter.targets or ()
        type_name = value.type or (types[0] if len(types) == 1 else None)
        if type_name is None:
            raise invalid(key, "the type must be named")
        names = (parameter.name, "partof", "part-of")
        candidates = (find_parameter(scope.metadata, type_name, name) for name in names)
        by = next((p for p in candidates if p is not None and type_name in (p.targets or ())), None)
        if by is None:
            raise invalid(key, "there is no hierarchy over this reference")
        found.append(Hierarchy(parameter, type_name, by, value.id, below))
    return AnyOf(tuple(found))


# Chains ---------------------------------------------------------------------------------------


def follow(scope: Scope, type_name: str, hop: str, rest: str) -> tuple[Parameter, tuple[str, ...]]:
    """Return the reference parameter of one hop and the types it may lead to.

    Without a type in the request: every target that knows the next name.
    """
    name, colon, target = hop.partition(":")
    parameter = find_parameter(scope.metadata, type_name, name)
    if parameter is None:
        raise UnknownParameterError(name)
    if parameter.type != "reference":
        raise invalid(hop, "only a reference can be followed")
    resource_types = scope.metadata.resource_types
    allowed = parameter.targets
    if colon:
        if target not in resource_types or (allowed is not None and target not in allowed):
            raise invalid(hop, "it never refers to that type")
        return parameter, (target,)
    first = rest.split(".", 1)[0].split(":", 1)[0] if not rest.startswith(".") else ""
    candidates = sorted(allowed if allowed is not None else resource_types)
    known = tuple(t for t in candidates if t in resource_types and _knows(scope, t, first))
    if not known:
        raise invalid(f"{hop}.{rest}", "no type it refers to has such a parameter")
    return parameter, known


def _knows(scope: Scope, type_name: str, name: str) -> bool:
    return (
        name in ("", "_id", "_has")
        or name in SPECIAL
        or name in TIME_COLUMNS
        or find_parameter(scope.metadata, type_name, name) is not None
    )


def _parse_chain(scope: Scope, type_name: str, hop: str, rest: str, value: str) -> Condition | None:
    parameter, types = follow(scope, type_name, hop, rest)
    below = scope.deeper(hop)
    targets: list[tuple[str, Condition]] = []
    failures: list[Exception] = []
    for target in types:
        try:
            condition = parse_condition(below, target, rest, value)
        except UnknownParameterError as error:
            failures.append(invalid(f"{hop}.{rest}", f"there is no parameter {error.name}"))
            continue
        if condition is None:
            return None
        targets.append((target, condition))
    if not targets:
        raise failures[0]
    return Chain(parameter, tuple(targets))


def _parse_reverse(scope: Scope, type_name: str, key: str, value: str) -> Condition | None:
    parts = key.split(":", 3)
    if len(parts) != 4 or not all(parts):
        raise invalid(key, "expected _has:Type:reference:parameter")
    _, source, name, rest = parts
    if source not in scope.metadata.resource_types:
        raise invalid(key, "the type is unknown")
    parameter = find_parameter(scope.metadata, source, name)
    if parameter is None or parameter.type != "reference":
        raise invalid(key, "the type has no such reference")
    if parameter.targets is not None and type_name not in parameter.targets:
        raise invalid(key, f"the reference never leads to {type_name}")
    try:
        condition = parse_condition(scope.deeper(key), source, rest, value)
    except UnknownParameterError as error:
        raise invalid(key, f"there is no parameter {error.name}") from None
    return None if condition is None else ReverseChain(source, parameter, type_name, condition)
