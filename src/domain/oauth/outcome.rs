//! What a token endpoint's answer means: tokens, or a refusal of a class that says who has to do something.
//!
//! Guaranteed: nothing that is not wholly understood is a success; a refusal holds no secret (its words are cut, cleaned of
//! control characters, and long opaque runs are taken out, since some servers repeat what they were sent).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::provider::{AnswerForm, Class, IdentityFrom, OAuth, Provider};
use super::{Ended, Secret, TokenSet, strict_json};
use crate::outcome::Cause;
use crate::wire::connection::RevokeResult;

/// Bytes of a token endpoint's answer that are kept: what does not fit is no answer.
pub const TOKEN_CAP: usize = 64 * 1024;

/// How long a request to a provider may take, its body included, in milliseconds.
pub const DEADLINE_MS: u64 = 20_000;

/// Characters of the longest token.
const MAX_TOKEN: usize = 16 * 1024;

/// Ten years: what lives longer does not end, as far as we are concerned.
const MAX_SECONDS: u64 = 315_360_000;

/// Characters of a provider's words that are kept.
const MAX_WORDS: usize = 200;

/// Characters of an error's code that are kept.
const MAX_CODE: usize = 64;

/// Bytes of a value that is learned from an answer.
const MAX_LEARNED: usize = 2048;

/// From here on a run without blanks that has a digit in it may be a token.
const OPAQUE: usize = 20;

/// What Salesforce's answer to a second refresh at once is tried again after.
const BUSY_MS: u64 = 5_000;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What it means.
    pub class: Class,
    /// The provider's code for it.
    #[serde(default)]
    pub error: Option<String>,
    /// The provider's sentence: at most 200 characters without control characters. Not ours: to be escaped where shown.
    #[serde(default)]
    pub words: Option<String>,
    /// Not before so many milliseconds from the answer.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
    /// Whether the request was carried out: whether what it spent (a code, a refresh token) may be spent.
    pub arrived: Arrived,
    /// What was seen.
    pub why: Why,
}

/// Whether a request that failed was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrived {
    /// It never reached who would have carried it out: no name, no TLS, or turned away at the door (429, 503 with a time).
    No,
    /// Nobody knows. It may have been carried out and its answer lost.
    Unknown,
    /// It was read and refused.
    Refused,
}

/// What was seen of an answer that is no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Our own rule keeps from calling that address.
    AddressRefused,
    /// Nobody could be reached: name or TLS.
    Unreachable,
    /// No whole answer.
    NoAnswer,
    /// We stopped (a restart) before the answer was stored.
    Interrupted,
    /// An error in the provider's words.
    Error,
    /// A redirect. Never followed.
    Redirect,
    /// A status that says failure, and no error that could be read.
    Status,
    /// A page for people.
    Page,
    /// A body above its cap.
    TooLarge,
    /// A body of no type that was agreed on.
    ContentType,
    /// A body that is not what its type says, or names a member twice.
    Body,
    /// No `access_token`, or none that could be one.
    AccessToken,
    /// A `token_type` that is not `Bearer`.
    TokenType,
}

impl Why {
    /// What was seen, for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AddressRefused => "the address is one that is not called",
            Self::Unreachable => "the provider could not be reached (name or TLS)",
            Self::NoAnswer => "no whole answer came in time",
            Self::Interrupted => "it was interrupted before its answer was stored",
            Self::Error => "the provider answered with an error",
            Self::Redirect => "the provider answered with a redirect, which is never followed",
            Self::Status => "the provider answered with a status that says failure",
            Self::Page => "a page for people came in place of an answer",
            Self::TooLarge => "the answer is too large",
            Self::ContentType => "the answer is neither JSON nor a form by its Content-Type",
            Self::Body => "the answer's body cannot be read",
            Self::AccessToken => "the answer has no access token that could be one",
            Self::TokenType => "the answer's token_type is not Bearer",
        }
    }
}

impl Refusal {
    /// What is known of a request that was begun and of which nothing was stored: an intent that is found at waking.
    #[must_use]
    pub const fn interrupted() -> Self {
        Self::plain(Class::Lost, Arrived::Unknown, Why::Interrupted)
    }

