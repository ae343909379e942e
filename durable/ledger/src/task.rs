//! Long jobs: many manual tries, made due slice by slice.
//!
//! A job is a row. What a slice made due and where the job stands move in one transaction, so an eviction costs nothing and
//! repeats nothing. A slice looks at a bounded number of deliveries, keeps the job's rate, and lets no more manual tries wait
//! than go out soon: an endpoint that is slow slows its job, and not the ledger.

use postern_domain::id::{MessageId, TaskId};
use postern_domain::json;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::replay::{
    Chosen, Counted, TaskCancel, TaskCount, TaskGet, TaskKind, TaskProgress, TaskStart, TaskState, TaskView,
};
use serde::{Deserialize, Serialize};

use crate::manual::{Try, insert_try};
use crate::memory::{Memory, message_id};
use crate::operational::{Operational, Which};
use crate::reentry::Reentry;
use crate::select::{Bounds, Found, Place, Selection};
use crate::sql::{Row, Sql, Value};
use crate::unrouted::Reroute;
use crate::{Armed, Ledger};

/// Jobs of a tenant that go on at the same time.
pub(crate) const RUNNING: u64 = 10;

/// Deliveries that a count looks at.
pub(crate) const COUNTED: usize = 5000;

/// Deliveries that a slice looks at.
const LOOKED: usize = 500;

/// Manual tries that a slice makes due at the most.
const SLICE: u64 = 250;

/// Manual tries of a tenant that may wait.
const WAITING: u64 = 1000;

/// Between slices that found little.
const PAUSE_MS: u64 = 5;

/// Until a job looks again whether fewer tries wait; doubled each time, up to half a minute.
const HOLD_MS: u64 = 500;

/// A sample of what a plan chooses.
const SAMPLE: usize = 10;

/// A job that has ended is remembered this long; its summary stands in the directory by then.
const KEPT_MS: u64 = 7 * Millis::DAY;

/// Where a job stands.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Progress {
    pub(crate) place: Place,
    #[serde(flatten)]
    pub(crate) shown: TaskProgress,
    /// How often it was held back without a move between.
    #[serde(default)]
    held: u32,
}

impl Progress {
    /// At its beginning.
    pub(crate) fn of(shown: TaskProgress) -> Self {
        Self {
            shown,
            ..Self::default()
        }
    }

    /// All was looked at.
    pub(crate) fn finish(&mut self) {
        let shown = &mut self.shown;
        if shown.approximated {
            shown.total = shown.done + shown.skipped;
            shown.approximated = false;
        }
        // What was counted and could not be chosen any more when its turn came.
        shown.skipped = shown.skipped.max(shown.total.saturating_sub(shown.done));
    }
}

/// A job as its row has it.
pub(crate) struct Job {
    id: String,
    kind: String,
    work: String,
    progress: String,
}

/// What a job does, as it is stored.
enum Work {
    /// Manual tries.
    Tries(Selection),
    /// Messages taken again.
    Reentry(Reentry),
    /// Events routed later.
    Reroute(Reroute),
}

impl Job {
    /// Out of `id, work, progress, kind`.
    fn read(row: &Row) -> Result<Self, Problem> {
        Ok(Self {
            id: row.text(0)?,
            work: row.text(1)?,
            progress: row.text(2)?,
            kind: row.text(3)?,
        })
    }

    /// What makes what it does its own: a slice that ran twice makes nothing twice.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn work(&self) -> Result<(Work, Progress), serde_json::Error> {
        let kind = |kind: TaskKind| kind.as_str() == self.kind;
        let work = if kind(TaskKind::SourceReplay) || kind(TaskKind::SourceRelease) {
            Work::Reentry(json::read(&self.work)?)
        } else if kind(TaskKind::RouteReplay) {
            Work::Reroute(json::read(&self.work)?)
        } else {
            Work::Tries(json::read(&self.work)?)
        };
        Ok((work, json::read(&self.progress)?))
    }
}

impl<S: Sql> Ledger<S> {
    /// What a plan chooses, without doing it.
    pub(crate) fn task_count(&mut self, call: &TaskCount) -> Result<Counted, Problem> {
        let selection = self.resolve(&call.plan)?;
        self.count(&selection)
    }

