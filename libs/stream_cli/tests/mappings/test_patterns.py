"""The pattern grammar, condition by condition: what matches, what does not, and what AWS refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sample_sizes import sample_of
from stream_cli.patterns import MAX_COMBINATIONS, InvalidPattern, compile_pattern, matches, nested, parse_pattern
from stream_cli.patterns.complexity import complexity

ABSENT = object()


def value(conditions: list[Any], of: Any) -> bool:
    """Whether `of` under one name satisfies `conditions`."""
    return matches({"field": conditions}, {} if of is ABSENT else {"field": of})


@pytest.mark.parametrize(
    ("conditions", "accepted", "rejected"),
    [
        (["a"], ["a"], ["A", "", "ab", None, 1, ABSENT]),
        (["a", "b"], ["a", "b"], ["c"]),
        ([""], [""], [" ", None, ABSENT]),
        ([1], [1, 1.0], ["1", True, 2]),
        ([1.5], [1.5], ["1.5", 1]),
        (["1"], ["1"], [1]),
        ([0], [0, 0.0], [False, None, ""]),
        ([True], [True], [1, "true", False]),
        ([False], [False], [0, None, "false"]),
        ([None], [None], ["null", "", 0, False, ABSENT]),
        ([9999999999999], [9999999999999], [9999999999998]),
        ([{"prefix": "ru"}], ["ru", "running"], ["Running", "r", 5, None, ABSENT]),
        ([{"prefix": ""}], ["", "x"], [5, None, True, ABSENT]),
        ([{"prefix": {"equals-ignore-case": "RU"}}], ["running", "RUN", "rU"], ["r", "xru", 5]),
        ([{"suffix": ".png"}], [".png", "a.png"], ["a.PNG", "a.png ", 5, None]),
        ([{"suffix": {"equals-ignore-case": ".PNG"}}], ["a.png", "a.pNg"], ["a.png.jpg", "png"]),
        ([{"equals-ignore-case": "Alice"}], ["alice", "ALICE", "aLiCe"], ["alice ", "al", 5, None]),
        ([{"equals-ignore-case": "straße"}], ["STRASSE", "straße", "STRAßE"], ["strase"]),
        ([{"equals-ignore-case": "a.c"}], ["A.C"], ["abc"]),
        ([{"wildcard": "a*b"}], ["ab", "axxb", "a\nb"], ["a", "abc", "ba", 5, None]),
        ([{"wildcard": "*"}], ["", "anything"], [5, None, ABSENT]),
        ([{"wildcard": "*x*y*"}], ["xy", "axbyc"], ["yx", "x"]),
        ([{"wildcard": "aba*aba"}], ["abaaba", "aba-aba"], ["ababa"]),
        ([{"wildcard": r"a\*b"}], ["a*b"], ["axb", r"a\*b"]),
        ([{"wildcard": r"a\\*"}], ["a\\", "a\\xyz"], ["a*"]),
        ([{"wildcard": ""}], [""], ["x"]),
        ([{"wildcard": "plain"}], ["plain"], ["plai", "plains"]),
        ([{"exactly": "a"}], ["a"], ["b", 1]),
        ([{"anything-but": "a"}], ["b", "", 1, None, True], ["a", ABSENT]),
        ([{"anything-but": ["a", "b"]}], ["c", 1], ["a", "b", ABSENT]),
        ([{"anything-but": 1}], [2, "1", None], [1, 1.0, ABSENT]),
        ([{"anything-but": 0}], [False, None, ""], [0]),
        ([{"anything-but": [1, 2]}], [3, "1"], [1, 2.0]),
        ([{"anything-but": {"prefix": "init"}}], ["running", "", 5, None], ["init", "initializing", ABSENT]),
        ([{"anything-but": {"prefix": ["a", "b"]}}], ["c"], ["ax", "bx"]),
        ([{"anything-but": {"suffix": "ing"}}], ["ingo", 5], ["running"]),
        ([{"anything-but": {"suffix": ["a", "b"]}}], ["xc"], ["xa", "xb"]),
        ([{"anything-but": {"equals-ignore-case": "OK"}}], ["okay", 5], ["ok", "Ok"]),
        ([{"anything-but": {"equals-ignore-case": ["ok", "fine"]}}], ["bad"], ["OK", "FINE"]),
        ([{"anything-but": {"wildcard": "*/lib/*"}}], ["/bin/x"], ["/a/lib/b"]),
        ([{"anything-but": {"wildcard": ["a*", "*z"]}}], ["bcy"], ["ab", "xz"]),
        ([{"numeric": ["=", 5]}], [5, 5.0], ["5", 6, True, None, ABSENT]),
        ([{"numeric": ["=", 1]}], [1], [True]),
        ([{"numeric": [">", 0, "<=", 5]}], [0.1, 5], [0, 5.01, -1, "3"]),
        ([{"numeric": [">=", 0, "<", 5]}], [0, 4.9], [5, -0.1]),
        ([{"numeric": ["<", 10]}], [9, -1e9], [10, 11]),
        ([{"numeric": ["<=", 10]}], [10], [10.5]),
        ([{"numeric": [">", 10]}], [11], [10, 6e9]),
        ([{"numeric": [">=", 3.018e2]}], [301.8], [301.7]),
        ([{"exists": True}], ["", None, 0, False, "x"], [ABSENT, {"inner": 1}, []]),
        ([{"exists": False}], [ABSENT, {"inner": 1}, []], ["", None, 0]),
        ([{"exists": False}, "x"], [ABSENT, "x"], ["y"]),
        ([{"cidr": "10.0.0.0/24"}], ["10.0.0.0", "10.0.0.255"], ["10.0.1.0", "x", 167772161, None, "10.0.0"]),
        ([{"cidr": "10.0.0.9/24"}], ["10.0.0.1"], ["10.0.1.1"]),
        ([{"cidr": "0.0.0.0/0"}], ["1.2.3.4"], ["::1"]),
        ([{"cidr": "2001:db8::/32"}], ["2001:db8::1", "2001:0DB8:0:0:0:0:0:2"], ["2001:db9::1", "10.0.0.1"]),
        ([{"prefix": "a"}, {"numeric": [">", 5]}, None], ["abc", 6, None], ["b", 5, False]),
    ],
    ids=lambda item: json.dumps(item) if isinstance(item, list) and not any(x is ABSENT for x in item) else "",
)
def test_a_condition_accepts_and_rejects_values(
    conditions: list[Any], accepted: list[Any], rejected: list[Any]
) -> None:
    assert [of for of in accepted if not value(conditions, of)] == []
    assert [of for of in rejected if value(conditions, of)] == []


def test_all_names_must_match() -> None:
    pattern = {"source": ["a"], "detail": {"state": ["on"], "level": [1]}}
    assert matches(pattern, {"source": "a", "detail": {"state": "on", "level": 1, "more": 2}})
    assert not matches(pattern, {"source": "a", "detail": {"state": "on", "level": 2}})
    assert not matches(pattern, {"source": "a", "detail": {"state": "on"}})
    assert not matches(pattern, {"source": "a", "detail": "on"})


def test_any_element_of_an_array_may_match() -> None:
    assert value(["b"], ["a", "b"])
    assert value([{"prefix": "b"}], [1, None, "bc"])
    assert value([{"anything-but": "a"}], ["a", "b"])
    assert not value([{"anything-but": "a"}], ["a", "a"])
    assert value([2], [[1], [2, [3]]])
    assert not value(["a"], [])
    assert not value(["a"], [{"field": "a"}])


def test_objects_in_an_array_are_matched_one_by_one() -> None:
    pattern = {"items": {"kind": ["a"], "size": [2]}}
    assert matches(pattern, {"items": [{"kind": "b", "size": 9}, {"kind": "a", "size": 2}]})
    assert not matches(pattern, {"items": [{"kind": "a", "size": 1}, {"kind": "b", "size": 2}]})
    assert matches(pattern, {"items": [[{"kind": "a", "size": 2}]]})
    deeper = {"orders": {"lines": {"sku": ["x"]}, "paid": [True]}}
    assert matches(deeper, {"orders": [{"paid": True, "lines": [{"sku": "y"}, {"sku": "x"}]}]})
    assert not matches(deeper, {"orders": [{"paid": True, "lines": [{"sku": "y"}]}, {"lines": [{"sku": "x"}]}]})


def test_absence_below_an_array_holds_for_the_element_that_matched() -> None:
    pattern = {"items": {"kind": ["a"], "removed": [{"exists": False}]}}
    assert matches(pattern, {"items": [{"kind": "b", "removed": 1}, {"kind": "a"}]})
    assert not matches(pattern, {"items": [{"kind": "a", "removed": 1}, {"kind": "b"}]})


def test_or_matches_when_any_of_its_patterns_does() -> None:
    pattern = {"source": ["s"], "$or": [{"metric": ["cpu"]}, {"metric": ["io"], "space": ["ec2"]}, {"scope": ["all"]}]}
    assert matches(pattern, {"source": "s", "metric": "cpu"})
    assert matches(pattern, {"source": "s", "metric": "io", "space": "ec2"})
    assert matches(pattern, {"source": "s", "scope": "all"})
    assert not matches(pattern, {"source": "s", "metric": "io"})
    assert not matches(pattern, {"source": "t", "metric": "cpu"})


def test_or_nests_and_stands_at_any_depth() -> None:
    pattern = {"a": {"$or": [{"b": [1]}, {"$or": [{"c": [2]}, {"d": [3]}], "e": [4]}]}}
    assert matches(pattern, {"a": {"b": 1}})
    assert matches(pattern, {"a": {"d": 3, "e": 4}})
    assert not matches(pattern, {"a": {"d": 3}})


def test_or_beside_a_constraint_on_the_same_name_keeps_the_later_one() -> None:
    assert matches({"a": ["1"], "$or": [{"a": ["2"]}, {"b": ["3"]}]}, {"a": "2"})
    assert not matches({"$or": [{"a": ["2"]}, {"b": ["3"]}], "a": ["1"]}, {"a": "2"})


def test_or_is_a_field_if_it_holds_conditions() -> None:
    assert matches({"$or": ["x", {"prefix": "y"}]}, {"$or": "yes"})
    assert matches({"$or": {"a": ["b"]}}, {"$or": {"a": "b"}})


def test_a_name_may_be_constrained_as_a_value_and_as_an_object_and_then_nothing_matches() -> None:
    assert not matches({"$or": [{"a": ["x"]}, {"z": ["z"]}], "a": {"b": ["y"]}}, {"a": {"b": "y"}})


def test_the_top_level_names_of_a_compiled_pattern_are_known() -> None:
    assert compile_pattern({"data": {"a": [1]}, "$or": [{"x": [1]}, {"y": [1]}]}).fields == {"data", "x", "y"}


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        ({}, "$"),
        ({"a": {}}, "a"),
        ({"a": {"b": []}}, "a.b"),
        ({"a": "x"}, "a"),
        ({"a": 1}, "a"),
        ({"a": None}, "a"),
        ({"a": {"b": True}}, "a.b"),
        ({"a": [["x"]]}, "a[0]"),
        ({"a": ["ok", {}]}, "a[1]"),
        ({"a": [{"prefix": "x", "suffix": "y"}]}, "a[0]"),
        ({"a": [{"starts-with": "x"}]}, "a[0]"),
        ({"a": [{"prefix": 1}]}, "a[0].prefix"),
        ({"a": [{"prefix": ["x"]}]}, "a[0].prefix"),
        ({"a": [{"prefix": {"suffix": "x"}}]}, "a[0].prefix.suffix"),
        ({"a": [{"suffix": {"equals-ignore-case": 1}}]}, "a[0].suffix.equals-ignore-case"),
        ({"a": [{"suffix": None}]}, "a[0].suffix"),
        ({"a": [{"equals-ignore-case": ["x"]}]}, "a[0].equals-ignore-case"),
        ({"a": [{"exactly": 1}]}, "a[0].exactly"),
        ({"a": [{"wildcard": "a**b"}]}, "a[0].wildcard"),
        ({"a": [{"wildcard": r"a\b"}]}, "a[0].wildcard"),
        ({"a": [{"wildcard": "a\\"}]}, "a[0].wildcard"),
        ({"a": [{"wildcard": 1}]}, "a[0].wildcard"),
        ({"a": [{"anything-but": None}]}, "a[0].anything-but"),
        ({"a": [{"anything-but": True}]}, "a[0].anything-but"),
        ({"a": [{"anything-but": []}]}, "a[0].anything-but"),
        ({"a": [{"anything-but": ["x", 1]}]}, "a[0].anything-but"),
        ({"a": [{"anything-but": ["x", None]}]}, "a[0].anything-but[1]"),
        ({"a": [{"anything-but": {"numeric": ["=", 1]}}]}, "a[0].anything-but.numeric"),
        ({"a": [{"anything-but": {"exists": True}}]}, "a[0].anything-but.exists"),
        ({"a": [{"anything-but": {"prefix": ""}}]}, "a[0].anything-but.prefix"),
        ({"a": [{"anything-but": {"suffix": ["x", ""]}}]}, "a[0].anything-but.suffix[1]"),
        ({"a": [{"anything-but": {"prefix": []}}]}, "a[0].anything-but.prefix"),
        ({"a": [{"anything-but": {"prefix": 1}}]}, "a[0].anything-but.prefix"),
        ({"a": [{"anything-but": {"prefix": {"equals-ignore-case": "x"}}}]}, "a[0].anything-but.prefix"),
        ({"a": [{"anything-but": {"wildcard": "a**"}}]}, "a[0].anything-but.wildcard"),
        ({"a": [{"anything-but": {"prefix": "x", "suffix": "y"}}]}, "a[0].anything-but"),
        ({"a": [{"numeric": 5}]}, "a[0].numeric"),
        ({"a": [{"numeric": []}]}, "a[0].numeric"),
        ({"a": [{"numeric": [">"]}]}, "a[0].numeric"),
        ({"a": [{"numeric": ["!=", 5]}]}, "a[0].numeric[0]"),
        ({"a": [{"numeric": [">", "5"]}]}, "a[0].numeric[1]"),
        ({"a": [{"numeric": [">", True]}]}, "a[0].numeric[1]"),
        ({"a": [{"numeric": [">", 6e9]}]}, "a[0].numeric[1]"),
        ({"a": [{"numeric": ["=", 1, "<", 5]}]}, "a[0].numeric[0]"),
        ({"a": [{"numeric": ["<", 5, ">", 1]}]}, "a[0].numeric[0]"),
        ({"a": [{"numeric": [">", 1, ">", 5]}]}, "a[0].numeric[2]"),
        ({"a": [{"numeric": [">", 5, "<", 5]}]}, "a[0].numeric"),
        ({"a": [{"exists": "true"}]}, "a[0].exists"),
        ({"a": [{"cidr": "10.0.0.0"}]}, "a[0].cidr"),
        ({"a": [{"cidr": "10.0.0.0/32"}]}, "a[0].cidr"),
        ({"a": [{"cidr": "10.0.0.256/24"}]}, "a[0].cidr"),
        ({"a": [{"cidr": "host/24"}]}, "a[0].cidr"),
        ({"a": [{"cidr": "::1/128"}]}, "a[0].cidr"),
        ({"a": [{"cidr": "10.0.0.0/-1"}]}, "a[0].cidr"),
        ({"a": [{"cidr": 10}]}, "a[0].cidr"),
        ({"$or": []}, "$or"),
        ({"$or": [{"a": ["x"]}]}, "$or"),
        ({"$or": [{"a": ["x"]}, "y"]}, "$or"),
        ({"$or": [{"a": ["x"]}, {"prefix": "y"}]}, "$or[0]"),
        ({"$or": [{"a": "x"}, {"b": ["y"]}]}, "$or[0].a"),
        ({"$or": [{"a": {"prefix": ["x"]}}, {"b": ["y"]}]}, "$or[0].a.prefix"),
        ({"$or": [{}, {"b": ["y"]}]}, "$or[0]"),
        ({"d": {"$or": [{"a": [{"prefix": 1}]}, {"b": ["y"]}]}}, "d.$or[0].a[0].prefix"),
    ],
    ids=lambda item: json.dumps(item) if isinstance(item, dict) else "",
)
def test_an_invalid_pattern_is_refused_with_its_place(pattern: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidPattern) as refused:
        compile_pattern(pattern)
    assert refused.value.path == place
    assert refused.value.expected
    assert str(refused.value).startswith(f"{place}: ")


def test_too_many_combinations_of_or_are_refused() -> None:
    def either(name: str) -> dict[str, Any]:
        return {"$or": [{f"{name}{index}": [1]} for index in range(11)]}

    compile_pattern({"a": either("x"), "b": either("y")})
    with pytest.raises(InvalidPattern, match=str(MAX_COMBINATIONS)):
        compile_pattern({"a": either("x"), "b": either("y"), "c": either("z")})


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"a": [NaN]}', "null", "[" * 100_000, "9" * 5_000])
def test_a_text_that_is_not_a_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidPattern):
        parse_pattern(text)


def test_a_pattern_is_read_from_its_text() -> None:
    assert parse_pattern('{"a": [{"exists": true}]}') == {"a": [{"exists": True}]}


def test_a_wildcard_is_matched_in_linear_time() -> None:
    pattern = compile_pattern({"a": [{"wildcard": "a*a*a*a*b"}]})
    assert not pattern({"a": "a" * 200_000})


# --- dots ---

DOTTED = {"detail": {"state.status": "running"}}
NESTED = {"detail": {"state": {"status": "running"}}}


@pytest.mark.parametrize(
    "event", [DOTTED, NESTED, {"detail.state": {"status": "running"}}, {"detail.state.status": "running"}]
)
@pytest.mark.parametrize(
    "pattern",
    [
        {"detail": {"state.status": ["running"]}},
        {"detail": {"state": {"status": ["running"]}}},
        {"detail.state": {"status": ["running"]}},
        {"detail.state.status": [{"prefix": "run"}]},
        {"$or": [{"detail.state.status": ["running"]}, {"detail": ["x"]}]},
    ],
)
def test_names_are_compared_as_paths_joined_by_dots(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    """EventBridge user guide, "Considerations when creating event patterns"; recorded by LocalStack (dot_joining_*)."""
    assert matches(pattern, event)


@pytest.mark.parametrize(
    ("pattern", "event"),
    [
        ({"detail": {"state.status": {"status": ["running"]}}}, NESTED),
        ({"detail": {"state": {"status": ["running"]}}}, {"detail": {"state.status": {"status": "running"}}}),
        ({"detail": {"state.status": [{"exists": False}]}}, NESTED),
        ({"detail": {"state": {"status": [{"exists": False}]}}}, DOTTED),
    ],
)
def test_another_path_is_not_matched_by_dots(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    assert not matches(pattern, event)


def test_values_at_both_spellings_of_a_path_may_match() -> None:
    event = {"a.b": "dotted", "a": {"b": "nested"}}
    assert matches({"a": {"b": ["dotted"]}}, event)
    assert matches({"a.b": ["nested"]}, event)


def test_the_later_of_two_spellings_replaces_the_earlier() -> None:
    assert matches({"a.b": [1], "a": {"b": [2]}}, {"a": {"b": 2}})
    assert not matches({"a": {"b": [2]}, "a.b": [1]}, {"a": {"b": 2}})


def test_dots_reach_through_arrays() -> None:
    pattern = {"items.kind": ["a"], "items.size": [2]}
    assert matches(pattern, {"items": [{"kind": "b", "size": 2}, {"kind": "a", "size": 2}]})
    assert not matches(pattern, {"items": [{"kind": "b", "size": 2}, {"kind": "a", "size": 1}]})


def test_the_top_level_name_of_a_dotted_path_is_known() -> None:
    assert compile_pattern({"data.type": ["a"]}).fields == {"data"}


@pytest.mark.parametrize(
    ("dotted", "spelled_out"),
    [
        ({"a.b.c": [1]}, {"a": {"b": {"c": [1]}}}),
        ({"a.b": [1], "a": {"c": [2]}, "a.d": [3]}, {"a": {"b": [1], "c": [2], "d": [3]}}),
        ({"a": {"b.c": [1], "b": {"d": [2]}}}, {"a": {"b": {"c": [1], "d": [2]}}}),
        ({"$or": [{"a.b": [1]}, {"c": [2]}]}, {"$or": [{"a": {"b": [1]}}, {"c": [2]}]}),
        ({"a": [1], "a.b": [2]}, {"a": [1], "a.b": [2]}),
    ],
)
def test_a_dotted_pattern_can_be_spelled_out(dotted: dict[str, Any], spelled_out: dict[str, Any]) -> None:
    assert nested(dotted) == spelled_out


# --- complexity ---


@pytest.mark.parametrize(
    ("wildcards", "places"),
    [
        (["*"], 2),
        (["*", "ab*c"], 4),
        (["abc"], 1),
        (["*ab"], 2),
        (["*aa"], 3),
        (["a*b"], 2),
        (["a*bcb"], 3),
        (["a*bbb"], 4),
        (["*ab*ad"], 4),
        (["a*b*bb"], 5),
        (["ab*c", "x*xx"], 3),
        (["*abc", "*abcde"], 4),
        (["a*aaa", "aa*aa"], 7),
        (["a*aaa", "aaa*a"], 6),
        (["ab*cd", "ab*wx", "ab*yz"], 6),
        (["ab*c", "ab*c"], 2),
        (["F*eatureFeature", "Fe*atureFeature", "Fea*tureFeature"], 10),
        (["a*a*a*a*a*a*"], 11),
        (["*a*a*a*a*a*a*a*a*"], 11),
    ],
)
def test_wildcards_are_counted_as_by_event_ruler(wildcards: list[str], places: int) -> None:
    """The numbers of event-ruler's MachineComplexityEvaluatorTest, up to 11; quotes add one to wildcards like `*`."""
    assert complexity([[wildcard] for wildcard in wildcards]) == places


