//! Attempts: a browser leaves for the provider and comes back.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::{
    Arrival, Callback, Departure, ResultAgain, ResultPage, ResultShow, SessionGo,
};

use crate::Connection;
use crate::call::{Answer, Turn};
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn session_go(
        &mut self,
        _call: &SessionGo,
        _now: Millis,
        _random: &mut dyn Random,
    ) -> Result<Departure, Problem> {
        Err(not_known())
    }

    pub(crate) fn callback(
        &mut self,
        _call: &Callback,
        _turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<Arrival>, Problem> {
        Err(not_known())
    }

    pub(crate) fn result_show(&mut self, _call: &ResultShow, _now: Millis) -> Result<ResultPage, Problem> {
        Err(not_known())
    }

    pub(crate) fn result_again(
        &mut self,
        _call: &ResultAgain,
        _now: Millis,
        _random: &mut dyn Random,
    ) -> Result<Departure, Problem> {
        Err(not_known())
    }

    /// By the alarm: attempts that were exchanging when the object died are lost, old rows go.
    pub(crate) fn tidy_attempts(&mut self, _now: Millis) -> Result<(), Problem> {
        Ok(())
    }
}

/// When [`Connection::tidy_attempts`] has something to do next, as it is stored. Asked at the end of every transaction.
pub(crate) fn next_at<S: Sql>(_sql: &S, _now: Millis) -> Result<Option<Millis>, Problem> {
    Ok(None)
}
