//! Values as Postgres sends them, made by other means than the crate's.

use ematix_flow_arrow::{Column, CopyType};
use proptest::prelude::*;

/// One field of a row.
pub type Field = Option<Vec<u8>>;

/// A stream of rows.
pub fn stream(rows: &[Vec<Field>]) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in rows {
        out.extend((row.len() as i16).to_be_bytes());
        for field in row {
            out.extend(framed(field));
        }
    }
    out.extend([0xff, 0xff]);
    out
}

fn framed(field: &Field) -> Vec<u8> {
    match field {
        None => (-1_i32).to_be_bytes().to_vec(),
        Some(bytes) => [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat(),
    }
}

/// The labels of an enum.
pub fn moods() -> std::sync::Arc<[String]> {
    ["sad", "ok", "été"].map(str::to_owned).into()
}

/// A column of every type, and numeric of several shapes.
pub fn columns() -> Vec<Column> {
    let array = |element: CopyType, oid| CopyType::Array(Box::new(element), oid);
    let types = [
        CopyType::Bool,
        CopyType::Length,
        CopyType::Enum(moods()),
        CopyType::Int2,
        CopyType::Int4,
        CopyType::Int8,
        CopyType::Float4,
        CopyType::Float8,
        CopyType::Numeric(12, 2),
        CopyType::Numeric(38, 38),
        CopyType::Numeric(38, 0),
        CopyType::Numeric(76, 30),
        CopyType::NumericText,
        CopyType::Text,
        CopyType::Json,
        CopyType::Jsonb,
        CopyType::Bytea,
        CopyType::Uuid,
        CopyType::Date,
        CopyType::Time,
        CopyType::Timestamp,
        CopyType::TimestampTz,
        CopyType::Interval,
        array(CopyType::Int4, 23),
        array(CopyType::Text, 25),
        array(CopyType::Numeric(20, 4), 1700),
        array(CopyType::Jsonb, 3802),
    ];
    types
        .into_iter()
        .enumerate()
        .map(|(index, data_type)| Column::new(format!("c{index}"), data_type))
        .collect()
}

/// What numeric_send writes for the digits of a number, of which `scale` stand behind the point.
pub fn numeric(negative: bool, digits: &str, scale: usize) -> Vec<u8> {
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let whole = format!("{whole:0>width$}", width = whole.len().div_ceil(4) * 4);
    let fraction = format!("{fraction:0<width$}", width = fraction.len().div_ceil(4) * 4);
    let text = whole.clone() + &fraction;
    let mut groups: Vec<u16> =
        (0..text.len() / 4).map(|at| text[4 * at..4 * at + 4].parse().expect("four digits")).collect();
    let mut weight = whole.len() as i16 / 4 - 1;
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let (weight, sign) =
        if groups.is_empty() { (0, 0) } else { (weight, if negative { 0x4000_u16 } else { 0 }) };
    let mut out = (groups.len() as u16).to_be_bytes().to_vec();
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend((scale as u16).to_be_bytes());
    out.extend(groups.iter().flat_map(|group| group.to_be_bytes()));
    out
}

/// Any value that the type of Arrow holds, as it is sent.
pub fn value(data_type: &CopyType) -> BoxedStrategy<Vec<u8>> {
    let numbers = |precision: usize, scale: usize| {
        (any::<bool>(), prop::collection::vec(0..10_u8, 0..=precision))
            .prop_map(move |(negative, digits)| {
                let digits: String = digits.iter().map(ToString::to_string).collect();
                numeric(negative, &digits, scale)
            })
            .boxed()
    };
    let text = "[^\0]{0,12}".prop_map(String::into_bytes);
    match data_type {
        CopyType::Bool => any::<bool>().prop_map(|value| vec![u8::from(value)]).boxed(),
        CopyType::Int2 => any::<i16>().prop_map(|value| value.to_be_bytes().to_vec()).boxed(),
        CopyType::Int4 => any::<i32>().prop_map(|value| value.to_be_bytes().to_vec()).boxed(),
        CopyType::Int8 => any::<i64>().prop_map(|value| value.to_be_bytes().to_vec()).boxed(),
        // Any bits: every NaN is passed on as it is.
        CopyType::Float4 => any::<[u8; 4]>().prop_map(Vec::from).boxed(),
        CopyType::Float8 => any::<[u8; 8]>().prop_map(Vec::from).boxed(),
        CopyType::Numeric(precision, scale) => numbers(usize::from(*precision), usize::from(*scale)),
        CopyType::NumericText => {
            let shape = (any::<bool>(), "[0-9]{1,40}", 0..60_usize);
            let other = prop::sample::select(vec![[0xc0_u8, 0], [0xd0, 0x20], [0xf0, 0x20]])
                .prop_map(|[sign, scale]| vec![0, 0, 0, 0, sign, 0, 0, scale]);
            prop_oneof![9 => shape.prop_map(|(negative, digits, scale)| numeric(negative, &digits, scale)), 1 => other]
                .boxed()
        }
        CopyType::Text | CopyType::Json => text.boxed(),
        CopyType::Jsonb => text.prop_map(|text| [&[1], &text[..]].concat()).boxed(),
        CopyType::Bytea => prop::collection::vec(any::<u8>(), 0..20).boxed(),
        CopyType::Uuid => any::<[u8; 16]>().prop_map(Vec::from).boxed(),
        CopyType::Date => {
            (-2_451_545..=2_145_031_948_i32).prop_map(|days| days.to_be_bytes().to_vec()).boxed()
        }
        CopyType::Time => (0..86_400_000_000_i64).prop_map(|time| time.to_be_bytes().to_vec()).boxed(),
        CopyType::Timestamp | CopyType::TimestampTz => {
            // From the first moment of Postgres to the last of Arrow.
            (-211_813_488_000_000_000..=i64::MAX - 946_684_800_000_000)
                .prop_map(|moment| moment.to_be_bytes().to_vec())
                .boxed()
        }
        CopyType::Interval => (i64::MIN / 1000..=i64::MAX / 1000, any::<i32>(), any::<i32>())
            .prop_map(|(time, days, months)| {
                [&time.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()].concat()
            })
            .boxed(),
        // Its days would come back as hours.
        CopyType::Length => any::<i64>().prop_map(|time| [&time.to_be_bytes()[..], &[0; 8]].concat()).boxed(),
        CopyType::Enum(labels) => prop::sample::select(labels.to_vec()).prop_map(String::into_bytes).boxed(),
        CopyType::Array(element, oid) => {
            let oid = *oid;
            prop::collection::vec(prop::option::of(value(element)), 0..4)
                .prop_map(move |items| {
                    let mut out = i32::from(!items.is_empty()).to_be_bytes().to_vec();
                    out.extend(i32::from(items.iter().any(Option::is_none)).to_be_bytes());
                    out.extend(oid.to_be_bytes());
                    if !items.is_empty() {
                        out.extend((items.len() as i32).to_be_bytes());
                        out.extend(1_i32.to_be_bytes());
                    }
                    out.extend(items.iter().flat_map(framed));
                    out
                })
                .boxed()
        }
    }
}