def test_the_wildcards_of_one_anything_but_share_their_places() -> None:
    assert complexity([["ab*cd", "ab*wx"]]) == 2
    assert complexity([["ab*cd"], ["ab*wx"]]) == 4


@pytest.mark.parametrize(
    "conditions",
    [
        [{"wildcard": "*:*:*:*:*:event-bus/*"}],
        [{"anything-but": {"wildcard": "*:*:*:*:*:event-bus/*"}}],
        [{"wildcard": f"*/datasync/*.{ending}"} for ending in ("bif", "tiff", "tif", "svs")],
        [{"wildcard": "*a" * 2_000}],
    ],
)
def test_wildcards_that_are_too_complex_are_refused(conditions: list[Any]) -> None:
    """Refused by AWS: LocalStack's recorded content_wildcard_complex_EXC; a rule on files that had to be split."""
    with pytest.raises(InvalidPattern, match="Rule is too complex") as refused:
        compile_pattern({"detail": {"bus": conditions}})
    assert refused.value.path == "detail.bus"


@pytest.mark.parametrize(
    "conditions",
    [
        [{"wildcard": "arn:aws:events:us-east-1:*:event-bus/*"}],
        [{"wildcard": "/Users/*/dir/dir/dir/dir/dir/doc.txt"}],
        [{"wildcard": f"*.{ending}"} for ending in ("bif", "tiff", "tif", "svs")],
        [{"wildcard": f"*/datasync/*.{ending}"} for ending in ("bif", "tif")],
        [{"wildcard": r"\*\*\*\*\*\*\*\*\*\*\*\*"}],
    ],
)
def test_wildcards_that_aws_takes_are_accepted(conditions: list[Any]) -> None:
    """Accepted by AWS: LocalStack's recorded content_wildcard_simplified and _repeating; a half of that rule."""
    compile_pattern({"detail": {"bus": conditions}})


