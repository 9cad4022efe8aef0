//! Peers that can misbehave at any byte: servers and clients, over stdio and HTTP, of both eras.
//!
//! All of them play the same [scripts](script). A server is honest until it is called: the arguments of `say` are what it
//! does then, so that a test reaches it through any client, listener or gateway. It comes in three forms: at the
//! other end of [streams](server::serve) in this program, where time may stand still; as a [process](server::program) of its
//! own, which is this test binary started again; and behind a [socket](http).
//!
//! The tests of other crates include this folder by its path: it is no part of any crate's interface, and needs no feature
//! of one. Paths of modules are the same in each of them, by which the process finds its own `main`.

#![allow(dead_code, reason = "each crate's tests use a part of it")]

pub(crate) mod client;
pub(crate) mod dice;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod script;
pub(crate) mod server;
pub(crate) mod tools;

use std::future::Future;
use std::time::Duration;

/// Fails a test that would hang.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("the test hangs")
}

/// Whether tests run at their full length, as `cargo xtask faultmatrix` has them, or at that of every day.
pub(crate) fn full() -> bool {
    std::env::var_os("TOOLWEIR_FULL").is_some()
}

/// Tells what was measured for a row of `cargo xtask faultmatrix`, and fails where that is not what is wanted.
#[track_caller]
pub(crate) fn measured(row: &str, figure: &str, met: bool) {
    told(row, figure, met);
    assert!(met, "row {row}: {figure}");
}

/// The same of what others on the machine lengthen: the table says that it is missed, and no test fails.
pub(crate) fn told(row: &str, figure: &str, met: bool) {
    println!("@fault {}", serde_json::json!({ "id": row, "figure": figure, "met": met }));
}

/// Stops the clock of a runtime for as long as this lives, whatever sockets do: a paused clock alone moves on while
/// everybody waits for a socket. In a test that hangs it moves on after half a minute, and `within` fails it.
pub(crate) struct Stopped(
    #[expect(dead_code, reason = "its end is the signal")] std::sync::mpsc::Sender<()>,
);

impl Stopped {
    pub(crate) fn new() -> Self {
        tokio::time::pause();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        // The clock does not move by itself while such a task runs.
        tokio::task::spawn_blocking(move || {
            let _ = receiver.recv_timeout(Duration::from_secs(30));
        });
        Self(sender)
    }
}
