//! A tenant's ledger on `SQLite` with a clock, randomness and a consumer that tests move by hand.
#![expect(
    clippy::missing_panics_doc,
    reason = "a driver of tests panics where something is not as it should be"
)]

use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::outcome::Cause;
use postern_domain::problem::Problem;
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    Accept, Accepted, AttemptFilter, AttemptsOfMessage, Caller, EndpointCreate, Envelope, PageOf, Report,
    SetUp, TenantCall,
};
use postern_domain::wire::lane::{Handout, Lane};
use postern_domain::wire::report::{LaneReport, SendResult};
use postern_domain::wire::{AttemptView, EndpointConfig, EndpointView, HeaderNames, VERSION, frame};
use postern_ledger::native::NativeSql;
use postern_ledger::sql::Sql;
use postern_ledger::{Ledger, Random, Settings};

/// The organisation that operates the tenant.
pub const ORGANISATION: OrganisationId = OrganisationId([7; 20]);

/// The tenant.
pub const TENANT: TenantId = TenantId([9; 20]);

/// When the clock starts.
pub const START: Millis = Millis(1_800_000_000_000);

/// Randomness that repeats: a linear congruence is enough to be different each time.
#[derive(Debug)]
pub struct Seeded(pub u64);

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *byte = self.0.to_be_bytes()[0];
        }
    }
}

/// The ledger in the hands of a test.
#[derive(Debug)]
pub struct Bench {
    /// None only while it is taken apart.
    ledger: Option<Ledger<NativeSql>>,
    settings: Settings,
    /// The clock.
    pub now: Millis,
    /// The randomness.
    pub random: Seeded,
}

/// A lane as the consumer gets it.
#[derive(Debug, Clone)]
pub struct Got {
    /// Its head.
    pub lane: Lane,
    /// Its bodies.
    pub bodies: Vec<Vec<u8>>,
}

