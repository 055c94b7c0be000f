"""What a tool is: one file with a typed input, which is its JSON schema, and one function.

A tool is found by its file: any module of tools/ with a `TOOL`. The loop, and later the command line and
the MCP server, share them. Errors are written for whoever called: what was wrong, and what to do next.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

Context = TypeVar("Context")


class ToolInput(BaseModel):
    """Base of every tool's input: unknown fields are refused. A number written as text is taken for one,
    and null for a field left out: models write both."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class ToolResult:
    """`text` is the whole answer to the model (bounded by the tool, with a handle for the rest); `brief` one
    line for the screen; `error`: what was asked could not be done, and `text` says what to do instead."""

    text: str
    brief: str
    error: bool = False


class ToolFailed(Exception):
    """What was asked cannot be done; the text tells the model what to do next."""

    def __init__(self, text: str, brief: str = "") -> None:
        super().__init__(text)
        self.text, self.brief = text, brief or text.splitlines()[0]


@dataclass(frozen=True)
class Tool(Generic[Context]):
    """`name` as the model calls it; `description` is written for a new colleague, in few words; `example`
    is one valid input; `run` gets the context (a Workbench for tools, the run for actions) and the input.

    `edits`: it may have changed files of the workspace, which are looked for afterwards.
    """

    name: str
    description: str
    input: type[ToolInput]
    example: Mapping[str, Any]
    run: Callable[[Context, Any], ToolResult]
    edits: bool = False

    def schema(self) -> dict[str, Any]:
        """The tool as the Messages API takes it: name, description, input_schema; no title, no noise."""
        schema = _compact(self.input.model_json_schema())
        schema.pop("description", None)
        return {"name": self.name, "description": self.description, "input_schema": schema}

    def parse(self, given: Any) -> ToolInput:
        """The model's input, checked. Raises ToolFailed with every fault and a valid example."""
        import json

        try:
            if isinstance(given, Mapping):
                given = {name: value for name, value in given.items() if value is not None}
            return self.input.model_validate(given)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(str(p) for p in e['loc']) or 'input'}: {e['msg']}" for e in error.errors()[:5]
            )
            raise ToolFailed(
                f"The input of {self.name} is not valid: {faults}. A valid input: {json.dumps(self.example)}",
                f"{self.name}: invalid input ({faults})",
            ) from None


def _compact(schema: Any) -> Any:
    """A schema without what tells the model nothing: titles, empty defaults."""
    if isinstance(schema, dict):
        kept = {}
        for key, value in schema.items():
            if key == "title" and isinstance(value, str):
                continue
            if key == "default" and value in ("", None, False, [], 0):
                continue
            kept[key] = (
                {name: _compact(part) for name, part in value.items()}
                if key in ("properties", "$defs")
                else _compact(value)
            )
        return kept
    if isinstance(schema, list):
        return [_compact(part) for part in schema]
    return schema


def discover(package: Any) -> tuple[Tool[Any], ...]:
    """The tools of a package, by name: its modules that have a `TOOL`."""
    found = []
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg:
            tool = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "TOOL", None)
            if isinstance(tool, Tool):
                found.append(tool)
    return tuple(sorted(found, key=lambda t: t.name))
