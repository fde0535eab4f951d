"""What the journal and the enforcement of policies add to the CPU time of the local cloud.

Four clouds run side by side (see `side_by_side`), with and without each of the two.
"""

from __future__ import annotations

from typing import Any

from case import Case, Variant
from side_by_side import AT_ONCE, at_once, clouds, more

NEITHER, BOTH = "neither", "both"
KINDS: dict[str, dict[str, Any]] = {
    NEITHER: {"iam": False, "journal": False},
    "journal": {"iam": False, "journal": True},
    "policies": {"iam": True, "journal": False},
    BOTH: {"iam": True, "journal": True},
}

CASE = Case(
    name="observation",
    title="Events through the deployed control-service: what journal and policies cost the local cloud",
    variants=(Variant(AT_ONCE, at_once(NEITHER)),),
    floors=(
        *more("emulator with both, over neither", "both_emulator", at_most=5),
        *more("emulator with the journal, over neither", "journal_emulator"),
        *more("emulator with policies, over neither", "policies_emulator"),
        *more("all processes with both, over neither", "both_all", at_most=5),
    ),
    rounds=1,
    surroundings=clouds(KINDS),
)
