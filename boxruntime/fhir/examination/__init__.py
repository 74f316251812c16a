"""The thorough examination of a FHIR document that `$validate` makes at /fhir, beyond a write."""
