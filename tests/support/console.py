"""Console and Python blocks of Markdown, to be run as tests of the documentation.

A block of commands looks like a terminal::

    ```console
    $ modos show ex \\
    >     --json
    {
    ...
    $ modos show nowhere  # exit 3
    error: no MODO at ...
    ```

- A line that begins with `$ ` is a command. It goes on while a line ends with a
  backslash, and over lines that begin with `> `.
- What follows up to the next command is the expected output, stdout and stderr
  together. A line `...` stands for any lines, also none; `...` within a line for
  any text. White space at line ends and blank lines at the end do not count.
- `# exit 3` after two spaces at the end of a command is the exit code to expect.
- A block right after `<!-- not run: reason -->` is left out.

Every command runs in a shell of its own, so `cd` does not carry over.
"""

from __future__ import annotations

import difflib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 180  # seconds

_FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,}(?=[^`]*$)|~{3,}) *(?P<language>[\w-]*)")
_NOT_RUN = re.compile(r"<!-- *not run: *\S.*-->")
_EXIT_CODE = re.compile(r"\s{2,}# exit (\d+)\s*$")


@dataclass
class Command:
    """A command, what it should print and how it should end.

    Parameters
    ----------
    text
        The shell input, without prompts.
    expected
        The output, with `...` where it may vary.
    exit_code
        0 where the command does not say.
    line
        Line number in the Markdown file, from 1.
    """

    text: str
    expected: str
    exit_code: int
    line: int


def console_blocks(markdown: str) -> list[list[Command]]:
    """The commands of each console block.

    Raises
    ------
    ValueError
        A block that is not closed, or has output before the first command.
    """
    return [_commands(line, lines) for line, lines in _blocks(markdown, "console")]


def python_blocks(markdown: str) -> list[tuple[int, str]]:
    """The code of each Python block, with the number of its first line.

    Raises
    ------
    ValueError
        A block that is not closed.
    """
    return [(line, "\n".join(lines) + "\n") for line, lines in _blocks(markdown, "python")]


def matches(expected: str, got: str) -> bool:
    """Whether an output is the expected one, `...` standing for anything."""
    first, *rest = _split_at_ellipses(_lines(expected))
    lines = _lines(got)
    if not rest:
        return len(first) == len(lines) and _starts_with(lines, first)
    *middle, last = rest
    if not _starts_with(lines, first):
        return False
    position = len(first)
    for chunk in middle:
        while not _starts_with(lines[position:], chunk):
            position += 1
            if position > len(lines):
                return False
        position += len(chunk)
    end = len(lines) - len(last)
    return end >= position and _starts_with(lines[end:], last)


def run(command: Command, cwd: Path, env: Mapping[str, str], replace: Mapping[str, str], *, file: str = "") -> str:
    """Run a command and compare its output and exit code with the documented ones.

    Parameters
    ----------
    command
        What to run.
    cwd, env
        Working directory and environment of the shell.
    replace
        What the documentation writes (such as the address of a server) and
        what the test has in its place. Applied to the command, and the other
        way round to the output.
    file
        Name of the Markdown file, for the message.

    Returns
    -------
    str
        The output, as the documentation would write it.

    Raises
    ------
    AssertionError
        The output or the exit code is another one, or the command takes more
        than a minute.
    """
    where = f"{file}:{command.line}" if file else f"line {command.line}"
    output, exit_code = _execute(_substitute(command.text, replace), cwd, env, where)
    output = _substitute(output, {real: documented for documented, real in replace.items()})
    if exit_code != command.exit_code:
        raise AssertionError(f"{where}: exit code {exit_code}, expected {command.exit_code}\n$ {command.text}\n{output}")
    if not matches(command.expected, output):
        raise AssertionError(
            f"{where}: another output than documented\n$ {command.text}\n{_difference(command.expected, output)}"
        )
    return output


def _blocks(markdown: str, language: str) -> Iterator[tuple[int, list[str]]]:
    """First line number and lines of the fenced blocks in a language, less those not to be run."""
    before = ""
    lines = iter(enumerate(markdown.splitlines(), start=1))
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening:
            content = _read_block(number, opening, lines)
            if opening["language"] == language and not _NOT_RUN.fullmatch(before):
                yield number + 1, content
        if line.strip():
            before = line.strip()


def _read_block(number: int, opening: re.Match[str], lines: Iterator[tuple[int, str]]) -> list[str]:
    content = []
    indent, fence = len(opening["indent"]), opening["fence"]
    for _, line in lines:
        stripped = line.strip()
        if stripped.startswith(fence) and not stripped.strip(fence[0]):
            return content
        content.append(line[min(indent, len(line) - len(line.lstrip())) :])
    raise ValueError(f"line {number}: the block is not closed")


def _commands(first: int, lines: list[str]) -> list[Command]:
    commands: list[Command] = []
    in_command = False
    for number, line in enumerate(lines, start=first):
        command = commands[-1] if commands else None
        if line.startswith("$ "):
            commands.append(Command(line[2:], "", 0, number))
            in_command = True
        elif command is None:
            raise ValueError(f"line {number}: output before the first command")
        elif in_command and (line.rstrip() == ">" or line.startswith("> ")):
            command.text += "\n" + line[2:]
        elif in_command and command.text.endswith("\\"):
            command.text += "\n" + line
        else:
            in_command = False
            command.expected += line + "\n"
    for command in commands:
        declared = _EXIT_CODE.search(command.text)
        command.exit_code = int(declared[1]) if declared else 0
    return commands


def _execute(text: str, cwd: Path, env: Mapping[str, str], where: str) -> tuple[str, int]:
    shell = subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", text],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        output, _ = shell.communicate()
        raise AssertionError(f"{where}: still running after {TIMEOUT} s\n$ {text}\n{output}") from None
    return output, shell.returncode


def _substitute(text: str, replace: Mapping[str, str]) -> str:
    """All replacements in one pass, the longest match first."""
    if not replace:
        return text
    pattern = "|".join(re.escape(word) for word in sorted(replace, key=len, reverse=True))
    return re.sub(pattern, lambda match: replace[match[0]], text)


def _difference(expected: str, got: str) -> str:
    return "\n".join(difflib.unified_diff(_lines(expected), _lines(got), "documented", "got", lineterm=""))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _split_at_ellipses(lines: list[str]) -> list[list[str]]:
    """The runs of lines between lines of `...`; one run where there is none."""
    chunks: list[list[str]] = [[]]
    for line in lines:
        if line.strip() == "...":
            chunks.append([])
        else:
            chunks[-1].append(line)
    return chunks


def _starts_with(lines: list[str], expected: list[str]) -> bool:
    return len(lines) >= len(expected) and all(map(_line_matches, expected, lines))


def _line_matches(expected: str, got: str) -> bool:
    return re.fullmatch(".*?".join(map(re.escape, expected.split("..."))), got) is not None