def test_wildcards_on_one_name_count_together_in_alternatives_that_are_matched_together() -> None:
    half = [[{"wildcard": f"*/datasync/*.{ending}"} for ending in pair] for pair in (("bif", "tif"), ("tiff", "svs"))]
    with pytest.raises(InvalidPattern, match="too complex"):
        compile_pattern({"$or": [{"key": half[0]}, {"key": half[1]}]})
    compile_pattern({"$or": [{"bucket": ["a"], "key": half[0]}, {"bucket": ["b"], "key": half[1]}]})
    compile_pattern({"key": half[0], "name": half[1]})


# --- a second opinion ---

scalars = st.one_of(
    st.sampled_from(["", "a", "A", "ab", "b", "10.0.0.1", "ba*"]), st.integers(-2, 3), st.booleans(), st.none()
)
events = st.dictionaries(
    st.sampled_from("xyz"),
    st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
        ),
        max_leaves=5,
    ),
    max_size=3,
)
texts = st.sampled_from(["", "a", "A", "ab", "b", "ba*"])
some_text = texts.filter(bool)
operators = st.one_of(
    st.fixed_dictionaries({"prefix": texts}),
    st.fixed_dictionaries({"suffix": texts}),
    st.fixed_dictionaries({"suffix": st.fixed_dictionaries({"equals-ignore-case": texts})}),
    st.fixed_dictionaries({"equals-ignore-case": texts}),
    st.fixed_dictionaries({"wildcard": st.sampled_from(["*", "a*", "*b", r"ba\*", "a*b"])}),
    st.fixed_dictionaries(
        {"anything-but": st.one_of(texts, st.lists(texts, min_size=1, max_size=2), st.integers(0, 2))}
    ),
    st.fixed_dictionaries({"anything-but": st.fixed_dictionaries({"prefix": some_text})}),
    st.fixed_dictionaries({"anything-but": st.fixed_dictionaries({"wildcard": st.sampled_from(["a*", "*"])})}),
    st.fixed_dictionaries({"numeric": st.sampled_from([["=", 1], [">", 0], ["<=", 2], [">=", 0, "<", 2]])}),
    st.fixed_dictionaries({"exists": st.booleans()}),
    st.fixed_dictionaries({"cidr": st.sampled_from(["10.0.0.0/8", "11.0.0.0/8"])}),
)
patterns = st.recursive(
    st.lists(st.one_of(scalars, operators), min_size=1, max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=2),
    max_leaves=4,
).map(lambda drawn: drawn if isinstance(drawn, dict) else {"x": drawn})


