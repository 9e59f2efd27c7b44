//! An answer in the room: how soon the program has read it.

use super::place::{Eyes, Place, now_us};
use super::synapse::Synapse;
use crate::Outcome;
use crate::bench::report::{Report, Row};
use crate::bench::stats::{median, percentile};

/// Answers that are given.
const SAMPLES: u32 = 100;
/// Answers until a node has learned that more is taken: the burst, and then twice the rate each time.
const LEARNING: u32 = 30;

/// The limits of all who say something here are lifted: at the default one answer takes 5 s to be asked for.
pub(super) fn measure(place: &Place, synapse: &Synapse, report: &mut Report) -> Outcome {
    lift_limits(place, synapse);
    let delays = ask(place, SAMPLES)?;
    report.add(
        Row::limit(
            "answer in a room → read by the program, p95 (limits lifted)",
            percentile(&delays, 95.0),
            "ms",
            (1000.0, 300.0),
            u32::try_from(delays.len()).unwrap_or(0),
        )
        .beside(format!("median {:.0} ms", median(&delays))),
    );
    place.stop()
}

/// Lifts the limits of both, and lets the node find that out: it tries it with what people wait for.
pub(super) fn generous(place: &Place, synapse: &Synapse) -> Outcome {
    lift_limits(place, synapse);
    ask(place, LEARNING).map(drop)
}

fn lift_limits(place: &Place, synapse: &Synapse) {
    synapse.lift_limits(&place.account);
    synapse.lift_limits(&place.ann);
}

/// A session asks so often, one after the other; how long each answer took to be read, ms.
fn ask(place: &Place, count: u32) -> Outcome<Vec<f64>> {
    let heard = place.folder.join("heard");
    let text = format!(
        r#"
version = 1
[dag]
id = "answers"
[[tasks]]
id = "ask"
script = '''
i=0
while [ $i -lt {count} ]; do
  i=$((i + 1))
  printf '\033]7501;state=blocked:kind=question\aNumber %s? ' $i
  read -r answer
  echo "$answer $(date +%s%6N)" >> '{}'
done
'''
"#,
        heard.display()
    );
    let file = place.write("answers.toml", &text)?;
    let mut eyes = Eyes::open(&place.ann, &place.room);
    let run = place.start(&file)?;
    for _ in 0..count {
        let question = eyes.question()?;
        let at = now_us();
        place.ann.reply(&place.room, question["event_id"].as_str().unwrap_or_default(), &format!("{at:.0}"));
    }
    place.ended(&run)?;
    let text =
        std::fs::read_to_string(&heard).map_err(|e| format!("cannot read {}: {e}", heard.display()))?;
    let delay = |line: &str| {
        let (said, read) = line.split_once(' ')?;
        Some((read.trim().parse::<f64>().ok()? - said.trim().parse::<f64>().ok()?) / 1e3)
    };
    Ok(text.lines().filter_map(delay).collect())
}
