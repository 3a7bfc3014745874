//! numeric as Postgres sends it: groups of four digits around the point. Read into decimals and text, and written
//! from both. <https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/numeric.c>, numeric_send.

use crate::fault::Fault;
use arrow_array::ArrowNativeTypeOp;
use std::fmt::Write;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;
/// numeric_recv refuses more.
const GREATEST_SCALE: u16 = 0x3fff;

/// A value.
pub enum Number<'a> {
    /// A finite one.
    Finite(Groups<'a>),
    /// Any other, by its text.
    Other(&'static str),
}

/// A finite value: `0.d1d2d3…` to the base 10,000, times 10,000 to the power of `weight + 1`.
pub struct Groups<'a> {
    negative: bool,
    weight: i32,
    scale: u16,
    digits: &'a [[u8; 2]],
}

/// Reads what was sent.
pub fn parse(bytes: &[u8]) -> Result<Number<'_>, Fault> {
    let malformed = || Fault::malformed("the bytes are no numeric");
    let Some((head, digits)) = bytes.split_first_chunk::<8>() else { return Err(malformed()) };
    let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (digits, rest) = digits.as_chunks::<2>();
    let in_range = digits.iter().all(|digit| u16::from_be_bytes(*digit) < 10_000);
    if usize::from(number(0)) != digits.len() || !rest.is_empty() || !in_range || number(6) > GREATEST_SCALE {
        return Err(malformed());
    }
    let negative = match number(4) {
        0 => false,
        NEGATIVE => true,
        NAN => return Ok(Number::Other("NaN")),
        INFINITY => return Ok(Number::Other("Infinity")),
        NEGATIVE_INFINITY => return Ok(Number::Other("-Infinity")),
        _ => return Err(malformed()),
    };
    let weight = i32::from(number(2) as i16);
    // Nobody sends them, and they would count as digits behind the scale.
    let length = digits.iter().rposition(|digit| *digit != [0, 0]).map_or(0, |last| last + 1);
    Ok(Number::Finite(Groups { negative, weight, scale: number(6), digits: &digits[..length] }))
}

impl Groups<'_> {
    fn digit(&self, at: usize) -> u64 {
        u64::from(u16::from_be_bytes(self.digits[at]))
    }

    /// The value times 10 to the power of `scale`; below `bound`, which is 10 to the power of the precision.
    pub fn unscaled<N: Unscaled>(&self, scale: u8, bound: N) -> Result<N, Fault> {
        let count = self.digits.len();
        let Some(last) = count.checked_sub(1) else { return Ok(N::ZERO) };
        // How far the last group lies above the last digit that is kept.
        let shift = 4 * (self.weight - last as i32) + i32::from(scale);
        let too_long = || Fault::not_held("the number has more digits than the column");
        if shift <= -4 || shift > 80 {
            return Err(too_long());
        }
        let (kept, cut) = match shift {
            0.. => (10_u64.pow(4), 1),
            _ => (10_u64.pow((4 + shift) as u32), 10_u64.pow(-shift as u32)),
        };
        if !self.digit(last).is_multiple_of(cut) {
            return Err(too_long());
        }
        let unsigned = if count <= 4 && shift <= 0 {
            let whole = (0..last).fold(0, |sum, at| sum * 10_000 + self.digit(at));
            N::of(whole * kept + self.digit(last) / cut)
        } else {
            self.long(last, kept, cut, shift).ok_or_else(too_long)?
        };
        if unsigned.is_ge(bound) {
            return Err(too_long());
        }
        Ok(if self.negative { unsigned.neg_wrapping() } else { unsigned })
    }

    fn long<N: Unscaled>(&self, last: usize, kept: u64, cut: u64, shift: i32) -> Option<N> {
        let append = |sum: N, factor: u64, digit: u64| {
            sum.mul_checked(N::of(factor)).ok()?.add_checked(N::of(digit)).ok()
        };
        let whole = (0..last).try_fold(N::ZERO, |sum, at| append(sum, 10_000, self.digit(at)))?;
        let all = append(whole, kept, self.digit(last) / cut)?;
        (0..shift).try_fold(all, |sum, _| append(sum, 10, 0))
    }

    /// As Postgres writes it.
    pub fn text(&self, out: &mut String) {
        let group = |place: i32| match usize::try_from(self.weight - place) {
            Ok(at) if at < self.digits.len() => self.digit(at),
            _ => 0,
        };
        if self.negative {
            out.push('-');
        }
        write!(out, "{}", group(self.weight.max(0))).expect("a string takes text");
        for place in (0..self.weight.max(0)).rev() {
            write!(out, "{:04}", group(place)).expect("a string takes text");
        }
        if self.scale > 0 {
            out.push('.');
            let point = out.len();
            let groups = i32::from(self.scale.div_ceil(4));
            for place in 1..=groups {
                write!(out, "{:04}", group(-place)).expect("a string takes text");
            }
            out.truncate(point + usize::from(self.scale));
        }
    }
}

