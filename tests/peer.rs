//! A provider's token endpoint that a test holds: it rotates refresh tokens as its profile says, counts what it was shown,
//! and fails where a test wants it to.

use std::collections::{BTreeMap, VecDeque};

use postern_domain::oauth::provider::Rotation;
use postern_domain::oauth::{Ended, Request};
use postern_domain::outcome::Cause;
use postern_domain::time::Millis;
use serde_json::{Value, json};

/// The client's secret that the peer takes.
pub const SECRET: &str = "peer-client-secret-canary";

/// What happens to one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// It never arrives.
    Unreached,
    /// It is carried out, and its answer is lost.
    AnswerLost,
    /// It is not carried out, and this is the answer.
    Refused(u16, Value),
}

/// The provider.
#[derive(Debug)]
pub struct Peer {
    /// What happens to a refresh token when it is used.
    pub rotation: Rotation,
    /// Seconds that an access token lives; none: not told.
    pub expires_in: Option<u64>,
    /// Whether an answer names a refresh token.
    pub gives_refresh: bool,
    /// What happens to the next requests to the token endpoint; then all are answered.
    pub fates: VecDeque<Fate>,
    /// The secret that it takes.
    pub secret: String,
    /// What its API answers to a good token.
    pub api: (u16, Value),
    /// What its revocation endpoint answers.
    pub revocation: (u16, Value),
    /// How often each refresh token was shown, and carried out.
    pub shown: BTreeMap<String, u32>,
    /// Codes that were shown.
    pub codes: Vec<String>,
    /// Tokens that were revoked.
    pub revoked: Vec<String>,
    /// API keys that it takes.
    pub keys: Vec<String>,
    /// All requests, method and URL.
    pub requests: Vec<String>,
    /// Gmail and Calendar, if it is Google.
    pub google: Option<crate::google::Google>,
    grant: Option<Grant>,
    number: u64,
}

#[derive(Debug)]
struct Grant {
    /// The newest refresh token.
    current: String,
    /// Those before it, and when each was used first.
    used: BTreeMap<String, Millis>,
    /// Access tokens that work, and until when.
    access: BTreeMap<String, Option<Millis>>,
}

impl Peer {
    /// One that rotates like this, with tokens of an hour.
    #[must_use]
    pub fn new(rotation: Rotation) -> Self {
        Self {
            rotation,
            expires_in: Some(3600),
            gives_refresh: true,
            fates: VecDeque::new(),
            secret: SECRET.to_owned(),
            api: (200, json!({ "id": 7 })),
            revocation: (200, json!({})),
            shown: BTreeMap::new(),
            codes: Vec::new(),
            revoked: Vec::new(),
            keys: Vec::new(),
            requests: Vec::new(),
            google: None,
            grant: None,
            number: 0,
        }
    }

    /// Whether its grant lives.
    #[must_use]
    pub const fn has_grant(&self) -> bool {
        self.grant.is_some()
    }

    /// Ends the grant on the provider's side.
    pub fn kill(&mut self) {
        self.grant = None;
    }

    /// Access tokens stop to work, the grant goes on.
    pub fn refuse_access(&mut self) {
        if let Some(grant) = &mut self.grant {
            grant.access.clear();
        }
    }

    /// Whether an access token works now.
    #[must_use]
    pub fn takes(&self, token: &str, now: Millis) -> bool {
        let end = self.grant.as_ref().and_then(|grant| grant.access.get(token));
        end.is_some_and(|end| end.is_none_or(|end| now < end))
    }

    /// Requests to the token endpoint that were carried out or refused.
    #[must_use]
    pub fn refreshes(&self) -> u32 {
        self.shown.values().sum()
    }

