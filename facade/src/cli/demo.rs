pub(crate) async fn demo(
    _: Option<std::net::SocketAddr>,
    _: super::output::Output,
) -> Result<std::process::ExitCode, super::failure::Failure> {
    Ok(std::process::ExitCode::SUCCESS)
}
pub(crate) async fn server(_: &str) -> Result<std::process::ExitCode, super::failure::Failure> {
    Ok(std::process::ExitCode::SUCCESS)
}
