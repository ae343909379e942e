//! What the organisation is to be told waits here, written in the transaction of the change that it is about, until the
//! operational tenant has it.
//!
//! Told at least once, and stored there once: the event id is made of this tenant and the row's number, which is never
//! reused. The alarm stands behind every row, so that what a crash left is told later. Where nobody listens nothing is
//! paid for long: the operational tenant says so, and for [`NOBODY_MS`] nothing is even written. It is not pushed to the
//! tenants, of which an organisation may have thousands; an operational endpoint may thus miss the first minute.

use std::cell::Cell;

use postern_domain::id::TenantId;
use postern_domain::operational;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Caller, Envelope, Reply};
use postern_domain::wire::operational::{Happened, Tell, Told};
use postern_domain::wire::{self, frame};

use crate::endpoint::store_number;
use crate::memory::Memory;
use crate::operational::Operational;
use crate::sql::{Row, Sql};
use crate::{Armed, Ledger, schema};

/// Rows told in one call.
const BATCH: u64 = 32;

/// One telling has this long; the shell gives up earlier. Then, and after a crash, it is told again.
const LEASE_MS: u64 = 30_000;

/// For how long it is believed that nobody listens.
const NOBODY_MS: u64 = 60_000;

/// After failures it is tried again after 1 s, 2 s, 4 s … and at most this.
const BACKOFF_MS: u64 = 3_600_000;

/// What could not be told for so long is dropped: the operational tenant forgets event ids after eight days, and would
/// store it twice.
const KEPT_MS: u64 = 7 * Millis::DAY;

/// Where the telling stands.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// The operational tenant itself tells nothing: what it told would have to be told again.
    silent: bool,
    /// Rows may wait. A change that was rolled back leaves it true, which costs one look.
    waiting: Cell<bool>,
    /// A row was written since the caller asked when to wake.
    written: Cell<bool>,
    /// The shell may take rows.
    offered: bool,
    /// Offers since the last answer.
    offers: u32,
    /// No offer before this.
    not_before: Millis,
    /// Nobody listens until then.
    nobody_until: Millis,
}

impl Outbox {
    /// As it stands when the object wakes.
    pub(crate) const fn new(silent: bool, waiting: bool) -> Self {
        Self {
            silent,
            waiting: Cell::new(waiting),
            written: Cell::new(false),
            offered: false,
            offers: 0,
            not_before: Millis(0),
            nobody_until: Millis(0),
        }
    }

    /// Whether anything is told at all.
    pub(crate) fn listens(&self, now: Millis) -> bool {
        !self.silent && now >= self.nobody_until
    }

    /// It is the operational tenant's.
    pub(crate) const fn is_silent(&self) -> bool {
        self.silent
    }

    /// When the alarm has to stand behind what the caller's transaction has written, if it has.
    pub(crate) fn wake(&self, now: Millis) -> Option<Millis> {
        self.written
            .replace(false)
            .then(|| now.plus(LEASE_MS).max(self.not_before))
    }

    /// When the alarm has something to do here.
    pub(crate) fn next_at(&self) -> Option<Millis> {
        self.waiting.get().then_some(self.not_before)
    }

    fn is_ready(&self, now: Millis) -> bool {
        self.waiting.get() && (self.offered || now >= self.not_before)
    }

    fn offer(&mut self, now: Millis) {
        if self.waiting.get() && now >= self.not_before {
            self.offered = true;
            self.not_before = now.plus(LEASE_MS << self.offers.min(6));
            self.offers += 1;
        }
    }
}

impl Memory {
    /// Writes down what is to be told. Part of the caller's transaction, which also sets the alarm of [`Outbox::wake`].
    pub(crate) fn tell<S: Sql>(&self, sql: &S, event: &Operational, now: Millis) -> Result<(), Problem> {
        if !self.outbox.listens(now) {
            return Ok(());
        }
        let last = sql.row("SELECT value FROM meta WHERE name = 'outbox_number'", &[])?;
        let number = last.map_or(Ok(0), |row| row.number(0))? + 1;
        let payload = event.payload(self.tenant, &self.settings, now).to_string();
        sql.run(
            "INSERT INTO outbox (number, type, at, payload, tries) VALUES (?, ?, ?, ?, 0)",
            &[
                number.into(),
                event.event_type().into(),
                now.into(),
                payload.into(),
            ],
        )?;
        store_number(sql, "outbox_number", number)?;
        self.outbox.waiting.set(true);
        self.outbox.written.set(true);
        Ok(())
    }
}

/// A batch on its way: a call of the operational tenant's object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxOut {
    /// The object to ask.
    pub to: TenantId,
    /// The call.
    pub frame: Vec<u8>,
    /// Numbers of the first and of the last row in it.
    range: (u64, u64),
}

impl<S: Sql> Ledger<S> {
    pub(crate) fn read_outbox(&self, silent: bool) -> Result<Outbox, Problem> {
        let waiting = self.first_waiting()?.is_some();
        Ok(Outbox::new(silent, waiting))
    }

    /// Writes down what is to be told, with the alarm behind it. Part of the caller's transaction, who keeps the answer
    /// as what is known of the alarm.
    pub(crate) fn tell_all(&self, sql: &S, events: &[Operational], now: Millis) -> Result<Armed, Problem> {
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        for event in events {
            memory.tell(sql, event, now)?;
        }
        let wake = memory.outbox.wake(now);
        wake.map_or(Ok(self.armed), |at| self.wake_by(at, now))
    }

