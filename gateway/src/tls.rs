//! TLS as clients meet it: which certificate each of them gets, and which protocols are spoken.
//!
//! Certificates are renewed under running connections: their files are looked at again now and then ([`Tls::renew`]), and
//! those that are good are shown from the next handshake on, each for itself. What cannot be used changes nothing.

mod by_name;
mod reading;
mod series;
mod source;
mod trust;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, version};

use by_name::ByName;
use reading::{Unread, read_certificate};
pub(crate) use reading::{read_authorities, read_identity};
pub(crate) use series::CertificateSeries;
pub(crate) use source::Source;
pub(crate) use trust::Introduction;
use trust::Trust;

use crate::config::Loaded;
use crate::config::file::{CertificateFile, ClientCertificateMode, TlsFile, TlsVersion};
use crate::config::values::{BadAuthorities, BadCertificate, Certificate};
use crate::peer_certificate::PeerCertificate;
use crate::reply::Rejection;

/// What the handshakes of one configuration go by.
pub(crate) struct Tls {
    settings: Settings,
    /// The files of each certificate.
    sources: Box<[Source]>,
    /// Those of whom clients' certificates have to be.
    authorities: Option<Source>,
    present: ArcSwap<Present>,
}

/// What only a new configuration changes.
#[derive(PartialEq)]
struct Settings {
    directory: PathBuf,
    certificates: Vec<CertificateFile>,
    http2: bool,
    min_version: TlsVersion,
    clients: Option<ClientSettings>,
    reload_interval: Duration,
}

/// How clients are asked for certificates.
#[derive(PartialEq)]
struct ClientSettings {
    mode: ClientCertificateMode,
    ca: PathBuf,
    crl: Option<PathBuf>,
}

/// What the files have come to.
struct Present {
    trust: Option<Arc<Trust>>,
    certificates: Vec<Certificate>,
    by_name: Arc<ByName>,
    config: Arc<ServerConfig>,
}

