//! The exchange of a code for tokens, and what is checked before they are stored.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::Connection;
use crate::air::unexpected;
use crate::errand::Done;
use crate::sql::{Random, Sql};

/// Where an exchange stands: what its next errand's end goes on with.
#[derive(Debug)]
pub(crate) enum Step {}

/// What exchanges keep between errands.
#[derive(Debug, Default)]
pub(crate) struct Memory {}

impl<S: Sql> Connection<S> {
    pub(crate) fn exchange_ended(
        &mut self,
        _step: Step,
        done: Done,
        _now: Millis,
        _random: &mut dyn Random,
    ) -> Result<(), Problem> {
        Err(unexpected(&done))
    }
}
