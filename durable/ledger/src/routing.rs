//! The organisation's ledger brings what came through its app-level sources to the tenants that claim it.
//!
//! Nothing is written for it at accept: the messages themselves are the list of what is to be done, and the number
//! `routed` says how far that is done. A slice of them is looked up in the directory (by the shell, behind the accept; what
//! it says is believed for a minute), pushed to the tenants' objects, and the number moves once each of them has answered.
//! Whoever did not take it gets a row in `routing`, and whatever comes for it later queues up behind, so that one tenant
//! keeps no other waiting and each gets its events in order. What a crash cut off is pushed again: the tenant knows an
//! event by its message here, and stores it once.
//!
//! A body that stands in the bucket stands below this ledger's name, and goes with its message here. Each tenant gets a copy
//! below its own name before it is pushed to: nobody's content hangs on another's. That takes longer than a slice may, so
//! it is done for each tenant by itself, as for one that did not take something.
//!
//! What nobody claims stands in [`crate::unrouted`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use postern_domain::app_level::{self, ROUTE, UNSIGNED_ROUTE};
use postern_domain::digest;
use postern_domain::id::{MessageId, OrganisationId, SourceId, TenantId};
use postern_domain::json;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Caller, Envelope, Reply};
use postern_domain::wire::inbound::{BodyAt, body_key};
use postern_domain::wire::route::{
    RouteChanged, RouteIn, RouteLarge, RouteTaken, RouteTrust, RouteTrustView, RoutedEvent, Unrouted,
};
use postern_domain::wire::{self, frame};

use crate::decided::Decided;
use crate::endpoint::store_number;
use crate::memory::{Memory, message_id};
use crate::sql::{Row, Sql, Value};
use crate::unrouted::{self, Missed};
use crate::{Ledger, schema};

/// Messages that a slice looks at.
const SLICE: usize = 64;

/// Bytes of bodies in one slice; its last one may pass them.
const SLICE_BYTES: usize = 2 << 20;

/// A slice has this long; the shell gives up earlier. Then, and after a crash, it is done again.
const LEASE_MS: u64 = 30_000;

/// What the directory said is believed for so long.
const CLAIMS_MS: u64 = 60_000;

/// Keys whose claims are remembered at the most.
const MOST_CLAIMS: usize = 4096;

/// A tenant that did not take something is asked again after 1 s, 2 s, 4 s … and at most this.
const BACKOFF_MS: u64 = 3_600_000;

/// The same for a directory that does not answer.
const LOOK_BACKOFF_MS: u64 = 300_000;

/// Tenants that are brought what they did not take, at the same time.
const BEHIND: usize = 8;

/// Where the routing stands.
#[derive(Debug)]
pub(crate) struct Routing {
    /// It is an organisation's ledger for app-level sources; any other routes nothing.
    on: bool,
    /// Every message at or below it is routed, or stands in a table that says who still lacks it.
    through: u64,
    /// The shell may take a slice.
    offered: bool,
    /// Offers since the last answer.
    offers: u32,
    /// No offer before this.
    not_before: Millis,
    /// Times that the directory did not answer, one after another.
    unanswered: u32,
    /// Who claims a key of a source, and when the directory said so.
    claims: HashMap<(u16, String), (Vec<TenantId>, Millis)>,
    /// Tenants that lack something.
    behind: BTreeMap<TenantId, Behind>,
    /// Sources whose unsigned keys are trusted.
    trusted: BTreeSet<u16>,
}

/// A tenant that lacks something.
#[derive(Debug, Clone, Copy)]
struct Behind {
    tries: u32,
    next_at: Millis,
    /// The shell may ask it.
    offered: bool,
    /// It is being asked, until `next_at`.
    out: bool,
}

impl Behind {
    const fn new(tries: u32, next_at: Millis) -> Self {
        Self {
            tries,
            next_at,
            offered: false,
            out: false,
        }
    }
}

impl Routing {
    /// Whether this is a ledger that routes.
    pub(crate) const fn is_on(&self) -> bool {
        self.on
    }

    /// When the alarm has to stand behind what is being accepted.
    pub(crate) fn wake(&self, now: Millis) -> Option<Millis> {
        self.on.then(|| now.plus(LEASE_MS).max(self.not_before))
    }

