//! The schema: an edge starts on exactly the one that it knows, and migrations run once.

use nest_tests::{TestDb, edge};

/// The error of an edge that is started on `db`, with its causes; none when it starts.
async fn start(db: &TestDb) -> Option<String> {
    let at_once = std::future::ready(());
    edge_native::serve(edge::config(db, &[]), at_once).await.err().map(|error| format!("{error:#}"))
}

#[tokio::test]
async fn an_edge_starts_on_the_schema_it_knows_and_on_no_other() {
    assert_eq!(start(&TestDb::migrated().await).await, None);
    let empty = TestDb::empty().await;
    let error = start(&empty).await.unwrap();
    assert!(error.contains("lacks") && error.contains("`nest migrate up`"), "{error}");
    for (change, words) in [
        ("delete from refinery_schema_history where version = 4", ["V4__usage", "`nest migrate up`"]),
        (
            "insert into refinery_schema_history (version, name, applied_on, checksum) values (9999, 'later', '', '1')",
            ["V9999__later", "run a newer version"],
        ),
        ("update refinery_schema_history set checksum = '1' where version = 2", ["V2__api_keys", "restore its file"]),
    ] {
        let db = TestDb::migrated().await;
        db.connect().await.batch_execute(change).await.unwrap();
        let error = start(&db).await.unwrap();
        assert!(words.iter().all(|it| error.contains(it)), "{error}");
    }
}

#[tokio::test]
async fn migrations_that_are_started_at_once_run_once() {
    let db = TestDb::empty().await;
    let url = db.secret_url();
    let all = migrations::status(&url).await.unwrap();
    assert!(!all.is_empty() && all.iter().all(|it| !it.applied));
    let ran = futures_util::future::try_join_all([(); 3].map(|()| migrations::up(&url))).await.unwrap();
    let mut counts: Vec<usize> = ran.iter().map(Vec::len).collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, all.len()]);
    assert!(migrations::status(&url).await.unwrap().iter().all(|it| it.applied));
    migrations::check(&url).await.unwrap();
}

#[tokio::test]
async fn other_tables_of_the_database_are_left_alone() {
    let db = TestDb::empty().await;
    let client = db.connect().await;
    client.batch_execute("create table theirs (id int8); insert into theirs values (7)").await.unwrap();
    migrations::up(&db.secret_url()).await.unwrap();
    assert_eq!(client.query_one("select id from theirs", &[]).await.unwrap().get::<_, i64>(0), 7);
}
