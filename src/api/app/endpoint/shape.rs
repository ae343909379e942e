//! An endpoint, as it is read and written.

use std::collections::BTreeMap;

use postern_domain::address::Policy;
use postern_domain::filter::Filter;
use postern_domain::id::Uid;
use postern_domain::legacy_signature::{Algorithm, Encoding, Scheme};
use postern_domain::signature::Version;
use postern_domain::wire::signing::{LegacyChange, LegacyView, SigningChange};
use postern_domain::wire::{
    DisableAfter, DisabledReason, EndpointConfig, EndpointKind, EndpointView, HeaderNames, Ordering,
    POLLED_URL,
};
use serde::Serialize;

use crate::api::field;
use crate::api::form::Form;

const LEGACY: &str = "legacySignature";

/// Reads a whole endpoint; `None`: the form knows why.
pub(crate) fn read(form: &mut Form<'_>, policy: &Policy) -> Option<EndpointConfig> {
    let kind = kind(form);
    let url = match kind {
        // It has no URL: the word that stands for one says the same as the type.
        Some(EndpointKind::Polling) => form
            .optional("url", field::url)
            .or_else(|| Some(POLLED_URL.to_owned())),
        _ => form
            .required("url", field::url)
            .and_then(|url| judged(form, policy, &url)),
    };
    let config = EndpointConfig {
        url: url.clone().unwrap_or_default(),
        description: form
            .optional("description", field::description)
            .unwrap_or_default(),
        uid: form.optional("uid", field::uid),
        event_types: form.optional(event_types_name(form), field::event_types),
        channels: form.optional("channels", field::endpoint_channels),
        filter: form.optional("filter", field::filter),
        throttle_rate: form.optional(rate_name(form), field::rate),
        disabled: form.optional("disabled", field::flag).unwrap_or_default(),
        metadata: form.optional("metadata", field::metadata).unwrap_or_default(),
        headers: form.optional("headers", field::headers).unwrap_or_default(),
        retry_schedule: form.optional("retrySchedule", field::schedule),
        header_names: form
            .optional("headerNames", field::header_names)
            .unwrap_or_default(),
        ordering: form.optional("ordering", field::ordering),
        ordered: None,
        disable_after: form.optional("disableAfter", field::disable_after),
        disabled_reason: None,
        kind: kind.unwrap_or_default(),
        // Whether there is one, and whether its token may go there, only its object knows.
        connection_id: None,
    };
    url.map(|_| config)
}

/// Whether it is polled: by its type, or by the URL that Svix's clients can write.
fn kind(form: &mut Form<'_>) -> Option<EndpointKind> {
    let polled = form
        .raw("url")
        .is_some_and(|url| serde_json::from_str(url.get()).is_ok_and(|url: String| url == POLLED_URL));
    let default = if polled {
        EndpointKind::Polling
    } else {
        EndpointKind::Webhook
    };
    if form.has("type") {
        form.optional("type", field::endpoint_kind)
    } else {
        Some(default)
    }
}

/// What the request says of signatures; what it does not name stays.
pub(super) fn signing(form: &mut Form<'_>) -> SigningChange {
    SigningChange {
        signatures: form.optional("signatures", field::signatures),
        legacy: match (form.names(LEGACY), form.has(LEGACY)) {
            (false, _) => None,
            (true, false) => Some(None),
            (true, true) => form.inner(LEGACY, legacy).map(Some),
        },
    }
}

