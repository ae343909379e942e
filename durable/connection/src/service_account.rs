//! Service accounts (RFC 7523): a private key, exchanged for tokens.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::{ConnectionView, ServiceAccountPut};

use crate::Connection;
use crate::air::unexpected;
use crate::call::{Answer, Maker, Turn};
use crate::errand::Done;
use crate::sql::{Random, Sql};

/// Where an exchange of an assertion stands.
#[derive(Debug)]
pub(crate) enum Step {}

impl<S: Sql> Connection<S> {
    pub(crate) fn service_account_put(
        &mut self,
        _call: ServiceAccountPut,
        _maker: Maker,
        _turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<ConnectionView>, Problem> {
        Err(not_known())
    }

    /// Its next token: what a refresh is to a grant. Ends in [`Connection::refreshed`] or [`Connection::refresh_failed`].
    pub(crate) fn service_account_refresh(
        &mut self,
        _now: Millis,
        _random: &mut dyn Random,
    ) -> Result<(), Problem> {
        Err(not_known())
    }

    pub(crate) fn service_account_ended(
        &mut self,
        _step: Step,
        done: Done,
        _now: Millis,
        _random: &mut dyn Random,
    ) -> Result<(), Problem> {
        Err(unexpected(&done))
    }
}
