//! `GET /api/v1/app/{app_id}/msg/{msg_id}/endpoint`: where a message goes, and how far it is.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::reads::{EndpointsOfMessage, MessageEndpointView};
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::app::delivery::{WaitsForOut, status};
use crate::api::app::endpoint::shape::EndpointOut;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};

/// An endpoint that a message was decided for.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageEndpointOut {
    #[serde(flatten)]
    endpoint: EndpointOut,
    /// It was deleted since; it is not found by its id any more.
    deleted: bool,
    /// 0 success, 1 pending, 2 fail (cancelled, too), 3 sending.
    status: u8,
    status_text: &'static str,
    next_attempt: Option<String>,
    /// Why it waits.
    waits_for: Option<WaitsForOut>,
}

impl MessageEndpointOut {
    fn new(view: MessageEndpointView) -> Self {
        let (status, status_text) = status(view.status);
        Self {
            endpoint: EndpointOut::new(view.endpoint),
            deleted: view.deleted,
            status,
            status_text,
            next_attempt: view.next_attempt.map(Millis::to_rfc3339),
            waits_for: view.waits_for.map(WaitsForOut::new),
        }
    }
}

/// A page of endpoints, in the order they were made.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = EndpointsOfMessage {
        message: ask.param(1).to_owned(),
        page: query.page(),
    };
    query.finish()?;
    let (endpoints, _) = access.object().call(call, &[]).await?;
    Answer::ok(&page(endpoints, MessageEndpointOut::new))
}
