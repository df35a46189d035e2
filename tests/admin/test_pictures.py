"""The pictures in the documentation show the pages as they are."""

from __future__ import annotations

import json

from tests.support.screenshots import PICTURES, PICTURES_MADE, SOURCES, list_sources


def test_no_picture_is_older_than_its_page() -> None:
    made = json.loads(SOURCES.read_text())
    old = [name for name, digest in list_sources().items() if made.get(name) != digest]
    assert old == [], "their templates, styles or scripts have changed: make screenshots"


def test_every_picture_is_there_and_is_shown() -> None:
    names = {picture.name for picture in PICTURES_MADE}
    assert {path.stem for path in PICTURES.glob("*.png")} == names
    documents = [PICTURES.parents[1] / "README.md", *PICTURES.parent.glob("*.md")]
    text = "".join(document.read_text() for document in documents)
    assert [name for name in sorted(names) if f"pictures/{name}.png" not in text] == []
