//! Numbers as texts have them, never by way of a float. Pure.

use arrow_buffer::i256;

/// A number with more digits than Postgres keeps behind the point is none of its.
const MOST_DIGITS: i64 = 16_383;

/// A decimal number: its digits without zeros at the beginning, and how many of them stand behind the point.
#[derive(Debug, PartialEq, Eq)]
pub struct Exact {
    negative: bool,
    digits: String,
    scale: i64,
}

impl Exact {
    /// Reads `-12.50`, `+1`, `.5`, `1e-3`; `None` for what is no finite number, or has thousands of digits.
    pub fn parse(text: &str) -> Option<Exact> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => {
                let exponent = &unsigned[at + 1..];
                (&unsigned[..at], exponent.strip_prefix('+').unwrap_or(exponent).parse::<i32>().ok()?)
            }
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        if all().next().is_none() || !all().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let scale = fraction.len() as i64 - i64::from(exponent);
        if !(-MOST_DIGITS..=MOST_DIGITS).contains(&scale) {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        Some(Exact { negative, digits: digits.trim_start_matches('0').to_owned(), scale })
    }

    /// The value times 10 to the power of `scale`, where that is whole, with its sign.
    fn unscaled(mut self, scale: i64) -> Option<String> {
        while self.scale > scale {
            if !self.digits.is_empty() && self.digits.pop() != Some('0') {
                return None;
            }
            self.scale -= 1;
        }
        if self.digits.is_empty() {
            return Some("0".to_owned());
        }
        self.digits.extend(std::iter::repeat_n('0', (scale - self.scale) as usize));
        if self.negative {
            self.digits.insert(0, '-');
        }
        Some(self.digits)
    }

    /// As Postgres writes a numeric.
    pub fn text(self) -> String {
        let (negative, shown) = (self.negative && !self.digits.is_empty(), self.scale.max(0));
        let unscaled = self.unscaled(shown).expect("no digit is cut");
        let unsigned = unscaled.trim_start_matches('-');
        let shown = shown as usize;
        let padded = format!("{unsigned:0>width$}", width = shown + 1);
        let (whole, fraction) = padded.split_at(padded.len() - shown);
        let sign = if negative { "-" } else { "" };
        if shown == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }
}

/// Why a number is none of a decimal's.
#[derive(Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The text is no number.
    NoNumber,
    /// It would be rounded.
    Rounded,
    /// It is too large.
    TooLarge,
}

/// A whole number; `1.0` and `1e3` are some.
pub fn whole(text: &str) -> Result<i64, Misfit> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let unscaled = Exact::parse(text).ok_or(Misfit::NoNumber)?.unscaled(0).ok_or(Misfit::Rounded)?;
    unscaled.parse().map_err(|_| Misfit::TooLarge)
}

/// The unscaled value of a decimal of at most 38 digits.
pub fn decimal(text: &str, precision: u8, scale: u8) -> Result<i128, Misfit> {
    if let Some(number) = short(text, scale) {
        let bound = 10_i128.pow(u32::from(precision));
        return if number.abs() < bound { Ok(number) } else { Err(Misfit::TooLarge) };
    }
    digits(text, precision, scale)?.parse().map_err(|_| Misfit::TooLarge)
}

/// The unscaled value of a decimal of at most 76 digits.
pub fn long_decimal(text: &str, precision: u8, scale: u8) -> Result<i256, Misfit> {
    i256::from_string(&digits(text, precision, scale)?).ok_or(Misfit::TooLarge)
}

fn digits(text: &str, precision: u8, scale: u8) -> Result<String, Misfit> {
    let exact = Exact::parse(text).ok_or(Misfit::NoNumber)?;
    let unscaled = exact.unscaled(i64::from(scale)).ok_or(Misfit::Rounded)?;
    match unscaled.trim_start_matches('-').len() > usize::from(precision) {
        true => Err(Misfit::TooLarge),
        false => Ok(unscaled),
    }
}

/// The common case, without a text in between: few digits, no exponent, none behind the scale.
fn short(text: &str, scale: u8) -> Option<i128> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if unsigned.is_empty() || unsigned.len() > 18 || scale > 18 {
        return None;
    }
    let (mut number, mut behind) = (0_i64, None);
    for byte in unsigned.bytes() {
        match (byte, behind) {
            (b'0'..=b'9', _) => {
                number = number * 10 + i64::from(byte - b'0');
                behind = behind.map(|behind| behind + 1);
            }
            (b'.', None) => behind = Some(0_u8),
            _ => return None,
        }
    }
    let missing = scale.checked_sub(behind.unwrap_or(0))?;
    if unsigned == "." {
        return None;
    }
    let number = i128::from(number) * 10_i128.pow(u32::from(missing));
    Some(if text.starts_with('-') { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_every_digit_of_its_text() {
        let text = |text: &str| Exact::parse(text).map(Exact::text);
        for same in ["0", "-12.50", "0.001", "123456789012345678901234567890.5", "100"] {
            assert_eq!(text(same).as_deref(), Some(same));
        }
        assert_eq!(text("+1.5e3").as_deref(), Some("1500"));
        assert_eq!(text("-1E-3").as_deref(), Some("-0.001"));
        assert_eq!(text(".5").as_deref(), Some("0.5"));
        assert_eq!(text("-0").as_deref(), Some("0"));
        for none in ["", "-", ".", "1,5", "0x1", "NaN", "1e", "1e999999999", "--1", "1 2"] {
            assert_eq!(text(none), None, "{none}");
        }
    }

    #[test]
    fn a_whole_number_may_be_written_as_another() {
        assert_eq!(whole("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(whole("1.0"), Ok(1));
        assert_eq!(whole("12e2"), Ok(1200));
        assert_eq!(whole("1.5"), Err(Misfit::Rounded));
        assert_eq!(whole("9223372036854775808"), Err(Misfit::TooLarge));
        assert_eq!(whole("x"), Err(Misfit::NoNumber));
    }

    #[test]
    fn a_decimal_is_the_number_or_an_error() {
        assert_eq!(decimal("12.5", 4, 2), Ok(1250));
        assert_eq!(decimal("-1.5", 4, 2), Ok(-150));
        assert_eq!(decimal("-12.500", 4, 2), Ok(-1250));
        assert_eq!(decimal("12.505", 4, 2), Err(Misfit::Rounded));
        assert_eq!(decimal("100", 4, 2), Err(Misfit::TooLarge));
        assert_eq!(decimal("1e1", 4, 2), Ok(1000));
        assert_eq!(decimal(".", 4, 2), Err(Misfit::NoNumber));
        let long = "1234567890123456789012345678.90";
        assert_eq!(decimal(long, 30, 2), Ok(123_456_789_012_345_678_901_234_567_890));
        assert_eq!(long_decimal(&"9".repeat(76), 76, 0).map(|number| number.to_string()), Ok("9".repeat(76)));
        assert_eq!(long_decimal(&"9".repeat(77), 76, 0), Err(Misfit::TooLarge));
    }
}
