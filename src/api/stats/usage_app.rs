//! `POST /api/v1/stats/usage/app`: what each application used, in the data of a background task.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::stream;
use postern_domain::id::TaskId;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::reads::{Usage, Used};
use postern_platform::random;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::api::{field, idempotency};
use crate::store::application::{self, Application, Key};
use crate::store::background_task::{self, BackgroundTask};

/// Svix's word for the kind of task.
const KIND: &str = "application.stats";

/// Applications that are counted for one request: each is asked while the client waits.
const MOST: u64 = 100;

/// Applications that are asked at the same time.
const AT_ONCE: usize = 6;

/// The task. What came of it stands in the task's `data.appStats`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppUsageStatsOut {
    id: String,
    /// Always `finished`.
    status: &'static str,
    /// `application.stats`.
    task: &'static str,
    updated_at: String,
    /// Those of `appIds` that name no application.
    unresolved_app_ids: Vec<String>,
}

/// 202; the task is finished already. An application that cannot be asked now fails the whole request, so that no sum is
/// ever short of something unseen.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let (since, until) = (
        form.required("since", field::time),
        form.required("until", field::time),
    );
    let names = form.optional("appIds", field::applications);
    let hours = since.zip(until).map(|(since, until)| Usage { since, until });
    if hours.as_ref().is_some_and(|hours| hours.until <= hours.since) {
        form.say(&["until"], "must be after since", "value_error");
    }
    let hours = form.finish(hours)?;
    let key = ask.idempotency(access.organisation, "")?;
    let directory = access.directory()?;
    idempotency::once(&directory, key, ask.now, async {
        let (rows, unresolved) = match &names {
            Some(names) => {
                let keys: Vec<Key> = names.iter().filter_map(|name| Key::read(name)).collect();
                let rows = application::named(&directory, access.organisation, &keys).await?;
                if rows.is_empty() {
                    return Err(Problem::fault(&["body", "appIds"], "names no application"));
                }
                let unresolved = unresolved(names, &rows);
                (once_each(rows), unresolved)
            }
            None => (all(&access).await?, Vec::new()),
        };
        let counted = count(&access, rows, &hours).await?;
        let data = json!({ "appStats": counted, "since": hours.since.to_rfc3339(), "until": hours.until.to_rfc3339() });
        let id = TaskId::new(ask.now, random::bytes());
        let row = BackgroundTask::finished(access.organisation, id, KIND, data.to_string(), ask.now);
        background_task::insert(&directory, &row).await?;
        let out = AppUsageStatsOut {
            id: id.to_string(),
            status: "finished",
            task: KIND,
            updated_at: ask.now.to_rfc3339(),
            unresolved_app_ids: unresolved,
        };
        Answer::json(202, &out)
    })
    .await
}

/// Every application, if they are not too many: half of them would look like all.
async fn all(access: &OrganisationAccess) -> Result<Vec<Application>, Problem> {
    let rows = application::first(&access.directory()?, access.organisation, MOST + 1).await?;
    if u64::try_from(rows.len()).map_err(Problem::internal)? > MOST {
        let detail = "names nobody, and there are more than 100 applications: name up to 100 of them";
        return Err(Problem::fault(&["body", "appIds"], detail));
    }
    Ok(rows)
}

/// What each used, in the order they were made in.
async fn count(
    access: &OrganisationAccess,
    rows: Vec<Application>,
    hours: &Usage,
) -> Result<Vec<Value>, Problem> {
    let asks = rows.into_iter().map(|row| async move {
        match access.tenant(row.id).object().call(hours.clone(), &[]).await {
            Ok((used, _)) => Ok(Some(shape(&row, &used))),
            Err(problem) if problem.code == Code::NotFound => Ok(None), // deleted meanwhile
            Err(problem) => Err(problem),
        }
    });
    let counted: Vec<Result<Option<Value>, Problem>> = stream::iter(asks).buffered(AT_ONCE).collect().await;
    let counted: Result<Vec<Option<Value>>, Problem> = counted.into_iter().collect();
    Ok(counted?.into_iter().flatten().collect())
}

/// `messageDestinations` is Svix's; the rest is what it is made of.
fn shape(row: &Application, used: &Used) -> Value {
    let counts = &used.deliveries;
    let destinations = counts.pending + counts.waiting + counts.delivered + counts.failed + counts.cancelled;
    json!({
        "appId": row.id,
        "appUid": row.uid,
        "messages": used.messages,
        "messageDestinations": destinations,
        "attempts": { "success": used.succeeded, "failure": used.failed },
    })
}

/// One that is named by its id and its `uid` is one.
fn once_each(mut rows: Vec<Application>) -> Vec<Application> {
    rows.sort_by_key(|row| (row.created_at, row.id));
    rows.dedup_by_key(|row| row.id);
    rows
}

/// The names that none of these has.
fn unresolved(names: &[String], rows: &[Application]) -> Vec<String> {
    let ids = rows.iter().map(|row| row.id.to_string());
    let uids = rows
        .iter()
        .filter_map(|row| row.uid.as_ref().map(ToString::to_string));
    let known: BTreeSet<String> = ids.chain(uids).collect();
    names
        .iter()
        .filter(|name| !known.contains(*name))
        .cloned()
        .collect()
}