    /// When the alarm has something to do here.
    pub(crate) fn next_at(&self, last: u64) -> Option<Millis> {
        if !self.on {
            return None;
        }
        let slice = (self.through < last).then_some(self.not_before);
        let behind = self.behind.values().map(|behind| behind.next_at).min();
        slice.into_iter().chain(behind).min()
    }

    fn offer(&mut self, now: Millis, last: u64) {
        if self.through < last && now >= self.not_before {
            self.offered = true;
            self.not_before = now.plus(LEASE_MS << self.offers.min(6));
            self.offers += 1;
        }
    }

    /// The same for tenants that are behind.
    fn offer_behind(&mut self, now: Millis) {
        for behind in self.behind.values_mut().filter(|behind| now >= behind.next_at) {
            behind.offered = true;
            behind.next_at = now.plus(LEASE_MS);
        }
    }

    fn answered(&mut self) {
        self.offers = 0;
        self.not_before = Millis(0);
    }

    /// A tenant that is to be asked now.
    fn due(&self, now: Millis) -> Option<TenantId> {
        let out = self
            .behind
            .values()
            .filter(|behind| behind.out && now < behind.next_at);
        if out.count() >= BEHIND {
            return None;
        }
        let mut due = self
            .behind
            .iter()
            .filter(|(_, behind)| behind.offered || now >= behind.next_at);
        due.next().map(|(tenant, _)| *tenant)
    }

    /// A tenant lacks something from now on, if it did not before.
    pub(crate) fn lacks(&mut self, tenant: TenantId, now: Millis) {
        self.behind.entry(tenant).or_insert(Behind::new(0, now));
    }
}

/// What the shell shall do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoutingOut {
    /// Ask the directory, and bring the answer to [`Ledger::routes_found`].
    Look(LookOut),
    /// Ask all of these objects at the same time, and bring their answers to [`Ledger::slice_pushed`].
    Slice(SliceOut),
    /// Ask this object, beside whatever else goes on, and bring its answer to [`Ledger::behind_pushed`].
    Behind(PushOut),
}

/// A question for the directory: which tenants claim these keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookOut {
    /// Whose directory.
    pub organisation: OrganisationId,
    /// Of this source.
    pub source: SourceId,
    /// Keys, each once.
    pub keys: Vec<String>,
    number: u16,
}

/// A call of one tenant's object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushOut {
    /// The object to ask.
    pub to: TenantId,
    /// Bodies that are to be copied in the bucket before: from this key to that one, which is the tenant's.
    pub copies: Vec<(String, String)>,
    /// The call.
    pub frame: Vec<u8>,
    /// The messages that are in it.
    sequences: Vec<u64>,
}

/// A slice on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceOut {
    /// Calls of different objects.
    pub pushes: Vec<PushOut>,
    /// The slice begins behind this message and ends with that one.
    range: (u64, u64),
    /// What tenants that are behind already get later.
    deferred: Vec<(TenantId, u64)>,
    /// What nobody gets.
    missed: Vec<Missed>,
    /// What somebody gets: who turns out to be gone leaves it behind.
    routed: Vec<Missed>,
}

/// A message of this ledger, as it is routed.
struct Stored {
    id: MessageId,
    source: u16,
    event_type: String,
    event_id: Option<String>,
    hop: u8,
    content_type: String,
    headers: BTreeMap<String, String>,
    /// It is too large for the ledger.
    body_at: Option<BodyAt>,
}

/// The same with its body: empty, where it stands elsewhere.
type WithBody = (Stored, Vec<u8>);

impl Stored {
    /// Bytes of its body, wherever it stands.
    fn size(&self, body: &[u8]) -> usize {
        let elsewhere = self.body_at.as_ref().map_or(0, |at| at.size);
        body.len() + usize::try_from(elsewhere).unwrap_or(usize::MAX / 2)
    }

    fn key(&self) -> &str {
        let key = self
            .headers
            .get(ROUTE)
            .or_else(|| self.headers.get(UNSIGNED_ROUTE));
        key.map_or("", String::as_str)
    }

