//! Checks what is written of an API: its address, where its rows stand, how its pages follow each other, who asks.

use super::Check;
use crate::declare::http::{HttpSpec, Method, Paginate, PaginateBy};
use crate::declare::interpolation::Template;
use crate::declare::options::PipelineOptions;
use crate::error::{ErrorCode, FlowError};
use std::time::Duration;

/// A mistake, with the part of the source that it is in.
type Mistake = (String, FlowError);

impl Check<'_> {
    /// What is wrong with an API as a source.
    pub(super) fn http(&mut self, spec: &HttpSpec, options: &PipelineOptions) {
        for (part, error) in mistakes(spec) {
            self.fail(&format!("source.http.{part}"), error);
        }
        if options.incremental_column.is_none() {
            for part in spec.watermarks() {
                let error = FlowError::new(
                    ErrorCode::MissingOption,
                    "`:watermark` needs `incremental_column`: without it no run remembers how far it came",
                );
                let hint =
                    "write incremental_column = \"updated_at\", the column of the answers that only grows";
                self.fail(&format!("source.http.{part}"), error.hint(hint));
            }
        }
    }
}

fn mistakes(spec: &HttpSpec) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut wrong = |part: &str, code, message: String, hint: &str| {
        found.push((part.to_owned(), FlowError::new(code, message).hint(hint)));
    };
    let invalid = ErrorCode::InvalidValue;
    address("url", &spec.url, &mut wrong);
    for name in spec.headers.keys().filter(|name| !is_header_name(name)) {
        let message = format!("`{name}` cannot be the name of a header");
        wrong(&format!("headers.{name}"), invalid, message, "it is letters, digits and -");
    }
    let has_authorization = spec.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
    if spec.auth.is_some() && has_authorization {
        let message = "`auth` and a header `Authorization` exclude each other".to_owned();
        wrong("auth", ErrorCode::ConflictingOptions, message, "take one of them out");
    }
    if spec.body.is_some() && spec.method != Some(Method::Post) {
        let message = "`body` is for POST: a GET has none".to_owned();
        wrong("body", ErrorCode::ConflictingOptions, message, "write method = \"POST\", or params");
    }
    if let Some(records) = &spec.records {
        path("records", records, &mut wrong);
    }
    if spec.rate_limit.as_deref().is_some_and(|text| interval(text).is_none()) {
        let message = format!("`rate_limit` is {:?}", spec.rate_limit.as_deref().unwrap_or_default());
        wrong(
            "rate_limit",
            invalid,
            message,
            "write how often in a second, minute or hour: \"10/s\", \"600/m\", \"5000/h\"",
        );
    }
    if spec.timeout.as_ref().is_some_and(|timeout| timeout.as_std().is_zero()) {
        wrong(
            "timeout",
            invalid,
            "`timeout` leaves no time for an answer".to_owned(),
            "write timeout = \"60s\"",
        );
    }
    if let Some(Paginate::By(by)) = &spec.paginate {
        pages(by, &mut wrong);
    }
    if let Some(auth) = &spec.auth {
        let ways = [auth.bearer.is_some(), auth.basic.is_some(), auth.oauth.is_some()];
        match ways.into_iter().filter(|said| *said).count() {
            0 => wrong(
                "auth",
                ErrorCode::MissingOption,
                "`auth` says nobody".to_owned(),
                "write auth = { bearer = \"${env:TOKEN}\" }, { basic = { username = \"…\", password = \"…\" } } or { oauth = { … } }",
            ),
            1 => {}
            _ => wrong(
                "auth",
                ErrorCode::ConflictingOptions,
                "`bearer`, `basic` and `oauth` exclude each other".to_owned(),
                "one of them says who asks",
            ),
        }
        if let Some(oauth) = &auth.oauth {
            address("auth.oauth.token_url", &oauth.token_url, &mut wrong);
        }
    }
    for (part, text) in spec.templates() {
        if let Err(malformed) = Template::parse(text) {
            let error = FlowError::new(invalid, malformed.message);
            found.push((part, FlowError { hint: malformed.hint, ..error }));
        }
    }
    found
}

fn address(part: &str, url: &str, wrong: &mut impl FnMut(&str, ErrorCode, String, &str)) {
    let name = part.rsplit('.').next().unwrap_or(part);
    let rest = match url.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => rest,
        // What begins with a variable is judged when it is there.
        None if url.starts_with("${") => return,
        _ => {
            let message = format!("`{name}` is no http or https URL");
            return wrong(part, ErrorCode::InvalidValue, message, "write \"https://…\"");
        }
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let message = format!("`{name}` holds a user or a password, and addresses are shown");
        let hint = "write auth = { basic = { username = \"…\", password = \"${env:PASSWORD}\" } }";
        wrong(part, ErrorCode::InvalidValue, message, hint);
    }
}

/// Keys, apart by dots.
fn path(part: &str, text: &str, wrong: &mut impl FnMut(&str, ErrorCode, String, &str)) {
    if text.split('.').any(str::is_empty) || text.contains(['[', ']', '$', '*']) {
        let name = part.rsplit('.').next().unwrap_or(part);
        let message = format!("`{name}` is {text:?}, which is no path of keys");
        wrong(
            part,
            ErrorCode::InvalidValue,
            message,
            "write the keys that lead there, with dots: \"data.items\"",
        );
    }
}

fn pages(by: &PaginateBy, wrong: &mut impl FnMut(&str, ErrorCode, String, &str)) {
    let ways = [by.cursor.is_some(), by.page.is_some(), by.offset.is_some()];
    let forms = "write paginate = \"link_header\", { cursor = \"next\" }, { page = \"page\" } or { offset = \"offset\", limit = 100 }";
    match ways.into_iter().filter(|said| *said).count() {
        1 => {}
        0 => {
            let message = "`paginate` says nothing of the next page".to_owned();
            return wrong("paginate", ErrorCode::MissingOption, message, forms);
        }
        _ => {
            let message = "`cursor`, `page` and `offset` exclude each other".to_owned();
            return wrong("paginate", ErrorCode::ConflictingOptions, message, forms);
        }
    }
    for (name, text) in [("cursor", &by.cursor), ("total", &by.total)] {
        if let Some(text) = text {
            path(&format!("paginate.{name}"), text, wrong);
        }
    }
    let counts = by.page.is_some() || by.offset.is_some();
    let misplaced = [
        ("param", by.param.is_some() && by.cursor.is_none(), "cursor"),
        ("first", by.first.is_some() && by.page.is_none(), "page"),
        ("limit", by.limit.is_some() && !counts, "page` or `offset"),
        ("total", by.total.is_some() && !counts, "page` or `offset"),
        ("limit_param", by.limit_param.is_some() && by.limit.is_none(), "limit"),
    ];
    for (name, is_misplaced, of) in misplaced {
        if is_misplaced {
            let message = format!("`{name}` has no meaning: it belongs to `{of}`");
            wrong(&format!("paginate.{name}"), ErrorCode::ConflictingOptions, message, "take it out");
        }
    }
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The time between two requests: of `10/s` a tenth of a second.
pub fn interval(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_once('/')?;
    let count: u32 = count.trim().parse().ok().filter(|count| *count > 0)?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(seconds) / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        assert_eq!(interval("10/s"), Some(Duration::from_millis(100)));
        assert_eq!(interval("600/m"), Some(Duration::from_millis(100)));
        assert_eq!(["10", "0/s", "-1/s", "10/d", "/s"].map(interval), [None; 5]);
    }
}
