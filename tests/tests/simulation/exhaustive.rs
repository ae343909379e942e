//! Small worlds, searched whole: two messages, two endpoints, every order in which their events can come, and every place
//! for up to two mishaps. What is to happen next is a decision; a way through all of them is a life, and one life after the
//! other takes another way. A state that was seen with as much left to go wrong is not gone through again.
//!
//! A mishap is a queue message that is lost or doubled, a report that is lost, doubled or not answered, an answer of an
//! endpoint that nobody hears, something that comes only after the alarm's time, an eviction, and a crash before any
//! statement that writes.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use postern_domain::time::Millis;
use postern_domain::wire::call::TenantSettings;
use postern_ledger::sql::Sql as _;
use postern_ledger::{Rules, Settings};
use postern_tests::storage::Storage;
use postern_tests::tenant::{START, Seeded, Tenant, number_of};
use serde_json::json;

use crate::chance::{Chance, Script};
use crate::known::{Endpoint, Manner, Order, Plant};
use crate::number;
use crate::world::{Event, Held, World, ordering};

/// Statements that write in one step, at the most: a crash before each.
const WRITES: usize = 24;

/// What is stored and decides what happens next. A message's own row never changes.
const TABLES: [&str; 9] = [
    "SELECT sequence, time FROM message_1",
    "SELECT * FROM delivery_1",
    "SELECT * FROM attempt_1",
    "SELECT * FROM extra_1",
    "SELECT * FROM due",
    "SELECT * FROM backlog",
    "SELECT * FROM health",
    "SELECT number, generation, cancelled_through, config FROM endpoint",
    "SELECT * FROM meta WHERE name = 'mark'",
];

/// How often the alarm's time is waited for; then all goes well to the end.
const PASSES: u32 = 4;

/// A world to search.
#[derive(Clone, Copy)]
struct Small {
    orders: [Option<Order>; 2],
    rate: Option<u16>,
    /// Whether an endpoint answers as it likes, or well.
    flaky: [bool; 2],
    /// Things that somebody does at any time: an endpoint off and on, a try by hand.
    acts: u32,
}

const FREE: Small = Small {
    orders: [None, None],
    rate: None,
    flaky: [true, false],
    acts: 0,
};

const WAITS: Option<Order> = Some(Order {
    keyed: false,
    waits: true,
});

const SKIPS: Option<Order> = Some(Order {
    keyed: true,
    waits: false,
});

macro_rules! small {
    ($($name:ident: $small:expr;)*) => {
        $(
            #[test]
            fn $name() {
                if let Err(broken) = search(stringify!($name), $small, Plant::default()) {
                    panic!("{broken}");
                }
            }
        )*
    };
}

small! {
    two_endpoints_without_an_order: FREE;
    two_endpoints_of_which_one_keeps_an_order_and_waits: Small { orders: [WAITS, None], ..FREE };
    two_endpoints_of_which_one_keeps_an_order_and_skips: Small { orders: [SKIPS, None], ..FREE };
    two_endpoints_with_a_rate: Small { rate: Some(1), ..FREE };
    two_endpoints_of_which_one_goes_off_or_is_tried_by_hand: Small { acts: 1, ..FREE };
    an_order_and_somebody_who_turns_it_off_or_tries_by_hand: Small { orders: [WAITS, None], acts: 1, ..FREE };
}

/// What no seed has found: it takes a queue message that is lost, and a crash between two statements of its sweep.
#[test]
fn what_was_lost_is_half_written() {
    let plant = Plant {
        rules: Rules {
            lost_is_one: false,
            ..Rules::default()
        },
        ..Plant::default()
    };
    let small = Small {
        flaky: [false, false],
        ..FREE
    };
    let bound = Bound {
        mishaps: 2,
        orders: 0,
    };
    let broken = search_within(small, bound, plant).err();
    println!("{}", broken.expect("some way breaks"));
}

/// What happens next.
#[derive(Clone, Copy)]
enum Next {
    Event((Millis, u64)),
    /// The alarm's time comes.
    Passes,
    /// The same though something is on its way still.
    Late,
    Evicted,
    Off(bool),
    ByHand,
}

#[derive(Default)]
struct Seen {
    states: HashMap<u64, Vec<[u32; 4]>>,
    ways: u64,
    steps: u64,
}

/// How much may go wrong in one way.
#[derive(Clone, Copy)]
struct Bound {
    mishaps: u32,
    /// How often something may overtake what came before it.
    orders: u32,
}

/// As often as there is something that can be overtaken.
const EVERY: u32 = u32::MAX;

