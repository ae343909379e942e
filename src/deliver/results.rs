//! What has been sent and not been reported, tenant by tenant.
//!
//! A tenant's results go to its object as soon as its part of the batch is done, or 250 ms after the first of them, and
//! wait for nobody else's. One report of a tenant is under way at a time: while one is tried again, what comes meanwhile
//! gathers for the next. Pure: that the 250 ms are over is said from outside.

use std::collections::BTreeMap;

use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::wire::call::Report;
use postern_domain::wire::report::{LaneReport, SendResult};

/// How long a result waits for others.
pub(super) const GATHER_MS: u64 = 250;

/// Results in one report at the most: with their responses' bodies some 8 MB.
const A_REPORT: usize = 500;

/// A report that is due.
pub(super) struct Due {
    /// Whose.
    pub(super) tenant: TenantId,
    /// Its head.
    pub(super) report: Report,
    /// The responses' bodies beside it.
    pub(super) bodies: Vec<Vec<u8>>,
    /// Of each result, in the same order, whose event type it is of.
    pub(super) types: Vec<Option<EventType>>,
}

/// An event type of an organisation.
pub(super) type EventType = (OrganisationId, String);

/// One result of one lane.
#[derive(Debug)]
pub(super) struct Entry {
    /// The lane's number in this invocation.
    pub(super) lane: usize,
    /// The endpoint's number.
    pub(super) endpoint: u32,
    /// How it ended.
    pub(super) result: SendResult,
    /// What of the response's body is kept.
    pub(super) body: Vec<u8>,
    /// Whose event type it is of, if its lane says so.
    pub(super) event_type: Option<EventType>,
}

/// All tenants' unreported results.
#[derive(Debug, Default)]
pub(super) struct Results {
    tenants: BTreeMap<TenantId, Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    entries: Vec<Entry>,
    /// Which gathering this is: a clock that was started for an earlier one says nothing about it.
    gathering: u64,
    ripe: bool,
    reporting: bool,
}

impl Results {
    /// A result more. It is the first of its gathering if a number comes back: then [`Results::ripen`] is to be called
    /// with it after [`GATHER_MS`].
    pub(super) fn add(&mut self, tenant: TenantId, entry: Entry) -> Option<u64> {
        let gathered = self.tenants.entry(tenant).or_default();
        let first = gathered.entries.is_empty();
        gathered.entries.push(entry);
        first.then_some(gathered.gathering)
    }

    /// The gathering has waited long enough.
    pub(super) fn ripen(&mut self, tenant: TenantId, gathering: u64) {
        if let Some(gathered) = self.tenants.get_mut(&tenant) {
            gathered.ripe |= gathered.gathering == gathering;
        }
    }

    /// A report that is due now, if there is one. It is under way from here on, until [`Results::reported`].
    pub(super) fn due(
        &mut self,
        tenant_done: impl Fn(TenantId) -> bool,
        lane_done: impl Fn(usize) -> bool,
    ) -> Option<Due> {
        let is_due = |(tenant, gathered): &(&TenantId, &mut Gathered)| {
            let waiting = !gathered.entries.is_empty() && !gathered.reporting;
            waiting && (gathered.ripe || tenant_done(**tenant))
        };
        let (tenant, gathered) = self.tenants.iter_mut().find(is_due)?;
        let rest = gathered.entries.split_off(gathered.entries.len().min(A_REPORT));
        let entries = std::mem::replace(&mut gathered.entries, rest);
        gathered.reporting = true;
        if gathered.entries.is_empty() {
            gathered.ripe = false;
            gathered.gathering += 1;
        }
        let left: Vec<usize> = gathered.entries.iter().map(|entry| entry.lane).collect();
        let tenant = *tenant;
        Some(due_of(tenant, entries, |lane| {
            lane_done(lane) && !left.contains(&lane)
        }))
    }

    /// The tenant's report has arrived, or was given up.
    pub(super) fn reported(&mut self, tenant: TenantId) {
        if let Some(gathered) = self.tenants.get_mut(&tenant) {
            gathered.reporting = false;
        }
    }
}

/// An endpoint's number, and results with what stands beside them.
type OfOneLane = (u32, Vec<Entry>);

fn due_of(tenant: TenantId, entries: Vec<Entry>, is_last: impl Fn(usize) -> bool) -> Due {
    let mut lanes: BTreeMap<usize, OfOneLane> = BTreeMap::new();
    for entry in entries {
        let (_, results) = lanes.entry(entry.lane).or_insert((entry.endpoint, Vec::new()));
        results.push(entry);
    }
    let mut due = Due {
        tenant,
        report: Report { lanes: Vec::new() },
        bodies: Vec::new(),
        types: Vec::new(),
    };
    for (lane, (endpoint, entries)) in lanes {
        let mut results = Vec::with_capacity(entries.len());
        for entry in entries {
            results.push(entry.result);
            due.bodies.push(entry.body);
            due.types.push(entry.event_type);
        }
        due.report.lanes.push(LaneReport {
            endpoint,
            results,
            last: is_last(lane),
        });
    }
    due
}

