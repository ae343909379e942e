//! Each operation in a sentence, with its query, what it takes and what it answers.

use schemars::JsonSchema;
use schemars::generate::SchemaGenerator;
use serde_json::{Value, json};

use super::inputs::{
    AlertEmailPatch, AppPortalAccessIn, AppUsageStatsIn, ApplicationIn, ApplicationPatch,
    ApplicationTokenExpireIn, BroadcastIn, BulkExpungeIn, BulkReplayIn, CancelMsgsIn, ConsumerSeekIn,
    CreateTokenIn, EmptyResponse, EndpointHeadersIn, EndpointHeadersOut, EndpointHeadersPatchIn, EndpointIn,
    EndpointPatch, EndpointSecretOut, EndpointSecretRotateIn, EntitlementBackfillIn, EntitlementConfigIn,
    EnvironmentIn, EraseIn, EventExampleIn, EventTypeImportOpenApiIn, EventTypeIn, EventTypePatch,
    EventTypeUpdate, GmailPushIn, ImportIn, KeySetOut, MessageBatchIn, MessageIn, MessagePrecheckIn,
    MessageSearchIn, OneTimeTokenIn, PollerTokenRotateIn, RecoverIn, RedriveIn, ReplayIn, ReplayMissingIn,
    SecretRotateIn, SourceDiagnoseIn, SourceIn, SourcePatch, SourceReplayIn, SourceUpdate, TokenRotateIn,
};
use crate::api::app::{attempt, endpoint, entitlement, failed, job, msg, poller, shape, source, stats};
use crate::api::auth;
use crate::api::background_task::shape::BackgroundTaskOut;
use crate::api::broadcast::BroadcastOut;
use crate::api::environment::export::EnvironmentOut;
use crate::api::erasure::shape::ErasureOut;
use crate::api::event_type::export_openapi::ExportEventTypeOut;
use crate::api::event_type::import_openapi::EventTypeImportOpenApiOut;
use crate::api::event_type::retry_schedule::RetryScheduleInOut;
use crate::api::event_type::shape::EventTypeOut;
use crate::api::health::Health;
use crate::api::import::shape::ImportOut;
use crate::api::stats::usage_app::AppUsageStatsOut;

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
    "tag",
    "event_types",
    "tag",
    "with_content",
];
const DELIVERIES: &[&str] = &[
    "limit",
    "iterator",
    "before",
    "after",
    "channel",
    "event_types",
    "tag",
    "with_content",
    "status",
];
const ATTEMPT_FILTERS: &[&str] = &[
    "before",
    "after",
    "channel",
    "event_types",
    "tag",
    "status",
    "status_code_class",
];
const ATTEMPTS: &[&str] = &[
    "limit",
    "iterator",
    "before",
    "after",
    "channel",
    "tag",
    "event_types",
    "tag",
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
    "tag",
    "event_types",
    "tag",
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

        ("PATCH", "/app/{app_id}/alert-email") => make(
            "Sets whom to tell when an endpoint fails",
            &[],
            Some(of::<AlertEmailPatch>(s)),
            empty(),
        ),
        ("POST", "/msg/broadcast") => make(
            "Publishes an event to every application",
            &[],
            Some(of::<BroadcastIn>(s)),
            vec![(202, Some(of::<BroadcastOut>(s)))],
        ),

        ("GET", "/operational-webhook/endpoint") => make(
            "Lists operational endpoints",
            PAGE,
            None,
            list::<endpoint::shape::EndpointOut>(s),
        ),
        ("POST", "/operational-webhook/endpoint") => {
            let answers = vec![(201, Some(of::<endpoint::shape::EndpointOut>(s)))];
            make(
                "Makes an operational endpoint",
                &[],
                Some(of::<EndpointIn>(s)),
                answers,
            )
        }
        ("GET", "/operational-webhook/endpoint/{endpoint_id}") => make(
            "One operational endpoint",
            &[],
            None,
            ok::<endpoint::shape::EndpointOut>(s),
        ),
        ("PUT", "/operational-webhook/endpoint/{endpoint_id}") => make(
            "Replaces or makes an operational endpoint",
            &[],
            Some(of::<EndpointIn>(s)),
            ok::<endpoint::shape::EndpointOut>(s),
        ),
        ("DELETE", "/operational-webhook/endpoint/{endpoint_id}") => {
            make("Deletes an operational endpoint", &[], None, empty())
        }
        ("GET", "/operational-webhook/endpoint/{endpoint_id}/secret") => make(
            "The key that its receiver checks signatures with",
            &[],
            None,
            ok::<EndpointSecretOut>(s),
        ),
        ("POST", "/operational-webhook/endpoint/{endpoint_id}/secret/rotate") => make(
            "Puts a new signing key before the operational endpoint's current one, which signs on",
            &[],
            Some(of::<EndpointSecretRotateIn>(s)),
            empty(),
        ),
        ("GET", "/operational-webhook/endpoint/{endpoint_id}/headers") => make(
            "The operational endpoint's own headers; of credentials the names only",
            &[],
            None,
            ok::<EndpointHeadersOut>(s),
        ),
        ("PUT", "/operational-webhook/endpoint/{endpoint_id}/headers") => make(
            "Replaces the operational endpoint's own headers",
            &[],
            Some(of::<EndpointHeadersIn>(s)),
            empty(),
        ),
        ("POST", "/stats/usage/app") => make(
            "What each application used, in a background task",
            &[],
            Some(of::<AppUsageStatsIn>(s)),
            vec![(202, Some(of::<AppUsageStatsOut>(s)))],
        ),
        ("POST", "/app/{app_id}/erase") => make(
            "Erases an application and tells what there was",
            &[],
            Some(of::<EraseIn>(s)),
            ok::<ErasureOut>(s),
        ),
        ("GET", "/app/{app_id}/export") => make(
            "Everything that an application has, as lines of JSON",
            &["after", "secrets"],
            None,
            vec![(200, None)],
        ),
        ("POST", "/app/{app_id}/import" | "/import") => make(
            "Imports endpoints with the secrets that they have; without dryRun: false it only plans",
            &[],
            Some(of::<ImportIn>(s)),
            ok::<ImportOut>(s),
        ),
        ("GET", "/erasure") => {
            let query = &["limit", "iterator", "order", "application"];
            make("Lists what was erased", query, None, list::<ErasureOut>(s))
        }

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

        ("POST", "/app/{app_id}/endpoint/{endpoint_id}/secret/rotate") => make(
            "Puts a new signing key before the current one, which signs on for a while",
            &[],
            Some(of::<EndpointSecretRotateIn>(s)),
            empty(),
        ),
        ("GET", "/app/{app_id}/endpoint/{endpoint_id}/headers") => make(
            "The endpoint's own headers; of credentials the names only",
            &[],
            None,
            ok::<EndpointHeadersOut>(s),
        ),
        ("PUT", "/app/{app_id}/endpoint/{endpoint_id}/headers") => make(
            "Replaces the endpoint's own headers",
            &[],
            Some(of::<EndpointHeadersIn>(s)),
            empty(),
        ),
        ("PATCH", "/app/{app_id}/endpoint/{endpoint_id}/headers") => make(
            "Changes the given ones of the endpoint's own headers",
            &[],
            Some(of::<EndpointHeadersPatchIn>(s)),
            empty(),
        ),
        ("GET", "/app/{app_id}/jwks.json") => make(
            "The public keys of the application's v1a signatures, for anybody (RFC 7517, RFC 8037)",
            &[],
            None,
            ok::<KeySetOut>(s),
        ),
        ("GET", "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/headers") => make(
            "Headers of an attempt, sent and answered",
            &[],
            None,
            ok::<attempt::headers::MessageAttemptHeadersOut>(s),
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
        ("POST", "/app/{app_id}/msg/batch") => {
            let answers = vec![(202, Some(of::<msg::batch::MessageBatchOut>(s)))];
            make(
                "Publishes up to 100 events, all or none",
                &["with_content"],
                Some(of::<MessageBatchIn>(s)),
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
        ("GET", "/app/{app_id}/msg/{msg_id}/raw") => make(
            "A message's bytes as a text",
            &[],
            None,
            ok::<msg::raw::MessageRawPayloadOut>(s),
        ),
        ("GET", "/app/{app_id}/msg/{msg_id}/request") => make(
            "The bytes of the request that a message came in, with its other events",
            &[],
            None,
            vec![(200, None)],
        ),
        ("DELETE", "/app/{app_id}/msg/{msg_id}/content") => make(
            "Takes a message's body away; what is not delivered yet is cancelled",
            &[],
            None,
            empty(),
        ),
        ("POST", "/app/{app_id}/msg/bulk-expunge") => make(
            "Takes the bodies of up to 250 messages away",
            &[],
            Some(of::<BulkExpungeIn>(s)),
            ok::<msg::bulk_expunge::BulkExpungeOut>(s),
        ),
        ("POST", "/app/{app_id}/msg/search") => make(
            "Lists messages, newest first, with the filters in the body",
            &[],
            Some(of::<MessageSearchIn>(s)),
            list::<msg::shape::MessageOut>(s),
        ),
        ("POST", "/app/{app_id}/msg/precheck/active") => make(
            "Whether a message of this type would go to any endpoint now",
            &[],
            Some(of::<MessagePrecheckIn>(s)),
            ok::<msg::precheck::MessagePrecheckOut>(s),
        ),
        ("GET", "/app/{app_id}/msg/{msg_id}/endpoint") => make(
            "Endpoints that a message was decided for, with where it stands",
            &["limit", "iterator"],
            None,
            list::<msg::endpoints::MessageEndpointOut>(s),
        ),
        ("GET", "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}") => make(
            "One attempt of a message",
            &[],
            None,
            ok::<attempt::shape::MessageAttemptOut>(s),
        ),
        ("DELETE", "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content") => {
            make("Takes an attempt's response away", &[], None, empty())
        }
        ("GET", "/app/{app_id}/attempt/endpoint/{endpoint_id}/count") => make(
            "How many attempts at an endpoint there are",
            ATTEMPT_FILTERS,
            None,
            ok::<attempt::count::CountOut>(s),
        ),
        ("GET", "/app/{app_id}/endpoint/{endpoint_id}/msg") => make(
            "Messages that were decided for an endpoint, newest first, with where each stands",
            DELIVERIES,
            None,
            list::<endpoint::messages::EndpointMessageOut>(s),
        ),
        ("GET", "/app/{app_id}/failed") => make(
            "What failed for good at any endpoint, newest message first",
            MESSAGES,
            None,
            list::<failed::FailedDeliveryOut>(s),
        ),
        ("GET", "/app/{app_id}/endpoint/{endpoint_id}/failed") => make(
            "What failed for good at one endpoint, newest message first",
            MESSAGES,
            None,
            list::<failed::FailedDeliveryOut>(s),
        ),
        ("GET", "/app/{app_id}/endpoint/{endpoint_id}/stats") => make(
            "Deliveries to an endpoint by where they stand, of messages in whole hours",
            &["since", "until"],
            None,
            ok::<endpoint::stats::EndpointStatsOut>(s),
        ),
        ("GET", "/app/{app_id}/endpoint/{endpoint_id}/rate-limit-status") => make(
            "Whether a rate holds anything back",
            &[],
            None,
            ok::<endpoint::rate_limit_status::EndpointThrottleRateStatusOut>(s),
        ),
        ("GET", "/app/{app_id}/stats/attempts") => make(
            "Attempts by event type, in whole hours",
            &["since", "until", "event_types"],
            None,
            ok::<stats::AppAttemptStatsOut>(s),
        ),
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
        ("DELETE", "/app/{app_id}/source/{source_id}/secret/{secret_id}") => {
            make("Takes one secret of a source away", &[], None, empty())
        }
        ("GET", "/app/{app_id}/source/{source_id}/captured-secret") => make(
            "The secret that a handshake brought, until something was verified with it",
            &[],
            None,
            ok::<source::captured_secret::CapturedSecretOut>(s),
        ),
        ("GET", "/app/{app_id}/source/{source_id}/rejected") => make(
            "Requests that were refused, newest first",
            PAGE,
            None,
            list::<source::rejected::RejectedOut>(s),
        ),
        ("GET", "/app/{app_id}/source/{source_id}/rejected/{rejected_id}") => make(
            "One request that was refused",
            &[],
            None,
            ok::<source::rejected::RejectedOut>(s),
        ),
        ("POST", "/app/{app_id}/source/{source_id}/gmail-push") => make(
            "Makes the path on which Gmail's notifications come to a source, or says how",
            &[],
            Some(of::<GmailPushIn>(s)),
            ok::<source::gmail_push::GmailPushOut>(s),
        ),
        ("POST", "/app/{app_id}/source/{source_id}/diagnose") => make(
            "Says why a request is not believed, step by step",
            &[],
            Some(of::<SourceDiagnoseIn>(s)),
            ok::<source::diagnose::DiagnosisOut>(s),
        ),
        ("GET", "/app/{app_id}/source/{source_id}/stats") => make(
            "How a source is doing",
            &[],
            None,
            ok::<source::stats::SourceStatsOut>(s),
        ),
        ("POST", "/app/{app_id}/source/{source_id}/replay") => {
            let answers = vec![
                (200, Some(of::<source::replay::SourceReplayCountOut>(s))),
                (202, Some(of::<BackgroundTaskOut>(s))),
            ];
            make(
                "Takes stored webhooks once more, by today's rules",
                &[],
                Some(of::<SourceReplayIn>(s)),
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

        ("GET", "/app/{app_id}/entitlement-config") => make(
            "The rules of entitlements",
            &[],
            None,
            ok::<entitlement::shape::ConfigOut>(s),
        ),
        ("PUT", "/app/{app_id}/entitlement-config") => make(
            "Replaces the rules of entitlements",
            &[],
            Some(of::<EntitlementConfigIn>(s)),
            ok::<entitlement::shape::ConfigOut>(s),
        ),
        ("POST", "/app/{app_id}/entitlement-backfill") => make(
            "Reads all subscriptions at Stripe, or all customers at RevenueCat; a dry run unless it says otherwise",
            &[],
            Some(of::<EntitlementBackfillIn>(s)),
            vec![(202, Some(of::<BackgroundTaskOut>(s)))],
        ),
        ("GET", "/app/{app_id}/entitlement-backfill/{task_id}/difference") => make(
            "What a dry run found otherwise than the table says",
            &["limit", "iterator"],
            None,
            list::<entitlement::shape::DifferenceOut>(s),
        ),
        ("GET", "/app/{app_id}/entitlement") => make(
            "Lists customers with what they may use now",
            &["limit", "iterator", "order", "active", "plan"],
            None,
            list::<entitlement::shape::EntitlementOut>(s),
        ),
        ("GET", "/app/{app_id}/entitlement/{customer}") => make(
            "What a customer may use now",
            &[],
            None,
            ok::<entitlement::shape::EntitlementOut>(s),
        ),
        ("GET", "/app/{app_id}/entitlement/{customer}/object") => make(
            "The providers' own objects of a customer, as they were last seen",
            PAGE,
            None,
            list::<entitlement::shape::ObjectOut>(s),
        ),

        ("GET", "/app/{app_id}/poller/{sink_id}") => {
            let query = &["limit", "iterator", "event_type", "channel", "after", "wait"];
            make(
                "What an endpoint that is polled has behind the iterator",
                query,
                None,
                ok::<poller::shape::PollOut>(s),
            )
        }
        ("GET", "/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}") => make(
            "What a consumer has next",
            &["limit", "iterator", "wait"],
            None,
            ok::<poller::shape::PollOut>(s),
        ),
        ("POST", "/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}/seek") => make(
            "Puts a consumer somewhere else",
            &[],
            Some(of::<ConsumerSeekIn>(s)),
            ok::<poller::shape::SeekOut>(s),
        ),
        ("GET", "/auth/app/{app_id}/poller/{endpoint_id}/token") => make(
            "A poller's own token",
            &[],
            None,
            ok::<poller::shape::TokenOut>(s),
        ),
        ("POST", "/auth/app/{app_id}/poller/{endpoint_id}/token/rotate") => {
            let answers = vec![(201, Some(of::<poller::shape::TokenOut>(s)))];
            make(
                "Puts a new token beside the old one",
                &[],
                Some(of::<PollerTokenRotateIn>(s)),
                answers,
            )
        }
        ("GET", "/app/{app_id}/stream") => make(
            "Messages as they come: server-sent events, or a WebSocket",
            &["event_types", "channels", "after"],
            None,
            vec![(101, None), (200, None)],
        ),

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

        ("GET", "/event-type/{event_type_name}/retry-schedule") => {
            let answers = ok::<RetryScheduleInOut>(s);
            make("The type's own waits between tries", &[], None, answers)
        }
        ("PUT", "/event-type/{event_type_name}/retry-schedule") => {
            let body = Some(of::<RetryScheduleInOut>(s));
            let answers = ok::<RetryScheduleInOut>(s);
            make("Sets the type's own waits between tries", &[], body, answers)
        }
        ("POST", "/event-type/import/openapi") => make(
            "Makes and changes event types as a document's webhooks say",
            &[],
            Some(of::<EventTypeImportOpenApiIn>(s)),
            ok::<EventTypeImportOpenApiOut>(s),
        ),
        ("POST", "/event-type/export/openapi") => {
            let answers = vec![(202, Some(of::<ExportEventTypeOut>(s)))];
            make(
                "The event types as a document, in a background task",
                &[],
                None,
                answers,
            )
        }
        ("POST", "/environment/export") => make(
            "What the organisation has decided",
            &[],
            None,
            ok::<EnvironmentOut>(s),
        ),
        ("POST", "/environment/import") => make(
            "Makes or replaces what an export holds",
            &[],
            Some(of::<EnvironmentIn>(s)),
            empty(),
        ),

        ("POST", "/auth/app-portal-access/{app_id}") => make(
            "A token for a tenant's portal, and a link",
            &[],
            Some(of::<AppPortalAccessIn>(s)),
            ok::<auth::app_portal_access::AppPortalAccessOut>(s),
        ),
        ("POST", "/auth/one-time-token") => make(
            "Exchanges what a portal's link carries, once",
            &[],
            Some(of::<OneTimeTokenIn>(s)),
            ok::<auth::one_time_token::OneTimeTokenOut>(s),
        ),
        ("POST", "/auth/logout") => make("Ends the tenant's token that asks", &[], None, empty()),
        ("GET", "/auth/whoami") => make("Whose token this is", &[], None, ok::<auth::whoami::WhoamiOut>(s)),
        ("POST", "/auth/app/{app_id}/expire-all") => make(
            "Ends tokens of an application",
            &[],
            Some(of::<ApplicationTokenExpireIn>(s)),
            empty(),
        ),
        ("POST", "/auth/app/{app_id}/create-message-token") => make(
            "A token that publishes to one application",
            &[],
            Some(of::<CreateTokenIn>(s)),
            ok::<auth::create_message_token::ApiTokenOut>(s),
        ),
        ("GET", "/portal") => make("Where a portal's link leads", &[], None, vec![(501, None)]),

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
        _ => super::connections::describe(method, path, s)
            .or_else(|| super::app_level::describe(method, path, s)),
    }
}

/// A reference to the type's schema.
pub(super) fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

pub(super) fn ok<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Vec<(u16, Option<Value>)> {
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

pub(super) fn list<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Vec<(u16, Option<Value>)> {
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
