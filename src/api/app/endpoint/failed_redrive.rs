//! `POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/failed/redrive`: of what failed for good one, a selection, or all.

use postern_domain::problem::Problem;
use postern_domain::wire::DeliveryStatus;
use postern_domain::wire::replay::TaskKind;

use super::super::job::Job;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 202 with the background task; of a dry run 200 with the count.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form_or_empty()?;
    let job = Job::read(&mut form, TaskKind::Recover, vec![ask.param(1).to_owned()])
        .of(vec![DeliveryStatus::Failed], false)
        .maybe_between(&mut form)
        .named(&mut form);
    job.begin(access, &ask, form).await
}
