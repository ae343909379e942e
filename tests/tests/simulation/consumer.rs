//! The consumer, with its real order of turns and its real way of gathering results; what goes wrong around it is drawn.

use std::rc::Rc;

use postern_domain::time::Millis;
use postern_domain::wire::Trigger;
use postern_domain::wire::call::{Bodies, Caller};
use postern_domain::wire::report::LaneReport;
use postern_tests::tenant::{Answer, Out, Stand, outs_of, result_of};

use crate::known::Manner;
use crate::results::{Entry, GATHER_MS, Results};
use crate::turns::{Pace, Turn, Turns, Waiting};
use crate::world::{Event, Held, LEASE, World, tell};

/// A send ends by then.
const DEADLINE: u64 = 15_000;

/// A permit that was held for longer makes its endpoint a slow one.
const QUICK: u64 = 2000;

/// Then the handler ends.
const HANDS_OVER_AFTER: u64 = 1000;

/// How often the queue asks a consumer again that did not begin.
const QUEUE_ATTEMPTS: u32 = 3;

/// For one try of a report, and the waits between them.
const REPORT_DEADLINE: u64 = 5000;
const REPORT_WAITS: [u64; 3] = [250, 1000, 4000];

/// One invocation.
#[derive(Debug)]
pub(crate) struct Run {
    turns: Turns,
    results: Results,
    lanes: Vec<Taken>,
    handed_over: bool,
}

#[derive(Debug)]
struct Taken {
    lane: usize,
    /// Of the queue's message; none: it came with an answer.
    attempts: Option<u32>,
    begun: bool,
}

/// A request that ends.
pub(crate) struct Sent {
    run: u64,
    place: usize,
    index: usize,
    lane: usize,
    /// As the endpoint has it.
    arrived: bool,
    /// As the consumer sees it.
    answer: Answer,
    began: Millis,
}

/// A report on its way.
#[derive(Clone)]
pub(crate) struct Telling {
    run: u64,
    lanes: Rc<Vec<LaneReport>>,
    tries: usize,
    /// The consumer waits for the answer; else it is a copy that nobody waits for.
    heard: bool,
}

impl World {
    /// The queue delivers a lane, perhaps together with others that wait.
    pub(crate) fn consume(&mut self, lane: usize, attempts: u32) -> Held {
        let mut taken = vec![(lane, attempts)];
        let soon = self.clock.plus(3);
        if self.chance.percent(50) {
            let more: Vec<_> = self
                .events
                .range(..(soon, u64::MAX))
                .filter(|(_, event)| matches!(event, Event::Queue { .. }))
                .map(|(key, _)| *key)
                .take(5)
                .collect();
            for key in more {
                if let Some(Event::Queue { lane, attempts }) = self.events.remove(&key) {
                    taken.push((lane, attempts));
                }
            }
        }
        self.consumers += 1;
        let run = self.consumers;
        let lanes: Vec<usize> = taken.iter().map(|(lane, _)| *lane).collect();
        tell!(self, "consumer {run} takes lanes {lanes:?}");
        let invocation = Run {
            turns: Turns::new(DEADLINE),
            results: Results::default(),
            lanes: Vec::new(),
            handed_over: false,
        };
        self.runs.insert(run, invocation);
        for (lane, attempts) in taken {
            self.add(run, lane, Some(attempts));
        }
        self.at(HANDS_OVER_AFTER, Event::HandOver { run });
        if !self.quiet && self.chance.percent(5) {
            let wait = self.chance.below(20_000);
            self.at(wait, Event::Dies { run });
        }
        self.step(run)
    }

