//! A source's preset with its settings.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::catalogue::PRESETS;
use super::descriptor::Descriptor;
use super::event::Naming;
use super::secret::{self, Key, MAX_SECRETS};
use super::settings::fault;
use super::verdict::{Rejection, Trust, Verdict};
use super::{Asked, Headers, Held, Renamed, Request, Secret, Standing};
use crate::problem::Fault;
use crate::time::Millis;

/// Headers that carry somebody's credentials whatever the preset: never stored, never a name of an event.
pub(super) const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A preset with its settings, checked: what cannot be verified with cannot be one.
#[derive(Clone)]
pub struct SourceConfig {
    descriptor: &'static Descriptor,
    preset: Arc<dyn Preset>,
}

impl SourceConfig {
    /// Reads what a person posts as `provider` and `config`, or what [`Self::to_value`] stored. All faults at once.
    pub fn parse(provider: &str, config: &Value) -> Result<Self, Vec<Fault>> {
        let Some((descriptor, read)) = PRESETS.iter().find(|(preset, _)| preset.name == provider) else {
            let names: Vec<&str> = PRESETS.iter().map(|(preset, _)| preset.name).collect();
            let msg = format!("no provider of that name; there are {}", names.join(", "));
            return Err(vec![fault(&["body", "provider"], "value_error", msg)]);
        };
        let preset = read(config)?;
        Ok(Self { descriptor, preset })
    }

    /// What is stored, in the API's names; defaults are written out, so that a later default changes no source.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.preset.to_value()
    }

    /// The preset's name.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        self.descriptor.name
    }

    /// The preset's facts.
    #[must_use]
    pub fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    /// Whether the address stands in what this source's sender signs.
    #[must_use]
    pub fn signs_url(&self) -> bool {
        self.preset.signs_url()
    }

    /// Where the keys of [`Standing::key_set`] are fetched; none: this source needs none.
    #[must_use]
    pub fn key_set_url(&self) -> Option<&str> {
        self.preset.key_set_url()
    }

    /// Whether the settings alone can verify, or the secret comes with a handshake: a source without secrets is no
    /// contradiction.
    #[must_use]
    pub fn works_without_secret(&self) -> bool {
        self.preset.works_without_secret()
    }

    /// How long a source with these settings takes anything, in milliseconds from when it was made; none: for good.
    #[must_use]
    pub fn ends_after(&self) -> Option<u64> {
        self.preset.ends_after()
    }

    /// Checks a whole list of secrets before it is sealed. Verification does not repeat this: a secret that was stored
    /// stays good when the rules for new ones grow.
    #[must_use]
    pub fn check_secrets(&self, secrets: &[String]) -> Vec<Fault> {
        const LIST: [&str; 2] = ["body", "secrets"];
        if secrets.is_empty() && !self.preset.works_without_secret() {
            return vec![fault(&LIST, "missing", self.preset.wants_secret())];
        }
        if secrets.len() > MAX_SECRETS {
            let msg = format!(
                "holds {} secrets; a source has at most {MAX_SECRETS} at a time",
                secrets.len()
            );
            return vec![fault(&LIST, "value_error", msg)];
        }
        let mut faults = Vec::new();
        for (index, secret) in secrets.iter().enumerate() {
            let key = self.preset.key(secret);
            let stands_before = |earlier: &String| self.preset.key(earlier) == key;
            let checked = self.check_secret(secret).and_then(|()| {
                if secrets.iter().take(index).any(stands_before) {
                    return Err("is the same as one before it: give each secret once".to_owned());
                }
                Ok(())
            });
            if let Err(msg) = checked {
                faults.push(fault(
                    &["body", "secrets", &index.to_string()],
                    "value_error",
                    msg,
                ));
            }
        }
        if faults.is_empty()
            && let Err(msg) = self.preset.check_list(secrets)
        {
            faults.push(fault(&LIST, "value_error", msg));
        }
        faults
    }

    /// Checks one secret. The sentence never repeats it.
    pub fn check_secret(&self, secret: &str) -> Result<(), String> {
        secret::check_text(secret)?;
        self.preset.check_secret(secret)
    }

    /// The headers, in lower case, whose values must never be stored, logged or forwarded.
    #[must_use]
    pub fn credential_headers(&self) -> Vec<String> {
        let own = self.preset.credential_header().map(str::to_ascii_lowercase);
        let mut names: Vec<String> = Vec::new();
        let listed = CREDENTIAL_HEADERS
            .iter()
            .chain(self.descriptor.credential_headers)
            .map(|name| (*name).to_owned());
        for name in listed.chain(own) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The headers, in lower case, that the settings name an event by: kept with it, so that they name it again.
    #[must_use]
    pub fn naming_headers(&self) -> Vec<String> {
        self.preset
            .naming()
            .map(|(naming, _)| naming.headers())
            .unwrap_or_default()
    }

    /// What an event that is stored is called by today's settings: by what was kept of its headers, and its body. The
    /// names of a preset that has no settings for them are facts, and stay.
    #[must_use]
    pub fn rename(&self, headers: &Headers, body: &[u8]) -> Renamed {
        let naming = self.preset.naming();
        naming
            .map(|(naming, trust)| naming.again(headers, body, trust))
            .unwrap_or_default()
    }

    /// The verdict over a request, with what is known of signatures that are checked outside.
    pub(super) fn judge(
        &self,
        secrets: &[Secret],
        standing: &Standing<'_>,
        request: &Request<'_>,
        now: Millis,
        held: Held<'_>,
    ) -> Verdict {
        if !self.descriptor.takes(request.method) {
            let detail = format!(
                "This preset takes {}, and the request has another method",
                self.descriptor.methods.join(" and ")
            );
            return Verdict::Reject(Rejection::new(super::Reason::Method, detail));
        }
        let keys = secret::live_keys(secrets, now, |text| self.preset.key(text));
        self.judge_keys(&keys, standing, request, now, held)
    }

    /// As [`Self::judge`], with keys that may be none of the source's: for the doctor.
    pub(super) fn judge_keys(
        &self,
        keys: &[Key],
        standing: &Standing<'_>,
        request: &Request<'_>,
        now: Millis,
        held: Held<'_>,
    ) -> Verdict {
        let asked = Asked {
            request,
            standing,
            now,
            held,
        };
        self.preset.verify(keys, &asked).unwrap_or_else(Verdict::Reject)
    }

    /// The key that a secret's text stands for with this preset.
    pub(super) fn key(&self, secret: &str) -> Option<Vec<u8>> {
        self.preset.key(secret).filter(|key| !key.is_empty())
    }
}

