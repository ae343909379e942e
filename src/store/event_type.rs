//! Event types: an organisation's catalogue.

use std::collections::HashMap;

use postern_domain::id::OrganisationId;
use postern_domain::problem::{Code, Problem};
use postern_domain::schedule::Schedule;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;

use super::page::Reading;
use super::{Directory, flag, number, text};

const COLUMNS: &str = "name, description, archived, deprecated, schemas, feature_flag, feature_flags, group_name, \
                       retry_schedule, created_at, updated_at";

/// Bytes of one value in a statement; the database takes 2 MB.
const MOST_BYTES: usize = 1_000_000;

/// Event types of one organisation that are read at once, where all are needed.
const MOST: usize = 5000;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventType {
    pub(crate) name: String,
    pub(crate) description: String,
    /// 0 or 1.
    pub(crate) archived: u8,
    /// 0 or 1.
    pub(crate) deprecated: u8,
    /// JSON, by version.
    pub(crate) schemas: Option<String>,
    /// The first of its flags.
    pub(crate) feature_flag: Option<String>,
    /// JSON, all of them.
    pub(crate) feature_flags: Option<String>,
    pub(crate) group_name: Option<String>,
    /// JSON, in seconds.
    pub(crate) retry_schedule: Option<String>,
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
}

impl EventType {
    /// Its flags. A release that knows one only writes one only: that one counts then.
    pub(crate) fn flags(&self) -> Vec<String> {
        let all: Vec<String> = self
            .feature_flags
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        if all.first() == self.feature_flag.as_ref() {
            all
        } else {
            self.feature_flag.iter().cloned().collect()
        }
    }

    /// Sets them.
    pub(crate) fn set_flags(&mut self, flags: &[String]) -> Result<(), Problem> {
        self.feature_flag = flags.first().cloned();
        let text = serde_json::to_string(flags).map_err(Problem::internal)?;
        self.feature_flags = (!flags.is_empty()).then_some(text);
        Ok(())
    }

    /// Its own waits between tries.
    pub(crate) fn schedule(&self) -> Option<Schedule> {
        let text = self.retry_schedule.as_deref()?;
        serde_json::from_str(text).ok()
    }

    /// Sets them.
    pub(crate) fn set_schedule(&mut self, schedule: Option<&Schedule>) -> Result<(), Problem> {
        let text = schedule.map(serde_json::to_string).transpose();
        self.retry_schedule = text.map_err(Problem::internal)?;
        Ok(())
    }

    /// Whether somebody with these flags sees it: it has none, or one of them.
    pub(crate) fn is_visible(&self, flags: Option<&[String]>) -> bool {
        let own = self.flags();
        own.is_empty() || flags.is_none_or(|flags| own.iter().any(|flag| flags.contains(flag)))
    }
}

/// The one of this name, archived or not.
pub(crate) async fn find(
    directory: &Directory,
    organisation: OrganisationId,
    name: &str,
) -> Result<Option<EventType>, Problem> {
    let sql = format!("SELECT {COLUMNS} FROM event_type WHERE organisation = ?1 AND name = ?2");
    directory
        .row(&sql, &[text(Some(organisation.to_string())), text(Some(name))])
        .await
}

/// Makes one, or brings an archived one back. False: an unarchived one has the name.
pub(crate) async fn insert(
    directory: &Directory,
    organisation: OrganisationId,
    row: &EventType,
) -> Result<bool, Problem> {
    let sql = "INSERT INTO event_type (organisation, name, description, archived, deprecated, schemas, feature_flag, \
               feature_flags, group_name, retry_schedule, created_at, updated_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
               ON CONFLICT (organisation, name) DO UPDATE SET description = ?3, archived = ?4, deprecated = ?5, \
               schemas = ?6, feature_flag = ?7, feature_flags = ?8, group_name = ?9, \
               retry_schedule = coalesce(?10, retry_schedule), updated_at = ?12 WHERE archived = 1";
    Ok(directory.change(sql, &values(organisation, row)).await? > 0)
}

/// Replaces one. False: it is gone.
pub(crate) async fn update(
    directory: &Directory,
    organisation: OrganisationId,
    row: &EventType,
) -> Result<bool, Problem> {
    let sql = "UPDATE event_type SET description = ?3, archived = ?4, deprecated = ?5, schemas = ?6, \
               feature_flag = ?7, feature_flags = ?8, group_name = ?9, retry_schedule = ?10, created_at = ?11, \
               updated_at = ?12 WHERE organisation = ?1 AND name = ?2";
    Ok(directory.change(sql, &values(organisation, row)).await? > 0)
}

