//! An API that answers JSON over HTTP as a source, as it is written.

use super::interpolation::is_one_variable;
use crate::duration::Duration;
use crate::secret::Secret;
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

/// An API that answers JSON over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// Where it is; `${env:NAME}` and `${file:PATH}` stand for what is known when a run begins.
    pub url: String,
    /// How it is asked; GET unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// What it is sent as JSON, with POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<HttpBody>,
    /// Headers by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty", serialize_with = "all_hidden")]
    pub headers: IndexMap<String, Secret>,
    /// Parameters of the query by name; `:watermark` is how far the last run came, `:watermark|2020-01-01` says what the
    /// first run sends.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub params: IndexMap<String, Param>,
    /// Where the rows stand in an answer: `data.items`; the answer is a list itself unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<String>,
    /// How the next page is asked for; there is one page unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paginate: Option<Paginate>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<HttpAuth>,
    /// How often it may be asked: "10/s", "600/m", "5000/h"; as fast as it answers unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// How long one answer may take; 60s unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How many bytes one answer may have, unpacked; 64 MiB unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<NonZeroU64>,
    /// How many pages a run reads at most: more are an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pages: Option<NonZeroU32>,
    /// How often a page is asked for again that failed for now; 5 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Where relative paths of `${file:PATH}` start.
    #[schemars(skip)]
    #[serde(skip)]
    pub directory: PathBuf,
}

impl HttpSpec {
    /// Where it is, as anybody may read it: without a query, where keys stand.
    pub fn shown_url(&self) -> &str {
        self.url.split(['?', '#']).next().unwrap_or_default()
    }

    /// The texts of its parameters and its body that are the watermark, each with its place.
    pub fn watermarks(&self) -> Vec<String> {
        let is_it = |text: &str| watermark_default(text).is_some();
        let texts = self.params.iter().filter_map(|(name, param)| match param {
            Param::Text(text) if is_it(text.reveal()) => Some(format!("params.{name}")),
            _ => None,
        });
        let body = self.body.iter().filter(|body| body.texts().iter().any(|text| is_it(text)));
        texts.chain(body.map(|_| "body".to_owned())).collect()
    }

    /// Every text that may hold `${…}`, with its place.
    pub fn templates(&self) -> Vec<(String, &str)> {
        let mut found = vec![("url".to_owned(), self.url.as_str())];
        found.extend(self.headers.iter().map(|(name, text)| (format!("headers.{name}"), text.reveal())));
        found.extend(self.params.iter().filter_map(|(name, param)| match param {
            Param::Text(text) => Some((format!("params.{name}"), text.reveal())),
            _ => None,
        }));
        found.extend(self.body.iter().flat_map(HttpBody::texts).map(|text| ("body".to_owned(), text)));
        let Some(auth) = &self.auth else { return found };
        found.extend(auth.bearer.iter().map(|text| ("auth.bearer".to_owned(), text.reveal())));
        if let Some(basic) = &auth.basic {
            found.push(("auth.basic.username".to_owned(), basic.username.reveal()));
            found.push(("auth.basic.password".to_owned(), basic.password.reveal()));
        }
        if let Some(oauth) = &auth.oauth {
            found.push(("auth.oauth.token_url".to_owned(), &oauth.token_url));
            found.push(("auth.oauth.client_id".to_owned(), oauth.client_id.reveal()));
            found.push(("auth.oauth.client_secret".to_owned(), oauth.client_secret.reveal()));
        }
        found
    }
}

/// What stands for the watermark on a first run, of a text that is `:watermark` or `:watermark|DEFAULT`; nothing of others.
pub fn watermark_default(text: &str) -> Option<Option<&str>> {
    match text.strip_prefix(":watermark")? {
        "" => Some(None),
        rest => rest.strip_prefix('|').map(Some),
    }
}

/// How an API is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Method {
    /// GET.
    #[serde(rename = "GET")]
    Get,
    /// POST.
    #[serde(rename = "POST")]
    Post,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Param {
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Whole(i64),
    /// A string.
    Text(Secret),
}

/// As it is written: a key belongs in `${env:NAME}`.
impl Serialize for Param {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Param::Boolean(truth) => serializer.serialize_bool(*truth),
            Param::Whole(number) => serializer.serialize_i64(*number),
            Param::Text(text) => serializer.serialize_str(text.reveal()),
        }
    }
}

