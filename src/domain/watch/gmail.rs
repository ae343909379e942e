//! Gmail: `users.watch`, `users.stop`, `users.history.list` (Gmail API reference; "Push notifications in Gmail",
//! "Synchronizing clients with Gmail").

use serde_json::{Value, json};

use super::answer::CAP;
use super::{Change, Cursor};
use crate::oauth::Request;
use crate::time::Millis;

/// Changes of a page.
const PAGE: usize = 100;

/// Who asks, and where.
#[derive(Debug, Clone)]
pub struct Api {
    /// `https://gmail.googleapis.com`
    pub base: String,
    /// The header in which the token stands.
    pub token: (String, String),
}

/// A page of a mailbox's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What changed, oldest first.
    pub changes: Vec<Change>,
    /// The next page; none: this is the last.
    pub next: Option<String>,
    /// Where the history is now.
    pub history: String,
}

impl Api {
    /// Whose mailbox it is, and where its history is now.
    #[must_use]
    pub fn profile(&self) -> Request {
        self.request("GET", "profile", None)
    }

    /// Begins to notify, or goes on.
    #[must_use]
    pub fn watch(&self, topic: &str, labels: &[String]) -> Request {
        let mut body = json!({ "topicName": topic });
        if !labels.is_empty() {
            body["labelIds"] = labels.into();
            body["labelFilterBehavior"] = "include".into();
        }
        self.request("POST", "watch", Some(&body))
    }

    /// Ends to notify.
    #[must_use]
    pub fn stop(&self) -> Request {
        self.request("POST", "stop", Some(&json!({})))
    }

    /// What is behind a history id. The API takes one label; more are looked for in the answer.
    #[must_use]
    pub fn history(&self, cursor: &Cursor, labels: &[String]) -> Request {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("startHistoryId", cursor.at.as_deref().unwrap_or_default());
        query.append_pair("maxResults", &PAGE.to_string());
        if let [label] = labels {
            query.append_pair("labelId", label);
        }
        if let Some(page) = &cursor.page {
            query.append_pair("pageToken", page);
        }
        self.request("GET", &format!("history?{}", query.finish()), None)
    }

    fn request(&self, method: &'static str, path: &str, body: Option<&Value>) -> Request {
        super::answer::request(
            method,
            format!("{}/gmail/v1/users/me/{path}", self.base.trim_end_matches('/')),
            &self.token,
            body,
        )
    }
}

/// The mailbox's address and its history id.
#[must_use]
pub fn read_profile(answer: &Value) -> Option<(String, String)> {
    let mailbox = answer.get("emailAddress")?.as_str()?;
    let mailbox = Some(mailbox).filter(|mailbox| (1..=256).contains(&mailbox.len()))?;
    Some((mailbox.to_ascii_lowercase(), history_id(answer)?))
}

/// Until when it notifies.
#[must_use]
pub fn read_watch(answer: &Value) -> Option<Millis> {
    millis(answer.get("expiration")?)
}

/// A page of history; none: it is not what the API says.
#[must_use]
pub fn read_history(answer: &Value, labels: &[String]) -> Option<Page> {
    let history = history_id(answer)?;
    let mut changes = Vec::new();
    let records = match answer.get("history") {
        None => &[][..],
        Some(records) => records.as_array()?.as_slice(),
    };
    for record in records {
        let id = number(record.get("id")?)?;
        for (member, event_type) in MEMBERS {
            let of_member = record.get(member).and_then(Value::as_array);
            for entry in of_member.into_iter().flatten() {
                changes.extend(change(&id, event_type, entry, labels));
            }
        }
    }
    Some(Page {
        changes,
        next: token(answer, "nextPageToken"),
        history,
    })
}

/// In the order in which they can happen to one message.
const MEMBERS: [(&str, &str); 4] = [
    ("messagesAdded", "gmail.message_added"),
    ("labelsAdded", "gmail.labels_added"),
    ("labelsRemoved", "gmail.labels_removed"),
    ("messagesDeleted", "gmail.message_deleted"),
];

fn change(history: &str, event_type: &'static str, entry: &Value, wanted: &[String]) -> Option<Change> {
    let message = entry.get("message")?;
    let id = message.get("id")?.as_str()?;
    let of_message = texts(message.get("labelIds"));
    let changed = texts(entry.get("labelIds"));
    let counts = |labels: &[String]| labels.iter().any(|label| wanted.contains(label));
    // What is gone has no labels any more: nobody can say that it did not count.
    let known = !of_message.is_empty() || !changed.is_empty();
    if !wanted.is_empty() && known && !counts(&of_message) && !counts(&changed) {
        return None;
    }
    let mut data = json!({
        "historyId": history,
        "messageId": id,
        "threadId": message.get("threadId").and_then(Value::as_str),
        "labelIds": of_message,
    });
    let mut key = format!("{history}-{id}-{}", event_type.trim_start_matches("gmail."));
    if event_type.starts_with("gmail.labels_") {
        key = format!("{key}-{}", changed.join("+"));
        data["changedLabelIds"] = changed.into();
    }
    Some(Change {
        event_type,
        key,
        data,
    })
}

