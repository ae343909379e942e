//! How an attempt ended, and what that means.

use serde::{Deserialize, Serialize};

mod firewall;

use crate::wire::HeaderNames;

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
    /// The name was not found, or TLS failed: where nobody tells which.
    NameOrTls,
    /// The name was not found.
    NameNotFound,
    /// The certificate does not hold, or there is no TLS.
    Tls,
    /// The network in front of the endpoint answered in its place (520 to 530).
    NoAnswer,
    /// The receiver's firewall or bot protection answered in the endpoint's place.
    Firewall,
    /// A redirect. Never followed.
    Redirect,
    /// 410.
    Gone,
    /// 413.
    TooLarge,
    /// 429.
    TooManyRequests,
    /// Another status of 400 to 499.
    ClientError,
    /// A status of 500 or above, or below 200.
    ServerError,
    /// The signing key could not be opened.
    SealBroken,
    /// The deployment's own forwarder did not do its work.
    Egress,
    /// The connection that the endpoint names has no token to spend: nothing was sent.
    ConnectionUnavailable,
    /// The endpoint's URL is not below the API of the connection that it names: nothing was sent.
    OutsideConnection,
    /// The receiver did not take the connection's token.
    TokenRefused,
    /// Anything else that kept the request from being made or answered.
    Unknown,
}

/// Who has to do something about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhoActs {
    /// The endpoint's owner: its URL, its server.
    Owner,
    /// Whoever runs the network or the firewall in front of the endpoint.
    ReceiverNetwork,
    /// Whoever runs Postern.
    Operator,
    /// Nobody: it passes by itself.
    Nobody,
}

/// An answer, as far as it tells whether the delivery arrived.
pub struct Answered<'a, F> {
    /// Its status.
    pub status: u16,
    /// Its headers, by name in any case.
    pub header: F,
    /// Its body; may be cut off.
    pub body: &'a [u8],
}

impl<F: Fn(&str) -> Option<String>> Answered<'_, F> {
    /// Why the delivery did not arrive; `None`: it did, with a status of 200 to 299 by the endpoint itself.
    ///
    /// In doubt an answer counts as the endpoint's own: what somebody else made has to be signed by who made it.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        let header = |name: &str| (self.header)(name);
        if firewall::stopped(self.status, &header, self.body) {
            return Some(Cause::Firewall);
        }
        if answered_by_network(
            self.status,
            header("server").as_deref(),
            header("cf-ray").as_deref(),
            self.body,
        ) {
            return Some(match self.status {
                525 | 526 => Cause::Tls,
                530 if contains(self.body, b"1016") => Cause::NameNotFound,
                _ => Cause::NoAnswer,
            });
        }
        Cause::of_status(self.status)
    }
}

impl Cause {
    /// What an answer's status says, if the endpoint gave it itself; `None`: the delivery arrived.
    #[must_use]
    pub const fn of_status(status: u16) -> Option<Self> {
        match status {
            200..=299 => None,
            300..=399 => Some(Self::Redirect),
            410 => Some(Self::Gone),
            413 => Some(Self::TooLarge),
            429 => Some(Self::TooManyRequests),
            400..=499 => Some(Self::ClientError),
            _ => Some(Self::ServerError),
        }
    }

    /// The cause that the release before had for it: what an older reader of the wire understands.
    #[must_use]
    pub const fn coarse(self) -> Self {
        match self {
            Self::NameNotFound | Self::Tls => Self::NameOrTls,
            Self::Firewall | Self::Gone | Self::TooLarge | Self::TooManyRequests | Self::TokenRefused => {
                Self::ClientError
            }
            Self::Egress | Self::ConnectionUnavailable => Self::Unknown,
            Self::OutsideConnection => Self::AddressRefused,
            other => other,
        }
    }

    /// Who has to do something.
    #[must_use]
    pub const fn who_acts(self) -> WhoActs {
        match self {
            Self::AddressRefused
            | Self::Timeout
            | Self::BodyTimeout
            | Self::ConnectionLost
            | Self::NameOrTls
            | Self::NameNotFound
            | Self::Tls
            | Self::Redirect
            | Self::Gone
            | Self::TooLarge
            | Self::ClientError
            | Self::ServerError
            | Self::ConnectionUnavailable
            | Self::OutsideConnection
            | Self::TokenRefused => WhoActs::Owner,
            Self::NoAnswer | Self::Firewall => WhoActs::ReceiverNetwork,
            Self::SealBroken | Self::Egress | Self::Unknown => WhoActs::Operator,
            Self::TooManyRequests => WhoActs::Nobody,
        }
    }

