//! What happens in a tenant that its organisation wants to hear of, in Svix's words where Svix has them.

use postern_domain::id::{AttemptId, EndpointId, MessageId, SourceId, TenantId, Uid};
use postern_domain::time::Millis;
use postern_domain::wire::call::TenantSettings;
use serde_json::{Map, Value as Json, json};

use crate::delivery::State;
use crate::endpoint::Endpoint;
use crate::memory::Memory;

/// A delivery that has failed so often, and will be tried again, is told to be failing.
const FAILING_AT: u32 = 4;

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operational {
    /// An endpoint was made.
    EndpointCreated(Which),
    /// Its configuration was changed, otherwise than off or on.
    EndpointUpdated(Which),
    /// It was deleted.
    EndpointDeleted(Which),
    /// Nothing is sent to it from now on.
    EndpointDisabled {
        /// Which one.
        endpoint: Which,
        /// Why.
        reason: DisableReason,
        /// The first failure since its last success.
        fail_since: Option<Millis>,
    },
    /// Half way to being disabled: it failed half as often, or half as long, as it may.
    EndpointFailing {
        /// Which.
        endpoint: Which,
        /// The first failure since its last success.
        fail_since: Option<Millis>,
    },
    /// It is sent to again.
    EndpointEnabled(Which),
    /// A delivery changed its course.
    Attempt {
        /// How.
        course: Course,
        /// Where to.
        endpoint: Which,
        /// What.
        message: MessageId,
        /// The publisher's or the provider's own id of it.
        event_id: Option<String>,
        /// The attempt that decided it.
        last: LastAttempt,
    },
    /// A replay has come to its end.
    ReplayFinished {
        /// To which endpoint, if it was for one alone.
        endpoint: Option<Which>,
        /// The background task's id.
        task_id: String,
        /// Svix's word for what was done: `endpoint.recover` …
        task: String,
        /// `finished`, `failed` or `cancelled`.
        status: String,
        /// Deliveries that it made due.
        sent: u64,
    },
    /// A source has had nothing for longer than usual.
    SourceSilent(SilentSource),
    /// The ledger passed 70, 85 or 95 % of what it can hold.
    LedgerFilling {
        /// Of what follows from it: `filling`, `shortening`, `refusing`.
        level: &'static str,
        /// Bytes in use.
        used: u64,
        /// Bytes that it can hold.
        capacity: u64,
    },
}

/// An endpoint, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    /// Its id.
    pub id: EndpointId,
    /// The owner's own name for it.
    pub uid: Option<Uid>,
}

impl Which {
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        Self {
            id: Memory::endpoint_id(endpoint),
            uid: endpoint.config.uid.clone(),
        }
    }
}

/// A source, as its silence is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentSource {
    /// Its id.
    pub id: SourceId,
    /// The owner's own name for it.
    pub uid: Option<Uid>,
    /// Its name for people.
    pub name: String,
    /// When something came last.
    pub last: Millis,
    /// How long it is silent on other days, at the longest.
    pub usual_ms: u64,
}

/// Why an endpoint was disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableReason {
    /// Somebody did it.
    Manual,
    /// It answered 410.
    Gone,
    /// It failed for too long.
    Failing,
}

impl DisableReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// Svix knows these two.
    const fn trigger(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Gone | Self::Failing => "automatic",
        }
    }
}

/// The turn that a delivery took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It failed for the fourth time, and is tried on.
    Failing,
    /// It failed for good.
    Exhausted,
    /// It was received after one of the two was told.
    Recovered,
}

/// One attempt, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAttempt {
    /// Its hand-out number.
    pub number: u64,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// When the request was begun.
    pub at: Millis,
}

/// What a result says of its delivery's course, if it is worth telling. `before_attempts` and `before` are of the
/// delivery's row as it stood, `None`: there was none.
pub(crate) fn of_result(
    before_attempts: u32,
    attempts: u32,
    before: Option<State>,
    after: State,
) -> Option<Course> {
    let told = before == Some(State::Failed) || before_attempts >= FAILING_AT;
    match after {
        State::Delivered => (told && before != Some(State::Delivered)).then_some(Course::Recovered),
        State::Failed => (before != Some(State::Failed)).then_some(Course::Exhausted),
        State::Waiting => (before_attempts < FAILING_AT && attempts >= FAILING_AT).then_some(Course::Failing),
        State::Cancelled => None,
    }
}

/// What a change of an endpoint is worth telling. A change that leaves `updated_at` as it was is none of its owner's.
pub(crate) fn of_change(before: &Endpoint, after: &Endpoint) -> Vec<Operational> {
    if after.deleted_at.is_some() {
        let gone = before.deleted_at.is_none();
        return gone
            .then(|| Operational::EndpointDeleted(Which::of(before)))
            .into_iter()
            .collect();
    }
    if before.updated_at == after.updated_at && before.config == after.config {
        return Vec::new();
    }
    let toggled = before.config.disabled != after.config.disabled;
    let mut as_before = after.config.clone();
    as_before.disabled = before.config.disabled;
    let mut events = Vec::new();
    if !toggled || as_before != before.config {
        events.push(Operational::EndpointUpdated(Which::of(after)));
    }
    if toggled && after.config.disabled {
        events.push(Operational::EndpointDisabled {
            endpoint: Which::of(after),
            reason: DisableReason::Manual,
            fail_since: None,
        });
    } else if toggled {
        events.push(Operational::EndpointEnabled(Which::of(after)));
    }
    events
}

