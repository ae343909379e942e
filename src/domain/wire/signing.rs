//! What an endpoint's requests are signed with, and what they carry: as it is changed and as it is shown.
#![expect(
    clippy::option_option,
    reason = "a field that is not there is not a field that is null"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::call::{Idempotency, present};
use super::report::SentHeader;
use crate::legacy_signature;
use crate::signature::{Jwk, Version};

/// What changes of an endpoint's signatures. A field that is not there stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningChange {
    /// Which kinds of signature it has: a key is made where one is missing, and one that is not named ends at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Vec<Version>>,
    /// The signature of an older kind beside them; `null` takes it away.
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub legacy: Option<Option<LegacyChange>>,
}

/// A signature of an older kind, as its owner writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyChange {
    /// How it is made.
    #[serde(flatten)]
    pub scheme: legacy_signature::Scheme,
    /// In clear, on its way to be sealed; none: the one that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<legacy_signature::Secret>,
}

/// A signature of an older kind, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyView {
    /// How it is made.
    #[serde(flatten)]
    pub scheme: legacy_signature::Scheme,
    /// The end of its secret, to know it by.
    #[serde(rename = "secretHint")]
    pub hint: String,
}

/// A signature of an older kind, as it travels in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedLegacy {
    /// How it is made.
    #[serde(flatten)]
    pub scheme: legacy_signature::Scheme,
    /// Its secret.
    pub secret: super::lane::SealedPart,
}

/// See [`super::call::Call::EndpointSecretRotate`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSecretRotate {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// `whsec_…` or `whsk_…` of its owner's choice; none: new ones of the kinds that it has.
    #[serde(default)]
    pub key: Option<String>,
    /// The key before signs so long; 0: all before end now.
    pub grace_seconds: u32,
    /// `Idempotency-Key` of the request.
    #[serde(default)]
    pub idempotency: Option<Idempotency>,
}

/// A secret stays out of logs.
impl std::fmt::Debug for EndpointSecretRotate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EndpointSecretRotate({}, …)", self.endpoint)
    }
}

/// See [`super::call::Call::PublicKeys`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKeys {}

/// The answer to [`PublicKeys`], as RFC 7517 has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    /// Of all endpoints, those that are ending among them.
    pub keys: Vec<Jwk>,
}

/// See [`super::call::Call::EndpointHeadersGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointHeadersGet {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
}

/// The answer to [`EndpointHeadersGet`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeadersView {
    /// Those that may be shown.
    pub headers: BTreeMap<String, String>,
    /// Names of those that are set and are not shown.
    pub sensitive: Vec<String>,
}

/// See [`super::call::Call::EndpointHeadersPut`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointHeadersPut {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// All of them, as they shall be.
    pub headers: BTreeMap<String, String>,
}

/// See [`super::call::Call::EndpointHeadersPatch`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointHeadersPatch {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// What is set, or with nothing taken away.
    pub headers: BTreeMap<String, Option<String>>,
}

/// Headers may hold credentials: they stay out of logs.
impl std::fmt::Debug for EndpointHeadersPut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "EndpointHeadersPut({}, {} headers)",
            self.endpoint,
            self.headers.len()
        )
    }
}

/// The same.
impl std::fmt::Debug for EndpointHeadersPatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "EndpointHeadersPatch({}, {} headers)",
            self.endpoint,
            self.headers.len()
        )
    }
}

/// See [`super::call::Call::AttemptHeaders`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptHeaders {
    /// Id, or the publisher's event id.
    pub message: String,
    /// Its id.
    pub attempt: String,
}

/// The answer to [`AttemptHeaders`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptHeadersView {
    /// What was sent; without a value: it is a secret.
    pub sent: Vec<SentHeader>,
    /// What was answered; none: nothing was, or nothing was kept.
    pub response: Option<Vec<(String, String)>>,
}
