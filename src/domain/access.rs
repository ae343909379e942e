//! Who may do what: operator tokens.
//!
//! A token is a JWT under HMAC-SHA256, in the form that Svix's server and clients use: `sub` is an organisation, or a
//! tenant with its organisation in `org`. No other algorithm is taken, whatever a token's header asks for. What a token
//! says is believed only when signature, time and claims all hold.
//!
//! A token that may use only part of its authority ([`Grant`]) is of another kind: its header's `typ` says which, and it
//! is signed with a key that is derived for that kind. So none passes for another kind, and a release that does not know
//! the kind refuses it.

mod grant;

pub use grant::{Capability, Grant, Need, Portal, Scope};

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use hkdf::Hkdf;
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{AlgorithmExt as _, Claims, Header, UntrustedToken, ValidationError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::digest;
use crate::id::{OrganisationId, TenantId};
use crate::time::Millis;

/// Clocks differ: by this much `exp` and `nbf` are stretched, in seconds.
const LEEWAY: i64 = 5;

/// The shortest secret, in characters.
const MIN_SECRET: usize = 16;

/// What a valid token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Everything of one organisation.
    Organisation(OrganisationId),
    /// Everything of one tenant. Whether the tenant is the organisation's is known to the tenant's object only.
    Tenant {
        /// Whose tenant, as the token says.
        organisation: OrganisationId,
        /// The tenant.
        tenant: TenantId,
    },
}

/// A token that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// For whom it is.
    pub authority: Authority,
    /// How much of that it may use.
    pub grant: Grant,
    /// When it was issued; 0: it does not say.
    pub issued_at: Millis,
    /// When it ends; none: it does not.
    pub expires_at: Option<Millis>,
    /// The session that it was issued for.
    pub session: Option<String>,
    /// What it is known by where tokens are revoked: a digest of all that is signed.
    pub name: String,
}

/// A token that is to be issued, for part of what a tenant's authority allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restricted<'a> {
    /// Whose tenant.
    pub organisation: OrganisationId,
    /// The tenant.
    pub tenant: TenantId,
    /// How much it may use.
    pub grant: &'a Grant,
    /// Random: two tokens are never alike.
    pub id: &'a str,
    /// The session that it is issued for.
    pub session: Option<&'a str>,
}

/// The secrets that tokens are signed with.
#[derive(Clone)]
pub struct JwtKeys {
    /// Signs, and serves tokens without `kid`.
    first: JwtKey,
    others: Vec<JwtKey>,
}

#[derive(Clone)]
struct JwtKey {
    kid: Option<String>,
    key: Hs256Key,
    portal: Hs256Key,
    scoped: Hs256Key,
    one_time: Hs256Key,
}

/// Which key a token is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Portal,
    Scoped,
    OneTime,
}

impl Kind {
    /// Any other `typ` is left alone, as Svix's server leaves it.
    fn of(token_type: Option<&str>) -> Self {
        let named = |kind: &Self| token_type == Some(kind.token_type());
        let restricted = [Self::Portal, Self::Scoped, Self::OneTime];
        restricted.into_iter().find(named).unwrap_or(Self::Whole)
    }

    const fn token_type(self) -> &'static str {
        match self {
            Self::Whole => "JWT",
            Self::Portal => "portal+jwt",
            Self::Scoped => "scoped+jwt",
            Self::OneTime => "once+jwt",
        }
    }
}

/// Why a text gives no keys. Never says what was in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwtKeys {
    /// Begins with `[` and is no list of keys.
    #[error(
        "a list of token secrets is JSON of the form [{{\"kid\": \"2\", \"secret\": \"…\"}}, …] (see line {line}, column {column})"
    )]
    Form {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault.
        column: usize,
    },
    /// A list without a key.
    #[error("the list of token secrets is empty; make a secret with `openssl rand -base64 32`")]
    Empty,
    /// A secret that can be guessed.
    #[error("a token secret has at least 16 characters; make one with `openssl rand -base64 32`")]
    Short,
    /// A blank or a line end that got in with the secret.
    #[error(
        "a token secret begins or ends with a blank or a line end; make one with `openssl rand -base64 32`"
    )]
    Blank,
    /// A key without a name.
    #[error("each token secret in a list has a `kid` that is not empty")]
    NoKid,
    /// One name for two keys.
    #[error("two token secrets have the `kid` {0:?}: a new secret takes a new one")]
    DuplicateKid(String),
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Not a JWT at all.
    #[error("the token is not a JWT")]
    Malformed,
    /// An algorithm or an extension that is not taken.
    #[error("the token must be signed with HS256, without extensions")]
    Algorithm,
    /// A `kid` that names none of our keys.
    #[error("the token names a key that is not known")]
    UnknownKey,
    /// Signed with another secret, or altered.
    #[error("the token's signature does not hold")]
    Signature,
    /// Past its `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before its `nbf`.
    #[error("the token is not valid yet")]
    NotYet,
    /// Claims that name nobody.
    #[error(
        "the token's claims must be `sub` with an organisation, or `sub` with an application and `org` with its organisation"
    )]
    Claims,
}

