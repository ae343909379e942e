//! The end: stop watches, revoke at the provider, shred.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::Disconnected;

use crate::Connection;
use crate::call::{Answer, Turn};
use crate::errand::Done;
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn disconnect(
        &mut self,
        _turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<Disconnected>, Problem> {
        Err(not_known())
    }

    pub(crate) fn erase(
        &mut self,
        _turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<Disconnected>, Problem> {
        Err(not_known())
    }

    pub(crate) fn go_on_ending(&mut self, _now: Millis, _random: &mut dyn Random) -> Result<(), Problem> {
        Ok(())
    }

    pub(crate) fn revoke_app_ended(&mut self, _done: Done, _now: Millis) -> Result<(), Problem> {
        Ok(())
    }

    pub(crate) fn revoke_ended(&mut self, _done: &Done, _now: Millis) -> Result<(), Problem> {
        Ok(())
    }

    /// A connection that nobody authorised in a day is over.
    pub(crate) fn forget_unconnected(&mut self, _now: Millis) -> Result<(), Problem> {
        Ok(())
    }
}
