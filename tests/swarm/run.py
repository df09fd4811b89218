"""From a stage to a verdict: servers, clients, and the audit when they are gone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.swarm import report
from tests.swarm.audit import audit_databases, audit_log
from tests.swarm.clients import Client, Common
from tests.swarm.report import Figures, Report
from tests.swarm.servers import Server, ServerFailed, serve
from tests.swarm.stage import Activity, Session, Stage
from tests.swarm.wire import Call, Wire

#: The share of requests whose client leaves before it has the answer.
LEAVES = {"wsgi": 0.05, "asgi": 0.21}
#: Of a thousand answers, as many may say "not now".
_BUSY_PER_THOUSAND = 1
#: Requests per second below which something is stuck.
_SLOWEST = 20

#: Told about twice a second: the report so far, and of how many requests.
Progress = Callable[[Report, int], None]


@dataclass(frozen=True)
class Plan:
    """``requests`` to each server, by as many ``clients`` each."""

    servers: tuple[str, ...]
    requests: int
    clients: int
    seed: int
    #: A hole to make in the server (see ``leaky``).
    leak: str = ""


def run(plans: Iterable[Plan], progress: Progress) -> list[Report]:
    """One stage for all plans, newly seeded for each, and what came of it.

    The servers of a plan run at the same time, on the same databases.
    """
    start = time.monotonic()
    stage = Stage()
    staged = time.monotonic() - start
    reports = []
    for plan in plans:
        result = Report(" and ".join(plan.servers) + (plan.leak and f", leaking by {plan.leak}"))
        result.facts["seconds to set up"] = round(staged, 1)
        reports.append(result)
        _swarm(stage, plan, result, progress)
    return reports


def _swarm(stage: Stage, plan: Plan, result: Report, progress: Progress) -> None:
    stage.seed()
    with stage.watch() as look:
        clients, logs = _play(stage, look, plan, result, progress)
        # A transaction that lost its client may be at its commit, even when its server is gone.
        if not _comes_true(lambda: look().connections == 0):
            result.problem(report.OPEN, f"The servers are gone, and {look()} not")
    audit_databases(stage, clients, result)
    for log in logs:
        audit_log(log, result)
    for figures in result.servers.values():
        if 1000 * figures.busy > _BUSY_PER_THOUSAND * figures.requests:
            result.problem(report.STATUS, f"{figures.busy} answers of {figures.server} were 503")


def _play(
    stage: Stage, look: Callable[[], Activity], plan: Plan, result: Report, progress: Progress
) -> tuple[list[Client], list[Path]]:
    """Start the servers, let the clients loose on them, and stop everything. The logs are the servers'."""
    clients: list[Client] = []
    most = 0

    def tell() -> None:
        nonlocal most
        most = max(most, look().connections)
        progress(result, plan.requests * len(plan.servers))

    logs = []
    start = time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            groups = []
            for kind in plan.servers:
                application = f"tests.swarm.leaky:{kind}" if plan.leak else ""
                environment = stage.environment | {"SWARM_LEAK": plan.leak}
                server = stack.enter_context(serve(kind, stage.folder, environment, application=application))
                logs.append(server.log)
                people = stage.sessions()
                figures = result.servers[kind] = Figures(kind)
                common = Common(server.port, plan.requests, result, figures, LEAVES[kind])
                common.has_export = _has_export(server, people[0][0])
                numbers = range(len(clients), len(clients) + plan.clients)
                clients += [
                    Client(number, people[index % len(people)], common, plan.seed)
                    for index, number in enumerate(numbers)
                ]
                groups.append(common)
            _let_loose(clients, groups, tell)
            # Of those who left in the middle of an export, too.
            if not _comes_true(lambda: look().transactions == 0):
                result.problem(report.OPEN, f"All clients are gone, and {look()} not")
    except ServerFailed as exc:
        result.problem(report.BROKEN, str(exc))
    result.facts["seconds"] = round(time.monotonic() - start, 1)
    result.facts["most connections"] = most
    return clients, logs


def _comes_true(question: Callable[[], bool]) -> bool:
    """Whether it does, within ten seconds: the longest that a statement may take."""
    for _ in range(100):
        if question():
            return True
        time.sleep(0.1)  # nothing to wait on: the database server tells nobody
    return False


def _has_export(server: Server, session: Session) -> bool:
    wire = Wire(server.port)
    call = Call("GET", "/api/products/export/", headers={"Authorization": f"Bearer {session.access}"})
    try:
        return wire.ask(call).status != 404
    finally:
        wire.close()


def _let_loose(clients: list[Client], groups: list[Common], progress: Callable[[], None]) -> None:
    """Until all requests are made. Clients end with this function, whatever ends it."""
    deadline = time.monotonic() + 60 + sum(common.total for common in groups) / _SLOWEST
    try:
        for client in clients:
            client.start()
        while any(client.is_alive() for client in clients):
            _join(clients, 0.5)
            progress()
            if time.monotonic() > deadline:
                groups[0].report.problem(report.BROKEN, "Not done in time")
                return
    finally:
        for common in groups:
            common.stop.set()
        _join(clients, 60)


def _join(threads: Iterable[threading.Thread], seconds: float) -> None:
    end = time.monotonic() + seconds
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, end - time.monotonic()))
