//! `GET /api/v1/app/{app_id}/export`: everything that the tenant has, as lines of JSON.
//!
//! The answer is made while it is read: each page is one bounded call of the object, asked for when the reader has taken
//! the one before. It goes up to the newest message of its beginning. A cursor stands in every hundredth line or soon
//! behind it; `after` goes on behind that line. Only the line `end` says that all is there, with what was counted over
//! all the answers that it took.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use futures::stream;
use postern_domain::id::TenantId;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::PageOf;
use postern_domain::wire::moving::{ExportFrom, ExportPage, ExportedPage};
use postern_platform::deadline::pause;
use postern_platform::log;
use postern_platform::tenant::TenantObject;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::connection::shape::ConnectionOut;
use super::shape::ApplicationOut;
use crate::api::access::{Caller, TenantAccess};
use crate::api::ask::Ask;
use crate::api::oauth_app::shape::OAuthAppOut;
use crate::api::reply::Answer;
use crate::store::application::{self, Key, State};
use crate::store::connection;
use crate::store::oauth_app::{self, Owner};

const NDJSON: &str = "application/x-ndjson";

/// Lines from one cursor to the next.
const LINES_A_CURSOR: u32 = 100;

/// Pages of one answer at the most: each is a request to the object, and the platform counts those.
const PAGES: u32 = 800;

/// Bytes of one answer, about: an invocation's time on the processor is counted too.
const BYTES: usize = 256 << 20;

/// Waits before an object that has too much to do is asked again.
const WAITS_MS: [u64; 3] = [250, 1_000, 4_000];

/// 200; secrets are for the organisation alone.
pub(crate) async fn handle(caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let secrets = query.flag("secrets", false);
    let after = query.text("after");
    query.finish()?;
    if secrets {
        caller.again().organisation()?;
    }
    let access = caller.tenant(ask.param(0), ask.now).await?;
    let after = after.map(|text| Cursor::read(&text, access.tenant)).transpose()?;
    let begun = Export::begin(access, after, secrets, ask.base_url()?).await?;
    let chunks = stream::unfold(begun, |export| async move {
        let (chunk, export) = export.step().await?;
        Some((Ok(chunk), export))
    });
    Ok(Answer::stream(NDJSON, chunks.boxed_local()))
}

/// Where an export stands, as its reader may bring it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cursor {
    tenant: TenantId,
    from: ExportFrom,
    through: u64,
    counts: Counts,
}

/// Lines so far, by kind.
type Counts = BTreeMap<String, u64>;

