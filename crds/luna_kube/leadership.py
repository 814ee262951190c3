"""One leader among replicas, by a Lease (coordination.k8s.io/v1), as client-go elects.

    async with leadership(client, LeaseSettings("luna-system", "luna-operator", identity)):
        ...                      # runs as leader; cancelled when leadership is lost, then LeadershipLost is raised

Why not `kubernetes.aio.leaderelection`: there an error other than an ApiException ends the election, a request that
hangs keeps a lost leader leading, times are taken from the wall clock, and the Lease is not given back at the end.

What holds, if the clocks of replicas run equally fast (they may be wrong by any amount):

- A follower takes over only when the Lease did not change for its whole duration, by the follower's own monotonic
  clock. The times written in the Lease are for people.
- The leader's block is cancelled `renew_deadline_s` after the beginning of its last successful renewal, by a timer of
  the event loop, also while the API server hangs. duration - deadline is the time that block has to end.
- A Lease that is deleted under a living leader (by the garbage collector, when its owner was made anew) is made again
  by that leader; a follower that has seen it held leaves it alone for the rest of its duration.

In a cluster the Lease belongs to the leader's ServiceAccount (luna_kube.ownership), so that nothing of it stays behind
when that is uninstalled. Each term asks who the owner is and takes the Lease over from the one it names, before the
garbage collector finds out that this one is gone.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from luna_kube.client import FencedClient, KubeClient
from luna_kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound
from luna_kube.ownership import own_account, owned_by
from luna_kube.resources import LEASES

log = logging.getLogger(__name__)

Json = dict[str, Any]
_RELEASE_TIMEOUT_S = 2.0
_JUST_AFTER_S = 0.02


class LeadershipLost(Exception):
    """Somebody else may lead now: stop, then stand again."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Which Lease, who we are, and how patient everybody is.

    Attributes:
        namespace, name: of the Lease object; it is created when it does not exist.
        identity: unique among the candidates. A process that follows its dead predecessor under the same identity
            (a restarted container of one pod) leads on without waiting.
        duration_s: how long a silent leader keeps the Lease; a dead leader is replaced after this plus `retry_s`.
        renew_deadline_s: how long a leader that cannot renew goes on; less than the duration.
        retry_s: time between attempts to acquire or renew.
    """

    namespace: str
    name: str
    identity: str
    duration_s: float = 10.0
    renew_deadline_s: float = 7.0
    retry_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.identity:
            raise ValueError("a candidate needs an identity")
        if not self.retry_s < self.renew_deadline_s < self.duration_s:
            raise ValueError("a lease needs retry_s < renew_deadline_s < duration_s")


def now_s() -> float:
    """Return seconds that go on while the machine sleeps, where the system can tell (Linux)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(slots=True)
class Outlook:
    """What a candidate knows of the Lease; `leadership` keeps it up, from one term to the next.

    Attributes:
        heard_at: when the last question about the Lease was asked that was answered; seconds of `now_s`.
        vacant_at: a time at which nobody led for sure, so that whoever leads now began after it; None while somebody
            may lead since before. Seconds of `now_s`.
        led_last: whether the last term this candidate knows of was its own.
    """

    heard_at: float = -math.inf
    vacant_at: float | None = None
    led_last: bool = False


@dataclass(slots=True)
class Leadership:
    """What the leader knows of its term.

    Attributes:
        transitions: how often the Lease changed hands; grows with every term of another holder.
        deadline: until when the Lease is held for sure; moves with every renewal.
        until_s: the same in seconds of `now_s`.
    """

    transitions: int
    deadline: asyncio.Timeout
    until_s: float

    @property
    def has_ended(self) -> bool:
        """Whether somebody else may lead by now, even if what ran in this term is not through with its end."""
        return self.deadline.expired() or now_s() >= self.until_s

    def fenced(self, client: KubeClient) -> KubeClient:
        """Return a client that reads as the given one does, and writes only as long as this term lasts."""
        return FencedClient(client, lambda: not self.has_ended)

    def extend(self, until_s: float) -> None:
        """Let the term last until a time of `now_s`."""
        self.until_s = until_s
        self.deadline.reschedule(asyncio.get_running_loop().time() + until_s - now_s())


