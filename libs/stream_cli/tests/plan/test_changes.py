"""Changes by the templates' own words, and what is said of those that cannot be made."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from small_systems import LISTENER, STREAM, TABLE, TRIGGER, chain
from stream_cli.errors import CommandError
from stream_cli.plan.changes import changed, parsed, spread, tables_with_shared_keys
from stream_cli.plan.model import Route


@pytest.fixture
def system():
    made, _ = chain()
    return replace(made, routes={"POST /a": Route("POST /a", LISTENER, 10, 20)})


def _with(system, text):
    return changed(system, [parsed(text)])


def test_a_mapping_is_changed_by_its_name_or_its_function(system):
    assert _with(system, "listener.BatchSize=500").mappings["listener"].settings.batch_size == 500
    assert (
        _with(system, f"{LISTENER}.ParallelizationFactor=4").mappings["listener"].settings.parallelization_factor == 4
    )
    assert _with(system, "listener.EnhancedFanOut=true").mappings["listener"].fan_out


def test_functions_streams_tables_and_apis_are_changed(system):
    assert _with(system, f"{TRIGGER}.MemorySize=1024").functions[TRIGGER].memory_mb == 1024
    assert _with(system, f"{TRIGGER}.ReservedConcurrentExecutions=5").functions[TRIGGER].reserved_concurrency == 5
    assert _with(system, f"{STREAM}.ShardCount=8").streams[STREAM].shards == 8
    assert _with(system, f"{STREAM}.StreamMode=ON_DEMAND").streams[STREAM].mode == "ON_DEMAND"
    table = _with(system, f"{TABLE}.WriteCapacityUnits=100").tables[TABLE]
    assert (table.mode, table.write_capacity) == ("PROVISIONED", 100)
    assert _with(system, "service.ThrottlingRateLimit=500").routes["POST /a"].rate == 500


def test_a_key_that_all_items_share_is_spread_and_others_stay():
    _, times = chain()
    listener = times.functions[LISTENER]
    work = {
        kind: replace(each, changes=tuple(replace(it, key="one") for it in each.changes))
        for kind, each in listener.work.items()
    }
    shared = replace(times, functions={**times.functions, LISTENER: replace(listener, work=work)})
    assert tables_with_shared_keys(shared) == {TABLE}
    assert tables_with_shared_keys(spread(shared, [TABLE])) == set()
    assert spread(times, []) == times
    says = f"--spread {TABLE}: no items of it share a key.\nThey do in no table."
    with pytest.raises(CommandError, match=re.escape(says)):
        spread(times, [TABLE])


def test_the_system_itself_stays(system):
    _with(system, "listener.BatchSize=500")
    assert system.mappings["listener"].settings.batch_size == 100


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("BatchSize=5", "BatchSize=5 is not PART.PROPERTY=VALUE, such as control-service/listener.BatchSize=500"),
        ("nobody.BatchSize=5", "nobody.BatchSize=5: there is no nobody.\nThere are hub/Stream1, "),
        ("listener.Batch=5", "listener.Batch=5: listener has no Batch here.\nIt has BatchSize, "),
        ("listener.BatchSize=a", "listener.BatchSize=a: a is not a whole number."),
        ("listener.BatchSize=0", "listener.BatchSize=0: BatchSize is 0; expected 1 to 10000."),
        ("listener.EnhancedFanOut=yes", "the values are true and false"),
        (f"{TRIGGER}.MemorySize=64", "Lambda takes 128 to 10240 MB."),
        (f"{STREAM}.ShardCount=-1", "give a number above 0"),
        (f"{STREAM}.StreamMode=FAST", "the values are PROVISIONED, ON_DEMAND"),
    ],
)
def test_it_says_what_is_wrong_and_what_there_is(system, text, says):
    with pytest.raises(CommandError, match=re.escape(says)):
        _with(system, text)
