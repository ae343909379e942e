//! Back to the beginning: revoked at the provider, no secret left, the same id.

use postern_domain::problem::Problem;
use postern_domain::wire::connection::ConnectionView;

use crate::Connection;
use crate::call::{Answer, Turn, too_long};
use crate::record::EndKind;
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn reset(
        &mut self,
        turn: Turn,
        random: &mut dyn Random,
    ) -> Result<Answer<ConnectionView>, Problem> {
        // A repeat that finds it done has waited for it.
        let stands = self.standing()?.record.ending.is_some();
        if turn.since.is_none() || stands {
            self.end(EndKind::Reset, turn.now, random)?;
        }
        if self.standing()?.record.ending.is_some() {
            return Ok(Answer::Late(Err(too_long())));
        }
        self.view(turn.now).map(Answer::Now)
    }
}
