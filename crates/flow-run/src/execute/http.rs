//! An API as a source: what it is asked is known when a run begins, the secrets and how far the last run came.

use super::Engine;
use super::brought::Rows;
use crate::history::{HistoryStore, watermark_of};
use crate::session::{Session, nth};
use ematix_flow_core::check::interval;
use ematix_flow_core::declare::http::{
    HttpAuth, HttpSpec, Method, Paginate, PaginateBy, Param, watermark_default,
};
use ematix_flow_core::declare::interpolation::{Missing, Template};
use ematix_flow_core::declare::options::Lookback;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::{Incremental, Pipeline};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::secret::Secret;
use ematix_flow_files::{Api, Auth, Counts, Paging, answers_of};
use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use std::sync::Arc;

impl Engine {
    /// What an API answers to this run.
    ///
    /// # Errors
    /// `missing_variable`; a watermark that cannot be sent.
    pub(super) async fn of_api(
        &self,
        pipeline: &Pipeline,
        spec: &HttpSpec,
        target: &dyn Session,
        reads_in_full: bool,
    ) -> Result<Rows> {
        let watermark = match spec.watermarks().is_empty() || reads_in_full {
            true => None,
            false => self.watermark(pipeline, target).await?,
        };
        let mut filling =
            Filling { engine: self, pipeline: &pipeline.name, spec, watermark, secrets: Vec::new() };
        let source = Arc::new(answers_of(filling.api()?));
        Ok(Rows { source, once: Vec::new() })
    }

    /// From where on rows are wanted, as an API takes it.
    async fn watermark(&self, pipeline: &Pipeline, target: &dyn Session) -> Result<Option<String>> {
        let Some(incremental) = &pipeline.incremental else { return Ok(None) };
        match self.stored_watermark(pipeline, incremental, target).await? {
            Some(text) => sent(&text, incremental).map(Some),
            None => Ok(None),
        }
    }

    /// How far the last run came, as the target wrote it.
    pub(super) async fn stored_watermark(
        &self,
        pipeline: &Pipeline,
        incremental: &Incremental,
        target: &dyn Session,
    ) -> Result<Option<String>> {
        if !HistoryStore::on(target).exists().await? {
            return Ok(None);
        }
        let doing = "ask how far the last run came";
        let asked = watermark_of(target.facts().dialect, &pipeline.name);
        let answers = target.ask(Blame::Target, doing, &asked.sql).await?;
        let stored = asked.read(nth(&answers, 0, doing)?, doing)?;
        // That of another column is refused by the plan.
        let stored = stored.filter(|stored| stored.column == incremental.column.as_str());
        Ok(stored.and_then(|stored| stored.read_from.or(stored.last_value)))
    }
}

/// A watermark as it is sent: RFC 3339 of a time, else its text; before it by `lookback`.
pub(super) fn sent(text: &str, Incremental { column, lookback, .. }: &Incremental) -> Result<String> {
    let back = match lookback {
        Lookback::Duration(duration) => SignedDuration::try_from(duration.as_std()).ok(),
        Lookback::Number(number) => number.checked_mul(24).map(SignedDuration::from_hours),
    };
    let cannot = || {
        let message = format!(
            "the watermark {text:?} of `{column}` cannot be sent to an API: lookback does not fit it"
        );
        FlowError::new(ErrorCode::InvalidValue, message).hint("remove lookback, or `:watermark`")
    };
    let is_zero = lookback.is_zero();
    let back = if is_zero { SignedDuration::ZERO } else { back.ok_or_else(cannot)? };
    // A number of eight digits is a date in ISO's basic form, too.
    if let (Lookback::Number(number), Ok(last)) = (lookback, text.parse::<i64>()) {
        return Ok(last.checked_sub(*number).ok_or_else(cannot)?.to_string());
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.checked_sub(back).map_err(|_| cannot())?.to_string());
    }
    // What has no offset is tried from the longest form to the shortest.
    if text.len() > 10
        && let Ok(local) = text.parse::<DateTime>()
    {
        return Ok(local.checked_sub(back).map_err(|_| cannot())?.to_string());
    }
    if let Ok(date) = text.parse::<Date>() {
        let days = back.as_hours() / 24 + i64::from(back.as_hours() % 24 != 0 || back.subsec_nanos() != 0);
        return Ok(date
            .checked_sub(SignedDuration::from_hours(days * 24))
            .map_err(|_| cannot())?
            .to_string());
    }
    if is_zero { Ok(text.to_owned()) } else { Err(cannot()) }
}