    const fn plain(class: Class, arrived: Arrived, why: Why) -> Self {
        Self {
            class,
            error: None,
            words: None,
            retry_after_ms: None,
            arrived,
            why,
        }
    }
}

/// Reads the answer to an exchange, a refresh or an assertion.
///
/// # Errors
/// All that is no success.
pub fn read(provider: &Provider, ended: &Ended) -> Result<TokenSet, Refusal> {
    let Some(oauth) = &provider.oauth else {
        return Err(Refusal::plain(Class::BrokenConfig, Arrived::Unknown, Why::Status));
    };
    let answer = Answer::of(ended)?;
    if let Some(refusal) = answer.refused(oauth, ended) {
        return Err(refusal);
    }
    let form = &oauth.answer;
    let Ok(body) = &answer.body else {
        return Err(answer.unreadable(ended));
    };
    let found = object_of(body, form);
    let token = found.and_then(|object| text(object.get("access_token")));
    if !answer.is_success() {
        return Err(answer.failed(ended, token.is_some()));
    }
    let lost = |why| Refusal::plain(Class::Lost, Arrived::Unknown, why);
    let object = found.ok_or_else(|| lost(Why::AccessToken))?;
    let access_token = token
        .filter(|token| is_token(token))
        .ok_or_else(|| lost(Why::AccessToken))?;
    if !is_bearer(object.get("token_type"), form) {
        return Err(lost(Why::TokenType));
    }
    let refresh_token = match object.get("refresh_token") {
        None | Some(Value::Null) => None,
        Some(Value::String(token)) if token.is_empty() => None,
        Some(Value::String(token)) if is_token(token) => Some(Secret(token.clone())),
        // One that cannot be kept is no success: the old one may be spent.
        Some(_) => return Err(lost(Why::Body)),
    };
    let told = form
        .refresh_expires_in
        .as_deref()
        .unwrap_or("refresh_token_expires_in");
    Ok(TokenSet {
        access_token: Secret(access_token.to_owned()),
        refresh_token,
        expires_in: seconds(object.get("expires_in")),
        refresh_expires_in: seconds(member(object, told)),
        scopes: scopes(object.get("scope"), oauth),
        id_token: text(object.get("id_token"))
            .filter(|token| is_token(token))
            .map(|token| Secret(token.to_owned())),
        learned: learned(provider, form, body),
    })
}

/// Where the token's object is.
fn object_of<'a>(body: &'a Value, form: &AnswerForm) -> Option<&'a Value> {
    let of_root = |kind: &String| text(body.get("token_type")) == Some(kind);
    let object = match &form.object {
        Some(at) if !form.root_token_type.as_ref().is_some_and(of_root) => body.pointer(at),
        _ => Some(body),
    };
    object.filter(|value| value.is_object())
}

/// Reads the answer to a revocation (RFC 7009 section 2.2: 200 for a token that is not known too).
#[must_use]
pub fn read_revoke(provider: &Provider, ended: &Ended) -> RevokeResult {
    let Some(oauth) = &provider.oauth else {
        return RevokeResult::Unsupported;
    };
    let gone = oauth.revoke.as_ref().map_or(&[][..], |revoke| &revoke.gone);
    let Ok(answer) = Answer::of(ended) else {
        return RevokeResult::Failed;
    };
    let codes = answer
        .body
        .as_ref()
        .map(|body| Said::in_body(body, &oauth.answer).codes)
        .unwrap_or_default();
    let already = codes
        .iter()
        .any(|code| gone.contains(code) || code == "invalid_token" || code == "token_revoked");
    match answer.refused(oauth, ended) {
        _ if already => RevokeResult::AlreadyGone,
        // A page for people says nothing: a login form comes with 200 too.
        None if answer.is_success() && answer.body != Err(Why::Page) => RevokeResult::Revoked,
        _ if gone.contains(&answer.status.to_string()) => RevokeResult::AlreadyGone,
        _ => RevokeResult::Failed,
    }
}