/// Makes or replaces all of these, or none.
pub(crate) async fn replace_all(
    directory: &Directory,
    organisation: OrganisationId,
    rows: &[EventType],
) -> Result<(), Problem> {
    const COLUMNS: &str = "SELECT ?1, value->>'name', value->>'description', value->>'archived', value->>'deprecated', \
                           value->>'schemas', value->>'feature_flag', value->>'feature_flags', value->>'group_name', \
                           value->>'retry_schedule', value->>'created_at', value->>'updated_at' FROM json_each(?2) WHERE true";
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO event_type (organisation, name, description, archived, deprecated, schemas, feature_flag, \
         feature_flags, group_name, retry_schedule, created_at, updated_at) {COLUMNS} \
         ON CONFLICT (organisation, name) DO UPDATE SET description = excluded.description, \
         archived = excluded.archived, deprecated = excluded.deprecated, schemas = excluded.schemas, \
         feature_flag = excluded.feature_flag, feature_flags = excluded.feature_flags, \
         group_name = excluded.group_name, retry_schedule = excluded.retry_schedule, updated_at = excluded.updated_at"
    );
    let organisation = text(Some(organisation.to_string()));
    let mut statements = Vec::new();
    for part in parts(rows)? {
        statements.push((sql.as_str(), vec![organisation.clone(), text(Some(part))]));
    }
    directory.all(&statements).await
}

/// All of them, archived ones too, by name.
///
/// # Errors
/// 413 when there are more than can be worked on at once.
pub(crate) async fn all(
    directory: &Directory,
    organisation: OrganisationId,
) -> Result<Vec<EventType>, Problem> {
    let sql = format!("SELECT {COLUMNS} FROM event_type WHERE organisation = ?1 ORDER BY name LIMIT ?2");
    let most = number(MOST as u64 + 1);
    let rows: Vec<EventType> = directory
        .rows(&sql, &[text(Some(organisation.to_string())), most])
        .await?;
    if rows.len() > MOST {
        let detail = format!("There are more than {MOST} event types; read them page by page");
        return Err(Problem::new(Code::PayloadTooLarge, detail));
    }
    Ok(rows)
}

/// Those that have waits between tries of their own.
pub(crate) async fn schedules(
    directory: &Directory,
    organisation: OrganisationId,
) -> Result<HashMap<String, Schedule>, Problem> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        retry_schedule: String,
    }
    let sql = "SELECT name, retry_schedule FROM event_type INDEXED BY event_type_scheduled \
               WHERE organisation = ?1 AND retry_schedule IS NOT NULL";
    let rows: Vec<Row> = directory
        .rows(sql, &[text(Some(organisation.to_string()))])
        .await?;
    rows.into_iter()
        .map(|row| {
            let schedule = serde_json::from_str(&row.retry_schedule).map_err(Problem::internal)?;
            Ok((row.name, schedule))
        })
        .collect()
}

/// Takes one out for good. False: there was none.
pub(crate) async fn expunge(
    directory: &Directory,
    organisation: OrganisationId,
    name: &str,
) -> Result<bool, Problem> {
    let sql = "DELETE FROM event_type WHERE organisation = ?1 AND name = ?2";
    Ok(directory
        .change(sql, &[text(Some(organisation.to_string())), text(Some(name))])
        .await?
        > 0)
}

/// By name. With `flags`, only what somebody with these flags sees.
pub(crate) async fn list(
    directory: &Directory,
    organisation: OrganisationId,
    page: PageOf,
    archived_too: bool,
    flags: Option<&[String]>,
) -> Result<Page<EventType>, Problem> {
    let reading = Reading::<String>::new("event_type", page)?;
    let (past, order) = reading.direction();
    let behind = if reading.behind.is_some() {
        format!("AND name {past} ?4")
    } else {
        "AND ?4 IS NULL".to_owned()
    };
    // A flag that stands alone was written by a release that knows one only.
    let visible = "(?5 IS NULL OR feature_flag IS NULL OR EXISTS (SELECT 1 FROM json_each( \
                   CASE WHEN json_extract(feature_flags, '$[0]') IS feature_flag THEN feature_flags \
                   ELSE json_array(feature_flag) END) AS own WHERE own.value IN (SELECT value FROM json_each(?5))))";
    let sql = format!(
        "SELECT {COLUMNS} FROM event_type WHERE organisation = ?1 AND archived <= ?2 {behind} AND {visible} \
         ORDER BY name {order} LIMIT ?3"
    );
    let flags = flags.map(serde_json::to_string).transpose();
    let values = [
        text(Some(organisation.to_string())),
        flag(archived_too),
        number(reading.rows),
        text(reading.behind.as_ref()),
        text(flags.map_err(Problem::internal)?),
    ];
    let rows = directory.rows(&sql, &values).await?;
    Ok(reading.page(rows, |row: &EventType| row.name.clone()))
}

