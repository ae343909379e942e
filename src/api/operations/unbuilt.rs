//! What Svix's clients have methods for and Postern does not do yet. Each answers 501, so that a client hears a sentence
//! and not that its server is wrong.

use super::{Handler, Need, Operation};

const fn unbuilt(method: &'static str, path: &'static str) -> Operation {
    Operation {
        method,
        path,
        handler: Handler::NotBuilt,
        need: Need::Whole,
    }
}

/// The table; literal parts stand before those that vary.
pub(super) static UNBUILT: &[Operation] = &[
    unbuilt("DELETE", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/oauth"),
    unbuilt("GET", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/oauth"),
    unbuilt("PUT", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/oauth"),
    unbuilt("GET", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/oauth-config"),
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
