"""Reads YAML that people write: safe, decimals exact, duplicate keys and wrong fields refused."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from fhircryo.errors import UsageError


class Written(BaseModel):
    """A part of a file that a person writes: unknown keys are errors, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=False)


ModelT = TypeVar("ModelT", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Decimals in place of binary floats; a key that stands twice is an error."""


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> Decimal:
    text = str(loader.construct_scalar(node)).replace("_", "")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise yaml.MarkedYAMLError(
            problem=f"{text!r} is not a number", problem_mark=node.start_mark
        ) from None


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
                problem=f"the key {key!r} stands twice",
                problem_mark=key_node.start_mark,
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        UsageError: the file is not there or not YAML, with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    try:
        # _Loader is a SafeLoader: no object is ever made from a tag.
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # nosec B506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UsageError(f"{where}: not YAML as expected: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML: {error}") from error


def validate(model: type[ModelT], content: Any, where: str | Path) -> ModelT:
    """Check what was read against ``model``.

    Raises:
        UsageError: with the file and the path of every wrong field.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = []
        for detail in error.errors(include_url=False):
            path = ".".join(str(part) for part in detail["loc"]) or "(top)"
            lines.append(f"{where}: {path}: {_words(detail)}")
        raise UsageError("\n".join(lines)) from error


def _words(detail: Any) -> str:
    if detail["type"] == "extra_forbidden":
        return "this key is not known here"
    if detail["type"] == "missing":
        return "this key is required"
    return str(detail["msg"]).removeprefix("Value error, ")


def with_base(content: Any, base: str) -> Any:
    """Put the base of our canonicals in every ``{base}`` of what was read."""
    if isinstance(content, str):
        return content.replace("{base}", base)
    if isinstance(content, dict):
        return {key: with_base(value, base) for key, value in content.items()}
    if isinstance(content, list):
        return [with_base(value, base) for value in content]
    return content
