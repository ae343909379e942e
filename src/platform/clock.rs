//! The time. Nothing else asks the runtime for it.

use postern_domain::time::Millis;

/// Now. On the platform it stands still between two awaits: it moves only with input and output.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks for the time"
)]
#[must_use]
pub fn now() -> Millis {
    Millis(worker::Date::now().as_millis())
}
