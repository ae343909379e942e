//! `POST /api/v1/msg/broadcast`: publishes to every tenant of the organisation.

mod run;

use postern_domain::id::TaskId;
use postern_domain::problem::{Code, Problem};
use postern_platform::{later, random};
use serde::Serialize;

use super::access::OrganisationAccess;
use super::app::msg::published::{BODY_CAP, payload};
use super::ask::Ask;
use super::form::Form;
use super::reply::Answer;
use super::{field, idempotency};
use crate::store::broadcast::{self, Content, KIND, Task};

pub(crate) use run::go_on;

/// The task, as Svix shows it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct BroadcastOut {
    id: String,
    /// `running`.
    status: &'static str,
    /// `message.broadcast`.
    task: &'static str,
    updated_at: String,
}

/// 202 with the task. It begins at once; what breaks off is gone on with by the cron.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let content = read(&mut form, ask.hop)?;
    let content = form.finish(content)?;
    if content.payload.len() > BODY_CAP {
        let detail = format!("The payload is larger than {BODY_CAP} bytes");
        return Err(Problem::new(Code::PayloadTooLarge, detail));
    }
    let key = ask.idempotency(access.organisation, "")?;
    let directory = access.directory()?;
    idempotency::once(&directory, key, ask.now, async {
        let task = Task {
            id: TaskId::new(ask.now, random::bytes()),
            organisation: access.organisation,
            data: run::begun()?,
            created_at: ask.now,
            updated_at: ask.now,
        };
        broadcast::insert(&directory, &task, &content).await?;
        let out = BroadcastOut {
            id: task.id.to_string(),
            status: "running",
            task: KIND,
            updated_at: ask.now.to_rfc3339(),
        };
        let env = ask.env().clone();
        later::later(async move { run::begin(&env, task).await });
        Answer::json(202, &out)
    })
    .await
}

/// Reads it; `None`: the form knows why.
fn read(form: &mut Form<'_>, hop: u8) -> Result<Option<Content>, Problem> {
    let event_type = form.required("eventType", field::event_type);
    let event_id = form.optional("eventId", field::word);
    let channels = form.optional("channels", field::message_channels);
    let channels = channels
        .map(|channels| serde_json::to_string(&channels))
        .transpose()
        .map_err(Problem::internal)?;
    let payload = payload(form);
    Ok(event_type.zip(payload).map(|(event_type, payload)| Content {
        event_type,
        event_id,
        channels,
        hop,
        payload,
    }))
}
