//! Crontab lines and intervals: which slots they have, also on days of 23 and 25 hours.

use ematix_flow_core::declare::options::FirstRun;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::ErrorCode;
use ematix_flow_core::schedule::Schedule;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::time::Instant;

const PARIS: &str = "Europe/Paris";
const NEW_YORK: &str = "America/New_York";

fn cron(line: &str, timezone: &str) -> Schedule {
    Schedule::cron(line, timezone, FirstRun::Slot).unwrap_or_else(|error| panic!("{line}: {error:?}"))
}

fn every(length: &str, timezone: &str) -> Schedule {
    let length = Duration::parse(length).expect("a duration");
    Schedule::every(&length, timezone, FirstRun::Slot).expect("an interval")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// The local times, with their offsets, of the slots after one instant and up to another.
fn slots(schedule: &Schedule, from: &str, until: &str) -> Vec<String> {
    let zone = TimeZone::get(schedule.timezone()).expect("a time zone");
    let mut out = Vec::new();
    let mut now = at(from);
    while let Some(next) = schedule.next_after(now).filter(|next| *next <= at(until)) {
        assert!(next > now, "time goes on: {next} after {now}");
        out.push(next.to_zoned(zone.clone()).strftime("%m-%d %H:%M%:z").to_string());
        now = next;
    }
    // Backwards they are the same.
    let mut back = Vec::new();
    let mut now = at(until);
    while let Some(last) = schedule.last_until(now).filter(|last| *last > at(from)) {
        back.push(last.to_zoned(zone.clone()).strftime("%m-%d %H:%M%:z").to_string());
        now = Timestamp::from_nanosecond(last.as_nanosecond() - 1).expect("in range");
    }
    back.reverse();
    assert_eq!(out, back, "forwards and backwards");
    out
}

/// The days of 2026 on which a line fires at midnight UTC, as month and day.
fn days(line: &str, from: &str, until: &str) -> Vec<String> {
    let slots = slots(&cron(&format!("0 0 {line}"), "UTC"), from, until);
    slots.into_iter().map(|slot| slot[..5].to_owned()).collect()
}

const JANUARY: (&str, &str) = ("2025-12-31T23:59:59Z", "2026-01-31T23:59:59Z");

#[test]
fn sunday_is_0_and_7_and_a_name() {
    let sundays = ["01-04", "01-11", "01-18", "01-25"];
    for line in ["* * 0", "* * 7", "* * sun", "* * SUN", "* * Sun"] {
        assert_eq!(days(line, JANUARY.0, JANUARY.1), sundays, "{line}");
    }
    assert_eq!(days("* * 5-7", JANUARY.0, "2026-01-05T00:00:00Z"), ["01-02", "01-03", "01-04"]);
    assert_eq!(days("* * 0-1", JANUARY.0, "2026-01-06T00:00:00Z"), ["01-04", "01-05"]);
    assert_eq!(days("* * mon-fri", JANUARY.0, "2026-01-06T00:00:00Z"), ["01-01", "01-02", "01-05", "01-06"]);
    assert_eq!(days("* * 0-7", JANUARY.0, "2026-01-08T00:00:00Z").len(), 8);
    assert_eq!(days("* * 1-7/3", JANUARY.0, "2026-01-08T00:00:00Z"), ["01-01", "01-04", "01-05", "01-08"]);
}

#[test]
fn day_of_month_and_day_of_week_are_joined_by_or_when_both_are_restricted() {
    assert_eq!(days("13 * 5", JANUARY.0, "2026-01-16T12:00:00Z"), ["01-02", "01-09", "01-13", "01-16"]);
    assert_eq!(days("13 * *", JANUARY.0, JANUARY.1), ["01-13"]);
    assert_eq!(days("* * 5", JANUARY.0, "2026-01-16T12:00:00Z"), ["01-02", "01-09", "01-16"]);
    // "restricted (i.e., do not contain the * character)", crontab(5): then both must match.
    assert_eq!(days("*/2 * 5", JANUARY.0, JANUARY.1), ["01-09", "01-23"]);
    assert_eq!(days("1-15 * */7", JANUARY.0, JANUARY.1), ["01-04", "01-11"]);
    // What cron looks at is the first sign.
    assert_eq!(days("1,* * 5", JANUARY.0, JANUARY.1).len(), 31);
    assert_eq!(days("*,1 * 5", JANUARY.0, JANUARY.1).len(), 5);
}

#[test]
fn months_have_numbers_and_names_and_steps_count_within_their_range() {
    let year = ("2025-12-31T23:59:59Z", "2026-12-31T23:59:59Z");
    let months = |line: &str| days(line, year.0, year.1);
    assert_eq!(months("1 3,JUN *"), ["03-01", "06-01"]);
    assert_eq!(months("1 jan-mar *"), ["01-01", "02-01", "03-01"]);
    assert_eq!(months("1 */5 *"), ["01-01", "06-01", "11-01"]);
    assert_eq!(months("1 2-12/5 *"), ["02-01", "07-01", "12-01"]);
    let minutes = slots(&cron("10-40/15,55 3 1 1 *", "UTC"), year.0, year.1);
    assert_eq!(minutes, ["01-01 03:10+00:00", "01-01 03:25+00:00", "01-01 03:40+00:00", "01-01 03:55+00:00"]);
    assert_eq!(months("31 * *").len(), 7);
    assert_eq!(days("29 2 *", "2026-01-01T00:00:00Z", "2033-01-01T00:00:00Z"), ["02-29", "02-29"]);
}

#[test]
fn words_stand_for_lines() {
    for (word, line) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        (" @annually ", "0 0 1 1 *"),
    ] {
        let (from, until) = ("2026-03-01T00:00:01Z", "2027-03-01T00:00:00Z");
        let meant = slots(&cron(line, PARIS), from, until);
        assert!(!meant.is_empty());
        assert_eq!(slots(&cron(word, PARIS), from, until), meant, "{word}");
    }
    let reboot = Schedule::cron("@reboot", "UTC", FirstRun::Slot).expect_err("no point in time");
    assert_eq!(reboot.message, "`@reboot` is not a cron line: a start of the machine is no point in time");
}

