from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers.bases import BaseModel, accept_licence, open_base
from helpers.bases.prepare import prepare_base
from helpers.bases.records import RECORDS, acceptance, require_licence
from helpers.errors import BaseModelError
from helpers.hosting.repository import build_base_repository
from helpers.launcher.cleaning import KEPT, remove_state
from helpers.settings import Settings
from helpers.tuning.package import package_training_service
from tests.bases.conftest import Register, pins_of

GATES: dict[str, Callable[[Path, Path], object]] = {
    "open": lambda base, out: open_base(base),
    "prepare": lambda base, out: prepare_base(base),
    "package": lambda base, out: package_training_service(
        out / "m.tar.gz", base_folder=base, staging_s3_uri="s3://bucket/staging"
    ),
    "image": lambda base, out: build_base_repository(out / "repository", base),
}


@pytest.mark.parametrize("gate", GATES)
def test_no_door_opens_before_the_licence_is_accepted(
    tiny: BaseModel, register: Register, settings: Settings, tmp_path: Path, gate: str
) -> None:
    entry = register(weights={"fp16": pins_of(tiny)})
    out = tmp_path / "out"
    with pytest.raises(BaseModelError) as refused:
        GATES[gate](tiny.folder, out)
    for told in (entry.licence.name, entry.licence.address, "accept_licence", "--accept-licence"):
        assert told in str(refused.value)
    assert not out.exists() or not any(out.iterdir())
    out.mkdir(exist_ok=True)
    accept_licence(entry.id)
    GATES[gate](tiny.folder, out)


def test_an_acceptance_is_dated_and_written_once(register: Register, settings: Settings) -> None:
    entry = register()
    line = accept_licence(entry.id, by="a learner")
    assert accept_licence(entry.id, by="another") == line
    assert datetime.now(UTC) - datetime.fromisoformat(line["accepted"]) < timedelta(minutes=1)
    assert (line["by"], line["licence"], line["address"]) == (
        "a learner", entry.licence.spdx, entry.licence.address,
    )  # fmt: skip
    assert (settings.state / RECORDS).stat().st_mode & 0o077 == 0


def test_another_licence_or_another_base_asks_again(register: Register, settings: Settings) -> None:
    entry = register()
    accept_licence(entry.id)
    assert acceptance(entry)
    assert acceptance(register("toy/other")) is None
    newer = replace(entry, licence=replace(entry.licence, name="Toy Licence, dated 2 May 2026"))
    with pytest.raises(BaseModelError, match="2 May 2026"):
        require_licence(newer)


def test_the_course_s_own_licence_needs_no_acceptance(settings: Settings) -> None:
    assert accept_licence("pocket") == {"licence": "MIT-0", "accepted": "not needed"}
    assert not (settings.state / RECORDS).exists()


def test_half_a_line_of_a_killed_writer_spoils_nothing(
    register: Register, settings: Settings
) -> None:
    entry = register()
    settings.state.mkdir()
    (settings.state / RECORDS).write_text('{"event": "licence acc')
    accept_licence(entry.id)
    assert acceptance(entry)


def test_cleaning_up_forgets_no_acceptance(register: Register, tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / ".local-sagemaker")
    entry = register()
    accept_licence(entry.id, settings=settings)
    (settings.state / "service.json").touch()
    remove_state(settings, tmp_path)
    assert [path.name for path in settings.state.iterdir()] == [RECORDS]
    assert RECORDS in KEPT
    assert acceptance(entry, settings)


def test_a_licence_accepted_when_a_base_was_packaged_holds_where_it_is_opened(
    tiny: BaseModel,
    register: Register,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container has no records; the package says what was accepted."""
    entry = register(weights={"fp16": pins_of(tiny)})
    accept_licence(entry.id)
    packaged = prepare_base(tiny.folder).write(tmp_path / "package")
    monkeypatch.setenv("AVATAR_STATE", str(tmp_path / "nothing"))
    assert open_base(packaged.folder).id == entry.id
    with pytest.raises(BaseModelError, match="not been accepted"):
        open_base(tiny.folder)
