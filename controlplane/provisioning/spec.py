"""The BoxSpec of a box: its row and its credentials put into the variables that its process reads.

Source: platform specification, "Environment variables".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from boxruntime.contract import BoxSpec, Limits
from controlplane.addresses import box_url
from tenants.environment import variable_name
from tenants.names import database_name, role_name

if TYPE_CHECKING:
    from controlplane.environment import Environment
    from controlplane.provisioning.credentials import Credentials
    from tenants.models import Box


def box_spec(
    box: Box,
    credentials: Credentials,
    participants: list[dict[str, str]],
    *,
    access_key: str,
    environment: Environment,
) -> BoxSpec:
    """Return the box as the box host shall run it. Holds secrets: never logged, never stored."""
    own = {variable_name(key): value for key, value in box.environment.items()}
    return BoxSpec(
        id=box.name,
        generation=box.generation,
        # The platform's variables come last: no setting of a person's replaces one.
        environment=own
        | {
            "BOX_ID": box.name,
            "AIDBOX_FHIR_VERSION": box.fhir_version,
            "AIDBOX_BASE_URL": box_url(box.name, environment),
            "AIDBOX_CLIENT_ID": box.client_id,
            "AIDBOX_CLIENT_SECRET": box.client_secret_hash,
            "AIDBOX_ENCRYPT_KEY": credentials.encrypt_key,
            "BOX_ACCESS_KEY": access_key,
            "BOX_SIGNING_KEY": credentials.signing_key,
            "BOX_PARTICIPANTS": json.dumps(participants),
            "PGHOST": environment.box_pghost,
            "PGPORT": environment.box_pgport,
            "PGUSER": role_name(box.name),
            "PGPASSWORD": credentials.database_password,
            "PGDATABASE": database_name(box.name),
        },
        limits=Limits(
            memory_mb=box.tier.memory_mb,
            cpu_percent=box.tier.cpu_percent,
            database_connections=box.tier.database_connections,
            http_connections=box.tier.http_connections,
            idle_exit_s=float(box.tier.idle_exit_s),
        ),
        loopback_port=box.loopback_port,
    )
