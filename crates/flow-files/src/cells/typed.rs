//! Values that come with a type of their own, from databases: as exact as those that come as text.

use super::{Cells, Misread, Values, misread};
use ematix_flow_arrow::CopyType;

impl Cells {
    /// Takes a whole number.
    ///
    /// # Errors
    /// One that is no value of the column.
    pub fn push_whole(&mut self, value: i64) -> Result<(), Misread> {
        match (&mut self.values, i16::try_from(value), i32::try_from(value)) {
            (Values::Int8(into), ..) => into.append_value(value),
            (Values::Int4(into), _, Ok(small)) => into.append_value(small),
            (Values::Int2(into), Ok(small), _) => into.append_value(small),
            (Values::Float8(into), ..) if value as f64 as i128 == i128::from(value) => {
                into.append_value(value as f64);
            }
            (Values::Float8(_), ..) => {
                return Err(misread(&value.to_string(), &CopyType::Float8, Some("it would be rounded")));
            }
            _ => return self.push(&value.to_string()),
        }
        Ok(())
    }

    /// Takes a number of floating point: where the column has decimals, the shortest that stands for it.
    ///
    /// # Errors
    /// One that is no value of the column.
    pub fn push_float(&mut self, value: f64) -> Result<(), Misread> {
        match &mut self.values {
            Values::Float8(into) => into.append_value(value),
            Values::Float4(into) if f64::from(value as f32) == value || value.is_nan() => {
                into.append_value(value as f32);
            }
            Values::Float4(_) => {
                return Err(misread(&value.to_string(), &CopyType::Float4, Some("it would be rounded")));
            }
            Values::Int2(_)
            | Values::Int4(_)
            | Values::Int8(_)
            | Values::Numeric(..)
            | Values::LongNumeric(..)
            | Values::NumericText(_) => return self.push(&value.to_string()),
            _ => return Err(misread(&value.to_string(), &self.data_type, Some("it is a number"))),
        }
        Ok(())
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// Those of a column that has others.
    pub fn push_bytes(&mut self, value: &[u8]) -> Result<(), Misread> {
        match &mut self.values {
            Values::Bytea(into) => into.append_value(value),
            Values::Uuid(into) if value.len() == 16 => into.append_value(value).expect("sixteen bytes"),
            _ => {
                let what = format!("a value of {} bytes is no {}", value.len(), self.data_type.name());
                return Err(what);
            }
        }
        Ok(())
    }
}
