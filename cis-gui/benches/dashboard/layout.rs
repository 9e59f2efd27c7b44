//! How long a graph takes to be laid out.

use cis_core::api::TaskView;
use cis_gui::graph::{Drawing, Shape, draw};

use crate::stage::processor_ms;
use crate::{Outcome, say, shapes};

/// Times that each is laid out.
const TIMES: usize = 5;

pub(crate) fn measure() -> Outcome {
    for count in [1_000, 10_000] {
        let all: [(&str, Vec<TaskView>); 7] = [
            ("layers of 20", shapes::layered(count, 20)),
            ("layers of 200", shapes::layered(count, 200)),
            ("random needs", shapes::random(count)),
            ("chain", shapes::chain(count)),
            ("chains of 10 between two", shapes::ladder(count)),
            ("diamonds", shapes::diamonds(count)),
            ("a list", shapes::list(count)),
        ];
        for (name, tasks) in all {
            let shape = Shape::of(&tasks);
            let mut drawing = Drawing::default();
            let times: Vec<f64> = (0..TIMES)
                .map(|_| {
                    let began = processor_ms();
                    drawing = draw(&shape);
                    processor_ms() - began
                })
                .collect();
            eprintln!(
                "{count} {name}: {} boxes, {} edges, {} bends, {:.0} × {:.0}",
                drawing.boxes.len(),
                drawing.edges.len(),
                drawing.bends.len(),
                drawing.size.0,
                drawing.size.1
            );
            say(&format!("layout {count} {name}"), &times);
        }
    }
    Ok(())
}
