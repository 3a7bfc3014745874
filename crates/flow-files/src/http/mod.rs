//! The answers of APIs, where the build has an HTTP client (the cargo feature `clouds`).

#[cfg(feature = "clouds")]
mod links;
#[cfg(feature = "clouds")]
mod waiting;
#[cfg(feature = "clouds")]
mod found;
#[cfg(feature = "clouds")]
mod answers;
#[cfg(feature = "clouds")]
mod client;
#[cfg(feature = "clouds")]
mod pages;
#[cfg(not(feature = "clouds"))]
mod absent;

#[cfg(not(feature = "clouds"))]
pub use absent::begin;
#[cfg(feature = "clouds")]
pub use pages::begin;

use crate::api::Api;
use crate::records::RecordsSource;

/// The rows of an API's answers.
pub fn answers_of(api: Api) -> RecordsSource {
    let words = format!("the answers of {}", api.shown);
    RecordsSource::new(words, Box::new(move || begin(&api)))
}
