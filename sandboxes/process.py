"""A sandbox without containers, for a repository that the user trusts. **Nothing is isolated.**

The repository's code runs as the user, on this machine, with its network. What is kept all the same: each pod
has its own copy of the files and its own databases, an environment from scratch, deadlines and bounds, and
nothing runs on when a command, a pod or bedev has ended. What recipes call /work and 127.0.0.1:8000 is a
folder of the pod and a free port (process_paths.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from bedev.sandboxes import process_programs, process_store
from bedev.sandboxes.docker_images import SETUP_HOME
from bedev.sandboxes.docker_parts import BASE_ENVIRONMENT
from bedev.sandboxes.docker_sweep import CacheUsage, SweepReport
from bedev.sandboxes.errors import SandboxBroken, SetUpFailed, UsageError
from bedev.sandboxes.full_disk import FullDisk, reason_of
from bedev.sandboxes.process_box import ProcessBox, limits_of
from bedev.sandboxes.process_paths import Places, Ports
from bedev.sandboxes.process_probe import ProcessProbe, start_probe
from bedev.sandboxes.process_store import Store
from bedev.sandboxes.process_trees import make_tree, place_tree
from bedev.sandboxes.sandbox import (
    DATA,
    SCENARIO_FILES,
    STACK_FILES,
    TEMPLATES,
    WORKSPACE,
    HostAccess,
    ImageSpec,
    PodSpec,
    Progress,
    SetUpStep,
    TreeFile,
)
from bedev.sandboxes.services import service as services
from bedev.sandboxes.shell import OUTPUT_FOLDER

SETUP_MEMORY_MB = 4096
_BEDEV = "/bedev"


class ProcessPod:
    """See `sandbox.Pod`."""

    def __init__(
        self,
        folder: Path,
        app: ProcessBox,
        db: ProcessBox | None,
        services: Sequence[ProcessBox],
        probe: ProcessProbe,
    ) -> None:
        self.folder = folder
        self.app = app
        self.probe = probe
        self.services = tuple(services)
        self._db = db
        self._held: list[IO[bytes]] = []
        self._lock = threading.Lock()
        self.closed = False
        self.when_closed: Callable[[], None] = lambda: None
        probe.explain = lambda error: reason_of(error, self)

    @property
    def db(self) -> ProcessBox:
        if self._db is None:
            raise SandboxBroken("This pod has no database.", next_step="Give the pod a `db_image`.")
        return self._db

    def full_disk(self) -> FullDisk | None:
        """See `sandbox.Pod.full_disk`."""
        for box in (self._db, self.app):
            found = box.full_disk() if box is not None else None
            if found is not None:
                return found
        return None

    def hold(self, files: Iterable[IO[bytes]]) -> None:
        self._held += files

    def close(self) -> None:
        """End what runs in it and remove its folders; idempotent."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        for box in (self.app, self._db, *self.services):
            if box is not None:
                box.close()
        self.probe.close()
        process_store.remove_later(self.folder)
        for file in self._held:
            file.close()
        self.when_closed()


