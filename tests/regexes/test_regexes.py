"""No regular expression of the repository takes more than linear time on a text from outside.

Two tools look at each of them: recheck, which knows the automaton, and texts that are made of its own repeats. Those of
tests read what the repository itself has made: for them a square is allowed, and recheck, which takes seconds for some,
gets those whose form does not show already that it is no more.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import itertools
import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from as_javascript import as_javascript, never_goes_back, parsed, pumped, takes_at_most_a_square
from collecting import ROOT, Pattern, all_patterns, files_of

HERE = Path(__file__).parent
SMALL, LARGE = 500, 4_000
# Patterns that are made when the program runs, and why they are linear.
MADE_AT_RUN_TIME = {
    "libs/stream_cli/src/stream_cli/stored/options.py": "the user's own, of --type-regex",
    "libs/stream_cli/src/stream_cli/trace/function_rules.py": "of rules, whose code is the user's own",
    "libs/stream_cli/src/stream_cli/patterns/operators.py": "characters, each in either case; without repeats",
    "libs/stream_cli/src/stream_cli/checks/service/globs.py": "what is between asterisks is in atomic groups",
    "libs/stream_cli/src/stream_cli/local/emulator/dynamodb/requests.py": "names, with alternatives",
}

Scan = Callable[[list[Pattern], list[str]], tuple[list[dict[str, Any]], list[dict[str, Any]]]]


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Nobody else is here."""
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def scanner() -> Path:
    """recheck and acorn below .build, which are installed when their lock file has changed."""
    home = ROOT / ".build" / "regexes"
    stamp, wanted = home / ".stamp", hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    home.mkdir(parents=True, exist_ok=True)
    with alone(home):
        for name in ("package.json", "package-lock.json", "scan.js"):
            shutil.copy(HERE / name, home)
        if not stamp.exists() or stamp.read_text() != wanted:
            install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(install, cwd=home, check=True, capture_output=True, timeout=600)
            stamp.write_text(wanted)
    return home


