//! Each operation in a sentence, with its query, what it takes and what it answers.

use schemars::JsonSchema;
use schemars::generate::SchemaGenerator;
use serde_json::{Value, json};

use super::inputs::{
    ApplicationIn, ApplicationPatch, BulkReplayIn, CancelMsgsIn, EmptyResponse, EndpointIn, EndpointPatch,
    EndpointSecretOut, EventExampleIn, EventTypeIn, EventTypePatch, EventTypeUpdate, MessageIn, RecoverIn,
    RedriveIn, ReplayIn, ReplayMissingIn, SecretRotateIn, SourceIn, SourcePatch, SourceUpdate, TokenRotateIn,
};
use crate::api::app::{attempt, endpoint, job, msg, shape, source};
use crate::api::background_task::shape::BackgroundTaskOut;
use crate::api::event_type::shape::EventTypeOut;
use crate::api::health::Health;

/// What the document says of one operation beside its path.
pub(super) struct Described {
    pub(super) summary: &'static str,
    pub(super) query: &'static [&'static str],
    pub(super) body: Option<Value>,
    pub(super) answers: Vec<(u16, Option<Value>)>,
}

const PAGE: &[&str] = &["limit", "iterator", "order"];
const MESSAGES: &[&str] = &[
    "limit",
    "iterator",
    "before",
    "after",
    "channel",
    "event_types",
    "with_content",
];
const ATTEMPTS: &[&str] = &[
    "limit",
    "iterator",
    "before",
    "after",
    "channel",
    "event_types",
    "with_content",
    "status",
    "status_code_class",
];
const ATTEMPTS_OF_MESSAGE: &[&str] = &[
    "limit",
    "iterator",
    "before",
    "after",
    "channel",
    "event_types",
    "with_content",
    "status",
    "status_code_class",
    "endpoint_id",
];

const DRY_RUN: &[&str] = &["dry_run"];

