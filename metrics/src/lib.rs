//! Counts, percentiles, alerts and health of operations.
