"""The gate: makes a proof of a patch, in fresh pods, from git objects alone.

It knows no model and takes nothing from one. Base's own files decide how everything comes up.
"""

from __future__ import annotations

import importlib
import pkgutil
import secrets
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from bedev.agent.gate import measure
from bedev.agent.gate.case import Case, MigrationRun, Watcher
from bedev.agent.gate.checks import less_work
from bedev.agent.gate.claims import verdict
from bedev.agent.gate.proof import Check, Proof
from bedev.sandboxes.application import Application
from bedev.sandboxes.data import DataFacts, Grow, make_data
from bedev.sandboxes.engines.engine import Plan, PlanNode
from bedev.sandboxes.errors import BedevError, DatabaseError, SetUpFailed


def checks() -> tuple[ModuleType, ...]:
    """Every check: the files of agent/gate/checks, in their ORDER."""
    import bedev.agent.gate.checks as package

    modules = [
        importlib.import_module(f"{package.__name__}.{m.name}")
        for m in pkgutil.iter_modules(package.__path__)
    ]
    return tuple(sorted((m for m in modules if hasattr(m, "check")), key=lambda m: int(m.ORDER)))


def judge(case: Case, grow: Grow, watcher: Watcher, environment: Mapping[str, Any]) -> Proof:
    """Measure everything that the claim's checks need, run the checks, and say the verdict.

    Raises SetUpFailed where *base* does not come up; a patch that does not is a failed check.
    """
    done: dict[str, Check] = {}
    modules = {m.__name__.rsplit(".", 1)[1]: m for m in checks()}

    def run(name: str) -> Check:
        began = time.monotonic()
        check: Check = modules[name].check(case)
        case.seconds[f"check {name}"] = round(time.monotonic() - began, 2)
        done[name] = check
        watcher.check(check)
        return check

    run("scope")
    run("test_integrity")
    if any(c.status == "failed" for c in done.values()):
        case.missing.append("not measured: the patch is refused before it runs")
        return _proof(case, done, environment, None)
    with _clock(case, "seen data"):
        seen = make_data(case.brought, case.wish, grow, watcher.say)
    with ThreadPoolExecutor(1) as pool:
        held_out = pool.submit(_hold_out, case, grow) if case.scenario is not None else None
        try:
            broken = _on_data(case, seen, "seen", case.seed, held_out, watcher, run)
            if broken and broken not in case.missing:
                case.missing.append(broken)
            going_on = not broken and not case.missing and all(c.status != "failed" for c in done.values())
            going_on = going_on and case.timing is not None
            if held_out is not None and going_on:
                _ask_held_out(case, held_out.result(), watcher)
        finally:
            if held_out is not None and held_out.exception() is None:
                case.brought.sandbox.drop_template(held_out.result().facts.key)
    for name in modules:
        if name not in done:
            if name == "tests":
                done[name] = Check("tests", "unmeasured", broken or "not run: an earlier check failed")
                continue
            run(name)
    return _proof(case, done, environment, seen)


@dataclass(frozen=True)
class HeldOut:
    """Data that nobody saw: grown with a seed made for this judgement, thrown away after it."""

    seed: int
    facts: DataFacts


def _hold_out(case: Case, grow: Grow) -> HeldOut:
    seed = secrets.randbelow(2**31 - 2) + 1
    with _clock(case, "held-out data"):
        return HeldOut(seed, make_data(case.brought, replace(case.wish, seed=seed), grow, lambda _: None))


