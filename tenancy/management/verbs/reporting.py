from __future__ import annotations

import argparse
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.forms import Field

from tenancy.fleet import Outcome, Result
from tenancy.management.verbs.recorded import recorded
from tenancy.management.verbs.verb import FleetVerb, count, pair
from tenancy.registry import get_registry
from tenancy.reports.answer import Answer, Question
from tenancy.reports.collected import collecting
from tenancy.reports.coverage import Coverage
from tenancy.reports.formats import BINARY, FORMATS, format_of, write
from tenancy.reports.job import Job, with_newcomers
from tenancy.reports.report import ParametersRefused, ReportNotFound, all_reports, get_report
from tenancy.selection import Selection
from tenancy.tenant import Tenant

#: Absent tenants that are named one by one on stderr; a file names them all.
SHOWN = 50


class Reporting(FleetVerb):
    """``manage.py report``."""

    name = "report"
    help = "Run a report."
    timeout = 300.0
    jobs = 8
    may_fail_fast = False
    names_help = "Ids, or wildcards like 'eu-*'. None named: every tenant."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", metavar="NAME", help="Which report; --list tells of them.")
        super().add_arguments(parser)
        parser.add_argument("--list", action="store_true", help="Tell which reports there are.")
        parser.add_argument(
            "--param",
            action="append",
            default=[],
            type=pair,
            metavar="NAME=VALUE",
            help="A parameter of the report; may be given several times.",
        )
        parser.add_argument(
            "--format",
            choices=tuple(FORMATS),
            help="Without, by the name of --output, or a table.",
        )
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="Written when all is there, and then at once."
        )
        parser.add_argument("--totals", action="store_true", help="Only what the tenants' rows merge to.")
        parser.add_argument(
            "--allow-partial", action="store_true", help="Exit 0 also when tenants could not be asked."
        )
        parser.add_argument(
            "--retries", type=whole, default=2, help="For what may go better a moment later (%(default)s)."
        )
        parser.add_argument(
            "--rows", type=count, default=100_000, help="Of each tenant (%(default)s); more are an error."
        )
        parser.add_argument(
            "--celery", action="store_true", help="On the workers of CELERY_BROKER_URL, not in this process."
        )
        parser.add_argument(
            "--chunk", type=count, default=25, help="Tenants in one message to a worker (%(default)s)."
        )
        parser.add_argument(
            "--primary", action="store_true", help="Ask the databases themselves, not their replicas."
        )

    def selection(self, options: dict[str, Any]) -> Selection:
        """Nobody named is everybody."""
        everybody = options["all"] or not (options["tenants"] or options["label"])
        return Selection(options["tenants"], everybody, dict(options["label"]), options["exclude"])

    def handle(self, **options: Any) -> None:
        if options["list"]:
            self._list()
            return
        if options.get("traceback"):
            logging.getLogger("tenancy.fleet").setLevel(logging.DEBUG)
        if not options["name"]:
            raise CommandError("Name a report; --list tells which there are.", returncode=2)
        question = self._question(options)
        # call_command() may give a text.
        output = Path(options["output"]) if options["output"] not in (None, "-", Path("-")) else None
        form = options["format"] or format_of(output)
        if form is None:
            raise CommandError(
                f"--output {output}: name a --format, or end it with .{', .'.join(FORMATS)}.", returncode=2
            )
        if form in BINARY and output is None:
            raise CommandError(f"--format {form} needs --output FILE.", returncode=2)
        tenants = self._tenants(options)
        with (
            written_at_once(output) as file,
            collecting(
                question.report,
                question.parameters,
                self._outcomes(question, tenants, options),
                get_registry().ids,
            ) as found,
        ):
            if file is None and found.coverage.answered == 0 and found.coverage.absent:
                # An empty table with a total of nothing would say less than this.
                self.stderr.write("Nobody answered.")
            with _told("stdout") if file is None else nullcontext():
                write(found, file or self.stdout, form, totals_only=options["totals"])
                if file is None:
                    self.stdout.flush()
        self._conclude_report(found.coverage, options["allow_partial"], options.get("traceback", False))

    def _question(self, options: dict[str, Any]) -> Question:
        try:
            report = get_report(options["name"])
            given = dict(options["param"])
            if len(given) < len(options["param"]):
                raise ParametersRefused("A parameter is given twice; keep one.")
            parameters = report.clean(given)
        except (ReportNotFound, ParametersRefused) as exc:
            raise CommandError(str(exc), returncode=2) from exc
        limit = options["timeout"] + 1  # the run breaks a statement off; the server, where nobody is left to
        return Question(report, parameters, limit, options["rows"], not options["primary"])

    def _tenants(self, options: dict[str, Any]) -> list[Tenant]:
        if not (options["tenants"] or options["label"] or len(get_registry())):
            get_registry().require()
            return []  # no tenants yet are no mistake
        active, left_out = self.select(options)
        return active + left_out

    def _outcomes(
        self, question: Question, tenants: list[Tenant], options: dict[str, Any]
    ) -> Iterator[Outcome[Answer]]:
        how = {name: options[name] for name in ("jobs", "timeout", "retries")}
        if options["celery"]:
            given = question.report.given(dict(options["param"]))
            outcomes = _distributed(question, given, tenants, size=options["chunk"], **how)
        else:
            outcomes = Job(question, tenants, **how).outcomes()
        found = with_newcomers(self.watched(outcomes, len(tenants)), self.selection(options))
        with recorded("report.run", question.report.name) as tell:
            for outcome in found:
                tell(outcome)
                yield outcome

    def _conclude_report(self, coverage: Coverage, allow_partial: bool, traceback: bool) -> None:
        if not coverage.absent:
            return
        self.stderr.write(coverage.summary)
        for outcome in coverage.absent[:SHOWN]:
            self.stderr.write(f"{outcome.result}: {outcome.tenant.id}: {outcome.error}")
        if len(coverage.absent) > SHOWN:
            self.stderr.write(f"and {len(coverage.absent) - SHOWN:,} more; --format json names them all.")
        if coverage.named(Result.UNREACHABLE):
            self.stderr.write("Why a database cannot be reached, `tenants check --connect ID` says.")
        if coverage.named(Result.BEHIND):
            self.stderr.write("`tenants migrate --all` brings up to date those that are behind.")
        if coverage.named(Result.FAILED) and not traceback:
            self.stderr.write("Where it failed, --traceback shows.")
        if not (coverage.is_well or allow_partial):
            sys.exit(1)

    def _list(self) -> None:
        for report in all_reports():
            self.stdout.write(report.name)
            self.stdout.write(f"  {report.description}")
            for column in report.columns:
                merge = "key" if column.key else str(column.merge or "of each tenant only")
                self.stdout.write(f"    {column.name:<12} {column.kind.__name__:<9} {merge}")
            for name, field in report.parameters.items():
                self.stdout.write(f"    --param {name}=…{_default(field)}")


