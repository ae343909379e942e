//! `POST /api/v1/app`: 201, or 200 with the one that is there if `get_if_exists`.

use postern_domain::problem::{Code, Problem};

use super::lifecycle;
use super::shape::{ApplicationIn, ApplicationOut};
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::idempotency;
use crate::api::reply::Answer;
use crate::store::application::{Application, State};

/// Makes an application.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let get_if_exists = query.flag("get_if_exists", false);
    query.finish()?;
    let mut form = ask.form()?;
    let new = ApplicationIn::read(&mut form);
    let new = form.finish(new)?;
    let key = ask.idempotency(access.organisation, "")?;
    let directory = access.directory()?;
    idempotency::once(&directory, key, ask.now, async {
        match lifecycle::make(&access, new, ask.now).await? {
            Ok(row) => Answer::json(201, &ApplicationOut::new(&row)),
            Err(row) if get_if_exists => Answer::ok(&ApplicationOut::new(&standing(&access, row).await?)),
            Err(_) => Err(Problem::new(
                Code::Conflict,
                "An application with this uid exists already",
            )),
        }
    })
    .await
}

/// The row once its object stands too: a half of another request is finished here.
async fn standing(access: &OrganisationAccess, row: Application) -> Result<Application, Problem> {
    if row.state == State::Creating {
        lifecycle::set_up(access, &access.directory()?, &row).await?;
    }
    Ok(row)
}
