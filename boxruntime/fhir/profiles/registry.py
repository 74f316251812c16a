"""The profiles of a box: which hold for a resource, and what they find in it.

A profile is an AidboxProfile resource: a JSON Schema over the Aidbox format. One without `url`
holds for every resource of its type; one with `url`, made from a StructureDefinition, for those
that name it in `meta.profile`. Source: core specification, "AidboxProfile"; FHIR R4, Profiling.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from msgspec import structs

from boxruntime.fhir.json_text import decode_json, encode_json
from boxruntime.fhir.outcome import Issue
from boxruntime.fhir.profiles.checking import ProfileValidator, compile_profile
from boxruntime.fhir.validators import formats_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from boxruntime.fhir.metadata import Metadata


class Profile:
    """One AidboxProfile. Compiled when it is first needed: most boxes use few of theirs."""

    __slots__ = ("_text", "_validator", "id", "type", "url", "version")

    def __init__(self, resource: dict[str, Any]) -> None:
        """Read an AidboxProfile. Raises KeyError or TypeError for one that says too little."""
        self.id: str = resource["id"]
        self.type: str = resource["bind"]["id"]
        self.url: str | None = resource.get("url")
        self.version: str | None = resource.get("version")
        if not isinstance(self.type, str) or not isinstance(self.url, str | None):
            raise TypeError
        # As text: a tenth of the memory, and an idle box never looks at it.
        self._text = encode_json(resource["schema"])
        self._validator: ProfileValidator | None = None

    def issues(self, metadata: Metadata, resource: Any) -> list[Issue]:
        """Return what the profile finds; paths start at the resource.

        A schema that cannot be used (people write rows by SQL) is a finding: nothing passes
        unchecked.
        """
        if self._validator is None:
            try:
                self._validator = compile_profile(decode_json(self._text))
            except ValueError:
                issue = Issue(message="the profile cannot be used", profile=self.id)
                return [issue]
        found = self._validator.issues(resource, self.type, formats_of(metadata))
        return [structs.replace(issue, profile=self.id) for issue in found] if found else found


class ProfileSet:
    """All profiles of a box. Immutable."""

    __slots__ = ("_always", "_by_id", "_by_url")

    def __init__(self, resources: Iterable[dict[str, Any]] = ()) -> None:
        """Read AidboxProfile resources, the latest last; one that says too little is left out."""
        always: dict[str, list[Profile]] = defaultdict(list)
        by_url: dict[str, list[Profile]] = defaultdict(list)
        for resource in resources:
            try:
                profile = Profile(resource)
            except (KeyError, TypeError):
                continue
            if profile.url is None:
                always[profile.type].append(profile)
            else:
                by_url[profile.url].append(profile)
        self._always = {name: tuple(found) for name, found in always.items()}
        self._by_url = {url: tuple(found) for url, found in by_url.items()}
        everything = (one for found in (*always.values(), *by_url.values()) for one in found)
        self._by_id = {profile.id: profile for profile in everything}

    def __bool__(self) -> bool:
        return bool(self._always or self._by_url)

    def find(self, canonical: str) -> Profile | None:
        """Return the profile that a canonical URL names; None if the box has no rules for it.

        "url|version" names that version, or a profile that tells none; without a version the
        latest one is meant.
        """
        url, _, version = canonical.partition("|")
        found = self._by_url.get(url, ())
        for profile in reversed(found):
            if not version or profile.version in (None, version):
                return profile
        return None

    def with_id(self, id_: str) -> Profile | None:
        """Return the profile whose resource has this id: how one without a URL is named."""
        return self._by_id.get(id_)

    def urls_of(self, type_name: str) -> list[str]:
        """Return the canonical URLs that resources of a type may declare, sorted."""
        return sorted(url for url, found in self._by_url.items() if found[-1].type == type_name)

    def is_free(self, id_: str, url: str) -> bool:
        """Tell whether a profile with this URL may have the id: nobody else has it."""
        profile = self._by_id.get(id_)
        return profile is None or profile.url == url

    def issues(
        self,
        metadata: Metadata,
        type_name: str,
        resource: dict[str, Any],
        extra: Sequence[Profile] = (),
    ) -> list[Issue]:
        """Return what the type's profiles, those that the resource declares, and `extra` find.

        A profile of another type that the resource declares is a finding too. Unsorted, without
        expressions. A type without profiles costs 0.2 us.
        """
        found: list[Issue] = []
        for profile in self._always.get(type_name, ()):
            found += profile.issues(metadata, resource)
        if extra or self._by_url:
            found += self.declared_issues(metadata, type_name, resource, extra)
        return found

    def declared_issues(
        self,
        metadata: Metadata,
        type_name: str,
        resource: dict[str, Any],
        extra: Sequence[Profile] = (),
    ) -> list[Issue]:
        """Return what the profiles find that the resource names in meta.profile, and `extra`."""
        found: list[Issue] = []
        for profile in {
            profile.id: profile for profile in (*self._declared(resource), *extra)
        }.values():
            if profile.type != type_name:
                message = f"the profile {profile.url or profile.id} is for {profile.type}"
                found.append(Issue(message=message, path=("meta", "profile"), profile=profile.id))
            else:
                found += profile.issues(metadata, resource)
        return found

    def _declared(self, resource: dict[str, Any]) -> Iterable[Profile]:
        meta = resource.get("meta")
        named = meta.get("profile") if isinstance(meta, dict) else None
        if not isinstance(named, list):
            return
        for canonical in named:
            profile = self.find(canonical) if isinstance(canonical, str) else None
            if profile is not None:
                yield profile


NO_PROFILES = ProfileSet()


def profile_issues(metadata: Metadata, resource: dict[str, Any]) -> list[Issue]:
    """Return why a valid AidboxProfile resource cannot be used; [] when it can."""
    found = []
    bound = resource.get("bind", {})
    type_def = metadata.find_type(bound.get("id", "")) if isinstance(bound, dict) else None
    if type_def is not None and type_def.kind != "resource":
        found.append(Issue(message="expected a resource type", path=("bind",)))
    schema = resource.get("schema")
    try:
        if schema is not None:
            compile_profile(schema)
    except ValueError as error:
        found.append(Issue(message=f"not a JSON Schema: {error}", path=("schema",)))
    return [structs.replace(issue, type_name="AidboxProfile") for issue in found]
