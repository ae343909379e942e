//! A tenant as a test drives it: calls go in, lanes come out, time passes.
#![expect(
    clippy::missing_panics_doc,
    reason = "a test ends with the first thing that is not as it should be"
)]

use std::collections::BTreeMap;

use postern_domain::id::{MessageId, OrganisationId, TenantId};
use postern_domain::outcome::Cause;
use postern_domain::problem::{Code, Problem};
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    Accept, Accepted, AttemptFilter, AttemptsOfMessage, Call, Caller, EndpointChange, EndpointCreate,
    EndpointDelete, EndpointPatch, Envelope, Inspect, MessageGet, PageOf, Reply, Report, SetUp, SourceCreate,
    TenantCall, TenantSettings,
};
use postern_domain::wire::lane::{Handout, Lane};
use postern_domain::wire::report::{LaneReport, SendResult};
use postern_domain::wire::{self, AttemptView, EndpointConfig, EndpointView, MessageView, frame};
use postern_ledger::{Ledger, QueueKind, Random, Settings};
use serde_json::{Value, json};

use crate::storage::Storage;

/// When every test begins.
pub const START: Millis = Millis(1_700_000_000_000);

/// What is sealed in tests is sealed with this.
pub const MASTER_KEYS: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Randomness that a seed repeats.
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// The stream of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// True so many times of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Where a delivery stands, as its rows and its endpoint say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// No result yet, or waiting for the next try.
    Open,
    /// A try was answered with 2xx.
    Delivered,
    /// The plan is used up.
    Failed,
    /// Its endpoint was disabled or deleted first.
    Cancelled,
    /// Its message is gone.
    Gone,
}

/// Where every delivery of a tenant stands.
#[derive(Debug)]
pub struct Stands {
    oldest: u64,
    rows: BTreeMap<(u64, u64), (i64, u32)>,
    cancelled: BTreeMap<u64, u64>,
}

impl Stands {
    /// Where one stands, and how many attempts of the plan it has.
    #[must_use]
    pub fn of(&self, message: MessageId, endpoint: u32) -> (Stand, u32) {
        let sequence = message.0.sequence;
        if sequence < self.oldest {
            return (Stand::Gone, 0);
        }
        let through = self.cancelled.get(&endpoint.into());
        let open = if through.is_none_or(|through| sequence <= *through) {
            Stand::Cancelled
        } else {
            Stand::Open
        };
        match self.rows.get(&(sequence, endpoint.into())) {
            None => (open, 0),
            Some((0, attempts)) => (Stand::Delivered, *attempts),
            Some((1, attempts)) => (open, *attempts),
            Some((2, attempts)) => (Stand::Failed, *attempts),
            Some((_, attempts)) => (Stand::Cancelled, *attempts),
        }
    }

    /// Endpoint and attempts of every delivery that has a row.
    pub fn attempts(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.rows
            .iter()
            .map(|((_, endpoint), (_, attempts))| (u32::try_from(*endpoint).unwrap_or(0), *attempts))
    }
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column)
        .map(|n| u64::try_from(n).expect("no number here is negative"))
}

/// One delivery that came out of the ledger, with all that its lane says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    /// Through which queue.
    pub queue: QueueKind,
    /// The endpoint's number.
    pub endpoint: u32,
    /// The hand-out.
    pub handout: Handout,
    /// The body, unless it has to be fetched.
    pub body: Option<Vec<u8>>,
}

impl Out {
    /// Its message.
    #[must_use]
    pub const fn message(&self) -> MessageId {
        self.handout.message
    }
}

/// How a send ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200.
    Ok,
    /// 500.
    Broken,
    /// 503 with `Retry-After`, in milliseconds.
    RetryAfter(u64),
    /// 429 that does not say how long.
    TooMany,
    /// 410: it does not want anything any more.
    Gone,
    /// No answer in time.
    Silence,
    /// A failure's status, and nothing beside it.
    Status(u16),
}

/// Settings without gates but those that an endpoint asks for.
#[must_use]
pub fn wide() -> Settings {
    Settings {
        gates: postern_ledger::Gates {
            window: 100_000,
            unproven: 100_000,
            slow: 100_000,
            breaker_samples: u32::MAX,
        },
        ..Settings::default()
    }
}

/// A tenant's object with its clock.
#[derive(Debug)]
pub struct Tenant {
    /// The state machine.
    pub ledger: Ledger<Storage>,
    /// What outlives it.
    pub storage: Storage,
    /// The time.
    pub now: Millis,
    /// What is drawn.
    pub random: Seeded,
    /// Of the deployment.
    pub settings: Settings,
    /// Who it is.
    pub id: TenantId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Runs of the alarm so far.
    pub alarms: u64,
    /// Frames of lanes that came with answers to reports, and wait to be looked at.
    answered: Vec<Vec<u8>>,
    next_nonce: u64,
}

