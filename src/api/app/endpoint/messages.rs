//! `GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/msg`: what an endpoint has, and how far each is.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::reads::{EndpointMessageView, MessagesOfEndpoint};
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::app::delivery::{WaitsForOut, status};
use crate::api::app::msg::shape::MessageOut;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, try_page};

/// A message as one endpoint has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointMessageOut {
    #[serde(flatten)]
    message: MessageOut,
    /// 0 success, 1 pending, 2 fail (cancelled, too), 3 sending.
    status: u8,
    status_text: &'static str,
    next_attempt: Option<String>,
    /// Why it waits.
    waits_for: Option<WaitsForOut>,
}

impl EndpointMessageOut {
    fn new(view: EndpointMessageView, body: Option<Vec<u8>>) -> Result<Self, Problem> {
        let (status, status_text) = status(view.status);
        Ok(Self {
            message: MessageOut::new(view.message, body)?,
            status,
            status_text,
            next_attempt: view.next_attempt.map(Millis::to_rfc3339),
            waits_for: view.waits_for.map(WaitsForOut::new),
        })
    }
}

/// A page of messages, the newest first.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = MessagesOfEndpoint {
        endpoint: ask.param(1).to_owned(),
        page: query.page(),
        filter: query.deliveries(),
        with_content: query.flag("with_content", true),
    };
    query.finish()?;
    let (messages, bodies) = access.object().call(call, &[]).await?;
    let mut bodies = bodies.into_iter();
    Answer::ok(&try_page(messages, |view| {
        EndpointMessageOut::new(view, bodies.next())
    })?)
}
