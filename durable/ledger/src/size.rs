//! How full the storage is, and what follows.

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;

use crate::Ledger;
use crate::endpoint::store_number;
use crate::operational::Operational;
use crate::sql::Sql;

/// What a fill level means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fullness {
    /// Not looked at since the object woke.
    Unknown,
    /// Below 70 %.
    Ample,
    /// From 70 %: an operator should know.
    Filling,
    /// From 85 %: the oldest segment goes early.
    Shortening,
    /// From 95 %: publishes through the API are refused.
    Refusing,
}

impl Fullness {
    fn of(size: u64, capacity: u64) -> Self {
        match size.saturating_mul(100) / capacity.max(1) {
            0..70 => Self::Ample,
            70..85 => Self::Filling,
            85..95 => Self::Shortening,
            _ => Self::Refusing,
        }
    }

    /// What is kept of it, so that each crossing is told once and not at every wake.
    const fn stored(self) -> u64 {
        match self {
            Self::Unknown | Self::Ample => 0,
            Self::Filling => 70,
            Self::Shortening => 85,
            Self::Refusing => 95,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ample => "ample",
            Self::Filling => "filling",
            Self::Shortening => "shortening",
            Self::Refusing => "refusing",
        }
    }
}

/// Retention looks this soon after somebody found the storage too full.
const SHORTEN_MS: u64 = 1000;

impl<S: Sql> Ledger<S> {
    /// How full the storage is now.
    pub(crate) fn fullness(&self) -> Fullness {
        Fullness::of(self.sql.size(), self.settings.capacity_bytes)
    }

    /// Looks at the size before something is taken. A publish is refused from 95 % on; a webhook that was verified at
    /// `/in/` only when nothing is left (98 %), because its provider may not come again. Where old messages must go, the
    /// alarm is set: nothing else may wake the object for days.
    pub(crate) fn room_for(&mut self, from_source: bool, time: Millis) -> Result<Fullness, Problem> {
        let (size, capacity) = (self.sql.size(), self.settings.capacity_bytes);
        let now = Fullness::of(size, capacity);
        let memory = self.memory()?;
        let before = std::mem::replace(&mut memory.fullness, now);
        if now != before && now != Fullness::Ample {
            self.notice(
                "ledger_filling",
                format!("{size} of {capacity} bytes are used: {}", now.as_str()),
            );
        }
        if now != before {
            self.tell_fullness(now, size, time)?;
        }
        if self
            .memory
            .as_ref()
            .is_some_and(|memory| self.must_shorten(memory))
        {
            self.armed = self.wake_by(time.plus(SHORTEN_MS), time)?;
        }
        let full = size.saturating_mul(100) / capacity.max(1) >= 98;
        if now == Fullness::Refusing && (!from_source || full) {
            return Err(Problem::new(
                Code::LedgerFull,
                "The application's ledger is full; the oldest messages are being dropped, try again in a minute",
            ));
        }
        Ok(now)
    }

    /// Tells that a level was passed upwards, once; falling below it is written down, so that the next time is told too.
    fn tell_fullness(&mut self, level: Fullness, used: u64, time: Millis) -> Result<(), Problem> {
        let row = self
            .sql
            .row("SELECT value FROM meta WHERE name = 'fullness_told'", &[])?;
        let told = row.map_or(Ok(0), |row| row.number(0))?;
        if told == level.stored() {
            return Ok(());
        }
        let event = Operational::LedgerFilling {
            level: level.as_str(),
            used,
            capacity: self.settings.capacity_bytes,
        };
        let events = if level.stored() > told {
            std::slice::from_ref(&event)
        } else {
            &[]
        };
        let armed = self.sql.atomic(|sql| {
            store_number(sql, "fullness_told", level.stored())?;
            self.tell_all(sql, events, time)
        });
        self.armed = armed?;
        Ok(())
    }
}