/// What the document says of this operation; `None`: nothing yet.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn describe(method: &str, path: &str, schemas: &mut SchemaGenerator) -> Option<Described> {
    let versioned = path.starts_with("/api/v1");
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let make = |summary, query, body, answers| {
        Some(Described {
            summary,
            query,
            body,
            answers,
        })
    };
    let s = schemas;
    match (method, path) {
        ("GET", "/app") => make("Lists applications", PAGE, None, list::<shape::ApplicationOut>(s)),
        ("POST", "/app") => {
            let out = Some(of::<shape::ApplicationOut>(s));
            let answers = vec![(200, out.clone()), (201, out)];
            make(
                "Makes an application",
                &["get_if_exists"],
                Some(of::<ApplicationIn>(s)),
                answers,
            )
        }
        ("GET", "/app/{app_id}") => make("One application", &[], None, ok::<shape::ApplicationOut>(s)),
        ("PUT", "/app/{app_id}") => {
            let out = Some(of::<shape::ApplicationOut>(s));
            let answers = vec![(200, out.clone()), (201, out)];
            make(
                "Replaces or makes an application",
                &[],
                Some(of::<ApplicationIn>(s)),
                answers,
            )
        }
        ("PATCH", "/app/{app_id}") => make(
            "Changes an application",
            &[],
            Some(of::<ApplicationPatch>(s)),
            ok::<shape::ApplicationOut>(s),
        ),
        ("DELETE", "/app/{app_id}") => make("Deletes an application and all it holds", &[], None, empty()),

        ("GET", "/app/{app_id}/endpoint") => make(
            "Lists endpoints",
            PAGE,
            None,
            list::<endpoint::shape::EndpointOut>(s),
        ),
        ("POST", "/app/{app_id}/endpoint") => {
            let answers = vec![(201, Some(of::<endpoint::shape::EndpointOut>(s)))];
            make("Makes an endpoint", &[], Some(of::<EndpointIn>(s)), answers)
        }
        ("GET", "/app/{app_id}/endpoint/{endpoint_id}") => {
            make("One endpoint", &[], None, ok::<endpoint::shape::EndpointOut>(s))
        }
        ("PUT", "/app/{app_id}/endpoint/{endpoint_id}") => {
            let out = Some(of::<endpoint::shape::EndpointOut>(s));
            let answers = vec![(200, out.clone()), (201, out)];
            make(
                "Replaces or makes an endpoint",
                &[],
                Some(of::<EndpointIn>(s)),
                answers,
            )
        }
        ("PATCH", "/app/{app_id}/endpoint/{endpoint_id}") => {
            let answers = ok::<endpoint::shape::EndpointOut>(s);
            make("Changes an endpoint", &[], Some(of::<EndpointPatch>(s)), answers)
        }
        ("DELETE", "/app/{app_id}/endpoint/{endpoint_id}") => make("Deletes an endpoint", &[], None, empty()),
        ("GET", "/app/{app_id}/endpoint/{endpoint_id}/secret") => make(
            "The endpoint's signing key",
            &[],
            None,
            ok::<EndpointSecretOut>(s),
        ),

        ("GET", "/app/{app_id}/msg") => make(
            "Lists messages, newest first",
            MESSAGES,
            None,
            list::<msg::shape::MessageOut>(s),
        ),
        ("POST", "/app/{app_id}/msg") => {
            let answers = vec![(202, Some(of::<msg::shape::MessageOut>(s)))];
            make(
                "Publishes an event",
                &["with_content"],
                Some(of::<MessageIn>(s)),
                answers,
            )
        }
        ("GET", "/app/{app_id}/msg/{msg_id}") => make(
            "One message, by id or eventId",
            &["with_content"],
            None,
            ok::<msg::shape::MessageOut>(s),
        ),
        ("GET", "/app/{app_id}/msg/{msg_id}/body") => make(
            "A message's bytes, with the type they came with",
            &[],
            None,
            vec![(200, None)],
        ),
        ("GET", "/app/{app_id}/attempt/endpoint/{endpoint_id}") => {
            let answers = list::<attempt::shape::MessageAttemptOut>(s);
            make("Attempts at an endpoint, newest first", ATTEMPTS, None, answers)
        }
        ("GET", "/app/{app_id}/attempt/msg/{msg_id}") => {
            let answers = list::<attempt::shape::MessageAttemptOut>(s);
            make(
                "Attempts of a message, newest first",
                ATTEMPTS_OF_MESSAGE,
                None,
                answers,
            )
        }

        ("POST", "/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend") => {
            let answers = vec![(202, Some(of::<EmptyResponse>(s)))];
            make("Tries a delivery once more, by hand", &[], None, answers)
        }
        ("POST", "/app/{app_id}/endpoint/{endpoint_id}/recover") => make(
            "Tries once more what failed for good, as a background task",
            DRY_RUN,
            Some(of::<RecoverIn>(s)),
            job(s),
        ),
        ("POST", "/app/{app_id}/endpoint/{endpoint_id}/replay-missing") => make(
            "Sends what matches the endpoint now and it never got, as a background task",
            DRY_RUN,
            Some(of::<ReplayMissingIn>(s)),
            job(s),
        ),
        ("POST", "/app/{app_id}/endpoint/{endpoint_id}/bulk-replay") => make(
            "Sends what filters choose once more, as a background task",
            DRY_RUN,
            Some(of::<BulkReplayIn>(s)),
            job(s),
        ),
        ("POST", "/app/{app_id}/endpoint/{endpoint_id}/failed/redrive") => make(
            "Tries one, some or all of what failed for good once more, as a background task",
            DRY_RUN,
            Some(of::<RedriveIn>(s)),
            job(s),
        ),
        ("POST", "/app/{app_id}/replay") => make(
            "A bulk replay over several endpoints, as a background task",
            DRY_RUN,
            Some(of::<ReplayIn>(s)),
            job(s),
        ),
        ("POST", "/app/{app_id}/endpoint/{endpoint_id}/cancel-msgs") => make(
            "Cancels what the endpoint is owed of old messages",
            &[],
            Some(of::<CancelMsgsIn>(s)),
            empty(),
        ),
        ("GET", "/app/{app_id}/endpoint/{endpoint_id}/missed") => {
            let answers = ok::<endpoint::missed::MissedOut>(s);
            make(
                "What the endpoint missed while it was off, and how to send it",
                &[],
                None,
                answers,
            )
        }
        ("POST", "/app/{app_id}/endpoint/{endpoint_id}/send-example") => make(
            "Sends an example of an event type to this endpoint alone",
            &[],
            Some(of::<EventExampleIn>(s)),
            ok::<msg::shape::MessageOut>(s),
        ),
        ("POST", "/app/{app_id}/endpoint/{endpoint_id}/msg/test-attempt") => {
            let answers = vec![(201, Some(of::<attempt::shape::MessageAttemptOut>(s)))];
            make(
                "Sends a message to this endpoint once, and answers what came of it",
                &[],
                Some(of::<MessageIn>(s)),
                answers,
            )
        }
        ("GET", "/background-task") => {
            let query = &["limit", "iterator", "order", "task_status", "task"];
            make(
                "Lists background tasks",
                query,
                None,
                list::<BackgroundTaskOut>(s),
            )
        }
        ("GET", "/background-task/{task_id}") => make(
            "One background task, as it stands",
            &[],
            None,
            ok::<BackgroundTaskOut>(s),
        ),
        ("POST", "/background-task/{task_id}/cancel") => {
            make("Stops a background task", &[], None, ok::<BackgroundTaskOut>(s))
        }

        ("GET", "/app/{app_id}/source") => {
            make("Lists sources", PAGE, None, list::<source::shape::SourceOut>(s))
        }
        ("POST", "/app/{app_id}/source") => {
            let answers = vec![(201, Some(of::<source::shape::SourceOut>(s)))];
            make("Makes a source", &[], Some(of::<SourceIn>(s)), answers)
        }
        ("GET", "/app/{app_id}/source/{source_id}") => {
            make("One source", &[], None, ok::<source::shape::SourceOut>(s))
        }
        ("PUT", "/app/{app_id}/source/{source_id}") => make(
            "Replaces a source",
            &[],
            Some(of::<SourceUpdate>(s)),
            ok::<source::shape::SourceOut>(s),
        ),
        ("PATCH", "/app/{app_id}/source/{source_id}") => make(
            "Changes a source",
            &[],
            Some(of::<SourcePatch>(s)),
            ok::<source::shape::SourceOut>(s),
        ),
        ("DELETE", "/app/{app_id}/source/{source_id}") => make("Deletes a source", &[], None, empty()),
        ("POST", "/app/{app_id}/source/{source_id}/secret/rotate") => {
            let answers = ok::<source::shape::SourceOut>(s);
            make(
                "Puts a new secret beside the old ones",
                &[],
                Some(of::<SecretRotateIn>(s)),
                answers,
            )
        }
        ("POST", "/app/{app_id}/source/{source_id}/token/rotate") => {
            let answers = ok::<source::shape::SourceOut>(s);
            make(
                "Puts a new address beside the old one",
                &[],
                Some(of::<TokenRotateIn>(s)),
                answers,
            )
        }

        ("GET", "/event-type") => {
            let query = &["limit", "iterator", "order", "include_archived", "with_content"];
            make("Lists event types", query, None, list::<EventTypeOut>(s))
        }
        ("POST", "/event-type") => {
            let answers = vec![(201, Some(of::<EventTypeOut>(s)))];
            make("Makes an event type", &[], Some(of::<EventTypeIn>(s)), answers)
        }
        ("GET", "/event-type/{event_type_name}") => make("One event type", &[], None, ok::<EventTypeOut>(s)),
        ("PUT", "/event-type/{event_type_name}") => {
            let out = Some(of::<EventTypeOut>(s));
            let answers = vec![(200, out.clone()), (201, out)];
            make(
                "Replaces or makes an event type",
                &[],
                Some(of::<EventTypeUpdate>(s)),
                answers,
            )
        }
        ("PATCH", "/event-type/{event_type_name}") => make(
            "Changes an event type",
            &[],
            Some(of::<EventTypePatch>(s)),
            ok::<EventTypeOut>(s),
        ),
        ("DELETE", "/event-type/{event_type_name}") => make(
            "Archives an event type; with expunge it goes",
            &["expunge"],
            None,
            empty(),
        ),

        ("GET", "/health/ping") => make("Whether it answers", &[], None, empty()),
        ("GET", "/health") if versioned => make("Whether it answers", &[], None, empty()),
        ("GET", "/health") => {
            let health = Some(of::<Health>(s));
            make(
                "Whether each part of the deployment works",
                &[],
                None,
                vec![(200, health.clone()), (503, health)],
            )
        }
        ("GET", "/version") => make("Which release this is", &[], None, vec![(200, None)]),
        _ => None,
    }
}

/// A reference to the type's schema.
pub(super) fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

fn ok<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Vec<(u16, Option<Value>)> {
    vec![(200, Some(of::<T>(schemas)))]
}

/// A count, or the task that was started.
fn job(schemas: &mut SchemaGenerator) -> Vec<(u16, Option<Value>)> {
    vec![
        (200, Some(of::<job::CountOut>(schemas))),
        (202, Some(of::<BackgroundTaskOut>(schemas))),
    ]
}

fn empty() -> Vec<(u16, Option<Value>)> {
    vec![(204, None)]
}

fn list<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Vec<(u16, Option<Value>)> {
    let text = json!({ "type": "string", "nullable": true });
    let page = json!({
        "type": "object",
        "required": ["data", "iterator", "prevIterator", "done"],
        "properties": {
            "data": { "type": "array", "items": of::<T>(schemas) },
            "iterator": text,
            "prevIterator": text,
            "done": { "type": "boolean" },
        },
    });
    vec![(200, Some(page))]
}
