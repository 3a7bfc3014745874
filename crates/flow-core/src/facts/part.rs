//! A part of the source, and the smaller ones that it is made of.

use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result};
use jiff::{SignedDuration, Timestamp};

/// So many runs, one after another, are a slip of the pen.
const MOST_SLICES: usize = 10_000;

/// A part of the source, by the column that tells parts: a number, or an instant in ISO 8601, UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourcePart {
    /// Its first value.
    pub from: Option<String>,
    /// The value before which it ends.
    pub to: Option<String>,
    /// Whether what comes after it, to the end of the source, is loaded right after it.
    pub is_followed: bool,
}

impl SourcePart {
    /// Whether it is all of the source.
    pub fn is_all(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// From where to where it goes, in words.
    pub fn words(&self) -> String {
        let end = |name: &str, bound: &Option<String>| bound.as_ref().map(|text| format!("{name} {text}"));
        [end("from", &self.from), end("to", &self.to)].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// The same in slices of a length, in their order: of a time (`"1d"`), or of a whole number. Where it has no end, the
    /// last slice has none, and begins before `now`.
    ///
    /// # Errors
    /// `missing_option` where nothing says at which value the first begins, or the last of numbers ends; `invalid_value`
    /// for a length that does not fit the values, and for one that makes too many slices.
    ///
    /// ```
    /// use ematix_flow_core::facts::SourcePart;
    /// let part = SourcePart { from: Some("0".to_owned()), to: Some("25".to_owned()), is_followed: false };
    /// let slices = part.in_slices("10", "2026-03-01T00:00:00Z".parse().unwrap()).unwrap();
    /// assert_eq!(slices.iter().map(|slice| slice.to.as_deref().unwrap()).collect::<Vec<_>>(), ["10", "20", "25"]);
    /// ```
    pub fn in_slices(&self, length: &str, now: Timestamp) -> Result<Vec<SourcePart>> {
        let from = self.from.as_deref().ok_or_else(|| {
            FlowError::new(ErrorCode::MissingOption, "nothing says where the first slice begins")
                .hint("add --from with the least value of the column")
        })?;
        if from.parse::<f64>().is_ok() {
            return self.by_number(from, length);
        }
        let length = Duration::parse(length)?;
        let first = instant(from)?;
        let end = self.to.as_deref().map(instant).transpose()?;
        let step = SignedDuration::from_millis(length.milliseconds().cast_signed());
        let next = |at: Timestamp| if step.is_zero() { None } else { at.checked_add(step).ok() };
        self.cut(first, end.unwrap_or(now), next, |at| at.to_string())
    }

    fn by_number(&self, from: &str, length: &str) -> Result<Vec<SourcePart>> {
        let whole = |text: &str| {
            let invalid = || FlowError::new(ErrorCode::InvalidValue, format!("`{text}` is no whole number"));
            text.parse::<i64>()
                .map_err(|_| invalid().hint("slices of numbers begin and end at whole numbers"))
        };
        let to = self.to.as_deref().ok_or_else(|| {
            FlowError::new(ErrorCode::MissingOption, "nothing says where the last slice of numbers ends")
                .hint("add --to with a value after the greatest, or slice by a time")
        })?;
        let length = whole(length)?;
        let next = |at: i64| if length < 1 { None } else { at.checked_add(length) };
        self.cut(whole(from)?, whole(to)?, next, |at| at.to_string())
    }

    fn cut<V: Copy + Ord>(
        &self,
        first: V,
        end: V,
        next: impl Fn(V) -> Option<V>,
        text: impl Fn(V) -> String,
    ) -> Result<Vec<SourcePart>> {
        let mut slices = Vec::new();
        let mut from = first;
        loop {
            let Some(to) = next(from).filter(|_| slices.len() < MOST_SLICES) else {
                let message = format!("slices of this length are more than {MOST_SLICES}, or have none");
                return Err(FlowError::new(ErrorCode::InvalidValue, message).hint("make them longer"));
            };
            let is_last = to >= end;
            slices.push(SourcePart {
                from: Some(text(from)),
                to: if is_last { self.to.clone() } else { Some(text(to)) },
                is_followed: self.to.is_none() && !is_last,
            });
            if is_last {
                return Ok(slices);
            }
            from = to;
        }
    }
}

fn instant(text: &str) -> Result<Timestamp> {
    text.parse().map_err(|_| {
        FlowError::new(
            ErrorCode::InvalidValue,
            format!("`{text}` is no date, and no number as the other end is"),
        )
        .hint("give both ends as times, or both as numbers")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sliced(from: &str, to: Option<&str>, length: &str) -> Result<Vec<String>> {
        let part = SourcePart { from: Some(from.to_owned()), to: to.map(str::to_owned), is_followed: false };
        let now = "2026-03-04T12:00:00Z".parse().expect("an instant");
        let slices = part.in_slices(length, now)?;
        assert!(slices.windows(2).all(|pair| pair[0].to == pair[1].from), "no value lies between two slices");
        assert_eq!(slices.first().map(|slice| &slice.from), Some(&part.from));
        assert_eq!(slices.last().map(|slice| (&slice.to, slice.is_followed)), Some((&part.to, false)));
        Ok(slices.iter().map(|slice| slice.to.clone().unwrap_or_default()).collect())
    }

    #[test]
    fn slices_meet_and_end_where_the_part_does() {
        let days = sliced("2026-03-01T00:00:00Z", Some("2026-03-03T06:00:00Z"), "1d").expect("days");
        assert_eq!(days, ["2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z", "2026-03-03T06:00:00Z"]);
        let open = sliced("2026-03-01T00:00:00Z", None, "2d").expect("days up to now, and what comes after");
        assert_eq!(open, ["2026-03-03T00:00:00Z", ""]);
        assert_eq!(sliced("-5", Some("5"), "10").expect("one"), ["5"]);
    }

    #[test]
    fn what_follows_an_open_slice_is_known_to_follow() {
        let part = SourcePart { from: Some("2026-03-01T00:00:00Z".to_owned()), ..SourcePart::default() };
        let slices = part.in_slices("1d", "2026-03-02T12:00:00Z".parse().expect("an instant")).expect("two");
        assert_eq!(slices.iter().map(|slice| slice.is_followed).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn what_cannot_be_sliced_is_refused() {
        for (from, to, length) in [
            ("0", None, "10"),
            ("0", Some("10"), "0"),
            ("0", Some("10"), "-1"),
            ("0", Some("10"), "1d"),
            ("0", Some("10"), "0.5"),
            ("0", Some("2026-03-01T00:00:00Z"), "1"),
            ("0", Some("1000000"), "1"),
            ("2026-03-01T00:00:00Z", Some("10"), "1d"),
            ("2026-03-01T00:00:00Z", None, "10"),
            ("2026-03-01T00:00:00Z", None, "0s"),
            ("2026-03-01T00:00:00Z", None, "1ms"),
        ] {
            sliced(from, to, length).expect_err(&format!("{from} to {to:?} by {length}"));
        }
        SourcePart::default().in_slices("1d", Timestamp::UNIX_EPOCH).expect_err("no beginning");
    }
}
