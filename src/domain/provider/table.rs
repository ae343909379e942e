//! HMAC schemes as data: one header, one code, one list of what is signed. Most providers are a table and nothing else.

use std::borrow::Cow;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::config::Preset;
use super::descriptor::Descriptor;
use super::mac::{Algorithm, from_base64, from_hex, is_among};
use super::names::{Names, Unit};
use super::public_url::PublicUrl;
use super::secret::Key;
use super::settings::Settings;
use super::timestamp::Timestamp;
use super::verdict::{Accepted, Challenge, Event, Once, Otherwise, Reason, Rejection, Verdict};
use super::{Asked, MAX_SIGNATURES};
use crate::problem::Fault;

/// Each time in a header costs a pass over the body; a header that was sent twice has two.
const MAX_TIMES: usize = 4;

/// How a provider signs, and what it calls its events.
pub(super) struct Scheme {
    pub(super) descriptor: &'static Descriptor,
    /// The header's names; all that are there are read.
    pub(super) headers: &'static [&'static str],
    pub(super) form: Form,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
    /// What is signed, in order.
    pub(super) signed: &'static [Piece],
    pub(super) time: Option<SignedTime>,
    /// What is wrong with a new secret; none: any will do.
    pub(super) check_secret: Option<CheckSecret>,
    /// A handshake that comes before, or without, a signature. None: this request is none.
    pub(super) handshake: Option<Handshake>,
    pub(super) tell: Tell,
    /// For a scheme whose event id is not signed: what a second use of one signature means.
    pub(super) once: Option<Otherwise>,
    /// Whether a handshake brings the secret.
    pub(super) secret_comes_later: bool,
}

/// The sentence says what is wrong, and never repeats the secret.
pub(super) type CheckSecret = fn(&str) -> Result<(), String>;

/// `None`: the request is no handshake.
pub(super) type Handshake = fn(&[Key], &Asked<'_>) -> Option<Result<Challenge, Rejection>>;

/// How the header is written.
pub(super) enum Form {
    /// The signature and nothing else.
    Bare,
    /// Behind these characters, which name the scheme: without them it is another one.
    Prefixed(&'static str),
    /// `key=value` pairs: the signature's key, and the key of the time.
    Pairs {
        separator: char,
        time: &'static str,
        signature: &'static str,
    },
}

/// How the code is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Hex,
    Base64,
}

/// A piece of what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Text(&'static str),
    Time,
    Url,
    Body,
}

/// A time under the signature.
pub(super) struct SignedTime {
    /// The header it stands in; none: in the pairs of the signature's header.
    pub(super) header: Option<&'static str>,
    pub(super) unit: Unit,
    /// Seconds, unless the source says otherwise.
    pub(super) tolerance: u64,
}

/// What a genuine request says.
pub(super) enum Tell {
    Names(Names),
    /// With the key that matched.
    Code(fn(&Asked<'_>, &Key) -> Result<Told, Rejection>),
}

/// What a genuine request says: events, or a handshake.
pub(super) enum Told {
    Events(Vec<Event>),
    Challenge(Challenge),
}

/// A scheme with a source's settings.
pub(super) struct Table {
    pub(super) scheme: &'static Scheme,
    /// Seconds; 0: any time will do, which only a preset of its own allows.
    pub(super) tolerance: u64,
    public_url: PublicUrl,
}

/// The secret that matched, and a digest of the signature that did.
pub(super) struct Matched<'a> {
    pub(super) key: &'a Key,
    digest: String,
}

impl Table {
    /// A preset that has no settings but those of its table.
    pub(super) fn parse(scheme: &'static Scheme, config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(scheme.descriptor.name, config)?;
        let table = Self::read(scheme, &mut settings);
        settings.finish(table)
    }

    /// The table without any settings.
    pub(super) fn default_of(scheme: &'static Scheme) -> Self {
        Self {
            scheme,
            tolerance: scheme.time.as_ref().map_or(0, |time| time.tolerance),
            public_url: PublicUrl::default(),
        }
    }