    fn add(&mut self, run: u64, lane: usize, attempts: Option<u32>) {
        let head = &self.lanes.all[lane].head;
        let looks = self.plant.consumer_looks;
        let waiting = (0..).zip(&head.deliveries).map(|(index, handout)| Waiting {
            index,
            until: if looks {
                handout.until
            } else {
                Millis(u64::MAX >> 1)
            },
            here: handout.body.is_some(),
        });
        let endpoint = self.lanes.all[lane].endpoint;
        let Some(invocation) = self.runs.get_mut(&run) else {
            return;
        };
        let ordered = head.ordered && self.plant.consumer_stops;
        let key = (self.tenant.id, endpoint);
        invocation
            .turns
            .add(key, head.concurrency, ordered, waiting.collect());
        invocation.lanes.push(Taken {
            lane,
            attempts,
            begun: false,
        });
    }

    /// Starts whatever can be started now.
    fn step(&mut self, run: u64) -> Held {
        while let Some(turn) = self.runs.get_mut(&run).and_then(|own| own.turns.next(self.clock)) {
            match turn {
                Turn::Send { lane, index } => self.send(run, lane, index)?,
                Turn::Drop { lane, index } => tell!(self, "consumer {run} drops {index} of its lane {lane}"),
            }
        }
        self.fetch(run)?;
        let consumer_ends = self.plant.consumer_ends;
        while let Some(Run { turns, results, .. }) = self.runs.get_mut(&run) {
            let done = |lane| turns.lane_done(lane) || !consumer_ends;
            let Some(due) = results.due(|tenant| turns.tenant_done(tenant), done) else {
                break;
            };
            assert_eq!((due.tenant, due.types.len()), (self.tenant.id, due.bodies.len()));
            let lanes = Rc::new(due.report.lanes);
            self.counts.partial_reports += u64::from(lanes.iter().any(|lane| !lane.last));
            self.tell(Telling {
                run,
                lanes,
                tries: 0,
                heard: true,
            });
        }
        Ok(())
    }

    /// Bodies that were too large for their lane.
    fn fetch(&mut self, run: u64) -> Held {
        while let Some((place, wanted)) = self.runs.get_mut(&run).and_then(|own| own.turns.wanted()) {
            let lane = self.runs[&run].lanes[place].lane;
            let deliveries = &self.lanes.all[lane].head.deliveries;
            let messages: Vec<_> = wanted.iter().map(|index| deliveries[*index].message).collect();
            let call = Bodies {
                messages: messages.clone(),
            };
            let found = self.tenant.call_as(Caller::System, call, &[]);
            let found = found.map(|(found, _)| found.messages).unwrap_or_default();
            let of = |index: &&usize| {
                let at = wanted.iter().position(|wanted| wanted == *index);
                at.is_some_and(|at| found.contains(&messages[at]))
            };
            let places: Vec<usize> = wanted.iter().filter(of).copied().collect();
            if let Some(own) = self.runs.get_mut(&run) {
                own.turns.came(place, &wanted, &places);
            }
            while let Some(turn) = self.runs.get_mut(&run).and_then(|own| own.turns.next(self.clock)) {
                if let Turn::Send { lane, index } = turn {
                    self.send(run, lane, index)?;
                }
            }
        }
        Ok(())
    }

