//! Why a request was not believed, for its owner: what was found, what is signed, and which common mistake would have
//! made it pass.
//!
//! Mistakes are found by trying them: the same request is judged again with another secret, another way to read one,
//! another body or address. Nothing computed is ever shown, and no secret: a finding names the mistake and not its value.
//! It tries dozens of variations, so it is asked by people and never on the way of a message.

mod body;
mod header;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::catalogue::catalogue;
use super::check::Check;
use super::config::SourceConfig;
use super::mac::{from_hex, from_pasted_base64};
use super::secret::Key;
use super::verdict::{Reason, Verdict};
use super::{Request, Secret, Standing};
use crate::time::Millis;

/// One thing that the doctor saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which step of the examination it belongs to.
    pub step: Step,
    /// A short name that does not change: `secret_of_another_source`.
    pub code: &'static str,
    /// A sentence for the owner. Never a secret and never anything computed from one.
    pub sentence: String,
}

/// The steps, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The verdict, and what the request has.
    Found,
    /// What the provider signs.
    Signed,
    /// A mistake that, undone, makes the signature hold.
    Match,
    /// What looks wrong and was not proven.
    Hint,
}

/// A secret of another source of the same tenant.
#[derive(Clone)]
pub struct Other {
    /// The source's name.
    pub label: String,
    /// Its secret in the clear.
    pub secret: String,
}

/// Checks of one examination that are asked for at the most, and bytes that they are over: of a large body only the first
/// few variations are tried.
const MOST_CHECKS: usize = 64;
const MOST_SIGNED: usize = 4 << 20;

/// Signatures with RSA and P-256, which are checked outside. An examination says which it [wants](Self::wanted); it is made
/// again once their results are known, and is at its end when it wants none. The request's own come first, and those of its
/// variations when they did not hold.
#[derive(Debug, Default)]
pub struct Outside {
    known: BTreeMap<String, bool>,
    wanted: RefCell<Vec<Check>>,
}

impl Outside {
    /// With results by [`Check::name`].
    #[must_use]
    pub fn knowing(results: impl IntoIterator<Item = (String, bool)>) -> Self {
        Self {
            known: results.into_iter().collect(),
            wanted: RefCell::default(),
        }
    }

    /// One more result.
    pub fn learn(&mut self, check: &Check, held: bool) {
        self.known.insert(check.name(), held);
    }

    /// What the examination could not know.
    pub fn wanted(&mut self) -> Vec<Check> {
        self.wanted.take()
    }

    /// What is known of all of them; what is not is wanted from now on.
    fn held(&self, checks: Vec<Check>) -> Option<Vec<bool>> {
        let known = |check: &Check| self.known.get(&check.name()).copied();
        let held: Option<Vec<bool>> = checks.iter().map(known).collect();
        if held.is_none() {
            let mut wanted = self.wanted.borrow_mut();
            let mut bytes: usize = wanted.iter().map(|check| check.signed.len()).sum();
            for check in checks {
                bytes = bytes.saturating_add(check.signed.len());
                if known(&check).is_some() || wanted.contains(&check) {
                    continue;
                }
                if !wanted.is_empty() && (wanted.len() >= MOST_CHECKS || bytes > MOST_SIGNED) {
                    break;
                }
                wanted.push(check);
            }
        }
        held
    }
}

/// Examines a request. `secrets` are all of the source's, those that are no longer valid too; `outside` knows what came of
/// the signatures that are checked elsewhere, if there were any. A request that is believed has one finding, that it is.
#[must_use]
pub fn diagnose(
    config: &SourceConfig,
    secrets: &[Secret],
    others: &[Other],
    standing: &Standing<'_>,
    request: &Request<'_>,
    now: Millis,
    outside: &Outside,
) -> Vec<Finding> {
    let patient = Patient {
        config,
        secrets,
        others,
        standing,
        request,
        now,
        outside,
        findings: Vec::new(),
    };
    patient.examine()
}