@asynccontextmanager
async def leadership(
    client: KubeClient, settings: LeaseSettings, outlook: Outlook | None = None
) -> AsyncIterator[Leadership]:
    """Wait until this candidate leads, then run the block as long as it does; give the Lease back at the end.

    Args:
        client: an open client.
        settings: of the Lease.
        outlook: is kept up, from the first attempt to the end.

    Raises:
        LeadershipLost: if the Lease could not be renewed in time, or somebody else holds it.
    """
    candidate = _Candidate(client, settings, outlook or Outlook())
    try:
        until_s = await candidate.acquire() + settings.renew_deadline_s
        log.info("%s leads %s/%s", settings.identity, settings.namespace, settings.name)
        async with asyncio.timeout(until_s - now_s()) as deadline:
            term = Leadership(candidate.transitions, deadline, until_s)
            renewing = asyncio.create_task(candidate.keep(term), name=f"lease {settings.name}")
            try:
                yield term
            finally:
                renewing.cancel()
                # Not awaited itself: that would take a cancellation of ours for one of its own.
                await asyncio.wait({renewing})
                candidate.note_end(term)
                if not renewing.cancelled():
                    renewing.result()  # raises what made it crash
    except TimeoutError as e:
        if deadline.expired():
            raise LeadershipLost(f"{settings.identity} lost the lease {settings.namespace}/{settings.name}") from e
        raise
    finally:
        await candidate.release()


