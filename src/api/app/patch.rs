//! `PATCH /api/v1/app/{app_id}`: changes what is given.

use postern_domain::problem::Problem;

use super::lifecycle;
use super::shape::{self, ApplicationOut};
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;
use crate::store::application::Key;

/// 200.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let key = Key::read(ask.param(0)).ok_or_else(Problem::not_found)?;
    let mut form = ask.form()?;
    let name = form.given("name", field::name);
    let uid = form.change("uid", field::uid);
    let metadata = form.given("metadata", field::metadata);
    let rate = if form.names("throttleRate") {
        "throttleRate"
    } else {
        "rateLimit"
    };
    let rate = form.change(rate, field::rate);
    let retention = form.change("retentionDays", field::retention_days);
    let schedule = form.change("retrySchedule", field::schedule);
    form.finish(Some(()))?;

    let before = lifecycle::find(&access, &key)
        .await?
        .ok_or_else(Problem::not_found)?;
    let mut row = before.clone();
    let mut settings = shape::settings(&row);
    row.name = name.unwrap_or(row.name);
    row.uid = uid.unwrap_or(row.uid);
    if let Some(metadata) = metadata {
        row.metadata = shape::metadata_text(&metadata)?;
    }
    settings.throttle_rate = rate.unwrap_or(settings.throttle_rate);
    settings.retry_schedule = schedule.unwrap_or(settings.retry_schedule);
    settings.retention_days = retention.unwrap_or(settings.retention_days);
    shape::set_settings(&mut row, &settings)?;
    row.updated_at = ask.now;
    lifecycle::change(&access, &before, &row).await?;
    Answer::ok(&ApplicationOut::new(&row))
}