    /// A request begins.
    fn send(&mut self, run: u64, place: usize, index: usize) -> Held {
        let lane = {
            let taken = &mut self.runs.get_mut(&run).ok_or("a consumer of ours")?.lanes[place];
            taken.begun = true;
            taken.lane
        };
        self.may_be_sent(lane, index)?;
        let doubled = self.lanes.all[lane].doubled;
        let handout = self.lanes.all[lane].head.deliveries[index].clone();
        let (message, endpoint) = (handout.message, self.lanes.all[lane].endpoint);
        let manner = self.endpoint(endpoint).ok_or("an endpoint of ours")?.manner;
        let answer = match manner {
            Manner::Healthy | Manner::Slow => Answer::Ok,
            Manner::Flaky(percent) if !self.chance.either(percent) => Answer::Ok,
            Manner::Flaky(_) => [Answer::Broken, Answer::Silence][usize::from(self.chance.percent(20))],
            Manner::Down => Answer::Silence,
            Manner::Busy(ms) => Answer::RetryAfter(ms),
            Manner::TooMany => Answer::TooMany,
            Manner::Flapping(ms) if (self.clock.0 / ms).is_multiple_of(2) => Answer::Ok,
            Manner::Flapping(_) => Answer::Broken,
            Manner::Gone => Answer::Gone,
        };
        let arrived = answer == Answer::Ok;
        // A request may arrive and its answer may not.
        let unheard = arrived && !self.quiet && self.chance.mishap(3);
        let answer = if unheard { Answer::Silence } else { answer };
        let took = match answer {
            Answer::Silence => DEADLINE,
            _ if matches!(manner, Manner::Slow) || self.chance.percent(5) => 20 + self.chance.below(14_000),
            _ => 20 + self.chance.below(200),
        };
        let took = if self.quiet { 20 } else { took };
        let known = self
            .owed
            .get_mut(&(message, endpoint))
            .ok_or("a delivery of ours")?;
        if !doubled {
            known.sending += 1;
            known.planned += u32::from(handout.trigger == Trigger::Scheduled);
        }
        if handout.trigger == Trigger::Manual {
            known.tried = Some(self.clock);
        }
        tell!(
            self,
            "sent: {} to {endpoint}, number {}: {answer:?} in {took}",
            message.0.sequence,
            handout.number
        );
        let began = self.clock;
        self.at(
            took,
            Event::Sent(Sent {
                run,
                place,
                index,
                lane,
                arrived,
                answer,
                began,
            }),
        );
        Ok(())
    }

    /// A request ends: at the endpoint, and at the consumer if that lives still.
    pub(crate) fn sent(&mut self, sent: &Sent) -> Held {
        let (outs, doubled, ordered) = {
            let lane = &self.lanes.all[sent.lane];
            let outs = outs_of(lane.head.clone(), &lane.bodies, lane.queue);
            (outs, lane.doubled, lane.head.ordered)
        };
        let out: &Out = &outs[sent.index];
        let key = (out.message(), out.endpoint);
        let known = self.owed.get_mut(&key).ok_or("a delivery of ours")?;
        known.received |= sent.arrived;
        if !doubled {
            known.sending -= 1;
            known.planned -= u32::from(out.handout.trigger == Trigger::Scheduled);
        }
        let took = self.clock.since(sent.began);
        let Some(own) = self.runs.get_mut(&sent.run) else {
            return Ok(());
        };
        let pace = if took < QUICK { Pace::Quick } else { Pace::Slow };
        own.turns.ended(sent.place, sent.index, pace);
        if sent.answer != Answer::Ok && ordered && self.plant.consumer_stops {
            own.turns.release(sent.place); // what stands behind it waits
        }
        let mut result = result_of(out, sent.answer, sent.began);
        result.duration_ms = u32::try_from(took).unwrap_or(u32::MAX);
        let entry = Entry {
            lane: sent.place,
            endpoint: out.endpoint,
            result,
            body: Vec::new(),
            event_type: None,
        };
        let gathering = own.results.add(self.tenant.id, entry);
        if let Some(gathering) = gathering {
            let run = sent.run;
            self.at(GATHER_MS, Event::Gathered { run, gathering });
        }
        self.step(sent.run)
    }

    pub(crate) fn gathered(&mut self, run: u64, gathering: u64) -> Held {
        let tenant = self.tenant.id;
        if let Some(own) = self.runs.get_mut(&run) {
            own.results.ripen(tenant, gathering);
        }
        self.step(run)
    }

    /// The handler ends: what has begun goes on, lanes that had no turn go back to the queue.
    pub(crate) fn hand_over(&mut self, run: u64) -> Held {
        let now = self.clock;
        let Some(own) = self.runs.get_mut(&run) else {
            return Ok(());
        };
        if !own.turns.is_sending() {
            return Ok(());
        }
        let mut back = Vec::new();
        for (place, taken) in own.lanes.iter().enumerate() {
            if let Some(attempts) = taken.attempts.filter(|attempts| *attempts <= QUEUE_ATTEMPTS)
                && !taken.begun
            {
                own.turns.release(place);
                back.push((taken.lane, attempts + 1));
            }
        }
        own.handed_over = true;
        own.turns.hand_over(now);
        for (lane, attempts) in back {
            let wait = self.chance.below(100);
            self.at(wait, Event::Queue { lane, attempts });
        }
        self.step(run)
    }

