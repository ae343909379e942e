//! Reading all subscriptions at the provider, or all customers where it lists those: on the first day the projection is empty, and everybody would lose the plan.
//!
//! A background task: a row of `task`, one page a slice. The alarm hands out the asking for a page with a lease; what the
//! answer comes to and where the task stands move in one transaction, so that a page that is answered twice counts once. A
//! dry run takes nothing: it keeps what it found beside the table that somebody uploaded, and what differs is worked out
//! when it is read, by the rules of then.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use postern_domain::entitlement::{
    Facts, Known, MOST_LISTED, Provider, Reading, Status, Told, WHOLE, judge, listed_by_revenuecat,
    page_from_revenuecat, page_from_stripe,
};
use postern_domain::id::TaskId;
use postern_domain::json;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::Page;
use postern_domain::wire::entitlement::{
    Difference, EntitlementBackfill, EntitlementDifferences, EntitlementFetched, FetchAsk,
};
use postern_domain::wire::replay::{TaskKind, TaskProgress, TaskView};
use serde::{Deserialize, Serialize};

use super::fetch::{LEASE_MS, parse, question};
use super::{Effect, Kept, Rows, known_of, rows_of};
use crate::page::MOST_ROWS;
use crate::select::Place;
use crate::sql::{Row, Sql, Value};
use crate::task::{self, RUNNING, json};
use crate::{Ledger, Random};

/// Lines of an uploaded table at the most.
const MOST_EXPECTED: usize = 20_000;

/// Between two pages of Stripe's.
const PAUSE_MS: u64 = 200;

/// Between two of `RevenueCat`'s, each of which is one question a customer: it lets a project ask 480 times a minute.
const LONG_PAUSE_MS: u64 = 2000;

/// Such a page has this long, in the queue and at the provider.
const LONG_LEASE_MS: u64 = 180_000;

/// A page that failed so often in a row ends the task.
const MOST_TRIES: u32 = 8;

/// Rows that are read at a time.
const CHUNK: usize = 500;

/// Where it stands. The first fields are those of every task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stand {
    place: Place,
    #[serde(flatten)]
    shown: TaskProgress,
    /// The next page is behind this subscription.
    after: Option<String>,
    #[serde(default)]
    tries: u32,
    #[serde(default = "stripe")]
    provider: Provider,
    #[serde(default)]
    dry_run: bool,
}

const fn stripe() -> Provider {
    Provider::Stripe
}

impl Stand {
    const fn lease_ms(&self) -> u64 {
        match self.provider {
            Provider::Stripe => LEASE_MS,
            Provider::RevenueCat => LONG_LEASE_MS,
        }
    }

    const fn pause_ms(&self) -> u64 {
        match self.provider {
            Provider::Stripe => PAUSE_MS,
            Provider::RevenueCat => LONG_PAUSE_MS,
        }
    }
}

impl<S: Sql> Ledger<S> {
    /// Starts it. Once more with the same id: nothing changes.
    pub(crate) fn entitlement_backfill(
        &mut self,
        call: &EntitlementBackfill,
        now: Millis,
    ) -> Result<TaskView, Problem> {
        if let Some(stands) = self.task(call.id)? {
            return Ok(stands);
        }
        let kept = self.entitlements()?;
        if !may_read(&kept, call.provider) {
            return Err(Problem::new(Code::Conflict, lacking(call.provider)));
        }
        if call.expected.len() > MOST_EXPECTED {
            let sentence = format!("must have {MOST_EXPECTED} lines at the most");
            return Err(Problem::fault(&["body", "csv"], sentence));
        }
        let running =
            "SELECT count(*), count(CASE WHEN kind = ? THEN 1 END) FROM task WHERE state = 'running'";
        let kind = TaskKind::EntitlementBackfill.as_str();
        let row = self.sql.row(running, &[kind.into()])?;
        let row = row.ok_or_else(|| Problem::internal("a count without a row"))?;
        if row.number(1)? > 0 || row.number(0)? >= RUNNING {
            let sentence = "A backfill or too many background tasks of this application are running; wait, or cancel one";
            return Err(Problem::new(Code::Conflict, sentence));
        }
        let stand = Stand {
            place: Place::default(),
            shown: TaskProgress {
                approximated: true,
                ..TaskProgress::default()
            },
            after: None,
            tries: 0,
            provider: call.provider,
            dry_run: call.dry_run,
        };
        let id = call.id.to_string();
        let progress = json(&stand)?;
        let armed = self.sql.atomic(|sql| {
            for table in ["entitlement_found", "entitlement_expected"] {
                sql.run(&format!("DELETE FROM {table}"), &[])?;
            }
            for (customer, plan) in &call.expected {
                let statement = "INSERT INTO entitlement_expected (task, customer, plan) VALUES (?, ?, ?) \
                                 ON CONFLICT DO UPDATE SET plan = excluded.plan";
                let values = [id.as_str().into(), customer.as_str().into(), plan.clone().into()];
                sql.run(statement, &values)?;
            }
            let kind = TaskKind::EntitlementBackfill;
            task::insert(sql, call.id, kind, ("{}".into(), progress), now)?;
            self.wake_by(now, now)
        })?;
        self.armed = armed;
        self.task(call.id)?
            .ok_or_else(|| Problem::internal("a job that was just written"))
    }