    /// The table's settings among others.
    pub(super) fn read(scheme: &'static Scheme, settings: &mut Settings<'_>) -> Self {
        let tolerance = scheme
            .time
            .as_ref()
            .map_or(0, |time| settings.tolerance_of(time.tolerance));
        let public_url = if scheme.signs_url() {
            PublicUrl::read(settings)
        } else {
            PublicUrl::default()
        };
        Self {
            scheme,
            tolerance,
            public_url,
        }
    }

    pub(super) fn write(&self, settings: &mut Map<String, Value>) {
        if self.scheme.time.is_some() {
            settings.insert("tolerance".to_owned(), self.tolerance.into());
        }
        self.public_url.write(settings);
    }

    /// The signature, then the time. Nothing of the body is read.
    pub(super) fn check<'k>(&self, keys: &'k [Key], asked: &Asked<'_>) -> Result<Matched<'k>, Rejection> {
        let (times, signatures) = self.read_headers(asked)?;
        let url = if self.scheme.signs_url() {
            self.public_url.of(asked.request)?
        } else {
            Cow::Borrowed("")
        };
        if keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let mut rejection = Rejection::mismatch();
        for time in times {
            let text = time.map_or("", |time| time.text);
            let parts: Vec<&[u8]> = self
                .scheme
                .signed
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.as_bytes(),
                    Piece::Time => text.as_bytes(),
                    Piece::Url => url.as_bytes(),
                    Piece::Body => asked.request.body,
                })
                .collect();
            for key in keys {
                let mac = self.scheme.algorithm.mac(&key.bytes, &parts);
                let Some(mac) = mac.filter(|mac| is_among(mac, &signatures)) else {
                    continue;
                };
                let fresh = match time {
                    Some(time) if self.tolerance > 0 => time.check_fresh(self.tolerance, asked.now),
                    _ => Ok(()),
                };
                match fresh {
                    Ok(()) => {
                        return Ok(Matched {
                            key,
                            digest: hex::encode(Sha256::digest(&mac)),
                        });
                    }
                    Err(not_fresh) => rejection = not_fresh,
                }
            }
        }
        Err(rejection)
    }

    /// What a request that was checked says.
    pub(super) fn tell(&self, matched: &Matched<'_>, asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let told = match &self.scheme.tell {
            Tell::Names(names) => Told::Events(vec![names.event(asked.request)]),
            Tell::Code(tell) => tell(asked, matched.key)?,
        };
        Ok(match told {
            Told::Challenge(challenge) => challenge.into(),
            Told::Events(events) => {
                let once = self.scheme.once.map(|otherwise| Once {
                    key: matched.digest.clone(),
                    otherwise,
                });
                Accepted {
                    once,
                    ..Accepted::new(events, Some(matched.key.index))
                }
                .into()
            }
        })
    }

    /// The times that may have been signed, and the signatures. A header that was sent twice has two times; each is tried
    /// with all signatures, and the signature binds the right one.
    #[expect(clippy::type_complexity, reason = "both are used up where they are made")]
    fn read_headers<'a>(
        &self,
        asked: &Asked<'a>,
    ) -> Result<(Vec<Option<Timestamp<'a>>>, Vec<Vec<u8>>), Rejection> {
        let headers = asked.request.headers;
        let mut values = Vec::new();
        let mut missing = None;
        for name in self.scheme.headers {
            match headers.several(name) {
                Ok(found) => values.extend(found),
                Err(rejection) if rejection.reason == Reason::MissingSignature => {
                    missing = missing.or(Some(rejection));
                }
                Err(rejection) => return Err(rejection),
            }
        }
        if let (Some(missing), true) = (missing, values.is_empty()) {
            return Err(missing);
        }
        let mut read = Entries::default();
        for value in values {
            read.value(&self.scheme.form, value);
        }
        let name = self.scheme.headers.first().copied().unwrap_or_default();
        let times = match &self.scheme.time {
            None => vec![None],
            Some(SignedTime {
                header: Some(header),
                unit,
                ..
            }) => {
                let text = headers.single(header)?;
                // A time that is not asked for may be written in any way.
                let time = if self.tolerance == 0 {
                    Timestamp::unread(text)
                } else {
                    Timestamp::parse_as(text, *unit)?
                };
                vec![Some(time)]
            }
            Some(SignedTime { unit, .. }) => read.times(name, *unit)?,
        };
        Ok((times, self.signatures(name, &read)?))
    }

    fn signatures(&self, name: &str, read: &Entries<'_>) -> Result<Vec<Vec<u8>>, Rejection> {
        if read.signatures.is_empty() && read.other_schemes {
            let detail = format!("The header {name} has no signature of the one scheme that is believed");
            return Err(Rejection::new(Reason::UnknownScheme, detail));
        }
        let decode = |text: &&str| match self.scheme.encoding {
            Encoding::Hex => from_hex(text),
            Encoding::Base64 => from_base64(text),
        };
        let signatures: Vec<Vec<u8>> = read
            .signatures
            .iter()
            .take(MAX_SIGNATURES)
            .filter_map(decode)
            .filter(|signature| !signature.is_empty())
            .collect();
        if signatures.is_empty() {
            let encoding = match self.scheme.encoding {
                Encoding::Hex => "hex",
                Encoding::Base64 => "base64",
            };
            let detail = format!("The header {name} holds no signature in {encoding}");
            return Err(Rejection::malformed(detail));
        }
        Ok(signatures)
    }
}

