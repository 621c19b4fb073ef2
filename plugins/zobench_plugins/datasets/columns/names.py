"""The name of a finding, of which every archive has its own spelling."""

from __future__ import annotations

import re


def finding_name(text: str) -> str:
    """The one name that a run knows a finding by, such as ``pleural_effusion``.

    Another spelling of it would be another problem, whose runs are not compared with the others.
    """
    return re.sub(r"[\s_-]+", "_", text.strip().lower())
