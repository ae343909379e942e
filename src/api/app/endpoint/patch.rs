//! `PATCH /api/v1/app/{app_id}/endpoint/{endpoint_id}`: changes what is given.

use postern_domain::id::ConnectionId;
use postern_domain::problem::Problem;
use postern_domain::wire::call::{EndpointChange, EndpointGet, EndpointPatch};

use super::connection;
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
        connection_id: None,
        signing: shape::signing(&mut form),
    };
    let named = form.change(connection::FIELD, field::text);
    let mut change = form.finish(Some(change))?;
    let endpoint = ask.param(1).to_owned();
    change.connection_id = connection_of(&access, &endpoint, &change, named).await?;
    let call = EndpointPatch { endpoint, change };
    let (endpoint, _) = access.object().call(call, &[]).await?;
    Answer::ok(&EndpointOut::new(endpoint))
}

/// What becomes of the connection: a new one must fit the URL, and a new URL the one that is there.
#[expect(clippy::option_option, reason = "absent and null are two things")]
async fn connection_of(
    access: &TenantAccess,
    endpoint: &str,
    change: &EndpointChange,
    named: Option<Option<String>>,
) -> Result<Option<Option<ConnectionId>>, Problem> {
    let named = match named {
        Some(None) => return Ok(Some(None)),
        None if change.url.is_none() => return Ok(None),
        named => named.flatten(),
    };
    let endpoint = endpoint.to_owned();
    let (now, _) = access.object().call(EndpointGet { endpoint }, &[]).await?;
    let url = change.url.as_ref().unwrap_or(&now.config.url);
    match (named, now.config.connection_id) {
        (Some(named), _) => Ok(Some(Some(connection::named(access, &named, url).await?))),
        (None, Some(kept)) => {
            connection::fits(access, kept, url).await?;
            Ok(None)
        }
        (None, None) => Ok(None),
    }
}
