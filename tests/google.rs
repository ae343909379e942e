//! Gmail and Calendar as a test holds them: a history, a calendar, channels, and answers that are lost where a test wants it.

use std::collections::{BTreeMap, VecDeque};

use postern_domain::oauth::{Ended, Request};
use postern_domain::outcome::Cause;
use postern_domain::time::Millis;
use serde_json::{Value, json};

use crate::peer::{Fate, lost, said};

/// A channel that stands.
#[derive(Debug, Clone)]
pub struct Opened {
    /// As we named it.
    pub id: String,
    /// Its token.
    pub token: String,
    /// As the provider named it.
    pub resource: String,
}

/// The provider's side.
#[derive(Debug, Default)]
pub struct Google {
    /// What the next requests come to; then all are answered.
    pub fates: VecDeque<Fate>,
    /// The topics that it was told to publish to, one a `users.watch`.
    pub watched: Vec<String>,
    /// `users.stop` was asked so often.
    pub stopped: u32,
    /// Channels that live, oldest first.
    pub channels: Vec<Opened>,
    /// How many lived at most at a time.
    pub most_channels: usize,
    /// A channel's life.
    pub channel_ms: u64,
    /// Requests, method and path with query.
    pub requests: Vec<String>,
    history: Vec<Value>,
    history_id: u64,
    /// Ids before this are forgotten.
    pub oldest_history: u64,
    events: BTreeMap<String, (u64, Value)>,
    sync: u64,
    /// Sync tokens before this are forgotten.
    pub oldest_sync: u64,
    /// Changes of a page.
    pub page: usize,
    /// Where addresses of channels lead.
    pub addresses: Vec<String>,
}