/// Reads the answer to a call that tells whether a token is good, or whose it is: a success with JSON, and in it `ok`
/// being `true` where the call has such a member. A success without a body is `null`.
///
/// # Errors
/// All that is no success; its class is by the status: 401 is [`Class::DeadGrant`], which here says no more than that the
/// token was refused.
pub fn read_call(ok: Option<&str>, unauthorised: &[String], ended: &Ended) -> Result<Value, Refusal> {
    let answer = Answer::of(ended)?;
    let form = AnswerForm {
        ok: ok.map(str::to_owned),
        ..AnswerForm::default()
    };
    let said = answer.body.as_ref().map(|body| Said::in_body(body, &form));
    let said = said.unwrap_or_default();
    let refusal = |class| {
        let mut refusal = Refusal::plain(class, Arrived::Refused, Why::Error);
        refusal.error = said.code();
        refusal.words = said.words();
        refusal.retry_after_ms = ended.retry_after_ms;
        refusal
    };
    if answer.status == 401 || said.codes.iter().any(|code| unauthorised.contains(code)) {
        return Err(refusal(Class::DeadGrant));
    }
    let limited = answer.is_limited(ended) || said.codes.iter().any(|code| LIMITED.contains(&code.as_str()));
    if limited {
        return Err(refusal(Class::Throttled));
    }
    if !answer.is_success() {
        return Err(match answer.status {
            400..=499 => refusal(Class::BrokenConfig),
            _ => answer.failed(ended, false),
        });
    }
    if ended.body.is_empty() && !ended.cut && ok.is_none() {
        return Ok(Value::Null);
    }
    if said.not_ok {
        return Err(refusal(Class::BrokenConfig));
    }
    answer.body.clone().map_err(|_| answer.unreadable(ended))
}

/// An answer whose status came, and its body as far as it could be read.
struct Answer {
    status: u16,
    body: Result<Value, Why>,
}

impl Answer {
    /// Tells an answer from none.
    fn of(ended: &Ended) -> Result<Self, Refusal> {
        let lost = || Refusal::plain(Class::Lost, Arrived::Unknown, Why::NoAnswer);
        let unreachable = || Refusal::plain(Class::Outage, Arrived::No, Why::Unreachable);
        match (ended.status, ended.cause) {
            (None, Some(Cause::AddressRefused)) => Err(Refusal::plain(
                Class::BrokenConfig,
                Arrived::No,
                Why::AddressRefused,
            )),
            (None, Some(Cause::NameNotFound | Cause::NameOrTls | Cause::Tls)) => Err(unreachable()),
            (None, _) => Err(lost()),
            // The headers came; the body broke off, unless the status alone says enough.
            (
                Some(status),
                Some(Cause::Timeout | Cause::BodyTimeout | Cause::ConnectionLost | Cause::Unknown),
            ) if status != 429 && !is_redirect(status) => Err(lost()),
            (Some(status), _) => Ok(Self {
                status,
                body: body_of(ended),
            }),
        }
    }

    const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Whether the answer says that we are too fast.
    fn is_limited(&self, ended: &Ended) -> bool {
        let words = self
            .body
            .as_ref()
            .map(|body| Said::in_body(body, &AnswerForm::default()));
        let words = words.ok().and_then(|said| said.description).unwrap_or_default();
        match self.status {
            429 => true,
            503 => ended.retry_after_ms.is_some(),
            403 => {
                ended.retry_after_ms.is_some()
                    || ended.header("x-ratelimit-remaining") == Some("0")
                    || words.to_ascii_lowercase().contains("rate limit")
            }
            _ => false,
        }
    }

    /// The refusal, where an error is told: by the body whatever the status is, or by a status that the table names.
    fn refused(&self, oauth: &OAuth, ended: &Ended) -> Option<Refusal> {
        if is_redirect(self.status) {
            return Some(Refusal::plain(
                Class::BrokenConfig,
                Arrived::Refused,
                Why::Redirect,
            ));
        }
        let said = self.body.as_ref().map(|body| Said::in_body(body, &oauth.answer));
        let said = said.unwrap_or_default();
        let limited = self.is_limited(ended);
        if !said.is_error && !limited {
            return None;
        }
        let class = match said.own_class(oauth) {
            Some(class) => class,
            None if limited && self.status != 403 => Class::Throttled,
            None => match said.standard_class() {
                Some(class) => class,
                None if limited => Class::Throttled,
                None => self.class_of_status().unwrap_or(Class::BrokenConfig),
            },
        };
        let arrived = match class {
            Class::Throttled if limited => Arrived::No,
            Class::Lost => Arrived::Unknown,
            Class::Outage if self.status >= 500 || said.codes.iter().any(|code| code == "server_error") => {
                Arrived::Unknown
            }
            _ => Arrived::Refused,
        };
        let busy = class == Class::Throttled && said.codes.iter().any(|code| code == "invalid_grant");
        Some(Refusal {
            class,
            error: said.code(),
            words: said.words(),
            retry_after_ms: ended.retry_after_ms.or(busy.then_some(BUSY_MS)),
            arrived,
            why: if said.is_error { Why::Error } else { Why::Status },
        })
    }

