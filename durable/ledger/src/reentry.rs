//! Stored webhooks once more, by today's rules: a replay that somebody asked for, and what a paused source held.
//!
//! Each becomes a message of its own, with the whole plan of tries, that names the one that it repeats. It is named by the
//! source's settings of today (a name that they do not find in what was kept stays as it was), and goes to the endpoints
//! that want it today, or to those of them that were chosen. It was verified when it came: what proved it is not kept, so
//! neither signature nor freshness is asked again, and the provider's id is no key of it: it was deduped then. A key made of the job and the stored message keeps a slice that ran twice
//! from making two.

use std::collections::BTreeMap;

use postern_domain::app_level::{ROUTE, UNSIGNED_ROUTE, is_key};
use postern_domain::digest;
use postern_domain::id::{MessageId, TaskId};
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::provider::{Headers, SourceConfig, Trust};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, Idempotency};
use postern_domain::wire::inbound::{Received, SourceReplay};
use postern_domain::wire::replay::{TaskKind, TaskProgress, TaskState, TaskView};
use serde::{Deserialize, Serialize};

use crate::accept::{Incoming, Keys};
use crate::decided::Decided;
use crate::endpoint::bytes;
use crate::memory::message_id;
use crate::sql::{Row, Sql};
use crate::task::{self, Job, Progress};
use crate::{Ledger, Random};

/// Messages that a slice looks at.
const LOOKED: usize = 500;

/// Messages that a slice makes at the most.
const SLICE: usize = 50;

/// Bytes of bodies that a slice reads at the most.
const SLICE_BYTES: usize = 4 << 20;

/// Between slices.
const PAUSE_MS: u64 = 5;

/// What is held leaves at this rate.
const RELEASE_RATE: u16 = 200;

/// What a job is for. Stored as JSON: a later release adds fields with defaults.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reentry {
    source: u16,
    /// The first message.
    low: u64,
    /// The last one.
    high: u64,
    /// What was held alone.
    #[serde(default)]
    held: bool,
    #[serde(default)]
    event_types: Option<Vec<String>>,
    /// These alone, in their order.
    #[serde(default)]
    messages: Option<Vec<u64>>,
    /// Numbers of the endpoints that may get it.
    #[serde(default)]
    only: Option<Vec<u32>>,
}

impl<S: Sql> Ledger<S> {
    /// Starts a replay, or says what it would do. Once more with the same id: nothing changes.
    pub(crate) fn source_replay(&mut self, call: &SourceReplay, now: Millis) -> Result<TaskView, Problem> {
        if let Some(stands) = self.task(call.id)? {
            return Ok(stands);
        }
        let source = self.source_number(&call.source)?;
        let mut only = None;
        if let Some(names) = &call.endpoints {
            let numbers: Result<Vec<u32>, Problem> =
                names.iter().map(|name| self.endpoint_number(name)).collect();
            only = Some(numbers?);
        }
        let messages = call
            .messages
            .as_ref()
            .map(|messages| self.numbers_of(messages))
            .transpose()?;
        let memory = self.memory()?;
        let oldest = memory.segments.first().map_or(1, |segment| segment.first);
        let last = memory.last_sequence;
        let low = call.since.map_or(Ok(oldest), |since| self.sequence_at(since))?;
        let high = match call.until {
            Some(until) => self.sequence_at(until)?.saturating_sub(1),
            None => last,
        };
        let reentry = Reentry {
            source,
            low,
            high,
            held: false,
            event_types: call.event_types.clone(),
            messages,
            only,
        };
        let (chosen, next) = self.reentered(&reentry, reentry.low, crate::task::COUNTED, usize::MAX)?;
        let shown = TaskProgress {
            total: chosen.len() as u64,
            approximated: next.is_some(),
            rate: call.rate.max(1),
            ..TaskProgress::default()
        };
        if call.dry_run {
            return Ok(task::planned(call.id, TaskKind::SourceReplay, shown, now));
        }
        self.task_begin(
            call.id,
            TaskKind::SourceReplay,
            &reentry,
            &Progress::of(shown),
            now,
        )
    }

