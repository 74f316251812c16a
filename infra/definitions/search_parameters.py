"""FHIR SearchParameters to Aidbox's form: PathArrays over the Aidbox format, plus extra facts.

One entry per (base, code), keyed "Base.code" (also of Resource and DomainResource):

    {"name", "resource", "type", "url", "text", "expression": [PathArray, ...]}

- A choice is written out: one path per alternative, cut to those the parameter's type can be
  searched on (`Observation.effective` of a date -> [["effective", "dateTime"], ...]).
- `where(system='phone')` is a step object {"system": "phone"}; `where(hasExtension(U))` is
  {"extension": [{"url": U}]}: keep the items that contain the pattern.
- `target` (references): the parameter's targets, narrowed to what the elements of this base and
  their guards allow; absent = any type.
- `guards`: parallel to `expression`, null where there is none; absent when all are.
    {"types": ["Patient"]}     `where(resolve() is Patient)`: the only types the reference may name
    {"inline": true, "types"}  the value is a whole resource instead of a reference (Bundle.message)
    {"raw": "Reference"}       the path enters a raw extension: the value has this datatype, in FHIR
                               format. Both spellings are given: [..., "valueReference"] and the
                               root one [..., "value", "Reference"].
- `exists`: true: the value is true if something other than JSON false is found at a path,
  else false (`Patient.deceased`).
- `components` (composite): [{"name", "type", "expression", "guards"?, "target"?, "root"?}].
  Their paths are relative to one of the nodes the composite's `expression` finds ([] = the
  resource); with `root` they start at the resource (`%resource`).
- `fhirpath`: the FHIR expression, of a shared parameter the parts of this base.
- An empty `expression`: a parameter with rules of its own (_text, _content, _query, _filter).

Source: search specification, SearchParameter meta-resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.definitions.expressions import ExpressionError, Tree, parse_expression
from infra.definitions.model import Node, TypeModel
from infra.definitions.paths import DATATYPES, PathCompiler, Route, existence_subject
from infra.definitions.structures import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.definitions.package import Json

# Parameters that have no expression because the server gives them their meaning.
WITHOUT_PATH = frozenset({"_text", "_content", "_query", "_filter"})

# R4 gives only an XPath over both alternatives here.
MISSING_EXPRESSIONS = {
    "http://hl7.org/fhir/SearchParameter/patient-extensions-Patient-birthOrderBoolean": (
        "Patient.multipleBirth.exists() and Patient.multipleBirth != false"
    ),
}
# R5 casts Observation.value to markdown, which it never is, and writes Appointment's part of the
# shared date without its type: (parameter, written, meant).
MISWRITTEN = (
    ("Observation-value-markdown", "ofType(markdown)", "ofType(string)"),
    (
        "clinical-date",
        "(start | requestedPeriod.start).first()",
        "Appointment.start | Appointment.requestedPeriod.start",
    ),
)
# R4 expressions that name an extension by a URL nobody defines, with the one that is meant.
MISNAMED_EXTENSIONS = {
    "http://hl7.org/fhir/StructureDefinition/patient-extensions-Patient-mothersMaidenName": (
        "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
    ),
}
# R4 swaps the definitions of this composite's components: (composite, expression) -> parameter.
MISPLACED_COMPONENTS = {
    ("DocumentReference-relationship", "code"): "DocumentReference-relation",
    ("DocumentReference-relationship", "target"): "DocumentReference-relatesto",
}
# The resources that stand inside a Bundle, where the definition names no target.
INLINE_TARGETS = {"composition": ["Composition"], "message": ["MessageHeader"]}
# R4's "any resource" target lists leave this one out, since nothing can refer to it.
NEVER_TARGETS = frozenset({"Parameters"})
# Datatypes tried for an extension whose definition the package does not hold.
_EXTENSION_DATATYPES = {
    "reference": ("Reference",),
    "string": ("string",),
    "token": ("CodeableConcept", "Coding", "Identifier", "code", "string"),
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """`left_out` maps the URL of a parameter (with its base, if only one failed) to the reason."""

    parameters: dict[str, Json]
    left_out: dict[str, str]


def compile_search_parameters(
    definitions: Iterable[Json], types: dict[str, Json], extensions: dict[str, list[str]]
) -> Compiled:
    """Compile every published parameter. `extensions` maps an extension's URL to its datatypes."""
    published = [each for each in definitions if not each["id"].startswith("example")]
    compiler = _Compiler(TypeModel(types), extensions, {each["url"]: each for each in published})
    compiled = Compiled({}, {})
    for definition in published:
        if not definition.get("base"):
            compiled.left_out[definition["url"]] = "the definition names no base type"
        for base in definition.get("base", ()):
            try:
                entry = compiler.parameter(definition, base)
            except ExpressionError as reason:
                compiled.left_out[f"{definition['url']} ({base})"] = str(reason)
                continue
            compiled.parameters[f"{base}.{definition['code']}"] = entry
    return compiled