/// A token could not be written: its end is no date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token's life is too long")]
pub struct CannotIssue;

impl JwtKeys {
    /// Reads one secret, or a list `[{"kid": "2", "secret": "…"}, …]`. The secret is the text itself, not base64 of it.
    pub fn parse(text: &str) -> Result<Self, InvalidJwtKeys> {
        if !text.trim_start().starts_with('[') {
            let first = JwtKey::new(None, text)?;
            return Ok(Self {
                first,
                others: Vec::new(),
            });
        }
        // The parser's own words may quote the secret.
        let entries: Vec<Entry> = serde_json::from_str(text).map_err(|error| InvalidJwtKeys::Form {
            line: error.line(),
            column: error.column(),
        })?;
        let mut entries = entries.into_iter().map(|entry| {
            if entry.kid.is_empty() {
                return Err(InvalidJwtKeys::NoKid);
            }
            JwtKey::new(Some(entry.kid), &entry.secret)
        });
        let mut keys = Self {
            first: entries.next().ok_or(InvalidJwtKeys::Empty)??,
            others: Vec::new(),
        };
        for key in entries {
            let key = key?;
            if let Some(kid) = key.kid.as_deref().filter(|kid| keys.find(kid).is_some()) {
                return Err(InvalidJwtKeys::DuplicateKid(kid.to_owned()));
            }
            keys.others.push(key);
        }
        Ok(keys)
    }

    /// What the token allows at `now`. A token without `exp` does not expire; one whose `exp` cannot be read is refused.
    ///
    /// A token that names a key is checked with that key alone.
    pub fn verify(&self, text: &str, now: Millis) -> Result<Token, InvalidToken> {
        let token = UntrustedToken::<Extensions>::try_from(text).map_err(|_| InvalidToken::Malformed)?;
        if token.algorithm() != "HS256" || token.header().other_fields.crit.is_some() {
            return Err(InvalidToken::Algorithm);
        }
        let key = match token.header().key_id.as_deref() {
            None => &self.first,
            Some(kid) => self.find(kid).ok_or(InvalidToken::UnknownKey)?,
        };
        let kind = Kind::of(token.header().token_type.as_deref());
        let key = key.of(kind);
        // The signature stands behind the last point: what is before it cannot be written in another way.
        let signed = text.rsplit_once('.').map_or(text, |(signed, _)| signed);
        let name = digest::of(signed.as_bytes());
        if kind == Kind::Whole {
            let claims = checked::<Subject>(&token, key, now)?;
            return Ok(Token {
                authority: claims.custom.authority()?,
                grant: Grant::Whole,
                issued_at: claims.issued_at.and_then(millis).unwrap_or_default(),
                expires_at: claims.expiration.and_then(millis),
                session: None,
                name,
            });
        }
        let claims = checked::<RestrictedClaims>(&token, key, now)?;
        let expires_at = claims.expiration.and_then(millis);
        let custom = claims.custom;
        let grant = custom.grant(kind)?;
        Ok(Token {
            authority: custom.authority()?,
            grant,
            issued_at: custom.ims,
            expires_at,
            session: custom.sid,
            name,
        })
    }

    /// A token for `authority` that is valid from `now` on for `ttl_seconds`, signed with the first key.
    pub fn issue(&self, authority: &Authority, now: Millis, ttl_seconds: u64) -> Result<String, CannotIssue> {
        self.sign(Kind::Whole, Subject::of(authority), now, ttl_seconds)
    }

