"""YAML read strictly: nothing in a file is ignored, and every complaint has file and line.

root = read_yaml(path).mapping()
port = root.integer("port", 8080, minimum=1, maximum=65535)
for item in root.items("steps"):
    step = item.mapping()
    hold = step.duration_seconds("hold", 0.0)
root.done()  # refuses every key that nobody asked for, in the whole file"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from controller.core.errors import InvalidConfig, InvalidName, NotFound
from controller.core.names import check_name

_DURATION: Final = re.compile(
    r"(?=\S)(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?"
)
_LONGEST_SECONDS: Final = 3650 * 86400.0  # a date that far ahead can still be reckoned
_UNIT_SECONDS: Final = (86400, 3600, 60, 1)

T = TypeVar("T")
D = TypeVar("D")
C = TypeVar("C", bound=str)
N = TypeVar("N", int, float)


class _Default(Enum):
    NONE = "the key is required"


REQUIRED: Final = _Default.NONE


def read_yaml(path: Path) -> Node:
    """The root of a file. Raises NotFound without the file, InvalidConfig where it is empty,
    not UTF-8 or not YAML."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except OSError as error:
        raise InvalidConfig(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{path}: not UTF-8 at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise InvalidConfig(_broken(path, error)) from error
    except RecursionError as error:
        raise InvalidConfig(f"{path}: nested too deeply") from error
    if root is None:
        raise InvalidConfig(f"{path}: the file is empty")
    return Node(_File(path), "", root)


def _broken(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "broken"
    return f"{path}:{mark.line + 1}: not YAML: {problem}" if mark else f"{path}: {problem}"


def _finite(value: object) -> float | None:
    """The number, unless it is none, is infinite, or is true or false (ints in Python)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


class _File:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.sections: list[Section] = []  # all that were opened: `done` looks at each

    def error(self, node: yaml.Node, key: str, message: str) -> InvalidConfig:
        line = node.start_mark.line + 1
        return InvalidConfig(f"{self.path}:{line}: {key + ': ' if key else ''}{message}")


class Node:
    """A value in the file. `key` is its path, such as `steps.1.percent`. All InvalidConfig."""

    def __init__(self, file: _File, key: str, node: yaml.Node) -> None:
        self._file = file
        self._node = node
        self.key = key

    def error(self, message: str) -> InvalidConfig:
        """The error to raise about this value: `file:line: path.of.key: message`."""
        return self._file.error(self._node, self.key, message)

    def error_below(self, path: str, message: str) -> InvalidConfig:
        """Likewise about a value below this one, such as `0.percent`, or as near as it goes."""
        name, _, below = path.partition(".")
        match self._node:
            case yaml.MappingNode():
                return self.mapping().error(path, message)
            case yaml.SequenceNode() if name.isdigit() and int(name) < len(self._node.value):
                item = self.items()[int(name)]
                return item.error_below(below, message) if below else item.error(message)
            case _:
                return self.error(message)

    def mapping(self) -> Section:
        if not isinstance(self._node, yaml.MappingNode):
            raise self._expected("a mapping of keys")
        return Section(self._file, self.key, self._node)

    def items(self) -> list[Node]:
        if not isinstance(self._node, yaml.SequenceNode):
            raise self._expected("a list")
        return [
            Node(self._file, f"{self.key}.{index}", child)
            for index, child in enumerate(self._node.value)
        ]

    def string(self) -> str:
        value = self._scalar()
        if not isinstance(value, str) or not value.strip():
            raise self._expected("text (in quotes where it looks like a number or yes/no)")
        return value

    def strings(self) -> tuple[str, ...]:
        return tuple(item.string() for item in self.items())

    def name(self, what: str) -> str:
        """A valid name of a version, node, plan or eval set (`what` says which)."""
        try:
            return check_name(self.string(), what)
        except InvalidName as error:
            raise self.error(str(error)) from error

    def choice(self, options: Sequence[C]) -> C:
        value = self._scalar()
        for option in options:
            if option == value:
                return option
        raise self._expected(f"one of {', '.join(options)}")

    def boolean(self) -> bool:
        value = self._scalar()
        if not isinstance(value, bool):
            raise self._expected("true or false")
        return value

    def integer(self, minimum: float = -math.inf, maximum: float = math.inf) -> int:
        value = self._scalar()
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._expected("a whole number")
        return self._within(value, minimum, maximum)

    def number(self, minimum: float = -math.inf, maximum: float = math.inf) -> float:
        value = _finite(self._scalar())
        if value is None:
            raise self._expected("a number")
        return self._within(value, minimum, maximum)

    def duration_seconds(self) -> float:
        """`10s`, `5m`, `1h30m`, `2d`, or plain seconds."""
        value = self._scalar()
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is not None:
            parts = zip(match.groups(), _UNIT_SECONDS, strict=True)
            value = sum(float(count) * unit for count, unit in parts if count)
        seconds = _finite(value)
        if seconds is None:
            raise self._expected("a duration such as 30s, 5m or 1h")
        if seconds > _LONGEST_SECONDS:
            raise self._expected("at most 3650d")
        return self._within(seconds, 0, math.inf)

    def some_seconds(self) -> float:
        """A duration that is longer than nothing."""
        seconds = self.duration_seconds()
        if seconds <= 0:
            raise self.error("must be longer than nothing")
        return seconds

    def _within(self, value: N, minimum: float, maximum: float) -> N:
        if not minimum <= value <= maximum:
            limits = (
                f"at least {minimum:g}" if maximum == math.inf else f"{minimum:g} to {maximum:g}"
            )
            raise self._expected(limits)
        return value

    def _scalar(self) -> Any:
        if not isinstance(self._node, yaml.ScalarNode):
            return None
        try:
            return yaml.SafeLoader("").construct_object(self._node)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
            # 2026-02-30, !!python/object, !!int "": PyYAML has no one error for them
            raise self.error(f"{self._node.value!r} has no value") from error

    def _expected(self, what: str) -> InvalidConfig:
        match self._node:
            case yaml.MappingNode():
                found = "a mapping"
            case yaml.SequenceNode():
                found = "a list"
            case yaml.ScalarNode(tag="tag:yaml.org,2002:null"):
                found = "nothing (leave the key out for its default)"
            case _:
                found = repr(self._node.value)
        return self.error(f"expected {what}, found {found}")


class Section:
    """A mapping whose keys are asked for by name; one without a default is required."""

    def __init__(self, file: _File, key: str, node: yaml.MappingNode) -> None:
        file.sections.append(self)
        self._file = file
        self._node = node
        self.key = key
        self._asked: list[str] = []
        self._children: dict[str, Node] = {}
        self._names: dict[str, yaml.Node] = {}  # for the lines of keys
        for name, value in node.value:
            self._add(name, value)

    def _add(self, name: yaml.Node, value: yaml.Node) -> None:
        if not isinstance(name, yaml.ScalarNode):
            raise self._file.error(name, self.key, "a key must be text")
        path = self._path(name.value)
        if name.value in self._children:
            raise self._file.error(name, path, "this key is there twice")
        self._names[name.value] = name
        self._children[name.value] = Node(self._file, path, value)

    def string(self, name: str, default: D | _Default = REQUIRED) -> str | D:
        return self.get(name, Node.string, default)

    def strings(self, name: str, default: D | _Default = REQUIRED) -> tuple[str, ...] | D:
        return self.get(name, Node.strings, default)

    def choice(self, name: str, options: Sequence[C], default: D | _Default = REQUIRED) -> C | D:
        return self.get(name, lambda node: node.choice(options), default)

    def boolean(self, name: str, default: D | _Default = REQUIRED) -> bool | D:
        return self.get(name, Node.boolean, default)

    def integer(
        self,
        name: str,
        default: D | _Default = REQUIRED,
        minimum: float = -math.inf,
        maximum: float = math.inf,
    ) -> int | D:
        return self.get(name, lambda node: node.integer(minimum, maximum), default)

    def number(
        self,
        name: str,
        default: D | _Default = REQUIRED,
        minimum: float = -math.inf,
        maximum: float = math.inf,
    ) -> float | D:
        return self.get(name, lambda node: node.number(minimum, maximum), default)

    def duration_seconds(self, name: str, default: D | _Default = REQUIRED) -> float | D:
        return self.get(name, Node.duration_seconds, default)

    def items(self, name: str) -> list[Node]:
        """The values of a list; none where the key is absent."""
        return self.get(name, Node.items, [])

    def section(self, name: str) -> Section:
        """A mapping below this one; where the key is absent, an empty one of defaults."""
        empty = yaml.MappingNode("", [], self._node.start_mark, self._node.end_mark)
        return self.get(name, Node.mapping, None) or Section(self._file, self._path(name), empty)

    def entries(self) -> dict[str, Node]:
        """All keys, where their names are free, as those of versions are."""
        self._asked.extend(self._children)
        return dict(self._children)

    def get(self, name: str, read: Callable[[Node], T], default: D | _Default = REQUIRED) -> T | D:
        """The value of a key as `read` makes it of its Node, or the default."""
        if name not in self._asked:
            self._asked.append(name)
        if name in self._children:
            return read(self._children[name])
        if isinstance(default, _Default):
            there = ", ".join(self._children) or "nothing"
            raise self.error(name, f"this key is required (there is {there})")
        return default

    def error(self, path: str, message: str) -> InvalidConfig:
        """The error about a key at or below this mapping, such as `steps.1.percent`, with the
        line of the nearest value that is there."""
        name, _, below = path.partition(".")
        child = self._children.get(name)
        if child is None:
            return self._file.error(self._node, self._path(path), message)
        return child.error_below(below, message) if below else child.error(message)

    def done(self) -> None:
        """Raise InvalidConfig at the first key, anywhere in the file, that nobody asked for."""
        for section in self._file.sections:
            for name, node in section._names.items():
                if name not in section._asked:
                    expected = ", ".join(section._asked)
                    raise self._file.error(
                        node, section._path(name), f"unknown key; expected one of {expected}"
                    )

    def _path(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name