    const fn class_of_status(&self) -> Option<Class> {
        match self.status {
            200..=299 => None,
            401 => Some(Class::BrokenApp),
            408 | 425 | 500.. => Some(Class::Outage),
            429 => Some(Class::Throttled),
            _ => Some(Class::BrokenConfig),
        }
    }

    /// The refusal, where a status says failure and no error is told. With a token in it the answer contradicts itself, and
    /// what was spent may be spent.
    fn failed(&self, ended: &Ended, has_token: bool) -> Refusal {
        let class = self.class_of_status().unwrap_or(Class::Lost);
        let mut refusal = match (class, has_token) {
            (Class::Outage | Class::Lost, _) => Refusal::plain(class, Arrived::Unknown, Why::Status),
            (_, true) => Refusal::plain(Class::Lost, Arrived::Unknown, Why::Status),
            (_, false) => Refusal::plain(class, Arrived::Refused, Why::Status),
        };
        refusal.retry_after_ms = ended.retry_after_ms;
        refusal
    }

    /// The refusal, where the body cannot be read.
    fn unreadable(&self, ended: &Ended) -> Refusal {
        let why = self.body.as_ref().err().copied().unwrap_or(Why::Body);
        let refusal = match (why, self.status) {
            (Why::Page, 404 | 405 | 410) => self.failed(ended, false),
            // Who made the page is not known; after a success nothing is known at all.
            (Why::Page, _) => Refusal::plain(Class::Outage, Arrived::Unknown, Why::Page),
            (_, 200..=299) => Refusal::plain(Class::Lost, Arrived::Unknown, why),
            _ => self.failed(ended, false),
        };
        Refusal {
            retry_after_ms: ended.retry_after_ms,
            ..refusal
        }
    }
}

const fn is_redirect(status: u16) -> bool {
    matches!(status, 300..=399)
}

/// The body, by its type alone.
fn body_of(ended: &Ended) -> Result<Value, Why> {
    let kind = ended.content_type.as_str();
    if matches!(kind, "text/html" | "application/xhtml+xml") {
        return Err(Why::Page);
    }
    if ended.cut || ended.body.len() > TOKEN_CAP {
        return Err(Why::TooLarge);
    }
    if matches!(
        kind,
        "application/json" | "text/json" | "text/javascript" | "application/javascript"
    ) || (kind.starts_with("application/") && kind.ends_with("+json"))
    {
        return strict_json::read(&ended.body).map_err(|_| Why::Body);
    }
    if kind == "application/x-www-form-urlencoded" {
        return form(&ended.body).ok_or(Why::Body);
    }
    Err(Why::ContentType)
}

/// A form as an object of texts; none where a name comes twice or it is no UTF-8.
fn form(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    let mut object = serde_json::Map::new();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
            return None;
        }
        if object
            .insert(name.into_owned(), value.into_owned().into())
            .is_some()
        {
            return None;
        }
    }
    Some(Value::Object(object))
}

/// What a body says of an error.
#[derive(Default)]
struct Said {
    is_error: bool,
    /// A member that must be `true` is not.
    not_ok: bool,
    /// Its codes, the one that says most first.
    codes: Vec<String>,
    description: Option<String>,
}

