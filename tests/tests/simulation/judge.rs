//! What must hold: of each hand-out as it leaves, of each request as it begins, and of everything after every step.

use postern_domain::id::MessageId;
use postern_domain::time::Millis;
use postern_domain::wire::Trigger;
use postern_domain::wire::frame;
use postern_domain::wire::lane::Lane;
use postern_ledger::QueueKind;
use postern_tests::tenant::{Stand, Tenant};

use crate::known::{Delivery, Endpoint, Handed, LaneKnown, LineId};
use crate::world::{Held, LEASE, SHORT, World, tell};

impl World {
    /// A lane leaves the ledger: what must hold is looked at, and it is known from then on. `at_once`: nothing happened
    /// since it was handed out.
    pub(crate) fn leaves(&mut self, frame: &[u8], queue: QueueKind, at_once: bool) -> Result<usize, String> {
        let (head, bodies) = frame::decode::<Lane>(frame).map_err(|error| error.to_string())?;
        let endpoint = u32::try_from(head.endpoint.0.sequence).map_err(|error| error.to_string())?;
        let at = self.lanes.all.len();
        let numbers: Vec<_> = head
            .deliveries
            .iter()
            .map(|handout| (handout.message.0.sequence, handout.number))
            .collect();
        tell!(
            self,
            "lane {at} to {endpoint}: {numbers:?}, {} at a time, in order: {}, {queue:?}",
            head.concurrency,
            head.ordered
        );
        let untils = || head.deliveries.iter().map(|handout| handout.until);
        let (first, until) = (untils().min(), untils().max());
        let (Some(first), Some(until)) = (first, until) else {
            return Err("an empty lane left".to_owned());
        };
        let manual = head
            .deliveries
            .iter()
            .any(|handout| handout.trigger == Trigger::Manual);
        let handed_at = first.minus(LEASE);
        let line = if head.ordered {
            self.line_of(endpoint, head.deliveries[0].message)
        } else {
            None
        };
        self.line_is_free(&head, endpoint, line, handed_at)?;
        for place in 0..head.deliveries.len() {
            self.delivery_leaves(&head, endpoint, place, at, at_once)?;
        }
        self.gates_are_open(&head, endpoint, handed_at, manual, at_once)?;
        self.lanes.all.push(LaneKnown {
            endpoint,
            line,
            queue,
            until,
            left_at: self.clock,
            left: head
                .deliveries
                .iter()
                .map(|handout| (handout.number, handout.until))
                .collect(),
            odd: self.jumpy && until > self.tenant.now.plus(LEASE),
            over: false,
            doubled: false,
            manual,
            bodies,
            head,
        });
        self.lanes.live.entry(endpoint).or_default().push(at);
        self.slots_are_kept(at, endpoint, queue, at_once)?;
        Ok(at)
    }

    fn line_of(&self, endpoint: u32, message: MessageId) -> Option<LineId> {
        self.owed.get(&(message, endpoint)).and_then(|known| known.line)
    }

    /// In an ordered line one lane is out at a time.
    fn line_is_free(&mut self, head: &Lane, endpoint: u32, line: Option<LineId>, handed_at: Millis) -> Held {
        if !head.ordered {
            return Ok(());
        }
        for at in self.lanes.live_of(endpoint, handed_at) {
            let other = &self.lanes.all[at];
            let odd = self.is_odd(other, other.until);
            // What arrived by hand meanwhile holds nobody up, though its lane is out still.
            let mut handouts = other
                .head
                .deliveries
                .iter()
                .filter(|out| other.left.contains_key(&out.number));
            let waits = handouts.any(|out| {
                let known = self.owed.get(&(out.message, endpoint));
                known.is_some_and(|known| known.success.is_none())
            });
            if other.head.ordered && other.line == line && !odd && waits {
                return Err(format!("a second lane of {line:?} left while lane {at} is out"));
            }
        }
        Ok(())
    }

