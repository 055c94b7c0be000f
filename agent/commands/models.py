"""`bedev models`: which models there are, which one a run would take and why, and whether it answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from bedev.agent.commands import options, output

if TYPE_CHECKING:
    from bedev.agent.models.model import ModelCheck
    from bedev.agent.models.prices import Price
    from bedev.agent.models.profiles import Endpoint


def models(
    model: Annotated[
        str, typer.Option("--model", help="Try this one: an alias, an id, or advisor.", metavar="NAME")
    ] = "",
    json: options.Json = False,
) -> int:
    """List models and their prices, say which one a run would take, and try it with one small call.

    Exit code: 0 when it works or none is needed, 1 when it cannot drive a run, 4 when the key, the account
    or the server stands in the way.
    """
    from bedev.agent.models.profiles import Endpoint
    from bedev.agent.models.select import ADVISOR, check, choose, select
    from bedev.agent.settings import load
    from bedev.sandboxes.errors import BedevError

    settings = load({"model": model})
    source = settings.sources.get("model", "")
    choice = choose(settings.model if source else "", os.environ)
    why = choice.why + (f" ({'--model' if source == 'flag' else source})" if source else "")
    endpoint = Endpoint.from_environment(os.environ)
    client = select(choice.model, os.environ)
    document: dict[str, Any] = {
        "schema": "bedev.models/1",
        "models": _listing(),
        "run": {"model": client.name if client else ADVISOR, "why": why},
        "server": _server(endpoint),
        "check": None,
    }
    if not json:
        _print_listing()
        _print_choice(client.name if client else ADVISOR, why, client.name_from if client else "", endpoint)
    status = 0
    if client is not None:
        try:
            found = check(client, _say)
        except BedevError as error:
            # there is no run here that could be resumed
            error.next_step = error.next_step.replace("; then resume the run", "")
            if not json:
                raise
            problem = {"what": error.what, "where": error.where, "next": error.next_step}
            document["check"] = {"works": False, "lines": [], "error": problem}
            status = error.exit_code
        else:
            document["check"] = {"works": found.works, "lines": list(found.lines), "error": None}
            status = 0 if found.works else 1
            if not json:
                _print_check(found)
    if json:
        output.print_json(document)
    return status


def _say(text: str) -> None:
    from bedev.agent.report.encode import one_line

    output.say(f"  {one_line(text)}")


def _listing() -> list[dict[str, Any]]:
    from bedev.agent.models.prices import AS_OF, price_of
    from bedev.agent.models.profiles import FACTS, resolve

    aliases = _aliases()
    rows = []
    for name in dict.fromkeys((*aliases.values(), *FACTS)):
        price = price_of(name)
        rows.append(
            {
                "id": name,
                "aliases": [alias for alias, target in aliases.items() if target == name],
                "alias_from": [resolve(a, os.environ)[1] for a, target in aliases.items() if target == name],
                "price": _price_fields(price) if price else None,
                "prices_as_of": AS_OF if price else None,
            }
        )
    return rows


def _aliases() -> dict[str, str]:
    from bedev.agent.models.profiles import ALIASES, resolve

    return {alias: resolve(alias, os.environ)[0] for alias in ALIASES}


def _price_fields(price: Price) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "input": price.input,
        "output": price.output,
        "cache_write_5m": price.write,
        "cache_write_1h": price.write_1h,
        "cache_read": price.read,
    }
    if price.above is not None:
        fields[f"above_{price.step}_prompt_tokens"] = _price_fields(price.above)
    return fields


def _print_listing() -> None:
    from bedev.agent.models.prices import AS_OF, price_of
    from bedev.agent.report.encode import one_line
    from bedev.agent.screen import aligned

    rows = []
    for row in _listing():
        price = price_of(row["id"])
        name = one_line(row["id"], 60)
        alias = ", ".join(row["aliases"])
        rows.append((alias, name, *_price_cells(price)))
        if price is not None and price.above is not None:
            rows.append(("", f"(prompts over {price.step:,} tokens)", *_price_cells(price.above)))
    headings = ("alias", "id", "in", "out", "write 5m", "write 1h", "read")
    output.line(
        f"US dollars for a million tokens, as of {AS_OF}; an id that is not listed is passed on as it is."
    )
    output.line()
    output.line("\n".join(aligned(rows, headings)))
    output.line()


def _price_cells(price: Price | None) -> tuple[str, ...]:
    if price is None:
        return ("not known", "", "", "", "")
    values = (price.input, price.output, price.write, price.write_1h, price.read)
    return tuple("?" if value is None else f"{value:g}" for value in values)


def _server(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "host": endpoint.host,
        "host_from": endpoint.url_from,
        "key": endpoint.shown_key,
        "key_from": endpoint.key_from or None,
        "profile": endpoint.profile.name,
        "profile_from": endpoint.profile_from,
    }


def _print_choice(name: str, why: str, name_from: str, endpoint: Endpoint) -> None:
    from bedev.agent.report.encode import one_line

    output.line(f"A run would take: {one_line(name)}")
    output.line(f"  why      {one_line(why)}{f'; {one_line(name_from)}' if name_from else ''}")
    output.line(f"  server   {one_line(endpoint.host)} ({endpoint.url_from})")
    output.line(
        f"  key      {endpoint.shown_key}{f', from {endpoint.key_from}' if endpoint.key_from else ''}"
    )
    output.line(f"  profile  {endpoint.profile.name}: {endpoint.profile_from}")
    if endpoint.unencrypted and (endpoint.key or endpoint.token):
        output.line("  warning  the address is http, so the key and the conversation can be read on the way")
    if name == "advisor":
        output.line()
        output.line("The advisor works without a key: bedev fix --model advisor, or just bedev fix.")
        output.line("For a model: get a key at platform.claude.com and set ANTHROPIC_API_KEY, or set")
        output.line(
            "ANTHROPIC_BASE_URL to a server of your own that speaks the Messages API (docs/models.md)."
        )


def _print_check(found: ModelCheck) -> None:
    from bedev.agent.report.encode import for_terminal

    output.line()
    output.line(f"One test call: {'it works.' if found.works else 'a run would not work with it.'}")
    for text in found.lines:
        output.line(f"  {for_terminal(text, limit=300)}")
