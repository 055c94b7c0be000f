"""What stands between a model and the run: its workbench, the gate that it proposes to, the person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bedev.agent.gate.proof import Proof
from bedev.agent.journal import Journal
from bedev.agent.repository import Repository
from bedev.agent.screen import Screen
from bedev.agent.subject import Subject
from bedev.tools.tool import Tool, ToolFailed, ToolResult
from bedev.tools.workbench import Workbench


@dataclass(frozen=True)
class Proposal:
    """A tree that was proposed, and what the model says about it (its own words, never measured)."""

    tree: str
    title: str
    cause: str
    change: tuple[str, ...]
    risk: str
    rollout: str
    rollback: str
    neighbours: tuple[str, ...] = ()


@dataclass
class Desk:
    """One for a run. `judge` makes a proof of a tree; `most_proposals` is None without a limit."""

    bench: Workbench
    repository: Repository
    subject: Subject
    journal: Journal
    screen: Screen
    judge: Callable[[str], Proof]
    proposed: Callable[[], None]
    proposals: list[tuple[Proposal, Proof]] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    questions: list[tuple[str, str]] = field(default_factory=list)

    @property
    def verified(self) -> Proof | None:
        """The proof of the verified proposal, once there is one."""
        return next((proof for _, proof in self.proposals if proof.verdict == "verified"), None)

    def context_of(self, tool: Tool[Any]) -> Any:
        """Actions (agent/actions) get the desk, tools the workbench alone."""
        return self if tool.run.__module__.startswith("bedev.agent.") else self.bench

    def after_edit(self, result: ToolResult) -> tuple[ToolResult, Mapping[str, bytes | None]]:
        """Take what a tool changed into the workspace's edits, and tell the model which files those are."""
        before = dict(self.bench.edits)
        words = list(self.bench.scan())
        now = self.bench.edits
        changed = sorted(p for p in before.keys() | now.keys() if before.get(p, b"") != now.get(p, b""))
        if changed and "workspace changed" not in result.text:
            shown = ", ".join(changed[:8]) + (f" and {len(changed) - 8} more" if len(changed) > 8 else "")
            words.insert(0, f"the workspace changed: {shown}")
        if not words:
            return result, now
        text = f"{result.text}\n[{'; '.join(words)}]"
        return ToolResult(text, result.brief, result.error), now

    def tree(self) -> str:
        """The workspace as a git tree. Raises ToolFailed where it changes nothing."""
        self.bench.scan()
        if not self.bench.edits:
            raise ToolFailed(
                "The workspace equals base: there is nothing to propose. Edit files first (edit_file), then "
                "trace_command to see that it helps."
            )
        return self.repository.write_tree(self.subject.base, self.subject.edits(self.bench.edits))

    def was_judged(self, tree: str) -> bool:
        """Whether this very tree has a proof already."""
        return any(earlier.tree == tree for earlier, _ in self.proposals)

    def propose(self, proposal: Proposal) -> Proof:
        """Judge it, unless this very tree was judged before: the same tree gets the same proof."""
        for earlier, proof in self.proposals:
            if earlier.tree == proposal.tree:
                return proof
        self.bench.rest()
        files = sorted(self.bench.edits)
        self.screen.say(f"  proposal {len(self.proposals) + 1}: {proposal.title} ({', '.join(files[:4])})")
        self.journal.append("proposal", tree=proposal.tree, files=files, words=_words(proposal))
        proof = self.judge(proposal.tree)
        self.journal.append("proof", digest=proof.digest, proof=proof.to_dict())
        self.proposals.append((proposal, proof))
        self.proposed()
        return proof

    def remember(self) -> None:
        """Take up what an earlier process of this run had proposed, asked and assumed."""
        import json

        last: Proposal | None = None
        for record in self.journal.records():
            if record.kind == "proposal" and "words" in record.fields:
                words = dict(record.fields["words"])
                words["change"], words["neighbours"] = tuple(words["change"]), tuple(words["neighbours"])
                last = Proposal(tree=str(record.fields["tree"]), **words)
            elif record.kind == "proof" and last is not None:
                proof = Proof.from_json(json.dumps(dict(record.fields["proof"])).encode())
                if proof is not None:
                    self.proposals.append((last, proof))
            elif record.kind == "question":
                self.take_answer(record.fields["question"], record.fields["answer"], record.fields["assumed"])

    def take_answer(self, question: str, answer: str, assumed: bool) -> None:
        """A question of the model with what was answered, or what it goes on with."""
        if assumed:
            self.assumptions.append(answer)
        else:
            self.questions.append((question, answer))


def _words(proposal: Proposal) -> dict[str, Any]:
    from dataclasses import asdict

    words = asdict(proposal)
    del words["tree"]
    return words
