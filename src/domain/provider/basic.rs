//! HTTP Basic authentication: a user's name in the settings, passwords as secrets.
//!
//! Proves that the sender knows the password, and nothing about the body.

use serde_json::{Map, Value};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, Proof, SecretOrigin};
use super::event::Naming;
use super::mac::{from_base64, is_same};
use super::secret::Key;
use super::settings::Settings;
use super::verdict::{Accepted, Reason, Rejection, Trust, Verdict};
use crate::problem::Fault;

pub(super) const NAME: &str = "basic";

const HEADER: &str = "Authorization";

const MAX_USERNAME: usize = 256;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: NAME,
    title: "Basic authentication",
    methods: &["POST", "PUT", "PATCH"],
    secret_origin: SecretOrigin::Ours,
    secret: "the password",
    proof: Proof::Token,
    signed: "",
    checked: Checked::Vectors,
    sources: &["RFC 7617"],
    credential_headers: &["authorization"],
    ..PLAIN
};

/// The preset's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Basic {
    username: String,
    naming: Naming,
}

impl Basic {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        const USERNAME: &str = "username";
        let mut settings = Settings::new(NAME, config)?;
        let given = settings.required_text(USERNAME, "give the user's name that the provider sends");
        if given.is_some_and(|name| name.is_empty() || name.len() > MAX_USERNAME) {
            settings.fault(USERNAME, format!("must have 1 to {MAX_USERNAME} bytes"));
        }
        let username = given.unwrap_or_default();
        if username.contains(':') || username.contains(char::is_control) {
            settings.fault(
                USERNAME,
                "must have no colon, which ends it, and no control character",
            );
        }
        let naming = Naming::read(&mut settings, Some(HEADER));
        settings.finish(Self {
            username: username.to_owned(),
            naming,
        })
    }
}

impl Preset for Basic {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert("username".to_owned(), self.username.clone().into());
        self.naming.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "give the password that the provider sends"
    }

    fn check_secret(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn credential_header(&self) -> Option<&str> {
        Some(HEADER)
    }

    fn naming(&self) -> Option<(&Naming, Trust)> {
        Some((&self.naming, Trust::Unsigned))
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let credentials = credentials(request.headers.single(HEADER)?)?;
        if keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        // At the first colon: a name has none, a password may.
        let mut parts = credentials.splitn(2, |byte| *byte == b':');
        let (Some(username), Some(password)) = (parts.next(), parts.next()) else {
            let detail = "The Basic credentials have no colon between name and password";
            return Err(Rejection::new(Reason::MalformedSignature, detail));
        };
        let same_name = is_same(self.username.as_bytes(), username);
        let matched = keys.iter().find(|key| is_same(&key.bytes, password));
        match matched {
            Some(key) if same_name => {
                let event = self.naming.event(request, None, Trust::Unsigned);
                Ok(Accepted::new(vec![event], Some(key.index)).into())
            }
            _ => {
                let detail = "The name or the password is another one";
                Err(Rejection::new(Reason::Mismatch, detail))
            }
        }
    }
}

/// What stands behind the scheme. Its name is compared, and in any case: another scheme with the same text proves
/// nothing.
fn credentials(value: &str) -> Result<Vec<u8>, Rejection> {
    let (scheme, text) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        let detail = "The header Authorization is there, but its scheme is not Basic";
        return Err(Rejection::new(Reason::UnknownScheme, detail));
    }
    from_base64(text.trim_start_matches(' '))
        .filter(|bytes| !bytes.is_empty())
        .ok_or_else(|| {
            let detail = "The Basic credentials are no base64";
            Rejection::new(Reason::MalformedSignature, detail)
        })
}