struct Patient<'a> {
    config: &'a SourceConfig,
    secrets: &'a [Secret],
    others: &'a [Other],
    standing: &'a Standing<'a>,
    request: &'a Request<'a>,
    now: Millis,
    outside: &'a Outside,
    findings: Vec<Finding>,
}

impl Patient<'_> {
    fn examine(mut self) -> Vec<Finding> {
        let verdict = self.judged(self.config, self.request);
        let reason = match verdict {
            Verdict::Accept(_) => {
                self.say(
                    Step::Found,
                    "accepted",
                    "The request is genuine, and is accepted now.",
                );
                return self.findings;
            }
            Verdict::Challenge(_) => {
                self.say(
                    Step::Found,
                    "challenge",
                    "The request is a handshake, and is answered now.",
                );
                return self.findings;
            }
            Verdict::NeedsSignature(_) => {
                self.say(
                    Step::Found,
                    "not_checked",
                    "The request has a signature that has not been checked yet.",
                );
                None
            }
            Verdict::Reject(rejection) => {
                self.say(
                    Step::Found,
                    rejection.reason.as_str(),
                    format!("{}.", rejection.detail),
                );
                Some(rejection.reason)
            }
        };
        self.describe();
        match reason {
            Some(Reason::Mismatch | Reason::NoActiveSecret | Reason::MalformedSignature | Reason::UnknownScheme) => {
                self.try_secrets();
                self.try_bodies();
                self.try_addresses();
                self.try_headers();
                self.try_settings();
            }
            Some(Reason::Stale | Reason::Future) => self.say(
                Step::Match,
                "clock",
                "The signature is good and only the time is not: a late retry, a queue in between, a wrong clock, or \
                 somebody who sends a captured request again. If the provider's retries carry their first time, set a \
                 larger tolerance.",
            ),
            _ => {}
        }
        self.look_at_preset();
        self.hint(reason);
        self.findings.sort_by_key(|finding| finding.step);
        self.findings
    }

    fn say(&mut self, step: Step, code: &'static str, sentence: impl Into<String>) {
        let sentence = sentence.into();
        let finding = Finding { step, code, sentence };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// What is signed, and of what size its pieces are.
    fn describe(&mut self) {
        let descriptor = self.config.descriptor();
        let body = self.request.body;
        if descriptor.signed.is_empty() {
            let sentence = format!("{} signs nothing: a value is compared.", descriptor.title);
            self.say(Step::Signed, "signs_nothing", sentence);
        } else {
            let kind = if std::str::from_utf8(body).is_ok() {
                "text"
            } else {
                "bytes"
            };
            let mut sentence = format!(
                "{} signs {}. The body that arrived has {} bytes of {kind}.",
                descriptor.title,
                descriptor.signed,
                body.len()
            );
            if self.config.signs_url() {
                let url = self.request.url.map_or("unknown here", without_query);
                sentence += " The address was taken to be ";
                sentence += url;
                sentence += ", with the request's query.";
            }
            self.say(Step::Signed, "signs", sentence);
        }
        let there: Vec<&str> = descriptor
            .signature_headers
            .iter()
            .copied()
            .filter(|name| self.request.headers.get(name).is_some())
            .collect();
        if !there.is_empty() {
            let sentence = format!(
                "Of the provider's signature headers the request has {}.",
                there.join(", ")
            );
            self.say(Step::Found, "headers", sentence);
        }
    }

    /// Secrets that are not valid now, secrets of other sources, and other ways to read the source's own.
    fn try_secrets(&mut self) {
        for (index, secret) in self.secrets.iter().enumerate() {
            if secret.is_valid_at(self.now) {
                continue;
            }
            if self.holds_with(self.config.key(&secret.value)) {
                let sentence = match secret.not_after {
                    Some(end) if end <= self.now => format!(
                        "Signed with secret {} of this source, which ended {} minutes ago: the provider still uses the \
                         old one.",
                        index + 1,
                        self.now.since(end) / 60_000
                    ),
                    _ => format!(
                        "Signed with secret {} of this source, which is not valid yet.",
                        index + 1
                    ),
                };
                self.say(Step::Match, "secret_not_valid_now", sentence);
            }
        }
        for other in self.others {
            if self.holds_with(self.config.key(&other.secret)) {
                let sentence = format!("Signed with the secret of another source, \"{}\".", other.label);
                self.say(Step::Match, "secret_of_another_source", sentence);
            }
        }
        for secret in self.secrets {
            for (code, sentence, key) in readings(&secret.value) {
                if self.config.key(&secret.value).as_ref() != Some(&key) && self.holds_with(Some(key)) {
                    self.say(Step::Match, code, sentence);
                }
            }
        }
    }

    fn try_bodies(&mut self) {
        for (code, sentence, changed) in body::variants(self.request.body) {
            let request = Request {
                body: &changed,
                ..*self.request
            };
            if changed != self.request.body && self.holds(self.config, &request) {
                self.say(Step::Match, code, sentence);
            }
        }
        if let Some(encoding) = self.request.headers.get("content-encoding") {
            let shown: String = encoding
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(20)
                .collect();
            let sentence = format!(
                "The body came with content-encoding {shown}, and is verified as it came: the provider may have signed \
                 it before it was compressed."
            );
            self.say(Step::Hint, "compressed", sentence);
        }
    }

    /// Where the address is signed: the ways in which two people write one address.
    fn try_addresses(&mut self) {
        if !self.config.signs_url() {
            return;
        }
        // `publicUrl` would stand in front of every variation.
        let mut settings = self.config.to_value();
        let own = settings.as_object_mut().and_then(|map| map.remove("publicUrl"));
        let Ok(config) = SourceConfig::parse(self.config.provider(), &settings) else {
            return;
        };
        let asked = self.request.url.unwrap_or_default();
        let query = asked.find('?').and_then(|at| asked.get(at..)).unwrap_or_default();
        let host = self.request.headers.get("host").unwrap_or_default();
        let mut bases = vec![without_query(asked).to_owned()];
        bases.extend(own.as_ref().and_then(Value::as_str).map(str::to_owned));
        for base in bases {
            for (code, sentence, url) in addresses(&base, query, host) {
                let request = Request {
                    url: Some(&url),
                    ..*self.request
                };
                let same = own.is_none() && url == asked;
                if !same && self.holds(&config, &request) {
                    self.say(Step::Match, code, sentence);
                }
            }
        }
    }

    /// Hex for base64, and a prefix that is not there.
    fn try_headers(&mut self) {
        let settings = self.config.to_value();
        let own = settings.get("header").and_then(Value::as_str);
        let names = self
            .config
            .descriptor()
            .signature_headers
            .iter()
            .copied()
            .chain(own);
        for name in names {
            for (code, sentence, headers) in header::variants(self.request.headers, name) {
                let request = Request {
                    headers: &headers,
                    ..*self.request
                };
                if self.holds(self.config, &request) {
                    self.say(Step::Match, code, sentence);
                }
            }
        }
    }

    /// Settings that leave out what the provider sends.
    fn try_settings(&mut self) {
        if self.config.provider() != "hubspot" {
            return;
        }
        for version in ["v1", "v2", "v3"] {
            let mut settings = self.config.to_value();
            if let Some(map) = settings.as_object_mut() {
                map.insert("versions".to_owned(), vec![version].into());
            }
            let config = SourceConfig::parse("hubspot", &settings);
            if config.is_ok_and(|config| self.holds(&config, self.request)) {
                let sentence = format!("Signed with version {version}, which config.versions leaves out.");
                self.say(Step::Match, "version_not_allowed", sentence);
            }
        }
    }

    /// Whether the headers are those of another provider, and whether its preset would take the request.
    fn look_at_preset(&mut self) {
        let own = self.config.descriptor();
        let has = |names: &[&str]| names.iter().any(|name| self.request.headers.get(name).is_some());
        if has(own.signature_headers) || has(own.credential_headers) {
            return;
        }
        let mut sentences = Vec::new();
        for other in catalogue().filter(|other| other.name != own.name && has(other.signature_headers)) {
            let config = SourceConfig::parse(other.name, &serde_json::json!({}));
            let holds = config.is_ok_and(|config| self.holds(&config, self.request));
            let step = if holds { Step::Match } else { Step::Hint };
            let tail = if holds {
                ", and with that preset this secret fits"
            } else {
                ""
            };
            let sentence = format!(
                "The headers are those of {}, and this source is one of {}: its preset should be {}{tail}.",
                other.title, own.title, other.name
            );
            sentences.push((step, sentence));
        }
        for (step, sentence) in sentences {
            self.say(step, "wrong_preset", sentence);
        }
        if self.request.headers.get("x-hookdeck-signature").is_some() {
            let sentence = "The request went through Hookdeck, which signs anew: use `hmac` with its header, or send \
                            the provider here directly.";
            self.say(Step::Hint, "gateway", sentence);
        }
    }

    fn hint(&mut self, reason: Option<Reason>) {
        let matched = self.findings.iter().any(|finding| finding.step == Step::Match);
        match reason {
            Some(Reason::MissingSignature) if self.has_signature_header() => self.say(
                Step::Hint,
                "other_signature",
                "The request has a signature header, and not all that this preset needs: an older or another kind of \
                 signature is never believed in its place.",
            ),
            Some(Reason::MissingSignature) => self.say(
                Step::Hint,
                "no_signature",
                "The request is not signed: the webhook may have been made without a secret at the provider, or \
                 somebody else found the address.",
            ),
            Some(Reason::Mismatch) if !matched => self.say(
                Step::Hint,
                "nothing_matched",
                "No common mistake explains it: compare the secret at the provider with this one, and ask for one that \
                 is for this very webhook and not for a test or a sandbox.",
            ),
            Some(Reason::StaleKeys) => self.say(
                Step::Hint,
                "stale_keys",
                "The token names a key that the provider's key set did not have when it was fetched last.",
            ),
            Some(Reason::NoActiveSecret) if self.secrets.is_empty() => self.say(
                Step::Hint,
                "no_secret",
                "The source has no secret at all: add the one that the provider shows.",
            ),
            _ => {}
        }
        for secret in self.secrets {
            if secret.is_valid_at(self.now)
                && let Err(msg) = self.config.check_secret(&secret.value)
            {
                let sentence = format!("A secret of this source {msg}.");
                self.say(Step::Hint, "secret_of_another_kind", sentence);
            }
        }
    }

    fn has_signature_header(&self) -> bool {
        let mut names = self.config.descriptor().signature_headers.iter();
        names.any(|name| self.request.headers.get(name).is_some())
    }

    /// The verdict over a request with the source's own secrets, as far as it can be known.
    fn judged(&self, config: &SourceConfig, request: &Request<'_>) -> Verdict {
        let judge =
            |held: Option<&[bool]>| config.judge(self.secrets, self.standing, request, self.now, held);
        match judge(None) {
            Verdict::NeedsSignature(checks) => match self.outside.held(checks.clone()) {
                Some(held) => judge(Some(&held)),
                None => Verdict::NeedsSignature(checks),
            },
            verdict => verdict,
        }
    }

    /// Whether a key, alone, made the signature.
    fn holds_with(&self, key: Option<Vec<u8>>) -> bool {
        let Some(bytes) = key.filter(|key| !key.is_empty()) else {
            return false;
        };
        let keys = [Key { index: 0, bytes }];
        let verdict = self
            .config
            .judge_keys(&keys, self.standing, self.request, self.now, None);
        is_genuine(&verdict)
    }

    /// Whether the source's own secrets made the signature of a changed request.
    fn holds(&self, config: &SourceConfig, request: &Request<'_>) -> bool {
        is_genuine(&self.judged(config, request))
    }
}