impl Bench {
    /// A tenant that was set up.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        let mut bench = Self::empty(settings, seed);
        let set_up = SetUp {
            organisation: ORGANISATION,
            settings: <_>::default(),
        };
        bench.ask(set_up).expect("a fresh object is set up");
        bench
    }

    /// An object that was never set up.
    #[must_use]
    pub fn empty(settings: Settings, seed: u64) -> Self {
        let ledger = Some(Ledger::new(NativeSql::in_memory(), keys(), settings.clone()));
        Self {
            ledger,
            settings,
            now: START,
            random: Seeded(seed),
        }
    }

    /// The ledger itself.
    pub fn ledger(&mut self) -> &mut Ledger<NativeSql> {
        self.ledger.as_mut().expect("whole between calls")
    }

    /// The storage.
    #[must_use]
    pub fn sql(&self) -> &NativeSql {
        self.ledger.as_ref().expect("whole between calls").sql()
    }

    /// The object loses its memory, and what waited to leave with it.
    pub fn evict(&mut self) {
        let sql = self.ledger.take().expect("whole between calls").into_sql();
        let alarm = sql.alarm();
        let mut ledger = Ledger::new(sql, keys(), self.settings.clone());
        ledger.alarm_is(alarm);
        self.ledger = Some(ledger);
    }

    /// Asks as the organisation, with bodies beside the call.
    pub fn ask_with<T: TenantCall>(
        &mut self,
        call: T,
        bodies: &[Vec<u8>],
    ) -> Result<(T::Answer, Vec<Vec<u8>>), Problem> {
        self.ask_as(Caller::Organisation(ORGANISATION), call, bodies)
    }

    /// Asks as the organisation.
    pub fn ask<T: TenantCall>(&mut self, call: T) -> Result<T::Answer, Problem> {
        self.ask_with(call, &[]).map(|(answer, _)| answer)
    }

    /// Asks as anybody.
    pub fn ask_as<T: TenantCall>(
        &mut self,
        caller: Caller,
        call: T,
        bodies: &[Vec<u8>],
    ) -> Result<(T::Answer, Vec<Vec<u8>>), Problem> {
        let envelope = Envelope {
            v: VERSION,
            tenant: TENANT,
            caller,
            call: call.into(),
        };
        let request = frame::encode(&envelope, bodies).expect("a call is a frame");
        let ledger = self.ledger.as_mut().expect("whole between calls");
        let replied = ledger.call(&request, self.now, &mut self.random);
        assert_eq!(replied.cause, None, "nothing went wrong inside");
        let (reply, bodies) =
            frame::decode::<Result<T::Answer, Problem>>(&replied.frame).expect("an answer is a frame");
        reply.map(|answer| (answer, bodies))
    }

    /// Publishes a message of this type.
    pub fn publish(&mut self, event_type: &str, event_id: Option<&str>) -> Result<Accepted, Problem> {
        let accept = self.accept(event_type, event_id);
        self.ask_with(accept, &[b"{\"n\":1}".to_vec()])
            .map(|(accepted, _)| accepted)
    }

    /// What a publish asks.
    pub fn accept(&mut self, event_type: &str, event_id: Option<&str>) -> Accept {
        Accept {
            nonce: self.random.number() >> 11,
            sent_at: self.now,
            repeat: false,
            source: None,
            event_type: event_type.to_owned(),
            event_id: event_id.map(str::to_owned),
            channels: None,
            content_type: "application/json".to_owned(),
            headers: <_>::default(),
            hop: 0,
            idempotency: None,
        }
    }

    /// An endpoint that wants everything, with one second between tries and three of them.
    pub fn endpoint(&mut self) -> EndpointView {
        self.endpoint_with(|_| {})
    }

    /// An endpoint, changed before it is made.
    pub fn endpoint_with(&mut self, change: impl FnOnce(&mut EndpointConfig)) -> EndpointView {
        let mut config = config();
        change(&mut config);
        self.ask(EndpointCreate {
            config,
            secret: None,
            idempotency: None,
        })
        .expect("an endpoint is made")
    }

    /// What leaves for the queues now.
    pub fn lanes(&mut self) -> Vec<Got> {
        let lanes = self.ledger().take_lanes().expect("lanes are taken");
        let read = |frame: &Vec<u8>| {
            let (lane, bodies) = frame::decode::<Lane>(frame).expect("a lane is a frame");
            Got { lane, bodies }
        };
        lanes.iter().map(|out| read(&out.frame)).collect()
    }

    /// The clock goes on, and the alarm rings whenever it is due.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        let mut rings = 0;
        while let Some(at) = self.sql().alarm().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.ring();
            rings += 1;
            assert!(rings < 100_000, "the alarm spins");
        }
        self.now = end;
    }

    /// The alarm rings now.
    pub fn ring(&mut self) {
        self.sql().set_alarm(None).expect("in memory");
        let now = self.now;
        self.ledger().alarm(now);
        let failed: Vec<_> = self
            .ledger()
            .take_notices()
            .into_iter()
            .filter(|notice| notice.event == "alarm_task_failed")
            .collect();
        assert!(failed.is_empty(), "{failed:?}");
    }

    /// Reports one hand-out as answered with this status.
    pub fn report(&mut self, lane: &Lane, handout: &Handout, status: u16) {
        self.report_after(lane, handout, status, None);
    }

    /// The same with a `Retry-After`.
    pub fn report_after(&mut self, lane: &Lane, handout: &Handout, status: u16, retry_after_ms: Option<u64>) {
        let report = Report {
            lanes: vec![result_of(lane, handout, status, self.now, retry_after_ms)],
        };
        self.ask_as(Caller::System, report, &[b"response".to_vec()])
            .expect("a report is taken");
    }

    /// Every hand-out that leaves now is answered with this status; answers how many there were.
    pub fn deliver_all(&mut self, status: u16) -> usize {
        let lanes = self.lanes();
        for got in &lanes {
            for handout in &got.lane.deliveries {
                self.report(&got.lane, handout, status);
            }
        }
        lanes.iter().map(|got| got.lane.deliveries.len()).sum()
    }

    /// The attempts of a message, newest first.
    pub fn attempts(&mut self, message: &str) -> Vec<AttemptView> {
        let page = PageOf {
            limit: 250,
            iterator: None,
            ascending: false,
        };
        let call = AttemptsOfMessage {
            message: message.to_owned(),
            page,
            filter: AttemptFilter::default(),
        };
        self.ask(call).expect("attempts are listed").data
    }
}

/// One result as a lane's report.
#[must_use]
pub fn result_of(
    lane: &Lane,
    handout: &Handout,
    status: u16,
    now: Millis,
    retry_after_ms: Option<u64>,
) -> LaneReport {
    let result = SendResult {
        message: handout.message,
        number: handout.number,
        until: handout.until,
        trigger: handout.trigger,
        started_at: now,
        duration_ms: 20,
        waited_ms: 0,
        url: lane.url.clone(),
        status: Some(status),
        cause: Cause::of_status(status, false),
        retry_after_ms,
    };
    LaneReport {
        endpoint: u32::try_from(lane.endpoint.0.sequence).unwrap_or(0),
        results: vec![result],
        last: true,
    }
}

/// An endpoint's configuration to begin with.
#[must_use]
pub fn config() -> EndpointConfig {
    EndpointConfig {
        url: "https://example.com/hook".to_owned(),
        description: String::new(),
        uid: None,
        event_types: None,
        channels: None,
        throttle_rate: None,
        disabled: false,
        metadata: <_>::default(),
        headers: <_>::default(),
        retry_schedule: postern_domain::schedule::Schedule::new(vec![1, 1]).ok(),
        header_names: HeaderNames::Standard,
    }
}

fn keys() -> Option<MasterKeys> {
    MasterKeys::parse("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").ok()
}
