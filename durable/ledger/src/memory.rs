//! What the ledger keeps in memory: a copy of its configuration and of where things stand.

use std::collections::BTreeMap;
use std::rc::Rc;

use postern_domain::id::{Address, EndpointId, MessageId, OrganisationId, TenantId};
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::TenantSettings;

use crate::endpoint::Endpoint;
use crate::flight::Flight;
use crate::gate::{Health, Samples};
use crate::line::{Line, LineKey};
use crate::segment::{KeyGeneration, Segment};
use crate::source::Source;
use crate::sql::{Row, Sql};
use crate::throttle::Bucket;
use crate::{Gates, Ledger, Rules, schema};

/// The copy. Read when the object wakes; the cost does not grow with what is stored.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) tenant: TenantId,
    pub(crate) organisation: OrganisationId,
    pub(crate) settings: TenantSettings,
    pub(crate) endpoints: BTreeMap<u32, Endpoint>,
    pub(crate) sources: BTreeMap<u16, Source>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) key_generations: Vec<KeyGeneration>,
    /// Of the newest message, or of the newest that ever was.
    pub(crate) last_sequence: u64,
    /// A message's time is never earlier than the one before it.
    pub(crate) last_time: Millis,
    /// Every (message, endpoint) at or below it has a delivery row, is in a line, or is cancelled.
    pub(crate) mark: u64,
    /// The mark as it is stored: may lag, which costs only a second look.
    pub(crate) mark_stored: u64,
    /// Every message at or below it stands in the statistics ([`crate::stat`]).
    pub(crate) counted: u64,
    /// Statistics of hours before this one were looked through for what is too old.
    pub(crate) stats_since: u64,
    pub(crate) lines: BTreeMap<LineKey, Line>,
    /// What of each endpoint is out.
    pub(crate) flights: BTreeMap<u32, Flight>,
    /// As the deployment set them.
    pub(crate) gates: Gates,
    pub(crate) rules: Rules,
    /// Endpoints that failed since their last success.
    pub(crate) health: BTreeMap<u32, Health>,
    pub(crate) samples: BTreeMap<u32, Samples>,
    /// Endpoints of which rows of `due` are parked, and when that is looked at.
    pub(crate) parked: BTreeMap<u32, Millis>,
    pub(crate) buckets: BTreeMap<u32, Bucket>,
    pub(crate) tenant_bucket: Option<Bucket>,
    /// The endpoint's last hand-out number.
    pub(crate) numbers: BTreeMap<u32, u64>,
    /// Endpoints whose latest result was a quick success.
    pub(crate) proven: BTreeMap<u32, bool>,
    /// How full the storage was when it was last looked at.
    pub(crate) fullness: crate::size::Fullness,
    /// What the tenant decided about entitlements; none: nothing.
    pub(crate) entitlement: Option<Rc<crate::entitlement::Kept>>,
    /// What waits to be told to the organisation.
    pub(crate) outbox: crate::outbox::Outbox,
    /// What waits to be routed to tenants.
    pub(crate) routing: crate::routing::Routing,
    /// When something of a source was last refused, per source: (slot, times within the minute, minute).
    pub(crate) rejections: BTreeMap<u16, (u64, u32, u64)>,
    /// Refusals that are counted and not written down yet, by source, hour and reason.
    pub(crate) refusals: BTreeMap<(u16, u64, String), u32>,
    /// When the next webhook of a source is on time, in microseconds.
    pub(crate) intake_next: BTreeMap<u16, u64>,
}

impl Memory {
    pub(crate) fn endpoint_id(endpoint: &Endpoint) -> EndpointId {
        EndpointId(Address {
            time: endpoint.created_at.0,
            shard: 0,
            sequence: endpoint.number.into(),
            random: endpoint.random,
        })
    }

    /// The next hand-out number of an endpoint: a time, and larger than every one before.
    pub(crate) fn next_number(&mut self, endpoint: u32, now: Millis) -> u64 {
        let last = self.numbers.entry(endpoint).or_default();
        let above = if self.rules.numbers_rise { *last + 1 } else { 0 };
        *last = now.0.max(above);
        *last
    }

    /// A number that was given before: whatever comes next is larger, though the clock be behind it.
    pub(crate) fn gave_number(&mut self, endpoint: u32, number: u64) {
        let last = self.numbers.entry(endpoint).or_default();
        *last = number.max(*last);
    }

    /// What of an endpoint is out.
    pub(crate) fn flight(&mut self, endpoint: u32) -> &mut Flight {
        let Gates { window, unproven, .. } = self.gates;
        let flight = self.flights.entry(endpoint);
        flight.or_insert_with(|| Flight::new(window, unproven))
    }