    /// A token for part of what a tenant's authority allows; [`Grant::Whole`] is none.
    pub fn issue_restricted(
        &self,
        token: &Restricted<'_>,
        now: Millis,
        ttl_seconds: u64,
    ) -> Result<String, CannotIssue> {
        let (kind, portal, scopes) = match token.grant {
            Grant::Whole => return Err(CannotIssue),
            Grant::Portal(portal) => (Kind::Portal, Some(portal), None),
            Grant::OneTime(portal) => (Kind::OneTime, Some(portal), None),
            Grant::Scoped(scopes) => (Kind::Scoped, None, Some(scopes)),
        };
        let words = |capability: &Capability| capability.as_str().to_owned();
        let claims = RestrictedClaims {
            sub: token.tenant.to_string(),
            org: token.organisation,
            jti: token.id.to_owned(),
            ims: now,
            sid: token.session.map(str::to_owned),
            cap: portal.map(|portal| portal.capabilities.iter().map(words).collect()),
            flags: portal.map(|portal| portal.feature_flags.clone()),
            scp: scopes.map(|scopes| scopes.iter().map(|scope| scope.as_str().to_owned()).collect()),
        };
        self.sign(kind, claims, now, ttl_seconds)
    }

    fn sign<T: Serialize>(
        &self,
        kind: Kind,
        claims: T,
        now: Millis,
        ttl_seconds: u64,
    ) -> Result<String, CannotIssue> {
        let date = |seconds: u64| {
            let seconds = i64::try_from(seconds).map_err(|_| CannotIssue)?;
            DateTime::<Utc>::from_timestamp(seconds, 0).ok_or(CannotIssue)
        };
        let mut claims = Claims::new(claims);
        claims.issued_at = Some(date(now.seconds())?);
        claims.expiration = Some(date(now.seconds().saturating_add(ttl_seconds))?);
        let mut header = Header::empty().with_token_type(kind.token_type());
        header.key_id.clone_from(&self.first.kid);
        Hs256
            .token(&header, &claims, self.first.of(kind))
            .map_err(|_| CannotIssue)
    }

    fn find(&self, kid: &str) -> Option<&JwtKey> {
        std::iter::once(&self.first)
            .chain(&self.others)
            .find(|key| key.kid.as_deref() == Some(kid))
    }
}

/// Names only: the secrets stay out of logs.
impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<_> = std::iter::once(&self.first)
            .chain(&self.others)
            .map(|key| key.kid.as_deref())
            .collect();
        write!(f, "JwtKeys({kids:?})")
    }
}

impl JwtKey {
    fn new(kid: Option<String>, secret: &str) -> Result<Self, InvalidJwtKeys> {
        if secret.chars().count() < MIN_SECRET {
            return Err(InvalidJwtKeys::Short);
        }
        if secret.trim() != secret {
            return Err(InvalidJwtKeys::Blank);
        }
        let derived = |kind: Kind| {
            let mut bytes = [0; 32];
            Hkdf::<Sha256>::new(Some(b"postern/token/v1"), secret.as_bytes())
                .expand(kind.token_type().as_bytes(), &mut bytes)
                .map_err(|_| InvalidJwtKeys::Short) // 32 bytes are never too many to derive
                .map(|()| Hs256Key::new(bytes))
        };
        Ok(Self {
            kid,
            key: Hs256Key::new(secret),
            portal: derived(Kind::Portal)?,
            scoped: derived(Kind::Scoped)?,
            one_time: derived(Kind::OneTime)?,
        })
    }

    const fn of(&self, kind: Kind) -> &Hs256Key {
        match kind {
            Kind::Whole => &self.key,
            Kind::Portal => &self.portal,
            Kind::Scoped => &self.scoped,
            Kind::OneTime => &self.one_time,
        }
    }
}

/// The claims of a token whose signature and times hold.
fn checked<T: Serialize + DeserializeOwned>(
    token: &UntrustedToken<'_, Extensions>,
    key: &Hs256Key,
    now: Millis,
) -> Result<Claims<T>, InvalidToken> {
    let token = Hs256
        .validator::<T>(key)
        .validate(token)
        .map_err(|error| match error {
            ValidationError::MalformedClaims(_) => InvalidToken::Claims,
            _ => InvalidToken::Signature,
        })?;
    check_time(token.claims(), now)?;
    let (_, claims) = token.into_parts();
    Ok(claims)
}

