//! A small chart: a bar a run, oldest first. What did not go well is no bar but a sign at the foot of the chart.

use super::markup::Markup;
use super::outcome::Outcome;

/// One run in a chart.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// How high, of the greatest of the chart.
    pub value: i64,
    /// How it ended.
    pub outcome: Outcome,
}

/// The places that a chart has, whether or not there are so many runs.
const PLACES: usize = 20;
/// The width of a place.
const STEP: usize = 12;
/// The height of a chart.
const HEIGHT: i32 = 44;
/// Its places and height; bars stand on the line 0.
const VIEW: &str = "0 -44 240 44";

/// A chart with its title, which is read where it cannot be seen.
pub fn chart(page: &mut Markup, title: &str, content: impl FnOnce(&mut Markup)) {
    page.inside("svg", &[("role", "img"), ("class", "b"), ("viewBox", VIEW)], |svg| {
        svg.leaf("title", &[], title);
        content(svg);
    });
}

/// What is drawn in a chart; nothing of what did not go well where only the bars are wanted.
pub fn drawn(svg: &mut Markup, bars: &[Bar], only_bars: bool) {
    for outcome in Outcome::ALL {
        let path = path(bars, outcome);
        if path.is_empty() || (only_bars && outcome != Outcome::Good) {
            continue;
        }
        let class = if outcome == Outcome::Good { "s bar" } else { outcome.class() };
        svg.empty("path", &[("class", class), ("d", &path)]);
    }
}

/// The bars or signs of one outcome, as one path.
fn path(bars: &[Bar], wanted: Outcome) -> String {
    let greatest = bars.iter().filter(|bar| bar.outcome == Outcome::Good).map(|bar| bar.value).max();
    let greatest = greatest.unwrap_or(0).max(1);
    let first = PLACES.saturating_sub(bars.len());
    let mut path = String::new();
    for (place, bar) in (first..).zip(bars.iter().skip(bars.len().saturating_sub(PLACES))) {
        if bar.outcome != wanted {
            continue;
        }
        let middle = place * STEP + STEP / 2;
        let left = middle - 4;
        path.push_str(&match wanted {
            Outcome::Good => {
                let share = bar.value.max(0) as f64 / greatest as f64;
                let high = ((share * f64::from(HEIGHT - 2)).round() as i32).max(2);
                format!("M{middle} 0v-{high}")
            }
            Outcome::Failed => format!("M{left}-10l8 8m0-8-8 8"),
            Outcome::Held => format!("M{left}-2h8l-4-9z"),
            Outcome::Cancelled => format!("M{left}-5h8"),
            Outcome::Skipped => format!("M{middle}-4v1"),
            Outcome::Running => format!("M{left}-1v-10l7 5z"),
        });
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_at_the_right_and_the_longest_fills_the_chart() {
        let of = |value, outcome| Bar { value, outcome };
        let bars = [of(50, Outcome::Good), of(9999, Outcome::Failed), of(100, Outcome::Good)];
        assert_eq!(path(&bars, Outcome::Good), "M210 0v-21M234 0v-42");
        assert_eq!(path(&bars, Outcome::Failed), "M218-10l8 8m0-8-8 8");
        assert_eq!(path(&bars, Outcome::Held), "");
    }
}