    /// The segment that a message of this number stands in, if it still does.
    pub(crate) fn segment_of(&self, sequence: u64) -> Option<&Segment> {
        let behind = self.segments.partition_point(|segment| segment.first <= sequence);
        self.segments
            .get(behind.checked_sub(1)?)
            .filter(|_| sequence <= self.last_sequence)
    }

    /// The same, unless it is about to be dropped: no hand-outs from it.
    pub(crate) fn open_segment_of(&self, sequence: u64) -> Option<u64> {
        self.segment_of(sequence)
            .filter(|segment| segment.closed_at.is_none())
            .map(|segment| segment.number)
    }
}

/// A message's id from its row.
pub(crate) fn message_id(sequence: u64, time: Millis, random: &[u8]) -> MessageId {
    let mut part = [0; 7];
    for (to, from) in part.iter_mut().zip(random) {
        *to = *from;
    }
    MessageId(Address {
        time: time.0,
        shard: 0,
        sequence,
        random: part,
    })
}

impl<S: Sql> Ledger<S> {
    /// The copy, read from storage if it is not there. An object that was never set up, or was wiped, is 404.
    pub(crate) fn memory(&mut self) -> Result<&mut Memory, Problem> {
        if self.memory.is_none() {
            let memory = self.read()?;
            self.memory = Some(memory);
            let read = self.recall(self.clock).and_then(|()| self.expects_an_alarm());
            if let Err(problem) = read {
                self.memory = None;
                return Err(problem);
            }
        }
        self.memory.as_mut().ok_or_else(Problem::not_found)
    }

    /// Where messages are there is an alarm, if only for their end. One that is not there was lost while nobody looked; where
    /// a write that failed has made it unknown, it rings at once and finds out.
    fn expects_an_alarm(&mut self) -> Result<(), Problem> {
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        let oldest = memory.segments.first().map_or(u64::MAX, |segment| segment.first);
        let expected = matches!(self.armed, crate::Armed::No | crate::Armed::Unknown);
        if expected && memory.last_sequence >= oldest {
            self.armed = self.wake_by(self.clock.plus(1), self.clock)?;
        }
        Ok(())
    }

    fn read(&self) -> Result<Memory, Problem> {
        let version = schema::version(&self.sql)?.ok_or_else(Problem::not_found)?;
        let meta = |name: &str| -> Result<Option<Row>, Problem> {
            self.sql
                .row("SELECT value FROM meta WHERE name = ?", &[name.into()])
        };
        let text =
            |name: &str| -> Result<String, Problem> { meta(name)?.ok_or_else(Problem::not_found)?.text(0) };
        // A wiped object keeps one row, and that is not `tenant`.
        let tenant = text("tenant")?;
        if version < schema::SCHEMA_VERSION {
            self.sql.atomic(|sql| schema::upgrade(sql, version))?;
        }
        let settings = text("settings")?;
        let mark = meta("mark")?.map_or(Ok(0), |row| row.number(0))?;
        let segments = self.read_segments()?;
        let newest = segments.last().ok_or_else(|| Problem::internal("no segment"))?;
        let statement = format!(
            "SELECT sequence, time FROM message_{} ORDER BY sequence DESC LIMIT 1",
            newest.number
        );
        let (last_sequence, last_time) = match self.sql.row(&statement, &[])? {
            Some(row) => (row.number(0)?, row.time(1)?),
            None => (newest.first.saturating_sub(1), newest.opened_at),
        };
        let tenant: TenantId = tenant.parse().map_err(Problem::internal)?;
        let organisation = text("organisation")?.parse().map_err(Problem::internal)?;
        let app_level = tenant == postern_domain::app_level::ledger_of(organisation);
        let operational = tenant == postern_domain::operational::tenant_of(organisation);
        Ok(Memory {
            tenant,
            organisation,
            settings: json::read(&settings).map_err(Problem::internal)?,
            endpoints: self.read_endpoints()?,
            sources: self.read_sources()?,
            segments,
            key_generations: self.read_key_generations()?,
            last_sequence,
            last_time,
            mark,
            mark_stored: mark,
            counted: meta("counted")?.map_or(Ok(0), |row| row.number(0))?,
            stats_since: 0,
            lines: self.read_lines()?,
            flights: BTreeMap::new(),
            gates: self.settings.gates,
            rules: self.settings.rules,
            health: Health::read_all(&self.sql)?,
            samples: BTreeMap::new(),
            parked: BTreeMap::new(),
            buckets: BTreeMap::new(),
            tenant_bucket: None,
            numbers: BTreeMap::new(),
            proven: BTreeMap::new(),
            fullness: crate::size::Fullness::Unknown,
            entitlement: self.read_entitlement()?,
            outbox: self.read_outbox(operational)?,
            routing: self.read_routing(app_level)?,
            rejections: BTreeMap::new(),
            refusals: BTreeMap::new(),
            intake_next: BTreeMap::new(),
        })
    }
}
