"""What can be wrong with a request to this app. Each has a stable code and a plain sentence."""

from __future__ import annotations


class TenantsError(Exception):
    """A refused request: the person's to mend, not the platform's. `str(error)` may be shown."""

    code = "request"


class InvalidRequestError(TenantsError):
    """A field does not hold what it must; `field` names it."""

    code = "request:invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class BoxNameTakenError(TenantsError):
    code = "box:name:taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"Box {name} already exists")


class NoSuchBoxError(TenantsError):
    """There is no such box, or none that the account takes part in: the two look alike."""

    code = "box:unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"No box with id - {name}")


class BoxLimitError(TenantsError):
    code = "account:boxes:quota"


class ForbiddenError(TenantsError):
    """The account takes part in the box, but not in this role."""

    code = "box:role:forbidden"


class ConflictError(TenantsError):
    """Not in the state the box is in."""

    code = "box:state:conflict"