    /// One request.
    pub fn answer(&mut self, request: &Request, now: Millis) -> Ended {
        self.requests.push(format!("{} {}", request.method, request.url));
        if request.url.ends_with("/token") {
            return match self.fates.pop_front().unwrap_or(Fate::Answered) {
                Fate::Unreached => lost(Cause::NameNotFound),
                Fate::Refused(status, body) => said(status, &body),
                Fate::AnswerLost => {
                    self.token(&fields(&request.body), now);
                    lost(Cause::Timeout)
                }
                Fate::Answered => {
                    let (status, body) = self.token(&fields(&request.body), now);
                    said(status, &body)
                }
            };
        }
        if request.url.ends_with("/revoke") {
            let token = fields(&request.body).remove("token").unwrap_or_default();
            self.revoked.push(token);
            self.grant = None;
            let (status, body) = self.revocation.clone();
            return said(status, &body);
        }
        let token = request
            .headers
            .iter()
            .find(|(name, _)| name == "Authorization")
            .and_then(|(_, value)| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        if self.takes(token, now)
            && let Some(answer) = self
                .google
                .as_mut()
                .and_then(|google| google.answer(request, now))
        {
            return answer;
        }
        if self.takes(token, now) || self.keys.iter().any(|key| key == token) {
            let (status, body) = self.api.clone();
            said(status, &body)
        } else {
            said(401, &json!({ "error": "invalid_token" }))
        }
    }

    fn token(&mut self, fields: &BTreeMap<String, String>, now: Millis) -> (u16, Value) {
        if fields.get("client_secret") != Some(&self.secret) {
            return (401, json!({ "error": "invalid_client" }));
        }
        if let Some(code) = fields.get("code") {
            self.codes.push(code.clone());
            self.number += 1;
            self.grant = Some(Grant {
                current: format!("refresh-canary-{}", self.number),
                used: BTreeMap::new(),
                access: BTreeMap::new(),
            });
            return (200, self.issue(now));
        }
        let shown = fields.get("refresh_token").cloned().unwrap_or_default();
        *self.shown.entry(shown.clone()).or_default() += 1;
        let refused = (
            400,
            json!({ "error": "invalid_grant", "error_description": "it is over" }),
        );
        let Some(grant) = &mut self.grant else {
            return refused;
        };
        let newest = grant.current == shown;
        let since = grant.used.get(&shown).map(|used| now.since(*used));
        let good = match (self.rotation, since) {
            (_, None) => newest,
            (Rotation::None | Rotation::ReissueOldOk, _) => true,
            (Rotation::Grace { seconds }, Some(since)) => since <= seconds * 1000,
            (Rotation::Strict | Rotation::Unknown, Some(_)) => false,
        };
        if !good {
            if since.is_some() {
                self.grant = None; // reuse ends the family
            }
            return refused;
        }
        if self.rotation != Rotation::None {
            grant.used.entry(shown).or_insert(now);
            self.number += 1;
            grant.current = format!("refresh-canary-{}", self.number);
        }
        (200, self.issue(now))
    }

    fn issue(&mut self, now: Millis) -> Value {
        self.number += 1;
        let access = format!("access-canary-{}", self.number);
        let end = self.expires_in.map(|seconds| now.plus(seconds * 1000));
        let mut answer = json!({ "access_token": access, "token_type": "Bearer" });
        if let Some(seconds) = self.expires_in {
            answer["expires_in"] = seconds.into();
        }
        if let Some(grant) = &mut self.grant {
            grant.access.insert(access, end);
            if self.gives_refresh {
                answer["refresh_token"] = grant.current.clone().into();
            }
        }
        answer
    }
}

fn fields(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

pub(crate) fn said(status: u16, body: &Value) -> Ended {
    Ended {
        status: Some(status),
        cause: None,
        content_type: "application/json".to_owned(),
        retry_after_ms: None,
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
        cut: false,
    }
}

pub(crate) fn lost(cause: Cause) -> Ended {
    Ended {
        status: None,
        cause: Some(cause),
        content_type: String::new(),
        retry_after_ms: None,
        headers: Vec::new(),
        body: Vec::new(),
        cut: false,
    }
}
