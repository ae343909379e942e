//! Reads the settings that a person posts as `config`, and says everything that is wrong with them at once.

use serde_json::{Map, Value};

use super::timestamp::{DEFAULT_TOLERANCE, MAX_TOLERANCE};
use crate::problem::Fault;

const MAX_HEADER_NAME: usize = 128;

/// The posted object, the keys that the preset asked for, and the faults so far.
///
/// The readers below answer something even when the setting does not hold; [`Self::finish`] then drops what was built of
/// it. `null` is a setting that is not there.
pub(super) struct Settings<'a> {
    provider: &'static str,
    given: Option<&'a Map<String, Value>>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Settings<'a> {
    pub(super) fn new(provider: &'static str, config: &'a Value) -> Result<Self, Vec<Fault>> {
        let given = match config {
            Value::Null => None,
            Value::Object(map) => Some(map),
            _ => {
                let msg = "must be an object of settings";
                return Err(vec![fault(&["body", "config"], "type_error", msg)]);
            }
        };
        Ok(Self {
            provider,
            given,
            known: Vec::new(),
            faults: Vec::new(),
        })
    }

    /// The preset, if nothing was wrong.
    pub(super) fn finish<T>(mut self, preset: T) -> Result<T, Vec<Fault>> {
        let keys = self.given.into_iter().flat_map(Map::keys);
        let unknown: Vec<&String> = keys.filter(|key| !self.known.contains(&key.as_str())).collect();
        for key in unknown {
            let msg = self.unknown(key);
            self.fault(key, msg);
        }
        if self.faults.is_empty() {
            Ok(preset)
        } else {
            Err(self.faults)
        }
    }

    /// As [`Self::finish`], for a preset that cannot be built of what does not hold: where it is none, the fault that says
    /// why has been noted.
    pub(super) fn finish_some<T>(self, preset: Option<T>) -> Result<T, Vec<Fault>> {
        let preset = self.finish(preset)?;
        preset.ok_or_else(|| vec![fault(&["body", "config"], "value_error", "does not hold")])
    }

    /// Notes that a setting does not hold.
    pub(super) fn fault(&mut self, key: &str, msg: impl Into<String>) {
        self.faults
            .push(fault(&["body", "config", key], "value_error", msg));
    }

    /// A text that may be missing.
    pub(super) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        let value = self.value(key)?;
        if value.as_str().is_none() {
            self.type_fault(key, "must be a text");
        }
        value.as_str()
    }

    /// A text that must be there; `wants` says what it is.
    pub(super) fn required_text(&mut self, key: &'static str, wants: &str) -> Option<&'a str> {
        self.require(key, wants);
        self.text(key)
    }

    /// A list of texts that may be missing.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<&'a str> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let texts = value
            .as_array()
            .and_then(|list| list.iter().map(Value::as_str).collect());
        if texts.is_none() {
            self.type_fault(key, "must be a list of texts");
        }
        texts.unwrap_or_default()
    }

    /// A header's name that may be missing.
    pub(super) fn header(&mut self, key: &'static str) -> Option<String> {
        let name = self.text(key)?;
        if !is_header_name(name) {
            self.fault(key, "must be the name of a header, such as X-Signature");
        }
        Some(name.to_owned())
    }

    /// A header's name that must be there.
    pub(super) fn required_header(&mut self, key: &'static str, wants: &str) -> String {
        self.require(key, wants);
        self.header(key).unwrap_or_default()
    }

    /// One of a few words; the first is the default.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, default: T, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text(key) else {
            return default;
        };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
            return *choice;
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        self.fault(key, format!("must be one of {}", names.join(", ")));
        default
    }

    /// How old, or how far ahead, a signed time may be. Never unbounded: 0 is refused, because elsewhere it means that.
    pub(super) fn tolerance(&mut self) -> u64 {
        self.tolerance_of(DEFAULT_TOLERANCE)
    }

    /// As [`Self::tolerance`], with another default.
    pub(super) fn tolerance_of(&mut self, default: u64) -> u64 {
        const KEY: &str = "tolerance";
        let Some(value) = self.value(KEY) else {
            return default;
        };
        let tolerance = value
            .as_u64()
            .filter(|seconds| (1..=MAX_TOLERANCE).contains(seconds));
        if tolerance.is_none() {
            let msg = format!("must be a whole number of seconds from 1 to {MAX_TOLERANCE}");
            self.fault(KEY, msg);
        }
        tolerance.unwrap_or(default)
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.value(key) else {
            return default;
        };
        if value.as_bool().is_none() {
            self.type_fault(key, "must be true or false");
        }
        value.as_bool().unwrap_or(default)
    }

    /// Whatever stands there.
    pub(super) fn any(&mut self, key: &'static str) -> Option<&'a Value> {
        self.value(key)
    }

    /// Whether a setting is there.
    pub(super) fn has(&mut self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    fn require(&mut self, key: &'static str, wants: &str) {
        if self.value(key).is_none() {
            let msg = format!("is missing: {wants}");
            self.faults.push(fault(&["body", "config", key], "missing", msg));
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.given?.get(key).filter(|value| !value.is_null())
    }

    fn type_fault(&mut self, key: &str, msg: &str) {
        self.faults
            .push(fault(&["body", "config", key], "type_error", msg));
    }

    fn unknown(&self, key: &str) -> String {
        if matches!(
            key,
            "secret" | "secrets" | "password" | "passwords" | "key" | "keys" | "apiKey" | "token"
        ) {
            return format!(
                "`{key}` is not a setting: a secret is posted in `secrets`, beside `config`, and kept sealed"
            );
        }
        format!(
            "`{key}` is not a setting of {}; it has {}",
            self.provider,
            self.known.join(", ")
        )
    }
}

/// A fault at a place.
pub(super) fn fault(loc: &[&str], kind: &str, msg: impl Into<String>) -> Fault {
    Fault {
        loc: loc.iter().map(|part| (*part).to_owned()).collect(),
        msg: msg.into(),
        kind: kind.to_owned(),
    }
}

/// A header's name by RFC 9110: a token.
pub(super) fn is_header_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= MAX_HEADER_NAME && name.bytes().all(token)
}
