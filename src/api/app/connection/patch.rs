//! `PATCH /api/v1/app/{app_id}/connection/{connection_id}`: its label, its `uid`, its limits, whether it is on.

use postern_domain::problem::Problem;
use postern_domain::wire::connection::ConnectionPatch;

use super::lifecycle;
use super::shape::ConnectionOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;
use crate::store::connection::{self, Key};

/// 200. What is not given stays; null takes label or `uid` away, and gives the provider's limits back.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let label = form.change("label", field::name);
    let uid = form.change("uid", field::uid);
    let enabled = form.given("enabled", field::flag);
    let limits = form.change("limits", field::limits);
    form.finish(Some(()))?;
    let id = super::named(&access, &ask).await?;
    let object = access.connection(id);
    let call = ConnectionPatch {
        label: label.map(Option::unwrap_or_default),
        uid: uid.clone().flatten(),
        without_uid: uid == Some(None),
        enabled,
        limits: limits.flatten(),
        without_limits: limits == Some(None),
    };
    let Some(uid) = uid else {
        return Answer::ok(&ConnectionOut::new(object.call(call).await?));
    };
    // The directory gives the name first, where no two may have one; who is refused gives it back.
    let directory = access.directory()?;
    let row = connection::find(&directory, access.organisation, access.tenant, &Key::Id(id)).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    if !connection::rename(&directory, id, uid.as_ref()).await? {
        return Err(lifecycle::taken());
    }
    match object.call(call).await {
        Ok(view) => Answer::ok(&ConnectionOut::new(view)),
        Err(problem) => {
            connection::rename(&directory, id, row.uid.as_ref()).await?;
            Err(problem)
        }
    }
}