    fn is_signed(&self) -> bool {
        !self.headers.contains_key(UNSIGNED_ROUTE)
    }

    fn missed(&self, why: Unrouted) -> Missed {
        Missed {
            sequence: self.id.0.sequence,
            source: self.source,
            key: self.key().to_owned(),
            why,
            time: Millis(self.id.0.time),
            event_type: self.event_type.clone(),
        }
    }
}

impl<S: Sql> Ledger<S> {
    pub(crate) fn read_routing(&self, on: bool) -> Result<Routing, Problem> {
        let mut routing = Routing {
            on,
            through: 0,
            offered: false,
            offers: 0,
            not_before: Millis(0),
            unanswered: 0,
            claims: HashMap::new(),
            behind: BTreeMap::new(),
            trusted: BTreeSet::new(),
        };
        if !on {
            return Ok(routing);
        }
        let through = self
            .sql
            .row("SELECT value FROM meta WHERE name = 'routed'", &[])?;
        routing.through = through.map_or(Ok(0), |row| row.number(0))?;
        for row in self
            .sql
            .rows("SELECT tenant, tries, next_at FROM routing_behind", &[])?
        {
            let behind = Behind::new(row.small(1)?, row.time(2)?);
            routing.behind.insert(tenant_of(&row, 0)?, behind);
        }
        for row in self.sql.rows("SELECT source FROM routing_trust", &[])? {
            routing.trusted.insert(row.small(0)?);
        }
        Ok(routing)
    }

    /// Whether there is something to route now.
    #[must_use]
    pub fn has_routing(&self, now: Millis) -> bool {
        self.memory.as_ref().is_some_and(|memory| {
            let routing = &memory.routing;
            let slice =
                routing.through < memory.last_sequence && (routing.offered || now >= routing.not_before);
            routing.on && (slice || routing.due(now).is_some())
        })
    }

    /// The alarm's part: lets the shell take a slice, once this run is over, and forgets what went with its messages.
    pub(crate) fn offer_routing(&mut self, now: Millis) -> Result<bool, Problem> {
        let memory = self.memory()?;
        if !memory.routing.on {
            return Ok(false);
        }
        memory.routing.offer(now, memory.last_sequence);
        memory.routing.offer_behind(now);
        self.prune_unrouted()
    }

    /// What is to be done now. Nobody else takes the same until it is answered, or until the lease is over.
    pub fn take_routing(&mut self, now: Millis) -> Result<Option<RoutingOut>, Problem> {
        let memory = self.memory()?;
        if !memory.routing.on {
            return Ok(None);
        }
        if let Some(tenant) = memory.routing.due(now)
            && let Some(push) = self.take_behind(tenant, now)?
        {
            return Ok(Some(RoutingOut::Behind(push)));
        }
        let memory = self.memory()?;
        memory.routing.offer(now, memory.last_sequence);
        if !std::mem::take(&mut memory.routing.offered) {
            return Ok(None);
        }
        let from = memory.routing.through;
        let (slice, through) = self.slice_behind(from)?;
        if let Some(look) = self.unknown_claims(&slice, now)? {
            return Ok(Some(RoutingOut::Look(look)));
        }
        self.plan(&slice, (from, through), now)
            .map(|slice| Some(RoutingOut::Slice(slice)))
    }

    /// What the directory said of a [`LookOut`]: each key with a tenant that claims it, or `None` where it did not answer.
    pub fn routes_found(
        &mut self,
        look: &LookOut,
        found: Option<Vec<(String, TenantId)>>,
        now: Millis,
    ) -> Result<(), Problem> {
        let routing = &mut self.memory()?.routing;
        let Some(found) = found else {
            let wait = 1000_u64
                .saturating_mul(1 << routing.unanswered.min(20))
                .min(LOOK_BACKOFF_MS);
            routing.unanswered += 1;
            routing.not_before = now.plus(wait);
            let at = routing.not_before;
            self.notice("routes_not_found_out", "the directory did not answer");
            self.armed = self.wake_by(at, now)?;
            return Ok(());
        };
        routing.unanswered = 0;
        routing.answered();
        if routing.claims.len() + look.keys.len() > MOST_CLAIMS {
            routing.claims.clear();
        }
        for key in &look.keys {
            let claim = routing.claims.entry((look.number, key.clone())).or_default();
            *claim = (Vec::new(), now);
        }
        let mut too_many = false;
        for (key, tenant) in found {
            if let Some((tenants, _)) = routing.claims.get_mut(&(look.number, key))
                && !tenants.contains(&tenant)
            {
                if tenants.len() < app_level::MAX_CLAIMS {
                    tenants.push(tenant);
                } else {
                    too_many = true;
                }
            }
        }
        if too_many {
            let text = format!(
                "{}: more than {} applications claim one key",
                look.source,
                app_level::MAX_CLAIMS
            );
            self.notice("too_many_claims", text);
        }
        Ok(())
    }

