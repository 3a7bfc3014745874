//! The pages of an API, each a whole answer, in the order in which it tells them.

use super::client::{Answer, Ask, Client};
use super::found::{at, elements, kind};
use super::links::next_of;
use crate::api::{Api, Counts, Paging};
use crate::records::{Page, Pages};
use async_trait::async_trait;
use bytes::Bytes;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use reqwest::Url;
use reqwest::header::LINK;
use serde_json::{Number, Value};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The pages of an API from the first.
pub fn begin(api: &Api) -> Result<Box<dyn Pages>> {
    let (client, mut first) = Client::new(api)?;
    match &api.paging {
        Paging::Once | Paging::LinkHeader | Paging::Cursor { .. } => {}
        Paging::Page { param, first: number, counts } => {
            say_limit(&mut first, counts);
            say(&mut first, param, number_of(*number));
        }
        Paging::Offset { param, counts } => {
            say_limit(&mut first, counts);
            say(&mut first, param, number_of(0));
        }
    }
    let api = api.clone();
    Ok(Box::new(ApiPages {
        api,
        client,
        first: first.clone(),
        next: Some(first),
        number: 0,
        rows: 0,
        longest: 0,
        asked: HashSet::new(),
        last: None,
    }))
}

#[derive(Debug)]
struct ApiPages {
    api: Api,
    client: Client,
    /// What was asked first.
    first: Ask,
    /// What is asked next.
    next: Option<Ask>,
    /// Pages so far.
    number: u64,
    /// Rows so far.
    rows: u64,
    /// The rows of the longest page.
    longest: u64,
    /// What was asked.
    asked: HashSet<u64>,
    /// The last rows that came.
    last: Option<u64>,
}

#[async_trait]
impl Pages for ApiPages {
    fn describe(&self) -> String {
        format!("the answers of {}", self.api.shown)
    }

    async fn next(&mut self) -> Result<Option<Page>> {
        let Some(ask) = self.next.take() else { return Ok(None) };
        if self.api.max_pages.is_some_and(|most| self.number >= u64::from(most)) {
            let message = format!("{} has more than {} pages", self.api.shown, self.number);
            let error = FlowError::new(ErrorCode::SourceFailed, message);
            return Err(error.hint("nothing of them is loaded: set max_pages higher, or ask for less"));
        }
        self.number += 1;
        let name = format!("page {} of {}", self.number, self.api.shown);
        if !self.asked.insert(hash(&(ask.url.as_str(), body_text(&ask)))) {
            let message = format!("{name}: the answer before leads to a page that was read already");
            return Err(FlowError::new(ErrorCode::SourceFailed, message)
                .hint("the API runs in a circle: is `paginate` the way it counts its pages?"));
        }
        let answer = self.client.ask(&ask, &name).await?;
        if answer.text.is_empty() {
            return Ok(Some(Page { name, text: Bytes::from_static(b"[]") }));
        }
        let text = std::str::from_utf8(&answer.text).expect("it was read as UTF-8 before");
        let records = self.records(&name, text, &answer)?;
        let count = elements(records).unwrap_or_default() as u64;
        let rows = match count {
            0 => Bytes::from_static(b"[]"),
            _ => answer.text.slice_ref(records.as_bytes()),
        };
        let seen = (count > 0).then(|| hash(&records));
        if seen.is_some() && seen == self.last {
            let message = format!("{name} is the page before once more");
            return Err(FlowError::new(ErrorCode::SourceFailed, message)
                .hint("the API does not go on: is `paginate` the way it counts its pages?"));
        }
        self.last = seen;
        self.rows += count;
        self.longest = self.longest.max(count);
        self.next = self.following(&name, text, &answer, count)?;
        Ok(Some(Page { name, text: rows }))
    }
}

