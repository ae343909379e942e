//! A broadcast at work: slices of tenants, each step written down before the next.
//!
//! Guaranteed: every tenant that was there when the broadcast was made has its message once, however often a run is cut
//! off or doubled; the nonce is made of task and tenant, and the ledger knows it. A tenant that cannot take it is tried
//! again by later runs, and counted as failed in the end; it holds up no other. A task that was cancelled stops at the
//! end of its slice.

use futures::StreamExt as _;
use futures::stream;
use postern_domain::digest;
use postern_domain::id::TenantId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, Caller};
use postern_domain::wire::replay::TaskState;
use postern_platform::tenant::TenantObject;
use postern_platform::{clock, log};
use serde::{Deserialize, Serialize};
use worker::Env;

use crate::store::Directory;
use crate::store::broadcast::{self, Content, Task};

/// Tenants of one slice.
const SLICE: usize = 100;

/// Slices of one invocation: the platform bounds what one may ask of others.
const MOST_SLICES: u32 = 8;

/// What goes on behind an answer is cut off after half a minute.
const MOST_MS: u64 = 20_000;

/// A task that nobody has written for so long was cut off.
const LEFT_MS: u64 = 60_000;

/// Tasks that one run of the cron goes on with.
const MOST_TASKS: u64 = 5;

/// Objects asked at the same time.
const AT_ONCE: usize = 5;

/// How long one of them may take.
const DEADLINE_MS: u64 = 5_000;

/// How often those are tried again that could not take it, a run of the cron apart.
const MOST_ROUNDS: u32 = 10;

/// Tenants that are remembered by name, to be tried again or to be told: more fail only when all does.
const MOST_NAMED: usize = SLICE;

/// How far a broadcast is: the task's `data`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Progress {
    /// Tenants that have it.
    sent: u64,
    /// Tenants that had a message of this `eventId` before, or are gone.
    skipped: u64,
    /// Tenants that could not take it.
    failed: u64,
    /// Which.
    failed_apps: Vec<TenantId>,
    /// The last tenant that was asked.
    cursor: Option<(u64, String)>,
    /// All were asked.
    listed: bool,
    /// To be tried again.
    again: Vec<TenantId>,
    /// How often they were.
    rounds: u32,
}

/// How one tenant took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Sent,
    Skipped,
    NotNow,
}

impl Progress {
    fn read(task: &Task) -> Result<Self, Problem> {
        serde_json::from_str(&task.data).map_err(Problem::internal)
    }

    fn text(&self) -> Result<String, Problem> {
        serde_json::to_string(self).map_err(Problem::internal)
    }

    /// Counts what a slice or a round has brought.
    fn count(&mut self, taken: Vec<(TenantId, Taken)>) {
        for (tenant, how) in taken {
            match how {
                Taken::Sent => self.sent += 1,
                Taken::Skipped => self.skipped += 1,
                Taken::NotNow if self.again.len() < MOST_NAMED && self.rounds < MOST_ROUNDS => {
                    self.again.push(tenant);
                }
                Taken::NotNow => {
                    self.failed += 1;
                    if self.failed_apps.len() < MOST_NAMED {
                        self.failed_apps.push(tenant);
                    }
                }
            }
        }
    }

    fn state(&self) -> TaskState {
        match (self.listed && self.again.is_empty(), self.sent, self.failed) {
            (false, _, _) => TaskState::Running,
            (true, 0, 1..) => TaskState::Failed,
            (true, _, _) => TaskState::Finished,
        }
    }
}

/// The `data` of a task that was just made.
pub(super) fn begun() -> Result<String, Problem> {
    Progress::default().text()
}

/// The first run, behind the answer.
pub(super) async fn begin(env: &Env, task: Task) {
    let id = task.id;
    let mut slices = MOST_SLICES;
    if let Err(problem) = go(env, task, &mut slices).await {
        let fields = serde_json::json!({ "task": id, "code": problem.code, "cause": problem.cause });
        log::error("broadcast_failed", fields); // the cron goes on with it
    }
}