    /// What the objects of a slice answered, in the order of its pushes: a frame each, or `None` where no answer came.
    /// Whoever has it is done with; whoever has not gets it later; then the slice is over.
    pub fn slice_pushed(
        &mut self,
        slice: &SliceOut,
        answers: &[Option<Vec<u8>>],
        now: Millis,
    ) -> Result<(), Problem> {
        if self.is_over()? || self.memory()?.routing.through != slice.range.0 {
            return Ok(()); // wiped meanwhile, or done by somebody else after the lease
        }
        let (mut deferred, mut gone) = (slice.deferred.clone(), BTreeSet::new());
        let mut failed = BTreeSet::new();
        for (at, push) in slice.pushes.iter().enumerate() {
            match read_answer(answers.get(at).and_then(Option::as_deref)) {
                Taken::Yes => {}
                Taken::Gone => {
                    gone.insert(push.to);
                }
                Taken::No(why) => {
                    self.notice("not_routed", format!("{}: {why}", push.to));
                    failed.insert(push.to);
                    deferred.extend(push.sequences.iter().map(|sequence| (push.to, *sequence)));
                }
            }
        }
        // What only tenants that are gone have claimed is nobody's.
        let has = |sequence: u64| {
            let pushes = slice.pushes.iter().filter(|push| !gone.contains(&push.to));
            pushes.into_iter().any(|push| push.sequences.contains(&sequence))
                || deferred.iter().any(|(_, later)| *later == sequence)
        };
        let left = slice.routed.iter().filter(|event| !has(event.sequence)).cloned();
        let missed: Vec<Missed> = slice.missed.iter().cloned().chain(left).collect();
        let behind: BTreeSet<TenantId> = deferred.iter().map(|(tenant, _)| *tenant).collect();
        let retry = now.plus(1000);
        let armed = self.sql.atomic(|sql| {
            for (tenant, sequence) in &deferred {
                insert_routing(sql, *tenant, *sequence)?;
            }
            for tenant in &behind {
                let (tries, at) = if failed.contains(tenant) {
                    (1, retry)
                } else {
                    (0, now)
                };
                insert_behind(sql, *tenant, tries, at)?;
            }
            unrouted::insert(sql, &missed)?;
            store_number(sql, "routed", slice.range.1)?;
            if behind.is_empty() {
                Ok(self.armed)
            } else {
                self.wake_by(retry, now)
            }
        })?;
        self.armed = armed;
        let routing = &mut self.memory()?.routing;
        for tenant in behind {
            let (tries, at) = if failed.contains(&tenant) {
                (1, retry)
            } else {
                (0, now)
            };
            routing.behind.entry(tenant).or_insert(Behind::new(tries, at));
        }
        for tenant in gone {
            for (tenants, _) in routing.claims.values_mut() {
                tenants.retain(|claimant| *claimant != tenant);
            }
        }
        routing.through = slice.range.1;
        routing.answered();
        Ok(())
    }

