"""AWS clients of a stage: of the local cloud in a state folder, or of the account in the environment."""

from __future__ import annotations

import threading
from typing import Any

from stream_cli.deployment.stacks import functions_of_stage, region_of, resources_of_stage, stacks_of_stage
from stream_cli.errors import CommandError
from stream_cli.local.cloud import attach
from stream_cli.local.state import StateFolder
from stream_cli.terminal.aws_errors import EXPIRED
from stream_cli.terminal.options import LOCAL

# Lambda quotas: a function runs for at most 15 minutes.
_INVOCATION_S = 15 * 60 + 10.0


class Connection:
    """The cloud of a stage: the one that runs in the state folder for ``local``, AWS for any other stage.

    Its clients may be used by any thread.

    Raises:
        CommandError: the stage is local and no cloud runs.
    """

    def __init__(self, stage: str, state: StateFolder, region: str | None = None) -> None:
        self.stage = stage
        self._local = attach(state) if stage == LOCAL else None
        self._region = region
        self._session: Any = None
        self._clients: dict[str, Any] = {}
        self._guard = threading.Lock()

    def client(self, service: str) -> Any:
        """A boto3 client, made once; anew when the credentials have expired, since there may be others by now."""
        if self._local is not None:
            return self._local.client(service)
        with self._guard:
            if service not in self._clients:
                self._clients[service] = self._of_the_account(service)
            return self._clients[service]

    def _of_the_account(self, service: str, **options: Any) -> Any:
        import boto3

        if self._session is None:
            self._session = boto3.Session()
        region = region_of(self._session, self._region)
        client = self._session.client(service, region_name=region, **options)
        client.meta.events.register("after-call", self._look_at)
        return client

    def _look_at(self, parsed: Any, **_: Any) -> None:
        if isinstance(parsed, dict) and parsed.get("Error", {}).get("Code") in EXPIRED:
            with self._guard:
                self._session, self._clients = None, {}

    def invoking(self) -> Any:
        """A Lambda client that waits as long as a function may run, and never repeats an invocation."""
        if self._local is not None:
            return self._local.client("lambda", read_timeout_s=_INVOCATION_S, attempts=1)
        from botocore.config import Config

        once = Config(read_timeout=_INVOCATION_S, tcp_keepalive=True, retries={"total_max_attempts": 1})
        with self._guard:
            return self._of_the_account("lambda", config=once)

    def place(self) -> str:
        """The account and the region, for people."""
        if self._local is not None:
            return f"the local cloud at {self._local.url}"
        sts = self.client("sts")
        return f"account {sts.get_caller_identity()['Account']}, {sts.meta.region_name}"

    def functions(self) -> frozenset[str]:
        """The names of the functions in the stage's stacks."""
        return functions_of_stage(self.client("cloudformation"), self.stage)

    def resources(self) -> dict[str, list[str]]:
        """The names of the resources in the stage's stacks, by type."""
        return resources_of_stage(self.client("cloudformation"), self.stage)

    def stacks(self) -> list[dict[str, Any]]:
        """The stage's stacks, as DescribeStacks describes them."""
        return stacks_of_stage(self.client("cloudformation"), self.stage)

    def bucket(self, service: str, given: str | None) -> str:
        """The given bucket, or the one in the output ``bucketName`` of a service's stack.

        Raises:
            CommandError: the bucket or the stack does not exist.
        """
        from botocore.exceptions import ClientError

        if given is None:
            return self._output(f"{service}-{self.stage}", "bucketName")
        try:
            self.client("s3").head_bucket(Bucket=given)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
                raise CommandError(f"There is no bucket {given} in stage {self.stage}.") from error
            raise
        return given

    def _output(self, stack: str, output: str) -> str:
        from botocore.exceptions import ClientError

        another = "A service of another name is found with --bucket, its stack's output bucketName."
        try:
            (found,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            why = error.response["Error"].get("Message")
            if self.stage == LOCAL and "does not exist" in str(why):
                deploy = f"streamctl deploy {stack.removesuffix(f'-{LOCAL}')}"
                raise CommandError(
                    f"The local cloud has no stack {stack}: `{deploy}` deploys it, and what is published from then on "
                    f"is kept. {another}"
                ) from error
            raise CommandError(f"Stack {stack} cannot be read: {why}. {another}") from error
        outputs = {each["OutputKey"]: str(each["OutputValue"]) for each in found.get("Outputs", [])}
        if output not in outputs:
            has = ", ".join(sorted(outputs)) or "none"
            raise CommandError(f"Stack {stack} has no output {output}; it has {has}. {another}")
        return outputs[output]