    /// Sends a report: it may get lost, come late or twice, and its answer may get lost.
    fn tell(&mut self, telling: Telling) {
        let run = telling.run;
        let waits = |tries: usize| REPORT_WAITS.get(tries).map(|wait| REPORT_DEADLINE + wait);
        let fate = match self.chance.script() {
            _ if self.quiet => 99,
            // It arrives, is lost, arrives and its answer does not, or arrives twice.
            Some(script) => [99, 0, 7, 9][script.mishap(4)],
            None => self.chance.below(100),
        };
        let copy = Telling {
            heard: false,
            ..telling.clone()
        };
        let again = Telling {
            tries: telling.tries + 1,
            ..telling.clone()
        };
        match fate {
            // Lost, or it arrives long after nobody waits for it any more, or only its answer is lost.
            0..=8 => {
                if fate < 4 {
                    self.counts.lost_reports += 1;
                } else if fate < 7 {
                    self.counts.late_reports += 1;
                    let late = self.chance.below(400_000);
                    self.at(late, Event::Report(copy));
                } else {
                    let wait = self.chance.below(300);
                    self.at(wait, Event::Report(copy));
                }
                match waits(telling.tries) {
                    Some(wait) => self.at(wait, Event::Report(again)),
                    None => self.at(
                        REPORT_DEADLINE,
                        Event::Reported {
                            run,
                            lanes: Vec::new(),
                        },
                    ),
                }
            }
            9..=13 => {
                self.counts.doubled_reports += 1;
                let late = self.chance.below(90_000);
                self.at(late, Event::Report(copy));
                self.at(5, Event::Report(telling));
            }
            _ => self.at(5, Event::Report(telling)),
        }
    }

    /// A report arrives.
    pub(crate) fn report(&mut self, telling: Telling) -> Held {
        let by_hand = self.manual_before(&telling.lanes);
        let planted = self.tenant.storage.will_fail();
        for lane in telling.lanes.iter() {
            let results: Vec<_> = lane
                .results
                .iter()
                .map(|result| (result.message.0.sequence, result.number, result.status))
                .collect();
            tell!(
                self,
                "report of {}: {results:?}, last: {}",
                lane.endpoint,
                lane.last
            );
        }
        if std::env::var("DEEP").is_ok() {
            let text = self.tenant.ledger.memory_text();
            let from = text.find("flights:").unwrap_or(0);
            let to = text.find("health:").unwrap_or(text.len());
            tell!(self, "{}", &text[from..to]);
        }
        let told = self.tenant.report_lanes(telling.lanes.to_vec(), &[]);
        for lane in telling.lanes.iter() {
            self.look_at(lane.endpoint);
        }
        let frames = match told {
            Ok(frames) => frames,
            Err(problem) => {
                if !planted {
                    return Err(format!("a report was refused: {problem} {:?}", problem.cause));
                }
                tell!(self, "the report failed inside");
                self.may_stand(&telling.lanes);
                if telling.heard {
                    let (run, tries) = (telling.run, telling.tries + 1);
                    match REPORT_WAITS.get(telling.tries) {
                        Some(wait) => self.at(*wait, Event::Report(Telling { tries, ..telling })),
                        None => self.at(
                            5,
                            Event::Reported {
                                run,
                                lanes: Vec::new(),
                            },
                        ),
                    }
                }
                return self.after_call();
            }
        };
        self.heard(&telling.lanes);
        self.manual_after(&by_hand)?;
        let mut lanes = Vec::new();
        for frame in frames {
            self.counts.answered_lanes += 1;
            lanes.push(self.leaves(&frame, postern_ledger::QueueKind::Fast, true)?);
        }
        self.after_call()?;
        if telling.heard {
            let run = telling.run;
            self.at(5, Event::Reported { run, lanes });
        }
        Ok(())
    }