    /// What the object of a tenant that was behind answered: a frame, or `None` where no answer came.
    pub fn behind_pushed(
        &mut self,
        push: &PushOut,
        answer: Option<&[u8]>,
        now: Millis,
    ) -> Result<(), Problem> {
        if self.is_over()? {
            return Ok(());
        }
        match read_answer(answer) {
            Taken::Yes => self.behind_took(push, &[], now),
            Taken::Gone => {
                let events = self.stored_of(&push.sequences)?;
                let missed: Vec<Missed> = events
                    .iter()
                    .map(|event| event.missed(Unrouted::ClaimantGone))
                    .collect();
                self.behind_took(push, &missed, now)
            }
            Taken::No(why) => {
                self.notice("not_routed", format!("{}: {why}", push.to));
                let known = self.memory()?.routing.behind.get(&push.to).copied();
                let tries = known.map_or(1, |behind| behind.tries.saturating_add(1));
                let wait = 1000_u64
                    .saturating_mul(1 << (tries.clamp(1, 20) - 1))
                    .min(BACKOFF_MS);
                let at = now.plus(wait);
                self.armed = self.sql.atomic(|sql| {
                    let statement = "UPDATE routing_behind SET tries = ?, next_at = ? WHERE tenant = ?";
                    sql.run(statement, &[tries.into(), at.into(), push.to.to_string().into()])?;
                    self.wake_by(at, now)
                })?;
                if let Some(behind) = self.memory()?.routing.behind.get_mut(&push.to) {
                    *behind = Behind::new(tries, at);
                }
                Ok(())
            }
        }
    }

    /// The claims of a key changed: the directory is asked again at its next event.
    pub(crate) fn route_changed(&mut self, call: &RouteChanged) -> Result<(), Problem> {
        let number = self.source_number(&call.source)?;
        let routing = &mut self.memory()?.routing;
        if call.all {
            routing.claims.retain(|(source, _), _| *source != number);
        } else {
            routing.claims.remove(&(number, call.key.clone()));
        }
        Ok(())
    }

    /// Whether unsigned keys of a source route; changes it first, if that is asked.
    pub(crate) fn route_trust(&mut self, call: &RouteTrust) -> Result<RouteTrustView, Problem> {
        let number = self.source_number(&call.source)?;
        if let Some(unsigned) = call.unsigned {
            let statement = if unsigned {
                "INSERT OR IGNORE INTO routing_trust VALUES (?)"
            } else {
                "DELETE FROM routing_trust WHERE source = ?"
            };
            self.sql.run(statement, &[number.into()])?;
            let trusted = &mut self.memory()?.routing.trusted;
            if unsigned {
                trusted.insert(number);
            } else {
                trusted.remove(&number);
            }
        }
        let unsigned = self.memory()?.routing.trusted.contains(&number);
        Ok(RouteTrustView { unsigned })
    }

    /// Wiped, or never set up: nothing is to be written down any more.
    fn is_over(&self) -> Result<bool, Problem> {
        Ok(schema::version(&self.sql)?.is_none() || self.is_wiped())
    }

    /// Messages behind one, oldest first, with the number that the slice ends with.
    fn slice_behind(&mut self, from: u64) -> Result<(Vec<WithBody>, u64), Problem> {
        let memory = self.memory()?;
        let last = memory.last_sequence;
        let first = memory
            .segments
            .partition_point(|segment| segment.first <= from + 1)
            .saturating_sub(1);
        let segments: Vec<u64> = memory
            .segments
            .iter()
            .skip(first)
            .map(|segment| segment.number)
            .collect();
        let (mut slice, mut looked, mut bytes, mut through) = (Vec::new(), 0, 0, from);
        for segment in segments {
            let rest = SLICE - looked;
            if rest == 0 {
                break;
            }
            let statement = format!(
                "SELECT {STORED} FROM message_{segment} WHERE sequence > ? ORDER BY sequence LIMIT ?"
            );
            for row in self.sql.rows(&statement, &[from.into(), (rest as u64).into()])? {
                if bytes >= SLICE_BYTES {
                    return Ok((slice, through));
                }
                looked += 1;
                through = row.number(0)?;
                // What was not meant for routing, or was taken away.
                let Some(stored) = read_stored(&row)? else {
                    continue;
                };
                let body = self.body_of(segment, through)?;
                bytes += stored.size(&body);
                slice.push((stored, body));
            }
        }
        // Numbers behind the last message that was found are of messages that are gone.
        let through = if looked < SLICE { last } else { through };
        Ok((slice, through))
    }

