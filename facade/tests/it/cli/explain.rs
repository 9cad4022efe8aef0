//! `toolweir explain`.

use super::{Folder, run, two_servers};

#[tokio::test]
async fn it_says_what_would_be_done_and_why() {
    let folder = Folder::with(&two_servers(""));
    let plain = run(&folder, &["explain", "hub__create_issue"]).await;
    assert_eq!(plain.exit, 0, "{plain:?}");
    assert!(plain.stdout.starts_with("1. hub, which knows it as `create_issue`"), "{plain:?}");
    assert!(plain.stdout.contains("moved     yes: nothing can have happened"), "{plain:?}");
    let json = run(&folder, &["explain", "hub__create_issue", "--json"]).await.json();
    assert_eq!(json["servers"][0]["rules"][3]["what"], "repeated");
    assert_eq!(json["servers"][0]["rules"][3]["allowed"], false);
}

#[tokio::test]
async fn a_name_that_is_nearly_right_is_suggested() {
    let run = run(&Folder::with(&two_servers("")), &["explain", "hub__create_isue"]).await;
    assert_ne!(run.exit, 0);
    assert!(run.stderr.contains("did you mean `hub__create_issue`"), "{run:?}");
}
