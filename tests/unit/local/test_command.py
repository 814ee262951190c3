from __future__ import annotations

import subprocess
import sys

import pytest

from luna_local import command

PARTS = ["up", "processor", "probe", "analyze", "operator", "shim", "crds", "check"]


@pytest.mark.parametrize("part", PARTS)
def test_every_part_explains_itself(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([part, "--help"])
    assert ended.value.code == 0
    assert f"luna-streams {part}" in capsys.readouterr().out


def test_the_command_lists_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {part} " in shown for part in PARTS)


@pytest.mark.parametrize("arguments", [[], ["nothing"]])
def test_an_unknown_part_is_an_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("part", "package", "extra"),
    [
        ("processor", "av", "processor"),
        ("probe", "rich", "processor"),
        ("operator", "kopf", "operator"),
        ("shim", "uvicorn", "api-shim"),
        ("up", "rich", "local"),
        ("crds", "orjson", "operator"),
        ("check", "httpx", "api-shim"),
    ],
)
def test_a_missing_package_is_told_with_the_extra_that_has_it(part: str, package: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None;"
        f"from luna_local import command; sys.exit(command.main([{part!r}]))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert repr(package) in line
    assert f"pip install 'luna-streams-operator[{extra}]'" in line


def test_the_command_itself_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import luna_local.command;"
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "['luna_local']"
