//! Anybody who knows the address may post. Chosen in words, so that nobody gets it by mistake.

use serde_json::{Map, Value};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, Proof, SecretOrigin};
use super::event::Naming;
use super::secret::Key;
use super::settings::Settings;
use super::verdict::{Accepted, Rejection, Trust, Verdict};
use crate::problem::Fault;

const KEY: &str = "iUnderstand";

/// What the owner writes.
const WORDS: &str = "anybody who knows the address can post";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "unverified",
    title: "Unverified",
    methods: &["POST", "PUT", "PATCH"],
    secret_origin: SecretOrigin::None,
    proof: Proof::None,
    signed: "",
    checked: Checked::Page,
    ..PLAIN
};

/// The preset's settings.
pub(super) struct Unverified {
    naming: Naming,
}

impl Unverified {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let words = settings.required_text(KEY, "write: anybody who knows the address can post");
        if words.is_some_and(|words| words != WORDS) {
            settings.fault(KEY, format!("must be these words: {WORDS}"));
        }
        let naming = Naming::read(&mut settings, None);
        settings.finish(Self { naming })
    }
}

impl Preset for Unverified {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert(KEY.to_owned(), WORDS.into());
        self.naming.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "none: nothing is verified"
    }

    fn check_secret(&self, _: &str) -> Result<(), String> {
        Err("is not looked at by this preset: choose another one to have a secret compared".to_owned())
    }

    fn works_without_secret(&self) -> bool {
        true
    }

    fn verify(&self, _: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let event = self.naming.event(asked.request, None, Trust::Unsigned);
        Ok(Accepted::new(vec![event], None).into())
    }
}
