//! A connection as a test drives it: calls go in, errands come out, a provider answers them, time passes, objects die.
#![expect(
    clippy::missing_panics_doc,
    reason = "a test ends with the first thing that is not as it should be"
)]

use std::collections::BTreeMap;

use postern_connection::sql::Sql as _;
use postern_connection::{AppFinding, AppRow, Connection, Done, Errand, RowOut, Settings, Task};
use postern_domain::id::{ConnectionId, OAuthAppId, OrganisationId, TenantId};
use postern_domain::oauth::link::Link;
use postern_domain::oauth::provider::{Provider, Rotation};
use postern_domain::oauth::standing::State;
use postern_domain::oauth::{Client, Secret};
use postern_domain::problem::{Code, Problem};
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;
use postern_domain::wire;
use postern_domain::wire::connection::{
    AppTerms, Arrival, Callback, Caller, ConnectionCall, ConnectionGet, ConnectionView, Envelope,
    HistoryList, HistoryView, Reply, SessionGo, SessionOpen, Token, TokenLease,
};
use postern_domain::wire::frame;
use postern_domain::wire::watch::WatchWire;
use serde_json::{Value, json};

use crate::peer::{Peer, SECRET};
use crate::storage::Storage;
use crate::tenant::{MASTER_KEYS, START, Seeded};

/// One try of a call.
#[derive(Debug)]
pub struct Asked<T> {
    /// It waits; the answer is what would be sent if it waited too long.
    pub waits: bool,
    /// For the repeats.
    pub turn: u64,
    /// The answer.
    pub answer: Reply<T>,
    /// The inside of a 5xx.
    pub cause: Option<String>,
}

/// One connection's object, and the world around it.
#[derive(Debug)]
pub struct Desk {
    /// What outlives the object.
    pub storage: Storage,
    /// The time.
    pub now: Millis,
    /// The provider.
    pub peer: Peer,
    /// The app as the directory has it; a problem: it cannot be asked.
    pub app: Result<AppRow, Problem>,
    /// What the tenant was told: event id, type, payload.
    pub told: Vec<(String, String, Value)>,
    /// What the directory learned.
    pub rows: Vec<RowOut>,
    /// What the directory was told of the app, and of which generation of its credentials.
    pub findings: Vec<(u64, AppFinding)>,
    /// What sources were told to hand over.
    pub wired: Vec<WatchWire>,
    /// Whether messages and rows arrive.
    pub arrives: bool,
    /// The master keys with which the next object wakes.
    pub keys: String,
    /// Requests are not answered before [`Desk::work`] is called.
    pub slow: bool,
    machine: Connection<Storage>,
    random: Seeded,
    errands: Vec<Errand>,
}

/// The ids of every test.
pub const CONNECTION: ConnectionId = ConnectionId([3; 20]);
const ORGANISATION: OrganisationId = OrganisationId([1; 20]);
const TENANT: TenantId = TenantId([2; 20]);
const APP: OAuthAppId = OAuthAppId([4; 20]);

/// Its tenant.
#[must_use]
pub const fn owner() -> Caller {
    Caller::Tenant {
        organisation: ORGANISATION,
        tenant: TENANT,
    }
}

/// The provider's entry; `more` is put over its `oauth` part.
#[must_use]
pub fn entry(rotation: Rotation, more: &Value) -> Provider {
    let mut entry = json!({
        "id": "peer", "name": "Peer", "kind": "oauth2", "verified": true,
        "oauth": {
            "authorizeUrl": "https://peer.example/authorize",
            "tokenUrl": "https://peer.example/token",
            "revoke": { "url": "https://peer.example/revoke", "token": "refresh", "clientAuth": "post" },
            "pkce": "s256", "clientAuth": "post",
            "rotation": serde_json::to_value(rotation).expect("it is JSON"),
        },
        "api": { "base": "https://api.peer.example" },
    });
    if let (Some(oauth), Value::Object(more)) = (entry["oauth"].as_object_mut(), more.clone()) {
        oauth.extend(more);
    }
    serde_json::from_value(entry).expect("an entry")
}

/// The entry of a provider of API keys.
#[must_use]
pub fn key_entry() -> Provider {
    let entry = json!({
        "id": "keys", "name": "Keys", "kind": "api_key", "verified": true,
        "key": { "label": "Secret key" },
        "api": { "base": "https://api.keys.example" },
        "check": { "url": "https://api.keys.example/me" },
    });
    serde_json::from_value(entry).expect("an entry")
}

/// The app of such a provider.
#[must_use]
pub fn terms(provider: Provider) -> AppTerms {
    AppTerms {
        id: APP,
        provider,
        client: Some(Client {
            id: "client-1".to_owned(),
            secret: Some(Secret(SECRET.to_owned())),
        }),
        generation: 1,
        broken: None,
        redirect_uri: format!("https://postern.example/oauth/callback/{APP}"),
        all_scopes: false,
    }
}