    /// Sends on what a source held since this message.
    pub(crate) fn release(
        &mut self,
        source: u16,
        from: u64,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let reentry = Reentry {
            source,
            low: from,
            high: self.memory()?.last_sequence,
            held: true,
            event_types: None,
            messages: None,
            only: None,
        };
        if reentry.low > reentry.high {
            return Ok(());
        }
        let shown = TaskProgress {
            approximated: true,
            rate: RELEASE_RATE,
            ..TaskProgress::default()
        };
        let id = TaskId(bytes(random));
        self.task_begin(id, TaskKind::SourceRelease, &reentry, &Progress::of(shown), now)
            .map(|_| ())
    }

    /// One slice of a job.
    pub(crate) fn reenter(
        &mut self,
        job: &Job,
        reentry: &Reentry,
        mut progress: Progress,
        now: Millis,
    ) -> Result<(), Problem> {
        let rate = u64::from(progress.shown.rate).max(1);
        let most = usize::try_from(rate).unwrap_or(SLICE).min(SLICE);
        let from = progress.place.sequence.max(reentry.low);
        let (chosen, mut next) = self.reentered(reentry, from, LOOKED, most)?;
        let rules = self.rules(reentry.source)?;
        let (mut made, mut size) = (0, 0);
        for sequence in chosen {
            if size >= SLICE_BYTES {
                next = Some(sequence);
                break;
            }
            match self.enter_again(job.id(), reentry, rules.as_ref(), sequence, now)? {
                Some(bytes) => {
                    made += 1;
                    size += bytes;
                }
                None => progress.shown.skipped += 1,
            }
        }
        progress.shown.done += made;
        let state = if let Some(next) = next {
            progress.place.sequence = next;
            TaskState::Running
        } else {
            progress.finish();
            TaskState::Finished
        };
        let at = now.plus((made * 1000).div_ceil(rate).max(PAUSE_MS));
        self.moved(job, &progress, state, &[], (at, now))
    }

    /// The settings by which a source names events today; none: it is gone, and so are they.
    fn rules(&mut self, source: u16) -> Result<Option<SourceConfig>, Problem> {
        let known = self.memory()?.sources.get(&source);
        let Some(source) = known.filter(|source| source.deleted_at.is_none()) else {
            return Ok(None);
        };
        SourceConfig::parse(&source.provider, &source.config)
            .map(Some)
            .map_err(|_| Problem::internal("the stored settings of a source cannot be read"))
    }

    /// Takes one stored message again; its bytes. `None`: it is gone, or its content is.
    fn enter_again(
        &mut self,
        task: &str,
        reentry: &Reentry,
        rules: Option<&SourceConfig>,
        sequence: u64,
        now: Millis,
    ) -> Result<Option<usize>, Problem> {
        let Some(segment) = self.memory()?.open_segment_of(sequence) else {
            return Ok(None);
        };
        let statement = format!(
            "SELECT time, random, type, hop, event_id, content_type, headers, not_sent, body FROM message_{segment} \
             WHERE sequence = ? AND content_type <> ''"
        );
        let Some(row) = self.sql.row(&statement, &[sequence.into()])? else {
            return Ok(None);
        };
        let replay_of: MessageId = message_id(sequence, row.time(0)?, &row.blob(1)?);
        let headers: Option<Result<BTreeMap<String, String>, _>> =
            row.maybe(6, Row::text)?.map(|text| json::read(&text));
        let decided = Decided::read(row.maybe(7, Row::text)?);
        let body = row.blob(8)?;
        let stood = Names {
            event_type: row.text(2)?,
            event_id: row.maybe(4, Row::text)?,
            headers: headers
                .transpose()
                .map_err(Problem::internal)?
                .unwrap_or_default(),
        };
        let names = match rules {
            Some(rules) => stood.again(rules, &body, self.memory()?.routing.is_on()),
            None => stood,
        };
        let key = digest::of_parts(&[b"replay", task.as_bytes(), sequence.to_string().as_bytes()]);
        let accept = Accept {
            nonce: 0,
            sent_at: now,
            repeat: false,
            source: Some(reentry.source),
            event_type: names.event_type,
            event_id: names.event_id,
            channels: None,
            content_type: row.text(5)?,
            headers: names.headers,
            hop: row.small(3)?,
            idempotency: None,
            payload_hours: None,
            only_endpoint: None,
            received: decided.body_at.map(|at| Received {
                body_at: Some(at),
                ..Received::default()
            }),
        };
        let once = Accept {
            source: None,
            event_id: None,
            idempotency: Some(Idempotency {
                fingerprint: key.clone(),
                key,
            }),
            ..accept.clone()
        };
        let Keys::New(keys) = self.keys_of(&once)? else {
            return Ok(Some(0)); // by a slice that was cut off
        };
        self.room_for(true, now)?;
        self.roll(now)?;
        let size = body.len();
        let incoming = Incoming {
            replay_of: Some(replay_of),
            only: reentry.only.as_deref(),
            ..Incoming::of(&accept, body, keys)
        };
        // Ids of messages that nobody waits for: made of what they repeat.
        let mut drawn = Drawn(digest::of_parts(&[task.as_bytes(), &sequence.to_be_bytes()]).into_bytes());
        self.store(vec![incoming], now, &mut drawn)?;
        Ok(Some(size))
    }