/// Why TLS cannot be spoken with what a configuration says.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A key for session tickets cannot be made, or there is no version to speak.
    #[error("the library refuses the settings")]
    Settings(#[from] rustls::Error),
    /// Clients cannot be asked for certificates with what the files say.
    #[error("client_certificates")]
    Authorities(#[from] BadAuthorities),
    /// A certificate that is new with this configuration is of another time.
    #[error("`{file}` cannot take the place of the certificate before")]
    Certificate {
        /// The file it is in, as the configuration names it.
        file: String,
        /// Why.
        #[source]
        source: BadCertificate,
    },
}

impl Tls {
    /// What `loaded` says of TLS; `previous` when that says the same, or nothing. Clients' sessions go on in any case.
    ///
    /// # Errors
    /// When the key for session tickets cannot be made, or a certificate of `previous` would be replaced by one whose time has
    /// not come or is over. At a start, when there is nothing better, that is only told.
    pub(crate) fn compile(loaded: &Loaded, previous: Option<&Arc<Self>>) -> Result<Option<Arc<Self>>, TlsError> {
        let Some(file) = &loaded.file.server.tls else {
            // Its listeners are open until the restart that a reload asks for.
            return Ok(previous.cloned());
        };
        let settings = Settings::read(file, loaded);
        let before = previous.map(|previous| previous.present.load_full());
        for (file, certificate) in file.certificates.iter().zip(&loaded.certificates) {
            let Err(source) = certificate.counts_at(unix_time()) else { continue };
            let file = file.certificate.display().to_string();
            match &before {
                Some(before) if !before.certificates.contains(certificate) => {
                    return Err(TlsError::Certificate { file, source });
                }
                _ => tracing::warn!(certificate = file, "{source}"),
            }
        }
        if let Some((previous, before)) = previous.zip(before.as_ref())
            && previous.settings == settings
            && before.certificates == loaded.certificates
            && before.trust.as_ref().map(|trust| trust.authorities()) == loaded.client_authorities.as_ref()
        {
            return Ok(Some(Arc::clone(previous)));
        }
        let trust = match (&loaded.client_authorities, &settings.clients) {
            (Some(authorities), Some(clients)) => {
                let kept = before.as_ref().and_then(|before| before.trust.clone());
                let kept = kept.filter(|trust| trust.is_made_from(authorities, clients.mode));
                Some(kept.map_or_else(|| Trust::new(authorities.clone(), clients.mode).map(Arc::new), Ok)?)
            }
            _ => None,
        };
        let present = Present::new(&settings, loaded.certificates.clone(), trust, before.as_deref())?;
        let directory = &settings.directory;
        let pair = |file: &CertificateFile| Source::new(directory, &file.certificate, [&file.certificate, &file.key]);
        let of_clients = |clients: &ClientSettings| {
            Source::new(directory, &clients.ca, [&clients.ca].into_iter().chain(&clients.crl))
        };
        let sources = settings.certificates.iter().map(pair).collect();
        let authorities = settings.clients.as_ref().map(of_clients);
        Ok(Some(Arc::new(Self { sources, authorities, settings, present: ArcSwap::from_pointee(present) })))
    }

    /// What a handshake goes by, and what has to be told of it if clients are asked for certificates.
    pub(crate) fn handshake(&self) -> (Arc<ServerConfig>, Option<Introduction>) {
        let present = self.present.load();
        (Arc::clone(&present.config), present.trust.as_ref().map(|trust| trust.introduction()))
    }

    /// Whether a request may come at `now`, in seconds since 1970, on a connection on which this `certificate` was shown. A
    /// connection may be older than what is believed by now.
    ///
    /// # Errors
    /// Says what is wrong with the certificate.
    pub(crate) fn admit(&self, certificate: Option<&PeerCertificate>, now: u64) -> Result<(), Rejection> {
        if self.settings.clients.is_none() {
            return Ok(());
        }
        self.present.load().trust.as_ref().map_or(Ok(()), |trust| trust.admit(certificate, now))
    }

    /// Whether there is a certificate for `host`, which is in lower case.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        self.present.load().by_name.of(host).is_some()
    }

    /// How often [`Self::renew`] wants to be called; never when this is nothing.
    pub(crate) fn reload_interval(&self) -> Option<Duration> {
        Some(self.settings.reload_interval).filter(|interval| !interval.is_zero())
    }

    /// Looks whether files have changed, and shows from now on what is good of them. Blocks while it reads.
    pub(crate) fn renew(&self) {
        let now = unix_time();
        let before = self.present.load_full();
        let mut certificates = before.certificates.clone();
        for (source, certificate) in self.sources.iter().zip(&mut certificates) {
            let read = source.look(|paths| read_certificate(paths, now)).filter(|read| read != certificate);
            if let Some(read) = read {
                tracing::info!(certificate = source.name(), "a renewed certificate is shown from now on");
                *certificate = read;
            }
        }
        let trust = self.renewed_trust(before.trust.as_ref()).or_else(|| before.trust.clone());
        let same_trust = trust.as_ref().map(Arc::as_ptr) == before.trust.as_ref().map(Arc::as_ptr);
        if same_trust && certificates == before.certificates {
            return;
        }
        match Present::new(&self.settings, certificates, trust, Some(&before)) {
            Ok(present) => self.present.store(Arc::new(present)),
            Err(error) => tracing::error!(%error, "renewed certificates cannot be used"),
        }
    }

    /// Whom clients are believed to be of, if that is another now.
    fn renewed_trust(&self, before: Option<&Arc<Trust>>) -> Option<Arc<Trust>> {
        let mode = self.settings.clients.as_ref()?.mode;
        let trust = self
            .authorities
            .as_ref()?
            .look(|paths| Trust::new(read_authorities(paths)?, mode).map_err(Unread::from))?;
        if before.is_some_and(|before| before.is_made_from(trust.authorities(), mode)) {
            return None;
        }
        tracing::info!("other authorities or lists of clients' certificates count from now on");
        Some(Arc::new(trust))
    }

    /// Says in `series` how its certificates and authorities are.
    pub(crate) fn show(&self, series: &CertificateSeries) {
        if let Some(source) = &self.authorities {
            series.show(source, None);
        }
        for (source, certificate) in self.sources.iter().zip(&self.present.load().certificates) {
            series.show(source, Some(certificate));
        }
    }
}

impl Settings {
    fn read(file: &TlsFile, loaded: &Loaded) -> Self {
        Self {
            directory: loaded.directory.clone(),
            certificates: file.certificates.clone(),
            http2: file.http2,
            min_version: file.min_version,
            clients: file.client_certificates.as_ref().map(|clients| ClientSettings {
                mode: clients.mode,
                ca: clients.ca.clone(),
                crl: clients.crl.clone(),
            }),
            reload_interval: file.reload_interval.get(),
        }
    }
}

impl Present {
    /// In place of `before`, whose sessions go on if the same clients are believed.
    fn new(
        settings: &Settings,
        certificates: Vec<Certificate>,
        trust: Option<Arc<Trust>>,
        before: Option<&Self>,
    ) -> Result<Self, rustls::Error> {
        let versions: &[_] = match settings.min_version {
            TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::Tls13 => &[&version::TLS13],
        };
        let by_name = Arc::new(ByName::new(&certificates));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(
                trust.as_ref().map_or_else(WebPkiClientVerifier::no_client_auth, |trust| trust.verifier()),
            )
            .with_cert_resolver(Arc::clone(&by_name) as _);
        config.alpn_protocols =
            if settings.http2 { vec![b"h2".into(), b"http/1.1".into()] } else { vec![b"http/1.1".into()] };
        // Sessions are with the clients, so every worker can take one up and none has to be remembered. What a client has shown
        // is in them, and is not asked for again.
        let epoch = |trust: &Option<Arc<Trust>>| trust.as_ref().map(Arc::as_ptr);
        config.ticketer = match before.filter(|before| epoch(&before.trust) == epoch(&trust)) {
            Some(before) => Arc::clone(&before.config.ticketer),
            None => Ticketer::new()?,
        };
        Ok(Self { trust, certificates, by_name, config: Arc::new(config) })
    }
}

/// Seconds since 1970, as certificates count them.
pub(crate) fn unix_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
