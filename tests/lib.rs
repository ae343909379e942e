//! Native integration tests stand in `tests/`.
