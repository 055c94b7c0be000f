"""The Docker sandbox: pods of hardened containers that share one loopback-only network namespace.

The probe's container owns the namespace (network `none`) and the others join it, so that 127.0.0.1:3306
works and everything else is unreachable.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bedev.sandboxes import docker_images, docker_trees, docker_volumes
from bedev.sandboxes.docker_box import DockerBox
from bedev.sandboxes.docker_containers import Container, create_container
from bedev.sandboxes.docker_engine import EngineStatus, docker_engine_status, labels
from bedev.sandboxes.docker_images import TREE
from bedev.sandboxes.docker_isolation import VolumeMount
from bedev.sandboxes.docker_parts import (
    APP,
    APP_WITH_DATA,
    BASE_ENVIRONMENT,
    DATABASE,
    PROBE,
    PROBE_WITH_DATA,
    Part,
    check_canaries,
    container_spec,
)
from bedev.sandboxes.docker_streams import open_exec
from bedev.sandboxes.docker_sweep import CacheUsage, SweepReport, cache_usage, sweep
from bedev.sandboxes.docker_volumes import TEMPLATE_KIND, TREE_KIND
from bedev.sandboxes.docker_watchdog import Watchdog
from bedev.sandboxes.errors import EnvironmentUnusable, SandboxBroken, UsageError
from bedev.sandboxes.full_disk import FullDisk, reason_of
from bedev.sandboxes.probe.client import ProbeClient, probe_command, probe_image
from bedev.sandboxes.sandbox import (
    DATA,
    SCENARIO_FILES,
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

__all__ = [
    "CacheUsage",
    "DockerPod",
    "DockerSandbox",
    "EngineStatus",
    "SweepReport",
    "cache_usage",
    "docker_engine_status",
    "sweep",
]

LIFETIME_SECONDS = 4 * 3600


class DockerPod:
    """See `sandbox.Pod`."""

    def __init__(
        self,
        app: DockerBox,
        probe: ProbeClient,
        db: DockerBox | None,
        parts: Sequence[Container],
        volumes: Sequence[str] = (),
        services: Sequence[DockerBox] = (),
    ) -> None:
        self.app = app
        self.probe = probe
        self.services = tuple(services)
        self._db = db
        self._containers = tuple(parts)
        self._volumes = tuple(volumes)
        self._lock = threading.Lock()
        self._closed = False
        probe.explain = lambda error: reason_of(error, self)

    @property
    def db(self) -> DockerBox:
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

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for part in (self.app, self._db, *self.services, self.probe):
            if part is not None:
                part.close()
        remove_all(self._containers)
        for volume in self._volumes:
            docker_volumes.remove_volume(volume)


def remove_all(containers: Sequence[Container]) -> None:
    """Remove containers at the same time; all are tried before the first error is raised."""
    if not containers:
        return
    with ThreadPoolExecutor(len(containers), thread_name_prefix="bedev-remove") as pool:
        attempts = [pool.submit(container.remove) for container in containers]
    for attempt in attempts:
        attempt.result()


class DockerSandbox:
    """See `sandbox.Sandbox`. Everything that it makes carries the labels of `run` and of this process.

    run: the run's id. lifetime_seconds: after so long its containers end by themselves, whatever happens.
    seccomp: a profile as JSON text; None for the engine's own. volume_mb: path -> the most MiB that the
    volume made for that place may hold, kept in memory (so are full disks tried). Opening one removes what
    dead runs of this user left. Raises EnvironmentUnusable where no engine answers.
    """

    name = "docker"

    def __init__(
        self,
        run: str,
        *,
        lifetime_seconds: int = LIFETIME_SECONDS,
        seccomp: str | None = None,
        volume_mb: Mapping[str, int] | None = None,
    ) -> None:
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}\Z", run):
            raise UsageError(f"{run!r} cannot be a run's id.", next_step="Use letters, digits, - and _.")
        self.run = run
        self._lifetime = lifetime_seconds
        self._seccomp = seccomp
        self._volume_mb = dict(volume_mb or {})
        self._pods: list[DockerPod] = []
        self._templates: dict[str, str] = {}  # those in the making: key -> volume
        self._lock = threading.Lock()
        status = docker_engine_status()
        if not status.available:
            raise EnvironmentUnusable(status.message, where=status.endpoint, next_step=status.next_step)
        sweep()
        self._watchdog = Watchdog()

    def _labels(self, kind: str) -> dict[str, str]:
        return labels(self.run, kind, self._lifetime)

    # -- images and trees

    def ensure_image(self, spec: ImageSpec, progress: Progress) -> str:
        return docker_images.ensure_image(spec, progress)

    def image_digest(self, image: str) -> str:
        return docker_images.image_digest(image)

    def prepare_tree(
        self,
        key: str,
        files: Callable[[], Iterable[TreeFile]],
        image: str,
        steps: Sequence[SetUpStep],
        access: HostAccess,
        progress: Progress,
    ) -> str:
        return docker_trees.prepare_tree(
            key,
            files,
            image,
            steps,
            access,
            progress,
            labels=self._labels("setup"),
            deadline_seconds=self._lifetime,
            seccomp=self._seccomp,
            size_mb=self._volume_mb.get(WORKSPACE),
        )

    # -- templates

    def has_template(self, key: str) -> bool:
        return docker_volumes.find_seal(TEMPLATE_KIND, key) is not None

    def new_template(self, key: str) -> None:
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z", key):
            raise UsageError(f"{key!r} cannot be the key of a template.", next_step="Use a hash.")
        with self._lock:
            if key in self._templates:
                raise UsageError(
                    f"The template {key} is being made already.", next_step="Seal or drop it first."
                )
            self._templates[key] = docker_volumes.new_volume(
                TEMPLATE_KIND, key, self._labels("template"), self._volume_mb.get(TEMPLATES)
            )

    def seal_template(self, key: str, facts: Mapping[str, Any]) -> None:
        """The pod that wrote it should be closed, or its servers stopped, before this."""
        with self._lock:
            volume = self._templates.get(key)
            if volume is None:
                raise UsageError(
                    f"No template {key} is being made here.", next_step="Call new_template first."
                )
            standing = docker_volumes.seal(TEMPLATE_KIND, key, volume, facts, self._labels("template"))
            del self._templates[key]
        if standing.volume != volume:
            # Another process was faster; ours stays until its pod is closed, then the next sweep takes it.
            docker_volumes.remove_volume(volume)

    def template_facts(self, key: str) -> Mapping[str, Any]:
        found = docker_volumes.find_seal(TEMPLATE_KIND, key)
        if found is None:
            raise UsageError(f"There is no finished template {key}.", next_step="Make it with new_template.")
        return found.facts

    def drop_template(self, key: str) -> None:
        """Remove a template, finished or not; no error where there is none.

        One that a pod still uses stays on disk until the sweep, but is no longer found.
        """
        with self._lock:
            volume = self._templates.pop(key, None)
        if volume is not None:
            docker_volumes.remove_volume(volume)
        docker_volumes.drop(TEMPLATE_KIND, key)

    def _template_mount(self, spec: PodSpec) -> tuple[VolumeMount, ...]:
        if spec.templates is None:
            return ()
        if spec.templates_writable:
            volume = self._templates.get(spec.templates)
            if volume is None:
                raise UsageError(
                    f"No template {spec.templates} is being made here.", next_step="Call new_template first."
                )
            return (VolumeMount(TEMPLATES, volume),)
        found = docker_volumes.find_seal(TEMPLATE_KIND, spec.templates)
        if found is None:
            raise UsageError(
                f"There is no finished template {spec.templates}.", next_step="Make and seal it first."
            )
        return (VolumeMount(TEMPLATES, found.volume, read_only=True),)

    # -- pods

    def open_pod(self, spec: PodSpec, progress: Progress) -> DockerPod:
        opening = _Opening(self, spec)
        try:
            pod = opening.open(
                docker_images.ensure_image(probe_image(), progress), self._app_image(spec, progress)
            )
        except BaseException:
            opening.abandon()
            raise
        with self._lock:
            self._pods = [other for other in self._pods if not other._closed] + [pod]
        return pod

    def _app_image(self, spec: PodSpec, progress: Progress) -> str:
        """The application's image, with the scenario's files as one layer more: read-only by nature."""
        if not spec.scenario_files:
            return spec.app_image
        files = {}
        for name, content in spec.scenario_files.items():
            if "/" in name or name in ("", ".", ".."):
                raise UsageError(
                    f"{name!r} cannot be the name of a scenario's file.", next_step="Leave folders out."
                )
            files[f"{SCENARIO_FILES}/{name}"] = content
        return docker_images.ensure_image(ImageSpec(base=spec.app_image, files=files), progress)

    def close(self) -> None:
        with self._lock:
            pods, self._pods = self._pods, []
            templates, self._templates = self._templates, {}
        for pod in pods:
            pod.close()
        for volume in templates.values():
            docker_volumes.remove_volume(volume)
        self._watchdog.stop()


class _Opening:
    """A pod while it starts: the containers so far, so that a failure removes them all."""

    def __init__(self, sandbox: DockerSandbox, spec: PodSpec) -> None:
        self._sandbox = sandbox
        self._spec = spec
        self._containers: list[Container] = []
        self._volumes: list[str] = []
        self._abandoned = False
        self._lock = threading.Lock()

    def open(self, probe_image_id: str, app_image: str) -> DockerPod:
        spec = self._spec
        tree: tuple[VolumeMount, ...] = ()
        if spec.tree:
            found = docker_volumes.find_seal(TREE_KIND, spec.tree)
            if found is None:
                raise UsageError(
                    f"There is no prepared tree {spec.tree}.", next_step="Call prepare_tree first."
                )
            tree = (VolumeMount(TREE, found.volume, read_only=True),)
        templates = self._sandbox._template_mount(spec)
        shared = self._shared_data() if spec.shared_data else ()
        probe = (
            self._create(PROBE_WITH_DATA, "probe", probe_image_id, "none", (*shared, *templates))
            if spec.shared_data
            else self._create(PROBE, "probe", probe_image_id, "none", (), memory_mb=512)
        )
        network = f"container:{probe.id}"
        with ThreadPoolExecutor(4 + len(spec.services), thread_name_prefix="bedev-pod") as pool:
            # Joining a namespace needs its owner to run, creating does not.
            running = pool.submit(probe.start)
            client = pool.submit(self._open_probe, probe, running)
            app = pool.submit(
                self._open_app, app_image, network, (self._own(WORKSPACE), *tree, *shared), running
            )
            db = None
            if spec.shared_data:
                db = pool.submit(self._open_files, probe, running)
            elif spec.db_image is not None:
                own = (self._own(DATA), *templates)
                db = pool.submit(self._open_db, spec.db_image, network, own, running)
            others = [
                pool.submit(self._open_service, kind, image, network, running, client)
                for kind, image in spec.services.items()
            ]
        return DockerPod(
            app.result(),
            client.result(),
            db.result() if db else None,
            self._containers,
            self._volumes,
            [other.result() for other in others],
        )

    def _shared_data(self) -> tuple[VolumeMount, ...]:
        """A volume of the pod's own that two containers have, which no container's end removes."""
        sandbox = self._sandbox
        labels = sandbox._labels("data")
        name = docker_volumes.new_volume("shared", sandbox.run, labels, sandbox._volume_mb.get(DATA))
        with self._lock:
            self._volumes.append(name)
        return (VolumeMount(DATA, name),)

    def _open_files(self, probe: Container, running: Future[None]) -> DockerBox:
        """The box that makes and copies database files: beside the probe, as the user whom DATA belongs to.
        The application and the probe are other users, and both write there."""
        running.result()
        box = DockerBox("db", probe, DATABASE.uid, BASE_ENVIRONMENT)
        allowed = {**probe.spec.image_environment, **BASE_ENVIRONMENT}
        check_canaries(box, DATABASE.uid, allowed, network=False)
        box.internal(f"chmod 0777 {DATA}")
        return box

    def _own(self, target: str) -> VolumeMount:
        return VolumeMount(target, size_mb=self._sandbox._volume_mb.get(target))

    def _create(
        self,
        part: Part,
        kind: str,
        image: str,
        network: str,
        mounts: tuple[VolumeMount, ...],
        memory_mb: int | None = None,
    ) -> Container:
        sandbox = self._sandbox
        container = create_container(
            container_spec(
                part,
                kind,
                image,
                network,
                {**sandbox._labels(kind), "dev.bedev.pod": self._spec.kind},
                mounts=mounts,
                memory_mb=memory_mb or self._spec.memory_mb,
                deadline_seconds=sandbox._lifetime,
                seccomp=sandbox._seccomp,
            )
        )
        with self._lock:
            self._containers.append(container)
        return container

    def _open_probe(self, container: Container, running: Future[None]) -> ProbeClient:
        running.result()
        channel = open_exec(
            container.id, probe_command(), uid=PROBE.uid, environment=BASE_ENVIRONMENT, where=container.name
        )
        client = ProbeClient(channel, container.name)
        client.greet()
        return client

    def _open_box(
        self,
        name: str,
        part: Part,
        container: Container,
        environment: Mapping[str, str],
        running: Future[None],
    ) -> DockerBox:
        running.result()
        container.start()
        box = DockerBox(name, container, part.uid, environment)
        allowed = {**container.spec.image_environment, **environment}
        check_canaries(box, part.uid, allowed, network=False)
        return box

    def _open_app(
        self, image: str, network: str, mounts: tuple[VolumeMount, ...], running: Future[None]
    ) -> DockerBox:
        part = APP_WITH_DATA if self._spec.shared_data else APP
        container = self._create(part, "app", image, network, mounts)
        environment = {**BASE_ENVIRONMENT, **self._spec.environment}
        box = self._open_box("app", APP, container, environment, running)
        if self._spec.tree:
            status, _ = box.internal(f"cp -a -- {TREE}/. {WORKSPACE}/", timeout=300, fine=(0, 1))
            if status:
                what = "The prepared tree could not be copied to the workspace."
                full = box.full_disk()
                if full is not None:
                    raise full.error(what)
                raise SandboxBroken(what, where=container.name, next_step="Run the command again.")
        return box

    def _open_db(
        self, image: str, network: str, mounts: tuple[VolumeMount, ...], running: Future[None]
    ) -> DockerBox:
        container = self._create(DATABASE, "db", image, network, mounts)
        return self._open_box("db", DATABASE, container, BASE_ENVIRONMENT, running)

    def _open_service(
        self, kind: str, image: str, network: str, running: Future[None], client: Future[ProbeClient]
    ) -> DockerBox:
        """As poor as the database's container, without a volume of ours: what it holds ends with the pod."""
        container = self._create(DATABASE, kind, image, network, ())
        box = self._open_box(kind, DATABASE, container, BASE_ENVIRONMENT, running)
        services.start(services.load(kind), box, client.result())
        return box

    def abandon(self) -> None:
        with contextlib.suppress(EnvironmentUnusable):
            remove_all(self._containers)
            for volume in self._volumes:
                docker_volumes.remove_volume(volume)
