//! `PATCH /api/v1/app/{app_id}/endpoint/{endpoint_id}`: changes what is given.

use postern_domain::problem::Problem;
use postern_domain::wire::call::{EndpointChange, EndpointPatch};

use super::shape::{self, EndpointOut};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 200.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let policy = ask.address_policy()?;
    let mut form = ask.form()?;
    let url = form.given("url", field::url);
    let change = EndpointChange {
        url: url.and_then(|url| shape::judged(&mut form, &policy, &url)),
        description: form.given("description", field::description),
        uid: form.change("uid", field::uid),
        event_types: form.change(shape::event_types_name(&form), field::event_types),
        channels: form.change("channels", field::endpoint_channels),
        filter: form.change("filter", field::filter),
        throttle_rate: form.change(shape::rate_name(&form), field::rate),
        disabled: form.given("disabled", field::flag),
        metadata: form.given("metadata", field::metadata),
        retry_schedule: form.change("retrySchedule", field::schedule),
        header_names: form.given("headerNames", field::header_names),
        ordering: form.change("ordering", field::ordering),
        disable_after: form.change("disableAfter", field::disable_after),
        signing: shape::signing(&mut form),
    };
    let call = EndpointPatch {
        endpoint: ask.param(1).to_owned(),
        change: form.finish(Some(change))?,
    };
    let (endpoint, _) = access.object().call(call, &[]).await?;
    Answer::ok(&EndpointOut::new(endpoint))
}