/// Rows as lists in JSON, none larger than a value that a statement may carry.
fn parts(rows: &[EventType]) -> Result<Vec<String>, Problem> {
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut size = usize::MAX;
    for row in rows {
        let row_text = serde_json::to_string(row).map_err(Problem::internal)?;
        if row_text.len() > MOST_BYTES {
            let detail = format!("The event type {} is larger than {MOST_BYTES} bytes", row.name);
            return Err(Problem::new(Code::PayloadTooLarge, detail));
        }
        if size.saturating_add(row_text.len()) > MOST_BYTES {
            parts.push(Vec::new());
            size = 0;
        }
        size += row_text.len() + 1;
        if let Some(part) = parts.last_mut() {
            part.push(row_text);
        }
    }
    Ok(parts
        .into_iter()
        .map(|rows| format!("[{}]", rows.join(",")))
        .collect())
}

fn values(organisation: OrganisationId, row: &EventType) -> [JsValue; 12] {
    [
        text(Some(organisation.to_string())),
        text(Some(&row.name)),
        text(Some(&row.description)),
        number(row.archived.into()),
        number(row.deprecated.into()),
        text(row.schemas.as_ref()),
        text(row.feature_flag.as_ref()),
        text(row.feature_flags.as_ref()),
        text(row.group_name.as_ref()),
        text(row.retry_schedule.as_ref()),
        number(row.created_at.0),
        number(row.updated_at.0),
    ]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn event_type() -> EventType {
        EventType {
            name: "a.b".to_owned(),
            description: String::new(),
            archived: 0,
            deprecated: 0,
            schemas: None,
            feature_flag: None,
            feature_flags: None,
            group_name: None,
            retry_schedule: None,
            created_at: Millis(1),
            updated_at: Millis(1),
        }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn flags_read_back_as_they_were_set_and_the_first_is_what_the_release_before_knows() {
        let mut row = event_type();
        row.set_flags(&words(&["beta", "eu"])).unwrap();
        assert_eq!(
            (row.feature_flag.as_deref(), row.flags()),
            (Some("beta"), words(&["beta", "eu"]))
        );
        row.feature_flag = Some("other".to_owned());
        assert_eq!(row.flags(), words(&["other"]), "the release before changed it");
        row.feature_flag = None;
        assert_eq!(row.flags(), words(&[]));
    }

    #[test]
    fn many_rows_are_cut_into_parts_that_a_statement_takes_and_a_row_that_is_too_large_is_refused() {
        let row = EventType {
            schemas: Some("x".repeat(400_000)),
            ..event_type()
        };
        let rows = vec![row; 5];
        let parts = parts(&rows).unwrap();
        let lengths: Vec<usize> = parts
            .iter()
            .map(|part| serde_json::from_str::<Vec<EventType>>(part).unwrap().len())
            .collect();
        assert_eq!(lengths, [2, 2, 1]);
        let large = EventType {
            schemas: Some("x".repeat(MOST_BYTES)),
            ..event_type()
        };
        assert_eq!(super::parts(&[large]).unwrap_err().code, Code::PayloadTooLarge);
    }

    #[test]
    fn one_with_flags_is_seen_with_one_of_them_and_by_who_sees_all() {
        let mut row = event_type();
        assert!(row.is_visible(Some(&[])));
        row.set_flags(&words(&["beta", "eu"])).unwrap();
        assert!(row.is_visible(None));
        assert!(row.is_visible(Some(&words(&["x", "eu"]))));
        assert!(!row.is_visible(Some(&words(&["x"]))));
        assert!(!row.is_visible(Some(&[])));
    }
}