    /// Starts a job. Once more with the same id: nothing changes.
    pub(crate) fn task_start(&mut self, call: &TaskStart, now: Millis) -> Result<TaskView, Problem> {
        if let Some(stands) = self.task(call.id)? {
            return Ok(stands);
        }
        let selection = self.resolve(&call.plan)?;
        let counted = self.count(&selection)?;
        let progress = Progress {
            place: Place::default(),
            shown: TaskProgress {
                total: counted.count,
                approximated: counted.approximated,
                rate: call.plan.rate.max(1),
                ..TaskProgress::default()
            },
            held: 0,
        };
        self.task_begin(call.id, call.plan.kind, &selection, &progress, now)
    }

    /// Writes a job down, with the alarm behind it. What a source held is sent on however many others run.
    pub(crate) fn task_begin<W: Serialize>(
        &mut self,
        id: TaskId,
        kind: TaskKind,
        work: &W,
        progress: &Progress,
        now: Millis,
    ) -> Result<TaskView, Problem> {
        let running = "SELECT count(*) FROM task WHERE state = 'running'";
        let running = self.sql.row(running, &[])?.map_or(Ok(0), |row| row.number(0))?;
        if running >= RUNNING && kind != TaskKind::SourceRelease {
            let detail = format!(
                "{RUNNING} background tasks of this application are running; wait for one to end, or cancel one"
            );
            return Err(Problem::new(Code::RateLimited, detail));
        }
        let (work, progress) = (json(work)?, json(progress)?);
        let armed = self.sql.atomic(|sql| {
            insert(sql, id, kind, (work, progress), now)?;
            self.wake_by(now, now)
        })?;
        self.armed = armed;
        self.task(id)?
            .ok_or_else(|| Problem::internal("a job that was just written"))
    }

    /// Jobs, as they stand.
    pub(crate) fn task_get(&mut self, call: &TaskGet) -> Result<Vec<TaskView>, Problem> {
        let mut views = Vec::new();
        for id in &call.ids {
            views.extend(self.task(*id)?);
        }
        Ok(views)
    }

    /// Stops a job. One that has ended stays as it is.
    pub(crate) fn task_cancel(&mut self, call: TaskCancel, now: Millis) -> Result<TaskView, Problem> {
        self.memory()?;
        let id = call.id.to_string();
        let statement = "SELECT id, work, progress, kind FROM task WHERE id = ? AND state = 'running'";
        if let Some(row) = self.sql.row(statement, &[id.clone().into()])? {
            let job = Job::read(&row)?;
            self.armed = self.sql.atomic(|sql| {
                let statement = "UPDATE task SET state = 'cancelled', updated_at = ? WHERE id = ?";
                sql.run(statement, &[now.into(), id.clone().into()])?;
                self.tell_end(sql, &job, TaskState::Cancelled, now)
            })?;
        }
        self.task(call.id)?.ok_or_else(Problem::not_found)
    }

