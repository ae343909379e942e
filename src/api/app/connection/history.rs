//! `GET /api/v1/app/{app_id}/connection/{connection_id}/history`: what happened with it, newest first.

use postern_domain::oauth::provider::Class;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{HistoryList, HistoryView};
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};

/// One line.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionHistoryOut {
    /// Its number, from 1.
    number: u64,
    at: String,
    /// `connect`, `refresh`, `check`, `watch`, `revoke`, `read` or `change`.
    what: String,
    /// How it ended; null: well.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    class: Option<Class>,
    /// What was decided.
    decision: String,
    /// The provider's own words, at most 200 characters.
    words: Option<String>,
    /// The state after it.
    state: &'static str,
    next_at: Option<String>,
    actor: Option<String>,
}

impl ConnectionHistoryOut {
    fn new(line: HistoryView) -> Self {
        Self {
            number: line.number,
            at: line.at.to_rfc3339(),
            what: line.what,
            class: line.class,
            decision: line.decision,
            words: line.words,
            state: line.state.as_str(),
            next_at: line.next_at.map(Millis::to_rfc3339),
            actor: line.actor,
        }
    }
}

/// A page.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let of = query.page();
    query.finish()?;
    let object = super::object(&access, &ask).await?;
    let lines = object.call(HistoryList { page: of }).await?;
    Answer::ok(&page(lines, ConnectionHistoryOut::new))
}
