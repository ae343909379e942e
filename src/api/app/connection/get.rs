//! `GET /api/v1/app/{app_id}/connection/{connection_id}`.

use postern_domain::problem::{Code, Problem};
use postern_domain::wire::connection::{ConnectionGet, ConnectionView};

use super::shape::ConnectionOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::connection::{self, Key};

/// How it stands now.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let id = super::named(&access, &ask).await?;
    let view = match access.connection(id).call(ConnectionGet {}).await {
        Err(problem) if problem.code == Code::NotFound => ended(&access, id).await?.ok_or(problem)?,
        view => view?,
    };
    Answer::ok(&ConnectionOut::new(view))
}

/// Of one that is over nothing is left but its row.
pub(super) async fn ended(
    access: &TenantAccess,
    id: postern_domain::id::ConnectionId,
) -> Result<Option<ConnectionView>, Problem> {
    let directory = access.directory()?;
    let row = connection::find(&directory, access.organisation, access.tenant, &Key::Id(id)).await?;
    match row.filter(|row| row.state == "revoked") {
        Some(row) => row.view(),
        None => Ok(None),
    }
}
