"""Every route of a box. Operation resources and the router are made from these rows.

`root` and `fhir` name the Operation under either base; None = not there.
Source: core specification, "Two APIs, one store"; authentication specification, "Operation".
"""

from __future__ import annotations

from boxruntime.api.call import Interaction, Route
from boxruntime.api.interactions.capabilities import capabilities
from boxruntime.api.interactions.create import create
from boxruntime.api.interactions.delete import conditional_delete, delete
from boxruntime.api.interactions.delete_history import delete_history, delete_version
from boxruntime.api.interactions.history import history_instance, history_system, history_type
from boxruntime.api.interactions.patch import conditional_patch, patch
from boxruntime.api.interactions.read import read, vread
from boxruntime.api.interactions.search import (
    search_compartment,
    search_system,
    search_type,
    search_whole_compartment,
)
from boxruntime.api.interactions.transaction import bundle
from boxruntime.api.interactions.update import conditional_update, update
from boxruntime.api.interactions.upsert import upsert
from boxruntime.api.operations import sequences
from boxruntime.api.operations.capture import debug, extract_by
from boxruntime.api.operations.convert_profiles import convert_profiles
from boxruntime.api.operations.encryption import decrypt, encrypt_key
from boxruntime.api.operations.front import front
from boxruntime.api.operations.health import health
from boxruntime.api.operations.json_schema import json_schema
from boxruntime.api.operations.lastn import lastn, lastn_in_compartment
from boxruntime.api.operations.logs import logs
from boxruntime.api.operations.metadata import read_metadata, resource_types, write_metadata
from boxruntime.api.operations.migrations import list_migrations, run_migrations
from boxruntime.api.operations.policies import matcho, test_policy
from boxruntime.api.operations.search_query import debug_search, search_alpha
from boxruntime.api.operations.sql import psql, sql
from boxruntime.api.operations.stored_query import debug_query, stored_query
from boxruntime.api.operations.sudo import sudo
from boxruntime.api.operations.to_format import to_format_aidbox, to_format_fhir
from boxruntime.api.operations.validate import validate_instance, validate_system, validate_type

I = Interaction  # noqa: E741 - one letter keeps a row on a line

ADMINISTRATIVE = frozenset(
    {
        "/_logs",
        "/$decrypt/{type}/{id}",
        "/$metadata",
        "/$sql",
        "/$psql",
        "/db/migrations",
        "/$query/$debug",
        "/SearchQuery/$debug",
        "/auth/test-policy",
    }
)
"""Templates of routes that need administrative rights, whatever type they are about."""

