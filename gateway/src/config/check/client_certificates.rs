//! Checks the rules for clients' certificates.

use super::jwt::check_headers;
use super::routes::repeats;
use crate::config::file::GatewayFile;
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::peer_certificate::CLAIMS;

/// Checks the providers under `client_certificates`.
pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    let asks = file.server.tls.as_ref().is_some_and(|tls| tls.client_certificates.is_some());
    for (name, provider) in &file.client_certificates {
        let at = KeyPath::default().key("client_certificates").key(name);
        if !asks && report.is_written(&KeyPath::default().key("server").key("tls")) {
            report.problem(&at, "no client is asked for a certificate; write `server.tls.client_certificates` too");
        }
        for (list, key) in [
            (&provider.subjects, "subjects"),
            (&provider.uris, "uris"),
            (&provider.dns_names, "dns_names"),
            (&provider.emails, "emails"),
        ] {
            repeats(list, &at.key(key), report);
        }
        let headers = at.key("claims_to_headers");
        check_headers(&provider.claims_to_headers, &headers, report);
        for claim in provider.claims_to_headers.keys().filter(|claim| !CLAIMS.contains(&claim.as_str())) {
            report.problem(&headers.key(claim), format!("a certificate says {}, and nothing else", CLAIMS.join(", ")));
        }
    }
}
