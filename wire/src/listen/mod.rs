//! The side that faces clients: Streamable HTTP and stdio in both eras, and pages for people.

mod accept;
mod activity;
mod body;
mod calls;
mod deadline;
mod front;
mod gate;
mod http;
mod hub;
mod legacy;
mod listener;
mod mirrors;
mod modern;
mod pages;
mod parked;
mod peer;
mod replay;
#[cfg(feature = "rmcp")]
pub(crate) mod rmcp;
mod service;
mod session;
mod stdio;
mod stream;
mod subscriptions;
mod tasks;

pub use self::{
    gate::Access,
    listener::HttpListener,
    pages::{Page, Pages, PagesListener},
    service::Service,
    stdio::serve_stdio,
};

/// Locks for a few instructions; what a panicking holder left is still whole.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
