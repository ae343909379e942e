//! `GET /api/v1/app/{app_id}/connection`.

use postern_domain::oauth::standing::State;
use postern_domain::problem::Problem;

use super::shape::ConnectionOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::oauth_app;
use crate::api::reply::{Answer, try_page};
use crate::store::connection::{self, Filter};

const STATES: [State; 6] = [
    State::Pending,
    State::Active,
    State::Degraded,
    State::NeedsReauth,
    State::Blocked,
    State::Revoked,
];

/// A page of connections, in the order they were made, as they stood at their last change. Those that are over are shown
/// when their state is asked for.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let of = query.page();
    let msg = "must be pending, active, degraded, needs_reauth, blocked or revoked";
    let filter = Filter {
        state: query.read("state", msg, |text| {
            let words = STATES.iter().map(|state| state.as_str());
            words.into_iter().find(|word| *word == text)
        }),
        provider: query.text("provider"),
        app: query.read("oauth_app_id", "must be the id of an app", |text| {
            text.parse().ok()
        }),
    };
    query.finish()?;
    // Whether the tenant is there, and the organisation's.
    oauth_app::owner(&access).await?;
    let rows = connection::list(
        &access.directory()?,
        access.organisation,
        access.tenant,
        &filter,
        of,
    )
    .await?;
    let shown = try_page(rows, |row| {
        let view = row.view()?;
        view.map(ConnectionOut::new)
            .ok_or_else(|| Problem::internal("a listed row has no view"))
    })?;
    Answer::ok(&shown)
}
