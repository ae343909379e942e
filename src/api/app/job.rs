//! What the operations that start manual tries have in common: how their plan is read, the count that goes before them.

use postern_domain::event_type;
use postern_domain::id::TaskId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::DeliveryStatus;
use postern_domain::wire::replay::{Counted, TaskCount, TaskKind, TaskPlan, TaskStart};
use postern_platform::random;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::background_task;
use crate::api::field::{self, Wrong};
use crate::api::form::Form;
use crate::api::idempotency;
use crate::api::reply::Answer;

/// Manual tries per second, if nobody says.
pub(crate) const RATE: u16 = 100;

/// And at the most.
const MAX_RATE: u64 = 1000;

/// How far back a recovery goes: Svix's limit.
const RECOVERED_MS: u64 = 14 * Millis::DAY;

/// Messages that one request names at the most.
const MOST_NAMED: usize = 250;

/// What a request asks for.
pub(crate) struct Job {
    plan: TaskPlan,
    /// Count, and do nothing.
    dry_run: bool,
}

impl Job {
    /// A plan that chooses nothing yet, with what every such request may say beside it: `ratePerSecond`, `dryRun`.
    pub(crate) fn read(form: &mut Form<'_>, kind: TaskKind, endpoints: Vec<String>) -> Self {
        let rate = form.optional("ratePerSecond", rate).unwrap_or(RATE);
        let dry_run = form.optional("dryRun", field::flag).unwrap_or_default();
        let plan = TaskPlan {
            kind,
            endpoints,
            since: None,
            until: None,
            states: Vec::new(),
            missing: false,
            event_types: None,
            channel: None,
            status_code_class: None,
            messages: None,
            rate,
        };
        Self { plan, dry_run }
    }

    /// With deliveries that stand so.
    pub(crate) fn of(mut self, states: Vec<DeliveryStatus>, missing: bool) -> Self {
        self.plan.states = states;
        self.plan.missing = missing;
        self
    }

    /// With `since`, which must be there, and `until`.
    pub(crate) fn between(mut self, form: &mut Form<'_>) -> Self {
        self.plan.since = form.required("since", time);
        self.until(form)
    }

    /// With `since` and `until`, where both may be left out.
    pub(crate) fn maybe_between(mut self, form: &mut Form<'_>) -> Self {
        self.plan.since = form.optional("since", time);
        self.until(form)
    }

    fn until(mut self, form: &mut Form<'_>) -> Self {
        self.plan.until = form.optional("until", time);
        if let (Some(since), Some(until)) = (self.plan.since, self.plan.until)
            && until <= since
        {
            form.say(&["until"], "must be later than since", "value_error");
        }
        self
    }

    /// With a `since` that is not too long ago for a recovery.
    pub(crate) fn recent(self, form: &mut Form<'_>, now: Millis) -> Self {
        if self
            .plan
            .since
            .is_some_and(|since| now.since(since) > RECOVERED_MS)
        {
            form.say(&["since"], "must not be more than 14 days ago", "value_error");
        }
        self
    }

    /// With `eventTypes`, `channel` and `statusCodeClass`.
    pub(crate) fn filtered(mut self, form: &mut Form<'_>) -> Self {
        self.plan.event_types = form.optional("eventTypes", event_types);
        self.plan.channel = form.optional("channel", channel);
        self.plan.status_code_class = form.optional("statusCodeClass", status_code_class);
        self
    }

    /// With `ids`, the messages that are meant alone.
    pub(crate) fn named(mut self, form: &mut Form<'_>) -> Self {
        self.plan.messages = form.optional("ids", names);
        self
    }

    /// With `endpoints`, where none means all that are on.
    pub(crate) fn at(mut self, form: &mut Form<'_>) -> Self {
        self.plan.endpoints = form.optional("endpoints", names).unwrap_or_default();
        self
    }

    /// Counts, or starts.
    ///
    /// # Errors
    /// What does not hold in the request, and what the object says against it.
    pub(crate) async fn begin(
        self,
        access: TenantAccess,
        ask: &Ask,
        form: Form<'_>,
    ) -> Result<Answer, Problem> {
        let mut query = ask.query();
        let dry_run = query.flag("dry_run", self.dry_run);
        query.finish()?;
        let plan = form.finish(Some(self.plan))?;
        if dry_run {
            let (counted, _) = access.object().call(TaskCount { plan }, &[]).await?;
            return Answer::ok(&CountOut::new(&counted));
        }
        let directory = access.directory()?;
        let key = ask.idempotency(access.organisation, &access.tenant.to_string())?;
        idempotency::once(&directory, key, ask.now, start(&access, ask.now, plan)).await
    }
}

