"""Reads YAML files that people write: safely, with exact decimals, and strictly validated."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from fhircryo.errors import UsageError


class StrictModel(BaseModel):
    """Base of the models of files that people write: immutable; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=False)


ModelT = TypeVar("ModelT", bound=BaseModel)


if TYPE_CHECKING:
    from yaml import SafeLoader
else:
    # libyaml reads a file several times faster; not every build of PyYAML contains it.
    SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: A file has fewer parts than this, those that aliases repeat included.
_MOST_PARTS = 200_000
#: No file is larger than this, in bytes, or nested more deeply.
_LARGEST = 8 << 20
_DEEPEST = 50
#: A number has at most this many characters, and is smaller than this power of ten.
_LONGEST_NUMBER = 40
_LARGEST_EXPONENT = 18
_LARGEST_INTEGER: int = 10**_LARGEST_EXPONENT
#: So many wrong fields of a file are listed, and so much of a key is shown.
_MOST_SHOWN = 20
_LONGEST_KEY = 100


class _Loader(SafeLoader):
    """A safe loader that reads numbers as Decimal and rejects duplicate keys."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return what a node holds; what its type does not allow is an error with its line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, ArithmeticError, AttributeError, TypeError):
            kind = str(node.tag).rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"this is not a value of the type {kind}", problem_mark=node.start_mark
            ) from None


class _TextDates(_Loader):
    """A loader that leaves dates as they are written."""


_TextDates.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> Decimal:
    text = str(loader.construct_scalar(node)).replace("_", "")
    try:
        number = Decimal(text[: _LONGEST_NUMBER + 1])
    except InvalidOperation:
        raise yaml.MarkedYAMLError(
            problem=f"{text[:_LONGEST_NUMBER]!r} is not a number", problem_mark=node.start_mark
        ) from None
    _check_number(text, number, node)
    return number


def _integer(loader: _Loader, node: yaml.ScalarNode) -> Any:
    text = str(loader.construct_scalar(node))
    # Reading a long number takes more than linear time, so that its length is checked before.
    number = loader.construct_yaml_int(node) if len(text) <= _LONGEST_NUMBER else 0
    _check_number(text, Decimal(number), node)
    return number


def _is_sized(number: Decimal) -> bool:
    return number.is_finite() and abs(number.adjusted()) < _LARGEST_EXPONENT


def _a_number(value: Any) -> Any:
    """Reject what pydantic would accept as a decimal, and no rule and no mapping can mean."""
    if isinstance(value, bool):
        raise ValueError("a number is needed")  # noqa: TRY004  # pydantic shows a ValueError
    if isinstance(value, str | int | float | Decimal):
        text = str(value) if not isinstance(value, int) or abs(value) < _LARGEST_INTEGER else ""
        try:
            sized = 0 < len(text) <= _LONGEST_NUMBER and _is_sized(Decimal(text))
        except InvalidOperation:
            raise ValueError("a number is needed") from None
        if not sized:
            raise ValueError("the number is too large, too small or too long")
    return value


#: A number of a protocol or a mapping: exact, and of a size that can be computed with.
Number = Annotated[Decimal, BeforeValidator(_a_number)]


def _check_number(text: str, number: Decimal, node: yaml.Node) -> None:
    """Raise a MarkedYAMLError for a number that no rule and no mapping can mean."""
    if len(text) > _LONGEST_NUMBER or not _is_sized(number):
        raise yaml.MarkedYAMLError(
            problem="the number is too large, too small or too long", problem_mark=node.start_mark
        )


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | bool | Decimal):
            raise yaml.MarkedYAMLError(
                problem="a key must be plain text", problem_mark=key_node.start_mark
            )
        if key in seen:
            raise yaml.MarkedYAMLError(
                problem=f"the key {key!r} occurs twice",
                problem_mark=key_node.start_mark,
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


def _date(loader: _Loader, node: yaml.ScalarNode) -> Any:
    try:
        return loader.construct_yaml_timestamp(node)
    except ValueError:
        raise yaml.MarkedYAMLError(
            problem=f"{node.value!r} is not a date; in quotes it is text",
            problem_mark=node.start_mark,
        ) from None


_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _date)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


Loc = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """The content of a YAML file; ``lines``: the line number of each part."""

    path: Path
    content: Any
    lines: dict[Loc, int]

    def line(self, loc: Loc) -> int:
        """Return the line of a part; for a missing part, the line of the enclosing part."""
        while loc not in self.lines and loc:
            loc = loc[:-1]
        return self.lines.get(loc, 1)

    def describe(self, *loc: str | int) -> str:
        """Return ``file:line: path`` of a part, the beginning of an error message."""
        return f"{self.path}:{self.line(loc)}: {dotted(loc)}"


def dotted(loc: Iterable[str | int]) -> str:
    """Return the path of a part, joined with dots."""
    return ".".join(str(part)[:_LONGEST_KEY] for part in loc) or "(top)"


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        UsageError: the file does not exist or is not YAML (with file and line).
    """
    return read_document(path).content


def read_document(path: Path, *, dates_as_text: bool = False) -> Document:
    """Return the content of a YAML file with the line number of each part.

    ``dates_as_text``: a date is the text that was written.

    Raises:
        UsageError: the file does not exist or is not YAML (with file and line).
    """
    text = _text(path)
    node = None
    try:
        _check_depth(text)
        # The loader is a SafeLoader: a tag never creates a Python object.
        loader = (_TextDates if dates_as_text else _Loader)(text)
        node = loader.get_single_node()
        _check_size(node)
        content = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        key = _key_at(node, mark)
        raise UsageError(f"{where}: {key}not valid YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(
            f"{path}:{line}: not valid YAML: it contains a character that YAML does not allow"
        ) from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from error
    return Document(path, content, {} if node is None else dict(_lines(node, ())))


