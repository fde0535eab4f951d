"""`up`, `status`, `env`, `send`, `down`: the parts of the main job one by one, and sls against what they started.

The cloud is `running`, which other files use, too. All of it runs in an environment with a proxy, as in many companies.
The proxy answers nothing, and is never asked.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from stream_cli.journal.unknown import noting
from stream_cli.local.cloud import attach
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.trace.command import timeline_of
from stream_cli.trace.stage.answers import ATTEMPTS, MESSAGES
from stream_cli.trace.stage.connecting import connect_to
from stream_cli.trace.stage.rows import BEFORE

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
ENTITY = "story"  # of the templates
SLS = ROOT / "node_modules" / ".bin" / "sls"


# What it prints is what came about, in its order; what does not come about in time ends it.
STORY_ON_ITS_WAY = """
import boto3, json, time, urllib.parse, urllib.request

sns, sqs, events, stacks = (boto3.client(name) for name in ('sns', 'sqs', 'events', 'cloudformation'))
api = stacks.describe_stack_resource(StackName='rest-bff-service-local', LogicalResourceId='HttpApi')
api = api['StackResourceDetail']['PhysicalResourceId']
endpoint = urllib.parse.urlsplit(sns.meta.endpoint_url)
host = f'{api}.execute-api.localhost:{endpoint.port}'


def ask(method, path, body=None):
    headers = {'Host': host, 'Content-Type': 'application/json'}
    body = json.dumps(body).encode() if body else None
    request = urllib.request.Request(endpoint.geturl().rstrip('/') + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def shown(tag):
    rows = ask('GET', f'/dashboard?tag={tag}')['stories']
    return [row['score'] for row in rows if row['source_id'] == 'on-its-way']


def until(condition, what):
    deadline = time.monotonic() + 40
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f'waited in vain: {what}')
        time.sleep(0.1)
    print(what)


topics = [topic['TopicArn'] for topic in sns.list_topics()['Topics']]
(topic,) = [arn for arn in topics if arn.endswith(':rest-bff-service-local-stories.fifo')]
allow = {'Effect': 'Allow', 'Principal': {'Service': 'sns.amazonaws.com'}, 'Action': 'sqs:SendMessage', 'Resource': '*'}
policy = json.dumps({'Version': '2012-10-17', 'Statement': allow})
attributes = {'FifoQueue': 'true', 'Policy': policy}
url = sqs.create_queue(QueueName='on-its-way.fifo', Attributes=attributes)['QueueUrl']
arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=['QueueArn'])['Attributes']['QueueArn']
sns.subscribe(TopicArn=topic, Protocol='sqs', Endpoint=arn, Attributes={'RawMessageDelivery': 'true'})
received = []


def arrives(kind):
    messages = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get('Messages', [])
    for message in messages:
        received.append(json.loads(message['Body']))
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message['ReceiptHandle'])
    return [message['type'] for message in received if message['story']['id'] == 'on-its-way'][-1:] == [kind]