def joined(value: Any, choices: Any) -> Any:
    """The same object with some of its objects flattened into dotted names."""
    if isinstance(value, list):
        return [joined(element, choices) for element in value]
    if not isinstance(value, dict):
        return value
    flattened: dict[str, Any] = {}
    for name, inner in value.items():
        inner = joined(inner, choices)
        if isinstance(inner, dict) and inner and choices.draw(st.booleans()):
            flattened |= {f"{name}.{below}": deeper for below, deeper in inner.items()}
        else:
            flattened[name] = inner
    return flattened


@settings(max_examples=sample_of(200), deadline=None)
@given(pattern=patterns, event=events, choices=st.data())
def test_dots_in_names_change_nothing(pattern: dict[str, Any], event: dict[str, Any], choices: st.DataObject) -> None:
    dotted = joined_pattern(pattern, choices)
    assert matches(dotted, joined(event, choices)) == matches(pattern, event) == matches(nested(dotted), event)


def joined_pattern(pattern: dict[str, Any], choices: Any) -> dict[str, Any]:
    flattened: dict[str, Any] = {}
    for name, inner in pattern.items():
        if isinstance(inner, dict) and choices.draw(st.booleans()):
            flattened |= {f"{name}.{below}": deeper for below, deeper in joined_pattern(inner, choices).items()}
        else:
            flattened[name] = joined_pattern(inner, choices) if isinstance(inner, dict) else inner
    return flattened


def test_a_name_is_absent_if_no_object_of_an_array_has_it() -> None:
    """As event-ruler's `NameState.getNameTransitions` does: a field of any object ends the search for absence, unless
    another condition has chosen a different object. ministack is content with one object that lacks the name."""
    pattern = {"x": {"x": [{"exists": False}]}}
    assert not matches(pattern, {"x": [{}, {"x": None}]})
    assert matches(pattern, {"x": [{}, {"y": None}]})


def has_objects_in_an_array(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(each, dict) or has_objects_in_an_array(each) for each in value)
    return isinstance(value, dict) and any(map(has_objects_in_an_array, value.values()))


@settings(max_examples=sample_of(400), deadline=None)
@given(pattern=patterns, event=events)
def test_the_emulators_own_matcher_agrees(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    """An independent implementation of the same grammar says the same of random patterns and events."""
    from ministack.services import eventbridge

    assume('"exists": false' not in json.dumps(pattern) or not has_objects_in_an_array(event))
    theirs = any(
        eventbridge._matches_detail(event, alternative) for alternative in eventbridge._compile_pattern(pattern)
    )
    assert matches(pattern, event) == theirs
