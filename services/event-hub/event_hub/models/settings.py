"""The environment of the function, checked as a whole before the first event."""

import os
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from stream_runtime.errors import InvalidSetting

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
OF_EVERY_EVENT = ("id", "type", "timestamp", "partition_key", "tags")
"""Fields that have their place in an event already."""


def _free(entity: str) -> str:
    if entity in OF_EVERY_EVENT:
        raise ValueError(f"{entity} is a field that every event has; call the rows something else")
    return entity


def _no_fault(event_type: str) -> str:
    if event_type == "fault":
        raise ValueError("fault is the type of what the runtime publishes when a record fails; take another one")
    return event_type


class Settings(BaseModel):
    """What the function needs to know.

    Attributes:
        bus_name: name or ARN of the bus, from BUS_NAME.
        entity: under what name a row is put into its event, from ROW_ENTITY.
        event_type: type of the event of a row, from ROW_EVENT_TYPE.
        stage: from STAGE.
        service: from SERVICE.
        parallel: PutEvents calls in flight at once, from PARALLEL.
        margin_ms: time left of an invocation at which the rest of an object is left to the next one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    bus_name: Annotated[str, Field(alias="BUS_NAME", min_length=1)]
    entity: Annotated[Name, AfterValidator(_free), Field(alias="ROW_ENTITY")]
    event_type: Annotated[Name, AfterValidator(_no_fault), Field(alias="ROW_EVENT_TYPE")]
    stage: Annotated[str, Field(alias="STAGE", min_length=1)]
    service: Annotated[str, Field(alias="SERVICE", min_length=1)]
    parallel: Annotated[int, Field(alias="PARALLEL", ge=1, le=64)] = 16
    margin_ms: Annotated[int, Field(alias="CONTINUE_MARGIN_MS", ge=1000)] = 30_000


def from_environment() -> Settings:
    """The settings of this process.

    Raises:
        InvalidSetting: naming every variable that is missing or wrong.
    """
    try:
        return Settings.model_validate(dict(os.environ))
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InvalidSetting(f"environment variables cannot be used: {reasons}") from None
