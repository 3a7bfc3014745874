"""What becomes of the slots of schedules: caught up, skipped, tried again, taken over, each loaded once.

Time passes by moving what is remembered of it: a slot that lies three hours back is three hours that passed.
"""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from database import Database
from flow_binary import Flow, Running

PROJECT = """
[pipelines.hourly]
source = { query = "SELECT :slot_start AS begins, :slot_end AS ends, :scheduled_for AS at" }
target = "public.hourly"
mode = "append"
loaded_at_column = false
batch_id_column = false
every = "1h"
first_run = "now"
"""

SLOW = """
[pipelines.slow]
source = { query = "SELECT 1::bigint AS id FROM pg_sleep(3600)" }
target = "public.slow"
keys = "id"
mode = "merge"
every = "1h"
first_run = "now"
lease = "2s"
"""


def due(flow: Flow, *more: str, expect: int = 0) -> dict[str, Any]:
    return flow("run-due", "--output", "json", *more, expect=expect).json()


def back(database: Database, hours: int) -> None:
    """What is remembered lies so many hours further back."""
    database.execute(
        f"UPDATE ematix_flow.slots SET slot = slot - interval '{hours} h', due_at = due_at - interval '{hours} h',"
        f" covers_from = covers_from - interval '{hours} h'"
    )


def slots(database: Database) -> list[tuple[Any, ...]]:
    """How many hours ago, status, attempts, slots missed: the oldest first."""
    return database.rows(
        "SELECT (EXTRACT(epoch FROM date_trunc('hour', now(), 'UTC') - slot) / 3600)::int, status, attempt, missed"
        " FROM ematix_flow.slots ORDER BY slot"
    )


def loaded(database: Database) -> list[tuple[int, int]]:
    """Of each load, how many hours ago its slot was, and how many hours it stands for."""
    return database.rows(
        "SELECT (EXTRACT(epoch FROM date_trunc('hour', now(), 'UTC') - ends) / 3600)::int,"
        " (EXTRACT(epoch FROM ends - begins) / 3600)::int FROM public.hourly WHERE at = ends ORDER BY ends"
    )


def until(database: Database, query: str) -> None:
    deadline = time.monotonic() + 30
    while not database.value(query):
        assert time.monotonic() < deadline, query
        time.sleep(0.02)


def begun(flow: Flow, database: Database, *arguments: str) -> Running:
    """A run that has begun to read."""
    running = flow.start("run-due", "--output", "json", *arguments)
    until(
        database, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )
    return running


# --------------------------------------------------------------------------------------------------- caught up


