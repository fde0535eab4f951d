"""What a timeline waits for, and why: from what was observed, and from what is deployed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from stream_cli.amounts import amount
from stream_cli.faults.ledger import Resubmission
from stream_cli.faults.redaction import readable
from stream_cli.faults.secret_text import redacted_text
from stream_cli.journal.lines import AttemptLine, ChangeLine, EventLine
from stream_cli.journal.questions import Questions, RecordHistory
from stream_cli.stored.output import utc
from stream_cli.terminal.output import shell_word
from stream_cli.trace.correlations import Correlation, Unevaluated, correlations_in, unevaluated_in
from stream_cli.trace.deployed import Deployed, DeployedMapping
from stream_cli.trace.gathered import Gathered, Place, RecordLine, id_of, image_of, is_done
from stream_cli.trace.mismatches import mismatches
from stream_cli.trace.model import Reason, Waiting
from stream_cli.trace.other_ids import ADVICE, other_ids
from stream_cli.trace.shapes import name_of, problem_of, record_as_filters_see, shard_of

_ORDER: tuple[Reason, ...] = (
    "refused", "fault", "given up", "backoff", "failed", "mapping disabled", "behind", "no rule", "undelivered",
    "no mapping",
    "filter", "no pipeline", "event types", "expression", "not shown",
    "other id",
)  # fmt: skip
_MOST_RULES = 5


def waits_of(found: Gathered, deployed: Deployed, questions: Questions, now: int, options: str) -> list[Waiting]:
    """What is waited for, what someone has to mend first.

    Args:
        now: ms since 1970.
        options: of commands for this stage, such as ``--stage dev``.
    """
    looking = _Looking(found, deployed, questions, now, options)
    waits = list(dict.fromkeys(looking.all()))
    return sorted(waits, key=lambda each: _ORDER.index(each.reason))


class _Looking:
    def __init__(self, found: Gathered, deployed: Deployed, questions: Questions, now: int, options: str) -> None:
        self._found = found
        self._deployed = deployed
        self._questions = questions
        self._now = now
        self._options = options

    def all(self) -> Iterator[Waiting]:
        yield from self._refused()
        for event in self._found.events:
            yield from self._of_event(event)
        for change in self._found.changes:
            yield from self._of_row(change)
        yield from self._failed_calls()
        for history in self._found.histories.values():
            for other in other_ids(history.attempts, self._found.events):
                yield Waiting("other id", redacted_text(other.text), (ADVICE,))
        for correlation in correlations_in(self._found, self._deployed):
            yield from self._of_correlation(correlation)
        for unevaluated in unevaluated_in(self._found, self._deployed):
            yield self._of_unevaluated(unevaluated)

    # --- what failed ---

    def _refused(self) -> Iterator[Waiting]:
        for line in self._found.refused:
            what = f"{line['function']} may not {line['action']} on {line['resource']}"
            why = redacted_text(line["message"]).splitlines()
            if line["missing"] and "- Effect: Allow" not in why:
                why.append(f"its role lacks {line['missing']}")
            yield Waiting("refused", what, tuple(why))

    def _fault(self, event: EventLine) -> Iterator[Waiting]:
        id, detail = id_of(event), event["detail"]
        fault = readable(detail) if isinstance(detail, Mapping) else {}
        error = fault.get("err")
        text = f"{error.get('name')}: {error.get('message')}" if isinstance(error, Mapping) else str(error)
        first, *rest = text.split("\n")
        what = f"the record became a fault in pipeline {_tag(detail, 'pipeline')} of {_tag(detail, 'functionname')}"
        why = [f"{first} ..." if rest else first]
        again = ""
        entry = self._resubmissions.get(id)
        if entry is not None and entry.outcome == "done" and entry.at_ms >= event["at"]:
            return
        if entry is not None:
            again = " --again" if entry.outcome == "begun" else " --failed-again"
            end = {"begun": "was interrupted", "failed": "failed", "done": "ended in the same fault"}[entry.outcome]
            why.append(f"its resubmission at {utc(entry.at_ms)} {end}")
        if not event["rules"] and not self._options:  # at a stage, faults are those that are kept
            nowhere = f"no rule of {event['bus']} takes fault, so nothing keeps it, and it cannot be resubmitted"
            why += [nowhere, "mend it, and publish the event again; the service event-fault-monitor keeps later faults"]
            yield Waiting("fault", what, tuple(why), "streamctl deploy event-fault-monitor")
            return
        command = f"streamctl faults resubmit {shell_word(id)} --execute{again}{self._options}"
        yield Waiting("fault", what, (*why, "mend it, then resubmit the fault"), command)

    @cached_property
    def _resubmissions(self) -> Mapping[str, Resubmission]:
        return self._deployed.resubmissions([id_of(event) for event in self._found.events if event["type"] == "fault"])

    def _failed_calls(self) -> Iterator[Waiting]:
        of_attempts = {each.get("request") for one in self._found.histories.values() for each in one.attempts}
        for request, call in self._found.calls.items():
            if call["outcome"] != "ok" and request not in of_attempts:
                what = f"{call['function']} failed at {utc(call['at'])}"
                yield Waiting("failed", what, (redacted_text(call.get("error") or "without a message"),))

    # --- events and rows on their way ---

    def _of_event(self, event: EventLine) -> Iterator[Waiting]:
        if event["type"] == "fault":
            if not any(each["at"] > event["at"] and id_of(each) == id_of(event) for each in self._found.events):
                yield from self._fault(event)
            return
        if not event["rules"]:
            rules = [
                f"rule {rule.name}: {why[0]}"
                for rule in self._deployed.bus_rules(event["bus"])
                if (why := mismatches(rule.pattern, self._deployed.envelope_of(event)))
            ]
            none = () if rules else (f"{event['bus']} has no rules",)
            what = f"no rule of {event['bus']} takes {event['type']} {id_of(event)}"
            yield Waiting("no rule", what, tuple(map(redacted_text, rules[:_MOST_RULES])) or none)
        yield from self._undelivered(event)
        for place, record in self._found.records_of(event):
            readers = self._deployed.readers(record["stream"])
            if not readers:
                yield Waiting(
                    "no mapping", f"no function reads {name_of(record['stream'])}, which holds {id_of(event)}"
                )
            yield from self._on_the_way(place, record, readers, id_of(event))
            yield from self._let_through(place, record, readers, event)

    def _undelivered(self, event: EventLine) -> Iterator[Waiting]:
        """Targets of rules that have not taken an event, as far as it did not get there later."""
        streams = {record["stream"] for _, record in self._found.records_of(event)}
        latest = {(each["rule"], each["target"]): each for each in self._found.undelivered if each["id"] == event["id"]}
        for (rule, target), line in latest.items():
            if target not in streams:
                what = f"rule {rule} of {line['bus']} has not delivered {id_of(event)} to {name_of(target)}"
                end = "it was given up" if line["outcome"] == "given_up" else "it is tried again"
                there = f"; {name_of(line['destination'])} has it" if "destination" in line else ""
                yield Waiting("undelivered", what, (redacted_text(line["problem"]), f"{end}{there}"))

    def _of_row(self, line: ChangeLine) -> Iterator[Waiting]:
        if "stream" in line and "number" in line:
            place = line["stream"], line["number"]
            name = (
                f"the change of row {' | '.join(str(text) for each in line['keys'].values() for text in each.values())}"
            )
            readers = self._deployed.readers(line["stream"])
            yield from self._on_the_way(place, line, readers, name)
            for mapping in readers:
                if _is_filtered(self._found.histories[place], mapping) and self._correlates(mapping.function, line):
                    what = f"the filter of {mapping.function} does not let {name} through, though its rules handle it"
                    yield Waiting("filter", what, (self._why_not(mapping, line, None),))

    def _on_the_way(
        self, place: Place, record: RecordLine, readers: list[DeployedMapping], name: str
    ) -> Iterator[Waiting]:
        history = self._found.histories[place]
        for mapping in readers:
            given_up = next((each for each in history.given_up if each["mapping"] == mapping.id), None)
            attempts = [each for each in history.attempts if each["mapping"] == mapping.id]
            if any(is_done(each, place[1]) for each in attempts) or _is_filtered(history, mapping):
                continue
            if given_up is not None:
                to = given_up.get("destination")
                problem = problem_of(attempts[-1]) if attempts else "too old to be tried"
                there = f"{name_of(to)} has its place in the stream" if to else "the mapping has no destination"
                what = f"{mapping.function} has given up {name} after {given_up['attempts']} attempts"
                yield Waiting("given up", what, (f"{given_up['condition']}: {problem}", there))
            elif not mapping.enabled:
                yield Waiting(
                    "mapping disabled", f"the mapping of {mapping.function} on {name_of(place[0])} is disabled"
                )
            elif attempts:
                yield self._failing(mapping, attempts[-1], name)
            else:
                yield self._behind(mapping, record, name)

    def _failing(self, mapping: DeployedMapping, last: AttemptLine, name: str) -> Waiting:
        tries, problem = f"attempt {last['attempt']}", problem_of(last)
        if last.get("next", 0) > self._now:
            what = f"{mapping.function} tries {name} again in {last['next'] - self._now} ms, at {utc(last['next'])}"
            return Waiting("backoff", what, (f"{tries} failed: {problem}",))
        done = f"; the first {last['done']} of its batch are done" if last["done"] else ""
        what = f"{mapping.function} has not done {name}{done}"
        return Waiting("failed", what, (f"{tries} at {utc(last['at'])} failed: {problem}",))

    def _behind(self, mapping: DeployedMapping, record: RecordLine, name: str) -> Waiting:
        shard = record["shard"] if record["kind"] == "stream" else None
        latest = self._questions.attempts(mapping=mapping.id, shard=shard, limit=1).lines
        why = []
        if latest and latest[0]["outcome"] != "ok":
            last = latest[0]
            again = f", again at {utc(last['next'])}" if last.get("next", 0) > self._now else ""
            why.append(f"the records before it fail: {problem_of(last)} (attempt {last['attempt']}{again})")
        lag = self._deployed.lag(mapping.id, shard)
        where = f"{shard_of(shard)} of {name_of(record['stream'])}" if shard else name_of(record["stream"])
        if shard == "":  # of a stage on AWS
            known = f"the last record that it had came {lag.age_ms} ms ago" if lag is not None else where
            reason: Reason = "behind" if lag is not None else "not shown"
            return Waiting(reason, f"nothing shows that {mapping.function} has had {name}", (known, *why))
        if lag is not None:
            records = "" if lag.behind is None else f"{amount(lag.behind, 'record')}, "
            where += f": {records}{lag.age_ms} ms behind"
        return Waiting("behind", f"{mapping.function} has not come to {name}", (where, *why))

    def _let_through(
        self, place: Place, record: RecordLine, readers: list[DeployedMapping], event: EventLine
    ) -> Iterator[Waiting]:
        """Why no function handles an event, if that is so."""
        history = self._found.histories[place]
        filtered = [each for each in readers if _is_filtered(history, each)]
        wanted = [each for each in filtered if self._wants(each.function, event["type"])]
        if filtered and len(filtered) == len(readers):
            what = (
                f"the filter of no mapping on {name_of(record['stream'])} lets {event['type']} {id_of(event)} through"
            )
            yield Waiting("filter", what, tuple(self._why_not(each, record, event) for each in filtered))
        elif wanted:
            for each in wanted:
                what = f"the filter of {each.function} does not let {id_of(event)} through, though its rules handle it"
                yield Waiting("filter", what, (self._why_not(each, record, event),))
        else:
            taking = [each for each in readers if each not in filtered]
            if taking and all(self._wants(each.function, event["type"]) is False for each in taking):
                handled = [self._types(each.function) for each in taking]
                why = (f"{each.function} handles {', '.join(own)}" for each, own in zip(taking, handled, strict=True))
                near = difflib.get_close_matches(event["type"], [name for own in handled for name in own], 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                what = f"no rule of the functions that get it handles {event['type']}{hint}"
                yield Waiting("no pipeline", what, tuple(why))

    def _wants(self, function: str, event_type: str) -> bool | None:
        rules = self._deployed.rules(function)
        if rules is None:
            return None
        answers = {rule.wants(event_type) for rule in rules}
        return True if True in answers else None if None in answers else False

    def _types(self, function: str) -> list[str]:
        return list(dict.fromkeys(name for rule in self._deployed.rules(function) or () for name in rule.types))

    def _correlates(self, function: str, line: ChangeLine) -> bool:
        """Whether a rule of a function correlates or evaluates a row that was inserted."""
        row = image_of(line) if line["change"] == "INSERT" else {}
        stored = row.get("event")
        type = stored.get("type") if isinstance(stored, Mapping) else None
        return type is not None and any(
            rule.flavor in ("correlate", "evaluate") and rule.reads_row(row) and rule.wants(str(type))
            for rule in self._deployed.rules(function) or ()
        )

    def _why_not(self, mapping: DeployedMapping, record: RecordLine, event: EventLine | None) -> str:
        seen = record_as_filters_see(record, event)
        found = [mismatches(each, seen) for each in mapping.patterns] if seen is not None else []
        parts = dict.fromkeys(redacted_text(each[0]) for each in found if each)
        return f"{mapping.function}: {'; '.join(parts) or 'its pattern does not match'}"

    # --- correlations ---

    def _of_correlation(self, correlation: Correlation) -> Iterator[Waiting]:
        key, rule = correlation.key, correlation.rule
        held = ", ".join(f"{type} ({', '.join(ids)})" for type, ids in correlation.held.items())
        until = correlation.expiry
        expires = (_expires(*until, self._now),) if until else ()
        if correlation.expired is not None:
            expires = (f"it has expired: {correlation.expired} was published",)
        if correlation.missing:
            wanted = " and ".join(correlation.missing)
            what = f"{rule.id} of {correlation.function} still needs {wanted} for {correlation.base_key}"
            number = len(correlation.held) + len(correlation.missing)
            why = [f"correlation {key} holds {len(correlation.held)} of {number}: {held}"]
            why += [line for type in correlation.missing for line in self._seen(correlation, type)]
            yield Waiting("event types", what, (*why, *expires))
        elif not self._is_a_fault(correlation):
            number = sum(map(len, correlation.held.values()))
            events = amount(number, "event")
            what = f"the expression of {rule.id} does not hold for the {events} of correlation {key}"
            yield Waiting("expression", what, (f"{rule.expression} of {correlation.function}; held: {held}", *expires))

    def _of_unevaluated(self, correlation: Unevaluated) -> Waiting:
        near = difflib.get_close_matches(correlation.suffix, [rule.suffix for _, rule in correlation.others], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        what = f"no rule evaluates correlation {correlation.key}, whose suffix is {correlation.suffix}{hint}"
        why = (
            f"{rule.id} of {name} evaluates those with the suffix {rule.suffix}" for name, rule in correlation.others
        )
        return Waiting("no pipeline", what, tuple(why))

    def _is_a_fault(self, correlation: Correlation) -> bool:
        """Whether the evaluation of one of its events became a fault, which is told already."""
        held = [id for each in correlation.held.values() for id in each]
        return any(
            event["type"] == "fault"
            and _tag(event["detail"], "pipeline") == correlation.rule.id
            and id_of(event).startswith(tuple(f"{id}." for id in held))
            for event in self._found.events
        )

    def _seen(self, correlation: Correlation, type: str) -> Iterator[str]:
        """What was seen of a type that a correlation lacks."""
        came = self._questions.events(key=correlation.base_key, type=type, limit=1).lines
        if came:
            yield f"{type} {id_of(came[0])} came at {utc(came[0]['at'])}, but is not in the correlation"
            return
        yield f"no {type} of {correlation.base_key} was published"
        others = self._questions.events(key=correlation.base_key, limit=20).lines
        for near in difflib.get_close_matches(type, {each["type"] for each in others}, 1):
            yield f"{near} came; is it misspelt?"


def _expires(at_s: int, event_type: str, now: int) -> str:
    if at_s * 1000 > now:
        return f"its time to live ends at {utc(at_s * 1000)}; then {event_type} is published"
    return f"its time to live ended at {utc(at_s * 1000)}; {event_type} is published when DynamoDB removes the row"


def _is_filtered(history: RecordHistory, mapping: DeployedMapping) -> bool:
    return any(each["mapping"] == mapping.id for each in history.filtered)


def _tag(event: Any, name: str) -> str:
    tags = event.get("tags") if isinstance(event, Mapping) else None
    return str(tags.get(name, "unknown")) if isinstance(tags, Mapping) else "unknown"
