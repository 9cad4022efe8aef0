//! `toolweir explain`: what would be done with a call, and why.

use std::process::ExitCode;
use std::time::Duration;

use toolweir::core::{Call, RawJson};

use super::failure::Failure;
use super::output::Output;
use super::{Source, call, source};

pub(crate) async fn explain(
    source: &Source,
    tool: &str,
    output: Output,
) -> Result<ExitCode, Failure> {
    let (config, _) = source::load(source, output)?;
    let orchestrator = source::start(&config)?;
    source::wait(&orchestrator, source::PATIENCE, output).await;
    let asked = Call::tool(tool, &RawJson::EMPTY_OBJECT)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let result = orchestrator.explain(&asked).await;
    let unknown = match &result {
        Err(error) => call::unknown(&orchestrator, tool, error.kind()).await,
        Ok(_) => None,
    };
    orchestrator.shutdown(Duration::from_secs(5)).await;
    if let Some(failure) = unknown {
        return Err(failure);
    }
    output.result(&result?, ToString::to_string);
    Ok(ExitCode::SUCCESS)
}
