//! Many at once: requests share instances, and wait for what others of them do.

use crate::stack::Stack;
use futures_util::future::join_all;
use reqwest::StatusCode;

const CALLS: usize = 100;

#[tokio::test]
async fn a_hundred_calls_at_once_are_answered_and_each_is_recorded() {
    let stack = Stack::start().await;
    let chat = &stack;
    let answers = join_all((0..CALLS).map(|number| async move {
        let answer = chat.chat(number % 2 == 0).await;
        (answer.status(), answer.text().await.unwrap())
    }));
    for (status, text) in answers.await {
        assert_eq!(status, StatusCode::OK, "{text}");
        assert!(text.contains("[DONE]") || text.contains("\"chat.completion\""), "{text}");
    }
    let Stack { spin, database, .. } = stack;
    spin.stop().await;
    let completed = database.usage().await.iter().filter(|it| it.0 == "completed").count();
    assert_eq!(completed, CALLS);
}
