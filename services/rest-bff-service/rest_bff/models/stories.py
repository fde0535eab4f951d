"""Stories as clients write and read them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, HttpUrl, StringConstraints

ID_PATTERN = r"^[A-Za-z0-9._~:@-]{1,128}$"
"""Characters that need no encoding in a path segment."""

CURSOR = "for the next page; only the last page has none, and an earlier one may have fewer than the limit, even none"

StoryId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Text = Annotated[
    str, StringConstraints(pattern=r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F\uFFFE\uFFFF]*$")
]
"""No control characters but tabs and ends of lines: SQS refuses most, terminals obey some, JSON has six bytes each."""

Email = Annotated[str, StringConstraints(pattern=r"^[!-?A-~]+@[!-?A-~]+$", max_length=254)]
"""Printable ASCII around one @; whether it exists, only a mail to it tells."""

Tag = Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]


def _without_repetitions(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is before the year 1 or after the year 9999 in UTC") from None


class StoryContent(BaseModel):
    """The fields of a story that clients write, in POST and PUT."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    source_type: Annotated[Text, Field(min_length=1, max_length=64, examples=["newsapi"])]
    source_url: HttpUrl
    title: Annotated[Text, Field(min_length=1, max_length=500)]
    text_snippet: Annotated[Text, Field(min_length=1, max_length=10_000)]
    author: Annotated[Text | None, Field(max_length=200)] = None
    contact: Annotated[
        Email | None, Field(description="for questions; encrypted, and shown to those who may change the story")
    ] = None
    published_at: Annotated[AwareDatetime, AfterValidator(_in_utc)]
    matched_tags: Annotated[list[Tag], Field(max_length=50), AfterValidator(_without_repetitions)] = []

    def stored(self) -> dict[str, Any]:
        """The fields as they are stored and published: text, lists of text, and times in ISO 8601 (UTC)."""
        fields = self.model_dump(mode="json", exclude={"published_at"}, exclude_none=True)
        published = self.published_at.isoformat(timespec="milliseconds")
        return {**fields, "published_at": published.replace("+00:00", "Z")}


class NewStory(StoryContent):
    """The body of POST /stories; the service chooses an id if there is none."""

    id: StoryId | None = None

    def stored(self) -> dict[str, Any]:
        """The fields as they are stored, without the id, which is the key."""
        return {name: value for name, value in super().stored().items() if name != "id"}


class Story(BaseModel):
    """A story as clients read it, with the fields that events added."""

    id: str
    status: Literal["submitted", "ready"]
    version: Annotated[int, Field(description="Goes up with each PUT; the ETag")]
    created: Annotated[int, Field(description="ms since 1970")]
    timestamp: Annotated[int, Field(description="ms since 1970 of the last PUT or POST")]
    source_type: str
    source_url: str
    title: str
    text_snippet: str
    author: str | None = None
    contact: Annotated[str | None, Field(description="only for those who may change the story")] = None
    published_at: str
    matched_tags: list[str] = []
    sentiment: Annotated[str | None, Field(description="from story-ready")] = None
    score: Annotated[float | None, Field(description="0 to 1, from story-ready")] = None
    model_version: Annotated[str | None, Field(description="from story-ready")] = None


class StoryPage(BaseModel):
    """One page of stories, newest first."""

    stories: list[Story]
    cursor: Annotated[str | None, Field(description=CURSOR)] = None


class FieldProblem(BaseModel):
    """One invalid field of a request."""

    field: Annotated[str, Field(examples=["body.title"])]
    message: str
    type: str


class GatewayRefusal(BaseModel):
    """What API Gateway itself answers."""

    message: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    instance: str | None = None
    errors: list[FieldProblem] | None = None
