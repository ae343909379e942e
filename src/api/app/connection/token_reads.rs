//! `GET /api/v1/app/{app_id}/connection/{connection_id}/token/read`: who was shown its token.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};
use crate::store::connection::{self, Key};
use crate::store::token_read;

/// The reads of one reader in one minute.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenReadOut {
    /// The minute's beginning.
    at: String,
    /// `organisation`, `application` or `scoped`, and the beginning of the token's digest.
    reader: String,
    reads: u64,
}

/// A page of reads, kept for 90 days.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let of = query.page();
    query.finish()?;
    let key = Key::read(ask.param(1)).ok_or_else(Problem::not_found)?;
    let directory = access.directory()?;
    let row = connection::find(&directory, access.organisation, access.tenant, &key).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    let reads = token_read::list(&directory, row.id, of).await?;
    Answer::ok(&page(reads, |read| TokenReadOut {
        at: Millis(read.minute * 60 * Millis::SECOND).to_rfc3339(),
        reader: read.reader,
        reads: read.reads,
    }))
}
