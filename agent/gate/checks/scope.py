"""`scope`: only allowed paths changed.

Files that decide what is run, built, tested or delivered are not a performance patch's to change: a patch
that edits them is refused here, whatever it measures. Generated files never enter a patch.
"""

from __future__ import annotations

from bedev.agent.gate.case import Case
from bedev.agent.gate.proof import Check

ORDER = 10

REFUSED = (
    ".github/**", ".gitlab-ci.yml", ".gitlab/**", ".circleci/**", "**/Jenkinsfile",
    "bitbucket-pipelines.yml", "azure-pipelines.yml", ".travis.yml", ".drone.yml", ".husky/**",
    ".githooks/**", ".pre-commit-config.yaml", "**/.gitattributes", "**/.gitmodules", "**/.gitignore",
    "**/Dockerfile*", "**/docker-compose*.y*ml", "**/compose*.y*ml", "**/.dockerignore", "**/Makefile",
    "**/composer.json", "**/composer.lock", "**/package.json", "**/package-lock.json", "**/yarn.lock",
    "**/pnpm-lock.yaml", "**/auth.json", "**/pyproject.toml", "**/setup.cfg", "**/setup.py",
    "**/requirements*.txt", "**/poetry.lock", "**/uv.lock", "**/Pipfile*", "**/go.mod", "**/go.sum",
    "**/pom.xml", "**/build.gradle*", "**/Gemfile*", "**/.env", "**/.env.*", "**/.envrc", ".vscode/**",
    ".idea/**", "**/CLAUDE.md", "**/AGENTS.md", ".claude/**", "bedev.toml", "**/vendor/**",
    "**/node_modules/**", "**/.user.ini", "**/php.ini", "**/.htaccess", "**/sitecustomize.py",
    "**/conftest.py",
)  # fmt: skip


def _same_but_white_space(case: Case, path: str) -> bool:
    before, after = case.base_tree.read(path), case.patch_tree.read(path)
    return before is not None and after is not None and before.split() == after.split()


def check(case: Case) -> Check:
    """Fails for an empty patch, a refused path, and a file mode other than git's two for files."""
    evidence: dict[str, object] = {"paths": [c.path for c in case.changes]}
    if not case.changes:
        return Check("scope", "failed", "the patch changes nothing", evidence)
    patterns = (*REFUSED, *case.brought.recipe.generated)
    if all(_same_but_white_space(case, c.path) for c in case.changes):
        return Check("scope", "failed", "the patch changes nothing but white space", evidence)
    refused = [c.path for c in case.changes if case.matches(c.path, patterns)]
    modes = [c.path for c in case.changes if c.kind != "deleted" and c.new_mode not in ("100644", "100755")]
    evidence["refused"] = refused + modes
    if refused:
        return Check(
            "scope",
            "failed",
            f"changes {', '.join(refused[:3])}, which a patch for '{case.claim}' must not",
            evidence,
        )
    if modes:
        return Check("scope", "failed", f"{modes[0]} is a link or a submodule", evidence)
    n = len(case.changes)
    return Check("scope", "passed", f"{n} file{'s' if n != 1 else ''}, none of them protected", evidence)
