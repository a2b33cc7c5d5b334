"""The runner of the documentation finds the commands, and a wrong output or exit code fails."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import console
from tests.support.console import Command, console_blocks, matches, python_blocks, run

PAGE = """\
# A page

```console
$ echo one \\
    two
one two

$ cat <<EOF
> a
>
> b
> EOF
a

b
$ false  # exit 1
```

Text with `$ not a command`.

<!-- not run: needs a cluster -->

```console
$ rm -rf everything
```

```python
print("hello")
```

1. In a list

   ```console
   $ true
   > not output
     indented output
   ```

```bash
$ not console
```
"""


def test_commands_with_their_output_exit_code_and_line():
    first, second = console_blocks(PAGE)
    assert first == [
        Command("echo one \\\n    two", "one two\n\n", 0, 4),
        Command("cat <<EOF\na\n\nb\nEOF", "a\n\nb\n", 0, 8),
        Command("false  # exit 1", "", 1, 16),
    ]
    assert second == [Command("true\nnot output", "  indented output\n", 0, 34)]


def test_python_blocks_with_their_line():
    assert python_blocks(PAGE) == [(28, 'print("hello")\n')]


def test_python_blocks_can_be_marked_as_not_run_too():
    assert python_blocks("<!-- not run: an outline -->\n```python\n1 / 0\n```\n") == []


@pytest.mark.parametrize("comment", ["<!-- not run -->", "<!-- not run: -->", "<!-- a remark -->", "not run: this"])
def test_only_a_comment_with_a_reason_leaves_a_block_out(comment):
    assert len(console_blocks(f"{comment}\n\n```console\n$ true\n```\n")) == 1


def test_the_comment_is_for_the_next_block_only():
    page = "<!-- not run: slow -->\n```console\n$ one\n```\n\n```console\n$ two\n```\n"
    assert [block[0].text for block in console_blocks(page)] == ["two"]


def test_blocks_shown_inside_a_longer_fence_are_text():
    assert console_blocks("````markdown\n```console\n$ inner\n```\n````\n") == []
    assert len(console_blocks("~~~console\n$ true\n```\n~~~\n")) == 1


def test_code_within_a_line_opens_no_block():
    assert len(console_blocks("```console``` is a language\n\n```console\n$ true\n```\n")) == 1


def test_a_quoted_line_after_output_is_output():
    ((command,),) = console_blocks("```console\n$ head -1 x\nfirst\n> quoted\n```\n")
    assert command.expected == "first\n> quoted\n"


@pytest.mark.parametrize("text", ["exit 3", "false # exit 3", "echo '# exit 3' x"])
def test_an_exit_code_is_declared_after_two_spaces_at_the_end(text):
    ((command,),) = console_blocks(f"```console\n$ {text}\n```\n")
    assert command.exit_code == 0


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("text\n```console\n$ true\n", "line 2: the block is not closed"),
        ("```console\noutput\n```\n", "line 2: output before the first command"),
    ],
)
def test_a_broken_page_is_an_error(page, message):
    with pytest.raises(ValueError, match=message):
        console_blocks(page)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("", ""),
        ("", "\n\n"),
        ("a  \nb\n\n", "a\nb\t\n"),
        ("a\n...\nz", "a\nz"),
        ("a\n...\nz", "a\nb\nc\nz"),
        ("...", ""),
        ("...", "a\n\nb"),
        ("...\nb\n...\nd\n...", "a\nb\nc\nd"),
        ("...\nb", "b\na\nb"),
        ("...\na...\n...\nc", "x\nab\nab\nc"),
        ("took ... s", "took 1.5 s"),
        ("a...b...c", "a--b--c"),
        ("(x.y)+", "(x.y)+"),
    ],
)
def test_outputs_that_match(expected, got):
    assert matches(expected, got)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("", "a warning"),
        ("a", ""),
        ("a", "a\nb"),
        ("a\nb", "a"),
        ("a\nb", "b\na"),
        ("  a", "a"),
        ("a\n\nb", "a\nb"),
        ("a\n...", "b\na"),
        ("a\n...\nz", "a\nb"),
        ("a\n...\na", "a"),
        ("...\nb\n...\nd\n...", "d\nb"),
        ("took ... s", "took 1.5 min"),
        ("a...b", "a\nb"),
        ("x.y", "xzy"),
    ],
)
def test_outputs_that_do_not_match(expected, got):
    assert not matches(expected, got)


texts = st.lists(st.text("ab ", max_size=4), max_size=6).map("\n".join)


@given(texts, texts)
def test_without_ellipses_only_the_same_text_matches(expected, got):
    def plain(text: str) -> list[str]:
        return [line.rstrip() for line in text.rstrip().splitlines()]

    assert matches(expected, got) == (plain(expected) == plain(got))


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1), st.data())
def test_lines_taken_out_for_an_ellipsis_still_match(lines, data):
    start = data.draw(st.integers(0, len(lines)))
    stop = data.draw(st.integers(start, len(lines)))
    assert matches("\n".join([*lines[:start], "...", *lines[stop:]]), "\n".join(lines))


def execute(text, expected="", cwd=".", exit_code=0, replace=(), **options):
    return run(Command(text, expected, exit_code, 12), cwd, dict(os.environ), dict(replace), **options)


def test_a_command_that_does_as_documented(tmp_path):
    assert execute("pwd; echo oops >&2; echo ${X:-unset}", f"{tmp_path}\noops\nunset\n", tmp_path).endswith("unset\n")


def test_the_environment_is_the_one_given(tmp_path):
    command = Command("echo $X $HOME", "1\n", 0, 1)
    run(command, tmp_path, {"PATH": os.environ["PATH"], "X": "1"}, {})


def test_another_output_fails_with_the_difference_and_the_place():
    with pytest.raises(AssertionError) as failure:
        execute("echo one; echo three", "one\ntwo\n", file="docs/page.md")
    message = str(failure.value)
    assert message.startswith("docs/page.md:12: ")
    assert "$ echo one; echo three" in message and "\n-two" in message and "\n+three" in message


@pytest.mark.parametrize(("text", "documented"), [("exit 3", 0), ("true", 3), ("false | cat", 0)])
def test_another_exit_code_fails(text, documented):
    with pytest.raises(AssertionError, match=rf"line 12: exit code \d, expected {documented}"):
        execute(text, exit_code=documented)


def test_the_declared_exit_code_is_a_harmless_comment():
    ((command,),) = console_blocks("```console\n$ exit 3  # exit 3\n```\n")
    run(command, ".", dict(os.environ), {})


def test_addresses_are_replaced_in_the_command_and_back_in_the_output():
    replace = {"http://localhost:8080": "http://127.0.0.1:39999", "http://localhost:80": "http://127.0.0.1:40000"}
    output = execute(
        "echo http://localhost:8080/a http://localhost:80/b | tee /dev/stderr | cut -c8-",
        "http://localhost:8080/a http://localhost:80/b\n...",
        replace=replace,
    )
    assert "127.0.0.1:39999/a" in output  # the cut one is no address any more: the real one was run


def test_replacements_do_not_touch_each_others_results():
    execute("echo a b", "a b", replace={"a": "b", "b": "a"})


def test_a_command_does_not_wait_for_input():
    execute("cat")


def test_a_command_that_hangs_is_stopped(monkeypatch):
    monkeypatch.setattr(console, "TIMEOUT", 1.5)
    start = time.monotonic()
    with pytest.raises(AssertionError, match="line 12: still running after 1.5 s\n(.|\n)*begun"):
        execute("echo begun; sleep 120 & sleep 120")
    assert time.monotonic() - start < 60
