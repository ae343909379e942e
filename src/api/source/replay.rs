//! `POST /api/v1/source/{source_id}/route/{key}/replay`: what nobody claimed goes to those who claim it by now.

use postern_domain::app_level::MAX_CLAIMS;
use postern_domain::id::{TaskId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::wire::replay::TaskKind;
use postern_domain::wire::route::RouteReplay;
use postern_platform::random;
use serde::Serialize;
use serde_json::json;

use super::route::find;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::background_task;
use crate::api::field;
use crate::api::idempotency;
use crate::api::reply::Answer;
use crate::store::route;

/// What a replay would do.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouteReplayCountOut {
    /// Events that would be routed.
    count: u64,
    /// There are at least so many: the count looked at 5,000 events and ended.
    approximated: bool,
    /// The applications that would get each of them.
    app_ids: Vec<String>,
}

/// 202 with the background task; of a dry run 200 with the count.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let key = super::key(&ask)?;
    let mut form = ask.form_or_empty()?;
    let named = form.optional("appId", field::text);
    let unsigned = form.optional("unsignedKeys", field::flag).unwrap_or_default();
    let dry_run = form.optional("dryRun", field::flag).unwrap_or_default();
    form.finish(Some(()))?;
    let mut query = ask.query();
    let dry_run = query.flag("dry_run", dry_run);
    query.finish()?;

    let place = super::place(&access, &ask).await?;
    let directory = access.directory()?;
    let claims = route::of_key(&directory, place, &key).await?;
    let mut to: Vec<TenantId> = route::claimants(&claims).into_iter().take(MAX_CLAIMS).collect();
    if let Some(named) = named {
        let one = find(&directory, &access, &named).await?;
        to.retain(|claimant| Some(*claimant) == one);
        if to.is_empty() {
            let msg = "names no application that claims this key";
            return Err(Problem::fault(&["body", "appId"], msg));
        }
    }
    let call = RouteReplay {
        id: TaskId::new(ask.now, random::bytes()),
        source: place.source.to_string(),
        key,
        to,
        unsigned,
        dry_run,
    };
    if dry_run {
        let app_ids = call.to.iter().map(TenantId::to_string).collect();
        let (counted, _) = access.object().call(call, &[]).await?;
        return Answer::ok(&RouteReplayCountOut {
            count: counted.progress.total,
            approximated: counted.progress.approximated,
            app_ids,
        });
    }
    let idempotency = ask.idempotency(access.organisation, &access.tenant.to_string())?;
    idempotency::once(&directory, idempotency, ask.now, start(&access, &ask, call)).await
}

async fn start(access: &TenantAccess, ask: &Ask, call: RouteReplay) -> Result<Answer, Problem> {
    let request = json!({
        "sourceId": call.source,
        "key": call.key,
        "appIds": call.to,
        "unsignedKeys": call.unsigned,
    });
    let task = (call.id, TaskKind::RouteReplay);
    background_task::begin(access, ask.now, task, &request, call).await
}
