//! API keys.

use postern_domain::problem::Problem;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::{ConnectionView, KeyPut};

use crate::Connection;
use crate::call::{Answer, Maker, Turn};
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn key_put(
        &mut self,
        _call: KeyPut,
        _maker: Maker,
        _turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<ConnectionView>, Problem> {
        Err(not_known())
    }
}
