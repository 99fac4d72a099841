from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.adapters.yaml_file import Node, Section, read_yaml
from controller.core.errors import InvalidConfig, NotFound

Write = Callable[[str], Section]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def section(text: str) -> Section:
        path = tmp_path / "fleet.yaml"
        path.write_text(text, encoding="utf-8")
        return read_yaml(path).mapping()

    return section


def refusal(action: Callable[[], object]) -> str:
    """The message without its folder: `fleet.yaml:3: key: …`."""
    with pytest.raises(InvalidConfig) as refused:
        action()
    return "".join(str(refused.value).partition("fleet.yaml")[1:])


def test_values_are_read_by_name_and_type(write: Write) -> None:
    root = write(
        "name: asr\nport: 80\nshare: 2.5\non: true\nhold: 1h30m\n"
        "tags: [a, b]\nprobes:\n  every: 2\n"
    )
    assert root.string("name") == "asr"
    assert root.integer("port", minimum=1, maximum=65535) == 80
    assert root.number("share") == 2.5
    assert root.boolean("on") is True
    assert root.duration_seconds("hold") == 5400
    assert root.strings("tags") == ("a", "b")
    assert root.section("probes").integer("every") == 2
    root.done()


def test_absent_keys_take_their_defaults_also_in_absent_sections(write: Write) -> None:
    root = write("name: asr\n")
    assert root.string("name") == "asr"
    assert root.string("image", None) is None
    assert root.items("steps") == []
    assert root.section("probes").section("deep").number("every", 1.0) == 1.0
    root.done()


def test_an_unknown_key_is_refused_with_file_line_path_and_what_was_expected(write: Write) -> None:
    root = write("steps:\n  - percent: 5\n  - percent: 20\n    hodl: 3s\n")
    for item in root.items("steps"):
        step = item.mapping()
        step.number("percent")
        step.duration_seconds("hold", 0.0)
    assert refusal(root.done) == (
        "fleet.yaml:4: steps.1.hodl: unknown key; expected one of percent, hold"
    )


def test_an_unknown_key_at_the_top_is_refused_too(write: Write) -> None:
    root = write("name: asr\nnmae: asr\n")
    root.string("name")
    assert refusal(root.done) == "fleet.yaml:2: nmae: unknown key; expected one of name"


def test_a_missing_key_is_refused_and_says_what_is_there(write: Write) -> None:
    root = write("probes:\n  evry: 2\n")
    assert refusal(lambda: root.section("probes").number("every")) == (
        "fleet.yaml:2: probes.every: this key is required (there is evry)"
    )


def test_a_key_that_is_there_twice_is_refused(write: Write) -> None:
    assert (
        refusal(lambda: write("a: 1\nb: 2\na: 3\n")) == "fleet.yaml:3: a: this key is there twice"
    )


