//! `PATCH /api/v1/app/{app_id}/alert-email`: whom to tell when an endpoint fails. The address travels in operational
//! messages; Postern sends no mail itself.

use postern_domain::problem::Problem;

use super::lifecycle;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;
use crate::store::application::Key;

/// 204. `null` takes the address away; without the field nothing changes.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let key = Key::read(ask.param(0)).ok_or_else(Problem::not_found)?;
    let mut form = ask.form()?;
    let email = form.change("email", field::email);
    form.finish(Some(()))?;
    let before = lifecycle::find(&access, &key)
        .await?
        .ok_or_else(Problem::not_found)?;
    if let Some(email) = email {
        let mut row = before.clone();
        row.alert_email = email;
        row.updated_at = ask.now;
        lifecycle::change(&access, &before, &row).await?;
    }
    Ok(Answer::empty())
}
