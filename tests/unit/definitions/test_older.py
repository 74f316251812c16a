"""STU3 and DSTU2 definitions in R4's shape. Source: FHIR STU3 and DSTU2, StructureDefinition."""

from __future__ import annotations

from infra.definitions.older import upgrade
from infra.definitions.structures import compile_types

HEAD = "http://hl7.org/fhir/StructureDefinition/"


def structure(name, kind, elements, base=None, **more):
    """Return a DSTU2 StructureDefinition."""
    result = {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": HEAD + name,
        "kind": kind,
        "abstract": False,
        "snapshot": {"element": [{"min": 0, "max": "1", **each} for each in elements]},
    }
    return result | ({"base": HEAD + base} if base else {}) | more


ELEMENT = structure(
    "Element",
    "datatype",
    [
        {"path": "Element"},
        {"path": "Element.id", "type": [{"code": "id"}]},
        {"path": "Element.extension", "max": "*", "type": [{"code": "Extension"}]},
    ],
    abstract=True,
)
BACKBONE = structure(
    "BackboneElement",
    "datatype",
    [
        {"path": "BackboneElement"},
        {"path": "BackboneElement.id", "type": [{"code": "id"}]},
        {"path": "BackboneElement.modifierExtension", "max": "*", "type": [{"code": "Extension"}]},
    ],
    base="Element",
)
STRING = structure(
    "string", "datatype", [{"path": "string"}, {"path": "string.value", "type": [{}]}], "Element"
)
CODE = structure(
    "code",
    "datatype",
    [{"path": "string"}, {"path": "string.value", "type": [{}]}],
    "string",
    constrainedType="string",
)
QUANTITY = structure("Quantity", "datatype", [{"path": "Quantity"}], "Element")
AGE = structure("Age", "datatype", [{"path": "Quantity"}], "Quantity", constrainedType="Quantity")
FORM = structure(
    "Form",
    "resource",
    [
        {"path": "Form"},
        {"path": "Form.group", "name": "section", "type": [{"code": "BackboneElement"}]},
        {"path": "Form.group.id", "type": [{"code": "id"}]},
        {"path": "Form.group.extension", "max": "*", "type": [{"code": "Extension"}]},
        {"path": "Form.group.modifierExtension", "max": "*", "type": [{"code": "Extension"}]},
        {"path": "Form.group.group", "max": "*", "nameReference": "section"},
        {
            "path": "Form.onset[x]",
            "type": [
                {"code": "Quantity", "profile": [HEAD + "Age"]},
                {"code": "Quantity"},
                {"code": "Reference", "profile": [HEAD + "Form"]},
            ],
        },
        {
            "path": "Form.status",
            "type": [{"code": "code"}],
            "binding": {"strength": "required", "valueSetReference": {"reference": "urn:vs"}},
        },
    ],
)


def compiled(*structures):
    return compile_types(each for each in upgrade(structures) if "snapshot" in each)


def test_dstu2_types_have_the_kinds_of_r4():
    types = compiled(ELEMENT, BACKBONE, STRING, CODE, QUANTITY, AGE)
    assert {name: each["kind"] for name, each in types.items()} == {
        "BackboneElement": "abstract",
        "Element": "abstract",
        "Quantity": "type",
        "code": "primitive",
        "string": "primitive",
    }
    assert types["code"]["base"] == "string"


def test_dstu2_elements_say_what_they_inherit_and_whom_they_repeat():
    elements = compiled(ELEMENT, BACKBONE, STRING, CODE, QUANTITY, FORM)["Form"]["elements"]
    assert elements == {
        "group": {"group": "BackboneElement"},
        "group.group": {"contentRef": "group", "array": True},
        "onset": {"union": ["Quantity", "Reference"], "refers": ["Form"]},
        "status": {"type": "code", "valueSet": "urn:vs", "strength": "required"},
    }


def test_stu3_repeats_a_type_for_each_target():
    source = structure(
        "Form",
        "resource",
        [
            {"path": "Form"},
            {
                "path": "Form.who",
                "type": [
                    {"code": "Reference", "targetProfile": HEAD + "Form"},
                    {"code": "Reference", "targetProfile": HEAD + "Other"},
                ],
            },
            {
                "path": "Form.any",
                "type": [
                    {"code": "Reference", "targetProfile": HEAD + "Form"},
                    {"code": "Reference"},
                ],
            },
        ],
        type="Form",
    )
    other = structure("Other", "resource", [{"path": "Other"}], type="Other")
    elements = compiled(source, other)["Form"]["elements"]
    assert elements["who"] == {"type": "Reference", "refers": ["Form", "Other"]}
    assert elements["any"] == {"type": "Reference"}


def test_code_systems_inside_value_sets_stand_alone():
    found = upgrade(
        [
            {
                "resourceType": "ValueSet",
                "url": "urn:vs",
                "codeSystem": {"system": "urn:cs", "concept": [{"code": "a"}]},
                "compose": {"import": ["urn:other"]},
            }
        ]
    )
    assert found[0]["compose"]["include"] == [{"valueSet": ["urn:other"]}, {"system": "urn:cs"}]
    assert found[1] == {
        "resourceType": "CodeSystem",
        "url": "urn:cs",
        "content": "complete",
        "caseSensitive": False,
        "concept": [{"code": "a"}],
    }


def test_components_of_stu3_name_their_parameter_by_reference():
    (found,) = upgrade(
        [
            {
                "resourceType": "SearchParameter",
                "component": [{"definition": {"reference": "urn:sp"}, "expression": "code"}],
            }
        ]
    )
    assert found["component"] == [{"definition": "urn:sp", "expression": "code"}]