    /// Whether something waits to be told now.
    #[must_use]
    pub fn has_outbox(&self, now: Millis) -> bool {
        self.memory
            .as_ref()
            .is_some_and(|memory| memory.outbox.is_ready(now))
    }

    /// The alarm's part: lets the shell take what waits, once this run is over.
    pub(crate) fn offer_outbox(&mut self, now: Millis) -> Result<(), Problem> {
        self.memory()?.outbox.offer(now);
        Ok(())
    }

    /// What is to be told now. Nobody else takes it until [`Self::outbox_answered`], or until the lease is over.
    pub fn take_outbox(&mut self, now: Millis) -> Result<Option<OutboxOut>, Problem> {
        let memory = self.memory()?;
        memory.outbox.offer(now);
        if !std::mem::take(&mut memory.outbox.offered) {
            return Ok(None);
        }
        let (tenant, organisation) = (memory.tenant, memory.organisation);
        let statement = "SELECT number, type, at, payload FROM outbox ORDER BY number LIMIT ?";
        let rows = self.sql.rows(statement, &[BATCH.into()])?;
        let (mut events, mut bodies, mut range, mut expired) = (Vec::new(), Vec::new(), None, None);
        for row in rows {
            let number = row.number(0)?;
            if now.since(row.time(2)?) > KEPT_MS {
                expired = Some(number);
                continue;
            }
            let (first, _) = range.unwrap_or((number, number));
            range = Some((first, number));
            events.push(Happened {
                event_id: operational::event_id(tenant, number),
                event_type: row.text(1)?,
            });
            bodies.push(row.text(3)?.into_bytes());
        }
        if let Some(number) = expired {
            self.sql
                .run("DELETE FROM outbox WHERE number <= ?", &[number.into()])?;
            self.notice(
                "outbox_expired",
                "the operational tenant did not answer for a week",
            );
        }
        let Some(range) = range else {
            self.rest_of_outbox()?;
            return Ok(None);
        };
        let to = operational::tenant_of(organisation);
        let envelope = Envelope {
            v: wire::VERSION,
            tenant: to,
            caller: Caller::Organisation(organisation),
            call: Tell { events }.into(),
        };
        let frame = frame::encode(&envelope, &bodies).map_err(Problem::internal)?;
        Ok(Some(OutboxOut { to, frame, range }))
    }

    /// What the operational tenant's object answered: a frame, or `None` where no answer came. What it has, or nobody
    /// wants, goes; else the alarm brings it back later.
    pub fn outbox_answered(
        &mut self,
        out: &OutboxOut,
        answer: Option<&[u8]>,
        now: Millis,
    ) -> Result<(), Problem> {
        if schema::version(&self.sql)?.is_none() || self.is_wiped() {
            return Ok(()); // wiped meanwhile, and the outbox with it
        }
        let told = match answer.map(frame::decode::<Reply<Told>>) {
            None => Err(Problem::internal("no answer")),
            Some(Err(error)) => Err(Problem::internal(error)),
            Some(Ok((reply, _))) => reply,
        };
        match told {
            Ok(Told { nobody: false }) => {
                let (first, last) = out.range;
                let statement = "DELETE FROM outbox WHERE number >= ? AND number <= ?";
                self.sql.run(statement, &[first.into(), last.into()])?;
                self.rest_of_outbox()
            }
            Ok(Told { nobody: true }) => self.nobody_listens(now),
            // The organisation never had an operational endpoint: the object was never set up.
            Err(problem) if problem.code == Code::NotFound => self.nobody_listens(now),
            Err(problem) => self.outbox_failed(out, &problem, now),
        }
    }

    fn nobody_listens(&mut self, now: Millis) -> Result<(), Problem> {
        self.memory()?.outbox.nobody_until = now.plus(NOBODY_MS);
        self.sql.run("DELETE FROM outbox", &[])?;
        self.rest_of_outbox()
    }

    fn outbox_failed(&mut self, out: &OutboxOut, problem: &Problem, now: Millis) -> Result<(), Problem> {
        self.notice("outbox_not_told", problem.to_string());
        let first = [out.range.0.into()];
        let armed = self.sql.atomic(|sql| {
            sql.run("UPDATE outbox SET tries = tries + 1 WHERE number = ?", &first)?;
            let row = sql.row("SELECT tries FROM outbox WHERE number = ?", &first)?;
            let tries = row.map_or(Ok(1), |row| row.number(0))?;
            let wait = 1000_u64
                .saturating_mul(1 << (tries.clamp(1, 20) - 1))
                .min(BACKOFF_MS);
            let at = now.plus(wait);
            Ok((self.wake_by(at, now)?, at))
        });
        let (armed, at) = armed?;
        self.armed = armed;
        self.memory()?.outbox.not_before = at;
        Ok(())
    }

    /// After an answer: what still waits may go at once.
    fn rest_of_outbox(&mut self) -> Result<(), Problem> {
        let waiting = self.first_waiting()?.is_some();
        let outbox = &mut self.memory()?.outbox;
        outbox.waiting.set(waiting);
        outbox.offers = 0;
        outbox.not_before = Millis(0);
        Ok(())
    }

    fn first_waiting(&self) -> Result<Option<Row>, Problem> {
        let statement = "SELECT number FROM outbox ORDER BY number LIMIT 1";
        self.sql.row(statement, &[])
    }
}
