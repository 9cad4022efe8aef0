//! Where the streams to a server come from: a child's pipes, or whatever the program has.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::ChildStderr;
use toolweir_core::{Error, Kind};

use super::child::{Process, Program};

/// Our ends of the streams to one server.
pub(super) struct Ends {
    pub(super) input: Input,
    pub(super) output: Box<dyn AsyncRead + Send + Unpin>,
    /// Where it is a child: the process, and what it says beside the protocol.
    pub(super) process: Option<(Process, ChildStderr)>,
}

/// Where what we say goes.
pub(super) enum Input {
    /// What we write, the server reads; a message a line.
    Stream(Box<dyn AsyncWrite + Send + Unpin>),
    /// Each message goes its own way.
    Posts(Post),
}

/// Delivers one message, and says whether it was taken.
pub(super) type Post =
    Arc<dyn Fn(Bytes) -> Pin<Box<dyn Future<Output = Result<(), Refused>> + Send>> + Send + Sync>;

/// A message that was not taken.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) error: Error,
    /// Nothing will be taken any more.
    pub(super) is_final: bool,
}

type Open = dyn Fn() -> io::Result<Ends> + Send + Sync;

/// What a connection is made of, each time anew.
pub(super) enum Source {
    Program(Program),
    Streams(Box<Open>),
}

impl Source {
    /// Streams that `open` makes.
    pub(super) fn streams<R, W>(
        open: impl Fn() -> io::Result<(R, W)> + Send + Sync + 'static,
    ) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        Self::Streams(Box::new(move || {
            let (output, input) = open()?;
            Ok(Ends {
                input: Input::Stream(Box::new(input)),
                output: Box::new(output),
                process: None,
            })
        }))
    }

    /// Starts the program, or opens the streams.
    pub(super) fn open(&self) -> Result<Ends, Error> {
        match self {
            Self::Program(program) => program.spawn(),
            Self::Streams(open) => open().map_err(|error| {
                Error::new(Kind::Unreachable)
                    .message(format!("cannot open: {error}"))
                    .caused_by(error)
            }),
        }
    }

    /// Values that must not appear in what we show of the server's words.
    pub(super) fn secrets(&self) -> Vec<String> {
        match self {
            Self::Program(program) => program.secrets(),
            Self::Streams(_) => Vec::new(),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(program) => program.fmt(f),
            Self::Streams(_) => f.write_str("streams"),
        }
    }
}
