//! HubSpot. Version 3: `X-HubSpot-Signature-v3` is the base64 HMAC-SHA256 over method, address, body and time, with the
//! app's client secret as key.
//!
//! Versions 1 and 2 (`X-HubSpot-Signature`, hex) are plain SHA-256 over secret and message, which whoever holds one
//! signature can extend, and have no time: a source must ask for them, and a header of theirs never satisfies version 3.

use std::borrow::Cow;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Level, PLAIN};
use super::event::usable_id;
use super::mac::{Algorithm, from_base64, from_hex, is_among};
use super::names::{Names, Place, UNNAMED, Unit, elements, item};
use super::pick::{pick, text_of};
use super::public_url::PublicUrl;
use super::secret::Key;
use super::settings::Settings;
use super::table::refuse_prefixes;
use super::timestamp::Timestamp;
use super::verdict::{Accepted, Event, Reason, Rejection, Verdict};
use super::{Asked, Request};
use crate::problem::Fault;

const VERSIONS: &str = "versions";
const HEADER: &str = "X-HubSpot-Signature";
const HEADER_V3: &str = "X-HubSpot-Signature-v3";
const TIME: &str = "X-HubSpot-Request-Timestamp";

/// What version 3 decodes in the address before it signs it.
const DECODED: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "hubspot",
    title: "HubSpot",
    methods: &["POST", "GET"],
    level: Level::App,
    secret: "the app's client secret, which has the form of a UUID",
    signed: "{method}{url}{body}{timestamp}",
    signs_url: true,
    deadline_ms: Some(5_000),
    retry_horizon_s: Some(86_400),
    retry_count: Some(10),
    checked: Checked::Vectors,
    sources: &[
        "Webhooks API",
        "Validating requests",
        "HubSpot/hubspot-api-nodejs",
    ],
    unsure: &["Older pages do not retry after 400, 401, 403, 404 and 405."],
    signature_headers: &[
        "x-hubspot-signature",
        "x-hubspot-signature-version",
        "x-hubspot-signature-v3",
        "x-hubspot-request-timestamp",
    ],
    ..PLAIN
};

/// An event's id is not unique: its name is put together from what is, and not from the number of the try.
const NAMES: Names = Names {
    event_type: &[Place::Body("/subscriptionType")],
    time: &[(Place::Body("/occurredAt"), Unit::Millis)],
    tenant_key: &[Place::Body("/portalId")],
    ..UNNAMED
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
    V3,
}

const NAMED: [(&str, Version); 3] = [("v1", Version::V1), ("v2", Version::V2), ("v3", Version::V3)];

/// The preset's settings.
pub(super) struct HubSpot {
    versions: Vec<Version>,
    tolerance: u64,
    public_url: PublicUrl,
}

impl HubSpot {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let mut versions = Vec::new();
        if settings.has(VERSIONS) {
            for text in settings.texts(VERSIONS) {
                match NAMED.iter().find(|(name, _)| *name == text) {
                    Some((_, version)) if !versions.contains(version) => versions.push(*version),
                    Some(_) => {
                        settings.fault(VERSIONS, "holds the same version twice");
                    }
                    None => {
                        settings.fault(VERSIONS, "must hold v3, and v2 and v1 only where they are needed");
                    }
                }
            }
            if versions.is_empty() {
                settings.fault(VERSIONS, "holds no version: then nothing would be believed");
            }
        } else {
            versions.push(Version::V3);
        }
        let tolerance = settings.tolerance();
        let public_url = PublicUrl::read(&mut settings);
        settings.finish(Self {
            versions,
            tolerance,
            public_url,
        })
    }

    fn v3<'k>(&self, keys: &'k [Key], asked: &Asked<'_>) -> Result<&'k Key, Rejection> {
        let request = asked.request;
        let signatures = decoded(request.headers.several(HEADER_V3)?, from_base64, "base64")?;
        let time = Timestamp::parse_as(request.headers.single(TIME)?, Unit::Millis)?;
        let url = self.public_url.of(request)?;
        if keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let unescaped = unescaped(&url);
        let holds = |key: &&Key, url: &str| {
            let parts = [
                request.method.as_bytes(),
                url.as_bytes(),
                request.body,
                time.text.as_bytes(),
            ];
            let mac = Algorithm::Sha256.mac(&key.bytes, &parts);
            mac.is_some_and(|mac| is_among(&mac, &signatures))
        };
        let same = unescaped == url;
        let found = keys
            .iter()
            .find(|key| holds(key, &unescaped) || (!same && holds(key, &url)));
        let key = found.ok_or_else(Rejection::mismatch)?;
        time.check_fresh(self.tolerance, asked.now)?;
        Ok(key)
    }

    /// Versions 1 and 2: whichever of them the source allows.
    fn plain<'k>(&self, keys: &'k [Key], asked: &Asked<'_>) -> Result<&'k Key, Rejection> {
        let request = asked.request;
        let signatures = decoded(request.headers.several(HEADER)?, from_hex, "hex")?;
        if keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let url = if self.versions.contains(&Version::V2) {
            self.public_url.of(request)?
        } else {
            Cow::Borrowed("")
        };
        let holds = |key: &Key, version: Version| {
            let mut hash = Sha256::new_with_prefix(&key.bytes);
            if version == Version::V2 {
                hash.update(request.method);
                hash.update(url.as_bytes());
            }
            hash.update(request.body);
            is_among(&hash.finalize(), &signatures)
        };
        let allowed = |version: &&Version| **version != Version::V3;
        let found = keys.iter().find(|key| {
            let mut versions = self.versions.iter().filter(allowed);
            versions.any(|version| holds(key, *version))
        });
        found.ok_or_else(Rejection::mismatch)
    }
}