def _distributed(
    question: Question, given: dict[str, str], tenants: list[Tenant], **how: Any
) -> Iterator[Outcome[Answer]]:
    if not getattr(settings, "CELERY_BROKER_URL", ""):
        raise CommandError("--celery needs CELERY_BROKER_URL, as in redis://127.0.0.1:6379/0.", returncode=2)
    # Late: Celery takes a fifth of a second to import, which no other command needs.
    from tenancy.reports.distributed import DistributedJob

    return DistributedJob(question, given, tenants, **how).outcomes()


def _default(field: Field) -> str:
    if field.initial is not None:
        return f" ({field.initial})"
    return " (required)" if field.required else ""


@contextmanager
def written_at_once(file: Path | None) -> Iterator[Any]:
    """A stream for what ``file`` is to hold; None for no file.

    It is beside it until the block is left without an error, and then takes its place, whole. Raises
    ``CommandError`` where it cannot be written, before the block if that can be known.
    """
    if file is None:
        yield None
        return
    file = file.resolve()  # through a link, which stays one
    if file.is_dir():
        raise CommandError(f"--output {file} is a folder.", returncode=2)
    if file.exists() and not file.is_file():  # a device or a pipe is written to, and not replaced
        with _told(f"--output {file}"), file.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    with _told(f"--output {file}"):
        number, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    beside = Path(name)
    try:
        with _told(f"--output {file}"):
            with os.fdopen(number, "w", encoding="utf-8", newline="") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                os.fchmod(stream.fileno(), _mode_for(file))
            beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader left, which ``manage.py`` takes care of
    except OSError as exc:
        raise CommandError(f"{what} cannot be written: {exc.strerror or exc}.") from exc


def _mode_for(file: Path) -> int:
    """Its own, or what any new file gets."""
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def whole(text: str) -> int:
    """For ``argparse``."""
    if not (text.isascii() and text.isdigit() and len(text) < 3):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 99")
    return int(text)
