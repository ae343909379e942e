//! An endpoint, as it is read and written.

use std::collections::BTreeMap;

use postern_domain::address::Policy;
use postern_domain::id::Uid;
use postern_domain::wire::{EndpointConfig, EndpointView, HeaderNames};
use serde::Serialize;

use crate::api::field;
use crate::api::form::Form;

/// Reads a whole endpoint; `None`: the form knows why.
pub(crate) fn read(form: &mut Form<'_>, policy: &Policy) -> Option<EndpointConfig> {
    let url = form.required("url", field::url);
    let url = url.and_then(|url| judged(form, policy, &url));
    let config = EndpointConfig {
        url: url.clone().unwrap_or_default(),
        description: form
            .optional("description", field::description)
            .unwrap_or_default(),
        uid: form.optional("uid", field::uid),
        event_types: form.optional(event_types_name(form), field::event_types),
        channels: form.optional("channels", field::endpoint_channels),
        throttle_rate: form.optional(rate_name(form), field::rate),
        disabled: form.optional("disabled", field::flag).unwrap_or_default(),
        metadata: form.optional("metadata", field::metadata).unwrap_or_default(),
        headers: form.optional("headers", field::headers).unwrap_or_default(),
        retry_schedule: form.optional("retrySchedule", field::schedule),
        header_names: form
            .optional("headerNames", field::header_names)
            .unwrap_or_default(),
    };
    url.map(|_| config)
}

/// The URL as the rule for addresses writes it; `None`: refused, with the rule's sentence.
pub(super) fn judged(form: &mut Form<'_>, policy: &Policy, url: &str) -> Option<String> {
    match policy.judge(url) {
        Ok(target) => Some(target.as_str().to_owned()),
        Err(refusal) => {
            form.say(&["url"], refusal.sentence(), "value_error");
            None
        }
    }
}

/// `eventTypes`, or what Svix calls it elsewhere.
pub(super) fn event_types_name(form: &Form<'_>) -> &'static str {
    if form.names("filterTypes") && !form.names("eventTypes") {
        "filterTypes"
    } else {
        "eventTypes"
    }
}

/// `throttleRate`, or what Svix calls it elsewhere.
pub(super) fn rate_name(form: &Form<'_>) -> &'static str {
    if form.names("rateLimit") && !form.names("throttleRate") {
        "rateLimit"
    } else {
        "throttleRate"
    }
}

/// An endpoint, as it is shown: never with its headers, which may hold credentials.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointOut {
    id: String,
    uid: Option<String>,
    url: String,
    /// Always 1: Svix's older clients want it.
    version: u8,
    description: String,
    event_types: Option<Vec<String>>,
    filter_types: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    throttle_rate: Option<u16>,
    rate_limit: Option<u16>,
    disabled: bool,
    metadata: BTreeMap<String, String>,
    /// Seconds between tries; null: the application's, else the default.
    retry_schedule: Option<Vec<u32>>,
    /// `standard`, `svix` or `both`.
    header_names: &'static str,
    created_at: String,
    updated_at: String,
}

impl EndpointOut {
    /// Of what the object says.
    pub(super) fn new(endpoint: EndpointView) -> Self {
        let config = endpoint.config;
        Self {
            id: endpoint.id.to_string(),
            uid: config.uid.map(Uid::into),
            url: config.url,
            version: 1,
            description: config.description,
            filter_types: config.event_types.clone(),
            event_types: config.event_types,
            channels: config.channels,
            throttle_rate: config.throttle_rate,
            rate_limit: config.throttle_rate,
            disabled: config.disabled,
            metadata: config.metadata,
            retry_schedule: config.retry_schedule.map(|schedule| schedule.steps().to_vec()),
            header_names: match config.header_names {
                HeaderNames::Standard => "standard",
                HeaderNames::Svix => "svix",
                HeaderNames::Both => "both",
            },
            created_at: endpoint.created_at.to_rfc3339(),
            updated_at: endpoint.updated_at.to_rfc3339(),
        }
    }
}