    /// The consumer hears that its report stands, and which lanes come next.
    pub(crate) fn reported(&mut self, run: u64, lanes: Vec<usize>) -> Held {
        let tenant = self.tenant.id;
        let Some(own) = self.runs.get_mut(&run) else {
            return Ok(()); // nobody is there to take the lanes: their leases run
        };
        own.results.reported(tenant);
        let handed_over = own.handed_over;
        for lane in lanes {
            if handed_over {
                self.enqueue(lane);
            } else {
                self.add(run, lane, None);
            }
        }
        self.step(run)
    }

    /// An event, and what it goes on with, in words that say the same wherever it came about in another order.
    pub(crate) fn text_of(&self, event: &Event) -> String {
        match event {
            Event::Try { publish, repeat, .. } => format!("try {publish} {repeat}"),
            Event::Leave => "leave".to_owned(),
            Event::Queue { lane, attempts } => format!("queue {} {attempts}", self.lane_text(*lane)),
            Event::Sent(sent) => format!(
                "sent {} {} {:?} {} {}",
                self.lane_text(sent.lane),
                sent.index,
                sent.answer,
                sent.arrived,
                self.run_text(sent.run)
            ),
            Event::Report(telling) => format!(
                "report {:?} {} {} {}",
                telling.lanes,
                telling.tries,
                telling.heard,
                self.run_text(telling.run)
            ),
            Event::Gathered { run, .. }
            | Event::HandOver { run }
            | Event::Dies { run }
            | Event::Reported { run, .. } => self.run_text(*run),
        }
    }

    fn run_text(&self, run: u64) -> String {
        let Some(own) = self.runs.get(&run) else {
            return "nobody".to_owned();
        };
        let lanes: Vec<String> = own.lanes.iter().map(|taken| self.lane_text(taken.lane)).collect();
        format!("{lanes:?} {:?} {:?} {}", own.turns, own.results, own.handed_over)
    }

    pub(crate) fn lane_text(&self, lane: usize) -> String {
        let lane = &self.lanes.all[lane];
        format!(
            "{} {:?} {:?} {} {} {} {:?}",
            lane.endpoint, lane.left, lane.until, lane.over, lane.doubled, lane.manual, lane.head.deliveries
        )
    }

    /// What stands of deliveries of which a result of a try by hand comes, and none of their plan.
    fn manual_before(&self, lanes: &[LaneReport]) -> Vec<(postern_domain::id::MessageId, u32, Stand, u32)> {
        let mut before = Vec::new();
        for lane in lanes {
            for result in &lane.results {
                let own = lanes.iter().flat_map(|lane| &lane.results);
                let alone = own.filter(|other| other.message == result.message).count() == 1;
                if result.trigger == Trigger::Manual && alone {
                    let (stand, attempts) = self.tenant.stand(result.message, lane.endpoint);
                    before.push((result.message, lane.endpoint, stand, attempts));
                }
            }
        }
        before
    }

    fn manual_after(&self, before: &[(postern_domain::id::MessageId, u32, Stand, u32)]) -> Held {
        for (message, endpoint, stood, counted) in before {
            let (stand, attempts) = self.tenant.stand(*message, *endpoint);
            let extra = self
                .owed
                .get(&(*message, *endpoint))
                .is_some_and(|known| known.extra);
            let moved = stand != *stood && !extra && !matches!(stand, Stand::Delivered | Stand::Cancelled);
            if attempts != *counted || moved {
                return Err(format!(
                    "a try by hand changed the plan of {message} to {endpoint}: {stood:?} after {counted} is \
                     {stand:?} after {attempts}"
                ));
            }
        }
        Ok(())
    }

