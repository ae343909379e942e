//! Sessions: the links that begin attempts.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::{SessionOpen, SessionOpened, SessionPage, SessionShow};

use crate::Connection;
use crate::call::Maker;
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn session_open(
        &mut self,
        _call: SessionOpen,
        _maker: Maker,
        _now: Millis,
        _random: &mut dyn Random,
    ) -> Result<SessionOpened, Problem> {
        Err(not_known())
    }

    pub(crate) fn session_show(&mut self, _call: &SessionShow, _now: Millis) -> Result<SessionPage, Problem> {
        Err(not_known())
    }
}