/// Fills in what is known when a run begins.
struct Filling<'a> {
    engine: &'a Engine,
    pipeline: &'a str,
    spec: &'a HttpSpec,
    watermark: Option<String>,
    /// What was filled in, which no message shows.
    secrets: Vec<Secret>,
}

impl Filling<'_> {
    fn api(&mut self) -> Result<Api> {
        let spec = self.spec;
        let mut params = Vec::new();
        for (name, param) in &spec.params {
            let value = match param {
                Param::Boolean(truth) => Some(truth.to_string().into()),
                Param::Whole(number) => Some(number.to_string().into()),
                Param::Text(text) => match watermark_default(text.reveal()) {
                    Some(default) => self.watermark.clone().or(default.map(str::to_owned)).map(Secret::from),
                    None => Some(self.text(text.reveal(), &format!("params.{name}"))?),
                },
            };
            params.extend(value.map(|value| (name.clone(), value)));
        }
        let mut headers = Vec::new();
        for (name, text) in &spec.headers {
            headers.push((name.clone(), self.text(text.reveal(), &format!("headers.{name}"))?));
        }
        let body = spec.body.as_ref().map(|body| self.object(&body.0)).transpose()?;
        let plain = Api::at("");
        Ok(Api {
            url: self.text(&spec.url, "url")?,
            shown: spec.shown_url().to_owned(),
            post: spec.method == Some(Method::Post),
            body,
            headers,
            params,
            records: spec.records.as_deref().map(keys).unwrap_or_default(),
            paging: spec.paginate.as_ref().map_or(Paging::Once, paging),
            auth: self.auth(spec.auth.as_ref())?,
            interval: spec.rate_limit.as_deref().and_then(interval),
            timeout: spec.timeout.as_ref().map_or(plain.timeout, |timeout| timeout.as_std()),
            max_bytes: spec.max_bytes.map_or(plain.max_bytes, u64::from),
            max_pages: spec.max_pages.map(u32::from),
            retries: spec.retries.unwrap_or(plain.retries),
            secrets: std::mem::take(&mut self.secrets),
        })
    }

    fn auth(&mut self, auth: Option<&HttpAuth>) -> Result<Auth> {
        let Some(auth) = auth else { return Ok(Auth::Nobody) };
        let mut secret = |text: &Secret, part: &str| {
            let found = self.text(text.reveal(), &format!("auth.{part}"))?;
            if found.reveal().is_empty() {
                let message = format!("`{part}` of the source of pipeline `{}` is empty", self.pipeline);
                return Err(FlowError::new(ErrorCode::MissingVariable, message)
                    .hint("set the variable, or take `auth` out"));
            }
            self.secrets.push(found.clone());
            Ok(found)
        };
        if let Some(token) = &auth.bearer {
            return Ok(Auth::Bearer(secret(token, "bearer")?));
        }
        if let Some(basic) = &auth.basic {
            let username = secret(&basic.username, "basic.username")?;
            let password = self.text(basic.password.reveal(), "auth.basic.password")?;
            return Ok(Auth::Basic { username, password });
        }
        match &auth.oauth {
            Some(oauth) => Ok(Auth::Oauth {
                client_id: secret(&oauth.client_id, "oauth.client_id")?,
                client_secret: secret(&oauth.client_secret, "oauth.client_secret")?,
                token_url: self.text(&oauth.token_url, "auth.oauth.token_url")?,
                scope: oauth.scope.clone(),
            }),
            None => Ok(Auth::Nobody),
        }
    }

    /// A text with every `${…}` in its place.
    fn text(&mut self, written: &str, part: &str) -> Result<Secret> {
        let template = Template::parse(written)
            .map_err(|malformed| FlowError::new(ErrorCode::InvalidValue, malformed.message))?;
        let found =
            template.resolve(self.engine.environment.as_ref(), &self.spec.directory).map_err(|missing| {
                let message =
                    format!("{missing}; `{part}` of the source of pipeline `{}` takes it", self.pipeline);
                let error = FlowError::new(ErrorCode::MissingVariable, message);
                self.engine.locate(
                    error.hint(match missing {
                        Missing::Variable(_) => "set the variable; validate needs none",
                        Missing::File(..) => "make the file readable; validate needs none",
                    }),
                    self.pipeline,
                )
            })?;
        if found.reveal() != written {
            self.secrets.push(found.clone());
        }
        Ok(found)
    }

    fn object(&mut self, object: &Map<String, Value>) -> Result<Map<String, Value>> {
        let mut filled = Map::new();
        for (name, value) in object {
            if let Some(value) = self.value(value)? {
                filled.insert(name.clone(), value);
            }
        }
        Ok(filled)
    }

    /// A value of the body; nothing for a watermark that is not there yet.
    fn value(&mut self, value: &Value) -> Result<Option<Value>> {
        Ok(Some(match value {
            Value::String(text) => match watermark_default(text) {
                Some(default) => match self.watermark.clone().or(default.map(str::to_owned)) {
                    Some(text) => Value::String(text),
                    None => return Ok(None),
                },
                None => Value::String(self.text(text, "body")?.reveal().to_owned()),
            },
            Value::Array(items) => {
                let mut filled = Vec::new();
                for item in items {
                    filled.extend(self.value(item)?);
                }
                Value::Array(filled)
            }
            Value::Object(object) => Value::Object(self.object(object)?),
            plain => plain.clone(),
        }))
    }
}

