"""Settings are read when they are used, and a wrong value is refused with its name."""

import pytest
from stream_runtime import InvalidSetting, settings, stream_handler
from stream_runtime.engine.retry import classify
from stream_runtime.events import from_kinesis
from stream_runtime.tags import inherited_tags, standard_tags


def test_a_setting_is_read_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.PARALLEL.read() == 16

    monkeypatch.setenv("PARALLEL", "4")

    assert settings.PARALLEL.read() == 4


@pytest.mark.parametrize("setting", settings.SETTINGS, ids=lambda setting: setting.name)
def test_an_empty_value_is_no_value(setting: settings.Setting[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(setting.name, "")

    assert setting.read() == setting.default


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PARALLEL", "many", "expected a whole number"),
        ("PARALLEL", "0", "expected a whole number from 1 to 64"),
        ("PARALLEL", "65", "expected a whole number from 1 to 64"),
        ("PUBLISH_BATCH_SIZE", "0", "expected a whole number of at least 1"),
        ("RETRY_ATTEMPTS", "0", "expected a whole number from 1"),
        ("TTL", "1.5", "expected a whole number"),
        ("METRICS", "perhaps", "expected true or false"),
        ("FREEZE", "2", "expected true or false"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(
    name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidSetting, match=f"{name}='{value}': {expected}"):
        settings.check()


def test_a_handler_refuses_a_wrong_setting_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARALLEL", "many")

    with pytest.raises(InvalidSetting, match="PARALLEL"):
        stream_handler([], from_kinesis)


def test_a_missing_setting_is_named_and_leaves_records_for_retry() -> None:
    with pytest.raises(InvalidSetting, match="ENTITY_TABLE_NAME or EVENT_TABLE_NAME is not set") as raised:
        settings.table_name()

    assert classify(raised.value) == "configuration"
    assert str(raised.value).endswith(
        "; set it in serverless.yml, in the environment of the function or of the provider"
    )


def test_the_entity_table_is_asked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_TABLE_NAME", "events")
    assert settings.table_name() == "events"

    monkeypatch.setenv("ENTITY_TABLE_NAME", "entities")
    assert settings.table_name() == "entities"


@pytest.mark.parametrize(("value", "names"), [("a", {"a"}), (" a , b,,", {"a", "b"}), (",", set())])
def test_lists_of_pipelines_are_read(value: str, names: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISABLED_PIPELINES", value)

    assert settings.DISABLED_PIPELINES.read() == names


def test_each_variable_has_one_setting_and_says_what_it_is_for() -> None:
    names = [setting.name for setting in settings.SETTINGS]

    assert len(names) == len(set(names))
    assert all(setting.meaning for setting in settings.SETTINGS)


def test_all_wrong_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARALLEL", "many")
    needed = settings.Setting("KEPT_DAYS", settings.whole_number(1, 9), settings.REQUIRED, "days that things are kept")

    with pytest.raises(InvalidSetting, match=r"PARALLEL='many': .*; environment variable KEPT_DAYS is not set"):
        settings.check(needed)


@pytest.mark.parametrize(
    ("variables", "service"),
    [
        ({}, "undefined"),
        ({"SERVERLESS_PROJECT": "oldest"}, "oldest"),
        ({"SERVERLESS_PROJECT": "oldest", "PROJECT": "old"}, "old"),
        ({"PROJECT": "old", "SERVICE": "new"}, "new"),
        ({"PROJECT": "old", "SERVICE": ""}, "old"),
    ],
)
def test_a_project_names_the_service_where_nothing_else_does(
    variables: dict[str, str], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert standard_tags("p")["source"] == service


@pytest.mark.parametrize(("name", "app"), [(None, "undefined"), ("shop", "shop")])
def test_published_events_name_the_application(name: str | None, app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name is not None:
        monkeypatch.setenv("APP_NAME", name)

    assert standard_tags("p")["app"] == app
    assert inherited_tags({"tags": {"app": "another", "colour": "red"}}) == {"colour": "red"}


@pytest.mark.parametrize(
    ("name", "most"), [("PUBLISH_BATCH_SIZE", 10), ("MAX_REQUEST_SIZE", 1_048_576)], ids=["entries", "bytes"]
)
def test_more_than_an_api_takes_counts_as_what_it_takes(name: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, str(most + 1))

    assert next(setting for setting in settings.SETTINGS if setting.name == name).read() == most
