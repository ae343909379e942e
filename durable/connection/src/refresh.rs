//! Refreshes: one in the air, its intent stored before it leaves, its tokens before anybody sees them.

use postern_domain::oauth::TokenSet;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::Connection;
use crate::change::Change;
use crate::credential::Credential;
use crate::errand::Done;
use crate::record::Record;
use crate::sql::{Random, Sql};

/// A refresh on its way.
#[derive(Debug)]
pub(crate) struct Flight {}

/// Tokens that came and could not be stored: tried again as long as the object lives.
#[derive(Debug)]
pub(crate) struct Unsaved {}

/// When a grant is over, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forecast {
    pub(crate) at: Millis,
    pub(crate) why: String,
    pub(crate) confidence: String,
}

impl<S: Sql> Connection<S> {
    pub(crate) fn refresh_app_ended(
        &mut self,
        _done: Done,
        _now: Millis,
        _random: &mut dyn Random,
    ) -> Result<(), Problem> {
        Ok(())
    }

    pub(crate) fn refresh_ended(
        &mut self,
        _flight: Flight,
        _done: &Done,
        _now: Millis,
        _random: &mut dyn Random,
    ) -> Result<(), Problem> {
        Ok(())
    }

    pub(crate) fn refresh_by_alarm(&mut self, _now: Millis, _random: &mut dyn Random) -> Result<(), Problem> {
        Ok(())
    }

    /// A refresh, or what is one to a service account, gave new tokens: stores them, and wakes whoever waits.
    pub(crate) fn refreshed(
        &mut self,
        _tokens: TokenSet,
        _app_generation: u64,
        _now: Millis,
        _random: &mut dyn Random,
    ) -> Result<(), Problem> {
        Ok(())
    }

    pub(crate) fn forecast(&mut self, _now: Millis) -> Result<(), Problem> {
        Ok(())
    }

    pub(crate) fn forecast_at(&self, _record: &Record, _credential: &Credential) -> Option<Millis> {
        None
    }

    pub(crate) fn reseal(&mut self, _now: Millis, _random: &mut dyn Random) -> Result<(), Problem> {
        Ok(())
    }
}

/// When the alarm is needed for a refresh.
pub(crate) fn alarm_at(_record: &Record, credential: &Credential) -> Option<Millis> {
    credential.next_refresh_at
}

pub(crate) fn forecast_of(_record: &Record, _credential: &Credential) -> Option<Forecast> {
    None
}

/// Plans the next refresh of what a change stores: called by whoever stores tokens, before the commit.
pub(crate) fn plan(_change: &mut Change, _now: Millis, _random: &mut dyn Random) {}
