//! Writes each log event as one JSON object, with the fields of the spans around it beside its own.
//!
//! `tracing-subscriber`'s own JSON nests a span's fields; flat, `request_id` is one key in every line of a request.

use std::fmt;

use chrono::{SecondsFormat, Utc};
use serde_json::Value;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// One JSON object a line.
pub(super) struct JsonLines {
    service: String,
}

impl JsonLines {
    /// Lines that name `service`.
    pub(super) fn new(service: &str) -> Self {
        Self { service: Value::from(service).to_string() }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for JsonLines {
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        write!(
            writer,
            r#"{{"timestamp":"{}","level":"{}","service":{},"target":"{}""#,
            Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            metadata.level(),
            self.service,
            metadata.target(),
        )?;
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                write_members(&mut writer, &fields.fields)?;
            }
        }
        let mut fields = String::new();
        ctx.format_fields(Writer::new(&mut fields), event)?;
        write_members(&mut writer, &fields)?;
        writer.write_str("}\n")
    }
}

/// Writes the members of `object`, a JSON object as text, behind those already written.
fn write_members(writer: &mut Writer<'_>, object: &str) -> fmt::Result {
    match object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(members) if !members.is_empty() => write!(writer, ",{members}"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("unpoisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_flat_json_object_with_the_spans_fields() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines::new("user-service"))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            let _span = tracing::info_span!("request", request_id = "r\"1").entered();
            tracing::warn!(count = 3, "two\nlines");
        });
        let text = String::from_utf8(lines.0.lock().expect("unpoisoned").clone()).expect("utf-8");
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).expect("json");
        assert_eq!(
            (&line["request_id"], &line["message"], &line["count"]),
            (&"r\"1".into(), &"two\nlines".into(), &3.into())
        );
        assert_eq!((&line["level"], &line["service"]), (&"WARN".into(), &"user-service".into()));
    }
}
