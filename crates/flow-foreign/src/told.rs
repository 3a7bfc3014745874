//! What a server says of itself.

/// Who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its version, as it writes it.
    pub version: String,
    /// Whether the connection is encrypted; `None` of a file.
    pub encrypted: Option<bool>,
}
