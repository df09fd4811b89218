"""The strict reader: what is accepted as text, and where a fault is said to be."""

from __future__ import annotations

import time

import pytest
import yaml

from tenancy import document
from tenancy.document import DocumentError, Mapping, Scalar, Sequence, describe, key_path, parse


@pytest.fixture(params=["libyaml", "pure Python"])
def either_parser(request, monkeypatch):
    """PyYAML without libyaml must read the same: it is what a machine without the C library has."""
    loader = yaml.CSafeLoader if request.param == "libyaml" else yaml.SafeLoader
    monkeypatch.setattr(document, "_Loader", loader)


def problem_of(data):
    with pytest.raises(DocumentError) as caught:
        parse(data.encode() if isinstance(data, str) else data)
    return caught.value.problem


def test_it_keeps_lines_order_and_kinds(either_parser):
    node = parse(b"# comment\nb: 1\na:\n  - x\n  - 'no'\n  - no\n")
    assert isinstance(node, Mapping)
    assert list(node.entries) == ["b", "a"]
    assert [node.line_of("b"), node.line_of("a"), node.line_of("missing")] == [2, 3, 2]
    assert node.entries["b"][1] == Scalar("1", 2, "a number")
    items = node.entries["a"][1]
    assert isinstance(items, Sequence)
    assert [(item.value, item.line, item.kind) for item in items.items] == [
        ("x", 4, "text"),
        ("no", 5, "text"),
        ("no", 6, "true or false"),
    ]
    assert [describe(node), describe(items), describe(items.items[0])] == ["a map", "a list", "text"]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("acme", "text"),
        ("'0123'", "text"),
        ('"no"', "text"),
        ("1e3", "text"),
        ("1.0e+3", "a number"),
        ("0123", "a number"),
        ("0x1F", "a number"),
        ("12:30:45", "a number"),
        (".inf", "a number"),
        ("no", "true or false"),
        ("On", "true or false"),
        ("true", "true or false"),
        ("~", "nothing"),
        ("null", "nothing"),
        ("", "nothing"),
        ("2024-01-01", "a date"),
        ("2024-01-01T10:00:00Z", "a date"),
        ("=", "a value key"),
        ("<<", "a merge key"),
    ],
)
def test_it_knows_what_yaml_takes_a_value_for(either_parser, written, kind):
    assert parse(f"key: {written}\n".encode()).entries["key"][1].kind == kind


CONTROLS = [
    character for character in map(chr, [*range(0x20), *range(0x7F, 0xA0)]) if character not in "\t\n"
]


@pytest.mark.parametrize("character", CONTROLS, ids=lambda character: f"U+{ord(character):04X}")
def test_it_refuses_every_raw_control_character(either_parser, character):
    problem = problem_of(f"a: 1\nb: 'x{character}y'\n")
    assert (problem.line, problem.path) == (2, "")
    assert problem.text == f"control character U+{ord(character):04X}; remove it"


INVISIBLE = [
    "\u061c",  # Arabic letter mark
    "\u200b",  # zero width space
    "\u200e",
    "\u200f",
    "\u2028",
    "\u2029",
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
    "\ufeff",
    "\ufffe",
    "\uffff",
]


@pytest.mark.parametrize("character", INVISIBLE, ids=lambda character: f"U+{ord(character):04X}")
def test_it_refuses_what_hides_or_reorders_text(either_parser, character):
    problem = problem_of(f"a: 1\nb: x{character}y\n")
    assert (problem.line, problem.text) == (2, f"control character U+{ord(character):04X}; remove it")


@pytest.mark.parametrize(
    "escape", [r"\0", r"\r", r"\x1b", r"\x7f", r"\u202e", r"\ufeff", r"\N", r"\L", r"\P", r"\e"]
)
def test_it_refuses_control_characters_spelt_as_escapes(either_parser, escape):
    problem = problem_of(f'a:\n  b: "x{escape}y"\n')
    assert (problem.line, problem.path) == (2, "a.b")
    assert problem.text.startswith("control character U+")


