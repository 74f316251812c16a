"""What the console's templates need beyond Django's own tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template

from controlplane.provisioning.plan import STEP_TITLES, Step
from tenants.faults import describe_fault as _describe_fault
from tenants.states import BoxState

if TYPE_CHECKING:
    from django.forms import BoundField

register = template.Library()

_STATES = {
    BoxState.REQUESTED: ("Waiting", "busy"),
    BoxState.PROVISIONING: ("Being made", "busy"),
    BoxState.READY: ("Ready", "good"),
    BoxState.REPAIRING: ("Being repaired", "busy"),
    BoxState.FAILED: ("Failed", "bad"),
    BoxState.DELETING: ("Being deleted", "busy"),
}


@register.filter
def state_title(state: str) -> str:
    return _STATES[BoxState(state)][0]


@register.filter
def state_tone(state: str) -> str:
    return _STATES[BoxState(state)][1]


@register.filter
def step_title(name: str) -> str:
    """Return the step's title; of a step of another version, its name."""
    return STEP_TITLES[Step(name)] if name in set(Step) else name


@register.filter
def describe_fault(code: str) -> str:
    return _describe_fault(code)


@register.filter
def took(step: Any) -> str:
    """Return how long a step took, for people."""
    seconds = (step.finished_at - step.started_at).total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


@register.filter
def described(field: BoundField) -> BoundField:
    """Tie a field to its help and its errors for those who listen to the page."""
    names = []
    if field.help_text:
        names.append(f"{field.auto_id}-help")
    if field.errors:
        names.append(f"{field.auto_id}-error")
    attributes = {"aria-invalid": "true"} if field.errors else {}
    if names:
        attributes["aria-describedby"] = " ".join(names)
    return field.as_widget(attrs=attributes)


_ACTIONS = {
    "box.create": "Creation",
    "box.repair": "Repair",
    "box.delete": "Deletion",
    "box.retry": "New try",
    "box.restart": "Restart",
    "box.secret": "First secret",
    "box.access": "Opened",
    "box.collaborator": "Team",
}


@register.filter
def action_title(action: str) -> str:
    return _ACTIONS.get(action, action)
