//! What an import answers.

use postern_domain::wire::moving::{ImportAction, ImportOutcome};
use serde::Serialize;

/// Of one application, endpoint or event type: what is done with it, or would be.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlannedOut {
    /// `application`, `endpoint` or `eventType`.
    pub(super) kind: &'static str,
    /// The `uid` (or id) that the application has here.
    pub(super) application: Option<String>,
    /// The endpoint's `uid`, or where it stood.
    pub(super) endpoint: Option<String>,
    pub(super) event_type: Option<String>,
    /// Without the values of its query.
    pub(super) url: Option<String>,
    /// `create`, `exists`, `conflict` or `invalid`.
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) action: ImportAction,
    pub(super) why: Option<String>,
    /// What of it could not be taken along.
    pub(super) left: Vec<String>,
    /// The one that was made, or that is there.
    pub(super) id: Option<String>,
}

/// So many of each.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct CountsOut {
    create: u32,
    exists: u32,
    conflict: u32,
    invalid: u32,
}

/// The plan, or what was done.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImportOut {
    /// True: nothing was written.
    dry_run: bool,
    plan: Vec<PlannedOut>,
    counts: CountsOut,
    /// False: there is more; send the same again with `iterator`.
    done: bool,
    iterator: Option<String>,
    /// Why it stopped before its bounds, if it did.
    stopped: Option<String>,
}

/// A run while it goes on.
pub(super) struct Run {
    out: ImportOut,
}

impl Run {
    pub(super) fn new(dry_run: bool) -> Self {
        Self {
            out: ImportOut {
                dry_run,
                plan: Vec::new(),
                counts: CountsOut::default(),
                done: true,
                iterator: None,
                stopped: None,
            },
        }
    }

    pub(super) fn dry(&self) -> bool {
        self.out.dry_run
    }

    /// Whether anything was said already.
    pub(super) fn is_empty(&self) -> bool {
        self.out.plan.is_empty()
    }

    pub(super) fn say(&mut self, planned: PlannedOut) {
        let counts = &mut self.out.counts;
        let count = match planned.action {
            ImportAction::Create => &mut counts.create,
            ImportAction::Exists => &mut counts.exists,
            ImportAction::Conflict => &mut counts.conflict,
            ImportAction::Invalid => &mut counts.invalid,
        };
        *count += 1;
        self.out.plan.push(planned);
    }

    /// There is more, from there on.
    pub(super) fn pause(&mut self, iterator: String) {
        self.out.done = false;
        self.out.iterator = Some(iterator);
    }

    /// The same, because of this.
    pub(super) fn stop(&mut self, iterator: String, why: String) {
        self.pause(iterator);
        self.out.stopped = Some(why);
    }

    pub(super) fn finish(self) -> ImportOut {
        self.out
    }
}

impl PlannedOut {
    /// An application that is made, or that is there.
    pub(super) fn application(name: &str, id: Option<String>, action: ImportAction) -> Self {
        Self {
            kind: "application",
            application: Some(name.to_owned()),
            endpoint: None,
            event_type: None,
            url: None,
            action,
            why: None,
            left: Vec::new(),
            id,
        }
    }

    /// One that cannot be taken.
    pub(super) fn invalid_application(name: &str, why: String) -> Self {
        Self {
            why: Some(why),
            ..Self::application(name, None, ImportAction::Invalid)
        }
    }

    /// An event type.
    pub(super) fn event_type(name: &str, action: ImportAction, why: Option<String>) -> Self {
        Self {
            kind: "eventType",
            application: None,
            event_type: Some(name.to_owned()),
            why,
            ..Self::application(name, None, action)
        }
    }

    /// An endpoint.
    pub(super) fn endpoint(
        application: &str,
        name: &str,
        url: Option<String>,
        left: Vec<String>,
        outcome: ImportOutcome,
    ) -> Self {
        Self {
            kind: "endpoint",
            endpoint: Some(name.to_owned()),
            url,
            why: outcome.why,
            left,
            ..Self::application(
                application,
                outcome.endpoint.map(|id| id.to_string()),
                outcome.action,
            )
        }
    }
}
