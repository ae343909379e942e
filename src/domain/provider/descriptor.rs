//! A provider as data: what the edge answers it, how long its events are remembered, what the console and the pages say.

use super::verdict::Reason;

const DAY: u32 = 86_400;

/// A preset's facts. Everything that differs from provider to provider and needs no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The name in the API.
    pub name: &'static str,
    /// The name that people read.
    pub title: &'static str,
    /// The methods that are judged; any other is 405 without a look at the request.
    pub methods: &'static [&'static str],
    /// Whether one address serves one account or all accounts of an app.
    pub level: Level,
    /// Who makes the secret.
    pub secret_origin: SecretOrigin,
    /// What the secret is and looks like; empty: there is none.
    pub secret: &'static str,
    /// What stands behind an accepted request.
    pub proof: Proof,
    /// What the signature covers, as a template for people.
    pub signed: &'static str,
    /// Whether the address stands in the signed bytes: it must be the one that was given to the provider.
    pub signs_url: bool,
    /// The answer to what was stored, and to a duplicate.
    pub ack: Reply,
    /// The answer when it could not be stored.
    pub retry_please: Reply,
    /// The answer to a bad signature.
    pub bad_signature: Reply,
    /// How long the provider waits for an answer, in milliseconds. None: unpublished.
    pub deadline_ms: Option<u32>,
    /// From the first try to the last, in seconds; 0: it never tries again. None: unpublished.
    pub retry_horizon_s: Option<u32>,
    /// Tries after the first. None: unpublished, or as many as fit the horizon.
    pub retry_count: Option<u32>,
    /// What makes the provider stop for good; empty: nothing known.
    pub disables_on: &'static str,
    /// How far these facts were checked.
    pub checked: Checked,
    /// The pages and packages that they come from, by their titles.
    pub sources: &'static [&'static str],
    /// What nobody has confirmed, in sentences.
    pub unsure: &'static [&'static str],
    /// Headers, in lower case, that carry the secret itself: never stored, logged or forwarded.
    pub credential_headers: &'static [&'static str],
    /// Headers, in lower case, of the signature: forwarded only where the source asks for it.
    pub signature_headers: &'static [&'static str],
    /// Headers, in lower case, with which the provider names the event: kept, and forwarded by passthrough.
    pub kept_headers: &'static [&'static str],
}

impl Descriptor {
    /// How long an event's id is remembered, in seconds: three times the retry horizon, at least a day, at most eight.
    #[must_use]
    pub const fn dedupe_window_s(&self) -> u32 {
        let horizon = match self.retry_horizon_s {
            Some(horizon) => horizon,
            None => DAY,
        };
        let window = horizon.saturating_mul(3);
        if window < DAY {
            DAY
        } else if window > 8 * DAY {
            8 * DAY
        } else {
            window
        }
    }

    /// Whether the provider comes again after a failure. Unpublished counts as no: what is lost then is lost.
    #[must_use]
    pub const fn retries(&self) -> bool {
        matches!(self.retry_horizon_s, Some(horizon) if horizon > 0)
    }

    /// The status of the answer to a rejection.
    #[must_use]
    pub const fn refusal_status(&self, reason: Reason) -> u16 {
        match reason {
            Reason::HandshakeRefused => 403,
            Reason::Method => 405,
            Reason::TooLarge => 413,
            _ => self.bad_signature.status,
        }
    }

    /// Whether a method is judged at all.
    #[must_use]
    pub fn takes(&self, method: &str) -> bool {
        self.methods.contains(&method)
    }
}

/// An answer with fixed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The content type, where the provider wants one.
    pub content_type: Option<&'static str>,
    /// The body. For a bad signature: empty means the public code, as everywhere.
    pub body: &'static str,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u16>,
}

impl Reply {
    /// Nothing but a status.
    pub(super) const fn status(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            body: "",
            retry_after_s: None,
        }
    }

    /// A body with its type.
    pub(super) const fn with(status: u16, content_type: &'static str, body: &'static str) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            body,
            retry_after_s: None,
        }
    }

    /// 503 with a `Retry-After`.
    pub(super) const fn later(retry_after_s: u16) -> Self {
        Self {
            status: 503,
            content_type: None,
            body: "",
            retry_after_s: Some(retry_after_s),
        }
    }
}

/// What answers differ from where nothing else is said.
pub(super) const OK: Reply = Reply::status(200);
pub(super) const LATER: Reply = Reply::later(30);
pub(super) const UNAUTHORIZED: Reply = Reply::status(401);

/// Whom one address serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// One account.
    Tenant,
    /// All accounts that have installed one app: events carry a `tenant_key`.
    App,
    /// Either, as it was set up.
    Both,
}

/// Who makes the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOrigin {
    /// The provider shows it, and it is pasted here.
    Provider,
    /// Anybody may: it is generated here and pasted there.
    Ours,
    /// It comes with the handshake.
    Handshake,
    /// There is none: public keys, addresses, or nothing.
    None,
}

/// What stands behind an accepted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A signature over the body.
    Signed,
    /// A shared value that comes with each request, or a signature that leaves the body out.
    Token,
    /// Nothing about the sender.
    None,
}

/// How far a provider's facts were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The signature holds for vectors out of the provider's own page, package or standard.
    Vectors,
    /// Read in the provider's own page or package; the vectors are computed by us.
    Page,
    /// By nobody.
    No,
}

/// What most descriptors say; each preset writes what differs.
pub(super) const PLAIN: Descriptor = Descriptor {
    name: "",
    title: "",
    methods: &["POST"],
    level: Level::Tenant,
    secret_origin: SecretOrigin::Provider,
    secret: "",
    proof: Proof::Signed,
    signed: "{body}",
    signs_url: false,
    ack: OK,
    retry_please: LATER,
    bad_signature: UNAUTHORIZED,
    deadline_ms: None,
    retry_horizon_s: None,
    retry_count: None,
    disables_on: "",
    checked: Checked::No,
    sources: &[],
    unsure: &[],
    credential_headers: &[],
    signature_headers: &[],
    kept_headers: &[],
};
