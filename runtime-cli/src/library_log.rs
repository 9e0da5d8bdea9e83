//! What the library tells by `tracing` goes where the command's own warnings and debug lines go.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::log::Log;

/// Hands events of the library to the command's log from here on.
pub fn listen(log: Arc<Log>) {
    // Fails only when somebody listens already, and nobody else is in this program.
    tracing::subscriber::set_global_default(Listener { log }).unwrap_or_default();
}

struct Listener {
    log: Arc<Log>,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let most = if self.log.is_debug() { Level::TRACE } else { Level::WARN };
        *metadata.level() <= most
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let words = words.message + &words.fields;
        if *event.metadata().level() <= Level::WARN {
            self.log.warn(&words);
        } else {
            self.log.debug(|| words);
        }
    }

    // The library opens no spans.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// An event as one sentence: its message, then its fields.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name}: {value:?}"),
        };
        // Writing to a String does not fail.
        written.unwrap_or_default();
    }
}