impl Tenant {
    /// A tenant that was set up.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Settings::default(), TenantSettings::default())
    }

    /// A tenant whose endpoints get as much at a time as there is, whatever they answer: for tests of something else.
    #[must_use]
    pub fn wide() -> Self {
        Self::with(wide(), TenantSettings::default())
    }

    /// A tenant with settings of its own.
    #[must_use]
    pub fn with(settings: Settings, own: TenantSettings) -> Self {
        let mut tenant = Self::never_set_up(settings);
        let set_up = SetUp {
            organisation: tenant.organisation,
            settings: own,
        };
        tenant.call(set_up).expect("an empty object is set up");
        tenant
    }

    /// An object that nobody made a tenant's.
    #[must_use]
    pub fn never_set_up(settings: Settings) -> Self {
        Self::over(Storage::empty(), settings)
    }

    /// An object over a storage that is there already.
    #[must_use]
    pub fn over(storage: Storage, settings: Settings) -> Self {
        Self {
            ledger: wake(&storage, &settings),
            storage,
            now: START,
            random: Seeded::new(1),
            settings,
            id: TenantId([7; 20]),
            organisation: OrganisationId([3; 20]),
            alarms: 0,
            answered: Vec::new(),
            next_nonce: 1,
        }
    }

    /// The platform throws the object out of memory; the next call finds a new one over the same storage.
    pub fn evict(&mut self) {
        self.ledger = wake(&self.storage, &self.settings);
    }

    /// Asks, as the organisation.
    pub fn call<T: TenantCall>(&mut self, call: T) -> Result<T::Answer, Problem> {
        self.call_as(Caller::Organisation(self.organisation), call, &[])
            .map(|(answer, _)| answer)
    }

    /// Asks, as whoever, with bodies beside the call; answers with the bodies beside the answer.
    pub fn call_as<T: TenantCall>(
        &mut self,
        caller: Caller,
        call: T,
        bodies: &[Vec<u8>],
    ) -> Result<(T::Answer, Vec<Vec<u8>>), Problem> {
        let envelope = Envelope {
            v: wire::VERSION,
            tenant: self.id,
            caller,
            call: Into::<Call>::into(call),
        };
        let request = frame::encode(&envelope, bodies).expect("a call is written as a frame");
        let replied = self.ledger.call(&request, self.now, &mut self.random);
        let (reply, bodies) =
            frame::decode::<Reply<T::Answer>>(&replied.frame).expect("the answer is a frame");
        reply.map(|answer| (answer, bodies)).map_err(|mut problem| {
            problem.cause = replied.cause;
            problem
        })
    }

    /// A publish through the API, as the edge makes it.
    pub fn publish_call(&mut self, event_type: &str) -> Accept {
        self.next_nonce += 1;
        Accept {
            nonce: self.next_nonce,
            sent_at: self.now,
            repeat: false,
            source: None,
            event_type: event_type.to_owned(),
            event_id: None,
            channels: None,
            content_type: "application/json".to_owned(),
            headers: BTreeMap::new(),
            hop: 0,
            idempotency: None,
            payload_hours: None,
            only_endpoint: None,
            received: None,
        }
    }

    /// Sends an accept with a body.
    pub fn accept(&mut self, call: Accept, body: &[u8]) -> Result<Accepted, Problem> {
        self.call_as(Caller::Organisation(self.organisation), call, &[body.to_vec()])
            .map(|(answer, _)| answer)
    }

    /// Publishes, and expects that it is taken.
    pub fn publish(&mut self) -> MessageId {
        let call = self.publish_call("invoice.paid");
        self.accept(call, b"{\"paid\":true}")
            .expect("a publish is taken")
            .message
            .id
    }

    /// Makes an endpoint that takes everything.
    pub fn endpoint(&mut self) -> u32 {
        self.endpoint_with(json!({}))
    }

    /// Makes an endpoint with these settings beside its URL; answers its number.
    pub fn endpoint_with(&mut self, settings: Value) -> u32 {
        let view = self.make_endpoint(settings).expect("an endpoint is made");
        number_of(&view)
    }

    /// Makes an endpoint with these settings beside its URL.
    pub fn make_endpoint(&mut self, settings: Value) -> Result<EndpointView, Problem> {
        self.call(EndpointCreate {
            config: endpoint_config(settings),
            secret: None,
            signing: wire::signing::SigningChange::default(),
            idempotency: None,
        })
    }

    /// Makes a source; answers its number.
    pub fn source(&mut self) -> u16 {
        let call = SourceCreate {
            name: "shop".to_owned(),
            provider: "stripe".to_owned(),
            uid: None,
            config: json!({}),
            secrets: vec!["whsec_a_secret_of_the_shop".to_owned()],
            terms: Vec::new(),
            options: wire::inbound::SourceOptions::default(),
            idempotency: None,
        };
        let view = self.call(call).expect("a source is made");
        u16::try_from(view.id.0.sequence).expect("source numbers are small")
    }

    /// Changes an endpoint.
    pub fn patch(&mut self, endpoint: u32, change: EndpointChange) {
        let endpoint = self.endpoint_id(endpoint);
        self.call(EndpointPatch { endpoint, change })
            .expect("an endpoint is changed");
    }

    /// Turns an endpoint off or on.
    pub fn disable(&mut self, endpoint: u32, disabled: bool) {
        self.patch(
            endpoint,
            EndpointChange {
                disabled: Some(disabled),
                ..EndpointChange::default()
            },
        );
    }

    /// Deletes an endpoint.
    pub fn delete(&mut self, endpoint: u32) {
        let endpoint = self.endpoint_id(endpoint);
        self.call(EndpointDelete { endpoint })
            .expect("an endpoint is deleted");
    }

    /// The id of a live endpoint.
    pub fn endpoint_id(&mut self, endpoint: u32) -> String {
        let page = PageOf {
            limit: 250,
            iterator: None,
            ascending: true,
        };
        let list = self
            .call(wire::call::EndpointList { page })
            .expect("endpoints are listed");
        let found = list.data.iter().find(|view| number_of(view) == endpoint);
        found.expect("the endpoint is there").id.to_string()
    }

    /// What leaves now.
    pub fn lanes(&mut self) -> Vec<(Lane, Vec<Vec<u8>>, QueueKind)> {
        let lanes = self.take_lanes().expect("lanes are made");
        let read = |out: postern_ledger::LaneOut| {
            let (lane, bodies) = frame::decode::<Lane>(&out.frame).expect("a lane is a frame");
            (lane, bodies, out.queue)
        };
        lanes.into_iter().map(read).collect()
    }

    /// The same as it leaves: what came with answers to reports first.
    pub fn take_lanes(&mut self) -> Result<Vec<postern_ledger::LaneOut>, Problem> {
        let queue = QueueKind::Fast;
        let answered = std::mem::take(&mut self.answered);
        let mut lanes: Vec<_> = answered
            .into_iter()
            .map(|frame| postern_ledger::LaneOut { queue, frame })
            .collect();
        lanes.extend(self.ledger.take_lanes()?);
        Ok(lanes)
    }

    /// Sends a report, and keeps the lanes that come with its answer.
    fn send_report(&mut self, lanes: Vec<LaneReport>, bodies: &[Vec<u8>]) -> Result<(), Problem> {
        let frames = self.report_lanes(lanes, bodies)?;
        self.answered.extend(frames);
        Ok(())
    }

    /// Sends a report as a consumer does; answers the frames of the lanes that come back.
    pub fn report_lanes(
        &mut self,
        lanes: Vec<LaneReport>,
        bodies: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, Problem> {
        let (reported, frames) = self.call_as(Caller::System, Report { lanes }, bodies)?;
        assert_eq!(usize::from(reported.lanes), frames.len());
        Ok(frames)
    }

    /// What leaves now, delivery by delivery.
    pub fn outs(&mut self) -> Vec<Out> {
        self.lanes()
            .into_iter()
            .flat_map(|(lane, bodies, queue)| outs_of(lane, &bodies, queue))
            .collect()
    }

    /// Every endpoint shows that it answers.
    pub fn prove(&mut self) {
        self.publish();
        for out in self.outs() {
            self.report(&out, Answer::Ok);
        }
    }

    /// What leaves now, and it is one delivery.
    pub fn out(&mut self) -> Out {
        let outs = self.outs();
        let [out] = outs.as_slice() else {
            panic!("one delivery was expected: {outs:?}")
        };
        out.clone()
    }

    /// The consumer's word on one send.
    pub fn report(&mut self, out: &Out, answer: Answer) {
        self.try_report(&[(out, answer)]).expect("a report is taken");
    }

    /// The same, with the response that came.
    pub fn report_with(&mut self, out: &Out, answer: Answer, response: &[u8]) {
        let results = vec![result_of(out, answer, self.now)];
        let lanes = vec![LaneReport {
            endpoint: out.endpoint,
            results,
            last: true,
        }];
        self.send_report(lanes, &[response.to_vec()])
            .expect("a report is taken");
    }

    /// The consumer's word on sends of one lane; `last`: it sends nothing more of it.
    pub fn report_lane(&mut self, sends: &[(&Out, Answer)], last: bool) {
        let results = sends
            .iter()
            .map(|(out, answer)| result_of(out, *answer, self.now));
        self.report_results(LaneReport {
            endpoint: sends.first().map_or(0, |(out, _)| out.endpoint),
            results: results.collect(),
            last,
        });
    }

    /// The same, result by result.
    pub fn report_results(&mut self, lane: LaneReport) {
        let bodies: Vec<Vec<u8>> = lane.results.iter().map(|_| b"thanks".to_vec()).collect();
        self.send_report(vec![lane], &bodies).expect("a report is taken");
    }

    /// The consumer's word on sends.
    pub fn try_report(&mut self, sends: &[(&Out, Answer)]) -> Result<(), Problem> {
        let lanes = sends
            .iter()
            .map(|(out, answer)| LaneReport {
                endpoint: out.endpoint,
                results: vec![result_of(out, *answer, self.now)],
                last: true,
            })
            .collect();
        let bodies: Vec<Vec<u8>> = sends.iter().map(|_| b"thanks".to_vec()).collect();
        self.send_report(lanes, &bodies)
    }

    /// Time passes, and the alarm rings whenever it should.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        let mut runs = 0;
        while let Some(at) = self.storage.native().alarm().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.ring();
            runs += 1;
            assert!(runs <= 2000 + ms / 20, "the alarm spins: {runs} runs in {ms} ms");
        }
        self.now = end;
    }

    /// The alarm rings now: the platform takes it away first.
    pub fn ring(&mut self) {
        use postern_ledger::sql::Sql;
        self.storage
            .native()
            .set_alarm(None)
            .expect("an alarm is taken away");
        self.alarms += 1;
        self.ledger.alarm(self.now);
    }

    /// Time passes until something leaves, at most so long.
    pub fn pass_until_out(&mut self, most_ms: u64) -> Vec<Out> {
        let end = self.now.plus(most_ms);
        loop {
            let outs = self.outs();
            if !outs.is_empty() {
                return outs;
            }
            let Some(at) = self.storage.native().alarm().filter(|at| *at <= end) else {
                self.now = end;
                return Vec::new();
            };
            self.now = self.now.max(at);
            self.ring();
        }
    }

    /// A message, read back.
    pub fn message(&mut self, id: MessageId) -> Result<MessageView, Problem> {
        self.call(MessageGet {
            message: id.to_string(),
        })
    }

    /// All attempts of a message, newest first.
    pub fn attempts(&mut self, id: MessageId) -> Vec<AttemptView> {
        let page = PageOf {
            limit: 250,
            iterator: None,
            ascending: false,
        };
        let call = AttemptsOfMessage {
            message: id.to_string(),
            page,
            filter: AttemptFilter::default(),
        };
        self.call(call).expect("attempts are listed").data
    }

    /// The counts.
    pub fn inspect(&mut self) -> Value {
        self.call_as(Caller::System, Inspect {}, &[])
            .expect("an object that was set up is inspected")
            .0
    }

    /// Where a delivery stands, and how many attempts of the plan it has.
    #[must_use]
    pub fn stand(&self, message: MessageId, endpoint: u32) -> (Stand, u32) {
        self.stands_of(Some(message.0.sequence)).of(message, endpoint)
    }

    /// Where every delivery stands.
    #[must_use]
    pub fn stands(&self) -> Stands {
        self.stands_of(None)
    }

    fn stands_of(&self, only: Option<u64>) -> Stands {
        let connection = self.storage.native().connection();
        let pairs = |statement: &str| -> Vec<(u64, u64)> {
            let mut statement = connection.prepare_cached(statement).expect("a statement");
            let rows = statement
                .query_map([], |row| Ok((number(row, 0)?, number(row, 1)?)))
                .expect("rows");
            rows.collect::<Result<_, _>>().expect("pairs of numbers")
        };
        let segments = pairs("SELECT first, number FROM segment ORDER BY first");
        let mut rows = BTreeMap::new();
        // Of one message all rows of its endpoints, of which there are few.
        let ends = segments.iter().skip(1).map(|(first, _)| *first).chain([u64::MAX]);
        let wanted = segments
            .iter()
            .zip(ends)
            .filter(|((first, _), end)| only.is_none_or(|sequence| *first <= sequence && sequence < *end));
        let which = only.map_or_else(String::new, |sequence| {
            format!("WHERE endpoint IN (SELECT number FROM endpoint) AND sequence = {sequence}")
        });
        for ((_, segment), _) in wanted {
            let statement =
                format!("SELECT sequence, endpoint, state, attempts FROM delivery_{segment} {which}");
            let mut statement = connection.prepare_cached(&statement).expect("a statement");
            let read = |row: &rusqlite::Row<'_>| {
                Ok((
                    (number(row, 0)?, number(row, 1)?),
                    (row.get::<_, i64>(2)?, row.get::<_, u32>(3)?),
                ))
            };
            let all = statement.query_map([], read).expect("deliveries are read");
            rows.extend(all.map(|row| row.expect("a delivery")));
        }
        let cancelled = pairs("SELECT number, cancelled_through FROM endpoint")
            .into_iter()
            .collect();
        Stands {
            oldest: segments.first().map_or(u64::MAX, |(first, _)| *first),
            rows,
            cancelled,
        }
    }

    /// A count out of the tables.
    #[must_use]
    pub fn count(&self, from: &str) -> i64 {
        let statement = format!("SELECT count(*) FROM {from}");
        self.storage
            .native()
            .connection()
            .query_row(&statement, [], |row| row.get(0))
            .expect("rows are counted")
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self::new()
    }
}