impl Said {
    fn in_body(body: &Value, form: &AnswerForm) -> Self {
        let mut codes = Vec::new();
        // Microsoft's numbers: its texts are not stable, these are.
        let numbers = body.get("error_codes").and_then(Value::as_array);
        for number in numbers.into_iter().flatten().filter_map(Value::as_u64).take(4) {
            codes.push(format!("AADSTS{number}"));
        }
        let own = form.error.as_deref().and_then(|name| member(body, name));
        let standard = body.get("error");
        for value in [body.get("error_subtype"), body.get("suberror"), own, standard] {
            codes.extend(text(value).filter(|code| !code.is_empty()).map(str::to_owned));
        }
        let nested = standard.filter(|error| error.is_object());
        for name in ["status", "code", "type"] {
            let value = nested.and_then(|error| error.get(name));
            codes.extend(text(value).filter(|code| !code.is_empty()).map(str::to_owned));
        }
        let is_set = |value: Option<&Value>| match value {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        };
        let not_ok = form
            .ok
            .as_deref()
            .is_some_and(|name| member(body, name) != Some(&Value::Bool(true)));
        let description = form
            .error_description
            .as_deref()
            .and_then(|name| text(member(body, name)))
            .or_else(|| text(body.get("error_description")))
            .or_else(|| text(nested.and_then(|error| error.get("message"))))
            .or_else(|| text(body.get("message")))
            .or_else(|| text(body.get("reason")));
        Self {
            is_error: not_ok || is_set(standard) || is_set(own),
            not_ok,
            codes,
            description: description.map(str::to_owned),
        }
    }

    /// What it means by the entry's own words.
    fn own_class(&self, oauth: &OAuth) -> Option<Class> {
        let description = self.description_in_lower_case();
        let own = oauth.words.iter().find(|word| {
            self.codes.contains(&word.error)
                && word
                    .holds
                    .as_ref()
                    .is_none_or(|holds| description.contains(holds))
        });
        own.map(|word| word.class)
    }

    /// What it means by the words that all have.
    fn standard_class(&self) -> Option<Class> {
        // Salesforce, to two refreshes at once: one of them goes through.
        if self
            .description_in_lower_case()
            .contains("already being processed")
        {
            return Some(Class::Throttled);
        }
        self.codes.iter().find_map(|code| standard(code))
    }

    fn description_in_lower_case(&self) -> String {
        self.description.as_deref().unwrap_or_default().to_lowercase()
    }

    /// The code, as far as it is one.
    fn code(&self) -> Option<String> {
        // What all servers have in common tells more than a number.
        let named = self.codes.iter().find(|code| !code.starts_with("AADSTS"));
        let code = named.or(self.codes.first())?;
        let clean: String = code
            .chars()
            .filter(char::is_ascii_graphic)
            .take(MAX_CODE)
            .collect();
        (!clean.is_empty()).then(|| without_opaque(&clean, MAX_CODE))
    }

    fn words(&self) -> Option<String> {
        self.description.as_deref().and_then(shown)
    }
}

/// Codes that say that we are too fast.
const LIMITED: [&str; 8] = [
    "ratelimited",
    "rate_limited",
    "rate_limit_exceeded",
    "RATELIMITED",
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "RESOURCE_EXHAUSTED",
    "slow_down",
];

/// What a code means that is the same wherever it stands: RFC 6749 section 5.2, `OpenID` Connect Core section 3.1.2.6, and
/// codes of one provider that no other one has.
fn standard(code: &str) -> Option<Class> {
    if LIMITED.contains(&code) {
        return Some(Class::Throttled);
    }
    Some(match code {
        // Before `invalid_grant`, beside which they stand.
        "interaction_required"
        | "consent_required"
        | "login_required"
        | "account_selection_required"
        | "invalid_rapt"
        | "AADSTS50076"
        | "AADSTS50079"
        | "AADSTS65001" => Class::PersonNeeded,
        "invalid_grant"
        | "bad_refresh_token"
        | "bad_verification_code"
        | "invalid_refresh_token"
        | "token_revoked"
        | "account_inactive"
        | "invalid_code"
        | "code_already_used" => Class::DeadGrant,
        "AADSTS7000215"
        | "AADSTS7000222"
        | "AADSTS700016"
        | "invalid_client"
        | "unauthorized_client"
        | "incorrect_client_credentials"
        | "bad_client_secret"
        | "invalid_client_id" => Class::BrokenApp,
        "invalid_scope"
        | "unsupported_grant_type"
        | "invalid_request"
        | "redirect_uri_mismatch"
        | "bad_redirect_uri"
        | "invalid_target" => Class::BrokenConfig,
        "temporarily_unavailable" | "server_error" => Class::Outage,
        _ => return None,
    })
}

