"""Retention: deletes old rows in steps. Unread or unjudged events, open writes and dead jobs stay whatever their age.

So do purchases, links and tombstones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wanesync.core.ids import least_id
from wanesync.core.jobs import JobKind
from wanesync.core.model import Side
from wanesync.core.operating.figures import HOUR_MS, MINUTE_MS
from wanesync.store.queries import Value
from wanesync.store.session import Table
from wanesync.store.tables.operating.api_answers import ANSWER_DAYS
from wanesync.store.tables.operating.samples import SHORT_MS

DAY_MS = 86_400_000
SHORT_SAMPLES_MS = HOUR_MS
"""How long samples of 10 s are kept (our choice): the small charts show five minutes of them."""
JOB_TRACE_DAYS = 1
"""How long it is known which trace a job belongs to (our choice): one that waits for longer is not traced."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How many days finished rows are kept.

    In order: the key of an event (and failed attempts of jobs), its payload, elements set aside, done jobs, pending
    writes with a result (and counted overwrites), closed conflicts, the journal (and bulk runs), log lines, figures by
    minute and by hour, alerts and their deliveries.
    """

    event_days: int = 35
    payload_days: int = 30
    rejected_days: int = 30
    done_job_days: int = 7
    own_write_days: int = 35
    conflict_days: int = 90
    journal_days: int = 400
    log_days: int = 14
    plan_days: int = 7
    minute_figure_days: int = 8
    hour_figure_days: int = 90
    alert_days: int = 90


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Rows of one kind that are older than ``before_ms``. ``name``: what operators call them.

    ``bound``: the query that returns the end of a step; ``drop``: the query that deletes or empties the rows of a step.
    ``by_id``: steps are ranges of ids, which grow with time; otherwise of times. ``after``: start of the first step.
    """

    name: str
    bound: str
    drop: str
    before_ms: int
    by_id: bool = False
    after: int | str = -1
    more: Mapping[str, Value] = field(default_factory=dict)


RetentionRules = list[RetentionRule]


class Retention(Table):
    """The tables that would grow without limit."""

    __slots__ = ()

    def rules(self, policy: RetentionPolicy) -> RetentionRules:
        """The rules of a policy, in the order in which they are applied."""
        events_ms = self._before(policy.event_days)
        events = [
            RetentionRule("events", "settled_events_bound", "drop_events", events_ms, more={"emptied": emptied})
            for emptied in (1, 0)
        ]
        payloads = RetentionRule(
            "event payloads",
            "settled_events_bound",
            "empty_events",
            self._before(policy.payload_days),
            after=events_ms - 1,
            more={"emptied": 0, "nothing": b""},
        )
        return [
            *events,
            payloads,
            *self._done_jobs(policy),
            *self._counts(policy),
            self._by_id("own writes", "pending_writes_bound", "drop_pending_writes", policy.own_write_days),
            self._by_id("closed conflicts", "conflicts_bound", "drop_conflicts", policy.conflict_days),
            RetentionRule("journal", "journal_bound", "drop_journal", self._before(policy.journal_days)),
            self._by_id("reconcile plans", "reconcile_items_bound", "drop_reconcile_items", policy.plan_days),
            self._by_id("reconcile runs", "reconcile_runs_bound", "drop_reconcile_runs", policy.journal_days),
            RetentionRule("log lines", "log_lines_bound", "drop_log_lines", self._before(policy.log_days)),
            RetentionRule("API answers", "api_answers_bound", "drop_api_answers", self._before(ANSWER_DAYS)),
            RetentionRule("failed attempts", "job_attempts_bound", "drop_job_attempts", events_ms),
            RetentionRule("jobs of bulk runs", "bulk_run_jobs_bound", "drop_bulk_run_jobs", events_ms),
            RetentionRule("bulk runs", "bulk_runs_bound", "drop_bulk_runs", self._before(policy.journal_days)),
            RetentionRule("traces of jobs", "job_traces_bound", "drop_job_traces", self._before(JOB_TRACE_DAYS)),
            self._figures("figures by minute", MINUTE_MS, policy.minute_figure_days),
            self._figures("figures by hour", HOUR_MS, policy.hour_figure_days),
            *self._samples(policy),
            *self._alerts(policy),
        ]

    def _done_jobs(self, policy: RetentionPolicy) -> RetentionRules:
        before_ms = self._before(policy.done_job_days)
        return [
            RetentionRule(
                "done jobs", "done_jobs_bound", "drop_done_jobs", before_ms, more={"lane": lane, "kind": kind}
            )
            for lane in Side
            for kind in JobKind
        ]

    def _counts(self, policy: RetentionPolicy) -> RetentionRules:
        own_ms, rejected_ms = self._before(policy.own_write_days), self._before(policy.rejected_days)
        return [
            RetentionRule("counted overwrites", "overwrites_bound", "drop_overwrites", own_ms),
            RetentionRule("counted sources", "overwrite_sources_bound", "drop_overwrite_sources", own_ms),
            RetentionRule("webhook counts", "webhook_counts_bound", "drop_webhook_counts", rejected_ms),
            RetentionRule("counts of crowds", "source_counts_bound", "drop_source_counts", self._before(1)),
            RetentionRule("webhooks set aside", "rejected_bound", "drop_rejected", rejected_ms),
        ]

    def _alerts(self, policy: RetentionPolicy) -> RetentionRules:
        before_ms = self._before(policy.alert_days)
        return [
            RetentionRule("alerts", "alert_history_bound", "drop_alert_history", before_ms),
            RetentionRule("notices", "alert_deliveries_bound", "drop_alert_deliveries", before_ms),
            RetentionRule("silences", "alert_silences_bound", "drop_alert_silences", before_ms),
        ]

    def apply(self, rule: RetentionRule, after: int | str, rows: int) -> tuple[int, int | str | None]:
        """Applies one step of about ``rows`` rows above ``after``: (rows affected, its end; None: no more rows).

        Rows of one time stay together, so a step can be longer by the rows of one transaction.
        """
        before: int | str = least_id(rule.before_ms) if rule.by_id else rule.before_ms
        values: dict[str, Value] = {**rule.more, "after": after, "before": before, "before_ms": rule.before_ms}
        bound = self._session.row(rule.bound, skip=rows - 1, **values)
        end: int | str | None = bound[0] if bound else None
        # Without a bound, less than a step is left: up to the end.
        last: int | str = before if isinstance(before, str) else before - 1
        affected = self._session.rows(rule.drop, upto=last if end is None else end, **values)
        return len(affected), end

    def _before(self, days: int) -> int:
        return self._session.now_ms - days * DAY_MS

    def _figures(self, name: str, span_ms: int, days: int) -> RetentionRule:
        return RetentionRule(name, "figures_bound", "drop_figures", self._before(days), more={"span_ms": span_ms})

    def _samples(self, policy: RetentionPolicy) -> RetentionRules:
        before_ms = {
            SHORT_MS: self._session.now_ms - SHORT_SAMPLES_MS,
            MINUTE_MS: self._before(policy.minute_figure_days),
            HOUR_MS: self._before(policy.hour_figure_days),
        }
        return [
            RetentionRule("samples of queues", "samples_bound", "drop_samples", before, more={"span_ms": span_ms})
            for span_ms, before in before_ms.items()
        ]

    def _by_id(self, name: str, bound: str, drop: str, days: int) -> RetentionRule:
        return RetentionRule(name, bound, drop, self._before(days), by_id=True, after="")
