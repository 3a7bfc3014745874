//! The type that holds the values of two, and values as that type. What would be rounded has none. Pure.

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ListArray, PrimitiveArray, new_null_array};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field, TimeUnit};
use std::sync::Arc;

/// The type as which values of a type are told: one text, one binary and one list of those that Arrow has.
pub fn told(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => told(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(Field::new("item", told(item.data_type()), true)))
        }
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    }
}

/// The type that holds the values of two told ones; `None` where a value might change.
pub fn both(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::{Decimal128, Decimal256, Float32, Float64, List, Null, Timestamp};
    if one == other {
        return Some(one.clone());
    }
    Some(match (one, other) {
        (Null, known) | (known, Null) => known.clone(),
        (Float32, Float64) | (Float64, Float32) => Float64,
        // A double has 53 bits for a whole number.
        (Float64, whole) | (whole, Float64) if bits(whole).is_some_and(|(bits, _)| bits <= 32) => Float64,
        (Timestamp(unit, zone), Timestamp(second, other_zone)) if zone.is_some() == other_zone.is_some() => {
            Timestamp(*unit.max(second), zone.clone())
        }
        (List(item), List(second)) => {
            List(Arc::new(Field::new("item", both(item.data_type(), second.data_type())?, true)))
        }
        _ => match (bits(one), bits(other)) {
            (Some(one), Some(other)) => whole(one, other),
            _ => {
                let ((digits, scale), (others, second)) = (digits(one)?, digits(other)?);
                let scale = scale.max(second);
                let precision = digits.max(others) + scale;
                match precision {
                    ..=38 => Decimal128(precision as u8, scale as i8),
                    39..=76 => Decimal256(precision as u8, scale as i8),
                    _ => return None,
                }
            }
        },
    })
}

/// How many bits a whole number has, and whether one is its sign.
fn bits(data_type: &DataType) -> Option<(u32, bool)> {
    Some(match data_type {
        DataType::Int8 => (8, true),
        DataType::Int16 => (16, true),
        DataType::Int32 => (32, true),
        DataType::Int64 => (64, true),
        DataType::UInt8 => (8, false),
        DataType::UInt16 => (16, false),
        DataType::UInt32 => (32, false),
        DataType::UInt64 => (64, false),
        _ => return None,
    })
}

fn whole(one: (u32, bool), other: (u32, bool)) -> DataType {
    let signed = one.1 || other.1;
    let needed = |(bits, is_signed): (u32, bool)| if signed && !is_signed { bits * 2 } else { bits };
    match (needed(one).max(needed(other)), signed) {
        (16, true) => DataType::Int16,
        (32, true) => DataType::Int32,
        (64, true) => DataType::Int64,
        (16, false) => DataType::UInt16,
        (32, false) => DataType::UInt32,
        (64, false) => DataType::UInt64,
        (8, _) => unreachable!("two types of eight bits are one, or need sixteen"),
        _ => DataType::Decimal128(20, 0),
    }
}

/// Digits before the point and behind it.
fn digits(data_type: &DataType) -> Option<(i32, i32)> {
    Some(match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            (i32::from(*precision) - i32::from(*scale), i32::from(*scale).max(0))
        }
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        _ => return None,
    })
}