def scanned_by(scanner: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What scan.js tells."""
    ran = subprocess.run(
        ["node", scanner / "scan.js"], cwd=ROOT, input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


@pytest.fixture(scope="session")
def scan(scanner: Path) -> Scan:
    """Verdicts are kept below .build, for what scans them."""
    made_by = hashlib.sha256(
        b"".join((HERE / each).read_bytes() for each in ("package-lock.json", "scan.js"))
    ).hexdigest()
    kept = scanner / f"verdicts-{made_by[:16]}.json"

    def held() -> dict[str, Any]:
        return json.loads(kept.read_text()) if kept.exists() else {}

    def scanned(patterns: list[Pattern], files: list[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The verdict of each pattern, and the literals of files with theirs."""
        with alone(scanner):
            verdicts = held()
        asked = {json.dumps(as_javascript(each.text or "", each.flags, each.methods)): None for each in patterns}
        new = [json.loads(each) for each in asked if each not in verdicts]
        given = {"patterns": [dict(zip(("source", "flags"), each, strict=True)) for each in new], "files": files}
        told = scanned_by(scanner, given)
        verdicts |= {json.dumps(each): verdict for each, verdict in zip(new, told["patterns"], strict=True)}
        # A scan that took too long, or found what makes a test fail, is repeated: its limits are wall time.
        decided = {each: verdict for each, verdict in verdicts.items() if may_pass(verdict)}
        with alone(scanner):
            kept.write_text(json.dumps({**held(), **decided}))
        sources = (json.dumps(as_javascript(each.text or "", each.flags, each.methods)) for each in patterns)
        return [verdicts[each] for each in sources], told["files"]

    return scanned


@pytest.fixture(scope="session")
def patterns() -> list[Pattern]:
    """Every pattern of the repository."""
    return collected(with_tests=True)


@pytest.fixture(scope="session")
def patterns_of_users() -> list[Pattern]:
    """Those of what users run: reading all tests takes longer than what is asked of these."""
    return collected(with_tests=False)


def collected(*, with_tests: bool) -> list[Pattern]:
    gc.disable()  # it would look again and again at a million nodes that all stay
    try:
        return all_patterns(with_tests=with_tests)
    finally:
        gc.enable()


def known(patterns: list[Pattern]) -> list[Pattern]:
    """Those whose text is known; each once."""
    texts = [each for each in patterns if each.text is not None]
    return list({(each.text, each.flags, each.methods, each.is_of_tests): each for each in texts}.values())


def needs_scan(pattern: Pattern) -> bool:
    """Whether the form of a pattern leaves open what is asked of it."""
    text = pattern.text or ""
    return not (pattern.is_of_tests and takes_at_most_a_square(text, pattern.flags, pattern.methods))


def may_pass(verdict: dict[str, Any]) -> bool:
    """Whether a pattern with this verdict may be there: a square may, in tests."""
    return bool(verdict["status"] == "safe" or verdict["degree"] == 2)


def refused(pattern: Pattern, verdict: dict[str, Any]) -> str | None:
    """Why a pattern is refused, or None."""
    if verdict["status"] == "safe" or (pattern.is_of_tests and verdict["degree"] == 2):
        return None
    if never_goes_back(parsed(pattern.text or "", pattern.flags)):
        return None  # recheck reads it as if it went back; what it does is measured.
    return f"{pattern.path}:{pattern.line} {pattern.text!r} {sorted(pattern.methods)}: {verdict}"


def test_every_pattern_is_known_or_has_a_reason(patterns_of_users: list[Pattern]) -> None:
    unknown = {each.path for each in patterns_of_users if each.text is None}
    assert unknown == set(MADE_AT_RUN_TIME)


@pytest.mark.packaging  # installs from npm
@pytest.mark.thorough
def test_recheck_finds_each_pattern_linear(scan: Scan, patterns: list[Pattern]) -> None:
    asked = [each for each in known(patterns) if needs_scan(each)]
    verdicts, of_files = scan(asked, files_of(".js", ".mjs", ".cjs"))

    assert len(verdicts) > 150
    found = [why for each in zip(asked, verdicts, strict=True) if (why := refused(*each))]
    assert found == []
    assert [each for each in of_files if each["status"] != "safe"] == []


@pytest.mark.packaging
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("source", "path"),
    [
        (r're.compile(r"(\w*(?:passw|pwd)\w*\s*[=:]\s*)x").search(text)', "libs/a/src/a.py"),
        (r're.search(r"^(a+)+$", text)', "libs/a/src/a.py"),
        (r're.search(rf"{A}{A}{A}$", text); A = "[a-z]*"', "libs/a/tests/a.py"),
        (r'Field(pattern=r"^\s*a*\s*a*\s*a*$")', "services/a/a.py"),
    ],
)
def test_a_cubic_or_worse_pattern_is_found(scan: Scan, tmp_path: Path, source: str, path: str) -> None:
    import collecting

    (tmp_path / path).parent.mkdir(parents=True)
    statements = "\n".join(reversed(source.split("; ")))
    (tmp_path / path).write_text(f"import re\n{statements}\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(collecting, "ROOT", tmp_path)
        (pattern,) = all_patterns()
    ((verdict,), _) = scan([pattern], [])

    assert needs_scan(pattern)
    assert refused(pattern, verdict) is not None


@pytest.mark.packaging
@pytest.mark.thorough
def test_a_look_that_has_too_little_time_finds_nothing_vulnerable_that_is_not(scanner: Path) -> None:
    source = r"(?:\bA(?:KIA|SIA)(?:[A-Z0-9]){16,16}\b|(?<![\w-])x(?:[\w-]){8,}y)"
    limits = {"timeout": 60_000, "attackTimeout": 1, "incubationTimeout": 1, "checker": "fuzz"}

    told = scanned_by(scanner, {"patterns": [{"source": source, "flags": ""}], "files": [], "limits": limits})

    assert [each["status"] for each in told["patterns"]] == ["safe"]


SQUARES = [r"x.*y\b", r"(?m)^a[b-d]+?(?:e|f)?$", r"(?:a|bc)?(?=d*e)", r"(?!a)[^b]*b"]


@pytest.mark.packaging
@pytest.mark.thorough
def test_recheck_finds_a_square_at_most_where_the_form_shows_it(scan: Scan) -> None:
    patterns = [Pattern("a/tests/a.py", 1, each, 0, frozenset({"search"})) for each in SQUARES]
    patterns.append(Pattern("a/tests/a.py", 1, r"a*b{3}[ac]+", 0, frozenset({"match", "fullmatch"})))

    verdicts, _ = scan(patterns, [])

    assert [each.text for each in patterns if needs_scan(each)] == []
    assert [why for each in zip(patterns, verdicts, strict=True) if (why := refused(*each))] == []
    assert [each.text for each in patterns if not needs_scan(replace(each, path="libs/a/src/a.py"))] == []


@pytest.mark.parametrize(
    "text",
    [
        *(r"a*a*", r"(?:a*)*", r"(a+)+$", r"(?:a|a)*b", r"(?:a?){20}", r"(?:ab)*c", r"(a*)\1", r"(?:a*b*)?", r"a*|b*"),
        *(r"a{0,99}a{0,99}", r"(?=a*b*)c", r"(?>a*)a*", r"(a)?(?(1)b|c)"),
    ],
)
def test_a_form_that_may_take_longer_is_scanned(text: str) -> None:
    assert needs_scan(Pattern("a/tests/a.py", 1, text, 0, frozenset({"search"})))


@pytest.mark.packaging
@pytest.mark.thorough
def test_a_literal_of_javascript_is_found(scan: Scan, tmp_path: Path) -> None:
    file = tmp_path / "a.js"
    file.write_text("const bad = /(a*)*b/; const made = new RegExp('^(b|b)*$', 'u'); const good = /^a$/;")

    _, found = scan([], [str(file)])

    assert [each["status"] for each in found] == ["vulnerable", "vulnerable", "safe"]


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends a match that takes more time of the processor: `re` looks for signals."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def seconds(match: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    with at_most(0.5):
        match(text)
    return time.process_time() - began


def slow_text(pattern: Pattern) -> str | None:
    """The beginning of a text of which eight times the length takes far more than eight times as long."""
    compiled = re.compile(pattern.text or "", pattern.flags)
    methods = [getattr(compiled, name) for name in sorted(pattern.methods & {"match", "fullmatch"})]
    if pattern.methods - {"match", "fullmatch"}:
        methods.append(compiled.search)
    for before, unit in pumped(pattern.text or "", pattern.flags):
        for match, behind in itertools.product(methods, ("", "\x00!")):
            small, large = (before + unit * (size // len(unit)) + behind for size in (SMALL, LARGE))
            try:
                if seconds(match, large) > 0.01 and seconds(match, large) > 20 * max(seconds(match, small), 0.0002):
                    return large[:60]
            except TimeoutError:
                return large[:60]
    return None


@pytest.mark.thorough
def test_texts_of_their_own_repeats_take_linear_time(patterns: list[Pattern]) -> None:
    of_users = [each for each in known(patterns) if not each.is_of_tests]

    slow = {f"{each.path}:{each.line} {each.text!r}": slow_text(each) for each in of_users}

    assert {name: text for name, text in slow.items() if text is not None} == {}


@pytest.mark.thorough  # of the texts, not of patterns
@pytest.mark.parametrize("text", [r"\s+$", r"(\w*passw\w*\s*[=:]\s*)x", r"(a+)+$", r"[a-z]+[0-9]*[a-z]+!"])
def test_such_texts_find_a_pattern_that_is_not(text: str) -> None:
    assert slow_text(Pattern("a.py", 1, text, 0, frozenset({"search"}))) is not None
