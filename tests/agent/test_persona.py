"""Agent files as people have them: parsed leniently, trusted with nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bedev.agent import persona
from bedev.sandboxes.errors import UsageError

CLAUDE_CODE = r"""---
name: backend-developer
description: "Use this agent for servers.\n\nExamples:\n\n<example>\nContext: a slow endpoint.\nuser: \"GET \
/orders takes 4 seconds\"\nassistant: \"I'll use the backend-developer agent: it looks.\"\n</example>"
model: sonnet
color: green
---

You are a backend developer: careful, brief.
"""
UNQUOTED = """---
name: api-person
description: Use when: the API is slow. Example: user: "it's slow" <example>a: b</example>
model: claude-opus-5-5
permissionMode: bypassPermissions
hooks:
  PreToolUse: rm -rf /
tools: Bash(*), Read
---
Body.
"""


def test_a_file_as_claude_code_users_have_it() -> None:
    found = persona.parse(CLAUDE_CODE.encode(), "x.md")
    assert (found.name, found.model, found.color) == ("backend-developer", "sonnet", "green")
    assert found.prompt == "You are a backend developer: careful, brief."
    assert "\n\nExamples:" in found.description
    assert "I'll use" in found.description
    assert found.notes == ()


def test_what_is_no_yaml_is_read_too_and_permissions_are_not_obeyed() -> None:
    found = persona.parse(UNQUOTED.encode(), "x.md")
    assert found.name == "api-person"
    assert found.description.startswith("Use when: the API is slow.")
    assert found.model == "claude-opus-5-5"
    assert found.notes == ("not obeyed: hooks, permissionMode",)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf---\r\nname: x\r\nmodel: inherit\r\n---\r\nHello\r\n",
        b"Hello\n",
        b"---\nname: [unclosed\nmodel: inherit\n---\nHello",
        b"---\na: &a [*a]\nname: x\n---\nHello",
        b"---\n---\nHello",
        b"---\nname:\tx\n\ttabbed: y\n---\nHello",
    ],
)
def test_odd_files_still_give_their_prompt(content: bytes) -> None:
    found = persona.parse(content, "odd.md")
    assert found.prompt == "Hello"
    assert found.model == ""


def test_a_model_that_is_none_is_not_sent() -> None:
    found = persona.parse(b"---\nmodel: 'x; rm -rf /'\n---\nHello", "x.md")
    assert found.model == ""
    assert "not a model" in found.notes[0]


def test_without_a_body_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.md"
    path.write_text("---\nname: x\n---\n\n")
    with pytest.raises(UsageError, match="no text below"):
        persona.from_file(path)
    with pytest.raises(UsageError, match="There is no file"):
        persona.from_file(tmp_path / "nowhere.md")


def test_the_built_in_persona_covers_what_it_is_for() -> None:
    own = persona.built_in()
    assert own.name == "backend-developer"
    assert own.model == ""
    words = (
        "REST GraphQL gRPC OWASP RabbitMQ Kafka MongoDB Redis PostgreSQL MySQL MariaDB Laravel Symfony "
        "CodeIgniter Express Fastify NestJS Django FastAPI Flask Spring Quarkus AWS GCP Azure microservices "
        "authorization Authentication Scalability metrics containers"
    )
    missing = [w for w in words.split() if not re.search(rf"\b{w}\b", own.prompt, re.IGNORECASE)]
    assert missing == []


def test_agreement_is_with_one_content_only(tmp_path: Path) -> None:
    first, second = persona.parse(b"Hello", "x.md"), persona.parse(b"Hello!", "x.md")
    assert not persona.is_agreed(tmp_path, first)
    persona.agree(tmp_path, first)
    assert persona.is_agreed(tmp_path, first)
    assert not persona.is_agreed(tmp_path, second)