#[test]
fn what_crontab_does_not_know_is_refused() {
    for line in [
        "",
        "*",
        "* * * *",
        "* * * * * *",
        "0 0 * * * 2026",
        "@reboot",
        "@fortnightly",
        "@",
        "@daily @daily",
        "@daily 0 0 * * *",
        "@Daily",
        "0 0 L * *",
        "0 0 l * *",
        "0 0 15W * *",
        "0 0 LW * *",
        "0 0 * * 5L",
        "0 0 * * FRIL",
        "0 0 * * 5#2",
        "0 0 * * MON#1",
        "0 0 ? * *",
        "0 0 * * ?",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "-1 * * * *",
        "*/0 * * * *",
        "5-1 * * * *",
        "1- * * * *",
        "-5 * * * *",
        "1,,2 * * * *",
        ",1 * * * *",
        "1, * * * *",
        "* * * foo *",
        "mon * * * *",
        "* * * mon *",
        "* * * * jan",
        "1.5 * * * *",
        "5/10 * * * *",
        "*5 * * * *",
        "** * * * *",
        "*/ * * * *",
        "*-5 * * * *",
        "1-5-7 * * * *",
        "*/5/5 * * * *",
        "0x1 * * * *",
        "+1 * * * *",
        "* * * * 1+",
        "* * * * monday",
        "* * * january *",
        "~ * * * *",
        "H * * * *",
        "0 0 * * fri-mon",
        "99999999999999999999 * * * *",
        "１ * * * *",
    ] {
        let error = Schedule::cron(line, "UTC", FirstRun::Slot).expect_err(line);
        assert_eq!(error.code, ErrorCode::InvalidSchedule, "{line}");
        assert!(error.hint.is_some(), "{line}");
    }
    for zone in ["Europe/Pariss", "", "Mars"] {
        let error = Schedule::cron("* * * * *", zone, FirstRun::Slot).expect_err(zone);
        assert_eq!(error.code, ErrorCode::InvalidSchedule, "{zone}");
    }
}

#[test]
fn a_line_that_never_fires_is_refused_at_once() {
    for line in ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * 30-31 feb *"] {
        let begun = Instant::now();
        let error = Schedule::cron(line, PARIS, FirstRun::Slot).expect_err(line);
        assert!(error.message.contains("never fires"), "{line}: {}", error.message);
        assert!(begun.elapsed().as_millis() < 50, "{line}: {:?}", begun.elapsed());
    }
    // With a day of the week too it fires on that.
    assert!(!days("31 2 1", JANUARY.0, "2026-02-28T00:00:00Z").is_empty());
}

#[test]
fn a_slot_in_the_hour_that_is_skipped_fires_once() {
    let paris = slots(&cron("30 2 * * *", PARIS), "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z");
    assert_eq!(paris, ["03-28 02:30+01:00", "03-29 03:00+02:00", "03-30 02:30+02:00"]);
    let new_york = slots(&cron("30 2 * * *", NEW_YORK), "2026-03-07T06:00:00Z", "2026-03-09T12:00:00Z");
    assert_eq!(new_york, ["03-07 02:30-05:00", "03-08 03:00-04:00", "03-09 02:30-04:00"]);
    let several = slots(&cron("0,30 2 * * *", PARIS), "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z");
    assert_eq!(several, ["03-29 03:00+02:00"]);
    let with_its_hour = slots(&cron("0 2,3 * * *", PARIS), "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z");
    assert_eq!(with_its_hour, ["03-29 03:00+02:00"]);
}