@dataclass(frozen=True, slots=True)
class _Compiler:
    model: TypeModel
    extensions: dict[str, list[str]]
    by_url: dict[str, Json]

    def parameter(self, definition: Json, base: str) -> Json:
        """Return the entry of one (parameter, base). Raises ExpressionError."""
        entry: Json = {
            "name": definition["code"],
            "resource": base,
            "type": definition["type"],
            "url": definition["url"],
        }
        if text := shorten(_description(definition.get("description", ""), base)):
            entry["text"] = text
        written = definition.get("expression") or MISSING_EXPRESSIONS.get(definition["url"])
        if written is None:
            if definition["code"] not in WITHOUT_PATH:
                raise ExpressionError("the definition has no expression")
            return entry | {"expression": []}
        for parameter_id, misread, meant in MISWRITTEN:
            if definition["id"] == parameter_id:
                written = written.replace(misread, meant)
        entry["fhirpath"] = part_of_base(written, base)
        tree = parse_expression(entry["fhirpath"])
        paths = PathCompiler(self.model, base)
        if definition["type"] == "composite":
            return entry | self._composite(definition, tree, paths)
        subject = existence_subject(tree)
        if subject is not None:
            entry["exists"] = True
            routes = [each for r in paths.routes(subject) for each in paths.spread(r)]
            return entry | self._facts(definition, routes)
        return entry | self._facts(
            definition, self._searchable(definition, paths.routes(tree), paths)
        )

    def _composite(self, definition: Json, tree: Tree, paths: PathCompiler) -> Json:
        bases = paths.routes(tree)
        if not bases:
            raise ExpressionError(f"no part of the expression starts at {paths.base}")
        contexts = tuple(route.node for route in bases if route.node is not None)
        components = []
        for component in definition["component"]:
            single = self._single(definition, component)
            if single["type"] == "special":
                raise ExpressionError(f"its component {single['url']} has rules of its own")
            routes = paths.routes(parse_expression(component["expression"]), contexts)
            entry: Json = {"name": single["code"], "type": single["type"]}
            entry |= self._facts(single, self._searchable(single, routes, paths))
            if any(route.from_root for route in routes):
                entry["root"] = True
            components.append(entry)
        return {"expression": [list(route.steps) for route in bases], "components": components}

    def _single(self, composite: Json, component: Json) -> Json:
        """Return the definition of the parameter that a component stands for.

        Raises ExpressionError when there is none.
        """
        url: str = component["definition"].partition("|")[0]
        repaired = MISPLACED_COMPONENTS.get((composite["id"], component["expression"]))
        if repaired is not None:
            url = f"{url.rpartition('/')[0]}/{repaired}"
        if url in self.by_url:
            return self.by_url[url]
        # STU3 names Observation-code, which it defines as clinical-code for several types.
        base, _, code = url.rpartition("/")[2].partition("-")
        for each in self.by_url.values():
            if each["code"] == code and base in each["base"]:
                return each
        raise ExpressionError(f"its component {url} is not defined")

    def _searchable(
        self, definition: Json, routes: list[Route], paths: PathCompiler
    ) -> list[Route]:
        """Write choices at the end out, cut to the datatypes of the parameter's type."""
        if not routes:
            raise ExpressionError(f"no part of the expression starts at {paths.base}")
        wanted = DATATYPES.get(definition["type"])
        found: list[Route] = []
        for route in routes:
            spread = paths.spread(route)
            fitting = [
                each
                for each in spread
                if wanted is None
                or len(spread) == 1
                or (each.node is not None and self.model.type_of(each.node) in wanted)
            ]
            if not fitting:
                raise ExpressionError(f"no alternative of {route.steps} is a {definition['type']}")
            if wanted and any(each.node and self.model.is_group(each.node) for each in fitting):
                # STU3's Location.near is a token of a group: it has rules of its own.
                raise ExpressionError(f"{route.node} has no value of its own")
            found.extend(paths.into_part(each, definition["type"]) for each in fitting)
        return found

    def _facts(self, definition: Json, routes: list[Route]) -> Json:
        """Return expression, guards and target."""
        paths: list[list[object]] = []
        guards: list[Json | None] = []
        for route in routes:
            for steps, guard in self._guarded(definition, route):
                if steps not in paths:
                    paths.append(steps)
                    guards.append(guard)
        facts: Json = {"expression": paths}
        if any(guards):
            facts["guards"] = guards
        if definition["type"] == "reference" and (target := self._target(definition, routes)):
            facts["target"] = target
        return facts

    def _guarded(self, definition: Json, route: Route) -> list[tuple[list[object], Json | None]]:
        steps: list[object] = list(route.steps)
        if route.extension is not None:
            return self._extension_paths(definition, route)
        if route.types is not None:
            return [(steps, {"types": sorted(route.types)})]
        if (
            definition["type"] == "reference"
            and route.node is not None
            and self.model.type_of(route.node) == "Resource"
        ):
            targets = definition.get("target") or INLINE_TARGETS[definition["code"]]
            return [(steps, {"inline": True, "types": sorted(targets)})]
        return [(steps, None)]

    def _extension_paths(
        self, definition: Json, route: Route
    ) -> list[tuple[list[object], Json | None]]:
        """Return both spellings of the value for each datatype the extension may have."""
        written = route.extension or ""
        found: list[tuple[list[object], Json | None]] = []
        if definition["type"] == "special":
            raise ExpressionError("its rules are not those of a path")
        for url in filter(None, (written, MISNAMED_EXTENSIONS.get(written))):
            holder = [*route.steps[:-1], {"url": url}]
            allowed = _EXTENSION_DATATYPES.get(definition["type"], ())
            for name in self.extensions.get(url, allowed):
                key = f"value{name[0].upper()}{name[1:]}"
                found.append(([*holder, key], {"raw": name}))
                found.append(([*holder, "value", name], {"raw": name}))
        return found

    def _target(self, definition: Json, routes: list[Route]) -> list[str]:
        """Return the possible target types, [] for any."""
        declared = set(definition.get("target", ()))
        resources = {name for name, each in self.model.types.items() if each["kind"] == "resource"}
        possible: set[str] = set()
        for route in routes:
            refers = self._refers(route.choice or route.node)
            allowed = resources if refers is None else refers
            possible |= allowed if route.types is None else allowed & route.types
        narrowed = (declared & possible) or declared or possible
        return [] if narrowed >= resources - NEVER_TARGETS else sorted(narrowed & resources)

    def _refers(self, node: Node | None) -> set[str] | None:
        """Return the declared targets of a Reference element, None if it declares none."""
        if node is None:
            return None
        refers = self.model.element(node).get("refers")
        return None if refers is None else set(refers)


def _description(text: str, base: str) -> str:
    """Return the line of a shared description that belongs to one base.

    "Multiple Resources: * [Patient](patient.html): A name * [Person](...): ..." holds one
    bullet per base.
    """
    for line in text.splitlines():
        head, _, rest = line.partition("): ")
        if head.startswith(f"* [{base}]("):
            return rest
    return "" if text.startswith("Multiple Resources") else text


def part_of_base(expression: str, base: str) -> str:
    """Return the alternatives of a shared expression that start at `base`, all if none does.

    "Patient.name | Person.name" for Person -> "Person.name".
    """
    parts = [part.strip() for part in expression.split(" | ")]
    kept = [part for part in parts if part.lstrip("(").partition(".")[0] == base]
    return " | ".join(kept or parts)
