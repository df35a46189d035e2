"""An operator for tests that change something."""

from __future__ import annotations

from wanesync.core.operating.operators import Operator, Via

ADA = Operator("ada", Via.CLI)
