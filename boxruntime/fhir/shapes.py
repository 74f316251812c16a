"""Types that FHIR and Aidbox both have under one name, with different elements.

There is one: SearchParameter. Its rows are in Aidbox's shape or, when they came as FHIR, in FHIR's;
the shape shows from the document. Source: search specification, "SearchParameter meta-resource".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Metadata


def shape_of(metadata: Metadata, type_name: str, document: dict[str, Any]) -> str:
    """Return the name under which the metadata has the shape of this document.

    Aidbox's SearchParameter names its type in `resource`, FHIR's its types in `base`.
    """
    if "base" in document and "resource" not in document:
        return metadata.fhir_type(type_name)
    return type_name