/// The deliveries of a lane.
#[must_use]
pub fn outs_of(lane: Lane, bodies: &[Vec<u8>], queue: QueueKind) -> Vec<Out> {
    let endpoint = u32::try_from(lane.endpoint.0.sequence).expect("endpoint numbers are small");
    let out = |handout: Handout| {
        let body = handout.body.map(|at| {
            bodies
                .get(usize::from(at))
                .expect("the body is in the frame")
                .clone()
        });
        Out {
            queue,
            endpoint,
            handout,
            body,
        }
    };
    lane.deliveries.into_iter().map(out).collect()
}

/// A new ledger over a storage, told of the alarm as the shell tells it.
fn wake(storage: &Storage, settings: &Settings) -> Ledger<Storage> {
    let keys = MasterKeys::parse(MASTER_KEYS).expect("the tests' master keys");
    let mut ledger = Ledger::new(storage.clone(), Some(keys), settings.clone());
    ledger.alarm_is(storage.native().alarm());
    ledger
}

/// What a consumer says of a send.
#[must_use]
pub fn result_of(out: &Out, answer: Answer, now: Millis) -> SendResult {
    let (status, cause) = match answer {
        Answer::Ok => (Some(200), None),
        Answer::Broken => (Some(500), Some(Cause::ServerError)),
        Answer::RetryAfter(_) => (Some(503), Some(Cause::ServerError)),
        Answer::TooMany => (Some(429), Some(Cause::ClientError)),
        Answer::Gone => (Some(410), Some(Cause::ClientError)),
        Answer::Silence => (None, Some(Cause::Timeout)),
        Answer::Status(status) => (Some(status), Cause::of_status(status)),
    };
    SendResult {
        message: out.handout.message,
        number: out.handout.number,
        until: out.handout.until,
        trigger: out.handout.trigger,
        started_at: now,
        duration_ms: 20,
        waited_ms: 0,
        url: "https://shop.example/hook".to_owned(),
        status,
        cause,
        retry_after_ms: if let Answer::RetryAfter(ms) = answer {
            Some(ms)
        } else {
            None
        },
        schedule: None,
        sent_headers: Vec::new(),
        response_headers: Vec::new(),
    }
}

/// The number in an endpoint's id.
#[must_use]
pub fn number_of(view: &EndpointView) -> u32 {
    u32::try_from(view.id.0.sequence).expect("endpoint numbers are small")
}

/// An endpoint's configuration: a URL, and what is given.
#[must_use]
pub fn endpoint_config(settings: Value) -> EndpointConfig {
    let mut config = json!({"url": "https://shop.example/hook"});
    if let (Some(config), Value::Object(settings)) = (config.as_object_mut(), settings) {
        config.extend(settings);
    }
    serde_json::from_value(config).expect("an endpoint's configuration")
}

/// An `Idempotency-Key` with a body, as the edge writes it.
#[must_use]
pub fn idempotency(key: &str, body: &str) -> wire::call::Idempotency {
    let hex = |text: &str| {
        format!("{text:0<64}")
            .bytes()
            .map(|c| char::from(b"0123456789abcdef"[usize::from(c % 16)]))
            .collect()
    };
    wire::call::Idempotency {
        key: hex(key),
        fingerprint: hex(body),
    }
}

/// The code of a refusal.
pub fn code<T: std::fmt::Debug>(answer: Result<T, Problem>) -> Code {
    answer.expect_err("a refusal was expected").code
}