impl Desk {
    /// Nothing connected yet, at a provider that rotates like this.
    #[must_use]
    pub fn new(rotation: Rotation) -> Self {
        Self::of(rotation, entry(rotation, &json!({})))
    }

    /// The same with an entry of its own.
    #[must_use]
    pub fn of(rotation: Rotation, provider: Provider) -> Self {
        let storage = Storage::empty();
        Self {
            machine: Connection::new(
                storage.clone(),
                MasterKeys::parse(MASTER_KEYS).ok(),
                Settings::default(),
            ),
            storage,
            now: START,
            peer: Peer::new(rotation),
            app: Ok(AppRow::Active(Box::new(terms(provider)))),
            told: Vec::new(),
            rows: Vec::new(),
            findings: Vec::new(),
            wired: Vec::new(),
            arrives: true,
            keys: MASTER_KEYS.to_owned(),
            slow: false,
            random: Seeded::new(7),
            errands: Vec::new(),
        }
    }

    /// Connected.
    #[must_use]
    pub fn connected(rotation: Rotation) -> Self {
        let mut desk = Self::new(rotation);
        desk.connect();
        desk
    }

    /// Other chances.
    pub fn seed(&mut self, seed: u64) {
        self.random = Seeded::new(seed);
    }

    /// The app's terms.
    #[must_use]
    pub fn terms(&self) -> AppTerms {
        match &self.app {
            Ok(AppRow::Active(terms)) => (**terms).clone(),
            other => panic!("the app is not active: {other:?}"),
        }
    }

    /// A browser goes all the way.
    pub fn connect(&mut self) -> Arrival {
        let code = format!("code-canary-{}", self.peer.codes.len());
        self.connect_with(&code)
    }

    /// The same with a code of its own.
    pub fn connect_with(&mut self, code: &str) -> Arrival {
        let open = SessionOpen {
            app: self.terms(),
            scopes: Vec::new(),
            return_url: None,
            label: None,
            uid: None,
            variables: BTreeMap::new(),
            reconnect: false,
            watches: Vec::new(),
        };
        let opened = self.call(open).expect("a session");
        let departure = self
            .call_as(
                Caller::Browser,
                SessionGo {
                    random: opened.random,
                },
            )
            .expect("an attempt");
        let url = departure.url.expect("the session is open");
        let url = url::Url::parse(url.reveal()).expect("a URL");
        let state = url
            .query_pairs()
            .find(|(name, _)| name == "state")
            .map(|(_, state)| state.into_owned());
        let link: Link = state.expect("a state").parse().expect("a state of ours");
        let random = link
            .random
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let callback = Callback {
            app: APP,
            state: Secret(random),
            cookies: BTreeMap::from([(departure.cookie_name, departure.cookie)]),
            code: Some(Secret(code.to_owned())),
            error: None,
            error_description: None,
            iss: None,
            others: BTreeMap::new(),
        };
        self.call_as(Caller::Browser, callback).expect("an arrival")
    }

    /// One try of a call.
    pub fn ask<C: ConnectionCall>(
        &mut self,
        caller: Caller,
        call: C,
        since: Option<u64>,
    ) -> Asked<C::Answer> {
        let envelope = Envelope {
            v: wire::VERSION,
            connection: CONNECTION,
            caller,
            call: call.into(),
        };
        let request = frame::encode(&envelope, &[] as &[&[u8]]).expect("a frame");
        let replied = self.machine.call(&request, since, self.now, &mut self.random);
        self.errands.extend(self.machine.take_errands());
        let (answer, _) = frame::decode::<Reply<C::Answer>>(&replied.frame).expect("an answer");
        Asked {
            waits: replied.waits,
            turn: replied.turn,
            answer,
            cause: replied.cause,
        }
    }

    /// A call to its end, by its owner.
    pub fn call<C: ConnectionCall + Clone>(&mut self, call: C) -> Reply<C::Answer> {
        self.call_as(owner(), call)
    }

