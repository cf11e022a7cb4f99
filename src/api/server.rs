//! Connections: so many at once and no more, none that dawdles, over TLS where that is set; and an end within a bound.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::Signal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::audit::Peer;
use super::tls::Certificate;

/// How long a client may take for the head of a request, which is also how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to agree on TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long requests that are under way have at the end; what still runs then, as streams of matches do, is cut.
const GRACE: Duration = Duration::from_secs(2);
/// How long nothing is accepted after the system could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the files of a certificate are looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(1);

/// Serves what connects until `stop` ends, and then for the grace that requests under way have. With a certificate comes
/// the signal at which it is read again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    certificate: Option<(Arc<Certificate>, Signal)>,
    connections_max: usize,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let (certificate, hangup) = certificate.unzip();
    let reloading = certificate.clone().zip(hangup);
    let reloading = reloading.map(|(certificate, hangup)| tokio::spawn(reload(certificate, hangup)));
    tokio::pin!(stop);
    loop {
        // Where all places are taken, who connects waits in the system's queue.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            next = next => next,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, address))) => {
                let (router, peer) = (router.clone(), Peer(address.ip()));
                let connection = Connection { router, peer, place, watcher: graceful.watcher() };
                tokio::spawn(connection.run(stream, certificate.clone()));
            }
            (_, Err(error)) => {
                // A client that has gone already is no trouble; too many open files are.
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    if let Some(reloading) = reloading {
        reloading.abort();
    }
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::info!("connections that were still open are cut");
    }
}

struct Connection {
    router: Router,
    peer: Peer,
    /// Held as long as the connection is.
    place: OwnedSemaphorePermit,
    watcher: Watcher,
}

impl Connection {
    async fn run(self, stream: TcpStream, certificate: Option<Arc<Certificate>>) {
        // Answers are small and wanted at once.
        let _ = stream.set_nodelay(true);
        match certificate {
            None => self.speak(stream).await,
            Some(certificate) => {
                let agreed = TlsAcceptor::from(certificate.config()).accept(stream);
                match timeout(HANDSHAKE_TIMEOUT, agreed).await {
                    Ok(Ok(stream)) => self.speak(stream).await,
                    Ok(Err(error)) => tracing::debug!(%error, "no agreement on TLS"),
                    Err(_) => tracing::debug!("no agreement on TLS in time"),
                }
            }
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Connection { router, peer, place, watcher } = self;
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(place);
    }
}

/// Reads a certificate again when its files change or a SIGHUP comes.
async fn reload(certificate: Arc<Certificate>, mut hangup: Signal) {
    loop {
        let in_any_case = tokio::select! {
            _ = hangup.recv() => true,
            () = sleep(CERTIFICATE_INTERVAL) => false,
        };
        match certificate.reload(in_any_case) {
            Ok(false) => {}
            Ok(true) => tracing::info!("the certificate has been read again"),
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
    }
}
