//! `POST /api/v1/app/{app_id}/msg/precheck/active`: whether publishing would reach anybody.

use postern_domain::problem::Problem;
use postern_domain::wire::reads::Precheck;
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::form::Form;
use crate::api::reply::Answer;

/// Whether an endpoint would get it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MessagePrecheckOut {
    active: bool,
}

/// By type and channels, as the endpoints are now.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let call = read(&mut form);
    let call = form.finish(call)?;
    let (checked, _) = access.object().call(call, &[]).await?;
    Answer::ok(&MessagePrecheckOut {
        active: checked.active,
    })
}

fn read(form: &mut Form<'_>) -> Option<Precheck> {
    let event_type = form.required("eventType", field::event_type);
    let channels = form.optional("channels", field::message_channels);
    Some(Precheck {
        event_type: event_type?,
        channels,
    })
}
