//! The versions of one key as a picture: a line a version, a bar from its beginning to its end.
//!
//! Where there is room for the words inside the bars, bars are as long as their words and share the rest
//! by time; else they are drawn to scale and the words stand beside them. Gaps are always seen.

use super::report::cell;
use super::style::{FAINT, STRONG, paint};
use super::table::{cut, padded, width};
use crate::render::number::counted;
use ematix_flow_core::report::{KeyHistory, Version};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What the picture needs besides the versions.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Columns of the terminal.
    pub width: usize,
    /// Where the open end lies.
    pub now: Timestamp,
    /// The zone of the labels.
    pub zone: TimeZone,
    /// Columns that may be shown; all where empty.
    pub columns: Vec<String>,
}

/// The picture of a key's versions.
pub fn picture(history: &KeyHistory, frame: &Frame) -> String {
    let key: Vec<String> =
        history.key.iter().map(|(name, value)| format!("{name} = {}", cell(value))).collect();
    let head = format!(
        "{}   {}",
        paint(STRONG, key.join(", ")),
        counted(history.versions.len() as i64, "version", "versions")
    );
    if history.versions.is_empty() {
        return format!("{head}\n");
    }
    let spans = spans(&history.versions, frame.now);
    let labels = Labels::of(&history.versions, &frame.zone);
    let day = labels.day.as_ref().map(|day| format!("   {day}")).unwrap_or_default();
    let words = words(&history.versions, &frame.columns);
    let notes: Vec<Option<String>> = notes(&history.versions, &labels, frame);
    let left = labels.starts.iter().map(|label| width(label)).max().unwrap_or(0) + 1;
    let room = frame.width.saturating_sub(left).clamp(24, 160);
    let bars = noted_bars(&spans, &words, &notes, room);
    let mut text = format!("{head}{day}\n");
    for (label, bar) in labels.starts.iter().zip(&bars) {
        text.push_str(&format!("{}{}\n", padded(label, left), bar.trim_end()));
    }
    text
}

/// The bars with their notes behind them; narrower where a note would stick out.
fn noted_bars(spans: &[Span], words: &[String], notes: &[Option<String>], room: usize) -> Vec<String> {
    let with_notes = |bars: Vec<String>| -> Vec<String> {
        let note = |note: &Option<String>| {
            note.as_ref().map(|note| format!(" {}", paint(FAINT, note))).unwrap_or_default()
        };
        bars.into_iter().zip(notes).map(|(bar, after)| format!("{bar}{}", note(after))).collect()
    };
    let whole = with_notes(bars(spans, words, room));
    if whole.iter().all(|line| width(line) <= room) {
        return whole;
    }
    let widest = notes.iter().flatten().map(|note| width(note) + 1).max().unwrap_or(0);
    with_notes(bars(spans, words, room.saturating_sub(widest).max(24)))
}

/// A version in time, both ends within the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    start: i128,
    end: i128,
    /// It has no beginning: `-infinity`.
    open_start: bool,
    /// It has no end, or none yet.
    open_end: bool,
}

fn nanoseconds(text: &str) -> Option<i128> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_nanosecond)
}

fn spans(versions: &[Version], now: Timestamp) -> Vec<Span> {
    let ends = |version: &Version| version.valid_to.as_deref().and_then(nanoseconds);
    let starts = || versions.iter().filter_map(|version| nanoseconds(&version.valid_from));
    let known = || starts().chain(versions.iter().filter_map(ends));
    let latest = known().max().unwrap_or(now.as_nanosecond());
    let now = now.as_nanosecond().max(latest);
    // What has no beginning gets a fifth of the picture.
    let always = known().min().unwrap_or(now) - (now - known().min().unwrap_or(now)) / 4 - 1;
    versions
        .iter()
        .map(|version| {
            let start = nanoseconds(&version.valid_from);
            let end = ends(version);
            Span {
                start: start.unwrap_or(always),
                end: end.unwrap_or(now),
                open_start: start.is_none(),
                open_end: end.is_none(),
            }
        })
        .collect()
}

/// What stands at the left: as coarse as keeps the versions apart.
struct Labels {
    starts: Vec<String>,
    day: Option<String>,
    format: &'static str,
}

