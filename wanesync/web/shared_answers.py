"""The answers of several processes behind one socket, added up for the page of metrics, which any of them may show.

Each process has a file in a folder of the group, which outlives it: what it had answered stays counted. A file is
written before the page is shown, so that no total is ever smaller than one that another process has shown.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

Answers = Counter[tuple[str, int]]
"""(side, status) -> answers."""


@dataclass(frozen=True, slots=True)
class SharedAnswers:
    """The files of the processes that answer together. ``name``: of this process, which no other one has or had."""

    folder: Path
    name: str

    def add_up(self, answers: Answers, stored: Counter[str]) -> tuple[Answers, Counter[str]]:
        """Store this process's answers and stored events by side, and return those of all."""
        text = json.dumps({"answers": [[*key, number] for key, number in answers.items()], "stored": dict(stored)})
        # A name of its own: two pages may be shown at a time, and each is replaced as a whole.
        made = self.folder / f"{self.name}.{os.urandom(8).hex()}.new"
        made.write_text(text)
        made.replace(self.folder / f"{self.name}.json")
        all_answers: Answers = Counter()
        all_stored: Counter[str] = Counter()
        for file in self.folder.glob("*.json"):
            found = json.loads(file.read_text())
            all_answers.update({(side, status): number for side, status, number in found["answers"]})
            all_stored.update(found["stored"])
        return all_answers, all_stored
