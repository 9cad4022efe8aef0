//! Where the streams to a server come from: a child's pipes, or whatever the program has.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::ChildStderr;
use toolweir_core::{Error, Kind};

use super::child::{Process, Program};

/// Our ends of the streams to one server.
pub(super) struct Ends {
    /// What we write, the server reads.
    pub(super) input: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) output: Box<dyn AsyncRead + Send + Unpin>,
    /// Where it is a child: the process, and what it says beside the protocol.
    pub(super) process: Option<(Process, ChildStderr)>,
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
            Ok(Ends { input: Box::new(input), output: Box::new(output), process: None })
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
