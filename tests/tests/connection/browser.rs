//! A connection's object with browsers before it and a provider behind it, all in one thread, under a clock that stands.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use postern_connection::{Connection, Done, Errand, Random, Replied, Settings, Task};
use postern_domain::digest;
use postern_domain::id::{ConnectionId, OAuthAppId, OrganisationId, TenantId};
use postern_domain::oauth::link::Link;
use postern_domain::oauth::provider::Provider;
use postern_domain::oauth::{Client, Ended, Request, Secret};
use postern_domain::outcome::Cause;
use postern_domain::problem::Problem;
use postern_domain::provider::PublicKey;
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;
use postern_domain::wire::call::PageOf;
use postern_domain::wire::connection::{
    AppTerms, Arrival, Callback, Caller, ConnectionCall, ConnectionGet, ConnectionView, Departure, Envelope,
    HistoryList, HistoryView, Reply, ResultPage, ResultShow, SessionGo, SessionOpen, SessionPage,
    SessionShow,
};
use postern_domain::wire::{VERSION, frame};
use postern_tests::storage::Storage;
use serde_json::{Value, json};

pub(crate) const CONNECTION: ConnectionId = ConnectionId([7; 20]);
pub(crate) const APP: OAuthAppId = OAuthAppId([9; 20]);
pub(crate) const TENANT: Caller = Caller::Tenant {
    organisation: OrganisationId([1; 20]),
    tenant: TenantId([2; 20]),
};
pub(crate) const ISSUER: &str = "https://as.example";
pub(crate) const BACK: &str = "https://postern.example/oauth/callback/app";
const CLIENT: &str = "client-1";

/// A value that must never be seen outside of the seal.
pub(crate) const CLIENT_SECRET: &str = "canary-client-secret";

/// Numbers that differ, and repeat at every run.
pub(crate) struct Counter(u64);

impl Random for Counter {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            self.0 += 1;
            let hash = digest::bytes_of(&self.0.to_be_bytes());
            chunk.copy_from_slice(&hash[..chunk.len()]);
        }
    }
}

/// What an attempt's browser carries.
#[derive(Debug, Clone)]
pub(crate) struct Browser {
    pub(crate) state: Link,
    pub(crate) cookies: BTreeMap<String, Secret>,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) url: String,
}

/// A code that the provider gave.
#[derive(Debug, Clone)]
struct Grant {
    nonce: Option<String>,
    challenge: Option<String>,
    redirect_uri: String,
}

/// The provider.
pub(crate) struct AuthorizationServer {
    codes: BTreeMap<String, Grant>,
    /// Who says yes.
    pub(crate) account: (String, String),
    /// What the answer says was granted; none: nothing.
    pub(crate) scope: Option<String>,
    /// Changes the id token's claims before they are signed.
    pub(crate) claims: fn(&mut Value),
    /// Header of the id token.
    pub(crate) header: Value,
    /// What the token endpoint answers instead.
    pub(crate) instead: Option<Ended>,
    /// What the identity call answers; none: it fails for now.
    pub(crate) whoami: Option<Value>,
    /// A refresh brings an id token.
    pub(crate) refreshes_id_token: bool,
    /// All requests that came, with their form.
    pub(crate) asked: Vec<(String, BTreeMap<String, String>)>,
    /// What the key set's key is called.
    pub(crate) key_id: String,
    /// Exchanges give no refresh token.
    pub(crate) without_refresh_token: bool,
}

pub(crate) struct World {
    pub(crate) storage: Storage,
    machine: Connection<Storage>,
    pub(crate) now: Millis,
    random: Counter,
    pub(crate) server: AuthorizationServer,
    /// Errands that were handed out and not done.
    pub(crate) air: Vec<Errand>,
    /// The provider's entry, as the app has it now.
    pub(crate) entry: Provider,
    /// Messages that the tenant was told.
    pub(crate) told: Vec<(String, Value)>,
}

pub(crate) fn provider(change: impl FnOnce(&mut Value)) -> Provider {
    let mut entry = json!({
        "id": "example",
        "name": "Example",
        "kind": "oidc",
        "oauth": {
            "authorizeUrl": "https://as.example/authorize",
            "tokenUrl": "https://as.example/token",
            "revoke": {"url": "https://as.example/revoke", "token": "refresh"},
            "issuer": ISSUER,
            "issRequired": true,
            "jwksUrl": "https://as.example/keys",
            "pkce": "s256",
            "clientAuth": "post",
            "scopes": ["openid"],
            "scopeWords": {"mail": "Read your mail", "files": "See your files"},
            "rotation": "strict",
        },
        "identity": {"from": "id_token", "key": ["/sub"], "label": ["/email"]},
    });
    change(&mut entry);
    serde_json::from_value(entry).unwrap()
}

