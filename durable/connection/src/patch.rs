//! What its owner changes: its label, its `uid`, its limits, whether it is on.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{ConnectionPatch, ConnectionView};

use crate::Connection;
use crate::history::line;
use crate::sql::Sql;

impl<S: Sql> Connection<S> {
    pub(crate) fn patch(&mut self, call: ConnectionPatch, now: Millis) -> Result<ConnectionView, Problem> {
        let mut change = self.change()?;
        let before = change.record.clone();
        if let Some(label) = call.label {
            change.record.label = Some(label).filter(|label| !label.is_empty());
        }
        if let Some(uid) = call.uid {
            change.record.uid = Some(uid);
        } else if call.without_uid {
            change.record.uid = None;
        }
        if call.limits.is_some() || call.without_limits {
            change.record.limits = call.limits;
        }
        if let Some(enabled) = call.enabled {
            change.record.enabled = enabled;
        }
        if change.record != before {
            if change.record.enabled != before.enabled {
                let decision = if change.record.enabled {
                    "Switched on by its owner"
                } else {
                    "Switched off by its owner: no token is given out"
                };
                change.line(line("change", decision, now));
            }
            change.touch(now);
            self.commit(change, now, |_| Ok(()))?;
        }
        self.view(now)
    }
}