/// Values as a type that holds them; `None` where one is none of it.
pub fn widened(array: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    if array.data_type() == to {
        return Some(Arc::clone(array));
    }
    if *array.data_type() == DataType::Null {
        return Some(new_null_array(to, array.len()));
    }
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        let plain = arrow_select::take::take(dictionary.values(), dictionary.keys(), None).ok()?;
        return widened(&plain, to);
    }
    match to {
        DataType::Utf8 => {
            let mut into = StringBuilder::new();
            match array.data_type() {
                DataType::LargeUtf8 => {
                    array.as_string::<i64>().iter().for_each(|text| into.append_option(text));
                }
                DataType::Utf8View => array.as_string_view().iter().for_each(|text| into.append_option(text)),
                _ => return None,
            }
            Some(Arc::new(into.finish()))
        }
        DataType::Binary => {
            let mut into = BinaryBuilder::new();
            match array.data_type() {
                DataType::LargeBinary => {
                    array.as_binary::<i64>().iter().for_each(|bytes| into.append_option(bytes));
                }
                DataType::BinaryView => {
                    array.as_binary_view().iter().for_each(|bytes| into.append_option(bytes));
                }
                _ => return None,
            }
            Some(Arc::new(into.finish()))
        }
        DataType::Int16 => numbers::<Int16Type>(array),
        DataType::Int32 => numbers::<Int32Type>(array),
        DataType::Int64 => numbers::<Int64Type>(array),
        DataType::UInt16 => numbers::<UInt16Type>(array),
        DataType::UInt32 => numbers::<UInt32Type>(array),
        DataType::UInt64 => numbers::<UInt64Type>(array),
        DataType::Float32 => {
            let halves = array.as_primitive_opt::<Float16Type>()?;
            Some(Arc::new(halves.unary::<_, Float32Type>(|number| number.to_f32())))
        }
        DataType::Float64 => match array.data_type() {
            DataType::Float16 => {
                let halves = array.as_primitive::<Float16Type>();
                Some(Arc::new(halves.unary::<_, Float64Type>(|number| f64::from(number.to_f32()))))
            }
            DataType::Float32 => {
                Some(Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float64Type>(f64::from)))
            }
            _ => {
                let numbers =
                    whole_numbers(array)?.into_iter().map(|number| number.map(|number| number as f64));
                Some(Arc::new(numbers.collect::<PrimitiveArray<Float64Type>>()))
            }
        },
        DataType::Decimal128(_, scale) => {
            let numbers: Option<Vec<Option<i128>>> = scaled(array, *scale)?
                .into_iter()
                .map(|number| number.map_or(Some(None), |number| number.to_i128().map(Some)))
                .collect();
            let numbers = PrimitiveArray::<Decimal128Type>::from_iter(numbers?);
            Some(Arc::new(numbers.with_data_type(to.clone())))
        }
        DataType::Decimal256(_, scale) => {
            let numbers = PrimitiveArray::<Decimal256Type>::from_iter(scaled(array, *scale)?);
            Some(Arc::new(numbers.with_data_type(to.clone())))
        }
        DataType::Timestamp(unit, zone) => timestamps(array, *unit, zone.clone()),
        DataType::List(item) => list(array, item.data_type()),
        _ => None,
    }
}

