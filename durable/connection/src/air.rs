//! Errands: what leaves, what for, and what comes of its end.

use postern_domain::oauth::Request;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::errand::{Done, Errand, Task};
use crate::sql::{Random, Sql};
use crate::{Connection, account, exchange, probe, refresh, service_account, watch};

/// Bytes of a token endpoint's answer that are read, and of an identity call's.
pub(crate) const CAP: usize = 64 << 10;

/// What an errand is for. It holds what goes on with its end; it is lost with the object.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// The directory learns of this version.
    Row(u64),
    /// The tenant is told this message.
    Tell(u64),
    /// The app's credentials, for a refresh.
    RefreshApp,
    /// A refresh.
    Refresh(Box<refresh::Flight>),
    /// A check of health.
    Probe(probe::Flight),
    /// The app's credentials, to revoke.
    RevokeApp,
    /// The revocation.
    Revoke,
    /// A step of an exchange.
    Exchange(Box<exchange::Step>),
    /// A step towards whose account tokens are for.
    Account(Box<account::Step>),
    /// What a refresh learned of the app. Nothing waits for it.
    App,
    /// A step towards a service account's token.
    ServiceAccount(Box<service_account::Step>),
    /// A step of a watch.
    Watch(Box<watch::Flight>),
    /// The tenant is told what a watch found.
    TellChange(u64),
}

impl<S: Sql> Connection<S> {
    /// The errands that wait to leave. Each is to be done once, and its end brought to [`Connection::finish`].
    pub fn take_errands(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.errands)
    }

    /// Whether errands wait to leave.
    pub const fn has_errands(&self) -> bool {
        !self.errands.is_empty()
    }

    /// An errand ended. One of another life of the object is unknown, and changes nothing.
    pub fn finish(&mut self, errand: u64, done: Done, now: Millis, random: &mut dyn Random) {
        let Some(purpose) = self.air.remove(&errand) else {
            return;
        };
        let ended = self.wake().and_then(|()| match purpose {
            Purpose::Row(version) => self.row_ended(version, &done, now),
            Purpose::Tell(number) => self.tell_ended(number, &done, now),
            Purpose::RefreshApp => self.refresh_app_ended(done, now, random),
            Purpose::Refresh(flight) => self.refresh_ended(*flight, done, now, random),
            Purpose::Probe(flight) => self.probe_ended(flight, done, now, random),
            Purpose::RevokeApp => self.revoke_app_ended(done, now),
            Purpose::Revoke => self.revoke_ended(done, now),
            Purpose::Exchange(step) => self.exchange_ended(*step, done, now, random),
            Purpose::Account(step) => self.account_ended(*step, done, now, random),
            Purpose::App => self.app_judged(&done),
            Purpose::ServiceAccount(step) => self.service_account_ended(*step, done, now, random),
            Purpose::Watch(flight) => self.watch_ended(&flight, done, now, random),
            Purpose::TellChange(number) => self.watch_event_told(number, &done, now, random),
        });
        // An end waits for what was in the air, and so does what needs a token.
        let ended = ended.and_then(|()| self.go_on_ending(now, random));
        let ended = ended.and_then(|()| self.go_on_watching(now, random));
        if let Err(problem) = ended {
            self.notice("errand_failed", &problem);
            self.forget();
            // Those who wait ask again, and find what is stored.
            self.has_moved();
        }
    }

    /// Sends an errand on its way.
    pub(crate) fn send(&mut self, task: Task, purpose: Purpose) {
        self.last_errand += 1;
        let id = self.last_errand;
        self.air.insert(id, purpose);
        self.errands.push(Errand { id, task });
    }

    /// Sends a request to a provider on its way, with the cap of a token endpoint's answer.
    pub(crate) fn ask(&mut self, request: Request, purpose: Purpose) {
        let task = Task::Http {
            request,
            deadline_ms: self.settings.deadline_ms,
            cap: CAP,
        };
        self.send(task, purpose);
    }

    /// Whether an errand of a kind is in the air.
    pub(crate) fn flies(&self, is: impl Fn(&Purpose) -> bool) -> bool {
        self.air.values().any(is)
    }
}

/// What came of a request; anything else is a fault of the shell.
pub(crate) fn http(done: Done) -> Result<postern_domain::oauth::Ended, Problem> {
    match done {
        Done::Http(ended) => Ok(ended),
        other => Err(unexpected(&other)),
    }
}

/// An end of another kind than the errand's.
pub(crate) fn unexpected(done: &Done) -> Problem {
    let kind = match done {
        Done::Http(_) => "http",
        Done::Verified(_) => "verified",
        Done::Signed(_) => "signed",
        Done::App(_) => "app",
        Done::Written(_) => "written",
    };
    Problem::internal(format_args!("an errand ended as another kind: {kind}"))
}