/// `None` for a date before 1970.
fn millis(date: DateTime<Utc>) -> Option<Millis> {
    u64::try_from(date.timestamp_millis()).ok().map(Millis)
}

/// One key in the list. Has no `Debug`: it is a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kid: String,
    secret: String,
}

/// `crit` lists what a reader must understand, and we understand no extension. Any value counts, `null` too.
#[derive(Clone, Deserialize)]
struct Extensions {
    #[serde(default, deserialize_with = "present")]
    crit: Option<()>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<()>, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| Some(()))
}

/// The claims that say for whom a token is. Others (`iss`, `aud` …) are left alone, as Svix's server leaves them.
#[derive(Serialize, Deserialize)]
struct Subject {
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    org: Option<OrganisationId>,
}

impl Subject {
    fn of(authority: &Authority) -> Self {
        match authority {
            Authority::Organisation(organisation) => Self {
                sub: organisation.to_string(),
                org: None,
            },
            Authority::Tenant { organisation, tenant } => Self {
                sub: tenant.to_string(),
                org: Some(*organisation),
            },
        }
    }

    fn authority(&self) -> Result<Authority, InvalidToken> {
        if let Ok(organisation) = self.sub.parse::<OrganisationId>() {
            return match self.org {
                Some(other) if other != organisation => Err(InvalidToken::Claims),
                _ => Ok(Authority::Organisation(organisation)),
            };
        }
        match (self.sub.parse::<TenantId>(), self.org) {
            (Ok(tenant), Some(organisation)) => Ok(Authority::Tenant { organisation, tenant }),
            _ => Err(InvalidToken::Claims),
        }
    }
}

/// The claims of a token that may use only part of a tenant's authority. Ours alone: read strictly, but for words of a
/// later release, which open nothing here.
#[derive(Serialize, Deserialize)]
struct RestrictedClaims {
    sub: String,
    org: OrganisationId,
    jti: String,
    /// `iat` in milliseconds: who expires all tokens and issues one in the same second means the ones before.
    ims: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cap: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flags: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scp: Option<Vec<String>>,
}

impl RestrictedClaims {
    fn authority(&self) -> Result<Authority, InvalidToken> {
        let tenant = self.sub.parse().map_err(|_| InvalidToken::Claims)?;
        Ok(Authority::Tenant {
            organisation: self.org,
            tenant,
        })
    }

    fn grant(&self, kind: Kind) -> Result<Grant, InvalidToken> {
        let named = |word: &str| Capability::ALL.into_iter().find(|one| one.as_str() == word);
        let portal = || Portal {
            capabilities: self.cap.iter().flatten().filter_map(|word| named(word)).collect(),
            feature_flags: self.flags.clone().unwrap_or_default(),
        };
        let scope = |word: &String| Scope::ALL.into_iter().find(|one| one.as_str() == word);
        match kind {
            Kind::Whole => Err(InvalidToken::Claims),
            Kind::Portal => Ok(Grant::Portal(portal())),
            Kind::OneTime => Ok(Grant::OneTime(portal())),
            Kind::Scoped => {
                let scopes = self.scp.iter().flatten().filter_map(scope);
                Ok(Grant::Scoped(scopes.collect::<BTreeSet<_>>()))
            }
        }
    }
}

