//! How an attempt ended, and what that means.

use serde::{Deserialize, Serialize};

/// Why an attempt failed. A closed set: lists filter on it, people read its sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The URL's host or port is one that Postern does not call.
    AddressRefused,
    /// No answer within the deadline.
    Timeout,
    /// An answer began and did not end within the deadline.
    BodyTimeout,
    /// Refused, reset, or cut off: the runtime does not tell them apart.
    ConnectionLost,
    /// The name was not found, or TLS failed: the runtime does not tell them apart.
    NameOrTls,
    /// The network in front of the endpoint answered in its place (520 to 530).
    NoAnswer,
    /// A redirect. Never followed.
    Redirect,
    /// A status of 400 to 499.
    ClientError,
    /// A status of 500 or above, or below 200.
    ServerError,
    /// The signing key could not be opened.
    SealBroken,
    /// Anything else that kept the request from being made or answered.
    Unknown,
}

impl Cause {
    /// What an answer's status says; `None`: the delivery arrived. `answered_by_network` is the word of
    /// [`answered_by_network`], and counts for 520 to 530 only.
    #[must_use]
    pub const fn of_status(status: u16, answered_by_network: bool) -> Option<Self> {
        match status {
            200..=299 => None,
            300..=399 => Some(Self::Redirect),
            400..=499 => Some(Self::ClientError),
            520..=530 if answered_by_network => Some(Self::NoAnswer),
            _ => Some(Self::ServerError),
        }
    }

    /// One sentence or two for the endpoint's owner: what happened, and who has to do what.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AddressRefused => {
                "Postern does not call this address. The endpoint's owner must give a public http or https URL."
            }
            Self::Timeout => {
                "The endpoint did not answer in time. Its owner should answer at once and do the work afterwards."
            }
            Self::BodyTimeout => {
                "The endpoint began to answer and did not finish in time. Its owner should send a short answer at once."
            }
            Self::ConnectionLost => {
                "The connection was refused, reset or cut off. The endpoint's owner should see that its server runs and \
                 can be reached from outside."
            }
            Self::NameOrTls => {
                "The host's name was not found, or its certificate does not hold. The endpoint's owner should check the \
                 DNS entry and the certificate."
            }
            Self::NoAnswer => {
                "The network in front of the endpoint got no answer from it. The endpoint's owner should see that its \
                 server runs, and check its DNS entry and its certificate."
            }
            Self::Redirect => {
                "The endpoint answered with a redirect, and redirects are not followed. Its owner must give the final URL."
            }
            Self::ClientError => {
                "The endpoint refused the request. Its owner should read the answer, and check the URL, the headers and \
                 the signing secret."
            }
            Self::ServerError => {
                "The endpoint answered with an error of its own. Its owner should look into its server's log."
            }
            Self::SealBroken => {
                "The endpoint's signing key could not be opened, so nothing was sent. Whoever runs Postern must check its \
                 master keys."
            }
            Self::Unknown => {
                "The request could not be made or its answer not be read. Whoever runs Postern finds the cause in its log."
            }
        }
    }
}

