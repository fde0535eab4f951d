"""The command ``streamctl``. Every command is registered here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stream_cli.checks.command import check
from stream_cli.console.command import console
from stream_cli.deployment import serverless
from stream_cli.deployment.packages import package
from stream_cli.deployment.rollout import Action
from stream_cli.deployment.sizes import sizes
from stream_cli.dev.command import dev
from stream_cli.faults.command import app as faults_app
from stream_cli.invoke.command import invoke_function
from stream_cli.invoke.triggers import Kind
from stream_cli.lake.command import app as lake_app
from stream_cli.local import background
from stream_cli.local.cloud import attach
from stream_cli.local.deploy import roll_out_stage, show_stacks
from stream_cli.local.state import StateFolder
from stream_cli.logs.command import logs
from stream_cli.mappings.command import app as mappings_app
from stream_cli.new.command import new_service
from stream_cli.plan.command import plan
from stream_cli.send import send_file
from stream_cli.terminal.commands import new_app, run_app, run_command
from stream_cli.terminal.options import (
    LOCAL,
    SERVICES,
    STATE,
    AsJson,
    Beside,
    Empty,
    EventsFile,
    Exact,
    Fresh,
    Iam,
    Names,
    Params,
    Port,
    Region,
    Services,
    Stage,
    State,
    Yes,
    params_of,
)
from stream_cli.terminal.output import say
from stream_cli.trace.command import trace

app = new_app("Run event-driven services on this machine; check, deploy and operate them on any stage.")


@app.command()
def up(
    names: Beside = None,
    *,
    stage: Stage = LOCAL,
    port: Port = None,
    iam: Iam = True,
    fresh: Empty = False,
    state: State = STATE,
    services: Services = SERVICES,
) -> None:
    """Start the local cloud in the background and deploy services to it, or see that it runs; `down` ends it.

    What it has is kept: it goes on from there the next time, however it was ended.
    """
    _refuse_aws(stage, instead="deploy")
    folder = StateFolder(state)
    run_command(lambda: background.start_in_background(folder, port, services, names or (), iam=iam, fresh=fresh))


@app.command(hidden=True)
def serve(
    names: Beside = None,
    *,
    port: Port = None,
    iam: Iam = True,
    fresh: Empty = False,
    state: State = STATE,
    services: Services = SERVICES,
) -> None:
    """Be the local cloud until told to stop; `up` runs this in the background."""
    run_command(lambda: background.serve(StateFolder(state), port, services, names or (), iam=iam, fresh=fresh))


@app.command()
def down(*, stage: Stage = LOCAL, state: State = STATE) -> None:
    """End the local cloud, and clear away what a killed one has left."""
    _refuse_aws(stage, instead="remove")
    run_command(lambda: background.stop(StateFolder(state)))


@app.command()
def status(
    *,
    stage: Stage = LOCAL,
    region: Region = None,
    as_json: AsJson = False,
    state: State = STATE,
    services: Services = SERVICES,
) -> None:
    """Show the local cloud's processes and logs, or the stacks of a stage on AWS. Exit code 3 when there are none.

    Where no cloud runs, it says why the last one ended.
    """
    if stage == LOCAL:
        run_command(lambda: background.show_status(StateFolder(state), as_json))
    run_command(lambda: show_stacks(stage, region, services, as_json))


@app.command()
def send(
    file: EventsFile,
    *,
    stage: Stage = LOCAL,
    bus: Annotated[
        str | None,
        typer.Option(help="Name of the bus. Default: the output busName of a stack of the stage."),
    ] = None,
    exact: Exact = False,
    state: State = STATE,
) -> None:
    """Publish events on the bus.

    An id, timestamp, partition key and tags that an event does not have are filled in, and it says which.
    """
    run_command(lambda: send_file(file, stage, bus, state, exact=exact))


@app.command()
def invoke(
    function: Annotated[
        str,
        typer.Argument(metavar="FUNCTION", help="Its name in serverless.yml, after SERVICE/ if several have it."),
    ],
    file: EventsFile,
    *,
    stage: Stage = LOCAL,
    as_kind: Annotated[
        Kind | None, typer.Option("--as", help="What delivers the events, where several things trigger the function.")
    ] = None,
    exact: Exact = False,
    yes: Yes = False,
    state: State = STATE,
    services: Services = SERVICES,
) -> None:
    """Invoke a function with plain events, wrapped as its stream, queue, bucket, rule or API delivers them.

    Prints its log and its answer; exit code 1 when it raised, or returned an event for retry. What has the form of an
    invocation already, as a fixture for `sls invoke`, is given as it is. On AWS all that the function does is real.
    """
    run_command(lambda: invoke_function(function, file, stage, state, services, kind=as_kind, exact=exact, yes=yes))


@app.command()
def new(
    template: Annotated[
        str, typer.Argument(metavar="TEMPLATE", help="control, bff, hub, lake, fault-monitor, or a service's folder.")
    ],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The new folder; its name is the service's.")],
    *,
    entity: Annotated[
        str | None, typer.Option("--entity", help="What it is about, such as order. Default: the template's story.")
    ] = None,
    plural: Annotated[str | None, typer.Option("--plural", help="Several of it, where that is not usual.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The service's name, if not the folder's.")] = None,
    services: Services = SERVICES,
) -> None:
    """Make a service from a template: a copy in which everything is named for your entity, and whose tests pass.

    Routes, rows, events, topics, classes, fixtures and README have its word, in each of its forms; the service and its
    package have names of their own.
    """
    run_command(
        lambda: new_service(template, path, services, entity=entity, plural=plural, name=name),
        stopped="Stopped; nothing was made.",
    )


@app.command()
def deploy(
    names: Names = None,
    *,
    stage: Stage = LOCAL,
    yes: Yes = False,
    packages: Annotated[
        Path | None, typer.Option("--packages", metavar="DIR", help="Deploy what `package` made, instead of packaging.")
    ] = None,
    digest: Annotated[
        str | None, typer.Option("--digest", help="Refuse other --packages than those with this digest.")
    ] = None,
    fresh: Fresh = False,
    param: Params = None,
    region: Region = None,
    state: State = STATE,
    services: Services = SERVICES,
) -> None:
    """Deploy services to the local cloud or to AWS: the hub, then the others side by side.

    A service that was deployed to the local cloud, and has not changed since, is skipped.

    Before it changes a production stage, it names account and region and asks: one whose name has the word prod,
    production or live, or whose param deletionPolicy keeps data.
    """
    if digest is not None and packages is None:
        raise typer.BadParameter("add --packages, whose digest it is", param_hint="--digest")
    options = {"region": region, "services": services, "yes": yes, "packages": packages, "digest": digest}
    options["fresh"] = fresh
    _roll_out("deploy", names, stage, state, param, **options)


@app.command()
def remove(
    names: Names = None,
    *,
    stage: Stage = LOCAL,
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="STAGE", help="The stage once more, where it is on AWS.")
    ] = None,
    with_data: Annotated[
        bool,
        typer.Option(
            "--with-data", help="Empty the buckets that are deleted with their stacks: every version, permanently."
        ),
    ] = False,
    yes: Yes = False,
    param: Params = None,
    region: Region = None,
    state: State = STATE,
    services: Services = SERVICES,
) -> None:
    """Remove services: the hub last. In prod, resources that hold data are kept, and listed at the end.

    Before it changes a production stage, it names account and region and asks, as `deploy` does.
    """
    if stage != LOCAL and confirm != stage:
        raise typer.BadParameter(f"add --confirm {stage} to remove services of {stage}", param_hint="--confirm")
    _roll_out("remove", names, stage, state, param, region=region, services=services, with_data=with_data, yes=yes)


@app.command()
def env(*, stage: Stage = LOCAL, state: State = STATE) -> None:
    """Print variables for a shell: eval "$(streamctl env)".

    With them, `sls deploy` in a service's folder installs packages from the wheels that set-up built, and pip finds
    nothing else. Those of the local cloud also make aws, boto3 and sls reach it, and nothing else.
    """

    def show() -> int:
        if stage == LOCAL:
            say(*attach(StateFolder(state)).shell_lines())
        else:
            say(*serverless.exports(serverless.packaging_environment(serverless.find_toolchain())))
        return 0

    run_command(show)


app.command()(dev)
app.command()(sizes)
app.command()(package)
app.command()(check)
app.command()(plan)
app.command()(trace)
app.command()(logs)
app.command()(console)
app.add_typer(mappings_app, name="mappings")
app.add_typer(lake_app, name="lake")
app.add_typer(faults_app, name="faults")


def _refuse_aws(stage: str, *, instead: str) -> None:
    if stage != LOCAL:
        raise typer.BadParameter(
            f"this command is for the local cloud; for {stage}, use `streamctl {instead} --stage {stage}`",
            param_hint="--stage",
        )


def _roll_out(
    action: Action, names: list[str] | None, stage: str, state: Path, param: list[str] | None, **options: Any
) -> None:
    run_command(
        lambda: roll_out_stage(action, names or [], stage, StateFolder(state), params=params_of(param), **options),
        stopped="Stopped. CloudFormation goes on with the stacks it has begun to change.",
    )


def main() -> None:
    """Entry point of the command."""
    run_app(app)


if __name__ == "__main__":
    main()
