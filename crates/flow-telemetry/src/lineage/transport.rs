//! Where events go, by the variables of the OpenLineage clients: https://openlineage.io/docs/client/python/configuration.

use crate::courier::Hurry;
use crate::http::Post;
use ematix_flow_core::declare::environment::Environment;
use ematix_flow_core::secret::Secret;
use jiff::Zoned;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The path below the URL unless said.
const USUAL_ENDPOINT: &str = "api/v1/lineage";

/// How long one event may take, its tries included, as in the clients.
const USUAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Where events go.
pub enum Transport {
    /// To a server.
    Http {
        /// The URL with its path.
        url: String,
        /// The URL without what may be secret in it.
        shown: String,
        /// What is sent besides.
        headers: Vec<(String, Secret)>,
        /// How long one event may take.
        timeout: Duration,
    },
    /// Into a file, one event a line; or, as the clients do it unless `append` is said, into a file for each event.
    File {
        /// The file, or how the names of the files begin.
        path: PathBuf,
        /// Whether one file has all of them.
        append: bool,
    },
    /// To stderr.
    Console,
}

impl Transport {
    /// What is said: `OPENLINEAGE__TRANSPORT__…`, else `OPENLINEAGE_URL`.
    ///
    /// # Errors
    /// What this version does not have.
    pub fn from_environment(environment: &dyn Environment) -> Result<Option<Transport>, String> {
        let said = |name: &str| {
            environment.variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let of_transport =
            |name: &str| said(&format!("OPENLINEAGE__TRANSPORT__{name}")).map(|value| plain(&value));
        match of_transport("TYPE").as_deref() {
            Some("file") => {
                let path = of_transport("LOG_FILE_PATH")
                    .ok_or("the transport file needs OPENLINEAGE__TRANSPORT__LOG_FILE_PATH")?;
                let append = of_transport("APPEND").is_some_and(|said| said.eq_ignore_ascii_case("true"));
                let path = path.strip_prefix("file://").unwrap_or(&path);
                Ok(Some(Transport::File { path: PathBuf::from(path), append }))
            }
            Some("console") => Ok(Some(Transport::Console)),
            Some("noop") => Ok(None),
            Some("http" | "async_http") | None => {
                let Some(url) = of_transport("URL").or_else(|| said("OPENLINEAGE_URL")) else {
                    return Ok(None);
                };
                let endpoint = of_transport("ENDPOINT").or_else(|| said("OPENLINEAGE_ENDPOINT"));
                let key = said("OPENLINEAGE__TRANSPORT__AUTH")
                    .as_deref()
                    .and_then(key_of)
                    .or(said("OPENLINEAGE_API_KEY"));
                let timeout = of_transport("TIMEOUT").and_then(|said| said.parse::<f64>().ok());
                let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let timeout = timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(USUAL_TIMEOUT);
                Transport::http(&url, endpoint.as_deref().unwrap_or(USUAL_ENDPOINT), key, timeout).map(Some)
            }
            Some(other) => {
                Err(format!("the transport {other} is not known here: it is http, file or console"))
            }
        }
    }

    fn http(url: &str, endpoint: &str, key: Option<String>, timeout: Duration) -> Result<Transport, String> {
        let host = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
        let Some((scheme, rest)) = host else {
            return Err("OPENLINEAGE_URL is no http or https URL".to_owned());
        };
        let host =
            rest.split(['/', '?', '#']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
        let headers = key.map(|key| ("Authorization".to_owned(), Secret::from(format!("Bearer {key}"))));
        Ok(Transport::Http {
            url: format!("{}/{}", url.trim_end_matches('/'), endpoint.trim_start_matches('/')),
            shown: format!("{scheme}://{host}"),
            headers: headers.into_iter().collect(),
            timeout,
        })
    }

    /// Sends events in their order.
    ///
    /// # Errors
    /// Why the last that failed was not taken.
    pub fn send(&self, events: Vec<Value>, hurry: &Hurry<'_>) -> Result<(), String> {
        let mut came = Ok(());
        for event in &events {
            // One that is not taken says nothing of the next.
            if let Err(why) = self.send_one(event, hurry) {
                came = Err(why);
            }
        }
        came
    }

    fn send_one(&self, event: &Value, hurry: &Hurry<'_>) -> Result<(), String> {
        let text = event.to_string();
        match self {
            Transport::Http { url, shown, headers, timeout } => {
                let body = text.as_bytes();
                let post = Post { url, headers, content_type: "application/json", body, certificate: None };
                post.send_within(*timeout, hurry).map_err(|refusal| format!("{shown}: {refusal}"))
            }
            Transport::File { path, append: true } => write(path, &text),
            Transport::File { path, append: false } => {
                let now = Zoned::now().strftime("%Y%m%d-%H%M%S.%6f");
                write(Path::new(&format!("{}-{now}.json", path.display())), &text)
            }
            Transport::Console => {
                eprintln!("{text}");
                Ok(())
            }
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    // One call, so that the lines of several processes stay whole.
    let written = OpenOptions::new().create(true).append(true).open(path);
    written
        .and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// A value that may be written as JSON: `"text"`, `true`.
fn plain(value: &str) -> String {
    match serde_json::from_str(value) {
        Ok(Value::String(text)) => text,
        _ => value.to_owned(),
    }
}

/// The key in `{"type": "api_key", "apiKey": "…"}`.
fn key_of(auth: &str) -> Option<String> {
    let auth: Value = serde_json::from_str(auth).ok()?;
    let key = ["apiKey", "apikey", "api_key"].iter().find_map(|name| auth.get(name)?.as_str());
    key.map(str::to_owned)
}
