//! Google Calendar: `events.watch`, `channels.stop`, `events.list` with a sync token (Calendar API reference; "Push
//! notifications", "Synchronize resources efficiently").

use serde_json::{Map, Value, json};
use url::form_urlencoded::{Serializer, byte_serialize};

use super::gmail::{millis, token};
use super::{Change, Channel, Cursor};
use crate::oauth::Request;
use crate::time::Millis;

/// Events of a page.
const PAGE: usize = 100;

/// Events of a page of which nothing is read but the tokens.
const BASE_PAGE: usize = 2500;

/// What is said of an event. Descriptions and attendees stay at the provider.
const MEMBERS: [&str; 13] = [
    "id",
    "status",
    "etag",
    "created",
    "updated",
    "summary",
    "htmlLink",
    "iCalUID",
    "start",
    "end",
    "organizer",
    "recurringEventId",
    "originalStartTime",
];

/// Who asks, and where.
#[derive(Debug, Clone)]
pub struct Api {
    /// `https://www.googleapis.com`
    pub base: String,
    /// The header in which the token stands.
    pub token: (String, String),
    /// The calendar.
    pub calendar: String,
}

/// A page of a calendar's changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What changed.
    pub changes: Vec<Change>,
    /// The newest change of them, or of the calendar.
    pub newest: Option<Millis>,
    /// The next page; none: this is the last.
    pub next: Option<String>,
    /// The last page's: where the changes go on.
    pub sync: Option<String>,
}

impl Api {
    /// Opens a channel.
    #[must_use]
    pub fn open(&self, id: &str, secret: &str, address: &str) -> Request {
        let body = json!({ "id": id, "type": "web_hook", "address": address, "token": secret });
        self.request("POST", &format!("{}/watch", self.events()), Some(&body))
    }

    /// Stops a channel.
    #[must_use]
    pub fn stop(&self, channel: &Channel) -> Request {
        let body = json!({ "id": channel.id, "resourceId": channel.resource });
        self.request("POST", "channels/stop", Some(&body))
    }

    /// What is behind a sync token; without one all events, of which only the tokens are read if `bare`.
    #[must_use]
    pub fn changes(&self, cursor: &Cursor, bare: bool) -> Request {
        let mut query = Serializer::new(String::new());
        let (size, fields) = if bare {
            (BASE_PAGE, "nextPageToken,nextSyncToken,updated".to_owned())
        } else {
            let items = MEMBERS.join(",");
            (
                PAGE,
                format!("nextPageToken,nextSyncToken,updated,items({items})"),
            )
        };
        query.append_pair("maxResults", &size.to_string());
        query.append_pair("fields", &fields);
        if let Some(sync) = &cursor.at {
            query.append_pair("syncToken", sync);
        }
        if let Some(page) = &cursor.page {
            query.append_pair("pageToken", page);
        }
        self.request("GET", &format!("{}?{}", self.events(), query.finish()), None)
    }

    fn events(&self) -> String {
        let calendar: String = byte_serialize(self.calendar.as_bytes()).collect();
        // A form's plus is a blank; a path has none.
        format!("calendars/{}/events", calendar.replace('+', "%20"))
    }

    fn request(&self, method: &'static str, path: &str, body: Option<&Value>) -> Request {
        super::answer::request(
            method,
            format!("{}/calendar/v3/{path}", self.base.trim_end_matches('/')),
            &self.token,
            body,
        )
    }
}

/// The channel's resource, and when it ends if that is said.
#[must_use]
pub fn read_channel(answer: &Value) -> Option<(String, Option<Millis>)> {
    let resource = token(answer, "resourceId")?;
    Some((resource, answer.get("expiration").and_then(millis)))
}

/// A page of changes; none: it is not what the API says. Of a full sync only what changed after `told_until` is a change.
#[must_use]
pub fn read_changes(answer: &Value, full: bool, told_until: Option<Millis>) -> Option<Page> {
    let items = match answer.get("items") {
        None => &[][..],
        Some(items) => items.as_array()?.as_slice(),
    };
    let mut page = Page {
        changes: Vec::new(),
        newest: answer.get("updated").and_then(time),
        next: token(answer, "nextPageToken"),
        sync: token(answer, "nextSyncToken"),
    };
    if page.next.is_none() && page.sync.is_none() {
        return None;
    }
    for item in items {
        let updated = item.get("updated").and_then(time);
        page.newest = page.newest.max(updated);
        if full && updated <= told_until {
            continue;
        }
        page.changes.extend(change(item, told_until));
    }
    Some(page)
}

