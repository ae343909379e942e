//! Which URLs Postern calls: one rule, asked when an endpoint is made, when it is tested, and before every send.
//!
//! Guaranteed: what is sent is a [`Target`], and a target's text is what one parser wrote, with a host that was judged in
//! that very form. A text on which another parser might disagree (blanks, backslashes, missing or extra slashes, escapes
//! or user names before the host) is refused, not repaired. An address in any spelling is judged as the address it is.
//!
//! Deliberately absent: a look at DNS. A public name may lead to a private address, on purpose (names that embed one, a
//! name that changes between look and call) or not, and a fetch cannot be pinned to the address that was looked at. What
//! answers that is where the call is made: a deployed Worker stands in no private network, and under
//! `global_fetch_strictly_public` its fetch goes out as a stranger's would, to our own zone too.

mod range;
mod reserved;

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

pub(crate) use self::range::Range;

/// The longest URL, in bytes, as it came and as it is sent.
const MAX_BYTES: usize = 4096;

/// Ports of mail servers: a lenient one reads mail out of the lines of an HTTP request.
const MAIL_PORTS: [u16; 3] = [25, 465, 587];

/// What stands in a shown URL for a value that may be a credential.
const REDACTED: &str = "REDACTED";

/// What this deployment may call, beyond the public Internet, and what it must not because it is itself.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    allowed: Vec<Range>,
    localhost: bool,
    own: Vec<OwnHost>,
}

#[derive(Debug, Clone)]
struct OwnHost {
    host: Host<String>,
    port: Option<u16>,
}

/// A setting from which no [`Policy`] can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// An entry of `ALLOW_PRIVATE_ADDRESSES`.
    #[error(
        "`{0}` is neither `localhost` nor a range such as 10.0.0.0/8 or fd00::/8 (with zeros behind the prefix)"
    )]
    Range(String),
    /// A name under which this deployment is reached.
    #[error("`{0}` is no host or host:port")]
    OwnHost(String),
}

/// Why a URL is not called. A closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.sentence())]
pub enum Refusal {
    /// Longer than 4096 bytes, as it came or with what must be escaped escaped.
    TooLong,
    /// Holds a blank, a control character or a backslash.
    Unclean,
    /// No URL.
    Malformed,
    /// Another scheme, or `http:` without two slashes and a host behind it.
    Scheme,
    /// A user name or password before the host, or the `@` of one.
    Userinfo,
    /// A host that is neither an address nor a name that DNS can hold.
    Host,
    /// Port 0 or one of a mail server.
    Port,
    /// An address that is not of the public Internet.
    PrivateAddress,
    /// A name that is not of the public DNS.
    PrivateName,
    /// Where a cloud hands machines their credentials.
    Metadata,
    /// This deployment.
    OwnHost,
}

impl Refusal {
    /// What is wrong and what would be right, for whoever sent the URL.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::TooLong => "The URL must be at most 4096 bytes long",
            Self::Unclean => "The URL must not hold blanks, control characters or backslashes; escape them",
            Self::Malformed => "This is not a valid URL",
            Self::Scheme => "The URL must begin with http:// or https:// and a host",
            Self::Userinfo => {
                "The URL must not hold a user name or password; put credentials into the endpoint's headers"
            }
            Self::Host => "The URL's host must be an IP address or a full domain name, without escapes",
            Self::Port => "The URL's port must not be 0 or a mail server's (25, 465, 587)",
            Self::PrivateAddress => "The URL's host is a private or reserved IP address; it must be public",
            Self::PrivateName => {
                "The URL's host is a local or reserved name; it must be a public domain name"
            }
            Self::Metadata => "The URL's host is a cloud's metadata service, which is never called",
            Self::OwnHost => "The URL leads back to this service",
        }
    }

    /// The reason in one word, for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Unclean => "unclean",
            Self::Malformed => "malformed",
            Self::Scheme => "scheme",
            Self::Userinfo => "userinfo",
            Self::Host => "host",
            Self::Port => "port",
            Self::PrivateAddress => "private_address",
            Self::PrivateName => "private_name",
            Self::Metadata => "metadata",
            Self::OwnHost => "own_host",
        }
    }
}

