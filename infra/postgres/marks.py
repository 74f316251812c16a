"""Names and comments by which Halebox knows what it made on a server it may share with others."""

from __future__ import annotations

TEMPLATE_ROLE = "halebox_template"
TEMPLATE_PREFIX = "halebox_template_"
SPARE_PREFIX = "halebox_spare_"
CLAIM = "halebox makes "  # comment on a role, followed by the name of its database
COMPLETE = "halebox: complete"  # comment on a database of which every step was done