/// What a notification says: mailbox and history id, from a Pub/Sub push's body.
#[must_use]
pub fn read_push(body: &[u8]) -> Option<(String, u64)> {
    use base64::Engine as _;
    if body.len() > CAP {
        return None;
    }
    let push: Value = serde_json::from_slice(body).ok()?;
    let data = push.pointer("/message/data")?.as_str()?;
    let data = base64::prelude::BASE64_STANDARD.decode(data).ok()?;
    let data: Value = serde_json::from_slice(&data).ok()?;
    let mailbox = data.get("emailAddress")?.as_str()?.to_ascii_lowercase();
    let history = number(data.get("historyId")?)?.parse().ok()?;
    Some((mailbox, history))
}

fn history_id(answer: &Value) -> Option<String> {
    number(answer.get("historyId")?)
}

/// An unsigned 64-bit number, which Google's JSON writes as a text.
fn number(value: &Value) -> Option<String> {
    let number = match value {
        Value::String(text) => text.parse::<u64>().ok()?,
        value => value.as_u64()?,
    };
    Some(number.to_string())
}

/// Milliseconds since 1970, which Google's JSON writes as a text.
pub(super) fn millis(value: &Value) -> Option<Millis> {
    let at = number(value)?.parse().ok()?;
    (at <= crate::id::MAX_48).then_some(Millis(at))
}