/// A URL that may be called.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// The URL exactly as it is to be sent; judged again it gives the same text. May hold a credential.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host, as it stands in the URL: IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The URL for lists and logs: every value in its query is replaced, and a parameter without a value whole. The
    /// path stays, because without it two endpoints of one host look the same.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut url = self.0.clone();
        let query = url.query().map(|query| {
            let shown: Vec<String> = query.split('&').map(redact).collect();
            shown.join("&")
        });
        url.set_query(query.as_deref());
        url.into()
    }
}

/// A query may hold a credential: it stays out of logs.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.shown())
    }
}

impl Policy {
    /// `allow_private`: ranges that may be called although they are not public, separated by commas, and `localhost` for
    /// 127.0.0.0/8, `::1` and the names `localhost` and `*.localhost`; empty in production. A metadata service stays
    /// refused unless its one address is named. An IPv6 address that carries an IPv4 one is an IPv6 address here.
    ///
    /// `own_hosts`: each name under which this deployment is reached, as `host` or `host:port`. A public one is ours on
    /// every port, one that is private on the port that is named: beside it, a laptop runs the endpoints.
    pub fn new(allow_private: &str, own_hosts: &[&str]) -> Result<Self, InvalidPolicy> {
        let mut policy = Self::default();
        for entry in allow_private
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            if entry == "localhost" {
                policy.localhost = true;
                policy.allowed.extend(reserved::LOOPBACK);
            } else {
                let range = Range::parse(entry).ok_or_else(|| InvalidPolicy::Range(entry.to_owned()))?;
                policy.allowed.push(range);
            }
        }
        for entry in own_hosts {
            let own = OwnHost::parse(entry).ok_or_else(|| InvalidPolicy::OwnHost((*entry).to_owned()))?;
            policy.own.push(own);
        }
        Ok(policy)
    }

    /// Whether `url` may be called, and in which form. The fragment and a dot behind the host are taken off.
    pub fn judge(&self, url: &str) -> Result<Target, Refusal> {
        let parsed = parse(url)?;
        check_form(url, &parsed)?;
        let (url, host) = normalised(parsed)?;
        if url.as_str().len() > MAX_BYTES {
            return Err(Refusal::TooLong);
        }
        let port = url.port_or_known_default().ok_or(Refusal::Port)?;
        if port == 0 || MAIL_PORTS.contains(&port) {
            return Err(Refusal::Port);
        }
        match &host {
            Host::Domain(name) => self.check_name(name)?,
            Host::Ipv4(address) => self.check_address(IpAddr::V4(*address))?,
            Host::Ipv6(address) => self.check_address(IpAddr::V6(*address))?,
        }
        if self.own.iter().any(|own| own.is(&host, port)) {
            return Err(Refusal::OwnHost);
        }
        Ok(Target(url))
    }

    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        if !is_dns_name(name) {
            return Err(Refusal::Host);
        }
        if reserved::METADATA_NAMES.contains(&name) {
            return Err(Refusal::Metadata);
        }
        if self.localhost && is_localhost(name) {
            return Ok(());
        }
        let Some((_, top)) = name.rsplit_once('.') else {
            return Err(Refusal::PrivateName);
        };
        if reserved::NAMES.iter().any(|reserved| is_under(name, reserved)) {
            return Err(Refusal::PrivateName);
        }
        // No top-level domain holds a digit but those in Punycode: what does is an address that somebody misspelt.
        if top.starts_with("xn--") || top.bytes().all(|c| c.is_ascii_lowercase()) {
            Ok(())
        } else {
            Err(Refusal::Host)
        }
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        if self.allowed.iter().any(|range| range.is_only(address)) {
            return Ok(());
        }
        if reserved::is_metadata(address) {
            return Err(Refusal::Metadata);
        }
        if reserved::is_public(address) || self.allowed.iter().any(|range| range.contains(address)) {
            return Ok(());
        }
        Err(Refusal::PrivateAddress)
    }
}

