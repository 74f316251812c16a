"""Writing the audit trail."""

from __future__ import annotations

from tenants.models import AuditRecord

SYSTEM = "system"
"""Actor of what the platform does by itself."""


def record(actor: str, action: str, subject: str, result: str = "done", **detail: object) -> None:
    """Append one record, in the transaction of the change it tells of."""
    AuditRecord.objects.create(
        actor=actor, action=action, subject=subject, result=result, detail=detail
    )