/// What a decimal of Arrow is kept in.
pub trait Unscaled: ArrowNativeTypeOp {
    /// A small number.
    fn of(number: u64) -> Self;
}

impl Unscaled for i128 {
    fn of(number: u64) -> i128 {
        i128::from(number)
    }
}

impl Unscaled for arrow_buffer::i256 {
    fn of(number: u64) -> arrow_buffer::i256 {
        arrow_buffer::i256::from_i128(i128::from(number))
    }
}

/// What a numeric column holds: of any precision and scale where there is none.
pub type Declared = Option<(u8, u8)>;

/// Writes a number by its digits: `unscaled` without a sign, and how many of them stand behind the point.
pub fn write_digits(
    negative: bool,
    unscaled: &str,
    scale: i32,
    declared: Declared,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let mut digits = unscaled.trim_start_matches('0').to_owned();
    let mut scale = scale;
    if scale < 0 {
        digits.extend(std::iter::repeat_n('0', if digits.is_empty() { 0 } else { -scale as usize }));
        scale = 0;
    }
    let mut shown = scale as usize;
    if let Some((precision, column_scale)) = declared {
        let column_scale = usize::from(column_scale);
        while shown > column_scale {
            if !digits.is_empty() && digits.pop() != Some('0') {
                return Err(Fault::not_held(format!(
                    "the number has more than {column_scale} digits behind the point"
                )));
            }
            shown -= 1;
        }
        if !digits.is_empty() {
            digits.extend(std::iter::repeat_n('0', column_scale - shown));
        }
        shown = column_scale;
        if digits.len() > usize::from(precision) {
            return Err(Fault::not_held(format!(
                "the number does not fit numeric({precision},{column_scale})"
            )));
        }
    }
    if shown > usize::from(GREATEST_SCALE) || digits.len() > 131_072 {
        return Err(Fault::not_held("the number has more digits than a numeric"));
    }
    // Whole groups on both sides of the point.
    let fraction_groups = shown.div_ceil(4);
    digits.extend(std::iter::repeat_n('0', 4 * fraction_groups - shown));
    let missing = digits.len().next_multiple_of(4) - digits.len();
    digits.insert_str(0, &"000"[..missing]);
    let groups: Vec<u16> = digits
        .as_bytes()
        .chunks(4)
        .map(|group| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        .collect();
    write_groups(negative, &groups, shown as u16, out);
    Ok(())
}

/// Writes a number that fits 64 bits, whose scale is the column's.
pub fn write_small(negative: bool, unscaled: u64, scale: u8, out: &mut Vec<u8>) {
    let mut groups = [0_u16; 6];
    let mut at = groups.len();
    let mut rest = unscaled;
    let partial = u32::from(scale % 4);
    if partial > 0 {
        let unit = 10_u64.pow(partial);
        at -= 1;
        groups[at] = (rest % unit) as u16 * 10_u16.pow(4 - partial);
        rest /= unit;
    }
    while rest > 0 {
        at -= 1;
        groups[at] = (rest % 10_000) as u16;
        rest /= 10_000;
    }
    write_groups(negative, &groups[at..], u16::from(scale), out);
}

/// Writes groups of which the last ends behind the point, with the scale; the first is zero only where all are.
fn write_groups(negative: bool, groups: &[u16], scale: u16, out: &mut Vec<u8>) {
    let weight = groups.len() as i32 - i32::from(scale.div_ceil(4)) - 1;
    let length = groups.iter().rposition(|group| *group != 0).map_or(0, |last| last + 1);
    let groups = &groups[..length];
    let (weight, sign) = match (groups.is_empty(), negative) {
        (true, _) => (0, 0),
        (false, true) => (weight as i16, NEGATIVE),
        (false, false) => (weight as i16, 0),
    };
    out.extend((groups.len() as u16).to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend(scale.to_be_bytes());
    for group in groups {
        out.extend(group.to_be_bytes());
    }
}

/// Writes a number by its text: `-12.50`, `NaN`, `Infinity`.
pub fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    // The scale that numeric_send reads out of the head of an infinity; numeric_recv ignores it.
    let other = match text {
        "NaN" => Some([NAN, 0]),
        "Infinity" => Some([INFINITY, 0x20]),
        "-Infinity" => Some([NEGATIVE_INFINITY, 0x20]),
        _ => None,
    };
    if let Some([sign, scale]) = other {
        out.extend([0, 0, 0, 0]);
        out.extend(sign.to_be_bytes());
        out.extend(scale.to_be_bytes());
        return Ok(());
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::not_held("the text is no number"));
    }
    write_digits(negative, &digits, fraction.len() as i32, None, out)
}