class ProcessSandbox:
    """See `sandbox.Sandbox`. `state` is bedev's state folder, from which opening one removes what dead runs
    left."""

    name = "process"

    def __init__(self, run: str, state: Path) -> None:
        self.run = run
        process_store.sweep(state)
        self._store = Store(state)
        self._templates: dict[str, Path] = {}  # those in the making
        self._pods: list[ProcessPod] = []
        self._held: list[IO[bytes]] = []
        self._lock = threading.Lock()

    # -- images: programs of this machine, and files of ours

    def ensure_image(self, spec: ImageSpec, progress: Progress) -> str:
        """What the image stands for has to be here: raises EnvironmentUnusable naming what is missing."""
        found = process_programs.find(spec)
        for note in found.notes:
            progress(note)
        if spec.packages or spec.lines:
            progress(f"not installed without a container: {', '.join((*spec.packages, *spec.lines))[:300]}")
        key = hashlib.sha256(
            json.dumps(
                [spec.base, dict(found.paths), dict(found.versions), _digests(spec.files)], sort_keys=True
            ).encode()
        ).hexdigest()[:24]
        if self._store.find("images", key) is None:
            folder = self._store.new("images")
            _write_programs(folder / "bin", found.paths)
            for path, content in spec.files.items():
                target = folder / "files" / path.lstrip("/")
                if ".." in target.parts:
                    raise UsageError("A file of an image cannot lie there.", where=path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            facts = {"versions": dict(found.versions), "files": sorted(spec.files)}
            self._store.seal("images", key, folder, facts)
        return key

    def image_digest(self, image: str) -> str:
        folder = self._store.find("images", image) if image else None
        return process_programs.machine(self._store.facts(folder)["versions"] if folder else {})

    def _image(self, image: str) -> tuple[Path, Mapping[str, Any]]:
        folder = self._store.find("images", image)
        if folder is None:
            raise UsageError(f"There is no image {image}.", next_step="Call ensure_image first.")
        return folder, self._store.facts(folder)

    # -- trees

    def prepare_tree(
        self,
        key: str,
        files: Callable[[], Iterable[TreeFile]],
        image: str,
        steps: Sequence[SetUpStep],
        access: HostAccess,
        progress: Progress,
    ) -> str:
        """See `sandbox.Sandbox.prepare_tree`. No step is cut off from the network here."""
        if self._store.find("trees", key) is not None:
            return key
        folder = self._store.new("trees")
        try:

            @contextlib.contextmanager
            def open_box(root: Path, environment: Mapping[str, str], tmp: str) -> Iterator[ProcessBox]:
                places = self._places(root, image, tmp)
                own = {"HOME": SETUP_HOME, **environment}
                box = self._box("set-up", root, places, (image,), own, SETUP_MEMORY_MB, tmp)
                try:
                    yield box
                finally:
                    box.close()

            facts = make_tree(folder, files(), steps, access, open_box, progress)
            for name in ("bedev", "tmp-1", "tmp-2"):
                if (folder / name).exists():
                    process_store.remove(folder / name)
            self._store.seal("trees", key, folder, facts)
        finally:
            if folder.exists():
                process_store.remove(folder)
        return key

    # -- templates

    def has_template(self, key: str) -> bool:
        return self._store.find("templates", key) is not None

    def new_template(self, key: str) -> None:
        with self._lock:
            if key in self._templates:
                raise UsageError(
                    f"The template {key} is being made already.", next_step="Seal or drop it first."
                )
            self._store.find("templates", key)  # refuses what is no key
            folder = self._store.new("templates")
            (folder / "files").mkdir()
            self._templates[key] = folder

    def seal_template(self, key: str, facts: Mapping[str, Any]) -> None:
        with self._lock:
            folder = self._templates.pop(key, None)
        if folder is None:
            raise UsageError(f"No template {key} is being made here.", next_step="Call new_template first.")
        self._store.seal("templates", key, folder, facts)

    def template_facts(self, key: str) -> Mapping[str, Any]:
        folder = self._store.find("templates", key)
        if folder is None:
            raise UsageError(f"There is no finished template {key}.", next_step="Make it with new_template.")
        return self._store.facts(folder)

    def drop_template(self, key: str) -> None:
        with self._lock:
            folder = self._templates.pop(key, None)
        if folder is not None:
            process_store.remove(folder)
        self._store.drop("templates", key)

    # -- pods

    def open_pod(self, spec: PodSpec, progress: Progress) -> ProcessPod:
        """See `sandbox.Sandbox.open_pod`. There is no isolation to assert."""
        del progress
        folder = self._store.run_folder / f"p{secrets.token_hex(3)}"
        folder.mkdir(mode=0o700)
        held: list[IO[bytes]] = []
        pod = None
        try:
            pod = self._open(folder, spec, held)
        finally:
            if pod is None:
                process_store.remove(folder)
                for file in held:
                    file.close()
        with self._lock:
            self._pods = [other for other in self._pods if not other.closed] + [pod]
        return pod

    def _open(self, folder: Path, spec: PodSpec, held: list[IO[bytes]]) -> ProcessPod:
        images = [image for image in (spec.app_image, spec.db_image) if image]
        for image in images:
            held.append(self._store.hold(self._image(image)[0]))
        ports = Ports(self._store.take_port)
        templates = self._template_folder(folder, spec, held)
        app_places = self._places(folder, spec.app_image, "tmp", ports, templates)
        if spec.tree:
            tree = self._store.find("trees", spec.tree)
            if tree is None:
                raise UsageError(
                    f"There is no prepared tree {spec.tree}.", next_step="Call prepare_tree first."
                )
            with self._store.hold(tree):
                place_tree(tree, self._store.facts(tree), folder)
        else:
            (folder / "work").mkdir()
        scenario = folder / "scenario"
        scenario.mkdir()
        for name, content in spec.scenario_files.items():
            if "/" in name or name in ("", ".", ".."):
                raise UsageError(
                    f"{name!r} cannot be the name of a scenario's file.", next_step="Leave folders out."
                )
            (scenario / name).write_bytes(content)
            (scenario / name).chmod(0o444)
        scenario.chmod(0o555)
        marker = f"{self._store.name}/{folder.name}"
        app = self._box("app", folder, app_places, images, spec.environment, spec.memory_mb, "tmp", marker)
        db = None
        if spec.db_image is not None or spec.shared_data:
            places = self._places(folder, spec.db_image or spec.app_image, "tmp-db", ports, templates)
            db = self._box("db", folder, places, images[::-1], {}, 2 * spec.memory_mb, "tmp-db", marker)
        others = []
        for kind, other in spec.services.items():
            held.append(self._store.hold(self._image(other)[0]))
            places = self._places(folder, other, f"tmp-{kind}", ports)
            others.append(
                self._box(kind, folder, places, (other,), {}, spec.memory_mb, f"tmp-{kind}", marker)
            )
        pod = ProcessPod(folder, app, db, others, start_probe(app_places, folder, marker))
        pod.when_closed = lambda: self._store.give_ports(ports.real)
        try:
            for box in others:
                start_service(services.load(box.name), box, pod.probe)
        except BaseException:
            pod.close()
            raise
        pod.hold(held)
        return pod

    def _template_folder(self, folder: Path, spec: PodSpec, held: list[IO[bytes]]) -> Path:
        if spec.templates is None:
            return folder / TEMPLATES.lstrip("/")
        if spec.templates_writable:
            made = self._templates.get(spec.templates)
            if made is None:
                raise UsageError(
                    f"No template {spec.templates} is being made here.", next_step="Call new_template first."
                )
            return made / "files"
        found = self._store.find("templates", spec.templates)
        if found is None:
            raise UsageError(
                f"There is no finished template {spec.templates}.", next_step="Make and seal it first."
            )
        held.append(self._store.hold(found))
        return found / "files"

    def _places(
        self,
        root: Path,
        image: str,
        tmp: str,
        ports: Ports | None = None,
        templates: Path | None = None,
    ) -> Places:
        """Where the known places are in the pod of `root`; files of the image are put there too."""
        folders = {
            WORKSPACE: root / "work",
            "/tmp": root / tmp,
            OUTPUT_FOLDER: root / f"{tmp}-out",
            SCENARIO_FILES: root / "scenario",
            _BEDEV: root / "bedev",
            TEMPLATES: templates or root / "bedev" / "templates",
        }
        (root / tmp).mkdir(exist_ok=True)
        (root / f"{tmp}-out").mkdir(mode=0o700, exist_ok=True)
        for name in (DATA, STACK_FILES, SETUP_HOME):
            (root / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
        if not image:
            return Places(folders, ports)
        folder, facts = self._image(image)
        others = [path for path in facts["files"] if not path.startswith(f"{_BEDEV}/")]
        places = Places({**folders, **{path: root / "image" / path.lstrip("/") for path in others}}, ports)
        for path in facts["files"]:
            target = places.path(path)
            assert target is not None
            target.parent.mkdir(parents=True, exist_ok=True)
            content = (folder / "files" / path.lstrip("/")).read_bytes()
            with contextlib.suppress(UnicodeDecodeError):
                content = places.inward(content.decode()).encode()
            target.write_bytes(content)
        return places

    def _box(
        self,
        name: str,
        root: Path,
        places: Places,
        images: Sequence[str],
        environment: Mapping[str, str],
        memory_mb: int,
        tmp: str,
        marker: str = "",
    ) -> ProcessBox:
        programs = [str(self._image(image)[0] / "bin") for image in images]
        own = {**BASE_ENVIRONMENT, "TMPDIR": "/tmp", **environment}
        return ProcessBox(
            name,
            places,
            root / f"{tmp}-out",
            own,
            ":".join([*programs, process_programs.search_path()]),
            limits_of(memory_mb),
            5 if name == "set-up" else 0,  # what is measured shares the processor as the probe does
            marker or f"{self._store.name}/{root.name}",
        )

    def close(self) -> None:
        with self._lock:
            pods, self._pods = self._pods, []
            self._templates = {}
        for pod in pods:
            pod.close()
        self._store.close()


def start_service(kind: services.Kind, box: ProcessBox, probe: ProcessProbe) -> None:
    """Start a server beside the database. Its own question whether it is ready would go to the port that the
    recipe knows, where somebody else's may listen. Raises SetUpFailed with its log's last lines."""
    assert box.places.ports is not None
    box.places.ports.of(kind.port)
    running = box.start(kind.name, kind.command, cwd="/tmp", env=kind.environment)
    deadline = time.monotonic() + services.START_SECONDS
    while not probe.wait_for_port(kind.port, 0.2):
        if time.monotonic() > deadline or not running.alive():
            raise SetUpFailed(
                f"{kind.title} did not start.",
                where=f"[services] {kind.name}: {kind.command}",
                next_step="Start it by hand to see why, or use containers: --sandbox docker",
                detail="\n".join(running.log().splitlines()[-20:]),
            )


def sweep(state: Path, include_caches: bool = False, older_than_seconds: float = 0.0) -> SweepReport:
    return process_store.sweep(state, include_caches, older_than_seconds)


def cache_usage(state: Path) -> CacheUsage:
    return process_store.cache_usage(state)


def _write_programs(folder: Path, paths: Mapping[str, str]) -> None:
    """One small script for each program, first in PATH: recipes say `python` and mean the image's."""
    folder.mkdir()
    names = dict(paths)
    if "python3" in names:
        names["python"] = names["python3"]
    for name, path in names.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(path)} "$@"\n', encoding="utf-8")
        script.chmod(0o755)


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