    /// A lease of a clock that went back since: it was over before, or is none that an eviction remembers.
    fn is_odd(&self, lane: &LaneKnown, until: Millis) -> bool {
        let old = self.clock.since(lane.left_at) > LEASE;
        self.jumpy && (old || lane.odd || until <= self.latest)
    }

    fn delivery_leaves(
        &mut self,
        head: &Lane,
        endpoint: u32,
        place: usize,
        lane: usize,
        at_once: bool,
    ) -> Held {
        let handout = &head.deliveries[place];
        let (message, number) = (handout.message, handout.number);
        let what = format!(
            "{message} ({}) to {endpoint}, number {number},",
            message.0.sequence
        );
        let manual = handout.trigger == Trigger::Manual;
        let handed_at = handout.until.minus(LEASE);
        let (stand, _) = self.tenant.stand(message, endpoint);
        let Some(known) = self.owed.get(&(message, endpoint)) else {
            return Err(format!("{what} was handed out and is not owed"));
        };
        let ended = known.success.is_some_and(|at| at < handed_at);
        if !manual && known.extra {
            return Err(format!("{what} was handed out and is not owed"));
        }
        if !manual && (ended || (at_once && stand != Stand::Open)) {
            return Err(format!("{what} is {stand:?} and was handed out"));
        }
        let off = self.endpoint(endpoint).and_then(|endpoint| endpoint.off_since);
        if off.is_some() && at_once {
            return Err(format!("{what} was handed out to an endpoint that is off"));
        }
        let generation = self.endpoint(endpoint).map_or(0, |endpoint| endpoint.generation);
        if manual && at_once && known.asked.is_none_or(|asked| asked < generation) {
            return Err(format!(
                "{what} was handed out by hand, and its endpoint was off since that was asked"
            ));
        }
        // Where neither a rate nor an order is kept a try by hand goes beside whatever is out.
        let capped = self.own_rate.is_some()
            || self
                .endpoint(endpoint)
                .is_some_and(|endpoint| endpoint.rate.is_some() || endpoint.order.is_some());
        let beside = manual && !(capped && at_once);
        for earlier in &known.outs {
            if earlier.number == number && !self.jumpy {
                return Err(format!("{what} was handed out twice under one number"));
            }
            let lane = self.lanes.all.get(earlier.lane);
            let over = lane.is_some_and(|lane| lane.over);
            // A clock that went back makes a lease of it that nothing remembers after an eviction.
            let odd = lane.is_some_and(|lane| self.is_odd(lane, earlier.until));
            if !earlier.returned && !over && earlier.until > handed_at && !odd && !beside {
                return Err(format!("{what} was handed out while it is out"));
            }
        }
        if !manual && known.deliver_at.is_some_and(|at| handed_at < at) && !self.jumpy {
            return Err(format!("{what} was handed out before its time"));
        }
        if let Some(line) = known.line.filter(|_| !manual) {
            if !head.ordered {
                return Err(format!("{what} left its line"));
            }
            let same: Vec<MessageId> = head.deliveries[..place].iter().map(|out| out.message).collect();
            self.none_before(line, message, &same)
                .map_err(|before| format!("{what} was handed out before {before}, out of order"))?;
        }
        let known = self
            .owed
            .get_mut(&(message, endpoint))
            .ok_or("a delivery of ours")?;
        known.outs.push(Handed {
            number,
            until: handout.until,
            lane,
            returned: false,
            told: false,
        });
        self.lanes.by_number.insert((endpoint, message, number), lane);
        Ok(())
    }

