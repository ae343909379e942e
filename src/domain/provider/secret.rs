//! What a provider and a source share.

use std::fmt;

use crate::time::Millis;

/// How many secrets a source holds at a time: two for a rotation, and room for a second one before the first is over.
pub const MAX_SECRETS: usize = 4;

const MAX_BYTES: usize = 1024;

/// A secret in the clear, for as long as a request is judged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The text as the provider shows it.
    pub value: String,
    /// Good from then on; none: from the beginning.
    pub not_before: Option<Millis>,
    /// Good until then, that moment no longer; none: until it is replaced.
    pub not_after: Option<Millis>,
}

impl Secret {
    pub(super) fn is_valid_at(&self, now: Millis) -> bool {
        self.not_before.is_none_or(|start| start <= now) && self.not_after.is_none_or(|end| now < end)
    }
}

/// Shows when it is valid, and nothing of what it is.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// A secret's key bytes, and where in the caller's list it stood. Never empty; no `Debug`, so that it cannot be logged.
pub(super) struct Key {
    pub(super) index: usize,
    pub(super) bytes: Vec<u8>,
}

/// The keys that are valid now. A secret that is empty, or that `key` cannot read, is none of them.
pub(super) fn live_keys(secrets: &[Secret], now: Millis, key: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<Key> {
    secrets
        .iter()
        .enumerate()
        .filter(|(_, secret)| secret.is_valid_at(now))
        .filter_map(|(index, secret)| {
            let bytes = key(&secret.value).filter(|bytes| !bytes.is_empty())?;
            Some(Key { index, bytes })
        })
        .collect()
}

/// What holds for the text of every new secret. White space at an end is what copying leaves behind.
pub(super) fn check_text(secret: &str) -> Result<(), String> {
    if secret.is_empty() {
        return Err("is empty: give the secret that the provider shows".to_owned());
    }
    if secret.len() > MAX_BYTES {
        return Err(format!("is longer than {MAX_BYTES} bytes"));
    }
    if secret.trim() != secret {
        return Err("has white space at an end: give it without".to_owned());
    }
    if secret.chars().any(char::is_control) {
        return Err("has a line break or another control character in it: copy it again".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(not_before: Option<u64>, not_after: Option<u64>) -> Secret {
        Secret {
            value: "hunter2".to_owned(),
            not_before: not_before.map(Millis),
            not_after: not_after.map(Millis),
        }
    }

    #[test]
    fn a_secret_is_good_from_its_start_until_just_before_its_end() {
        let secret = secret(Some(10), Some(20));
        let good: Vec<u64> = (8..=22).filter(|now| secret.is_valid_at(Millis(*now))).collect();
        assert_eq!(good, (10..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_secret_without_bounds_is_always_good() {
        assert!(secret(None, None).is_valid_at(Millis(0)));
        assert!(secret(None, None).is_valid_at(Millis(u64::MAX)));
    }

    #[test]
    fn a_secret_is_not_shown_to_a_log() {
        assert!(!format!("{:?}", secret(None, Some(5))).contains("hunter"));
    }
}
