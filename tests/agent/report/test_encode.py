"""What untrusted text may not do to a terminal or a Markdown page."""

from __future__ import annotations

import re

import pytest
from bedev.agent.report.encode import (
    fence,
    for_markdown_code,
    for_markdown_text,
    for_terminal,
    one_line,
)
from hypothesis import given
from hypothesis import strategies as st

HOSTILE = st.text(
    st.sampled_from("\x1b\x9b\x90\x9c\x07[]0;m?\\|`~@#<>&\n\r\t \u202e\u2066\u200b\ufeff\U000e0041\ud800aZ")
) | st.text(st.characters())


@given(HOSTILE)
def test_no_character_that_steers_a_terminal_or_cannot_be_seen_is_left(text: str) -> None:
    clean = for_terminal(text)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]", clean)
    clean.encode("utf-8")


@given(HOSTILE)
def test_encoding_twice_is_encoding_once(text: str) -> None:
    assert for_terminal(for_terminal(text)) == for_terminal(text)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert for_terminal(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never closed\nthe next line", "0;never closed\nthe next line"),
        ("\x9b2Jcleared", "cleared"),
        ("\x1bcreset", "reset"),
        ("over\rwritten", "overwritten"),
        ("a\r\nb", "a\nb"),
        ("if \u202e}\u2066 admin", "if } admin"),
    ],
)
def test_whole_sequences_go_and_what_follows_stays(text: str, shown: str) -> None:
    assert for_terminal(text) == shown


def test_what_is_too_long_is_cut_and_said() -> None:
    assert for_terminal("x" * 30, limit=10) == "x" * 10 + " ... (20 more characters)"
    assert one_line("a\nb\n c", 5) == "a b c"
    assert one_line("abcdefgh", 6) == "abc..."


@given(HOSTILE)
def test_a_code_span_cannot_be_closed_from_within(text: str) -> None:
    span = for_markdown_code(text)
    assert "\n" not in span
    if span == "(empty)":
        return
    ticks = re.match(r"`+", span)
    assert ticks is not None
    inner = span[len(ticks[0]) : -len(ticks[0])]
    assert span.endswith(ticks[0])
    assert all(len(run) != len(ticks[0]) for run in re.findall(r"`+", inner))


@given(HOSTILE)
def test_a_pipe_in_a_code_span_never_ends_a_table_cell(text: str) -> None:
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", for_markdown_code(text))


@given(HOSTILE, st.integers(1, 12))
def test_a_fence_is_longer_than_every_run_of_backticks_in_it(text: str, run: int) -> None:
    block = fence(f"{text}\n{'`' * run}\nafter")
    first, *middle, last = block.split("\n")
    assert first == last
    assert set(first) == {"`"}
    assert all(len(r) < len(first) for line in middle for r in re.findall("`+", line))


@pytest.mark.parametrize(
    "text",
    [
        "ping @everyone",
        "Fixes #12",
        "see https://evil.example/x.png",
        "www.evil.example",
        "GH-7",
        "owner/name#3",
        "mail a@b.c",
        "1a2b3c4d5e6f",
    ],
)
def test_mentions_references_and_links_are_set_as_code(text: str) -> None:
    outside = re.sub(r"`[^`]*`", "", for_markdown_text(text))
    assert not re.search(r"@|#|http|www|GH-|[0-9a-f]{7}", outside)


@pytest.mark.parametrize(
    "text", ["<img src=x>", "![a](b)", "**bold**", "[a](b)", "| a | b |", "~~x~~", "$x$"]
)
def test_markdown_and_html_in_prose_are_escaped(text: str) -> None:
    shown = for_markdown_text(text)
    assert not re.search(r"(?<!\\)[<>*\[\]|~$]", shown)


@given(HOSTILE)
def test_prose_stays_on_one_line_without_active_characters(text: str) -> None:
    shown = for_markdown_text(text)
    assert "\n" not in shown
    outside = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", shown)
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>\[@]", outside)