    fn body_of(&self, segment: u64, sequence: u64) -> Result<Vec<u8>, Problem> {
        let statement = format!("SELECT body FROM message_{segment} WHERE sequence = ?");
        let row = self.sql.row(&statement, &[sequence.into()])?;
        row.map_or_else(|| Ok(Vec::new()), |row| row.blob(0))
    }

    /// The keys of a slice that the directory has to be asked for: those of one source.
    fn unknown_claims(&mut self, slice: &[WithBody], now: Millis) -> Result<Option<LookOut>, Problem> {
        let memory = self.memory()?;
        let routing = &memory.routing;
        let mut unknown: Option<(u16, BTreeSet<String>)> = None;
        for (event, _) in slice {
            if routing.refuses(event).is_some() {
                continue;
            }
            let place = (event.source, event.key().to_owned());
            let fresh = routing
                .claims
                .get(&place)
                .is_some_and(|(_, heard_at)| now.since(*heard_at) < CLAIMS_MS);
            if fresh {
                continue;
            }
            let (source, keys) = unknown.get_or_insert_with(|| (event.source, BTreeSet::new()));
            if *source == event.source {
                keys.insert(place.1);
            }
        }
        let Some((number, keys)) = unknown else {
            return Ok(None);
        };
        let source = memory.source_id(number).ok_or_else(Problem::not_found)?;
        Ok(Some(LookOut {
            organisation: memory.organisation,
            source,
            keys: keys.into_iter().collect(),
            number,
        }))
    }

    /// Who gets what of a slice.
    fn plan(&mut self, slice: &[WithBody], range: (u64, u64), now: Millis) -> Result<SliceOut, Problem> {
        let memory = self.memory()?;
        let routing = &memory.routing;
        let (mut deferred, mut missed, mut routed) = (Vec::new(), Vec::new(), Vec::new());
        let mut targets: BTreeMap<TenantId, Vec<usize>> = BTreeMap::new();
        let mut behind = BTreeSet::new();
        for (at, (event, _)) in slice.iter().enumerate() {
            if let Some(why) = routing.refuses(event) {
                missed.push(event.missed(why));
                continue;
            }
            let claims = routing.claims.get(&(event.source, event.key().to_owned()));
            let claimants = claims.map(|(tenants, _)| tenants.as_slice()).unwrap_or_default();
            if claimants.is_empty() {
                missed.push(event.missed(Unrouted::Unclaimed));
                continue;
            }
            routed.push(event.missed(Unrouted::ClaimantGone));
            for tenant in claimants {
                let large = event.body_at.is_some();
                if large {
                    behind.insert(*tenant);
                }
                // What follows something that comes later comes later, too.
                if behind.contains(tenant) || routing.behind.contains_key(tenant) {
                    deferred.push((*tenant, event.id.0.sequence));
                } else {
                    targets.entry(*tenant).or_default().push(at);
                }
            }
        }
        let mut pushes = Vec::with_capacity(targets.len());
        for (tenant, events) in targets {
            let events = events.iter().filter_map(|at| slice.get(*at));
            pushes.push(memory.push(tenant, events, now)?);
        }
        Ok(SliceOut {
            pushes,
            range,
            deferred,
            missed,
            routed,
        })
    }

    /// The next that a tenant lacks, as a call. `None`: it lacks nothing any more.
    fn take_behind(&mut self, tenant: TenantId, now: Millis) -> Result<Option<PushOut>, Problem> {
        let statement = "SELECT sequence FROM routing WHERE tenant = ? ORDER BY sequence LIMIT ?";
        let name = Value::from(tenant.to_string());
        let rows = self.sql.rows(statement, &[name.clone(), (SLICE as u64).into()])?;
        let sequences: Result<Vec<u64>, Problem> = rows.iter().map(|row| row.number(0)).collect();
        let sequences = sequences?;
        let (mut events, mut bytes, mut lost) = (Vec::new(), 0, Vec::new());
        for sequence in sequences {
            if bytes >= SLICE_BYTES {
                break;
            }
            let segment = self.memory()?.segment_of(sequence).map(|segment| segment.number);
            let stored = match segment {
                Some(segment) => self.stored_at(segment, sequence)?.map(|stored| (segment, stored)),
                None => None,
            };
            let Some((segment, stored)) = stored else {
                lost.push(sequence);
                continue;
            };
            let body = self.body_of(segment, sequence)?;
            bytes += stored.size(&body);
            events.push((stored, body));
        }
        if !lost.is_empty() {
            let text = format!("{tenant}: {} events went with their retention", lost.len());
            self.notice("routing_expired", text);
        }
        if events.is_empty() {
            let nothing = PushOut {
                to: tenant,
                copies: Vec::new(),
                frame: Vec::new(),
                sequences: lost,
            };
            self.behind_took(&nothing, &[], now)?;
            return Ok(None);
        }
        let memory = self.memory()?;
        let mut push = memory.push(tenant, events.iter(), now)?;
        push.sequences.extend(lost);
        if let Some(behind) = memory.routing.behind.get_mut(&tenant) {
            (behind.out, behind.offered) = (true, false);
            behind.next_at = now.plus(LEASE_MS);
        }
        Ok(Some(push))
    }