fn list(array: &ArrayRef, item: &DataType) -> Option<ArrayRef> {
    let field = Arc::new(Field::new("item", item.clone(), true));
    let (offsets, values, nulls) = match array.data_type() {
        DataType::List(_) => {
            let (_, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            (offsets, values, nulls)
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            let lengths = lists.offsets().windows(2).map(|pair| (pair[1] - pair[0]) as usize);
            let first = *lists.offsets().first()? as usize;
            let length = *lists.offsets().last()? as usize - first;
            i32::try_from(length).ok()?;
            let offsets = arrow_buffer::OffsetBuffer::from_lengths(lengths);
            (offsets, lists.values().slice(first, length), lists.nulls().cloned())
        }
        DataType::FixedSizeList(_, size) => {
            let lists = array.as_fixed_size_list();
            let offsets =
                arrow_buffer::OffsetBuffer::from_lengths(std::iter::repeat_n(*size as usize, lists.len()));
            (offsets, Arc::clone(lists.values()), lists.nulls().cloned())
        }
        _ => return None,
    };
    Some(Arc::new(ListArray::new(field, offsets, widened(&values, item)?, nulls)))
}

fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<ArrayRef>
where
    T::Native: TryFrom<i128>,
{
    let numbers: Option<Vec<Option<T::Native>>> = whole_numbers(array)?
        .into_iter()
        .map(|number| number.map_or(Some(None), |number| T::Native::try_from(number).ok().map(Some)))
        .collect();
    Some(Arc::new(numbers?.into_iter().collect::<PrimitiveArray<T>>()))
}

fn whole_numbers(array: &ArrayRef) -> Option<Vec<Option<i128>>> {
    macro_rules! each {
        ($as:ty) => {
            array.as_primitive::<$as>().iter().map(|number| number.map(i128::from)).collect()
        };
    }
    Some(match array.data_type() {
        DataType::Int8 => each!(Int8Type),
        DataType::Int16 => each!(Int16Type),
        DataType::Int32 => each!(Int32Type),
        DataType::Int64 => each!(Int64Type),
        DataType::UInt8 => each!(UInt8Type),
        DataType::UInt16 => each!(UInt16Type),
        DataType::UInt32 => each!(UInt32Type),
        DataType::UInt64 => each!(UInt64Type),
        _ => return None,
    })
}

/// Decimals and whole numbers, times 10 to the power of a scale that is none of theirs' below.
fn scaled(array: &ArrayRef, scale: i8) -> Option<Vec<Option<i256>>> {
    let (numbers, own): (Vec<Option<i256>>, i8) = match array.data_type() {
        DataType::Decimal32(_, own) => {
            let decimals = array.as_primitive::<Decimal32Type>().iter();
            (decimals.map(|number| number.map(|number| i256::from_i128(number.into()))).collect(), *own)
        }
        DataType::Decimal64(_, own) => {
            let decimals = array.as_primitive::<Decimal64Type>().iter();
            (decimals.map(|number| number.map(|number| i256::from_i128(number.into()))).collect(), *own)
        }
        DataType::Decimal128(_, own) => {
            let decimals = array.as_primitive::<Decimal128Type>().iter();
            (decimals.map(|number| number.map(i256::from_i128)).collect(), *own)
        }
        DataType::Decimal256(_, own) => (array.as_primitive::<Decimal256Type>().iter().collect(), *own),
        _ => {
            let numbers = whole_numbers(array)?.into_iter();
            (numbers.map(|number| number.map(i256::from_i128)).collect(), 0)
        }
    };
    let factor = i256::from_i128(10).checked_pow(u32::try_from(i32::from(scale) - i32::from(own)).ok()?)?;
    numbers
        .into_iter()
        .map(|number| number.map_or(Some(None), |number| number.checked_mul(factor).map(Some)))
        .collect()
}

fn timestamps(array: &ArrayRef, unit: TimeUnit, zone: Option<Arc<str>>) -> Option<ArrayRef> {
    let per_second = |unit: TimeUnit| match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000_i64,
    };
    let DataType::Timestamp(own, _) = array.data_type() else { return None };
    let factor = per_second(unit).checked_div(per_second(*own)).filter(|factor| *factor > 0)?;
    let numbers: Vec<Option<i64>> = match own {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().iter().collect(),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().iter().collect(),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().iter().collect(),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().iter().collect(),
    };
    let numbers: Option<Vec<Option<i64>>> = numbers
        .into_iter()
        .map(|number| number.map_or(Some(None), |number| number.checked_mul(factor).map(Some)))
        .collect();
    let numbers = numbers?;
    Some(match unit {
        TimeUnit::Second => {
            Arc::new(PrimitiveArray::<TimestampSecondType>::from(numbers).with_timezone_opt(zone))
        }
        TimeUnit::Millisecond => {
            Arc::new(PrimitiveArray::<TimestampMillisecondType>::from(numbers).with_timezone_opt(zone))
        }
        TimeUnit::Microsecond => {
            Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(numbers).with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => {
            Arc::new(PrimitiveArray::<TimestampNanosecondType>::from(numbers).with_timezone_opt(zone))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_types_go_together_where_no_value_changes() {
        use DataType::*;
        let cases = [
            (Int32, Int64, Some(Int64)),
            (Int8, UInt8, Some(Int16)),
            (UInt32, Int8, Some(Int64)),
            (UInt64, Int8, Some(Decimal128(20, 0))),
            (Float32, Float64, Some(Float64)),
            (Int32, Float64, Some(Float64)),
            (Int64, Float64, None),
            (Decimal128(10, 2), Decimal128(10, 4), Some(Decimal128(12, 4))),
            (Decimal128(38, 2), Decimal128(10, 8), Some(Decimal256(44, 8))),
            (Int64, Decimal128(10, 2), Some(Decimal128(21, 2))),
            (Null, Utf8, Some(Utf8)),
            (Utf8, Int64, None),
            (
                Timestamp(TimeUnit::Millisecond, None),
                Timestamp(TimeUnit::Microsecond, None),
                Some(Timestamp(TimeUnit::Microsecond, None)),
            ),
            (
                Timestamp(TimeUnit::Microsecond, None),
                Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                None,
            ),
        ];
        for (one, other, expected) in cases {
            assert_eq!(both(&one, &other), expected, "{one} and {other}");
            assert_eq!(both(&other, &one), expected, "{other} and {one}");
        }
    }
}
