"""Puts what was observed into the order of cause and effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stream_cli.faults.cut import Cut
from stream_cli.faults.redaction import readable, redacted
from stream_cli.faults.secret_text import redacted_text
from stream_cli.journal.lines import AttemptLine, CallLine, ChangeLine, EventLine, MessageLine, ObjectLine, StreamLine
from stream_cli.trace.deployed import Deployed
from stream_cli.trace.gathered import (
    Gathered,
    RecordLine,
    id_of,
    image_of,
    is_done,
    key_values,
    keys_of,
    place_of,
)
from stream_cli.trace.mismatches import mismatches
from stream_cli.trace.model import TraceStep
from stream_cli.trace.shapes import name_of, pipeline_of, problem_of, record_as_filters_see, shard_of

_MOST_SHOWN = 5
_LONGEST = 120


def steps_of(found: Gathered, deployed: Deployed) -> list[TraceStep]:
    """The steps that nothing else in the timeline has led to, each with what it led to."""
    building = _Building(found, deployed)
    roots = [building.event(event) for event in found.events if building.is_root(event)]
    roots += [building.event(event) for event in found.events if not building.is_shown(event)]
    roots += building.others()
    return sorted(roots, key=lambda step: step.at)


class _Building:
    def __init__(self, found: Gathered, deployed: Deployed) -> None:
        self._found = found
        self._deployed = deployed
        self._shown: set[str] = set()
        self._ids = {id_of(event) for event in found.events}

    # --- which lines belong to which step ---

    def is_root(self, event: EventLine) -> bool:
        """Whether no other event of the timeline has led to it."""
        return not self._causes(event)

    def is_shown(self, event: EventLine) -> bool:
        return f"event {event['id']}" in self._shown

    def _causes(self, event: EventLine) -> set[str]:
        id, detail = id_of(event), event["detail"]
        triggers = detail.get("triggers") if isinstance(detail, Mapping) else None
        named = {each.get("id") for each in triggers or () if isinstance(each, Mapping)}
        others = self._ids - {id}
        return {each for each in others if each in named or id.startswith(f"{each}.")}

    def _once(self, name: str) -> bool:
        """Whether a line was not shown yet; each is shown once."""
        fresh = name not in self._shown
        self._shown.add(name)
        return fresh

    # --- steps ---

    def event(self, event: EventLine) -> TraceStep:
        """An event, and all that it led to."""
        self._shown.add(f"event {event['id']}")
        id, detail = id_of(event), event["detail"]
        is_fault = event["type"] == "fault" and isinstance(detail, Mapping)
        shown = readable(detail, whole=False) if is_fault else redacted(Cut()(detail))
        facts = {"id": id, "bus": event["bus"], "bus_id": event["id"], "source": event["source"], "detail": shown}
        facts |= {"pipeline": pipeline_of(detail), "by": event.get("by")}
        if is_fault:
            text = f"fault {id}: {_error_text(shown)}"
            step = TraceStep(event["at"], "fault", text, failed=True, facts=facts)
        else:
            by = f" by pipeline {facts['pipeline']}" if facts["pipeline"] else ""
            step = TraceStep(event["at"], "event", f"{event['type']} {id} on {event['bus']}{by}", facts=facts)
        step.steps = self._of_event(event)
        if is_fault:  # what it says is its error: its way through the fault monitor is nobody's question
            step.steps = [each for each in step.steps if each.failed or each.kind in ("event", "fault")]
        return step

    def _of_event(self, event: EventLine) -> list[TraceStep]:
        steps = []
        rules = [rule["rule"] for rule in event["rules"]]
        text = f"taken by {', '.join(rules)}" if rules else f"no rule of {event['bus']} takes it"
        steps.append(TraceStep(event["at"], "rule", text, failed=not rules, facts={"rules": event["rules"]}))
        for place, record in self._found.records_of(event):
            if self._once(f"record {place}"):
                steps.append(self._record(record, event))
        for failed in self._found.undelivered:
            if failed["id"] == event["id"]:
                text = f"rule {failed['rule']} could not deliver it to {name_of(failed['target'])}"
                text += f", attempt {failed['attempts']}: {redacted_text(failed['problem'])}"
                facts = {"rule": failed["rule"], "target": failed["target"], "outcome": failed["outcome"]}
                steps.append(TraceStep(failed["at"], "undelivered", text, failed=True, facts=facts))
        id = id_of(event)
        for message in self._found.messages:
            if message.get("event") == id and self._once(f"message {message['id']}"):
                steps.append(self._message(message))
        for call in self._found.calls.values():
            if {id, event["id"]} & set(call.get("records", ())) and self._once(f"call {call['request']}"):
                steps.append(self._call(call, event))
        for written in self._found.objects:
            if id in written.get("events", ()) and self._once(f"object {written['key']} {id}"):
                steps.append(_object(written))
        for change in self._found.changes:
            if _is_as_it_is(change) and id in _stored_ids(change) and self._once(_name_of_change(change)):
                steps.append(self._change(change))
        for other in self._found.events:
            if not self.is_shown(other) and id in self._causes(other) and "by" not in other:
                steps.append(self.event(other))
        return _in_time(steps)

    def _record(self, line: StreamLine, event: EventLine) -> TraceStep:
        text = f"in the stream {name_of(line['stream'])}"
        text += f", {shard_of(line['shard'])}" if line["shard"] else ""
        facts = {"stream": line["stream"], "number": line["number"], "shard": line["shard"]}
        return TraceStep(line["at"], "record", text, facts=facts, steps=self._deliveries(line, event))

    def _deliveries(self, line: RecordLine, event: EventLine | None) -> list[TraceStep]:
        place = place_of(line)
        history = self._found.histories.get(place) if place is not None else None
        if place is None or history is None:
            return []
        steps = [self._attempt(each, place[1], line, event) for each in history.attempts]
        requests = {each.get("request") for each in history.attempts}
        for call in self._found.calls.values():
            is_of_it = call.get("source") == place[0] and place[1] in call.get("records", ())
            if is_of_it and call["request"] not in requests and self._once(f"call {call['request']} {place}"):
                steps.append(self._resubmitted(call, line, event))
        for dropped in history.filtered:
            why = self._why_filtered(dropped["mapping"], line, event)
            text = f"the filter of {dropped['function']} does not let it through"
            text += f": {'; '.join(why)}" if why else ""
            facts: dict[str, Any] = {"mapping": dropped["mapping"], "why": why}
            steps.append(TraceStep(dropped["at"], "filtered", text, facts=facts))
        for given in history.given_up:
            there = f", now in {name_of(given['destination'])}" if given.get("destination") else ", with no destination"
            text = f"{given['function']} gives it up after {given['attempts']} attempts, {given['condition']}{there}"
            facts = {"mapping": given["mapping"], "destination": given.get("destination")}
            steps.append(TraceStep(given["at"], "given up", text, failed=True, facts=facts))
        return _in_time(steps)

    def _why_filtered(self, mapping: str, line: RecordLine, event: EventLine | None) -> list[str]:
        seen = record_as_filters_see(line, event)
        patterns = next((each.patterns for each in self._deployed.mappings if each.id == mapping), ())
        found = [mismatches(pattern, seen) for pattern in patterns] if seen is not None else []
        return list(dict.fromkeys(redacted_text(each[0]) for each in found if each))

    def _attempt(self, line: AttemptLine, number: str, record: RecordLine, event: EventLine | None) -> TraceStep:
        done = is_done(line, number)
        what = f"batch of {len(line['numbers'])}" if len(line["numbers"]) > 1 else "alone"
        again = f", attempt {line['attempt']}" if line["attempt"] > 1 else ""
        text = f"{line['function']}: {'done' if done else line['outcome']}"
        if line["at"] > line["start"]:  # a stage on AWS knows no more
            text += f" in {line['at'] - line['start']} ms ({what}{again})"
        if not done:
            text += f": {problem_of(line)}"
            if "next" in line:
                wait = line["next"] - line["at"]
                text += f"; again {wait} ms later" if wait > 0 else "; again at once"
        facts: dict[str, Any] = {
            "function": line["function"], "mapping": line["mapping"], "attempt": line["attempt"],
            "outcome": line["outcome"], "done": done, "request": line.get("request"), "next": line.get("next"),
        }  # fmt: skip
        step = TraceStep(line["start"], "attempt", text, failed=not done, facts=facts)
        call = self._found.calls.get(line.get("request", ""))
        if call is not None:
            facts |= {"init_ms": call.get("init"), "duration_ms": call["end"] - call["start"]}
            if call["outcome"] != "ok" and call.get("error"):
                step.text += f" ({redacted_text(call['error'])})"
        if rules := self._pipelines(line["function"], event, record):
            facts["pipelines"] = rules
            step.text += f" · {', '.join(rules)}"
        if "request" in line:
            step.steps = self._led_to(line["request"], event, record, rules)
        return step

    def _resubmitted(self, call: CallLine, record: RecordLine, event: EventLine | None) -> TraceStep:
        """A record that was given to its function again, by no mapping: its fault was resubmitted."""
        steps = self._led_to(call["request"], event, record, self._pipelines(call["function"], event, record))
        failed = call["outcome"] != "ok" or bool(call.get("reported")) or any(each.kind == "fault" for each in steps)
        text = f"{call['function']}: resubmitted, {'failed again' if failed else 'done'}"
        text += f" in {call['end'] - call['start']} ms"
        if call.get("error"):
            text += f": {redacted_text(call['error'])}"
        facts = {"function": call["function"], "request": call["request"]}
        return TraceStep(call["start"], "call", text, failed=failed, facts=facts, steps=steps)

    def _pipelines(self, function: str, event: EventLine | None, record: RecordLine) -> list[str]:
        """The rules of a function that may handle a record, by the type of the event in it."""
        row = image_of(record) if record["kind"] == "change" and record["change"] == "INSERT" else {}
        stored = row.get("event")
        type = event["type"] if event is not None else stored.get("type") if isinstance(stored, Mapping) else None
        rules = self._deployed.rules(function) if type is not None else None
        return [rule.id for rule in rules or () if rule.wants(str(type)) and rule.reads_row(row)]

    def _led_to(
        self, request: str, event: EventLine | None, record: RecordLine, pipelines: list[str]
    ) -> list[TraceStep]:
        """What an invocation did for a record: rows, events, messages, refused requests."""
        names = _names(event, record) | (self._causes(event) if event is not None else set())
        steps = []
        for change in self._found.changes:
            is_own = change.get("by") == request and self._is_about(change) and self._is_of(_named_by(change), names)
            if is_own and self._once(_name_of_change(change)):
                steps.append(self._change(change))
        for other in self._found.events:
            pipeline = pipeline_of(other["detail"])
            is_others = bool(pipeline and pipelines and pipeline not in pipelines)
            is_own = other.get("by") == request and not is_others and self._is_of(self._causes(other), names)
            if is_own and not self.is_shown(other):
                steps.append(self.event(other))
        for message in self._found.messages:
            is_own = message.get("by") == request and self._is_of({message.get("event", "")}, names)
            if is_own and self._once(f"message {message['id']}"):
                steps.append(self._message(message))
        for refused in self._found.refused:
            if refused.get("by") == request and self._once(f"refused {request} {refused['action']}"):
                text = f"{refused['function']} may not {refused['action']} on {refused['resource']}"
                facts = {"message": redacted_text(refused["message"]), "missing": refused["missing"]}
                steps.append(TraceStep(refused["at"], "refused", text, failed=True, facts=facts))
        return _in_time(steps)

    def _is_about(self, change: ChangeLine) -> bool:
        """Whether a row holds no event, or one of the timeline."""
        stored = _stored_ids(change)
        return not stored or bool(stored & self._ids)

    def _is_of(self, named: set[str], names: set[str]) -> bool:
        """Whether what a batch did belongs to a record: it names its event, or else one of its keys, or nothing."""
        events = named & self._ids
        return bool(events & names) if events else not named or bool(named & names)

    def _change(self, line: ChangeLine) -> TraceStep:
        old, new = image_of(line, "old"), image_of(line)
        verb = {"INSERT": "inserted", "MODIFY": "changed", "REMOVE": "removed"}[line["change"]]
        verb = "expired" if line.get("expired") else "is there" if _is_as_it_is(line) else verb
        text = f"row {' | '.join(key_values(line))} of {line['table']} {verb}"
        old, new = (redacted(Cut()(each)) for each in (old, new))
        if line["change"] == "MODIFY":
            text += _differences(old, new)
        facts = {"table": line["table"], "change": line["change"], "old": old, "new": new}
        step = TraceStep(line["at"], "change", text, facts=facts)
        step.steps = self._deliveries(line, None) if place_of(line) else []
        return step

    def _message(self, line: MessageLine) -> TraceStep:
        step = TraceStep(
            line["at"], "message", f"message {line['id']} in {name_of(line['to'])}", facts={"to": line["to"]}
        )
        for call in self._found.calls.values():
            if line["id"] in call.get("records", ()) and self._once(f"call {call['request']}"):
                step.steps.append(self._call(call, None))
        return step

    def _call(self, line: CallLine, event: EventLine | None) -> TraceStep:
        text = f"{line['function']}: {line['outcome']} in {line['end'] - line['start']} ms"
        failed = line["outcome"] != "ok" or bool(line.get("reported"))
        if line.get("error"):
            text += f": {redacted_text(line['error'])}"
        facts = {"function": line["function"], "request": line["request"]}
        step = TraceStep(line["start"], "call", text, failed=failed, facts=facts)
        step.steps = [
            self.event(other)
            for other in self._found.events
            if other.get("by") == line["request"] and not self.is_shown(other)
        ]
        step.steps += [
            self._change(change)
            for change in self._found.changes
            if change.get("by") == line["request"] and self._once(_name_of_change(change))
        ]
        step.steps = _in_time(step.steps)
        return step

    def others(self) -> list[TraceStep]:
        """What names the id or the key, and no event of the timeline has led to."""
        asked = self._found.asked
        steps = [
            self._change(change)
            for change in self._found.changes
            if asked in _named_by(change) and self._once(_name_of_change(change))
        ]
        for message in self._found.messages:
            if self._once(f"message {message['id']}"):
                steps.append(self._message(message))
        for call in self._found.calls.values():
            if asked in (call["request"], *call.get("records", ())) and self._once(f"call {call['request']}"):
                steps.append(self._call(call, None))
        for written in self._found.objects:
            if written["key"] == asked and self._once(f"object {written['key']}"):
                steps.append(_object(written))
        return steps


def _is_as_it_is(line: ChangeLine) -> bool:
    """Whether this is a row that was read from its table, as at a stage on AWS, and not a change that was observed."""
    return "by" not in line and "number" not in line and "stream" in line


def _name_of_change(line: ChangeLine) -> str:
    return f"change {place_of(line) or (line['at'], line['table'], key_values(line))}"


def _object(line: ObjectLine) -> TraceStep:
    text = f"s3://{line['bucket']}/{line['key']} {'written' if line['change'] == 'put' else 'deleted'}"
    return TraceStep(line["at"], "object", text, facts={"bucket": line["bucket"], "key": line["key"]})


def _in_time(steps: Iterable[TraceStep]) -> list[TraceStep]:
    return sorted(steps, key=lambda step: step.at)


def _error_text(fault: Mapping[str, Any]) -> str:
    error = fault.get("err")
    if not isinstance(error, Mapping):
        return str(error)
    return f"{error.get('name')}: {str(error.get('message')).partition(chr(10))[0]}"


def _names(event: EventLine | None, record: RecordLine) -> set[str]:
    """The ids and keys by which rows and events are known to come from a record."""
    names = {id_of(event), *keys_of(event)} if event is not None else set()
    return names | _named_by(record) if record["kind"] == "change" else names


def _named_by(change: ChangeLine) -> set[str]:
    """Values of the row's key, and the id and key of the event that it holds."""
    return {*key_values(change)} | _stored_ids(change) | _stored_ids(change, "partition_key")


def _stored_ids(change: ChangeLine, name: str = "id") -> set[str]:
    """The ids of the event that a row holds, or held."""
    images = (change.get("new"), change.get("old"))
    stored = [((image or {}).get("event") or {}).get("M") or {} for image in images]
    return {each[name]["S"] for each in stored if "S" in each.get(name, {})}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    shown = [f"{name}: {_short(old.get(name))} → {_short(new.get(name))}" for name in changed[:_MOST_SHOWN]]
    more = f", {len(changed) - _MOST_SHOWN} more" if len(changed) > _MOST_SHOWN else ""
    return f" ({', '.join(shown)}{more})" if shown else ""


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _LONGEST // 3 else f"{text[: _LONGEST // 3]}…"
