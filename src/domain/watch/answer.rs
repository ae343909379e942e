//! A provider's answers to what a watch asks.

use serde_json::Value;

use crate::oauth::outcome::{self, Refusal};
use crate::oauth::provider::Class;
use crate::oauth::{Ended, Request, strict_json};

/// Bytes of an answer that are read: a page of changes is larger than a token.
pub const CAP: usize = 2 << 20;

/// What an answer says.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// It was done.
    Done(Value),
    /// The token is refused.
    Unauthorised,
    /// What was asked for is not there, or not any more.
    Gone {
        /// 404 or 410.
        status: u16,
        /// One sentence, the provider's words in it.
        why: String,
    },
    /// Anything else.
    Failed {
        /// One sentence, the provider's words in it.
        why: String,
        /// Not before so many milliseconds.
        retry_after_ms: Option<u64>,
        /// The request itself is refused: the same one will be refused again.
        refused: bool,
    },
}

/// Reads one.
#[must_use]
pub fn read(unauthorised: &[String], ended: &Ended) -> Found {
    let whole = ended.cause.is_none() && !ended.cut;
    if whole && matches!(ended.status, Some(200..=299)) {
        if ended.body.is_empty() {
            return Found::Done(Value::Null);
        }
        if let Ok(value) = strict_json::read(&ended.body) {
            return Found::Done(value);
        }
    }
    if ended.cut {
        return Found::Failed {
            why: "The provider's answer is larger than what is read".to_owned(),
            retry_after_ms: None,
            refused: true,
        };
    }
    match outcome::read_call(None, unauthorised, ended) {
        Err(refusal) if refusal.class == Class::DeadGrant => Found::Unauthorised,
        Err(refusal) if matches!(ended.status, Some(404 | 410)) => Found::Gone {
            status: ended.status.unwrap_or_default(),
            why: sentence(&refusal, ended.status),
        },
        Err(refusal) => Found::Failed {
            refused: refusal.class == Class::BrokenConfig,
            retry_after_ms: refusal.retry_after_ms,
            why: sentence(&refusal, ended.status),
        },
        Ok(value) => Found::Done(value),
    }
}

/// What an answer that was read does not say.
#[must_use]
pub fn lacks(what: &str) -> Found {
    Found::Failed {
        why: format!("The provider's answer has no {what}"),
        retry_after_ms: None,
        refused: false,
    }
}

/// A request with the token in its header.
pub(super) fn request(
    method: &'static str,
    url: String,
    token: &(String, String),
    body: Option<&Value>,
) -> Request {
    let mut headers = vec![
        ("Accept".to_owned(), "application/json".to_owned()),
        token.clone(),
    ];
    if body.is_some() {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    Request {
        method,
        url,
        headers,
        body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
    }
}

fn sentence(refusal: &Refusal, status: Option<u16>) -> String {
    let said = match (&refusal.error, &refusal.words) {
        (Some(error), Some(words)) => format!("{error}: {words}"),
        (error, words) => error
            .clone()
            .or_else(|| words.clone())
            .unwrap_or_else(|| refusal.why.sentence().to_owned()),
    };
    status.map_or(said.clone(), |status| format!("{status}: {said}"))
}