impl OwnHost {
    fn parse(entry: &str) -> Option<Self> {
        let read = |scheme: &str| {
            let text = format!("{scheme}://{entry}/");
            let url = parse(&text).ok()?;
            check_form(&text, &url).ok()?;
            // An entry that brings a path or query of its own is no host.
            (url.path() == "/" && url.query().is_none() && url.fragment().is_none()).then_some(url)
        };
        // A parser leaves the default port out; no port is the default of both schemes.
        let (plain, secure) = (read("http")?, read("https")?);
        let port = plain.port().or(secure.port());
        let (_, host) = normalised(plain).ok()?;
        match &host {
            Host::Domain(name) if !is_dns_name(name) => None,
            _ => Some(Self { host, port }),
        }
    }

    fn is(&self, host: &Host<String>, port: u16) -> bool {
        let same_host = self.host == *host || (is_loopback(&self.host) && is_loopback(host));
        same_host && (!self.is_private() || self.port.is_none_or(|own| own == port))
    }

    fn is_private(&self) -> bool {
        match &self.host {
            Host::Domain(name) => is_localhost(name),
            Host::Ipv4(address) => !reserved::is_public(IpAddr::V4(*address)),
            Host::Ipv6(address) => !reserved::is_public(IpAddr::V6(*address)),
        }
    }
}

/// Reads a text that every parser reads alike as far as its characters go. The URL standard would take off blanks and
/// line ends and turn backslashes round; others do not.
fn parse(text: &str) -> Result<Url, Refusal> {
    if text.len() > MAX_BYTES {
        return Err(Refusal::TooLong);
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(Refusal::Unclean);
    }
    Url::parse(text).map_err(|_| Refusal::Malformed)
}

/// Refuses what the URL standard repairs between the scheme and the host: other parsers find another host there.
fn check_form(text: &str, url: &Url) -> Result<(), Refusal> {
    let (scheme, rest) = text.split_once("://").ok_or(Refusal::Scheme)?;
    if !matches!(url.scheme(), "http" | "https") || !scheme.eq_ignore_ascii_case(url.scheme()) {
        return Err(Refusal::Scheme);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(Refusal::Scheme);
    }
    if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::Userinfo);
    }
    if authority.contains('%') {
        return Err(Refusal::Host);
    }
    Ok(())
}

/// Without fragment, without the dot that may stand behind a full name, and with the host apart.
fn normalised(mut url: Url) -> Result<(Url, Host<String>), Refusal> {
    url.set_fragment(None);
    let dotless = url
        .domain()
        .and_then(|name| name.strip_suffix('.'))
        .map(str::to_owned);
    if let Some(name) = dotless {
        url.set_host(Some(&name)).map_err(|_| Refusal::Host)?;
    }
    let host = url.host().ok_or(Refusal::Host)?.to_owned();
    Ok((url, host))
}

/// Whether DNS can hold `name`, which the parser wrote in lower case. Underscores are no host name's, but in use.
fn is_dns_name(name: &str) -> bool {
    let form = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_');
    name.len() <= 253
        && name
            .split('.')
            .all(|label| (1..=63).contains(&label.len()) && label.bytes().all(form))
}

fn is_under(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_localhost(name: &str) -> bool {
    is_under(name, "localhost")
}

/// Whether a call to `host` ends on the machine that makes it. The unspecified addresses do, on most systems.
fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => is_localhost(name),
        Host::Ipv4(address) => address.is_loopback() || address.is_unspecified(),
        Host::Ipv6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || reserved::embedded(*address)
                    .is_some_and(|inner| inner.is_loopback() || inner.is_unspecified())
        }
    }
}

/// One parameter of a query, with its value gone.
fn redact(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((_, "")) => parameter.to_owned(),
        Some((name, _)) => format!("{name}={REDACTED}"),
        None if parameter.is_empty() => String::new(),
        None => REDACTED.to_owned(),
    }
}

#[cfg(test)]
mod tests;