    /// The alarm's part: one page is asked for.
    pub(crate) fn ask_for_page(&mut self, id: &str, progress: &str, now: Millis) -> Result<(), Problem> {
        let stand: Stand = json::read(progress).map_err(Problem::internal)?;
        let memory = self.memory()?;
        let whose = (memory.organisation, memory.tenant);
        let kept = memory.entitlement.clone();
        let provider = stand.provider;
        let kept = kept.filter(|kept| kept.config.enabled && may_read(kept, provider));
        let key = kept
            .as_ref()
            .and_then(|kept| Some((kept.key_of(provider)?, kept.list_key())));
        let Some((key, list)) = key else {
            let why = "Entitlements or the key of the provider's API were taken away meanwhile";
            return self.end_backfill(id, why, now);
        };
        let task: TaskId = id.parse().map_err(Problem::internal)?;
        let until = now.plus(stand.lease_ms());
        let list = list.filter(|_| provider == Provider::RevenueCat);
        let ask = FetchAsk::Page {
            task,
            after: stand.after,
        };
        let out = question(whose, (provider, key), ask, list, until)?;
        let statement = "UPDATE task SET next_at = ? WHERE id = ?";
        self.sql.run(statement, &[until.into(), id.into()])?;
        self.fetches.push(out);
        Ok(())
    }

    /// What the provider's API answered for a page. One that nobody waits for any more is passed over.
    pub(super) fn page_fetched(
        &mut self,
        task: TaskId,
        after: Option<&str>,
        call: &EntitlementFetched,
        bodies: &[Vec<u8>],
        (now, random): (Millis, &mut dyn Random),
    ) -> Result<(), Problem> {
        let kept = self.memory()?.entitlement.clone();
        let Some(kept) = kept.filter(|kept| kept.config.enabled && may_read(kept, call.provider)) else {
            return Ok(());
        };
        let id = task.to_string();
        let statement = "SELECT progress FROM task WHERE id = ? AND state = 'running'";
        let Some(row) = self.sql.row(statement, &[id.as_str().into()])? else {
            return Ok(());
        };
        let mut stand: Stand = json::read(&row.text(0)?).map_err(Problem::internal)?;
        if stand.after.as_deref() != after || stand.provider != call.provider {
            return Ok(());
        }
        let (reading, next, seen) = match page(call, bodies, &kept) {
            Ok(page) => page,
            Err(why) => return self.page_failed(&id, stand, &why, now),
        };
        let mut effect = if stand.dry_run {
            self.found(&id, &reading)?
        } else {
            self.effect_of(call.provider, &reading, &kept, (0, now))?
        };
        stand.tries = 0;
        stand.shown.done += seen;
        stand.shown.total = stand.shown.done;
        stand.shown.approximated = next.is_some();
        stand.after = next.or(stand.after);
        let going_on = stand.shown.approximated;
        let state = if going_on { "running" } else { "finished" };
        let at = now.plus(stand.pause_ms());
        effect.beside.push(
            "UPDATE task SET state = ?, progress = ?, next_at = ?, updated_at = ?, error = NULL WHERE id = ?",
            vec![state.into(), json(&stand)?, at.into(), now.into(), id.into()],
        );
        if going_on {
            effect.beside.wakes(at);
        }
        self.put(&effect, now, random)
    }

    fn page_failed(&mut self, id: &str, mut stand: Stand, why: &str, now: Millis) -> Result<(), Problem> {
        self.notice("entitlement_page_not_fetched", why);
        stand.tries += 1;
        if stand.tries >= MOST_TRIES {
            return self.end_backfill(id, why, now);
        }
        let at = now.plus(1000 << stand.tries);
        let values = [json(&stand)?, why.into(), at.into(), now.into(), id.into()];
        let armed = self.sql.atomic(|sql| {
            let statement =
                "UPDATE task SET progress = ?, error = ?, next_at = ?, updated_at = ? WHERE id = ?";
            sql.run(statement, &values)?;
            self.wake_by(at, now)
        })?;
        self.armed = armed;
        Ok(())
    }

