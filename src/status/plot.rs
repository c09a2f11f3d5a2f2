//! A record as a picture, in the manner of `systemd-analyze plot`: time runs to the right from when the machine was switched
//! on, one row for each stage, with what it waited for inside its bar, and the heartbeats as ticks below. The critical path,
//! which stage waited for which, is drawn as a line.

use std::time::Duration;

use jiff::Timestamp;
use svg::Document;
use svg::node::element::{Group, Line, Polyline, Rectangle, Style, Text, Title};

use crate::console::human;
use crate::record::{Record, StageRecord, Wait, between, critical_path, ending};

/// Pixels between the left edge and the begin of time, for labels of bars that end at the right edge, and above.
const MARGIN: f64 = 24.0;
const TOP: f64 = 116.0;

/// Pixels that the whole boot is wide, and what is left beside it for labels.
const WIDTH: f64 = 900.0;
const LABELS: f64 = 620.0;

/// Pixels from one row to the next, and of a bar.
const ROW: f64 = 26.0;
const BAR: f64 = 18.0;

/// How many marks the axis has at most.
const MARKS: f64 = 12.0;

const STYLE: &str = "
text { font: 12px sans-serif; fill: #222; }
.title { font-size: 16px; font-weight: bold; }
.faint { fill: #777; }
.axis { stroke: #ddd; stroke-width: 1; }
.done { fill: #7bb77b; } .skipped { fill: #c8c8c8; } .failed { fill: #d9534f; }
.running, .interrupted { fill: #e8b64c; }
.wait { fill: #f3d99b; stroke: #b98a1d; stroke-width: 0.5; }
.heartbeat { stroke: #5b7fb5; stroke-width: 2; }
.told { stroke: #222; stroke-width: 2; }
.before { fill: #a9bcd6; }
.critical { fill: none; stroke: #c0392b; stroke-width: 1.5; }
";

/// From the time of a boot to pixels.
struct Scale {
    begin: Timestamp,
    total: Duration,
}

impl Scale {
    fn x(&self, at: Timestamp) -> f64 {
        let share = between(self.begin, at).as_secs_f64() / self.total.as_secs_f64();
        // Only a clock that was set during the boot leads out of it.
        MARGIN + share.clamp(0.0, 1.0) * WIDTH
    }

    /// Between marks: one, two or five times a power of ten, in seconds.
    fn step(&self) -> f64 {
        let least = self.total.as_secs_f64() / MARKS;
        let power = 10_f64.powf(least.log10().floor());
        [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|times| times * power)
            .find(|step| *step >= least)
            .unwrap_or(least)
    }
}

/// The picture, as the text of an SVG file. What was running is drawn as it stands now.
pub(super) fn plot(record: &Record) -> String {
    let end = record.ended_at.unwrap_or_else(Timestamp::now);
    let begin = record.switched_on_at.unwrap_or(record.started_at);
    let scale = Scale { begin, total: between(begin, end).max(Duration::from_millis(1)) };
    // One for what came before the boot, and one for the group.
    let rows = record.stages.len() as f64 + 2.0;
    let (width, height) = (MARGIN + WIDTH + LABELS, TOP + rows * ROW + MARGIN);
    let mut picture = Document::new()
        .set("width", width)
        .set("height", height)
        .set("viewBox", (0, 0, width as i32, height as i32))
        .add(Style::new(STYLE))
        .add(Rectangle::new().set("width", "100%").set("height", "100%").set("fill", "white"));
    let path = critical_path(&record.stages, end);
    for text in heading(record, end, &path) {
        picture = picture.add(text);
    }
    picture = picture.add(axis(&scale, TOP + rows * ROW)).add(before_row(record, &scale));
    for (row, stage) in record.stages.iter().enumerate() {
        picture = picture.add(stage_row(stage, &scale, end, row_of(row)));
    }
    picture = picture.add(critical_line(record, &path, &scale, end)).add(lifecycle_row(
        record,
        &scale,
        TOP + (rows - 1.0) * ROW,
    ));
    format!("{picture}\n")
}

/// Where the row of a stage begins.
fn row_of(stage: usize) -> f64 {
    TOP + (stage as f64 + 1.0) * ROW
}

/// What came before the agent: kernel, systemd, the network.
fn before_row(record: &Record, scale: &Scale) -> Group {
    let Some(switched_on) = record.switched_on_at else { return Group::new() };
    let began = scale.x(record.started_at);
    let took = human(between(switched_on, record.started_at));
    Group::new()
        .add(Title::new("from switching on to the start of agent boot"))
        .add(bar(scale.x(switched_on), began, TOP).set("class", "before"))
        .add(label(began + 6.0, TOP + 13.0, &format!("the machine starts {took}")))
}

/// Along the bars of the critical path, and from the end of each to the begin of the one that waited for it.
fn critical_line(record: &Record, path: &[usize], scale: &Scale, now: Timestamp) -> Polyline {
    let mut points = Vec::new();
    if record.switched_on_at.is_some() {
        points.extend([(MARGIN, TOP + BAR), (scale.x(record.started_at), TOP + BAR)]);
    }
    for &index in path {
        let (stage, y) = (&record.stages[index], row_of(index) + BAR);
        points.push((scale.x(stage.started_at), y));
        points.push((scale.x(stage.ended_at.unwrap_or(now)), y));
    }
    let points: Vec<String> = points.into_iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    Polyline::new().set("points", points.join(" ")).set("class", "critical")
}

fn heading(record: &Record, now: Timestamp, path: &[usize]) -> [Text; 4] {
    let total = between(record.started_at, now);
    let mut steps = Vec::new();
    if let Some(switched_on) = record.switched_on_at {
        steps.push(format!("start of the machine {}", human(between(switched_on, record.started_at))));
    }
    let stages = path.iter().map(|&index| &record.stages[index]);
    steps.extend(stages.map(|stage| format!("{} {}", stage.name, human(stage.elapsed(now)))));
    let name = record.instance.as_ref().map_or("unknown instance", |instance| instance.id.as_str());
    let started = record.started_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let cause = record.cause.as_ref().map_or(String::new(), ToString::to_string);
    [
        label(MARGIN, 26.0, &format!("{name}: {}", ending(record, total, record.ended_at.is_none())))
            .set("class", "title"),
        label(MARGIN, 46.0, &format!("{started}, agent {}, from {}", record.agent, record.source))
            .set("class", "faint"),
        label(MARGIN, 64.0, &cause),
        label(MARGIN, 82.0, &format!("Critical path: {}", steps.join(" → "))),
    ]
}

fn axis(scale: &Scale, bottom: f64) -> Group {
    let step = scale.step();
    let seconds = scale.total.as_secs_f64();
    let mut group = Group::new();
    let mut at = 0.0;
    while at <= seconds {
        let x = MARGIN + at / seconds * WIDTH;
        let line = Line::new().set("x1", x).set("x2", x).set("y1", TOP - 8.0).set("y2", bottom);
        let mark = human(Duration::from_secs_f64(at));
        group =
            group.add(line.set("class", "axis")).add(label(x + 2.0, TOP - 12.0, &mark).set("class", "faint"));
        at += step;
    }
    group
}

fn stage_row(stage: &StageRecord, scale: &Scale, now: Timestamp, y: f64) -> Group {
    let end = stage.ended_at.unwrap_or(now);
    let said = stage.cause.as_ref().map_or(stage.detail.as_str(), |cause| cause.sentence.as_str());
    let bar = bar(scale.x(stage.started_at), scale.x(end), y).set("class", stage.outcome.as_str());
    let mut group = Group::new().add(Title::new(format!("{}: {said}", stage.name))).add(bar);
    for wait in &stage.waits {
        group = group.add(waited(wait, scale, y));
    }
    let mut text = format!("{} {}", stage.name, human(stage.elapsed(end)));
    if let Some(longest) = stage.waits.iter().max_by_key(|wait| between(wait.since, wait.until)) {
        text.push_str(&format!(", waited for {}", longest.cause.kind));
        if stage.waits.len() > 1 {
            text.push_str(&format!(" and {} more", stage.waits.len() - 1));
        }
    }
    group.add(label(scale.x(end) + 6.0, y + 13.0, &text))
}

fn waited(wait: &Wait, scale: &Scale, y: f64) -> Group {
    let took = human(between(wait.since, wait.until));
    let bar = bar(scale.x(wait.since), scale.x(wait.until), y + 4.0).set("height", BAR - 8.0);
    Group::new().add(Title::new(format!("waited {took}: {}", wait.cause))).add(bar.set("class", "wait"))
}

/// Heartbeats as ticks, and when AWS acknowledged the result.
fn lifecycle_row(record: &Record, scale: &Scale, y: f64) -> Group {
    let Some(lifecycle) = &record.lifecycle else { return Group::new() };
    let tick = |at: Timestamp, class: &str| {
        let x = scale.x(at);
        Line::new().set("x1", x).set("x2", x).set("y1", y).set("y2", y + BAR).set("class", class)
    };
    let mut group = Group::new().add(Title::new(format!("group {}", lifecycle.group)));
    for beat in &lifecycle.heartbeats {
        group = group.add(tick(*beat, "heartbeat"));
    }
    if let Some(at) = lifecycle.acknowledged_at {
        group = group.add(tick(at, "told"));
    }
    let beats = match lifecycle.heartbeats.len() {
        1 => "1 heartbeat".to_owned(),
        count => format!("{count} heartbeats"),
    };
    let told = lifecycle.result.as_ref().map_or(String::new(), |result| format!(", {result} acknowledged"));
    group.add(label(MARGIN + WIDTH + 6.0, y + 13.0, &format!("{beats}{told}")))
}

/// At least a pixel wide, so that nothing that happened is invisible.
fn bar(from: f64, to: f64, y: f64) -> Rectangle {
    Rectangle::new().set("x", from).set("y", y).set("width", (to - from).max(1.0)).set("height", BAR)
}

fn label(x: f64, y: f64, text: &str) -> Text {
    Text::new(text).set("x", x).set("y", y)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_numbers_and_not_too_many() {
        for seconds in [0.001, 0.04, 1.0, 7.0, 59.0, 3600.0, 172_800.0] {
            let scale = Scale { begin: Timestamp::UNIX_EPOCH, total: Duration::from_secs_f64(seconds) };
            let count = seconds / scale.step();
            assert!((2.0..=MARKS + 0.01).contains(&count), "{count} marks in {seconds} s");
        }
    }

    #[test]
    fn the_critical_path_is_drawn_from_when_the_machine_was_switched_on() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let mut record = Record::begin("s3://b/p".to_owned(), None);
        record.switched_on_at = Some(at(10_000));
        record.started_at = at(11_000);
        record.ended_at = Some(at(14_000));
        record.outcome = crate::record::BootOutcome::InService;
        for (name, began, ended) in
            [("identity", 11_000, 11_500), ("databases", 11_500, 12_000), ("images", 11_500, 14_000)]
        {
            record.stages.push(StageRecord {
                name: name.to_owned(),
                outcome: crate::console::StageOutcome::Done,
                started_at: at(began),
                ended_at: Some(at(ended)),
                detail: String::new(),
                cause: None,
                waits: Vec::new(),
            });
        }
        let picture = plot(&record);
        let said = "Critical path: start of the machine 1.0 s → identity 500 ms → images 2.5 s";
        assert!(picture.contains(said), "{picture}");
        assert!(picture.contains("the machine starts 1.0 s"), "{picture}");
        // From the left edge over a quarter of the width to the right edge, in the rows of the three.
        let line = picture.lines().find(|line| line.contains("class=\"critical\"")).unwrap();
        for point in ["24.0,134.0", "249.0,134.0", "249.0,160.0", "361.5,160.0", "361.5,212.0", "924.0,212.0"]
        {
            assert!(line.contains(point), "{point} is not in {line}");
        }
        record.switched_on_at = None;
        assert!(!plot(&record).contains("the machine"), "{}", plot(&record));
    }

    #[test]
    fn a_clock_that_was_set_back_leads_nowhere_outside() {
        let begin = Timestamp::from_second(1_000).unwrap();
        let scale = Scale { begin, total: Duration::from_secs(10) };
        assert_eq!(scale.x(Timestamp::from_second(0).unwrap()), MARGIN);
        assert_eq!(scale.x(Timestamp::from_second(9_000).unwrap()), MARGIN + WIDTH);
    }
}