impl ApiPages {
    /// The text of the rows.
    fn records<'a>(&self, name: &str, text: &'a str, answer: &Answer) -> Result<&'a str> {
        let path = &self.api.records;
        let wrong = |why: String| {
            let told = self.client.shown.answer(answer.status, &answer.headers, text.as_bytes());
            let error = FlowError::new(ErrorCode::SourceFailed, format!("{name}: {why}")).detail(told);
            error.hint("say where the rows stand in an answer: records = \"data.items\"")
        };
        match at(text, path) {
            Ok(records) if elements(records).is_some() => Ok(records),
            Ok(other) => Err(wrong(match path.is_empty() {
                true => format!("the answer is no list of rows, but {}", kind(other)),
                false => format!("`{}` is no list of rows, but {}", path.join("."), kind(other)),
            })),
            Err((0, what)) => Err(wrong(format!("there is no `{}`: the answer is {what}", path[0]))),
            Err((depth, what)) => Err(wrong(format!(
                "there is no `{}`: `{}` is {what}",
                path[..=depth].join("."),
                path[..depth].join(".")
            ))),
        }
    }

    /// What is asked behind an answer of `count` rows.
    fn following(&self, name: &str, text: &str, answer: &Answer, count: u64) -> Result<Option<Ask>> {
        let mut next = self.first.clone();
        match &self.api.paging {
            Paging::Once => return Ok(None),
            Paging::LinkHeader => {
                let links = answer.headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok());
                let Some(to) = next_of(links) else { return Ok(None) };
                next.url = self.link(name, answer, &to)?;
            }
            Paging::Cursor { path, param } => {
                let Some(value) = self.cursor(name, path, text)? else { return Ok(None) };
                match &value {
                    Value::String(to) if to.starts_with("https://") || to.starts_with("http://") => {
                        next.url = self.link(name, answer, to)?;
                    }
                    _ => say(&mut next, param, value),
                }
            }
            Paging::Page { param, first, counts } => {
                if self.ends(name, counts, text, count)? {
                    return Ok(None);
                }
                say(&mut next, param, number_of(first + self.number));
            }
            Paging::Offset { param, counts } => {
                if self.ends(name, counts, text, count)? {
                    return Ok(None);
                }
                say(&mut next, param, number_of(self.rows));
            }
        }
        Ok(Some(next))
    }

    fn link(&self, name: &str, answer: &Answer, to: &str) -> Result<Url> {
        answer.url.join(to).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(|| {
            FlowError::new(
                ErrorCode::SourceFailed,
                format!("{name}: its link to the next page is no http or https URL"),
            )
        })
    }

    /// What an answer says that the next one is.
    fn cursor(&self, name: &str, path: &[String], text: &str) -> Result<Option<Value>> {
        let Ok(found) = at(text, path) else { return Ok(None) };
        let value: Value = serde_json::from_str(found).unwrap_or_default();
        match &value {
            Value::Null | Value::Bool(false) => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(_) | Value::Number(_) => Ok(Some(value)),
            _ => {
                let message =
                    format!("{name}: the cursor `{}` is {}, no text or number", path.join("."), kind(found));
                Err(FlowError::new(ErrorCode::SourceFailed, message))
            }
        }
    }

    /// Whether an answer of `count` rows is the last. A page that is shorter than `limit` ends only what had a whole one
    /// before: a server may give fewer than it is asked for.
    fn ends(&self, name: &str, counts: &Counts, text: &str, count: u64) -> Result<bool> {
        if count == 0 {
            return Ok(true);
        }
        if !counts.total.is_empty() {
            let total =
                at(text, &counts.total).ok().and_then(|found| found.trim_matches('"').parse::<u64>().ok());
            let Some(total) = total else {
                let message = format!("{name}: `{}` is no number of rows", counts.total.join("."));
                let hint = "`total` says where an answer has the number of rows in all";
                return Err(FlowError::new(ErrorCode::SourceFailed, message).hint(hint));
            };
            return Ok(self.rows >= total);
        }
        let limit = counts.limit.as_ref().map(|(_, limit)| *limit);
        Ok(limit.is_some_and(|limit| count < limit && self.longest >= limit))
    }
}

fn say_limit(ask: &mut Ask, counts: &Counts) {
    if let Some((param, limit)) = &counts.limit {
        say(ask, param, number_of(*limit));
    }
}

/// Gives a parameter its value: in the body where there is one, else in the query.
fn say(ask: &mut Ask, param: &str, value: Value) {
    if let Some(body) = &mut ask.body {
        body.insert(param.to_owned(), value);
        return;
    }
    let text = match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let others: Vec<(String, String)> = ask
        .url
        .query_pairs()
        .filter(|(name, _)| name != param)
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    ask.url.query_pairs_mut().clear().extend_pairs(others).append_pair(param, &text);
}

fn number_of(number: u64) -> Value {
    Value::Number(Number::from(number))
}

fn body_text(ask: &Ask) -> String {
    ask.body.as_ref().map(|body| serde_json::to_string(body).unwrap_or_default()).unwrap_or_default()
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
