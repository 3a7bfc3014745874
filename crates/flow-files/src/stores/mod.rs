//! Files in object stores and on web servers, where the build has them (the cargo feature `clouds`).

#[cfg(feature = "clouds")]
mod profile;
#[cfg(feature = "clouds")]
mod answers;
#[cfg(feature = "clouds")]
mod connect;
#[cfg(feature = "clouds")]
mod requests;
#[cfg(not(feature = "clouds"))]
mod absent;

#[cfg(not(feature = "clouds"))]
pub use absent::Stores;
#[cfg(feature = "clouds")]
pub use requests::Stores;

use bytes::Bytes;
use futures_util::stream::BoxStream;

/// The bytes of a file as they come.
pub type Chunks = BoxStream<'static, std::io::Result<Bytes>>;