    fn end_backfill(&mut self, id: &str, why: &str, now: Millis) -> Result<(), Problem> {
        let statement = "UPDATE task SET state = 'failed', error = ?, updated_at = ? WHERE id = ?";
        self.sql.run(statement, &[why.into(), now.into(), id.into()])?;
        Ok(())
    }

    /// What a dry run keeps: each under the name that the table has for the customer.
    fn found(&self, task: &str, reading: &Reading) -> Result<Effect, Problem> {
        let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (alias, customer) in &reading.aliases {
            names.entry(customer).or_default().push(alias);
        }
        let mut effect = Effect::default();
        for change in &reading.changes {
            match change {
                Told::Item {
                    customer,
                    item,
                    known,
                } => {
                    let name = self.name_in_table(task, customer, &names)?;
                    effect.beside.push(FOUND, found(task, &name, item, known)?);
                }
                // That this is all stands beside what there is: what else was known does not count any more.
                Told::Whole {
                    customer,
                    items,
                    order,
                } => {
                    let name = self.name_in_table(task, customer, &names)?;
                    for (product, known) in items {
                        effect.beside.push(FOUND, found(task, &name, product, known)?);
                    }
                    let mark = Known::seen(Facts::of(Status::Cancelled), order.clone());
                    effect.beside.push(FOUND, found(task, &name, WHOLE, &mark)?);
                }
                Told::Transfer { .. } => {}
            }
        }
        Ok(effect)
    }

    /// By which of its names the uploaded table has a customer; else the provider's id.
    fn name_in_table(
        &self,
        task: &str,
        customer: &str,
        names: &BTreeMap<&str, Vec<&str>>,
    ) -> Result<String, Problem> {
        let aliases = names.get(customer).map(Vec::as_slice).unwrap_or_default();
        for candidate in std::iter::once(&customer).chain(aliases) {
            let statement = "SELECT 1 FROM entitlement_expected WHERE task = ? AND customer = ?";
            let row = self.sql.row(statement, &[task.into(), (*candidate).into()])?;
            if row.is_some() {
                return Ok((*candidate).to_owned());
            }
        }
        Ok(customer.to_owned())
    }

    /// A page of what a dry run found otherwise than the table says. Purchases that it did not come across (Stripe lists
    /// none that are over) are those that are known already.
    pub(crate) fn entitlement_differences(
        &mut self,
        call: &EntitlementDifferences,
        now: Millis,
    ) -> Result<Page<Difference>, Problem> {
        let kept = self.entitlements()?;
        let view = self.task(call.id)?.ok_or_else(Problem::not_found)?;
        if view.kind != TaskKind::EntitlementBackfill {
            return Err(Problem::not_found());
        }
        let id = call.id.to_string();
        let limit = usize::from(call.page.limit.clamp(1, 250));
        let statement = "SELECT progress FROM task WHERE id = ?";
        let row = self.sql.row(statement, &[id.as_str().into()])?;
        let progress = row.ok_or_else(Problem::not_found)?.text(0)?;
        let provider = json::read::<Stand>(&progress)
            .map_err(Problem::internal)?
            .provider;
        let (mut data, mut looked) = (Vec::new(), 0);
        let mut last = call.page.iterator.clone().unwrap_or_default();
        loop {
            let (names, more) = self.names_behind(&id, &last)?;
            looked += names.len();
            for name in names {
                if data.len() == limit {
                    return Ok(differences(data, last, false));
                }
                data.extend(self.difference(&id, &name, provider, (&kept, now))?);
                last = name;
            }
            if !more || looked >= MOST_ROWS {
                return Ok(differences(data, last, !more));
            }
        }
    }

    /// Names of both tables behind this one, in order; whether there may be more.
    fn names_behind(&self, task: &str, last: &str) -> Result<(BTreeSet<String>, bool), Problem> {
        let (mut names, mut end): (BTreeSet<String>, Option<String>) = (BTreeSet::new(), None);
        for statement in [
            "SELECT customer FROM entitlement_expected WHERE task = ? AND customer > ? ORDER BY customer LIMIT ?",
            "SELECT customer FROM entitlement_found WHERE task = ? AND customer > ? ORDER BY customer LIMIT ?",
        ] {
            let values = [task.into(), last.into(), (CHUNK as u64).into()];
            let rows = self.sql.rows(statement, &values)?;
            let read: Result<Vec<String>, Problem> = rows.iter().map(|row| row.text(0)).collect();
            let read = read?;
            if read.len() == CHUNK
                && let Some(at) = read.last()
            {
                // Behind it the other table may have names that this look has not seen.
                end = Some(end.map_or(at.clone(), |end: String| end.min(at.clone())));
            }
            names.extend(read);
        }
        if let Some(end) = &end {
            names.retain(|name| name <= end);
        }
        Ok((names, end.is_some()))
    }