/// A token of the provider's, of a length that can be kept.
pub(super) fn token(answer: &Value, member: &str) -> Option<String> {
    let text = answer.get(member)?.as_str()?;
    (1..=4096).contains(&text.len()).then(|| text.to_owned())
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.take(100).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(page: &Page) -> Vec<&str> {
        page.changes.iter().map(|change| change.event_type).collect()
    }

    #[test]
    fn a_history_is_told_in_its_order() {
        let answer = json!({
            "history": [
                { "id": "11", "messagesAdded": [{ "message": { "id": "m1", "threadId": "t1", "labelIds": ["INBOX"] } }] },
                { "id": "12",
                  "labelsAdded": [{ "message": { "id": "m1", "threadId": "t1", "labelIds": ["INBOX", "STARRED"] }, "labelIds": ["STARRED"] }],
                  "labelsRemoved": [{ "message": { "id": "m1" }, "labelIds": ["UNREAD"] }] },
                { "id": "13", "messagesDeleted": [{ "message": { "id": "m1", "threadId": "t1" } }] },
            ],
            "nextPageToken": "p2",
            "historyId": "20",
        });
        let page = read_history(&answer, &[]).unwrap_or_else(|| panic!("a page"));
        assert_eq!(
            types(&page),
            [
                "gmail.message_added",
                "gmail.labels_added",
                "gmail.labels_removed",
                "gmail.message_deleted"
            ]
        );
        assert_eq!(page.changes[0].key, "11-m1-message_added");
        assert_eq!(page.changes[1].key, "12-m1-labels_added-STARRED");
        assert_eq!(page.changes[1].data["changedLabelIds"], json!(["STARRED"]));
        assert_eq!((page.next.as_deref(), page.history.as_str()), (Some("p2"), "20"));
    }

    #[test]
    fn a_mailbox_where_nothing_changed_has_no_history() {
        let page = read_history(&json!({ "historyId": "20" }), &[]);
        assert_eq!(page.map(|page| page.changes), Some(Vec::new()));
        assert_eq!(read_history(&json!({}), &[]), None);
        assert_eq!(
            read_history(&json!({ "historyId": "20", "history": 7 }), &[]),
            None
        );
    }

    #[test]
    fn of_labels_that_do_not_count_nothing_is_told_and_of_what_is_gone_everything() {
        let answer = json!({ "historyId": 20, "history": [{ "id": 11,
            "messagesAdded": [
                { "message": { "id": "m1", "labelIds": ["SPAM"] } },
                { "message": { "id": "m2", "labelIds": ["INBOX"] } },
            ],
            "messagesDeleted": [{ "message": { "id": "m3" } }],
        }] });
        let page = read_history(&answer, &["INBOX".to_owned(), "WORK".to_owned()]);
        let ids: Vec<_> = page
            .into_iter()
            .flat_map(|page| page.changes)
            .map(|change| change.data["messageId"].clone())
            .collect();
        assert_eq!(ids, ["m2", "m3"]);
    }

    #[test]
    fn a_notification_names_mailbox_and_history() {
        // {"emailAddress":"User@example.com","historyId":"9876543210"}
        let data = "eyJlbWFpbEFkZHJlc3MiOiJVc2VyQGV4YW1wbGUuY29tIiwiaGlzdG9yeUlkIjoiOTg3NjU0MzIxMCJ9";
        let body = json!({ "message": { "data": data, "messageId": "1" }, "subscription": "s" }).to_string();
        assert_eq!(
            read_push(body.as_bytes()),
            Some(("user@example.com".to_owned(), 9_876_543_210))
        );
        assert_eq!(read_push(b"{}"), None);
    }

    fn api() -> Api {
        Api {
            base: "https://gmail.googleapis.com/".to_owned(),
            token: ("Authorization".to_owned(), "Bearer t".to_owned()),
        }
    }

    #[test]
    fn each_call_goes_where_the_reference_says() {
        let api = api();
        let watch = api.watch("projects/p/topics/t", &["INBOX".to_owned()]);
        let body = |request: &Request| serde_json::from_slice::<Value>(&request.body).ok();
        let base = "https://gmail.googleapis.com/gmail/v1/users/me";
        assert_eq!((watch.method, watch.url), ("POST", format!("{base}/watch")));
        assert_eq!(
            body(&api.watch("projects/p/topics/t", &["INBOX".to_owned()])),
            Some(
                json!({ "topicName": "projects/p/topics/t", "labelIds": ["INBOX"], "labelFilterBehavior": "include" })
            )
        );
        assert_eq!(
            body(&api.watch("projects/p/topics/t", &[])),
            Some(json!({ "topicName": "projects/p/topics/t" }))
        );
        let (profile, stop) = (api.profile(), api.stop());
        assert_eq!((profile.method, profile.url), ("GET", format!("{base}/profile")));
        assert!(profile.body.is_empty());
        assert!(profile.headers.contains(&api.token));
        assert_eq!(
            (stop.method, stop.url.as_str()),
            ("POST", format!("{base}/stop").as_str())
        );
        assert_eq!(body(&stop), Some(json!({})));
        let cursor = Cursor {
            page: Some("p 2".to_owned()),
            ..Cursor::behind("7".to_owned())
        };
        assert_eq!(
            api.history(&cursor, &["INBOX".to_owned()]).url,
            format!("{base}/history?startHistoryId=7&maxResults=100&labelId=INBOX&pageToken=p+2")
        );
        assert_eq!(
            api.history(
                &Cursor::behind("7".to_owned()),
                &["INBOX".to_owned(), "WORK".to_owned()]
            )
            .url,
            format!("{base}/history?startHistoryId=7&maxResults=100"),
            "the API takes one label"
        );
    }

    #[test]
    fn a_profile_names_the_mailbox_in_small_letters_and_its_history() {
        let answer = |mailbox: &str| json!({ "emailAddress": mailbox, "historyId": "20" });
        let found = Some(("user@example.com".to_owned(), "20".to_owned()));
        assert_eq!(read_profile(&answer("User@example.com")), found);
        assert_eq!(read_profile(&answer("")), None);
        assert!(read_profile(&answer(&"a".repeat(256))).is_some());
        assert_eq!(read_profile(&answer(&"a".repeat(257))), None);
        assert_eq!(read_profile(&json!({ "emailAddress": "user@example.com" })), None);
    }

    #[test]
    fn a_watch_says_until_when_it_notifies() {
        let until = |expiration: Value| read_watch(&json!({ "historyId": "1", "expiration": expiration }));
        assert_eq!(until("1431990098200".into()), Some(Millis(1_431_990_098_200)));
        assert_eq!(
            until(1_431_990_098_200_u64.into()),
            Some(Millis(1_431_990_098_200))
        );
        assert_eq!(until(crate::id::MAX_48.into()), Some(Millis(crate::id::MAX_48)));
        assert_eq!(
            until((crate::id::MAX_48 + 1).into()),
            None,
            "a time that cannot be kept"
        );
        assert_eq!(until("soon".into()), None);
        assert_eq!(until((-1).into()), None);
        assert_eq!(read_watch(&json!({})), None);
    }

    #[test]
    fn a_change_counts_by_the_labels_that_it_had_or_got_and_without_a_wish_always() {
        let answer = json!({ "historyId": 20, "history": [{ "id": 11, "labelsRemoved": [
            { "message": { "id": "m1", "labelIds": ["SPAM"] }, "labelIds": ["INBOX"] },
            { "message": { "id": "m2", "labelIds": ["INBOX"] }, "labelIds": ["UNREAD"] },
            { "message": { "id": "m3" }, "labelIds": ["UNREAD"] },
            { "message": { "id": "m4", "labelIds": ["SPAM"] } },
            { "message": { "id": "m5" } },
        ] }] });
        let told = |labels: &[&str]| {
            let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
            let changes = read_history(&answer, &labels)
                .map(|page| page.changes)
                .unwrap_or_default();
            changes
                .iter()
                .map(|change| change.data["messageId"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&["INBOX"]), ["m1", "m2", "m5"]);
        assert_eq!(told(&[]), ["m1", "m2", "m3", "m4", "m5"]);
    }

    #[test]
    fn a_notification_larger_than_any_answer_is_not_read() {
        let data = "eyJlbWFpbEFkZHJlc3MiOiJ1QGV4YW1wbGUuY29tIiwiaGlzdG9yeUlkIjoiNyJ9";
        let body = json!({ "message": { "data": data } }).to_string();
        let padded = |to: usize| body.clone() + &" ".repeat(to - body.len());
        assert!(read_push(padded(CAP).as_bytes()).is_some());
        assert_eq!(read_push(padded(CAP + 1).as_bytes()), None);
    }
}