/// Accepted, or refused for its time alone.
fn is_genuine(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Accept(_) | Verdict::Challenge(_) => true,
        Verdict::Reject(rejection) => matches!(rejection.reason, Reason::Stale | Reason::Future),
        Verdict::NeedsSignature(_) => false,
    }
}

type Reading = (&'static str, &'static str, Vec<u8>);

/// Ways to read a secret that people and libraries mix up.
fn readings(secret: &str) -> Vec<Reading> {
    let mut readings = Vec::new();
    let mut add = |code, sentence, key: Option<Vec<u8>>| {
        if let Some(key) = key {
            readings.push((code, sentence, key));
        }
    };
    let trimmed = secret.trim();
    let bare = trimmed.trim_matches(['"', '\'', '`']);
    add(
        "secret_white_space",
        "The secret here has white space around it: store it again without.",
        Some(trimmed.as_bytes().to_vec()),
    );
    add(
        "secret_white_space",
        "The provider's secret has a line break at its end that was not copied.",
        Some(format!("{secret}\n").into_bytes()),
    );
    add(
        "secret_in_quotes",
        "The secret here stands in quotes: store it again without.",
        Some(bare.as_bytes().to_vec()),
    );
    let without_prefix = bare
        .strip_prefix("v1,whsec_")
        .or_else(|| bare.strip_prefix("whsec_"))
        .unwrap_or(bare);
    add(
        "secret_prefix",
        "The sender signs with the secret's text behind its prefix.",
        Some(without_prefix.as_bytes().to_vec()),
    );
    add(
        "secret_used_as_text",
        "The sender signs with the secret's text as it is shown, where this preset decodes it.",
        Some(bare.as_bytes().to_vec()),
    );
    add(
        "secret_used_decoded",
        "The sender decodes the secret from base64, where this preset takes its text.",
        from_pasted_base64(without_prefix),
    );
    add(
        "secret_used_decoded",
        "The sender decodes the secret from hex, where this preset takes its text.",
        from_hex(without_prefix),
    );
    readings
}

