"""The contract of custom events: source, type and payload, nothing else."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from stream_runtime import codec


def _not_reserved(event_type: str) -> str:
    if event_type == "fault":
        raise ValueError("faults are published by the runtime only")
    return event_type


def _not_of_aws(source: str) -> str:
    if source.lower().startswith("aws"):
        raise ValueError("sources that begin with aws are those of AWS itself")
    return source


def _publishable(payload: dict[str, Any]) -> dict[str, Any]:
    try:
        codec.encode(payload).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half a surrogate pair, which is not text") from None
    return payload


class CustomEvent(BaseModel):
    """A custom event as clients send it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$"), AfterValidator(_not_of_aws)]
    type: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,127}$"), AfterValidator(_not_reserved)]
    payload: Annotated[dict[str, Any], Field(min_length=1), AfterValidator(_publishable)]


def violations(error: ValidationError) -> list[dict[str, str]]:
    """Every violation, as ``{"field", "message"}``."""
    return [{"field": ".".join(map(str, one["loc"])) or "event", "message": one["msg"]} for one in error.errors()]