async fn start(access: &TenantAccess, now: Millis, plan: TaskPlan) -> Result<Answer, Problem> {
    let id = TaskId::new(now, random::bytes());
    let (kind, request) = (plan.kind, request(&plan));
    background_task::begin(access, now, (id, kind), &request, TaskStart { id, plan }).await
}

/// What was asked, for whoever reads the task.
fn request(plan: &TaskPlan) -> Value {
    json!({
        "endpoints": plan.endpoints,
        "since": plan.since.map(Millis::to_rfc3339),
        "until": plan.until.map(Millis::to_rfc3339),
        "states": plan.states,
        "missing": plan.missing,
        "eventTypes": plan.event_types,
        "channel": plan.channel,
        "statusCodeClass": plan.status_code_class,
        "ids": plan.messages,
    })
}

/// What a job would do.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct CountOut {
    count: u64,
    /// There are at least so many: the count looked at 5,000 deliveries and ended.
    approximated: bool,
    /// The first of them.
    sample: Vec<ChosenOut>,
}

/// One delivery.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct ChosenOut {
    msg_id: String,
    endpoint_id: String,
}

impl CountOut {
    /// Of what the object counted.
    pub(crate) fn new(counted: &Counted) -> Self {
        let sample = counted.sample.iter().map(|chosen| ChosenOut {
            msg_id: chosen.message.to_string(),
            endpoint_id: chosen.endpoint.to_string(),
        });
        Self {
            count: counted.count,
            approximated: counted.approximated,
            sample: sample.collect(),
        }
    }
}

/// `since` and `until`, where both may be left out.
pub(crate) fn times(form: &mut Form<'_>) -> (Option<Millis>, Option<Millis>) {
    let since = form.optional("since", time);
    let until = form.optional("until", time);
    if let (Some(since), Some(until)) = (since, until)
        && until <= since
    {
        form.say(&["until"], "must be later than since", "value_error");
    }
    (since, until)
}

/// A time of RFC 3339.
pub(crate) fn time(value: &Value) -> Result<Millis, Vec<Wrong>> {
    value
        .as_str()
        .and_then(Millis::from_rfc3339)
        .ok_or_else(|| wrong("must be a time of RFC 3339, such as 2026-08-01T12:00:00Z"))
}

pub(crate) fn rate(value: &Value) -> Result<u16, Vec<Wrong>> {
    value
        .as_u64()
        .filter(|rate| (1..=MAX_RATE).contains(rate))
        .and_then(|rate| u16::try_from(rate).ok())
        .ok_or_else(|| wrong("must be a whole number from 1 to 1000"))
}

pub(crate) fn event_types(value: &Value) -> Result<Vec<String>, Vec<Wrong>> {
    let types = field::texts(value)?;
    for (at, name) in types.iter().enumerate() {
        event_type::check_name(name).map_err(|msg| inside(&at.to_string(), msg))?;
    }
    Ok(types)
}

fn channel(value: &Value) -> Result<String, Vec<Wrong>> {
    let channel = field::text(value)?;
    event_type::check_channel(&channel).map_err(wrong)?;
    Ok(channel)
}

fn status_code_class(value: &Value) -> Result<u16, Vec<Wrong>> {
    value
        .as_u64()
        .filter(|class| *class <= 500 && class % 100 == 0)
        .and_then(|class| u16::try_from(class).ok())
        .ok_or_else(|| wrong("must be 0, 100, 200, 300, 400 or 500"))
}

pub(crate) fn names(value: &Value) -> Result<Vec<String>, Vec<Wrong>> {
    let names = field::texts(value)?;
    if names.is_empty() || names.len() > MOST_NAMED {
        return Err(wrong("must be a list of 1 to 250"));
    }
    if let Some(at) = names.iter().position(|name| name.is_empty() || name.len() > 256) {
        return Err(inside(&at.to_string(), "must be 1 to 256 characters"));
    }
    Ok(names)
}

fn wrong(msg: &str) -> Vec<Wrong> {
    vec![Wrong {
        at: Vec::new(),
        msg: msg.to_owned(),
        kind: "value_error",
    }]
}

fn inside(at: &str, msg: &str) -> Vec<Wrong> {
    vec![Wrong {
        at: vec![at.to_owned()],
        msg: msg.to_owned(),
        kind: "value_error",
    }]
}