/// Each of these is searched whole, in about a minute for all worlds: every order, and one mishap at any place.
const BOUNDS: [Bound; 2] = [
    Bound {
        mishaps: 0,
        orders: EVERY,
    },
    Bound {
        mishaps: 1,
        orders: 0,
    },
];

/// Where somebody does something at any time there are many more ways.
const ACTED: [Bound; 1] = [Bound {
    mishaps: 0,
    orders: 1,
}];

/// With `WIDE=1` these, in an hour: that is how long the worlds take in which somebody does something. `MISHAPS` and `ORDERS` set one bound instead.
const WIDE: [Bound; 2] = [
    Bound {
        mishaps: 1,
        orders: EVERY,
    },
    Bound {
        mishaps: 2,
        orders: 0,
    },
];

const WIDE_ACTED: [Bound; 3] = [
    Bound {
        mishaps: 0,
        orders: EVERY,
    },
    Bound {
        mishaps: 1,
        orders: 1,
    },
    Bound {
        mishaps: 2,
        orders: 0,
    },
];

/// Searches a world within its bounds; says what breaks first, with the story.
fn search(name: &str, small: Small, plant: Plant) -> Result<(), String> {
    let env = |name| number(name).and_then(|most| u32::try_from(most).ok());
    let (wide, acted) = (number("WIDE").is_some(), small.acts > 0);
    let bounds = match (env("MISHAPS"), env("ORDERS")) {
        (None, None) if wide && acted => WIDE_ACTED.to_vec(),
        (None, None) if wide => WIDE.to_vec(),
        (None, None) if acted => ACTED.to_vec(),
        (None, None) => BOUNDS.to_vec(),
        (mishaps, orders) => vec![Bound {
            mishaps: mishaps.unwrap_or(2),
            orders: orders.unwrap_or(EVERY),
        }],
    };
    for bound in bounds {
        let seen = search_within(small, bound, plant).map_err(|broken| format!("{name}: {broken}"))?;
        let orders = match bound.orders {
            EVERY => "in every order".to_owned(),
            most => format!("{most} overtake"),
        };
        println!(
            "{name}, {} mishaps, {orders}: {} states, {} ways, {} steps",
            bound.mishaps,
            seen.states.len(),
            seen.ways,
            seen.steps
        );
    }
    Ok(())
}

fn search_within(small: Small, bound: Bound, plant: Plant) -> Result<Seen, String> {
    let ground = Ground::new(small, plant);
    let mut seen = Seen::default();
    let mut prefix = Some(Vec::new());
    while let Some(decisions) = prefix.take() {
        let script = Script::new(decisions, bound.mishaps);
        let (gone, script) = ground.walk(bound, script, |way| {
            let gone = way.go(&mut seen);
            (gone, way.world.chance.script().map(std::mem::take))
        });
        seen.ways += 1;
        let script = script.unwrap_or_default();
        if let Err(broken) = gone {
            let decisions: Vec<usize> = script.trail.iter().map(|(chosen, _)| *chosen).collect();
            let script = Script::new(decisions.clone(), bound.mishaps);
            let (story, again) = ground.walk(bound, script, |way| {
                way.world.telling = true;
                let again = way.go(&mut Seen::default());
                (way.world.story.join("\n"), again)
            });
            return Err(format!("{broken}\n{decisions:?}\n{story}\n{again:?}"));
        }
        prefix = script.next();
    }
    Ok(seen)
}

/// Where every way through a world begins: a tenant and its endpoints. A way leaves no trace in the storage: to make its
/// tables, and to prepare the statements for them, would take longer than most ways.
struct Ground {
    small: Small,
    plant: Plant,
    settings: Settings,
    storage: Storage,
    alarm: Option<Millis>,
    endpoints: Vec<Endpoint>,
}

impl Ground {
    fn new(small: Small, plant: Plant) -> Self {
        let settings = Settings {
            rules: plant.rules,
            ..Settings::default()
        };
        let mut tenant = Tenant::with(settings.clone(), TenantSettings::default());
        let endpoints = small.orders.into_iter().zip(small.flaky);
        let endpoints = endpoints.map(|(order, flaky)| make_endpoint(&mut tenant, order, small.rate, flaky));
        let endpoints = endpoints.collect();
        Self {
            small,
            plant,
            settings,
            alarm: tenant.storage.native().alarm(),
            storage: tenant.storage,
            endpoints,
        }
    }

