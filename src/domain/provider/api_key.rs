//! A key in a header, as GitLab's `X-Gitlab-Token`: the whole value is compared.
//!
//! Proves that the sender knows the key, and nothing about the body. A key in the query string is never looked at: URLs
//! end up in logs.

use serde_json::{Map, Value};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, Proof, SecretOrigin};
use super::event::Naming;
use super::mac::is_same;
use super::secret::Key;
use super::settings::Settings;
use super::verdict::{Accepted, Reason, Rejection, Trust, Verdict};
use crate::problem::Fault;

pub(super) const NAME: &str = "api_key";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: NAME,
    title: "Key in a header",
    methods: &["POST", "PUT", "PATCH"],
    secret_origin: SecretOrigin::Ours,
    secret: "the key: the header's whole value",
    proof: Proof::Token,
    signed: "",
    checked: Checked::Vectors,
    sources: &["RFC 9110 section 5.5"],
    ..PLAIN
};

/// The preset's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiKey {
    header: String,
    naming: Naming,
}

impl ApiKey {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(NAME, config)?;
        let header = settings.required_header(
            "header",
            "give the name of the header that carries the key, such as X-Api-Key",
        );
        let naming = Naming::read(&mut settings, Some(&header));
        settings.finish(Self { header, naming })
    }
}

impl Preset for ApiKey {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert("header".to_owned(), self.header.clone().into());
        self.naming.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "give the key that the provider sends"
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        if secret.is_ascii() {
            Ok(())
        } else {
            Err("holds something else than ASCII, which no header carries unchanged".to_owned())
        }
    }

    fn credential_header(&self) -> Option<&str> {
        Some(&self.header)
    }

    fn naming(&self) -> Option<(&Naming, Trust)> {
        Some((&self.naming, Trust::Unsigned))
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let given = request.headers.single(&self.header)?;
        if keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let matched = keys.iter().find(|key| is_same(&key.bytes, given.as_bytes()));
        let key = matched.ok_or_else(|| {
            let detail = format!("The header {} has another key", self.header);
            Rejection::new(Reason::Mismatch, detail)
        })?;
        let event = self.naming.event(request, None, Trust::Unsigned);
        Ok(Accepted::new(vec![event], Some(key.index)).into())
    }
}