def _text(path: Path) -> str:
    """Return the text of a file that a person wrote, without a byte order mark."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise UsageError(
                f"{path}: the file has more than {_LARGEST >> 20} MB, and is not read; is it a"
                " file of mappings, or a protocol?"
            )
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: cannot be read: it is not UTF-8 text") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error


def _check_depth(text: str) -> None:
    """Raise a MarkedYAMLError for a text that is nested too deeply.

    The events of the parser are counted, because the libraries build parts recursively: a stack
    overflow in libyaml would end the process.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                mark: Any = event.start_mark
                raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_size(root: yaml.Node | None) -> None:
    """Raise a MarkedYAMLError if aliases make the content endless, or larger than any real file."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = _MOST_PARTS  # until it is known: a part that contains itself
            inner = [
                part
                for child in (node.value if isinstance(node, yaml.CollectionNode) else ())
                for part in (child if isinstance(child, tuple) else (child,))
            ]
            sizes[id(node)] = 1 + sum(map(size, inner))
        if sizes[id(node)] >= _MOST_PARTS:
            raise yaml.MarkedYAMLError(
                problem="aliases repeat too much of the file", problem_mark=node.start_mark
            )
        return sizes[id(node)]

    if root is not None:
        size(root)


def _key_at(root: yaml.Node | None, mark: Any) -> str:
    """Return the path of the part that begins at a mark, for a message; empty if none does."""
    waiting: list[tuple[yaml.Node, Loc]] = [] if root is None or mark is None else [(root, ())]
    seen: set[int] = set()
    while waiting:
        node, loc = waiting.pop()
        start = node.start_mark
        if loc and (start.line, start.column) == (mark.line, mark.column):
            return f"{dotted(loc)}: "
        if id(node) in seen:
            continue  # A part that aliases repeat, or that contains itself.
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            waiting += [(value, (*loc, str(key.value))) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(value, (*loc, number)) for number, value in enumerate(node.value)]
    return ""


def _lines(node: yaml.Node, loc: Loc) -> Iterator[tuple[Loc, int]]:
    """Yield the line of each part: the line of its key, or in a list the line of the value."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*loc, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            inner = (*loc, number)
            yield inner, value.start_mark.line + 1
            yield from _lines(value, inner)


def validate(model: type[ModelT], content: Any, where: str | Path | Document) -> ModelT:
    """Return ``content`` as an instance of ``model``.

    ``where``: the origin of the content, for error messages.

    Raises:
        UsageError: a field is not valid; one line per field, with file, line and path.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = []
        details = error.errors(include_url=False)
        for detail in details[:_MOST_SHOWN]:
            # pydantic adds the alternatives of a union in brackets; the file has no such keys.
            loc = tuple(part for part in detail["loc"] if not str(part).startswith(("(", "[")))
            place = (
                where.describe(*loc) if isinstance(where, Document) else f"{where}: {dotted(loc)}"
            )
            lines.append(f"{place}: {_words(detail, model, loc)}")
        if len(details) > _MOST_SHOWN:
            lines.append(f"and {len(details) - _MOST_SHOWN} more")
        raise UsageError("\n".join(lines)) from error


def _words(detail: Any, model: type[BaseModel], loc: Loc) -> str:
    if detail["type"] == "extra_forbidden":
        return f"unknown key{_keys_instead(model, loc)}"
    if detail["type"] == "missing":
        return "this key is required"
    return str(detail["msg"]).removeprefix("Value error, ")


def nearest(given: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the most similar known name, and all known names."""
    names = sorted(known)
    near = difflib.get_close_matches(given[:_LONGEST_KEY], names, 1)
    advice = f"; did you mean {near[0]}?" if near else ""
    return f"{advice}; there are: {', '.join(names)}" if names else advice


def _keys_instead(model: type[BaseModel], loc: Loc) -> str:
    """Return the valid keys at the location of an unknown key, for an error message."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    found = [schema]
    for part in (*loc[:-1], None):
        choices = [choice for place in found for choice in _choices(place, definitions)]
        if part is None:
            return nearest(str(loc[-1]), {key for one in choices for key in one["properties"]})
        found = [inner for one in choices for inner in _below(one, part)]
    return ""


def _choices(schema: Any, definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the alternatives of a part of a schema, with references resolved."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        for one in alternatives:
            yield from _choices(one, definitions)
    else:
        yield {"properties": {}, **schema}


def _below(schema: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    if isinstance(part, int):
        inner = [schema.get("items")]
    else:
        inner = [schema["properties"].get(part), schema.get("additionalProperties")]
        inner += schema.get("patternProperties", {}).values()
    yield from (one for one in inner if isinstance(one, dict))


def with_base(content: Any, base: str) -> Any:
    """Return the content with every ``{base}`` replaced by the base of our canonical URLs."""
    if isinstance(content, str):
        return content.replace("{base}", base)
    if isinstance(content, dict):
        return {key: with_base(value, base) for key, value in content.items()}
    if isinstance(content, list):
        return [with_base(value, base) for value in content]
    return content