def _on_data(
    case: Case,
    facts: DataFacts,
    name: str,
    seed: int,
    held_out: Future[HeldOut] | None,
    watcher: Watcher,
    run: Any,
) -> str:
    """The seen data set: migrations, answers, work, time, plans, then tests. Returns why the patch did not
    come up, or nothing. The held-out data grows meanwhile; the clock waits until that is done."""
    base, patch, broken = _open_sides(case, facts, watcher)
    if patch is None:
        case.missing.append(broken)
        base.close()
        return broken
    case.sides = {"base": base, "patch": patch}
    try:
        if case.migrations:
            with _clock(case, "migration"):
                watcher.say("migration: up, down, up on grown data")
                case.migration = up_down_up(case, patch)
            if run("migration").status == "failed":
                return "not measured: the migration failed"
        if case.scenario is not None:
            with _clock(case, "questions"):
                result = measure.both(base, patch, case, facts, name, seed, watcher)
            if result is not None:
                case.data_sets.append(result)
                with _clock(case, "plans"):
                    for side, app in case.sides.items():
                        first = case.scenario.questions[0]
                        # what cannot be captured has no plans, and its answers have said so already
                        with suppress(DatabaseError):
                            _, statements, _ = measure.captured(app, first, case.scenario)
                            case.plans[side] = measure.explained(app, statements)
                # a patch that is wrong or wins nothing is rejected without the clock
                if (
                    all(a.difference is None for a in result.asked)
                    and less_work.check(case).status != "failed"
                ):
                    if held_out is not None and not held_out.done():
                        watcher.say("held-out data: growing with a seed that nobody saw")
                        with _clock(case, "waiting for held-out data"):
                            held_out.result()
                    with _clock(case, "timing"):
                        watcher.say("time: interleaved pairs")
                        case.timing = measure.timed(base, patch, case.scenario, result.asked)
                    with _clock(case, "other requests"):
                        case.beside = measure.beside(base, patch, case, watcher)
        watcher.say("tests on base and patch")
        for app in case.sides.values():
            app.stop_serving()
        with _clock(case, "tests"):
            run("tests")
        return ""
    finally:
        _close(base, patch)
        case.sides = {}


def _ask_held_out(case: Case, held_out: HeldOut, watcher: Watcher) -> None:
    """The same questions, with values of its own, on data that nobody saw."""
    base, patch, broken = _open_sides(case, held_out.facts, watcher)
    if patch is None:
        case.missing.append(broken)
        base.close()
        return
    try:
        if case.migrations and not patch.migrate().ok:
            case.missing.append("the migration failed on held-out data")
            return
        with _clock(case, "held-out questions"):
            result = measure.both(base, patch, case, held_out.facts, "held-out", held_out.seed, watcher)
        if result is not None:
            case.data_sets.append(result)
    finally:
        _close(base, patch)


def _open_sides(
    case: Case, facts: DataFacts, watcher: Watcher
) -> tuple[Application, Application | None, str]:
    files = case.scenario.files if case.scenario else {}

    def side(edits: Mapping[str, bytes | None]) -> Application:
        return Application.open(case.brought, facts.key, watcher.say, edits=edits, scenario_files=files)

    watcher.say("fresh pods from base and patch")
    with ThreadPoolExecutor(2) as pool:
        base_side, patch_side = pool.submit(side, {}), pool.submit(side, case.edits)
        errors = [f.exception() for f in (base_side, patch_side)]
    if errors[0] is not None:
        if errors[1] is None:
            patch_side.result().close()
        raise errors[0]
    if isinstance(errors[1], SetUpFailed):
        return base_side.result(), None, f"the patch does not come up: {errors[1].what}"
    if errors[1] is not None:
        base_side.result().close()
        raise errors[1]
    return base_side.result(), patch_side.result(), ""


def _close(*sides: Application) -> None:
    with ThreadPoolExecutor(len(sides)) as pool:
        list(pool.map(lambda side: side.close(), sides))