impl Operational {
    /// The event's type.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::EndpointCreated(_) => "endpoint.created",
            Self::EndpointUpdated(_) => "endpoint.updated",
            Self::EndpointDeleted(_) => "endpoint.deleted",
            Self::EndpointDisabled { .. } => "endpoint.disabled",
            Self::EndpointFailing { .. } => "endpoint.failing",
            Self::EndpointEnabled(_) => "endpoint.enabled",
            Self::Attempt { course, .. } => match course {
                Course::Failing => "message.attempt.failing",
                Course::Exhausted => "message.attempt.exhausted",
                Course::Recovered => "message.attempt.recovered",
            },
            Self::ReplayFinished { .. } => "replay.finished",
            Self::SourceSilent(_) => "source.silent",
            Self::LedgerFilling { .. } => "ledger.filling",
        }
    }

    /// The body that operational endpoints receive: `{type, timestamp, data}`.
    #[must_use]
    pub fn payload(&self, tenant: TenantId, settings: &TenantSettings, at: Millis) -> Json {
        let mut data = Map::new();
        let mut put = |name: &str, value: Json| data.insert(name.to_owned(), value);
        put("appId", json!(tenant));
        put("appUid", json!(settings.uid));
        if let Some(endpoint) = self.endpoint() {
            put("endpointId", json!(endpoint.id));
            put("endpointUid", json!(endpoint.uid));
        }
        match self {
            Self::EndpointDisabled {
                reason, fail_since, ..
            } => {
                put("failSince", json!(fail_since.map(Millis::to_rfc3339)));
                put("trigger", json!(reason.trigger()));
                put("reason", json!(reason.as_str()));
                put("alertEmail", json!(settings.alert_email));
            }
            Self::EndpointFailing { fail_since, .. } => {
                put("failSince", json!(fail_since.map(Millis::to_rfc3339)));
                put("alertEmail", json!(settings.alert_email));
            }
            Self::Attempt {
                course,
                endpoint,
                message,
                event_id,
                last,
            } => {
                let number = u32::try_from(endpoint.id.0.sequence).unwrap_or(u32::MAX);
                let attempt = AttemptId::new(*message, number, last.number);
                put("msgId", json!(message));
                put("msgEventId", json!(event_id));
                // Svix's clients want a number: 0 where no answer came.
                let status = last.status.unwrap_or(0);
                put(
                    "lastAttempt",
                    json!({"id": attempt, "responseStatusCode": status, "timestamp": last.at.to_rfc3339()}),
                );
                if *course == Course::Exhausted {
                    put("alertEmail", json!(settings.alert_email));
                }
            }
            Self::ReplayFinished {
                task_id,
                task,
                status,
                sent,
                ..
            } => {
                put("taskId", json!(task_id));
                put("task", json!(task));
                put("status", json!(status));
                put("sent", json!(sent));
            }
            Self::SourceSilent(source) => {
                put("sourceId", json!(source.id));
                put("sourceUid", json!(source.uid));
                put("sourceName", json!(source.name));
                put("lastReceivedAt", json!(source.last.to_rfc3339()));
                put("usualGapSeconds", json!(source.usual_ms / Millis::SECOND));
            }
            Self::LedgerFilling {
                level,
                used,
                capacity,
            } => {
                put("level", json!(level));
                put("usedBytes", json!(used));
                put("capacityBytes", json!(capacity));
            }
            Self::EndpointCreated(_)
            | Self::EndpointUpdated(_)
            | Self::EndpointDeleted(_)
            | Self::EndpointEnabled(_) => {}
        }
        json!({"type": self.event_type(), "timestamp": at.to_rfc3339(), "data": data})
    }

    const fn endpoint(&self) -> Option<&Which> {
        match self {
            Self::EndpointCreated(endpoint)
            | Self::EndpointUpdated(endpoint)
            | Self::EndpointDeleted(endpoint)
            | Self::EndpointEnabled(endpoint)
            | Self::EndpointDisabled { endpoint, .. }
            | Self::EndpointFailing { endpoint, .. }
            | Self::Attempt { endpoint, .. } => Some(endpoint),
            Self::ReplayFinished { endpoint, .. } => endpoint.as_ref(),
            Self::SourceSilent(_) | Self::LedgerFilling { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_failing_at_its_fourth_failure_and_only_then() {
        let waiting = |before, after| of_result(before, after, Some(State::Waiting), State::Waiting);
        assert_eq!(waiting(2, 3), None);
        assert_eq!(waiting(3, 4), Some(Course::Failing));
        assert_eq!(waiting(4, 5), None);
        assert_eq!(waiting(4, 4), None, "a late failure counts nothing");
    }

    #[test]
    fn a_delivery_is_exhausted_once() {
        assert_eq!(of_result(0, 1, None, State::Failed), Some(Course::Exhausted));
        assert_eq!(
            of_result(3, 4, Some(State::Waiting), State::Failed),
            Some(Course::Exhausted)
        );
        assert_eq!(of_result(4, 4, Some(State::Failed), State::Failed), None);
    }

    #[test]
    fn a_delivery_recovers_only_after_it_was_told_to_fail() {
        let delivered = |attempts, before| of_result(attempts, attempts + 1, before, State::Delivered);
        assert_eq!(delivered(0, None), None);
        assert_eq!(delivered(3, Some(State::Waiting)), None);
        assert_eq!(delivered(4, Some(State::Waiting)), Some(Course::Recovered));
        assert_eq!(delivered(1, Some(State::Failed)), Some(Course::Recovered));
        assert_eq!(delivered(5, Some(State::Delivered)), None);
    }
}
