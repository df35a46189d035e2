"""The table of HubSpot's paths: every call in every version, as HubSpot publishes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from wanesync.adapters.hubspot.api_paths import CALLS, RULES, TOKEN_INFO, find_paths, make_table
from wanesync.core.setup.api_versions import USED, HubSpotVersion

VERSIONS = get_args(HubSpotVersion)


def test_v3_is_what_the_sdk_calls() -> None:
    assert make_table("v3") == {path: (path,) for path in CALLS}


def test_dated_paths() -> None:
    assert find_paths("/crm/v3/objects/contacts/batch/read", "2026-03") == ("/crm/objects/2026-03/contacts/batch/read",)
    assert find_paths("/crm/v4/associations/{fromObjectType}/{toObjectType}/batch/read", "2026-09") == (
        "/crm/associations/2026-09/{fromObjectType}/{toObjectType}/batch/read",
    )
    assert find_paths("/events/v3/send/batch", "2026-03") == ("/events/2026-03/send/batch",)
    assert find_paths("/events/v3/send/batch", "2026-09") == (
        "/events/custom/2026-09/send/batch",
        "/events/2026-09/send/batch",
    )
    assert find_paths(TOKEN_INFO, "2026-09") == (TOKEN_INFO,)


def test_a_call_that_the_table_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the table"):
        find_paths("/crm/v3/objects/deals", "2026-09")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_path_names_only_versions_whose_end_is_known(version: HubSpotVersion) -> None:
    named = {part for paths in make_table(version).values() for path in paths for part in path.split("/")}
    named = {part for part in named if re.fullmatch(r"v[34]|20[0-9-]+", part)}
    assert named == set(USED[version])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_first_spelling_of_every_call_is_published(shared: Path, version: HubSpotVersion) -> None:
    published = {
        re.sub(r"{[^}]*}", "*", path)
        for file in (shared / "specs" / "hubspot").iterdir()
        for path in json.loads(file.read_text())["paths"]
    }
    for call, paths in make_table(version).items():
        kinds = [re.sub(r"{[^}]*}", "*", paths[0])]
        # The specification of 2026-09 names the kind of record by a variable.
        kinds.append(re.sub(r"/(contacts|notes)(?=/|$)", "/*", kinds[0]))
        assert call in (TOKEN_INFO, RULES) or not published.isdisjoint(kinds), paths[0]
