"""A store with a long history, written by the database itself: SQL over a series of numbers, no row passes through Python.

``write_history(url, cases)`` fills a migrated, empty store. Rows lie as years of work would leave them: attempts, ledger
entries, calls, recordings and verdicts in the order of time, so the ten attempts of a case are far from each other.
Secondary indexes, triggers and foreign keys are set aside meanwhile (they are what makes writing slow) and put back.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import psycopg
from sqlalchemy.engine import make_url

NOW = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
ATTEMPTS_A_CASE = 10
CASES_A_PLACEMENT = 10_000
_NOW_SECONDS = int(NOW.timestamp())


class Writer(Protocol):
    """What differs between the two databases."""

    def run(self, statement: str) -> None: ...
    def series(self, first: int, last: int) -> str: ...
    def key(self, prefix: str, number: str) -> str: ...
    def digits(self, number: str, width: int) -> str: ...
    def instant(self, seconds: str) -> str: ...
    def day(self, seconds: str) -> str: ...
    def day_of(self, instant: str) -> str: ...
    def boolean(self, value: bool) -> str: ...
    @contextmanager
    def bare(self) -> Iterator[None]: ...


class SqliteWriter:
    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-400000"):
            self._connection.execute(f"PRAGMA {pragma}")

    def run(self, statement: str) -> None:
        self._connection.execute(statement)

    def series(self, first: int, last: int) -> str:
        return f"(WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s) s"

    def key(self, prefix: str, number: str) -> str:
        return f"printf('{prefix}_%026d', {number})"

    def digits(self, number: str, width: int) -> str:
        return f"printf('%0{width}d', {number})"

    def instant(self, seconds: str) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%S', {seconds}, 'unixepoch') || '.000000'"

    def day(self, seconds: str) -> str:
        return f"date({seconds}, 'unixepoch')"

    def day_of(self, instant: str) -> str:
        return f"date({instant})"

    def boolean(self, value: bool) -> str:
        return str(int(value))

    @contextmanager
    def bare(self) -> Iterator[None]:
        """Without secondary indexes and triggers; both come back as they were."""
        kept = self._connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type, name"
        ).fetchall()
        for kind, name, _ in kept:
            self.run(f'DROP {kind} "{name}"')
        self.run("BEGIN")
        yield
        self.run("COMMIT")
        for _, _, made in kept:
            self.run(made)
        self._connection.close()


class PostgresWriter:
    def __init__(self, url: Any) -> None:
        self._connection = psycopg.connect(
            url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
        )
        for setting in (
            "session_replication_role = replica",
            "synchronous_commit = off",
            "maintenance_work_mem = '512MB'",
        ):
            self._connection.execute(f"SET {setting}")

    def run(self, statement: str) -> None:
        self._connection.execute(statement.encode())

    def series(self, first: int, last: int) -> str:
        return f"generate_series({first}::bigint, {last}::bigint) AS s(n)"

    def key(self, prefix: str, number: str) -> str:
        return f"'{prefix}_' || lpad(({number})::text, 26, '0')"

    def digits(self, number: str, width: int) -> str:
        return f"lpad(({number})::text, {width}, '0')"

    def instant(self, seconds: str) -> str:
        return f"to_timestamp({seconds})"

    def day(self, seconds: str) -> str:
        return f"(to_timestamp({seconds}) AT TIME ZONE 'UTC')::date"

    def day_of(self, instant: str) -> str:
        return f"({instant} AT TIME ZONE 'UTC')::date"

    def boolean(self, value: bool) -> str:
        return str(value).lower()

    @contextmanager
    def bare(self) -> Iterator[None]:
        kept = self._connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT IN"
            " (SELECT conname FROM pg_constraint) ORDER BY indexname"
        ).fetchall()
        for name, _ in kept:
            self.run(f'DROP INDEX "{name}"')
        yield
        for _, made in kept:
            self.run(made)
        self.run("VACUUM ANALYZE")  # as autovacuum would have done long ago
        self._connection.close()


def writer_of(url: str) -> Writer:
    parsed = make_url(url)
    if parsed.drivername.startswith("sqlite"):
        assert parsed.database is not None
        return SqliteWriter(parsed.database)
    return PostgresWriter(parsed)


def write_history(url: str, cases: int, *, say: Callable[[str], None] = lambda _line: None) -> None:
    """``cases`` open cases of one large campaign, three numbers each, ten past attempts each over a year, with their calls."""
    its = writer_of(url)
    started = time.monotonic()
    with its.bare():
        for name, statement in _statements(its, cases):
            its.run(statement)
            say(f"{time.monotonic() - started:6.0f} s  {name}")
    say(f"{time.monotonic() - started:6.0f} s  indexes")


def _statements(its: Writer, cases: int) -> Iterator[tuple[str, str]]:
    n, last = "s.n", cases - 1
    one = its.series(0, last)
    key, at = its.key, its.instant
    now = at(str(_NOW_SECONDS))
    case, debtor, relative = key("case", n), key("per", n), key("per", f"{n} + {cases}")
    debt, contact, third = key("debt", n), key("con", n), key("con", f"{n} + {cases}")
    placement = key("plc", f"{n} / {CASES_A_PLACEMENT}")
    placements = its.series(0, last // CASES_A_PLACEMENT)
    line = [
        f"'+8610' || {its.digits(n, 9)}",
        f"'+8613' || {its.digits(n, 9)}",
        f"'+8615' || {its.digits(n, 9)}",
    ]
    yield (
        "placements",
        (
            f"INSERT INTO placements (id, name, client, received_at, source_sha256) SELECT {key('plc', n)}, 'placement ' || s.n,"
            f" 'bank', {now}, '{'0' * 64}' FROM {placements}"
        ),
    )
    yield (
        "campaigns",
        (
            "INSERT INTO campaigns (id, name, kind, mode, state, created_at, settings) VALUES"
            f" ('camp_old', 'old', 'sweep', 'progressive', 'running', {now}, '{{}}'),"
            f" ('camp_1', 'all', 'sweep', 'progressive', 'running', {now}, '{{}}')"
        ),
    )
    yield (
        "campaign placements",
        (
            f"INSERT INTO campaign_placements (campaign_id, placement_id) SELECT 'camp_1', {key('plc', n)} FROM {placements}"
        ),
    )
    for name, who in (("debtors", debtor), ("relatives", relative)):
        yield (
            name,
            (
                f"INSERT INTO persons (id, identity_key, name, created_at) SELECT {who}, NULL, '持卡人', {now} FROM {one}"
            ),
        )
    yield (
        "debts",
        (
            f"INSERT INTO debts (id, person_id, client, account_ref) SELECT {debt}, {debtor}, 'bank', 'A' || s.n FROM {one}"
        ),
    )
    yield (
        "cases",
        (
            "INSERT INTO cases (id, placement_id, client, client_ref, debtor_person_id, debt_id, balance_amount, balance_currency,"
            f" region, opened_at, state, last_touched_at) SELECT {case}, {placement}, 'bank', 'A' || s.n, {debtor}, {debt}, '100',"
            f" 'CNY', 'CN', {now}, 'open', {now} FROM {one}"
        ).replace("'100'", "'100'" if isinstance(its, SqliteWriter) else "100"),
    )
    for who, whose, relation in ((contact, debtor, "本人"), (third, relative, "妻子")):
        yield (
            "contacts",
            (
                f"INSERT INTO contacts (id, case_id, person_id, name, relation) SELECT {who}, {case}, {whose}, '持卡人', '{relation}'"
                f" FROM {one}"
            ),
        )
    for rank, channel in enumerate(("workplace", "mobile", "relative")):
        own = channel != "relative"
        yield (
            f"{channel} numbers",
            (
                "INSERT INTO numbers (id, case_id, contact_id, person_id, e164, raw, extension, channel, position, sop_rank, region,"
                f" state, added_at) SELECT {key('num', f'{n} * 3 + {rank}')}, {case}, {contact if own else third},"
                f" {debtor if own else relative}, {line[rank]}, 'raw', '', '{channel}', 0, {rank * 1000}, 'CN', 'live', {now}"
                f" FROM {one}"
            ),
        )
    yield (
        "sweep",
        (
            "INSERT INTO sweep_cases (campaign_id, case_id, state, due_at)"
            f" SELECT 'camp_1', {case}, 'ready', {at(f'{_NOW_SECONDS} - 1000 + s.n * 1000 / {cases}')} FROM {one}"
        ),
    )
    for back in (2, 1, 0):
        state, ended = ("live", "NULL") if back == 0 else ("replaced", at(str(_NOW_SECONDS - back * 86400)))
        late = f"CASE WHEN s.n % 50 = 0 THEN {_NOW_SECONDS - 3600} ELSE {_NOW_SECONDS + 172800} END - s.n % 1000"
        latest = at(late) if back == 0 else at(str(_NOW_SECONDS - back * 86400))
        yield (
            f"{state} actions",
            (
                "INSERT INTO next_actions (id, case_id, action, earliest, latest, owner, escalation, reason_en, reason_zh, number_id,"
                " state, set_at, ended_at, look_at, redial_of, redial_at)"
                f" SELECT {key('act', f'{n} + {(2 - back) * cases}')}, {case},"
                " CASE s.n % 10 WHEN 0 THEN 'call-debtor' WHEN 1 THEN 'redial' ELSE 'sweep' END,"
                f" {at(_opened(back))}, {latest},"
                " CASE WHEN s.n % 1000 = 0 THEN 'team-leader' WHEN s.n % 10 = 0 THEN 'collector' ELSE 'dialer' END, 'D+3',"
                f" 'Every permitted number is tried once', '对每个可拨号码首催一次', {key('num', f'{n} * 3')}, '{state}',"
                f" {now}, {ended}, {latest if back == 0 else 'NULL'},"
                f" CASE s.n % 10 WHEN 1 THEN {placement} END, CASE s.n % 10 WHEN 1 THEN {at(_opened(back))} END FROM {one}"
            ),
        )
    yield (
        "workflow states",
        (
            f"INSERT INTO workflow_states (case_id, state, at) SELECT {case}, {remembered(its, n, cases)}, {now} FROM {one}"
        ),
    )
    for back in range(ATTEMPTS_A_CASE - 1, -1, -1):
        yield from _calls_of(its, cases, back, line, case, debtor, debt)
    yield (
        "outcomes",
        (
            "INSERT INTO outcomes (id, case_id, call_id, number_id, code, at, agent_id, note)"
            f" SELECT {key('out', n)}, {case}, {key('call', f'{n} + {9 * cases}')}, {key('num', f'{n} * 3')}, 'NO_ANSWER', {now},"
            f" 'user_1', '' FROM {one}"
        ),
    )
    yield (
        "promises",
        (
            "INSERT INTO promises (id, case_id, debtor_person_id, outcome_id, amount, currency, given_at, due_on, state)"
            f" SELECT {key('prom', n)}, {case}, {debtor}, {key('out', n)}, {_amount(its, 50)}, 'CNY', {now},"
            f" {its.day(str(_NOW_SECONDS + 86400))}, CASE s.n % 200 WHEN 199 THEN 'live' ELSE 'kept' END"
            f" FROM {one} WHERE s.n % 20 = 19"
        ),
    )
    yield (
        "payments",
        (
            "INSERT INTO payments (id, case_id, debt_id, bank_ref, client, amount, currency, paid_on, loaded_at)"
            f" SELECT {key('pay', n)}, {case}, {debt}, 'P' || s.n, 'bank', {_amount(its, 50)}, 'CNY',"
            f" {its.day(str(_NOW_SECONDS - 86400))}, {now} FROM {one} WHERE s.n % 20 = 19"
        ),
    )
    yield (
        "events",
        (
            "INSERT INTO event_log (number, at, kind, case_id, subject_id, facts)"
            f' SELECT s.n + 1, {now}, \'attempt.moved\', {case}, {key("att", n)}, \'{{"old": "dialing", "new": "done"}}\' FROM {one}'
        ),
    )
    yield (
        "campaign days",
        (
            "INSERT INTO campaign_days (campaign_id, day, attempted, answered, abandoned)"
            f" SELECT a.campaign_id, {its.day_of('a.booked_at')}, count(*), count(a.answered_at), 0 FROM attempts a"
            f" GROUP BY a.campaign_id, {its.day_of('a.booked_at')}"
        ),
    )
    yield "event head", f"UPDATE event_head SET number = {cases}"


def _calls_of(
    its: Writer, cases: int, back: int, line: list[str], case: str, debtor: str, debt: str
) -> Iterator[tuple[str, str]]:
    """One attempt of every case, booked about ``4 + 36 * back`` days ago; every seventh was a conversation."""
    n, one = "s.n", its.series(0, cases - 1)
    key, yes, no = its.key, its.boolean(True), its.boolean(False)
    place = f"{n} + {(ATTEMPTS_A_CASE - 1 - back) * cases}"
    attempt, call, tape = key("att", place), key("call", place), key("rec", place)
    when = f"{_NOW_SECONDS} - {(4 + 36 * back) * 86400} - (s.n * 7919 + {back}) % 86400"
    at, end = its.instant(when), its.instant(f"{when} + 30")
    rank = back % 2
    talked = f"(s.n + {back}) % 7 = 0"
    category = f"CASE WHEN {talked} THEN 'answered' ELSE 'no-answer' END"
    number, person, channel = key("num", f"{n} * 3 + {rank}"), debtor, ("workplace", "mobile")[rank]
    answered = f"CASE WHEN {talked} THEN {its.instant(f'{when} + 9')} END"
    ended = f"CASE WHEN {talked} THEN {yes} ELSE {no} END"
    yield (
        f"attempts, {back} back",
        (
            "INSERT INTO attempts (id, case_id, number_id, campaign_id, person_id, debtor_person_id, debt_id, e164, node, purpose,"
            " position, booked_at, dialing_at, answered_at, ended_at, state, category)"
            f" SELECT {attempt}, {case}, {number}, 'camp_old', {person}, {debtor}, {debt}, {line[rank]}, 'n0', 'sweep', 1, {at}, {at},"
            f" {answered}, {end}, 'done', {category} FROM {one}"
        ),
    )
    yield (
        f"ledger, {back} back",
        (
            "INSERT INTO ledger (id, attempt_id, source, at, case_id, person_id, debtor_person_id, debt_id, e164, channel, in_flight,"
            " answered, conversation, abandoned, released, category)"
            f" SELECT {key('led', place)}, {attempt}, 'own', {at}, {case}, {person}, {debtor}, {debt}, {line[rank]}, '{channel}', {no},"
            f" {ended}, {ended}, {no}, {no}, {category} FROM {one}"
        ),
    )
    yield (
        f"recordings, {back} back",
        (
            "INSERT INTO recordings (id, call_id, case_id, state, tape_path, armed_at, sealed_at, path, seconds, sha256, gaps, vitals,"
            " manifest, legal_hold)"
            f" SELECT {tape}, {call}, {case}, 'sealed', 'tapes/' || {tape}, {at}, {end}, 'shelf/' || {tape}, 21.5, '{'5' * 64}', '[]',"
            f" '{{\"verdict\": \"good\"}}', '{{}}', {no} FROM {one}"
        ),
    )
    yield (
        f"calls, {back} back",
        (
            "INSERT INTO calls (id, attempt_id, case_id, recording_id, number_id, node, agent_id, trunk, state, placed_at, answered_at,"
            " ended_at, sip_status, cause, category, talk_seconds)"
            f" SELECT {call}, {attempt}, {case}, {tape}, {number}, 'n0', 'user_1', 't1', 'settled', {at}, {answered}, {end}, 200,"
            f" 'normal', {category}, 21.5 FROM {one}"
        ),
    )
    yield (
        f"verdicts, {back} back",
        (
            "INSERT INTO verdicts (id, attempt_id, case_id, number_id, campaign_id, at, allowed)"
            f" SELECT {key('ver', place)}, {attempt}, {case}, {number}, 'camp_old', {at}, {yes} FROM {one}"
        ),
    )


def _opened(back: int) -> str:
    """When the window of a case's action opened, in seconds."""
    return f"{_NOW_SECONDS} - {back * 2} * 86400 - 86400 - s.n % 1000"


