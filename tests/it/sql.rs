//! Every statement of the edge, prepared against the migrated schema.

use edge_core::sql::statements;
use nest_tests::TestDb;
use tokio_postgres::types::Type;

#[tokio::test]
async fn every_statement_takes_and_gives_what_its_types_say() {
    let client = TestDb::migrated().await.connect().await;
    let statements = statements();
    assert!(statements.len() > 10, "the list of statements lacks most of them");
    for statement in statements {
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