    /// A tenant is done with what was pushed: it has it, or it is gone and left it.
    fn behind_took(&mut self, push: &PushOut, missed: &[Missed], now: Millis) -> Result<(), Problem> {
        let more = self.sql.atomic(|sql| {
            for sequence in &push.sequences {
                delete_routing(sql, push.to, *sequence)?;
            }
            unrouted::insert(sql, missed)?;
            let more = lacks_more(sql, push.to)?;
            if !more {
                let name = push.to.to_string();
                sql.run("DELETE FROM routing_behind WHERE tenant = ?", &[name.into()])?;
            }
            Ok(more)
        })?;
        let routing = &mut self.memory()?.routing;
        routing.behind.remove(&push.to);
        if more {
            routing.lacks(push.to, now);
        }
        Ok(())
    }

    /// Those of these messages that are still there.
    fn stored_of(&mut self, sequences: &[u64]) -> Result<Vec<Stored>, Problem> {
        let mut found = Vec::new();
        for sequence in sequences {
            let segment = self.memory()?.segment_of(*sequence).map(|segment| segment.number);
            if let Some(segment) = segment {
                found.extend(self.stored_at(segment, *sequence)?);
            }
        }
        Ok(found)
    }

    fn stored_at(&self, segment: u64, sequence: u64) -> Result<Option<Stored>, Problem> {
        let statement = format!("SELECT {STORED} FROM message_{segment} WHERE sequence = ?");
        let row = self.sql.row(&statement, &[sequence.into()])?;
        row.map_or(Ok(None), |row| read_stored(&row))
    }

    /// What the alarm has to stand behind an accept for. Part of its transaction.
    pub(crate) fn routing_wake(&self, now: Millis) -> Option<Millis> {
        self.memory.as_ref().and_then(|memory| memory.routing.wake(now))
    }
}

impl Routing {
    /// Why an event goes to nobody, whoever claims its key.
    fn refuses(&self, event: &Stored) -> Option<Unrouted> {
        if event.key().is_empty() {
            return Some(Unrouted::NoKey);
        }
        let believed = event.is_signed() || self.trusted.contains(&event.source);
        (!believed).then_some(Unrouted::UnsignedKey)
    }
}

impl Memory {
    /// The call that brings events to a tenant.
    fn push<'a>(
        &self,
        to: TenantId,
        events: impl Iterator<Item = &'a WithBody>,
        now: Millis,
    ) -> Result<PushOut, Problem> {
        let (mut heads, mut bodies, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        let mut copies = Vec::new();
        for (event, body) in events {
            let source = self.sources.get(&event.source);
            // The same key for a day, so that a push that is repeated leaves nothing behind.
            let body_at = event.body_at.as_ref().map(|at| {
                let name = digest::half_of(event.id.to_string().as_bytes());
                let key = body_key(to, now, &name);
                copies.push((at.key.clone(), key.clone()));
                BodyAt { key, ..at.clone() }
            });
            heads.push(RoutedEvent {
                message: event.id,
                source: self.source_id(event.source).ok_or_else(Problem::not_found)?,
                source_name: source.map(|source| source.name.clone()).unwrap_or_default(),
                provider: source.map(|source| source.provider.clone()).unwrap_or_default(),
                forward: source.map(|source| source.options.forward).unwrap_or_default(),
                event_type: event.event_type.clone(),
                event_id: event.event_id.clone(),
                content_type: event.content_type.clone(),
                headers: event.headers.clone(),
                hop: event.hop,
                body_at,
            });
            bodies.push(body);
            sequences.push(event.id.0.sequence);
        }
        let envelope = Envelope {
            v: wire::VERSION,
            tenant: to,
            caller: Caller::Organisation(self.organisation),
            call: if copies.is_empty() {
                RouteIn { events: heads }.into()
            } else {
                RouteLarge { events: heads }.into()
            },
        };
        Ok(PushOut {
            to,
            copies,
            frame: frame::encode(&envelope, &bodies).map_err(Problem::internal)?,
            sequences,
        })
    }
}

