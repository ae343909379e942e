//! What was decided of a message when it was accepted, beside what it owes. It stands as JSON in the column `not_sent`,
//! which the release before filled with a sentence, so that it costs no row and no column.

use std::collections::BTreeMap;

use postern_domain::id::MessageId;
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::inbound::BodyAt;
use postern_domain::wire::publish::{SkipReason, Skipped};
use serde::{Deserialize, Serialize};

use crate::memory::Memory;

/// Endpoints that are listed at the most; of the rest only the count is kept.
const MOST_LISTED: usize = 50;

/// What is kept. Names are short: they are stored with every message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Decided {
    /// Numbers of the endpoints that it did not go to, by the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) skipped: BTreeMap<SkipReason, Vec<u32>>,
    /// How many more those are.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) more: u32,
    /// It went to no endpoint at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) nowhere: bool,
    /// It came through so many gateways that it stops here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hops: Option<u8>,
    /// Its deliveries leave then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Millis>,
    /// The publisher's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<Vec<String>>,
    /// Its source was paused, and sends it on later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) held: bool,
    /// It is part of the request whose first message has this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<u64>,
    /// The message that it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replay_of: Option<MessageId>,
    /// The message with which it shares what may be used once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) used: Option<MessageId>,
    /// Its body stands there, and not in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body_at: Option<BodyAt>,
    /// What the release before wrote in place of all this.
    #[serde(skip)]
    pub(crate) told: Option<String>,
}

impl Decided {
    /// Reads the column. What cannot be read was written by another release, and is shown as it is.
    pub(crate) fn read(column: Option<String>) -> Self {
        let Some(text) = column else {
            return Self::default();
        };
        let read = text.starts_with('{').then(|| json::read(&text));
        match read {
            Some(Ok(decided)) => decided,
            _ => Self {
                told: Some(text),
                ..Self::default()
            },
        }
    }

    /// As it stands in the column; nothing was decided: NULL.
    pub(crate) fn column(&self) -> Result<Option<String>, Problem> {
        let text = (*self != Self::default()).then(|| serde_json::to_string(self));
        text.transpose().map_err(Problem::internal)
    }

    /// One more endpoint that it does not go to.
    pub(crate) fn skip(&mut self, endpoint: u32, reason: SkipReason) {
        if self.listed() < MOST_LISTED {
            self.skipped.entry(reason).or_default().push(endpoint);
        } else {
            self.more += 1;
        }
    }

    /// Why it went to no endpoint at all, for people.
    pub(crate) fn sentence(&self) -> Option<String> {
        if let Some(hops) = self.hops {
            return Some(format!(
                "it passed {hops} gateways already; it is stored, and not sent on"
            ));
        }
        if self.held {
            return Some(
                "its source is paused: it is held, and sent on when the source is active again".to_owned(),
            );
        }
        if !self.nowhere {
            return self.told.clone();
        }
        if self.listed() == 0 {
            return Some("the application had no endpoint".to_owned());
        }
        let reasons = self.skipped.iter();
        let mut reasons: Vec<String> = reasons
            .map(|(reason, endpoints)| format!("{} {}", endpoints.len(), reason.counted()))
            .collect();
        if self.more > 0 {
            reasons.push(format!("and {} more", self.more));
        }
        Some(format!("it went to no endpoint: {}", reasons.join(", ")))
    }

    fn listed(&self) -> usize {
        self.skipped.values().map(Vec::len).sum()
    }
}

impl Memory {
    /// The endpoints that a message did not go to, by their ids. One that is gone with its tombstone is left out.
    pub(crate) fn skipped(&self, decided: &Decided) -> Vec<Skipped> {
        let mut skipped: Vec<Skipped> = Vec::new();
        for (reason, endpoints) in &decided.skipped {
            let known = endpoints.iter().filter_map(|number| self.endpoints.get(number));
            skipped.extend(known.map(|endpoint| Skipped {
                endpoint: Self::endpoint_id(endpoint),
                reason: *reason,
            }));
        }
        skipped
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form of a predicate")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_of_the_release_before_is_shown_as_it_is() {
        let told = "it passed 3 gateways already";
        assert_eq!(
            Decided::read(Some(told.to_owned())).sentence().as_deref(),
            Some(told)
        );
        assert_eq!(Decided::read(None).sentence(), None);
    }

    #[test]
    fn what_was_decided_reads_back_and_nothing_takes_no_room() {
        let mut decided = Decided::default();
        assert_eq!(decided.column(), Ok(None));
        for endpoint in 1..=60 {
            decided.skip(endpoint, SkipReason::Type);
        }
        decided.at = Some(Millis(7));
        let column = decided.column().unwrap_or_default();
        assert!(column.as_ref().is_some_and(|text| text.len() < 250), "{column:?}");
        let read = Decided::read(column);
        assert_eq!(read, decided);
        assert_eq!((read.listed(), read.more), (50, 10));
    }
}
