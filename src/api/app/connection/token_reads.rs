//! `GET /api/v1/app/{app_id}/connection/{connection_id}/token/read`: who was shown its token.

use postern_domain::problem::Problem;
use postern_domain::wire::connection::{TokenReadList, TokenReadView};
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};

/// The reads of one reader in one minute.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenReadOut {
    /// The minute's beginning.
    at: String,
    /// `organisation`, `application` or `scoped`, and the beginning of the token's digest.
    reader: String,
    /// How many; where the connection's object died within the minute, less than half of them may be missing.
    reads: u64,
}

impl TokenReadOut {
    fn new(read: TokenReadView) -> Self {
        Self {
            at: read.at.to_rfc3339(),
            reader: read.reader,
            reads: read.reads,
        }
    }
}

/// A page of reads, kept for 90 days.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let of = query.page();
    query.finish()?;
    let object = super::object(&access, &ask).await?;
    let reads = object.call(TokenReadList { page: of }).await?;
    Answer::ok(&page(reads, TokenReadOut::new))
}