/// Reads a signature of an older kind; `None`: the form knows why.
fn legacy(form: &mut Form<'_>) -> Option<LegacyChange> {
    let header = form.required("header", field::text);
    let scheme = Scheme {
        header: header.clone().unwrap_or_default(),
        algorithm: form
            .optional("algorithm", field::legacy_algorithm)
            .unwrap_or(Algorithm::Sha256),
        encoding: form
            .optional("encoding", field::legacy_encoding)
            .unwrap_or(Encoding::Hex),
        prefix: form.optional("prefix", field::text).unwrap_or_default(),
        template: form.optional("template", field::text),
        value: form.optional("value", field::text),
    };
    let secret = form.optional("secret", field::legacy_secret);
    header?;
    match scheme.checked() {
        Ok(scheme) => Some(LegacyChange { scheme, secret }),
        Err(faults) => {
            for (name, sentence) in faults {
                form.say(&[name], sentence, "value_error");
            }
            None
        }
    }
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
    /// `webhook` or `polling`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Of one that is polled `postern:poller`.
    url: String,
    /// Always 1: Svix's older clients want it.
    version: u8,
    description: String,
    event_types: Option<Vec<String>>,
    filter_types: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    /// What must hold of a message's content.
    #[cfg_attr(test, schemars(with = "Option<BTreeMap<String, serde_json::Value>>"))]
    filter: Option<Filter>,
    throttle_rate: Option<u16>,
    rate_limit: Option<u16>,
    disabled: bool,
    metadata: BTreeMap<String, String>,
    /// Seconds between tries; null: the application's, else the default.
    retry_schedule: Option<Vec<u32>>,
    /// `standard`, `svix` or `both`.
    header_names: &'static str,
    /// `{key, onFailure}`; null: each message goes when it can.
    #[cfg_attr(test, schemars(with = "Option<BTreeMap<String, serde_json::Value>>"))]
    ordering: Option<Ordering>,
    /// `{failed, days}`: it is disabled after so many deliveries in a row that failed for good, or so many days without
    /// a success. 0: never.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, u32>"))]
    disable_after: DisableAfter,
    /// Why Postern disabled it: `gone`, `deliveries_failed` or `no_success`; null: it is on, or somebody disabled it.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    disabled_reason: Option<DisabledReason>,
    /// The same as a sentence: what happened, and what to do.
    disabled_text: Option<&'static str>,
    /// `v1` (HMAC-SHA256), `v1a` (Ed25519) or both.
    signatures: Vec<&'static str>,
    /// A signature of an older kind beside them.
    legacy_signature: Option<LegacySignatureOut>,
    /// The connection whose token its deliveries carry.
    connection_id: Option<String>,
    created_at: String,
    updated_at: String,
}

/// A signature of an older kind: never with its secret.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct LegacySignatureOut {
    header: String,
    /// `hmac-sha256`, `hmac-sha1` or `hmac-sha512`.
    #[cfg_attr(test, schemars(with = "String"))]
    algorithm: Algorithm,
    /// `hex`, `base64` or `base64url`.
    #[cfg_attr(test, schemars(with = "String"))]
    encoding: Encoding,
    prefix: String,
    template: String,
    value: String,
    /// Up to four characters at its end, to know it by.
    secret_hint: String,
}

impl LegacySignatureOut {
    fn new(legacy: LegacyView) -> Self {
        let scheme = legacy.scheme;
        Self {
            template: scheme.template().to_owned(),
            value: scheme.value().to_owned(),
            header: scheme.header,
            algorithm: scheme.algorithm,
            encoding: scheme.encoding,
            prefix: scheme.prefix,
            secret_hint: legacy.hint,
        }
    }
}

impl EndpointOut {
    /// Of what the object says.
    pub(crate) fn new(endpoint: EndpointView) -> Self {
        let config = endpoint.config;
        Self {
            id: endpoint.id.to_string(),
            uid: config.uid.map(Uid::into),
            kind: match config.kind {
                EndpointKind::Webhook => "webhook",
                EndpointKind::Polling => "polling",
            },
            url: config.url,
            version: 1,
            description: config.description,
            filter_types: config.event_types.clone(),
            event_types: config.event_types,
            channels: config.channels,
            filter: config.filter,
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
            ordering: config.ordering,
            disable_after: config.disable_after.unwrap_or_default(),
            disabled_reason: config.disabled_reason,
            disabled_text: config.disabled_reason.map(DisabledReason::sentence),
            signatures: match endpoint.signatures.as_slice() {
                // Of an object of the release before, which has no other.
                [] => vec!["v1"],
                kinds => kinds.iter().copied().map(word).collect(),
            },
            legacy_signature: endpoint.legacy.map(LegacySignatureOut::new),
            connection_id: config.connection_id.map(|id| id.to_string()),
            created_at: endpoint.created_at.to_rfc3339(),
            updated_at: endpoint.updated_at.to_rfc3339(),
        }
    }
}

const fn word(kind: Version) -> &'static str {
    match kind {
        Version::V1 => "v1",
        Version::V1a => "v1a",
    }
}
