//! What the variables of the OpenTelemetry specification say: https://opentelemetry.io/docs/specs/otel/configuration/
//! and https://opentelemetry.io/docs/specs/otel/protocol/exporter/.

use ematix_flow_core::declare::environment::Environment;
use ematix_flow_core::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// The endpoint of a collector on this machine.
const USUAL_ENDPOINT: &str = "http://localhost:4318";

/// How long one export may take unless said, its tries included.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What is wanted.
pub struct Settings {
    /// Where spans go.
    pub traces: Option<Exporter>,
    /// Where metrics go.
    pub metrics: Option<Exporter>,
    /// Where log records go.
    pub logs: Option<Exporter>,
    /// Whether metrics say what came since they were sent last, instead of everything since the process began.
    pub delta: bool,
    /// Who says all of it.
    pub resource: Vec<(String, String)>,
    /// The span that runs are parts of.
    pub parent: Option<Parent>,
}

/// Where one signal goes.
#[derive(Debug)]
pub struct Exporter {
    /// The URL.
    pub url: String,
    /// The URL without what may be secret in it.
    pub shown: String,
    /// What is sent besides.
    pub headers: Vec<(String, Secret)>,
    /// JSON instead of protobuf.
    pub json: bool,
    /// How long one export may take.
    pub timeout: Duration,
    /// The certificates that are trusted, instead of the machine's.
    pub certificate: Option<PathBuf>,
}

/// A span of somebody else: https://www.w3.org/TR/trace-context/.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
    /// Whether the trace is kept.
    pub sampled: bool,
    /// What others have noted.
    pub state: String,
}

impl Settings {
    /// Reads the variables; nothing where none of them asks for anything.
    pub fn read(environment: &dyn Environment) -> (Option<Settings>, Vec<String>) {
        let read = Variables(environment);
        if read.said("OTEL_SDK_DISABLED").is_some_and(|said| said.eq_ignore_ascii_case("true")) {
            return (None, Vec::new());
        }
        let mut warnings = Vec::new();
        let mut exporter = |signal: &str, path: &str| {
            read.exporter(signal, path).unwrap_or_else(|warning| {
                warnings.push(format!("OpenTelemetry: {warning}"));
                None
            })
        };
        let traces = exporter("TRACES", "v1/traces");
        let metrics = exporter("METRICS", "v1/metrics");
        let logs = exporter("LOGS", "v1/logs");
        warnings.dedup();
        if traces.is_none() && metrics.is_none() && logs.is_none() {
            return (None, warnings);
        }
        let preference = read.said("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE").unwrap_or_default();
        let settings = Settings {
            traces,
            metrics,
            logs,
            delta: matches!(preference.to_ascii_lowercase().as_str(), "delta" | "lowmemory"),
            resource: read.resource(),
            parent: read.parent(),
        };
        (Some(settings), warnings)
    }
}

struct Variables<'e>(&'e dyn Environment);

