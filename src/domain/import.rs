//! Whether an endpoint that is brought along is there already.
//!
//! Secrets are compared by digest, so that neither side of the comparison needs the other's secret in clear. What is not
//! the very same is never overwritten and never made beside the one that is there: two endpoints with one URL would get
//! every message twice.

use crate::digest;
use crate::id::Uid;
use crate::signature::SigningKey;
use crate::wire::moving::ImportAction;

/// What an endpoint is compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The owner's own name for it.
    pub uid: Option<Uid>,
    /// In the form that the rule for addresses writes.
    pub url: String,
    /// [`secret_digest`].
    pub secret: String,
}

/// A secret, as two are compared: with or without its prefix it is the same key.
#[must_use]
pub fn secret_digest(secret: &str) -> String {
    let same = SigningKey::parse(secret).map_or_else(|_| secret.to_owned(), |key| key.to_text());
    digest::of(same.as_bytes())
}

/// What an import does with an endpoint beside those that are there, why, and which of them is meant.
#[must_use]
pub fn judge(wanted: &Known, there: &[Known]) -> (ImportAction, Option<&'static str>, Option<usize>) {
    let same_uid = |known: &Known| wanted.uid.is_some() && known.uid == wanted.uid;
    if let Some(at) = there.iter().position(same_uid) {
        let known = there.get(at);
        let (action, why) = if known.is_some_and(|known| known.url != wanted.url) {
            (
                ImportAction::Conflict,
                "An endpoint with this uid and another URL is there",
            )
        } else if known.is_some_and(|known| known.secret != wanted.secret) {
            (
                ImportAction::Conflict,
                "An endpoint with this uid and URL and another secret is there",
            )
        } else {
            (ImportAction::Exists, "It is there, with this uid, URL and secret")
        };
        return (action, Some(why), Some(at));
    }
    let same_url = |known: &Known| known.url == wanted.url;
    let same = |known: &Known| same_url(known) && known.secret == wanted.secret;
    match (wanted.uid.is_some(), there.iter().position(same)) {
        (false, Some(at)) => {
            let why = "It is there, with this URL and secret";
            (ImportAction::Exists, Some(why), Some(at))
        }
        (true, Some(at)) => {
            let why = "An endpoint with this URL and secret is there under another uid";
            (ImportAction::Conflict, Some(why), Some(at))
        }
        (false, None) => there.iter().position(same_url).map_or((ImportAction::Create, None, None), |at| {
            let why = "An endpoint with this URL and another secret is there; give this one a uid if both are meant";
            (ImportAction::Conflict, Some(why), Some(at))
        }),
        (true, None) => (ImportAction::Create, None, None),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";

    fn known(uid: Option<&str>, url: &str, secret: &str) -> Known {
        Known {
            uid: uid.map(|uid| uid.parse().unwrap()),
            url: url.to_owned(),
            secret: secret_digest(secret),
        }
    }

    fn action(wanted: &Known, there: &[Known]) -> ImportAction {
        judge(wanted, there).0
    }

    #[test]
    fn an_endpoint_is_there_when_uid_url_and_secret_are_the_same() {
        let there = [known(Some("a"), "https://a.example/", KEY)];
        let bare = KEY.strip_prefix("whsec_").unwrap();
        for secret in [KEY, bare] {
            let same = known(Some("a"), "https://a.example/", secret);
            assert_eq!(action(&same, &there), ImportAction::Exists);
        }
        let other_url = known(Some("a"), "https://b.example/", KEY);
        let other_secret = known(Some("a"), "https://a.example/", OTHER);
        let other_uid = known(Some("b"), "https://a.example/", KEY);
        for other in [other_url, other_secret, other_uid] {
            assert_eq!(action(&other, &there), ImportAction::Conflict);
        }
    }

    #[test]
    fn without_a_uid_the_url_says_which_is_meant() {
        let there = [known(Some("a"), "https://a.example/", KEY)];
        let wanted = |url: &str, secret: &str| known(None, url, secret);
        assert_eq!(
            action(&wanted("https://a.example/", KEY), &there),
            ImportAction::Exists
        );
        assert_eq!(
            action(&wanted("https://a.example/", OTHER), &there),
            ImportAction::Conflict
        );
        assert_eq!(
            action(&wanted("https://b.example/", KEY), &there),
            ImportAction::Create
        );
        assert_eq!(
            action(&wanted("https://b.example/", KEY), &[]),
            ImportAction::Create
        );
    }

    #[test]
    fn two_endpoints_with_one_url_and_uids_and_secrets_of_their_own_are_two() {
        let there = [known(Some("a"), "https://a.example/", KEY)];
        let second = known(Some("b"), "https://a.example/", OTHER);
        assert_eq!(action(&second, &there), ImportAction::Create);
    }
}
