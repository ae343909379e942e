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
        assert!(by_key(&step), "{step}");
    }
}

/// A step of a plan that finds its rows by a key, or is the list of what is looked for.
fn by_key(step: &str) -> bool {
    let allowed = [
        "SEARCH",
        "SCAN wanted",
        "COMPOUND QUERY",
        "LEFT-MOST SUBQUERY",
        "UNION USING TEMP B-TREE",
        "MERGE (UNION)",
        "LEFT",
        "RIGHT",
        "CORRELATED SCALAR SUBQUERY",
        "SCALAR SUBQUERY",
        "LIST SUBQUERY",
        "SCAN json_each",
        "CREATE BLOOM FILTER",
        "USE TEMP B-TREE FOR count(DISTINCT)",
        "USE TEMP B-TREE FOR ORDER BY",
        "USING ROWID SEARCH",
    ];
    allowed.iter().any(|known| step.starts_with(known))
}

/// One of the statements that a connection's object writes its row with.
fn statement_of(name: &str) -> String {
    let source = include_str!("../../durable/connection_directory.rs");
    let text = source.split(&format!("const {name}: &str = \"")).nth(1).unwrap();
    text.split("\";").next().unwrap().replace("\\\n", " ")
}

/// Who is found to claim a key of a source, as the organisation's object asks.
fn claims_of(connection: &Connection, source: &str, key: &str) -> Vec<String> {
    let text = include_str!("../../durable/directory.rs");
    let text = text.split("const CLAIMS: &str = \"").nth(1).unwrap();
    let text = text.split("\";").next().unwrap().replace("\\\n", " ");
    let mut statement = connection.prepare(&text).unwrap();
    let keys = format!("[\"{key}\"]");
    let rows = statement.query_map(("org_1", source, keys, 64), |row| row.get::<_, String>(1));
    rows.unwrap().map(Result::unwrap).collect()
}

/// The rows that a connection's object tells: its own, and what it claims.
fn tell(connection: &Connection, id: &str, (app, application): (&str, &str), version: i64, keys: &str) {
    let values = (id, app, "p", "active", version, "{}", 1, None::<i64>, None::<i64>);
    connection.execute(&statement_of("WRITE"), values).unwrap();
    let mut withdraw = connection.prepare(&statement_of("WITHDRAW")).unwrap();
    let gone = withdraw.query_map((id, app, keys, version), |row| row.get::<_, String>(1));
    for row in gone.unwrap() {
        row.unwrap();
    }
    let mut claim = connection.prepare(&statement_of("CLAIM")).unwrap();
    let made = claim.query_map((id, app, keys, version, application, 1, 32), |row| {
        row.get::<_, String>(1)
    });
    for row in made.unwrap() {
        row.unwrap();
    }
}

fn with_connections() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for file in migrations() {
        connection
            .execute_batch(&std::fs::read_to_string(file).unwrap())
            .unwrap();
    }
    for id in ["app_1", "app_2"] {
        let statement = "INSERT INTO application (id, organisation, name, metadata, state, created_at, updated_at) \
                         VALUES (?, 'org_1', 'shop', '{}', 'active', 1, 1)";
        connection.execute(statement, [id]).unwrap();
    }
    for (id, owner) in [("oapp_1", None), ("oapp_own", Some("app_1"))] {
        let statement = "INSERT INTO oauth_app (id, organisation, application, name, provider, variables, scopes, \
                         all_scopes, return_urls, generation, enabled, created_at, updated_at) \
                         VALUES (?, 'org_1', ?, 'x', 'slack', '{}', '[]', 0, '[]', 1, 1, 1, 1)";
        connection.execute(statement, (id, owner)).unwrap();
        let statement = "INSERT INTO route_feed VALUES ('org_1', 'src_1', ?)";
        connection.execute(statement, [id]).unwrap();
    }
    for (id, application) in [("conn_1", "app_1"), ("conn_2", "app_1"), ("conn_3", "app_2")] {
        let statement = "INSERT INTO connection (id, organisation, application, app, provider, state, version, \
                         created_at, updated_at) VALUES (?, 'org_1', ?, 'oapp_1', 'slack', 'pending', 0, 1, 1)";
        connection.execute(statement, (id, application)).unwrap();
    }
    connection
}

