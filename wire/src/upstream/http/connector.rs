//! The HTTP client: one connection pool a server, TCP_NODELAY, a limit on connecting, TLS by rustls.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use toolweir_core::Error;

use crate::upstream::Options;

#[cfg(feature = "tls")]
type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
#[cfg(not(feature = "tls"))]
type Connector = HttpConnector;

pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

/// How long one address may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept; below the 60 s after which many proxies drop them silently.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// How many unused connections are kept.
const IDLE_MAX: usize = 32;

pub(super) fn client(options: &Options) -> Result<HttpClient, Error> {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT.min(options.connect_timeout)));
    // A peer that vanished without a word is noticed after a minute, on streams that only listen too.
    http.set_keepalive(Some(Duration::from_secs(30)));
    http.set_keepalive_interval(Some(Duration::from_secs(10)));
    http.set_keepalive_retries(Some(3));
    http.enforce_http(false);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_MAX)
        .build(with_tls(http)?))
}

#[cfg(not(feature = "tls"))]
fn with_tls(http: HttpConnector) -> Result<Connector, Error> {
    Ok(http)
}

/// TLS with Mozilla's roots and those of the system.
#[cfg(feature = "tls")]
fn with_tls(http: HttpConnector) -> Result<Connector, Error> {
    use toolweir_core::Kind;

    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            Error::new(Kind::Internal).message("no TLS versions").caused_by(error).unsent()
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http))
}
