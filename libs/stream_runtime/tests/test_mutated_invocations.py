"""Whatever an invocation looks like, every record is accounted for, in little time and memory: mutated ones.

``harness/mutated_invocations.py`` says what must hold of each. They go through every source and every flavor, half of
them without orjson. ``npm run soak -- --mutated --minutes N`` plays more of the same.
"""

from pathlib import Path
from types import ModuleType

import mutated_invocations
import pytest
from mutated_invocations import check
from playing import ENVIRONMENT
from stream_runtime.aws import signed_requests as opensearch
from stream_runtime.payload import codec

NUMBER = 1_000
PARTS = 8


@pytest.fixture(autouse=True)
def simulated_environment(monkeypatch: pytest.MonkeyPatch, environment: None) -> None:
    monkeypatch.setattr(opensearch, "_shared", {})
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    mutated_invocations.quiet()


def use_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and write JSON as where orjson is not installed."""
    plain = ModuleType("codec_without_orjson")
    source = Path(codec.__file__).read_text().replace("import orjson", "raise ImportError")
    exec(compile(source, codec.__file__, "exec"), plain.__dict__)
    for name in ("encode", "decode", "decode_shallow"):
        monkeypatch.setattr(codec, name, vars(plain)[name])


@pytest.mark.parametrize("part", range(PARTS))
def test_every_record_of_a_mutated_invocation_is_accounted_for(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if part % 2:
        use_json(monkeypatch)
        monkeypatch.setenv("METRICS", "true")
    for seed in range(part * NUMBER // PARTS, (part + 1) * NUMBER // PARTS):
        check(seed)