impl PartialEq for SourceConfig {
    fn eq(&self, other: &Self) -> bool {
        self.provider() == other.provider() && self.to_value() == other.to_value()
    }
}

impl Eq for SourceConfig {}

impl fmt::Debug for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceConfig")
            .field(&self.provider())
            .field(&self.to_value())
            .finish()
    }
}

/// What a preset's file offers.
pub(super) trait Preset: Send + Sync {
    /// The settings in the API's names, such that parsing them gives the same preset.
    fn to_value(&self) -> Value;

    /// The sentence for a source without a secret: what the secret is.
    fn wants_secret(&self) -> &'static str;

    /// Checks a new secret whose text is not empty, not too long and without stray white space.
    fn check_secret(&self, secret: &str) -> Result<(), String>;

    /// Checks secrets together, after each alone.
    fn check_list(&self, _: &[String]) -> Result<(), String> {
        Ok(())
    }

    /// Whether the settings alone can verify, or a handshake brings the secret.
    fn works_without_secret(&self) -> bool {
        false
    }

    /// The header that carries the secret itself, if the settings name one.
    fn credential_header(&self) -> Option<&str> {
        None
    }

    /// Whether the settings make the address part of what is signed.
    fn signs_url(&self) -> bool {
        false
    }

    /// Where the key set is, if the scheme has one that is fetched.
    fn key_set_url(&self) -> Option<&str> {
        None
    }

    /// How long it may be used without its owner's word that it shall stay, in milliseconds.
    fn ends_after(&self) -> Option<u64> {
        None
    }

    /// Where the settings find what an event is called, and how far its body is believed; none: the preset's own facts say
    /// it.
    fn naming(&self) -> Option<(&Naming, Trust)> {
        None
    }

    /// The key bytes that a secret's text stands for; none: it can be no key and matches nothing.
    fn key(&self, secret: &str) -> Option<Vec<u8>> {
        (!secret.is_empty()).then(|| secret.as_bytes().to_vec())
    }

    /// Judges a request with the keys that are valid now. Never [`Verdict::Reject`].
    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection>;
}
