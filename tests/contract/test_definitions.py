"""The committed definitions are what the generator makes from the pinned packages."""

from __future__ import annotations

import pytest

from infra.definitions.fetch import FetchError, WrongPackageError
from infra.definitions.generate import differences, generate, project_root

pytestmark = pytest.mark.definitions


def test_the_committed_files_are_generated_byte_for_byte(tmp_path):
    try:
        written = generate(tmp_path, progress=lambda _: None)
    except WrongPackageError:
        raise
    except FetchError as reason:
        pytest.skip(f"the source packages cannot be had: {reason}")
    assert len(written) >= 3
    assert differences(tmp_path, project_root()) == []