impl Google {
    /// With nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            history_id: 1000,
            sync: 1,
            page: 100,
            channel_ms: 7 * Millis::DAY,
            ..Self::default()
        }
    }

    /// A message arrives; answers where the history is then.
    pub fn mail(&mut self, id: &str) -> u64 {
        self.changed(
            "messagesAdded",
            &json!({ "message": { "id": id, "threadId": "t", "labelIds": ["INBOX"] } }),
        )
    }

    /// One is starred.
    pub fn star(&mut self, id: &str) -> u64 {
        let entry = json!({ "message": { "id": id, "threadId": "t", "labelIds": ["INBOX", "STARRED"] }, "labelIds": ["STARRED"] });
        self.changed("labelsAdded", &entry)
    }

    fn changed(&mut self, member: &str, entry: &Value) -> u64 {
        self.history_id += 3;
        self.history
            .push(json!({ "id": self.history_id.to_string(), member: [entry] }));
        self.history_id
    }

    /// Where the history is.
    #[must_use]
    pub const fn history_id(&self) -> u64 {
        self.history_id
    }

    /// An event of the calendar is made, changed or cancelled.
    pub fn event(&mut self, id: &str, status: &str, now: Millis) {
        self.sync += 1;
        let created = match self.events.get(id) {
            Some((_, known)) => known["created"].clone(),
            None => now.to_rfc3339().into(),
        };
        let event = json!({ "id": id, "status": status, "created": created, "updated": now.to_rfc3339(),
                            "etag": format!("\"{}\"", self.sync), "summary": id });
        self.events.insert(id.to_owned(), (self.sync, event));
    }

    /// Forgets all sync tokens and history ids that it gave.
    pub fn forget(&mut self) {
        self.oldest_history = self.history_id + 1;
        self.history_id += 100;
        self.oldest_sync = self.sync + 1;
        self.sync += 1;
    }

    /// Requests whose line holds this.
    #[must_use]
    pub fn count(&self, part: &str) -> usize {
        self.requests.iter().filter(|line| line.contains(part)).count()
    }

    /// Answers one, if it is for an API that stands here.
    pub fn answer(&mut self, request: &Request, now: Millis) -> Option<Ended> {
        let url = url::Url::parse(&request.url).ok()?;
        let api = ["gmail.googleapis.com", "www.googleapis.com"];
        if !api.contains(&url.host_str()?) {
            return None;
        }
        self.requests.push(format!("{} {}", request.method, request.url));
        let fate = self.fates.pop_front().unwrap_or(Fate::Answered);
        Some(match fate {
            Fate::Unreached => lost(Cause::NameNotFound),
            Fate::Refused(status, body) => said(status, &body),
            Fate::AnswerLost => {
                self.carry_out(request, &url, now);
                lost(Cause::Timeout)
            }
            Fate::Answered => {
                let (status, body) = self.carry_out(request, &url, now);
                said(status, &body)
            }
        })
    }

    fn carry_out(&mut self, request: &Request, url: &url::Url, now: Millis) -> (u16, Value) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
        let expiration = now.plus(self.channel_ms).0.to_string();
        match (request.method, url.path()) {
            ("GET", "/gmail/v1/users/me/profile") => {
                let history = self.history_id.to_string();
                (
                    200,
                    json!({ "emailAddress": "Ann@example.com", "historyId": history }),
                )
            }
            ("POST", "/gmail/v1/users/me/watch") => {
                self.watched
                    .push(body["topicName"].as_str().unwrap_or_default().to_owned());
                (
                    200,
                    json!({ "historyId": self.history_id.to_string(), "expiration": expiration }),
                )
            }
            ("POST", "/gmail/v1/users/me/stop") => {
                self.stopped += 1;
                (204, Value::Null)
            }
            ("GET", "/gmail/v1/users/me/history") => {
                let start = number("startHistoryId").unwrap_or_default();
                if start < self.oldest_history {
                    return (
                        404,
                        json!({ "error": { "code": 404, "message": "Requested entity was not found." } }),
                    );
                }
                let from = usize::try_from(number("pageToken").unwrap_or_default()).unwrap_or_default();
                let behind =
                    |record: &&Value| record["id"].as_str().and_then(|id| id.parse().ok()) > Some(start);
                let all: Vec<Value> = self.history.iter().filter(behind).cloned().collect();
                let history: Vec<Value> = all.iter().skip(from).take(self.page).cloned().collect();
                let mut answer = json!({ "history": history, "historyId": self.history_id.to_string() });
                if from + self.page < all.len() {
                    answer["nextPageToken"] = (from + self.page).to_string().into();
                }
                (200, answer)
            }
            ("POST", "/calendar/v3/calendars/primary/events/watch") => {
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                self.addresses.push(text("address"));
                self.channels.push(Opened {
                    id: text("id"),
                    token: text("token"),
                    resource: "res-1".to_owned(),
                });
                self.most_channels = self.most_channels.max(self.channels.len());
                (
                    200,
                    json!({ "id": text("id"), "resourceId": "res-1", "expiration": expiration }),
                )
            }
            ("POST", "/calendar/v3/channels/stop") => {
                let before = self.channels.len();
                self.channels.retain(|channel| body["id"] != channel.id.as_str());
                if self.channels.len() < before {
                    (204, Value::Null)
                } else {
                    (404, json!({}))
                }
            }
            ("GET", "/calendar/v3/calendars/primary/events") => {
                let since = number("syncToken");
                if since.is_some_and(|since| since < self.oldest_sync) {
                    return (
                        410,
                        json!({ "error": { "code": 410, "message": "Sync token is no longer valid" } }),
                    );
                }
                let live = |(at, event): &&(u64, Value)| {
                    since.map_or_else(|| event["status"] != "cancelled", |since| *at > since)
                };
                let mut all: Vec<&(u64, Value)> = self.events.values().filter(live).collect();
                all.sort_by_key(|(at, _)| *at);
                let from = usize::try_from(number("pageToken").unwrap_or_default()).unwrap_or_default();
                let items: Vec<Value> = all
                    .iter()
                    .skip(from)
                    .take(self.page)
                    .map(|(_, event)| event.clone())
                    .collect();
                let mut answer = json!({ "items": items });
                if from + self.page < all.len() {
                    answer["nextPageToken"] = (from + self.page).to_string().into();
                } else {
                    answer["nextSyncToken"] = self.sync.to_string().into();
                }
                (200, answer)
            }
            _ => (
                404,
                json!({ "error": { "code": 404, "message": "no such route" } }),
            ),
        }
    }
}
