//! Who is told how a run has ended, as written: `notify` of a pipeline.

use super::interpolation::{Template, is_one_variable};
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError};
use crate::secret::Secret;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// One who is told: a URL that gets the report, or a command that reads it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// The statuses that are told: `failed`, `refused`, `locked` and `lost` unless said.
    #[serde(default)]
    pub on: Option<Vec<Ending>>,
    /// The URL that gets the report as JSON; `${env:NAME}` and `${file:PATH}` stand for what nobody may read.
    #[serde(default)]
    pub webhook: Option<Secret>,
    /// What the URL is sent besides, by name.
    #[serde(default)]
    pub headers: Option<IndexMap<String, Secret>>,
    /// A program with its arguments, instead of `webhook`: it reads the report as JSON from its standard input.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// How long it may take in all, tries included; 5s unless said, 30s at most.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// A status that a run may end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The load stands.
    Success,
    /// Trying again may help.
    Failed,
    /// Nothing was written; a person decides.
    Refused,
    /// Another run held the target for too long.
    Locked,
    /// Somebody stopped it.
    Cancelled,
    /// It was not started.
    Skipped,
    /// Its process disappeared; told by the next run that finds it.
    Lost,
}

impl Ending {
    /// What is told unless said otherwise: what a person has to look at.
    const USUAL: &[Ending] = &[Ending::Failed, Ending::Refused, Ending::Locked, Ending::Lost];

    /// The status as reports say it.
    pub const fn name(self) -> &'static str {
        match self {
            Ending::Success => "success",
            Ending::Failed => "failed",
            Ending::Refused => "refused",
            Ending::Locked => "locked",
            Ending::Cancelled => "cancelled",
            Ending::Skipped => "skipped",
            Ending::Lost => "lost",
        }
    }
}

/// How long one who does not answer is waited for.
const USUAL_SECONDS: u64 = 5;

/// The longest that anybody may wish to be waited for.
const MOST_SECONDS: u64 = 30;

impl Notification {
    /// Whether a run that ended with a status of that name is told.
    pub fn is_about(&self, status: &str) -> bool {
        self.endings().iter().any(|ending| ending.name() == status)
    }

    /// What is told.
    pub fn endings(&self) -> &[Ending] {
        self.on.as_deref().unwrap_or(Ending::USUAL)
    }

    /// How long it may take in all.
    pub fn limit(&self) -> std::time::Duration {
        match &self.timeout {
            Some(timeout) => timeout.as_std(),
            None => std::time::Duration::from_secs(USUAL_SECONDS),
        }
    }

    /// Where it goes, as anybody may read it: no path of a URL, since that is often the secret, and no argument.
    pub fn shown(&self) -> String {
        match (&self.webhook, self.command.as_deref()) {
            (Some(url), _) => format!("webhook {}", shown_url(url)),
            (None, Some([program, ..])) => format!("command {program}"),
            (None, _) => "nobody".to_owned(),
        }
    }

