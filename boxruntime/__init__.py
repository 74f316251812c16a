"""The box runtime: one process serves one box, a FHIR and Aidbox-compatible server."""

__version__ = "0.1.0"