#[test]
fn a_connections_claim_goes_with_it_unless_another_connection_or_a_hand_holds_it() {
    let connection = with_connections();
    let of = |key| claims_of(&connection, "src_1", key);
    let one = ("oapp_1", "app_1");
    tell(&connection, "conn_1", one, 1, "[\"T1\"]");
    tell(&connection, "conn_2", one, 1, "[\"T1\",\"T2\"]");
    tell(&connection, "conn_3", ("oapp_1", "app_2"), 1, "[\"T1\"]");
    assert_eq!(
        (of("T1"), of("T2")),
        (vec!["app_1".into(), "app_2".into()], vec!["app_1".into()])
    );
    assert_eq!(
        claims_of(&connection, "src_2", "T1"),
        Vec::<String>::new(),
        "a source that the app does not feed"
    );

    tell(&connection, "conn_1", one, 2, "[]");
    assert_eq!(of("T1"), ["app_1", "app_2"], "the other connection holds it");
    // The account changed; an older row comes late.
    tell(&connection, "conn_2", one, 3, "[\"T3\"]");
    tell(&connection, "conn_2", one, 2, "[\"T1\"]");
    assert_eq!(
        (of("T1"), of("T2"), of("T3")),
        (vec!["app_2".into()], vec![], vec!["app_1".into()])
    );

    connection
        .execute(
            "INSERT INTO route VALUES ('org_1', 'src_1', 'T3', 'app_1', 'hand', 1)",
            [],
        )
        .unwrap();
    assert_eq!(of("T3"), ["app_1"], "once, however often it is claimed");
    tell(&connection, "conn_2", one, 4, "[]");
    assert_eq!(of("T3"), ["app_1"], "a hand holds it");
}

#[test]
fn the_row_of_a_connection_that_is_gone_and_an_app_of_a_tenants_own_claim_nothing() {
    let connection = with_connections();
    connection
        .execute("DELETE FROM connection WHERE id = 'conn_1'", [])
        .unwrap();
    tell(&connection, "conn_1", ("oapp_1", "app_1"), 1, "[\"T1\"]");
    tell(&connection, "conn_2", ("oapp_own", "app_1"), 1, "[\"T1\"]");
    assert_eq!(claims_of(&connection, "src_1", "T1"), Vec::<String>::new());
    let left = connection.query_row("SELECT count(*) FROM connection_route", [], |row| {
        row.get::<_, i64>(0)
    });
    assert_eq!(left.unwrap(), 0);
}

#[test]
fn as_many_applications_claim_a_key_as_are_routed_to() {
    let connection = with_connections();
    for number in 0..40 {
        let values = (format!("conn_x{number:02}"), format!("app_x{number:02}"));
        let statement = "INSERT INTO connection (id, organisation, application, app, provider, state, version, \
                         created_at, updated_at) VALUES (?, 'org_1', ?, 'oapp_1', 'slack', 'pending', 0, 1, 1)";
        connection.execute(statement, (&values.0, &values.1)).unwrap();
        tell(&connection, &values.0, ("oapp_1", &values.1), 1, "[\"T1\"]");
    }
    let count = "SELECT count(DISTINCT application) FROM connection_route";
    let claimants = connection.query_row(count, [], |row| row.get::<_, i64>(0));
    assert_eq!(claimants.unwrap(), 32);
}

