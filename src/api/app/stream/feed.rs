//! What a stream is fed with: the object says over a socket that something came, and the log is read from where the
//! stream stands. So a notification that is lost costs nothing, and no message comes twice.

use postern_domain::id::MessageId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::follow::{Follow, LogPage, Place, Wanted, Watch};
use postern_platform::clock;
use postern_platform::deadline::within;
use postern_platform::tenant::TenantObject;
use postern_platform::watch::News;

/// Messages of one step at the most: a slow client holds no more of them in memory.
const STEP: u16 = 50;

/// Something is said so often, so that neither side takes the other for dead.
const HEARTBEAT_MS: u64 = 15_000;

/// Where a stream comes from.
pub(super) struct Feed {
    object: TenantObject,
    wanted: Wanted,
    news: News,
    /// All up to this message was given.
    place: Place,
    position: u64,
    /// There was more behind the last step.
    more: bool,
    /// The first step, which says whether the place to begin at is one.
    first: Option<(LogPage, Vec<Vec<u8>>)>,
    end: Millis,
}

/// What comes next.
pub(super) enum Step {
    /// Messages, with their bodies; or a gap before them.
    Messages(LogPage, Vec<Vec<u8>>),
    /// Nothing, for a while.
    Heartbeat,
    /// The stream has been open long enough, or the object hung up: its client comes again.
    End,
}

impl Feed {
    /// Begins behind a message, or with what comes from now on.
    ///
    /// # Errors
    /// What the object says: a tenant that is not there, a message that is none of its own.
    pub(super) async fn open(
        object: TenantObject,
        wanted: Wanted,
        after: Option<MessageId>,
        most_ms: u64,
    ) -> Result<Self, Problem> {
        let watch = Watch {
            sink: None,
            wanted: wanted.clone(),
        };
        // The socket first: what comes while the beginning is read is told.
        let news = object.watch(watch).await?;
        let position = news.latest();
        let mut feed = Self {
            object,
            wanted,
            news,
            place: after.map_or(Place::Sequence(position), Place::Message),
            position,
            more: false,
            first: None,
            end: clock::now().plus(most_ms),
        };
        if after.is_some() {
            feed.first = Some(feed.read().await?);
        }
        Ok(feed)
    }

    /// Waits for what comes next.
    pub(super) async fn next(&mut self) -> Result<Step, Problem> {
        loop {
            let page = if let Some(first) = self.first.take() {
                Some(first)
            } else if self.more || self.news.latest() > self.position {
                Some(self.read().await?)
            } else {
                None
            };
            if let Some((page, bodies)) = page {
                if !page.messages.is_empty() || page.gap.is_some() {
                    return Ok(Step::Messages(page, bodies));
                }
                continue;
            }
            let left = self.end.since(clock::now());
            if left == 0 || self.news.has_ended() {
                return Ok(Step::End);
            }
            let news = self.news.behind(self.position);
            if within(left.min(HEARTBEAT_MS), news).await.is_none() && left > HEARTBEAT_MS {
                return Ok(Step::Heartbeat);
            }
        }
    }

    /// Reads on from where the stream stands.
    async fn read(&mut self) -> Result<(LogPage, Vec<Vec<u8>>), Problem> {
        let follow = Follow {
            from: self.place,
            wanted: self.wanted.clone(),
            limit: STEP,
        };
        let (page, bodies) = self.object.call(follow, &[]).await?;
        self.position = page.through;
        self.place = Place::Sequence(page.through);
        self.more = !page.done;
        Ok((page, bodies))
    }
}
