"""Every role allows what its function needs, and no more."""

import re

# Actions without resource-level permissions, each with the condition that limits it instead (None: there is none).
WITHOUT_RESOURCE = {
    "cloudwatch:PutMetricData": "cloudwatch:namespace",
    "dynamodb:ListStreams": None,
    "xray:PutTraceSegments": None,
    "xray:PutTelemetryRecords": None,
}


def statements(stack):
    """Every statement of every role, with the role's logical id."""
    return [
        (name, statement)
        for name, role in stack.of_type("AWS::IAM::Role").items()
        for policy in role.get("Policies", [])
        for statement in stack.statements(policy["PolicyDocument"])
    ]


def test_every_function_has_its_own_role(stack):
    roles = [stack.resolve(function["Role"]) for function in stack.functions.values()]
    assert len(roles) == len(set(roles))
    assert [role for role in roles if stack.resource_with(role) is None] == []


def test_no_role_of_the_stack_is_unused(stack):
    for name in stack.of_type("AWS::IAM::Role"):
        mentions = [other for other, resource in stack.resources.items() if other != name and name in str(resource)]
        assert mentions, name


def test_no_statement_allows_all_actions_of_a_service(stack):
    assert [
        (name, each.actions) for name, each in statements(stack) if any("*" in action for action in each.actions)
    ] == []


def test_every_statement_names_its_resource_if_the_action_supports_it(stack):
    unnamed = [(name, each) for name, each in statements(stack) if "*" in each.resources]
    for name, statement in unnamed:
        for action in statement.actions:
            assert action in WITHOUT_RESOURCE, f"{name}: {action} on *"
            condition = WITHOUT_RESOURCE[action]
            given = {key for each in statement.condition.values() for key in each}
            assert condition is None or condition in given, f"{name}: {action} on * without {condition}"


def test_wildcards_in_a_resource_are_never_part_of_its_name(stack):
    """`bucket/*`, `log-group:name:*` and `table/name/index/*` are allowed; `table/*` or `:*-queue` are not.

    A consumer's ARN ends in the time of its creation.
    """
    inside = re.compile(
        r"^[^*]*[^*/:]/([^*]+/)?\*$|^[^*]*log-group:[^*]+:(\*|log-stream:\*)$|^\*$|^[^*]*$"
        r"|^[^*]*:stream/[^*/]+/consumer/[^*]+\*[^*]+:\*$"
    )
    assert [
        (name, each.resources) for name, each in statements(stack) if not all(map(inside.match, each.resources))
    ] == []
    tables = [resource for _, each in statements(stack) for resource in each.resources if ":table/" in resource]
    assert [resource for resource in tables if resource.endswith(":table/*")] == []


def test_no_role_has_a_managed_policy(stack):
    """Managed policies change without notice and allow more than a function needs."""
    assert [name for name, role in stack.of_type("AWS::IAM::Role").items() if role.get("ManagedPolicyArns")] == []


def test_a_function_with_a_bus_may_put_events_on_it(stack):
    for name, function in stack.functions.items():
        bus = function["Environment"]["Variables"].get("BUS_NAME")
        if bus is None or name == "rest":
            continue
        allowed = [each for each in stack.statements_of_role(function["Role"]) if "events:PutEvents" in each.actions]
        assert [each.resources for each in allowed if each.effect == "Allow"], name


def test_a_function_may_write_only_its_own_log(stack):
    for name, function in stack.functions.items():
        group = f"log-group:/aws/lambda/{stack.resolve(function['FunctionName'])}:"
        writing = [each for each in stack.statements_of_role(function["Role"]) if "logs:PutLogEvents" in each.actions]
        resources = [resource for each in writing for resource in each.resources]
        assert resources, name
        assert [resource for resource in resources if group not in resource] == [], name


def test_a_function_with_a_table_may_write_to_it(stack):
    for name, function in stack.functions.items():
        table = function["Environment"]["Variables"].get("ENTITY_TABLE_NAME")
        if table and name in {"listener", "rest"}:
            logical = next(each for each in stack.of_type("AWS::DynamoDB::Table"))
            assert stack.role_may(function["Role"], "dynamodb:UpdateItem", stack.arn(logical)), name
