//! One edge with one real node, shared by the tests that only ask.

use crate::{TestEdge, TestNode, lasting};
use tokio::sync::OnceCell;

/// An edge, and a node that serves both models to it.
pub struct Stack {
    pub edge: TestEdge,
    pub node: TestNode,
}

impl Stack {
    /// A stack of its own, for a test that breaks it.
    pub async fn start(program: &str, edge: &[(&str, &str)], node: &[(&str, &str)]) -> Self {
        let edge = TestEdge::start(edge).await;
        let node = TestNode::start(program, &edge, node).await;
        Self { edge, node }
    }

    /// The stack that all tests of the process share.
    pub async fn shared(program: &'static str) -> &'static Self {
        static STACK: OnceCell<Stack> = OnceCell::const_new();
        STACK.get_or_init(|| lasting::run(Self::start(program, &[], &[]))).await
    }
}
