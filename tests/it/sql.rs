//! Every statement of the edge, prepared against the migrated schema, by the rules of the strictest host.
//!
//! Spin's Postgres binds and reads five types and nothing near them, and has no transactions: its pool does not roll
//! back what a statement leaves open. Statements that pass here pass on every host.

use edge_core::sql::statements;
use nest_tests::TestDb;
use tokio_postgres::types::Type;

#[tokio::test]
async fn every_statement_takes_and_gives_what_its_types_say() {
    let client = TestDb::migrated().await.connect().await;
    let statements = statements();
    assert!(statements.len() > 10, "the list of statements lacks most of them");
    for statement in statements {
        // What begins otherwise would change the session, which is somebody else's a moment later.
        let verb = statement.sql.split_whitespace().next().unwrap_or_default();
        assert!(["select", "insert", "update", "delete", "with"].contains(&verb), "{}: {verb}", statement.name);
        let prepared = client.prepare(statement.sql).await.unwrap_or_else(|error| {
            let detail = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
            panic!("{}: {detail}", statement.name)
        });
        let params: Vec<&str> = prepared.params().iter().map(Type::name).collect();
        let declared: Vec<&str> = statement.params.iter().map(|it| it.type_name()).collect();
        assert_eq!(params, declared, "parameters of {}", statement.name);
        let columns: Vec<(&str, &str)> = prepared.columns().iter().map(|it| (it.name(), it.type_().name())).collect();
        let declared: Vec<(&str, &str)> =
            statement.columns.iter().map(|(name, kind)| (*name, kind.type_name())).collect();
        assert_eq!(columns, declared, "columns of {}", statement.name);
    }
}
