"""Wildcards of policies match what IAM matches, in time that does not grow with their number."""

import fnmatch
import time

from hypothesis import given
from hypothesis import strategies as st
from stream_cli.checks.service.globs import glob

TEXTS = st.text("ab:*", max_size=12)


@given(pattern=st.text("ab:*?", max_size=8), text=TEXTS)
def test_a_glob_matches_as_a_glob(pattern: str, text: str) -> None:
    assert bool(glob(pattern).fullmatch(text)) == fnmatch.fnmatchcase(text, pattern)


def test_characters_that_are_named_stand_for_themselves() -> None:
    assert glob("a*b?", {1, 3}).fullmatch("a*b?")
    assert not glob("a*b?", {1, 3}).fullmatch("axb?")


def test_many_asterisks_are_as_fast_as_one() -> None:
    began = time.process_time()
    assert not glob("*a" * 50 + "b").fullmatch("a" * 2000)
    assert time.process_time() - began < 1