/// An object of JSON that is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HttpBody(pub Map<String, Value>);

impl HttpBody {
    fn texts(&self) -> Vec<&str> {
        fn inside<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
            match value {
                Value::String(text) => found.push(text),
                Value::Array(items) => items.iter().for_each(|item| inside(item, found)),
                Value::Object(object) => object.values().for_each(|item| inside(item, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        self.0.values().for_each(|value| inside(value, &mut found));
        found
    }
}

impl fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl JsonSchema for HttpBody {
    fn schema_name() -> Cow<'static, str> {
        "HttpBody".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "object", "description": "An object of JSON that is sent."})
    }
}

/// How the next page is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Paginate {
    /// By what an answer says of itself.
    Told(Told),
    /// By a parameter.
    By(Box<PaginateBy>),
}

/// What tells the next page without a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The header `Link` with rel="next".
    LinkHeader,
}

/// A parameter that asks for the next page: one of `cursor`, `page` and `offset`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PaginateBy {
    /// Where an answer says what the next page is: a value, or a whole URL. Nothing, null, "" and false end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The parameter that takes the cursor; the last part of `cursor` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// The parameter that takes the number of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// The number of the first page; 1 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// The parameter that takes how many rows came before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// How many rows a page has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroU32>,
    /// The parameter that takes `limit`; `limit` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_param: Option<String>,
    /// Where an answer says how many rows there are in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
}

/// Who asks: one of `bearer`, `basic` and `oauth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpAuth {
    /// A token.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "hidden_or_none")]
    pub bearer: Option<Secret>,
    /// A name and a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicAuth>,
    /// Client credentials of OAuth 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<Oauth>,
}

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The name.
    #[serde(serialize_with = "hidden")]
    pub username: Secret,
    /// The password.
    #[serde(serialize_with = "hidden")]
    pub password: Secret,
}

/// Client credentials of OAuth 2: a token is asked for with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oauth {
    /// Who gives the token.
    pub token_url: String,
    /// The client.
    #[serde(serialize_with = "hidden")]
    pub client_id: Secret,
    /// Its secret.
    #[serde(serialize_with = "hidden")]
    pub client_secret: Secret,
    /// What the token is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// What is shown and compared of a secret: the variable that it is, nothing else.
fn shown(secret: &Secret) -> &str {
    Some(secret.reveal()).filter(|text| is_one_variable(text)).unwrap_or("…")
}

fn hidden<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(shown(secret))
}

fn hidden_or_none<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(shown).serialize(serializer)
}

fn all_hidden<S: Serializer>(secrets: &IndexMap<String, Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut out = serializer.serialize_map(Some(secrets.len()))?;
    for (name, secret) in secrets {
        out.serialize_entry(name, shown(secret))?;
    }
    out.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_an_api_holds_no_secret() {
        let spec = HttpSpec {
            url: "https://h.example/a?key=hunter2".to_owned(),
            headers: IndexMap::from([
                ("X-Key".to_owned(), Secret::from("hunter2")),
                ("X-Other".to_owned(), Secret::from("${env:KEY}")),
            ]),
            auth: Some(HttpAuth {
                basic: Some(BasicAuth { username: "${env:ME}".into(), password: "hunter2".into() }),
                ..HttpAuth::default()
            }),
            ..HttpSpec::default()
        };
        assert_eq!(spec.shown_url(), "https://h.example/a");
        let shown = serde_json::to_value(&spec).unwrap();
        assert_eq!(shown["headers"], serde_json::json!({"X-Key": "…", "X-Other": "${env:KEY}"}));
        assert_eq!(shown["auth"], serde_json::json!({"basic": {"username": "${env:ME}", "password": "…"}}));
        let spec = HttpSpec { url: spec.shown_url().to_owned(), ..spec };
        assert!(!format!("{spec:?}").contains("hunter2"));
    }

    #[test]
    fn a_watermark_may_say_what_a_first_run_sends() {
        assert_eq!(watermark_default(":watermark"), Some(None));
        assert_eq!(watermark_default(":watermark|2020-01-01"), Some(Some("2020-01-01")));
        assert_eq!(watermark_default(":watermarks"), None);
    }
}