content = {
    'source_type': 'newsapi',
    'source_url': 'https://news.example/on-its-way',
    'title': 'A title',
    'text_snippet': 'A text',
    'published_at': '2026-11-16T10:00:00Z',
    'matched_tags': ['AI', 'law'],
}
ask('POST', '/stories', {'id': 'on-its-way', **content})
until(lambda: arrives('story-created'), 'story-created is on the topic')
analyzed = {
    'id': 'analysis-on-its-way',
    'type': 'story-analyzed',
    'timestamp': time.time_ns() // 1_000_000,
    'partition_key': 'on-its-way',
    'story': {'id': 'on-its-way', 'sentiment': 'neutral', 'score': 0.72, 'model_version': 'v1'},
}
entry = {'EventBusName': 'event-hub-local-bus', 'Source': 'custom', 'DetailType': analyzed['type']}
events.put_events(Entries=[{**entry, 'Detail': json.dumps(analyzed)}])
until(lambda: shown('law') == [0.72], 'the analyzed story is found by its tag')
ask('PUT', '/stories/on-its-way', {**content, 'matched_tags': ['AI']})
until(lambda: arrives('story-updated'), 'story-updated is on the topic')
until(lambda: shown('law') == [] and shown('AI') == [0.72], 'it is not found by the tag that it lost')
"""


# `streamctl` for which the local cloud is AWS, and `local` is a stage there.
AS_A_STAGE = (
    '"$VIRTUAL_ENV/bin/python" -c \'import stream_cli.terminal.options as options; options.LOCAL = "nothing"; '
    "from stream_cli.cli import main; main()'"
)


def test_status_names_the_endpoint_and_the_processes(running: Any) -> None:
    status = json.loads(running.run("status", "--json").stdout)
    assert status["running"]
    assert set(status["processes"]) == {"emulator", "deliveries", "mappings", "console"}
    assert status["cloud"]["endpoint"] in running.run_here("status").stdout


def processes_of(running: Any) -> dict[str, int]:
    """The processes of the cloud: each name with its id."""
    return dict(json.loads(running.run_here("status", "--json").stdout)["processes"])


def test_killed_processes_of_the_cloud_are_restarted(running: Any) -> None:
    killed = processes_of(running)
    for part in ("mappings", "deliveries"):
        os.kill(killed[part], signal.SIGKILL)
    again = running.run("up")
    assert again.returncode == 0, again.stderr
    assert "It runs already" in again.stdout
    processes = processes_of(running)
    assert {"emulator", "deliveries", "mappings"} <= set(processes)
    assert processes["mappings"] != killed["mappings"]
    assert processes["deliveries"] != killed["deliveries"]


def test_the_console_is_at_the_address_that_is_printed_and_comes_back_there_when_it_is_killed(running: Any) -> None:
    address = running.run_here("console").stdout.strip()
    assert f"Console:  {address}\n" in running.run_here("up").stdout
    url, token = address.split("/#token=")

    def asked(path: str, **headers: str) -> int:
        try:
            return httpx.get(f"{url}{path}", headers=headers, trust_env=False).status_code
        except httpx.TransportError:
            return 0

    assert asked("/") == 200
    assert asked("/packages/preact.js") == 200
    assert asked("/api/events") == 401
    assert asked("/api/events", **{"x-console-token": token}) == 200
    killed = processes_of(running)["console"]
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while psutil.pid_exists(killed) or asked("/api/events", **{"x-console-token": token}) != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_second_cloud_in_the_same_folder_is_refused(running: Any) -> None:
    again = running.run("start")
    assert again.returncode == 1
    assert "already runs" in again.stderr


def test_an_event_that_is_sent_reaches_the_lake_and_the_log_of_the_hub(running: Any, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"id": "by-hand", "type": "thing-done", "timestamp": 1, "partition_key": "k"}))
    sent = running.run("send", str(event))
    assert sent.returncode == 0, sent.stderr
    program = (
        "import boto3, time\n"
        "s3 = boto3.client('s3')\n"
        "buckets = [b['Name'] for b in s3.list_buckets()['Buckets']]\n"
        "bucket = next(name for name in buckets if name.startswith('event-lake-s3-local-0'))\n"
        "for _ in range(200):\n"
        "    found = s3.list_objects_v2(Bucket=bucket).get('Contents', [])\n"
        "    bodies = [s3.get_object(Bucket=bucket, Key=o['Key'])['Body'].read() for o in found]\n"
        "    if any(b'by-hand' in body for body in bodies):\n"
        "        print('in the lake')\n"
        "        break\n"
        "    time.sleep(0.1)\n"
        "logs = boto3.client('logs')\n"
        "for _ in range(200):\n"
        "    logged = logs.filter_log_events(logGroupName='/aws/events/event-hub-local')['events']\n"
        "    if any('by-hand' in event['message'] for event in logged):\n"
        "        print('in the log')\n"
        "        break\n"
        "    time.sleep(0.1)\n"
    )
    script = tmp_path / "look.py"
    script.write_text(program)
    seen = running.in_shell(f'"$VIRTUAL_ENV/bin/python" "{script}"')
    assert seen.stdout == "in the lake\nin the log\n", seen.stderr


@pytest.mark.thorough
def test_a_trace_says_what_is_waited_for_by_the_journal_and_by_what_a_stage_has(running: Any, tmp_path: Path) -> None:
    """The answers for a stage on AWS come from lake, rows and logs, here from those of the local cloud."""
    sent = [
        entity_event("traced-1", "submitted", title="A title"),
        entity_event("traced-2", "submitted", title="A title"),
        entity_event("traced-2", "analyzed", sentiment="unheard of"),
        {**entity_event("traced-3", "submitted"), "type": f"{ENTITY}-submited"},
    ]
    (tmp_path / "events.json").write_text(json.dumps(sent))
    assert running.run_here("send", str(tmp_path / "events.json")).returncode == 0

    reasons = {"traced-1": "event types", "traced-2": "fault", "traced-3": "filter"}

    def by_the_journal() -> dict[str, list[Any]]:
        traced = {key: running.run_here("trace", key, "--json") for key in reasons}
        return {key: json.loads(each.stdout)["waits"] for key, each in traced.items() if each.returncode == 0}

    def as_a_stage() -> dict[str, list[Any]]:
        since = datetime.now(UTC) - timedelta(hours=1)
        connected = connect_to(Connection("local", StateFolder(running.state)), since)
        with noting() as notes, connected as (answers, deployed):
            waits = {key: timeline_of(answers, deployed, key).waits for key in reasons}
        assert {ATTEMPTS, MESSAGES, BEFORE} < {*notes}
        assert "your role lacks" not in "".join(notes.texts())
        return {key: [wait.as_json() for wait in each] for key, each in waits.items()}

    for ask in (by_the_journal, as_a_stage):
        waits = eventually(ask, reasons)
        assert waits["traced-1"]["what"].endswith(f" still needs {ENTITY}-analyzed for traced-1")
        assert waits["traced-1"]["why"][0].endswith(f"holds 1 of 2: {ENTITY}-submitted (submitted-traced-1)")
        assert waits["traced-2"]["why"][0].startswith("InvalidAnalysis: sentiment is 'unheard of'")
        assert any(f'(did you mean "{ENTITY}-submitted"?)' in why for why in waits["traced-3"]["why"])
    whole = running.in_shell(f"{AS_A_STAGE} trace traced-1 --stage local --json")
    assert whole.returncode == 0, whole.stderr
    timeline = json.loads(whole.stdout)
    assert timeline["waits"][0]["what"].endswith(f" still needs {ENTITY}-analyzed for traced-1")
    assert str(MESSAGES) in timeline["unknown"]
    unknown = running.run_here("trace", "traced-4")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("Nobody has seen traced-4 in the local cloud.\nNearest: ")


def test_the_lines_of_a_function_are_shown_with_what_they_are_about(running: Any, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(json.dumps(entity_event("logged-1", "analyzed", sentiment="unheard of")))
    assert running.run_here("send", str(tmp_path / "event.json")).returncode == 0

    def logged() -> list[dict[str, Any]]:
        shown = running.run_here("logs", "control-service", "--level", "warning", "--json")
        assert shown.returncode == 0, shown.stderr
        return [
            line
            for line in map(json.loads, shown.stdout.splitlines())
            if line["about"].get("event", "").endswith("logged-1")
        ]

    deadline = time.monotonic() + 40
    while not (lines := logged()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert [(line["level"], line["function"]) for line in lines] == [("WARNING", "control-service-local-trigger")]
    assert "InvalidAnalysis" in lines[0]["message"]


@pytest.mark.thorough
def test_a_person_watches_a_story_become_ready_and_finds_why_another_did_not(
    chromium: Any, running: Any, tmp_path: Path
) -> None:
    def send(*events: dict[str, Any]) -> None:
        (tmp_path / "events.json").write_text(json.dumps(events))
        assert running.run("send", str(tmp_path / "events.json")).returncode == 0

    person = "a person beside a cloud"
    chromium.play(person, "isLive", running.run("console").stdout.strip())
    send(entity_event("watched-1", "submitted", title="A title"))
    chromium.play(person, "traced", given={"asked": "watched-1", "text": "submitted-watched-1 on"})
    chromium.play(person, "shown", given={"text": f"still needs {ENTITY}-analyzed for watched-1"})
    send(entity_event("watched-1", "analyzed", sentiment="neutral"))
    seen = chromium.play(person, "seenInTrace", given={"text": f"{ENTITY}-ready"})
    assert "control-service-local-trigger" in seen["names"]
    assert seen["problems"] == []

    send(
        entity_event("watched-2", "submitted", title="A title"),
        entity_event("watched-2", "analyzed", sentiment="unheard of"),
    )
    chromium.play(person, "traced", given={"asked": "watched-2", "text": "submitted-watched-2 on"})
    seen = chromium.play(person, "shown", given={"text": "InvalidAnalysis: sentiment is 'unheard of'"})
    assert "It waits" in seen["text"]
    seen = chromium.play(person, "shards", given={"text": "control-service-local-listener"})
    assert seen["problems"] == []
    seen = chromium.play(person, "functions", given={"name": "control-service-local-trigger"})
    assert seen["problems"] == []


def entity_event(key: str, what: str, **fields: Any) -> dict[str, Any]:
    now = time.time_ns() // 1_000_000
    event = {"id": f"{what}-{key}", "type": f"{ENTITY}-{what}", "timestamp": now, "partition_key": key}
    return {**event, ENTITY: {"id": key, "score": 0.5, "model_version": "1", **fields}}


def eventually(ask: Callable[[], dict[str, list[Any]]], reasons: dict[str, str]) -> dict[str, Any]:
    """The first of what each key waits for, once these have the given reasons."""
    deadline = time.monotonic() + 60
    while True:
        firsts = {key: waits[0] for key, waits in ask().items() if waits}
        if {key: wait["reason"] for key, wait in firsts.items()} == reasons:
            return firsts
        assert time.monotonic() < deadline, firsts
        time.sleep(1)  # to ask takes a second of CPU


def test_json_that_is_not_an_event_is_refused(running: Any, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text('"text"')
    refused = running.run_here("send", str(event))
    assert refused.returncode == 1
    assert "an event is a JSON object" in refused.stderr


def test_sls_invoke_reaches_a_deployed_function(running: Any) -> None:
    invoked = running.in_shell(
        f"'{SLS}' invoke --stage local -f listener -d '{{\"Records\": []}}'", ROOT / "services/control-service"
    )
    assert invoked.returncode == 0, invoked.stdout + invoked.stderr
    assert json.loads(invoked.stdout) == {"batchItemFailures": []}


def test_clients_that_write_one_story_at_the_same_time_are_all_answered(running: Any) -> None:
    """Each is the next version and has its message, or is told to try again; nobody is told that the service failed."""
    writers, writes_each = (16 if "THOROUGH" in os.environ else 6), 4  # a process of the function for each
    cloud = attach(StateFolder(running.state))
    stack = {"StackName": "rest-bff-service-local", "LogicalResourceId": "HttpApi"}
    api = cloud.client("cloudformation").describe_stack_resource(**stack)["StackResourceDetail"]["PhysicalResourceId"]
    story_id = "written-by-many"
    content = {
        "source_type": "newsapi",
        "source_url": "https://news.example/ai",
        "title": "0",
        "text_snippet": "A text",
        "published_at": "2026-11-16T10:00:00Z",
    }
    begin = threading.Barrier(writers)
    with httpx.Client(
        base_url=cloud.url,
        headers={"Host": cloud.api_host(api)},
        limits=httpx.Limits(max_connections=writers),
        trust_env=False,
        timeout=60,
    ) as client:
        assert client.post("/stories", json={"id": story_id, **content}).status_code == 201

        def write(writer: int) -> list[httpx.Response]:
            begin.wait()
            titles = [f"{writer}.{number}" for number in range(writes_each)]
            return [client.put(f"/stories/{story_id}", json={**content, "title": title}) for title in titles]

        with ThreadPoolExecutor(writers) as pool:
            answers = [answer for each in pool.map(write, range(writers)) for answer in each]
        story = client.get(f"/stories/{story_id}").json()

    written = {answer.json()["version"]: answer.json()["title"] for answer in answers if answer.status_code == 200}
    refused = [answer for answer in answers if answer.status_code != 200]
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in refused] == [(409, "1")] * len(refused)
    assert len(written) + len(refused) == writers * writes_each
    assert written == {version: written[version] for version in range(2, len(written) + 2)}
    assert (story["version"], story["title"]) == (len(written) + 1, written[len(written) + 1])

    def messages() -> list[Any]:
        rows = cloud.client("dynamodb").query(
            TableName="rest-bff-service-local-entities",
            KeyConditionExpression="pk = :pk AND begins_with(sk, :outbox)",
            ExpressionAttributeValues={":pk": {"S": story_id}, ":outbox": {"S": "outbox#"}},
            ConsistentRead=True,
        )["Items"]
        return [json.loads(row["message"]["S"])["story"] for row in rows if row.get("dispatched", {}).get("BOOL")]

    deadline = time.monotonic() + 60
    while len(messages()) <= len(written) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(messages()) == len(written) + 1
    assert {each["version"]: each["title"] for each in messages()} == {1: "0", **written}
    group = "/aws/lambda/rest-bff-service-local-rest"
    logged = [event["message"] for event in cloud.client("logs").filter_log_events(logGroupName=group)["events"]]
    assert not [line for line in logged if "ERROR" in line or "Task timed out" in line]
    print(f"{len(written)} writes were made, {len(refused)} refused")


def test_an_object_is_read_to_its_end_however_many_invocations_that_takes(running: Any, tmp_path: Path) -> None:
    """Lambda stops a function that has invoked itself sixteen times, unless its template says not to.

    The emulator does so, too, but its CloudFormation leaves out what the template says; hence it is told by its API.
    """
    program = (
        "import boto3, json\n"
        "functions, events, sqs, s3 = (boto3.client(name) for name in ('lambda', 'events', 'sqs', 's3'))\n"
        "name, bus = 'event-hub-local-ingress', 'event-hub-local-bus'\n"
        "template = boto3.client('cloudformation').get_template(StackName='event-hub-local')['TemplateBody']\n"
        "template = json.loads(template) if isinstance(template, str) else template\n"
        "loop = template['Resources']['IngressLambdaFunction']['Properties'].get('RecursiveLoop', 'Terminate')\n"
        "functions.put_function_recursion_config(FunctionName=name, RecursiveLoop=loop)\n"
        "variables = functions.get_function_configuration(FunctionName=name)['Environment']['Variables']\n"
        "late = {**variables, 'CONTINUE_MARGIN_MS': '900001'}\n"
        "functions.update_function_configuration(FunctionName=name, Environment={'Variables': late})\n"
        "allow = {'Effect': 'Allow', 'Principal': {'Service': 'events.amazonaws.com'}, 'Action': 'sqs:SendMessage'}\n"
        "policy = json.dumps({'Version': '2012-10-17', 'Statement': {**allow, 'Resource': '*'}})\n"
        "url = sqs.create_queue(QueueName='rows', Attributes={'Policy': policy})['QueueUrl']\n"
        "arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=['QueueArn'])['Attributes']['QueueArn']\n"
        "events.put_rule(Name='rows', EventBusName=bus, EventPattern='{\"detail-type\": [\"record-received\"]}')\n"
        "events.put_targets(Rule='rows', EventBusName=bus, Targets=[{'Id': 'queue', 'Arn': arn}])\n"
        "rows = 'id,name,amount\\n' + 'no row\\n' * 2000 + 'last,Zoe,1\\n'\n"
        "s3.put_object(Bucket='event-hub-local-landing-000000000000-us-east-1', Key='long.csv', Body=rows)\n"
        "for _ in range(60):\n"
        "    for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get('Messages', []):\n"
        "        print(json.loads(message['Body'])['detail']['partition_key'])\n"
        "        raise SystemExit\n"
    )
    script = tmp_path / "land.py"
    script.write_text(program)
    landed = running.in_shell(f'"$VIRTUAL_ENV/bin/python" "{script}"')
    assert landed.stdout == "last\n", landed.stderr


def test_a_story_is_announced_on_the_topic_and_shown_on_the_dashboard(running: Any, tmp_path: Path) -> None:
    script = tmp_path / "story.py"
    script.write_text(STORY_ON_ITS_WAY)
    told = running.in_shell(f'"$VIRTUAL_ENV/bin/python" "{script}"')
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.splitlines() == [
        "story-created is on the topic",
        "the analyzed story is found by its tag",
        "story-updated is on the topic",
        "it is not found by the tag that it lost",
    ]


@pytest.mark.thorough  # a test below has one deployed by the same command, and again by the CLI
def test_one_service_is_deployed_again(running: Any) -> None:
    again = running.run("deploy", "event-hub")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "sls deploy event-hub" in again.stdout


def test_a_service_that_does_not_exist_is_named(running: Any) -> None:
    refused = running.run_here("deploy", "nothing-here")
    assert refused.returncode == 1
    assert "There is no service nothing-here" in refused.stderr