fn change(item: &Value, told_until: Option<Millis>) -> Option<Change> {
    let id = item.get("id")?.as_str()?;
    let event_type = if item.get("status").and_then(Value::as_str) == Some("cancelled") {
        "calendar.event_deleted"
    } else if item.get("created").and_then(time) > told_until {
        "calendar.event_created"
    } else {
        "calendar.event_updated"
    };
    let version = ["etag", "updated"]
        .into_iter()
        .find_map(|member| item.get(member)?.as_str());
    let event: Map<String, Value> = MEMBERS
        .iter()
        .filter_map(|member| Some(((*member).to_owned(), item.get(*member)?.clone())))
        .collect();
    Some(Change {
        event_type,
        key: format!("{id}-{}", version.unwrap_or_default().trim_matches('"')),
        data: json!({ "eventId": id, "event": event }),
    })
}

fn time(value: &Value) -> Option<Millis> {
    Millis::from_rfc3339(value.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, created: &str, updated: &str, status: &str) -> Value {
        json!({ "id": id, "etag": format!("\"{updated}\""), "created": created, "updated": updated, "status": status,
                "description": "not said" })
    }

    fn types(page: &Page) -> Vec<&str> {
        page.changes.iter().map(|change| change.event_type).collect()
    }

    #[test]
    fn events_are_made_changed_and_deleted() {
        let answer = json!({ "nextSyncToken": "s2", "items": [
            item("new", "2026-01-02T00:00:00.000Z", "2026-01-02T00:00:00.000Z", "confirmed"),
            item("old", "2025-01-02T00:00:00.000Z", "2026-01-03T00:00:00.000Z", "tentative"),
            item("gone", "2025-01-02T00:00:00.000Z", "2026-01-04T00:00:00.000Z", "cancelled"),
        ] });
        let until = Millis::from_rfc3339("2026-01-01T00:00:00Z");
        let page = read_changes(&answer, false, until).unwrap_or_else(|| panic!("a page"));
        assert_eq!(
            types(&page),
            [
                "calendar.event_created",
                "calendar.event_updated",
                "calendar.event_deleted"
            ]
        );
        assert_eq!(page.newest, Millis::from_rfc3339("2026-01-04T00:00:00Z"));
        assert_eq!(page.changes[0].key, "new-2026-01-02T00:00:00.000Z");
        assert_eq!(page.changes[0].data["event"].get("description"), None);
    }

    #[test]
    fn a_full_sync_tells_what_changed_since_and_nothing_else() {
        let answer = json!({ "nextPageToken": "p", "items": [
            item("old", "2025-01-02T00:00:00Z", "2025-06-01T00:00:00Z", "confirmed"),
            item("changed", "2025-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "confirmed"),
        ] });
        let page = read_changes(&answer, true, Millis::from_rfc3339("2026-01-01T00:00:00Z"));
        assert_eq!(page.as_ref().map(types), Some(vec!["calendar.event_updated"]));
    }

    #[test]
    fn an_answer_that_goes_on_nowhere_is_none() {
        assert_eq!(read_changes(&json!({ "items": [] }), false, None), None);
    }

    #[test]
    fn a_calendars_id_stands_in_its_path_as_one_part() {
        let api = Api {
            base: "https://www.googleapis.com".to_owned(),
            token: ("Authorization".to_owned(), "Bearer t".to_owned()),
            calendar: "a/b#holiday@group.v.calendar.google.com".to_owned(),
        };
        let cursor = Cursor::behind("s 1".to_owned());
        let url = api.changes(&cursor, false).url;
        assert!(
            url.starts_with(
                "https://www.googleapis.com/calendar/v3/calendars/a%2Fb%23holiday%40group.v.calendar.google.com/events?"
            ),
            "{url}"
        );
        assert!(url.contains("syncToken=s+1"), "{url}");
    }
}