impl Cursor {
    fn read(text: &str, tenant: TenantId) -> Result<Self, Problem> {
        let cursor = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = cursor.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        cursor.filter(|cursor| cursor.tenant == tenant).ok_or_else(|| {
            let detail = "The cursor is not one that an export of this application gave; begin without it";
            Problem::new(Code::InvalidIterator, detail)
        })
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// What the directory lists of the tenant, and from where.
enum Listed {
    Apps(Option<String>),
    Connections(Option<String>),
}

/// An export under way.
struct Export {
    object: TenantObject,
    tenant: TenantId,
    secrets: bool,
    through: u64,
    counts: Counts,
    /// A page that has come and was not written yet.
    ready: VecDeque<(ExportedPage, Vec<Vec<u8>>)>,
    /// Where the next page begins; none: there is none.
    next: Option<ExportFrom>,
    /// The lines that come before all others: the application's own, of its apps and connections.
    first: Vec<(&'static str, Value)>,
    /// Which of those come next; none: all are there.
    listed: Option<Listed>,
    access: TenantAccess,
    base_url: String,
    /// Where a reader may go on with certainty.
    behind: ExportFrom,
    lines_since: u32,
    pages: u32,
    bytes: usize,
    over: bool,
}

impl Export {
    /// With its first page, so that what refuses it is an answer and not a broken stream.
    async fn begin(
        access: TenantAccess,
        after: Option<Cursor>,
        secrets: bool,
        base_url: String,
    ) -> Result<Self, Problem> {
        let object = access.object();
        let from = after
            .as_ref()
            .map_or(ExportFrom::START, |cursor| cursor.from.clone());
        let call = ExportPage {
            from: from.clone(),
            through: after.as_ref().map(|cursor| cursor.through),
            secrets,
            entitlements: true,
        };
        let (page, lines) = object.call(call, &[]).await?;
        let first = if after.is_none() {
            let key = Key::Id(access.tenant);
            let row = application::find(&access.directory()?, access.organisation, &key).await?;
            let row = row
                .filter(|row| row.state == State::Active)
                .ok_or_else(Problem::not_found)?;
            let line = json!({ "kind": "application", "application": ApplicationOut::new(&row) });
            vec![("application", line)]
        } else {
            Vec::new()
        };
        Ok(Self {
            object,
            tenant: access.tenant,
            // No cursor stands before their end: who has one has them all.
            listed: after.is_none().then_some(Listed::Apps(None)),
            access,
            base_url,
            secrets,
            through: page.through,
            counts: after.map(|cursor| cursor.counts).unwrap_or_default(),
            next: None,
            ready: VecDeque::from([(page, lines)]),
            first,
            behind: from,
            lines_since: 0,
            pages: 1,
            bytes: 0,
            over: false,
        })
    }

    /// The next part of the answer; `None`: it is over.
    async fn step(mut self) -> Option<(Vec<u8>, Self)> {
        if self.over {
            return None;
        }
        let mut out = Vec::new();
        for (kind, line) in std::mem::take(&mut self.first) {
            self.count(kind);
            write(&mut out, &line);
        }
        if self.listed.is_some() {
            if let Err(problem) = self.read_listed().await {
                // Behind no cursor would what is missing now come: it is begun anew.
                self.break_off(&mut out, &problem, None);
            }
            return Some((out, self));
        }
        if let Some((page, lines)) = self.ready.pop_front() {
            self.next.clone_from(&page.next);
            self.write_page(&mut out, &page, lines);
        } else if let Some(from) = self.next.clone() {
            match self.ask(from).await {
                Ok((page, lines)) => {
                    self.next.clone_from(&page.next);
                    self.write_page(&mut out, &page, lines);
                }
                Err(problem) => {
                    let cursor = self.cursor();
                    self.break_off(&mut out, &problem, Some(&cursor));
                    return Some((out, self));
                }
            }
        }
        if self.next.is_none() {
            self.over = true;
            write(&mut out, &json!({ "kind": "end", "counts": self.counts }));
        } else if self.pages >= PAGES || self.bytes + out.len() >= BYTES {
            self.over = true;
            write(&mut out, &json!({ "kind": "more", "cursor": self.cursor() }));
        }
        self.bytes += out.len();
        Some((out, self))
    }

    /// The next page of apps or connections, never with a secret.
    async fn read_listed(&mut self) -> Result<(), Problem> {
        let directory = self.access.directory()?;
        let of = |iterator| PageOf {
            limit: 100,
            iterator,
            ascending: true,
        };
        let (organisation, tenant) = (self.access.organisation, self.access.tenant);
        self.listed = match self.listed.take() {
            None => None,
            Some(Listed::Apps(iterator)) => {
                let owner = Owner {
                    organisation,
                    application: Some(tenant),
                };
                let page = oauth_app::list(&directory, owner, of(iterator)).await?;
                for row in &page.data {
                    let app = OAuthAppOut::new(row, &self.base_url)?;
                    self.first
                        .push(("oauthApp", json!({ "kind": "oauthApp", "oauthApp": app })));
                }
                let next = if page.done { None } else { page.iterator };
                Some(next.map_or(Listed::Connections(None), |next| Listed::Apps(Some(next))))
            }
            Some(Listed::Connections(iterator)) => {
                let filter = connection::Filter::default();
                let page = connection::list(&directory, organisation, tenant, &filter, of(iterator)).await?;
                for row in &page.data {
                    if let Some(view) = row.view()? {
                        let connection = ConnectionOut::new(view);
                        let line = json!({ "kind": "connection", "connection": connection });
                        self.first.push(("connection", line));
                    }
                }
                let next = if page.done { None } else { page.iterator };
                next.map(|next| Listed::Connections(Some(next)))
            }
        };
        Ok(())
    }

    fn break_off(&mut self, out: &mut Vec<u8>, problem: &Problem, cursor: Option<&str>) {
        let fields = json!({ "tenant": self.tenant, "code": problem.code, "cause": problem.cause });
        log::error("export_broken", fields);
        self.over = true;
        let problem = json!({ "code": problem.code, "detail": problem.detail });
        write(
            out,
            &json!({ "kind": "broken", "problem": problem, "cursor": cursor }),
        );
    }

    async fn ask(&mut self, from: ExportFrom) -> Result<(ExportedPage, Vec<Vec<u8>>), Problem> {
        let mut waits = WAITS_MS.iter();
        loop {
            self.pages += 1;
            let call = ExportPage {
                from: from.clone(),
                through: Some(self.through),
                secrets: self.secrets,
                entitlements: true,
            };
            match (self.object.call(call, &[]).await, waits.next()) {
                (Err(problem), Some(wait)) if problem.code == Code::Overloaded => pause(*wait).await,
                (done, _) => return done,
            }
        }
    }

    fn write_page(&mut self, out: &mut Vec<u8>, page: &ExportedPage, lines: Vec<Vec<u8>>) {
        for (told, mut line) in page.lines.iter().zip(lines) {
            self.count(&told.kind);
            if let Some(behind) = &told.behind {
                self.behind = behind.clone();
                if self.lines_since >= LINES_A_CURSOR && line.pop().is_some() {
                    self.lines_since = 0;
                    line.extend_from_slice(format!(",\"cursor\":\"{}\"}}", self.cursor()).as_bytes());
                }
            }
            out.append(&mut line);
            out.push(b'\n');
        }
        // Behind a whole page its end is a place to go on from, also where nothing stood in it.
        if let Some(next) = &self.next {
            self.behind = next.clone();
        }
    }

    fn count(&mut self, kind: &str) {
        *self.counts.entry(kind.to_owned()).or_default() += 1;
        self.lines_since += 1;
    }

    fn cursor(&self) -> String {
        let cursor = Cursor {
            tenant: self.tenant,
            from: self.behind.clone(),
            through: self.through,
            counts: self.counts.clone(),
        };
        cursor.text()
    }
}

fn write(out: &mut Vec<u8>, line: &Value) {
    // A JSON text has no line break of its own.
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_for_its_own_tenant_alone() {
        let cursor = Cursor {
            tenant: TenantId([1; 20]),
            from: ExportFrom::Delivery {
                sequence: 7,
                endpoint: 3,
            },
            through: 9,
            counts: Counts::from([("message".to_owned(), 7)]),
        };
        let read = Cursor::read(&cursor.text(), TenantId([1; 20])).unwrap();
        assert_eq!(
            (read.from, read.through, read.counts),
            (cursor.from.clone(), 9, cursor.counts.clone())
        );
        for (text, tenant) in [
            (cursor.text(), TenantId([2; 20])),
            ("x".to_owned(), TenantId([1; 20])),
        ] {
            assert_eq!(
                Cursor::read(&text, tenant).unwrap_err().code,
                Code::InvalidIterator
            );
        }
    }
}