    /// What is wrong with it, each with the part that is.
    pub fn mistakes(&self) -> Vec<(&'static str, FlowError)> {
        let mut found = Vec::new();
        let mut wrong = |part, code, message: &str, hint: &str| {
            found.push((part, FlowError::new(code, message).hint(hint)));
        };
        match (&self.webhook, &self.command) {
            (None, None) => wrong(
                "",
                ErrorCode::MissingOption,
                "an entry of `notify` says neither `webhook` nor `command`",
                "write { webhook = \"https://…\" } or { command = [\"PROGRAM\", …] }",
            ),
            (Some(_), Some(_)) => wrong(
                "command",
                ErrorCode::ConflictingOptions,
                "`webhook` and `command` exclude each other",
                "write two entries of notify",
            ),
            (None, Some(_)) if self.headers.is_some() => wrong(
                "headers",
                ErrorCode::ConflictingOptions,
                "`headers` are for `webhook`: a command has none",
                "remove headers, or give what they say as an argument",
            ),
            (None, Some(words)) if words.first().is_none_or(String::is_empty) => wrong(
                "command",
                ErrorCode::InvalidValue,
                "`command` names no program",
                "write command = [\"PROGRAM\", \"ARGUMENT\", …]: no shell reads it",
            ),
            _ => {}
        }
        if self.on.as_ref().is_some_and(Vec::is_empty) {
            let hint = "name a status, or remove it: failed, refused, locked and lost are told then";
            wrong("on", ErrorCode::InvalidValue, "`on` names no status", hint);
        }
        if self.limit().is_zero() || self.limit() > std::time::Duration::from_secs(MOST_SECONDS) {
            let message = format!("`timeout` of a notification must lie between 1ms and {MOST_SECONDS}s");
            let hint = "a process waits so long at its end for one who does not answer";
            wrong("timeout", ErrorCode::InvalidValue, &message, hint);
        }
        let headers = self.headers.iter().flatten();
        for (name, value) in headers.clone() {
            if !is_header_name(name) || value.reveal().contains(|c: char| c.is_control()) {
                let message = format!("`{name}` cannot be a header with that value");
                let hint = "a name is letters, digits and -, a value one line";
                wrong("headers", ErrorCode::InvalidValue, &message, hint);
            }
        }
        if let Some(url) = &self.webhook {
            let written = url.reveal();
            let open = written.starts_with("https://") || written.starts_with("http://");
            // What begins with a variable is judged when it is there.
            if !open && !written.starts_with("${") {
                let hint = "write \"https://…\", or ${env:NAME}";
                wrong("webhook", ErrorCode::InvalidValue, "`webhook` is no http or https URL", hint);
            }
        }
        let values = headers.map(|(_, value)| ("headers", value));
        for (part, text) in values.chain(self.webhook.as_ref().map(|url| ("webhook", url))) {
            if let Err(malformed) = Template::parse(text.reveal()) {
                let error = FlowError::new(ErrorCode::InvalidValue, malformed.message);
                found.push((part, FlowError { hint: malformed.hint, ..error }));
            }
        }
        found
    }
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A URL without what may be secret in it: `https://hooks.example.org/…`; a variable as it is written.
pub fn shown_url(url: &Secret) -> String {
    let text = url.reveal();
    if is_one_variable(text) {
        return text.to_owned();
    }
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| !scheme.contains("${")) else {
        return "…".to_owned();
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // Before the @ stand a user and a password.
    let host = host.rsplit('@').next().unwrap_or_default();
    if host.contains("${") { format!("{scheme}://…") } else { format!("{scheme}://{host}/…") }
}

/// What is shown and compared of it holds no secret.
impl Serialize for Notification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        if let Some(on) = &self.on {
            out.serialize_entry("on", on)?;
        }
        if let Some(url) = &self.webhook {
            out.serialize_entry("webhook", &shown_url(url))?;
        }
        if let Some(headers) = &self.headers {
            let shown: IndexMap<&str, &str> = headers
                .iter()
                .map(|(name, value)| {
                    (name.as_str(), Some(value.reveal()).filter(|text| is_one_variable(text)))
                })
                .map(|(name, value)| (name, value.unwrap_or("…")))
                .collect();
            out.serialize_entry("headers", &shown)?;
        }
        if let Some(command) = &self.command {
            out.serialize_entry("command", command)?;
        }
        if let Some(timeout) = &self.timeout {
            out.serialize_entry("timeout", timeout)?;
        }
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_a_url_is_not_shown() {
        let shown = |url: &str| shown_url(&Secret::from(url));
        assert_eq!(shown("https://hooks.slack.com/services/T0/B0/x"), "https://hooks.slack.com/…");
        assert_eq!(shown("https://me:pw@h.example:8443?key=1"), "https://h.example:8443/…");
        assert_eq!(shown("${env:SLACK_URL}"), "${env:SLACK_URL}");
        assert_eq!(shown("${env:SLACK_URL:-https://h/secret}"), "…");
        assert_eq!(shown("https://${env:HOST}/x"), "https://…");
        assert_eq!(shown("https://h.example/${env:KEY}"), "https://h.example/…");
    }

    #[test]
    fn a_notification_that_is_shown_or_compared_tells_no_secret() {
        let notification = Notification {
            webhook: Some(Secret::from("https://h.example/secret")),
            headers: Some(IndexMap::from([
                ("Authorization".to_owned(), Secret::from("Bearer secret")),
                ("X-Key".to_owned(), Secret::from("${env:KEY}")),
            ])),
            ..Notification::default()
        };
        assert_eq!(
            serde_json::to_string(&notification).unwrap(),
            r#"{"webhook":"https://h.example/…","headers":{"Authorization":"…","X-Key":"${env:KEY}"}}"#
        );
        assert!(!format!("{notification:?}").contains("secret"));
    }
}
