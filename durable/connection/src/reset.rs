//! Back to the beginning: no secret, the same id.

use postern_domain::problem::Problem;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::ConnectionView;

use crate::Connection;
use crate::call::{Answer, Turn};
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn reset(
        &mut self,
        _turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<ConnectionView>, Problem> {
        Err(not_known())
    }
}
