//! HMAC in a header, for providers without a preset: what is signed is a template of the owner's.
//!
//! A time counts only where it is signed, so `timestampHeader` and `tolerance` go with `{timestamp}` in the template and
//! nothing else; the same holds for `idHeader` and `{id}`. Without `{timestamp}` there is no freshness: a captured
//! request can be sent again, and only an event id tells.

mod template;

use serde_json::{Map, Value};

use self::template::{Part, Template};
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN};
use super::event::Naming;
use super::mac::{Algorithm, from_base64, from_hex, is_among};
use super::secret::Key;
use super::settings::Settings;
use super::timestamp::Timestamp;
use super::verdict::{Accepted, Reason, Rejection, Trust, Verdict};
use super::{Asked, Headers, MAX_SIGNATURES, Request};
use crate::problem::Fault;

pub(super) const NAME: &str = "hmac";

const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("sha256", Algorithm::Sha256),
    ("sha512", Algorithm::Sha512),
    ("sha1", Algorithm::Sha1),
];

const ENCODINGS: [(&str, Encoding); 2] = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];

const DEFAULT_TEMPLATE: &str = "{body}";

const MAX_PREFIX: usize = 64;

const MAX_SEPARATOR: usize = 8;

/// How header values are joined by whoever joins them.
const JOINED: &str = ", ";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: NAME,
    title: "HMAC with a template",
    methods: &["POST", "PUT", "PATCH"],
    secret: "the key, as text",
    signed: "what config.template says",
    checked: Checked::Vectors,
    sources: &["RFC 2104"],
    ..PLAIN
};

/// The preset's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hmac {
    header: String,
    algorithm: Algorithm,
    encoding: Encoding,
    prefix: String,
    template: Template,
    list_separator: Option<String>,
    signed_time: Option<SignedTime>,
    id_header: Option<String>,
    naming: Naming,
}

/// There exactly if the template has `{timestamp}`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SignedTime {
    header: String,
    tolerance: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Hex,
    Base64,
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => from_hex(text),
            Self::Base64 => from_base64(text),
        }
    }

    fn writes(self, c: char) -> bool {
        match self {
            Self::Hex => c.is_ascii_hexdigit(),
            Self::Base64 => c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='),
        }
    }
}

impl Hmac {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(NAME, config)?;
        let header = settings.required_header(
            "header",
            "give the name of the header that carries the signature, such as X-Signature",
        );
        let algorithm = settings.choice("algorithm", Algorithm::Sha256, &ALGORITHMS);
        let encoding = settings.choice("encoding", Encoding::Hex, &ENCODINGS);
        let prefix = settings.text("prefix").unwrap_or_default();
        if prefix.len() > MAX_PREFIX
            || !is_visible(prefix)
            || prefix.starts_with(' ')
            || prefix.contains(JOINED)
        {
            let msg = format!(
                "must have at most {MAX_PREFIX} visible ASCII characters, no blank first and none after a comma"
            );
            settings.fault("prefix", msg);
        }
        let template = read_template(&mut settings, &header);
        let list_separator = read_list_separator(&mut settings, encoding, prefix);
        let signed_time = read_signed_time(&mut settings, &template, &header);
        let id_header = read_id_header(&mut settings, &template, &header);
        let naming = Naming::read(&mut settings, None);
        settings.finish(Self {
            header,
            algorithm,
            encoding,
            prefix: prefix.to_owned(),
            template,
            list_separator,
            signed_time,
            id_header,
            naming,
        })
    }

    /// The signatures that the header may hold. Values that were sent apart or joined by `, ` are entries of a list even
    /// where the provider has none.
    fn signatures(&self, headers: &Headers) -> Result<Vec<Vec<u8>>, Rejection> {
        let values = headers.several(&self.header)?;
        let entries = values
            .into_iter()
            .flat_map(|value| value.split(JOINED))
            .flat_map(|value| match &self.list_separator {
                Some(separator) => value.split(separator.as_str()).collect(),
                None => vec![value],
            })
            .take(MAX_SIGNATURES);
        let signatures: Vec<Vec<u8>> = entries
            .map(|entry| entry.trim_matches(' '))
            .map(|entry| entry.strip_prefix(self.prefix.as_str()).unwrap_or(entry))
            .filter_map(|entry| self.encoding.decode(entry))
            .filter(|signature| !signature.is_empty())
            .collect();
        if signatures.is_empty() {
            let encoding = name_of(self.encoding, &ENCODINGS);
            let detail = format!("The header {} holds no signature in {encoding}", self.header);
            return Err(Rejection::new(Reason::MalformedSignature, detail));
        }
        Ok(signatures)
    }

    /// What was signed, in pieces. Whatever the template names and the request lacks is a rejection.
    fn signed_parts<'a>(
        &'a self,
        request: &Request<'a>,
        time: Option<Timestamp<'a>>,
        id: Option<&'a str>,
    ) -> Result<Vec<&'a [u8]>, Rejection> {
        let missing = |detail: &str| Rejection::new(Reason::MissingSignature, detail);
        let piece = |part: &'a Part| match part {
            Part::Text(text) => Ok(text.as_bytes()),
            Part::Body => Ok(request.body),
            Part::Method => Ok(request.method.as_bytes()),
            Part::Header(name) => request.headers.single(name).map(str::as_bytes),
            Part::Timestamp => time
                .map(|time| time.text.as_bytes())
                .ok_or_else(|| missing("The template signs a time, and the request has none")),
            Part::Id => id
                .map(str::as_bytes)
                .ok_or_else(|| missing("The template signs an id, and the request has none")),
            Part::Url => request.url.map(str::as_bytes).ok_or_else(|| {
                let detail = "The template signs the URL, and the public URL of this source is not known";
                Rejection::new(Reason::Mismatch, detail)
            }),
        };
        self.template.parts().iter().map(piece).collect()
    }
}

