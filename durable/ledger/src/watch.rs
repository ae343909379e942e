//! Telling that something came. The shell keeps the sockets; what each wants to be told of is decided here.
//!
//! Nothing is stored for it: a socket whose notification is lost, or that was not there, reads the log from where it
//! stands.

use postern_domain::problem::Problem;
use postern_domain::wire::MessageView;
use postern_domain::wire::follow::{Notification, Watch, Watcher, Watching};

use crate::Ledger;
use crate::sql::Sql;

/// What has come since it was told the last time.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Somebody watches: without that nothing is kept here.
    watched: bool,
    news: Vec<News>,
    /// The tenant is gone: there is nothing to watch any more.
    pub(crate) over: bool,
}

/// A message that came.
#[derive(Debug, Clone)]
pub struct News {
    notification: Notification,
    channels: Option<Vec<String>>,
    owed: Vec<u32>,
}

impl News {
    /// Whether this one has to be told of it.
    #[must_use]
    pub fn concerns(&self, watcher: &Watcher) -> bool {
        watcher
            .endpoint
            .is_none_or(|endpoint| self.owed.contains(&endpoint))
            && watcher
                .wanted
                .takes(&self.notification.event_type, self.channels.as_deref())
    }

    /// What it is told.
    #[must_use]
    pub const fn notification(&self) -> &Notification {
        &self.notification
    }
}

impl<S: Sql> Ledger<S> {
    /// What a socket is to be told of, from now on.
    pub(crate) fn watch(&mut self, call: &Watch) -> Result<Watching, Problem> {
        let endpoint = match &call.sink {
            Some(sink) => Some(self.sink(sink)?),
            None => None,
        };
        Ok(Watching {
            sequence: self.memory()?.last_sequence,
            watcher: Watcher {
                endpoint,
                wanted: call.wanted.clone(),
            },
        })
    }

    /// Tells whether anybody watches.
    pub fn watched(&mut self, watched: bool) {
        self.desk.watched = watched;
        if !watched {
            self.desk.news.clear();
        }
    }

    /// Whether there is something to tell.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.desk.news.is_empty() || self.desk.over
    }

    /// What there is to tell, oldest first. It is gone from here: a socket that does not get it misses nothing, because
    /// it reads on from where it stands.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.desk.news)
    }

    /// Whether the tenant went: whoever watches is sent home.
    pub fn take_over(&mut self) -> bool {
        std::mem::take(&mut self.desk.over)
    }

    /// A message was stored.
    pub(crate) fn note(&mut self, view: &MessageView, owed: Vec<u32>) {
        if self.desk.watched {
            self.desk.news.push(News {
                notification: Notification {
                    sequence: view.id.0.sequence,
                    id: view.id,
                    event_type: view.event_type.clone(),
                    time: view.timestamp,
                },
                channels: view.channels.clone(),
                owed,
            });
        }
    }
}
