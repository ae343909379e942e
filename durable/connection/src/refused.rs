//! Tokens that the provider's API refused.

use postern_domain::problem::Problem;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::{Token, TokenRefused};

use crate::Connection;
use crate::call::{Answer, Turn};
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn token_refused(
        &mut self,
        _call: TokenRefused,
        _turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<Token>, Problem> {
        Err(not_known())
    }
}
