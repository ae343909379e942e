#![expect(clippy::unwrap_used, reason = "a test may")]

use super::*;

#[test]
fn every_entry_reads_and_knows_its_own_name() {
    for id in IDS {
        let read: Result<Provider, _> = crate::json::read(text(id).unwrap());
        let provider = read.unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(provider.id, *id);
    }
    assert_eq!(all().len(), IDS.len());
}