    /// The same by anybody.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test writes a call where it makes it"
    )]
    pub fn call_as<C: ConnectionCall + Clone>(&mut self, caller: Caller, call: C) -> Reply<C::Answer> {
        let mut asked = self.ask(caller, call.clone(), None);
        let turn = asked.turn;
        for _ in 0..20 {
            if !asked.waits {
                break;
            }
            self.step();
            if self.machine.moved() {
                asked = self.ask(caller, call.clone(), Some(turn));
            }
        }
        assert!(!asked.waits, "a call still waits when nothing is to be done");
        assert_eq!(asked.cause, None);
        if !self.slow {
            self.work();
        }
        asked.answer
    }

    /// A token, as the proxy leases it.
    pub fn lease(&mut self) -> Reply<Token> {
        self.call(TokenLease::default())
    }

    /// A token that must be there.
    pub fn token(&mut self) -> Token {
        self.lease().expect("a token")
    }

    /// How it stands.
    pub fn view(&mut self) -> ConnectionView {
        self.call(ConnectionGet {}).expect("a connection")
    }

    /// Its state.
    pub fn state(&mut self) -> State {
        self.view().state
    }

    /// Its history, oldest first.
    pub fn history(&mut self) -> Vec<HistoryView> {
        let page = wire::call::PageOf {
            limit: 250,
            iterator: None,
            ascending: false,
        };
        let mut lines = self.call(HistoryList { page }).expect("a history").data;
        lines.reverse();
        lines
    }

    /// The types of what the tenant was told.
    #[must_use]
    pub fn told_types(&self) -> Vec<&str> {
        self.told.iter().map(|(_, event, _)| event.as_str()).collect()
    }

    /// Errands that are not done yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.errands.len()
    }

    /// Does all errands, and what they give rise to.
    pub fn work(&mut self) {
        for _ in 0..1000 {
            if self.errands.is_empty() {
                return;
            }
            self.step();
        }
        panic!("errands without end");
    }

    /// Does the errands that are there.
    pub fn step(&mut self) {
        for errand in std::mem::take(&mut self.errands) {
            let done = self.deliver(&errand);
            self.finish(&errand, done);
        }
    }

    /// Takes the errands out of the shell's hands.
    pub fn take(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.errands)
    }

    /// Brings an errand to whom it is for.
    pub fn deliver(&mut self, errand: &Errand) -> Done {
        match &errand.task {
            Task::Http { request, .. } => Done::Http(self.peer.answer(request, self.now)),
            Task::App { app, .. } => {
                assert_eq!(*app, APP);
                Done::App(self.app.clone())
            }
            Task::AppJudged {
                app,
                generation,
                finding,
            } => {
                assert_eq!(*app, APP);
                self.findings.push((*generation, finding.clone()));
                Done::Written(Ok(()))
            }
            Task::Row(row) => Done::Written(self.written(|desk| desk.rows.push((**row).clone()))),
            Task::Tell {
                tenant,
                event_type,
                event_id,
                payload,
            } => {
                assert_eq!(*tenant, TENANT);
                let payload = serde_json::from_str(payload).expect("JSON");
                Done::Written(self.written(|desk| {
                    if desk.told.iter().all(|(known, _, _)| known != event_id) {
                        desk.told.push((event_id.clone(), event_type.clone(), payload));
                    }
                }))
            }
            Task::Wire { call, .. } => {
                let call = call.clone();
                Done::Written(self.written(|desk| desk.wired.push(call)))
            }
            Task::Verify(_) | Task::Sign { .. } => panic!("no test here signs"),
        }
    }

    fn written(&mut self, write: impl FnOnce(&mut Self)) -> Result<(), Problem> {
        if !self.arrives {
            return Err(Problem::new(Code::Overloaded, "planted"));
        }
        write(self);
        Ok(())
    }

    /// Brings an errand's end back.
    pub fn finish(&mut self, errand: &Errand, done: Done) {
        self.machine.finish(errand.id, done, self.now, &mut self.random);
        self.errands.extend(self.machine.take_errands());
    }

    /// The object dies, with whatever was in the air; another one wakes on its storage.
    pub fn die(&mut self) {
        self.errands.clear();
        let keys = MasterKeys::parse(&self.keys).ok();
        self.machine = Connection::new(self.storage.clone(), keys, Settings::default());
        self.machine.alarm_is(self.storage.native().alarm());
    }

    /// Time passes; the alarm rings when it is set to, and errands are done at once.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.plus(ms);
        for _ in 0..100_000 {
            let Some(at) = self.storage.native().alarm().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = at.max(self.now);
            self.ring();
            if !self.slow {
                self.work();
            }
        }
        panic!("the alarm rings without end");
    }

    /// The alarm rings.
    pub fn ring(&mut self) {
        self.storage
            .native()
            .set_alarm(None)
            .expect("the alarm is taken away");
        self.machine.alarm(self.now, &mut self.random);
        self.errands.extend(self.machine.take_errands());
    }

    /// What the log was told.
    pub fn notices(&mut self) -> Vec<String> {
        let notices = self.machine.take_notices();
        notices
            .into_iter()
            .map(|notice| format!("{}: {}", notice.name, notice.detail))
            .collect()
    }

    /// All that is stored, as text.
    #[must_use]
    pub fn dump(&self) -> String {
        self.storage.dump()
    }
}