@pytest.mark.parametrize(
    "value", [r'"x\ny"', r'"x\ty"', "'x\ty'", r'"x\r\n"', "|\n    x\n    y", "'x\n\n    y'"], ids=repr
)
def test_a_value_is_one_line(either_parser, value):
    problem = problem_of(f"a:\n  b: {value}\n")
    assert (problem.line, problem.path) == (2, "a.b")
    assert problem.text == "a tab or a line break in the text; write it on one line"


@pytest.mark.parametrize(
    "text",
    [
        "Zoë & Søn",
        "株式会社　例",
        "\u0634\u0631\u06a9\u062a\u200c\u0645\u0627",
        "👩\u200d🔬 Lab",
        "no-break\xa0space",
    ],
    ids=["Latin", "Japanese", "Persian", "emoji", "no-break space"],
)
def test_it_accepts_the_names_of_the_world(either_parser, text):
    assert parse(f"a: {text}\n".encode()).entries["a"][1] == Scalar(text, 1, "text")


def test_it_accepts_windows_line_ends(either_parser):
    node = parse(b"a: 1\r\nb: x\r\n")
    assert (node.entries["b"][1].value, node.line_of("b")) == ("x", 2)


BROKEN = [
    pytest.param("a: [1, 2\n", 2, id="list not closed"),
    pytest.param("a: {b: 1\n", 2, id="map not closed"),
    pytest.param("a: 'x\n", 2, id="quote not closed"),
    pytest.param("a: 1\n\tb: 2\n", 2, id="tab as indentation"),
    pytest.param("a: 1\n b: 2\n", 2, id="crooked indentation"),
    pytest.param("a: b: c\n", 1, id="two colons"),
    pytest.param("a: @x\n", 1, id="reserved character"),
    pytest.param('a: "\\q"\n', 1, id="unknown escape"),
    pytest.param("%YAML 9.9\n---\na: 1\n", 1, id="YAML of the future"),
    pytest.param("a: !nope!x 1\n", 1, id="unknown tag handle"),
]


@pytest.mark.parametrize(("data", "line"), BROKEN)
def test_broken_yaml_is_one_line_with_its_place(either_parser, data, line):
    problem = problem_of(data)
    assert problem.text.startswith("not valid YAML: ")
    assert "\n" not in problem.text
    # The two parsers notice an end that is missing in the line of the end, or in the one before.
    assert problem.line in (line, line - 1)


@pytest.mark.parametrize(
    ("text", "line", "path", "words"),
    [
        ("tenants:\n  acme:\n    name: A\n   globex:\n    name: B\n", 4, "tenants", "indented unlike those"),
        (
            "tenants:\n  acme:\n    name: A\n     url: x\n",
            4,
            "tenants.acme",
            "indent keys that belong together",
        ),
        ("tenants:\n  acme: {name: A\n  globex: {name: B}\n", 3, "tenants.acme", "a ',' or a '}' is missing"),
        ("hosts: [a, b\nname: B\n", 2, "hosts", "a ',' or a ']' is missing"),
        ("hosts:\n  - a\n  b: c\n", 3, "hosts", "does not start with '-'"),
    ],
    ids=["less", "more", "a brace", "a bracket", "a list"],
)
def test_what_is_not_yaml_is_told_with_its_place_in_plain_words(text, line, path, words):
    problem = problem_of(text)
    assert (problem.line, problem.path) == (line, path)
    assert words in problem.text


def test_yaml_without_a_mark_is_refused_too(monkeypatch):
    def fail(*args, **options):
        raise yaml.YAMLError("hunter2-s3cret")

    monkeypatch.setattr(document.yaml, "parse", fail)
    with pytest.raises(DocumentError) as caught:
        parse(b"a: 1\n")
    assert caught.value.problem.text == "not valid YAML"


