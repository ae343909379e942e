//! What is seen of a source: when something genuine came last, which secret it matched, how long it is usually silent.
//!
//! Cheap on purpose: in memory, and written at most once an hour, or when a secret matches for the first time. After an eviction the times lag by up to an hour, and a silence is told up to an hour early; it is at least three
//! hours long.

use postern_domain::id::MessageId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::SourceState;
use postern_domain::wire::inbound::{Intake, Received, RefusedCount, Seen, SourceStats, SourceStatsView};

use crate::Ledger;
use crate::operational::{Operational, SilentSource};
use crate::source::Source;
use crate::sql::{Sql, Value};

/// How long what is seen may stand in memory alone.
const WRITTEN_MS: u64 = 3_600_000;

/// Days whose longest gaps are remembered.
const DAYS: usize = 14;

/// Days that must have been seen before a gap is called usual.
const DAYS_BEFORE: usize = 3;

/// No usual gap is shorter.
const LEAST_GAP_MS: u64 = 3_600_000;

/// So many usual gaps are a silence, unless the owner says otherwise.
const SILENCE: u64 = 3;

impl<S: Sql> Ledger<S> {
    /// Something genuine came.
    pub(crate) fn saw(
        &mut self,
        number: u16,
        received: &Received,
        again: &[(MessageId, bool)],
        now: Millis,
    ) -> Result<(), Problem> {
        let Some(source) = self.memory()?.sources.get_mut(&number) else {
            return Ok(());
        };
        let seen = &mut source.seen;
        if let Some(last) = seen.last_success {
            let longest = seen.gaps.entry(now.0 / Millis::DAY).or_default();
            *longest = (*longest).max(now.since(last));
            while seen.gaps.len() > DAYS {
                seen.gaps.pop_first();
            }
        }
        seen.last_success = Some(seen.last_success.map_or(now, |last| last.max(now)));
        let mut write = now.since(source.seen_written_at) >= WRITTEN_MS;
        if let Some(secret) = received.secret {
            write |= seen.secrets.insert(secret, now).is_none();
            seen.secret = Some(secret);
            if seen.captured == Some(secret) {
                seen.captured = None;
                write = true;
            }
        }
        seen.duplicates += again.len() as u64;
        seen.changed += again.iter().filter(|(_, changed)| *changed).count() as u64;
        seen.retries += u64::from(received.retry.is_some_and(|retry| retry > 0));
        if write {
            source.seen_written_at = now;
            let source = source.clone();
            let armed = self.sql.atomic(|sql| {
                write_more(sql, &source)?;
                silent_at(&source).map_or(Ok(self.armed), |at| self.wake_by(at, now))
            });
            self.armed = armed?;
        }
        Ok(())
    }

    /// Writes what stands beside a source's row.
    pub(crate) fn write_more(&self, source: &Source) -> Result<(), Problem> {
        write_more(&self.sql, source)
    }

    /// Tells which sources have been silent for too long.
    pub(crate) fn tell_silence(&mut self, now: Millis) -> Result<bool, Problem> {
        let memory = self.memory()?;
        let silent: Vec<(Source, Millis)> = memory
            .sources
            .values()
            .filter_map(|source| Some((source, silent_at(source)?)))
            .filter(|(_, at)| *at <= now)
            .map(|(source, at)| (source.clone(), at))
            .collect();
        for (mut source, _) in silent {
            let Some(last) = source.seen.last_success else {
                continue;
            };
            source.seen.silence_told = Some(last);
            let memory = self.memory()?;
            let event = memory.source_id(source.number).map(|id| {
                Operational::SourceSilent(SilentSource {
                    id,
                    uid: source.uid.clone(),
                    name: source.name.clone(),
                    last,
                    usual_ms: usual_gap(&source.seen).unwrap_or(LEAST_GAP_MS),
                })
            });
            let armed = self.sql.atomic(|sql| {
                write_more(sql, &source)?;
                self.tell_all(sql, event.as_slice(), now)
            });
            self.armed = armed?;
            self.memory()?.sources.insert(source.number, source);
        }
        Ok(false)
    }

    /// When the next source has been silent for too long.
    pub(crate) fn silence_at(&self) -> Option<Millis> {
        let sources = self.memory.as_ref()?.sources.values();
        sources.filter_map(silent_at).min()
    }

