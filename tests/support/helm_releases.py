"""Helm against an API server that runs no pods: whoever plays the kubelet runs the chart's Job here, with its rights.

with a_helm_release(real_api, folder) as release:
    release.helm("install", ...)
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luna_operator import crds
from support.apiservers import ApiServer, unique
from support.charts import RELEASE, program

Json = dict[str, Any]

_HELM_PATIENCE_S = 120
_LOOK_S = 0.2
_NO_SUCH_KIND = ("doesn't have a resource type", "could not find the requested resource")


@dataclass
class HelmRelease:
    """A namespace that enforces `restricted`, with or without the release in it.

    Attributes:
        jobs: what the chart's Jobs printed, in their order.
        breaks_jobs: let every Job fail without running it.
    """

    api: ApiServer
    namespace: str
    folder: Path
    jobs: list[str]
    breaks_jobs: bool = False

    def helm(self, verb: str, *arguments: str, values: Json | None = None) -> str:
        """Run Helm; return what it printed."""
        answer = self.try_helm(verb, *arguments, values=values)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def try_helm(self, verb: str, *arguments: str, values: Json | None = None) -> subprocess.CompletedProcess[str]:
        """Run Helm, whatever comes of it."""
        where = [f"--namespace={self.namespace}", f"--kubeconfig={self.api.kubeconfig}"]
        if values is not None:
            file = self.folder / "values.json"
            file.write_text(json.dumps(values))
            where += [f"--values={file}", f"--timeout={_HELM_PATIENCE_S}s"]
        return _run([str(program("helm")), verb, RELEASE, *arguments, *where])

    def kubectl(self, *arguments: str, stdin: Json | None = None) -> str:
        """Run kubectl in the namespace; return what it printed."""
        answer = self.try_kubectl(*arguments, stdin=stdin)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def try_kubectl(self, *arguments: str, stdin: Json | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl in the namespace, whatever comes of it."""
        command = [
            str(program("kubectl")),
            f"--kubeconfig={self.api.kubeconfig}",
            f"--namespace={self.namespace}",
            *arguments,
        ]
        return _run(command, None if stdin is None else json.dumps(stdin))

    def read(self, *arguments: str) -> Json:
        """Return an object, or a list of them."""
        found: Json = json.loads(self.kubectl("get", "-o", "json", *arguments))
        return found

    def everything(self) -> set[str]:
        """Return the names of all objects of the namespace, and of those outside of namespaces that are the release's.

        Left out: what Kubernetes makes in every namespace, and Events, which go by themselves.
        """
        local = self._names("--namespaced=true", "get", "--ignore-not-found")
        release = f"app.kubernetes.io/instance={RELEASE}"
        wide = self._names("--namespaced=false", "get", "--ignore-not-found", f"--selector={release}")
        wide = {name for name in wide if f"/{self.namespace}-" in name}  # not those of other tests
        own = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
        return {name for name in local | wide if name not in own and not name.startswith("event")}

    def _names(self, scope: str, *command: str) -> set[str]:
        deadline = time.monotonic() + _HELM_PATIENCE_S
        while True:
            kinds = self.kubectl("api-resources", scope, "--verbs=list", "-o", "name").split()
            answer = self.try_kubectl(*command, ",".join(kinds), "-o", "name")
            # A definition of another test may go between the two questions.
            is_old_news = any(words in answer.stderr for words in _NO_SUCH_KIND) and time.monotonic() < deadline
            if not is_old_news:
                assert answer.returncode == 0, answer.stderr
                return set(answer.stdout.split())

    def play(self, until: threading.Event) -> None:
        """Run the Jobs of the namespace until told to stop."""
        done: set[str] = set()
        while not until.wait(_LOOK_S):
            for job in json.loads(self.try_kubectl("get", "jobs", "-o", "json").stdout or '{"items": []}')["items"]:
                if job["metadata"]["uid"] not in done:
                    done.add(job["metadata"]["uid"])
                    self._finish(job, is_good=not self.breaks_jobs and self._run_job(job))

    def _run_job(self, job: Json) -> bool:
        """Do what the Job's container would, as its ServiceAccount."""
        spec = job["spec"]["template"]["spec"]
        token = self.kubectl("create", "token", spec["serviceAccountName"]).strip()
        config = json.loads(self.api.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        kubeconfig = self.folder / f"kubeconfig-{job['metadata']['uid']}"
        kubeconfig.write_text(json.dumps(config))
        arguments = [*spec["containers"][0]["args"], f"--kubeconfig={kubeconfig}"]
        answer = _run([sys.executable, "-m", "luna_local.command", *arguments])
        self.jobs.append(answer.stdout + answer.stderr)
        return answer.returncode == 0

    def _finish(self, job: Json, *, is_good: bool) -> None:
        now = job["metadata"]["creationTimestamp"]
        first, last = ("SuccessCriteriaMet", "Complete") if is_good else ("FailureTarget", "Failed")
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in (first, last)]
        status: Json = {"startTime": now, "conditions": conditions}
        status |= {"succeeded": 1, "completionTime": now} if is_good else {"failed": 1}
        with contextlib.suppress(AssertionError):  # Helm may have given it up
            self.kubectl(
                "patch", "job", job["metadata"]["name"], "--subresource=status", "--type=merge",
                f"--patch={json.dumps({'status': status})}",
            )  # fmt: skip


@contextmanager
def a_helm_release(api: ApiServer, folder: Path) -> Iterator[HelmRelease]:
    """Make a namespace for a release, and run its Jobs."""
    release = HelmRelease(api, unique("release"), folder, [])
    release.kubectl("create", "namespace", release.namespace)
    release.kubectl("label", "namespace", release.namespace, "pod-security.kubernetes.io/enforce=restricted")
    if release.try_kubectl("get", "crd", "streams.lunastreams.dev").returncode == 0:
        # Other tests of this server have applied the definitions, as managers that are in Helm's way.
        assert crds.main(["apply", f"--kubeconfig={api.kubeconfig}"]) == 0
    stop = threading.Event()
    player = threading.Thread(target=release.play, args=[stop], name="jobs")
    player.start()
    try:
        yield release
    finally:
        stop.set()
        player.join()
        release.try_helm("uninstall", "--ignore-not-found")
        release.try_kubectl("delete", "namespace", release.namespace, "--wait=false")


def _run(command: list[str], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