#[cfg(test)]
mod tests {
    use postern_domain::id::{Address, MessageId};
    use postern_domain::time::Millis;
    use postern_domain::wire::Trigger;

    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);
    const ONE: TenantId = TenantId([1; 20]);
    const OTHER: TenantId = TenantId([2; 20]);

    fn entry(lane: usize, number: u64) -> Entry {
        let result = SendResult {
            message: MessageId(Address {
                time: NOW.0,
                shard: 0,
                sequence: number,
                random: [0; 7],
            }),
            number,
            until: NOW.plus(60_000),
            trigger: Trigger::Scheduled,
            started_at: NOW,
            duration_ms: 1,
            waited_ms: 0,
            url: String::new(),
            status: Some(200),
            cause: None,
            retry_after_ms: None,
            schedule: None,
            sent_headers: Vec::new(),
            response_headers: Vec::new(),
        };
        Entry {
            lane,
            endpoint: 7,
            result,
            body: vec![u8::try_from(number).unwrap_or_default()],
            event_type: Some((OrganisationId([9; 20]), format!("type.{number}"))),
        }
    }

    fn tenants_due(results: &mut Results, done: &[TenantId]) -> Vec<TenantId> {
        let due = std::iter::from_fn(|| results.due(|tenant| done.contains(&tenant), |_| true));
        due.map(|due| due.tenant).collect()
    }

    #[test]
    fn a_tenant_whose_part_is_done_is_reported_while_its_neighbour_still_sends() {
        let mut results = Results::default();
        results.add(ONE, entry(0, 1));
        results.add(OTHER, entry(1, 2));
        assert_eq!(tenants_due(&mut results, &[ONE]), [ONE]);
    }

    #[test]
    fn results_of_a_lane_that_goes_on_are_reported_once_they_are_ripe() {
        let mut results = Results::default();
        let gathering = results.add(ONE, entry(0, 1)).unwrap_or_default();
        assert_eq!(results.add(ONE, entry(0, 2)), None, "the clock runs already");
        assert!(tenants_due(&mut results, &[]).is_empty());
        results.ripen(ONE, gathering);
        let due = results.due(|_| false, |_| false);
        let report = due.map(|due| due.report);
        let lane = report.as_ref().and_then(|report| report.lanes.first());
        assert_eq!(lane.map(|lane| (lane.results.len(), lane.last)), Some((2, false)));
    }

    #[test]
    fn a_clock_of_an_earlier_gathering_ripens_nothing() {
        let mut results = Results::default();
        let old = results.add(ONE, entry(0, 1)).unwrap_or_default();
        assert_eq!(tenants_due(&mut results, &[ONE]), [ONE]);
        results.reported(ONE);
        results.add(ONE, entry(0, 2));
        results.ripen(ONE, old);
        assert!(tenants_due(&mut results, &[]).is_empty());
    }

    #[test]
    fn one_report_of_a_tenant_is_under_way_at_a_time() {
        let mut results = Results::default();
        results.add(ONE, entry(0, 1));
        assert_eq!(tenants_due(&mut results, &[ONE]), [ONE]);
        results.add(ONE, entry(0, 2));
        assert!(tenants_due(&mut results, &[ONE]).is_empty());
        results.reported(ONE);
        assert_eq!(tenants_due(&mut results, &[ONE]), [ONE]);
    }

    #[test]
    fn bodies_stand_beside_the_head_in_the_order_of_its_results() {
        let mut results = Results::default();
        for (lane, number) in [(1, 1), (0, 2), (1, 3)] {
            results.add(ONE, entry(lane, number));
        }
        let Due {
            report,
            bodies,
            types,
            ..
        } = results
            .due(|_| true, |lane| lane == 0)
            .unwrap_or_else(|| panic!("none"));
        let types: Vec<String> = types.into_iter().flatten().map(|(_, name)| name).collect();
        assert_eq!(types, ["type.2", "type.1", "type.3"]);
        let numbers: Vec<u64> = report
            .lanes
            .iter()
            .flat_map(|lane| lane.results.iter().map(|result| result.number))
            .collect();
        assert_eq!(numbers, [2, 1, 3]);
        assert_eq!(bodies, [[2], [1], [3]]);
        let last: Vec<bool> = report.lanes.iter().map(|lane| lane.last).collect();
        assert_eq!(last, [true, false]);
    }

    #[test]
    fn a_report_is_bounded_and_a_lane_is_ended_only_by_the_part_that_has_its_end() {
        let mut results = Results::default();
        for number in 0..=500 {
            results.add(ONE, entry(0, number));
        }
        let lasts = |results: &mut Results| {
            let due = results.due(|_| true, |_| true);
            results.reported(ONE);
            due.and_then(|due| {
                due.report
                    .lanes
                    .first()
                    .map(|lane| (lane.results.len(), lane.last))
            })
        };
        assert_eq!(lasts(&mut results), Some((500, false)));
        assert_eq!(lasts(&mut results), Some((1, true)));
        assert_eq!(lasts(&mut results), None);
    }
}
