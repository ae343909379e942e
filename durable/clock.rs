//! The object's clock. On the platform it moves only with input and output.

use postern_domain::time::Millis;

/// Now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place in the objects that asks for the time"
)]
pub(crate) fn now() -> Millis {
    Millis(worker::Date::now().as_millis())
}
