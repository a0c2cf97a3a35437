"""Only one module prints and only one sets up logs, so that no outside text is shown unescaped."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fhircryo

_PACKAGE = Path(fhircryo.__file__).parent
#: Functions and streams by which text can be shown, as they are written in code.
_SHOWING = frozenset(
    {
        "print",
        "input",
        "echo",
        "secho",
        "confirm",
        "prompt",
        "pager",
        "echo_via_pager",
        "stdout",
        "stderr",
        "__stdout__",
        "__stderr__",
        "Console",
        "StreamHandler",
        "FileHandler",
        "SysLogHandler",
        "basicConfig",
        "print_exc",
        "print_exception",
        "print_stack",
        "warn",
    }
)
#: Where one of them is used, and why no outside text is shown unescaped by it.
_ALLOWED = {
    # The function that everything uses: it escapes what it prints.
    ("cli/printing.py", "print"),
    ("cli/printing.py", "confirm"),
    ("cli/printing.py", "stdout"),
    # It replaces the streams as a whole: by those that handle readers that have gone, full disks.
    ("cli/standard_streams.py", "stdout"),
    ("cli/standard_streams.py", "stderr"),
    ("cli/printing.py", "stderr"),
    # The end of a command flushes what was printed, so that a full disk is an error.
    ("cli/main.py", "stdout"),
    # The pipe of the test server, which is read.
    ("setup/hapi/hapi_server.py", "stdout"),
    # The handler of all log lines, with a formatter that escapes.
    ("logs.py", "StreamHandler"),
    ("logs.py", "stderr"),
    # The bar on a terminal; its words are escaped, and are no markup.
    ("cli/progress.py", "Console"),
    ("cli/progress.py", "stderr"),
    # The table of the shipped patients beside the shipped protocol: all texts are ours.
    ("cli/demo.py", "Console"),
    ("cli/demo.py", "print"),
    # A rule of the protocol: nothing is shown.
    ("endpoints/due.py", "confirm"),
}


def _shown_in(source: str) -> Iterator[str]:
    """The names of ``_SHOWING`` that code calls, reads from a module or imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in _SHOWING:
            yield node.id
        elif isinstance(node, ast.Attribute) and node.attr in _SHOWING:
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (name.name for name in node.names if name.name in _SHOWING)


def _found() -> set[tuple[str, str]]:
    return {
        (path.relative_to(_PACKAGE).as_posix(), name)
        for path in sorted(_PACKAGE.rglob("*.py"))
        for name in _shown_in(path.read_text(encoding="utf-8"))
    }


@pytest.mark.slow
def test_only_the_printing_module_prints():
    assert _found() - _ALLOWED == set()


@pytest.mark.slow
def test_every_exception_is_needed():
    assert _found() >= _ALLOWED


@pytest.mark.parametrize(
    "code",
    [
        "print(text)",
        "typer.echo(text)",
        "sys.stderr.write(text)",
        "from sys import stdout",
        "from typer import echo as say",
        "show = print",
        "rich.console.Console().print(text)",
        "logging.basicConfig()",
        "warnings.warn(text)",
        "traceback.print_exc()",
    ],
)
def test_the_check_finds_what_prints(code: str):
    assert list(_shown_in(code))


@pytest.mark.slow
def test_every_logger_is_below_the_one_that_escapes():
    """A logger of another name would be written by the handler of last resort."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "getLogger":
                (name,) = node.args
                ours = isinstance(name, ast.Name) and name.id == "__name__"
                fixed = isinstance(name, ast.Constant) and (
                    str(name.value).startswith("fhircryo")
                    or (path.name, name.value) == ("logs.py", "py.warnings")
                )
                assert ours or fixed, f"{path}:{node.lineno}"
