//! A notification: it says that there may be something, and nothing that is believed beyond that. It is stored before it is
//! answered, so that none is lost with the object.

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::watch::{Trouble, Watch, plan};
use postern_domain::wire::watch::WatchPushed;

use crate::Connection;
use crate::air::Purpose;
use crate::history::line;
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn watch_pushed(
        &mut self,
        call: WatchPushed,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        self.standing()?;
        match call {
            WatchPushed::Mailbox { mailbox, history } => self.mailbox_pushed(&mailbox, history, now)?,
            WatchPushed::Channel {
                id,
                token,
                resource,
                state,
                number,
            } => self.channel_pushed(&id, token.reveal(), resource, &state, number, now)?,
        }
        self.go_on_watching(now, random)
    }

    fn mailbox_pushed(&mut self, mailbox: &str, history: Option<u64>, now: Millis) -> Result<(), Problem> {
        let of = |watch: &&Watch| {
            let known = watch.mailbox.as_deref();
            !watch.stopping && known.is_some_and(|known| known.eq_ignore_ascii_case(mailbox))
        };
        // One that was taken away is not wired much longer.
        let Some(mut watch) = self.watches.all.iter().find(of).cloned() else {
            return Ok(());
        };
        watch.last_push_at = Some(now);
        let at = watch
            .cursor
            .as_ref()
            .and_then(|cursor| cursor.at.as_ref()?.parse::<u64>().ok());
        if let (Some(at), Some(history)) = (at, history)
            && history <= at
        {
            // Told already: of one change several notifications come.
            self.watches.put(watch);
            return Ok(());
        }
        self.raise(watch, now)
    }

    fn channel_pushed(
        &mut self,
        id: &str,
        token: &str,
        resource: Option<String>,
        state: &str,
        number: Option<u64>,
        now: Millis,
    ) -> Result<(), Problem> {
        let proven = |watch: &Watch| Some((watch.clone(), watch.proves(id, token, resource.as_deref())?));
        let Some((mut watch, at)) = self.watches.all.iter().find_map(proven) else {
            return Err(Problem::new(
                Code::SignatureInvalid,
                "The channel is none of this connection's, or its token is another one",
            ));
        };
        let replaced = watch.channel().is_some_and(|serves| serves.id != id);
        let mut adopted = false;
        if let Some(channel) = watch.channels.get_mut(at) {
            if number.is_some_and(|number| number <= channel.number) {
                return Ok(()); // it came before
            }
            channel.number = number.unwrap_or(channel.number);
            if channel.resource.is_none() && resource.is_some() {
                // Its opening was never answered, or is not answered yet.
                channel.resource = resource;
                adopted = true;
                if replaced {
                    channel.stop_at = Some(now);
                }
            }
        }
        if watch.stopping {
            return Ok(());
        }
        let opening = self.flies(
            |purpose| matches!(purpose, Purpose::Watch(flight) if flight.channel.as_deref() == Some(id)),
        );
        if adopted && !replaced && !opening {
            let ends = watch.channels.get(at).map(|channel| channel.expires_at);
            watch.renew_at = ends.map(|ends| plan::renew_at(&watch.terms, ends, now, 0));
            watch.renewal = Trouble::default();
        }
        watch.last_push_at = Some(now);
        if state != "sync" {
            return self.raise(watch, now);
        }
        if adopted {
            let mut change = self.change()?;
            change.line(line(
                "watch",
                "A channel of which no answer came tells of itself",
                now,
            ));
            return self.keep_watch(watch, &[], change, now);
        }
        self.watches.put(watch);
        Ok(())
    }

    /// There is something to look at. Written down, unless that is so already and no look has begun since.
    fn raise(&mut self, mut watch: Watch, now: Millis) -> Result<(), Problem> {
        let looked_for = |purpose: &Purpose| {
            matches!(purpose, Purpose::Watch(flight)
                if flight.number == watch.number && flight.looks() && flight.pushes() >= watch.pushes)
        };
        let paging = watch
            .cursor
            .as_ref()
            .is_some_and(|cursor| cursor.page.is_some() && cursor.pushes >= watch.pushes);
        if watch.is_pushed() && !paging && !self.flies(looked_for) {
            self.watches.put(watch);
            return Ok(());
        }
        watch.pushes += 1;
        let change = self.change()?;
        self.keep_watch(watch, &[], change, now)
    }
}