const DATES: &[&str] = &["%Y-%m", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"];
const TIMES: &[&str] = &["%H:%M", "%H:%M:%S", "%H:%M:%S%.3f", "%H:%M:%S%.6f"];

impl Labels {
    fn of(versions: &[Version], zone: &TimeZone) -> Labels {
        let written = |text: &str, format: &str| match text.parse::<Timestamp>() {
            Ok(instant) => instant.to_zoned(zone.clone()).strftime(format).to_string(),
            Err(_) if text.starts_with('-') => "always".to_owned(),
            Err(_) => text.to_owned(),
        };
        let starts = |format: &str| -> Vec<String> {
            versions.iter().map(|version| written(&version.valid_from, format)).collect()
        };
        let ends = versions.iter().filter_map(|version| version.valid_to.as_deref());
        let mut days: Vec<String> = starts("%Y-%m-%d");
        days.extend(ends.map(|end| written(end, "%Y-%m-%d")));
        let one_day = versions.len() > 1 && days.windows(2).all(|pair| pair[0] == pair[1]);
        let formats = match versions.len() {
            1 => &DATES[1..],
            _ if one_day => TIMES,
            _ => DATES,
        };
        let apart = |format: &&&str| starts(format).windows(2).all(|pair| pair[0] != pair[1]);
        let format = formats.iter().find(apart).unwrap_or(&formats[formats.len() - 1]);
        Labels { starts: starts(format), day: one_day.then(|| days[0].clone()), format }
    }
}

/// The end of a version that no other one follows: the key was deleted then.
fn notes(versions: &[Version], labels: &Labels, frame: &Frame) -> Vec<Option<String>> {
    versions
        .iter()
        .enumerate()
        .map(|(index, version)| {
            let end = version.valid_to.as_deref()?;
            let next = versions.get(index + 1).map(|next| next.valid_from.as_str());
            if next.is_some_and(|next| nanoseconds(next) == nanoseconds(end)) {
                return None;
            }
            let instant: Timestamp = end.parse().ok()?;
            // A month alone would not say when a key was lost.
            let format = if labels.format == "%Y-%m" { "%Y-%m-%d" } else { labels.format };
            Some(format!("(deleted {})", instant.to_zoned(frame.zone.clone()).strftime(format)))
        })
        .collect()
}

/// What each bar says: of the columns that ever change, those that this version changed.
fn words(versions: &[Version], columns: &[String]) -> Vec<String> {
    let shown: Vec<&String> = versions[0]
        .values
        .keys()
        .filter(|name| columns.is_empty() || columns.iter().any(|column| column == *name))
        .collect();
    let value = |version: &Version, name: &str| version.values.get(name).map(cell).unwrap_or_default();
    let varies =
        |name: &&String| versions.iter().any(|version| value(version, name) != value(&versions[0], name));
    let varying: Vec<&String> = shown.iter().copied().filter(varies).collect();
    let told = if varying.is_empty() { &shown } else { &varying };
    versions
        .iter()
        .enumerate()
        .map(|(index, version)| {
            let changed =
                |name: &&&String| index == 0 || value(version, name) != value(&versions[index - 1], name);
            let mut names: Vec<&&String> = told.iter().filter(changed).collect();
            if names.is_empty() {
                names = told.iter().collect();
            }
            names.iter().map(|name| value(version, name)).collect::<Vec<_>>().join(", ")
        })
        .collect()
}

/// Columns of `├── ` and ` ──┤`, and of `├─ ` and ` ─┤` where there is less room.
const ENDS: [usize; 2] = [8, 6];

fn bars(spans: &[Span], words: &[String], room: usize) -> Vec<String> {
    let mut points: Vec<i128> = spans.iter().flat_map(|span| [span.start, span.end]).collect();
    points.sort_unstable();
    points.dedup();
    let at = |columns: &[usize], instant: i128| columns[points.binary_search(&instant).unwrap_or_default()];
    let fits = |columns: &[usize], ends: usize| {
        let inside = |span: &Span| at(columns, span.end) + 1 - at(columns, span.start);
        columns.last().is_some_and(|last| *last < room)
            && spans.iter().zip(words).all(|(span, words)| inside(span) >= width(words) + ends)
    };
    // The least that each stretch between two instants needs: the words of the version that fills it.
    let wordy = |ends: usize| -> Vec<usize> {
        let least = points.windows(2).map(|pair| {
            let fills = |span: &Span| span.start == pair[0] && span.end == pair[1];
            let filling = spans.iter().zip(words).filter(|(span, _)| fills(span));
            filling.map(|(_, words)| width(words) + ends - 1).max().unwrap_or(3)
        });
        columns_of(&points, &least.collect::<Vec<_>>(), room)
    };
    let scaled = columns_of(&points, &vec![1; points.len() - 1], room);
    let candidates = [(scaled.clone(), ENDS[0]), (wordy(ENDS[0]), ENDS[0]), (wordy(ENDS[1]), ENDS[1])];
    let chosen =
        candidates.into_iter().find(|(columns, ends)| fits(columns, *ends)).map(|(columns, _)| columns);
    let columns = chosen.unwrap_or(scaled);
    spans
        .iter()
        .zip(words)
        .map(|(span, words)| {
            let start = at(&columns, span.start);
            bar(start, at(&columns, span.end).max(start + 1), span, words, room)
        })
        .collect()
}

/// The column of each instant: every stretch has its least width, the rest is shared by time.
fn columns_of(points: &[i128], least: &[usize], room: usize) -> Vec<usize> {
    let total = (points[points.len() - 1] - points[0]).max(1) as f64;
    let rest = (room - 1).saturating_sub(least.iter().sum()) as f64;
    let mut columns = vec![0];
    let mut before = 0;
    for (pair, least) in points.windows(2).zip(least) {
        before += least;
        columns.push(before + ((pair[1] - points[0]) as f64 / total * rest).round() as usize);
    }
    columns
}

/// One bar from column to column: its words inside, else beside it, else cut where most of them fit.
fn bar(start: usize, end: usize, span: &Span, words: &str, room: usize) -> String {
    let first = if span.open_start { "◀" } else { "├" };
    let last = if span.open_end { "▶" } else { "┤" };
    let inside = (end + 1 - start).saturating_sub(ENDS[1]);
    let (left, right) = (start.saturating_sub(1), room.saturating_sub(end + 2));
    let length = width(words);
    let space = " ".repeat(start);
    if length <= inside || (length > right && length > left && inside >= right.max(left)) {
        let words = cut(words, inside);
        let lines = end + 1 - start - width(&words) - 4;
        let before = (lines / 2).clamp(1, 2);
        return format!("{space}{first}{} {words} {}{last}", "─".repeat(before), "─".repeat(lines - before));
    }
    let drawn = format!("{first}{}{last}", "─".repeat(end - start - 1));
    if length <= right || (length > left && right >= left) {
        format!("{space}{drawn} {}", cut(words, right))
    } else {
        let words = cut(words, left);
        format!("{}{words} {drawn}", " ".repeat(left - width(&words)))
    }
}

#[cfg(test)]
mod tests;
