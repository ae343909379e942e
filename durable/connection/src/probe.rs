//! Checks of health: the provider's cheapest call, asked for or by the alarm.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::Tested;

use crate::Connection;
use crate::call::{Answer, Turn};
use crate::errand::Done;
use crate::sql::{Random, Sql};

/// A check on its way.
#[derive(Debug)]
pub(crate) struct Flight {}

/// A check that ended.
#[derive(Debug)]
pub(crate) struct Ended {}

impl<S: Sql> Connection<S> {
    pub(crate) fn test(&mut self, _turn: Turn, _random: &mut dyn Random) -> Result<Answer<Tested>, Problem> {
        Err(not_known())
    }

    pub(crate) fn probe_by_alarm(&mut self, _now: Millis, _random: &mut dyn Random) -> Result<(), Problem> {
        Ok(())
    }

    pub(crate) fn probe_ended(
        &mut self,
        _flight: Flight,
        _done: &Done,
        _now: Millis,
        _random: &mut dyn Random,
    ) -> Result<(), Problem> {
        Ok(())
    }
}
