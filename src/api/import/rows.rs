//! Endpoints out of a table: CSV with a first line that names its columns.

use std::collections::BTreeMap;

use postern_domain::address::Policy;
use postern_domain::csv::{self, Record};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use serde_json::{Map, Value, json};

use super::bounds::Bounds;
use super::shape::{PlannedOut, Run};
use super::take::{Brought, Destination, invalid_iterator};
use crate::api::access::OrganisationAccess;
use crate::api::app::shape::ApplicationIn;
use crate::api::form::Form;
use crate::store::application::{Application, Key};

/// Rows of one request at the most.
const MOST_ROWS: usize = 500;

/// Applications of one request at the most.
const MOST_APPLICATIONS: usize = 50;

/// Columns that are known.
const COLUMNS: [&str; 10] = [
    "application_uid",
    "url",
    "secret",
    "event_types",
    "channels",
    "description",
    "uid",
    "headers",
    "disabled",
    "header_names",
];

/// Takes the rows from the iterator on.
#[expect(clippy::too_many_arguments, reason = "what a request is made of")]
pub(super) async fn import(
    access: &OrganisationAccess,
    now: Millis,
    policy: &Policy,
    only: Option<Application>,
    text: &str,
    iterator: Option<String>,
    bounds: &Bounds,
    run: &mut Run,
) -> Result<(), Problem> {
    let rows = read(text, only.is_none())?;
    let from = match iterator {
        None => 0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|from| *from <= rows.len())
            .ok_or_else(invalid_iterator)?,
    };
    let (groups, end) = grouped(&rows, from, only.is_some());
    let mut next = (end < rows.len()).then_some(end);
    let mut only = only.map(Destination::of);
    for group in groups {
        if bounds.are_reached() {
            next = Some(next.map_or(group.first, |next| next.min(group.first)));
            continue;
        }
        let brought = |row: &&Row| Brought::read(format!("line {}", row.line), &row.body, Vec::new(), policy);
        if let Some(destination) = &mut only {
            let rows = group.rows.iter();
            let brought = rows.map(|row| of_this(brought(row), row, destination)).collect();
            destination.take(access, brought, bounds, run).await?;
            continue;
        }
        let Some(key) = Key::read(&group.application) else {
            let why = "application_uid must be 1 to 256 of A-Z a-z 0-9 - _ .".to_owned();
            run.say(PlannedOut::invalid_application(&group.application, why));
            continue;
        };
        let new = matches!(key, Key::Uid(_))
            .then(|| fresh(&group.application))
            .transpose()?;
        let found = Destination::find(access, key, new, now, bounds, run).await?;
        if let Some(mut destination) = found {
            let brought = group.rows.iter().map(brought).collect();
            destination.take(access, brought, bounds, run).await?;
        }
    }
    if let Some(next) = next {
        run.pause(next.to_string());
    }
    Ok(())
}

/// A row, in the form in which the API takes an endpoint.
struct Row {
    line: usize,
    application: String,
    body: Value,
}

/// Rows of one application.
struct Group<'a> {
    application: String,
    /// Where the first of them stands.
    first: usize,
    rows: Vec<&'a Row>,
}

fn read(text: &str, of_all: bool) -> Result<Vec<Row>, Problem> {
    let wrong = |msg: String| Problem::fault(&["body", "csv"], msg);
    let mut records = csv::read(text)
        .map_err(|error| wrong(error.to_string()))?
        .into_iter();
    let head = records.next().ok_or_else(|| wrong("is empty".to_owned()))?;
    let names: Vec<&str> = head.fields.iter().map(|name| name.trim()).collect();
    for (at, name) in names.iter().enumerate() {
        if !COLUMNS.contains(name) {
            return Err(wrong(format!(
                "line {}: no column is called so; columns are {}",
                head.line,
                COLUMNS.join(", ")
            )));
        }
        if names.iter().take(at).any(|before| before == name) {
            return Err(wrong(format!("line {}: {name} is named twice", head.line)));
        }
    }
    for needed in ["application_uid", "url", "secret"] {
        if !names.contains(&needed) && (of_all || needed != "application_uid") {
            return Err(wrong(format!(
                "line {}: the column {needed} is missing",
                head.line
            )));
        }
    }
    records.map(|record| row(&names, record).map_err(wrong)).collect()
}

