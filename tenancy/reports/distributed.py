"""Putting a report's question to many tenants on Celery's workers, a chunk of tenants at a time.

A chunk is a message, and its answer a result of Celery's. A worker that dies answers nothing, and a broker
may give its message to another only much later. So a chunk that is out for far longer than others took, and
is with no living worker, is sent once more. The first answer counts, and only one is taken, so that no
tenant is counted twice. (Dean and Ghemawat, MapReduce, OSDI 2004, section 3.6, "backup tasks".)
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from celery import Celery, current_app, states
from celery.exceptions import BackendError
from celery.result import AsyncResult
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from tenancy import live
from tenancy import tasks as _  # noqa: F401  # makes the project's application the current one
from tenancy.exceptions import TenancyError
from tenancy.fleet import Outcome, Result, first_line
from tenancy.registry import get_registry
from tenancy.reports.answer import Answer, Question
from tenancy.reports.message import unpack
from tenancy.reports.tasks import GONE, HEADER, NAME
from tenancy.tenant import Tenant

#: Chunks that are out at a time: their answers wait in the result store, which is memory somewhere.
IN_FLIGHT = 32
#: Seconds after which a chunk is looked after at all, and how many times as long as others took.
LEAST_PATIENCE, PATIENCE = 5.0, 3.0
#: How often in all.
TRIES = 3
#: Seconds between two looks at what has come.
TICK = 0.05
#: Seconds that a worker has to say that it is there.
GREETING = 2.0
#: Seconds without any worker after which nobody waits for one.
SILENCE = 60.0
#: Seconds for messages to travel and chunks to queue, beyond what tenants may take.
GRACE = 60.0


class NoWorker(TenancyError):
    """Nobody takes messages from the broker."""


class BrokerUnavailable(TenancyError):
    """The broker, or the store of results, does not answer."""


#: What Celery raises when it cannot reach either.
BROKER_ERRORS = (KombuError, BackendError, RedisError, OSError)


@dataclass(eq=False)
class Chunk:
    """Some tenants, and the messages that are out about them."""

    tenants: Sequence[Tenant]
    results: list[AsyncResult] = field(default_factory=list)
    #: When the first was sent, when it was last seen to, and since when a worker is known to be at it.
    begun: float = 0.0
    looked: float = 0.0
    since: float = 0.0


@dataclass
class DistributedJob:
    """As ``Job``, with ``jobs`` threads in each worker that has a chunk of ``size`` tenants.

    ``given`` are the report's parameters as texts: each worker checks them itself.
    """

    question: Question
    given: dict[str, str]
    tenants: Sequence[Tenant]
    jobs: int = 8
    timeout: float = 300.0
    retries: int = 2
    size: int = 25
    app: Celery = field(default_factory=lambda: current_app._get_current_object())

    def __post_init__(self) -> None:
        self._waiting = deque(
            Chunk(self.tenants[start : start + self.size]) for start in range(0, len(self.tenants), self.size)
        )
        self._out: list[Chunk] = []
        self._longest = 0.0
        self._heard = 0.0

    @property
    def deadline(self) -> float:
        """Seconds in which a chunk has been answered, or never will be."""
        turns = math.ceil(self.size / max(1, self.jobs)) * (self.retries + 1)
        return turns * self.timeout + GRACE

    def outcomes(self) -> Iterator[Outcome[Answer]]:
        """One for each tenant, as they come. Raises ``NoWorker`` when nobody is there, and
        ``BrokerUnavailable`` when it cannot be asked; when it goes away later, who is left has failed."""
        self._heard = time.monotonic()
        try:
            if self._waiting and not self._greeted():
                raise NoWorker(
                    "No worker answers at the broker. Start one with `celery --app project worker`, or leave "
                    "--celery out."
                )
        except BROKER_ERRORS as exc:
            # Not in its words, which may hold the broker's URL.
            raise BrokerUnavailable(
                f"Celery's broker, or its store of results, does not answer ({type(exc).__name__}). Check "
                "CELERY_BROKER_URL and CELERY_RESULT_BACKEND."
            ) from exc
        try:
            yield from self._outcomes()
        except BROKER_ERRORS as exc:
            error = f"Celery's broker, or its store of results, went away ({type(exc).__name__})"
            yield from self._give_up([*self._out, *self._waiting], error)
        finally:
            for chunk in self._out:
                _forget(chunk.results)

    def _outcomes(self) -> Iterator[Outcome[Answer]]:
        while self._waiting or self._out:
            live.refresh()  # to know at the end who came meanwhile, and who went
            while self._waiting and len(self._out) < IN_FLIGHT:
                self._send(self._waiting[0])
                self._out.append(self._waiting.popleft())
            answered = [chunk for chunk in self._out if self._is_answered(chunk)]
            for chunk in answered:
                self._out.remove(chunk)
                yield from self._take(chunk)
            if answered:
                self._heard = time.monotonic()
            else:
                time.sleep(TICK)
                yield from self._look_at_the_clock()

    def _greeted(self) -> set[str]:
        """The workers that answer."""
        return {name for reply in self.app.control.ping(timeout=GREETING) or () for name in reply}

    def _send(self, chunk: Chunk) -> None:
        question = {
            "limit": self.question.limit,
            "rows": self.question.rows,
            "from_replica": self.question.from_replica,
        }
        chunk.looked = time.monotonic()
        chunk.begun = chunk.begun or chunk.looked
        chunk.results.append(
            self.app.send_task(
                NAME,
                kwargs={
                    "report": self.question.report.name,
                    "given": self.given,
                    "question": question,
                    "job": {"jobs": self.jobs, "timeout": self.timeout, "retries": self.retries},
                },
                headers={HEADER: [tenant.id for tenant in chunk.tenants]},
                # Long after anybody waits for it; it would lie in the queue for whoever comes one day.
                expires=self.deadline * (len(self._waiting) + IN_FLIGHT),
            )
        )

    @staticmethod
    def _is_answered(chunk: Chunk) -> bool:
        return any(result.ready() for result in chunk.results)

    def _take(self, chunk: Chunk) -> Iterator[Outcome[Answer]]:
        """The first answer; what else comes of the chunk is nobody's."""
        self._longest = max(self._longest, time.monotonic() - chunk.begun)
        result = next(each for each in chunk.results if each.ready())
        is_well, answer = result.successful(), result.result
        _forget(chunk.results)
        if not is_well:
            yield from self._all(chunk, first_line(answer))
            return
        facts = {each["tenant"]: each for each in answer}
        for tenant in chunk.tenants:
            if tenant.id in facts:
                yield self._unpacked(tenant, facts[tenant.id])
            else:
                yield Outcome(tenant, Result.FAILED, error="the worker said nothing of it")

    def _unpacked(self, tenant: Tenant, facts: dict[str, Any]) -> Outcome[Answer]:
        try:
            outcome = unpack(self.question.report, tenant, facts)
        except (ValueError, TypeError, LookupError) as exc:  # a worker of another version, above all
            return Outcome(tenant, Result.FAILED, error=first_line(exc))
        if outcome.error == GONE and tenant.id not in get_registry():
            return Outcome(tenant, Result.SKIPPED, error="removed from tenants.yaml during the run")
        return outcome

    def _look_at_the_clock(self) -> Iterator[Outcome[Answer]]:
        """Nobody has answered just now: see whether what is out is still with anybody.

        A chunk that a living worker has begun is waited for, and so is one in the queue while a worker is at
        others. What a worker had begun that is gone, and what is with nobody though nobody is busy, was lost
        with a worker, and is sent again.
        """
        now = time.monotonic()
        patience = max(LEAST_PATIENCE, PATIENCE * self._longest)
        overdue = [chunk for chunk in self._out if now - chunk.looked > patience]
        if not overdue:
            return
        there = self._greeted()
        begun = {chunk for chunk in self._out if self._worker_of(chunk)}
        busy = {chunk for chunk in begun if self._worker_of(chunk) in there}
        now = time.monotonic()
        if busy:
            self._heard = now
        elif now - self._heard > (self.deadline if there else SILENCE):
            why = (
                f"no worker answered within {self.deadline:.0f} s" if there else "no worker is there any more"
            )
            yield from self._give_up([*self._out, *self._waiting], why)
            self._waiting.clear()
            return
        for chunk in overdue:
            chunk.looked = now
            if chunk in busy:
                chunk.since = chunk.since or now
                if now - chunk.since > self.deadline:
                    yield from self._give_up([chunk], f"a worker took more than {self.deadline:.0f} s")
            elif there and len(chunk.results) < TRIES and (chunk in begun or not (busy or self._waiting)):
                chunk.since = 0.0
                self._send(chunk)

    @staticmethod
    def _worker_of(chunk: Chunk) -> str:
        """Who said that it has begun with it, last."""
        for result in reversed(chunk.results):
            if result.state == states.STARTED and isinstance(result.info, dict):
                return str(result.info.get("hostname", ""))
        return ""

    def _give_up(self, chunks: Sequence[Chunk], error: str) -> Iterator[Outcome[Any]]:
        self._out = [chunk for chunk in self._out if chunk not in chunks]
        for chunk in chunks:
            _forget(chunk.results)
            yield from self._all(chunk, error)

    @staticmethod
    def _all(chunk: Chunk, error: str) -> Iterator[Outcome[Any]]:
        for tenant in chunk.tenants:
            yield Outcome(tenant, Result.FAILED, error=error)


def _forget(results: Sequence[Any]) -> None:
    """Nobody works on them any more, if that can be helped, and what was answered is deleted."""
    with contextlib.suppress(*BROKER_ERRORS):
        for result in results:
            if not result.ready():
                result.revoke()
            result.forget()
