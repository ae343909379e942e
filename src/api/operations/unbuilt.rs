//! What Svix's clients have methods for and Postern does not do yet. Each answers 501, so that a client hears a sentence
//! and not that its server is wrong.

use super::{Handler, Operation};

const fn unbuilt(method: &'static str, path: &'static str) -> Operation {
    Operation {
        method,
        path,
        handler: Handler::NotBuilt,
    }
}

/// The table; literal parts stand before those that vary.
pub(super) static UNBUILT: &[Operation] = &[
    unbuilt("PATCH", "/api/v1/app/{app_id}/alert-email"),
    unbuilt("GET", "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}/count"),
    unbuilt("GET", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers"),
    unbuilt("PATCH", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers"),
    unbuilt("PUT", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers"),
    unbuilt("GET", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg"),
    unbuilt("DELETE", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/oauth"),
    unbuilt("GET", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/oauth"),
    unbuilt("PUT", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/oauth"),
    unbuilt("GET", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/oauth-config"),
    unbuilt(
        "GET",
        "/api/v1/app/{app_id}/endpoint/{endpoint_id}/rate-limit-status",
    ),
    unbuilt(
        "POST",
        "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate",
    ),
    unbuilt("GET", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/stats"),
    unbuilt("POST", "/api/v1/app/{app_id}/msg/bulk-expunge"),
    unbuilt("POST", "/api/v1/app/{app_id}/msg/precheck/active"),
    unbuilt("POST", "/api/v1/app/{app_id}/msg/search"),
    unbuilt("GET", "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}"),
    unbuilt(
        "DELETE",
        "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content",
    ),
    unbuilt(
        "GET",
        "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/headers",
    ),
    unbuilt("DELETE", "/api/v1/app/{app_id}/msg/{msg_id}/content"),
    unbuilt("GET", "/api/v1/app/{app_id}/msg/{msg_id}/endpoint"),
    unbuilt("GET", "/api/v1/app/{app_id}/msg/{msg_id}/raw"),
    unbuilt("GET", "/api/v1/app/{app_id}/poller/{sink_id}"),
    unbuilt(
        "GET",
        "/api/v1/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}",
    ),
    unbuilt(
        "POST",
        "/api/v1/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}/seek",
    ),
    unbuilt("GET", "/api/v1/app/{app_id}/stats/attempts"),
    unbuilt("POST", "/api/v1/auth/app/{app_id}/create-message-token"),
    unbuilt("POST", "/api/v1/auth/app/{app_id}/expire-all"),
    unbuilt("GET", "/api/v1/auth/app/{app_id}/poller/{endpoint_id}/token"),
    unbuilt(
        "POST",
        "/api/v1/auth/app/{app_id}/poller/{endpoint_id}/token/rotate",
    ),
    unbuilt("POST", "/api/v1/auth/app-portal-access/{app_id}"),
    unbuilt("POST", "/api/v1/auth/logout"),
    unbuilt("POST", "/api/v1/auth/one-time-token"),
    unbuilt("GET", "/api/v1/auth/whoami"),
    unbuilt("POST", "/api/v1/environment/export"),
    unbuilt("POST", "/api/v1/environment/import"),
    unbuilt("POST", "/api/v1/event-type/export/openapi"),
    unbuilt("POST", "/api/v1/event-type/import/openapi"),
    unbuilt("GET", "/api/v1/event-type/{event_type_name}/retry-schedule"),
    unbuilt("PUT", "/api/v1/event-type/{event_type_name}/retry-schedule"),
    unbuilt("GET", "/api/v1/management/authentication/{env_id}/api-token"),
    unbuilt("POST", "/api/v1/management/authentication/{env_id}/api-token"),
    unbuilt(
        "GET",
        "/api/v1/management/authentication/{env_id}/api-token/{key_id}",
    ),
    unbuilt(
        "PATCH",
        "/api/v1/management/authentication/{env_id}/api-token/{key_id}",
    ),
    unbuilt(
        "PUT",
        "/api/v1/management/authentication/{env_id}/api-token/{key_id}",
    ),
    unbuilt(
        "POST",
        "/api/v1/management/authentication/{env_id}/api-token/{key_id}/expire",
    ),
    unbuilt("POST", "/api/v1/msg/broadcast"),
    unbuilt("GET", "/api/v1/operational-webhook/endpoint"),
    unbuilt("POST", "/api/v1/operational-webhook/endpoint"),
    unbuilt("DELETE", "/api/v1/operational-webhook/endpoint/{endpoint_id}"),
    unbuilt("GET", "/api/v1/operational-webhook/endpoint/{endpoint_id}"),
    unbuilt("PUT", "/api/v1/operational-webhook/endpoint/{endpoint_id}"),
    unbuilt(
        "GET",
        "/api/v1/operational-webhook/endpoint/{endpoint_id}/headers",
    ),
    unbuilt(
        "PUT",
        "/api/v1/operational-webhook/endpoint/{endpoint_id}/headers",
    ),
    unbuilt("GET", "/api/v1/operational-webhook/endpoint/{endpoint_id}/secret"),
    unbuilt(
        "POST",
        "/api/v1/operational-webhook/endpoint/{endpoint_id}/secret/rotate",
    ),
    unbuilt("POST", "/api/v1/stats/usage/app"),
    unbuilt("PUT", "/api/v1/stats/usage/event-types"),
    unbuilt("PATCH", "/api/v1/stream/{stream_id}/alert-email"),
    unbuilt("GET", "/ingest/api/v1/source"),
    unbuilt("POST", "/ingest/api/v1/source"),
    unbuilt("DELETE", "/ingest/api/v1/source/{source_id}"),
    unbuilt("GET", "/ingest/api/v1/source/{source_id}"),
    unbuilt("PATCH", "/ingest/api/v1/source/{source_id}"),
    unbuilt("PUT", "/ingest/api/v1/source/{source_id}"),
    unbuilt("GET", "/ingest/api/v1/source/{source_id}/log"),
    unbuilt("POST", "/ingest/api/v1/source/{source_id}/token/rotate"),
];
