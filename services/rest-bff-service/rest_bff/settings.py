"""The service's own settings. serverless.yml sets their variables; a handler checks those that it needs at import."""

from collections.abc import Callable

from stream_runtime.settings import REQUIRED, Setting, text, whole_number


def one_of(*values: str) -> Callable[[str], str]:
    """One of these texts."""

    def parse(raw: str) -> str:
        if raw not in values:
            raise ValueError(f"expected {' or '.join(values)}")
        return raw

    return parse


ACCESS = Setting("ACCESS", one_of("open", "jwt"), REQUIRED, "open to anybody, or jwt for callers with a token")
ADMIN_SCOPE = Setting("ADMIN_SCOPE", text, "", "scope of the callers who may change stories of others")
DASHBOARD_DAYS = Setting("TTL_DAYS", whole_number(1, 3650), REQUIRED, "days that a story stays on the dashboard")
DASHBOARD_TABLE_NAME = Setting("DASHBOARD_TABLE_NAME", text, REQUIRED, "table of the dashboard")
ENTITY_TABLE_NAME = Setting("ENTITY_TABLE_NAME", text, REQUIRED, "table of stories")
SERVICE = Setting("SERVICE", text, REQUIRED, "name of the service: the namespace of its metrics")
STAGE = Setting("STAGE", text, REQUIRED, "stage: the dimension of its metrics")
TOMBSTONE_DAYS = Setting(
    "TOMBSTONE_DAYS", whole_number(1, 3650), REQUIRED, "days that a deleted story stays as a tombstone"
)
