//! `POST /api/v1/app/{app_id}/source/{source_id}/replay`: stored webhooks once more, by today's rules.

use postern_domain::id::TaskId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::inbound::SourceReplay;
use postern_domain::wire::replay::TaskKind;
use postern_platform::random;
use serde::Serialize;
use serde_json::json;

use crate::api::access::TenantAccess;
use crate::api::app::job;
use crate::api::ask::Ask;
use crate::api::background_task;
use crate::api::idempotency;
use crate::api::reply::Answer;

/// What a replay would do.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceReplayCountOut {
    /// Webhooks that it would take again.
    count: u64,
    /// There are at least so many: the count looked at 5,000 messages and ended.
    approximated: bool,
}

/// 202 with the background task; of a dry run 200 with the count.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let (since, until) = job::times(&mut form);
    let messages = form.optional("ids", job::names);
    if since.is_none() && messages.is_none() && !form.has("since") && !form.has("ids") {
        form.say(&["since"], "say since when, or which messages (ids)", "missing");
    }
    let event_types = form.optional("eventTypes", job::event_types);
    let endpoints = form.optional("endpoints", job::names);
    let rate = form.optional("ratePerSecond", job::rate).unwrap_or(job::RATE);
    let dry_run = form
        .optional("dryRun", crate::api::field::flag)
        .unwrap_or_default();
    let call = SourceReplay {
        id: TaskId::new(ask.now, random::bytes()),
        source: ask.param(1).to_owned(),
        since,
        until,
        event_types,
        messages,
        endpoints,
        rate,
        dry_run,
    };
    let call = form.finish(Some(call))?;
    if dry_run {
        let (view, _) = access.object().call(call, &[]).await?;
        return Answer::ok(&SourceReplayCountOut {
            count: view.progress.total,
            approximated: view.progress.approximated,
        });
    }
    let directory = access.directory()?;
    let key = ask.idempotency(access.organisation, &access.tenant.to_string())?;
    idempotency::once(&directory, key, ask.now, start(&access, ask.now, call)).await
}

/// The directory's row first, as for every job.
async fn start(access: &TenantAccess, now: Millis, call: SourceReplay) -> Result<Answer, Problem> {
    let request = json!({
        "source": call.source,
        "since": call.since.map(Millis::to_rfc3339),
        "until": call.until.map(Millis::to_rfc3339),
        "eventTypes": call.event_types,
        "endpoints": call.endpoints,
        "ids": call.messages,
    });
    let task = (call.id, TaskKind::SourceReplay);
    background_task::begin(access, now, task, &request, call).await
}
