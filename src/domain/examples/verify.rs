//! Runs a file of inbound vectors through the verifier: a JSON array of requests, each with its source and whether it
//! must be accepted.
//!
//! ```text
//! cargo run --release -p postern-domain --example verify -- tests/vectors/inbound.json
//! ```
//!
//! Prints one line for each vector that the verifier sees otherwise, and `N passed, N failed` last. Leaves with 1 when
//! one failed, with 2 when there is nothing to run. With `--doctor` behind the file it says of every request why it is
//! believed or not, and which mistake would explain it. With `--cost` it measures how long the first genuine request of
//! each provider takes to judge, and prints that in microseconds, with the request, one line of JSON each: for
//! `scripts/bench`.

#[path = "../provider/vector.rs"]
mod vector;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use postern_domain::provider::{
    Answer, Channel, Check, Event, Finding, Headers, Outside, PublicKey, Request, Secret, SourceConfig,
    Standing, State, Verdict, conclude, diagnose, verify,
};
use postern_domain::time::Millis;
use serde_json::{Value, json};

fn main() -> ExitCode {
    let (mut paths, flags): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| !argument.starts_with("--"));
    let asked = |name: &str| flags.iter().any(|flag| flag == name);
    let (doctor, cost) = (asked("--doctor"), asked("--cost"));
    let known = flags.len() == usize::from(doctor) + usize::from(cost);
    let vectors = match (paths.pop(), paths.is_empty(), known) {
        (Some(path), true, true) => read(&path),
        _ => Err("usage: verify FILE [--doctor | --cost]".to_owned()),
    };
    let vectors = match vectors {
        Ok(vectors) => vectors,
        Err(sentence) => {
            eprintln!("{sentence}");
            return ExitCode::from(2);
        }
    };
    if cost {
        measure(&vectors);
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for vector in &vectors {
        let field = |key| vector.get(key).and_then(Value::as_str).unwrap_or("?");
        if doctor {
            println!("{}: {}", field("provider"), field("name"));
            for finding in vector::examine(vector).unwrap_or_default() {
                println!("  {}: {}", finding.code, finding.sentence);
            }
        }
        if let Err(difference) = vector::judge(vector) {
            failed += 1;
            println!("{}: {}: {difference}", field("provider"), field("name"));
        }
    }
    println!("{} passed, {failed} failed", vectors.len() - failed);
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One line for each provider that has a genuine request that tells of an event.
fn measure(vectors: &[Value]) {
    let mut measured: Vec<String> = Vec::new();
    for source in vectors
        .iter()
        .filter_map(|vector| vector::Source::read(vector).ok())
    {
        let provider = &source.vector.provider;
        let is_event = || matches!(source.verdict().0, Verdict::Accept(_));
        if measured.contains(provider) || !source.vector.valid || !is_event() {
            continue;
        }
        measured.push(provider.clone());
        let line = json!({ "provider": provider, "micros": micros(&source), "request": request(&source) });
        println!("{line}");
    }
}

/// How long one judgement takes, its signatures included, over a fifth of a second.
#[expect(
    clippy::disallowed_methods,
    reason = "the time that something takes is what is asked for"
)]
fn micros(source: &vector::Source) -> f64 {
    let (begun, mut times) = (Instant::now(), 0_u32);
    while begun.elapsed() < Duration::from_millis(200) {
        std::hint::black_box(source.verdict());
        times += 1;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

/// The same request and its source, as the Worker's measurement takes them.
fn request(source: &vector::Source) -> Value {
    let texts = |secret: &Secret| secret.value.clone();
    let opened = |channel: &Channel| (channel.id.clone(), channel.token.clone());
    json!({
        "provider": source.vector.provider,
        "config": source.given.settings,
        "secrets": source.given.secrets.iter().map(texts).collect::<Vec<_>>(),
        "channels": source.given.channels.iter().map(opened).collect::<Vec<_>>(),
        "method": source.vector.method,
        "url": source.vector.url,
        "headers": source.headers.iter().collect::<Vec<_>>(),
        "body": BASE64_STANDARD.encode(&source.body),
        "now": source.now.0,
    })
}

fn read(path: &str) -> Result<Vec<Value>, String> {
    let text = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{path} is no JSON array of vectors: {error}"))
}