def test_latest_is_one_run_for_all_that_was_missed(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    due(flow)
    back(database, 3)
    assert [run["status"] for run in due(flow)["runs"]] == ["success"]
    assert slots(database) == [(3, "success", 1, 0), (0, "success", 1, 2)]
    assert loaded(database) == [(0, 1), (0, 3)] or loaded(database) == [(0, 3), (0, 1)]


def test_all_is_a_run_for_each_slot_in_their_order(flow: Flow, database: Database) -> None:
    flow.project(PROJECT + 'catchup = "all"\n')
    due(flow)
    database.execute("TRUNCATE public.hourly")
    back(database, 3)
    assert [run["status"] for run in due(flow)["runs"]] == ["success"] * 3
    assert slots(database) == [(hours, "success", 1, 0) for hours in (3, 2, 1, 0)]
    assert loaded(database) == [(2, 1), (1, 1), (0, 1)]
    order = database.rows("SELECT slot FROM ematix_flow.run_history ORDER BY started_at DESC LIMIT 3")
    assert order == sorted(order, reverse=True)


def test_none_serves_no_slot_that_is_late_and_records_it(flow: Flow, database: Database) -> None:
    flow.project(PROJECT + 'catchup = "none"\nmisfire_grace = "1h"\n')
    due(flow)
    database.execute("TRUNCATE public.hourly")
    back(database, 3)
    answer = due(flow)
    assert len(answer["runs"]) == 1
    assert [skipped["code"] for skipped in answer["skipped"]] == ["missed"]
    assert slots(database) == [(3, "success", 1, 0), (1, "skipped", 0, 1), (0, "success", 1, 0)]
    assert loaded(database) == [(0, 1)]
    (row,) = database.rows("SELECT error_code, error FROM ematix_flow.run_history WHERE status = 'skipped'")
    assert row[0] == "missed"
    assert "2 slots of `hourly`" in row[1]


def test_a_pipeline_that_was_never_seen_is_due_where_crontab_would_have_fired_it(
    flow: Flow, database: Database
) -> None:
    flow.project(PROJECT.replace('every = "1h"\nfirst_run = "now"', 'schedule = "* * * * *"'))
    assert len(due(flow)["runs"]) == 1
    flow.project(
        PROJECT.replace('every = "1h"\nfirst_run = "now"', 'schedule = "0 0 1 1 *"').replace("hourly", "yearly")
    )
    answer = due(flow)
    assert (answer["runs"], answer["next"]["pipeline"]) == ([], "yearly")
    assert database.rows("SELECT status FROM ematix_flow.slots WHERE pipeline = 'yearly'") == [("seen",)]


def test_a_call_just_before_a_slot_waits_for_it(flow: Flow, database: Database) -> None:
    """Whatever calls at the full minute goes by another clock than the database."""
    flow.project(PROJECT.replace('every = "1h"', 'every = "5s"'))
    due(flow)
    until(database, "SELECT EXTRACT(epoch FROM clock_timestamp())::numeric % 5 > 4")
    assert len(due(flow)["runs"]) == 1
    until(database, "SELECT EXTRACT(epoch FROM clock_timestamp())::numeric % 5 BETWEEN 0.2 AND 1")
    began = time.monotonic()
    due(flow)
    assert time.monotonic() - began < 2, "nobody waits for one that is far"


def test_jitter_holds_a_slot_back(flow: Flow, database: Database) -> None:
    flow.project(PROJECT + 'jitter = "100d"\n')
    assert due(flow)["runs"] == []
    ((at, due_at),) = database.rows("SELECT slot, due_at FROM ematix_flow.slots")
    assert due_at > at
    database.execute("UPDATE ematix_flow.slots SET due_at = slot")
    assert len(due(flow)["runs"]) == 1


def test_slot_times_of_a_run_by_hand_are_those_of_the_last_slot(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    flow("run", "hourly")
    assert loaded(database) == [(0, 1)]
    flow.project(PROJECT.replace('every = "1h"\nfirst_run = "now"\n', ""))
    assert "missing_option" in flow("validate", expect=2).stderr


# --------------------------------------------------------------------------------------------------- overlapping


def test_a_slot_that_comes_during_a_run_is_skipped_and_says_who_holds_it(flow: Flow, database: Database) -> None:
    flow.project(SLOW)
    running = begun(flow, database)
    back(database, 2)
    answer = due(flow)
    assert answer["runs"] == []
    (skipped,) = answer["skipped"]
    (run_id,) = database.rows("SELECT run_id::text FROM ematix_flow.run_history WHERE status = 'running'")[0]
    assert skipped["code"] == "overlap"
    assert f"run {run_id[-8:]} of process {running.pid}" in skipped["message"]
    assert database.rows(
        "SELECT error_code, slot = %s FROM ematix_flow.run_history WHERE status = 'skipped'", (skipped["slot"],)
    ) == [("overlap", True)]
    assert due(flow)["skipped"] == [], "it is recorded once"


def test_a_slot_that_comes_during_a_run_may_wait(flow: Flow, database: Database) -> None:
    flow.project(SLOW + 'overlap = "queue"\n')
    running = begun(flow, database)
    back(database, 2)
    assert due(flow)["runs"] == []
    assert [row[1] for row in slots(database)] == ["running", "due"]
    running.kill()
    flow.project(SLOW.replace("FROM pg_sleep(3600)", "") + 'overlap = "queue"\n')
    until(database, "SELECT bool_and(lease_until < clock_timestamp()) FROM ematix_flow.slots WHERE status = 'running'")
    assert [run["status"] for run in due(flow)["runs"]] == ["success", "success"]
    assert [row[1:3] for row in slots(database)] == [("success", 2), ("success", 1)]


# --------------------------------------------------------------------------------------------------- tried again

UNREACHABLE = """
[connections.away]
dsn = "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1&sslmode=disable"
[connections.here]
dsn = "${env:DATABASE_URL}"
[pipelines.hourly]
source = { connection = "away", query = "SELECT 1 AS id" }
target_connection = "here"
target = "public.hourly"
mode = "append"
every = "1h"
first_run = "now"
retries = 1
"""


def test_a_failure_that_may_pass_is_tried_again_later_and_at_last_given_up(flow: Flow, database: Database) -> None:
    flow.project(UNREACHABLE.replace("${env:DATABASE_URL}", database.dsn))
    assert [run["status"] for run in due(flow, expect=6)["runs"]] == ["failed"]
    assert slots(database) == [(0, "due", 1, 0)]
    ((waits,),) = database.rows("SELECT EXTRACT(epoch FROM due_at - now()) FROM ematix_flow.slots")
    assert 25 < waits < 38
    assert due(flow)["runs"] == [], "it waits"
    database.execute("UPDATE ematix_flow.slots SET due_at = now()")
    due(flow, expect=6)
    assert slots(database) == [(0, "failed", 2, 0)]
    assert database.rows("SELECT attempt FROM ematix_flow.run_history ORDER BY started_at") == [(1,), (2,)]
    assert due(flow)["runs"] == []


def test_what_would_fail_again_is_not_tried_again_until_somebody_says_so(flow: Flow, database: Database) -> None:
    flow.project(PROJECT.replace("SELECT :slot_start", "SELECT 1/0 AS x, :slot_start"))
    due(flow, expect=1)
    assert slots(database) == [(0, "failed", 1, 0)]
    assert due(flow)["runs"] == []
    flow.project(PROJECT)
    assert due(flow)["runs"] == []
    assert [run["status"] for run in flow("retry", "hourly", "--output", "json").json()["runs"]] == ["success"]
    assert slots(database) == [(0, "success", 1, 0)]
    assert "no slot to retry" in flow("retry", "hourly").stderr
    assert len(loaded(database)) == 1


def test_the_next_slot_reads_the_time_of_one_that_failed(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    due(flow)
    back(database, 2)
    flow.project(PROJECT.replace("SELECT :slot_start", "SELECT 1/0 AS x, :slot_start"))
    due(flow, expect=1)
    back(database, 1)
    flow.project(PROJECT)
    due(flow)
    assert [row[:2] for row in slots(database)] == [(3, "success"), (1, "failed"), (0, "success")]
    assert (0, 3) in loaded(database)


def test_a_later_slot_stands_for_one_that_waits_to_be_tried_again(flow: Flow, database: Database) -> None:
    flow.project(UNREACHABLE.replace("${env:DATABASE_URL}", database.dsn))
    due(flow, expect=6)
    back(database, 2)
    database.execute("UPDATE ematix_flow.slots SET due_at = now() + interval '1 h'")
    due(flow, expect=6)
    assert slots(database) == [(2, "skipped", 1, 0), (0, "due", 1, 2)]
    ((covered,),) = database.rows(
        "SELECT EXTRACT(epoch FROM slot - covers_from) / 3600 FROM ematix_flow.slots WHERE status = 'due'"
    )
    assert covered == 3


def test_a_signal_leaves_the_slot_to_the_next_call(flow: Flow, database: Database) -> None:
    flow.project(SLOW)
    running = begun(flow, database)
    running.terminate()
    running.finish(expect=143)
    assert slots(database) == [(0, "due", 0, 0)]
    flow.project(SLOW.replace("FROM pg_sleep(3600)", ""))
    assert len(due(flow)["runs"]) == 1
    assert slots(database) == [(0, "success", 1, 0)]


# --------------------------------------------------------------------------------------------------- taken over


def test_a_slot_whose_process_was_killed_is_taken_over(flow: Flow, database: Database) -> None:
    flow.project(SLOW)
    running = begun(flow, database)
    assert due(flow)["runs"] == [], "it is alive"
    running.kill()
    until(database, "SELECT bool_and(lease_until < clock_timestamp()) FROM ematix_flow.slots")
    flow.project(SLOW.replace("FROM pg_sleep(3600)", ""))
    assert [run["status"] for run in due(flow)["runs"]] == ["success"]
    assert slots(database) == [(0, "success", 2, 0)]
    statuses = database.rows("SELECT status FROM ematix_flow.run_history ORDER BY started_at")
    assert statuses == [("lost",), ("success",)]


def test_attempts_that_all_died_are_given_up(flow: Flow, database: Database) -> None:
    flow.project(SLOW + "retries = 0\n")
    begun(flow, database).kill()
    until(database, "SELECT bool_and(lease_until < clock_timestamp()) FROM ematix_flow.slots")
    assert due(flow)["runs"] == []
    assert slots(database) == [(0, "failed", 1, 0)]


def test_a_paused_process_that_wakes_up_commits_nothing(flow: Flow, database: Database) -> None:
    """It is stopped while its transaction is open, replaced, and goes on: its sessions are gone, its fence is too late."""
    append = SLOW.replace('mode = "merge"', 'mode = "append"').replace('keys = "id"\n', "")
    flow.project(append.replace("3600", "1"))
    running = begun(flow, database)
    running.process.send_signal(signal.SIGSTOP)
    until(database, "SELECT bool_and(lease_until < clock_timestamp()) FROM ematix_flow.slots")
    flow.project(append.replace("FROM pg_sleep(3600)", ""))
    assert [run["status"] for run in due(flow)["runs"]] == ["success"]
    running.process.send_signal(signal.SIGCONT)
    stopped = running.finish(expect=1).json()["runs"][0]
    assert (stopped["status"], stopped["committed"]) == ("failed", False)
    assert stopped["error"]["code"] in ("lease_lost", "connection_lost")
    assert database.rows("SELECT count(*) FROM public.slow") == [(1,)]
    assert slots(database) == [(0, "success", 2, 0)]
    statuses = database.rows("SELECT status FROM ematix_flow.run_history ORDER BY started_at")
    assert statuses == [("lost",), ("success",)]


# --------------------------------------------------------------------------------------------------- wishes


def test_a_paused_pipeline_does_not_run_and_catches_up_when_it_is_resumed(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    due(flow)
    told = flow("pause", "hourly", "--reason", "the source moves", env={"USER": "ada"}).stderr
    assert "does not run until `flow resume hourly`" in told
    assert "was paused already" in flow("pause", "hourly").stderr
    back(database, 3)
    assert due(flow)["runs"] == []
    by_hand = flow("run", "hourly", "--output", "json").json()
    assert (by_hand["status"], by_hand["error"]["code"]) == ("skipped", "paused")
    assert by_hand["error"]["message"].startswith("`hourly` is paused since ")
    assert "by ada@" in by_hand["error"]["message"]
    assert by_hand["error"]["message"].endswith(": the source moves")
    assert "the source moves" in flow("run", "hourly").stderr
    (status,) = flow("status", "--output", "json").json()["pipelines"]
    assert (status["paused"]["reason"], status["missed_slot"]) == ("the source moves", None)
    assert "paused" in flow("status").stdout
    assert flow("dry-run", "hourly", "--output", "json").json()["status"] == "success"
    assert "runs again" in flow("resume", "hourly").stderr
    assert "was not paused" in flow("resume", "hourly").stderr
    assert len(due(flow)["runs"]) == 1
    assert slots(database)[-1] == (0, "success", 1, 2)


def test_a_pause_is_told_where_a_slot_waits(flow: Flow, database: Database) -> None:
    flow.project(PROJECT.replace("SELECT :slot_start", "SELECT 1/0 AS x, :slot_start"))
    due(flow, expect=1)
    database.execute("UPDATE ematix_flow.slots SET status = 'due', due_at = now()")
    flow("pause", "hourly")
    answer = due(flow)
    assert (answer["runs"], [skipped["code"] for skipped in answer["skipped"]]) == ([], ["paused"])


@pytest.mark.parametrize("by", ["name", "run"])
def test_cancel_ends_a_run_on_the_server_and_its_slot_is_not_tried_again(
    flow: Flow, database: Database, by: str
) -> None:
    flow.project(SLOW.replace('lease = "2s"', 'lease = "1h"'))
    running = begun(flow, database)
    (run_id,) = database.rows("SELECT run_id::text FROM ematix_flow.run_history")[0]
    word = "slow" if by == "name" else run_id[-8:]
    answer = flow("cancel", word, "--output", "json", env={"USER": "ada"}).json()
    assert answer["runs"] == [{"pipeline": "slow", "run_id": run_id, "status": "cancelled"}]
    ended = running.finish(expect=130).json()["runs"][0]
    assert ended["status"] == "cancelled"
    assert ended["error"]["message"].startswith("the run was cancelled by ada@")
    assert slots(database) == [(0, "failed", 1, 0)]
    assert "no run is under way" in flow("cancel", "slow").stderr
    assert "not under way" in flow("cancel", run_id[-8:], expect=2).stderr


def test_unlock_frees_what_a_process_holds_that_is_gone(flow: Flow, database: Database) -> None:
    flow.project(SLOW.replace('lease = "2s"', 'lease = "1h"'))
    running = begun(flow, database)
    running.process.send_signal(signal.SIGSTOP)
    flow("unlock", "slow")
    flow.project(SLOW.replace("FROM pg_sleep(3600)", "").replace('lease = "2s"', 'lease = "1h"\nlock_timeout = "5s"'))
    assert [run["status"] for run in due(flow)["runs"]] == ["success"]
    assert database.rows("SELECT status FROM ematix_flow.run_history ORDER BY started_at") == [("lost",), ("success",)]
    running.process.send_signal(signal.SIGCONT)
    running.finish(expect=1)
    assert slots(database) == [(0, "success", 2, 0)]
    assert "no run is under way" in flow("unlock", "slow").stderr


# --------------------------------------------------------------------------------------------------- after others

CHAIN = """
[pipelines.report]
source = { query = "SELECT :scheduled_for AS at, (SELECT count(*) FROM public.orders) AS orders" }
target = "public.report"
mode = "append"
every = "1h"
first_run = "now"
after = ["orders"]
MORE

[pipelines.orders]
source = { query = "SELECT WHAT AS one" }
target = "public.orders"
mode = "append"
every = "1h"
first_run = "now"
"""


def chain(what: str = "1", more: str = "") -> str:
    return CHAIN.replace("WHAT", what).replace("MORE", more)


def ran(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(run["pipeline"], run["status"]) for run in answer["runs"]]


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_pipeline_is_served_after_those_that_it_comes_after(flow: Flow, database: Database, jobs: str) -> None:
    flow.project(chain("1 FROM pg_sleep(0.3)"))
    assert ran(due(flow, "--jobs", jobs)) == [("orders", "success"), ("report", "success")]
    assert database.rows("SELECT orders FROM public.report") == [(1,)]


def test_what_comes_after_a_failure_is_recorded_as_such_and_retried_with_it(flow: Flow, database: Database) -> None:
    flow.project(chain("1/0"))
    answer = due(flow, expect=1)
    assert ran(answer) == [("orders", "failed")]
    assert [(each["pipeline"], each["code"]) for each in answer["skipped"]] == [("report", "upstream_failed")]
    rows = database.rows("SELECT pipeline_name, status, error_code FROM ematix_flow.run_history ORDER BY started_at")
    assert rows == [("orders", "failed", "source_failed"), ("report", "skipped", "upstream_failed")] or rows[1:] == [
        ("report", "skipped", "upstream_failed")
    ]
    flow.project(chain())
    assert ran(flow("retry", "orders", "report", "--output", "json").json()) == [
        ("orders", "success"),
        ("report", "success"),
    ]


def test_what_comes_after_something_that_is_open_waits(flow: Flow, database: Database) -> None:
    flow.project(chain())
    flow("pause", "orders")
    answer = due(flow)
    assert (ran(answer), answer["waiting"]) == ([], [{"pipeline": "report", "for": "orders"}])
    assert "waiting  report  for `orders`" in flow("run-due").stderr
    flow("resume", "orders")
    database.execute("DELETE FROM ematix_flow.slots WHERE pipeline = 'orders'")
    assert ran(due(flow)) == [("orders", "success"), ("report", "success")]


def test_freshness_lets_older_success_do(flow: Flow, database: Database) -> None:
    flow.project(chain(more='freshness = "1h"'))
    flow("run", "orders")
    flow("pause", "orders")
    assert ran(due(flow)) == [("report", "success")]


def test_a_pipeline_without_a_schedule_follows_those_before_it(flow: Flow, database: Database) -> None:
    text = chain().replace('every = "1h"\nfirst_run = "now"\nafter', "after").replace(":scheduled_for", "now()")
    flow.project(text)
    assert ran(due(flow)) == [("orders", "success"), ("report", "success")]
    assert ran(due(flow)) == []
    back(database, 2)
    assert ran(due(flow, "orders")) == [("orders", "success")]
    assert ran(due(flow)) == [("report", "success")], "its upstream has a later slot than its own"
    flow.project(text.replace("SELECT 1 AS", "SELECT 1/0 AS"))
    back(database, 1)
    answer = due(flow, expect=1)
    assert ran(answer) == [("orders", "failed")]
    assert [(each["pipeline"], each["code"]) for each in answer["skipped"]] == [("report", "upstream_failed")]
    assert due(flow)["skipped"] == [], "it is recorded once"


# --------------------------------------------------------------------------------------------------- older metadata

VERSION_2 = """
DROP TABLE ematix_flow.pauses;
ALTER TABLE ematix_flow.slots DROP COLUMN due_at, DROP COLUMN covers_from, DROP COLUMN missed, DROP COLUMN reason;
ALTER TABLE ematix_flow.run_history DROP COLUMN cancel_asked;
ALTER TABLE ematix_flow.run_history DROP COLUMN instant, DROP COLUMN watermark_column, DROP COLUMN read_from, DROP COLUMN rewound_to;
UPDATE ematix_flow.slots SET status = 'claimed', attempt = 0, epoch = 0;
DROP TABLE ematix_flow.feature_views, ematix_flow.loaded_files;
UPDATE ematix_flow.metadata SET version = 2;
"""


def test_metadata_of_version_2_are_read_as_they_are_and_migrated_by_the_next_look(
    flow: Flow, database: Database
) -> None:
    flow.project(PROJECT)
    due(flow)
    database.execute(VERSION_2)
    (status,) = flow("status", "--output", "json").json()["pipelines"]
    assert (status["last_run"]["status"], status["paused"]) == ("success", None)
    assert database.value("SELECT version FROM ematix_flow.metadata") == 2
    assert due(flow)["runs"] == []
    assert database.value("SELECT version FROM ematix_flow.metadata") == 5
    database.execute("UPDATE ematix_flow.slots SET slot = slot - interval '3 h'")
    assert len(due(flow)["runs"]) == 1
    assert loaded(database) in ([(0, 1), (0, 3)], [(0, 3), (0, 1)])


@pytest.mark.parametrize("command", ["pause", "run"])
def test_whatever_comes_first_migrates_metadata_of_version_2(flow: Flow, database: Database, command: str) -> None:
    flow.project(PROJECT)
    due(flow)
    database.execute(VERSION_2)
    flow(command, "hourly")
    assert database.value("SELECT version FROM ematix_flow.metadata") == 5


# --------------------------------------------------------------------------------------------------- found by attack

FOLLOWER = """
[pipelines.first]
source = { query = "SELECT 1 AS one" }
target = "public.first"
mode = "append"
every = "1h"
first_run = "now"

[pipelines.second]
source = { query = "QUERY" }
target = "public.second"
mode = "append"
after = ["first"]
lease = "2s"
"""


def test_a_follower_whose_process_died_is_taken_over(flow: Flow, database: Database) -> None:
    flow.project(FOLLOWER.replace("QUERY", "SELECT 1 AS x FROM pg_sleep(3600)"))
    begun(flow, database).kill()
    until(database, "SELECT bool_and(lease_until < clock_timestamp()) FROM ematix_flow.slots WHERE status = 'running'")
    flow.project(FOLLOWER.replace("QUERY", "SELECT 1 AS x"))
    assert ran(due(flow)) == [("second", "success")]
    assert database.rows("SELECT status, attempt FROM ematix_flow.slots WHERE pipeline = 'second'") == [("success", 2)]


def test_a_follower_that_failed_is_retried(flow: Flow, database: Database) -> None:
    flow.project(FOLLOWER.replace("QUERY", "SELECT 1/0 AS x"))
    assert ran(due(flow, expect=1)) == [("first", "success"), ("second", "failed")]
    flow.project(FOLLOWER.replace("QUERY", "SELECT 1 AS x"))
    assert ran(flow("retry", "second", "--output", "json").json()) == [("second", "success")]


def test_a_paused_follower_claims_nothing(flow: Flow, database: Database) -> None:
    flow.project(FOLLOWER.replace("QUERY", "SELECT 1 AS x"))
    flow("pause", "second")
    due(flow)
    assert database.rows("SELECT status, attempt FROM ematix_flow.slots WHERE pipeline = 'second'") == [("due", 0)]
    flow("resume", "second")
    assert ran(due(flow)) == [("second", "success")]


def test_every_slot_that_failed_is_retried_where_each_has_a_run_of_its_own(flow: Flow, database: Database) -> None:
    flow.project(PROJECT + 'catchup = "all"\n')
    due(flow)
    database.execute("TRUNCATE public.hourly")
    back(database, 3)
    broken = PROJECT.replace("SELECT :slot_start", "SELECT 1/0 AS x, :slot_start") + 'catchup = "all"\n'
    flow.project(broken)
    due(flow, expect=1)
    due(flow, expect=1)
    flow.project(PROJECT + 'catchup = "all"\n')
    due(flow)
    assert [row[1] for row in slots(database)] == ["success", "failed", "failed", "success"]
    assert len(flow("retry", "hourly", "--output", "json").json()["runs"]) == 2
    assert loaded(database) == [(2, 1), (1, 1), (0, 1)]


def test_a_run_is_found_however_many_slots_were_skipped_since(flow: Flow, database: Database) -> None:
    flow.project(SLOW.replace('lease = "2s"', 'lease = "1h"'))
    running = begun(flow, database)
    database.execute(
        "INSERT INTO ematix_flow.run_history (run_id, pipeline_name, started_at, status, target)"
        " SELECT gen_random_uuid(), 'slow', now(), 'skipped', 't' FROM generate_series(1, 50)"
    )
    assert [run["status"] for run in flow("cancel", "slow", "--output", "json").json()["runs"]] == ["cancelled"]
    running.finish(expect=130)


def test_what_comes_after_a_disabled_pipeline_says_so(flow: Flow, database: Database) -> None:
    text = chain().replace("[pipelines.orders]", "[pipelines.orders]\nenabled = false")
    flow.project(text)
    assert due(flow)["waiting"] == [{"pipeline": "report", "for": "orders, which is disabled"}]