impl Variables<'_> {
    /// A variable that says something: an empty one is as good as none.
    fn said(&self, name: &str) -> Option<String> {
        self.0.variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// What is said for a signal, else for all.
    fn of_signal(&self, signal: &str, what: &str) -> Option<String> {
        self.said(&format!("OTEL_EXPORTER_OTLP_{signal}_{what}"))
            .or_else(|| self.said(&format!("OTEL_EXPORTER_OTLP_{what}")))
    }

    fn exporter(&self, signal: &str, path: &str) -> Result<Option<Exporter>, String> {
        let wanted = self.said(&format!("OTEL_{signal}_EXPORTER"));
        let names = || wanted.as_deref().unwrap_or_default().split(',').map(str::trim);
        if wanted.is_some() && !names().any(|name| name == "otlp") {
            return match names().find(|name| *name != "none") {
                Some(other) => {
                    Err(format!("OTEL_{signal}_EXPORTER={other} is not known here: it is otlp or none"))
                }
                None => Ok(None),
            };
        }
        let own = self.said(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"));
        let of_all = self.said("OTEL_EXPORTER_OTLP_ENDPOINT");
        let url = match (own, of_all) {
            (Some(own), _) => own,
            (None, Some(base)) => format!("{}/{path}", base.trim_end_matches('/')),
            (None, None) if wanted.is_some() => format!("{USUAL_ENDPOINT}/{path}"),
            (None, None) => return Ok(None),
        };
        let protocol = self.of_signal(signal, "PROTOCOL").unwrap_or_else(|| "http/protobuf".to_owned());
        let json = match protocol.as_str() {
            "http/protobuf" => false,
            "http/json" => true,
            "grpc" => {
                return Err(
                    "the protocol grpc is not spoken here: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf \
                            and the port of OTLP over HTTP (4318)"
                        .to_owned(),
                );
            }
            other => return Err(format!("there is no protocol {other}: it is http/protobuf or http/json")),
        };
        let Some(shown) = shown(&url) else {
            return Err(format!("the endpoint for {} is no http or https URL", signal.to_lowercase()));
        };
        let headers = self.of_signal(signal, "HEADERS").unwrap_or_default();
        let headers = pairs(&headers).into_iter().map(|(name, value)| (name, Secret::from(value))).collect();
        let timeout = self.of_signal(signal, "TIMEOUT").and_then(|said| said.parse().ok());
        let timeout = timeout.filter(|said| *said > 0).map_or(USUAL_TIMEOUT, Duration::from_millis);
        let certificate = self.of_signal(signal, "CERTIFICATE").map(PathBuf::from);
        Ok(Some(Exporter { url, shown, headers, json, timeout, certificate }))
    }

    fn resource(&self) -> Vec<(String, String)> {
        let own = |name: &str, value: String| (name.to_owned(), value);
        let mut resource = vec![
            own("service.name", "ematix-flow".to_owned()),
            own("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            own("service.instance.id", Uuid::new_v4().to_string()),
            own("telemetry.sdk.name", "ematix-flow".to_owned()),
            own("telemetry.sdk.language", "rust".to_owned()),
            own("telemetry.sdk.version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        let said = self.said("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let name = self.said("OTEL_SERVICE_NAME").map(|name| own("service.name", name));
        for (name, value) in pairs(&said).into_iter().chain(name) {
            match resource.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => resource.push((name, value)),
            }
        }
        resource
    }

    fn parent(&self) -> Option<Parent> {
        let state = self.said("TRACESTATE").unwrap_or_default();
        Parent::read(&self.said("TRACEPARENT")?, state)
    }
}

impl Parent {
    /// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`; what is none is left aside, as the standard asks.
    fn read(written: &str, state: String) -> Option<Parent> {
        let mut parts = written.split('-');
        let mut hex = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length)?;
            let lower = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            lower.then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let more = parts.next().is_some();
        if version == 0xff || (version == 0 && more) || trace == 0 || span == 0 {
            return None;
        }
        let span_id = u64::try_from(span).ok()?.to_be_bytes();
        Some(Parent { trace_id: trace.to_be_bytes(), span_id, sampled: flags & 1 == 1, state })
    }
}

/// A URL without user, password, path and query.
fn shown(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
    (matches!(scheme.as_str(), "http" | "https") && !host.is_empty()).then(|| format!("{scheme}://{host}"))
}

/// `key=value,key=value`, each percent-encoded.
fn pairs(written: &str) -> Vec<(String, String)> {
    let pairs = written.split(',').filter_map(|pair| pair.split_once('='));
    let decoded = pairs.map(|(name, value)| (decoded(name.trim()), decoded(value.trim())));
    decoded.filter(|(name, _)| !name.is_empty()).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_read_as_the_standard_writes_it() {
        let read = |written: &str| Parent::read(written, "a=b".to_owned());
        let parent = read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(parent.trace_id[..2], [0x4b, 0xf9]);
        assert_eq!(parent.span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(parent.sampled);
        assert!(!read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").unwrap().sampled);
        // A later version may have more.
        assert!(read("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
        for none in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "rubbish",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn pairs_are_decoded() {
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs("Authorization=Bearer%20a%3Db, x = y ,=none,odd,last=50%"),
            [own("Authorization", "Bearer a=b"), own("x", "y"), own("last", "50%")]
        );
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        assert_eq!(shown("https://me:pw@h:4318/key?k=1").as_deref(), Some("https://h:4318"));
        assert_eq!(shown("h:4318"), None);
    }
}
