//! How a pull is shown: a bar for people, a line of JSON an event for programs.

use crate::report::Report;
use gpu_node::models::{Entry, Progress as Event, Source};
use indicatif::{ProgressBar, ProgressStyle};

const STYLE: &str = "  {msg} [{bar:28}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";

/// The pull of one model.
pub(super) struct Progress {
    id: &'static str,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(entry: &'static Entry, report: Report) -> Self {
        let bar = (!report.json).then(|| {
            let bar = ProgressBar::new(entry.bytes());
            bar.set_style(ProgressStyle::with_template(STYLE).expect("a static template").progress_chars("=> "));
            bar.set_message(entry.id);
            bar
        });
        Self { id: entry.id, bar }
    }

    pub(super) fn tell(&self, event: &Event) {
        match &self.bar {
            Some(bar) => self.draw(bar, event),
            None => {
                let mut line = serde_json::to_value(event).expect("an event is plain data");
                line["model"] = self.id.into();
                println!("{line}");
            }
        }
    }

    fn draw(&self, bar: &ProgressBar, event: &Event) {
        match event {
            Event::Trying { source } => bar.set_message(format!("{} from {}", self.id, name(*source))),
            Event::Failed { source, reason } => {
                bar.suspend(|| println!("  {}: not from {}: {reason}", self.id, name(*source)));
            }
            Event::Downloading { bytes, total, .. } => {
                if let Some(total) = total {
                    bar.set_length(*total);
                }
                bar.set_position(*bytes);
            }
            Event::Checking { file } => bar.set_message(format!("{}: checking {file}", self.id)),
            Event::Done { source } => {
                bar.finish_and_clear();
                println!(
                    "  {}: {}",
                    self.id,
                    if *source == Source::Store {
                        "is here".to_owned()
                    } else {
                        format!("pulled from {}", name(*source))
                    }
                );
            }
        }
    }
}

fn name(source: Source) -> &'static str {
    match source {
        Source::Store => "the store",
        Source::Local => "the given path",
        Source::Cache => "this machine's cache",
        Source::Hub => "the hub",
        Source::Wheel => "the package index",
    }
}