# fmt: off
ROUTES: tuple[Route, ...] = tuple(
    Route(
        method=method, template=template, interaction=interaction, handler=handler,
        root=root, fhir=fhir, public=public, administers=template in ADMINISTRATIVE,
    )
    for method, template, interaction, handler, root, fhir, public in (
        ("GET",    "/{type}/{id}",                I.READ,             read,               "Read",              "FhirRead",              False),
        ("GET",    "/{type}/{id}/_history/{vid}", I.VREAD,            vread,              "Vread",             "FhirVread",             False),
        ("GET",    "/{type}/{id}/_history",       I.HISTORY_INSTANCE, history_instance,   "History",           "FhirHistory",           False),
        ("GET",    "/{type}/_history",            I.HISTORY_TYPE,     history_type,       "TypeHistory",       "FhirTypeHistory",       False),
        ("GET",    "/_history",                   I.HISTORY_SYSTEM,   history_system,     None,                "FhirSystemHistory",     False),
        ("GET",    "/{type}",                     I.SEARCH,           search_type,        "Search",            "FhirSearch",            False),
        ("POST",   "/{type}/_search",             I.SEARCH,           search_type,        "SearchPost",        "FhirSearchPost",        False),
        ("GET",    "/",                           I.SEARCH_SYSTEM,    search_system,      None,                "FhirSystemSearch",      False),
        ("POST",   "/_search",                    I.SEARCH_SYSTEM,    search_system,      None,                "FhirSystemSearchPost",  False),
        ("GET",    "/{type}/{id}/*",              I.SEARCH,           search_whole_compartment, "CompartmentSearchAll", "FhirCompartmentSearchAll", False),
        ("GET",    "/{type}/{id}/{target}",       I.SEARCH,           search_compartment, "CompartmentSearch", "FhirCompartmentSearch", False),
        ("POST",   "/{type}",                     I.CREATE,           create,             "Create",            "FhirCreate",            False),
        ("PUT",    "/{type}/{id}",                I.UPDATE,           update,             "Update",            "FhirUpdate",            False),
        ("PUT",    "/{type}",                     I.UPDATE,           conditional_update, "ConditionalUpdate", "FhirConditionalUpdate", False),
        ("PATCH",  "/{type}/{id}",                I.PATCH,            patch,              "Patch",             "FhirPatch",             False),
        ("PATCH",  "/{type}",                     I.PATCH,            conditional_patch,  "ConditionalPatch",  "FhirConditionalPatch",  False),
        ("DELETE", "/{type}/{id}",                I.DELETE,           delete,             "Delete",            "FhirDelete",            False),
        ("DELETE", "/{type}",                     I.DELETE,           conditional_delete, "ConditionalDelete", "FhirConditionalDelete", False),
        ("DELETE", "/{type}/{id}/_history",       I.OTHER,            delete_history,     "DeleteHistory",     "FhirDeleteHistory",     False),
        ("DELETE", "/{type}/{id}/_history/{vid}", I.OTHER,            delete_version,     "DeleteVersion",     "FhirDeleteVersion",     False),
        ("POST",   "/",                           I.BUNDLE,           bundle,             "Transaction",       "FhirTransaction",       False),
        ("PUT",    "/",                           I.OTHER,            upsert,             "BatchUpsert",       None,                    False),
        ("POST",   "/StructureDefinition/$convert", I.OTHER,          convert_profiles,   "ConvertProfiles",   "FhirConvertProfiles",   False),
        ("POST",   "/{type}/$validate",           I.OTHER,            validate_type,      "Validate",          "FhirValidate",          False),
        ("POST",   "/{type}/{id}/$validate",      I.OTHER,            validate_instance,  "ValidateInstance",  "FhirValidateInstance",  False),
        ("POST",   "/$validate",                  I.OTHER,            validate_system,    None,                "FhirValidateSystem",    False),
        ("GET",    "/$json-schema",               I.OTHER,            json_schema,        "JsonSchema",        None,                    False),
        ("GET",    "/metadata",                   I.CAPABILITIES,     capabilities,       "Metadata",          "FhirMetadata",          True),
        ("GET",    "/$metadata",                  I.OTHER,            read_metadata,      "ReadMetadata",      None,                    False),
        ("POST",   "/$metadata",                  I.OTHER,            write_metadata,     "WriteMetadata",     None,                    False),
        ("GET",    "/$resource-types",            I.OTHER,            resource_types,     "ResourceTypes",     None,                    False),
        ("POST",   "/$to-format/aidbox",          I.OTHER,            to_format_aidbox,   "ToFormatAidbox",    None,                    False),
        ("POST",   "/$to-format/fhir",            I.OTHER,            to_format_fhir,     "ToFormatFhir",      None,                    False),
        ("POST",   "/to-format/aidbox",           I.OTHER,            to_format_aidbox,   "ToFormatAidboxAlias", None,                  False),
        ("POST",   "/to-format/fhir",             I.OTHER,            to_format_fhir,     "ToFormatFhirAlias", None,                    False),
        ("GET",    "/health",                     I.OTHER,            health,             "Health",            None,                    True),
        ("GET",    "/__healthcheck",              I.OTHER,            health,             "HealthCheck",       None,                    True),
        ("GET",    "/Observation/$lastn",         I.SEARCH,           lastn,              "LastN",             "FhirLastN",             False),
        ("POST",   "/Observation/$lastn",         I.SEARCH,           lastn,              "LastNPost",         "FhirLastNPost",         False),
        ("GET",    "/{type}/{id}/Observation/$lastn", I.SEARCH,       lastn_in_compartment, "CompartmentLastN", "FhirCompartmentLastN", False),
        ("POST",   "/{type}/{id}/Observation/$lastn", I.SEARCH,       lastn_in_compartment, "CompartmentLastNPost", "FhirCompartmentLastNPost", False),
        ("POST",   "/AlphaSDC/$debug",            I.OTHER,            debug,              "CaptureDebug",      None,                    False),
        ("POST",   "/AlphaSDC/{id}/$extract",     I.OTHER,            extract_by,         "CaptureExtract",    None,                    False),
        ("POST",   "/PGSequence",                 I.OTHER,            sequences.create,   "SequenceCreate",    None,                    False),
        ("POST",   "/PGSequence/{id}",            I.OTHER,            sequences.draw,     "SequenceNext",      None,                    False),
        ("GET",    "/PGSequence/{id}",            I.OTHER,            sequences.current,  "SequenceRead",      None,                    False),
        ("PUT",    "/PGSequence/{id}",            I.OTHER,            sequences.change,   "SequenceUpdate",    None,                    False),
        ("DELETE", "/PGSequence/{id}",            I.OTHER,            sequences.drop,     "SequenceDelete",    None,                    False),
        ("POST",   "/$encrypt-key",               I.OTHER,            encrypt_key,        "EncryptKey",        None,                    False),
        ("GET",    "/$decrypt/{type}/{id}",       I.OTHER,            decrypt,            "Decrypt",           None,                    False),
        ("POST",   "/auth/test-policy",           I.OTHER,            test_policy,        "TestPolicy",        None,                    False),
        ("POST",   "/$matcho",                    I.OTHER,            matcho,             "Matcho",            None,                    False),
        ("POST",   "/$sql",                       I.OTHER,            sql,                "SQL",               None,                    False),
        ("POST",   "/$psql",                      I.OTHER,            psql,               "PSQL",              None,                    False),
        ("GET",    "/$query/{id}",                I.OTHER,            stored_query,       "Query",             None,                    False),
        ("POST",   "/$query/$debug",              I.OTHER,            debug_query,        "QueryDebug",        None,                    False),
        ("GET",    "/alpha/{type}",               I.OTHER,            search_alpha,       "AlphaSearch",       None,                    False),
        ("POST",   "/SearchQuery/$debug",         I.OTHER,            debug_search,       "SearchQueryDebug",  None,                    False),
        ("POST",   "/db/migrations",              I.OTHER,            run_migrations,     "MigrationsRun",     None,                    False),
        ("GET",    "/db/migrations",              I.OTHER,            list_migrations,    "Migrations",        None,                    False),
        ("GET",    "/_logs",                      I.OTHER,            logs,               "Logs",              None,                    False),
        ("GET",    "/__sudo",                     I.OTHER,            sudo,               "Sudo",              None,                    True),
        ("GET",    "/",                           I.OTHER,            front,              "FrontPage",         None,                    False),
    )
)
# fmt: on


def operations() -> list[tuple[str, dict[str, object]]]:
    """Return an Operation resource for every route, so that policies can link to it."""
    rows: list[tuple[str, dict[str, object]]] = []
    for route in ROUTES:
        for id_, prefix in ((route.root, ()), (route.fhir, ("fhir",))):
            if id_ is None:
                continue
            template = [
                {"name": f"resource/{step[1:-1]}"} if step.startswith("{") else step
                for step in route.template.strip("/").split("/")
                if step
            ]
            rows.append(
                (
                    id_,
                    {
                        "module": "proto",
                        "action": f"proto.operations/{route.interaction.value}",
                        "request": [route.method.lower(), *prefix, *template],
                    },
                )
            )
    return rows
