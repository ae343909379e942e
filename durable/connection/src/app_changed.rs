//! The app was changed: what it broke may heal.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::Connection;
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn app_changed(&mut self, _now: Millis, _random: &mut dyn Random) -> Result<(), Problem> {
        Ok(())
    }
}
