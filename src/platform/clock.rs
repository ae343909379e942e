//! The time. Nothing else at the edge asks the runtime for it.

use postern_domain::time::Millis;

/// Now. On the platform it stands still between two awaits.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks for the time"
)]
pub(crate) fn now() -> Millis {
    Millis(worker::Date::now().as_millis())
}
