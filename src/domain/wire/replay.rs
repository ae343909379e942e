//! Manual tries, and jobs that make many of them: resend, recover, replay.

use serde::{Deserialize, Serialize};

use super::call::{Accept, Idempotency};
use super::message::DeliveryStatus;
use crate::id::{EndpointId, MessageId, TaskId};
use crate::time::Millis;

/// See [`super::call::Call::Resend`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resend {
    /// Id, or the publisher's event id.
    pub message: String,
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// `Idempotency-Key` of the request.
    #[serde(default)]
    pub idempotency: Option<Idempotency>,
}

/// See [`super::call::Call::TestAttempt`]. The body stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestAttempt {
    /// The message. It is owed to nobody.
    pub accept: Accept,
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
}

/// The answer to [`TestAttempt`]: whose attempt is to be awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// The message that was made.
    pub message: MessageId,
    /// Where it goes.
    pub endpoint: EndpointId,
}

/// See [`super::call::Call::AttemptAwait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptAwait {
    /// Of this message.
    pub message: MessageId,
    /// At this endpoint.
    pub endpoint: EndpointId,
}

/// See [`super::call::Call::CancelMessages`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelMessages {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// What is owed of messages from before this time.
    pub before: Millis,
}

/// See [`super::call::Call::Missed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
}

/// The answer to [`Missed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedView {
    /// When it was last turned off; none: never.
    #[serde(default)]
    pub since: Option<Millis>,
    /// When it was turned on again; none: it is off, or never was.
    #[serde(default)]
    pub until: Option<Millis>,
    /// What it did not get.
    pub counted: Counted,
    /// When the oldest of that was accepted.
    #[serde(default)]
    pub oldest: Option<Millis>,
}

/// What a job is, in Svix's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskKind {
    /// Once more what failed for good.
    #[serde(rename = "endpoint.recover")]
    Recover,
    /// What an endpoint never got.
    #[serde(rename = "endpoint.replay")]
    Replay,
    /// What filters choose.
    #[serde(rename = "endpoint.bulk-replay")]
    BulkReplay,
    /// What was not routed of a key that is claimed by now.
    #[serde(rename = "source.route-replay")]
    RouteReplay,
    /// Stored webhooks once more, by today's rules.
    #[serde(rename = "source.replay")]
    SourceReplay,
    /// What a paused source held.
    #[serde(rename = "source.release")]
    SourceRelease,
    /// All subscriptions at the provider: no delivery, and none of Svix's words.
    #[serde(rename = "entitlement.backfill")]
    EntitlementBackfill,
}

impl TaskKind {
    /// Svix's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recover => "endpoint.recover",
            Self::Replay => "endpoint.replay",
            Self::BulkReplay => "endpoint.bulk-replay",
            Self::RouteReplay => "source.route-replay",
            Self::SourceReplay => "source.replay",
            Self::SourceRelease => "source.release",
            Self::EntitlementBackfill => "entitlement.backfill",
        }
    }
}

/// Whether a job goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It goes on.
    Running,
    /// All that was chosen was made due.
    Finished,
    /// It cannot go on; its error says why.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl TaskState {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a job shall do: one manual try for each delivery that all of this chooses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskPlan {
    /// Which kind.
    pub kind: TaskKind,
    /// Ids or `uid`s; none: every endpoint that is on.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// Messages from this time on.
    #[serde(default)]
    pub since: Option<Millis>,
    /// And before this one.
    #[serde(default)]
    pub until: Option<Millis>,
    /// Deliveries that stand so.
    #[serde(default)]
    pub states: Vec<DeliveryStatus>,
    /// And messages that match the endpoint as it is now and that it never got.
    #[serde(default)]
    pub missing: bool,
    /// Of one of these types.
    #[serde(default)]
    pub event_types: Option<Vec<String>>,
    /// Published to this channel.
    #[serde(default)]
    pub channel: Option<String>,
    /// Whose latest attempt was answered so: 0 (no answer), 100 … 500.
    #[serde(default)]
    pub status_code_class: Option<u16>,
    /// These messages alone (ids or event ids).
    #[serde(default)]
    pub messages: Option<Vec<String>>,
    /// Manual tries per second at the most.
    pub rate: u16,
}

/// See [`super::call::Call::TaskCount`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCount {
    /// What would be done.
    pub plan: TaskPlan,
}

/// What a job would do, counted within bounds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Deliveries.
    pub count: u64,
    /// The count ended before the messages did: there are at least so many.
    #[serde(default)]
    pub approximated: bool,
    /// The first of them.
    #[serde(default)]
    pub sample: Vec<Chosen>,
}

/// One delivery that a plan chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// What.
    pub message: MessageId,
    /// Where to.
    pub endpoint: EndpointId,
}

/// See [`super::call::Call::TaskStart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStart {
    /// Chosen by the edge, so that a repeat starts nothing twice.
    pub id: TaskId,
    /// What it shall do.
    pub plan: TaskPlan,
}

/// See [`super::call::Call::TaskGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskGet {
    /// Those that are not there are left out of the answer.
    pub ids: Vec<TaskId>,
}

/// See [`super::call::Call::TaskCancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCancel {
    /// Which.
    pub id: TaskId,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskProgress {
    /// Deliveries that were made due.
    pub done: u64,
    /// Deliveries that the plan chooses, counted at the start.
    pub total: u64,
    /// The total is what the count had found when it ended: there are at least so many.
    #[serde(default)]
    pub approximated: bool,
    /// Looked at and chosen, and left out: the message is about to go, or the endpoint was turned off meanwhile.
    pub skipped: u64,
    /// Manual tries per second at the most.
    pub rate: u16,
}

/// A job as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskView {
    /// Its name.
    pub id: TaskId,
    /// What it is.
    pub kind: TaskKind,
    /// Whether it goes on.
    pub state: TaskState,
    /// How far it is.
    pub progress: TaskProgress,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// When it last moved.
    pub updated_at: Millis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_same_in_a_row_and_in_a_call() {
        for word in [
            TaskKind::Recover,
            TaskKind::Replay,
            TaskKind::BulkReplay,
            TaskKind::RouteReplay,
            TaskKind::SourceReplay,
            TaskKind::SourceRelease,
            TaskKind::EntitlementBackfill,
        ] {
            assert_eq!(serde_json::to_value(word).ok(), Some(word.as_str().into()));
        }
        for word in [
            TaskState::Running,
            TaskState::Finished,
            TaskState::Failed,
            TaskState::Cancelled,
        ] {
            assert_eq!(serde_json::to_value(word).ok(), Some(word.as_str().into()));
        }
    }
}