@pytest.mark.parametrize(
    ("text", "read", "expected"),
    [
        ("k: 1.0", lambda s: s.string("k"), "expected text"),
        ("k: ' '", lambda s: s.string("k"), "expected text"),
        ("k: yes", lambda s: s.integer("k"), "expected a whole number, found 'yes'"),
        ("k: 1.5", lambda s: s.integer("k"), "expected a whole number, found '1.5'"),
        ("k: 70000", lambda s: s.integer("k", maximum=65535, minimum=1), "1 to 65535"),
        ("k: 0", lambda s: s.integer("k", minimum=1), "expected at least 1, found '0'"),
        ("k: .nan", lambda s: s.number("k"), "expected a number"),
        ("k: true", lambda s: s.number("k"), "expected a number"),
        ("k: 'true'", lambda s: s.boolean("k"), "expected true or false"),
        ("k: 5 parsecs", lambda s: s.duration_seconds("k"), "expected a duration such as 30s"),
        ("k: ''", lambda s: s.duration_seconds("k"), "expected a duration"),
        ("k: -5", lambda s: s.duration_seconds("k"), "expected at least 0"),
        ("k: c", lambda s: s.choice("k", ("a", "b")), "expected one of a, b, found 'c'"),
        ("k: [a]", lambda s: s.string("k"), "expected text (in quotes"),
        ("k: {a: 1}", lambda s: s.items("k"), "expected a list, found a mapping"),
        ("k: text", lambda s: s.items("k"), "expected a list, found 'text'"),
        ("k: text", lambda s: s.section("k"), "expected a mapping of keys, found 'text'"),
        ("k:", lambda s: s.number("k", 1.0), "found nothing (leave the key out"),
        ("k: 1" + "0" * 400, lambda s: s.number("k"), "expected a number"),
        ("k: " + "9" * 400 + "s", lambda s: s.duration_seconds("k"), "expected a duration"),
        ("k: !!int ''", lambda s: s.integer("k"), "has no value"),
        ("k: !!bool x", lambda s: s.boolean("k"), "has no value"),
        ("k: !!timestamp x", lambda s: s.string("k"), "has no value"),
        ("k: 2026-02-30", lambda s: s.string("k"), "has no value"),
        ("k: !!python/object:os.system x", lambda s: s.string("k"), "has no value"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line(
    write: Write, text: str, read: Callable[[Section], object], expected: str
) -> None:
    message = refusal(lambda: read(write(f"# a comment\n{text}\n")))
    assert message.startswith("fleet.yaml:2: k: ")
    assert expected in message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0.5", 0.5), ("10s", 10), ("5m", 300), ("1h30m", 5400), ("2d", 172800)],
)
def test_durations_have_units_or_are_seconds(write: Write, text: str, seconds: float) -> None:
    assert write(f"hold: {text}\n").duration_seconds("hold") == seconds


def test_free_keys_are_read_as_entries(write: Write) -> None:
    root = write("versions:\n  v1: {model: a}\n  v2: {model: b}\n")
    versions = root.section("versions").entries()
    assert {name: node.mapping().string("model") for name, node in versions.items()} == {
        "v1": "a",
        "v2": "b",
    }
    root.done()


def test_a_name_is_checked_where_it_stands(write: Write) -> None:
    items = write("sets:\n  - ok\n  - ../etc\n").items("sets")
    assert items[0].name("eval set") == "ok"
    message = refusal(lambda: items[1].name("eval set"))
    assert message.startswith("fleet.yaml:3: sets.1: eval set '../etc' is not a valid name")


def test_an_error_of_the_core_gets_the_line_of_the_key_it_names(write: Write) -> None:
    root = write("steps:\n  - percent: 5\n  - percent: 2\n")
    assert str(root.error("steps.1.percent", "too low")).endswith(":3: steps.1.percent: too low")
    assert str(root.error("gates", "none")).endswith(":1: gates: none")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"a: 1\nb: [1\n", "fleet.yaml:3: not YAML"),
        (b"a: 1\n\tb: 2\n", "fleet.yaml:2: not YAML"),
        (b"a: *nothing\n", "fleet.yaml:1: not YAML"),
        (b"a: 1\n---\nb: 2\n", "fleet.yaml:2: not YAML"),
        (b"a: \xff\xfe\n", "not UTF-8 at byte 3"),
        (b"a: \x07\n", "special characters"),
        (b"[" * 3000, "nested too deeply"),
        (b"- 1\n", "fleet.yaml:1: expected a mapping of keys, found a list"),
        (b"? [1]\n: 2\n", "fleet.yaml:1: a key must be text"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidConfig) as refused:
        read_yaml(path).mapping()
    assert expected in str(refused.value)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        read_yaml(tmp_path / "fleet.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot be read"):
        read_yaml(tmp_path)


@given(st.text(alphabet="ab: -[]{},&*!|>'\"#%@`?\n\t\x00\x85\u2028\ud7ff019.e~<", max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_refused_but_never_breaks(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    with suppress(InvalidConfig):
        for node in read_yaml(path).mapping().entries().values():
            for read in (Node.string, Node.number, Node.duration_seconds, Node.boolean):
                with suppress(InvalidConfig):
                    read(node)
