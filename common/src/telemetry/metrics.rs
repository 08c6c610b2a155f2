//! A process' metrics in Prometheus' text format.

use prometheus::{Encoder, Registry, TextEncoder};

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// A registry with the process' own metrics: CPU time, memory, open files (where the system has a `/proc`).
///
/// # Errors
/// When the process metrics cannot be registered.
pub fn registry() -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(registry)
}

/// The present values in Prometheus' text format.
///
/// # Errors
/// When a metric cannot be written, for instance since it has no samples.
pub fn render(registry: &Registry) -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_metrics_are_rendered() {
        let registry = registry().expect("registry");
        let counter = prometheus::IntCounter::new("logins_total", "Logins").expect("counter");
        registry.register(Box::new(counter.clone())).expect("registered");
        counter.inc();
        let text = String::from_utf8(render(&registry).expect("rendered")).expect("utf-8");
        assert!(text.contains("\nlogins_total 1\n"), "{text}");
        #[cfg(target_os = "linux")]
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }
}