/// # Errors
/// For a row that has another number of fields than there are columns: its cells may stand in each other's places.
fn row(names: &[&str], record: Record) -> Result<Row, String> {
    if record.fields.len() != names.len() {
        let (found, wanted) = (record.fields.len(), names.len());
        return Err(format!(
            "line {}: {found} fields where there are {wanted} columns",
            record.line
        ));
    }
    let mut body = Map::new();
    let mut application = String::new();
    for (name, cell) in names.iter().zip(record.fields) {
        let cell = cell.trim();
        if cell.is_empty() {
            continue;
        }
        match *name {
            "application_uid" => cell.clone_into(&mut application),
            "event_types" => put(&mut body, "eventTypes", words(cell)),
            "channels" => put(&mut body, "channels", words(cell)),
            "header_names" => put(&mut body, "headerNames", json!(cell)),
            "headers" => put(
                &mut body,
                "headers",
                serde_json::from_str(cell).unwrap_or_else(|_| json!(cell)),
            ),
            "disabled" => put(&mut body, "disabled", truth(cell)),
            other => put(&mut body, other, json!(cell)),
        }
    }
    Ok(Row {
        line: record.line,
        application,
        body: Value::Object(body),
    })
}

fn put(body: &mut Map<String, Value>, name: &str, value: Value) {
    body.insert(name.to_owned(), value);
}

/// Words with commas, semicolons or blanks between them.
fn words(cell: &str) -> Value {
    let words = cell
        .split([',', ';', ' ', '\n'])
        .map(str::trim)
        .filter(|word| !word.is_empty());
    json!(words.collect::<Vec<&str>>())
}

/// What is no truth stays what it is, and is refused with its place.
fn truth(cell: &str) -> Value {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => json!(true),
        "false" | "no" | "0" => json!(false),
        _ => json!(cell),
    }
}

/// The next rows by application, in the order in which the applications appear; and where the rest begins.
fn grouped(rows: &[Row], from: usize, of_one: bool) -> (Vec<Group<'_>>, usize) {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for (at, row) in rows.iter().enumerate().skip(from) {
        let name = if of_one { "" } else { row.application.as_str() };
        let place = places.get(name).copied();
        if at - from == MOST_ROWS || (place.is_none() && groups.len() == MOST_APPLICATIONS) {
            return (groups, at);
        }
        if let Some(group) = place.and_then(|place: usize| groups.get_mut(place)) {
            group.rows.push(row);
        } else {
            places.insert(name, groups.len());
            groups.push(Group {
                application: name.to_owned(),
                first: at,
                rows: vec![row],
            });
        }
    }
    (groups, rows.len())
}

/// A row that names another application than the path is not taken into this one.
fn of_this(mut brought: Brought, row: &Row, destination: &Destination) -> Brought {
    if !row.application.is_empty() && !destination.is_called(&row.application) {
        brought.endpoint = Err("application_uid is another application's".to_owned());
    }
    brought
}

/// An application that has nothing but its `uid` for a name.
fn fresh(uid: &str) -> Result<ApplicationIn, Problem> {
    let body = json!({ "name": uid, "uid": uid }).to_string();
    let mut form = Form::read(body.as_bytes())?;
    let new = ApplicationIn::read(&mut form);
    form.finish(new)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const HEAD: &str = "application_uid,url,secret,event_types,channels,description,uid,headers,disabled\r\n";

    #[test]
    fn a_row_becomes_what_the_api_takes() {
        let row = "acme,https://a.example/,whsec_x,\"a.b, c.*\",,\"says \"\"hi\"\"\",main,\"{\"\"x-key\"\": \"\"1\"\"}\",yes\r\n";
        let rows = read(&format!("{HEAD}{row}"), true).unwrap();
        let [row] = rows.as_slice() else {
            panic!("{}", rows.len())
        };
        assert_eq!((row.line, row.application.as_str()), (2, "acme"));
        let body = json!({
            "url": "https://a.example/", "secret": "whsec_x", "eventTypes": ["a.b", "c.*"], "description": "says \"hi\"",
            "uid": "main", "headers": { "x-key": "1" }, "disabled": true,
        });
        assert_eq!(row.body, body);
    }

    #[test]
    fn a_table_whose_cells_cannot_be_told_apart_is_refused_whole() {
        for text in [
            "",
            "url\nx",
            "url,secret,nonsense\n",
            "application_uid,url,secret,url\n",
            "url,secret\na",
        ] {
            let refused = read(text, true).err().unwrap();
            assert_eq!(refused.faults[0].loc, ["body", "csv"], "{text}");
        }
        assert!(read("url,secret\nx,y", false).is_ok());
        assert!(read(&format!("{HEAD}acme,x\n"), true).is_err());
    }

    #[test]
    fn rows_are_taken_by_application_and_what_is_too_much_waits() {
        let lines: Vec<String> = (0..60).map(|n| format!("app-{},u,s", n % 55)).collect();
        let rows = read(&format!("application_uid,url,secret\n{}", lines.join("\n")), true).unwrap();
        let (groups, end) = grouped(&rows, 0, false);
        assert_eq!((groups.len(), end), (50, 50));
        let (groups, end) = grouped(&rows, end, false);
        assert_eq!((groups.len(), end, groups[0].first), (10, 60, 50));
        let (groups, _) = grouped(&rows, 0, true);
        assert_eq!(groups[0].rows.len(), 60);
    }
}
