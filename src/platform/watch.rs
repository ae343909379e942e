//! A socket over which a tenant's object tells that something came, and one that a client holds.
//!
//! Of what comes only the latest is kept: however long nobody looks, it takes the same memory.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use postern_domain::json;
use postern_domain::wire::follow::Notification;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use worker::WebSocket;
use worker::web_sys::MessageEvent;

/// A socket that is listened to. Dropping it closes it.
pub struct Ear {
    socket: WebSocket,
    heard: Rc<Heard>,
    on_message: Closure<dyn FnMut(MessageEvent)>,
    on_end: Closure<dyn FnMut()>,
}

#[derive(Default)]
struct Heard {
    /// The highest sequence number that was told.
    latest: Cell<u64>,
    /// Messages so far.
    count: Cell<u64>,
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Heard {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Ear {
    /// Begins to listen.
    pub fn to(socket: WebSocket) -> worker::Result<Self> {
        let heard = Rc::new(Heard::default());
        let listener = Rc::clone(&heard);
        let on_message = Closure::wrap_assert_unwind_safe(Box::new(move |event: MessageEvent| {
            let text = event.data().as_string();
            let told = text.and_then(|text| json::read::<Notification>(&text).ok());
            if let Some(told) = told {
                listener.latest.set(listener.latest.get().max(told.sequence));
            }
            listener.count.set(listener.count.get() + 1);
            listener.wake();
        }) as Box<dyn FnMut(MessageEvent)>);
        let listener = Rc::clone(&heard);
        let on_end = Closure::wrap_assert_unwind_safe(Box::new(move || {
            listener.ended.set(true);
            listener.wake();
        }) as Box<dyn FnMut()>);
        let ear = Self {
            socket,
            heard,
            on_message,
            on_end,
        };
        let target = ear.socket.as_ref();
        let message = ear.on_message.as_ref().unchecked_ref();
        let end = ear.on_end.as_ref().unchecked_ref();
        target.add_event_listener_with_callback("message", message)?;
        target.add_event_listener_with_callback("close", end)?;
        target.add_event_listener_with_callback("error", end)?;
        ear.socket.accept()?;
        Ok(ear)
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &WebSocket {
        &self.socket
    }

    /// The highest sequence number that was told.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.heard.latest.get()
    }

    /// How many messages came.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.heard.count.get()
    }

    /// Whether the other side is gone.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.heard.ended.get()
    }

    /// Waits until `enough` holds or the other side is gone.
    pub fn until(&self, enough: impl Fn(&Self) -> bool) -> impl Future<Output = ()> {
        poll_fn(move |context| {
            if enough(self) || self.has_ended() {
                return Poll::Ready(());
            }
            *self.heard.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let target = self.socket.as_ref();
        let message = self.on_message.as_ref().unchecked_ref();
        let end = self.on_end.as_ref().unchecked_ref();
        // What is not listened to any more cannot fail in a way that matters; nor can closing what is closed.
        let _ = target.remove_event_listener_with_callback("message", message);
        let _ = target.remove_event_listener_with_callback("close", end);
        let _ = target.remove_event_listener_with_callback("error", end);
        let _ = self.socket.close(Some(1000), Some("done"));
    }
}

/// A socket to a tenant's object.
pub struct News {
    ear: Ear,
    /// The newest number when it was opened.
    begin: u64,
}

impl News {
    /// Over a socket that the object has taken at this number.
    pub fn over(socket: WebSocket, begin: u64) -> worker::Result<Self> {
        Ok(Self {
            ear: Ear::to(socket)?,
            begin,
        })
    }

    /// The newest number that is known of.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.begin.max(self.ear.latest())
    }

    /// Whether the object has hung up.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ear.has_ended()
    }

    /// Waits until there is something behind this number, or the object has hung up.
    pub async fn behind(&self, sequence: u64) {
        self.ear.until(|ear| ear.latest() > sequence).await;
    }
}
