//! The values of an enum on their way into an array: numbers of its labels, which are the same in every batch.

use crate::fault::Fault;
use arrow_array::builder::Int32Builder;
use arrow_array::{ArrayRef, DictionaryArray, StringArray};
use std::collections::HashMap;
use std::sync::Arc;

/// The values gathered so far.
pub struct Labels {
    numbers: HashMap<String, i32>,
    labels: ArrayRef,
    keys: Int32Builder,
}

impl Labels {
    /// None yet, of an enum with these labels in its order.
    pub fn new(labels: &[String]) -> Labels {
        Labels {
            numbers: labels.iter().cloned().zip(0..).collect(),
            labels: Arc::new(StringArray::from_iter_values(labels)),
            keys: Int32Builder::new(),
        }
    }

    /// Takes one more.
    pub fn push(&mut self, label: &str) -> Result<(), Fault> {
        let number = self.numbers.get(label).ok_or_else(|| {
            Fault::not_held("the value is none of the labels that the type had when the reading began")
                .hint("somebody has changed the enum meanwhile: read again")
        })?;
        self.keys.append_value(*number);
        Ok(())
    }

    /// Takes a NULL.
    pub fn push_null(&mut self) {
        self.keys.append_null();
    }

    /// The array of the values, of which none are left.
    pub fn finish(&mut self) -> ArrayRef {
        let keys = self.keys.finish();
        let array = DictionaryArray::try_new(keys, Arc::clone(&self.labels));
        Arc::new(array.expect("every key is the number of a label"))
    }
}
