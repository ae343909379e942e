//! What a poll answers, and a token as it is shown.

use std::collections::BTreeMap;

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::follow::LogMessage;
use postern_domain::wire::poll::{Polled, PollerTokenView, Sought};
use serde::Serialize;

use crate::api::app::msg::shape::MessageOut;
use crate::api::ask::Ask;
use crate::api::field;

/// A part of the log. Svix's fields, and what retention took before it was read.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct PollOut {
    /// Oldest first.
    data: Vec<PolledMessageOut>,
    /// Where the next poll begins: there on an empty page too.
    iterator: String,
    /// Nothing came behind it yet.
    done: bool,
    /// Messages were gone before they were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<bool>,
    /// How many at the most: all of the application's, whether the endpoint wanted them or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap_count: Option<u64>,
    /// The sequence number at which the log went on.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap_first: Option<u64>,
}

impl PollOut {
    /// With the bodies that stood beside it.
    pub(super) fn new(polled: Polled, bodies: Vec<Vec<u8>>) -> Result<Self, Problem> {
        let page = polled.page;
        let data: Result<_, Problem> = page
            .messages
            .into_iter()
            .zip(bodies)
            .map(|(message, body)| PolledMessageOut::new(message, body))
            .collect();
        Ok(Self {
            data: data?,
            iterator: polled.iterator,
            done: page.done,
            gap: page.gap.map(|_| true),
            gap_count: page.gap.map(|gap| gap.missed),
            gap_first: page.gap.map(|gap| gap.first),
        })
    }
}

/// A message, with the headers that were kept of it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PolledMessageOut {
    #[serde(flatten)]
    message: MessageOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, String>>,
}

impl PolledMessageOut {
    /// With its body.
    pub(crate) fn new(message: LogMessage, body: Vec<u8>) -> Result<Self, Problem> {
        Ok(Self {
            headers: (!message.headers.is_empty()).then_some(message.headers),
            message: MessageOut::new(message.view, Some(body))?,
        })
    }
}

/// Where a consumer was put.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SeekOut {
    iterator: String,
}

impl SeekOut {
    pub(super) fn new(sought: Sought) -> Self {
        Self {
            iterator: sought.iterator,
        }
    }
}

/// A poller's token, in clear.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenOut {
    id: String,
    name: Option<String>,
    token: String,
    /// `poller:` and the one endpoint.
    scopes: Vec<String>,
    created_at: String,
    /// None: when it is replaced.
    expires_at: Option<String>,
}

impl TokenOut {
    pub(super) fn new(token: PollerTokenView) -> Self {
        Self {
            id: format!("{}_{}", token.endpoint, token.generation),
            name: None,
            scopes: vec![format!("poller:{}", token.endpoint)],
            token: token.token,
            created_at: token.created_at.to_rfc3339(),
            expires_at: token.not_after.map(Millis::to_rfc3339),
        }
    }
}

/// The consumer that a path names.
pub(super) fn consumer(ask: &Ask) -> Result<String, Problem> {
    let name = ask.param(2);
    field::check_word(name).map_err(|msg| Problem::fault(&["path", "consumer_id"], msg))?;
    Ok(name.to_owned())
}
