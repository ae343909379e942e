//! `POST /api/v1/auth/app/{app_id}/expire-all`: no token of the tenant that was issued until now is believed any more, or
//! none of some sessions.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::api::access::OrganisationAccess;
use crate::api::app::lifecycle;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::idempotency;
use crate::api::reply::Answer;
use crate::store::application::Key;
use crate::store::revocation::{self, What, When};

/// A session's tokens hold seven days at the most; a day more, for clocks.
const SESSION_MS: u64 = 8 * Millis::DAY;

/// 204. Counts after `expiry` seconds, and within 30 s everywhere.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form_or_empty()?;
    let grace = form.optional("expiry", field::grace).unwrap_or_default();
    let sessions = form.optional("sessionIds", field::sessions).unwrap_or_default();
    form.finish(Some(()))?;
    let key = Key::read(ask.param(0)).ok_or_else(Problem::not_found)?;
    let row = lifecycle::find(&access, &key)
        .await?
        .ok_or_else(Problem::not_found)?;
    let effective_at = ask.now.plus(grace * Millis::SECOND);
    let (what, expires_at) = if sessions.is_empty() {
        (What::All, None) // a token that the operator signed may have no end
    } else {
        (What::Sessions(&sessions), Some(effective_at.plus(SESSION_MS)))
    };
    let when = When {
        issued_until: ask.now,
        effective_at,
        expires_at,
    };
    let directory = access.directory()?;
    let key = ask.idempotency(access.organisation, &row.id.to_string())?;
    idempotency::once(&directory, key, ask.now, async {
        revocation::revoke(&directory, row.id, what, when, ask.now).await?;
        Ok(Answer::empty())
    })
    .await
}