    /// Whether it says anything of how the endpoint is: what was never sent for a reason of ours or of a connection's does
    /// not.
    #[must_use]
    pub const fn is_of_endpoint(self) -> bool {
        !matches!(self.who_acts(), WhoActs::Operator) && !matches!(self, Self::ConnectionUnavailable)
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
            Self::NameNotFound => {
                "The host's name was not found. The endpoint's owner should check the URL and the DNS entry."
            }
            Self::Tls => {
                "The host's certificate does not hold, or it does not speak TLS. The endpoint's owner should check the \
                 certificate, its chain and the name in it."
            }
            Self::NoAnswer => {
                "The network in front of the endpoint got no answer from it. Whoever runs that network and the endpoint \
                 should see that its server runs, and check how the two are connected."
            }
            Self::Firewall => {
                "The receiver's firewall or bot protection stopped the request before it came to the endpoint. Whoever \
                 runs it must let these requests pass; the text for the receiver says which."
            }
            Self::Redirect => {
                "The endpoint answered with a redirect, and redirects are not followed. Its owner must give the final URL."
            }
            Self::Gone => {
                "The endpoint said that it is gone for good (410). Its owner should give a new URL or delete the endpoint."
            }
            Self::TooLarge => {
                "The endpoint does not take a body of this size (413). Its owner should raise the limit of its server, \
                 or of the proxy before it."
            }
            Self::TooManyRequests => {
                "The endpoint asked for fewer requests (429). Nobody has to act: Postern slows down. A throttleRate on \
                 the endpoint keeps below its limit from the start."
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
            Self::Egress => {
                "The forwarder that Postern sends through did not do its work. Whoever runs Postern must check it and \
                 its secret."
            }
            Self::ConnectionUnavailable => {
                "The connection that the endpoint names has no token to spend, so nothing was sent. The endpoint's owner \
                 should look at the connection: its reason says what to do."
            }
            Self::OutsideConnection => {
                "The endpoint's URL is not below the API of the connection that it names, so neither the token nor the \
                 message was sent. The endpoint's owner should correct the URL, or name another connection or none."
            }
            Self::TokenRefused => {
                "The receiver did not take the connection's token. A new one is asked for where there can be one, and the \
                 next attempt carries it. If this goes on, the endpoint's owner should connect again."
            }
            Self::Unknown => {
                "The request could not be made or its answer not be read. Whoever runs Postern finds the cause in its log."
            }
        }
    }
}

/// A cause in two fields of a message on the wire: `cause` as the release before knows it, and `exactCause` where there is
/// more to say. A word that this release does not know is passed over.
pub mod on_the_wire {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    use super::Cause;

    #[derive(Serialize, Deserialize)]
    struct Both {
        #[serde(default)]
        cause: Value,
        #[serde(default, rename = "exactCause", skip_serializing_if = "Value::is_null")]
        exact: Value,
    }

    /// Writes both.
    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's form of a field module"
    )]
    pub fn serialize<S: Serializer>(cause: &Option<Cause>, to: S) -> Result<S::Ok, S::Error> {
        let word = |cause: Option<Cause>| serde_json::to_value(cause).unwrap_or_default();
        let coarse = cause.map(Cause::coarse);
        let exact = cause.filter(|_| coarse != *cause);
        Both {
            cause: word(coarse),
            exact: word(exact),
        }
        .serialize(to)
    }

    /// Reads the finer one if there is one.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cause>, D::Error> {
        let both = Both::deserialize(from)?;
        let known = |word: Value| serde_json::from_value::<Cause>(word).ok();
        let failed = !both.cause.is_null();
        Ok(known(both.exact)
            .or_else(|| known(both.cause))
            .or(failed.then_some(Cause::Unknown)))
    }
}