impl Preset for Hmac {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        let mut set = |key: &str, value: Value| settings.insert(key.to_owned(), value);
        set("header", self.header.clone().into());
        set("algorithm", name_of(self.algorithm, &ALGORITHMS).into());
        set("encoding", name_of(self.encoding, &ENCODINGS).into());
        set("prefix", self.prefix.clone().into());
        set("template", self.template.to_string().into());
        if let Some(separator) = &self.list_separator {
            set("listSeparator", separator.clone().into());
        }
        if let Some(time) = &self.signed_time {
            set("timestampHeader", time.header.clone().into());
            set("tolerance", time.tolerance.into());
        }
        if let Some(header) = &self.id_header {
            set("idHeader", header.clone().into());
        }
        self.naming.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "give the secret that the provider signs with"
    }

    fn check_secret(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn signs_url(&self) -> bool {
        self.template.parts().contains(&Part::Url)
    }

    fn naming(&self) -> Option<(&Naming, Trust)> {
        Some((&self.naming, Trust::Signed))
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let signatures = self.signatures(request.headers)?;
        let time = match &self.signed_time {
            Some(time) => Some(Timestamp::parse(request.headers.single(&time.header)?)?),
            None => None,
        };
        let id = match &self.id_header {
            Some(header) => Some(request.headers.single(header)?),
            None => None,
        };
        let parts = self.signed_parts(request, time, id)?;
        if keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let holds = |key: &&Key| {
            let mac = self.algorithm.mac(&key.bytes, &parts);
            mac.is_some_and(|mac| is_among(&mac, &signatures))
        };
        let key = keys.iter().find(holds).ok_or_else(Rejection::mismatch)?;
        if let (Some(time), Some(rule)) = (time, &self.signed_time) {
            time.check_fresh(rule.tolerance, asked.now)?;
        }
        let event = self.naming.event(request, id, Trust::Signed);
        Ok(Accepted::new(vec![event], Some(key.index)).into())
    }
}

fn read_template(settings: &mut Settings<'_>, header: &str) -> Template {
    const KEY: &str = "template";
    let template = Template::parse(settings.text(KEY).unwrap_or(DEFAULT_TEMPLATE)).unwrap_or_else(|msg| {
        settings.fault(KEY, msg);
        Template::default()
    });
    let signs_itself = |part: &Part| matches!(part, Part::Header(name) if name.eq_ignore_ascii_case(header));
    if template.parts().iter().any(signs_itself) {
        settings.fault(
            KEY,
            "names the header of the signature: a signature cannot sign itself",
        );
    }
    template
}

fn read_list_separator(settings: &mut Settings<'_>, encoding: Encoding, prefix: &str) -> Option<String> {
    const KEY: &str = "listSeparator";
    let separator = settings.text(KEY)?;
    if separator.is_empty() || separator.len() > MAX_SEPARATOR || !is_visible(separator) {
        settings.fault(
            KEY,
            format!("must have 1 to {MAX_SEPARATOR} visible ASCII characters or blanks"),
        );
    } else if separator.contains(|c| encoding.writes(c)) {
        settings.fault(
            KEY,
            "has a character that signatures are written with, and would cut them",
        );
    } else if prefix.contains(separator) {
        settings.fault(
            KEY,
            "stands in the prefix, and would cut it: take another, or none",
        );
    }
    Some(separator.to_owned())
}

fn read_signed_time(settings: &mut Settings<'_>, template: &Template, signature: &str) -> Option<SignedTime> {
    const KEY: &str = "timestampHeader";
    let header = settings.header(KEY);
    let tolerance = settings.tolerance();
    let signed = template.parts().contains(&Part::Timestamp);
    match &header {
        Some(header) if signed && header.eq_ignore_ascii_case(signature) => {
            settings.fault(KEY, "is the header of the signature: name the one that carries the time");
        }
        None if signed => settings.fault(
            KEY,
            "is missing: the template has {timestamp}, so name the header that carries it, in seconds since 1970",
        ),
        Some(_) if !signed => settings.fault(
            KEY,
            "goes with {timestamp} in the template: a time that is not signed proves nothing",
        ),
        _ => {}
    }
    if settings.has("tolerance") && !signed {
        settings.fault(
            "tolerance",
            "goes with {timestamp} in the template: without a signed time there is nothing to compare with",
        );
    }
    header
        .filter(|_| signed)
        .map(|header| SignedTime { header, tolerance })
}

fn read_id_header(settings: &mut Settings<'_>, template: &Template, signature: &str) -> Option<String> {
    const KEY: &str = "idHeader";
    let header = settings.header(KEY);
    let signed = template.parts().contains(&Part::Id);
    match &header {
        Some(header) if signed && header.eq_ignore_ascii_case(signature) => {
            settings.fault(
                KEY,
                "is the header of the signature: name the one that carries the id",
            );
        }
        None if signed => settings.fault(
            KEY,
            "is missing: the template has {id}, so name the header that carries it",
        ),
        Some(_) if !signed => settings.fault(
            KEY,
            "goes with {id} in the template: for an id that is not signed set eventId",
        ),
        _ => {}
    }
    header
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The word for a choice. The tables name every variant.
fn name_of<T: Copy + PartialEq>(value: T, names: &[(&'static str, T)]) -> &'static str {
    names
        .iter()
        .find(|(_, other)| *other == value)
        .map_or("", |(name, _)| name)
}