    /// Works one slice of every job whose time has come.
    pub(crate) fn work_tasks(&mut self, now: Millis) -> Result<(), Problem> {
        self.memory()?;
        let statement = "SELECT id, work, progress, kind FROM task WHERE state = 'running' AND next_at <= ? \
                         ORDER BY next_at";
        for row in self.sql.rows(statement, &[now.into()])? {
            let job = Job::read(&row)?;
            if job.kind == TaskKind::EntitlementBackfill.as_str() {
                self.ask_for_page(&job.id, &job.progress, now)?;
                continue;
            }
            match job.work() {
                Ok((Work::Tries(selection), progress)) => self.work(&job, &selection, progress, now)?,
                Ok((Work::Reentry(reentry), progress)) => self.reenter(&job, &reentry, progress, now)?,
                Ok((Work::Reroute(reroute), progress)) => self.reroute(&job, reroute, progress, now)?,
                // Written by a release that is not this one: it keeps no other from its work.
                Err(error) => {
                    self.notice("task_failed", format!("{}: {error}", job.id));
                    let why = "The job was written by another release and cannot be read; start it again";
                    self.armed = self.sql.atomic(|sql| {
                        sql.run(
                            "UPDATE task SET state = 'failed', error = ?, updated_at = ? WHERE id = ?",
                            &[why.into(), now.into(), job.id.as_str().into()],
                        )?;
                        self.tell_end(sql, &job, TaskState::Failed, now)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// When the first job has something to do next.
    pub(crate) fn tasks_at(&self) -> Result<Option<Millis>, Problem> {
        let row = self
            .sql
            .row("SELECT min(next_at) FROM task WHERE state = 'running'", &[])?;
        Ok(row.map(|row| row.maybe(0, Row::time)).transpose()?.flatten())
    }

    fn work(
        &mut self,
        job: &Job,
        selection: &Selection,
        mut progress: Progress,
        now: Millis,
    ) -> Result<(), Problem> {
        let rate = u64::from(progress.shown.rate).max(1);
        let allowed = WAITING.saturating_sub(self.waiting()?).min(rate).min(SLICE);
        if allowed == 0 {
            let hold = HOLD_MS << progress.held.min(6);
            progress.held += 1;
            return self.moved(job, &progress, TaskState::Running, &[], (now.plus(hold), now));
        }
        let bounds = Bounds {
            looked: LOOKED,
            chosen: usize::try_from(allowed).map_err(Problem::internal)?,
            even_off: false,
        };
        let found = self.select(selection, progress.place, bounds)?;
        let made = found.chosen.len() as u64;
        progress.held = 0;
        progress.shown.done += made;
        progress.shown.skipped += found.skipped;
        let at = now.plus((made * 1000).div_ceil(rate).max(PAUSE_MS));
        let state = if let Some(place) = found.next {
            progress.place = place;
            TaskState::Running
        } else {
            progress.finish();
            TaskState::Finished
        };
        self.moved(job, &progress, state, &found.chosen, (at, now))
    }

    /// What a slice did: its tries and where it stands, all or nothing.
    pub(crate) fn moved(
        &mut self,
        job: &Job,
        progress: &Progress,
        state: TaskState,
        made: &[Try],
        times: (Millis, Millis),
    ) -> Result<(), Problem> {
        self.moved_with(job, progress, state, times, |sql| {
            for wanted in made {
                insert_try(sql, wanted, times.1)?;
            }
            Ok(())
        })
    }

    /// The same of any slice, whatever it wrote.
    pub(crate) fn moved_with(
        &mut self,
        job: &Job,
        progress: &Progress,
        state: TaskState,
        (next_at, now): (Millis, Millis),
        made: impl FnOnce(&S) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let values = [
            Value::from(state.as_str()),
            json(progress)?,
            next_at.into(),
            now.into(),
            job.id.as_str().into(),
        ];
        self.armed = self.sql.atomic(|sql| {
            made(sql)?;
            let statement =
                "UPDATE task SET state = ?, progress = ?, next_at = ?, updated_at = ? WHERE id = ?";
            sql.run(statement, &values)?;
            match state {
                TaskState::Running => Ok(self.armed),
                ended => self.tell_end(sql, job, ended, now),
            }
        })?;
        Ok(())
    }

    /// What the organisation hears of a job that has ended. Part of the transaction that ends it. A backfill sends nothing:
    /// of it nobody hears, however it ends.
    fn tell_end(&self, sql: &S, job: &Job, state: TaskState, now: Millis) -> Result<Armed, Problem> {
        if job.kind == TaskKind::EntitlementBackfill.as_str() {
            return Ok(self.armed);
        }
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        let work = job.work().ok();
        let endpoint = work
            .as_ref()
            .and_then(|(work, _)| match work {
                Work::Tries(selection) => Some(&selection.endpoints),
                Work::Reentry(_) | Work::Reroute(_) => None,
            })
            .and_then(|endpoints| match **endpoints {
                [(endpoint, _)] => memory.endpoints.get(&endpoint).map(Which::of),
                _ => None,
            });
        // What the row says by now: this slice's tries included.
        let progress = sql.row(
            "SELECT progress FROM task WHERE id = ?",
            &[job.id.as_str().into()],
        )?;
        let progress = progress.map(|row| row.text(0)).transpose()?.unwrap_or_default();
        let sent = json::read::<Progress>(&progress).map_or(0, |progress| progress.shown.done);
        let event = Operational::ReplayFinished {
            endpoint,
            task_id: job.id.clone(),
            task: job.kind.clone(),
            status: state.as_str().to_owned(),
            sent,
        };
        self.tell_all(sql, &[event], now)
    }

    /// How many manual tries wait or are out, counted as far as it matters.
    fn waiting(&self) -> Result<u64, Problem> {
        let statement = "SELECT count(*) FROM (SELECT 1 FROM due WHERE kind = 1 AND endpoint >= 0 LIMIT ?)";
        let row = self.sql.row(statement, &[WAITING.into()])?;
        row.map_or(Ok(0), |row| row.number(0))
    }

    fn count(&mut self, selection: &Selection) -> Result<Counted, Problem> {
        let bounds = Bounds {
            looked: COUNTED,
            chosen: usize::MAX,
            even_off: false,
        };
        let found = self.select(selection, Place::default(), bounds)?;
        self.counted(&found)
    }

    /// What a look found, as the API tells it.
    pub(crate) fn counted(&mut self, found: &Found) -> Result<Counted, Problem> {
        let mut sample = Vec::new();
        for chosen in found.chosen.iter().take(SAMPLE) {
            let statement = format!(
                "SELECT time, random FROM message_{} WHERE sequence = ?",
                chosen.segment
            );
            let Some(row) = self.sql.row(&statement, &[chosen.sequence.into()])? else {
                continue;
            };
            let message: MessageId = message_id(chosen.sequence, row.time(0)?, &row.blob(1)?);
            let memory = self.memory()?;
            let endpoint = memory
                .endpoints
                .get(&chosen.endpoint)
                .ok_or_else(Problem::not_found)?;
            sample.push(Chosen {
                message,
                endpoint: Memory::endpoint_id(endpoint),
            });
        }
        Ok(Counted {
            count: found.chosen.len() as u64,
            approximated: found.next.is_some(),
            sample,
        })
    }

    pub(crate) fn task(&mut self, id: TaskId) -> Result<Option<TaskView>, Problem> {
        self.memory()?;
        let statement = "SELECT kind, state, progress, error, updated_at FROM task WHERE id = ?";
        let Some(row) = self.sql.row(statement, &[id.to_string().into()])? else {
            return Ok(None);
        };
        let progress: Progress = json::read(&row.text(2)?).map_err(Problem::internal)?;
        Ok(Some(TaskView {
            id,
            kind: word(&row.text(0)?)?,
            state: word(&row.text(1)?)?,
            progress: progress.shown,
            error: row.maybe(3, Row::text)?,
            updated_at: row.time(4)?,
        }))
    }
}

/// Writes the row of a job that begins: its work and where it stands, both JSON. Those that ended long ago go with it.
/// Part of the caller's transaction.
pub(crate) fn insert<S: Sql>(
    sql: &S,
    id: TaskId,
    kind: TaskKind,
    (work, progress): (Value, Value),
    now: Millis,
) -> Result<(), Problem> {
    let old = [now.minus(KEPT_MS).into()];
    sql.run(
        "DELETE FROM task WHERE state <> 'running' AND updated_at < ?",
        &old,
    )?;
    let statement = "INSERT INTO task (id, kind, state, work, progress, next_at, created_at, updated_at) \
                     VALUES (?1, ?2, 'running', ?3, ?4, ?5, ?5, ?5)";
    let values = [
        id.to_string().into(),
        Value::from(kind.as_str()),
        work,
        progress,
        now.into(),
    ];
    sql.run(statement, &values)?;
    Ok(())
}

/// What a job would do, told instead of done: it has no row, and is over at once.
pub(crate) fn planned(id: TaskId, kind: TaskKind, progress: TaskProgress, now: Millis) -> TaskView {
    TaskView {
        id,
        kind,
        state: TaskState::Finished,
        progress,
        error: None,
        updated_at: now,
    }
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<Value, Problem> {
    serde_json::to_string(value)
        .map(Value::from)
        .map_err(Problem::internal)
}

fn word<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Problem> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(Problem::internal)
}
