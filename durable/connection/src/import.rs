//! Tokens that somebody else got.

use postern_domain::problem::Problem;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::{ConnectionView, Import};

use crate::Connection;
use crate::call::{Answer, Maker, Turn};
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn import(
        &mut self,
        _call: Import,
        _maker: Maker,
        _turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<ConnectionView>, Problem> {
        Err(not_known())
    }
}
