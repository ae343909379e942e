//! `GET /api/v1/app/{app_id}/failed` and `GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/failed`: what failed for good.

use postern_domain::outcome::Cause;
use postern_domain::problem::Problem;
use postern_domain::wire::reads::{FailedList, FailedView};
use serde::Serialize;

use super::msg::shape::MessageOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, try_page};

/// A delivery that failed for good.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailedDeliveryOut {
    message: MessageOut,
    endpoint_id: String,
    /// Attempts of the plan.
    attempts: u32,
    /// Why the latest one failed: one word of a closed set.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    cause: Option<Cause>,
    /// The same as a sentence: what happened, and who must act.
    cause_text: Option<&'static str>,
    /// 0: no answer came.
    response_status_code: u16,
    failed_at: String,
}

impl FailedDeliveryOut {
    fn new(view: FailedView, body: Option<Vec<u8>>) -> Result<Self, Problem> {
        Ok(Self {
            message: MessageOut::new(view.message, body)?,
            endpoint_id: view.endpoint.to_string(),
            attempts: view.attempts,
            cause: view.cause,
            cause_text: view.cause.map(Cause::sentence),
            response_status_code: view.response_status.unwrap_or_default(),
            failed_at: view.failed_at.to_rfc3339(),
        })
    }
}

/// Of all endpoints, the newest message first.
pub(crate) async fn of_tenant(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    list(access, &ask, None).await
}

/// Of one endpoint, the newest message first.
pub(crate) async fn of_endpoint(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let endpoint = ask.param(1).to_owned();
    list(access, &ask, Some(endpoint)).await
}

async fn list(access: TenantAccess, ask: &Ask, endpoint: Option<String>) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = FailedList {
        endpoint,
        page: query.page(),
        filter: query.messages(),
        with_content: query.flag("with_content", true),
    };
    query.finish()?;
    let (failed, bodies) = access.object().call(call, &[]).await?;
    let mut bodies = bodies.into_iter();
    Answer::ok(&try_page(failed, |view| {
        FailedDeliveryOut::new(view, bodies.next())
    })?)
}