    fn difference(
        &self,
        task: &str,
        name: &str,
        provider: Provider,
        (kept, now): (&Rc<Kept>, Millis),
    ) -> Result<Option<Difference>, Problem> {
        let statement = "SELECT plan FROM entitlement_expected WHERE task = ? AND customer = ?";
        let expected = self.sql.row(statement, &[task.into(), name.into()])?;
        let expected = expected.map(|row| row.maybe(0, Row::text)).transpose()?.flatten();
        let statement = "SELECT item, known FROM entitlement_found WHERE task = ? AND customer = ?";
        let mut rows = Rows::new();
        for row in self.sql.rows(statement, &[task.into(), name.into()])? {
            rows.push((provider, name.to_owned(), row.text(0)?, known_of(&row, 1)?));
        }
        let whole = rows.iter().any(|(_, _, item, _)| item == WHOLE);
        for customer in super::customers_of(&self.sql, name)? {
            let of_others = rows_of(&self.sql, &customer)?;
            let fresh = |of: Provider, item: &str| {
                of != provider || !(whole || rows.iter().any(|(_, _, found, _)| found == item))
            };
            let of_others: Rows = of_others
                .into_iter()
                .filter(|(of, _, item, _)| fresh(*of, item))
                .collect();
            rows.extend(of_others);
        }
        let found = judge(name, &rows, &kept.config, now);
        let differs = found.plan != expected;
        Ok(differs.then(|| Difference {
            customer: name.to_owned(),
            expected,
            found,
        }))
    }
}

/// Whether there are the keys that a backfill at the provider needs.
fn may_read(kept: &Kept, provider: Provider) -> bool {
    let lists = provider == Provider::Stripe || kept.list_key().is_some();
    lists && kept.key_of(provider).is_some()
}

const fn lacking(provider: Provider) -> &'static str {
    match provider {
        Provider::Stripe => {
            "There is no key of Stripe's API to ask with; PUT …/entitlement-config with stripeApiKey or stripeConnectionId"
        }
        Provider::RevenueCat => {
            "RevenueCat's customers are listed by revenuecatV2ApiKey and revenuecatProjectId and asked for with \
             revenuecatApiKey, or by connections; PUT …/entitlement-config with what is missing"
        }
    }
}

/// What a page says, behind whom the next one is, and how many this one had.
fn page(
    call: &EntitlementFetched,
    bodies: &[Vec<u8>],
    kept: &Kept,
) -> Result<(Reading, Option<String>, u64), String> {
    if let Some(why) = &call.failed {
        return Err(why.clone());
    }
    let list = parse(bodies, 0)?;
    if call.provider == Provider::Stripe {
        let (reading, next) = page_from_stripe(&list, call.begun, &kept.config)?;
        let seen = reading.changes.len() as u64;
        return Ok((reading, next, seen));
    }
    let customers = listed_by_revenuecat(&list)?.0.len();
    let mut answers = Vec::new();
    for at in 0..customers.min(2 * MOST_LISTED) {
        let names = bodies.get(2 + 2 * at).filter(|names| !names.is_empty());
        let names = names.map(|_| parse(bodies, 2 + 2 * at)).transpose()?;
        answers.push((parse(bodies, 1 + 2 * at)?, names));
    }
    let (reading, next) = page_from_revenuecat(&list, &answers, call.begun)?;
    Ok((reading, next, customers as u64))
}

/// Keeps what a dry run found.
const FOUND: &str = "INSERT INTO entitlement_found (task, customer, item, known) VALUES (?, ?, ?, ?) \
                     ON CONFLICT DO UPDATE SET known = excluded.known";

fn found(task: &str, customer: &str, item: &str, known: &Known) -> Result<Vec<Value>, Problem> {
    Ok(vec![task.into(), customer.into(), item.into(), json(known)?])
}

fn differences(data: Vec<Difference>, last: String, done: bool) -> Page<Difference> {
    Page {
        data,
        iterator: Some(last).filter(|last| !last.is_empty()),
        prev_iterator: None,
        done,
    }
}