#[test]
fn a_slot_in_the_hour_that_comes_twice_fires_once() {
    let paris = slots(&cron("30 2 * * *", PARIS), "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(paris, ["10-25 02:30+02:00", "10-26 02:30+01:00"]);
    let new_york = slots(&cron("30 1 * * *", NEW_YORK), "2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z");
    assert_eq!(new_york, ["11-01 01:30-04:00", "11-02 01:30-05:00"]);
}

#[test]
fn lines_for_every_hour_go_by_elapsed_time() {
    let short_day = slots(&cron("0 * * * *", PARIS), "2026-03-28T23:00:01Z", "2026-03-29T02:00:00Z");
    assert_eq!(short_day, ["03-29 01:00+01:00", "03-29 03:00+02:00", "03-29 04:00+02:00"]);
    let long_day = slots(&cron("0 * * * *", PARIS), "2026-10-24T22:00:01Z", "2026-10-25T02:00:00Z");
    assert_eq!(
        long_day,
        ["10-25 01:00+02:00", "10-25 02:00+02:00", "10-25 02:00+01:00", "10-25 03:00+01:00"]
    );
    assert_eq!(
        slots(&cron("*/15 * * * *", NEW_YORK), "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z").len(),
        100
    );
    assert_eq!(
        slots(&cron("*/15 * * * *", NEW_YORK), "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z").len(),
        92
    );
}

#[test]
fn a_star_for_minute_or_hour_is_what_makes_a_line_go_by_elapsed_time() {
    let night = ("2026-03-28T23:00:01Z", "2026-03-29T03:00:00Z");
    let on_gap = |line: &str| slots(&cron(line, PARIS), night.0, night.1);
    assert_eq!(on_gap("*/30 2 * * *"), Vec::<String>::new(), "the hour is not there");
    assert_eq!(on_gap("0 */2 * * *"), ["03-29 04:00+02:00"]);
    assert_eq!(on_gap("0 2-22/2 * * *"), ["03-29 03:00+02:00", "03-29 04:00+02:00"]);
    let night = ("2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z");
    let on_fold = |line: &str| slots(&cron(line, PARIS), night.0, night.1);
    assert_eq!(on_fold("*/30 2 * * *").len(), 3, "0:00 is the first second before");
    assert_eq!(on_fold("0,30 2 * * *"), ["10-25 02:30+02:00"]);
    assert_eq!(on_fold("30 0-23 * * *"), ["10-25 02:30+02:00"]);
    // Clocks go back by half an hour: from 2:00 to 1:30.
    let half = cron("*/15 1-2 * * *", "Australia/Lord_Howe");
    assert_eq!(
        slots(&half, "2026-04-04T14:29:59Z", "2026-04-04T15:30:00Z"),
        [
            "04-05 01:30+11:00",
            "04-05 01:45+11:00",
            "04-05 01:30+10:30",
            "04-05 01:45+10:30",
            "04-05 02:00+10:30"
        ]
    );
}

#[test]
fn intervals_divide_days_of_any_length() {
    let short = ("2026-03-28T22:59:59Z", "2026-03-29T22:00:00Z");
    let long = ("2026-10-24T21:59:59Z", "2026-10-25T23:00:00Z");
    let paris = |length: &str, (from, until): (&str, &str)| slots(&every(length, PARIS), from, until);
    assert_eq!(paris("1d", short), ["03-29 00:00+01:00", "03-30 00:00+02:00"]);
    assert_eq!(paris("1d", long), ["10-25 00:00+02:00", "10-26 00:00+01:00"]);
    assert_eq!(paris("12h", short), ["03-29 00:00+01:00", "03-29 12:00+02:00", "03-30 00:00+02:00"]);
    assert_eq!(paris("12h", long), ["10-25 00:00+02:00", "10-25 12:00+01:00", "10-26 00:00+01:00"]);
    assert_eq!(
        paris("6h", long),
        [
            "10-25 00:00+02:00",
            "10-25 06:00+01:00",
            "10-25 12:00+01:00",
            "10-25 18:00+01:00",
            "10-26 00:00+01:00"
        ]
    );
    assert_eq!(paris("1h", short).len(), 24);
    assert_eq!(paris("1h", long).len(), 26);
    assert_eq!(paris("15m", short).len(), 23 * 4 + 1);
    assert_eq!(paris("15m", long).len(), 25 * 4 + 1);
    assert_eq!(paris("2h", short)[..3], ["03-29 00:00+01:00", "03-29 03:00+02:00", "03-29 04:00+02:00"]);
    assert_eq!(paris("2h", long)[..3], ["10-25 00:00+02:00", "10-25 02:00+02:00", "10-25 04:00+01:00"]);
}

#[test]
fn intervals_that_do_not_divide_the_day_count_from_1970() {
    let two_days = slots(&every("2d", PARIS), "2026-01-01T00:00:00Z", "2026-01-06T00:00:00Z");
    assert_eq!(two_days, ["01-03 01:00+01:00", "01-05 01:00+01:00"]);
    assert_eq!(
        at("1970-01-01T00:00:00Z"),
        every("7h", "UTC").last_until(at("1970-01-01T06:59:59Z")).unwrap()
    );
    assert_eq!(
        at("1969-12-31T17:00:00Z"),
        every("7h", "UTC").last_until(at("1969-12-31T23:59:59.5Z")).unwrap()
    );
}

#[test]
fn intervals_are_whole_seconds() {
    for length in ["0s", "500ms", "1500ms"] {
        let length = Duration::parse(length).expect("a duration");
        let error = Schedule::every(&length, "UTC", FirstRun::Slot).expect_err("too fine");
        assert_eq!(error.code, ErrorCode::InvalidSchedule);
    }
}

#[test]
fn the_slots_between_two_instants_are_those_that_come_one_after_the_other() {
    for schedule in [
        Schedule::cron("*/20 1-3 * * *", "Europe/Paris", FirstRun::Slot).unwrap(),
        Schedule::every(&Duration::parse("90m").unwrap(), "Australia/Lord_Howe", FirstRun::Slot).unwrap(),
        Schedule::every(&Duration::parse("6h").unwrap(), "America/New_York", FirstRun::Slot).unwrap(),
    ] {
        let (after, until) = (at("2026-03-27T00:20:00Z"), at("2026-04-08T01:40:00Z"));
        let mut expected = Vec::new();
        let mut next = schedule.next_after(after);
        while let Some(slot) = next.filter(|slot| *slot <= until) {
            expected.push(slot);
            next = schedule.next_after(slot);
        }
        assert!(expected.len() > 40);
        assert_eq!(schedule.between(after, until, usize::MAX), expected, "{}", schedule.text());
        assert_eq!(schedule.between(after, until, 7), expected[..7]);
        assert_eq!(schedule.between(until, after, 7), []);
    }
}

#[test]
fn parts_of_a_second_do_not_count() {
    let minutes = cron("* * * * *", "UTC");
    assert_eq!(minutes.next_after(at("2026-01-01T00:00:59.999999999Z")), Some(at("2026-01-01T00:01:00Z")));
    assert_eq!(minutes.next_after(at("2026-01-01T00:01:00Z")), Some(at("2026-01-01T00:02:00Z")));
    assert_eq!(minutes.last_until(at("2026-01-01T00:01:00.5Z")), Some(at("2026-01-01T00:01:00Z")));
    assert_eq!(minutes.last_until(at("2026-01-01T00:01:00Z")), Some(at("2026-01-01T00:01:00Z")));
}

const ZONES: &[&str] =
    &["UTC", PARIS, NEW_YORK, "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo", "Pacific/Apia"];
const LINES: &[&str] = &[
    "* * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "15 2 * * 0",
    "0 0 1 * *",
    "45 23 13 * 5",
    "0 */6 * * *",
    "7 3 29 2 *",
    "10-50/20 1,2 * 3,10 sun",
];
const LENGTHS: &[&str] = &["1s", "90s", "15m", "1h", "2h", "72m", "6h", "12h", "1d", "2d", "7h"];

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let zones = proptest::sample::select(ZONES);
    prop_oneof![
        (proptest::sample::select(LINES), zones.clone()).prop_map(|(line, zone)| cron(line, zone)),
        (proptest::sample::select(LENGTHS), zones).prop_map(|(length, zone)| every(length, zone)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Between a slot and the next there is none, whichever way one looks.
    #[test]
    fn next_after_and_last_until_agree(
        schedule in any_schedule(),
        second in 1_700_000_000_i64..1_900_000_000,
        nanosecond in 0_i32..1_000_000_000,
    ) {
        let now = Timestamp::new(second, nanosecond).expect("in range");
        let last = schedule.last_until(now).expect("there was one");
        let next = schedule.next_after(now).expect("there will be one");
        prop_assert!(last <= now && now < next, "{last} {now} {next}");
        prop_assert_eq!(schedule.last_until(last), Some(last));
        prop_assert_eq!(schedule.last_until(next), Some(next));
        prop_assert_eq!(schedule.next_after(last), Some(next));
        let before = Timestamp::from_nanosecond(next.as_nanosecond() - 1).expect("in range");
        prop_assert_eq!(schedule.next_after(before), Some(next));
        prop_assert_eq!(schedule.last_until(before), Some(last));
    }

    #[test]
    fn no_text_of_a_cron_line_panics(line in "[-0-9*/,LW#?@a-z ]{0,24}") {
        let _ = Schedule::cron(&line, PARIS, FirstRun::Slot);
    }
}
