//! What is told of the files that are looked at again.

use prometheus::{IntGaugeVec, Opts, Registry};

use super::Source;
use crate::config::values::Certificate;

/// The series of certificates and authorities. Made when they are shown.
pub(crate) struct CertificateSeries {
    not_after: IntGaugeVec,
    success: IntGaugeVec,
}

impl CertificateSeries {
    /// The series, with nothing in them.
    ///
    /// # Errors
    /// Never: the names and the label are legal.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let gauge = |name, help| IntGaugeVec::new(Opts::new(name, help), &["certificate"]);
        Ok(Self {
            not_after: gauge(
                "gateway_tls_cert_not_after_seconds",
                "The last second in which a certificate that is shown counts, since 1970",
            )?,
            success: gauge(
                "gateway_tls_cert_last_reload_success",
                "Whether files of certificates are used as they are now; 0 when those cannot be used",
            )?,
        })
    }

    /// Says whether the files of `source` could be used, and how long the `certificate` counts that they have come to.
    pub(crate) fn show(&self, source: &Source, certificate: Option<&Certificate>) {
        self.success.with_label_values(&[source.name()]).set(i64::from(source.is_usable()));
        if let Some(certificate) = certificate {
            self.not_after.with_label_values(&[source.name()]).set(certificate.not_after());
        }
    }

    /// Puts the series into `registry`.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub(crate) fn register(self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.not_after))?;
        registry.register(Box::new(self.success))
    }
}
