//! Texts that call themselves a configuration.

use std::path::Path;

use common::config::Env;

/// A text is taken or refused, and every problem of it can be shown.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // What a file names is read, and some of what a system calls a file never ends.
    if text.contains("/dev") || text.contains("/proc") || text.contains("..") {
        return;
    }
    let env = Env::default().with("SECRET", "6f1d0a94c2b85e7733e09a1bd4c65f28");
    match gateway::config::parse(text, Path::new("/nonexistent/gateway.yaml"), &env) {
        Ok(loaded) => assert!(!loaded.file.routes.is_empty(), "a gateway without a route"),
        Err(problems) => assert!(!problems.to_string().is_empty(), "refused without a reason"),
    }
}
