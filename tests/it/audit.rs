//! The audit log on every host: an entry is chained soon after its act.

use nest_tests::{PATIENCE, TestEdge};
use tokio::time::timeout;

/// Checklist 115: behind its answer, and not only by the clock.
#[tokio::test]
async fn an_act_is_chained_behind_its_answer() {
    let edge = TestEdge::start(&[]).await;
    let client = edge.db.connect().await;
    let mut changes = edge.db.changes().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = edge.post("/contract/act").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        ids.push(answer.text().await.unwrap().parse::<i64>().unwrap());
    }
    let chained = "select id from audit_log where seq is not null and length(mac) = 32 order by seq";
    let wait = async {
        loop {
            let rows = client.query(chained, &[]).await.unwrap();
            if rows.len() == ids.len() {
                return rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>();
            }
            changes.next().await;
        }
    };
    let in_order = timeout(PATIENCE, wait).await.expect("entries are chained soon");
    assert_eq!(in_order, ids);
    let verdict = edge_core::audit::verify(&edge.store(), &edge.config.keyring, edge.now()).await.unwrap();
    assert!(verdict.findings.is_empty() && verdict.entries == 3, "{verdict:?}");
}
