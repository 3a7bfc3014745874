//! What becomes of slots that have passed.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn hourly() -> Schedule {
    Schedule::cron("0 * * * *", "UTC", FirstRun::Slot).expect("a schedule")
}

fn policy(catchup: Catchup) -> Policy {
    Policy { catchup, ..Policy::PLAIN }
}

fn remembered(last: &str) -> Remembered {
    Remembered { last: Some(at(last)), served: Some(at(last)), ..Remembered::default() }
}

/// Slot, where its time begins, slots missed, and what becomes of it, each entry in short.
fn entries(policy: &Policy, remembered: &Remembered, now: &str) -> Vec<(String, String, i64, String)> {
    let short = |instant: Option<Timestamp>| {
        instant.map_or("-".to_owned(), |instant| format!("{instant:.0}")[8..16].to_owned())
    };
    let fate = |fate: Fate| match fate {
        Fate::Due => "due".to_owned(),
        Fate::DueForAll => "due for all".to_owned(),
        Fate::Skipped(error) => format!("skipped: {}", error.code),
        Fate::Seen => "seen".to_owned(),
    };
    let entries = hourly().entries("p", policy, remembered, at(now)).into_iter();
    entries
        .map(|entry| (short(Some(entry.slot)), short(entry.from), entry.missed, fate(entry.fate)))
        .collect()
}

fn entry(slot: &str, from: &str, missed: i64, fate: &str) -> (String, String, i64, String) {
    (slot.to_owned(), from.to_owned(), missed, fate.to_owned())
}

#[test]
fn latest_serves_every_missed_slot_by_one_run() {
    let latest = policy(Catchup::Latest);
    let last = remembered("2026-01-01T10:00:00Z");
    assert_eq!(entries(&latest, &last, "2026-01-01T10:59:59.9Z"), []);
    assert_eq!(
        entries(&latest, &last, "2026-01-01T11:00:00Z"),
        [entry("01T11:00", "01T10:00", 0, "due for all")]
    );
    assert_eq!(
        entries(&latest, &last, "2026-01-03T12:30:00Z"),
        [entry("03T12:00", "01T10:00", 49, "due for all")]
    );
    assert_eq!(entries(&latest, &last, "2025-12-31T12:30:00Z"), [], "a clock that stepped back");
}

#[test]
fn all_gives_each_slot_a_run_of_its_own() {
    let all = policy(Catchup::All);
    let found = entries(&all, &remembered("2026-01-01T10:00:00Z"), "2026-01-01T12:30:00Z");
    assert_eq!(found, [entry("01T11:00", "01T10:00", 0, "due"), entry("01T12:00", "01T11:00", 0, "due")]);
    let found = entries(&all, &remembered("2025-01-01T10:00:00Z"), "2026-01-01T12:30:00Z");
    assert_eq!((found.len(), found[99].0.as_str()), (100, "05T14:00"), "the rest comes with the next look");
}

#[test]
fn none_serves_what_is_not_late_and_records_the_rest() {
    let none = Policy { grace: Duration::from_secs(600), ..policy(Catchup::None) };
    let last = remembered("2026-01-01T10:00:00Z");
    let late = "skipped: missed";
    let found = entries(&none, &last, "2026-01-01T13:10:00Z");
    assert_eq!(found, [entry("01T12:00", "01T11:00", 1, late), entry("01T13:00", "01T12:00", 0, "due")]);
    let found = entries(&none, &last, "2026-01-01T13:10:01Z");
    assert_eq!(found, [entry("01T13:00", "01T12:00", 2, late)]);
}

#[test]
fn a_slot_that_comes_while_the_pipeline_runs_is_skipped_or_waits() {
    let since = at("2026-01-01T10:00:05Z");
    let holder =
        Holder { run_id: "0000-12345678".to_owned(), process: "host db1, process 7".to_owned(), since };
    let last = Remembered { running: Some(holder.clone()), ..remembered("2026-01-01T10:00:00Z") };
    let now = "2026-01-01T12:00:00Z";
    let over = "skipped: overlap";
    assert_eq!(entries(&policy(Catchup::Latest), &last, now), [entry("01T12:00", "01T10:00", 1, over)]);
    let found = entries(&policy(Catchup::All), &last, now);
    assert_eq!(found, [entry("01T11:00", "01T10:00", 0, over), entry("01T12:00", "01T10:00", 0, over)]);
    let queue = Policy { overlap: Overlap::Queue, ..policy(Catchup::Latest) };
    assert_eq!(entries(&queue, &last, now), [entry("01T12:00", "01T10:00", 1, "due for all")]);
    let words = "`p` was running still: run 12345678 of host db1, process 7 since 2026-01-01T10:00:05Z";
    assert_eq!(overlaps("p", &holder).message, words);
    // Nothing of the time is lost: the next one begins where the last that was served ended.
    let after = Remembered { last: Some(at(now)), ..remembered("2026-01-01T10:00:00Z") };
    let found = entries(&policy(Catchup::Latest), &after, "2026-01-01T13:00:00Z");
    assert_eq!(found, [entry("01T13:00", "01T10:00", 0, "due for all")]);
}

#[test]
fn what_was_never_seen_is_due_as_crontab_would_have_fired_it() {
    let new = Remembered::default();
    let latest = policy(Catchup::Latest);
    assert_eq!(entries(&latest, &new, "2026-01-01T12:00:59Z"), [entry("01T12:00", "01T11:00", 0, "due")]);
    assert_eq!(entries(&latest, &new, "2026-01-01T12:01:00Z"), [entry("01T12:00", "01T11:00", 0, "seen")]);
    let now = Schedule { first_run: FirstRun::Now, ..hourly() };
    let found = now.entries("p", &latest, &new, at("2026-01-01T12:30:00Z"));
    assert_eq!(found.iter().map(|entry| &entry.fate).collect::<Vec<_>>(), [&Fate::Due]);
}

#[test]
fn jitter_is_the_same_for_a_name_and_spread_over_names() {
    let jitter = Policy { jitter: Duration::from_secs(100), ..policy(Catchup::Latest) };
    let delay = |name: &str| {
        let found =
            hourly().entries(name, &jitter, &remembered("2026-01-01T10:00:00Z"), at("2026-01-01T11:00:00Z"));
        (found[0].due_at - found[0].slot).get_seconds()
    };
    let delays: Vec<i64> = (0..200).map(|n| delay(&format!("p{n}"))).collect();
    assert_eq!(delays, (0..200).map(|n| delay(&format!("p{n}"))).collect::<Vec<_>>());
    assert!(delays.iter().all(|delay| (0..100).contains(delay)));
    let early = delays.iter().filter(|delay| **delay < 50).count();
    assert!((60..140).contains(&early), "{early} of 200 in the first half");
}

#[test]
fn each_attempt_waits_twice_as_long_as_the_one_before() {
    let policy = Policy { retries: 20, ..Policy::PLAIN };
    let seconds = |attempt| policy.wait_after(attempt, "run").map(|wait| wait.as_secs());
    for (attempt, least) in [(1, 30), (2, 60), (3, 120), (8, 3600), (20, 3600)] {
        let waits = seconds(attempt).expect("there is another attempt");
        assert!((least..=least + least / 4).contains(&waits), "{attempt}: {waits}");
    }
    assert_eq!(seconds(21), None);
    assert_eq!(Policy { retries: 0, ..Policy::PLAIN }.wait_after(1, "run"), None);
}