fn keys(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

fn paging(paginate: &Paginate) -> Paging {
    let Paginate::By(by) = paginate else { return Paging::LinkHeader };
    let PaginateBy { cursor, param, page, first, offset, limit, limit_param, total } = by.as_ref();
    let named = limit_param.clone().unwrap_or_else(|| "limit".to_owned());
    let counts = Counts {
        limit: limit.map(|limit| (named, u64::from(limit.get()))),
        total: total.as_deref().map(keys).unwrap_or_default(),
    };
    match (cursor, page, offset) {
        (Some(cursor), ..) => {
            let path = keys(cursor);
            let param = param.clone().or_else(|| path.last().cloned()).unwrap_or_default();
            Paging::Cursor { path, param }
        }
        (_, Some(page), _) => {
            Paging::Page { param: page.clone(), first: u64::from(first.unwrap_or(1)), counts }
        }
        (.., Some(offset)) => Paging::Offset { param: offset.clone(), counts },
        _ => Paging::Once,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ematix_flow_core::declare::options::{FutureWatermark, LateCommits, NullWatermark};
    use ematix_flow_core::duration::Duration;
    use ematix_flow_core::sql::Ident;

    #[test]
    fn a_watermark_is_sent_in_the_form_of_its_type() {
        let of = |text: &str, lookback| {
            let column = Ident::new("c").unwrap();
            let (on_null, on_future, late_commits) =
                (NullWatermark::default(), FutureWatermark::default(), LateCommits::default());
            sent(text, &Incremental { column, lookback, on_null, on_future, late_commits })
        };
        let day = || Lookback::Duration(Duration::parse("1d").unwrap());
        let none = || Lookback::Number(0);
        assert_eq!(of("2026-01-02 03:04:05.000006+00", none()).unwrap(), "2026-01-02T03:04:05.000006Z");
        assert_eq!(of("2026-01-02 03:04:05+02", day()).unwrap(), "2026-01-01T01:04:05Z");
        assert_eq!(of("2026-01-02 03:04:05", day()).unwrap(), "2026-01-01T03:04:05");
        assert_eq!(of("2026-01-02", day()).unwrap(), "2026-01-01");
        assert_eq!(of("2026-01-02", Lookback::Number(2)).unwrap(), "2025-12-31");
        assert_eq!(of("41", Lookback::Number(2)).unwrap(), "39");
        assert_eq!(of("20260102", none()).unwrap(), "20260102");
        assert_eq!(of("abc", none()).unwrap(), "abc");
        assert!(of("abc", day()).is_err());
        assert!(of("41.5", Lookback::Number(1)).is_err());
    }
}
