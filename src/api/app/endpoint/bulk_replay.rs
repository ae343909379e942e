//! `POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay`: what filters choose of what the endpoint was owed.

use postern_domain::problem::Problem;
use postern_domain::wire::DeliveryStatus::{self, Cancelled, Delivered, Failed, Pending, Waiting};
use postern_domain::wire::replay::TaskKind;
use serde_json::Value;

use super::super::job::Job;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field::Wrong;
use crate::api::reply::Answer;

/// 202 with the background task; of a dry run 200 with the count.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    // Without a status whatever is settled: the rest is on its way by itself.
    let states = form.optional("status", status);
    let job = Job::read(&mut form, TaskKind::BulkReplay, vec![ask.param(1).to_owned()])
        .of(
            states.unwrap_or_else(|| vec![Delivered, Failed, Cancelled]),
            false,
        )
        .between(&mut form)
        .filtered(&mut form);
    job.begin(access, &ask, form).await
}

/// Svix's numbers: 0 success, 1 pending, 2 fail, 3 sending.
fn status(value: &Value) -> Result<Vec<DeliveryStatus>, Vec<Wrong>> {
    match value.as_u64() {
        Some(0) => Ok(vec![Delivered]),
        Some(1) => Ok(vec![Pending]),
        Some(2) => Ok(vec![Failed, Cancelled]),
        Some(3) => Ok(vec![Waiting]),
        _ => Err(vec![Wrong {
            at: Vec::new(),
            msg: "must be 0, 1, 2 or 3".to_owned(),
            kind: "value_error",
        }]),
    }
}
