"""Typical mistakes: each one line of a template, what `check` says before, and what is said where it runs all the same.

`tests/templates/test_mistakes.py` makes each of them in a copy of the templates and reads what `check` finds;
`tests/system/test_mistakes.py` makes them in a service that runs in a local cloud under `dev`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LISTENER, TRIGGER = "control/rules/listener.py", "control/rules/trigger.py"
STORY = "story"
"""The entity of the template."""


@dataclass(frozen=True)
class Mistake:
    """One line that is wrong.

    Attributes:
        what: what somebody did.
        file: of the service.
        right: the text in the file.
        wrong: what stands there instead; None where nothing is found before the function runs.
        code: of the check that finds it.
        says: what it says.
        at: a text of the line that the finding names; the wrong one by default.
        fixtures: how the names of those begin that the service is tried with; the others are left out, to be quick.
        when_running: what comes of it in a function.
        told: what `dev` says of it in a running cloud, or `trace` of what ends in silence there; empty if nothing does.
        told_when: it is ``saved`` or ``deployed`` under `dev`, the first ``event`` comes, or `trace` is asked.
        status: what `status` says then.
    """

    what: str
    file: str
    right: str
    wrong: str
    code: str
    says: str
    at: str | None = None
    fixtures: str = "-"
    when_running: str = "the import fails, and so does every invocation"
    told: str = ""
    told_when: Literal["saved", "deployed", "event", "trace"] = "saved"
    status: str = ""


MISTAKES = [
    Mistake(
        "a field that no flavor has",
        LISTENER,
        '"event_type": ANALYZED,\n        "correlation_key": ',
        '"event_type": ANALYZED,\n        "correlationkey": ',
        "SM410",
        f"rule 'collect-analyzed-{STORY}': flavor collect has no field 'correlationkey'; did you mean "
        "'correlation_key'?",
        at='"correlationkey"',
        told=f"InvalidRule: rule 'collect-analyzed-{STORY}': flavor collect has no field 'correlationkey'; did you "
        "mean 'correlation_key'?",
    ),
    Mistake(
        "a field of another flavor",
        TRIGGER,
        f'"correlation_key": "{STORY}.id",\n',
        f'"correlation_key": "{STORY}.id", "once": True,\n',
        "SM410",
        f"rule 'correlate-{STORY}': flavor correlate has no field 'once'; it has batch_size, ",
        at='"once": True,',
        told=f"InvalidRule: rule 'correlate-{STORY}': flavor correlate has no field 'once'; it has batch_size, ",
    ),
    Mistake(
        "a misspelled type in a listener",
        LISTENER,
        '"event_type": ANALYZED,',
        f'"event_type": "{STORY}-analysed",',
        "SM418",
        f"the rule collect-analyzed-{STORY} wants {STORY}-analysed, which nobody publishes; did you mean "
        f"{STORY}-analyzed?",
        when_running="the rule never runs",
        told=f"no rule takes events of type {STORY}-analyzed",
        told_when="event",
    ),
    Mistake(
        "a misspelled type in an evaluation",
        TRIGGER,
        '"flavor": evaluate,\n        "event_type": [SUBMITTED, ANALYZED],',
        f'"flavor": evaluate,\n        "event_type": [SUBMITTED, "{STORY}-analysed"],',
        "SM414",
        f"the rule evaluate-{STORY} evaluates {STORY}-analysed, and no rule correlates {STORY}-analysed with the "
        f"suffix completion; did you mean {STORY}-analyzed?",
        at=f'"{STORY}-analysed"',
        when_running="the rule never runs for that type",
        told=f"still needs {STORY}-analysed for",
        told_when="trace",
    ),
    Mistake(
        "a function of a rule that raises",
        TRIGGER,
        'submitted, analyzed = uow["triggers"]',
        'submitted, analyzed = uow["trigers"]',
        "SM213",
        "KeyError: 'trigers' in control/rules/trigger.py:38, to_ready: uow[\"trigers\"] in the rule "
        f"evaluate-{STORY}, with the fixture trigger-correlated",
        fixtures="trigger-c",
        when_running="a fault event with rule, file and line for each event",
        told=f"FAULT evaluate-{STORY}: KeyError: 'trigers' in control/rules/trigger.py:38, to_ready: uow[\"trigers\"]",
        told_when="event",
        status="faults on the bus",
    ),
    Mistake(
        "a function with the wrong number of arguments",
        TRIGGER,
        "def to_ready(uow: EvaluateUow[DynamodbRecord], rule: EvaluateRule, template: Mapping[str, Any])",
        "def to_ready(uow: EvaluateUow[DynamodbRecord], template: Mapping[str, Any])",
        "SM410",
        f"rule 'evaluate-{STORY}': field 'emit' takes (uow, template); expected an event type, a list of them, or a "
        "callable (uow, rule, template)",
        told=f"InvalidRule: rule 'evaluate-{STORY}': field 'emit' takes (uow, template); expected an event type, a "
        "list of them, or a callable (uow, rule, template)",
    ),
    Mistake(
        "suffixes of a correlation that differ",
        TRIGGER,
        '"correlation_key_suffix": COMPLETION,\n        "expression"',
        '"correlation_key_suffix": "completon",\n        "expression"',
        "SM414",
        f"the rule evaluate-{STORY} evaluates correlations with the suffix completon, and no rule correlates with it; "
        "did you mean completion?",
        at='"completon"',
        when_running="the rule never runs; `trace` says so, with both suffixes",
        told="whose suffix is completion; did you mean completon?",
        told_when="trace",
    ),
    Mistake(
        "a random id",
        TRIGGER,
        'return {**template, "type": READY,',
        'return {**template, "id": str(__import__("uuid").uuid4()), "type": READY,',
        "SM211",
        f"the rule evaluate-{STORY} publishes {STORY}-ready under another id when the fixture trigger-correlated comes "
        "again",
        at="def to_ready(",
        fixtures="trigger-c",
        when_running="each retry publishes one more event",
    ),
    Mistake(
        "a misspelled function of a condition",
        LISTENER,
        '"ConditionExpression": "attribute_exists(pk)"',
        '"ConditionExpression": "attribute_exist(pk)"',
        "SM212",
        "Invalid ConditionExpression: Invalid function name; function: attribute_exist (UpdateItem that the rule "
        f"settle-ready-{STORY} makes with the fixture listener-{STORY}-ready)",
        fixtures=f"listener-{STORY}-ready",
        when_running="a fault event for each event",
        told=f"FAULT settle-ready-{STORY}: ClientError: An error occurred (ValidationException) when calling the "
        "UpdateItem operation (reached max retries: 0): Invalid ConditionExpression: Invalid function name; function: "
        "attribute_exist",
        told_when="event",
        status="faults on the bus",
    ),
    Mistake(
        "a variable that is missing",
        "serverless.yml",
        "    EVENT_TABLE_NAME: ${self:custom.eventTableName}\n",
        "",
        "SM412",
        "environment variable EVENT_TABLE_NAME is not set: table of collected and correlated events; set it in "
        "serverless.yml, in the environment of the function or of the provider",
        at="  listener:",
        told="InvalidSetting: environment variable EVENT_TABLE_NAME is not set: table of collected and correlated "
        "events; set it in serverless.yml, in the environment of the function or of the provider",
        told_when="deployed",
        status="InvalidSetting: environment variable EVENT_TABLE_NAME is not set",
    ),
    Mistake(
        "a table that does not exist",
        "serverless.yml",
        "    EVENT_TABLE_NAME: ${self:custom.eventTableName}\n",
        "    EVENT_TABLE_NAME: ${self:custom.eventTableName}s\n",
        "SM413",
        "EVENT_TABLE_NAME is control-service-local-eventss, and the template has no table of that name; did you mean "
        "control-service-local-events?",
        at="  listener:",
        when_running="records are retried until they are given up, and the log names the table",
        told="there is no table control-service-local-eventss; did you mean control-service-local-events?",
        told_when="event",
        status="PutItem on control-service-local-eventss: ClientError: An error occurred (AccessDeniedException)",
    ),
    Mistake(
        "an event that is too large",
        TRIGGER,
        'return {**template, "type": READY,',
        'return {**template, "blob": "x" * 16_777_216, "type": READY,',
        "SM213",
        f"bytes, MAX_EXPANDED_SIZE is 16777216 in the rule evaluate-{STORY}, with the fixture trigger-correlated",
        at=f'"id": "evaluate-{STORY}"',
        fixtures="trigger-c",
        when_running="a fault event with the size for each event that is too large",
        told="bytes, MAX_EXPANDED_SIZE is 16777216",
        told_when="event",
        status="faults on the bus",
    ),
    Mistake(
        "a row that is too large",
        LISTENER,
        '{"Item": {**template["Item"], "waiting": WAITING}, "Cond',
        '{"Item": {**template["Item"], "waiting": WAITING, "blob": "x" * 500_000}, "Cond',
        "SM212",
        f"Item size has exceeded the maximum allowed size (PutItem that the rule collect-submitted-{STORY} makes with "
        f"the fixture listener-{STORY}-submitted)",
        at='"blob": "x" * 500_000}, "ConditionExpression"',
        fixtures=f"listener-{STORY}-submitted",
        when_running="a fault event for each row that is too large",
        told=f"FAULT collect-submitted-{STORY}: ClientError: An error occurred (ValidationException) when calling the "
        "PutItem operation (reached max retries: 0): Item size has exceeded the maximum allowed size",
        told_when="event",
        status="faults on the bus",
    ),
    Mistake(
        "a filter that matches nothing",
        "serverless.yml",
        "            - data:\n                type: [",
        "            - data:\n                typ: [",
        "SM420",
        "filter pattern 1 names data.typ, which no event has; did you mean data.type?",
        at="          filterPatterns:",
        when_running="the function is never invoked",
        told=f"no mapping on event-hub-local-s1 lets through {STORY}-submitted",
        told_when="event",
        status=f"no mapping on event-hub-local-s1 lets through {STORY}-submitted",
    ),
    Mistake(
        "a permission that is missing",
        "resources/roles.yml",
        "                  - dynamodb:PutItem\n                  - dynamodb:UpdateItem\n",
        "                  - dynamodb:PutItem\n",
        "SM605",
        "ListenerRole does not allow dynamodb:UpdateItem on arn:${AWS::Partition}:dynamodb:${AWS::Region}:"
        f"${{AWS::AccountId}}:table/control-service-local-events, which the fixture listener-{STORY}-ready of listener "
        "needs",
        at="  ListenerRole:",
        fixtures=f"listener-{STORY}-ready",
        when_running="AccessDenied: records are retried until they are given up; so in the local cloud, whose logs "
        "name the statement",
        told="no statement of its role control-service-local-us-east-1-listener allows it. This one is missing:",
        told_when="event",
        status="UpdateItem on control-service-local-events: ClientError: An error occurred (AccessDeniedException)",
    ),
]
