"""Static files under names that carry a hash of their content."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):
    """As whitenoise's, but names a file plainly as long as nothing was collected."""

    manifest_strict = False

    def url(self, name: str | None, force: bool = False) -> str:
        """Return the hashed URL; the plain one before `collectstatic` has run."""
        if name is not None and not self.hashed_files:
            return super(CompressedManifestStaticFilesStorage, self).base_url + name  # type: ignore[misc]
        return super().url(name, force)
