//! The clock of an edge, held against the database's.

use edge_core::{Edge, Host};
use edge_native::Native;
use nest_contract::{Watch, Watched};
use nest_tests::{TestDb, edge::config};
use std::sync::Arc;

/// Checklist 24.
#[tokio::test]
async fn a_clock_five_minutes_off_is_noticed() {
    let db = TestDb::migrated().await;
    for (off_ms, expected) in [(0, -1_000..=1_000), (300_000, 299_000..=301_000), (-300_000, -301_000..=-299_000)] {
        let native = Arc::new(Native::new(&config(&db, &[])).unwrap());
        let watch = Arc::new(Watch::default());
        watch.advance_ms(off_ms);
        let host: Arc<dyn Host> = Arc::new(Watched::new(native, watch));
        let edge = Edge::new(config(&db, &[]));
        assert_eq!(edge.clock_ahead_ms(), None);
        edge.tick(host).await;
        let ahead_ms = edge.clock_ahead_ms().unwrap();
        assert!(expected.contains(&ahead_ms), "{off_ms}: {ahead_ms}");
    }
}