    /// Rate, pause and breaker.
    fn gates_are_open(
        &mut self,
        head: &Lane,
        number: u32,
        handed_at: Millis,
        manual: bool,
        at_once: bool,
    ) -> Held {
        if self.jumpy {
            return Ok(());
        }
        let count = head.deliveries.len();
        if let Some(rate) = self.own_rate {
            self.own_handed.extend(std::iter::repeat_n(handed_at, count));
            within(&mut self.own_handed, rate)
                .map_err(|n| format!("the tenant got {n} in a second at {rate}"))?;
        }
        let endpoint = self.endpoint_mut(number).ok_or("an endpoint of ours")?;
        if let Some(rate) = endpoint.rate
            && handed_at > endpoint.rate_since
        {
            endpoint.handed.extend(std::iter::repeat_n(handed_at, count));
            within(&mut endpoint.handed, rate)
                .map_err(|n| format!("{number} got {n} in a second at {rate}"))?;
        }
        if let Some((since, until)) = endpoint.paused
            && since < handed_at
            && handed_at < until
        {
            let left = until.since(handed_at);
            return Err(format!(
                "{number} was sent to while it is paused, {left} ms too early"
            ));
        }
        if manual || !at_once {
            return Ok(());
        }
        let health: Option<(i64, i64, String)> = self
            .tenant
            .storage
            .native()
            .connection()
            .query_row(
                "SELECT opened, opens_at, reason FROM health WHERE endpoint = ? AND opened > 0",
                [number],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .ok();
        let Some((_, opens_at, reason)) = health else {
            return Ok(());
        };
        self.counts.opened += 1;
        let opens_at = Millis(u64::try_from(opens_at).unwrap_or(0));
        if handed_at < opens_at {
            return Err(format!("{number} was sent to while its gate is closed: {reason}"));
        }
        let beside = self.lanes.live_of(number, handed_at);
        let scheduled = beside.iter().filter(|at| {
            let lane = &self.lanes.all[**at];
            !lane.manual && !lane.doubled
        });
        if count > 1 || scheduled.count() > 0 {
            return Err(format!(
                "{number} was sent more than a probe while its breaker is half open"
            ));
        }
        Ok(())
    }

    /// No more sends at a time than the endpoint's window has, and few where it has shown nothing yet.
    fn slots_are_kept(&mut self, lane: usize, number: u32, queue: QueueKind, at_once: bool) -> Held {
        let now = self.tenant.now;
        let used = self.lanes.slots(number, now);
        let endpoint = self.endpoint(number).ok_or("an endpoint of ours")?;
        // Lines that were in order when it was given up go on side by side.
        let in_order = endpoint.order.is_some() || self.lanes.all[lane].head.ordered;
        let unproven = at_once && queue == QueueKind::Slow && !in_order;
        let most = if unproven {
            4
        } else {
            (16 + endpoint.successes).min(256)
        };
        if used > most && self.lanes.all[lane].slots(now) > 0 && !self.jumpy {
            let lanes = self.lanes.live_of(number, now);
            return Err(format!(
                "{used} sends at a time to {number}, of which {most} may be: lanes {lanes:?}"
            ));
        }
        Ok(())
    }

    /// The first delivery of a line before this one that has not come to its end, unless it is one of these.
    pub(crate) fn none_before(
        &mut self,
        line: LineId,
        message: MessageId,
        same: &[MessageId],
    ) -> Result<(), String> {
        let Some(own) = self.lines.get(&line) else {
            return Ok(());
        };
        let (mut settled, mut at) = (own.settled, own.settled);
        let mut found = Ok(());
        while let Some(before) = own.messages.get(at).copied() {
            if before.0.sequence >= message.0.sequence {
                break;
            }
            if self.has_ended((before, line.0)) {
                if settled == at {
                    settled += 1;
                }
            } else if !same.contains(&before) {
                let (stand, _) = self.tenant.stand(before, line.0);
                found = Err(format!("{} ({stand:?})", before.0.sequence));
                break;
            }
            at += 1;
        }
        if let Some(own) = self.lines.get_mut(&line) {
            own.settled = settled;
        }
        found
    }

    /// Whether those behind a delivery may go: it was received, failed for good where nobody waits for that, was
    /// cancelled, or its message is gone or about to go.
    fn has_ended(&self, delivery: Delivery) -> bool {
        let Some(known) = self.owed.get(&delivery) else {
            return true;
        };
        if known.received || known.skipped || known.cancelled_at.is_some() {
            return true;
        }
        let (message, endpoint) = delivery;
        let waits = self.endpoint(endpoint).is_some_and(Endpoint::waits);
        match self.tenant.stand(message, endpoint).0 {
            Stand::Failed => !waits || self.is_closed(message),
            Stand::Open => self.is_closed(message),
            Stand::Delivered | Stand::Cancelled | Stand::Gone => true,
        }
    }

    /// Whether its segment is about to be dropped.
    fn is_closed(&self, message: MessageId) -> bool {
        if !self.short_lived {
            return false;
        }
        let statement =
            "SELECT closed_at IS NOT NULL FROM segment WHERE first <= ? ORDER BY first DESC LIMIT 1";
        let connection = self.tenant.storage.native().connection();
        let sequence = i64::try_from(message.0.sequence).unwrap_or(0);
        connection
            .query_row(statement, [sequence], |row| row.get(0))
            .unwrap_or(true)
    }

    /// Whether a line waits for somebody: its head has failed for good.
    pub(crate) fn is_blocked(&self, line: LineId) -> bool {
        let messages = self.lines.get(&line).map_or(&[][..], |own| &own.messages);
        let waits = self.endpoint(line.0).is_some_and(Endpoint::waits);
        waits
            && messages
                .iter()
                .any(|message| self.tenant.stand(*message, line.0).0 == Stand::Failed)
    }

    /// Deliveries that failed for good and keep others waiting.
    pub(crate) fn blocking(&self) -> Vec<Delivery> {
        let stands = self.tenant.stands();
        let mut heads = Vec::new();
        for (line, own) in &self.lines {
            // At the end of a life a line that waits with nothing behind it is told to go on too.
            let waits = self.quiet && self.endpoint(line.0).is_some_and(Endpoint::waits);
            let mut failed = None;
            for message in &own.messages {
                match stands.of(*message, line.0).0 {
                    Stand::Failed => {
                        failed.get_or_insert(*message);
                    }
                    Stand::Open if failed.is_some() => {
                        heads.extend(failed.take().map(|message| (message, line.0)));
                        break;
                    }
                    _ => {}
                }
            }
            heads.extend(failed.filter(|_| waits).map(|message| (message, line.0)));
        }
        heads
    }

    /// Whether something is owed.
    pub(crate) fn is_open(&self) -> bool {
        let stands = self.tenant.stands();
        let mut owed = self.owed.iter().filter(|(_, known)| !known.extra);
        owed.any(|((message, endpoint), _)| stands.of(*message, *endpoint).0 == Stand::Open)
    }

    /// What holds after every step.
    pub(crate) fn check(&mut self) -> Held {
        let segments = self.segments()?;
        let sum = |tenant: &Tenant, table: &str, rest: &str| -> i64 {
            segments
                .iter()
                .map(|segment| tenant.count(&format!("{table}_{segment} {rest}")))
                .sum()
        };
        let taken: usize = self.publishes.iter().map(|publish| publish.messages.len()).sum();
        let stored = sum(&self.tenant, "message", "");
        let stored = usize::try_from(stored).unwrap_or(0);
        // What failed inside after it was stored is found by the repeat.
        let unheard: usize = self
            .publishes
            .iter()
            .filter(|publish| publish.messages.is_empty())
            .map(|publish| publish.pieces.len())
            .sum();
        if stored > taken + unheard {
            return Err(format!(
                "two messages of one publish: {stored} are stored, {taken} were taken"
            ));
        }
        if stored < taken && !self.short_lived {
            return Err(format!(
                "a message was lost: {stored} are stored, {taken} were taken"
            ));
        }
        let stands = self.tenant.stands();
        for (endpoint, attempts) in stands.attempts() {
            if attempts > self.plan_of(endpoint) + 1 {
                return Err(format!("more attempts than the plan of endpoint {endpoint} has"));
            }
        }
        for segment in segments.iter().filter(|_| self.chance.percent(5)) {
            // What counts stands inside the row, or beside it as scheduled.
            let uncounted = self.tenant.count(&format!(
                "delivery_{segment} AS d LEFT JOIN (SELECT endpoint, sequence, count(*) AS beside FROM \
                 attempt_{segment} WHERE kind = 0 GROUP BY endpoint, sequence) AS a USING (endpoint, sequence) \
                 WHERE attempts <> (number IS NOT NULL) + ifnull(beside, 0)"
            ));
            if uncounted > 0 {
                return Err("attempts of the plan are not as many as are counted".to_owned());
            }
        }
        let retention = if self.short_lived { SHORT } else { 30 * Millis::DAY };
        let now = self.tenant.now;
        let ids: Vec<MessageId> = self
            .publishes
            .iter()
            .flat_map(|publish| &publish.messages)
            .copied()
            .collect();
        for id in ids {
            if !self.chance.percent(4) {
                continue;
            }
            let young = now.since(Millis(id.0.time)) < retention;
            if young && !self.jumpy && stands.of(id, 0).0 == Stand::Gone {
                return Err(format!("{id} was taken and is not stored"));
            }
            if young && self.quiet && !self.jumpy && self.read_message(id).is_err() {
                return Err(format!("{id} was taken and cannot be read"));
            }
        }
        let mut open = false;
        let mut skipped = Vec::new();
        for ((message, endpoint), known) in &self.owed {
            let (stand, _) = stands.of(*message, *endpoint);
            if known.success.is_some() && !matches!(stand, Stand::Delivered | Stand::Gone) {
                return Err(format!("{message} to {endpoint} had a success and is {stand:?}"));
            }
            if known.extra {
                continue;
            }
            if known.cancelled_at.is_some() && stand == Stand::Open {
                return Err(format!("{message} to {endpoint} was Cancelled and is open"));
            }
            if stand == Stand::Failed && known.line.is_some() && !known.skipped {
                skipped.push((*message, *endpoint));
            }
            open |= stand == Stand::Open;
        }
        for delivery in skipped {
            let waits = self.endpoint(delivery.1).is_some_and(Endpoint::waits);
            if let Some(known) = self.owed.get_mut(&delivery) {
                known.skipped |= !waits;
            }
        }
        let alarm = self.tenant.storage.native().alarm();
        self.alarm_lost &= alarm.is_none();
        if open && alarm.is_none() && !self.alarm_lost {
            return Err("something is owed and no alarm is set".to_owned());
        }
        Ok(())
    }

    fn segments(&self) -> Result<Vec<i64>, String> {
        let text = |error: rusqlite::Error| error.to_string();
        let connection = self.tenant.storage.native().connection();
        let mut statement = connection
            .prepare_cached("SELECT number FROM segment")
            .map_err(text)?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(text)?;
        rows.collect::<Result<_, _>>().map_err(text)
    }
}

/// Whether the last of these keep a rate, with its burst, within a second. Else how many there were.
fn within(handed: &mut Vec<Millis>, rate: u16) -> Result<(), usize> {
    handed.sort_unstable();
    // What is older plays no part any more, even beside what left late.
    let keep = handed.last().map_or(Millis(0), |last| last.minus(5000));
    handed.retain(|at| *at >= keep);
    let most = usize::from(rate) + usize::from((rate / 5).max(1));
    for (at, first) in handed.iter().enumerate() {
        let count = handed[at..]
            .iter()
            .take_while(|time| time.since(*first) < 1000)
            .count();
        if count > most {
            return Err(count);
        }
    }
    Ok(())
}