fn addresses(base: &str, query: &str, host: &str) -> Vec<(&'static str, &'static str, String)> {
    let mut list = Vec::new();
    let mut add = |code, sentence, base: &str| {
        list.push((code, sentence, format!("{base}{query}")));
    };
    let whole = "The provider signed the address that the request was made to: take publicUrl away.";
    add("address_as_requested", whole, base);
    let scheme = match base.split_once("://") {
        Some(("https", rest)) => format!("http://{rest}"),
        Some((_, rest)) => format!("https://{rest}"),
        None => base.to_owned(),
    };
    let sentence = "The provider has the address with the other scheme (http, https).";
    add("address_scheme", sentence, &scheme);
    let slash = match base.strip_suffix('/') {
        Some(without) => without.to_owned(),
        None => format!("{base}/"),
    };
    let sentence = "The provider has the address with another end: a slash too many or too few.";
    add("address_slash", sentence, &slash);
    add(
        "address_case",
        "The provider has the address in small letters.",
        &base.to_ascii_lowercase(),
    );
    let path = base.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    if let (Some((own, path)), Some((scheme, _))) = (path, base.split_once("://")) {
        let is_name =
            !host.is_empty() && host.len() < 256 && host.bytes().all(|byte| byte.is_ascii_graphic());
        if is_name && host != own {
            let sentence = "The provider has the address with the host that the request was made to, and not with \
                            the configured one: set publicUrl.";
            add("address_host", sentence, &format!("{scheme}://{host}/{path}"));
        }
        let port = if scheme == "https" { 443 } else { 80 };
        if !own.contains(':') {
            let sentence = "The provider has the address with its port.";
            add(
                "address_port",
                sentence,
                &format!("{scheme}://{own}:{port}/{path}"),
            );
        }
    }
    if !query.is_empty() {
        let sentence = "The provider signed the address without its query.";
        list.push(("address_query", sentence, base.to_owned()));
    }
    list
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests;
