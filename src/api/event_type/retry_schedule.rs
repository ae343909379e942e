//! `/api/v1/event-type/{event_type_name}/retry-schedule`: the type's own waits between tries, for endpoints that have
//! none. What is due already stays; the next failure goes by what stands then, within 30 s.

use postern_domain::problem::Problem;
use postern_domain::schedule::Schedule;
use serde::Serialize;

use super::shape;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;
use crate::store::event_type;

/// A wait, as Svix writes it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Duration {
    secs: u32,
    /// Always 0.
    nanos: u32,
}

/// The waits; null: the application's, else the default.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetryScheduleInOut {
    retry_schedule: Option<Vec<Duration>>,
}

impl RetryScheduleInOut {
    fn new(schedule: Option<&Schedule>) -> Self {
        let durations = |schedule: &Schedule| {
            let steps = schedule.steps().iter();
            steps
                .map(|secs| Duration {
                    secs: *secs,
                    nanos: 0,
                })
                .collect()
        };
        Self {
            retry_schedule: schedule.map(durations),
        }
    }
}

/// 200.
pub(crate) async fn get(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let name = shape::named(ask.param(0))?;
    let row = event_type::find(&access.directory()?, access.organisation, name).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    Answer::ok(&RetryScheduleInOut::new(row.schedule().as_ref()))
}

/// 200; null, or nothing, takes it away.
pub(crate) async fn put(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let name = shape::named(ask.param(0))?;
    let mut form = ask.form()?;
    let schedule = form.optional("retrySchedule", field::durations);
    form.finish(Some(()))?;
    let directory = access.directory()?;
    let row = event_type::find(&directory, access.organisation, name).await?;
    let mut row = row.ok_or_else(Problem::not_found)?;
    row.set_schedule(schedule.as_ref())?;
    row.updated_at = ask.now;
    if event_type::update(&directory, access.organisation, &row).await? {
        Answer::ok(&RetryScheduleInOut::new(schedule.as_ref()))
    } else {
        Err(Problem::not_found())
    }
}