def _amount(its: Writer, amount: int) -> str:
    return f"'{amount}'" if isinstance(its, SqliteWriter) else str(amount)


def remembered(its: Writer, number: str, cases: int) -> str:
    """What the workflow keeps of a case in the middle of its sweep, its ids put in by the database."""
    tracks = [
        {"id": f"<num{rank}>", "contact_id": f"<con{rank // 2}>", "channel": channel, "position": 0, "state": "live",
         "swept": True, "refused_by": None, "strikes": [], "silent": [["2026-05-28", "morning"], ["2026-04-22", "evening"]]}
        for rank, channel in enumerate(("workplace", "mobile", "relative"))
    ]  # fmt: skip
    at = NOW.isoformat()
    kept = {"case_id": "<case>", "zone": "Asia/Shanghai", "entrusted_at": at, "as_of": at, "balance": "100", "currency": "CNY",
            "numbers": tracks, "stage": "sweep", "pending": [], "settled": [], "orders": [], "payments": [], "notices": []}  # fmt: skip
    text = f"'{json.dumps(kept)}'"
    for place, value in (
        ("<case>", its.key("case", number)),
        *((f"<num{rank}>", its.key("num", f"({number}) * 3 + {rank}")) for rank in range(3)),
        ("<con0>", its.key("con", number)),
        ("<con1>", its.key("con", f"({number}) + {cases}")),
    ):
        text = f"replace({text}, '{place}', {value})"
    return text if isinstance(its, SqliteWriter) else f"({text})::jsonb"
