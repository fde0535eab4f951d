"""Wildcards of policies match what IAM matches, in time that does not grow with their number; those of files, too."""

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_cli.checks.service.globs import file_glob, glob

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


@pytest.mark.parametrize(
    ("pattern", "matched", "not_matched"),
    [
        (
            "**/pydantic/{v1,color.py}",
            ["pydantic/v1", "a/pydantic/color.py"],
            ["pydantic/v2", "pydantic", "xpydantic/v1"],
        ),
        ("**/a/{b/c.py,d/{e,f}}", ["a/b/c.py", "a/d/e", "x/y/a/d/f"], ["a/b", "a/d", "a/e"]),
        ("a/*.py", ["a/b.py"], ["a/b/c.py", "a/b.pyi", "x/a/b.py"]),
        ("a/**", ["a/b", "a/b/c.py"], ["b/a/c"]),
        ("**/*.py[c|o]", ["a.pyc", "a/b.pyo"], ["a.py"]),
        ("a,b/[!x]?.py", ["a,b/yz.py"], ["a,b/xz.py", "a"]),
        ("a/{b", [], ["a/b", "a/{b"]),
    ],
)
def test_a_pattern_of_files_matches_paths(pattern: str, matched: list[str], not_matched: list[str]) -> None:
    matches = file_glob(pattern).fullmatch

    assert [path for path in [*matched, *not_matched] if matches(path)] == matched
