"""Which AWS a command talks to: the local cloud of a state folder, or the account of the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_cli.local.cloud import attach
from stream_cli.local.state import CloudError, StateFolder

LOCAL = "local"

ClientOf = Callable[[str], Any]
"""A service's name -> its boto3 client."""


def clients_of(stage: str, state: StateFolder) -> ClientOf:
    """Clients for a stage: stage ``local`` is the cloud that runs in the state folder, any other one is on AWS.

    Raises:
        CloudError: the stage is local and no cloud runs.
    """
    if stage == LOCAL:
        return attach(state).client
    import boto3

    session = boto3.Session()
    return lambda service: session.client(service)  # type: ignore[call-overload,no-any-return,unused-ignore]


def output_of(client_of: ClientOf, stack: str, output: str) -> str:
    """An output of a deployed stack.

    Raises:
        CloudError: there is no such stack, or it has no such output.
    """
    from botocore.exceptions import ClientError

    try:
        (found,) = client_of("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        raise CloudError(f"Stack {stack} cannot be read: {error.response['Error'].get('Message')}") from error
    outputs = {each["OutputKey"]: str(each["OutputValue"]) for each in found.get("Outputs", [])}
    if output not in outputs:
        raise CloudError(f"Stack {stack} has no output {output}; it has {', '.join(sorted(outputs)) or 'none'}.")
    return outputs[output]