/// Compared as numbers: the library's own check subtracts from a date, which a date at the edge of the calendar does
/// not survive.
fn check_time<T>(claims: &Claims<T>, now: Millis) -> Result<(), InvalidToken> {
    let now = i64::try_from(now.seconds()).unwrap_or(i64::MAX);
    let seconds = |date: DateTime<Utc>| date.timestamp();
    if claims
        .expiration
        .map(seconds)
        .is_some_and(|end| now >= end.saturating_add(LEEWAY))
    {
        return Err(InvalidToken::Expired);
    }
    if claims
        .not_before
        .map(seconds)
        .is_some_and(|start| now < start.saturating_sub(LEEWAY))
    {
        return Err(InvalidToken::NotYet);
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, Mac as _};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use sha2::{Sha256, Sha512};

    use super::*;

    const SECRET: &str = "a secret of the tests";
    const OTHER: &str = "another secret of the tests";
    const NOW: Millis = Millis(1_700_000_000_000);
    const ORGANISATION: &str = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
    const TENANT: &str = "app_23rb8YdGqMT0qIzpgGwdXfHirMu";

    impl JwtKeys {
        fn authority_of(&self, token: &str, now: Millis) -> Result<Authority, InvalidToken> {
            self.verify(token, now).map(|token| token.authority)
        }
    }

    fn organisation() -> Authority {
        Authority::Organisation(ORGANISATION.parse().unwrap())
    }

    fn tenant() -> Authority {
        Authority::Tenant {
            organisation: ORGANISATION.parse().unwrap(),
            tenant: TENANT.parse().unwrap(),
        }
    }

    /// Two keys; the one named `b` is the newer.
    fn two_keys() -> JwtKeys {
        let text = json!([{"kid": "b", "secret": OTHER}, {"kid": "a", "secret": SECRET}]);
        JwtKeys::parse(&text.to_string()).unwrap()
    }

    fn one_key() -> JwtKeys {
        JwtKeys::parse(SECRET).unwrap()
    }

    fn base64(part: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(part)
    }

    fn unsigned(header: &str, claims: &str) -> String {
        format!("{}.{}", base64(header), base64(claims))
    }

    /// A token made without the library, so that it can be anything.
    fn signed(header: &str, claims: &str, secret: &str) -> String {
        let signed = unsigned(header, claims);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", base64(mac.finalize().into_bytes()))
    }

    fn verified(claims: &str) -> Result<Authority, InvalidToken> {
        one_key().authority_of(&signed(r#"{"alg":"HS256","typ":"JWT"}"#, claims, SECRET), NOW)
    }

    fn verified_with(more: &Value) -> Result<Authority, InvalidToken> {
        let mut claims = json!({"sub": ORGANISATION});
        claims
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        verified(&claims.to_string())
    }

    #[test]
    fn a_token_for_an_organisation_and_one_for_a_tenant_are_believed() {
        assert_eq!(verified_with(&json!({})), Ok(organisation()));
        assert_eq!(verified_with(&json!({"org": ORGANISATION})), Ok(organisation()));
        let claims = json!({"sub": TENANT, "org": ORGANISATION});
        assert_eq!(verified(&claims.to_string()), Ok(tenant()));
    }

    #[test]
    fn a_token_as_a_stock_svix_server_makes_it_is_believed() {
        let ten_years = json!({
            "iat": 1_699_999_999, "exp": 2_015_532_799, "nbf": 1_699_999_999, "iss": "svix-server",
        });
        assert_eq!(verified_with(&ten_years), Ok(organisation()));
    }

    #[test]
    fn claims_that_name_nobody_are_refused() {
        for claims in [
            json!({}),
            json!({"org": ORGANISATION}),
            json!({"sub": TENANT}),
            json!({"sub": TENANT, "org": null}),
            json!({"sub": TENANT, "org": "org_short"}),
            json!({"sub": TENANT, "org": TENANT}),
            json!({"sub": ORGANISATION, "org": "org_33rb8YdGqMT0qIzpgGwdXfHirMu"}),
            json!({"sub": ORGANISATION, "org": 5}),
            json!({"sub": "", "org": ORGANISATION}),
            json!({"sub": format!("{ORGANISATION} ")}),
            json!({"sub": [ORGANISATION]}),
            json!({"sub": "user_23rb8YdGqMT0qIzpgGwdXfHirMu"}),
            json!([ORGANISATION]),
        ] {
            assert_eq!(
                verified(&claims.to_string()),
                Err(InvalidToken::Claims),
                "{claims}"
            );
        }
        let twice = format!(r#"{{"sub":"{ORGANISATION}","sub":"{ORGANISATION}"}}"#);
        assert_eq!(verified(&twice), Err(InvalidToken::Claims));
    }

    #[test]
    fn exp_is_honoured_with_five_seconds_of_leeway() {
        let at = |seconds: i64| verified_with(&json!({"exp": 1_700_000_000 + seconds}));
        assert_eq!(at(1), Ok(organisation()));
        assert_eq!(at(-4), Ok(organisation()));
        assert_eq!(at(-5), Err(InvalidToken::Expired));
        assert_eq!(at(-1_700_000_000), Err(InvalidToken::Expired));
    }

    #[test]
    fn nbf_is_honoured_with_five_seconds_of_leeway() {
        let at = |seconds: i64| verified_with(&json!({"nbf": 1_700_000_000 + seconds}));
        assert_eq!(at(0), Ok(organisation()));
        assert_eq!(at(5), Ok(organisation()));
        assert_eq!(at(6), Err(InvalidToken::NotYet));
    }

    #[test]
    fn times_that_are_no_dates_are_refused_and_the_first_dates_of_the_calendar_do_no_harm() {
        for time in [
            json!("1700009999"),
            json!(null),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(1e300),
        ] {
            assert_eq!(
                verified_with(&json!({"exp": time})),
                Err(InvalidToken::Claims),
                "{time}"
            );
            assert_eq!(
                verified_with(&json!({"nbf": time})),
                Err(InvalidToken::Claims),
                "{time}"
            );
        }
        let first = DateTime::<Utc>::MIN_UTC.timestamp();
        assert_eq!(verified_with(&json!({"nbf": first})), Ok(organisation()));
        assert_eq!(verified_with(&json!({"exp": first})), Err(InvalidToken::Expired));
    }

    #[test]
    fn no_other_algorithm_is_taken() {
        let claims = json!({"sub": ORGANISATION}).to_string();
        for alg in ["none", "None", "RS256", "HS384", "HS512", "EdDSA", "hs256", ""] {
            let header = json!({"alg": alg, "typ": "JWT"}).to_string();
            // Even with a signature that would hold under HS256.
            for token in [signed(&header, &claims, SECRET), unsigned(&header, &claims) + "."] {
                assert_eq!(
                    one_key().authority_of(&token, NOW),
                    Err(InvalidToken::Algorithm),
                    "{alg}"
                );
            }
        }
    }

    #[test]
    fn a_true_hs512_token_under_our_secret_is_refused() {
        let signed = unsigned(r#"{"alg":"HS512"}"#, &json!({"sub": ORGANISATION}).to_string());
        let mut mac = Hmac::<Sha512>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        let token = format!("{signed}.{}", base64(mac.finalize().into_bytes()));
        assert_eq!(one_key().authority_of(&token, NOW), Err(InvalidToken::Algorithm));
    }

    #[test]
    fn an_extension_that_must_be_understood_is_refused() {
        let claims = json!({"sub": ORGANISATION}).to_string();
        for crit in ["[\"b64\"]", "[]", "null", "\"b64\""] {
            let header = format!(r#"{{"alg":"HS256","crit":{crit},"b64":false}}"#);
            let verdict = one_key().authority_of(&signed(&header, &claims, SECRET), NOW);
            assert_eq!(verdict, Err(InvalidToken::Algorithm), "{crit}");
        }
    }

    #[test]
    fn a_missing_short_or_foreign_signature_is_refused() {
        let header = r#"{"alg":"HS256"}"#;
        let claims = json!({"sub": ORGANISATION}).to_string();
        let good = signed(header, &claims, SECRET);
        assert_eq!(one_key().authority_of(&good, NOW), Ok(organisation()));
        let short = &good[..good.len() - 3];
        for token in [
            short,
            &(unsigned(header, &claims) + "."),
            &signed(header, &claims, OTHER),
        ] {
            assert_eq!(
                one_key().authority_of(token, NOW),
                Err(InvalidToken::Signature),
                "{token}"
            );
        }
    }

    #[test]
    fn kid_chooses_the_key_and_nothing_else_is_tried() {
        let claims = json!({"sub": ORGANISATION}).to_string();
        let verdict = |keys: &JwtKeys, header: Value, secret| {
            keys.authority_of(&signed(&header.to_string(), &claims, secret), NOW)
        };
        let named = |kid: &str| json!({"alg": "HS256", "kid": kid});
        let keys = two_keys();
        assert_eq!(verdict(&keys, named("a"), SECRET), Ok(organisation()));
        assert_eq!(verdict(&keys, named("b"), OTHER), Ok(organisation()));
        assert_eq!(verdict(&keys, named("a"), OTHER), Err(InvalidToken::Signature));
        assert_eq!(verdict(&keys, named("c"), SECRET), Err(InvalidToken::UnknownKey));
        assert_eq!(verdict(&keys, named(""), SECRET), Err(InvalidToken::UnknownKey));
        // Without a name the first key counts, and it alone.
        assert_eq!(verdict(&keys, json!({"alg": "HS256"}), OTHER), Ok(organisation()));
        assert_eq!(
            verdict(&keys, json!({"alg": "HS256"}), SECRET),
            Err(InvalidToken::Signature)
        );
        assert_eq!(
            verdict(&one_key(), named("a"), SECRET),
            Err(InvalidToken::UnknownKey)
        );
        assert_eq!(
            verdict(&keys, json!({"alg": "HS256", "kid": 1}), OTHER),
            Err(InvalidToken::Malformed)
        );
    }

    #[test]
    fn what_is_no_jwt_is_malformed() {
        let good = one_key().issue(&organisation(), NOW, 60).unwrap();
        for token in [
            "",
            ".",
            "..",
            "a.b.c",
            "é.é.é",
            &format!("{good}."),
            &format!("{good}="),
            &format!(" {good}"),
            &format!("Bearer {good}"),
        ] {
            assert_eq!(
                one_key().authority_of(token, NOW),
                Err(InvalidToken::Malformed),
                "{token}"
            );
        }
    }

    #[test]
    fn an_issued_token_names_its_key_and_ends_with_its_time() {
        let token = two_keys().issue(&tenant(), NOW, 60).unwrap();
        let part = |index: usize| {
            let text = URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap());
            serde_json::from_slice::<Value>(&text.unwrap()).unwrap()
        };
        assert_eq!(part(0), json!({"alg": "HS256", "typ": "JWT", "kid": "b"}));
        let claims = json!({"sub": TENANT, "org": ORGANISATION, "iat": 1_700_000_000, "exp": 1_700_000_060});
        assert_eq!(part(1), claims);
        assert_eq!(two_keys().authority_of(&token, NOW.plus(60_000)), Ok(tenant()));
        assert_eq!(
            two_keys().authority_of(&token, NOW.plus(65_000)),
            Err(InvalidToken::Expired)
        );
    }

    fn restricted(grant: &Grant) -> String {
        let token = Restricted {
            organisation: ORGANISATION.parse().unwrap(),
            tenant: TENANT.parse().unwrap(),
            grant,
            id: "an id",
            session: Some("one"),
        };
        one_key().issue_restricted(&token, NOW, 60).unwrap()
    }

    fn grants() -> [Grant; 3] {
        let portal = Portal {
            capabilities: [Capability::ViewBase, Capability::CreateAttempts].into(),
            feature_flags: vec!["beta".to_owned()],
        };
        [
            Grant::Portal(portal.clone()),
            Grant::OneTime(portal),
            Grant::Scoped([Scope::MessageCreate].into()),
        ]
    }

    #[test]
    fn a_restricted_token_says_what_it_was_issued_for() {
        for grant in grants() {
            let token = one_key().verify(&restricted(&grant), NOW).unwrap();
            assert_eq!((token.authority, &token.grant), (tenant(), &grant));
            assert_eq!(token.session.as_deref(), Some("one"));
            assert_eq!((token.issued_at, token.expires_at), (NOW, Some(NOW.plus(60_000))));
        }
    }

    #[test]
    fn a_token_of_one_kind_passes_for_none_of_another() {
        for grant in grants() {
            let token = restricted(&grant);
            let claims = token.split('.').nth(1).unwrap();
            let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
            let own = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
            let own: Value = serde_json::from_slice(&own).unwrap();
            for kind in ["JWT", "portal+jwt", "scoped+jwt", "once+jwt"] {
                if own["typ"] == kind {
                    continue;
                }
                let header = json!({"alg": "HS256", "typ": kind}).to_string();
                let signature = token.rsplit_once('.').unwrap().1;
                let forged = format!("{}.{signature}", unsigned(&header, &claims));
                let plain = signed(&own.to_string(), &claims, SECRET);
                for token in [forged, plain] {
                    assert_eq!(
                        one_key().verify(&token, NOW),
                        Err(InvalidToken::Signature),
                        "{kind}"
                    );
                }
            }
        }
    }

    #[test]
    fn two_tokens_are_never_known_by_one_name_and_one_keeps_its_name() {
        let [portal, one_time, scoped] = grants().map(|grant| restricted(&grant));
        let name = |token: &str| one_key().verify(token, NOW).unwrap().name;
        assert_eq!(name(&portal), name(&portal));
        assert_ne!(name(&portal), name(&one_time));
        assert_ne!(name(&portal), name(&scoped));
    }

    #[test]
    fn a_whole_token_is_not_issued_as_a_restricted_one() {
        let token = Restricted {
            organisation: ORGANISATION.parse().unwrap(),
            tenant: TENANT.parse().unwrap(),
            grant: &Grant::Whole,
            id: "an id",
            session: None,
        };
        assert_eq!(one_key().issue_restricted(&token, NOW, 60), Err(CannotIssue));
    }

    #[test]
    fn a_token_without_end_is_not_issued() {
        assert_eq!(one_key().issue(&organisation(), NOW, u64::MAX), Err(CannotIssue));
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_and_the_error_says_how_to_make_one() {
        for text in [
            "",
            "short",
            "fifteen letters",
            r#"[{"kid":"1","secret":""}]"#,
            "[]",
        ] {
            let error = JwtKeys::parse(text).unwrap_err().to_string();
            assert!(error.contains("openssl rand -base64 32"), "{text}: {error}");
        }
        assert!(JwtKeys::parse("sixteen letters!").is_ok());
    }

    #[test]
    fn a_wrong_list_of_secrets_says_what_is_wrong() {
        let entry = |kid: &str| format!(r#"{{"kid":"{kid}","secret":"{SECRET}"}}"#);
        let duplicate = InvalidJwtKeys::DuplicateKid("1".to_owned());
        for (text, error) in [
            (
                format!("[{},{},{}]", entry("1"), entry("2"), entry("1")),
                duplicate,
            ),
            (format!("[{}]", entry("")), InvalidJwtKeys::NoKid),
            (format!("{SECRET}\n"), InvalidJwtKeys::Blank),
            ("[]".to_owned(), InvalidJwtKeys::Empty),
            ("[\n{".to_owned(), InvalidJwtKeys::Form { line: 2, column: 1 }),
        ] {
            assert_eq!(JwtKeys::parse(&text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn no_error_and_no_debug_output_holds_a_secret() {
        assert_eq!(format!("{:?}", two_keys()), r#"JwtKeys([Some("b"), Some("a")])"#);
        for text in [
            format!(r#"["{SECRET}"]"#),
            format!(r#"[{{"{SECRET}":1}}]"#),
            format!(r#"[{{"kid":"1","secret":"{SECRET}"#),
            format!("{SECRET} "),
        ] {
            let error = JwtKeys::parse(&text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
        }
    }

    proptest! {
        #[test]
        fn an_issued_token_is_believed_until_it_ends(
            organisation: [u8; 20],
            tenant: Option<[u8; 20]>,
            now in 0..=crate::id::MAX_48,
            ttl in 0..100_000_000_u64,
            later in 0..200_000_000_u64,
        ) {
            let organisation = OrganisationId(organisation);
            let authority = tenant.map_or(Authority::Organisation(organisation), |tenant| Authority::Tenant {
                organisation,
                tenant: TenantId(tenant),
            });
            let token = two_keys().issue(&authority, Millis(now), ttl).unwrap();
            let verdict = two_keys().authority_of(&token, Millis(now).plus(later * 1000));
            prop_assert_eq!(verdict, if later < ttl + 5 { Ok(authority) } else { Err(InvalidToken::Expired) });
        }

        #[test]
        fn a_changed_character_is_never_believed(at: prop::sample::Index, to in "[A-Za-z0-9_.-]") {
            let token = one_key().issue(&tenant(), NOW, 60).unwrap();
            let at = at.index(token.len());
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assume!(changed != token);
            prop_assert!(one_key().authority_of(&changed, NOW).is_err());
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*", parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
            let _ = JwtKeys::parse(&text);
            let _ = JwtKeys::parse(&format!("[{text}"));
            let _ = one_key().authority_of(&text, NOW);
            let _ = one_key().authority_of(&parts, NOW);
        }

        #[test]
        fn signed_claims_of_any_form_make_no_panic(exp: i64, nbf: i64, more in ".*") {
            let claims = json!({"sub": ORGANISATION, "exp": exp, "nbf": nbf, "more": more});
            let _ = verified(&claims.to_string());
        }
    }
}