    fn walk<T>(&self, bound: Bound, script: Script, walk: impl FnOnce(&mut Way) -> T) -> T {
        let native = self.storage.native();
        let batch = |sql| native.connection().execute_batch(sql).expect("a way is undone");
        batch("SAVEPOINT way");
        native.set_alarm(self.alarm).expect("an alarm is set");
        self.storage.fail_in_writes(None);
        let tenant = Tenant::over(self.storage.clone(), self.settings.clone());
        let mut world = World::new(tenant, Chance::Scripted(script), self.plant);
        world.endpoints.clone_from(&self.endpoints);
        world.publish();
        world.publish();
        let done = walk(&mut Way {
            world,
            acts: self.small.acts,
            passes: PASSES,
            orders: bound.orders,
        });
        batch("ROLLBACK TO way; RELEASE way");
        done
    }
}

/// One way through a small world.
struct Way {
    world: World,
    acts: u32,
    passes: u32,
    /// How often something may overtake what came before it.
    orders: u32,
}

impl Way {
    fn go(&mut self, seen: &mut Seen) -> Held {
        loop {
            self.follow()?;
            // What is gone again was looked at.
            if self.world.chance.script().is_some_and(|script| script.is_new()) {
                self.world.check()?;
            }
            if self.is_known(seen) {
                return Ok(());
            }
            let ways = self.ways();
            if ways.is_empty() || self.passes == 0 {
                return self.end();
            }
            let script = self.world.chance.script().ok_or("a script")?;
            let chosen = script.choose(ways.len());
            let next = ways[chosen];
            if chosen > 0 && matches!(next, Next::Event(_)) && self.orders != EVERY {
                self.orders -= 1;
            }
            seen.steps += 1;
            self.step(next)?;
        }
    }

    /// What nothing can come between: a consumer's own clocks, and the answers that it hears.
    fn follow(&mut self) -> Held {
        loop {
            let own = |event: &Event| {
                matches!(
                    event,
                    Event::Gathered { .. } | Event::Reported { .. } | Event::HandOver { .. } | Event::Leave
                )
            };
            let found = self.world.events.iter().find(|(_, event)| own(event));
            let Some(key) = found.map(|(key, _)| *key) else {
                return Ok(());
            };
            if let Some(event) = self.world.events.remove(&key)
                && !matches!(event, Event::HandOver { .. })
            {
                self.world.happen(event)?;
                self.world.after_call()?;
            }
        }
    }

    /// All that may happen next, the usual thing first.
    fn ways(&mut self) -> Vec<Next> {
        let mut texts = Vec::new();
        let mut ways = Vec::new();
        for (key, event) in &self.world.events {
            if self.orders == 0 && !ways.is_empty() {
                break;
            }
            let text = self.world.text_of(event);
            // Of two that are the same one is enough.
            if !texts.contains(&text) {
                texts.push(text);
                ways.push(Next::Event(*key));
            }
        }
        let mishaps = self
            .world
            .chance
            .script()
            .is_some_and(|script| script.mishaps > 0);
        if let Some(at) = self.world.alarm_at() {
            if ways.is_empty() {
                ways.push(Next::Passes);
            } else if mishaps && self.may_be_late(at) {
                ways.push(Next::Late);
            }
        }
        if mishaps && !ways.is_empty() {
            ways.push(Next::Evicted);
        }
        if self.acts > 0 && !ways.is_empty() {
            ways.push(Next::Off(true));
            ways.push(Next::ByHand);
        } else if self.world.endpoints[0].off_since.is_some() && !ways.is_empty() {
            ways.push(Next::Off(false));
        }
        ways
    }

    /// Whether all that is on its way may come after this time.
    fn may_be_late(&self, at: Millis) -> bool {
        let world = &self.world;
        world.events.values().all(|event| match event {
            Event::Sent(sent) => at < world.ends_by(sent),
            _ => true,
        })
    }

    fn step(&mut self, next: Next) -> Held {
        // What is drawn in the ledger is the same in whatever order things come.
        self.world.tenant.random = Seeded::new(1);
        let script = self.world.chance.script().ok_or("a script")?;
        if matches!(next, Next::Late | Next::Evicted) {
            script.mishaps -= 1;
        }
        let crash = match next {
            Next::Evicted => 0,
            _ => script.mishap(1 + WRITES),
        };
        let decided = script.trail.len();
        if let Some(before) = crash.checked_sub(1) {
            let before = u32::try_from(before).map_err(|error| error.to_string())?;
            self.world.tenant.storage.fail_in_writes(Some(before));
        }
        self.happen(next)?;
        if crash > 0 {
            if self.world.tenant.storage.will_fail() {
                // It wrote less than that: no crash, and none later in this step.
                self.world.tenant.storage.fail_in_writes(None);
                if let Some(script) = self.world.chance.script() {
                    script.trail.truncate(decided);
                    script.no_more_ways();
                }
                self.passes = 0;
                self.world.quiet = true;
            } else {
                self.world.evict();
            }
        }
        Ok(())
    }

