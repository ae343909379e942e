//! The object's schema: every earlier version is upgraded, and no list reads a whole table.
#![expect(clippy::unwrap_used, reason = "tests")]

use postern_domain::wire::call::*;
use postern_ledger::native::NativeSql;
use postern_ledger::sql::Sql;
use postern_ledger::{SCHEMA_VERSION, STEPS, Settings};
use postern_tests::*;

#[test]
fn an_object_of_every_earlier_schema_is_upgraded_when_it_wakes() {
    for version in 1..=SCHEMA_VERSION {
        let mut bench = Bench::new(Settings::default(), 1);
        bench.endpoint();
        bench.publish("a", None).unwrap();
        bench.deliver_all(200);
        // Steps are additive, so an object of an earlier version is one whose number is smaller: what a later step adds
        // is taken out again here, once there is one.
        assert_eq!(
            STEPS.len(),
            1,
            "a second step: undo it here for the versions before"
        );
        bench
            .sql()
            .run(
                "UPDATE meta SET value = ? WHERE name = 'schema'",
                &[version.into()],
            )
            .unwrap();
        bench.evict();
        let seen = bench.ask(Inspect {}).unwrap();
        assert_eq!(
            (
                seen["messages"].as_u64(),
                seen["deliveries"]["delivered"].as_u64()
            ),
            (Some(1), Some(1))
        );
        let stored = bench
            .sql()
            .row("SELECT value FROM meta WHERE name = 'schema'", &[])
            .unwrap()
            .unwrap();
        assert_eq!(stored.number(0).unwrap(), u64::from(SCHEMA_VERSION));
    }
}

#[test]
fn no_statement_of_the_ledger_reads_a_whole_table_of_messages_deliveries_attempts_or_keys() {
    let mut bench = Bench::new(Settings::default(), 1);
    let endpoint = bench.endpoint_with(|config| config.throttle_rate = Some(1));
    bench.endpoint();
    for _ in 0..5 {
        let message = bench.publish("a", None).unwrap().message.id.to_string();
        bench.deliver_all(500);
        bench.pass(1500);
        bench.deliver_all(200);
        bench.attempts(&message);
        bench.ask(MessageGet { message }).unwrap();
    }
    let page = || PageOf {
        limit: 2,
        iterator: None,
        ascending: false,
    };
    let by_endpoint = AttemptsOfEndpoint {
        endpoint: endpoint.id.to_string(),
        page: page(),
        filter: AttemptFilter::default(),
    };
    bench.ask(by_endpoint).unwrap();
    bench
        .ask(MessageList {
            page: page(),
            filter: MessageFilter::default(),
            with_content: true,
        })
        .unwrap();
    let accept = Accept {
        repeat: true,
        ..bench.accept("a", None)
    };
    bench.ask_with(accept, &[Vec::new()]).unwrap();
    bench.pass(300_000);

    let statements = bench.sql().statements.borrow().clone();
    let large = ["message_", "delivery_", "attempt_", "key_1"];
    let mut looked_at = 0;
    for statement in statements
        .iter()
        .filter(|text| large.iter().any(|table| text.contains(table)))
    {
        if statement.starts_with("CREATE") || statement.starts_with("INSERT") {
            continue;
        }
        looked_at += 1;
        for step in plan(bench.sql(), statement) {
            // The newest row is read from the end of the table: one row, whatever it holds.
            let newest = statement.ends_with("ORDER BY sequence DESC LIMIT 1");
            assert!(newest || !step.starts_with("SCAN"), "{statement}: {step}");
        }
    }
    assert!(looked_at >= 15, "only {looked_at} statements were seen");
}

fn plan(sql: &NativeSql, statement: &str) -> Vec<String> {
    let mut prepared = sql
        .connection()
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap();
    for index in 1..=prepared.parameter_count() {
        prepared.raw_bind_parameter(index, 0).unwrap();
    }
    let mut rows = prepared.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get::<_, String>(3).unwrap());
    }
    steps
}
