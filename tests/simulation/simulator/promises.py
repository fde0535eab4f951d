"""What must hold when a history has come to rest: the promises of the services' READMEs, as a model of its own.

Nothing here is computed as the services compute it. What clients were told, what other systems published and what the
READMEs say give what must be in tables, on the bus, on the topic, in the lake and in CloudWatch.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from stream_runtime.payload.attributes import unmarshall

from simulator.faults import AFTER
from simulator.histories import Played, Request, Step, analysed, analysis_id, story_of

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
}
"""For each kind of forged event the pipelines that fail on it."""
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
        return [[each["detail"] for each in lines] for lines in self._objects(FAULTS)]

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
            if key.startswith("resubmitted/"):
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
        expected = {"POST": (201, 404, 409), "PUT": (200, 404, 409), "DELETE": (204, 404, 409)}[request.method]
        expect(request.outcome in expected, about, f"is answered {request.outcome}: {request.answers[-1].body}")


def a_created_story_is_there(outcome: Outcome) -> None:
    """What was answered is true: a created story has a row, and a deleted one is a tombstone that nobody wakes."""
    expect(outcome.view.keys() == outcome.created, "view", f"has {set(outcome.view)}, created were {outcome.created}")
    for name, requests in outcome.requests.items():
        deleted = any(request.method == "DELETE" and request.outcome == 204 for request in requests)
        expect(not deleted or outcome.view[name].get("deleted"), name, "was deleted, and is there")
        asked = any(request.method == "DELETE" for request in requests)
        expect(asked or not outcome.view[name].get("deleted"), name, "is deleted, and nobody wanted that")


def an_answer_is_a_version(outcome: Outcome) -> None:
    """Each answered change is one version of its story, with what the client wrote; no version is of nobody."""
    for name in outcome.created:
        written = {each["story"]["version"]: each for each in outcome.messages[name]}
        requests = outcome.requests[name]
        attempts = sum(len(request.answers) for request in requests if request.method != "POST")
        expect(len(written) <= 1 + attempts, name, f"has {len(written)} versions of {attempts} attempts")
        for request in requests:
            if request.outcome not in (200, 201) or (request.method == "POST" and not _created(request)):
                continue
            version = request.answers[-1].body["version"]
            expect(version in written, name, f"version {version} was answered, and is in no message")
            story, wanted = written[version]["story"], story_of(request.step)
            if request.method == "PUT":
                expect(_title(story) == wanted["title"], name, f"version {version} is not what was put: {story}")
        titles = {request.step.how["title"] for request in requests if request.method != "DELETE"}
        for version, message in written.items():
            expect(message["story"]["title"] in titles, name, f"nobody wrote version {version}: {message}")


def _created(request: Request) -> bool:
    return request.answers[-1].headers.get("Idempotency-Replayed") != "true"


def _title(story: Mapping[str, Any]) -> str:
    return str(story["title"])


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
        for type_ in CHANGES:
            for event in outcome.events_by_type.get(type_, ()):
                if event["story"]["id"] == name:
                    found[event["story"]["version"]].add((type_, event["id"]))
        messages = {each["story"]["version"]: each for each in outcome.messages[name]}
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
    forged = {step.name for step in outcome.done("forge")}
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


# --- what comes from outside ---


def rows_of_objects_are_events(outcome: Outcome) -> None:
    """Each valid row of an object is one event, whatever was repeated; no other row is."""
    wanted: dict[str, dict[str, Any]] = {}
    for step in outcome.done("land"):
        if step.how["kind"] == "rows":
            for line, (_, record) in enumerate(step.how["rows"], start=2):
                if record is not None:
                    wanted[f"{step.name}/{line}"] = record
    found: dict[str, set[str]] = defaultdict(set)
    for event in outcome.events_by_type.get("record-received", ()):
        where = event["id"].partition("/")[2]
        place = f"{where.partition('#')[0]}/{where.rpartition('.')[2]}"
        found[place].add(event["id"])
        expect(event["record"] == wanted.get(place), place, f"is {event['record']}, expected {wanted.get(place)}")
    expect(found.keys() == wanted.keys(), "landing", f"rows {sorted(found)} were published, not {sorted(wanted)}")
    for place, ids in found.items():
        expect(len(ids) == 1, place, f"has several events: {ids}")


def custom_events_are_published(outcome: Outcome) -> None:
    """Each valid custom event is one event; one that breaks the contract is none.

    Its id is derived from the request's, which is another one when people redrive what had spent its retries.
    """
    valid = [step for step in outcome.done("custom") if step.how["valid"]]
    found = {event["id"]: event for event in outcome.events if event["type"] == "OrderCreated"}
    may_repeat = valid and was_redriven(outcome, "event-hub-prod-ingress-failures")
    are_right = len(found) == len(valid) or (may_repeat and len(found) > len(valid))
    expect(are_right, "custom", f"{len(valid)} events were sent, {sorted(found)} published")
    for event in found.values():
        expect(event["payload"] == valid[0].how["event"]["payload"], event["id"], f"has {event['payload']}")


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
    """CloudWatch has each fault of an object once; only a count that dies before it is marked is made again."""
    (stage,) = {outcome.world.deployment.stage}
    counted = outcome.world.cloudwatch.total("event-fault-monitor", "Faults", (("Stage", stage),))
    there = sum(len({fault["id"] for fault in lines}) for lines in outcome.fault_objects)
    expect(counted >= there, "faults", f"{there} are kept, {counted} counted")
    expect(counted == there or _count_may_repeat(outcome), "faults", f"{there} are kept, {counted} counted")
    for name in ("UnreadableLines", "MissingObjects"):
        expect(not outcome.world.cloudwatch.total("event-fault-monitor", name, (("Stage", stage),)), name, "is counted")


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
                expect(condition in ("RetryAttemptsExhausted", "RetriesExhausted"), name, f"{body['requestContext']}")
    left = {name for name in outcome.world.deployment.queues if outcome.world.sqs.messages(name)}
    expect(not left, "queues", f"at the end something is in {left}")


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
    statuses = {answer.status for request in outcome.played.requests for answer in request.answers}
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
    for alarm in sorted(went_on - wanted):
        expect(_may_go_on(outcome, alarm), alarm, "went on for no reason")
    expect(not outcome.played.alarms_at_rest, next(iter(outcome.played.alarms_at_rest), ""), "stays on")


def _alarm_of(outcome: Outcome, queue: str) -> str:
    return next(
        alarm.name
        for alarm in outcome.world.deployment.alarms.values()
        if alarm.namespace == "AWS/SQS" and ("QueueName", queue) in alarm.dimensions
    )


def _may_go_on(outcome: Outcome, alarm: str) -> bool:
    """Whether something has happened that an alarm may be about: it has a threshold."""
    if alarm.endswith(("iterator-age", "api-latency", "freshness", "trigger-errors", "ingress-errors", "throttled")):
        return bool(outcome.history.troubles) or any(outcome.done("kill")) or outcome.history.concurrency < 1_000
    return False


PROMISES: tuple[Callable[[Outcome], None], ...] = (
    every_request_is_answered,
    every_analysed_story_is_ready,
    a_created_story_is_there,
    every_change_is_a_message,
    an_answer_is_a_version,
    every_change_is_an_event,
    the_view_is_the_fold_of_its_events,
    what_is_not_analysed_expires,
    stories_about_one_article_corroborate_it,
    nothing_is_published_twice,
    the_dashboard_is_the_fold_of_its_events,
    rows_of_objects_are_events,
    custom_events_are_published,
    the_lake_has_every_event,
    each_poison_has_one_fault,
    each_fault_is_counted_once,
    dead_letters_have_spent_their_retries,
    nothing_is_left_over,
    alarms_are_what_a_person_wants,
)
"""In this order, so that what is told first is near the cause."""