    /// Numbers of the next messages that a job is for, and where it goes on behind them; `None`: all was looked at.
    fn reentered(
        &mut self,
        reentry: &Reentry,
        from: u64,
        looked: usize,
        most: usize,
    ) -> Result<(Vec<u64>, Option<u64>), Problem> {
        let (mut chosen, mut left) = (Vec::new(), looked);
        for (segment, low, high) in self.segments_within(from, reentry.high, true)? {
            let mut low = low;
            while low <= high {
                if left == 0 {
                    return Ok((chosen, Some(low)));
                }
                let step = left.min(100);
                let statement = format!(
                    "SELECT sequence, type, source, not_sent, content_type <> '' FROM message_{segment} \
                     WHERE sequence >= ? AND sequence <= ? ORDER BY sequence LIMIT ?"
                );
                let values = [low.into(), high.into(), (step as u64).into()];
                let rows = self.sql.rows(&statement, &values)?;
                let Some(end) = rows.last().map(|row| row.number(0)).transpose()? else {
                    break;
                };
                for row in &rows {
                    let sequence = row.number(0)?;
                    if chosen.len() == most {
                        return Ok((chosen, Some(sequence)));
                    }
                    if reentry.is_for(row)? {
                        chosen.push(sequence);
                    }
                }
                left -= rows.len().min(left);
                low = end + 1;
            }
        }
        Ok((chosen, None))
    }
}

impl Reentry {
    fn is_for(&self, row: &Row) -> Result<bool, Problem> {
        if row.maybe(2, Row::small::<u16>)? != Some(self.source) || row.int(4)? == 0 {
            return Ok(false);
        }
        let sequence = row.number(0)?;
        let named = self
            .messages
            .as_ref()
            .is_none_or(|messages| messages.binary_search(&sequence).is_ok());
        let event_type = row.text(1)?;
        let typed = self
            .event_types
            .as_ref()
            .is_none_or(|types| types.contains(&event_type));
        let decided = Decided::read(row.maybe(3, Row::text)?);
        // A replay repeats what came, and no other replay, unless that is named.
        let original = self.messages.is_some() || decided.replay_of.is_none();
        Ok(named && typed && original && (!self.held || decided.held))
    }
}

/// What an event is called, and what was kept to call it so.
struct Names {
    event_type: String,
    event_id: Option<String>,
    headers: BTreeMap<String, String>,
}

impl Names {
    /// The same by the rules of today; the routing key too where events are routed by one.
    fn again(mut self, rules: &SourceConfig, body: &[u8], routes: bool) -> Self {
        let kept = Headers::new(
            self.headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        let found = rules.rename(&kept, body);
        if let Some((key, trust)) = found.tenant_key.filter(|(key, _)| routes && is_key(key)) {
            let name = match trust {
                Trust::Signed => ROUTE,
                Trust::Unsigned => UNSIGNED_ROUTE,
            };
            self.headers
                .retain(|name, _| ![ROUTE, UNSIGNED_ROUTE].contains(&name.as_str()));
            self.headers.insert(name.to_owned(), key);
        }
        Self {
            event_type: found.event_type.unwrap_or(self.event_type),
            event_id: found.id.or(self.event_id),
            headers: self.headers,
        }
    }
}

/// Randomness of what is made once: a digest.
pub(crate) struct Drawn(pub(crate) Vec<u8>);

impl Random for Drawn {
    fn fill(&mut self, bytes: &mut [u8]) {
        for (to, from) in bytes.iter_mut().zip(self.0.iter().cycle()) {
            *to = *from;
        }
        self.0.rotate_left(1);
    }
}
