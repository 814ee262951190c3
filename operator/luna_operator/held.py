"""The streams of one pod, with what a pass asks of them found out when they change, not in every pass.

A pass over ten thousand streams that are fine would otherwise look at each of them several times. Every index holds few
streams or none: who asks has no need to know how many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from luna_operator.facts import StreamFact
from luna_streams import conditions
from luna_streams.v1alpha1 import StreamState


class Held(dict[str, StreamFact]):
    """Active streams that belong to one pod, by name; changed by `add` and `remove` only.

    Attributes:
        leaving: those whose worker was asked to let go of them.
        hopeful: pending ones of which is written that their pod is not ready.
        choosy: those that prefer zones themselves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.leaving: dict[str, StreamFact] = {}
        self.hopeful: dict[str, StreamFact] = {}
        self.choosy: dict[str, StreamFact] = {}
        self._uids: Counter[str | None] = Counter()

    def add(self, fact: StreamFact) -> None:
        """Take a stream that is not here."""
        self[fact.name] = fact
        self._uids[fact.pod_uid] += 1
        if fact.leave_by is not None:
            self.leaving[fact.name] = fact
        if fact.state == StreamState.PENDING and fact.scheduled[0] == conditions.NO_READY_POD:
            self.hopeful[fact.name] = fact
        if fact.preferred_zones:
            self.choosy[fact.name] = fact

    def remove(self, name: str) -> None:
        """Forget a stream, if it is here."""
        fact = self.pop(name, None)
        if fact is not None:
            self._uids[fact.pod_uid] -= 1
            for index in (self.leaving, self.hopeful, self.choosy):
                index.pop(name, None)

    def count_of(self, uid: str) -> int:
        """Return how many streams belong to an incarnation of the pod; a stream that names none belongs to any."""
        return self._uids[None] + self._uids[uid]

    def astray(self, uid: str) -> Iterable[StreamFact]:
        """Return the streams that belong to another incarnation of the pod than this one."""
        if self.count_of(uid) == len(self):
            return ()
        return [fact for fact in self.values() if fact.pod_uid not in (None, uid)]