@pytest.mark.parametrize("marker", ["<<<<<<< HEAD", "=======", ">>>>>>> feature", "||||||| base"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_it_names_git_conflict_markers(either_parser, marker, line_end):
    problem = problem_of(line_end.join(["a: 1", marker, "b: 2", ""]))
    assert (problem.line, problem.text) == (2, "git conflict marker; resolve the merge first")


def test_a_rule_in_a_comment_is_no_conflict_marker(either_parser):
    assert parse(b"# =======\na: 1\n#======\n").line_of("a") == 2


def nested(depth):
    return "a: " + "[" * (depth - 1) + "]" * (depth - 1) + "\n"


def test_twenty_levels_are_accepted_and_one_more_is_not(either_parser):
    parse(nested(20).encode())
    problem = problem_of(nested(21))
    assert (problem.line, problem.text) == (1, "nested deeper than 20 levels")
    assert problem.path == "a" + "[0]" * 19


@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "? "], ids=["lists", "maps", "dashes", "keys"])
def test_very_deep_nesting_is_refused_at_once(piece):
    started = time.perf_counter()
    problem_of("a: 1\nb:\n  " + piece * 200_000)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("data", "line"),
    [("a: 1\n---\nb: 2\n", 2), ("---\na: 1\n...\n---\nb: 2\n", 4), ("a: 1\n---\n", 2)],
    ids=["two", "closed and opened", "the second empty"],
)
def test_it_refuses_a_second_document(either_parser, data, line):
    problem = problem_of(data)
    assert (problem.line, problem.text) == (line, "more than one document; keep one, without `---`")


@pytest.mark.parametrize("data", ["", "\n", "   \n\n", "# only\n# comments\n", "# no line break"], ids=repr)
def test_it_refuses_an_empty_document(either_parser, data):
    assert problem_of(data).text == "empty; start with `version: 1` and `tenants:`"


@pytest.mark.parametrize(
    "data",
    ["a: x", "a: x  ", "a: 1\nb:", "a:\n  - x", "a: |-\n  x", "a: {b: c}\nd: e", "a: no"],
    ids=repr,
)
def test_a_last_line_that_may_be_cut_off_is_refused(either_parser, data):
    problem = problem_of(data)
    assert problem.line == data.count("\n") + (0 if "|" in data else 1)
    assert problem.text == "the file ends within this line; complete it, and end it with a line break"


@pytest.mark.parametrize(
    "data", ["a: 'x'", 'a: "x"', "{a: x}", '{"a": [1]}', "a: x # why", "a: x\n  "], ids=repr
)
def test_an_end_that_shows_itself_needs_no_line_break(either_parser, data):
    assert "a" in parse(data.encode()).entries


@pytest.mark.parametrize(
    ("data", "path", "text"),
    [
        ("a:\n  [x]: 1\n", "a", "a key that is a list; keys are text"),
        ("a:\n  {x: y}: 1\n", "a", "a key that is a map; keys are text"),
        ("a:\n  ? - x\n  : 1\n", "a", "a key that is a list; keys are text"),
        ("a:\n  b: [x, {c: &d e}]\n", "a.b[1].c", "an anchor ('&…'); write each value out"),
        ("a:\n  &d b: 1\n", "a", "an anchor ('&…'); write each value out"),
        ("a:\n  *d : 1\n", "a", "an alias ('*…'); write the value out"),
        ("a:\n  !!str b: 1\n", "a", "a tag ('!…'); remove it"),
    ],
)
def test_it_names_the_key_path(either_parser, data, path, text):
    problem = problem_of(data)
    assert (problem.line, problem.path, problem.text) == (2, path, text)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("acme", "a.acme"),
        ("Acme Corp", "a.Acme Corp"),
        ("\u0430cme", "a.\u0430cme"),  # a Cyrillic letter
        ("app.example/tier", "a.app.example/tier"),
        ("x" * 61, "a.…"),
        ("two\nlines", "a.…"),
        ("postgres://app:hunter2-s3cret@db1/acme", "a.…"),
        ("url postgres//app@hunter2", "a.…"),
        ("", "a.…"),
    ],
)
def test_a_key_path_is_short_and_holds_no_url(key, shown):
    assert key_path("a", key) == shown
    assert key_path("", key) == shown.removeprefix("a.")
