"""The generator of the base metadata that boxruntime commits.

Reads the official FHIR definitions and a hand-written description of Aidbox's own resource
types, and writes compact JSON into boxruntime/fhir/definitions. One module per step: `pins`
(what is read), `fetch`, `package` (reader), `structures`, `primitives`, `value_sets`,
`expressions` and `search_parameters`, `compartments`, `aidbox`, `build`, `writer`.
"""