/// What the clock calls: goes on with what was cut off.
pub(crate) async fn go_on(env: &Env, now: Millis) -> Result<(), Problem> {
    let directory = Directory::new(env)?;
    broadcast::prune(&directory).await?;
    let mut slices = MOST_SLICES;
    let mut failed = None;
    for mut task in broadcast::left(&directory, now.minus(LEFT_MS), MOST_TASKS).await? {
        let data = task.data.clone();
        // Taken first: the run that was thought to be dead must not write any more.
        let done = match broadcast::step(&directory, &mut task, TaskState::Running, data, clock::now()).await
        {
            Ok(true) => go(env, task, &mut slices).await,
            Ok(false) => Ok(()),
            Err(problem) => Err(problem),
        };
        failed = done.err().or(failed);
        if slices == 0 {
            break;
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Slices, until all is done, the task is somebody else's, or this invocation has done its part.
async fn go(env: &Env, mut task: Task, slices: &mut u32) -> Result<(), Problem> {
    let directory = Directory::new(env)?;
    let Some(content) = broadcast::content(&directory, task.id).await? else {
        return Ok(()); // it has ended, and what it published was dropped
    };
    let begun = clock::now();
    let mut progress = Progress::read(&task)?;
    while *slices > 0 && clock::now().since(begun) < MOST_MS {
        let tenants = if progress.listed {
            progress.rounds += 1;
            std::mem::take(&mut progress.again)
        } else {
            let most = SLICE as u64;
            let page = broadcast::slice(&directory, &task, progress.cursor.as_ref(), most).await?;
            progress.listed = page.len() < SLICE;
            if let Some(last) = page.last() {
                progress.cursor = Some((last.created_at.0, last.id.to_string()));
            }
            page.into_iter().map(|tenant| tenant.id).collect()
        };
        let taken = publish(env, &task, &content, tenants).await?;
        progress.count(taken);
        *slices -= 1;
        let state = progress.state();
        let ours = broadcast::step(&directory, &mut task, state, progress.text()?, clock::now()).await?;
        // What could not be taken now is tried by a later run.
        if !ours || state != TaskState::Running || progress.listed {
            return Ok(());
        }
    }
    Ok(())
}

/// Publishes to each; none waits for another longer than its deadline.
async fn publish(
    env: &Env,
    task: &Task,
    content: &Content,
    tenants: Vec<TenantId>,
) -> Result<Vec<(TenantId, Taken)>, Problem> {
    let channels = content.channels.as_deref().map(serde_json::from_str);
    let channels: Option<Vec<String>> = channels.transpose().map_err(Problem::internal)?;
    let bodies = [content.payload.clone().into_bytes()];
    let (channels, bodies) = (&channels, &bodies);
    let taken = stream::iter(tenants).map(|tenant| async move {
        let accept = Accept {
            nonce: nonce(&task.id.to_string(), tenant),
            sent_at: task.created_at,
            repeat: true,
            source: None,
            event_type: content.event_type.clone(),
            event_id: content.event_id.clone(),
            channels: channels.clone(),
            content_type: "application/json".to_owned(),
            headers: std::collections::BTreeMap::new(),
            payload_hours: None,
            only_endpoint: None,
            received: None,
            hop: content.hop,
            idempotency: None,
        };
        let object = TenantObject::new(env, tenant, Caller::Organisation(task.organisation));
        let answer = object.call_within(DEADLINE_MS, accept, bodies).await;
        (tenant, taken(answer.map(drop)))
    });
    Ok(taken.buffer_unordered(AT_ONCE).collect().await)
}

fn taken(answer: Result<(), Problem>) -> Taken {
    match answer {
        Ok(()) => Taken::Sent,
        Err(problem) if matches!(problem.code, Code::Conflict | Code::NotFound) => Taken::Skipped,
        Err(_) => Taken::NotNow,
    }
}

/// The same for every run, so that the ledger knows a repeat.
fn nonce(task: &str, tenant: TenantId) -> u64 {
    let hash = digest::of_parts(&[task.as_bytes(), &tenant.0]);
    // 13 hex digits: 52 bits.
    u64::from_str_radix(hash.get(..13).unwrap_or_default(), 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId([1; 20]);

    #[test]
    fn a_nonce_is_of_the_task_and_the_tenant() {
        assert_eq!(nonce("a", TENANT), nonce("a", TENANT));
        assert_ne!(nonce("a", TENANT), nonce("b", TENANT));
        assert_ne!(nonce("a", TENANT), nonce("a", TenantId([2; 20])));
        assert!(nonce("a", TENANT) < 1 << 53);
    }

    #[test]
    fn a_tenant_that_cannot_take_it_is_tried_again_and_counted_as_failed_in_the_end() {
        let mut progress = Progress {
            listed: true,
            ..Progress::default()
        };
        progress.count(vec![(TENANT, Taken::NotNow)]);
        assert_eq!((progress.again.len(), progress.state()), (1, TaskState::Running));
        progress.again.clear();
        progress.rounds = MOST_ROUNDS;
        progress.count(vec![(TENANT, Taken::NotNow)]);
        assert_eq!((progress.failed, progress.state()), (1, TaskState::Failed));
        progress.count(vec![(TenantId([2; 20]), Taken::Sent)]);
        assert_eq!(progress.state(), TaskState::Finished);
    }

    #[test]
    fn what_a_tenant_has_already_and_a_tenant_that_is_gone_are_passed_over() {
        let failed = |code| Err(Problem::new(code, ""));
        assert_eq!(taken(Ok(())), Taken::Sent);
        assert_eq!(taken(failed(Code::Conflict)), Taken::Skipped);
        assert_eq!(taken(failed(Code::NotFound)), Taken::Skipped);
        assert_eq!(taken(failed(Code::LedgerFull)), Taken::NotNow);
        assert_eq!(taken(failed(Code::Overloaded)), Taken::NotNow);
    }
}
