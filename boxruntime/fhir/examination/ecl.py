"""The syntax of SNOMED CT expression constraints, as far as it can be judged without SNOMED CT.

Simple and compound constraints are read; of refinements, attributes and filters only the brackets.
Source: SNOMED CT Expression Constraint Language, "Syntax"; FHIR R4, Using SNOMED CT with FHIR.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"\s*(?:(?P<operator><<!?|<!?|>>!?|>!?|\^|!!<|!!>)|(?P<concept>[0-9]{6,18}|\*)|(?P<term>\|[^|]*\|)"
    r"|(?P<connector>(?:AND|OR|MINUS)\b|,)|(?P<open>\()|(?P<close>\)))",
    re.IGNORECASE,
)
_RICHER = re.compile(r"[:.{}\[\]#\"=]")
_PAIRS = {")": "(", "}": "{", "]": "["}


def is_expression_constraint(text: str) -> bool:
    """Tell whether a text may be an expression constraint."""
    plain = re.sub(r"/\*.*?\*/|\|[^|]*\|", " ", text, flags=re.DOTALL)
    if _RICHER.search(plain):
        return _is_balanced(re.sub(r'"[^"]*"', "", plain))
    depth = position = 0
    wants_operand, may_have_term = True, False
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return False
        position, kind = match.end(), match.lastgroup
        if kind == "term":
            if not may_have_term:
                return False
        elif (kind in {"operator", "open", "concept"}) is not wants_operand:
            return False
        depth += (kind == "open") - (kind == "close")
        if depth < 0:
            return False
        wants_operand = kind in {"operator", "open", "connector"}
        may_have_term = kind == "concept"
    return depth == 0 and not wants_operand


def _is_balanced(text: str) -> bool:
    waiting: list[str] = []
    for character in text:
        if character in _PAIRS.values():
            waiting.append(character)
        elif character in _PAIRS and (not waiting or waiting.pop() != _PAIRS[character]):
            return False
    return not waiting
