//! The sockets of those who want to be told of new messages. They outlive the object's memory: the runtime keeps them
//! while the object sleeps, each with what it wants written on it, and wakes the object for nothing but an accept.

use std::cell::Cell;

use postern_domain::json;
use postern_domain::wire::follow::{SEQUENCE_HEADER, Watcher, Watching};
use postern_ledger::News;
use worker::{Response, Result, State, WebSocket, WebSocketPair};

/// Sockets of one object at the most: a notification goes to each.
const MOST: usize = 1000;

/// The object was wiped, or too many watch it. (A code of the WebSocket protocol: going away.)
const GOING_AWAY: u16 = 1001;

/// All sockets of the object.
pub(crate) struct Watchers {
    state: State,
    /// Whether there are any; `None`: it has to be looked at.
    any: Cell<Option<bool>>,
}

impl Watchers {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state,
            any: Cell::new(None),
        }
    }

    /// Whether anybody watches.
    pub(crate) fn any(&self) -> bool {
        if let Some(any) = self.any.get() {
            return any;
        }
        let any = !self.state.get_websockets().is_empty();
        self.any.set(Some(any));
        any
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.state.get_websockets().len()
    }

    /// Whether there is room for one more.
    pub(crate) fn has_room(&self) -> bool {
        self.count() < MOST
    }

    /// Takes a socket, with what it wants written on it. The answer says the newest number of this moment, so that
    /// whoever opened it knows from where on it is told.
    pub(crate) fn take(&self, watching: &Watching) -> Result<Response> {
        let pair = WebSocketPair::new()?;
        pair.server
            .serialize_attachment(serde_json::to_string(&watching.watcher)?)?;
        self.state.accept_web_socket(&pair.server);
        self.any.set(Some(true));
        let response = Response::from_websocket(pair.client)?;
        response
            .headers()
            .set(SEQUENCE_HEADER, &watching.sequence.to_string())?;
        Ok(response)
    }

    /// Tells each of the newest that concerns it: one notification, whatever came. One that cannot be told any more is
    /// closed: it reads on from where it stands when it comes again.
    pub(crate) fn tell(&self, news: &[News]) {
        for socket in self.state.get_websockets() {
            let watcher = watcher_of(&socket);
            let newest = news.iter().rev().find(|news| {
                // What cannot be read is told everything: one look too many loses nothing.
                watcher.as_ref().is_none_or(|watcher| news.concerns(watcher))
            });
            let told = newest.map_or(Ok(()), |news| socket.send(news.notification()));
            if told.is_err() {
                self.close(&socket, GOING_AWAY, "not reached");
            }
        }
    }

    /// The tenant is gone.
    pub(crate) fn send_home(&self) {
        for socket in self.state.get_websockets() {
            self.close(&socket, GOING_AWAY, "the application is gone");
        }
    }

    /// One socket has ended, or ends.
    pub(crate) fn close(&self, socket: &WebSocket, code: u16, reason: &str) {
        self.any.set(None);
        // The other side may be gone already: then there is nothing to close.
        let _ = socket.close(Some(code), Some(reason));
    }
}

fn watcher_of(socket: &WebSocket) -> Option<Watcher> {
    let written: Option<String> = socket.deserialize_attachment().ok()?;
    json::read(&written?).ok()
}
