"""Some tests of a suite: the option that PHPUnit, Pest and artisan share."""

from __future__ import annotations

import shlex

import pytest

from .laravel_pod import LARAVEL


@pytest.mark.parametrize(
    ("wanted", "option"),
    [
        ("UserListTest", "--filter=UserListTest"),
        ("Tests\\Feature\\UserTest::test_x", "--filter=Tests\\\\Feature\\\\UserTest::test_x"),
        ("/test_\\d+/", "--filter=test_\\d+"),
        ("a'; rm -rf /", "--filter=a'; rm -rf"),
    ],
)
def test_a_filter_is_one_word_of_the_command(wanted: str, option: str) -> None:
    command = LARAVEL.filtered_tests("phpunit --log-junit {junit}", wanted)
    assert shlex.split(command)[-1].rstrip(" /") == option
    assert command.startswith("phpunit --log-junit {junit} ")