#[test]
fn what_a_connection_claims_is_written_and_found_by_keys() {
    let connection = with_connections();
    let plan = |text: &str, values: &[&dyn rusqlite::ToSql]| {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        let steps = plan.query_map(values, |row| row.get::<_, String>(3));
        for step in steps.unwrap().map(Result::unwrap) {
            assert!(by_key(&step), "{text}: {step}");
        }
    };
    plan(&statement_of("WITHDRAW"), &[&"c", &"a", &"[]", &1]);
    plan(&statement_of("CLAIM"), &[&"c", &"a", &"[]", &1, &"t", &1, &32]);
    plan(&statement_of("FED"), &[&"a"]);
    for table in ["connection", "application"] {
        plan(
            &format!("DELETE FROM connection_route WHERE {table} = ?1"),
            &[&"x"],
        );
    }
    plan("DELETE FROM route_feed WHERE app = ?1", &[&"x"]);
    plan("DELETE FROM connection_route WHERE app = ?1", &[&"x"]);
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

/// A statement of the directory's part of sealing tenants anew.
fn of_resealing(function: &str, name: &str) -> String {
    let source = include_str!("../../src/store/master_key.rs");
    let function = source
        .split(&format!("pub(crate) async fn {function}("))
        .nth(1)
        .unwrap();
    let text = function.split(&format!("let {name} = \"")).nth(1).unwrap();
    text.split("\";").next().unwrap().replace("\\\n", " ")
}

#[test]
fn tenants_are_asked_to_seal_anew_in_the_order_they_were_made_and_again_when_the_key_changes() {
    let connection = Connection::open_in_memory().unwrap();
    for file in migrations() {
        connection
            .execute_batch(&std::fs::read_to_string(file).unwrap())
            .unwrap();
    }
    // Ids are random: their order says nothing.
    for (id, organisation, at) in [
        ("app_9", "org_1", 10),
        ("app_3", "org_1", 20),
        ("app_5", "org_2", 20),
        ("app_1", "org_1", 30),
        ("app_2", "org_1", 99),
    ] {
        let statement = "INSERT INTO application (id, organisation, name, metadata, state, created_at, updated_at) \
                         VALUES (?, ?, 'shop', '{}', 'active', ?, 1)";
        connection.execute(statement, (id, organisation, at)).unwrap();
    }
    let round = || {
        let row = connection.query_row(&of_resealing("round", "sql"), [], |row| {
            Ok((
                row.get::<_, u8>(0)?,
                row.get::<_, i64>(1)?,
                (row.get::<_, i64>(2)?, row.get::<_, String>(3)?),
            ))
        });
        row.unwrap()
    };
    let begin = |active: u8, now: i64| {
        connection
            .execute(&of_resealing("begin", "sql"), (active, now))
            .unwrap()
    };
    let next = |until: i64, most: i64| -> Vec<String> {
        let (_, _, (at, id)) = round();
        let mut statement = connection.prepare(&of_resealing("next", "sql")).unwrap();
        let rows = statement.query_map((at, id, until, most), |row| row.get(0));
        rows.unwrap().map(Result::unwrap).collect()
    };
    let moved = |active: u8, since: i64, at: i64, id: &str| {
        connection
            .execute(&of_resealing("asked", "on"), (active, since, at, id))
            .unwrap()
    };
    let unasked = |organisation: &str| -> i64 {
        let (_, _, (at, id)) = round();
        let values = (organisation, at, id, 90);
        connection
            .query_row(&of_resealing("unasked", "sql"), values, |row| row.get(0))
            .unwrap()
    };
    begin(1, 5);
    assert_eq!(begin(1, 6), 0, "it is known already");
    assert_eq!(round(), (1, 5, (0, String::new())));
    assert_eq!((unasked("org_1"), unasked("org_2")), (3, 1));
    assert_eq!(next(90, 2), ["app_9", "app_3"]);
    assert_eq!(moved(1, 5, 20, "app_3"), 1);
    assert_eq!(moved(1, 5, 10, "app_9"), 0, "never back");
    assert_eq!((unasked("org_1"), unasked("org_2")), (1, 1));
    assert_eq!(
        next(90, 9),
        ["app_5", "app_1"],
        "one that is made later is not asked"
    );
    moved(1, 5, 30, "app_1");
    assert_eq!((unasked("org_1"), unasked("org_2")), (0, 0));
    begin(2, 40);
    assert_eq!(moved(1, 5, 99, "app_2"), 0, "the clock of a release before");
    assert_eq!(next(90, 9).len(), 4);
}

#[test]
fn a_tenant_that_holds_something_still_has_one_row_until_it_does_not() {
    let connection = Connection::open_in_memory().unwrap();
    for file in migrations() {
        connection
            .execute_batch(&std::fs::read_to_string(file).unwrap())
            .unwrap();
    }
    let held = |tenant: &str, version: u8| {
        connection
            .execute(&of_resealing("asked", "held"), (tenant, "org_1", version))
            .unwrap()
    };
    let holding = |version: u8| -> i64 {
        let values = (version, "org_1", "app_hidden", "app_other");
        connection
            .query_row(&of_resealing("holding", "sql"), values, |row| row.get(0))
            .unwrap()
    };
    assert_eq!(
        (held("app_1", 0), held("app_2", 1), held("app_hidden", 1)),
        (1, 1, 1)
    );
    assert_eq!(
        (holding(0), holding(1)),
        (1, 1),
        "the hidden one is asked for itself"
    );
    assert_eq!(
        (held("app_1", 1), held("app_1", 1)),
        (1, 0),
        "the same again is not written"
    );
    assert_eq!((holding(0), holding(1)), (0, 2));
    let holders: Vec<String> = connection
        .prepare(&of_resealing("holders", "sql"))
        .unwrap()
        .query_map(("app_1", 50), |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(holders, ["app_2", "app_hidden"]);
    let free = of_resealing("asked", "free");
    connection
        .execute(&free, ["[\"app_1\",\"app_2\",\"app_3\"]"])
        .unwrap();
    assert_eq!((holding(0), holding(1)), (0, 0));
}

#[test]
fn what_is_asked_of_sealing_anew_goes_by_keys() {
    let connection = Connection::open_in_memory().unwrap();
    for file in migrations() {
        connection
            .execute_batch(&std::fs::read_to_string(file).unwrap())
            .unwrap();
    }
    for (function, name) in [
        ("round", "sql"),
        ("next", "sql"),
        ("holders", "sql"),
        ("asked", "free"),
        ("asked", "on"),
        ("tenants", "sql"),
        ("unasked", "sql"),
        ("holding", "sql"),
    ] {
        let text = of_resealing(function, name);
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        let nothing = vec![rusqlite::types::Value::Null; plan.parameter_count()];
        let steps = plan.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3));
        for step in steps.unwrap().map(Result::unwrap) {
            let sorted = step.contains("TEMP B-TREE");
            assert!(by_key(&step) && !sorted, "{text}: {step}");
        }
    }
}
