//! `PUT /api/v1/app/{app_id}`: replaces, or makes the one that a `uid` names.

use postern_domain::problem::Problem;

use super::lifecycle;
use super::shape::{ApplicationIn, ApplicationOut};
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::application::Key;

/// 200 for a replaced one, 201 for a new one.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let key = Key::read(ask.param(0)).ok_or_else(Problem::not_found)?;
    let mut form = ask.form()?;
    let new = ApplicationIn::read(&mut form);
    let mut new = form.finish(new)?;
    if let (Key::Uid(uid), None) = (&key, &new.uid) {
        new.uid = Some(uid.clone());
    }
    let Some(before) = lifecycle::find(&access, &key).await? else {
        let Key::Uid(_) = key else {
            return Err(Problem::not_found());
        };
        return match lifecycle::make(&access, new, ask.now).await? {
            Ok(row) => Answer::json(201, &ApplicationOut::new(&row)),
            Err(_) => Err(lifecycle::taken_just_now()),
        };
    };
    let mut row = before.clone();
    new.write(&mut row)?;
    row.updated_at = ask.now;
    lifecycle::change(&access, &before, &row).await?;
    Answer::ok(&ApplicationOut::new(&row))
}
