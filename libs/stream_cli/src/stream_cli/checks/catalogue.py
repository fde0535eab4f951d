"""The one table of all checks: code, severity, title, why it matters, how it is fixed, and the function that looks.

Codes are stable: one that is given up is not used again. The hundreds tell the kind: 1 refused at deployment, 2 loses
data, 3 blocks, 4 never fires, 5 wastes, 6 roles. `CHECKS.md` is this table for readers
(`python -m stream_cli.checks.catalogue` writes it to standard output).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from . import blocking, deployment, firing, loss, roles, waste
from .findings import Check, Severity

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

KINDS: Mapping[str, str] = {
    "1": "Fails at deployment although packaging passed",
    "2": "Loses data",
    "3": "Blocks",
    "4": "Never fires",
    "5": "Wasteful",
    "6": "Roles",
}

CHECKS: Sequence[Check] = (
    Check(
        "SM101",
        _ERROR,
        "AT_TIMESTAMP without a timestamp",
        "AWS refuses a mapping that starts AT_TIMESTAMP and has no StartingPositionTimestamp; the CLI checks that, and "
        "compiles the timestamp, only where `consumer` is set.",
        "Start at TRIM_HORIZON or LATEST, read through a `consumer`, or set StartingPositionTimestamp of the compiled "
        "mapping under `resources.extensions`.",
        deployment.timestamp_missing,
    ),
    Check(
        "SM102",
        _ERROR,
        "AT_TIMESTAMP on a DynamoDB stream",
        "DynamoDB streams can be read from TRIM_HORIZON or LATEST only; AWS refuses the mapping.",
        "Set startingPosition to TRIM_HORIZON; a stream keeps 24 hours.",
        deployment.timestamp_on_dynamodb,
    ),
    Check(
        "SM103",
        _ERROR,
        "Starting timestamp in the future",
        "AWS refuses a StartingPositionTimestamp ahead of now. It is in Unix seconds; milliseconds lie far ahead.",
        "Give startingPositionTimestamp in seconds.",
        deployment.timestamp_in_future,
    ),
    Check(
        "SM104",
        _ERROR,
        "Consumer on a DynamoDB stream",
        "Enhanced fan-out exists for Kinesis streams only: a registered consumer is refused, and `consumer` on a "
        "DynamoDB event is left out without a word.",
        "Remove `consumer`, or correct `type` where the stream is a Kinesis stream.",
        deployment.consumer_on_dynamodb,
    ),
    Check(
        "SM105",
        _ERROR,
        "Tumbling window with parallelization",
        "A window's state is handed from one batch of a shard to the next, so AWS refuses windows with more than one "
        "batch per shard at a time.",
        "Remove parallelizationFactor or tumblingWindowInSeconds.",
        deployment.window_with_parallelization,
    ),
    Check(
        "SM106",
        _ERROR,
        "Invalid filter pattern",
        "AWS refuses a mapping with a pattern outside of EventBridge's grammar; the CLI only checks that it is an "
        "object.",
        "Correct the pattern at the place named.",
        deployment.invalid_pattern,
    ),
    Check(
        "SM107",
        _ERROR,
        "Filter pattern too long",
        f"Lambda takes patterns of at most {deployment.MAX_PATTERN_LENGTH} characters.",
        "Use `prefix`, `wildcard` or `anything-but` instead of long lists, or split the list over several patterns.",
        deployment.pattern_too_long,
    ),
    Check(
        "SM108",
        _WARNING,
        "More filter patterns than the default quota",
        f"An account may use {deployment.MAX_PATTERNS} patterns on a mapping until AWS raises its quota (to at most "
        "10); the CLI takes 10.",
        "List the alternatives inside one pattern (`type: [a, b]`, `$or`).",
        deployment.too_many_patterns,
    ),
    Check(
        "SM109",
        _ERROR,
        "The table has no stream",
        "The StreamArn of a table without a StreamSpecification does not exist, and the stack fails.",
        "Give the table `StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}`.",
        deployment.table_without_stream,
    ),
    Check(
        "SM110",
        _ERROR,
        "The source is not the ARN of a stream or queue",
        "A `Ref` of a stream or table gives its name, and `Fn::GetAtt: [Table, Arn]` the table; AWS takes only the "
        "ARN of a stream, a consumer or a queue. The CLI takes any reference.",
        "Use `Fn::GetAtt: [<stream or queue>, Arn]`, or `[<table>, StreamArn]`.",
        deployment.source_is_no_arn,
    ),
    Check(
        "SM111",
        _ERROR,
        "The on-failure destination is not the ARN of a queue, topic or bucket",
        "A `Ref` of a queue gives its URL; AWS takes only ARNs. The CLI takes any reference.",
        "Use `Fn::GetAtt: [<queue>, Arn]`, or `Ref` of a topic.",
        deployment.destination_is_no_arn,
    ),
    Check(
        "SM112",
        _ERROR,
        "FIFO destination",
        "On-failure records go to standard queues and topics only.",
        "Use a standard queue or topic for on-failure records.",
        deployment.fifo_destination,
    ),
    Check(
        "SM113",
        _ERROR,
        "One source mapped twice to one function",
        "Lambda keeps one mapping per source and function and answers ResourceConflictException to the second.",
        "Join both events into one; its filterPatterns are alternatives.",
        deployment.mapped_twice,
    ),
    Check(
        "SM114",
        _ERROR,
        "Visibility timeout below the function's timeout",
        "Lambda refuses a queue whose messages become visible again while the function may still be working on them.",
        "Set VisibilityTimeout of the queue to at least six times the function's timeout.",
        deployment.queue_visible_too_early,
    ),
    Check(
        "SM115",
        _ERROR,
        "Batch that the queue cannot fill",
        "More than 10 messages need a batching window on a standard queue; FIFO queues take at most 10 and no window.",
        "Set maximumBatchingWindow to at least 1, or batchSize to at most 10.",
        deployment.queue_batch,
    ),
    Check(
        "SM116",
        _ERROR,
        "Consumer registered with something else than a stream",
        "A stream consumer takes the ARN of a Kinesis stream.",
        "Correct `arn` or `type` of the event.",
        deployment.consumer_of_other_streams,
    ),
    Check(
        "SM201",
        _ERROR,
        "Records are given up silently",
        "A limit on retries or age without an on-failure destination: what exceeds it is skipped, and nothing tells.",
        "Set destinations.onFailure, or take the limit away.",
        loss.gives_up_into_nothing,
    ),
    Check(
        "SM202",
        _ERROR,
        "The role may not write to the on-failure destination",
        "Lambda writes on-failure records with the function's role; without the permission they are lost.",
        "Allow sqs:SendMessage on the queue, sns:Publish on the topic, or s3:PutObject and s3:ListBucket on the "
        "bucket; and check the destination's `type`.",
        loss.destination_not_writable,
    ),
    Check(
        "SM203",
        _ERROR,
        "The role may not write to the bus of the function's faults",
        "Poison becomes a fault event on the bus. Where it cannot be published, its batch is retried until it is "
        "given up.",
        "Allow events:PutEvents on the bus.",
        loss.bus_not_writable,
    ),
    Check(
        "SM204",
        _WARNING,
        "Rules without a bus for their faults",
        "Rules publish what they cannot handle to the bus of BUS_NAME; without it poison is retried until it is "
        "given up.",
        "Set BUS_NAME in the function's environment.",
        loss.no_bus,
    ),
    Check(
        "SM205",
        _ERROR,
        "Partial failures that the mapping ignores",
        "Without functionResponseType whatever the function returns means that the batch is done: each failure is "
        "lost.",
        "Set functionResponseType: ReportBatchItemFailures.",
        loss.failures_ignored,
    ),
    Check(
        "SM206",
        _ERROR,
        "Partial failures that are never reported",
        "The mapping waits for batchItemFailures that the function never returns: what it catches counts as done, "
        "and one record that fails fails its whole batch.",
        'Return {"batchItemFailures": [...]} (`stream_handler` does), or remove functionResponseType.',
        loss.failures_never_reported,
    ),
    Check(
        "SM207",
        _ERROR,
        "Records are too old before they are tried",
        "A record may wait for the whole batching window; older than maximumRecordAgeInSeconds, it is given up "
        "untried.",
        "Make maximumRecordAgeInSeconds much longer than batchWindow.",
        loss.given_up_before_the_first_attempt,
    ),
    Check(
        "SM208",
        _WARNING,
        "Age limit beyond the stream's retention",
        "Records expire in the stream before they are given up, so that no on-failure record tells of them.",
        "Set maximumRecordAgeInSeconds below the retention, with time left to read the records back.",
        loss.age_beyond_retention,
    ),
    Check(
        "SM209",
        _WARNING,
        "Queue without a redrive policy",
        "A message that always fails comes back until the queue's retention ends, and is gone then.",
        "Give the queue a RedrivePolicy with a dead-letter queue.",
        loss.queue_without_redrive,
    ),
    Check(
        "SM210",
        _NOTE,
        "Starts at LATEST",
        "What arrives while the mapping is being created or changed may be missed.",
        "Start at TRIM_HORIZON unless the first records do not matter.",
        loss.starts_at_latest,
    ),
    Check(
        "SM301",
        _ERROR,
        "One poison record holds its shard",
        "The batch is retried whole until its records expire, and nothing behind it is read.",
        "Return partial failures (functionResponseType), or set bisectBatchOnFunctionError, maximumRetryAttempts and "
        "destinations.onFailure.",
        blocking.poison_blocks_shard,
    ),
    Check(
        "SM302",
        _WARNING,
        "An isolated record holds its shard",
        "Bisecting finds the poison record and then retries it until it expires, since nothing limits it.",
        "Set maximumRetryAttempts together with destinations.onFailure.",
        blocking.poison_blocks_alone,
    ),
    Check(
        "SM303",
        _WARNING,
        "Fewer executions reserved than lanes",
        "Each shard runs parallelizationFactor batches at once; what exceeds the reserved executions is throttled, and "
        "throttling counts as a failed attempt.",
        "Reserve at least parallelizationFactor times the number of shards, or lower the factor.",
        blocking.throttled_lanes,
    ),
    Check(
        "SM401",
        _ERROR,
        "The filter lets through what no rule handles",
        "The function is invoked for events that none of its rules wants: either a rule or its type is missing or "
        "misspelled, or the invocations are for nothing.",
        "Correct the type in the pattern or in the rule, or take it out of the pattern.",
        firing.filtered_type_unhandled,
    ),
    Check(
        "SM402",
        _ERROR,
        "The rule never fires",
        "No filter of the function's mappings lets the rule's events through; Lambda drops them as processed.",
        "Add the type to filterPatterns, or remove the rule.",
        firing.rule_filtered_out,
    ),
    Check(
        "SM403",
        _ERROR,
        "The pattern matches no record",
        "The pattern asks for a field, an image or a kind of value that records of this source never have, so "
        "everything is dropped. DynamoDB records carry type letters, and numbers as texts.",
        "Write the pattern against the record as Lambda gets it: `data` for Kinesis, `dynamodb.NewImage.<name>.S` for "
        "DynamoDB.",
        firing.pattern_matches_no_record,
    ),
    Check(
        "SM404",
        _ERROR,
        "The event has no mapping of its own",
        "The CLI names a mapping after function, type and stream; a second event with the same name replaces the first "
        "silently.",
        "Join the events into one; its filterPatterns are alternatives.",
        firing.event_without_mapping,
    ),
    Check(
        "SM405",
        _NOTE,
        "The mapping is disabled",
        "It is created, and nothing is read while records expire.",
        "Set `enabled: true` when the function is to run.",
        firing.mapping_disabled,
    ),
    Check(
        "SM406",
        _ERROR,
        "The stream's view type lacks what rules read",
        "Type and content of a DynamoDB event come from the images; without them the rule sees nothing.",
        "Set StreamViewType: NEW_AND_OLD_IMAGES.",
        firing.view_type_lacks_images,
    ),
    Check(
        "SM407",
        _ERROR,
        "The handler reads records of another source",
        "Each record is refused or becomes a fault, since it has another shape.",
        "Use from_kinesis for Kinesis and from_dynamodb for DynamoDB streams.",
        firing.reads_other_source,
    ),
    Check(
        "SM408",
        _ERROR,
        "No concurrency",
        "With zero reserved executions each attempt is throttled until the records are given up or expire.",
        "Remove reservedConcurrency, or set it to at least the number of shards.",
        firing.no_concurrency,
    ),
    Check(
        "SM409",
        _WARNING,
        "The handler cannot be imported",
        "Its rules cannot be compared with the filters here, and in Lambda the same error would fail every invocation.",
        "Correct the error named; packages that the service needs must be installed where streamctl runs.",
        firing.handler_unreadable,
    ),
    Check(
        "SM410",
        _ERROR,
        "The runtime refuses a rule",
        "Rules are checked at import: every invocation of the function would fail, and the mapping block its shards.",
        "Correct the field that is named.",
        firing.rule_refused,
    ),
    Check(
        "SM501",
        _WARNING,
        "No filter although the rules handle few types",
        "The function is invoked, and paid, for every record of the stream, to leave most of them out.",
        "Name the types of the rules in filterPatterns.",
        waste.no_filter,
    ),
    Check(
        "SM502",
        _WARNING,
        "Batch size and timeout do not fit",
        f"A record that is written somewhere takes about {waste.LEAST_MS_PER_RECORD:.0f} ms; with less, full batches "
        "time out and are done again from the start.",
        "Lower batchSize or raise the function's timeout.",
        waste.batch_cannot_fit,
    ),
    Check(
        "SM503",
        _WARNING,
        "Window for batches of one",
        "A batch of one is full at once, so the window does nothing.",
        "Remove batchWindow, or raise batchSize.",
        waste.window_for_one,
    ),
    Check(
        "SM504",
        _NOTE,
        "Many readers of one DynamoDB stream",
        f"A shard serves {waste.DYNAMODB_READERS} readers; with more, reads are throttled now and then, and "
        "functions lag.",
        "Join functions, or publish the changes to a Kinesis stream and read that.",
        waste.many_readers,
    ),
    Check(
        "SM505",
        _WARNING,
        "Starting timestamp without AT_TIMESTAMP",
        "The timestamp has no effect: the mapping starts where startingPosition says.",
        "Set startingPosition: AT_TIMESTAMP, or remove startingPositionTimestamp.",
        waste.timestamp_dropped,
    ),
    Check(
        "SM601",
        _ERROR,
        "The role may not read the mapping's source",
        "Lambda refuses to create a mapping whose function may not read its source.",
        "Allow the actions named on the source, or let the CLI make the role.",
        roles.mapping_not_allowed,
    ),
    Check(
        "SM602",
        _WARNING,
        "Statement for every action",
        "Whoever controls the function may do anything to the resource, deleting it included.",
        "Name the actions that the function uses.",
        roles.any_action,
    ),
    Check(
        "SM603",
        _WARNING,
        "Statement for every resource",
        "The function may touch resources of every other service in the account.",
        "Name the resource (`!GetAtt <resource>.Arn`).",
        roles.any_resource,
    ),
    Check(
        "SM604",
        _WARNING,
        "Permission to read a stream that no mapping reads",
        "The statement is left over, or meant for another stream; it lets the function read data that is not its "
        "business.",
        "Remove the statement, or correct its resource.",
        roles.reads_without_mapping,
    ),
)

BY_CODE: Mapping[str, Check] = {check.code: check for check in CHECKS}


def as_markdown() -> str:
    """The table for readers, as `CHECKS.md` has it."""
    lines = [
        "# What `streamctl check` reports",
        "",
        "Errors make it exit with 1; warnings and notes do not. Codes are stable. `streamctl check --explain SM101` "
        "shows one.",
    ]
    for kind, heading in KINDS.items():
        lines += ["", f"## {heading}", "", "| code | severity | what | why | fix |", "|---|---|---|---|---|"]
        lines += [
            f"| {check.code} | {check.severity.value} | {check.title} | {_cell(check.why)} | {_cell(check.fix)} |"
            for check in CHECKS
            if check.code[2] == kind
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