/// Whether the endpoint took the delivery: 200 to 299 and nothing else.
#[must_use]
pub const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// Whether an answer was made by the network in front of the endpoint, in its place: a status of 520 to 530, a header
/// that names the network (`server: cloudflare`, or any `cf-ray`), and a body of the network's own making.
///
/// The headers alone do not show it, as the network puts them on what it passes on, too. In doubt the answer counts as
/// the endpoint's. `body` may be cut off.
#[must_use]
pub fn answered_by_network(status: u16, server: Option<&str>, cf_ray: Option<&str>, body: &[u8]) -> bool {
    const NETWORK: &[u8] = b"cloudflare";
    let named =
        cf_ray.is_some() || server.is_some_and(|server| server.as_bytes().eq_ignore_ascii_case(NETWORK));
    let page = || {
        body.trim_ascii_start().starts_with(b"error code: ")
            || body
                .windows(NETWORK.len())
                .any(|word| word.eq_ignore_ascii_case(NETWORK))
    };
    (520..=530).contains(&status) && named && page()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Cause; 11] = [
        Cause::AddressRefused,
        Cause::Timeout,
        Cause::BodyTimeout,
        Cause::ConnectionLost,
        Cause::NameOrTls,
        Cause::NoAnswer,
        Cause::Redirect,
        Cause::ClientError,
        Cause::ServerError,
        Cause::SealBroken,
        Cause::Unknown,
    ];

    #[test]
    fn each_class_of_status_has_its_cause() {
        for (status, cause) in [
            (0, Some(Cause::ServerError)),
            (101, Some(Cause::ServerError)),
            (199, Some(Cause::ServerError)),
            (200, None),
            (204, None),
            (299, None),
            (300, Some(Cause::Redirect)),
            (304, Some(Cause::Redirect)),
            (308, Some(Cause::Redirect)),
            (400, Some(Cause::ClientError)),
            (410, Some(Cause::ClientError)),
            (429, Some(Cause::ClientError)),
            (500, Some(Cause::ServerError)),
            (503, Some(Cause::ServerError)),
            (522, Some(Cause::ServerError)),
            (999, Some(Cause::ServerError)),
        ] {
            assert_eq!(Cause::of_status(status, false), cause, "{status}");
        }
    }

    #[test]
    fn what_the_network_answers_from_520_to_530_is_no_answer() {
        for (status, cause) in [
            (519, Cause::ServerError),
            (520, Cause::NoAnswer),
            (530, Cause::NoAnswer),
            (531, Cause::ServerError),
            (403, Cause::ClientError),
            (503, Cause::ServerError),
        ] {
            assert_eq!(Cause::of_status(status, true), Some(cause), "{status}");
        }
        assert_eq!(Cause::of_status(200, true), None);
    }

    #[test]
    fn the_networks_own_pages_are_recognised() {
        for body in [
            "error code: 522",
            "\r\nerror code: 1016",
            "<!DOCTYPE html><title>shop.example | 521: Web server is down</title><p>Cloudflare Ray ID: 7d",
        ] {
            assert!(
                answered_by_network(522, Some("cloudflare"), None, body.as_bytes()),
                "{body}"
            );
            assert!(
                answered_by_network(530, None, Some("7d-FRA"), body.as_bytes()),
                "{body}"
            );
        }
    }

    #[test]
    fn what_an_endpoint_behind_the_network_says_itself_is_its_own_answer() {
        assert!(!answered_by_network(
            522,
            Some("cloudflare"),
            Some("7d-FRA"),
            b"{\"error\":\"upstream\"}"
        ));
        assert!(!answered_by_network(522, Some("cloudflare"), Some("7d-FRA"), b""));
        assert!(!answered_by_network(522, Some("nginx"), None, b"error code: 522"));
        assert!(!answered_by_network(
            503,
            Some("cloudflare"),
            Some("7d-FRA"),
            b"error code: 1102"
        ));
    }

    #[test]
    fn every_cause_has_a_sentence_of_its_own_and_a_name_that_reads_back() {
        for cause in ALL {
            let sentence = cause.sentence();
            assert!(sentence.ends_with('.') && !sentence.contains("  "), "{sentence}");
            assert_eq!(ALL.iter().filter(|other| other.sentence() == sentence).count(), 1);
            let name = serde_json::to_string(&cause).unwrap();
            assert_eq!(serde_json::from_str::<Cause>(&name).unwrap(), cause);
        }
    }

    proptest! {
        #[test]
        fn a_status_has_no_cause_exactly_when_it_is_a_success(status: u16, network: bool) {
            prop_assert_eq!(Cause::of_status(status, network).is_none(), is_success(status));
        }

        #[test]
        fn only_statuses_from_520_to_530_are_the_networks(status: u16, body: Vec<u8>, server: Option<String>, ray: Option<String>) {
            let network = answered_by_network(status, server.as_deref(), ray.as_deref(), &body);
            prop_assert!(!network || (520..=530).contains(&status));
        }
    }
}
