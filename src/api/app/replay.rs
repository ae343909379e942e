//! `POST /api/v1/app/{app_id}/replay`: a bulk replay over several endpoints, or all.

use postern_domain::problem::Problem;
use postern_domain::wire::DeliveryStatus::{self, Cancelled, Delivered, Failed};
use postern_domain::wire::replay::TaskKind;
use serde_json::Value;

use super::job::Job;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field::{self, Wrong};
use crate::api::reply::Answer;

/// 202 with the background task; of a dry run 200 with the count.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let states = form.optional("status", status);
    let missing = form.optional("missing", field::flag).unwrap_or_default();
    if states.is_none() && !missing && !form.has("status") {
        form.say(
            &["status"],
            "say a status, or that you want what is missing",
            "missing",
        );
    }
    let job = Job::read(&mut form, TaskKind::BulkReplay, Vec::new())
        .of(states.unwrap_or_default(), missing)
        .at(&mut form)
        .between(&mut form)
        .filtered(&mut form);
    job.begin(access, &ask, form).await
}

/// What is settled so; what is not is on its way by itself.
fn status(value: &Value) -> Result<Vec<DeliveryStatus>, Vec<Wrong>> {
    match value.as_str() {
        Some("delivered") => Ok(vec![Delivered]),
        Some("failed") => Ok(vec![Failed]),
        Some("cancelled") => Ok(vec![Cancelled]),
        Some("any") => Ok(vec![Delivered, Failed, Cancelled]),
        _ => Err(vec![Wrong {
            at: Vec::new(),
            msg: "must be failed, cancelled, delivered or any".to_owned(),
            kind: "value_error",
        }]),
    }
}
