"""The rules between FHIR and Aidbox format as a tree, for people and programs to look at.

`tr/reference` a reference is parsed; `tr/ref` go on in that type, or in the element at that path;
`tr/union` a choice, by its alternatives; `tr/ext` an extension with that url; `tr/isCollection` an
array. Members of a group stand beside its own rules. What is copied is not listed.
Source: core specification, "$to-format".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.to_fhir import to_fhir_node

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, Metadata

Tree = dict[str, Any]


def transform_tree(metadata: Metadata, type_name: str) -> Tree:
    """Return the rules of one type by its Aidbox members."""
    home = metadata.home_of(type_name)
    cache = home.artefacts("transform_tree")
    tree: Tree | None = cache.get(type_name)
    if tree is None:
        tree = cache[type_name] = _members(home, type_name, home.types[type_name].elements)
    return tree


def _members(metadata: Metadata, owner: str, elements: dict[str, Element]) -> Tree:
    trees = {name: _element(metadata, owner, each) for name, each in elements.items()}
    return {name: tree for name, tree in trees.items() if tree is not None}


def _element(metadata: Metadata, owner: str, element: Element) -> Tree | None:
    rules = _rules(metadata, owner, element)
    if element.extension_url is not None:
        rules = {"tr/ext": element.extension_url, **rules}
    if not rules:
        return None
    return {**rules, "tr/isCollection": True} if element.array else rules


def _rules(metadata: Metadata, owner: str, element: Element) -> Tree:
    if element.union:
        alternatives = {
            name: _rules(metadata, owner, element.children[name]) for name in element.union
        }
        return {"tr/union": alternatives}
    if element.content_ref is not None:
        return {"tr/ref": ".".join((owner, *element.content_ref))}
    if element.type == "Reference":
        return {"tr/reference": True, "tr/ref": "Reference"}
    if element.type == "Resource":
        return {"tr/ref": "Resource"}
    if element.type == "Extension":
        return {}
    own = _members(metadata, owner, element.children)
    if element.type is None or not _has_rules(metadata, element.type):
        return own
    return {"tr/ref": element.type, **own}


def _has_rules(metadata: Metadata, type_name: str) -> bool:
    type_def = metadata.find_type(type_name)
    if type_def is None or type_def.kind == "primitive":
        return False
    node = to_fhir_node(metadata, type_name)
    return bool(node.handlers or node.first_class)
