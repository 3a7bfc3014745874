//! How runs ended, as a colour and a shape: neither says anything alone.

use super::markup::Markup;

/// What a page tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It went well.
    Good,
    /// It was not to run.
    Skipped,
    /// Somebody ended it.
    Cancelled,
    /// It is under way.
    Running,
    /// A guard or a lock kept it from writing.
    Held,
    /// It failed, or died.
    Failed,
}

impl Outcome {
    /// All of them, in the order in which they are drawn over each other.
    pub const ALL: [Outcome; 6] = [
        Outcome::Good,
        Outcome::Skipped,
        Outcome::Cancelled,
        Outcome::Running,
        Outcome::Held,
        Outcome::Failed,
    ];

    /// Of a status.
    pub fn of(status: &str) -> Outcome {
        match status {
            "success" => Outcome::Good,
            "skipped" => Outcome::Skipped,
            "cancelled" => Outcome::Cancelled,
            "running" => Outcome::Running,
            "refused" | "locked" => Outcome::Held,
            _ => Outcome::Failed,
        }
    }

    /// The class of its colour.
    pub fn class(self) -> &'static str {
        match self {
            Outcome::Good => "s",
            Outcome::Skipped => "k",
            Outcome::Cancelled => "c",
            Outcome::Running => "r",
            Outcome::Held => "w",
            Outcome::Failed => "f",
        }
    }

    /// Where its sign stands in [`SIGNS`].
    pub fn sign(self) -> &'static str {
        match self {
            Outcome::Good => "#s",
            Outcome::Skipped => "#k",
            Outcome::Cancelled => "#c",
            Outcome::Running => "#r",
            Outcome::Held => "#w",
            Outcome::Failed => "#f",
        }
    }

    /// The same around a point, as large as a line of the timeline is high.
    pub fn point(self) -> &'static str {
        match self {
            Outcome::Good => "#ps",
            Outcome::Skipped => "#pk",
            Outcome::Cancelled => "#pc",
            Outcome::Running => "#pr",
            Outcome::Held => "#pw",
            Outcome::Failed => "#pf",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Outcome::Good => "succeeded",
            Outcome::Skipped => "skipped",
            Outcome::Cancelled => "cancelled",
            Outcome::Running => "running",
            Outcome::Held => "refused or locked out",
            Outcome::Failed => "failed or lost",
        }
    }
}

/// The signs, drawn once.
pub const SIGNS: &str = r##"<svg class="signs" aria-hidden="true" focusable="false"><defs>
<symbol id="s" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="currentColor"/><path d="m4.8 8.2 2.2 2.3 4.2-4.8" class="on"/></symbol>
<symbol id="f" viewBox="0 0 16 16"><path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" fill="currentColor"/><path d="m5.3 5.3 5.4 5.4m0-5.4-5.4 5.4" class="on"/></symbol>
<symbol id="w" viewBox="0 0 16 16"><path d="M8 1 15.5 15H.5z" fill="currentColor"/><path d="M8 6v4m0 2v1" class="on"/></symbol>
<symbol id="c" viewBox="0 0 16 16"><rect x="1.5" y="1.5" width="13" height="13" rx="2" fill="currentColor"/><path d="M5 8h6" class="on"/></symbol>
<symbol id="k" viewBox="0 0 16 16"><circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="3 2"/></symbol>
<symbol id="r" viewBox="0 0 16 16"><path d="M3 1.5v13L14.5 8z" fill="currentColor"/></symbol>
<g id="ps" class="s"><use href="#s" x="-7" y="3" width="14" height="14"/></g><g id="pf" class="f"><use href="#f" x="-7" y="3" width="14" height="14"/></g><g id="pw" class="w"><use href="#w" x="-7" y="3" width="14" height="14"/></g><g id="pc" class="c"><use href="#c" x="-7" y="3" width="14" height="14"/></g><g id="pk" class="k"><use href="#k" x="-7" y="3" width="14" height="14"/></g><g id="pr" class="r"><use href="#r" x="-7" y="3" width="14" height="14"/></g>
<marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker>
</defs></svg>"##;

/// The sign of an outcome beside words that say the same.
pub fn sign(page: &mut Markup, outcome: Outcome) {
    page.open("svg", &[("class", &format!("m {}", outcome.class())), ("aria-hidden", "true")]);
    page.empty("use", &[("href", outcome.sign())]);
    page.close("svg");
}

/// `18 succeeded, 2 failed or lost`.
pub fn summary<'a>(statuses: impl IntoIterator<Item = &'a str>) -> String {
    let outcomes: Vec<Outcome> = statuses.into_iter().map(Outcome::of).collect();
    let counted = Outcome::ALL.iter().filter_map(|outcome| {
        let count = outcomes.iter().filter(|each| *each == outcome).count();
        (count > 0).then(|| format!("{count} {}", outcome.words()))
    });
    counted.collect::<Vec<_>>().join(", ")
}
