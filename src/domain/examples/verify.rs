//! Runs a file of inbound vectors through the verifier: a JSON array of requests, each with its source and whether it
//! must be accepted.
//!
//! ```text
//! cargo run --release -p postern-domain --example verify -- tests/vectors/inbound.json
//! ```
//!
//! Prints one line for each vector that the verifier sees otherwise, and `N passed, N failed` last. Leaves with 1 when
//! one failed, with 2 when there is nothing to run. With `--doctor` behind the file it says of every request why it is
//! believed or not, and which mistake would explain it.

#[path = "../provider/vector.rs"]
mod vector;

use std::process::ExitCode;

use postern_domain::provider::{
    Answer, Channel, Check, Event, Finding, Headers, Outside, PublicKey, Request, Secret, SourceConfig,
    Standing, State, Verdict, conclude, diagnose, verify,
};
use postern_domain::time::Millis;
use serde_json::Value;

fn main() -> ExitCode {
    let (mut paths, flags): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| !argument.starts_with("--"));
    let doctor = flags.iter().any(|flag| flag == "--doctor");
    let vectors = match (paths.pop(), paths.is_empty(), flags.len() == usize::from(doctor)) {
        (Some(path), true, true) => read(&path),
        _ => Err("usage: verify FILE [--doctor]".to_owned()),
    };
    let vectors = match vectors {
        Ok(vectors) => vectors,
        Err(sentence) => {
            eprintln!("{sentence}");
            return ExitCode::from(2);
        }
    };
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

fn read(path: &str) -> Result<Vec<Value>, String> {
    let text = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{path} is no JSON array of vectors: {error}"))
}
