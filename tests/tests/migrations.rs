//! The directory's migrations apply to an empty database, in order.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::path::PathBuf;

use rusqlite::Connection;

fn migrations() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "sql"))
        .collect();
    files.sort();
    files
}

#[test]
fn the_migrations_apply_one_after_another() {
    let connection = Connection::open_in_memory().unwrap();
    for (at, file) in migrations().iter().enumerate() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            name.starts_with(&format!("{:04}_", at + 1)),
            "{name}: numbers have no gap"
        );
        connection
            .execute_batch(&std::fs::read_to_string(file).unwrap())
            .unwrap();
    }
    let tables: i64 = connection
        .query_row(
            "SELECT count(*) FROM sqlite_master WHERE type = 'table'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(tables > 0);
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn a_uid_is_free_in_another_organisation_and_taken_in_its_own() {
    let connection = Connection::open_in_memory().unwrap();
    for file in migrations() {
        connection
            .execute_batch(&std::fs::read_to_string(file).unwrap())
            .unwrap();
    }
    let insert = |id: &str, organisation: &str, uid: Option<&str>| {
        let statement = "INSERT INTO application (id, organisation, uid, name, metadata, state, created_at, updated_at) \
                         VALUES (?, ?, ?, 'shop', '{}', 'active', 1, 1)";
        connection.execute(statement, (id, organisation, uid))
    };
    insert("app_1", "org_1", Some("shop")).unwrap();
    assert!(insert("app_2", "org_1", Some("shop")).is_err());
    insert("app_3", "org_2", Some("shop")).unwrap();
    insert("app_4", "org_1", None).unwrap();
    insert("app_5", "org_1", None).unwrap();
}

#[test]
fn a_kept_answer_is_found_by_what_it_made_and_any_other_does_no_harm() {
    let connection = Connection::open_in_memory().unwrap();
    for file in migrations() {
        connection
            .execute_batch(&std::fs::read_to_string(file).unwrap())
            .unwrap();
    }
    // As the release before writes them.
    let statement =
        "INSERT INTO idempotency (key, fingerprint, started_at, expires_at) VALUES (?, 'f', 1, 2)";
    let answers = [
        Some(r#"{"id": "app_1"}"#),
        Some("[1]"),
        Some(""),
        Some("no JSON"),
        None,
    ];
    for (at, answer) in answers.iter().enumerate() {
        let key = at.to_string();
        connection.execute(statement, [&key]).unwrap();
        let keep = "UPDATE idempotency SET status = 201, answer = ? WHERE key = ?";
        connection.execute(keep, (answer, &key)).unwrap();
    }
    let found = "SELECT key FROM idempotency WHERE made = 'app_1'";
    let key: String = connection.query_row(found, [], |row| row.get(0)).unwrap();
    assert_eq!(key, "0");
    let plan = format!("EXPLAIN QUERY PLAN {found}");
    let plan: String = connection.query_row(&plan, [], |row| row.get(3)).unwrap();
    assert!(plan.starts_with("SEARCH"), "{plan}");
}

#[test]
fn claims_are_found_by_key_and_only_those_of_applications_that_are_there() {
    let connection = Connection::open_in_memory().unwrap();
    for file in migrations() {
        connection
            .execute_batch(&std::fs::read_to_string(file).unwrap())
            .unwrap();
    }
    for (id, state) in [("app_1", "active"), ("app_2", "deleting")] {
        let statement = "INSERT INTO application (id, organisation, name, metadata, state, created_at, updated_at) \
                         VALUES (?, 'org_1', 'shop', '{}', ?, 1, 1)";
        connection.execute(statement, (id, state)).unwrap();
    }
    let claims = [
        ("org_1", "src_1", "a", "app_1"),
        ("org_1", "src_1", "a", "app_2"),
        ("org_1", "src_1", "c", "app_1"),
        ("org_1", "src_2", "a", "app_1"),
        ("org_2", "src_1", "a", "app_1"),
    ];
    for claim in claims {
        connection
            .execute("INSERT INTO route VALUES (?, ?, ?, ?, 'hand', 1)", claim)
            .unwrap();
    }
    // As the organisation's object asks it.
    let source = include_str!("../../durable/directory.rs");
    let text = source.split("const CLAIMS: &str = \"").nth(1).unwrap();
    let text = text.split("\";").next().unwrap().replace("\\\n", " ");
    let mut statement = connection.prepare(&text).unwrap();
    let rows = statement.query_map(("org_1", "src_1", "[\"a\",\"b\"]", 64), |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    });
    let found: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
    assert_eq!(found, [("a".to_owned(), "app_1".to_owned())]);
    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
    let steps = plan.query_map(("o", "s", "[]", 1), |row| row.get::<_, String>(3));
    for step in steps.unwrap().map(Result::unwrap) {
        let by_key = step.starts_with("SEARCH") || step.starts_with("SCAN wanted");
        assert!(by_key, "{step}");
    }
}

#[test]
fn what_is_sealed_with_a_master_key_is_counted_and_found_by_the_index() {
    let connection = Connection::open_in_memory().unwrap();
    for file in migrations() {
        connection
            .execute_batch(&std::fs::read_to_string(file).unwrap())
            .unwrap();
    }
    for (id, version) in [
        ("conn_1", Some(1)),
        ("conn_2", Some(3)),
        ("conn_3", Some(3)),
        ("conn_4", None),
    ] {
        connection
            .execute(
                "INSERT INTO connection (id, organisation, application, app, provider, state, version, created_at, \
                 updated_at, key_version) VALUES (?, 'org_1', 'app_1', 'oapp_1', 'oidc', 'active', 1, 1, 1, ?)",
                (id, version),
            )
            .unwrap();
    }
    let source = include_str!("../../src/store/master_key.rs");
    let texts: Vec<String> = source
        .split("format!(\n        \"")
        .skip(1)
        .map(|rest| rest.split("\"\n    );").next().unwrap())
        .map(|text| text.replace("\\\n", " ").replace("{table}", "connection"))
        .collect();
    assert_eq!(texts.len(), 3);
    let other = |active: u8| -> Option<u8> {
        let query = connection.query_row(&texts[0], [active], |row| row.get(0));
        query.unwrap()
    };
    assert_eq!((other(1), other(2), other(3)), (Some(3), Some(1), Some(1)));
    let mut statement = connection.prepare(&texts[1]).unwrap();
    let versions: Vec<u8> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(versions, [1, 3]);
    let count = |version: u8| -> i64 {
        let query = connection.query_row(&texts[2], (version, "org_1"), |row| row.get(0));
        query.unwrap()
    };
    assert_eq!((count(1), count(2), count(3)), (1, 0, 2));
    for text in &texts {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        let nothing = vec![rusqlite::types::Value::Null; plan.parameter_count()];
        let steps = plan.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3));
        for step in steps.unwrap().map(Result::unwrap) {
            let of_rows = step.contains("connection");
            assert!(
                !of_rows || step.contains("INDEX connection_key"),
                "{step}: {text}"
            );
        }
    }
}
