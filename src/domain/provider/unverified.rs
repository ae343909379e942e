//! Anybody who knows the address may post. Chosen in words, so that nobody gets it by mistake, and over after a week, so
//! that nobody forgets it: `keep` says that it shall stay.

use serde_json::{Map, Value};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, Proof, SecretOrigin};
use super::event::Naming;
use super::secret::Key;
use super::settings::Settings;
use super::verdict::{Accepted, Rejection, Trust, Verdict};
use crate::problem::Fault;
use crate::time::Millis;

const KEY: &str = "iUnderstand";

/// That it has no end.
const KEEP: &str = "keep";

const WEEK_MS: u64 = 7 * Millis::DAY;

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
    keep: bool,
    naming: Naming,
}

impl Unverified {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let words = settings.required_text(KEY, "write: anybody who knows the address can post");
        if words.is_some_and(|words| words != WORDS) {
            settings.fault(KEY, format!("must be these words: {WORDS}"));
        }
        let keep = settings.flag(KEEP, false);
        let naming = Naming::read(&mut settings, None);
        settings.finish(Self { keep, naming })
    }
}

impl Preset for Unverified {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert(KEY.to_owned(), WORDS.into());
        settings.insert(KEEP.to_owned(), self.keep.into());
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

    fn ends_after(&self) -> Option<u64> {
        (!self.keep).then_some(WEEK_MS)
    }

    fn naming(&self) -> Option<(&Naming, Trust)> {
        Some((&self.naming, Trust::Unsigned))
    }

    fn verify(&self, _: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let event = self.naming.event(asked.request, None, Trust::Unsigned);
        Ok(Accepted::new(vec![event], None).into())
    }
}
