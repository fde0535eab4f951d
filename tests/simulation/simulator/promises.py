"""What must hold when a history has come to rest: the promises of the services' READMEs, as a model of its own.

Nothing here is computed as the services compute it. What clients were told, what other systems published and what the
READMEs say give what must be in tables, on the bus, on the topic, in the lake and in CloudWatch.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from stream_runtime.payload.attributes import unmarshall

from simulator.faults import AFTER
from simulator.histories import Played, Request, Step, analysed, analysis_id, caller_of, ready_id
from simulator.reading import asked_for
from simulator.topology import Alarm

VIEW, BOARD, PARTS, LEDGER = (
    "rest-bff-service-prod-entities",
    "rest-bff-service-prod-dashboard",
    "control-service-prod-events",
    "event-fault-monitor-prod-ledger",
)
CHANGES = ("story-submitted", "story-updated", "story-deleted")
MESSAGES = ("story-created", "story-updated", "story-deleted")
LAKE, FAULTS = "event-lake-s3-prod", "event-fault-monitor-prod"
FAILING = {
    "no-story": ("collect-analyzed-story",),
    "no-analysis": ("materialize-ready-story",),
    "no-triggers": ("settle-ready-story",),
    "no-address": ("correlate-article",),
    "no-fault": (),
}
"""For each kind of forged event the pipelines that fail on it."""
INVOCATIONS = {
    "RetryAttemptsExhausted": 11,
    "RetriesExhausted": 3,
    "rest-bff-service-prod-dashboard-failures": 4,
}
"""How often a batch of a stream and an asynchronous event are tried before they are given up, by condition or queue."""
SETTLED_S = 900
"""An analysis that comes that long before its story expires is in time, whatever fails meanwhile."""


class Broken(AssertionError):
    """A promise does not hold.

    Attributes:
        about: what it is about: a story, an event, an object, an alarm.
        promise: its name; set by `check`.
    """

    def __init__(self, about: str, why: str) -> None:
        super().__init__(f"{about}: {why}")
        self.about = about
        self.promise = ""


def expect(holds: object, about: str, why: str) -> None:
    """Raise `Broken` unless something holds."""
    if not holds:
        raise Broken(about, why)


class Outcome:
    """What has come of a history, found once for all promises."""

    def __init__(self, played: Played) -> None:
        self.played = played
        self.world = played.world
        self.history = played.history
        self.steps = played.history.steps

    def done(self, *kinds: str) -> Iterator[Step]:
        """The steps of some kinds."""
        return (step for step in self.steps if step.do in kinds)

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Every event on the bus but faults, as often as it was published."""
        return self.played.archived

    @cached_property
    def events_by_type(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in self.events:
            found[event["type"]].append(event)
        return found

    def ids(self, type_: str) -> Counter[str]:
        """How often each event of a type was published."""
        return Counter(event["id"] for event in self.events_by_type.get(type_, ()))

    @cached_property
    def requests(self) -> dict[str, list[Request]]:
        """What clients wanted of each story."""
        found: dict[str, list[Request]] = defaultdict(list)
        for request in self.played.requests:
            found[request.step.name].append(request)
        return found

    @cached_property
    def created(self) -> set[str]:
        """The stories of which clients know that they were created: 201, or an id that is taken (409) or was (404)."""
        return {
            name
            for name, requests in self.requests.items()
            for request in requests
            if request.method == "POST" and request.outcome in (201, 404, 409)
        }

    @cached_property
    def view(self) -> dict[str, dict[str, Any]]:
        """The rows of stories by id, tombstones included."""
        rows = (unmarshall(row) for row in self.played.tables[VIEW])
        return {row["pk"]: row for row in rows if row["sk"] == "story"}

    @cached_property
    def messages(self) -> dict[str, list[dict[str, Any]]]:
        """The messages of each story on the topic, in order."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for arn, topic in self.world.sns.topics.items():
            if arn.endswith("-stories.fifo"):
                for message in topic.messages:
                    found[str(message.group)].append(json.loads(message.message))
        return found

    @cached_property
    def submissions(self) -> dict[str, float]:
        """The stories that `control-service` knows of, with the time (s) of their submission."""
        return {
            event["story"]["id"]: event["timestamp"] / 1000
            for event in reversed(self.events_by_type.get("story-submitted", []))
            if event["story"].get("source_url") != "nowhere"
        }

    @cached_property
    def analyses(self) -> dict[str, list[Step]]:
        """The valid analyses of each story."""
        found: dict[str, list[Step]] = defaultdict(list)
        for step in self.done("analyse"):
            if "invalid" not in step.how:
                found[step.name].append(step)
        return found

    @cached_property
    def lake(self) -> list[dict[str, Any]]:
        return self._delivered(LAKE)

    @cached_property
    def fault_objects(self) -> list[list[dict[str, Any]]]:
        """The faults in each object of the fault monitor."""
        found = ([each["detail"] for each in lines] for lines in self._objects(FAULTS))
        return [[each for each in lines if each["type"] == "fault"] for lines in found]

    @cached_property
    def unreadable(self) -> int:
        """How many lines of the fault monitor's objects are no faults."""
        return sum(each["detail"]["type"] != "fault" for each in self._delivered(FAULTS))

    @cached_property
    def faults(self) -> dict[str, dict[str, Any]]:
        """Faults by id."""
        return {fault["id"]: fault for lines in self.fault_objects for fault in lines}

    def _delivered(self, bucket: str) -> list[dict[str, Any]]:
        return [line for lines in self._objects(bucket) for line in lines]

    def _objects(self, bucket: str) -> list[list[dict[str, Any]]]:
        name = next(each for each in self.world.deployment.buckets if each.startswith(bucket))
        found = []
        for key, content in self.world.s3.objects(name).items():
            if key.startswith(("claims/", "resubmitted/")):
                continue
            try:
                found.append([json.loads(line) for line in gzip.decompress(content).splitlines()])
            except (ValueError, OSError, EOFError) as error:
                raise Broken(key, f"cannot be read: {error}") from error
        return found

    @cached_property
    def is_undisturbed(self) -> bool:
        """Whether no batch came again, nothing died, and no answer was lost: then nothing happens twice."""
        notified = [each.about for each in self.world.happened if each.what == "notified"]
        if len(notified) > len(set(notified)):  # S3 tells of an object at least once
            return False
        for each in self.world.happened:
            if each.what == "trouble" and (each.about[3] in AFTER or each.about[3].startswith("died")):
                return False
            if each.what in ("killed", "restarted", "updated", "given up", "event given up", "resharded"):
                return False
            if each.what == "answered":
                outcome = each.about[3]
                if outcome.function_error is not None or b'"itemIdentifier"' in outcome.payload:
                    return False
        return not self.history.doubled and not self.history.afterwards and not self.played.dead_letters


def check(played: Played) -> None:
    """Check all promises.

    Raises:
        Broken: one does not hold.
    """
    outcome = Outcome(played)
    for promise in PROMISES:
        try:
            promise(outcome)
        except Broken as broken:
            broken.promise = promise.__name__
            raise


def was_redriven(outcome: Outcome, queue: str) -> bool:
    """Whether something was in a queue of what failed."""
    return any(queue in found for found in outcome.played.dead_letters)


# --- what clients are told ---


def every_request_is_answered(outcome: Outcome) -> None:
    """A client that goes on asking gets an answer that tells what has become of its request."""
    for request in outcome.played.requests:
        statuses = [answer.status for answer in request.answers]
        about = f"{request.method} {request.path}"
        expect(request.outcome, about, f"is still not answered after {len(statuses)} attempts: {statuses[-3:]}")
        expected = expected_of(outcome, request)
        found = f"is answered {request.outcome}, not one of {expected}: {request.answers[-1].body}"
        expect(request.outcome in expected, about, found)


def expected_of(outcome: Outcome, request: Request) -> set[int]:
    """The answers that a request may get, by what others have wanted of its story."""
    others = [each for each in outcome.requests[request.step.name] if each is not request]
    is_deleted = any(each.method == "DELETE" for each in others)
    if request.method != "POST":
        expected = {204 if request.method == "DELETE" else 200, 404}
        if "version" in request.step.how:
            expected.add(409)
        if any(each.method == "POST" and caller_of(each.step) != caller_of(request.step) for each in others):
            expected.add(403)
        return expected
    expected = {201}
    key, caller = request.step.how.get("key"), caller_of(request.step)
    is_repeated = key is not None
    for other in outcome.played.requests:
        if other.method != "POST" or other is request:
            continue
        is_same = key is not None and other.step.how.get("key") == key and caller_of(other.step) == caller
        if is_same and (other.body != request.body):
            expected.add(422)
        elif other.step.name == request.step.name and not is_same:
            expected.add(409)
    if not is_repeated and len(request.answers) > 1:
        expected.add(409)  # of its own earlier attempt
    if is_repeated and is_deleted:
        expected.add(404)
    return expected


def a_created_story_is_there(outcome: Outcome) -> None:
    """What was answered is true: a created story has a row, and a deleted one is a tombstone that nobody wakes."""
    expect(outcome.view.keys() == outcome.created, "view", f"has {set(outcome.view)}, created were {outcome.created}")
    for name in outcome.created:
        requests = outcome.requests[name]
        deleted = any(request.method == "DELETE" and request.outcome == 204 for request in requests)
        expect(not deleted or outcome.view[name].get("deleted"), name, "was deleted, and is there")
        asked = any(request.method == "DELETE" for request in requests)
        expect(asked or not outcome.view[name].get("deleted"), name, "is deleted, and nobody wanted that")


def an_answer_is_a_version(outcome: Outcome) -> None:
    """Each answered change is one version of its story, as the answer has it and with what the client wrote; no version
    is of nobody."""
    for name in outcome.created:
        written = {each["story"]["version"]: each["story"] for each in outcome.messages[name]}
        requests = outcome.requests[name]
        attempts = sum(len(request.answers) for request in requests if request.method != "POST")
        expect(len(written) <= 1 + attempts, name, f"has {len(written)} versions of {attempts} attempts")
        for request in requests:
            if request.outcome not in (200, 201):
                continue
            answered = request.answers[-1].body
            version, is_replay = answered["version"], not _created(request) and request.method == "POST"
            expect(version in written, name, f"version {version} was answered, and is in no message")
            story = written[version]
            fields = WRITTEN if is_replay else tuple({*answered, *story})
            for field in fields:
                there = answered.get(field)
                expect(there == story.get(field), name, f"{field} {there} was answered, version {version} is {story}")
            if is_replay:
                expect(_title(written[1]) == request.step.how["title"], name, "a key stands for two requests")
            else:
                wanted = request.step.how["title"]
                expect(_title(story) == wanted, name, f"version {version} is not what was written: {story}")
            if request.read is not None and request.read.status in (200, 404):
                there = request.read.body.get("version", 0)
                gone = request.read.status == 404 and any(each.method == "DELETE" for each in requests)
                expect(there >= version or gone, name, f"version {there} is read after version {version}")
            if "version" in request.step.how and request.method == "PUT":
                was = request.step.how["version"]
                expect(version == was + 1, name, f"version {was} was to be changed, and {version - 1} was")
        titles = {request.step.how["title"] for request in requests if request.method != "DELETE"}
        for version, story in written.items():
            expect(story["title"] in titles, name, f"nobody wrote version {version}: {story}")


WRITTEN = ("id", "source_type", "source_url", "title", "text_snippet", "matched_tags", "created", "timestamp")
"""The fields of a story that do not change but by its clients."""


def _created(request: Request) -> bool:
    return request.answers[-1].headers.get("Idempotency-Replayed") != "true"


def _title(story: Mapping[str, Any]) -> str:
    return str(story["title"])


def only_owners_change_a_story(outcome: Outcome) -> None:
    """Whoever has created a story may change it, and nobody else."""
    for name in outcome.created:
        requests = outcome.requests[name]
        first = next(each["story"] for each in outcome.messages[name] if each["story"]["version"] == 1)
        titles = {_title(each["story"]) for each in outcome.messages[name]}
        made = (each.step for each in requests if each.method == "POST" and each.step.how["title"] == _title(first))
        owner = caller_of(next(made))
        for request in requests:
            caller = caller_of(request.step)
            if request.method == "POST":
                continue
            expect(caller == owner or request.outcome not in (200, 204), name, f"{caller} has changed it: {owner}'s")
            expect(caller != owner or request.outcome != 403, name, f"{owner} may not change it")
            stranger = request.method == "PUT" and caller != owner and request.step.how["title"] in titles
            expect(not stranger, name, f"{caller} has written {request.step.how.get('title')}")


# --- stories ---


def every_change_is_a_message(outcome: Outcome) -> None:
    """The topic has a message for each version, in their order; one that is repeated keeps its id.

    A message whose retries were spent comes by a redrive, later than those behind it.
    """
    is_late = was_redriven(outcome, "rest-bff-service-prod-outbox-failures")
    for name in outcome.created:
        last, first_seen = outcome.view[name]["version"], list(dict.fromkeys(m["id"] for m in outcome.messages[name]))
        created = outcome.view[name]["created"]
        wanted = [f"{name}.{created}.{version}" for version in range(1, last + 1)]
        if is_late:
            first_seen.sort(key=lambda message_id: int(message_id.rpartition(".")[2]))
        expect(first_seen == wanted, name, f"the topic has {first_seen}, expected {wanted}")
        types = [each["type"] for each in sorted(outcome.messages[name], key=lambda each: each["story"]["version"])]
        expect(types[0] == "story-created", name, f"the first message is {types[0]}")
        expect(len(types) == last or not outcome.is_undisturbed, name, f"messages were sent again: {types}")
    strangers = outcome.messages.keys() - outcome.created
    expect(not any(outcome.messages[each] for each in strangers), "topic", f"has messages of {strangers}")
    for row in map(unmarshall, outcome.played.tables[VIEW]):
        if row["discriminator"] == "outbox":
            expect(row.get("dispatched"), row["pk"], f"{row['sk']} was not dispatched")


def every_change_is_an_event(outcome: Outcome) -> None:
    """Each version is one event, whatever was repeated, with what its message has."""
    for name in outcome.created:
        found: dict[int, set[tuple[str, str]]] = defaultdict(set)
        messages = {each["story"]["version"]: each for each in outcome.messages[name]}
        for type_ in CHANGES:
            for event in outcome.events_by_type.get(type_, ()):
                story = event["story"]
                if story["id"] == name:
                    version = story["version"]
                    found[version].add((type_, event["id"]))
                    message = messages.get(version, {"story": None})["story"]
                    expect(story == message, name, f"version {version} is {message}, its event has {story}")
        expect(found.keys() == messages.keys(), name, f"has versions {sorted(messages)}, events of {sorted(found)}")
        for version, events in found.items():
            expect(len(events) == 1, name, f"version {version} has several events: {events}")
            ((type_, _),) = events
            wanted = dict(zip(MESSAGES, CHANGES, strict=True))[messages[version]["type"]]
            expect(type_ == wanted, name, f"version {version} is {wanted}, its event {type_}")


def the_view_is_the_fold_of_its_events(outcome: Outcome) -> None:
    """A row has what the last change by a client says, and the newest analysis of `story-ready`."""
    for name in outcome.created:
        row = outcome.view[name]
        story = max((each["story"] for each in outcome.messages[name]), key=lambda story: story["version"])
        for field in ("source_type", "source_url", "title", "text_snippet", "published_at", "version", "timestamp"):
            expect(row.get(field) == story.get(field), name, f"{field} is {row.get(field)}, not {story.get(field)}")
        expect(list(row.get("matched_tags", ())) == story.get("matched_tags", []), name, "has other tags")
        ready = [event for event in outcome.events_by_type.get("story-ready", ()) if event["story"].get("id") == name]
        if row.get("deleted"):
            continue
        expect(row["status"] == ("ready" if ready else "submitted"), name, f"is {row['status']}")
        if ready:
            newest = max(event["timestamp"] for event in ready)
            analyses = [_analysis(event["story"]) for event in ready if event["timestamp"] == newest]
            expect(_analysis(row) in analyses, name, f"has {_analysis(row)}, not {analyses}")
            expect(row["ready_at"] == newest, name, f"is ready at {row['ready_at']}, not {newest}")


def _analysis(story: Mapping[str, Any]) -> tuple[str, float, str]:
    return str(story["sentiment"]), float(story["score"]), str(story["model_version"])


def every_analysed_story_is_ready(outcome: Outcome) -> None:
    """A story that was submitted and validly analysed in time is ready, once, with one of its valid analyses; no other
    is."""
    ready = outcome.ids("story-ready")
    forged = {step.name for step in outcome.done("forge")} | {ready_id(step) for step in outcome.done("ready")}
    wanted = {f"{name}.completion.evaluate-story" for name in outcome.submissions if outcome.analyses[name]}
    found = ready.keys() - forged
    expect(found == wanted, next(iter(found ^ wanted), "").partition(".")[0], f"ready are {found}, expected {wanted}")
    for event in outcome.events_by_type.get("story-ready", ()):
        if event["id"] in forged:
            continue
        name = event["story"]["id"]
        analyses = [_analysis(analysed(step)) for step in outcome.analyses[name]]
        expect(_analysis(event["story"]) in analyses, name, f"is ready with {_analysis(event['story'])}")
        parts = {each["id"] for each in event["triggers"]}
        expect(parts & {analysis_id(step) for step in outcome.analyses[name]}, name, f"is ready by {parts}")


def what_is_not_analysed_expires(outcome: Outcome) -> None:
    """A story without a valid analysis expires, once; one that has become ready does not."""
    found: dict[str, set[str]] = defaultdict(set)
    for event in outcome.events_by_type.get("story-expired", ()):
        found[event["story"]["id"]].add(event["id"])
    for name in outcome.submissions:
        if outcome.analyses[name]:
            expect(not found[name], name, f"is ready, and has expired: {found[name]}")
        else:
            expect(len(found[name]) == 1, name, f"is not analysed, and has {len(found[name])} story-expired")


def a_replay_of_what_was_forgotten_tells_nothing_new(outcome: Outcome) -> None:
    """Whatever is published once more has the id that it had."""
    known = {(event["type"], event["id"]) for event in outcome.events}
    for event in outcome.played.replayed:
        about = (event["type"], event["id"])
        expect(about in known, event["id"], f"{event['type']} is published by a replay, and never was before")


def stories_about_one_article_corroborate_it(outcome: Outcome) -> None:
    """An article that several stories are about is corroborated, once; others are not."""
    about: dict[str, set[str]] = defaultdict(set)
    for event in outcome.events_by_type.get("story-submitted", ()):
        if event["story"].get("source_url") != "nowhere":
            about[_article(event["story"]["source_url"])].add(event["story"]["id"])
    found: dict[str, set[str]] = defaultdict(set)
    for event in outcome.events_by_type.get("story-corroborated", ()):
        stories = event["article"]["stories"]
        article = _article(event["article"]["url"])
        found[article].add(event["id"])
        expect(len(set(stories)) == len(stories) > 1, article, f"is corroborated by {stories}")
        expect(about[article].issuperset(stories), article, f"is corroborated by {stories}, of {about[article]}")
    for article, stories in about.items():
        expected = int(len(stories) > 1)
        expect(len(found[article]) == expected, article, f"{stories} are about it: {found[article]}")


def _article(url: str) -> str:
    """The part of an address that histories tell articles apart by."""
    return url.partition("#")[0].rstrip("/").rpartition("/")[2]


def nothing_is_published_twice(outcome: Outcome) -> None:
    """Where nothing died, no answer was lost and no batch came again, every event is published once."""
    if outcome.is_undisturbed:
        own = ("story-ready", "story-expired", "story-corroborated", "record-received", *CHANGES)
        for type_ in own:
            for event_id, times in outcome.ids(type_).items():
                expect(times == 1, event_id, f"was published {times} times")


def the_dashboard_is_the_fold_of_its_events(outcome: Outcome) -> None:
    """The dashboard shows each ready story that is not deleted on its day and under each of its tags, as the view has
    it, and nothing else."""
    shown: dict[tuple[str, str], dict[str, Any]] = {}
    for row in map(unmarshall, outcome.played.tables[BOARD]):
        if not row.get("removed"):
            shown[row["source_id"] if "source_id" in row else row["sk"], row["pk"]] = row
    wanted: dict[tuple[str, str], dict[str, Any]] = {}
    for name, row in outcome.view.items():
        if row.get("deleted") or row["status"] != "ready":
            continue
        day = datetime.fromtimestamp(int(row["created"]) / 1000, UTC).strftime("%Y-%m-%d")
        for place in (f"day#{day}", *(f"tag#{tag}" for tag in row.get("matched_tags", ()))):
            wanted[name, place] = row
    different = sorted(shown.keys() ^ wanted.keys())
    if different:
        expect(False, different[0][0], f"the dashboard has {sorted(shown)}, expected {sorted(wanted)}")
    for (name, place), row in wanted.items():
        for field in ("sentiment", "score", "source_url", "text_snippet", "source_type"):
            there = shown[name, place].get(field)
            expect(there == row.get(field), name, f"{place} has {field} {there}, the view {row.get(field)}")


def readers_get_what_is_there(outcome: Outcome) -> None:
    """Clients read each story as it is; the list has all of them, newest first, and each list of the dashboard what it
    is asked for, in its order, each story once."""
    living = {name: row for name, row in outcome.view.items() if not row.get("deleted")}
    for path, pages in outcome.played.read.items():
        expected = 404 if path.startswith("/stories/") and path.rpartition("/")[2] not in living else 200
        expect({page.status for page in pages} == {expected}, path, f"is answered {pages[-1].body}")
        if path.startswith("/stories/"):
            if expected == 200:
                _expect_row(pages[0].body, living[pages[0].body["id"]], "id")
        elif path.startswith("/stories"):
            found = [story for page in pages for story in page.body["stories"]]
            expect(sorted(each["id"] for each in found) == sorted(living), path, f"has {found}")
            times = [each["created"] for each in found]
            expect(times == sorted(times, reverse=True), path, f"is not in order: {found}")
            for each in found:
                _expect_row(each, living[each["id"]], "id")
        else:
            _expect_list(path, [story for page in pages for story in page.body["stories"]], living)


def _expect_list(path: str, found: list[dict[str, Any]], living: Mapping[str, Mapping[str, Any]]) -> None:
    """A list of the dashboard; all stories of a history are of one day."""
    asked = asked_for(path)
    wanted = {
        name
        for name, row in living.items()
        if row["status"] == "ready"
        and ("tag" not in asked or asked["tag"] in row.get("matched_tags", ()))
        and asked.get("sentiment", row["sentiment"]) == row["sentiment"]
        and float(asked.get("min_score", 0)) <= row["score"] <= float(asked.get("max_score", 1))
    }
    expect(sorted(each["source_id"] for each in found) == sorted(wanted), path, f"has {found}, expected {wanted}")
    order = "score" if "sentiment" in asked else "ingested_at"
    values = [each[order] for each in found]
    expect(values == sorted(values, reverse=True), path, f"is not in order: {found}")
    for each in found:
        _expect_row(each, living[each["source_id"]], "source_id")


def _expect_row(story: Mapping[str, Any], row: Mapping[str, Any], id_field: str) -> None:
    """What clients get of a story is what its row has."""
    for field, value in story.items():
        if field in (id_field, "matched_tags", "day_partition", "ingested_at"):
            continue
        expect(value == row.get(field), str(row["pk"]), f"{field} is read as {value}, and is {row.get(field)}")
    expect(sorted(story.get("matched_tags", ())) == sorted(row.get("matched_tags", ())), str(row["pk"]), "other tags")


# --- what comes from outside ---


def the_stream_has_no_faults(outcome: Outcome) -> None:
    """Faults are no work for services: they would come back to where they are made."""
    expect("fault" not in outcome.played.streamed, "stream", f"has {sorted(outcome.played.streamed)}")


def rows_of_objects_are_events(outcome: Outcome) -> None:
    """Each valid row of an object is one event, whatever was repeated; no other row is."""
    wanted: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for step in outcome.done("land"):
        if step.how["kind"] == "rows":
            for line, (_, record) in enumerate(step.how["rows"], start=2):
                if record is not None:
                    wanted[f"{step.name}/{line}"].append(record)
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for event in outcome.events_by_type.get("record-received", ()):
        where = event["id"].partition("/")[2]
        place = f"{where.partition('#')[0]}/{where.rpartition('.')[2]}"
        known = found[place].setdefault(event["id"], event["record"])
        expect(known == event["record"], place, f"{event['id']} is {event['record']} and {known}")
    expect(found.keys() == wanted.keys(), "landing", f"rows {sorted(found)} were published, not {sorted(wanted)}")
    for place, records in wanted.items():
        there = sorted(map(str, found[place].values()))
        expect(there == sorted(map(str, records)), place, f"is {found[place]}, expected {records}")


def custom_events_are_published(outcome: Outcome) -> None:
    """Each valid custom event is one event; one that breaks the contract is none.

    Its id is derived from the request's, which is another one when people redrive what had spent its retries.
    """
    valid = {step.how["event"]["payload"]["id"]: step for step in outcome.done("custom") if step.how["valid"]}
    found: dict[str, set[str]] = defaultdict(set)
    for event in outcome.events_by_type.get("OrderCreated", ()):
        payload = event["payload"]
        found[payload.get("id")].add(event["id"])
        step = valid.get(payload.get("id"))
        expect(step and step.how["event"]["payload"] == payload, event["id"], f"has {payload}")
    expect(found.keys() == valid.keys(), "custom", f"{sorted(valid)} were sent, {sorted(found)} published")
    if not was_redriven(outcome, "event-hub-prod-ingress-failures"):
        for sent, ids in found.items():
            expect(len(ids) == 1, sent, f"has several events: {sorted(ids)}")


# --- what is kept ---


def the_lake_has_every_event(outcome: Outcome) -> None:
    """The lake holds every event but faults, each readable."""
    published = {(event["type"], event["id"]) for event in outcome.events}
    kept = {(line["detail"]["type"], line["detail"]["id"]) for line in outcome.lake}
    missing, more = published - kept, kept - published
    expect(not missing, next(iter(missing), ("", ""))[1], f"is not in the lake; nor are {len(missing) - 1} others")
    expect(not any(type_ == "fault" for type_, _ in kept), "lake", "has faults")
    # What expires after all has come to rest is published then.
    expect(all(type_ == "story-expired" for type_, _ in more), "lake", f"has what was never published: {more}")


def large_events_are_whole(outcome: Outcome) -> None:
    """Each pointer on the bus has its body in the hub's bucket while somebody may need it, and the lake has a copy that
    stays; in the hub's bucket is nothing else, and at the end nothing."""
    world, bodies = outcome.world, outcome.played.bodies
    lake = next(each for each in world.deployment.buckets if each.startswith(LAKE))
    copies = world.s3.objects(lake, "claims/")
    pointers = {event["id"]: event["claim_check"]["key"] for event in outcome.played.pointers}
    for name, key in pointers.items():
        expect(key in bodies, name, "has no body")
        expect(copies.get(f"claims/{world.claims}/{key}") == bodies[key], name, "has no copy in the lake")
    unclaimed = bodies.keys() - {*pointers.values()}
    expect(not unclaimed, "claims", f"has bodies that no event points to: {unclaimed}")
    expect(not world.s3.versions(world.claims), "claims", "has bodies that nobody needs any more")


def faults_of(outcome: Outcome) -> set[str]:
    """The ids of the faults that there must be: of invalid analyses, and of what others have forged."""
    found = {f"{analysis_id(step)}.evaluate-story.fault" for step in outcome.done("analyse") if "invalid" in step.how}
    for step in outcome.done("forge"):
        found |= {f"{step.name}.{pipeline}.fault" for pipeline in FAILING[step.how["kind"]]}
    return found


def each_poison_has_one_fault(outcome: Outcome) -> None:
    """Each record that a rule can never process has one fault, and nothing else has one.

    A fault that may be written neither to the delivery stream nor to the dead-letter queue is lost: the archive has no
    faults. Its alarm goes on, and the log of the function has it.
    """
    lost = {fault for _, fault in outcome.played.lost} - outcome.faults.keys()
    wanted, found = faults_of(outcome) - lost, outcome.faults.keys()
    expect(found == wanted, next(iter(found ^ wanted), ""), f"faults are {sorted(found)}, expected {sorted(wanted)}")
    for fault in outcome.faults.values():
        expect(fault["uow"].get("record"), fault["id"], "has no record")


def each_fault_is_counted_once(outcome: Outcome) -> None:
    """CloudWatch has each fault of an object once, and each line that is none; only a count that dies before it is
    marked is made again."""
    faults = sum(len({fault["id"] for fault in lines}) for lines in outcome.fault_objects)
    by_service: Counter[str] = Counter()
    for lines in outcome.fault_objects:
        by_service.update({fault["id"]: fault["tags"]["source"] for fault in lines}.values())
    of_stage = ("Stage", outcome.world.deployment.stage)
    wanted = {("Faults", (of_stage,)): faults, ("UnreadableLines", (of_stage,)): outcome.unreadable}
    wanted |= {("Faults", (("Service", service), of_stage)): number for service, number in by_service.items()}
    for (name, of), there in (wanted | {("MissingObjects", (of_stage,)): 0}).items():
        counted = outcome.world.cloudwatch.total("event-fault-monitor", name, of)
        expect(counted >= there, name, f"{there} are kept, {counted} counted")
        expect(counted == there or _count_may_repeat(outcome), name, f"{there} are kept, {counted} counted")


def a_count_that_failed_is_made_again_at_once(outcome: Outcome) -> None:
    """A count waits in vain for another one only if that is slow, it died, or it cannot know or undo its lock."""
    for each in outcome.world.happened:
        if each.what == "answered" and "fault-monitor" in each.about[0] and b"BeingCounted" in each.about[3].payload:
            expect(_lock_may_stay(outcome), "ledger", "a count waited for one that had failed")


def _lock_may_stay(outcome: Outcome) -> bool:
    for each in outcome.world.happened:
        if each.what in ("killed", "trouble") and "fault-monitor" in each.about[0]:
            if each.what == "killed" or each.about[3] in ("died-before", "died-after", "slow"):
                return True
            if each.about[2] in ("PutItem", "DeleteItem", "UpdateItem"):
                return True
        if each.what == "answered" and "fault-monitor" in each.about[0] and b"Task timed out" in each.about[3].payload:
            return True
    notified = [each.about for each in outcome.world.happened if each.what == "notified"]
    return len(notified) > len(set(notified)) or bool(outcome.history.doubled)


def _count_may_repeat(outcome: Outcome) -> bool:
    of_counting = ("PutMetricData", "UpdateItem", "DeleteItem")
    for each in outcome.world.happened:
        if each.what == "killed" and "fault-monitor" in each.about[0]:
            return True
        if each.what == "trouble" and "fault-monitor" in each.about[0] and each.about[2] in of_counting:
            return True
    return False


# --- what is left ---


def dead_letters_have_spent_their_retries(outcome: Outcome) -> None:
    """Nothing is in a queue of what failed but what was tried as often as it should be, or what can never succeed."""
    denied = any(trouble.kind == "denied" for trouble in outcome.history.troubles)
    for found in outcome.played.dead_letters:
        for name, messages in found.items():
            for message in messages:
                body = json.loads(message.body)
                if "detail-type" in body:
                    expect(denied or "EXHAUSTED_RETRY_CONDITION" in message.attributes, name, f"{message.attributes}")
                    continue
                condition = body["requestContext"]["condition"]
                expect(condition in INVOCATIONS, name, f"{body['requestContext']}")
                times = body["requestContext"]["approximateInvokeCount"]
                wanted = INVOCATIONS.get(name, INVOCATIONS[condition])
                expect(times == wanted, name, f"was given up after {times} invocations, not {wanted}")
    left = {name for name in outcome.world.deployment.queues if outcome.world.sqs.messages(name)}
    expect(not left, "queues", f"at the end something is in {left}")


def rows_are_of_events(outcome: Outcome) -> None:
    """What waits for the parts of stories has rows of events that came, of their correlations, and of what was
    published."""
    for row in map(unmarshall, outcome.played.tables[PARTS]):
        expect(row.get("discriminator") in ("EVENT", "CORREL", "ONCE"), row["pk"], f"is a row of no event: {row}")


def nothing_is_left_over(outcome: Outcome) -> None:
    """When all that expires has expired, there are the rows of living stories and nothing else."""
    living = {name for name, row in outcome.view.items() if not row.get("deleted")}
    for table in outcome.world.deployment.tables:
        for row in map(unmarshall, outcome.world.dynamodb.items(table)):
            is_story = table == VIEW and row["sk"] == "story" and row["pk"] in living
            expect(is_story, row["pk"], f"is left over in {table}: {row}")


def alarms_are_what_a_person_wants(outcome: Outcome) -> None:
    """An alarm goes on where there is something to do, stays off elsewhere, and is off when that is done."""
    went_on = {change.alarm for change in outcome.world.cloudwatch.history if change.after == "ALARM"}
    wanted: set[str] = set()
    if outcome.faults:
        wanted.add("event-fault-monitor-prod-faults")
        for fault in outcome.faults.values():
            wanted.add(f"event-fault-monitor-prod-faults-of-{fault['tags']['source']}")
    if outcome.unreadable:
        wanted.add("event-fault-monitor-prod-unreadable-lines")
    statuses = {answer.status for request in outcome.played.requests for answer in request.answers}
    statuses |= {request.read.status for request in outcome.played.requests if request.read is not None}
    if any(status >= 500 for status in statuses):
        wanted.add("rest-bff-service-prod-api-errors")
    if any(step.how["kind"] != "rows" for step in outcome.done("land")):
        wanted.add("event-hub-prod-objects-refused")
    for found in outcome.played.dead_letters:
        wanted |= {_alarm_of(outcome, queue) for queue in found}
    wanted |= {
        alarm.name
        for alarm in outcome.world.deployment.alarms.values()
        for rule, _ in outcome.played.lost
        if alarm.metric == "FailedInvocations" and ("RuleName", rule) in alarm.dimensions
    }
    missing = wanted - went_on
    expect(not missing, next(iter(missing), ""), f"is missing; on were {sorted(went_on)}")
    for alarm in outcome.world.deployment.alarms.values():
        limit = LIMITS.get(alarm.name.partition("-prod-")[2]) or LIMITS.get(alarm.name)
        if limit is None:
            expect(alarm.name in wanted or alarm.name not in went_on, alarm.name, "went on for no reason")
        else:
            expected, found = _is_beyond(outcome, alarm, limit), alarm.name in went_on
            expect(found == expected, alarm.name, "went on for no reason" if found else f"stays off: {limit}")
    expect(not outcome.played.alarms_at_rest, next(iter(outcome.played.alarms_at_rest), ""), "stays on")


@dataclass(frozen=True)
class Limit:
    """What a metric may be in so many periods one after the other, as the READMEs of the services have it."""

    periods: int
    seconds: int
    statistic: str
    most: float


BEHIND, FAILING_NOW = Limit(5, 60, "Maximum", 60_000), Limit(1, 300, "Sum", 0)
LIMITS = {
    **{f"{name}-iterator-age": BEHIND for name in ("listener", "trigger", "outbox")},
    "dashboard-iterator-age": Limit(2, 60, "Maximum", 60_000),
    "s1-iterator-age": Limit(3, 300, "Maximum", 3_600_000),
    "s1-throttled": Limit(5, 60, "Sum", 0),
    "throttled": Limit(3, 300, "Sum", 0),
    "event-lake-s3-prod-freshness": Limit(3, 300, "Maximum", 1_200),
    "event-fault-monitor-prod-freshness": Limit(3, 300, "Maximum", 600),
    "ingress-errors": FAILING_NOW,
    "trigger-errors": FAILING_NOW,
    "claims-errors": FAILING_NOW,
    "dashboard-errors": Limit(1, 300, "Sum", 10),
    "api-latency": Limit(3, 300, "Average", 1_000),
}
"""Of alarms that tell how slow something is, or how often it fails; the other ones tell of single things."""
LOOKED_AT = 2
"""Periods that CloudWatch looks at beside those of the alarm, where some have no data."""


def _is_beyond(outcome: Outcome, alarm: Alarm, limit: Limit) -> bool:
    """Whether a metric was beyond its limit for as long as people want to be told of it."""
    of = (alarm.namespace, alarm.metric, alarm.dimensions, limit.seconds, limit.statistic)
    values = outcome.world.cloudwatch.periods(*of)
    for number in values:
        for end in range(number, number + LOOKED_AT + 1):
            seen = [values[each] for each in range(end, end - limit.periods - LOOKED_AT, -1) if each in values]
            latest = seen[: limit.periods]
            if len(latest) == limit.periods and min(latest) > limit.most:
                return True
    return False


def _alarm_of(outcome: Outcome, queue: str) -> str:
    return next(
        alarm.name
        for alarm in outcome.world.deployment.alarms.values()
        if alarm.namespace == "AWS/SQS" and ("QueueName", queue) in alarm.dimensions
    )


PROMISES: tuple[Callable[[Outcome], None], ...] = (
    every_request_is_answered,
    every_analysed_story_is_ready,
    a_created_story_is_there,
    every_change_is_a_message,
    an_answer_is_a_version,
    only_owners_change_a_story,
    every_change_is_an_event,
    the_view_is_the_fold_of_its_events,
    what_is_not_analysed_expires,
    a_replay_of_what_was_forgotten_tells_nothing_new,
    stories_about_one_article_corroborate_it,
    nothing_is_published_twice,
    the_dashboard_is_the_fold_of_its_events,
    readers_get_what_is_there,
    the_stream_has_no_faults,
    rows_of_objects_are_events,
    custom_events_are_published,
    the_lake_has_every_event,
    large_events_are_whole,
    each_poison_has_one_fault,
    each_fault_is_counted_once,
    a_count_that_failed_is_made_again_at_once,
    rows_are_of_events,
    dead_letters_have_spent_their_retries,
    nothing_is_left_over,
    alarms_are_what_a_person_wants,
)
"""In this order, so that what is told first is near the cause."""