    /// A report failed inside: what it says may be recorded all the same, and is then known already when it comes again.
    fn may_stand(&mut self, lanes: &[LaneReport]) {
        for lane in lanes {
            for result in &lane.results {
                let known = self.owed.get_mut(&(result.message, lane.endpoint));
                let outs = known.into_iter().flat_map(|known| &mut known.outs);
                for out in outs.filter(|out| out.number == result.number) {
                    (out.told, out.returned) = (true, true);
                    let own = &mut self.lanes.all[out.lane];
                    own.left.remove(&out.number);
                    own.over |= lane.last;
                }
            }
        }
    }

    /// What follows for what the world knows, now that a report stands.
    fn heard(&mut self, lanes: &[LaneReport]) {
        let now = self.tenant.now;
        for lane in lanes {
            let mut of = None;
            for result in &lane.results {
                let place = (lane.endpoint, result.message, result.number);
                let Some(at) = self.lanes.by_number.get(&place).copied() else {
                    continue;
                };
                of = Some(at);
                self.lanes.all[at].left.remove(&result.number);
                let (stand, _) = self.tenant.stand(result.message, lane.endpoint);
                let Some(known) = self.owed.get_mut(&(result.message, lane.endpoint)) else {
                    continue;
                };
                let mut first = false;
                for out in &mut known.outs {
                    if out.number == result.number {
                        first = !out.told;
                        (out.told, out.returned) = (true, true);
                    }
                }
                let asked = match (result.cause, result.retry_after_ms, result.status) {
                    (Some(_), Some(ms), _) => Some(ms.min(Millis::DAY)),
                    (Some(_), None, Some(429 | 503)) => Some(10_000),
                    (None, ..) | (Some(_), None, _) => None,
                };
                if result.cause.is_none() {
                    known.success.get_or_insert(now);
                }
                let Some(endpoint) = self.endpoint_mut(lane.endpoint) else {
                    continue;
                };
                endpoint.successes += usize::from(result.cause.is_none());
                let seen = first && endpoint.off_since.is_none() && stand != Stand::Gone;
                if let Some(ms) = asked.filter(|_| seen) {
                    let until = now.plus(ms);
                    if endpoint.paused.is_none_or(|(_, known)| known < until) {
                        endpoint.paused = Some((now, until));
                    }
                    self.counts.paused += 1;
                }
            }
            if let Some(at) = of.filter(|_| lane.last) {
                self.lanes.all[at].over = true;
            }
        }
    }

    /// When a request is given up at the latest: no consumer waits beyond its lease.
    pub(crate) fn ends_by(&self, sent: &Sent) -> Millis {
        self.lanes.all[sent.lane].head.deliveries[sent.index].until
    }

    /// Whether this request may begin now.
    fn may_be_sent(&mut self, lane: usize, index: usize) -> Held {
        let now = self.clock;
        let lane = &self.lanes.all[lane];
        let handout = &lane.head.deliveries[index];
        let (message, number, doubled) = (handout.message, lane.endpoint, lane.doubled);
        let what = format!("{message} ({}) to {number}", message.0.sequence);
        let manual = handout.trigger == Trigger::Manual;
        let known = self.owed.get(&(message, number)).ok_or("a delivery of ours")?;
        let endpoint = self.endpoint(number).ok_or("an endpoint of ours")?;
        let long = |since: Option<Millis>| since.is_some_and(|since| now.since(since) > LEASE);
        if !self.jumpy && long(endpoint.off_since) {
            return Err(format!("{what} was sent long after the endpoint was off"));
        }
        if !self.jumpy && !manual && long(known.cancelled_at) {
            return Err(format!("{what} was sent long after it was Cancelled"));
        }
        if !self.jumpy && !doubled && !manual && known.planned > 0 {
            return Err(format!("{what} is sent while it is being sent"));
        }
        if let Some(line) = known.line.filter(|_| !manual) {
            self.none_before(line, message, &[])
                .map_err(|before| format!("{what} was sent before {before}, out of order"))?;
        }
        let sending: u32 = self
            .owed
            .iter()
            .filter(|((_, to), _)| *to == number)
            .map(|(_, known)| known.sending)
            .sum();
        if sending >= 256 {
            return Err(format!("more than 256 sends at a time to {number}"));
        }
        Ok(())
    }
}