pub(crate) fn terms(provider: Provider) -> AppTerms {
    AppTerms {
        id: APP,
        provider,
        client: Some(Client {
            id: CLIENT.to_owned(),
            secret: Some(Secret(CLIENT_SECRET.to_owned())),
        }),
        generation: 1,
        broken: None,
        redirect_uri: BACK.to_owned(),
        all_scopes: false,
    }
}

pub(crate) fn open_of(provider: Provider) -> SessionOpen {
    SessionOpen {
        app: terms(provider),
        scopes: vec!["mail".to_owned(), "files".to_owned()],
        return_url: None,
        label: None,
        uid: None,
        variables: BTreeMap::new(),
        reconnect: false,
        watches: Vec::new(),
    }
}

pub(crate) fn answer(status: u16, body: &Value) -> Ended {
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

pub(crate) fn lost() -> Ended {
    Ended {
        status: None,
        cause: Some(Cause::ConnectionLost),
        body: Vec::new(),
        ..answer(200, &Value::Null)
    }
}

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn signed(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let signature: Signature = key().sign(text.as_bytes());
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn holds(check: &postern_domain::provider::Check) -> bool {
    let PublicKey::P256 { x, y } = &check.key else {
        return false;
    };
    let point = p256::EncodedPoint::from_affine_coordinates(x.into(), y.into(), false);
    let key = VerifyingKey::from_encoded_point(&point).unwrap();
    Signature::from_slice(&check.signature)
        .is_ok_and(|signature| key.verify(&check.signed, &signature).is_ok())
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = std::str::from_utf8(body).unwrap().split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (unescaped(name), unescaped(value)))
        .collect()
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

impl AuthorizationServer {
    fn new() -> Self {
        Self {
            codes: BTreeMap::new(),
            account: ("sub-ann".to_owned(), "ann@example.com".to_owned()),
            scope: Some("openid mail files".to_owned()),
            claims: |_| {},
            header: json!({ "alg": "ES256", "kid": "k1" }),
            instead: None,
            whoami: Some(json!({ "id": 1 })),
            refreshes_id_token: false,
            asked: Vec::new(),
            key_id: "k1".to_owned(),
            without_refresh_token: false,
        }
    }

    /// Requests that a code was exchanged with.
    pub(crate) fn exchanges(&self) -> Vec<&BTreeMap<String, String>> {
        let exchanges = self
            .asked
            .iter()
            .filter(|(url, form)| url.ends_with("/token") && form.contains_key("code"));
        exchanges.map(|(_, form)| form).collect()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked.iter().filter(|(url, _)| url.ends_with(path)).count()
    }

    fn serve(&mut self, request: &Request, now: Millis) -> Ended {
        let said = form(&request.body);
        self.asked.push((request.url.clone(), said.clone()));
        match request.url.as_str() {
            "https://as.example/token" => self.token(&said, now),
            "https://as.example/keys" => {
                let point = key().verifying_key().to_encoded_point(false);
                let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
                let jwk = json!({
                    "kty": "EC", "crv": "P-256", "kid": self.key_id,
                    "x": text(point.x().unwrap()), "y": text(point.y().unwrap()),
                });
                answer(200, &json!({ "keys": [jwk] }))
            }
            "https://as.example/revoke" => answer(200, &json!({})),
            "https://api.example/me" => match &self.whoami {
                Some(whoami) => answer(200, whoami),
                None => answer(503, &json!({})),
            },
            other => panic!("nobody is at {other}"),
        }
    }

    fn id_token(&self, nonce: Option<&str>, now: Millis) -> String {
        let (sub, email) = &self.account;
        let mut claims = json!({
            "iss": ISSUER, "sub": sub, "email": email, "aud": CLIENT,
            "nonce": nonce, "iat": now.seconds(), "exp": now.seconds() + 300,
        });
        (self.claims)(&mut claims);
        signed(&self.header, &claims)
    }

    fn token(&mut self, said: &BTreeMap<String, String>, now: Millis) -> Ended {
        if let Some(instead) = self.instead.take() {
            return instead;
        }
        let refused = || answer(400, &json!({ "error": "invalid_grant" }));
        if said["grant_type"] == "refresh_token" {
            let mut body =
                json!({ "access_token": "at-refreshed", "token_type": "Bearer", "expires_in": 3600 });
            if self.refreshes_id_token {
                body["id_token"] = self.id_token(None, now).into();
            }
            return answer(200, &body);
        }
        let Some(grant) = self.codes.remove(&said["code"]) else {
            return refused();
        };
        let verifier = said
            .get("code_verifier")
            .map(|verifier| BASE64_URL_SAFE_NO_PAD.encode(digest::bytes_of(verifier.as_bytes())));
        if verifier != grant.challenge || said["redirect_uri"] != grant.redirect_uri {
            return refused();
        }
        let n = self.asked.len();
        let id_token = self.id_token(grant.nonce.as_deref(), now);
        let mut body = json!({
            "access_token": format!("canary-at-{n}"), "refresh_token": format!("canary-rt-{n}"),
            "token_type": "Bearer", "expires_in": 3600, "id_token": id_token,
        });
        if self.without_refresh_token {
            body["refresh_token"] = Value::Null;
        }
        if let Some(scope) = &self.scope {
            body["scope"] = json!(scope);
        }
        answer(200, &body)
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let storage = Storage::empty();
        Self {
            machine: machine(&storage),
            storage,
            now: Millis(1_800_000_000_000),
            random: Counter(0),
            server: AuthorizationServer::new(),
            air: Vec::new(),
            entry: provider(|_| {}),
            told: Vec::new(),
        }
    }

    /// The object dies, and with it all that is in the air; what is stored stays.
    pub(crate) fn crash(&mut self) {
        self.machine = machine(&self.storage);
        self.air.clear();
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
    }

    pub(crate) fn alarm(&mut self) {
        self.machine.alarm(self.now, &mut self.random);
        self.settle();
    }

    /// One try of a call.
    pub(crate) fn ask_once<T: ConnectionCall + Clone>(
        &mut self,
        caller: Caller,
        call: &T,
        since: Option<u64>,
    ) -> Replied {
        let envelope = Envelope {
            v: VERSION,
            connection: CONNECTION,
            caller,
            call: call.clone().into(),
        };
        let request = frame::encode(&envelope, &[] as &[&[u8]]).unwrap();
        let replied = self.machine.call(&request, since, self.now, &mut self.random);
        self.air.extend(self.machine.take_errands());
        replied
    }

    pub(crate) fn read<T: ConnectionCall>(replied: &Replied) -> Result<T::Answer, Problem> {
        frame::decode::<Reply<T::Answer>>(&replied.frame).unwrap().0
    }

    /// A call, with all that it waits for.
    pub(crate) fn ask<T: ConnectionCall + Clone>(
        &mut self,
        caller: Caller,
        call: &T,
    ) -> Result<T::Answer, Problem> {
        let mut replied = self.ask_once(caller, call, None);
        let since = Some(replied.turn);
        for _ in 0..20 {
            if !replied.waits {
                break;
            }
            assert!(!self.air.is_empty(), "a call waits for nothing");
            self.do_one();
            replied = self.ask_once(caller, call, since);
        }
        assert!(!replied.waits, "a call waits for ever");
        let answer = Self::read::<T>(&replied);
        self.settle();
        answer
    }

    /// Does the oldest errand.
    pub(crate) fn do_one(&mut self) {
        let Errand { id, task } = self.air.remove(0);
        let done = match task {
            Task::Http { request, .. } => Done::Http(self.server.serve(&request, self.now)),
            Task::Verify(check) => Done::Verified(Ok(holds(&check))),
            Task::Sign { key, data } => Done::Signed(if key.reveal().contains("BEGIN") {
                Ok(digest::bytes_of(&data).to_vec())
            } else {
                Err(Problem::internal("no key"))
            }),
            Task::App { .. } => {
                let terms = terms(self.entry.clone());
                Done::App(Ok(postern_connection::AppRow::Active(Box::new(terms))))
            }
            Task::Row(_) | Task::Wire { .. } | Task::AppJudged { .. } => Done::Written(Ok(())),
            Task::Tell {
                event_type, payload, ..
            } => {
                self.told
                    .push((event_type, serde_json::from_str(&payload).unwrap()));
                Done::Written(Ok(()))
            }
        };
        self.machine.finish(id, done, self.now, &mut self.random);
        self.air.extend(self.machine.take_errands());
    }

    /// Does all errands, and what they give rise to.
    pub(crate) fn settle(&mut self) {
        self.air.extend(self.machine.take_errands());
        for _ in 0..100 {
            if self.air.is_empty() {
                return;
            }
            self.do_one();
        }
        panic!("errands give rise to errands for ever");
    }

    pub(crate) fn open(&mut self) -> Secret {
        self.open_with(&open_of(provider(|_| {})))
    }

    pub(crate) fn open_with(&mut self, call: &SessionOpen) -> Secret {
        self.ask(TENANT, call).unwrap().random
    }

    pub(crate) fn show(&mut self, link: &Secret) -> Result<SessionPage, Problem> {
        let call = SessionShow { random: link.clone() };
        self.ask(Caller::Browser, &call)
    }

    pub(crate) fn depart(&mut self, link: &Secret) -> Result<Departure, Problem> {
        let call = SessionGo { random: link.clone() };
        self.ask(Caller::Browser, &call)
    }

    /// Follows the link to the provider.
    pub(crate) fn go(&mut self, link: &Secret) -> Browser {
        let departure = self.depart(link).unwrap();
        Self::browser_of(&departure)
    }

    pub(crate) fn browser_of(departure: &Departure) -> Browser {
        let url = departure.url.clone().unwrap().reveal().to_owned();
        let query = form(url.split_once('?').unwrap().1.as_bytes());
        Browser {
            state: query["state"].parse().unwrap(),
            cookies: BTreeMap::from([(departure.cookie_name.clone(), departure.cookie.clone())]),
            query,
            url,
        }
    }

    /// The person says yes: the code.
    pub(crate) fn consent(&mut self, browser: &Browser) -> String {
        let code = format!(
            "canary-code-{}",
            self.server.codes.len() + self.server.asked.len()
        );
        let grant = Grant {
            nonce: browser.query.get("nonce").cloned(),
            challenge: browser.query.get("code_challenge").cloned(),
            redirect_uri: browser.query["redirect_uri"].clone(),
        };
        self.server.codes.insert(code.clone(), grant);
        code
    }

    pub(crate) fn callback_of(browser: &Browser, code: &str) -> Callback {
        Callback {
            app: APP,
            state: Secret(hex::encode(browser.state.random)),
            cookies: browser.cookies.clone(),
            code: Some(Secret(code.to_owned())),
            error: None,
            error_description: None,
            iss: Some(ISSUER.to_owned()),
            others: BTreeMap::new(),
        }
    }

    /// Comes back with a code.
    pub(crate) fn back(&mut self, browser: &Browser, code: &str) -> Arrival {
        let call = Self::callback_of(browser, code);
        self.ask(Caller::Browser, &call).unwrap()
    }

    /// The whole way, with one link.
    pub(crate) fn connect(&mut self, link: &Secret) -> Arrival {
        let browser = self.go(link);
        let code = self.consent(&browser);
        self.back(&browser, &code)
    }

    pub(crate) fn result(&mut self, arrival: &Arrival) -> ResultPage {
        let result = arrival.result.clone().unwrap();
        self.ask(Caller::Browser, &ResultShow { result }).unwrap()
    }

    pub(crate) fn view(&mut self) -> ConnectionView {
        self.ask(TENANT, &ConnectionGet {}).unwrap()
    }

    pub(crate) fn history(&mut self) -> Vec<HistoryView> {
        let page = PageOf {
            limit: 100,
            iterator: None,
            ascending: false,
        };
        self.ask(TENANT, &HistoryList { page }).unwrap().data
    }

    pub(crate) fn told_types(&self) -> Vec<&str> {
        self.told
            .iter()
            .map(|(event_type, _)| event_type.as_str())
            .collect()
    }

    /// Everything that is stored, as text.
    pub(crate) fn dump(&self) -> String {
        self.storage.dump()
    }

    pub(crate) fn written(&self) -> u64 {
        self.storage.writes()
    }
}

fn machine(storage: &Storage) -> Connection<Storage> {
    let key = "1:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    Connection::new(
        storage.clone(),
        Some(MasterKeys::parse(key).unwrap()),
        Settings::default(),
    )
}
