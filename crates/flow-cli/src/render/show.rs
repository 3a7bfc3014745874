//! Every option of a pipeline with where it comes from.

use super::style::{FAINT, STRONG, paint};
use super::table::{padded, width};

/// An option as it holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value as TOML; absent where there is none.
    pub value: Option<String>,
    /// `pipelines.toml:31`, `[defaults] pipelines.toml:12`, `default`.
    pub from: String,
}

/// A head, then a line an option.
pub fn settings(head: &str, settings: &[Setting]) -> String {
    let name_width = settings.iter().map(|setting| width(&setting.name)).max().unwrap_or(0);
    let values: Vec<String> =
        settings.iter().map(|setting| setting.value.clone().unwrap_or_else(|| "–".to_owned())).collect();
    // One long query does not push every origin to the far right.
    let value_width = values.iter().map(|value| width(value)).filter(|width| *width <= 44).max().unwrap_or(0);
    let mut text = format!("{}\n", paint(STRONG, head));
    for (setting, value) in settings.iter().zip(&values) {
        let unset = setting.from == "default";
        let name = padded(&setting.name, name_width);
        let (first, rest) =
            value.split_once('\n').map_or((value.as_str(), None), |(first, rest)| (first, Some(rest)));
        let line = format!("  {name}  {}  {}", padded(first, value_width), paint(FAINT, &setting.from));
        let line = if unset { paint(FAINT, anstream::adapter::strip_str(&line)) } else { line };
        text.push_str(&line);
        text.push('\n');
        for more in rest.into_iter().flat_map(str::lines) {
            text.push_str(&format!("  {}  {more}\n", " ".repeat(name_width)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::plain;

    #[test]
    fn values_and_origins_stand_in_columns() {
        let setting = |name: &str, value: Option<&str>, from: &str| Setting {
            name: name.into(),
            value: value.map(str::to_owned),
            from: from.into(),
        };
        let all = [
            setting("mode", Some("\"scd2\""), "pipelines.toml:31"),
            setting("lock_timeout", Some("\"60s\""), "default"),
            setting("owner", None, "default"),
        ];
        assert_eq!(
            plain(&settings("customers", &all)),
            "\
customers
  mode          \"scd2\"  pipelines.toml:31
  lock_timeout  \"60s\"   default
  owner         –       default
"
        );
    }
}
