from __future__ import annotations

from pathlib import Path

import pytest

from helpers.errors import ServiceError
from helpers.hosting.weigh import weigh_pipeline


def test_a_pipeline_of_its_own_weighs_far_more_than_a_stub(small_base: Path) -> None:
    found = weigh_pipeline(small_base)
    assert found.seconds > 0
    assert found.megabytes > 5 * 25, "libraries alone are several stubs"


def test_a_folder_without_a_base_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="not loaded"):
        weigh_pipeline(tmp_path)