/// Whether the endpoint took the delivery: 200 to 299 and nothing else.
#[must_use]
pub const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// The text for whoever runs the firewall in front of an endpoint: what to let pass. `url` as attempts show it.
#[must_use]
pub fn text_for_receiver(url: &str, user_agent: &str, names: HeaderNames) -> String {
    let (scheme_and_host, path) = url
        .split_once("://")
        .and_then(|(scheme, rest)| {
            let at = rest.find('/')?;
            Some((&url[..scheme.len() + 3 + at], &rest[at..]))
        })
        .unwrap_or((url, "/"));
    let path = path.split('?').next().unwrap_or(path);
    let family = match names {
        HeaderNames::Svix => "svix-id, svix-timestamp and svix-signature",
        HeaderNames::Standard => "webhook-id, webhook-timestamp and webhook-signature",
        HeaderNames::Both => {
            "webhook-id, webhook-timestamp and webhook-signature, and the same three with svix- in front"
        }
    };
    format!(
        "Your firewall or bot protection stops webhooks that your application has asked for. Please let these requests \
         pass without a challenge, a CAPTCHA or a rate limit:\n\
         - host: {scheme_and_host}\n\
         - path: {path}\n\
         - method: POST, with content-type application/json or what the event has\n\
         - User-Agent: {user_agent} (the version after the slash changes)\n\
         - headers: {family}\n\
         Each request is signed (Standard Webhooks, over id, time and body): your application checks the signature, so \
         what somebody else sends to this path is refused there. Please match on path and headers, not on IP addresses: \
         the sender has no fixed one unless you were told so."
    )
}

/// Whether an answer was made by the network in front of the endpoint, in its place: a status of 520 to 530, a header
/// that names the network (`server: cloudflare`, or any `cf-ray`), and a body of the network's own making.
///
/// The headers alone do not show it, as the network puts them on what it passes on, too. In doubt the answer counts as
/// the endpoint's. `body` may be cut off.
#[must_use]
pub fn answered_by_network(status: u16, server: Option<&str>, cf_ray: Option<&str>, body: &[u8]) -> bool {
    const NETWORK: &str = "cloudflare";
    let named = cf_ray.is_some() || server.is_some_and(|server| server.eq_ignore_ascii_case(NETWORK));
    let page = || body.trim_ascii_start().starts_with(b"error code: ") || contains(body, NETWORK.as_bytes());
    (520..=530).contains(&status) && named && page()
}

