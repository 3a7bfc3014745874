//! Reads `pipelines.toml`.
