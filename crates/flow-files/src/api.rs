//! How an API that answers JSON over HTTP is asked.

use ematix_flow_core::secret::Secret;
use serde_json::{Map, Value};
use std::time::Duration;

/// An API that answers JSON, a page at a time.
#[derive(Clone, Debug)]
pub struct Api {
    /// Where it is.
    pub url: Secret,
    /// The same as messages say it.
    pub shown: String,
    /// Whether it is asked by POST.
    pub post: bool,
    /// What it is sent as JSON.
    pub body: Option<Map<String, Value>>,
    /// Headers, which no other origin gets.
    pub headers: Vec<(String, Secret)>,
    /// Parameters of the query.
    pub params: Vec<(String, Secret)>,
    /// The keys that lead to the rows.
    pub records: Vec<String>,
    /// How its pages follow each other.
    pub paging: Paging,
    /// Who asks, which no other origin is told.
    pub auth: Auth,
    /// The time between two requests.
    pub interval: Option<Duration>,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How many bytes one answer may have, unpacked.
    pub max_bytes: u64,
    /// How many pages there may be.
    pub max_pages: Option<u32>,
    /// How often one page is asked for again.
    pub retries: u32,
    /// Texts that no message shows.
    pub secrets: Vec<Secret>,
}

impl Api {
    /// An API that is asked once, by GET, as anybody.
    pub fn at(url: &str) -> Api {
        Api {
            url: url.into(),
            shown: url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            post: false,
            body: None,
            headers: Vec::new(),
            params: Vec::new(),
            records: Vec::new(),
            paging: Paging::Once,
            auth: Auth::Nobody,
            interval: None,
            timeout: Duration::from_secs(60),
            max_bytes: 64 << 20,
            max_pages: None,
            retries: 5,
            secrets: Vec::new(),
        }
    }
}

/// How pages follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paging {
    /// There is one.
    Once,
    /// An answer says the address of the next in its header `Link`.
    LinkHeader,
    /// An answer says what the next one is.
    Cursor {
        /// The keys that lead to it.
        path: Vec<String>,
        /// The parameter that takes it.
        param: String,
    },
    /// By their number.
    Page {
        /// The parameter that takes it.
        param: String,
        /// That of the first.
        first: u64,
        /// How many rows there are.
        counts: Counts,
    },
    /// By how many rows came before.
    Offset {
        /// The parameter that takes it.
        param: String,
        /// How many rows there are.
        counts: Counts,
    },
}

/// How many rows there are, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of a page, with the parameter that says so.
    pub limit: Option<(String, u64)>,
    /// The keys that lead to how many there are in all.
    pub total: Vec<String>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anybody.
    Nobody,
    /// Who has a token.
    Bearer(Secret),
    /// Who knows a password.
    Basic {
        /// The name.
        username: Secret,
        /// The password.
        password: Secret,
    },
    /// Who gets a token by client credentials of OAuth 2.
    Oauth {
        /// Who gives it.
        token_url: Secret,
        /// The client.
        client_id: Secret,
        /// Its secret.
        client_secret: Secret,
        /// What the token is for.
        scope: Option<String>,
    },
}