/// Whether the words stand in the body, in any case.
fn contains(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len())
        .any(|window| window.eq_ignore_ascii_case(words))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Cause; 21] = [
        Cause::AddressRefused,
        Cause::Timeout,
        Cause::BodyTimeout,
        Cause::ConnectionLost,
        Cause::NameOrTls,
        Cause::NameNotFound,
        Cause::Tls,
        Cause::NoAnswer,
        Cause::Firewall,
        Cause::Redirect,
        Cause::Gone,
        Cause::TooLarge,
        Cause::TooManyRequests,
        Cause::ClientError,
        Cause::ServerError,
        Cause::SealBroken,
        Cause::Egress,
        Cause::ConnectionUnavailable,
        Cause::OutsideConnection,
        Cause::TokenRefused,
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
            (410, Some(Cause::Gone)),
            (413, Some(Cause::TooLarge)),
            (429, Some(Cause::TooManyRequests)),
            (500, Some(Cause::ServerError)),
            (503, Some(Cause::ServerError)),
            (522, Some(Cause::ServerError)),
            (999, Some(Cause::ServerError)),
        ] {
            assert_eq!(Cause::of_status(status), cause, "{status}");
        }
    }

    fn cause(status: u16, headers: &[(&str, &str)], body: &str) -> Option<Cause> {
        let header = |name: &str| {
            let found = headers.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let body = body.as_bytes();
        Answered { status, header, body }.cause()
    }

    #[test]
    fn what_the_network_answers_from_520_to_530_is_no_answer_or_tells_more() {
        let network = [("server", "cloudflare")];
        for (status, body, wanted) in [
            (519, "error code: 519", Cause::ServerError),
            (520, "error code: 520", Cause::NoAnswer),
            (522, "error code: 522", Cause::NoAnswer),
            (525, "error code: 525", Cause::Tls),
            (526, "error code: 526", Cause::Tls),
            (530, "error code: 1016", Cause::NameNotFound),
            (530, "error code: 1033", Cause::NoAnswer),
            (531, "error code: 531", Cause::ServerError),
            (522, "{\"by\": \"the endpoint\"}", Cause::ServerError),
        ] {
            assert_eq!(cause(status, &network, body), Some(wanted), "{status} {body}");
        }
        assert_eq!(cause(522, &[], "error code: 522"), Some(Cause::ServerError));
        assert_eq!(cause(200, &network, "error code: 522"), None);
    }

    #[test]
    fn a_firewalls_answer_is_told_from_the_endpoints() {
        let challenge = [("cf-mitigated", "challenge")];
        assert_eq!(cause(403, &challenge, ""), Some(Cause::Firewall));
        assert_eq!(cause(403, &[], ""), Some(Cause::ClientError));
        assert_eq!(cause(410, &challenge, ""), Some(Cause::Gone));
        assert_eq!(
            cause(202, &[("x-amzn-waf-action", "challenge")], ""),
            Some(Cause::Firewall)
        );
        assert_eq!(cause(202, &[], ""), None);
    }

    #[test]
    fn who_acts_is_known_of_every_cause() {
        assert_eq!(Cause::Firewall.who_acts(), WhoActs::ReceiverNetwork);
        assert_eq!(Cause::TooManyRequests.who_acts(), WhoActs::Nobody);
        for cause in ALL {
            let ours = cause.who_acts() == WhoActs::Operator;
            assert_eq!(
                ours,
                cause.sentence().contains("Whoever runs Postern"),
                "{cause:?}"
            );
        }
    }

    #[test]
    fn what_was_not_sent_for_our_reasons_or_a_connections_says_nothing_of_the_endpoint() {
        let silent = ALL.into_iter().filter(|cause| !cause.is_of_endpoint());
        assert_eq!(
            silent.collect::<Vec<_>>(),
            [
                Cause::SealBroken,
                Cause::Egress,
                Cause::ConnectionUnavailable,
                Cause::Unknown
            ]
        );
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct OnTheWire {
        before: u64,
        #[serde(flatten, with = "on_the_wire")]
        cause: Option<Cause>,
    }

    #[test]
    fn on_the_wire_an_older_reader_finds_a_cause_that_it_knows() {
        const KNOWN_BEFORE: [&str; 11] = [
            "address_refused",
            "timeout",
            "body_timeout",
            "connection_lost",
            "name_or_tls",
            "no_answer",
            "redirect",
            "client_error",
            "server_error",
            "seal_broken",
            "unknown",
        ];
        for cause in ALL.map(Some).into_iter().chain([None]) {
            let message = OnTheWire {
                before: 1 << 53,
                cause,
            };
            let text = serde_json::to_value(&message).unwrap();
            assert!(
                text["cause"]
                    .as_str()
                    .is_none_or(|word| KNOWN_BEFORE.contains(&word)),
                "{text}"
            );
            assert_eq!(text["cause"].is_null(), cause.is_none());
            assert_eq!(serde_json::from_value::<OnTheWire>(text).unwrap(), message);
        }
    }

    #[test]
    fn of_a_newer_writer_the_known_cause_counts() {
        let read = |text: &str| serde_json::from_str::<OnTheWire>(text).unwrap().cause;
        assert_eq!(
            read(r#"{"before": 1, "cause": "client_error", "exactCause": "of_2031"}"#),
            Some(Cause::ClientError)
        );
        assert_eq!(read(r#"{"before": 1, "cause": "of_2031"}"#), Some(Cause::Unknown));
        assert_eq!(read(r#"{"before": 1}"#), None);
    }

    #[test]
    fn the_text_for_the_receiver_names_what_to_let_pass() {
        let text = text_for_receiver(
            "https://shop.example/hooks/a?token=…",
            "Postern/1.0",
            HeaderNames::Svix,
        );
        for part in [
            "https://shop.example\n",
            "path: /hooks/a\n",
            "Postern/1.0",
            "svix-signature",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("token"));
        assert!(text_for_receiver("https://shop.example", "P", HeaderNames::Both).contains("path: /\n"));
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
        fn a_status_has_no_cause_exactly_when_it_is_a_success(status: u16) {
            prop_assert_eq!(Cause::of_status(status).is_none(), is_success(status));
        }

        #[test]
        fn only_statuses_from_520_to_530_are_the_networks(status: u16, body: Vec<u8>, server: Option<String>, ray: Option<String>) {
            let network = answered_by_network(status, server.as_deref(), ray.as_deref(), &body);
            prop_assert!(!network || (520..=530).contains(&status));
        }
    }
}