impl Scheme {
    fn signs_url(&self) -> bool {
        self.signed.contains(&Piece::Url)
    }
}

impl Preset for Table {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        self.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        self.scheme.descriptor.secret
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        match self.scheme.check_secret {
            Some(check) => check(secret),
            None => Ok(()),
        }
    }

    fn works_without_secret(&self) -> bool {
        self.scheme.secret_comes_later
    }

    fn signs_url(&self) -> bool {
        self.scheme.signs_url()
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        if let Some(challenge) = self.scheme.handshake.and_then(|handshake| handshake(keys, asked)) {
            return challenge.map(Verdict::Challenge);
        }
        self.tell(&self.check(keys, asked)?, asked)
    }
}

/// What the header's values say.
#[derive(Default)]
struct Entries<'a> {
    times: Vec<&'a str>,
    signatures: Vec<&'a str>,
    other_schemes: bool,
}

impl<'a> Entries<'a> {
    /// Values that were sent apart or joined by `, ` are entries of a list even where the provider has none.
    fn value(&mut self, form: &Form, value: &'a str) {
        match form {
            Form::Bare => self.signatures.extend(joined(value)),
            Form::Prefixed(prefix) => {
                for entry in joined(value) {
                    match entry.strip_prefix(prefix) {
                        Some(signature) => self.signatures.push(signature),
                        None => self.other_schemes = true,
                    }
                }
            }
            Form::Pairs {
                separator,
                time,
                signature,
            } => {
                for item in joined(value).flat_map(|value| value.split(*separator)) {
                    // Blanks stand where values were joined, in front of an item; inside one they are a fault.
                    match item.trim_start_matches(' ').split_once('=') {
                        Some((key, value)) if key == *time => self.times.push(value),
                        Some((key, value)) if key == *signature => self.signatures.push(value),
                        Some(_) => self.other_schemes = true,
                        None => {}
                    }
                }
            }
        }
    }

    fn times(&self, header: &str, unit: Unit) -> Result<Vec<Option<Timestamp<'a>>>, Rejection> {
        if self.times.is_empty() {
            return Err(Rejection::malformed(format!("The header {header} has no time")));
        }
        if self.times.len() > MAX_TIMES {
            return Err(Rejection::malformed(format!(
                "The header {header} has too many times"
            )));
        }
        let mut read: Vec<_> = self
            .times
            .iter()
            .map(|text| Timestamp::parse_as(text, unit).map(Some))
            .collect();
        if read.iter().all(Result::is_err) {
            read.truncate(1);
        } else {
            read.retain(Result::is_ok);
        }
        read.into_iter().collect()
    }
}

fn joined(value: &str) -> impl Iterator<Item = &str> {
    value.split(", ").map(|entry| entry.trim_matches(' '))
}

/// Refuses a secret that begins with one of these, with the sentence that stands beside it.
pub(super) fn refuse_prefixes(secret: &str, wrong: &[(&str, &str)]) -> Result<(), String> {
    match wrong.iter().find(|(prefix, _)| secret.starts_with(prefix)) {
        Some((_, sentence)) => Err((*sentence).to_owned()),
        None => Ok(()),
    }
}