impl Preset for HubSpot {
    fn to_value(&self) -> Value {
        let name = |version: &Version| {
            let named = NAMED.iter().find(|(_, other)| other == version);
            named.map_or("", |(name, _)| *name)
        };
        let mut settings = Map::new();
        let versions: Vec<&str> = self.versions.iter().map(name).collect();
        settings.insert(VERSIONS.to_owned(), versions.into());
        settings.insert("tolerance".to_owned(), self.tolerance.into());
        self.public_url.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        DESCRIPTOR.secret
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        const TOKENS: [(&str, &str); 1] =
            [("pat-", "is a private app's access token: give the client secret")];
        refuse_prefixes(secret, &TOKENS)?;
        let is_uuid = secret.len() == 36
            && secret.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_alphanumeric(),
            });
        if is_uuid {
            Ok(())
        } else {
            Err("does not have the form of a client secret: 8-4-4-4-12 characters".to_owned())
        }
    }

    fn signs_url(&self) -> bool {
        self.versions.iter().any(|version| *version != Version::V1)
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let headers = asked.request.headers;
        let takes_plain = self.versions.iter().any(|version| *version != Version::V3);
        let by_v3 = self.versions.contains(&Version::V3).then(|| self.v3(keys, asked));
        let key = match by_v3 {
            Some(Ok(key)) => key,
            Some(Err(rejection)) if !takes_plain || headers.get(HEADER).is_none() => {
                let only_older = headers.get(HEADER_V3).is_none() && headers.get(HEADER).is_some();
                return Err(if only_older {
                    let detail = "Signed with version 1 or 2, which this source does not believe";
                    Rejection::new(Reason::UnknownScheme, detail)
                } else {
                    rejection
                });
            }
            _ => self.plain(keys, asked)?,
        };
        Ok(Accepted::new(split(asked.request)?, Some(key.index)).into())
    }
}

fn split(request: &Request<'_>) -> Result<Vec<Event>, Rejection> {
    let name = |bytes: &[u8]| Event {
        id: id(bytes),
        ..NAMES.event_in(request.headers, bytes)
    };
    let Some(ranges) = elements(request.body)? else {
        return Ok(vec![name(request.body)]);
    };
    let events = ranges.into_iter().map(|range| item(request.body, range, name));
    Ok(events.collect())
}

fn id(bytes: &[u8]) -> Option<String> {
    let parts = pick(bytes, ["/portalId", "/subscriptionId", "/eventId", "/occurredAt"]);
    let parts: Option<Vec<String>> = parts.iter().map(|part| text_of(part.as_ref())).collect();
    usable_id(Some(parts?.join(":")))
}

fn unescaped(url: &str) -> Cow<'_, str> {
    if !url.contains('%') {
        return Cow::Borrowed(url);
    }
    let mut text = url.to_owned();
    for (escape, plain) in DECODED {
        text = text
            .replace(escape, plain)
            .replace(&escape.to_ascii_lowercase(), plain);
    }
    Cow::Owned(text)
}

fn decoded(
    values: Vec<&str>,
    decode: fn(&str) -> Option<Vec<u8>>,
    encoding: &str,
) -> Result<Vec<Vec<u8>>, Rejection> {
    let entries = values.into_iter().flat_map(|value| value.split(", "));
    let signatures: Vec<Vec<u8>> = entries
        .take(super::MAX_SIGNATURES)
        .filter_map(decode)
        .filter(|signature| !signature.is_empty())
        .collect();
    if signatures.is_empty() {
        let detail = format!("The signature's header holds no signature in {encoding}");
        return Err(Rejection::malformed(detail));
    }
    Ok(signatures)
}
