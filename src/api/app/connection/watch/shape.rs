//! A watch, as it is shown. No secret: a channel's token is shown to nobody.

use postern_domain::time::Millis;
use postern_domain::watch::Terms;
use postern_domain::wire::watch::WatchView;
use serde::Serialize;

/// A watch.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct WatchOut {
    id: String,
    /// `gmail` or `calendar`.
    kind: &'static str,
    /// `waiting` (the connection cannot be spent now), `starting`, `active`, `failing` or `stopping`.
    state: &'static str,
    /// Why it is not active, or what keeps notifications from coming.
    detail: Option<String>,
    /// Of Gmail: the Pub/Sub topic.
    topic: Option<String>,
    /// Of Gmail: labels that count; empty: all.
    label_ids: Vec<String>,
    /// Of Gmail: the source that gets its notifications.
    source_id: Option<String>,
    /// Of Gmail: the mailbox.
    mailbox: Option<String>,
    calendar_id: Option<String>,
    created_at: String,
    /// The last notification that was believed.
    last_push_at: Option<String>,
    /// The last change that was found.
    last_event_at: Option<String>,
    /// When it was last known that nothing is left to tell.
    last_sync_at: Option<String>,
    /// Until then the provider notifies.
    expires_at: Option<String>,
    next_renewal_at: Option<String>,
    /// When something is done for it next: a renewal, another try, a look because nobody notified.
    next_at: Option<String>,
    /// Changes of the connection's watches that wait to become messages.
    untold: u64,
}

impl WatchOut {
    /// Of what its object says.
    pub(crate) fn new(view: WatchView) -> Self {
        let time = |at: Option<Millis>| at.map(Millis::to_rfc3339);
        let kind = view.terms.kind();
        let (topic, label_ids, source, calendar_id) = match view.terms {
            Terms::Gmail {
                topic,
                labels,
                source,
            } => (topic, labels, source, None),
            Terms::Calendar { calendar, .. } => (None, Vec::new(), None, Some(calendar)),
        };
        Self {
            id: view.number.to_string(),
            kind,
            state: view.state.as_str(),
            detail: view.detail,
            topic,
            label_ids,
            source_id: source.map(|source| source.id.to_string()),
            mailbox: view.mailbox,
            calendar_id,
            created_at: view.made_at.to_rfc3339(),
            last_push_at: time(view.last_push_at),
            last_event_at: time(view.last_event_at),
            last_sync_at: time(view.last_sync_at),
            expires_at: time(view.expires_at),
            next_renewal_at: time(view.next_renewal_at),
            next_at: time(view.next_at),
            untold: view.untold,
        }
    }
}