/// Columns that [`read_stored`] reads.
const STORED: &str = "sequence, time, random, source, type, event_id, hop, content_type, headers, not_sent";

/// `None`: no event of a source, or its content was taken away, or its source is paused: what is held is stored once more
/// when it is let go, and routed then.
fn read_stored(row: &Row) -> Result<Option<Stored>, Problem> {
    let Some(source) = row.maybe(3, Row::small::<u16>)? else {
        return Ok(None);
    };
    let content_type = row.text(7)?;
    let decided = Decided::read(row.maybe(9, Row::text)?);
    if content_type.is_empty() || decided.held {
        return Ok(None);
    }
    let headers = row.maybe(8, Row::text)?.map(|text| json::read(&text)).transpose();
    Ok(Some(Stored {
        id: message_id(row.number(0)?, row.time(1)?, &row.blob(2)?),
        source,
        event_type: row.text(4)?,
        event_id: row.maybe(5, Row::text)?,
        hop: row.small(6)?,
        content_type,
        headers: headers.map_err(Problem::internal)?.unwrap_or_default(),
        body_at: decided.body_at,
    }))
}

/// What a tenant's object said.
enum Taken {
    Yes,
    /// There is no such tenant any more.
    Gone,
    No(String),
}

fn read_answer(answer: Option<&[u8]>) -> Taken {
    match answer.map(frame::decode::<Reply<RouteTaken>>) {
        None => Taken::No("no answer".to_owned()),
        Some(Err(error)) => Taken::No(error.to_string()),
        Some(Ok((Ok(RouteTaken { .. }), _))) => Taken::Yes,
        Some(Ok((Err(problem), _))) if problem.code == Code::NotFound => Taken::Gone,
        Some(Ok((Err(problem), _))) => Taken::No(problem.to_string()),
    }
}

/// What a tenant shall have later. Part of the caller's transaction, which also says that it is behind.
pub(crate) fn insert_routing<S: Sql>(sql: &S, tenant: TenantId, sequence: u64) -> Result<(), Problem> {
    let values = [tenant.to_string().into(), sequence.into()];
    sql.run("INSERT OR IGNORE INTO routing VALUES (?, ?)", &values)?;
    Ok(())
}

/// That a tenant lacks something, if that does not stand there already.
pub(crate) fn insert_behind<S: Sql>(
    sql: &S,
    tenant: TenantId,
    tries: u32,
    at: Millis,
) -> Result<(), Problem> {
    let values = [tenant.to_string().into(), tries.into(), at.into()];
    sql.run("INSERT OR IGNORE INTO routing_behind VALUES (?, ?, ?)", &values)?;
    Ok(())
}

fn lacks_more<S: Sql>(sql: &S, tenant: TenantId) -> Result<bool, Problem> {
    let statement = "SELECT 1 FROM routing WHERE tenant = ? LIMIT 1";
    Ok(sql.row(statement, &[tenant.to_string().into()])?.is_some())
}

fn delete_routing<S: Sql>(sql: &S, tenant: TenantId, sequence: u64) -> Result<(), Problem> {
    let values = [tenant.to_string().into(), sequence.into()];
    sql.run("DELETE FROM routing WHERE tenant = ? AND sequence = ?", &values)?;
    Ok(())
}

fn tenant_of(row: &Row, column: usize) -> Result<TenantId, Problem> {
    row.text(column)?.parse().map_err(Problem::internal)
}
