//! Takes over a history that another tool has kept: recognises its form by its columns, finds what keeps it from being
//! one of scd2's, and words what would settle that. Pure: the table is a value, what is asked of it a statement.

mod findings;
mod form;

pub use findings::{Finding, Held, Question, ends, judged, other_metadata, plan, questions};
pub use form::{Asked, Form, Maker, TimeColumn};