def up_down_up(case: Case, app: Application) -> MigrationRun:
    """Run the patch's migrations up, down and up again; compare the schema after down with base's."""
    files = tuple(p for p in case.migrations if case.patch_tree.read(p) is not None)
    before = app.schema_dump()
    database = app.database.database
    known = {(i.table, i.name) for i in app.engine.index_sizes(app.admin, database)}
    up = app.migrate()
    if not up.ok:
        return MigrationRun(files, up, None, None, False, "", ())
    down = app.rollback(len(files))
    after = app.schema_dump()
    equal, difference = before == after, ""
    if not equal:
        old, new = before.splitlines(), after.splitlines()
        difference = next((line.strip() for line in new if line not in old), "") or next(
            (f"missing {line.strip()}" for line in old if line not in new), "order of definitions"
        )
    again = app.migrate() if down.ok else None
    new_indexes = tuple(
        i for i in app.engine.index_sizes(app.admin, database) if (i.table, i.name) not in known
    )
    return MigrationRun(files, up, down, again, equal, difference[:300], new_indexes)


@contextmanager
def _clock(case: Case, name: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        case.seconds[name] = round(time.monotonic() - began, 2)


def _proof(
    case: Case, done: Mapping[str, Check], environment: Mapping[str, Any], facts: DataFacts | None
) -> Proof:
    from dataclasses import asdict

    order = [m.__name__.rsplit(".", 1)[1] for m in checks()]
    if facts is None:
        for name in order:
            if name not in done:
                done = {
                    **done,
                    name: Check(name, "unmeasured", "not run: the patch is refused before it runs"),
                }
    made = tuple(done[name] for name in order if name in done)
    said = verdict(case.claim, made)
    recipe = asdict(case.brought.recipe)
    recipe.pop("dotenv")  # may hold what the repository's example file holds; names are enough for a reader
    recipe["dotenv"] = sorted(case.brought.recipe.dotenv)
    return Proof(
        base=case.base,
        tree=case.tree,
        claim=case.claim,
        scenario=case.scenario.to_dict() if case.scenario else {},
        recipe=recipe,
        verdict=said,
        checks=made,
        realism=facts.realism if facts else "seeded",
        environment={
            **environment,
            "server": facts.server if facts else "",
            "rows": dict(facts.rows) if facts else {},
            "app_image": case.brought.sandbox.image_digest(case.brought.app_image),
            "db_image": case.brought.sandbox.image_digest(case.brought.db_image),
            "service_images": {
                kind: case.brought.sandbox.image_digest(image)
                for kind, image in case.brought.services.items()
            },
            "seconds": dict(case.seconds),
            "plans": {side: [_plan(p) for p in plans] for side, plans in case.plans.items()},
        },
        seed=case.seed,
        headline=_headline(said, made),
        notes=tuple(case.notes),
    )


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "sql": plan.sql[:2000],
        "findings": [{"id": f.id, "table": f.table, "words": f.words, "rows": f.rows} for f in plan.findings],
        "steps": [_step(node) for node in _nodes(plan.root)],
    }


def _step(node: PlanNode) -> dict[str, Any]:
    facts = {
        "table": node.table,
        "access": node.access,
        "index": node.index,
        "rows": node.actual_rows,
        "estimated": node.estimated_rows,
    }
    return {name: value for name, value in facts.items() if value not in ("", None)}


def _nodes(node: PlanNode) -> Iterator[PlanNode]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _headline(said: str, made: tuple[Check, ...]) -> str:
    """The verdict in a line: what decided, and what the clock could not tell."""
    failed = [c for c in made if c.status == "failed"]
    if said == "rejected":
        return f"rejected: {failed[0].name}: {failed[0].summary}"
    if said == "unproven":
        open_ones = [c for c in made if c.status == "unmeasured"]
        return f"unproven: {open_ones[0].name}: {open_ones[0].summary}" if open_ones else "unproven"
    by_name = {c.name: c for c in made}
    work = by_name["less_work"].summary
    faster = by_name["faster"]
    clock = "time not measured" if faster.status != "passed" else faster.summary
    if faster.evidence.get("not_faster"):
        clock = f"less work, not faster: {clock}"
    tests = " (no tests)" if by_name["tests"].status == "skipped" else ""
    return f"verified: {work}; {clock}{tests}"


__all__ = ["BedevError", "checks", "judge", "up_down_up"]