    fn happen(&mut self, next: Next) -> Held {
        let world = &mut self.world;
        match next {
            Next::Event(key) => {
                world.set_clock(key.0.min(world.clock));
                let event = world.events.remove(&key).ok_or("an event that is there")?;
                world.happen(event)?;
            }
            Next::Passes | Next::Late => {
                let at = world.alarm_at().ok_or("an alarm")?;
                world.set_clock(at);
                self.passes -= 1;
                world.ring();
            }
            Next::Evicted => {
                self.world.evict();
                return Ok(());
            }
            Next::Off(off) => {
                self.acts = self.acts.saturating_sub(1);
                let number = world.endpoints[0].number;
                world.turn_one(number, off);
            }
            Next::ByHand => {
                self.acts -= 1;
                let number = world.endpoints[0].number;
                let first = world.publishes[0].messages.first().copied();
                if let Some(first) = first {
                    world.resend(first, number);
                }
            }
        }
        world.after_call()
    }

    /// From here on all goes well.
    fn end(&mut self) -> Held {
        let world = &mut self.world;
        world.quiet = true;
        for endpoint in &mut world.endpoints {
            endpoint.manner = Manner::Healthy;
        }
        for _ in 0..4 {
            world.pass(600_000)?;
            world.check()?;
        }
        for _ in 0..4 {
            for (message, endpoint) in world.blocking() {
                world.resend(message, endpoint);
            }
            world.pass(90_000)?;
            world.check()?;
        }
        world.pass(600_000)?;
        world.all_ended()
    }

    /// Whether this state was gone through, with as much before it.
    fn is_known(&mut self, seen: &mut Seen) -> bool {
        let Some(script) = self.world.chance.script() else {
            return false;
        };
        if !script.is_new() {
            return false;
        }
        let left = [script.mishaps, self.acts, self.passes, self.orders];
        let state = self.state();
        let before = seen.states.entry(state).or_default();
        let known = before
            .iter()
            .any(|known| known.iter().zip(left).all(|(known, left)| *known >= left));
        if !known {
            before.push(left);
        }
        known
    }

    fn state(&self) -> u64 {
        let world = &self.world;
        let mut hasher = DefaultHasher::new();
        (world.clock, self.world.tenant.ledger.memory_text()).hash(&mut hasher);
        let storage = world.tenant.storage.native();
        storage.alarm().hash(&mut hasher);
        for table in TABLES {
            let rows = storage.rows(table, &[]).unwrap_or_default();
            let rows: Vec<_> = rows.into_iter().map(|row| row.0).collect();
            format!("{rows:?}").hash(&mut hasher);
        }
        let mut events: Vec<String> = world.events.values().map(|event| world.text_of(event)).collect();
        events.sort();
        events.hash(&mut hasher);
        for (key, known) in &world.owed {
            let outs: Vec<_> = known
                .outs
                .iter()
                .map(|out| (out.number, out.until, out.returned, out.told))
                .collect();
            let times = (known.success, known.cancelled_at, known.tried, known.asked);
            let flags = (known.received, known.skipped, known.sending, known.planned);
            format!("{key:?} {outs:?} {times:?} {flags:?}").hash(&mut hasher);
        }
        let live = |lane: &usize| !world.lanes.all[*lane].over && world.lanes.all[*lane].until > world.clock;
        let mut lanes: Vec<String> = (0..world.lanes.all.len())
            .filter(live)
            .map(|lane| world.lane_text(lane))
            .collect();
        lanes.sort();
        lanes.hash(&mut hasher);
        for publish in &world.publishes {
            (publish.tries, publish.messages.len()).hash(&mut hasher);
        }
        for endpoint in &world.endpoints {
            (endpoint.off_since, endpoint.generation, endpoint.successes).hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn make_endpoint(tenant: &mut Tenant, order: Option<Order>, rate: Option<u16>, flaky: bool) -> Endpoint {
    let made = tenant.make_endpoint(json!({
        "retrySchedule": [5],
        "throttleRate": rate,
        "disableAfter": {"failed": 0, "days": 0},
        "ordering": order.map(ordering),
    }));
    let view = made.expect("an endpoint is made");
    let manner = if flaky { Manner::Flaky(50) } else { Manner::Healthy };
    Endpoint {
        number: number_of(&view),
        id: view.id.to_string(),
        plan: 1,
        manner,
        off_since: None,
        deleted: false,
        picky: false,
        rate,
        rate_since: START,
        handed: Vec::new(),
        order,
        span: 0,
        generation: 0,
        paused: None,
        successes: 0,
    }
}