class _Candidate:
    """Reads and writes the Lease; remembers when it last changed."""

    def __init__(self, client: KubeClient, settings: LeaseSettings, outlook: Outlook) -> None:
        self._client = client
        self._settings = settings
        self._outlook = outlook
        self._ref = LEASES.at(settings.namespace, settings.name)
        self._seen: Json = {}
        self._seen_version = ""
        self._seen_at = 0.0
        self._has_held = False
        self._may_own = True
        self.transitions = 0

    async def acquire(self) -> float:
        """Try until the Lease is ours; return when the successful attempt began."""
        complained = False
        while True:
            began = now_s()
            try:
                if await self._attempt(began):
                    self._outlook.vacant_at, self._outlook.led_last = None, True
                    return began
            except ApiError as e:
                if not complained:
                    log.warning("cannot stand for the lease, trying on: %s", e)
                complained = True
            await asyncio.sleep(self._pause_s(self._turning_points()))

    async def keep(self, term: Leadership) -> None:
        """Renew and move the deadline each time; end the term at once if somebody else holds the Lease."""
        while True:
            await asyncio.sleep(self._pause_s(()))
            began = now_s()
            try:
                is_ours = await self._attempt(began)
            except ApiError as e:
                log.warning("cannot renew the lease, trying on: %s", e)
                continue
            if term.deadline.expired():
                return  # too late: the term is ending already
            term.extend(began + self._settings.renew_deadline_s if is_ours else now_s())
            if not is_ours:
                return

    def note_end(self, term: Leadership) -> None:
        """Note since when nobody leads, unless somebody else was seen to."""
        if self._outlook.led_last:
            self._outlook.vacant_at = min(term.until_s, now_s())

    async def release(self) -> None:
        """Let the next leader begin at once, if the Lease is still ours; nobody waits long for that."""
        try:
            async with asyncio.timeout(_RELEASE_TIMEOUT_S):
                lease = await self._client.get(self._ref)
                if lease["spec"].get("holderIdentity") == self._settings.identity:
                    lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                    await self._client.replace(self._ref, lease)
        except (ApiError, TimeoutError) as e:
            log.info("the lease was not given back, it will run out: %s", e)

    async def _attempt(self, began: float) -> bool:
        """Acquire or renew once; False if somebody else holds the Lease or was faster.

        Args:
            began: when this is, in seconds of `now_s`.

        Raises:
            ApiError: if the server cannot be asked in time.
        """
        # A hanging request must leave time for another one before the deadline.
        timeout_s = self._settings.renew_deadline_s / 2
        try:
            async with asyncio.timeout(timeout_s):
                return await self._take(began)
        except TimeoutError as e:
            raise ApiError(f"lease {self._settings.name}", f"no answer within {timeout_s:g} s") from e

    async def _take(self, began: float) -> bool:
        try:
            lease = await self._client.get(self._ref)
        except NotFound:
            self._note(self._seen, began)
            return not self._is_anothers(self._seen) and await self._create()
        self._look(lease)
        self._note(self._seen, began)
        if self._is_anothers(spec := lease.get("spec") or {}):
            return False
        is_ours = spec.get("holderIdentity") == self._settings.identity
        is_adopted = not (is_ours and self._has_held) and await self._adopt(lease)
        self.transitions = spec.get("leaseTransitions", 0) + (0 if is_ours else 1)
        lease["spec"] = spec | self._term(None if is_ours else _now())
        try:
            self._look(await self._client.replace(self._ref, lease))
        except Conflict:
            if is_ours:
                raise  # somebody touched our Lease: read it again before giving up
            return False
        except Forbidden:
            # OwnerReferencesPermissionEnforcement: who may not delete an object that exists may not give it an owner.
            self._may_own = self._may_own and not is_adopted
            raise
        self._has_held = True
        return True

    async def _create(self) -> bool:
        body: Json = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"namespace": self._settings.namespace, "name": self._settings.name},
            "spec": self._term(_now()),
        }
        await self._adopt(body)
        try:
            self._look(await self._client.create(LEASES.within(self._settings.namespace), body))
        except (AlreadyExists, Conflict):
            return False
        self._has_held = True
        return True

    async def _adopt(self, lease: Json) -> bool:
        """Make our ServiceAccount the owner of a Lease that is about to be written; tell whether that changed it."""
        try:
            account = await own_account(self._client, self._settings.namespace) if self._may_own else None
        except ApiError as e:
            log.info("the lease gets no owner, it will stay when this is uninstalled: %s", e)
            return False
        old = lease["metadata"].get("ownerReferences") or []
        if account is None or account in old:
            return False
        lease["metadata"]["ownerReferences"] = owned_by(old, account)
        return True

    def _term(self, acquired: str | None) -> Json:
        term: Json = {
            "holderIdentity": self._settings.identity,
            "leaseDurationSeconds": math.ceil(self._settings.duration_s),  # whole seconds, never less than we rely on
            "renewTime": _now(),
            "leaseTransitions": self.transitions,
        }
        return term if acquired is None else term | {"acquireTime": acquired}

    def _look(self, lease: Json) -> None:
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen_version:
            self._seen_version, self._seen_at = version, now_s()
            self._seen = lease.get("spec") or {}

    def _is_anothers(self, spec: Json) -> bool:
        """Tell whether somebody else holds the Lease with this spec, the one that was last seen."""
        holder = spec.get("holderIdentity") or ""
        return holder not in ("", self._settings.identity) and not self._has_run_out(spec)

    def _note(self, spec: Json, began: float) -> None:
        """Note what a question says that was asked then."""
        self._outlook.heard_at = began
        holder = spec.get("holderIdentity") or ""
        if holder != self._settings.identity:
            # A term that was not renewed for so long is over, although its Lease has not run out yet.
            is_over = not holder or began - self._seen_at >= self._settings.renew_deadline_s
            self._outlook.vacant_at = began if is_over else None
            self._outlook.led_last = self._outlook.led_last and not holder

    def _has_run_out(self, spec: Json) -> bool:
        duration_s: float = spec.get("leaseDurationSeconds") or self._settings.duration_s
        return now_s() - self._seen_at >= duration_s

    def _turning_points(self) -> tuple[float, float]:
        """Return when the term that was seen last is over for sure, and when its Lease may be taken."""
        return self._seen_at + self._settings.renew_deadline_s, self._seen_at + math.ceil(self._settings.duration_s)

    def _pause_s(self, turning_points: tuple[float, ...]) -> float:
        """Return how long to wait before the next attempt, which is right after a turning point if one comes first."""
        now = now_s()
        # Candidates that started together must not meet at every attempt.
        usual = self._settings.retry_s * random.uniform(0.8, 1.2)  # noqa: S311  jitter
        return min([usual, *(at - now + _JUST_AFTER_S for at in turning_points if at >= now)])


def _now() -> str:
    """Return the time as a Kubernetes MicroTime, for people."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