    /// What is seen of one source.
    pub(crate) fn source_stats(
        &mut self,
        call: &SourceStats,
        now: Millis,
    ) -> Result<SourceStatsView, Problem> {
        let number = self.source_number(&call.source)?;
        let view = self.source_view(number)?;
        let source = self.source(number)?;
        let mut seen = source.seen.clone();
        let statement = "SELECT time, reason FROM refused WHERE source = ? ORDER BY number DESC LIMIT 1";
        if let Some(row) = self.sql.row(statement, &[number.into()])? {
            seen.last_failure = Some(row.time(0)?);
            seen.last_failure_reason = Some(row.text(1)?);
        }
        let since = now.0 / 3_600_000 - 23;
        let statement = "SELECT hour, reason, count FROM refusal_count WHERE source = ? AND hour >= ? \
                         ORDER BY hour DESC, reason";
        let rows = self.sql.rows(statement, &[number.into(), Value::from(since)])?;
        let mut refused = rows
            .iter()
            .map(|row| {
                Ok(RefusedCount {
                    hour: Millis(row.number(0)? * 3_600_000),
                    reason: row.text(1)?,
                    count: row.number(2)?,
                })
            })
            .collect::<Result<Vec<_>, Problem>>()?;
        for ((of, hour, reason), count) in &self.memory()?.refusals {
            let hour_at = Millis(hour * 3_600_000);
            if *of != number || *hour < since {
                continue;
            }
            match refused
                .iter_mut()
                .find(|known| known.hour == hour_at && known.reason == *reason)
            {
                Some(known) => known.count += u64::from(*count),
                None => refused.push(RefusedCount {
                    hour: hour_at,
                    reason: reason.clone(),
                    count: u64::from(*count),
                }),
            }
        }
        Ok(SourceStatsView {
            usual_gap: usual_gap(&seen),
            silent_at: silent_at(&source),
            source: view,
            seen,
            refused,
        })
    }
}

/// Writes what stands beside a source's row.
pub(crate) fn write_more<S: Sql>(sql: &S, source: &Source) -> Result<(), Problem> {
    let json = |value: Result<String, serde_json::Error>| value.map(Value::from).map_err(Problem::internal);
    let values = [
        source.number.into(),
        json(serde_json::to_string(&source.options))?,
        json(serde_json::to_string(&source.seen))?,
    ];
    sql.run(
        "INSERT INTO source_more (number, options, seen) VALUES (?1, ?2, ?3) \
         ON CONFLICT DO UPDATE SET options = ?2, seen = ?3",
        &values,
    )?;
    Ok(())
}

/// The middle one of the longest gaps of the last days, once enough of them were seen: one bad day does not make it longer.
fn usual_gap(seen: &Seen) -> Option<u64> {
    if seen.gaps.len() < DAYS_BEFORE {
        return None;
    }
    let mut gaps: Vec<u64> = seen.gaps.values().copied().collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).map(|gap| (*gap).max(LEAST_GAP_MS))
}

/// When the silence of a source is to be told; none: it is not, or was.
fn silent_at(source: &Source) -> Option<Millis> {
    let factor = source.options.silence_factor.map_or(SILENCE, u64::from);
    let listens = source.deleted_at.is_none()
        && source.state == SourceState::Active
        && source.options.intake == Intake::Open
        && factor > 0;
    let last = source.seen.last_success.filter(|_| listens)?;
    if source.seen.silence_told == Some(last) {
        return None;
    }
    let at = last.plus(usual_gap(&source.seen)?.saturating_mul(factor));
    // One that is over by then is not silent.
    (!source.options.is_over(at)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(hours: &[u64]) -> Seen {
        Seen {
            gaps: (0..).zip(hours.iter().map(|hours| hours * 3_600_000)).collect(),
            ..Seen::default()
        }
    }

    #[test]
    fn a_gap_is_usual_only_after_three_days_and_one_bad_day_changes_nothing() {
        assert_eq!(usual_gap(&seen(&[9, 9])), None);
        assert_eq!(usual_gap(&seen(&[9, 9, 9])), Some(9 * 3_600_000));
        assert_eq!(usual_gap(&seen(&[9, 48, 9])), Some(9 * 3_600_000));
    }

    #[test]
    fn a_busy_source_is_not_called_silent_within_hours() {
        assert_eq!(usual_gap(&seen(&[0, 0, 0, 0])), Some(LEAST_GAP_MS));
    }
}