/// A provider's words, as they may be kept: on one line, at most 200 characters, without what could be a secret.
#[must_use]
pub fn shown(words: &str) -> Option<String> {
    let one_line: String = words
        .chars()
        .take(4 * MAX_WORDS)
        .map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c })
        .collect();
    let clean = without_opaque(&one_line, MAX_WORDS);
    (!clean.is_empty()).then_some(clean)
}

/// Characters that turn the direction of a line, or that nobody sees.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The words with single blanks, each long run that has a digit in it taken out.
fn without_opaque(text: &str, most: usize) -> String {
    let is_part =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | '/' | '=' | '%');
    let mut out = String::new();
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        let mut run = String::new();
        let flush = |run: &mut String, out: &mut String| {
            if run.len() >= OPAQUE && run.bytes().any(|byte| byte.is_ascii_digit()) {
                out.push('…');
            } else {
                out.push_str(run);
            }
            run.clear();
        };
        for c in word.chars() {
            if is_part(c) {
                run.push(c);
            } else {
                flush(&mut run, &mut out);
                out.push(c);
            }
        }
        flush(&mut run, &mut out);
    }
    out.chars().take(most).collect()
}

/// A member by its name, or by a JSON pointer.
fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    if name.starts_with('/') {
        object.pointer(name)
    } else {
        object.get(name)
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

/// 1 B to 16 KB of printable ASCII without blanks.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether it is spent as a Bearer (RFC 6750). What needs a proof of possession never is.
fn is_bearer(kind: Option<&Value>, form: &AnswerForm) -> bool {
    match kind {
        None | Some(Value::Null) => form.token_type_optional,
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("bearer") => true,
        Some(Value::String(kind)) => {
            let bound = ["mac", "dpop", "pop"]
                .iter()
                .any(|bound| kind.eq_ignore_ascii_case(bound));
            form.token_type_optional && !bound
        }
        Some(_) => false,
    }
}

/// A whole number of seconds or its digits, one second to ten years; anything else is as if it were not there.
fn seconds(value: Option<&Value>) -> Option<u64> {
    let seconds = match value? {
        Value::Number(number) => number.as_u64()?,
        Value::String(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()?
        }
        _ => return None,
    };
    (1..=MAX_SECONDS).contains(&seconds).then_some(seconds)
}

/// The scopes granted. No scope holds a blank (RFC 6749 section 3.3), so blanks part them beside what the entry says.
fn scopes(value: Option<&Value>, oauth: &OAuth) -> Option<Vec<String>> {
    let separator = oauth
        .answer
        .scope_separator
        .as_ref()
        .unwrap_or(&oauth.scope_separator);
    let mut scopes = Vec::new();
    let mut add = |text: &str| {
        for part in text.split_whitespace() {
            let alone = separator.is_empty().then_some(part);
            let parted = (!separator.is_empty()).then(|| part.split(separator.as_str()));
            for scope in alone.into_iter().chain(parted.into_iter().flatten()) {
                if !scope.is_empty() && !scopes.iter().any(|known| known == scope) {
                    scopes.push(scope.to_owned());
                }
            }
        }
    };
    match value? {
        Value::String(text) => add(text),
        Value::Array(list) => list.iter().filter_map(Value::as_str).for_each(add),
        _ => return None,
    }
    Some(scopes)
}

/// What the entry wants kept: by name, and by its pointer what the account is told by.
fn learned(provider: &Provider, form: &AnswerForm, body: &Value) -> BTreeMap<String, String> {
    let mut learned = BTreeMap::new();
    let mut keep = |name: &str, pointer: &str| {
        let value = body.pointer(pointer).and_then(plain_text);
        if let Some(value) = value.filter(|value| value.len() <= MAX_LEARNED) {
            learned.insert(name.to_owned(), value);
        }
    };
    for (name, pointer) in &form.learn {
        keep(name, pointer);
    }
    if let Some(identity) = provider
        .identity
        .as_ref()
        .filter(|identity| identity.from == IdentityFrom::Answer)
    {
        for pointer in identity
            .key
            .iter()
            .chain(&identity.label)
            .chain(&identity.routing)
        {
            keep(pointer, pointer);
        }
    }
    learned
}

/// A text or a number as its text.
pub(super) fn plain_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() && !text.chars().any(char::is_control) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests;
